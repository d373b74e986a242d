/* world: what the engine's modules act upon: time, timers, the queue, the ledger.
 *
 * Filled in once, by engine_thread.c with the real ones and by the tests with a simulation, and handed to every module.
 * Nothing in this folder that takes a struct world asks another clock or speaks to another queue. Engine thread only,
 * except for the metrics, which are relaxed atomics. */
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
    struct metrics *metrics;
    uint64_t random; /* xorshift64* state of all jitter, never 0 */
};

/* base/metrics_list.h has the names. */
#define WORLD_COUNT(w, counter, n)         METRICS_COUNT((w)->metrics, counter, n)
#define WORLD_OBSERVE(w, histogram, value) METRICS_OBSERVE((w)->metrics, histogram, value)

#endif
