/* rules: a fanout-local whose rules and targets are tried, with the queues "q", "other" and "dead": one for a group of
 * tests. */
#ifndef FANOUT_TESTS_LIB_RULES_H
#define FANOUT_TESTS_LIB_RULES_H

#include "lib/local.h"

#define ACCOUNT     "000000000000"
#define QUEUE(name) "arn:aws:sqs:us-east-1:" ACCOUNT ":" name
#define RULE(name)  "arn:aws:events:us-east-1:" ACCOUNT ":rule/" name
#define ORDERS      "{\\\"source\\\":[\\\"orders\\\"]}"

extern struct local_server rules_server;
extern struct aws_call rules_aws; /* the last call of EventBridge's */

/* Of a group of tests. */
int rules_start(void **state);
int rules_stop(void **state);

/* After the server was started again. */
void rules_connect_again(void);

/* Calls an operation; body is a printf format. Returns the status. */
int rules_call(const char *operation, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The last call was refused so. */
void rules_assert_error(const char *code, const char *message);
void rules_assert_text(const char *path, const char *expected);

#define rules_assert_done(...)                                                                                         \
    do {                                                                                                               \
        if (rules_call(__VA_ARGS__) != 200)                                                                            \
            fail_msg("%d %s: %s", rules_aws.status, rules_aws.error, rules_aws.message);                               \
    } while (0)

#define rules_assert_refused(code, message, ...)                                                                       \
    do {                                                                                                               \
        rules_call(__VA_ARGS__);                                                                                       \
        rules_assert_error(code, message);                                                                             \
    } while (0)

/* An event on the default bus. */
void rules_put_event(const char *source, const char *detail);

/* A rule of the default bus, for events of the source "orders". */
void rules_put(const char *name);

/* members: what the target has besides Id and Arn, each with a comma in front. */
void rules_put_target(const char *rule, const char *id, const char *queue, const char *members);

/* Deletes a rule of the default bus with its targets. */
void rules_drop(const char *name);

void rules_assert_empty(const char *queue);

/* The next message's body is this; NULL: any. */
void rules_assert_takes(const char *queue, const char *expected);

#endif
