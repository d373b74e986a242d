/* lines: PutEvents entries from a file of one JSON object a line, bad lines named on stderr and passed over. */
#ifndef FANOUT_CTL_LINES_H
#define FANOUT_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "ctl/entry.h"

/* Longer lines are bad ones, and never in memory: with every character escaped twice, the largest entry that
 * EventBridge takes is shorter. */
#define LINES_LINE_BYTES_MAX (8 * 1024 * 1024)

struct lines {
    FILE *file;
    const char *name; /* as messages call it */
    const char *default_bus;
    struct buf text; /* of the last line */
    size_t number;   /* of the last line read, from 1 */
    size_t bad;      /* lines passed over */
    int error;       /* errno of the read that failed; 0: none did */
    bool quiet;      /* do not name bad lines (a second reading) */
};

/* Opens name ("-": standard input). ERR_NOT_FOUND, ERR_DENIED, ERR_IO. */
int lines_open(struct lines *l, const char *name, const char *default_bus, struct err *e);
void lines_close(struct lines *l);

/* Makes lines_rewind work on what can be read only once (a pipe, a terminal): copies it to a file without a name.
 * Before the first lines_next. ERR_IO. */
int lines_keep(struct lines *l, struct err *e);

/* Back to the first line, to be silent about bad lines this time. */
void lines_rewind(struct lines *l);

/* The next good entry, or NULL at the end, which is early when reading failed (lines_check). Empty lines do not
 * count. */
struct entry *lines_next(struct lines *l);

/* 0, or ERR_IO when reading failed. */
int lines_check(const struct lines *l, struct err *e);

#endif
