/* timers: things to do at a monotonic time, earliest first.
 *
 * A binary heap of intrusive timers, for one event loop. The loop asks timers_next_ms for its poll timeout and calls
 * timers_run when it wakes. A struct timer is embedded in its owner and must be cancelled before the owner is freed.
 * One thread. */
#ifndef FANOUT_BASE_TIMERS_H
#define FANOUT_BASE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t due_ms; /* clock_monotonic_ms */
    size_t place;   /* where the heap holds it; 0: not set */
    bool reserved;  /* timers_reserve */
    void (*fire)(struct timer *t, int64_t now_ms);
};

struct timers {
    struct timer **heap;
    struct timer **due; /* during timers_run: what it has yet to fire; NULL: cancelled */
    size_t count, due_count;
    size_t claimed;  /* places: of the timers that are set, and of the reserved ones, set or not */
    size_t capacity; /* of heap and of due; >= claimed, so that either holds all set timers */
};

void timers_init(struct timers *ts);
void timers_clean_up(struct timers *ts); /* the timers themselves are untouched */

/* Keeps a place for t as long as ts lives, so that timers_set never fails for it: for those that nothing would make up
 * for. Returns 0 or ERR_NO_MEMORY. */
int timers_reserve(struct timers *ts, struct timer *t);

/* Sets t (already set or not) to fire at due_ms. Returns 0 or ERR_NO_MEMORY; setting again never fails. */
int timers_set(struct timers *ts, struct timer *t, int64_t due_ms);

/* Nothing happens when t is not set. */
void timers_cancel(struct timers *ts, struct timer *t);

static inline bool
timer_is_set(const struct timer *t)
{
    return t->place != 0;
}

/* Milliseconds until the earliest timer: 0 when it is due, -1 when there is none. */
int64_t timers_next_ms(const struct timers *ts, int64_t now_ms);

/* Fires every timer that is due at now_ms, in order; a callback may set and cancel any timer. A timer set by a callback
 * to now_ms or earlier fires in the next call, so that a run always ends. A callback may free its timer's owner, and
 * must not call timers_run. Returns how many fired. */
size_t timers_run(struct timers *ts, int64_t now_ms);

#endif
