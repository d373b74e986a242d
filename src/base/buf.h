/* buf: a growable run of bytes.
 *
 * Appending cannot fail at the place of use: a buf that could not grow becomes `failed`, ignores what is appended after
 * that, and says so once, when it is finished (buf_failed). data is always NUL-terminated once anything was appended
 * (an empty string is enough), so a buf of text can be used as a C string. What is appended must not lie in the buf.
 * Not thread-safe: one owner. */
#ifndef FANOUT_BASE_BUF_H
#define FANOUT_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
    char *data;      /* NULL until something is appended */
    size_t len;      /* bytes in use, the final NUL not counted */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* growing past it fails; 0: no limit */
    bool failed;
};

/* clang-format off */
#define BUF_INIT {0}
/* clang-format on */

void buf_init(struct buf *b);
void buf_init_limited(struct buf *b, size_t limit_bytes);

/* Frees the bytes; *b is as after buf_init (its limit included). */
void buf_clean_up(struct buf *b);

/* As buf_clean_up, with the bytes overwritten first: for secrets. Reserve their room first: growing leaves copies. */
void buf_wipe(struct buf *b);

/* Empties it, keeps the memory, clears `failed`. */
void buf_reset(struct buf *b);

/* Room for n more bytes. Returns false (and marks it failed) when there is no memory or the limit is passed. */
bool buf_reserve(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_slice(struct buf *b, struct slice s);
void buf_add_string(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_int(struct buf *b, int64_t v);
void buf_add_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_add_format_va(struct buf *b, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

/* Shortens it to n bytes (n <= len). */
void buf_truncate(struct buf *b, size_t n);

/* Removes the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

/* Moves the bytes out as a NUL-terminated string the caller frees; *b is as after buf_clean_up. NULL when it failed (or
 * fails now for lack of memory). An empty buf gives "". */
char *buf_take(struct buf *b);

static inline bool
buf_failed(const struct buf *b)
{
    return b->failed;
}

static inline struct slice
buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->len);
}

#endif
