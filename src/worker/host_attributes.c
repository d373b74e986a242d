/* The extension "fanout.attributes.v1" (fanout/handler.h): handler threads. */
#include <string.h>

#include "worker/host_view.h"

#define USUAL 10 /* SQS: message attributes of a message, at most */

static void
read_attributes(struct host_view *v)
{
    struct sqs_attribute usual[USUAL], *all = usual;
    size_t n = message_read_attributes(v->message, usual, USUAL);
    if (n > USUAL) {
        all = host_view_alloc(v, n * sizeof *all);
        n = all ? message_read_attributes(v->message, all, n) : 0;
    }
    v->attributes = n > 0 ? host_view_alloc(v, n * sizeof *v->attributes) : NULL;
    if (!v->attributes)
        return;
    v->n_attributes = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        v->attributes[i] = (struct handler_attribute){
            .name = host_slice(all[i].name), .type = host_slice(all[i].type), .value = host_slice(all[i].value)};
}

static const struct handler_attribute *
attributes_message(struct handler_call *call, uint32_t index, uint32_t *ret_count)
{
    struct host_view *v = host_view_of(call, index);
    if (v && !v->attributes)
        read_attributes(v);
    *ret_count = v ? v->n_attributes : 0;
    return v ? v->attributes : NULL;
}

static const struct handler_attribute *
attributes_find(struct handler_call *call, uint32_t index, const char *name)
{
    uint32_t n;
    const struct handler_attribute *all = attributes_message(call, index, &n);
    size_t length = name ? strlen(name) : 0;
    for (uint32_t i = 0; name && i < n; i++)
        if (all[i].name.n == length && memcmp(all[i].name.p, name, length) == 0)
            return &all[i];
    return NULL;
}

static const struct handler_system_attributes *
attributes_system(struct handler_call *call, uint32_t index)
{
    struct host_view *v = host_view_of(call, index);
    if (!v || v->system)
        return v ? v->system : NULL;
    const struct message *m = v->message;
    struct handler_system_attributes *s = host_view_alloc(v, sizeof *s);
    if (!s)
        return NULL;
    s->size = sizeof *s;
    s->sent_at_ms = m->view.sent_at_ms;
    s->first_received_at_ms = m->first_received_at_ms > 0 ? m->first_received_at_ms : HANDLER_NO_TIME;
    s->group = host_slice(m->group.n > 0 ? m->group : slice_of(NULL, 0));
    s->trace_header = host_slice(message_system_attribute(m, MESSAGE_TRACE_HEADER));
    s->sender_id = host_slice(message_system_attribute(m, MESSAGE_SENDER_ID));
    s->deduplication_id = host_slice(message_system_attribute(m, MESSAGE_DEDUPLICATION_ID));
    s->sequence_number = host_slice(m->sequence.n > 0 ? m->sequence : slice_of(NULL, 0));
    s->dead_letter_source = host_slice(message_system_attribute(m, MESSAGE_DEAD_LETTER_SOURCE));
    return v->system = s;
}

const struct handler_attributes_extension host_attributes_extension = {.size =
                                                                           sizeof(struct handler_attributes_extension),
                                                                       .message = attributes_message,
                                                                       .find = attributes_find,
                                                                       .system = attributes_system};
