/* sqs_dead_letters: messages that were received too often, and the queues they go to. Writer thread only. */
#ifndef FANOUT_LOCAL_SQS_DEAD_LETTERS_H
#define FANOUT_LOCAL_SQS_DEAD_LETTERS_H

#include "local/sqs_impl.h"

/* Where a message that was received this often goes now, instead of being received once more; NULL: nowhere. With a
 * maxReceiveCount of n a message is delivered n times. */
struct lsqs_queue *lsqs_dead_letter_queue(const struct lsqs_queue *q, int64_t receives);

struct lsqs_letter {
    int64_t id, sent_at_ms;
};

/* Moves a visible message of `from`, which is touched, to the dead letters. It keeps its identity, its receive count
 * and the time it was sent. Returns 0 or the store's error. */
int lsqs_bury(struct store_tx *tx, struct lsqs_queue *from, struct lsqs_queue *to, const struct lsqs_letter *m);

#endif
