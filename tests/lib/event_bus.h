/* event_bus: a fanout-local with a bus of its own, "bus", and rules from a template, for a group of tests of what
 * PutEvents takes and what becomes of it. */
#ifndef FANOUT_TESTS_LIB_EVENT_BUS_H
#define FANOUT_TESTS_LIB_EVENT_BUS_H

#include "base/slice.h"
#include "lib/aws_call.h"
#include "lib/proc.h"

/* What a rule sends where, by source:
 *     orders            queue literal, if detail.state is "paid"
 *     Order...          queue prefix, by detail-type
 *     captured...       queue captured and the bucket
 *     for.a.gone.queue, for.a.function, for.a.gone.bucket, for.a.small.queue: dead letters
 *     for.nobody        a queue that is not there, without dead letters
 *     for.two           two targets of one rule and one of another
 *     disabled          a disabled rule */

extern struct proc *event_bus_server;
extern char event_bus_url[100];
extern struct aws_call event_bus_aws; /* the last call of EventBridge's */

/* Of a group of tests. */
int event_bus_start(void **state);
int event_bus_stop(void **state);

/* After the server has ended: on the same data. */
void event_bus_start_again(void);

/* The same with an option and its value, which may be NULL. */
void event_bus_start_with(const char *option, const char *value);

/* PutEvents; the status. */
int event_bus_put_body(struct slice body);

/* format: the entries, without the list's brackets. */
int event_bus_put(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The id of entry i of the last call. */
const char *event_bus_event_id(int i);

/* Of entry i of the last call, and of all of them. */
void event_bus_assert_failed(int i, const char *code, const char *message);
void event_bus_assert_count_failed(const char *n);

/* Its message begins so. */
void event_bus_assert_refused(const char *body, const char *code, const char *beginning);

/* The next message of the queue is this event. */
void event_bus_assert_takes_id(const char *queue, const char *id);

/* What was captured of it; NULL: nothing. */
void event_bus_assert_object(const char *time, const char *id, const char *content);

#endif
