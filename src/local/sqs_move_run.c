#include "local/sqs_move.h"

#include "local/sqs_fair.h"
#include "local/sqs_fifo.h"

#define MESSAGES_PER_TURN 200 /* of all tasks: some 3 ms for which calls wait */
#define MESSAGES_PER_STEP 100 /* of one */

/* ---- a task ------------------------------------------------------------------------------------------------------ */

struct task {
    int64_t id, rate, started_at_ms, to_move, moved;
    int64_t paced_from_ms, paced; /* so many messages were moved at the rate since then */
    bool cancelling, has_destination;
    struct lsqs_queue *source, *destination; /* NULL: gone */
};

/* The next in turn of those that are due, behind the one with the id `after`. 1: there is one. */
static int
read_due(struct local_sqs *s, struct store_tx *tx, int64_t after, struct task *ret)
{
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT id, rate, started_at, moved, paced_from, paced, status = 'CANCELLING', source,"
                          " destination, to_move FROM sqs_move WHERE next_at <= ? ORDER BY id <= ?, id LIMIT 1");
    if (r) {
        store_bind_int(r, 1, store_now_ms(tx));
        store_bind_int(r, 2, after);
    }
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    *ret = (struct task){.id = sqlite3_column_int64(r, 0),
                         .rate = sqlite3_column_int64(r, 1),
                         .started_at_ms = sqlite3_column_int64(r, 2),
                         .moved = sqlite3_column_int64(r, 3),
                         .paced_from_ms = sqlite3_column_int64(r, 4),
                         .paced = sqlite3_column_int64(r, 5),
                         .cancelling = sqlite3_column_int64(r, 6) != 0,
                         .to_move = sqlite3_column_int64(r, 9),
                         .has_destination = store_column(r, 8).p != NULL,
                         .source = lsqs_find_queue_by_arn(s, store_column(r, 7)),
                         .destination = lsqs_find_queue_by_arn(s, store_column(r, 8))};
    store_reset(r);
    return 1;
}

/* The n-th message may be moved n / rate seconds after the pace began, the first one at once. */
static size_t
allowed(const struct task *t, int64_t now_ms)
{
    if (t->rate == 0)
        return MESSAGES_PER_STEP;
    int64_t n = (now_ms - t->paced_from_ms) * t->rate / 1000 + 1 - t->paced;
    return n < 0 ? 0 : n < MESSAGES_PER_STEP ? (size_t)n : MESSAGES_PER_STEP;
}

static int64_t
next_ms(const struct task *t, int64_t now_ms)
{
    return t->rate == 0 ? now_ms : t->paced_from_ms + (t->paced * 1000 + t->rate - 1) / t->rate;
}

/* status NULL: it goes on. */
static int
save(struct store_tx *tx, const struct task *t, const char *status, const char *failure)
{
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_move SET moved = ?1, paced = ?2, next_at = ?3,"
                                        " status = coalesce(?4, status), failure = ?5 WHERE id = ?6");
    if (w) {
        store_bind_int(w, 1, t->moved);
        store_bind_int(w, 2, t->paced);
        if (status)
            store_bind_text(w, 4, slice_of_string(status));
        else
            store_bind_int(w, 3, next_ms(t, store_now_ms(tx)));
        if (failure)
            store_bind_text(w, 5, slice_of_string(failure));
        store_bind_int(w, 6, t->id);
    }
    return store_run(tx, w);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

struct letter {
    int64_t id, sent_at_ms;
    struct lsqs_queue *to;
    const char *failure; /* why to is NULL */
};

/* From a row with its id, sent_at, source and group_id. */
static void
read_letter(struct local_sqs *s, struct store_tx *tx, const struct task *t, sqlite3_stmt *r, struct letter *ret)
{
    struct slice origin = store_column(r, 2), group = store_column(r, 3);
    *ret = (struct letter){
        .id = sqlite3_column_int64(r, 0),
        .sent_at_ms = sqlite3_column_int64(r, 1),
        .to = t->has_destination ? t->destination : lsqs_find_queue_by_arn(s, origin),
        .failure = t->has_destination || origin.p ? LSQS_MOVE_NO_QUEUE : LSQS_MOVE_NO_SOURCE,
    };
    if (group.p && ret->to && !ret->to->settings.fifo)
        lsqs_fair_note_sent(ret->to, tx, group);
}

static int
read_in_order(struct local_sqs *s, struct store_tx *tx, const struct task *t, struct letter *letters, size_t most,
              size_t *ret_n)
{
    size_t n = 0;
    int code = 0;
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT id, sent_at, source, group_id FROM sqs_message WHERE box = ? AND visible_at <= ?"
                          " ORDER BY visible_at, sent_at LIMIT ?");
    if (r) {
        store_bind_int(r, 1, t->source->box);
        store_bind_int(r, 2, store_now_ms(tx));
        store_bind_int(r, 3, (int64_t)most);
    }
    while (n < most && (code = store_step(tx, r)) > 0)
        read_letter(s, tx, t, r, &letters[n++]);
    store_reset(r);
    *ret_n = n;
    return code < 0 ? code : 0;
}

/* What a receive could have now: a group waits for those of its messages that are in flight. */
static int
read_from_groups(struct local_sqs *s, struct store_tx *tx, const struct task *t, struct letter *letters, size_t most,
                 size_t *ret_n)
{
    int64_t ids[MESSAGES_PER_STEP];
    size_t n = 0;
    int code = lsqs_fifo_look(tx, t->source);
    *ret_n = 0;
    if (code < 0)
        return code;
    lsqs_fifo_begin(t->source);
    while (n < most && lsqs_fifo_next(t->source, store_now_ms(tx), &ids[n]))
        n++;
    lsqs_fifo_end(t->source);
    for (; *ret_n < n; ++*ret_n) {
        sqlite3_stmt *r = store_prepare(tx, "SELECT id, sent_at, source, group_id FROM sqs_message WHERE id = ?");
        if (r)
            store_bind_int(r, 1, ids[*ret_n]);
        code = store_step(tx, r);
        if (code <= 0)
            return code ? code : store_fail(tx, ERR_CORRUPT, "message %lld is not there", (long long)ids[*ret_n]);
        read_letter(s, tx, t, r, &letters[*ret_n]);
        store_reset(r);
    }
    return 0;
}

static int
move(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *from, const struct letter *m)
{
    uint8_t uuid[16];
    struct lsqs_queue *to = m->to;
    int64_t now_ms = store_now_ms(tx), visible_at_ms = now_ms + to->settings.delay_s * 1000;
    int64_t id = s->next_message_id++;
    int code = lsqs_touch(s, tx, to);
    if (code < 0)
        return code;
    lsqs_take_uuid(s, uuid);
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET id = ?1, box = ?2, visible_at = ?3, sent_at = ?4,"
                                        " receives = 0, received_at = ?4, first_received_at = ?4, uuid = ?5,"
                                        " source = NULL WHERE id = ?6");
    if (w) {
        store_bind_int(w, 1, id);
        store_bind_int(w, 2, to->box);
        store_bind_int(w, 3, visible_at_ms);
        store_bind_int(w, 4, now_ms);
        store_bind_blob(w, 5, slice_of((const char *)uuid, sizeof uuid));
        store_bind_int(w, 6, m->id);
    }
    code = store_run(tx, w);
    if (code == 0 && to->settings.fifo)
        code = lsqs_fifo_arrived(tx, to, id, visible_at_ms);
    if (code < 0)
        return code;
    lsqs_fifo_removed(from, m->id);
    from->counts.total--;
    to->counts.total++;
    to->counts.delayed += visible_at_ms > now_ms;
    if (to->counts.oldest_at_ms > now_ms)
        to->counts.oldest_at_ms = now_ms;
    lsqs_set_expiry(to);
    lsqs_expect(to, visible_at_ms);
    return 0;
}

/* Moves up to n messages, or drops those that are too old. ret_failure: why one of them cannot go. */
static int
move_some(struct local_sqs *s, struct store_tx *tx, struct task *t, size_t n, size_t *ret_n, const char **ret_failure)
{
    struct letter letters[MESSAGES_PER_STEP];
    int64_t too_old_ms = store_now_ms(tx) - t->source->settings.retention_s * 1000;
    int code = (t->source->settings.fifo ? read_from_groups : read_in_order)(s, tx, t, letters, n, ret_n);
    for (size_t i = 0; i < *ret_n && code == 0; i++) {
        if (letters[i].sent_at_ms <= too_old_ms) {
            t->source->counts.total--;
            code = lsqs_remove_message(tx, letters[i].id);
            lsqs_fifo_removed(t->source, letters[i].id);
            continue;
        }
        if (!letters[i].to) {
            *ret_failure = letters[i].failure;
            break;
        }
        code = move(s, tx, t->source, &letters[i]);
        t->moved++;
        t->paced++;
    }
    return code;
}

static bool
is_over(const struct task *t)
{
    const struct lsqs_counts *c = &t->source->counts;
    return t->moved >= t->to_move || c->total - c->in_flight - c->delayed <= 0;
}

static int
step(struct local_sqs *s, struct store_tx *tx, struct task *t, size_t most, size_t *ret_n)
{
    int64_t now_ms = store_now_ms(tx);
    const char *failure = NULL;
    size_t n = allowed(t, now_ms);
    *ret_n = 0;
    if (t->cancelling)
        return save(tx, t, "CANCELLED", NULL);
    if (!t->source || (t->has_destination && !t->destination))
        return save(tx, t, "FAILED", LSQS_MOVE_NO_QUEUE);
    if (now_ms - t->started_at_ms >= LSQS_MOVE_MAX_MS)
        return save(tx, t, "FAILED", LSQS_MOVE_TOO_LONG);
    n = n < most ? n : most;
    n = (int64_t)n < t->to_move - t->moved ? n : (size_t)(t->to_move - t->moved);
    int code = lsqs_touch(s, tx, t->source);
    if (code == 0 && n > 0)
        code = move_some(s, tx, t, n, ret_n, &failure);
    if (code < 0)
        return code;
    if (failure)
        return save(tx, t, "FAILED", failure);
    return save(tx, t, *ret_n < n || is_over(t) ? "COMPLETED" : NULL, NULL);
}

/* ---- the store's turns ------------------------------------------------------------------------------------------- */

int
lsqs_resume_moves(struct local_sqs *s, struct store_tx *tx)
{
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_move SET paced_from = ?1, paced = 0, next_at = ?1"
                                        " WHERE next_at < ?1");
    if (w)
        store_bind_int(w, 1, store_now_ms(tx));
    s->moves_due_ms = INT64_MIN;
    return store_run(tx, w);
}

static int
find_due(struct local_sqs *s, struct store_tx *tx)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT min(next_at) FROM sqs_move WHERE next_at IS NOT NULL");
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    s->moves_due_ms = sqlite3_column_type(r, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(r, 0);
    store_reset(r);
    return 0;
}

int
lsqs_turn_moves(struct local_sqs *s, struct store_tx *tx)
{
    size_t left = MESSAGES_PER_TURN, n;
    struct task t;
    int code = 0;
    if (s->moves_due_ms > store_now_ms(tx))
        return 0;
    while (left > 0 && (code = read_due(s, tx, s->last_move, &t)) > 0) {
        s->last_move = t.id;
        code = step(s, tx, &t, left, &n);
        if (code < 0)
            return code;
        left -= n > 0 ? n : 1;
    }
    return code < 0 ? code : find_due(s, tx);
}
