/* fields: the members of a JSON object that somebody has names for, found in one pass. Used by the readers of this
 * folder: envelope.c, notification.c. */
#ifndef FANOUT_EVENT_FIELDS_H
#define FANOUT_EVENT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/slice.h"

struct event_field {
    struct slice name;
    size_t offset; /* of a struct json */
    enum json_type type;
    bool any_type, optional;
};

#define EVENT_FIELD(text, type_, member) .name = {text, sizeof text - 1}, .offset = offsetof(type_, member)

/* Fills in the struct jsons of *ret_fields that object has (of a name given twice the last one), and leaves the others
 * as they are. What is no object has none. */
void event_fields_read(struct json object, const struct event_field *fields, size_t n, void *ret_fields);

/* The first field that is missing (and not optional) or of the wrong type; NULL: all is well. */
const struct event_field *event_fields_wrong(const struct event_field *fields, size_t n, const void *values);

static inline const struct json *
event_field_of(const struct event_field *f, const void *values)
{
    return (const struct json *)((const char *)values + f->offset);
}

#endif
