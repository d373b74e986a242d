/* engine: what happens to each message, from its receive to its end (DESIGN.md, "A message's life").
 *
 * Puts the modules of this folder together: polls bring messages (poll), each gets a lease (lease), a place among those
 * in hand (inflight) and in the ledger, and goes into a batch (batch); what a handler thread hands back is carried out
 * (settle); a drain winds all of that up. It has no thread and no loop: engine_thread.c drives it with the real clock
 * and queue, tests/unit/test_worker_engine.c with simulated ones. Engine thread only, and nothing here blocks, runs
 * plugin code or takes a lock that a handler can hold. */
#ifndef FANOUT_WORKER_ENGINE_H
#define FANOUT_WORKER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/channel.h"
#include "worker/batch.h"
#include "worker/breaker.h"
#include "worker/dedup.h"
#include "worker/inbox.h"
#include "worker/publish_outlet.h"
#include "worker/retry.h"
#include "worker/screen.h"
#include "worker/world.h"

struct engine;

struct engine_options {
    struct world world;                     /* its queue, timers and ledger are borrowed */
    const char *consumer, *queue, *handler; /* borrowed; handler: "name version" */
    const char *host;                       /* this one's name, for dead letters; borrowed */
    size_t threads, batch_size, prefetch;
    int64_t batch_window_ms;
    unsigned wait_time_s;
    int visibility_timeout_s; /* 0: the queue's own */
    int lease_max_s;          /* 0: as long as SQS allows */
    struct retry_policy retry;
    const char *dead_letters;       /* dead_letter.queue; "" or NULL: the RedrivePolicy's; borrowed */
    const char *needs_dead_letters; /* the options that do, or NULL; borrowed */
    struct screen_options screen;
    struct publish_outlet *outlet; /* borrowed; NULL: handlers publish nothing */
    struct breaker_policy breaker; /* all but `full` */
    unsigned max_per_s;            /* messages handed to handlers; 0: no limit */
    struct dedup_options dedup;    /* its store is taken by engine_new, which sets consumer, callbacks and context */
    bool fifo_skips;               /* fifo.on_failure = skip */

    /* A batch for the handler threads; it comes back through engine_take. Never more than engine_cap of them wait for
     * a thread. */
    void (*submit)(void *context, struct batch *b);
    /* A submitted batch that no handler thread has taken yet, or NULL: for the drain. */
    struct batch *(*take_back)(void *context);
    /* Handlers are to begin nothing but batches that are trials, or everything again. */
    void (*hold)(void *context, bool held);
    /* Its health changed. Not 0: it could not be told; a second later it is tried again. */
    int (*health)(void *context, enum ipc_health health, const char *why);
    void *context;
};

int engine_new(const struct engine_options *options, struct engine **ret_engine, struct err *e);

/* Before the queue's own end, and the loop must not run again: the callbacks of calls in flight would point nowhere.
 * Batches that are still out are lost with it. */
void engine_destroy(struct engine *g);

/* Messages in hand, those on their way included, are never more: threads x batch_size x (1 + prefetch), and no more
 * than the ledger has records. */
size_t engine_cap(const struct engine *g);

/* Receives ask for all system attributes, not only for those the engine needs. Before engine_start. */
void engine_ask_for_attributes(struct engine *g);

/* Finds the queue, then receives. */
void engine_start(struct engine *g);

/* What handler threads handed back: inbox_take's list. */
void engine_take(struct engine *g, struct inbox_node *list, int64_t now_ms);

/* Starts receives where there is room. Once each turn of the loop. */
void engine_turn(struct engine *g, int64_t now_ms);

/* Winds up until deadline_ms (monotonic); a second call may only bring the deadline forward.
 *
 * No receive is started. One that is in flight is left alone, because SQS may already be filling it, and a long poll
 * that nobody reads goes on taking messages for as long as it would have waited: what it brings is given back with
 * visibility 0. So a drain lasts up to wait_time_s; a second before the deadline it is cancelled after all. Batches
 * that no handler has begun are given back too, and what is to be retried soon, as soon as no receive of ours is left
 * to take them in again. What is being handled is waited for, its leases extended; every other verdict is carried out
 * without lingering. */
void engine_drain(struct engine *g, int64_t deadline_ms, int64_t now_ms);

/* True when a drain has come to its end: nothing is in hand, or the deadline has passed with *ret_left messages. */
bool engine_is_over(const struct engine *g, size_t *ret_left);

/* Log lines on the engine's state. */
void engine_dump(const struct engine *g, int64_t now_ms);

#endif
