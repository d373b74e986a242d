#include "base/log.h"
#include "worker/engine_impl.h"

#define POLL_MARGIN_MS 1000 /* before a drain's deadline */

static void
hold_back(struct engine *g, struct message *m)
{
    m->held_back = true;
    m->next_held = g->held;
    g->held = m;
}

void
engine_give_back(struct engine *g, struct message *m)
{
    m->verdict.kind = VERDICT_GIVE_BACK;
    if (!m->held_back)
        hold_back(g, m);
}

bool
engine_gives_back_later(struct engine *g, struct message *m, int64_t now_ms)
{
    if (!g->draining)
        return false;
    if (m->verdict.kind == VERDICT_GIVE_BACK) {
        engine_give_back(g, m);
        return true;
    }
    if (m->verdict.kind != HANDLER_RETRY || g->poll.outstanding == 0 ||
        atomic_load_explicit(&m->lost, memory_order_relaxed))
        return false;
    int64_t delay_ms = m->verdict.delay_ms = settle_retry_delay_ms(&g->settle, m);
    if (delay_ms > g->options.wait_time_s * INT64_C(1000))
        return false; /* that receive will be over */
    m->back_at_ms = now_ms + delay_ms;
    hold_back(g, m);
    return true;
}

void
engine_give_back_held(struct engine *g, int64_t now_ms)
{
    if (g->poll.outstanding > 0)
        return;
    while (g->held) {
        struct message *m = g->held;
        g->held = m->next_held;
        m->held_back = false;
        if (m->verdict.kind == HANDLER_RETRY)
            m->verdict.delay_ms = m->back_at_ms > now_ms ? m->back_at_ms - now_ms : 0;
        settle_verdict(&g->settle, m, now_ms);
    }
}

static void
give_back_batch(struct engine *g, struct batch *b, int64_t now_ms)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->messages[i]->state == MESSAGE_QUEUED)
            b->messages[i]->verdict.kind = VERDICT_GIVE_BACK;
    engine_batch_returned(g, b, now_ms);
}

static void
poll_deadline(struct timer *t, int64_t now_ms)
{
    struct engine *g = (struct engine *)((char *)t - offsetof(struct engine, poll_deadline));
    if (g->poll.outstanding > 0)
        log_write(LOG_WARN, "drain: the outstanding receive is cut off; what it may have taken comes back by itself",
                  LOG_INT("receives", g->poll.outstanding));
    poll_cancel(&g->poll);
    engine_give_back_held(g, now_ms);
    engine_give_up_publishing(g, now_ms); /* while there is time for the retries to be confirmed */
}

static void
deadline(struct timer *t, int64_t now_ms)
{
    struct engine *g = (struct engine *)((char *)t - offsetof(struct engine, deadline));
    (void)now_ms;
    g->deadline_passed = true;
}

void
engine_drain(struct engine *g, int64_t deadline_ms, int64_t now_ms)
{
    if (g->draining && deadline_ms >= g->deadline_ms)
        return;
    int64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    int64_t margin_ms = left_ms / 4 < POLL_MARGIN_MS ? left_ms / 4 : POLL_MARGIN_MS;
    g->deadline_ms = deadline_ms;
    g->poll_deadline.fire = poll_deadline;
    g->deadline.fire = deadline;
    timers_set(g->world.timers, &g->poll_deadline, deadline_ms - margin_ms);
    timers_set(g->world.timers, &g->deadline, deadline_ms);
    if (g->draining)
        return;
    g->draining = true;
    log_write(LOG_INFO, "draining", LOG_INT("deadline_ms", left_ms), LOG_INT("in_hand", g->in_hand.count),
              LOG_INT("receives", g->poll.outstanding));
    discover_stop(&g->discover);
    poll_close(&g->poll);
    settle_drain(&g->settle, now_ms);
    publish_drain(&g->publish, now_ms);
    for (struct message *m = g->in_hand.oldest; m; m = m->next) {
        settle_hurry(&g->settle, m, now_ms);
        if (m->state == MESSAGE_KEPT) {
            engine_leave_gate(g, m);
            engine_order_give_back(g, m, now_ms);
        }
    }
    struct batch *b = batcher_take_open(&g->batcher);
    if (b)
        give_back_batch(g, b, now_ms);
    while ((b = g->options.take_back(g->options.context)))
        give_back_batch(g, b, now_ms);
}

bool
engine_is_over(const struct engine *g, size_t *ret_left)
{
    if (!g->draining)
        return false;
    if (!g->deadline_passed &&
        (g->in_hand.count > 0 || g->poll.outstanding > 0 || g->batcher.out > 0 || !dedup_is_idle(&g->dedup)))
        return false;
    *ret_left = g->in_hand.count;
    return true;
}
