/* The real fanout-worker, on a channel whose other end is the test's, against the real fanout-local: what it says, how
 * it ends, and what becomes of the messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "aws/sqs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "lib/admin.h"
#include "lib/aws_call.h"
#include "lib/lone_worker.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define SOON_MS 30000

struct world {
    const char *dir;
    struct system *system;
    struct system_client sqs;
    struct clock_page *clock; /* of server and worker: runs, and is moved; NULL: the machine's */
    struct lone_worker worker;
    char url[300], dlq_url[300];
    const char *record; /* what the flaky plugin did: ID VERDICT RECEIVE_COUNT */

    bool answered;
    char *text; /* where an answer's URL goes */
    struct sqs_queue counts;
    size_t received;
    char dead_body[100], dead_attributes[1000];
    size_t deleted_target;
};

/* ---- the queue ---- */

static void
got_url(void *context, const struct sqs_queue *q)
{
    struct world *w = context;
    assert_null(q->error);
    snprintf(w->text, 300, "%.*s", SLICE_ARG(q->url));
    w->answered = true;
}

static void
find_queue(struct world *w, const char *name, char *out)
{
    struct err e;
    w->text = out;
    w->answered = false;
    assert_int_equal(sqs_get_queue_url(w->sqs.aws, name, got_url, w, NULL, &e), 0);
    system_await(&w->sqs, &w->answered);
}

static void
was_sent(void *context, const struct sqs_batch_result *r)
{
    struct world *w = context;
    assert_null(r->error);
    for (size_t i = 0; i < r->n; i++)
        assert_true(r->results[i].ok);
    w->answered = true;
}

static void
send_messages(struct world *w, size_t n, const char *body)
{
    const struct sqs_attribute attribute = {.name = SLICE("colour"), .type = SLICE("String"), .value = SLICE("blue")};
    struct sqs_send entries[SQS_BATCH_MAX];
    struct err e;
    for (size_t i = 0; i < SQS_BATCH_MAX; i++)
        entries[i] = (struct sqs_send){
            .body = slice_of_string(body), .attributes = &attribute, .n_attributes = 1, .delay_s = -1};
    while (n > 0) {
        size_t now = n < SQS_BATCH_MAX ? n : SQS_BATCH_MAX;
        w->answered = false;
        assert_int_equal(sqs_send_batch(w->sqs.aws, w->url, entries, now, was_sent, w, NULL, &e), 0);
        system_await(&w->sqs, &w->answered);
        n -= now;
    }
}

static void
got_counts(void *context, const struct sqs_queue *q)
{
    struct world *w = context;
    assert_null(q->error);
    w->counts = *q;
    w->answered = true;
}

static void
count_queue(struct world *w, const char *url)
{
    struct err e;
    w->answered = false;
    assert_int_equal(sqs_get_queue_attributes(w->sqs.aws, url, got_counts, w, NULL, &e), 0);
    system_await(&w->sqs, &w->answered);
}

static void
assert_queue(struct world *w, const char *url, int64_t messages, int64_t in_flight)
{
    count_queue(w, url);
    if (w->counts.messages != messages || w->counts.in_flight != in_flight)
        fail_msg("%s: %lld messages and %lld in flight; %lld and %lld expected", url, (long long)w->counts.messages,
                 (long long)w->counts.in_flight, (long long)messages, (long long)in_flight);
}

/* ---- the worker ---- */

static int
make(void **state, bool with_clock)
{
    struct world *w = calloc(1, sizeof *w);
    w->dir = tmp_new();
    if (with_clock) {
        const char *page = tmp_path(w->dir, "clock");
        assert_int_equal(clock_page_create(page, &w->clock, NULL), 0);
        setenv("FANOUT_TEST_CLOCK", page, 1);
    }
    w->system = system_start(w->dir);
    for (size_t i = 0; w->system->env[i]; i++)
        putenv((char *)w->system->env[i]);
    w->sqs = system_connect(w->system, AWS_SQS);
    find_queue(w, SYSTEM_QUEUE, w->url);
    find_queue(w, SYSTEM_DLQ, w->dlq_url);
    w->record = tmp_path(w->dir, "record");
    *state = w;
    return 0;
}

static int
make_world(void **state)
{
    return make(state, false);
}

static int
make_world_with_clock(void **state)
{
    return make(state, true);
}

static void
pass(struct world *w, int64_t ms)
{
    if (w->clock)
        atomic_fetch_add(&w->clock->offset_ms, ms);
}

static void
forget_worker(struct world *w)
{
    lone_worker_clean_up(&w->worker);
    w->worker = (struct lone_worker){.channel_fd = -1};
}

static int
end_world(void **state)
{
    struct world *w = *state;
    if (w->worker.pid > 0) {
        kill(w->worker.pid, SIGKILL);
        lone_worker_end(&w->worker, SOON_MS);
    }
    if (w->worker.ledger)
        forget_worker(w);
    system_disconnect(&w->sqs);
    system_stop(w->system);
    unsetenv("FANOUT_TEST_CLOCK");
    tmp_remove(w->dir);
    free(w);
    return 0;
}

/* settings and options in the syntax of the configuration. */
static void
start_worker(struct world *w, const char *plugin, const char *settings, const char *options, const char *endpoint)
{
    struct buf conf = BUF_INIT;
    buf_add_format(&conf,
                   "log = { level = \"info\"; file = \"%s\"; };\n"
                   "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
                   "drain_timeout_s = 20;\n"
                   "consumers = ( { name = \"orders\"; queue = \"%s\"; plugin = \"%s\"; wait_time_s = 1; threads = 4;\n"
                   "  %s options = { %s }; } );\n",
                   tmp_path(w->dir, "log"), endpoint, SYSTEM_QUEUE, plugin, settings, options);
    assert_false(buf_failed(&conf));
    lone_worker_start(&w->worker, conf.data, 4, 1000, NULL, NULL);
    buf_clean_up(&conf);
}

static void
start_flaky(struct world *w, const char *settings, const char *options)
{
    struct buf all = BUF_INIT;
    struct ipc_message m;
    buf_add_format(&all, "record = \"%s\"; %s", w->record, options);
    start_worker(w, "flaky", settings, all.data, w->system->url);
    buf_clean_up(&all);
    assert_true(lone_worker_wait(&w->worker, IPC_READY, &m, SOON_MS));
    assert_string_equal(m.text, "flaky 1");
}

static long
counted(_Atomic uint64_t *counter)
{
    return (long)atomic_load(counter);
}

static bool
enough_deleted(void *context)
{
    struct world *w = context;
    return counted(&w->worker.metrics->deleted) >= (long)w->deleted_target;
}

static void
wait_deleted(struct world *w, size_t n)
{
    w->deleted_target = n;
    if (!proc_wait_until(enough_deleted, w, SOON_MS))
        fail_msg("%ld of %zu deleted", counted(&w->worker.metrics->deleted), n);
}

static bool
has_exited(void *context)
{
    struct world *w = context;
    siginfo_t info = {.si_pid = 0};
    assert_int_equal(waitid(P_PID, (id_t)w->worker.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid != 0;
}

/* Where there is a clock: a worker that drains ends with the time that its long poll has, or one that it had begun
 * before it heard of the drain. */
static void
end_polls(struct world *w)
{
    for (int i = 0; w->clock && i < 5 && !proc_wait_until(has_exited, w, 100); i++)
        pass(w, 1000);
}

/* Ends the worker; its exit code. */
static int
drain(struct world *w, int within_ms)
{
    struct err e;
    assert_int_equal(ipc_send(w->worker.channel_fd, IPC_DRAIN, within_ms, NULL, &e), 0);
    struct ipc_message m;
    end_polls(w);
    assert_true(lone_worker_wait(&w->worker, IPC_DRAINED, &m, within_ms + 5000));
    int code = lone_worker_end(&w->worker, 5000);
    assert_int_equal(m.number > 0 ? 3 : 0, code);
    return code;
}

/* Lines of the record with this text. */
static size_t
recorded(struct world *w, const char *text)
{
    size_t n = 0;
    char *record = tmp_read(w->record, NULL);
    for (const char *at = record ? strstr(record, text) : NULL; at; at = strstr(at + 1, text))
        n++;
    free(record);
    return n;
}

static int64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* ---- messages ---- */

static void
everything_put_is_handled_once(void **state)
{
    struct world *w = *state;
    start_flaky(w, "", "");
    send_messages(w, 1000, "{\"hello\":\"world\"}");
    wait_deleted(w, 1000);
    assert_int_equal(drain(w, 10000), 0);
    assert_int_equal(recorded(w, " DONE 1\n"), 1000);
    assert_int_equal(recorded(w, "\n"), 1000);
    assert_int_equal(counted(&w->worker.metrics->received), 1000);
    assert_int_equal(counted(&w->worker.metrics->handled), 1000);
    assert_int_equal(atomic_load(&w->worker.metrics->in_flight), 0);
    assert_queue(w, w->url, 0, 0);
    forget_worker(w);
}

static void
a_retried_message_comes_back_after_its_backoff(void **state)
{
    struct world *w = *state;
    start_flaky(w, "retry = { base_ms = 2000; cap_ms = 2000; };", "fail_percent = 100; fail_first_receives = 1;");
    int64_t start_ms = now_ms();
    send_messages(w, 20, "{}");
    wait_deleted(w, 20);
    assert_true(now_ms() - start_ms >= 900);
    assert_int_equal(recorded(w, " RETRY 1\n"), 20);
    assert_int_equal(recorded(w, " DONE 2\n"), 20);
    assert_int_equal(counted(&w->worker.metrics->retried), 20);
    assert_int_equal(drain(w, 10000), 0);
    forget_worker(w);
}

static void
got_dead_letter(void *context, const struct sqs_received *r)
{
    struct world *w = context;
    struct buf text = BUF_INIT;
    assert_null(r->error);
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct sqs_message *m = &r->messages[i];
        snprintf(w->dead_body, sizeof w->dead_body, "%.*s", SLICE_ARG(m->body));
        for (size_t k = 0; k < m->n_attributes; k++)
            buf_add_format(&text, "%.*s=%.*s\n", SLICE_ARG(m->attributes[k].name), SLICE_ARG(m->attributes[k].value));
    }
    snprintf(w->dead_attributes, sizeof w->dead_attributes, "%s", text.data ? text.data : "");
    buf_clean_up(&text);
    w->received = r->n_messages;
    w->answered = true;
}

static void
a_rejected_message_is_moved_with_its_attributes_and_the_reason(void **state)
{
    struct world *w = *state;
    const struct sqs_receive_options options = {
        .queue_url = w->dlq_url, .max_messages = 10, .wait_time_s = 5, .visibility_timeout_s = -1};
    struct err e;
    start_flaky(w, "", "reject_pattern = \"bad\";");
    send_messages(w, 1, "something bad");
    wait_deleted(w, 1);
    w->answered = false;
    assert_int_equal(sqs_receive(w->sqs.aws, &options, got_dead_letter, w, NULL, &e), 0);
    system_await(&w->sqs, &w->answered);
    assert_int_equal(w->received, 1);
    assert_string_equal(w->dead_body, "something bad");
    assert_non_null(strstr(w->dead_attributes, "colour=blue\n"));
    assert_non_null(strstr(w->dead_attributes, "fanout.reason=the body has reject_pattern\n"));
    assert_non_null(strstr(w->dead_attributes, "fanout.receive-count=1\n"));
    assert_non_null(strstr(w->dead_attributes, "fanout.consumer=orders\n"));
    assert_non_null(strstr(w->dead_attributes, "fanout.handler=flaky 1\n"));
    char *record = tmp_read(w->record, NULL);
    char id[200];
    snprintf(id, sizeof id, "fanout.message-id=%.*s\n", (int)strcspn(record, " "), record);
    free(record);
    assert_non_null(strstr(w->dead_attributes, id));
    assert_int_equal(drain(w, 10000), 0);
    assert_queue(w, w->url, 0, 0);
    forget_worker(w);
}

static void
a_slow_handler_keeps_its_message_past_the_visibility_timeout(void **state)
{
    struct world *w = *state;
    start_flaky(w, "visibility_timeout_s = 1; batch = { size = 1; };", "delay_ms = 3500;");
    send_messages(w, 3, "{}");
    wait_deleted(w, 3);
    assert_int_equal(recorded(w, "\n"), 3);
    assert_true(counted(&w->worker.metrics->extended) >= 9);
    assert_int_equal(counted(&w->worker.metrics->lost), 0);
    assert_int_equal(drain(w, 10000), 0);
    forget_worker(w);
}

/* ---- the end ---- */

static void
a_drain_finishes_what_was_begun_and_gives_the_rest_back(void **state)
{
    struct world *w = *state;
    start_flaky(w, "batch = { size = 5; };", "delay_ms = 200;");
    send_messages(w, 300, "{}");
    wait_deleted(w, 10);
    int64_t start_ms = now_ms();
    assert_int_equal(drain(w, 20000), 0);
    assert_true(now_ms() - start_ms < 10000);
    count_queue(w, w->url);
    assert_in_range(w->counts.in_flight, 0, 4); /* what flaky broke off, one a thread, waits for its backoff */
    assert_int_equal(w->counts.messages + w->counts.in_flight + (int64_t)recorded(w, " DONE "), 300);
    assert_true(counted(&w->worker.metrics->given_back) > 0);
    forget_worker(w);
}

static void
the_end_of_the_channel_and_sigterm_drain_too(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++) {
        struct ipc_message m;
        start_flaky(w, "", "");
        send_messages(w, 50, "{}");
        wait_deleted(w, 50);
        if (i == 0) {
            close(w->worker.channel_fd);
            w->worker.channel_fd = -1;
        } else if (i == 1) { /* of what it hears: it is still listened to */
            assert_int_equal(shutdown(w->worker.channel_fd, SHUT_WR), 0);
            end_polls(w);
            assert_true(lone_worker_wait(&w->worker, IPC_DRAINED, &m, SOON_MS));
        } else {
            kill(w->worker.pid, SIGTERM);
        }
        end_polls(w);
        assert_int_equal(lone_worker_end(&w->worker, 15000), 0);
        assert_queue(w, w->url, 0, 0);
        forget_worker(w);
    }
}

static bool
is_something_retried(void *context)
{
    struct world *w = context;
    return counted(&w->worker.metrics->retried) > 0;
}

static bool
is_handling(void *context)
{
    return lone_worker_is_handling(&((struct world *)context)->worker);
}

static bool
is_stopping(void *context)
{
    struct world *w = context;
    char *log = tmp_read(tmp_path(w->dir, "log"), NULL);
    bool it_is = log && strstr(log, "msg=stopping");
    free(log);
    return it_is;
}

static void
a_handler_that_does_not_return_ends_at_the_deadline_with_3(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    start_worker(w, proc_path("tests/plugins/stuck.so"), "", "delay_ms = 600000;", w->system->url);
    assert_true(lone_worker_wait(&w->worker, IPC_READY, &m, SOON_MS));
    send_messages(w, 1, "{}");
    assert_true(proc_wait_until(is_handling, w, SOON_MS)); /* or it is given back */
    struct err e;
    assert_int_equal(ipc_send(w->worker.channel_fd, IPC_DRAIN, 12000, NULL, &e), 0);
    assert_true(proc_wait_until(is_stopping, w, SOON_MS));
    pass(w, 6000);
    assert_false(lone_worker_wait(&w->worker, IPC_DRAINED, &m, 100));
    pass(w, 6000);
    assert_true(lone_worker_wait(&w->worker, IPC_DRAINED, &m, SOON_MS));
    assert_int_equal(m.number, 1);
    pass(w, 4000); /* what its threads are given to end */
    assert_int_equal(lone_worker_end(&w->worker, 5000), 3);
    assert_queue(w, w->url, 0, 1);
    forget_worker(w);
}

/* As on a host that bounds the files of a service: the kernel's signal for that must not kill the worker. */
static void
a_file_that_may_not_grow_is_a_reason_to_retry(void **state)
{
    struct world *w = *state;
    const struct rlimit small = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY}, large = {RLIM_INFINITY, RLIM_INFINITY};
    struct ipc_message m;
    char options[400];
    snprintf(options, sizeof options, "path = \"%s\";", tmp_path(w->dir, "out"));
    start_worker(w, "jsonl", "retry = { base_ms = 1; cap_ms = 1; };", options, w->system->url);
    assert_true(lone_worker_wait(&w->worker, IPC_READY, &m, SOON_MS));
    assert_int_equal(prlimit(w->worker.pid, RLIMIT_FSIZE, &small, NULL), 0);
    send_messages(w, 1, "{\"longer\":\"than ten bytes\"}");
    assert_true(proc_wait_until(is_something_retried, w, SOON_MS));
    assert_int_equal(prlimit(w->worker.pid, RLIMIT_FSIZE, &large, NULL), 0);
    pass(w, 1000);
    wait_deleted(w, 1);
    assert_int_equal(drain(w, 10000), 0);
    char *out = tmp_read(tmp_path(w->dir, "out"), NULL);
    assert_string_equal(out, "{\"longer\":\"than ten bytes\"}\n");
    free(out);
    forget_worker(w);
}

static void
kill_9_loses_nothing(void **state)
{
    struct world *w = *state;
    send_messages(w, 500, "{}");
    for (int i = 0; i < 5; i++) {
        start_flaky(w, "visibility_timeout_s = 2;", "delay_ms = 10;");
        size_t deleted = (size_t)counted(&w->worker.metrics->deleted);
        wait_deleted(w, deleted + 30);
        kill(w->worker.pid, SIGKILL);
        assert_int_equal(lone_worker_end(&w->worker, 5000), -SIGKILL);
        forget_worker(w);
    }
    pass(w, 3000); /* leases of the dead */
    start_flaky(w, "visibility_timeout_s = 2;", "");
    do
        count_queue(w, w->url);
    while (w->counts.messages + w->counts.in_flight > 0);
    assert_int_equal(drain(w, 10000), 0);
    assert_queue(w, w->url, 0, 0);
    assert_queue(w, w->dlq_url, 0, 0);
    assert_true(recorded(w, "\n") >= 500);
    forget_worker(w);
}

/* ---- health and refusals ---- */

static void
an_endpoint_that_cannot_be_reached_is_a_state_of_health(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    start_worker(w, "flaky", "", "", "http://127.0.0.1:1");
    assert_true(lone_worker_wait(&w->worker, IPC_READY, &m, SOON_MS));
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_QUEUE);
    int64_t start_ms = now_ms();
    assert_int_equal(drain(w, 20000), 0);
    assert_true(now_ms() - start_ms < 5000);
    forget_worker(w);
}

static void
refused_credentials_are_a_state_of_health(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    start_worker(w, "flaky", "", "", w->system->url);
    setenv("AWS_SECRET_ACCESS_KEY", "test", 1);
    assert_true(lone_worker_wait(&w->worker, IPC_READY, &m, SOON_MS));
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_CREDENTIALS);
    assert_non_null(strstr(m.text, "SignatureDoesNotMatch"));
    assert_int_equal(drain(w, 20000), 0);
    forget_worker(w);
}

static void
health_is_told_when_it_changes(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    start_flaky(w, "", "");
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_OK);
    system_kill_local(w->system);
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_QUEUE);
    system_restart_local(w->system);
    bool told = false;
    for (int i = 0; i < 20 && !told; i++) { /* the pause between two tries */
        pass(w, 500);
        told = lone_worker_wait(&w->worker, IPC_HEALTH, &m, 50);
    }
    assert_true(told || lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_OK);
    send_messages(w, 10, "{}");
    wait_deleted(w, 10);
    assert_int_equal(drain(w, 10000), 0);
    forget_worker(w);
}

static void
a_denied_delete_names_the_permission_and_the_queue_and_is_made_up_for(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    char named[400];
    admin_set_fault(
        w->system->url,
        "{\"action\":\"sqs:DeleteMessageBatch\",\"kind\":\"error\",\"status\":403,\"code\":\"AccessDenied\","
        "\"count\":0}");
    start_flaky(w, "", "");
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_OK);
    send_messages(w, 5, "{}");
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_PERMISSION);
    assert_string_equal(m.text, "sqs:DeleteMessage is denied");
    admin_clear_faults(w->system->url);
    assert_true(lone_worker_wait(&w->worker, IPC_HEALTH, &m, SOON_MS));
    assert_int_equal(m.number, IPC_HEALTH_OK);
    wait_deleted(w, 5);
    assert_int_equal(drain(w, 10000), 0);
    assert_int_equal(recorded(w, "\n"), 5); /* none was handled twice */
    forget_worker(w);
    char *log = tmp_read(tmp_path(w->dir, "log"), NULL), *line = strstr(log, "a permission is missing");
    snprintf(named, sizeof named, "permission=sqs:DeleteMessage queue=%s ", w->url);
    if (!line || !strstr(line, named) || !strstr(log, " ERROR "))
        fail_msg("no '%s' in\n%s", named, log);
    free(log);
}

static void
assert_refused_with(struct world *w, const char *plugin, const char *options, const char *text)
{
    struct ipc_message m;
    start_worker(w, plugin, "", options, w->system->url);
    assert_true(lone_worker_wait(&w->worker, IPC_BAD_CONFIG, &m, SOON_MS));
    if (!strstr(m.text, text))
        fail_msg("\"%s\" does not say \"%s\"", m.text, text);
    assert_int_equal(lone_worker_end(&w->worker, 5000), 2);
    forget_worker(w);
}

static void
a_wrong_plugin_or_option_is_refused_with_the_reason_and_2(void **state)
{
    struct world *w = *state;
    assert_refused_with(w, "no-such-plugin", "", "lib/fanoutd/plugins/no-such-plugin.so");
    assert_refused_with(w, "flaky", "colour = \"blue\";", "colour");
    assert_refused_with(w, "/etc/passwd", "", "/etc/passwd");
}

static void
a_plugin_that_refuses_to_open_is_a_failure_not_a_wrong_configuration(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    start_worker(w, "flaky", "", "fail_percent = 101;", w->system->url);
    assert_true(lone_worker_wait(&w->worker, IPC_CANNOT_START, &m, SOON_MS)); /* no other comes before it */
    assert_string_equal(m.text, "plugin flaky: open refused to start (it returned -1)");
    assert_int_equal(lone_worker_end(&w->worker, SOON_MS), 1);
    forget_worker(w);
    char *log = tmp_read(tmp_path(w->dir, "log"), NULL);
    assert_non_null(strstr(log, "option fail_percent is 101; 0 to 100 is allowed"));
    assert_null(strstr(log, "open refused to start")); /* who decides what follows says it */
    free(log);
}

static void
who_is_told_to_drain_while_its_plugin_opens_receives_nothing(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    struct err e;
    send_messages(w, 3, "{}");
    start_worker(w, proc_path("tests/plugins/stuck.so"), "", "open_ms = 500;", w->system->url);
    assert_int_equal(ipc_send(w->worker.channel_fd, IPC_DRAIN, 20000, NULL, &e), 0);
    assert_true(lone_worker_wait(&w->worker, IPC_READY, &m, SOON_MS));
    assert_true(lone_worker_wait(&w->worker, IPC_DRAINED, &m, SOON_MS));
    assert_int_equal(m.number, 0);
    assert_int_equal(lone_worker_end(&w->worker, 5000), 0);
    assert_int_equal(counted(&w->worker.metrics->polls), 0);
    assert_queue(w, w->url, 3, 0);
    forget_worker(w);
}

struct outliving {
    struct clock_page *clock;
    pid_t pid;
};

/* Moves the clock, too: the worker looks at it each 10 ms. */
static bool
has_ended(void *context)
{
    const struct outliving *o = context;
    siginfo_t info = {.si_pid = 0};
    atomic_fetch_add(&o->clock->offset_ms, 100);
    assert_int_equal(waitid(P_PID, (id_t)o->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == o->pid;
}

static void
no_plugin_makes_a_worker_outlive_its_supervisor(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *options;
        bool ready;
    } cases[] = {{"open_ms = 600000;", false}, {"close_ms = 600000;", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outliving o;
        struct ipc_message m;
        struct err e;
        const char *path = tmp_path(w->dir, "its-clock");
        assert_int_equal(clock_page_create(path, &o.clock, &e), 0);
        setenv("FANOUT_TEST_CLOCK", path, 1);
        start_worker(w, proc_path("tests/plugins/stuck.so"), "", cases[i].options, w->system->url);
        unsetenv("FANOUT_TEST_CLOCK");
        o.pid = w->worker.pid;
        assert_int_equal(lone_worker_wait(&w->worker, IPC_READY, &m, cases[i].ready ? SOON_MS : 0), cases[i].ready);
        close(w->worker.channel_fd);
        w->worker.channel_fd = -1;
        assert_true(proc_wait_until(has_ended, &o, SOON_MS));
        assert_int_equal(lone_worker_end(&w->worker, SOON_MS), 1);
        forget_worker(w);
    }
    char *log = tmp_read(tmp_path(w->dir, "log"), NULL);
    assert_non_null(strstr(log, "the plugin does not return and the supervisor is gone"));
    free(log);
}

int
main(void)
{
/* Without a clock that moves nobody wakes up without a reason: the plain ones stay on the machine's. */
#define TEST(f)            cmocka_unit_test_setup_teardown(f, make_world, end_world)
#define TEST_WITH_CLOCK(f) cmocka_unit_test_setup_teardown(f, make_world_with_clock, end_world)
    const struct CMUnitTest tests[] = {
        TEST(everything_put_is_handled_once),
        TEST(a_retried_message_comes_back_after_its_backoff),
        TEST_WITH_CLOCK(a_rejected_message_is_moved_with_its_attributes_and_the_reason),
        TEST(a_slow_handler_keeps_its_message_past_the_visibility_timeout),
        TEST(a_drain_finishes_what_was_begun_and_gives_the_rest_back),
        TEST_WITH_CLOCK(the_end_of_the_channel_and_sigterm_drain_too),
        TEST_WITH_CLOCK(a_handler_that_does_not_return_ends_at_the_deadline_with_3),
        TEST_WITH_CLOCK(a_file_that_may_not_grow_is_a_reason_to_retry),
        TEST_WITH_CLOCK(kill_9_loses_nothing),
        TEST(an_endpoint_that_cannot_be_reached_is_a_state_of_health),
        TEST(refused_credentials_are_a_state_of_health),
        TEST_WITH_CLOCK(health_is_told_when_it_changes),
        TEST_WITH_CLOCK(a_denied_delete_names_the_permission_and_the_queue_and_is_made_up_for),
        TEST(a_wrong_plugin_or_option_is_refused_with_the_reason_and_2),
        TEST(who_is_told_to_drain_while_its_plugin_opens_receives_nothing),
        TEST(no_plugin_makes_a_worker_outlive_its_supervisor),
        TEST(a_plugin_that_refuses_to_open_is_a_failure_not_a_wrong_configuration),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
