/* tests/lib/tap: what a program says in TAP is what its tests come to. This program, called with a shell command, tells
 * the tests of that; and so is judged from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/proc.h"
#include "lib/tap.h"

#define LIMIT_MS 20000

static const char *self;

static int
run_tap(const char *command)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    struct tap_program p = {.name = "it", .options = {.argv = argv}, .timeout_ms = LIMIT_MS};
    p.missing = *command ? NULL : "it is not installed";
    return tap_finish(tap_start(&p));
}

/* The program's tests are told, so many fail, and the output has these lines. */
static void
expect(const char *command, int failed, const char *const *lines)
{
    struct proc *p =
        proc_spawn((const char *[]){self, command, NULL}, (const char *[]){"CMOCKA_MESSAGE_OUTPUT=STDOUT", NULL});
    assert_int_equal(proc_wait_exit(p, LIMIT_MS), failed);
    for (; *lines; lines++)
        if (proc_count_lines(p, *lines) == 0)
            fail_msg("no \"%s\" in: %s%s", *lines, proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
each_check_is_a_test(void **state)
{
    (void)state;
    expect("echo 1..3; echo ok 1 - a; echo not ok 2 - b; echo '# b is wrong'; echo 'ok 3 - c # SKIP no c'; exit 1", 1,
           LINES("[       OK ] it: a", "[  FAILED  ] it: b", "# b is wrong", "skipped: no c", "[  SKIPPED ] it: c",
                 "[       OK ] it_ends_as_it_says"));
}

static void
what_it_never_came_to_has_failed(void **state)
{
    (void)state;
    expect("echo 1..2; echo ok 1 - a; exit 0", 1,
           LINES("[       OK ] it: a", "[  FAILED  ] it: check_2_which_it_never_came_to"));
}

static void
an_end_that_does_not_fit_is_a_failure(void **state)
{
    (void)state;
    expect("echo 1..1; echo ok 1 - a; exit 3", 1, LINES("[       OK ] it: a", "[  FAILED  ] it_ends_as_it_says"));
    expect("echo 1..1; echo ok 1 - a; kill -9 $$", 1, LINES("[  FAILED  ] it_ends_as_it_says"));
    expect("echo 1..1; echo ok 1 - a; echo ok 2 - b", 1, LINES("[  FAILED  ] it_ends_as_it_says"));
    expect("echo nothing of the kind", 1, LINES("[  FAILED  ] it_ends_as_it_says"));
}

static void
what_is_missing_is_skipped(void **state)
{
    (void)state;
    expect("", 0, LINES("skipped: it is not installed", "[  SKIPPED ] it_can_be_run"));
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_check_is_a_test),
        cmocka_unit_test(what_it_never_came_to_has_failed),
        cmocka_unit_test(an_end_that_does_not_fit_is_a_failure),
        cmocka_unit_test(what_is_missing_is_skipped),
    };
    self = argv[0];
    return argc == 2 ? run_tap(argv[1]) : cmocka_run_group_tests_name("tap", tests, NULL, NULL);
}
