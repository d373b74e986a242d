/* host_view: what the extensions event and attributes show of the messages of the current call, made when it is asked
 * for and kept until the call returns. The memory is the call's; a call that asks for nothing pays a pointer test.
 *
 * Handler threads, each for its own call. */
#ifndef FANOUT_WORKER_HOST_VIEW_H
#define FANOUT_WORKER_HOST_VIEW_H

#include <fanout/handler.h>

#include "base/json.h"
#include "base/slice.h"
#include "worker/call.h"
#include "worker/content.h"
#include "worker/message.h"

/* Of one message. NULL: not asked for yet, or not there. */
struct host_view {
    struct handler_call *call;
    const struct message *message;
    const struct content *content;
    bool failed; /* an allocation did: what was being made is not shown */
    struct handler_event *event;
    struct handler_sns *sns;
    struct handler_s3_record *records;
    uint32_t n_records;
    struct handler_attribute *attributes;
    uint32_t n_attributes;
    struct handler_system_attributes *system;
};

/* NULL: a breach of the contract, which is counted, or no memory, which is logged. */
struct host_view *host_view_of(struct handler_call *call, uint32_t index);

/* n zeroed bytes that last as long as the call; NULL: no memory, which is logged. */
void *host_view_alloc(struct host_view *v, size_t n);

/* The message's body, taken apart; NULL: no memory. */
const struct content *host_view_content(struct host_view *v);

/* What a JSON_STRING means: a slice of the body where it is written without escapes. Nothing where there is none. */
struct handler_slice host_view_text(struct host_view *v, struct json string);

static inline struct handler_slice
host_slice(struct slice s)
{
    struct handler_slice h = {s.p, s.n};
    return h;
}

extern const struct handler_event_extension host_event_extension;           /* host_event.c */
extern const struct handler_attributes_extension host_attributes_extension; /* host_attributes.c */
extern const struct handler_publish_extension host_publish_extension;       /* host_publish.c */

#endif
