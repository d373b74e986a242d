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

struct pool_rig rig;

/* ---- the plugin ---- */

size_t
rig_number_of(const struct handler_message *m)
{
    size_t n = strtoul(m->body, NULL, 10);
    return n < RIG_MOST ? n : RIG_MOST - 1;
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    (void)plugin;
    (void)thread;
    rig.handled[rig_number_of(m)] = true;
    if (rig.in_call)
        rig.in_call(call, 1);
    return rig.answers[rig_number_of(m)];
}

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    (void)plugin;
    (void)thread;
    for (uint32_t i = 0; i < batch->count; i++)
        rig.handled[rig_number_of(batch->messages[i])] = true;
    if (rig.in_call)
        rig.in_call(call, batch->count);
    return rig.answers[0];
}

void
rig_wait_at_the_gate(struct handler_call *call, uint32_t count)
{
    (void)call;
    (void)count;
    pthread_mutex_lock(&rig.lock);
    rig.inside++;
    pthread_cond_broadcast(&rig.changed);
    while (!rig.gate_open)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
}

void
rig_wait_for_handlers_inside(unsigned n)
{
    pthread_mutex_lock(&rig.lock);
    while (rig.inside < n)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
}

void
rig_open_the_gate(void)
{
    pthread_mutex_lock(&rig.lock);
    rig.gate_open = true;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

/* ---- the rig ---- */

static void
wake(void *context)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    rig.wakes++;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

static void
gather(void *context, struct batch *b, int64_t now_ms)
{
    (void)context;
    (void)now_ms;
    rig.gathered = b;
}

int
rig_try_begin(size_t threads, struct err *e)
{
    const struct pool_options options = {.plugin = &rig.plugin,
                                         .threads = threads,
                                         .queue_batches = 16,
                                         .ledger = rig.ledger,
                                         .desk = rig.desk,
                                         .wake = wake};
    return pool_new(&options, &rig.pool, e);
}

void
rig_begin_with(const struct handler *table)
{
    struct err e;
    int fd;
    memset(&rig, 0, sizeof rig);
    rig.plugin.table = *table;
    pthread_mutex_init(&rig.lock, NULL);
    pthread_cond_init(&rig.changed, NULL);
    const struct ledger_options ledger = {.records = RIG_MOST, .threads = 4};
    assert_int_equal(ledger_create(&ledger, &fd, &rig.ledger, &e), 0);
    close(fd);
    ledger_reset(rig.ledger);
    rig.metrics = ledger_metrics(rig.ledger);
    timers_init(&rig.timers);
    batcher_init(&rig.batcher, &rig.timers, RIG_MOST, 0, gather, NULL);
}

void
rig_begin(const struct handler *table, size_t threads)
{
    struct err e;
    rig_begin_with(table);
    assert_int_equal(rig_try_begin(threads, &e), 0);
}

const struct handler RIG_EACH = {.size = sizeof(struct handler), .name = "each", .version = "1", .handle = handle};
const struct handler RIG_TOGETHER = {
    .size = sizeof(struct handler), .name = "together", .version = "1", .handle_batch = handle_batch};

/* A batch of n messages with bodies "0", "1", ... and a minute of lease. */
struct batch *
rig_make_batch(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char id[32], body[32];
        snprintf(id, sizeof id, "id-%zu", i);
        snprintf(body, sizeof body, "%zu", i);
        struct sqs_message r = sim_sqs_message(id, "handle", body, 1);
        struct message *m = message_new(&r, "orders", 0, 0);
        atomic_store(&m->lease_ms, clock_monotonic_ms() + 60000);
        assert_int_equal(batcher_add(&rig.batcher, m, 0), 0);
    }
    batcher_end_receive(&rig.batcher, 0);
    return rig.gathered;
}

/* What the engine does with its inbox, until so many batches have come back. */
void
rig_collect(size_t returned)
{
    while (rig.returned < returned) {
        struct inbox_node *next;
        pthread_mutex_lock(&rig.lock);
        unsigned wakes = rig.wakes;
        pthread_mutex_unlock(&rig.lock);
        for (struct inbox_node *n = inbox_take(pool_inbox(rig.pool)); n; n = next) {
            next = n->next;
            if (n->kind == INBOX_SETTLED) {
                rig.settled[rig.n_settled++] = message_of_settled(n);
            } else if (n->kind == INBOX_EXTEND) {
                atomic_store(&batch_of_extend(n)->extend_queued, false);
                rig.extends++;
            } else {
                rig.returned++;
            }
        }
        pthread_mutex_lock(&rig.lock);
        while (rig.returned < returned && rig.wakes == wakes)
            pthread_cond_wait(&rig.changed, &rig.lock);
        pthread_mutex_unlock(&rig.lock);
    }
}

/* Runs one batch of n messages through the plugin. */
struct batch *
rig_run(size_t n)
{
    struct batch *b = rig_make_batch(n);
    pool_submit(rig.pool, b);
    pool_wake(rig.pool);
    rig_collect(1);
    return b;
}

void
rig_end(struct batch *b)
{
    assert_true(pool_stop(rig.pool, -1));
    if (rig.stale) /* a thread of the plugin's, until the plugin was closed */
        assert_int_equal(host_table.settle(rig.stale, 0, HANDLER_DONE, 0, NULL), HANDLER_E_INDEX);
    pool_destroy(rig.pool);
    if (b)
        batcher_recycle(&rig.batcher, b);
    batcher_clean_up(&rig.batcher);
    timers_clean_up(&rig.timers);
    ledger_close(rig.ledger);
    pthread_cond_destroy(&rig.changed);
    pthread_mutex_destroy(&rig.lock);
}

long
rig_violations(void)
{
    return (long)atomic_load(&rig.metrics->violations);
}
