/* asleep: does a process do anything?
 *
 * For tests that move a clock when nothing else will happen: of threads that all wait, for the network, for each other
 * or for a time, none will do anything before one of these comes. What loopback has for them wakes them first, so a
 * process that has something to read is not asleep; nor is one that waits for a disk. */
#ifndef FANOUT_TESTS_LIB_ASLEEP_H
#define FANOUT_TESTS_LIB_ASLEEP_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether each thread of the process sleeps, as the kernel sees it (/proc/PID/task/TID/stat). One that is gone does. */
bool asleep(pid_t pid);

#endif
