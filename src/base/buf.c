#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

void
buf_init(struct buf *b)
{
    *b = (struct buf)BUF_INIT;
}

void
buf_init_limited(struct buf *b, size_t limit_bytes)
{
    *b = (struct buf){.limit = limit_bytes};
}

void
buf_clean_up(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.limit = b->limit};
}

void
buf_wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    buf_clean_up(b);
}

void
buf_reset(struct buf *b)
{
    b->failed = false;
    buf_truncate(b, 0);
}

static bool
fail(struct buf *b)
{
    b->failed = true;
    return false;
}

/* The final NUL has its byte; with capacity 0 nothing fits. */
static inline bool
has_room(const struct buf *b, size_t n)
{
    return !b->failed && n < b->capacity - b->len && (!b->limit || n <= b->limit - b->len);
}

bool
buf_reserve(struct buf *b, size_t n)
{
    if (has_room(b, n))
        return true;
    if (b->failed)
        return false;
    size_t most = b->limit && b->limit < PTRDIFF_MAX ? b->limit : PTRDIFF_MAX - 1;
    if (b->len > most || n > most - b->len)
        return fail(b);
    size_t needed = b->len + n + 1;
    size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity <= most / 2 ? capacity * 2 : needed;
    if (capacity > most + 1)
        capacity = needed;
    char *data = realloc(b->data, capacity);
    if (!data)
        return fail(b);
    b->data = data;
    b->capacity = capacity;
    b->data[b->len] = '\0';
    return true;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
    if (!has_room(b, n) && !buf_reserve(b, n))
        return;
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void
buf_add_slice(struct buf *b, struct slice s)
{
    buf_add(b, s.p, s.n);
}

void
buf_add_string(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void
buf_add_char(struct buf *b, char c)
{
    if (!has_room(b, 1) && !buf_reserve(b, 1))
        return;
    b->data[b->len++] = c;
    b->data[b->len] = '\0';
}

void
buf_add_int(struct buf *b, int64_t v)
{
    char digits[20]; /* 19 digits and a sign */
    size_t at = sizeof digits;
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        digits[--at] = '-';
    buf_add(b, digits + at, sizeof digits - at);
}

void
buf_add_format(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(b, format, ap);
    va_end(ap);
}

void
buf_add_format_va(struct buf *b, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    if (buf_reserve(b, 0)) {
        size_t room = b->capacity - b->len;
        int n = vsnprintf(b->data + b->len, room, format, ap);
        if (n < 0 || !buf_reserve(b, (size_t)n)) {
            b->data[b->len] = '\0';
            b->failed = true;
        } else {
            if ((size_t)n >= room)
                vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
}

void
buf_truncate(struct buf *b, size_t n)
{
    assert(n <= b->len);
    b->len = n;
    if (b->data)
        b->data[n] = '\0';
}

void
buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n);
    buf_truncate(b, b->len - n);
}

char *
buf_take(struct buf *b)
{
    char *taken = NULL;
    if (buf_reserve(b, 0)) {
        taken = b->data;
        b->data = NULL;
    }
    buf_clean_up(b);
    return taken;
}
