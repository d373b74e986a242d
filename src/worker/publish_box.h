/* publish_box: the outbox of one bus or one queue that pieces are published to.
 *
 * One box a target, so that a bus that throttles or a queue that is gone holds up nothing else. The rules are those of
 * outbox.h. A queue's URL is asked for before the first call and kept; when the queue turns out to be gone it is
 * forgotten. How long to go on is the owner's decision. Engine thread only. */
#ifndef FANOUT_WORKER_PUBLISH_BOX_H
#define FANOUT_WORKER_PUBLISH_BOX_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/outbox.h"
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
    struct outbox box;
    struct publish_box *next; /* the owner's, as is used */
    uint64_t used;            /* when it was asked for last */
    struct publish_outlet *outlet;
    struct publish_box_owner owner;
    bool is_bus;
    char *target; /* as it was named */
    char *url;    /* of a queue; NULL: not known (yet) */
};

int publish_box_new(struct world *w, struct publish_outlet *outlet, const struct publish_box_owner *owner, bool is_bus,
                    const char *target, struct publish_box **ret_box);

/* Turns an idle box to another target, so that one that is used no more is not kept. ERR_NO_MEMORY: nothing changed. */
int publish_box_aim(struct publish_box *b, bool is_bus, const char *target);

/* As outbox_clean_up. NULL is fine. */
void publish_box_destroy(struct publish_box *b);

#endif
