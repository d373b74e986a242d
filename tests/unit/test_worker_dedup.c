/* Deduplication in the engine, on simulated queue, handlers and clock: which messages are handled, which wait, which
 * are deleted as duplicates, whatever fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bench.h"
#include "lib/order_witness.h"
#include "lib/seeds.h"
#include "worker/breaker.h"

#define MINUTE INT64_C(60000)
#define WINDOW (60 * MINUTE)

static const uint64_t KEPT_SEEDS[] = {2, 10};

/* ---- a store that takes its time, and fails ---- */

struct far_store {
    struct dedup_store store;
    struct dedup_store *inner;
    struct bench *bench;
    int64_t latency_ms;
    bool denied;         /* answers at once, that nothing is allowed */
    unsigned fail, lose; /* per thousand; the answers of begin and forget alone, unless fail_complete */
    bool fail_complete;
    size_t completed, operations;
};

struct far_call {
    struct timer timer;
    struct far_store *store;
    struct dedup_op *op;
};

static void
far_answer(struct timer *t, int64_t now_ms)
{
    struct far_call *c = (struct far_call *)t;
    struct far_store *s = c->store;
    struct dedup_op *op = c->op;
    bool spared = op->kind == DEDUP_COMPLETE && !s->fail_complete;
    bool fails = !spared && sim_chance(&s->bench->sim, s->fail);
    (void)now_ms;
    free(c);
    if (!fails) {
        assert_true(s->inner->ops->start(s->inner, op));
        s->completed += op->kind == DEDUP_COMPLETE;
        fails = !spared && sim_chance(&s->bench->sim, s->lose);
    }
    if (fails)
        op->code = err_set(&s->store.error, ERR_UNAVAILABLE, "the store is far away");
    op->done(op);
}

static bool
far_start(struct dedup_store *store, struct dedup_op *op)
{
    struct far_store *s = (struct far_store *)store;
    s->operations++;
    if (s->denied) {
        op->code = err_set(&s->store.error, ERR_DENIED, "dynamodb:PutItem is denied");
        return true;
    }
    struct far_call *c = malloc(sizeof *c);
    assert_non_null(c);
    *c = (struct far_call){.store = s, .op = op, .timer.fire = far_answer};
    assert_int_equal(timers_set(&s->bench->sim.timers, &c->timer, sim_now_ms() + s->latency_ms), 0);
    return false;
}

/* Nothing is under way any more: the tests drain. */
static void
far_destroy(struct dedup_store *store)
{
    struct far_store *s = (struct far_store *)store;
    s->inner->ops->destroy(s->inner);
}

static const struct dedup_store_ops FAR = {.start = far_start, .destroy = far_destroy};

/* ---- a bench with deduplication ---- */

struct scene {
    struct bench bench;
    struct far_store far;
    struct engine_options options;
    bool fifo;
};

static void
begin_scene(struct scene *w, uint64_t seed)
{
    struct err e;
    if (!w->options.consumer)
        w->options = bench_defaults();
    w->far.store.ops = &FAR;
    w->far.bench = &w->bench;
    assert_int_equal(dedup_memory_new(100000, &w->far.inner, &e), 0);
    w->options.dedup.store = w->far.latency_ms > 0 ? &w->far.store : w->far.inner;
    w->options.dedup.window_ms = WINDOW;
    if (w->fifo)
        bench_init_fifo(&w->bench, seed, &w->options);
    else
        bench_init(&w->bench, seed, &w->options);
}

static void
end_scene(struct scene *w)
{
    engine_drain(w->bench.engine, sim_now_ms() + MINUTE, sim_now_ms());
    assert_true(bench_run_until(&w->bench, bench_is_over, MINUTE + 1));
    bench_clean_up(&w->bench);
}

/* The message with event N; a replayed one with the original id `original`. */
static void
write_event(char body[400], const char *id, const char *original)
{
    char resource[100] = "";
    if (original)
        snprintf(resource, sizeof resource, "\"urn:fanout:replay:job\",\"urn:fanout:event:%s\"", original);
    snprintf(body, 400,
             "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":\"t\",\"source\":\"s\",\"account\":\"1\","
             "\"time\":\"2026-11-20T06:00:00Z\",\"region\":\"r\",\"resources\":[%s],\"detail\":{}}",
             id, resource);
}

static void
put_event(struct scene *w, const char *id, const char *original)
{
    char body[400];
    write_event(body, id, original);
    sim_put(&w->bench.sim, body);
}

static unsigned
handled(struct scene *w)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->bench.sim.n_messages; i++)
        n += w->bench.sim.messages[i].handled;
    return n;
}

static int64_t
takes_long(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 5 * MINUTE;
}

static void
assert_all_deleted(struct scene *w, int64_t ms)
{
    assert_true(bench_run_until(&w->bench, bench_all_deleted, ms));
}

/* ---- what is a duplicate ---- */

static void
an_event_that_comes_again_in_another_message_is_deleted_and_not_handled(void **state)
{
    (void)state;
    struct scene w = {0};
    begin_scene(&w, 1);
    put_event(&w, "e-1", NULL);
    assert_all_deleted(&w, MINUTE);
    put_event(&w, "e-1", NULL);
    put_event(&w, "e-2", NULL);
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(handled(&w), 2);
    assert_int_equal(w.bench.sim.messages[1].handled, 0);
    assert_int_equal(BENCH_COUNT(&w.bench, duplicates), 1);
    assert_int_equal(BENCH_COUNT(&w.bench, done), 2);
    end_scene(&w);
}

static void
a_replayed_event_is_known_by_the_id_it_had_first(void **state)
{
    (void)state;
    struct scene w = {0};
    begin_scene(&w, 1);
    put_event(&w, "e-1", NULL);
    put_event(&w, "e-2", "e-1");
    put_event(&w, "e-3", "e-1");
    put_event(&w, "e-4", "e-0");
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(handled(&w), 2);
    assert_int_equal(w.bench.sim.messages[3].handled, 1);
    end_scene(&w);
}

static void
without_an_envelope_messages_differ_unless_the_body_is_the_key(void **state)
{
    (void)state;
    for (int by_body = 0; by_body < 2; by_body++) {
        struct scene w = {.options = bench_defaults()};
        w.options.dedup.by_body = by_body;
        begin_scene(&w, 1);
        sim_put(&w.bench.sim, "plain");
        sim_put(&w.bench.sim, "plain");
        sim_put(&w.bench.sim, "other");
        sim_put(&w.bench.sim, "{\"id\":\"e-1\"}");
        assert_all_deleted(&w, MINUTE);
        assert_int_equal(handled(&w), by_body ? 3 : 4);
        end_scene(&w);
    }
}

static void
after_the_window_an_event_is_handled_again(void **state)
{
    (void)state;
    struct scene w = {0};
    begin_scene(&w, 1);
    put_event(&w, "e-1", NULL);
    bench_run(&w.bench, WINDOW - MINUTE);
    put_event(&w, "e-1", NULL);
    assert_all_deleted(&w, MINUTE / 2);
    assert_int_equal(handled(&w), 1);
    bench_run(&w.bench, MINUTE);
    put_event(&w, "e-1", NULL);
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(handled(&w), 2);
    end_scene(&w);
}

/* A store that is paid for by the operation. */
static void
an_event_costs_two_operations_and_one_for_each_extension(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 20};
    begin_scene(&w, 1);
    bench_put(&w.bench, 100);
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(w.far.operations, 200);
    w.bench.takes = takes_long;
    bench_put(&w.bench, 1);
    assert_all_deleted(&w, 10 * MINUTE);
    assert_int_equal(w.far.operations, 202 + BENCH_COUNT(&w.bench, extended));
    end_scene(&w);
}

/* ---- in progress ---- */

static void
a_duplicate_waits_until_the_first_is_completed(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 20};
    begin_scene(&w, 1);
    w.bench.takes = takes_long;
    put_event(&w, "e-1", NULL);
    put_event(&w, "e-1", NULL);
    bench_run(&w.bench, 4 * MINUTE); /* far beyond a visibility timeout: leases and records are renewed */
    assert_int_equal(bench_in_hand(&w.bench), 2);
    assert_false(w.bench.sim.messages[0].deleted || w.bench.sim.messages[1].deleted);
    assert_int_equal(w.bench.sim.messages[0].receives, 1);
    assert_int_equal(w.bench.sim.messages[1].receives, 1);
    assert_all_deleted(&w, 8 * MINUTE);
    assert_int_equal(handled(&w), 1);
    assert_int_equal(BENCH_COUNT(&w.bench, dedup_waited), 1);
    assert_int_equal(BENCH_COUNT(&w.bench, duplicates), 1);
    assert_int_equal(BENCH_COUNT(&w.bench, dedup_taken_over), 0);
    end_scene(&w);
}

static void
fail_the_first(struct bench *b, struct message *m, struct sim_message *s)
{
    unsigned *n = b->context;
    (void)s;
    m->verdict.kind = (*n)++ == 0 ? HANDLER_RETRY : HANDLER_DONE;
    m->verdict.delay_ms = 10 * MINUTE;
}

static void
when_the_first_fails_the_one_that_waited_is_handled(void **state)
{
    (void)state;
    for (int64_t latency_ms = 0; latency_ms <= 20; latency_ms += 20) {
        struct scene w = {.far.latency_ms = latency_ms};
        unsigned n = 0;
        begin_scene(&w, 1);
        w.bench.decide = fail_the_first;
        w.bench.context = &n;
        put_event(&w, "e-1", NULL);
        put_event(&w, "e-1", NULL);
        bench_run(&w.bench, 15000); /* forgotten, not expired */
        const struct sim_message *m = w.bench.sim.messages;
        assert_int_equal(m[0].handled, 1);
        assert_int_equal(m[1].handled, 1);
        assert_int_equal(m[0].deleted + m[1].deleted, 1);
        assert_all_deleted(&w, 15 * MINUTE); /* the first comes back, as a duplicate */
        assert_int_equal(handled(&w), 2);
        end_scene(&w);
    }
}

static void
reject_all(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_REJECT;
}

static void
a_rejected_event_is_forgotten(void **state)
{
    (void)state;
    struct scene w = {0};
    begin_scene(&w, 1);
    w.bench.decide = reject_all;
    put_event(&w, "e-1", NULL);
    assert_all_deleted(&w, 2 * MINUTE);
    assert_int_equal(w.bench.sim.messages[0].dead_letters, 1);
    put_event(&w, "e-1", NULL); /* redriven, say */
    assert_all_deleted(&w, 2 * MINUTE);
    assert_int_equal(handled(&w), 2);
    end_scene(&w);
}

static void
begin_as(struct scene *w, const char *owner, int64_t for_ms)
{
    struct dedup_op op = {.kind = DEDUP_BEGIN,
                          .key = SLICE("orders/event/e-1"),
                          .owner = slice_of_string(owner),
                          .now_ms = sim_now_ms(),
                          .expires_ms = sim_now_ms() + for_ms};
    assert_true(w->far.inner->ops->start(w->far.inner, &op));
    assert_int_equal(op.found, DEDUP_FRESH);
}

static void
a_message_takes_over_what_a_crash_left_of_it_at_once(void **state)
{
    (void)state;
    struct scene w = {0};
    begin_scene(&w, 1);
    begin_as(&w, "m-0", 10 * MINUTE);
    put_event(&w, "e-1", NULL);
    assert_all_deleted(&w, 1000);
    assert_int_equal(handled(&w), 1);
    end_scene(&w);
}

static void
another_message_waits_until_what_a_crash_left_has_expired(void **state)
{
    (void)state;
    struct scene w = {0};
    begin_scene(&w, 1);
    begin_as(&w, "gone", 10 * MINUTE);
    put_event(&w, "e-1", NULL);
    bench_run(&w.bench, 10 * MINUTE - 100);
    assert_int_equal(handled(&w), 0);
    assert_int_equal(w.bench.sim.messages[0].receives, 1);
    assert_all_deleted(&w, 1100);
    assert_int_equal(handled(&w), 1);
    end_scene(&w);
}

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_VISIBILITY && entry >= 0)
        fault->entry = fault->sender_fault = true;
}

static int64_t
takes_longer_each(struct bench *b, const struct message *m)
{
    unsigned *n = b->context;
    (void)m;
    return (*n)++ == 0 ? 1000 : 20000;
}

/* One of two says that it is done, and its batch returns after their leases were lost: that is noted all the same. */
static void
a_handler_that_is_done_too_late_has_completed_its_event(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 20};
    unsigned n = 0;
    begin_scene(&w, 1);
    w.bench.sim.hook = refuse_extensions;
    w.bench.takes = takes_longer_each;
    w.bench.context = &n;
    put_event(&w, "e-1", NULL);
    put_event(&w, "e-2", NULL);
    bench_run(&w.bench, 25000);
    assert_int_equal(BENCH_COUNT(&w.bench, lost), 2);
    assert_int_equal(BENCH_COUNT(&w.bench, done), 1);
    assert_int_equal(w.far.completed, 1);
    w.bench.sim.hook = NULL;
    w.bench.takes = NULL;
    put_event(&w, "e-1", NULL);
    put_event(&w, "e-2", NULL);
    assert_all_deleted(&w, 20 * MINUTE);
    assert_int_equal(handled(&w), 2); /* lost before it was begun, the other counts for none */
    end_scene(&w);
}

/* ---- a store that fails ---- */

static void
while_the_store_fails_messages_wait_up_to_the_cap_and_it_is_said(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .far.fail = 1000};
    begin_scene(&w, 1);
    bench_put(&w.bench, 500);
    bench_run(&w.bench, 30 * MINUTE);
    assert_int_equal(handled(&w), 0);
    assert_int_equal(w.bench.health, IPC_HEALTH_DEDUP);
    assert_non_null(strstr(w.bench.health_text, "far away"));
    assert_int_equal(bench_in_hand(&w.bench), w.bench.cap);
    assert_in_range(BENCH_COUNT(&w.bench, dedup_errors), 30 * 4, 30 * 30); /* backed off */
    for (size_t i = 0; i < 500; i++)
        assert_in_range(w.bench.sim.messages[i].receives, 0, 1); /* none of them burnt */
    w.far.fail = 0;
    assert_all_deleted(&w, 10 * MINUTE);
    assert_int_equal(handled(&w), 500);
    bench_run(&w.bench, 5000);
    assert_int_equal(w.bench.health, IPC_HEALTH_OK);
    end_scene(&w);
}

static void
by_option_messages_are_handled_while_the_store_fails(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .far.fail = 1000, .options = bench_defaults()};
    w.options.dedup.handle_anyway = true;
    begin_scene(&w, 1);
    bench_put(&w.bench, 100);
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(handled(&w), 100);
    assert_int_equal(BENCH_COUNT(&w.bench, dedup_unguarded), 100);
    assert_int_equal(w.bench.health, IPC_HEALTH_DEDUP);
    end_scene(&w);
}

static void
what_could_not_be_completed_is_deleted_and_counted(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .far.fail_complete = true};
    begin_scene(&w, 1);
    w.bench.longest_ms = 1000;
    bench_put(&w.bench, 10);
    bench_run(&w.bench, 50);
    w.far.fail = 1000;
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(handled(&w), 10);
    assert_in_range(BENCH_COUNT(&w.bench, dedup_uncompleted), 1, 10);
    end_scene(&w);
}

static bool
store_has_failed(struct bench *b)
{
    return BENCH_COUNT(b, dedup_errors) > 0;
}

static void
fail_the_first_for_a_second(struct bench *b, struct message *m, struct sim_message *s)
{
    unsigned *n = b->context;
    (void)s;
    m->verdict.kind = (*n)++ == 0 ? HANDLER_RETRY : HANDLER_DONE;
    m->verdict.delay_ms = 1000;
}

/* The first goes unguarded, and the second, behind it, begins the event that both have. */
static void
one_hiccup_of_the_store_does_not_block_a_group_of_equal_events(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .far.fail = 1000, .fifo = true, .options = bench_defaults()};
    unsigned n = 0;
    w.options.dedup.handle_anyway = true;
    begin_scene(&w, 1);
    w.bench.each = true;
    w.bench.longest_ms = 500;
    w.bench.decide = fail_the_first_for_a_second;
    w.bench.context = &n;
    char body[400];
    for (int i = 0; i < 5; i++) {
        const char *const ids[] = {"e-1", "e-1", "e-2", "e-3", "e-4"};
        write_event(body, ids[i], NULL);
        sim_put_in_group(&w.bench.sim, 0, body);
    }
    assert_true(bench_run_until(&w.bench, store_has_failed, 1000));
    w.far.fail = 0;
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(BENCH_COUNT(&w.bench, retried_here), 1);
    assert_int_equal(BENCH_COUNT(&w.bench, dedup_unguarded), 1);
    assert_int_equal(w.bench.sim.messages[0].handled, 2);
    end_scene(&w);
}

static int64_t
takes_36_seconds(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 36000;
}

/* The store takes its time to note that it was. */
static void
what_was_done_is_held_past_lease_max_until_its_event_is_completed(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .options = bench_defaults()};
    w.options.lease_max_s = 40;
    begin_scene(&w, 1);
    w.bench.takes = takes_36_seconds;
    put_event(&w, "e-1", NULL);
    bench_run(&w.bench, 34000);
    w.far.latency_ms = 20000;
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(handled(&w), 1);
    assert_int_equal(BENCH_COUNT(&w.bench, lost), 0);
    assert_int_equal(BENCH_COUNT(&w.bench, held_too_long), 0);
    assert_int_equal(BENCH_COUNT(&w.bench, deleted), 1);
    end_scene(&w);
}

/* Calls in a minute, once it has been out for a while, by all that is in hand. */
static size_t
calls_in_a_minute_of_outage(size_t batch_size)
{
    struct scene w = {.far.latency_ms = 5, .far.denied = true, .options = bench_defaults()};
    w.options.batch_size = batch_size;
    begin_scene(&w, 1);
    bench_put(&w.bench, w.bench.cap);
    bench_run(&w.bench, 5 * MINUTE);
    assert_int_equal(bench_in_hand(&w.bench), w.bench.cap);
    size_t before = w.far.operations;
    bench_run(&w.bench, MINUTE);
    size_t n = w.far.operations - before;
    w.far.denied = false;
    bench_run(&w.bench, 15000); /* a pause */
    assert_all_deleted(&w, 5000);
    assert_int_equal(handled(&w), w.bench.sim.n_messages);
    end_scene(&w);
    return n;
}

static void
a_store_that_is_out_is_asked_by_one_however_many_wait_and_then_by_all(void **state)
{
    (void)state;
    assert_in_range(calls_in_a_minute_of_outage(1), 2, 30);
    assert_in_range(calls_in_a_minute_of_outage(200), 2, 30);
}

static void
be_down_at_first(struct bench *b, struct message *m, struct sim_message *s)
{
    const bool *down = b->context;
    (void)s;
    m->verdict.kind = *down ? HANDLER_DOWN : HANDLER_DONE;
}

static void
complete_as(struct scene *w, const char *owner)
{
    struct dedup_op op = {.kind = DEDUP_COMPLETE,
                          .key = SLICE("orders/event/e-1"),
                          .owner = slice_of_string(owner),
                          .now_ms = sim_now_ms(),
                          .expires_ms = sim_now_ms() + WINDOW};
    assert_true(w->far.inner->ops->start(w->far.inner, &op));
}

/* What becomes of the event while its message waits here, and the store is out for longer than a lease. */
enum fate { COMPLETED_ELSEWHERE, BEGUN_ELSEWHERE, LEFT_ALONE };

static void
suffer(struct scene *w, enum fate fate)
{
    w->far.fail = 1000;
    bench_run(&w->bench, 80000);
    if (fate != LEFT_ALONE)
        begin_as(w, "another", 3 * MINUTE);
    if (fate == COMPLETED_ELSEWHERE)
        complete_as(w, "another");
    w->far.fail = 0;
}

static void
an_event_that_is_lost_while_its_message_waits_for_the_breaker_is_begun_again(void **state)
{
    (void)state;
    for (enum fate fate = COMPLETED_ELSEWHERE; fate <= LEFT_ALONE; fate++) {
        struct scene w = {.far.latency_ms = 5, .options = bench_defaults()};
        bool down = true;
        w.options.breaker.pause_ms = w.options.breaker.pause_cap_ms = 5 * MINUTE;
        begin_scene(&w, 1);
        w.bench.decide = be_down_at_first;
        w.bench.context = &down;
        put_event(&w, "e-1", NULL);
        bench_run(&w.bench, 2000);
        assert_int_equal(handled(&w), 1);
        suffer(&w, fate);
        down = false;
        bench_run(&w.bench, 40000);
        assert_int_equal(BENCH_COUNT(&w.bench, breaker_state), BREAKER_OPEN);
        assert_all_deleted(&w, 10 * MINUTE);
        assert_int_equal(handled(&w), fate == COMPLETED_ELSEWHERE ? 1 : 2);
        assert_int_equal(BENCH_COUNT(&w.bench, duplicates), fate == COMPLETED_ELSEWHERE);
        assert_int_equal(w.bench.sim.messages[0].receives, 1);
        end_scene(&w);
    }
}

static int64_t
others_take_two_minutes(struct bench *b, const struct message *m)
{
    (void)b;
    return strstr(m->view.body, "\"e-1\"") ? 1 : 2 * MINUTE;
}

static void
an_event_that_is_lost_while_its_message_waits_in_a_batch_is_begun_again(void **state)
{
    (void)state;
    for (enum fate fate = COMPLETED_ELSEWHERE; fate <= LEFT_ALONE; fate++) {
        struct scene w = {.far.latency_ms = 5, .options = bench_defaults()};
        w.options.batch_size = 1;
        begin_scene(&w, 1);
        w.bench.takes = others_take_two_minutes;
        bench_put(&w.bench, BENCH_THREADS); /* nobody is free */
        bench_run(&w.bench, 1000);
        put_event(&w, "e-1", NULL);
        bench_run(&w.bench, 1000);
        const struct sim_message *m = &w.bench.sim.messages[BENCH_THREADS];
        assert_int_equal(m->receives, 1);
        suffer(&w, fate);
        bench_run(&w.bench, MINUTE);
        assert_int_equal(m->handled, fate == LEFT_ALONE);
        assert_all_deleted(&w, 4 * MINUTE);
        assert_int_equal(m->handled, fate != COMPLETED_ELSEWHERE);
        assert_int_equal(m->receives, 1);
        assert_int_equal(BENCH_COUNT(&w.bench, duplicates), fate == COMPLETED_ELSEWHERE);
        end_scene(&w);
    }
}

/* It waits in a batch until the store is back. */
static void
what_nobody_could_renew_is_not_handled_while_the_store_fails(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .options = bench_defaults()};
    w.options.batch_size = 1;
    begin_scene(&w, 1);
    w.bench.takes = others_take_two_minutes;
    bench_put(&w.bench, BENCH_THREADS);
    bench_run(&w.bench, 1000);
    put_event(&w, "e-1", NULL);
    bench_run(&w.bench, 1000);
    w.far.fail = 1000;
    bench_run(&w.bench, 10 * MINUTE);
    assert_int_equal(w.bench.sim.messages[BENCH_THREADS].handled, 0);
    assert_int_equal(bench_in_hand(&w.bench), 1);
    w.far.fail = 0;
    assert_all_deleted(&w, MINUTE);
    assert_int_equal(w.bench.sim.messages[BENCH_THREADS].handled, 1);
    end_scene(&w);
}

/* The second of the group, which waits behind the first, begins the event that both have as soon as the store is back;
 * so the first, which the breaker holds, must not wait for it. */
static void
two_of_a_group_do_not_wait_for_each_other_after_an_outage(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 5, .fifo = true, .options = bench_defaults()};
    bool down = true;
    char body[400];
    w.options.breaker.pause_ms = w.options.breaker.pause_cap_ms = 5 * MINUTE;
    begin_scene(&w, 1);
    w.bench.each = true;
    w.bench.longest_ms = 50;
    w.bench.decide = be_down_at_first;
    w.bench.context = &down;
    write_event(body, "e-1", NULL);
    sim_put_in_group(&w.bench.sim, 0, body);
    sim_put_in_group(&w.bench.sim, 0, body);
    bench_run(&w.bench, 2000);
    assert_int_equal(BENCH_COUNT(&w.bench, dedup_waited), 1);
    suffer(&w, LEFT_ALONE);
    down = false;
    assert_all_deleted(&w, 10 * MINUTE);
    assert_int_equal(w.bench.sim.messages[0].handled, 2);
    assert_int_equal(w.bench.sim.messages[0].receives, 1);
    end_scene(&w);
}

/* ---- ends ---- */

static void
a_drain_gives_back_what_waits(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 20};
    begin_scene(&w, 1);
    begin_as(&w, "gone", 10 * MINUTE);
    put_event(&w, "e-1", NULL);
    bench_run(&w.bench, MINUTE);
    assert_int_equal(bench_in_hand(&w.bench), 1);
    engine_drain(w.bench.engine, sim_now_ms() + MINUTE, sim_now_ms());
    assert_true(bench_run_until(&w.bench, bench_is_over, MINUTE));
    assert_int_equal(bench_in_hand(&w.bench), 0);
    assert_int_equal(handled(&w), 0);
    assert_true(w.bench.sim.messages[0].visible_at_ms <= sim_now_ms());
    bench_clean_up(&w.bench);
}

static void
a_drain_forgets_what_was_begun_and_not_started(void **state)
{
    (void)state;
    struct scene w = {.far.latency_ms = 20};
    begin_scene(&w, 1);
    w.bench.takes = takes_long;
    for (int i = 0; i < 60; i++)
        put_event(&w, (char[]){'e', (char)('0' + i), 0}, NULL);
    bench_run(&w.bench, 1000);
    w.bench.stopping = true;
    engine_drain(w.bench.engine, sim_now_ms() + 10 * MINUTE, sim_now_ms());
    assert_true(bench_run_until(&w.bench, bench_is_over, 10 * MINUTE));
    size_t left = dedup_memory_count(w.far.inner);
    assert_int_equal(left, w.far.completed); /* nothing in progress */
    bench_clean_up(&w.bench);
}

/* ---- whatever fails ---- */

static unsigned
event_of(const struct sim_message *m)
{
    unsigned event;
    assert_int_equal(sscanf(strstr(m->body, "e-"), "e-%u", &event), 1);
    return event;
}

/* Every message ends, and every event is done once, or all its messages are dead letters, unless a lease
 * was lost, or a verdict did not count (FIFO); completions succeed here. */
static void
assert_once(struct scene *w)
{
    unsigned done[120] = {0};
    bool all_count = BENCH_COUNT(&w->bench, lost) == 0 && BENCH_COUNT(&w->bench, verdicts_dropped) == 0;
    for (size_t i = 0; i < w->bench.sim.n_messages; i++)
        done[event_of(&w->bench.sim.messages[i])] += w->bench.sim.messages[i].done;
    for (size_t i = 0; i < w->bench.sim.n_messages; i++) {
        const struct sim_message *m = &w->bench.sim.messages[i];
        if ((all_count && done[event_of(m)] > 1) || (done[event_of(m)] == 0 && m->dead_letters == 0))
            fail_msg("%s: event %u was done %u times", m->id, event_of(m), done[event_of(m)]);
    }
}

static void
run_seed(uint64_t seed)
{
    uint64_t r = seed * UINT64_C(0x9e3779b97f4a7c15);
    struct scene w = {.options = bench_defaults(),
                      .far.latency_ms = (int64_t[]){0, 1, 30, 400}[r >> 60 & 3],
                      .far.fail = (r >> 50 & 7) * 30,
                      .far.lose = (r >> 47 & 7) * 30};
    w.options.batch_size = (size_t[]){1, 3, 10, 40}[r >> 58 & 3];
    begin_scene(&w, seed);
    w.bench.sim.visibility_s = 30;
    w.bench.early = 300;
    w.bench.retry = (r >> 40 & 3) * 100;
    w.bench.longest_ms = (int64_t[]){1, 50, 1000, 6000}[r >> 30 & 3];
    w.bench.sim.duplicates = (r >> 25 & 3) == 0 ? 20 : 0;
    w.bench.sim.fail_entries = (r >> 20 & 3) * 30;
    for (unsigned i = 0; i < 300; i++) {
        char id[20];
        snprintf(id, sizeof id, "e-%u", (unsigned)(sim_random(&w.bench.sim) % 60));
        put_event(&w, id, NULL);
        if (i % 50 == 0)
            bench_run(&w.bench, 2000);
    }
    assert_all_deleted(&w, WINDOW - 10 * MINUTE);
    assert_once(&w);
    end_scene(&w);
}

static void
every_event_is_done_once_whatever_fails(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed);
}

/* One that may be a duplicate need not be handled, and those behind it need not wait for its delete. */
static void
excuse_duplicates(struct scene *w)
{
    unsigned n[120] = {0};
    for (size_t i = 0; i < w->bench.sim.n_messages; i++)
        n[event_of(&w->bench.sim.messages[i])]++;
    for (size_t i = 0; i < w->bench.sim.n_messages; i++) {
        const struct sim_message *m = &w->bench.sim.messages[i];
        if (n[event_of(m)] > 1)
            order_witness_excuse(w->bench.order, (size_t)m->group, m->place);
    }
}

/* Of a FIFO queue: groups have their order (the bench looks), though events wait for each other across groups. */
static void
run_fifo_seed(uint64_t seed)
{
    uint64_t r = seed * UINT64_C(0x9e3779b97f4a7c15);
    struct scene w = {.options = bench_defaults(),
                      .fifo = true,
                      .far.latency_ms = (int64_t[]){0, 1, 30, 400}[r >> 60 & 3],
                      .far.fail = (r >> 50 & 3) * 50,
                      .far.lose = (r >> 47 & 3) * 50};
    char body[400], id[20];
    w.options.batch_size = (size_t[]){1, 3, 10, 40}[r >> 58 & 3];
    begin_scene(&w, seed);
    w.bench.early = 300;
    w.bench.retry = (r >> 40 & 3) * 50;
    w.bench.reject = (r >> 36 & 1) * 30;
    w.bench.longest_ms = (int64_t[]){1, 50, 1000, 3000}[r >> 30 & 3];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(id, sizeof id, "e-%u", (unsigned)(sim_random(&w.bench.sim) % 120));
        write_event(body, id, NULL);
        sim_put_in_group(&w.bench.sim, (int)(sim_random(&w.bench.sim) % 10), body);
    }
    excuse_duplicates(&w);
    assert_all_deleted(&w, WINDOW - 10 * MINUTE);
    assert_once(&w);
    end_scene(&w);
}

static void
groups_keep_their_order_while_their_events_wait(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_fifo_seed(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_that_comes_again_in_another_message_is_deleted_and_not_handled),
        cmocka_unit_test(a_replayed_event_is_known_by_the_id_it_had_first),
        cmocka_unit_test(without_an_envelope_messages_differ_unless_the_body_is_the_key),
        cmocka_unit_test(after_the_window_an_event_is_handled_again),
        cmocka_unit_test(an_event_costs_two_operations_and_one_for_each_extension),
        cmocka_unit_test(a_duplicate_waits_until_the_first_is_completed),
        cmocka_unit_test(when_the_first_fails_the_one_that_waited_is_handled),
        cmocka_unit_test(a_rejected_event_is_forgotten),
        cmocka_unit_test(a_message_takes_over_what_a_crash_left_of_it_at_once),
        cmocka_unit_test(another_message_waits_until_what_a_crash_left_has_expired),
        cmocka_unit_test(a_handler_that_is_done_too_late_has_completed_its_event),
        cmocka_unit_test(while_the_store_fails_messages_wait_up_to_the_cap_and_it_is_said),
        cmocka_unit_test(by_option_messages_are_handled_while_the_store_fails),
        cmocka_unit_test(what_could_not_be_completed_is_deleted_and_counted),
        cmocka_unit_test(one_hiccup_of_the_store_does_not_block_a_group_of_equal_events),
        cmocka_unit_test(what_was_done_is_held_past_lease_max_until_its_event_is_completed),
        cmocka_unit_test(a_store_that_is_out_is_asked_by_one_however_many_wait_and_then_by_all),
        cmocka_unit_test(an_event_that_is_lost_while_its_message_waits_for_the_breaker_is_begun_again),
        cmocka_unit_test(an_event_that_is_lost_while_its_message_waits_in_a_batch_is_begun_again),
        cmocka_unit_test(what_nobody_could_renew_is_not_handled_while_the_store_fails),
        cmocka_unit_test(two_of_a_group_do_not_wait_for_each_other_after_an_outage),
        cmocka_unit_test(a_drain_gives_back_what_waits),
        cmocka_unit_test(a_drain_forgets_what_was_begun_and_not_started),
        cmocka_unit_test(every_event_is_done_once_whatever_fails),
        cmocka_unit_test(groups_keep_their_order_while_their_events_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
