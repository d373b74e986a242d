#include "worker/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "worker/fatal.h"
#include "worker/pool_impl.h"

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
        for (void *item = ring_pop(p->ring, -1); item; item = ring_pop(p->ring, -1)) {
            if (item == &p->share)
                pool_help(t);
            else
                pool_run_batch(t, item);
        }
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
    share_clean_up(&p->share);
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
    share_init(&p->share, options->threads == 1 || !options->plugin->table.handle);

    p->threads = calloc(options->threads, sizeof *p->threads);
    if (!p->threads) {
        pool_destroy(p);
        return err_no_memory(e);
    }
    int rc = ring_new(options->queue_batches + 1, &p->ring, e);
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
    share_submit(&p->share, b);
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
    void *item = ring_pop(p->ring, 0);
    if (item == &p->share) {
        share_forget_asking(&p->share);
        item = ring_pop(p->ring, 0);
    }
    if (item)
        share_take_back(&p->share, item);
    return item;
}

int64_t
pool_watch(struct pool *p, int64_t most_ms, int64_t now_ms)
{
    switch (share_look(&p->share, now_ms)) {
    case SHARE_NONE:
        break;
    case SHARE_LATER:
        return SHARE_SLOW_MS < most_ms ? SHARE_SLOW_MS : most_ms;
    case SHARE_ASK:
        ring_push_first(p->ring, &p->share); /* there is room for one; when it is closed, nobody need come */
        break;
    }
    return most_ms;
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
