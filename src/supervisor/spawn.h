/* spawn: forks and executes one fanout-worker.
 *
 * The child gets the control channel on fd 3, its ledger on fd 4, its configuration on fd 5, and nothing else but the
 * standard streams. Signals are the supervisor's business: a terminal's Ctrl-C, a closed terminal or a service manager
 * that signals a whole group must not end workers behind its back, so the child starts with HUP, INT, QUIT, TERM, USR1
 * and USR2 ignored (what it must do comes over fd 3), everything else at its default, and none blocked. It stays in the
 * supervisor's process group. No parent-death signal: end of file on fd 3 makes an orphan drain. A check has nothing to
 * drain: it ignores no signal, and is killed when whoever asked for it ends. */
#ifndef FANOUT_SUPERVISOR_SPAWN_H
#define FANOUT_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"

struct spawn_options {
    const char *path;     /* of fanout-worker */
    const char *consumer; /* --consumer */
    int slot;             /* --slot */
    bool check;           /* --check instead of --slot: no channel and no ledger */
    int channel_fd;       /* the worker's end */
    int ledger_fd;
    struct slice config; /* the text of its configuration */
};

/* Returns once the program was executed. An exec that fails is reported here, and leaves no child behind. */
int spawn_worker(const struct spawn_options *options, pid_t *ret_pid, struct err *e);

/* The fanout-worker that belongs to this program: ../libexec/fanoutd/fanout-worker from the folder it lies in. */
int spawn_find_worker(char *ret_path, size_t capacity, struct err *e);

#endif
