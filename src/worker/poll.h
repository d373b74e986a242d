/* poll: how many receives are in flight, and when the next one starts.
 *
 * Idle, one long poll waits at the queue: three requests a minute. While answers come back full the number of polls
 * doubles; each empty answer halves it. A poll reserves its MaxNumberOfMessages from the in-flight cap before it is
 * sent, so that messages in hand and messages on their way never exceed what can be started:
 *
 *     in hand + reserved <= cap = threads x batch.size x (1 + prefetch)
 *
 * While bodies are large a receive asks for fewer of them: an answer is taken apart in one turn of the engine.
 *
 * A failure ends in a pause with backoff and jitter, and in one poll at a time until one succeeds. An empty answer that
 * comes without having waited (a short wait_time_s, or a server that does not wait) is spaced out in the same way, so
 * that nothing the queue answers makes a hot loop.
 *
 * A receive from a FIFO queue carries a ReceiveRequestAttemptId. When its answer is lost the next receive carries it
 * again, so that SQS hands out what it had picked once more, at once: the groups of those messages would stand still
 * for their visibility timeout otherwise. The same goes for an answer with a damaged message, because those behind it
 * in its group must not be handled before it. Of an answer that is damaged twice, the damaged message and what stands
 * behind it in its group are left to SQS (all that stands behind it, if nobody can tell its group), and the others are
 * handled. Engine thread only. */
#ifndef FANOUT_WORKER_POLL_H
#define FANOUT_WORKER_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/backoff.h"
#include "base/timers.h"
#include "base/uuid.h"
#include "worker/inflight.h"
#include "worker/world.h"

#define POLL_MOST 64

struct poll_call;

/* A receive from a FIFO queue. */
struct poll_attempt {
    char id[UUID_TEXT_BYTES];
    unsigned asked;
    int64_t first_sent_ms;
    bool damaged; /* it came, but not whole */
};

struct poll_options {
    const struct inflight *in_hand; /* borrowed: its count */
    size_t cap;
    size_t at_once; /* what handlers have in their hands at most: threads x batch.size */
    size_t batch_size;
    unsigned wait_time_s;
    bool fifo;
    bool all_attributes; /* receives ask for all system attributes */
    /* How many messages besides those on their way are worth receiving, at most `most`: pressure_room. */
    size_t (*room)(void *context, size_t reserved, size_t most, int64_t now_ms, int64_t *ret_again_ms);
    /* The queue handed them out at handed_out_ms at the latest: their leases count from then. */
    void (*received)(void *context, const struct sqs_message *messages, size_t n, int64_t handed_out_ms,
                     int64_t now_ms);
    void (*answered)(void *context, const struct aws_error *error); /* NULL: the queue answered */
    void *context;
};

struct poll {
    struct world *world;
    struct poll_options options;
    int visibility_s;
    bool open;             /* receives may be started */
    unsigned target, most; /* polls wanted now, at most */
    unsigned outstanding;
    size_t reserved;
    size_t body_bytes;            /* how large bodies are: what the largest ones of late were */
    struct poll_call *calls;      /* in flight */
    int64_t paused_until_ms;      /* after a failure, or an empty answer that came too soon */
    int64_t little_room_since_ms; /* there is room, but for less than a receive is worth; 0: there is not */
    struct backoff failures, empties;
    struct poll_attempt lost[POLL_MOST]; /* whose answers were; the oldest first */
    size_t n_lost;
    struct timer again;
};

void poll_init(struct poll *p, struct world *w, const struct poll_options *options);
void poll_clean_up(struct poll *p); /* cancels what is in flight */

/* Receives may start, each asking for this visibility timeout. */
void poll_open(struct poll *p, int visibility_s);

/* Starts no more; what is in flight may still bring messages. */
void poll_close(struct poll *p);

/* Cancels what is in flight. Messages that the queue had already picked for it stay invisible until their visibility
 * timeout: see engine_drain. */
void poll_cancel(struct poll *p);

/* Starts as many receives as are wanted and fit. Called at the end of each turn, when room may have become free. */
void poll_step(struct poll *p, int64_t now_ms);

#endif
