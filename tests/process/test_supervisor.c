/* The real fanoutd with a worker that obeys the test: how it starts, ends and restarts workers, and ends itself
 * (tests/lib/fake_fleet.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fake_fleet.h"
#include "lib/tmp.h"

/* ---- processes ---- */

static int
count_descriptors(pid_t pid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Children of pid in state Z. */
static int
count_zombies(pid_t pid)
{
    char path[60];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    char *list = tmp_read(path, NULL), *save = NULL;
    int n = 0;
    for (char *p = list ? strtok_r(list, " ", &save) : NULL; p; p = strtok_r(NULL, " ", &save)) {
        snprintf(path, sizeof path, "/proc/%s/stat", p);
        char *stat = tmp_read(path, NULL), *after = stat ? strrchr(stat, ')') : NULL;
        n += after && after[2] == 'Z';
        free(stat);
    }
    free(list);
    return n;
}

/* ---- starting and ending ---- */

static void
all_workers_start_and_drain_on_term(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "drain_timeout_s = 7;", FAKE_MODES("good 2", "good"));
    assert_int_equal(proc_count_lines(w->p, "consumers=2 workers=3 admin=http://127.0.0.1:"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c0 mode good run 1 records 60 threads 3"), 2);
    assert_int_equal(proc_count_lines(w->p, "consumer c1 mode good run 1"), 1);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
    assert_int_equal(proc_count_lines(w->p, "drain within 7000"), 3);
    assert_int_equal(proc_count_lines(w->p, "how=drained"), 3);
}

static void
a_worker_inherits_three_descriptors_and_clean_signals(void **state)
{
    struct fake_fleet *w = *state;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGALRM);
    /* Neither a descriptor that was left open in fanoutd's parent nor its blocked signals reach a worker. */
    int leaked = fcntl(1, F_DUPFD, 20);
    sigprocmask(SIG_BLOCK, &some, &before);
    fake_fleet_run(w, "", FAKE_MODES("good"));
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(leaked);
    assert_int_equal(proc_count_lines(w->p, "descriptors 0 1 2 3 4 5, no others"), 1);
    assert_int_equal(proc_count_lines(w->p, "blocked 0, ignored HUP INT QUIT USR1 USR2 TERM, no others"), 1);
}

static void
a_second_term_ends_now(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "drain_timeout_s = 600;", FAKE_MODES("stubborn", "good"));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect(w, "how=drained");
    char *text;
    assert_int_equal(fake_fleet_request(w, "GET", "/livez", NULL), 200);
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", &text), 503);
    assert_non_null(strstr(text, "not ready: stopping"));
    proc_signal(w->p, SIGINT);
    fake_fleet_expect_end(w, 3);
    assert_int_equal(proc_count_lines(w->p, "worker is killed"), 1);
}

static void
quit_ends_now(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "drain_timeout_s = 600;", FAKE_MODES("good 2"));
    proc_signal(w->p, SIGQUIT);
    fake_fleet_expect_end(w, 3);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
}

static void
who_does_not_drain_in_time_is_killed(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_run(w, "drain_timeout_s = 300;", FAKE_MODES("stubborn", "good"));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect(w, "how=drained");
    assert_true(proc_is_running(w->p));
    fake_fleet_advance(w, 310000);
    fake_fleet_expect_end(w, 3);
}

static void
messages_left_in_hand_make_the_end_unclean(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("unclean"));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 3);
    assert_int_equal(proc_count_lines(w->p, "how=unclean left_in_hand=3"), 1);
}

static void
a_refusal_at_the_start_ends_everything_with_2(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_configure(w, "", FAKE_MODES("good", "refuse"));
    fake_fleet_start(w);
    fake_fleet_expect_end(w, 2);
    assert_int_equal(proc_count_lines(w->p, "the plugin \\\"fake\\\" is no good"), 1);
    assert_int_equal(proc_count_lines(w->p, "fake 0: pid"), 2);
    assert_int_equal(proc_count_lines(w->p, "msg=ready"), 0);
}

static void
workers_drain_when_the_supervisor_is_killed(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("good 3"));
    proc_signal(w->p, SIGKILL);
    fake_fleet_expect_end(w, -SIGKILL);
    assert_int_equal(proc_count_lines(w->p, "the supervisor is gone"), 3);
}

static void
an_admin_port_in_use_is_an_error_that_names_it(void **state)
{
    struct fake_fleet *w = *state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    w->conf = tmp_write(w->dir, "fanoutd.conf",
                        "admin = { listen = \"127.0.0.1:%d\"; };\n"
                        "consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"fake\"; } );\n",
                        ntohs(at.sin_port));
    fake_fleet_start(w);
    fake_fleet_expect_end(w, 1);
    char named[40];
    snprintf(named, sizeof named, "127.0.0.1:%d", ntohs(at.sin_port));
    assert_int_equal(proc_count_lines(w->p, "admin.listen"), 1);
    assert_int_equal(proc_count_lines(w->p, named), 1);
    assert_int_equal(proc_count_lines(w->p, "worker started"), 0);
    close(fd);
}

/* ---- crashes ---- */

static void
a_crash_is_named_and_the_worker_restarted(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("once"));
    fake_fleet_expect(w, "worker crashed");
    fake_fleet_expect(w, "run 2");
    fake_fleet_expect_count(w, "worker ready", 2);
    assert_int_equal(proc_count_lines(w->p, "by=SIGSEGV"), 1);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static void
an_exit_nobody_announced_is_a_crash(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("exit0"));
    fake_fleet_expect(w, "by=\"status 0\"");
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static void
a_recycle_restarts_and_is_no_crash(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_run(w, "", FAKE_MODES("recycle"));
    fake_fleet_advance(w, 60000);
    kill(fake_fleet_worker(w), SIGUSR1);
    fake_fleet_expect(w, "how=recycled");
    fake_fleet_expect(w, "run 2");
    assert_int_equal(proc_count_lines(w->p, "worker crashed"), 0);
}

static void
a_worker_that_closes_its_channel_is_replaced(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_configure(w, "", FAKE_MODES("deaf"));
    fake_fleet_start(w);
    fake_fleet_expect(w, "msg=ready");
    fake_fleet_advance(w, 6000);
    fake_fleet_expect(w, "worker is killed");
    fake_fleet_expect(w, "how=killed");
    fake_fleet_advance(w, 6000);
    fake_fleet_expect(w, "run 2");
}

static void
a_worker_that_is_never_ready_is_killed_named_and_started_again(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_configure(w, "", FAKE_MODES("hang", "good"));
    fake_fleet_start(w);
    fake_fleet_expect(w, "mode hang run 1");
    fake_fleet_expect(w, "worker ready");
    char *text;
    fake_fleet_advance(w, 50000); /* of the 60 s that are the default */
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", &text), 503);
    assert_non_null(strstr(text, "\nc0/0 starting\n"));
    assert_int_equal(proc_count_lines(w->p, "worker is not ready in time"), 0);
    fake_fleet_advance(w, 11000);
    fake_fleet_expect(w, "ERROR");
    fake_fleet_expect(w,
                      "worker is not ready in time and is killed: the plugin's open or thread_open has not returned");
    fake_fleet_expect(w, "how=killed left_in_hand=0 retry_in_ms=");
    fake_fleet_advance(w, 1000);
    fake_fleet_expect(w, "mode hang run 2");
    assert_int_equal(proc_count_lines(w->p, "worker crashed"), 0);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect(w, "how=drained");
    fake_fleet_advance(w, 29000);
    fake_fleet_expect_end(w, 0);
}

static void
term_while_a_plugin_opens_ends_at_the_drains_deadline(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_configure(w, "drain_timeout_s = 25;", FAKE_MODES("hang"));
    fake_fleet_start(w);
    fake_fleet_expect(w, "mode hang run 1");
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect(w, "worker is asked to drain");
    assert_true(proc_is_running(w->p));
    fake_fleet_advance(w, 29000); /* and the grace */
    fake_fleet_expect(w, "worker is killed");
    fake_fleet_expect_end(w, 0); /* it had received nothing */
}

static void
a_worker_that_cannot_start_says_why_and_is_tried_again(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_configure(w, "", FAKE_MODES("cannot", "good"));
    fake_fleet_start(w);
    fake_fleet_expect(w, "msg=\"worker cannot start\"");
    fake_fleet_expect(w, "error=\"plugin fake: open refused to start (it returned 7)\" retry_in_ms=");
    fake_fleet_advance(w, 31000);
    fake_fleet_expect(w, "mode cannot run 2");
    fake_fleet_expect_count(w, "worker cannot start", 2);
    assert_int_equal(proc_count_lines(w->p, "worker crashed"), 0);
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", NULL), 503);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static void
nonsense_on_the_channel_is_survived(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("nonsense"));
    assert_int_equal(proc_count_lines(w->p, "worker sends nonsense"), 1);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static bool
channel_is_full(void *context)
{
    struct fake_fleet *w = context;
    proc_signal(w->p, SIGUSR1); /* a message each */
    return proc_count_lines(w->p, "worker cannot be told") > 0;
}

static void
a_worker_whose_channel_is_full_drains_all_the_same(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("late"));
    assert_true(proc_wait_until(channel_is_full, w, FAKE_SOON_MS));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect(w, "worker is asked to drain");
    kill(fake_fleet_worker(w), SIGUSR1);
    fake_fleet_expect(w, "how=drained");
    fake_fleet_expect_end(w, 0);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
}

static void
a_hundred_restarts_leak_nothing(void **state)
{
    struct fake_fleet *w = *state;
    char run_name[40];
    int before = 0;
    fake_fleet_use_test_clock(w);
    fake_fleet_configure(w, "", FAKE_MODES("segv", "good"));
    fake_fleet_start(w);
    for (int i = 1; i <= 102; i++) {
        snprintf(run_name, sizeof run_name, "mode segv run %d ", i);
        fake_fleet_expect_count(w, run_name, 1);
        fake_fleet_expect_count(w, "worker crashed", (size_t)i);
        if (i == 2)
            before = count_descriptors(proc_pid(w->p));
        if (i < 102)
            fake_fleet_advance(w, 31000);
    }
    assert_int_equal(count_descriptors(proc_pid(w->p)), before);
    assert_int_equal(count_zombies(proc_pid(w->p)), 0);
    char *text;
    assert_int_equal(fake_fleet_request(w, "GET", "/metrics", &text), 200);
    assert_non_null(strstr(text, "\nfanout_worker_crashes_total{consumer=\"c0\",slot=\"0\"} 102\n"));
    assert_non_null(strstr(text, "\nfanout_received_total{consumer=\"c0\",slot=\"0\"} 1020\n"));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

int
main(int argc, char **argv)
{
    if (fake_worker_is_meant(argv))
        return fake_worker_main(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, fake_fleet_set_up, fake_fleet_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_workers_start_and_drain_on_term),
        TEST(a_worker_inherits_three_descriptors_and_clean_signals),
        TEST(a_second_term_ends_now),
        TEST(quit_ends_now),
        TEST(who_does_not_drain_in_time_is_killed),
        TEST(messages_left_in_hand_make_the_end_unclean),
        TEST(a_refusal_at_the_start_ends_everything_with_2),
        TEST(workers_drain_when_the_supervisor_is_killed),
        TEST(an_admin_port_in_use_is_an_error_that_names_it),
        TEST(a_crash_is_named_and_the_worker_restarted),
        TEST(an_exit_nobody_announced_is_a_crash),
        TEST(a_recycle_restarts_and_is_no_crash),
        TEST(a_worker_that_closes_its_channel_is_replaced),
        TEST(a_worker_that_is_never_ready_is_killed_named_and_started_again),
        TEST(term_while_a_plugin_opens_ends_at_the_drains_deadline),
        TEST(a_worker_that_cannot_start_says_why_and_is_tried_again),
        TEST(nonsense_on_the_channel_is_survived),
        TEST(a_worker_whose_channel_is_full_drains_all_the_same),
        TEST(a_hundred_restarts_leak_nothing),
    };
    return cmocka_run_group_tests_name("supervisor", tests, fake_fleet_build, NULL);
}
