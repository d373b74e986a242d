#include "worker/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "worker/discover.h"
#include "worker/inflight.h"
#include "worker/lease.h"
#include "worker/poll.h"
#include "worker/settle.h"

#define LOG_EVERY_MS   1000
#define GAUGES_MS      1000
#define GAUGES_MOST    10000 /* messages looked at for a gauge */
#define POLL_MARGIN_MS 1000  /* before a drain's deadline */

struct engine {
    struct engine_options options;
    struct world world;
    size_t cap;
    char queue_name[256];
    struct discover discover;
    struct inflight in_hand;
    struct lease lease;
    struct batcher batcher;
    struct settle settle;
    struct poll poll;
    enum ipc_health health;
    bool health_told;
    int64_t gauges_due_ms;
    bool draining, deadline_passed;
    struct message *held; /* to be given back when no receive is outstanding */
    int64_t deadline_ms;
    struct timer poll_deadline, deadline;
};

/* ---- the queue's answers ---- */

static void
tell_health(struct engine *g, enum ipc_health health, const char *why)
{
    if (g->health_told && g->health == health)
        return;
    g->health_told = true;
    g->health = health;
    g->options.health(g->options.context, health, why);
}

static void
queue_failed(void *context, const struct aws_error *error)
{
    bool credentials = error->err.code == ERR_DENIED || strcmp(error->code, "credentials") == 0;
    tell_health(context, credentials ? IPC_HEALTH_CREDENTIALS : IPC_HEALTH_QUEUE, error->err.text);
}

static void
queue_answered(void *context, const struct aws_error *error)
{
    struct engine *g = context;
    if (!error) {
        tell_health(g, IPC_HEALTH_OK, "");
        return;
    }
    queue_failed(g, error);
    /* It may come back as another one: with another visibility timeout, or another dead-letter queue. */
    if (strcmp(error->code, "AWS.SimpleQueueService.NonExistentQueue") == 0 && !g->draining) {
        poll_close(&g->poll);
        discover_start(&g->discover);
    }
}

static void
queue_found(void *context, int visibility_s, int64_t now_ms)
{
    struct engine *g = context;
    const char *dead = g->world.queue->dead_letter_url;
    log_write(LOG_INFO, "queue found", LOG_STR("url", g->world.queue->url),
              LOG_INT("visibility_timeout_s", visibility_s), LOG_STR("dead_letter_queue", dead ? dead : "none"));
    tell_health(g, IPC_HEALTH_OK, "");
    if (g->draining)
        return;
    lease_set_visibility(&g->lease, visibility_s);
    poll_open(&g->poll, visibility_s);
    poll_step(&g->poll, now_ms);
}

/* ---- the end of a message ---- */

static void
message_over(void *context, struct message *m, int64_t now_ms)
{
    struct engine *g = context;
    (void)now_ms;
    m->state = MESSAGE_OVER;
    lease_remove(&g->lease, m);
    if (m->record != MESSAGE_NO_RECORD)
        ledger_release(g->world.ledger, m->record);
    m->record = MESSAGE_NO_RECORD;
    inflight_remove(&g->in_hand, m);
}

static void
lease_lost(void *context, struct message *m, int64_t now_ms)
{
    struct engine *g = context;
    if (m->state == MESSAGE_QUEUED)
        WORLD_COUNT(&g->world, lost, 1); /* stays in hand until its handler thread has seen it */
    else
        settle_lost(&g->settle, m, now_ms);
}

static void
lease_extended(void *context, struct message *m, int64_t now_ms)
{
    settle_extended(&((struct engine *)context)->settle, m, now_ms);
}

static void
lease_quiet(void *context, struct message *m, int64_t now_ms)
{
    settle_quiet(&((struct engine *)context)->settle, m, now_ms);
}

/* ---- giving back ---- */

/* While a receive of ours waits at the queue it would take back at once what is given back now: one more receive spent,
 * and nothing won. So it is held, under lease, until no receive is outstanding. */
static void
give_back(struct engine *g, struct message *m)
{
    if (m->given_back)
        return; /* it is held already */
    m->given_back = true;
    m->verdict.kind = VERDICT_GIVE_BACK;
    m->next_held = g->held;
    g->held = m;
}

static void
give_back_held(struct engine *g, int64_t now_ms)
{
    if (g->poll.outstanding > 0)
        return;
    while (g->held) {
        struct message *m = g->held;
        g->held = m->next_held;
        settle_verdict(&g->settle, m, now_ms);
    }
}

static void
decided(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->verdict.kind == VERDICT_GIVE_BACK)
        give_back(g, m);
    else
        settle_verdict(&g->settle, m, now_ms);
}

/* ---- receives ---- */

static void
write_to_ledger(struct engine *g, struct message *m)
{
    struct err e;
    const struct ledger_message record = {.id = m->id,
                                          .receipt_handle = m->receipt_handle,
                                          .group = m->group,
                                          .body = m->body,
                                          .attributes = m->attributes,
                                          .md5_of_body = m->md5_of_body,
                                          .receive_count = m->receive_count,
                                          .sent_at_ms = m->view.sent_at_ms,
                                          .received_at_ms = m->view.received_at_ms,
                                          .first_received_mono_ms = m->received_ms,
                                          .lease_mono_ms = atomic_load_explicit(&m->lease_ms, memory_order_relaxed)};
    uint32_t number;
    if (ledger_put(g->world.ledger, &record, &number, &e) == 0)
        m->record = number;
    else
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "not in the ledger: a crash would leave this message to SQS",
                          LOG_SLICE("id", m->id), LOG_ERR(&e));
}

static void
received_again(struct engine *g, struct message *m, const struct sqs_message *r, int64_t handed_out_ms, int64_t now_ms)
{
    struct err e;
    if (message_receive_again(m, r, handed_out_ms) != 0)
        return; /* the older handle has to do */
    lease_begin(&g->lease, m, handed_out_ms);
    if (m->record != MESSAGE_NO_RECORD &&
        ledger_set_receipt(g->world.ledger, m->record, m->receipt_handle, m->receive_count,
                           atomic_load_explicit(&m->lease_ms, memory_order_relaxed), &e) != 0)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "the ledger keeps an old receipt handle", LOG_SLICE("id", m->id),
                          LOG_ERR(&e));
    if (m->state != MESSAGE_QUEUED)
        settle_receipt(&g->settle, m, now_ms);
    log_write_limited(LOG_INFO, LOG_EVERY_MS, "message in hand received again", LOG_SLICE("id", m->id),
                      LOG_INT("receive_count", m->receive_count));
}

/* The message starts its life here. */
static void
received_new(struct engine *g, const struct sqs_message *r, int64_t handed_out_ms, int64_t now_ms)
{
    struct message *m = message_new(r, g->queue_name, g->world.wall_ms(), handed_out_ms);
    if (!m || lease_begin(&g->lease, m, handed_out_ms) != 0) {
        if (m)
            message_release(m);
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "out of memory: a message is left to SQS", LOG_SLICE("id", r->id));
        return;
    }
    write_to_ledger(g, m);
    inflight_add(&g->in_hand, m);
    if (settle_again(&g->settle, m, now_ms))
        return;
    if (g->draining) {
        give_back(g, m);
        return;
    }
    message_hold(m);
    if (batcher_add(&g->batcher, m, now_ms) == 0)
        return;
    message_release(m); /* no memory for it: later */
    m->verdict = (struct message_verdict){.kind = HANDLER_RETRY, .delay_ms = -1};
    settle_verdict(&g->settle, m, now_ms);
}

static void
messages_received(void *context, const struct sqs_message *messages, size_t n, int64_t handed_out_ms, int64_t now_ms)
{
    struct engine *g = context;
    for (size_t i = 0; i < n; i++) {
        const struct sqs_message *r = &messages[i];
        struct message *m = inflight_find(&g->in_hand, r->id, message_hash(r->id));
        if (m)
            received_again(g, m, r, handed_out_ms, now_ms);
        else
            received_new(g, r, handed_out_ms, now_ms);
    }
    batcher_end_receive(&g->batcher, now_ms);
    give_back_held(g, now_ms);
}

/* ---- batches ---- */

static void
submit_batch(void *context, struct batch *b, int64_t now_ms)
{
    struct engine *g = context;
    (void)now_ms;
    assert(g->batcher.out <= g->cap + g->options.threads);
    g->options.submit(g->options.context, b);
}

static void
batch_returned(struct engine *g, struct batch *b, int64_t now_ms)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->messages[i]->state == MESSAGE_QUEUED)
            decided(g, b->messages[i], now_ms);
    batcher_recycle(&g->batcher, b);
}

static void
extend_batch(struct engine *g, struct batch *b, int64_t now_ms)
{
    /* Either this sees the wish, or who wished after it queues the batch again. */
    atomic_exchange_explicit(&b->extend_queued, false, memory_order_acq_rel);
    for (size_t i = 0; i < b->count; i++) {
        struct message *m = b->messages[i];
        int64_t until_ms = atomic_load_explicit(&m->asked_until_ms, memory_order_relaxed);
        if (m->state == MESSAGE_QUEUED && until_ms > m->wanted_until_ms &&
            !atomic_load_explicit(&m->lost, memory_order_relaxed))
            lease_reach(&g->lease, m, until_ms, now_ms);
    }
}

void
engine_take(struct engine *g, struct inbox_node *list, int64_t now_ms)
{
    while (list) {
        struct inbox_node *node = list;
        list = node->next;
        switch (node->kind) {
        case INBOX_SETTLED:
            decided(g, message_of_settled(node), now_ms);
            break;
        case INBOX_RETURNED:
            batch_returned(g, batch_of_returned(node), now_ms);
            break;
        case INBOX_EXTEND:
            extend_batch(g, batch_of_extend(node), now_ms);
            break;
        }
    }
}

/* ---- drain ---- */

static void
give_back_batch(struct engine *g, struct batch *b, int64_t now_ms)
{
    for (size_t i = 0; i < b->count; i++)
        b->messages[i]->verdict.kind = VERDICT_GIVE_BACK;
    batch_returned(g, b, now_ms);
}

static void
poll_deadline(struct timer *t, int64_t now_ms)
{
    struct engine *g = (struct engine *)((char *)t - offsetof(struct engine, poll_deadline));
    if (g->poll.outstanding > 0)
        log_write(LOG_WARN, "drain: the outstanding receive is cut off; what it may have taken comes back by itself",
                  LOG_INT("receives", g->poll.outstanding));
    poll_cancel(&g->poll);
    give_back_held(g, now_ms);
}

static void
deadline(struct timer *t, int64_t now_ms)
{
    struct engine *g = (struct engine *)((char *)t - offsetof(struct engine, deadline));
    (void)now_ms;
    g->deadline_passed = true;
}

void
engine_drain(struct engine *g, int64_t deadline_ms, int64_t now_ms)
{
    if (g->draining && deadline_ms >= g->deadline_ms)
        return;
    int64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    int64_t margin_ms = left_ms / 4 < POLL_MARGIN_MS ? left_ms / 4 : POLL_MARGIN_MS;
    g->deadline_ms = deadline_ms;
    timers_set(g->world.timers, &g->poll_deadline, deadline_ms - margin_ms);
    timers_set(g->world.timers, &g->deadline, deadline_ms);
    if (g->draining)
        return;
    g->draining = true;
    log_write(LOG_INFO, "draining", LOG_INT("deadline_ms", left_ms), LOG_INT("in_hand", g->in_hand.count),
              LOG_INT("receives", g->poll.outstanding));
    discover_stop(&g->discover);
    poll_close(&g->poll);
    settle_drain(&g->settle, now_ms);
    for (struct message *m = g->in_hand.oldest; m; m = m->next)
        settle_hurry(&g->settle, m, now_ms);
    struct batch *b = batcher_take_open(&g->batcher);
    if (b)
        give_back_batch(g, b, now_ms);
    while ((b = g->options.take_back(g->options.context)))
        give_back_batch(g, b, now_ms);
}

bool
engine_is_over(const struct engine *g, size_t *ret_left)
{
    if (!g->draining)
        return false;
    if (!g->deadline_passed && (g->in_hand.count > 0 || g->poll.outstanding > 0 || g->batcher.out > 0))
        return false;
    *ret_left = g->in_hand.count;
    return true;
}

/* ---- turns ---- */

static void
update_gauges(struct engine *g, int64_t now_ms)
{
    struct ledger_counters *c = g->world.counters;
    atomic_store_explicit(&c->in_flight, (int64_t)g->in_hand.count, memory_order_relaxed);
    if (now_ms < g->gauges_due_ms)
        return;
    g->gauges_due_ms = now_ms + GAUGES_MS;
    int64_t oldest_ms = 0;
    size_t n = 0;
    for (const struct message *m = g->in_hand.oldest; m && n < GAUGES_MOST; m = m->next, n++)
        if (oldest_ms == 0 || m->view.sent_at_ms < oldest_ms)
            oldest_ms = m->view.sent_at_ms;
    atomic_store_explicit(&c->oldest_sent_at_ms, oldest_ms, memory_order_relaxed);
}

void
engine_turn(struct engine *g, int64_t now_ms)
{
    poll_step(&g->poll, now_ms);
    give_back_held(g, now_ms);
    assert(g->in_hand.count + g->poll.reserved <= g->cap);
    update_gauges(g, now_ms);
}

void
engine_start(struct engine *g)
{
    discover_start(&g->discover);
}

size_t
engine_cap(const struct engine *g)
{
    return g->cap;
}

void
engine_dump(const struct engine *g, int64_t now_ms)
{
    log_write(LOG_INFO, "state", LOG_STR("queue", g->world.queue->url ? g->world.queue->url : g->options.queue),
              LOG_INT("cap", g->cap), LOG_INT("in_hand", g->in_hand.count), LOG_INT("reserved", g->poll.reserved),
              LOG_INT("receives", g->poll.outstanding), LOG_INT("receives_wanted", g->poll.target),
              LOG_INT("batches", g->batcher.out), LOG_BOOL("draining", g->draining));
    log_write(
        LOG_INFO, "state of settlements", LOG_INT("deletes_ready", g->settle.deletes.box.ready),
        LOG_INT("deletes_sent", g->settle.deletes.box.sent), LOG_INT("deletes_waiting", g->settle.deletes.box.waiting),
        LOG_INT("releases_ready", g->settle.releases.box.ready), LOG_INT("releases_sent", g->settle.releases.box.sent),
        LOG_INT("releases_waiting", g->settle.releases.box.waiting),
        LOG_INT("dead_letters_ready", g->settle.deadletters.box.ready),
        LOG_INT("dead_letters_sent", g->settle.deadletters.box.sent),
        LOG_INT("dead_letters_waiting", g->settle.deadletters.box.waiting),
        LOG_INT("extensions_sent", g->lease.box.sent), LOG_INT("done_ids", g->settle.deletes.unconfirmed.count));
    size_t n = 0;
    for (const struct message *m = g->in_hand.oldest; m && n < 10; m = m->next, n++)
        log_write(LOG_INFO, "state of a message", LOG_SLICE("id", m->id), LOG_INT("state", m->state),
                  LOG_INT("receive_count", m->receive_count), LOG_INT("held_ms", now_ms - m->received_ms),
                  LOG_INT("lease_left_ms", message_lease_left_ms(m, now_ms)));
}

/* ---- life ---- */

/* "orders" of "https://sqs.eu-west-1.amazonaws.com/123456789012/orders". */
static void
name_of_queue(const char *queue, char *out, size_t capacity)
{
    const char *slash = strstr(queue, "://") ? strrchr(queue, '/') : NULL;
    size_t n = strlen(slash ? slash + 1 : queue);
    n = n < capacity ? n : capacity - 1;
    memcpy(out, slash ? slash + 1 : queue, n);
    out[n] = '\0';
}

static size_t
cap_of(const struct engine_options *o)
{
    size_t cap = o->threads * o->batch_size * (1 + o->prefetch);
    size_t records = ledger_records(o->world.ledger);
    if (cap > records)
        log_write(LOG_WARN, "fewer messages in hand than the configuration asks for", LOG_INT("wanted", cap),
                  LOG_INT("at_most", records));
    return cap < records ? cap : records;
}

int
engine_new(const struct engine_options *options, struct engine **ret_engine, struct err *e)
{
    struct engine *g = calloc(1, sizeof *g);
    if (!g)
        return err_no_memory(e);
    g->options = *options;
    g->world = options->world;
    g->cap = cap_of(options);
    g->poll_deadline.fire = poll_deadline;
    g->deadline.fire = deadline;
    name_of_queue(options->queue, g->queue_name, sizeof g->queue_name);
    int rc = inflight_init(&g->in_hand, g->cap, e);
    if (rc != 0)
        goto fail;
    const struct lease_watcher watcher = {
        .lost = lease_lost, .extended = lease_extended, .quiet = lease_quiet, .context = g};
    lease_init(&g->lease, &g->world, &watcher);
    const struct settle_options settle = {.retry = options->retry,
                                          .consumer = options->consumer,
                                          .handler = options->handler,
                                          .over = message_over,
                                          .context = g};
    rc = settle_init(&g->settle, &g->world, &g->lease, &settle, e);
    if (rc != 0)
        goto fail;
    batcher_init(&g->batcher, g->world.timers, options->batch_size, options->batch_window_ms, submit_batch, g);
    const struct poll_options poll = {.in_hand = &g->in_hand,
                                      .cap = g->cap,
                                      .at_once = options->threads * options->batch_size,
                                      .batch_size = options->batch_size,
                                      .wait_time_s = options->wait_time_s,
                                      .received = messages_received,
                                      .answered = queue_answered,
                                      .context = g};
    poll_init(&g->poll, &g->world, &poll);
    const struct discover_options discover = {.queue = options->queue,
                                              .visibility_timeout_s = options->visibility_timeout_s,
                                              .found = queue_found,
                                              .failed = queue_failed,
                                              .context = g};
    discover_init(&g->discover, &g->world, &discover);
    *ret_engine = g;
    return 0;
fail:
    inflight_clean_up(&g->in_hand);
    free(g);
    return rc;
}

void
engine_destroy(struct engine *g)
{
    if (!g)
        return;
    timers_cancel(g->world.timers, &g->poll_deadline);
    timers_cancel(g->world.timers, &g->deadline);
    discover_clean_up(&g->discover);
    poll_clean_up(&g->poll);
    settle_clean_up(&g->settle);
    for (struct message *m = g->in_hand.oldest; m; m = m->next)
        lease_remove(&g->lease, m);
    lease_clean_up(&g->lease);
    batcher_clean_up(&g->batcher);
    inflight_clean_up(&g->in_hand);
    free(g);
}
