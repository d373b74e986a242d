/* The real fanoutd with a worker that obeys the test: HUP, USR1 and USR2 while it runs
 * (tests/lib/fake_fleet.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fake_fleet.h"
#include "lib/tmp.h"

/* ---- signals while it runs ---- */

static void
usr2_writes_the_state_and_asks_the_workers_for_theirs(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("good 2"));
    proc_signal(w->p, SIGUSR2);
    fake_fleet_expect_count(w, "role=current", 2);
    fake_fleet_expect_count(w, "received=10", 2);
    fake_fleet_expect_count(w, "dump state", 2);
}

static void
usr1_reopens_the_log_here_and_in_the_workers(void **state)
{
    struct fake_fleet *w = *state;
    char top[PATH_MAX + 40];
    const char *log = tmp_path(w->dir, "log"), *rotated = tmp_path(w->dir, "log.1");
    snprintf(top, sizeof top, "log = { file = \"%s\"; };", log);
    fake_fleet_configure(w, top, FAKE_MODES("good"));
    fake_fleet_start(w);
    fake_fleet_expect(w, "mode good");
    assert_int_equal(rename(log, rotated), 0);
    proc_signal(w->p, SIGUSR1);
    fake_fleet_expect(w, "reopen logs");
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
    char *old = tmp_read(rotated, NULL), *fresh = tmp_read(log, NULL);
    assert_non_null(fresh);
    assert_non_null(strstr(old, "starting"));
    assert_null(strstr(old, "stopped"));
    assert_non_null(strstr(fresh, "stopped"));
    free(old);
    free(fresh);
}

static void
hup_replaces_a_worker_once_its_successor_has_reached_its_queue(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("good"));

    fake_fleet_configure(w, "", FAKE_MODES("unhealthy"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "mode unhealthy");
    fake_fleet_expect_count(w, "worker ready", 2);
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", NULL), 200);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);

    fake_fleet_configure(w, "", FAKE_MODES("good 2"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "successor takes over");
    fake_fleet_expect(w, "new configuration in use");
    fake_fleet_expect_count(w, "how=drained", 2); /* the first worker, and the one that never took over */
    char *text;
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", &text), 200);
    assert_non_null(strstr(text, "c0/0 ready\nc0/1 ready\n"));
    /* What the predecessors counted goes on. */
    assert_int_equal(fake_fleet_request(w, "GET", "/metrics", &text), 200);
    assert_non_null(strstr(text, "\nfanout_received_total{consumer=\"c0\",slot=\"0\"} 30\n"));
    assert_non_null(strstr(text, "\nfanout_generation 3\n"));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static void
hup_keeps_what_runs_when_the_new_configuration_is_no_good(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("good"));

    w->conf = tmp_write(w->dir, "fanoutd.conf", "consumers = ( { name = \"UPPER\"; threads = 0; } );\n");
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "configuration problem");
    fake_fleet_expect(w, "threads");
    fake_fleet_expect(w, "configuration not reloaded");

    fake_fleet_configure(w, "", FAKE_MODES("refuse"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "new configuration refused, the old worker goes on");
    fake_fleet_expect(w, "in use, but for what was refused");
    assert_int_equal(proc_count_lines(w->p, "is no good"), 1);
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", NULL), 200);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static void
hup_leaves_the_old_worker_at_work_while_the_new_ones_plugin_does_not_open(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_use_test_clock(w);
    fake_fleet_run(w, "", FAKE_MODES("good"));
    fake_fleet_configure(w, "", FAKE_MODES("hang"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "mode hang run 1");
    fake_fleet_advance(w, 61000);
    fake_fleet_expect(w, "worker is not ready in time and is killed");
    fake_fleet_advance(w, 1000);
    fake_fleet_expect(w, "mode hang run 2");
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", NULL), 200);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
    fake_fleet_configure(w, "", FAKE_MODES("good"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "successor takes over");
    fake_fleet_advance(w, 30000); /* and the one that hangs is killed at its drain's deadline */
    fake_fleet_expect_count(w, "how=killed", 2);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
}

static void
hup_takes_up_another_log_file_and_format(void **state)
{
    struct fake_fleet *w = *state;
    char top[PATH_MAX + 80];
    const char *log = tmp_path(w->dir, "log");
    fake_fleet_run(w, "", FAKE_MODES("good"));
    snprintf(top, sizeof top, "log = { file = \"%s\"; format = \"json\"; };", log);
    fake_fleet_configure(w, top, FAKE_MODES("good"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect(w, "fake 0: left"); /* the predecessor: the new configuration is in use */

    snprintf(top, sizeof top, "log = { file = \"%s/no/such/folder\"; };", w->dir);
    fake_fleet_configure(w, top, FAKE_MODES("good"));
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect_count(w, "fake 0: left", 2);
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, 0);
    char *text = tmp_read(log, NULL);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"msg\":\"successor takes over\""));
    assert_non_null(strstr(text, "\"msg\":\"the log stays where it is\""));
    assert_non_null(strstr(text, "no/such/folder"));
    assert_non_null(strstr(text, "\"msg\":\"stopped\""));
    assert_int_equal(proc_count_lines(w->p, "msg=stopped"), 0);
    free(text);
}

static void
hup_drains_what_is_no_longer_configured_and_names_what_takes_a_restart(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_run(w, "", FAKE_MODES("good 2", "good"));
    w->conf = tmp_write(w->dir, "fanoutd.conf",
                        "log = { level = \"warn\"; };\nadmin = { listen = \"127.0.0.1:1\"; };\n"
                        "consumers = ( { name = \"c0\"; queue = \"q\"; plugin = \"fake\"; } );\n");
    proc_signal(w->p, SIGHUP);
    fake_fleet_expect_count(w, "option=admin.listen", 1);
    assert_int_equal(proc_count_lines(w->p, "that takes a restart"), 1);
    fake_fleet_expect_count(w, "drain within", 3);
    char *text;
    do
        assert_int_equal(fake_fleet_request(w, "GET", "/metrics", &text), 200);
    while (strstr(text, "consumer=\"c1\"") || strstr(text, "slot=\"1\""));
    assert_non_null(strstr(text, "\nfanout_ready 1\n"));
}

int
main(int argc, char **argv)
{
    if (fake_worker_is_meant(argv))
        return fake_worker_main(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, fake_fleet_set_up, fake_fleet_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(usr2_writes_the_state_and_asks_the_workers_for_theirs),
        TEST(usr1_reopens_the_log_here_and_in_the_workers),
        TEST(hup_replaces_a_worker_once_its_successor_has_reached_its_queue),
        TEST(hup_keeps_what_runs_when_the_new_configuration_is_no_good),
        TEST(hup_leaves_the_old_worker_at_work_while_the_new_ones_plugin_does_not_open),
        TEST(hup_takes_up_another_log_file_and_format),
        TEST(hup_drains_what_is_no_longer_configured_and_names_what_takes_a_restart),
    };
    return cmocka_run_group_tests_name("supervisor_signals", tests, fake_fleet_build, NULL);
}
