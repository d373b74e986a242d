/* fanout-local's SQS through the Query protocol, as AWS's clients spoke it until 2023: forms and URLs in, XML out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"
#include "lib/query_call.h"

#define NAMESPACE "http://queue.amazonaws.com/doc/2012-11-05/"

/* A queue and a client of it. */
struct queue {
    struct query_call q;
    char url[200];
    const char *path; /* of the URL */
};

static void
make(struct queue *t, const char *attributes)
{
    static int n;
    char name[32];
    snprintf(name, sizeof name, "query-%d", ++n);
    local_server_queue(&local_fixture, name, attributes, t->url, sizeof t->url);
    t->path = t->url + strlen(local_fixture.url);
    query_call_init(&t->q, local_fixture.url);
}

static void
assert_refused(struct query_call *q, int status, const char *code, const char *message)
{
    if (q->call.status != status || strcmp(query_call_error(q), code) != 0 ||
        (message && strcmp(query_call_message(q), message) != 0))
        fail_msg("%d %s: %s, not %d %s: %s", q->call.status, query_call_error(q), query_call_message(q), status, code,
                 message ? message : "");
    assert_string_equal(query_call_text(q, "Error.Type"), status < 500 ? "Sender" : "Receiver");
    assert_string_equal(query_call_text(q, "Error.Detail"), "");
    struct slice id = aws_call_header(&q->call, "x-amzn-requestid");
    assert_true(slice_equals_string(id, query_call_text(q, "RequestId")));
    assert_true(slice_equals(aws_call_header(&q->call, "content-type"), SLICE("text/xml")));
}

/* ---- one way and the other --------------------------------------------------------------------------------------- */

static void
a_queue_is_made_used_and_deleted(void **state)
{
    (void)state;
    struct query_call q;
    char url[200], handle[200], path[] = "/000000000000/whole";
    query_call_init(&q, local_fixture.url);
    assert_int_equal(query_call_post(&q, "/",
                                     "Action=CreateQueue&QueueName=whole&Attribute.1.Name=VisibilityTimeout&"
                                     "Attribute.1.Value=7&Tag.1.Key=team&Tag.1.Value=a%%20b&Version=2012-11-05"),
                     200);
    assert_string_equal(q.answer.root->name, "CreateQueueResponse");
    assert_non_null(strstr(q.call.body.p, "<CreateQueueResponse xmlns=\"" NAMESPACE "\">"));
    snprintf(url, sizeof url, "%s%s", local_fixture.url, path);
    assert_string_equal(query_call_text(&q, "CreateQueueResult.QueueUrl"), url);
    assert_true(slice_equals_string(aws_call_header(&q.call, "x-amzn-requestid"),
                                    query_call_text(&q, "ResponseMetadata.RequestId")));

    assert_int_equal(query_call_get(&q, "/", "Action=ListQueues&QueueNamePrefix=whole"), 200);
    assert_string_equal(query_call_text(&q, "ListQueuesResult.QueueUrl"), url);
    assert_int_equal(query_call_get(&q, "/", "Action=GetQueueUrl&QueueName=whole"), 200);
    assert_string_equal(query_call_text(&q, "GetQueueUrlResult.QueueUrl"), url);
    assert_int_equal(query_call_get(&q, path, "Action=ListQueueTags"), 200);
    assert_string_equal(query_call_text(&q, "ListQueueTagsResult.Tag.Key"), "team");
    assert_string_equal(query_call_text(&q, "ListQueueTagsResult.Tag.Value"), "a b");

    assert_int_equal(query_call_post(&q, path,
                                     "Action=SendMessage&MessageBody=1+%%3C+2%%0D%%0A&MessageAttribute.1.Name=n&"
                                     "MessageAttribute.1.Value.DataType=Number&MessageAttribute.1.Value.StringValue=1&"
                                     "MessageSystemAttribute.1.Name=AWSTraceHeader&"
                                     "MessageSystemAttribute.1.Value.DataType=String&"
                                     "MessageSystemAttribute.1.Value.StringValue=Root%%3D1"),
                     200);
    assert_string_equal(query_call_text(&q, "SendMessageResult.MD5OfMessageBody"), "11f906a6360e0ac3f8d414c49fa307db");
    assert_int_equal(strlen(query_call_text(&q, "SendMessageResult.MD5OfMessageAttributes")), 32);
    assert_int_equal(strlen(query_call_text(&q, "SendMessageResult.MD5OfMessageSystemAttributes")), 32);
    assert_int_equal(strlen(query_call_text(&q, "SendMessageResult.MessageId")), 36);

    assert_int_equal(query_call_get(&q, path,
                                    "Action=ReceiveMessage&AttributeName.1=All&MessageAttributeName.1=All&"
                                    "WaitTimeSeconds=5"),
                     200);
    const char *m = "ReceiveMessageResult.Message";
    assert_int_equal(xml_tree_count(&q.answer, "ReceiveMessageResult", "Message"), 1);
    assert_string_equal(query_call_text(&q, "ReceiveMessageResult.Message.Body"), "1 < 2\r\n");
    assert_string_equal(query_call_text(&q, "ReceiveMessageResult.Message.MessageAttribute.Name"), "n");
    assert_string_equal(query_call_text(&q, "ReceiveMessageResult.Message.MessageAttribute.Value.StringValue"), "1");
    assert_true(xml_tree_count(&q.answer, m, "Attribute") >= 5);
    snprintf(handle, sizeof handle, "%s", query_call_text(&q, "ReceiveMessageResult.Message.ReceiptHandle"));

    struct buf escaped = BUF_INIT;
    query_call_escape(&escaped, slice_of_string(handle));
    assert_int_equal(
        query_call_post(&q, path, "Action=ChangeMessageVisibility&VisibilityTimeout=30&ReceiptHandle=%s", escaped.data),
        200);
    assert_string_equal(q.answer.root->name, "ChangeMessageVisibilityResponse");
    assert_int_equal(query_call_post(&q, path, "Action=DeleteMessage&ReceiptHandle=%s", escaped.data), 200);
    assert_string_equal(q.answer.root->name, "DeleteMessageResponse");
    assert_int_equal(query_call_get(&q, path, "Action=ReceiveMessage"), 200);
    assert_non_null(strstr(q.call.body.p, "<ReceiveMessageResult/>"));
    assert_int_equal(query_call_get(&q, path, "Action=DeleteQueue"), 200);
    assert_int_equal(query_call_get(&q, path, "Action=ReceiveMessage"), 400);
    assert_refused(&q, 400, "AWS.SimpleQueueService.NonExistentQueue",
                   "The specified queue does not exist for this wsdl version.");
    buf_clean_up(&escaped);
    query_call_clean_up(&q);
}

static void
an_action_that_is_none_or_not_for_this_place_is_refused(void **state)
{
    (void)state;
    struct queue t;
    make(&t, "{}");
    query_call_get(&t.q, t.path, "Action=FooBar&Version=2012-11-05");
    assert_refused(&t.q, 400, "InvalidAction", "The action FooBar is not valid for this endpoint.");
    query_call_get(&t.q, t.path, "Action=ListQueues");
    assert_refused(&t.q, 400, "InvalidAction", "The action ListQueues is not valid for this endpoint.");
    query_call_post(&t.q, t.path, "Action=CreateQueue&QueueName=other");
    assert_refused(&t.q, 400, "InvalidAction", "The action CreateQueue is not valid for this endpoint.");
    assert_int_equal(query_call_get(&t.q, t.path, "Version=2012-11-05"), 404);
    assert_string_equal(t.q.answer.root->name, "UnknownOperationException");
    assert_int_equal(query_call_post(&t.q, "/", "Action="), 404);
    query_call_get(&t.q, t.path, "Action=%%3Cb%%3E%%01");
    assert_refused(&t.q, 400, "InvalidAction", "The action <b>\xef\xbf\xbd is not valid for this endpoint.");
    query_call_clean_up(&t.q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_is_made_used_and_deleted),
        cmocka_unit_test(an_action_that_is_none_or_not_for_this_place_is_refused),
    };
    return cmocka_run_group_tests(tests, local_fixture_start_with_clock, local_fixture_stop);
}
