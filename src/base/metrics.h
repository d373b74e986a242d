/* metrics: the registry of named counters, histograms and gauges.
 *
 * metrics_list.h lists them. A worker counts in a struct metrics that lies in its ledger, so that the supervisor reads
 * it while the worker runs and after it died; metrics_text.h writes it as Prometheus's text. All fields are lock-free
 * atomics, read and written relaxed, by any thread of either process: nothing is ordered by them, and figures read
 * together may be a few events apart. */
#ifndef FANOUT_BASE_METRICS_H
#define FANOUT_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics_list.h"

#define METRICS_BOUNDS 15 /* of a histogram, the last bucket's not counted: it has none */

/* How often a value was within each bound but above the one before; the last bucket is for all above. */
struct metrics_histogram {
    _Atomic uint64_t sum;
    _Atomic uint64_t bucket[METRICS_BOUNDS + 1];
};

/* A worker's figures. All zero is how they begin. */
struct metrics {
#define X(field, help) _Atomic uint64_t field;
    METRICS_COUNTERS(X)
#undef X
#define X(field, name, unit, bounds, help) struct metrics_histogram field;
    METRICS_HISTOGRAMS(X)
#undef X
#define X(field, name, reading, help) _Atomic int64_t field;
    METRICS_GAUGES(X)
#undef X
};

enum metrics_id {
#define X(id, name, kind, labels, help) METRIC_##id,
    METRICS_OF_SUPERVISOR(X)
#undef X
#define X(field, name, reading, help) METRIC_##field,
        METRICS_GAUGES(X)
#undef X
#define X(field, help) METRIC_##field,
            METRICS_COUNTERS(X)
#undef X
#define X(field, name, unit, bounds, help) METRIC_##field,
                METRICS_HISTOGRAMS(X)
#undef X
                    METRICS
};

enum metrics_owner { METRICS_SUPERVISOR, METRICS_WORKER };
enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* What a stored number is, and what it is shown as. */
enum metrics_unit {
    METRICS_ONE, /* as it is */
    METRICS_VALUE = METRICS_ONE,
    METRICS_US,         /* seconds */
    METRICS_MS,         /* seconds */
    METRICS_SINCE,      /* a monotonic time in ms, or 0: the seconds since */
    METRICS_SINCE_WALL, /* a wall time in ms, or 0: the seconds since */
};

struct metrics_description {
    const char *field; /* in struct metrics, and in state dumps */
    const char *name;
    const char *help;
    const char *labels;
    enum metrics_owner owner;
    enum metrics_kind kind;
    enum metrics_unit unit;
    uint32_t offset; /* of a worker's: in struct metrics */
    uint32_t n_bounds;
    uint64_t bounds[METRICS_BOUNDS + 1]; /* behind the last: UINT64_MAX */
};

/* By enum metrics_id, in the order in which they are shown. */
extern const struct metrics_description metrics_table[METRICS];

#define METRICS_COUNT(m, field, n)   ((void)atomic_fetch_add_explicit(&(m)->field, (uint64_t)(n), memory_order_relaxed))
#define METRICS_SET(m, field, value) atomic_store_explicit(&(m)->field, (value), memory_order_relaxed)
#define METRICS_GET(m, field)        atomic_load_explicit(&(m)->field, memory_order_relaxed)

/* Notes a value, or n of the same, in a histogram. A negative one (clocks of two hosts) counts as 0. */
#define METRICS_OBSERVE(m, field, value)      METRICS_OBSERVE_N(m, field, value, 1)
#define METRICS_OBSERVE_N(m, field, value, n) metrics_observe(&(m)->field, METRIC_##field, value, n)

static inline size_t
metrics_bucket(enum metrics_id id, uint64_t value)
{
    const uint64_t *bound = metrics_table[id].bounds;
    size_t i = 0;
    while (value > bound[i])
        i++;
    return i;
}

static inline void
metrics_observe(struct metrics_histogram *h, enum metrics_id id, int64_t value, uint64_t n)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;
    atomic_fetch_add_explicit(&h->bucket[metrics_bucket(id, v)], n, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, v * n, memory_order_relaxed);
}

/* One thread's values for a histogram that it shares with others, collected while they fall into one bucket: what comes
 * often goes into shared memory seldom. Ended with metrics_run_end, at the latest when nothing more is to come soon. */
struct metrics_run {
    struct metrics_histogram *histogram;
    enum metrics_id id;
    size_t bucket;
    uint64_t n, sum;
};

#define METRICS_RUN(m, field) ((struct metrics_run){.histogram = &(m)->field, .id = METRIC_##field})

static inline void
metrics_run_end(struct metrics_run *r)
{
    if (r->n == 0)
        return;
    atomic_fetch_add_explicit(&r->histogram->bucket[r->bucket], r->n, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->histogram->sum, r->sum, memory_order_relaxed);
    r->n = r->sum = 0;
}

static inline void
metrics_run_add(struct metrics_run *r, int64_t value)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;
    size_t bucket = metrics_bucket(r->id, v);
    if (bucket != r->bucket)
        metrics_run_end(r);
    r->bucket = bucket;
    r->n++;
    r->sum += v;
}

/* ---- reading ---- */

/* Of a counter its count, of a histogram its sum and its METRICS_BOUNDS + 1 buckets (not cumulative). */
struct metrics_reading {
    uint64_t value;
    uint64_t bucket[METRICS_BOUNDS + 1];
};

/* What m says of a counter or a histogram now is added to *reading. */
void metrics_read(const struct metrics *m, enum metrics_id id, struct metrics_reading *reading);

/* Adds all counters and histograms of m to those of sum. */
void metrics_add(struct metrics *sum, const struct metrics *m);

/* A worker's gauge as it is shown, at these times. */
double metrics_gauge(const struct metrics *m, enum metrics_id id, int64_t monotonic_ms, int64_t wall_ms);

/* A stored number as it is shown: in seconds where it is a duration. */
double metrics_in_unit(enum metrics_unit unit, uint64_t value);

#endif
