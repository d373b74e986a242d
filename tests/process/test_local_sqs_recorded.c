/* The errors that AWS was recorded to give (../shared/data/sqs.observed-errors.json), provoked one by one: code, shape,
 * HTTP status, text and x-amzn-query-error are AWS's, in both protocols. And each error of sqs.errors.json, as a fault
 * says it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/local.h"
#include "lib/shared_json.h"
#include "lib/skip.h"
#include "lib/sqs_call.h"

/* ---- what provokes them ------------------------------------------------------------------------------------------ */

#define ARN  "arn:aws:sqs:us-east-1:000000000000:"
#define TASK "10f57157-fc73-4ee3-b5b4-9dd5fc8b1c16"

#define BATCH(entries) "SendMessageBatch {'QueueUrl': '%Q', 'Entries': [" entries "]}\n"
#define ENTRY(id)      "{'Id': '" id "', 'MessageBody': 'x'}"
#define DEAD_LETTERS_OF_Q                                                                                              \
    "CreateQueue {'QueueName': '%q-source', 'Attributes': {'RedrivePolicy': "                                          \
    "'{`deadLetterTargetArn`:`%A`,`maxReceiveCount`:3}'}}\n"

/* A recorded test's name, and steps that make its errors: an operation and its request, a line each. The queues q and f
 * (FIFO) are made before, with those attributes. In a request ' stands for ", and ` for an escaped one; %q and %f are
 * the queues' names, %Q and %F their URLs, %A is q's ARN, %H the last receipt handle, %x9; is x nine times, %T and %U
 * are the handle of a move task that there is not, of q and of no queue. +9 lets nine seconds pass. */
static const struct provocation {
    const char *test, *q, *f, *steps;
} PROVOCATIONS[] = {
    {"test_send_receive_max_number_of_messages", "{}", NULL,
     "ReceiveMessage {'QueueUrl': '%Q', 'MaxNumberOfMessages': 11}"},
    {"test_send_oversized_message", "{}", NULL, "SendMessage {'QueueUrl': '%Q', 'MessageBody': '%x1048577;'}"},
    {"test_send_message_with_updated_maximum_message_size", "{}", NULL,
     "SetQueueAttributes {'QueueUrl': '%Q', 'Attributes': {'MaximumMessageSize': '1024'}}\n"
     "SendMessage {'QueueUrl': '%Q', 'MessageBody': '%x1024;'}\n"
     "SendMessage {'QueueUrl': '%Q', 'MessageBody': '%x1025;'}"},
    {"test_send_message_batch_with_oversized_contents", "{}", NULL,
     BATCH("{'Id': '1', 'MessageBody': '%x1048576;'}, " ENTRY("2"))},
    {"test_create_fifo_queue_with_different_attributes_raises_error", NULL, "'ContentBasedDeduplication': 'true'",
     "CreateQueue {'QueueName': '%f', 'Attributes': {'FifoQueue': 'true', 'ContentBasedDeduplication': 'false'}}"},
    {"test_create_queue_with_different_attributes_raises_exception", "{'DelaySeconds': '1'}", NULL,
     "CreateQueue {'QueueName': '%q', 'Attributes': {'DelaySeconds': '2'}}"},
    {"test_fifo_queue_send_message_with_delay_seconds_fails", NULL, "'ContentBasedDeduplication': 'true'",
     "SendMessage {'QueueUrl': '%F', 'MessageBody': 'x', 'MessageGroupId': '1', 'DelaySeconds': 2}"},
    {"test_too_many_entries_in_batch_request", "{}", NULL,
     BATCH(ENTRY("0") "," ENTRY("1") "," ENTRY("2") "," ENTRY("3") "," ENTRY("4") "," ENTRY("5") "," ENTRY("6") "," ENTRY("7") "," ENTRY("8") "," ENTRY("9") "," ENTRY(
         "10") "," ENTRY("11") "," ENTRY("12") "," ENTRY("13") "," ENTRY("14") "," ENTRY("15") "," ENTRY("16") "," ENTRY("17") "," ENTRY("18") "," ENTRY("19"))},
    {"test_invalid_batch_id", "{}", NULL, BATCH(ENTRY("message:123"))},
    {"test_send_batch_missing_deduplication_id_for_fifo_queue", NULL, "'ContentBasedDeduplication': 'false'",
     "SendMessageBatch {'QueueUrl': '%F', 'Entries': [{'Id': '1', 'MessageBody': 'x', 'MessageGroupId': '1',"
     " 'MessageDeduplicationId': '1'}, {'Id': '2', 'MessageBody': 'x', 'MessageGroupId': '1'}]}"},
    {"test_send_batch_message_size", "{'MaximumMessageSize': '1024'}", NULL,
     BATCH(ENTRY("1") ", {'Id': '2', 'MessageBody': '%x1025;'}")},
    {"test_send_batch_missing_message_group_id_for_fifo_queue", NULL, "'ContentBasedDeduplication': 'true'",
     "SendMessageBatch {'QueueUrl': '%F', 'Entries': [{'Id': '1', 'MessageBody': 'x', 'MessageGroupId': '1'}, " ENTRY(
         "2") "]}"},
    {"test_send_message_with_empty_string_attribute", "{}", NULL,
     "SendMessage {'QueueUrl': '%Q', 'MessageBody': 'x', 'MessageAttributes': {'ErrorDetails': {'DataType': 'String',"
     " 'StringValue': ''}}}"},
    {"test_set_unsupported_attribute_fifo", "{}", "'ContentBasedDeduplication': 'true'",
     "SetQueueAttributes {'QueueUrl': '%Q', 'Attributes': {'FifoQueue': 'true'}}\n"
     "SetQueueAttributes {'QueueUrl': '%F', 'Attributes': {'FifoQueue': 'true'}}\n"
     "SetQueueAttributes {'QueueUrl': '%F', 'Attributes': {'FifoQueue': 'false'}}"},
    {"test_posting_to_fifo_requires_deduplicationid_group_id", NULL, "'ContentBasedDeduplication': 'false'",
     "SendMessage {'QueueUrl': '%F', 'MessageBody': 'x', 'MessageDeduplicationId': '1'}"},
    {"test_successive_purge_calls_fail", "{}", NULL, "PurgeQueue {'QueueUrl': '%Q'}\nPurgeQueue {'QueueUrl': '%Q'}"},
    {"test_sqs_permission_lifecycle", "{}", NULL,
     "AddPermission {'QueueUrl': '%Q', 'Label': 'crossaccountpermission', 'AWSAccountIds': ['111111111111',"
     " '668614515564'], 'Actions': ['ReceiveMessage']}\n"
     "AddPermission {'QueueUrl': '%Q', 'Label': 'crossaccountpermission', 'AWSAccountIds': ['668614515564'],"
     " 'Actions': ['ReceiveMessage']}\n"
     "RemovePermission {'QueueUrl': '%Q', 'Label': 'crossaccountpermission2'}"},
    {"test_non_existent_queue", "{}", NULL, "GetQueueAttributes {'QueueUrl': '%Q-none', 'AttributeNames': ['All']}"},
    {"test_create_standard_queue_with_fifo_attribute_raises_error", NULL, NULL,
     "CreateQueue {'QueueName': '%q', 'Attributes': {'ContentBasedDeduplication': 'false'}}\n"
     "CreateQueue {'QueueName': '%q', 'Attributes': {'DeduplicationScope': 'messageGroup'}}\n"
     "CreateQueue {'QueueName': '%q', 'Attributes': {'FifoThroughputLimit': 'perMessageGroupId'}}"},
    {"test_send_receive_wait_time_seconds", "{}", NULL,
     "ReceiveMessage {'QueueUrl': '%Q', 'WaitTimeSeconds': 21}\n"
     "ReceiveMessage {'QueueUrl': '%Q', 'WaitTimeSeconds': -1}"},
    {"test_send_empty_message", "{}", NULL, "SendMessage {'QueueUrl': '%Q', 'MessageBody': ''}"},
    {"test_fifo_delete_after_visibility_timeout", NULL, "'ContentBasedDeduplication': 'true'",
     "SendMessage {'QueueUrl': '%F', 'MessageBody': 'x', 'MessageGroupId': '1'}\n"
     "ReceiveMessage {'QueueUrl': '%F', 'VisibilityTimeout': 1}\n"
     "+2\n"
     "DeleteMessage {'QueueUrl': '%F', 'ReceiptHandle': '%H'}"},
    {"test_send_message_to_standard_queue_with_invalid_message_group_id", "{}", NULL,
     "SendMessage {'QueueUrl': '%Q', 'MessageBody': 'x', 'MessageGroupId': ''}\n"
     "SendMessage {'QueueUrl': '%Q', 'MessageBody': 'x', 'MessageGroupId': '%a129;'}\n"
     "SendMessage {'QueueUrl': '%Q', 'MessageBody': 'x', 'MessageGroupId': 'group 123'}"},
    {"test_message_deduplication_id_invalid", NULL, "'ContentBasedDeduplication': 'false'",
     "SendMessage {'QueueUrl': '%F', 'MessageBody': 'x', 'MessageGroupId': '1', 'MessageDeduplicationId': ''}\n"
     "SendMessage {'QueueUrl': '%F', 'MessageBody': 'x', 'MessageGroupId': '1', 'MessageDeduplicationId': '%a129;'}\n"
     "SendMessage {'QueueUrl': '%F', 'MessageBody': 'x', 'MessageGroupId': '1', 'MessageDeduplicationId': 'group "
     "123'}"},
    {"test_source_needs_redrive_policy", "{}", NULL, "StartMessageMoveTask {'SourceArn': '%A'}"},
    {"test_cancel_with_invalid_task_handle", NULL, NULL, "CancelMessageMoveTask {'TaskHandle': 'foobared'}"},
    {"test_cancel_with_invalid_source_arn_in_task_handle", NULL, NULL, "CancelMessageMoveTask {'TaskHandle': '%U'}"},
    {"test_cancel_with_invalid_task_id_in_task_handle", "{}", NULL, "CancelMessageMoveTask {'TaskHandle': '%T'}"},
    {"test_destination_needs_to_exist", "{}", NULL,
     DEAD_LETTERS_OF_Q "StartMessageMoveTask {'SourceArn': '%A', 'DestinationArn': '%A-none'}"},
    {"test_start_multiple_move_tasks", "{}", NULL,
     DEAD_LETTERS_OF_Q BATCH(ENTRY("1") "," ENTRY("2") "," ENTRY("3") "," ENTRY(
         "4")) "StartMessageMoveTask {'SourceArn': '%A', 'DestinationArn': '%A-source', "
               "'MaxNumberOfMessagesPerSecond': 1}\n"
               "StartMessageMoveTask {'SourceArn': '%A', 'DestinationArn': '%A-source', "
               "'MaxNumberOfMessagesPerSecond': 1}"},
};
#define N_PROVOCATIONS (sizeof PROVOCATIONS / sizeof *PROVOCATIONS)

/* ---- provoking them ---------------------------------------------------------------------------------------------- */

#define MAX_SEEN 8

struct seen {
    struct sqs_error error;
    bool of_entry, is_recorded;
};

struct run {
    const struct provocation *p;
    enum sqs_protocol protocol;
    struct aws_call call;
    char q[40], f[40], handle[200];
    struct seen seen[MAX_SEEN];
    size_t n_seen;
};

static void
add_task_handle(struct buf *out, const char *queue)
{
    char json[300];
    snprintf(json, sizeof json, "{\"taskId\":\"" TASK "\",\"sourceArn\":\"" ARN "%s\"}", queue);
    digest_base64_encode(out, json, strlen(json));
}

/* One of a request's marks, which at is behind; returns what follows it. */
static const char *
expand_mark(const struct run *r, const char *at, struct buf *out)
{
    char *end = NULL;
    switch (*at) {
    case 'q':
    case 'f':
        buf_add_string(out, *at == 'q' ? r->q : r->f);
        break;
    case 'Q':
    case 'F':
        buf_add_format(out, "http://localhost/000000000000/%s", *at == 'Q' ? r->q : r->f);
        break;
    case 'A':
        buf_add_format(out, ARN "%s", r->q);
        break;
    case 'H':
        buf_add_string(out, r->handle);
        break;
    case 'T':
    case 'U':
        add_task_handle(out, *at == 'T' ? r->q : "none");
        break;
    default:
        for (unsigned long n = strtoul(at + 1, &end, 10); n > 0; n--)
            buf_add_char(out, *at);
        assert_int_equal(*end, ';');
        return end + 1;
    }
    return at + 1;
}

static void
expand(const struct run *r, const char *at, size_t n, struct buf *out)
{
    for (const char *end = at + n; at < end;) {
        char c = *at++;
        if (c == '%')
            at = expand_mark(r, at, out);
        else if (c == '`')
            buf_add_string(out, "\\\"");
        else
            buf_add_char(out, c == '\'' ? '"' : c);
    }
}

static void
note_entry(struct run *r)
{
    char path[40], text[10];
    struct seen *s = &r->seen[r->n_seen++];
    static const char *const MEMBERS[] = {"Code", "Message"};
    *s = (struct seen){.of_entry = true};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "Failed.0.%s", MEMBERS[i]);
        aws_call_text(&r->call, path, i ? s->error.message : s->error.code,
                      i ? sizeof s->error.message : sizeof s->error.code);
    }
    aws_call_text(&r->call, "Failed.0.SenderFault", text, sizeof text);
    snprintf(s->error.type, sizeof s->error.type, "%s", strcmp(text, "true") == 0 ? "Sender" : "Receiver");
}

static void
take_step(struct run *r, const char *step, size_t n)
{
    char operation[60];
    struct buf request = BUF_INIT;
    struct sqs_error e;
    if (*step == '+') {
        local_server_pass(&local_fixture, atoi(step + 1) * INT64_C(1000));
        return;
    }
    snprintf(operation, sizeof operation, "%.*s", (int)strcspn(step, " "), step);
    expand(r, step + strlen(operation) + 1, n - strlen(operation) - 1, &request);
    sqs_call(&r->call, r->protocol, operation, buf_slice(&request), &e);
    buf_clean_up(&request);
    if (*e.malformed)
        fail_msg("%s: %s: %d %s", r->p->test, operation, e.status, e.malformed);
    assert_true(r->n_seen < MAX_SEEN);
    if (e.status != 200)
        r->seen[r->n_seen++].error = e;
    else if (r->protocol == SQS_JSON && aws_call_count(&r->call, "Failed") > 0)
        note_entry(r);
    if (r->protocol == SQS_JSON)
        aws_call_text(&r->call, "Messages.0.ReceiptHandle", r->handle, sizeof r->handle);
    else if (!sqs_call_xml_text(r->call.body, "ReceiveMessageResult.Message.ReceiptHandle", r->handle,
                                sizeof r->handle))
        r->handle[0] = '\0';
}

static void
provoke(struct run *r)
{
    char step[300];
    static int n;
    snprintf(r->q, sizeof r->q, "recorded-%d", ++n);
    snprintf(r->f, sizeof r->f, "recorded-%d.fifo", n);
    aws_call_init(&r->call, local_fixture.url);
    if (r->p->q) {
        snprintf(step, sizeof step, "CreateQueue {'QueueName': '%%q', 'Attributes': %s}", r->p->q);
        take_step(r, step, strlen(step));
    }
    if (r->p->f) {
        snprintf(step, sizeof step, "CreateQueue {'QueueName': '%%f', 'Attributes': {'FifoQueue': 'true', %s}}",
                 r->p->f);
        take_step(r, step, strlen(step));
    }
    for (const char *at = r->p->steps; *at; at += strspn(at, "\n")) {
        size_t length = strcspn(at, "\n");
        take_step(r, at, length);
        at += length;
    }
    aws_call_clean_up(&r->call);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* What stands in angle brackets in the pattern was masked, and may be anything. */
static bool
is_like(const char *text, const char *pattern)
{
    const char *mask = strchr(pattern, '<'), *rest = mask ? strchr(mask, '>') : NULL;
    if (!rest || !isalpha((unsigned char)mask[1]))
        return strcmp(text, pattern) == 0;
    size_t before = (size_t)(mask - pattern), after = strlen(rest + 1), n = strlen(text);
    return n > before + after && strncmp(text, pattern, before) == 0 && strcmp(text + n - after, rest + 1) == 0;
}

static bool
is_as_recorded(const struct seen *s, const cJSON *row)
{
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(row, "http");
    return s->of_entry == cJSON_IsString(status) && (s->of_entry || s->error.status == status->valueint) &&
           strcmp(s->error.code, shared_json_text(row, "code")) == 0 &&
           (!*s->error.shape || strcmp(s->error.shape, shared_json_text(row, "shape")) == 0) &&
           strcmp(s->error.type, "Sender") == 0 && is_like(s->error.message, shared_json_text(row, "message"));
}

static bool
is_of(const cJSON *row, const char *test, enum sqs_protocol protocol)
{
    return strcmp(shared_json_text(row, "test"), test) == 0 &&
           strcmp(shared_json_text(row, "protocol"), protocol == SQS_JSON ? "json" : "query") == 0;
}

/* Returns how many rows of that test and protocol were met. */
static size_t
compare(const cJSON *rows, const struct provocation *p, enum sqs_protocol protocol)
{
    const cJSON *row;
    struct run r = {.p = p, .protocol = protocol};
    size_t matched = 0;
    bool asked = false;
    cJSON_ArrayForEach(row, rows)
    {
        asked = asked || is_of(row, p->test, protocol);
    }
    if (!asked)
        return 0;
    provoke(&r);
    cJSON_ArrayForEach(row, rows)
    {
        size_t i = 0;
        if (!is_of(row, p->test, protocol))
            continue;
        while (i < r.n_seen && (r.seen[i].is_recorded || !is_as_recorded(&r.seen[i], row)))
            i++;
        if (i < r.n_seen)
            r.seen[i].is_recorded = true;
        else
            print_error("%s: nothing was like %s (%s): %s\n", p->test, shared_json_text(row, "code"),
                        shared_json_text(row, "protocol"), shared_json_text(row, "message"));
        matched += i < r.n_seen;
    }
    for (size_t i = 0; i < r.n_seen; i++)
        if (!r.seen[i].is_recorded)
            print_error("%s: instead: %d %s %s %s: %s\n", p->test, r.seen[i].error.status, r.seen[i].error.shape,
                        r.seen[i].error.code, r.seen[i].error.type, r.seen[i].error.message);
    return matched;
}

static void
every_recorded_error_is_given_in_awss_words(void **state)
{
    (void)state;
    const cJSON *row, *rows;
    size_t matched = 0;
    cJSON *file = shared_json("data/sqs.observed-errors.json");
    if (!file)
        skip_because("../shared/data/sqs.observed-errors.json is missing");
    rows = cJSON_GetObjectItemCaseSensitive(file, "rows");
    cJSON_ArrayForEach(row, rows)
    {
        size_t i = 0;
        while (i < N_PROVOCATIONS && strcmp(PROVOCATIONS[i].test, shared_json_text(row, "test")) != 0)
            i++;
        if (i == N_PROVOCATIONS)
            fail_msg("nothing here provokes %s", shared_json_text(row, "test"));
    }
    for (size_t i = 0; i < N_PROVOCATIONS; i++)
        matched += compare(rows, &PROVOCATIONS[i], SQS_JSON) + compare(rows, &PROVOCATIONS[i], SQS_QUERY);
    print_message("%zu of %d recorded errors\n", matched, cJSON_GetArraySize(rows));
    assert_int_equal(matched, cJSON_GetArraySize(rows));
    cJSON_Delete(file);
}

/* ---- every error there is ---------------------------------------------------------------------------------------- */

static void
assert_fault(struct aws_call *c, const char *named, const cJSON *error)
{
    char rule[300];
    struct sqs_error e;
    for (enum sqs_protocol p = SQS_JSON; p <= SQS_QUERY; p++) {
        snprintf(rule, sizeof rule,
                 "{\"action\":\"sqs:ListQueues\",\"kind\":\"error\",\"status\":%d,\"code\":\"%s\",\"message\":\"m\"}",
                 cJSON_GetObjectItemCaseSensitive(error, "http")->valueint, named);
        assert_int_equal(aws_call_plain(c, "POST", "/_fanout/faults", rule), 200);
        sqs_call(c, p, "ListQueues", SLICE("{}"), &e);
        assert_string_equal(e.malformed, "");
        assert_int_equal(e.status, cJSON_GetObjectItemCaseSensitive(error, "http")->valueint);
        assert_string_equal(e.code, shared_json_text(error, "query_code"));
        assert_string_equal(e.shape, p == SQS_JSON ? shared_json_text(error, "shape") : "");
        assert_string_equal(e.message, "m");
    }
}

static void
every_error_of_the_model_can_be_a_fault(void **state)
{
    (void)state;
    const cJSON *error;
    struct aws_call c;
    cJSON *file = shared_json("data/sqs.errors.json");
    if (!file)
        skip_because("../shared/data/sqs.errors.json is missing");
    aws_call_init(&c, local_fixture.url);
    cJSON_ArrayForEach(error, cJSON_GetObjectItemCaseSensitive(file, "errors"))
    {
        assert_fault(&c, shared_json_text(error, "shape"), error);
        assert_fault(&c, shared_json_text(error, "query_code"), error);
    }
    aws_call_clean_up(&c);
    cJSON_Delete(file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_error_is_given_in_awss_words),
        cmocka_unit_test(every_error_of_the_model_can_be_a_fault),
    };
    return cmocka_run_group_tests_name("local/sqs recorded", tests, local_fixture_start_with_clock, local_fixture_stop);
}
