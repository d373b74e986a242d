#include "worker/deletes.h"

#include "base/log.h"

#define UNCONFIRMED  10000 /* ids */
#define RECENT       4096
#define LOG_EVERY_MS 1000

static struct deletes *
deletes_of(struct outbox *b)
{
    return (struct deletes *)((char *)b - offsetof(struct deletes, box));
}

static int
send(struct outbox_call *c, struct err *e)
{
    struct queue *q = c->box->world->queue;
    struct slice handles[SQS_BATCH_MAX];
    for (size_t i = 0; i < c->n; i++)
        handles[i] = c->entries[i]->message->receipt_handle;
    return q->ops->delete_batch(q, handles, c->n, outbox_answered, c, e);
}

static void
give_up(struct deletes *d, struct message *m, const char *why, int64_t now_ms)
{
    WORLD_COUNT(d->world, delete_failed, 1);
    done_note(&d->unconfirmed, m->id, m->hash);
    log_write_limited(LOG_WARN, LOG_EVERY_MS, "delete given up; if the message comes back it is not handled again",
                      LOG_SLICE("id", m->id), LOG_STR("reason", why));
    d->over(d->context, m, now_ms);
}

static void
confirmed(struct deletes *d, struct message *m, int64_t sent_ms, int64_t now_ms)
{
    WORLD_OBSERVE(d->world, delete_call, now_ms - sent_ms);
    if (sent_ms < atomic_load_explicit(&m->lease_ms, memory_order_relaxed)) {
        WORLD_COUNT(d->world, deleted, 1);
        done_forget(&d->unconfirmed, m->id, m->hash);
        done_note(&d->recent, m->id, m->hash);
    } else {
        WORLD_COUNT(d->world, deleted_late, 1);
        done_note(&d->unconfirmed, m->id, m->hash);
    }
    d->over(d->context, m, now_ms);
}

static enum outbox_next
finished(struct outbox *b, struct outbox_entry *x, const struct outbox_outcome *o, int64_t now_ms)
{
    struct deletes *d = deletes_of(b);
    struct message *m = x->message;
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    if (o->ok && !o->stale) {
        confirmed(d, m, o->sent_ms, now_ms);
        return OUTBOX_OVER;
    }
    if (o->stale && !lost)
        return OUTBOX_AT_ONCE;
    WORLD_COUNT(d->world, delete_errors, 1);
    if (lost)
        give_up(d, m, "the lease is over", now_ms);
    else if (o->at_fault)
        give_up(d, m, o->code, now_ms);
    else
        return OUTBOX_AGAIN;
    return OUTBOX_OVER;
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 20000, .floor_ms = 100};

static const struct outbox_ops OPS = {.name = "delete messages",
                                      .at = "queue",
                                      .permission = "sqs:DeleteMessage",
                                      .pause = &PAUSE,
                                      .linger_ms = 5,
                                      .max_calls = 32,
                                      .send = send,
                                      .finished = finished};

int
deletes_init(struct deletes *d, struct world *w, void (*over)(void *context, struct message *m, int64_t now_ms),
             void *context, struct err *e)
{
    *d = (struct deletes){.world = w, .over = over, .context = context};
    int rc = done_init(&d->unconfirmed, UNCONFIRMED, e);
    if (rc != 0)
        return rc;
    rc = done_init(&d->recent, RECENT, e);
    if (rc != 0) {
        done_clean_up(&d->unconfirmed);
        return rc;
    }
    outbox_init(&d->box, &OPS, w);
    return 0;
}

void
deletes_clean_up(struct deletes *d)
{
    outbox_clean_up(&d->box);
    done_clean_up(&d->unconfirmed);
    done_clean_up(&d->recent);
}

bool
deletes_knows(const struct deletes *d, const struct message *m)
{
    return done_has(&d->unconfirmed, m->id, m->hash) || done_has(&d->recent, m->id, m->hash);
}

void
deletes_add(struct deletes *d, struct message *m, int64_t now_ms)
{
    outbox_add(&d->box, &m->settling, now_ms);
}

void
deletes_lost(struct deletes *d, struct message *m, int64_t now_ms)
{
    if (outbox_is_sending(&d->box, &m->settling))
        return;
    outbox_remove(&d->box, &m->settling);
    give_up(d, m, "the lease is over", now_ms);
}
