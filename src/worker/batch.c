#include "worker/batch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

#define CAPACITY_MIN ((size_t)16)

static void
destroy(struct batch *b)
{
    free(b->messages);
    free(b->live);
    free(b->views);
    free(b);
}

/* Room for n messages. Arrays grow with what comes: a batch.size of 10,000 costs nothing while batches are small. */
static int
grow(struct batch *b, size_t n)
{
    if (n <= b->capacity)
        return 0;
    size_t capacity = b->capacity ? b->capacity * 2 : CAPACITY_MIN;
    struct message **messages = realloc(b->messages, capacity * sizeof(struct message *));
    if (messages)
        b->messages = messages;
    struct message **live = realloc(b->live, capacity * sizeof(struct message *));
    if (live)
        b->live = live;
    const struct handler_message **views = realloc(b->views, capacity * sizeof(struct handler_message *));
    if (views)
        b->views = views;
    if (!messages || !live || !views)
        return ERR_NO_MEMORY;
    b->capacity = capacity;
    return 0;
}

static struct batch *
take_spare(struct batcher *g)
{
    struct batch *b = g->spare;
    if (b) {
        g->spare = b->next;
        return b;
    }
    b = calloc(1, sizeof *b);
    if (b) {
        b->returned.kind = INBOX_RETURNED;
        b->extend.kind = INBOX_EXTEND;
    }
    return b;
}

static void
submit_open(struct batcher *g, int64_t now_ms)
{
    struct batch *b = batcher_take_open(g);
    if (b)
        g->submit(g->context, b, now_ms);
}

static void
window_is_over(struct timer *t, int64_t now_ms)
{
    submit_open((struct batcher *)((char *)t - offsetof(struct batcher, window)), now_ms);
}

void
batcher_init(struct batcher *g, struct timers *timers, size_t size, int64_t window_ms,
             void (*submit)(void *context, struct batch *b, int64_t now_ms), void *context)
{
    assert(size > 0);
    *g = (struct batcher){.timers = timers, .size = size, .window_ms = window_ms, .submit = submit, .context = context};
    g->window.fire = window_is_over;
}

void
batcher_clean_up(struct batcher *g)
{
    struct batch *open = batcher_take_open(g);
    if (open)
        batcher_recycle(g, open);
    if (g->open)
        destroy(g->open);
    g->open = NULL;
    while (g->spare) {
        struct batch *b = g->spare;
        g->spare = b->next;
        destroy(b);
    }
}

int
batcher_add(struct batcher *g, struct message *m, int64_t now_ms)
{
    if (!g->open && !(g->open = take_spare(g)))
        return ERR_NO_MEMORY;
    struct batch *b = g->open;
    if (grow(b, b->count + 1) != 0)
        return ERR_NO_MEMORY;
    b->messages[b->count++] = m;
    m->batch = b;
    if (b->count >= g->size)
        submit_open(g, now_ms);
    else if (g->window_ms > 0 && b->count == 1)
        timers_set(g->timers, &g->window, now_ms + g->window_ms);
    return 0;
}

void
batcher_end_receive(struct batcher *g, int64_t now_ms)
{
    /* Without its timer (no memory for it) an open batch must not wait either. */
    if (g->window_ms == 0 || !timer_is_set(&g->window))
        submit_open(g, now_ms);
}

void
batcher_flush(struct batcher *g, int64_t now_ms)
{
    submit_open(g, now_ms);
}

struct batch *
batcher_take_open(struct batcher *g)
{
    struct batch *b = g->open;
    timers_cancel(g->timers, &g->window);
    if (!b || b->count == 0)
        return NULL;
    g->open = NULL;
    g->out++;
    return b;
}

void
batcher_recycle(struct batcher *g, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->messages[i]->batch == b)
            b->messages[i]->batch = NULL;
        message_release(b->messages[i]);
    }
    b->count = b->n_live = 0;
    b->next = g->spare;
    g->spare = b;
    g->out--;
}
