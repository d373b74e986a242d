#include "worker/attempts.h"

#include <stdlib.h>

#define WAYS 8

struct attempts_entry {
    uint64_t hash;
    uint32_t noted; /* clock of its last note; 0: free */
    uint16_t unused, failed_here;
    bool left;
};

int
attempts_init(struct attempts *a, size_t capacity, struct err *e)
{
    size_t n = 1;
    while (n * WAYS < capacity)
        n *= 2;
    struct attempts_entry *entries = calloc(n * WAYS, sizeof *entries);
    if (!entries)
        return err_no_memory(e);
    *a = (struct attempts){.entries = entries, .n_sets = n};
    return 0;
}

void
attempts_clean_up(struct attempts *a)
{
    free(a->entries);
    *a = (struct attempts){0};
}

static struct attempts_entry *
find(const struct attempts *a, uint64_t hash)
{
    if (a->count == 0)
        return NULL;
    struct attempts_entry *set = &a->entries[(hash & (a->n_sets - 1)) * WAYS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].noted && set[i].hash == hash)
            return &set[i];
    return NULL;
}

/* After 2^32 notes the order of all is as good as any other. */
static uint32_t
tick(struct attempts *a)
{
    a->clock++;
    if (a->clock == 0)
        a->clock = 1;
    return a->clock;
}

static struct attempts_entry *
note(struct attempts *a, uint64_t hash)
{
    struct attempts_entry *x = find(a, hash);
    if (!x) {
        x = &a->entries[(hash & (a->n_sets - 1)) * WAYS];
        for (struct attempts_entry *y = x, *end = x + WAYS; y < end; y++)
            if (y->noted < x->noted)
                x = y;
        a->count += x->noted == 0;
        *x = (struct attempts_entry){.hash = hash};
    }
    x->noted = tick(a);
    return x;
}

void
attempts_note_unused(struct attempts *a, uint64_t hash)
{
    struct attempts_entry *x = note(a, hash);
    if (x->unused < UINT16_MAX)
        x->unused++;
}

void
attempts_note_failed_here(struct attempts *a, uint64_t hash, uint32_t failures)
{
    struct attempts_entry *x = note(a, hash);
    uint32_t room = UINT16_MAX - x->failed_here;
    x->failed_here += (uint16_t)(failures < room ? failures : room);
}

bool
attempts_note_left(struct attempts *a, uint64_t hash)
{
    struct attempts_entry *x = note(a, hash);
    bool before = x->left;
    x->left = true;
    return before;
}

void
attempts_forget(struct attempts *a, uint64_t hash)
{
    struct attempts_entry *x = find(a, hash);
    if (!x)
        return;
    *x = (struct attempts_entry){0};
    a->count--;
}

uint32_t
attempts_of(const struct attempts *a, uint64_t hash, uint32_t receive_count, uint32_t local_failures)
{
    const struct attempts_entry *x = find(a, hash);
    uint32_t unused = x ? x->unused : 0;
    uint32_t failed_here = x ? x->failed_here : 0;
    return (receive_count > unused ? receive_count - unused : 1) + failed_here + local_failures;
}
