/* supply: the events a demo publishes, generated or a person's own from a file. */
#ifndef FANOUT_CTL_SUPPLY_H
#define FANOUT_CTL_SUPPLY_H

#include <stddef.h>

#include "base/err.h"
#include "ctl/entry.h"
#include "ctl/lines.h"

struct supply {
    const char *bus;
    size_t total;     /* events there are */
    size_t bad;       /* lines passed over */
    size_t generated; /* so far */
    struct lines lines;
    bool own; /* a file's */
};

/* file NULL: `count` generated events; else the entries of file ("-": standard input) that are meant for bus or name
 * none. It is read once to count them, and the bad lines are named on stderr. ERR_INVALID: it holds no event. */
int supply_open(struct supply *s, const char *file, size_t count, const char *bus, struct err *e);
void supply_close(struct supply *s);

/* The next event, which the caller destroys; NULL: that were all. */
struct entry *supply_next(struct supply *s);

/* As messages call what has no line number of a file. */
const char *supply_name(const struct supply *s);

#endif
