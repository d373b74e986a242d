#include "worker/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "worker/engine_impl.h"

#define ATTEMPTS 16384 /* messages whose receives are not their attempts */

/* ---- the end of a message ---- */

void
engine_message_over(struct engine *g, struct message *m)
{
    engine_note_end(g, m);
    m->state = MESSAGE_OVER;
    dedup_drop(&g->dedup, m);
    order_leave(&g->order, m);
    lease_remove(&g->lease, m);
    if (m->record != MESSAGE_NO_RECORD)
        ledger_release(g->world.ledger, m->record);
    m->record = MESSAGE_NO_RECORD;
    inflight_remove(&g->in_hand, m);
}

static void
settled(void *context, struct message *m, int64_t now_ms)
{
    struct engine *g = context;
    WORLD_OBSERVE(&g->world, in_hand, now_ms - m->in_hand_since_ms);
    engine_message_over(g, m);
}

static void
dead_letters_gone(void *context)
{
    discover_refresh(&((struct engine *)context)->discover);
}

static void
settling(void *context, struct message *m)
{
    engine_order_settling(context, m);
}

static void
lease_lost(void *context, struct message *m, int64_t now_ms)
{
    struct engine *g = context;
    switch (m->state) {
    case MESSAGE_QUEUED:
        WORLD_COUNT(&g->world, lost, 1); /* stays in hand until its handler thread has seen it */
        pressure_lost(&g->pressure, m, now_ms);
        order_lost(&g->order, m);
        break;
    case MESSAGE_PUBLISHING:
        WORLD_COUNT(&g->world, lost, 1);
        order_lost(&g->order, m);
        engine_lost_publishing(g, m, now_ms);
        break;
    case MESSAGE_KEPT:
        WORLD_COUNT(&g->world, lost, 1);
        engine_leave_gate(g, m);
        engine_message_over(g, m);
        break;
    default:
        settle_lost(&g->settle, m, now_ms);
        break;
    }
}

static void
lease_extended(void *context, struct message *m, int64_t now_ms)
{
    struct engine *g = context;
    dedup_extended(&g->dedup, m);
    settle_extended(&g->settle, m, now_ms);
}

static void
lease_quiet(void *context, struct message *m, int64_t now_ms)
{
    settle_quiet(&((struct engine *)context)->settle, m, now_ms);
}

/* ---- batches ---- */

static void
submit_batch(void *context, struct batch *b, int64_t now_ms)
{
    struct engine *g = context;
    (void)now_ms;
    assert(g->batcher.out <= g->cap + g->options.threads);
    b->trial = g->pressure.breaker.state == BREAKER_TRYING;
    g->options.submit(g->options.context, b);
}

/* From its handler thread: with a verdict, or, when the engine has that already, out of the call. */
static void
came_back(struct engine *g, struct message *m, int64_t now_ms)
{
    if (m->again)
        engine_again(g, m, (enum engine_gate)m->gate, now_ms);
    else
        engine_decide(g, m, now_ms);
}

void
engine_batch_returned(struct engine *g, struct batch *b, int64_t now_ms)
{
    for (size_t i = 0; i < b->count; i++) {
        struct message *m = b->messages[i];
        if (m->batch != b)
            continue; /* it was let go before, and went on */
        m->batch = NULL;
        if (m->state == MESSAGE_QUEUED && !m->held_back)
            came_back(g, m, now_ms);
    }
    batcher_recycle(&g->batcher, b);
}

static void
extend_batch(struct engine *g, struct batch *b, int64_t now_ms)
{
    /* Either this sees the wish, or who wished after it queues the batch again. */
    atomic_exchange_explicit(&b->extend_queued, false, memory_order_acq_rel);
    for (size_t i = 0; i < b->count; i++) {
        struct message *m = b->messages[i];
        int64_t until_ms = atomic_load_explicit(&m->asked_until_ms, memory_order_relaxed);
        if (m->batch == b && m->state == MESSAGE_QUEUED && until_ms > m->wanted_until_ms &&
            !atomic_load_explicit(&m->lost, memory_order_relaxed))
            lease_reach(&g->lease, m, until_ms, now_ms);
    }
}

void
engine_take(struct engine *g, struct inbox_node *list, int64_t now_ms)
{
    while (list) {
        struct inbox_node *node = list;
        list = node->next;
        switch (node->kind) {
        case INBOX_SETTLED:
            came_back(g, message_of_settled(node), now_ms);
            break;
        case INBOX_RETURNED:
            engine_batch_returned(g, batch_of_returned(node), now_ms);
            break;
        case INBOX_EXTEND:
            extend_batch(g, batch_of_extend(node), now_ms);
            break;
        }
    }
}

/* ---- turns ---- */

void
engine_turn(struct engine *g, int64_t now_ms)
{
    dedup_turn(&g->dedup);
    engine_step_pressure(g, now_ms);
    if (g->order.ready)
        engine_order_run(g, now_ms);
    batcher_end_receive(&g->batcher, now_ms); /* what gates let pass since the last receive */
    poll_step(&g->poll, now_ms);
    engine_give_back_held(g, now_ms);
    assert(g->in_hand.count + g->poll.reserved <= g->cap);
    engine_tell_health(g, now_ms);
    engine_update_gauges(g, now_ms);
}

void
engine_ask_for_attributes(struct engine *g)
{
    g->poll.options.all_attributes = true;
}

void
engine_start(struct engine *g)
{
    discover_start(&g->discover);
}

size_t
engine_cap(const struct engine *g)
{
    return g->cap;
}

/* ---- life ---- */

/* "orders" of "https://sqs.eu-west-1.amazonaws.com/123456789012/orders". */
static void
name_of_queue(const char *queue, char *out, size_t capacity)
{
    const char *slash = strstr(queue, "://") ? strrchr(queue, '/') : NULL;
    size_t n = strlen(slash ? slash + 1 : queue);
    n = n < capacity ? n : capacity - 1;
    memcpy(out, slash ? slash + 1 : queue, n);
    out[n] = '\0';
}

static size_t
cap_of(const struct engine_options *o)
{
    size_t cap = o->threads * o->batch_size * (1 + o->prefetch);
    size_t records = ledger_records(o->world.ledger);
    if (cap > records)
        log_write(LOG_WARN, "fewer messages in hand than the configuration asks for", LOG_INT("wanted", cap),
                  LOG_INT("at_most", records));
    return cap < records ? cap : records;
}

/* Nothing would make up for one of these that cannot be set: the queue would not be looked for again, deletes and
 * extensions would wait, a drain would not end. */
static int
reserve_timers(struct engine *g)
{
    struct timer *const timers[] = {&g->discover.again,
                                    &g->poll.again,
                                    &g->batcher.window,
                                    &g->pressure.again,
                                    &g->lease.next,
                                    &g->lease.box.flush,
                                    &g->settle.deletes.box.flush,
                                    &g->settle.releases.box.flush,
                                    &g->settle.deadletters.box.flush,
                                    &g->poll_deadline,
                                    &g->deadline};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof timers / sizeof *timers; i++)
        rc = timers_reserve(g->world.timers, timers[i]);
    return rc;
}

int
engine_new(const struct engine_options *options, struct engine **ret_engine, struct err *e)
{
    struct engine *g = calloc(1, sizeof *g);
    if (!g) {
        if (options->dedup.store)
            options->dedup.store->ops->destroy(options->dedup.store);
        return err_no_memory(e);
    }
    g->options = *options;
    g->world = options->world;
    int rc = engine_dedup_init(g, e);
    if (rc != 0) {
        free(g);
        return rc;
    }
    g->cap = cap_of(options);
    name_of_queue(options->queue, g->queue_name, sizeof g->queue_name);
    rc = inflight_init(&g->in_hand, g->cap, e);
    if (rc == 0)
        rc = order_init(&g->order, order_is_fifo(g->queue_name), options->fifo_skips, g->cap, g->world.timers, e);
    if (rc != 0)
        goto fail;
    const struct lease_watcher watcher = {
        .lost = lease_lost, .extended = lease_extended, .quiet = lease_quiet, .context = g};
    lease_init(&g->lease, &g->world, options->lease_max_s, &watcher);
    rc = attempts_init(&g->attempts, ATTEMPTS, e);
    if (rc != 0)
        goto fail;
    const struct settle_options settle = {.retry = &g->options.retry,
                                          .consumer = options->consumer,
                                          .handler = options->handler,
                                          .host = options->host,
                                          .settling = settling,
                                          .over = settled,
                                          .dead_letters_gone = dead_letters_gone,
                                          .context = g};
    rc = settle_init(&g->settle, &g->world, &g->lease, &settle, e);
    if (rc != 0)
        goto fail;
    screen_init(&g->screen, &g->world, &options->screen);
    batcher_init(&g->batcher, g->world.timers, options->batch_size, options->batch_window_ms, submit_batch, g);
    const struct publish_options publish = {.outlet = options->outlet, .decided = engine_published, .context = g};
    publish_init(&g->publish, &g->world, &publish);
    engine_pressure_init(g);
    engine_queue_init(g);
    if (reserve_timers(g) != 0) {
        engine_destroy(g);
        return err_no_memory(e);
    }
    *ret_engine = g;
    return 0;
fail:
    attempts_clean_up(&g->attempts);
    dedup_clean_up(&g->dedup);
    order_clean_up(&g->order);
    inflight_clean_up(&g->in_hand);
    free(g);
    return rc;
}

void
engine_destroy(struct engine *g)
{
    if (!g)
        return;
    timers_cancel(g->world.timers, &g->poll_deadline);
    timers_cancel(g->world.timers, &g->deadline);
    discover_clean_up(&g->discover);
    pressure_clean_up(&g->pressure);
    poll_clean_up(&g->poll);
    settle_clean_up(&g->settle);
    for (struct message *m = g->in_hand.oldest; m; m = m->next) {
        lease_remove(&g->lease, m);
        if (m->state == MESSAGE_PUBLISHING)
            publish_lost(&g->publish, m);
    }
    publish_clean_up(&g->publish);
    lease_clean_up(&g->lease);
    batcher_clean_up(&g->batcher);
    attempts_clean_up(&g->attempts);
    dedup_clean_up(&g->dedup);
    order_clean_up(&g->order);
    inflight_clean_up(&g->in_hand);
    free(g);
}
