/* publish_rig: an engine whose handlers publish: a bench (bench.h) with a simulated bus and queues behind it
 * (sim_outlet.h). */
#ifndef FANOUT_TESTS_LIB_PUBLISH_RIG_H
#define FANOUT_TESTS_LIB_PUBLISH_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bench.h"
#include "lib/sim_outlet.h"
#include "worker/publish_list.h"

struct publish_rig {
    struct bench bench;
    struct sim_outlet out;
    struct publish_desk desk;
    const char *bus, *queue; /* where each message's pieces go; NULL: nowhere */
    size_t pieces;           /* of each message, to each of the two */
    size_t detail_bytes;     /* more of it */
    int32_t verdict;         /* of the first delivery; 0: done */
    int64_t delay_ms;        /* that goes with any verdict */
    bool groups;             /* FIFO: pieces alternate between two groups */
    bool looked_at[1000];    /* messages, once they were deleted */

    /* faults: for payloads with this text (NULL: all), of this kind, so often */
    struct {
        enum sim_outlet_call call;
        const char *text;
        struct sim_fault fault;
        unsigned times;
    } failure;
};

extern struct publish_rig publishing; /* one at a time */

/* Handlers publish publishing.pieces of each message, to a bus or as it says, and are done; init: bench_init or
 * bench_init_fifo. */
void publish_rig_begin_on(uint64_t seed, struct engine_options *o,
                          void (*init)(struct bench *b, uint64_t seed, const struct engine_options *options));
void publish_rig_begin_with(uint64_t seed, struct engine_options *o);
void publish_rig_begin(uint64_t seed);

/* Nothing is left at the desk. */
void publish_rig_end(void);

/* What a handler publishes of m: pieces are told apart by "n": 0, 1, ... and their message. */
void publish_rig_publish(struct message *m);
void publish_rig_handle(struct bench *b, struct message *m, struct sim_message *s);

/* Calls of this kind fail so, as often (UINT32_MAX: until publishing.failure.times is 0). */
void publish_rig_let_fail(enum sim_outlet_call call, struct sim_fault fault, unsigned times);

/* Until all is deleted, looking after each step. */
void publish_rig_run(int64_t ms);

/* Nothing is deleted before all of its pieces arrived, and none arrives that no handler published. */
void publish_rig_assert_nothing_lost(void);
void publish_rig_assert_one_copy(void);

#endif
