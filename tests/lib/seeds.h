/* seeds: which seeds a randomised test runs with.
 *
 * FANOUT_SEEDS="7 20-29": those. Otherwise FANOUT_SOAK_S=600: new ones until so many seconds are over. Otherwise the
 * test's own list, which keeps every seed that ever failed; under a sanitizer the first two of it, unless FANOUT_EVENTS
 * is given (lib/rounds.h). A program that includes this file takes part in
 * `make soak`. */
#ifndef FANOUT_TESTS_LIB_SEEDS_H
#define FANOUT_TESTS_LIB_SEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seeds {
    const uint64_t *kept;
    size_t n_kept;
    const char *list;    /* what is left of FANOUT_SEEDS; NULL: not given */
    uint64_t next, last; /* of the range begun */
    int64_t until_ms;    /* 0: no soak */
    uint64_t random;
};

/* Reads the environment. What is no list of seeds, or no number of seconds, ends the program with a word. */
void seeds_init(struct seeds *s, const uint64_t *kept, size_t n_kept);

/* The next one, which it prints; false: no more. */
bool seeds_next(struct seeds *s, uint64_t *ret_seed);

/* A number below `below` (> 0); the same seed in *random gives the same numbers. */
uint64_t seeds_draw(uint64_t *random, uint64_t below);

/* FANOUT_EVENTS, how many events a run is to have; or what the test is content with. */
size_t seeds_events(size_t otherwise);

#endif
