/* Dead letters of fanout-local's SQS: what comes out of the other queue, which policies there are, and whose dead
 * letters a queue has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dead_letters.h"

#define ALL ", \"AttributeNames\": [\"All\"]"

/* Sets one attribute, whose value is JSON; false: it was refused. */
static bool
set(struct local_queue *q, const char *name, const char *value)
{
    struct buf members = BUF_INIT;
    buf_add_format(&members, ", \"Attributes\": {\"%s\": ", name);
    json_write_string(&members, slice_of_string(value));
    buf_add_char(&members, '}');
    int status = local_queue_call(q, "SetQueueAttributes", members.data);
    buf_clean_up(&members);
    return status == 200;
}

/* ---- what moves -------------------------------------------------------------------------------------------------- */

static void
a_message_is_delivered_as_often_as_the_policy_says(void **state)
{
    (void)state;
    for (int most = 1; most <= 3; most++) {
        struct local_queue q, dead;
        local_queue_make(&dead, "{}");
        dead_letters_make(&q, &dead, most, "");
        local_queue_send(&q, "m");
        for (int i = 1; i <= most; i++) {
            assert_int_equal(local_queue_receive(&q, ALL), 1);
            assert_int_equal(atoi(local_queue_text(&q, "Messages.0.Attributes.ApproximateReceiveCount")), i);
            assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.DeadLetterQueueSourceArn"),
                                "(no Messages.0.Attributes.DeadLetterQueueSourceArn)");
            local_queue_assert_counts(&dead, 0, 0, 0);
        }
        assert_int_equal(local_queue_receive(&q, ALL), 0);
        assert_int_equal(local_queue_receive(&dead, ALL), 1);
        assert_int_equal(atoi(local_queue_text(&dead, "Messages.0.Attributes.ApproximateReceiveCount")), most + 1);
        local_queue_drop(&q);
        local_queue_drop(&dead);
    }
}

static void
a_dead_letter_keeps_what_it_was(void **state)
{
    (void)state;
    struct local_queue q, dead;
    char arn[DEAD_LETTERS_ARN], first[40], id[50], sent[40];
    local_queue_make(&dead, "{}");
    dead_letters_make(&q, &dead, 1, "");
    local_queue_ok(
        &q, "SendMessage",
        ", \"MessageBody\": \"m\", \"MessageAttributes\": {\"a\": {\"DataType\": \"Number\", \"StringValue\":"
        " \"1.10\"}}, \"MessageSystemAttributes\": {\"AWSTraceHeader\": {\"DataType\": \"String\","
        " \"StringValue\": \"Root=1\"}}");
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(local_queue_receive(&q, ALL), 1);
    snprintf(id, sizeof id, "%s", local_queue_text(&q, "Messages.0.MessageId"));
    snprintf(sent, sizeof sent, "%s", local_queue_text(&q, "Messages.0.Attributes.SentTimestamp"));
    snprintf(first, sizeof first, "%s", local_queue_text(&q, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp"));
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(local_queue_receive(&dead, ALL ", \"MessageAttributeNames\": [\"All\"]"), 1);
    assert_string_equal(local_queue_text(&dead, "Messages.0.MessageId"), id);
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.SentTimestamp"), sent);
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp"), first);
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.AWSTraceHeader"), "Root=1");
    assert_string_equal(local_queue_text(&dead, "Messages.0.MessageAttributes.a.StringValue"), "1.10");
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.DeadLetterQueueSourceArn"),
                        dead_letters_arn(q.url, arn));
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

static void
a_dead_letters_age_counts_from_its_first_queue(void **state)
{
    (void)state;
    struct local_queue q, dead;
    local_queue_make(&dead, "{\"MessageRetentionPeriod\": \"100\"}");
    dead_letters_make(&q, &dead, 1, ", \"MessageRetentionPeriod\": \"1000\"");
    local_queue_send(&q, "m");
    local_queue_receive(&q, "");
    local_server_pass(&local_fixture, 60000);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_queue_assert_counts(&dead, 1, 0, 0);
    local_server_pass(&local_fixture, 39999);
    local_queue_assert_counts(&dead, 1, 0, 0);
    local_server_pass(&local_fixture, 1001);
    local_queue_assert_counts(&dead, 0, 0, 0);

    local_queue_send(&q, "older than its dead letters may be");
    local_queue_receive(&q, "");
    local_server_pass(&local_fixture, 100000);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    assert_int_equal(local_queue_receive(&dead, ""), 0);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

static void
a_fifo_dead_letters_age_counts_anew(void **state)
{
    (void)state;
    struct local_queue q, dead;
    local_queue_make(&dead, "{\"FifoQueue\": \"true\", \"MessageRetentionPeriod\": \"100\"}");
    dead_letters_make(&q, &dead, 1, ", \"FifoQueue\": \"true\"");
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"m\", \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"d\"");
    local_queue_receive(&q, "");
    local_server_pass(&local_fixture, 1000000);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_server_pass(&local_fixture, 99999);
    local_queue_assert_counts(&dead, 1, 0, 0);
    local_server_pass(&local_fixture, 1001);
    local_queue_assert_counts(&dead, 0, 0, 0);
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

static void
dead_letters_have_dead_letters(void **state)
{
    (void)state;
    struct local_queue q, dead, deader;
    char arn[DEAD_LETTERS_ARN];
    local_queue_make(&deader, "{}");
    dead_letters_make(&dead, &deader, 3, "");
    dead_letters_make(&q, &dead, 1, "");
    local_queue_send(&q, "m");
    assert_int_equal(local_queue_receive(&q, ""), 1);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    assert_int_equal(local_queue_receive(&dead, ""), 1); /* the receive of its first queue counts */
    assert_int_equal(local_queue_receive(&dead, ""), 1);
    assert_int_equal(local_queue_receive(&dead, ""), 0);
    assert_int_equal(local_queue_receive(&deader, ALL), 1);
    assert_string_equal(local_queue_text(&deader, "Messages.0.Attributes.DeadLetterQueueSourceArn"),
                        dead_letters_arn(dead.url, arn));
    local_queue_drop(&q);
    local_queue_drop(&dead);
    local_queue_drop(&deader);
}

static void
a_queue_that_names_itself_keeps_its_messages(void **state)
{
    (void)state;
    struct local_queue q;
    char arn[DEAD_LETTERS_ARN], policy[300];
    local_queue_make(&q, "{\"VisibilityTimeout\": \"0\"}");
    snprintf(policy, sizeof policy, "{\"deadLetterTargetArn\":\"%s\",\"maxReceiveCount\":1}",
             dead_letters_arn(q.url, arn));
    assert_true(set(&q, "RedrivePolicy", policy));
    local_queue_send(&q, "m");
    for (int i = 0; i < 3; i++)
        assert_int_equal(local_queue_receive(&q, ""), 1);
    local_queue_drop(&q);
}

/* ---- policies ---------------------------------------------------------------------------------------------------- */

#define QUEUE(name) "arn:aws:sqs:us-east-1:000000000000:" name
#define REDRIVE     "RedrivePolicy"
#define ALLOW       "RedriveAllowPolicy"
#define NO_POLICY   "Amazon SQS can't create the redrive allow policy"
#define BAD_FORMAT                                                                                                     \
    "Invalid value for the parameter RedriveAllowPolicy. Reason: " NO_POLICY                                           \
    ", as it\xe2\x80\x99s in an unsupported format."
#define BAD(policy, value, reason) "Value " value " for parameter " policy " is invalid. Reason: " reason
#define COUNT(count)                                                                                                   \
    {                                                                                                                  \
        REDRIVE, "{\"deadLetterTargetArn\":\"" QUEUE("x") "\",\"maxReceiveCount\":" count "}",                         \
            "InvalidParameterValue", NULL                                                                              \
    }
#define WORDED(policy, value, reason)                                                                                  \
    {                                                                                                                  \
        policy, value, "InvalidParameterValue", BAD(policy, value, reason)                                             \
    }
#define UNMAPPED(value)                                                                                                \
    {                                                                                                                  \
        REDRIVE, value, "InvalidAttributeValue",                                                                       \
            "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map."           \
    }
#define UNFORMED(value)                                                                                                \
    {                                                                                                                  \
        ALLOW, value, "InvalidAttributeValue", BAD_FORMAT                                                              \
    }

static const struct {
    const char *name, *value, *code, *message;
} REFUSED[] = {
    UNMAPPED("none"),
    UNMAPPED("[]"),
    UNMAPPED("3"),
    WORDED(REDRIVE, "{}", "Redrive policy does not contain mandatory attribute: maxReceiveCount."),
    WORDED(REDRIVE, "{\"maxReceiveCount\":5}",
           "Redrive policy does not contain mandatory attribute: deadLetterTargetArn."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"" QUEUE("x") "\",\"maxReceiveCount\":0}",
           "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"" QUEUE("x") "\",\"maxReceiveCount\":\"1001\"}",
           "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000 both inclusive."),
    COUNT("-1"),
    COUNT("1.5"),
    COUNT("true"),
    COUNT("null"),
    COUNT("\"\""),
    COUNT("\"x\""),
    COUNT("99999999999999999999"),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"x\",\"maxReceiveCount\":5}",
           "Dead-letter target ARN should be fully qualified ARN."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":5,\"maxReceiveCount\":5}",
           "Dead-letter target ARN should be fully qualified ARN."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"arn:aws:sns:us-east-1:000000000000:x\",\"maxReceiveCount\":5}",
           "Only SQS queues are valid resources for deadLetterTargetArn."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:000000000000:x\",\"maxReceiveCount\":5}",
           "Dead-letter target must be in same region as the source."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:111111111111:x\",\"maxReceiveCount\":5}",
           "Dead-letter target owner should be same as the source."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"" QUEUE("none.fifo") "\",\"maxReceiveCount\":5}",
           "Dead-letter queue must be same type of queue as the source.."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"" QUEUE("none") "\",\"maxReceiveCount\":5}",
           "Dead letter target does not exist."),
    WORDED(REDRIVE, "{\"deadLetterTargetArn\":\"" QUEUE("none") "\",\"maxReceiveCount\":5,\"more\":\"x\"}",
           "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn]."),
    UNFORMED("none"),
    UNFORMED("[]"),
    UNFORMED("{}"),
    UNFORMED("{\"redrivePermission\":\"some\"}"),
    UNFORMED("{\"redrivePermission\":5}"),
    UNFORMED("{\"redrivePermission\":\"allowAll\",\"more\":\"x\"}"),
    UNFORMED("{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":\"arn:aws:sqs\"}"),
    UNFORMED("{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[{\"a\":\"b\"}]}"),
    WORDED(ALLOW, "{\"redrivePermission\":\"byQueue\"}",
           NO_POLICY
           ". When you specify the byQueue permission type, you must also specify one or more sourceQueueArns "
           "values."),
    WORDED(ALLOW, "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[]}",
           NO_POLICY
           ". When you specify the byQueue permission type, you must also specify one or more sourceQueueArns "
           "values."),
    WORDED(ALLOW,
           "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\","
           "\"9\",\"10\",\"11\"]}",
           NO_POLICY ". The maximum number of source queue ARNs you can specify is 10."),
    WORDED(ALLOW, "{\"redrivePermission\":\"allowAll\",\"sourceQueueArns\":[\"" QUEUE("x") "\"]}",
           NO_POLICY ". To specify one or more source queue ARNs, you must set redrivePermission to byQueue."),
    WORDED(ALLOW, "{\"redrivePermission\":\"denyAll\",\"sourceQueueArns\":[\"" QUEUE("x") "\"]}",
           NO_POLICY ". To specify one or more source queue ARNs, you must set redrivePermission to byQueue."),
};

static void
bad_policies_are_refused_in_awss_words(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        if (set(&q, REFUSED[i].name, REFUSED[i].value) || strcmp(q.call.error, REFUSED[i].code) != 0 ||
            (REFUSED[i].message && strcmp(q.call.message, REFUSED[i].message) != 0))
            fail_msg("%s: %d %s: %s", REFUSED[i].value, q.call.status, q.call.error, q.call.message);
        local_queue_ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"" REDRIVE "\", \"" ALLOW "\"]");
        assert_int_equal(aws_call_count(&q.call, "Attributes"), 0);
    }
    assert_true(set(&q, ALLOW, "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"" QUEUE("x") "\"]}"));
    assert_true(set(&q, ALLOW, ""));
    local_queue_drop(&q);
}

static void
a_dead_letter_queue_says_who_may_use_it(void **state)
{
    (void)state;
    struct local_queue dead, q;
    char arn[DEAD_LETTERS_ARN], policy[300], allow[300];
    local_queue_make(&dead, "{\"RedriveAllowPolicy\": \"{\\\"redrivePermission\\\":\\\"denyAll\\\"}\"}");
    local_queue_make(&q, "{\"VisibilityTimeout\": \"0\"}");
    snprintf(policy, sizeof policy, "{\"deadLetterTargetArn\":\"%s\",\"maxReceiveCount\":1}",
             dead_letters_arn(dead.url, arn));
    assert_false(set(&q, "RedrivePolicy", policy));
    assert_string_equal(q.call.error, "InvalidParameterValue");
    assert_non_null(strstr(q.call.message, "RedriveAllowPolicy does not allow this queue to use it."));

    assert_true(set(&dead, ALLOW, "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"" QUEUE("x") "\"]}"));
    assert_false(set(&q, "RedrivePolicy", policy));
    snprintf(allow, sizeof allow, "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"" QUEUE("x") "\",\"%s\"]}",
             dead_letters_arn(q.url, arn));
    assert_true(set(&dead, ALLOW, allow));
    assert_true(set(&q, "RedrivePolicy", policy));

    assert_true(set(&dead, ALLOW, "{\"redrivePermission\":\"denyAll\"}"));
    dead_letters_bury(&q, "what was permitted goes on", 1);
    local_queue_assert_counts(&dead, 1, 0, 0);
    assert_false(set(&q, "RedrivePolicy", policy)); /* but is not permitted anew */
    assert_true(set(&q, "DelaySeconds", "0"));

    assert_true(set(&dead, ALLOW, "{\"redrivePermission\":\"allowAll\"}"));
    assert_true(set(&q, "RedrivePolicy", policy));
    assert_true(set(&dead, ALLOW, ""));
    assert_true(set(&q, "RedrivePolicy", policy));
    assert_int_equal(
        aws_call_sqs(&q.call, "CreateQueue",
                     "{\"QueueName\": \"may-not\", \"Attributes\": {\"RedrivePolicy\":"
                     " \"{\\\"maxReceiveCount\\\":1,\\\"deadLetterTargetArn\\\":\\\"" QUEUE("none") "\\\"}\"}}"),
        400);
    assert_int_equal(aws_call_sqs(&q.call, "GetQueueUrl", "{\"QueueName\": \"may-not\"}"), 400);
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

static void
dead_letters_are_of_the_type_of_their_queue(void **state)
{
    (void)state;
    struct local_queue standard, fifo;
    char arn[DEAD_LETTERS_ARN], policy[300];
    local_queue_make(&standard, "{}");
    local_queue_make(&fifo, "{\"FifoQueue\": \"true\"}");
    struct local_queue *const pairs[][2] = {{&standard, &fifo}, {&fifo, &standard}};
    for (size_t i = 0; i < 2; i++) {
        snprintf(policy, sizeof policy, "{\"deadLetterTargetArn\":\"%s\",\"maxReceiveCount\":1}",
                 dead_letters_arn(pairs[i][1]->url, arn));
        assert_false(set(pairs[i][0], REDRIVE, policy));
        assert_string_equal(pairs[i][0]->call.error, "InvalidParameterValue");
        assert_non_null(
            strstr(pairs[i][0]->call.message, "Reason: Dead-letter queue must be same type of queue as the source.."));
    }
    local_queue_drop(&standard);
    local_queue_drop(&fifo);
}

/* ---- whose dead letters ------------------------------------------------------------------------------------------ */

static void
sources_are_listed_by_page(void **state)
{
    (void)state;
    struct local_queue dead, q[5];
    char token[200] = "", members[300];
    local_queue_make(&dead, "{}");
    local_queue_ok(&dead, "ListDeadLetterSourceQueues", "");
    assert_int_equal(aws_call_count(&dead.call, ""), 1); /* an empty list, which is there */
    assert_int_equal(aws_call_count(&dead.call, "queueUrls"), 0);
    for (int i = 0; i < 5; i++)
        dead_letters_make(&q[i], &dead, 5, "");
    local_queue_ok(&dead, "ListDeadLetterSourceQueues", "");
    assert_int_equal(aws_call_count(&dead.call, "queueUrls"), 5);
    assert_false(aws_call_text(&dead.call, "NextToken", token, sizeof token));
    local_queue_ok(&q[0], "ListDeadLetterSourceQueues", "");
    assert_int_equal(aws_call_count(&q[0].call, "queueUrls"), 0);

    bool seen[5] = {false};
    for (size_t pages = 0, n = 0; n < 5; pages++) {
        assert_true(pages < 3);
        snprintf(members, sizeof members, ", \"MaxResults\": 2%s%s%s", *token ? ", \"NextToken\": \"" : "", token,
                 *token ? "\"" : "");
        local_queue_ok(&dead, "ListDeadLetterSourceQueues", members);
        for (size_t i = 0; i < aws_call_count(&dead.call, "queueUrls"); i++, n++) {
            char path[40];
            snprintf(path, sizeof path, "queueUrls.%zu", i);
            for (int j = 0; j < 5; j++)
                if (strcmp(q[j].url, local_queue_text(&dead, path)) == 0) {
                    assert_false(seen[j]);
                    seen[j] = true;
                }
        }
        assert_int_equal(aws_call_text(&dead.call, "NextToken", token, sizeof token), n < 5);
    }
    for (int j = 0; j < 5; j++)
        assert_true(seen[j]);

    assert_true(set(&q[3], "RedrivePolicy", ""));
    local_queue_ok(&dead, "ListDeadLetterSourceQueues", ", \"MaxResults\": 4");
    assert_int_equal(aws_call_count(&dead.call, "queueUrls"), 4);
    assert_false(aws_call_text(&dead.call, "NextToken", token, sizeof token));
    static const char *const BAD[] = {", \"MaxResults\": 0", ", \"MaxResults\": 1001",
                                      ", \"MaxResults\": 1, \"NextToken\": \"?\""};
    for (size_t i = 0; i < 3; i++) {
        local_queue_call(&dead, "ListDeadLetterSourceQueues", BAD[i]);
        assert_string_equal(dead.call.error, "InvalidParameterValue");
    }
    local_queue_call(&dead, "ListDeadLetterSourceQueues", ", \"NextToken\": \"eA==\"");
    assert_string_equal(dead.call.error, "MissingParameter");
    for (int i = 0; i < 5; i++)
        local_queue_drop(&q[i]);
    local_queue_call(&dead, "DeleteQueue", "");
    local_queue_call(&dead, "ListDeadLetterSourceQueues", "");
    assert_string_equal(dead.call.error, "AWS.SimpleQueueService.NonExistentQueue");
    aws_call_clean_up(&dead.call);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_delivered_as_often_as_the_policy_says),
        cmocka_unit_test(a_dead_letter_keeps_what_it_was),
        cmocka_unit_test(a_dead_letters_age_counts_from_its_first_queue),
        cmocka_unit_test(a_fifo_dead_letters_age_counts_anew),
        cmocka_unit_test(dead_letters_have_dead_letters),
        cmocka_unit_test(a_queue_that_names_itself_keeps_its_messages),
        cmocka_unit_test(bad_policies_are_refused_in_awss_words),
        cmocka_unit_test(a_dead_letter_queue_says_who_may_use_it),
        cmocka_unit_test(dead_letters_are_of_the_type_of_their_queue),
        cmocka_unit_test(sources_are_listed_by_page),
    };
    return cmocka_run_group_tests_name("local/sqs dead letters", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
