/* supervisor: the loop that keeps workers running: signals in, processes out.
 *
 * TERM and INT drain with the configured deadline, a second one ends now; QUIT ends now; HUP takes up the configuration
 * file again, replacing each worker once its successor is at work; USR1 reopens logs; USR2 writes the state to the
 * log. */
#ifndef FANOUT_SUPERVISOR_SUPERVISOR_H
#define FANOUT_SUPERVISOR_SUPERVISOR_H

#include "config/conf.h"

struct supervisor_options {
    const char *file;        /* the configuration's path, read again on HUP */
    const char *worker_path; /* of fanout-worker */
};

/* Runs until it is told to end. Takes *conf, which was read from options->file. The log is open. Returns the exit code:
 * 0 drained, 1 cannot run, 2 a worker refused its configuration at the start, 3 ended with messages in hand. */
int supervisor_run(const struct supervisor_options *options, struct conf **conf);

#endif
