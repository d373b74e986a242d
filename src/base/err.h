/* err: what went wrong, in a form a caller can decide on and a person can read.
 *
 * Every fallible function returns 0 or one of the negative codes below and, when its last parameter is not NULL, fills
 * a struct err with the same code and a text that names the thing concerned and what to do about it. The text is
 * logged once, where the error is decided upon. */
#ifndef FANOUT_BASE_ERR_H
#define FANOUT_BASE_ERR_H

#include <stdbool.h>

enum err_code {
    ERR_OK = 0,
    ERR_NO_MEMORY = -1, /* an allocation failed */
    ERR_IO = -2,        /* the operating system refused: file, socket, process */
    ERR_INVALID = -3,   /* input that breaks its rules: configuration, JSON, an argument */
    ERR_NOT_FOUND = -4,
    ERR_EXISTS = -5,
    ERR_DENIED = -6, /* credentials or permissions */
    ERR_LIMIT = -7,  /* a bound of ours was reached: size, depth, queue */
    ERR_TIMEOUT = -8,
    ERR_PROTOCOL = -9,     /* the peer answered something that makes no sense */
    ERR_UNAVAILABLE = -10, /* the peer cannot be reached or says "later" */
    ERR_CANCELLED = -11,
    ERR_CORRUPT = -12, /* stored data fails its checksum or its schema */
};

struct err {
    int code;       /* enum err_code */
    bool retryable; /* the same call may succeed later */
    char text[500]; /* one line, no newline at the end, truncated with "..." */
};

/* Fills *e (which may be NULL) and returns code, so that callers can write `return err_set(e, ERR_INVALID, ...)`.
 * retryable is set for ERR_TIMEOUT and ERR_UNAVAILABLE and cleared otherwise. Keeps errno. */
int err_set(struct err *e, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As err_set with ": " and strerror(errnum) appended; ENOMEM gives ERR_NO_MEMORY, ENOENT ERR_NOT_FOUND,
 * EACCES and EPERM ERR_DENIED, EEXIST ERR_EXISTS, all others ERR_IO. */
int err_set_errno(struct err *e, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text. Returns e->code, or code when e is NULL. */
int err_prefix(struct err *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "out of memory" errors, without formatting anything. */
int err_no_memory(struct err *e);

/* What all of these return is negative. Compilers and analysers of a caller do not see into err.c: without being told,
 * they follow paths on which an error was set and rc is 0. */
static inline int
err_negative(int code)
{
    if (code >= 0)
        __builtin_unreachable();
    return code;
}
#define err_set(...)       err_negative(err_set(__VA_ARGS__))
#define err_set_errno(...) err_negative(err_set_errno(__VA_ARGS__))
#define err_prefix(...)    err_negative(err_prefix(__VA_ARGS__))
#define err_no_memory(e)   err_negative(err_no_memory(e))

void err_clear(struct err *e);

/* The code's name, for logs: "NOT_FOUND". */
const char *err_name(int code);

#endif
