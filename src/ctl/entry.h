/* entry: one PutEvents entry as a line of JSON, the form in which the AWS CLI and the SDKs take them:
 *
 *     {"Source":"buffer.source","DetailType":"BufferedEvent","Detail":"{\"user_id\":123}","EventBusName":"durable-event-bus"}
 *
 * Detail may also be written as an object, which is then sent byte for byte as it stands. */
#ifndef FANOUT_CTL_ENTRY_H
#define FANOUT_CTL_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "aws/events.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct entry {
    struct events_entry event; /* slices into arena */
    size_t line;               /* where it came from, from 1 */
    unsigned attempts;         /* the publisher's */
    bool alone;                /* the publisher's: goes in a call of its own */
    struct entry *next;        /* the publisher's */
    struct arena arena;
};

/* Reads one line. default_bus stands in for a missing EventBusName. ERR_INVALID says what is wrong: no JSON, no object,
 * an unknown member, a wrong type, a required member missing, a Detail that is no JSON object, too large. */
int entry_parse(struct slice text, size_t line, const char *default_bus, struct entry **ret_entry, struct err *e);
void entry_destroy(struct entry *entry); /* NULL is fine */

#endif
