/* local_queue: a queue of local_fixture's that a test has for itself, and what it says to it.
 *
 *     struct local_queue q;
 *     local_queue_make(&q, "{\"VisibilityTimeout\": \"10\"}");
 *     local_queue_send(&q, "body");
 *     assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 1);
 *     local_queue_drop(&q);
 *
 * members: what a request has besides its QueueUrl: "" or ", \"MessageBody\": ...". One thread. */
#ifndef FANOUT_TESTS_LIB_LOCAL_QUEUE_H
#define FANOUT_TESTS_LIB_LOCAL_QUEUE_H

#include "lib/local.h"

struct local_queue {
    struct aws_call call; /* its last answer is the queue's */
    char url[200];
};

/* attributes: a JSON object; with "FifoQueue" in it, it is a FIFO queue. */
void local_queue_make(struct local_queue *q, const char *attributes);
void local_queue_drop(struct local_queue *q);

/* An operation's status; one that must succeed; a text of the last answer ("(no PATH)"), the last four of which live.
 */
int local_queue_call(struct local_queue *q, const char *operation, const char *members);
void local_queue_ok(struct local_queue *q, const char *operation, const char *members);
const char *local_queue_text(struct local_queue *q, const char *path);

void local_queue_send(struct local_queue *q, const char *body);
/* n messages of that body, in batches; members: what each entry has besides. */
void local_queue_send_many(struct local_queue *q, int n, const char *body, const char *members);

size_t local_queue_receive(struct local_queue *q, const char *members); /* the number of messages */

/* An operation on one message. */
void local_queue_settle(struct local_queue *q, const char *operation, const char *handle, const char *members);

long local_queue_attribute(struct local_queue *q, const char *name);
void local_queue_assert_counts(struct local_queue *q, long visible, long in_flight, long delayed);

/* Sends a receive with this wait over a connection of its own, and returns when the server has nth waiting; whether it
 * has its answer; waits for that, ends the connection, and returns the number of messages. */
void local_queue_begin_wait(struct local_queue *q, struct aws_call *c, int wait_s, long nth);
bool local_queue_is_answered(struct aws_call *c);
size_t local_queue_end_wait(struct aws_call *c);

#endif
