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

static void
a_queue_is_named_by_the_path_or_by_the_parameter_which_wins(void **state)
{
    (void)state;
    struct queue one, other;
    char arn[200];
    make(&one, "{}");
    make(&other, "{}");
    snprintf(arn, sizeof arn, "arn:aws:sqs:us-east-1:000000000000:%s", strrchr(other.path, '/') + 1);
    static const char *const BEFORE[] = {
        "Action=GetQueueAttributes&AttributeName=QueueArn&QueueUrl=",
        "Action=GetQueueAttributes&AttributeName.1=QueueArn&QueueUrl=http://x",
        "AttributeName.7=QueueArn&Action=GetQueueAttributes&QueueUrl=https%3A%2F%2Fx.y"};
    for (size_t i = 0; i < 3; i++) {
        char form[400];
        snprintf(form, sizeof form, "%s%s", BEFORE[i], other.path);
        assert_int_equal(query_call_post(&one.q, one.path, "%s", form), 200);
        assert_string_equal(query_call_text(&one.q, "GetQueueAttributesResult.Attribute.Value"), arn);
        assert_int_equal(query_call_get(&one.q, "/", "%s", form), 200);
        assert_string_equal(query_call_text(&one.q, "GetQueueAttributesResult.Attribute.Value"), arn);
    }
    assert_int_equal(query_call_get(&one.q, other.path, "Action=GetQueueAttributes&AttributeName=QueueArn"), 200);
    assert_string_equal(query_call_text(&one.q, "GetQueueAttributesResult.Attribute.Value"), arn);
    query_call_post(&one.q, "/", "Action=PurgeQueue");
    assert_refused(&one.q, 400, "MissingParameter", "The request must contain the parameter QueueUrl.");
    query_call_post(&one.q, "/1/none", "Action=PurgeQueue");
    assert_refused(&one.q, 400, "AWS.SimpleQueueService.NonExistentQueue", NULL);
    query_call_post(&one.q, one.path, "Action=PurgeQueue&QueueUrl=");
    assert_refused(&one.q, 404, "InvalidAddress", NULL);
    query_call_clean_up(&one.q);
    query_call_clean_up(&other.q);
}

static void
parameters_come_in_the_url_and_in_the_form(void **state)
{
    (void)state;
    struct queue t;
    make(&t, "{}");
    static const char *const TYPES[] = {"application/x-www-form-urlencoded",
                                        "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
                                        "application/x-www-form-urlencoded ;charset=utf-8", NULL};
    for (size_t i = 0; i < 4; i++) {
        struct aws_call_request r = {.service = "sqs",
                                     .method = "POST",
                                     .path = t.path,
                                     .query = SLICE("Action=SendMessage&DelaySeconds=901"),
                                     .type = TYPES[i],
                                     .body = SLICE("DelaySeconds=0&MessageBody=x")};
        assert_int_equal(query_call_send(&t.q, &r), 200); /* of two of the same name, the later */
        assert_string_equal(query_call_text(&t.q, "SendMessageResult.MD5OfMessageBody"),
                            "9dd4e461268c8034f5c8564e155c67a6");
    }
    struct aws_call_request r = {.service = "sqs",
                                 .method = "POST",
                                 .path = t.path,
                                 .query = SLICE("Action=SendMessage"),
                                 .type = "application/x-www-form-urlencodedly",
                                 .body = SLICE("MessageBody=x")};
    query_call_send(&t.q, &r);
    assert_refused(&t.q, 400, "MissingParameter", "The request must contain the parameter MessageBody.");
    query_call_clean_up(&t.q);
}

static void
a_presigned_url_is_a_request(void **state)
{
    (void)state;
    struct queue t;
    make(&t, "{}");
    struct aws_call_request r = {.service = "sqs",
                                 .method = "GET",
                                 .path = t.path,
                                 .query = SLICE("Action=SendMessage&MessageBody=by%20URL&Version=2012-11-05"),
                                 .presigned = true};
    assert_int_equal(query_call_send(&t.q, &r), 200);
    assert_int_equal(query_call_get(&t.q, t.path, "Action=ReceiveMessage"), 200);
    assert_string_equal(query_call_text(&t.q, "ReceiveMessageResult.Message.Body"), "by URL");
    t.q.call.secret_access_key = "wrong";
    query_call_send(&t.q, &r);
    assert_refused(&t.q, 403, "SignatureDoesNotMatch", NULL);
    t.q.call.secret_access_key = "test";
    r.service = "s3"; /* it is for S3 then to refuse this */
    query_call_send(&t.q, &r);
    assert_string_equal(t.q.answer.root->name, "Error");
    r.service = "sqs";
    r.query = SLICE("Version=2012-11-05");
    assert_int_equal(query_call_send(&t.q, &r), 404);
    assert_string_equal(t.q.answer.root->name, "UnknownOperationException");
    query_call_clean_up(&t.q);
}

static void
a_long_poll_is_answered_when_there_is_something(void **state)
{
    (void)state;
    struct queue t;
    struct query_call waiting;
    make(&t, "{}");
    query_call_init(&waiting, local_fixture.url);
    const struct aws_call_request receive = {
        .service = "sqs", .method = "GET", .path = t.path, .query = SLICE("Action=ReceiveMessage&WaitTimeSeconds=20")};
    assert_true(aws_call_send(&waiting.call, &receive));
    local_server_await_waiting(&local_fixture, t.url, 1);
    assert_false(local_queue_is_answered(&waiting.call));
    assert_int_equal(query_call_post(&t.q, t.path, "Action=SendMessage&MessageBody=at+last"), 200);
    assert_int_equal(aws_call_finish(&waiting.call), 200);
    assert_true(xml_tree_read(&waiting.answer, waiting.call.body));
    assert_string_equal(query_call_text(&waiting, "ReceiveMessageResult.Message.Body"), "at last");
    xml_tree_clean_up(&waiting.answer);
    assert_true(aws_call_send(&waiting.call, &receive));
    local_server_await_waiting(&local_fixture, t.url, 1);
    assert_int_equal(query_call_get(&t.q, t.path, "Action=DeleteQueue"), 200);
    aws_call_finish(&waiting.call);
    assert_true(xml_tree_read(&waiting.answer, waiting.call.body));
    assert_refused(&waiting, 400, "AWS.SimpleQueueService.NonExistentQueue",
                   "The specified queue does not exist for this wsdl version.");
    query_call_clean_up(&waiting);
    query_call_clean_up(&t.q);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static void
batches_tell_each_entrys_fate(void **state)
{
    (void)state;
    struct queue t;
    struct buf handle = BUF_INIT;
    make(&t, "{}");
    assert_int_equal(
        query_call_post(&t.q, t.path,
                        "Action=SendMessageBatch&SendMessageBatchRequestEntry.2.Id=b&"
                        "SendMessageBatchRequestEntry.2.MessageBody=second&"
                        "SendMessageBatchRequestEntry.2.DelaySeconds=901&"
                        "SendMessageBatchRequestEntry.10.Id=c&SendMessageBatchRequestEntry.10.MessageBody=z&"
                        "SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x"),
        200);
    assert_int_equal(xml_tree_count(&t.q.answer, "SendMessageBatchResult", "SendMessageBatchResultEntry"), 2);
    assert_string_equal(query_call_text(&t.q, "SendMessageBatchResult.SendMessageBatchResultEntry.0.Id"), "a");
    assert_string_equal(query_call_text(&t.q, "SendMessageBatchResult.SendMessageBatchResultEntry.1.Id"), "c");
    assert_string_equal(query_call_text(&t.q, "SendMessageBatchResult.BatchResultErrorEntry.Id"), "b");
    assert_string_equal(query_call_text(&t.q, "SendMessageBatchResult.BatchResultErrorEntry.SenderFault"), "true");
    assert_string_equal(query_call_text(&t.q, "SendMessageBatchResult.BatchResultErrorEntry.Code"),
                        "InvalidParameterValue");
    assert_int_equal(query_call_post(&t.q, t.path, "Action=ReceiveMessage&MaxNumberOfMessages=1"), 200);
    query_call_escape(&handle, slice_of_string(query_call_text(&t.q, "ReceiveMessageResult.Message.ReceiptHandle")));
    assert_int_equal(query_call_post(&t.q, t.path,
                                     "Action=ChangeMessageVisibilityBatch&"
                                     "ChangeMessageVisibilityBatchRequestEntry.1.Id=i&"
                                     "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout=60&"
                                     "ChangeMessageVisibilityBatchRequestEntry.1.ReceiptHandle=%s",
                                     handle.data),
                     200);
    assert_string_equal(query_call_text(&t.q, "ChangeMessageVisibilityBatchResult."
                                              "ChangeMessageVisibilityBatchResultEntry.Id"),
                        "i");
    assert_int_equal(query_call_post(&t.q, t.path,
                                     "Action=DeleteMessageBatch&DeleteMessageBatchRequestEntry.1.Id=good&"
                                     "DeleteMessageBatchRequestEntry.1.ReceiptHandle=%s&"
                                     "DeleteMessageBatchRequestEntry.2.Id=bad&"
                                     "DeleteMessageBatchRequestEntry.2.ReceiptHandle=%%3Cx%%3E",
                                     handle.data),
                     200);
    assert_string_equal(query_call_text(&t.q, "DeleteMessageBatchResult.DeleteMessageBatchResultEntry.Id"), "good");
    assert_string_equal(query_call_text(&t.q, "DeleteMessageBatchResult.BatchResultErrorEntry.Code"),
                        "ReceiptHandleIsInvalid");
    query_call_post(&t.q, t.path, "Action=DeleteMessageBatch");
    assert_refused(&t.q, 400, "AWS.SimpleQueueService.EmptyBatchRequest", NULL);
    buf_clean_up(&handle);
    query_call_clean_up(&t.q);
}

/* ---- refusals that are not the operation's ----------------------------------------------------------------------- */

static void
whoever_refuses_speaks_the_callers_protocol(void **state)
{
    (void)state;
    struct queue t;
    struct aws_call admin;
    make(&t, "{}");
    aws_call_init(&admin, local_fixture.url);
    t.q.call.access_key_id = "nobody";
    query_call_get(&t.q, t.path, "Action=PurgeQueue");
    assert_refused(&t.q, 403, "InvalidClientTokenId", NULL);
    t.q.call.access_key_id = "test";
    t.q.call.unsigned_too = true;
    query_call_get(&t.q, t.path, "Action=PurgeQueue");
    assert_refused(&t.q, 403, "MissingAuthenticationToken", NULL);
    query_call_post(&t.q, "/", "Version=2012-11-05&Action=ListQueues");
    assert_refused(&t.q, 403, "MissingAuthenticationToken", NULL);
    t.q.call.unsigned_too = false;
    aws_call_plain(&admin, "POST", "/_fanout/faults",
                   "{\"action\": \"sqs:PurgeQueue\", \"kind\": \"error\", \"status\": 503, \"code\": \"Some<where\"}");
    assert_int_equal(admin.status, 200);
    query_call_get(&t.q, t.path, "Action=PurgeQueue");
    assert_refused(&t.q, 503, "Some<where", "A fault was injected.");
    assert_int_equal(query_call_get(&t.q, t.path, "Action=PurgeQueue"), 200);
    query_call_get(&t.q, t.path, "Action=SendMessage&MessageBody=%%4");
    assert_refused(&t.q, 404, "MalformedQueryString", "The query string contains a syntax error: \"%4\" is no escape.");
    query_call_get(&t.q, t.path, "Action=ReceiveMessage&VisibilityTimeout=soon");
    assert_refused(&t.q, 400, "MalformedInput", NULL);
    aws_call_clean_up(&admin);
    query_call_clean_up(&t.q);
}

static void
json_is_heard_at_a_queues_path_and_s3_is_left_alone(void **state)
{
    (void)state;
    struct queue t;
    struct aws_call c;
    char body[400];
    make(&t, "{}");
    aws_call_init(&c, local_fixture.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", t.url);
    struct aws_call_request r = {.service = "sqs",
                                 .method = "POST",
                                 .path = t.path,
                                 .type = "application/x-amz-json-1.0",
                                 .target = "AmazonSQS.SendMessage",
                                 .body = slice_of_string(body)};
    assert_true(aws_call_send(&c, &r));
    assert_int_equal(aws_call_finish(&c), 200);
    r.target = "AmazonSQS.ListQueues";
    r.body = SLICE("{}");
    assert_true(aws_call_send(&c, &r));
    assert_int_equal(aws_call_finish(&c), 200);
    assert_true(aws_call_count(&c, "QueueUrls") > 0);
    /* Signed for S3, an Action is a parameter like others; signed for SQS without one it is no operation. */
    r = (struct aws_call_request){
        .service = "s3", .method = "GET", .path = "/bucket", .query = SLICE("Action=SendMessage")};
    assert_true(aws_call_send(&c, &r));
    aws_call_finish(&c);
    assert_null(memmem(c.body.p, c.body.n, "ErrorResponse", 13));
    assert_non_null(memmem(c.body.p, c.body.n, "<Error>", 7));
    r = (struct aws_call_request){.service = "sqs", .method = "PUT", .path = "/bucket/key"};
    assert_true(aws_call_send(&c, &r));
    assert_int_equal(aws_call_finish(&c), 404);
    assert_true(slice_equals(c.body, SLICE("<UnknownOperationException/>\n")));
    c.unsigned_too = true;
    r = (struct aws_call_request){
        .service = "s3", .method = "PUT", .path = "/bucket/key", .body = SLICE("Action=ListQueues")};
    assert_true(aws_call_send(&c, &r));
    aws_call_finish(&c);
    assert_non_null(memmem(c.body.p, c.body.n, "<Code>AccessDenied</Code>", 25));
    aws_call_clean_up(&c);
    query_call_clean_up(&t.q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_is_made_used_and_deleted),
        cmocka_unit_test(an_action_that_is_none_or_not_for_this_place_is_refused),
        cmocka_unit_test(a_queue_is_named_by_the_path_or_by_the_parameter_which_wins),
        cmocka_unit_test(parameters_come_in_the_url_and_in_the_form),
        cmocka_unit_test(a_presigned_url_is_a_request),
        cmocka_unit_test(a_long_poll_is_answered_when_there_is_something),
        cmocka_unit_test(batches_tell_each_entrys_fate),
        cmocka_unit_test(whoever_refuses_speaks_the_callers_protocol),
        cmocka_unit_test(json_is_heard_at_a_queues_path_and_s3_is_left_alone),
    };
    return cmocka_run_group_tests(tests, local_fixture_start_with_clock, local_fixture_stop);
}
