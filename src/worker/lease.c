#include "worker/lease.h"

#include <assert.h>

#include "base/log.h"
#include "worker/dedup.h"

#define MARGIN_MS     1000 /* taken off a lease that began with a receive; at most a tenth of it */
#define CAP_MARGIN_MS 5000 /* SQS refuses what would pass 12 h by its own clock */
#define LOG_EVERY_MS  1000

static int64_t
lease_end(const struct message *m)
{
    return atomic_load_explicit(&m->lease_ms, memory_order_relaxed);
}

static void
set_lease(struct lease *l, struct message *m, int64_t lease_ms)
{
    atomic_store_explicit(&m->lease_ms, lease_ms, memory_order_relaxed);
    if (m->record != MESSAGE_NO_RECORD)
        ledger_set_lease(l->world->ledger, m->record, lease_ms);
}

int64_t
lease_longest_s(const struct message *m, int64_t now_ms)
{
    int64_t left_ms = m->received_ms + LEASE_LONGEST_MS - CAP_MARGIN_MS - now_ms;
    return left_ms > 0 ? left_ms / 1000 : 0;
}

/* A verdict that waits for those before it in its group is one. */
static bool
is_undecided(const struct message *m)
{
    bool waits = dedup_is_completing(m) || m->order.stage == ORDER_HELD;
    return (m->state == MESSAGE_QUEUED && !waits) || m->state == MESSAGE_KEPT;
}

/* Its handler has it: lease.max_s counts from then, or from its last receive if a call went on past the lease. 0: it
 * waits. */
static int64_t
held_since_ms(const struct message *m)
{
    int64_t begun_ms = atomic_load_explicit(&m->begun_ms, memory_order_relaxed);
    return begun_ms > 0 && begun_ms < m->received_ms ? m->received_ms : begun_ms;
}

/* As lease_longest_s, with lease.max_s. */
static int64_t
longest_extension_s(const struct lease *l, const struct message *m, int64_t now_ms)
{
    int64_t since_ms = held_since_ms(m), longest_s = lease_longest_s(m, now_ms);
    if (since_ms == 0 || !is_undecided(m))
        return longest_s;
    int64_t left_ms = since_ms + l->max_ms - now_ms;
    int64_t left_s = left_ms > 0 ? left_ms / 1000 : 0;
    return left_s < longest_s ? left_s : longest_s;
}

/* What to ask for in an extension sent now; 0: it would gain nothing. */
static int64_t
extension_s(const struct lease *l, const struct message *m, int64_t now_ms)
{
    int64_t ms = l->visibility_ms;
    if (m->wanted_until_ms - now_ms > ms)
        ms = m->wanted_until_ms - now_ms;
    int64_t s = (ms + 999) / 1000;
    int64_t longest_s = longest_extension_s(l, m, now_ms);
    if (s > longest_s)
        s = longest_s;
    return now_ms + s * 1000 > lease_end(m) ? s : 0;
}

/* ---- when something is to be done ---- */

static void
set_next(struct lease *l)
{
    int64_t earliest_ms = timers_next_ms(&l->due, 0);
    if (earliest_ms < 0)
        timers_cancel(l->world->timers, &l->next);
    else if (!timer_is_set(&l->next) || l->next.due_ms != earliest_ms)
        timers_set(l->world->timers, &l->next, earliest_ms);
}

static int64_t
refresh_at(const struct lease *l, const struct message *m)
{
    int64_t at_ms = lease_end(m) - l->visibility_ms / 2;
    return m->wanted_until_ms > lease_end(m) ? 0 : at_ms;
}

/* Sets m's timer for its refresh, or for the end of its lease when no refresh is to come. */
static int
watch(struct lease *l, struct message *m, int64_t now_ms)
{
    int64_t at_ms = lease_end(m);
    bool refreshes =
        !m->lease_stopped && !outbox_holds(&l->box, &m->extending) && longest_extension_s(l, m, lease_end(m)) > 0;
    if (refreshes && refresh_at(l, m) < at_ms)
        at_ms = refresh_at(l, m);
    if (at_ms < now_ms)
        at_ms = now_ms;
    int rc = timers_set(&l->due, &m->lease_timer, at_ms);
    set_next(l);
    return rc;
}

static void
lose(struct lease *l, struct message *m, int64_t now_ms, const char *why)
{
    timers_cancel(&l->due, &m->lease_timer);
    outbox_remove(&l->box, &m->extending);
    set_next(l);
    if (lease_end(m) > now_ms)
        set_lease(l, m, now_ms);
    atomic_store_explicit(&m->lost, true, memory_order_relaxed);
    log_write_limited(LOG_WARN, LOG_EVERY_MS, "lease lost", LOG_SLICE("id", m->id),
                      LOG_INT("receive_count", m->receive_count), LOG_INT("held_ms", now_ms - m->received_ms),
                      LOG_STR("reason", why));
    l->watcher.lost(l->watcher.context, m, now_ms);
}

static void
message_due(struct timer *t, int64_t horizon_ms)
{
    struct message *m = (struct message *)((char *)t - offsetof(struct message, lease_timer));
    struct lease *l = m->lease;
    (void)horizon_ms;
    if (l->now_ms >= lease_end(m)) {
        bool held_too_long = l->max_ms < LEASE_LONGEST_MS && lease_longest_s(m, l->now_ms) > 0 &&
                             longest_extension_s(l, m, l->now_ms) == 0;
        WORLD_COUNT(l->world, held_too_long, held_too_long);
        lose(l, m, l->now_ms,
             held_too_long ? "its handler holds it for longer than lease.max_s" : "the visibility timeout ran out");
        return;
    }
    if (!m->lease_stopped && !outbox_holds(&l->box, &m->extending) && extension_s(l, m, l->now_ms) > 0)
        outbox_add(&l->box, &m->extending, l->now_ms);
    if (!timer_is_set(t))
        timers_set(&l->due, t, lease_end(m));
}

/* Fires what is due, and with it what is due soon: one call for both. */
static void
run(struct timer *t, int64_t now_ms)
{
    struct lease *l = (struct lease *)((char *)t - offsetof(struct lease, next));
    l->now_ms = now_ms;
    timers_run(&l->due, now_ms + l->visibility_ms / 20);
    set_next(l);
}

/* ---- extensions ---- */

static struct lease *
lease_of(struct outbox *b)
{
    return (struct lease *)((char *)b - offsetof(struct lease, box));
}

static int
send_extensions(struct outbox_call *c, struct err *e)
{
    struct lease *l = lease_of(c->box);
    struct queue *q = l->world->queue;
    struct sqs_visibility entries[SQS_BATCH_MAX];
    int64_t now_ms = l->world->clock_ms();
    for (size_t i = 0; i < c->n; i++) {
        struct message *m = c->entries[i]->message;
        m->extension_s = (uint32_t)extension_s(l, m, now_ms);
        entries[i] = (struct sqs_visibility){.receipt_handle = m->receipt_handle, .timeout_s = m->extension_s};
    }
    return q->ops->change_visibility(q, entries, c->n, outbox_answered, c, e);
}

/* Extending by nothing would give the message away. */
static bool
extension_wanted(struct outbox *b, struct outbox_entry *x, int64_t now_ms)
{
    return extension_s(lease_of(b), x->message, now_ms) > 0;
}

static enum outbox_next
try_again(struct lease *l, struct message *m, int64_t now_ms)
{
    WORLD_COUNT(l->world, extend_errors, 1);
    if (now_ms < lease_end(m))
        return OUTBOX_AGAIN;
    lose(l, m, now_ms, "its extension was not confirmed in time");
    return OUTBOX_OVER;
}

static enum outbox_next
extension_finished(struct outbox *b, struct outbox_entry *x, const struct outbox_outcome *o, int64_t now_ms)
{
    struct lease *l = lease_of(b);
    struct message *m = x->message;
    if (m->lease_stopped) {
        if (o->ok && !o->stale)
            set_lease(l, m, o->sent_ms + m->extension_s * INT64_C(1000));
        watch(l, m, now_ms);
        l->watcher.quiet(l->watcher.context, m, now_ms);
        return OUTBOX_OVER;
    }
    if (o->stale) {
        watch(l, m, now_ms);
        return OUTBOX_OVER;
    }
    if (!o->ok && !o->at_fault)
        return try_again(l, m, now_ms);
    if (!o->ok) {
        WORLD_COUNT(l->world, extend_errors, 1);
        lose(l, m, now_ms, o->code);
        return OUTBOX_OVER;
    }
    WORLD_COUNT(l->world, extended, 1);
    set_lease(l, m, o->sent_ms + m->extension_s * INT64_C(1000));
    watch(l, m, now_ms);
    l->watcher.extended(l->watcher.context, m, now_ms);
    return OUTBOX_OVER;
}

/* Shorter pauses than other calls: the lease is running out. */
static const struct backoff_policy PAUSE = {.base_ms = 250, .cap_ms = 3000, .floor_ms = 50};

static const struct outbox_ops EXTENSIONS = {.name = "extend leases",
                                             .at = "queue",
                                             .permission = "sqs:ChangeMessageVisibility",
                                             .pause = &PAUSE,
                                             .linger_ms = 20, /* those that fall due together go out together */
                                             .max_calls = 16,
                                             .send = send_extensions,
                                             .finished = extension_finished,
                                             .wanted = extension_wanted};

/* ---- the owner's side ---- */

void
lease_init(struct lease *l, struct world *w, int max_s, const struct lease_watcher *watcher)
{
    *l =
        (struct lease){.world = w, .watcher = *watcher, .max_ms = max_s > 0 ? max_s * INT64_C(1000) : LEASE_LONGEST_MS};
    timers_init(&l->due);
    l->next.fire = run;
    outbox_init(&l->box, &EXTENSIONS, w);
}

void
lease_clean_up(struct lease *l)
{
    outbox_clean_up(&l->box);
    timers_cancel(l->world->timers, &l->next);
    timers_clean_up(&l->due);
}

void
lease_set_visibility(struct lease *l, int visibility_s)
{
    assert(visibility_s >= 1);
    l->visibility_ms = visibility_s * INT64_C(1000);
}

int
lease_begin(struct lease *l, struct message *m, int64_t began_ms)
{
    int64_t margin_ms = l->visibility_ms / 10 < MARGIN_MS ? l->visibility_ms / 10 : MARGIN_MS;
    m->lease = l;
    m->lease_timer.fire = message_due;
    atomic_store_explicit(&m->lost, false, memory_order_relaxed);
    set_lease(l, m, began_ms + l->visibility_ms - margin_ms);
    return watch(l, m, began_ms);
}

bool
lease_stop(struct lease *l, struct message *m)
{
    m->lease_stopped = true;
    if (outbox_is_sending(&l->box, &m->extending))
        return true;
    outbox_remove(&l->box, &m->extending);
    if (timer_is_set(&m->lease_timer)) {
        timers_set(&l->due, &m->lease_timer, lease_end(m));
        set_next(l);
    }
    return false;
}

void
lease_decided(struct lease *l, struct message *m, int64_t now_ms)
{
    if (l->max_ms < LEASE_LONGEST_MS && !m->lease_stopped && timer_is_set(&m->lease_timer))
        watch(l, m, now_ms);
}

void
lease_waits(struct lease *l, struct message *m, int64_t now_ms)
{
    atomic_store_explicit(&m->begun_ms, 0, memory_order_relaxed);
    lease_decided(l, m, now_ms);
}

void
lease_remove(struct lease *l, struct message *m)
{
    outbox_remove(&l->box, &m->extending);
    timers_cancel(&l->due, &m->lease_timer);
    set_next(l);
}

void
lease_reach(struct lease *l, struct message *m, int64_t until_ms, int64_t now_ms)
{
    if (until_ms > m->wanted_until_ms)
        m->wanted_until_ms = until_ms;
    if (m->lease_stopped || !timer_is_set(&m->lease_timer) || until_ms <= lease_end(m) ||
        outbox_holds(&l->box, &m->extending) || extension_s(l, m, now_ms) == 0)
        return;
    outbox_add(&l->box, &m->extending, now_ms);
    timers_set(&l->due, &m->lease_timer, lease_end(m));
    set_next(l);
}
