/* pattern: EventBridge event patterns, compiled once and matched without allocating.
 *
 *     struct event_pattern *p;
 *     struct slice text = SLICE("{\"source\":[\"orders\"],\"detail\":{\"total\":[{\"numeric\":[\">\",100]}]}}");
 *     if (event_pattern_compile(text, &p, &e) != 0)
 *         ...                                // e.text says what is wrong and where, in AWS's words
 *     bool matches;
 *     if (event_pattern_match_text(p, event, &matches, &e) == 0 && matches)
 *         ...
 *     event_pattern_destroy(p);
 *
 * (ruleset.h matches one event against many patterns for little more than the price of one.)
 *
 * Another program needs of this project event/pattern*.c, event/ruleset*.c and base/{arena,buf,err,json*}.c (or the
 * archive that `make` leaves as obj/libfanout.a in the build's folder), and no library but C's:
 *
 *     cc -std=gnu11 -D_GNU_SOURCE -Isrc yours.c src/event/{pattern,ruleset}*.c src/base/{arena,buf,err,json*}.c
 *
 * A pattern is an object that has the shape of the events it selects; its leaves are arrays of what the field may be.
 * Every field of the pattern must match (and), by any entry of its array (or). Fields the pattern does not name do not
 * matter. An entry is
 *
 *     "text"                          the same string, compared after decoding escapes, case-sensitive. Text that is an
 *                                     IPv4 or IPv6 address is any spelling of that address
 *     300                             the same number (300.0 and 3e2 too; see Numbers)
 *     true, false, null               itself; null is a field that is there and null, not one that is missing
 *     {"prefix": "text"}              a string that starts so
 *     {"suffix": "text"}              a string that ends so
 *     {"equals-ignore-case": "text"}  the same string but for case; pattern_case.h says what case is
 *     {"prefix": {"equals-ignore-case": "text"}}, {"suffix": {"equals-ignore-case": "text"}}
 *     {"wildcard": "a*b"}             a string where each * stands for any run of characters, also none. Two stars
 *                                     never meet; in the decoded text \* is a star, \\ a backslash, no other escapes
 *     {"numeric": ["=", 5]}           also ">", ">=", "<", "<=", and a range: [">", 0, "<=", 5]. Numbers only
 *     {"cidr": "10.0.0.0/8"}          a string that is an address in the range; IPv6 as well
 *     {"exists": true}                any value but an object or an empty array; null is one
 *     {"exists": false}               no value: the path leads nowhere, to an object or to an empty array
 *     {"anything-but": X}             any value but X: a string, a number, a list of strings or of numbers, or one of
 *                                     {"prefix": P}, {"suffix": P}, {"equals-ignore-case": P}, {"wildcard": P}, where
 *                                     P is a string or a list of them. The field must be there; a value of another
 *                                     type is not X
 *     {"exactly": "text"}             the same string. AWS's Java library has it; EventBridge does not document it
 *
 * **$or.** The member "$or": [{...}, {...}] of an object, with two objects or more, matches when one of its objects
 * does, where the $or stands. Where a pattern has a $or that cannot be read so (a member inside is named like an
 * operator, or anything in it is wrong), all of its $or are names like any other, and errors are told accordingly; so
 * does AWS's library.
 *
 * **Names** are joined by dots before they are compared, so that {"a":{"b":[1]}} and {"a.b":[1]} mean the same, in
 * patterns as in events. Of a field given twice the pattern's last one counts (each object of a $or replaces what
 * stands before it); in an event any of them may match.
 *
 * **Arrays** of events stand for their elements: a field matches when one of its elements does, however deep arrays
 * nest. An empty array has no element to match. Two fields never match by different elements of the same array:
 * {"item":{"id":[1],"n":[2]}} does not match {"item":[{"id":1,"n":0},{"id":0,"n":2}]}. Scalars directly in an array
 * belong to no element. {"exists":false} is judged in the elements that the fields sorting before it matched in, and in
 * all elements of any other array (fields are sorted by path, as Java sorts strings).
 *
 * An event may spell the way to an array of objects in two ways, {"a":[{...}],"a.b":1} or "a" twice. Fields below a may
 * then match by one each. That is found by search, which gives up after looking at 100,000 values and some more, the
 * larger the event is; patterns of a set share eight times that. Given up is no match, but event_pattern_ask tells the
 * two apart.
 *
 * **Numbers** are compared as doubles. A number that is no double to its last digit, such as 1e400, 9007199254740993 or
 * 0.10000000000000001, is equal only to the same text; numeric and anything-but do not take it.
 *
 * A half of a surrogate pair in an event is a character that no pattern can hold. */
#ifndef FANOUT_EVENT_PATTERN_H
#define FANOUT_EVENT_PATTERN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* AWS's own limit on the text of a pattern (its model's; the quota of an account is 2048 unless it was raised). */
#define EVENT_PATTERN_MAX_BYTES 4096

struct event_pattern;

/* Compiles a pattern; text is not needed afterwards. ERR_INVALID with AWS's text ("Event pattern is not valid. Reason:
 * ...", which AWS answers as InvalidEventPatternException) and the line and column of what is wrong. That includes
 * wildcards that are too many or too much alike for AWS ("Rule is too complex"; where AWS draws the line is not
 * published: here more than 10 beginnings of one field's wildcards may not match the same text). ERR_LIMIT when the
 * pattern is longer than EVENT_PATTERN_MAX_BYTES, nested deeper than JSON_MAX_DEPTH, or its $or make more than 1000
 * combinations or 4096 fields in all of them; ERR_NO_MEMORY. */
int event_pattern_compile(struct slice text, struct event_pattern **ret_pattern, struct err *e);

/* NULL is allowed. */
void event_pattern_destroy(struct event_pattern *p);

/* Whether the event matches; event is what json_parse gave (the whole envelope, or whatever the pattern was written
 * for). What is no object matches nothing. The cost grows with the event's size alone, however it nests. Takes some 100
 * KB of stack, 400 KB for patterns at the limits, and 200 KB more for events nested to the limit. Any number of threads
 * may match with one pattern. */
bool event_pattern_match(const struct event_pattern *p, struct json event);

/* The same, for who may not take an event that nobody can decide about for one that does not match. */
enum event_answer { EVENT_NO_MATCH, EVENT_MATCH, EVENT_UNDECIDED /* the search was given up */ };
enum event_answer event_pattern_ask(const struct event_pattern *p, struct json event);

/* The same as event_pattern_match from the event's bytes. Errors are event_parse's; *ret_matches is untouched then. */
int event_pattern_match_text(const struct event_pattern *p, struct slice event, bool *ret_matches, struct err *e);

/* Why the event does not match: appends a line for each field of the pattern that failed, and nothing when the event
 * matches. A line names the field by its dotted path, what the pattern wanted there and what the event has there:
 *
 *     detail.state: wanted "paid" or {"prefix":"pa"}; the event has "open"
 *     detail.who.id: wanted 7; missing
 *     detail.who: wanted {"exists":true}; the event has an object there, which is no value
 *     detail.n: wanted 2; the event has 1, 2, but not together with detail.id: no element of an array has both
 *
 * A field is told to fail when it cannot be satisfied together with those before it (by path) that can. Of a pattern
 * with $or each combination of its objects is told, indented, below "combination 1 of 2:", up to where that would take
 * too long. Long values are cut ("..."). Meant for people: it takes its time and allocates. event is what json_parse
 * gave. ERR_NO_MEMORY: out is undefined. */
int event_pattern_explain(const struct event_pattern *p, struct json event, struct buf *out, struct err *e);

/* json_parse for an event: ERR_INVALID with the place for broken JSON and for what is no object, ERR_LIMIT when it is
 * nested deeper than JSON_MAX_DEPTH. */
int event_parse(struct slice text, struct json *ret_event, struct err *e);

#endif
