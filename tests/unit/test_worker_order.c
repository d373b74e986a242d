/* Order within the groups of a FIFO queue: what one message's fate does to those behind it. Their receives are in
 * test_worker_order_receives.c, what is lost on the way in test_worker_order_lost.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/order_bench.h"
#include "worker/dedup_store.h"

#define MINUTE INT64_C(60000)

/* ---- a failure ---- */

static void
a_failure_holds_its_group_and_no_other(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench_put(0, 5);
    order_bench_put(1, 5);
    order_bench_put(2, 5);
    order_bench_let_first_fail(1, 3, HANDLER_RETRY, 5000);
    bench_run(&order_bench, 4000);
    assert_int_equal(order_bench_deleted_in(0), 5);
    assert_int_equal(order_bench_deleted_in(1), 0);
    assert_int_equal(order_bench_deleted_in(2), 5);
    assert_int_equal(order_bench_message(1, 0)->handled, 1);
    assert_int_equal(order_bench_message(1, 1)->handled, 0);
    bench_run(&order_bench, 12000);
    assert_int_equal(order_bench_deleted_in(1), 5);
    assert_int_equal(order_bench_message(1, 0)->handled, 4);
    bench_clean_up(&order_bench);
}

static void
a_short_delay_is_waited_for_under_lease_and_spends_no_receive(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench_put(0, 10);
    order_bench_let_first_fail(0, 5, HANDLER_RETRY, 20000);
    bench_run(&order_bench, 3 * MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(order_bench_message(0, i)->receives, 1);
    assert_int_equal(BENCH_COUNT(&order_bench, retried_here), 5);
    assert_int_equal(BENCH_COUNT(&order_bench, retried), 0);
    assert_int_equal(BENCH_COUNT(&order_bench, given_back_behind), 0);
    bench_clean_up(&order_bench);
}

/* Spring Cloud AWS 1415: one failure stalled its group for the whole visibility timeout. */
static void
a_group_does_not_stall_for_the_visibility_timeout_after_a_failure(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench.sim.visibility_s = 600;
    order_bench_put(0, 10);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 100);
    bench_run(&order_bench, 1000);
    assert_int_equal(order_bench_deleted_in(0), 10);
    bench_clean_up(&order_bench);
}

static void
a_long_delay_gives_the_group_back_and_it_comes_behind_the_failed_one(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench_put(0, 10);
    order_bench_put(1, 10);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 2 * MINUTE);
    bench_run(&order_bench, 10000);
    assert_int_equal(order_bench_deleted_in(1), 10);
    assert_int_equal(bench_in_hand(&order_bench), 0);
    assert_int_equal(BENCH_COUNT(&order_bench, given_back_behind), 9);
    bench_run(&order_bench, 2 * MINUTE - 11000);
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_int_equal(order_bench_message(0, 1)->handled, 0);
    bench_run(&order_bench, 5000);
    assert_int_equal(order_bench_deleted_in(0), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(order_bench_message(0, i)->receives, 2);
    bench_clean_up(&order_bench);
}

static void
fails_with_every_third_delay_long(struct bench *bench, struct message *m, struct sim_message *s)
{
    (void)bench;
    m->verdict.kind = HANDLER_RETRY;
    m->verdict.delay_ms = s->handled % 3 == 0 ? 2 * MINUTE : 1000;
}

/* Two failures here and a third that gives it back: a receive is three attempts. */
static void
failures_here_count_as_attempts_when_the_message_comes_back(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.retry.max_attempts = 8;
    order_bench_start(&o, true);
    order_bench.sim.has_dead_letters = true;
    order_bench_put(0, 1);
    order_bench.decide = fails_with_every_third_delay_long;
    bench_run(&order_bench, 10 * MINUTE);
    assert_int_equal(order_bench_message(0, 0)->handled, 8);
    assert_int_equal(order_bench_message(0, 0)->receives, 3);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 1);
    bench_clean_up(&order_bench);
}

static void
groups_that_wait_do_not_fill_the_worker(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench.sim.visibility_s = 600;
    for (int g = 0; g < 20; g++)
        order_bench_put(g, 10);
    order_bench.retry = 1000; /* all fail, with delays of up to a minute: they fit */
    bench_run(&order_bench, 30000);
    order_bench.retry = 0;
    for (int g = 20; g < 24; g++)
        order_bench_put(g, 10);
    bench_run(&order_bench, 30000);
    for (int g = 20; g < 24; g++)
        assert_int_equal(order_bench_deleted_in(g), 10);
    bench_run(&order_bench, 30 * MINUTE);
    for (int g = 0; g < 20; g++)
        assert_int_equal(order_bench_deleted_in(g), 10);
    bench_clean_up(&order_bench);
}

static void
skip_goes_on_with_the_group_and_handles_the_failed_one_later(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.fifo_skips = true;
    bench_init_fifo(&order_bench, 1, &o);
    order_bench.each = true;
    order_bench_put(0, 10);
    order_witness_be_strict(order_bench.order);
    order_witness_excuse(order_bench.order, 0, 0);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 40000);
    bench_run(&order_bench, 5000);
    assert_int_equal(order_bench_deleted_in(0), 9);
    assert_int_equal(bench_in_hand(&order_bench), 0);
    bench_run(&order_bench, 45000);
    assert_int_equal(order_bench_deleted_in(0), 10);
    assert_int_equal(order_bench_message(0, 0)->handled, 2);
    bench_clean_up(&order_bench);
}

/* ---- dead letters ---- */

static bool deny;

static void
deny_dead_letters(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_SEND_DEAD && entry < 0 && deny) {
        fault->call = true;
        fault->code = "AccessDenied";
    }
}

static void
a_rejected_message_lets_its_group_go_on_when_its_dead_letter_is_confirmed(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench.sim.extra_ms[SIM_SEND_DEAD] = 3000;
    order_bench_put(0, 5);
    order_bench_let_first_fail(0, 1, HANDLER_REJECT, -1);
    bench_run(&order_bench, 2900);
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_int_equal(order_bench_message(0, 1)->handled, 0);
    bench_run(&order_bench, 1000);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 1);
    assert_int_equal(order_bench_deleted_in(0), 5);
    bench_clean_up(&order_bench);
}

static void
refuse_dead_letters(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_SEND_DEAD && entry >= 0 && deny) {
        fault->entry = fault->sender_fault = true;
        fault->code = "InvalidParameterValue";
    }
}

static void
a_refused_dead_letter_comes_back_before_those_behind_it(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    deny = true;
    order_bench.sim.hook = refuse_dead_letters;
    order_bench_put(0, 5);
    order_bench_let_first_fail(0, 1000, HANDLER_REJECT, -1);
    bench_run(&order_bench, 10 * MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 0);
    assert_int_equal(order_bench_message(0, 1)->handled, 0);
    assert_in_range(order_bench_message(0, 0)->handled, 2, 100);
    deny = false;
    bench_run(&order_bench, 20 * MINUTE);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 1);
    assert_int_equal(order_bench_deleted_in(0), 5);
    bench_clean_up(&order_bench);
}

/* Given back each time, all of the group would be moved by SQS, unhandled. */
static void
a_missing_permission_for_dead_letters_is_waited_for_under_lease(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    deny = true;
    order_bench.sim.hook = deny_dead_letters;
    order_bench.sim.redrives = true;
    order_bench.sim.max_receive_count = 4;
    order_bench_put(0, 5);
    order_bench_put(1, 5);
    order_bench_let_first_fail(0, 1, HANDLER_REJECT, -1);
    bench_run(&order_bench, 60 * MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 0);
    assert_int_equal(order_bench_deleted_in(1), 5);
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_int_equal(order_bench_message(0, 0)->receives, 1);
    assert_in_range(order_bench.sim.calls[SIM_SEND_DEAD], 60, 1500);
    deny = false;
    bench_run(&order_bench, MINUTE);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 1);
    assert_int_equal(order_bench_deleted_in(0), 5);
    assert_int_equal(order_bench_message(0, 4)->receives, 1);
    bench_clean_up(&order_bench);
}

/* ---- batches ---- */

static void
what_follows_a_failure_in_a_batch_is_handled_again_whatever_its_verdict(void **state)
{
    (void)state;
    order_bench_start(NULL, false);
    order_bench.early = 500;
    order_bench_put(0, 5);
    order_bench_let_first_fail(0, 2, HANDLER_RETRY, 1000);
    bench_run(&order_bench, 900);
    assert_int_equal(order_bench_deleted_in(0), 0);
    assert_int_equal(order_bench_message(0, 4)->done, 1); /* it said so */
    bench_run(&order_bench, 3000);
    assert_int_equal(order_bench_deleted_in(0), 5);
    assert_in_range(BENCH_COUNT(&order_bench, verdicts_dropped), 4, 8);
    bench_clean_up(&order_bench);
}

static void
with_handle_what_follows_a_failure_is_not_begun(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    order_bench_put(0, 5);
    order_bench_put(1, 5);
    order_bench_let_first_fail(0, 1, HANDLER_RETRY, 1000);
    bench_run(&order_bench, 5000);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(order_bench_message(0, i)->handled, 1);
    assert_int_equal(BENCH_COUNT(&order_bench, verdicts_dropped), 0);
    assert_int_equal(order_bench_deleted_in(0) + order_bench_deleted_in(1), 10);
    bench_clean_up(&order_bench);
}

static int64_t
takes_a_second(struct bench *bench, const struct message *m)
{
    (void)bench;
    (void)m;
    return 1000;
}

static void
groups_run_beside_each_other_up_to_the_threads(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    order_bench_start(&o, true);
    order_bench.takes = takes_a_second;
    for (int g = 0; g < 4; g++)
        order_bench_put(g, 2);
    bench_run(&order_bench, 1500);
    for (int g = 0; g < 4; g++) {
        assert_int_equal(order_bench_message(g, 0)->handled, 1);
        assert_int_equal(order_bench_message(g, 1)->handled, 0);
    }
    bench_run(&order_bench, 2000);
    for (int g = 0; g < 4; g++)
        assert_int_equal(order_bench_deleted_in(g), 2);
    bench_clean_up(&order_bench);
}

static void
a_standard_queue_with_groups_has_no_order(void **state)
{
    (void)state;
    struct order o;
    struct err e;
    assert_true(order_is_fifo("orders.fifo"));
    assert_true(order_is_fifo("https://sqs.eu-west-1.amazonaws.com/111111111111/orders.fifo"));
    assert_false(order_is_fifo(".fifo"));
    assert_false(order_is_fifo("orders.fif"));
    assert_false(order_is_fifo("fifo"));
    struct timers timers;
    timers_init(&timers);
    assert_int_equal(order_init(&o, false, false, 100, &timers, &e), 0);
    assert_null(o.buckets);
    order_clean_up(&o);
    timers_clean_up(&timers);
}

/* ---- deduplication ---- */

/* The second message waits at its gate for the event of the first, which failed and waits for its turn. */
static void
one_that_waits_for_the_event_of_the_failed_one_does_not_hold_it_up(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    struct err e;
    assert_int_equal(dedup_memory_new(1000, &o.dedup.store, &e), 0);
    o.dedup.window_ms = 60 * MINUTE;
    o.dedup.by_body = true;
    order_bench_start(&o, false);
    sim_put_in_group(&order_bench.sim, 0, "{\"the\":\"same\"}");
    sim_put_in_group(&order_bench.sim, 0, "{\"the\":\"same\"}");
    sim_put_in_group(&order_bench.sim, 0, "{}");
    order_witness_excuse(order_bench.order, 0, 1); /* nobody handles it */
    order_bench_let_first_fail(0, 2, HANDLER_RETRY, 1000);
    bench_run(&order_bench, 2 * MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 3);
    assert_int_equal(order_bench_message(0, 0)->handled, 3);
    assert_int_equal(order_bench_message(0, 1)->handled, 0);
    bench_clean_up(&order_bench);
}

/* ---- the breaker ---- */

static bool said_down;

static void
first_group_fails_and_the_second_is_down_once(struct bench *bench, struct message *m, struct sim_message *s)
{
    (void)bench;
    bool down = s->group == 1 && !said_down;
    said_down |= down;
    m->verdict.kind = s->group == 0 ? HANDLER_RETRY : down ? HANDLER_DOWN : HANDLER_DONE;
    m->verdict.delay_ms = -1;
}

static void
one_that_fails_each_time_keeps_no_other_group_away_from_the_breakers_tries(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    said_down = false;
    order_bench.decide = first_group_fails_and_the_second_is_down_once;
    for (int group = 0; group < 4; group++)
        order_bench_put(group, 5);
    bench_run(&order_bench, 2 * MINUTE);
    for (int group = 1; group < 4; group++)
        assert_int_equal(order_bench_deleted_in(group), 5);
    assert_int_equal(order_bench_deleted_in(0), 0);
    bench_clean_up(&order_bench);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_fails_each_time_keeps_no_other_group_away_from_the_breakers_tries),
        cmocka_unit_test(a_failure_holds_its_group_and_no_other),
        cmocka_unit_test(a_short_delay_is_waited_for_under_lease_and_spends_no_receive),
        cmocka_unit_test(a_group_does_not_stall_for_the_visibility_timeout_after_a_failure),
        cmocka_unit_test(a_long_delay_gives_the_group_back_and_it_comes_behind_the_failed_one),
        cmocka_unit_test(failures_here_count_as_attempts_when_the_message_comes_back),
        cmocka_unit_test(groups_that_wait_do_not_fill_the_worker),
        cmocka_unit_test(skip_goes_on_with_the_group_and_handles_the_failed_one_later),
        cmocka_unit_test(a_rejected_message_lets_its_group_go_on_when_its_dead_letter_is_confirmed),
        cmocka_unit_test(a_refused_dead_letter_comes_back_before_those_behind_it),
        cmocka_unit_test(a_missing_permission_for_dead_letters_is_waited_for_under_lease),
        cmocka_unit_test(what_follows_a_failure_in_a_batch_is_handled_again_whatever_its_verdict),
        cmocka_unit_test(with_handle_what_follows_a_failure_is_not_begun),
        cmocka_unit_test(groups_run_beside_each_other_up_to_the_threads),
        cmocka_unit_test(a_standard_queue_with_groups_has_no_order),
        cmocka_unit_test(one_that_waits_for_the_event_of_the_failed_one_does_not_hold_it_up),
    };
    return cmocka_run_group_tests_name("worker_order", tests, NULL, NULL);
}
