/* How the breaker and the rate (pressure.h) hang in the engine. */
#include "worker/engine_impl.h"

static enum gate_answer
arrive(struct engine *g, struct message *m, int64_t now_ms)
{
    return pressure_arrive(&g->pressure, m, now_ms) ? GATE_PASS : GATE_KEEP;
}

static void
leave(struct engine *g, struct message *m)
{
    pressure_leave(&g->pressure, m);
}

const struct engine_gate_ops engine_pressure_gate = {.arrive = arrive, .leave = leave};

static void
pass(void *context, struct message *m, int64_t now_ms)
{
    engine_pass(context, m, now_ms);
}

void
engine_pressure_init(struct engine *g)
{
    struct pressure_options o = {
        .breaker = g->options.breaker, .max_per_s = g->options.max_per_s, .pass = pass, .context = g};
    o.breaker.full = g->options.threads * g->options.batch_size;
    pressure_init(&g->pressure, &g->world, &o);
}

static void
hold_batch(struct engine *g, struct batch *b, int64_t now_ms)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->messages[i]->state == MESSAGE_QUEUED)
            b->messages[i]->verdict.kind = VERDICT_HELD;
    engine_batch_returned(g, b, now_ms);
}

void
engine_step_pressure(struct engine *g, int64_t now_ms)
{
    pressure_step(&g->pressure, now_ms);
    enum breaker_state state = g->pressure.breaker.state;
    if (g->handlers_held != (state != BREAKER_CLOSED)) {
        g->handlers_held = state != BREAKER_CLOSED;
        g->options.hold(g->options.context, g->handlers_held);
    }
    if (state == BREAKER_TRYING) {
        batcher_flush(&g->batcher, now_ms); /* a try waits for no company */
    } else if (state == BREAKER_OPEN) {
        struct batch *b = batcher_take_open(&g->batcher);
        if (b)
            hold_batch(g, b, now_ms);
        while ((b = g->options.take_back(g->options.context)))
            hold_batch(g, b, now_ms);
    }
}

bool
engine_holds_back(struct engine *g, struct message *m, int64_t now_ms)
{
    bool down = m->verdict.kind == HANDLER_DOWN;
    if (down && m->turn != 0)
        WORLD_COUNT(&g->world, down, 1);
    pressure_learn(&g->pressure, m, now_ms);
    if ((!down && m->verdict.kind != VERDICT_HELD) || atomic_load_explicit(&m->lost, memory_order_relaxed))
        return false;
    engine_again(g, m, ENGINE_GATE_BREAKER, now_ms);
    return true;
}
