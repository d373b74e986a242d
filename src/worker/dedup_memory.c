#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/uuid.h"
#include "worker/dedup_store.h"

#define SWEEP 2 /* records looked at for their expiry whenever one is begun: more than come in */

struct record {
    TAILQ_ENTRY(record) link; /* of its kind, the one to go first in front */
    struct record *chain;
    uint64_t hash;
    int64_t expires_ms;
    bool completed;
    char *owner; /* of one in progress; malloced */
    size_t owner_n, key_n;
    char key[];
};
TAILQ_HEAD(records, record);

struct memory {
    struct dedup_store store;
    struct record **buckets;
    size_t n_buckets, count, max;
    uint64_t seed; /* nobody outside can make keys meet in one bucket */
    struct records completed, in_progress;
};

/* ---- the table ---- */

static uint64_t
hash_of(const struct memory *t, struct slice key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ t->seed;
    for (size_t i = 0; i < key.n; i++)
        h = (h ^ (unsigned char)key.p[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0xff51afd7ed558ccd) ^ t->seed << 1;
    return h ^ h >> 29;
}

static struct record **
find(struct memory *t, struct slice key, uint64_t hash)
{
    struct record **link = &t->buckets[hash & (t->n_buckets - 1)];
    while (*link && !((*link)->hash == hash && slice_equals(slice_of((*link)->key, (*link)->key_n), key)))
        link = &(*link)->chain;
    return link;
}

static struct records *
kind_of(struct memory *t, const struct record *r)
{
    return r->completed ? &t->completed : &t->in_progress;
}

static void
remove_record(struct memory *t, struct record *r)
{
    struct record **link = find(t, slice_of(r->key, r->key_n), r->hash);
    *link = r->chain;
    TAILQ_REMOVE(kind_of(t, r), r, link);
    t->count--;
    free(r->owner);
    free(r);
}

static void
set_state(struct memory *t, struct record *r, bool completed)
{
    TAILQ_REMOVE(kind_of(t, r), r, link);
    r->completed = completed;
    TAILQ_INSERT_TAIL(kind_of(t, r), r, link);
}

/* Twice the buckets when there are as many records; where there is no memory for them, chains get longer. */
static void
grow(struct memory *t)
{
    if (t->count < t->n_buckets)
        return;
    struct record **buckets = calloc(t->n_buckets * 2, sizeof(struct record *));
    if (!buckets)
        return;
    size_t n = t->n_buckets * 2;
    for (size_t i = 0; i < t->n_buckets; i++) {
        while (t->buckets[i]) {
            struct record *r = t->buckets[i];
            t->buckets[i] = r->chain;
            r->chain = buckets[r->hash & (n - 1)];
            buckets[r->hash & (n - 1)] = r;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->n_buckets = n;
}

static struct record *
add_record(struct memory *t, struct slice key, uint64_t hash)
{
    grow(t);
    struct record *r = calloc(1, sizeof *r + key.n);
    if (!r)
        return NULL;
    r->hash = hash;
    r->key_n = key.n;
    memcpy(r->key, key.p, key.n);
    struct record **bucket = &t->buckets[hash & (t->n_buckets - 1)];
    r->chain = *bucket;
    *bucket = r;
    TAILQ_INSERT_TAIL(&t->in_progress, r, link);
    t->count++;
    return r;
}

static int
set_owner(struct record *r, struct slice owner)
{
    char *copy = malloc(owner.n ? owner.n : 1);
    if (!copy)
        return ERR_NO_MEMORY;
    memcpy(copy, owner.p, owner.n);
    free(r->owner);
    r->owner = copy;
    r->owner_n = owner.n;
    return 0;
}

static bool
is_owner(const struct record *r, struct slice owner)
{
    return slice_equals(slice_of(r->owner, r->owner_n), owner);
}

static void
sweep(struct memory *t, struct records *list, int64_t now_ms)
{
    struct record *next, *r = TAILQ_FIRST(list);
    for (int i = 0; i < SWEEP && r && r->expires_ms <= now_ms; i++, r = next) {
        next = TAILQ_NEXT(r, link);
        remove_record(t, r);
    }
}

/* What has expired goes, a little at a time; and what is too much. */
static void
make_room(struct memory *t, int64_t now_ms)
{
    sweep(t, &t->in_progress, now_ms);
    sweep(t, &t->completed, now_ms);
    struct record *next, *r = TAILQ_FIRST(&t->completed);
    for (; t->count >= t->max && r; r = next) {
        next = TAILQ_NEXT(r, link);
        remove_record(t, r);
    }
}

/* ---- operations ---- */

static int
begin(struct memory *t, struct dedup_op *op, struct record *r, uint64_t hash)
{
    bool expired = r && r->expires_ms <= op->now_ms;
    if (r && r->completed && !expired) {
        set_state(t, r, true); /* asked for last */
        op->found = DEDUP_COMPLETED;
        return 0;
    }
    if (r && !expired && !is_owner(r, op->owner)) {
        op->found = DEDUP_BUSY;
        op->until_ms = r->expires_ms;
        return 0;
    }
    if (!r) {
        make_room(t, op->now_ms);
        r = add_record(t, op->key, hash);
    }
    if (!r)
        return err_no_memory(&t->store.error);
    if (set_owner(r, op->owner) != 0) {
        if (!r->owner && !r->completed) /* it is new */
            remove_record(t, r);
        return err_no_memory(&t->store.error);
    }
    set_state(t, r, false);
    r->expires_ms = op->expires_ms;
    op->found = DEDUP_FRESH;
    return 0;
}

static int
complete(struct memory *t, struct dedup_op *op, struct record *r, uint64_t hash)
{
    if (!r) {
        make_room(t, op->now_ms);
        r = add_record(t, op->key, hash);
    }
    if (!r)
        return err_no_memory(&t->store.error);
    free(r->owner);
    r->owner = NULL;
    r->owner_n = 0;
    set_state(t, r, true);
    r->expires_ms = op->expires_ms;
    return 0;
}

static bool
start(struct dedup_store *s, struct dedup_op *op)
{
    struct memory *t = (struct memory *)s;
    uint64_t hash = hash_of(t, op->key);
    struct record *r = *find(t, op->key, hash);
    op->code = 0;
    switch (op->kind) {
    case DEDUP_BEGIN:
        op->code = begin(t, op, r, hash);
        break;
    case DEDUP_COMPLETE:
        op->code = complete(t, op, r, hash);
        break;
    case DEDUP_FORGET:
        if (r && !r->completed && is_owner(r, op->owner) && r->expires_ms == op->expires_ms)
            remove_record(t, r);
        break;
    }
    return true;
}

/* ---- life ---- */

static void
free_all(struct records *list)
{
    struct record *next;
    for (struct record *r = TAILQ_FIRST(list); r; r = next) {
        next = TAILQ_NEXT(r, link);
        free(r->owner);
        free(r);
    }
}

static void
destroy(struct dedup_store *s)
{
    struct memory *t = (struct memory *)s;
    free_all(&t->in_progress);
    free_all(&t->completed);
    free(t->buckets);
    free(t);
}

size_t
dedup_memory_count(const struct dedup_store *s)
{
    return ((const struct memory *)s)->count;
}

int
dedup_memory_new(size_t max_entries, struct dedup_store **ret_store, struct err *e)
{
    static const struct dedup_store_ops OPS = {.start = start, .destroy = destroy};
    struct memory *t = calloc(1, sizeof *t);
    if (!t)
        return err_no_memory(e);
    t->store.ops = &OPS;
    t->max = max_entries;
    t->n_buckets = 1024;
    t->seed = uuid_random_seed();
    TAILQ_INIT(&t->completed);
    TAILQ_INIT(&t->in_progress);
    t->buckets = calloc(t->n_buckets, sizeof(struct record *));
    if (!t->buckets) {
        free(t);
        return err_no_memory(e);
    }
    *ret_store = &t->store;
    return 0;
}
