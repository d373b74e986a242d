#include "supervisor/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#define FOR_PLACES(p, f) for (const struct fleet_place *p = (f)->places; p; p = p->next)

static void
family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
labels(struct buf *out, const char *name, const struct fleet_place *p)
{
    buf_add_format(out, "%s{consumer=\"%s\",slot=\"%d\"", name, p->consumer, p->number);
}

static void
counters(const struct fleet *f, struct buf *out)
{
    for (size_t i = 0; fleet_counters[i].name; i++) {
        char name[80];
        snprintf(name, sizeof name, "fanout_%s_total", fleet_counters[i].name);
        family(out, name, "counter", fleet_counters[i].help);
        FOR_PLACES(p, f)
        {
            labels(out, name, p);
            buf_add_format(out, "} %" PRIu64 "\n", fleet_count(p, i));
        }
    }
}

static void
life(const struct fleet *f, struct buf *out)
{
    family(out, "fanout_worker_starts_total", "counter", "worker processes started");
    FOR_PLACES(p, f)
    {
        labels(out, "fanout_worker_starts_total", p);
        buf_add_format(out, "} %" PRIu64 "\n", fleet_spawns(p));
    }
    family(out, "fanout_worker_crashes_total", "counter", "worker processes that ended without having announced it");
    FOR_PLACES(p, f)
    {
        labels(out, "fanout_worker_crashes_total", p);
        buf_add_format(out, "} %" PRIu64 "\n", fleet_crashes(p));
    }
    family(out, "fanout_worker_state", "gauge", "1 for the state the slot's worker is in");
    FOR_PLACES(p, f)
    {
        for (int s = 0; s < SLOTS_STATES && p->current; s++) {
            labels(out, "fanout_worker_state", p);
            buf_add_format(out, ",state=\"%s\"} %d\n", slots_state_name((enum slots_state)s),
                           p->current->slots.state == (enum slots_state)s);
        }
    }
    family(out, "fanout_worker_healthy", "gauge",
           "1 when the worker is ready, last reached its queue and has the permissions it used");
    FOR_PLACES(p, f)
    {
        const struct child *c = p->current;
        labels(out, "fanout_worker_healthy", p);
        buf_add_format(out, "} %d\n",
                       c && c->slots.state == SLOTS_READY && c->health_known && c->health == IPC_HEALTH_OK);
    }
}

enum gauge { UPTIME, IN_FLIGHT, OLDEST_AGE, LONGEST_TURN, LONGEST_TURN_CPU, BEAT_AGE };

/* Of the current worker; 0 when it does not run. */
static double
gauge(const struct child *c, enum gauge which)
{
    if (!c || !slots_has_process(&c->slots))
        return 0;
    struct ledger_counters *n = ledger_counters(c->ledger);
    int64_t at;
    switch (which) {
    case UPTIME:
        return (double)(clock_monotonic_ms() - c->slots.spawned_at_ms) / 1000;
    case IN_FLIGHT:
        return (double)atomic_load_explicit(&n->in_flight, memory_order_relaxed);
    case OLDEST_AGE:
        at = atomic_load_explicit(&n->oldest_sent_at_ms, memory_order_relaxed);
        return at ? (double)(clock_wall_ms() - at) / 1000 : 0;
    case LONGEST_TURN:
        return (double)atomic_load_explicit(&n->longest_turn_ms, memory_order_relaxed) / 1000;
    case LONGEST_TURN_CPU:
        return (double)atomic_load_explicit(&n->longest_turn_cpu_ms, memory_order_relaxed) / 1000;
    case BEAT_AGE:
        at = atomic_load_explicit(&n->engine_beat_ms, memory_order_relaxed);
        return at ? (double)(clock_monotonic_ms() - at) / 1000 : 0;
    }
    return 0;
}

static void
gauges(const struct fleet *f, struct buf *out)
{
    static const struct {
        enum gauge which;
        const char *name, *help;
    } all[] = {
        {UPTIME, "fanout_worker_uptime_seconds", "age of the slot's worker process"},
        {IN_FLIGHT, "fanout_in_flight", "messages in hand"},
        {OLDEST_AGE, "fanout_oldest_message_age_seconds", "since the oldest message in hand was sent"},
        {LONGEST_TURN, "fanout_engine_longest_turn_seconds", "longest turn of the worker's engine, without waiting"},
        {LONGEST_TURN_CPU, "fanout_engine_longest_turn_cpu_seconds",
         "most CPU time the engine's thread spent in a turn"},
        {BEAT_AGE, "fanout_engine_beat_age_seconds", "since the last turn of the worker's engine"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        family(out, all[i].name, "gauge", all[i].help);
        FOR_PLACES(p, f)
        {
            labels(out, all[i].name, p);
            buf_add_format(out, "} %.15g\n", gauge(p->current, all[i].which));
        }
    }
}

void
metrics_write(const struct fleet *f, int64_t started_at_ms, struct buf *out)
{
    family(out, "fanout_build_info", "gauge", "1, with the version as a label");
    buf_add_format(out, "fanout_build_info{version=\"%s\"} 1\n", FANOUT_VERSION);
    family(out, "fanout_uptime_seconds", "gauge", "age of the supervisor");
    buf_add_format(out, "fanout_uptime_seconds %.3f\n", (double)(clock_monotonic_ms() - started_at_ms) / 1000);
    family(out, "fanout_ready", "gauge", "1 when every consumer has a worker that is ready");
    buf_add_format(out, "fanout_ready %d\n", fleet_is_ready(f));
    family(out, "fanout_generation", "gauge", "configurations taken up since the start");
    buf_add_format(out, "fanout_generation %u\n", f->generation);
    family(out, "fanout_supervisor_log_dropped_total", "counter",
           "lines of the supervisor dropped because nobody read them");
    buf_add_format(out, "fanout_supervisor_log_dropped_total %" PRIu64 "\n", log_dropped());
    life(f, out);
    gauges(f, out);
    counters(f, out);
}
