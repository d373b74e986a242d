/* The functions of extension "fanout.publish.v1" (fanout/handler.h): handler threads. */
#include "base/clock.h"
#include "base/log.h"
#include "worker/call.h"
#include "worker/host_view.h"
#include "worker/publish_list.h"

#define LOG_EVERY_MS              1000
#define REFUSED                   "what the handler publishes is refused"
#define LOG_REFUSED(shared, m, e) LOG_SLICE("id", (m)->id), LOG_STR("plugin", (shared)->plugin), LOG_ERR(e)

/* The message that is published for; NULL: *ret_error is the handler's. */
static struct message *
subject(struct handler_call *call, uint32_t index, int32_t *ret_error)
{
    struct message *m = host_message(call, index);
    *ret_error = HANDLER_E_INDEX;
    if (!m)
        return NULL;
    int32_t verdict = m->verdict.kind;
    if (verdict != VERDICT_NONE && verdict != VERDICT_LOST) {
        host_breach(call->shared, BREACH_PUBLISH, m, verdict);
        *ret_error = HANDLER_E_SETTLED;
        return NULL;
    }
    *ret_error = HANDLER_E_LOST;
    return verdict == VERDICT_NONE && message_lease_left_ms(m, clock_monotonic_ms()) > 0 ? m : NULL;
}

/* Each kind has a limit of its own for its lines: one does not hide another. */
static int32_t
refuse(struct call_shared *shared, const struct message *m, const struct err *e)
{
    METRICS_COUNT(shared->metrics, publish_rejected, 1);
    switch (e->code) {
    case ERR_NOT_FOUND:
        log_write_limited(LOG_WARN, LOG_EVERY_MS, REFUSED, LOG_REFUSED(shared, m, e));
        return HANDLER_E_TARGET;
    case ERR_LIMIT:
    case ERR_NO_MEMORY:
        log_write_limited(LOG_WARN, LOG_EVERY_MS, REFUSED, LOG_REFUSED(shared, m, e));
        return HANDLER_E_LIMIT;
    default:
        log_write_limited(LOG_WARN, LOG_EVERY_MS, REFUSED, LOG_REFUSED(shared, m, e));
        return HANDLER_E_INVALID;
    }
}

static const struct err NOT_CONFIGURED = {
    .code = ERR_NOT_FOUND, .text = "publishing is off: the consumer has neither publish.bus nor publish.queue"};

static int32_t
publish_event(struct handler_call *call, uint32_t index, const struct handler_new_event *event)
{
    int32_t error;
    struct err e;
    struct message *m = subject(call, index, &error);
    if (!m)
        return error;
    if (!call->shared->desk)
        return refuse(call->shared, m, &NOT_CONFIGURED);
    return publish_list_add_event(call->shared->desk, m, event, &e) == 0 ? HANDLER_OK : refuse(call->shared, m, &e);
}

static int32_t
publish_message(struct handler_call *call, uint32_t index, const struct handler_new_message *message)
{
    int32_t error;
    struct err e;
    struct message *m = subject(call, index, &error);
    if (!m)
        return error;
    if (!call->shared->desk)
        return refuse(call->shared, m, &NOT_CONFIGURED);
    return publish_list_add_message(call->shared->desk, m, message, &e) == 0 ? HANDLER_OK : refuse(call->shared, m, &e);
}

const struct handler_publish_extension host_publish_extension = {
    .size = sizeof(struct handler_publish_extension), .event = publish_event, .message = publish_message};
