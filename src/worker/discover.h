/* discover: finds the queue before the first receive: its URL, its visibility timeout, its RedrivePolicy.
 *
 * Tried until it succeeds, with backoff: a queue that is not there yet, an AWS that is down or credentials that are
 * refused are states of health, not reasons to die. Where the credentials may receive but not read the queue's
 * attributes, work goes on with what the configuration says (or 30 s) and without a dead-letter queue. A queue is
 * looked up by name in the account of the credentials: where the dead-letter queue belongs to another one, a namesake
 * must not get its messages, and there is none either. A dead-letter queue that the configuration names takes the place
 * of the RedrivePolicy's; given as a URL it needs no look-up and may be any account's.
 *
 * Where the configuration needs a dead-letter queue and there is none the queue is not received from. That is a state
 * of health, too, which says what to do, and ends by itself when the queue gets one: the worker that a reload started
 * is not taken over by, the one before it goes on, and nobody restarts in a loop. Engine thread only. */
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
    const char *dead_letters; /* a name or a URL; "" or NULL: the RedrivePolicy's; borrowed */
    const char *needs;        /* the options that need a dead-letter queue, for the log; NULL: none does; borrowed */
    uint32_t max_attempts;    /* retry.max_attempts, which maxReceiveCount should be well above */

    /* world->queue has its URLs, and its maxReceiveCount. */
    void (*found)(void *context, int visibility_s, int64_t now_ms);
    void (*failed)(void *context, const struct aws_error *error);
    /* There is no dead-letter queue, which options->needs; it is looked for again. why: what to do. */
    void (*refused)(void *context, const char *why);
    void *context;
};

enum discover_step { DISCOVER_IDLE, DISCOVER_URL, DISCOVER_ATTRIBUTES, DISCOVER_DEAD_LETTER };

struct discover {
    struct world *world;
    struct discover_options options;
    enum discover_step step;
    int visibility_s;
    uint32_t max_receive_count;
    char *dead_letter_name;
    char dead_letter_account[13];
    bool stopped;
    int64_t looked_ms; /* when that was */
    struct backoff backoff;
    struct timer again;
};

void discover_init(struct discover *d, struct world *w, const struct discover_options *options);
void discover_clean_up(struct discover *d);

/* Starts, or starts over. Nothing happens while it is under way. */
void discover_start(struct discover *d);

/* Looks again at what may have changed, if that was a minute ago or more: a dead letter is to be, and there is nowhere
 * to put it, or it is one only because of maxReceiveCount. Ends in found or refused as the start does. */
void discover_refresh(struct discover *d);

/* No callback will come any more. */
void discover_stop(struct discover *d);

#endif
