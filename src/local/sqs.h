/* sqs: Amazon SQS as its clients see it, over the store.
 *
 * Standard queues, and FIFO ones (sqs_fifo.h): long polls that end the instant a message, a delay or a visibility
 * timeout is due, visibility, delays, receive counts, redrive at maxReceiveCount, retention, MD5s, fair queues. AWS's
 * limits, error codes and texts (FACTS.md, section 1). One table maps operations to functions over typed requests
 * (sqs_impl.h); the protocols, JSON 1.0 and Query, are codecs in front of it (sqs_codec.h).
 *
 * Where AWS leaves room, this is the strict reading: a receipt handle of an earlier receive does not delete a message
 * that was received again since (the call succeeds), nor does it change its visibility. A receive brings as many as it
 * may: messages that are too old or move to the dead letters on the way take no place among them. */
#ifndef FANOUT_LOCAL_SQS_H
#define FANOUT_LOCAL_SQS_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "local/local.h"
#include "local/store.h"

struct local_sqs;

/* Adds itself to the server and its store. */
int local_sqs_new(struct local *l, struct local_sqs **ret_sqs, struct err *e);
void local_sqs_destroy(struct local_sqs *s); /* after local_stop; NULL is fine */

/* ---- for other services, inside their transactions ----------------------------------------------------------------
 * ERR_NOT_FOUND, ERR_INVALID and ERR_LIMIT say that nothing was written and the transaction goes on; any other error is
 * the store's, to be returned from run or turn. */

struct local_sqs_attribute {
    struct slice name, value;
};

/* Makes a queue with these attributes ("VisibilityTimeout" = "30"; RedrivePolicy as JSON), or, when there is one of
 * that name, gives it these attributes. ERR_INVALID names the attribute. */
int local_sqs_ensure_queue(struct local_sqs *s, struct store_tx *tx, struct slice name,
                           const struct local_sqs_attribute *attributes, size_t n_attributes, struct err *e);

/* Puts a message into the queue that an ARN names ("arn:aws:sqs:us-east-1:000000000000:NAME"), as SendMessage would;
 * long polls that wait for it are answered after this turn's commit. Attributes become String message attributes (what
 * a dead letter carries). group_id: its MessageGroupId; empty: none. ERR_NOT_FOUND: no such queue. ERR_LIMIT: the
 * message is too long for it. ERR_INVALID: AWS would refuse it (its characters; by a FIFO queue, a message without a
 * group, or any without ContentBasedDeduplication). A FIFO queue takes a body once in five minutes, and its repetition
 * is no error. */
int local_sqs_deliver(struct local_sqs *s, struct store_tx *tx, struct slice queue_arn, struct slice body,
                      struct slice group_id, const struct local_sqs_attribute *attributes, size_t n_attributes,
                      struct err *e);

/* Is there such a queue? */
bool local_sqs_has_queue(struct local_sqs *s, struct slice queue_arn); /* writer thread only */

#endif
