/* releases: messages given back to the queue: retries with their delay, what a drain leaves unhandled, and of FIFO
 * groups what stands behind one that was given back.
 *
 * The visibility timeout is set once and the message is out of our hands. Until that is confirmed it is tried again;
 * when the lease ends first there is nothing left to do, since the message has come back by itself. Engine thread
 * only. */
#ifndef FANOUT_WORKER_RELEASES_H
#define FANOUT_WORKER_RELEASES_H

#include <stdint.h>

#include "worker/message.h"
#include "worker/outbox.h"
#include "worker/world.h"

struct releases {
    struct world *world;
    struct outbox box;
    void (*over)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

void releases_init(struct releases *r, struct world *w, void (*over)(void *context, struct message *m, int64_t now_ms),
                   void *context);
void releases_clean_up(struct releases *r);

/* Sets the visibility timeout of m to m->release_s. Its lease must be stopped, and no extension under way. */
void releases_add(struct releases *r, struct message *m, int64_t now_ms);

/* The lease of m is over. */
void releases_lost(struct releases *r, struct message *m, int64_t now_ms);

#endif
