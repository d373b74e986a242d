#include "lib/proc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/tmp.h"

#define SHELL(script) ((const char *[]){"sh", "-c", (script), NULL})

static void
lines_are_found_in_order_on_both_streams(void **state)
{
    (void)state;
    struct proc *p = proc_spawn(SHELL("echo one; echo two >&2; echo one more; printf last"), NULL);
    assert_int_equal(proc_wait_exit(p, 10000), 0);
    assert_string_equal(proc_wait_line(p, "one", 0), "one");
    assert_string_equal(proc_wait_line(p, "one", 0), "one more");
    assert_string_equal(proc_stdout(p), "one\none more\nlast\n");
    assert_string_equal(proc_stderr(p), "two\n");
    assert_int_equal(proc_count_lines(p, "one"), 2);
    proc_destroy(p);
}

static void
exit_codes_signals_and_time_outs_are_told_apart(void **state)
{
    (void)state;
    struct proc *p = proc_spawn(SHELL("exit 3"), NULL);
    assert_int_equal(proc_wait_exit(p, 10000), 3);
    assert_false(proc_is_running(p));
    proc_destroy(p);
    p = proc_spawn((const char *[]){"sleep", "1000", NULL}, NULL);
    assert_true(proc_is_running(p));
    proc_signal(p, SIGTERM);
    assert_int_equal(proc_wait_exit(p, 10000), -SIGTERM);
    proc_destroy(p);
}

static void
environment_input_and_folder_are_set(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    setenv("PROC_TEST_GONE", "here", 1);
    const struct proc_options options = {.argv = SHELL("echo $A.$PROC_TEST_GONE; cat; pwd"),
                                         .env = (const char *[]){"A=b", "PROC_TEST_GONE", NULL},
                                         .cwd = dir,
                                         .in = "typed\n"};
    struct proc *p = proc_start(&options);
    assert_int_equal(proc_wait_exit(p, 10000), 0);
    assert_non_null(proc_wait_line(p, "b.", 0));
    assert_non_null(proc_wait_line(p, "typed", 0));
    assert_non_null(proc_wait_line(p, strrchr(dir, '/'), 0));
    proc_destroy(p);
    tmp_remove(dir);
    struct stat st;
    assert_int_not_equal(stat(dir, &st), 0);
}

static bool
is_gone(void *pid)
{
    return kill(*(pid_t *)pid, 0) != 0 && errno == ESRCH;
}

static void
the_end_takes_grandchildren_along(void **state)
{
    (void)state;
    struct proc *p = proc_spawn(SHELL("sleep 1000 & echo child $!; wait"), NULL);
    const char *line = proc_wait_line(p, "child ", 10000);
    assert_non_null(line);
    pid_t child = (pid_t)strtol(line + 6, NULL, 10);
    assert_int_equal(kill(child, 0), 0);
    proc_destroy(p);
    assert_true(proc_wait_until(is_gone, &child, 10000));
}

static void
much_output_does_not_block(void **state)
{
    (void)state;
    struct proc *p = proc_spawn(SHELL("i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890; "
                                      "i=$((i+1)); done; echo finished"),
                                NULL);
    assert_int_equal(proc_wait_exit(p, 60000), 0);
    assert_non_null(proc_wait_line(p, "finished", 0));
    assert_int_equal(proc_count_lines(p, "0123"), 20000);
    proc_destroy(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found_in_order_on_both_streams),
        cmocka_unit_test(exit_codes_signals_and_time_outs_are_told_apart),
        cmocka_unit_test(environment_input_and_folder_are_set),
        cmocka_unit_test(the_end_takes_grandchildren_along),
        cmocka_unit_test(much_output_does_not_block),
    };
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
