/* outbox: messages that wait for a batched call: up to ten at once, after a few milliseconds at the latest.
 *
 * The part that deletes, visibility changes and dead letters have in common. An entry that fails alone is tried again
 * after a backoff of its own. When a whole call fails, its entries go back to the front and the box pauses for a
 * backoff; then one call is tried at a time until one succeeds, so that an outage costs a handful of calls a minute
 * however many messages are in hand. A call that is refused as invalid may owe that to one entry: they all go out
 * again, behind the others and each in a call of its own, and the one that is refused there has failed alone. How long
 * to go on is the owner's decision: it is asked after every failure, and it removes messages whose lease is over.
 *
 * Each kind of call is a struct outbox_ops; each message has a struct outbox_entry for each box it can be in. Engine
 * thread only. */
#ifndef FANOUT_WORKER_OUTBOX_H
#define FANOUT_WORKER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/backoff.h"
#include "base/timers.h"

struct message;
struct outbox;
struct outbox_call;
struct world;

struct outbox_entry {
    struct message *message; /* set once */
    struct outbox *box;      /* NULL: in none */
    struct outbox_entry *previous, *next;
    struct outbox_call *call; /* not NULL: it is part of a call in flight */
    struct timer again;       /* set: it waits for its backoff */
    uint32_t failures;
    bool lone; /* no company: a call it was part of was refused as invalid */
};

/* How a call went for one message. */
struct outbox_outcome {
    const struct aws_error *error;   /* the whole call failed; result is NULL */
    const struct sqs_result *result; /* NULL: see error. Of a call refused as invalid: failed, and the sender's fault
                                        if m was alone in it */
    int64_t sent_ms;                 /* monotonic time when the attempt that was answered was sent; of an error, when
                                        the call was started */
    bool stale;                      /* a newer receive replaced the receipt handle that was used */
};

struct outbox_ops {
    const char *name;                   /* for logs: "delete" */
    const char *permission;             /* that the call needs: "sqs:DeleteMessage" */
    bool at_dead_letters;               /* ... on the dead-letter queue, not on the queue itself */
    const struct backoff_policy *pause; /* of an entry after its own failure, and of the box after a failed call */

    /* Starts the call for n messages (1 .. SQS_BATCH_MAX). */
    int (*send)(struct outbox *b, struct message *const *messages, size_t n, sqs_batch_fn *done, void *context,
                struct err *e);

    /* The entry is out of the box. True puts it back for another try: at once when the outcome is stale, after the
     * box's pause when the whole call failed, after its own backoff otherwise. */
    bool (*finished)(struct outbox *b, struct message *m, const struct outbox_outcome *outcome, int64_t now_ms);

    /* Asked just before m would be part of a call; false: it is out of the box and the owner knows. May be NULL. */
    bool (*wanted)(struct outbox *b, struct message *m, int64_t now_ms);

    /* What m adds to the size of the call, at most max_bytes together; NULL: sizes do not matter. */
    size_t (*weight)(const struct message *m);
    size_t max_bytes;

    size_t entry_offset; /* of the box's struct outbox_entry in struct message */
};

struct outbox {
    const struct outbox_ops *ops;
    struct world *world;
    struct outbox_entry *first, *last; /* ready to be sent */
    size_t ready, sent, waiting;       /* entries by what they wait for */
    size_t calls, max_calls;           /* in flight */
    struct outbox_call *in_flight, *spare;
    struct timer flush;
    int64_t linger_ms; /* how long an entry may wait for company */
    int64_t linger_until_ms;
    int64_t paused_until_ms;
    struct backoff backoff;
    bool failing; /* the last call to end failed as a whole */
    bool denied;  /* ... because ops->permission is missing */
    bool eager;   /* waits for no company: draining */
};

void outbox_init(struct outbox *b, const struct outbox_ops *ops, struct world *w, int64_t linger_ms, size_t max_calls);

/* Forgets everything, calls in flight included, whose callbacks must not come any more: the loop must not run again. */
void outbox_clean_up(struct outbox *b);

/* m waits to be sent; it must not be in this box. */
void outbox_add(struct outbox *b, struct message *m, int64_t now_ms);

/* Takes m out. Its part of a call in flight is left to its fate, and finished will not be called for it. Nothing
 * happens when m is not in this box. */
void outbox_remove(struct outbox *b, struct message *m);

/* m has a newer receipt handle, or there is little time left: a wait for its backoff ends. */
void outbox_hurry(struct outbox *b, struct message *m, int64_t now_ms);

/* From now on nothing lingers; what is ready goes out, even if the box has just paused, and pauses begin small again.
 */
void outbox_drain(struct outbox *b, int64_t now_ms);

bool outbox_holds(const struct outbox *b, const struct message *m);
bool outbox_is_sending(const struct outbox *b, const struct message *m);

#endif
