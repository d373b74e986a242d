#include "base/metrics.h"

#include <assert.h>

#define BOUNDS(...) __VA_ARGS__
#define OFFSET(f)   (uint32_t) offsetof(struct metrics, f)

const struct metrics_description metrics_table[METRICS] = {
#define X(i, n, k, l, h)                                                                                               \
    [METRIC_##                                                                                                         \
        i] = {.field = #i, .name = (n), .help = (h), .labels = (l), .owner = METRICS_SUPERVISOR, .kind = METRICS_##k},
    METRICS_OF_SUPERVISOR(X)
#undef X
#define X(f, n, r, h)                                                                                                  \
    [METRIC_##f] = {.field = #f,                                                                                       \
                    .name = (n),                                                                                       \
                    .help = (h),                                                                                       \
                    .labels = "consumer, slot",                                                                        \
                    .owner = METRICS_WORKER,                                                                           \
                    .kind = METRICS_GAUGE,                                                                             \
                    .unit = METRICS_##r,                                                                               \
                    .offset = OFFSET(f)},
        METRICS_GAUGES(X)
#undef X
#define X(f, h)                                                                                                        \
    [METRIC_##f] = {.field = #f,                                                                                       \
                    .name = "fanout_" #f "_total",                                                                     \
                    .help = (h),                                                                                       \
                    .labels = "consumer, slot",                                                                        \
                    .owner = METRICS_WORKER,                                                                           \
                    .kind = METRICS_COUNTER,                                                                           \
                    .offset = OFFSET(f)},
            METRICS_COUNTERS(X)
#undef X
#define X(f, n, u, b, h)                                                                                               \
    [METRIC_##f] = {.field = #f,                                                                                       \
                    .name = (n),                                                                                       \
                    .help = (h),                                                                                       \
                    .labels = "consumer, slot, le",                                                                    \
                    .owner = METRICS_WORKER,                                                                           \
                    .kind = METRICS_HISTOGRAM,                                                                         \
                    .unit = METRICS_##u,                                                                               \
                    .offset = OFFSET(f),                                                                               \
                    .n_bounds = sizeof((uint64_t[]){BOUNDS b}) / sizeof(uint64_t),                                     \
                    .bounds = {BOUNDS b, UINT64_MAX}},
                METRICS_HISTOGRAMS(X)
#undef X
};

#define X(f, n, u, b, h)                                                                                               \
    static_assert(sizeof((uint64_t[]){BOUNDS b}) / sizeof(uint64_t) <= METRICS_BOUNDS, "too many bounds: " #f);
METRICS_HISTOGRAMS(X)
#undef X

static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_LONG_LOCK_FREE == 2, "processes share these atomics");

static const _Atomic uint64_t *
field_of(const struct metrics *m, enum metrics_id id)
{
    assert(metrics_table[id].owner == METRICS_WORKER && metrics_table[id].kind != METRICS_GAUGE);
    return (const _Atomic uint64_t *)(const void *)((const char *)m + metrics_table[id].offset);
}

void
metrics_read(const struct metrics *m, enum metrics_id id, struct metrics_reading *reading)
{
    const _Atomic uint64_t *value = field_of(m, id);
    if (metrics_table[id].kind == METRICS_HISTOGRAM) {
        const struct metrics_histogram *h = (const struct metrics_histogram *)(const void *)value;
        for (size_t i = 0; i <= metrics_table[id].n_bounds; i++)
            reading->bucket[i] += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        value = &h->sum;
    }
    reading->value += atomic_load_explicit(value, memory_order_relaxed);
}

void
metrics_add(struct metrics *sum, const struct metrics *m)
{
#define X(field, help) METRICS_COUNT(sum, field, METRICS_GET(m, field));
    METRICS_COUNTERS(X)
#undef X
#define X(field, name, unit, bounds, help)                                                                             \
    METRICS_COUNT(sum, field.sum, METRICS_GET(m, field.sum));                                                          \
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)                                                                       \
        METRICS_COUNT(sum, field.bucket[i], METRICS_GET(m, field.bucket[i]));
    METRICS_HISTOGRAMS(X)
#undef X
}

double
metrics_in_unit(enum metrics_unit unit, uint64_t value)
{
    return unit == METRICS_US ? (double)value / 1000000 : unit == METRICS_MS ? (double)value / 1000 : (double)value;
}

double
metrics_gauge(const struct metrics *m, enum metrics_id id, int64_t monotonic_ms, int64_t wall_ms)
{
    const struct metrics_description *d = &metrics_table[id];
    assert(d->owner == METRICS_WORKER && d->kind == METRICS_GAUGE);
    const _Atomic int64_t *at = (const _Atomic int64_t *)(const void *)((const char *)m + d->offset);
    int64_t value = atomic_load_explicit(at, memory_order_relaxed);
    switch (d->unit) {
    case METRICS_SINCE:
        return value ? (double)(monotonic_ms - value) / 1000 : 0;
    case METRICS_SINCE_WALL:
        return value ? (double)(wall_ms - value) / 1000 : 0;
    case METRICS_MS:
        return (double)value / 1000;
    case METRICS_US:
        return (double)value / 1000000;
    case METRICS_ONE:
        break;
    }
    return (double)value;
}
