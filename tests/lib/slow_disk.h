/* slow_disk: the calls by which SQLite writes, as slow as a test wants, counted, and failing when the disk is full. */
#ifndef FANOUT_TESTS_LIB_SLOW_DISK_H
#define FANOUT_TESTS_LIB_SLOW_DISK_H

#include <stdbool.h>

/* fdatasync waits while it is stuck. */
void slow_disk_stop(bool stuck);

/* Until somebody waits there. */
void slow_disk_wait(void);

void slow_disk_fill(bool full);

/* Calls so far. */
int slow_disk_writes(void);
int slow_disk_syncs(void);

#endif
