#include "worker/retry.h"

#include <assert.h>

#include "base/backoff.h"

void
retry_read_policy(const struct conf_consumer *c, struct retry_policy *ret_policy)
{
    *ret_policy = (struct retry_policy){.kind = c->retry.policy,
                                        .base_ms = c->retry.base_ms,
                                        .cap_ms = c->retry.cap_ms,
                                        .max_attempts = (uint32_t)c->retry.max_attempts,
                                        .leave = c->retry.then == CONF_RETRY_LEAVE_TO_QUEUE};
    if (c->retry.policy == CONF_RETRY_LIST)
        ret_policy->n_delays = conf_read_delays(c->retry.delays_ms, ret_policy->delays_ms);
}

int64_t
retry_ceiling_ms(const struct retry_policy *p, uint32_t attempts)
{
    int64_t n = attempts > 0 ? attempts : 1;
    switch (p->kind) {
    case CONF_RETRY_EXPONENTIAL:
        return n > 62 || p->base_ms > p->cap_ms >> (n - 1) ? p->cap_ms : p->base_ms << (n - 1);
    case CONF_RETRY_LINEAR:
        return n > p->cap_ms / p->base_ms ? p->cap_ms : p->base_ms * n;
    case CONF_RETRY_LIST:
        break;
    }
    assert(p->n_delays > 0);
    return p->delays_ms[(size_t)n < p->n_delays ? (size_t)n - 1 : p->n_delays - 1];
}

int64_t
retry_delay_ms(const struct retry_policy *p, uint32_t attempts, int64_t asked_ms, uint64_t *random)
{
    if (asked_ms >= 0)
        return attempts > 1 && asked_ms < RETRY_SOONEST_MS ? RETRY_SOONEST_MS : asked_ms;
    int64_t ceiling_ms = retry_ceiling_ms(p, attempts);
    const struct backoff_policy once = {.base_ms = ceiling_ms, .cap_ms = ceiling_ms, .floor_ms = 1};
    return backoff_wait_ms(&once, 1, random);
}

enum retry_answer
retry_judge(const struct retry_policy *p, uint32_t attempts, uint32_t receive_count, uint32_t max_receive_count)
{
    bool no_attempts = p->max_attempts > 0 && attempts >= p->max_attempts;
    bool no_receives = max_receive_count > 0 && receive_count >= max_receive_count;
    if (!no_attempts && !no_receives)
        return RETRY_AGAIN;
    if (p->leave)
        return RETRY_LEAVE;
    return no_attempts ? RETRY_NO_ATTEMPTS : RETRY_NO_RECEIVES;
}
