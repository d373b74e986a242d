/* dead_letters: queues of local_fixture's with a dead-letter queue, and messages that end there. */
#ifndef FANOUT_TESTS_LIB_DEAD_LETTERS_H
#define FANOUT_TESTS_LIB_DEAD_LETTERS_H

#include "lib/local_queue.h"

#define DEAD_LETTERS_ARN 160

/* The ARN of the queue of that URL. */
const char *dead_letters_arn(const char *url, char out[DEAD_LETTERS_ARN]);

/* Makes a queue whose messages, visible again at once, go to `dead` after so many receives. more: further attributes,
 * "" or ", \"DelaySeconds\": \"5\"". */
void dead_letters_make(struct local_queue *q, const struct local_queue *dead, int receives, const char *more);

/* Sends n messages, with bodies "PREFIX-0" and on, to q, whose receives are 1, and has them moved. In a FIFO queue they
 * are of three groups by turns. */
void dead_letters_bury(struct local_queue *q, const char *prefix, int n);

/* Calls an operation that is about no queue URL; members: "\"SourceArn\": ...". Returns the status. */
int dead_letters_call(struct aws_call *c, const char *operation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
