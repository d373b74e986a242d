#include "worker/outbox_impl.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/message.h"
#include "worker/world.h"

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

/* ---- what is sent ---- */

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
        outbox_take_first(b);
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

bool
outbox_send(struct outbox *b, int64_t now_ms)
{
    struct err e;
    struct outbox_call *c = begin_call(b, now_ms);
    if (!c) {
        err_no_memory(&e);
        outbox_pause(b, &e, NULL, now_ms);
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
        outbox_put_in_front(b, x);
        message_release(c->messages[i]);
    }
    end_call(c);
    outbox_pause(b, &e, NULL, now_ms);
    return false;
}

/* ---- what is answered ---- */

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
        outbox_put_in_front(b, x);
    else if (next == OUTBOX_AT_ONCE || r->error)
        outbox_put_behind(b, x, now_ms);
    else
        outbox_put_off(b, x, now_ms);
}

void
outbox_answered(void *call, const struct sqs_batch_result *r)
{
    struct outbox_call *c = call;
    struct outbox *b = c->box;
    int64_t now_ms = b->world->clock_ms();
    if (r->error) {
        outbox_pause(b, &r->error->err, aws_error_is_missing_permission(r->error) ? b->ops->permission : NULL, now_ms);
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
    outbox_pump(b, now_ms);
}

/* ---- the end ---- */

void
outbox_forget_calls(struct outbox *b)
{
    while (b->in_flight) {
        struct outbox_call *c = b->in_flight;
        for (size_t i = 0; i < c->n; i++) {
            if (c->entries[i]->call == c)
                outbox_remove(b, c->entries[i]);
            message_release(c->messages[i]);
        }
        end_call(c);
    }
    while (b->spare) {
        struct outbox_call *c = b->spare;
        b->spare = c->next;
        free(c);
    }
}
