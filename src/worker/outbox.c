#include "worker/outbox.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "worker/message.h"
#include "worker/world.h"

#define LOG_EVERY_MS 10000

static void pump(struct outbox *b, int64_t now_ms);

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

static void
make_ready(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    x->box = b;
    if (b->ready == 0)
        b->linger_until_ms = now_ms + b->ops->linger_ms;
    link_last(b, x);
}

static void
wait_is_over(struct timer *t, int64_t now_ms)
{
    struct outbox_entry *x = (struct outbox_entry *)((char *)t - offsetof(struct outbox_entry, again));
    struct outbox *b = x->box;
    b->waiting--;
    make_ready(b, x, now_ms);
    pump(b, now_ms);
}

static void
wait_again(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    x->box = b;
    x->failures++;
    x->again.fire = wait_is_over;
    int64_t wait_ms = backoff_wait_ms(b->ops->pause, x->failures, &b->world->random);
    if (timers_set(b->world->timers, &x->again, now_ms + wait_ms) == 0)
        b->waiting++;
    else
        make_ready(b, x, now_ms); /* no memory for a timer: the linger has to do */
}

/* ---- calls ---- */

static struct outbox_call *
begin_call(struct outbox *b, int64_t now_ms)
{
    struct outbox_call *c = b->spare;
    if (c)
        b->spare = c->next;
    else if (!(c = malloc(sizeof *c)))
        return NULL;
    c->box = b;
    c->sent_ms = now_ms;
    c->n = 0;
    c->previous = NULL;
    c->next = b->in_flight;
    if (b->in_flight)
        b->in_flight->previous = c;
    b->in_flight = c;
    b->calls++;
    return c;
}

static void
end_call(struct outbox_call *c)
{
    struct outbox *b = c->box;
    *(c->previous ? &c->previous->next : &b->in_flight) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    c->next = b->spare;
    b->spare = c;
    b->calls--;
}

/* It was not sent after all, or the whole call failed. */
static void
put_back(struct outbox *b, struct outbox_entry *x)
{
    x->box = b;
    link_first(b, x);
}

/* The service found fault with what the call holds, not with us or with the queue. */
static bool
is_refusal(const struct aws_error *e)
{
    return e && e->err.code == ERR_INVALID && !e->err.retryable && e->status >= 400;
}

static struct outbox_outcome
read_outcome(const struct outbox_call *c, size_t i, const struct sqs_batch_result *r, int64_t now_ms)
{
    struct outbox_outcome o = {.stale = c->versions[i] != c->messages[i]->handle_version, .message_id = ""};
    if (r->error) {
        bool refused = is_refusal(r->error);
        o.error = refused ? NULL : r->error;
        o.at_fault = refused && c->n == 1;
        o.code = r->error->code;
        o.text = r->error->err.text;
        o.sent_ms = c->sent_ms;
    } else {
        const struct sqs_result *result = &r->results[i];
        o.ok = result->ok;
        o.at_fault = !result->ok && result->sender_fault;
        o.code = result->code;
        o.text = result->message;
        o.message_id = result->message_id;
        o.sent_ms = now_ms - r->elapsed_ms;
    }
    return o;
}

static void
finish_entry(struct outbox_call *c, size_t i, const struct sqs_batch_result *r, int64_t now_ms)
{
    struct outbox *b = c->box;
    struct outbox_entry *x = c->entries[i];
    if (x->call != c)
        return; /* removed meanwhile */
    struct outbox_outcome outcome = read_outcome(c, i, r, now_ms);
    x->call = NULL;
    x->box = NULL;
    b->sent--;
    enum outbox_next next = b->ops->finished(b, x, &outcome, now_ms);
    if (next == OUTBOX_OVER)
        return;
    assert(!x->box);
    x->lone = x->lone || is_refusal(r->error);
    if (outcome.error)
        put_back(b, x);
    else if (next == OUTBOX_AT_ONCE || r->error)
        make_ready(b, x, now_ms);
    else
        wait_again(b, x, now_ms);
}

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

static void
pause_box(struct outbox *b, const struct err *err, const char *denied, int64_t now_ms)
{
    b->failing = true;
    b->denied = denied;
    if (now_ms < b->paused_until_ms)
        return; /* other calls of the same moment: one pause for all of them */
    int64_t wait_ms = backoff_fail(&b->backoff, now_ms);
    b->paused_until_ms = now_ms + wait_ms;
    log_failure(b, wait_ms, err);
}

void
outbox_answered(void *call, const struct sqs_batch_result *r)
{
    struct outbox_call *c = call;
    struct outbox *b = c->box;
    int64_t now_ms = b->world->clock_ms();
    if (r->error) {
        pause_box(b, &r->error->err, aws_error_is_missing_permission(r->error) ? b->ops->permission : NULL, now_ms);
    } else {
        b->failing = false;
        b->denied = NULL;
        backoff_succeed(&b->backoff);
    }
    for (size_t i = c->n; i-- > 0;) /* from the end, so that what is put back in front keeps its order */
        finish_entry(c, i, r, now_ms);
    for (size_t i = 0; i < c->n; i++)
        message_release(c->messages[i]);
    end_call(c);
    pump(b, now_ms);
}

/* Moves what goes into the next call from the list to the call; the call may stay empty. */
static void
fill_call(struct outbox *b, struct outbox_call *c, int64_t now_ms)
{
    size_t bytes = 0;
    while (b->first && c->n < OUTBOX_CALL_MOST) {
        struct outbox_entry *x = b->first;
        struct message *m = x->message;
        size_t weight = b->ops->weight ? b->ops->weight(x) : 0;
        if (c->n > 0 && (x->lone || (b->ops->weight && bytes + weight > b->ops->max_bytes)))
            break;
        unlink_ready(b, x);
        x->box = NULL;
        if (b->ops->wanted && !b->ops->wanted(b, x, now_ms))
            continue;
        bytes += weight;
        x->box = b;
        x->call = c;
        b->sent++;
        message_hold(m);
        c->entries[c->n] = x;
        c->messages[c->n] = m;
        c->versions[c->n++] = m->handle_version;
        if (x->lone)
            break;
    }
}

/* One call. False: it could not be started, and the box is paused. */
static bool
send_some(struct outbox *b, int64_t now_ms)
{
    struct err e;
    struct outbox_call *c = begin_call(b, now_ms);
    if (!c) {
        err_no_memory(&e);
        pause_box(b, &e, NULL, now_ms);
        return false;
    }
    fill_call(b, c, now_ms);
    b->linger_until_ms = now_ms + b->ops->linger_ms;
    if (c->n == 0) {
        end_call(c);
        return true;
    }
    if (b->ops->send(c, &e) == 0)
        return true;
    for (size_t i = c->n; i-- > 0;) {
        struct outbox_entry *x = c->entries[i];
        x->call = NULL;
        b->sent--;
        put_back(b, x);
        message_release(c->messages[i]);
    }
    end_call(c);
    pause_box(b, &e, NULL, now_ms);
    return false;
}

static void
open_box(struct outbox *b, int64_t now_ms)
{
    struct err e;
    b->opening = b->ops->open(b, &e) == 0;
    if (!b->opening)
        pause_box(b, &e, NULL, now_ms);
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

static void
pump(struct outbox *b, int64_t now_ms)
{
    size_t limit = b->failing ? 1 : b->ops->max_calls;
    while (!b->closed && b->ready > 0 && b->calls < limit && now_ms >= b->paused_until_ms &&
           (b->ready >= OUTBOX_CALL_MOST || b->eager || now_ms >= b->linger_until_ms))
        if (!send_some(b, now_ms))
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
    pump((struct outbox *)((char *)t - offsetof(struct outbox, flush)), now_ms);
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
    while (b->in_flight) {
        struct outbox_call *c = b->in_flight;
        for (size_t i = 0; i < c->n; i++) {
            if (c->entries[i]->call == c)
                outbox_remove(b, c->entries[i]);
            message_release(c->messages[i]);
        }
        end_call(c);
    }
    while (b->first)
        outbox_remove(b, b->first);
    while (b->spare) {
        struct outbox_call *c = b->spare;
        b->spare = c->next;
        free(c);
    }
}

void
outbox_add(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    assert(!x->box);
    x->failures = 0;
    x->lone = false;
    make_ready(b, x, now_ms);
    pump(b, now_ms);
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
    pump(b, now_ms);
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
        pause_box(b, error, denied, now_ms);
    else
        b->closed = false;
    pump(b, now_ms);
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
