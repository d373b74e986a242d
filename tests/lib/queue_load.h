/* queue_load: messages through a queue as fast as they go, by the project's own client, for benches.
 *
 * So many callers at once (lanes) on one engine and one thread, each of which sends ten messages, receives ten, deletes
 * them, and so on. What goes wrong is told on standard error, and ends the program. */
#ifndef FANOUT_TESTS_LIB_QUEUE_LOAD_H
#define FANOUT_TESTS_LIB_QUEUE_LOAD_H

#include <stddef.h>

#include "lib/system.h"

struct queue_load {
    struct system_client *sqs;
    const char *queue_url;
    char *const *queue_urls; /* or many, in turns: at least one for each lane, which no other uses; else NULL */
    size_t n_queues;
    size_t groups; /* of a FIFO queue, to which the messages go in turns; 0: it is a standard one */
    size_t body_bytes;
    unsigned lanes; /* 1 to 64 */
};

/* Sends, receives and deletes so many messages, a multiple of ten; those that were in the queue before take part as
 * well: as many stay there. Returns messages per second. */
double queue_load_cycle(const struct queue_load *load, size_t messages);

/* Sends only. Returns messages per second. */
double queue_load_fill(const struct queue_load *load, size_t messages);

/* The URL of a queue, into out. */
void queue_load_find(struct system_client *sqs, const char *name, char *out, size_t size);

#endif
