#include "base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct backoff_policy POLICY = {.base_ms = 500, .cap_ms = 30000, .reset_ms = 60000};
static const struct backoff_policy FLOORED = {.base_ms = 500, .cap_ms = 30000, .floor_ms = 200};

struct extent {
    int64_t least, most;
};

/* The extremes of many n-th waits: with full jitter they come close to the bounds, and never pass them. */
static struct extent
waits(const struct backoff_policy *policy, uint32_t n)
{
    struct extent e = {INT64_MAX, INT64_MIN};
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct backoff b;
        int64_t wait = 0;
        backoff_init(&b, policy, seed);
        for (uint32_t i = 0; i < n; i++)
            wait = backoff_fail(&b, 0);
        e.least = wait < e.least ? wait : e.least;
        e.most = wait > e.most ? wait : e.most;
    }
    return e;
}

static void
waits_double_up_to_the_cap(void **state)
{
    (void)state;
    assert_in_range(waits(&POLICY, 1).most, 475, 500);
    assert_in_range(waits(&POLICY, 2).most, 950, 1000);
    assert_in_range(waits(&POLICY, 3).most, 1900, 2000);
    assert_in_range(waits(&POLICY, 7).most, 28500, 30000);
    assert_in_range(waits(&POLICY, 200).most, 28500, 30000);
    assert_in_range(waits(&POLICY, 7).least, 0, 1500);
}

static void
no_wait_is_shorter_than_the_floor(void **state)
{
    (void)state;
    assert_in_range(waits(&FLOORED, 1).least, 200, 215);
    assert_in_range(waits(&FLOORED, 1).most, 485, 500);
    assert_in_range(waits(&FLOORED, 9).least, 200, 1700);
}

static void
a_policy_without_room_for_jitter_waits_exactly(void **state)
{
    (void)state;
    static const struct backoff_policy exact = {.base_ms = 5, .cap_ms = 5, .floor_ms = 5};
    assert_int_equal(waits(&exact, 1).least, 5);
    assert_int_equal(waits(&exact, 50).most, 5);
}

static void
a_success_or_a_quiet_time_starts_the_series_over(void **state)
{
    (void)state;
    struct backoff b;
    backoff_init(&b, &POLICY, 42);
    for (int i = 0; i < 10; i++)
        backoff_fail(&b, i);
    backoff_succeed(&b);
    assert_in_range(backoff_fail(&b, 10), 0, 500);
    for (int i = 0; i < 10; i++)
        backoff_fail(&b, 10);
    backoff_fail(&b, 10 + 59999);
    assert_int_equal(b.failures, 12);
    assert_in_range(backoff_fail(&b, 10 + 59999 + 60000), 0, 500);
    assert_int_equal(b.failures, 1);
}

static void
without_a_reset_time_only_success_starts_over(void **state)
{
    (void)state;
    struct backoff b;
    backoff_init(&b, &FLOORED, 42);
    backoff_fail(&b, 0);
    backoff_fail(&b, INT64_MAX / 2);
    assert_int_equal(b.failures, 2);
}

static void
the_same_seed_gives_the_same_waits(void **state)
{
    (void)state;
    struct backoff a, b, c;
    int different = 0;
    backoff_init(&a, &POLICY, 7);
    backoff_init(&b, &POLICY, 7);
    backoff_init(&c, &POLICY, 8);
    for (int i = 0; i < 100; i++) {
        int64_t wait = backoff_fail(&a, i);
        assert_int_equal(wait, backoff_fail(&b, i));
        different += wait != backoff_fail(&c, i);
    }
    assert_in_range(different, 90, 100);
}

static void
waits_of_a_series_kept_elsewhere_are_drawn_alike(void **state)
{
    (void)state;
    uint64_t random = 0;
    int64_t most = 0;
    for (int i = 0; i < 1000; i++) {
        assert_in_range(backoff_wait_ms(&POLICY, 0, &random), 0, 500);
        assert_in_range(backoff_wait_ms(&POLICY, 1, &random), 0, 500);
        assert_in_range(backoff_wait_ms(&POLICY, UINT32_MAX, &random), 0, 30000);
        int64_t wait = backoff_wait_ms(&POLICY, 4, &random);
        most = wait > most ? wait : most;
    }
    assert_in_range(most, 3800, 4000);
    assert_int_not_equal(random, 0);
}

static void
the_largest_policy_does_not_overflow(void **state)
{
    (void)state;
    static const struct backoff_policy vast = {.base_ms = 1, .cap_ms = INT64_MAX};
    uint64_t random = 1;
    for (uint32_t n = 1; n < 200; n++)
        assert_true(backoff_wait_ms(&vast, n, &random) >= 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_cap),
        cmocka_unit_test(no_wait_is_shorter_than_the_floor),
        cmocka_unit_test(a_policy_without_room_for_jitter_waits_exactly),
        cmocka_unit_test(a_success_or_a_quiet_time_starts_the_series_over),
        cmocka_unit_test(without_a_reset_time_only_success_starts_over),
        cmocka_unit_test(the_same_seed_gives_the_same_waits),
        cmocka_unit_test(waits_of_a_series_kept_elsewhere_are_drawn_alike),
        cmocka_unit_test(the_largest_policy_does_not_overflow),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
