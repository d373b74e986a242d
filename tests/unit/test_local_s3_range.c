#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "local/s3_impl.h"

static void
assert_range(const char *header, int64_t size, int64_t first, int64_t n)
{
    int64_t got_first = -1, got_n = -1;
    assert_int_equal(local_s3_range(slice_of_string(header), size, &got_first, &got_n), 0);
    assert_int_equal(got_first, first);
    assert_int_equal(got_n, n);
}

static void
assert_no_range(const char *header, int64_t size, int code)
{
    int64_t first = -7, n = -7;
    assert_int_equal(local_s3_range(slice_of_string(header), size, &first, &n), code);
    assert_int_equal(first, -7);
    assert_int_equal(n, -7);
}

static void
first_and_last_byte_are_both_included(void **state)
{
    (void)state;
    assert_range("bytes=0-0", 10, 0, 1);
    assert_range("bytes=0-9", 10, 0, 10);
    assert_range("bytes=2-5", 10, 2, 4);
    assert_range("bytes=9-9", 10, 9, 1);
}

static void
a_range_is_cut_at_the_object_s_end(void **state)
{
    (void)state;
    assert_range("bytes=4-", 10, 4, 6);
    assert_range("bytes=4-10", 10, 4, 6);
    assert_range("bytes=0-9223372036854775807", 10, 0, 10);
    assert_range("bytes=0-99999999999999999999999999", 10, 0, 10);
    assert_range("bytes=0-", INT64_MAX, 0, INT64_MAX);
    assert_range("bytes=0-9223372036854775807", INT64_MAX, 0, INT64_MAX);
}

static void
a_suffix_counts_from_the_end(void **state)
{
    (void)state;
    assert_range("bytes=-1", 10, 9, 1);
    assert_range("bytes=-10", 10, 0, 10);
    assert_range("bytes=-11", 10, 0, 10);
    assert_range("bytes=-99999999999999999999999999", 10, 0, 10);
}

static void
what_lies_outside_is_not_satisfiable(void **state)
{
    (void)state;
    assert_no_range("bytes=10-", 10, ERR_NOT_FOUND);
    assert_no_range("bytes=10-20", 10, ERR_NOT_FOUND);
    assert_no_range("bytes=99999999999999999999999999-", 10, ERR_NOT_FOUND);
    assert_no_range("bytes=-0", 10, ERR_NOT_FOUND);
    assert_no_range("bytes=0-0", 0, ERR_NOT_FOUND);
    assert_no_range("bytes=-1", 0, ERR_NOT_FOUND);
}

static void
what_is_no_single_range_of_bytes_is_ignored(void **state)
{
    (void)state;
    static const char *const HEADERS[] = {
        "",           "bytes",      "bytes=",       "bytes=-",    "bytes=a-b",   "bytes=5",    "bytes=5-3",
        "bytes=0-1,", "bytes=0-1 ", "bytes=0-1,3-", "items=0-1",  "Bytes=0-1",   "bytes= 0-1", "bytes=--1",
        "bytes=0--1", "bytes=1-x",  "bytes=-1x",    "bytes=+1-2", "bytes=0x1-2",
    };
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++)
        assert_no_range(HEADERS[i], 10, ERR_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_and_last_byte_are_both_included),
        cmocka_unit_test(a_range_is_cut_at_the_object_s_end),
        cmocka_unit_test(a_suffix_counts_from_the_end),
        cmocka_unit_test(what_lies_outside_is_not_satisfiable),
        cmocka_unit_test(what_is_no_single_range_of_bytes_is_ignored),
    };
    return cmocka_run_group_tests_name("local_s3_range", tests, NULL, NULL);
}
