/* screen: which messages the handler is to see, and as what.
 *
 * The gate before deduplication: a message is unwrapped (consumers.unwrap), understood (consumers.envelope) and
 * filtered (consumers.filter), in this order. What is not for the handler gets a verdict here, and its reason:
 *
 *     undecodable   the consumer expects EventBridge events, or has a filter, and the body is none (no JSON object):
 *                   dead-lettered, never deleted
 *     undecided     the event spells the way to an array in many ways (event/pattern.h), and the search for a match was
 *                   given up: dead-lettered, never deleted
 *     filtered out  by on_mismatch: deleted; given back to the queue after a delay, for another consumer of it; or
 *                   dead-lettered
 *
 * Each is counted. The body that was received is what stays: dead letters carry it, whatever was unwrapped. Knows
 * nothing of the engine, which asks it (engine_intake.c); engine thread only. */
#ifndef FANOUT_WORKER_SCREEN_H
#define FANOUT_WORKER_SCREEN_H

#include <stdbool.h>

#include "base/slice.h"
#include "config/conf.h"
#include "event/pattern.h"
#include "worker/message.h"
#include "worker/world.h"

/* All zero: everything passes, and nothing is looked at. */
struct screen_options {
    enum conf_unwrap unwrap;
    enum conf_envelope envelope;
    const struct event_pattern *filter; /* borrowed; NULL: none */
    enum conf_mismatch on_mismatch;
};

struct screen {
    struct world *world;
    struct screen_options options;
    bool active; /* there is something to do */
};

void screen_init(struct screen *s, struct world *w, const struct screen_options *options);

/* True: m is for the handler, which sees m->view. False: m->verdict says what becomes of it. */
bool screen_message(struct screen *s, struct message *m);

/* content_event_id of m, whose body is taken apart for that if nobody needed it before. For gates: m must be in no
 * batch. The slice points into m. False: there is none. */
bool screen_event_id(struct message *m, struct slice *ret_id);

#endif
