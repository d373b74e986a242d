/* publish_list: what a handler publishes while it handles a message (fanout/handler.h, struct handler_publish), from
 * the call that hands it in until AWS has confirmed it.
 *
 * A piece is one event or one message, copied into one block of memory and checked by the handler thread that hands it
 * in; nothing about it is an error of the sender's by then that could have been known. The pieces of a message hang on
 * it, belong to the handler thread as its verdict does, and become the engine's with it: no lock. What all of them take
 * is counted at the desk, the one thing that threads share. */
#ifndef FANOUT_WORKER_PUBLISH_LIST_H
#define FANOUT_WORKER_PUBLISH_LIST_H

#include <fanout/handler.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sqs.h"
#include "base/err.h"
#include "base/slice.h"
#include "worker/outbox.h"

#define PUBLISH_MARK             "urn:fanout:"       /* all that fanoutd puts into resources begins so */
#define PUBLISH_CAUSE_MARK       "urn:fanout:cause:" /* of a resource; behind it the piece's id */
#define PUBLISH_CORRELATION_MARK "urn:fanout:correlation:"
#define PUBLISH_CAUSE            "fanout.cause" /* message attributes with the same behind them */
#define PUBLISH_CORRELATION      "fanout.correlation"
#define PUBLISH_ATTRIBUTES       10  /* SQS: of a message */
#define PUBLISH_ID_BYTES         128 /* SQS: a group or deduplication id */

struct message;

/* Where handler threads hand pieces in. One a worker; outlives all messages. */
struct publish_desk {
    const char *bus, *queue; /* borrowed; "": none */
    size_t max_bytes;        /* of memory, for all pieces */
    _Atomic size_t bytes;
};

struct publish_list {
    struct publish_desk *desk;
    struct message *message; /* borrowed: it owns the list */
    struct publish_piece *first, *last;
    uint32_t count;
    char *correlation; /* malloced */

    /* engine */
    uint32_t unconfirmed, in_flight; /* pieces; in_flight: part of a call */
    bool started;
    bool over; /* no more of it is sent: a piece was refused, or time is up */
    bool lost; /* ... because the message is no longer ours: nobody waits for its end */
    char reason[300];
};

struct publish_piece {
    struct publish_list *list;
    struct publish_piece *next;
    bool is_event; /* else a message */
    bool fifo;     /* to a FIFO queue */
    uint32_t number;
    int32_t delay_s;     /* as sqs_send's */
    int64_t time_ms;     /* as events_entry's */
    struct slice target; /* the bus or queue, as it was named; a NUL behind it */
    struct slice source; /* events, as is detail_type */
    struct slice detail_type;
    struct slice payload;             /* detail or body */
    struct slice *resources;          /* of events, ours included */
    struct sqs_attribute *attributes; /* of messages, ours included */
    size_t n;                         /* resources or attributes */
    struct slice group, dedup_id;
    size_t weight; /* as AWS counts its size */
    size_t held;   /* of the desk's bytes */

    /* engine */
    struct outbox_entry entry; /* the box of its target: publish_box.h */
    bool confirmed;
};

static inline struct publish_piece *
publish_piece_of(const struct outbox_entry *entry)
{
    return (struct publish_piece *)((char *)entry - offsetof(struct publish_piece, entry));
}

/* Hands in a copy for m, on the handler thread that m belongs to. The error's text says what is wrong:
 *
 *     ERR_INVALID    a rule of AWS's or of handler.h is broken
 *     ERR_LIMIT      too large, too many for m, or no room at the desk
 *     ERR_NOT_FOUND  no target was named and none is configured
 *     ERR_NO_MEMORY */
int publish_list_add_event(struct publish_desk *desk, struct message *m, const struct handler_new_event *event,
                           struct err *e);
int publish_list_add_message(struct publish_desk *desk, struct message *m, const struct handler_new_message *message,
                             struct err *e);

/* There is something to be sent. Handler thread before the message is handed over, engine thread after. */
static inline bool
publish_list_has_pieces(const struct publish_list *list)
{
    return list && list->count > 0;
}

/* Frees all pieces of m, none of which is in a box. NULL is fine. Handler thread before the message is handed over,
 * engine thread after. */
void publish_list_free(struct publish_list *list);

/* ---- parts of the above ---- */

/* The id that everything caused by m is correlated by (handler.h): malloced; NULL: no memory. */
char *publish_correlation_of(const struct message *m);

/* s is UTF-8 of the characters that XML 1.0 has, as SQS wants it. */
bool publish_is_text(struct slice s);

#endif
