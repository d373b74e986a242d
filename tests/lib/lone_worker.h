/* lone_worker: a fanout-worker without a supervisor: the test holds the other end of its channel and its ledger.
 *
 * For figures and for tests of what a worker itself does on its channel. Failures of the machinery abort. */
#ifndef FANOUT_TESTS_LIB_LONE_WORKER_H
#define FANOUT_TESTS_LIB_LONE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "ipc/channel.h"
#include "ipc/ledger.h"

struct lone_worker {
    pid_t pid;      /* 0: it has ended */
    int channel_fd; /* our end; -1: closed */
    struct ledger *ledger;
    struct metrics *metrics;
    struct rusage usage; /* once it has ended */
};

/* Starts build/VARIANT/libexec/fanoutd/fanout-worker for consumer "orders" of this configuration text. Extra arguments
 * (ending with NULL; NULL: none) follow. The worker writes its log to log_path (NULL: our standard error). */
void lone_worker_start(struct lone_worker *w, const char *conf, unsigned threads, unsigned records,
                       const char *log_path, const char *const *arguments);

/* The next message of this type; others are skipped. False: it did not come in time, or the channel ended. */
bool lone_worker_wait(struct lone_worker *w, enum ipc_type type, struct ipc_message *ret_message, int timeout_ms);

/* Whether one of its threads is inside the handler. */
bool lone_worker_is_handling(const struct lone_worker *w);

/* The exit code, -N for signal N. Kills it after timeout_ms: -1000. */
int lone_worker_end(struct lone_worker *w, int timeout_ms);

/* After its end. */
void lone_worker_clean_up(struct lone_worker *w);

#endif
