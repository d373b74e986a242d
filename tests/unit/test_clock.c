#include "base/clock.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *
in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fanout-clock-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    (void)state;
    unlink(in_folder("page"));
    unlink(in_folder("short"));
    unlink(in_folder("other"));
    return rmdir(folder);
}

/* ---- dates ------------------------------------------------------------------------------------------------------ */

static void
times_are_written_as_libc_would(void **state)
{
    (void)state;
    /* every 11 days and some hours from year 0 to 9999 */
    for (int64_t s = INT64_C(-62167219200); s <= INT64_C(253402300799); s += 11 * 86400 + 12345) {
        time_t t = (time_t)s;
        struct tm tm;
        char expected[64], out[CLOCK_ISO8601_BYTES];
        gmtime_r(&t, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        clock_format_seconds(s * 1000 + 999, out);
        assert_string_equal(out, expected);

        int64_t back;
        assert_int_equal(clock_parse_iso8601(out, strlen(out), &back, NULL), 0);
        assert_int_equal(back, s * 1000);

        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (tm.tm_year + 1900 >= 1000) {
            assert_int_equal(clock_parse_http_date(expected, strlen(expected), &back, NULL), 0);
            assert_int_equal(back, s * 1000);
        }
    }
}

static void
the_three_forms_of_a_time(void **state)
{
    (void)state;
    char out[CLOCK_ISO8601_BYTES];
    clock_format_seconds(1795154400123, out);
    assert_string_equal(out, "2026-11-20T06:00:00Z");
    clock_format_ms(1795154400123, out);
    assert_string_equal(out, "2026-11-20T06:00:00.123Z");
    clock_format_basic(1795154400123, out);
    assert_string_equal(out, "20261120T060000Z");
    clock_format_ms(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    clock_format_ms(-1000, out);
    assert_string_equal(out, "1969-12-31T23:59:59.000Z");
}

static void
times_outside_four_digit_years_stay_inside_the_buffer(void **state)
{
    (void)state;
    char out[CLOCK_ISO8601_BYTES];
    clock_format_seconds(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59Z");
    clock_format_ms(INT64_MIN, out);
    assert_int_equal(strlen(out), 24);
    assert_memory_equal(out, "0000-01-01T00:00:00", 19);
}

static void
a_time_is_read_with_fraction_and_zone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-20T06:00:00Z", 1795154400000},
        {"2026-11-20 06:00:00Z", 1795154400000},
        {"2026-11-20t06:00:00z", 1795154400000},
        {"2026-11-20T06:00:00.1Z", 1795154400100},
        {"2026-11-20T06:00:00.123456789Z", 1795154400123},
        {"2026-11-20T06:00:00.9999Z", 1795154400999},
        {"2026-11-20T07:30:00+01:30", 1795154400000},
        {"2026-11-19T22:00:00.5-08:00", 1795154400500},
        {"2026-11-20T06:00:00-00:00", 1795154400000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2016-12-31T23:59:60Z", 1483228799000}, /* a leap second */
        {"2015-06-30T23:59:59Z", 1435708799000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 42;
        struct err e = {0};
        assert_int_equal(clock_parse_iso8601(cases[i].text, strlen(cases[i].text), &ms, &e), 0);
        assert_int_equal(ms, cases[i].ms);
    }
}

static void
what_is_no_time_is_refused_and_named(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-11-20",
        "2026-11-20T06:00:00",
        "2026-11-20T06:00Z",
        "2026-02-30T06:00:00Z",
        "2026-02-29T06:00:00Z",
        "1900-02-29T06:00:00Z",
        "2026-00-01T06:00:00Z",
        "2026-13-01T06:00:00Z",
        "2026-04-31T06:00:00Z",
        "2026-01-00T06:00:00Z",
        "2026-01-32T06:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T06:60:00Z",
        "2026-11-20T06:00:61Z",
        "2026-11-20T06:00:00.Z",
        "2026-11-20T06:00:00,5Z",
        "2026-11-20T06:00:00+0100",
        "2026-11-20T06:00:00+24:00",
        "2026-11-20T06:00:00+01:60",
        "2026-11-20T06:00:00Z ",
        " 2026-11-20T06:00:00Z",
        "2026-11-20T06:00:00ZZ",
        "26-11-20T06:00:00Z",
        "+026-11-20T06:00:00Z",
        "2026-11-20X06:00:00Z",
        "2026-1 -20T06:00:00Z",
        "20261120T060000Z",
        "1795154400",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 42;
        struct err e = {0};
        assert_int_equal(clock_parse_iso8601(cases[i], strlen(cases[i]), &ms, &e), ERR_INVALID);
        assert_int_equal(ms, 42);
        assert_non_null(strstr(e.text, cases[i]));
        assert_non_null(strstr(e.text, "2026-11-20T06:00:00Z"));
    }
    int64_t ms = 42;
    assert_int_equal(clock_parse_iso8601("2026-11-20\0T06:00:00Z", 21, &ms, NULL), ERR_INVALID);
    assert_int_equal(clock_parse_iso8601("2026-11-20\00006:00:00Z", 20, &ms, NULL), ERR_INVALID);
    assert_int_equal(clock_parse_iso8601(NULL, 0, &ms, NULL), ERR_INVALID);
}

static void
every_prefix_of_a_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"2026-11-20T06:00:00.123+01:30", "Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t n = 0; n < strlen(texts[i]); n++) {
            char *exact = malloc(n + 1); /* so that a read past the end is seen */
            int64_t ms;
            assert_non_null(exact);
            memcpy(exact, texts[i], n);
            assert_int_equal(clock_parse_iso8601(exact, n, &ms, NULL), ERR_INVALID);
            assert_int_equal(clock_parse_http_date(exact, n, &ms, NULL), ERR_INVALID);
            free(exact);
        }
    }
}

static void
http_dates_are_read_in_all_three_forms(void **state)
{
    (void)state;
    static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < 3; i++) {
        int64_t ms = 0;
        assert_int_equal(clock_parse_http_date(same[i], strlen(same[i]), &ms, NULL), 0);
        assert_int_equal(ms, 784111777000);
    }
    int64_t ms = 0;
    assert_int_equal(clock_parse_http_date("Wed Nov 16 08:49:37 1994", 24, &ms, NULL), 0);
    assert_int_equal(ms, 784111777000 + 10 * 86400000);
}

static void
what_is_no_http_date_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Xxx, 06 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun Nov 6 08:49:37 1994",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 42;
        assert_int_equal(clock_parse_http_date(cases[i], strlen(cases[i]), &ms, NULL), ERR_INVALID);
        assert_int_equal(ms, 42);
    }
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

static int64_t
libc_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void
without_a_test_clock_time_is_the_kernels(void **state)
{
    (void)state;
    unsetenv("FANOUT_TEST_CLOCK");
    assert_int_equal(clock_init(NULL), 0);
    setenv("FANOUT_TEST_CLOCK", "", 1);
    assert_int_equal(clock_init(NULL), 0);
    int64_t before = libc_ms(CLOCK_REALTIME);
    int64_t wall = clock_wall_ms();
    assert_in_range(wall, before, libc_ms(CLOCK_REALTIME));
    before = libc_ms(CLOCK_MONOTONIC);
    int64_t monotonic = clock_monotonic_ms();
    assert_in_range(monotonic, before, libc_ms(CLOCK_MONOTONIC));
    before = libc_ms(CLOCK_BOOTTIME);
    int64_t boot = clock_boot_ms();
    assert_in_range(boot, before, libc_ms(CLOCK_BOOTTIME));
    int64_t ns = clock_monotonic_ns();
    assert_in_range(ns, monotonic * 1000000, (libc_ms(CLOCK_MONOTONIC) + 1) * 1000000);
}

static void
without_a_test_clock_waits_are_as_asked(void **state)
{
    (void)state;
    assert_int_equal(clock_cap_wait_ms(-1), -1);
    assert_int_equal(clock_cap_wait_ms(-5), -1);
    assert_int_equal(clock_cap_wait_ms(0), 0);
    assert_int_equal(clock_cap_wait_ms(20000), 20000);
    assert_int_equal(clock_cap_wait_ms(INT64_MAX), INT_MAX);
}

static void
refused(const char *path, int code)
{
    struct err e = {0};
    setenv("FANOUT_TEST_CLOCK", path, 1);
    assert_int_equal(clock_init(&e), code);
    assert_non_null(strstr(e.text, path));
}

static void
a_file_that_is_no_clock_page_is_refused(void **state)
{
    (void)state;
    refused(in_folder("missing"), ERR_NOT_FOUND);
    refused("/", ERR_INVALID);
    refused("/dev/null", ERR_INVALID);
    FILE *f = fopen(in_folder("short"), "w");
    assert_non_null(f);
    fputs("x", f);
    fclose(f);
    refused(in_folder("short"), ERR_INVALID);
    f = fopen(in_folder("other"), "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputs("something else ", f);
    fclose(f);
    refused(in_folder("other"), ERR_INVALID);
    unsetenv("FANOUT_TEST_CLOCK");
    assert_int_equal(clock_cap_wait_ms(1000), 1000); /* real time still */
}

static void
a_page_cannot_be_made_where_there_is_no_folder(void **state)
{
    (void)state;
    struct clock_page *page = NULL;
    struct err e = {0};
    assert_int_equal(clock_page_create("/nonexistent/page", &page, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/nonexistent/page"));
    assert_null(page);
}

/* Last: the process keeps its test clock. */
static void
the_page_stops_and_moves_every_clock(void **state)
{
    (void)state;
    struct clock_page *page = NULL;
    struct err e = {0};
    assert_int_equal(clock_page_create(in_folder("page"), &page, &e), 0);
    assert_int_equal(clock_cap_wait_ms(1000), 1000); /* made, not yet used */
    setenv("FANOUT_TEST_CLOCK", in_folder("page"), 1);
    assert_int_equal(clock_init(&e), 0);

    int64_t before = libc_ms(CLOCK_REALTIME);
    assert_in_range(clock_wall_ms(), before, before + 10000);
    assert_in_range(clock_monotonic_ms(), before - 10, before + 10000); /* counts from wall time */
    assert_in_range(clock_boot_ms(), before - 10, before + 10000);

    page->frozen_at_ms = 1795154400000;
    assert_int_equal(clock_wall_ms(), 1795154400000);
    assert_int_equal(clock_monotonic_ms(), 1795154400000);
    assert_int_equal(clock_boot_ms(), 1795154400000);
    page->offset_ms = 3600000;
    assert_int_equal(clock_wall_ms(), 1795158000000);
    assert_int_equal(clock_monotonic_ms(), 1795158000000);
    assert_int_equal(clock_boot_ms(), 1795158000000);
    page->wall_skew_ms = -60000;
    assert_int_equal(clock_wall_ms(), 1795157940000);
    assert_int_equal(clock_monotonic_ms(), 1795158000000);

    page->frozen_at_ms = 0;
    page->wall_skew_ms = 0;
    before = libc_ms(CLOCK_REALTIME) + 3600000;
    assert_in_range(clock_wall_ms(), before, before + 10000);
    assert_in_range(clock_monotonic_ms(), before - 10, before + 10000);

    assert_in_range(clock_monotonic_ns() / 1000000, 0, libc_ms(CLOCK_MONOTONIC)); /* durations stay real */
    assert_int_equal(clock_cap_wait_ms(-1), 10);
    assert_int_equal(clock_cap_wait_ms(20000), 10);
    assert_int_equal(clock_cap_wait_ms(3), 3);
    assert_int_equal(clock_cap_wait_ms(0), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_as_libc_would),
        cmocka_unit_test(the_three_forms_of_a_time),
        cmocka_unit_test(times_outside_four_digit_years_stay_inside_the_buffer),
        cmocka_unit_test(a_time_is_read_with_fraction_and_zone),
        cmocka_unit_test(what_is_no_time_is_refused_and_named),
        cmocka_unit_test(every_prefix_of_a_time_is_refused),
        cmocka_unit_test(http_dates_are_read_in_all_three_forms),
        cmocka_unit_test(what_is_no_http_date_is_refused),
        cmocka_unit_test(without_a_test_clock_time_is_the_kernels),
        cmocka_unit_test(without_a_test_clock_waits_are_as_asked),
        cmocka_unit_test(a_file_that_is_no_clock_page_is_refused),
        cmocka_unit_test(a_page_cannot_be_made_where_there_is_no_folder),
        cmocka_unit_test(the_page_stops_and_moves_every_clock),
    };
    return cmocka_run_group_tests_name("clock", tests, make_folder, remove_folder);
}
