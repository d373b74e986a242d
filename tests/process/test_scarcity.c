/* The real programs when the machine lets them down: clocks that jump, a log that nobody reads, no descriptor left,
 * nobody who listens. None spins, none dies, and when it is over messages flow again. (The resolver: test_resolver.c;
 * the disk: test_disk_full.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/aws_call.h"
#include "lib/canned_sqs.h"
#include "lib/faulty_sqs.h"
#include "lib/figures.h"
#include "lib/flow.h"
#include "lib/lone_worker.h"
#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/stub_server.h"
#include "lib/tmp.h"

#define BUSY_MS     500 /* so long the CPU time of a process in trouble is measured, */
#define MOST_CPU_MS 80  /* of which a loop that spins takes nearly all */

static void
assert_does_not_spin(pid_t pid)
{
    int64_t before_ns = figure_cpu_ns(pid);
    poll(NULL, 0, BUSY_MS);
    assert_in_range((figure_cpu_ns(pid) - before_ns) / 1000000, 0, MOST_CPU_MS);
}

/* ---- clocks ---- */

static void
a_wall_clock_that_jumps_hours_is_corrected_and_nothing_is_lost(void **state)
{
    struct flow *w = *state;
    struct clock_page *clock;
    struct err e;
    const char *path = tmp_path(w->dir, "clock"); /* the fleet's alone: the server's is the machine's */
    assert_int_equal(clock_page_create(path, &clock, &e), 0);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    flow_start_fleet(w, "");
    unsetenv("FANOUT_TEST_CLOCK");
    static const int64_t hours[] = {0, 3, -5, 24, 0};
    for (size_t i = 0; i < sizeof hours / sizeof *hours; i++) {
        double calls = flow_metric(w, "fanout_aws_calls_total");
        atomic_store(&clock->wall_skew_ms, hours[i] * 3600000);
        flow_assert_goes_on(w);
        assert_in_range(flow_metric(w, "fanout_aws_calls_total") - calls, 0, 40);
    }
    assert_int_equal((int)flow_metric(w, "fanout_lost_total"), 0); /* leases are not counted in wall time */
    system_stop_fleet(w->s);
}

static void
a_host_that_slept_for_hours_goes_on(void **state)
{
    struct flow *w = *state;
    struct clock_page *clock;
    struct err e;
    const char *path = tmp_path(w->dir, "clock");
    assert_int_equal(clock_page_create(path, &clock, &e), 0);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    flow_start_fleet(w, "visibility_timeout_s = 2;");
    unsetenv("FANOUT_TEST_CLOCK");
    flow_assert_goes_on(w);
    for (int i = 0; i < 3; i++) {
        flow_send(w, 5); /* some may be in hand: their lease is over then */
        atomic_fetch_add(&clock->offset_ms, INT64_C(7) * 3600000);
        assert_true(proc_wait_until(flow_is_empty, w, FLOW_SOON_MS));
        assert_true(flow_handled(w) >= w->sent);
    }
    system_stop_fleet(w->s);
}

/* ---- a log nobody reads ---- */

static bool
lines_were_dropped(void *context)
{
    struct flow *w = context;
    kill(proc_pid(w->s->fleet), SIGUSR2); /* each a dozen lines */
    return flow_metric(w, "fanout_log_dropped_total") > 0 && flow_metric(w, "fanout_supervisor_log_dropped_total") > 0;
}

static void
a_log_pipe_that_nobody_reads_blocks_nothing_and_drops_are_counted(void **state)
{
    struct flow *w = *state;
    const char *path = tmp_path(w->dir, "log");
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* hardly read, then never */
    assert_true(fd >= 0 && fcntl(fd, F_SETPIPE_SZ, 4096) > 0);
    char log[300];
    snprintf(log, sizeof log, "log = { level = \"debug\"; file = \"%s\"; };\n", path);
    char text[1500];
    snprintf(text, sizeof text,
             "%sconsumers = ( { name = \"t\"; queue = \"%s\"; plugin = \"flaky\"; wait_time_s = 1;\n"
             "                options = { record = \"%s/record\"; }; } );",
             log, SYSTEM_QUEUE, w->dir);
    const char *conf = tmp_write(w->dir, "fanoutd.conf", "admin = { listen = \"127.0.0.1:0\"; };\n%s\n", text);
    w->s->fleet = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", conf, NULL}, w->s->env);
    char piece[4096] = "", *admin = NULL;
    for (size_t n = 0; !admin && n < sizeof piece - 1;) { /* up to the line that names the listener */
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, FLOW_SOON_MS), 1);
        ssize_t got = read(fd, piece + n, sizeof piece - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        piece[n] = '\0';
        admin = strstr(piece, "msg=ready consumers=");
        admin = admin && strchr(admin, '\n') ? strstr(admin, "admin=") : NULL;
    }
    assert_non_null(admin);
    snprintf(w->s->admin, sizeof w->s->admin, "%.*s", (int)strcspn(admin + 6, " \n"), admin + 6);

    assert_true(proc_wait_until(lines_were_dropped, w, FLOW_SOON_MS));
    flow_assert_goes_on(w);
    assert_true(flow_metric(w, "fanout_engine_beat_age_seconds") < 5);
    system_stop_fleet(w->s); /* nor does the end wait for it */
    close(fd);
}

/* ---- descriptors ---- */

static rlim_t
limit_descriptors(pid_t pid, rlim_t most)
{
    struct rlimit before, now;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &before), 0);
    now = (struct rlimit){.rlim_cur = most, .rlim_max = before.rlim_max};
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &now, NULL), 0);
    return before.rlim_cur;
}

static bool
receives_fail(void *context)
{
    return flow_metric(context, "fanout_poll_errors_total") > 0;
}

static void
a_worker_without_descriptors_waits_until_there_are_some(void **state)
{
    struct flow *w = *state;
    flow_start_fleet(w, "");
    flow_assert_goes_on(w);
    pid_t worker = system_worker(w->s);
    system_kill_local(w->s); /* so that it needs new connections */
    rlim_t before = limit_descriptors(worker, 3);
    system_restart_local(w->s);
    flow_connect(w);
    assert_true(proc_wait_until(receives_fail, w, FLOW_SOON_MS));
    double calls = flow_metric(w, "fanout_aws_calls_total") + flow_metric(w, "fanout_aws_retries_total");
    assert_does_not_spin(worker);
    assert_in_range(flow_metric(w, "fanout_aws_calls_total") + flow_metric(w, "fanout_aws_retries_total") - calls, 0,
                    10);
    limit_descriptors(worker, before);
    flow_assert_goes_on(w);
    assert_int_equal(system_worker(w->s), worker);
    system_stop_fleet(w->s);
}

static bool
is_gone(void *context)
{
    return kill(*(pid_t *)context, 0) != 0;
}

static bool
another_worker_runs(void *context)
{
    return system_worker(context) > 0;
}

static void
a_supervisor_without_descriptors_waits_until_there_are_some(void **state)
{
    struct flow *w = *state;
    flow_start_fleet(w, "");
    flow_assert_goes_on(w);
    pid_t fleet = proc_pid(w->s->fleet), worker = system_worker(w->s);
    rlim_t before = limit_descriptors(fleet, 3);
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_true(proc_wait_until(is_gone, &worker, FLOW_SOON_MS));
    struct aws_call admin; /* a connection it cannot take up */
    char url[150];
    snprintf(url, sizeof url, "http://%s", w->s->admin);
    aws_call_init(&admin, url);
    assert_true(aws_call_begin(&admin, "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    assert_does_not_spin(fleet);
    assert_true(proc_is_running(w->s->fleet));
    aws_call_clean_up(&admin);
    limit_descriptors(fleet, before);
    assert_true(proc_wait_until(another_worker_runs, w->s, FLOW_SOON_MS));
    flow_assert_goes_on(w);
    system_stop_fleet(w->s);
}

#define IDLE  30
#define LIMIT 40

static bool
no_descriptor_is_left(void *context)
{
    char path[60];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)proc_pid(((struct flow *)context)->s->local), LIMIT - 1);
    return access(path, F_OK) == 0; /* the lowest free one is always taken */
}

static void
a_server_without_descriptors_serves_who_is_connected_and_the_others_when_some_have_gone(void **state)
{
    struct flow *w = *state;
    struct aws_call idle[IDLE], late;
    flow_start_fleet(w, "");
    flow_assert_goes_on(w);
    pid_t local = proc_pid(w->s->local);
    limit_descriptors(local, LIMIT);
    for (int i = 0; i < IDLE; i++) {
        aws_call_init(&idle[i], w->s->url);
        assert_true(aws_call_begin(&idle[i], "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    }
    assert_true(proc_wait_until(no_descriptor_is_left, w, FLOW_SOON_MS));
    aws_call_init(&late, w->s->url);
    late.access_key_id = late.secret_access_key = "test";
    assert_true(aws_call_begin(&late, "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    assert_does_not_spin(local);
    flow_assert_goes_on(w); /* over the connections there are */
    for (int i = 0; i < IDLE; i++)
        aws_call_clean_up(&idle[i]);
    assert_int_equal(aws_call_finish(&late), 200);
    aws_call_clean_up(&late);
    flow_assert_goes_on(w);
    system_stop_fleet(w->s);
}

static void
a_server_without_a_descriptor_for_its_first_connection_waits_until_there_is_one(void **state)
{
    struct flow *w = *state;
    struct aws_call first;
    pid_t local = proc_pid(w->s->local);
    rlim_t before = limit_descriptors(local, 3);
    aws_call_init(&first, w->s->url);
    first.access_key_id = first.secret_access_key = "test";
    assert_true(aws_call_begin(&first, "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    assert_does_not_spin(local);
    limit_descriptors(local, before);
    assert_int_equal(aws_call_finish(&first), 200);
    aws_call_clean_up(&first);
}

/* ---- nobody there ---- */

static bool
all_is_deleted(void *context)
{
    return faulty_sqs_left(context) == 0;
}

static uint64_t
attempts(const struct lone_worker *worker)
{
    return atomic_load(&worker->metrics->aws_calls) + atomic_load(&worker->metrics->aws_retries);
}

static void
refused_connections_are_tried_again_with_patience(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct clock_page *clock;
    struct err e;
    struct lone_worker worker;
    struct faulty_queue q = {.name = "late", .visibility_s = 600};
    int fd, port = stub_server_refusing_port(&fd);
    char conf[1000];
    assert_int_equal(clock_page_create(tmp_path(dir, "clock"), &clock, &e), 0);
    setenv("FANOUT_TEST_CLOCK", tmp_path(dir, "clock"), 1);
    setenv("AWS_ACCESS_KEY_ID", "a", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "b", 1);
    snprintf(conf, sizeof conf,
             "aws = { region = \"us-east-1\"; endpoint_url = \"http://127.0.0.1:%d\"; };\n"
             "consumers = ( { name = \"orders\"; queue = \"late\"; plugin = \"%s\"; threads = 1; } );",
             port, proc_path("lib/fanoutd/plugins/flaky.so"));
    lone_worker_start(&worker, conf, 1, 100, tmp_path(dir, "log"), NULL);
    unsetenv("FANOUT_TEST_CLOCK");
    struct ipc_message message;
    assert_true(lone_worker_wait(&worker, IPC_HEALTH, &message, FLOW_SOON_MS));
    for (int seconds = 0; seconds < 60; seconds++) { /* a minute of its clock, in which it stays in motion */
        uint64_t before = attempts(&worker);
        atomic_fetch_add(&clock->offset_ms, 1000);
        poll(NULL, 0, 25);
        assert_in_range(attempts(&worker) - before, 0, 12);
    }
    assert_in_range(attempts(&worker), 5, 90);
    close(fd);
    struct faulty_sqs *sqs = faulty_sqs_start(&q, 1, port);
    for (int seconds = 0; seconds < 120 && faulty_sqs_left(sqs) > 0; seconds++) {
        atomic_fetch_add(&clock->offset_ms, 1000);
        poll(NULL, 0, 25);
    }
    assert_true(proc_wait_until(all_is_deleted, sqs, FLOW_SOON_MS));
    kill(worker.pid, SIGTERM);
    assert_int_equal(lone_worker_end(&worker, FLOW_SOON_MS), 0);
    assert_int_equal(atomic_load(&worker.metrics->handled), FAULTY_MESSAGES);
    lone_worker_clean_up(&worker);
    faulty_sqs_stop(sqs);
    tmp_remove(dir);
}

/* ---- much at once ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#else
#define HAS_SANITIZER false
#endif

static bool
all_were_deleted(void *context)
{
    return canned_sqs_left(context) == 0;
}

/* CPU time, because a machine under load lets any turn wait. */
static void
answers_of_megabytes_make_no_long_turn(void **state)
{
    (void)state;
    if (HAS_SANITIZER)
        skip_because("instrumented code takes several times as long");
    static const struct {
        uint64_t messages;
        size_t bytes;
        unsigned threads;
    } cases[] = {{400, 250000, 16}, {60, 1048000, 4}};
    setenv("AWS_ACCESS_KEY_ID", "a", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "b", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct canned_sqs *sqs = canned_sqs_start(cases[i].messages, cases[i].bytes);
        struct lone_worker worker;
        char conf[1000];
        snprintf(conf, sizeof conf,
                 "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
                 "consumers = ( { name = \"orders\"; queue = \"q\"; plugin = \"%s\"; threads = %u; prefetch = 2; } );",
                 canned_sqs_url(sqs), proc_path("lib/fanoutd/plugins/flaky.so"), cases[i].threads);
        lone_worker_start(&worker, conf, cases[i].threads, cases[i].threads * 30, NULL, NULL);
        assert_true(proc_wait_until(all_were_deleted, sqs, FLOW_SOON_MS));
        canned_sqs_release(sqs);
        kill(worker.pid, SIGTERM);
        assert_int_equal(lone_worker_end(&worker, FLOW_SOON_MS), 0);
        print_message("%zu bytes: the longest turn took %lld ms, %lld ms of them running\n", cases[i].bytes,
                      (long long)atomic_load(&worker.metrics->longest_turn_ms),
                      (long long)atomic_load(&worker.metrics->longest_turn_cpu_ms));
        assert_in_range(atomic_load(&worker.metrics->longest_turn_cpu_ms), 1, 100);
        lone_worker_clean_up(&worker);
        canned_sqs_stop(sqs);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, flow_set_up, flow_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wall_clock_that_jumps_hours_is_corrected_and_nothing_is_lost),
        TEST(a_host_that_slept_for_hours_goes_on),
        TEST(a_log_pipe_that_nobody_reads_blocks_nothing_and_drops_are_counted),
        TEST(a_worker_without_descriptors_waits_until_there_are_some),
        TEST(a_supervisor_without_descriptors_waits_until_there_are_some),
        TEST(a_server_without_descriptors_serves_who_is_connected_and_the_others_when_some_have_gone),
        TEST(a_server_without_a_descriptor_for_its_first_connection_waits_until_there_is_one),
        cmocka_unit_test(refused_connections_are_tried_again_with_patience),
        cmocka_unit_test(answers_of_megabytes_make_no_long_turn),
    };
    return cmocka_run_group_tests_name("scarcity", tests, NULL, NULL);
}
