/* The worker's promises (DESIGN.md, "A message's life") under random verdicts, slow handlers, failing calls, lost
 * answers and duplicate deliveries, against a simulated queue and clock. A failing seed is named; keep it in
 * KEPT_SEEDS. lib/seeds.h says how to run others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"
#include "lib/seeds.h"

static const uint64_t KEPT_SEEDS[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* Why a dead letter is one: its handler rejected it, failed as often as it may, or at the last receive that the queue
 * allows. Receives count as attempts that nobody can know of, because their answers were lost; no others. */
static bool
is_rightly_dead(const struct bench *b, const struct sim_message *m, const struct retry_policy *p)
{
    if (strcmp(m->dead_kind, "attempts") == 0)
        return !p->leave && p->max_attempts > 0 && m->handled > 0 && m->receives >= p->max_attempts &&
               (b->sim.lose_answers > 0 || m->handled >= p->max_attempts);
    if (strcmp(m->dead_kind, "receives") == 0)
        return !p->leave && m->handled > 0 && m->receives >= 10;
    return m->rejected > 0 && strcmp(m->dead_kind, "rejected") == 0;
}

/* Nothing disappears that nobody declared done or that is not a dead letter. */
static void
assert_nothing_is_lost(struct bench *b, const struct retry_policy *p)
{
    for (size_t i = 0; i < b->sim.n_messages; i++) {
        const struct sim_message *m = &b->sim.messages[i];
        if (m->deleted && m->done == 0 && m->dead_letters == 0)
            fail_msg("%s was deleted, but neither done nor dead-lettered", m->id);
        if (m->dead_letters > 0 && !is_rightly_dead(b, m, p))
            fail_msg("%s, handled %u times and received %u times, is a dead letter for no reason: %s", m->id,
                     m->handled, m->receives, m->dead_reason);
    }
}

static void
run_seed(uint64_t seed, bool with_duplicates)
{
    struct bench b;
    struct engine_options o = bench_defaults();
    uint64_t r = seed * UINT64_C(0x9e3779b97f4a7c15);
    o.batch_size = (size_t[]){1, 3, 10, 40}[r >> 60 & 3];
    o.prefetch = r >> 58 & 1;
    o.batch_window_ms = (r >> 56 & 1) * 200;
    o.retry.max_attempts = (uint32_t[]){0, 1, 2, 4}[r >> 10 & 3];
    o.retry.leave = (r >> 8 & 3) == 0;
    bench_init(&b, seed, &o);
    b.sim.visibility_s = (int[]){4, 30, 120, 2}[r >> 54 & 3];
    b.sim.latency_ms = 1 + (int64_t)(r >> 40 & 63);
    b.sim.fail_calls = (r >> 30 & 7) * 20;
    b.sim.lose_answers = (r >> 27 & 7) * 10;
    b.sim.fail_entries = (r >> 24 & 7) * 20;
    b.sim.duplicates = with_duplicates ? 5 : 0;
    b.early = 300;
    b.retry = (r >> 20 & 7) * 30;
    b.reject = (r >> 17 & 3) * 30;
    b.longest_ms = (int64_t[]){1, 50, 1000, 6000}[r >> 14 & 3];
    bench_put(&b, 300);
    for (int i = 0; i < 4; i++) {
        bench_run(&b, 3000);
        bench_put(&b, 50);
    }
    assert_true(bench_run_until(&b, bench_all_deleted, INT64_C(12) * 3600 * 1000));
    assert_nothing_is_lost(&b, &o.retry);
    for (size_t i = 0; i < b.sim.n_messages; i++)
        if (b.sim.messages[i].done > 1)
            fail_msg("%s was handled again after it was done", b.sim.messages[i].id);
    engine_drain(b.engine, sim_now_ms() + 60000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 60001));
    assert_true(bench_ledger_is_empty(&b));
    bench_clean_up(&b);
}

static void
run_seeds(bool with_duplicates)
{
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed, with_duplicates);
}

static void
every_message_is_settled_whatever_fails(void **state)
{
    (void)state;
    run_seeds(false);
}

static void
duplicate_deliveries_lose_nothing(void **state)
{
    (void)state;
    run_seeds(true);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_settled_whatever_fails),
        cmocka_unit_test(duplicate_deliveries_lose_nothing),
    };
    return cmocka_run_group_tests_name("worker_property", tests, NULL, NULL);
}
