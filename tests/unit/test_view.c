#include "ctl/view.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

/* Standard output is a terminal of this size from here on; the other end is read by restore(). */
static int master, before;

static void
resize(unsigned short columns, unsigned short rows)
{
    const struct winsize size = {.ws_col = columns, .ws_row = rows};
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
}

static void
redirect(unsigned short columns, unsigned short rows)
{
    int slave;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    fflush(stdout);
    before = dup(STDOUT_FILENO);
    assert_true(dup2(slave, STDOUT_FILENO) >= 0);
    close(slave);
    resize(columns, rows);
}

/* What was shown meanwhile. */
static const char *
restore(void)
{
    static char shown[65536];
    size_t n = 0;
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    for (ssize_t got; (got = read(master, shown + n, sizeof shown - 1 - n)) > 0;)
        n += (size_t)got;
    close(master);
    shown[n] = '\0';
    return shown;
}

static size_t
count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

static const struct view_numbers HALF = {
    .total = 1000, .published = 500, .captured = 500, .handled = 490, .delivered = 500, .retried = 10, .deleted = 480};

#define UP_SIX "\033[6A"

static void
a_terminal_is_drawn_over_in_place(void **state)
{
    (void)state;
    struct view v;
    redirect(80, 24);
    view_init(&v);
    for (int i = 0; i < 3; i++)
        view_show(&v, &HALF, i, i == 2);
    const char *shown = restore();
    assert_int_equal(count(shown, UP_SIX), 2);
    assert_int_equal(count(shown, "published  [##################..................]      500"), 3);
    assert_int_equal(count(shown, "\033[2K"), 3 * 6);
}

static void
a_message_takes_the_place_of_what_was_drawn(void **state)
{
    (void)state;
    struct view v;
    redirect(80, 24);
    view_init(&v);
    view_show(&v, &HALF, 0, false);
    view_make_room(&v);
    view_show(&v, &HALF, 1, true);
    const char *shown = restore();
    assert_int_equal(count(shown, UP_SIX), 1);
    assert_int_equal(count(shown, UP_SIX "\033[J"), 1);
}

static void
a_window_too_narrow_or_too_low_gets_plain_lines(void **state)
{
    (void)state;
    static const unsigned short SIZES[][2] = {{61, 24}, {80, 6}};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        struct view v;
        redirect(SIZES[i][0], SIZES[i][1]);
        view_init(&v);
        view_show(&v, &HALF, 0, false);
        view_show(&v, &HALF, 1, false);
        view_show(&v, &HALF, 2, true);
        const char *shown = restore();
        assert_null(strchr(shown, '\033'));
        assert_int_equal(count(shown, "published 500 of 1000  captured 500  delivered 500  handled 490"), 2);
    }
}

static void
a_window_may_shrink_and_grow_meanwhile(void **state)
{
    (void)state;
    struct view v;
    redirect(0, 0); /* not known: drawn */
    view_init(&v);
    view_show(&v, &HALF, 0, false);
    resize(80, 24);
    view_show(&v, &HALF, 1, false);
    resize(40, 24);
    view_show(&v, &HALF, 2, false);
    resize(80, 24);
    view_show(&v, &HALF, 3, false);
    view_show(&v, &HALF, 4, true);
    const char *shown = restore();
    assert_int_equal(count(shown, "[####"), 4 * 5);
    assert_int_equal(count(shown, "published 500 of"), 1);
    assert_int_equal(count(shown, UP_SIX), 2); /* not over the plain line */
}

static void
no_terminal_gets_a_line_every_two_seconds_and_a_last_one(void **state)
{
    (void)state;
    struct view v;
    redirect(80, 24);
    setenv("TERM", "dumb", 1);
    view_init(&v);
    setenv("TERM", "xterm", 1);
    for (int now_ms = 0; now_ms <= 4100; now_ms += 100)
        view_show(&v, &HALF, now_ms, now_ms == 4100);
    assert_int_equal(count(restore(), "published 500 of 1000"), 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_is_drawn_over_in_place),
        cmocka_unit_test(a_message_takes_the_place_of_what_was_drawn),
        cmocka_unit_test(a_window_too_narrow_or_too_low_gets_plain_lines),
        cmocka_unit_test(a_window_may_shrink_and_grow_meanwhile),
        cmocka_unit_test(no_terminal_gets_a_line_every_two_seconds_and_a_last_one),
    };
    setenv("TERM", "xterm", 1);
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
