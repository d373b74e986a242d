#include "lib/pool_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/sim.h"

struct pool_rig pool_rig;

/* ---- the plugin ---- */

size_t
pool_rig_number_of(const struct handler_message *m)
{
    size_t n = strtoul(m->body, NULL, 10);
    return n < POOL_RIG_MOST ? n : POOL_RIG_MOST - 1;
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    (void)plugin;
    (void)thread;
    pool_rig.handled[pool_rig_number_of(m)] = true;
    if (pool_rig.in_call)
        pool_rig.in_call(call, 1);
    return pool_rig.answers[pool_rig_number_of(m)];
}

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    (void)plugin;
    (void)thread;
    for (uint32_t i = 0; i < batch->count; i++)
        pool_rig.handled[pool_rig_number_of(batch->messages[i])] = true;
    if (pool_rig.in_call)
        pool_rig.in_call(call, batch->count);
    return pool_rig.answers[0];
}

void
pool_rig_wait_at_the_gate(struct handler_call *call, uint32_t count)
{
    (void)call;
    (void)count;
    pthread_mutex_lock(&pool_rig.lock);
    pool_rig.inside++;
    pthread_cond_broadcast(&pool_rig.changed);
    while (!pool_rig.gate_open)
        pthread_cond_wait(&pool_rig.changed, &pool_rig.lock);
    pthread_mutex_unlock(&pool_rig.lock);
}

void
pool_rig_wait_for_handlers_inside(unsigned n)
{
    pthread_mutex_lock(&pool_rig.lock);
    while (pool_rig.inside < n)
        pthread_cond_wait(&pool_rig.changed, &pool_rig.lock);
    pthread_mutex_unlock(&pool_rig.lock);
}

void
pool_rig_open_the_gate(void)
{
    pthread_mutex_lock(&pool_rig.lock);
    pool_rig.gate_open = true;
    pthread_cond_broadcast(&pool_rig.changed);
    pthread_mutex_unlock(&pool_rig.lock);
}

/* ---- the rig ---- */

static void
wake(void *context)
{
    (void)context;
    pthread_mutex_lock(&pool_rig.lock);
    pool_rig.wakes++;
    pthread_cond_broadcast(&pool_rig.changed);
    pthread_mutex_unlock(&pool_rig.lock);
}

static void
gather(void *context, struct batch *b, int64_t now_ms)
{
    (void)context;
    (void)now_ms;
    pool_rig.gathered = b;
}

int
pool_rig_try_begin(size_t threads, struct err *e)
{
    const struct pool_options options = {.plugin = &pool_rig.plugin,
                                         .threads = threads,
                                         .queue_batches = 16,
                                         .ledger = pool_rig.ledger,
                                         .desk = pool_rig.desk,
                                         .wake = wake};
    return pool_new(&options, &pool_rig.pool, e);
}

void
pool_rig_begin_with(const struct handler *table)
{
    struct err e;
    int fd;
    memset(&pool_rig, 0, sizeof pool_rig);
    pool_rig.plugin.table = *table;
    pthread_mutex_init(&pool_rig.lock, NULL);
    pthread_cond_init(&pool_rig.changed, NULL);
    const struct ledger_options ledger = {.records = POOL_RIG_MOST, .threads = 4};
    assert_int_equal(ledger_create(&ledger, &fd, &pool_rig.ledger, &e), 0);
    close(fd);
    ledger_reset(pool_rig.ledger);
    pool_rig.metrics = ledger_metrics(pool_rig.ledger);
    timers_init(&pool_rig.timers);
    batcher_init(&pool_rig.batcher, &pool_rig.timers, POOL_RIG_MOST, 0, gather, NULL);
}

void
pool_rig_begin(const struct handler *table, size_t threads)
{
    struct err e;
    pool_rig_begin_with(table);
    assert_int_equal(pool_rig_try_begin(threads, &e), 0);
}

const struct handler POOL_RIG_EACH = {.size = sizeof(struct handler), .name = "each", .version = "1", .handle = handle};
const struct handler POOL_RIG_TOGETHER = {
    .size = sizeof(struct handler), .name = "together", .version = "1", .handle_batch = handle_batch};

/* A batch of n messages with bodies "0", "1", ... and a minute of lease. */
struct batch *
pool_rig_make_batch(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char id[32], body[32];
        snprintf(id, sizeof id, "id-%zu", i);
        snprintf(body, sizeof body, "%zu", i);
        struct sqs_message r = sim_sqs_message(id, "handle", body, 1);
        struct message *m = message_new(&r, "orders", 0, 0);
        atomic_store(&m->lease_ms, clock_monotonic_ms() + 60000);
        assert_int_equal(batcher_add(&pool_rig.batcher, m, 0), 0);
    }
    batcher_end_receive(&pool_rig.batcher, 0);
    return pool_rig.gathered;
}

/* What the engine does with its inbox, until so many batches have come back. */
static bool
has_come(size_t returned, size_t settled)
{
    return pool_rig.returned >= returned && pool_rig.n_settled >= settled;
}

static void
collect(size_t returned, size_t settled)
{
    while (!has_come(returned, settled)) {
        struct inbox_node *next;
        pthread_mutex_lock(&pool_rig.lock);
        unsigned wakes = pool_rig.wakes;
        pthread_mutex_unlock(&pool_rig.lock);
        for (struct inbox_node *n = inbox_take(pool_inbox(pool_rig.pool)); n; n = next) {
            next = n->next;
            if (n->kind == INBOX_SETTLED) {
                pool_rig.settled[pool_rig.n_settled++] = message_of_settled(n);
            } else if (n->kind == INBOX_EXTEND) {
                atomic_store(&batch_of_extend(n)->extend_queued, false);
                pool_rig.extends++;
            } else {
                pool_rig.returned++;
            }
        }
        pthread_mutex_lock(&pool_rig.lock);
        while (!has_come(returned, settled) && pool_rig.wakes == wakes)
            pthread_cond_wait(&pool_rig.changed, &pool_rig.lock);
        pthread_mutex_unlock(&pool_rig.lock);
    }
}

void
pool_rig_collect(size_t returned)
{
    collect(returned, 0);
}

void
pool_rig_collect_settled(size_t settled)
{
    collect(0, settled);
}

/* Runs one batch of n messages through the plugin. */
struct batch *
pool_rig_run(size_t n)
{
    struct batch *b = pool_rig_make_batch(n);
    pool_submit(pool_rig.pool, b);
    pool_wake(pool_rig.pool);
    pool_rig_collect(1);
    return b;
}

void
pool_rig_end(struct batch *b)
{
    assert_true(pool_stop(pool_rig.pool, -1));
    if (pool_rig.stale) /* a thread of the plugin's, until the plugin was closed */
        assert_int_equal(host_table.settle(pool_rig.stale, 0, HANDLER_DONE, 0, NULL), HANDLER_E_INDEX);
    pool_destroy(pool_rig.pool);
    if (b)
        batcher_recycle(&pool_rig.batcher, b);
    batcher_clean_up(&pool_rig.batcher);
    timers_clean_up(&pool_rig.timers);
    ledger_close(pool_rig.ledger);
    pthread_cond_destroy(&pool_rig.changed);
    pthread_mutex_destroy(&pool_rig.lock);
}

long
pool_rig_violations(void)
{
    return (long)atomic_load(&pool_rig.metrics->violations);
}
