/* backoff: how long to wait before the next try of something that keeps failing.
 *
 * One policy, many users: worker restarts, polls that fail, messages given back for a retry. A policy is plain data and
 * may be shared; the state of one series of tries belongs to its owner.
 *
 * Exponential with full jitter: the n-th wait is drawn evenly from [floor_ms, min(cap_ms, base_ms * 2^(n-1))], because
 * many hosts that failed together must not come back together (AWS Architecture Blog, "Exponential Backoff And Jitter",
 * 2015). */
#ifndef FANOUT_BASE_BACKOFF_H
#define FANOUT_BASE_BACKOFF_H

#include <stdint.h>

struct backoff_policy {
    int64_t base_ms;  /* ceiling of the first wait, > 0 */
    int64_t cap_ms;   /* ceiling of any wait, >= base_ms */
    int64_t floor_ms; /* no wait is shorter, <= base_ms */
    int64_t reset_ms; /* this long without a failure and the series starts over; 0: only on success */
};

struct backoff {
    const struct backoff_policy *policy; /* borrowed */
    uint64_t random;                     /* xorshift64* state, never 0 */
    int64_t failed_at_ms;                /* monotonic time of the last failure */
    uint32_t failures;                   /* in this series */
};

/* Starts a series. The same seed gives the same waits. */
void backoff_init(struct backoff *b, const struct backoff_policy *policy, uint64_t seed);

/* Notes a failure at now_ms (monotonic) and returns the wait before the next try, in milliseconds. */
int64_t backoff_fail(struct backoff *b, int64_t now_ms);

/* Ends the series: the next failure waits as the first did. */
void backoff_succeed(struct backoff *b);

/* The wait after the n-th failure (n >= 1; 0 counts as 1) of a series kept elsewhere (a message's attempts). *random is
 * advanced. */
int64_t backoff_wait_ms(const struct backoff_policy *policy, uint32_t n, uint64_t *random);

#endif
