/* The real fanoutd with a worker that obeys the test (lib/fake_worker.h): this program, copied to where fanoutd looks
 * for its worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "lib/fake_worker.h"
#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define SOON_MS 20000 /* nothing here takes a second; this is for a machine under load */

static const char *tree;    /* bin/fanoutd and libexec/fanoutd/fanout-worker, for all tests */
static const char *fanoutd; /* in it */

struct world {
    const char *dir, *conf;
    struct proc *p;
    struct clock_page *clock; /* NULL: real time */
    char clock_env[PATH_MAX + 40];
};

/* ---- set up ---- */

static void
copy_program(const char *from, const char *to)
{
    size_t n;
    char *bytes = tmp_read(from, &n);
    FILE *f = fopen(to, "we");
    if (!bytes || !f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0 || chmod(to, 0755) != 0) {
        fprintf(stderr, "cannot copy %s to %s: %s\n", from, to, strerror(errno));
        abort();
    }
    free(bytes);
}

static int
build_tree(void **state)
{
    (void)state;
    tree = tmp_new();
    mkdir(tmp_path(tree, "bin"), 0755);
    mkdir(tmp_path(tree, "libexec"), 0755);
    mkdir(tmp_path(tree, "libexec/fanoutd"), 0755);
    fanoutd = tmp_path(tree, "bin/fanoutd");
    copy_program(proc_path("bin/fanoutd"), fanoutd);
    copy_program("/proc/self/exe", tmp_path(tree, "libexec/fanoutd/fanout-worker"));
    return 0;
}

static int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->dir = tmp_new();
    *state = w;
    return 0;
}

static int
end_world(void **state)
{
    struct world *w = *state;
    proc_destroy(w->p);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

/* One consumer for each mode: "good 2" is called good and has two processes. */
static void
configure(struct world *w, const char *top, const char *const modes[])
{
    struct buf text = BUF_INIT;
    buf_add_format(&text, "admin = { listen = \"127.0.0.1:0\"; };\n%s\nconsumers = (", top);
    for (size_t i = 0; modes[i]; i++) {
        int processes = 1, n = (int)strcspn(modes[i], " ");
        if (modes[i][n])
            processes = atoi(modes[i] + n);
        buf_add_format(&text,
                       "%s\n  { name = \"c%zu\"; queue = \"q\"; plugin = \"fake\"; processes = %d; threads = 3;\n"
                       "    prefetch = 1; batch = { size = 10; }; options = { mode = \"%.*s\"; }; }",
                       i ? "," : "", i, processes, n, modes[i]);
    }
    buf_add_string(&text, " );\n");
    w->conf = tmp_write(w->dir, "fanoutd.conf", "%s", text.data);
    buf_clean_up(&text);
}

#define MODES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
use_test_clock(struct world *w)
{
    const char *path = tmp_path(w->dir, "clock");
    assert_int_equal(clock_page_create(path, &w->clock, NULL), 0);
    snprintf(w->clock_env, sizeof w->clock_env, "FANOUT_TEST_CLOCK=%s", path);
}

static void
start(struct world *w)
{
    w->p = proc_spawn((const char *[]){fanoutd, "-c", w->conf, NULL},
                      (const char *[]){w->clock ? w->clock_env : "FANOUT_TEST_CLOCK", NULL});
}

static void
advance(struct world *w, int64_t ms)
{
    atomic_fetch_add(&w->clock->offset_ms, ms);
}

static void
expect_end(struct world *w, int code)
{
    assert_int_equal(proc_wait_exit(w->p, SOON_MS), code);
}

struct count {
    struct proc *p;
    const char *line;
    size_t n;
};

static bool
has_counted(void *context)
{
    const struct count *c = context;
    return proc_count_lines(c->p, c->line) >= c->n;
}

/* n such lines in all, in whatever order among others. */
static void
expect_count(struct world *w, const char *line, size_t n)
{
    struct count c = {w->p, line, n};
    if (!proc_wait_until(has_counted, &c, SOON_MS))
        fail_msg("not %zu times '%s' in\n%s", n, line, proc_stderr(w->p));
}

static void
expect(struct world *w, const char *line)
{
    expect_count(w, line, 1);
}

static void
run(struct world *w, const char *top, const char *const modes[])
{
    configure(w, top, modes);
    start(w);
    expect(w, "msg=ready");
}

/* ---- HTTP ---- */

/* The status, and the whole answer in *ret_text (to be freed); 0: no answer. */
static int
request(struct world *w, const char *method, const char *path, char **ret_text)
{
    static char text[200000];
    int port = -1, status = 0;
    const char *at = strstr(proc_stderr(w->p), "admin=http://127.0.0.1:");
    if (at)
        port = atoi(at + strlen("admin=http://127.0.0.1:"));
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        size_t n =
            (size_t)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
        if (send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n) {
            ssize_t got;
            n = 0;
            while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
                n += (size_t)got;
            text[n] = '\0';
            status = strncmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : 0;
        }
    }
    close(fd);
    if (ret_text)
        *ret_text = text;
    return status;
}

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

static pid_t
pid_of_worker(struct world *w)
{
    const char *line = strstr(proc_stderr(w->p), "fake 0: pid ");
    return line ? (pid_t)strtol(line + strlen("fake 0: pid "), NULL, 10) : -1;
}

/* ---- starting and ending ---- */

static void
all_workers_start_and_drain_on_term(void **state)
{
    struct world *w = *state;
    run(w, "drain_timeout_s = 7;", MODES("good 2", "good"));
    assert_int_equal(proc_count_lines(w->p, "consumers=2 workers=3 admin=http://127.0.0.1:"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c0 mode good run 1 records 60 threads 3"), 2);
    assert_int_equal(proc_count_lines(w->p, "consumer c1 mode good run 1"), 1);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
    assert_int_equal(proc_count_lines(w->p, "drain within 7000"), 3);
    assert_int_equal(proc_count_lines(w->p, "how=drained"), 3);
}

static void
a_worker_inherits_three_descriptors_and_clean_signals(void **state)
{
    struct world *w = *state;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGALRM);
    /* Neither a descriptor that was left open in fanoutd's parent nor its blocked signals reach a worker. */
    int leaked = fcntl(1, F_DUPFD, 20);
    sigprocmask(SIG_BLOCK, &some, &before);
    run(w, "", MODES("good"));
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(leaked);
    assert_int_equal(proc_count_lines(w->p, "descriptors 0 1 2 3 4 5, no others"), 1);
    assert_int_equal(proc_count_lines(w->p, "blocked 0, ignored HUP INT QUIT USR1 USR2 TERM, no others"), 1);
}

static void
a_second_term_ends_now(void **state)
{
    struct world *w = *state;
    run(w, "drain_timeout_s = 600;", MODES("stubborn", "good"));
    proc_signal(w->p, SIGTERM);
    expect(w, "how=drained");
    char *text;
    assert_int_equal(request(w, "GET", "/livez", NULL), 200);
    assert_int_equal(request(w, "GET", "/readyz", &text), 503);
    assert_non_null(strstr(text, "not ready: stopping"));
    proc_signal(w->p, SIGINT);
    expect_end(w, 3);
    assert_int_equal(proc_count_lines(w->p, "worker is killed"), 1);
}

static void
quit_ends_now(void **state)
{
    struct world *w = *state;
    run(w, "drain_timeout_s = 600;", MODES("good 2"));
    proc_signal(w->p, SIGQUIT);
    expect_end(w, 3);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
}

static void
who_does_not_drain_in_time_is_killed(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    run(w, "drain_timeout_s = 300;", MODES("stubborn", "good"));
    proc_signal(w->p, SIGTERM);
    expect(w, "how=drained");
    assert_true(proc_is_running(w->p));
    advance(w, 310000);
    expect_end(w, 3);
}

static void
messages_left_in_hand_make_the_end_unclean(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("unclean"));
    proc_signal(w->p, SIGTERM);
    expect_end(w, 3);
    assert_int_equal(proc_count_lines(w->p, "how=unclean left_in_hand=3"), 1);
}

static void
a_refusal_at_the_start_ends_everything_with_2(void **state)
{
    struct world *w = *state;
    configure(w, "", MODES("good", "refuse"));
    start(w);
    expect_end(w, 2);
    assert_int_equal(proc_count_lines(w->p, "the plugin \\\"fake\\\" is no good"), 1);
    assert_int_equal(proc_count_lines(w->p, "fake 0: pid"), 2);
    assert_int_equal(proc_count_lines(w->p, "msg=ready"), 0);
}

static void
workers_drain_when_the_supervisor_is_killed(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("good 3"));
    proc_signal(w->p, SIGKILL);
    expect_end(w, -SIGKILL);
    assert_int_equal(proc_count_lines(w->p, "the supervisor is gone"), 3);
}

static void
an_admin_port_in_use_is_an_error_that_names_it(void **state)
{
    struct world *w = *state;
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
    start(w);
    expect_end(w, 1);
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
    struct world *w = *state;
    run(w, "", MODES("once"));
    expect(w, "worker crashed");
    expect(w, "run 2");
    expect_count(w, "worker ready", 2);
    assert_int_equal(proc_count_lines(w->p, "by=SIGSEGV"), 1);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static void
an_exit_nobody_announced_is_a_crash(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("exit0"));
    expect(w, "by=\"status 0\"");
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static void
a_recycle_restarts_and_is_no_crash(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    run(w, "", MODES("recycle"));
    advance(w, 60000);
    kill(pid_of_worker(w), SIGUSR1);
    expect(w, "how=recycled");
    expect(w, "run 2");
    assert_int_equal(proc_count_lines(w->p, "worker crashed"), 0);
}

static void
a_worker_that_closes_its_channel_is_replaced(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    configure(w, "", MODES("deaf"));
    start(w);
    expect(w, "msg=ready");
    advance(w, 6000);
    expect(w, "worker is killed");
    expect(w, "how=killed");
    advance(w, 6000);
    expect(w, "run 2");
}

static void
a_worker_that_is_never_ready_is_killed_named_and_started_again(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    configure(w, "", MODES("hang", "good"));
    start(w);
    expect(w, "mode hang run 1");
    expect(w, "worker ready");
    char *text;
    advance(w, 50000); /* of the 60 s that are the default */
    assert_int_equal(request(w, "GET", "/readyz", &text), 503);
    assert_non_null(strstr(text, "\nc0/0 starting\n"));
    assert_int_equal(proc_count_lines(w->p, "worker is not ready in time"), 0);
    advance(w, 11000);
    expect(w, "ERROR");
    expect(w, "worker is not ready in time and is killed: the plugin's open or thread_open has not returned");
    expect(w, "how=killed left_in_hand=0 retry_in_ms=");
    advance(w, 1000);
    expect(w, "mode hang run 2");
    assert_int_equal(proc_count_lines(w->p, "worker crashed"), 0);
    proc_signal(w->p, SIGTERM);
    expect(w, "how=drained");
    advance(w, 29000);
    expect_end(w, 0);
}

static void
term_while_a_plugin_opens_ends_at_the_drains_deadline(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    configure(w, "drain_timeout_s = 25;", MODES("hang"));
    start(w);
    expect(w, "mode hang run 1");
    proc_signal(w->p, SIGTERM);
    expect(w, "worker is asked to drain");
    assert_true(proc_is_running(w->p));
    advance(w, 29000); /* and the grace */
    expect(w, "worker is killed");
    expect_end(w, 0); /* it had received nothing */
}

static void
a_worker_that_cannot_start_says_why_and_is_tried_again(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    configure(w, "", MODES("cannot", "good"));
    start(w);
    expect(w, "msg=\"worker cannot start\"");
    expect(w, "error=\"plugin fake: open refused to start (it returned 7)\" retry_in_ms=");
    advance(w, 31000);
    expect(w, "mode cannot run 2");
    expect_count(w, "worker cannot start", 2);
    assert_int_equal(proc_count_lines(w->p, "worker crashed"), 0);
    assert_int_equal(request(w, "GET", "/readyz", NULL), 503);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static void
nonsense_on_the_channel_is_survived(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("nonsense"));
    assert_int_equal(proc_count_lines(w->p, "worker sends nonsense"), 1);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static bool
channel_is_full(void *context)
{
    struct world *w = context;
    proc_signal(w->p, SIGUSR1); /* a message each */
    return proc_count_lines(w->p, "worker cannot be told") > 0;
}

static void
a_worker_whose_channel_is_full_drains_all_the_same(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("late"));
    assert_true(proc_wait_until(channel_is_full, w, SOON_MS));
    proc_signal(w->p, SIGTERM);
    expect(w, "worker is asked to drain");
    kill(pid_of_worker(w), SIGUSR1);
    expect(w, "how=drained");
    expect_end(w, 0);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
}

static void
a_hundred_restarts_leak_nothing(void **state)
{
    struct world *w = *state;
    char run_name[40];
    int before = 0;
    use_test_clock(w);
    configure(w, "", MODES("segv", "good"));
    start(w);
    for (int i = 1; i <= 102; i++) {
        snprintf(run_name, sizeof run_name, "mode segv run %d ", i);
        expect_count(w, run_name, 1);
        expect_count(w, "worker crashed", (size_t)i);
        if (i == 2)
            before = count_descriptors(proc_pid(w->p));
        if (i < 102)
            advance(w, 31000);
    }
    assert_int_equal(count_descriptors(proc_pid(w->p)), before);
    assert_int_equal(count_zombies(proc_pid(w->p)), 0);
    char *text;
    assert_int_equal(request(w, "GET", "/metrics", &text), 200);
    assert_non_null(strstr(text, "\nfanout_worker_crashes_total{consumer=\"c0\",slot=\"0\"} 102\n"));
    assert_non_null(strstr(text, "\nfanout_received_total{consumer=\"c0\",slot=\"0\"} 1020\n"));
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

/* ---- the admin listener ---- */

static void
health_and_metrics_are_served(void **state)
{
    struct world *w = *state;
    char *text;
    run(w, "", MODES("good 2", "good"));
    assert_int_equal(request(w, "GET", "/livez", NULL), 200);
    assert_int_equal(request(w, "GET", "/readyz", &text), 200);
    assert_non_null(strstr(text, "\nc0/1 ready\n"));
    assert_int_equal(request(w, "HEAD", "/readyz", NULL), 200);
    assert_int_equal(request(w, "POST", "/livez", &text), 405);
    assert_non_null(strstr(text, "Allow: GET, HEAD"));
    assert_int_equal(request(w, "GET", "/elsewhere", NULL), 404);

    assert_int_equal(request(w, "GET", "/metrics", &text), 200);
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
    struct world *w = *state;
    char *text;
    configure(w, "", MODES("good", "silent"));
    start(w);
    expect(w, "worker ready");
    expect(w, "mode silent");
    assert_int_equal(request(w, "GET", "/livez", NULL), 200);
    assert_int_equal(request(w, "GET", "/readyz", &text), 503);
    assert_non_null(strstr(text, "\nc1/0 starting\n"));
    assert_int_equal(proc_count_lines(w->p, "msg=ready"), 0);
}

/* ---- --health ---- */

/* What fanoutd --health says of the one that runs: its exit status, its output in *ret_text until the
 * next call. */
static int
health(struct world *w, const char **ret_text)
{
    static char text[2000];
    const char *url = strstr(proc_stderr(w->p), "admin=http://");
    assert_non_null(url);
    url += strlen("admin=http://");
    const char *conf = tmp_write(w->dir, "health.conf",
                                 "admin = { listen = \"%.*s\"; };\n"
                                 "consumers = ( { name = \"c\"; queue = \"q\"; plugin = \"fake\"; } );\n",
                                 (int)strcspn(url, " \n"), url);
    struct proc *p = proc_spawn((const char *[]){fanoutd, "--health", "-c", conf, NULL}, NULL);
    int code = proc_wait_exit(p, SOON_MS);
    snprintf(text, sizeof text, "%s%s", proc_stdout(p), proc_stderr(p));
    *ret_text = text;
    proc_destroy(p);
    return code;
}

static void
health_is_good_while_every_worker_is_ready_and_its_engine_turns(void **state)
{
    struct world *w = *state;
    const char *text;
    run(w, "", MODES("good 2", "unhealthy"));
    assert_int_equal(health(w, &text), 0);
    assert_string_equal(text, "healthy\nc0/0 ready\nc0/1 ready\nc1/0 ready\n");
    assert_int_equal(request(w, "POST", "/healthz", NULL), 405);
}

static void
health_is_bad_when_an_engine_has_not_turned_for_ten_seconds(void **state)
{
    struct world *w = *state;
    const char *text;
    use_test_clock(w);
    run(w, "", MODES("good", "stalled"));
    assert_int_equal(health(w, &text), 0);
    advance(w, 11000);
    assert_int_equal(health(w, &text), 1);
    assert_int_equal(strncmp(text, "unhealthy\n", 10), 0);
    assert_non_null(strstr(text, "\nc1/0 ready, but its engine has not turned for 11."));
    assert_int_equal(request(w, "GET", "/readyz", NULL), 200);
}

static void
health_is_bad_while_a_worker_waits_for_its_next_start(void **state)
{
    struct world *w = *state;
    const char *text;
    use_test_clock(w);
    atomic_store(&w->clock->frozen_at_ms, clock_wall_ms()); /* so nothing that waits starts */
    configure(w, "", MODES("good", "once"));
    start(w);
    expect(w, "worker crashed"); /* it may be before the other one is ready: then fanoutd is not ready until later */
    expect_count(w, "worker ready", 2);
    assert_int_equal(health(w, &text), 1);
    assert_non_null(strstr(text, "\nc1/0 backoff\n"));
    advance(w, 60000);
    expect_count(w, "worker ready", 3);
    assert_int_equal(health(w, &text), 0);
}

static void
health_is_bad_while_it_stops(void **state)
{
    struct world *w = *state;
    const char *text;
    run(w, "drain_timeout_s = 600;", MODES("stubborn"));
    proc_signal(w->p, SIGTERM);
    expect(w, "drain within");
    assert_int_equal(health(w, &text), 1);
    assert_int_equal(strncmp(text, "unhealthy: stopping\n", 20), 0);
}

static void
health_is_bad_when_the_supervisor_does_not_answer_or_cannot_be_asked(void **state)
{
    struct world *w = *state;
    const char *text;
    run(w, "", MODES("good"));
    proc_signal(w->p, SIGSTOP);
    assert_int_equal(health(w, &text), 1);
    assert_non_null(strstr(text, "no answer within 5000 ms"));
    proc_signal(w->p, SIGKILL);
    expect_end(w, -SIGKILL);
    assert_int_equal(health(w, &text), 1);
    assert_non_null(strstr(text, "nobody listens there"));

    proc_destroy(w->p);
    const char *conf =
        tmp_write(w->dir, "none.conf", "consumers = ( { name = \"c\"; queue = \"q\"; plugin = \"fake\"; } );\n");
    w->p = proc_spawn((const char *[]){fanoutd, "--health", "-c", conf, NULL}, NULL);
    expect_end(w, 1);
    assert_int_equal(proc_count_lines(w->p, "none.conf sets no admin.listen"), 1);
    proc_destroy(w->p);
    w->p = proc_spawn((const char *[]){fanoutd, "--health", "-c", w->conf, NULL}, NULL);
    expect_end(w, 1);
    assert_int_equal(proc_count_lines(w->p, "port 0 is any port"), 1);
    proc_destroy(w->p);
    w->p = proc_spawn((const char *[]){fanoutd, "--health", "-c", "/nonexistent", NULL}, NULL);
    expect_end(w, 1);
}

/* ---- signals while it runs ---- */

static void
usr2_writes_the_state_and_asks_the_workers_for_theirs(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("good 2"));
    proc_signal(w->p, SIGUSR2);
    expect_count(w, "role=current", 2);
    expect_count(w, "received=10", 2);
    expect_count(w, "dump state", 2);
}

static void
usr1_reopens_the_log_here_and_in_the_workers(void **state)
{
    struct world *w = *state;
    char top[PATH_MAX + 40];
    const char *log = tmp_path(w->dir, "log"), *rotated = tmp_path(w->dir, "log.1");
    snprintf(top, sizeof top, "log = { file = \"%s\"; };", log);
    configure(w, top, MODES("good"));
    start(w);
    expect(w, "mode good");
    assert_int_equal(rename(log, rotated), 0);
    proc_signal(w->p, SIGUSR1);
    expect(w, "reopen logs");
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
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
    struct world *w = *state;
    run(w, "", MODES("good"));

    configure(w, "", MODES("unhealthy"));
    proc_signal(w->p, SIGHUP);
    expect(w, "mode unhealthy");
    expect_count(w, "worker ready", 2);
    assert_int_equal(request(w, "GET", "/readyz", NULL), 200);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);

    configure(w, "", MODES("good 2"));
    proc_signal(w->p, SIGHUP);
    expect(w, "successor takes over");
    expect(w, "new configuration in use");
    expect_count(w, "how=drained", 2); /* the first worker, and the one that never took over */
    char *text;
    assert_int_equal(request(w, "GET", "/readyz", &text), 200);
    assert_non_null(strstr(text, "c0/0 ready\nc0/1 ready\n"));
    /* What the predecessors counted goes on. */
    assert_int_equal(request(w, "GET", "/metrics", &text), 200);
    assert_non_null(strstr(text, "\nfanout_received_total{consumer=\"c0\",slot=\"0\"} 30\n"));
    assert_non_null(strstr(text, "\nfanout_generation 3\n"));
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static void
hup_keeps_what_runs_when_the_new_configuration_is_no_good(void **state)
{
    struct world *w = *state;
    run(w, "", MODES("good"));

    w->conf = tmp_write(w->dir, "fanoutd.conf", "consumers = ( { name = \"UPPER\"; threads = 0; } );\n");
    proc_signal(w->p, SIGHUP);
    expect(w, "configuration problem");
    expect(w, "threads");
    expect(w, "configuration not reloaded");

    configure(w, "", MODES("refuse"));
    proc_signal(w->p, SIGHUP);
    expect(w, "new configuration refused, the old worker goes on");
    expect(w, "in use, but for what was refused");
    assert_int_equal(proc_count_lines(w->p, "is no good"), 1);
    assert_int_equal(request(w, "GET", "/readyz", NULL), 200);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static void
hup_leaves_the_old_worker_at_work_while_the_new_ones_plugin_does_not_open(void **state)
{
    struct world *w = *state;
    use_test_clock(w);
    run(w, "", MODES("good"));
    configure(w, "", MODES("hang"));
    proc_signal(w->p, SIGHUP);
    expect(w, "mode hang run 1");
    advance(w, 61000);
    expect(w, "worker is not ready in time and is killed");
    advance(w, 1000);
    expect(w, "mode hang run 2");
    assert_int_equal(request(w, "GET", "/readyz", NULL), 200);
    assert_int_equal(proc_count_lines(w->p, "drain within"), 0);
    configure(w, "", MODES("good"));
    proc_signal(w->p, SIGHUP);
    expect(w, "successor takes over");
    advance(w, 30000); /* and the one that hangs is killed at its drain's deadline */
    expect_count(w, "how=killed", 2);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
}

static void
hup_takes_up_another_log_file_and_format(void **state)
{
    struct world *w = *state;
    char top[PATH_MAX + 80];
    const char *log = tmp_path(w->dir, "log");
    run(w, "", MODES("good"));
    snprintf(top, sizeof top, "log = { file = \"%s\"; format = \"json\"; };", log);
    configure(w, top, MODES("good"));
    proc_signal(w->p, SIGHUP);
    expect(w, "fake 0: left"); /* the predecessor: the new configuration is in use */

    snprintf(top, sizeof top, "log = { file = \"%s/no/such/folder\"; };", w->dir);
    configure(w, top, MODES("good"));
    proc_signal(w->p, SIGHUP);
    expect_count(w, "fake 0: left", 2);
    proc_signal(w->p, SIGTERM);
    expect_end(w, 0);
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
    struct world *w = *state;
    run(w, "", MODES("good 2", "good"));
    w->conf = tmp_write(w->dir, "fanoutd.conf",
                        "log = { level = \"warn\"; };\nadmin = { listen = \"127.0.0.1:1\"; };\n"
                        "consumers = ( { name = \"c0\"; queue = \"q\"; plugin = \"fake\"; } );\n");
    proc_signal(w->p, SIGHUP);
    expect_count(w, "option=admin.listen", 1);
    assert_int_equal(proc_count_lines(w->p, "that takes a restart"), 1);
    expect_count(w, "drain within", 3);
    char *text;
    do
        assert_int_equal(request(w, "GET", "/metrics", &text), 200);
    while (strstr(text, "consumer=\"c1\"") || strstr(text, "slot=\"1\""));
    assert_non_null(strstr(text, "\nfanout_ready 1\n"));
}

/* ---- the command line ---- */

static int
run_fanoutd(struct world *w, const char *const argv[])
{
    proc_destroy(w->p);
    w->p = proc_spawn(argv, NULL);
    return proc_wait_exit(w->p, 2 * SOON_MS);
}

#define FANOUTD(...) run_fanoutd(w, (const char *const[]){fanoutd, __VA_ARGS__, NULL})

static void
check_says_valid_or_every_problem(void **state)
{
    struct world *w = *state;
    char expected[PATH_MAX + 60];
    configure(w, "", MODES("good", "good"));
    assert_int_equal(FANOUTD("-c", w->conf, "--check"), 0);
    snprintf(expected, sizeof expected, "%s: configuration is valid\n", w->conf);
    assert_string_equal(proc_stdout(w->p), expected);

    w->conf = tmp_write(w->dir, "bad.conf",
                        "colour = 1;\nconsumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\";\n"
                        "threads = 0; processes = \"many\"; } );\n");
    assert_int_equal(FANOUTD("--check", "--config", w->conf), 2);
    assert_int_equal(proc_count_lines(w->p, "bad.conf:1: "), 1);
    assert_int_equal(proc_count_lines(w->p, "bad.conf:3: "), 2);
    assert_int_equal(proc_count_lines(w->p, "3 problems"), 1);
    assert_string_equal(proc_stdout(w->p), "");
    assert_int_equal(FANOUTD("-c", w->conf), 2);
    assert_int_equal(proc_count_lines(w->p, "3 problems"), 1);
}

static void
check_asks_each_consumers_worker_about_its_plugin(void **state)
{
    struct world *w = *state;
    configure(w, "", MODES("refuse", "good", "segv", "exit0"));
    assert_int_equal(FANOUTD("-c", w->conf, "--check"), 2);
    assert_int_equal(proc_count_lines(w->p, "fake: the plugin is no good"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c0: its worker would not start"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c1:"), 0);
    assert_int_equal(proc_count_lines(w->p, "consumer c2: loading its plugin ended in SIG"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c3: the check failed with status 77"), 1);
    assert_int_equal(proc_count_lines(w->p, "3 of 4 consumers would not start"), 1);
    assert_int_equal(proc_count_lines(w->p, "descriptors 0 1 2 5, no others"), 4);
}

static void
a_check_ends_with_whoever_asked_for_it(void **state)
{
    struct world *w = *state;
    configure(w, "", MODES("hang"));
    w->p = proc_spawn((const char *[]){fanoutd, "-c", w->conf, "--check", NULL}, NULL);
    expect(w, "blocked 0, ignored, no others");
    proc_signal(w->p, SIGTERM);
    expect_end(w, -SIGTERM); /* its worker's output has ended, too */
}

static void
print_config_prints_what_it_would_use_in_its_own_syntax(void **state)
{
    struct world *w = *state;
    configure(w, "drain_timeout_s = 11;", MODES("good"));
    assert_int_equal(FANOUTD("-c", w->conf, "--print-config"), 0);
    const char *printed = tmp_write(w->dir, "printed.conf", "%s", proc_stdout(w->p));
    assert_int_equal(proc_count_lines(w->p, "drain_timeout_s = 11"), 1);
    assert_int_equal(FANOUTD("-c", printed, "--check"), 0);
}

static void
wrong_arguments_are_refused_with_a_way_out(void **state)
{
    struct world *w = *state;
    assert_int_equal(FANOUTD("--version"), 0);
    assert_string_equal(proc_stdout(w->p), "fanoutd " FANOUT_VERSION "\n");
    assert_int_equal(FANOUTD("--help"), 0);
    assert_int_equal(proc_count_lines(w->p, "--print-config"), 2);
    assert_int_equal(run_fanoutd(w, (const char *const[]){fanoutd, NULL}), 2);
    assert_int_equal(proc_count_lines(w->p, "fanoutd -c FILE"), 1);
    assert_int_equal(FANOUTD("some.conf"), 2);
    assert_int_equal(proc_count_lines(w->p, "what is 'some.conf'?"), 1);
    assert_int_equal(FANOUTD("--colour"), 2);
    assert_int_equal(FANOUTD("-c", tmp_path(w->dir, "missing.conf")), 2);
    assert_int_equal(proc_count_lines(w->p, "missing.conf: No such file"), 1);
}

static void
a_missing_worker_program_is_named(void **state)
{
    struct world *w = *state;
    configure(w, "", MODES("good"));
    mkdir(tmp_path(w->dir, "bin"), 0755);
    const char *alone = tmp_path(w->dir, "bin/fanoutd");
    copy_program(fanoutd, alone);
    assert_int_equal(run_fanoutd(w, (const char *const[]){alone, "-c", w->conf, NULL}), 1);
    assert_int_equal(proc_count_lines(w->p, tmp_path(w->dir, "libexec/fanoutd/fanout-worker")), 1);
}

static void
it_links_neither_curl_nor_openssl_nor_sqlite(void **state)
{
    struct world *w = *state;
    w->p = proc_spawn((const char *[]){"readelf", "-d", fanoutd, NULL}, NULL);
    if (proc_wait_exit(w->p, SOON_MS) != 0)
        skip_because("there is no readelf");
    assert_int_equal(proc_count_lines(w->p, "NEEDED"), proc_count_lines(w->p, "Shared library"));
    assert_true(proc_count_lines(w->p, "NEEDED") >= 2);
    assert_int_equal(proc_count_lines(w->p, "libcurl"), 0);
    assert_int_equal(proc_count_lines(w->p, "libcrypto"), 0);
    assert_int_equal(proc_count_lines(w->p, "libssl"), 0);
    assert_int_equal(proc_count_lines(w->p, "libsqlite"), 0);
}

int
main(int argc, char **argv)
{
    if (fake_worker_is_meant(argv))
        return fake_worker_main(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)
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
        TEST(health_and_metrics_are_served),
        TEST(a_consumer_without_a_ready_worker_is_not_ready),
        TEST(health_is_good_while_every_worker_is_ready_and_its_engine_turns),
        TEST(health_is_bad_when_an_engine_has_not_turned_for_ten_seconds),
        TEST(health_is_bad_while_a_worker_waits_for_its_next_start),
        TEST(health_is_bad_while_it_stops),
        TEST(health_is_bad_when_the_supervisor_does_not_answer_or_cannot_be_asked),
        TEST(usr2_writes_the_state_and_asks_the_workers_for_theirs),
        TEST(usr1_reopens_the_log_here_and_in_the_workers),
        TEST(hup_replaces_a_worker_once_its_successor_has_reached_its_queue),
        TEST(hup_keeps_what_runs_when_the_new_configuration_is_no_good),
        TEST(hup_leaves_the_old_worker_at_work_while_the_new_ones_plugin_does_not_open),
        TEST(hup_takes_up_another_log_file_and_format),
        TEST(hup_drains_what_is_no_longer_configured_and_names_what_takes_a_restart),
        TEST(check_says_valid_or_every_problem),
        TEST(check_asks_each_consumers_worker_about_its_plugin),
        TEST(a_check_ends_with_whoever_asked_for_it),
        TEST(print_config_prints_what_it_would_use_in_its_own_syntax),
        TEST(wrong_arguments_are_refused_with_a_way_out),
        TEST(a_missing_worker_program_is_named),
        TEST(it_links_neither_curl_nor_openssl_nor_sqlite),
    };
    return cmocka_run_group_tests_name("supervisor", tests, build_tree, NULL);
}
