#include "lib/sqs_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/shared_json.h"

/* ---- the requests ------------------------------------------------------------------------------------------------ */

#define URL(name)  "'QueueUrl': 'http://localhost/000000000000/" name "'"
#define ARN(name)  "'arn:aws:sqs:us-east-1:000000000000:" name "'"
#define TEXT(name) "'" name "': {'DataType': 'String', 'StringValue': 'v'}"
#define TRACE                                                                                                          \
    "'MessageSystemAttributes': {'AWSTraceHeader': {'DataType': 'String', 'StringValue': 'v', 'BinaryValue': '',"      \
    " 'StringListValues': [], 'BinaryListValues': []}}"
#define BYTES      "'a': {'DataType': 'Binary', 'BinaryValue': 'AAEC', 'StringListValues': [], 'BinaryListValues': []}"
#define PERMISSION URL("q") ", 'Label': 'l', 'AWSAccountIds': ['111111111111'], 'Actions': ['SendMessage']"

/* In them ' stands for ", %H and %G are receipt handles, of a message that is kept and of one that is deleted. */
const struct sqs_request SQS_REQUESTS[] = {
    {"CreateQueue",
     "{'QueueName': 'made', 'Attributes': {'DelaySeconds': '1', 'MaximumMessageSize': '1024',"
     " 'MessageRetentionPeriod': '60', 'ReceiveMessageWaitTimeSeconds': '0', 'VisibilityTimeout': '1', 'Policy': '{}',"
     " 'KmsMasterKeyId': 'k', 'KmsDataKeyReusePeriodSeconds': '60'}, 'tags': {'k': 'v'}}",
     "DeleteQueue", "{" URL("made") "}", 61},
    {"DeleteQueue", "{" URL("made") "}", "CreateQueue", "{'QueueName': 'made'}", 61},
    {"GetQueueUrl", "{'QueueName': 'q', 'QueueOwnerAWSAccountId': '000000000000'}", NULL, NULL, 0},
    {"ListQueues", "{'QueueNamePrefix': 'q', 'MaxResults': 1, 'NextToken': 'cQ=='}", NULL, NULL, 0},
    {"GetQueueAttributes", "{" URL("q") ", 'AttributeNames': ['QueueArn']}", NULL, NULL, 0},
    {"SetQueueAttributes", "{" URL("set") ", 'Attributes': {'DelaySeconds': '1'}}", NULL, NULL, 0},
    {"PurgeQueue", "{" URL("set") "}", NULL, NULL, 61},
    {"SendMessage",
     "{" URL("set") ", 'MessageBody': 'b', 'DelaySeconds': 0, 'MessageAttributes': {" TEXT(
         "a") "}, 'MessageSystemAttributes': {" TEXT("AWSTraceHeader") "}, 'MessageGroupId': 'g'}",
     NULL, NULL, 0},
    {"SendMessage", "{" URL("set") ", 'MessageBody': 'b', 'MessageAttributes': {" BYTES "}}", NULL, NULL, 0},
    {"SendMessage", "{" URL("f.fifo") ", 'MessageBody': 'b', 'MessageGroupId': 'g', 'MessageDeduplicationId': 'd'}",
     NULL, NULL, 0},
    {"SendMessageBatch",
     "{" URL("set") ", 'Entries': [{'Id': '1', 'MessageBody': 'b', 'DelaySeconds': 0, 'MessageAttributes': {" TEXT(
         "a") "}, " TRACE ", 'MessageGroupId': 'g'}]}",
     NULL, NULL, 0},
    {"SendMessageBatch",
     "{" URL("f.fifo") ", 'Entries': [{'Id': '1', 'MessageBody': 'b', 'MessageGroupId': 'g',"
                       " 'MessageDeduplicationId': 'd'}]}",
     NULL, NULL, 0},
    {"ReceiveMessage",
     "{" URL("q") ", 'AttributeNames': ['All'], 'MessageSystemAttributeNames': ['SenderId'],"
                  " 'MessageAttributeNames': ['a.*'], 'MaxNumberOfMessages': 1, 'VisibilityTimeout': 0,"
                  " 'WaitTimeSeconds': 1}",
     NULL, NULL, 0},
    {"ReceiveMessage", "{" URL("f.fifo") ", 'ReceiveRequestAttemptId': 'i', 'VisibilityTimeout': 0}", NULL, NULL, 0},
    {"ChangeMessageVisibility", "{" URL("held") ", 'ReceiptHandle': '%H', 'VisibilityTimeout': 60}", NULL, NULL, 0},
    {"ChangeMessageVisibilityBatch",
     "{" URL("held") ", 'Entries': [{'Id': '1', 'ReceiptHandle': '%H', 'VisibilityTimeout': 60}]}", NULL, NULL, 0},
    {"DeleteMessage", "{" URL("held") ", 'ReceiptHandle': '%G'}", NULL, NULL, 0},
    {"DeleteMessageBatch", "{" URL("held") ", 'Entries': [{'Id': '1', 'ReceiptHandle': '%G'}]}", NULL, NULL, 0},
    {"TagQueue", "{" URL("q") ", 'Tags': {'k': 'v'}}", "UntagQueue", "{" URL("q") ", 'TagKeys': ['k']}", 0},
    {"UntagQueue", "{" URL("q") ", 'TagKeys': ['k']}", NULL, NULL, 0},
    {"ListQueueTags", "{" URL("q") "}", NULL, NULL, 0},
    {"AddPermission", "{" PERMISSION "}", "SetQueueAttributes", "{" URL("q") ", 'Attributes': {'Policy': ''}}", 0},
    {"RemovePermission", "{" URL("q") ", 'Label': 'l'}", "AddPermission", "{" PERMISSION "}", 0},
    {"ListDeadLetterSourceQueues", "{" URL("q") ", 'MaxResults': 1, 'NextToken': 'cQ=='}", NULL, NULL, 0},
    {"StartMessageMoveTask",
     "{'SourceArn': " ARN("dead") ", 'DestinationArn': " ARN("set") ", 'MaxNumberOfMessagesPerSecond': 500}", NULL,
     NULL, 2},
    {"ListMessageMoveTasks", "{'SourceArn': " ARN("dead") ", 'MaxResults': 1}", NULL, NULL, 0},
    {"CancelMessageMoveTask", "{'TaskHandle': 'x'}", NULL, NULL, 0},
};
const size_t N_SQS_REQUESTS = sizeof SQS_REQUESTS / sizeof *SQS_REQUESTS;

bool
sqs_request_is_refused(const struct sqs_request *request)
{
    return strcmp(request->operation, "CancelMessageMoveTask") == 0; /* there is no such task */
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* The codes that are the protocols' own. */
static const char *const OWN_CODES[] = {"MalformedInput", "MalformedQueryString", "InvalidAction"};

static bool
is_known_error(const struct sqs_requests *r)
{
    const struct sqs_error *e = &r->error;
    const cJSON *known;
    cJSON_ArrayForEach(known, cJSON_GetObjectItemCaseSensitive(r->errors, "errors"))
    {
        if (strcmp(shared_json_text(known, "query_code"), e->code) == 0)
            return e->status == cJSON_GetObjectItemCaseSensitive(known, "http")->valueint &&
                   (r->protocol == SQS_QUERY || strcmp(shared_json_text(known, "shape"), e->shape) == 0);
    }
    for (size_t i = 0; i < sizeof OWN_CODES / sizeof *OWN_CODES; i++)
        if (strcmp(OWN_CODES[i], e->code) == 0)
            return e->status == 400;
    return false;
}

static int
send(struct sqs_requests *r, const char *operation, const char *json)
{
    int status = sqs_call(&r->aws, r->protocol, operation, slice_of_string(json), &r->error);
    if (*r->error.malformed ||
        (status != 200 && (!is_known_error(r) || strcmp(r->error.type, "Sender") != 0 || !*r->error.message)))
        fail_msg("%s %.500s: %d %s %s %s %s: %s", operation, json, status, r->error.malformed, r->error.shape,
                 r->error.code, r->error.type, r->error.message);
    r->n_calls++;
    r->n_refused += status != 200;
    return status;
}

/* Text with ' for ", and the handles in it. */
static char *
plain(const struct sqs_requests *r, const char *text)
{
    struct buf out = BUF_INIT;
    for (; *text; text++)
        if (*text == '%')
            buf_add_string(&out, *++text == 'H' ? r->kept_handle : r->deleted_handle);
        else
            buf_add_char(&out, *text == '\'' ? '"' : *text);
    return buf_take(&out);
}

static void
prepare(struct sqs_requests *r)
{
    enum sqs_protocol protocol = r->protocol;
    r->protocol = SQS_JSON;
    local_server_pass(&r->server, r->request->pause_s * INT64_C(1000));
    if (r->request->before) {
        char *json = plain(r, r->request->before_text);
        send(r, r->request->before, json);
        free(json);
    }
    local_server_pass(&r->server, r->request->pause_s * INT64_C(1000));
    r->protocol = protocol;
}

int
sqs_requests_ask(struct sqs_requests *r)
{
    char *json = cJSON_PrintUnformatted(r->tree);
    if (r->is_spent)
        prepare(r);
    int status = send(r, r->request->operation, json);
    r->is_spent = status == 200;
    free(json);
    return status;
}

bool
sqs_requests_has_failed_entry(const struct sqs_requests *r)
{
    char path[120], ignored[8];
    snprintf(path, sizeof path, "%sResult.BatchResultErrorEntry.Id", r->request->operation);
    return r->protocol == SQS_JSON ? aws_call_count(&r->aws, "Failed") > 0
                                   : sqs_call_xml_text(r->aws.body, path, ignored, sizeof ignored);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static void
say(struct sqs_requests *r, const char *operation, const char *text)
{
    char *json = plain(r, text);
    if (send(r, operation, json) != 200)
        fail_msg("%s %s: %s: %s", operation, json, r->error.code, r->error.message);
    free(json);
}

/* Handles that are good for hours; the clock has moved on since those of the last request. */
static void
hold_messages(struct sqs_requests *r)
{
    enum sqs_protocol protocol = r->protocol;
    r->protocol = SQS_JSON;
    say(r, "SendMessage", "{" URL("held") ", 'MessageBody': 'm'}");
    say(r, "ReceiveMessage", "{" URL("held") "}");
    aws_call_text(&r->aws, "Messages.0.ReceiptHandle", r->kept_handle, sizeof r->kept_handle);
    say(r, "SendMessage", "{" URL("held") ", 'MessageBody': 'm'}");
    say(r, "ReceiveMessage", "{" URL("held") "}");
    aws_call_text(&r->aws, "Messages.0.ReceiptHandle", r->deleted_handle, sizeof r->deleted_handle);
    r->protocol = protocol;
}

static void
make_queues(struct sqs_requests *r)
{
    r->protocol = SQS_JSON;
    say(r, "CreateQueue", "{'QueueName': 'q'}");
    say(r, "CreateQueue", "{'QueueName': 'set'}");
    say(r, "CreateQueue", "{'QueueName': 'held', 'Attributes': {'VisibilityTimeout': '43200'}}");
    say(r, "CreateQueue", "{'QueueName': 'f.fifo', 'Attributes': {'FifoQueue': 'true'}}");
    say(r, "CreateQueue", "{'QueueName': 'dead'}");
    say(r, "CreateQueue",
        "{'QueueName': 'source', 'Attributes': {'RedrivePolicy': '{\\\"deadLetterTargetArn\\\":"
        "\\\"arn:aws:sqs:us-east-1:000000000000:dead\\\",\\\"maxReceiveCount\\\":3}'}}");
    for (int i = 0; i < 100; i++)
        say(r, "SendMessage", "{" URL("q") ", 'MessageBody': 'm'}");
}

bool
sqs_requests_start(struct sqs_requests *r)
{
    *r = (struct sqs_requests){.errors = shared_json("data/sqs.errors.json")};
    if (!r->errors)
        return false;
    local_server_start(&r->server, true);
    aws_call_init(&r->aws, r->server.url);
    make_queues(r);
    r->n_calls = r->n_refused = 0;
    return true;
}

void
sqs_requests_stop(struct sqs_requests *r)
{
    cJSON_Delete(r->tree);
    cJSON_Delete(r->errors);
    if (r->server.process) {
        aws_call_clean_up(&r->aws);
        local_server_clean_up(&r->server);
    }
}

void
sqs_requests_take(struct sqs_requests *r, const struct sqs_request *request)
{
    if (strchr(request->text, '%'))
        hold_messages(r);
    char *json = plain(r, request->text);
    cJSON_Delete(r->tree);
    r->tree = cJSON_Parse(json);
    if (!r->tree)
        fail_msg("%s", json);
    free(json);
    r->request = request;
    r->is_spent = true;
}
