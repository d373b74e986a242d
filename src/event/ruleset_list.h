/* ruleset_list: lists that grow, and tables from bytes to numbers, for the files that build a set. */
#ifndef FANOUT_EVENT_RULESET_LIST_H
#define FANOUT_EVENT_RULESET_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/slice.h"

/* All zero is empty. */
struct list {
    void *items;
    uint32_t n, room;
};

/* Appends a copy of the item. Its index, or UINT32_MAX: no memory. */
uint32_t list_add(struct list *l, const void *item, size_t size);

/* The items, to be freed by the caller; not NULL when there are none. The list is empty then. NULL: no memory. */
void *list_take(struct list *l);

void list_free(struct list *l);

/* All zero is empty. */
struct list_names {
    struct arena keys;
    struct list_name *slots;
    uint32_t n, room;
};

#define LIST_NEW (UINT32_MAX - 1)

/* The number that stands for these bytes; LIST_NEW when they were not there before, to be replaced by the caller. Valid
 * until the next call. NULL: no memory. */
uint32_t *list_name(struct list_names *l, struct slice bytes);

void list_names_free(struct list_names *l);

/* The order of a node's children: any will do, and the shorter ones first is cheap. */
static inline int
ruleset_compare_names(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return a.n == 0 ? 0 : memcmp(a.p, b.p, a.n);
}

#endif
