/* naive_pattern: the witness for src/event: EventBridge patterns matched slowly and obviously.
 *
 * Written from what AWS's documentation, recorded answers and public matcher say, without a look at src/event, so that
 * the two agree only where both understood the same. An event is flattened to its leaves (path, value, and which
 * elements of which arrays it lies in); a pattern is a list of sub-rules, one for each choice among its $or's; a
 * sub-rule is tried path by path, in ascending order, with every leaf that agrees with the leaves chosen so far. That
 * is exponential: for small patterns and events only.
 *
 * Where it does not know, it says so: letters without a known other case, exponents of ten digits, patterns with half
 * of a surrogate pair, and what takes too long. How complex a wildcard may be, how many sub-rules there may be and how
 * long a pattern, it does not judge. */
#ifndef FANOUT_TESTS_LIB_NAIVE_PATTERN_H
#define FANOUT_TESTS_LIB_NAIVE_PATTERN_H

#include <stddef.h>

#include "base/json.h"
#include "base/slice.h"

enum naive_answer { NAIVE_NO, NAIVE_YES, NAIVE_UNSURE };

struct naive_pattern;

/* NAIVE_YES: valid, and *ret_pattern is the caller's to destroy. NAIVE_NO: why holds AWS's reason, without the words in
 * front of it and without the place. */
enum naive_answer naive_pattern_compile(struct slice text, struct naive_pattern **ret_pattern, char *why, size_t size);
void naive_pattern_destroy(struct naive_pattern *p); /* NULL is allowed */

/* What is no object matches nothing. */
enum naive_answer naive_pattern_match(const struct naive_pattern *p, struct json event);

/* How many sub-rules it came to. */
size_t naive_pattern_alternatives(const struct naive_pattern *p);

#endif
