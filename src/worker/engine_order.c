/* FIFO queues: what order.c says about turns, done. Two gates of a message's way into a batch, a step of what follows a
 * verdict, and a run of what has become possible, once each turn. */
#include "base/log.h"
#include "worker/engine_impl.h"

#define LOG_EVERY_MS 1000

/* ---- gates ---- */

static enum gate_answer
give_back(struct engine *g, struct message *m)
{
    WORLD_COUNT(&g->world, given_back_behind, 1);
    m->verdict.kind = VERDICT_GIVE_BACK;
    return GATE_DECIDED;
}

static enum gate_answer
arrive(struct engine *g, struct message *m, int64_t now_ms)
{
    (void)now_ms;
    if (!g->order.on || m->group.n == 0)
        return GATE_PASS;
    return order_arrive(&g->order, m) ? GATE_KEEP : give_back(g, m);
}

static enum gate_answer
come_to_the_door(struct engine *g, struct message *m, int64_t now_ms)
{
    if (!m->order.group || order_may_join(&g->order, m, g->batcher.open))
        return GATE_PASS;
    pressure_learn(&g->pressure, m,
                   now_ms); /* nothing: whom it waits for may need its place among the breaker's tries */
    return m->order.given_back ? give_back(g, m) : GATE_KEEP;
}

static void
leave(struct engine *g, struct message *m)
{
    order_take_from_gate(&g->order, m);
    pressure_learn(&g->pressure, m, g->world.clock_ms()); /* nothing: it was not handled */
}

/* m's verdict does not count, or it has none. */
static void
start_over(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->publish)
        publish_drop(&g->publish, m);
    pressure_learn(&g->pressure, m, now_ms);
    engine_again(g, m, ENGINE_GATE_ORDER, now_ms);
}

const struct engine_gate_ops ENGINE_ORDER_GATE = {.arrive = arrive, .leave = leave};
const struct engine_gate_ops ENGINE_TURN_GATE = {.arrive = come_to_the_door, .leave = leave};

/* ---- verdicts ---- */

static bool
has_failed(const struct message *m)
{
    return m->verdict.kind == HANDLER_RETRY || m->verdict.kind == HANDLER_REJECT ||
           m->verdict.kind == VERDICT_DEAD_LETTER;
}

/* By a gate: it needs no turn. (Dead letters do, for the order in the dead-letter queue.) */
static bool
is_screened_out(const struct message *m)
{
    return m->order.stage == ORDER_AWAY && !has_failed(m);
}

bool
engine_order_holds(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->verdict.kind == VERDICT_GIVE_BACK)
        return false;
    if (m->verdict.kind == VERDICT_BEHIND) {
        start_over(g, m, now_ms);
        return true;
    }
    if (is_screened_out(m))
        return false;
    switch (order_decide(&g->order, m)) {
    case ORDER_GO_ON:
        return false;
    case ORDER_HOLD:
        lease_decided(&g->lease, m, now_ms);
        return true;
    case ORDER_DROP:
        WORLD_COUNT(&g->world, verdicts_dropped, 1);
        start_over(g, m, now_ms);
        return true;
    }
    return false;
}

/* Given back with those behind it, one of them would be at its last receive. */
static bool
spends_last_receives(const struct engine *g, const struct message *m)
{
    uint32_t max_receives = g->world.queue->max_receive_count;
    for (; m && max_receives > 0; m = m->order.next)
        if (m->receive_count + 1 >= max_receives)
            return true;
    return false;
}

/* A delay that the lease outlives without being asked for much, or for which no receives are left, and that leaves room
 * for others. */
static bool
can_pause(struct engine *g, struct message *m, int64_t delay_ms, int64_t now_ms)
{
    int64_t visibility_ms = g->lease.visibility_ms;
    return (delay_ms <= visibility_ms || spends_last_receives(g, m)) &&
           delay_ms + visibility_ms <= lease_longest_s(m, now_ms) * 1000 &&
           order_pause(&g->order, m, now_ms + delay_ms, g->cap / 2);
}

bool
engine_order_tries_here(const struct engine *g, const struct message *m)
{
    return m->order.group && !g->order.skip && !g->draining;
}

bool
engine_order_retries(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->verdict.kind != HANDLER_RETRY || m->verdict.left || !engine_order_tries_here(g, m) ||
        atomic_load_explicit(&m->lost, memory_order_relaxed))
        return false;
    int64_t delay_ms = settle_retry_delay_ms(&g->settle, m);
    if (!can_pause(g, m, delay_ms, now_ms)) {
        m->verdict.delay_ms = delay_ms;
        return false;
    }
    WORLD_COUNT(&g->world, retried_here, 1);
    m->local_failures++;
    m->attempted = false;
    log_write_limited(m->verdict.reason ? LOG_WARN : LOG_DEBUG, LOG_EVERY_MS,
                      "message will be tried again here; its group waits", LOG_SLICE("id", m->id),
                      LOG_SLICE("group", m->group), LOG_INT("receive_count", m->receive_count),
                      LOG_INT("failures", m->local_failures), LOG_INT("delay_ms", delay_ms),
                      LOG_STR("reason", m->verdict.reason ? m->verdict.reason : ""));
    engine_again(g, m, ENGINE_GATE_ORDER, now_ms);
    return true;
}

void
engine_order_settling(struct engine *g, struct message *m)
{
    order_settling(&g->order, m, m->verdict.kind == VERDICT_LEFT || (g->order.skip && has_failed(m)));
}

/* ---- turns ---- */

void
engine_order_run(struct engine *g, int64_t now_ms)
{
    struct message *m;
    for (;;) {
        switch (order_next(&g->order, g->batcher.open, now_ms, &m)) {
        case ORDER_STEP_NONE:
            return;
        case ORDER_STEP_PASS:
            engine_pass(g, m, now_ms);
            break;
        case ORDER_STEP_DECIDE:
            engine_decide(g, m, now_ms);
            break;
        case ORDER_STEP_RESTART:
            WORLD_COUNT(&g->world, verdicts_dropped, 1);
            start_over(g, m, now_ms);
            break;
        case ORDER_STEP_GIVE_BACK:
            engine_leave_gate(g, m);
            give_back(g, m);
            engine_decide(g, m, now_ms);
            break;
        }
    }
}

void
engine_order_give_back(struct engine *g, struct message *m, int64_t now_ms)
{
    int64_t pauses_ms = order_pauses_ms(m, now_ms);
    if (pauses_ms == 0) {
        engine_give_back(g, m);
        return;
    }
    m->verdict = (struct message_verdict){.kind = HANDLER_RETRY, .delay_ms = pauses_ms, .reason = m->last_reason};
    m->last_reason = NULL;
    engine_judge_receives(g, m); /* its attempts were judged when it began to pause */
    if (dedup_settle(&g->dedup, m))
        engine_decide_after_dedup(g, m, now_ms);
}
