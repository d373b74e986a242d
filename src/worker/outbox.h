/* outbox: entries that wait for a batched call: up to ten at once, after a few milliseconds at the latest.
 *
 * The part that deletes, visibility changes, dead letters and published pieces have in common. An entry that fails
 * alone is tried again after a backoff of its own. When a whole call fails, its entries go back to the front and the
 * box pauses for a backoff; then one call is tried at a time until one succeeds, so that an outage costs a handful of
 * calls a minute however much waits. A call that is refused as invalid may owe that to one entry: they all go out
 * again, behind the others and each in a call of its own, and the one that is refused there has failed alone. How long
 * to go on is the owner's decision: it is asked after every failure, and it removes what belongs to a message whose
 * lease is over.
 *
 * Each kind of call is a struct outbox_ops. What can be in a box embeds a struct outbox_entry; a message has one for
 * each box it can be in at the same time. Engine thread only. */
#ifndef FANOUT_WORKER_OUTBOX_H
#define FANOUT_WORKER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/backoff.h"
#include "base/timers.h"

#define OUTBOX_CALL_MOST SQS_BATCH_MAX /* entries */

struct message;
struct outbox;
struct world;

struct outbox_entry {
    struct message *message; /* that it belongs to, and that is held while a call has it; set once */
    struct outbox *box;      /* NULL: in none */
    struct outbox_entry *previous, *next;
    struct outbox_call *call; /* not NULL: it is part of a call in flight */
    struct timer again;       /* set: it waits for its backoff */
    uint32_t failures;
    bool lone; /* no company: a call it was part of was refused as invalid */
};

struct outbox_call {
    struct outbox *box;
    size_t n; /* 1 to OUTBOX_CALL_MOST */
    struct outbox_entry *entries[OUTBOX_CALL_MOST];

    /* outbox_call.c's own */
    struct outbox_call *previous, *next;
    struct message *messages[OUTBOX_CALL_MOST];
    uint32_t versions[OUTBOX_CALL_MOST]; /* of their receipt handles */
    int64_t sent_ms;
};

/* How a call went for one entry. The texts are borrowed. */
struct outbox_outcome {
    bool ok;
    bool at_fault;                 /* not ok, and the service finds the fault with the entry */
    const struct aws_error *error; /* the whole call failed, and not because of what it held */
    const char *code, *text;       /* of what is not ok */
    const char *message_id;        /* of a message that was sent */
    int64_t sent_ms;               /* monotonic time when the attempt that was answered was sent; when the whole call
                                      failed, when that was started */
    bool stale;                    /* a newer receive has replaced the message's receipt handle since then */
};

enum outbox_next {
    OUTBOX_OVER,    /* the entry stays out of the box */
    OUTBOX_AGAIN,   /* after the box's pause when the whole call failed, after a backoff of its own otherwise */
    OUTBOX_AT_ONCE, /* ... without that backoff */
};

struct outbox_ops {
    const char *name;                   /* for logs: "delete messages" */
    const char *at;                     /* what they are sent to: "queue" */
    const char *permission;             /* that the call needs: "sqs:DeleteMessage" */
    const struct backoff_policy *pause; /* of an entry after its own failure, and of the box after a failed call */
    int64_t linger_ms;                  /* how long an entry may wait for company */
    size_t max_calls;                   /* in flight */

    /* Starts the call, whose answer goes to outbox_answered later. */
    int (*send)(struct outbox_call *c, struct err *e);

    /* The entry is out of the box: it decides whether that is so for good. An entry that went well, or that is at
     * fault, does not go again. */
    enum outbox_next (*finished)(struct outbox *b, struct outbox_entry *x, const struct outbox_outcome *outcome,
                                 int64_t now_ms);

    /* Which of those it is, for logs. NULL: the queue that is consumed. */
    const char *(*target)(const struct outbox *b);

    /* Asked just before x would be part of a call; false: it is out of the box and the owner knows. NULL: always. */
    bool (*wanted)(struct outbox *b, struct outbox_entry *x, int64_t now_ms);

    /* What x adds to the size of the call, at most max_bytes together. NULL: sizes do not matter. */
    size_t (*weight)(const struct outbox_entry *x);
    size_t max_bytes;

    /* The box is closed and there is something to send: starts what opens it, and outbox_opened is called once, later.
     * NULL: it is never closed. */
    int (*open)(struct outbox *b, struct err *e);
};

struct outbox {
    const struct outbox_ops *ops;
    struct world *world;
    struct outbox_entry *first, *last; /* ready to be sent */
    size_t ready, sent, waiting;       /* entries by what they wait for */
    size_t calls;                      /* in flight */
    struct outbox_call *in_flight, *spare;
    struct timer flush;
    int64_t linger_until_ms;
    int64_t paused_until_ms;
    struct backoff backoff;
    bool failing;       /* the last call to end failed as a whole */
    const char *denied; /* ... because this permission is missing; NULL: not so */
    bool eager;         /* waits for no company: draining */
    bool closed;        /* nothing can be sent before it is opened */
    bool opening;       /* which is under way */
};

void outbox_init(struct outbox *b, const struct outbox_ops *ops, struct world *w);

/* Forgets everything, calls in flight included, whose callbacks must not come any more: the loop must not run again. */
void outbox_clean_up(struct outbox *b);

/* Turns an idle box to calls of another kind, or to another target: what it learnt about the last one is forgotten, and
 * it is not closed. */
void outbox_turn(struct outbox *b, const struct outbox_ops *ops);

/* x waits to be sent; it must be in no box. */
void outbox_add(struct outbox *b, struct outbox_entry *x, int64_t now_ms);

/* Takes x out. Its part of a call in flight is left to its fate, and finished will not be called for it. Nothing
 * happens when x is not in this box. */
void outbox_remove(struct outbox *b, struct outbox_entry *x);

/* x's message has a newer receipt handle, or there is little time left: a wait for its backoff ends. */
void outbox_hurry(struct outbox *b, struct outbox_entry *x, int64_t now_ms);

/* From now on nothing lingers; what is ready goes out, even if the box has just paused, and pauses begin small again.
 */
void outbox_drain(struct outbox *b, int64_t now_ms);

bool outbox_holds(const struct outbox *b, const struct outbox_entry *x);
bool outbox_is_sending(const struct outbox *b, const struct outbox_entry *x);

/* Nothing is in it or under way for it. */
bool outbox_is_idle(const struct outbox *b);

/* ---- for the kinds of calls ---- */

/* The answer to the call that is its context: an sqs_batch_fn. Those of other services are told in its words. */
void outbox_answered(void *call, const struct sqs_batch_result *r);

/* From now on nothing is sent before the box is opened again. */
void outbox_close(struct outbox *b);

/* error NULL: it is open. Otherwise it pauses, and what is denied is why, or NULL. */
void outbox_opened(struct outbox *b, const struct err *error, const char *denied, int64_t now_ms);

#endif
