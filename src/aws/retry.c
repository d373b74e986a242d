#include "aws/retry.h"

#include <stddef.h>
#include <string.h>

#define BASE_TRANSIENT_MS   50
#define BASE_THROTTLING_MS  1000
#define CAP_MS              20000
#define COST_TRANSIENT      14
#define COST_THROTTLING     5
#define RETRY_AFTER_SPAN_MS 5000

static const char *const THROTTLING[] = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "KMS.ThrottlingException",
    "KmsThrottled",
};

static const char *const TRANSIENT[] = {
    "RequestTimeout",        "RequestTimeoutException", "InternalError", "InternalFailure",
    "InternalServerError",   "ServiceUnavailable",      "BadDigest", /* S3: a body damaged on the way */
    "IDPCommunicationError",                                         /* STS */
};

static bool
is_in(const char *code, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(code, list[i]) == 0)
            return true;
    return false;
}

void
retry_bucket_init(struct retry_bucket *b, uint64_t seed)
{
    *b = (struct retry_bucket){.tokens = RETRY_BUCKET_TOKENS, .random = seed ? seed : 1};
}

enum retry_kind
retry_classify(int status, const char *code)
{
    if (status == 429 || is_in(code, THROTTLING, sizeof THROTTLING / sizeof *THROTTLING))
        return RETRY_THROTTLING;
    if (status == 0 || status == 500 || status == 502 || status == 503 || status == 504 ||
        is_in(code, TRANSIENT, sizeof TRANSIENT / sizeof *TRANSIENT))
        return RETRY_TRANSIENT;
    return RETRY_NEVER;
}

static uint64_t
next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

static int64_t
draw_wait_ms(struct retry_bucket *b, enum retry_kind kind, unsigned attempt, int64_t retry_after_ms)
{
    int64_t ceiling_ms = kind == RETRY_THROTTLING ? BASE_THROTTLING_MS : BASE_TRANSIENT_MS;
    for (unsigned i = 1; i < attempt && ceiling_ms < CAP_MS; i++)
        ceiling_ms *= 2;
    ceiling_ms = ceiling_ms < CAP_MS ? ceiling_ms : CAP_MS;
    int64_t wait_ms = (int64_t)(next_random(&b->random) % (uint64_t)(ceiling_ms + 1));
    if (retry_after_ms <= wait_ms)
        return wait_ms;
    return retry_after_ms < wait_ms + RETRY_AFTER_SPAN_MS ? retry_after_ms : wait_ms + RETRY_AFTER_SPAN_MS;
}

struct retry_decision
retry_next(struct retry_bucket *b, enum retry_kind kind, unsigned attempt, unsigned max_attempts,
           int64_t retry_after_ms)
{
    if (kind == RETRY_NEVER || attempt >= max_attempts)
        return (struct retry_decision){.verdict = RETRY_GIVE_UP};
    struct retry_decision d = {.verdict = RETRY_AGAIN, .wait_ms = draw_wait_ms(b, kind, attempt, retry_after_ms)};
    unsigned cost = kind == RETRY_THROTTLING ? COST_THROTTLING : COST_TRANSIENT;
    if (b->tokens < cost) {
        d.verdict = RETRY_EXHAUSTED;
        return d;
    }
    b->tokens -= cost;
    d.cost = cost;
    return d;
}

void
retry_succeeded(struct retry_bucket *b, unsigned last_cost)
{
    unsigned back = last_cost ? last_cost : 1;
    b->tokens = back < RETRY_BUCKET_TOKENS - b->tokens ? b->tokens + back : RETRY_BUCKET_TOKENS;
}
