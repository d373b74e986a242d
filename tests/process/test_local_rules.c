/* The operations of fanout-local's EventBridge on rules and targets: what they keep, what they refuse, and that events
 * go where they say. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/local.h"
#include "lib/queue_take.h"
#include "lib/shared.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define ACCOUNT     "000000000000"
#define QUEUE(name) "arn:aws:sqs:us-east-1:" ACCOUNT ":" name
#define RULE(name)  "arn:aws:events:us-east-1:" ACCOUNT ":rule/" name
#define ORDERS      "{\\\"source\\\":[\\\"orders\\\"]}"

static struct local_server server;
static struct aws_call aws;

/* ---- set up ------------------------------------------------------------------------------------------------------ */

static void
connect_again(void)
{
    aws_call_clean_up(&aws);
    aws_call_init(&aws, server.url);
}

static int
start_server(void **state)
{
    char url[200];
    (void)state;
    local_server_start(&server, false);
    local_server_queue(&server, "q", "{}", url, sizeof url);
    local_server_queue(&server, "other", "{}", url, sizeof url);
    local_server_queue(&server, "dead", "{}", url, sizeof url);
    connect_again();
    return 0;
}

static int
stop_server(void **state)
{
    (void)state;
    aws_call_clean_up(&aws);
    local_server_clean_up(&server);
    return 0;
}

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

/* Calls an operation; body is a printf format. Returns the status. */
__attribute__((format(printf, 2, 3))) static int
call(const char *operation, const char *format, ...)
{
    char target[100];
    struct buf body = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&body, format, ap);
    va_end(ap);
    snprintf(target, sizeof target, "AWSEvents.%s", operation);
    int status = aws_call_begin(&aws, "events", target, buf_slice(&body)) ? aws_call_finish(&aws) : 0;
    buf_clean_up(&body);
    return status;
}

#define assert_done(...)                                                                                               \
    do {                                                                                                               \
        if (call(__VA_ARGS__) != 200)                                                                                  \
            fail_msg("%d %s: %s", aws.status, aws.error, aws.message);                                                 \
    } while (0)

/* The last call was refused so. */
static void
assert_error(const char *code, const char *message)
{
    assert_int_equal(aws.status, 400);
    assert_string_equal(aws.error, code);
    assert_string_equal(aws.message, message);
}

#define assert_refused(code, message, ...)                                                                             \
    do {                                                                                                               \
        call(__VA_ARGS__);                                                                                             \
        assert_error(code, message);                                                                                   \
    } while (0)

static void
assert_text(const char *path, const char *expected)
{
    char text[5000];
    aws_call_text(&aws, path, text, sizeof text);
    assert_string_equal(text, expected);
}

/* An event on the default bus. */
static void
put_event(const char *source, const char *detail)
{
    struct buf quoted = BUF_INIT;
    json_write_string(&quoted, slice_of_string(detail));
    assert_done("PutEvents",
                "{\"Entries\":[{\"Source\":\"%s\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":%s}]}", source,
                quoted.data);
    assert_text("FailedEntryCount", "0");
    buf_clean_up(&quoted);
}

static void
assert_empty(const char *queue)
{
    queue_assert_empty(server.url, queue);
}

/* The next message's body is this; NULL: any. */
static void
assert_takes(const char *queue, const char *expected)
{
    char *body = queue_take_body(server.url, queue);
    if (expected)
        assert_string_equal(body, expected);
    free(body);
}

static void
put_rule(const char *name)
{
    assert_done("PutRule", "{\"Name\":\"%s\",\"EventPattern\":\"" ORDERS "\"}", name);
}

/* members: what the target has besides Id and Arn, each with a comma in front. */
static void
put_target(const char *rule, const char *id, const char *queue, const char *members)
{
    assert_done("PutTargets", "{\"Rule\":\"%s\",\"Targets\":[{\"Id\":\"%s\",\"Arn\":\"" QUEUE("%s") "\"%s}]}", rule, id,
                queue, members);
    assert_text("FailedEntryCount", "0");
}

/* Deletes a rule of the default bus with its targets. */
static void
drop_rule(const char *name)
{
    char ids[1000] = "";
    assert_done("ListTargetsByRule", "{\"Rule\":\"%s\"}", name);
    for (size_t i = 0, n = aws_call_count(&aws, "Targets"); i < n; i++) {
        char path[40], id[70];
        snprintf(path, sizeof path, "Targets.%zu.Id", i);
        aws_call_text(&aws, path, id, sizeof id);
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s\"%s\"", i > 0 ? "," : "", id);
    }
    if (*ids)
        assert_done("RemoveTargets", "{\"Rule\":\"%s\",\"Ids\":[%s]}", name, ids);
    assert_done("DeleteRule", "{\"Name\":\"%s\"}", name);
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static void
a_rule_is_put_and_described(void **state)
{
    (void)state;
    assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS
                           "\",\"Description\":\"say \\\"caf\\u00e9\\\"\",\"RoleArn\":\"arn:aws:iam::1:role/x\","
                           "\"State\":\"DISABLED\",\"Tags\":[{\"Key\":\"k\",\"Value\":\"\"}]}");
    assert_text("RuleArn", RULE("r"));
    assert_done("DescribeRule", "{\"Name\":\"r\"}");
    assert_text("Name", "r");
    assert_text("Arn", RULE("r"));
    assert_text("EventPattern", "{\"source\":[\"orders\"]}");
    assert_text("State", "DISABLED");
    assert_text("Description", "say \"caf\xc3\xa9\"");
    assert_text("RoleArn", "arn:aws:iam::1:role/x");
    assert_text("EventBusName", "default");
    assert_text("CreatedBy", ACCOUNT);
    drop_rule("r");
    assert_refused("ResourceNotFoundException", "Rule r does not exist on EventBus default.", "DescribeRule",
                   "{\"Name\":\"r\"}");
}

static void
putting_a_rule_again_replaces_all_of_it_but_its_targets(void **state)
{
    (void)state;
    assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"{\\\"source\\\":[\\\"x\\\"]}\",\"Description\":\"d\","
                           "\"RoleArn\":\"arn\",\"State\":\"DISABLED\"}");
    put_target("r", "1", "q", "");
    put_rule("r");
    assert_done("DescribeRule", "{\"Name\":\"r\"}");
    assert_text("State", "ENABLED");
    assert_text("Description", "");
    assert_text("RoleArn", "");
    put_event("orders", "{}");
    put_event("x", "{}");
    assert_takes("q", NULL);
    assert_empty("q");
    drop_rule("r");
}

static void
a_rule_counts_from_the_next_event_on_and_while_it_is_enabled(void **state)
{
    (void)state;
    put_event("orders", "{}");
    assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS "\",\"State\":\"DISABLED\"}");
    put_target("r", "1", "q", "");
    put_event("orders", "{}");
    assert_empty("q");
    assert_done("EnableRule", "{\"Name\":\"r\",\"EventBusName\":\"default\"}");
    assert_int_equal(aws.body.n, 0);
    put_event("orders", "{}");
    assert_takes("q", NULL);
    assert_done("DisableRule",
                "{\"Name\":\"r\",\"EventBusName\":\"arn:aws:events:us-east-1:" ACCOUNT ":event-bus/default\"}");
    put_event("orders", "{}");
    assert_empty("q");
    assert_done("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS
                           "\",\"State\":\"ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS\"}");
    put_event("orders", "{}");
    assert_takes("q", NULL);
    assert_done("RemoveTargets", "{\"Rule\":\"r\",\"Ids\":[\"1\"]}");
    put_event("orders", "{}");
    assert_empty("q");
    drop_rule("r");
}

static void
a_rule_with_targets_is_not_deleted(void **state)
{
    (void)state;
    put_rule("r");
    put_target("r", "1", "q", "");
    assert_refused("ValidationException", "Rule can't be deleted since it has targets.", "DeleteRule",
                   "{\"Name\":\"r\",\"Force\":true}");
    assert_done("DescribeRule", "{\"Name\":\"r\"}");
    drop_rule("r");
    assert_done("DeleteRule", "{\"Name\":\"r\"}"); /* again */
}

static void
what_does_not_exist_is_said_so(void **state)
{
    (void)state;
    static const char *const BY_NAME[] = {"DescribeRule", "EnableRule", "DisableRule"};
    static const char *const ALL[] = {"DescribeRule", "EnableRule", "DisableRule", "DeleteRule", "ListRules"};
    for (size_t i = 0; i < sizeof BY_NAME / sizeof *BY_NAME; i++)
        assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", BY_NAME[i],
                       "{\"Name\":\"none\"}");
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++)
        assert_refused("ResourceNotFoundException", "Event bus nobody.s does not exist.", ALL[i],
                       "{\"Name\":\"none\",\"EventBusName\":\"nobody.s\"}");
    assert_refused("ResourceNotFoundException", "Event bus nobody.s does not exist.", "PutRule",
                   "{\"Name\":\"r\",\"EventPattern\":\"" ORDERS
                   "\",\"EventBusName\":\"arn:aws:events:us-east-1:" ACCOUNT ":event-bus/nobody.s\"}");
    assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", "PutTargets",
                   "{\"Rule\":\"none\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"" QUEUE("q") "\"}]}");
    assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", "RemoveTargets",
                   "{\"Rule\":\"none\",\"Ids\":[\"1\"]}");
    assert_refused("ResourceNotFoundException", "Rule none does not exist on EventBus default.", "ListTargetsByRule",
                   "{\"Rule\":\"none\"}");
}

static void
a_rule_needs_a_pattern_that_is_one(void **state)
{
    (void)state;
    assert_refused("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.",
                   "PutRule", "{\"Name\":\"r\"}");
    assert_refused("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.",
                   "PutRule", "{\"Name\":\"r\",\"EventPattern\":\"\"}");
    assert_refused("ValidationException",
                   "1 validation error detected: Value 'a\\u0000b' at 'name' failed to satisfy constraint: Member must "
                   "satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
                   "PutRule", "{\"Name\":\"a\\u0000b\",\"EventPattern\":\"{}\"}");
    call("PutRule", "{\"Name\":\"r\",\"EventPattern\":\"{\\\"source\\\":\\\"orders\\\"}\"}");
    assert_int_equal(aws.status, 400);
    assert_string_equal(aws.error, "InvalidEventPatternException");
    assert_int_equal(
        strncmp(aws.message, "Event pattern is not valid. Reason: \"source\" must be an object or an array at ", 70),
        0);
    assert_refused("ResourceNotFoundException", "Rule r does not exist on EventBus default.", "DescribeRule",
                   "{\"Name\":\"r\"}");
}

static void
schedules_are_refused_by_name(void **state)
{
    (void)state;
    assert_refused("ValidationException", "Parameter ScheduleExpression is not valid.", "PutRule",
                   "{\"Name\":\"r\",\"ScheduleExpression\":\"hourly\"}");
    call("PutRule", "{\"Name\":\"r\",\"ScheduleExpression\":\"rate(1 minute)\",\"EventPattern\":\"" ORDERS "\"}");
    assert_string_equal(aws.error, "ValidationException");
    assert_non_null(strstr(aws.message, "ScheduleExpression is not supported by fanout-local"));
    assert_refused("ResourceNotFoundException", "Rule r does not exist on EventBus default.", "DescribeRule",
                   "{\"Name\":\"r\"}");
}

static void
rules_are_listed_in_pages_and_by_prefix(void **state)
{
    (void)state;
    char token[200], path[40], name[70], expected[70];
    for (int i = 0; i < 23; i++) {
        snprintf(name, sizeof name, "page-%02d", i);
        put_rule(name);
    }
    put_rule("pagE");
    put_rule("qage");
    assert_done("ListRules", "{\"NamePrefix\":\"page\",\"Limit\":10}");
    for (int i = 0; i < 23; i++) {
        if (i > 0 && i % 10 == 0) {
            assert_int_equal(aws_call_count(&aws, "Rules"), 10);
            assert_true(aws_call_text(&aws, "NextToken", token, sizeof token));
            assert_done("ListRules", "{\"NamePrefix\":\"page\",\"Limit\":10,\"NextToken\":\"%s\"}", token);
        }
        snprintf(path, sizeof path, "Rules.%d.Name", i % 10);
        snprintf(expected, sizeof expected, "page-%02d", i);
        assert_text(path, expected);
    }
    assert_int_equal(aws_call_count(&aws, "Rules"), 3);
    assert_text("NextToken", "");
    assert_text("Rules.0.EventPattern", "{\"source\":[\"orders\"]}");
    assert_text("Rules.0.State", "ENABLED");
    assert_text("Rules.0.EventBusName", "default");
    assert_text("Rules.0.Arn", RULE("page-20"));
    assert_text("Rules.0.CreatedBy", "");
    assert_done("ListRules", "{\"NamePrefix\":\"page-1\",\"Limit\":10}"); /* exactly a page */
    assert_int_equal(aws_call_count(&aws, "Rules"), 10);
    assert_text("NextToken", "");
    assert_done("ListRules", "{}");
    assert_int_equal(aws_call_count(&aws, "Rules"), 25);
    assert_refused("ValidationException", "Parameter NextToken is not valid.", "ListRules", "{\"NextToken\":\"?\"}");
    assert_refused("ValidationException", "Parameter NextToken is not valid.", "ListRules", "{\"NextToken\":\"ISE=\"}");
    for (int i = 0; i < 23; i++) {
        snprintf(name, sizeof name, "page-%02d", i);
        drop_rule(name);
    }
    drop_rule("pagE");
    drop_rule("qage");
}

/* ---- targets ----------------------------------------------------------------------------------------------------- */

static void
targets_are_listed_as_they_were_put(void **state)
{
    (void)state;
    static const char FULL[] = "{\"Id\":\"a\",\"Arn\":\"" QUEUE(
        "q") "\",\"RoleArn\":\"arn:aws:iam::1:role/x\","
             "\"InputTransformer\":{\"InputPathsMap\":{\"x\":\"$.detail.x\"},\"InputTemplate\":\"{\\\"x\\\":<x>}\"},"
             "\"SqsParameters\":{\"MessageGroupId\":\"g\"},\"DeadLetterConfig\":{\"Arn\":\"" QUEUE(
                 "dead") "\"},"
                         "\"RetryPolicy\":{\"MaximumRetryAttempts\":0,\"MaximumEventAgeInSeconds\":60}}";
    struct json shown;
    char token[100];
    put_rule("r");
    assert_done(
        "PutTargets",
        "{\"Rule\":\"r\",\"Targets\":[%s,{\"Id\":\"b\",\"Arn\":\"" QUEUE("q") "\",\"Unknown\":1,\"Input\":null}]}",
        FULL);
    assert_done("ListTargetsByRule", "{\"Rule\":\"r\",\"Limit\":1}");
    assert_true(aws_call_at(&aws, "Targets.0", &shown));
    assert_int_equal(shown.text.n, strlen(FULL));
    assert_memory_equal(shown.text.p, FULL, shown.text.n);
    assert_true(aws_call_text(&aws, "NextToken", token, sizeof token));
    assert_done("ListTargetsByRule", "{\"Rule\":\"r\",\"Limit\":1,\"NextToken\":\"%s\"}", token);
    assert_true(aws_call_at(&aws, "Targets.0", &shown));
    assert_true(slice_equals_string(shown.text, "{\"Id\":\"b\",\"Arn\":\"" QUEUE("q") "\"}"));
    assert_text("NextToken", "");
    put_target("r", "a", "other", ""); /* replaced, not added to */
    assert_done("ListTargetsByRule", "{\"Rule\":\"r\"}");
    assert_int_equal(aws_call_count(&aws, "Targets"), 2);
    assert_true(aws_call_at(&aws, "Targets.0", &shown));
    assert_true(slice_equals_string(shown.text, "{\"Id\":\"a\",\"Arn\":\"" QUEUE("other") "\"}"));
    drop_rule("r");
}

static void
a_rule_has_five_targets_at_most(void **state)
{
    (void)state;
    static const char LIMIT[] = "The requested resource exceeds the maximum number allowed.";
#define T(id) "{\"Id\":\"" id "\",\"Arn\":\"" QUEUE("q") "\"}"
    put_rule("r");
    assert_refused("LimitExceededException", LIMIT, "PutTargets",
                   "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("2") "," T("3") "," T("4") "," T("5") "," T("6") "]}");
    assert_done("ListTargetsByRule", "{\"Rule\":\"r\"}");
    assert_int_equal(aws_call_count(&aws, "Targets"), 0);
    assert_done("PutTargets", "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("2") "," T("3") "," T("4") "," T("5") "]}");
    assert_done("PutTargets", "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("5") "," T("5") "]}");
    assert_refused("LimitExceededException", LIMIT, "PutTargets",
                   "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("6") "]}");
    put_event("orders", "{}");
    for (int i = 0; i < 5; i++)
        assert_takes("q", NULL);
    assert_empty("q");
    drop_rule("r");
#undef T
}

static void
a_target_that_is_not_there_cannot_be_removed(void **state)
{
    (void)state;
    put_rule("r");
    put_target("r", "1", "q", "");
    assert_done("RemoveTargets", "{\"Rule\":\"r\",\"Ids\":[\"0\",\"1\",\"1\"]}");
    assert_text("FailedEntryCount", "2");
    assert_text("FailedEntries.0.TargetId", "0");
    assert_text("FailedEntries.0.ErrorCode", "ResourceNotFoundException");
    assert_text("FailedEntries.0.ErrorMessage", "Rule 'r' does not have a target with the Id '0'.");
    assert_text("FailedEntries.1.TargetId", "1");
    drop_rule("r");
}

static void
what_a_target_may_not_be_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *target, *message;
    } CASES[] = {
        {"\"Arn\":\"q\"", "Parameter q is not valid. Reason: Provided Arn is not in correct format."},
        {"\"Arn\":\"arn:aws:lambda:us-east-1:1:function:f\"",
         "Parameter Arn of target bad is not supported by fanout-local: targets are SQS queues here, which "
         "arn:aws:lambda:us-east-1:1:function:f is not."},
        {"\"Arn\":\"" QUEUE("q.fifo") "\"", "Parameter(s) SqsParameters must be specified for target: bad."},
        {"\"Arn\":\"" QUEUE("q") "\",\"KinesisParameters\":{\"PartitionKeyPath\":\"$.id\"}",
         "Parameter KinesisParameters is not valid for target bad: it is an SQS queue."},
        {"\"Arn\":\"" QUEUE("q") "\",\"DeadLetterConfig\":{\"Arn\":\"" QUEUE("d.fifo") "\"}",
         "Parameter DeadLetterConfig.Arn of target bad is not valid. Reason: it is not the ARN of a standard SQS "
         "queue."},
        {"\"Arn\":\"" QUEUE("q") "\",\"Input\":\"{}\",\"InputPath\":\"$\"",
         "Only one of Input, InputPath, or InputTransformer must be provided for target bad."},
        {"\"Arn\":\"" QUEUE("q") "\",\"InputPath\":\"$\",\"InputTransformer\":{\"InputTemplate\":\"1\"}",
         "Only one of Input, InputPath, or InputTransformer must be provided for target bad."},
        {"\"Arn\":\"" QUEUE("q") "\",\"InputPath\":\"detail\"",
         "Parameter InputPath of target bad is not valid. Reason: detail: a path begins with $"},
        {"\"Arn\":\"" QUEUE("q") "\",\"InputTransformer\":{\"InputTemplate\":\"{\\\"a\\\":<notdefinedkey>}\"}",
         "InputTemplate for target bad contains invalid placeholder notdefinedkey."},
    };
    put_rule("r");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_refused(
            "ValidationException", CASES[i].message, "PutTargets",
            "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"good\",\"Arn\":\"" QUEUE("q") "\"},{\"Id\":\"bad\",%s}]}",
            CASES[i].target);
    call("PutTargets",
         "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"bad\",\"Arn\":\"" QUEUE("q") "\",\"Input\":\"{'a'}\"}]}");
    assert_int_equal(aws.status, 400);
    assert_non_null(strstr(aws.message, "JSON syntax error in input for target bad: "));
    assert_done("ListTargetsByRule", "{\"Rule\":\"r\"}");
    assert_int_equal(aws_call_count(&aws, "Targets"), 0);
    drop_rule("r");
}

/* The names that AWS was recorded to refuse. */
static void
ids_are_refused_in_the_recorded_words(void **state)
{
    (void)state;
    assert_refused("ValidationException",
                   "1 validation error detected: Value '!@#$@!#$' at 'targets.1.member.id' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
                   "PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"!@#$@!#$\",\"Arn\":\"a\"}]}");
    assert_refused(
        "ValidationException",
        "1 validation error detected: Value "
        "'0000000000000000000000000000000000000000000000000000000000000000x' at 'targets.1.member.id' failed "
        "to satisfy constraint: Member must have length less than or equal to 64",
        "PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"%064dx\",\"Arn\":\"a\"}]}", 0);
}

/* ---- what targets get ---------------------------------------------------------------------------------------------
 */

static void
each_target_gets_what_it_asks_for(void **state)
{
    (void)state;
    put_rule("r");
    put_target("r", "1", "q",
               ",\"InputTransformer\":{\"InputPathsMap\":{\"n\":\"$.detail.n\"},"
               "\"InputTemplate\":\"{\\\"n\\\":<n>,\\\"rule\\\":\\\"<aws.events.rule-name>\\\"}\"}");
    put_target("r", "2", "other", ",\"InputPath\":\"$.detail.n\"");
    put_event("orders", "{\"n\": 9007199254740993}");
    assert_takes("q", "{\"n\":9007199254740993,\"rule\":\"r\"}");
    assert_takes("other", "9007199254740993");
    put_target("r", "1", "q", ",\"Input\":\"{\\\"said\\\": \\\"hello\\\"}\"");
    put_target("r", "2", "other", "");
    put_event("orders", "{\"n\":1}");
    assert_takes("q", "{\"said\": \"hello\"}");
    assert_takes("other", NULL);
    drop_rule("r");
}

static void
a_message_group_goes_along(void **state)
{
    (void)state;
    struct aws_call reply;
    char group[100];
    put_rule("r");
    put_target("r", "1", "q", ",\"SqsParameters\":{\"MessageGroupId\":\"tenant-7\"}");
    put_event("orders", "{}");
    assert_true(queue_take(server.url, "q", &reply));
    assert_true(aws_call_text(&reply, "Messages.0.Attributes.MessageGroupId", group, sizeof group));
    assert_string_equal(group, "tenant-7");
    aws_call_clean_up(&reply);
    drop_rule("r");
}

/* A FIFO queue tells events apart by what is sent of them; without ContentBasedDeduplication it takes none. */
static void
a_fifo_queue_takes_events_in_order_and_once(void **state)
{
    (void)state;
    static const char members[] = ",\"InputPath\":\"$.detail.n\",\"SqsParameters\":{\"MessageGroupId\":\"g\"},"
                                  "\"DeadLetterConfig\":{\"Arn\":\"" QUEUE("dead") "\"}";
    char url[200];
    local_server_queue(&server, "q.fifo", "{\"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\"}", url,
                       sizeof url);
    local_server_queue(&server, "given.fifo", "{\"FifoQueue\": \"true\"}", url, sizeof url);
    put_rule("r");
    put_target("r", "1", "q.fifo", members);
    put_target("r", "2", "given.fifo", members);
    for (int i = 0; i < 4; i++)
        put_event("orders", i % 2 ? "{\"n\":2}" : "{\"n\":1}");
    assert_takes("q.fifo", "1");
    assert_takes("q.fifo", "2");
    assert_empty("q.fifo");
    assert_empty("given.fifo");
    for (int i = 0; i < 4; i++) {
        struct aws_call reply;
        char code[64];
        assert_true(queue_take(server.url, "dead", &reply));
        aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_CODE.StringValue", code, sizeof code);
        assert_string_equal(code, "SDK_CLIENT_ERROR");
        aws_call_clean_up(&reply);
    }
    drop_rule("r");
}

static void
what_gives_no_input_is_a_dead_letter(void **state)
{
    (void)state;
    struct aws_call reply;
    char text[400];
    put_rule("r");
    put_target("r", "1", "q", ",\"InputPath\":\"$.detail.n\",\"DeadLetterConfig\":{\"Arn\":\"" QUEUE("dead") "\"}");
    put_event("orders", "{\"m\":1}");
    assert_empty("q");
    assert_true(queue_take(server.url, "dead", &reply));
    assert_true(aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_CODE.StringValue", text, sizeof text));
    assert_string_equal(text, "INVALID_JSON");
    assert_true(aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_MESSAGE.StringValue", text, sizeof text));
    assert_string_equal(text, "The event has nothing at the target's InputPath $.detail.n.");
    assert_true(aws_call_text(&reply, "Messages.0.Body", text, sizeof text));
    assert_non_null(strstr(text, "\"detail\":{\"m\":1}}")); /* the event, not what was to be made of it */
    aws_call_clean_up(&reply);
    drop_rule("r");
}

/* ---- TestEventPattern ---------------------------------------------------------------------------------------------
 */

#define EVENT                                                                                                          \
    "{\\\"id\\\":\\\"1\\\",\\\"account\\\":\\\"2\\\",\\\"source\\\":\\\"%s\\\",\\\"time\\\":\\\"t\\\","                \
    "\\\"region\\\":\\\"r\\\",\\\"detail-type\\\":\\\"d\\\"}"

static void
a_pattern_is_tried_on_an_event(void **state)
{
    (void)state;
    assert_done("TestEventPattern", "{\"EventPattern\":\"" ORDERS "\",\"Event\":\"" EVENT "\"}", "orders");
    assert_true(slice_equals_string(aws.body, "{\"Result\":true}"));
    assert_done("TestEventPattern", "{\"EventPattern\":\"" ORDERS "\",\"Event\":\"" EVENT "\"}", "other");
    assert_true(slice_equals_string(aws.body, "{\"Result\":false}"));
    call("TestEventPattern", "{\"EventPattern\":\"{}\",\"Event\":\"" EVENT "\"}", "orders");
    assert_string_equal(aws.error, "InvalidEventPatternException");
}

/* Sends what was sent to AWS, and compares with what it answered. */
static void
try_recorded(struct json one)
{
    struct json pattern, event, expect, message;
    struct buf body = BUF_INIT, words = BUF_INIT;
    assert_true(json_get(one, "pattern", &pattern));
    assert_true(json_get(one, "event", &event));
    assert_true(json_get(one, "expect", &expect));
    buf_add_string(&body, "{\"EventPattern\":");
    json_write_string(&body, pattern.text);
    buf_add_string(&body, ",\"Event\":");
    json_write_string(&body, event.text);
    buf_add_char(&body, '}');
    assert_true(aws_call_begin(&aws, "events", "AWSEvents.TestEventPattern", buf_slice(&body)));
    aws_call_finish(&aws);
    if (json_equals_string(expect, SLICE("error"))) {
        assert_true(json_get(one, "error_message", &message));
        assert_int_equal(json_decode(message, &words, NULL), 0);
        if (aws.status != 400 || strcmp(aws.error, "InvalidEventPatternException") != 0 ||
            strncmp(aws.message, words.data, words.len) != 0)
            fail_msg("%.*s: not \"%s\", but %d %s: %s", SLICE_ARG(pattern.text), words.data, aws.status, aws.error,
                     aws.message);
    } else {
        bool match = json_equals_string(expect, SLICE("match"));
        if (!slice_equals_string(aws.body, match ? "{\"Result\":true}" : "{\"Result\":false}"))
            fail_msg("%.*s on %.*s: %.*s", SLICE_ARG(pattern.text), SLICE_ARG(event.text), SLICE_ARG(aws.body));
    }
    buf_clean_up(&body);
    buf_clean_up(&words);
}

static void
what_aws_was_recorded_to_answer_is_answered(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct json file, cases;
    size_t n = 0;
    if (!shared_read("data/event-patterns/cases.json", &text))
        skip_because("../shared/data/event-patterns/cases.json is missing");
    assert_int_equal(json_parse(buf_slice(&text), &file, NULL), 0);
    assert_true(json_get(file, "cases", &cases));
    for (struct json_iter it = json_iter(cases); json_next(&it); n++)
        try_recorded(it.value);
    print_message("%zu recorded cases\n", n);
    assert_true(n > 90);
    buf_clean_up(&text);
}

static void
what_is_no_event_is_not_tried(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "{", "[]", "1", "{}", "{\\\"source\\\":\\\"orders\\\"}"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_refused("ValidationException", "Parameter Event is not valid.", "TestEventPattern",
                       "{\"EventPattern\":\"" ORDERS "\",\"Event\":\"%s\"}", BAD[i]);
}

/* ---- requests that are none ---------------------------------------------------------------------------------------
 */

static void
what_is_no_request_is_refused(void **state)
{
    (void)state;
    call("ListRules", "%s", "");
    assert_int_equal(aws.status, 400);
    assert_string_equal(aws.error, "SerializationException");
    call("ListRules", "{\"Limit\":");
    assert_string_equal(aws.error, "SerializationException");
    assert_refused("SerializationException", "the request has to be a structure, and is a list", "ListRules", "[]");
    assert_refused("SerializationException", "name holds half of a surrogate pair", "DescribeRule",
                   "{\"Name\":\"\\ud83d\"}");
    assert_refused("SerializationException", "targets.2.member.arn has to be a string, and is a number", "PutTargets",
                   "{\"Rule\":\"\",\"Targets\":[{},{\"Arn\":1}]}");
}

/* ---- durability ---------------------------------------------------------------------------------------------------
 */

static void
kill_9_keeps_rules_and_targets(void **state)
{
    (void)state;
    put_rule("stays");
    put_target("stays", "1", "q", ",\"InputPath\":\"$.detail\"");
    assert_done("PutRule", "{\"Name\":\"off\",\"EventPattern\":\"" ORDERS "\"}");
    put_target("off", "1", "q", "");
    assert_done("DisableRule", "{\"Name\":\"off\"}");
    put_rule("gone");
    assert_done("DeleteRule", "{\"Name\":\"gone\"}");
    local_server_kill(&server);
    local_server_restart(&server);
    connect_again();
    put_event("orders", "{\"n\":1}");
    assert_takes("q", "{\"n\":1}");
    assert_empty("q");
    assert_done("ListRules", "{}");
    assert_int_equal(aws_call_count(&aws, "Rules"), 2);
    assert_text("Rules.0.Name", "off");
    assert_text("Rules.0.State", "DISABLED");
    assert_text("Rules.1.Name", "stays");
    drop_rule("stays");
    drop_rule("off");
}

static void
execute(sqlite3 *db, const char *sql)
{
    char *fault = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &fault) != SQLITE_OK)
        fail_msg("%s: %s", sql, fault);
}

/* The tables as the first version made them, with a rule that delivers and one that is off. */
static void
tables_of_the_first_version_are_brought_up_to_date(void **state)
{
    (void)state;
    sqlite3 *db;
    local_server_stop(&server);
    assert_int_equal(sqlite3_open(tmp_path(server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    execute(db,
            "DROP TABLE events_rules; DROP TABLE events_targets; DROP TABLE events_provisioned;"
            "CREATE TABLE events_rules (bus TEXT NOT NULL, name TEXT NOT NULL, pattern TEXT NOT NULL,"
            " enabled INTEGER NOT NULL, PRIMARY KEY (bus, name)) WITHOUT ROWID;"
            "CREATE TABLE events_targets (bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL,"
            " arn TEXT NOT NULL, dead_letter_arn TEXT NOT NULL, capture_bucket TEXT NOT NULL,"
            " PRIMARY KEY (bus, rule, id)) WITHOUT ROWID;"
            "INSERT INTO events_rules VALUES ('default', 'old', '{\"source\":[\"orders\"]}', 1),"
            " ('default', 'off', '{\"source\":[\"orders\"]}', 0);"
            "INSERT INTO events_targets VALUES ('default', 'old', '1', '" QUEUE("q") "', '" QUEUE(
                "dead") "', ''),"
                        " ('default', 'off', '1', '" QUEUE("q") "', '', '');"
                                                                "UPDATE service SET version = 1 WHERE name = 'events'");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    local_server_restart(&server);
    connect_again();
    put_event("orders", "{}");
    assert_takes("q", NULL);
    assert_empty("q");
    assert_done("DescribeRule", "{\"Name\":\"off\"}");
    assert_text("State", "DISABLED");
    assert_done("ListTargetsByRule", "{\"Rule\":\"old\"}");
    assert_text("Targets.0.DeadLetterConfig.Arn", QUEUE("dead"));
    assert_done("ListTargetsByRule", "{\"Rule\":\"off\"}");
    assert_text("Targets.0.Arn", QUEUE("q"));
    assert_text("Targets.0.DeadLetterConfig.Arn", "");
    drop_rule("old");
    drop_rule("off");
}

static void
a_reset_forgets_them(void **state)
{
    (void)state;
    char url[200];
    put_rule("r");
    put_target("r", "1", "q", "");
    admin_reset(server.url);
    assert_done("ListRules", "{}");
    assert_int_equal(aws_call_count(&aws, "Rules"), 0);
    local_server_queue(&server, "q", "{}", url, sizeof url);
    put_rule("r");
    put_event("orders", "{}");
    assert_empty("q");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_is_put_and_described),
        cmocka_unit_test(putting_a_rule_again_replaces_all_of_it_but_its_targets),
        cmocka_unit_test(a_rule_counts_from_the_next_event_on_and_while_it_is_enabled),
        cmocka_unit_test(a_rule_with_targets_is_not_deleted),
        cmocka_unit_test(what_does_not_exist_is_said_so),
        cmocka_unit_test(a_rule_needs_a_pattern_that_is_one),
        cmocka_unit_test(schedules_are_refused_by_name),
        cmocka_unit_test(rules_are_listed_in_pages_and_by_prefix),
        cmocka_unit_test(targets_are_listed_as_they_were_put),
        cmocka_unit_test(a_rule_has_five_targets_at_most),
        cmocka_unit_test(a_target_that_is_not_there_cannot_be_removed),
        cmocka_unit_test(what_a_target_may_not_be_is_refused_as_a_whole),
        cmocka_unit_test(ids_are_refused_in_the_recorded_words),
        cmocka_unit_test(each_target_gets_what_it_asks_for),
        cmocka_unit_test(a_fifo_queue_takes_events_in_order_and_once),
        cmocka_unit_test(a_message_group_goes_along),
        cmocka_unit_test(what_gives_no_input_is_a_dead_letter),
        cmocka_unit_test(a_pattern_is_tried_on_an_event),
        cmocka_unit_test(what_aws_was_recorded_to_answer_is_answered),
        cmocka_unit_test(what_is_no_event_is_not_tried),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(kill_9_keeps_rules_and_targets),
        cmocka_unit_test(tables_of_the_first_version_are_brought_up_to_date),
        cmocka_unit_test(a_reset_forgets_them),
    };
    return cmocka_run_group_tests_name("local_rules", tests, start_server, stop_server);
}
