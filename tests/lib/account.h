/* account: what became of each message of a chaos run, and whether that is right.
 *
 * Knows nothing of the worker's code. It is told what was put in (account_put), hears every call of the fleet
 * (lib/wiretap.h), reads what the handlers wrote down (lib/chaos_record.h), and is shown what lies in the dead-letter
 * queues at the end. account_judge then holds of every message:
 *
 *   - it is accounted for: done, dead-lettered with the right reason, or filtered, as its fate wants it;
 *   - no delete was sent for it before a handler's word, or its dead letter's confirmation, allowed that;
 *   - it was not handled after a confirmed delete, unless it was delivered again before that;
 *   - where deduplication is on, neither it nor a twin, which has the same event, was handled once the worker had sent
 *     the delete of one that was done;
 *   - of its group, none was begun before those ahead of it were decided (FIFO);
 *   - no batched call had an entry twice, or more than ten;
 *   - at no time were more in hand, or asked for, than the consumer's cap (checked as it goes, while it is said to
 *     hold);
 *   - no more calls of it failed than its attempts allow, and each call has its cause (account_limits.c);
 *   - no more were handled in a while than rate.max_per_s allows, and no more requests in vain were sent than pauses
 *     between them leave room for (account_limits.c);
 *   - what its handler published was sent only once it was done, and confirmed before the delete, and is there; of one
 *     that was not done nothing is (account_publish.c).
 *
 * FANOUT_CHAOS_TRACE="12 17" tells what was heard of these messages, and what was done with them.
 *
 * A message is known by the "n" in its body. Numbers of a group rise in the order in which they were sent. Any thread.
 */
#ifndef FANOUT_TESTS_LIB_ACCOUNT_H
#define FANOUT_TESTS_LIB_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "lib/chaos_record.h"
#include "lib/wiretap.h"

enum account_fate {
    ACCOUNT_DONE,        /* handled, whatever went before: deleted */
    ACCOUNT_REJECTED,    /* dead-lettered with the handler's reason */
    ACCOUNT_FAILED,      /* dead-lettered because its attempts were exhausted */
    ACCOUNT_FILTERED,    /* deleted, and never handled */
    ACCOUNT_MISMATCHED,  /* filtered out, too: dead-lettered with that reason, and never handled */
    ACCOUNT_LEFT,        /* filtered out, too: never handled, deleted or dead-lettered by us; moved by the queue */
    ACCOUNT_UNDECODABLE, /* dead-lettered as such, and never handled */
    ACCOUNT_FATES
};

#define ACCOUNT_QUEUES   2 /* by number; the second one is FIFO */
#define ACCOUNT_FIFO     1
#define ACCOUNT_NO_GROUP UINT32_MAX
#define ACCOUNT_PIECES   2 /* published by a message, at most */
#define ACCOUNT_REASON   300

/* Who knows what was done. */
enum account_memory { ACCOUNT_NOBODY, ACCOUNT_PROCESS, ACCOUNT_HOST };

struct account;

struct account_rules {
    size_t messages;
    unsigned visibility_s;                /* a change of visibility to as much or more is an extension */
    unsigned max_attempts;                /* a message that is given up has been received or handled so often */
    unsigned max_receives;                /* then the queue moves it */
    bool skips;                           /* the FIFO queue's groups: what failed has given up its order */
    bool leaves[ACCOUNT_QUEUES];          /* what failed so often is left to the queue */
    unsigned rate[ACCOUNT_QUEUES];        /* messages handled in a second at most; 0: no bound */
    unsigned lease_max_s[ACCOUNT_QUEUES]; /* 0: none */
    const char *events;                   /* the queue that has in the end what was published */
    const char *queues[ACCOUNT_QUEUES];   /* names, and their dead-letter queues' */
    const char *dead[ACCOUNT_QUEUES];
    enum account_memory memory[ACCOUNT_QUEUES]; /* of events */
    int64_t (*now_ms)(void);                    /* the run's clock */
};

struct account *account_new(const struct account_rules *rules);
void account_destroy(struct account *a); /* NULL is fine */

void account_put(struct account *a, uint32_t n, enum account_fate fate, unsigned queue, uint32_t group);

/* n, which is to be done, has the event of another such message of the queue: one of the two is handled. */
void account_put_twin(struct account *a, uint32_t n, uint32_t of);

/* n's handler publishes so many pieces, {"n":N,"piece":0} and so on, each time it is called. */
void account_put_pieces(struct account *a, uint32_t n, unsigned pieces);

/* wiretap_fn's. */
void account_hear(void *account, enum wiretap_moment moment, const struct wiretap_exchange *exchange);

/* From now on a queue's consumer has so many in hand at most, and has nothing in hand; 0: nobody knows. */
void account_cap(struct account *a, unsigned queue, size_t cap);

/* From now on a dead letter may arrive twice, because the server was told to double it. */
void account_allow_doubles(struct account *a);

/* How many are known to be deleted. */
size_t account_deleted(struct account *a);

/* One that lies in a dead-letter queue. */
struct account_letter {
    unsigned queue;
    bool has_n;
    uint32_t n;
    const char *reason;   /* of fanoutd; NULL: it has none, so it was SQS that moved it */
    bool keeps_attribute; /* what it was sent with */
};
void account_letter(struct account *a, const struct account_letter *l);

/* A piece that lies in the queue of events. */
void account_piece(struct account *a, uint32_t n, unsigned piece);

/* Reads the record, judges, and appends what is wrong to out, a line each (the first 40). Returns how many are. sums: a
 * line of figures. */
size_t account_judge(struct account *a, struct chaos_record *record, struct buf *out, struct buf *sums);

#endif
