#include "lib/failing_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Whose allocator is behind ours. strdup and strndup of the C library and of sanitizers go past ours, so they are made
 * anew. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifdef HAS_SANITIZER
#define REAL(f) __interceptor_##f
#define UNSEEN  __attribute__((no_sanitize("address", "thread", "undefined"))) /* called before it is set up, too */
#else
#define REAL(f) __libc_##f
#define UNSEEN
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void REAL(free)(void *p);

static long allocations, fails_at; /* fails_at 0: never; the failing one and all behind it if lasting */
static bool lasting;
static long live;

UNSEEN static bool
refused(void)
{
    allocations++;
    if (fails_at == 0 || allocations < fails_at || (!lasting && allocations > fails_at))
        return false;
    errno = ENOMEM;
    return true;
}

UNSEEN void *
malloc(size_t n)
{
    void *p = refused() ? NULL : REAL(malloc)(n);
    live += p != NULL;
    return p;
}

UNSEEN void *
calloc(size_t n, size_t size)
{
    void *p = refused() ? NULL : REAL(calloc)(n, size);
    live += p != NULL;
    return p;
}

UNSEEN void *
realloc(void *p, size_t n)
{
    void *grown = refused() ? NULL : REAL(realloc)(p, n);
    live += !p && grown;
    return grown;
}

UNSEEN void *
reallocarray(void *p, size_t n, size_t size)
{
    return realloc(p, n * size); /* the tests' are small */
}

UNSEEN void
free(void *p)
{
    live -= p != NULL;
    REAL(free)(p);
}

UNSEEN char *
strndup(const char *text, size_t most)
{
    size_t n = strnlen(text, most);
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

UNSEEN char *
strdup(const char *text)
{
    return strndup(text, strlen(text));
}

void
failing_malloc_begin(void)
{
    allocations = 0;
    lasting = true;
    fails_at = 1;
}

struct failing_malloc
failing_malloc_suspend(void)
{
    struct failing_malloc s = {.fails_at = fails_at, .live = live};
    fails_at = 0;
    return s;
}

void
failing_malloc_resume(const struct failing_malloc *s)
{
    allocations = 0;
    fails_at = s->fails_at;
}

long
failing_malloc_stop(void)
{
    fails_at = 0;
    return allocations;
}

void
failing_malloc_disregard(const struct failing_malloc *s, long counted)
{
    allocations = counted;
    live = s->live;
}

void
failing_malloc_each(int (*f)(void))
{
    assert_int_equal(f(), 0); /* what is kept for ever is made here */
    for (int together = 0; together < 2; together++) {
        long n = 0, before;
        int rc;
        do {
            before = live;
            allocations = 0;
            lasting = together;
            fails_at = ++n;
            rc = f();
            fails_at = 0;
            if (live != before)
                fail_msg("allocation %ld failed and %ld were not freed", n, live - before);
            if (rc != 0 && rc != ERR_NO_MEMORY && rc != ERR_PROTOCOL)
                fail_msg("allocation %ld failed with %d", n, rc);
        } while (allocations >= n);
        assert_int_equal(rc, 0);
        assert_true(n > 1);
    }
}
