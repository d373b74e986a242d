#include "worker/order_groups.h"

#include <string.h>

#include "worker/message.h"

bool
order_is_fifo(const char *queue)
{
    size_t n = strlen(queue), suffix = strlen(".fifo");
    return n > suffix && strcmp(queue + n - suffix, ".fifo") == 0;
}

static bool
is_out(enum order_stage stage)
{
    return stage >= ORDER_AWAY && stage <= ORDER_MOVING;
}

/* It may be inside a call, or count as handled. What is on its way gets no further than the door while one before it is
 * undecided: at another gate, or there, it may wait for that one, which so must not wait for it. */
static bool
is_busy(enum order_stage stage)
{
    return stage >= ORDER_BATCHED && stage <= ORDER_MOVING;
}

/* ---- the line ---- */

static void
set_stage(struct message *m, enum order_stage stage)
{
    struct order_group *x = m->order.group;
    x->out += is_busy(stage);
    x->out -= is_busy(m->order.stage);
    m->order.stage = stage;
    order_group_make_ready(x);
}

/* SequenceNumbers are decimal and of up to 128 bits; those of one group increase. */
static struct slice
without_zeros(struct slice s)
{
    while (s.n > 0 && s.p[0] == '0')
        s = slice_of(s.p + 1, s.n - 1);
    return s;
}

static bool
comes_before(const struct message *a, const struct message *b)
{
    if (a->sequence.n == 0 || b->sequence.n == 0)
        return false;
    struct slice x = without_zeros(a->sequence), y = without_zeros(b->sequence);
    return x.n != y.n ? x.n < y.n : memcmp(x.p, y.p, x.n) < 0;
}

static void
stand_in_line(struct order_group *x, struct message *m)
{
    struct message *behind = NULL, *before = x->last;
    while (before && comes_before(m, before)) {
        behind = before;
        before = before->order.previous;
    }
    m->order.group = x;
    m->order.previous = before;
    m->order.next = behind;
    *(before ? &before->order.next : &x->first) = m;
    *(behind ? &behind->order.previous : &x->last) = m;
    x->n++;
}

static void
leave_line(struct message *m)
{
    struct order_group *x = m->order.group;
    set_stage(m, ORDER_OUTSIDE);
    *(m->order.previous ? &m->order.previous->order.next : &x->first) = m->order.next;
    *(m->order.next ? &m->order.next->order.previous : &x->last) = m->order.previous;
    m->order.group = NULL;
    m->order.previous = m->order.next = NULL;
    x->n--;
}

/* What stands behind m and has a verdict, or will have, was handled before m was done. */
static void
spoil_behind(const struct message *m)
{
    for (struct message *f = m->order.next; f; f = f->order.next)
        if (f->order.stage == ORDER_BATCHED || f->order.stage == ORDER_HELD)
            f->order.spoilt = true;
    order_group_make_ready(m->order.group);
}

static bool
can_be_given_back(const struct message *m)
{
    return m->order.stage != ORDER_DECIDING && m->order.stage != ORDER_MOVING && m->order.stage != ORDER_LEAVING;
}

/* m comes back to whoever receives it: so must what stands behind it. */
static void
give_back_behind(const struct message *m)
{
    for (struct message *f = m->order.next; f; f = f->order.next)
        f->order.given_back |= can_be_given_back(f);
    order_group_make_ready(m->order.group);
}

/* m was handled, but nobody knows whether it comes back. What was begun behind it was begun rightly. */
static void
give_back_unbegun_behind(const struct message *m)
{
    for (struct message *f = m->order.next; f; f = f->order.next)
        f->order.given_back |= f->state == MESSAGE_KEPT;
    order_group_make_ready(m->order.group);
}

/* ---- what happens to a message ---- */

bool
order_arrive(struct order *o, struct message *m)
{
    struct order_member *x = &m->order;
    if (!x->group) {
        stand_in_line(order_group_find(o, m->group), m);
        for (const struct message *p = x->previous; p; p = p->order.previous)
            x->given_back |= p->order.stage == ORDER_LEAVING;
        if (!o->skip)
            spoil_behind(m);
    }
    x->spoilt = false;
    set_stage(m, x->given_back ? ORDER_DECIDING : ORDER_WAITING);
    return !x->given_back;
}

void
order_take_from_gate(struct order *o, struct message *m)
{
    (void)o;
    if (m->order.group)
        set_stage(m, ORDER_DECIDING);
}

bool
order_may_join(struct order *o, struct message *m, const struct batch *open)
{
    (void)o;
    bool may = !m->order.given_back;
    for (const struct message *p = m->order.previous; p && may; p = p->order.previous)
        may = p->order.stage == ORDER_BATCHED && open && p->batch == open;
    if (!may)
        set_stage(m, ORDER_AT_DOOR);
    return may;
}

void
order_join(struct order *o, struct message *m, const struct batch *open)
{
    struct message *before = m->order.previous, *behind = m->order.next;
    m->order.follows = before && open && before->batch == open;
    if (m->order.follows)
        before->order.follower = m;
    m->order.follower = behind && open && behind->batch == open ? behind : NULL;
    if (m->order.follower)
        behind->order.follows = true;
    m->order.alone = o->skip;
    set_stage(m, ORDER_BATCHED);
}

void
order_stay_out(struct order *o, struct message *m)
{
    (void)o;
    if (m->order.follows)
        m->order.previous->order.follower = m->order.follower;
    if (m->order.follower)
        m->order.follower->order.follows = m->order.follows;
    m->order.follower = NULL;
    m->order.follows = false;
    set_stage(m, ORDER_AWAY);
}

/* Was one before m let go that is still undecided? */
static bool
has_undecided_before(const struct message *m)
{
    for (const struct message *p = m->order.previous; p; p = p->order.previous)
        if (is_out(p->order.stage) && p->order.stage != ORDER_AGAIN)
            return true;
    return false;
}

enum order_answer
order_decide(struct order *o, struct message *m)
{
    (void)o;
    if (m->order.stage == ORDER_DECIDING)
        return ORDER_GO_ON;
    if (m->order.spoilt || (m->order.given_back && m->order.stage != ORDER_AWAY))
        return ORDER_DROP;
    if (has_undecided_before(m)) {
        set_stage(m, ORDER_HELD);
        return ORDER_HOLD;
    }
    set_stage(m, ORDER_DECIDING);
    return ORDER_GO_ON;
}

void
order_again(struct order *o, struct message *m, bool waits)
{
    (void)o;
    set_stage(m, waits || m->batch ? ORDER_AGAIN : ORDER_AWAY);
    spoil_behind(m);
}

bool
order_pause(struct order *o, struct message *m, int64_t until_ms, size_t most)
{
    struct order_group *x = m->order.group;
    if (o->pausing + x->n > most || timers_reserve(o->timers, &x->timer) != 0)
        return false;
    order_group_end_pause(x);
    x->pausing = x->n;
    o->pausing += x->n;
    m->order.not_before_ms = until_ms;
    return true;
}

int64_t
order_pauses_ms(const struct message *m, int64_t now_ms)
{
    return m->order.not_before_ms > now_ms ? m->order.not_before_ms - now_ms : 0;
}

void
order_settling(struct order *o, struct message *m, bool alone)
{
    (void)o;
    if (!m->order.group)
        return;
    bool lost = atomic_load_explicit(&m->lost, memory_order_relaxed);
    if (m->state == MESSAGE_DONE) {
        if (lost && !m->dead_lettered)
            give_back_unbegun_behind(m);
        leave_line(m);
    } else if (alone) {
        leave_line(m);
    } else if (m->state == MESSAGE_REJECT) {
        set_stage(m, ORDER_MOVING);
    } else if (m->state == MESSAGE_RETRY) {
        give_back_behind(m);
        set_stage(m, ORDER_LEAVING);
    }
}

void
order_lost(struct order *o, struct message *m)
{
    (void)o;
    if (m->order.group)
        give_back_behind(m);
}

void
order_received_again(struct order *o, struct message *m)
{
    (void)o;
    if (!m->order.group)
        return;
    bool comes_back = false;
    for (struct message *f = m->order.group->first; f; f = f->order.next) {
        if (can_be_given_back(f))
            f->order.given_back = comes_back;
        comes_back |= f->order.stage == ORDER_LEAVING || atomic_load_explicit(&f->lost, memory_order_relaxed);
    }
    order_group_make_ready(m->order.group);
}

void
order_leave(struct order *o, struct message *m)
{
    (void)o;
    if (!m->order.group)
        return;
    give_back_behind(m);
    leave_line(m);
}

/* ---- handler threads ---- */

void
order_stop_behind(const struct message *m)
{
    for (struct message *f = m->order.follower; f && f->verdict.kind == VERDICT_NONE; f = f->order.follower)
        f->verdict.kind = VERDICT_BEHIND;
}

void
order_handled(const struct message *m, int32_t verdict, bool publishes, int64_t now_ms)
{
    bool is_failure = verdict == HANDLER_RETRY || verdict == HANDLER_REJECT || verdict == VERDICT_DEAD_LETTER;
    bool is_done = verdict == HANDLER_DONE;
    bool may = (is_done && !publishes) || ((is_done || is_failure) && m->order.alone);
    if (!may || message_lease_left_ms(m, now_ms) == 0)
        order_stop_behind(m);
}

/* ---- turns ---- */

static enum order_step
step_of(struct order_group *x, const struct batch *open, int64_t now_ms, struct message **ret_message)
{
    size_t out_before = 0;
    bool way_is_free = true; /* all before it are in the open batch */
    for (struct message *m = x->first; m; m = m->order.next) {
        bool kept = m->state == MESSAGE_KEPT;
        *ret_message = m;
        if (m->order.given_back && kept)
            return ORDER_STEP_GIVE_BACK;
        switch (m->order.stage) {
        case ORDER_WAITING:
            if (kept && way_is_free && out_before == x->out) {
                if (m->order.not_before_ms <= now_ms) {
                    order_group_end_pause(x);
                    set_stage(m, ORDER_AWAY);
                    return ORDER_STEP_PASS;
                }
                timers_set(x->order->timers, &x->timer, m->order.not_before_ms); /* reserved: order_pause */
            }
            way_is_free = false;
            break;
        case ORDER_AT_DOOR:
            if (kept && way_is_free && out_before == x->out) {
                set_stage(m, ORDER_AWAY);
                return ORDER_STEP_PASS;
            }
            way_is_free = false;
            break;
        case ORDER_BATCHED:
            way_is_free &= open && m->batch == open;
            break;
        case ORDER_HELD:
            if (m->order.spoilt || m->order.given_back)
                return ORDER_STEP_RESTART;
            if (!has_undecided_before(m))
                return ORDER_STEP_DECIDE;
            way_is_free = false;
            break;
        default:
            way_is_free = false;
            break;
        }
        out_before += is_busy(m->order.stage);
    }
    return ORDER_STEP_NONE;
}

enum order_step
order_next(struct order *o, const struct batch *open, int64_t now_ms, struct message **ret_message)
{
    while (o->ready) {
        struct order_group *x = o->ready;
        enum order_step step = step_of(x, open, now_ms, ret_message);
        if (step != ORDER_STEP_NONE)
            return step;
        order_group_done(x);
    }
    return ORDER_STEP_NONE;
}
