#include <stdio.h>

#include "base/log.h"
#include "worker/engine_impl.h"

#define GAUGES_MS     1000
#define TELL_AGAIN_MS 1000
#define GAUGES_MOST   10000 /* messages looked at for a gauge */

void
engine_set_health(struct engine *g, enum ipc_health health, const char *why)
{
    g->health_known = true;
    if (health != g->health)
        snprintf(g->health_text, sizeof g->health_text, "%s", why);
    g->health = health;
}

/* The permission that is missing for a call that was made, or NULL. */
static const char *
missing_permission(const struct engine *g)
{
    const struct outbox *const boxes[] = {&g->settle.deletes.box, &g->lease.box, &g->settle.releases.box,
                                          &g->settle.deadletters.box};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++)
        if (boxes[i]->denied)
            return boxes[i]->denied;
    return publish_missing_permission(&g->publish);
}

void
engine_tell_health(struct engine *g, int64_t now_ms)
{
    if (!g->health_known || now_ms < g->tell_due_ms)
        return;
    const char *missing = g->health == IPC_HEALTH_OK ? missing_permission(g) : NULL;
    const char *dedup = g->health == IPC_HEALTH_OK && !missing ? dedup_failure(&g->dedup, now_ms) : NULL;
    bool waits = g->health == IPC_HEALTH_OK && !missing && !dedup && g->pressure.breaker.state != BREAKER_CLOSED;
    enum ipc_health health = missing ? IPC_HEALTH_PERMISSION
                             : dedup ? IPC_HEALTH_DEDUP
                             : waits ? IPC_HEALTH_HANDLER
                                     : g->health;
    if (g->health_told && g->told == health)
        return;
    char text[300];
    if (waits)
        snprintf(text, sizeof text, "the breaker is open: %s", g->pressure.reason);
    else
        snprintf(text, sizeof text, "%s is denied", missing ? missing : "");
    const char *why = missing || waits ? text : dedup ? dedup : g->health_text;
    if (g->options.health(g->options.context, health, why) != 0) {
        g->tell_due_ms = now_ms + TELL_AGAIN_MS;
        return;
    }
    g->health_told = true;
    g->told = health;
}

void
engine_update_gauges(struct engine *g, int64_t now_ms)
{
    struct metrics *c = g->world.metrics;
    METRICS_SET(c, in_flight, (int64_t)g->in_hand.count);
    METRICS_SET(c, held, (int64_t)g->pressure.kept);
    METRICS_SET(c, breaker_state, (int64_t)g->pressure.breaker.state);
    if (now_ms < g->gauges_due_ms)
        return;
    g->gauges_due_ms = now_ms + GAUGES_MS;
    int64_t oldest_ms = 0;
    size_t n = 0;
    for (const struct message *m = g->in_hand.oldest; m && n < GAUGES_MOST; m = m->next, n++)
        if (oldest_ms == 0 || m->view.sent_at_ms < oldest_ms)
            oldest_ms = m->view.sent_at_ms;
    METRICS_SET(c, oldest_sent_at_ms, oldest_ms);
}

/* In a word: what it is, or what it waits for. */
static const char *
name_of_state(const struct message *m)
{
    static const char *const GATES[ENGINE_GATES] = {"waits for its group", "being screened",
                                                    "waits for its event's twin", "waits for the breaker or the rate",
                                                    "waits for its group"};
    static const char *const STATES[] = {[MESSAGE_PUBLISHING] = "being published",
                                         [MESSAGE_DONE] = "being deleted",
                                         [MESSAGE_RETRY] = "being given back",
                                         [MESSAGE_REJECT] = "being moved to the dead-letter queue",
                                         [MESSAGE_OVER] = "over"};
    if (m->state == MESSAGE_KEPT)
        return GATES[m->gate];
    if (m->state != MESSAGE_QUEUED)
        return STATES[m->state];
    return atomic_load_explicit(&m->begun_ms, memory_order_relaxed) != 0 ? "inside its handler" : "waits for a thread";
}

void
engine_dump(const struct engine *g, int64_t now_ms)
{
    log_write(LOG_INFO, "state", LOG_STR("queue", g->world.queue->url ? g->world.queue->url : g->options.queue),
              LOG_INT("cap", g->cap), LOG_INT("in_hand", g->in_hand.count), LOG_INT("reserved", g->poll.reserved),
              LOG_INT("receives", g->poll.outstanding), LOG_INT("receives_wanted", g->poll.target),
              LOG_INT("batches", g->batcher.out), LOG_BOOL("draining", g->draining),
              LOG_STR("breaker", breaker_state_name(g->pressure.breaker.state)), LOG_INT("kept", g->pressure.kept),
              LOG_INT("groups", g->order.n_groups), LOG_INT("in_pausing_groups", g->order.pausing));
    log_write(
        LOG_INFO, "state of settlements", LOG_INT("deletes_ready", g->settle.deletes.box.ready),
        LOG_INT("deletes_sent", g->settle.deletes.box.sent), LOG_INT("deletes_waiting", g->settle.deletes.box.waiting),
        LOG_INT("releases_ready", g->settle.releases.box.ready), LOG_INT("releases_sent", g->settle.releases.box.sent),
        LOG_INT("releases_waiting", g->settle.releases.box.waiting),
        LOG_INT("dead_letters_ready", g->settle.deadletters.box.ready),
        LOG_INT("dead_letters_sent", g->settle.deadletters.box.sent),
        LOG_INT("dead_letters_waiting", g->settle.deadletters.box.waiting),
        LOG_INT("extensions_sent", g->lease.box.sent), LOG_INT("done_ids", g->settle.deletes.unconfirmed.count));
    if (g->options.outlet) {
        size_t ready, sent, waiting;
        publish_count(&g->publish, &ready, &sent, &waiting);
        log_write(LOG_INFO, "state of what is published", LOG_INT("ready", ready), LOG_INT("sent", sent),
                  LOG_INT("waiting", waiting), LOG_INT("targets", g->publish.n_boxes));
    }
    size_t n = 0;
    for (const struct message *m = g->in_hand.oldest; m && n < 10; m = m->next, n++)
        log_write(LOG_INFO, "state of a message", LOG_SLICE("id", m->id), LOG_STR("state", name_of_state(m)),
                  LOG_SLICE("group", m->group), LOG_INT("receive_count", m->receive_count),
                  LOG_INT("held_ms", now_ms - m->received_ms),
                  LOG_INT("lease_left_ms", message_lease_left_ms(m, now_ms)));
}
