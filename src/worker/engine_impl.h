/* engine_impl: what the engine's own files share: engine.c (a message's way through it), engine_drain.c (its end),
 * engine_state.c (what it tells about itself). */
#ifndef FANOUT_WORKER_ENGINE_IMPL_H
#define FANOUT_WORKER_ENGINE_IMPL_H

#include "worker/discover.h"
#include "worker/engine.h"
#include "worker/inflight.h"
#include "worker/lease.h"
#include "worker/poll.h"
#include "worker/settle.h"

struct engine {
    struct engine_options options;
    struct world world;
    size_t cap;
    char queue_name[256];
    struct discover discover;
    struct inflight in_hand;
    struct lease lease;
    struct batcher batcher;
    struct settle settle;
    struct poll poll;
    bool health_known; /* the queue was asked, and answered or not: */
    enum ipc_health health;
    char health_text[300];
    bool health_told; /* what was told to the supervisor: */
    enum ipc_health told;
    int64_t tell_due_ms; /* not before: nobody heard it */
    int64_t gauges_due_ms;
    bool draining, deadline_passed;
    struct message *held; /* to be given back when no receive is outstanding */
    int64_t deadline_ms;
    struct timer poll_deadline, deadline;
};

/* engine.c: a batch's undecided messages have their verdicts; it is recycled. */
void engine_batch_returned(struct engine *g, struct batch *b, int64_t now_ms);

/* engine_drain.c. While a receive of ours waits at the queue it would take back at once what is given back now: one
 * more receive spent, and nothing won. So m is held, under lease, until engine_give_back_held finds none outstanding.
 */
void engine_give_back(struct engine *g, struct message *m);
void engine_give_back_held(struct engine *g, int64_t now_ms);

/* engine_state.c: what the queue's last answer says of our health; tells the supervisor when that, or what is denied to
 * us, has changed, and again until it was heard; keeps the gauges of the ledger's counters. */
void engine_set_health(struct engine *g, enum ipc_health health, const char *why);
void engine_tell_health(struct engine *g, int64_t now_ms);
void engine_update_gauges(struct engine *g, int64_t now_ms);

#endif
