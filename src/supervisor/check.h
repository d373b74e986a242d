/* check: whether the workers of a configuration would start (fanoutd --check).
 *
 * Only a worker loads plugins, so each consumer's is asked: fanout-worker --check reads its configuration, opens the
 * plugin, checks its options, prints what is wrong and exits. */
#ifndef FANOUT_SUPERVISOR_CHECK_H
#define FANOUT_SUPERVISOR_CHECK_H

#include <stddef.h>

#include "base/err.h"
#include "config/conf.h"

/* The number of consumers that would not start, each explained on standard error by the worker or here. Negative:
 * the check itself failed. */
int check_consumers(const struct conf *c, const char *worker_path, struct err *e);

/* Looks at the files that the configuration names: whether the certificates can be read, the log and the
 * deduplication files written. Says what is wrong on stderr, in lines that begin with `file`, and returns how many are.
 * Changes nothing. */
int check_files(const struct conf *c, const char *file);

#endif
