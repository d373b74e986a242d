/* dedup_model: what every deduplication store (worker/dedup_store.h) must answer, worked out slowly and obviously, and
 * a store driven beside it.
 *
 * One thread. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_DEDUP_MODEL_H
#define FANOUT_TESTS_LIB_DEDUP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/dedup_store.h"

#define DEDUP_MODEL_STORES 2

/* Stores that keep the same records, and what moves them on until something is answered. */
struct dedup_driver {
    struct dedup_store *stores[DEDUP_MODEL_STORES]; /* the second may be NULL */
    void (*wait)(void *context);
    void *context;
};

/* An operation with one of them, to its answer. */
struct dedup_op dedup_driver_do(struct dedup_driver *d, unsigned store, enum dedup_kind kind, const char *key,
                                const char *owner, int64_t now_ms, int64_t expires_ms);

/* `count` random operations, on a few keys by a few owners, with time going on by the way; each answer is compared. */
void dedup_model_run(struct dedup_driver *d, uint64_t seed, unsigned count);

/* Both stores begin the same keys at the same time: each key has one that may. */
void dedup_model_race(struct dedup_driver *d, unsigned keys);

#endif
