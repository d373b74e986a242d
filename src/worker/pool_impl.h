/* pool_impl: what the pool's own files share: pool.c (the threads, and the queue between them and the engine) and
 * pool_calls.c (what a thread does with a batch: the calls of the plugin). */
#ifndef FANOUT_WORKER_POOL_IMPL_H
#define FANOUT_WORKER_POOL_IMPL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ring.h"
#include "worker/call.h"
#include "worker/pool.h"
#include "worker/share.h"

struct handler_thread {
    struct pool *pool;
    uint32_t number;
    pthread_t thread;
    void *state; /* thread_open's */
    struct handler_call call;
    struct message *message; /* of the current call of `handle` */
    struct metrics_run waits, durations;
};

struct pool {
    struct pool_options options;
    struct call_shared shared;
    struct share share;
    struct ring *ring; /* of batches, and of &share: who takes that is to help another thread */
    struct handler_thread *threads;
    size_t started;

    pthread_mutex_t lock; /* of the four below */
    pthread_cond_t changed;
    size_t opened, refused, ended;
    int32_t refused_with;
};

/* Handler threads: b goes through the plugin, and back to the engine. */
void pool_run_batch(struct handler_thread *t, struct batch *b);

/* The same, with what is left of another thread's, if one needs help. */
void pool_help(struct handler_thread *t);

#endif
