/* content: what a message's body says, taken apart once: JSON, the event or the notification it is, and what was
 * unwrapped.
 *
 * The screen gate makes it before the message's batch, and then it is the message's; where no gate needs it, it is made
 * for one handler call, when the handler asks (host_event.c). Nothing is copied but a message that was unwrapped: the
 * rest points into the body. Written once, then read by any thread. */
#ifndef FANOUT_WORKER_CONTENT_H
#define FANOUT_WORKER_CONTENT_H

#include <fanout/handler.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"
#include "event/envelope.h"
#include "event/notification.h"

struct content {
    struct slice body; /* what is taken apart: of what was unwrapped, the message inside (with a NUL behind it) */
    struct json value; /* text.p NULL: body is no JSON */
    int32_t kind;      /* HANDLER_BODY_... */
    struct event_envelope event; /* of HANDLER_BODY_EVENT */
    struct json records;         /* of HANDLER_BODY_S3 */
    bool unwrapped;
    struct event_sns sns; /* it was unwrapped from */
    char text[];          /* the message inside */
};

/* body, and, if unwrap is set and body is an SNS notification whose message can be decoded, that message. free() ends
 * it. NULL: no memory. */
struct content *content_new(struct slice body, bool unwrap);

/* As content_new without unwrapping, into memory of the caller's. */
void content_read(struct slice body, struct content *ret_content);

/* Why c is no EventBridge event, which its kind says. */
void content_explain(const struct content *c, struct err *ret_why);

/* An id that stays the same when the event comes again: of a replayed event the one it had first, of an EventBridge
 * event its id, of anything else that came by SNS the notification's MessageId. False: there is none. */
bool content_event_id(const struct content *c, struct slice *ret_id);

#endif
