/* Order within the groups of a FIFO queue: what one message's fate does to those behind it, on a simulated queue and
 * clock. Every run is watched by a witness (lib/order_witness.h), which aborts at the first breach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"
#include "worker/dedup_store.h"

#define MINUTE INT64_C(60000)

static struct bench b;

static void
start(const struct engine_options *options, bool each)
{
    bench_init_fifo(&b, 1, options);
    b.each = each;
    if (each)
        order_witness_be_strict(b.order);
}

static void
put(int group, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sim_put_in_group(&b.sim, group, "{}");
}

static struct sim_message *
message(int group, size_t place)
{
    size_t i = b.sim.groups[group].first;
    for (i = 0; i < b.sim.n_messages; i++)
        if (b.sim.messages[i].group == group && b.sim.messages[i].place == place)
            return &b.sim.messages[i];
    fail();
    return NULL;
}

/* ---- what handlers decide ---- */

static int fails_group; /* whose first message fails */
static unsigned fails_times;
static int64_t fails_delay_ms;
static int32_t fails_with;

static void
first_fails(struct bench *bench, struct message *m, struct sim_message *s)
{
    (void)bench;
    bool fails = s->group == fails_group && s->place == 0 && s->handled <= fails_times;
    m->verdict.kind = fails ? fails_with : HANDLER_DONE;
    m->verdict.delay_ms = fails ? fails_delay_ms : -1;
    if (fails)
        m->verdict.reason = message_copy_reason("no good");
}

static void
let_first_fail(int group, unsigned times, int32_t with, int64_t delay_ms)
{
    fails_group = group;
    fails_times = times;
    fails_with = with;
    fails_delay_ms = delay_ms;
    b.decide = first_fails;
}

static size_t
deleted_in(int group)
{
    size_t n = 0;
    for (size_t i = 0; i < b.sim.n_messages; i++)
        n += b.sim.messages[i].group == group && b.sim.messages[i].deleted;
    return n;
}

/* ---- a failure ---- */

static void
a_failure_holds_its_group_and_no_other(void **state)
{
    (void)state;
    start(NULL, true);
    put(0, 5);
    put(1, 5);
    put(2, 5);
    let_first_fail(1, 3, HANDLER_RETRY, 5000);
    bench_run(&b, 4000);
    assert_int_equal(deleted_in(0), 5);
    assert_int_equal(deleted_in(1), 0);
    assert_int_equal(deleted_in(2), 5);
    assert_int_equal(message(1, 0)->handled, 1);
    assert_int_equal(message(1, 1)->handled, 0);
    bench_run(&b, 12000);
    assert_int_equal(deleted_in(1), 5);
    assert_int_equal(message(1, 0)->handled, 4);
    bench_clean_up(&b);
}

static void
a_short_delay_is_waited_for_under_lease_and_spends_no_receive(void **state)
{
    (void)state;
    start(NULL, true);
    put(0, 10);
    let_first_fail(0, 5, HANDLER_RETRY, 20000);
    bench_run(&b, 3 * MINUTE);
    assert_int_equal(deleted_in(0), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(message(0, i)->receives, 1);
    assert_int_equal(BENCH_COUNT(&b, retried_here), 5);
    assert_int_equal(BENCH_COUNT(&b, retried), 0);
    assert_int_equal(BENCH_COUNT(&b, given_back_behind), 0);
    bench_clean_up(&b);
}

/* Spring Cloud AWS 1415: one failure stalled its group for the whole visibility timeout. */
static void
a_group_does_not_stall_for_the_visibility_timeout_after_a_failure(void **state)
{
    (void)state;
    start(NULL, true);
    b.sim.visibility_s = 600;
    put(0, 10);
    let_first_fail(0, 1, HANDLER_RETRY, 100);
    bench_run(&b, 1000);
    assert_int_equal(deleted_in(0), 10);
    bench_clean_up(&b);
}

static void
a_long_delay_gives_the_group_back_and_it_comes_behind_the_failed_one(void **state)
{
    (void)state;
    start(NULL, true);
    put(0, 10);
    put(1, 10);
    let_first_fail(0, 1, HANDLER_RETRY, 2 * MINUTE);
    bench_run(&b, 10000);
    assert_int_equal(deleted_in(1), 10);
    assert_int_equal(bench_in_hand(&b), 0);
    assert_int_equal(BENCH_COUNT(&b, given_back_behind), 9);
    bench_run(&b, 2 * MINUTE - 11000);
    assert_int_equal(message(0, 0)->handled, 1);
    assert_int_equal(message(0, 1)->handled, 0);
    bench_run(&b, 5000);
    assert_int_equal(deleted_in(0), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(message(0, i)->receives, 2);
    bench_clean_up(&b);
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
    start(&o, true);
    b.sim.has_dead_letters = true;
    put(0, 1);
    b.decide = fails_with_every_third_delay_long;
    bench_run(&b, 10 * MINUTE);
    assert_int_equal(message(0, 0)->handled, 8);
    assert_int_equal(message(0, 0)->receives, 3);
    assert_int_equal(message(0, 0)->dead_letters, 1);
    bench_clean_up(&b);
}

static void
groups_that_wait_do_not_fill_the_worker(void **state)
{
    (void)state;
    start(NULL, true);
    b.sim.visibility_s = 600;
    for (int g = 0; g < 20; g++) {
        put(g, 10);
        b.sim.messages[b.sim.groups[g].first].rejected = 0;
    }
    b.decide = NULL;
    b.retry = 1000; /* all fail, with delays of up to a minute: they fit */
    bench_run(&b, 30000);
    b.retry = 0;
    for (int g = 20; g < 24; g++)
        put(g, 10);
    bench_run(&b, 30000);
    for (int g = 20; g < 24; g++)
        assert_int_equal(deleted_in(g), 10);
    bench_run(&b, 30 * MINUTE);
    for (int g = 0; g < 20; g++)
        assert_int_equal(deleted_in(g), 10);
    bench_clean_up(&b);
}

static void
skip_goes_on_with_the_group_and_handles_the_failed_one_later(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.fifo_skips = true;
    bench_init_fifo(&b, 1, &o);
    b.each = true;
    put(0, 10);
    order_witness_be_strict(b.order);
    order_witness_excuse(b.order, 0, 0);
    let_first_fail(0, 1, HANDLER_RETRY, 40000);
    bench_run(&b, 5000);
    assert_int_equal(deleted_in(0), 9);
    assert_int_equal(bench_in_hand(&b), 0);
    bench_run(&b, 45000);
    assert_int_equal(deleted_in(0), 10);
    assert_int_equal(message(0, 0)->handled, 2);
    bench_clean_up(&b);
}

/* ---- receives ---- */

static void
start_with_receives(int max_receive_count)
{
    struct engine_options o = bench_defaults();
    o.lease_max_s = 45; /* of waiting it says nothing */
    start(&o, true);
    b.sim.has_dead_letters = b.sim.redrives = true;
    b.sim.max_receive_count = max_receive_count;
}

static void
one_that_fails_takes_the_last_receive_from_none_behind_it(void **state)
{
    (void)state;
    start_with_receives(3);
    put(0, 10);
    let_first_fail(0, 2, HANDLER_RETRY, 2 * MINUTE); /* longer than a visibility timeout */
    bench_run(&b, 10 * MINUTE);
    assert_int_equal(message(0, 0)->handled, 3);
    for (size_t i = 0; i < 10; i++) {
        assert_true(message(0, i)->deleted && !message(0, i)->moved);
        assert_int_equal(message(0, i)->dead_letters, 0);
        assert_int_equal(message(0, i)->receives, 2);
    }
    assert_int_equal(BENCH_COUNT(&b, retried_here), 1);
    bench_clean_up(&b);
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
    put(0, 3);
    second_fails_delay_ms = delay_ms;
    b.decide = first_fails_for_ever_and_the_second_once;
    bench_run(&b, 60 * 60 * MINUTE);
    assert_int_equal(message(0, 0)->handled, 4);
    assert_int_equal(message(0, 0)->dead_letters, 1);
    assert_int_equal(message(0, 1)->receives, 4);
    for (size_t i = 0; i < 3; i++)
        assert_true(message(0, i)->deleted && !message(0, i)->moved);
    assert_int_equal(message(0, 2)->dead_letters, 0);
}

static void
one_whose_receives_went_to_another_is_tried_again_at_the_last_of_them(void **state)
{
    (void)state;
    fail_at_the_last_receive(500);
    assert_int_equal(message(0, 1)->handled, 2);
    assert_int_equal(message(0, 1)->dead_letters, 0);
    bench_clean_up(&b);
}

static void
one_that_cannot_wait_here_is_a_dead_letter_at_its_last_receive(void **state)
{
    (void)state;
    fail_at_the_last_receive(13 * 60 * MINUTE);
    assert_int_equal(message(0, 1)->handled, 1);
    assert_int_equal(message(0, 1)->dead_letters, 1);
    assert_string_equal(message(0, 1)->dead_kind, "receives");
    assert_string_equal(message(0, 1)->dead_attempts, "1");
    bench_clean_up(&b);
}

static void
tries_here_end_after_as_many_as_the_queue_allows_receives(void **state)
{
    (void)state;
    start_with_receives(4);
    put(0, 3);
    let_first_fail(0, 1000, HANDLER_RETRY, 1000);
    bench_run(&b, MINUTE);
    assert_int_equal(message(0, 0)->handled, 4);
    assert_int_equal(message(0, 0)->receives, 1);
    assert_int_equal(message(0, 0)->dead_letters, 1);
    assert_string_equal(message(0, 0)->dead_reason,
                        "failed 4 times, as often as the queue's maxReceiveCount allows; last: no good");
    assert_int_equal(deleted_in(0), 3);
    bench_clean_up(&b);
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
    start(NULL, true);
    b.sim.extra_ms[SIM_SEND_DEAD] = 3000;
    put(0, 5);
    let_first_fail(0, 1, HANDLER_REJECT, -1);
    bench_run(&b, 2900);
    assert_int_equal(message(0, 0)->handled, 1);
    assert_int_equal(message(0, 1)->handled, 0);
    bench_run(&b, 1000);
    assert_int_equal(message(0, 0)->dead_letters, 1);
    assert_int_equal(deleted_in(0), 5);
    bench_clean_up(&b);
}

static void
a_refused_dead_letter_comes_back_before_those_behind_it(void **state)
{
    (void)state;
    start(NULL, true);
    deny = true;
    b.sim.hook = deny_dead_letters;
    put(0, 5);
    let_first_fail(0, 1000, HANDLER_REJECT, -1);
    bench_run(&b, 10 * MINUTE);
    assert_int_equal(deleted_in(0), 0);
    assert_int_equal(message(0, 1)->handled, 0);
    assert_in_range(message(0, 0)->handled, 2, 100);
    deny = false;
    bench_run(&b, 20 * MINUTE);
    assert_int_equal(message(0, 0)->dead_letters, 1);
    assert_int_equal(deleted_in(0), 5);
    bench_clean_up(&b);
}

/* ---- batches ---- */

static void
what_follows_a_failure_in_a_batch_is_handled_again_whatever_its_verdict(void **state)
{
    (void)state;
    start(NULL, false);
    b.early = 500;
    put(0, 5);
    let_first_fail(0, 2, HANDLER_RETRY, 1000);
    bench_run(&b, 900);
    assert_int_equal(deleted_in(0), 0);
    assert_int_equal(message(0, 4)->done, 1); /* it said so */
    bench_run(&b, 3000);
    assert_int_equal(deleted_in(0), 5);
    assert_in_range(BENCH_COUNT(&b, verdicts_dropped), 4, 8);
    bench_clean_up(&b);
}

static void
with_handle_what_follows_a_failure_is_not_begun(void **state)
{
    (void)state;
    start(NULL, true);
    put(0, 5);
    put(1, 5);
    let_first_fail(0, 1, HANDLER_RETRY, 1000);
    bench_run(&b, 5000);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(message(0, i)->handled, 1);
    assert_int_equal(BENCH_COUNT(&b, verdicts_dropped), 0);
    assert_int_equal(deleted_in(0) + deleted_in(1), 10);
    bench_clean_up(&b);
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
    start(&o, true);
    b.takes = takes_a_second;
    for (int g = 0; g < 4; g++)
        put(g, 2);
    bench_run(&b, 1500);
    for (int g = 0; g < 4; g++) {
        assert_int_equal(message(g, 0)->handled, 1);
        assert_int_equal(message(g, 1)->handled, 0);
    }
    bench_run(&b, 2000);
    for (int g = 0; g < 4; g++)
        assert_int_equal(deleted_in(g), 2);
    bench_clean_up(&b);
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

/* ---- leases ---- */

static bool refuse;

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_VISIBILITY && entry < 0 && refuse)
        fault->call = true;
}

static int64_t
takes_a_minute_at_first(struct bench *bench, const struct message *m)
{
    const struct sim_message *s = sim_find(&bench->sim, m->view.id);
    return s->handled == 0 && s->place == 0 && s->receives == 1 ? MINUTE : 10;
}

static void
what_stands_behind_a_lost_message_is_not_handled_before_it(void **state)
{
    (void)state;
    start(NULL, true);
    refuse = true;
    b.sim.hook = refuse_extensions;
    b.takes = takes_a_minute_at_first;
    put(0, 10);
    put(1, 1);
    bench_run(&b, 40000);
    assert_true(BENCH_COUNT(&b, lost) > 0);
    refuse = false;
    bench_run(&b, 10 * MINUTE);
    assert_int_equal(deleted_in(0), 10);
    bench_clean_up(&b);
}

/* It fails twice; its lease is lost in the pause after the first time. */
static void
one_lost_in_its_pause_has_failed_once(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.retry.max_attempts = 3;
    start(&o, true);
    b.sim.has_dead_letters = true;
    refuse = true;
    b.sim.hook = refuse_extensions;
    put(0, 1);
    let_first_fail(0, 2, HANDLER_RETRY, 30000);
    bench_run(&b, 31000);
    assert_int_equal(BENCH_COUNT(&b, lost), 1);
    refuse = false;
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(message(0, 0)->handled, 3);
    assert_int_equal(message(0, 0)->dead_letters, 0);
    assert_int_equal(deleted_in(0), 1);
    bench_clean_up(&b);
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
    start(&o, false);
    sim_put_in_group(&b.sim, 0, "{\"the\":\"same\"}");
    sim_put_in_group(&b.sim, 0, "{\"the\":\"same\"}");
    sim_put_in_group(&b.sim, 0, "{}");
    order_witness_excuse(b.order, 0, 1); /* nobody handles it */
    let_first_fail(0, 2, HANDLER_RETRY, 1000);
    bench_run(&b, 2 * MINUTE);
    assert_int_equal(deleted_in(0), 3);
    assert_int_equal(message(0, 0)->handled, 3);
    assert_int_equal(message(0, 1)->handled, 0);
    bench_clean_up(&b);
}

/* ---- drains ---- */

static void
a_drain_gives_back_what_waits_with_what_is_left_of_its_delay(void **state)
{
    (void)state;
    start(NULL, true);
    put(0, 5);
    let_first_fail(0, 1, HANDLER_RETRY, 25000);
    bench_run(&b, 5000);
    assert_int_equal(message(0, 0)->handled, 1);
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 25001));
    assert_int_equal(bench_in_hand(&b), 0);
    assert_true(bench_ledger_is_empty(&b));
    int64_t visible_ms = message(0, 0)->visible_at_ms;
    assert_in_range(visible_ms, 1000000 + 24000, 1000000 + 28000);
    assert_true(message(0, 1)->visible_at_ms <= sim_now_ms());
    bench_clean_up(&b);
}

/* Its own receive, which still waits at the queue, would bring it back. */
static void
a_drain_keeps_what_pauses_from_its_own_last_receive(void **state)
{
    (void)state;
    start(NULL, true);
    put(0, 5);
    let_first_fail(0, 1, HANDLER_RETRY, 3000);
    bench_run(&b, 1000);
    assert_int_equal(message(0, 0)->handled, 1);
    assert_int_equal(b.sim.receiving, 1); /* for almost 20 s more */
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 25001));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(message(0, i)->receives, 1);
        assert_true(message(0, i)->visible_at_ms <= sim_now_ms());
    }
    bench_clean_up(&b);
}

static void
a_drain_does_not_count_the_failure_of_what_pauses_again(void **state)
{
    (void)state;
    start(NULL, true);
    b.sim.has_dead_letters = true;
    b.sim.max_receive_count = 2; /* one more try is left to it */
    put(0, 1);
    let_first_fail(0, 1, HANDLER_RETRY, 20000);
    bench_run(&b, 2000);
    assert_int_equal(BENCH_COUNT(&b, retried_here), 1);
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 26000));
    assert_int_equal(message(0, 0)->handled, 1);
    assert_int_equal(message(0, 0)->dead_letters, 0);
    assert_false(message(0, 0)->deleted);
    assert_in_range(message(0, 0)->visible_at_ms, 1000000 + 19000, 1000000 + 23000);
    bench_clean_up(&b);
}

static bool
second_was_handled(struct bench *bench)
{
    (void)bench;
    return message(0, 1)->handled == 1;
}

/* SQS would move it at the next receive, and say nothing. */
static void
a_drain_makes_a_dead_letter_of_what_pauses_at_its_last_receive(void **state)
{
    (void)state;
    start_with_receives(2);
    put(0, 2);
    second_fails_delay_ms = 20000;
    b.decide = first_fails_for_ever_and_the_second_once;
    assert_true(bench_run_until(&b, second_was_handled, 24 * 60 * MINUTE));
    bench_run(&b, 2000);
    assert_int_equal(message(0, 1)->receives, 2);
    assert_int_equal(BENCH_COUNT(&b, retried_here), 1);
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 26000));
    assert_int_equal(message(0, 1)->handled, 1);
    assert_int_equal(message(0, 1)->dead_letters, 1);
    assert_string_equal(message(0, 1)->dead_kind, "receives");
    assert_string_equal(message(0, 1)->dead_reason,
                        "failed at receive 2, the last that the queue's maxReceiveCount allows; last: no good");
    assert_true(message(0, 1)->deleted);
    bench_clean_up(&b);
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
    start(&o, false);
    b.early = 1000;
    b.decide = first_of_the_batch_fails;
    b.takes = takes_five_seconds_behind_the_first;
    put(0, 1);
    put(1, 1);
    bench_run(&b, 2000);
    assert_int_equal(BENCH_COUNT(&b, retried_here), 1);
    assert_int_equal(message(0, 0)->handled + message(1, 0)->handled, 1);
    const struct sim_message *failed = message(message(0, 0)->handled ? 0 : 1, 0);
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 26000));
    assert_int_equal(failed->handled, 1);
    assert_in_range(failed->visible_at_ms, 1000000 + 24000, 1000000 + 28000);
    bench_clean_up(&b);
}

/* ---- answers that are lost ---- */

static unsigned answers_lost;

static void
lose_the_first_answer(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry < 0 && answers_lost == 0) {
        answers_lost++;
        fault->call = fault->executed = true;
    }
}

static void
after_a_lost_answer_the_same_messages_come_at_once(void **state)
{
    (void)state;
    bench_init_fifo(&b, 1, NULL);
    answers_lost = 0;
    b.sim.hook = lose_the_first_answer;
    b.sim.visibility_s = 600;
    put(0, 5);
    bench_run(&b, 5000);
    assert_int_equal(answers_lost, 1);
    assert_int_equal(b.sim.attempts_repeated, 1);
    assert_int_equal(deleted_in(0), 5);
    assert_int_equal(message(0, 0)->receives, 1);
    bench_clean_up(&b);
}

static void
lose_all_answers(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry < 0)
        fault->call = fault->executed = true;
}

static void
an_attempt_is_forgotten_before_its_id_has_expired_at_the_queue(void **state)
{
    (void)state;
    bench_init_fifo(&b, 1, NULL);
    b.sim.hook = lose_all_answers;
    b.sim.visibility_s = 60;
    put(0, 5);
    bench_run(&b, 6 * MINUTE);
    assert_true(b.sim.attempts_repeated > 0);
    assert_int_equal(message(0, 0)->receives, 2); /* under a second id, once the first was too old */
    b.sim.hook = NULL;
    bench_run(&b, 3 * MINUTE);
    assert_int_equal(deleted_in(0), 5);
    bench_clean_up(&b);
}

static unsigned damaged;

static void
damage_the_second_message(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry == 1 && damaged > 0) {
        damaged--;
        fault->entry = true;
    }
}

static void
what_came_with_a_damaged_message_is_not_handled_before_it(void **state)
{
    (void)state;
    for (unsigned times = 1; times <= 3; times++) {
        start(NULL, true);
        b.sim.hook = damage_the_second_message;
        damaged = times;
        put(0, 5);
        bench_run(&b, times == 1 ? 5000 : 2 * MINUTE); /* damaged twice: after its visibility timeout */
        assert_int_equal(deleted_in(0), 5);
        bench_clean_up(&b);
    }
}

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
    start(NULL, true);
    said_down = false;
    b.decide = first_group_fails_and_the_second_is_down_once;
    for (int group = 0; group < 4; group++)
        put(group, 5);
    bench_run(&b, 2 * MINUTE);
    for (int group = 1; group < 4; group++)
        assert_int_equal(deleted_in(group), 5);
    assert_int_equal(deleted_in(0), 0);
    bench_clean_up(&b);
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
        cmocka_unit_test(one_that_fails_takes_the_last_receive_from_none_behind_it),
        cmocka_unit_test(one_whose_receives_went_to_another_is_tried_again_at_the_last_of_them),
        cmocka_unit_test(one_that_cannot_wait_here_is_a_dead_letter_at_its_last_receive),
        cmocka_unit_test(tries_here_end_after_as_many_as_the_queue_allows_receives),
        cmocka_unit_test(skip_goes_on_with_the_group_and_handles_the_failed_one_later),
        cmocka_unit_test(a_rejected_message_lets_its_group_go_on_when_its_dead_letter_is_confirmed),
        cmocka_unit_test(a_refused_dead_letter_comes_back_before_those_behind_it),
        cmocka_unit_test(what_follows_a_failure_in_a_batch_is_handled_again_whatever_its_verdict),
        cmocka_unit_test(with_handle_what_follows_a_failure_is_not_begun),
        cmocka_unit_test(groups_run_beside_each_other_up_to_the_threads),
        cmocka_unit_test(a_standard_queue_with_groups_has_no_order),
        cmocka_unit_test(what_stands_behind_a_lost_message_is_not_handled_before_it),
        cmocka_unit_test(one_lost_in_its_pause_has_failed_once),
        cmocka_unit_test(one_that_waits_for_the_event_of_the_failed_one_does_not_hold_it_up),
        cmocka_unit_test(a_drain_gives_back_what_waits_with_what_is_left_of_its_delay),
        cmocka_unit_test(a_drain_keeps_what_pauses_from_its_own_last_receive),
        cmocka_unit_test(a_drain_does_not_count_the_failure_of_what_pauses_again),
        cmocka_unit_test(a_drain_makes_a_dead_letter_of_what_pauses_at_its_last_receive),
        cmocka_unit_test(a_drain_keeps_the_delay_of_one_settled_early),
        cmocka_unit_test(after_a_lost_answer_the_same_messages_come_at_once),
        cmocka_unit_test(an_attempt_is_forgotten_before_its_id_has_expired_at_the_queue),
        cmocka_unit_test(what_came_with_a_damaged_message_is_not_handled_before_it),
    };
    return cmocka_run_group_tests_name("worker_order", tests, NULL, NULL);
}
