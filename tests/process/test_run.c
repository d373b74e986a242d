/* tests/lib/run: whatever a test program does, it cannot pass for more than it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/tmp.h"

#define RUNNING_2 "echo '[==========] Running 2 test(s).'\n"
#define OK(name)  "echo '[ RUN      ] " name "'; echo '[       OK ] " name "'\n"
#define END_2     "echo '[==========] 2 test(s) run.'; echo '[  PASSED  ] 2 test(s).'\n"

/* Runs one test program, a shell script, and compares what run says at its end; "last" may be two lines. */
static void
assert_judged(const char *script, const char *last, int exit_code)
{
    const char *dir = tmp_new();
    const char *program = tmp_write(dir, "test_it", "#!/bin/sh\n%s", script);
    assert_int_equal(chmod(program, 0700), 0);
    struct proc *p =
        proc_spawn((const char *[]){"tests/lib/run", program, NULL}, (const char *[]){"TEST_TIMEOUT_S=1", NULL});
    assert_int_equal(proc_wait_exit(p, 30000), exit_code);
    const char *out = proc_stdout(p);
    if (strlen(out) < strlen(last) || strcmp(out + strlen(out) - strlen(last), last) != 0)
        fail_msg("run does not end with \"%s\" but says: %s%s", last, out, proc_stderr(p));
    proc_destroy(p);
    tmp_remove(dir);
}

static void
a_program_whose_tests_pass_passes(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") OK("b") END_2, "\n2 passed, 0 failed, 0 skipped\n", 0);
}

static void
a_failed_test_is_named_again_at_the_end(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") "echo '[ RUN      ] b'; echo '[  FAILED  ] b'\n"
                                    "echo '[==========] 2 test(s) run.'; echo '[  PASSED  ] 1 test(s).'\n"
                                    "echo '[  FAILED  ] 1 test(s), listed below:'; echo '[  FAILED  ] b'; exit 1\n",
                  "test_it: b\n1 passed, 1 failed, 0 skipped\n", 1);
}

static void
a_skipped_test_is_named_with_its_reason(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") "echo '[ RUN      ] b'; echo 'skipped: no moon'; echo '[  SKIPPED ] b'\n"
                                    "echo '[==========] 2 test(s) run.'; echo '[  PASSED  ] 1 test(s).'\n"
                                    "echo '[  SKIPPED ] 1 test(s), listed below:'; echo '[  SKIPPED ] b'\n",
                  "    skipped: b: no moon\n1 passed, 0 failed, 1 skipped\n", 0);
}

static void
a_program_that_ends_in_the_middle_with_status_0_fails(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") "echo '[ RUN      ] b'; exit 0\n",
                  "ended before all its tests ran (exit status 0), in b\n1 passed, 1 failed, 0 skipped\n", 1);
}

static void
a_program_that_dies_fails_in_the_test_that_ran(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") "echo '[ RUN      ] b'; kill -9 $$\n",
                  "ended by signal 9, in b\n1 passed, 1 failed, 0 skipped\n", 1);
}

static void
a_program_that_hangs_fails_after_the_time_limit(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") "echo '[ RUN      ] b'; exec tail -f /dev/null\n",
                  "no end after 1 s, in b\n1 passed, 1 failed, 0 skipped\n", 1);
}

static void
a_program_without_tests_fails(void **state)
{
    (void)state;
    assert_judged("exit 0\n", "ran no test (exit status 0)\n0 passed, 1 failed, 0 skipped\n", 1);
}

static void
a_program_that_leaves_a_process_behind_fails(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") OK("b") END_2 "tail -f /dev/null >/dev/null 2>&1 &\n",
                  "left processes behind\n2 passed, 1 failed, 0 skipped\n", 1);
}

static void
what_a_test_prints_itself_is_no_verdict(void **state)
{
    (void)state;
    assert_judged(RUNNING_2 OK("a") "echo '[ RUN      ] b'; echo '[  FAILED  ] not really'\n"
                                    "printf 'no newline[       OK ] b\\n'\n" END_2,
                  "\n2 passed, 0 failed, 0 skipped\n", 0);
}

/* Each writes a line for the other and reads the other's: alone, either would hang. */
static void
programs_run_beside_each_other_and_are_summed_up_in_order(void **state)
{
    (void)state;
    static const char *const script =
        "#!/bin/sh\n" RUNNING_2 OK("a") "echo here >%s/%s & read -r line <%s/%s\n" OK("b") END_2 "wait\n";
    const char *dir = tmp_new();
    assert_int_equal(mkfifo(tmp_path(dir, "from_1"), 0600), 0);
    assert_int_equal(mkfifo(tmp_path(dir, "from_2"), 0600), 0);
    const char *first = tmp_write(dir, "test_1", script, dir, "from_1", dir, "from_2");
    const char *second = tmp_write(dir, "test_2", script, dir, "from_2", dir, "from_1");
    assert_int_equal(chmod(first, 0700), 0);
    assert_int_equal(chmod(second, 0700), 0);
    struct proc *p = proc_spawn((const char *[]){"tests/lib/run", first, second, NULL},
                                (const char *[]){"TEST_TIMEOUT_S=20", "TEST_JOBS=2", NULL});
    assert_int_equal(proc_wait_exit(p, 30000), 0);
    const char *out = proc_stdout(p);
    const char *said = strstr(out, "test_1 ");
    assert_non_null(said);
    assert_non_null(strstr(said, "test_2 "));
    assert_non_null(strstr(out, "\n4 passed, 0 failed, 0 skipped\n"));
    proc_destroy(p);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_whose_tests_pass_passes),
        cmocka_unit_test(a_failed_test_is_named_again_at_the_end),
        cmocka_unit_test(a_skipped_test_is_named_with_its_reason),
        cmocka_unit_test(a_program_that_ends_in_the_middle_with_status_0_fails),
        cmocka_unit_test(a_program_that_dies_fails_in_the_test_that_ran),
        cmocka_unit_test(a_program_that_hangs_fails_after_the_time_limit),
        cmocka_unit_test(a_program_without_tests_fails),
        cmocka_unit_test(a_program_that_leaves_a_process_behind_fails),
        cmocka_unit_test(what_a_test_prints_itself_is_no_verdict),
        cmocka_unit_test(programs_run_beside_each_other_and_are_summed_up_in_order),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
