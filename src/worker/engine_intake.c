/* The way of a message from its receive into a batch: gate after gate, and back to one of them when it is to be handled
 * again by this worker. */
#include <assert.h>

#include "worker/engine_impl.h"

static enum gate_answer
screen_arrive(struct engine *g, struct message *m, int64_t now_ms)
{
    (void)now_ms;
    return screen_message(&g->screen, m) ? GATE_PASS : GATE_DECIDED;
}

/* It keeps nothing. */
static const struct engine_gate_ops SCREEN = {.arrive = screen_arrive};

/* One row a gate; NULL: everything passes. */
static const struct engine_gate_ops *const GATES[ENGINE_GATES] = {
    [ENGINE_GATE_ORDER] = &ENGINE_ORDER_GATE, [ENGINE_GATE_SCREEN] = &SCREEN,
    [ENGINE_GATE_DEDUP] = &engine_dedup_gate, [ENGINE_GATE_BREAKER] = &engine_pressure_gate,
    [ENGINE_GATE_TURN] = &ENGINE_TURN_GATE,
};

static void
batch_message(struct engine *g, struct message *m, int64_t now_ms)
{
    message_hold(m);
    atomic_store_explicit(&m->thread, MESSAGE_LOOKED_AT, memory_order_relaxed); /* before it is handed out */
    if (m->turn == 0)
        pressure_resume(&g->pressure, m);
    if (m->order.group)
        order_join(&g->order, m, g->batcher.open);
    if (batcher_add(&g->batcher, m, now_ms) == 0)
        return;
    message_release(m); /* no memory for it: later */
    if (m->order.group)
        order_stay_out(&g->order, m);
    m->verdict = (struct message_verdict){.kind = VERDICT_LATER, .delay_ms = -1};
    engine_decide(g, m, now_ms);
}

void
engine_admit(struct engine *g, struct message *m, enum engine_gate from, int64_t now_ms)
{
    assert(m->state == MESSAGE_QUEUED && !m->batch);
    if (atomic_load_explicit(&m->lost, memory_order_relaxed)) { /* while the call it was in went on */
        engine_message_over(g, m);
        return;
    }
    if (g->draining) {
        engine_order_give_back(g, m, now_ms);
        return;
    }
    if (from > ENGINE_GATE_DEDUP && message_lost_event(m, now_ms)) {
        pressure_learn(&g->pressure, m, now_ms); /* nothing: it goes no further yet */
        from = ENGINE_GATE_DEDUP;
    }
    for (unsigned i = from; i < ENGINE_GATES; i++) {
        if (!GATES[i])
            continue;
        switch (GATES[i]->arrive(g, m, now_ms)) {
        case GATE_PASS:
            break;
        case GATE_KEEP:
            m->state = MESSAGE_KEPT;
            m->gate = (uint8_t)i;
            return;
        case GATE_DECIDED:
            engine_decide(g, m, now_ms);
            return;
        }
    }
    batch_message(g, m, now_ms);
}

void
engine_pass(struct engine *g, struct message *m, int64_t now_ms)
{
    assert(m->state == MESSAGE_KEPT);
    m->state = MESSAGE_QUEUED;
    engine_admit(g, m, m->gate + 1, now_ms);
}

void
engine_leave_gate(struct engine *g, struct message *m)
{
    assert(m->state == MESSAGE_KEPT);
    GATES[m->gate]->leave(g, m);
    m->state = MESSAGE_QUEUED;
}

void
engine_again(struct engine *g, struct message *m, enum engine_gate from, int64_t now_ms)
{
    assert(m->state == MESSAGE_QUEUED);
    if (m->batch && message_await_let_go(m))
        m->batch = NULL; /* others of it may still be handled */
    lease_waits(&g->lease, m, now_ms);
    if (m->order.group)
        order_again(&g->order, m, from == ENGINE_GATE_ORDER);
    if (m->batch) { /* the call it was settled in may still look at it */
        m->again = true;
        m->gate = (uint8_t)from;
        return;
    }
    message_forget_verdict(m);
    if (m->record != MESSAGE_NO_RECORD)
        ledger_set_state(g->world.ledger, m->record, LEDGER_QUEUED, -1); /* no handler's any more */
    engine_admit(g, m, from, now_ms);
}
