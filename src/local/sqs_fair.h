/* sqs_fair: fair queues, which are standard queues whose messages have a MessageGroupId.
 *
 * A group is a tenant. One that has more than a tenth of the queue's messages in flight, and 30 of its own, is noisy:
 * the messages of the others, and those without a group, are received before its own, until nothing that is visible is
 * left behind or nothing was sent to it for five minutes (AWS: "How Amazon SQS fair queues work"). Nobody is kept from
 * receiving: when there is nothing else, noisy messages come in their order.
 *
 * What a queue without groups pays is a NULL pointer. Nothing is kept but who is noisy, at most nine at a time, which
 * is worked out of the tables after so many receives; so there is nothing to be undone with a transaction, and a server
 * that starts again finds out anew. AWS's other measure, a group's share of the time that messages were in hand, is not
 * kept: it would take a figure for each group at each delete. */
#ifndef FANOUT_LOCAL_SQS_FAIR_H
#define FANOUT_LOCAL_SQS_FAIR_H

#include "local/sqs_impl.h"

struct lsqs_fair;

/* A message of this group was sent to a standard queue; was received from it. */
void lsqs_fair_note_sent(struct lsqs_queue *q, const struct store_tx *tx, struct slice group);
void lsqs_fair_note_received(struct lsqs_queue *q);

/* Is anybody noisy, so that lsqs_fair_choose says what is to be received? The queue is touched. Returns 1, 0, or the
 * error of a store_ call. */
int lsqs_fair_applies(struct store_tx *tx, struct lsqs_queue *q);

/* The messages to receive next, at most `most` (<= LSQS_MAX_ENTRIES) of them. */
int lsqs_fair_choose(struct store_tx *tx, struct lsqs_queue *q, size_t most, int64_t *ret_ids, size_t *ret_n);

/* A transaction was undone: what was chosen may be there again. */
void lsqs_fair_look_again(struct lsqs_queue *q);

void lsqs_fair_destroy(struct lsqs_fair *f); /* NULL is fine */

#endif
