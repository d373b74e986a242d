/* sqs_fifo: what FIFO queues have beyond standard ones.
 *
 *     sqs_fifo.c           the groups of a queue, and which of its messages may be received
 *     sqs_fifo_groups.c    those groups in memory
 *     sqs_fifo_send.c      what a send must name, sequence numbers, dead letters
 *     sqs_fifo_dedup.c     what was sent in the last five minutes
 *     sqs_fifo_receive.c   receiving from the groups
 *     sqs_fifo_attempt.c   receives that are asked for again
 *
 * The order of a queue is that of its messages' ids: a message that comes in gets the next one, a dead letter too. A
 * group's messages can be received in that order up to the first that is invisible, so that a group is blocked while
 * its first message is. Among the groups, the one whose first message has been visible for the longest comes first.
 * Only the first 120,000 messages of a queue are looked at, in flight or not, as AWS does.
 *
 * That window is kept in memory, per queue: built from the tables at its first use, told of every change, thrown away
 * by a rollback. So receiving needs no statement that looks for messages, and a start reads none.
 *
 * Writer thread only, but for lsqs_is_fifo_name and the check functions. */
#ifndef FANOUT_LOCAL_SQS_FIFO_H
#define FANOUT_LOCAL_SQS_FIFO_H

#include "local/sqs_impl.h"

#define LSQS_FIFO_WINDOW   120000 /* messages of a queue that are looked at */
#define LSQS_FIFO_DEDUP_MS 300000 /* how long a sent id, and a receive's attempt, are remembered */
#define LSQS_SEQUENCE_TEXT 21     /* with the NUL */

bool lsqs_is_fifo_name(struct slice name); /* or ARN */

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* Of the functions that take a queue: nothing happens when it is a standard one, or its window is not in memory. None
 * fails: without memory for it, the window is thrown away. They wake whoever waits for the queue. */

/* Forgets the window. Also the end of it. Nothing wakes those who wait until the next look: if you drop it while the
 * queue lives on, let them look (lsqs_expect). */
void lsqs_fifo_drop(struct lsqs_queue *q);

/* A message went in behind all others; it is gone; it is visible from visible_at_ms on. */
void lsqs_fifo_added(struct lsqs_queue *q, int64_t id, int64_t visible_at_ms, struct slice group_id);
void lsqs_fifo_removed(struct lsqs_queue *q, int64_t id);
void lsqs_fifo_changed(struct lsqs_queue *q, int64_t id, int64_t visible_at_ms);

/* When a receive may find something: now or earlier when it may now; INT64_MAX: not before something changes. */
int lsqs_fifo_find_next_visible(struct store_tx *tx, struct lsqs_queue *q, int64_t *ret_ms);

/* Brings the window into memory, as far as it is not. */
int lsqs_fifo_look(struct store_tx *tx, struct lsqs_queue *q);

/* The messages that may be received now, each once:
 *     lsqs_fifo_begin(q);
 *     while (lsqs_fifo_next(q, now_ms, &id))
 *         lsqs_fifo_removed(q, id), or lsqs_fifo_changed(q, id, ...), or neither;
 *     lsqs_fifo_end(q);
 * Between them, no other message of the queue may change. The window is in memory, and stays there. */
void lsqs_fifo_begin(struct lsqs_queue *q);
bool lsqs_fifo_next(struct lsqs_queue *q, int64_t now_ms, int64_t *ret_id);
void lsqs_fifo_end(struct lsqs_queue *q);

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* What a FIFO queue wants of an entry; and of all of a batch, without which none of it is sent. */
bool lsqs_fifo_check_send(const struct lsqs_queue *q, const struct lsqs_send *m, struct lsqs_error *e);
bool lsqs_fifo_check_batch(const struct lsqs_queue *q, const struct lsqs_send *m, size_t n, struct lsqs_error *e);

/* By which id duplicates are told: the one that was given, or that of the body. */
struct slice lsqs_fifo_dedup_id(const struct lsqs_send *m);

void lsqs_fifo_format_sequence(int64_t id, char out[LSQS_SEQUENCE_TEXT]);

/* Moves the row of a message into a FIFO queue, as its last one: a dead letter, visible at once. It keeps its group,
 * its MessageId and its receive count; the time it was sent is now, and its deduplication id is its MessageId. Counts
 * (the queue is touched), and the queue it comes from, are the caller's. */
int lsqs_fifo_adopt(struct store_tx *tx, struct lsqs_queue *to, int64_t id, const uint8_t uuid[16],
                    struct slice source_arn);

/* The row of this id, the highest so far, has come into a FIFO queue from another. */
int lsqs_fifo_arrived(struct store_tx *tx, struct lsqs_queue *to, int64_t id, int64_t visible_at_ms);

/* The queue's delay has changed from old_s: those that are still delayed wait by the new one. The queue is touched. */
int lsqs_fifo_change_delay(struct store_tx *tx, struct lsqs_queue *q, int64_t old_s);

/* ---- deduplication ----------------------------------------------------------------------------------------------- */

struct lsqs_dedup;

int lsqs_dedup_new(struct local_sqs *s); /* or ERR_NO_MEMORY */

/* The table is read after the start, some of it in each turn; a send that comes before reads the rest. */
bool lsqs_dedup_is_loaded(const struct local_sqs *s);
int lsqs_dedup_load_some(struct local_sqs *s, struct store_tx *tx);

void lsqs_dedup_rollback(struct local_sqs *s, struct store_tx *tx);
void lsqs_dedup_free(struct local_sqs *s);

/* There may be something to be removed that lsqs_dedup_add does not know of. */
void lsqs_dedup_expect(struct local_sqs *s, int64_t now_ms);

/* Was a message of that deduplication id sent to the queue less than five minutes ago? *ret_id: which; 0: none was. Two
 * sends of one id are one message when they have the same group, or the queue's scope was the whole queue for both. */
int lsqs_dedup_find(struct lsqs_queue *q, struct store_tx *tx, struct slice dedup_id, struct slice group_id,
                    int64_t *ret_id, uint8_t ret_uuid[16]);

/* It was now, as the message of this id, the highest so far. */
int lsqs_dedup_add(struct lsqs_queue *q, struct store_tx *tx, struct slice dedup_id, struct slice group_id, int64_t id,
                   const uint8_t uuid[16]);

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* As lsqs_receive_now, which calls it; the result's list is there. */
int lsqs_fifo_receive(struct store_tx *tx, struct lsqs_call *c, size_t most);

/* What a receive with an attempt id brought. */
struct lsqs_attempt_message {
    int64_t id, receives;
};

struct lsqs_attempt {
    int64_t at_ms, visible_at_ms; /* when it was; until when what it brought is invisible */
    struct lsqs_attempt_message messages[LSQS_MAX_ENTRIES];
    size_t n; /* 0: there was none in the last five minutes */
};

int lsqs_attempt_find(struct lsqs_queue *q, struct store_tx *tx, struct slice attempt_id, struct lsqs_attempt *ret);
int lsqs_attempt_save(struct lsqs_queue *q, struct store_tx *tx, struct slice attempt_id, const struct lsqs_attempt *a);

/* Removes those that are too old. *ret_oldest_ms: when the oldest of the others was; INT64_MAX: there is none. */
int lsqs_attempt_expire(struct store_tx *tx, int64_t *ret_oldest_ms);

#endif
