/* Message move tasks of fanout-local's SQS: what is listed, and what is refused in which words, in both protocols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/move_flow.h"
#include "lib/query_call.h"
#include "lib/shared.h"

static void
ten_tasks_of_a_source_are_remembered(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    assert_int_equal(dead_letters_call(&f.dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f.dead_arn), 200);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 0);
    for (int i = 1; i <= 12; i++) {
        char more[80];
        snprintf(more, sizeof more, ", \"MaxNumberOfMessagesPerSecond\": %d", i);
        move_flow_start(&f, more);
        move_flow_assert(&f, "COMPLETED", 0, 0);
        local_server_pass(&local_fixture, 1);
    }
    assert_int_equal(atoi(move_flow_task(&f, "MaxNumberOfMessagesPerSecond")), 12);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 1);
    dead_letters_call(&f.dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\", \"MaxResults\": 10", f.dead_arn);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.9.MaxNumberOfMessagesPerSecond"), "3");
    int64_t newest = atoll(local_queue_text(&f.dead, "Results.0.StartedTimestamp"));
    assert_true(newest == atoll(local_queue_text(&f.dead, "Results.9.StartedTimestamp")) + 9);
    move_flow_end(&f);
}

static void
no_more_than_a_hundred_tasks_run(void **state)
{
    (void)state;
    struct move_flow *flows = calloc(101, sizeof *flows);
    for (int i = 0; i <= 100; i++) {
        move_flow_begin(&flows[i]);
        dead_letters_bury(&flows[i].q, "m", 2);
        if (i < 100)
            move_flow_start(&flows[i], ", \"MaxNumberOfMessagesPerSecond\": 1");
    }
    struct move_flow *last = &flows[100];
    assert_int_equal(
        dead_letters_call(&last->dead.call, "StartMessageMoveTask", "\"SourceArn\": \"%s\"", last->dead_arn), 403);
    assert_string_equal(last->dead.call.error, "RequestThrottled");
    local_server_pass(&local_fixture, 1000);
    for (int i = 0; i < 100; i++)
        move_flow_assert(&flows[i], "COMPLETED", 2, 2);
    move_flow_start(last, "");
    for (int i = 0; i <= 100; i++)
        move_flow_end(&flows[i]);
    free(flows);
}

/* What was recorded against AWS: its text, under the name of the recorded test. */
static void
assert_recorded(const struct json *rows, const struct aws_call *c, const char *test)
{
    struct json name, code, message, status;
    int64_t http;
    for (struct json_iter it = json_iter(*rows); json_next(&it);) {
        if (!json_get(it.value, "test", &name) || !json_equals_string(name, slice_of_string(test)))
            continue;
        assert_true(json_get(it.value, "code", &code));
        assert_true(json_get(it.value, "message", &message));
        assert_true(json_get(it.value, "http", &status));
        assert_true(json_int64(status, &http));
        assert_int_equal(c->status, http);
        assert_true(json_equals_string(code, slice_of_string(c->error)));
        if (!json_equals_string(message, slice_of_string(c->message)))
            fail_msg("%s: \"%s\" was recorded as %.*s", test, c->message, SLICE_ARG(message.text));
        assert_true(json_get(it.value, "shape", &name) && json_get(c->json, "__type", &message));
        struct slice shape = json_raw(name), type = json_raw(message);
        assert_true(type.n > shape.n && memcmp(type.p + type.n - shape.n, shape.p, shape.n) == 0 &&
                    type.p[type.n - shape.n - 1] == '#');
        return;
    }
    fail_msg("nothing is recorded of %s", test);
}

static void
refusals_are_those_recorded_against_aws(void **state)
{
    (void)state;
    struct buf text = BUF_INIT, handle = BUF_INIT;
    struct json all, rows;
    struct move_flow f;
    if (!shared_read("data/sqs.observed-errors.json", &text)) {
        print_message("skipped: no ../shared/data/sqs.observed-errors.json\n");
        skip();
    }
    assert_int_equal(json_parse(buf_slice(&text), &all, NULL), 0);
    assert_true(json_get(all, "rows", &rows));
    move_flow_begin(&f);
    struct aws_call *c = &f.dead.call;
    dead_letters_call(c, "CancelMessageMoveTask", "\"TaskHandle\": \"foobared\"");
    assert_recorded(&rows, c, "test_cancel_with_invalid_task_handle");
    static const char unknown[] = "{\"taskId\":\"10f57157-fc38-4da9-a113-4de7e12d05dd\",\"sourceArn\":"
                                  "\"arn:aws:sqs:us-east-1:878966065785:test-queue-doesnt-exist-123456\"}";
    digest_base64_encode(&handle, unknown, sizeof unknown - 1);
    dead_letters_call(c, "CancelMessageMoveTask", "\"TaskHandle\": \"%s\"", handle.data);
    assert_recorded(&rows, c, "test_cancel_with_invalid_source_arn_in_task_handle");
    char other[300];
    int n = snprintf(other, sizeof other, "{\"taskId\":\"10f57157-fc38-4da9-a113-4de7e12d05aa\",\"sourceArn\":\"%s\"}",
                     f.dead_arn);
    buf_reset(&handle);
    digest_base64_encode(&handle, other, (size_t)n);
    dead_letters_call(c, "CancelMessageMoveTask", "\"TaskHandle\": \"%s\"", handle.data);
    assert_recorded(&rows, c, "test_cancel_with_invalid_task_id_in_task_handle");
    dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\", \"DestinationArn\": \"%s\"", f.other_arn,
                      f.q_arn);
    assert_recorded(&rows, c, "test_source_needs_redrive_policy");
    dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\", \"DestinationArn\": \"%sdoesntexist\"",
                      f.dead_arn, f.other_arn);
    assert_recorded(&rows, c, "test_destination_needs_to_exist");
    dead_letters_bury(&f.q, "m", 2);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\", \"DestinationArn\": \"%s\"", f.dead_arn,
                      f.other_arn);
    assert_recorded(&rows, c, "test_start_multiple_move_tasks");
    move_flow_end(&f);
    buf_clean_up(&handle);
    buf_clean_up(&text);
}

#define FORMAT(name)                                                                                                   \
    "You must use this format to specify the " name ": arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
#define RANGE(name, most)                                                                                              \
    "Value for parameter " name " is invalid. Reason: You must enter a number that's between 1 and " most "."
#define NOWHERE "\"arn:aws:sqs:us-east-1:000000000000:none\""

static const struct {
    const char *operation, *members, *code, *message;
} REFUSED[] = {
    {"StartMessageMoveTask", "", "MissingParameter", "The request must contain the parameter SourceArn."},
    {"StartMessageMoveTask", "\"SourceArn\": \"\"", "InvalidParameterValue", FORMAT("SourceArn")},
    {"StartMessageMoveTask", "\"SourceArn\": \"queue\"", "InvalidParameterValue", FORMAT("SourceArn")},
    {"StartMessageMoveTask", "\"SourceArn\": " NOWHERE, "ResourceNotFoundException",
     "The resource that you specified for the SourceArn parameter doesn't exist."},
    {"StartMessageMoveTask", "\"SourceArn\": " NOWHERE ", \"DestinationArn\": \"\"", "InvalidParameterValue",
     FORMAT("DestinationArn")},
    {"StartMessageMoveTask", "\"SourceArn\": " NOWHERE ", \"DestinationArn\": " NOWHERE, "InvalidParameterValue",
     "Source queue arn and destination queue arn cannot be the same."},
    {"StartMessageMoveTask", "\"SourceArn\": " NOWHERE ", \"MaxNumberOfMessagesPerSecond\": 0", "InvalidParameterValue",
     RANGE("MaxNumberOfMessagesPerSecond", "500")},
    {"StartMessageMoveTask", "\"SourceArn\": " NOWHERE ", \"MaxNumberOfMessagesPerSecond\": 501",
     "InvalidParameterValue", RANGE("MaxNumberOfMessagesPerSecond", "500")},
    {"CancelMessageMoveTask", "", "MissingParameter", "The request must contain the parameter TaskHandle."},
    {"CancelMessageMoveTask", "\"TaskHandle\": \"\"", "InvalidParameterValue",
     "Value for parameter TaskHandle is invalid."},
    {"CancelMessageMoveTask", "\"TaskHandle\": \"e30=\"", "InvalidParameterValue", /* {} */
     "Value for parameter TaskHandle is invalid."},
    {"ListMessageMoveTasks", "", "MissingParameter", "The request must contain the parameter SourceArn."},
    {"ListMessageMoveTasks", "\"SourceArn\": \"queue\"", "InvalidParameterValue", FORMAT("SourceArn")},
    {"ListMessageMoveTasks", "\"SourceArn\": " NOWHERE, "ResourceNotFoundException",
     "The resource that you specified for the SourceArn parameter doesn't exist."},
    {"ListMessageMoveTasks", "\"SourceArn\": " NOWHERE ", \"MaxResults\": 0", "InvalidParameterValue",
     RANGE("MaxResults", "10")},
    {"ListMessageMoveTasks", "\"SourceArn\": " NOWHERE ", \"MaxResults\": 11", "InvalidParameterValue",
     RANGE("MaxResults", "10")},
};

static void
what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        int status = dead_letters_call(&c, REFUSED[i].operation, "%s", REFUSED[i].members);
        if (status / 100 != 4 || strcmp(c.error, REFUSED[i].code) != 0 || strcmp(c.message, REFUSED[i].message) != 0)
            fail_msg("%s{%s}: %d %s: %s", REFUSED[i].operation, REFUSED[i].members, status, c.error, c.message);
    }
    aws_call_clean_up(&c);
}

static void
the_query_protocol_has_them_too(void **state)
{
    (void)state;
    struct move_flow f;
    struct query_call q;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 3);
    query_call_init(&q, local_fixture.url);
    assert_int_equal(query_call_post(&q, "/",
                                     "Action=StartMessageMoveTask&SourceArn=%s&DestinationArn=%s&"
                                     "MaxNumberOfMessagesPerSecond=1",
                                     f.dead_arn, f.other_arn),
                     200);
    snprintf(f.handle, sizeof f.handle, "%s", query_call_text(&q, "StartMessageMoveTaskResult.TaskHandle"));
    assert_int_equal(query_call_get(&q, "/", "Action=ListMessageMoveTasks&SourceArn=%s&MaxResults=10", f.dead_arn),
                     200);
#define RESULT "ListMessageMoveTasksResult.ListMessageMoveTasksResultEntry."
    assert_string_equal(query_call_text(&q, RESULT "Status"), "RUNNING");
    assert_string_equal(query_call_text(&q, RESULT "TaskHandle"), f.handle);
    assert_string_equal(query_call_text(&q, RESULT "DestinationArn"), f.other_arn);
    assert_string_equal(query_call_text(&q, RESULT "MaxNumberOfMessagesPerSecond"), "1");
    assert_string_equal(query_call_text(&q, RESULT "ApproximateNumberOfMessagesMoved"), "1");
    assert_string_equal(query_call_text(&q, RESULT "ApproximateNumberOfMessagesToMove"), "3");
    assert_int_equal(strlen(query_call_text(&q, RESULT "StartedTimestamp")), 13); /* milliseconds */
    assert_int_equal(query_call_get(&q, strstr(f.dead.url, "/0000"), "Action=ListDeadLetterSourceQueues"), 200);
    assert_string_equal(query_call_text(&q, "ListDeadLetterSourceQueuesResult.QueueUrl"), f.q.url);
    assert_int_equal(move_flow_cancel(&f), 200); /* a handle is the same in both */
    query_call_clean_up(&q);
    move_flow_end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_tasks_of_a_source_are_remembered),    cmocka_unit_test(no_more_than_a_hundred_tasks_run),
        cmocka_unit_test(refusals_are_those_recorded_against_aws), cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(the_query_protocol_has_them_too),
    };
    return cmocka_run_group_tests_name("local/sqs move tasks refused", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
