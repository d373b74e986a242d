#include "event/ruleset_list.h"

#include <stdlib.h>
#include <string.h>

struct list_name {
    struct slice bytes; /* p NULL: free */
    uint32_t hash, number;
};

uint32_t
list_add(struct list *l, const void *item, size_t size)
{
    if (l->n == l->room) {
        uint32_t room = l->room ? l->room * 2 : 8;
        void *items = room < LIST_NEW / 2 ? realloc(l->items, room * size) : NULL;
        if (!items)
            return UINT32_MAX;
        l->items = items;
        l->room = room;
    }
    memcpy((char *)l->items + l->n * size, item, size);
    return l->n++;
}

void *
list_take(struct list *l)
{
    void *items = l->items ? l->items : malloc(1);
    *l = (struct list){0};
    return items;
}

void
list_free(struct list *l)
{
    free(l->items);
    *l = (struct list){0};
}

static uint32_t
hash_of(struct slice bytes)
{
    uint64_t hash = bytes.n;
    for (size_t i = 0; i < bytes.n; i++)
        hash = (hash ^ (unsigned char)bytes.p[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

static struct list_name *
slot_of(const struct list_names *l, struct slice bytes, uint32_t hash)
{
    for (uint32_t i = hash;; i++) {
        struct list_name *slot = &l->slots[i % l->room];
        if (!slot->bytes.p || (slot->hash == hash && slice_equals(slot->bytes, bytes)))
            return slot;
    }
}

static bool
grow(struct list_names *l)
{
    struct list_name *old = l->slots;
    uint32_t n = l->room, room = n ? n * 2 : 64;
    struct list_name *slots = calloc(room, sizeof *slots);
    if (!slots)
        return false;
    l->slots = slots;
    l->room = room;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].bytes.p)
            *slot_of(l, old[i].bytes, old[i].hash) = old[i];
    free(old);
    return true;
}

uint32_t *
list_name(struct list_names *l, struct slice bytes)
{
    uint32_t hash = hash_of(bytes);
    if (l->room == 0)
        arena_init(&l->keys, 4096);
    if (l->n >= l->room / 2 && !grow(l))
        return NULL;
    struct list_name *slot = slot_of(l, bytes, hash);
    if (!slot->bytes.p) {
        const char *copy = arena_strdup_slice(&l->keys, bytes);
        if (!copy)
            return NULL;
        *slot = (struct list_name){.bytes = slice_of(copy, bytes.n), .hash = hash, .number = LIST_NEW};
        l->n++;
    }
    return &slot->number;
}

void
list_names_free(struct list_names *l)
{
    if (l->room > 0)
        arena_clean_up(&l->keys);
    free(l->slots);
    *l = (struct list_names){0};
}
