/* parsed: JSON texts parsed for tests of base/json. */
#ifndef FANOUT_TESTS_LIB_PARSED_H
#define FANOUT_TESTS_LIB_PARSED_H

#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* Parses a copy that ends where the text ends, so that a sanitizer sees any read behind it. The value points into
 * *ret_copy, which the caller frees. */
int parsed_copy(struct slice text, char **ret_copy, struct json *ret_value, struct err *e);

/* What json_parse says of such a copy. */
int parsed_code(struct slice text);

/* Fails the test unless it is JSON. The value points into text. */
struct json parsed(const char *text);

/* A value as it is written; the last four of them live. */
const char *parsed_text(struct json v);

#endif
