/* auth_query: the query of a presigned URL, as auth reads it. Any thread. */
#ifndef FANOUT_LOCAL_AUTH_QUERY_H
#define FANOUT_LOCAL_AUTH_QUERY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/* The raw value of a parameter, the first of that name; false when there is none. */
bool local_auth_query_get(struct slice query, const char *name, struct slice *ret_value);

/* Appends a raw value with its escapes decoded; a broken escape stays as it is. */
void local_auth_query_decode(struct slice value, struct buf *out);

/* Appends the query without its X-Amz-Signature, which cannot have been signed. */
void local_auth_query_without_signature(struct slice query, struct buf *out);

#endif
