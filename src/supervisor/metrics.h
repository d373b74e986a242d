/* metrics: the fleet in Prometheus's text format (version 0.0.4). */
#ifndef FANOUT_SUPERVISOR_METRICS_H
#define FANOUT_SUPERVISOR_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "supervisor/fleet.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* started_at_ms: of the supervisor, monotonic. */
void metrics_write(const struct fleet *f, int64_t started_at_ms, struct buf *out);

#endif
