/* pattern_text: what a string of an event means, however long it is, in bounded memory.
 *
 * Nearly every string is written as it is meant, and is then a slice of the event. One with escapes is decoded into a
 * buffer; of one that is too long for it the beginning and the end are kept, which is all that anything but a wildcard
 * looks at, and a wildcard looks for its pieces while the string is decoded once more. */
#ifndef FANOUT_EVENT_PATTERN_TEXT_H
#define FANOUT_EVENT_PATTERN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/slice.h"
#include "event/pattern.h"

/* The most that a pattern's text can stand for: two bytes of it can be six of an event's (pattern_case.h). */
#define PATTERN_TEXT_ROOM (3 * EVENT_PATTERN_MAX_BYTES)

struct pattern_buffers {
    char head[PATTERN_TEXT_ROOM], tail[2 * PATTERN_TEXT_ROOM], window[2 * PATTERN_TEXT_ROOM];
};

struct pattern_text {
    struct slice head, tail; /* both are the whole text, or PATTERN_TEXT_ROOM bytes of it or more */
    size_t n;                /* bytes of the whole text */
    bool whole;
    struct slice raw;
    struct pattern_buffers *buffers;
};

/* The result points into the string or the buffers. */
struct pattern_text pattern_text(struct json string, struct pattern_buffers *buffers);

static inline bool
pattern_text_equals(const struct pattern_text *t, struct slice text)
{
    return t->n == text.n && slice_equals(t->head, text);
}

/* pieces are pattern_split_wildcard's. */
bool pattern_text_matches_wildcard(const struct pattern_text *t, const struct slice *pieces, size_t n);

#endif
