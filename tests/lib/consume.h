/* consume: what it costs a process to consume a canned queue (canned_sqs.h): the one way in which benchmarks measure
 * workers, the bare loop and other consumers, so that their figures can be compared.
 *
 * From the first tenth of the messages to the last hundredth, so that neither the start is in the figures nor what a
 * consumer leaves to a retry. */
#ifndef FANOUT_TESTS_LIB_CONSUME_H
#define FANOUT_TESTS_LIB_CONSUME_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/canned_sqs.h"
#include "lib/proc.h"

struct consumed {
    double cpu_us; /* user and system, for each message */
    double per_second;
};

/* By another program, that is running already; it is killed (and freed) at the end. False, with the reason on standard
 * error: it did not get through. */
bool consume_by_program(const char *what, struct proc *program, struct canned_sqs *server, uint64_t messages,
                        struct consumed *ret);

/* By a fanout-worker with this plugin ("tests/plugins/noop.so") and so many handler threads. url: where the queue is,
 * ca_file: who signed its certificate (NULL, NULL: the server itself). */
struct consume_worker {
    const char *plugin;
    unsigned threads;
    const char *url, *ca_file;
};
bool consume_by_worker(const char *what, const struct consume_worker *worker, struct canned_sqs *server,
                       uint64_t messages, struct consumed *ret);

/* Credentials that canned_sqs takes as it takes any, into the environment of all that is started from here. */
void consume_set_credentials(void);

#endif
