#include "worker/publish.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"

#define BOXES_KEPT   32 /* beyond that, one that is not used is turned to a new target */
#define LOG_EVERY_MS 1000

static void
count(struct publish *p, const struct publish_outcome *o)
{
    if (o->ok)
        WORLD_COUNT(p->world, published, 1);
    else if (o->for_good)
        WORLD_COUNT(p->world, publish_failed, 1);
    else
        WORLD_COUNT(p->world, publish_errors, 1);
}

/* ---- the end of a list ---- */

/* Takes out what is in no call. */
static void
take_back(struct publish_list *list)
{
    for (struct publish_piece *x = list->first; x; x = x->next)
        if (x->entry.box && !x->entry.call)
            outbox_remove(x->entry.box, &x->entry);
}

static void
end(struct publish *p, struct message *m, int64_t now_ms)
{
    struct publish_list *list = m->publish;
    if (list->unconfirmed > 0) {
        m->verdict.kind = HANDLER_RETRY;
        m->verdict.reason = message_copy_reason(list->reason);
        WORLD_COUNT(p->world, publish_dropped, list->unconfirmed);
    }
    m->publish = NULL;
    publish_list_free(list);
    p->options.decided(p->options.context, m, now_ms);
}

/* A list that is over ends when nothing of it is under way. */
static void
end_if_quiet(struct publish *p, struct publish_list *list, int64_t now_ms)
{
    if (list->lost || list->in_flight > 0)
        return;
    if (list->over || list->unconfirmed == 0)
        end(p, list->message, now_ms);
}

/* ---- boxes ---- */

static bool finished(void *context, struct publish_piece *x, const struct publish_outcome *o, int64_t now_ms);

/* The box for x's target, made if need be. NULL: no memory. */
static struct publish_box *
box_for(struct publish *p, const struct publish_piece *x)
{
    struct publish_box *idle = NULL, *b;
    for (b = p->boxes; b; b = b->next) {
        if (b->is_bus == x->is_event && strcmp(b->target, x->target.p) == 0)
            break;
        if (outbox_is_idle(&b->box) && (!idle || b->used < idle->used))
            idle = b;
    }
    if (!b && idle && p->n_boxes >= BOXES_KEPT) {
        b = publish_box_aim(idle, x->is_event, x->target.p) == 0 ? idle : NULL;
    } else if (!b) {
        const struct publish_box_owner owner = {.finished = finished, .context = p};
        if (publish_box_new(p->world, p->options.outlet, &owner, x->is_event, x->target.p, &b) != 0)
            return NULL;
        b->next = p->boxes;
        b->box.eager = p->draining;
        p->boxes = b;
        p->n_boxes++;
    }
    if (b)
        b->used = ++p->uses;
    return b;
}

/* ---- pieces ---- */

static bool
follows(const struct publish_piece *x, const struct publish_piece *before)
{
    return x->fifo && before->fifo && slice_equals(x->group, before->group) && slice_equals(x->target, before->target);
}

/* One of its group was published before it and is not confirmed. */
static bool
is_held_back(const struct publish_list *list, const struct publish_piece *x)
{
    for (const struct publish_piece *b = list->first; b != x; b = b->next)
        if (!b->confirmed && follows(x, b))
            return true;
    return false;
}

/* Nothing more of it is sent. The first reason stands. */
static void
stop_list(struct publish_list *list, const char *target, const char *why)
{
    if (!list->over)
        snprintf(list->reason, sizeof list->reason, "publish to %s: %s", target, why);
    list->over = true;
}

static void
send_piece(struct publish *p, struct publish_piece *x, int64_t now_ms)
{
    struct publish_box *b = box_for(p, x);
    if (b)
        outbox_add(&b->box, &x->entry, now_ms);
    else
        stop_list(x->list, x->target.p, "out of memory");
}

/* x was confirmed: the next of its group may go. */
static void
send_next(struct publish *p, const struct publish_piece *x, int64_t now_ms)
{
    for (struct publish_piece *n = x->next; n; n = n->next)
        if (follows(n, x)) {
            send_piece(p, n, now_ms);
            return;
        }
}

static void
refused(struct publish_piece *x, const struct publish_outcome *o)
{
    struct publish_list *list = x->list;
    char why[200];
    snprintf(why, sizeof why, "%s: %s", o->code, o->text);
    stop_list(list, x->target.p, why);
    take_back(list);
    log_write_limited(LOG_ERROR, LOG_EVERY_MS,
                      x->is_event ? "an event that the handler publishes is refused: its message is retried"
                                  : "a message that the handler publishes is refused: its own is retried",
                      LOG_SLICE("id", list->message->id), LOG_INT("number", x->number), LOG_SLICE("target", x->target),
                      LOG_STR("code", o->code), LOG_STR("error", o->text));
}

/* publish_box's: how it went for x. */
static bool
finished(void *context, struct publish_piece *x, const struct publish_outcome *o, int64_t now_ms)
{
    struct publish *p = context;
    struct publish_list *list = x->list;
    count(p, o);
    if (o->ok) {
        x->confirmed = true;
        list->unconfirmed--;
        if (!list->over && x->fifo)
            send_next(p, x, now_ms);
    } else if (o->for_good && !list->lost) {
        refused(x, o);
    } else if (!list->over && !o->for_good) {
        return true;
    }
    if (list->over)
        take_back(list);
    end_if_quiet(p, list, now_ms);
    return false;
}

/* ---- the engine's side ---- */

void
publish_start(struct publish *p, struct message *m, int64_t now_ms)
{
    struct publish_list *list = m->publish;
    assert(p->options.outlet && !list->started);
    list->started = true;
    m->verdict.delay_ms = -1; /* what came with "done" is not meant for the retry that a refusal makes of it */
    list->unconfirmed = list->count;
    for (struct publish_piece *x = list->first; x && !list->over; x = x->next)
        if (!x->fifo || !is_held_back(list, x))
            send_piece(p, x, now_ms);
    if (list->over)
        take_back(list);
    end_if_quiet(p, list, now_ms);
}

void
publish_drop(struct publish *p, struct message *m)
{
    if (!m->publish)
        return;
    assert(!m->publish->started);
    WORLD_COUNT(p->world, publish_dropped, m->publish->count);
    publish_list_free(m->publish);
    m->publish = NULL;
}

void
publish_lost(struct publish *p, struct message *m)
{
    struct publish_list *list = m->publish;
    if (!list || list->lost)
        return;
    WORLD_COUNT(p->world, publish_dropped, list->unconfirmed - list->in_flight);
    list->lost = list->over = true;
    take_back(list);
}

void
publish_give_up(struct publish *p, struct message *m, int64_t now_ms)
{
    const struct publish_piece *x = m->publish->first;
    while (x->confirmed)
        x = x->next;
    stop_list(m->publish, x->target.p, "not confirmed before the worker stopped");
    m->verdict.delay_ms = 0;
    take_back(m->publish);
    end_if_quiet(p, m->publish, now_ms);
}

void
publish_drain(struct publish *p, int64_t now_ms)
{
    p->draining = true;
    for (struct publish_box *b = p->boxes; b; b = b->next)
        outbox_drain(&b->box, now_ms);
}

const char *
publish_missing_permission(const struct publish *p)
{
    for (const struct publish_box *b = p->boxes; b; b = b->next)
        if (b->box.denied && !outbox_is_idle(&b->box))
            return b->box.denied;
    return NULL;
}

void
publish_count(const struct publish *p, size_t *ret_ready, size_t *ret_sent, size_t *ret_waiting)
{
    *ret_ready = *ret_sent = *ret_waiting = 0;
    for (const struct publish_box *b = p->boxes; b; b = b->next) {
        *ret_ready += b->box.ready;
        *ret_sent += b->box.sent;
        *ret_waiting += b->box.waiting;
    }
}

void
publish_init(struct publish *p, struct world *w, const struct publish_options *options)
{
    *p = (struct publish){.world = w, .options = *options};
}

void
publish_clean_up(struct publish *p)
{
    while (p->boxes) {
        struct publish_box *b = p->boxes;
        p->boxes = b->next;
        publish_box_destroy(b);
    }
}
