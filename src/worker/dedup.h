/* dedup: an event that was handled is not handled again, however many messages bring it, and whichever hosts.
 *
 * Before a message goes into a batch its event is begun in a store (dedup_store.h); when its handler is done that is
 * completed, for window_ms, before the message is deleted; when it failed the event is forgotten and can be begun
 * again. What is in progress expires with the lease of the message, and is renewed as the lease is. The owner of a
 * record is the message id: when the same message is received again, whoever had it before has lost it (crashed, or
 * took too long), and the record is taken over at once. Another message with the same event waits, under lease, until
 * the event is completed (then it is a duplicate, and is deleted) or can be begun.
 *
 * The key of a message is its consumer's name and
 *     the event's id: what EventBridge gave it, or, for an event that was replayed, what it had first (envelope.h);
 *     without an envelope: the message id, or, by option, the SHA-256 of the body.
 *
 * While the store fails, messages wait under lease, so that receives stop at the in-flight cap, and dedup_failure says
 * why: one of them tries it after a pause that grows (one for the store, however many wait), and once one has succeeded
 * the others follow: at once, or, after many failures, twice as many each time. Or, by option, they are handled without
 * protection, and counted. A completion that fails is counted and the message deleted: it was handled.
 *
 * What is in progress can be lost before a handler has the message, which waits for the breaker, for its turn or in a
 * batch: it expires because the store could not be asked to renew it, and another message may begin it. Such a message
 * (message_lost_event) is not handled before its event is begun again. A FIFO message for which others wait that have
 * begun theirs goes without protection then, for they might wait for each other.
 *
 * Knows nothing of the engine. Engine thread only. */
#ifndef FANOUT_WORKER_DEDUP_H
#define FANOUT_WORKER_DEDUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/timers.h"
#include "worker/dedup_store.h"
#include "worker/message.h"
#include "worker/world.h"

struct dedup_entry;
LIST_HEAD(dedup_list, dedup_entry);
TAILQ_HEAD(dedup_queue, dedup_entry);

struct dedup_options {
    struct dedup_store *store; /* taken; NULL: everything goes through */
    const char *consumer;      /* borrowed */
    int64_t window_ms;
    bool by_body;       /* the key of messages without an envelope */
    bool handle_anyway; /* while the store fails, instead of holding */

    /* Of messages that dedup_arrive told to wait. */
    void (*pass)(void *context, struct message *m, int64_t now_ms);
    void (*duplicate)(void *context, struct message *m, int64_t now_ms);
    /* Of messages that dedup_settle told to wait: the verdict can be carried out. */
    void (*settle)(void *context, struct message *m, int64_t now_ms);
    void *context;
};

struct dedup {
    struct world *world;
    struct dedup_options options;
    struct dedup_list entries;
    struct dedup_queue parked; /* those that wait for the store */
    struct timer again;        /* when the next of them go on */
    size_t burst;              /* ... and how many, at most */
    size_t under_way;          /* operations with the store */
    bool failing;              /* the last one to end failed */
    uint32_t failures;         /* ... and as many pauses it had, without a success between */
    int64_t failed_at_ms;
    struct buf key; /* scratch */
};

/* store is destroyed even when this fails: no memory. */
int dedup_init(struct dedup *d, struct world *w, const struct dedup_options *options, struct err *e);
void dedup_clean_up(struct dedup *d);

enum dedup_arrival {
    DEDUP_GO,
    DEDUP_WAIT,      /* pass or duplicate is called for m, unless dedup_drop was before */
    DEDUP_DUPLICATE, /* its event is completed: m is to be deleted */
    DEDUP_NO_MEMORY,
};

/* m wants to be handled; for the first time, or again: its event is still in progress, or begun anew if it is not. One
 * that went without protection stays so: another message may have begun its event by now, and stand behind it in its
 * group. */
enum dedup_arrival dedup_arrive(struct dedup *d, struct message *m, int64_t now_ms);

/* m's verdict is known: completes or forgets its event. True: it can be carried out. False: options.settle comes; until
 * then further calls change nothing. */
bool dedup_settle_event(struct dedup *d, struct message *m);
static inline bool
dedup_settle(struct dedup *d, struct message *m)
{
    return !m->dedup || dedup_settle_event(d, m);
}

/* dedup_settle has told m to wait. */
bool dedup_is_completing_event(const struct message *m);
static inline bool
dedup_is_completing(const struct message *m)
{
    return m->dedup && dedup_is_completing_event(m);
}

/* m's lease was extended, or began anew. */
void dedup_extended(struct dedup *d, struct message *m);

/* m, which waits or not, is nobody's business here any more: what is in progress for it is forgotten. */
void dedup_drop_event(struct dedup *d, struct message *m);
static inline void
dedup_drop(struct dedup *d, struct message *m)
{
    if (m->dedup)
        dedup_drop_event(d, m);
}

/* Once each turn of the loop. */
static inline void
dedup_turn(struct dedup *d)
{
    if (d->options.store && d->options.store->ops->collect)
        d->options.store->ops->collect(d->options.store);
}

/* No operation is under way. */
static inline bool
dedup_is_idle(const struct dedup *d)
{
    return d->under_way == 0;
}

/* What is wrong with the store now, or a moment ago; or NULL. */
const char *dedup_failure(const struct dedup *d, int64_t now_ms);

/* dedup_key.c: the key of m, in out, which it empties first; `failed` there means that there is no memory. */
void dedup_key(struct message *m, const char *consumer, bool by_body, struct buf *out);

#endif
