/* guard: the end of a worker that would outlive its supervisor.
 *
 * A worker that is left alone drains. But while a function of its plugin does not return (open, close, a library's
 * constructor), nothing here gets on, and who would have killed it is dead. So a thread of its own waits for that
 * death, and gives the rest of the process its time. Called by main.c. */
#ifndef FANOUT_WORKER_GUARD_H
#define FANOUT_WORKER_GUARD_H

#include <stdint.h>

#include "base/err.h"

/* From here on the process ends with IPC_EXIT_FAILURE when it is still there wait_ms after the other end of channel_fd
 * was closed. Once, after log_open. */
int guard_start(int channel_fd, int64_t wait_ms, struct err *e);

#endif
