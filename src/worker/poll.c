#include "worker/poll.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

/* How long room for a small receive waits for more: while handlers may run dry, and while batches wait for them. */
#define LITTLE_ROOM_MS      50
#define LITTLE_ROOM_BUSY_MS 1000
#define LOG_EVERY_MS        10000
#define ATTEMPT_MS          270000     /* an attempt's id counts for 5 minutes at SQS */
#define ANSWER_BYTES        (4u << 20) /* bodies to ask for at once: what a turn of the engine takes in without haste */

static const struct backoff_policy FAILURES = {.base_ms = 1000, .cap_ms = 30000, .floor_ms = 200};
static const struct backoff_policy EMPTIES = {.base_ms = 250, .cap_ms = 5000, .floor_ms = 50};

struct poll_call {
    struct poll *poll;
    struct poll_call *previous, *next;
    struct aws_call *call;
    unsigned asked;
    int64_t sent_ms;
    struct poll_attempt attempt; /* FIFO */
};

static void
again(struct timer *t, int64_t now_ms)
{
    poll_step((struct poll *)((char *)t - offsetof(struct poll, again)), now_ms);
}

void
poll_init(struct poll *p, struct world *w, const struct poll_options *options)
{
    size_t most = (options->cap + SQS_BATCH_MAX - 1) / SQS_BATCH_MAX;
    *p = (struct poll){.world = w, .options = *options, .target = 1};
    p->most = most < POLL_MOST ? (unsigned)most : POLL_MOST;
    p->again.fire = again;
    backoff_init(&p->failures, &FAILURES, w->random);
    backoff_init(&p->empties, &EMPTIES, w->random ^ UINT64_C(0x5851f42d4c957f2d));
}

static void
end_call(struct poll_call *c)
{
    struct poll *p = c->poll;
    *(c->previous ? &c->previous->next : &p->calls) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    p->outstanding--;
    p->reserved -= c->asked;
    free(c);
}

void
poll_cancel(struct poll *p)
{
    for (struct poll_call *c = p->calls, *next; c; c = next) {
        next = c->next;
        p->world->queue->ops->cancel(p->world->queue, c->call);
        end_call(c);
    }
}

void
poll_clean_up(struct poll *p)
{
    poll_cancel(p);
    timers_cancel(p->world->timers, &p->again);
}

void
poll_open(struct poll *p, int visibility_s)
{
    p->open = true;
    p->visibility_s = visibility_s;
}

void
poll_close(struct poll *p)
{
    p->open = false;
    timers_cancel(p->world->timers, &p->again);
}

/* ---- answers ---- */

static void
pause_for(struct poll *p, struct backoff *b, int64_t now_ms)
{
    p->target = 1;
    if (now_ms >= p->paused_until_ms) /* else: polls that failed together are one failure */
        p->paused_until_ms = now_ms + backoff_fail(b, now_ms);
}

/* The answer of a receive is lost, and what it would have brought with it. */
static void
keep_attempt(struct poll *p, const struct poll_attempt *a)
{
    if (p->n_lost < POLL_MOST)
        p->lost[p->n_lost++] = *a;
}

static void
failed(struct poll *p, const struct aws_error *error, int64_t now_ms)
{
    WORLD_COUNT(p->world, poll_errors, 1);
    pause_for(p, &p->failures, now_ms);
    int64_t wait_ms = p->paused_until_ms - now_ms;
    if (aws_error_is_missing_permission(error))
        log_write_limited(LOG_ERROR, LOG_EVERY_MS, "a permission is missing: allow it to the role of these credentials",
                          LOG_STR("permission", "sqs:ReceiveMessage"), LOG_STR("queue", p->world->queue->url),
                          LOG_INT("wait_ms", wait_ms), LOG_ERR(&error->err));
    else
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "receive failed", LOG_INT("wait_ms", wait_ms), LOG_ERR(&error->err));
}

static void
adapt(struct poll *p, const struct sqs_received *r, unsigned asked, int64_t waited_ms, int64_t now_ms)
{
    backoff_succeed(&p->failures);
    if (r->n_messages > 0) {
        backoff_succeed(&p->empties);
        if (r->n_messages >= asked)
            p->target = p->target * 2 < p->most ? p->target * 2 : p->most;
        return;
    }
    p->target = p->target > 1 ? p->target / 2 : 1;
    WORLD_COUNT(p->world, empty_polls, r->corrupt + r->garbled == 0);
    if (waited_ms < p->options.wait_time_s * INT64_C(1000) / 2 || p->options.wait_time_s == 0)
        pause_for(p, &p->empties, now_ms);
    else
        backoff_succeed(&p->empties);
}

static void
count_received(struct poll *p, const struct sqs_received *r)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        bytes += r->messages[i].body.n;
    WORLD_COUNT(p->world, polls, 1);
    WORLD_COUNT(p->world, received, r->n_messages);
    WORLD_COUNT(p->world, received_bytes, bytes);
    if (r->n_messages > 0) {
        size_t mean = bytes / r->n_messages, faded = p->body_bytes - p->body_bytes / 8;
        p->body_bytes = mean > faded ? mean : faded;
    }
    WORLD_COUNT(p->world, corrupt, r->corrupt);
    WORLD_COUNT(p->world, garbled, r->garbled);
    if (r->corrupt > 0)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "messages arrived damaged: their MD5 does not match; left to SQS",
                          LOG_INT("messages", r->corrupt));
    if (r->garbled > 0)
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "messages arrived that make no sense; left to SQS",
                          LOG_INT("messages", r->garbled), LOG_STR("first", r->garbled_as));
}

/* What would be handled before a damaged one of its group is left to SQS. */
static void
hand_on_in_order(struct poll *p, const struct sqs_received *r, size_t most, int64_t now_ms)
{
    struct sqs_message in_order[SQS_BATCH_MAX];
    size_t n = 0;
    assert(most <= SQS_BATCH_MAX);
    for (size_t i = 0; i < most; i++)
        if (!r->messages[i].behind_damaged)
            in_order[n++] = r->messages[i];
    if (n > 0)
        p->options.received(p->options.context, in_order, n, now_ms - r->age_ms, now_ms);
}

static void
received(void *context, const struct sqs_received *r)
{
    struct poll_call *c = context;
    struct poll *p = c->poll;
    int64_t now_ms = p->world->clock_ms();
    unsigned asked = c->asked;
    int64_t waited_ms = now_ms - c->sent_ms;
    bool damaged = p->options.fifo && r->corrupt + r->garbled > 0;
    bool lost = p->options.fifo && r->error && (r->error->maybe_executed || r->error->err.retryable);
    bool comes_again = lost || (damaged && !c->attempt.damaged);
    if (comes_again) {
        c->attempt.damaged |= damaged;
        keep_attempt(p, &c->attempt);
    }
    end_call(c);
    if (r->error) {
        failed(p, r->error, now_ms);
    } else {
        count_received(p, r);
        adapt(p, r, asked, waited_ms, now_ms);
        if (damaged)
            pause_for(p, &p->failures, now_ms);
        /* More than was asked for has no room here; SQS takes back what nobody settles. */
        size_t n = comes_again ? 0 : r->n_messages < asked ? r->n_messages : asked;
        if (damaged)
            hand_on_in_order(p, r, n, now_ms);
        else if (n > 0)
            p->options.received(p->options.context, r->messages, n, now_ms - r->age_ms, now_ms);
        assert(p->options.in_hand->count + p->reserved <= p->options.cap);
    }
    p->options.answered(p->options.context, r->error);
}

/* ---- calls ---- */

static bool
cannot_start(struct poll *p, const struct err *err, int64_t now_ms)
{
    pause_for(p, &p->failures, now_ms);
    log_write_limited(LOG_ERROR, LOG_EVERY_MS, "cannot start a receive", LOG_ERR(err));
    return false;
}

/* The oldest attempt that still counts and has room; or a new one. */
static void
choose_attempt(struct poll *p, unsigned max_messages, int64_t now_ms, struct poll_attempt *ret)
{
    size_t kept = 0;
    *ret = (struct poll_attempt){.asked = 0};
    for (size_t i = 0; i < p->n_lost; i++) {
        const struct poll_attempt *a = &p->lost[i];
        if (now_ms - a->first_sent_ms >= ATTEMPT_MS)
            continue;
        if (ret->asked == 0 && a->asked <= max_messages)
            *ret = *a;
        else
            p->lost[kept++] = *a;
    }
    p->n_lost = kept;
    if (ret->asked > 0)
        return;
    ret->asked = max_messages;
    ret->first_sent_ms = now_ms;
    uuid_generate(ret->id);
}

static bool
start(struct poll *p, unsigned max_messages, int64_t now_ms)
{
    struct err e;
    struct poll_attempt attempt = {.asked = max_messages};
    if (p->options.fifo)
        choose_attempt(p, max_messages, now_ms, &attempt);
    max_messages = attempt.asked;
    const struct sqs_receive_options o = {.max_messages = max_messages,
                                          .wait_time_s = p->options.wait_time_s,
                                          .visibility_timeout_s = p->visibility_s,
                                          .all_attributes = p->options.all_attributes,
                                          .attempt_id = p->options.fifo ? attempt.id : NULL};
    struct poll_call *c = calloc(1, sizeof *c);
    if (!c) {
        err_no_memory(&e);
        return cannot_start(p, &e, now_ms);
    }
    *c = (struct poll_call){.poll = p, .asked = max_messages, .sent_ms = now_ms, .attempt = attempt};
    if (p->world->queue->ops->receive(p->world->queue, &o, received, c, &c->call, &e) != 0) {
        if (p->options.fifo)
            keep_attempt(p, &attempt);
        free(c);
        return cannot_start(p, &e, now_ms);
    }
    c->next = p->calls;
    if (p->calls)
        p->calls->previous = c;
    p->calls = c;
    p->outstanding++;
    p->reserved += max_messages;
    assert(p->options.in_hand->count + p->reserved <= p->options.cap);
    return true;
}

/* What a receive asks for at most. */
static unsigned
largest(const struct poll *p)
{
    if (p->body_bytes <= ANSWER_BYTES / SQS_BATCH_MAX)
        return SQS_BATCH_MAX;
    return p->body_bytes < ANSWER_BYTES ? (unsigned)(ANSWER_BYTES / p->body_bytes) : 1;
}

/* How much room makes a receive worth its request: a batch, or ten, or a quarter of a small cap. */
static size_t
worth(const struct poll *p)
{
    size_t n = p->options.batch_size > p->options.cap / 4 ? p->options.batch_size : p->options.cap / 4;
    return n > largest(p) ? largest(p) : n > 0 ? n : 1;
}

static void
wait_until(struct poll *p, int64_t due_ms)
{
    if (!timer_is_set(&p->again) || p->again.due_ms != due_ms)
        timers_set(p->world->timers, &p->again, due_ms);
}

void
poll_step(struct poll *p, int64_t now_ms)
{
    if (!p->open)
        return;
    while (p->outstanding < p->target) {
        if (now_ms < p->paused_until_ms) {
            wait_until(p, p->paused_until_ms);
            return;
        }
        size_t used = p->options.in_hand->count + p->reserved;
        size_t room = used < p->options.cap ? p->options.cap - used : 0;
        if (room == 0 || room >= worth(p))
            p->little_room_since_ms = 0;
        else if (p->little_room_since_ms == 0)
            p->little_room_since_ms = now_ms;
        if (room == 0)
            return;
        int64_t again_ms;
        size_t most = room < largest(p) ? room : largest(p);
        most = p->options.room(p->options.context, p->reserved, most, now_ms, &again_ms);
        if (most == 0) {
            if (again_ms != INT64_MAX)
                wait_until(p, again_ms);
            return;
        }
        if (p->little_room_since_ms > 0) {
            int64_t due_ms =
                p->little_room_since_ms + (used > p->options.at_once ? LITTLE_ROOM_BUSY_MS : LITTLE_ROOM_MS);
            if (now_ms < due_ms) {
                wait_until(p, due_ms);
                return;
            }
            p->little_room_since_ms = 0;
        }
        if (!start(p, (unsigned)most, now_ms)) {
            wait_until(p, p->paused_until_ms);
            return;
        }
    }
}
