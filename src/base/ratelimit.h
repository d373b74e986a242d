/* ratelimit: a token bucket over a clock that is passed in.
 *
 * Used for log lines that repeat, for sends per second, for retries. One owner. */
#ifndef FANOUT_BASE_RATELIMIT_H
#define FANOUT_BASE_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct ratelimit {
    double per_s; /* tokens gained each second */
    double burst; /* the bucket's size */
    double tokens;
    int64_t filled_at_ms;
};

/* Starts full. per_s >= 0 (0: what is in the bucket is all there will be), burst > 0. */
void ratelimit_init(struct ratelimit *r, double per_s, double burst, int64_t now_ms);

/* Takes n tokens if they are there. n > burst is given by a full bucket, which then owes the rest: the rate holds. */
bool ratelimit_take(struct ratelimit *r, double n, int64_t now_ms);

/* Milliseconds until n tokens will be there (0: now), rounded up; n > burst counts as burst. INT64_MAX: never. */
int64_t ratelimit_wait_ms(struct ratelimit *r, double n, int64_t now_ms);

#endif
