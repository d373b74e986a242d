#include "lib/event_bus.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/queue_take.h"
#include "lib/s3_call.h"
#include "lib/tmp.h"

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

struct proc *event_bus_server;
struct aws_call event_bus_aws;
static const char *dir;
char event_bus_url[100];

void
event_bus_start_with(const char *option, const char *value)
{
    const char *argv[] = {
        proc_path("bin/fanout-local"),  "--listen", "127.0.0.1:0", "--data", tmp_path(dir, "data"), "--template",
        tmp_path(dir, "template.json"), option,     value,         NULL};
    event_bus_server = proc_spawn(argv, NULL);
    const char *line = proc_wait_line(event_bus_server, "READY ", 20000);
    assert_non_null(line);
    snprintf(event_bus_url, sizeof event_bus_url, "%s", strstr(line, "http://"));
    aws_call_init(&event_bus_aws, event_bus_url);
}

void
event_bus_start_again(void)
{
    event_bus_start_with(NULL, NULL);
}

static void
event_bus_delete_queue(const char *name)
{
    assert_int_equal(
        aws_call_sqs(&event_bus_aws, "DeleteQueue", "{\"QueueUrl\":\"%s/000000000000/%s\"}", event_bus_url, name), 200);
}

int
event_bus_start(void **state)
{
    (void)state;
    struct s3_answer a;
    dir = tmp_new();
    tmp_write(dir, "template.json", "%s", TEMPLATE);
    event_bus_start_again();
    event_bus_delete_queue("gone");
    s3_call(event_bus_url, &(struct s3_request){.method = "DELETE", .path = "/doomed"}, &a);
    assert_int_equal(a.status, 204);
    s3_answer_clean_up(&a);
    return 0;
}

int
event_bus_stop(void **state)
{
    (void)state;
    aws_call_clean_up(&event_bus_aws);
    proc_signal(event_bus_server, SIGTERM); /* an orderly end lets a sanitizer speak */
    assert_int_equal(proc_wait_exit(event_bus_server, 20000), 0);
    proc_destroy(event_bus_server);
    return 0;
}

int
event_bus_put_body(struct slice body)
{
    return aws_call_begin(&event_bus_aws, "events", "AWSEvents.PutEvents", body) ? aws_call_finish(&event_bus_aws) : 0;
}

int
event_bus_put(const char *format, ...)
{
    struct buf body = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_string(&body, "{\"Entries\":[");
    buf_add_format_va(&body, format, ap);
    buf_add_string(&body, "]}");
    va_end(ap);
    int status = event_bus_put_body(buf_slice(&body));
    buf_clean_up(&body);
    return status;
}

const char *
event_bus_event_id(int i)
{
    static char id[10][64];
    char path[40];
    snprintf(path, sizeof path, "Entries.%d.EventId", i);
    if (!aws_call_text(&event_bus_aws, path, id[i], sizeof id[i]))
        fail_msg("entry %d has no id: %.*s", i, SLICE_ARG(event_bus_aws.body));
    return id[i];
}

void
event_bus_assert_failed(int i, const char *code, const char *message)
{
    char path[40], text[200];
    snprintf(path, sizeof path, "Entries.%d.ErrorCode", i);
    aws_call_text(&event_bus_aws, path, text, sizeof text);
    assert_string_equal(text, code);
    snprintf(path, sizeof path, "Entries.%d.ErrorMessage", i);
    aws_call_text(&event_bus_aws, path, text, sizeof text);
    assert_string_equal(text, message);
}

void
event_bus_assert_count_failed(const char *n)
{
    char text[20];
    assert_int_equal(event_bus_aws.status, 200);
    aws_call_text(&event_bus_aws, "FailedEntryCount", text, sizeof text);
    assert_string_equal(text, n);
}

void
event_bus_assert_refused(const char *body, const char *code, const char *beginning)
{
    assert_int_equal(event_bus_put_body(slice_of_string(body)), 400);
    assert_string_equal(event_bus_aws.error, code);
    if (strncmp(event_bus_aws.message, beginning, strlen(beginning)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", event_bus_aws.message, beginning);
}

void
event_bus_assert_takes_id(const char *queue, const char *id)
{
    char expected[100], *body = queue_take_body(event_bus_url, queue);
    snprintf(expected, sizeof expected, "{\"version\":\"0\",\"id\":\"%s\",", id);
    assert_memory_equal(body, expected, strlen(expected));
    free(body);
}

void
event_bus_assert_object(const char *time, const char *id, const char *content)
{
    struct s3_answer a;
    char path[200];
    snprintf(path, sizeof path, "/archive/raw-events/%s-%s.json", time, id);
    s3_call(event_bus_url, &(struct s3_request){.method = "GET", .path = path}, &a);
    assert_int_equal(a.status, content ? 200 : 404);
    if (content) {
        assert_string_equal(a.body.p, content);
        assert_int_equal(a.body.n, strlen(content));
        assert_true(slice_equals_string(s3_answer_header(&a, "Content-Type"), "application/json"));
    }
    s3_answer_clean_up(&a);
}
