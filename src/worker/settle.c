#include "worker/settle.h"

#include <assert.h>

#include "base/log.h"

#define LOG_EVERY_MS 1000

static void
set_state(struct settle *s, struct message *m, enum message_state state, enum ledger_state ledger_state)
{
    m->state = state;
    if (m->record != MESSAGE_NO_RECORD)
        ledger_set_state(s->world->ledger, m->record, ledger_state, -1);
    if (s->options.settling)
        s->options.settling(s->options.context, m);
}

static void
finish(void *context, struct message *m, int64_t now_ms)
{
    struct settle *s = context;
    s->options.over(s->options.context, m, now_ms);
}

/* ---- done ---- */

static void
delete_message(struct settle *s, struct message *m, int64_t now_ms)
{
    set_state(s, m, MESSAGE_DONE, LEDGER_DONE);
    lease_decided(s->lease, m, now_ms);
    deletes_add(&s->deletes, m, now_ms);
}

bool
settle_again(struct settle *s, struct message *m, int64_t now_ms)
{
    if (!deletes_knows(&s->deletes, m))
        return false;
    WORLD_COUNT(s->world, redelivered, 1);
    delete_message(s, m, now_ms);
    return true;
}

/* ---- retry ---- */

int64_t
settle_retry_delay_ms(struct settle *s, const struct message *m)
{
    int64_t asked_ms = m->verdict.kind == HANDLER_RETRY ? m->verdict.delay_ms : -1;
    /* What no handler ever sees has no attempts, but comes back all the same. */
    uint32_t times = m->verdict.kind == VERDICT_DEAD_LETTER ? m->receive_count : m->attempts;
    return retry_delay_ms(s->options.retry, times, asked_ms, &s->world->random);
}

/* Gives m back after wait_ms: whole seconds are what SQS knows, so it is rounded up. */
static void
release(struct settle *s, struct message *m, int64_t wait_ms, int64_t now_ms)
{
    int64_t delay_s = (wait_ms + 999) / 1000;
    int64_t longest_s = lease_longest_s(m, now_ms);
    m->release_s = (uint32_t)(delay_s < longest_s ? delay_s : longest_s);
    set_state(s, m, MESSAGE_RETRY, LEDGER_RETRY);
    if (!lease_stop(s->lease, m))
        releases_add(&s->releases, m, now_ms);
}

static void
retry(struct settle *s, struct message *m, int64_t now_ms)
{
    WORLD_COUNT(s->world, retried, 1);
    release(s, m, settle_retry_delay_ms(s, m), now_ms);
    if (m->verdict.reason)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "message will be retried", LOG_SLICE("id", m->id),
                          LOG_INT("attempts", m->attempts), LOG_INT("receive_count", m->receive_count),
                          LOG_INT("delay_s", m->release_s), LOG_STR("reason", m->verdict.reason));
    else
        log_write(LOG_DEBUG, "message will be retried", LOG_SLICE("id", m->id), LOG_INT("attempts", m->attempts),
                  LOG_INT("receive_count", m->receive_count), LOG_INT("delay_s", m->release_s));
}

void
settle_quiet(struct settle *s, struct message *m, int64_t now_ms)
{
    if (m->state == MESSAGE_RETRY)
        releases_add(&s->releases, m, now_ms);
}

/* ---- reject ---- */

static void
moved(void *context, struct message *m, int64_t now_ms)
{
    struct settle *s = context;
    m->dead_lettered = true;
    delete_message(s, m, now_ms);
}

static void
refused(void *context, struct message *m, int64_t now_ms)
{
    struct settle *s = context;
    release(s, m, settle_retry_delay_ms(s, m), now_ms);
}

static void
gone(void *context)
{
    struct settle *s = context;
    s->options.dead_letters_gone(s->options.context);
}

static void
dead_letter(struct settle *s, struct message *m, int64_t now_ms)
{
    if (s->world->queue->dead_letter_url) {
        set_state(s, m, MESSAGE_REJECT, LEDGER_REJECT);
        lease_decided(s->lease, m, now_ms);
        deadletters_add(&s->deadletters, m, now_ms);
        return;
    }
    log_write_limited(LOG_ERROR, LOG_EVERY_MS,
                      "a message is to be a dead letter, but the queue has no dead-letter queue: retried; give it a "
                      "RedrivePolicy, or "
                      "set dead_letter.queue",
                      LOG_SLICE("id", m->id), LOG_INT("receive_count", m->receive_count),
                      LOG_STR("reason", m->verdict.reason ? m->verdict.reason : ""));
    release(s, m, settle_retry_delay_ms(s, m), now_ms);
}

/* ---- all of them ---- */

/* A verdict about a message that is no longer ours. */
static void
settle_too_late(struct settle *s, struct message *m, int64_t now_ms)
{
    if (m->verdict.kind == HANDLER_DONE) {
        WORLD_COUNT(s->world, done, 1);
        delete_message(s, m, now_ms);
    } else {
        finish(s, m, now_ms);
    }
}

void
settle_verdict(struct settle *s, struct message *m, int64_t now_ms)
{
    assert(m->state == MESSAGE_QUEUED);
    if (atomic_load_explicit(&m->lost, memory_order_relaxed)) {
        settle_too_late(s, m, now_ms);
        return;
    }
    int32_t kind = m->verdict.kind;
    switch (kind) {
    case HANDLER_DONE:
        WORLD_COUNT(s->world, done, 1);
        delete_message(s, m, now_ms);
        break;
    case HANDLER_REJECT:
        WORLD_COUNT(s->world, rejected, 1);
        dead_letter(s, m, now_ms);
        break;
    case VERDICT_DEAD_LETTER:
        dead_letter(s, m, now_ms);
        break;
    case VERDICT_FILTERED:
    case VERDICT_DUPLICATE:
        delete_message(s, m, now_ms);
        break;
    case VERDICT_LEFT:
        release(s, m, m->verdict.delay_ms, now_ms);
        break;
    case VERDICT_GIVE_BACK:
        m->given_back = true;
        release(s, m, 0, now_ms);
        break;
    default: /* HANDLER_RETRY; VERDICT_LATER; VERDICT_LOST: it was received again after its handler had been told */
        retry(s, m, now_ms);
        break;
    }
}

void
settle_receipt(struct settle *s, struct message *m, int64_t now_ms)
{
    if (m->state == MESSAGE_DONE)
        WORLD_COUNT(s->world, redelivered, 1);
    settle_hurry(s, m, now_ms);
}

void
settle_hurry(struct settle *s, struct message *m, int64_t now_ms)
{
    outbox_hurry(&s->deletes.box, &m->settling, now_ms);
    outbox_hurry(&s->releases.box, &m->settling, now_ms);
    outbox_hurry(&s->deadletters.box, &m->settling, now_ms);
}

void
settle_lost(struct settle *s, struct message *m, int64_t now_ms)
{
    switch (m->state) {
    case MESSAGE_DONE:
        deletes_lost(&s->deletes, m, now_ms);
        break;
    case MESSAGE_RETRY:
        releases_lost(&s->releases, m, now_ms);
        break;
    case MESSAGE_REJECT:
        WORLD_COUNT(s->world, lost, 1);
        deadletters_lost(&s->deadletters, m, now_ms);
        break;
    case MESSAGE_QUEUED:
    case MESSAGE_KEPT:
    case MESSAGE_PUBLISHING:
    case MESSAGE_OVER:
        assert(!"only settled messages are settled's");
    }
}

void
settle_extended(struct settle *s, struct message *m, int64_t now_ms)
{
    if (m->state == MESSAGE_REJECT)
        deadletters_extended(&s->deadletters, m, now_ms);
}

int
settle_init(struct settle *s, struct world *w, struct lease *lease, const struct settle_options *options, struct err *e)
{
    *s = (struct settle){.world = w, .lease = lease, .options = *options};
    int rc = deletes_init(&s->deletes, w, finish, s, e);
    if (rc != 0)
        return rc;
    releases_init(&s->releases, w, finish, s);
    const struct deadletters_options dead = {.sender = {options->consumer, options->handler, options->host},
                                             .moved = moved,
                                             .refused = refused,
                                             .gone = gone,
                                             .over = finish,
                                             .context = s};
    deadletters_init(&s->deadletters, w, lease, &dead);
    return 0;
}

void
settle_clean_up(struct settle *s)
{
    deadletters_clean_up(&s->deadletters);
    releases_clean_up(&s->releases);
    deletes_clean_up(&s->deletes);
}

void
settle_drain(struct settle *s, int64_t now_ms)
{
    outbox_drain(&s->deletes.box, now_ms);
    outbox_drain(&s->releases.box, now_ms);
    outbox_drain(&s->deadletters.box, now_ms);
}
