#include "local/sqs_fifo.h"
#include "local/sqs_receive.h"

#define MAX_LOOKED_AT 1000 /* messages in one turn, most of which are too old or become dead letters */

/* ---- a receive that is asked for again --------------------------------------------------------------------------- */

/* Reads a message as the attempt left it; *ret_there false: it was deleted or changed since, or has come back. */
static int
read_unchanged(struct store_tx *tx, struct lsqs_call *c, const struct lsqs_attempt *a, size_t i,
               struct lsqs_candidate *m, bool *ret_there)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT " LSQS_CANDIDATE_COLUMNS " FROM sqs_message WHERE id = ? AND box = ?"
                                        " AND receives = ? AND visible_at = ?");
    if (r) {
        store_bind_int(r, 1, a->messages[i].id);
        store_bind_int(r, 2, c->queue->box);
        store_bind_int(r, 3, a->messages[i].receives);
        store_bind_int(r, 4, a->visible_at_ms);
    }
    int code = store_step(tx, r);
    *ret_there = code > 0;
    if (code > 0)
        code = lsqs_read_candidate(tx, r, &c->call->arena, m);
    store_reset(r);
    return code;
}

static int
hide_again(struct store_tx *tx, struct lsqs_call *c, int64_t id, int64_t visible_at_ms)
{
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET visible_at = ? WHERE id = ?");
    if (w) {
        store_bind_int(w, 1, visible_at_ms);
        store_bind_int(w, 2, id);
    }
    c->queue->counts.in_flight -= visible_at_ms <= store_now_ms(tx);
    lsqs_fifo_changed(c->queue, id, visible_at_ms);
    return store_run(tx, w);
}

/* The same messages with the same handles, while each of them is in flight as that receive left it; their visibility
 * timeout begins anew. Otherwise the result stays empty. */
static int
receive_again(struct store_tx *tx, struct lsqs_call *c, struct lsqs_attempt *a, struct lsqs_list *messages)
{
    const struct lsqs_receive *r = c->request;
    struct lsqs_candidate m[LSQS_MAX_ENTRIES];
    bool there = a->visible_at_ms > store_now_ms(tx);
    int code = 0;
    for (size_t i = 0; i < a->n && there && code == 0; i++)
        code = read_unchanged(tx, c, a, i, &m[i], &there);
    if (code < 0 || !there)
        return code;
    a->visible_at_ms = lsqs_receive_until_ms(tx, c);
    for (size_t i = 0; i < a->n && code == 0; i++) {
        code = hide_again(tx, c, m[i].id, a->visible_at_ms);
        if (code == 0)
            code = lsqs_tell(tx, c, &m[i], &((struct lsqs_message *)messages->items)[messages->n++]);
    }
    return code ? code : lsqs_attempt_save(c->queue, tx, r->attempt_id, a);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static int
read_message(struct store_tx *tx, struct lsqs_call *c, int64_t id, struct lsqs_candidate *m)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT " LSQS_CANDIDATE_COLUMNS " FROM sqs_message WHERE id = ?");
    if (r)
        store_bind_int(r, 1, id);
    int code = store_step(tx, r);
    if (code > 0)
        code = lsqs_read_candidate(tx, r, &c->call->arena, m);
    else if (code == 0)
        code = store_fail(tx, ERR_CORRUPT, "message %lld is not there", (long long)id);
    store_reset(r);
    return code;
}

/* From the groups that are free: as much of one as there is, then the next. */
static int
receive_from_groups(struct store_tx *tx, struct lsqs_call *c, size_t most, struct lsqs_attempt *a,
                    struct lsqs_list *messages)
{
    struct lsqs_candidate m;
    int64_t id;
    int code = 0;
    lsqs_fifo_begin(c->queue);
    for (size_t i = 0; i < MAX_LOOKED_AT && code == 0 && messages->n < most; i++) {
        if (!lsqs_fifo_next(c->queue, store_now_ms(tx), &id))
            break;
        size_t before = messages->n;
        code = read_message(tx, c, id, &m);
        if (code == 0)
            code = lsqs_take(tx, c, &m, messages);
        if (messages->n > before)
            a->messages[a->n++] = (struct lsqs_attempt_message){.id = id, .receives = m.receives};
    }
    lsqs_fifo_end(c->queue);
    return code;
}

int
lsqs_fifo_receive(struct store_tx *tx, struct lsqs_call *c, size_t most)
{
    const struct lsqs_receive *r = c->request;
    struct lsqs_list *messages = &((struct lsqs_messages_result *)c->result)->messages;
    struct lsqs_queue *q = c->queue;
    struct lsqs_attempt attempt = {.n = 0};
    int code = lsqs_expire(tx, q); /* one that is too old must not block its group */
    if (code == 0)
        code = lsqs_fifo_look(tx, q);
    if (code == 0 && r->attempt_id.p)
        code = lsqs_attempt_find(q, tx, r->attempt_id, &attempt);
    if (code < 0)
        return code;
    if (!messages->items &&
        !(messages->items = arena_alloc(&c->call->arena, LSQS_MAX_ENTRIES * sizeof(struct lsqs_message))))
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    if (attempt.n > 0)
        code = receive_again(tx, c, &attempt, messages);
    if (code < 0 || messages->n > 0)
        return code;
    int64_t room = LSQS_MAX_IN_FLIGHT - q->counts.in_flight;
    if (room <= 0)
        return 0;
    attempt = (struct lsqs_attempt){.at_ms = store_now_ms(tx), .visible_at_ms = lsqs_receive_until_ms(tx, c)};
    code = receive_from_groups(tx, c, (int64_t)most < room ? most : (size_t)room, &attempt, messages);
    if (code == 0 && messages->n > 0 && r->attempt_id.p)
        code = lsqs_attempt_save(q, tx, r->attempt_id, &attempt);
    return code;
}
