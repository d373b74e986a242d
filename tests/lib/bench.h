/* bench: a worker's engine with simulated handler threads around it, on a simulated queue and clock (sim.h).
 *
 * What handlers decide and how long they take is drawn from the seed, or comes from functions of the test. The
 * in-flight cap is asserted after every event. */
#ifndef FANOUT_TESTS_LIB_BENCH_H
#define FANOUT_TESTS_LIB_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/order_witness.h"
#include "lib/sim.h"
#include "worker/engine.h"
#include "worker/share.h"

#define BENCH_THREADS 4
#define BENCH_WAITING 4096

struct bench;

/* A handler thread: what it runs, and until when. */
struct bench_thread {
    struct timer timer;
    struct bench *bench;
    struct batch *batch;
    size_t at; /* how many messages of it the thread has decided about */

    /* handle_batch */
    bool down; /* one of the batch was HANDLER_DOWN: nothing more of it is begun */

    /* handle */
    struct message *message; /* that it is called with; NULL: nothing is left of the batch */
    struct message *next;    /* of its group */
    struct message *settled; /* in a call that goes on */
};

struct bench {
    struct sim sim;
    struct engine *engine;
    struct inbox inbox;
    struct batch *waiting[BENCH_WAITING];
    size_t first, n_waiting;
    struct bench_thread threads[BENCH_THREADS];
    size_t n_threads;            /* that work */
    bool stopping;               /* handlers begin nothing more */
    bool held;                   /* ... but trials */
    bool each;                   /* a plugin with handle; handle_batch otherwise */
    struct share share;          /* with handle: idle threads join at once */
    struct order_witness *order; /* of a FIFO queue; NULL: nobody watches */
    size_t cap, most_in_hand, largest_batch, batches;
    enum ipc_health health;
    char health_text[100];
    unsigned health_changes, deaf_to_health; /* the next so many tellings are not heard */

    /* per thousand messages */
    unsigned retry, reject;
    unsigned early;     /* settled before the batch returns */
    int64_t longest_ms; /* a message takes up to so long */

    /* The verdict, delay and reason of m (s is the queue's own record of it); NULL: by the rates. */
    void (*decide)(struct bench *b, struct message *m, struct sim_message *s);
    /* How long one message takes; NULL: up to longest_ms. */
    int64_t (*takes)(struct bench *b, const struct message *m);
    void *context;
};

/* Four threads, batches of ten, prefetch 1, long polls of 20 s, retries after 1 to 60 s. */
struct engine_options bench_defaults(void);

/* options NULL: the defaults. The engine has started, and moves when the clock does. */
void bench_init(struct bench *b, uint64_t seed, const struct engine_options *options);
void bench_clean_up(struct bench *b);

void bench_put(struct bench *b, size_t n);

/* The same on a FIFO queue, "orders.fifo", whatever options.queue says. Its order is watched, and the first breach of
 * it aborts. */
void bench_init_fifo(struct bench *b, uint64_t seed, const struct engine_options *options);

/* Runs the clock, with the engine's turn after each event as its loop has it. */
void bench_run(struct bench *b, int64_t ms);
bool bench_run_until(struct bench *b, bool (*condition)(struct bench *b), int64_t ms);

/* Conditions. */
bool bench_all_deleted(struct bench *b); /* and nothing is in hand */
bool bench_is_over(struct bench *b);

size_t bench_in_hand(struct bench *b);
bool bench_ledger_is_empty(struct bench *b);

#define BENCH_COUNT(b, counter) ((long)atomic_load(&(b)->sim.world.metrics->counter))

#endif
