#include "worker/publish_box.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "worker/message.h"
#include "worker/publish_call.h"

#define LINGER_MS    5
#define MAX_CALLS    8
#define LOG_EVERY_MS 10000

static const struct backoff_policy PAUSE = {.base_ms = 500, .cap_ms = 20000, .floor_ms = 100};

static void pump(struct publish_box *b, int64_t now_ms);

/* ---- the list of what is ready ---- */

static void
link_last(struct publish_box *b, struct publish_piece *x)
{
    x->previous_ready = b->last;
    x->next_ready = NULL;
    *(b->last ? &b->last->next_ready : &b->first) = x;
    b->last = x;
    b->ready++;
}

static void
link_first(struct publish_box *b, struct publish_piece *x)
{
    x->previous_ready = NULL;
    x->next_ready = b->first;
    *(b->first ? &b->first->previous_ready : &b->last) = x;
    b->first = x;
    b->ready++;
}

static void
unlink_ready(struct publish_box *b, struct publish_piece *x)
{
    *(x->previous_ready ? &x->previous_ready->next_ready : &b->first) = x->next_ready;
    *(x->next_ready ? &x->next_ready->previous_ready : &b->last) = x->previous_ready;
    x->previous_ready = x->next_ready = NULL;
    b->ready--;
}

static void
make_ready(struct publish_box *b, struct publish_piece *x, int64_t now_ms)
{
    x->box = b;
    if (b->ready == 0)
        b->linger_until_ms = now_ms + LINGER_MS;
    link_last(b, x);
}

static void
wait_is_over(struct timer *t, int64_t now_ms)
{
    struct publish_piece *x = (struct publish_piece *)((char *)t - offsetof(struct publish_piece, again));
    struct publish_box *b = x->box;
    b->waiting--;
    make_ready(b, x, now_ms);
    pump(b, now_ms);
}

static void
wait_again(struct publish_box *b, struct publish_piece *x, int64_t now_ms)
{
    x->box = b;
    x->failures++;
    x->again.fire = wait_is_over;
    int64_t wait_ms = backoff_wait_ms(&PAUSE, x->failures, &b->world->random);
    if (timers_set(b->world->timers, &x->again, now_ms + wait_ms) == 0)
        b->waiting++;
    else
        make_ready(b, x, now_ms); /* no memory for a timer: the linger has to do */
}

/* ---- trouble ---- */

/* The permission that an error says is missing, or NULL. */
static const char *
missing(const struct aws_error *error, const char *permission)
{
    return error && aws_error_is_missing_permission(error) ? permission : NULL;
}

static void
pause_box(struct publish_box *b, const struct err *err, const char *denied, int64_t now_ms)
{
    b->failing = true;
    b->denied = denied;
    if (now_ms < b->paused_until_ms)
        return; /* other calls of the same moment: one pause for all of them */
    int64_t wait_ms = backoff_fail(&b->backoff, now_ms);
    b->paused_until_ms = now_ms + wait_ms;
    if (denied)
        log_write_limited(LOG_ERROR, LOG_EVERY_MS,
                          "a permission is missing: allow it to the role of these credentials; messages wait",
                          LOG_STR("permission", denied), LOG_STR("target", b->target), LOG_INT("wait_ms", wait_ms),
                          LOG_INT("waiting", b->ready + b->waiting + b->sent), LOG_ERR(err));
    else
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "publishing failed; it is tried again", LOG_STR("target", b->target),
                          LOG_INT("wait_ms", wait_ms), LOG_INT("waiting", b->ready + b->waiting), LOG_ERR(err));
}

/* Nobody will ever send it. */
static void
fail_all(struct publish_box *b, const struct aws_error *error, int64_t now_ms)
{
    const struct publish_outcome outcome = {.for_good = true, .code = error->code, .text = error->err.text};
    while (b->first) {
        struct publish_piece *x = b->first;
        unlink_ready(b, x);
        x->box = NULL;
        b->owner.finished(b->owner.context, x, &outcome, now_ms);
    }
}

/* ---- the URL of a queue ---- */

static void
found(void *context, const struct sqs_queue *q)
{
    struct publish_box *b = context;
    int64_t now_ms = b->world->clock_ms();
    struct err e;
    if (q->error) {
        if (q->error->err.code == ERR_NOT_FOUND)
            fail_all(b, q->error, now_ms);
        pause_box(b, &q->error->err, missing(q->error, "sqs:GetQueueUrl"), now_ms);
    } else if (!(b->url = strndup(q->url.p, q->url.n))) {
        err_no_memory(&e);
        pause_box(b, &e, NULL, now_ms);
    }
    b->finding = false;
    pump(b, now_ms);
}

static void
find(struct publish_box *b, int64_t now_ms)
{
    struct err e;
    b->finding = b->outlet->ops->find(b->outlet, b->target, found, b, &e) == 0;
    if (!b->finding)
        pause_box(b, &e, NULL, now_ms);
}

/* A name stands for another queue once its queue is gone. */
static void
forget_url(struct publish_box *b)
{
    if (b->is_bus || strstr(b->target, "://"))
        return;
    free(b->url);
    b->url = NULL;
}

/* ---- calls ---- */

static void
finish_piece(struct publish_call *c, size_t i, int64_t now_ms)
{
    struct publish_box *b = c->box;
    struct publish_piece *x = c->pieces[i];
    struct publish_outcome outcome;
    enum publish_call_answer answer = publish_call_outcome(c, i, &outcome);
    x->call = NULL;
    x->box = NULL;
    x->list->in_flight--;
    b->sent--;
    if (!b->owner.finished(b->owner.context, x, &outcome, now_ms))
        return;
    assert(!outcome.ok && !outcome.for_good && !x->box);
    if (answer == PUBLISH_CALL_FAILED) {
        x->box = b;
        link_first(b, x);
    } else if (answer == PUBLISH_CALL_REFUSED) {
        x->lone = true;
        make_ready(b, x, now_ms);
    } else {
        wait_again(b, x, now_ms);
    }
}

static struct publish_call *
begin_call(struct publish_box *b, void (*done)(struct publish_call *c))
{
    struct publish_call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->box = b;
    c->done = done;
    c->next = b->in_flight;
    if (b->in_flight)
        b->in_flight->previous = c;
    b->in_flight = c;
    b->calls++;
    return c;
}

static void
end_call(struct publish_call *c)
{
    struct publish_box *b = c->box;
    *(c->previous ? &c->previous->next : &b->in_flight) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    b->calls--;
    free(c);
}

static void
call_done(struct publish_call *c)
{
    struct publish_box *b = c->box;
    struct message *messages[PUBLISH_CALL_MOST];
    size_t n = c->n;
    int64_t now_ms = b->world->clock_ms();
    if (c->error) {
        if (c->error->err.code == ERR_NOT_FOUND)
            forget_url(b);
        pause_box(b, &c->error->err, missing(c->error, b->is_bus ? "events:PutEvents" : "sqs:SendMessage"), now_ms);
    } else {
        b->failing = false;
        b->denied = NULL;
        backoff_succeed(&b->backoff);
    }
    for (size_t i = 0; i < n; i++)
        messages[i] = c->pieces[i]->list->message;
    for (size_t i = n; i-- > 0;) /* from the end, so that what is put back in front keeps its order */
        finish_piece(c, i, now_ms);
    end_call(c);
    for (size_t i = 0; i < n; i++)
        message_release(messages[i]);
    pump(b, now_ms);
}

/* Moves what goes into the next call from the list to the call. */
static void
fill_call(struct publish_box *b, struct publish_call *c)
{
    size_t bytes = 0, most = publish_call_bytes_max(b);
    while (b->first && c->n < PUBLISH_CALL_MOST) {
        struct publish_piece *x = b->first;
        if (c->n > 0 && (x->lone || bytes + x->weight > most))
            break;
        unlink_ready(b, x);
        bytes += x->weight;
        x->call = c;
        x->list->in_flight++;
        b->sent++;
        message_hold(x->list->message);
        c->pieces[c->n++] = x;
        if (x->lone)
            break;
    }
}

/* It was not sent after all. */
static void
unfill_call(struct publish_box *b, struct publish_call *c)
{
    for (size_t i = c->n; i-- > 0;) {
        struct publish_piece *x = c->pieces[i];
        x->call = NULL;
        x->list->in_flight--;
        b->sent--;
        link_first(b, x);
        message_release(x->list->message);
    }
    end_call(c);
}

/* One call. False: it could not be started, and the box is paused. */
static bool
send_some(struct publish_box *b, int64_t now_ms)
{
    struct err e;
    struct publish_call *c = begin_call(b, call_done);
    if (!c) {
        err_no_memory(&e);
        pause_box(b, &e, NULL, now_ms);
        return false;
    }
    fill_call(b, c);
    b->linger_until_ms = now_ms + LINGER_MS;
    if (publish_call_start(c, &e) == 0)
        return true;
    unfill_call(b, c);
    pause_box(b, &e, NULL, now_ms);
    return false;
}

static void
set_flush(struct publish_box *b, int64_t now_ms)
{
    int64_t due_ms = b->eager ? now_ms : b->linger_until_ms;
    if (due_ms < b->paused_until_ms)
        due_ms = b->paused_until_ms;
    if (!timer_is_set(&b->flush) || b->flush.due_ms != due_ms)
        timers_set(b->world->timers, &b->flush, due_ms); /* it is reserved */
}

static void
pump(struct publish_box *b, int64_t now_ms)
{
    size_t limit = b->failing ? 1 : MAX_CALLS;
    bool has_url = b->is_bus || b->url;
    while (has_url && b->ready > 0 && b->calls < limit && now_ms >= b->paused_until_ms &&
           (b->ready >= PUBLISH_CALL_MOST || b->eager || now_ms >= b->linger_until_ms))
        if (!send_some(b, now_ms))
            break;
    if (!has_url && b->ready > 0 && !b->finding && now_ms >= b->paused_until_ms)
        find(b, now_ms);

    if (b->ready == 0 || b->finding || b->calls >= limit) /* nothing to do until something is added or ends */
        timers_cancel(b->world->timers, &b->flush);
    else
        set_flush(b, now_ms);
}

static void
flush(struct timer *t, int64_t now_ms)
{
    pump((struct publish_box *)((char *)t - offsetof(struct publish_box, flush)), now_ms);
}

/* ---- the owner's side ---- */

int
publish_box_aim(struct publish_box *b, bool is_bus, const char *target)
{
    assert(publish_box_is_idle(b));
    char *name = strdup(target), *url = !is_bus && strstr(target, "://") ? strdup(target) : NULL;
    if (!name || (!url && !is_bus && strstr(target, "://"))) {
        free(name);
        free(url);
        return ERR_NO_MEMORY;
    }
    free(b->target);
    free(b->url);
    b->target = name;
    b->url = url;
    b->is_bus = is_bus;
    b->failing = false;
    b->denied = NULL;
    b->paused_until_ms = b->linger_until_ms = 0;
    backoff_init(&b->backoff, &PAUSE, b->world->random);
    return 0;
}

int
publish_box_new(struct world *w, struct publish_outlet *outlet, const struct publish_box_owner *owner, bool is_bus,
                const char *target, struct publish_box **ret_box)
{
    struct publish_box *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NO_MEMORY;
    *b = (struct publish_box){.world = w, .outlet = outlet, .owner = *owner, .flush.fire = flush};
    if (publish_box_aim(b, is_bus, target) != 0 || timers_reserve(w->timers, &b->flush) != 0) {
        publish_box_destroy(b);
        return ERR_NO_MEMORY;
    }
    *ret_box = b;
    return 0;
}

void
publish_box_destroy(struct publish_box *b)
{
    for (struct publish_call *c = b->in_flight, *next; c; c = next) {
        next = c->next;
        for (size_t i = 0; i < c->n; i++) {
            struct message *m = c->pieces[i]->list->message;
            c->pieces[i]->call = NULL;
            c->pieces[i]->box = NULL;
            message_release(m);
        }
        free(c);
    }
    timers_cancel(b->world->timers, &b->flush);
    free(b->target);
    free(b->url);
    free(b);
}

bool
publish_box_is_idle(const struct publish_box *b)
{
    return b->ready == 0 && b->sent == 0 && b->waiting == 0 && b->calls == 0 && !b->finding;
}

void
publish_box_add(struct publish_box *b, struct publish_piece *x, int64_t now_ms)
{
    assert(!x->box);
    x->failures = 0;
    x->lone = false;
    make_ready(b, x, now_ms);
    pump(b, now_ms);
}

void
publish_box_remove(struct publish_piece *x)
{
    struct publish_box *b = x->box;
    if (!b)
        return;
    assert(!x->call);
    if (timer_is_set(&x->again)) {
        timers_cancel(b->world->timers, &x->again);
        b->waiting--;
    } else {
        unlink_ready(b, x);
    }
    x->box = NULL;
}

void
publish_box_drain(struct publish_box *b, int64_t now_ms)
{
    b->eager = true;
    b->paused_until_ms = now_ms;
    backoff_succeed(&b->backoff);
    pump(b, now_ms);
}
