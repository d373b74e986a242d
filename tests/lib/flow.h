/* flow: a system whose messages a test counts: what it sends to the queue, and what the handlers (plugin flaky) did
 * with it. For tests of what comes through trouble, and of what the machine notices meanwhile.
 *
 * One thread. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_FLOW_H
#define FANOUT_TESTS_LIB_FLOW_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/aws_call.h"
#include "lib/system.h"

#define FLOW_SOON_MS 60000

struct flow {
    const char *dir; /* the handlers' record is DIR/record */
    struct system *s;
    struct aws_call call; /* to the server */
    char queue[200];      /* its URL */
    unsigned sent;
};

/* For cmocka: *state is a new struct flow with a server that runs; its end. */
int flow_set_up(void **state);
int flow_tear_down(void **state);

/* Again with a server that was restarted. */
void flow_connect(struct flow *f);

/* The configuration of one consumer of the queue; more: further settings of it, options: of the plugin. */
const char *flow_consumers(struct flow *f, const char *more, const char *options);
void flow_start_fleet(struct flow *f, const char *more);

/* Where the fleet's admin listener is, for one that the test has started itself. */
void flow_await_ready(struct flow *f);

void flow_send(struct flow *f, unsigned n);
bool flow_is_empty(void *flow);           /* for proc_wait_until: nothing is in the queue, visible or in hand */
long flow_visible(struct flow *f);        /* messages that anybody could receive */
unsigned flow_handled(struct flow *f);    /* lines of the record */
void flow_assert_goes_on(struct flow *f); /* five more are sent, and soon each was handled once, all before included */
double flow_metric(struct flow *f, const char *name); /* of /metrics, the first worker's; -1: it is not there */
unsigned flow_attempts(struct flow *f);               /* requests of the worker, tries included */

#endif
