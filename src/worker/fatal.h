/* fatal: what a worker that dies of a signal still says: into the ledger, where its supervisor reads it.
 *
 * Signals that end a process because of what its code did (SEGV, BUS, FPE, ILL, ABRT, SYS, TRAP) are caught on a stack
 * of their own, so that one that ran over is no obstacle: which signal, in which handler thread, at which address, and
 * by which calls it came there. Then the signal takes its usual course: the process ends by it, with a core file if
 * those are wanted. What goes wrong in here as well, or takes longer than a second, ends the process at once; what was
 * written until then stands.
 *
 * A plugin that installs handlers of its own for these signals takes their place. */
#ifndef FANOUT_WORKER_FATAL_H
#define FANOUT_WORKER_FATAL_H

#include <stdint.h>

#include "base/err.h"
#include "ipc/ledger.h"

/* Once, before threads start; the calling thread is taken in. l outlives the process's use of it. */
int fatal_init(struct ledger *l, struct err *e);

/* What is loaded now can be named. plugin: an address inside the plugin's code; 0: there is none yet. Before its open
 * and after, which may load more. */
void fatal_note_modules(uintptr_t plugin);

/* The calling thread is this handler thread (-1: another one) and has a stack for it, until fatal_thread_end. Without
 * memory for the stack, of which the log is told, it has none: a stack that ran over then ends without a word. */
void fatal_thread_begin(int32_t number);
void fatal_thread_end(void);

#endif
