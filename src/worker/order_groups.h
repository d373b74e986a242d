/* order_groups: the message groups that order.c has lines of, by their id, and which of them there may be something to
 * do for.
 *
 * A group is there while messages of it are in hand; all there can be are made in advance. For order.c alone. Engine
 * thread only. */
#ifndef FANOUT_WORKER_ORDER_GROUPS_H
#define FANOUT_WORKER_ORDER_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/timers.h"
#include "worker/order.h"

/* SQS: at most. Of longer ones the hash tells the rest; should that be the same, they are one group */
#define ORDER_GROUP_ID_BYTES 128

struct order_group {
    struct order_group *chain; /* of the bucket, or of the spare ones */
    struct order *order;
    struct message *first, *last; /* the line */
    size_t n;
    size_t out;         /* BATCHED to MOVING */
    size_t pausing;     /* of order->pausing */
    struct timer timer; /* the end of its pause */
    bool is_ready;
    struct order_group *next_ready;
    uint64_t hash;
    size_t id_bytes;
    char id[ORDER_GROUP_ID_BYTES];
};

/* Made if need be, which never fails for those of what may be in hand. */
struct order_group *order_group_find(struct order *o, struct slice id);

/* Something about it has changed. */
void order_group_make_ready(struct order_group *x);

/* There is nothing more to do for the first of order->ready. It is given up with its last message. */
void order_group_done(struct order_group *x);

void order_group_end_pause(struct order_group *x);

#endif
