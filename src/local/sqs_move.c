#include "local/sqs_move.h"

#include <string.h>

#include "base/json.h"
#include "local/sqs_dead_letters.h"
#include "local/sqs_fifo.h"

/* ---- what needs no queue ----------------------------------------------------------------------------------------- */

/* "arn:partition:service:region:account:resource" */
static bool
check_arn(struct slice arn, const char *parameter, struct lsqs_error *e)
{
    size_t colons = 0;
    for (size_t i = 0; i < arn.n; i++)
        colons += arn.p[i] == ':';
    return (colons >= 5 && slice_starts_with(arn, SLICE("arn:"))) ||
           lsqs_fail(e, LSQS_INVALID_VALUE,
                     "You must use this format to specify the %s: "
                     "arn:<partition>:<service>:<region>:<account-id>:<resource-id>",
                     parameter);
}

static bool
check_source(struct slice arn, struct lsqs_error *e)
{
    return arn.p ? check_arn(arn, "SourceArn", e) : lsqs_fail_missing(e, "SourceArn");
}

static bool
check_range(const struct lsqs_int *number, int64_t most, const char *parameter, struct lsqs_error *e)
{
    return !number->given || (number->value >= 1 && number->value <= most) ||
           lsqs_fail(e, LSQS_INVALID_VALUE,
                     "Value for parameter %s is invalid. Reason: You must enter a number that's between 1 and %lld.",
                     parameter, (long long)most);
}

bool
lsqs_check_start_move(struct lsqs_call *c)
{
    const struct lsqs_start_move *r = c->request;
    if (!check_source(r->source_arn, &c->error) ||
        (r->destination_arn.p && !check_arn(r->destination_arn, "DestinationArn", &c->error)))
        return false;
    if (r->destination_arn.p && slice_equals(r->source_arn, r->destination_arn))
        return lsqs_fail(&c->error, LSQS_INVALID_VALUE,
                         "Source queue arn and destination queue arn cannot be the same.");
    return check_range(&r->rate, LSQS_MOVE_MAX_RATE, "MaxNumberOfMessagesPerSecond", &c->error);
}

bool
lsqs_check_cancel_move(struct lsqs_call *c)
{
    const struct lsqs_cancel_move *r = c->request;
    return r->handle.p ? true : lsqs_fail_missing(&c->error, "TaskHandle");
}

bool
lsqs_check_list_moves(struct lsqs_call *c)
{
    const struct lsqs_list_moves *r = c->request;
    return check_source(r->source_arn, &c->error) && check_range(&r->max, LSQS_MOVES_KEPT, "MaxResults", &c->error);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static struct slice
write_handle(struct arena *arena, struct slice id, struct slice source_arn)
{
    struct buf json = BUF_INIT, text = BUF_INIT;
    buf_add_string(&json, "{\"taskId\":");
    json_write_string(&json, id);
    buf_add_string(&json, ",\"sourceArn\":");
    json_write_string(&json, source_arn);
    buf_add_char(&json, '}');
    digest_base64_encode(&text, json.data, json.len);
    bool ok = !buf_failed(&json) && !buf_failed(&text);
    struct slice handle = slice_of(ok ? arena_strndup(arena, text.data, text.len) : NULL, text.len);
    buf_clean_up(&text);
    buf_clean_up(&json);
    return handle;
}

static bool
read_handle(struct slice handle, struct buf *ret_id, struct buf *ret_source_arn)
{
    struct buf text = BUF_INIT;
    struct json json, id, arn;
    bool ok = digest_base64_decode(&text, handle) && json_parse(buf_slice(&text), &json, NULL) == 0 &&
              json_get(json, "taskId", &id) && id.type == JSON_STRING && json_get(json, "sourceArn", &arn) &&
              arn.type == JSON_STRING && json_decode(id, ret_id, NULL) == 0 &&
              json_decode(arn, ret_source_arn, NULL) == 0;
    buf_clean_up(&text);
    return ok;
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

static bool
fail_not_found(struct lsqs_error *e, const char *parameter)
{
    return lsqs_fail(e, LSQS_NOT_FOUND, "The resource that you specified for the %s parameter doesn't exist.",
                     parameter);
}

static bool
has_sources(const struct local_sqs *s, const struct lsqs_queue *dead_letters)
{
    for (size_t i = 0; i < s->n_places; i++)
        for (const struct lsqs_queue *q = s->table[i]; q; q = q->next)
            if (q->settings.dead_letter_arn && strcmp(q->settings.dead_letter_arn, dead_letters->arn) == 0)
                return true;
    return false;
}

static bool
check_queues(struct lsqs_call *c, const struct lsqs_queue *source)
{
    const struct lsqs_start_move *r = c->request;
    if (!source)
        return fail_not_found(&c->error, "SourceArn");
    if (!has_sources(c->sqs, source))
        return lsqs_fail(&c->error, LSQS_INVALID_VALUE, "Source queue must be configured as a Dead Letter Queue.");
    if (r->destination_arn.p && !lsqs_find_queue_by_arn(c->sqs, r->destination_arn))
        return fail_not_found(&c->error, "DestinationArn");
    if (r->destination_arn.p && lsqs_is_fifo_name(r->source_arn) != lsqs_is_fifo_name(r->destination_arn))
        return lsqs_fail(&c->error, LSQS_INVALID_VALUE,
                         "The source queue and destination queue must be of the same queue type.");
    return true;
}

static int
check_others(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_queue *source)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT count(*), sum(source = ?) FROM sqs_move WHERE next_at IS NOT NULL");
    if (r)
        store_bind_text(r, 1, slice_of_string(source->arn));
    int code = store_step(tx, r);
    if (code < 0)
        return code;
    int64_t active = sqlite3_column_int64(r, 0), of_source = sqlite3_column_int64(r, 1);
    store_reset(r);
    if (of_source > 0)
        lsqs_fail(&c->error, LSQS_INVALID_VALUE,
                  "There is already a task running. Only one active task is allowed for a source queue arn at a given "
                  "time.");
    else if (active >= LSQS_MOVES_MAX)
        lsqs_fail(&c->error, LSQS_THROTTLED, "There are already %d active message move tasks: no more are allowed.",
                  LSQS_MOVES_MAX);
    return 0;
}

static int
insert_task(struct store_tx *tx, struct lsqs_call *c, struct slice id, int64_t to_move)
{
    const struct lsqs_start_move *r = c->request;
    sqlite3_stmt *w = store_prepare(
        tx, "INSERT INTO sqs_move (uuid, source, destination, rate, status, started_at, to_move, moved, paced_from,"
            " paced, next_at) VALUES (?1, ?2, ?3, ?4, 'RUNNING', ?5, ?6, 0, ?5, 0, ?5)");
    if (w) {
        store_bind_text(w, 1, id);
        store_bind_text(w, 2, r->source_arn);
        if (r->destination_arn.p)
            store_bind_text(w, 3, r->destination_arn);
        store_bind_int(w, 4, r->rate.given ? r->rate.value : 0);
        store_bind_int(w, 5, store_now_ms(tx));
        store_bind_int(w, 6, to_move);
    }
    int code = store_run(tx, w);
    if (code < 0)
        return code;
    w = store_prepare(tx, "DELETE FROM sqs_move WHERE source = ?1 AND id NOT IN"
                          " (SELECT id FROM sqs_move WHERE source = ?1 ORDER BY id DESC LIMIT ?2)");
    if (w) {
        store_bind_text(w, 1, r->source_arn);
        store_bind_int(w, 2, LSQS_MOVES_KEPT);
    }
    return store_run(tx, w);
}

int
lsqs_run_start_move(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_start_move *r = c->request;
    struct lsqs_move_started *result = c->result;
    struct lsqs_queue *source = lsqs_find_queue_by_arn(c->sqs, r->source_arn);
    uint8_t uuid[16];
    char id[UUID_TEXT_BYTES];
    if (!check_queues(c, source))
        return 0;
    int code = check_others(tx, c, source);
    if (code < 0 || c->error.kind != LSQS_OK)
        return code;
    code = lsqs_touch(c->sqs, tx, source);
    if (code == 0)
        code = lsqs_expire(tx, source);
    if (code < 0)
        return code;
    lsqs_take_uuid(c->sqs, uuid);
    lsqs_format_uuid(uuid, id);
    result->handle = write_handle(&c->call->arena, slice_of_string(id), r->source_arn);
    if (!result->handle.p)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    c->sqs->moves_due_ms = store_now_ms(tx); /* this turn begins to move, and answers after that */
    return insert_task(tx, c, slice_of_string(id),
                       source->counts.total - source->counts.in_flight - source->counts.delayed);
}

/* ---- cancelling -------------------------------------------------------------------------------------------------- */

static int
cancel(struct store_tx *tx, struct lsqs_call *c, struct slice id, struct slice source_arn)
{
    struct lsqs_move_cancelled *result = c->result;
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT id, moved FROM sqs_move WHERE source = ? AND uuid = ? AND status = 'RUNNING'");
    if (r) {
        store_bind_text(r, 1, source_arn);
        store_bind_text(r, 2, id);
    }
    int code = store_step(tx, r);
    if (code <= 0) {
        lsqs_fail(&c->error, LSQS_NOT_FOUND, "Task does not exist.");
        return code;
    }
    int64_t row = sqlite3_column_int64(r, 0), due_ms = store_now_ms(tx) + 1;
    result->moved = (struct lsqs_int){.given = true, .value = sqlite3_column_int64(r, 1)};
    store_reset(r);
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_move SET status = 'CANCELLING', next_at = ? WHERE id = ?");
    if (w) {
        store_bind_int(w, 1, due_ms);
        store_bind_int(w, 2, row);
    }
    if (c->sqs->moves_due_ms > due_ms)
        c->sqs->moves_due_ms = due_ms;
    return store_run(tx, w);
}

int
lsqs_run_cancel_move(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_cancel_move *r = c->request;
    struct buf id = BUF_INIT, arn = BUF_INIT;
    int code = 0;
    if (!read_handle(r->handle, &id, &arn))
        lsqs_fail(&c->error, LSQS_INVALID_VALUE, "Value for parameter TaskHandle is invalid.");
    else if (!lsqs_find_queue_by_arn(c->sqs, buf_slice(&arn)))
        fail_not_found(&c->error, "SourceArn");
    else
        code = cancel(tx, c, buf_slice(&id), buf_slice(&arn));
    buf_clean_up(&arn);
    buf_clean_up(&id);
    return code;
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static struct slice
keep(struct arena *arena, sqlite3_stmt *r, int at)
{
    struct slice s = store_column(r, at);
    return s.p ? slice_of(arena_strndup(arena, s.p, s.n), s.n) : s;
}

static struct lsqs_int
number(int64_t value)
{
    return (struct lsqs_int){.given = true, .value = value};
}

static bool
tell(struct store_tx *tx, struct lsqs_call *c, sqlite3_stmt *r, struct lsqs_move *out)
{
    const struct lsqs_list_moves *request = c->request;
    struct arena *arena = &c->call->arena;
    *out = (struct lsqs_move){.status = keep(arena, r, 1),
                              .source_arn = request->source_arn,
                              .destination_arn = keep(arena, r, 2),
                              .failure = keep(arena, r, 3),
                              .moved = number(sqlite3_column_int64(r, 5)),
                              .to_move = number(sqlite3_column_int64(r, 6)),
                              .started_at_ms = number(store_wall_ms(tx, sqlite3_column_int64(r, 7)))};
    if (sqlite3_column_int64(r, 4) > 0)
        out->rate = number(sqlite3_column_int64(r, 4));
    if (!slice_equals(out->status, SLICE("RUNNING")))
        return out->status.p != NULL;
    out->handle = write_handle(arena, store_column(r, 0), request->source_arn);
    return out->handle.p != NULL;
}

int
lsqs_run_list_moves(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_list_moves *request = c->request;
    struct lsqs_moves_result *result = c->result;
    size_t most = request->max.given ? (size_t)request->max.value : 1, n = 0;
    if (!lsqs_find_queue_by_arn(c->sqs, request->source_arn)) {
        fail_not_found(&c->error, "SourceArn");
        return 0;
    }
    struct lsqs_move *moves = arena_alloc(&c->call->arena, most * sizeof *moves);
    if (!moves)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    sqlite3_stmt *r = store_prepare(tx, "SELECT uuid, status, destination, failure, rate, moved, to_move, started_at"
                                        " FROM sqs_move WHERE source = ? ORDER BY id DESC LIMIT ?");
    if (r) {
        store_bind_text(r, 1, request->source_arn);
        store_bind_int(r, 2, (int64_t)most);
    }
    int code = 0;
    bool ok = true;
    while (ok && n < most && (code = store_step(tx, r)) > 0)
        ok = tell(tx, c, r, &moves[n++]);
    store_reset(r);
    result->moves = (struct lsqs_list){.items = moves, .n = n};
    if (code < 0)
        return code;
    return ok ? 0 : store_fail(tx, ERR_NO_MEMORY, "out of memory");
}

int
lsqs_forget_moves(struct store_tx *tx, const struct lsqs_queue *q)
{
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_move WHERE source = ?");
    if (w)
        store_bind_text(w, 1, slice_of_string(q->arn));
    return store_run(tx, w);
}
