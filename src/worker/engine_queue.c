/* What the queue says to the engine: that it was found, or what is wrong with it, and the messages it hands out. */
#include <string.h>

#include "base/log.h"
#include "worker/engine_impl.h"

#define LOG_EVERY_MS 1000

/* ---- the queue's answers ---- */

static void
queue_failed(void *context, const struct aws_error *error)
{
    bool credentials = strcmp(error->code, "credentials") == 0 ||
                       (error->err.code == ERR_DENIED && strcmp(error->code, "tls") != 0); /* it was us who refused */
    engine_set_health(context,
                      aws_error_is_missing_permission(error) ? IPC_HEALTH_PERMISSION
                      : credentials                          ? IPC_HEALTH_CREDENTIALS
                                                             : IPC_HEALTH_QUEUE,
                      error->err.text);
}

static void
queue_answered(void *context, const struct aws_error *error)
{
    struct engine *g = context;
    if (!error) {
        engine_set_health(g, IPC_HEALTH_OK, "");
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
queue_refused(void *context, const char *why)
{
    struct engine *g = context;
    poll_close(&g->poll); /* it had one, once */
    engine_set_health(g, IPC_HEALTH_DEAD_LETTERS, why);
}

static void
queue_found(void *context, int visibility_s, int64_t now_ms)
{
    struct engine *g = context;
    const char *dead = g->world.queue->dead_letter_url;
    log_write(LOG_INFO, "queue found", LOG_STR("url", g->world.queue->url),
              LOG_INT("visibility_timeout_s", visibility_s), LOG_STR("dead_letter_queue", dead ? dead : "none"),
              LOG_INT("max_receive_count", g->world.queue->max_receive_count));
    engine_set_health(g, IPC_HEALTH_OK, "");
    if (g->draining)
        return;
    lease_set_visibility(&g->lease, visibility_s);
    poll_open(&g->poll, visibility_s);
    poll_step(&g->poll, now_ms);
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
    if (r->receive_count < m->receive_count) { /* its answer was overtaken: what it says is over */
        engine_note_unused_receive(g, m);
        return;
    }
    if (message_receive_again(m, r, handed_out_ms) != 0)
        return;                       /* the older handle has to do */
    engine_note_unused_receive(g, m); /* two receives, one handling */
    lease_begin(&g->lease, m, handed_out_ms);
    dedup_extended(&g->dedup, m);
    order_received_again(&g->order, m);
    if (m->record != MESSAGE_NO_RECORD &&
        ledger_set_receipt(g->world.ledger, m->record, m->receipt_handle, m->receive_count,
                           atomic_load_explicit(&m->lease_ms, memory_order_relaxed), &e) != 0)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "the ledger keeps an old receipt handle", LOG_SLICE("id", m->id),
                          LOG_ERR(&e));
    if (m->state != MESSAGE_QUEUED && m->state != MESSAGE_KEPT)
        settle_receipt(&g->settle, m, now_ms);
    log_write_limited(LOG_INFO, LOG_EVERY_MS, "message in hand received again", LOG_SLICE("id", m->id),
                      LOG_INT("receive_count", m->receive_count));
}

/* The message starts its life here. */
static void
received_new(struct engine *g, const struct sqs_message *r, int64_t wall_ms, int64_t handed_out_ms, int64_t now_ms)
{
    struct message *m = message_new(r, g->queue_name, wall_ms, handed_out_ms);
    if (!m || lease_begin(&g->lease, m, handed_out_ms) != 0) {
        if (m)
            message_release(m);
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "out of memory: a message is left to SQS", LOG_SLICE("id", r->id));
        return;
    }
    if (r->sent_at_ms > 0)
        WORLD_OBSERVE(&g->world, message_age, wall_ms - r->sent_at_ms);
    write_to_ledger(g, m);
    inflight_add(&g->in_hand, m);
    if (settle_again(&g->settle, m, now_ms))
        return;
    engine_admit(g, m, 0, now_ms);
}

static void
messages_received(void *context, const struct sqs_message *messages, size_t n, int64_t handed_out_ms, int64_t now_ms)
{
    struct engine *g = context;
    int64_t wall_ms = g->world.wall_ms();
    for (size_t i = 0; i < n; i++) {
        const struct sqs_message *r = &messages[i];
        struct message *m = inflight_find(&g->in_hand, r->id, message_hash(r->id));
        if (m)
            received_again(g, m, r, handed_out_ms, now_ms);
        else
            received_new(g, r, wall_ms, handed_out_ms, now_ms);
    }
    batcher_end_receive(&g->batcher, now_ms);
    engine_give_back_held(g, now_ms);
}

static size_t
room_for_messages(void *context, size_t reserved, size_t most, int64_t now_ms, int64_t *ret_again_ms)
{
    return pressure_room(&((struct engine *)context)->pressure, reserved, most, now_ms, ret_again_ms);
}

/* ---- both ---- */

void
engine_queue_init(struct engine *g)
{
    const struct engine_options *options = &g->options;
    const struct poll_options poll = {.in_hand = &g->in_hand,
                                      .cap = g->cap,
                                      .at_once = options->threads * options->batch_size,
                                      .batch_size = options->batch_size,
                                      .wait_time_s = options->wait_time_s,
                                      .room = room_for_messages,
                                      .fifo = g->order.on,
                                      .received = messages_received,
                                      .answered = queue_answered,
                                      .context = g};
    poll_init(&g->poll, &g->world, &poll);
    const struct discover_options discover = {.queue = options->queue,
                                              .visibility_timeout_s = options->visibility_timeout_s,
                                              .dead_letters = options->dead_letters,
                                              .needs = options->needs_dead_letters,
                                              .max_attempts = options->retry.max_attempts,
                                              .found = queue_found,
                                              .failed = queue_failed,
                                              .refused = queue_refused,
                                              .context = g};
    discover_init(&g->discover, &g->world, &discover);
}
