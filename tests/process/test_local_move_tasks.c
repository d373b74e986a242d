/* Message move tasks of fanout-local's SQS: what they move and how fast, how they end, what is refused, and that a kill
 * or an undone transaction leaves each message in exactly one queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/dead_letters.h"
#include "lib/query_call.h"
#include "lib/shared.h"
#include "lib/tmp.h"

#define ALL      ", \"AttributeNames\": [\"All\"]"
#define TEN      ", \"MaxNumberOfMessages\": 10"
#define AWAIT_MS 10000

/* A queue, its dead letters, and another queue; what is asked about tasks goes through dead.call. */
struct flow {
    struct local_queue q, dead, other;
    char q_arn[DEAD_LETTERS_ARN], dead_arn[DEAD_LETTERS_ARN], other_arn[DEAD_LETTERS_ARN];
    char handle[400]; /* of the task started last */
};

static void
begin(struct flow *f)
{
    local_queue_make(&f->dead, "{\"VisibilityTimeout\": \"0\"}");
    dead_letters_make(&f->q, &f->dead, 1, "");
    local_queue_make(&f->other, "{\"VisibilityTimeout\": \"0\"}");
    dead_letters_arn(f->q.url, f->q_arn);
    dead_letters_arn(f->dead.url, f->dead_arn);
    dead_letters_arn(f->other.url, f->other_arn);
}

static void
end(struct flow *f)
{
    local_queue_drop(&f->q);
    local_queue_drop(&f->dead);
    local_queue_drop(&f->other);
}

/* Starts a task on the dead letters; more: ", \"DestinationArn\": ...". */
static void
start(struct flow *f, const char *more)
{
    struct aws_call *c = &f->dead.call;
    if (dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\"%s", f->dead_arn, more) != 200)
        fail_msg("StartMessageMoveTask: %d %s: %s", c->status, c->error, c->message);
    assert_true(aws_call_text(c, "TaskHandle", f->handle, sizeof f->handle));
}

static void
start_to_other(struct flow *f, const char *more)
{
    char members[300];
    snprintf(members, sizeof members, ", \"DestinationArn\": \"%s\"%s", f->other_arn, more);
    start(f, members);
}

/* What ListMessageMoveTasks says of the newest task. */
static const char *
task(struct flow *f, const char *member)
{
    char path[80];
    snprintf(path, sizeof path, "Results.0.%s", member);
    assert_int_equal(dead_letters_call(&f->dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f->dead_arn),
                     200);
    return local_queue_text(&f->dead, path);
}

/* The number of messages moved, once the server has done what is due now: a turn does that behind its calls. */
static int
moved(struct flow *f)
{
    task(f, "Status");
    return atoi(task(f, "ApproximateNumberOfMessagesMoved"));
}

static void
assert_task(struct flow *f, const char *status, int n_moved, int to_move)
{
    assert_int_equal(moved(f), n_moved);
    assert_string_equal(task(f, "Status"), status);
    assert_int_equal(atoi(local_queue_text(&f->dead, "Results.0.ApproximateNumberOfMessagesToMove")), to_move);
}

static bool
has(struct flow *f, const char *member)
{
    char path[80];
    struct json value;
    snprintf(path, sizeof path, "Results.0.%s", member);
    return aws_call_at(&f->dead.call, path, &value);
}

/* ---- where to ---------------------------------------------------------------------------------------------------- */

static void
messages_go_back_to_where_they_came_from_and_begin_anew(void **state)
{
    (void)state;
    struct flow f;
    struct local_queue second;
    char sent[40], id[50];
    begin(&f);
    dead_letters_make(&second, &f.dead, 1, "");
    dead_letters_bury(&f.q, "first", 2);
    dead_letters_bury(&second, "second", 3);
    assert_int_equal(local_queue_receive(&f.dead, ALL), 1);
    snprintf(id, sizeof id, "%s", local_queue_text(&f.dead, "Messages.0.MessageId"));
    snprintf(sent, sizeof sent, "%s", local_queue_text(&f.dead, "Messages.0.Attributes.SentTimestamp"));
    local_server_pass(&local_fixture, 5000);
    start(&f, "");
    local_queue_assert_counts(&f.dead, 0, 0, 0); /* the answer comes behind the first step */
    local_queue_assert_counts(&f.q, 2, 0, 0);
    local_queue_assert_counts(&second, 3, 0, 0);
    assert_task(&f, "COMPLETED", 5, 5);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.SourceArn"), f.dead_arn);
    assert_false(has(&f, "TaskHandle") || has(&f, "DestinationArn") || has(&f, "FailureReason") ||
                 has(&f, "MaxNumberOfMessagesPerSecond"));

    assert_int_equal(local_queue_receive(&f.q, ALL), 1);
    assert_memory_equal(local_queue_text(&f.q, "Messages.0.Body"), "first-", 6);
    assert_string_equal(local_queue_text(&f.q, "Messages.0.Attributes.ApproximateReceiveCount"), "1");
    assert_string_not_equal(local_queue_text(&f.q, "Messages.0.MessageId"), id);
    assert_true(atoll(local_queue_text(&f.q, "Messages.0.Attributes.SentTimestamp")) == atoll(sent) + 5000);
    assert_false(aws_call_text(&f.q.call, "Messages.0.Attributes.DeadLetterQueueSourceArn", sent, sizeof sent));
    assert_int_equal(local_queue_receive(&f.q, TEN), 1); /* the other; the one received twice is a dead letter again */
    local_queue_assert_counts(&f.dead, 1, 0, 0);
    local_queue_drop(&second);
    end(&f);
}

static void
a_destination_takes_all_wherever_they_came_from(void **state)
{
    (void)state;
    struct flow f;
    struct aws_call waiting;
    begin(&f);
    dead_letters_bury(&f.q, "m", 2);
    local_queue_send(&f.dead, "sent by hand");
    local_queue_begin_wait(&f.other, &waiting, 20, 1);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 500");
    assert_int_equal(local_queue_end_wait(&waiting), 1); /* it is served at once */
    local_server_pass(&local_fixture, 4);
    assert_task(&f, "COMPLETED", 3, 3);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.DestinationArn"), f.other_arn);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.MaxNumberOfMessagesPerSecond"), "500");
    local_queue_assert_counts(&f.other, 3, 0, 0);
    local_queue_assert_counts(&f.q, 0, 0, 0);
    end(&f);
}

static void
only_what_is_visible_is_moved(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 4);
    assert_int_equal(local_queue_receive(&f.dead, ", \"VisibilityTimeout\": 30"), 1);
    local_queue_ok(&f.dead, "SendMessage", ", \"MessageBody\": \"later\", \"DelaySeconds\": 30");
    local_queue_ok(&f.other, "SetQueueAttributes", ", \"Attributes\": {\"DelaySeconds\": \"10\"}");
    start_to_other(&f, "");
    assert_task(&f, "COMPLETED", 3, 3);
    local_queue_assert_counts(&f.dead, 0, 1, 1);
    local_queue_assert_counts(&f.other, 0, 0, 3);
    local_server_pass(&local_fixture, 30000);
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    local_queue_assert_counts(&f.other, 3, 0, 0);
    end(&f);
}

static void
what_comes_after_the_start_stays(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 2);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 1);
    dead_letters_bury(&f.q, "n", 2);
    local_server_pass(&local_fixture, 999);
    assert_task(&f, "COMPLETED", 2, 2);
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.dead, "ReceiveMessage", TEN ", \"VisibilityTimeout\": 30"); /* others take what was to be moved */
    local_server_pass(&local_fixture, 1000);
    assert_task(&f, "COMPLETED", 1, 2);
    end(&f);
}

static void
what_is_too_old_is_dropped_on_the_way(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    local_queue_ok(&f.dead, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"60\"}");
    dead_letters_bury(&f.q, "old", 2);
    local_server_pass(&local_fixture, 30000);
    dead_letters_bury(&f.q, "young", 2);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    assert_task(&f, "RUNNING", 1, 4);
    local_server_pass(&local_fixture, 30000); /* one of the old ones is left, and both young ones */
    assert_task(&f, "COMPLETED", 3, 4);
    local_queue_assert_counts(&f.dead, 0, 0, 0);
    local_queue_assert_counts(&f.other, 3, 0, 0);
    end(&f);
}

/* ---- how fast ---------------------------------------------------------------------------------------------------- */

static void
a_rate_is_kept_to_the_millisecond(void **state)
{
    (void)state;
    static const struct {
        int pass_ms, moved;
    } THREE[] = {{0, 1}, {333, 1}, {1, 2}, {332, 2}, {1, 3}, {333, 4}, {2000, 10}, {10000, 12}};
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 12);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 3");
    for (size_t i = 0; i < sizeof THREE / sizeof *THREE; i++) {
        local_server_pass(&local_fixture, THREE[i].pass_ms);
        assert_int_equal(moved(&f), THREE[i].moved);
        local_queue_assert_counts(&f.dead, 12 - THREE[i].moved, 0, 0);
        local_queue_assert_counts(&f.other, THREE[i].moved, 0, 0);
    }
    assert_task(&f, "COMPLETED", 12, 12);
    end(&f);
}

static bool
is_completed(void *flow)
{
    return strcmp(task(flow, "Status"), "COMPLETED") == 0;
}

static void
without_a_rate_time_need_not_pass(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 900);
    start(&f, "");
    assert_true(proc_wait_until(is_completed, &f, AWAIT_MS));
    local_queue_assert_counts(&f.q, 900, 0, 0);
    end(&f);
}

/* ---- how they end ------------------------------------------------------------------------------------------------ */

static int
cancel(struct flow *f)
{
    return dead_letters_call(&f->dead.call, "CancelMessageMoveTask", "\"TaskHandle\": \"%s\"", f->handle);
}

static void
a_cancelled_task_leaves_the_rest(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 10);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 1000);
    assert_task(&f, "RUNNING", 2, 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.TaskHandle"), f.handle);
    assert_int_equal(cancel(&f), 200);
    assert_string_equal(local_queue_text(&f.dead, "ApproximateNumberOfMessagesMoved"), "2");
    assert_task(&f, "CANCELLING", 2, 10);
    assert_false(has(&f, "TaskHandle"));
    assert_int_equal(cancel(&f), 404);
    assert_string_equal(f.dead.call.message, "Task does not exist.");
    assert_int_equal(dead_letters_call(&f.dead.call, "StartMessageMoveTask", "\"SourceArn\": \"%s\"", f.dead_arn), 400);
    local_server_pass(&local_fixture, 1);
    assert_task(&f, "CANCELLED", 2, 10);
    assert_int_equal(cancel(&f), 404);
    local_server_pass(&local_fixture, 10000);
    assert_task(&f, "CANCELLED", 2, 10);
    local_queue_assert_counts(&f.dead, 8, 0, 0);
    local_queue_assert_counts(&f.other, 2, 0, 0);
    start_to_other(&f, "");
    assert_task(&f, "COMPLETED", 8, 8);
    end(&f);
}

static void
a_task_whose_destination_goes_fails(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 10);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.other, "DeleteQueue", "");
    assert_task(&f, "RUNNING", 1, 10);
    local_server_pass(&local_fixture, 1000);
    assert_task(&f, "FAILED", 1, 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"),
                        "AWS.SimpleQueueService.NonExistentQueue");
    assert_false(has(&f, "TaskHandle"));
    local_queue_assert_counts(&f.dead, 9, 0, 0);

    local_queue_send(&f.dead, "sent by hand");
    start(&f, "");
    assert_task(&f, "FAILED", 9, 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"), "CouldNotDetermineMessageSource");
    local_queue_assert_counts(&f.dead, 1, 0, 0);
    local_queue_assert_counts(&f.q, 9, 0, 0);
    aws_call_clean_up(&f.other.call);
    local_queue_drop(&f.q);
    local_queue_drop(&f.dead);
}

static void
a_task_whose_origin_is_gone_fails(void **state)
{
    (void)state;
    struct flow f;
    struct local_queue second;
    begin(&f);
    dead_letters_make(&second, &f.dead, 1, "");
    dead_letters_bury(&second, "m", 2);
    local_queue_drop(&second);
    start(&f, "");
    assert_task(&f, "FAILED", 0, 2);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"),
                        "AWS.SimpleQueueService.NonExistentQueue");
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    end(&f);
}

static void
a_source_may_be_purged_or_deleted_meanwhile(void **state)
{
    (void)state;
    struct flow f;
    char name[80], url[200];
    begin(&f);
    dead_letters_bury(&f.q, "m", 10);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.dead, "PurgeQueue", "");
    local_server_pass(&local_fixture, 1000);
    assert_task(&f, "COMPLETED", 1, 10);
    dead_letters_bury(&f.q, "n", 10);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.dead, "DeleteQueue", "");
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(dead_letters_call(&f.q.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f.dead_arn), 404);
    local_queue_assert_counts(&f.other, 2, 0, 0);
    assert_int_equal(cancel(&f), 404);
    local_server_pass(&local_fixture, 60000);
    snprintf(name, sizeof name, "%s", strrchr(f.dead.url, '/') + 1);
    local_server_queue(&local_fixture, name, "{}", url, sizeof url);
    assert_int_equal(dead_letters_call(&f.dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f.dead_arn), 200);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 0); /* another queue of that name */
    assert_int_equal(aws_call_count(&f.dead.call, ""), 1);
    local_queue_assert_counts(&f.other, 2, 0, 0);
    end(&f);
}

static void
a_task_ends_after_36_hours(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    dead_letters_bury(&f.q, "m", 3);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, INT64_C(36) * 3600 * 1000);
    assert_task(&f, "FAILED", 1, 3);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"), "Timeout");
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    end(&f);
}

/* ---- what is refused, and listed --------------------------------------------------------------------------------- */

static void
ten_tasks_of_a_source_are_remembered(void **state)
{
    (void)state;
    struct flow f;
    begin(&f);
    assert_int_equal(dead_letters_call(&f.dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f.dead_arn), 200);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 0);
    for (int i = 1; i <= 12; i++) {
        char more[80];
        snprintf(more, sizeof more, ", \"MaxNumberOfMessagesPerSecond\": %d", i);
        start(&f, more);
        assert_task(&f, "COMPLETED", 0, 0);
        local_server_pass(&local_fixture, 1);
    }
    assert_int_equal(atoi(task(&f, "MaxNumberOfMessagesPerSecond")), 12);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 1);
    dead_letters_call(&f.dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\", \"MaxResults\": 10", f.dead_arn);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.9.MaxNumberOfMessagesPerSecond"), "3");
    int64_t newest = atoll(local_queue_text(&f.dead, "Results.0.StartedTimestamp"));
    assert_true(newest == atoll(local_queue_text(&f.dead, "Results.9.StartedTimestamp")) + 9);
    end(&f);
}

static void
no_more_than_a_hundred_tasks_run(void **state)
{
    (void)state;
    struct flow *flows = calloc(101, sizeof *flows);
    for (int i = 0; i <= 100; i++) {
        begin(&flows[i]);
        dead_letters_bury(&flows[i].q, "m", 2);
        if (i < 100)
            start(&flows[i], ", \"MaxNumberOfMessagesPerSecond\": 1");
    }
    struct flow *last = &flows[100];
    assert_int_equal(
        dead_letters_call(&last->dead.call, "StartMessageMoveTask", "\"SourceArn\": \"%s\"", last->dead_arn), 403);
    assert_string_equal(last->dead.call.error, "RequestThrottled");
    local_server_pass(&local_fixture, 1000);
    for (int i = 0; i < 100; i++)
        assert_task(&flows[i], "COMPLETED", 2, 2);
    start(last, "");
    for (int i = 0; i <= 100; i++)
        end(&flows[i]);
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
        assert_true(json_get(it.value, "code", &code) && json_get(it.value, "message", &message) &&
                    json_get(it.value, "http", &status) && json_int64(status, &http));
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
    struct flow f;
    if (!shared_read("data/sqs.observed-errors.json", &text)) {
        print_message("skipped: no ../shared/data/sqs.observed-errors.json\n");
        skip();
    }
    assert_int_equal(json_parse(buf_slice(&text), &all, NULL), 0);
    assert_true(json_get(all, "rows", &rows));
    begin(&f);
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
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\", \"DestinationArn\": \"%s\"", f.dead_arn,
                      f.other_arn);
    assert_recorded(&rows, c, "test_start_multiple_move_tasks");
    end(&f);
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
    struct flow f;
    struct query_call q;
    begin(&f);
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
    assert_int_equal(cancel(&f), 200); /* a handle is the same in both */
    query_call_clean_up(&q);
    end(&f);
}

/* ---- what they survive ------------------------------------------------------------------------------------------- */

/* The calls go to the server that was started again. */
static void
reconnect(struct flow *f)
{
    struct local_queue *queues[] = {&f->q, &f->dead, &f->other};
    for (size_t i = 0; i < 3; i++) {
        aws_call_clean_up(&queues[i]->call);
        aws_call_init(&queues[i]->call, local_fixture.url);
    }
}

/* Counts each message "m-I" that q holds, and deletes it. */
static int
take_all(struct local_queue *q, int *seen)
{
    char path[60], settle[300];
    int total = 0;
    for (size_t n; (n = local_queue_receive(q, TEN)) > 0; total += (int)n) {
        struct buf members = BUF_INIT;
        buf_add_string(&members, ", \"Entries\": [");
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            seen[atoi(local_queue_text(q, path) + 2)]++;
            snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
            snprintf(settle, sizeof settle, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"}", i ? "," : "", i,
                     local_queue_text(q, path));
            buf_add_string(&members, settle);
        }
        buf_add_char(&members, ']');
        local_queue_ok(q, "DeleteMessageBatch", members.data);
        buf_clean_up(&members);
    }
    return total;
}

static void
assert_each_once(const int *seen, int n)
{
    for (int i = 0; i < n; i++)
        if (seen[i] != 1)
            fail_msg("m-%d is there %d times", i, seen[i]);
}

static void
a_killed_server_goes_on_with_its_tasks_at_their_rate(void **state)
{
    (void)state;
    struct flow f;
    int seen[40] = {0};
    begin(&f);
    dead_letters_bury(&f.q, "m", 40);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 2");
    local_server_pass(&local_fixture, 5000);
    assert_task(&f, "RUNNING", 11, 40);
    local_server_kill(&local_fixture);
    local_server_pass(&local_fixture, 7000); /* nothing is made up for */
    local_server_restart(&local_fixture);
    reconnect(&f);
    assert_task(&f, "RUNNING", 12, 40);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.TaskHandle"), f.handle);
    local_queue_assert_counts(&f.dead, 28, 0, 0);
    local_queue_assert_counts(&f.other, 12, 0, 0);
    local_server_pass(&local_fixture, 499);
    assert_task(&f, "RUNNING", 12, 40);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    reconnect(&f);
    assert_task(&f, "RUNNING", 12, 40);
    local_server_pass(&local_fixture, 1);
    assert_task(&f, "RUNNING", 13, 40);
    assert_int_equal(cancel(&f), 200);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    reconnect(&f);
    local_server_pass(&local_fixture, 1);
    assert_task(&f, "CANCELLED", 13, 40);
    local_queue_assert_counts(&f.dead, 27, 0, 0);
    assert_int_equal(take_all(&f.dead, seen) + take_all(&f.other, seen), 40);
    assert_each_once(seen, 40);
    end(&f);
}

static bool
is_idle(void *flow)
{
    struct flow *f = flow;
    const char *const arns[] = {f->dead_arn, f->other_arn};
    bool idle = true;
    for (size_t i = 0; i < 2; i++) {
        dead_letters_call(&f->dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", arns[i]);
        idle = idle && strcmp(local_queue_text(&f->dead, "Results.0.Status"), "RUNNING") != 0;
    }
    return idle;
}

#define KILLED 2000
#define KILLS  4

/* Without a rate, killed as soon as it has moved some, and before it has answered. */
static void
each_message_is_in_one_queue_whenever_the_server_is_killed(void **state)
{
    (void)state;
    struct flow f;
    static int seen[KILLED];
    begin(&f);
    dead_letters_bury(&f.q, "m", KILLED);
    for (int i = 0; i < KILLS; i++) {
        char body[500];
        bool forth = i % 2 == 0; /* to and fro */
        snprintf(body, sizeof body, "{\"SourceArn\": \"%s\", \"DestinationArn\": \"%s\"}",
                 forth ? f.dead_arn : f.other_arn, forth ? f.other_arn : f.dead_arn);
        assert_true(aws_call_begin(&f.q.call, "sqs", "AmazonSQS.StartMessageMoveTask", slice_of_string(body)));
        if (i < 2)
            assert_int_equal(aws_call_finish(&f.q.call), 200);
        local_server_kill(&local_fixture);
        local_server_restart(&local_fixture);
        reconnect(&f);
        if (i == 0) {
            char attributes[300]; /* the other queue may be emptied, too */
            snprintf(attributes, sizeof attributes,
                     ", \"Attributes\": {\"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":\\\"%s\\\","
                     "\\\"maxReceiveCount\\\":1}\"}",
                     f.other_arn);
            local_queue_ok(&f.q, "SetQueueAttributes", attributes);
        }
    }
    assert_true(proc_wait_until(is_idle, &f, AWAIT_MS));
    assert_int_equal(take_all(&f.dead, seen) + take_all(&f.other, seen), KILLED);
    assert_each_once(seen, KILLED);
    end(&f);
}

static void
change_database(const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    local_server_stop(&local_fixture);
    assert_int_equal(sqlite3_open(tmp_path(local_fixture.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    local_server_restart(&local_fixture);
}

/* The task's third step cannot be written: what it moved is where it was, counts and calls are as if it had not been,
 * and it is done once it can be. */
static void
a_step_that_fails_is_undone_and_done_again(void **state)
{
    (void)state;
    struct flow f;
    int seen[6] = {0};
    begin(&f);
    dead_letters_bury(&f.q, "m", 6);
    change_database("CREATE TRIGGER stop BEFORE UPDATE ON sqs_move WHEN NEW.moved >= 3 BEGIN"
                    " SELECT RAISE(ABORT, 'not three'); END");
    reconnect(&f);
    start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(moved(&f), 2);
    for (int i = 0; i < 5; i++) {
        local_server_pass(&local_fixture, 1000);
        local_queue_send(&f.q, "m");
        assert_int_equal(moved(&f), 2);
        local_queue_assert_counts(&f.dead, 4, 0, 0);
        local_queue_assert_counts(&f.other, 2, 0, 0);
        local_queue_assert_counts(&f.q, i + 1, 0, 0);
    }
    change_database("DROP TRIGGER stop");
    reconnect(&f);
    assert_int_equal(moved(&f), 3);
    local_server_pass(&local_fixture, 3000);
    assert_task(&f, "COMPLETED", 6, 6);
    local_queue_assert_counts(&f.dead, 0, 0, 0);
    local_queue_assert_counts(&f.other, 6, 0, 0);
    assert_int_equal(take_all(&f.other, seen), 6);
    assert_each_once(seen, 6);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_back_to_where_they_came_from_and_begin_anew),
        cmocka_unit_test(a_destination_takes_all_wherever_they_came_from),
        cmocka_unit_test(only_what_is_visible_is_moved),
        cmocka_unit_test(what_comes_after_the_start_stays),
        cmocka_unit_test(what_is_too_old_is_dropped_on_the_way),
        cmocka_unit_test(a_rate_is_kept_to_the_millisecond),
        cmocka_unit_test(without_a_rate_time_need_not_pass),
        cmocka_unit_test(a_cancelled_task_leaves_the_rest),
        cmocka_unit_test(a_task_whose_destination_goes_fails),
        cmocka_unit_test(a_task_whose_origin_is_gone_fails),
        cmocka_unit_test(a_source_may_be_purged_or_deleted_meanwhile),
        cmocka_unit_test(a_task_ends_after_36_hours),
        cmocka_unit_test(ten_tasks_of_a_source_are_remembered),
        cmocka_unit_test(no_more_than_a_hundred_tasks_run),
        cmocka_unit_test(refusals_are_those_recorded_against_aws),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(the_query_protocol_has_them_too),
        cmocka_unit_test(a_killed_server_goes_on_with_its_tasks_at_their_rate),
        cmocka_unit_test(each_message_is_in_one_queue_whenever_the_server_is_killed),
        cmocka_unit_test(a_step_that_fails_is_undone_and_done_again),
    };
    return cmocka_run_group_tests_name("local/sqs move tasks", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
