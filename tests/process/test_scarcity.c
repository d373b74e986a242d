/* The real programs when the machine lets them down: clocks that jump, a log that nobody reads, no descriptor left, no
 * answer from the resolver, nobody who listens. None spins, none dies, and when it is over messages flow again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
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
#include "lib/lone_worker.h"
#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define SOON_MS     60000
#define BUSY_MS     500 /* so long the CPU time of a process in trouble is measured, */
#define MOST_CPU_MS 80  /* of which a loop that spins takes nearly all */

struct world {
    const char *dir;
    struct system *s;
    struct aws_call call;
    char queue[200];
    unsigned sent;
};

static int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->dir = tmp_new();
    w->s = system_start(w->dir);
    aws_call_init(&w->call, w->s->url);
    w->call.access_key_id = w->call.secret_access_key = "test";
    snprintf(w->queue, sizeof w->queue, "%s/000000000000/%s", w->s->url, SYSTEM_QUEUE);
    *state = w;
    return 0;
}

static int
end_world(void **state)
{
    struct world *w = *state;
    unsetenv("FANOUT_TEST_CLOCK");
    aws_call_clean_up(&w->call);
    system_stop(w->s);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

/* What the handlers did is in DIR/record. */
static void
start_fleet(struct world *w, const char *more)
{
    char text[1000];
    snprintf(text, sizeof text,
             "consumers = ( { name = \"t\"; queue = \"%s\"; plugin = \"flaky\"; wait_time_s = 1; %s\n"
             "                options = { record = \"%s/record\"; }; } );",
             SYSTEM_QUEUE, more, w->dir);
    system_start_fleet(w->s, text);
}

static void
send_some(struct world *w)
{
    for (int i = 0; i < 5; i++, w->sent++)
        assert_int_equal(aws_call_sqs(&w->call, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"m-%u\"}",
                                      w->queue, w->sent),
                         200);
}

static bool
queue_is_empty(void *context)
{
    struct world *w = context;
    char visible[20], held[20];
    aws_call_sqs(&w->call, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}", w->queue);
    return w->call.status == 200 &&
           aws_call_text(&w->call, "Attributes.ApproximateNumberOfMessages", visible, sizeof visible) &&
           aws_call_text(&w->call, "Attributes.ApproximateNumberOfMessagesNotVisible", held, sizeof held) &&
           strcmp(visible, "0") == 0 && strcmp(held, "0") == 0;
}

/* A figure of /metrics; -1: it is not there. */
static double
metric(struct world *w, const char *name)
{
    struct aws_call c;
    char url[150];
    double value = -1;
    snprintf(url, sizeof url, "http://%s", w->s->admin);
    aws_call_init(&c, url);
    aws_call_plain(&c, "GET", "/metrics", "");
    for (const char *at = c.status == 200 ? c.body.p : NULL; at && (at = strstr(at, name)); at++)
        if ((at == c.body.p || at[-1] == '\n') && at[strlen(name)] == '{') {
            value = strtod(strchr(at, '}') + 1, NULL);
            break;
        }
    aws_call_clean_up(&c);
    return value;
}

static unsigned
handled(struct world *w)
{
    char *text = tmp_read(tmp_path(w->dir, "record"), NULL);
    unsigned n = 0;
    for (const char *p = text; p && *p; p++)
        n += *p == '\n';
    free(text);
    return n;
}

static void
assert_messages_flow(struct world *w)
{
    send_some(w);
    assert_true(proc_wait_until(queue_is_empty, w, SOON_MS));
    assert_int_equal(handled(w), w->sent);
}

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
    struct world *w = *state;
    struct clock_page *clock;
    struct err e;
    const char *path = tmp_path(w->dir, "clock"); /* the fleet's alone: the server's is the machine's */
    assert_int_equal(clock_page_create(path, &clock, &e), 0);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    start_fleet(w, "");
    unsetenv("FANOUT_TEST_CLOCK");
    static const int64_t hours[] = {0, 3, -5, 24, 0};
    for (size_t i = 0; i < sizeof hours / sizeof *hours; i++) {
        double calls = metric(w, "fanout_aws_calls_total");
        atomic_store(&clock->wall_skew_ms, hours[i] * 3600000);
        assert_messages_flow(w);
        assert_in_range(metric(w, "fanout_aws_calls_total") - calls, 0, 40);
    }
    assert_int_equal((int)metric(w, "fanout_lost_total"), 0); /* leases are not counted in wall time */
    system_stop_fleet(w->s);
}

static void
a_host_that_slept_for_hours_goes_on(void **state)
{
    struct world *w = *state;
    struct clock_page *clock;
    struct err e;
    const char *path = tmp_path(w->dir, "clock");
    assert_int_equal(clock_page_create(path, &clock, &e), 0);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    start_fleet(w, "visibility_timeout_s = 2;");
    unsetenv("FANOUT_TEST_CLOCK");
    assert_messages_flow(w);
    for (int i = 0; i < 3; i++) {
        send_some(w); /* some may be in hand: their lease is over then */
        atomic_fetch_add(&clock->offset_ms, INT64_C(7) * 3600000);
        assert_true(proc_wait_until(queue_is_empty, w, SOON_MS));
        assert_true(handled(w) >= w->sent);
    }
    system_stop_fleet(w->s);
}

/* ---- a log nobody reads ---- */

static bool
lines_were_dropped(void *context)
{
    struct world *w = context;
    kill(proc_pid(w->s->fleet), SIGUSR2); /* each a dozen lines */
    return metric(w, "fanout_log_dropped_total") > 0;
}

static void
a_log_pipe_that_nobody_reads_blocks_nothing_and_drops_are_counted(void **state)
{
    struct world *w = *state;
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
        assert_int_equal(poll(&p, 1, SOON_MS), 1);
        ssize_t got = read(fd, piece + n, sizeof piece - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        piece[n] = '\0';
        admin = strstr(piece, "msg=ready consumers=");
        admin = admin && strchr(admin, '\n') ? strstr(admin, "admin=") : NULL;
    }
    assert_non_null(admin);
    snprintf(w->s->admin, sizeof w->s->admin, "%.*s", (int)strcspn(admin + 6, " \n"), admin + 6);

    assert_true(proc_wait_until(lines_were_dropped, w, SOON_MS));
    assert_messages_flow(w);
    assert_true(metric(w, "fanout_engine_beat_age_seconds") < 5);
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
    return metric(context, "fanout_poll_errors_total") > 0;
}

static void
a_worker_without_descriptors_waits_until_there_are_some(void **state)
{
    struct world *w = *state;
    start_fleet(w, "");
    assert_messages_flow(w);
    pid_t worker = system_worker(w->s);
    aws_call_clean_up(&w->call);
    system_kill_local(w->s); /* so that it needs new connections */
    rlim_t before = limit_descriptors(worker, 3);
    system_restart_local(w->s);
    aws_call_init(&w->call, w->s->url);
    w->call.access_key_id = w->call.secret_access_key = "test";
    assert_true(proc_wait_until(receives_fail, w, SOON_MS));
    double calls = metric(w, "fanout_aws_calls_total") + metric(w, "fanout_aws_retries_total");
    assert_does_not_spin(worker);
    assert_in_range(metric(w, "fanout_aws_calls_total") + metric(w, "fanout_aws_retries_total") - calls, 0, 10);
    limit_descriptors(worker, before);
    assert_messages_flow(w);
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
    struct world *w = *state;
    start_fleet(w, "");
    assert_messages_flow(w);
    pid_t fleet = proc_pid(w->s->fleet), worker = system_worker(w->s);
    rlim_t before = limit_descriptors(fleet, 3);
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_true(proc_wait_until(is_gone, &worker, SOON_MS));
    struct aws_call admin; /* a connection it cannot take up */
    char url[150];
    snprintf(url, sizeof url, "http://%s", w->s->admin);
    aws_call_init(&admin, url);
    assert_true(aws_call_begin(&admin, "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    assert_does_not_spin(fleet);
    assert_true(proc_is_running(w->s->fleet));
    aws_call_clean_up(&admin);
    limit_descriptors(fleet, before);
    assert_true(proc_wait_until(another_worker_runs, w->s, SOON_MS));
    assert_messages_flow(w);
    system_stop_fleet(w->s);
}

#define IDLE  30
#define LIMIT 40

static bool
no_descriptor_is_left(void *context)
{
    char path[60];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)proc_pid(((struct world *)context)->s->local), LIMIT - 1);
    return access(path, F_OK) == 0; /* the lowest free one is always taken */
}

static void
a_server_without_descriptors_serves_who_is_connected_and_the_others_when_some_have_gone(void **state)
{
    struct world *w = *state;
    struct aws_call idle[IDLE], late;
    start_fleet(w, "");
    assert_messages_flow(w);
    pid_t local = proc_pid(w->s->local);
    limit_descriptors(local, LIMIT);
    for (int i = 0; i < IDLE; i++) {
        aws_call_init(&idle[i], w->s->url);
        assert_true(aws_call_begin(&idle[i], "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    }
    assert_true(proc_wait_until(no_descriptor_is_left, w, SOON_MS));
    aws_call_init(&late, w->s->url);
    late.access_key_id = late.secret_access_key = "test";
    assert_true(aws_call_begin(&late, "sqs", "AmazonSQS.ListQueues", SLICE("{}")));
    assert_does_not_spin(local);
    assert_messages_flow(w); /* over the connections there are */
    for (int i = 0; i < IDLE; i++)
        aws_call_clean_up(&idle[i]);
    assert_int_equal(aws_call_finish(&late), 200);
    aws_call_clean_up(&late);
    assert_messages_flow(w);
    system_stop_fleet(w->s);
}

/* ---- nobody there ---- */

static bool
all_is_deleted(void *context)
{
    return faulty_sqs_left(context) == 0;
}

/* A port nobody listens on, kept from others by the socket. */
static int
refusing_port(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*ret_fd >= 0 && bind(*ret_fd, (struct sockaddr *)&address, size) == 0 &&
                getsockname(*ret_fd, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.sin_port);
}

static uint64_t
attempts(const struct lone_worker *worker)
{
    return atomic_load(&worker->counters->aws_calls) + atomic_load(&worker->counters->aws_retries);
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
    int fd, port = refusing_port(&fd);
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
    assert_true(lone_worker_wait(&worker, IPC_HEALTH, &message, SOON_MS));
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
    assert_true(proc_wait_until(all_is_deleted, sqs, SOON_MS));
    kill(worker.pid, SIGTERM);
    assert_int_equal(lone_worker_end(&worker, SOON_MS), 0);
    assert_int_equal(atomic_load(&worker.counters->handled), FAULTY_MESSAGES);
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
        assert_true(proc_wait_until(all_were_deleted, sqs, SOON_MS));
        canned_sqs_release(sqs);
        kill(worker.pid, SIGTERM);
        assert_int_equal(lone_worker_end(&worker, SOON_MS), 0);
        print_message("%zu bytes: the longest turn took %lld ms, %lld ms of them running\n", cases[i].bytes,
                      (long long)atomic_load(&worker.counters->longest_turn_ms),
                      (long long)atomic_load(&worker.counters->longest_turn_cpu_ms));
        assert_in_range(atomic_load(&worker.counters->longest_turn_cpu_ms), 1, 100);
        lone_worker_clean_up(&worker);
        canned_sqs_stop(sqs);
    }
}

/* ---- a resolver that says nothing ---- */

#define SILENT_ADDRESS "127.77.0.1"

static int
silent_resolver(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, SILENT_ADDRESS, &address.sin_addr), 1);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool
mounts_may_be_made(void)
{
    const char *argv[] = {"unshare", "-m", "true", NULL};
    struct proc *p = proc_spawn(argv, NULL);
    bool may = proc_wait_exit(p, SOON_MS) == 0;
    proc_destroy(p);
    return may;
}

static bool
an_attempt_failed(void *context)
{
    return metric(context, "fanout_aws_retries_total") > 0;
}

static void
a_resolver_that_never_answers_holds_up_no_turn_of_the_engine(void **state)
{
    struct world *w = *state;
    int fd = silent_resolver();
    if (fd < 0 || !mounts_may_be_made())
        skip_because("needs the right to bind port 53 and to mount (root)");
    const char *hosts = tmp_write(w->dir, "hosts", "127.0.0.1 localhost\n");
    const char *script = tmp_write(w->dir, "without-resolver",
                                   "mount --bind %s /etc/hosts && mount --bind %s /etc/resolv.conf &&\n"
                                   "mount --bind %s /etc/nsswitch.conf && exec \"$@\"\n",
                                   hosts, tmp_write(w->dir, "resolv.conf", "nameserver " SILENT_ADDRESS "\n"),
                                   tmp_write(w->dir, "nsswitch.conf", "hosts: files dns\n"));
    const char *conf = tmp_write(w->dir, "fanoutd.conf",
                                 "admin = { listen = \"127.0.0.1:0\"; };\n"
                                 "aws = { endpoint_url = \"http://sqs.silent.example:%s\"; };\n"
                                 "consumers = ( { name = \"t\"; queue = \"%s\"; plugin = \"flaky\"; wait_time_s = 1;\n"
                                 "                options = { record = \"%s/record\"; }; } );",
                                 strrchr(w->s->url, ':') + 1, SYSTEM_QUEUE, w->dir);
    const char *argv[] = {"unshare", "-m", "sh", script, proc_path("bin/fanoutd"), "-c", conf, NULL};
    w->s->fleet = proc_spawn(argv, w->s->env);
    const char *line = proc_wait_line(w->s->fleet, "msg=ready consumers=", SOON_MS);
    assert_non_null(line);
    const char *admin = strstr(line, "admin=") + 6;
    snprintf(w->s->admin, sizeof w->s->admin, "%.*s", (int)strcspn(admin, " \n"), admin);

    assert_true(proc_wait_until(an_attempt_failed, w, SOON_MS));
    assert_true(metric(w, "fanout_engine_longest_turn_cpu_seconds") < 0.1);
    assert_true(metric(w, "fanout_engine_longest_turn_seconds") < 2); /* not running is not waiting for an answer */

    FILE *f = fopen(hosts, "ae");
    assert_non_null(f);
    fputs("127.0.0.1 sqs.silent.example\n", f);
    fclose(f);
    assert_messages_flow(w);
    system_stop_fleet(w->s);
    close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

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
        cmocka_unit_test(refused_connections_are_tried_again_with_patience),
        cmocka_unit_test(answers_of_megabytes_make_no_long_turn),
        TEST(a_resolver_that_never_answers_holds_up_no_turn_of_the_engine),
    };
    return cmocka_run_group_tests_name("scarcity", tests, NULL, NULL);
}
