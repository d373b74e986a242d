/* ring: a bounded queue of pointers between threads.
 *
 * Many producers, many consumers, first in, first out, with the capacity fixed at creation; a full ring refuses instead
 * of blocking the producer. Closing wakes every waiter: what is in it is still handed out, then pops say closed.
 *
 * Waiters are woken one at a time: who was woken and finds more than its own item wakes the next. So a burst that one
 * or two threads get through costs one or two wake-ups, and one of slow items still reaches every thread. */
#ifndef FANOUT_BASE_RING_H
#define FANOUT_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ring;

int ring_new(size_t capacity, struct ring **ret_ring, struct err *e);
void ring_destroy(struct ring *r); /* no thread may be inside; what is left in it is the caller's to free */

/* False when it is full or closed. item is not NULL. Never blocks for longer than the lock. */
bool ring_push(struct ring *r, void *item);

/* As ring_push, but wakes nobody: whoever puts several items in a row calls ring_wake after the last one. */
bool ring_put(struct ring *r, void *item);
void ring_wake(struct ring *r);

/* As ring_push, but it is the next to be handed out. */
bool ring_push_first(struct ring *r, void *item);

/* The next item; waits up to wait_ms (negative: for ever, 0: not at all). NULL: nothing came in time, or the ring is
 * closed and empty. With a test clock the wait ends when either real time or the test clock says so. */
void *ring_pop(struct ring *r, int64_t wait_ms);

void ring_close(struct ring *r);
bool ring_is_closed(struct ring *r);
size_t ring_count(struct ring *r);

#endif
