/* What handlers publish, from the verdict to its confirmation: the engine on a simulated queue, bus and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/publish_rig.h"
#include "lib/seeds.h"
#include "worker/publish.h"

#define MINUTE INT64_C(60000)

/* ---- the way it should go ---- */

static void
a_message_is_deleted_when_all_its_pieces_are_confirmed(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.queue = "invoices";
    publishing.pieces = 3;
    bench_put(&publishing.bench, 30);
    publish_rig_run(MINUTE);
    publish_rig_assert_one_copy();
    assert_int_equal(BENCH_COUNT(&publishing.bench, published), 180);
    assert_int_equal(BENCH_COUNT(&publishing.bench, done), 30);
    assert_int_equal(BENCH_COUNT(&publishing.bench, publish_dropped), 0);
    assert_int_equal(publishing.out.calls[SIM_FIND_TARGET], 1);
    publish_rig_end();
}

static void
pieces_go_out_ten_a_call(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.pieces = 10;
    bench_put(&publishing.bench, 100);
    publish_rig_run(MINUTE);
    assert_int_equal(publishing.out.largest_call, 10);
    assert_in_range(publishing.out.calls[SIM_PUT], 100, 110);
    publish_rig_end();
}

static void
a_lone_piece_waits_a_few_milliseconds(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.bench.sim.latency_ms = 0;
    bench_run(&publishing.bench, 1000);
    bench_put(&publishing.bench, 1);
    int64_t start_ms = sim_now_ms();
    publish_rig_run(MINUTE);
    assert_in_range(sim_now_ms() - start_ms, 0, 50 + 40); /* the simulated long poll looks every 50 ms */
    publish_rig_end();
}

static void
a_call_is_no_larger_than_aws_allows(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.queue = "invoices";
    publishing.detail_bytes = 300000;
    bench_put(&publishing.bench, 20);
    publish_rig_run(MINUTE);
    assert_in_range(publishing.out.largest_bytes, 900000, 1048576);
    assert_int_equal(publishing.out.largest_call, 3);
    publish_rig_end();
}

static void
an_early_done_is_published_while_its_batch_still_runs(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.bench.early = 1000;
    publishing.bench.longest_ms = 2000;
    bench_put(&publishing.bench, 10);
    bool early = false;
    while (!bench_all_deleted(&publishing.bench)) {
        bench_run(&publishing.bench, 10);
        early |= publishing.out.n_published > 0 && publishing.bench.threads[0].batch;
        publish_rig_assert_nothing_lost();
    }
    assert_true(early);
    publish_rig_end();
}

static void
what_is_not_done_publishes_nothing(void **state)
{
    (void)state;
    const int32_t verdicts[] = {HANDLER_RETRY, HANDLER_REJECT};
    for (size_t i = 0; i < 2; i++) {
        publish_rig_begin(1);
        publishing.verdict = verdicts[i];
        publishing.pieces = 2;
        bench_put(&publishing.bench, 5);
        publish_rig_run(5 * MINUTE);
        assert_int_equal(BENCH_COUNT(&publishing.bench, publish_dropped), 10);
        if (verdicts[i] == HANDLER_RETRY)
            publish_rig_assert_one_copy();
        else
            assert_int_equal(publishing.out.n_published, 0);
        publish_rig_end();
    }
}

static void
note_decision(void *context, struct message *m, int64_t now_ms)
{
    (void)m;
    (void)now_ms;
    *(bool *)context = true;
}

static void
the_trace_header_goes_along(void **state)
{
    (void)state;
    struct sqs_message received = sim_sqs_message("m-7", "handle", "{}", 1);
    received.trace_header = SLICE("Root=1-67891233-abcdef012345678912345678");
    struct publish p;
    bool decided = false;
    publish_rig_begin(1);
    publishing.queue = "invoices";
    struct message *m = message_new(&received, "orders", 0, 0);
    assert_non_null(m);
    publish_init(
        &p, &publishing.bench.sim.world,
        &(struct publish_options){.outlet = &publishing.out.outlet, .decided = note_decision, .context = &decided});
    publish_rig_publish(m);
    m->verdict.kind = HANDLER_DONE;
    publish_start(&p, m, sim_now_ms());
    sim_run(&publishing.bench.sim, 1000);
    assert_true(decided);
    assert_int_equal(publishing.out.n_published, 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(publishing.out.published[i].trace, "Root=1-67891233-abcdef012345678912345678");
    message_release(m);
    publish_clean_up(&p);
    publish_rig_end();
}

/* ---- failures ---- */

static void
failed_pieces_alone_are_sent_again(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.pieces = 5;
    publishing.failure.call = SIM_PUT;
    publishing.failure.text = "\"n\":3";
    publishing.failure.fault = (struct sim_fault){.entry = true, .code = "ThrottlingException"};
    publishing.failure.times = 3;
    bench_put(&publishing.bench, 1);
    publish_rig_run(5 * MINUTE);
    publish_rig_assert_one_copy();
    assert_int_equal(BENCH_COUNT(&publishing.bench, publish_errors), 3);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 1);
    publish_rig_end();
}

static void
a_lost_answer_sends_the_same_piece_twice_with_the_same_id(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.queue = "invoices";
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true, .executed = true}, 1);
    bench_put(&publishing.bench, 1);
    publish_rig_run(5 * MINUTE);
    assert_int_equal(sim_outlet_copies(&publishing.out, "m-0"), 3);
    assert_int_equal(sim_outlet_pieces(&publishing.out, "m-0"), 2);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 1);
    publish_rig_end();
}

static void
a_piece_refused_for_good_turns_done_into_a_retry(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.pieces = 3;
    publishing.failure.call = SIM_PUT;
    publishing.failure.text = "\"n\":1";
    publishing.failure.fault = (struct sim_fault){.entry = true, .sender_fault = true, .code = "MalformedDetail"};
    publishing.failure.times = 1;
    bench_put(&publishing.bench, 1);
    publish_rig_run(5 * MINUTE);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 2);
    assert_int_equal(BENCH_COUNT(&publishing.bench, retried), 1);
    assert_int_equal(BENCH_COUNT(&publishing.bench, done), 1);
    assert_int_equal(BENCH_COUNT(&publishing.bench, publish_failed), 1);
    publish_rig_end();
}

/* Each time done, with this delay, and each time refused. */
static unsigned
handled_in_ten_minutes(int64_t delay_ms)
{
    struct engine_options o = bench_defaults();
    o.breaker.failure_percent = 50;
    o.breaker.min_calls = 3;
    publish_rig_begin_with(1, &o);
    publishing.bench.sim.max_receive_count = 1000;
    publishing.delay_ms = delay_ms;
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.entry = true, .sender_fault = true, .code = "InvalidArgument"},
                         UINT32_MAX);
    bench_put(&publishing.bench, 1);
    bench_run(&publishing.bench, 10 * MINUTE);
    unsigned n = publishing.bench.sim.messages[0].handled;
    publish_rig_end();
    return n;
}

static void
a_refused_publish_backs_off_whatever_delay_came_with_done(void **state)
{
    (void)state;
    unsigned slow = handled_in_ten_minutes(-1), fast = handled_in_ten_minutes(0);
    assert_in_range(fast, 1, 2 * slow);
}

static void
a_call_refused_as_invalid_costs_the_piece_at_fault_alone(void **state)
{
    (void)state;
    publish_rig_begin(1);
    bench_put(&publishing.bench, 1);
    publishing.pieces = 9;
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true, .code = "ValidationException"}, 1);
    publish_rig_run(5 * MINUTE);
    publish_rig_assert_one_copy();
    assert_int_equal(publishing.out.calls[SIM_PUT], 10);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 1);
    publish_rig_end();
}

static void
an_outage_costs_a_few_calls_a_minute_and_no_receive(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    bench_put(&publishing.bench, 500);
    bench_run(&publishing.bench, MINUTE);
    unsigned calls = publishing.out.calls[SIM_PUT];
    bench_run(&publishing.bench, 30 * MINUTE);
    assert_in_range(publishing.out.calls[SIM_PUT] - calls, 30, 300);
    assert_int_equal(bench_in_hand(&publishing.bench),
                     engine_cap(publishing.bench.engine)); /* under lease, and no more is taken */
    for (size_t i = 0; i < 500; i++) {
        assert_true(publishing.bench.sim.messages[i].receives <= 1);
        assert_false(publishing.bench.sim.messages[i].deleted);
    }
    publishing.failure.times = 0;
    assert_true(bench_run_until(&publishing.bench, bench_all_deleted, MINUTE));
    publish_rig_assert_one_copy();
    publish_rig_end();
}

static void
a_missing_permission_holds_messages_and_is_told(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true, .code = "AccessDenied"}, UINT32_MAX);
    bench_put(&publishing.bench, 3);
    bench_run(&publishing.bench, MINUTE);
    assert_int_equal(publishing.bench.health, IPC_HEALTH_PERMISSION);
    assert_string_equal(publishing.bench.health_text, "events:PutEvents is denied");
    assert_int_equal(bench_in_hand(&publishing.bench), 3);
    publishing.failure.times = 0;
    publish_rig_run(MINUTE);
    bench_run(&publishing.bench, 1000);
    assert_int_equal(publishing.bench.health, IPC_HEALTH_OK);
    publish_rig_assert_one_copy();
    publish_rig_end();
}

static void
one_target_that_fails_holds_up_no_other(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    bench_put(&publishing.bench, 1);
    bench_run(&publishing.bench, 1000);
    publishing.bus = NULL;
    publishing.queue = "invoices";
    bench_put(&publishing.bench, 1);
    bench_run(&publishing.bench, 1000);
    assert_false(publishing.bench.sim.messages[0].deleted);
    assert_true(publishing.bench.sim.messages[1].deleted);
    publish_rig_end();
}

/* ---- queues ---- */

static void
a_queue_that_is_not_there_makes_retries_and_no_storm(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.bus = NULL;
    publishing.queue = "gone";
    publishing.bench.sim.has_dead_letters = false;
    publish_rig_let_fail(SIM_FIND_TARGET, (struct sim_fault){.call = true, .code = "NonExistentQueue"}, UINT32_MAX);
    bench_put(&publishing.bench, 200);
    bench_run(&publishing.bench, 10 * MINUTE);
    assert_true(BENCH_COUNT(&publishing.bench, retried) > 100);
    assert_in_range(publishing.out.calls[SIM_FIND_TARGET], 10, 300);
    assert_int_equal(BENCH_COUNT(&publishing.bench, deleted), 0);
    publishing.failure.times = 0;
    assert_true(bench_run_until(&publishing.bench, bench_all_deleted, 30 * MINUTE));
    publish_rig_assert_one_copy();
    publish_rig_end();
}

static void
a_queue_that_was_made_again_is_looked_up_again(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.bus = NULL;
    publishing.queue = "invoices";
    bench_put(&publishing.bench, 1);
    publish_rig_run(MINUTE);
    publish_rig_let_fail(SIM_SEND, (struct sim_fault){.call = true, .code = "NonExistentQueue"}, 1);
    bench_put(&publishing.bench, 1);
    publish_rig_run(5 * MINUTE);
    assert_int_equal(publishing.out.calls[SIM_FIND_TARGET], 2);
    assert_int_equal(publishing.bench.sim.messages[1].handled, 2);
    publish_rig_end();
}

/* Of the first copies of each message's pieces, those of a group are in order. */
static void
assert_groups_in_order(void)
{
    for (size_t i = 0; i < publishing.out.n_published; i++)
        for (size_t k = i + 1; k < publishing.out.n_published; k++) {
            const struct sim_published *a = &publishing.out.published[i], *b = &publishing.out.published[k];
            bool seen = false;
            for (size_t n = 0; n < k; n++)
                seen |= strcmp(publishing.out.published[n].dedup_id, b->dedup_id) == 0; /* what FIFO queues leave out */
            if (!seen && strcmp(a->message, b->message) == 0 && strcmp(a->group, b->group) == 0)
                assert_true(atoi(strchr(a->cause, ':') + 1) < atoi(strchr(b->cause, ':') + 1));
        }
}

static void
a_fifo_queue_gets_each_group_in_order_whatever_fails(void **state)
{
    (void)state;
    publish_rig_begin(3);
    publishing.bus = NULL;
    publishing.queue = "invoices.fifo";
    publishing.pieces = 8;
    publishing.groups = true;
    publishing.out.fail_calls = 100;
    publishing.out.lose_answers = 100;
    publishing.out.fail_entries = 200;
    bench_put(&publishing.bench, 10);
    publish_rig_run(60 * MINUTE);
    assert_groups_in_order();
    for (size_t i = 0; i < publishing.out.n_published; i++)
        assert_string_equal(publishing.out.published[i].dedup_id, publishing.out.published[i].cause);
    publish_rig_end();
}

static void
targets_that_are_used_no_more_are_not_kept(void **state)
{
    (void)state;
    char name[40];
    publish_rig_begin(1);
    publishing.bus = NULL;
    publishing.queue = name;
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "reply-%d", i);
        bench_put(&publishing.bench, 1);
        publish_rig_run(MINUTE);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "http://sim/reply-%d", i);
        assert_string_equal(publishing.out.published[i].target, name);
    }
    publish_rig_end();
}

/* ---- all of it ---- */

static void
nothing_is_lost_whatever_fails(void **state)
{
    (void)state;
    static const uint64_t KEPT_SEEDS[] = {1, 2};
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        publish_rig_begin(seed);
        publishing.queue = seed % 2 ? "invoices.fifo" : "invoices";
        publishing.pieces = 1 + seed % 3;
        publishing.bench.early = 300;
        publishing.bench.longest_ms = 50;
        publishing.bench.sim.fail_calls = publishing.bench.sim.lose_answers = publishing.bench.sim.fail_entries = 20;
        publishing.out.fail_calls = publishing.out.lose_answers = publishing.out.fail_entries = 100;
        bench_put(&publishing.bench, 150);
        publish_rig_run(120 * MINUTE);
        publish_rig_end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_deleted_when_all_its_pieces_are_confirmed),
        cmocka_unit_test(pieces_go_out_ten_a_call),
        cmocka_unit_test(a_lone_piece_waits_a_few_milliseconds),
        cmocka_unit_test(a_call_is_no_larger_than_aws_allows),
        cmocka_unit_test(an_early_done_is_published_while_its_batch_still_runs),
        cmocka_unit_test(what_is_not_done_publishes_nothing),
        cmocka_unit_test(the_trace_header_goes_along),
        cmocka_unit_test(failed_pieces_alone_are_sent_again),
        cmocka_unit_test(a_lost_answer_sends_the_same_piece_twice_with_the_same_id),
        cmocka_unit_test(a_piece_refused_for_good_turns_done_into_a_retry),
        cmocka_unit_test(a_refused_publish_backs_off_whatever_delay_came_with_done),
        cmocka_unit_test(a_call_refused_as_invalid_costs_the_piece_at_fault_alone),
        cmocka_unit_test(an_outage_costs_a_few_calls_a_minute_and_no_receive),
        cmocka_unit_test(a_missing_permission_holds_messages_and_is_told),
        cmocka_unit_test(one_target_that_fails_holds_up_no_other),
        cmocka_unit_test(a_queue_that_is_not_there_makes_retries_and_no_storm),
        cmocka_unit_test(a_queue_that_was_made_again_is_looked_up_again),
        cmocka_unit_test(a_fifo_queue_gets_each_group_in_order_whatever_fails),
        cmocka_unit_test(targets_that_are_used_no_more_are_not_kept),
        cmocka_unit_test(nothing_is_lost_whatever_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
