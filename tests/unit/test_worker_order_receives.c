/* FIFO groups and maxReceiveCount: no receive of those behind a failing message is spent to the last, nor by a drain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/order_bench.h"

#define MINUTE INT64_C(60000)

/* ---- receives ---- */

static void
start_with_receives(int max_receive_count)
{
    struct engine_options o = bench_defaults();
    o.lease_max_s = 45; /* of waiting it says nothing */
    order_bench_start(&o, true);
    order_bench.sim.has_dead_letters = order_bench.sim.redrives = true;
    order_bench.sim.max_receive_count = max_receive_count;
}

static void
one_that_fails_takes_the_last_receive_from_none_behind_it(void **state)
{
    (void)state;
    start_with_receives(3);
    order_bench_put(0, 10);
    order_bench_let_first_fail(0, 2, HANDLER_RETRY, 2 * MINUTE); /* longer than a visibility timeout */
    bench_run(&order_bench, 10 * MINUTE);
    assert_int_equal(order_bench_message(0, 0)->handled, 3);
    for (size_t i = 0; i < 10; i++) {
        assert_true(order_bench_message(0, i)->deleted && !order_bench_message(0, i)->moved);
        assert_int_equal(order_bench_message(0, i)->dead_letters, 0);
        assert_int_equal(order_bench_message(0, i)->receives, 2);
    }
    assert_int_equal(BENCH_COUNT(&order_bench, retried_here), 1);
    bench_clean_up(&order_bench);
}

static int64_t second_fails_delay_ms;

/* Too long to be waited for here. The second one fails once. */
static void
first_fails_for_ever_and_the_second_once(struct bench *bench, struct message *m, struct sim_message *s)
{
    (void)bench;
    bool fails = s->place == 0 || (s->place == 1 && s->handled == 1);
    m->verdict.kind = fails ? HANDLER_RETRY : HANDLER_DONE;
    m->verdict.delay_ms = s->place == 0 ? 13 * 60 * MINUTE : second_fails_delay_ms;
    if (fails)
        m->verdict.reason = message_copy_reason("no good");
}

static void
fail_at_the_last_receive(int64_t delay_ms)
{
    start_with_receives(4);
    order_bench_put(0, 3);
    order_bench.sim.look_ms = 1000;
    second_fails_delay_ms = delay_ms;
    order_bench.decide = first_fails_for_ever_and_the_second_once;
    bench_run(&order_bench, 60 * 60 * MINUTE);
    assert_int_equal(order_bench_message(0, 0)->handled, 4);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 1);
    assert_int_equal(order_bench_message(0, 1)->receives, 4);
    for (size_t i = 0; i < 3; i++)
        assert_true(order_bench_message(0, i)->deleted && !order_bench_message(0, i)->moved);
    assert_int_equal(order_bench_message(0, 2)->dead_letters, 0);
}

static void
one_whose_receives_went_to_another_is_tried_again_at_the_last_of_them(void **state)
{
    (void)state;
    fail_at_the_last_receive(500);
    assert_int_equal(order_bench_message(0, 1)->handled, 2);
    assert_int_equal(order_bench_message(0, 1)->dead_letters, 0);
    bench_clean_up(&order_bench);
}

static void
one_that_cannot_wait_here_is_a_dead_letter_at_its_last_receive(void **state)
{
    (void)state;
    fail_at_the_last_receive(13 * 60 * MINUTE);
    assert_int_equal(order_bench_message(0, 1)->handled, 1);
    assert_int_equal(order_bench_message(0, 1)->dead_letters, 1);
    assert_string_equal(order_bench_message(0, 1)->dead_kind, "receives");
    assert_string_equal(order_bench_message(0, 1)->dead_attempts, "1");
    bench_clean_up(&order_bench);
}

static void
tries_here_end_after_as_many_as_the_queue_allows_receives(void **state)
{
    (void)state;
    start_with_receives(4);
    order_bench_put(0, 3);
    order_bench_let_first_fail(0, 1000, HANDLER_RETRY, 1000);
    bench_run(&order_bench, MINUTE);
    assert_int_equal(order_bench_message(0, 0)->handled, 4);
    assert_int_equal(order_bench_message(0, 0)->receives, 1);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 1);
    assert_string_equal(order_bench_message(0, 0)->dead_reason,
                        "failed 4 times, as often as the queue's maxReceiveCount allows; last: no good");
    assert_int_equal(order_bench_deleted_in(0), 3);
    bench_clean_up(&order_bench);
}

/* ---- drains ---- */

static void
a_drain_gives_back_what_waits_with_what_is_left_of_its_delay(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench_put(0, 5);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 25000);
    bench_run(&order_bench, 5000);
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    engine_drain(order_bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&order_bench, bench_is_over, 25001));
    assert_int_equal(bench_in_hand(&order_bench), 0);
    assert_true(bench_ledger_is_empty(&order_bench));
    int64_t visible_ms = order_bench_message(0, 0)->visible_at_ms;
    assert_in_range(visible_ms, 1000000 + 24000, 1000000 + 28000);
    assert_true(order_bench_message(0, 1)->visible_at_ms <= sim_now_ms());
    bench_clean_up(&order_bench);
}

/* Its own receive, which still waits at the queue, would bring it back. */
static void
a_drain_keeps_what_pauses_from_its_own_last_receive(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench_put(0, 5);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 3000);
    bench_run(&order_bench, 1000);
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_int_equal(order_bench.sim.receiving, 1); /* for almost 20 s more */
    engine_drain(order_bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&order_bench, bench_is_over, 25001));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(order_bench_message(0, i)->receives, 1);
        assert_true(order_bench_message(0, i)->visible_at_ms <= sim_now_ms());
    }
    bench_clean_up(&order_bench);
}

static void
a_drain_does_not_count_the_failure_of_what_pauses_again(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench.sim.has_dead_letters = true;
    order_bench.sim.max_receive_count = 2; /* one more try is left to it */
    order_bench_put(0, 1);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 20000);
    bench_run(&order_bench, 2000);
    assert_int_equal(BENCH_COUNT(&order_bench, retried_here), 1);
    engine_drain(order_bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&order_bench, bench_is_over, 26000));
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 0);
    assert_false(order_bench_message(0, 0)->deleted);
    assert_in_range(order_bench_message(0, 0)->visible_at_ms, 1000000 + 19000, 1000000 + 23000);
    bench_clean_up(&order_bench);
}

static bool
second_was_handled(struct bench *bench)
{
    (void)bench;
    return order_bench_message(0, 1)->handled == 1;
}

/* SQS would move it at the next receive, and say nothing. */
static void
a_drain_makes_a_dead_letter_of_what_pauses_at_its_last_receive(void **state)
{
    (void)state;
    start_with_receives(2);
    order_bench_put(0, 2);
    second_fails_delay_ms = 20000;
    order_bench.decide = first_fails_for_ever_and_the_second_once;
    assert_true(bench_run_until(&order_bench, second_was_handled, 24 * 60 * MINUTE));
    bench_run(&order_bench, 2000);
    assert_int_equal(order_bench_message(0, 1)->receives, 2);
    assert_int_equal(BENCH_COUNT(&order_bench, retried_here), 1);
    engine_drain(order_bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&order_bench, bench_is_over, 26000));
    assert_int_equal(order_bench_message(0, 1)->handled, 1);
    assert_int_equal(order_bench_message(0, 1)->dead_letters, 1);
    assert_string_equal(order_bench_message(0, 1)->dead_kind, "receives");
    assert_string_equal(order_bench_message(0, 1)->dead_reason,
                        "failed at receive 2, the last that the queue's maxReceiveCount allows; last: no good");
    assert_true(order_bench_message(0, 1)->deleted);
    bench_clean_up(&order_bench);
}

static int64_t
takes_five_seconds_behind_the_first(struct bench *bench, const struct message *m)
{
    (void)bench;
    return m->batch->messages[0] == m ? 0 : 5000;
}

static void
first_of_the_batch_fails(struct bench *bench, struct message *m, struct sim_message *s)
{
    (void)bench;
    (void)s;
    bool fails = m->batch->messages[0] == m;
    m->verdict.kind = fails ? HANDLER_RETRY : HANDLER_DONE;
    m->verdict.delay_ms = fails ? 25000 : -1;
}

/* Its handler is still busy with the rest of the batch when the drain begins. */
static void
a_drain_keeps_the_delay_of_one_settled_early(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.wait_time_s = 1;
    order_bench_start(&o, false);
    order_bench.early = 1000;
    order_bench.decide = first_of_the_batch_fails;
    order_bench.takes = takes_five_seconds_behind_the_first;
    order_bench_put(0, 1);
    order_bench_put(1, 1);
    bench_run(&order_bench, 2000);
    assert_int_equal(BENCH_COUNT(&order_bench, retried_here), 1);
    assert_int_equal(order_bench_message(0, 0)->handled + order_bench_message(1, 0)->handled, 1);
    const struct sim_message *failed = order_bench_message(order_bench_message(0, 0)->handled ? 0 : 1, 0);
    engine_drain(order_bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&order_bench, bench_is_over, 26000));
    assert_int_equal(failed->handled, 1);
    assert_in_range(failed->visible_at_ms, 1000000 + 24000, 1000000 + 28000);
    bench_clean_up(&order_bench);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_fails_takes_the_last_receive_from_none_behind_it),
        cmocka_unit_test(one_whose_receives_went_to_another_is_tried_again_at_the_last_of_them),
        cmocka_unit_test(one_that_cannot_wait_here_is_a_dead_letter_at_its_last_receive),
        cmocka_unit_test(tries_here_end_after_as_many_as_the_queue_allows_receives),
        cmocka_unit_test(a_drain_gives_back_what_waits_with_what_is_left_of_its_delay),
        cmocka_unit_test(a_drain_keeps_what_pauses_from_its_own_last_receive),
        cmocka_unit_test(a_drain_does_not_count_the_failure_of_what_pauses_again),
        cmocka_unit_test(a_drain_makes_a_dead_letter_of_what_pauses_at_its_last_receive),
        cmocka_unit_test(a_drain_keeps_the_delay_of_one_settled_early),
    };
    return cmocka_run_group_tests_name("worker_order_receives", tests, NULL, NULL);
}
