#include "worker/publish_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/message.h"

static struct publish_box *
publish_box_of(const struct outbox *b)
{
    return (struct publish_box *)((char *)b - offsetof(struct publish_box, box));
}

/* ---- calls to a bus ---- */

static struct sqs_result
read_result(const struct events_result *r)
{
    struct sqs_result result = {.ok = r->event_id[0] != '\0'};
    if (!result.ok) {
        result.sender_fault = !r->retryable;
        snprintf(result.code, sizeof result.code, "%s", r->code);
        snprintf(result.message, sizeof result.message, "%s", r->message);
    }
    return result;
}

/* EventBridge's answer in SQS's words. */
static void
events_answered(void *call, const struct events_put_result *r)
{
    struct sqs_result results[EVENTS_BATCH_MAX];
    size_t n = r->error ? 0 : r->n;
    for (size_t i = 0; i < n; i++)
        results[i] = read_result(&r->results[i]);
    outbox_answered(call, &(struct sqs_batch_result){.error = r->error, .results = n > 0 ? results : NULL, .n = n});
}

static int
put_events(const struct publish_box *b, struct outbox_call *c, struct err *e)
{
    struct events_entry entries[EVENTS_BATCH_MAX];
    for (size_t i = 0; i < c->n; i++) {
        const struct publish_piece *x = publish_piece_of(c->entries[i]);
        entries[i] =
            (struct events_entry){.source = x->source,
                                  .detail_type = x->detail_type,
                                  .detail = x->payload,
                                  .bus = x->target,
                                  .resources = x->resources,
                                  .n_resources = x->n,
                                  .time_ms = x->time_ms,
                                  .trace_header = message_system_attribute(x->list->message, MESSAGE_TRACE_HEADER)};
    }
    return b->outlet->ops->put(b->outlet, entries, c->n, events_answered, c, e);
}

/* ---- calls to a queue ---- */

/* A name stands for another queue once its queue is gone. */
static void
forget_url(struct publish_box *b)
{
    if (strstr(b->target, "://"))
        return;
    free(b->url);
    b->url = NULL;
    outbox_close(&b->box);
}

static void
messages_answered(void *call, const struct sqs_batch_result *r)
{
    const struct outbox_call *c = call;
    if (r->error && r->error->err.code == ERR_NOT_FOUND)
        forget_url(publish_box_of(c->box));
    outbox_answered(call, r);
}

static int
send_messages(const struct publish_box *b, struct outbox_call *c, struct err *e)
{
    struct sqs_send entries[SQS_BATCH_MAX];
    for (size_t i = 0; i < c->n; i++) {
        const struct publish_piece *x = publish_piece_of(c->entries[i]);
        entries[i] = (struct sqs_send){.body = x->payload,
                                       .attributes = x->attributes,
                                       .n_attributes = x->n,
                                       .group = x->group,
                                       .dedup_id = x->dedup_id,
                                       .trace_header = message_system_attribute(x->list->message, MESSAGE_TRACE_HEADER),
                                       .delay_s = x->delay_s};
    }
    return b->outlet->ops->send(b->outlet, b->url, entries, c->n, messages_answered, c, e);
}

/* ---- the URL of a queue ---- */

/* Nobody will ever send what is ready. */
static void
fail_all(struct publish_box *b, const struct aws_error *error, int64_t now_ms)
{
    const struct publish_outcome outcome = {.for_good = true, .code = error->code, .text = error->err.text};
    while (b->box.first) {
        struct publish_piece *x = publish_piece_of(b->box.first);
        outbox_remove(&b->box, &x->entry);
        b->owner.finished(b->owner.context, x, &outcome, now_ms);
    }
}

static void
found(void *context, const struct sqs_queue *q)
{
    struct publish_box *b = context;
    int64_t now_ms = b->box.world->clock_ms();
    struct err e;
    if (q->error) {
        if (q->error->err.code == ERR_NOT_FOUND)
            fail_all(b, q->error, now_ms);
        bool denied = aws_error_is_missing_permission(q->error);
        outbox_opened(&b->box, &q->error->err, denied ? "sqs:GetQueueUrl" : NULL, now_ms);
    } else if ((b->url = strndup(q->url.p, q->url.n))) {
        outbox_opened(&b->box, NULL, NULL, now_ms);
    } else {
        err_no_memory(&e);
        outbox_opened(&b->box, &e, NULL, now_ms);
    }
}

static int
find(struct outbox *box, struct err *e)
{
    struct publish_box *b = publish_box_of(box);
    return b->outlet->ops->find(b->outlet, b->target, found, b, e);
}

/* ---- both ---- */

static int
send(struct outbox_call *c, struct err *e)
{
    const struct publish_box *b = publish_box_of(c->box);
    int rc = b->is_bus ? put_events(b, c, e) : send_messages(b, c, e);
    for (size_t i = 0; rc == 0 && i < c->n; i++)
        publish_piece_of(c->entries[i])->list->in_flight++;
    return rc;
}

static enum outbox_next
finished(struct outbox *box, struct outbox_entry *entry, const struct outbox_outcome *o, int64_t now_ms)
{
    const struct publish_box *b = publish_box_of(box);
    struct publish_piece *x = publish_piece_of(entry);
    bool gone = o->error && o->error->err.code == ERR_NOT_FOUND;
    const struct publish_outcome outcome = {
        .ok = o->ok, .for_good = o->at_fault || gone, .code = o->code, .text = o->text};
    x->list->in_flight--;
    return b->owner.finished(b->owner.context, x, &outcome, now_ms) ? OUTBOX_AGAIN : OUTBOX_OVER;
}

static const char *
target(const struct outbox *b)
{
    return publish_box_of(b)->target;
}

static size_t
weight(const struct outbox_entry *x)
{
    return publish_piece_of(x)->weight;
}

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 20000, .floor_ms = 100};

static const struct outbox_ops BUS = {.name = "publish events",
                                      .at = "bus",
                                      .permission = "events:PutEvents",
                                      .pause = &PAUSE,
                                      .linger_ms = 5,
                                      .max_calls = 8,
                                      .send = send,
                                      .finished = finished,
                                      .target = target,
                                      .weight = weight,
                                      .max_bytes = EVENTS_BYTES_MAX};

static const struct outbox_ops QUEUE = {.name = "publish messages",
                                        .at = "queue",
                                        .permission = "sqs:SendMessage",
                                        .pause = &PAUSE,
                                        .linger_ms = 5,
                                        .max_calls = 8,
                                        .send = send,
                                        .finished = finished,
                                        .target = target,
                                        .weight = weight,
                                        .max_bytes = SQS_MESSAGE_BYTES_MAX,
                                        .open = find};

int
publish_box_aim(struct publish_box *b, bool is_bus, const char *target)
{
    bool is_url = !is_bus && strstr(target, "://");
    char *name = strdup(target), *url = is_url ? strdup(target) : NULL;
    if (!name || (is_url && !url)) {
        free(name);
        free(url);
        return ERR_NO_MEMORY;
    }
    free(b->target);
    free(b->url);
    b->is_bus = is_bus;
    b->target = name;
    b->url = url;
    outbox_turn(&b->box, is_bus ? &BUS : &QUEUE);
    if (!is_bus && !url)
        outbox_close(&b->box);
    return 0;
}

int
publish_box_new(struct world *w, struct publish_outlet *outlet, const struct publish_box_owner *owner, bool is_bus,
                const char *target, struct publish_box **ret_box)
{
    struct publish_box *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NO_MEMORY;
    *b = (struct publish_box){.outlet = outlet, .owner = *owner};
    outbox_init(&b->box, &BUS, w);
    if (publish_box_aim(b, is_bus, target) != 0 || timers_reserve(w->timers, &b->box.flush) != 0) {
        publish_box_destroy(b);
        return ERR_NO_MEMORY;
    }
    *ret_box = b;
    return 0;
}

void
publish_box_destroy(struct publish_box *b)
{
    if (!b)
        return;
    outbox_clean_up(&b->box);
    free(b->target);
    free(b->url);
    free(b);
}
