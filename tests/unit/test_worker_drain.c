/* The end of a worker: what it still does, what it gives back, and how long that takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"

#define MINUTE INT64_C(60000)

static void
drain(struct bench *b, int64_t ms)
{
    b->stopping = true;
    engine_drain(b->engine, sim_now_ms() + ms, sim_now_ms());
}

/* Runs to the end; how long it took. */
static int64_t
drain_to_the_end(struct bench *b, int64_t ms, size_t *ret_left)
{
    int64_t start_ms = sim_now_ms();
    drain(b, ms);
    assert_true(bench_run_until(b, bench_is_over, ms + 1));
    assert_true(engine_is_over(b->engine, ret_left));
    return sim_now_ms() - start_ms;
}

static size_t
visible(struct bench *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->sim.n_messages; i++)
        n += !b->sim.messages[i].deleted && b->sim.messages[i].visible_at_ms <= sim_now_ms();
    return n;
}

static size_t
deleted(struct bench *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->sim.n_messages; i++)
        n += b->sim.messages[i].deleted;
    return n;
}

static void
what_was_not_begun_is_given_back_at_once_and_what_was_is_finished(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    bench_init(&b, 1, NULL);
    b.longest_ms = 2000;
    bench_put(&b, 500);
    bench_run(&b, 3000);
    assert_int_equal(bench_in_hand(&b), engine_cap(b.engine));
    size_t before = deleted(&b);
    int64_t took_ms = drain_to_the_end(&b, 25000, &left);
    assert_int_equal(left, 0);
    assert_true(took_ms < 5000);
    assert_true(deleted(&b) >= before);
    assert_int_equal(deleted(&b) + visible(&b), 500); /* nothing is stranded */
    assert_true(BENCH_COUNT(&b, given_back) >= 40);
    assert_true(bench_ledger_is_empty(&b));
    bench_clean_up(&b);
}

static void
a_batch_that_waits_for_its_window_is_given_back(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    size_t left;
    o.wait_time_s = 1;
    o.batch_window_ms = 600000;
    bench_init(&b, 1, &o);
    bench_put(&b, 5);
    bench_run(&b, 1000);
    assert_true(drain_to_the_end(&b, 25000, &left) < 2000);
    assert_int_equal(left, 0);
    assert_int_equal(visible(&b), 5);
    assert_int_equal(BENCH_COUNT(&b, given_back), 5);
    bench_clean_up(&b);
}

static void
an_idle_poll_is_left_to_return(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    bench_init(&b, 1, NULL);
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(b.sim.receiving, 1);
    assert_in_range(drain_to_the_end(&b, 25000, &left), 0, 20100);
    assert_int_equal(b.sim.cancelled, 0);
    assert_int_equal(left, 0);
    bench_clean_up(&b);
}

static void
what_the_outstanding_poll_still_brings_is_given_back(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    bench_init(&b, 1, NULL);
    bench_run(&b, 21000); /* a new poll has just begun to wait */
    drain(&b, 25000);
    bench_run(&b, 2000);
    bench_put(&b, 7);
    assert_true(bench_run_until(&b, bench_is_over, 25000));
    assert_true(engine_is_over(b.engine, &left));
    assert_int_equal(left, 0);
    assert_int_equal(BENCH_COUNT(&b, given_back), 7);
    assert_int_equal(visible(&b), 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(b.sim.messages[i].handled, 0);
    bench_clean_up(&b);
}

static void
retries_after_a_second(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_RETRY;
    m->verdict.delay_ms = 1000;
}

static int64_t
takes_three_seconds(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 3000;
}

/* Or it would be received once more, by a worker that does not handle it. */
static void
what_fails_meanwhile_is_not_given_to_the_outstanding_poll(void **state)
{
    (void)state;
    for (unsigned early = 0; early <= 1000; early += 1000) {
        struct bench b;
        size_t left;
        bench_init(&b, 1, NULL);
        b.decide = retries_after_a_second;
        b.takes = takes_three_seconds;
        b.early = early;
        bench_run(&b, 10000);
        bench_put(&b, 3);
        bench_run(&b, 1000);
        assert_int_equal(b.sim.receiving, 1);
        engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
        assert_true(bench_run_until(&b, bench_is_over, 25001) && engine_is_over(b.engine, &left));
        assert_int_equal(left, 0);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(b.sim.messages[i].receives, 1);
        assert_int_equal(visible(&b), 3);
        assert_int_equal(BENCH_COUNT(&b, retried), 3);
        assert_int_equal(BENCH_COUNT(&b, given_back), 0);
        bench_clean_up(&b);
    }
}

static void
a_poll_that_outlasts_the_deadline_is_cut_off_before_it(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    bench_init(&b, 1, NULL);
    bench_run(&b, 21000);
    int64_t took_ms = drain_to_the_end(&b, 8000, &left);
    assert_in_range(took_ms, 6500, 7999);
    assert_int_equal(b.sim.cancelled, 1);
    assert_int_equal(left, 0);
    bench_clean_up(&b);
}

static int64_t
takes_ages(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 60 * MINUTE;
}

static void
the_deadline_ends_a_drain_and_says_what_is_left(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    bench_init(&b, 1, NULL);
    b.takes = takes_ages;
    bench_put(&b, 40);
    bench_run(&b, 1000);
    assert_int_equal(drain_to_the_end(&b, 25000, &left), 25000);
    assert_int_equal(left, 40);
    assert_int_equal(deleted(&b), 0);
    assert_false(bench_ledger_is_empty(&b)); /* a successor may adopt them */
    bench_clean_up(&b);
}

static int64_t
takes_twenty_seconds(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 20000;
}

static void
leases_are_extended_through_the_drain(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    size_t left;
    o.batch_size = 1;
    o.visibility_timeout_s = 4;
    bench_init(&b, 1, &o);
    b.takes = takes_twenty_seconds;
    bench_put(&b, 4);
    bench_run(&b, 1000);
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 25001));
    assert_true(engine_is_over(b.engine, &left));
    assert_int_equal(left, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_true(b.sim.messages[i].deleted);
        assert_int_equal(b.sim.messages[i].receives, 1);
    }
    bench_clean_up(&b);
}

static void
fail_deletes(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    unsigned *times = context;
    if (call == SIM_DELETE && entry < 0 && *times > 0) {
        --*times;
        fault->call = true;
    }
}

static void
every_delete_is_flushed_even_if_it_fails_first(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    unsigned times = 4;
    bench_init(&b, 1, NULL);
    b.sim.hook = fail_deletes;
    b.sim.context = &times;
    bench_put(&b, 40);
    while (b.sim.calls[SIM_DELETE] == 0)
        bench_run(&b, 1);
    drain_to_the_end(&b, 25000, &left);
    assert_int_equal(left, 0);
    assert_int_equal(times, 0);
    size_t done = 0;
    for (size_t i = 0; i < 40; i++)
        done += b.sim.messages[i].done;
    assert_int_equal(deleted(&b), done);
    assert_true(done > 0);
    bench_clean_up(&b);
}

static void
a_worker_that_never_found_its_queue_stops_at_once(void **state)
{
    (void)state;
    struct bench b;
    size_t left;
    bench_init(&b, 1, NULL);
    b.sim.fail_calls = 1000;
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(drain_to_the_end(&b, 25000, &left), 0);
    assert_int_equal(left, 0);
    bench_clean_up(&b);
}

static void
a_second_drain_can_only_shorten_the_first(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.takes = takes_ages;
    bench_put(&b, 4);
    bench_run(&b, 1000);
    int64_t start_ms = sim_now_ms();
    engine_drain(b.engine, start_ms + 10000, start_ms);
    engine_drain(b.engine, start_ms + 60000, start_ms);
    engine_drain(b.engine, start_ms + 5000, start_ms);
    assert_true(bench_run_until(&b, bench_is_over, 60000));
    assert_int_equal(sim_now_ms() - start_ms, 5000);
    bench_clean_up(&b);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_begun_is_given_back_at_once_and_what_was_is_finished),
        cmocka_unit_test(a_batch_that_waits_for_its_window_is_given_back),
        cmocka_unit_test(an_idle_poll_is_left_to_return),
        cmocka_unit_test(what_the_outstanding_poll_still_brings_is_given_back),
        cmocka_unit_test(what_fails_meanwhile_is_not_given_to_the_outstanding_poll),
        cmocka_unit_test(a_poll_that_outlasts_the_deadline_is_cut_off_before_it),
        cmocka_unit_test(the_deadline_ends_a_drain_and_says_what_is_left),
        cmocka_unit_test(leases_are_extended_through_the_drain),
        cmocka_unit_test(every_delete_is_flushed_even_if_it_fails_first),
        cmocka_unit_test(a_worker_that_never_found_its_queue_stops_at_once),
        cmocka_unit_test(a_second_drain_can_only_shorten_the_first),
    };
    return cmocka_run_group_tests_name("worker_drain", tests, NULL, NULL);
}
