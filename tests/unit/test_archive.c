#include "ctl/archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOON INT64_C(1795176000000) /* 2026-11-20T12:00:00Z */

/* One listing, begun `ms` after noon and taking `took_ms`. */
static const char *
listed_from(struct archive *a, int64_t ms, int64_t took_ms)
{
    static char start[ARCHIVE_START_BYTES];
    archive_begin(a, NOON + ms, 1000 + ms, start);
    archive_done(a, 1000 + ms + took_ms);
    return start;
}

static void
the_first_listing_is_of_everything_and_the_next_of_what_came_since(void **state)
{
    (void)state;
    struct archive a = {0};
    assert_string_equal(listed_from(&a, 0, 10), "");
    assert_string_equal(listed_from(&a, 250, 10), "raw-events/2026-11-20T11:59:57Z");
    assert_string_equal(listed_from(&a, 1750, 10), "raw-events/2026-11-20T11:59:57Z");
    assert_string_equal(listed_from(&a, 2000, 5), "raw-events/2026-11-20T11:59:58Z");
}

static void
everything_is_listed_again_for_events_with_a_time_of_their_own(void **state)
{
    (void)state;
    struct archive a = {0};
    assert_string_equal(listed_from(&a, 0, 10), "");
    assert_string_not_equal(listed_from(&a, 2009, 1), "");
    assert_string_equal(listed_from(&a, 2010, 10), "");
}

static void
the_longer_it_takes_the_less_often_everything_is_listed(void **state)
{
    (void)state;
    struct archive a = {0};
    assert_string_equal(listed_from(&a, 0, 1000), "");
    assert_string_not_equal(listed_from(&a, 10999, 1), "");
    assert_string_equal(listed_from(&a, 11000, 1), "");
}

static void
a_listing_that_failed_is_made_up_for(void **state)
{
    (void)state;
    struct archive a = {0};
    char start[ARCHIVE_START_BYTES];
    archive_begin(&a, NOON, 1000, start);
    assert_string_equal(listed_from(&a, 100, 1), ""); /* the first was not through */
    archive_begin(&a, NOON + 60000, 1200, start);
    assert_string_equal(listed_from(&a, 300, 1), "raw-events/2026-11-20T11:59:57Z");
}

static void
everything_is_listed_on_demand(void **state)
{
    (void)state;
    struct archive a = {0};
    listed_from(&a, 0, 100);
    archive_expect_anywhere(&a);
    assert_string_equal(listed_from(&a, 200, 1), "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_listing_is_of_everything_and_the_next_of_what_came_since),
        cmocka_unit_test(everything_is_listed_again_for_events_with_a_time_of_their_own),
        cmocka_unit_test(the_longer_it_takes_the_less_often_everything_is_listed),
        cmocka_unit_test(a_listing_that_failed_is_made_up_for),
        cmocka_unit_test(everything_is_listed_on_demand),
    };
    return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
