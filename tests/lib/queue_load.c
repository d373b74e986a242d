#include "lib/queue_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sqs.h"
#include "base/clock.h"
#include "lib/need.h"

#define LANES_MAX  64
#define LONGEST_MS 300000

struct lane;

/* One run. */
struct run {
    const struct queue_load *load;
    char *body;
    size_t target, sent, deleted;
    unsigned running; /* lanes */
    int64_t start_ns;
    int64_t over_ns; /* when the last message was deleted, or sent */
    bool done, sends_only;
};

/* One of the calls in flight. */
struct lane {
    struct run *run;
    size_t queue; /* of queue_urls */
};

static const char *
queue_of(const struct lane *l)
{
    const struct queue_load *load = l->run->load;
    return load->queue_urls ? load->queue_urls[l->queue] : load->queue_url;
}

static void
go_to_next_queue(struct lane *l)
{
    const struct queue_load *load = l->run->load;
    if (!load->queue_urls)
        return;
    l->queue += load->lanes;
    if (l->queue >= load->n_queues)
        l->queue %= load->lanes;
}

/* ---- a lane ------------------------------------------------------------------------------------------------------ */

static void step(struct lane *l);

static void
deleted(void *context, const struct sqs_batch_result *r)
{
    struct lane *l = context;
    need_batch("DeleteMessageBatch", r);
    l->run->deleted += r->n;
    if (l->run->deleted >= l->run->target && l->run->over_ns == 0)
        l->run->over_ns = clock_monotonic_ns();
    step(l);
}

static void
received(void *context, const struct sqs_received *r)
{
    struct lane *l = context;
    const struct queue_load *load = l->run->load;
    struct slice handles[SQS_BATCH_MAX];
    struct err e;
    need_answer("ReceiveMessage", r->error);
    if (r->corrupt)
        need_give_up("ReceiveMessage", "a message whose MD5 is wrong");
    for (size_t i = 0; i < r->n_messages; i++)
        handles[i] = r->messages[i].receipt_handle;
    if (r->n_messages == 0)
        step(l);
    else
        need_call(sqs_delete_batch(load->sqs->aws, queue_of(l), handles, r->n_messages, deleted, l, NULL, &e), &e);
}

static void
receive(struct lane *l)
{
    const struct queue_load *load = l->run->load;
    const struct sqs_receive_options options = {
        .queue_url = queue_of(l), .max_messages = SQS_BATCH_MAX, .wait_time_s = 1, .visibility_timeout_s = -1};
    struct err e;
    need_call(sqs_receive(load->sqs->aws, &options, received, l, NULL, &e), &e);
}

static void
sent(void *context, const struct sqs_batch_result *r)
{
    struct lane *l = context;
    need_batch("SendMessageBatch", r);
    if (!l->run->sends_only) {
        receive(l);
        return;
    }
    l->run->deleted += r->n;
    l->run->over_ns = clock_monotonic_ns();
    step(l);
}

static void
step(struct lane *l)
{
    struct run *r = l->run;
    const struct queue_load *load = r->load;
    struct sqs_send entries[SQS_BATCH_MAX];
    char group[SQS_BATCH_MAX][32], dedup_id[SQS_BATCH_MAX][48];
    struct err e;
    bool all_sent = r->sent == r->target;
    if (r->deleted >= r->target || (r->sends_only && all_sent)) {
        r->done = --r->running == 0; /* polls that still wait may not take what comes next */
        return;
    }
    if (all_sent) {
        receive(l);
        return;
    }
    for (size_t i = 0; i < SQS_BATCH_MAX; i++) {
        entries[i] = (struct sqs_send){.body = slice_of(r->body, load->body_bytes), .delay_s = -1};
        if (!load->groups)
            continue;
        snprintf(group[i], sizeof group[i], "group-%zu", (r->sent + i) % load->groups);
        snprintf(dedup_id[i], sizeof dedup_id[i], "%llx-%zu", (unsigned long long)r->start_ns, r->sent + i);
        entries[i].group = slice_of_string(group[i]);
        entries[i].dedup_id = slice_of_string(dedup_id[i]);
    }
    r->sent += SQS_BATCH_MAX;
    go_to_next_queue(l);
    need_call(sqs_send_batch(load->sqs->aws, queue_of(l), entries, SQS_BATCH_MAX, sent, l, NULL, &e), &e);
}

static double
run(const struct queue_load *load, size_t messages, bool sends_only)
{
    struct lane lanes[LANES_MAX];
    struct err e;
    struct run r = {.load = load, .target = messages, .sends_only = sends_only, .body = malloc(load->body_bytes)};
    if (!r.body || messages == 0 || messages % SQS_BATCH_MAX || load->lanes == 0 || load->lanes > LANES_MAX ||
        (load->queue_urls && load->n_queues < load->lanes))
        need_give_up("a run", "1 to 64 lanes, messages in tens, a queue for each lane");
    memset(r.body, 'x', load->body_bytes);
    r.start_ns = clock_monotonic_ns();
    r.running = load->lanes;
    for (unsigned i = 0; i < load->lanes; i++) {
        lanes[i] = (struct lane){.run = &r, .queue = i};
        step(&lanes[i]);
    }
    while (!r.done)
        need_call(http_engine_run_until(load->sqs->engine, &r.done, LONGEST_MS, &e), &e);
    free(r.body);
    return (double)messages / ((double)(r.over_ns - r.start_ns) / 1e9);
}

double
queue_load_cycle(const struct queue_load *load, size_t messages)
{
    return run(load, messages, false);
}

double
queue_load_fill(const struct queue_load *load, size_t messages)
{
    return run(load, messages, true);
}

/* ---- the queue --------------------------------------------------------------------------------------------------- */

struct found {
    char *out;
    size_t size;
    bool done;
};

static void
found_queue(void *context, const struct sqs_queue *q)
{
    struct found *f = context;
    need_answer("GetQueueUrl", q->error);
    snprintf(f->out, f->size, "%.*s", SLICE_ARG(q->url));
    f->done = true;
}

void
queue_load_find(struct system_client *sqs, const char *name, char *out, size_t size)
{
    struct found f = {.out = out, .size = size};
    struct err e;
    need_call(sqs_get_queue_url(sqs->aws, name, found_queue, &f, NULL, &e), &e);
    need_call(http_engine_run_until(sqs->engine, &f.done, LONGEST_MS, &e), &e);
}
