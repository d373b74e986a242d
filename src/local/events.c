#include "local/events_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

static const char *const MIGRATIONS[] = {
    "CREATE TABLE events_buses (name TEXT PRIMARY KEY) WITHOUT ROWID;"
    "INSERT INTO events_buses VALUES ('default');"
    "CREATE TABLE events_rules (bus TEXT NOT NULL, name TEXT NOT NULL, pattern TEXT NOT NULL, enabled INTEGER NOT NULL,"
    " PRIMARY KEY (bus, name)) WITHOUT ROWID;"
    "CREATE TABLE events_targets (bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL, arn TEXT NOT NULL,"
    " dead_letter_arn TEXT NOT NULL, capture_bucket TEXT NOT NULL, PRIMARY KEY (bus, rule, id)) WITHOUT ROWID;",

    /* A rule has AWS's state and what else PutRule takes. A target is kept as ListTargetsByRule shows it. What the
     * template made is noted beside, with what the template said then (events_provision.c); until now it was all. */
    "CREATE TABLE events_rules_2 (bus TEXT NOT NULL, name TEXT NOT NULL, pattern TEXT NOT NULL, state TEXT NOT NULL,"
    " description TEXT NOT NULL, role_arn TEXT NOT NULL, PRIMARY KEY (bus, name)) WITHOUT ROWID;"
    "INSERT INTO events_rules_2 SELECT bus, name, pattern, iif(enabled, 'ENABLED', 'DISABLED'), '', ''"
    " FROM events_rules;"
    "DROP TABLE events_rules; ALTER TABLE events_rules_2 RENAME TO events_rules;"
    "CREATE TABLE events_targets_2 (bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL, target TEXT NOT NULL,"
    " capture_bucket TEXT NOT NULL, PRIMARY KEY (bus, rule, id)) WITHOUT ROWID;"
    "INSERT INTO events_targets_2 SELECT bus, rule, id, iif(dead_letter_arn = '',"
    " json_object('Id', id, 'Arn', arn),"
    " json_object('Id', id, 'Arn', arn, 'DeadLetterConfig', json_object('Arn', dead_letter_arn))), capture_bucket"
    " FROM events_targets;"
    "DROP TABLE events_targets; ALTER TABLE events_targets_2 RENAME TO events_targets;"
    "CREATE TABLE events_provisioned (bus TEXT NOT NULL, rule TEXT NOT NULL, definition TEXT NOT NULL,"
    " changed INTEGER NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (bus, rule)) WITHOUT ROWID;"
    "INSERT INTO events_provisioned SELECT bus, name, '', 0, 0 FROM events_rules;",
};

/* ---- what is kept in memory -------------------------------------------------------------------------------------- */

static void
forget(struct local_events *s)
{
    for (size_t i = 0; i < s->n_buses; i++) {
        event_scratch_destroy(s->buses[i].scratch);
        event_rules_destroy(s->buses[i].patterns);
    }
    s->rules = NULL;
    s->buses = NULL;
    s->n_rules = s->n_buses = 0;
    arena_reset(&s->arena);
}

static int
count(struct store_tx *tx, const char *sql, size_t *ret)
{
    sqlite3_stmt *q = store_prepare(tx, sql);
    int rc = store_step(tx, q);
    if (rc == 1) {
        *ret = (size_t)sqlite3_column_int64(q, 0);
        store_reset(q);
        return 0;
    }
    return rc < 0 ? rc : store_fail(tx, ERR_CORRUPT, "a count gave no row");
}

/* Copies a column; false: no memory. */
static bool
keep(struct local_events *s, sqlite3_stmt *q, int column, struct slice *ret)
{
    struct slice text = store_column(q, column);
    char *copy = arena_strdup_slice(&s->arena, text);
    *ret = slice_of(copy, copy ? text.n : 0);
    return copy != NULL;
}

static int
no_memory(struct store_tx *tx, sqlite3_stmt *q)
{
    if (q)
        store_reset(q);
    return store_fail(tx, ERR_NO_MEMORY, "out of memory");
}

static int
load_buses(struct local_events *s, struct store_tx *tx)
{
    size_t n = 0;
    int rc = count(tx, "SELECT count(*) FROM events_buses", &n);
    if (rc != 0)
        return rc;
    if (!(s->buses = arena_zalloc(&s->arena, n * sizeof *s->buses)))
        return no_memory(tx, NULL);
    sqlite3_stmt *q = store_prepare(tx, "SELECT name FROM events_buses ORDER BY name");
    while ((rc = store_step(tx, q)) == 1)
        if (!keep(s, q, 0, &s->buses[s->n_buses++].name))
            return no_memory(tx, q);
    return rc;
}

struct slice
local_events_rule_arn(const struct local_events *s, struct arena *arena, struct slice bus, struct slice rule)
{
    bool named = !slice_equals_string(bus, "default");
    return slice_of_string(arena_format(arena, "arn:aws:events:%s:%s:rule/%.*s%s%.*s", local_region(s->local),
                                        local_account(s->local), named ? (int)bus.n : 0, bus.p, named ? "/" : "",
                                        SLICE_ARG(rule)));
}

/* What the tables hold was checked before it got there. */
static int
corrupt(struct store_tx *tx, sqlite3_stmt *q, const struct events_rule *rule, int rc, const struct err *e)
{
    if (q)
        store_reset(q);
    return store_fail(tx, rc == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_CORRUPT, "rule %.*s: %s", SLICE_ARG(rule->name),
                      e->text);
}

static int
load_targets(struct local_events *s, struct store_tx *tx, struct events_rule *rule)
{
    sqlite3_stmt *q = local_events_prepare(tx,
                                           "SELECT count(*) OVER (), target, capture_bucket"
                                           " FROM events_targets WHERE bus = ?1 AND rule = ?2 ORDER BY id",
                                           rule->bus, rule->name);
    int rc;
    while ((rc = store_step(tx, q)) == 1) {
        if (!rule->targets)
            rule->targets = arena_zalloc(&s->arena, (size_t)sqlite3_column_int64(q, 0) * sizeof *rule->targets);
        if (!rule->targets)
            return no_memory(tx, q);
        struct events_target *t = &rule->targets[rule->n_targets];
        struct json target;
        struct err e = {0};
        if ((rc = json_parse(store_column(q, 1), &target, &e)) != 0 ||
            (rc = local_events_compile_target(target, &s->arena, t, &e)) != 0)
            return corrupt(tx, q, rule, rc, &e);
        if (!keep(s, q, 2, &t->capture_bucket))
            return no_memory(tx, q);
        rule->n_targets++;
    }
    return rc;
}

static int
load_rules(struct local_events *s, struct store_tx *tx)
{
    size_t n = 0;
    int rc = count(tx, "SELECT count(*) FROM events_rules WHERE state <> 'DISABLED'", &n);
    if (rc != 0)
        return rc;
    if (!(s->rules = arena_zalloc(&s->arena, n * sizeof *s->rules)))
        return no_memory(tx, NULL);
    sqlite3_stmt *q = store_prepare(tx, "SELECT bus, name, pattern FROM events_rules WHERE state <> 'DISABLED'"
                                        " ORDER BY bus, name");
    while ((rc = store_step(tx, q)) == 1) {
        struct events_rule *rule = &s->rules[s->n_rules];
        if (!keep(s, q, 0, &rule->bus) || !keep(s, q, 1, &rule->name) || !keep(s, q, 2, &rule->pattern) ||
            !(rule->arn = local_events_rule_arn(s, &s->arena, rule->bus, rule->name)).p)
            return no_memory(tx, q);
        s->n_rules++;
    }
    for (size_t i = 0; rc == 0 && i < s->n_rules; i++)
        rc = load_targets(s, tx, &s->rules[i]);
    return rc;
}

/* Compiles the rules of a bus, which stand together, together. */
static int
compile_bus(struct local_events *s, struct store_tx *tx, struct events_bus *bus, size_t first)
{
    struct err e = {0};
    size_t bad = 0;
    bus->rules = &s->rules[first];
    while (first + bus->n_rules < s->n_rules && slice_equals(s->rules[first + bus->n_rules].bus, bus->name))
        bus->n_rules++;
    struct slice *patterns = arena_alloc(&s->arena, bus->n_rules * sizeof *patterns);
    bus->matched = arena_alloc(&s->arena, bus->n_rules * sizeof *bus->matched);
    if (!patterns || !bus->matched)
        return no_memory(tx, NULL);
    for (size_t i = 0; i < bus->n_rules; i++)
        patterns[i] = bus->rules[i].pattern;
    int rc = event_rules_compile(patterns, bus->n_rules, &bus->patterns, &bad, &e);
    if (rc != 0 && rc != ERR_NO_MEMORY)
        return corrupt(tx, NULL, &bus->rules[bad], rc, &e);
    if (rc == 0)
        rc = event_scratch_new(bus->patterns, &bus->scratch, &e);
    return rc == 0 ? 0 : no_memory(tx, NULL);
}

int
local_events_load(struct local_events *s, struct store_tx *tx)
{
    size_t first = 0;
    forget(s);
    int rc = load_buses(s, tx);
    if (rc == 0)
        rc = load_rules(s, tx);
    for (size_t i = 0; rc == 0 && i < s->n_buses; first += s->buses[i++].n_rules)
        rc = compile_bus(s, tx, &s->buses[i], first);
    s->stale = rc != 0;
    return rc;
}

static int
load(void *context, struct store_tx *tx)
{
    return local_events_load(context, tx);
}

const struct events_bus *
local_events_bus(const struct local_events *s, struct slice name)
{
    for (size_t i = 0; i < s->n_buses; i++)
        if (slice_equals(name, s->buses[i].name))
            return &s->buses[i];
    return NULL;
}

struct slice
local_events_bus_name(struct slice bus)
{
    static const char MARK[] = ":event-bus/";
    if (bus.n == 0)
        return SLICE("default");
    const char *at = memmem(bus.p, bus.n, MARK, sizeof MARK - 1);
    if (!at || !slice_starts_with(bus, SLICE("arn:")))
        return bus;
    at += sizeof MARK - 1;
    return slice_of(at, (size_t)(bus.p + bus.n - at));
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

void
local_events_refuse(struct local_call *call, int status, const char *code, const char *message)
{
    struct buf body = BUF_INIT;
    local_note_error(call, code);
    buf_add_string(&body, "{\"__type\":");
    json_write_string(&body, slice_of_string(code));
    buf_add_string(&body, ",\"message\":");
    json_write_string(&body, slice_of_string(message));
    buf_add_char(&body, '}');
    const struct httpd_answer answer = {
        .status = status, .content_type = "application/x-amz-json-1.1", .body = buf_slice(&body)};
    local_answer(call, &answer);
    buf_clean_up(&body);
}

static bool
claims(void *context, const struct httpd_request *r)
{
    (void)context;
    return slice_starts_with(httpd_header(r, "X-Amz-Target"), SLICE("AWSEvents."));
}

/* Forgets all but the default bus. */
static int
reset(void *context, struct store_tx *tx)
{
    int rc = store_exec(tx, "DELETE FROM events_targets; DELETE FROM events_rules; DELETE FROM events_provisioned;"
                            "DELETE FROM events_buses WHERE name <> 'default'");
    return rc != 0 ? rc : load(context, tx);
}

static struct slice
operation(void *context, const struct httpd_request *r)
{
    (void)context;
    struct slice target = httpd_header(r, "X-Amz-Target");
    size_t prefix = strlen("AWSEvents.");
    return slice_of(target.p + prefix, target.n - prefix);
}

static bool
has_operation(struct slice name)
{
    return slice_equals_string(name, "PutEvents") || local_events_find_operation(name);
}

static void
serve(void *context, struct local_call *call)
{
    const struct events_operation *other = local_events_find_operation(call->operation);
    if (other)
        local_events_serve(context, call, other);
    else if (has_operation(call->operation))
        local_events_put(context, call);
    else
        local_events_refuse(call, 400, "UnknownOperationException",
                            "fanout-local does not know this operation of EventBridge");
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int
local_events_new(struct local *l, struct local_sqs *sqs, struct local_s3 *s3, struct local_events **ret_events,
                 struct err *e)
{
    struct local_events *s = calloc(1, sizeof *s);
    if (!s)
        return err_no_memory(e);
    s->local = l;
    s->sqs = sqs;
    s->s3 = s3;
    arena_init(&s->arena, 0);
    const struct store_service tables = {
        .name = "events",
        .context = s,
        .migrations = MIGRATIONS,
        .n_migrations = sizeof MIGRATIONS / sizeof *MIGRATIONS,
        .load = load,
    };
    const struct local_service service = {
        .name = "events",
        .request_id_header = "x-amzn-RequestId",
        .context = s,
        .claims = claims,
        .operation = operation,
        .has_operation = has_operation,
        .serve = serve,
        .refuse = local_events_refuse,
        .reset = reset,
    };
    int rc = store_add_service(local_store(l), &tables, e);
    if (rc == 0)
        rc = local_add_service(l, &service, e);
    if (rc != 0) {
        local_events_destroy(s);
        return rc;
    }
    *ret_events = s;
    return 0;
}

void
local_events_destroy(struct local_events *s)
{
    if (!s)
        return;
    forget(s);
    arena_clean_up(&s->arena);
    free(s);
}
