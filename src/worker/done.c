#include "worker/done.h"

#include <stdlib.h>
#include <string.h>

struct done_id {
    struct done_id *chain;
    struct done_id *previous, *next; /* by age */
    uint64_t hash;
    size_t n;
    char text[];
};

int
done_init(struct done *d, size_t capacity, struct err *e)
{
    size_t n = 64;
    while (n < 4 * capacity) /* most look-ups find nothing: then they should find an empty bucket */
        n *= 2;
    struct done_id **buckets = calloc(n, sizeof(struct done_id *));
    if (!buckets)
        return err_no_memory(e);
    *d = (struct done){.buckets = buckets, .n_buckets = n, .capacity = capacity};
    return 0;
}

static struct done_id **
find(const struct done *d, struct slice id, uint64_t hash)
{
    struct done_id **link = &d->buckets[hash & (d->n_buckets - 1)];
    while (*link && !((*link)->hash == hash && (*link)->n == id.n && memcmp((*link)->text, id.p, id.n) == 0))
        link = &(*link)->chain;
    return link;
}

/* The caller frees it. */
static struct done_id *
take_out(struct done *d, struct done_id **link)
{
    struct done_id *x = *link;
    *link = x->chain;
    *(x->previous ? &x->previous->next : &d->oldest) = x->next;
    *(x->next ? &x->next->previous : &d->newest) = x->previous;
    d->count--;
    return x;
}

static struct done_id *
take_oldest(struct done *d)
{
    return take_out(d, find(d, slice_of(d->oldest->text, d->oldest->n), d->oldest->hash));
}

void
done_clean_up(struct done *d)
{
    while (d->oldest)
        free(take_oldest(d));
    free(d->buckets);
    *d = (struct done){0};
}

void
done_note(struct done *d, struct slice id, uint64_t hash)
{
    done_forget(d, id, hash);
    struct done_id *old = d->count == d->capacity ? take_oldest(d) : NULL;
    struct done_id *x = old && old->n == id.n ? old : realloc(old, sizeof *x + id.n); /* SQS's are all as long */
    if (!x) {
        free(old);
        return;
    }
    x->hash = hash;
    x->n = id.n;
    memcpy(x->text, id.p, id.n);
    struct done_id **bucket = &d->buckets[hash & (d->n_buckets - 1)];
    x->chain = *bucket;
    *bucket = x;
    x->previous = d->newest;
    x->next = NULL;
    *(d->newest ? &d->newest->next : &d->oldest) = x;
    d->newest = x;
    d->count++;
}

void
done_forget(struct done *d, struct slice id, uint64_t hash)
{
    if (d->count == 0)
        return;
    struct done_id **link = find(d, id, hash);
    if (*link)
        free(take_out(d, link));
}

bool
done_has(const struct done *d, struct slice id, uint64_t hash)
{
    return d->count > 0 && *find(d, id, hash) != NULL;
}
