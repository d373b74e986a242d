#include "lib/local_queue.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void
local_queue_make(struct local_queue *q, const char *attributes)
{
    static int n;
    char name[32];
    snprintf(name, sizeof name, "queue-%d%s", ++n, strstr(attributes, "\"FifoQueue\"") ? ".fifo" : "");
    local_server_queue(&local_fixture, name, attributes, q->url, sizeof q->url);
    aws_call_init(&q->call, local_fixture.url);
}

void
local_queue_drop(struct local_queue *q)
{
    assert_int_equal(aws_call_sqs(&q->call, "DeleteQueue", "{\"QueueUrl\": \"%s\"}", q->url), 200);
    aws_call_clean_up(&q->call);
}

int
local_queue_call(struct local_queue *q, const char *operation, const char *members)
{
    return aws_call_sqs(&q->call, operation, "{\"QueueUrl\": \"%s\"%s}", q->url, members);
}

void
local_queue_ok(struct local_queue *q, const char *operation, const char *members)
{
    if (local_queue_call(q, operation, members) != 200)
        fail_msg("%s{%s}: %d %s: %s", operation, members, q->call.status, q->call.error, q->call.message);
}

const char *
local_queue_text(struct local_queue *q, const char *path)
{
    static char out[4][4096];
    static int n;
    char *at = out[n++ % 4];
    if (!aws_call_text(&q->call, path, at, sizeof *out))
        snprintf(at, sizeof *out, "(no %s)", path);
    return at;
}

void
local_queue_send(struct local_queue *q, const char *body)
{
    char members[512];
    snprintf(members, sizeof members, ", \"MessageBody\": \"%s\"", body);
    local_queue_ok(q, "SendMessage", members);
}

void
local_queue_send_many(struct local_queue *q, int n, const char *body, const char *members)
{
    for (int i = 0; i < n; i += 10) {
        struct buf entries = BUF_INIT;
        for (int j = i; j < n && j < i + 10; j++)
            buf_add_format(&entries, "%s{\"Id\": \"%d\", \"MessageBody\": \"%s\"%s}", j > i ? ", " : "", j, body,
                           members);
        if (aws_call_sqs(&q->call, "SendMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}", q->url,
                         entries.data) != 200)
            fail_msg("SendMessageBatch: %d %s: %s", q->call.status, q->call.error, q->call.message);
        assert_int_equal(aws_call_count(&q->call, "Failed"), 0);
        buf_clean_up(&entries);
    }
}

size_t
local_queue_receive(struct local_queue *q, const char *members)
{
    local_queue_ok(q, "ReceiveMessage", members);
    return aws_call_count(&q->call, "Messages");
}

void
local_queue_settle(struct local_queue *q, const char *operation, const char *handle, const char *members)
{
    char all[512];
    snprintf(all, sizeof all, ", \"ReceiptHandle\": \"%s\"%s", handle, members);
    local_queue_call(q, operation, all);
}

long
local_queue_attribute(struct local_queue *q, const char *name)
{
    char members[128], path[128];
    snprintf(members, sizeof members, ", \"AttributeNames\": [\"%s\"]", name);
    snprintf(path, sizeof path, "Attributes.%s", name);
    local_queue_ok(q, "GetQueueAttributes", members);
    return atol(local_queue_text(q, path));
}

void
local_queue_assert_counts(struct local_queue *q, long visible, long in_flight, long delayed)
{
    assert_int_equal(local_queue_attribute(q, "ApproximateNumberOfMessages"), visible);
    assert_int_equal(local_queue_attribute(q, "ApproximateNumberOfMessagesNotVisible"), in_flight);
    assert_int_equal(local_queue_attribute(q, "ApproximateNumberOfMessagesDelayed"), delayed);
}

void
local_queue_begin_wait(struct local_queue *q, struct aws_call *c, int wait_s, long nth)
{
    char body[300];
    aws_call_init(c, local_fixture.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": %d, \"MaxNumberOfMessages\": 10}", q->url,
             wait_s);
    assert_true(aws_call_begin(c, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    local_server_await_waiting(&local_fixture, q->url, nth);
}

bool
local_queue_is_answered(struct aws_call *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

size_t
local_queue_end_wait(struct aws_call *c)
{
    assert_int_equal(aws_call_finish(c), 200);
    size_t n = aws_call_count(c, "Messages");
    aws_call_clean_up(c);
    return n;
}
