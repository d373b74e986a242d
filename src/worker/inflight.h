/* inflight: the messages in hand, by message id, oldest receive first.
 *
 * A message is in hand from its receive until what was decided about it is confirmed or its lease is over. The number
 * of them, with what outstanding polls may bring, is what the in-flight cap bounds. Engine thread only. */
#ifndef FANOUT_WORKER_INFLIGHT_H
#define FANOUT_WORKER_INFLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "worker/message.h"

struct inflight {
    struct message **buckets; /* a power of two */
    size_t n_buckets;
    size_t count;
    struct message *oldest, *newest;
};

/* Sized for `expected` messages; more are possible. */
int inflight_init(struct inflight *f, size_t expected, struct err *e);
void inflight_clean_up(struct inflight *f); /* releases what is left */

struct message *inflight_find(const struct inflight *f, struct slice id, uint64_t hash);

/* Takes one reference of m, whose id must not be in it. */
void inflight_add(struct inflight *f, struct message *m);

/* Gives the reference up. */
void inflight_remove(struct inflight *f, struct message *m);

#endif
