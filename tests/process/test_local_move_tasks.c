/* Message move tasks of fanout-local's SQS: what they move and how fast, and how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/move_flow.h"

#define ALL      ", \"AttributeNames\": [\"All\"]"
#define TEN      ", \"MaxNumberOfMessages\": 10"
#define AWAIT_MS 10000

/* ---- where to ---------------------------------------------------------------------------------------------------- */

static void
messages_go_back_to_where_they_came_from_and_begin_anew(void **state)
{
    (void)state;
    struct move_flow f;
    struct local_queue second;
    char sent[40], id[50];
    move_flow_begin(&f);
    dead_letters_make(&second, &f.dead, 1, "");
    dead_letters_bury(&f.q, "first", 2);
    dead_letters_bury(&second, "second", 3);
    assert_int_equal(local_queue_receive(&f.dead, ALL), 1);
    snprintf(id, sizeof id, "%s", local_queue_text(&f.dead, "Messages.0.MessageId"));
    snprintf(sent, sizeof sent, "%s", local_queue_text(&f.dead, "Messages.0.Attributes.SentTimestamp"));
    local_server_pass(&local_fixture, 5000);
    move_flow_start(&f, "");
    local_queue_assert_counts(&f.dead, 0, 0, 0); /* the answer comes behind the first step */
    local_queue_assert_counts(&f.q, 2, 0, 0);
    local_queue_assert_counts(&second, 3, 0, 0);
    move_flow_assert(&f, "COMPLETED", 5, 5);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.SourceArn"), f.dead_arn);
    assert_false(move_flow_has(&f, "TaskHandle") || move_flow_has(&f, "DestinationArn") ||
                 move_flow_has(&f, "FailureReason") || move_flow_has(&f, "MaxNumberOfMessagesPerSecond"));

    assert_int_equal(local_queue_receive(&f.q, ALL), 1);
    assert_memory_equal(local_queue_text(&f.q, "Messages.0.Body"), "first-", 6);
    assert_string_equal(local_queue_text(&f.q, "Messages.0.Attributes.ApproximateReceiveCount"), "1");
    assert_string_not_equal(local_queue_text(&f.q, "Messages.0.MessageId"), id);
    assert_true(atoll(local_queue_text(&f.q, "Messages.0.Attributes.SentTimestamp")) == atoll(sent) + 5000);
    assert_false(aws_call_text(&f.q.call, "Messages.0.Attributes.DeadLetterQueueSourceArn", sent, sizeof sent));
    assert_int_equal(local_queue_receive(&f.q, TEN), 1); /* the other; the one received twice is a dead letter again */
    local_queue_assert_counts(&f.dead, 1, 0, 0);
    local_queue_drop(&second);
    move_flow_end(&f);
}

static void
a_destination_takes_all_wherever_they_came_from(void **state)
{
    (void)state;
    struct move_flow f;
    struct aws_call waiting;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 2);
    local_queue_send(&f.dead, "sent by hand");
    local_queue_begin_wait(&f.other, &waiting, 20, 1);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 500");
    assert_int_equal(local_queue_end_wait(&waiting), 1); /* it is served at once */
    local_server_pass(&local_fixture, 4);
    move_flow_assert(&f, "COMPLETED", 3, 3);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.DestinationArn"), f.other_arn);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.MaxNumberOfMessagesPerSecond"), "500");
    local_queue_assert_counts(&f.other, 3, 0, 0);
    local_queue_assert_counts(&f.q, 0, 0, 0);
    move_flow_end(&f);
}

static void
only_what_is_visible_is_moved(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 4);
    assert_int_equal(local_queue_receive(&f.dead, ", \"VisibilityTimeout\": 30"), 1);
    local_queue_ok(&f.dead, "SendMessage", ", \"MessageBody\": \"later\", \"DelaySeconds\": 30");
    local_queue_ok(&f.other, "SetQueueAttributes", ", \"Attributes\": {\"DelaySeconds\": \"10\"}");
    move_flow_start_to_other(&f, "");
    move_flow_assert(&f, "COMPLETED", 3, 3);
    local_queue_assert_counts(&f.dead, 0, 1, 1);
    local_queue_assert_counts(&f.other, 0, 0, 3);
    local_server_pass(&local_fixture, 30000);
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    local_queue_assert_counts(&f.other, 3, 0, 0);
    move_flow_end(&f);
}

static void
what_comes_after_the_start_stays(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 2);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 1);
    dead_letters_bury(&f.q, "n", 2);
    local_server_pass(&local_fixture, 999);
    move_flow_assert(&f, "COMPLETED", 2, 2);
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.dead, "ReceiveMessage", TEN ", \"VisibilityTimeout\": 30"); /* others take what was to be moved */
    local_server_pass(&local_fixture, 1000);
    move_flow_assert(&f, "COMPLETED", 1, 2);
    move_flow_end(&f);
}

static void
what_is_too_old_is_dropped_on_the_way(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    local_queue_ok(&f.dead, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"60\"}");
    dead_letters_bury(&f.q, "old", 2);
    local_server_pass(&local_fixture, 30000);
    dead_letters_bury(&f.q, "young", 2);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    move_flow_assert(&f, "RUNNING", 1, 4);
    local_server_pass(&local_fixture, 30000); /* one of the old ones is left, and both young ones */
    move_flow_assert(&f, "COMPLETED", 3, 4);
    local_queue_assert_counts(&f.dead, 0, 0, 0);
    local_queue_assert_counts(&f.other, 3, 0, 0);
    move_flow_end(&f);
}

#define FIFO ", \"FifoQueue\": \"true\""

/* The bodies that a receive brings, with spaces between, are as expected. */
static void
assert_takes(struct local_queue *q, const char *expected)
{
    struct buf bodies = BUF_INIT;
    char path[40];
    size_t n = local_queue_receive(q, TEN ", \"VisibilityTimeout\": 30");
    buf_add_string(&bodies, "");
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "Messages.%zu.Body", i);
        buf_add_format(&bodies, "%s%s", i ? " " : "", local_queue_text(q, path));
    }
    assert_string_equal(bodies.data ? bodies.data : "", expected);
    buf_clean_up(&bodies);
}

static void
send_in_group(struct local_queue *q, const char *group, const char *body)
{
    char members[300];
    snprintf(members, sizeof members,
             ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\", \"MessageDeduplicationId\": \"%s\"", body, group,
             body);
    local_queue_ok(q, "SendMessage", members);
}

static void
groups_are_moved_in_order_and_wait_for_what_is_in_flight(void **state)
{
    (void)state;
    struct move_flow f;
    char number[40];
    local_queue_make(&f.dead, "{\"VisibilityTimeout\": \"0\"" FIFO "}");
    dead_letters_make(&f.q, &f.dead, 1, FIFO);
    local_queue_make(&f.other, "{\"VisibilityTimeout\": \"0\"}");
    dead_letters_arn(f.q.url, f.q_arn);
    dead_letters_arn(f.dead.url, f.dead_arn);
    dead_letters_arn(f.other.url, f.other_arn);
    static const char *const SENT[] = {"a1", "b1", "a2", "b2", "a3"};
    for (size_t i = 0; i < 5; i++)
        send_in_group(&f.q, SENT[i][0] == 'a' ? "a" : "b", SENT[i]);
    assert_int_equal(local_queue_receive(&f.q, TEN), 5);
    assert_int_equal(local_queue_receive(&f.q, TEN), 0);
    local_queue_assert_counts(&f.dead, 5, 0, 0);
    assert_int_equal(dead_letters_call(&f.dead.call, "StartMessageMoveTask",
                                       "\"SourceArn\": \"%s\", \"DestinationArn\": \"%s\"", f.dead_arn, f.other_arn),
                     400);
    assert_string_equal(f.dead.call.message, "The source queue and destination queue must be of the same queue type.");

    assert_int_equal(local_queue_receive(&f.dead, ", \"VisibilityTimeout\": 30" ALL), 1);
    assert_string_equal(local_queue_text(&f.dead, "Messages.0.Body"), "a1");
    snprintf(number, sizeof number, "%s", local_queue_text(&f.dead, "Messages.0.Attributes.SequenceNumber"));
    move_flow_start(&f, "");
    move_flow_assert(&f, "COMPLETED", 2, 4);
    local_queue_assert_counts(&f.dead, 2, 1, 0);
    assert_takes(&f.q, "b1 b2");
    local_server_pass(&local_fixture, 30000);
    move_flow_start(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 2000);
    move_flow_assert(&f, "COMPLETED", 3, 3);
    local_queue_assert_counts(&f.dead, 0, 0, 0);
    assert_int_equal(local_queue_receive(&f.q, ALL), 1);
    assert_string_equal(local_queue_text(&f.q, "Messages.0.Body"), "a1");
    assert_string_equal(local_queue_text(&f.q, "Messages.0.Attributes.ApproximateReceiveCount"), "1");
    assert_string_equal(local_queue_text(&f.q, "Messages.0.Attributes.MessageGroupId"), "a");
    assert_true(strcmp(local_queue_text(&f.q, "Messages.0.Attributes.SequenceNumber"), number) > 0);
    assert_false(aws_call_text(&f.q.call, "Messages.0.Attributes.DeadLetterQueueSourceArn", number, sizeof number));
    local_queue_ok(&f.q, "SetQueueAttributes", ", \"Attributes\": {\"RedrivePolicy\": \"\"}");
    assert_takes(&f.q, "a1 a2 a3");
    move_flow_end(&f);
}

/* ---- how fast ---------------------------------------------------------------------------------------------------- */

static void
a_rate_is_kept_to_the_millisecond(void **state)
{
    (void)state;
    static const struct {
        int pass_ms, moved;
    } THREE[] = {{0, 1}, {333, 1}, {1, 2}, {332, 2}, {1, 3}, {333, 4}, {2000, 10}, {10000, 12}};
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 12);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 3");
    for (size_t i = 0; i < sizeof THREE / sizeof *THREE; i++) {
        local_server_pass(&local_fixture, THREE[i].pass_ms);
        assert_int_equal(move_flow_moved(&f), THREE[i].moved);
        local_queue_assert_counts(&f.dead, 12 - THREE[i].moved, 0, 0);
        local_queue_assert_counts(&f.other, THREE[i].moved, 0, 0);
    }
    move_flow_assert(&f, "COMPLETED", 12, 12);
    move_flow_end(&f);
}

static bool
is_completed(void *flow)
{
    return strcmp(move_flow_task(flow, "Status"), "COMPLETED") == 0;
}

static void
without_a_rate_time_need_not_pass(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 900);
    move_flow_start(&f, "");
    assert_true(proc_wait_until(is_completed, &f, AWAIT_MS));
    local_queue_assert_counts(&f.q, 900, 0, 0);
    move_flow_end(&f);
}

/* ---- how they end ------------------------------------------------------------------------------------------------ */

static void
a_cancelled_task_leaves_the_rest(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 10);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 1000);
    move_flow_assert(&f, "RUNNING", 2, 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.TaskHandle"), f.handle);
    assert_int_equal(move_flow_cancel(&f), 200);
    assert_string_equal(local_queue_text(&f.dead, "ApproximateNumberOfMessagesMoved"), "2");
    move_flow_assert(&f, "CANCELLING", 2, 10);
    assert_false(move_flow_has(&f, "TaskHandle"));
    assert_int_equal(move_flow_cancel(&f), 404);
    assert_string_equal(f.dead.call.message, "Task does not exist.");
    assert_int_equal(dead_letters_call(&f.dead.call, "StartMessageMoveTask", "\"SourceArn\": \"%s\"", f.dead_arn), 400);
    local_server_pass(&local_fixture, 1);
    move_flow_assert(&f, "CANCELLED", 2, 10);
    assert_int_equal(move_flow_cancel(&f), 404);
    local_server_pass(&local_fixture, 10000);
    move_flow_assert(&f, "CANCELLED", 2, 10);
    local_queue_assert_counts(&f.dead, 8, 0, 0);
    local_queue_assert_counts(&f.other, 2, 0, 0);
    move_flow_start_to_other(&f, "");
    move_flow_assert(&f, "COMPLETED", 8, 8);
    move_flow_end(&f);
}

static void
a_task_whose_destination_goes_fails(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 10);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.other, "DeleteQueue", "");
    move_flow_assert(&f, "RUNNING", 1, 10);
    local_server_pass(&local_fixture, 1000);
    move_flow_assert(&f, "FAILED", 1, 10);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"),
                        "AWS.SimpleQueueService.NonExistentQueue");
    assert_false(move_flow_has(&f, "TaskHandle"));
    local_queue_assert_counts(&f.dead, 9, 0, 0);

    local_queue_send(&f.dead, "sent by hand");
    move_flow_start(&f, "");
    move_flow_assert(&f, "FAILED", 9, 10);
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
    struct move_flow f;
    struct local_queue second;
    move_flow_begin(&f);
    dead_letters_make(&second, &f.dead, 1, "");
    dead_letters_bury(&second, "m", 2);
    local_queue_drop(&second);
    move_flow_start(&f, "");
    move_flow_assert(&f, "FAILED", 0, 2);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"),
                        "AWS.SimpleQueueService.NonExistentQueue");
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    move_flow_end(&f);
}

static void
a_source_may_be_purged_or_deleted_meanwhile(void **state)
{
    (void)state;
    struct move_flow f;
    char name[80], url[200];
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 10);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.dead, "PurgeQueue", "");
    local_server_pass(&local_fixture, 1000);
    move_flow_assert(&f, "COMPLETED", 1, 10);
    dead_letters_bury(&f.q, "n", 10);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_queue_ok(&f.dead, "DeleteQueue", "");
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(dead_letters_call(&f.q.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f.dead_arn), 404);
    local_queue_assert_counts(&f.other, 2, 0, 0);
    assert_int_equal(move_flow_cancel(&f), 404);
    local_server_pass(&local_fixture, 60000);
    snprintf(name, sizeof name, "%s", strrchr(f.dead.url, '/') + 1);
    local_server_queue(&local_fixture, name, "{}", url, sizeof url);
    assert_int_equal(dead_letters_call(&f.dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", f.dead_arn), 200);
    assert_int_equal(aws_call_count(&f.dead.call, "Results"), 0); /* another queue of that name */
    assert_int_equal(aws_call_count(&f.dead.call, ""), 1);
    local_queue_assert_counts(&f.other, 2, 0, 0);
    move_flow_end(&f);
}

static void
a_task_ends_after_36_hours(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 3);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, INT64_C(36) * 3600 * 1000);
    move_flow_assert(&f, "FAILED", 1, 3);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.FailureReason"), "Timeout");
    local_queue_assert_counts(&f.dead, 2, 0, 0);
    move_flow_end(&f);
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
        cmocka_unit_test(groups_are_moved_in_order_and_wait_for_what_is_in_flight),
        cmocka_unit_test(a_rate_is_kept_to_the_millisecond),
        cmocka_unit_test(without_a_rate_time_need_not_pass),
        cmocka_unit_test(a_cancelled_task_leaves_the_rest),
        cmocka_unit_test(a_task_whose_destination_goes_fails),
        cmocka_unit_test(a_task_whose_origin_is_gone_fails),
        cmocka_unit_test(a_source_may_be_purged_or_deleted_meanwhile),
        cmocka_unit_test(a_task_ends_after_36_hours),
    };
    return cmocka_run_group_tests_name("local/sqs move tasks", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
