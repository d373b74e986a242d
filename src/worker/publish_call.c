#include "worker/publish_call.h"

#include "worker/message.h"

size_t
publish_call_bytes_max(const struct publish_box *b)
{
    return b->is_bus ? EVENTS_BYTES_MAX : SQS_MESSAGE_BYTES_MAX;
}

/* ---- what is sent ---- */

static void
events_done(void *context, const struct events_put_result *r)
{
    struct publish_call *c = context;
    c->error = r->error;
    c->events = r->results;
    c->done(c);
}

static int
put_events(struct publish_call *c, struct err *e)
{
    struct events_entry entries[EVENTS_BATCH_MAX];
    for (size_t i = 0; i < c->n; i++) {
        const struct publish_piece *x = c->pieces[i];
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
    return c->box->outlet->ops->put(c->box->outlet, entries, c->n, events_done, c, e);
}

static void
messages_done(void *context, const struct sqs_batch_result *r)
{
    struct publish_call *c = context;
    c->error = r->error;
    c->messages = r->results;
    c->done(c);
}

static int
send_messages(struct publish_call *c, struct err *e)
{
    struct sqs_send entries[SQS_BATCH_MAX];
    for (size_t i = 0; i < c->n; i++) {
        const struct publish_piece *x = c->pieces[i];
        entries[i] = (struct sqs_send){.body = x->payload,
                                       .attributes = x->attributes,
                                       .n_attributes = x->n,
                                       .group = x->group,
                                       .dedup_id = x->dedup_id,
                                       .trace_header = message_system_attribute(x->list->message, MESSAGE_TRACE_HEADER),
                                       .delay_s = x->delay_s};
    }
    return c->box->outlet->ops->send(c->box->outlet, c->box->url, entries, c->n, messages_done, c, e);
}

int
publish_call_start(struct publish_call *c, struct err *e)
{
    return c->box->is_bus ? put_events(c, e) : send_messages(c, e);
}

/* ---- what is answered ---- */

bool
publish_call_is_refused(const struct publish_call *c)
{
    const struct aws_error *e = c->error;
    return e && e->err.code == ERR_INVALID && !e->err.retryable && e->status >= 400;
}

enum publish_call_answer
publish_call_outcome(const struct publish_call *c, size_t i, struct publish_outcome *ret_outcome)
{
    if (c->error) {
        bool refused = publish_call_is_refused(c);
        *ret_outcome =
            (struct publish_outcome){.for_good = (refused && c->n == 1) || c->error->err.code == ERR_NOT_FOUND,
                                     .code = c->error->code,
                                     .text = c->error->err.text};
        return refused ? PUBLISH_CALL_REFUSED : PUBLISH_CALL_FAILED;
    }
    if (c->events) {
        const struct events_result *r = &c->events[i];
        bool ok = r->event_id[0] != '\0';
        *ret_outcome =
            (struct publish_outcome){.ok = ok, .for_good = !ok && !r->retryable, .code = r->code, .text = r->message};
    } else {
        const struct sqs_result *r = &c->messages[i];
        *ret_outcome = (struct publish_outcome){
            .ok = r->ok, .for_good = !r->ok && r->sender_fault, .code = r->code, .text = r->message};
    }
    return PUBLISH_CALL_ANSWERED;
}
