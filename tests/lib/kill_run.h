/* kill_run: the whole system at work while parts of it are killed with -9 and started again.
 *
 * fanout-local, fanoutd with two workers, a feeder that publishes numbered events, on a clock of the test's own. When
 * and whom a kill meets is drawn from the seed; what the scheduler makes of it is not, so a seed gives the same plan,
 * not the same run. The visibility timeout is longer than any run, so that a lease ends only when the test moves the
 * clock, and it does that only while no worker lives: what is handled twice then is due to a kill, and can be bounded.
 *
 * What goes wrong fails the test. One thread. */
#ifndef FANOUT_TESTS_LIB_KILL_RUN_H
#define FANOUT_TESTS_LIB_KILL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "lib/feeder.h"
#include "lib/system.h"
#include "lib/total_queue.h"

/* What the fleet is configured with, and what follows from it. */
#define KILL_RUN_WORKERS     2
#define KILL_RUN_THREADS     4
#define KILL_RUN_BATCH       10
#define KILL_RUN_PREFETCH    1
#define KILL_RUN_IN_HAND_MAX (KILL_RUN_THREADS * KILL_RUN_BATCH * (1 + KILL_RUN_PREFETCH)) /* of one worker */

struct kill_run {
    uint64_t random; /* of the seed: seeds_draw */
    size_t events;
    const char *dir;
    struct clock_page *clock;
    struct system *system;
    struct total_queue *judge;
    struct feeder *feeder;
    size_t until; /* handled events to wait for */

    const char *record; /* what the handlers did */
    long read_to;

    /* So many were killed. */
    unsigned servers, workers, supervisors;
    unsigned cut_off; /* records, each by the kill of a worker */
};

void kill_run_begin(struct kill_run *r, uint64_t seed, size_t events);
void kill_run_clean_up(struct kill_run *r, bool failed); /* failed: prints what the programs wrote */

/* Starts the fleet and the feeder. */
void kill_run_start(struct kill_run *r);

/* Waits until so many events were handled, and a drawn while longer. */
void kill_run_reach(struct kill_run *r, size_t handled);

/* fanout-local, which comes back on the same port and data. */
void kill_run_kill_server(struct kill_run *r);

/* One of the workers. */
void kill_run_kill_worker(struct kill_run *r);

/* fanoutd. Its workers must end by themselves, within drain_timeout_s, with exit status 0, and what they had in hand
 * must be deleted or visible again. The next fanoutd starts before that or after it, as it is drawn. */
void kill_run_kill_supervisor(struct kill_run *r);

/* All at once, in a drawn order. */
void kill_run_kill_all(struct kill_run *r);

/* Waits until everything is published and the queue is empty, and stops the fleet. */
void kill_run_finish(struct kill_run *r);

/* Every queue must be empty; the judge is told what is in raw-events. */
void kill_run_check_queues(struct kill_run *r);

/* Moves the clock past the visibility timeout: what is in flight comes back. */
void kill_run_pass_visibility(struct kill_run *r);

/* Starts fanout-local again after an end, with what the run needs. */
void kill_run_restart_server(struct kill_run *r);

#endif
