#include "lib/kill_run.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/s3.h"
#include "event/envelope.h"
#include "lib/aws_call.h"
#include "lib/seeds.h"
#include "lib/tmp.h"

#define AHEAD_MAX     500 /* published and not handled yet */
#define VISIBILITY_S  240 /* less than what a signature may be late (auth.c) */
#define WAIT_S        1   /* of a long poll */
#define DRAIN_S       20
#define DRAIN_SLACK_S 5     /* the handler threads' end, after a drain's deadline, and the process's own */
#define BACKOFF_MS    31000 /* slots.c, the longest wait for a crashed worker's successor */
#define SOON_MS       30000
#define LONG_MS       240000
#define WORKERS_MAX   16

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static void
pass(struct kill_run *r, int64_t ms)
{
    atomic_fetch_add(&r->clock->offset_ms, ms);
}

void
kill_run_pass_visibility(struct kill_run *r)
{
    pass(r, (VISIBILITY_S + 1) * INT64_C(1000));
}

/* A message may be received once for each kill that it survives; that must not make it a dead letter. */
static void
raise_receive_limit(struct kill_run *r)
{
    struct aws_call c;
    char url[300];
    aws_call_init(&c, r->system->url);
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"" SYSTEM_QUEUE "\"}");
    assert_true(aws_call_text(&c, "QueueUrl", url, sizeof url));
    int status =
        aws_call_sqs(&c, "SetQueueAttributes",
                     "{\"QueueUrl\": \"%s\", \"Attributes\": {\"VisibilityTimeout\": \"%d\", \"RedrivePolicy\": "
                     "\"{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:us-east-1:000000000000:" SYSTEM_DLQ
                     "\\\",\\\"maxReceiveCount\\\":1000}\"}}",
                     url, VISIBILITY_S);
    if (status != 200)
        fail_msg("SetQueueAttributes: %d %s: %s", status, c.error, c.message);
    aws_call_clean_up(&c);
}

void
kill_run_begin(struct kill_run *r, uint64_t seed, size_t events)
{
    struct err e;
    *r = (struct kill_run){.random = seed, .events = events, .dir = tmp_new()};
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans of a killed supervisor are ours to wait for */
    const char *clock = tmp_path(r->dir, "clock");
    if (clock_page_create(clock, &r->clock, &e) != 0)
        fail_msg("%s", e.text);
    setenv("FANOUT_TEST_CLOCK", clock, 1);
    assert_int_equal(clock_init(&e), 0);
    r->record = tmp_path(r->dir, "record");
    r->judge = total_queue_new();
    r->system = system_start(r->dir);
    raise_receive_limit(r);
}

void
kill_run_clean_up(struct kill_run *r, bool failed)
{
    feeder_destroy(r->feeder);
    if (failed && r->system) {
        proc_print(r->system->local);
        proc_print(r->system->fleet);
    }
    system_stop(r->system);
    total_queue_destroy(r->judge);
    tmp_remove(r->dir);
}

static void
start_fleet(struct kill_run *r)
{
    char consumers[1000];
    snprintf(consumers, sizeof consumers,
             "drain_timeout_s = %d;\n"
             "consumers = ( { name = \"kill\"; queue = \"" SYSTEM_QUEUE "\"; plugin = \"flaky\"; processes = %d; "
             "threads = %d; prefetch = %d; batch = { size = %d; }; visibility_timeout_s = %d; wait_time_s = %d; "
             "retry = { base_ms = 200; cap_ms = 1000; }; "
             "options = { record = \"%s\"; record_body = true; fail_percent = 2; fail_first_receives = 1; "
             "delay_ms = 1; }; } );",
             DRAIN_S, KILL_RUN_WORKERS, KILL_RUN_THREADS, KILL_RUN_PREFETCH, KILL_RUN_BATCH, VISIBILITY_S, WAIT_S,
             r->record);
    system_start_fleet(r->system, consumers);
}

void
kill_run_start(struct kill_run *r)
{
    start_fleet(r);
    r->feeder = feeder_start(r->system->url, r->judge, r->events);
}

/* ---- at work ----------------------------------------------------------------------------------------------------- */

/* "MESSAGE_ID VERDICT RECEIVE_COUNT BODY". A line that was cut off by a kill is of a handler that had not returned: its
 * message was not done. */
static void
read_record(struct kill_run *r)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    FILE *f = fopen(r->record, "re");
    if (!f)
        return;
    fseek(f, r->read_to, SEEK_SET);
    while ((n = getline(&line, &capacity, f)) > 0 && line[n - 1] == '\n') {
        struct event_envelope v;
        const char *body = strchr(line, '{');
        r->read_to += n;
        if (!body || event_envelope_parse(slice_of(body, (size_t)(line + n - 1 - body)), &v, NULL) != 0) {
            r->cut_off++;
            assert_true(r->cut_off <= r->workers * KILL_RUN_THREADS);
            continue;
        }
        if (!strstr(line, " DONE "))
            continue;
        total_queue_handle_detail(r->judge, v.detail.text, json_raw(v.id));
    }
    free(line);
    fclose(f);
}

static void
tend(struct kill_run *r)
{
    read_record(r);
    feeder_allow(r->feeder, total_queue_handled(r->judge) + AHEAD_MAX);
}

static bool
enough_handled(void *context)
{
    struct kill_run *r = context;
    tend(r);
    return total_queue_handled(r->judge) >= r->until;
}

void
kill_run_reach(struct kill_run *r, size_t handled)
{
    r->until = handled;
    if (!proc_wait_until(enough_handled, r, LONG_MS))
        fail_msg("%zu of %zu events handled, and no more", total_queue_handled(r->judge), handled);
    usleep((useconds_t)seeds_draw(&r->random, 20000));
}

struct counts {
    long visible, in_flight, delayed;
};

static struct counts
count_queue(struct kill_run *r, const char *queue)
{
    struct counts n = {-1, -1, -1};
    struct aws_call c;
    char url[300], text[3][30];
    aws_call_init(&c, r->system->url);
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"%s\"}", queue);
    assert_true(aws_call_text(&c, "QueueUrl", url, sizeof url));
    aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}", url);
    if (aws_call_text(&c, "Attributes.ApproximateNumberOfMessages", text[0], sizeof text[0]) &&
        aws_call_text(&c, "Attributes.ApproximateNumberOfMessagesNotVisible", text[1], sizeof text[1]) &&
        aws_call_text(&c, "Attributes.ApproximateNumberOfMessagesDelayed", text[2], sizeof text[2]))
        n = (struct counts){strtol(text[0], NULL, 10), strtol(text[1], NULL, 10), strtol(text[2], NULL, 10)};
    aws_call_clean_up(&c);
    assert_true(n.visible >= 0);
    return n;
}

/* ---- kills ------------------------------------------------------------------------------------------------------- */

void
kill_run_restart_server(struct kill_run *r)
{
    system_restart_local(r->system);
    raise_receive_limit(r);
}

void
kill_run_kill_server(struct kill_run *r)
{
    system_kill_local(r->system);
    r->servers++;
    usleep((useconds_t)seeds_draw(&r->random, 50000));
    kill_run_restart_server(r);
}

struct worker_wait {
    struct kill_run *run;
    pid_t pids[WORKERS_MAX];
    size_t n;
    pid_t gone;
};

static bool
has_worker(void *context)
{
    struct worker_wait *w = context;
    tend(w->run);
    w->n = system_workers(w->run->system, w->pids, WORKERS_MAX);
    return w->n > 0;
}

static bool
is_gone(void *context)
{
    struct worker_wait *w = context;
    w->n = system_workers(w->run->system, w->pids, WORKERS_MAX);
    for (size_t i = 0; i < w->n; i++)
        if (w->pids[i] == w->gone)
            return false;
    return true;
}

void
kill_run_kill_worker(struct kill_run *r)
{
    struct worker_wait w = {.run = r};
    assert_true(proc_wait_until(has_worker, &w, SOON_MS));
    w.gone = w.pids[seeds_draw(&r->random, w.n)];
    assert_int_equal(kill(w.gone, SIGKILL), 0);
    r->workers++;
    assert_true(proc_wait_until(is_gone, &w, SOON_MS));
    if (w.n == 0) /* both wait for their backoff: nobody's lease ends by this */
        pass(r, BACKOFF_MS);
}

/* The supervisor's workers, while it is stopped and cannot start another one. */
static size_t
stop_and_list(struct kill_run *r, pid_t pids[WORKERS_MAX])
{
    siginfo_t info;
    pid_t supervisor = proc_pid(r->system->fleet);
    proc_signal(r->system->fleet, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)supervisor, &info, WSTOPPED | WEXITED | WNOWAIT), 0);
    assert_int_equal(info.si_code, CLD_STOPPED);
    return system_workers(r->system, pids, WORKERS_MAX);
}

static bool
is_dead(void *process)
{
    return !proc_is_running(process);
}

struct orphan {
    struct kill_run *run;
    pid_t pid;
    int status;
};

static bool
has_ended(void *context)
{
    struct orphan *o = context;
    tend(o->run);
    pid_t ended = waitpid(o->pid, &o->status, WNOHANG);
    assert_true(ended >= 0);
    return ended == o->pid;
}

static int
reap(struct kill_run *r, pid_t pid, int timeout_ms)
{
    struct orphan o = {.run = r, .pid = pid};
    if (!proc_wait_until(has_ended, &o, timeout_ms))
        fail_msg("worker %d outlived its supervisor by %d ms", (int)pid, timeout_ms);
    return WIFEXITED(o.status) ? WEXITSTATUS(o.status) : -WTERMSIG(o.status);
}

static bool
is_settled(void *context)
{
    struct kill_run *r = context;
    tend(r);
    return count_queue(r, SYSTEM_QUEUE).in_flight == 0;
}

void
kill_run_kill_supervisor(struct kill_run *r)
{
    pid_t orphans[WORKERS_MAX];
    struct proc *old = r->system->fleet;
    size_t n = stop_and_list(r, orphans);
    bool at_once = seeds_draw(&r->random, 2) == 1;
    proc_signal(old, SIGKILL);
    r->supervisors++;
    assert_true(proc_wait_until(is_dead, old, SOON_MS)); /* its workers are ours now */
    if (at_once)
        start_fleet(r);
    for (size_t i = 0; i < n; i++) {
        int code = reap(r, orphans[i], (DRAIN_S + DRAIN_SLACK_S) * 1000);
        if (code != 0) {
            proc_print(old);
            fail_msg("worker %d ended with %d after its supervisor's death", (int)orphans[i], code);
        }
    }
    /* What was given back for a retry stays invisible for its delay; what nobody settled would for VISIBILITY_S. */
    if (!at_once && !proc_wait_until(is_settled, r, SOON_MS))
        fail_msg("%ld messages in flight, and no worker", count_queue(r, SYSTEM_QUEUE).in_flight);
    assert_int_equal(proc_wait_exit(old, SOON_MS), -SIGKILL);
    proc_destroy(old);
    if (!at_once)
        start_fleet(r);
}

/* Is first before second in the list, in which both are? */
static bool
comes_first(const pid_t *list, pid_t first, pid_t second)
{
    while (*list != first && *list != second)
        list++;
    return *list == first;
}

void
kill_run_kill_all(struct kill_run *r)
{
    pid_t pids[WORKERS_MAX + 2];
    size_t n_workers = stop_and_list(r, pids), n = n_workers;
    pid_t supervisor = pids[n++] = proc_pid(r->system->fleet);
    pids[n++] = proc_pid(r->system->local);
    pid_t order[WORKERS_MAX + 2];
    memcpy(order, pids, sizeof order);
    for (size_t i = n; i > 1; i--) {
        size_t k = seeds_draw(&r->random, i);
        pid_t moved = order[i - 1];
        order[i - 1] = order[k];
        order[k] = moved;
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(kill(order[i], SIGKILL), 0);
    r->servers++;
    r->supervisors++;
    r->workers += n_workers;
    assert_int_equal(proc_wait_exit(r->system->local, SOON_MS), -SIGKILL);
    proc_destroy(r->system->local);
    r->system->local = NULL;
    assert_true(proc_wait_until(is_dead, r->system->fleet, SOON_MS)); /* its workers are ours now, dead ones too */
    for (size_t i = 0; i < n_workers; i++) {
        int code = reap(r, pids[i], SOON_MS);
        if (code != 0 || !comes_first(order, supervisor, pids[i])) /* one with nothing in hand drains in no time */
            assert_int_equal(code, -SIGKILL);
    }
    assert_int_equal(proc_wait_exit(r->system->fleet, SOON_MS), -SIGKILL);
    proc_destroy(r->system->fleet);
    r->system->fleet = NULL;
    kill_run_pass_visibility(r);
    kill_run_restart_server(r);
    start_fleet(r);
}

/* ---- the end of a run -------------------------------------------------------------------------------------------- */

static bool
all_published(void *context)
{
    struct kill_run *r = context;
    tend(r);
    return feeder_is_done(r->feeder);
}

static bool
nothing_is_visible(void *context)
{
    struct kill_run *r = context;
    tend(r);
    struct counts n = count_queue(r, SYSTEM_QUEUE);
    return n.visible == 0 && n.delayed == 0;
}

static bool
queue_is_empty(void *context)
{
    struct kill_run *r = context;
    tend(r);
    struct counts n = count_queue(r, SYSTEM_QUEUE);
    return n.visible == 0 && n.in_flight == 0 && n.delayed == 0;
}

struct listing {
    struct total_queue *judge;
    char last[200]; /* key */
    bool done, truncated;
};

static void
on_listing(void *context, const struct s3_listing *l)
{
    struct listing *o = context;
    o->done = true;
    if (l->error)
        fail_msg("%s", l->error->err.text);
    for (size_t i = 0; i < l->n_entries; i++) {
        struct slice key = l->entries[i].key;
        size_t id_n = 36, end_n = strlen(".json");
        assert_true(key.n > id_n + end_n && key.n < sizeof o->last);
        total_queue_capture(o->judge, slice_of(key.p + key.n - end_n - id_n, id_n));
        snprintf(o->last, sizeof o->last, "%.*s", SLICE_ARG(key));
    }
    o->truncated = l->truncated;
}

static void
read_captures(struct kill_run *r)
{
    struct system_client c = system_connect(r->system, AWS_S3);
    struct listing o = {.judge = r->judge, .truncated = true};
    while (o.truncated) {
        struct s3_list_options options = {.bucket = SYSTEM_BUCKET, .prefix = "raw-events/", .start_after = o.last};
        o.done = false;
        assert_int_equal(s3_list(c.aws, &options, on_listing, &o, NULL, NULL), 0);
        system_await(&c, &o.done);
    }
    system_disconnect(&c);
}

struct stop {
    struct kill_run *run;
    unsigned asked;
};

/* A drain waits for the outstanding long polls, whose second need not pass by itself. */
static bool
has_stopped(void *context)
{
    struct stop *s = context;
    if (++s->asked % 10 == 0 && s->asked <= 50)
        pass(s->run, WAIT_S * 1000);
    return !proc_is_running(s->run->system->fleet);
}

static void
stop_fleet(struct kill_run *r)
{
    struct stop stop = {.run = r};
    proc_signal(r->system->fleet, SIGTERM);
    assert_true(proc_wait_until(has_stopped, &stop, (DRAIN_S + DRAIN_SLACK_S) * 1000));
    assert_int_equal(proc_wait_exit(r->system->fleet, SOON_MS), 0);
    proc_destroy(r->system->fleet);
    r->system->fleet = NULL;
    read_record(r);
}

void
kill_run_finish(struct kill_run *r)
{
    if (!proc_wait_until(all_published, r, LONG_MS))
        fail_msg("not all was published");
    if (!proc_wait_until(nothing_is_visible, r, LONG_MS))
        fail_msg("%ld messages wait and nobody takes them", count_queue(r, SYSTEM_QUEUE).visible);
    stop_fleet(r);
    if (!queue_is_empty(r)) { /* what was in hand at a kill, or on its way to a hand */
        kill_run_pass_visibility(r);
        start_fleet(r);
        if (!proc_wait_until(queue_is_empty, r, LONG_MS))
            fail_msg("%ld messages are left", count_queue(r, SYSTEM_QUEUE).visible);
        stop_fleet(r);
    }
}

void
kill_run_check_queues(struct kill_run *r)
{
    static const char *const QUEUES[] = {SYSTEM_QUEUE, SYSTEM_DLQ, "durable-capture-dlq"};
    for (size_t i = 0; i < sizeof QUEUES / sizeof *QUEUES; i++) {
        struct counts n = count_queue(r, QUEUES[i]);
        if (n.visible + n.in_flight + n.delayed > 0)
            fail_msg("%s has %ld messages", QUEUES[i], n.visible + n.in_flight + n.delayed);
    }
    read_captures(r);
}
