/* fuzz: what the fuzz targets share. */
#ifndef FANOUT_TESTS_FUZZ_H
#define FANOUT_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property of the thing under test: what breaks it is a finding. */
static inline void
check(bool holds)
{
    if (!holds)
        abort();
}

/* Cuts the first line off. */
static inline struct slice
take_line(struct slice *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct slice line = slice_of(rest->p, n);
    *rest = slice_of(rest->p ? rest->p + n + (end != NULL) : NULL, rest->n - n - (end != NULL));
    return line;
}

/* Reads every byte, so that a sanitizer sees one that is not there. */
static inline void
touch(struct slice s)
{
    volatile unsigned char sum = 0;
    for (size_t i = 0; i < s.n; i++)
        sum = (unsigned char)(sum + (unsigned char)s.p[i]);
}

#endif
