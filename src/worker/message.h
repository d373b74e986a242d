/* message: one SQS message in hand, from its receive until what becomes of it is confirmed.
 *
 * One block of memory a message, not one a batch: messages of one batch end at different times, and a message can
 * change its batch. Counted references (the registry's, the batch's, those of calls in flight) keep it alive; they are
 * the engine's alone. A handler thread reads what is fixed at creation and the atomics, and owns `verdict` from the
 * moment it takes the message until it has pushed it, or the batch, into the inbox. One that was settled in a call that
 * goes on is looked at until that is over (`thread`). */
#ifndef FANOUT_WORKER_MESSAGE_H
#define FANOUT_WORKER_MESSAGE_H

#include <fanout/handler.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/slice.h"
#include "base/timers.h"
#include "worker/inbox.h"
#include "worker/order.h"
#include "worker/outbox.h"

enum message_state {
    MESSAGE_QUEUED,     /* waits for a handler, or is inside one */
    MESSAGE_KEPT,       /* waits at a gate before its batch: engine_impl.h */
    MESSAGE_PUBLISHING, /* done, as soon as what its handler published is confirmed */
    MESSAGE_DONE,       /* is to be deleted */
    MESSAGE_RETRY,      /* its visibility is to be changed: a retry or a give-back */
    MESSAGE_REJECT,     /* is to be moved to the dead-letter queue */
    MESSAGE_OVER,       /* nothing more is to be done; a batch or a call may still hold it */
};

/* Verdicts besides the handler's own. */
enum {
    VERDICT_NONE = HANDLER_UNSET,
    VERDICT_GIVE_BACK = 100, /* not started because the worker drains */
    VERDICT_LOST = 101,      /* not started, or its handler was told so: it decides nothing any more */
    VERDICT_LATER = 102,     /* not started, for want of something here: given back after the consumer's delay */
    VERDICT_HELD = 103,      /* not started because the breaker is open: it waits */
    VERDICT_BEHIND = 104,    /* not started: one of its group before it was not done, or is no longer ours */
    VERDICT_UNSURE = 105,    /* not started: its event must be begun again (message_lost_event) */
    /* of gates, for messages that no handler sees: */
    VERDICT_FILTERED = 110,    /* filtered out: delete it */
    VERDICT_LEFT = 111,        /* filtered out, for another consumer: give it back after delay_ms */
    VERDICT_DUPLICATE = 113,   /* its event was handled: delete it */
    VERDICT_DEAD_LETTER = 112, /* move it to the dead-letter queue with its reason */
};

/* Why a message becomes a dead letter: of VERDICT_DEAD_LETTER, who decides so says which. */
enum dead_reason {
    DEAD_REJECTED, /* by its handler: HANDLER_REJECT */
    DEAD_ATTEMPTS, /* they are used up */
    DEAD_RECEIVES, /* the queue's own are */
    DEAD_UNDECODABLE,
    DEAD_MISMATCH,  /* with the consumer's filter */
    DEAD_UNDECIDED, /* the search for a match with it was given up */
};

struct batch;
struct content;
struct dedup_entry;
struct lease;

struct message_verdict {
    /* The handler thread looks at it again, for whether there is one, until its call is over; the engine may by then
     * have turned it into another, never into none. */
    _Atomic int32_t kind;
    int64_t delay_ms; /* of a retry; negative: the consumer's backoff */
    char *reason;     /* malloced, or NULL */
    enum dead_reason dead;
    bool left; /* of a retry: it is left to the queue, which must see it received for that */
};

/* Between the engine and the handler threads, of a message in a batch that is out. */
enum message_thread {
    MESSAGE_LOOKED_AT, /* by a handler thread, now or later */
    MESSAGE_AWAITED,   /* the same, and the engine waits for the end of that */
    MESSAGE_LET_GO,    /* none looks at it any more */
};

#define MESSAGE_NO_RECORD UINT32_MAX

struct message {
    /* fixed at creation */
    struct handler_message view; /* what the plugin sees */
    struct slice id, group, body;
    struct slice attributes; /* the message attributes, encoded: message_read_attributes */
    struct slice system;     /* the system attributes, encoded: message_system_attribute */
    struct slice md5_of_body;
    int64_t first_received_at_ms; /* wall, of any host; 0: unknown */
    struct slice sequence;        /* SequenceNumber; empty: none */
    uint64_t hash;
    int64_t in_hand_since_ms; /* monotonic: its first receive by this worker */
    uint32_t record;          /* in the ledger, or MESSAGE_NO_RECORD */

    /* the engine's until m goes into a batch, then fixed: the body taken apart (content.h), if a gate needed that */
    struct content *content;

    /* engine */
    enum message_state state;
    uint8_t gate; /* of MESSAGE_KEPT: which one keeps it; of `again`: where it goes in */
    struct order_member order;
    bool again;          /* to be handled again as soon as its handler thread lets it go */
    uint32_t turn;       /* the breaker's, while a handler has it; 0: pressure_learn knows how it went */
    uint64_t kept_place; /* among those that wait at the breaker; 0: none, as it is new or was tried */
    uint64_t said_down;  /* how many tries had gone well, and one, when it last was HANDLER_DOWN; 0: never */
    bool suspect;        /* it was, and others were done, and it was again */
    struct message *kept_previous, *kept_next; /* there */
    struct batch *batch; /* that it is part of, from batcher_add until the batch is recycled; NULL: none */
    unsigned references;
    struct slice receipt_handle;
    char *newer_handle; /* where receipt_handle lies after a redelivery; malloced */
    uint32_t handle_version;
    uint32_t receive_count;
    uint32_t local_failures;         /* of this receive, before this verdict: it was handled again here */
    uint32_t attempts;               /* when its verdict was decided upon: see attempts.h */
    bool attempted;                  /* its handler said something about it since it was last sent there */
    int64_t received_ms;             /* monotonic; SQS's 12 h count from here */
    bool dead_lettered;              /* moved: what is left is the delete */
    uint32_t letter_bytes;           /* no larger may its letter be, m itself excepted; 0: LETTER_BYTES (letter.h) */
    bool letter_is_mute;             /* its letter had no room for the reason */
    bool given_back;                 /* unhandled, because of the drain */
    bool held_back;                  /* waits, decided, to be given back; of MESSAGE_QUEUED */
    int64_t back_at_ms;              /* ... and is to be visible again then */
    uint32_t release_s;              /* of MESSAGE_RETRY: the visibility timeout to set */
    struct outbox_entry settling;    /* the box that carries out the verdict */
    struct outbox_entry extending;   /* the box of lease extensions */
    struct dedup_entry *dedup;       /* its event is in progress (dedup.h); NULL: not known to be */
    bool unguarded;                  /* is handled without that: the store failed */
    struct lease *lease;             /* that watches it */
    struct timer lease_timer;        /* when the lease needs something */
    uint32_t extension_s;            /* asked for in the extension under way */
    bool lease_stopped;              /* to be extended no more */
    int64_t wanted_until_ms;         /* the lease should reach at least so far */
    struct message *chain;           /* of the registry's bucket */
    struct message *next_held;       /* of those that wait to be given back */
    struct message *previous, *next; /* of the registry, oldest receive first */

    /* read by handler threads */
    _Atomic int64_t lease_ms;       /* monotonic time when the lease ends */
    _Atomic bool lost;              /* it ended, or the queue said so */
    _Atomic int64_t event_until_ms; /* monotonic: its event is in progress until then (dedup.h); 0: nothing is known */

    /* the handler thread's, then the engine's */
    struct message_verdict verdict;
    char *last_reason;              /* of the verdict before, when it is handled again here; malloced, or NULL */
    struct publish_list *publish;   /* what the handler publishes; NULL: nothing */
    _Atomic int64_t begun_ms;       /* monotonic: its handler was called with it; 0: it waits, and was not (lease.h) */
    _Atomic int64_t asked_until_ms; /* host->extend */
    _Atomic int thread;             /* enum message_thread, with `handle` */
    struct inbox_node settled;
};

/* Copies r into a message with one reference (the caller's). queue_name is borrowed. NULL: no memory. */
struct message *message_new(const struct sqs_message *r, const char *queue_name, int64_t wall_ms, int64_t now_ms);

/* m is to be handled again: there is no verdict. It must be in no batch. */
void message_forget_verdict(struct message *m);

void message_hold(struct message *m);
void message_release(struct message *m); /* the last one frees it; it must be in no box and have no timer set */

/* The message was received again: the newest handle is the one that counts. ERR_NO_MEMORY: nothing changed. */
int message_receive_again(struct message *m, const struct sqs_message *r, int64_t now_ms);

/* Decodes the message attributes: how many there are (at most max are filled in); slices point into m. */
size_t message_read_attributes(const struct message *m, struct sqs_attribute *ret_attributes, size_t max);

/* System attributes that are not fields of struct message or its view. Empty: it has none, or nobody asked for it. */
enum message_system {
    MESSAGE_TRACE_HEADER, /* always asked for */
    MESSAGE_SENDER_ID,
    MESSAGE_DEDUPLICATION_ID,
    MESSAGE_DEAD_LETTER_SOURCE,
    MESSAGE_SYSTEM_ATTRIBUTES
};
struct slice message_system_attribute(const struct message *m, enum message_system which);

uint64_t message_hash(struct slice id);

/* A handler's reason as logs and SQS take it: one line of valid UTF-8 in XML 1.0's characters, cut at a whole character
 * so that it fits MESSAGE_REASON_BYTES with its NUL. malloced; NULL: reason is NULL, or no memory. */
#define MESSAGE_REASON_BYTES 1024
char *message_copy_reason(const char *reason);

/* Handler threads, of a message that was posted already, and at which the caller looks no more. True: the engine waits
 * for that, and it is to be posted again. */
static inline bool
message_let_go(struct message *m)
{
    return atomic_exchange_explicit(&m->thread, MESSAGE_LET_GO, memory_order_acq_rel) == MESSAGE_AWAITED;
}

/* Engine, of a message that was posted. True: no handler thread looks at it any more. False: with `handle` it will be
 * posted again as soon as that is so; with `handle_batch` it comes back with its batch. */
static inline bool
message_await_let_go(struct message *m)
{
    int looked_at = MESSAGE_LOOKED_AT;
    return !atomic_compare_exchange_strong_explicit(&m->thread, &looked_at, MESSAGE_AWAITED, memory_order_acq_rel,
                                                    memory_order_acquire) &&
           looked_at == MESSAGE_LET_GO;
}

static inline struct message *
message_of_settled(struct inbox_node *node)
{
    return (struct message *)((char *)node - offsetof(struct message, settled));
}

/* Milliseconds of lease left, as far as a handler can rely on it; 0: lost. Any thread. */
static inline int64_t
message_lease_left_ms(const struct message *m, int64_t now_ms)
{
    int64_t left = atomic_load_explicit(&m->lease_ms, memory_order_relaxed) - now_ms;
    return left > 0 && !atomic_load_explicit(&m->lost, memory_order_relaxed) ? left : 0;
}

/* m's event was in progress for it, and may be another message's by now: no handler is to begin it. Any thread. */
static inline bool
message_lost_event(const struct message *m, int64_t now_ms)
{
    int64_t until_ms = atomic_load_explicit(&m->event_until_ms, memory_order_relaxed);
    return until_ms != 0 && until_ms <= now_ms;
}

#endif
