#include "worker/releases.h"

#include "base/log.h"
#include "worker/lease.h"

#define LOG_EVERY_MS 1000

static struct releases *
releases_of(struct outbox *b)
{
    return (struct releases *)((char *)b - offsetof(struct releases, box));
}

static int
send(struct outbox_call *c, struct err *e)
{
    struct world *w = c->box->world;
    struct sqs_visibility entries[SQS_BATCH_MAX];
    int64_t now_ms = w->clock_ms();
    for (size_t i = 0; i < c->n; i++) {
        const struct message *m = c->entries[i]->message;
        int64_t longest_s = lease_longest_s(m, now_ms); /* less than when the delay was chosen */
        unsigned timeout_s = m->release_s;
        entries[i] = (struct sqs_visibility){.receipt_handle = m->receipt_handle,
                                             .timeout_s = timeout_s < longest_s ? timeout_s : (unsigned)longest_s};
    }
    return w->queue->ops->change_visibility(w->queue, entries, c->n, outbox_answered, c, e);
}

static enum outbox_next
finished(struct outbox *b, struct outbox_entry *x, const struct outbox_outcome *o, int64_t now_ms)
{
    struct releases *r = releases_of(b);
    struct message *m = x->message;
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    if (o->stale && !lost)
        return OUTBOX_AT_ONCE;
    if (!lost && !o->ok && !o->at_fault)
        return OUTBOX_AGAIN;
    if (o->ok && m->given_back)
        WORLD_COUNT(r->world, given_back, 1);
    if (!o->ok && !o->error)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "the delay of a retry was refused; the message comes back by itself",
                          LOG_SLICE("id", m->id), LOG_STR("code", o->code), LOG_STR("error", o->text));
    r->over(r->context, m, now_ms);
    return OUTBOX_OVER;
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 5000, .floor_ms = 100};

static const struct outbox_ops OPS = {.name = "change visibility",
                                      .at = "queue",
                                      .permission = "sqs:ChangeMessageVisibility",
                                      .pause = &PAUSE,
                                      .linger_ms = 5,
                                      .max_calls = 32,
                                      .send = send,
                                      .finished = finished};

void
releases_init(struct releases *r, struct world *w, void (*over)(void *context, struct message *m, int64_t now_ms),
              void *context)
{
    *r = (struct releases){.world = w, .over = over, .context = context};
    outbox_init(&r->box, &OPS, w);
}

void
releases_clean_up(struct releases *r)
{
    outbox_clean_up(&r->box);
}

void
releases_add(struct releases *r, struct message *m, int64_t now_ms)
{
    outbox_add(&r->box, &m->settling, now_ms);
}

void
releases_lost(struct releases *r, struct message *m, int64_t now_ms)
{
    if (outbox_is_sending(&r->box, &m->settling))
        return;
    outbox_remove(&r->box, &m->settling);
    r->over(r->context, m, now_ms);
}
