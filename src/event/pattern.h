/* pattern: EventBridge event patterns, compiled once and matched without allocating.
 *
 *     struct event_pattern *p;
 *     if (event_pattern_compile(SLICE("{\"source\":[\"orders\"],\"detail\":{\"state\":[{\"prefix\":\"pa\"}]}}"), &p,
 * &e) != 0)
 *         ...                                // e.text says what is wrong and where, in AWS's words
 *     if (json_parse(text, &event, &e) == 0 && event_pattern_match(p, event))
 *         ...
 *     event_pattern_destroy(p);
 *
 * A pattern is an object that has the shape of the events it selects; its leaves are arrays of what the field may be.
 * Every field of the pattern must match (and), by any entry of its array (or). Fields the pattern does not name do not
 * matter. An entry is
 *
 *     "text"               the same string, compared after decoding escapes, case-sensitive
 *     300                  the same number (as a double: 300.0 and 3e2 too; one too large for a double by its text)
 *     true, false, null    itself; null is a field that is there and null, not one that is missing
 *     {"prefix": "text"}   a string that starts so
 *
 * Names are joined by dots before they are compared, so that {"a":{"b":[1]}} and {"a.b":[1]} mean the same, in patterns
 * as in events. Of a field given twice the pattern's last one counts; in an event any of them may match.
 *
 * Arrays of events stand for their elements: a field matches when one of its elements does, however deep arrays nest.
 * An empty array has no element to match. Two fields never match by different elements of the same array:
 * {"item":{"id":[1],"n":[2]}} does not match {"item":[{"id":1,"n":0},{"id":0,"n":2}]}.
 *
 * AWS's other entries (suffix, equals-ignore-case, wildcard, numeric, cidr, exists, anything-but) and $or are
 * recognised and refused as not supported yet. */
#ifndef FANOUT_EVENT_PATTERN_H
#define FANOUT_EVENT_PATTERN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* AWS's own limit on the text of a pattern. */
#define EVENT_PATTERN_MAX_BYTES 4096

struct event_pattern;

/* Compiles a pattern; text is not needed afterwards. ERR_INVALID with AWS's text ("Event pattern is not valid. Reason:
 * ...", which AWS answers as InvalidEventPatternException) and the line and column; ERR_LIMIT when it is longer than
 * EVENT_PATTERN_MAX_BYTES; ERR_NO_MEMORY. */
int event_pattern_compile(struct slice text, struct event_pattern **ret_pattern, struct err *e);

/* NULL is allowed. */
void event_pattern_destroy(struct event_pattern *p);

/* Whether the event matches; event is what json_parse gave (the whole envelope, or whatever the pattern was written
 * for). What is no object matches nothing. The cost grows with the event's size alone, however it nests; the deepest
 * event takes some 200 KB of stack. Any number of threads may match with one pattern. */
bool event_pattern_match(const struct event_pattern *p, struct json event);

/* The same from the event's bytes. Errors are event_parse's; *ret_matches is untouched then. */
int event_pattern_match_text(const struct event_pattern *p, struct slice event, bool *ret_matches, struct err *e);

/* Why the event does not match: appends a line for each field of the pattern that failed, each ended by a newline, and
 * nothing when the event matches. A line names the field by its dotted path, what the pattern wanted there and what the
 * event has there:
 *
 *     detail.state: wanted "paid" or {"prefix":"pa"}; the event has "open"
 *     detail.who.id: wanted 7; missing
 *     detail.item.n: wanted 2; the event has 2, but not in the element of the array detail.item that has detail.item.id
 *
 * Of a pattern with $or every branch is told, each under a heading. Meant for people: it takes its time and allocates.
 * ERR_NO_MEMORY: out is undefined. */
int event_pattern_explain(const struct event_pattern *p, struct json event, struct buf *out, struct err *e);

/* json_parse for an event: ERR_INVALID with the place for broken JSON and for what is no object, ERR_LIMIT when it is
 * nested deeper than JSON_MAX_DEPTH. */
int event_parse(struct slice text, struct json *ret_event, struct err *e);

#endif
