#include "event/fields.h"

void
event_fields_read(struct json object, const struct event_field *fields, size_t n, void *ret_fields)
{
    if (object.type != JSON_OBJECT)
        return;
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        struct slice raw = json_raw(it.key);
        bool plain = json_is_plain(it.key);
        for (const struct event_field *f = fields; f < fields + n; f++) {
            if (plain ? slice_equals(raw, f->name) : json_equals_string(it.key, f->name)) {
                *(struct json *)((char *)ret_fields + f->offset) = it.value;
                break;
            }
        }
    }
}

const struct event_field *
event_fields_wrong(const struct event_field *fields, size_t n, const void *values)
{
    for (const struct event_field *f = fields; f < fields + n; f++) {
        const struct json *value = event_field_of(f, values);
        if (value->text.p ? !f->any_type && value->type != f->type : !f->optional)
            return f;
    }
    return NULL;
}
