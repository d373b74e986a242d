#include "lib/bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/publish_list.h"

static void thread_works(struct bench *b);

/* ---- simulated handlers ---- */

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void
draw_verdict(struct bench *b, struct message *m)
{
    uint64_t x = sim_random(&b->sim) % 1000;
    m->verdict.kind = x < b->retry ? HANDLER_RETRY : x < b->retry + b->reject ? HANDLER_REJECT : HANDLER_DONE;
    if (m->verdict.kind == HANDLER_REJECT)
        m->verdict.reason = message_copy_reason("no good");
}

/* What a handler is told about its lease is never more than the queue grants. */
static void
check_leases(struct bench *b)
{
    for (size_t i = 0; i < BENCH_THREADS; i++) {
        struct batch *batch = b->threads[i].batch;
        for (size_t k = 0; batch && k < batch->count; k++) {
            const struct message *m = batch->messages[k];
            const struct sim_message *s = sim_find(&b->sim, m->view.id);
            int64_t left_ms = message_lease_left_ms(m, sim_now_ms());
            if (m->state == MESSAGE_QUEUED && left_ms > 0 && m->receive_count == s->receives)
                CHECK(sim_now_ms() + left_ms <= s->visible_at_ms);
        }
    }
}

static void
take(struct bench *b)
{
    engine_take(b->engine, inbox_take(&b->inbox), sim_now_ms());
    engine_turn(b->engine, sim_now_ms());
    CHECK(bench_in_hand(b) + b->sim.asked <= b->cap);
    if (b->sim.latency_ms < 100) /* a receive that takes longer has a lease shorter than it looks */
        check_leases(b);
    if (bench_in_hand(b) > b->most_in_hand)
        b->most_in_hand = bench_in_hand(b);
}

static void
watch(struct bench *b, const char *complaint)
{
    if (!complaint)
        return;
    fprintf(stderr, "bench, at %lld ms: %s\n", (long long)sim_now_ms(), complaint);
    (void)b;
    abort();
}

static void
message_ended(void *context, const struct sim_message *m)
{
    struct bench *b = context;
    order_witness_ends(b->order, (size_t)m->group, m->place);
}

static void
decide(struct bench *b, struct message *m)
{
    struct sim_message *s = sim_find(&b->sim, m->view.id);
    if (m->verdict.kind == VERDICT_BEHIND)
        return;
    if (message_lease_left_ms(m, sim_now_ms()) == 0) {
        m->verdict.kind = VERDICT_LOST;
        order_stop_behind(m);
        return;
    }
    if (message_lost_event(m, atomic_load(&m->begun_ms))) {
        m->verdict.kind = VERDICT_UNSURE;
        order_stop_behind(m);
        return;
    }
    s->handled++;
    if (b->order)
        watch(b, order_witness_begins(b->order, (size_t)s->group, s->place));
    m->verdict.delay_ms = -1;
    if (b->decide)
        b->decide(b, m, s);
    else
        draw_verdict(b, m);
    s->done += m->verdict.kind == HANDLER_DONE;
    s->rejected += m->verdict.kind == HANDLER_REJECT;
    bool publishes = publish_list_has_pieces(m->publish);
    if (b->order && b->each && m->verdict.kind == HANDLER_DONE && !publishes)
        order_witness_ends(b->order, (size_t)s->group, s->place);
    if (b->each)
        order_handled(m, m->verdict.kind, publishes, sim_now_ms());
}

/* How long the thread's next step takes. */
static int64_t
handling_time(struct bench *b, const struct bench_thread *t)
{
    const struct message *m = b->each ? t->message : t->at < t->batch->count ? t->batch->messages[t->at] : NULL;
    if (b->takes && m)
        return b->takes(b, m);
    return b->longest_ms > 0 ? (int64_t)(sim_random(&b->sim) % (uint64_t)b->longest_ms) : 0;
}

static void
wait_for_step(struct bench *b, struct bench_thread *t)
{
    int64_t ms = b->stopping && t->at > 0 ? 0 : handling_time(b, t);
    CHECK(timers_set(&b->sim.timers, &t->timer, sim_now_ms() + ms) == 0);
}

/* m, of t's batch, gets its verdict, if nothing keeps it from its handler. True: its handler was called. */
static bool
handle(struct bench *b, struct bench_thread *t, struct message *m, bool is_down)
{
    if (b->stopping) {
        m->verdict.kind = VERDICT_GIVE_BACK;
    } else if (m->verdict.kind == VERDICT_BEHIND) {
        return false;
    } else if (is_down || (b->held && !t->batch->trial)) {
        m->verdict.kind = VERDICT_HELD;
        if (b->each)
            order_stop_behind(m);
    } else {
        decide(b, m);
        return true;
    }
    return false;
}

/* ---- handle_batch ---- */

static void
batch_steps(struct bench *b, struct bench_thread *t)
{
    if (t->at == t->batch->count) {
        inbox_push(&b->inbox, &t->batch->returned);
        t->batch = NULL;
        return;
    }
    struct message *m = t->batch->messages[t->at++];
    handle(b, t, m, t->down);
    t->down |= m->verdict.kind == HANDLER_DOWN;
    if (m->verdict.kind != VERDICT_LOST && m->verdict.kind != VERDICT_BEHIND && sim_chance(&b->sim, b->early))
        inbox_push(&b->inbox, &m->settled);
    wait_for_step(b, t);
}

/* ---- handle: as pool_calls.c does it ---- */

static void
take_next(struct bench *b, struct bench_thread *t)
{
    t->message = t->next ? t->next : share_take(&b->share, t->batch);
    t->next = t->message ? t->message->order.follower : NULL;
    if (t->message)
        atomic_store(&t->message->begun_ms, sim_now_ms());
    wait_for_step(b, t);
}

/* The call that was settled before its end is over. */
static void
end_call(struct bench *b, struct bench_thread *t)
{
    if (t->settled && message_let_go(t->settled))
        inbox_push(&b->inbox, &t->settled->settled);
    t->settled = NULL;
}

static void
message_steps(struct bench *b, struct bench_thread *t)
{
    struct message *m = t->message;
    end_call(b, t);
    if (!m) {
        if (share_leave(&b->share, t->batch))
            inbox_push(&b->inbox, &t->batch->returned);
        t->batch = NULL;
        return;
    }
    t->at++;
    bool handled = handle(b, t, m, t->batch->share.down);
    if (m->verdict.kind == HANDLER_DOWN)
        t->batch->share.down = true;
    if (handled && m->verdict.kind != VERDICT_LOST && sim_chance(&b->sim, b->early))
        t->settled = m;
    else
        atomic_store(&m->thread, MESSAGE_LET_GO);
    inbox_push(&b->inbox, &m->settled);
    take_next(b, t);
}

/* ---- threads ---- */

/* The thread's next step: one message of its batch is decided about, or the batch is over. */
static void
thread_steps(struct timer *timer, int64_t now_ms)
{
    struct bench_thread *t = (struct bench_thread *)timer;
    struct bench *b = t->bench;
    (void)now_ms;
    if (b->each)
        message_steps(b, t);
    else
        batch_steps(b, t);
    take(b);
    thread_works(b);
}

static struct batch *
take_waiting(struct bench *b)
{
    if (b->n_waiting == 0)
        return NULL;
    struct batch *batch = b->waiting[b->first];
    b->first = (b->first + 1) % BENCH_WAITING;
    b->n_waiting--;
    return batch;
}

/* Gives waiting batches to idle threads, and what others have begun. */
static void
thread_works(struct bench *b)
{
    for (size_t i = 0; i < b->n_threads; i++) {
        struct bench_thread *t = &b->threads[i];
        if (t->batch)
            continue;
        bool joins = b->n_waiting == 0;
        t->batch = joins ? share_join(&b->share) : take_waiting(b);
        if (!t->batch)
            return;
        t->at = 0;
        t->down = false;
        t->next = NULL;
        if (!b->each) {
            for (size_t k = 0; k < t->batch->count; k++)
                atomic_store(&t->batch->messages[k]->begun_ms, sim_now_ms());
            wait_for_step(b, t);
            continue;
        }
        if (!joins)
            share_begin(&b->share, t->batch, sim_now_ms());
        take_next(b, t);
    }
}

static void
submit(void *context, struct batch *batch)
{
    struct bench *b = context;
    CHECK(b->n_waiting < BENCH_WAITING && batch->count > 0);
    b->share.off = !b->each;
    share_submit(&b->share, batch);
    b->batches++;
    if (batch->count > b->largest_batch)
        b->largest_batch = batch->count;
    b->waiting[(b->first + b->n_waiting++) % BENCH_WAITING] = batch;
    thread_works(b);
}

static struct batch *
take_back(void *context)
{
    struct bench *b = context;
    struct batch *batch = take_waiting(b);
    if (batch)
        share_take_back(&b->share, batch);
    return batch;
}

static void
hold(void *context, bool held)
{
    ((struct bench *)context)->held = held;
}

static int
health(void *context, enum ipc_health state, const char *why)
{
    struct bench *b = context;
    if (b->deaf_to_health > 0) {
        b->deaf_to_health--;
        return ERR_LIMIT;
    }
    b->health = state;
    snprintf(b->health_text, sizeof b->health_text, "%s", why);
    b->health_changes++;
    return 0;
}

/* ---- the test's side ---- */

struct engine_options
bench_defaults(void)
{
    return (struct engine_options){
        .consumer = "orders",
        .queue = "orders",
        .handler = "test 1",
        .threads = BENCH_THREADS,
        .batch_size = 10,
        .prefetch = 1,
        .wait_time_s = 20,
        .breaker = {.min_calls = 20, .window_ms = 30000, .pause_ms = 5000, .pause_cap_ms = 60000},
        .retry = {.base_ms = 1000, .cap_ms = 60000}};
}

static void
init(struct bench *b, uint64_t seed, const struct engine_options *options, bool fifo)
{
    struct err e;
    *b = (struct bench){0};
    struct engine_options o = options ? *options : bench_defaults();
    CHECK(o.threads <= BENCH_THREADS);
    b->n_threads = o.threads;
    share_init(&b->share, false);
    b->cap = o.threads * o.batch_size * (1 + o.prefetch);
    sim_init(&b->sim, seed, (uint32_t)b->cap, BENCH_THREADS);
    if (fifo) {
        o.queue = "orders.fifo";
        b->sim.fifo = true;
        b->sim.ended = message_ended;
        b->sim.ended_context = b;
        b->order = order_witness_new();
    }
    for (size_t i = 0; i < BENCH_THREADS; i++)
        b->threads[i] = (struct bench_thread){.timer.fire = thread_steps, .bench = b};
    o.world = b->sim.world;
    o.submit = submit;
    o.take_back = take_back;
    o.hold = hold;
    o.health = health;
    o.context = b;
    CHECK(engine_new(&o, &b->engine, &e) == 0);
    engine_start(b->engine);
}

void
bench_init(struct bench *b, uint64_t seed, const struct engine_options *options)
{
    init(b, seed, options, false);
}

void
bench_init_fifo(struct bench *b, uint64_t seed, const struct engine_options *options)
{
    init(b, seed, options, true);
}

/* What handlers still have goes back undecided, so that the engine can free it. */
static void
return_all(struct bench *b)
{
    for (size_t i = 0; i < BENCH_THREADS; i++) {
        struct bench_thread *t = &b->threads[i];
        timers_cancel(&b->sim.timers, &t->timer);
        end_call(b, t);
        if (t->batch && (!b->each || share_leave(&b->share, t->batch)))
            inbox_push(&b->inbox, &t->batch->returned);
    }
    for (struct batch *w = take_back(b); w; w = take_back(b))
        inbox_push(&b->inbox, &w->returned);
    engine_take(b->engine, inbox_take(&b->inbox), sim_now_ms());
}

void
bench_clean_up(struct bench *b)
{
    return_all(b);
    engine_destroy(b->engine);
    order_witness_destroy(b->order);
    share_clean_up(&b->share);
    sim_clean_up(&b->sim);
}

bool
bench_run_until(struct bench *b, bool (*condition)(struct bench *b), int64_t ms)
{
    int64_t until_ms = sim_now_ms() + ms;
    for (;;) {
        take(b);
        if (condition && condition(b))
            return true;
        if (!sim_step(&b->sim, until_ms))
            break;
    }
    take(b);
    return condition && condition(b);
}

void
bench_run(struct bench *b, int64_t ms)
{
    bench_run_until(b, NULL, ms);
}

void
bench_put(struct bench *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sim_put(&b->sim, "{\"hello\":\"world\"}");
}

bool
bench_all_deleted(struct bench *b)
{
    for (size_t i = 0; i < b->sim.n_messages; i++)
        if (!b->sim.messages[i].deleted)
            return false;
    return bench_in_hand(b) == 0;
}

bool
bench_is_over(struct bench *b)
{
    size_t left;
    return engine_is_over(b->engine, &left);
}

size_t
bench_in_hand(struct bench *b)
{
    return (size_t)atomic_load(&b->sim.world.metrics->in_flight);
}

bool
bench_ledger_is_empty(struct bench *b)
{
    struct ledger_message m;
    for (uint32_t i = 0; i < ledger_records(b->sim.world.ledger); i++)
        if (ledger_get(b->sim.world.ledger, i, &m, NULL) != ERR_NOT_FOUND)
            return false;
    return true;
}
