/* signals: as messages, read in the loop, instead of handlers that interrupt it. */
#ifndef FANOUT_SUPERVISOR_SIGNALS_H
#define FANOUT_SUPERVISOR_SIGNALS_H

#include "base/err.h"

/* Blocks HUP, INT, QUIT, TERM, USR1, USR2 and CHLD for the process, ignores PIPE, and returns a non-blocking descriptor
 * from which they are read. Before any thread or child is started. */
int signals_open(int *ret_fd, struct err *e);

/* The next signal that came, or 0. */
int signals_next(int fd);

#endif
