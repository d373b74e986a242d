/* pressure: messages that wait because handlers are not to get them now: the breaker is not closed (breaker.h), or
 * rate.max_per_s allows no more (base/ratelimit.h). They wait under lease, oldest first; none is given back, so that no
 * receive is burnt by waiting.
 *
 * A message may make its handler fail, or say HANDLER_DOWN, each time, whatever the others do. It is not to keep them
 * away: who was tried waits behind all others, and one that says so again after others were done is a suspect, and
 * waits until the breaker's state has lasted for a window (messages of a FIFO queue excepted, whose order counts more).
 * While a few are in hand and all have said so, one more is received beside each try, and is tried next: it may know
 * better.
 *
 * What is not to be handled is not received either: pressure_room says how many messages are worth a receive. Engine
 * thread only. */
#ifndef FANOUT_WORKER_PRESSURE_H
#define FANOUT_WORKER_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ratelimit.h"
#include "base/timers.h"
#include "worker/breaker.h"
#include "worker/message.h"
#include "worker/world.h"

struct pressure_options {
    struct breaker_policy breaker;
    unsigned max_per_s; /* messages that go to handlers; 0: no limit */

    /* m goes on; it is kept no more. */
    void (*pass)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

struct pressure_list {
    struct message *first, *last;
};

struct pressure {
    struct world *world;
    struct pressure_options options;
    struct breaker breaker;
    struct ratelimit rate;
    struct pressure_list waiting, suspects; /* by kept_place: as they first came; as they fell under suspicion */
    struct message *returned;               /* of those that wait, the one that came back last; NULL: it is gone */
    size_t kept, kept_suspects;
    bool tries_known;   /* whom the breaker tried last had said before that all is down, or failed */
    uint64_t successes; /* of what was begun in the breaker's state then */
    uint64_t places;
    char reason[200]; /* why the breaker opened last */
    struct timer again;
};

void pressure_init(struct pressure *p, struct world *w, const struct pressure_options *options);
void pressure_clean_up(struct pressure *p); /* kept messages are the owner's to release */

/* m is to go to a handler, for the first time or again. True: it goes now, and m->turn says that pressure_learn is to
 * be told how it went; false: it is kept, until pass or pressure_leave. */
bool pressure_arrive(struct pressure *p, struct message *m, int64_t now_ms);

/* m is kept no more. */
void pressure_leave(struct pressure *p, struct message *m);

/* m, which passed but then had to wait elsewhere, and for which pressure_learn was called, goes on: how it goes with it
 * counts if the breaker has room for it. */
void pressure_resume(struct pressure *p, struct message *m);

/* m->verdict is known. A retry that names no delay of its own (a forgotten verdict and every other breach of the
 * handler's contract is one) is a failure, done is a success. A reject is neither: the message is at fault; nor is a
 * retry with a delay: the handler knows when it wants it. */
void pressure_learn(struct pressure *p, struct message *m, int64_t now_ms);

/* The lease of m, which is in a batch, is over. A try that its handler still has is a failure: how the call ends, if it
 * does, counts no more, and others are tried. What waits in its batch for the same call to end (of its FIFO group)
 * takes up no room meanwhile. */
void pressure_lost(struct pressure *p, struct message *m, int64_t now_ms);

/* Lets pass what may. Each turn of the loop. */
void pressure_step(struct pressure *p, int64_t now_ms);

/* How many messages, besides `reserved` that are on their way, are worth receiving, at most `most`. 0: none;
 * *ret_again_ms is when to ask again, INT64_MAX when something else will have happened before. */
size_t pressure_room(struct pressure *p, size_t reserved, size_t most, int64_t now_ms, int64_t *ret_again_ms);

#endif
