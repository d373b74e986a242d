#include "local/sqs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "local/auth_refusal.h"
#include "local/sqs_codec.h"
#include "local/sqs_fifo.h"
#include "local/sqs_impl.h"
#include "local/sqs_move.h"
#include "local/sqs_shape.h"

static const char *const MIGRATIONS[] = {
    /* The index is all that counting and expiring need to look at. Ids are ours, not SQLite's, so that none is used
     * twice. */
    "CREATE TABLE sqs_meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sqs_queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, box INTEGER NOT NULL UNIQUE,"
    " created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL, purged_at INTEGER NOT NULL,"
    " visibility_s INTEGER NOT NULL, max_bytes INTEGER NOT NULL, retention_s INTEGER NOT NULL,"
    " delay_s INTEGER NOT NULL, wait_s INTEGER NOT NULL, kms_reuse_s INTEGER NOT NULL, managed_sse INTEGER NOT NULL,"
    " policy TEXT, redrive_policy TEXT, redrive_allow_policy TEXT, kms_key TEXT, tags TEXT);"
    "CREATE TABLE sqs_deleted (name TEXT PRIMARY KEY, deleted_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sqs_garbage (box INTEGER PRIMARY KEY);"
    "CREATE TABLE sqs_message (id INTEGER PRIMARY KEY, box INTEGER NOT NULL, visible_at INTEGER NOT NULL,"
    " sent_at INTEGER NOT NULL, receives INTEGER NOT NULL, received_at INTEGER, first_received_at INTEGER,"
    " uuid BLOB NOT NULL, source TEXT);"
    "CREATE INDEX sqs_message_due ON sqs_message (box, visible_at, sent_at, receives);"
    "CREATE TABLE sqs_payload (id INTEGER PRIMARY KEY, md5 BLOB NOT NULL, body TEXT NOT NULL, attributes BLOB,"
    " trace TEXT, group_id TEXT)",
    /* One row per message: half the statements. The times that a receive sets are never NULL, so that it changes no
     * row's length, and SQLite writes into the row where it is; large columns come last. */
    "DROP INDEX sqs_message_due;"
    "ALTER TABLE sqs_message RENAME TO sqs_message_1;"
    "CREATE TABLE sqs_message (id INTEGER PRIMARY KEY, box INTEGER NOT NULL, visible_at INTEGER NOT NULL,"
    " sent_at INTEGER NOT NULL, receives INTEGER NOT NULL, received_at INTEGER NOT NULL,"
    " first_received_at INTEGER NOT NULL, uuid BLOB NOT NULL, md5 BLOB NOT NULL, source TEXT, trace TEXT,"
    " group_id TEXT, attributes BLOB, body TEXT NOT NULL);"
    "INSERT INTO sqs_message SELECT id, box, visible_at, sent_at, receives, coalesce(received_at, sent_at),"
    " coalesce(first_received_at, sent_at), uuid, md5, source, trace, group_id, attributes, body"
    " FROM sqs_message_1 JOIN sqs_payload USING (id);"
    "DROP TABLE sqs_message_1; DROP TABLE sqs_payload;"
    "CREATE INDEX sqs_message_due ON sqs_message (box, visible_at, sent_at, receives)",
    /* Message move tasks; next_at NULL: it has ended. */
    "CREATE TABLE sqs_move (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, source TEXT NOT NULL, destination TEXT,"
    " rate INTEGER NOT NULL, status TEXT NOT NULL, started_at INTEGER NOT NULL, to_move INTEGER NOT NULL,"
    " moved INTEGER NOT NULL, paced_from INTEGER NOT NULL, paced INTEGER NOT NULL, next_at INTEGER, failure TEXT);"
    "CREATE INDEX sqs_move_source ON sqs_move (source);"
    "CREATE INDEX sqs_move_active ON sqs_move (next_at) WHERE next_at IS NOT NULL",
    /* FIFO queues (sqs_fifo.h): every message of theirs has a deduplication id, and standard ones are in none of their
     * index. What was sent is appended to sqs_dedup and removed from its front. */
    "ALTER TABLE sqs_message ADD COLUMN dedup_id TEXT;"
    "CREATE INDEX sqs_message_fifo ON sqs_message (box, id, group_id) WHERE dedup_id IS NOT NULL;"
    "ALTER TABLE sqs_queue ADD COLUMN content_dedup INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sqs_queue ADD COLUMN group_scope INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sqs_queue ADD COLUMN group_limit INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE sqs_dedup (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, key BLOB NOT NULL,"
    " group_hash INTEGER NOT NULL, scope_hash INTEGER NOT NULL, uuid BLOB NOT NULL);"
    "CREATE TABLE sqs_attempt (box INTEGER NOT NULL, attempt_id TEXT NOT NULL, at INTEGER NOT NULL,"
    " visible_at INTEGER NOT NULL, messages BLOB NOT NULL, PRIMARY KEY (box, attempt_id)) WITHOUT ROWID;"
    "CREATE INDEX sqs_attempt_at ON sqs_attempt (at)",
    /* Who sent it, if that was a key pair with a name. */
    "ALTER TABLE sqs_message ADD COLUMN sender TEXT",
};

/* ---- operations -------------------------------------------------------------------------------------------------- */

static const struct lsqs_operation OPERATIONS[] = {
    {"ReceiveMessage", &LSQS_SHAPE_RECEIVE, &LSQS_SHAPE_MESSAGES, true, lsqs_check_receive, lsqs_run_receive},
    {"SendMessage", &LSQS_SHAPE_SEND, &LSQS_SHAPE_SENT, true, lsqs_check_send, lsqs_run_send},
    {"SendMessageBatch", &LSQS_SHAPE_SEND_BATCH, &LSQS_SHAPE_SENT_BATCH, true, lsqs_check_send_batch,
     lsqs_run_send_batch},
    {"DeleteMessage", &LSQS_SHAPE_SETTLE, NULL, true, lsqs_check_settle, lsqs_run_delete},
    {"DeleteMessageBatch", &LSQS_SHAPE_DELETE_BATCH, &LSQS_SHAPE_DELETED_BATCH, true, lsqs_check_delete_batch,
     lsqs_run_delete_batch},
    {"ChangeMessageVisibility", &LSQS_SHAPE_SETTLE, NULL, true, lsqs_check_visibility, lsqs_run_visibility},
    {"ChangeMessageVisibilityBatch", &LSQS_SHAPE_VISIBILITY_BATCH, &LSQS_SHAPE_CHANGED_BATCH, true,
     lsqs_check_visibility_batch, lsqs_run_visibility_batch},
    {"GetQueueUrl", &LSQS_SHAPE_GET_URL, &LSQS_SHAPE_URL, false, lsqs_check_get_url, lsqs_run_get_url},
    {"GetQueueAttributes", &LSQS_SHAPE_GET_ATTRIBUTES, &LSQS_SHAPE_ATTRIBUTES, true, NULL, lsqs_run_get_attributes},
    {"SetQueueAttributes", &LSQS_SHAPE_SET_ATTRIBUTES, NULL, true, lsqs_check_set_attributes, lsqs_run_set_attributes},
    {"CreateQueue", &LSQS_SHAPE_CREATE_QUEUE, &LSQS_SHAPE_URL, false, lsqs_check_create_queue, lsqs_run_create_queue},
    {"DeleteQueue", &LSQS_SHAPE_QUEUE, NULL, true, NULL, lsqs_run_delete_queue},
    {"ListQueues", &LSQS_SHAPE_LIST_QUEUES, &LSQS_SHAPE_URLS, false, lsqs_check_list_queues, lsqs_run_list_queues},
    {"ListDeadLetterSourceQueues", &LSQS_SHAPE_LIST_SOURCES, &LSQS_SHAPE_SOURCES, true, lsqs_check_list_sources,
     lsqs_run_list_sources},
    {"StartMessageMoveTask", &LSQS_SHAPE_START_MOVE, &LSQS_SHAPE_MOVE_STARTED, false, lsqs_check_start_move,
     lsqs_run_start_move},
    {"CancelMessageMoveTask", &LSQS_SHAPE_CANCEL_MOVE, &LSQS_SHAPE_MOVE_CANCELLED, false, lsqs_check_cancel_move,
     lsqs_run_cancel_move},
    {"ListMessageMoveTasks", &LSQS_SHAPE_LIST_MOVES, &LSQS_SHAPE_MOVES, false, lsqs_check_list_moves,
     lsqs_run_list_moves},
    {"PurgeQueue", &LSQS_SHAPE_QUEUE, NULL, true, NULL, lsqs_run_purge_queue},
    {"TagQueue", &LSQS_SHAPE_TAG, NULL, true, lsqs_check_tag, lsqs_run_tag},
    {"UntagQueue", &LSQS_SHAPE_UNTAG, NULL, true, lsqs_check_untag, lsqs_run_untag},
    {"ListQueueTags", &LSQS_SHAPE_QUEUE, &LSQS_SHAPE_TAGS, true, NULL, lsqs_run_list_tags},
    {"AddPermission", &LSQS_SHAPE_PERMISSION, NULL, true, lsqs_check_add_permission, lsqs_run_add_permission},
    {"RemovePermission", &LSQS_SHAPE_PERMISSION, NULL, true, lsqs_check_remove_permission, lsqs_run_remove_permission},
};

const struct lsqs_operation *
lsqs_operation_at(size_t i)
{
    return i < sizeof OPERATIONS / sizeof *OPERATIONS ? &OPERATIONS[i] : NULL;
}

static const struct lsqs_operation *
find_operation(struct slice name)
{
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++)
        if (slice_equals_string(name, OPERATIONS[i].name))
            return &OPERATIONS[i];
    return NULL;
}

bool
lsqs_is_operation(struct slice name)
{
    return find_operation(name) != NULL;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

#define ANSWER_BYTES ((size_t)16 << 10) /* most are shorter: it need not grow */

static void
answer_error(struct local_call *call, const struct lsqs_error *e)
{
    const struct lsqs_codec *codec = lsqs_codec_of(call->http);
    bool reworded = e->kind == LSQS_NO_SUCH_QUEUE && codec->no_such_queue;
    local_note_error(call, lsqs_error_code(e->kind));
    codec->answer_refusal(call, &(struct lsqs_refusal){.status = lsqs_error_status(e->kind),
                                                       .shape = lsqs_error_shape(e->kind),
                                                       .code = lsqs_error_code(e->kind),
                                                       .message = reworded ? codec->no_such_queue : e->message});
}

static void
answer(void *call)
{
    struct lsqs_call *c = call;
    struct buf body = BUF_INIT;
    if (buf_reserve(&body, ANSWER_BYTES))
        c->codec->encode(c, &body);
    if (buf_failed(&body)) {
        struct lsqs_error e;
        lsqs_fail(&e, LSQS_INTERNAL, "out of memory");
        answer_error(c->call, &e);
    } else {
        local_answer(c->call, &(struct httpd_answer){.status = 200,
                                                     .content_type = body.len > 0 ? c->codec->content_type : NULL,
                                                     .body = buf_slice(&body)});
    }
    buf_clean_up(&body);
}

static void
refuse(struct local_call *call, int status, const char *code, const char *message)
{
    enum lsqs_error_kind kind = lsqs_error_named(code);
    const char *shape = kind == LSQS_OK ? local_auth_shape(code) : lsqs_error_shape(kind);
    const struct lsqs_refusal refusal = {.status = status,
                                         .shape = shape ? shape : code,
                                         .code = kind == LSQS_OK ? code : lsqs_error_code(kind),
                                         .message = message};
    local_note_error(call, refusal.code);
    lsqs_codec_of(call->http)->answer_refusal(call, &refusal);
}

/* ---- the job ----------------------------------------------------------------------------------------------------- */

static int
run(struct store_tx *tx, struct store_job *job)
{
    struct lsqs_call *c = (struct lsqs_call *)job;
    lsqs_stop_waiting(c->sqs, c);
    c->error.kind = LSQS_OK;
    if (c->op->result)
        memset(c->result, 0, c->op->result->size);
    if (c->op->about_queue) {
        c->queue = lsqs_find_queue(c->sqs, c->queue_name);
        if (!c->queue) {
            lsqs_fail(&c->error, LSQS_NO_SUCH_QUEUE, "The specified queue does not exist.");
            return 0;
        }
    }
    return c->op->run(tx, c);
}

static void
finish(struct store_job *job, const struct err *error)
{
    struct lsqs_call *c = (struct lsqs_call *)job;
    if (error)
        local_answer_failure(c->call, error);
    else if (c->error.kind != LSQS_OK)
        answer_error(c->call, &c->error);
    else
        httpd_answer_later(c->call->http, answer, c);
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

static bool
claims(void *sqs, const struct httpd_request *r)
{
    (void)sqs;
    return lsqs_is_call(r);
}

static struct slice
operation(void *sqs, const struct httpd_request *r)
{
    (void)sqs;
    char name[LSQS_OPERATION_TEXT];
    const struct lsqs_operation *op =
        lsqs_codec_of(r)->name_operation(r, name) ? find_operation(slice_of_string(name)) : NULL;
    return slice_of_string(op ? op->name : "");
}

/* What comes behind the last '/' of *path, which is shortened; false: there is none, or nothing comes. */
static bool
cut_segment(struct slice *path, struct slice *ret)
{
    const char *slash = path->n > 0 ? memrchr(path->p, '/', path->n) : NULL;
    if (!slash)
        return false;
    *ret = slice_of(slash + 1, (size_t)(path->p + path->n - slash - 1));
    path->n = (size_t)(slash - path->p);
    return ret->n > 0;
}

/* "http://any.host/ACCOUNT/NAME", its path alone, or the queue's name, which AWS takes for its URL as well. */
static bool
read_queue_url(struct lsqs_call *c, struct slice url)
{
    struct slice account = SLICE(""), rest = url;
    if (!url.p)
        return lsqs_fail_missing(&c->error, "QueueUrl");
    while (rest.n > 0 && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (rest.n == 0)
        return lsqs_fail(&c->error, LSQS_INVALID_ADDRESS, "The address %.*s is not valid for this endpoint.",
                         (int)(url.n < 300 ? url.n : 300), url.p);
    if (cut_segment(&rest, &c->queue_name)) {
        cut_segment(&rest, &account);
    } else {
        c->queue_name = rest;
        account = slice_of_string(local_account(c->sqs->local));
    }
    c->call->resource = c->queue_name;
    return slice_equals_string(account, local_account(c->sqs->local)) ||
           lsqs_fail(&c->error, LSQS_NO_SUCH_QUEUE, "The specified queue does not exist.");
}

bool
lsqs_make_url_base(struct lsqs_call *c)
{
    struct slice host = httpd_header(c->call->http, "host");
    const char *account = local_account(c->sqs->local);
    char *base = host.n > 0 ? arena_format(&c->call->arena, "http://%.*s/%s/", SLICE_ARG(host), account)
                            : arena_format(&c->call->arena, "%s/%s/", local_url(c->sqs->local), account);
    c->url_base = slice_of_string(base);
    return base ? true : lsqs_fail(&c->error, LSQS_INTERNAL, "out of memory");
}

static bool
prepare(struct lsqs_call *c)
{
    struct local_call *call = c->call;
    c->op = find_operation(call->operation);
    if (!c->op)
        return c->codec->refuse_operation(c);
    c->request = arena_zalloc(&call->arena, c->op->request->size);
    c->result = c->op->result ? arena_zalloc(&call->arena, c->op->result->size) : NULL;
    if (!c->request || (c->op->result && !c->result))
        return lsqs_fail(&c->error, LSQS_INTERNAL, "out of memory");
    if ((!c->op->about_queue && !lsqs_make_url_base(c)) || !c->codec->decode(c))
        return false;
    if (c->op->request == &LSQS_SHAPE_CREATE_QUEUE)
        call->resource = ((const struct lsqs_create_queue *)c->request)->name;
    else if (c->op->request == &LSQS_SHAPE_GET_URL)
        call->resource = ((const struct lsqs_get_url *)c->request)->name;
    return (!c->op->about_queue || read_queue_url(c, ((struct lsqs_queue_request *)c->request)->queue_url)) &&
           (!c->op->check || c->op->check(c));
}

static void
serve(void *sqs, struct local_call *call)
{
    struct local_sqs *s = sqs;
    struct lsqs_call *c = arena_zalloc(&call->arena, sizeof *c);
    if (!c) {
        struct err e;
        err_no_memory(&e);
        local_answer_failure(call, &e);
        return;
    }
    *c = (struct lsqs_call){
        .job = {.run = run, .finish = finish}, .sqs = s, .call = call, .codec = lsqs_codec_of(call->http)};
    if (prepare(c))
        store_submit(s->store, &c->job);
    else
        answer_error(call, &c->error);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void
describe(void *sqs, struct store_tx *tx, struct buf *out)
{
    struct local_sqs *s = sqs;
    bool first = true;
    buf_add_string(out, "{\"queues\":[");
    for (size_t i = 0; i < s->n_places; i++)
        for (struct lsqs_queue *q = s->table[i]; q; q = q->next) {
            const struct lsqs_counts *counts = &q->counts;
            size_t waiting = 0;
            for (struct store_job *job = q->waiting; job; job = job->next)
                waiting++;
            if (lsqs_touch(s, tx, q) < 0)
                return;
            buf_add_format(out,
                           "%s{\"name\":\"%s\",\"visible\":%lld,\"in_flight\":%lld,\"delayed\":%lld,\"waiting\":%zu}",
                           first ? "" : ",", q->name, (long long)(counts->total - counts->in_flight - counts->delayed),
                           (long long)counts->in_flight, (long long)counts->delayed, waiting);
            first = false;
        }
    buf_add_string(out, "]}");
}

int
local_sqs_new(struct local *l, struct local_sqs **ret_sqs, struct err *e)
{
    struct local_sqs *s = calloc(1, sizeof *s);
    if (!s)
        return err_no_memory(e);
    s->local = l;
    s->store = local_store(l);
    timers_init(&s->timers);
    if (lsqs_dedup_new(s) != 0) {
        local_sqs_destroy(s);
        return err_no_memory(e);
    }
    struct store_service stored = {.name = "sqs",
                                   .context = s,
                                   .migrations = MIGRATIONS,
                                   .n_migrations = sizeof MIGRATIONS / sizeof *MIGRATIONS,
                                   .load = lsqs_state_load,
                                   .rollback = lsqs_state_rollback,
                                   .turn = lsqs_turn,
                                   .due_ms = lsqs_due_ms,
                                   .stop = lsqs_stop};
    struct local_service served = {.name = "sqs",
                                   .request_id_header = "x-amzn-RequestId",
                                   .context = s,
                                   .claims = claims,
                                   .operation = operation,
                                   .has_operation = lsqs_is_operation,
                                   .serve = serve,
                                   .refuse = refuse,
                                   .empty = lsqs_empty,
                                   .reset = lsqs_reset,
                                   .describe = describe};
    int code = store_add_service(s->store, &stored, e);
    if (!code)
        code = local_add_service(l, &served, e);
    if (code)
        local_sqs_destroy(s);
    else
        *ret_sqs = s;
    return code;
}

void
local_sqs_destroy(struct local_sqs *s)
{
    if (!s)
        return;
    lsqs_state_clear(s);
    lsqs_dedup_free(s);
    timers_clean_up(&s->timers);
    free(s);
}
