/* A message's life in fanout-local's SQS: sent, received, invisible, delayed, deleted, a dead letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/local_queue.h"

static void
a_message_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct local_queue q;
    char md5[DIGEST_MD5_HEX];
    static const char body[] = "\xc3\xa9 \"quoted\" \\ \t\n / \xf0\x9f\x98\x80 \x7f {\"n\": 9007199254740993}";
    local_queue_make(&q, "{}");
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"\\u00e9 \\\"quoted\\\" \\\\ \\t\\n \\/ \\ud83d\\ude00 \x7f {\\\"n\\\": "
                   "9007199254740993}\"");
    digest_md5_hex(body, sizeof body - 1, md5);
    assert_string_equal(local_queue_text(&q, "MD5OfMessageBody"), md5);
    const char *id = local_queue_text(&q, "MessageId");
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
    assert_int_equal(local_queue_receive(&q, ""), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Body"), body);
    assert_string_equal(local_queue_text(&q, "Messages.0.MD5OfBody"), md5);
    assert_string_equal(local_queue_text(&q, "Messages.0.MessageId"), id);
    assert_int_equal(aws_call_count(&q.call, "Messages.0"), 4); /* no attributes unless asked for */
    local_queue_drop(&q);
}

/* The MD5s are those that boto3 checks against; computed here by the rule in FACTS.md. */
static void
attributes_come_out_filtered_with_their_md5(void **state)
{
    (void)state;
    struct local_queue q;
    char md5[DIGEST_MD5_HEX];
    static const char all[] = "\0\0\0\001b\0\0\0\006Binary\002\0\0\0\002\000\377"
                              "\0\0\0\005na.me\0\0\0\012Number.int\001\0\0\0\00242"
                              "\0\0\0\003s.x\0\0\0\006String\001\0\0\0\002\xc3\xa9";
    static const char one[] = "\0\0\0\003s.x\0\0\0\006String\001\0\0\0\002\xc3\xa9";
    local_queue_make(&q, "{\"VisibilityTimeout\": \"0\"}");
    local_queue_ok(
        &q, "SendMessage",
        ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"s.x\": {\"DataType\": \"String\", \"StringValue\": "
        "\"\\u00e9\"},"
        " \"b\": {\"DataType\": \"Binary\", \"BinaryValue\": \"AP8=\"},"
        " \"na.me\": {\"DataType\": \"Number.int\", \"StringValue\": \"42\"}}, \"MessageSystemAttributes\":"
        " {\"AWSTraceHeader\": {\"DataType\": \"String\", \"StringValue\": \"Root=1\"}}");
    digest_md5_hex(all, sizeof all - 1, md5);
    assert_string_equal(local_queue_text(&q, "MD5OfMessageAttributes"), md5);
    assert_int_equal(strlen(local_queue_text(&q, "MD5OfMessageSystemAttributes")), 32);

    local_queue_receive(&q, "");
    assert_int_equal(aws_call_count(&q.call, "Messages.0"), 4);
    local_queue_receive(&q, ", \"MessageAttributeNames\": [\"nothing\"]");
    assert_int_equal(aws_call_count(&q.call, "Messages.0"), 4);
    static const char *const ALL[] = {"[\"All\"]", "[\".*\"]", "[\"*\"]", "[\"b\", \"na.me\", \"s.*\"]"};
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++) {
        char members[100];
        snprintf(members, sizeof members, ", \"MessageAttributeNames\": %s", ALL[i]);
        local_queue_receive(&q, members);
        assert_string_equal(local_queue_text(&q, "Messages.0.MD5OfMessageAttributes"), md5);
        assert_int_equal(aws_call_count(&q.call, "Messages.0.MessageAttributes"), 3);
        assert_string_equal(local_queue_text(&q, "Messages.0.MessageAttributes.b.BinaryValue"), "AP8=");
    }
    local_queue_receive(&q, ", \"MessageAttributeNames\": [\"s.*\"]");
    digest_md5_hex(one, sizeof one - 1, md5);
    assert_string_equal(local_queue_text(&q, "Messages.0.MD5OfMessageAttributes"), md5);
    assert_int_equal(aws_call_count(&q.call, "Messages.0.MessageAttributes"), 1);

    local_queue_receive(&q, ", \"MessageSystemAttributeNames\": [\"AWSTraceHeader\", \"SentTimestamp\"]");
    assert_int_equal(aws_call_count(&q.call, "Messages.0.Attributes"), 2);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.AWSTraceHeader"), "Root=1");
    local_queue_receive(&q, ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.SenderId"), "000000000000");
    assert_int_equal(atol(local_queue_text(&q, "Messages.0.Attributes.ApproximateReceiveCount")), 9);
    local_queue_drop(&q);
}

static void
an_invisible_message_comes_back_when_its_time_is_over(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"30\"}");
    local_queue_send(&q, "m");
    assert_int_equal(local_queue_receive(&q, ", \"AttributeNames\": [\"All\"]"), 1);
    const char *first = local_queue_text(&q, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp");
    local_server_pass(&local_fixture, 29999);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    assert_int_equal(aws_call_count(&q.call, ""), 0); /* {}: no Messages at all */
    local_server_pass(&local_fixture, 1);
    assert_int_equal(local_queue_receive(&q, ", \"AttributeNames\": [\"All\"], \"VisibilityTimeout\": 5"), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.ApproximateReceiveCount"), "2");
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp"), first);
    local_server_pass(&local_fixture, 5000);
    assert_int_equal(local_queue_receive(&q, ""), 1);
    local_queue_drop(&q);
}

static void
changing_the_visibility_counts_from_the_call(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"30\"}");
    local_queue_send(&q, "m");
    local_queue_receive(&q, "");
    const char *handle = local_queue_text(&q, "Messages.0.ReceiptHandle");
    local_server_pass(&local_fixture, 20000);
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 100");
    assert_int_equal(q.call.status, 200);
    assert_int_equal(q.call.body.n, 0);
    local_server_pass(&local_fixture, 99999);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_queue_assert_counts(&q, 0, 1, 0);
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    local_queue_assert_counts(&q, 1, 0, 0);
    assert_int_equal(local_queue_receive(&q, ""), 1);
    handle = local_queue_text(&q, "Messages.0.ReceiptHandle");

    local_server_pass(&local_fixture, 30000); /* expired, not received again: it can still be made invisible */
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 10");
    assert_int_equal(q.call.status, 200);
    local_queue_assert_counts(&q, 0, 1, 0);
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 43200");
    assert_string_equal(q.call.error, "InvalidParameterValue"); /* 12 h from the receive, of which 30 s are gone */
    assert_non_null(strstr(q.call.message, "beyond the limit [43200 seconds]"));
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 43170");
    assert_int_equal(q.call.status, 200);
    local_server_pass(&local_fixture, INT64_C(43200) * 1000); /* the 12 h are over: it can be given back, and no more */
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 1");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_int_equal(q.call.status, 200);
    local_queue_settle(&q, "DeleteMessage", handle, "");
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 1");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    assert_non_null(
        strstr(q.call.message, "Message does not exist or is not available for visibility timeout change."));
    local_queue_drop(&q);
}

static void
delays_are_kept_and_counted(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"DelaySeconds\": \"10\"}");
    local_queue_send(&q, "by the queue");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"at once\", \"DelaySeconds\": 0");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"later\", \"DelaySeconds\": 900");
    local_queue_assert_counts(&q, 1, 0, 2);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Body"), "at once");
    local_server_pass(&local_fixture, 10000);
    local_queue_assert_counts(&q, 1, 1, 1);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Body"), "by the queue");
    local_server_pass(&local_fixture, 890000);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 3);
    local_queue_drop(&q);
}

static void
messages_come_in_the_order_they_were_sent(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    for (int i = 0; i < 25; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        local_queue_send(&q, body);
        local_server_pass(&local_fixture, i % 3);
    }
    for (int i = 0; i < 25;) {
        size_t n = local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10");
        assert_int_equal(n, i < 20 ? 10 : 5);
        for (size_t j = 0; j < n; j++, i++) {
            char path[40];
            snprintf(path, sizeof path, "Messages.%zu.Body", j);
            assert_int_equal(atoi(local_queue_text(&q, path)), i);
        }
    }
    local_queue_drop(&q);
}

static void
what_is_older_than_the_retention_is_gone(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"MessageRetentionPeriod\": \"60\"}");
    local_queue_send(&q, "a");
    local_queue_receive(&q, ", \"VisibilityTimeout\": 1000");
    char handle[100];
    snprintf(handle, sizeof handle, "%s", local_queue_text(&q, "Messages.0.ReceiptHandle"));
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"b\", \"DelaySeconds\": 900");
    local_server_pass(&local_fixture, 30000);
    local_queue_send(&q, "c");
    local_server_pass(&local_fixture, 30000);
    local_queue_assert_counts(&q, 1, 0, 0);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Body"), "c");
    local_queue_settle(&q, "DeleteMessage", handle, "");
    assert_int_equal(q.call.status, 200);
    local_server_pass(&local_fixture, 30000);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"1209600\"}");
    local_queue_send(&q, "d");
    local_server_pass(&local_fixture, INT64_C(1209599) * 1000);
    local_queue_assert_counts(&q, 1, 0, 0);
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"60\"}");
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_drop(&q);
}

static void
handles_delete_what_they_are_of_and_nothing_else(void **state)
{
    (void)state;
    struct local_queue q, other;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"10\"}");
    local_queue_make(&other, "{}");
    local_queue_send(&q, "m");
    local_queue_receive(&q, "");
    char first[100], second[100], broken[100];
    snprintf(first, sizeof first, "%s", local_queue_text(&q, "Messages.0.ReceiptHandle"));

    local_queue_settle(&other, "DeleteMessage", first, "");
    assert_string_equal(other.call.error, "ReceiptHandleIsInvalid");
    assert_int_equal(other.call.status, 404);
    assert_non_null(strstr(other.call.message, "is not valid for this queue."));
    for (size_t i = 0; i < strlen(first); i++) {
        snprintf(broken, sizeof broken, "%s", first);
        broken[i] = broken[i] == 'A' ? 'B' : 'A';
        local_queue_settle(&q, "DeleteMessage", broken, "");
        assert_string_equal(q.call.error, "ReceiptHandleIsInvalid");
    }
    local_queue_settle(&q, "DeleteMessage", "", "");
    assert_string_equal(q.call.error, "MissingParameter");
    local_queue_settle(&q, "DeleteMessage", "garbage", "");
    assert_string_equal(q.call.message, "The input receipt handle \"garbage\" is not a valid receipt handle.");

    local_server_pass(&local_fixture, 10000);
    local_queue_receive(&q, "");
    snprintf(second, sizeof second, "%s", local_queue_text(&q, "Messages.0.ReceiptHandle"));
    assert_string_not_equal(first, second);
    local_queue_settle(&q, "DeleteMessage", first, ""); /* of a receive before: the call succeeds, the message stays */
    assert_int_equal(q.call.status, 200);
    local_queue_assert_counts(&q, 0, 1, 0);
    local_queue_settle(&q, "ChangeMessageVisibility", first, ", \"VisibilityTimeout\": 0");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_server_pass(&local_fixture, 10000);
    local_queue_settle(&q, "DeleteMessage", second, ""); /* expired: it deletes all the same */
    assert_int_equal(q.call.status, 200);
    assert_int_equal(q.call.body.n, 0);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_settle(&q, "DeleteMessage", second, "");
    assert_int_equal(q.call.status, 200);
    local_queue_drop(&q);
    local_queue_drop(&other);
}

static void
the_receive_that_would_exceed_the_count_moves_the_message(void **state)
{
    (void)state;
    struct local_queue q, dead;
    struct aws_call waiting;
    char attributes[300];
    local_queue_make(&dead, "{}");
    snprintf(attributes, sizeof attributes,
             "{\"VisibilityTimeout\": \"10\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":"
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":\\\"2\\\"}\"}",
             strrchr(dead.url, '/') + 1);
    local_queue_make(&q, attributes);
    local_queue_send(&q, "poison");
    local_queue_receive(&q, ", \"AttributeNames\": [\"All\"]");
    char id[50], sent[50];
    snprintf(id, sizeof id, "%s", local_queue_text(&q, "Messages.0.MessageId"));
    snprintf(sent, sizeof sent, "%s", local_queue_text(&q, "Messages.0.Attributes.SentTimestamp"));
    local_server_pass(&local_fixture, 10000);
    assert_int_equal(local_queue_receive(&q, ""), 1);
    local_server_pass(&local_fixture, 10000);
    local_queue_assert_counts(&q, 1, 0, 0);

    local_queue_begin_wait(&dead, &waiting, 20, 1);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    assert_int_equal(aws_call_finish(&waiting), 200); /* a long poll on the dead-letter queue sees it at once */
    assert_int_equal(aws_call_count(&waiting, "Messages"), 1);
    aws_call_clean_up(&waiting);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_assert_counts(&dead, 0, 1, 0);
    local_server_pass(&local_fixture, 30000);
    assert_int_equal(local_queue_receive(&dead, ", \"AttributeNames\": [\"All\"]"), 1);
    assert_string_equal(local_queue_text(&dead, "Messages.0.MessageId"), id);
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.ApproximateReceiveCount"), "4");
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.SentTimestamp"), sent);
    char arn[100];
    snprintf(arn, sizeof arn, "arn:aws:sqs:us-east-1:000000000000:%s", strrchr(q.url, '/') + 1);
    assert_string_equal(local_queue_text(&dead, "Messages.0.Attributes.DeadLetterQueueSourceArn"), arn);

    snprintf(attributes, sizeof attributes, ", \"Attributes\": {\"RedrivePolicy\": \"\"}");
    local_queue_ok(&q, "SetQueueAttributes", attributes);
    local_queue_ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"RedrivePolicy\"]");
    assert_int_equal(aws_call_count(&q.call, "Attributes"), 0);
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

static void
one_receive_moves_all_that_is_due_and_without_a_target_nothing_moves(void **state)
{
    (void)state;
    struct local_queue q, dead;
    char attributes[300];
    local_queue_make(&dead, "{}");
    snprintf(attributes, sizeof attributes,
             "{\"VisibilityTimeout\": \"10\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":"
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":1}\"}",
             strrchr(dead.url, '/') + 1);
    local_queue_make(&q, attributes);
    for (int i = 0; i < 25; i++)
        local_queue_send(&q, "m");
    for (size_t n = 0; n < 25;)
        n += local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10");
    local_server_pass(&local_fixture, 10000);
    local_queue_assert_counts(&q, 25, 0, 0);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_assert_counts(&dead, 25, 0, 0);

    local_queue_send(&q, "stays");
    local_queue_drop(&dead);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(local_queue_receive(&q, ", \"AttributeNames\": [\"All\"]"), 1);
        assert_int_equal(atoi(local_queue_text(&q, "Messages.0.Attributes.ApproximateReceiveCount")), i);
        local_server_pass(&local_fixture, 10000);
    }
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_out_as_it_went_in),
        cmocka_unit_test(attributes_come_out_filtered_with_their_md5),
        cmocka_unit_test(an_invisible_message_comes_back_when_its_time_is_over),
        cmocka_unit_test(changing_the_visibility_counts_from_the_call),
        cmocka_unit_test(delays_are_kept_and_counted),
        cmocka_unit_test(messages_come_in_the_order_they_were_sent),
        cmocka_unit_test(what_is_older_than_the_retention_is_gone),
        cmocka_unit_test(handles_delete_what_they_are_of_and_nothing_else),
        cmocka_unit_test(the_receive_that_would_exceed_the_count_moves_the_message),
        cmocka_unit_test(one_receive_moves_all_that_is_due_and_without_a_target_nothing_moves),
    };
    return cmocka_run_group_tests_name("local/sqs", tests, local_fixture_start_with_clock, local_fixture_stop);
}
