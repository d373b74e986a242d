#include "worker/outbox_impl.h"

#include <assert.h>

#include "base/log.h"
#include "worker/world.h"

#define LOG_EVERY_MS 10000

/* ---- the list of what is ready ---- */

static void
link_last(struct outbox *b, struct outbox_entry *x)
{
    x->previous = b->last;
    x->next = NULL;
    *(b->last ? &b->last->next : &b->first) = x;
    b->last = x;
    b->ready++;
}

static void
link_first(struct outbox *b, struct outbox_entry *x)
{
    x->previous = NULL;
    x->next = b->first;
    *(b->first ? &b->first->previous : &b->last) = x;
    b->first = x;
    b->ready++;
}

static void
unlink_ready(struct outbox *b, struct outbox_entry *x)
{
    *(x->previous ? &x->previous->next : &b->first) = x->next;
    *(x->next ? &x->next->previous : &b->last) = x->previous;
    x->previous = x->next = NULL;
    b->ready--;
}

void
outbox_put_in_front(struct outbox *b, struct outbox_entry *x)
{
    x->box = b;
    link_first(b, x);
}

void
outbox_put_behind(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    x->box = b;
    if (b->ready == 0)
        b->linger_until_ms = now_ms + b->ops->linger_ms;
    link_last(b, x);
}

struct outbox_entry *
outbox_take_first(struct outbox *b)
{
    struct outbox_entry *x = b->first;
    unlink_ready(b, x);
    x->box = NULL;
    return x;
}

static void
wait_is_over(struct timer *t, int64_t now_ms)
{
    struct outbox_entry *x = (struct outbox_entry *)((char *)t - offsetof(struct outbox_entry, again));
    struct outbox *b = x->box;
    b->waiting--;
    outbox_put_behind(b, x, now_ms);
    outbox_pump(b, now_ms);
}

void
outbox_put_off(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    x->box = b;
    x->failures++;
    x->again.fire = wait_is_over;
    int64_t wait_ms = backoff_wait_ms(b->ops->pause, x->failures, &b->world->random);
    if (timers_set(b->world->timers, &x->again, now_ms + wait_ms) == 0)
        b->waiting++;
    else
        outbox_put_behind(b, x, now_ms); /* no memory for a timer: the linger has to do */
}

/* ---- trouble ---- */

/* What waits is held under lease meanwhile: receives stop at the in-flight cap. */
static void
log_failure(const struct outbox *b, int64_t wait_ms, const struct err *err)
{
    const char *target = b->ops->target ? b->ops->target(b) : b->world->queue->url;
    if (b->denied)
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "a permission is missing: allow it to the role of these credentials",
                          LOG_STR("permission", b->denied), LOG_STR(b->ops->at, target ? target : ""),
                          LOG_INT("wait_ms", wait_ms), LOG_INT("waiting", b->ready + b->waiting + b->sent),
                          LOG_ERR(err));
    else
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "call failed", LOG_STR("what", b->ops->name),
                          LOG_STR(b->ops->at, target ? target : ""), LOG_INT("wait_ms", wait_ms),
                          LOG_INT("waiting", b->ready + b->waiting), LOG_ERR(err));
}

void
outbox_pause(struct outbox *b, const struct err *err, const char *denied, int64_t now_ms)
{
    b->failing = true;
    b->denied = denied;
    if (now_ms < b->paused_until_ms)
        return; /* other calls of the same moment: one pause for all of them */
    int64_t wait_ms = backoff_fail(&b->backoff, now_ms);
    b->paused_until_ms = now_ms + wait_ms;
    log_failure(b, wait_ms, err);
}

/* ---- what is due ---- */

static void
open_box(struct outbox *b, int64_t now_ms)
{
    struct err e;
    b->opening = b->ops->open(b, &e) == 0;
    if (!b->opening)
        outbox_pause(b, &e, NULL, now_ms);
}

static void
set_flush(struct outbox *b, int64_t now_ms)
{
    int64_t due_ms = b->eager ? now_ms : b->linger_until_ms;
    if (due_ms < b->paused_until_ms)
        due_ms = b->paused_until_ms;
    if (!timer_is_set(&b->flush) || b->flush.due_ms != due_ms)
        timers_set(b->world->timers, &b->flush, due_ms); /* the owner has reserved it */
}

void
outbox_pump(struct outbox *b, int64_t now_ms)
{
    size_t limit = b->failing ? 1 : b->ops->max_calls;
    while (!b->closed && b->ready > 0 && b->calls < limit && now_ms >= b->paused_until_ms &&
           (b->ready >= OUTBOX_CALL_MOST || b->eager || now_ms >= b->linger_until_ms))
        if (!outbox_send(b, now_ms))
            break;
    if (b->closed && !b->opening && b->ready > 0 && now_ms >= b->paused_until_ms)
        open_box(b, now_ms);

    if (b->ready == 0 || b->opening || b->calls >= limit) /* nothing to do until something is added or ends */
        timers_cancel(b->world->timers, &b->flush);
    else
        set_flush(b, now_ms);
}

static void
flush(struct timer *t, int64_t now_ms)
{
    outbox_pump((struct outbox *)((char *)t - offsetof(struct outbox, flush)), now_ms);
}

/* ---- the owner's side ---- */

void
outbox_init(struct outbox *b, const struct outbox_ops *ops, struct world *w)
{
    *b = (struct outbox){.world = w, .flush.fire = flush};
    outbox_turn(b, ops);
}

void
outbox_turn(struct outbox *b, const struct outbox_ops *ops)
{
    assert(outbox_is_idle(b));
    b->ops = ops;
    b->linger_until_ms = b->paused_until_ms = 0;
    backoff_init(&b->backoff, ops->pause, b->world->random);
    b->failing = b->closed = false;
    b->denied = NULL;
}

void
outbox_clean_up(struct outbox *b)
{
    timers_cancel(b->world->timers, &b->flush);
    outbox_forget_calls(b);
    while (b->first)
        outbox_remove(b, b->first);
}

void
outbox_add(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    assert(!x->box);
    x->failures = 0;
    x->lone = false;
    outbox_put_behind(b, x, now_ms);
    outbox_pump(b, now_ms);
}

void
outbox_remove(struct outbox *b, struct outbox_entry *x)
{
    if (x->box != b)
        return;
    if (x->call) {
        x->call = NULL;
        b->sent--;
    } else if (timer_is_set(&x->again)) {
        timers_cancel(b->world->timers, &x->again);
        b->waiting--;
    } else {
        unlink_ready(b, x);
    }
    x->box = NULL;
}

void
outbox_hurry(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    if (x->box != b || !timer_is_set(&x->again))
        return;
    timers_cancel(b->world->timers, &x->again);
    x->failures = 0;
    wait_is_over(&x->again, now_ms);
}

void
outbox_drain(struct outbox *b, int64_t now_ms)
{
    b->eager = true;
    b->paused_until_ms = now_ms;
    backoff_succeed(&b->backoff);
    outbox_pump(b, now_ms);
}

void
outbox_close(struct outbox *b)
{
    b->closed = true;
}

void
outbox_opened(struct outbox *b, const struct err *error, const char *denied, int64_t now_ms)
{
    b->opening = false;
    if (error)
        outbox_pause(b, error, denied, now_ms);
    else
        b->closed = false;
    outbox_pump(b, now_ms);
}

bool
outbox_holds(const struct outbox *b, const struct outbox_entry *x)
{
    return x->box == b;
}

bool
outbox_is_sending(const struct outbox *b, const struct outbox_entry *x)
{
    return x->box == b && x->call != NULL;
}

bool
outbox_is_idle(const struct outbox *b)
{
    return b->ready == 0 && b->sent == 0 && b->waiting == 0 && b->calls == 0 && !b->opening;
}
