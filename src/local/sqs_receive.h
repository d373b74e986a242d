/* sqs_receive: what receives from standard and from FIFO queues have in common. Writer thread only. */
#ifndef FANOUT_LOCAL_SQS_RECEIVE_H
#define FANOUT_LOCAL_SQS_RECEIVE_H

#include "local/sqs_impl.h"

/* A message that may be received now. */
struct lsqs_candidate {
    int64_t id, sent_at_ms, first_received_at_ms, receives;
    uint8_t uuid[16], md5[DIGEST_MD5_BYTES];
    struct slice source; /* the queue it is a dead letter of */
    struct slice trace, group_id, attributes, body;
    struct slice dedup_id; /* p NULL: of a standard queue */
    struct slice sender;   /* p NULL: the account */
};

#define LSQS_CANDIDATE_COLUMNS                                                                                         \
    "id, sent_at, receives, first_received_at, uuid, md5, source, trace, group_id, attributes, body, dedup_id, sender"

/* Reads these columns; the texts are copied into the arena. Returns 0 or the store's error. */
int lsqs_read_candidate(struct store_tx *tx, sqlite3_stmt *r, struct arena *arena, struct lsqs_candidate *m);

/* Dropped when it is too old, moved when it was received too often, otherwise received: then it is the list's last. */
int lsqs_take(struct store_tx *tx, struct lsqs_call *c, struct lsqs_candidate *m, struct lsqs_list *messages);

/* Fills in what the client is told of a message that it has received. */
int lsqs_tell(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_candidate *m, struct lsqs_message *out);

/* Until when the receive makes messages invisible. */
int64_t lsqs_receive_until_ms(const struct store_tx *tx, const struct lsqs_call *c);

#endif
