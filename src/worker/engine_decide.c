/* What follows a verdict, once those of its group before it are decided. In this order, and a step that has to wait, or
 * that has another use for the message, returns here later: what the handler published is confirmed; the breaker learns
 * how it went; the policy turns a failure into a retry, a dead letter or another try here (which needs no receive, so
 * only after that is it judged by them); deduplication keeps or forgets the event; the next of its group may go; the
 * verdict is carried out. */
#include "worker/engine_impl.h"

void
engine_decide_after_dedup(struct engine *g, struct message *m, int64_t now_ms)
{
    if (!engine_gives_back_later(g, m, now_ms))
        settle_verdict(&g->settle, m, now_ms);
}

void
engine_decide(struct engine *g, struct message *m, int64_t now_ms)
{
    if (dedup_is_completing(m))
        return; /* it was settled early, and now its batch has returned */
    if (m->order.group && engine_order_holds(g, m, now_ms))
        return;
    if (m->publish && engine_publishes(g, m, now_ms))
        return;
    if (engine_holds_back(g, m, now_ms) || engine_begins_anew(g, m, now_ms))
        return;
    engine_judge(g, m);
    if (m->order.group && engine_order_retries(g, m, now_ms))
        return; /* its event stays in progress */
    engine_judge_receives(g, m);
    if (dedup_settle(&g->dedup, m))
        engine_decide_after_dedup(g, m, now_ms);
    else
        lease_decided(&g->lease, m, now_ms);
}
