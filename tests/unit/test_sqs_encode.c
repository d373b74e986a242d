#include "aws/sqs_encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define URL "http://127.0.0.1:4566/000000000000/durable-fanout-queue"

static void
assert_text(struct buf *text, const char *expected)
{
    assert_false(buf_failed(text));
    assert_string_equal(text->data, expected);
    buf_clean_up(text);
}

static void
a_receive_asks_for_the_system_attributes_somebody_wants(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    sqs_encode_receive(&text, &(struct sqs_receive_options){
                                  .queue_url = URL, .max_messages = 10, .wait_time_s = 20, .visibility_timeout_s = -1});
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":20,"
                       "\"MessageSystemAttributeNames\":[\"ApproximateReceiveCount\",\"SentTimestamp\","
                       "\"ApproximateFirstReceiveTimestamp\",\"MessageGroupId\",\"SequenceNumber\",\"AWSTraceHeader\"],"
                       "\"MessageAttributeNames\":[\"All\"]}");
    sqs_encode_receive(&text, &(struct sqs_receive_options){.queue_url = URL,
                                                            .max_messages = 1,
                                                            .visibility_timeout_s = 0,
                                                            .attempt_id = "try-\"1\"",
                                                            .all_attributes = true});
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"MaxNumberOfMessages\":1,\"WaitTimeSeconds\":0,"
                       "\"VisibilityTimeout\":0,\"ReceiveRequestAttemptId\":\"try-\\\"1\\\"\","
                       "\"MessageSystemAttributeNames\":[\"All\"],\"MessageAttributeNames\":[\"All\"]}");
}

static void
entries_of_a_batch_are_called_by_their_positions(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    const struct slice handles[] = {SLICE("h/0+="), SLICE("h1")};
    const struct sqs_visibility leases[] = {{SLICE("h0"), 0}, {SLICE("h1"), 43200}};
    sqs_encode_delete_batch(&text, URL, handles, 2);
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h/0+=\"},"
                       "{\"Id\":\"1\",\"ReceiptHandle\":\"h1\"}]}");
    sqs_encode_change_visibility_batch(&text, URL, leases, 2);
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"Entries\":["
                       "{\"Id\":\"0\",\"ReceiptHandle\":\"h0\",\"VisibilityTimeout\":0},"
                       "{\"Id\":\"1\",\"ReceiptHandle\":\"h1\",\"VisibilityTimeout\":43200}]}");
}

static void
a_message_is_sent_with_all_that_belongs_to_it(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    const struct sqs_attribute attributes[] = {
        {.name = SLICE("reason"), .type = SLICE("String"), .value = SLICE("no \"user\"")},
        {.name = SLICE("count"), .type = SLICE("Number.int"), .value = SLICE("12")},
        {.name = SLICE("raw"), .type = SLICE("Binary"), .value = SLICE("\0\1\xff")}};
    const struct sqs_send messages[] = {{.body = SLICE("{\"a\":\"\\u0000\n\"}"),
                                         .attributes = attributes,
                                         .n_attributes = 3,
                                         .group = SLICE("g"),
                                         .dedup_id = SLICE("d"),
                                         .delay_s = 0},
                                        {.body = SLICE("caf\xc3\xa9"), .delay_s = -1}};
    sqs_encode_send_batch(&text, URL, messages, 2);
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"Entries\":[{\"Id\":\"0\","
                       "\"MessageBody\":\"{\\\"a\\\":\\\"\\\\u0000\\n\\\"}\",\"MessageAttributes\":{"
                       "\"reason\":{\"DataType\":\"String\",\"StringValue\":\"no \\\"user\\\"\"},"
                       "\"count\":{\"DataType\":\"Number.int\",\"StringValue\":\"12\"},"
                       "\"raw\":{\"DataType\":\"Binary\",\"BinaryValue\":\"AAH/\"}},"
                       "\"MessageGroupId\":\"g\",\"MessageDeduplicationId\":\"d\",\"DelaySeconds\":0},"
                       "{\"Id\":\"1\",\"MessageBody\":\"caf\xc3\xa9\"}]}");
    sqs_encode_send(&text, URL, &messages[1]);
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"MessageBody\":\"caf\xc3\xa9\"}");
}

static void
queues_are_asked_about(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    sqs_encode_get_queue_url(&text, "durable-fanout-queue");
    assert_text(&text, "{\"QueueName\":\"durable-fanout-queue\"}");
    sqs_encode_get_queue_attributes(&text, URL);
    assert_text(&text, "{\"QueueUrl\":\"" URL "\",\"AttributeNames\":[\"All\"]}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receive_asks_for_the_system_attributes_somebody_wants),
        cmocka_unit_test(entries_of_a_batch_are_called_by_their_positions),
        cmocka_unit_test(a_message_is_sent_with_all_that_belongs_to_it),
        cmocka_unit_test(queues_are_asked_about),
    };
    return cmocka_run_group_tests_name("sqs_encode", tests, NULL, NULL);
}
