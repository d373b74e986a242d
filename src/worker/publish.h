/* publish: sends what handlers published, and lets a verdict of done stand only when all of it was confirmed.
 *
 *     done, all pieces confirmed       -> done: the delete follows
 *     done, a piece refused for good   -> retry, with what was refused as the reason; nothing more of it is sent
 *     done, no answer, or throttled    -> sent again, as long as the message is held under lease
 *     lost, or the drain's time is up  -> nothing more is sent; the message comes back and is handled again
 *
 * Pieces of one message to one group of a FIFO queue go out one after the other, each when the one before it was
 * confirmed; all others as they come. Engine thread only. */
#ifndef FANOUT_WORKER_PUBLISH_H
#define FANOUT_WORKER_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/message.h"
#include "worker/publish_box.h"
#include "worker/publish_list.h"
#include "worker/publish_outlet.h"
#include "worker/world.h"

struct publish_options {
    struct publish_outlet *outlet; /* borrowed; NULL: nothing is ever published */

    /* m has no list any more, and its verdict is what it was, or a retry. */
    void (*decided)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

struct publish {
    struct world *world;
    struct publish_options options;
    struct publish_box *boxes; /* one a target */
    size_t n_boxes;
    uint64_t uses;
    bool draining;
};

void publish_init(struct publish *p, struct world *w, const struct publish_options *options);

/* No message has pieces under way that were not handed to publish_lost; the loop must not run again. */
void publish_clean_up(struct publish *p);

/* Sends what m's handler published, m being declared done. options.decided is called once, later or before this
 * returns, unless publish_lost is. */
void publish_start(struct publish *p, struct message *m, int64_t now_ms);

/* m was not declared done: what its handler published is forgotten. NULL lists are fine. */
void publish_drop(struct publish *p, struct message *m);

/* m is no longer ours. Its part of calls in flight is left to its fate. */
void publish_lost(struct publish *p, struct message *m);

/* Nothing of m is sent that is not on its way; what that comes to decides (options.decided). */
void publish_give_up(struct publish *p, struct message *m, int64_t now_ms);

/* From now on nothing lingers. */
void publish_drain(struct publish *p, int64_t now_ms);

/* The permission that is missing for what waits, or NULL. */
const char *publish_missing_permission(const struct publish *p);

/* What waits, by what it waits for. */
void publish_count(const struct publish *p, size_t *ret_ready, size_t *ret_sent, size_t *ret_waiting);

#endif
