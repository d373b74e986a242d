/* What other consumers got wrong, with the real worker and the real queue on a clock that the test moves, as far as no
 * other test is about it: tests/README.md has the list, and who shows what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/scripted.h"
#include "lib/tmp.h"

#define ONE_PLACE "threads = 1; prefetch = 0; batch = { size = 1; }; "
#define OTHERS    40
#define BAD       12
#define RATED     40

static int
forget_faults(void **state)
{
    (void)state;
    admin_clear_faults(local_fixture.url);
    return 0;
}

/* ---- one slow message ---- */

static void
one_slow_message_does_not_keep_the_others_from_being_received_and_handled(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"40\"");
    SCRIPTED_SEND(&s, "slow wait done");
    scripted_start(&s, "script", "threads = 2; prefetch = 0;");
    scripted_await_recorded(&s, "slow waits", 1);
    for (int i = 0; i < 4; i++) {
        local_queue_send_many(&s.queue, OTHERS / 4, "other done", "");
        scripted_await_recorded(&s, "other done 0", (size_t)(i + 1) * (OTHERS / 4));
        scripted_pass(&s, 48000, 4000); /* it is slow for three minutes */
    }
    SCRIPTED_AWAIT_COUNT(&s, deleted, OTHERS);
    scripted_await_queue(&s.queue, 0, 1);
    assert_int_equal(scripted_recorded(&s, "slow done"), 0);
    assert_int_equal(scripted_recorded(&s, " begin 1"), OTHERS + 1);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(SCRIPTED_COUNT(&s, received), OTHERS + 1);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

/* ---- what cannot be converted ---- */

/* A worker with room for one message: had the first that cannot be read kept its place, nothing more would come. */
static void
a_body_that_cannot_be_read_gives_its_place_free(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    local_queue_send_many(&s.queue, BAD, "no event", "");
    SCRIPTED_SEND(&s, "{\\\"version\\\":\\\"0\\\",\\\"id\\\":\\\"e-1\\\",\\\"detail-type\\\":\\\"t\\\",\\\"source\\\":"
                      "\\\"s\\\",\\\"account\\\":\\\"1\\\",\\\"time\\\":\\\"2026-11-20T06:00:00Z\\\",\\\"region\\\":"
                      "\\\"r\\\",\\\"resources\\\":[],\\\"detail\\\":{\\\"a\\\":\\\" done \\\"}}");
    scripted_start(&s, "script", ONE_PLACE "envelope = \"eventbridge\";");
    SCRIPTED_AWAIT_COUNT(&s, deleted, BAD + 1);
    assert_int_equal(SCRIPTED_COUNT(&s, undecodable), BAD);
    assert_int_equal(scripted_recorded(&s, " done 0"), 1);
    scripted_await_queue(&s.queue, 0, 0);
    scripted_await_queue(&s.dead, BAD, 0);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

/* ---- receives that no handler saw ---- */

#define THROTTLED(operation)                                                                                           \
    "{\"action\": \"sqs:" operation "\", \"kind\": \"error\", \"status\": 403, \"code\": \"RequestThrottled\", "       \
    "\"count\": 0, \"percent\": 40}"

/* A second receive of whichever message would be its end: the queue allows one. */
static void
neither_throttling_nor_a_rate_costs_a_message_its_receives(void **state)
{
    (void)state;
    struct scripted s;
    char members[400];
    scripted_make(&s, ", \"VisibilityTimeout\": \"30\"");
    snprintf(members, sizeof members,
             ", \"Attributes\": {\"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\": "
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\", \\\"maxReceiveCount\\\": 1}\"}",
             strrchr(s.dead.url, '/') + 1);
    local_queue_ok(&s.queue, "SetQueueAttributes", members);
    local_queue_send_many(&s.queue, RATED, "a done", "");
    admin_set_fault(local_fixture.url, THROTTLED("ReceiveMessage"));
    admin_set_fault(local_fixture.url, THROTTLED("DeleteMessageBatch"));
    admin_set_fault(local_fixture.url, THROTTLED("ChangeMessageVisibilityBatch"));
    scripted_start(&s, "script", "threads = 2; rate = { max_per_s = 1; };");
    const int64_t began_ms = clock_monotonic_ms();
    for (int i = 0; i < 300 && SCRIPTED_COUNT(&s, deleted) < RATED; i++)
        scripted_pass(&s, 1000, 1000);
    SCRIPTED_AWAIT_COUNT(&s, deleted, RATED);
    assert_true(clock_monotonic_ms() - began_ms >= (RATED - 2) * 1000);
    assert_true(SCRIPTED_COUNT(&s, aws_throttled) > 0);
    assert_int_equal(scripted_recorded(&s, "a begin 1"), RATED);
    assert_int_equal(SCRIPTED_COUNT(&s, received), RATED);
    admin_clear_faults(local_fixture.url);
    scripted_await_queue(&s.queue, 0, 0);
    scripted_await_queue(&s.dead, 0, 0);
    scripted_drain(&s);
    scripted_drop(&s);
}

/* ---- FIFO ---- */

/* "GROUP PLACE FAILURES VERDICT" */
static void
send_to_group(struct scripted *s, const char *body)
{
    char members[300];
    snprintf(members, sizeof members, ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"g-%c\"", body, body[0]);
    local_queue_ok(&s->queue, "SendMessage", members);
}

/* It waits for the failed one's delay, and not until a lease of ten minutes is over; other groups do not wait at all.
 */
static void
a_failure_holds_its_group_for_its_delay_and_not_for_the_visibility_timeout(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\", "
                      "\"VisibilityTimeout\": \"600\"");
    send_to_group(&s, "0 0 1 done");
    send_to_group(&s, "0 1 0 done");
    send_to_group(&s, "1 0 0 done");
    scripted_start(&s, "ordered_each",
                   "threads = 2; batch = { size = 1; }; retry = { policy = \"list\"; delays_ms = \"4000\"; };");
    scripted_await_recorded(&s, "1 0 done", 1);
    scripted_await_recorded(&s, "0 0 retry", 1);
    for (int i = 0; i < 25 && SCRIPTED_COUNT(&s, deleted) < 3; i++)
        scripted_pass(&s, 200, 200);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 3);
    assert_int_equal(SCRIPTED_COUNT(&s, received), 3);
    char *record = tmp_read(s.record, NULL);
    assert_non_null(record);
    assert_non_null(strstr(record, "0 0 done\n0 1 begins\n0 1 done\n"));
    free(record);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slow_message_does_not_keep_the_others_from_being_received_and_handled),
        cmocka_unit_test(a_body_that_cannot_be_read_gives_its_place_free),
        cmocka_unit_test_teardown(neither_throttling_nor_a_rate_costs_a_message_its_receives, forget_faults),
        cmocka_unit_test(a_failure_holds_its_group_for_its_delay_and_not_for_the_visibility_timeout),
    };
    return cmocka_run_group_tests_name("worker_mistakes", tests, local_fixture_start_with_clock, local_fixture_stop);
}
