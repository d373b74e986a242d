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
    struct dedup *dedup;
    struct message *message;
    enum entry_state state;
    bool busy;    /* op is with the store */
    bool held;    /* there is a record in progress until held_until_ms, for all we know */
    bool waiting; /* in dedup->waiting, until due_ms */
    bool met_another;
    uint32_t tries;
    int64_t due_ms;        /* monotonic */
    int64_t held_until_ms; /* wall */
    int64_t held_lease_ms; /* the lease that this is the end of: monotonic */
    int64_t asked_lease_ms;
    struct dedup_op op;
    char text[]; /* key, then owner */
};

static const struct backoff_policy BUSY = {.base_ms = 100, .cap_ms = 5000, .floor_ms = 50};
static const struct backoff_policy FAILED = {.base_ms = 250, .cap_ms = 15000, .floor_ms = 100};

/* ---- entries ---- */

static struct dedup_entry *
make_entry(struct dedup *d, struct message *m)
{
    dedup_key(m, d->options.consumer, d->options.by_body, &d->key);
    struct dedup_entry *x = buf_failed(&d->key) ? NULL : malloc(sizeof *x + d->key.len + m->id.n);
    if (!x)
        return NULL;
    *x = (struct dedup_entry){.dedup = d, .message = m};
    memcpy(x->text, d->key.data, d->key.len);
    memcpy(x->text + d->key.len, m->id.p, m->id.n);
    x->op.key = slice_of(x->text, d->key.len);
    x->op.owner = slice_of(x->text + d->key.len, m->id.n);
    LIST_INSERT_HEAD(&d->entries, x, link);
    m->dedup = x;
    return x;
}

static void
free_entry(struct dedup_entry *x)
{
    assert(!x->busy);
    LIST_REMOVE(x, link);
    if (x->message)
        x->message->dedup = NULL;
    free(x);
}

static void
wait(struct dedup_entry *x, int64_t wait_ms, int64_t now_ms)
{
    struct dedup *d = x->dedup;
    LIST_REMOVE(x, link);
    LIST_INSERT_HEAD(&d->waiting, x, link);
    x->waiting = true;
    x->due_ms = now_ms + wait_ms;
    if (!timer_is_set(&d->again) || d->again.due_ms > x->due_ms)
        timers_set(d->world->timers, &d->again, x->due_ms);
}

static void
wait_no_more(struct dedup_entry *x)
{
    if (!x->waiting)
        return;
    x->waiting = false;
    LIST_REMOVE(x, link);
    LIST_INSERT_HEAD(&x->dedup->entries, x, link);
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

static void
note_outcome(struct dedup *d, const struct dedup_op *op)
{
    if (op->code != 0) {
        d->failed_at_ms = d->world->clock_ms();
        WORLD_COUNT(d->world, dedup_errors, 1);
        log_failure(d);
    } else if (d->failing) {
        log_write_limited(LOG_INFO, LOG_EVERY_MS, "deduplication store works again");
    }
    d->failing = op->code != 0;
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
    x->message->dedup = NULL;
    x->message = NULL;
    x->state = ENTRY_LEAVING;
    leave(x);
}

/* ---- while it is in progress ---- */

static void
renewed(struct dedup_entry *x, int64_t now_ms)
{
    if (x->op.code != 0) {
        wait(x, backoff_wait_ms(&FAILED, ++x->tries, &x->dedup->world->random), now_ms);
        return;
    }
    x->tries = 0;
    if (x->op.found == DEDUP_FRESH) {
        hold(x);
        return;
    }
    x->held = false;
    WORLD_COUNT(x->dedup->world, dedup_taken_over, 1);
    log_write_limited(LOG_WARN, LOG_EVERY_MS, "another message has begun the event that is being handled",
                      LOG_SLICE("id", x->message->id), LOG_SLICE("event", x->op.key));
}

/* The record lasts as long as the lease. */
static void
keep_up(struct dedup_entry *x, int64_t now_ms)
{
    while (x->state == ENTRY_HELD && x->held && !x->busy && !x->waiting && lease_of(x) > x->held_lease_ms)
        if (start_begin(x))
            renewed(x, now_ms);
}

void
dedup_extended(struct dedup *d, struct message *m)
{
    if (m->dedup)
        keep_up(m->dedup, d->world->clock_ms());
}

/* ---- begin ---- */

static enum dedup_arrival
begin_failed(struct dedup_entry *x, int64_t now_ms)
{
    struct dedup *d = x->dedup;
    if (!d->options.handle_anyway) {
        wait(x, backoff_wait_ms(&FAILED, ++x->tries, &d->world->random), now_ms);
        return DEDUP_WAIT;
    }
    WORLD_COUNT(d->world, dedup_unguarded, 1);
    x->message->unguarded = true;
    free_entry(x);
    return DEDUP_GO;
}

static enum dedup_arrival
meet_another(struct dedup_entry *x, int64_t now_ms)
{
    struct world *w = x->dedup->world;
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
        return begin_failed(x, now_ms);
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
begin(struct dedup_entry *x, int64_t now_ms)
{
    return start_begin(x) ? begun(x, now_ms) : DEDUP_WAIT;
}

enum dedup_arrival
dedup_arrive(struct dedup *d, struct message *m, int64_t now_ms)
{
    if (!d->options.store || m->dedup || m->unguarded)
        return DEDUP_GO;
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
try_again(struct timer *t, int64_t now_ms)
{
    struct dedup *d = (struct dedup *)((char *)t - offsetof(struct dedup, again));
    struct dedup_list due = LIST_HEAD_INITIALIZER(due);
    struct dedup_entry *x, *next;
    int64_t next_ms = INT64_MAX;
    for (x = LIST_FIRST(&d->waiting); x; x = next) {
        next = LIST_NEXT(x, link);
        if (x->due_ms > now_ms) {
            next_ms = x->due_ms < next_ms ? x->due_ms : next_ms;
            continue;
        }
        LIST_REMOVE(x, link);
        LIST_INSERT_HEAD(&due, x, link);
    }
    if (next_ms != INT64_MAX)
        timers_set(d->world->timers, &d->again, next_ms);
    while ((x = LIST_FIRST(&due))) {
        struct message *m = x->message;
        wait_no_more(x);
        if (x->state == ENTRY_HELD)
            keep_up(x, now_ms);
        else
            tell(d, m, begin(x, now_ms), now_ms);
    }
}

const char *
dedup_failure(const struct dedup *d, int64_t now_ms)
{
    int64_t ago_ms = d->failed_at_ms != 0 ? now_ms - d->failed_at_ms : INT64_MAX;
    bool fails = ago_ms < QUIET_MS || (d->failing && (ago_ms < IDLE_MS || !LIST_EMPTY(&d->waiting)));
    return fails ? d->options.store->error.text : NULL;
}

/* ---- life ---- */

int
dedup_init(struct dedup *d, struct world *w, const struct dedup_options *options, struct err *e)
{
    *d = (struct dedup){.world = w, .options = *options};
    d->again.fire = try_again;
    LIST_INIT(&d->waiting);
    LIST_INIT(&d->entries);
    if (!options->store || timers_reserve(w->timers, &d->again) == 0)
        return 0;
    dedup_clean_up(d);
    return err_no_memory(e);
}

static void
free_all(struct dedup_list *list)
{
    struct dedup_entry *next;
    for (struct dedup_entry *x = LIST_FIRST(list); x; x = next) {
        next = LIST_NEXT(x, link);
        if (x->message)
            x->message->dedup = NULL;
        free(x);
    }
    LIST_INIT(list);
}

void
dedup_clean_up(struct dedup *d)
{
    if (!d->options.store)
        return;
    d->options.store->ops->destroy(d->options.store);
    d->options.store = NULL;
    timers_cancel(d->world->timers, &d->again);
    free_all(&d->waiting);
    free_all(&d->entries);
    buf_clean_up(&d->key);
}
