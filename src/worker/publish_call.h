/* publish_call: one call with up to ten pieces to one bus or one queue: what is sent, and what the answer says of each.
 *
 * For publish_box.c alone. Engine thread only. */
#ifndef FANOUT_WORKER_PUBLISH_CALL_H
#define FANOUT_WORKER_PUBLISH_CALL_H

#include <stddef.h>

#include "base/err.h"
#include "worker/publish_box.h"

#define PUBLISH_CALL_MOST 10 /* EVENTS_BATCH_MAX, SQS_BATCH_MAX */

struct publish_call {
    struct publish_box *box;
    struct publish_call *previous, *next; /* of the box's */
    struct publish_piece *pieces[PUBLISH_CALL_MOST];
    size_t n;
    void (*done)(struct publish_call *c);

    /* during done: */
    const struct aws_error *error;      /* the whole call failed */
    const struct events_result *events; /* or else one of these: of each piece */
    const struct sqs_result *messages;
};

/* The most that a call's pieces may weigh. */
size_t publish_call_bytes_max(const struct publish_box *b);

/* Sends the pieces; c->done is called once, later. When this fails it is not. */
int publish_call_start(struct publish_call *c, struct err *e);

enum publish_call_answer {
    PUBLISH_CALL_ANSWERED, /* the service said something of each piece */
    PUBLISH_CALL_FAILED,   /* nothing was wrong with the pieces: they come first next time */
    PUBLISH_CALL_REFUSED,  /* one of them may be at fault: each is sent alone */
};

/* Whether the service found fault with what the call held, not with us or with the target. */
bool publish_call_is_refused(const struct publish_call *c);

/* What became of the i-th piece. The texts live until done returns. */
enum publish_call_answer publish_call_outcome(const struct publish_call *c, size_t i,
                                              struct publish_outcome *ret_outcome);

#endif
