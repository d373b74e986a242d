#include "worker/order_groups.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/message.h"

int
order_init(struct order *o, bool on, bool skip, size_t most, struct timers *timers, struct err *e)
{
    *o = (struct order){.on = on, .skip = skip, .timers = timers};
    o->ready_end = &o->ready;
    if (!on)
        return 0;
    o->n_buckets = 64;
    while (o->n_buckets < most)
        o->n_buckets *= 2;
    o->buckets = calloc(o->n_buckets, sizeof(struct order_group *));
    o->n_reserve = most + 1;
    o->reserve = calloc(o->n_reserve, sizeof *o->reserve);
    if (o->buckets && o->reserve)
        return 0;
    order_clean_up(o);
    return err_no_memory(e);
}

void
order_clean_up(struct order *o)
{
    for (size_t i = 0; i < o->n_buckets && o->buckets; i++)
        for (struct order_group *x = o->buckets[i]; x; x = x->chain)
            timers_cancel(o->timers, &x->timer);
    free(o->reserve);
    free(o->buckets);
    *o = (struct order){0};
}

void
order_group_make_ready(struct order_group *x)
{
    struct order *o = x->order;
    if (x->is_ready)
        return;
    x->is_ready = true;
    x->next_ready = NULL;
    *o->ready_end = x;
    o->ready_end = &x->next_ready;
}

static void
pause_is_over(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    order_group_make_ready((struct order_group *)((char *)t - offsetof(struct order_group, timer)));
}

void
order_group_end_pause(struct order_group *x)
{
    x->order->pausing -= x->pausing;
    x->pausing = 0;
    timers_cancel(x->order->timers, &x->timer);
}

/* Only while it is not in the list of ready ones. */
static void
remove_group(struct order_group *x)
{
    struct order *o = x->order;
    struct order_group **link = &o->buckets[x->hash & (o->n_buckets - 1)];
    assert(x->n == 0 && x->out == 0 && !x->is_ready);
    order_group_end_pause(x);
    while (*link != x)
        link = &(*link)->chain;
    *link = x->chain;
    o->n_groups--;
    x->chain = o->spare;
    o->spare = x;
}

void
order_group_done(struct order_group *x)
{
    struct order *o = x->order;
    assert(o->ready == x);
    o->ready = x->next_ready;
    if (!o->ready)
        o->ready_end = &o->ready;
    x->is_ready = false;
    if (x->n == 0)
        remove_group(x);
}

/* Those that have become empty since order_next was called. */
static void
remove_empty_groups(struct order *o)
{
    o->ready_end = &o->ready;
    for (struct order_group *x = o->ready, *next; x; x = next) {
        next = x->next_ready;
        if (x->n > 0) {
            *o->ready_end = x;
            o->ready_end = &x->next_ready;
        } else {
            x->is_ready = false;
            remove_group(x);
        }
    }
    *o->ready_end = NULL;
}

struct order_group *
order_group_find(struct order *o, struct slice id)
{
    uint64_t hash = message_hash(id);
    size_t kept_bytes = id.n < ORDER_GROUP_ID_BYTES ? id.n : ORDER_GROUP_ID_BYTES;
    struct order_group **bucket = &o->buckets[hash & (o->n_buckets - 1)];
    for (struct order_group *x = *bucket; x; x = x->chain)
        if (x->hash == hash && x->id_bytes == id.n && memcmp(x->id, id.p, kept_bytes) == 0)
            return x;
    if (!o->spare && o->n_used == o->n_reserve)
        remove_empty_groups(o);
    struct order_group *x = o->spare;
    assert(x || o->n_used < o->n_reserve); /* in hand are not so many */
    if (x)
        o->spare = x->chain;
    else
        x = &o->reserve[o->n_used++];
    *x = (struct order_group){.chain = *bucket, .order = o, .hash = hash, .id_bytes = id.n};
    x->timer.fire = pause_is_over;
    memcpy(x->id, id.p, kept_bytes);
    *bucket = x;
    o->n_groups++;
    return x;
}
