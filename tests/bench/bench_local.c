/* bench_local: what fanout-local moves, durable: one real server, a client over src/http and src/aws, on the same
 * processors and a real disk.
 *
 * Beside it, in turns and in the same run, SQLite alone does the same writes in the same folder, without HTTP and one
 * transaction after the other (the server may well be faster, because it commits many calls at once), and moto's server
 * answers the same client, from memory. MESSAGES=20000 and ROUNDS=3 change how much. */
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
#include "lib/moto.h"
#include "lib/need.h"
#include "lib/queue_load.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define ROUNDS_MAX    25
#define LANES         32
#define BODY_BYTES    1024
#define PROBES        200
#define MOTO_MESSAGES 300
#define LONGEST_MS    60000

enum { BARE, MESSAGES, SERVER_CPU, MOTO, EVENTS, EVENTS_CPU, P50, P99, FIGURES };

struct samples {
    double figure[FIGURES][ROUNDS_MAX];
};

struct bench {
    struct system *system;
    struct system_client sqs, events;
    char queue_url[300];
    char body[BODY_BYTES + 1], detail[BODY_BYTES + 1];
    size_t target, sent, put, queued; /* events */
    unsigned running;                 /* lanes */
    int64_t over_ns;                  /* when the last event was put */
    bool done;
};

/* One of the client's PutEvents in flight. */
struct lane {
    struct bench *bench;
};

static void
run(struct bench *b, struct system_client *c)
{
    struct err e;
    b->done = false;
    need_call(http_engine_run_until(c->engine, &b->done, LONGEST_MS, &e), &e);
}

/* ---- send, receive, delete --------------------------------------------------------------------------------------- */

static double
messages_per_second(struct bench *b, size_t messages, double *ret_cpu_us)
{
    pid_t server = proc_pid(b->system->local);
    const struct queue_load load = {
        .sqs = &b->sqs, .queue_url = b->queue_url, .body_bytes = BODY_BYTES, .lanes = LANES};
    int64_t start_cpu_ns = figure_cpu_ns(server);
    double rate = queue_load_cycle(&load, messages);
    *ret_cpu_us = (double)(figure_cpu_ns(server) - start_cpu_ns) / 1e3 / (double)messages;
    return rate;
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
        need_give_up("ReceiveMessage", "not the one message that was sent");
    need_call(sqs_delete_batch(p->bench->sqs.aws, p->bench->queue_url, &r->messages->receipt_handle, 1, probe_deleted,
                               p, NULL, &e),
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
    need_call(sqs_receive(b->sqs.aws, &options, probe_received, &p, NULL, &e), &e);
    for (int64_t until_ms = clock_monotonic_ms() + 5; clock_monotonic_ms() < until_ms;) /* it reaches the server */
        need_call(http_engine_run(b->sqs.engine, 1, &e), &e);
    p.sent_ns = clock_monotonic_ns();
    need_call(sqs_send(b->sqs.aws, b->queue_url, &message, probe_sent, &p, NULL, &e), &e);
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
        need_give_up("PutEvents", "an entry failed");
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
    need_call(events_put(b->events.aws, entries, EVENTS_BATCH_MAX, was_put, l, NULL, &e), &e);
}

static void
count_queue(void *context, const struct sqs_queue *q)
{
    struct bench *b = context;
    need_answer("GetQueueAttributes", q->error);
    b->queued = (size_t)q->messages;
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

    need_call(sqs_get_queue_attributes(b->sqs.aws, b->queue_url, count_queue, b, NULL, &e), &e);
    run(b, &b->sqs);
    if (b->queued != events)
        need_give_up("PutEvents", "not every event became a message");
    return (double)events / seconds;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

/* The same with moto's server, which keeps everything in memory; one call at a time, because calls at once make it
 * deliver messages twice. It has one interpreter, so that more lanes would not be faster. */
static double
moto_messages_per_second(size_t messages)
{
    struct moto moto;
    if (!moto_start(&moto, SYSTEM_QUEUE))
        return 0;
    struct system at = {.url = ""};
    char queue_url[300];
    snprintf(at.url, sizeof at.url, "%s", moto.url);
    struct system_client sqs = system_connect(&at, AWS_SQS);
    queue_load_find(&sqs, SYSTEM_QUEUE, queue_url, sizeof queue_url);
    const struct queue_load load = {.sqs = &sqs, .queue_url = queue_url, .body_bytes = BODY_BYTES, .lanes = 1};
    double rate = queue_load_cycle(&load, messages);
    system_disconnect(&sqs);
    moto_stop(&moto);
    return rate;
}

/* A server of its own with empty data: no round works with what the one before left. */
static void
run_round(struct samples *s, int round, size_t messages)
{
    struct bench b = {0};
    const char *dir = tmp_new();
    memset(b.body, 'x', BODY_BYTES);
    snprintf(b.detail, sizeof b.detail, "{\"user_id\":123,\"action\":\"signup\",\"note\":\"%.*s\"}", BODY_BYTES - 300,
             b.body);
    s->figure[BARE][round] = bare_sqlite_rate(dir, messages / 4, BODY_BYTES);
    b.system = system_start(dir);
    b.sqs = system_connect(b.system, AWS_SQS);
    b.events = system_connect(b.system, AWS_EVENTBRIDGE);
    queue_load_find(&b.sqs, SYSTEM_QUEUE, b.queue_url, sizeof b.queue_url);

    if (round == 0)
        s->figure[MOTO][0] = moto_messages_per_second(MOTO_MESSAGES);
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
        [MESSAGES] = {.what = "fanout-local: send + receive + delete, 1 KB", .unit = "/s", .least = 20000, .ratio = 1},
        [SERVER_CPU] = {.what = "fanout-local: CPU per message", .unit = "us"},
        [MOTO] = {.what = "moto's server: send + receive + delete, 1 KB", .unit = "/s", .ratio = 1},
        [EVENTS] = {.what = "fanout-local: PutEvents, captured and queued", .unit = "/s", .least = 5000, .ratio = 1},
        [EVENTS_CPU] = {.what = "fanout-local: CPU per event", .unit = "us"},
        [P50] = {.what = "fanout-local: lone send to waiting poll, p50", .unit = "ms"},
        [P99] = {.what = "fanout-local: lone send to waiting poll, p99", .unit = "ms", .most = 3},
    };
    for (int i = 0; i < FIGURES; i++) {
        struct figure f = figures[i];
        double ratio[ROUNDS_MAX], sorted[ROUNDS_MAX];
        size_t n = i == MOTO ? 1 : rounds;
        int floor = i == MOTO ? MESSAGES : BARE;
        if (s->figure[i][0] == 0)
            continue; /* it could not be had */
        for (size_t r = 0; r < n; r++)
            ratio[r] = s->figure[i][r] / s->figure[floor][r];
        f.ratio_of = floor == BARE ? "bare SQLite" : "fanout-local";
        f.ratio = f.ratio > 0 ? figure_median(ratio, n) : 0;
        memcpy(sorted, s->figure[i], sizeof sorted);
        f.value = figure_median(sorted, n);
        figure_print(&f);
    }
}

int
main(void)
{
    static struct samples samples;
    struct statfs fs;
    long messages = figure_setting("MESSAGES", 20000, 40) / 40 * 40, rounds = figure_setting("ROUNDS", 3, 1);
    if (rounds > ROUNDS_MAX)
        need_give_up("ROUNDS", "1 to 25");
    const char *folder = proc_path("tests/bench"); /* /tmp may be memory */
    setenv("TMPDIR", folder, 1);
    if (statfs(folder, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
        fprintf(stderr, "bench_local: %s is in memory: these figures are not those of a disk\n", folder);
    for (int round = 0; round < rounds; round++)
        run_round(&samples, round, (size_t)messages);
    print(&samples, (size_t)rounds);
    return 0;
}
