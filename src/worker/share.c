#include "worker/share.h"

void
share_init(struct share *s, bool off)
{
    *s = (struct share){.off = off};
    pthread_mutex_init(&s->lock, NULL);
}

void
share_clean_up(struct share *s)
{
    pthread_mutex_destroy(&s->lock);
}

/* ---- what waits ---- */

static void
nothing_waits(struct share *s)
{
    atomic_fetch_sub_explicit(&s->waiting, 1, memory_order_relaxed);
}

void
share_submit(struct share *s, struct batch *b)
{
    b->share.waits = !s->off && b->count > 1;
    if (b->share.waits)
        atomic_fetch_add_explicit(&s->waiting, 1, memory_order_relaxed);
}

void
share_take_back(struct share *s, struct batch *b)
{
    if (b->share.waits)
        nothing_waits(s);
}

/* ---- who is part of what ---- */

static void
list(struct share *s, struct batch *b)
{
    b->share.next = NULL;
    b->share.previous = s->newest;
    *(s->newest ? &s->newest->share.next : &s->oldest) = b;
    s->newest = b;
    b->share.listed = true;
}

static void
unlist(struct share *s, struct batch *b)
{
    if (!b->share.listed)
        return;
    *(b->share.previous ? &b->share.previous->share.next : &s->oldest) = b->share.next;
    *(b->share.next ? &b->share.next->share.previous : &s->newest) = b->share.previous;
    b->share.listed = false;
}

static void
pick_runs(struct batch *b)
{
    b->n_live = 0;
    for (size_t i = 0; i < b->count; i++)
        if (!b->messages[i]->order.follows)
            b->live[b->n_live++] = b->messages[i];
}

void
share_begin(struct share *s, struct batch *b, int64_t now_ms)
{
    pick_runs(b);
    atomic_store_explicit(&b->share.taken, 0, memory_order_relaxed);
    atomic_store_explicit(&b->share.down, false, memory_order_relaxed);
    b->share.threads = 1;
    b->share.begun_ms = now_ms;
    b->share.joinable = b->share.waits && b->n_live > 1;
    if (!b->share.joinable)
        return;
    pthread_mutex_lock(&s->lock);
    list(s, b);
    pthread_mutex_unlock(&s->lock);
}

struct message *
share_take(struct share *s, struct batch *b)
{
    size_t i = atomic_fetch_add_explicit(&b->share.taken, 1, memory_order_relaxed);
    if (i >= b->n_live)
        return NULL;
    if (i + 1 == b->n_live && b->share.waits)
        nothing_waits(s);
    return b->live[i];
}

bool
share_leave(struct share *s, struct batch *b)
{
    if (!b->share.joinable)
        return true;
    pthread_mutex_lock(&s->lock);
    unlist(s, b);
    bool last = --b->share.threads == 0;
    pthread_mutex_unlock(&s->lock);
    return last;
}

/* ---- help ---- */

/* The one that was begun first of those that have something left. */
static struct batch *
find_oldest(struct share *s)
{
    while (s->oldest && atomic_load_explicit(&s->oldest->share.taken, memory_order_relaxed) >= s->oldest->n_live)
        unlist(s, s->oldest);
    return s->oldest;
}

struct batch *
share_join(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    s->asked = false;
    struct batch *b = find_oldest(s);
    if (b)
        b->share.threads++;
    pthread_mutex_unlock(&s->lock);
    return b;
}

void
share_forget_asking(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    s->asked = false;
    pthread_mutex_unlock(&s->lock);
}

enum share_need
share_look(struct share *s, int64_t now_ms)
{
    if (atomic_load_explicit(&s->waiting, memory_order_relaxed) == 0)
        return SHARE_NONE;
    pthread_mutex_lock(&s->lock);
    enum share_need need = SHARE_NONE;
    if (!s->asked) {
        const struct batch *b = find_oldest(s);
        need = b && now_ms - b->share.begun_ms >= SHARE_SLOW_MS ? SHARE_ASK : SHARE_LATER;
    }
    s->asked |= need == SHARE_ASK;
    pthread_mutex_unlock(&s->lock);
    return need;
}
