/* The real fanoutd with a worker that obeys the test: what its admin listener says, and --health
 * (tests/lib/fake_fleet.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/fake_fleet.h"
#include "lib/prometheus.h"
#include "lib/tmp.h"

/* ---- the admin listener ---- */

static void
health_and_metrics_are_served(void **state)
{
    struct fake_fleet *w = *state;
    char *text;
    fake_fleet_run(w, "", FAKE_MODES("good 2", "good"));
    assert_int_equal(fake_fleet_request(w, "GET", "/livez", NULL), 200);
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", &text), 200);
    assert_non_null(strstr(text, "\nc0/1 ready\n"));
    assert_int_equal(fake_fleet_request(w, "HEAD", "/readyz", NULL), 200);
    assert_int_equal(fake_fleet_request(w, "POST", "/livez", &text), 405);
    assert_non_null(strstr(text, "Allow: GET, HEAD"));
    assert_int_equal(fake_fleet_request(w, "GET", "/elsewhere", NULL), 404);

    assert_int_equal(fake_fleet_request(w, "GET", "/metrics", &text), 200);
    char why[400];
    const char *head_end = strstr(text, "\r\n\r\n");
    assert_non_null(head_end);
    if (!prometheus_check(head_end + 4, why, sizeof why))
        fail_msg("%s:\n%s", why, text);
    static const char *const lines[] = {
        "Content-Type: text/plain; version=0.0.4",
        "\n# HELP fanout_received_total messages received\n# TYPE fanout_received_total counter\n",
        "\nfanout_received_total{consumer=\"c0\",slot=\"1\"} 10\n",
        "\nfanout_polls_total{consumer=\"c1\",slot=\"0\"} 1\n",
        "\nfanout_worker_state{consumer=\"c0\",slot=\"0\",state=\"ready\"} 1\n",
        "\nfanout_worker_state{consumer=\"c0\",slot=\"0\",state=\"backoff\"} 0\n",
        "\nfanout_worker_starts_total{consumer=\"c0\",slot=\"0\"} 1\n",
        "\nfanout_ready 1\n",
        "\nfanout_uptime_seconds ",
        "\nfanout_log_dropped_total{consumer=\"c1\",slot=\"0\"} 0\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i]))
            fail_msg("no '%s' in\n%s", lines[i], text);
}

static void
a_consumer_without_a_ready_worker_is_not_ready(void **state)
{
    struct fake_fleet *w = *state;
    char *text;
    fake_fleet_configure(w, "", FAKE_MODES("good", "silent"));
    fake_fleet_start(w);
    fake_fleet_expect(w, "worker ready");
    fake_fleet_expect(w, "mode silent");
    assert_int_equal(fake_fleet_request(w, "GET", "/livez", NULL), 200);
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", &text), 503);
    assert_non_null(strstr(text, "\nc1/0 starting\n"));
    assert_int_equal(proc_count_lines(w->p, "msg=ready"), 0);
}

/* ---- --health ---- */

/* What fanoutd --health says of the one that runs: its exit status, its output in *ret_text until the
 * next call. */
static int
health(struct fake_fleet *w, const char **ret_text)
{
    static char text[2000];
    const char *url = strstr(proc_stderr(w->p), "admin=http://");
    assert_non_null(url);
    url += strlen("admin=http://");
    const char *conf = tmp_write(w->dir, "health.conf",
                                 "admin = { listen = \"%.*s\"; };\n"
                                 "consumers = ( { name = \"c\"; queue = \"q\"; plugin = \"fake\"; } );\n",
                                 (int)strcspn(url, " \n"), url);
    struct proc *p = proc_spawn((const char *[]){fake_fleet_program(), "--health", "-c", conf, NULL}, NULL);
    int code = proc_wait_exit(p, FAKE_SOON_MS);
    snprintf(text, sizeof text, "%s%s", proc_stdout(p), proc_stderr(p));
    *ret_text = text;
    proc_destroy(p);
    return code;
}

static void
health_is_good_while_every_worker_is_ready_and_its_engine_turns(void **state)
{
    struct fake_fleet *w = *state;
    const char *text;
    fake_fleet_run(w, "", FAKE_MODES("good 2", "unhealthy"));
    assert_int_equal(health(w, &text), 0);
    assert_string_equal(text, "healthy\nc0/0 ready\nc0/1 ready\nc1/0 ready, queue: no such queue\n");
    assert_int_equal(fake_fleet_request(w, "POST", "/healthz", NULL), 405);
}

static void
health_is_bad_when_an_engine_has_not_turned_for_ten_seconds(void **state)
{
    struct fake_fleet *w = *state;
    const char *text;
    fake_fleet_use_test_clock(w);
    fake_fleet_run(w, "", FAKE_MODES("good", "stalled"));
    assert_int_equal(health(w, &text), 0);
    fake_fleet_advance(w, 11000);
    assert_int_equal(health(w, &text), 1);
    assert_int_equal(strncmp(text, "unhealthy\n", 10), 0);
    assert_non_null(strstr(text, "\nc1/0 ready, but its engine has not turned for 11."));
    assert_int_equal(fake_fleet_request(w, "GET", "/readyz", NULL), 200);
}

static void
health_is_bad_while_a_worker_waits_for_its_next_start(void **state)
{
    struct fake_fleet *w = *state;
    const char *text;
    fake_fleet_use_test_clock(w);
    atomic_store(&w->clock->frozen_at_ms, clock_wall_ms()); /* so nothing that waits starts */
    fake_fleet_configure(w, "", FAKE_MODES("good", "once"));
    fake_fleet_start(w);
    fake_fleet_expect(
        w, "worker crashed"); /* it may be before the other one is ready: then fanoutd is not ready until later */
    fake_fleet_expect_count(w, "worker ready", 2);
    assert_int_equal(health(w, &text), 1);
    assert_non_null(strstr(text, "\nc1/0 backoff\n"));
    fake_fleet_advance(w, 60000);
    fake_fleet_expect_count(w, "worker ready", 3);
    assert_int_equal(health(w, &text), 0);
}

static void
health_is_bad_while_it_stops(void **state)
{
    struct fake_fleet *w = *state;
    const char *text;
    fake_fleet_run(w, "drain_timeout_s = 600;", FAKE_MODES("stubborn"));
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect(w, "drain within");
    assert_int_equal(health(w, &text), 1);
    assert_int_equal(strncmp(text, "unhealthy: stopping\n", 20), 0);
}

static void
health_is_bad_when_the_supervisor_does_not_answer_or_cannot_be_asked(void **state)
{
    struct fake_fleet *w = *state;
    const char *text;
    fake_fleet_run(w, "", FAKE_MODES("good"));
    proc_signal(w->p, SIGSTOP);
    assert_int_equal(health(w, &text), 1);
    assert_non_null(strstr(text, "no answer within 5000 ms"));
    proc_signal(w->p, SIGKILL);
    fake_fleet_expect_end(w, -SIGKILL);
    assert_int_equal(health(w, &text), 1);
    assert_non_null(strstr(text, "nobody listens there"));

    proc_destroy(w->p);
    const char *conf =
        tmp_write(w->dir, "none.conf", "consumers = ( { name = \"c\"; queue = \"q\"; plugin = \"fake\"; } );\n");
    w->p = proc_spawn((const char *[]){fake_fleet_program(), "--health", "-c", conf, NULL}, NULL);
    fake_fleet_expect_end(w, 1);
    assert_int_equal(proc_count_lines(w->p, "none.conf sets no admin.listen"), 1);
    proc_destroy(w->p);
    w->p = proc_spawn((const char *[]){fake_fleet_program(), "--health", "-c", w->conf, NULL}, NULL);
    fake_fleet_expect_end(w, 1);
    assert_int_equal(proc_count_lines(w->p, "port 0 is any port"), 1);
    proc_destroy(w->p);
    w->p = proc_spawn((const char *[]){fake_fleet_program(), "--health", "-c", "/nonexistent", NULL}, NULL);
    fake_fleet_expect_end(w, 1);
}

int
main(int argc, char **argv)
{
    if (fake_worker_is_meant(argv))
        return fake_worker_main(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, fake_fleet_set_up, fake_fleet_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(health_and_metrics_are_served),
        TEST(a_consumer_without_a_ready_worker_is_not_ready),
        TEST(health_is_good_while_every_worker_is_ready_and_its_engine_turns),
        TEST(health_is_bad_when_an_engine_has_not_turned_for_ten_seconds),
        TEST(health_is_bad_while_a_worker_waits_for_its_next_start),
        TEST(health_is_bad_while_it_stops),
        TEST(health_is_bad_when_the_supervisor_does_not_answer_or_cannot_be_asked),
    };
    return cmocka_run_group_tests_name("supervisor_health", tests, fake_fleet_build, NULL);
}
