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
#include "lib/side_by_side.h"
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
    const char *events =
        tmp_write(dir, "my.ndjson",
                  "{\"Source\":\"my.shop\",\"DetailType\":\"Order\",\"Detail\":\"{\\\"id\\\":1}\"}\n"
                  "{\"Source\":\"my.shop\",\"DetailType\":\n"
                  "\n"
                  "{\"DetailType\":\"Order\",\"Detail\":\"{}\"}\n"
                  "{\"Source\":\"my.bank\",\"DetailType\":\"Payment\",\"Detail\":{\"id\":2}}\r\n"
                  "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{},\"EventBusName\":"
                  "\"arn:aws:events:eu-north-1:111122223333:event-bus/durable-event-bus\"}\n"
                  "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{},\"EventBusName\":\"other\"}\n");
    struct proc *p = start_demo(work, "--events", events);
    assert_int_equal(proc_wait_exit(p, END_MS), 0);
    assert_says(proc_stdout(p), "PASS: published 3 = captured 3 = handled 3; lost 0; duplicates 0");
    assert_says(proc_stderr(p), "my.ndjson:2: ");
    assert_says(proc_stderr(p), "my.ndjson:4: Source is missing");
    assert_int_equal(proc_count_lines(p, "my.ndjson:"), 3);
    assert_says(proc_stderr(p), "my.ndjson:7: EventBusName is other: the demo has no bus but durable-event-bus");
    assert_says(proc_stdout(p), "3 bad lines were passed over");
    proc_destroy(p);
    tmp_remove(work);
    tmp_remove(dir);
}

static void
a_source_may_be_any_string_and_there_may_be_many(void **state)
{
    (void)state;
    const char *dir = tmp_new(), *work = tmp_new();
    const char *path = tmp_path(dir, "my.ndjson");
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs("{\"Source\":\"one, two\",\"DetailType\":\"t\",\"Detail\":{}}\n"
          "{\"Source\":\" spaces around \",\"DetailType\":\"t\",\"Detail\":{}}\n"
          "{\"Source\":\"n\\u0000l\",\"DetailType\":\"t\",\"Detail\":{}}\n",
          f);
    for (int i = 0; i < 1000; i++)
        fprintf(f, "{\"Source\":\"%0*d\",\"DetailType\":\"t\",\"Detail\":{}}\n", 150, i);
    fclose(f);
    struct proc *p = start_demo(work, "--events", path);
    assert_int_equal(proc_wait_exit(p, END_MS), 0);
    assert_says(proc_stdout(p), "PASS: published 1003 = captured 1003 = handled 1003; lost 0; ");
    proc_destroy(p);
    tmp_remove(work);
    tmp_remove(dir);
}

static void
the_shell_s_aws_settings_and_proxies_do_not_reach_it(void **state)
{
    (void)state;
    const char *work = tmp_new();
    char tmpdir[300];
    snprintf(tmpdir, sizeof tmpdir, "TMPDIR=%s", work);
    const char *env[] = {tmpdir,
                         "http_proxy=http://127.0.0.1:9",
                         "AWS_PROFILE=nobody",
                         "AWS_SESSION_TOKEN=token",
                         "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9",
                         "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true",
                         NULL};
    const char *argv[] = {proc_path("bin/fanoutctl"), "demo", "--conf-dir", "conf", "--count", "10", NULL};
    struct proc *p = proc_spawn(argv, env);
    assert_int_equal(proc_wait_exit(p, END_MS), 0);
    assert_says(proc_stdout(p), "PASS: published 10 = ");
    proc_destroy(p);
    tmp_remove(work);
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
    assert_int_equal(entries_in(work), 0);
    tmp_remove(work);
    tmp_remove(dir);
}

/* It is somewhere in the middle when it is told to end. */
static void
assert_leaves_nothing(int signal_number)
{
    const char *dir = tmp_new();
    struct proc *p = start_demo(dir, "--count", "1000000");
    assert_non_null(proc_wait_line(p, "published", END_MS));
    proc_signal(p, signal_number);
    assert_int_equal(proc_wait_exit(p, END_MS), 128 + signal_number);
    assert_int_equal(entries_in(dir), 0);
    proc_destroy(p);
    tmp_remove(dir);
}

static void
an_interrupt_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_leaves_nothing(SIGINT);
}

static void
a_closed_terminal_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_leaves_nothing(SIGHUP);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_published_is_captured_and_handled),
        cmocka_unit_test(a_bad_line_is_named_and_the_rest_goes_on),
        cmocka_unit_test(a_source_may_be_any_string_and_there_may_be_many),
        cmocka_unit_test(the_shell_s_aws_settings_and_proxies_do_not_reach_it),
        cmocka_unit_test(a_file_without_an_event_is_an_error),
        cmocka_unit_test(an_interrupt_leaves_nothing_behind),
        cmocka_unit_test(a_closed_terminal_leaves_nothing_behind),
    };
    return side_by_side_run("demo", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
