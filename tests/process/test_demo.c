/* fanoutctl demo, as `make demo` runs it. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/tmp.h"

#define END_MS 60000

static struct proc *
start_demo(const char *dir, const char *option, const char *value)
{
    static char tmpdir[300];
    snprintf(tmpdir, sizeof tmpdir, "TMPDIR=%s", dir);
    const char *env[] = {tmpdir, NULL};
    const char *argv[] = {proc_path("bin/fanoutctl"), "demo", "--conf-dir", "conf", option, value, NULL};
    return proc_spawn(argv, env);
}

static size_t
entries_in(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static void
assert_says(const char *output, const char *text)
{
    if (!strstr(output, text))
        fail_msg("\"%s\" is not in: %s", text, output);
}

static void
everything_published_is_captured_and_handled(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct proc *p = start_demo(dir, "--count", "1000");
    assert_int_equal(proc_wait_exit(p, END_MS), 0);
    assert_says(proc_stdout(p), "PASS: published 1000 = captured 1000 = handled 1000; lost 0; duplicates ");
    assert_null(strchr(proc_stdout(p), '\033'));
    assert_int_equal(entries_in(dir), 0);
    proc_destroy(p);
    tmp_remove(dir);
}

static void
a_bad_line_is_named_and_the_rest_goes_on(void **state)
{
    (void)state;
    const char *dir = tmp_new(), *work = tmp_new();
    const char *events = tmp_write(dir, "my.ndjson",
                                   "{\"Source\":\"my.shop\",\"DetailType\":\"Order\",\"Detail\":\"{\\\"id\\\":1}\"}\n"
                                   "{\"Source\":\"my.shop\",\"DetailType\":\n"
                                   "\n"
                                   "{\"DetailType\":\"Order\",\"Detail\":\"{}\"}\n"
                                   "{\"Source\":\"my.bank\",\"DetailType\":\"Payment\",\"Detail\":{\"id\":2}}\r\n");
    struct proc *p = start_demo(work, "--events", events);
    assert_int_equal(proc_wait_exit(p, END_MS), 0);
    assert_says(proc_stdout(p), "PASS: published 2 = captured 2 = handled 2; lost 0; duplicates 0");
    assert_says(proc_stderr(p), "my.ndjson:2: ");
    assert_says(proc_stderr(p), "my.ndjson:4: Source is missing");
    assert_int_equal(proc_count_lines(p, "my.ndjson:"), 2);
    proc_destroy(p);
    tmp_remove(work);
    tmp_remove(dir);
}

static void
a_file_without_an_event_is_an_error(void **state)
{
    (void)state;
    const char *dir = tmp_new(), *work = tmp_new();
    struct proc *p = start_demo(work, "--events", tmp_path(dir, "nothing.ndjson"));
    assert_int_equal(proc_wait_exit(p, END_MS), 1);
    assert_says(proc_stderr(p), "nothing.ndjson: No such file or directory");
    proc_destroy(p);
    p = start_demo(work, "--events", tmp_write(dir, "empty.ndjson", "\n"));
    assert_int_equal(proc_wait_exit(p, END_MS), 1);
    assert_says(proc_stderr(p), "holds no event that can be published");
    proc_destroy(p);
    tmp_remove(work);
    tmp_remove(dir);
}

static void
an_interrupt_leaves_nothing_behind(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct proc *p = start_demo(dir, "--count", "1000000");
    assert_non_null(proc_wait_line(p, "published", END_MS));
    proc_signal(p, SIGINT);
    assert_int_equal(proc_wait_exit(p, END_MS), 128 + SIGINT);
    assert_int_equal(entries_in(dir), 0);
    proc_destroy(p);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_published_is_captured_and_handled),
        cmocka_unit_test(a_bad_line_is_named_and_the_rest_goes_on),
        cmocka_unit_test(a_file_without_an_event_is_an_error),
        cmocka_unit_test(an_interrupt_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("demo", tests, NULL, NULL);
}
