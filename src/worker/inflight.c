#include "worker/inflight.h"

#include <assert.h>
#include <stdlib.h>

#define BUCKETS_MIN ((size_t)64)
#define BUCKETS_MAX ((size_t)1 << 20)

int
inflight_init(struct inflight *f, size_t expected, struct err *e)
{
    size_t n = BUCKETS_MIN;
    while (n < expected && n < BUCKETS_MAX)
        n *= 2;
    struct message **buckets = calloc(n, sizeof(struct message *));
    if (!buckets)
        return err_no_memory(e);
    *f = (struct inflight){.buckets = buckets, .n_buckets = n};
    return 0;
}

void
inflight_clean_up(struct inflight *f)
{
    while (f->oldest)
        inflight_remove(f, f->oldest);
    free(f->buckets);
    *f = (struct inflight){0};
}

static struct message **
bucket_of(const struct inflight *f, uint64_t hash)
{
    return &f->buckets[hash & (f->n_buckets - 1)];
}

struct message *
inflight_find(const struct inflight *f, struct slice id, uint64_t hash)
{
    for (struct message *m = *bucket_of(f, hash); m; m = m->chain)
        if (m->hash == hash && slice_equals(m->id, id))
            return m;
    return NULL;
}

void
inflight_add(struct inflight *f, struct message *m)
{
    struct message **bucket = bucket_of(f, m->hash);
    m->chain = *bucket;
    *bucket = m;
    m->previous = f->newest;
    m->next = NULL;
    *(f->newest ? &f->newest->next : &f->oldest) = m;
    f->newest = m;
    f->count++;
}

void
inflight_remove(struct inflight *f, struct message *m)
{
    struct message **link = bucket_of(f, m->hash);
    while (*link != m) {
        assert(*link);
        link = &(*link)->chain;
    }
    *link = m->chain;
    m->chain = NULL;
    *(m->previous ? &m->previous->next : &f->oldest) = m->next;
    *(m->next ? &m->next->previous : &f->newest) = m->previous;
    m->previous = m->next = NULL;
    f->count--;
    message_release(m);
}
