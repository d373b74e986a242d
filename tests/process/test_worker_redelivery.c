/* A queue that delivers messages again while the real worker has them in hand, or has just handled them: what becomes
 * of them, and of those beside them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/admin.h"
#include "lib/scripted.h"

#define EACH_RECEIVE "{\"action\": \"sqs:ReceiveMessage\", \"kind\": \"duplicate\", \"count\": 0}"
#define DELETES_FAIL                                                                                                   \
    "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"status\": 500, \"code\": \"InternalError\", "     \
    "\"count\": 0}"
#define DELETES_LOST "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"drop_after\", \"count\": 1}"

static int
forget_faults(void **state)
{
    (void)state;
    admin_clear_faults(local_fixture.url);
    return 0;
}

static void
assert_no_delete_refused(void)
{
    assert_true(admin_count_requests(local_fixture.url, "operation=DeleteMessageBatch&status=200") > 0);
    assert_int_equal(admin_count_requests(local_fixture.url, "operation=DeleteMessageBatch&status=4xx"), 0);
}

static void
a_message_that_comes_again_and_again_fails_no_batch_of_deletes(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    admin_set_fault(local_fixture.url, EACH_RECEIVE);
    admin_set_fault(local_fixture.url, DELETES_LOST);
    SCRIPTED_SEND(&s, "a wait done", "b done", "c done", "d done", "e done");
    scripted_start(&s, "script", "");
    scripted_await_recorded(&s, "a begin ", 1);
    SCRIPTED_AWAIT_COUNT(&s, polls, 4); /* they came with most of these */
    scripted_open_gate(&s, 1);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 5);
    scripted_await_queue(&s.queue, 0, 0);
    assert_no_delete_refused();
    assert_int_equal(scripted_recorded(&s, " begin "), 5);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

static void
what_is_delivered_again_before_its_delete_succeeds_is_not_handled_again(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    admin_set_fault(local_fixture.url, EACH_RECEIVE);
    admin_set_fault(local_fixture.url, DELETES_FAIL);
    SCRIPTED_SEND(&s, "a done", "b done", "c done");
    scripted_start(&s, "script", "");
    SCRIPTED_AWAIT_COUNT(&s, redelivered, 6); /* each more than once */
    assert_int_equal(scripted_recorded(&s, " begin "), 3);
    admin_clear_faults(local_fixture.url);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 3);
    scripted_await_queue(&s.queue, 0, 0);
    assert_no_delete_refused();
    assert_int_equal(scripted_recorded(&s, " begin "), 3);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_message_that_comes_again_and_again_fails_no_batch_of_deletes, forget_faults),
        cmocka_unit_test_teardown(what_is_delivered_again_before_its_delete_succeeds_is_not_handled_again,
                                  forget_faults),
    };
    return cmocka_run_group_tests_name("worker_redelivery", tests, local_fixture_start_with_clock, local_fixture_stop);
}
