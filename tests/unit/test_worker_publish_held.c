/* Messages that are held until what their handlers published is confirmed: their leases, their groups, the drain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/publish_rig.h"

#define MINUTE INT64_C(60000)

/* ---- leases and ends ---- */

static int64_t
takes_36_s(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 36000;
}

static void
what_was_done_is_held_past_lease_max_until_it_is_published(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.lease_max_s = 40;
    publish_rig_begin_with(1, &o);
    publishing.bench.takes = takes_36_s;
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    bench_put(&publishing.bench, 1);
    bench_run(&publishing.bench, 2 * MINUTE);
    assert_int_equal(bench_in_hand(&publishing.bench), 1);
    publishing.failure.times = 0;
    publish_rig_run(MINUTE);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 1);
    assert_int_equal(BENCH_COUNT(&publishing.bench, lost), 0);
    publish_rig_assert_one_copy();
    publish_rig_end();
}

/* Refused long after lease.max_s, when the bus answers at last. */
static void
a_refused_publish_pauses_with_all_of_lease_max_again(void **state)
{
    (void)state;
    for (int fifo = 0; fifo < 2; fifo++) {
        struct engine_options o = bench_defaults();
        o.lease_max_s = 40;
        o.retry.base_ms = o.retry.cap_ms = 25000;
        publish_rig_begin_on(1, &o, fifo ? bench_init_fifo : bench_init);
        publishing.bench.takes = takes_36_s;
        publishing.bench.early = fifo ? 1000 : 0;
        publishing.failure.call = SIM_PUT;
        publishing.failure.fault.call = true;
        publishing.failure.times = UINT32_MAX;
        if (fifo)
            sim_put_in_group(&publishing.bench.sim, 0, "{}");
        else
            bench_put(&publishing.bench, 1);
        bench_run(&publishing.bench, 2 * MINUTE);
        publishing.failure.fault = (struct sim_fault){.entry = true, .sender_fault = true, .code = "MalformedDetail"};
        publishing.failure.times = 1;
        publish_rig_run(5 * MINUTE);
        assert_int_equal(publishing.bench.sim.messages[0].handled, 2);
        assert_int_equal(publishing.bench.sim.messages[0].receives, fifo ? 1 : 2);
        assert_int_equal(BENCH_COUNT(&publishing.bench, lost), 0);
        publish_rig_assert_one_copy();
        publish_rig_end();
    }
}

static void
first_publishes(struct bench *b, struct message *m, struct sim_message *s)
{
    if (s->place == 0)
        publish_rig_handle(b, m, s);
    m->verdict.kind = HANDLER_DONE;
}

/* Both are done; the second waits for the first, whose event cannot be published yet. */
static void
what_is_done_behind_one_that_publishes_is_held_past_lease_max(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.lease_max_s = 80;
    publish_rig_begin_on(1, &o, bench_init_fifo);
    publishing.bench.takes = takes_36_s;
    publishing.bench.decide = first_publishes;
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    for (int i = 0; i < 2; i++)
        sim_put_in_group(&publishing.bench.sim, 0, "{}");
    bench_run(&publishing.bench, 5 * MINUTE);
    assert_int_equal(bench_in_hand(&publishing.bench), 2);
    publishing.failure.times = 0;
    assert_true(bench_run_until(&publishing.bench, bench_all_deleted, MINUTE));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(publishing.bench.sim.messages[i].handled, 1);
    assert_int_equal(BENCH_COUNT(&publishing.bench, lost), 0);
    assert_int_equal(BENCH_COUNT(&publishing.bench, deleted_late), 0);
    publish_rig_end();
}

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    if (call == SIM_VISIBILITY && entry >= 0 && *(bool *)context) {
        fault->entry = fault->sender_fault = true;
        fault->code = "InvalidParameterValue";
    }
}

static void
a_lease_lost_meanwhile_deletes_nothing_and_publishes_again(void **state)
{
    (void)state;
    bool refuses = true;
    publish_rig_begin(1);
    publishing.queue = "invoices";
    publishing.bench.sim.hook = refuse_extensions;
    publishing.bench.sim.context = &refuses;
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    bench_put(&publishing.bench, 2);
    bench_run(&publishing.bench, 29000);
    assert_int_equal(bench_in_hand(&publishing.bench), 0);
    assert_int_equal(BENCH_COUNT(&publishing.bench, lost), 2);
    assert_int_equal(BENCH_COUNT(&publishing.bench, publish_dropped), 2);
    assert_int_equal(publishing.bench.sim.calls[SIM_DELETE], 0);
    assert_int_equal(atomic_load(&publishing.desk.bytes), 0);
    refuses = false;
    publishing.failure.times = 0;
    publish_rig_run(MINUTE);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(publishing.bench.sim.messages[i].handled, 2);
    publish_rig_end();
}

static void
lose_then_handle(struct bench *b, struct message *m, struct sim_message *s)
{
    publish_rig_handle(b, m, s);
    if (s->handled == 1) /* between this verdict and the engine's look at it */
        atomic_store(&m->lost, true);
}

static void
a_done_that_comes_too_late_is_neither_deleted_nor_published(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publishing.bench.decide = lose_then_handle;
    bench_put(&publishing.bench, 1);
    bench_run(&publishing.bench, 5000);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 1);
    assert_int_equal(publishing.out.n_published, 0);
    assert_int_equal(publishing.bench.sim.calls[SIM_DELETE], 0);
    publish_rig_run(MINUTE);
    assert_int_equal(publishing.bench.sim.messages[0].handled, 2);
    publish_rig_assert_one_copy();
    publish_rig_end();
}

static void
a_drain_waits_for_confirmations(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    bench_put(&publishing.bench, 5);
    bench_run(&publishing.bench, 5000);
    engine_drain(publishing.bench.engine, sim_now_ms() + 60000, sim_now_ms());
    bench_run(&publishing.bench, 25000);
    assert_false(bench_is_over(&publishing.bench));
    publishing.failure.times = 0;
    assert_true(bench_run_until(&publishing.bench, bench_is_over, 30000));
    assert_int_equal(bench_in_hand(&publishing.bench), 0);
    for (size_t i = 0; i < 5; i++)
        assert_true(publishing.bench.sim.messages[i].deleted);
    publish_rig_assert_one_copy();
    publish_rig_end();
}

static void
what_a_drain_cannot_confirm_is_given_back_before_its_deadline(void **state)
{
    (void)state;
    publish_rig_begin(1);
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.call = true}, UINT32_MAX);
    bench_put(&publishing.bench, 5);
    bench_run(&publishing.bench, 5000);
    engine_drain(publishing.bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&publishing.bench, bench_is_over, 24900));
    assert_int_equal(bench_in_hand(&publishing.bench), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_false(publishing.bench.sim.messages[i].deleted);
        assert_true(publishing.bench.sim.messages[i].visible_at_ms <= sim_now_ms());
    }
    publish_rig_end();
}

static char sequence[20];

static void
handle_in_turn(struct bench *b, struct message *m, struct sim_message *s)
{
    size_t n = strlen(sequence);
    snprintf(sequence + n, sizeof sequence - n, "%zu", s->place);
    if (s->place == 0)
        publish_rig_handle(b, m, s);
    m->verdict.kind = HANDLER_DONE;
}

static void
with_handle_what_follows_a_refused_publish_is_not_begun(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    publish_rig_begin_on(1, &o, bench_init_fifo);
    publish_rig_let_fail(SIM_PUT, (struct sim_fault){.entry = true, .sender_fault = true, .code = "MalformedDetail"},
                         2);
    publishing.bench.decide = handle_in_turn;
    publishing.bench.each = true;
    publishing.bench.early = 1000; /* each verdict goes to the engine at once */
    sequence[0] = '\0';
    for (int i = 0; i < 3; i++)
        sim_put_in_group(&publishing.bench.sim, 0, "{}");
    assert_true(bench_run_until(&publishing.bench, bench_all_deleted, 5 * MINUTE));
    assert_string_equal(sequence, "00012");
    publish_rig_end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_done_is_held_past_lease_max_until_it_is_published),
        cmocka_unit_test(a_refused_publish_pauses_with_all_of_lease_max_again),
        cmocka_unit_test(what_is_done_behind_one_that_publishes_is_held_past_lease_max),
        cmocka_unit_test(a_lease_lost_meanwhile_deletes_nothing_and_publishes_again),
        cmocka_unit_test(a_done_that_comes_too_late_is_neither_deleted_nor_published),
        cmocka_unit_test(a_drain_waits_for_confirmations),
        cmocka_unit_test(what_a_drain_cannot_confirm_is_given_back_before_its_deadline),
        cmocka_unit_test(with_handle_what_follows_a_refused_publish_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
