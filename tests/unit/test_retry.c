#include "aws/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
throttling_is_known_by_code_whatever_the_status(void **state)
{
    (void)state;
    static const char *const codes[] = {"Throttling",
                                        "ThrottlingException",
                                        "ThrottledException",
                                        "RequestThrottled",
                                        "RequestThrottledException",
                                        "TooManyRequestsException",
                                        "RequestLimitExceeded",
                                        "LimitExceededException",
                                        "SlowDown",
                                        "BandwidthLimitExceeded",
                                        "PriorRequestNotComplete",
                                        "ProvisionedThroughputExceededException",
                                        "TransactionInProgressException",
                                        "EC2ThrottledException"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(retry_classify(400, codes[i]), RETRY_THROTTLING);
        assert_int_equal(retry_classify(403, codes[i]), RETRY_THROTTLING);
        assert_int_equal(retry_classify(503, codes[i]), RETRY_THROTTLING);
    }
    assert_int_equal(retry_classify(429, ""), RETRY_THROTTLING);
}

static void
transient_are_no_answer_some_statuses_and_some_codes(void **state)
{
    (void)state;
    static const int statuses[] = {0, 500, 502, 503, 504};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        assert_int_equal(retry_classify(statuses[i], ""), RETRY_TRANSIENT);
    static const char *const codes[] = {"RequestTimeout", "RequestTimeoutException", "BadDigest",
                                        "IDPCommunicationError"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        assert_int_equal(retry_classify(400, codes[i]), RETRY_TRANSIENT);
}

static void
all_else_is_never_retried(void **state)
{
    (void)state;
    static const int statuses[] = {301, 400, 401, 403, 404, 409, 412, 413, 501, 505};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        assert_int_equal(retry_classify(statuses[i], ""), RETRY_NEVER);
    static const char *const codes[] = {"OverLimit",  "AccessDenied", "ExpiredToken",
                                        "throttling", "Throttling ",  "SlowDow"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        assert_int_equal(retry_classify(400, codes[i]), RETRY_NEVER);
}

/* The largest first-to-nth wait of many: with full jitter it comes close to the ceiling, and never passes it. */
static int64_t
largest_wait_ms(enum retry_kind kind, unsigned attempt)
{
    int64_t largest = 0;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct retry_bucket b;
        retry_bucket_init(&b, seed * 7919);
        struct retry_decision d = retry_next(&b, kind, attempt, 100, -1);
        assert_int_equal(d.verdict, RETRY_AGAIN);
        assert_true(d.wait_ms >= 0);
        largest = d.wait_ms > largest ? d.wait_ms : largest;
    }
    return largest;
}

static void
waits_double_from_their_kinds_base_up_to_20_s(void **state)
{
    (void)state;
    assert_in_range(largest_wait_ms(RETRY_TRANSIENT, 1), 45, 50);
    assert_in_range(largest_wait_ms(RETRY_TRANSIENT, 2), 95, 100);
    assert_in_range(largest_wait_ms(RETRY_THROTTLING, 1), 950, 1000);
    assert_in_range(largest_wait_ms(RETRY_THROTTLING, 2), 1900, 2000);
    assert_in_range(largest_wait_ms(RETRY_THROTTLING, 6), 19000, 20000);
    assert_in_range(largest_wait_ms(RETRY_TRANSIENT, 60), 19000, 20000);
}

static void
the_wish_of_the_service_is_kept_between_the_wait_and_5_s_more(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct retry_bucket own, wished;
        retry_bucket_init(&own, seed);
        int64_t wait_ms = retry_next(&own, RETRY_THROTTLING, 1, 3, -1).wait_ms;
        static const int64_t wishes[] = {0, 1, 500, 1000, 4000, 5500, 60000, INT64_MAX};
        for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
            int64_t expected = wishes[i] < wait_ms ? wait_ms : wishes[i] > wait_ms + 5000 ? wait_ms + 5000 : wishes[i];
            retry_bucket_init(&wished, seed);
            assert_int_equal(retry_next(&wished, RETRY_THROTTLING, 1, 3, wishes[i]).wait_ms, expected);
        }
    }
}

static void
attempts_are_bounded_and_giving_up_costs_nothing(void **state)
{
    (void)state;
    struct retry_bucket b;
    retry_bucket_init(&b, 1);
    assert_int_equal(retry_next(&b, RETRY_TRANSIENT, 3, 3, -1).verdict, RETRY_GIVE_UP);
    assert_int_equal(retry_next(&b, RETRY_TRANSIENT, 1, 1, -1).verdict, RETRY_GIVE_UP);
    assert_int_equal(retry_next(&b, RETRY_NEVER, 1, 3, -1).verdict, RETRY_GIVE_UP);
    assert_int_equal(b.tokens, RETRY_BUCKET_TOKENS);
    assert_int_equal(retry_next(&b, RETRY_TRANSIENT, 2, 3, -1).verdict, RETRY_AGAIN);
}

static void
retries_cost_14_or_5_and_end_when_the_bucket_is_empty(void **state)
{
    (void)state;
    struct retry_bucket b;
    retry_bucket_init(&b, 1);
    assert_int_equal(retry_next(&b, RETRY_THROTTLING, 1, 3, -1).cost, 5);
    assert_int_equal(b.tokens, 495);
    for (int i = 0; i < 35; i++)
        assert_int_equal(retry_next(&b, RETRY_TRANSIENT, 1, 3, -1).cost, 14);
    assert_int_equal(b.tokens, 5);
    struct retry_decision d = retry_next(&b, RETRY_TRANSIENT, 1, 3, 3000);
    assert_int_equal(d.verdict, RETRY_EXHAUSTED);
    assert_int_equal(d.cost, 0);
    assert_int_equal(d.wait_ms, 3000); /* what a long poll waits before it fails */
    assert_int_equal(retry_next(&b, RETRY_THROTTLING, 1, 3, -1).verdict, RETRY_AGAIN);
    assert_int_equal(b.tokens, 0);
}

static void
success_gives_back_the_last_cost_or_one_and_never_more_than_there_was(void **state)
{
    (void)state;
    struct retry_bucket b;
    retry_bucket_init(&b, 1);
    retry_succeeded(&b, 0);
    assert_int_equal(b.tokens, RETRY_BUCKET_TOKENS);
    struct retry_decision d = retry_next(&b, RETRY_TRANSIENT, 1, 3, -1);
    retry_next(&b, RETRY_TRANSIENT, 2, 3, -1);
    retry_succeeded(&b, d.cost);
    assert_int_equal(b.tokens, RETRY_BUCKET_TOKENS - 14);
    retry_succeeded(&b, 0);
    assert_int_equal(b.tokens, RETRY_BUCKET_TOKENS - 13);
    retry_succeeded(&b, 14);
    assert_int_equal(b.tokens, RETRY_BUCKET_TOKENS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttling_is_known_by_code_whatever_the_status),
        cmocka_unit_test(transient_are_no_answer_some_statuses_and_some_codes),
        cmocka_unit_test(all_else_is_never_retried),
        cmocka_unit_test(waits_double_from_their_kinds_base_up_to_20_s),
        cmocka_unit_test(the_wish_of_the_service_is_kept_between_the_wait_and_5_s_more),
        cmocka_unit_test(attempts_are_bounded_and_giving_up_costs_nothing),
        cmocka_unit_test(retries_cost_14_or_5_and_end_when_the_bucket_is_empty),
        cmocka_unit_test(success_gives_back_the_last_cost_or_one_and_never_more_than_there_was),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
