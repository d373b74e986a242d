/* shared: reference data that lives beside the repository and not in it. It is looked for in $FANOUT_SHARED, then in
 * ../shared; a test that needs it skips itself when it is not there. */
#ifndef FANOUT_TESTS_LIB_SHARED_H
#define FANOUT_TESTS_LIB_SHARED_H

#include "base/buf.h"

/* Reads the whole file, e.g. "data/events/aws-samples.ndjson". False when there is no such file (or it cannot be read).
 */
bool shared_read(const char *path, struct buf *out);

#endif
