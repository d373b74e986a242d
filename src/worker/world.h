/* world: what the engine's modules act upon: time, timers, the queue, the ledger.
 *
 * Filled in once, by engine_thread.c with the real ones and by the tests with a simulation, and handed to every module.
 * Nothing in this folder that takes a struct world asks another clock or speaks to another queue. Engine thread only,
 * except for the counters, which are relaxed atomics. */
#ifndef FANOUT_WORKER_WORLD_H
#define FANOUT_WORKER_WORLD_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/timers.h"
#include "ipc/ledger.h"
#include "worker/queue.h"

struct world {
    int64_t (*clock_ms)(void); /* monotonic */
    int64_t (*wall_ms)(void);
    struct timers *timers;
    struct queue *queue;
    struct ledger *ledger;
    struct ledger_counters *counters;
    uint64_t random; /* xorshift64* state of all jitter, never 0 */
};

#define WORLD_COUNT(w, counter, n)                                                                                     \
    ((void)atomic_fetch_add_explicit(&(w)->counters->counter, (uint64_t)(n), memory_order_relaxed))

#endif
