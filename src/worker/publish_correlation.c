/* The correlation id: found where an earlier consumer put it, else begun with the event or the message itself. */
#include <stdlib.h>

#include "worker/content.h"
#include "worker/message.h"
#include "worker/publish_list.h"

#define LONGEST 256 /* bytes of an id that is taken for one */

static char *
copy(struct slice s)
{
    char *out = malloc(s.n + 1);
    if (!out)
        return NULL;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return out;
}

static bool
is_id(struct slice s)
{
    return s.n > 0 && s.n <= LONGEST && publish_is_text(s);
}

static bool
in_attributes(const struct message *m, struct slice *ret_id)
{
    struct sqs_attribute attributes[PUBLISH_ATTRIBUTES];
    size_t n = message_read_attributes(m, attributes, PUBLISH_ATTRIBUTES);
    for (size_t i = 0; i < n && i < PUBLISH_ATTRIBUTES; i++) {
        *ret_id = attributes[i].value;
        if (slice_equals_string(attributes[i].name, PUBLISH_CORRELATION) &&
            slice_starts_with(attributes[i].type, SLICE("String")) && is_id(*ret_id))
            return true;
    }
    return false;
}

/* Written with escapes it is none of ours. */
static bool
in_resources(const struct event_envelope *v, struct slice *ret_id)
{
    const size_t mark = strlen(PUBLISH_CORRELATION_MARK);
    for (struct json_iter it = json_iter(v->resources); json_next(&it);) {
        struct slice text = json_raw(it.value);
        if (!json_is_plain(it.value) || !slice_starts_with(text, SLICE(PUBLISH_CORRELATION_MARK)))
            continue;
        *ret_id = slice_of(text.p + mark, text.n - mark);
        if (is_id(*ret_id))
            return true;
    }
    return false;
}

char *
publish_correlation_of(const struct message *m)
{
    struct slice id;
    struct content own;
    const struct content *c = m->content;
    if (in_attributes(m, &id))
        return copy(id);
    if (!c) {
        content_read(m->body, &own);
        c = &own;
    }
    if (c->kind == HANDLER_BODY_EVENT && in_resources(&c->event, &id))
        return copy(id);
    if (content_event_id(c, &id) && is_id(id))
        return copy(id);
    return copy(m->id);
}
