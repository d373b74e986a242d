#include "lib/fifo_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_MS 300000
#define CAP_MS    INT64_C(43200000)

struct message {
    struct fifo_model_message m;
    int queue;
    int64_t visible_at_ms, received_at_ms;
    int64_t visible_since_ms; /* for the order of the groups */
};

struct sent {
    int message, queue, life;
    char group[16], dedup_id[80];
    bool group_scope;
    int64_t at_ms;
};

struct attempt {
    int queue, life;
    char id[32];
    int64_t at_ms, visible_at_ms;
    int64_t place[10], receives[10];
    size_t n;
};

struct queue {
    struct fifo_model_settings settings;
    int life;      /* another one after each purge */
    bool was_read; /* since the start, or what else makes the server read it anew */
};

struct fifo_model {
    int64_t now_ms, last_place;
    int last_message;
    struct queue queues[FIFO_MODEL_QUEUES];
    struct message *messages; /* in the order of their places */
    struct sent *sent;
    struct attempt *attempts;
    size_t n_messages, n_sent, n_attempts;
};

/* One more at the end of an array. */
static void *
add(void *items, size_t *n, size_t size)
{
    char *larger = realloc(items, (*n + 1) * size);
    if (!larger)
        abort();
    memset(larger + *n * size, 0, size);
    ++*n;
    return larger;
}

struct fifo_model *
fifo_model_new(int64_t now_ms, const struct fifo_model_settings settings[FIFO_MODEL_QUEUES])
{
    struct fifo_model *m = calloc(1, sizeof *m);
    if (!m)
        abort();
    m->now_ms = now_ms;
    for (int q = 0; q < FIFO_MODEL_QUEUES; q++)
        m->queues[q].settings = settings[q];
    return m;
}

void
fifo_model_destroy(struct fifo_model *m)
{
    if (!m)
        return;
    free(m->messages);
    free(m->sent);
    free(m->attempts);
    free(m);
}

void
fifo_model_pass(struct fifo_model *m, int64_t ms)
{
    m->now_ms += ms;
}

int64_t
fifo_model_now_ms(const struct fifo_model *m)
{
    return m->now_ms;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void
take_out(struct fifo_model *m, size_t i)
{
    memmove(&m->messages[i], &m->messages[i + 1], (m->n_messages - i - 1) * sizeof *m->messages);
    m->n_messages--;
}

static void
expire(struct fifo_model *m)
{
    for (size_t i = 0; i < m->n_messages;) {
        const struct message *x = &m->messages[i];
        if (x->m.sent_at_ms <= m->now_ms - m->queues[x->queue].settings.retention_s * 1000)
            take_out(m, i);
        else
            i++;
    }
}

static struct message *
find(struct fifo_model *m, int queue, int64_t place)
{
    for (size_t i = 0; i < m->n_messages; i++)
        if (m->messages[i].queue == queue && m->messages[i].m.place == place)
            return &m->messages[i];
    return NULL;
}

static void
put_last(struct fifo_model *m, const struct message *x)
{
    m->messages = add(m->messages, &m->n_messages, sizeof *m->messages);
    struct message *last = &m->messages[m->n_messages - 1];
    *last = *x;
    last->m.place = ++m->last_place;
    last->visible_since_ms = last->visible_at_ms;
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

const struct fifo_model_settings *
fifo_model_settings_of(const struct fifo_model *m, int queue)
{
    return &m->queues[queue].settings;
}

void
fifo_model_set(struct fifo_model *m, int queue, const struct fifo_model_settings *settings)
{
    struct queue *q = &m->queues[queue];
    bool delay = q->settings.delay_s != settings->delay_s;
    expire(m);
    for (size_t i = 0; i < m->n_messages; i++) {
        struct message *x = &m->messages[i];
        if (x->queue == queue && x->m.receives == 0 && x->visible_at_ms > m->now_ms && delay) {
            x->visible_at_ms = x->m.sent_at_ms + settings->delay_s * 1000;
            q->was_read = false;
        }
    }
    q->settings = *settings;
}

void
fifo_model_purge(struct fifo_model *m, int queue)
{
    for (size_t i = 0; i < m->n_messages;)
        if (m->messages[i].queue == queue)
            take_out(m, i);
        else
            i++;
    m->queues[queue].life++;
    m->queues[queue].was_read = false;
}

void
fifo_model_restart(struct fifo_model *m)
{
    for (int q = 0; q < FIFO_MODEL_QUEUES; q++)
        m->queues[q].was_read = false;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

int
fifo_model_send(struct fifo_model *m, int queue, const char *group, const char *dedup_id)
{
    const struct queue *q = &m->queues[queue];
    for (size_t i = 0; i < m->n_sent; i++) {
        const struct sent *s = &m->sent[i];
        if (s->queue == queue && s->life == q->life && s->at_ms > m->now_ms - WINDOW_MS &&
            strcmp(s->dedup_id, dedup_id) == 0 &&
            (strcmp(s->group, group) == 0 || (!s->group_scope && !q->settings.group_scope)))
            return s->message;
    }
    struct message x = {.m = {.message = ++m->last_message, .sent_at_ms = m->now_ms},
                        .queue = queue,
                        .visible_at_ms = m->now_ms + q->settings.delay_s * 1000};
    snprintf(x.m.group, sizeof x.m.group, "%s", group);
    snprintf(x.m.dedup_id, sizeof x.m.dedup_id, "%s", dedup_id);
    put_last(m, &x);
    m->sent = add(m->sent, &m->n_sent, sizeof *m->sent);
    struct sent *s = &m->sent[m->n_sent - 1];
    *s = (struct sent){.message = x.m.message,
                       .queue = queue,
                       .life = q->life,
                       .group_scope = q->settings.group_scope,
                       .at_ms = m->now_ms};
    memcpy(s->group, x.m.group, sizeof s->group);
    memcpy(s->dedup_id, x.m.dedup_id, sizeof s->dedup_id);
    return x.m.message;
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static bool
same_group(const struct message *a, const struct message *b)
{
    return a->queue == b->queue && strcmp(a->m.group, b->m.group) == 0;
}

static bool
is_first_of_its_group(const struct fifo_model *m, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (same_group(&m->messages[i], &m->messages[j]))
            return false;
    return true;
}

/* The group to be received from next, by its first message; -1: none. */
static long
choose(const struct fifo_model *m, int queue, char visited[][16], size_t n_visited)
{
    long best = -1;
    for (size_t i = 0; i < m->n_messages; i++) {
        const struct message *x = &m->messages[i];
        bool seen = false;
        for (size_t j = 0; j < n_visited; j++)
            seen = seen || strcmp(visited[j], x->m.group) == 0;
        if (x->queue == queue && !seen && x->visible_at_ms <= m->now_ms && is_first_of_its_group(m, i) &&
            (best < 0 || x->visible_since_ms < m->messages[best].visible_since_ms))
            best = (long)i;
    }
    return best;
}

static struct attempt *
find_attempt(struct fifo_model *m, int queue, const char *id)
{
    for (size_t i = m->n_attempts; i-- > 0;) {
        struct attempt *a = &m->attempts[i];
        if (a->queue == queue && a->life == m->queues[queue].life && strcmp(a->id, id) == 0)
            return a->at_ms > m->now_ms - WINDOW_MS ? a : NULL;
    }
    return NULL;
}

static size_t
receive_again(struct fifo_model *m, struct attempt *a, int64_t visible_at_ms, struct fifo_model_message came[10])
{
    for (size_t i = 0; i < a->n; i++) {
        const struct message *x = find(m, a->queue, a->place[i]);
        if (!x || x->m.receives != a->receives[i] || x->visible_at_ms != a->visible_at_ms ||
            x->visible_at_ms <= m->now_ms)
            return 0;
    }
    a->visible_at_ms = visible_at_ms;
    for (size_t i = 0; i < a->n; i++) {
        struct message *x = find(m, a->queue, a->place[i]);
        x->visible_at_ms = x->visible_since_ms = visible_at_ms;
        came[i] = x->m;
    }
    return a->n;
}

/* Takes what it can of the group that begins at i. */
static size_t
receive_from(struct fifo_model *m, size_t i, size_t max, int64_t visible_at_ms, struct fifo_model_message *came)
{
    const struct message first = m->messages[i];
    const struct fifo_model_settings *t = &m->queues[first.queue].settings;
    size_t n = 0;
    while (i < m->n_messages && n < max) {
        struct message *x = &m->messages[i];
        if (!same_group(x, &first)) {
            i++;
            continue;
        }
        if (x->visible_at_ms > m->now_ms)
            break;
        if (first.queue == 0 && t->max_receives > 0 && x->m.receives >= t->max_receives) {
            struct message dead = *x;
            take_out(m, i);
            dead.queue = 1;
            dead.m.sent_at_ms = dead.visible_at_ms = m->now_ms;
            dead.m.dedup_id[0] = '\0';
            dead.m.dead_letter = true;
            put_last(m, &dead);
            continue;
        }
        x->m.receives++;
        if (x->m.receives == 1)
            x->m.first_received_at_ms = m->now_ms;
        x->received_at_ms = m->now_ms;
        x->visible_at_ms = x->visible_since_ms = visible_at_ms;
        came[n++] = x->m;
        i++;
    }
    return n;
}

size_t
fifo_model_receive(struct fifo_model *m, int queue, size_t max, int64_t visibility_s, const char *attempt,
                   struct fifo_model_message came[10])
{
    struct queue *q = &m->queues[queue];
    int64_t visible_at_ms = m->now_ms + (visibility_s >= 0 ? visibility_s : q->settings.visibility_s) * 1000;
    char visited[64][16];
    size_t n = 0, n_visited = 0;
    long i;
    expire(m);
    for (size_t j = 0; j < m->n_messages && !q->was_read; j++) {
        struct message *x = &m->messages[j];
        if (x->queue == queue)
            x->visible_since_ms = x->visible_at_ms > m->now_ms ? x->visible_at_ms : 0;
    }
    q->was_read = true;
    struct attempt *known = attempt ? find_attempt(m, queue, attempt) : NULL;
    if (known && (n = receive_again(m, known, visible_at_ms, came)) > 0)
        return n;
    while (n < max && n_visited < 64 && (i = choose(m, queue, visited, n_visited)) >= 0) {
        memcpy(visited[n_visited++], m->messages[i].m.group, 16);
        n += receive_from(m, (size_t)i, max - n, visible_at_ms, came + n);
    }
    if (!attempt || n == 0)
        return n;
    m->attempts = add(m->attempts, &m->n_attempts, sizeof *m->attempts);
    struct attempt *a = &m->attempts[m->n_attempts - 1];
    *a = (struct attempt){.queue = queue, .life = q->life, .at_ms = m->now_ms, .visible_at_ms = visible_at_ms, .n = n};
    snprintf(a->id, sizeof a->id, "%s", attempt);
    for (size_t j = 0; j < n; j++) {
        a->place[j] = came[j].place;
        a->receives[j] = came[j].receives;
    }
    return n;
}

/* ---- settling ---------------------------------------------------------------------------------------------------- */

static bool
is_expired(const struct fifo_model *m, const struct message *x, int64_t receives)
{
    return x->m.receives != receives || x->visible_at_ms <= m->now_ms;
}

enum fifo_model_answer
fifo_model_delete(struct fifo_model *m, int queue, int64_t place, int64_t receives)
{
    expire(m);
    struct message *x = find(m, queue, place);
    if (!x)
        return FIFO_MODEL_OK;
    if (is_expired(m, x, receives))
        return FIFO_MODEL_EXPIRED;
    take_out(m, (size_t)(x - m->messages));
    return FIFO_MODEL_OK;
}

enum fifo_model_answer
fifo_model_change(struct fifo_model *m, int queue, int64_t place, int64_t receives, int64_t visibility_s)
{
    expire(m);
    struct message *x = find(m, queue, place);
    int64_t visible_at_ms = m->now_ms + visibility_s * 1000;
    if (!x)
        return FIFO_MODEL_GONE;
    if (is_expired(m, x, receives))
        return FIFO_MODEL_EXPIRED;
    if (visibility_s > 0 && visible_at_ms > x->received_at_ms + CAP_MS)
        return FIFO_MODEL_TOO_LONG;
    x->visible_at_ms = x->visible_since_ms = visible_at_ms;
    return FIFO_MODEL_OK;
}

void
fifo_model_count(struct fifo_model *m, int queue, long *ret_visible, long *ret_in_flight, long *ret_delayed)
{
    *ret_visible = *ret_in_flight = *ret_delayed = 0;
    expire(m);
    for (size_t i = 0; i < m->n_messages; i++) {
        const struct message *x = &m->messages[i];
        if (x->queue == queue)
            ++*(x->visible_at_ms <= m->now_ms ? ret_visible : x->m.receives > 0 ? ret_in_flight : ret_delayed);
    }
}
