/* prometheus: a strict reader of Prometheus's text format (version 0.0.4), as promtool checks it.
 *
 * Every family has its HELP and its TYPE, in that order, once, before its samples, which stand together; names and
 * labels are well formed, no sample is there twice; counters end in _total and nothing else does, no name has a unit
 * that is not a base one; the buckets of a histogram rise in `le` and in count and end in +Inf, with _sum and with a
 * _count that equals the last bucket. */
#ifndef TESTS_LIB_PROMETHEUS_H
#define TESTS_LIB_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>

/* True: text is clean. Otherwise `why`, with the line, has what is wrong. */
bool prometheus_check(const char *text, char *why, size_t capacity);

/* The value of a sample by its name and labels as written ("fanout_ready", "x{slot=\"0\"}"); false: it is not there. */
bool prometheus_value(const char *text, const char *sample, double *ret_value);

#endif
