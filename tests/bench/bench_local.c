/* bench_local: what fanout-local moves, durable: one real server, a client over src/http and src/aws, on the same
 * processors and a real disk.
 *
 * Beside it, in turns and in the same run, SQLite alone does the same writes in the same folder, without HTTP and one
 * transaction after the other; the server may well be faster, because it commits many calls at once. MESSAGES=20000 and
 * ROUNDS=3 change how much. */
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "aws/events.h"
#include "aws/sqs.h"
#include "base/clock.h"
#include "lib/bare_sqlite.h"
#include "lib/figures.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define ROUNDS_MAX 25
#define LANES      16
#define BODY_BYTES 1024
#define PROBES     200
#define LONGEST_MS 60000

enum { BARE, MESSAGES, SERVER_CPU, EVENTS, EVENTS_CPU, P50, P99, FIGURES };

struct samples {
    double figure[FIGURES][ROUNDS_MAX];
};

struct bench {
    struct system *system;
    struct system_client sqs, events;
    char queue_url[300];
    char body[BODY_BYTES + 1], detail[BODY_BYTES + 1];
    size_t target, sent, deleted, put; /* messages, events */
    unsigned running;                  /* lanes */
    int64_t over_ns;                   /* when the last message was deleted, or the last event put */
    bool done;
};

/* One of the client's calls in flight: sends ten, receives, deletes, and so on. */
struct lane {
    struct bench *bench;
};

static void
give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_local: %s: %s\n", what, why);
    exit(1);
}

static void
need(int rc, const struct err *e)
{
    if (rc < 0)
        give_up("call", e->text);
}

static void
need_answer(const char *what, const struct aws_error *error)
{
    if (error)
        give_up(what, error->err.text);
}

static void
run(struct bench *b, struct system_client *c)
{
    struct err e;
    b->done = false;
    need(http_engine_run_until(c->engine, &b->done, LONGEST_MS, &e), &e);
}

/* ---- send, receive, delete --------------------------------------------------------------------------------------- */

static void step(struct lane *l);

static void
deleted(void *context, const struct sqs_batch_result *r)
{
    struct lane *l = context;
    need_answer("DeleteMessageBatch", r->error);
    for (size_t i = 0; i < r->n; i++)
        if (!r->results[i].ok)
            give_up("DeleteMessageBatch", r->results[i].message);
    l->bench->deleted += r->n;
    if (l->bench->deleted == l->bench->target)
        l->bench->over_ns = clock_monotonic_ns();
    step(l);
}

static void
received(void *context, const struct sqs_received *r)
{
    struct lane *l = context;
    struct slice handles[SQS_BATCH_MAX];
    struct err e;
    need_answer("ReceiveMessage", r->error);
    for (size_t i = 0; i < r->n_messages; i++)
        handles[i] = r->messages[i].receipt_handle;
    if (r->corrupt)
        give_up("ReceiveMessage", "a message whose MD5 is wrong");
    if (r->n_messages == 0)
        step(l);
    else
        need(sqs_delete_batch(l->bench->sqs.aws, l->bench->queue_url, handles, r->n_messages, deleted, l, NULL, &e),
             &e);
}

static void
receive(struct lane *l)
{
    const struct sqs_receive_options options = {
        .queue_url = l->bench->queue_url, .max_messages = SQS_BATCH_MAX, .wait_time_s = 1, .visibility_timeout_s = -1};
    struct err e;
    need(sqs_receive(l->bench->sqs.aws, &options, received, l, NULL, &e), &e);
}

static void
sent(void *context, const struct sqs_batch_result *r)
{
    struct lane *l = context;
    need_answer("SendMessageBatch", r->error);
    for (size_t i = 0; i < r->n; i++)
        if (!r->results[i].ok)
            give_up("SendMessageBatch", r->results[i].message);
    receive(l);
}

static void
step(struct lane *l)
{
    struct bench *b = l->bench;
    struct sqs_send entries[SQS_BATCH_MAX];
    struct err e;
    if (b->deleted == b->target) {
        b->done = --b->running == 0; /* polls that still wait may not take what comes next */
        return;
    }
    if (b->sent == b->target) {
        receive(l);
        return;
    }
    for (size_t i = 0; i < SQS_BATCH_MAX; i++)
        entries[i] = (struct sqs_send){.body = slice_of(b->body, BODY_BYTES), .delay_s = -1};
    b->sent += SQS_BATCH_MAX;
    need(sqs_send_batch(b->sqs.aws, b->queue_url, entries, SQS_BATCH_MAX, sent, l, NULL, &e), &e);
}

static double
messages_per_second(struct bench *b, size_t messages, double *ret_cpu_us)
{
    struct lane lanes[LANES];
    pid_t server = proc_pid(b->system->local);
    b->sent = b->deleted = 0;
    b->target = messages;
    b->running = LANES;
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = figure_cpu_ns(server);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){.bench = b};
        step(&lanes[i]);
    }
    run(b, &b->sqs);
    double seconds = (double)(b->over_ns - start_ns) / 1e9;
    *ret_cpu_us = (double)(figure_cpu_ns(server) - start_cpu_ns) / 1e3 / (double)messages;
    return (double)messages / seconds;
}

/* ---- the lone message -------------------------------------------------------------------------------------------- */

struct probe {
    struct bench *bench;
    int64_t sent_ns, received_ns;
    bool answered, deleted;
};

static void
probe_is_over(struct probe *p)
{
    p->bench->done = p->answered && p->deleted;
}

static void
probe_deleted(void *context, const struct sqs_batch_result *r)
{
    struct probe *p = context;
    need_answer("DeleteMessageBatch", r->error);
    p->deleted = true;
    probe_is_over(p);
}

static void
probe_received(void *context, const struct sqs_received *r)
{
    struct probe *p = context;
    struct err e;
    p->received_ns = clock_monotonic_ns();
    need_answer("ReceiveMessage", r->error);
    if (r->n_messages != 1 || p->sent_ns == 0)
        give_up("ReceiveMessage", "not the one message that was sent");
    need(sqs_delete_batch(p->bench->sqs.aws, p->bench->queue_url, &r->messages->receipt_handle, 1, probe_deleted, p,
                          NULL, &e),
         &e);
}

static void
probe_sent(void *context, const struct sqs_batch_result *r)
{
    struct probe *p = context;
    need_answer("SendMessage", r->error);
    p->answered = true;
    probe_is_over(p);
}

/* From the moment a message is handed to the client's SendMessage until a long poll that was waiting at the server
 * brings it, in milliseconds. */
static double
latency_ms(struct bench *b)
{
    struct probe p = {.bench = b};
    struct err e;
    const struct sqs_receive_options options = {
        .queue_url = b->queue_url, .max_messages = 10, .wait_time_s = 20, .visibility_timeout_s = -1};
    const struct sqs_send message = {.body = slice_of(b->body, BODY_BYTES), .delay_s = -1};
    need(sqs_receive(b->sqs.aws, &options, probe_received, &p, NULL, &e), &e);
    for (int64_t until_ms = clock_monotonic_ms() + 5; clock_monotonic_ms() < until_ms;) /* it reaches the server */
        need(http_engine_run(b->sqs.engine, 1, &e), &e);
    p.sent_ns = clock_monotonic_ns();
    need(sqs_send(b->sqs.aws, b->queue_url, &message, probe_sent, &p, NULL, &e), &e);
    run(b, &b->sqs);
    return (double)(p.received_ns - p.sent_ns) / 1e6;
}

static void
latencies(struct bench *b, double *ret_p50, double *ret_p99)
{
    double ms[PROBES];
    for (int i = 0; i < PROBES; i++)
        ms[i] = latency_ms(b);
    *ret_p50 = figure_median(ms, PROBES); /* sorts */
    *ret_p99 = ms[PROBES * 99 / 100 - 1];
}

/* ---- PutEvents --------------------------------------------------------------------------------------------------- */

static void put(struct lane *l);

static void
was_put(void *context, const struct events_put_result *r)
{
    struct lane *l = context;
    need_answer("PutEvents", r->error);
    if (r->failed)
        give_up("PutEvents", "an entry failed");
    l->bench->put += r->n;
    if (l->bench->put == l->bench->target)
        l->bench->over_ns = clock_monotonic_ns();
    put(l);
}

static void
put(struct lane *l)
{
    struct bench *b = l->bench;
    struct events_entry entries[EVENTS_BATCH_MAX];
    struct err e;
    if (b->sent == b->target) {
        b->done = --b->running == 0;
        return;
    }
    for (size_t i = 0; i < EVENTS_BATCH_MAX; i++)
        entries[i] = (struct events_entry){.source = SLICE("buffer.source"),
                                           .detail_type = SLICE("BufferedEvent"),
                                           .detail = slice_of_string(b->detail),
                                           .bus = SLICE(SYSTEM_BUS)};
    b->sent += EVENTS_BATCH_MAX;
    need(events_put(b->events.aws, entries, EVENTS_BATCH_MAX, was_put, l, NULL, &e), &e);
}

static void
count_queue(void *context, const struct sqs_queue *q)
{
    struct bench *b = context;
    need_answer("GetQueueAttributes", q->error);
    b->deleted = (size_t)q->messages;
    b->done = true;
}

/* Each event becomes an object under raw-events/ and a message before its PutEvents is answered. */
static double
events_per_second(struct bench *b, size_t events, double *ret_cpu_us)
{
    struct lane lanes[LANES];
    struct err e;
    pid_t server = proc_pid(b->system->local);
    b->sent = b->put = 0;
    b->target = events;
    b->running = LANES;
    int64_t start_ns = clock_monotonic_ns(), start_cpu_ns = figure_cpu_ns(server);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){.bench = b};
        put(&lanes[i]);
    }
    run(b, &b->events);
    double seconds = (double)(b->over_ns - start_ns) / 1e9;
    *ret_cpu_us = (double)(figure_cpu_ns(server) - start_cpu_ns) / 1e3 / (double)events;

    need(sqs_get_queue_attributes(b->sqs.aws, b->queue_url, count_queue, b, NULL, &e), &e);
    run(b, &b->sqs);
    if (b->deleted != events)
        give_up("PutEvents", "not every event became a message");
    return (double)events / seconds;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static void
found_queue(void *context, const struct sqs_queue *q)
{
    struct bench *b = context;
    need_answer("GetQueueUrl", q->error);
    snprintf(b->queue_url, sizeof b->queue_url, "%.*s", SLICE_ARG(q->url));
    b->done = true;
}

/* A server of its own with empty data: no round works with what the one before left. */
static void
run_round(struct samples *s, int round, size_t messages)
{
    struct bench b = {0};
    struct err e;
    const char *dir = tmp_new();
    memset(b.body, 'x', BODY_BYTES);
    snprintf(b.detail, sizeof b.detail, "{\"user_id\":123,\"action\":\"signup\",\"note\":\"%.*s\"}", BODY_BYTES - 300,
             b.body);
    s->figure[BARE][round] = bare_sqlite_rate(dir, messages / 4, BODY_BYTES);
    b.system = system_start(dir);
    b.sqs = system_connect(b.system, AWS_SQS);
    b.events = system_connect(b.system, AWS_EVENTBRIDGE);
    need(sqs_get_queue_url(b.sqs.aws, SYSTEM_QUEUE, found_queue, &b, NULL, &e), &e);
    run(&b, &b.sqs);

    s->figure[MESSAGES][round] = messages_per_second(&b, messages, &s->figure[SERVER_CPU][round]);
    latencies(&b, &s->figure[P50][round], &s->figure[P99][round]);
    s->figure[EVENTS][round] = events_per_second(&b, messages / 2, &s->figure[EVENTS_CPU][round]);

    system_disconnect(&b.events);
    system_disconnect(&b.sqs);
    system_stop(b.system);
    tmp_remove(dir);
}

static void
print(struct samples *s, size_t rounds)
{
    static const struct figure figures[FIGURES] = {
        [BARE] = {.what = "bare SQLite, FULL: write + mark + delete, 1 KB", .unit = "/s", .ratio = 1},
        [MESSAGES] = {.what = "fanout-local: send + receive + delete, 1 KB", .unit = "/s", .least = 10000, .ratio = 1},
        [SERVER_CPU] = {.what = "fanout-local: CPU per message", .unit = "us"},
        [EVENTS] = {.what = "fanout-local: PutEvents, captured and queued", .unit = "/s", .ratio = 1},
        [EVENTS_CPU] = {.what = "fanout-local: CPU per event", .unit = "us"},
        [P50] = {.what = "fanout-local: lone send to waiting poll, p50", .unit = "ms"},
        [P99] = {.what = "fanout-local: lone send to waiting poll, p99", .unit = "ms"},
    };
    for (int i = 0; i < FIGURES; i++) {
        struct figure f = figures[i];
        double ratio[ROUNDS_MAX];
        for (size_t r = 0; r < rounds; r++)
            ratio[r] = s->figure[i][r] / s->figure[BARE][r];
        f.ratio_of = "bare SQLite";
        f.ratio = f.ratio > 0 ? figure_median(ratio, rounds) : 0;
        f.value = figure_median(s->figure[i], rounds);
        figure_print(&f);
    }
}

static long
number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

int
main(void)
{
    static struct samples samples;
    struct statfs fs;
    long messages = number_from("MESSAGES", 20000) / 40 * 40, rounds = number_from("ROUNDS", 3);
    if (messages < 40 || rounds < 1 || rounds > ROUNDS_MAX)
        give_up("MESSAGES is at least 40", "ROUNDS 1 to 25");
    const char *folder = proc_path("tests/bench"); /* /tmp may be memory */
    setenv("TMPDIR", folder, 1);
    if (statfs(folder, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
        fprintf(stderr, "bench_local: %s is in memory: these figures are not those of a disk\n", folder);
    for (int round = 0; round < rounds; round++)
        run_round(&samples, round, (size_t)messages);
    print(&samples, (size_t)rounds);
    return 0;
}
