#include "aws/sqs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/digest.h"
#include "lib/aws_stub.h"

#define URL       "http://q/000000000000/orders"
#define HELLO     "{\"MessageId\":\"m1\",\"ReceiptHandle\":\"r1\",\"Body\":\"hello\",\"MD5OfBody\":"
#define HELLO_MD5 "\"5d41402abc4b2a76b9719d911017c592\""

static struct aws_stub *stub;

static int
set_up(void **state)
{
    (void)state;
    stub = aws_stub_start(AWS_SQS);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    aws_stub_stop(stub);
    return 0;
}

/* What a callback got. */
struct got {
    bool done, failed;
    char code[128], text[600];
    struct err err;
    size_t n, corrupt;
    char words[10][200];
    bool ok[10];
    struct sqs_queue queue;
};

static void
note_error(struct got *g, const struct aws_error *error)
{
    g->done = true;
    g->failed = error != NULL;
    if (!error)
        return;
    g->err = error->err;
    snprintf(g->code, sizeof g->code, "%s", error->code);
    snprintf(g->text, sizeof g->text, "%s", error->err.text);
}

static void
received(void *context, const struct sqs_received *r)
{
    struct got *g = context;
    note_error(g, r->error);
    g->n = r->n_messages;
    g->corrupt = r->corrupt;
    for (size_t i = 0; i < r->n_messages; i++)
        snprintf(g->words[i], sizeof g->words[i], "%.*s %.*s %.*s", SLICE_ARG(r->messages[i].id),
                 SLICE_ARG(r->messages[i].receipt_handle), SLICE_ARG(r->messages[i].body));
}

static void
settled(void *context, const struct sqs_batch_result *r)
{
    struct got *g = context;
    note_error(g, r->error);
    g->n = r->n;
    for (size_t i = 0; i < r->n; i++) {
        g->ok[i] = r->results[i].ok;
        snprintf(g->words[i], sizeof g->words[i], "%s",
                 r->results[i].ok ? r->results[i].message_id : r->results[i].code);
    }
    assert_true(r->error ? !r->results : r->results != NULL);
}

static void
told(void *context, const struct sqs_queue *q)
{
    struct got *g = context;
    note_error(g, q->error);
    g->queue = *q;
    snprintf(g->words[0], sizeof g->words[0], "%.*s", SLICE_ARG(q->url));
    snprintf(g->words[1], sizeof g->words[1], "%.*s", SLICE_ARG(q->dead_letter_arn));
}

static void
never(void *context, const struct sqs_received *r)
{
    (void)context;
    (void)r;
    fail_msg("called back after the call was cancelled");
}

static void
assert_request(const char *target, const char *body)
{
    assert_string_equal(aws_stub_line(stub, 0), "POST / HTTP/1.1");
    assert_string_equal(aws_stub_header(stub, 0, "x-amz-target"), target);
    assert_string_equal(aws_stub_header(stub, 0, "content-type"), "application/x-amz-json-1.0");
    assert_non_null(strstr(aws_stub_header(stub, 0, "authorization"), "/eu-north-1/sqs/aws4_request"));
    assert_string_equal(aws_stub_body(stub, 0), body);
}

static const struct sqs_receive_options POLL = {
    .queue_url = URL, .max_messages = 10, .wait_time_s = 20, .visibility_timeout_s = -1};

static void
a_receive_brings_messages(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "", "{\"Messages\":[" HELLO HELLO_MD5 "}," HELLO "\"0\"}]}");
    assert_int_equal(sqs_receive(aws_stub_client(stub), &POLL, received, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_false(g.failed);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.corrupt, 1);
    assert_string_equal(g.words[0], "m1 r1 hello");
    assert_request("AmazonSQS.ReceiveMessage",
                   "{\"QueueUrl\":\"" URL "\",\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":20,"
                   "\"MessageSystemAttributeNames\":[\"ApproximateReceiveCount\",\"SentTimestamp\","
                   "\"ApproximateFirstReceiveTimestamp\",\"MessageGroupId\",\"SequenceNumber\","
                   "\"AWSTraceHeader\"],\"MessageAttributeNames\":[\"All\"]}");
}

static void
an_error_of_the_service_comes_through(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 400, "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
                    "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"The specified queue does not "
                    "exist.\"}");
    assert_int_equal(sqs_receive(aws_stub_client(stub), &POLL, received, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_string_equal(g.code, "AWS.SimpleQueueService.NonExistentQueue");
    assert_int_equal(g.err.code, ERR_NOT_FOUND);
    assert_int_equal(g.n, 0);
}

static void
an_answer_that_makes_no_sense_is_an_error_of_every_call(void **state)
{
    (void)state;
    struct aws_client *c = aws_stub_client(stub);
    const struct slice handle = SLICE("h");
    const struct sqs_visibility lease = {SLICE("h"), 5};
    const struct sqs_send message = {.body = SLICE("b"), .delay_s = -1};
    aws_stub_answer(stub, 200, "x-amzn-RequestId: 1-2-3\r\n", "<html>no</html>");
    for (int call = 0; call < 7; call++) {
        struct got g = {0};
        int rc = call == 0   ? sqs_receive(c, &POLL, received, &g, NULL, NULL)
                 : call == 1 ? sqs_delete_batch(c, URL, &handle, 1, settled, &g, NULL, NULL)
                 : call == 2 ? sqs_change_visibility_batch(c, URL, &lease, 1, settled, &g, NULL, NULL)
                 : call == 3 ? sqs_send_batch(c, URL, &message, 1, settled, &g, NULL, NULL)
                 : call == 4 ? sqs_send(c, URL, &message, settled, &g, NULL, NULL)
                 : call == 5 ? sqs_get_queue_url(c, "orders", told, &g, NULL, NULL)
                             : sqs_get_queue_attributes(c, URL, told, &g, NULL, NULL);
        assert_int_equal(rc, 0);
        aws_stub_run(stub, &g.done);
        assert_true(g.failed);
        assert_string_equal(g.code, "garbled");
        assert_int_equal(g.err.code, ERR_PROTOCOL);
        assert_false(g.err.retryable);
        assert_non_null(strstr(g.text, "the answer is no JSON object"));
        assert_non_null(strstr(g.text, "1-2-3"));
        assert_int_equal(g.n, 0);
    }
}

static void
deletes_are_settled_one_by_one(void **state)
{
    (void)state;
    struct got g = {0};
    const struct slice handles[] = {SLICE("h0"), SLICE("h1"), SLICE("h2")};
    aws_stub_answer(stub, 200, "",
                    "{\"Successful\":[{\"Id\":\"2\"}],\"Failed\":[{\"Id\":\"0\",\"Code\":\"InternalError\","
                    "\"SenderFault\":false}]}");
    assert_int_equal(sqs_delete_batch(aws_stub_client(stub), URL, handles, 3, settled, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_int_equal(g.n, 3);
    assert_true(!g.ok[0] && !g.ok[1] && g.ok[2]);
    assert_string_equal(g.words[0], "InternalError");
    assert_string_equal(g.words[1], "missing");
    assert_request("AmazonSQS.DeleteMessageBatch",
                   "{\"QueueUrl\":\"" URL "\",\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"h0\"},"
                   "{\"Id\":\"1\",\"ReceiptHandle\":\"h1\"},{\"Id\":\"2\",\"ReceiptHandle\":\"h2\"}]}");
}

static void
leases_are_changed_in_a_batch(void **state)
{
    (void)state;
    struct got g = {0};
    const struct sqs_visibility entries[] = {{SLICE("h0"), 0}, {SLICE("h1"), 30}};
    aws_stub_answer(stub, 200, "", "{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"1\"}]}");
    assert_int_equal(sqs_change_visibility_batch(aws_stub_client(stub), URL, entries, 2, settled, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.ok[0] && g.ok[1]);
    assert_request("AmazonSQS.ChangeMessageVisibilityBatch",
                   "{\"QueueUrl\":\"" URL "\",\"Entries\":["
                   "{\"Id\":\"0\",\"ReceiptHandle\":\"h0\",\"VisibilityTimeout\":0},"
                   "{\"Id\":\"1\",\"ReceiptHandle\":\"h1\",\"VisibilityTimeout\":30}]}");
}

static void
sends_are_confirmed_by_their_md5(void **state)
{
    (void)state;
    struct got g = {0};
    const struct sqs_attribute attribute = {
        .name = SLICE("timestamp"), .type = SLICE("Number"), .value = SLICE("1493147359900")};
    const struct sqs_send messages[] = {
        {.body = SLICE("hello"), .attributes = &attribute, .n_attributes = 1, .delay_s = -1},
        {.body = SLICE("hello"), .delay_s = -1}};
    aws_stub_answer(stub, 200, "",
                    "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"a\",\"MD5OfMessageBody\":" HELLO_MD5
                    ",\"MD5OfMessageAttributes\":\"235c5c510d26fb653d073faed50ae77c\"},"
                    "{\"Id\":\"1\",\"MessageId\":\"b\",\"MD5OfMessageBody\":\"9\"}]}");
    assert_int_equal(sqs_send_batch(aws_stub_client(stub), URL, messages, 2, settled, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.ok[0]);
    assert_string_equal(g.words[0], "a");
    assert_false(g.ok[1]);
    assert_string_equal(g.words[1], "checksum");
    assert_request("AmazonSQS.SendMessageBatch",
                   "{\"QueueUrl\":\"" URL "\",\"Entries\":[{\"Id\":\"0\",\"MessageBody\":\"hello\","
                   "\"MessageAttributes\":{\"timestamp\":{\"DataType\":\"Number\",\"StringValue\":\"1493147359900\"}}},"
                   "{\"Id\":\"1\",\"MessageBody\":\"hello\"}]}");
}

/* It arrives with U+FFFD for what is no text; a resend would arrive the same way, for ever. */
static void
what_is_no_utf8_is_sent_replaced_and_not_compared(void **state)
{
    (void)state;
    struct got g = {0};
    const struct sqs_attribute attribute = {.name = SLICE("reason"), .type = SLICE("String"), .value = SLICE("a\xff")};
    const struct sqs_send messages[] = {{.body = SLICE("\xc3"), .delay_s = -1},
                                        {.body = SLICE("hello"), .attributes = &attribute, .n_attributes = 1}};
    aws_stub_answer(stub, 200, "",
                    "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"a\",\"MD5OfMessageBody\":\"b\"},"
                    "{\"Id\":\"1\",\"MessageId\":\"c\",\"MD5OfMessageBody\":" HELLO_MD5
                    ",\"MD5OfMessageAttributes\":\"d\"}]}");
    assert_int_equal(sqs_send_batch(aws_stub_client(stub), URL, messages, 2, settled, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.ok[0] && g.ok[1]);
    assert_request("AmazonSQS.SendMessageBatch",
                   "{\"QueueUrl\":\"" URL "\",\"Entries\":[{\"Id\":\"0\",\"MessageBody\":\"\xef\xbf\xbd\"},"
                   "{\"Id\":\"1\",\"MessageBody\":\"hello\",\"MessageAttributes\":{\"reason\":{\"DataType\":"
                   "\"String\",\"StringValue\":\"a\xef\xbf\xbd\"}},\"DelaySeconds\":0}]}");
}

static void
a_single_send_has_one_result(void **state)
{
    (void)state;
    struct got g = {0};
    const struct sqs_send message = {.body = SLICE("hello"), .group = SLICE("g"), .dedup_id = SLICE("d"), .delay_s = 0};
    aws_stub_answer(stub, 200, "", "{\"MessageId\":\"a\",\"MD5OfMessageBody\":" HELLO_MD5 "}");
    assert_int_equal(sqs_send(aws_stub_client(stub), URL, &message, settled, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_int_equal(g.n, 1);
    assert_true(g.ok[0]);
    assert_request("AmazonSQS.SendMessage",
                   "{\"QueueUrl\":\"" URL "\",\"MessageBody\":\"hello\",\"MessageGroupId\":\"g\","
                   "\"MessageDeduplicationId\":\"d\",\"DelaySeconds\":0}");
}

static void
a_queue_is_found_by_name(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "", "{\"QueueUrl\":\"" URL "\"}");
    assert_int_equal(sqs_get_queue_url(aws_stub_client(stub), "orders", told, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_string_equal(g.words[0], URL);
    assert_request("AmazonSQS.GetQueueUrl", "{\"QueueName\":\"orders\"}");
}

static void
a_queue_tells_its_attributes(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "",
                    "{\"Attributes\":{\"VisibilityTimeout\":\"45\",\"RedrivePolicy\":"
                    "\"{\\\"deadLetterTargetArn\\\":\\\"arn:d\\\",\\\"maxReceiveCount\\\":10}\"}}");
    assert_int_equal(sqs_get_queue_attributes(aws_stub_client(stub), URL, told, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_int_equal(g.queue.visibility_timeout_s, 45);
    assert_int_equal(g.queue.max_receive_count, 10);
    assert_string_equal(g.words[1], "arn:d");
    assert_request("AmazonSQS.GetQueueAttributes", "{\"QueueUrl\":\"" URL "\",\"AttributeNames\":[\"All\"]}");
}

static void
what_sqs_would_refuse_is_not_sent(void **state)
{
    (void)state;
    struct aws_client *c = aws_stub_client(stub);
    const struct slice handles[11] = {SLICE("h")};
    const struct sqs_visibility long_lease = {SLICE("h"), 43201};
    const struct sqs_send late = {.body = SLICE("b"), .delay_s = 901};
    struct sqs_receive_options options[5] = {POLL, POLL, POLL, POLL, POLL};
    struct err e;
    options[0].max_messages = 0;
    options[1].max_messages = 11;
    options[2].wait_time_s = 21;
    options[3].visibility_timeout_s = 43201;
    options[4].queue_url = "";
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(sqs_receive(c, &options[i], never, NULL, NULL, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "ReceiveMessage"));
    }
    assert_int_equal(sqs_delete_batch(c, URL, handles, 0, settled, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_delete_batch(c, URL, handles, 11, settled, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_delete_batch(c, NULL, handles, 1, settled, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_change_visibility_batch(c, URL, &long_lease, 1, settled, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_send_batch(c, URL, &late, 1, settled, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_send(c, URL, &late, settled, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_get_queue_url(c, "", told, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(sqs_get_queue_attributes(c, "", told, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(stub_server_requests(aws_stub_server(stub)), 0);
}

/* A leak here shows under the address sanitizer. */
static void
a_cancelled_call_frees_what_it_had(void **state)
{
    (void)state;
    struct aws_client *c = aws_stub_client(stub);
    struct aws_call *call = NULL;
    struct got g = {0};
    assert_int_equal(sqs_receive(c, &POLL, never, NULL, &call, NULL), 0);
    aws_cancel(call);
    assert_int_equal(sqs_receive(c, &POLL, never, NULL, NULL, NULL), 0); /* ends with the client */
    assert_int_equal(sqs_get_queue_url(c, "orders", told, &g, &call, NULL), 0);
    aws_cancel(call);
    assert_false(g.done);
}

/* A callback may start the next call. */
static void
received_and_again(void *context, const struct sqs_received *r)
{
    struct got *g = context;
    assert_null(r->error);
    g->n++;
    g->done = g->n == 3;
    if (!g->done)
        assert_int_equal(sqs_receive(aws_stub_client(stub), &POLL, received_and_again, g, NULL, NULL), 0);
}

static void
a_callback_may_receive_again(void **state)
{
    (void)state;
    struct got g = {0};
    assert_int_equal(sqs_receive(aws_stub_client(stub), &POLL, received_and_again, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_int_equal(stub_server_requests(aws_stub_server(stub)), 3);
    assert_int_equal(stub_server_connections(aws_stub_server(stub)), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_receive_brings_messages),
        TEST(an_error_of_the_service_comes_through),
        TEST(an_answer_that_makes_no_sense_is_an_error_of_every_call),
        TEST(deletes_are_settled_one_by_one),
        TEST(leases_are_changed_in_a_batch),
        TEST(sends_are_confirmed_by_their_md5),
        TEST(what_is_no_utf8_is_sent_replaced_and_not_compared),
        TEST(a_single_send_has_one_result),
        TEST(a_queue_is_found_by_name),
        TEST(a_queue_tells_its_attributes),
        TEST(what_sqs_would_refuse_is_not_sent),
        TEST(a_cancelled_call_frees_what_it_had),
        TEST(a_callback_may_receive_again),
    };
    return cmocka_run_group_tests_name("sqs", tests, NULL, NULL);
}
