#include "local/sqs_fifo.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "local/faults.h"

/* ---- handles ----------------------------------------------------------------------------------------------------- */

bool
lsqs_check_settle(struct lsqs_call *c)
{
    const struct lsqs_settle_one *r = c->request;
    return r->entry.handle.n > 0 ? true : lsqs_fail_missing(&c->error, "ReceiptHandle");
}

static bool
check_visibility(const struct lsqs_settle *m, struct lsqs_error *e)
{
    if (!m->visibility_s.given)
        return lsqs_fail_missing(e, "VisibilityTimeout");
    if (m->visibility_s.value < 0 || m->visibility_s.value > LSQS_MAX_VISIBILITY_S)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "Value %lld for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an "
                         "integer between 0 and 43200.",
                         (long long)m->visibility_s.value);
    return true;
}

bool
lsqs_check_visibility(struct lsqs_call *c)
{
    const struct lsqs_settle_one *r = c->request;
    return lsqs_check_settle(c) && check_visibility(&r->entry, &c->error);
}

static bool
read_handle(struct lsqs_call *c, struct slice text, struct lsqs_handle *ret, struct lsqs_error *e)
{
    int shown = (int)(text.n < 300 ? text.n : 300);
    if (!lsqs_read_handle(c->sqs->handle_key, text, ret))
        return lsqs_fail(e, LSQS_INVALID_HANDLE, "The input receipt handle \"%.*s\" is not a valid receipt handle.",
                         shown, text.n ? text.p : "");
    return ret->queue == c->queue->id ||
           lsqs_fail(e, LSQS_INVALID_HANDLE, "The input receipt handle \"%.*s\" is not valid for this queue.", shown,
                     text.p);
}

/* What a handle is of. */
struct message {
    int64_t visible_at_ms, received_at_ms;
    bool here;    /* it is there, in this queue, and not too old */
    bool current; /* and was not received again since */
};

static int
find_message(struct store_tx *tx, const struct lsqs_queue *q, const struct lsqs_handle *h, struct message *ret)
{
    *ret = (struct message){.current = false};
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT box, visible_at, received_at, receives, uuid, sent_at FROM sqs_message WHERE id = ?");
    if (r)
        store_bind_int(r, 1, h->message);
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    struct slice uuid = store_column(r, 4);
    int64_t too_old_ms = store_now_ms(tx) - q->settings.retention_s * 1000;
    *ret = (struct message){.visible_at_ms = sqlite3_column_int64(r, 1),
                            .received_at_ms = sqlite3_column_int64(r, 2),
                            .here = sqlite3_column_int64(r, 0) == q->box && sqlite3_column_int64(r, 5) > too_old_ms &&
                                    uuid.p && uuid.n == 16 && memcmp(uuid.p, h->uuid, sizeof h->uuid) == 0};
    ret->current = ret->here && sqlite3_column_int64(r, 3) == (int64_t)h->receive;
    store_reset(r);
    return 0;
}

/* ---- one --------------------------------------------------------------------------------------------------------- */

/* Deletes what the handle is of, if the handle is its newest and it is, or is not, in flight: one statement instead of
 * one that looks and one that deletes. */
static int
delete_row(struct store_tx *tx, const struct lsqs_queue *q, const struct lsqs_handle *h, bool in_flight,
           bool *ret_removed)
{
    uint8_t last_uuid[16];
    sqlite3_stmt *w = store_prepare(
        tx, in_flight ? "DELETE FROM sqs_message WHERE id = ? AND box = ? AND receives = ? AND uuid BETWEEN ? AND ?"
                        " AND visible_at > ?"
                      : "DELETE FROM sqs_message WHERE id = ? AND box = ? AND receives = ? AND uuid BETWEEN ? AND ?"
                        " AND visible_at <= ?");
    memset(last_uuid, 0xff, sizeof last_uuid);
    memcpy(last_uuid, h->uuid, sizeof h->uuid);
    if (w) {
        store_bind_int(w, 1, h->message);
        store_bind_int(w, 2, q->box);
        store_bind_int(w, 3, h->receive);
        store_bind_blob(w, 4, slice_of((const char *)h->uuid, sizeof h->uuid));
        store_bind_blob(w, 5, slice_of((const char *)last_uuid, sizeof last_uuid));
        store_bind_int(w, 6, store_now_ms(tx));
    }
    int code = store_run(tx, w);
    *ret_removed = code == 0 && store_changes(tx) > 0;
    return code;
}

/* A FIFO queue knows a message's last handle alone, and that only while the message is in flight (FACTS.md, section 1:
 * what AWS says of others, for one and in a batch). Returns false with e set when it is another. */
static bool
check_not_expired(const struct store_tx *tx, const struct lsqs_call *c, const struct lsqs_settle *entry,
                  const struct message *m, struct lsqs_error *e)
{
    if (!c->queue->settings.fifo || !m->here || (m->current && m->visible_at_ms > store_now_ms(tx)))
        return true;
    if (c->op->result)
        return lsqs_fail(e, LSQS_INVALID_HANDLE, "The receipt handle has expired");
    return lsqs_fail(e, LSQS_INVALID_VALUE,
                     "Value %.*s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
                     SLICE_ARG(entry->handle));
}

static int
delete_one(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_settle *entry, struct lsqs_error *e)
{
    struct lsqs_handle h;
    struct message m;
    bool removed;
    if (!read_handle(c, entry->handle, &h, e))
        return 0;
    int code = delete_row(tx, c->queue, &h, true, &removed);
    if (code == 0 && removed) {
        c->queue->counts.in_flight--;
        lsqs_fifo_removed(c->queue, h.message);
    } else if (code == 0 && c->queue->settings.fifo) {
        if ((code = find_message(tx, c->queue, &h, &m)) == 0)
            check_not_expired(tx, c, entry, &m, e);
    } else if (code == 0) {
        code = delete_row(tx, c->queue, &h, false, &removed);
    }
    c->queue->counts.total -= code == 0 && removed;
    return code;
}

static int
change_one(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_settle *entry, struct lsqs_error *e)
{
    struct lsqs_handle h;
    struct message m;
    int64_t now_ms = store_now_ms(tx), visible_at_ms = now_ms + entry->visibility_s.value * 1000;
    if (!read_handle(c, entry->handle, &h, e))
        return 0;
    int code = find_message(tx, c->queue, &h, &m);
    if (code < 0 || !check_not_expired(tx, c, entry, &m, e))
        return code;
    if (!m.current) {
        lsqs_fail(
            e, LSQS_INVALID_VALUE,
            "Value %.*s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for "
            "visibility timeout change.",
            SLICE_ARG(entry->handle));
        return 0;
    }
    if (visible_at_ms > now_ms && visible_at_ms > m.received_at_ms + LSQS_MAX_VISIBILITY_S * INT64_C(1000)) {
        lsqs_fail(
            e, LSQS_INVALID_VALUE,
            "Value %lld for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is "
            "beyond the limit [43200 seconds]",
            (long long)entry->visibility_s.value);
        return 0;
    }
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET visible_at = ? WHERE id = ?");
    if (w) {
        store_bind_int(w, 1, visible_at_ms);
        store_bind_int(w, 2, h.message);
    }
    c->queue->counts.in_flight += (visible_at_ms > now_ms) - (m.visible_at_ms > now_ms);
    code = store_run(tx, w);
    if (c->queue->settings.fifo)
        lsqs_fifo_changed(c->queue, h.message, visible_at_ms);
    else
        lsqs_expect(c->queue, visible_at_ms);
    return code;
}

typedef int settle_fn(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_settle *entry, struct lsqs_error *e);

static int
run_one(struct store_tx *tx, struct lsqs_call *c, settle_fn *settle)
{
    const struct lsqs_settle_one *r = c->request;
    int code = lsqs_touch(c->sqs, tx, c->queue);
    return code ? code : settle(tx, c, &r->entry, &c->error);
}

int
lsqs_run_delete(struct store_tx *tx, struct lsqs_call *c)
{
    return run_one(tx, c, delete_one);
}

int
lsqs_run_visibility(struct store_tx *tx, struct lsqs_call *c)
{
    return run_one(tx, c, change_one);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static bool
is_id(struct slice id)
{
    bool ok = id.n >= 1 && id.n <= 80;
    for (size_t i = 0; ok && i < id.n; i++)
        ok = isalnum((unsigned char)id.p[i]) || id.p[i] == '-' || id.p[i] == '_';
    return ok;
}

static struct slice
id_at(const struct lsqs_list *entries, size_t size, size_t i)
{
    return *(const struct slice *)(const void *)((const char *)entries->items + i * size);
}

bool
lsqs_check_entries(const struct lsqs_list *entries, size_t size, const char *parameter, struct lsqs_error *e)
{
    char name[80];
    if (entries->n == 0)
        return lsqs_fail(e, LSQS_EMPTY_BATCH, "There should be at least one %s in the request.", parameter);
    if (entries->n > LSQS_MAX_ENTRIES)
        return lsqs_fail(e, LSQS_TOO_MANY_ENTRIES, "Maximum number of entries per request are %d. You have sent %zu.",
                         LSQS_MAX_ENTRIES, entries->n);
    for (size_t i = 0; i < entries->n; i++) {
        struct slice id = id_at(entries, size, i);
        if (!id.p) {
            snprintf(name, sizeof name, "%s.%zu.Id", parameter, i + 1);
            return lsqs_fail_missing(e, name);
        }
        if (!is_id(id))
            return lsqs_fail(
                e, LSQS_INVALID_BATCH_ID,
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can "
                "be at most 80 letters long.");
        for (size_t j = 0; j < i; j++)
            if (slice_equals(id, id_at(entries, size, j)))
                return lsqs_fail(e, LSQS_BATCH_IDS_NOT_DISTINCT, "Id %.*s repeated.", SLICE_ARG(id));
    }
    return true;
}

/* code and message live as long as the call. */
static int
add_failure(struct lsqs_call *c, struct slice id, const char *code, const char *message, int status)
{
    struct lsqs_list *failed = &((struct lsqs_batch_result *)c->result)->failed;
    struct lsqs_failed *items = failed->items;
    if (!items)
        failed->items = items = arena_alloc(&c->call->arena, LSQS_MAX_ENTRIES * sizeof *items);
    if (!items || !message)
        return ERR_NO_MEMORY;
    items[failed->n++] = (struct lsqs_failed){.id = id,
                                              .code = slice_of_string(code),
                                              .message = slice_of_string(message),
                                              .sender = {.given = true, .value = status < 500}};
    return 0;
}

int
lsqs_add_failure(struct lsqs_call *c, struct slice id, const struct lsqs_error *e)
{
    return add_failure(c, id, lsqs_error_code(e->kind), arena_strdup(&c->call->arena, e->message),
                       lsqs_error_status(e->kind));
}

int
lsqs_add_injected_failure(struct lsqs_call *c, struct slice id)
{
    const struct local_fault *fault = c->call->partial;
    enum lsqs_error_kind kind = lsqs_error_named(fault->code);
    return add_failure(c, id, kind != LSQS_OK ? lsqs_error_code(kind) : fault->code, fault->message, fault->status);
}

static bool
check_batch(struct lsqs_call *c, const char *parameter)
{
    const struct lsqs_batch *r = c->request;
    return lsqs_check_entries(&r->entries, sizeof(struct lsqs_settle), parameter, &c->error);
}

bool
lsqs_check_delete_batch(struct lsqs_call *c)
{
    return check_batch(c, "DeleteMessageBatchRequestEntry");
}

bool
lsqs_check_visibility_batch(struct lsqs_call *c)
{
    return check_batch(c, "ChangeMessageVisibilityBatchRequestEntry");
}

static bool
check_entry(const struct lsqs_settle *m, size_t i, bool needs_visibility, struct lsqs_error *e)
{
    char name[80];
    if (m->handle.n == 0)
        return lsqs_fail_missing(e, "ReceiptHandle");
    if (!needs_visibility || m->visibility_s.given)
        return !needs_visibility || check_visibility(m, e);
    snprintf(name, sizeof name, "ChangeMessageVisibilityBatchRequestEntry.%zu.VisibilityTimeout", i + 1);
    return lsqs_fail_missing(e, name);
}

static int
run_batch(struct store_tx *tx, struct lsqs_call *c, settle_fn *settle, bool needs_visibility)
{
    const struct lsqs_batch *r = c->request;
    const struct lsqs_settle *m = r->entries.items;
    struct lsqs_batch_result *result = c->result;
    struct lsqs_settled *settled = arena_alloc(&c->call->arena, r->entries.n * sizeof *settled);
    if (!settled)
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    result->successful.items = settled;
    int code = lsqs_touch(c->sqs, tx, c->queue);
    for (size_t i = 0; i < r->entries.n && code == 0; i++) {
        struct lsqs_error e = {.kind = LSQS_OK};
        if (local_fails_entry(c->call, i)) {
            code = lsqs_add_injected_failure(c, m[i].id);
            continue;
        }
        if (check_entry(&m[i], i, needs_visibility, &e))
            code = settle(tx, c, &m[i], &e);
        if (code == 0 && e.kind != LSQS_OK)
            code = lsqs_add_failure(c, m[i].id, &e);
        else
            settled[result->successful.n++].id = m[i].id;
    }
    return code;
}

int
lsqs_run_delete_batch(struct store_tx *tx, struct lsqs_call *c)
{
    return run_batch(tx, c, delete_one, false);
}

int
lsqs_run_visibility_batch(struct store_tx *tx, struct lsqs_call *c)
{
    return run_batch(tx, c, change_one, true);
}
