#include "worker/dedup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"

#define LOG_EVERY_MS   1000
#define ERROR_EVERY_MS 60000 /* what a person must mend, and does not pass by itself */
#define QUIET_MS       1000  /* a store that fails now and then is told about once a second */
#define IDLE_MS        60000 /* one that nobody asks any more counts as failing for so long */

enum entry_state {
    ENTRY_BEGINNING,  /* its message waits to be handled */
    ENTRY_HELD,       /* the event is in progress, for its message */
    ENTRY_COMPLETING, /* its message waits to be deleted */
    ENTRY_LEAVING,    /* it has no message any more */
};

/* An event, for one message. */
struct dedup_entry {
    LIST_ENTRY(dedup_entry) link;
    TAILQ_ENTRY(dedup_entry) place; /* in dedup->parked */
    struct timer again;
    struct dedup *dedup;
    struct message *message;
    enum entry_state state;
    bool busy;   /* op is with the store */
    bool held;   /* there is a record in progress until held_until_ms, for all we know */
    bool parked; /* waits for the store; while `again` is set, for another message */
    bool met_another;
    uint32_t tries;
    int64_t held_until_ms; /* wall */
    int64_t held_lease_ms; /* the lease that this is the end of: monotonic */
    int64_t asked_lease_ms;
    struct dedup_op op;
    char text[]; /* key, then owner */
};

#define NO_MEMORY_MS 1000
#define BURST_MOST   ((size_t)1 << 20)

static const struct backoff_policy BUSY = {.base_ms = 100, .cap_ms = 5000, .floor_ms = 50};
static const struct backoff_policy FAILED = {.base_ms = 250, .cap_ms = 15000, .floor_ms = 100};

/* ---- entries ---- */

static void wait_is_over(struct timer *t, int64_t now_ms);

static struct dedup_entry *
make_entry(struct dedup *d, struct message *m)
{
    dedup_key(m, d->options.consumer, d->options.by_body, &d->key);
    struct dedup_entry *x = buf_failed(&d->key) ? NULL : malloc(sizeof *x + d->key.len + m->id.n);
    if (!x)
        return NULL;
    *x = (struct dedup_entry){.dedup = d, .message = m, .again.fire = wait_is_over};
    memcpy(x->text, d->key.data, d->key.len);
    memcpy(x->text + d->key.len, m->id.p, m->id.n);
    x->op.key = slice_of(x->text, d->key.len);
    x->op.owner = slice_of(x->text + d->key.len, m->id.n);
    LIST_INSERT_HEAD(&d->entries, x, link);
    m->dedup = x;
    return x;
}

/* It is the message's until then; 0: there is nothing to know. */
static void
set_until(struct dedup_entry *x, int64_t until_ms)
{
    atomic_store_explicit(&x->message->event_until_ms, until_ms, memory_order_relaxed);
}

static void
leave_message(struct dedup_entry *x)
{
    set_until(x, 0);
    x->message->dedup = NULL;
    x->message = NULL;
}

static void
free_entry(struct dedup_entry *x)
{
    assert(!x->busy && !x->parked && !timer_is_set(&x->again));
    LIST_REMOVE(x, link);
    if (x->message)
        leave_message(x);
    free(x);
}

/* ---- waiting ---- */

/* Until the store has time for it. Either something is under way, whose end says when that is, or a timer is set. */
static void
park(struct dedup_entry *x)
{
    struct dedup *d = x->dedup;
    assert(!x->parked);
    x->parked = true;
    if (x->state == ENTRY_HELD) /* what it has expires */
        TAILQ_INSERT_HEAD(&d->parked, x, place);
    else
        TAILQ_INSERT_TAIL(&d->parked, x, place);
    if (d->under_way == 0 && !timer_is_set(&d->again))
        timers_set(d->world->timers, &d->again, d->world->clock_ms() + NO_MEMORY_MS);
}

static void
wait(struct dedup_entry *x, int64_t wait_ms, int64_t now_ms)
{
    if (timers_set(x->dedup->world->timers, &x->again, now_ms + wait_ms) != 0)
        park(x); /* no memory: something longer, then */
}

static void
wait_no_more(struct dedup_entry *x)
{
    timers_cancel(x->dedup->world->timers, &x->again);
    if (x->parked)
        TAILQ_REMOVE(&x->dedup->parked, x, place);
    x->parked = false;
}

/* Nobody waits for the store; or it fails, has had its pause, and this is the one that tries it. */
static bool
may_ask(const struct dedup *d)
{
    return TAILQ_EMPTY(&d->parked) && (!d->failing || (d->under_way == 0 && !timer_is_set(&d->again)));
}

/* ---- the store ---- */

static void operation_done(struct dedup_op *op);

static void
log_failure(const struct dedup *d)
{
    const struct err *error = &d->options.store->error;
    const char *what = d->options.handle_anyway ? "deduplication store failed; messages are handled without it"
                                                : "deduplication store failed; messages wait for it under lease";
    if (error->retryable)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, what, LOG_ERR(error));
    else
        log_write_limited(LOG_ERROR, ERROR_EVERY_MS, what, LOG_ERR(error));
}

/* After a failure the store has a pause, whoever waits for it; after a success those that wait go on. */
static void
note_outcome(struct dedup *d, const struct dedup_op *op)
{
    struct world *w = d->world;
    int64_t now_ms = w->clock_ms();
    if (op->code != 0) {
        d->failed_at_ms = now_ms;
        WORLD_COUNT(w, dedup_errors, 1);
        log_failure(d);
        if (!d->failing || !timer_is_set(&d->again))
            timers_set(w->timers, &d->again, now_ms + backoff_wait_ms(&FAILED, ++d->failures, &w->random));
        d->failing = true;
        if (d->burst > 1)
            d->burst /= 2;
        return;
    }
    if (d->failing)
        log_write_limited(LOG_INFO, LOG_EVERY_MS, "deduplication store works again");
    d->failing = false;
    d->failures = 0;
    if (!TAILQ_EMPTY(&d->parked))
        timers_set(w->timers, &d->again, now_ms);
}

/* True: it is answered. */
static bool
start(struct dedup_entry *x, enum dedup_kind kind, int64_t expires_ms)
{
    struct dedup *d = x->dedup;
    assert(!x->busy);
    x->op.kind = kind;
    x->op.now_ms = d->world->wall_ms();
    x->op.expires_ms = expires_ms;
    x->op.done = operation_done;
    x->op.code = 0;
    if (d->options.store->ops->start(d->options.store, &x->op)) {
        note_outcome(d, &x->op);
        return true;
    }
    x->busy = true;
    d->under_way++;
    return false;
}

static int64_t
lease_of(const struct dedup_entry *x)
{
    return atomic_load_explicit(&x->message->lease_ms, memory_order_relaxed);
}

/* Until the end of the message's lease. */
static bool
start_begin(struct dedup_entry *x)
{
    const struct world *w = x->dedup->world;
    x->asked_lease_ms = lease_of(x);
    return start(x, DEDUP_BEGIN, w->wall_ms() + x->asked_lease_ms - w->clock_ms());
}

static void
hold(struct dedup_entry *x)
{
    x->held = true;
    x->held_until_ms = x->op.expires_ms;
    x->held_lease_ms = x->asked_lease_ms;
    if (x->message)
        set_until(x, x->held_lease_ms);
}

/* ---- leaving ---- */

/* After whatever was under way: what is in progress is forgotten. */
static void
leave(struct dedup_entry *x)
{
    if (x->busy)
        return;
    bool held = x->held;
    x->held = false;
    if (!held || start(x, DEDUP_FORGET, x->held_until_ms))
        free_entry(x);
}

static void
detach(struct dedup_entry *x)
{
    wait_no_more(x);
    leave_message(x);
    x->state = ENTRY_LEAVING;
    leave(x);
}

/* ---- while it is in progress ---- */

static void
renewed(struct dedup_entry *x, int64_t now_ms)
{
    if (x->op.code != 0) {
        park(x);
        return;
    }
    if (x->op.found == DEDUP_FRESH) {
        hold(x);
        return;
    }
    x->held = false;
    set_until(x, now_ms);
    WORLD_COUNT(x->dedup->world, dedup_taken_over, 1);
    log_write_limited(LOG_WARN, LOG_EVERY_MS, "another message has begun the event of one that is in hand",
                      LOG_SLICE("id", x->message->id), LOG_SLICE("event", x->op.key));
}

static bool
is_outlived(const struct dedup_entry *x)
{
    return x->state == ENTRY_HELD && x->held && !x->busy && lease_of(x) > x->held_lease_ms;
}

/* The record lasts as long as the lease. */
static void
keep_up(struct dedup_entry *x, int64_t now_ms)
{
    while (is_outlived(x) && !x->parked) {
        if (!may_ask(x->dedup))
            park(x);
        else if (start_begin(x))
            renewed(x, now_ms);
    }
}

void
dedup_extended(struct dedup *d, struct message *m)
{
    if (m->dedup)
        keep_up(m->dedup, d->world->clock_ms());
}

/* ---- begin ---- */

static enum dedup_arrival
go_unguarded(struct dedup_entry *x)
{
    WORLD_COUNT(x->dedup->world, dedup_unguarded, 1);
    x->message->unguarded = true;
    free_entry(x);
    return DEDUP_GO;
}

static enum dedup_arrival
begin_failed(struct dedup_entry *x)
{
    if (x->dedup->options.handle_anyway)
        return go_unguarded(x);
    park(x);
    return DEDUP_WAIT;
}

/* One behind m, in its group, has begun an event, and cannot end it before m is handled: what m waits for might wait
 * for that one. */
static bool
is_waited_for(const struct message *m)
{
    for (const struct message *f = m->order.next; f; f = f->order.next)
        if (f->dedup && f->dedup->state == ENTRY_HELD)
            return true;
    return false;
}

static enum dedup_arrival
meet_another(struct dedup_entry *x, int64_t now_ms)
{
    struct world *w = x->dedup->world;
    if (is_waited_for(x->message))
        return go_unguarded(x);
    if (!x->met_another)
        WORLD_COUNT(w, dedup_waited, 1);
    x->met_another = true;
    int64_t wait_ms = backoff_wait_ms(&BUSY, ++x->tries, &w->random);
    int64_t left_ms = x->op.until_ms - w->wall_ms();
    wait(x, left_ms < wait_ms ? (left_ms > 0 ? left_ms : 0) : wait_ms, now_ms);
    return DEDUP_WAIT;
}

static enum dedup_arrival
begun(struct dedup_entry *x, int64_t now_ms)
{
    if (x->op.code != 0)
        return begin_failed(x);
    switch (x->op.found) {
    case DEDUP_COMPLETED:
        WORLD_COUNT(x->dedup->world, duplicates, 1);
        log_write(LOG_DEBUG, "event was handled before: its message is deleted", LOG_SLICE("id", x->message->id),
                  LOG_SLICE("event", x->op.key));
        free_entry(x);
        return DEDUP_DUPLICATE;
    case DEDUP_BUSY:
        return meet_another(x, now_ms);
    case DEDUP_FRESH:
        break;
    }
    x->state = ENTRY_HELD;
    x->tries = 0;
    hold(x);
    keep_up(x, now_ms);
    return DEDUP_GO;
}

static enum dedup_arrival
ask(struct dedup_entry *x, int64_t now_ms)
{
    return start_begin(x) ? begun(x, now_ms) : DEDUP_WAIT;
}

static enum dedup_arrival
begin(struct dedup_entry *x, int64_t now_ms)
{
    if (may_ask(x->dedup) || x->dedup->options.handle_anyway)
        return ask(x, now_ms);
    park(x);
    return DEDUP_WAIT;
}

/* What was begun for x's message is another's, or may be by now. */
static enum dedup_arrival
begin_anew(struct dedup_entry *x, int64_t now_ms)
{
    wait_no_more(x);
    x->held = false;
    x->state = ENTRY_BEGINNING;
    return x->busy ? DEDUP_WAIT : begin(x, now_ms);
}

enum dedup_arrival
dedup_arrive(struct dedup *d, struct message *m, int64_t now_ms)
{
    if (!d->options.store || m->unguarded || (m->dedup && !message_lost_event(m, now_ms)))
        return DEDUP_GO;
    if (m->dedup)
        return begin_anew(m->dedup, now_ms);
    struct dedup_entry *x = make_entry(d, m);
    return x ? begin(x, now_ms) : DEDUP_NO_MEMORY;
}

static void
tell(struct dedup *d, struct message *m, enum dedup_arrival arrival, int64_t now_ms)
{
    if (arrival == DEDUP_GO)
        d->options.pass(d->options.context, m, now_ms);
    else if (arrival == DEDUP_DUPLICATE)
        d->options.duplicate(d->options.context, m, now_ms);
}

/* ---- after the verdict ---- */

static void
completed(struct dedup_entry *x)
{
    struct dedup *d = x->dedup;
    if (x->op.code != 0) {
        WORLD_COUNT(d->world, dedup_uncompleted, 1);
        log_write_limited(LOG_WARN, LOG_EVERY_MS,
                          "handled, but its event could not be noted: another message with it would be handled, too",
                          LOG_SLICE("id", x->message->id), LOG_SLICE("event", x->op.key),
                          LOG_ERR(&d->options.store->error));
    }
    free_entry(x);
}

static bool
complete(struct dedup_entry *x)
{
    struct dedup *d = x->dedup;
    if (!start(x, DEDUP_COMPLETE, d->world->wall_ms() + d->options.window_ms))
        return false;
    completed(x);
    return true;
}

bool
dedup_is_completing_event(const struct message *m)
{
    return m->dedup->state == ENTRY_COMPLETING;
}

bool
dedup_settle_event(struct dedup *d, struct message *m)
{
    struct dedup_entry *x = m->dedup;
    (void)d;
    assert(x->state != ENTRY_COMPLETING);
    if (m->verdict.kind != HANDLER_DONE) {
        detach(x);
        return true;
    }
    wait_no_more(x);
    x->state = ENTRY_COMPLETING;
    return !x->busy && complete(x);
}

void
dedup_drop_event(struct dedup *d, struct message *m)
{
    (void)d;
    detach(m->dedup);
}

/* ---- what comes later ---- */

static void
operation_done(struct dedup_op *op)
{
    struct dedup_entry *x = (struct dedup_entry *)((char *)op - offsetof(struct dedup_entry, op));
    struct dedup *d = x->dedup;
    struct message *m = x->message;
    int64_t now_ms = d->world->clock_ms();
    x->busy = false;
    d->under_way--;
    note_outcome(d, op);
    switch (x->state) {
    case ENTRY_BEGINNING:
        tell(d, m, begun(x, now_ms), now_ms);
        break;
    case ENTRY_HELD:
        renewed(x, now_ms);
        keep_up(x, now_ms);
        break;
    case ENTRY_COMPLETING:
        if (op->kind == DEDUP_COMPLETE)
            completed(x);
        else if (!complete(x))
            break;
        d->options.settle(d->options.context, m, now_ms);
        break;
    case ENTRY_LEAVING:
        if (op->code == 0 && op->kind == DEDUP_BEGIN && op->found == DEDUP_FRESH)
            hold(x);
        leave(x);
        break;
    }
}

static void
wait_is_over(struct timer *t, int64_t now_ms)
{
    struct dedup_entry *x = (struct dedup_entry *)((char *)t - offsetof(struct dedup_entry, again));
    struct dedup *d = x->dedup;
    struct message *m = x->message;
    assert(x->state == ENTRY_BEGINNING && !x->busy);
    tell(d, m, begin(x, now_ms), now_ms); /* x may be no more */
}

/* x, which was parked, has its turn. */
static void
resume(struct dedup_entry *x, int64_t now_ms)
{
    struct dedup *d = x->dedup;
    struct message *m = x->message;
    if (x->state == ENTRY_BEGINNING)
        tell(d, m, ask(x, now_ms), now_ms);
    else if (is_outlived(x) && start_begin(x))
        renewed(x, now_ms);
}

/* The store has had its pause: one tries it. Or one has succeeded: others do, fewer the more have failed lately. */
static void
go_on(struct timer *t, int64_t now_ms)
{
    struct dedup *d = (struct dedup *)((char *)t - offsetof(struct dedup, again));
    if (d->failing && d->under_way > 0)
        return; /* its end says how to go on */
    size_t n = d->failing ? 1 : d->burst;
    if (!d->failing && d->burst < BURST_MOST)
        d->burst *= 2;
    bool failed = d->failing;
    for (; n > 0 && !TAILQ_EMPTY(&d->parked) && d->failing <= failed; n--) {
        struct dedup_entry *x = TAILQ_FIRST(&d->parked);
        wait_no_more(x);
        resume(x, now_ms);
    }
    if (!TAILQ_EMPTY(&d->parked) && d->under_way == 0 && !timer_is_set(&d->again))
        timers_set(d->world->timers, &d->again, now_ms);
}

const char *
dedup_failure(const struct dedup *d, int64_t now_ms)
{
    int64_t ago_ms = d->failed_at_ms != 0 ? now_ms - d->failed_at_ms : INT64_MAX;
    bool fails = ago_ms < QUIET_MS || (d->failing && (ago_ms < IDLE_MS || !TAILQ_EMPTY(&d->parked)));
    return fails ? d->options.store->error.text : NULL;
}

/* ---- life ---- */

int
dedup_init(struct dedup *d, struct world *w, const struct dedup_options *options, struct err *e)
{
    *d = (struct dedup){.world = w, .options = *options};
    d->again.fire = go_on;
    d->burst = BURST_MOST;
    TAILQ_INIT(&d->parked);
    LIST_INIT(&d->entries);
    if (!options->store || timers_reserve(w->timers, &d->again) == 0)
        return 0;
    dedup_clean_up(d);
    return err_no_memory(e);
}

static void
free_all(struct dedup *d)
{
    struct dedup_entry *next;
    for (struct dedup_entry *x = LIST_FIRST(&d->entries); x; x = next) {
        next = LIST_NEXT(x, link);
        timers_cancel(d->world->timers, &x->again);
        if (x->message)
            leave_message(x);
        free(x);
    }
    LIST_INIT(&d->entries);
    TAILQ_INIT(&d->parked);
}

void
dedup_clean_up(struct dedup *d)
{
    if (!d->options.store)
        return;
    d->options.store->ops->destroy(d->options.store);
    d->options.store = NULL;
    timers_cancel(d->world->timers, &d->again);
    free_all(d);
    buf_clean_up(&d->key);
}
