#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CHUNK_BYTES 4096
#define ALIGNMENT           _Alignof(max_align_t)

/* Under AddressSanitizer, bytes that are not handed out are poisoned, so that a use after arena_reset or past the end
 * of an allocation is found as it would be with malloc. */
#if defined __has_feature
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined WITH_ASAN
#include <sanitizer/asan_interface.h>
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* poisoning reads nothing, whatever its prototype says */
#endif
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of bytes */
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

void
arena_init(struct arena *a, size_t chunk_bytes)
{
    *a = (struct arena){.chunk_bytes = chunk_bytes ? chunk_bytes : DEFAULT_CHUNK_BYTES};
}

void
arena_clean_up(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    a->chunks = NULL;
    a->used_bytes = 0;
}

void
arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        if (!kept && c->size == a->chunk_bytes)
            kept = c;
        else
            free(c);
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
        POISON(kept->bytes, kept->size);
    }
    a->chunks = kept;
    a->used_bytes = 0;
}

static struct arena_chunk *
chunk_new(size_t size)
{
    if (size > PTRDIFF_MAX - sizeof(struct arena_chunk))
        return NULL;
    struct arena_chunk *c = malloc(sizeof *c + size);
    if (!c)
        return NULL;
    c->size = size;
    c->used = 0;
    POISON(c->bytes, size);
    return c;
}

/* Adds a chunk that holds n bytes. An outsize one goes behind the newest, whose room is still good. */
static struct arena_chunk *
add_chunk(struct arena *a, size_t n)
{
    bool outsize = n > a->chunk_bytes;
    struct arena_chunk *c = chunk_new(outsize ? n : a->chunk_bytes);
    if (!c)
        return NULL;
    struct arena_chunk **at = outsize && a->chunks ? &a->chunks->next : &a->chunks;
    c->next = *at;
    *at = c;
    return c;
}

void *
arena_alloc(struct arena *a, size_t n)
{
    assert(a->chunk_bytes > 0);
    if (n > PTRDIFF_MAX)
        return NULL;
    size_t rounded = ((n ? n : 1) + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    struct arena_chunk *c = a->chunks;
    if (!c || c->size - c->used < rounded) {
        c = add_chunk(a, rounded);
        if (!c)
            return NULL;
    }
    char *p = c->bytes + c->used;
    UNPOISON(p, n);
    c->used += rounded;
    a->used_bytes += n;
    return p;
}

void *
arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

char *
arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *
arena_strndup(struct arena *a, const char *p, size_t n)
{
    if (n >= PTRDIFF_MAX)
        return NULL;
    char *copy = arena_alloc(a, n + 1);
    if (!copy)
        return NULL;
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

char *
arena_format(struct arena *a, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (text) {
        va_start(ap, format);
        vsnprintf(text, (size_t)n + 1, format, ap);
        va_end(ap);
    }
    return text;
}
