#include "worker/deadletters.h"

#include <string.h>

#include "base/log.h"
#include "worker/letter.h"

#define LEASE_MS     30000 /* in hand before a move starts */
#define LEASE_ASK_MS 60000 /* asked for when there is less */
#define LOG_EVERY_MS 1000

static struct deadletters *
deadletters_of(struct outbox *b)
{
    return (struct deadletters *)((char *)b - offsetof(struct deadletters, box));
}

/* ---- calls ---- */

static int
send(struct outbox_call *c, struct err *e)
{
    const struct deadletters *d = deadletters_of(c->box);
    struct queue *q = d->world->queue;
    bool fifo = order_is_fifo(q->dead_letter_url);
    int64_t wall_ms = d->world->wall_ms();
    struct letter letters[SQS_BATCH_MAX];
    struct sqs_send entries[SQS_BATCH_MAX] = {{.delay_s = -1}};
    for (size_t i = 0; i < c->n; i++) {
        struct message *m = c->entries[i]->message;
        letter_write(&d->options.sender, m, wall_ms, &letters[i]);
        m->letter_is_mute = !letters[i].says_why;
        entries[i] = (struct sqs_send){.body = m->body,
                                       .attributes = letters[i].attributes,
                                       .n_attributes = letters[i].n,
                                       .group = m->group,
                                       .trace_header = message_system_attribute(m, MESSAGE_TRACE_HEADER),
                                       .delay_s = -1};
        if (fifo) {
            entries[i].dedup_id = m->id;
            entries[i].group = m->group.n > 0 ? m->group : m->id;
        }
    }
    int rc = q->ops->send_dead(q, entries, c->n, outbox_answered, c, e);
    for (size_t i = 0; i < c->n; i++)
        letter_clean_up(&letters[i]);
    return rc;
}

static bool
wanted(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    struct deadletters *d = deadletters_of(b);
    struct message *m = x->message;
    if (!b->world->queue->dead_letter_url) { /* it had one; the queue was replaced meanwhile */
        d->options.refused(d->options.context, m, now_ms);
        return false;
    }
    if (message_lease_left_ms(m, now_ms) >= LEASE_MS)
        return true;
    lease_reach(d->lease, m, now_ms + LEASE_ASK_MS, now_ms);
    return false;
}

/* No try will fare better. A permission may be given; on a FIFO queue that is waited for, because with the message its
 * group would go back, and spend its receives unhandled. */
static bool
is_for_good(const struct message *m, const struct outbox_outcome *o)
{
    if (o->error && m->order.group && aws_error_is_missing_permission(o->error))
        return false;
    if (o->error)
        return !o->error->err.retryable && !o->error->maybe_executed;
    return o->at_fault;
}

/* A reason that no dead letter carries is in no other place. */
static void
log_moved(const struct message *m, const struct outbox_outcome *o)
{
    const char *reason = m->verdict.reason ? m->verdict.reason : "";
    if (m->letter_is_mute)
        log_write(LOG_WARN, "message moved to the dead-letter queue, without its reason: there was no room",
                  LOG_SLICE("id", m->id), LOG_STR("dead_letter_id", o->message_id),
                  LOG_STR("kind", letter_kind(m->verdict.dead)), LOG_INT("attempts", m->attempts),
                  LOG_STR("reason", reason));
    else
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "message moved to the dead-letter queue", LOG_SLICE("id", m->id),
                          LOG_STR("dead_letter_id", o->message_id), LOG_STR("kind", letter_kind(m->verdict.dead)),
                          LOG_INT("attempts", m->attempts), LOG_STR("reason", reason));
}

/* A queue that was deleted, perhaps because another one has taken its place. */
static bool
is_gone(const struct outbox_outcome *o)
{
    return o->error && strcmp(o->error->code, "AWS.SimpleQueueService.NonExistentQueue") == 0;
}

static enum outbox_next
finished(struct outbox *b, struct outbox_entry *x, const struct outbox_outcome *o, int64_t now_ms)
{
    struct deadletters *d = deadletters_of(b);
    struct message *m = x->message;
    if (o->ok) {
        WORLD_COUNT(d->world, dead_lettered, 1);
        log_moved(m, o);
        d->options.moved(d->options.context, m, now_ms);
        return OUTBOX_OVER;
    }
    if (atomic_load_explicit(&m->lost, memory_order_relaxed)) {
        d->options.over(d->options.context, m, now_ms);
        return OUTBOX_OVER;
    }
    if (is_gone(o)) { /* its successor, if there is one, is where the next try goes */
        d->options.gone(d->options.context);
        return OUTBOX_AGAIN;
    }
    if (!is_for_good(m, o))
        return o->stale ? OUTBOX_AT_ONCE : OUTBOX_AGAIN;
    if (o->at_fault && letter_shrink(m)) {
        log_write_limited(LOG_WARN, LOG_EVERY_MS,
                          "the dead-letter queue refused a message; sent again with less about why it is dead",
                          LOG_SLICE("id", m->id), LOG_STR("code", o->code), LOG_STR("error", o->text),
                          LOG_STR("reason", m->verdict.reason ? m->verdict.reason : ""));
        return OUTBOX_AT_ONCE;
    }
    log_write_limited(LOG_ERROR, LOG_EVERY_MS,
                      "the dead-letter queue refused a message; it stays in its queue until SQS moves it",
                      LOG_SLICE("id", m->id), LOG_STR("code", o->code), LOG_STR("error", o->text));
    d->options.refused(d->options.context, m, now_ms);
    return OUTBOX_OVER;
}

static const char *
target(const struct outbox *b)
{
    return b->world->queue->dead_letter_url;
}

static size_t
weight(const struct outbox_entry *x)
{
    return letter_bytes_at_most(x->message);
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 20000, .floor_ms = 100};

static const struct outbox_ops OPS = {.name = "send to the dead-letter queue",
                                      .at = "queue",
                                      .permission = "sqs:SendMessage",
                                      .pause = &PAUSE,
                                      .linger_ms = 5,
                                      .max_calls = 8,
                                      .send = send,
                                      .finished = finished,
                                      .target = target,
                                      .wanted = wanted,
                                      .weight = weight,
                                      .max_bytes = LETTER_BYTES};

/* ---- the owner's side ---- */

void
deadletters_init(struct deadletters *d, struct world *w, struct lease *lease, const struct deadletters_options *options)
{
    *d = (struct deadletters){.world = w, .lease = lease, .options = *options};
    outbox_init(&d->box, &OPS, w);
}

void
deadletters_clean_up(struct deadletters *d)
{
    outbox_clean_up(&d->box);
}

void
deadletters_add(struct deadletters *d, struct message *m, int64_t now_ms)
{
    outbox_add(&d->box, &m->settling, now_ms);
}

void
deadletters_extended(struct deadletters *d, struct message *m, int64_t now_ms)
{
    if (!outbox_holds(&d->box, &m->settling) && message_lease_left_ms(m, now_ms) >= LEASE_MS)
        outbox_add(&d->box, &m->settling, now_ms);
}

void
deadletters_lost(struct deadletters *d, struct message *m, int64_t now_ms)
{
    if (outbox_is_sending(&d->box, &m->settling))
        return;
    outbox_remove(&d->box, &m->settling);
    d->options.over(d->options.context, m, now_ms);
}
