/* fanout-local provisioning itself from a template: what is made, kept, changed, refused and named. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/admin.h"
#include "lib/aws_call.h"
#include "lib/proc.h"
#include "lib/s3_call.h"
#include "lib/tmp.h"

#define BUCKET "/durable-event-buffer-000000000000-us-east-1"

struct server {
    const char *dir, *binary;
    struct proc *process;
    char url[100];
    struct aws_call aws;
};

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

#define OPTIONS_MAX 20

/* Starts the program on DIR/data with further options, which end with NULL. */
static void
spawn(struct server *s, const char *const *options)
{
    const char *argv[OPTIONS_MAX] = {s->binary, "--listen", "127.0.0.1:0", "--data", tmp_path(s->dir, "data")};
    size_t n = 5;
    for (; options && *options; options++) {
        assert_true(n + 1 < OPTIONS_MAX);
        argv[n++] = *options;
    }
    proc_destroy(s->process);
    s->process = proc_spawn(argv, NULL);
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
start(struct server *s, const char *const *options)
{
    spawn(s, options);
    const char *line = proc_wait_line(s->process, "READY ", 20000);
    assert_non_null(line);
    snprintf(s->url, sizeof s->url, "%s", strstr(line, "http://"));
    aws_call_clean_up(&s->aws);
    aws_call_init(&s->aws, s->url);
}

static void
stop(struct server *s)
{
    proc_signal(s->process, SIGTERM);
    assert_int_equal(proc_wait_exit(s->process, 20000), 0);
}

static int
set_up(void **state)
{
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->dir = tmp_new();
    s->binary = proc_path("bin/fanout-local");
    *state = s;
    return 0;
}

static int
tear_down(void **state)
{
    struct server *s = *state;
    if (proc_is_running(s->process))
        stop(s); /* an orderly end lets a sanitizer speak */
    proc_destroy(s->process);
    aws_call_clean_up(&s->aws);
    tmp_remove(s->dir);
    free(s);
    return 0;
}

/* It ends with status 2 and says text. */
static void
assert_refuses(struct server *s, const char *const *options, const char *text)
{
    spawn(s, options);
    assert_int_equal(proc_wait_exit(s->process, 20000), 2);
    if (!strstr(proc_stderr(s->process), text))
        fail_msg("it does not say \"%s\" but: %s", text, proc_stderr(s->process));
    assert_int_equal(proc_count_lines(s->process, "READY"), 0);
}

static void
assert_refuses_template(struct server *s, const char *template, const char *text)
{
    assert_refuses(s, OPTIONS("--template", tmp_write(s->dir, "t.json", "%s", template)), text);
}

static void
start_with(struct server *s, const char *template)
{
    start(s, OPTIONS("--template", tmp_write(s->dir, "t.json", "%s", template)));
}

static const char *
queue_url(struct server *s, const char *queue)
{
    static char url[200];
    snprintf(url, sizeof url, "%s/000000000000/%s", s->url, queue);
    return url;
}

static void
assert_attribute(struct server *s, const char *queue, const char *name, const char *value)
{
    char path[100], text[300];
    assert_int_equal(aws_call_sqs(&s->aws, "GetQueueAttributes", "{\"QueueUrl\":\"%s\",\"AttributeNames\":[\"All\"]}",
                                  queue_url(s, queue)),
                     200);
    snprintf(path, sizeof path, "Attributes.%s", name);
    aws_call_text(&s->aws, path, text, sizeof text);
    assert_string_equal(text, value);
}

static void
put_event(struct server *s, const char *source, const char *bus)
{
    struct buf body = BUF_INIT;
    char text[20];
    buf_add_format(&body,
                   "{\"Entries\":[{\"Source\":\"%s\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"%s\"}]}",
                   source, bus);
    assert_true(aws_call_begin(&s->aws, "events", "AWSEvents.PutEvents", buf_slice(&body)));
    assert_int_equal(aws_call_finish(&s->aws), 200);
    aws_call_text(&s->aws, "FailedEntryCount", text, sizeof text);
    assert_string_equal(text, "0");
    buf_clean_up(&body);
}

static size_t
count_messages(struct server *s, const char *queue)
{
    char text[40];
    assert_int_equal(aws_call_sqs(&s->aws, "GetQueueAttributes", "{\"QueueUrl\":\"%s\",\"AttributeNames\":[\"All\"]}",
                                  queue_url(s, queue)),
                     200);
    assert_true(aws_call_text(&s->aws, "Attributes.ApproximateNumberOfMessages", text, sizeof text));
    return strtoul(text, NULL, 10);
}

static size_t
count_objects(struct server *s, const char *bucket)
{
    struct s3_answer a;
    s3_call(s->url, &(struct s3_request){.method = "GET", .path = bucket, .query = "list-type=2"}, &a);
    assert_int_equal(a.status, 200);
    size_t n = s3_answer_count(&a, "<Contents>");
    s3_answer_clean_up(&a);
    return n;
}

/* A bus, a queue and a rule between them. */
#define SMALL(queue_properties, rule_name, pattern)                                                                    \
    "{\"Resources\":{\"B\":{\"Type\":\"AWS::Events::EventBus\",\"Properties\":{\"Name\":\"b\"}},"                      \
    "\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"q\"" queue_properties "}},"                   \
    "\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"Name\":\"" rule_name "\",\"EventBusName\":{\"Ref\":"      \
    "\"B\"},\"EventPattern\":" pattern ",\"Targets\":[{\"Id\":\"1\",\"Arn\":{\"Fn::GetAtt\":\"Q.Arn\"}}]}}}}"

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void
the_template_in_the_source_tree_is_made_without_being_named(void **state)
{
    struct server *s = *state;
    start(s, NULL);
    assert_int_equal(proc_count_lines(s->process, "WARN"), 0);
    assert_attribute(s, "durable-fanout-queue", "RedrivePolicy",
                     "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:durable-fanout-dlq\","
                     "\"maxReceiveCount\":10}");
    assert_attribute(s, "durable-fanout-queue", "VisibilityTimeout", "60");
    assert_attribute(s, "durable-fanout-dlq", "MessageRetentionPeriod", "1209600");
    assert_attribute(s, "durable-capture-dlq", "MessageRetentionPeriod", "1209600");
    put_event(s, "buffer.source", "durable-event-bus");
    put_event(s, "another.source", "durable-event-bus");
    assert_int_equal(count_messages(s, "durable-fanout-queue"), 1);
    assert_int_equal(count_objects(s, BUCKET), 1);
}

static void
provisioning_again_keeps_what_is_there_and_changes_the_settings(void **state)
{
    struct server *s = *state;
    start_with(s, SMALL(",\"VisibilityTimeout\":30", "r", "{\"source\":[\"old\"]}"));
    put_event(s, "old", "b");
    put_event(s, "new", "b");
    for (int i = 0; i < 2; i++) {
        stop(s);
        start_with(s, SMALL(",\"VisibilityTimeout\":45", "r", "{\"source\":[\"new\"]}"));
        assert_int_equal(count_messages(s, "q"), 1);
        assert_attribute(s, "q", "VisibilityTimeout", "45");
    }
    put_event(s, "old", "b");
    assert_int_equal(count_messages(s, "q"), 1);
    put_event(s, "new", "b");
    assert_int_equal(count_messages(s, "q"), 2);
}

static void
the_whole_template_again_loses_nothing(void **state)
{
    struct server *s = *state;
    start(s, NULL);
    put_event(s, "buffer.source", "durable-event-bus");
    stop(s);
    start(s, NULL);
    put_event(s, "buffer.source", "durable-event-bus");
    assert_int_equal(count_messages(s, "durable-fanout-queue"), 2);
    assert_int_equal(count_objects(s, BUCKET), 2);
}

static void
a_rule_that_was_renamed_does_not_deliver_twice(void **state)
{
    struct server *s = *state;
    start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
    stop(s);
    start_with(s, SMALL("", "renamed", "{\"source\":[\"a\"]}"));
    put_event(s, "a", "b");
    assert_int_equal(count_messages(s, "q"), 1);
}

static void
rules_stay_where_nothing_is_provisioned(void **state)
{
    struct server *s = *state;
    start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
    stop(s);
    start(s, OPTIONS("--no-provision"));
    put_event(s, "a", "b");
    assert_int_equal(count_messages(s, "q"), 1);
}

/* Calls an operation of EventBridge on rule r of bus b; members: more of the request, each with a comma in front. */
static void
call_events(struct server *s, const char *operation, const char *name_member, const char *members)
{
    char target[100], body[1000];
    snprintf(target, sizeof target, "AWSEvents.%s", operation);
    snprintf(body, sizeof body, "{\"%s\":\"r\",\"EventBusName\":\"b\"%s}", name_member, members);
    assert_true(aws_call_begin(&s->aws, "events", target, slice_of_string(body)));
    if (aws_call_finish(&s->aws) != 200)
        fail_msg("%s: %d %s: %s", operation, s->aws.status, s->aws.error, s->aws.message);
}

static void
what_calls_made_of_a_rule_stays_until_the_template_says_something_new_of_it(void **state)
{
    struct server *s = *state;
    start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
    call_events(s, "DisableRule", "Name", "");
    for (int i = 0; i < 2; i++) {
        proc_signal(s->process, SIGKILL);
        assert_int_equal(proc_wait_exit(s->process, 20000), -SIGKILL);
        start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
        assert_int_equal(proc_count_lines(s->process, "left as calls have changed it"), 1);
        put_event(s, "a", "b");
        assert_int_equal(count_messages(s, "q"), 0);
    }
    stop(s);
    start_with(s, SMALL("", "r", "{\"source\":[\"a\",\"c\"]}"));
    assert_int_equal(proc_count_lines(s->process, "left as calls have changed it"), 0);
    put_event(s, "a", "b");
    assert_int_equal(count_messages(s, "q"), 1);
}

static void
a_rule_of_the_template_that_was_deleted_stays_away_until_a_reset(void **state)
{
    struct server *s = *state;
    start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
    call_events(s, "RemoveTargets", "Rule", ",\"Ids\":[\"1\"]");
    call_events(s, "DeleteRule", "Name", "");
    stop(s);
    start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
    put_event(s, "a", "b");
    assert_int_equal(count_messages(s, "q"), 0);
    admin_reset(s->url);
    put_event(s, "a", "b");
    assert_int_equal(count_messages(s, "q"), 1);
}

static void
a_rule_of_a_call_s_is_none_of_the_template_s_business(void **state)
{
    struct server *s = *state;
    static const char OF_ITS_OWN[] = ",\"EventPattern\":\"{\\\"source\\\":[\\\"a\\\"]}\"";
    start_with(s, SMALL("", "other", "{\"source\":[\"x\"]}"));
    char arn[200];
    call_events(s, "PutRule", "Name", OF_ITS_OWN);
    assert_true(aws_call_text(&s->aws, "RuleArn", arn, sizeof arn));
    assert_string_equal(arn, "arn:aws:events:us-east-1:000000000000:rule/b/r");
    call_events(s, "PutTargets", "Rule",
                ",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"arn:aws:sqs:us-east-1:000000000000:q\"}]");
    for (int i = 1; i <= 2; i++) {
        stop(s);
        start_with(s, SMALL("", "renamed", "{\"source\":[\"y\"]}"));
        put_event(s, "a", "b");
        assert_int_equal(count_messages(s, "q"), i);
    }
    stop(s);
    start_with(s, SMALL("", "r", "{\"source\":[\"y\"]}")); /* now it is the template's */
    put_event(s, "a", "b");
    assert_int_equal(count_messages(s, "q"), 2);
}

static void
a_template_s_target_may_have_an_input_of_its_own(void **state)
{
    struct server *s = *state;
#define INPUT(member)                                                                                                  \
    "{\"Resources\":{\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"q\"}},"                       \
    "\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"EventPattern\":{\"source\":[\"a\"]},"                     \
    "\"Targets\":[{\"Id\":\"1\",\"Arn\":{\"Fn::GetAtt\":\"Q.Arn\"}," member "}]}}}}"
    char body[100];
    start_with(s, INPUT("\"InputPath\":\"$.source\""));
    put_event(s, "a", "default");
    assert_int_equal(aws_call_sqs(&s->aws, "ReceiveMessage", "{\"QueueUrl\":\"%s\"}", queue_url(s, "q")), 200);
    assert_true(aws_call_text(&s->aws, "Messages.0.Body", body, sizeof body));
    assert_string_equal(body, "\"a\"");
    stop(s);
    assert_refuses_template(s, INPUT("\"InputPath\":\"source\""),
                            "Resources.R.Properties.Targets[0]: Parameter InputPath of target 1 is not valid.");
    assert_refuses_template(s, INPUT("\"SqsParameters\":{\"MessageGroupId\":1}"),
                            "Resources.R.Properties.Targets[0]: sqsParameters.messageGroupId has to be a string");
#undef INPUT
}

static void
schedules_are_for_the_default_bus(void **state)
{
    struct server *s = *state;
    start_with(s, SMALL("", "r", "{\"source\":[\"a\"]}"));
    assert_true(aws_call_begin(&s->aws, "events", "AWSEvents.PutRule",
                               SLICE("{\"Name\":\"r\",\"EventBusName\":\"b\",\"ScheduleExpression\":\"rate(1 "
                                     "minute)\"}")));
    assert_int_equal(aws_call_finish(&s->aws), 400);
    assert_string_equal(s->aws.error, "ValidationException");
    assert_string_equal(s->aws.message, "ScheduleExpression is supported only on the default event bus.");
}

static void
a_reset_provisions_anew(void **state)
{
    struct server *s = *state;
    start(s, NULL);
    put_event(s, "buffer.source", "durable-event-bus");
    admin_reset(s->url);
    assert_int_equal(count_messages(s, "durable-fanout-queue"), 0);
    assert_int_equal(count_objects(s, BUCKET), 0);
    put_event(s, "buffer.source", "durable-event-bus");
    assert_int_equal(count_messages(s, "durable-fanout-queue"), 1);
    assert_int_equal(count_objects(s, BUCKET), 1);
}

static void
a_parameter_may_be_a_list(void **state)
{
    struct server *s = *state;
    start(s, OPTIONS("--parameter", "EventSources=a,b"));
    put_event(s, "a", "durable-event-bus");
    put_event(s, "b", "durable-event-bus");
    put_event(s, "buffer.source", "durable-event-bus");
    assert_int_equal(count_messages(s, "durable-fanout-queue"), 2);
    assert_int_equal(count_objects(s, BUCKET), 2);
}

static void
a_parameter_that_makes_no_sense_is_refused(void **state)
{
    struct server *s = *state;
    assert_refuses(s, OPTIONS("--parameter", "Nobody=x"), "the template has no parameter \\\"Nobody\\\"");
    assert_refuses(s, OPTIONS("--parameter", "EventSources"), "--parameter");
    assert_refuses(s, OPTIONS("--parameter", "=x"), "--parameter");
}

static void
a_broken_template_is_refused_with_the_path_of_the_fault(void **state)
{
    struct server *s = *state;
    static const struct {
        const char *template, *text;
    } CASES[] = {
        {"{", "t.json: the template is no JSON"},
        {"{\"Resources\":{\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":{\"Ref\":\"X\"}}}}}",
         "t.json: Resources.Q.Properties.QueueName.Ref: there is no resource or parameter"},
        {SMALL(",\"VisibilityTimeout\":50000", "r", "{\"source\":[\"a\"]}"), "t.json: Resources.Q.Properties: "},
        {SMALL(",\"RedrivePolicy\":{\"maxReceiveCount\":1}", "r", "{\"source\":[\"a\"]}"),
         "t.json: Resources.Q.Properties: "},
        {SMALL("", "r", "{\"source\":\"a\"}"),
         "t.json: Resources.R.Properties.EventPattern: Event pattern is not valid."},
        {SMALL("", "r r", "{\"source\":[\"a\"]}"), "t.json: Resources.R.Properties.Name: "},
        {"{\"Resources\":{\"R\":{\"Type\":\"AWS::Events::Rule\",\"Properties\":{\"EventBusName\":\"nobody\","
         "\"EventPattern\":{\"source\":[\"a\"]}}}}}",
         "t.json: Resources.R.Properties.EventBusName: there is no event bus"},
        {"{\"Resources\":{\"B\":{\"Type\":\"AWS::S3::Bucket\",\"Properties\":{\"BucketName\":\"Big\"}}}}",
         "t.json: Resources.B.Properties.BucketName: "},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_refuses_template(s, CASES[i].template, CASES[i].text);
        assert_int_equal(proc_count_lines(s->process, "ERROR"), 1);
    }
}

static void
a_template_that_is_refused_half_way_makes_nothing(void **state)
{
    struct server *s = *state;
    assert_refuses_template(s, SMALL("", "r", "{\"source\":\"a\"}"), "Resources.R.Properties.EventPattern");
    start(s, OPTIONS("--no-provision"));
    assert_int_equal(aws_call_sqs(&s->aws, "ListQueues", "{}"), 200);
    assert_int_equal(aws_call_count(&s->aws, "QueueUrls"), 0);
}

static void
a_template_that_cannot_be_read_is_refused(void **state)
{
    struct server *s = *state;
    assert_refuses(s, OPTIONS("--template", tmp_path(s->dir, "nowhere.json")), "nowhere.json: No such file");
    assert_refuses(s, OPTIONS("--template", s->dir), "Is a directory");
    struct buf large = BUF_INIT;
    buf_add_string(&large, SMALL("", "r", "{\"source\":[\"a\"]}"));
    while (large.len < (1 << 20))
        buf_add_string(&large, "                                                                ");
    buf_truncate(&large, 1 << 20);
    start_with(s, large.data); /* the largest that CloudFormation takes */
    stop(s);
    buf_add_char(&large, ' ');
    assert_refuses_template(s, large.data, "t.json: is larger than 1048576 bytes");
    buf_clean_up(&large);
}

static void
fifo_queues_are_made_named_or_not(void **state)
{
    struct server *s = *state;
    start_with(s, "{\"Resources\":{\"Named\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"q.fifo\","
                  "\"FifoQueue\":true,\"ContentBasedDeduplication\":true,\"DeduplicationScope\":\"messageGroup\","
                  "\"FifoThroughputLimit\":\"perMessageGroupId\",\"RedrivePolicy\":{\"deadLetterTargetArn\":{"
                  "\"Fn::GetAtt\":[\"Dead\",\"Arn\"]},\"maxReceiveCount\":3}}},\"Dead\":{\"Type\":\"AWS::SQS::Queue\","
                  "\"Properties\":{\"FifoQueue\":\"true\"}}}}");
    assert_int_equal(proc_count_lines(s->process, "WARN"), 0);
    assert_attribute(s, "q.fifo", "FifoQueue", "true");
    assert_attribute(s, "q.fifo", "ContentBasedDeduplication", "true");
    assert_attribute(s, "q.fifo", "DeduplicationScope", "messageGroup");
    assert_attribute(s, "q.fifo", "FifoThroughputLimit", "perMessageGroupId");
    assert_attribute(
        s, "q.fifo", "RedrivePolicy",
        "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:Dead.fifo\",\"maxReceiveCount\":3}");
    assert_attribute(s, "Dead.fifo", "FifoQueue", "true");
    assert_refuses_template(s,
                            "{\"Resources\":{\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":"
                            "\"q\",\"FifoQueue\":true}}}}",
                            "must end with .fifo suffix");
}

static void
what_is_not_known_is_named_and_the_rest_is_made(void **state)
{
    struct server *s = *state;
    start_with(s, "{\"Resources\":{\"T\":{\"Type\":\"AWS::DynamoDB::Table\"},"
                  "\"Q\":{\"Type\":\"AWS::SQS::Queue\",\"Properties\":{\"QueueName\":\"q\",\"Colour\":\"green\"}}}}");
    assert_int_equal(proc_count_lines(s->process, "WARN"), 2);
    assert_int_equal(proc_count_lines(s->process, "AWS::DynamoDB::Table is a type that is not known here"), 1);
    assert_int_equal(proc_count_lines(s->process, "path=Resources.T"), 1);
    assert_int_equal(proc_count_lines(s->process, "path=Resources.Q.Properties.Colour"), 1);
    assert_int_equal(count_messages(s, "q"), 0);
}

/* ---- where the template is --------------------------------------------------------------------------------------- */

static void
copy_file(const char *from, const char *to, mode_t mode)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    struct stat st;
    assert_true(in >= 0 && out >= 0 && fstat(in, &st) == 0);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);
        assert_true(n > 0);
        left -= n;
    }
    close(in);
    assert_int_equal(close(out), 0);
}

/* As `make install` lays things out below s->dir. */
static void
install(struct server *s, bool with_template)
{
    assert_int_equal(mkdir(tmp_path(s->dir, "bin"), 0755), 0);
    assert_int_equal(mkdir(tmp_path(s->dir, "share"), 0755), 0);
    assert_int_equal(mkdir(tmp_path(s->dir, "share/fanoutd"), 0755), 0);
    copy_file(s->binary, tmp_path(s->dir, "bin/fanout-local"), 0755);
    s->binary = tmp_path(s->dir, "bin/fanout-local");
    if (with_template)
        copy_file("conf/durable-event-buffer.template.json",
                  tmp_path(s->dir, "share/fanoutd/durable-event-buffer.template.json"), 0644);
}

static void
an_installed_program_finds_its_template(void **state)
{
    struct server *s = *state;
    install(s, true);
    start(s, NULL);
    put_event(s, "buffer.source", "durable-event-bus");
    assert_int_equal(count_messages(s, "durable-fanout-queue"), 1);
    assert_int_equal(proc_count_lines(s->process, "WARN"), 0);
}

static void
without_any_template_it_says_so_and_runs(void **state)
{
    struct server *s = *state;
    install(s, false);
    start(s, NULL);
    assert_int_equal(proc_count_lines(s->process, "no template: nothing is provisioned"), 1);
    assert_int_equal(proc_count_lines(s->process, "--template names another"), 1);
    assert_int_equal(aws_call_sqs(&s->aws, "ListQueues", "{}"), 200);
    assert_int_equal(aws_call_count(&s->aws, "QueueUrls"), 0);
    assert_refuses(s, OPTIONS("--parameter", "EventSources=a"), "there is no template");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_template_in_the_source_tree_is_made_without_being_named),
        TEST(provisioning_again_keeps_what_is_there_and_changes_the_settings),
        TEST(the_whole_template_again_loses_nothing),
        TEST(a_rule_that_was_renamed_does_not_deliver_twice),
        TEST(rules_stay_where_nothing_is_provisioned),
        TEST(what_calls_made_of_a_rule_stays_until_the_template_says_something_new_of_it),
        TEST(a_rule_of_the_template_that_was_deleted_stays_away_until_a_reset),
        TEST(a_rule_of_a_call_s_is_none_of_the_template_s_business),
        TEST(a_template_s_target_may_have_an_input_of_its_own),
        TEST(schedules_are_for_the_default_bus),
        TEST(a_reset_provisions_anew),
        TEST(a_parameter_may_be_a_list),
        TEST(a_parameter_that_makes_no_sense_is_refused),
        TEST(a_broken_template_is_refused_with_the_path_of_the_fault),
        TEST(a_template_that_is_refused_half_way_makes_nothing),
        TEST(a_template_that_cannot_be_read_is_refused),
        TEST(fifo_queues_are_made_named_or_not),
        TEST(what_is_not_known_is_named_and_the_rest_is_made),
        TEST(an_installed_program_finds_its_template),
        TEST(without_any_template_it_says_so_and_runs),
    };
    return cmocka_run_group_tests_name("local_provision", tests, NULL, NULL);
}
