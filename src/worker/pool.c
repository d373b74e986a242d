#include "worker/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/ring.h"
#include "worker/call.h"
#include "worker/fatal.h"
#include "worker/publish_list.h"

#define LONG_CALL_NS 1000000 /* figures of shorter ones are shown when their batch is over */

struct handler_thread {
    struct pool *pool;
    uint32_t number;
    pthread_t thread;
    void *state; /* thread_open's */
    struct handler_call call;
    struct metrics_run waits, durations;
};

struct pool {
    struct pool_options options;
    struct call_shared shared;
    struct ring *ring;
    struct handler_thread *threads;
    size_t started;

    pthread_mutex_t lock; /* of the three below */
    pthread_cond_t changed;
    size_t opened, refused, ended;
    int32_t refused_with;
};

/* ---- one batch ---- */

static void
show_figures(struct handler_thread *t)
{
    metrics_run_end(&t->waits);
    metrics_run_end(&t->durations);
}

static void
enter(struct handler_thread *t, struct message *const *messages, uint32_t count, struct batch *b, int64_t now_ms)
{
    struct ledger *l = t->pool->options.ledger;
    for (uint32_t i = 0; i < count; i++)
        if (messages[i]->record != MESSAGE_NO_RECORD)
            ledger_set_state(l, messages[i]->record, LEDGER_HANDLING, (int32_t)t->number);
    for (uint32_t i = 0; i < count; i++)
        metrics_run_add(&t->waits, now_ms - messages[i]->in_hand_since_ms);
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&messages[i]->begun_ms, now_ms, memory_order_relaxed);
    ledger_thread_enter(l, t->number, messages[0]->record, count, now_ms);
    t->call.batch = b;
    t->call.messages = messages;
    t->call.count = count;
    t->call.down = t->call.publishes = false;
    atomic_store_explicit(&t->call.running, true, memory_order_relaxed);
}

/* began_ns: when the handler was called. Returns the time now, for the next call. */
static int64_t
leave(struct handler_thread *t, int64_t began_ns)
{
    atomic_store_explicit(&t->call.running, false, memory_order_relaxed);
    if (t->call.views)
        host_forget_views(&t->call);
    ledger_thread_leave(t->pool->options.ledger, t->number);
    int64_t now_ns = clock_monotonic_ns();
    metrics_run_add(&t->durations, (now_ns - began_ns) / 1000);
    if (now_ns - began_ns > LONG_CALL_NS)
        show_figures(t);
    return now_ns;
}

static bool
is_verdict(int32_t value)
{
    return value >= HANDLER_DONE && value <= HANDLER_DOWN;
}

/* The verdict the return value gives to a message that has none. */
static void
apply_return(struct message *m, int32_t value)
{
    m->verdict.kind = is_verdict(value) ? value : HANDLER_RETRY;
    m->verdict.delay_ms = -1;
}

/* One message of `handle`: its verdict goes to the engine at once, not when the batch is through. *began_ns: when the
 * call before this one ended. True: it says that what the handler depends on is down. */
static bool
handle_one(struct handler_thread *t, struct batch *b, size_t i, int64_t now_ms, int64_t *began_ns)
{
    struct message *m = b->live[i];
    const struct plugin *plugin = t->pool->options.plugin;
    struct call_shared *shared = &t->pool->shared;
    enter(t, &b->live[i], 1, b, now_ms);
    int32_t value = plugin->table.handle(t->pool->options.plugin_state, t->state, &t->call, &m->view);
    *began_ns = leave(t, *began_ns);
    bool settled = m->verdict.kind != VERDICT_NONE;
    int32_t verdict = settled ? m->verdict.kind : is_verdict(value) ? value : HANDLER_RETRY;
    if (m->order.follower)
        order_handled(m, verdict, settled ? t->call.publishes : publish_list_has_pieces(m->publish),
                      clock_monotonic_ms());
    if (!is_verdict(value) && !(settled && value == HANDLER_UNSET))
        host_breach(shared, value == HANDLER_UNSET ? BREACH_FORGOTTEN : BREACH_RETURN, m, value);
    if (settled)
        return t->call.down; /* by settle, which told the engine; or lost */
    apply_return(m, value);
    host_post(shared, &m->settled);
    return value == HANDLER_DOWN;
}

/* The handler is not to be called with what waits in b: the engine keeps it. */
static bool
is_held(const struct handler_thread *t, const struct batch *b)
{
    return atomic_load_explicit(&t->pool->shared.held, memory_order_relaxed) && !b->trial;
}

static void
handle_each(struct handler_thread *t, struct batch *b)
{
    struct call_shared *shared = &t->pool->shared;
    size_t handled = 0;
    int64_t began_ns = clock_monotonic_ns();
    bool down = false;
    for (size_t i = 0; i < b->n_live; i++) {
        struct message *m = b->live[i];
        if (m->verdict.kind != VERDICT_NONE)
            continue; /* stands behind one that was not done */
        int64_t now_ms = clock_monotonic_ms();
        if (atomic_load_explicit(&shared->stopping, memory_order_relaxed)) {
            m->verdict.kind = VERDICT_GIVE_BACK;
        } else if (down || is_held(t, b)) {
            m->verdict.kind = VERDICT_HELD;
        } else if (message_lease_left_ms(m, now_ms) == 0) {
            m->verdict.kind = VERDICT_LOST;
            order_stop_behind(m);
        } else {
            down = handle_one(t, b, i, now_ms, &began_ns);
            handled++;
        }
    }
    METRICS_COUNT(shared->metrics, batches, handled);
    METRICS_COUNT(shared->metrics, handled, handled);
    METRICS_OBSERVE_N(shared->metrics, batch_messages, 1, handled);
}

static void
handle_together(struct handler_thread *t, struct batch *b, int64_t now_ms)
{
    const struct plugin *plugin = t->pool->options.plugin;
    struct call_shared *shared = &t->pool->shared;
    uint32_t count = (uint32_t)b->n_live;
    for (uint32_t i = 0; i < count; i++)
        b->views[i] = &b->live[i]->view;
    const struct handler_batch view = {.size = sizeof view, .count = count, .messages = b->views};
    enter(t, b->live, count, b, now_ms);
    int64_t began_ns = clock_monotonic_ns();
    int32_t value = plugin->table.handle_batch(t->pool->options.plugin_state, t->state, &t->call, &view);
    leave(t, began_ns);
    if (!is_verdict(value) && value != HANDLER_UNSET)
        host_breach(shared, BREACH_RETURN, NULL, value);
    for (uint32_t i = 0; i < count; i++) {
        struct message *m = b->live[i];
        if (m->verdict.kind != VERDICT_NONE)
            continue;
        if (value == HANDLER_UNSET)
            host_breach(shared, BREACH_FORGOTTEN, m, value);
        apply_return(m, value);
    }
    METRICS_COUNT(shared->metrics, batches, 1);
    METRICS_COUNT(shared->metrics, handled, count);
    METRICS_OBSERVE(shared->metrics, batch_messages, count);
}

/* Picks what is still ours: a message whose lease ended while it waited is somebody else's by now. */
static void
pick_live(struct batch *b, int64_t now_ms)
{
    b->n_live = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct message *m = b->messages[i];
        if (m->verdict.kind != VERDICT_NONE)
            continue; /* stands behind one that is lost */
        if (message_lease_left_ms(m, now_ms) > 0) {
            b->live[b->n_live++] = m;
        } else {
            m->verdict.kind = VERDICT_LOST;
            order_stop_behind(m);
        }
    }
}

static void
run_batch(struct handler_thread *t, struct batch *b)
{
    struct call_shared *shared = &t->pool->shared;
    int64_t now_ms = clock_monotonic_ms();
    pick_live(b, now_ms);
    if (t->pool->options.plugin->table.handle) {
        handle_each(t, b);
    } else if (b->n_live > 0) {
        bool stopping = atomic_load_explicit(&shared->stopping, memory_order_relaxed);
        if (stopping || is_held(t, b))
            for (size_t i = 0; i < b->n_live; i++)
                b->live[i]->verdict.kind = stopping ? VERDICT_GIVE_BACK : VERDICT_HELD;
        else
            handle_together(t, b, now_ms);
    }
    show_figures(t);
    host_post(shared, &b->returned);
}

/* ---- one thread ---- */

static void
announce(struct pool *p, size_t *counter)
{
    pthread_mutex_lock(&p->lock);
    ++*counter;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void *
run(void *argument)
{
    struct handler_thread *t = argument;
    struct pool *p = t->pool;
    const struct handler *table = &p->options.plugin->table;
    char name[16];
    snprintf(name, sizeof name, "handler-%u", t->number);
    pthread_setname_np(pthread_self(), name);
    fatal_thread_begin((int32_t)t->number);
    t->call.thread = pthread_self();
    host_set_thread(&p->shared);

    int32_t rc = table->thread_open ? table->thread_open(p->options.plugin_state, &t->state) : 0;
    if (rc != 0) {
        pthread_mutex_lock(&p->lock);
        p->refused_with = rc;
        pthread_mutex_unlock(&p->lock);
        announce(p, &p->refused);
    } else {
        announce(p, &p->opened);
        for (struct batch *b = ring_pop(p->ring, -1); b; b = ring_pop(p->ring, -1))
            run_batch(t, b);
        if (table->thread_close)
            table->thread_close(p->options.plugin_state, t->state);
    }
    fatal_thread_end();
    announce(p, &p->ended);
    return NULL;
}

/* ---- all threads ---- */

int
pool_open_plugin(struct plugin *plugin, void **ret_state, struct err *e)
{
    void *state = NULL;
    int32_t rc = 0;
    host_set_opening(plugin);
    if (plugin->table.open)
        rc = plugin->table.open(&host_table, &state);
    host_set_opening(NULL);
    if (rc != 0)
        return err_set(e, ERR_DENIED, "plugin %s: open refused to start (it returned %d)", plugin->table.name, rc);
    *ret_state = state;
    return 0;
}

static int
start_threads(struct pool *p, struct err *e)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return err_no_memory(e);
    int rc = 0;
    for (size_t i = 0; i < p->options.threads && rc == 0; i++) {
        struct handler_thread *t = &p->threads[i];
        t->pool = p;
        t->number = (uint32_t)i;
        t->call.shared = &p->shared;
        t->waits = METRICS_RUN(p->shared.metrics, start_wait);
        t->durations = METRICS_RUN(p->shared.metrics, handler_call);
        arena_init(&t->call.arena, 0);
        int error = pthread_create(&t->thread, &attributes, run, t);
        if (error != 0)
            rc = err_set_errno(e, error, "handler thread %zu", i);
        else
            p->started++;
    }
    pthread_attr_destroy(&attributes);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&p->lock);
    while (p->opened + p->refused < p->started)
        pthread_cond_wait(&p->changed, &p->lock);
    if (p->refused > 0)
        rc = err_set(e, ERR_DENIED, "plugin %s: thread_open refused to start (it returned %d)",
                     p->options.plugin->table.name, p->refused_with);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void
pool_destroy(struct pool *p)
{
    for (size_t i = 0; i < p->started; i++)
        arena_clean_up(&p->threads[i].call.arena);
    ring_destroy(p->ring);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

int
pool_new(const struct pool_options *options, struct pool **ret_pool, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p);
    if (!p)
        return err_no_memory(e);
    p->options = *options;
    p->shared.metrics = ledger_metrics(options->ledger);
    p->shared.desk = options->desk;
    p->shared.plugin = options->plugin->table.name;
    p->shared.wake = options->wake;
    p->shared.context = options->context;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&p->lock, NULL);

    p->threads = calloc(options->threads, sizeof *p->threads);
    if (!p->threads) {
        pool_destroy(p);
        return err_no_memory(e);
    }
    int rc = ring_new(options->queue_batches, &p->ring, e);
    if (rc != 0) {
        pool_destroy(p);
        return rc;
    }
    rc = start_threads(p, e);
    if (rc != 0) {
        pool_stop(p, -1);
        pool_destroy(p);
        return rc;
    }
    *ret_pool = p;
    return 0;
}

void
pool_submit(struct pool *p, struct batch *b)
{
    bool fits = ring_put(p->ring, b);
    assert(fits);
    (void)fits;
}

void
pool_wake(struct pool *p)
{
    ring_wake(p->ring);
}

struct batch *
pool_take_back(struct pool *p)
{
    return ring_pop(p->ring, 0);
}

struct inbox *
pool_inbox(struct pool *p)
{
    return &p->shared.inbox;
}

void
pool_set_stopping(struct pool *p)
{
    atomic_store_explicit(&p->shared.stopping, true, memory_order_relaxed);
}

void
pool_set_held(struct pool *p, bool held)
{
    atomic_store_explicit(&p->shared.held, held, memory_order_relaxed);
}

static struct timespec
monotonic_in(int64_t wait_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += wait_ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool
pool_stop(struct pool *p, int64_t wait_ms)
{
    pool_set_stopping(p);
    if (p->ring)
        ring_close(p->ring);
    struct timespec until = monotonic_in(wait_ms < 0 ? 0 : wait_ms);
    pthread_mutex_lock(&p->lock);
    int rc = 0;
    while (p->ended < p->started && rc != ETIMEDOUT)
        rc = wait_ms < 0 ? pthread_cond_wait(&p->changed, &p->lock)
                         : pthread_cond_timedwait(&p->changed, &p->lock, &until);
    bool all = p->ended == p->started;
    pthread_mutex_unlock(&p->lock);
    if (!all)
        return false;
    for (size_t i = 0; i < p->started; i++)
        pthread_join(p->threads[i].thread, NULL);
    return true;
}
