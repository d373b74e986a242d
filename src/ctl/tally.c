#include "ctl/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void
tally_init(struct tally *t)
{
    *t = (struct tally){0};
}

void
tally_clean_up(struct tally *t)
{
    free(t->events);
    *t = (struct tally){0};
}

static struct tally_event *
place_of(struct tally_event *events, size_t capacity, struct slice id)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < id.n; i++)
        hash = (hash ^ (unsigned char)id.p[i]) * UINT64_C(0x100000001b3);
    for (size_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1))
        if (events[i].id[0] == '\0' || slice_equals_string(id, events[i].id))
            return &events[i];
}

static int
grow(struct tally *t)
{
    size_t capacity = t->capacity ? t->capacity * 2 : 4096;
    struct tally_event *events = calloc(capacity, sizeof *events);
    if (!events)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->events[i].id[0])
            *place_of(events, capacity, slice_of_string(t->events[i].id)) = t->events[i];
    free(t->events);
    t->events = events;
    t->capacity = capacity;
    return 0;
}

/* The sums are kept as differences of one event's contribution before and after an observation. */
static void
count(struct tally *t, const struct tally_event *event, int sign)
{
    if (event->published) {
        t->published += (size_t)sign;
        t->captured += event->captured ? (size_t)sign : 0;
        t->handled += event->handled ? (size_t)sign : 0;
    }
    if (event->handled > 1)
        t->duplicates += (size_t)sign * (event->handled - 1);
}

static int
note(struct tally *t, enum tally_what what, struct slice id, size_t line)
{
    if (id.n == 0 || id.n >= sizeof t->events->id || memchr(id.p, '\0', id.n))
        return ERR_INVALID;
    if (t->count * 2 >= t->capacity && grow(t) != 0)
        return ERR_NO_MEMORY;
    struct tally_event *event = place_of(t->events, t->capacity, id);
    if (event->id[0] == '\0') {
        memcpy(event->id, id.p, id.n);
        t->count++;
    }
    count(t, event, -1);
    switch (what) {
    case TALLY_PUBLISHED:
        event->published++;
        event->line = line;
        break;
    case TALLY_CAPTURED:
        event->captured = 1;
        break;
    case TALLY_HANDLED:
        event->handled++;
        break;
    }
    count(t, event, +1);
    return 0;
}

int
tally_note(struct tally *t, enum tally_what what, struct slice id)
{
    return note(t, what, id, 0);
}

int
tally_note_published(struct tally *t, struct slice id, size_t line)
{
    return note(t, TALLY_PUBLISHED, id, line);
}

const struct tally_event *
tally_find(const struct tally *t, struct slice id)
{
    const struct tally_event *event = t->capacity > 0 ? place_of(t->events, t->capacity, id) : NULL;
    return event && event->id[0] ? event : NULL;
}

const struct tally_event *
tally_next_missing(const struct tally *t, size_t *at)
{
    while (*at < t->capacity) {
        const struct tally_event *event = &t->events[(*at)++];
        if (event->published && !(event->captured && event->handled))
            return event;
    }
    return NULL;
}

size_t
tally_lost(const struct tally *t)
{
    return t->published - t->handled;
}

size_t
tally_unexpected(const struct tally *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->capacity; i++)
        n += t->events[i].id[0] && !t->events[i].published;
    return n;
}
