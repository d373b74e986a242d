/* The promises about FIFO queues (README, "FIFO queues") under random verdicts, slow handlers, failing calls, lost
 * answers and garbled messages: within each group the order is kept, and every message ends. In `make soak` 100 groups
 * of 1,000 messages (FANOUT_EVENTS=20000 or more), otherwise a tenth of that. A failing seed is named; keep it in
 * KEPT_SEEDS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"
#include "lib/seeds.h"
#include "lib/xorshift.h"

static const uint64_t KEPT_SEEDS[] = {1, 3, 6, 7, 8, 10, 12, 14, 17, 22, 24, 29};

#define GROUPS 100

/* Cheaper than bench_all_deleted, which looks at each message after each event. */
static bool
all_ended(struct bench *b)
{
    return order_witness_all_ended(b->order) == b->sim.n_messages && bench_in_hand(b) == 0 && bench_all_deleted(b);
}

/* Storms: for a while no lease can be extended and nothing be given back, so that leases are lost. */
static void
fail_in_storms(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const struct bench *b = context;
    bool storm = sim_now_ms() / 20000 % 4 == 3 && order_witness_all_ended(b->order) < b->sim.n_messages * 3 / 4;
    if (call == SIM_VISIBILITY && entry < 0 && storm)
        fault->call = true;
}

static uint64_t garbling; /* 0: no message arrives garbled */
static bool storms;

static void
fail_and_garble(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    if (storms)
        fail_in_storms(context, call, entry, fault);
    if (call != SIM_RECEIVE || entry < 0 || garbling == 0)
        return;
    uint64_t x = xorshift_next(&garbling);
    fault->entry = x % 100 < 3;
    fault->groupless = x >> 40 & 1;
}

/* fifo.on_failure = skip: the order of what failed is given up. */
static void
skip_failed(struct bench *b, struct message *m, struct sim_message *s)
{
    uint64_t x = sim_random(&b->sim) % 1000;
    m->verdict.kind = x < b->retry ? HANDLER_RETRY : x < b->retry + b->reject ? HANDLER_REJECT : HANDLER_DONE;
    if (m->verdict.kind != HANDLER_DONE)
        order_witness_excuse(b->order, (size_t)s->group, s->place);
}

static void
run_seed(uint64_t seed)
{
    struct bench b;
    struct engine_options o = bench_defaults();
    uint64_t r = seed * UINT64_C(0x9e3779b97f4a7c15);
    size_t in_group = seeds_events(2000) >= 20000 ? 1000 : 40;
    o.batch_size = (size_t[]){1, 3, 10, 40}[r >> 60 & 3];
    o.prefetch = r >> 58 & 3;
    o.batch_window_ms = (r >> 56 & 1) * 200;
    o.max_per_s = (r >> 44 & 3) == 0 ? 200 : 0; /* then messages wait at a gate behind that of the order */
    o.fifo_skips = (r >> 46 & 3) == 0;
    bench_init_fifo(&b, seed, &o);
    b.each = r >> 50 & 1;
    if (o.fifo_skips)
        b.decide = skip_failed;
    storms = (r >> 48 & 3) == 0;
    garbling = seed % 4 == 3 ? seed : 0;
    b.sim.hook = fail_and_garble;
    b.sim.context = &b;
    if (b.each)
        order_witness_be_strict(b.order);
    b.sim.visibility_s = (int[]){4, 30, 120, 10}[r >> 54 & 3];
    b.sim.latency_ms = 1 + (int64_t)(r >> 40 & 63);
    b.sim.fail_calls = (r >> 30 & 7) * 10;
    b.sim.lose_answers = (r >> 27 & 7) * 10;
    b.sim.fail_entries = (r >> 24 & 7) * 10;
    b.early = b.each ? 1000 : 300;
    b.retry = (r >> 20 & 7) * 15;
    b.reject = (r >> 17 & 3) * 10;
    b.longest_ms = (int64_t[]){1, 20, 100, 3000}[r >> 14 & 3];
    for (size_t i = 0; i < in_group; i++)
        for (int g = 0; g < GROUPS; g++)
            sim_put_in_group(&b.sim, g, "{}");
    assert_true(bench_run_until(&b, all_ended, INT64_C(30) * 24 * 3600 * 1000));
    for (size_t g = 0; g < GROUPS; g++)
        assert_int_equal(order_witness_ended(b.order, g), in_group);
    for (size_t i = 0; i < b.sim.n_messages; i++) {
        const struct sim_message *m = &b.sim.messages[i];
        if (m->done == 0 && (m->rejected == 0 || m->dead_letters == 0) && m->dead_letters == 0)
            fail_msg("%s was deleted, but neither done nor dead-lettered", m->id);
    }
    engine_drain(b.engine, sim_now_ms() + 60000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 60001));
    assert_true(bench_ledger_is_empty(&b));
    bench_clean_up(&b);
}

static void
order_is_kept_in_every_group_and_every_message_ends(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {cmocka_unit_test(order_is_kept_in_every_group_and_every_message_ends)};
    return cmocka_run_group_tests_name("worker_order_random", tests, NULL, NULL);
}
