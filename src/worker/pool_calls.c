#include <stdatomic.h>

#include "base/clock.h"
#include "worker/order.h"
#include "worker/pool_impl.h"
#include "worker/publish_list.h"

#define LONG_CALL_NS 1000000 /* figures of shorter ones are shown when their batch is over */

static void
show_figures(struct handler_thread *t)
{
    metrics_run_end(&t->waits);
    metrics_run_end(&t->durations);
}

static void
enter(struct handler_thread *t, struct message *const *messages, uint32_t count, struct batch *b, int64_t now_ms)
{
    struct ledger *l = t->pool->options.ledger;
    for (uint32_t i = 0; i < count; i++)
        if (messages[i]->record != MESSAGE_NO_RECORD)
            ledger_set_state(l, messages[i]->record, LEDGER_HANDLING, (int32_t)t->number);
    for (uint32_t i = 0; i < count; i++)
        metrics_run_add(&t->waits, now_ms - messages[i]->in_hand_since_ms);
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&messages[i]->begun_ms, now_ms, memory_order_relaxed);
    ledger_thread_enter(l, t->number, messages[0]->record, count, now_ms);
    t->call.batch = b;
    t->call.messages = messages;
    t->call.count = count;
    t->call.down = t->call.publishes = t->call.posted = false;
    atomic_store_explicit(&t->call.running, true, memory_order_relaxed);
}

/* began_ns: when the handler was called. Returns the time now, for the next call. */
static int64_t
leave(struct handler_thread *t, int64_t began_ns)
{
    atomic_store_explicit(&t->call.running, false, memory_order_relaxed);
    if (t->call.views)
        host_forget_views(&t->call);
    ledger_thread_leave(t->pool->options.ledger, t->number);
    int64_t now_ns = clock_monotonic_ns();
    metrics_run_add(&t->durations, (now_ns - began_ns) / 1000);
    if (now_ns - began_ns > LONG_CALL_NS)
        show_figures(t);
    return now_ns;
}

static bool
is_verdict(int32_t value)
{
    return value >= HANDLER_DONE && value <= HANDLER_DOWN;
}

/* The verdict the return value gives to a message that has none. */
static void
apply_return(struct message *m, int32_t value)
{
    m->verdict.kind = is_verdict(value) ? value : HANDLER_RETRY;
    m->verdict.delay_ms = -1;
}

/* m has a verdict, and the calling thread looks at it no more. */
static void
hand_back(struct handler_thread *t, struct message *m)
{
    atomic_store_explicit(&m->thread, MESSAGE_LET_GO, memory_order_relaxed); /* the inbox releases it */
    host_post(&t->pool->shared, &m->settled);
}

/* One message of `handle`: its verdict goes to the engine at once, not when the batch is through. *began_ns: when the
 * call before this one ended. True: it says that what the handler depends on is down. */
static bool
handle_one(struct handler_thread *t, struct batch *b, struct message *m, int64_t now_ms, int64_t *began_ns)
{
    const struct plugin *plugin = t->pool->options.plugin;
    struct call_shared *shared = &t->pool->shared;
    t->message = m;
    enter(t, &t->message, 1, b, now_ms);
    int32_t value = plugin->table.handle(t->pool->options.plugin_state, t->state, &t->call, &m->view);
    *began_ns = leave(t, *began_ns);
    bool settled = m->verdict.kind != VERDICT_NONE;
    int32_t verdict = settled ? m->verdict.kind : is_verdict(value) ? value : HANDLER_RETRY;
    if (m->order.follower)
        order_handled(m, verdict, settled ? t->call.publishes : publish_list_has_pieces(m->publish),
                      clock_monotonic_ms());
    if (!is_verdict(value) && !(settled && value == HANDLER_UNSET))
        host_breach(shared, value == HANDLER_UNSET ? BREACH_FORGOTTEN : BREACH_RETURN, m, value);
    if (!settled)
        apply_return(m, value);
    if (!t->call.posted)
        hand_back(t, m);
    else if (message_let_go(m))
        host_post(shared, &m->settled);
    return settled ? t->call.down : value == HANDLER_DOWN;
}

/* The handler is not to be called with what waits in b: the engine keeps it. */
static bool
is_held(const struct handler_thread *t, const struct batch *b)
{
    return atomic_load_explicit(&t->pool->shared.held, memory_order_relaxed) && !b->trial;
}

/* m comes back to the engine at once. True: its handler was called. */
static bool
handle_or_not(struct handler_thread *t, struct batch *b, struct message *m, int64_t *began_ns)
{
    int64_t now_ms = clock_monotonic_ms();
    if (m->verdict.kind == VERDICT_BEHIND) {
        /* by order_stop_behind */
    } else if (atomic_load_explicit(&t->pool->shared.stopping, memory_order_relaxed)) {
        m->verdict.kind = VERDICT_GIVE_BACK;
    } else if (atomic_load_explicit(&b->share.down, memory_order_relaxed) || is_held(t, b)) {
        m->verdict.kind = VERDICT_HELD;
        order_stop_behind(m); /* the next moment they might not be held */
    } else if (message_lease_left_ms(m, now_ms) == 0) {
        m->verdict.kind = VERDICT_LOST;
        order_stop_behind(m);
    } else if (message_lost_event(m, now_ms)) {
        m->verdict.kind = VERDICT_UNSURE;
        order_stop_behind(m);
    } else {
        if (handle_one(t, b, m, now_ms, began_ns))
            atomic_store_explicit(&b->share.down, true, memory_order_relaxed);
        return true;
    }
    hand_back(t, m);
    return false;
}

/* What is left of b, which the calling thread is part of. */
static void
handle_runs(struct handler_thread *t, struct batch *b)
{
    struct pool *p = t->pool;
    size_t handled = 0;
    int64_t began_ns = clock_monotonic_ns();
    for (struct message *run = share_take(&p->share, b); run; run = share_take(&p->share, b))
        for (struct message *m = run, *next; m; m = next) {
            next = m->order.follower;
            handled += handle_or_not(t, b, m, &began_ns);
        }
    METRICS_COUNT(p->shared.metrics, batches, handled);
    METRICS_COUNT(p->shared.metrics, handled, handled);
    METRICS_OBSERVE_N(p->shared.metrics, batch_messages, 1, handled);
    show_figures(t);
    if (share_leave(&p->share, b))
        host_post(&p->shared, &b->returned);
}

static void
handle_together(struct handler_thread *t, struct batch *b, int64_t now_ms)
{
    const struct plugin *plugin = t->pool->options.plugin;
    struct call_shared *shared = &t->pool->shared;
    uint32_t count = (uint32_t)b->n_live;
    for (uint32_t i = 0; i < count; i++)
        b->views[i] = &b->live[i]->view;
    const struct handler_batch view = {.size = sizeof view, .count = count, .messages = b->views};
    enter(t, b->live, count, b, now_ms);
    int64_t began_ns = clock_monotonic_ns();
    int32_t value = plugin->table.handle_batch(t->pool->options.plugin_state, t->state, &t->call, &view);
    leave(t, began_ns);
    if (!is_verdict(value) && value != HANDLER_UNSET)
        host_breach(shared, BREACH_RETURN, NULL, value);
    for (uint32_t i = 0; i < count; i++) {
        struct message *m = b->live[i];
        if (m->verdict.kind != VERDICT_NONE)
            continue;
        if (value == HANDLER_UNSET)
            host_breach(shared, BREACH_FORGOTTEN, m, value);
        apply_return(m, value);
    }
    METRICS_COUNT(shared->metrics, batches, 1);
    METRICS_COUNT(shared->metrics, handled, count);
    METRICS_OBSERVE(shared->metrics, batch_messages, count);
}

/* Picks what is still ours: a message whose lease ended while it waited is somebody else's by now, as its event
 * may be, and what stands behind it is not begun. */
static void
pick_live(struct batch *b, int64_t now_ms)
{
    for (size_t i = 0; i < b->count; i++) {
        struct message *m = b->messages[i];
        bool lost = message_lease_left_ms(m, now_ms) == 0;
        if (m->verdict.kind == VERDICT_NONE && (lost || message_lost_event(m, now_ms))) {
            m->verdict.kind = lost ? VERDICT_LOST : VERDICT_UNSURE;
            order_stop_behind(m);
        }
    }
    b->n_live = 0;
    for (size_t i = 0; i < b->count; i++)
        if (b->messages[i]->verdict.kind == VERDICT_NONE)
            b->live[b->n_live++] = b->messages[i];
}

static void
handle_whole(struct handler_thread *t, struct batch *b, int64_t now_ms)
{
    pick_live(b, now_ms);
    bool stopping = atomic_load_explicit(&t->pool->shared.stopping, memory_order_relaxed);
    if (stopping || is_held(t, b))
        for (size_t i = 0; i < b->n_live; i++)
            b->live[i]->verdict.kind = stopping ? VERDICT_GIVE_BACK : VERDICT_HELD;
    else if (b->n_live > 0)
        handle_together(t, b, now_ms);
    show_figures(t);
    host_post(&t->pool->shared, &b->returned);
}

void
pool_run_batch(struct handler_thread *t, struct batch *b)
{
    int64_t now_ms = clock_monotonic_ms();
    if (t->pool->options.plugin->table.handle) {
        share_begin(&t->pool->share, b, now_ms);
        handle_runs(t, b);
    } else {
        handle_whole(t, b, now_ms);
    }
}

void
pool_help(struct handler_thread *t)
{
    struct pool *p = t->pool;
    struct batch *b = share_join(&p->share);
    p->shared.wake(p->shared.context); /* one more may be needed */
    if (b)
        handle_runs(t, b);
}
