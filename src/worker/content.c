#include "worker/content.h"

#include <stdlib.h>
#include <string.h>

/* c->body is known. */
static void
classify(struct content *c)
{
    struct err e;
    if (!c->value.text.p && json_parse(c->body, &c->value, &e) != 0)
        c->value = (struct json){.text = {NULL, 0}};
    if (!c->value.text.p)
        return;
    if (event_envelope_read(c->value, &c->event, &e) == 0) {
        c->kind = HANDLER_BODY_EVENT;
        return;
    }
    switch (event_s3_read(c->value, &c->records)) {
    case EVENT_S3_NONE:
        break;
    case EVENT_S3_TEST:
        c->kind = HANDLER_BODY_S3_TEST;
        break;
    case EVENT_S3_RECORDS:
        c->kind = HANDLER_BODY_S3;
        break;
    }
}

void
content_read(struct slice body, struct content *ret_content)
{
    *ret_content = (struct content){.body = body, .kind = HANDLER_BODY_OTHER};
    classify(ret_content);
}

struct content *
content_new(struct slice body, bool unwrap)
{
    struct err e;
    struct content c = {.body = body, .kind = HANDLER_BODY_OTHER};
    size_t room = 0, n;
    if (json_parse(body, &c.value, &e) != 0)
        c.value = (struct json){.text = {NULL, 0}};
    bool wrapped = unwrap && c.value.text.p && event_sns_read(c.value, &c.sns);
    if (wrapped)
        room = json_raw(c.sns.message).n;
    struct content *made = malloc(sizeof *made + room + 1);
    if (!made)
        return NULL;
    *made = c;
    if (wrapped && json_decode_into(c.sns.message, made->text, room, &n)) {
        made->text[n] = '\0';
        made->unwrapped = true;
        made->body = slice_of(made->text, n);
        made->value = (struct json){.text = {NULL, 0}};
    }
    if (made->unwrapped || made->value.text.p)
        classify(made);
    return made;
}

void
content_explain(const struct content *c, struct err *ret_why)
{
    struct event_envelope event;
    if (event_envelope_parse(c->body, &event, ret_why) == 0)
        err_set(ret_why, ERR_INVALID, "an event");
}

bool
content_event_id(const struct content *c, struct slice *ret_id)
{
    if (c->kind == HANDLER_BODY_EVENT) {
        if (!event_envelope_original_id(&c->event, ret_id))
            *ret_id = json_raw(c->event.id);
        return ret_id->n > 0;
    }
    if (c->unwrapped)
        *ret_id = json_raw(c->sns.message_id);
    return c->unwrapped && ret_id->n > 0;
}
