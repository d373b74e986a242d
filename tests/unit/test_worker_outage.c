/* What other consumers' users suffer from: polling that a network error ends for good, a queue or a permission that is
 * gone and becomes a storm of requests, memory that an empty queue costs, one message that holds up all others,
 * messages whose lease ran out before anybody looked at them. On a simulated queue and clock; with the real fanoutd,
 * tests/process/test_fault_matrix.c and test_pressure.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "base/log.h"
#include "lib/bench.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

/* What fails, all of it or the receives alone. */
struct outage {
    const char *code; /* NULL: nothing fails */
    bool receives_only, answers_lost;
};

static void
fail_all(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const struct outage *o = context;
    if (!o->code || entry >= 0 || (o->receives_only && call != SIM_RECEIVE))
        return;
    fault->call = true;
    fault->executed = o->answers_lost;
    fault->code = o->code;
}

static const struct outage OUTAGES[] = {
    {"InternalError", false, false}, /* no answer: refused, reset, no name, ... */
    {"InternalError", true, false},
    {"InternalError", false, true}, /* executed, and its answer lost */
    {"InternalError", true, true},
    {"AccessDenied", false, false}, /* a permission is taken away */
    {"AccessDenied", true, false},
    {"tls", false, false},
    {"InvalidParameterValue", true, false},
    {"AWS.SimpleQueueService.NonExistentQueue", false, false}, /* the queue is deleted */
    {"AWS.SimpleQueueService.NonExistentQueue", true, false},
    {"RequestThrottled", false, false},
    {"OverLimit", true, false},
};
#define N_OUTAGES (sizeof OUTAGES / sizeof *OUTAGES)

static unsigned
all_calls(const struct bench *b)
{
    unsigned n = 0;
    for (int i = 0; i < SIM_CALLS; i++)
        n += b->sim.calls[i];
    return n;
}

static void
no_network_error_ends_polling_for_good(void **state)
{
    (void)state;
    struct bench b;
    struct outage now = {0};
    bench_init(&b, 1, NULL);
    b.sim.hook = fail_all;
    b.sim.context = &now;
    b.longest_ms = 10;
    for (size_t i = 0; i < 5 * N_OUTAGES; i++) {
        now = OUTAGES[i % N_OUTAGES];
        bench_run(&b, (int64_t)(sim_random(&b.sim) % (unsigned)(i % 3 ? 2 * MINUTE : 200)));
        now.code = NULL;
        bench_put(&b, 20);
        if (!bench_run_until(&b, bench_all_deleted, 90000))
            fail_msg("polling did not go on after %s", OUTAGES[i % N_OUTAGES].code);
        assert_true(b.sim.receiving > 0 || bench_run_until(&b, bench_all_deleted, 1000));
    }
    bench_clean_up(&b);
}

static void
a_deleted_queue_or_a_lost_permission_is_no_storm_of_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OUTAGES; i++) {
        for (int with_messages = 0; with_messages < 2; with_messages++) {
            struct bench b;
            struct outage now = OUTAGES[i];
            bench_init(&b, 1, NULL);
            b.longest_ms = 10;
            bench_run(&b, MINUTE);
            b.sim.hook = fail_all;
            b.sim.context = &now;
            bench_put(&b, with_messages ? 500 : 0);
            unsigned before = all_calls(&b);
            bench_run(&b, HOUR);
            unsigned calls = all_calls(&b) - before;
            /* a receive, or a look for the queue, each half minute at the longest pause, with one of each other kind
             * of call for what is in hand */
            if (calls > 60 * 20)
                fail_msg("%s: %u calls in an hour", now.code, calls);
            now.code = NULL;
            assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
            bench_clean_up(&b);
        }
    }
}

/* By the simulation's clock. */
static void
a_day_of_an_empty_queue_costs_three_receives_a_minute_and_no_memory(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    bench_put(&b, 100); /* what a first burst needs may stay */
    bench_run(&b, HOUR);
    unsigned calls = b.sim.calls[SIM_RECEIVE];
    size_t bytes = mallinfo2().uordblks;
    b.sim.look_ms = 1000;
    bench_run(&b, 24 * HOUR);
    assert_in_range(b.sim.calls[SIM_RECEIVE] - calls, 24 * 60 * 3 - 50, 24 * 60 * 3 + 5);
    assert_true(mallinfo2().uordblks <= bytes + 512); /* the receive that waits just now, or not */
    bench_clean_up(&b);
}

static int64_t
first_takes_an_hour(struct bench *b, const struct message *m)
{
    (void)b;
    return m->body.p[0] == 's' ? HOUR : 1;
}

static bool
all_but_the_slow_are_deleted(struct bench *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->sim.n_messages; i++)
        n += b->sim.messages[i].deleted || b->sim.messages[i].body[0] == 's';
    return n == b->sim.n_messages;
}

/* As many slow ones as threads but one. */
static void
slow_messages_hold_up_neither_polls_nor_the_others(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    bench_init(&b, 1, &o);
    b.takes = first_takes_an_hour;
    for (int i = 0; i < BENCH_THREADS - 1; i++)
        sim_put(&b.sim, "slow");
    bench_put(&b, 200);
    assert_true(bench_run_until(&b, all_but_the_slow_are_deleted, 2 * MINUTE));
    bench_put(&b, 50); /* and what comes while they last */
    assert_true(bench_run_until(&b, all_but_the_slow_are_deleted, MINUTE));
    assert_true(bench_run_until(&b, bench_all_deleted, 2 * HOUR));
    for (size_t i = 0; i < b.sim.n_messages; i++)
        assert_int_equal(b.sim.messages[i].receives, 1);
    bench_clean_up(&b);
}

static int64_t
a_minute(struct bench *b, const struct message *m)
{
    (void)b, (void)m;
    return MINUTE;
}

/* Fifteen times the visibility timeout passes before the last of them is begun. */
static void
messages_that_wait_for_a_thread_keep_their_lease_until_they_are_started(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    o.prefetch = 3;
    bench_init(&b, 1, &o);
    b.sim.visibility_s = 12;
    b.takes = a_minute;
    bench_put(&b, 60);
    assert_true(bench_run_until(&b, bench_all_deleted, 2 * HOUR));
    for (size_t i = 0; i < b.sim.n_messages; i++) {
        assert_int_equal(b.sim.messages[i].receives, 1);
        assert_int_equal(b.sim.messages[i].handled, 1);
    }
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    bench_clean_up(&b);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_network_error_ends_polling_for_good),
        cmocka_unit_test(a_deleted_queue_or_a_lost_permission_is_no_storm_of_requests),
        cmocka_unit_test(a_day_of_an_empty_queue_costs_three_receives_a_minute_and_no_memory),
        cmocka_unit_test(slow_messages_hold_up_neither_polls_nor_the_others),
        cmocka_unit_test(messages_that_wait_for_a_thread_keep_their_lease_until_they_are_started),
    };
    return cmocka_run_group_tests_name("worker_outage", tests, NULL, NULL);
}
