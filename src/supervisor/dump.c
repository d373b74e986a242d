#include "supervisor/dump.h"

#include "base/log.h"

static const char *
role_of(const struct fleet_place *p, const struct child *c)
{
    return c == p->current ? "current" : c == p->successor ? "successor" : "leaving";
}

static void
dump_child(const struct fleet_place *p, const struct child *c, int64_t now_ms)
{
    const struct slots *s = &c->slots;
    int64_t due_at = slots_tick_at_ms(s);
    struct metrics *n = ledger_metrics(c->ledger);
    log_write(LOG_INFO, "state", LOG_STR("consumer", c->consumer), LOG_INT("slot", c->number),
              LOG_STR("role", role_of(p, c)), LOG_INT("pid", c->pid), LOG_STR("state", slots_state_name(s->state)),
              LOG_STR("health", child_health_name(c)), LOG_STR("health_text", c->health_text),
              LOG_STR("plugin", c->plugin), LOG_INT("generation", c->generation),
              LOG_INT("up_ms", slots_has_process(s) ? now_ms - s->spawned_at_ms : 0), LOG_INT("starts", s->spawns),
              LOG_INT("crashes", s->crashes), LOG_STR("last_exit", slots_exit_name(s->last_exit)),
              LOG_INT("due_in_ms", due_at == INT64_MAX ? -1 : due_at - now_ms),
              LOG_INT("in_flight", METRICS_GET(n, in_flight)));
}

static void
dump_counters(const struct fleet_place *p)
{
    struct log_field fields[2 + METRICS] = {LOG_STR("consumer", p->consumer), LOG_INT("slot", p->number)};
    size_t n = 2;
    for (int id = 0; id < METRICS; id++) {
        const struct metrics_description *d = &metrics_table[id];
        struct metrics_reading reading;
        if (d->owner != METRICS_WORKER || d->kind != METRICS_COUNTER)
            continue;
        fleet_read(p, (enum metrics_id)id, &reading);
        if (reading.value > 0)
            fields[n++] = (struct log_field)LOG_INT(d->field, reading.value);
    }
    log_line(LOG_INFO, "counters", fields, n);
}

void
dump_write(const struct fleet *f, int64_t now_ms)
{
    log_write(LOG_INFO, "state of the supervisor", LOG_INT("generation", f->generation),
              LOG_BOOL("ready", fleet_is_ready(f)), LOG_BOOL("reloading", f->reloading),
              LOG_BOOL("stopping", f->stopping), LOG_INT("log_dropped", log_dropped()));
    for (const struct fleet_place *p = f->places; p; p = p->next) {
        for (const struct child *c = fleet_next_child(p, NULL); c; c = fleet_next_child(p, c))
            dump_child(p, c, now_ms);
        dump_counters(p);
    }
}
