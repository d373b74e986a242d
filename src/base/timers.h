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
    int64_t due_ms;                              /* clock_monotonic_ms */
    size_t  place;                               /* 1-based place in the heap; 0: not set */
    void  (*fire)(struct timer *t, int64_t now_ms);
};

struct timers {
    struct timer **heap;
    size_t         count, capacity;
};

void timers_init(struct timers *ts);
void timers_clean_up(struct timers *ts);         /* the timers themselves are untouched */

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
 * to now_ms or earlier fires in the next call, so that a run always ends. Returns how many fired. */
size_t timers_run(struct timers *ts, int64_t now_ms);

#endif
