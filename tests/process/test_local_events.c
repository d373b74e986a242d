/* The EventBridge of fanout-local: what PutEvents takes, and what its rules deliver, byte for byte. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/admin.h"
#include "lib/aws_call.h"
#include "lib/proc.h"
#include "lib/queue_take.h"
#include "lib/s3_call.h"
#include "lib/tmp.h"

#define ARN(queue) "arn:aws:sqs:us-east-1:000000000000:" queue

/* What a rule sends where, by source:
 *     orders            queue literal, if detail.state is "paid"
 *     Order...          queue prefix, by detail-type
 *     captured...       queue captured and the bucket
 *     for.a.gone.queue, for.a.function, for.a.gone.bucket, for.a.small.queue: dead letters
 *     for.nobody        a queue that is not there, without dead letters
 *     for.two           two targets of one rule and one of another
 *     disabled          a disabled rule */
static const char TEMPLATE[] =
    "{\"Resources\":{"
    "\"Bus\":{\"Type\":\"AWS::Events::EventBus\",\"Properties\":{\"Name\":\"bus\"}},"
    "\"Bucket\":{\"Type\":\"AWS::S3::Bucket\",\"Properties\":{\"BucketName\":\"archive\"}},"
    "\"Doomed\":{\"Type\":\"AWS::S3::Bucket\",\"Properties\":{\"BucketName\":\"doomed\"}},"
    "\"Literal\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"literal\"}},"
    "\"Prefix\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"prefix\"}},"
    "\"Captured\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"captured\"}},"
    "\"Small\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"small\",\"MaximumMessageSize\":1024}},"
    "\"Gone\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"gone\"}},"
    "\"Dead\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"dead\"}},"
    "\"Capture\":{\"Type\":\"AWS::Lambda::Function\",\"Properties\":{\"FunctionName\":\"capture\","
    "\"Environment\":{\"Variables\":{\"BUCKET\":\"archive\"}},\"Code\":{\"ZipFile\":\"raw-events/\"}}},"
    "\"CaptureDoomed\":{\"Type\":\"AWS::Lambda::Function\",\"Properties\":{\"FunctionName\":\"capture-doomed\","
    "\"Environment\":{\"Variables\":{\"BUCKET\":\"doomed\"}},\"Code\":{\"ZipFile\":\"raw-events/\"}}},"
    "\"Other\":{\"Type\":\"AWS::Lambda::Function\",\"Properties\":{\"FunctionName\":\"other\","
    "\"Code\":{\"ZipFile\":\"pass\"}}}"
#define RULE(id, pattern, more, targets)                                                                               \
    ",\"" id "\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"Name\":\"" id                                       \
    "\",\"EventBusName\":{\"Ref\":\"Bus\"},\"EventPattern\":" pattern more ",\"Targets\":[" targets "]}}"
#define SOURCE(name)   "{\"source\":[\"" name "\"]}"
#define TARGET(id, at) "{\"Id\":\"" id "\",\"Arn\":{\"Fn::GetAtt\":[\"" at "\",\"Arn\"]}}"
#define BURIED(id, at)                                                                                                 \
    "{\"Id\":\"" id "\",\"Arn\":{\"Fn::GetAtt\":[\"" at "\",\"Arn\"]},"                                                \
    "\"DeadLetterConfig\":{\"Arn\":{\"Fn::GetAtt\":[\"Dead\",\"Arn\"]}}}"
    RULE("RLiteral", "{\"source\":[\"orders\"],\"detail\":{\"state\":[\"paid\",\"sent\"]}}", "", TARGET("1", "Literal"))
        RULE("RPrefix", "{\"detail-type\":[{\"prefix\":\"Order\"}]}", "", TARGET("1", "Prefix"))
            RULE("RCaptured", "{\"source\":[{\"prefix\":\"captured\"}]}", "",
                 TARGET("1", "Captured") "," TARGET("2", "Capture")) RULE("RGone", SOURCE("for.a.gone.queue"), "",
                                                                          BURIED("1", "Gone"))
                RULE("RFunction", SOURCE("for.a.function"), "", BURIED("1", "Other"))
                    RULE("RDoomed", SOURCE("for.a.gone.bucket"), "", BURIED("1", "CaptureDoomed"))
                        RULE("RSmall", SOURCE("for.a.small.queue"), "", BURIED("1", "Small"))
                            RULE("RNobody", SOURCE("for.nobody"), "", TARGET("1", "Gone"))
                                RULE("RTwo", SOURCE("for.two"), "", TARGET("1", "Literal") "," TARGET("2", "Prefix"))
                                    RULE("RTwoAgain", SOURCE("for.two"), "", TARGET("1", "Captured"))
                                        RULE("RDisabled", SOURCE("disabled"), ",\"State\":\"DISABLED\"",
                                             TARGET("1", "Literal")) "}}";

static struct proc *server;
static struct aws_call aws;
static const char *dir;
static char url[100];

/* option and value may be NULL. */
static void
start_with(const char *option, const char *value)
{
    const char *argv[] = {
        proc_path("bin/fanout-local"),  "--listen", "127.0.0.1:0", "--data", tmp_path(dir, "data"), "--template",
        tmp_path(dir, "template.json"), option,     value,         NULL};
    server = proc_spawn(argv, NULL);
    const char *line = proc_wait_line(server, "READY ", 20000);
    assert_non_null(line);
    snprintf(url, sizeof url, "%s", strstr(line, "http://"));
    aws_call_init(&aws, url);
}

static void
start(void)
{
    start_with(NULL, NULL);
}

static void
delete_queue(const char *name)
{
    assert_int_equal(aws_call_sqs(&aws, "DeleteQueue", "{\"QueueUrl\":\"%s/000000000000/%s\"}", url, name), 200);
}

static int
start_server(void **state)
{
    (void)state;
    struct s3_answer a;
    dir = tmp_new();
    tmp_write(dir, "template.json", "%s", TEMPLATE);
    start();
    delete_queue("gone");
    s3_call(url, &(struct s3_request){.method = "DELETE", .path = "/doomed"}, &a);
    assert_int_equal(a.status, 204);
    s3_answer_clean_up(&a);
    return 0;
}

static int
stop_server(void **state)
{
    (void)state;
    aws_call_clean_up(&aws);
    proc_signal(server, SIGTERM); /* an orderly end lets a sanitizer speak */
    assert_int_equal(proc_wait_exit(server, 20000), 0);
    proc_destroy(server);
    return 0;
}

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

static int
put_body(struct slice body)
{
    return aws_call_begin(&aws, "events", "AWSEvents.PutEvents", body) ? aws_call_finish(&aws) : 0;
}

/* format: the entries, without the list's brackets. */
__attribute__((format(printf, 1, 2))) static int
put(const char *format, ...)
{
    struct buf body = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_string(&body, "{\"Entries\":[");
    buf_add_format_va(&body, format, ap);
    buf_add_string(&body, "]}");
    va_end(ap);
    int status = put_body(buf_slice(&body));
    buf_clean_up(&body);
    return status;
}

/* The id of entry i of the last call. */
static const char *
event_id(int i)
{
    static char id[10][64];
    char path[40];
    snprintf(path, sizeof path, "Entries.%d.EventId", i);
    if (!aws_call_text(&aws, path, id[i], sizeof id[i]))
        fail_msg("entry %d has no id: %.*s", i, SLICE_ARG(aws.body));
    return id[i];
}

static void
assert_failed(int i, const char *code, const char *message)
{
    char path[40], text[200];
    snprintf(path, sizeof path, "Entries.%d.ErrorCode", i);
    aws_call_text(&aws, path, text, sizeof text);
    assert_string_equal(text, code);
    snprintf(path, sizeof path, "Entries.%d.ErrorMessage", i);
    aws_call_text(&aws, path, text, sizeof text);
    assert_string_equal(text, message);
}

static void
assert_count_failed(const char *n)
{
    char text[20];
    assert_int_equal(aws.status, 200);
    aws_call_text(&aws, "FailedEntryCount", text, sizeof text);
    assert_string_equal(text, n);
}

static void
assert_refused(const char *body, const char *code, const char *beginning)
{
    assert_int_equal(put_body(slice_of_string(body)), 400);
    assert_string_equal(aws.error, code);
    if (strncmp(aws.message, beginning, strlen(beginning)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", aws.message, beginning);
}

static void
assert_takes_id(const char *queue, const char *id)
{
    char expected[100], *body = queue_take_body(url, queue);
    snprintf(expected, sizeof expected, "{\"version\":\"0\",\"id\":\"%s\",", id);
    assert_memory_equal(body, expected, strlen(expected));
    free(body);
}

static void
assert_object(const char *time, const char *id, const char *content)
{
    struct s3_answer a;
    char path[200];
    snprintf(path, sizeof path, "/archive/raw-events/%s-%s.json", time, id);
    s3_call(url, &(struct s3_request){.method = "GET", .path = path}, &a);
    assert_int_equal(a.status, content ? 200 : 404);
    if (content) {
        assert_string_equal(a.body.p, content);
        assert_int_equal(a.body.n, strlen(content));
        assert_true(slice_equals_string(s3_answer_header(&a, "Content-Type"), "application/json"));
    }
    s3_answer_clean_up(&a);
}

/* ---- what comes out ---------------------------------------------------------------------------------------------- */

static void
an_event_comes_out_in_aws_s_envelope_and_is_captured_as_it_came_out(void **state)
{
    (void)state;
    char expected[1000];
    assert_int_equal(put("{\"Source\":\"captured.it\",\"DetailType\":\"a \\\"b\\\" \\u00e9\",\"Time\":1763618400.75,"
                         "\"Resources\":[\"arn:x\",\"say \\\"y\\\"\"],\"Detail\":\"{\\\"k\\\": 1}\","
                         "\"EventBusName\":\"bus\"}"),
                     200);
    assert_count_failed("0");
    snprintf(expected, sizeof expected,
             "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":\"a \\\"b\\\" \xc3\xa9\",\"source\":\"captured.it\","
             "\"account\":\"000000000000\",\"time\":\"2025-11-20T06:00:00Z\",\"region\":\"us-east-1\","
             "\"resources\":[\"arn:x\",\"say \\\"y\\\"\"],\"detail\":{\"k\": 1}}",
             event_id(0));
    char *body = queue_take_body(url, "captured");
    assert_string_equal(body, expected);
    assert_object("2025-11-20T06:00:00Z", event_id(0), expected);
    queue_assert_empty(url, "captured");
    free(body);
}

static void
details_come_out_byte_for_byte(void **state)
{
    (void)state;
    static const char *const DETAILS[] = {
        "{\"n\": 9007199254740993}",
        "{\"price\":1.10,\"zero\":-0.0,\"big\":1e400,\"small\":1E-400}",
        "{\"nul\":\"a\\u0000b\",\"slash\":\"\\/\",\"pair\":\"\\ud83d\\ude00\",\"lone\":\"\\ud83d\"}",
        "{\"raw\":\"\xf0\x9f\x98\x80 \xc3\xa9 \x7f\"}",
        " { \"white\" :\t[ 1 , 2,3 ]\r\n, \"a\":1, \"a\":2 } ",
        "{}",
    };
    for (size_t i = 0; i < sizeof DETAILS / sizeof *DETAILS; i++) {
        struct buf quoted = BUF_INIT, expected = BUF_INIT;
        json_write_string(&quoted, slice_of_string(DETAILS[i]));
        assert_int_equal(put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":%s,"
                             "\"EventBusName\":\"bus\"}",
                             quoted.data),
                         200);
        assert_count_failed("0");
        buf_add_format(&expected,
                       "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":\"d\",\"source\":\"captured\","
                       "\"account\":\"000000000000\",\"time\":\"2025-11-20T06:00:00Z\",\"region\":\"us-east-1\","
                       "\"resources\":[],\"detail\":%s}",
                       event_id(0), DETAILS[i]);
        char *body = queue_take_body(url, "captured");
        assert_string_equal(body, expected.data);
        assert_object("2025-11-20T06:00:00Z", event_id(0), expected.data);
        free(body);
        buf_clean_up(&quoted);
        buf_clean_up(&expected);
    }
}

static void
an_event_without_a_time_has_the_present_one(void **state)
{
    (void)state;
    int64_t before = clock_wall_ms() / 1000 * 1000, at;
    assert_int_equal(put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
                     200);
    int64_t after = clock_wall_ms();
    char *body = queue_take_body(url, "captured"), *time = strstr(body, "\"time\":\"");
    assert_non_null(time);
    assert_int_equal(clock_parse_iso8601(time + 8, strlen("2025-11-20T06:00:00Z"), &at, NULL), 0);
    assert_in_range(at, before, after);
    free(body);
}

static void
rules_choose_by_literal_and_by_prefix(void **state)
{
    (void)state;
    assert_int_equal(put("{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\","
                         "\"EventBusName\":\"bus\"},"
                         "{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"lost\\\"}\","
                         "\"EventBusName\":\"bus\"},"
                         "{\"Source\":\"order\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\","
                         "\"EventBusName\":\"bus\"},"
                         "{\"Source\":\"x\",\"DetailType\":\"Ordered\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"},"
                         "{\"Source\":\"x\",\"DetailType\":\"order\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"},"
                         "{\"Source\":\"disabled\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
                     200);
    assert_count_failed("0");
    assert_takes_id("literal", event_id(0));
    queue_assert_empty(url, "literal");
    assert_takes_id("prefix", event_id(3));
    queue_assert_empty(url, "prefix");
}

static void
every_target_of_every_rule_gets_the_same_event(void **state)
{
    (void)state;
    assert_int_equal(put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
                     200);
    char *literal = queue_take_body(url, "literal"), *prefix = queue_take_body(url, "prefix"),
         *captured = queue_take_body(url, "captured");
    assert_string_equal(literal, prefix);
    assert_string_equal(literal, captured);
    free(literal);
    free(prefix);
    free(captured);
}

static void
a_bus_is_known_by_its_arn_too(void **state)
{
    (void)state;
    assert_int_equal(put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\","
                         "\"EventBusName\":\"arn:aws:events:us-east-1:000000000000:event-bus/bus\"}"),
                     200);
    assert_takes_id("literal", event_id(0));
    assert_takes_id("prefix", event_id(0));
    assert_takes_id("captured", event_id(0));
}

static void
an_event_for_an_unknown_bus_gets_an_id_and_goes_nowhere(void **state)
{
    (void)state;
    assert_int_equal(
        put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"no-such-bus\"},"
            "{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\"}"), /* the default bus: no rules */
        200);
    assert_count_failed("0");
    assert_int_equal(strlen(event_id(0)), 36);
    assert_int_equal(strlen(event_id(1)), 36);
    queue_assert_empty(url, "literal");
    assert_non_null(proc_wait_line(server, "bus=no-such-bus", 10000));
}

static void
a_replayed_event_is_delivered_and_not_captured_again(void **state)
{
    (void)state;
    assert_int_equal(put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                         "\"Resources\":[\"urn:fanout:event:1\",\"urn:fanout:replay:job\"],\"EventBusName\":\"bus\"},"
                         "{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                         "\"Resources\":[\"urn:fanout:event:1\"],\"EventBusName\":\"bus\"}"),
                     200);
    char *first = queue_take_body(url, "captured"), *second = queue_take_body(url, "captured");
    bool in_order = strstr(first, event_id(0)) != NULL;
    assert_non_null(strstr(in_order ? first : second, "[\"urn:fanout:event:1\",\"urn:fanout:replay:job\"]"));
    assert_object("2025-11-20T06:00:00Z", event_id(0), NULL);
    assert_object("2025-11-20T06:00:00Z", event_id(1), in_order ? second : first);
    free(first);
    free(second);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void
each_entry_fails_by_itself(void **state)
{
    (void)state;
    assert_int_equal(put("{\"DetailType\":\"d\",\"Detail\":\"{}\"},"
                         "{\"Source\":\"\",\"DetailType\":\"d\",\"Detail\":\"{}\"},"
                         "{\"Source\":\"s\",\"Detail\":\"{}\"},"
                         "{\"Source\":\"s\",\"DetailType\":\"d\"},"
                         "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"{\"},"
                         "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"[]\"},"
                         "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"{} {}\"},"
                         "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"{},\\\"x\\\":{}\"},"
                         "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":null},"
                         "{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"sent\\\"}\","
                         "\"EventBusName\":\"bus\"}"),
                     200);
    assert_count_failed("9");
    assert_failed(0, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument.");
    assert_failed(1, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument.");
    assert_failed(2, "InvalidArgument",
                  "Parameter DetailType is not valid. Reason: DetailType is a required argument.");
    assert_failed(3, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument.");
    for (int i = 4; i <= 7; i++)
        assert_failed(i, "MalformedDetail", "Detail is malformed.");
    assert_failed(8, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument.");
    assert_takes_id("literal", event_id(9));
    queue_assert_empty(url, "literal");
}

/* A detail of objects in each other: depth of them. */
static char *
nested_detail(size_t depth)
{
    struct buf text = BUF_INIT;
    for (size_t i = 1; i < depth; i++)
        buf_add_string(&text, "{\\\"a\\\":");
    buf_add_string(&text, "{}");
    for (size_t i = 1; i < depth; i++)
        buf_add_char(&text, '}');
    return buf_take(&text);
}

static void
a_detail_nests_as_deep_as_its_envelope_can_be_read(void **state)
{
    (void)state;
    static const char FORMAT[] =
        "{\"Source\":\"captured\",\"DetailType\":\"d\",\"Detail\":\"%s\",\"EventBusName\":\"bus\"}";
    for (size_t depth = JSON_MAX_DEPTH - 2; depth <= JSON_MAX_DEPTH + 2; depth++) {
        char *detail = nested_detail(depth);
        assert_int_equal(put(FORMAT, detail), 200);
        free(detail);
        if (depth < JSON_MAX_DEPTH) {
            assert_takes_id("captured", event_id(0));
        } else {
            assert_failed(0, "MalformedDetail", "Detail is malformed.");
            queue_assert_empty(url, "captured");
        }
    }
}

static void
what_is_no_put_events_call_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const char MANY[] = "1 validation error detected: Value '[11 entries]' at 'entries' failed to satisfy "
                               "constraint: Member must have length less than or equal to 10";
    struct buf body = BUF_INIT;
    assert_refused("", "SerializationException", "");
    assert_refused("[]", "SerializationException", "");
    assert_refused("{\"Entries\":[}", "SerializationException", "");
    assert_refused("{}", "ValidationException", "1 validation error detected: Value null at 'entries'");
    assert_refused("{\"Entries\":null}", "ValidationException", "1 validation error detected: Value null at 'entries'");
    assert_refused("{\"Entries\":[]}", "ValidationException", "1 validation error detected");
    assert_refused("{\"Entries\":{}}", "SerializationException", "Entries is no list");
    assert_refused("{\"Entries\":[1]}", "SerializationException", "an entry is no object");
    assert_refused("{\"Entries\":[{\"Source\":1}]}", "SerializationException", "");
    assert_refused("{\"Entries\":[{\"Source\":\"\\ud83d\"}]}", "SerializationException", "");
    assert_refused("{\"Entries\":[{\"Time\":\"2025-11-20T06:00:00Z\"}]}", "SerializationException",
                   "Time is no timestamp");
    assert_refused("{\"Entries\":[{\"Time\":-1}]}", "SerializationException", "Time is no timestamp");
    assert_refused("{\"Entries\":[{\"Time\":1e400}]}", "SerializationException", "Time is no timestamp");
    assert_refused("{\"Entries\":[{\"Resources\":\"x\"}]}", "SerializationException", "Resources is no list");
    assert_refused("{\"Entries\":[{\"Resources\":[1]}]}", "SerializationException", "Resources holds something");
    buf_add_string(&body, "{\"Entries\":[");
    for (int i = 0; i < 11; i++)
        buf_add_format(&body,
                       "%s{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\","
                       "\"EventBusName\":\"bus\"}",
                       i > 0 ? "," : "");
    buf_add_string(&body, "]}");
    assert_refused(body.data, "ValidationException", MANY);
    queue_assert_empty(url, "literal");
    buf_clean_up(&body);
}

/* What the model of the service bounds; the words are those recorded of other calls with such members. */
static void
what_the_model_forbids_is_refused_as_a_whole(void **state)
{
    (void)state;
#define REGEX                                                                                                          \
    "failed to satisfy constraint: Member must satisfy regular expression pattern: "                                   \
    "(arn:aws[\\w-]*:events:[a-z]+-[a-z]+-[\\w-]+:[0-9]{12}:event-bus\\/)?[\\.\\-_A-Za-z0-9]+"
    static const char *const BAD_BUSES[] = {"my bus",
                                            "a/b",
                                            "arn:aws:events:us-east-1:12:event-bus/bus",
                                            "arn:aws:events:local:000000000000:event-bus/bus",
                                            "arn:aws:events:us-east-1:000000000000:event-bus/",
                                            "arn:aws:sqs:us-east-1:000000000000:bus"};
    static const char *const GOOD_BUSES[] = {"bus", "B.u-s_1", "arn:aws:events:us-east-1:000000000000:event-bus/bus",
                                             "arn:aws-cn:events:cn-north-1:000000000000:event-bus/bus",
                                             "arn:aws-us-gov:events:us-gov-west-1:000000000000:event-bus/bus"};
    char body[5000], expected[1000], resource[2060];
    for (size_t i = 0; i < sizeof BAD_BUSES / sizeof *BAD_BUSES; i++) {
        snprintf(body, sizeof body, "{\"Entries\":[{},{\"EventBusName\":\"%s\"}]}", BAD_BUSES[i]);
        snprintf(expected, sizeof expected,
                 "1 validation error detected: Value '%s' at 'entries.2.member.eventBusName' " REGEX, BAD_BUSES[i]);
        assert_refused(body, "ValidationException", expected);
    }
    for (size_t i = 0; i < sizeof GOOD_BUSES / sizeof *GOOD_BUSES; i++) {
        snprintf(body, sizeof body,
                 "{\"Source\":\"nobody.s\",\"DetailType\":\"d\",\"Detail\":\"{}\","
                 "\"EventBusName\":\"%s\"}",
                 GOOD_BUSES[i]);
        assert_int_equal(put("%s", body), 200);
    }
    assert_refused("{\"Entries\":[{\"EventBusName\":\"\"}]}", "ValidationException",
                   "2 validation errors detected: Value '' at 'entries.1.member.eventBusName' " REGEX
                   "; Value '' at 'entries.1.member.eventBusName' failed to satisfy constraint: Member must have "
                   "length greater than or equal to 1");
    memset(resource, 'r', 2049);
    resource[2049] = '\0';
    snprintf(body, sizeof body, "{\"Entries\":[{\"Resources\":[\"a\",\"%s\"]}]}", resource);
    assert_refused(body, "ValidationException", "1 validation error detected: Value 'rrr");
    assert_non_null(strstr(aws.message, "' at 'entries.1.member.resources.2.member' failed to satisfy constraint: "
                                        "Member must have length less than or equal to 2048"));
    assert_refused("{\"Entries\":[{\"TraceHeader\":\"\"}]}", "ValidationException",
                   "1 validation error detected: Value '' at 'entries.1.member.traceHeader' failed to satisfy "
                   "constraint: Member must have length greater than or equal to 1");
#undef REGEX
}

static void
of_a_member_given_twice_the_last_counts(void **state)
{
    (void)state;
    assert_int_equal(put("{\"Source\":\"x\",\"Source\":\"captured\",\"DetailType\":\"d\",\"Detail\":\"{}\","
                         "\"Resources\":[\"a\",\"b\",\"c\"],\"Resources\":[\"d\"],\"EventBusName\":\"bus\"}"),
                     200);
    char *body = queue_take_body(url, "captured");
    assert_non_null(strstr(body, "\"resources\":[\"d\"]"));
    free(body);
}

/* Two entries whose sizes, as AWS counts them, add up to bytes: 14 for the Time and what the texts have. */
static int
put_of_size(size_t bytes)
{
    struct buf body = BUF_INIT;
    size_t fixed = 2 * (strlen("x") + strlen("d") + strlen("{\"f\":\"\"}")) + 14 + strlen("\xc3\xa9");
    buf_add_string(&body, "{\"Entries\":[{\"Source\":\"x\",\"DetailType\":\"d\",\"Detail\":\"{\\\"f\\\":\\\"\\\"}\","
                          "\"Time\":1763618400,\"Resources\":[\"\\u00e9\"]},{\"Source\":\"x\",\"DetailType\":\"d\","
                          "\"Detail\":\"{\\\"f\\\":\\\"");
    for (size_t i = fixed; i < bytes; i++)
        buf_add_char(&body, 'f');
    buf_add_string(&body, "\\\"}\"}]}");
    int status = put_body(buf_slice(&body));
    buf_clean_up(&body);
    return status;
}

static void
a_call_may_be_a_mebibyte_large(void **state)
{
    (void)state;
    assert_int_equal(put_of_size(1048576), 200);
    assert_count_failed("0");
    assert_int_equal(put_of_size(1048577), 400);
    assert_string_equal(aws.error, "ValidationException");
    assert_string_equal(aws.message, "Total size of the entries in the request is over the limit.");
}

static void
a_call_may_be_made_as_small_as_it_was(void **state)
{
    (void)state;
    stop_server(state);
    start_with("--put-events-bytes", "262144");
    assert_int_equal(put_of_size(262144), 200);
    assert_int_equal(put_of_size(262145), 400);
    assert_string_equal(aws.message, "Total size of the entries in the request is over the limit.");
    stop_server(state);
    start();
}

static void
an_event_too_large_for_any_queue_is_captured(void **state)
{
    (void)state;
    size_t n = 1048576 - strlen("captured") - strlen("d") - strlen("{\"f\":\"\"}") - 14;
    char *filling = malloc(n + 1), path[200];
    struct s3_answer a;
    assert_non_null(filling);
    memset(filling, 'f', n);
    filling[n] = '\0';
    assert_int_equal(put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,"
                         "\"Detail\":\"{\\\"f\\\":\\\"%s\\\"}\",\"EventBusName\":\"bus\"}",
                         filling),
                     200);
    assert_count_failed("0");
    queue_assert_empty(url, "captured");
    snprintf(path, sizeof path, "/archive/raw-events/2025-11-20T06:00:00Z-%s.json", event_id(0));
    s3_call(url, &(struct s3_request){.method = "GET", .path = path}, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(memmem(a.body.p, a.body.n, filling, n));
    s3_answer_clean_up(&a);
    free(filling);
}

static void
another_operation_and_a_wrong_secret_are_refused(void **state)
{
    (void)state;
    assert_true(aws_call_begin(&aws, "events", "AWSEvents.CreateArchive", SLICE("{}")));
    assert_int_equal(aws_call_finish(&aws), 400);
    assert_string_equal(aws.error, "UnknownOperationException");
    aws.secret_access_key = "wrong";
    assert_int_equal(put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
                     400);
    assert_string_equal(aws.error, "InvalidSignatureException");
    aws.secret_access_key = "test";
    queue_assert_empty(url, "literal");
}

/* ---- what cannot be delivered ------------------------------------------------------------------------------------ */

static void
assert_attribute(const struct aws_call *reply, const char *name, const char *value)
{
    char path[100], text[300];
    snprintf(path, sizeof path, "Messages.0.MessageAttributes.%s.StringValue", name);
    aws_call_text(reply, path, text, sizeof text);
    assert_string_equal(text, value);
    snprintf(path, sizeof path, "Messages.0.MessageAttributes.%s.DataType", name);
    aws_call_text(reply, path, text, sizeof text);
    assert_string_equal(text, *value ? "String" : "");
}

static void
assert_buried(const char *source, const char *rule, const char *target, const char *code)
{
    struct aws_call reply;
    char arn[200], body[1000];
    assert_int_equal(put("{\"Source\":\"%s\",\"DetailType\":\"d\",\"Detail\":\"{\\\"f\\\":\\\"%01000d\\\"}\","
                         "\"EventBusName\":\"bus\"}",
                         source, 0),
                     200);
    assert_count_failed("0");
    if (!queue_take(url, "dead", &reply))
        fail_msg("no dead letter for %s", source);
    aws_call_text(&reply, "Messages.0.Body", body, sizeof body); /* cut; its beginning is enough */
    snprintf(arn, sizeof arn, "arn:aws:events:us-east-1:000000000000:rule/bus/%s", rule);
    assert_attribute(&reply, "RULE_ARN", arn);
    assert_attribute(&reply, "TARGET_ARN", target);
    assert_attribute(&reply, "ERROR_CODE", code);
    assert_attribute(&reply, "RETRY_ATTEMPTS", "0");
    assert_attribute(&reply, "EXHAUSTED_RETRY_CONDITION", "");
    char message[300];
    assert_true(
        aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_MESSAGE.StringValue", message, sizeof message));
    assert_true(strlen(message) > 10);
    struct json whole;
    assert_true(aws_call_at(&reply, "Messages.0.Body", &whole));
    assert_true(json_starts_with(whole, SLICE("{\"version\":\"0\",\"id\":\"")));
    aws_call_clean_up(&reply);
    queue_assert_empty(url, "dead");
}

static void
what_no_target_takes_becomes_a_dead_letter_that_says_why(void **state)
{
    (void)state;
    assert_buried("for.a.gone.queue", "RGone", ARN("gone"), "NO_RESOURCE");
    assert_buried("for.a.function", "RFunction", "arn:aws:lambda:us-east-1:000000000000:function:other", "NO_RESOURCE");
    assert_buried("for.a.gone.bucket", "RDoomed", "arn:aws:lambda:us-east-1:000000000000:function:capture-doomed",
                  "NO_RESOURCE");
    assert_buried("for.a.small.queue", "RSmall", ARN("small"), "SDK_CLIENT_ERROR");
    queue_assert_empty(url, "small");
}

static void
without_a_dead_letter_queue_it_is_dropped_and_logged(void **state)
{
    (void)state;
    assert_int_equal(put("{\"Source\":\"for.nobody\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
                     200);
    assert_count_failed("0");
    assert_non_null(proc_wait_line(server, "rule=RNobody", 10000));
    queue_assert_empty(url, "dead");
}

/* ---- faults and crashes ------------------------------------------------------------------------------------------ */

static void
a_duplicate_fault_delivers_twice_and_captures_once(void **state)
{
    (void)state;
    admin_set_fault(url, "{\"action\":\"events:PutEvents\",\"kind\":\"duplicate\"}");
    assert_int_equal(put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                         "\"EventBusName\":\"bus\"}"),
                     200);
    char *body = queue_take_body(url, "captured"), *again = queue_take_body(url, "captured");
    assert_string_equal(body, again);
    queue_assert_empty(url, "captured");
    assert_object("2025-11-20T06:00:00Z", event_id(0), body);
    free(body);
    free(again);
}

static void
kill_9_right_after_the_answer_loses_neither_message_nor_object(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        assert_int_equal(put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                             "\"EventBusName\":\"bus\"}"),
                         200);
        proc_signal(server, SIGKILL);
        char id[64];
        snprintf(id, sizeof id, "%s", event_id(0));
        assert_int_equal(proc_wait_exit(server, 20000), -SIGKILL);
        proc_destroy(server);
        aws_call_clean_up(&aws);
        start();
        char *body = queue_take_body(url, "captured");
        assert_non_null(strstr(body, id));
        assert_object("2025-11-20T06:00:00Z", id, body);
        queue_assert_empty(url, "captured");
        free(body);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_out_in_aws_s_envelope_and_is_captured_as_it_came_out),
        cmocka_unit_test(details_come_out_byte_for_byte),
        cmocka_unit_test(an_event_without_a_time_has_the_present_one),
        cmocka_unit_test(rules_choose_by_literal_and_by_prefix),
        cmocka_unit_test(every_target_of_every_rule_gets_the_same_event),
        cmocka_unit_test(a_bus_is_known_by_its_arn_too),
        cmocka_unit_test(an_event_for_an_unknown_bus_gets_an_id_and_goes_nowhere),
        cmocka_unit_test(a_replayed_event_is_delivered_and_not_captured_again),
        cmocka_unit_test(each_entry_fails_by_itself),
        cmocka_unit_test(a_detail_nests_as_deep_as_its_envelope_can_be_read),
        cmocka_unit_test(what_is_no_put_events_call_is_refused_as_a_whole),
        cmocka_unit_test(what_the_model_forbids_is_refused_as_a_whole),
        cmocka_unit_test(of_a_member_given_twice_the_last_counts),
        cmocka_unit_test(a_call_may_be_a_mebibyte_large),
        cmocka_unit_test(another_operation_and_a_wrong_secret_are_refused),
        cmocka_unit_test(what_no_target_takes_becomes_a_dead_letter_that_says_why),
        cmocka_unit_test(without_a_dead_letter_queue_it_is_dropped_and_logged),
        /* the line that the test before waits for is not written twice in ten seconds */
        cmocka_unit_test(an_event_too_large_for_any_queue_is_captured),
        cmocka_unit_test(a_duplicate_fault_delivers_twice_and_captures_once),
        cmocka_unit_test(kill_9_right_after_the_answer_loses_neither_message_nor_object),
        cmocka_unit_test(a_call_may_be_made_as_small_as_it_was),
    };
    return cmocka_run_group_tests_name("local_events", tests, start_server, stop_server);
}
