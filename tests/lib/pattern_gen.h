/* pattern_gen: random events and patterns that have something to do with each other.
 *
 * Names, strings and numbers come from small lists that are full of the things two implementations may see differently:
 * dotted names, escapes, surrogate pairs, letters whose cases differ in length, addresses and numbers in several
 * spellings. A pattern takes its fields from the event's, mostly, so that about half of the pairs match. */
#ifndef FANOUT_TESTS_LIB_PATTERN_GEN_H
#define FANOUT_TESTS_LIB_PATTERN_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define PATTERN_GEN_LEAVES 64
#define PATTERN_GEN_DEPTH  6

/* What an event has: the way to a scalar, and the scalar. */
struct pattern_gen_leaf {
    const char *names[PATTERN_GEN_DEPTH];
    size_t n_names;
    const char *text;                  /* of a string: what it means; of a number or a word: as written */
    bool is_string, is_number, is_odd; /* odd: no double is that number */
};

struct pattern_gen {
    uint64_t random;
    struct pattern_gen_leaf leaves[PATTERN_GEN_LEAVES];
    size_t n_leaves;
};

/* Same seed, same events and patterns. */
void pattern_gen_init(struct pattern_gen *g, uint64_t seed);

/* Both append their text. A pattern is for the event that was written last. */
void pattern_gen_event(struct pattern_gen *g, struct buf *out);
void pattern_gen_pattern(struct pattern_gen *g, struct buf *out);

/* A pattern in which one entry is, mostly, refused. */
void pattern_gen_invalid(struct pattern_gen *g, struct buf *out);

#endif
