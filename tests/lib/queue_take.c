#include "lib/queue_take.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

bool
queue_take(const char *url, const char *queue, struct aws_call *reply)
{
    char handle[1000], queue_url[300];
    struct aws_call deletion;
    snprintf(queue_url, sizeof queue_url, "%s/000000000000/%s", url, queue);
    aws_call_init(reply, url);
    aws_call_sqs(reply, "ReceiveMessage",
                 "{\"QueueUrl\":\"%s\",\"MessageAttributeNames\":[\"All\"],\"AttributeNames\":[\"All\"]}", queue_url);
    assert_int_equal(reply->status, 200);
    if (aws_call_count(reply, "Messages") == 0)
        return false;
    aws_call_init(&deletion, url);
    assert_true(aws_call_text(reply, "Messages.0.ReceiptHandle", handle, sizeof handle));
    aws_call_sqs(&deletion, "DeleteMessage", "{\"QueueUrl\":\"%s\",\"ReceiptHandle\":\"%s\"}", queue_url, handle);
    assert_int_equal(deletion.status, 200);
    aws_call_clean_up(&deletion);
    return true;
}

char *
queue_take_body(const char *url, const char *queue)
{
    struct aws_call reply;
    struct json body;
    struct buf text = BUF_INIT;
    if (!queue_take(url, queue, &reply))
        fail_msg("%s is empty", queue);
    assert_true(aws_call_at(&reply, "Messages.0.Body", &body));
    assert_int_equal(json_decode(body, &text, NULL), 0);
    aws_call_clean_up(&reply);
    return buf_take(&text);
}

void
queue_assert_empty(const char *url, const char *queue)
{
    struct aws_call reply;
    if (queue_take(url, queue, &reply))
        fail_msg("%s holds %.*s", queue, SLICE_ARG(reply.body));
    aws_call_clean_up(&reply);
}
