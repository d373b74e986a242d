/* sqs_attribute: what a message attribute, and text in a message, may be. Any thread. */
#ifndef FANOUT_LOCAL_SQS_ATTRIBUTE_H
#define FANOUT_LOCAL_SQS_ATTRIBUTE_H

#include "local/sqs_impl.h"

/* s is well-formed UTF-8; false with e set to an error of that kind when it holds a character that XML 1.0 does not
 * have. what: "message body". */
bool lsqs_check_characters(struct slice s, enum lsqs_error_kind kind, const char *what, struct lsqs_error *e);

/* Name, type and value; kind is "(user)" or "system". false with e set in AWS's words, as far as they are known: the
 * developer guide gives the limits, not the texts. */
bool lsqs_check_attribute(const struct lsqs_attribute *a, const char *kind, struct lsqs_error *e);

/* "String", "Number" or "Binary", or one of them with a custom suffix ("Number.int"). */
bool lsqs_is_of_type(struct slice data_type, const char *type);

#endif
