#include "local/sqs_fifo.h"

#include <string.h>

int
lsqs_attempt_find(struct lsqs_queue *q, struct store_tx *tx, struct slice attempt_id, struct lsqs_attempt *ret)
{
    *ret = (struct lsqs_attempt){.n = 0};
    sqlite3_stmt *r = store_prepare(
        tx, "SELECT at, visible_at, messages FROM sqs_attempt WHERE box = ? AND attempt_id = ? AND at > ?");
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_text(r, 2, attempt_id);
        store_bind_int(r, 3, store_now_ms(tx) - LSQS_FIFO_DEDUP_MS);
    }
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    struct slice messages = store_column(r, 2);
    ret->at_ms = sqlite3_column_int64(r, 0);
    ret->visible_at_ms = sqlite3_column_int64(r, 1);
    if (messages.p && messages.n <= sizeof ret->messages && messages.n % sizeof *ret->messages == 0) {
        memcpy(ret->messages, messages.p, messages.n);
        ret->n = messages.n / sizeof *ret->messages;
    }
    store_reset(r);
    return 0;
}

int
lsqs_attempt_save(struct lsqs_queue *q, struct store_tx *tx, struct slice attempt_id, const struct lsqs_attempt *a)
{
    sqlite3_stmt *w = store_prepare(
        tx, "REPLACE INTO sqs_attempt (box, attempt_id, at, visible_at, messages) VALUES (?, ?, ?, ?, ?)");
    if (w) {
        store_bind_int(w, 1, q->box);
        store_bind_text(w, 2, attempt_id);
        store_bind_int(w, 3, a->at_ms);
        store_bind_int(w, 4, a->visible_at_ms);
        store_bind_blob(w, 5, slice_of((const char *)a->messages, a->n * sizeof *a->messages));
    }
    lsqs_dedup_expect(q->sqs, store_now_ms(tx));
    return store_run(tx, w);
}

int
lsqs_attempt_expire(struct store_tx *tx, int64_t *ret_oldest_ms)
{
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_attempt WHERE at <= ?");
    if (w)
        store_bind_int(w, 1, store_now_ms(tx) - LSQS_FIFO_DEDUP_MS);
    int code = store_run(tx, w);
    if (code < 0)
        return code;
    sqlite3_stmt *r = store_prepare(tx, "SELECT min(at) FROM sqs_attempt");
    code = store_step(tx, r);
    if (code <= 0)
        return code;
    *ret_oldest_ms = sqlite3_column_type(r, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(r, 0);
    store_reset(r);
    return 0;
}
