/* What follows a failure: another try, or a dead letter; and the receives that were no attempts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "worker/engine_impl.h"

#define LOG_EVERY_MS 1000

/* Replaces the reason by one that says why this was the last try. Without memory there is none. */
static void
give_reason(const struct engine *g, struct message *m)
{
    char text[MESSAGE_REASON_BYTES];
    const char *last = m->verdict.reason && *m->verdict.reason ? m->verdict.reason : "no reason given";
    if (m->verdict.dead == DEAD_ATTEMPTS)
        snprintf(text, sizeof text, "failed %u times, as often as retry.max_attempts allows; last: %s",
                 (unsigned)m->attempts, last);
    else if (m->receive_count < g->world.queue->max_receive_count)
        snprintf(text, sizeof text, "failed %u times, as often as the queue's maxReceiveCount allows; last: %s",
                 (unsigned)m->attempts, last);
    else
        snprintf(text, sizeof text, "failed at receive %u, the last that the queue's maxReceiveCount allows; last: %s",
                 (unsigned)m->receive_count, last);
    free(m->verdict.reason);
    m->verdict.reason = message_copy_reason(text); /* ends at a whole character */
}

static void
become_dead_letter(struct engine *g, struct message *m, enum dead_reason why)
{
    WORLD_COUNT(&g->world, exhausted, 1);
    m->verdict.kind = VERDICT_DEAD_LETTER;
    m->verdict.dead = why;
    give_reason(g, m);
}

static void
leave_to_queue(struct engine *g, struct message *m)
{
    m->verdict.left = true;
    WORLD_COUNT(&g->world, left_to_queue, 1);
    if (attempts_note_left(&g->attempts, m->hash))
        return;
    WORLD_COUNT(&g->world, exhausted, 1);
    log_write_limited(LOG_WARN, LOG_EVERY_MS,
                      "message failed as often as it may; left to the queue: retried until its RedrivePolicy takes it",
                      LOG_SLICE("id", m->id), LOG_INT("attempts", m->attempts),
                      LOG_INT("receive_count", m->receive_count),
                      LOG_INT("max_receive_count", g->world.queue->max_receive_count),
                      LOG_STR("reason", m->verdict.reason ? m->verdict.reason : ""));
}

/* Where there is no dead-letter queue to move it to, SQS's silent move is better than none. */
static uint32_t
receives_at_most(const struct engine *g)
{
    const struct queue *q = g->world.queue;
    return q->dead_letter_url ? q->max_receive_count : 0;
}

static void
judge_failure(struct engine *g, struct message *m)
{
    /* A handler that broke off because the worker stops has not used up an attempt; only SQS's count is final then. And
     * another try here needs no receive: what was received only to be given back again has not used up its tries. */
    uint32_t attempts = g->draining ? 0 : m->attempts;
    uint32_t receives = engine_order_tries_here(g, m) ? attempts : m->receive_count;
    switch (retry_judge(&g->options.retry, attempts, receives, receives_at_most(g))) {
    case RETRY_AGAIN:
        break;
    case RETRY_NO_ATTEMPTS:
        become_dead_letter(g, m, DEAD_ATTEMPTS);
        break;
    case RETRY_NO_RECEIVES:
        become_dead_letter(g, m, DEAD_RECEIVES);
        break;
    case RETRY_LEAVE:
        leave_to_queue(g, m);
        break;
    }
}

/* A person may have given it a dead-letter queue, or changed its maxReceiveCount, since. */
static void
look_again_at_the_queue(struct engine *g, const struct message *m)
{
    bool dies = m->verdict.kind == HANDLER_REJECT || m->verdict.kind == VERDICT_DEAD_LETTER;
    if (dies && (!g->world.queue->dead_letter_url || m->verdict.dead == DEAD_RECEIVES))
        discover_refresh(&g->discover);
}

void
engine_judge(struct engine *g, struct message *m)
{
    int32_t kind = m->verdict.kind;
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    m->attempted |= kind == HANDLER_DONE || kind == HANDLER_RETRY || kind == HANDLER_REJECT;
    if (kind == HANDLER_DONE)
        return;
    m->attempts = attempts_of(&g->attempts, m->hash, m->receive_count, m->local_failures);
    if (kind == VERDICT_DEAD_LETTER) /* a gate's: this receive is none */
        m->attempts--;
    if (kind == HANDLER_RETRY && !lost)
        judge_failure(g, m);
    look_again_at_the_queue(g, m);
}

void
engine_judge_receives(struct engine *g, struct message *m)
{
    uint32_t most = receives_at_most(g);
    if (m->verdict.kind != HANDLER_RETRY || m->verdict.left || most == 0 || m->receive_count < most ||
        atomic_load_explicit(&m->lost, memory_order_relaxed))
        return;
    become_dead_letter(g, m, DEAD_RECEIVES);
    look_again_at_the_queue(g, m);
}

void
engine_note_unused_receive(struct engine *g, const struct message *m)
{
    attempts_note_unused(&g->attempts, m->hash);
}

void
engine_note_end(struct engine *g, const struct message *m)
{
    uint32_t attempts = m->local_failures + m->attempted;
    if (m->state == MESSAGE_DONE)
        attempts_forget(&g->attempts, m->hash);
    else if (attempts == 0)
        attempts_note_unused(&g->attempts, m->hash);
    else if (attempts > 1)
        attempts_note_failed_here(&g->attempts, m->hash, attempts - 1);
}
