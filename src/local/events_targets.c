/* The operations on a rule's targets. */
#include <string.h>

#include "local/events_impl.h"

#define TARGETS_MAX 5 /* of a rule */

/* ---- one target ---------------------------------------------------------------------------------------------------
 */

static bool
ends_with(struct slice s, struct slice end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

static bool
is_queue(struct slice arn)
{
    return slice_starts_with(arn, SLICE("arn:aws:sqs:"));
}

/* "arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE" */
static bool
is_arn(struct slice s)
{
    size_t colons = 0;
    for (size_t i = 0; i < s.n; i++)
        colons += s.p[i] == ':';
    return slice_starts_with(s, SLICE("arn:")) && colons >= 5;
}

#define SHOWN(s) (int)((s).n < 200 ? (s).n : 200), (s).p

static int
check_arn(struct json target, const struct events_target *t, struct err *e)
{
    struct json parameters;
    if (!is_arn(t->arn))
        return err_set(e, ERR_INVALID, "Parameter %.*s is not valid. Reason: Provided Arn is not in correct format.",
                       SHOWN(t->arn));
    if (!is_queue(t->arn))
        return err_set(e, ERR_INVALID,
                       "Parameter Arn of target %.*s is not supported by fanout-local: targets are SQS queues here, "
                       "which %.*s is not.",
                       SLICE_ARG(t->id), SHOWN(t->arn));
    if (!ends_with(t->arn, SLICE(".fifo")))
        return 0;
    if (!local_events_get(target, "SqsParameters", &parameters))
        return err_set(e, ERR_INVALID, "Parameter(s) SqsParameters must be specified for target: %.*s.",
                       SLICE_ARG(t->id));
    return 0;
}

/* What a caller may not ask for, beyond the shape; a template may name targets that do not exist here. */
static int
check_target(struct json target, const struct events_target *t, struct err *e)
{
    static const char *const OTHERS[] = {
        "KinesisParameters", "RunCommandParameters",   "EcsParameters",     "BatchParameters",
        "HttpParameters",    "RedshiftDataParameters", "AppSyncParameters", "SageMakerPipelineParameters"};
    struct json value;
    int rc = check_arn(target, t, e);
    for (size_t i = 0; rc == 0 && i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (local_events_get(target, OTHERS[i], &value))
            rc = err_set(e, ERR_INVALID, "Parameter %s is not valid for target %.*s: it is an SQS queue.", OTHERS[i],
                         SLICE_ARG(t->id));
    if (rc != 0 || !t->dead_letter_arn.p)
        return rc;
    if (!is_queue(t->dead_letter_arn) || ends_with(t->dead_letter_arn, SLICE(".fifo")))
        return err_set(e, ERR_INVALID,
                       "Parameter DeadLetterConfig.Arn of target %.*s is not valid. Reason: it is not the ARN of a "
                       "standard SQS queue.",
                       SLICE_ARG(t->id));
    return 0;
}

int
local_events_compile_target(struct json target, struct arena *arena, struct events_target *ret_target, struct err *e)
{
    struct events_target t = {.id = {0}};
    struct json inner;
    int rc = local_events_read_text(arena, target, "Id", &t.id, e);
    if (rc == 0)
        rc = local_events_read_text(arena, target, "Arn", &t.arn, e);
    if (rc == 0 && local_events_get(target, "DeadLetterConfig", &inner))
        rc = local_events_read_text(arena, inner, "Arn", &t.dead_letter_arn, e);
    if (rc == 0 && local_events_get(target, "SqsParameters", &inner))
        rc = local_events_read_text(arena, inner, "MessageGroupId", &t.group_id, e);
    if (rc == 0)
        rc = local_events_input_compile(target, t.id, arena, &t.input, e);
    if (rc == 0)
        *ret_target = t;
    return rc;
}

int
local_events_write_target(struct store_tx *tx, struct slice bus, struct slice rule, struct slice id,
                          struct slice target, struct slice capture_bucket)
{
    sqlite3_stmt *q =
        local_events_prepare(tx,
                             "INSERT OR REPLACE INTO events_targets (bus, rule, id, target, capture_bucket)"
                             " VALUES (?1, ?2, ?3, ?4, ?5)",
                             bus, rule);
    if (q) {
        store_bind_text(q, 3, id);
        store_bind_text(q, 4, target);
        store_bind_text(q, 5, capture_bucket);
    }
    return store_run(tx, q);
}

static int
has_target(struct store_tx *tx, struct slice bus, struct slice rule, struct slice id)
{
    sqlite3_stmt *q =
        local_events_prepare(tx, "SELECT 1 FROM events_targets WHERE bus = ?1 AND rule = ?2 AND id = ?3", bus, rule);
    if (q)
        store_bind_text(q, 3, id);
    int rc = store_step(tx, q);
    if (rc == 1)
        store_reset(q);
    return rc;
}

/* ---- PutTargets ---------------------------------------------------------------------------------------------------
 */

/* Reads and checks them all, into a list of the arena's. 0, 1 (rejected), or a code of run's. */
static int
read_targets(struct store_tx *tx, struct events_request *r, struct json list, struct events_target **ret_targets)
{
    struct events_target *targets = arena_alloc(&r->call->arena, json_count(list) * sizeof *targets);
    struct err e = {0};
    int rc = 0;
    if (!targets) {
        store_fail(tx, ERR_NO_MEMORY, "out of memory");
        return ERR_NO_MEMORY;
    }
    for (struct json_iter it = json_iter(list); rc == 0 && json_next(&it);) {
        rc = local_events_compile_target(it.value, &r->call->arena, &targets[it.index], &e);
        if (rc == 0)
            rc = check_target(it.value, &targets[it.index], &e);
    }
    if (rc == 0) {
        *ret_targets = targets;
        return 0;
    }
    if (rc == ERR_INVALID) {
        local_events_reject(r, "ValidationException", "%s", e.text);
        return 1;
    }
    store_fail(tx, ERR_NO_MEMORY, "out of memory");
    return ERR_NO_MEMORY;
}

static bool
is_among(const struct events_target *targets, size_t n, struct slice id)
{
    for (size_t i = 0; i < n; i++)
        if (slice_equals(targets[i].id, id))
            return true;
    return false;
}

/* Whether the rule would have too many with these. 0, 1 (rejected), or a code of run's. */
static int
check_limit(struct store_tx *tx, struct events_request *r, struct slice bus, struct slice rule,
            const struct events_target *targets, size_t n)
{
    sqlite3_stmt *q =
        local_events_prepare(tx, "SELECT count(*) FROM events_targets WHERE bus = ?1 AND rule = ?2", bus, rule);
    int rc = store_step(tx, q);
    if (rc != 1)
        return rc < 0 ? rc : store_fail(tx, ERR_CORRUPT, "a count gave no row");
    int64_t total = sqlite3_column_int64(q, 0);
    store_reset(q);
    for (size_t i = 0; i < n; i++) {
        if (is_among(targets, i, targets[i].id))
            continue;
        if ((rc = has_target(tx, bus, rule, targets[i].id)) < 0)
            return rc;
        total += rc == 0;
    }
    if (total <= TARGETS_MAX)
        return 0;
    local_events_reject(r, "LimitExceededException", "The requested resource exceeds the maximum number allowed.");
    return 1;
}

static int
put_targets(struct store_tx *tx, struct events_request *r)
{
    struct slice bus, rule;
    struct json list;
    struct events_target *targets = NULL;
    int rc = local_events_find_rule(tx, r, "Rule", &bus, &rule);
    if (rc != 0 || !local_events_get(r->body, "Targets", &list))
        return rc < 0 ? rc : 0;
    rc = read_targets(tx, r, list, &targets);
    if (rc == 0)
        rc = check_limit(tx, r, bus, rule, targets, json_count(list));
    for (struct json_iter it = json_iter(list); rc == 0 && json_next(&it);) {
        struct buf text = BUF_INIT;
        local_events_write_known(&text, &EVENTS_TARGET, it.value);
        rc = buf_failed(&text)
                 ? store_fail(tx, ERR_NO_MEMORY, "out of memory")
                 : local_events_write_target(tx, bus, rule, targets[it.index].id, buf_slice(&text), slice_of(NULL, 0));
        buf_clean_up(&text);
    }
    if (rc != 0)
        return rc < 0 ? rc : 0;
    buf_add_string(&r->answer, "{\"FailedEntries\":[],\"FailedEntryCount\":0}");
    return local_events_rule_changed(tx, r, bus, rule);
}

/* ---- RemoveTargets ------------------------------------------------------------------------------------------------
 */

static int
remove_target(struct store_tx *tx, struct slice bus, struct slice rule, struct slice id)
{
    sqlite3_stmt *q =
        local_events_prepare(tx, "DELETE FROM events_targets WHERE bus = ?1 AND rule = ?2 AND id = ?3", bus, rule);
    if (q)
        store_bind_text(q, 3, id);
    return store_run(tx, q);
}

/* The ids that were checked, decoded. */
static int
read_id(struct store_tx *tx, struct events_request *r, struct json string, struct slice *ret)
{
    size_t size = json_raw(string).n + 1, n;
    char *text = arena_alloc(&r->call->arena, size);
    if (!text || !json_decode_into(string, text, size, &n))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    *ret = slice_of(text, n);
    return 0;
}

static int
remove_targets(struct store_tx *tx, struct events_request *r)
{
    struct slice bus, rule, id = {0};
    struct json ids;
    size_t failed = 0;
    int rc = local_events_find_rule(tx, r, "Rule", &bus, &rule);
    if (rc != 0 || !local_events_get(r->body, "Ids", &ids))
        return rc < 0 ? rc : 0;
    buf_add_string(&r->answer, "{\"FailedEntries\":[");
    for (struct json_iter it = json_iter(ids); rc == 0 && json_next(&it);) {
        if ((rc = read_id(tx, r, it.value, &id)) != 0 || (rc = remove_target(tx, bus, rule, id)) != 0)
            return rc;
        if (store_changes(tx) == 0)
            buf_add_format(&r->answer,
                           "%s{\"TargetId\":\"%.*s\",\"ErrorCode\":\"ResourceNotFoundException\",\"ErrorMessage\":"
                           "\"Rule '%.*s' does not have a target with the Id '%.*s'.\"}",
                           failed++ > 0 ? "," : "", SLICE_ARG(id), SLICE_ARG(rule), SLICE_ARG(id));
    }
    buf_add_format(&r->answer, "],\"FailedEntryCount\":%zu}", failed);
    return local_events_rule_changed(tx, r, bus, rule);
}

/* ---- ListTargetsByRule --------------------------------------------------------------------------------------------
 */

static int
add_listed_target(struct store_tx *tx, struct events_request *r, sqlite3_stmt *q)
{
    (void)tx;
    buf_add_slice(&r->answer, store_column(q, 1));
    return 0;
}

static int
list_targets(struct store_tx *tx, struct events_request *r)
{
    struct slice bus, rule;
    struct events_page page;
    int rc = local_events_find_rule(tx, r, "Rule", &bus, &rule);
    if (rc == 0)
        rc = local_events_read_page(tx, r, &page);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    sqlite3_stmt *q = local_events_prepare(
        tx, "SELECT id, target FROM events_targets WHERE bus = ?1 AND rule = ?2 AND id > ?3 ORDER BY id LIMIT ?4 + 1",
        bus, rule);
    if (q) {
        store_bind_text(q, 3, page.after);
        store_bind_int(q, 4, page.limit);
    }
    return local_events_write_page(tx, r, &page, q, "Targets", add_listed_target);
}

const struct events_operation EVENTS_TARGET_OPERATIONS[] = {
    {"PutTargets", &EVENTS_PUT_TARGETS, false, put_targets},
    {"RemoveTargets", &EVENTS_REMOVE_TARGETS, false, remove_targets},
    {"ListTargetsByRule", &EVENTS_LIST_TARGETS, false, list_targets},
    {.name = NULL},
};
