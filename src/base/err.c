#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef err_set
#undef err_set_errno
#undef err_prefix
#undef err_no_memory

/* Room for a text that is about to be truncated: one byte more than fits, so that truncation shows. */
struct draft {
    char text[sizeof((struct err *)0)->text + 1];
    size_t n;
};

static void __attribute__((format(printf, 2, 0))) draft_add_va(struct draft *d, const char *format, va_list ap)
{
    size_t room = sizeof d->text - d->n;
    int n = vsnprintf(d->text + d->n, room, format, ap);
    if (n > 0)
        d->n += (size_t)n < room ? (size_t)n : room - 1;
}

static void __attribute__((format(printf, 2, 3))) draft_add(struct draft *d, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    draft_add_va(d, format, ap);
    va_end(ap);
}

/* Moves the draft into e->text as one line. The draft is separate because its arguments may point into e->text. */
static void
store_text(struct err *e, struct draft *d)
{
    size_t max = sizeof e->text - 1;
    if (d->n > max) {
        size_t cut = max - 3;
        while (cut > 0 && ((unsigned char)d->text[cut] & 0xc0) == 0x80) /* not inside a UTF-8 sequence */
            cut--;
        memcpy(d->text + cut, "...", 3);
        d->n = cut + 3;
    }
    while (d->n > 0 && (d->text[d->n - 1] == '\n' || d->text[d->n - 1] == '\r'))
        d->n--;
    for (size_t i = 0; i < d->n; i++)
        e->text[i] = (unsigned char)d->text[i] < 0x20 || d->text[i] == 0x7f ? ' ' : d->text[i];
    e->text[d->n] = '\0';
}

static void
store_code(struct err *e, int code)
{
    e->code = code;
    e->retryable = code == ERR_TIMEOUT || code == ERR_UNAVAILABLE;
}

int
err_set(struct err *e, enum err_code code, const char *format, ...)
{
    assert(code < 0);
    if (!e)
        return code;
    int saved_errno = errno;
    struct draft d = {.n = 0};
    va_list ap;
    va_start(ap, format);
    draft_add_va(&d, format, ap);
    va_end(ap);
    store_text(e, &d);
    store_code(e, code);
    errno = saved_errno;
    return code;
}

static enum err_code
code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

int
err_set_errno(struct err *e, int errnum, const char *format, ...)
{
    enum err_code code = code_of_errno(errnum);
    if (!e)
        return code;
    int saved_errno = errno;
    char reason[128];
    struct draft d = {.n = 0};
    va_list ap;
    va_start(ap, format);
    draft_add_va(&d, format, ap);
    va_end(ap);
    draft_add(&d, ": %s", strerror_r(errnum, reason, sizeof reason));
    store_text(e, &d);
    store_code(e, code);
    errno = saved_errno;
    return code;
}

int
err_prefix(struct err *e, int code, const char *format, ...)
{
    assert(e ? e->code < 0 : code < 0);
    if (!e)
        return code;
    int saved_errno = errno;
    struct draft d = {.n = 0};
    va_list ap;
    va_start(ap, format);
    draft_add_va(&d, format, ap);
    va_end(ap);
    draft_add(&d, ": %s", e->text);
    store_text(e, &d);
    errno = saved_errno;
    return e->code;
}

int
err_no_memory(struct err *e)
{
    static const char text[] = "out of memory";
    if (e) {
        memcpy(e->text, text, sizeof text);
        store_code(e, ERR_NO_MEMORY);
    }
    return ERR_NO_MEMORY;
}

void
err_clear(struct err *e)
{
    if (!e)
        return;
    e->code = ERR_OK;
    e->retryable = false;
    e->text[0] = '\0';
}

const char *
err_name(int code)
{
    switch ((enum err_code)code) {
    case ERR_OK:
        return "OK";
    case ERR_NO_MEMORY:
        return "NO_MEMORY";
    case ERR_IO:
        return "IO";
    case ERR_INVALID:
        return "INVALID";
    case ERR_NOT_FOUND:
        return "NOT_FOUND";
    case ERR_EXISTS:
        return "EXISTS";
    case ERR_DENIED:
        return "DENIED";
    case ERR_LIMIT:
        return "LIMIT";
    case ERR_TIMEOUT:
        return "TIMEOUT";
    case ERR_PROTOCOL:
        return "PROTOCOL";
    case ERR_UNAVAILABLE:
        return "UNAVAILABLE";
    case ERR_CANCELLED:
        return "CANCELLED";
    case ERR_CORRUPT:
        return "CORRUPT";
    }
    return "UNKNOWN";
}
