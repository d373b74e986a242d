/* TestEventPattern and the operations on rules. */
#include <string.h>

#include "local/events_impl.h"

/* ---- TestEventPattern ---------------------------------------------------------------------------------------------
 */

/* What AWS's documentation says an event to be tested must have; what it takes without was recorded (FACTS.md, 2). */
static bool
is_event(struct json event)
{
    static const char *const FIELDS[] = {"id", "detail-type", "source", "account", "time", "region"};
    struct json field;
    if (event.type != JSON_OBJECT)
        return false;
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++)
        if (!json_get(event, FIELDS[i], &field))
            return false;
    return true;
}

/* Refuses a pattern: error is event_pattern_compile's. */
static int
reject_pattern(struct events_request *r, const struct err *error)
{
    return local_events_reject(r, "InvalidEventPatternException", "%s", error->text);
}

static int
test_event_pattern(struct store_tx *tx, struct events_request *r)
{
    struct slice pattern_text, event_text;
    struct event_pattern *pattern = NULL;
    struct json event;
    struct err e = {0};
    int rc = local_events_text(tx, r, r->body, "EventPattern", &pattern_text);
    if (rc == 0)
        rc = local_events_text(tx, r, r->body, "Event", &event_text);
    if (rc == 0 && (rc = event_pattern_compile(pattern_text, &pattern, &e)) != 0)
        return rc == ERR_NO_MEMORY ? rc : reject_pattern(r, &e);
    if (rc != 0)
        return rc;
    if (json_parse(event_text, &event, NULL) != 0 || !is_event(event))
        local_events_reject(r, "ValidationException", "Parameter Event is not valid.");
    else
        buf_add_format(&r->answer, "{\"Result\":%s}", event_pattern_match(pattern, event) ? "true" : "false");
    event_pattern_destroy(pattern);
    return 0;
}

/* ---- PutRule ------------------------------------------------------------------------------------------------------
 */

struct rule_texts {
    struct slice bus, name, pattern, schedule, state, description, role_arn;
};

/* 0, 1 (rejected), or a code of run's. */
static int
read_rule(struct store_tx *tx, struct events_request *r, struct rule_texts *rule)
{
    const struct {
        const char *name;
        struct slice *text;
    } members[] = {
        {"Name", &rule->name},   {"EventPattern", &rule->pattern},    {"ScheduleExpression", &rule->schedule},
        {"State", &rule->state}, {"Description", &rule->description}, {"RoleArn", &rule->role_arn},
    };
    int rc = local_events_find_bus(tx, r, &rule->bus);
    for (size_t i = 0; rc == 0 && i < sizeof members / sizeof *members; i++)
        rc = local_events_text(tx, r, r->body, members[i].name, members[i].text);
    if (rc == 0 && !rule->state.p)
        rule->state = SLICE("ENABLED");
    return rc;
}

static bool
is_schedule(struct slice text)
{
    bool begins = slice_starts_with(text, SLICE("rate(")) || slice_starts_with(text, SLICE("cron("));
    return begins && text.p[text.n - 1] == ')';
}

/* A schedule that were stored and never fired would be a promise broken in silence. */
static int
reject_schedule(struct events_request *r, const struct rule_texts *rule)
{
    if (!slice_equals_string(rule->bus, "default"))
        return local_events_reject(r, "ValidationException",
                                   "ScheduleExpression is supported only on the default event bus.");
    if (!is_schedule(rule->schedule))
        return local_events_reject(r, "ValidationException", "Parameter ScheduleExpression is not valid.");
    return local_events_reject(r, "ValidationException",
                               "Parameter ScheduleExpression is not supported by fanout-local: no schedules run here. "
                               "Give the rule an EventPattern alone.");
}

/* Puts the error for a pattern that is none into the request. 0, 1 (rejected), or ERR_NO_MEMORY. */
static int
check_pattern(struct store_tx *tx, struct events_request *r, struct slice text)
{
    struct event_pattern *pattern = NULL;
    struct err e = {0};
    int rc = event_pattern_compile(text, &pattern, &e);
    event_pattern_destroy(pattern);
    if (rc == ERR_NO_MEMORY)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    if (rc != 0)
        reject_pattern(r, &e);
    return rc != 0;
}

static int
put_rule(struct store_tx *tx, struct events_request *r)
{
    struct rule_texts rule = {.bus = {0}};
    int rc = read_rule(tx, r, &rule);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (rule.pattern.n == 0 && rule.schedule.n == 0)
        return local_events_reject(r, "ValidationException",
                                   "Parameter(s) EventPattern or ScheduleExpression must be specified.");
    if (rule.schedule.n > 0)
        return reject_schedule(r, &rule);
    if ((rc = check_pattern(tx, r, rule.pattern)) != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *q =
        local_events_prepare(tx,
                             "INSERT OR REPLACE INTO events_rules (bus, name, pattern, state, description, role_arn)"
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                             rule.bus, rule.name);
    if (q) {
        store_bind_text(q, 3, rule.pattern);
        store_bind_text(q, 4, rule.state);
        store_bind_text(q, 5, rule.description);
        store_bind_text(q, 6, rule.role_arn);
    }
    if ((rc = store_run(tx, q)) != 0)
        return rc;
    struct slice arn = local_events_rule_arn(r->events, &r->call->arena, rule.bus, rule.name);
    buf_add_char(&r->answer, '{');
    local_events_add_text(&r->answer, "RuleArn", arn);
    buf_add_char(&r->answer, '}');
    return local_events_rule_changed(tx, r, rule.bus, rule.name);
}

/* ---- DescribeRule, ListRules --------------------------------------------------------------------------------------
 */

#define RULE_COLUMNS "name, pattern, state, description, role_arn, bus"

/* Appends the members of the rule in this row. */
static int
add_rule(struct store_tx *tx, struct events_request *r, sqlite3_stmt *q)
{
    struct slice name = store_column(q, 0), bus = store_column(q, 5);
    struct slice arn = local_events_rule_arn(r->events, &r->call->arena, bus, name);
    if (!arn.p)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    local_events_add_text(&r->answer, "Name", name);
    local_events_add_text(&r->answer, "Arn", arn);
    local_events_add_text(&r->answer, "EventPattern", store_column(q, 1));
    local_events_add_text(&r->answer, "State", store_column(q, 2));
    local_events_add_text(&r->answer, "Description", store_column(q, 3));
    local_events_add_text(&r->answer, "RoleArn", store_column(q, 4));
    local_events_add_text(&r->answer, "EventBusName", bus);
    return 0;
}

static int
describe_rule(struct store_tx *tx, struct events_request *r)
{
    struct slice bus, name;
    int rc = local_events_find_rule(tx, r, "Name", &bus, &name);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *q =
        local_events_prepare(tx, "SELECT " RULE_COLUMNS " FROM events_rules WHERE bus = ?1 AND name = ?2", bus, name);
    if ((rc = store_step(tx, q)) != 1)
        return rc < 0 ? rc : store_fail(tx, ERR_CORRUPT, "a rule has gone");
    buf_add_char(&r->answer, '{');
    rc = add_rule(tx, r, q);
    local_events_add_text(&r->answer, "CreatedBy", slice_of_string(local_account(r->events->local)));
    buf_add_char(&r->answer, '}');
    store_reset(q);
    return rc;
}

static int
add_listed_rule(struct store_tx *tx, struct events_request *r, sqlite3_stmt *q)
{
    buf_add_char(&r->answer, '{');
    int rc = add_rule(tx, r, q);
    buf_add_char(&r->answer, '}');
    return rc;
}

static int
list_rules(struct store_tx *tx, struct events_request *r)
{
    struct slice bus, prefix;
    struct events_page page;
    int rc = local_events_find_bus(tx, r, &bus);
    if (rc == 0)
        rc = local_events_text(tx, r, r->body, "NamePrefix", &prefix);
    if (rc == 0)
        rc = local_events_read_page(tx, r, &page);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *q = store_prepare(tx, "SELECT " RULE_COLUMNS " FROM events_rules WHERE bus = ?1 AND name > ?2"
                                        " AND substr(name, 1, length(?3)) = ?3 ORDER BY name LIMIT ?4 + 1");
    if (q) {
        store_bind_text(q, 1, bus);
        store_bind_text(q, 2, page.after);
        store_bind_text(q, 3, prefix);
        store_bind_int(q, 4, page.limit);
    }
    return local_events_write_page(tx, r, &page, q, "Rules", add_listed_rule);
}

/* ---- DeleteRule, EnableRule, DisableRule --------------------------------------------------------------------------
 */

/* One that does not exist is deleted already. */
static int
delete_rule(struct store_tx *tx, struct events_request *r)
{
    struct slice bus, name;
    int rc = local_events_find_bus(tx, r, &bus);
    if (rc == 0)
        rc = local_events_text(tx, r, r->body, "Name", &name);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *q = local_events_prepare(tx, "SELECT 1 FROM events_targets WHERE bus = ?1 AND rule = ?2", bus, name);
    if ((rc = store_step(tx, q)) < 0)
        return rc;
    if (rc == 1) {
        store_reset(q);
        return local_events_reject(r, "ValidationException", "Rule can't be deleted since it has targets.");
    }
    q = local_events_prepare(tx, "DELETE FROM events_rules WHERE bus = ?1 AND name = ?2", bus, name);
    rc = store_run(tx, q);
    return rc != 0 ? rc : local_events_rule_changed(tx, r, bus, name);
}

static int
set_state(struct store_tx *tx, struct events_request *r, struct slice state)
{
    struct slice bus, name;
    int rc = local_events_find_rule(tx, r, "Name", &bus, &name);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *q =
        local_events_prepare(tx, "UPDATE events_rules SET state = ?3 WHERE bus = ?1 AND name = ?2", bus, name);
    if (q)
        store_bind_text(q, 3, state);
    rc = store_run(tx, q);
    return rc != 0 ? rc : local_events_rule_changed(tx, r, bus, name);
}

static int
enable_rule(struct store_tx *tx, struct events_request *r)
{
    return set_state(tx, r, SLICE("ENABLED"));
}

static int
disable_rule(struct store_tx *tx, struct events_request *r)
{
    return set_state(tx, r, SLICE("DISABLED"));
}

const struct events_operation EVENTS_RULE_OPERATIONS[] = {
    {"TestEventPattern", &EVENTS_TEST_EVENT_PATTERN, true, test_event_pattern},
    {"PutRule", &EVENTS_PUT_RULE, false, put_rule},
    {"DescribeRule", &EVENTS_NAMED_RULE, false, describe_rule},
    {"ListRules", &EVENTS_LIST_RULES, false, list_rules},
    {"DeleteRule", &EVENTS_DELETE_RULE, false, delete_rule},
    {"EnableRule", &EVENTS_NAMED_RULE, false, enable_rule},
    {"DisableRule", &EVENTS_NAMED_RULE, false, disable_rule},
    {.name = NULL},
};
