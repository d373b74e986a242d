/* rounds: how often a test tries what it draws at random, or how much of it.
 *
 * A sanitizer takes five to twenty times as long for each, and has in few of them what it can find: whether the answer
 * is right is for the release to say, with all of them. So has `make soak`, under whatever it is built with. */
#ifndef FANOUT_TESTS_LIB_ROUNDS_H
#define FANOUT_TESTS_LIB_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>

/* n, or a fifth of it (at least 1) under a sanitizer, unless FANOUT_EVENTS says how long runs are to be, as `make soak`
 * does. */
size_t rounds_of(size_t n);

/* Whether it is all of them. */
bool rounds_are_all(void);

#endif
