/* events_message: writes the body of PutEvents and reads its answer.
 *
 * Apart from events.c so that both can be tested and fuzzed without a connection. Pure: no I/O. */
#ifndef FANOUT_AWS_EVENTS_MESSAGE_H
#define FANOUT_AWS_EVENTS_MESSAGE_H

#include <stddef.h>

#include "aws/events.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* A buf without memory becomes failed. */
void events_message_encode(struct buf *out, const struct events_entry *entries, size_t n);

/* Fills results[0..n) and *ret_failed. An entry with neither an id nor an error code failed, with code "missing".
 * ERR_PROTOCOL, with the thing named: no JSON object, a member of the wrong type, or other than n entries, because then
 * nothing says which is which. */
int events_message_decode(struct slice answer, size_t n, struct events_result *results, size_t *ret_failed,
                          struct err *e);

#endif
