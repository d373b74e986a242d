#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/local.h"

#define WAIT_MS 20000

/* One server for all tests here, on a clock that stands still but for local_server_pass. */
static struct local_server server;

/* A queue of the test's own. */
struct queue {
    struct aws_call call;
    char url[200];
};

static void
make(struct queue *q, const char *attributes)
{
    static int n;
    char name[32];
    snprintf(name, sizeof name, "queue-%d", ++n);
    local_server_queue(&server, name, attributes, q->url, sizeof q->url);
    aws_call_init(&q->call, server.url);
}

static void
drop(struct queue *q)
{
    assert_int_equal(aws_call_sqs(&q->call, "DeleteQueue", "{\"QueueUrl\": \"%s\"}", q->url), 200);
    aws_call_clean_up(&q->call);
}

/* Runs an operation on the queue; members is what the request has besides QueueUrl: "" or ", \"MessageBody\": ...". */
static int
call(struct queue *q, const char *operation, const char *members)
{
    return aws_call_sqs(&q->call, operation, "{\"QueueUrl\": \"%s\"%s}", q->url, members);
}

static void
ok(struct queue *q, const char *operation, const char *members)
{
    if (call(q, operation, members) != 200)
        fail_msg("%s{%s}: %d %s: %s", operation, members, q->call.status, q->call.error, q->call.message);
}

static const char *
text(struct queue *q, const char *path)
{
    static char out[4][4096];
    static int n;
    char *at = out[n++ % 4];
    if (!aws_call_text(&q->call, path, at, sizeof *out))
        snprintf(at, sizeof *out, "(no %s)", path);
    return at;
}

static void
send_text(struct queue *q, const char *body)
{
    char members[512];
    snprintf(members, sizeof members, ", \"MessageBody\": \"%s\"", body);
    ok(q, "SendMessage", members);
}

static size_t
receive(struct queue *q, const char *members)
{
    ok(q, "ReceiveMessage", members);
    return aws_call_count(&q->call, "Messages");
}

static void
settle(struct queue *q, const char *operation, const char *handle, const char *members)
{
    char all[512];
    snprintf(all, sizeof all, ", \"ReceiptHandle\": \"%s\"%s", handle, members);
    call(q, operation, all);
}

static long
attribute(struct queue *q, const char *name)
{
    char members[128], path[128];
    snprintf(members, sizeof members, ", \"AttributeNames\": [\"%s\"]", name);
    snprintf(path, sizeof path, "Attributes.%s", name);
    ok(q, "GetQueueAttributes", members);
    return atol(text(q, path));
}

static void
assert_counts(struct queue *q, long visible, long in_flight, long delayed)
{
    assert_int_equal(attribute(q, "ApproximateNumberOfMessages"), visible);
    assert_int_equal(attribute(q, "ApproximateNumberOfMessagesNotVisible"), in_flight);
    assert_int_equal(attribute(q, "ApproximateNumberOfMessagesDelayed"), delayed);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void
a_message_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct queue q;
    char md5[DIGEST_MD5_HEX];
    static const char body[] = "\xc3\xa9 \"quoted\" \\ \t\n / \xf0\x9f\x98\x80 \x7f {\"n\": 9007199254740993}";
    make(&q, "{}");
    ok(&q, "SendMessage",
       ", \"MessageBody\": \"\\u00e9 \\\"quoted\\\" \\\\ \\t\\n \\/ \\ud83d\\ude00 \x7f {\\\"n\\\": "
       "9007199254740993}\"");
    digest_md5_hex(body, sizeof body - 1, md5);
    assert_string_equal(text(&q, "MD5OfMessageBody"), md5);
    const char *id = text(&q, "MessageId");
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
    assert_int_equal(receive(&q, ""), 1);
    assert_string_equal(text(&q, "Messages.0.Body"), body);
    assert_string_equal(text(&q, "Messages.0.MD5OfBody"), md5);
    assert_string_equal(text(&q, "Messages.0.MessageId"), id);
    assert_int_equal(aws_call_count(&q.call, "Messages.0"), 4); /* no attributes unless asked for */
    drop(&q);
}

/* The MD5s are those that boto3 checks against; computed here by the rule in FACTS.md. */
static void
attributes_come_out_filtered_with_their_md5(void **state)
{
    (void)state;
    struct queue q;
    char md5[DIGEST_MD5_HEX];
    static const char all[] = "\0\0\0\001b\0\0\0\006Binary\002\0\0\0\002\000\377"
                              "\0\0\0\005na.me\0\0\0\012Number.int\001\0\0\0\00242"
                              "\0\0\0\003s.x\0\0\0\006String\001\0\0\0\002\xc3\xa9";
    static const char one[] = "\0\0\0\003s.x\0\0\0\006String\001\0\0\0\002\xc3\xa9";
    make(&q, "{\"VisibilityTimeout\": \"0\"}");
    ok(&q, "SendMessage",
       ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"s.x\": {\"DataType\": \"String\", \"StringValue\": "
       "\"\\u00e9\"},"
       " \"b\": {\"DataType\": \"Binary\", \"BinaryValue\": \"AP8=\"},"
       " \"na.me\": {\"DataType\": \"Number.int\", \"StringValue\": \"42\"}}, \"MessageSystemAttributes\":"
       " {\"AWSTraceHeader\": {\"DataType\": \"String\", \"StringValue\": \"Root=1\"}}");
    digest_md5_hex(all, sizeof all - 1, md5);
    assert_string_equal(text(&q, "MD5OfMessageAttributes"), md5);
    assert_int_equal(strlen(text(&q, "MD5OfMessageSystemAttributes")), 32);

    receive(&q, "");
    assert_int_equal(aws_call_count(&q.call, "Messages.0"), 4);
    receive(&q, ", \"MessageAttributeNames\": [\"nothing\"]");
    assert_int_equal(aws_call_count(&q.call, "Messages.0"), 4);
    static const char *const ALL[] = {"[\"All\"]", "[\".*\"]", "[\"*\"]", "[\"b\", \"na.me\", \"s.*\"]"};
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL; i++) {
        char members[100];
        snprintf(members, sizeof members, ", \"MessageAttributeNames\": %s", ALL[i]);
        receive(&q, members);
        assert_string_equal(text(&q, "Messages.0.MD5OfMessageAttributes"), md5);
        assert_int_equal(aws_call_count(&q.call, "Messages.0.MessageAttributes"), 3);
        assert_string_equal(text(&q, "Messages.0.MessageAttributes.b.BinaryValue"), "AP8=");
    }
    receive(&q, ", \"MessageAttributeNames\": [\"s.*\"]");
    digest_md5_hex(one, sizeof one - 1, md5);
    assert_string_equal(text(&q, "Messages.0.MD5OfMessageAttributes"), md5);
    assert_int_equal(aws_call_count(&q.call, "Messages.0.MessageAttributes"), 1);

    receive(&q, ", \"MessageSystemAttributeNames\": [\"AWSTraceHeader\", \"SentTimestamp\"]");
    assert_int_equal(aws_call_count(&q.call, "Messages.0.Attributes"), 2);
    assert_string_equal(text(&q, "Messages.0.Attributes.AWSTraceHeader"), "Root=1");
    receive(&q, ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(text(&q, "Messages.0.Attributes.SenderId"), "000000000000");
    assert_int_equal(atol(text(&q, "Messages.0.Attributes.ApproximateReceiveCount")), 9);
    drop(&q);
}

static void
an_invisible_message_comes_back_when_its_time_is_over(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{\"VisibilityTimeout\": \"30\"}");
    send_text(&q, "m");
    assert_int_equal(receive(&q, ", \"AttributeNames\": [\"All\"]"), 1);
    const char *first = text(&q, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp");
    local_server_pass(&server, 29999);
    assert_int_equal(receive(&q, ""), 0);
    assert_int_equal(aws_call_count(&q.call, ""), 0); /* {}: no Messages at all */
    local_server_pass(&server, 1);
    assert_int_equal(receive(&q, ", \"AttributeNames\": [\"All\"], \"VisibilityTimeout\": 5"), 1);
    assert_string_equal(text(&q, "Messages.0.Attributes.ApproximateReceiveCount"), "2");
    assert_string_equal(text(&q, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp"), first);
    local_server_pass(&server, 5000);
    assert_int_equal(receive(&q, ""), 1);
    drop(&q);
}

static void
changing_the_visibility_counts_from_the_call(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{\"VisibilityTimeout\": \"30\"}");
    send_text(&q, "m");
    receive(&q, "");
    const char *handle = text(&q, "Messages.0.ReceiptHandle");
    local_server_pass(&server, 20000);
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 100");
    assert_int_equal(q.call.status, 200);
    assert_int_equal(q.call.body.n, 0);
    local_server_pass(&server, 99999);
    assert_int_equal(receive(&q, ""), 0);
    assert_counts(&q, 0, 1, 0);
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_counts(&q, 1, 0, 0);
    assert_int_equal(receive(&q, ""), 1);
    handle = text(&q, "Messages.0.ReceiptHandle");

    local_server_pass(&server, 30000); /* expired, not received again: it can still be made invisible */
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 10");
    assert_int_equal(q.call.status, 200);
    assert_counts(&q, 0, 1, 0);
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 43200");
    assert_string_equal(q.call.error, "InvalidParameterValue"); /* 12 h from the receive, of which 30 s are gone */
    assert_non_null(strstr(q.call.message, "beyond the limit [43200 seconds]"));
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 43170");
    assert_int_equal(q.call.status, 200);
    local_server_pass(&server, INT64_C(43200) * 1000); /* the 12 h are over: it can be given back, and no more */
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 1");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_int_equal(q.call.status, 200);
    settle(&q, "DeleteMessage", handle, "");
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 1");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    assert_non_null(
        strstr(q.call.message, "Message does not exist or is not available for visibility timeout change."));
    drop(&q);
}

static void
delays_are_kept_and_counted(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{\"DelaySeconds\": \"10\"}");
    send_text(&q, "by the queue");
    ok(&q, "SendMessage", ", \"MessageBody\": \"at once\", \"DelaySeconds\": 0");
    ok(&q, "SendMessage", ", \"MessageBody\": \"later\", \"DelaySeconds\": 900");
    assert_counts(&q, 1, 0, 2);
    assert_int_equal(receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
    assert_string_equal(text(&q, "Messages.0.Body"), "at once");
    local_server_pass(&server, 10000);
    assert_counts(&q, 1, 1, 1);
    assert_int_equal(receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
    assert_string_equal(text(&q, "Messages.0.Body"), "by the queue");
    local_server_pass(&server, 890000);
    assert_int_equal(receive(&q, ", \"MaxNumberOfMessages\": 10"), 3);
    drop(&q);
}

static void
messages_come_in_the_order_they_were_sent(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{}");
    for (int i = 0; i < 25; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        send_text(&q, body);
        local_server_pass(&server, i % 3);
    }
    for (int i = 0; i < 25;) {
        size_t n = receive(&q, ", \"MaxNumberOfMessages\": 10");
        assert_int_equal(n, i < 20 ? 10 : 5);
        for (size_t j = 0; j < n; j++, i++) {
            char path[40];
            snprintf(path, sizeof path, "Messages.%zu.Body", j);
            assert_int_equal(atoi(text(&q, path)), i);
        }
    }
    drop(&q);
}

static void
what_is_older_than_the_retention_is_gone(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{\"MessageRetentionPeriod\": \"60\"}");
    send_text(&q, "a");
    receive(&q, ", \"VisibilityTimeout\": 1000");
    char handle[100];
    snprintf(handle, sizeof handle, "%s", text(&q, "Messages.0.ReceiptHandle"));
    ok(&q, "SendMessage", ", \"MessageBody\": \"b\", \"DelaySeconds\": 900");
    local_server_pass(&server, 30000);
    send_text(&q, "c");
    local_server_pass(&server, 30000);
    assert_counts(&q, 1, 0, 0);
    assert_int_equal(receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
    assert_string_equal(text(&q, "Messages.0.Body"), "c");
    settle(&q, "DeleteMessage", handle, "");
    assert_int_equal(q.call.status, 200);
    local_server_pass(&server, 30000);
    assert_counts(&q, 0, 0, 0);
    ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"1209600\"}");
    send_text(&q, "d");
    local_server_pass(&server, INT64_C(1209599) * 1000);
    assert_counts(&q, 1, 0, 0);
    ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"60\"}");
    assert_counts(&q, 0, 0, 0);
    drop(&q);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static void
handles_delete_what_they_are_of_and_nothing_else(void **state)
{
    (void)state;
    struct queue q, other;
    make(&q, "{\"VisibilityTimeout\": \"10\"}");
    make(&other, "{}");
    send_text(&q, "m");
    receive(&q, "");
    char first[100], second[100], broken[100];
    snprintf(first, sizeof first, "%s", text(&q, "Messages.0.ReceiptHandle"));

    settle(&other, "DeleteMessage", first, "");
    assert_string_equal(other.call.error, "ReceiptHandleIsInvalid");
    assert_int_equal(other.call.status, 404);
    assert_non_null(strstr(other.call.message, "is not valid for this queue."));
    for (size_t i = 0; i < strlen(first); i++) {
        snprintf(broken, sizeof broken, "%s", first);
        broken[i] = broken[i] == 'A' ? 'B' : 'A';
        settle(&q, "DeleteMessage", broken, "");
        assert_string_equal(q.call.error, "ReceiptHandleIsInvalid");
    }
    settle(&q, "DeleteMessage", "", "");
    assert_string_equal(q.call.error, "ReceiptHandleIsInvalid");
    settle(&q, "DeleteMessage", "garbage", "");
    assert_string_equal(q.call.message, "The input receipt handle \"garbage\" is not a valid receipt handle.");

    local_server_pass(&server, 10000);
    receive(&q, "");
    snprintf(second, sizeof second, "%s", text(&q, "Messages.0.ReceiptHandle"));
    assert_string_not_equal(first, second);
    settle(&q, "DeleteMessage", first, ""); /* of a receive before: the call succeeds, the message stays */
    assert_int_equal(q.call.status, 200);
    assert_counts(&q, 0, 1, 0);
    settle(&q, "ChangeMessageVisibility", first, ", \"VisibilityTimeout\": 0");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_server_pass(&server, 10000);
    settle(&q, "DeleteMessage", second, ""); /* expired: it deletes all the same */
    assert_int_equal(q.call.status, 200);
    assert_int_equal(q.call.body.n, 0);
    assert_counts(&q, 0, 0, 0);
    settle(&q, "DeleteMessage", second, "");
    assert_int_equal(q.call.status, 200);
    drop(&q);
    drop(&other);
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

static long
waiting_now(const char *queue_url)
{
    struct aws_call c;
    struct json queues, name, waiting;
    int64_t n = -1;
    aws_call_init(&c, server.url);
    aws_call_plain(&c, "GET", "/_fanout/stats", "");
    if (aws_call_at(&c, "sqs.queues", &queues))
        for (struct json_iter it = json_iter(queues); json_next(&it);)
            if (json_get(it.value, "name", &name) && json_get(it.value, "waiting", &waiting) &&
                json_equals_string(name, slice_of_string(strrchr(queue_url, '/') + 1)))
                json_int64(waiting, &n);
    aws_call_clean_up(&c);
    return (long)n;
}

struct expectation {
    const char *url;
    long n;
};

static bool
as_many_wait(void *context)
{
    struct expectation *e = context;
    return waiting_now(e->url) == e->n;
}

/* Sends a receive with this wait, and returns when the server has it waiting. */
static void
begin_wait(struct queue *q, struct aws_call *c, int wait_s, long nth)
{
    char body[300];
    aws_call_init(c, server.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": %d, \"MaxNumberOfMessages\": 10}", q->url,
             wait_s);
    assert_true(aws_call_begin(c, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    struct expectation e = {q->url, nth};
    assert_true(proc_wait_until(as_many_wait, &e, WAIT_MS));
}

static bool
is_answered(struct aws_call *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* The answer's number of messages. */
static size_t
end_wait(struct aws_call *c)
{
    assert_int_equal(aws_call_finish(c), 200);
    size_t n = aws_call_count(c, "Messages");
    aws_call_clean_up(c);
    return n;
}

static void
a_long_poll_ends_the_instant_something_is_due(void **state)
{
    (void)state;
    struct queue q;
    struct aws_call waiting;
    make(&q, "{\"VisibilityTimeout\": \"7\"}");

    begin_wait(&q, &waiting, 20, 1);
    assert_false(is_answered(&waiting));
    send_text(&q, "sent");
    assert_int_equal(end_wait(&waiting), 1);

    begin_wait(&q, &waiting, 20, 1);
    local_server_pass(&server, 6999);
    assert_int_equal(waiting_now(q.url), 1);
    local_server_pass(&server, 1); /* it is visible again */
    assert_int_equal(end_wait(&waiting), 1);

    ok(&q, "SendMessage", ", \"MessageBody\": \"delayed\", \"DelaySeconds\": 3");
    begin_wait(&q, &waiting, 20, 1);
    local_server_pass(&server, 3000);
    assert_int_equal(end_wait(&waiting), 1);

    begin_wait(&q, &waiting, 2, 1);
    local_server_pass(&server, 1999);
    assert_int_equal(waiting_now(q.url), 1);
    local_server_pass(&server, 1); /* it has waited long enough */
    assert_int_equal(end_wait(&waiting), 0);

    local_server_pass(&server, 2000);
    assert_int_equal(receive(&q, ""), 1);
    const char *handle = text(&q, "Messages.0.ReceiptHandle");
    begin_wait(&q, &waiting, 20, 1);
    settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_int_equal(end_wait(&waiting), 1);
    drop(&q);
}

static void
long_polls_are_served_first_come_first_served(void **state)
{
    (void)state;
    struct queue q;
    struct aws_call waiting[5];
    make(&q, "{}");
    for (int i = 0; i < 5; i++)
        begin_wait(&q, &waiting[i], 20, i + 1);
    for (int i = 0; i < 5; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        send_text(&q, body);
        assert_int_equal(aws_call_finish(&waiting[i]), 200);
        assert_true(aws_call_text(&waiting[i], "Messages.0.Body", body + 8, 8));
        assert_int_equal(atoi(body + 8), i);
        aws_call_clean_up(&waiting[i]);
    }
    drop(&q);
}

static void
the_queues_own_wait_is_kept(void **state)
{
    (void)state;
    struct queue q;
    struct aws_call waiting;
    char body[300];
    make(&q, "{\"ReceiveMessageWaitTimeSeconds\": \"5\"}");
    aws_call_init(&waiting, server.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\"}", q.url);
    assert_true(aws_call_begin(&waiting, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    struct expectation e = {q.url, 1};
    assert_true(proc_wait_until(as_many_wait, &e, WAIT_MS));
    assert_int_equal(receive(&q, ", \"WaitTimeSeconds\": 0"), 0);
    local_server_pass(&server, 5000);
    assert_int_equal(end_wait(&waiting), 0);
    drop(&q);
}

static void
whoever_has_hung_up_gets_no_message(void **state)
{
    (void)state;
    struct queue q;
    struct aws_call gone, waiting;
    make(&q, "{}");
    begin_wait(&q, &gone, 20, 1);
    begin_wait(&q, &waiting, 20, 2);
    aws_call_clean_up(&gone);
    send_text(&q, "for who is there");
    assert_int_equal(end_wait(&waiting), 1);
    drop(&q);
}

static void
a_deleted_queue_ends_its_long_polls(void **state)
{
    (void)state;
    struct queue q;
    struct aws_call waiting;
    make(&q, "{}");
    begin_wait(&q, &waiting, 20, 1);
    drop(&q);
    assert_int_equal(aws_call_finish(&waiting), 400);
    assert_string_equal(waiting.error, "AWS.SimpleQueueService.NonExistentQueue");
    aws_call_clean_up(&waiting);
}

/* ---- dead letters ------------------------------------------------------------------------------------------------ */

static void
the_receive_that_would_exceed_the_count_moves_the_message(void **state)
{
    (void)state;
    struct queue q, dead;
    struct aws_call waiting;
    char attributes[300];
    make(&dead, "{}");
    snprintf(attributes, sizeof attributes,
             "{\"VisibilityTimeout\": \"10\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":"
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":\\\"2\\\"}\"}",
             strrchr(dead.url, '/') + 1);
    make(&q, attributes);
    send_text(&q, "poison");
    receive(&q, ", \"AttributeNames\": [\"All\"]");
    char id[50], sent[50];
    snprintf(id, sizeof id, "%s", text(&q, "Messages.0.MessageId"));
    snprintf(sent, sizeof sent, "%s", text(&q, "Messages.0.Attributes.SentTimestamp"));
    local_server_pass(&server, 10000);
    assert_int_equal(receive(&q, ""), 1);
    local_server_pass(&server, 10000);
    assert_counts(&q, 1, 0, 0);

    begin_wait(&dead, &waiting, 20, 1);
    assert_int_equal(receive(&q, ""), 0);
    assert_int_equal(aws_call_finish(&waiting), 200); /* a long poll on the dead-letter queue sees it at once */
    assert_int_equal(aws_call_count(&waiting, "Messages"), 1);
    aws_call_clean_up(&waiting);
    assert_counts(&q, 0, 0, 0);
    assert_counts(&dead, 0, 1, 0);
    local_server_pass(&server, 30000);
    assert_int_equal(receive(&dead, ", \"AttributeNames\": [\"All\"]"), 1);
    assert_string_equal(text(&dead, "Messages.0.MessageId"), id);
    assert_string_equal(text(&dead, "Messages.0.Attributes.ApproximateReceiveCount"), "4");
    assert_string_equal(text(&dead, "Messages.0.Attributes.SentTimestamp"), sent);
    char arn[100];
    snprintf(arn, sizeof arn, "arn:aws:sqs:us-east-1:000000000000:%s", strrchr(q.url, '/') + 1);
    assert_string_equal(text(&dead, "Messages.0.Attributes.DeadLetterQueueSourceArn"), arn);

    snprintf(attributes, sizeof attributes, ", \"Attributes\": {\"RedrivePolicy\": \"\"}");
    ok(&q, "SetQueueAttributes", attributes);
    ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"RedrivePolicy\"]");
    assert_int_equal(aws_call_count(&q.call, "Attributes"), 0);
    drop(&q);
    drop(&dead);
}

static void
one_receive_moves_all_that_is_due_and_without_a_target_nothing_moves(void **state)
{
    (void)state;
    struct queue q, dead;
    char attributes[300];
    make(&dead, "{}");
    snprintf(attributes, sizeof attributes,
             "{\"VisibilityTimeout\": \"10\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":"
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":1}\"}",
             strrchr(dead.url, '/') + 1);
    make(&q, attributes);
    for (int i = 0; i < 25; i++)
        send_text(&q, "m");
    for (size_t n = 0; n < 25;)
        n += receive(&q, ", \"MaxNumberOfMessages\": 10");
    local_server_pass(&server, 10000);
    assert_counts(&q, 25, 0, 0);
    assert_int_equal(receive(&q, ""), 0);
    assert_counts(&q, 0, 0, 0);
    assert_counts(&dead, 25, 0, 0);

    send_text(&q, "stays");
    drop(&dead);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(receive(&q, ", \"AttributeNames\": [\"All\"]"), 1);
        assert_int_equal(atoi(text(&q, "Messages.0.Attributes.ApproximateReceiveCount")), i);
        local_server_pass(&server, 10000);
    }
    drop(&q);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static void
an_entry_fails_alone(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{\"MaximumMessageSize\": \"1024\"}");
    struct buf members = BUF_INIT;
    buf_add_string(&members, ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"fine\"},"
                             "{\"Id\": \"chars\", \"MessageBody\": \"x\\u0000y\"},"
                             "{\"Id\": \"delay\", \"MessageBody\": \"x\", \"DelaySeconds\": 901},"
                             "{\"Id\": \"attr\", \"MessageBody\": \"x\", \"MessageAttributes\": {\"n\": {\"DataType\":"
                             " \"Number\", \"StringValue\": \"one\"}}}, {\"Id\": \"long\", \"MessageBody\": \"");
    for (int i = 0; i < 1025; i++)
        buf_add_char(&members, 'x');
    buf_add_string(&members, "\"}, {\"Id\": \"z\", \"MessageBody\": \"fine, too\"}]");
    ok(&q, "SendMessageBatch", members.data);
    assert_int_equal(aws_call_count(&q.call, "Successful"), 2);
    assert_int_equal(aws_call_count(&q.call, "Failed"), 4);
    assert_string_equal(text(&q, "Successful.0.Id"), "a");
    assert_string_equal(text(&q, "Successful.1.Id"), "z");
    assert_string_equal(text(&q, "Failed.0.Code"), "InvalidMessageContents");
    assert_string_equal(text(&q, "Failed.0.SenderFault"), "true");
    assert_string_equal(text(&q, "Failed.1.Code"), "InvalidParameterValue");
    assert_string_equal(text(&q, "Failed.3.Id"), "long");
    assert_string_equal(text(&q, "Failed.3.Message"),
                        "One or more parameters cannot be validated. Reason: Message must be "
                        "shorter than 1024 bytes.");
    assert_counts(&q, 2, 0, 0);

    assert_int_equal(receive(&q, ", \"MaxNumberOfMessages\": 10"), 2);
    char a[100], b[100];
    snprintf(a, sizeof a, "%s", text(&q, "Messages.0.ReceiptHandle"));
    snprintf(b, sizeof b, "%s", text(&q, "Messages.1.ReceiptHandle"));
    buf_reset(&members);
    buf_add_format(&members,
                   ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 60},"
                   "{\"Id\": \"2\", \"ReceiptHandle\": \"x\", \"VisibilityTimeout\": 60},"
                   "{\"Id\": \"3\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 43201},"
                   "{\"Id\": \"4\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 0}]",
                   a, b, b);
    ok(&q, "ChangeMessageVisibilityBatch", members.data);
    assert_int_equal(aws_call_count(&q.call, "Successful"), 2);
    assert_string_equal(text(&q, "Failed.0.Code"), "ReceiptHandleIsInvalid");
    assert_string_equal(text(&q, "Failed.1.Code"), "InvalidParameterValue");
    assert_counts(&q, 1, 1, 0);
    buf_reset(&members);
    buf_add_format(
        &members,
        ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"%s\"}, {\"Id\": \"2\", \"ReceiptHandle\": \"x\"},"
        "{\"Id\": \"3\", \"ReceiptHandle\": \"%s\"}, {\"Id\": \"4\", \"ReceiptHandle\": \"%s\"}]",
        a, b, a);
    ok(&q, "DeleteMessageBatch", members.data);
    assert_int_equal(aws_call_count(&q.call, "Successful"), 3);
    assert_int_equal(aws_call_count(&q.call, "Failed"), 1);
    assert_counts(&q, 0, 0, 0);
    ok(&q, "DeleteMessageBatch", ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"x\"}]");
    assert_int_equal(aws_call_count(&q.call, "Successful"), 0);
    buf_clean_up(&members);
    drop(&q);
}

static void
a_batch_as_a_whole_is_bounded(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{}");
    struct buf members = BUF_INIT;
    for (int too_long = 0; too_long < 2; too_long++) {
        buf_reset(&members);
        buf_add_string(&members, ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"");
        for (int i = 0; i < 1048576 / 2; i++)
            buf_add_char(&members, 'x');
        buf_add_string(&members, "\"}, {\"Id\": \"b\", \"MessageBody\": \"");
        for (int i = 0; i < 1048576 / 2 - 8 + too_long; i++)
            buf_add_char(&members, 'x');
        buf_add_string(&members,
                       "\", \"MessageAttributes\": {\"n\": {\"DataType\": \"String\", \"StringValue\": \"v\"}}}]");
        call(&q, "SendMessageBatch", members.data);
        assert_int_equal(q.call.status, too_long ? 400 : 200);
    }
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.BatchRequestTooLong");
    assert_string_equal(q.call.message,
                        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.");
    buf_clean_up(&members);
    drop(&q);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* Texts as AWS was recorded to give them (FACTS.md, section 1), or worded by us where nobody has recorded any. */
static const struct {
    const char *operation, *members; /* besides QueueUrl */
    int status;
    const char *code, *message;
} REFUSED[] = {
    {"ReceiveMessage", ", \"MaxNumberOfMessages\": 11", 400, "InvalidParameterValue",
     "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."},
    {"ReceiveMessage", ", \"MaxNumberOfMessages\": 0", 400, "InvalidParameterValue",
     "Value 0 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."},
    {"ReceiveMessage", ", \"WaitTimeSeconds\": 21", 400, "InvalidParameterValue",
     "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."},
    {"ReceiveMessage", ", \"WaitTimeSeconds\": -1", 400, "InvalidParameterValue",
     "Value -1 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."},
    {"ReceiveMessage", ", \"VisibilityTimeout\": 43201", 400, "InvalidParameterValue", NULL},
    {"ReceiveMessage", ", \"AttributeNames\": [\"No\"]", 400, "InvalidAttributeName", "Unknown Attribute No."},
    {"ReceiveMessage", ", \"MaxNumberOfMessages\": \"ten\"", 400, "SerializationException",
     "STRING_VALUE can not be converted to an Integer"},
    {"ReceiveMessage", ", \"AttributeNames\": \"All\"", 400, "SerializationException", NULL},
    {"ReceiveMessage", ", \"AttributeNames\": [1]", 400, "SerializationException", NULL},
    {"SendMessage", "", 400, "MissingParameter", "The request must contain the parameter MessageBody."},
    {"SendMessage", ", \"MessageBody\": \"\"", 400, "MissingParameter",
     "The request must contain the parameter MessageBody."},
    {"SendMessage", ", \"MessageBody\": null", 400, "MissingParameter", NULL},
    {"SendMessage", ", \"MessageBody\": 5", 400, "SerializationException", NULL},
    {"SendMessage", ", \"MessageBody\": \"a\\u0000b\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"a\\u001f\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"\\uffff\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"01234567\\ufffe\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"\\ud800\"", 400, "SerializationException", NULL},
    {"SendMessage", ", \"MessageBody\": \"x\", \"DelaySeconds\": 901", 400, "InvalidParameterValue",
     "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"group 123\"", 400, "InvalidParameterValue",
     "Value group 123 for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric "
     "and "
     "punctuation characters. 1 to 128 in length."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"\"", 400, "InvalidParameterValue",
     "Value  for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and "
     "punctuation characters. 1 to 128 in length."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageDeduplicationId\": \"d\"", 400, "InvalidParameterValue",
     "Value d for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that is not valid "
     "for "
     "this queue type."},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"ErrorDetails\": {\"DataType\": \"String\", \"StringValue\": "
     "\"\"}}",
     400, "InvalidParameterValue",
     "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a\": {\"DataType\": \"Boolean\", \"StringValue\": \"1\"}}",
     400, "InvalidParameterValue", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"AWS.x\": {\"DataType\": \"String\", \"StringValue\": \"1\"}}",
     400, "InvalidParameterValue", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a..b\": {\"DataType\": \"String\", \"StringValue\": \"1\"}}",
     400, "InvalidParameterValue", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a\": {\"DataType\": \"Binary\", \"BinaryValue\": \"?\"}}",
     400, "SerializationException", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageSystemAttributes\": {\"Other\": {\"DataType\": \"String\", \"StringValue\": "
     "\"1\"}}",
     400, "InvalidParameterValue", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a\": {\"DataType\": \"String\", \"StringValue\": \"1\"},"
     " \"a\": {\"DataType\": \"String\", \"StringValue\": \"2\"}}",
     400, "InvalidParameterValue", "Message (user) attribute 'a' is there twice."},
    {"SendMessageBatch", "", 400, "AWS.SimpleQueueService.EmptyBatchRequest",
     "There should be at least one SendMessageBatchRequestEntry in the request."},
    {"SendMessageBatch", ", \"Entries\": []", 400, "AWS.SimpleQueueService.EmptyBatchRequest", NULL},
    {"SendMessageBatch",
     ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"x\"}, {\"Id\": \"a\", \"MessageBody\": \"x\"}]", 400,
     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id a repeated."},
    {"SendMessageBatch", ", \"Entries\": [{\"Id\": \"a b\", \"MessageBody\": \"x\"}]", 400,
     "AWS.SimpleQueueService.InvalidBatchEntryId",
     "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters "
     "long."},
    {"SendMessageBatch", ", \"Entries\": [{\"MessageBody\": \"x\"}]", 400, "MissingParameter", NULL},
    {"SendMessageBatch", ", \"Entries\": [{\"Id\": \"a\"}]", 400, "MissingParameter", NULL},
    {"DeleteMessageBatch", ", \"Entries\": [{\"Id\": \"a\"}]", 400, "MissingParameter", NULL},
    {"DeleteMessageBatch",
     ", \"Entries\": [{\"Id\": \"1\"}, {\"Id\": \"2\"}, {\"Id\": \"3\"}, {\"Id\": \"4\"}, {\"Id\": \"5\"}, {\"Id\": "
     "\"6\"},"
     "{\"Id\": \"7\"}, {\"Id\": \"8\"}, {\"Id\": \"9\"}, {\"Id\": \"10\"}, {\"Id\": \"11\"}]",
     400, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
     "Maximum number of entries per request are 10. You have sent 11."},
    {"DeleteMessage", "", 400, "MissingParameter", "The request must contain the parameter ReceiptHandle."},
    {"ChangeMessageVisibility", ", \"ReceiptHandle\": \"x\"", 400, "MissingParameter",
     "The request must contain the parameter VisibilityTimeout."},
    {"ChangeMessageVisibility", ", \"ReceiptHandle\": \"x\", \"VisibilityTimeout\": -1", 400, "InvalidParameterValue",
     NULL},
    {"GetQueueAttributes", ", \"AttributeNames\": [\"All\", \"Nothing\"]", 400, "InvalidAttributeName",
     "Unknown Attribute Nothing."},
    {"SetQueueAttributes", "", 400, "MissingParameter", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"FifoQueue\": \"true\"}", 400, "InvalidAttributeName",
     "Unknown Attribute FifoQueue."},
    {"SetQueueAttributes", ", \"Attributes\": {\"QueueArn\": \"x\"}", 400, "InvalidAttributeName",
     "Unknown Attribute QueueArn."},
    {"SetQueueAttributes", ", \"Attributes\": {\"DeduplicationScope\": \"queue\"}", 400, "InvalidAttributeName",
     "You can specify the DeduplicationScope only when FifoQueue is set to true."},
    {"SetQueueAttributes", ", \"Attributes\": {\"VisibilityTimeout\": \"43201\"}", 400, "InvalidAttributeValue",
     "Invalid value for the parameter VisibilityTimeout."},
    {"SetQueueAttributes", ", \"Attributes\": {\"VisibilityTimeout\": \"5s\"}", 400, "InvalidAttributeValue", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"MaximumMessageSize\": \"1023\"}", 400, "InvalidAttributeValue", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"Policy\": \"no json\"}", 400, "InvalidAttributeValue", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"RedrivePolicy\": \"{}\"}", 400, "InvalidParameterValue", NULL},
    {"SetQueueAttributes",
     ", \"Attributes\": {\"RedrivePolicy\": "
     "\"{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:us-east-1:000000000000:none\\\","
     "\\\"maxReceiveCount\\\":3}\"}",
     400, "InvalidParameterValue", NULL},
    {"StartMessageMoveTask", "", 400, "UnknownOperationException", NULL},
};

static void
what_is_wrong_is_refused_in_awss_words(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{}");
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        call(&q, REFUSED[i].operation, REFUSED[i].members);
        if (q.call.status != REFUSED[i].status || strcmp(q.call.error, REFUSED[i].code) != 0 ||
            (REFUSED[i].message && strcmp(q.call.message, REFUSED[i].message) != 0))
            fail_msg("%s{%s}: %d %s: %s", REFUSED[i].operation, REFUSED[i].members, q.call.status, q.call.error,
                     q.call.message);
        struct slice error = aws_call_header(&q.call, "x-amzn-query-error");
        assert_true(error.n > 7 && memcmp(error.p + error.n - 7, ";Sender", 7) == 0);
    }
    assert_counts(&q, 0, 0, 0);
    drop(&q);
}

static void
requests_that_are_no_json_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"{", "[]", "null", "5", "{\"QueueUrl\": }", "{\"QueueUrl\": \"\xff\"}", "x"};
    struct aws_call c;
    aws_call_init(&c, server.url);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        aws_call_sqs_body(&c, "ReceiveMessage", slice_of_string(BAD[i]));
        assert_int_equal(c.status, 400);
        assert_string_equal(c.error, "SerializationException");
    }
    struct buf deep = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        buf_add_char(&deep, '[');
    aws_call_sqs_body(&c, "ReceiveMessage", buf_slice(&deep));
    assert_int_equal(c.status, 400);
    buf_reset(&deep);
    buf_add_string(&deep, "{\"AttributeNames\": [\"a\"");
    for (int i = 0; i < 100000; i++)
        buf_add_string(&deep, ",\"a\"");
    buf_add_string(&deep, "]}");
    aws_call_sqs_body(&c, "ReceiveMessage", buf_slice(&deep));
    assert_int_equal(c.status, 400);
    buf_clean_up(&deep);
    aws_call_clean_up(&c);
}

static void
a_message_is_as_long_as_the_limit_and_no_longer(void **state)
{
    (void)state;
    struct queue q;
    struct buf members = BUF_INIT;
    make(&q, "{}");
    for (int longer = 0; longer < 2; longer++) {
        buf_reset(&members);
        buf_add_string(&members, ", \"MessageBody\": \"");
        for (int i = 0; i < 1048576 + longer; i++)
            buf_add_char(&members, 'x');
        buf_add_char(&members, '"');
        call(&q, "SendMessage", members.data);
        assert_int_equal(q.call.status, longer ? 400 : 200);
    }
    assert_string_equal(q.call.message,
                        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.");
    ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MaximumMessageSize\": \"1024\"}");
    buf_truncate(&members, strlen(", \"MessageBody\": \"") + 1025);
    buf_add_char(&members, '"');
    call(&q, "SendMessage", members.data);
    assert_string_equal(q.call.message,
                        "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.");
    buf_clean_up(&members);
    drop(&q);
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void
a_queue_is_made_once_and_found_by_any_url(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], again[200], expected[200];
    local_server_queue(&server, "made_once", "{\"DelaySeconds\": \"5\", \"Policy\": \"{}\"}", url, sizeof url);
    snprintf(expected, sizeof expected, "%s/000000000000/made_once", server.url);
    assert_string_equal(url, expected);
    local_server_queue(&server, "made_once", "{\"DelaySeconds\": \"5\"}", again, sizeof again);
    assert_string_equal(url, again);
    local_server_queue(&server, "made_once", "{}", again, sizeof again);
    aws_call_init(&c, server.url);
    aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"made_once\", \"Attributes\": {\"DelaySeconds\": \"6\"}}");
    assert_string_equal(c.error, "QueueAlreadyExists");
    assert_string_equal(c.message,
                        "A queue already exists with the same name and a different value for attribute DelaySeconds");
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"made_once\"}");
    assert_true(aws_call_text(&c, "QueueUrl", again, sizeof again));
    assert_string_equal(url, again);
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"made_once\", \"QueueOwnerAWSAccountId\": \"111111111111\"}");
    assert_string_equal(c.error, "AWS.SimpleQueueService.NonExistentQueue");
    static const char *const URLS[] = {"https://sqs.eu-west-1.amazonaws.com/000000000000/made_once",
                                       "http://localhost:4566/000000000000/made_once", "/000000000000/made_once"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", URLS[i]), 200);
    static const struct {
        const char *url, *code;
    } BAD[] = {{"http://h/000000000000/none", "AWS.SimpleQueueService.NonExistentQueue"},
               {"http://h/111111111111/made_once", "AWS.SimpleQueueService.NonExistentQueue"},
               {"made_once", "InvalidAddress"},
               {"", "InvalidAddress"}};
    for (size_t i = 0; i < 4; i++) {
        aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", BAD[i].url);
        assert_string_equal(c.error, BAD[i].code);
    }
    aws_call_sqs(&c, "ReceiveMessage", "{}");
    assert_string_equal(c.message, "The request must contain the parameter QueueUrl.");
    aws_call_clean_up(&c);
}

static void
names_and_kinds_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *request, *code;
    } BAD[] = {
        {"{}", "MissingParameter"},
        {"{\"QueueName\": \"\"}", "InvalidParameterValue"},
        {"{\"QueueName\": \"a.b\"}", "InvalidParameterValue"},
        {"{\"QueueName\": \"a.fifo\"}", "InvalidParameterValue"},
        {"{\"QueueName\": \"123456789012345678901234567890123456789012345678901234567890123456789012345678901\"}",
         "InvalidParameterValue"},
        {"{\"QueueName\": \"a.fifo\", \"Attributes\": {\"FifoQueue\": \"true\"}}",
         "AWS.SimpleQueueService.UnsupportedOperation"},
        {"{\"QueueName\": \"a\", \"Attributes\": {\"ContentBasedDeduplication\": \"true\"}}", "InvalidAttributeName"},
    };
    struct aws_call c;
    aws_call_init(&c, server.url);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        aws_call_sqs_body(&c, "CreateQueue", slice_of_string(BAD[i].request));
        assert_string_equal(c.error, BAD[i].code);
    }
    aws_call_clean_up(&c);
}

static void
queues_are_listed_by_prefix_and_by_page(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], token[200];
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "listed-%d", i);
        local_server_queue(&server, name, "{}", url, sizeof url);
    }
    aws_call_init(&c, server.url);
    aws_call_sqs(&c, "ListQueues", "{\"QueueNamePrefix\": \"listed-\"}");
    assert_int_equal(aws_call_count(&c, "QueueUrls"), 5);
    assert_false(aws_call_text(&c, "NextToken", token, sizeof token));
    aws_call_sqs(&c, "ListQueues", "{\"QueueNamePrefix\": \"listed-none\"}");
    assert_int_equal(aws_call_count(&c, ""), 0);
    token[0] = '\0';
    for (size_t pages = 0, seen = 0; seen < 5; pages++) {
        assert_true(pages < 3);
        if (*token)
            aws_call_sqs(&c, "ListQueues",
                         "{\"QueueNamePrefix\": \"listed-\", \"MaxResults\": 2, \"NextToken\": \"%s\"}", token);
        else
            aws_call_sqs(&c, "ListQueues", "{\"QueueNamePrefix\": \"listed-\", \"MaxResults\": 2}");
        seen += aws_call_count(&c, "QueueUrls");
        assert_int_equal(aws_call_text(&c, "NextToken", token, sizeof token), seen < 5);
    }
    aws_call_sqs(&c, "ListQueues", "{\"MaxResults\": 1001}");
    assert_string_equal(c.error, "InvalidParameterValue");
    aws_call_sqs(&c, "ListQueues", "{\"MaxResults\": 10, \"NextToken\": \"???\"}");
    assert_string_equal(c.error, "InvalidParameterValue");
    aws_call_clean_up(&c);
}

static void
attributes_are_set_and_shown(void **state)
{
    (void)state;
    struct queue q;
    make(&q, "{}");
    ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(text(&q, "Attributes.VisibilityTimeout"), "30");
    assert_string_equal(text(&q, "Attributes.MaximumMessageSize"), "1048576");
    assert_string_equal(text(&q, "Attributes.MessageRetentionPeriod"), "345600");
    assert_string_equal(text(&q, "Attributes.SqsManagedSseEnabled"), "true");
    assert_int_equal(aws_call_count(&q.call, "Attributes"), 12);
    ok(&q, "GetQueueAttributes", "");
    assert_int_equal(aws_call_count(&q.call, ""), 0);
    long modified = attribute(&q, "LastModifiedTimestamp");
    local_server_pass(&server, 5000);
    ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"VisibilityTimeout\": \"7\", \"Policy\": \"{\\\"a\\\": 1.10}\"}");
    call(&q, "SetQueueAttributes", ", \"Attributes\": {\"VisibilityTimeout\": \"8\", \"DelaySeconds\": \"901\"}");
    assert_int_equal(q.call.status, 400);
    assert_int_equal(attribute(&q, "VisibilityTimeout"), 7); /* all or nothing */
    assert_int_equal(attribute(&q, "LastModifiedTimestamp"), modified + 5);
    ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"Policy\"]");
    assert_string_equal(text(&q, "Attributes.Policy"), "{\"a\": 1.10}");
    drop(&q);
}

static void
purging_and_deleting_have_their_cool_downs(void **state)
{
    (void)state;
    struct queue q;
    char message[100];
    make(&q, "{}");
    for (int i = 0; i < 30; i++)
        send_text(&q, "m");
    receive(&q, "");
    const char *handle = text(&q, "Messages.0.ReceiptHandle");
    ok(&q, "PurgeQueue", "");
    assert_counts(&q, 0, 0, 0);
    settle(&q, "DeleteMessage", handle, "");
    assert_int_equal(q.call.status, 200);
    send_text(&q, "after");
    call(&q, "PurgeQueue", "");
    assert_int_equal(q.call.status, 403);
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.PurgeQueueInProgress");
    snprintf(message, sizeof message, "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
             strrchr(q.url, '/') + 1);
    assert_string_equal(q.call.message, message);
    assert_counts(&q, 1, 0, 0);
    local_server_pass(&server, 60000);
    ok(&q, "PurgeQueue", "");
    assert_counts(&q, 0, 0, 0);

    ok(&q, "DeleteQueue", "");
    call(&q, "DeleteQueue", "");
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.NonExistentQueue");
    assert_string_equal(q.call.message, "The specified queue does not exist.");
    aws_call_sqs(&q.call, "CreateQueue", "{\"QueueName\": \"%s\"}", strrchr(q.url, '/') + 1);
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.QueueDeletedRecently");
    local_server_pass(&server, 60000);
    local_server_queue(&server, strrchr(q.url, '/') + 1, "{}", q.url, sizeof q.url);
    assert_int_equal(receive(&q, ""), 0);
    drop(&q);
}

/* ---- many at once ------------------------------------------------------------------------------------------------ */

#define CROWD    8
#define MESSAGES 2000

struct crowd {
    char url[200];
    pthread_mutex_t lock;
    unsigned char seen[MESSAGES];
    int n_seen, sent, doubles;
};

static void *
send_some(void *context)
{
    struct crowd *crowd = context;
    struct aws_call c;
    aws_call_init(&c, server.url);
    for (;;) {
        struct buf body = BUF_INIT;
        pthread_mutex_lock(&crowd->lock);
        int from = crowd->sent;
        crowd->sent += 10;
        pthread_mutex_unlock(&crowd->lock);
        if (from >= MESSAGES)
            break;
        buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"Entries\": [", crowd->url);
        for (int i = 0; i < 10; i++)
            buf_add_format(&body, "%s{\"Id\": \"%d\", \"MessageBody\": \"%d\"}", i ? "," : "", i, from + i);
        buf_add_string(&body, "]}");
        aws_call_sqs_body(&c, "SendMessageBatch", buf_slice(&body));
        buf_clean_up(&body);
    }
    aws_call_clean_up(&c);
    return NULL;
}

static void *
receive_some(void *context)
{
    struct crowd *crowd = context;
    struct aws_call c;
    bool over = false;
    aws_call_init(&c, server.url);
    while (!over && aws_call_sqs(&c, "ReceiveMessage",
                                 "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 7, \"WaitTimeSeconds\": 20}",
                                 crowd->url) == 200) {
        struct json messages, body;
        pthread_mutex_lock(&crowd->lock);
        if (aws_call_at(&c, "Messages", &messages))
            for (struct json_iter it = json_iter(messages); json_next(&it);)
                if (json_get(it.value, "Body", &body)) {
                    int i = atoi(json_raw(body).p);
                    crowd->doubles += crowd->seen[i];
                    crowd->n_seen += !crowd->seen[i];
                    crowd->seen[i] = 1;
                }
        over = crowd->n_seen >= MESSAGES;
        pthread_mutex_unlock(&crowd->lock);
    }
    aws_call_clean_up(&c);
    return NULL;
}

static bool
all_seen(void *context)
{
    struct crowd *crowd = context;
    pthread_mutex_lock(&crowd->lock);
    bool all = crowd->n_seen == MESSAGES;
    pthread_mutex_unlock(&crowd->lock);
    return all;
}

static void
each_message_goes_to_one_of_many_receivers(void **state)
{
    (void)state;
    struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[2 * CROWD];
    local_server_queue(&server, "crowd", "{\"VisibilityTimeout\": \"43200\"}", crowd.url, sizeof crowd.url);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, receive_some, &crowd), 0);
        assert_int_equal(pthread_create(&threads[CROWD + i], NULL, send_some, &crowd), 0);
    }
    assert_true(proc_wait_until(all_seen, &crowd, 60000));
    local_server_pass(&server, 20000); /* who waits still need not */
    for (int i = 0; i < 2 * CROWD; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.doubles, 0);
    struct queue q;
    aws_call_init(&q.call, server.url);
    snprintf(q.url, sizeof q.url, "%s", crowd.url);
    assert_counts(&q, 0, MESSAGES, 0);
    local_server_pass(&server, INT64_C(43200) * 1000);
    assert_counts(&q, MESSAGES, 0, 0);
    drop(&q);
}

static int
start(void **state)
{
    (void)state;
    local_server_start(&server, true);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    local_server_clean_up(&server);
    return 0;
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
        cmocka_unit_test(a_long_poll_ends_the_instant_something_is_due),
        cmocka_unit_test(long_polls_are_served_first_come_first_served),
        cmocka_unit_test(the_queues_own_wait_is_kept),
        cmocka_unit_test(whoever_has_hung_up_gets_no_message),
        cmocka_unit_test(a_deleted_queue_ends_its_long_polls),
        cmocka_unit_test(the_receive_that_would_exceed_the_count_moves_the_message),
        cmocka_unit_test(one_receive_moves_all_that_is_due_and_without_a_target_nothing_moves),
        cmocka_unit_test(an_entry_fails_alone),
        cmocka_unit_test(a_batch_as_a_whole_is_bounded),
        cmocka_unit_test(what_is_wrong_is_refused_in_awss_words),
        cmocka_unit_test(requests_that_are_no_json_are_refused),
        cmocka_unit_test(a_message_is_as_long_as_the_limit_and_no_longer),
        cmocka_unit_test(a_queue_is_made_once_and_found_by_any_url),
        cmocka_unit_test(names_and_kinds_that_cannot_be_are_refused),
        cmocka_unit_test(queues_are_listed_by_prefix_and_by_page),
        cmocka_unit_test(attributes_are_set_and_shown),
        cmocka_unit_test(purging_and_deleting_have_their_cool_downs),
        cmocka_unit_test(each_message_goes_to_one_of_many_receivers),
    };
    return cmocka_run_group_tests_name("local/sqs", tests, start, stop);
}
