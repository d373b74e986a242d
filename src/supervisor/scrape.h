/* scrape: what /metrics answers: the fleet's figures (base/metrics_list.h) in Prometheus's text format. */
#ifndef FANOUT_SUPERVISOR_SCRAPE_H
#define FANOUT_SUPERVISOR_SCRAPE_H

#include <stdint.h>

#include "base/buf.h"
#include "supervisor/fleet.h"

/* started_at_ms: of the supervisor, monotonic. */
void scrape_write(const struct fleet *f, int64_t started_at_ms, struct buf *out);

#endif
