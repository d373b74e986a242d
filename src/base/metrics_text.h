/* metrics_text: figures in Prometheus's text format, version 0.0.4.
 *
 * A family (metrics_text_family) and then its samples, one for each set of labels. Names come from metrics.h's table;
 * label values can be any bytes and are escaped. */
#ifndef FANOUT_BASE_METRICS_TEXT_H
#define FANOUT_BASE_METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/metrics.h"

#define METRICS_TEXT_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_label {
    const char *name, *value;
};

/* # HELP and # TYPE. */
void metrics_text_family(struct buf *out, enum metrics_id id);

void metrics_text_count(struct buf *out, enum metrics_id id, const struct metrics_label *labels, size_t n,
                        uint64_t value);
void metrics_text_value(struct buf *out, enum metrics_id id, const struct metrics_label *labels, size_t n,
                        double value);

/* A histogram's _bucket lines, its _sum and its _count. */
void metrics_text_histogram(struct buf *out, enum metrics_id id, const struct metrics_label *labels, size_t n,
                            const struct metrics_reading *reading);

/* All metrics as a table in Markdown, for the README. */
void metrics_text_markdown(struct buf *out);

#endif
