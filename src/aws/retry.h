/* retry: whether and when a failed attempt is tried again: AWS's "standard" mode by its 2026 rules (FACTS.md, 6).
 *
 * A token bucket per client bounds the retries of all its calls together; waits are exponential with full jitter; the
 * service's x-amz-retry-after is honoured within bounds. Pure: time and randomness are passed in. */
#ifndef FANOUT_AWS_RETRY_H
#define FANOUT_AWS_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum retry_kind { RETRY_NEVER, RETRY_TRANSIENT, RETRY_THROTTLING };

struct retry_bucket {
    unsigned tokens; /* of RETRY_BUCKET_TOKENS */
    uint64_t random;
};
#define RETRY_BUCKET_TOKENS 500

void retry_bucket_init(struct retry_bucket *b, uint64_t seed);

/* The kind of failure behind an HTTP status (0: no answer at all) and an AWS error code (may be ""). */
enum retry_kind retry_classify(int status, const char *code);

struct retry_decision {
    enum { RETRY_GIVE_UP, RETRY_AGAIN, RETRY_EXHAUSTED } verdict; /* exhausted: it was the bucket that said no */
    int64_t wait_ms; /* before the next attempt; when exhausted, what it would have been; 0 when giving up */
    unsigned cost;   /* what was taken from the bucket, to be handed to retry_succeeded */
};

/* Asks to retry after `attempt` attempts (>= 1) of at most max_attempts. retry_after_ms: the service's wish, -1: none.
 * The wait is drawn evenly from [0, min(20 s, base * 2^(attempt-1))], base being 50 ms or, when throttled, 1 s; the
 * service's wish replaces it, but no less than that and at most 5 s more. */
struct retry_decision retry_next(struct retry_bucket *b, enum retry_kind kind, unsigned attempt, unsigned max_attempts,
                                 int64_t retry_after_ms);

/* A call ended well: gives back the cost of its last retry, or 1 when there was none (last_cost 0). */
void retry_succeeded(struct retry_bucket *b, unsigned last_cost);

#endif
