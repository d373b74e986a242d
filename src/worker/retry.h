/* retry: how long a message that failed waits, and when it has failed often enough.
 *
 * Pure: numbers in, numbers out. The n-th failed attempt is followed by a delay drawn evenly (full jitter: many hosts
 * that failed together must not come back together) below a ceiling, which doubles from base_ms, grows by base_ms, or
 * is the n-th of a list whose last one repeats; exponential and linear ones never pass cap_ms. A delay that the handler
 * asks for wins. But a handler that asks for no delay over and over must be no hot loop: from a message's second
 * attempt on it comes back after RETRY_SOONEST_MS at the soonest, so that no message costs more than a receive and a
 * change of visibility a second; many that fail at once are the breaker's business. Bounding a delay by SQS's 12 hours
 * is its sender's (settle.c), who knows how old the receive is. */
#ifndef FANOUT_WORKER_RETRY_H
#define FANOUT_WORKER_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/conf.h"

#define RETRY_SOONEST_MS 1000

struct retry_policy {
    enum conf_retry_policy kind;
    int64_t base_ms, cap_ms;            /* exponential, linear; >= 1, cap_ms >= base_ms */
    int64_t delays_ms[CONF_DELAYS_MAX]; /* list; each >= 1 */
    size_t n_delays;                    /* list: >= 1 */
    uint32_t max_attempts;              /* 0: no bound of our own */
    bool leave;                         /* retry.then = leave_to_queue */
};

/* The consumer's policy, from a configuration that was checked. */
void retry_read_policy(const struct conf_consumer *c, struct retry_policy *ret_policy);

/* The ceiling of the delay after so many failed attempts (1: the first; 0 counts as 1). */
int64_t retry_ceiling_ms(const struct retry_policy *p, uint32_t attempts);

/* The delay, in milliseconds. asked_ms: the handler's, negative: it asked for none. *random is advanced (world.h). */
int64_t retry_delay_ms(const struct retry_policy *p, uint32_t attempts, int64_t asked_ms, uint64_t *random);

enum retry_answer {
    RETRY_AGAIN,
    RETRY_NO_ATTEMPTS, /* max_attempts have failed: dead letter */
    RETRY_NO_RECEIVES, /* SQS would move it, silently, at the next receive: dead letter */
    RETRY_LEAVE,       /* one of these, but that is left to the queue: again, until it takes the message */
};

/* What becomes of a message after `attempts` failed ones, at this receive count. max_receive_count: of the queue's
 * RedrivePolicy, 0: none. */
enum retry_answer retry_judge(const struct retry_policy *p, uint32_t attempts, uint32_t receive_count,
                              uint32_t max_receive_count);

#endif
