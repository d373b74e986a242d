/* order: the messages of a FIFO queue's groups, each in its turn.
 *
 * A group's messages in hand stand in line, by SequenceNumber (without one: as they arrived). The head of the line is
 * let go, and behind it those that reach the same batch before that is handed out: a run. What was let go must be
 * decided before the next of its group is, so that a group is inside one handler call at a time, and groups run in
 * parallel.
 *
 *     waiting -> away -> (at the door) -> in a batch -> (held) -> deciding -> done, or over: out of the line
 *        ^                                    |            |         |-> moving  -> out of the line
 *        '------------ again ----------------'------------'---------'-> leaving -> out of the line
 *
 * What stands behind a message that was not done is not handled before it:
 * - tried again here: verdicts of those behind it in the same batch are dropped, and they wait in line behind it;
 * - given back to the queue, or lost: those behind it are given back, too (SQS keeps them behind it);
 * - rejected: they wait until the dead letter is confirmed. Had they gone on, a refused one would come back behind
 * them. With fifo.on_failure = skip one that failed or was rejected leaves the line, and those behind it go on.
 *
 * Pure: it decides about turns and does nothing itself. order_next says what is to be done, one step at a time;
 * engine_order.c does it. Bounded by what is in hand. Engine thread only. */
#ifndef FANOUT_WORKER_ORDER_H
#define FANOUT_WORKER_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/timers.h"

struct batch;
struct message;
struct order_group;

enum order_stage {
    ORDER_OUTSIDE,  /* in no line */
    ORDER_WAITING,  /* at the gate; its turn has not come, or it pauses before another try */
    ORDER_AWAY,     /* let go, on its way to a batch */
    ORDER_AT_DOOR,  /* let go, but the batch with those before it went out without it */
    ORDER_BATCHED,  /* in a batch, undecided */
    ORDER_HELD,     /* its verdict is known; those before it are undecided */
    ORDER_DECIDING, /* its verdict is being taken up */
    ORDER_AGAIN,    /* goes back to its gate as soon as its handler thread lets it go */
    ORDER_MOVING,   /* its dead letter is under way */
    ORDER_LEAVING,  /* is being given back to the queue */
};

/* Of each message. */
struct order_member {
    struct order_group *group; /* NULL: in no line */
    struct message *previous, *next;
    enum order_stage stage;
    bool spoilt;           /* one before it was not done: its verdict does not count */
    bool given_back;       /* ... and was given back: so is this one, as soon as it can be had */
    int64_t not_before_ms; /* pauses until then */
    /* fixed once its batch is handed out; any thread */
    struct message *follower; /* the next of its group in its batch */
    bool follows;             /* it is one */
    bool alone;               /* fifo.on_failure = skip */
};

struct order {
    bool on;   /* the queue is a FIFO queue */
    bool skip; /* fifo.on_failure */
    struct timers *timers;
    struct order_group **buckets;
    size_t n_buckets;
    size_t n_groups;
    size_t pausing;            /* messages in lines whose head pauses */
    struct order_group *ready; /* something may be to do */
    struct order_group **ready_end;
    struct order_group *reserve, *spare; /* made in advance: no message may pass another for want of memory */
    size_t n_reserve, n_used;
};

/* For at most `most` messages in hand. on false: nothing stands in line, and nothing is allocated. */
int order_init(struct order *o, bool on, bool skip, size_t most, struct timers *timers, struct err *e);
void order_clean_up(struct order *o);

/* What SQS calls a FIFO queue: its name, or URL, ends in .fifo. Groups alone (fair queues) make no order. */
bool order_is_fifo(const char *queue);

/* m is at the gate, for the first time or again, and stands in line. False: it is to be given back, because one before
 * it is. Not for a message without a group. */
bool order_arrive(struct order *o, struct message *m);

/* m has left a gate that kept it; the caller says what becomes of it next. */
void order_take_from_gate(struct order *o, struct message *m);

/* m, let go, has passed all other gates: may it join this batch (NULL: one that is still to be made)? False: it is kept
 * at the door. */
bool order_may_join(struct order *o, struct message *m, const struct batch *open);

/* It is about to join it. */
void order_join(struct order *o, struct message *m, const struct batch *open);

/* It has not joined it after all. */
void order_stay_out(struct order *o, struct message *m);

/* Handler threads, of messages in their batch: m was handled, and this is its verdict; publishes: it is done when what
 * it published is confirmed, and not before. Unless the next of its group may be handled, those behind m get
 * VERDICT_BEHIND. */
void order_handled(const struct message *m, int32_t verdict, bool publishes, int64_t now_ms);

/* The same: m will not be handled. */
void order_stop_behind(const struct message *m);

/* Its verdict is known. */
enum order_answer {
    ORDER_GO_ON, /* it is its turn to be decided about */
    ORDER_HOLD,  /* not yet: order_next will say when */
    ORDER_DROP,  /* its verdict does not count: it has to go to the gate again */
};
enum order_answer order_decide(struct order *o, struct message *m);

/* m goes to a gate again, undecided: `waits` is true for the gate of this module, and those behind m do not count. */
void order_again(struct order *o, struct message *m, bool waits);

/* m is tried again here, not before until_ms. False: too much of what may be in hand (most messages) pauses already, or
 * there is no memory. */
bool order_pause(struct order *o, struct message *m, int64_t until_ms, size_t most);

/* How long m still pauses; 0: it does not. */
int64_t order_pauses_ms(const struct message *m, int64_t now_ms);

/* m's state says what becomes of it: MESSAGE_DONE, _RETRY or _REJECT. alone: what stands behind it goes on. */
void order_settling(struct order *o, struct message *m, bool alone);

/* Its lease is over: what stands behind it is given back. */
void order_lost(struct order *o, struct message *m);

/* m was received again: it is not lost any more. So is nothing that was handed out before it (SQS hands out a group in
 * its order), but for what stands in line. */
void order_received_again(struct order *o, struct message *m);

/* m is in hand no more. */
void order_leave(struct order *o, struct message *m);

/* The next thing to do for *ret_message. */
enum order_step {
    ORDER_STEP_NONE,
    ORDER_STEP_PASS,      /* kept at the gate or the door: it may go on */
    ORDER_STEP_DECIDE,    /* held: its turn */
    ORDER_STEP_RESTART,   /* held: its verdict does not count, it goes to the gate again */
    ORDER_STEP_GIVE_BACK, /* kept at a gate: it is to be given back */
};
enum order_step order_next(struct order *o, const struct batch *open, int64_t now_ms, struct message **ret_message);

#endif
