/* deletes: handled messages, deleted for good.
 *
 * Batched up to ten or a few milliseconds. A delete that fails is tried again until it is confirmed or the lease is
 * over, unless the queue says that the fault is ours; the id of a message whose delete was not confirmed in time is
 * noted (done.h), so that it is deleted, not handled, when it comes back. A confirmation counts as late when the
 * attempt that was confirmed was sent after the lease had ended: the message may have gone to somebody else meanwhile.
 * While the permission to delete is missing, messages are held under lease in the same way, and receives stop at the
 * in-flight cap. Engine thread only. */
#ifndef FANOUT_WORKER_DELETES_H
#define FANOUT_WORKER_DELETES_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/done.h"
#include "worker/message.h"
#include "worker/outbox.h"
#include "worker/world.h"

struct deletes {
    struct world *world;
    struct outbox box;
    struct done unconfirmed, recent; /* ids, see done.h */
    void (*over)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

/* over: the delete was confirmed or given up. */
int deletes_init(struct deletes *d, struct world *w, void (*over)(void *context, struct message *m, int64_t now_ms),
                 void *context, struct err *e);
void deletes_clean_up(struct deletes *d);

void deletes_add(struct deletes *d, struct message *m, int64_t now_ms);

/* m, just received, was declared done before: it is to be deleted, not handled. */
bool deletes_knows(const struct deletes *d, const struct message *m);

/* The lease of m is over: given up, unless a call that was sent in time is still under way. */
void deletes_lost(struct deletes *d, struct message *m, int64_t now_ms);

#endif
