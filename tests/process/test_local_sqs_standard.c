/* What standard queues of fanout-local promise beyond the life of a message (test_local_sqs.c): the instants at which
 * long polls end, caps, what changed settings do to messages that are there, purges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"

static void
copy_handle(struct local_queue *q, size_t i, char out[200])
{
    char path[60];
    snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
    snprintf(out, 200, "%s", local_queue_text(q, path));
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

/* Every second something else becomes due: in the server's own time, it is received in the millisecond it was due in.
 */
static void
what_becomes_due_is_received_in_that_millisecond(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting;
    char handle[200], text[64];
    local_queue_make(&q, "{\"VisibilityTimeout\": \"3\"}");
    local_queue_send(&q, "invisible");
    local_queue_receive(&q, "");
    int64_t received_ms = clock_wall_ms();
    copy_handle(&q, 0, handle);
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"delayed\", \"DelaySeconds\": 5");
    for (int i = 0; i < 2; i++) { /* at 3 s the invisible one, at 5 s the delayed one */
        static const int64_t DUE_MS[] = {3000, 5000};
        static const char *const BODY[] = {"invisible", "delayed"};
        aws_call_init(&waiting, local_fixture.url);
        snprintf(text, sizeof text, "20");
        char body[400];
        snprintf(body, sizeof body,
                 "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": %s, \"VisibilityTimeout\": 100, \"AttributeNames\":"
                 " [\"All\"]}",
                 q.url, text);
        assert_true(aws_call_begin(&waiting, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
        local_server_await_waiting(&local_fixture, q.url, 1);
        local_server_pass(&local_fixture, received_ms + DUE_MS[i] - 1 - clock_wall_ms());
        assert_int_equal(local_server_waiting(&local_fixture, q.url), 1);
        assert_int_equal(local_server_waiting(&local_fixture, q.url), 1); /* a turn at that time has been */
        local_server_pass(&local_fixture, 1);
        assert_int_equal(aws_call_finish(&waiting), 200);
        assert_true(aws_call_text(&waiting, "Messages.0.Body", text, sizeof text));
        assert_string_equal(text, BODY[i]);
        aws_call_clean_up(&waiting);
    }
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 1"); /* received again since */
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_queue_drop(&q);
}

static void
begin_wait_for_one(struct local_queue *q, struct aws_call *c, int wait_s, long nth)
{
    char body[300];
    aws_call_init(c, local_fixture.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": %d}", q->url, wait_s);
    assert_true(aws_call_begin(c, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    local_server_await_waiting(&local_fixture, q->url, nth);
}

static void
messages_due_at_once_go_to_those_who_came_first(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting[4];
    local_queue_make(&q, "{\"VisibilityTimeout\": \"4\"}");
    local_queue_send_many(&q, 2, "m", "");
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 2);
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\", \"DelaySeconds\": 4");
    begin_wait_for_one(&q, &waiting[0], 20, 1);
    begin_wait_for_one(&q, &waiting[1], 4, 2); /* its time is over as the messages are due: it gets one all the same */
    begin_wait_for_one(&q, &waiting[2], 20, 3);
    begin_wait_for_one(&q, &waiting[3], 20, 4);
    local_server_pass(&local_fixture, 4000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(local_queue_end_wait(&waiting[i]), 1);
    assert_false(local_queue_is_answered(&waiting[3]));
    assert_int_equal(local_server_waiting(&local_fixture, q.url), 1);
    local_server_pass(&local_fixture, 4000);
    assert_int_equal(local_queue_end_wait(&waiting[3]), 1);
    local_queue_drop(&q);
}

static void
a_message_that_gets_too_old_while_it_is_delayed_wakes_nobody(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting;
    local_queue_make(&q, "{\"MessageRetentionPeriod\": \"60\"}");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\", \"DelaySeconds\": 61");
    local_server_pass(&local_fixture, 55000);
    local_queue_begin_wait(&q, &waiting, 10, 1);
    local_server_pass(&local_fixture, 7000);
    local_queue_assert_counts(&q, 0, 0, 0);
    assert_int_equal(local_server_waiting(&local_fixture, q.url), 1);
    local_server_pass(&local_fixture, 3000);
    assert_int_equal(local_queue_end_wait(&waiting), 0);
    local_queue_drop(&q);
}

static void
a_receive_without_a_wait_does_not_take_the_queues(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"ReceiveMessageWaitTimeSeconds\": \"20\"}");
    assert_int_equal(local_queue_receive(&q, ", \"WaitTimeSeconds\": 0"), 0); /* the clock stands: it did not wait */
    local_queue_send_many(&q, 3, "m", "");
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 3); /* what there is, at once */
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"ReceiveMessageWaitTimeSeconds\": \"0\"}");
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_queue_drop(&q);
}

/* ---- caps and times ---------------------------------------------------------------------------------------------- */

static void
twelve_hours_from_the_receive_are_the_cap_of_all_extensions(void **state)
{
    (void)state;
    struct local_queue q;
    char handle[200];
    local_queue_make(&q, "{}");
    local_queue_send(&q, "m");
    local_queue_receive(&q, ", \"VisibilityTimeout\": 43200");
    copy_handle(&q, 0, handle);
    for (int h = 0; h < 11; h++) {
        local_server_pass(&local_fixture, INT64_C(3600000));
        local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 3600");
        assert_int_equal(q.call.status, 200);
    }
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 3601");
    assert_string_equal(q.call.message,
                        "Value 3601 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for "
                        "the message is beyond the limit [43200 seconds]");
    local_queue_assert_counts(&q, 0, 1, 0); /* a refusal leaves the message as it was */
    local_server_pass(&local_fixture, INT64_C(3600000) - 1);
    local_queue_assert_counts(&q, 0, 1, 0);
    local_server_pass(&local_fixture, 1);
    local_queue_assert_counts(&q, 1, 0, 0);
    local_queue_receive(&q, ", \"VisibilityTimeout\": 10"); /* the next receive has twelve hours of its own */
    copy_handle(&q, 0, handle);
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 43200");
    assert_int_equal(q.call.status, 200);
    local_queue_drop(&q);
}

static void
changed_times_are_for_later_sends_and_receives(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"DelaySeconds\": \"10\", \"VisibilityTimeout\": \"20\"}");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"taken\", \"DelaySeconds\": 0");
    assert_int_equal(local_queue_receive(&q, ""), 1);
    local_queue_send(&q, "delayed");
    local_queue_ok(&q, "SetQueueAttributes",
                   ", \"Attributes\": {\"DelaySeconds\": \"900\", \"VisibilityTimeout\": \"43200\"}");
    local_queue_send(&q, "delayed for longer");
    local_queue_assert_counts(&q, 0, 1, 2);
    local_server_pass(&local_fixture, 9999);
    local_queue_assert_counts(&q, 0, 1, 2);
    local_server_pass(&local_fixture, 1);
    local_queue_assert_counts(&q, 1, 1, 1);
    local_queue_ok(&q, "SetQueueAttributes",
                   ", \"Attributes\": {\"DelaySeconds\": \"0\", \"VisibilityTimeout\": \"0\"}");
    local_queue_assert_counts(&q, 1, 1, 1);
    local_server_pass(&local_fixture, 10000);
    local_queue_assert_counts(&q, 2, 0, 1);
    local_server_pass(&local_fixture, 880000);
    local_queue_assert_counts(&q, 3, 0, 0);
    local_queue_drop(&q);
}

/* Two that are a moment apart in age go a moment apart, whoever looks when. */
static void
every_message_is_gone_the_moment_it_is_too_old(void **state)
{
    (void)state;
    struct local_queue q;
    char handle[200];
    local_queue_make(&q, "{\"MessageRetentionPeriod\": \"60\", \"VisibilityTimeout\": \"600\"}");
    for (int i = 0; i < 4; i++) {
        if (i == 3)
            local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\", \"DelaySeconds\": 900");
        else
            local_queue_send(&q, "m");
        if (i == 1)
            local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10");
        local_server_pass(&local_fixture, 200);
    }
    copy_handle(&q, 0, handle);
    local_queue_assert_counts(&q, 1, 2, 1);
    local_server_pass(&local_fixture, 60000 - 800);
    local_queue_assert_counts(&q, 1, 1, 1);
    local_server_pass(&local_fixture, 200);
    local_queue_assert_counts(&q, 1, 0, 1);
    local_server_pass(&local_fixture, 200);
    local_queue_assert_counts(&q, 0, 0, 1);
    local_server_pass(&local_fixture, 200);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_drop(&q);
}

static void
a_handle_of_what_is_too_old_changes_nothing(void **state)
{
    (void)state;
    struct local_queue q;
    char first[200], second[200];
    local_queue_make(&q, "{\"MessageRetentionPeriod\": \"60\", \"VisibilityTimeout\": \"600\"}");
    local_queue_send(&q, "a");
    local_queue_receive(&q, "");
    copy_handle(&q, 0, first);
    local_server_pass(&local_fixture, 500);
    local_queue_send(&q, "b");
    local_queue_receive(&q, "");
    copy_handle(&q, 0, second);
    local_server_pass(&local_fixture, 59500);
    local_queue_settle(&q, "ChangeMessageVisibility", first, ", \"VisibilityTimeout\": 10");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_server_pass(&local_fixture, 500);
    local_queue_settle(&q, "ChangeMessageVisibility", second, ", \"VisibilityTimeout\": 10");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_queue_settle(&q, "DeleteMessage", second, "");
    assert_int_equal(q.call.status, 200);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_drop(&q);
}

static void
a_longer_retention_does_not_bring_back_what_was_too_old(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"MessageRetentionPeriod\": \"60\"}");
    local_queue_send(&q, "a");
    local_server_pass(&local_fixture, 100);
    local_queue_send(&q, "b");
    local_server_pass(&local_fixture, 59900);
    local_queue_assert_counts(&q, 1, 0, 0);
    local_server_pass(&local_fixture, 100);
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MessageRetentionPeriod\": \"3600\"}");
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_drop(&q);
}

/* Messages that are too old, and those that are dead letters by now, stand before those that can be received. */
static void
what_cannot_be_received_takes_no_place_among_the_ten(void **state)
{
    (void)state;
    struct local_queue q, dead;
    char attributes[300];
    local_queue_make(&dead, "{}");
    snprintf(
        attributes, sizeof attributes,
        "{\"MessageRetentionPeriod\": \"60\", \"VisibilityTimeout\": \"5\", \"RedrivePolicy\":"
        " \"{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":1}\"}",
        strrchr(dead.url, '/') + 1);
    local_queue_make(&q, attributes);
    local_queue_send_many(&q, 7, "too old", "");
    local_server_pass(&local_fixture, 50000);
    local_queue_send_many(&q, 4, "dead", "");
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": 8"), 10);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": 8"), 1);
    local_queue_send_many(&q, 12, "m", ", \"DelaySeconds\": 9");
    local_server_pass(&local_fixture, 10000);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 10);
    for (int i = 0; i < 10; i++) {
        char path[40];
        snprintf(path, sizeof path, "Messages.%d.Body", i);
        assert_string_equal(local_queue_text(&q, path), "m");
    }
    local_queue_assert_counts(&q, 2, 10, 0);
    local_queue_assert_counts(&dead, 4, 0, 0);
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

/* ---- purging and deleting ---------------------------------------------------------------------------------------- */

static void
a_purge_takes_what_is_in_flight_and_what_is_delayed(void **state)
{
    (void)state;
    struct local_queue q;
    char handle[200];
    local_queue_make(&q, "{\"VisibilityTimeout\": \"30\"}");
    local_queue_send_many(&q, 2, "m", "");
    local_queue_send_many(&q, 2, "m", ", \"DelaySeconds\": 30");
    assert_int_equal(local_queue_receive(&q, ""), 1);
    copy_handle(&q, 0, handle);
    local_queue_assert_counts(&q, 1, 1, 2);
    local_queue_ok(&q, "PurgeQueue", "");
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_queue_settle(&q, "DeleteMessage", handle, "");
    assert_int_equal(q.call.status, 200);
    local_server_pass(&local_fixture, 59999);
    local_queue_assert_counts(&q, 0, 0, 0);
    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 0);
    local_queue_call(&q, "PurgeQueue", "");
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.PurgeQueueInProgress");
    local_server_pass(&local_fixture, 1);
    local_queue_ok(&q, "PurgeQueue", "");
    local_queue_drop(&q);
}

/* Cool-downs are kept in the tables. */
static void
cool_downs_outlive_a_kill(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call c;
    char name[40];
    local_queue_make(&q, "{}");
    snprintf(name, sizeof name, "%s", strrchr(q.url, '/') + 1);
    local_queue_ok(&q, "PurgeQueue", "");
    aws_call_clean_up(&q.call);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&q.call, local_fixture.url);
    local_queue_call(&q, "PurgeQueue", "");
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.PurgeQueueInProgress");
    local_queue_drop(&q);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&c, local_fixture.url);
    local_server_pass(&local_fixture, 59999);
    aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\"}", name);
    assert_string_equal(c.error, "AWS.SimpleQueueService.QueueDeletedRecently");
    assert_string_equal(
        c.message, "You must wait 60 seconds after deleting a queue before you can create another with the same name.");
    local_server_pass(&local_fixture, 1);
    assert_int_equal(aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\"}", name), 200);
    aws_call_clean_up(&c);
}

static void
a_handle_of_a_deleted_queue_is_none_of_a_later_one(void **state)
{
    (void)state;
    struct local_queue q, later;
    char handle[200];
    local_queue_make(&q, "{}");
    local_queue_send(&q, "m");
    local_queue_receive(&q, "");
    copy_handle(&q, 0, handle);
    local_queue_drop(&q);
    for (int killed = 0; killed < 2; killed++) {
        local_queue_make(&later, "{}");
        local_queue_settle(&later, "DeleteMessage", handle, "");
        assert_string_equal(later.call.error, "ReceiptHandleIsInvalid");
        assert_non_null(strstr(later.call.message, "is not valid for this queue."));
        local_queue_drop(&later);
        local_server_kill(&local_fixture);
        local_server_restart(&local_fixture);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_becomes_due_is_received_in_that_millisecond),
        cmocka_unit_test(messages_due_at_once_go_to_those_who_came_first),
        cmocka_unit_test(a_message_that_gets_too_old_while_it_is_delayed_wakes_nobody),
        cmocka_unit_test(a_receive_without_a_wait_does_not_take_the_queues),
        cmocka_unit_test(twelve_hours_from_the_receive_are_the_cap_of_all_extensions),
        cmocka_unit_test(changed_times_are_for_later_sends_and_receives),
        cmocka_unit_test(every_message_is_gone_the_moment_it_is_too_old),
        cmocka_unit_test(a_handle_of_what_is_too_old_changes_nothing),
        cmocka_unit_test(a_longer_retention_does_not_bring_back_what_was_too_old),
        cmocka_unit_test(what_cannot_be_received_takes_no_place_among_the_ten),
        cmocka_unit_test(a_purge_takes_what_is_in_flight_and_what_is_delayed),
        cmocka_unit_test(cool_downs_outlive_a_kill),
        cmocka_unit_test(a_handle_of_a_deleted_queue_is_none_of_a_later_one),
    };
    return cmocka_run_group_tests_name("local/sqs standard", tests, local_fixture_start_with_clock, local_fixture_stop);
}
