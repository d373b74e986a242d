#include "lib/scripted.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/asleep.h"
#include "lib/proc.h"
#include "lib/tmp.h"

#define RECORDS      1000
#define THREADS      4
#define DRAIN_MS     20000
#define POLLS_MOST   10
#define POLL_LOOK_MS 2000

/* Each process counts its clock from its own start: they are that much apart at the most. */
#define SKEW_MS 200

void
scripted_make(struct scripted *s, const char *attributes)
{
    char all[600];
    *s = (struct scripted){.dir = tmp_new()};
    if (local_fixture.clock) /* runs: a worker lingers for milliseconds */
        atomic_store(&local_fixture.clock->frozen_at_ms, 0);
    s->worker.channel_fd = -1;
    s->record = tmp_path(s->dir, "record");
    s->log = tmp_path(s->dir, "log");
    const char *gate = tmp_path(s->dir, "gate");
    assert_int_equal(mkfifo(gate, 0600), 0);
    s->gate_fd = open(gate, O_RDWR | O_CLOEXEC);
    assert_true(s->gate_fd >= 0);
    local_queue_make(&s->dead, strstr(attributes, "\"FifoQueue\"") ? "{\"FifoQueue\": \"true\"}" : "{}");
    snprintf(all, sizeof all,
             "{\"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\": \\\"arn:aws:sqs:us-east-1:000000000000:%s\\\", "
             "\\\"maxReceiveCount\\\": 100}\"%s}",
             strrchr(s->dead.url, '/') + 1, attributes);
    local_queue_make(&s->queue, all);
}

void
scripted_drop(struct scripted *s)
{
    if (s->worker.pid > 0) {
        kill(s->worker.pid, SIGKILL);
        lone_worker_end(&s->worker, SCRIPTED_SOON_MS);
    }
    if (s->worker.ledger)
        lone_worker_clean_up(&s->worker);
    close(s->gate_fd);
    local_queue_drop(&s->queue);
    local_queue_drop(&s->dead);
    tmp_remove(s->dir);
}

void
scripted_send(struct scripted *s, const char *const *bodies)
{
    struct buf entries = BUF_INIT;
    size_t n = 0;
    for (; bodies[n]; n++)
        buf_add_format(&entries, "%s{\"Id\": \"%zu\", \"MessageBody\": \"%s\"}", n > 0 ? ", " : "", n, bodies[n]);
    assert_int_equal(aws_call_sqs(&s->queue.call, "SendMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}",
                                  s->queue.url, entries.data),
                     200);
    assert_int_equal(aws_call_count(&s->queue.call, "Successful"), n);
    buf_clean_up(&entries);
}

void
scripted_start(struct scripted *s, const char *plugin, const char *settings)
{
    struct ipc_message m;
    struct buf conf = BUF_INIT;
    char path[64];
    snprintf(path, sizeof path, "tests/plugins/%s.so", plugin);
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "test", 1);
    buf_add_format(&conf,
                   "log = { level = \"info\"; file = \"%s\"; };\n"
                   "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
                   "consumers = ( { name = \"orders\"; queue = \"%s\"; plugin = \"%s\";\n"
                   "  options = { record = \"%s\"; gate = \"%s\"; };\n"
                   "  %s %s %s } );\n",
                   s->log, local_fixture.url, s->queue.url, proc_path(path), s->record, tmp_path(s->dir, "gate"),
                   strstr(settings, "threads") ? "" : "threads = 1;",
                   strstr(settings, "wait_time_s") ? "" : "wait_time_s = 1;", settings);
    assert_false(buf_failed(&conf));
    lone_worker_start(&s->worker, conf.data, THREADS, RECORDS, s->log, NULL);
    buf_clean_up(&conf);
    assert_true(lone_worker_wait(&s->worker, IPC_READY, &m, SCRIPTED_SOON_MS));
}

void
scripted_open_gate(struct scripted *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(write(s->gate_fd, "", 1), 1);
}

/* ---- the end ---- */

void
scripted_begin_drain(struct scripted *s, int within_ms)
{
    struct err e;
    assert_int_equal(ipc_send(s->worker.channel_fd, IPC_DRAIN, within_ms, NULL, &e), 0);
}

static int64_t
end_with(struct scripted *s, const struct ipc_message *drained)
{
    assert_int_equal(lone_worker_end(&s->worker, SCRIPTED_SOON_MS), drained->number > 0 ? 3 : 0);
    return drained->number;
}

int64_t
scripted_end_drain(struct scripted *s, int within_ms)
{
    struct ipc_message m;
    assert_true(lone_worker_wait(&s->worker, IPC_DRAINED, &m, within_ms + 5000));
    return end_with(s, &m);
}

int64_t
scripted_drain(struct scripted *s)
{
    struct ipc_message m;
    bool drained = false;
    scripted_begin_drain(s, DRAIN_MS);
    scripted_await_logged(s, "msg=draining", 1); /* it begins no poll any more */
    for (int i = 0; i < POLLS_MOST && !drained; i++) {
        scripted_pass(s, 1000, 1000); /* the long poll's end; again if the server had not heard of it */
        drained = lone_worker_wait(&s->worker, IPC_DRAINED, &m, POLL_LOOK_MS);
    }
    assert_true(drained);
    return end_with(s, &m);
}

/* ---- what was done ---- */

static size_t
lines_with(const char *path, const char *text)
{
    size_t n = 0;
    char *all = tmp_read(path, NULL), *rest = all;
    for (const char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        n += strstr(line, text) != NULL;
    free(all);
    return n;
}

size_t
scripted_recorded(struct scripted *s, const char *text)
{
    return lines_with(s->record, text);
}

size_t
scripted_logged(struct scripted *s, const char *text)
{
    return lines_with(s->log, text);
}

struct expected_lines {
    const char *path, *text;
    size_t n;
};

static bool
has_lines(void *context)
{
    const struct expected_lines *e = context;
    return lines_with(e->path, e->text) >= e->n;
}

static void
await_lines(const char *path, const char *text, size_t n)
{
    struct expected_lines e = {.path = path, .text = text, .n = n};
    if (!proc_wait_until(has_lines, &e, SCRIPTED_SOON_MS)) {
        char *all = tmp_read(path, NULL);
        fail_msg("%zu of %zu lines \"%s\" in:\n%s", lines_with(path, text), n, text, all ? all : "");
    }
}

void
scripted_await_recorded(struct scripted *s, const char *text, size_t n)
{
    await_lines(s->record, text, n);
}

void
scripted_await_logged(struct scripted *s, const char *text, size_t n)
{
    await_lines(s->log, text, n);
}

struct expected_count {
    const _Atomic uint64_t *counter;
    uint64_t n;
};

static bool
has_counted(void *context)
{
    const struct expected_count *e = context;
    return atomic_load_explicit(e->counter, memory_order_relaxed) >= e->n;
}

void
scripted_await_count(struct scripted *s, enum metrics_id id, _Atomic uint64_t *counter, uint64_t n)
{
    struct expected_count e = {.counter = counter, .n = n};
    if (!proc_wait_until(has_counted, &e, SCRIPTED_SOON_MS)) {
        char *log = tmp_read(s->log, NULL);
        fail_msg("%s is %llu, not %llu; the log:\n%s", metrics_table[id].name, (unsigned long long)atomic_load(counter),
                 (unsigned long long)n, log ? log : "");
    }
}

/* The worker's engine has begun a turn at this time or later, or the worker is gone. */
struct expected_beat {
    const struct scripted *s;
    int64_t at_ms;
};

static bool
has_turned(void *context)
{
    const struct expected_beat *e = context;
    siginfo_t info = {.si_pid = 0};
    return METRICS_GET(e->s->worker.metrics, engine_beat_ms) >= e->at_ms ||
           (waitid(P_PID, (id_t)e->s->worker.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0);
}

/* Nobody has anything to do before the clock moves again: what was due has been asked for, answered and read. Each is
 * looked at twice, because one may have given the other something to do in between. */
static bool
are_asleep(void *context)
{
    const struct scripted *s = context;
    pid_t worker = s->worker.pid, server = proc_pid(local_fixture.process);
    return (worker <= 0 || asleep(worker)) && asleep(server) && (worker <= 0 || asleep(worker)) && asleep(server);
}

void
scripted_pass(struct scripted *s, int64_t ms, int64_t step_ms)
{
    for (int64_t passed_ms = 0; passed_ms < ms; passed_ms += step_ms) {
        local_server_pass(&local_fixture, step_ms < ms - passed_ms ? step_ms : ms - passed_ms);
        struct expected_beat e = {.s = s, .at_ms = clock_monotonic_ms() - SKEW_MS};
        local_server_waiting(&local_fixture, s->queue.url); /* answered once the server has seen the time */
        if (s->worker.pid > 0)
            assert_true(proc_wait_until(has_turned, &e, SCRIPTED_SOON_MS));
        assert_true(proc_wait_until(are_asleep, s, SCRIPTED_SOON_MS));
    }
}

bool
scripted_handle(struct scripted *s, const char *body, char *ret_handle, size_t size)
{
    struct ledger_message m;
    struct err e;
    for (uint32_t i = 0; i < RECORDS; i++) {
        if (ledger_get(s->worker.ledger, i, &m, &e) != 0 || !slice_equals_string(m.body, body))
            continue;
        snprintf(ret_handle, size, "%.*s", SLICE_ARG(m.receipt_handle));
        return true;
    }
    return false;
}

struct expected_queue {
    struct local_queue *q;
    long visible, in_flight;
    long is_visible, is_in_flight;
};

static bool
has_messages(void *context)
{
    struct expected_queue *e = context;
    e->is_visible = local_queue_attribute(e->q, "ApproximateNumberOfMessages");
    e->is_in_flight = local_queue_attribute(e->q, "ApproximateNumberOfMessagesNotVisible");
    return e->is_visible == e->visible && e->is_in_flight == e->in_flight;
}

void
scripted_await_queue(struct local_queue *q, long visible, long in_flight)
{
    struct expected_queue e = {.q = q, .visible = visible, .in_flight = in_flight};
    if (!proc_wait_until(has_messages, &e, SCRIPTED_SOON_MS))
        fail_msg("%ld messages visible and %ld in flight; %ld and %ld expected", e.is_visible, e.is_in_flight, visible,
                 in_flight);
}
