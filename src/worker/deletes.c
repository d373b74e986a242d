#include "worker/deletes.h"

#include "base/log.h"

#define UNCONFIRMED  10000 /* ids */
#define RECENT       4096
#define LINGER_MS    5
#define MAX_CALLS    32
#define LOG_EVERY_MS 1000

static struct deletes *
deletes_of(struct outbox *b)
{
    return (struct deletes *)((char *)b - offsetof(struct deletes, box));
}

static int
send(struct outbox *b, struct message *const *messages, size_t n, sqs_batch_fn *done, void *context, struct err *e)
{
    struct queue *q = b->world->queue;
    struct slice handles[SQS_BATCH_MAX];
    for (size_t i = 0; i < n; i++)
        handles[i] = messages[i]->receipt_handle;
    return q->ops->delete_batch(q, handles, n, done, context, e);
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

static bool
finished(struct outbox *b, struct message *m, const struct outbox_outcome *o, int64_t now_ms)
{
    struct deletes *d = deletes_of(b);
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    if (!o->error && o->result->ok && !o->stale) {
        confirmed(d, m, o->sent_ms, now_ms);
        return false;
    }
    if (o->stale && !lost)
        return true;
    WORLD_COUNT(d->world, delete_errors, 1);
    if (lost)
        give_up(d, m, "the lease is over", now_ms);
    else if (!o->error && o->result->sender_fault)
        give_up(d, m, o->result->code, now_ms);
    else
        return true;
    return false;
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 20000, .floor_ms = 100};

static const struct outbox_ops OPS = {.name = "delete messages",
                                      .permission = "sqs:DeleteMessage",
                                      .pause = &PAUSE,
                                      .send = send,
                                      .finished = finished,
                                      .entry_offset = offsetof(struct message, settling)};

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
    outbox_init(&d->box, &OPS, w, LINGER_MS, MAX_CALLS);
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
    outbox_add(&d->box, m, now_ms);
}

void
deletes_lost(struct deletes *d, struct message *m, int64_t now_ms)
{
    if (outbox_is_sending(&d->box, m))
        return;
    outbox_remove(&d->box, m);
    give_up(d, m, "the lease is over", now_ms);
}
