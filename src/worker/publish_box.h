/* publish_box: pieces that wait for a batched call to one bus or one queue.
 *
 * One box a target, so that a bus that throttles or a queue that is gone holds up nothing else. The rules are the
 * outbox's (outbox.h): up to ten pieces a call, as many as fit its size, after a few milliseconds at the latest; a
 * piece that fails alone is tried again after a backoff of its own; when a whole call fails its pieces go back to the
 * front, the box pauses, and then one call is tried at a time until one succeeds; a call that is refused as invalid
 * sends each of its pieces again in a call of its own. A queue's URL is asked for before the first call and kept; when
 * the queue turns out to be gone it is forgotten. How long to go on is the owner's decision. Engine thread only. */
#ifndef FANOUT_WORKER_PUBLISH_BOX_H
#define FANOUT_WORKER_PUBLISH_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/timers.h"
#include "worker/publish_list.h"
#include "worker/publish_outlet.h"
#include "worker/world.h"

/* How it went for one piece. */
struct publish_outcome {
    bool ok;
    bool for_good; /* not ok: no try will fare better */
    const char *code, *text;
};

struct publish_box_owner {
    /* The piece is out of the box. True puts it back for another try; only when it is not ok and not for good. */
    bool (*finished)(void *context, struct publish_piece *x, const struct publish_outcome *outcome, int64_t now_ms);
    void *context;
};

struct publish_box {
    struct publish_box *next; /* the owner's */
    struct world *world;
    struct publish_outlet *outlet;
    struct publish_box_owner owner;
    bool is_bus;
    char *target;                       /* as it was named */
    char *url;                          /* of a queue; NULL: not known (yet) */
    bool finding;                       /* it is being asked for */
    struct publish_piece *first, *last; /* ready to be sent */
    size_t ready, sent, waiting, calls; /* pieces by what they wait for; calls in flight */
    struct publish_call *in_flight;
    struct timer flush;
    int64_t linger_until_ms, paused_until_ms;
    struct backoff backoff;
    bool failing;       /* the last call to end failed as a whole */
    const char *denied; /* ... because this permission is missing; NULL: not so */
    bool eager;         /* waits for no company: draining */
    uint64_t used;      /* the owner's: when it was asked for last */
};

int publish_box_new(struct world *w, struct publish_outlet *outlet, const struct publish_box_owner *owner, bool is_bus,
                    const char *target, struct publish_box **ret_box);

/* Turns an idle box to another target, so that one that is used no more is not kept. ERR_NO_MEMORY: nothing changed. */
int publish_box_aim(struct publish_box *b, bool is_bus, const char *target);

/* Ready and waiting pieces were taken out; calls in flight must not end any more: the loop must not run again. */
void publish_box_destroy(struct publish_box *b);

/* Nothing is in it or under way for it. */
bool publish_box_is_idle(const struct publish_box *b);

/* x waits to be sent; it must be in no box. */
void publish_box_add(struct publish_box *b, struct publish_piece *x, int64_t now_ms);

/* Takes x out, which is in no call; a piece that is in no box is left alone. */
void publish_box_remove(struct publish_piece *x);

/* From now on nothing lingers, and what is ready goes out even if the box has just paused. */
void publish_box_drain(struct publish_box *b, int64_t now_ms);

#endif
