/* chaos_run: one run of the whole fleet in a storm that a seed draws.
 *
 * fanout-local with a standard and a FIFO queue, each with its dead-letter queue, and a bus with a queue behind it for
 * what handlers publish; fanoutd with a consumer (plugin chaos, tests/plugins) for each, behind a wiretap; an account
 * that hears everything. The configuration (lib/chaos_plan.h), the messages, what their handler does with each, and the
 * storm (lib/chaos_storm.h) follow from the seed; what the scheduler makes of it does not, so a seed gives the same
 * plan, not the same run. The clock is the run's own: it leaps when every thread of the fleet and of the server sleeps,
 * by a second, and by more while nobody says a word,
 * so that backoffs and visibility timeouts take no time.
 *
 * FANOUT_CHAOS_LOG=FILE has the fleet write all it can say there. What goes wrong fails the test. One thread. */
#ifndef FANOUT_TESTS_LIB_CHAOS_RUN_H
#define FANOUT_TESTS_LIB_CHAOS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "lib/account.h"
#include "lib/chaos_plan.h"
#include "lib/system.h"
#include "lib/wiretap.h"

#define CHAOS_WORKERS_MAX 16

struct chaos_run {
    uint64_t seed, random; /* random: seeds_draw's */
    size_t messages;
    struct chaos_plan plan;
    const char *dir;
    struct clock_page *clock;
    int64_t clock_began_ms;
    int64_t stepped_ns, leap_ms;
    bool waits; /* nothing more is done: the caps are not looked at, and the clock goes fast */
    struct system *system;
    struct proc *last_fleet;                                        /* that has ended, for what it said */
    char urls[ACCOUNT_QUEUES][200], dead_urls[ACCOUNT_QUEUES][200]; /* at fanout-local itself */
    char events_url[200];
    struct account *account;
    bool *twinned; /* by message: another one has its event */
    struct wiretap *tap;
    struct chaos_record *record;
    const char *record_path;
    const char *env[10];
    char endpoint[128];
    pid_t old[CHAOS_WORKERS_MAX]; /* workers that are being replaced, but for n_kept of them; n_old 0: none is */
    size_t n_old, n_kept;
    unsigned kills, restarts, reloads; /* of the server and workers; of the fleet; HUPs */
};

void chaos_run_begin(struct chaos_run *r, uint64_t seed, size_t messages);
void chaos_run_clean_up(struct chaos_run *r, bool failed); /* failed: prints what the programs wrote */

/* Puts the messages into the queues; takes the dead letters out of theirs, and what was published, for the account
 * (chaos_messages.c). */
void chaos_run_fill(struct chaos_run *r);
void chaos_run_read_letters(struct chaos_run *r);
void chaos_run_read_pieces(struct chaos_run *r);

/* Starts fanoutd. It is stopped, and started again; reloaded; fanout-local is killed, and started again. */
void chaos_run_start_fleet(struct chaos_run *r);
void chaos_run_restart_fleet(struct chaos_run *r);
void chaos_run_reload_fleet(struct chaos_run *r);
void chaos_run_kill_server(struct chaos_run *r);
void chaos_run_kill_worker(struct chaos_run *r);

/* Knows again how many workers there are, if a reload or a kill has come to its end. */
void chaos_run_look_at_fleet(struct chaos_run *r);

/* A while passes: a moment, or a leap of the clock if nothing happens otherwise. */
void chaos_run_pass(struct chaos_run *r);
int64_t chaos_run_clock_ms(const struct chaos_run *r); /* since the begin */

/* So many calls of the handlers have begun. */
size_t chaos_run_handled(const struct chaos_run *r);

/* Without a storm: until the queues are empty, then the fleet's end; reads the dead letters and judges. Returns how
 * much was wrong, with the words for it in out. */
size_t chaos_run_finish(struct chaos_run *r, struct buf *out, struct buf *sums);

#endif
