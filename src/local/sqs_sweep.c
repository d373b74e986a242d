#include "local/sqs_fifo.h"

#define SWEEP_SMALL     10000 /* messages: a queue up to here is looked through */
#define SWEEP_SMALL_MS  1000  /* so often for what is too old, */
#define SWEEP_LARGE_MS  60000 /* a larger one so often */
#define REMOVE_PER_TURN 1000

/* ---- retention --------------------------------------------------------------------------------------------------- */

void
lsqs_set_expiry(struct lsqs_queue *q)
{
    const struct lsqs_counts *c = &q->counts;
    if (c->total == 0 || c->oldest_at_ms == INT64_MAX) {
        timers_cancel(&q->sqs->timers, &q->expiry);
        return;
    }
    int64_t due_ms = c->oldest_at_ms + q->settings.retention_s * 1000;
    int64_t again_ms = q->swept_at_ms + (c->total <= SWEEP_SMALL ? SWEEP_SMALL_MS : SWEEP_LARGE_MS);
    /* without memory for a first timer, retention is looked at when the queue is used */
    timers_set(&q->sqs->timers, &q->expiry, due_ms > again_ms ? due_ms : again_ms);
}

static int
find_oldest(struct store_tx *tx, struct lsqs_queue *q)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT min(sent_at) FROM sqs_message WHERE box = ?");
    if (r)
        store_bind_int(r, 1, q->box);
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    q->counts.oldest_at_ms = sqlite3_column_type(r, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(r, 0);
    store_reset(r);
    return 0;
}

struct row {
    int64_t id;
    bool invisible, received;
};

static int
select_rows(struct store_tx *tx, sqlite3_stmt *r, struct row *rows, size_t *ret_n)
{
    size_t n = 0;
    int code = 0;
    while (n < REMOVE_PER_TURN && (code = store_step(tx, r)) > 0)
        rows[n++] = (struct row){.id = sqlite3_column_int64(r, 0),
                                 .invisible = sqlite3_column_int64(r, 1) > store_now_ms(tx),
                                 .received = sqlite3_column_int64(r, 2) > 0};
    store_reset(r);
    *ret_n = n;
    return code < 0 ? code : 0;
}

/* Removes up to REMOVE_PER_TURN messages that are too old. */
static int
remove_old(struct store_tx *tx, struct lsqs_queue *q, size_t *ret_n)
{
    struct lsqs_counts *c = &q->counts;
    struct row rows[REMOVE_PER_TURN];
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT id, visible_at, receives FROM sqs_message WHERE box = ? AND sent_at <= ?");
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, store_now_ms(tx) - q->settings.retention_s * 1000);
    }
    int code = select_rows(tx, r, rows, ret_n);
    for (size_t i = 0; i < *ret_n && code == 0; i++) {
        code = lsqs_remove_message(tx, rows[i].id);
        lsqs_fifo_removed(q, rows[i].id);
        c->total--;
        c->in_flight -= rows[i].invisible && rows[i].received;
        c->delayed -= rows[i].invisible && !rows[i].received;
    }
    return code;
}

/* At most `rounds` times, while there is more. */
static int
expire(struct store_tx *tx, struct lsqs_queue *q, int rounds)
{
    size_t n = REMOVE_PER_TURN;
    int code = 0;
    for (int i = 0; i < rounds && n == REMOVE_PER_TURN && code == 0; i++)
        code = remove_old(tx, q, &n);
    if (code == 0 && n < REMOVE_PER_TURN) {
        code = find_oldest(tx, q);
        q->swept_at_ms = store_now_ms(tx);
    }
    lsqs_set_expiry(q);
    return code;
}

static bool
may_have_old(const struct store_tx *tx, const struct lsqs_queue *q)
{
    return q->counts.total > 0 && q->counts.oldest_at_ms <= store_now_ms(tx) - q->settings.retention_s * 1000;
}

int
lsqs_expire(struct store_tx *tx, struct lsqs_queue *q)
{
    if (!may_have_old(tx, q) || (q->counts.total > SWEEP_SMALL && store_now_ms(tx) < q->swept_at_ms + SWEEP_LARGE_MS))
        return 0;
    return expire(tx, q, SWEEP_SMALL / REMOVE_PER_TURN + 1);
}

void
lsqs_fire_expiry(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    struct lsqs_queue *q = (struct lsqs_queue *)(void *)((char *)t - offsetof(struct lsqs_queue, expiry));
    struct local_sqs *s = q->sqs;
    int code = lsqs_touch(s, s->turning, q);
    if (code == 0 && may_have_old(s->turning, q))
        code = expire(s->turning, q, 1);
    else
        lsqs_set_expiry(q);
    if (code < 0)
        s->turn_code = code;
}

int
lsqs_remove_message(struct store_tx *tx, int64_t id)
{
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_message WHERE id = ?");
    if (w)
        store_bind_int(w, 1, id);
    return store_run(tx, w);
}

/* ---- garbage ----------------------------------------------------------------------------------------------------- */

int
lsqs_discard_box(struct local_sqs *s, struct store_tx *tx, int64_t box)
{
    sqlite3_stmt *w = store_prepare(tx, "INSERT INTO sqs_garbage (box) VALUES (?)");
    if (w)
        store_bind_int(w, 1, box);
    s->has_garbage = true;
    return store_run(tx, w);
}

int
lsqs_clear_garbage(struct local_sqs *s, struct store_tx *tx)
{
    struct row rows[REMOVE_PER_TURN];
    size_t n = 0;
    sqlite3_stmt *r = store_prepare(tx, "SELECT box FROM sqs_garbage LIMIT 1");
    int code = store_step(tx, r);
    if (code <= 0) {
        s->has_garbage = false;
        return code;
    }
    int64_t box = sqlite3_column_int64(r, 0);
    store_reset(r);
    r = store_prepare(tx, "SELECT id, visible_at, receives FROM sqs_message WHERE box = ?");
    if (r)
        store_bind_int(r, 1, box);
    code = select_rows(tx, r, rows, &n);
    for (size_t i = 0; i < n && code == 0; i++)
        code = lsqs_remove_message(tx, rows[i].id);
    if (code < 0 || n == REMOVE_PER_TURN)
        return code;
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_garbage WHERE box = ?");
    if (w)
        store_bind_int(w, 1, box);
    return store_run(tx, w);
}
