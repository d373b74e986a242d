/* engine_impl: what the engine's own files share: engine.c (its life and its turns), engine_queue.c (what the
 * queue says to it), engine_intake.c (the gates before a message's batch), engine_decide.c (what follows its verdict),
 * engine_retry.c (what follows a failure), engine_order.c (order in FIFO queues), engine_drain.c (the engine's end),
 * engine_state.c (what it tells about itself). */
#ifndef FANOUT_WORKER_ENGINE_IMPL_H
#define FANOUT_WORKER_ENGINE_IMPL_H

#include "worker/attempts.h"
#include "worker/dedup.h"
#include "worker/discover.h"
#include "worker/engine.h"
#include "worker/inflight.h"
#include "worker/lease.h"
#include "worker/poll.h"
#include "worker/pressure.h"
#include "worker/publish.h"
#include "worker/settle.h"

struct engine {
    struct engine_options options;
    struct world world;
    size_t cap;
    char queue_name[256];
    struct discover discover;
    struct inflight in_hand;
    struct lease lease;
    struct pressure pressure;
    bool handlers_held; /* options.hold was told so */
    struct batcher batcher;
    struct attempts attempts;
    struct settle settle;
    struct publish publish;
    struct screen screen;
    struct dedup dedup;
    struct order order;
    struct poll poll;
    bool health_known; /* the queue was asked, and answered or not: */
    enum ipc_health health;
    char health_text[300];
    bool health_told; /* what was told to the supervisor: */
    enum ipc_health told;
    int64_t tell_due_ms; /* not before: nobody heard it */
    int64_t gauges_due_ms;
    bool draining, deadline_passed;
    struct message *held; /* to be given back when no receive is outstanding */
    int64_t deadline_ms;
    struct timer poll_deadline, deadline;
};

/* engine.c: m is in hand no more. */
void engine_message_over(struct engine *g, struct message *m);

/* engine.c: a batch's undecided messages have their verdicts; it is recycled. */
void engine_batch_returned(struct engine *g, struct batch *b, int64_t now_ms);

/* engine_queue.c: hangs in the modules that ask the queue. */
void engine_queue_init(struct engine *g);

/* ---- engine_intake.c: the gates that a message passes, in this order, on its way into a batch ----
 *
 * Each is a module of this folder, which knows nothing of the engine, and a few lines that hang it in here. */
enum engine_gate {
    ENGINE_GATE_ORDER,   /* FIFO: its turn in its group */
    ENGINE_GATE_SCREEN,  /* unwrapped, understood, not filtered out */
    ENGINE_GATE_DEDUP,   /* its event was not handled before */
    ENGINE_GATE_BREAKER, /* handlers are not held back */
    ENGINE_GATE_TURN,    /* FIFO: what went into a batch before it, of its group, is decided, or waits with it */
    ENGINE_GATES
};

enum gate_answer {
    GATE_PASS,    /* on to the next one */
    GATE_KEEP,    /* kept, under lease, until engine_pass or, after engine_leave_gate, engine_decide */
    GATE_DECIDED, /* m->verdict says what becomes of it: no handler will see it */
};

struct engine_gate_ops {
    enum gate_answer (*arrive)(struct engine *g, struct message *m, int64_t now_ms);

    /* The gate forgets m, which it keeps: its lease is over, or the worker drains. */
    void (*leave)(struct engine *g, struct message *m);
};

/* m, which is new or has left its gate, goes through `from` and the gates behind it. */
void engine_admit(struct engine *g, struct message *m, enum engine_gate from, int64_t now_ms);

/* From the gate that keeps m: it may go on. */
void engine_pass(struct engine *g, struct message *m, int64_t now_ms);

/* Takes m away from the gate that keeps it; to be decided, given back or admitted again by the caller. */
void engine_leave_gate(struct engine *g, struct message *m);

/* m, whose verdict is known, is not settled but handled again by this worker, under the same lease: it goes through
 * `from` and the gates behind it as soon as the call it was in is over. */
void engine_again(struct engine *g, struct message *m, enum engine_gate from, int64_t now_ms);

/* ---- engine_pressure.c: the breaker and the rate ---- */

extern const struct engine_gate_ops engine_pressure_gate;

void engine_pressure_init(struct engine *g);

/* Of a turn: lets go what may, and while the breaker is open takes back what no handler has begun. */
void engine_step_pressure(struct engine *g, int64_t now_ms);

/* The breaker learns m's verdict. True: m stays in hand and is handled again when the breaker lets it. */
bool engine_holds_back(struct engine *g, struct message *m, int64_t now_ms);

/* ---- engine_decide.c ---- */

/* m->verdict is known, by its handler or by a gate: what becomes of m. m is MESSAGE_QUEUED. */
void engine_decide(struct engine *g, struct message *m, int64_t now_ms);

/* ---- engine_retry.c ---- */

/* m's verdict is known: counts its attempts, and turns a failure that was one too many into a dead letter. */
void engine_judge(struct engine *g, struct message *m);

/* m, if it failed, is not tried again here: it is a dead letter if this was its last receive. */
void engine_judge_receives(struct engine *g, struct message *m);

/* A receive of m ended without its handler, which is no attempt; or all of m is over. */
void engine_note_unused_receive(struct engine *g, const struct message *m);
void engine_note_end(struct engine *g, const struct message *m);
/* A step that waited is over: the ones behind it. */
void engine_decide_after_dedup(struct engine *g, struct message *m, int64_t now_ms);

/* engine_dedup.c: the gate, and the module's other ends. */
extern const struct engine_gate_ops engine_dedup_gate;
int engine_dedup_init(struct engine *g, struct err *e);

/* True: m was in a batch, and no handler has begun it, because its event has to be begun again. */
bool engine_begins_anew(struct engine *g, struct message *m, int64_t now_ms);

/* engine_publish.c: true when m, whose verdict is known, waits until what its handler published is confirmed. Then
 * publish.h calls engine_published, and m is decided with the verdict it has by then. */
bool engine_publishes(struct engine *g, struct message *m, int64_t now_ms);
void engine_published(void *context, struct message *m, int64_t now_ms);

/* The lease of m, which waits for that, is over: it was not done after all. */
void engine_lost_publishing(struct engine *g, struct message *m, int64_t now_ms);

/* What waits for that, and of which nothing is on its way, is to be retried. */
void engine_give_up_publishing(struct engine *g, int64_t now_ms);

/* ---- engine_order.c ---- */

extern const struct engine_gate_ops ENGINE_ORDER_GATE, ENGINE_TURN_GATE;

/* Of m that stands in line (m->order.group). True: its verdict waits for those before it, or is dropped; engine_decide
 * will be called again. */
bool engine_order_holds(struct engine *g, struct message *m, int64_t now_ms);

/* m, if it fails, may be tried again here: it stands in line, and its group waits for it. */
bool engine_order_tries_here(const struct engine *g, const struct message *m);

/* Of m that stands in line. True: it has failed and is tried again here, under its lease, while its group waits. */
bool engine_order_retries(struct engine *g, struct message *m, int64_t now_ms);

/* m->state has become MESSAGE_DONE, _RETRY or _REJECT. */
void engine_order_settling(struct engine *g, struct message *m);

/* Lets go what may go. Once each turn. */
void engine_order_run(struct engine *g, int64_t now_ms);

/* The worker drains: gives back m, which no gate keeps; one that pauses after a failure with what is left of its delay.
 */
void engine_order_give_back(struct engine *g, struct message *m, int64_t now_ms);

/* engine_drain.c. While a receive of ours waits at the queue it would take back at once what is given back now: one
 * more receive spent, and nothing won. So m is held, under lease, until engine_give_back_held finds none outstanding.
 * engine_gives_back_later does that with m, whose verdict is to be carried out, if it is given back; or retried after a
 * delay that such a receive may outlast, and then what is left of the delay is waited for at the queue. False: it is
 * to be carried out now. */
void engine_give_back(struct engine *g, struct message *m);
bool engine_gives_back_later(struct engine *g, struct message *m, int64_t now_ms);
void engine_give_back_held(struct engine *g, int64_t now_ms);

/* engine_state.c: what the queue's last answer says of our health; tells the supervisor when that, or what is denied to
 * us, has changed, and again until it was heard; keeps the gauges up to date. */
void engine_set_health(struct engine *g, enum ipc_health health, const char *why);
void engine_tell_health(struct engine *g, int64_t now_ms);
void engine_update_gauges(struct engine *g, int64_t now_ms);

#endif
