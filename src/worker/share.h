/* share: batches under way, of a plugin with `handle`, and who takes which of their messages.
 *
 * The thread that takes a batch begins it, and handles its messages one after the other. Nobody joins it while that
 * goes fast: a wake-up costs as much as a small message. When a batch was begun SHARE_SLOW_MS ago and something of it
 * is still to be taken, the engine asks for help (share_look); a thread that comes (share_join) takes what is left, as
 * the first one does when it gets on, and the engine asks for the next as long as that is not enough.
 *
 * What is taken is a run: a message, or on a FIFO queue all of a group that is in the batch, in their order. */
#ifndef FANOUT_WORKER_SHARE_H
#define FANOUT_WORKER_SHARE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/batch.h"

#define SHARE_SLOW_MS 5

struct share {
    bool off;               /* there is one thread, or the plugin takes whole batches */
    _Atomic size_t waiting; /* batches with something to be taken, begun or not */
    pthread_mutex_t lock;
    struct batch *oldest, *newest; /* that can be joined, as they were begun */
    bool asked;                    /* for help, and nobody has come yet */
};

void share_init(struct share *s, bool off);
void share_clean_up(struct share *s);

/* Engine: b goes to the threads; it was taken back from them, unbegun. */
void share_submit(struct share *s, struct batch *b);
void share_take_back(struct share *s, struct batch *b);

/* The calling thread takes b, of which it is now part. */
void share_begin(struct share *s, struct batch *b, int64_t now_ms);

/* The first message of a run that the calling thread, which is part of b, takes; the others are its order.follower, and
 * theirs. NULL: nothing is left. */
struct message *share_take(struct share *s, struct batch *b);

/* The calling thread found nothing left in b. True: it was the last one, and b is to be returned. */
bool share_leave(struct share *s, struct batch *b);

/* Who was asked has come: the batch that it is part of now, or NULL, when nothing is left to be taken. The engine must
 * look again. */
struct batch *share_join(struct share *s);

/* It was called off. */
void share_forget_asking(struct share *s);

/* Engine: whether help is to be asked for now, for one thread. */
enum share_need {
    SHARE_NONE,  /* no, nor before something is submitted or somebody has come */
    SHARE_LATER, /* look again in SHARE_SLOW_MS */
    SHARE_ASK,
};
enum share_need share_look(struct share *s, int64_t now_ms);

#endif
