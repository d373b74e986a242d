/* move_flow: a queue of local_fixture's, its dead letters, another queue, and the message move tasks between them.
 *
 *     struct move_flow f;
 *     move_flow_begin(&f);
 *     dead_letters_bury(&f.q, "m", 10);
 *     move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 1");
 *     move_flow_assert(&f, "RUNNING", 1, 10);
 *     move_flow_end(&f);
 *
 * What is asked about tasks goes through dead.call. */
#ifndef FANOUT_TESTS_LIB_MOVE_FLOW_H
#define FANOUT_TESTS_LIB_MOVE_FLOW_H

#include "lib/dead_letters.h"

struct move_flow {
    struct local_queue q, dead, other;
    char q_arn[DEAD_LETTERS_ARN], dead_arn[DEAD_LETTERS_ARN], other_arn[DEAD_LETTERS_ARN];
    char handle[400]; /* of the task started last */
};

void move_flow_begin(struct move_flow *f);
void move_flow_begin_fifo(struct move_flow *f); /* all three queues are */
void move_flow_end(struct move_flow *f);

/* Starts a task on the dead letters; more: ", \"DestinationArn\": ...". */
void move_flow_start(struct move_flow *f, const char *more);
void move_flow_start_to_other(struct move_flow *f, const char *more);
int move_flow_cancel(struct move_flow *f); /* the status */

/* What ListMessageMoveTasks says of the newest task; and whether its last answer said anything. */
const char *move_flow_task(struct move_flow *f, const char *member);
bool move_flow_has(struct move_flow *f, const char *member);

/* The number of messages moved, once the server has done what is due now: a turn does that behind its calls. */
int move_flow_moved(struct move_flow *f);

void move_flow_assert(struct move_flow *f, const char *status, int moved, int to_move);

#endif
