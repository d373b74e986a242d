/* total_queue: what went into the system and what came out of it, judged (after Jepsen's total-queue checker).
 *
 * An event has a number. Each entry of a PutEvents call that carries it is a try of its own, sent once, and both stand
 * in its detail ({"seq":NUMBER,"try":TRY}), so that what comes out names the try that put it in, and the bus gives each
 * executed try an id. A try whose answer was lost may have been executed or not: it may come out, and need not.
 *
 * Any thread. Want of memory aborts. */
#ifndef FANOUT_TESTS_LIB_TOTAL_QUEUE_H
#define FANOUT_TESTS_LIB_TOTAL_QUEUE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

struct total_queue;

struct total_queue_sets {
    size_t tries, acknowledged; /* tries; those with an id for an answer */
    size_t handled;             /* different ids */

    /* The four sets of the checker. */
    size_t lost;       /* acknowledged, never handled */
    size_t unexpected; /* handled, though never sent, or refused, or acknowledged or handled before under another id */
    size_t duplicated; /* handled again after a first time: how often, in sum */
    size_t recovered;  /* handled although the answer was lost */

    /* raw-events: each event that was acknowledged or handled, once, and nothing else. */
    size_t uncaptured;
    size_t captured_again; /* under a second key */
    size_t stray;          /* captured, though neither acknowledged nor handled: half of a PutEvents */
};

struct total_queue *total_queue_new(void);
void total_queue_destroy(struct total_queue *q);

/* A try of this event is about to be sent; returns which one, counted from 1. Its answer is lost until one of the next
 * two says otherwise. */
unsigned total_queue_send(struct total_queue *q, size_t event);
void total_queue_acknowledge(struct total_queue *q, size_t event, unsigned try, struct slice id);
void total_queue_refuse(struct total_queue *q, size_t event, unsigned try); /* answered: not executed */

/* A handler was done with the event of this id. total_queue_handle_detail reads event and try from the detail. */
void total_queue_handle(struct total_queue *q, size_t event, unsigned try, struct slice id);
void total_queue_handle_detail(struct total_queue *q, struct slice detail, struct slice id);

/* There is a key with this id in raw-events. */
void total_queue_capture(struct total_queue *q, struct slice id);

/* Different ids handled so far; acknowledged tries that were not handled so far. */
size_t total_queue_handled(struct total_queue *q);
size_t total_queue_missing(struct total_queue *q);

/* The sets, and into names (may be NULL) a line for each of the first members of a set that should be empty, and of the
 * duplicated. */
void total_queue_judge(struct total_queue *q, struct total_queue_sets *ret_sets, struct buf *names);

#endif
