/* loop: the supervisor's one thread waits here for all it listens to.
 *
 * Level-triggered epoll. A watch is embedded in its owner. Events of one wait are handed out one after the other, so an
 * owner that takes its watch out may still be called once in that round: it must not be freed before loop_wait has
 * returned, and must know by itself that it has nothing to read any more. */
#ifndef FANOUT_SUPERVISOR_LOOP_H
#define FANOUT_SUPERVISOR_LOOP_H

#include <stdint.h>

#include "base/err.h"

struct loop_watch {
    void (*ready)(struct loop_watch *w);
};

struct loop {
    int epoll;
};

int loop_init(struct loop *l, struct err *e);
void loop_clean_up(struct loop *l);

/* Calls w->ready whenever fd can be read or has hung up. */
int loop_add(struct loop *l, int fd, struct loop_watch *w, struct err *e);
void loop_remove(struct loop *l, int fd); /* before fd is closed */

/* Waits once, at most wait_ms (negative: for ever), and hands out what is there. */
int loop_wait(struct loop *l, int64_t wait_ms, struct err *e);

#endif
