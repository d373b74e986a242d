/* ruleset: many event patterns compiled together, and one event matched against all of them in one go.
 *
 *     struct event_rules *rules;
 *     struct event_scratch *scratch;
 *     size_t bad;
 *     if (event_rules_compile(texts, n, &rules, &bad, &e) != 0)
 *         ...                                   // texts[bad] is refused; e.text says why and where
 *     if (event_scratch_new(rules, &scratch, &e) != 0)    // once a thread
 *         ...
 *     size_t hits = event_rules_match(rules, scratch, event, indexes);
 *     for (size_t i = 0; i < hits; i++)
 *         deliver(event, &rule[indexes[i]]);    // ascending
 *     event_scratch_destroy(scratch);
 *     event_rules_destroy(rules);
 *
 * What a pattern means is pattern.h's; a set answers as its patterns would one by one (but for how long it searches in
 * events that spell the way to an array twice), for the price of looking at the event once: a field is looked up once
 * however many patterns name it, and its value in an index of what all of them want of it. The cost grows with the size
 * of the event and with how many patterns come near to matching, not with how many there are.
 *
 * Rules are read only: any number of threads match with the same rules, each with a scratch of its own. Nothing is
 * allocated while matching. A rule of four fields takes some 1,600 bytes, and 160 of a scratch, which has 60 KB of
 * its own. */
#ifndef FANOUT_EVENT_RULESET_H
#define FANOUT_EVENT_RULESET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

struct event_rules;
struct event_scratch;

/* Compiles n patterns (0 is allowed: nothing matches); the texts are not needed afterwards. Errors are those of
 * event_pattern_compile, and *ret_bad is then the index of the pattern that is refused (n: none, there was no
 * memory); it may be NULL. */
int event_rules_compile(const struct slice *patterns, size_t n, struct event_rules **ret_rules, size_t *ret_bad,
                        struct err *e);

/* NULL is allowed. */
void event_rules_destroy(struct event_rules *r);

/* How many patterns the rules were compiled from. */
size_t event_rules_count(const struct event_rules *r);

/* What one thread needs to match with r, and with no other rules. ERR_NO_MEMORY. */
int event_scratch_new(const struct event_rules *r, struct event_scratch **ret_scratch, struct err *e);

/* NULL is allowed; before or after the rules. */
void event_scratch_destroy(struct event_scratch *s);

/* Writes the indexes of the patterns that the event matches, ascending, to ret_indexes, which has room for
 * event_rules_count of them, and returns how many there are. event is what json_parse gave; what is no object matches
 * nothing. */
size_t event_rules_match(const struct event_rules *r, struct event_scratch *s, struct json event,
                         uint32_t *ret_indexes);

/* The same from the event's bytes. Errors are event_parse's (pattern.h); *ret_n is untouched then, ret_indexes may not
 * be. */
int event_rules_match_text(const struct event_rules *r, struct event_scratch *s, struct slice event,
                           uint32_t *ret_indexes, size_t *ret_n, struct err *e);

#endif
