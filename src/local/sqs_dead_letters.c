#include "local/sqs_dead_letters.h"

struct lsqs_queue *
lsqs_dead_letter_queue(const struct lsqs_queue *q, int64_t receives)
{
    const struct lsqs_settings *t = &q->settings;
    if (!t->dead_letter_arn || receives < t->max_receives)
        return NULL;
    struct lsqs_queue *to = lsqs_find_queue_by_arn(q->sqs, slice_of_string(t->dead_letter_arn));
    return to != q ? to : NULL;
}

int
lsqs_bury(struct store_tx *tx, struct lsqs_queue *from, struct lsqs_queue *to, const struct lsqs_letter *m)
{
    int64_t now_ms = store_now_ms(tx);
    int code = lsqs_touch(from->sqs, tx, to);
    if (code < 0)
        return code;
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET box = ?, visible_at = ?, source = ? WHERE id = ?");
    if (w) {
        store_bind_int(w, 1, to->box);
        store_bind_int(w, 2, now_ms);
        store_bind_text(w, 3, slice_of_string(from->arn));
        store_bind_int(w, 4, m->id);
    }
    code = store_run(tx, w);
    if (code < 0)
        return code;
    from->counts.total--;
    to->counts.total++;
    if (to->counts.oldest_at_ms > m->sent_at_ms)
        to->counts.oldest_at_ms = m->sent_at_ms;
    lsqs_set_expiry(to);
    lsqs_expect(to, now_ms);
    return 0;
}
