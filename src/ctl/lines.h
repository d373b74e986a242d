/* lines: PutEvents entries from a file of one JSON object a line, bad lines named on stderr and passed over. */
#ifndef FANOUT_CTL_LINES_H
#define FANOUT_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "ctl/entry.h"

struct lines {
    FILE *file;
    const char *name; /* "-" is standard input */
    const char *default_bus;
    char *text; /* getline's */
    size_t capacity;
    size_t number; /* of the last line read, from 1 */
    size_t bad;    /* lines passed over */
    bool quiet;    /* do not name them (a second reading) */
};

/* Opens name ("-": standard input). ERR_NOT_FOUND, ERR_DENIED, ERR_IO. */
int lines_open(struct lines *l, const char *name, const char *default_bus, struct err *e);
void lines_close(struct lines *l);

/* The next good entry, or NULL at the end. Empty lines do not count. */
struct entry *lines_next(struct lines *l);

#endif
