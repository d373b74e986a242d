#include "base/ratelimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
it_starts_full_and_gives_its_burst(void **state)
{
    (void)state;
    struct ratelimit r;
    ratelimit_init(&r, 10, 3, 1000);
    for (int i = 0; i < 3; i++)
        assert_true(ratelimit_take(&r, 1, 1000));
    assert_false(ratelimit_take(&r, 1, 1000));
}

static void
it_fills_at_its_rate_up_to_the_burst(void **state)
{
    (void)state;
    struct ratelimit r;
    ratelimit_init(&r, 10, 3, 0);
    assert_true(ratelimit_take(&r, 3, 0));
    assert_false(ratelimit_take(&r, 1, 99));
    assert_true(ratelimit_take(&r, 1, 100));
    assert_true(ratelimit_take(&r, 3, 1000000));
    assert_false(ratelimit_take(&r, 1, 1000000));
}

static void
after_the_wait_it_says_the_tokens_are_there_and_not_before(void **state)
{
    (void)state;
    static const double rates[] = {0.1, 0.3, 1, 3, 7, 33.3, 1000, 99999};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct ratelimit r;
        int64_t now_ms = 1700000000000;
        ratelimit_init(&r, rates[i], 5, now_ms);
        for (int n = 0; n < 500; n++) {
            int64_t wait_ms = ratelimit_wait_ms(&r, 1, now_ms);
            if (wait_ms > 0)
                assert_false(ratelimit_take(&r, 1, now_ms + wait_ms - 1));
            now_ms += wait_ms;
            assert_true(ratelimit_take(&r, 1, now_ms));
        }
    }
}

static void
in_the_long_run_the_rate_holds(void **state)
{
    (void)state;
    struct ratelimit r;
    int taken = 0;
    ratelimit_init(&r, 33, 1, 0);
    for (int64_t now_ms = 0; now_ms <= 100000; now_ms++)
        taken += ratelimit_take(&r, 1, now_ms);
    assert_in_range(taken, 3200, 3301);
}

static void
more_than_the_burst_is_given_by_a_full_bucket_that_then_owes(void **state)
{
    (void)state;
    struct ratelimit r;
    ratelimit_init(&r, 10, 5, 0);
    assert_int_equal(ratelimit_wait_ms(&r, 25, 0), 0);
    assert_true(ratelimit_take(&r, 25, 0));
    assert_int_equal(ratelimit_wait_ms(&r, 1, 0), 2100);
    assert_false(ratelimit_take(&r, 1, 2099));
    assert_true(ratelimit_take(&r, 1, 2100));
}

static void
a_rate_of_zero_gives_the_burst_and_no_more(void **state)
{
    (void)state;
    struct ratelimit r;
    ratelimit_init(&r, 0, 2, 0);
    assert_true(ratelimit_take(&r, 2, 0));
    assert_false(ratelimit_take(&r, 1, INT64_MAX / 2));
    assert_true(ratelimit_wait_ms(&r, 1, INT64_MAX / 2) == INT64_MAX);
}

static void
a_clock_that_goes_back_does_not_stop_it(void **state)
{
    (void)state;
    struct ratelimit r;
    ratelimit_init(&r, 10, 1, 1000000);
    assert_true(ratelimit_take(&r, 1, 1000000));
    assert_false(ratelimit_take(&r, 1, 500));
    assert_int_equal(ratelimit_wait_ms(&r, 1, 500), 100);
    assert_true(ratelimit_take(&r, 1, 600));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_full_and_gives_its_burst),
        cmocka_unit_test(it_fills_at_its_rate_up_to_the_burst),
        cmocka_unit_test(after_the_wait_it_says_the_tokens_are_there_and_not_before),
        cmocka_unit_test(in_the_long_run_the_rate_holds),
        cmocka_unit_test(more_than_the_burst_is_given_by_a_full_bucket_that_then_owes),
        cmocka_unit_test(a_rate_of_zero_gives_the_burst_and_no_more),
        cmocka_unit_test(a_clock_that_goes_back_does_not_stop_it),
    };
    return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
