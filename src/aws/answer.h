/* answer: what the typed calls share in reading AWS's JSON answers, over cJSON.
 *
 * Strings are taken from the tree as they are, as slices up to their first NUL: AWS's texts hold none (SQS admits XML
 * 1.0's characters only; a body with one would fail its MD5). A member that is missing or null is empty; one of another
 * type makes the answer ERR_PROTOCOL with its name in the text. Unknown members are nobody's business. */
#ifndef FANOUT_AWS_ANSWER_H
#define FANOUT_AWS_ANSWER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/err.h"
#include "base/slice.h"

/* Parses the body, which must be one JSON object and nothing else. The caller deletes the tree. */
int answer_parse(struct slice body, cJSON **ret_object, struct err *e);

/* The member called name: a string, an array, an object. An array or object that is missing gives NULL. */
int answer_string(const cJSON *object, const char *name, struct slice *ret_text, struct err *e);
int answer_array(const cJSON *object, const char *name, const cJSON **ret_array, struct err *e);
int answer_object(const cJSON *object, const char *name, const cJSON **ret_object, struct err *e);

/* A member that is a number written as a string, as SQS's attributes are; *ret stays as it is when there is none. */
int answer_number(const cJSON *object, const char *name, int64_t *ret, struct err *e);

/* A decimal number of digits alone, at most 18 of them; false otherwise. */
bool answer_parse_number(struct slice text, int64_t *ret);

/* Copies text for people: cut to fit, a NUL behind it, '?' for what is no printable ASCII. */
void answer_copy(char *out, size_t capacity, struct slice text);

/* The error of a 2xx answer that could not be read. */
void answer_garbled(const char *operation, const struct aws_response *response, const struct err *why,
                    struct aws_error *ret_error);

#endif
