/* Deduplication's place in the engine: the gate before a batch, and the way back to where a message waited. */
#include "worker/engine_impl.h"

static enum gate_answer
arrive(struct engine *g, struct message *m, int64_t now_ms)
{
    if (!g->dedup.options.store)
        return GATE_PASS;
    switch (dedup_arrive(&g->dedup, m, now_ms)) {
    case DEDUP_GO:
        return GATE_PASS;
    case DEDUP_WAIT:
        return GATE_KEEP;
    case DEDUP_DUPLICATE:
        m->verdict.kind = VERDICT_DUPLICATE;
        return GATE_DECIDED;
    case DEDUP_NO_MEMORY:
        break;
    }
    m->verdict = (struct message_verdict){.kind = VERDICT_LATER, .delay_ms = -1};
    return GATE_DECIDED;
}

static void
leave(struct engine *g, struct message *m)
{
    dedup_drop(&g->dedup, m);
}

const struct engine_gate_ops engine_dedup_gate = {.arrive = arrive, .leave = leave};

static void
pass(void *context, struct message *m, int64_t now_ms)
{
    engine_pass(context, m, now_ms);
}

static void
duplicate(void *context, struct message *m, int64_t now_ms)
{
    struct engine *g = context;
    m->state = MESSAGE_QUEUED; /* the gate has let go of it */
    m->verdict.kind = VERDICT_DUPLICATE;
    engine_decide(g, m, now_ms);
}

static void
settle(void *context, struct message *m, int64_t now_ms)
{
    engine_decide_after_dedup(context, m, now_ms);
}

bool
engine_begins_anew(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->verdict.kind != VERDICT_UNSURE || atomic_load_explicit(&m->lost, memory_order_relaxed))
        return false;
    engine_again(g, m, ENGINE_GATE_DEDUP, now_ms);
    return true;
}

int
engine_dedup_init(struct engine *g, struct err *e)
{
    struct dedup_options options = g->options.dedup;
    options.consumer = g->options.consumer;
    options.pass = pass;
    options.duplicate = duplicate;
    options.settle = settle;
    options.context = g;
    return dedup_init(&g->dedup, &g->world, &options, e);
}
