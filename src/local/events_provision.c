/* The buses and rules of a template. */
#include "base/log.h"
#include "local/events_impl.h"

int
local_events_put_bus(struct local_events *s, struct store_tx *tx, struct slice bus)
{
    sqlite3_stmt *q = store_prepare(tx, "INSERT OR IGNORE INTO events_buses VALUES (?1)");
    if (q)
        store_bind_text(q, 1, bus);
    int rc = store_run(tx, q);
    return rc != 0 ? rc : local_events_load(s, tx);
}

int
local_events_begin_rules(struct local_events *s, struct store_tx *tx)
{
    (void)s;
    return store_exec(tx, "UPDATE events_provisioned SET seen = 0");
}

int
local_events_end_rules(struct local_events *s, struct store_tx *tx)
{
    int rc = store_exec(tx, "DELETE FROM events_targets WHERE (bus, rule) IN"
                            " (SELECT bus, rule FROM events_provisioned WHERE NOT seen);"
                            "DELETE FROM events_rules WHERE (bus, name) IN"
                            " (SELECT bus, rule FROM events_provisioned WHERE NOT seen);"
                            "DELETE FROM events_provisioned WHERE NOT seen");
    s->stale = true;
    return rc;
}

int
local_events_rule_changed(struct store_tx *tx, struct events_request *r, struct slice bus, struct slice rule)
{
    sqlite3_stmt *q =
        local_events_prepare(tx, "UPDATE events_provisioned SET changed = 1 WHERE bus = ?1 AND rule = ?2", bus, rule);
    r->events->stale = true;
    return store_run(tx, q);
}

/* ---- a rule -------------------------------------------------------------------------------------------------------
 */

/* A target of the template as ListTargetsByRule is to show it. */
static void
write_target(struct buf *out, const struct local_events_target *t)
{
    buf_add_char(out, '{');
    local_events_add_text(out, "Id", t->id);
    local_events_add_text(out, "Arn", t->arn);
    if (t->dead_letter_arn.n > 0) {
        buf_add_string(out, ",\"DeadLetterConfig\":{");
        local_events_add_text(out, "Arn", t->dead_letter_arn);
        buf_add_char(out, '}');
    }
    if (t->settings.n > 2) { /* not {} */
        buf_add_char(out, ',');
        buf_add(out, t->settings.p + 1, t->settings.n - 2);
    }
    buf_add_char(out, '}');
}

/* All that the template says of the rule, to be compared with what it says the next time. */
static void
write_definition(struct buf *out, const struct local_events_rule *rule)
{
    buf_add_string(out, "{\"State\":");
    json_write_string(out, rule->enabled ? SLICE("ENABLED") : SLICE("DISABLED"));
    local_events_add_text(out, "EventPattern", rule->pattern);
    buf_add_string(out, ",\"Targets\":[");
    for (size_t i = 0; i < rule->n_targets; i++) {
        buf_add_string(out, i > 0 ? "," : "");
        write_target(out, &rule->targets[i]);
    }
    buf_add_string(out, "],\"Captures\":[");
    for (size_t i = 0; i < rule->n_targets; i++) {
        buf_add_string(out, i > 0 ? "," : "");
        json_write_string(out, rule->targets[i].capture_bucket);
    }
    buf_add_string(out, "]}");
}

static int
check_target(const struct local_events_target *t, struct err *e)
{
    struct events_violations v = {0};
    struct buf text = BUF_INIT, message = BUF_INIT;
    struct events_target compiled;
    struct json target;
    struct arena arena;
    int rc;
    arena_init(&arena, 0);
    write_target(&text, t);
    if (buf_failed(&text)) {
        rc = err_no_memory(e);
    } else if ((rc = json_parse(buf_slice(&text), &target, e)) == 0) {
        local_events_check_shape(&v, &EVENTS_TARGET, target);
        if (!local_events_is_valid(&v))
            local_events_write_violations(&v, &message);
        if (v.no_memory || buf_failed(&message))
            rc = err_no_memory(e);
        else if (message.len > 0)
            rc = err_set(e, ERR_INVALID, "%s", message.data);
        else
            rc = local_events_compile_target(target, &arena, &compiled, e);
    }
    local_events_violations_clean_up(&v);
    buf_clean_up(&message);
    buf_clean_up(&text);
    arena_clean_up(&arena);
    return rc;
}

static int
check_rule(const struct local_events *s, const struct local_events_rule *rule, struct slice bus, struct err *e)
{
    struct event_pattern *pattern = NULL;
    if (!local_events_bus(s, bus))
        return err_set(e, ERR_NOT_FOUND, "EventBusName: there is no event bus \"%.*s\"", SLICE_ARG(bus));
    int rc = event_pattern_compile(rule->pattern, &pattern, e);
    event_pattern_destroy(pattern);
    if (rc != 0)
        return err_prefix(e, rc, "EventPattern");
    for (size_t i = 0; rc == 0 && i < rule->n_targets; i++)
        if ((rc = check_target(&rule->targets[i], e)) != 0)
            err_prefix(e, rc, "Targets[%zu]", i);
    return rc;
}

/* Notes that the template has the rule, and that it says this of it. *ret_same: it said so the last time, too. */
static int
note(struct store_tx *tx, const struct local_events_rule *rule, struct slice bus, struct slice definition,
     bool *ret_same)
{
    bool changed = false;
    sqlite3_stmt *q = local_events_prepare(tx,
                                           "SELECT definition = ?3, changed FROM events_provisioned"
                                           " WHERE bus = ?1 AND rule = ?2",
                                           bus, rule->name);
    if (q)
        store_bind_text(q, 3, definition);
    int rc = store_step(tx, q);
    if (rc < 0)
        return rc;
    *ret_same = rc == 1 && sqlite3_column_int64(q, 0) != 0;
    if (rc == 1) {
        changed = *ret_same && sqlite3_column_int64(q, 1) != 0;
        store_reset(q);
    }
    if (changed)
        log_write(LOG_INFO,
                  "a rule of the template is left as calls have changed it; it becomes the template's again when that "
                  "changes, and by a reset",
                  LOG_SLICE("bus", bus), LOG_SLICE("rule", rule->name));
    q = local_events_prepare(tx,
                             "INSERT OR REPLACE INTO events_provisioned (bus, rule, definition, changed, seen)"
                             " VALUES (?1, ?2, ?3, ?4, 1)",
                             bus, rule->name);
    if (q) {
        store_bind_text(q, 3, definition);
        store_bind_int(q, 4, changed);
    }
    return store_run(tx, q);
}

static int
write_targets(struct store_tx *tx, const struct local_events_rule *rule, struct slice bus)
{
    sqlite3_stmt *q =
        local_events_prepare(tx, "DELETE FROM events_targets WHERE bus = ?1 AND rule = ?2", bus, rule->name);
    int rc = store_run(tx, q);
    for (size_t i = 0; rc == 0 && i < rule->n_targets; i++) {
        const struct local_events_target *t = &rule->targets[i];
        struct buf text = BUF_INIT;
        write_target(&text, t);
        rc = buf_failed(&text)
                 ? store_fail(tx, ERR_NO_MEMORY, "out of memory")
                 : local_events_write_target(tx, bus, rule->name, t->id, buf_slice(&text), t->capture_bucket);
        buf_clean_up(&text);
    }
    return rc;
}

static int
write_rule(struct store_tx *tx, const struct local_events_rule *rule, struct slice bus)
{
    sqlite3_stmt *q =
        local_events_prepare(tx,
                             "INSERT OR REPLACE INTO events_rules (bus, name, pattern, state, description, role_arn)"
                             " VALUES (?1, ?2, ?3, ?4, '', '')",
                             bus, rule->name);
    if (q) {
        store_bind_text(q, 3, rule->pattern);
        store_bind_text(q, 4, rule->enabled ? SLICE("ENABLED") : SLICE("DISABLED"));
    }
    int rc = store_run(tx, q);
    return rc != 0 ? rc : write_targets(tx, rule, bus);
}

int
local_events_provide_rule(struct local_events *s, struct store_tx *tx, const struct local_events_rule *rule,
                          struct err *e)
{
    struct slice bus = local_events_bus_name(rule->bus);
    struct buf definition = BUF_INIT;
    bool same = false;
    int rc = check_rule(s, rule, bus, e);
    if (rc != 0)
        return rc == ERR_NO_MEMORY ? store_fail(tx, ERR_NO_MEMORY, "out of memory") : rc;
    write_definition(&definition, rule);
    rc = buf_failed(&definition) ? store_fail(tx, ERR_NO_MEMORY, "out of memory")
                                 : note(tx, rule, bus, buf_slice(&definition), &same);
    if (rc == 0 && !same)
        rc = write_rule(tx, rule, bus);
    buf_clean_up(&definition);
    s->stale = s->stale || !same;
    return rc;
}
