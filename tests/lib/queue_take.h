/* queue_take: what lies in a queue of fanout-local, taken out of it: for tests of what is delivered there. Deliveries
 * are durable before PutEvents answers, so nothing is waited for. */
#ifndef FANOUT_TESTS_LIB_QUEUE_TAKE_H
#define FANOUT_TESTS_LIB_QUEUE_TAKE_H

#include <stdbool.h>

#include "lib/aws_call.h"

/* Receives a message with all its attributes, and deletes it; false: there is none. The answer ("Messages.0.Body")
 * stays in *reply, which is new, until its clean up. */
bool queue_take(const char *url, const char *queue, struct aws_call *reply);

/* A message's body, which the caller frees. Fails the test when there is none. */
char *queue_take_body(const char *url, const char *queue);

/* Fails the test when there is a message. */
void queue_assert_empty(const char *url, const char *queue);

#endif
