/* Leases with the real worker and the real queue, on a clock that the test moves: from the receive until what was
 * decided is confirmed, while queued, handled and draining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/scripted.h"

#define ONE_IN_HAND "threads = 1; batch = { size = 1; }; prefetch = 0; "
#define HOUR_MS     INT64_C(3600000)

#define NO_EXTENSIONS                                                                                                  \
    "{\"action\": \"sqs:ChangeMessageVisibilityBatch\", \"kind\": \"error\", \"status\": 500, "                        \
    "\"code\": \"InternalError\", \"count\": 0}"

/* Extensions are the only visibility changes of these tests. */
static size_t
extension_calls(void)
{
    return admin_count_requests(local_fixture.url, "operation=ChangeMessageVisibilityBatch");
}

static void
assert_in_flight(struct scripted *s, long n)
{
    assert_int_equal(local_queue_attribute(&s->queue, "ApproximateNumberOfMessages"), 0);
    assert_int_equal(local_queue_attribute(&s->queue, "ApproximateNumberOfMessagesNotVisible"), n);
}

/* Lets n halves of the visibility timeout pass; after each, as many leases are extended. */
static void
pass_halves(struct scripted *s, unsigned n, int64_t visibility_ms, uint64_t leases)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t extended = (uint64_t)SCRIPTED_COUNT(s, extended);
        scripted_pass(s, visibility_ms / 2 + 500, visibility_ms / 2 + 500);
        SCRIPTED_AWAIT_COUNT(s, extended, extended + leases);
    }
}

static void
leases_are_extended_at_half_the_queues_own_timeout_ten_a_call_while_queued_and_handled(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"40\"");
    SCRIPTED_SEND(&s, "1 wait done", "2 wait done", "3 wait done", "4 wait done", "5 wait done", "6 wait done",
                  "7 wait done", "8 wait done", "9 wait done", "10 wait done");
    SCRIPTED_SEND(&s, "11 wait done", "12 wait done", "13 wait done", "14 wait done", "15 wait done");
    scripted_start(&s, "script", "threads = 1; batch = { size = 1; }; prefetch = 14;");
    SCRIPTED_AWAIT_COUNT(&s, received, 15);
    scripted_await_recorded(&s, " waits ", 1); /* the others are queued */
    size_t calls = extension_calls();
    scripted_pass(&s, 16000, 1000);
    assert_int_equal(extension_calls(), calls);
    scripted_pass(&s, 5000, 1000);
    SCRIPTED_AWAIT_COUNT(&s, extended, 15);
    assert_int_equal(extension_calls() - calls, 2);
    pass_halves(&s, 5, 40000, 15);
    assert_in_flight(&s, 15);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, extend_errors), 0);
    assert_int_equal(extension_calls() - calls, 2 * 6);
    scripted_open_gate(&s, 15);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_recorded(&s, " begin 1"), 15);
    assert_int_equal(scripted_recorded(&s, " done 0"), 15);
    scripted_drop(&s);
}

static void
a_drain_goes_on_extending_what_is_handled_and_flushes_its_delete(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"20\"");
    SCRIPTED_SEND(&s, "a wait done");
    scripted_start(&s, "script", ONE_IN_HAND);
    scripted_await_recorded(&s, "a waits", 1);
    scripted_begin_drain(&s, 300000);
    pass_halves(&s, 10, 20000, 1);
    assert_in_flight(&s, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 0);
    scripted_open_gate(&s, 1);
    assert_int_equal(scripted_end_drain(&s, 20000), 0);
    assert_int_equal(scripted_recorded(&s, "a done 0"), 1);
    scripted_await_queue(&s.queue, 0, 0);
    scripted_drop(&s);
}

static void
deletes_that_fail_while_draining_are_flushed_before_the_end(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a wait done", "b done", "c done");
    scripted_start(&s, "script", "");
    admin_set_fault(local_fixture.url, "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"status\": 500, "
                                       "\"code\": \"InternalError\", \"count\": 0}");
    scripted_await_recorded(&s, "a waits", 1);
    scripted_begin_drain(&s, 300000);
    scripted_open_gate(&s, 1);
    scripted_await_recorded(&s, "a end", 1);
    scripted_pass(&s, 10000, 1000);
    assert_in_flight(&s, 3);
    admin_clear_faults(local_fixture.url);
    scripted_pass(&s, 30000, 2000);
    assert_int_equal(scripted_end_drain(&s, 20000), 0);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 3);
    assert_int_equal(SCRIPTED_COUNT(&s, received), 3);
    scripted_drop(&s);
}

static void
what_the_outstanding_receive_brings_after_the_drain_began_is_given_back_at_once(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"600\"");
    scripted_start(&s, "script", "wait_time_s = 20;");
    local_server_await_waiting(&local_fixture, s.queue.url, 1);
    scripted_begin_drain(&s, 60000);
    scripted_await_logged(&s, "msg=draining", 1);
    assert_int_equal(local_server_waiting(&local_fixture, s.queue.url), 1);
    SCRIPTED_SEND(&s, "a done", "b done");
    assert_int_equal(scripted_end_drain(&s, 20000), 0);
    scripted_await_queue(&s.queue, 2, 0); /* not stranded for ten minutes */
    assert_int_equal(SCRIPTED_COUNT(&s, given_back), SCRIPTED_COUNT(&s, received));
    assert_int_equal(scripted_recorded(&s, " begin "), 0);
    scripted_drop(&s);
}

/* ---- the end of a lease ---- */

static void
past_lease_max_s_a_message_is_lost_and_its_handler_told(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"10\"");
    SCRIPTED_SEND(&s, "a remaining until_lost done");
    scripted_start(&s, "script", ONE_IN_HAND "lease = { max_s = 25; };");
    scripted_await_recorded(&s, "a remaining", 1);
    pass_halves(&s, 3, 10000, 1); /* the third up to max_s alone */
    scripted_pass(&s, 5500, 500);
    assert_in_flight(&s, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 0);
    scripted_pass(&s, 6000, 500);
    scripted_await_recorded(&s, "a done -4", 1);
    SCRIPTED_AWAIT_COUNT(&s, held_too_long, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, extended), 3);
    assert_int_equal(SCRIPTED_COUNT(&s, extend_errors), 0);
    scripted_await_logged(&s, "its handler holds it for longer than lease.max_s", 1);
    scripted_await_recorded(&s, "a again 0", 1); /* the next delivery */
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    scripted_drop(&s);
}

static void
what_is_queued_behind_one_that_hangs_is_handled_at_its_first_delivery(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"10\"");
    SCRIPTED_SEND(&s, "1 wait done", "2 wait done", "3 wait done", "4 wait done", "5 wait done", "6 wait done");
    scripted_start(&s, "script_each",
                   "threads = 1; batch = { size = 6; window_ms = 5000; }; prefetch = 0; lease = { max_s = 25; };");
    SCRIPTED_AWAIT_COUNT(&s, received, 6);
    scripted_pass(&s, 5500, 500); /* the window is over */
    scripted_await_recorded(&s, " waits ", 1);
    scripted_pass(&s, 35000, 500);
    SCRIPTED_AWAIT_COUNT(&s, held_too_long, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 1); /* the one that the handler has */
    scripted_open_gate(&s, 6);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_recorded(&s, " begin 1"), 6);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, received), 7);
    scripted_drop(&s);
}

static void
nothing_is_asked_for_past_twelve_hours_and_then_the_message_is_lost(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"7200\"");
    SCRIPTED_SEND(&s, "a until_lost done");
    scripted_start(&s, "script", ONE_IN_HAND);
    scripted_await_recorded(&s, "a begin 1", 1);
    const int64_t start_ms = clock_monotonic_ms();
    for (uint64_t i = 1; i <= 10; i++) { /* each as soon as half of the lease is over; the last up to the 12 h alone */
        scripted_pass(&s, 3700000, 3700000);
        SCRIPTED_AWAIT_COUNT(&s, extended, i);
    }
    scripted_pass(&s, 12 * HOUR_MS - 60000 - (clock_monotonic_ms() - start_ms), 3600000);
    assert_in_flight(&s, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 0);
    scripted_pass(&s, 120000, 120000);
    scripted_await_recorded(&s, "a done -4", 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, extend_errors), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, extended), 10);
    scripted_await_recorded(&s, "a again 0", 1);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

static void
a_stolen_message_alone_is_lost_and_never_deleted(void **state)
{
    (void)state;
    struct scripted s;
    char handle[2048];
    scripted_make(&s, ", \"VisibilityTimeout\": \"20\"");
    SCRIPTED_SEND(&s, "a until_lost done", "b wait done");
    scripted_start(&s, "script", "threads = 2; batch = { size = 1; }; prefetch = 0;");
    scripted_await_recorded(&s, " begin 1", 2);
    assert_true(scripted_handle(&s, "a until_lost done", handle, sizeof handle));
    local_queue_settle(&s.queue, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_int_equal(local_queue_receive(&s.queue, ", \"VisibilityTimeout\": 600"), 1);
    assert_string_equal(local_queue_text(&s.queue, "Messages.0.Body"), "a until_lost done");
    pass_halves(&s, 5, 20000, 1);
    scripted_await_recorded(&s, "a done -4", 1);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, extend_errors), 1);
    assert_in_flight(&s, 2); /* a is the thief's, b ours */
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 1);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted_late), 0);
    scripted_drop(&s);
}

static void
a_lease_that_cannot_be_extended_is_lost_and_told_and_the_message_comes_back(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"20\"");
    SCRIPTED_SEND(&s, "a until_lost done");
    scripted_start(&s, "script", ONE_IN_HAND);
    scripted_await_recorded(&s, "a begin 1", 1);
    admin_set_fault(local_fixture.url, NO_EXTENSIONS);
    scripted_pass(&s, 25000, 2000);
    scripted_await_recorded(&s, "a done -4", 1);
    admin_clear_faults(local_fixture.url);
    assert_int_equal(SCRIPTED_COUNT(&s, lost), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, held_too_long), 0);
    assert_true(SCRIPTED_COUNT(&s, extend_errors) > 0);
    scripted_await_recorded(&s, "a again 0", 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 1);
    scripted_drop(&s);
}

static void
a_delete_after_the_lease_is_over_is_counted_apart_from_confirmed_ones(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"20\"");
    SCRIPTED_SEND(&s, "a wait return:1"); /* it does not ask, and so is not told */
    scripted_start(&s, "script", ONE_IN_HAND);
    scripted_await_recorded(&s, "a waits", 1);
    admin_set_fault(local_fixture.url, NO_EXTENSIONS);
    scripted_pass(&s, 25000, 2000);
    SCRIPTED_AWAIT_COUNT(&s, lost, 1);
    admin_clear_faults(local_fixture.url);
    scripted_open_gate(&s, 1);
    SCRIPTED_AWAIT_COUNT(&s, deleted_late, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 0);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_await_queue(&s.queue, 0, 0);
    scripted_drop(&s);
}

static void
a_message_received_again_while_it_is_handled_is_deleted_by_its_newest_handle(void **state)
{
    (void)state;
    struct scripted s;
    char first[2048], second[2048];
    scripted_make(&s, ", \"VisibilityTimeout\": \"20\"");
    SCRIPTED_SEND(&s, "a wait done");
    scripted_start(&s, "script", "threads = 1; batch = { size = 1; }; prefetch = 1;");
    scripted_await_recorded(&s, "a waits", 1);
    assert_true(scripted_handle(&s, "a wait done", first, sizeof first));
    admin_set_fault(local_fixture.url, NO_EXTENSIONS);
    scripted_pass(&s, 22000, 1000);
    SCRIPTED_AWAIT_COUNT(&s, received, 2);
    admin_clear_faults(local_fixture.url);
    scripted_await_logged(&s, "message in hand received again", 1);
    assert_true(scripted_handle(&s, "a wait done", second, sizeof second));
    assert_string_not_equal(first, second);
    pass_halves(&s, 5, 20000, 1); /* extended by it */
    assert_in_flight(&s, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, received), 2);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_recorded(&s, "a begin"), 1);
    assert_int_equal(scripted_recorded(&s, "a done 0"), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 1);
    scripted_drop(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leases_are_extended_at_half_the_queues_own_timeout_ten_a_call_while_queued_and_handled),
        cmocka_unit_test(a_drain_goes_on_extending_what_is_handled_and_flushes_its_delete),
        cmocka_unit_test(deletes_that_fail_while_draining_are_flushed_before_the_end),
        cmocka_unit_test(what_the_outstanding_receive_brings_after_the_drain_began_is_given_back_at_once),
        cmocka_unit_test(past_lease_max_s_a_message_is_lost_and_its_handler_told),
        cmocka_unit_test(what_is_queued_behind_one_that_hangs_is_handled_at_its_first_delivery),
        cmocka_unit_test(nothing_is_asked_for_past_twelve_hours_and_then_the_message_is_lost),
        cmocka_unit_test(a_stolen_message_alone_is_lost_and_never_deleted),
        cmocka_unit_test(a_lease_that_cannot_be_extended_is_lost_and_told_and_the_message_comes_back),
        cmocka_unit_test(a_delete_after_the_lease_is_over_is_counted_apart_from_confirmed_ones),
        cmocka_unit_test(a_message_received_again_while_it_is_handled_is_deleted_by_its_newest_handle),
    };
    return cmocka_run_group_tests_name("worker_leases", tests, local_fixture_start_with_clock, local_fixture_stop);
}
