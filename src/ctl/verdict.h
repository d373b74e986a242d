/* verdict: what a demo says at its end, and whether all went well. */
#ifndef FANOUT_CTL_VERDICT_H
#define FANOUT_CTL_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/tally.h"

struct verdict {
    const struct tally *tally;
    const char *name;  /* of the file, as messages call it */
    size_t failed;     /* events that were given up by the publisher */
    size_t unanswered; /* sent, and no word came back */
    size_t left;       /* not sent, for lack of time */
    size_t bad;        /* lines passed over */
};

/* Prints it to stdout. True when every event that was published was captured and handled, each that was tried was
 * published, and at least one was: what was left or bad is said, and no failure. */
bool verdict_print(const struct verdict *v);

#endif
