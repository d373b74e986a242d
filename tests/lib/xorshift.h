/* xorshift: numbers that the same seed (not 0) draws again: xorshift64*. */
#ifndef FANOUT_TESTS_LIB_XORSHIFT_H
#define FANOUT_TESTS_LIB_XORSHIFT_H

#include <stdint.h>

static inline uint64_t
xorshift_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

#endif
