#include "supervisor/scrape.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics_text.h"

#define FOR_PLACES(p, f) for (const struct fleet_place *p = (f)->places; p; p = p->next)

/* The labels of every figure of a worker. */
struct place_labels {
    char slot[12];
    struct metrics_label label[3]; /* the third is the caller's */
};

static const struct metrics_label *
name_place(struct place_labels *l, const struct fleet_place *p)
{
    snprintf(l->slot, sizeof l->slot, "%d", p->number);
    l->label[0] = (struct metrics_label){"consumer", p->consumer};
    l->label[1] = (struct metrics_label){"slot", l->slot};
    return l->label;
}

/* ---- the supervisor's own ---- */

static void
about_supervisor(const struct fleet *f, int64_t started_at_ms, struct buf *out)
{
    const struct metrics_label version = {"version", FANOUT_VERSION};
    metrics_text_family(out, METRIC_build_info);
    metrics_text_count(out, METRIC_build_info, &version, 1, 1);
    metrics_text_family(out, METRIC_uptime);
    metrics_text_value(out, METRIC_uptime, NULL, 0, (double)(clock_monotonic_ms() - started_at_ms) / 1000);
    metrics_text_family(out, METRIC_ready);
    metrics_text_count(out, METRIC_ready, NULL, 0, fleet_is_ready(f));
    metrics_text_family(out, METRIC_generation);
    metrics_text_count(out, METRIC_generation, NULL, 0, f->generation);
    metrics_text_family(out, METRIC_supervisor_log_dropped);
    metrics_text_count(out, METRIC_supervisor_log_dropped, NULL, 0, log_dropped());
}

static bool
is_healthy(const struct child *c)
{
    return c && c->slots.state == SLOTS_READY && c->health_known && c->health == IPC_HEALTH_OK;
}

static double
uptime_s(const struct child *c)
{
    return c && slots_has_process(&c->slots) ? (double)(clock_monotonic_ms() - c->slots.spawned_at_ms) / 1000 : 0;
}

static void
about_processes(const struct fleet *f, struct buf *out)
{
    struct place_labels l;
    metrics_text_family(out, METRIC_worker_starts);
    FOR_PLACES(p, f)
    metrics_text_count(out, METRIC_worker_starts, name_place(&l, p), 2, fleet_spawns(p));
    metrics_text_family(out, METRIC_worker_crashes);
    FOR_PLACES(p, f)
    metrics_text_count(out, METRIC_worker_crashes, name_place(&l, p), 2, fleet_crashes(p));
    metrics_text_family(out, METRIC_worker_state);
    FOR_PLACES(p, f)
    for (int s = 0; s < SLOTS_STATES && p->current; s++) {
        name_place(&l, p);
        l.label[2] = (struct metrics_label){"state", slots_state_name((enum slots_state)s)};
        metrics_text_count(out, METRIC_worker_state, l.label, 3, p->current->slots.state == (enum slots_state)s);
    }
    metrics_text_family(out, METRIC_worker_healthy);
    FOR_PLACES(p, f)
    metrics_text_count(out, METRIC_worker_healthy, name_place(&l, p), 2, is_healthy(p->current));
    metrics_text_family(out, METRIC_worker_uptime);
    FOR_PLACES(p, f)
    metrics_text_value(out, METRIC_worker_uptime, name_place(&l, p), 2, uptime_s(p->current));
}

/* ---- the workers' ---- */

/* Of the current worker; 0 when it does not run. */
static double
gauge(const struct child *c, enum metrics_id id)
{
    if (!c || !slots_has_process(&c->slots))
        return 0;
    return metrics_gauge(ledger_metrics(c->ledger), id, clock_monotonic_ms(), clock_wall_ms());
}

static void
about_work(const struct fleet *f, enum metrics_id id, struct buf *out)
{
    struct place_labels l;
    metrics_text_family(out, id);
    FOR_PLACES(p, f)
    {
        const struct metrics_label *labels = name_place(&l, p);
        struct metrics_reading reading;
        switch (metrics_table[id].kind) {
        case METRICS_GAUGE:
            metrics_text_value(out, id, labels, 2, gauge(p->current, id));
            break;
        case METRICS_COUNTER:
            fleet_read(p, id, &reading);
            metrics_text_count(out, id, labels, 2, reading.value);
            break;
        case METRICS_HISTOGRAM:
            fleet_read(p, id, &reading);
            metrics_text_histogram(out, id, labels, 2, &reading);
            break;
        }
    }
}

void
scrape_write(const struct fleet *f, int64_t started_at_ms, struct buf *out)
{
    about_supervisor(f, started_at_ms, out);
    about_processes(f, out);
    for (int id = 0; id < METRICS; id++)
        if (metrics_table[id].owner == METRICS_WORKER)
            about_work(f, (enum metrics_id)id, out);
}
