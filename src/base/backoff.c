#include "base/backoff.h"

#include <assert.h>

/* xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016). */
static uint64_t
next_random(uint64_t *state)
{
    uint64_t x = *state ? *state : 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* Spreads a seed, so that neighbouring ones do not begin alike (the finaliser of splitmix64). */
static uint64_t
spread(uint64_t seed)
{
    seed += UINT64_C(0x9E3779B97F4A7C15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94D049BB133111EB);
    return seed ^ seed >> 31;
}

static int64_t
ceiling_ms(const struct backoff_policy *p, uint32_t failures)
{
    int64_t wait = p->base_ms;
    while (failures-- > 1 && wait < p->cap_ms)
        wait = wait > p->cap_ms / 2 ? p->cap_ms : wait * 2; /* doubling cannot overflow */
    return wait < p->cap_ms ? wait : p->cap_ms;
}

void
backoff_init(struct backoff *b, const struct backoff_policy *policy, uint64_t seed)
{
    *b = (struct backoff){.policy = policy, .random = spread(seed)};
}

int64_t
backoff_fail(struct backoff *b, int64_t now_ms)
{
    const struct backoff_policy *p = b->policy;
    if (p->reset_ms > 0 && b->failures > 0 && now_ms - b->failed_at_ms >= p->reset_ms)
        b->failures = 0;
    if (b->failures < UINT32_MAX)
        b->failures++;
    b->failed_at_ms = now_ms;
    return backoff_wait_ms(p, b->failures, &b->random);
}

void
backoff_succeed(struct backoff *b)
{
    b->failures = 0;
}

int64_t
backoff_wait_ms(const struct backoff_policy *policy, uint32_t n, uint64_t *random)
{
    assert(policy->base_ms > 0 && policy->cap_ms >= policy->base_ms);
    assert(policy->floor_ms >= 0 && policy->floor_ms <= policy->base_ms);
    uint64_t span = (uint64_t)(ceiling_ms(policy, n) - policy->floor_ms) + 1;
    return policy->floor_ms + (int64_t)((unsigned __int128)next_random(random) * span >> 64);
}
