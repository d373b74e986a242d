/* sqs_dead_letters: messages that were received too often, the queues they go to, and the two policies that say so.
 *
 * A queue's RedrivePolicy names its dead-letter queue; that queue's RedriveAllowPolicy says which queues may. It is
 * asked when a RedrivePolicy is set, not again for each message: what it permitted once goes on. A dead-letter queue
 * that was deleted takes no more messages: they stay where they are, and are received on. So do those of a queue that
 * names itself. */
#ifndef FANOUT_LOCAL_SQS_DEAD_LETTERS_H
#define FANOUT_LOCAL_SQS_DEAD_LETTERS_H

#include "local/sqs_impl.h"

/* ---- policies ---------------------------------------------------------------------------------------------------- */

/* dead_letter_arn and max_receives out of redrive_policy. false with e set. e NULL: the policy was taken before, and is
 * read as what it was taken for. */
bool lsqs_settings_read_redrive(struct lsqs_settings *t, struct lsqs_error *e);

/* Is this a RedriveAllowPolicy? false with e set. */
bool lsqs_check_redrive_allow(struct slice policy, struct lsqs_error *e);

/* May a queue of that name, which need not exist, have the dead-letter queue of these settings, whose policy was read
 * as a new one? It exists, is of the same region, account and type, and allows it. None is fine. false with e set.
 * Writer thread. */
bool lsqs_check_dead_letter_queue(struct local_sqs *s, struct slice name, const struct lsqs_settings *t,
                                  struct lsqs_error *e);

/* ---- messages (writer thread) ------------------------------------------------------------------------------------ */

/* Where a message that was received this often goes now, instead of being received once more; NULL: nowhere. With a
 * maxReceiveCount of n a message is delivered n times. */
struct lsqs_queue *lsqs_dead_letter_queue(const struct lsqs_queue *q, int64_t receives);

struct lsqs_letter {
    int64_t id, sent_at_ms;
    const uint8_t *uuid; /* 16 bytes */
};

/* Moves a visible message of `from`, which is touched, to the dead letters. It keeps its identity, its receive count
 * and the time it was sent. Returns 0 or the store's error. */
int lsqs_bury(struct store_tx *tx, struct lsqs_queue *from, struct lsqs_queue *to, const struct lsqs_letter *m);

#endif
