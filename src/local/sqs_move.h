/* sqs_move: message move tasks, which take the messages out of a dead-letter queue to where they came from, or to
 * another queue of the same type, and let them begin anew: new id, new time, no receives, no DeadLetterQueueSourceArn.
 *
 *     sqs_move.c      the operations          sqs_move_run.c  the moving, a small step in each of the writer's turns
 *
 * A task is a row; memory holds nothing of it but when the next one has something to do, so that tasks survive a kill
 * and a rollback by themselves, and each message is, at any moment, in one of the two queues. It moves as many
 * messages as were visible when it began, in the order of their arrival, unless others take them first; those in flight
 * stay. A task ends
 *
 *     COMPLETED   nothing is left to move
 *     CANCELLED   a millisecond or more after CancelMessageMoveTask, which makes it CANCELLING
 *     FAILED      its destination is gone: AWS.SimpleQueueService.NonExistentQueue; a message that nobody but its
 *                 sender put there has nowhere to go back to: CouldNotDetermineMessageSource; or after 36 hours:
 * Timeout
 *
 * and the last ten of a source are remembered, as long as that queue is there. Where AWS leaves it open: without
 * MaxNumberOfMessagesPerSecond a task goes as fast as it can beside the calls that come; the destination's DelaySeconds
 * holds for what is moved, its MaximumMessageSize does not; a server that was down does not make up for that time. */
#ifndef FANOUT_LOCAL_SQS_MOVE_H
#define FANOUT_LOCAL_SQS_MOVE_H

#include "local/sqs_impl.h"

#define LSQS_MOVES_MAX      100 /* that run */
#define LSQS_MOVES_KEPT     10  /* of one source */
#define LSQS_MOVE_MAX_RATE  500
#define LSQS_MOVE_MAX_MS    (INT64_C(36) * 3600 * 1000)
#define LSQS_MOVE_NO_SOURCE "CouldNotDetermineMessageSource"
#define LSQS_MOVE_NO_QUEUE  "AWS.SimpleQueueService.NonExistentQueue"
#define LSQS_MOVE_TOO_LONG  "Timeout"

struct lsqs_start_move {
    struct slice source_arn, destination_arn;
    struct lsqs_int rate;
};

struct lsqs_cancel_move {
    struct slice handle;
};

struct lsqs_list_moves {
    struct slice source_arn;
    struct lsqs_int max;
};

struct lsqs_move_started {
    struct slice handle;
};

struct lsqs_move_cancelled {
    struct lsqs_int moved;
};

struct lsqs_move {
    struct slice handle, status, source_arn, destination_arn, failure;
    struct lsqs_int rate, moved, to_move, started_at_ms;
};

struct lsqs_moves_result {
    struct lsqs_list moves; /* of struct lsqs_move */
};

bool lsqs_check_start_move(struct lsqs_call *c);
bool lsqs_check_cancel_move(struct lsqs_call *c);
bool lsqs_check_list_moves(struct lsqs_call *c);
int lsqs_run_start_move(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_cancel_move(struct store_tx *tx, struct lsqs_call *c);
int lsqs_run_list_moves(struct store_tx *tx, struct lsqs_call *c);

/* A queue is gone: so are the tasks whose source it was. */
int lsqs_forget_moves(struct store_tx *tx, const struct lsqs_queue *q);

/* Once, when the server starts: tasks go on from now. */
int lsqs_resume_moves(struct local_sqs *s, struct store_tx *tx);

/* Does what tasks have to do at store_now_ms, as far as one turn may. Sets s->moves_due_ms. */
int lsqs_turn_moves(struct local_sqs *s, struct store_tx *tx);

#endif
