#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
an_error_carries_code_text_and_whether_to_try_again(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, ERR_INVALID, "line %d: bad", 3), ERR_INVALID);
    assert_int_equal(e.code, ERR_INVALID);
    assert_false(e.retryable);
    assert_string_equal(e.text, "line 3: bad");
    err_set(&e, ERR_UNAVAILABLE, "later");
    assert_true(e.retryable);
    err_set(&e, ERR_TIMEOUT, "later");
    assert_true(e.retryable);
}

static void
the_callers_err_may_be_null(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x"), ERR_LIMIT);
    assert_int_equal(err_set_errno(NULL, ENOENT, "x"), ERR_NOT_FOUND);
    assert_int_equal(err_prefix(NULL, ERR_IO, "x"), ERR_IO);
    assert_int_equal(err_no_memory(NULL), ERR_NO_MEMORY);
    err_clear(NULL);
}

static void
errno_survives(void **state)
{
    (void)state;
    struct err e;
    errno = EPIPE;
    err_set(&e, ERR_IO, "%s", "x");
    err_set_errno(&e, 99999, "x");
    err_prefix(&e, ERR_IO, "x");
    assert_int_equal(errno, EPIPE);
}

static void
errno_values_become_codes_with_their_text(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set_errno(&e, ENOENT, "cannot open %s", "a.conf"), ERR_NOT_FOUND);
    assert_string_equal(e.text, "cannot open a.conf: No such file or directory");
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(err_set_errno(&e, ENOMEM, "x"), ERR_NO_MEMORY);
    assert_int_equal(err_set_errno(&e, EACCES, "x"), ERR_DENIED);
    assert_int_equal(err_set_errno(&e, EPERM, "x"), ERR_DENIED);
    assert_int_equal(err_set_errno(&e, EEXIST, "x"), ERR_EXISTS);
    assert_int_equal(err_set_errno(&e, ECONNRESET, "x"), ERR_IO);
    assert_string_equal(e.text, "x: Connection reset by peer");
}

static void
a_prefix_says_where_and_keeps_the_code(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_UNAVAILABLE, "connection refused");
    assert_int_equal(err_prefix(&e, ERR_IO, "queue %s", "q"), ERR_UNAVAILABLE);
    assert_string_equal(e.text, "queue q: connection refused");
    assert_true(e.retryable);
}

static void
a_text_may_be_built_from_the_text_before(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_IO, "first");
    err_set(&e, ERR_INVALID, "second after %s", e.text);
    assert_string_equal(e.text, "second after first");
    err_prefix(&e, ERR_IO, "again %s", e.text);
    assert_string_equal(e.text, "again second after first: second after first");
}

static void
a_text_is_one_line(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_IO, "two\nlines\r\tand \x1b[31mcolour\n\n");
    assert_string_equal(e.text, "two lines  and  [31mcolour");
}

static void
a_long_text_ends_in_dots_and_not_inside_a_character(void **state)
{
    (void)state;
    char text[1200];
    struct err e;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    err_set(&e, ERR_IO, "%s", text);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_string_equal(e.text + sizeof e.text - 5, "x...");

    for (size_t shift = 0; shift < 3; shift++) {
        for (size_t i = 0; i + 3 <= sizeof text - 1; i += 3)
            memcpy(text + i, "\u20ac", 3);
        err_set(&e, ERR_IO, "%.*s%s", (int)shift, "abc", text);
        size_t n = strlen(e.text);
        assert_in_range(n, sizeof e.text - 4, sizeof e.text - 1);
        assert_memory_equal(e.text + n - 6, "\u20ac...", 6);
    }
    err_prefix(&e, ERR_IO, "prefix");
    assert_memory_equal(e.text, "prefix: ", 8);
    assert_memory_equal(e.text + strlen(e.text) - 3, "...", 3);
}

static void
a_text_that_just_fits_is_whole(void **state)
{
    (void)state;
    char text[sizeof((struct err *)0)->text];
    struct err e;
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&e, ERR_IO, "%s", text);
    assert_string_equal(e.text, text);
}

static void
clearing_and_running_out_of_memory(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_TIMEOUT, "x");
    assert_int_equal(err_no_memory(&e), ERR_NO_MEMORY);
    assert_string_equal(e.text, "out of memory");
    assert_false(e.retryable);
    err_clear(&e);
    assert_int_equal(e.code, ERR_OK);
    assert_string_equal(e.text, "");
}

static void
codes_have_names(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_OK), "OK");
    assert_string_equal(err_name(ERR_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(err_name(ERR_CORRUPT), "CORRUPT");
    assert_string_equal(err_name(-99), "UNKNOWN");
    for (int code = ERR_CORRUPT; code < 0; code++)
        assert_string_not_equal(err_name(code), "UNKNOWN");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_carries_code_text_and_whether_to_try_again),
        cmocka_unit_test(the_callers_err_may_be_null),
        cmocka_unit_test(errno_survives),
        cmocka_unit_test(errno_values_become_codes_with_their_text),
        cmocka_unit_test(a_prefix_says_where_and_keeps_the_code),
        cmocka_unit_test(a_text_may_be_built_from_the_text_before),
        cmocka_unit_test(a_text_is_one_line),
        cmocka_unit_test(a_long_text_ends_in_dots_and_not_inside_a_character),
        cmocka_unit_test(a_text_that_just_fits_is_whole),
        cmocka_unit_test(clearing_and_running_out_of_memory),
        cmocka_unit_test(codes_have_names),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
