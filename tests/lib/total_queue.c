#include "lib/total_queue.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ctl/tally.h"

#define NAMED_MAX 10 /* of each set */

enum fate { UNANSWERED, ACKNOWLEDGED, REFUSED };

struct
try {
    enum fate fate;
    char id[40];     /* of the acknowledgement */
    char seen[40];   /* of the first that came out */
    unsigned others; /* that came out under yet another id */
};

struct event {
    struct try *tries;
    unsigned n;
};

struct total_queue {
    pthread_mutex_t lock; /* guards the rest */
    struct event *events;
    size_t n_events;
    struct tally tally; /* by id; published: acknowledged */
    size_t handled, strangers, captured_again;
    struct buf strange; /* the first strangers' names */
};

static void *
must(void *p)
{
    if (!p) {
        perror("total_queue");
        abort();
    }
    return p;
}

static void
note(struct total_queue *q, enum tally_what what, struct slice id)
{
    if (tally_note(&q->tally, what, id) != 0) {
        fprintf(stderr, "total_queue: \"%.*s\" cannot be an event's id\n", SLICE_ARG(id));
        abort();
    }
}

struct total_queue *
total_queue_new(void)
{
    struct total_queue *q = must(calloc(1, sizeof *q));
    pthread_mutex_init(&q->lock, NULL);
    tally_init(&q->tally);
    return q;
}

void
total_queue_destroy(struct total_queue *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->n_events; i++)
        free(q->events[i].tries);
    free(q->events);
    tally_clean_up(&q->tally);
    buf_clean_up(&q->strange);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* ---- what is seen ------------------------------------------------------------------------------------------------ */

unsigned
total_queue_send(struct total_queue *q, size_t event)
{
    pthread_mutex_lock(&q->lock);
    if (event >= q->n_events) {
        size_t n = event < 1000 ? 1000 : event * 2;
        q->events = must(realloc(q->events, n * sizeof *q->events));
        memset(q->events + q->n_events, 0, (n - q->n_events) * sizeof *q->events);
        q->n_events = n;
    }
    struct event *e = &q->events[event];
    e->tries = must(realloc(e->tries, (e->n + 1) * sizeof *e->tries));
    e->tries[e->n] = (struct try){.fate = UNANSWERED};
    unsigned number = ++e->n;
    pthread_mutex_unlock(&q->lock);
    return number;
}

static struct try *
find(struct total_queue *q, size_t event, unsigned try)
{
    return event < q->n_events && try >= 1 && try <= q->events[event].n ? &q->events[event].tries[try - 1] : NULL;
}

void
total_queue_acknowledge(struct total_queue *q, size_t event, unsigned try, struct slice id)
{
    pthread_mutex_lock(&q->lock);
    struct try *t = must(find(q, event, try));
    t->fate = ACKNOWLEDGED;
    snprintf(t->id, sizeof t->id, "%.*s", SLICE_ARG(id));
    note(q, TALLY_PUBLISHED, id);
    pthread_mutex_unlock(&q->lock);
}

void
total_queue_refuse(struct total_queue *q, size_t event, unsigned try)
{
    pthread_mutex_lock(&q->lock);
    ((struct try *)must(find(q, event, try)))->fate = REFUSED;
    pthread_mutex_unlock(&q->lock);
}

void
total_queue_handle(struct total_queue *q, size_t event, unsigned try, struct slice id)
{
    pthread_mutex_lock(&q->lock);
    struct try *t = find(q, event, try);
    if (!t) {
        if (++q->strangers <= NAMED_MAX)
            buf_add_format(&q->strange, "unexpected: event %zu, try %u, id %.*s was never sent\n", event, try,
                           SLICE_ARG(id));
    } else if (!t->seen[0]) {
        snprintf(t->seen, sizeof t->seen, "%.*s", SLICE_ARG(id));
    } else if (!slice_equals_string(id, t->seen)) {
        t->others++;
    }
    const struct tally_event *before = tally_find(&q->tally, id);
    q->handled += !before || before->handled == 0;
    note(q, TALLY_HANDLED, id);
    pthread_mutex_unlock(&q->lock);
}

void
total_queue_handle_detail(struct total_queue *q, struct slice detail, struct slice id)
{
    struct json root, event, try;
    int64_t event_number = -1, try_number = -1;
    if (json_parse(detail, &root, NULL) != 0 || !json_get(root, "seq", &event) || !json_get(root, "try", &try) ||
        !json_int64(event, &event_number) || !json_int64(try, &try_number))
        event_number = try_number = -1;
    total_queue_handle(q, (size_t)event_number, (unsigned)try_number, id);
}

void
total_queue_capture(struct total_queue *q, struct slice id)
{
    pthread_mutex_lock(&q->lock);
    const struct tally_event *before = tally_find(&q->tally, id);
    q->captured_again += before && before->captured;
    note(q, TALLY_CAPTURED, id);
    pthread_mutex_unlock(&q->lock);
}

size_t
total_queue_handled(struct total_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->handled;
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t
total_queue_missing(struct total_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = tally_lost(&q->tally);
    pthread_mutex_unlock(&q->lock);
    return n;
}

/* ---- the judgement ----------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void
name_it(struct buf *names, size_t count, const char *set, const char *format, ...)
{
    va_list ap;
    if (!names || count > NAMED_MAX)
        return;
    buf_add_format(names, "%s: ", set);
    va_start(ap, format);
    buf_add_format_va(names, format, ap);
    va_end(ap);
    buf_add_char(names, '\n');
}

static void
judge_try(const struct total_queue *q, size_t event, unsigned number, struct total_queue_sets *s, struct buf *names)
{
    const struct try *t = &q->events[event].tries[number - 1];
    s->tries++;
    s->acknowledged += t->fate == ACKNOWLEDGED;
    if (t->fate == ACKNOWLEDGED && tally_find(&q->tally, slice_of_string(t->id))->handled == 0) {
        s->lost++;
        name_it(names, s->lost, "lost", "event %zu, try %u, id %s", event, number, t->id);
    }
    bool refused = t->fate == REFUSED && t->seen[0];
    bool other = t->fate == ACKNOWLEDGED && t->seen[0] && strcmp(t->seen, t->id) != 0;
    if (refused || other || t->others > 0) {
        s->unexpected += refused || other ? 1 : 0;
        s->unexpected += t->others;
        name_it(names, s->unexpected, "unexpected", "event %zu, try %u, %s %s, came out as %s and under %u more ids",
                event, number, t->fate == REFUSED ? "refused" : "id", t->id, t->seen, t->others);
    }
    s->recovered += t->fate == UNANSWERED && t->seen[0];
}

static void
judge_id(const struct tally_event *e, struct total_queue_sets *s, struct buf *names)
{
    s->handled += e->handled > 0;
    if (e->handled > 1) {
        s->duplicated += e->handled - 1;
        name_it(names, s->duplicated, "duplicated", "id %s, handled %u times", e->id, e->handled);
    }
    if ((e->published || e->handled) && !e->captured) {
        s->uncaptured++;
        name_it(names, s->uncaptured, "uncaptured", "id %s", e->id);
    }
    if (e->captured && !e->published && !e->handled) {
        s->stray++;
        name_it(names, s->stray, "stray", "id %s was captured and nothing else", e->id);
    }
}

void
total_queue_judge(struct total_queue *q, struct total_queue_sets *ret_sets, struct buf *names)
{
    struct total_queue_sets s = {0};
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < q->n_events; i++)
        for (unsigned k = 1; k <= q->events[i].n; k++)
            judge_try(q, i, k, &s, names);
    for (size_t i = 0; i < q->tally.capacity; i++)
        if (q->tally.events[i].id[0])
            judge_id(&q->tally.events[i], &s, names);
    s.unexpected += q->strangers;
    s.captured_again = q->captured_again;
    if (names)
        buf_add_slice(names, buf_slice(&q->strange));
    pthread_mutex_unlock(&q->lock);
    *ret_sets = s;
}
