/* pool_rig: a pool of real handler threads whose plugin is a table of the test's own functions, and what the engine
 * does with what comes back.
 *
 *     pool_rig_begin(&POOL_RIG_EACH, 1);
 *     pool_rig.answers[0] = HANDLER_RETRY;
 *     struct batch *b = pool_rig_run(1);
 *     assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
 *     pool_rig_end(b);
 *
 * One at a time: the plugin's functions find it in `pool_rig`. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_POOL_RIG_H
#define FANOUT_TESTS_LIB_POOL_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/call.h"
#include "worker/pool.h"

#define POOL_RIG_MOST 64

extern struct pool_rig {
    struct plugin plugin;
    struct ledger *ledger;
    struct metrics *metrics;
    struct pool *pool;
    struct publish_desk *desk; /* NULL: nothing can be published */
    struct timers timers;
    struct batcher batcher;
    struct batch *gathered;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    unsigned wakes;
    bool gate_open; /* what a handler can wait for */
    unsigned inside;

    struct message *settled[POOL_RIG_MOST]; /* in the order in which they came */
    size_t n_settled, returned, extends;

    /* the plugin */
    int32_t
        answers[POOL_RIG_MOST]; /* of handle: for the message whose body is "0", "1", ...; of handle_batch: the first */
    void (*in_call)(struct handler_call *call, uint32_t count);
    int32_t results[POOL_RIG_MOST]; /* noted by in_call */
    struct handler_call *stale;
    _Atomic bool handled[POOL_RIG_MOST];
} pool_rig;

/* Plugins with handle and with handle_batch: they note what they were called with, run pool_rig.in_call, and answer. */
extern const struct handler POOL_RIG_EACH, POOL_RIG_TOGETHER;

/* The number that is a message's body. */
size_t pool_rig_number_of(const struct handler_message *m);

/* For pool_rig.in_call: until the gate is open. And until so many are there. */
void pool_rig_wait_at_the_gate(struct handler_call *call, uint32_t count);
void pool_rig_wait_for_handlers_inside(unsigned n);
void pool_rig_open_the_gate(void);

/* begin_with makes all but the pool, so that more can be set; try_begin makes that. */
void pool_rig_begin(const struct handler *table, size_t threads);
void pool_rig_begin_with(const struct handler *table);
int pool_rig_try_begin(size_t threads, struct err *e);

/* Stops the pool, and frees all and b, which may be NULL. */
void pool_rig_end(struct batch *b);

/* A batch of n messages with bodies "0", "1", ... and a minute of lease. */
struct batch *pool_rig_make_batch(size_t n);

/* What the engine does with its inbox, until so many batches, or messages, have come back. */
void pool_rig_collect(size_t returned);
void pool_rig_collect_settled(size_t settled);

/* Runs one batch of n messages through the plugin. */
struct batch *pool_rig_run(size_t n);

long pool_rig_violations(void);

#endif
