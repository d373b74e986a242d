/* need: what a benchmark cannot go on without. What is wrong is told on standard error, after the program's name, and
 * ends it with 1. */
#ifndef FANOUT_TESTS_LIB_NEED_H
#define FANOUT_TESTS_LIB_NEED_H

#include "aws/sqs.h"
#include "base/err.h"

void need_give_up(const char *what, const char *why) __attribute__((noreturn));

/* rc: what a call returned that failed below 0 with e; error: what an answer says; r: every entry of it was done. */
void need_call(int rc, const struct err *e);
void need_answer(const char *what, const struct aws_error *error);
void need_batch(const char *what, const struct sqs_batch_result *r);

#endif
