/* arena: memory that is freed all at once.
 *
 * A batch of messages, a parsed response, a configuration: many small pieces with one lifetime. Allocation is a pointer
 * bump; nothing is freed singly. Not thread-safe: one owner at a time. */
#ifndef FANOUT_BASE_ARENA_H
#define FANOUT_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t chunk_bytes;         /* size of an ordinary chunk; larger requests get their own */
    size_t used_bytes;          /* handed out since init or reset */
};

/* chunk_bytes 0: 4096. Allocates nothing yet. */
void arena_init(struct arena *a, size_t chunk_bytes);
void arena_clean_up(struct arena *a);

/* Forgets all allocations, keeps one ordinary chunk for the next use. */
void arena_reset(struct arena *a);

/* n bytes, aligned for any type, not zeroed (arena_zalloc zeroes). n == 0 gives a valid pointer. NULL: no memory. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);

/* Copies with a NUL behind them. NULL: no memory (or s is NULL for arena_strdup). */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *p, size_t n);
char *arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline char *
arena_strdup_slice(struct arena *a, struct slice s)
{
    return arena_strndup(a, s.p, s.n);
}

#endif
