/* batch: the messages of one handler call, gathered by size or by time.
 *
 * Messages come in as they are received; a batch goes out when it holds `size` messages, when window_ms have passed
 * since its first, or, with window_ms 0, at the end of each receive. Batches are recycled: in a steady state nothing is
 * allocated here. Engine thread only; a batch that was submitted belongs to the handler thread that took it until it
 * comes back through the inbox; of a plugin with `handle`, also to those that join it (share.h). */
#ifndef FANOUT_WORKER_BATCH_H
#define FANOUT_WORKER_BATCH_H

#include <fanout/handler.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timers.h"
#include "worker/inbox.h"
#include "worker/message.h"

struct batch {
    struct message **messages; /* a reference of each is the batch's */
    size_t count, capacity;

    bool trial; /* to be handled although handlers are held back: the breaker tries */

    /* the handler threads': */
    struct message **live; /* with handle_batch what was not lost meanwhile, with handle the first of each run */
    const struct handler_message **views;
    size_t n_live;

    /* share.h's, as `live` with handle */
    struct {
        _Atomic size_t taken; /* of live */
        _Atomic bool down;    /* a message of it said HANDLER_DOWN: nothing more of it is begun */
        bool waits, joinable; /* counts as waiting until all is taken; other threads may join */
        bool listed;          /* these four: share's lock */
        unsigned threads;     /* that are part of it */
        struct batch *previous, *next;
        int64_t begun_ms;
    } share;

    struct inbox_node returned, extend;
    _Atomic bool extend_queued;
    struct batch *next; /* of the spare ones */
};

struct batcher {
    struct timers *timers;
    size_t size;
    int64_t window_ms;
    struct batch *open, *spare;
    size_t out; /* submitted and not yet recycled */
    struct timer window;
    void (*submit)(void *context, struct batch *b, int64_t now_ms); /* takes b */
    void *context;
};

void batcher_init(struct batcher *g, struct timers *timers, size_t size, int64_t window_ms,
                  void (*submit)(void *context, struct batch *b, int64_t now_ms), void *context);
void batcher_clean_up(struct batcher *g); /* the open batch's messages are released; batches that are out are lost */

/* Takes one reference of m, which is in no batch. ERR_NO_MEMORY: not taken. */
int batcher_add(struct batcher *g, struct message *m, int64_t now_ms);

/* A receive's messages are all in. */
void batcher_end_receive(struct batcher *g, int64_t now_ms);

/* What is open goes out now, whatever its window. */
void batcher_flush(struct batcher *g, int64_t now_ms);

/* Takes the open batch out, unsubmitted, or NULL when it is empty. */
struct batch *batcher_take_open(struct batcher *g);

/* Releases the messages and keeps the memory for another one. Every batch that was submitted or taken ends here. */
void batcher_recycle(struct batcher *g, struct batch *b);

static inline struct batch *
batch_of_returned(struct inbox_node *node)
{
    return (struct batch *)((char *)node - offsetof(struct batch, returned));
}

static inline struct batch *
batch_of_extend(struct inbox_node *node)
{
    return (struct batch *)((char *)node - offsetof(struct batch, extend));
}

#endif
