#include "base/buf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
appended_bytes_come_out_in_order_and_end_in_nul(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    char expected[4096] = "";
    size_t n = 0;
    for (int i = 0; i < 500; i++) {
        char *piece = expected + n;
        n += (size_t)snprintf(piece, sizeof expected - n, "%d,", i);
        buf_add_string(&b, piece);
        assert_int_equal(b.data[b.len], '\0');
    }
    assert_string_equal(b.data, expected);
    assert_int_equal(b.len, strlen(expected));
    assert_false(buf_failed(&b));
    buf_clean_up(&b);
    assert_null(b.data);
}

static void
every_kind_of_appending_works(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_add(&b, "a\0b", 3);
    buf_add_slice(&b, SLICE("-c-"));
    buf_add_slice(&b, (struct slice){0});
    buf_add_char(&b, 'd');
    buf_add_int(&b, 0);
    buf_add_int(&b, -7);
    buf_add_format(&b, "%s=%d", "x", 5);
    assert_int_equal(b.len, 13);
    assert_memory_equal(b.data, "a\0b-c-d0-7x=5", 13);
    buf_clean_up(&b);
}

static void
integers_are_written_to_the_last_digit(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 9, 10, -10, 1234567890, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct buf b = BUF_INIT;
        char expected[32];
        snprintf(expected, sizeof expected, "%" PRId64, values[i]);
        buf_add_int(&b, values[i]);
        assert_string_equal(b.data, expected);
        buf_clean_up(&b);
    }
}

static void
a_formatted_text_of_any_length_is_whole(void **state)
{
    (void)state;
    for (int n = 0; n < 300; n++) {
        struct buf b = BUF_INIT;
        buf_add_string(&b, "ab");
        buf_add_format(&b, "%*s", n, "");
        assert_int_equal(b.len, 2 + n);
        assert_int_equal(strlen(b.data), 2 + n);
        buf_clean_up(&b);
    }
}

static void
an_empty_string_makes_a_c_string(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_add_string(&b, "");
    assert_string_equal(b.data, "");
    buf_clean_up(&b);
}

static void
growing_past_the_limit_fails_once_and_for_all(void **state)
{
    (void)state;
    struct buf b;
    buf_init_limited(&b, 10);
    buf_add_string(&b, "0123456789");
    assert_false(buf_failed(&b));
    buf_add_char(&b, 'x');
    assert_true(buf_failed(&b));
    buf_add_string(&b, "");
    buf_add_format(&b, "%d", 1);
    assert_string_equal(b.data, "0123456789");
    assert_null(buf_take(&b));
    assert_int_equal(b.limit, 10);
    assert_false(buf_failed(&b));
    buf_add_format(&b, "%s", "0123456789A");
    assert_true(buf_failed(&b));
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_clean_up(&b);
}

static void
the_limit_holds_inside_the_memory_it_has(void **state)
{
    (void)state;
    struct buf b;
    buf_init_limited(&b, 5);
    assert_true(buf_reserve(&b, 5));
    assert_false(buf_reserve(&b, 6));
    buf_clean_up(&b);

    buf_init(&b);
    buf_add_string(&b, "abc");
    b.limit = 4;
    buf_add_string(&b, "de");
    assert_true(buf_failed(&b));
    assert_string_equal(b.data, "abc");
    buf_clean_up(&b);
}

static void
sizes_that_cannot_be_fail_without_harm(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_add_string(&b, "abc");
    assert_false(buf_reserve(&b, SIZE_MAX));
    assert_true(buf_failed(&b));
    buf_reset(&b);
    assert_false(buf_failed(&b));
    assert_false(buf_reserve(&b, PTRDIFF_MAX));
    buf_clean_up(&b);
}

static void
a_reset_keeps_the_memory_and_forgives(void **state)
{
    (void)state;
    struct buf b;
    buf_init_limited(&b, 100);
    buf_add_string(&b, "something");
    buf_add_format(&b, "%200s", "");
    char *before = b.data;
    assert_true(buf_failed(&b));
    buf_reset(&b);
    buf_add_string(&b, "new");
    assert_ptr_equal(b.data, before);
    assert_string_equal(b.data, "new");
    buf_clean_up(&b);
}

static void
truncating_and_consuming_keep_the_rest(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_consume(&b, 0);
    buf_truncate(&b, 0);
    buf_add_string(&b, "hello world");
    buf_truncate(&b, 8);
    assert_string_equal(b.data, "hello wo");
    buf_consume(&b, 6);
    assert_string_equal(b.data, "wo");
    buf_consume(&b, 2);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    buf_clean_up(&b);
}

static void
taking_moves_the_bytes_out(void **state)
{
    (void)state;
    struct buf b;
    buf_init_limited(&b, 50);
    char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    free(empty);
    buf_add_string(&b, "mine");
    char *taken = buf_take(&b);
    assert_string_equal(taken, "mine");
    free(taken);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.limit, 50);
}

static void
wiping_leaves_nothing_allocated(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_wipe(&b);
    buf_add_string(&b, "secret");
    buf_wipe(&b);
    assert_null(b.data);
    assert_int_equal(b.capacity, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_come_out_in_order_and_end_in_nul),
        cmocka_unit_test(every_kind_of_appending_works),
        cmocka_unit_test(integers_are_written_to_the_last_digit),
        cmocka_unit_test(a_formatted_text_of_any_length_is_whole),
        cmocka_unit_test(an_empty_string_makes_a_c_string),
        cmocka_unit_test(growing_past_the_limit_fails_once_and_for_all),
        cmocka_unit_test(the_limit_holds_inside_the_memory_it_has),
        cmocka_unit_test(sizes_that_cannot_be_fail_without_harm),
        cmocka_unit_test(a_reset_keeps_the_memory_and_forgives),
        cmocka_unit_test(truncating_and_consuming_keep_the_rest),
        cmocka_unit_test(taking_moves_the_bytes_out),
        cmocka_unit_test(wiping_leaves_nothing_allocated),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
