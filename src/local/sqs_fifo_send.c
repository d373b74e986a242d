#include "local/sqs_fifo.h"

#include <string.h>

/* ---- what a send must name --------------------------------------------------------------------------------------- */

struct slice
lsqs_fifo_dedup_id(const struct lsqs_send *m)
{
    return m->deduplication_id.p ? m->deduplication_id : m->content_id;
}

/* The group, and what tells duplicates by. A batch in which one entry lacks one of them is refused as a whole, in words
 * of its own for the group (FACTS.md, section 1). */
static bool
check_ids(const struct lsqs_queue *q, const struct lsqs_send *m, bool batch, struct lsqs_error *e)
{
    if (!m->group_id.p) {
        lsqs_fail_missing(e, "MessageGroupId");
        if (batch)
            e->kind = LSQS_INVALID_VALUE;
        return false;
    }
    if (!m->deduplication_id.p && !q->settings.content_dedup)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                         "provided explicitly");
    return true;
}

bool
lsqs_fifo_check_send(const struct lsqs_queue *q, const struct lsqs_send *m, struct lsqs_error *e)
{
    if (m->delay_s.given && m->delay_s.value > 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "Value %lld for parameter DelaySeconds is invalid. Reason: The request include parameter that "
                         "is not valid for this queue type.",
                         (long long)m->delay_s.value);
    return check_ids(q, m, false, e);
}

bool
lsqs_fifo_check_batch(const struct lsqs_queue *q, const struct lsqs_send *m, size_t n, struct lsqs_error *e)
{
    for (size_t i = 0; i < n; i++)
        if (!m[i].refused && !check_ids(q, &m[i], true, e))
            return false;
    return true;
}

/* 20 digits that begin as AWS's do, in the order of the ids. */
void
lsqs_fifo_format_sequence(int64_t id, char out[LSQS_SEQUENCE_TEXT])
{
    char *at = out + LSQS_SEQUENCE_TEXT - 1;
    *at = '\0';
    for (; at > out + 3; id /= 10)
        *--at = (char)('0' + id % 10);
    memcpy(out, "188", 3);
}

/* ---- what is changed of stored messages -------------------------------------------------------------------------- */

int
lsqs_fifo_arrived(struct store_tx *tx, struct lsqs_queue *to, int64_t id, int64_t visible_at_ms)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT group_id, dedup_id, uuid FROM sqs_message WHERE id = ?");
    if (r)
        store_bind_int(r, 1, id);
    int code = store_step(tx, r);
    if (code < 0)
        return code;
    struct slice group_id = {0}, dedup_id = {0}, uuid = {0};
    if (code > 0) {
        group_id = store_column(r, 0);
        dedup_id = store_column(r, 1);
        uuid = store_column(r, 2);
    }
    if (!group_id.p || !dedup_id.p || !uuid.p || uuid.n != 16)
        code = store_fail(tx, ERR_CORRUPT, "message %lld makes no sense in a FIFO queue", (long long)id);
    else
        code = lsqs_dedup_add(to, tx, dedup_id, group_id, id, (const uint8_t *)uuid.p);
    if (code == 0)
        lsqs_fifo_added(to, id, visible_at_ms, group_id);
    store_reset(r);
    return code;
}

int
lsqs_fifo_adopt(struct store_tx *tx, struct lsqs_queue *to, int64_t id, const uint8_t uuid[16], struct slice source_arn)
{
    int64_t now_ms = store_now_ms(tx), new_id = to->sqs->next_message_id++;
    char dedup_id[UUID_TEXT_BYTES];
    lsqs_format_uuid(uuid, dedup_id);
    sqlite3_stmt *w =
        store_prepare(tx, "UPDATE sqs_message SET id = ?1, box = ?2, visible_at = ?3, sent_at = ?3, source = ?4,"
                          " dedup_id = ?5 WHERE id = ?6");
    if (w) {
        store_bind_int(w, 1, new_id);
        store_bind_int(w, 2, to->box);
        store_bind_int(w, 3, now_ms);
        store_bind_text(w, 4, source_arn);
        store_bind_text(w, 5, slice_of_string(dedup_id));
        store_bind_int(w, 6, id);
    }
    int code = store_run(tx, w);
    return code ? code : lsqs_fifo_arrived(tx, to, new_id, now_ms);
}

static int
count_delayed(struct store_tx *tx, struct lsqs_queue *q)
{
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT count(*) FROM sqs_message WHERE box = ? AND visible_at > ? AND receives = 0");
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, store_now_ms(tx));
    }
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    q->counts.delayed = sqlite3_column_int64(r, 0);
    store_reset(r);
    return 0;
}

int
lsqs_fifo_change_delay(struct store_tx *tx, struct lsqs_queue *q, int64_t old_s)
{
    if (!q->settings.fifo || q->settings.delay_s == old_s || q->counts.delayed == 0)
        return 0;
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET visible_at = sent_at + ?1 WHERE box = ?2"
                                        " AND visible_at > ?3 AND receives = 0");
    if (w) {
        store_bind_int(w, 1, q->settings.delay_s * 1000);
        store_bind_int(w, 2, q->box);
        store_bind_int(w, 3, store_now_ms(tx));
    }
    int code = store_run(tx, w);
    lsqs_fifo_drop(q);
    lsqs_expect(q, 0);
    return code ? code : count_delayed(tx, q);
}
