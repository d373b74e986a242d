#include "lib/feeder.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "lib/aws_call.h"

#define ENTRIES_MAX 10
#define PAUSE_MS    10 /* before what failed is sent again */
#define ANSWER_MS   10000
#define BUS         "durable-event-bus"

struct feeder {
    const char *url;
    struct total_queue *judge;
    size_t n;
    pthread_t threads[FEEDER_THREADS];
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    size_t next, allowed, acknowledged;
    bool stopping;
};

struct entry {
    size_t event;
    unsigned try;
    bool acknowledged;
};

/* The next events to publish; 0: there are no more. */
static size_t
take(struct feeder *f, struct entry entries[ENTRIES_MAX])
{
    size_t n = 0;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping && f->next < f->n && f->next >= f->allowed)
        pthread_cond_wait(&f->changed, &f->lock);
    while (!f->stopping && n < ENTRIES_MAX && f->next < f->n && f->next < f->allowed)
        entries[n++] = (struct entry){.event = f->next++};
    pthread_mutex_unlock(&f->lock);
    return n;
}

static bool
is_stopping(struct feeder *f)
{
    pthread_mutex_lock(&f->lock);
    bool stopping = f->stopping;
    pthread_mutex_unlock(&f->lock);
    return stopping;
}

/* An answer of 4xx, or an entry with an error code, says that nothing was done; no answer, or a 5xx, says nothing. */
static void
read_answer(struct feeder *f, const struct aws_call *c, struct entry *const sent[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[40], id[64];
        struct entry *e = sent[i];
        snprintf(path, sizeof path, "Entries.%zu.EventId", i);
        if (c->status == 200 && aws_call_text(c, path, id, sizeof id)) {
            total_queue_acknowledge(f->judge, e->event, e->try, slice_of_string(id));
            e->acknowledged = true;
            continue;
        }
        snprintf(path, sizeof path, "Entries.%zu.ErrorCode", i);
        if ((c->status >= 400 && c->status < 500) || (c->status == 200 && aws_call_text(c, path, id, sizeof id)))
            total_queue_refuse(f->judge, e->event, e->try);
    }
}

/* Sends what has no acknowledgement yet, in one call; returns how many still have none. */
static size_t
put(struct feeder *f, struct aws_call *c, struct entry *entries, size_t n, struct buf *body)
{
    struct entry *sent[ENTRIES_MAX];
    size_t n_sent = 0, left = 0;
    buf_reset(body);
    buf_add_string(body, "{\"Entries\":[");
    for (size_t i = 0; i < n; i++) {
        struct entry *e = &entries[i];
        if (e->acknowledged)
            continue;
        e->try = total_queue_send(f->judge, e->event);
        buf_add_format(body,
                       "%s{\"Source\":\"buffer.source\",\"DetailType\":\"T\",\"EventBusName\":\"" BUS "\","
                       "\"Detail\":\"{\\\"seq\\\":%zu,\\\"try\\\":%u}\"}",
                       n_sent > 0 ? "," : "", e->event, e->try);
        sent[n_sent++] = e;
    }
    buf_add_string(body, "]}");
    if (aws_call_begin(c, "events", "AWSEvents.PutEvents", buf_slice(body)))
        aws_call_finish(c);
    read_answer(f, c, sent, n_sent);
    for (size_t i = 0; i < n_sent; i++)
        left += !sent[i]->acknowledged;
    return left;
}

static void *
feed(void *context)
{
    struct feeder *f = context;
    struct aws_call c;
    struct buf body = BUF_INIT;
    struct entry entries[ENTRIES_MAX];
    size_t n;
    aws_call_init(&c, f->url);
    c.timeout_ms = ANSWER_MS;
    while ((n = take(f, entries)) > 0) {
        while (put(f, &c, entries, n, &body) > 0 && !is_stopping(f))
            poll(NULL, 0, PAUSE_MS);
        pthread_mutex_lock(&f->lock);
        for (size_t i = 0; i < n; i++)
            f->acknowledged += entries[i].acknowledged;
        pthread_mutex_unlock(&f->lock);
    }
    aws_call_clean_up(&c);
    buf_clean_up(&body);
    return NULL;
}

struct feeder *
feeder_start(const char *url, struct total_queue *judge, size_t n)
{
    struct feeder *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->url = url;
    f->judge = judge;
    f->n = n;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    for (size_t i = 0; i < FEEDER_THREADS; i++)
        if (pthread_create(&f->threads[i], NULL, feed, f) != 0)
            abort();
    return f;
}

void
feeder_allow(struct feeder *f, size_t below)
{
    pthread_mutex_lock(&f->lock);
    if (below > f->allowed) {
        f->allowed = below;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
}

bool
feeder_is_done(struct feeder *f)
{
    pthread_mutex_lock(&f->lock);
    bool done = f->acknowledged == f->n;
    pthread_mutex_unlock(&f->lock);
    return done;
}

void
feeder_destroy(struct feeder *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < FEEDER_THREADS; i++)
        pthread_join(f->threads[i], NULL);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}
