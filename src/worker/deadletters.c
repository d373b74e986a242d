#include "worker/deadletters.h"

#include <string.h>

#include "base/log.h"
#include "worker/letter.h"

#define LINGER_MS    5
#define MAX_CALLS    8
#define LEASE_MS     30000 /* in hand before a move starts */
#define LEASE_ASK_MS 60000 /* asked for when there is less */
#define LOG_EVERY_MS 1000

static struct deadletters *
deadletters_of(struct outbox *b)
{
    return (struct deadletters *)((char *)b - offsetof(struct deadletters, box));
}

/* ---- calls ---- */

static bool
is_fifo(const char *url)
{
    size_t n = strlen(url);
    return n > 5 && strcmp(url + n - 5, ".fifo") == 0;
}

static int
send(struct outbox *b, struct message *const *messages, size_t n, sqs_batch_fn *done, void *context, struct err *e)
{
    struct queue *q = b->world->queue;
    bool fifo = is_fifo(q->dead_letter_url);
    const struct deadletters *d = deadletters_of(b);
    int64_t wall_ms = b->world->wall_ms();
    struct letter letters[SQS_BATCH_MAX];
    struct sqs_send entries[SQS_BATCH_MAX] = {{.delay_s = -1}};
    for (size_t i = 0; i < n; i++) {
        const struct message *m = messages[i];
        letter_write(&d->options.sender, m, wall_ms, &letters[i]);
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
    int rc = q->ops->send_dead(q, entries, n, done, context, e);
    for (size_t i = 0; i < n; i++)
        letter_clean_up(&letters[i]);
    return rc;
}

static bool
wanted(struct outbox *b, struct message *m, int64_t now_ms)
{
    struct deadletters *d = deadletters_of(b);
    if (!b->world->queue->dead_letter_url) { /* it had one; the queue was replaced meanwhile */
        d->options.refused(d->options.context, m, now_ms);
        return false;
    }
    if (message_lease_left_ms(m, now_ms) >= LEASE_MS)
        return true;
    lease_reach(d->lease, m, now_ms + LEASE_ASK_MS, now_ms);
    return false;
}

/* No try will fare better. */
static bool
is_for_good(const struct outbox_outcome *o)
{
    if (o->error)
        return !o->error->err.retryable && !o->error->maybe_executed;
    return o->result && o->result->sender_fault;
}

static bool
finished(struct outbox *b, struct message *m, const struct outbox_outcome *o, int64_t now_ms)
{
    struct deadletters *d = deadletters_of(b);
    if (o->result && o->result->ok) {
        WORLD_COUNT(d->world, dead_lettered, 1);
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "message moved to the dead-letter queue", LOG_SLICE("id", m->id),
                          LOG_STR("dead_letter_id", o->result->message_id),
                          LOG_STR("kind", letter_kind(m->verdict.dead)), LOG_INT("attempts", m->attempts),
                          LOG_STR("reason", m->verdict.reason ? m->verdict.reason : ""));
        d->options.moved(d->options.context, m, now_ms);
        return false;
    }
    if (atomic_load_explicit(&m->lost, memory_order_relaxed)) {
        d->options.over(d->options.context, m, now_ms);
        return false;
    }
    if (!is_for_good(o))
        return true;
    log_write_limited(LOG_ERROR, LOG_EVERY_MS,
                      "the dead-letter queue refused a message; it stays in its queue until SQS moves it",
                      LOG_SLICE("id", m->id), LOG_STR("code", o->error ? o->error->code : o->result->code),
                      LOG_STR("error", o->error ? o->error->err.text : o->result->message));
    d->options.refused(d->options.context, m, now_ms);
    return false;
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 20000, .floor_ms = 100};

static const struct outbox_ops OPS = {.name = "send to the dead-letter queue",
                                      .permission = "sqs:SendMessage",
                                      .at_dead_letters = true,
                                      .pause = &PAUSE,
                                      .send = send,
                                      .finished = finished,
                                      .wanted = wanted,
                                      .weight = letter_bytes_at_most,
                                      .max_bytes = LETTER_BYTES,
                                      .entry_offset = offsetof(struct message, settling)};

/* ---- the owner's side ---- */

void
deadletters_init(struct deadletters *d, struct world *w, struct lease *lease, const struct deadletters_options *options)
{
    *d = (struct deadletters){.world = w, .lease = lease, .options = *options};
    outbox_init(&d->box, &OPS, w, LINGER_MS, MAX_CALLS);
}

void
deadletters_clean_up(struct deadletters *d)
{
    outbox_clean_up(&d->box);
}

void
deadletters_add(struct deadletters *d, struct message *m, int64_t now_ms)
{
    outbox_add(&d->box, m, now_ms);
}

void
deadletters_extended(struct deadletters *d, struct message *m, int64_t now_ms)
{
    if (!outbox_holds(&d->box, m) && message_lease_left_ms(m, now_ms) >= LEASE_MS)
        outbox_add(&d->box, m, now_ms);
}

void
deadletters_lost(struct deadletters *d, struct message *m, int64_t now_ms)
{
    if (outbox_is_sending(&d->box, m))
        return;
    outbox_remove(&d->box, m);
    d->options.over(d->options.context, m, now_ms);
}
