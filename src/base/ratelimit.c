#include "base/ratelimit.h"

#include <assert.h>

/* Of a token: what sums of fractions are allowed to be off by. */
#define TOLERANCE 1e-6

void
ratelimit_init(struct ratelimit *r, double per_s, double burst, int64_t now_ms)
{
    assert(per_s >= 0 && burst > 0);
    *r = (struct ratelimit){.per_s = per_s, .burst = burst, .tokens = burst, .filled_at_ms = now_ms};
}

static double
lesser(double a, double b)
{
    return a < b ? a : b;
}

static void
fill(struct ratelimit *r, int64_t now_ms)
{
    if (now_ms > r->filled_at_ms)
        r->tokens = lesser(r->burst, r->tokens + (double)(now_ms - r->filled_at_ms) * r->per_s / 1000);
    r->filled_at_ms = now_ms; /* a clock that went back starts anew from there */
}

bool
ratelimit_take(struct ratelimit *r, double n, int64_t now_ms)
{
    fill(r, now_ms);
    if (r->tokens + TOLERANCE < lesser(n, r->burst))
        return false;
    r->tokens -= n;
    return true;
}

int64_t
ratelimit_wait_ms(struct ratelimit *r, double n, int64_t now_ms)
{
    fill(r, now_ms);
    double missing = lesser(n, r->burst) - r->tokens - TOLERANCE;
    if (missing <= 0)
        return 0;
    double wait_ms = missing * 1000 / r->per_s; /* infinite at a rate of 0 */
    if (wait_ms >= (double)INT64_MAX)
        return INT64_MAX;
    int64_t whole_ms = (int64_t)wait_ms;
    return (double)whole_ms < wait_ms ? whole_ms + 1 : whole_ms;
}
