/* fanoutctl send, against fanout-local. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define END_MS 20000
#define GOOD   "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{}}\n"

static int
start_local(void **state)
{
    *state = system_start(tmp_new());
    return 0;
}

static int
stop_local(void **state)
{
    system_stop(*state);
    return 0;
}

static void
say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void
what_a_slow_writer_has_said_is_sent_before_it_says_more(void **state)
{
    struct system *s = *state;
    const char *fifo = tmp_path(tmp_new(), "events");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--ids", fifo, NULL};
    struct proc *p = proc_spawn(argv, s->env);
    int fd = open(fifo, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    say(fd, GOOD GOOD "bad\n{\"Source\":");
    assert_non_null(proc_wait_line(p, "1 ", END_MS));
    assert_non_null(proc_wait_line(p, "2 ", END_MS));
    say(fd, "\"s\",\"DetailType\":\"t\",\"Detail\":{}}\n");
    assert_non_null(proc_wait_line(p, "4 ", END_MS));
    say(fd, "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":{}}"); /* without an end */
    close(fd);
    assert_int_equal(proc_wait_exit(p, END_MS), 1);
    assert_int_equal(proc_count_lines(p, "events:3: column 1 "), 1);
    assert_int_equal(proc_count_lines(p, "published 4, failed 0, bad lines 1"), 1);
    proc_destroy(p);
}

static void
a_rate_is_kept_and_nothing_is_left_out(void **state)
{
    struct system *s = *state;
    struct proc *p;
    char lines[30 * sizeof GOOD] = "";
    for (int i = 0; i < 30; i++)
        strcat(lines, GOOD);
    const char *file = tmp_write(tmp_new(), "events", "%s", lines);
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--rate", "100", file, NULL};
    assert_int_equal(system_run(s, argv, END_MS, &p), 0);
    assert_int_equal(proc_count_lines(p, "published 30, failed 0, bad lines 0"), 1);
    proc_destroy(p);
}

static void
events_nobody_takes_are_named_and_the_status_says_so(void **state)
{
    struct system *s = *state;
    struct proc *p;
    const char *file = tmp_write(tmp_new(), "events", "%s%s", GOOD GOOD, GOOD);
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "--endpoint-url", "http://127.0.0.1:1", file, NULL};
    assert_int_equal(system_run(s, argv, 3 * END_MS, &p), 1);
    assert_int_equal(proc_count_lines(p, "events:2: not published: "), 1);
    assert_int_equal(proc_count_lines(p, "published 0, failed 3, bad lines 0"), 1);
    proc_destroy(p);
}

static void
wrong_usage_is_status_2(void **state)
{
    struct system *s = *state;
    const char *const wrong[][5] = {
        {"send", "--rate", "0", NULL}, {"send", "a", "b", NULL}, {"send", "--nothing", NULL}, {"sned", NULL}, {NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *argv[6] = {proc_path("bin/fanoutctl")};
        memcpy(argv + 1, wrong[i], sizeof wrong[i]);
        assert_int_equal(system_run(s, argv, END_MS, NULL), 2);
    }
    const char *argv[] = {proc_path("bin/fanoutctl"), "send", "/nowhere/events", NULL};
    assert_int_equal(system_run(s, argv, END_MS, NULL), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_slow_writer_has_said_is_sent_before_it_says_more),
        cmocka_unit_test(a_rate_is_kept_and_nothing_is_left_out),
        cmocka_unit_test(events_nobody_takes_are_named_and_the_status_says_so),
        cmocka_unit_test(wrong_usage_is_status_2),
    };
    return cmocka_run_group_tests_name("send", tests, start_local, stop_local);
}
