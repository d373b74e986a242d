/* attempts: receives that were no attempts, and attempts that cost no receive.
 *
 * SQS counts receives, of every host; a policy counts attempts. Messages come to this worker and go without their
 * handler: given back behind a failed one of their group, lost while they waited, received a second time while in hand.
 * And a FIFO queue's message can fail several times in one receive. This table remembers how often, so that
 *
 *     attempts = receive count - such receives + failures here beyond the first of each receive
 *
 * Of receives it is an upper bound: what other hosts gave back, and what this process's predecessor did, is not known
 * here. Nor is how often it failed there within a receive.
 *
 * Bounded: ids are kept by their hash (64 bits; two that share it would share the number, which costs one of them a
 * further try), in sets of eight, where the one noted longest ago makes room. The memory is touched as it is used.
 * Engine thread only. */
#ifndef FANOUT_WORKER_ATTEMPTS_H
#define FANOUT_WORKER_ATTEMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct attempts_entry;

struct attempts {
    struct attempts_entry *entries;
    size_t n_sets, count;
    uint32_t clock; /* of notes: which was longest ago */
};

/* For some `capacity` messages. */
int attempts_init(struct attempts *a, size_t capacity, struct err *e);
void attempts_clean_up(struct attempts *a);

/* A receive of the message with this hash (message_hash) was no attempt. */
void attempts_note_unused(struct attempts *a, uint64_t hash);

/* In a receive that has ended it failed here so often beyond the first time. */
void attempts_note_failed_here(struct attempts *a, uint64_t hash, uint32_t failures);

/* That it is left to the queue is about to be said. True: it was said before. */
bool attempts_note_left(struct attempts *a, uint64_t hash);

/* It has ended for good. */
void attempts_forget(struct attempts *a, uint64_t hash);

/* Attempts of a message at this receive count, the current one included; at least 1. local_failures: beyond the first
 * of this receive. */
uint32_t attempts_of(const struct attempts *a, uint64_t hash, uint32_t receive_count, uint32_t local_failures);

#endif
