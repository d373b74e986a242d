/* discover: finds the queue before the first receive: its URL, its visibility timeout, its dead-letter queue.
 *
 * Tried until it succeeds, with backoff: a queue that is not there yet, an AWS that is down or credentials that are
 * refused are states of health, not reasons to die. Where the credentials may receive but not read the queue's
 * attributes, work goes on with what the configuration says (or 30 s) and without a dead-letter queue. A queue is
 * looked up by name in the account of the credentials: where the dead-letter queue belongs to another one, a namesake
 * must not get its messages, and there is none either. Engine thread only. */
#ifndef FANOUT_WORKER_DISCOVER_H
#define FANOUT_WORKER_DISCOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/backoff.h"
#include "base/timers.h"
#include "worker/world.h"

struct discover_options {
    const char *queue;        /* a name or a URL; borrowed */
    int visibility_timeout_s; /* as configured; 0: the queue's own */

    /* world->queue has its URLs. */
    void (*found)(void *context, int visibility_s, int64_t now_ms);
    void (*failed)(void *context, const struct aws_error *error);
    void *context;
};

enum discover_step { DISCOVER_IDLE, DISCOVER_URL, DISCOVER_ATTRIBUTES, DISCOVER_DEAD_LETTER };

struct discover {
    struct world *world;
    struct discover_options options;
    enum discover_step step;
    int visibility_s;
    char *dead_letter_name;
    char dead_letter_account[13];
    bool stopped;
    struct backoff backoff;
    struct timer again;
};

void discover_init(struct discover *d, struct world *w, const struct discover_options *options);
void discover_clean_up(struct discover *d);

/* Starts, or starts over. Nothing happens while it is under way. */
void discover_start(struct discover *d);

/* No callback will come any more. */
void discover_stop(struct discover *d);

#endif
