/* events_shape: the requests of EventBridge's operations as the service's model has them, and what is wrong with one.
 *
 * A shape is a row of a table (events_shapes.c holds them); a request is checked against its shape before anything
 * looks at it, so that the operations read members whose types and lengths are known to be right. Members the model
 * does not have are passed over, as AWS does, and so is a member that is null. Pure. */
#ifndef FANOUT_LOCAL_EVENTS_SHAPE_H
#define FANOUT_LOCAL_EVENTS_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* A regular expression of the model: its text, for messages, and a function that says whether a text matches it. */
struct events_form {
    const char *text;
    bool (*matches)(struct slice s);
};

extern const struct events_form EVENTS_FORM_NAME;        /* of rules and targets */
extern const struct events_form EVENTS_FORM_BUS;         /* a bus of one's own by name or ARN */
extern const struct events_form EVENTS_FORM_ANY_BUS;     /* partners' too, which have slashes in their names */
extern const struct events_form EVENTS_FORM_PLACEHOLDER; /* in an input template */

enum events_kind {
    EVENTS_STRING,
    EVENTS_INTEGER,
    EVENTS_BOOLEAN,
    EVENTS_LIST,
    EVENTS_MAP,
    EVENTS_STRUCTURE,
    EVENTS_ANYTHING, /* is not looked into */
};

#define EVENTS_MEMBERS_MAX 20 /* of a structure */

struct events_shape {
    enum events_kind kind;
    int64_t min, max;                    /* characters, value or entries; max 0: no limit at all */
    const struct events_form *form;      /* of a string; NULL: any */
    const char *const *values;           /* what a string may be, ends with NULL; NULL: anything */
    const struct events_member *members; /* of a structure, ends with a NULL name */
    const struct events_shape *key;      /* of a map */
    const struct events_shape *element;  /* of a list or a map */
};

struct events_member {
    const char *name;
    const struct events_shape *shape;
    bool required;
};

/* What is wrong with a request. All zero is nothing. */
struct events_violations {
    size_t n_wrong_types;  /* of members that have a type they must not have; AWS looks no further then */
    struct buf wrong_type; /* the first of them */
    size_t n;              /* of constraints that are not kept */
    struct buf text;       /* in the words AWS's services share */
    bool no_memory;        /* to look at everything */
};

void local_events_violations_clean_up(struct events_violations *v);

/* Notes what is wrong with a value. */
void local_events_check_shape(struct events_violations *v, const struct events_shape *shape, struct json value);

/* Appends a value that was checked, without what its shape does not know and what is null. */
void local_events_write_known(struct buf *out, const struct events_shape *shape, struct json value);

/* Notes a value that is too short or too long, or no name or ARN of a bus; one that is not given (p NULL) is neither.
 * path is a printf format: "entries.%zu.member.eventBusName". */
void local_events_check_length(struct events_violations *v, struct slice value, size_t min, size_t max,
                               const char *path, ...) __attribute__((format(printf, 5, 6)));
void local_events_check_bus(struct events_violations *v, struct slice bus, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/* Nothing is wrong. */
bool local_events_is_valid(const struct events_violations *v);

/* What is wrong with one that is not valid: the wrong type, or "N validation errors detected: ...". */
void local_events_write_violations(const struct events_violations *v, struct buf *out);

/* Reads a string of a request that was checked: decoded, with a NUL behind it, in the arena. A member that is not
 * there, or null, gives a slice with p NULL. ERR_NO_MEMORY. */
int local_events_read_text(struct arena *arena, struct json object, const char *name, struct slice *ret, struct err *e);

/* A member that is there and not null. */
bool local_events_get(struct json object, const char *name, struct json *ret);

#endif
