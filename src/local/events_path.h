/* events_path: a JSON path of a target ("$.detail.items[0].id") and the value it leads to. Pure. */
#ifndef FANOUT_LOCAL_EVENTS_PATH_H
#define FANOUT_LOCAL_EVENTS_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

struct events_path {
    struct events_step {
        const char *name; /* of a member; NULL: the element of a list at index */
        size_t index;
    } * steps;
    size_t n;
};

/* ERR_INVALID says what is wrong with the path; ERR_NO_MEMORY. */
int local_events_path_compile(struct slice text, struct arena *arena, const struct events_path **ret_path,
                              struct err *e);

/* False: the event has nothing there. */
bool local_events_path_find(const struct events_path *path, struct json event, struct json *ret_value);

#endif
