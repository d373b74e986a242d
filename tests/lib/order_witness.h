/* order_witness: was the order of a FIFO queue's groups kept?
 *
 * It knows nothing of queues or workers: it is told, as it happens, which message of which group is being handled and
 * which has ended (done, or moved away for good). Two things must hold in each group, and it keeps the books that judge
 * them:
 *
 *     messages are begun for the first time in the order in which they were sent, none left out but those that have
 *     ended without (filtered out, a duplicate)
 *     none is handled after one sent later has ended
 *
 * Groups and places are numbers from 0. Want of memory aborts. One thread. */
#ifndef FANOUT_TESTS_LIB_ORDER_WITNESS_H
#define FANOUT_TESTS_LIB_ORDER_WITNESS_H

#include <stdbool.h>
#include <stddef.h>

struct order_witness;

struct order_witness *order_witness_new(void);
void order_witness_destroy(struct order_witness *w); /* NULL is fine */

/* From now on a message may be handled only when all those before it have ended: what a handler of one message at a
 * time can rely on. */
void order_witness_be_strict(struct order_witness *w);

/* The order of this message was given up: nothing is asked of it any more, nor of others because of it. */
void order_witness_excuse(struct order_witness *w, size_t group, size_t place);

/* A handler begins with it. NULL, or what is wrong with that (until the next call). */
const char *order_witness_begins(struct order_witness *w, size_t group, size_t place);

/* It has ended; again is fine. */
void order_witness_ends(struct order_witness *w, size_t group, size_t place);

/* How many messages have ended: of a group; of all. */
size_t order_witness_ended(const struct order_witness *w, size_t group);
size_t order_witness_all_ended(const struct order_witness *w);

#endif
