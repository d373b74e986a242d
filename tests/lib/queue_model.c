#include "lib/queue_model.h"

#include <stdlib.h>
#include <string.h>

#define COOL_DOWN_MS INT64_C(60000)
#define LONGEST_MS   INT64_C(43200000) /* invisible, from a receive on */
#define TOLD         4                 /* worlds */

/* Compared by its bytes: no padding. */
struct message {
    int64_t number; /* 0: none; the rest is 0, then */
    int64_t queue, source, receives;
    int64_t sent_at_ms, visible_at_ms, received_at_ms, first_received_at_ms;
};

struct world {
    struct message messages[QUEUE_MODEL_MESSAGES];
};

struct queue {
    bool exists;
    int life;
    int64_t purged_at_ms, deleted_at_ms; /* INT64_MIN: never */
    struct queue_model_settings settings;
};

struct worlds {
    struct world *items;
    size_t n, capacity;
};

struct queue_model {
    int64_t now_ms;
    struct queue queues[QUEUE_MODEL_QUEUES];
    struct worlds now, before;
};

static void
add(struct worlds *list, const struct world *w)
{
    if (list->n == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        if (!list->items)
            abort();
    }
    list->items[list->n++] = *w;
}

struct queue_model *
queue_model_new(int64_t now_ms)
{
    struct queue_model *m = calloc(1, sizeof *m);
    const struct world empty = {0};
    if (!m)
        abort();
    m->now_ms = now_ms;
    for (int i = 0; i < QUEUE_MODEL_QUEUES; i++)
        m->queues[i].deleted_at_ms = m->queues[i].purged_at_ms = INT64_MIN;
    add(&m->now, &empty);
    return m;
}

void
queue_model_destroy(struct queue_model *m)
{
    if (!m)
        return;
    free(m->now.items);
    free(m->before.items);
    free(m);
}

/* ---- one world --------------------------------------------------------------------------------------------------- */

static void
drop(struct message *msg)
{
    *msg = (struct message){0};
}

static bool
is_visible(const struct queue_model *m, const struct message *msg, int queue)
{
    return msg->number && msg->queue == queue && msg->visible_at_ms <= m->now_ms;
}

static bool
is_dead_letter(const struct queue_model *m, const struct message *msg, int queue)
{
    const struct queue_model_settings *t = &m->queues[queue].settings;
    return t->max_receives > 0 && msg->receives >= t->max_receives && m->queues[t->dead_letters].exists;
}

static int64_t
ends_at_ms(const struct queue_model *m, const struct message *msg)
{
    return msg->sent_at_ms + m->queues[msg->queue].settings.retention_s * 1000;
}

static void
drop_old(const struct queue_model *m, struct world *w)
{
    for (int i = 0; i < QUEUE_MODEL_MESSAGES; i++)
        if (w->messages[i].number && ends_at_ms(m, &w->messages[i]) <= m->now_ms)
            drop(&w->messages[i]);
}

static void
drop_all(struct queue_model *m, int queue)
{
    for (size_t i = 0; i < m->now.n; i++)
        for (int j = 0; j < QUEUE_MODEL_MESSAGES; j++) {
            struct message *msg = &m->now.items[i].messages[j];
            if (msg->number && msg->queue == queue)
                drop(msg);
        }
}

static struct message *
find(struct world *w, int message)
{
    for (int i = 0; i < QUEUE_MODEL_MESSAGES; i++)
        if (w->messages[i].number == message)
            return &w->messages[i];
    return NULL;
}

static bool
agrees(const struct queue_model *m, const struct world *w, const struct queue_model_counts *seen)
{
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        struct queue_model_counts is = {.exists = m->queues[q].exists};
        for (int i = 0; i < QUEUE_MODEL_MESSAGES; i++) {
            const struct message *msg = &w->messages[i];
            if (!msg->number || msg->queue != q)
                continue;
            is.visible += msg->visible_at_ms <= m->now_ms;
            is.in_flight += msg->visible_at_ms > m->now_ms && msg->receives > 0;
            is.delayed += msg->visible_at_ms > m->now_ms && msg->receives == 0;
        }
        if (is.exists != seen[q].exists || is.visible != seen[q].visible || is.in_flight != seen[q].in_flight ||
            is.delayed != seen[q].delayed)
            return false;
    }
    return true;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void
begin(struct queue_model *m)
{
    struct worlds recycled = m->before;
    for (size_t i = 0; i < m->now.n; i++)
        drop_old(m, &m->now.items[i]);
    m->before = m->now;
    m->now = recycled;
    m->now.n = 0;
}

/* A world that a step leads to, unless it disagrees with what was seen. */
static void
keep(struct queue_model *m, const struct world *w, const struct queue_model_counts *seen)
{
    struct world copy = *w;
    drop_old(m, &copy);
    if (!seen || agrees(m, &copy, seen))
        add(&m->now, &copy);
}

static int
compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct world));
}

/* Several ways may have led to one world. */
static bool
end(struct queue_model *m)
{
    struct worlds *l = &m->now;
    size_t n = 0;
    if (l->n > 1)
        qsort(l->items, l->n, sizeof *l->items, compare);
    for (size_t i = 0; i < l->n; i++)
        if (n == 0 || compare(&l->items[n - 1], &l->items[i]) != 0)
            l->items[n++] = l->items[i];
    l->n = n;
    return n > 0;
}

bool
queue_model_look(struct queue_model *m, const struct queue_model_counts *seen)
{
    begin(m);
    for (size_t i = 0; i < m->before.n; i++)
        keep(m, &m->before.items[i], seen);
    return end(m);
}

void
queue_model_pass(struct queue_model *m, int64_t ms)
{
    m->now_ms += ms;
}

static void
sooner(const struct queue_model *m, int64_t at_ms, int64_t *next_ms)
{
    if (at_ms > m->now_ms && at_ms < *next_ms)
        *next_ms = at_ms;
}

int64_t
queue_model_next_ms(const struct queue_model *m)
{
    int64_t next_ms = INT64_MAX;
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        if (m->queues[q].purged_at_ms != INT64_MIN)
            sooner(m, m->queues[q].purged_at_ms + COOL_DOWN_MS, &next_ms);
        if (m->queues[q].deleted_at_ms != INT64_MIN)
            sooner(m, m->queues[q].deleted_at_ms + COOL_DOWN_MS, &next_ms);
    }
    for (size_t i = 0; i < m->now.n; i++)
        for (int j = 0; j < QUEUE_MODEL_MESSAGES; j++) {
            const struct message *msg = &m->now.items[i].messages[j];
            if (!msg->number)
                continue;
            sooner(m, msg->visible_at_ms, &next_ms);
            sooner(m, ends_at_ms(m, msg), &next_ms);
        }
    return next_ms;
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static bool
is_over(const struct queue_model *m, int64_t since_ms)
{
    return since_ms == INT64_MIN || m->now_ms - since_ms >= COOL_DOWN_MS;
}

enum queue_model_answer
queue_model_may_create(const struct queue_model *m, int queue)
{
    return is_over(m, m->queues[queue].deleted_at_ms) ? QUEUE_MODEL_OK : QUEUE_MODEL_REFUSED;
}

enum queue_model_answer
queue_model_may_purge(const struct queue_model *m, int queue)
{
    return is_over(m, m->queues[queue].purged_at_ms) ? QUEUE_MODEL_OK : QUEUE_MODEL_REFUSED;
}

void
queue_model_create(struct queue_model *m, int queue, const struct queue_model_settings *settings)
{
    m->queues[queue].exists = true;
    m->queues[queue].life++;
    m->queues[queue].purged_at_ms = INT64_MIN;
    m->queues[queue].settings = *settings;
}

void
queue_model_purge(struct queue_model *m, int queue)
{
    m->queues[queue].purged_at_ms = m->now_ms;
    drop_all(m, queue);
}

void
queue_model_delete_queue(struct queue_model *m, int queue)
{
    m->queues[queue].exists = false;
    m->queues[queue].deleted_at_ms = m->now_ms;
    drop_all(m, queue);
}

bool
queue_model_exists(const struct queue_model *m, int queue)
{
    return m->queues[queue].exists;
}

int
queue_model_life_of(const struct queue_model *m, int queue)
{
    return m->queues[queue].life;
}

const struct queue_model_settings *
queue_model_settings_of(const struct queue_model *m, int queue)
{
    return &m->queues[queue].settings;
}

void
queue_model_set(struct queue_model *m, int queue, const struct queue_model_settings *settings)
{
    for (size_t i = 0; i < m->now.n; i++)
        drop_old(m, &m->now.items[i]); /* what is too old stays gone */
    m->queues[queue].settings = *settings;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* The i-th place that no world has a message in; -1: there is none. */
static int
free_place(const struct worlds *l, size_t i)
{
    for (int place = 0; place < QUEUE_MODEL_MESSAGES; place++) {
        bool is_free = true;
        for (size_t w = 0; w < l->n; w++)
            is_free = is_free && l->items[w].messages[place].number == 0;
        if (is_free && i-- == 0)
            return place;
    }
    return -1;
}

bool
queue_model_has_room(const struct queue_model *m, size_t n)
{
    return free_place(&m->now, n - 1) >= 0;
}

bool
queue_model_send(struct queue_model *m, int queue, int message, int64_t delay_s, bool lost,
                 const struct queue_model_counts *seen)
{
    int64_t wait_ms = (delay_s >= 0 ? delay_s : m->queues[queue].settings.delay_s) * 1000;
    begin(m);
    int place = free_place(&m->before, 0);
    if (place < 0)
        abort();
    for (size_t i = 0; i < m->before.n; i++) {
        struct world w = m->before.items[i];
        if (lost)
            keep(m, &w, seen);
        w.messages[place] = (struct message){.number = message,
                                             .queue = queue,
                                             .source = -1,
                                             .sent_at_ms = m->now_ms,
                                             .visible_at_ms = m->now_ms + wait_ms};
        keep(m, &w, seen);
    }
    return end(m);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* Receives a message in a world; false: it could not be had there, or not like this. */
static bool
take(const struct queue_model *m, struct world *w, const struct queue_model_receive *r,
     const struct queue_model_received *came)
{
    struct message *msg = find(w, came->message);
    int64_t visibility_s = r->visibility_s >= 0 ? r->visibility_s : m->queues[r->queue].settings.visibility_s;
    if (!msg || !is_visible(m, msg, r->queue) || is_dead_letter(m, msg, r->queue))
        return false;
    msg->receives++;
    msg->received_at_ms = m->now_ms;
    if (msg->receives == 1)
        msg->first_received_at_ms = m->now_ms;
    msg->visible_at_ms = m->now_ms + visibility_s * 1000;
    return r->lost || (came->receives == msg->receives && came->sent_at_ms == msg->sent_at_ms &&
                       came->first_received_at_ms == msg->first_received_at_ms && came->source == msg->source);
}

/* The world `before` with what came received: keeps it with each of the sets of dead letters that may have been moved
 * on the way. */
static void
receive_in(struct queue_model *m, const struct world *before, const struct queue_model_receive *r,
           const struct queue_model_counts *seen)
{
    struct world w = *before;
    const struct queue_model_settings *t = &m->queues[r->queue].settings;
    size_t dead[QUEUE_MODEL_MESSAGES], n_dead = 0, n_there = 0;
    for (size_t i = 0; i < QUEUE_MODEL_MESSAGES; i++)
        if (is_visible(m, &w.messages[i], r->queue)) {
            if (is_dead_letter(m, &w.messages[i], r->queue))
                dead[n_dead++] = i;
            else
                n_there++;
        }
    int64_t visibility_s = r->visibility_s >= 0 ? r->visibility_s : t->visibility_s;
    size_t most = n_there < r->max ? n_there : r->max, least = visibility_s > 0 ? most : most > 0;
    if (r->n > most || (r->n < least && !r->early))
        return;
    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < i; j++)
            if (r->came[i].message == r->came[j].message)
                return;
        if (!take(m, &w, r, &r->came[i]))
            return;
    }
    unsigned all = (1U << n_dead) - 1;
    for (unsigned moved = r->n == 0 ? all : 0; moved <= all; moved++) { /* without an answer nothing is left behind */
        struct world after = w;
        for (size_t i = 0; i < n_dead; i++) {
            struct message *msg = &after.messages[dead[i]];
            if (!(moved & 1U << i))
                continue;
            msg->queue = t->dead_letters;
            msg->source = r->queue;
            msg->visible_at_ms = m->now_ms;
        }
        keep(m, &after, seen);
    }
}

void
queue_model_count(const struct queue_model *m, int queue, size_t *ret_least, size_t *ret_most)
{
    *ret_least = SIZE_MAX;
    *ret_most = 0;
    for (size_t i = 0; i < m->now.n; i++) {
        struct world w = m->now.items[i];
        size_t n = 0;
        drop_old(m, &w);
        for (int j = 0; j < QUEUE_MODEL_MESSAGES; j++)
            n += is_visible(m, &w.messages[j], queue) && !is_dead_letter(m, &w.messages[j], queue);
        *ret_least = n < *ret_least ? n : *ret_least;
        *ret_most = n > *ret_most ? n : *ret_most;
    }
}

bool
queue_model_receive(struct queue_model *m, const struct queue_model_receive *r, const struct queue_model_counts *seen)
{
    begin(m);
    for (size_t i = 0; i < m->before.n; i++) {
        const struct world *w = &m->before.items[i];
        if (!r->lost) {
            receive_in(m, w, r, seen);
            continue;
        }
        struct queue_model_receive guess = *r;
        keep(m, w, seen);
        guess.n = 0;
        receive_in(m, w, &guess, seen);
        for (int j = 0; j < QUEUE_MODEL_MESSAGES; j++) {
            guess.n = 1;
            guess.came[0].message = (int)w->messages[j].number;
            if (w->messages[j].number)
                receive_in(m, w, &guess, seen);
        }
    }
    return end(m);
}

/* ---- settling ---------------------------------------------------------------------------------------------------- */

/* What a world answers, and becomes. */
static enum queue_model_answer
settle_in(const struct queue_model *m, struct world *w, const struct queue_model_settle *s)
{
    struct message *msg = find(w, s->handle.message);
    int64_t visible_at_ms = m->now_ms + s->visibility_s * 1000;
    bool current = msg && msg->queue == s->queue && msg->receives == s->handle.receive;
    if (s->handle.queue != s->queue || s->handle.life != m->queues[s->queue].life)
        return QUEUE_MODEL_BAD_HANDLE;
    if (s->visibility_s < 0) {
        if (current)
            drop(msg);
        return QUEUE_MODEL_OK;
    }
    if (!current)
        return QUEUE_MODEL_GONE;
    if (s->visibility_s > 0 && visible_at_ms > msg->received_at_ms + LONGEST_MS)
        return QUEUE_MODEL_TOO_LONG;
    msg->visible_at_ms = visible_at_ms;
    return QUEUE_MODEL_OK;
}

bool
queue_model_settle(struct queue_model *m, const struct queue_model_settle *s, const struct queue_model_counts *seen)
{
    begin(m);
    for (size_t i = 0; i < m->before.n; i++) {
        struct world w = m->before.items[i];
        enum queue_model_answer answer = settle_in(m, &w, s);
        if (s->lost)
            keep(m, &m->before.items[i], seen);
        if (s->lost || answer == s->answer)
            keep(m, &w, seen);
    }
    return end(m);
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

size_t
queue_model_worlds(const struct queue_model *m)
{
    return m->now.n;
}

static void
tell_message(const struct queue_model *m, const struct message *msg, struct buf *out)
{
    int64_t visible_ms = msg->visible_at_ms - m->now_ms, ends_ms = ends_at_ms(m, msg) - m->now_ms;
    buf_add_format(out, "    m%-4lld in %c, sent %lld ms ago, %lld receives", (long long)msg->number,
                   (char)('A' + msg->queue), (long long)(m->now_ms - msg->sent_at_ms), (long long)msg->receives);
    if (msg->receives > 0)
        buf_add_format(out, " (last %lld ms ago)", (long long)(m->now_ms - msg->received_at_ms));
    if (visible_ms > 0)
        buf_add_format(out, ", visible in %lld ms", (long long)visible_ms);
    else
        buf_add_string(out, ", visible");
    buf_add_format(out, ", too old in %lld ms", (long long)ends_ms);
    if (msg->source >= 0)
        buf_add_format(out, ", a dead letter of %c", (char)('A' + msg->source));
    buf_add_string(out, "\n");
}

void
queue_model_tell(const struct queue_model *m, struct buf *out)
{
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        const struct queue_model_settings *t = &m->queues[q].settings;
        buf_add_format(out, "  queue %c: %s, visibility %lld s, delay %lld s, retention %lld s", (char)('A' + q),
                       m->queues[q].exists ? "there" : "not there", (long long)t->visibility_s, (long long)t->delay_s,
                       (long long)t->retention_s);
        if (t->max_receives > 0)
            buf_add_format(out, ", to %c after %lld receives", (char)('A' + t->dead_letters),
                           (long long)t->max_receives);
        buf_add_string(out, "\n");
    }
    for (size_t i = 0; i < m->before.n && i < TOLD; i++) {
        buf_add_format(out, "  world %zu of %zu before the last step:\n", i + 1, m->before.n);
        for (int j = 0; j < QUEUE_MODEL_MESSAGES; j++)
            if (m->before.items[i].messages[j].number)
                tell_message(m, &m->before.items[i].messages[j], out);
    }
}
