/* What the engine does while handlers are not to be called: the breaker and the rate, on a simulated queue and clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "lib/bench.h"
#include "lib/rounds.h"
#include "lib/seeds.h"
#include "lib/skip.h"
#include "worker/engine_impl.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

static const uint64_t KEPT_SEEDS[] = {1, 2};

/* ---- handlers ---- */

static struct {
    int64_t down_from_ms, down_until_ms; /* what they depend on */
    bool fails;                          /* they say RETRY meanwhile, not DOWN */
    int64_t delay_ms;                    /* of that */
    int64_t first_done_ms;
    unsigned calls_while_down;
    int64_t last_call_ms;
} handler;

static bool
is_down(void)
{
    return sim_now_ms() >= handler.down_from_ms && sim_now_ms() < handler.down_until_ms;
}

static void
depend(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b, (void)s;
    handler.last_call_ms = sim_now_ms();
    if (is_down()) {
        handler.calls_while_down++;
        m->verdict.kind = handler.fails ? HANDLER_RETRY : HANDLER_DOWN;
        m->verdict.delay_ms = handler.delay_ms;
        return;
    }
    if (handler.first_done_ms == 0 && sim_now_ms() >= handler.down_until_ms)
        handler.first_done_ms = sim_now_ms();
    m->verdict.kind = HANDLER_DONE;
}

/* A bench whose handlers depend on something that is down for so long, from now on. */
static void
begin(struct bench *b, const struct engine_options *o, int64_t down_ms)
{
    bench_init(b, 1, o);
    memset(&handler, 0, sizeof handler);
    handler.down_from_ms = sim_now_ms();
    handler.down_until_ms = sim_now_ms() + down_ms;
    handler.delay_ms = -1;
    b->decide = depend;
    b->longest_ms = 20;
}

static unsigned
most_receives(const struct bench *b)
{
    unsigned most = 0;
    for (size_t i = 0; i < b->sim.n_messages; i++)
        most = b->sim.messages[i].receives > most ? b->sim.messages[i].receives : most;
    return most;
}

/* ---- the breaker ---- */

static void
an_hour_of_what_is_down_burns_no_receive_and_ends_within_a_pause(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, NULL, HOUR);
    bench_put(&b, 1000);
    bench_run(&b, HOUR);
    assert_int_equal(b.sim.world.metrics->breaker_state, BREAKER_OPEN);
    assert_in_range(handler.calls_while_down, 30,
                    140); /* one for each pause of 30 to 60 s, and those of the beginning */
    assert_true(BENCH_COUNT(&b, received) <= (long)b.cap);
    assert_true(b.sim.calls[SIM_RECEIVE] <= 20);
    assert_int_equal(b.health, IPC_HEALTH_HANDLER);
    assert_true(bench_run_until(&b, bench_all_deleted, 3 * MINUTE));
    assert_in_range(handler.first_done_ms - handler.down_until_ms, 0, 61000);
    assert_int_equal(most_receives(&b), 1);
    assert_int_equal(BENCH_COUNT(&b, retried), 0);
    assert_int_equal(BENCH_COUNT(&b, given_back), 0);
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    assert_int_equal(b.health, IPC_HEALTH_OK);
    assert_int_equal(b.sim.world.metrics->held, 0);
    bench_clean_up(&b);
}

static void
too_many_failures_stop_the_polls_too(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.breaker.failure_percent = 50;
    begin(&b, &o, HOUR);
    handler.fails = true;
    bench_put(&b, 1000);
    bench_run(&b, HOUR);
    assert_true(handler.calls_while_down <= 20 + BENCH_THREADS * 10 + 140);
    assert_true(b.sim.calls[SIM_RECEIVE] <= 200);
    assert_true(bench_run_until(&b, bench_all_deleted, 30 * MINUTE));
    bench_clean_up(&b);
}

static void
retries_that_name_their_time_and_rejects_open_nothing(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.breaker.failure_percent = 1;
    o.breaker.min_calls = 1;
    begin(&b, &o, MINUTE);
    handler.fails = true;
    handler.delay_ms = 1000;
    bench_put(&b, 100);
    bench_run(&b, MINUTE);
    assert_int_equal(BENCH_COUNT(&b, breaker_openings), 0);
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    b.decide = NULL;
    b.reject = 1000;
    bench_put(&b, 100);
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    assert_int_equal(BENCH_COUNT(&b, breaker_openings), 0);
    bench_clean_up(&b);
}

static size_t
inside(const struct bench *b)
{
    size_t n = 0;
    for (size_t i = 0; i < BENCH_THREADS; i++)
        n += b->threads[i].batch ? b->threads[i].batch->count : 0;
    return n + b->n_waiting;
}

/* One, then two, ...: what has gathered is not let loose at once. */
static void
tries_begin_with_one_message_in_a_batch_of_its_own_and_grow_with_success(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_window_ms = 10000; /* for which no try waits */
    begin(&b, &o, 10 * MINUTE);
    bench_put(&b, 200);
    bench_run(&b, 10 * MINUTE);
    size_t most = 0;
    long done = 0;
    while (b.sim.world.metrics->breaker_state != BREAKER_CLOSED) {
        bench_run(&b, 1);
        if (b.sim.world.metrics->breaker_state == BREAKER_CLOSED)
            break;
        most = inside(&b) > most ? inside(&b) : most;
        long now_done = BENCH_COUNT(&b, done);
        if (inside(&b) > (size_t)now_done + 1)
            fail_msg("%zu at handlers after %ld tries that went well", inside(&b), now_done);
        assert_true(now_done >= done);
        done = now_done;
    }
    assert_in_range(done, 30, 60); /* as many as four threads have in batches of ten, less the first */
    assert_in_range(handler.first_done_ms - handler.down_until_ms, 0, 61000);
    assert_true(most > 1);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(most_receives(&b), 1);
    bench_clean_up(&b);
}

static void
poison(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    m->verdict.kind = strcmp(s->id, "m-3") == 0 || strcmp(s->id, "m-7") == 0 ? HANDLER_DOWN : HANDLER_DONE;
}

static bool
all_but_two_are_deleted(struct bench *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->sim.n_messages; i++)
        n += b->sim.messages[i].deleted;
    return n + 2 >= b->sim.n_messages;
}

static void
messages_that_wrongly_say_down_each_time_keep_no_other_away(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, NULL, 0);
    b.decide = poison;
    bench_put(&b, 300);
    assert_true(bench_run_until(&b, all_but_two_are_deleted, 5 * MINUTE));
    bench_put(&b, 1500); /* and it goes on so */
    assert_true(bench_run_until(&b, all_but_two_are_deleted, 5 * MINUTE));
    assert_int_equal(most_receives(&b), 1);
    bench_clean_up(&b);
}

/* As often as they are handled. */
static void
three_say_down(struct bench *b, struct message *m, struct sim_message *s)
{
    m->verdict.kind = s < b->sim.messages + 3 ? HANDLER_DOWN : HANDLER_DONE;
}

static int64_t
takes_10_ms(struct bench *b, const struct message *m)
{
    (void)b, (void)m;
    return 10;
}

static size_t
deleted_in_a_while(uint64_t seed, bool groups)
{
    struct bench b;
    const size_t messages = rounds_of(6000);
    size_t n = 0;
    bench_init(&b, seed, NULL);
    b.each = true;
    b.decide = three_say_down;
    b.takes = takes_10_ms;
    for (size_t i = 0; i < messages; i++)
        sim_put(&b.sim, "{}")->group = groups ? (int)(i % 7) : -1;
    bench_run(&b, (int64_t)rounds_of(5) * MINUTE);
    for (size_t i = 0; i < b.sim.n_messages; i++)
        n += b.sim.messages[i].deleted;
    bench_clean_up(&b);
    return n;
}

/* Its groups make no order. */
static void
messages_that_always_say_down_slow_a_fair_queue_no_more_than_one_without_groups(void **state)
{
    (void)state;
    assert_true(deleted_in_a_while(3, true) >= deleted_in_a_while(3, false) * 9 / 10);
}

static int32_t everyones_verdict;

static void
say_all_the_same(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b, (void)s;
    m->verdict.kind = everyones_verdict;
}

static int64_t everyones_ms;

static int64_t
take_all_the_same(struct bench *b, const struct message *m)
{
    (void)b, (void)m;
    return everyones_ms;
}

static double
cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Of 32,000 messages, most of which are kept, a thousand tries fail at once: how long the longest event takes. */
static double
longest_event_while_tries_fail(bool fifo, int groups)
{
    struct bench b;
    struct engine_options o = bench_defaults();
    o.threads = 2;
    o.batch_size = 8000;
    if (fifo)
        bench_init_fifo(&b, 1, &o);
    else
        bench_init(&b, 1, &o);
    b.decide = say_all_the_same;
    b.takes = take_all_the_same;
    b.sim.latency_ms = 100;
    b.sim.visibility_s = 600;
    everyones_verdict = HANDLER_DOWN;
    everyones_ms = MINUTE;
    for (int i = 0; i < 32000; i++) {
        if (fifo)
            sim_put_in_group(&b.sim, i % groups, "{}");
        else
            sim_put(&b.sim, "{}")->group = groups ? i % groups : -1;
    }
    bench_run(&b, MINUTE - 1000);
    everyones_ms = 20;
    bench_run(&b, 3000);
    everyones_verdict = HANDLER_DONE;
    /* how it comes to so many tries is of no matter here */
    for (int i = 0; i < 40000 && b.engine->pressure.breaker.state != BREAKER_TRYING; i++)
        bench_run(&b, 1);
    assert_int_equal(b.engine->pressure.breaker.state, BREAKER_TRYING);
    assert_true(b.engine->pressure.kept > (fifo ? (size_t)groups : 32000) * 9 / 10);
    b.engine->pressure.breaker.allowed = 1000;
    everyones_verdict = HANDLER_RETRY;
    everyones_ms = 0;
    double longest = 0;
    for (int i = 0; i < 200; i++) {
        double began = cpu_ms();
        bench_run(&b, 1);
        double took = cpu_ms() - began;
        longest = took > longest ? took : longest;
    }
    assert_true(b.sim.world.metrics->breaker_tries > 500);
    bench_clean_up(&b);
    return longest;
}

/* They take some 3 ms; a walk along all that is kept for each of them took 450 and more. */
static void
failing_tries_cost_no_walk_along_all_that_is_kept(void **state)
{
    (void)state;
    if (!rounds_are_all())
        skip_because("instrumented code takes several times as long");
    static const struct {
        bool fifo;
        int groups;
    } QUEUES[] = {{false, 0}, {false, 32000}, {true, 32000}};
    for (size_t i = 0; i < sizeof QUEUES / sizeof *QUEUES; i++) {
        double took_ms = longest_event_while_tries_fail(QUEUES[i].fifo, QUEUES[i].groups);
        if (took_ms > 150)
            fail_msg("fifo %d, %d groups: an event took %.0f ms of CPU", QUEUES[i].fifo, QUEUES[i].groups, took_ms);
    }
}

/* SQS's 12 hours from the receive are the end of any lease. */
static void
what_is_held_longer_than_any_lease_is_lost_counted_and_handled_when_it_comes_again(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, NULL, 13 * HOUR);
    bench_put(&b, 60);
    bench_run(&b, 13 * HOUR);
    assert_in_range(BENCH_COUNT(&b, lost), 1, 80);
    for (size_t i = 0; i < b.sim.n_messages; i++)
        assert_false(b.sim.messages[i].deleted);
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    assert_true(most_receives(&b) <= 2);
    assert_true(b.sim.calls[SIM_RECEIVE] < 100);
    bench_clean_up(&b);
}

static void
a_drain_gives_back_what_is_held(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, NULL, HOUR);
    bench_put(&b, 100);
    bench_run(&b, 10 * MINUTE);
    assert_true(b.sim.world.metrics->held > 0);
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 25001));
    assert_int_equal(bench_in_hand(&b), 0);
    assert_true(bench_ledger_is_empty(&b));
    for (size_t i = 0; i < b.sim.n_messages; i++) {
        assert_false(b.sim.messages[i].deleted);
        assert_true(b.sim.messages[i].visible_at_ms <= sim_now_ms());
    }
    bench_clean_up(&b);
}

/* With nothing in hand, a receive of one message brings what is tried. */
static void
with_nothing_in_hand_one_message_is_received_to_be_tried(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, NULL, 10 * MINUTE);
    handler.fails = true;
    struct engine_options o = bench_defaults();
    bench_clean_up(&b);
    o.breaker.failure_percent = 50;
    o.breaker.min_calls = 5;
    begin(&b, &o, 10 * MINUTE);
    handler.fails = true; /* given back each time, so that none is kept */
    bench_put(&b, 5);
    bench_run(&b, 2 * MINUTE);
    bench_put(&b, 100);
    long received = BENCH_COUNT(&b, received);
    bench_run(&b, 8 * MINUTE - 1000);
    assert_true(BENCH_COUNT(&b, received) - received <= 20);
    assert_true(BENCH_COUNT(&b, received) - received >= 6);
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    bench_clean_up(&b);
}

static void
first_two_are_down(struct bench *b, struct message *m, struct sim_message *s)
{
    m->verdict.kind = s < b->sim.messages + 2 ? HANDLER_DOWN : HANDLER_DONE;
}

static size_t
deleted_with_rate(unsigned max_per_s)
{
    struct bench b;
    struct engine_options o = bench_defaults();
    o.max_per_s = max_per_s;
    o.breaker.pause_ms = o.breaker.pause_cap_ms = 1000;
    o.threads = o.batch_size = 2;
    bench_init(&b, 3, &o);
    b.each = true;
    b.decide = first_two_are_down;
    b.sim.max_receive_count = 1000;
    bench_put(&b, 400);
    bench_run(&b, HOUR);
    size_t n = 0;
    for (size_t i = 0; i < b.sim.n_messages; i++)
        n += b.sim.messages[i].deleted;
    bench_clean_up(&b);
    return n;
}

static void
messages_that_are_always_down_do_not_keep_others_away_under_a_rate(void **state)
{
    (void)state;
    size_t free_of_it = deleted_with_rate(0), fast = deleted_with_rate(100), slow = deleted_with_rate(2),
           one = deleted_with_rate(1);
    assert_int_equal(free_of_it, 398);
    assert_int_equal(fast, 398);
    assert_int_equal(slow, 398);
    assert_int_equal(one, 398);
}

static void
the_first_is_down(struct bench *b, struct message *m, struct sim_message *s)
{
    m->verdict.kind = s == b->sim.messages ? HANDLER_DOWN : HANDLER_DONE;
}

/* With all defaults, on a queue that gets a message every 50 seconds. */
static void
one_message_that_is_always_down_does_not_stop_a_quiet_queue(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 3, NULL);
    b.each = true;
    b.decide = the_first_is_down;
    b.sim.max_receive_count = 1000;
    bench_put(&b, 1);
    for (int i = 0; i < 216; i++) { /* three hours */
        bench_run(&b, 50000);
        bench_put(&b, 1);
    }
    bench_run(&b, 10 * MINUTE);
    size_t n = 0;
    for (size_t i = 1; i < b.sim.n_messages; i++)
        n += b.sim.messages[i].deleted;
    bench_clean_up(&b);
    assert_in_range(n, 200, 216);
}

/* The try of the first message hangs; of a FIFO queue, the first call with the second. */
static int64_t
one_call_lasts(struct bench *b, const struct message *m)
{
    size_t which = (size_t)(sim_find(&b->sim, m->view.id) - b->sim.messages);
    unsigned handled = b->sim.messages[which].handled;
    bool hangs = b->sim.fifo ? which == 1 && handled == 0 : which == 0 && handled == 1;
    return hangs ? 100 * MINUTE : 10;
}

static void
the_first_is_down_once(struct bench *b, struct message *m, struct sim_message *s)
{
    m->verdict.kind = s == b->sim.messages && s->handled == 1 ? HANDLER_DOWN : HANDLER_DONE;
}

static void
put_in_groups(struct bench *b, int first, int n)
{
    for (int i = 0; i < n; i++) {
        if (b->sim.fifo)
            sim_put_in_group(&b->sim, first + i, "{}");
        else
            sim_put(&b->sim, "{}");
    }
}

/* How many of a hundred others are done in an hour. Of a FIFO queue, one stands in line behind the one that hangs. */
static size_t
done_beside_a_try_that_hangs(bool fifo, bool each)
{
    struct bench b;
    struct engine_options o = bench_defaults();
    size_t n = 0;
    o.lease_max_s = 40;
    if (fifo) {
        bench_init_fifo(&b, 3, &o);
    } else {
        o.batch_size = 1;
        bench_init(&b, 3, &o);
    }
    b.each = each;
    b.decide = the_first_is_down_once;
    b.takes = one_call_lasts;
    b.sim.max_receive_count = 1000;
    put_in_groups(&b, 0, 1);
    bench_run(&b, 6000);
    assert_int_equal(b.engine->pressure.breaker.state, BREAKER_TRYING);
    for (int i = 0; fifo && i < 2; i++)
        put_in_groups(&b, 1, 1);
    bench_run(&b, 1000);
    assert_int_equal(b.engine->pressure.breaker.out, fifo ? 2 : 1);
    put_in_groups(&b, 2, 100);
    bench_run(&b, HOUR);
    for (size_t i = b.sim.n_messages - 100; i < b.sim.n_messages; i++)
        n += b.sim.messages[i].deleted;
    assert_true(BENCH_COUNT(&b, held_too_long) > 0);
    bench_clean_up(&b);
    return n;
}

/* Longer than until lease.max_s took it away. */
static void
a_try_that_hangs_keeps_no_other_away(void **state)
{
    (void)state;
    assert_int_equal(done_beside_a_try_that_hangs(false, true), 100);
    assert_int_equal(done_beside_a_try_that_hangs(false, false), 100);
    assert_int_equal(done_beside_a_try_that_hangs(true, true), 100);
}

/* ---- the rate ---- */

#define RATE 25

static struct {
    int64_t at_ms[2000];
    size_t n;
} began;

static void
note_time(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b, (void)s;
    began.at_ms[began.n++] = sim_now_ms();
    m->verdict.kind = sim_chance(&b->sim, 100) ? HANDLER_RETRY : HANDLER_DONE;
}

static void
no_second_hands_over_more_than_the_rate_and_its_burst(void **state)
{
    (void)state;
    for (unsigned rate = 1; rate <= RATE; rate += 8) {
        struct bench b;
        struct engine_options o = bench_defaults();
        size_t n = 20 * rate;
        o.max_per_s = rate;
        o.retry.base_ms = o.retry.cap_ms = 500;
        began.n = 0;
        begin(&b, &o, 0);
        b.decide = note_time;
        b.longest_ms = 0;
        bench_put(&b, n);
        int64_t start_ms = sim_now_ms();
        size_t most = 0;
        while (!bench_all_deleted(&b)) {
            bench_run(&b, 5);
            most = bench_in_hand(&b) > most ? bench_in_hand(&b) : most;
            assert_true(sim_now_ms() - start_ms < 2 * MINUTE);
        }
        size_t burst = rate > 2 ? rate : 2;
        for (size_t i = 0, from = 0; i < began.n; i++) {
            while (began.at_ms[i] - began.at_ms[from] >= 1000)
                from++;
            if (i - from + 1 > burst + rate)
                fail_msg("rate %u: %zu in a second", rate, i - from + 1);
        }
        int64_t took_ms = sim_now_ms() - start_ms; /* without the burst that it may begin with */
        int64_t least_ms = (int64_t)(began.n - burst) * 1000 / rate;
        assert_in_range(took_ms, least_ms, least_ms + least_ms / 4 + 3000);
        assert_true(b.sim.calls[SIM_RECEIVE] <= began.n + 10); /* and a receive brings several where it can */
        assert_true(rate < 20 || b.sim.calls[SIM_RECEIVE] <= began.n / 3);
        assert_true(most <= burst + 1); /* what may not be handled is not received */
        bench_clean_up(&b);
    }
}

static void
an_idle_consumer_with_a_rate_polls_no_more_often(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.max_per_s = 3;
    begin(&b, &o, 0);
    bench_run(&b, 10 * MINUTE);
    assert_in_range(b.sim.calls[SIM_RECEIVE], 28, 32);
    assert_true(b.sim.receiving > 0);
    bench_clean_up(&b);
}

/* ---- everything at once ---- */

static uint64_t random_state;

static uint64_t
draw(uint64_t below)
{
    return seeds_draw(&random_state, below);
}

static void
anything(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b, (void)s;
    if (is_down()) {
        m->verdict.kind = draw(10) ? HANDLER_DOWN : HANDLER_RETRY;
        return;
    }
    uint64_t x = draw(100);
    m->verdict.kind = x < 15 ? HANDLER_RETRY : x < 18 ? HANDLER_REJECT : x < 19 ? HANDLER_DOWN : HANDLER_DONE;
    m->verdict.delay_ms = draw(3) ? -1 : (int64_t)draw(5000);
}

static void
put_anywhere(struct bench *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (b->sim.fifo)
            sim_put_in_group(&b->sim, (int)draw(7), "{}");
        else
            sim_put(&b->sim, "{}");
    }
}

static void
run_anything(uint64_t seed, bool fifo)
{
    struct bench b;
    struct engine_options o = bench_defaults();
    random_state = seed;
    o.threads = 1 + draw(BENCH_THREADS);
    o.batch_size = (size_t[]){1, 2, 10, 33}[draw(4)];
    o.prefetch = draw(3);
    o.batch_window_ms = draw(2) ? 0 : (int64_t)draw(500);
    o.wait_time_s = (unsigned)draw(21);
    o.max_per_s = draw(2) ? 0 : 1 + (unsigned)draw(200);
    o.breaker.failure_percent = draw(2) ? 0 : 10 + (unsigned)draw(91);
    o.breaker.min_calls = 1 + (unsigned)draw(30);
    o.breaker.pause_ms = 10 + (int64_t)draw(5000);
    o.breaker.pause_cap_ms = o.breaker.pause_ms + (int64_t)draw(20000);
    struct err e;
    if (draw(2)) {
        assert_int_equal(dedup_memory_new(100000, &o.dedup.store, &e), 0);
        o.dedup.window_ms = HOUR;
    }
    if (fifo)
        bench_init_fifo(&b, seed, &o);
    else
        bench_init(&b, seed, &o);
    memset(&handler, 0, sizeof handler);
    b.decide = anything;
    b.each = draw(2);
    b.early = (unsigned)draw(1001);
    b.longest_ms = (int64_t)draw(3000);
    b.sim.visibility_s = (fifo ? 30 : 2) + (int)draw(60); /* what is lost may be handled again behind later ones */
    b.sim.latency_ms = 1 + (int64_t)draw(60);
    b.sim.fail_calls = (unsigned)draw(3) * 40;
    b.sim.lose_answers = (unsigned)draw(3) * 20;
    b.sim.fail_entries = (unsigned)draw(3) * 40;
    b.sim.duplicates = fifo ? 0 : (unsigned)draw(2) * 5; /* a FIFO queue makes none */
    for (int i = 0; i < 4; i++) {
        put_anywhere(&b, 60);
        handler.down_from_ms = sim_now_ms() + (int64_t)draw(5000);
        handler.down_until_ms = handler.down_from_ms + (int64_t)draw(60000);
        bench_run(&b, 30000);
    }
    if (!bench_run_until(&b, bench_all_deleted, 6 * HOUR)) /* no lease is lost in that time: nothing waits for ever */
        fail_msg("seed %llu: %zu in hand, %ld held, after six hours", (unsigned long long)seed, bench_in_hand(&b),
                 (long)METRICS_GET(b.sim.world.metrics, held));
    for (size_t i = 0; i < b.sim.n_messages; i++) {
        const struct sim_message *m = &b.sim.messages[i];
        if (m->done == 0 && m->dead_letters == 0)
            fail_msg("seed %llu: %s is gone, but neither done nor a dead letter", (unsigned long long)seed, m->id);
    }
    engine_drain(b.engine, sim_now_ms() + MINUTE, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, MINUTE + 1));
    assert_true(bench_ledger_is_empty(&b));
    bench_clean_up(&b);
}

/* The bench asserts after each event that no more is in hand, or on its way, than the cap. */
static void
the_cap_holds_and_nothing_is_lost_in_any_configuration(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        for (uint64_t i = 0; i < rounds_of(20); i++)
            run_anything(seed * 1000 + i, i % 2);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hour_of_what_is_down_burns_no_receive_and_ends_within_a_pause),
        cmocka_unit_test(too_many_failures_stop_the_polls_too),
        cmocka_unit_test(retries_that_name_their_time_and_rejects_open_nothing),
        cmocka_unit_test(tries_begin_with_one_message_in_a_batch_of_its_own_and_grow_with_success),
        cmocka_unit_test(messages_that_wrongly_say_down_each_time_keep_no_other_away),
        cmocka_unit_test(messages_that_are_always_down_do_not_keep_others_away_under_a_rate),
        cmocka_unit_test(one_message_that_is_always_down_does_not_stop_a_quiet_queue),
        cmocka_unit_test(a_try_that_hangs_keeps_no_other_away),
        cmocka_unit_test(messages_that_always_say_down_slow_a_fair_queue_no_more_than_one_without_groups),
        cmocka_unit_test(failing_tries_cost_no_walk_along_all_that_is_kept),
        cmocka_unit_test(what_is_held_longer_than_any_lease_is_lost_counted_and_handled_when_it_comes_again),
        cmocka_unit_test(a_drain_gives_back_what_is_held),
        cmocka_unit_test(with_nothing_in_hand_one_message_is_received_to_be_tried),
        cmocka_unit_test(no_second_hands_over_more_than_the_rate_and_its_burst),
        cmocka_unit_test(an_idle_consumer_with_a_rate_polls_no_more_often),
        cmocka_unit_test(the_cap_holds_and_nothing_is_lost_in_any_configuration),
    };
    return cmocka_run_group_tests_name("worker_pressure", tests, NULL, NULL);
}
