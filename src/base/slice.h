/* slice: a borrowed run of bytes, not NUL-terminated. The currency of every parser here: a slice points into somebody
 * else's buffer and lives as long as that buffer does. */
#ifndef FANOUT_BASE_SLICE_H
#define FANOUT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
};

/* Printf arguments for "%.*s". */
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* A string literal as a slice. */
#define SLICE(literal) ((struct slice){.p = (literal), .n = sizeof(literal) - 1})

static inline struct slice
slice_of(const char *p, size_t n)
{
    return (struct slice){.p = p, .n = n};
}

static inline struct slice
slice_of_string(const char *s)
{
    return (struct slice){.p = s, .n = s ? strlen(s) : 0};
}

static inline bool
slice_equals(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
slice_equals_string(struct slice a, const char *s)
{
    return slice_equals(a, slice_of_string(s));
}

static inline bool
slice_starts_with(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

#endif
