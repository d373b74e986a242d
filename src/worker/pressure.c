#include "worker/pressure.h"

#include <stdio.h>

#include "base/log.h"

#define LOG_EVERY_MS 10000
#define RECEIVE      10 /* messages a receive brings at most */

static void
again(struct timer *t, int64_t now_ms)
{
    pressure_step((struct pressure *)((char *)t - offsetof(struct pressure, again)), now_ms);
}

void
pressure_init(struct pressure *p, struct world *w, const struct pressure_options *options)
{
    *p = (struct pressure){.world = w, .options = *options, .again.fire = again};
    breaker_init(&p->breaker, &options->breaker, w->random ^ UINT64_C(0x2545f4914f6cdd1d));
    /* A second's worth, so that receives bring several; two at least, because the next token must have a place while
     * the receive that the first is meant for is under way. */
    if (options->max_per_s > 0)
        ratelimit_init(&p->rate, options->max_per_s, options->max_per_s > 2 ? options->max_per_s : 2, w->clock_ms());
}

void
pressure_clean_up(struct pressure *p)
{
    timers_cancel(p->world->timers, &p->again);
}

/* ---- those that wait ---- */

static struct pressure_list *
list_of(struct pressure *p, const struct message *m)
{
    return m->suspect ? &p->suspects : &p->waiting;
}

static void
insert_before(struct pressure *p, struct message *m, struct message *next)
{
    struct pressure_list *l = list_of(p, m);
    m->kept_next = next;
    m->kept_previous = next ? next->kept_previous : l->last;
    *(m->kept_previous ? &m->kept_previous->kept_next : &l->first) = m;
    *(next ? &next->kept_previous : &l->last) = m;
    p->kept++;
    p->kept_suspects += m->suspect;
}

/* Back to where it was before those that came behind it. What one batch held comes back in its order, each next to the
 * one before. */
static void
insert_returned(struct pressure *p, struct message *m)
{
    struct pressure_list *l = &p->waiting;
    struct message *at = l->last && l->last->kept_place < m->kept_place           ? NULL
                         : p->returned && p->returned->kept_place < m->kept_place ? p->returned->kept_next
                                                                                  : l->first;
    while (at && at->kept_place < m->kept_place)
        at = at->kept_next;
    insert_before(p, m, at);
    p->returned = m;
}

static bool
is_waiting(const struct pressure *p, const struct message *m)
{
    return !m->suspect && (m->kept_previous || m == p->waiting.first);
}

/* FIFO: who is to go after m. */
static struct message *
next_of_its_group(const struct pressure *p, const struct message *m)
{
    struct message *f = m->order.next;
    while (f && !is_waiting(p, f))
        f = f->order.next;
    return f;
}

/* Who has no place gets one behind all others, but for those that are behind it in its group. */
static void
keep(struct pressure *p, struct message *m)
{
    WORLD_COUNT(p->world, held_back, 1);
    if (m->kept_place > 0 && !m->suspect) {
        insert_returned(p, m);
        return;
    }
    struct message *next = next_of_its_group(p, m);
    m->kept_place = next ? next->kept_place : ++p->places;
    insert_before(p, m, next);
}

void
pressure_leave(struct pressure *p, struct message *m)
{
    struct pressure_list *l = list_of(p, m);
    *(m->kept_previous ? &m->kept_previous->kept_next : &l->first) = m->kept_next;
    *(m->kept_next ? &m->kept_next->kept_previous : &l->last) = m->kept_previous;
    if (p->returned == m)
        p->returned = NULL;
    m->kept_previous = m->kept_next = NULL;
    p->kept--;
    p->kept_suspects -= m->suspect;
}

/* ---- who may go ---- */

static bool
is_limited(const struct pressure *p)
{
    return p->options.max_per_s > 0;
}

/* It has not said before that all is down, nor failed here. */
static bool
may_know_better(const struct message *m)
{
    return m->said_down == 0 && m->local_failures == 0;
}

/* m may go now, and then it has gone. */
static bool
begin(struct pressure *p, struct message *m, int64_t now_ms)
{
    if (breaker_room(&p->breaker) == 0 || (is_limited(p) && !ratelimit_take(&p->rate, 1, now_ms)))
        return false;
    if (p->breaker.state == BREAKER_TRYING) {
        WORLD_COUNT(p->world, breaker_tries, 1);
        p->tries_known = !may_know_better(m);
    }
    m->turn = breaker_begin(&p->breaker);
    return true;
}

bool
pressure_arrive(struct pressure *p, struct message *m, int64_t now_ms)
{
    if (!p->waiting.first && !m->suspect && begin(p, m, now_ms)) {
        if (m->kept_place == 0)
            m->kept_place = ++p->places;
        return true;
    }
    keep(p, m);
    return false;
}

void
pressure_resume(struct pressure *p, struct message *m)
{
    if (breaker_room(&p->breaker) > 0)
        m->turn = breaker_begin(&p->breaker);
}

/* When suspects may go. */
static int64_t
suspects_at(const struct pressure *p)
{
    const struct breaker *b = &p->breaker;
    bool nobody_else = b->state == BREAKER_TRYING && b->allowed == 1 && !p->waiting.first;
    return nobody_else ? 0 : b->changed_ms + b->policy.window_ms;
}

/* Of those that wait; suspects do not. */
static bool
nobody_may_know_better(const struct pressure *p)
{
    const struct pressure_list *l = &p->waiting;
    return !l->first || (!may_know_better(l->first) && !may_know_better(l->last));
}

/* Who is to go next; NULL: nobody. The first try is somebody's who may know better, if he is the last to have come. */
static struct message *
next(const struct pressure *p, int64_t now_ms)
{
    const struct pressure_list *l = &p->waiting;
    bool is_first_try = p->breaker.state == BREAKER_TRYING && p->breaker.allowed == 1;
    if (is_first_try && l->first && !may_know_better(l->first) && may_know_better(l->last) && !l->last->order.previous)
        return l->last;
    if (l->first)
        return l->first;
    return p->suspects.first && now_ms >= suspects_at(p) ? p->suspects.first : NULL;
}

static void
wait_for_next(struct pressure *p, int64_t now_ms)
{
    const struct breaker *b = &p->breaker;
    int64_t at_ms = INT64_MAX;
    if (b->state == BREAKER_OPEN)
        at_ms = b->tries_at_ms;
    else if (breaker_room(b) > 0 && next(p, now_ms) && is_limited(p))
        at_ms = now_ms + ratelimit_wait_ms(&p->rate, 1, now_ms);
    else if (breaker_room(b) > 0 && p->suspects.first && !p->waiting.first)
        at_ms = suspects_at(p);
    if (at_ms == INT64_MAX)
        timers_cancel(p->world->timers, &p->again);
    else if (!timer_is_set(&p->again) || p->again.due_ms != at_ms)
        timers_set(p->world->timers, &p->again, at_ms);
}

void
pressure_step(struct pressure *p, int64_t now_ms)
{
    if (p->breaker.state == BREAKER_CLOSED && p->kept == 0 && !timer_is_set(&p->again))
        return;
    if (breaker_tick(&p->breaker, now_ms))
        log_write_limited(LOG_INFO, LOG_EVERY_MS, "breaker: one message is tried", LOG_INT("kept", p->kept),
                          LOG_INT("open_ms", now_ms - p->breaker.opened_ms));
    for (struct message *m = next(p, now_ms); m && begin(p, m, now_ms); m = next(p, now_ms)) {
        pressure_leave(p, m);
        p->options.pass(p->options.context, m, now_ms);
    }
    wait_for_next(p, now_ms);
}

/* Those who take up room when they can; suspects wait for their time. */
static size_t
waiting_and_coming(const struct pressure *p, size_t reserved)
{
    return p->kept - p->kept_suspects + reserved;
}

/* Nobody in hand may know better, who is tried now or is next included: one more may come, whatever the rate
 * says of when it may go, so that somebody else is tried. When as many have said so as handlers can have in their hands
 * and nobody was done, it is down. */
static bool
wants_another_opinion(const struct pressure *p, size_t reserved)
{
    size_t full = p->options.breaker.full, many = full > RECEIVE ? full : RECEIVE;
    return p->breaker.state == BREAKER_TRYING && reserved == 0 && waiting_and_coming(p, 0) < many &&
           nobody_may_know_better(p) && (breaker_room(&p->breaker) > 0 || p->tries_known);
}

/* Of the breaker's room, what those who wait leave to others. */
static size_t
room_beside(const struct pressure *p, size_t reserved)
{
    size_t room = breaker_room(&p->breaker), waiting = waiting_and_coming(p, reserved);
    if (p->breaker.state != BREAKER_TRYING)
        return room;
    return room > waiting ? room - waiting : 0;
}

size_t
pressure_room(struct pressure *p, size_t reserved, size_t most, int64_t now_ms, int64_t *ret_again_ms)
{
    size_t waiting = waiting_and_coming(p, reserved), room = room_beside(p, reserved);
    *ret_again_ms = INT64_MAX;
    if (room <= 1 && wants_another_opinion(p, reserved))
        return most > 0;
    room = room < most ? room : most;
    if (room == 0 || !is_limited(p))
        return room;
    /* Not one by one as tokens come: half of the bucket, or a receive's ten. */
    size_t half = (size_t)(p->rate.burst / 2), worth = half < RECEIVE ? half : RECEIVE;
    worth = worth < room ? worth : room;
    if ((double)(waiting + worth) > p->rate.burst)
        return 0; /* until some of those on their way have come, or some that wait have gone */
    int64_t wait_ms = ratelimit_wait_ms(&p->rate, (double)(waiting + worth), now_ms);
    if (wait_ms > 0) {
        *ret_again_ms = now_ms + wait_ms;
        return 0;
    }
    size_t tokens = (size_t)p->rate.tokens - waiting;
    return tokens < worth ? worth : tokens < room ? tokens : room;
}

/* ---- what is learnt ---- */

static enum breaker_outcome
outcome_of(const struct message *m)
{
    int32_t kind = m->verdict.kind;
    switch (kind) {
    case HANDLER_DONE:
        return BREAKER_SUCCESS;
    case HANDLER_RETRY:
        return m->verdict.delay_ms < 0 ? BREAKER_FAILURE : BREAKER_NOTHING;
    case HANDLER_DOWN:
        return BREAKER_DOWN;
    default:
        return BREAKER_NOTHING;
    }
}

static const char *
reason_of(const struct message *m)
{
    return m->verdict.reason                 ? m->verdict.reason
           : m->verdict.kind == HANDLER_DOWN ? "the handler says that what it depends on is down"
                                             : "the handler fails";
}

static void
log_opening(struct pressure *p, const struct message *m, const char *reason, enum breaker_state before, int64_t now_ms)
{
    const struct breaker *b = &p->breaker;
    int64_t pause_ms = b->tries_at_ms - now_ms;
    snprintf(p->reason, sizeof p->reason, "%s", reason);
    WORLD_COUNT(p->world, breaker_openings, 1);
    if (before == BREAKER_CLOSED) {
        uint64_t calls, failures;
        breaker_count(b, now_ms, &calls, &failures);
        log_write(LOG_WARN, "breaker opens: nothing is received or handled; mend what the handler depends on",
                  LOG_SLICE("id", m->id), LOG_STR("reason", reason), LOG_INT("failures", failures),
                  LOG_INT("of_calls", calls), LOG_INT("next_try_ms", pause_ms));
    } else {
        log_write_limited(LOG_WARN, LOG_EVERY_MS, "breaker opens again: a try failed", LOG_SLICE("id", m->id),
                          LOG_STR("reason", reason), LOG_INT("open_ms", now_ms - b->opened_ms),
                          LOG_INT("next_try_ms", pause_ms));
    }
}

/* How m fares against the others. */
static void
note_word(struct pressure *p, struct message *m)
{
    if (m->verdict.kind == HANDLER_DONE)
        p->successes++;
    if (m->verdict.kind == HANDLER_RETRY && p->breaker.state == BREAKER_TRYING)
        m->kept_place = 0; /* of a FIFO queue, it may come back */
    if (m->verdict.kind != HANDLER_DOWN)
        return;
    if (m->said_down > 0 && p->successes + 1 > m->said_down && !m->order.group)
        m->suspect = true;
    m->said_down = p->successes + 1;
    if (p->breaker.state == BREAKER_TRYING)
        m->kept_place = 0;
}

void
pressure_learn(struct pressure *p, struct message *m, int64_t now_ms)
{
    struct breaker *b = &p->breaker;
    enum breaker_state before = b->state;
    uint32_t turn = m->turn;
    if (turn == 0)
        return; /* learnt already, or it never went to a handler */
    m->turn = 0;
    if (turn == b->turn)
        note_word(p, m);
    if (!breaker_end(b, turn, outcome_of(m), now_ms))
        return;
    if (b->state == BREAKER_OPEN)
        log_opening(p, m, reason_of(m), before, now_ms);
    else
        log_write(LOG_INFO, "breaker closes: messages are handled again", LOG_INT("kept", p->kept),
                  LOG_INT("open_ms", now_ms - b->opened_ms));
    wait_for_next(p, now_ms);
}

static bool
was_begun(const struct message *m)
{
    return atomic_load_explicit(&m->begun_ms, memory_order_relaxed) != 0;
}

/* And nothing is known of its verdict. */
static bool
is_with_its_handler(const struct message *m)
{
    return m->batch && was_begun(m) && m->order.stage != ORDER_HELD;
}

/* Nothing of the verdict is read here: it is the handler thread's. */
void
pressure_lost(struct pressure *p, struct message *m, int64_t now_ms)
{
    struct breaker *b = &p->breaker;
    if (b->state != BREAKER_TRYING || m->turn != b->turn || !is_with_its_handler(m))
        return;
    for (struct message *f = m->order.follower; f; f = f->order.follower) {
        if (f->batch == m->batch && f->turn == b->turn && !was_begun(f)) {
            f->turn = 0;
            breaker_end(b, b->turn, BREAKER_NOTHING, now_ms);
        }
    }
    m->turn = 0;
    m->kept_place = 0;
    if (!breaker_end(b, b->turn, BREAKER_FAILURE, now_ms))
        return;
    log_opening(p, m, "its handler held it until its lease was over", BREAKER_TRYING, now_ms);
    wait_for_next(p, now_ms);
}
