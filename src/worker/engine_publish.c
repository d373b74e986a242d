/* What follows a verdict of done whose handler published something: that is confirmed first. */
#include "worker/engine_impl.h"

void
engine_published(void *context, struct message *m, int64_t now_ms)
{
    m->state = MESSAGE_QUEUED;
    engine_decide(context, m, now_ms);
}

void
engine_lost_publishing(struct engine *g, struct message *m, int64_t now_ms)
{
    publish_lost(&g->publish, m);
    m->verdict = (struct message_verdict){.kind = HANDLER_RETRY, .delay_ms = -1};
    m->state = MESSAGE_QUEUED;
    engine_decide(g, m, now_ms);
}

bool
engine_publishes(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->publish->lost)
        return false;
    bool done = m->verdict.kind == HANDLER_DONE && m->publish->count > 0;
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    if (!done || lost) {
        if (done) /* no late delete: whoever handles it next publishes */
            m->verdict = (struct message_verdict){.kind = HANDLER_RETRY, .delay_ms = -1};
        publish_drop(&g->publish, m);
        return false;
    }
    m->state = MESSAGE_PUBLISHING;
    if (m->record != MESSAGE_NO_RECORD) /* who takes it over handles it again */
        ledger_set_state(g->world.ledger, m->record, LEDGER_QUEUED, -1);
    lease_decided(&g->lease, m, now_ms);
    publish_start(&g->publish, m, now_ms);
    return true;
}

/* What becomes of one message can end others, so that they are gathered first. */
void
engine_give_up_publishing(struct engine *g, int64_t now_ms)
{
    struct message *gathered = NULL;
    for (struct message *m = g->in_hand.oldest; m; m = m->next) {
        if (m->state != MESSAGE_PUBLISHING)
            continue;
        message_hold(m);
        m->next_held = gathered;
        gathered = m;
    }
    while (gathered) {
        struct message *m = gathered;
        gathered = m->next_held;
        m->next_held = NULL;
        if (m->state == MESSAGE_PUBLISHING)
            publish_give_up(&g->publish, m, now_ms);
        message_release(m);
    }
}
