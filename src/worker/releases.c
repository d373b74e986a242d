#include "worker/releases.h"

#include "base/log.h"
#include "worker/lease.h"

#define LINGER_MS    5
#define MAX_CALLS    32
#define LOG_EVERY_MS 1000

static struct releases *
releases_of(struct outbox *b)
{
    return (struct releases *)((char *)b - offsetof(struct releases, box));
}

static int
send(struct outbox *b, struct message *const *messages, size_t n, sqs_batch_fn *done, void *context, struct err *e)
{
    struct queue *q = b->world->queue;
    struct sqs_visibility entries[SQS_BATCH_MAX];
    int64_t now_ms = b->world->clock_ms();
    for (size_t i = 0; i < n; i++) {
        int64_t longest_s = lease_longest_s(messages[i], now_ms); /* less than when the delay was chosen */
        unsigned timeout_s = messages[i]->release_s;
        entries[i] = (struct sqs_visibility){.receipt_handle = messages[i]->receipt_handle,
                                             .timeout_s = timeout_s < longest_s ? timeout_s : (unsigned)longest_s};
    }
    return q->ops->change_visibility(q, entries, n, done, context, e);
}

static bool
finished(struct outbox *b, struct message *m, const struct outbox_outcome *o, int64_t now_ms)
{
    struct releases *r = releases_of(b);
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    if (o->stale && !lost)
        return true;
    if (!lost && (o->error || (!o->result->ok && !o->result->sender_fault)))
        return true;
    if (o->result && o->result->ok && m->given_back)
        WORLD_COUNT(r->world, given_back, 1);
    if (o->result && !o->result->ok)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "the delay of a retry was refused; the message comes back by itself",
                          LOG_SLICE("id", m->id), LOG_STR("code", o->result->code),
                          LOG_STR("error", o->result->message));
    r->over(r->context, m, now_ms);
    return false;
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 5000, .floor_ms = 100};

static const struct outbox_ops OPS = {.name = "change visibility",
                                      .permission = "sqs:ChangeMessageVisibility",
                                      .pause = &PAUSE,
                                      .send = send,
                                      .finished = finished,
                                      .entry_offset = offsetof(struct message, settling)};

void
releases_init(struct releases *r, struct world *w, void (*over)(void *context, struct message *m, int64_t now_ms),
              void *context)
{
    *r = (struct releases){.world = w, .over = over, .context = context};
    outbox_init(&r->box, &OPS, w, LINGER_MS, MAX_CALLS);
}

void
releases_clean_up(struct releases *r)
{
    outbox_clean_up(&r->box);
}

void
releases_add(struct releases *r, struct message *m, int64_t now_ms)
{
    outbox_add(&r->box, m, now_ms);
}

void
releases_lost(struct releases *r, struct message *m, int64_t now_ms)
{
    if (outbox_is_sending(&r->box, m))
        return;
    outbox_remove(&r->box, m);
    r->over(r->context, m, now_ms);
}
