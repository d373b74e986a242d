/* lines: a file of one JSON object a line (PutEvents entries, or events as they are), bad lines named on stderr and
 * passed over. */
#ifndef FANOUT_CTL_LINES_H
#define FANOUT_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "ctl/entry.h"

/* Longer lines are bad ones, and never in memory: with every character escaped twice, the largest entry that
 * EventBridge takes is shorter. */
#define LINES_LINE_BYTES_MAX (8 * 1024 * 1024)

struct lines {
    int fd;
    off_t start;      /* where a shared standard input stood */
    const char *name; /* as messages call it */
    const char *default_bus;
    struct buf unread; /* what was read and not handed out yet, from `at` on */
    size_t at, looked; /* looked: so far there is no line end */
    size_t number;     /* of the last line, from 1 */
    size_t bad;        /* lines passed over */
    int error;         /* errno of the read that failed; 0: none did */
    bool ended;        /* there is no more to read */
    bool too_long;     /* the rest of the present line is dropped */
    bool quiet;        /* do not name bad lines (a second reading) */
};

/* Opens name ("-": standard input). ERR_NOT_FOUND, ERR_DENIED, ERR_IO. */
int lines_open(struct lines *l, const char *name, const char *default_bus, struct err *e);
void lines_close(struct lines *l);

/* Makes lines_rewind work on what can be read only once (a pipe, a terminal): copies it to a file without a name.
 * Before the first entry is read. ERR_IO. */
int lines_keep(struct lines *l, struct err *e);

/* Back to the first line, to be silent about bad lines this time. */
void lines_rewind(struct lines *l);

enum lines_outcome {
    LINES_ENTRY,
    LINES_END, /* which is early when reading failed (lines_check) */
    LINES_WAIT /* the writer of a pipe or a terminal has not said more: l->fd becomes readable when it does */
};

/* The next line that is not empty, as it stands, without its end; LINES_ENTRY, and never waits. The text is valid until
 * the next line is asked for. */
enum lines_outcome lines_try_text(struct lines *l, struct slice *ret_text);

/* Waits until the writer has said more. */
void lines_wait(const struct lines *l);

/* The last line is a bad one: names it, with the reason. */
void lines_name_bad(struct lines *l, const char *reason);

/* The next good entry, without waiting for a writer. Empty lines do not count, nor does a byte order mark in front of
 * the first. */
enum lines_outcome lines_try(struct lines *l, struct entry **ret_entry);

/* The same, waiting. NULL at the end. */
struct entry *lines_next(struct lines *l);

/* 0, or ERR_IO when reading failed. */
int lines_check(const struct lines *l, struct err *e);

#endif
