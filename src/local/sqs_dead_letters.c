#include "local/sqs_dead_letters.h"

#include <stdlib.h>
#include <string.h>

#include "local/sqs_fifo.h"

/* ---- burying ----------------------------------------------------------------------------------------------------- */

struct lsqs_queue *
lsqs_dead_letter_queue(const struct lsqs_queue *q, int64_t receives)
{
    const struct lsqs_settings *t = &q->settings;
    if (!t->dead_letter_arn || receives < t->max_receives)
        return NULL;
    struct lsqs_queue *to = lsqs_find_queue_by_arn(q->sqs, slice_of_string(t->dead_letter_arn));
    return to && to != q && to->settings.fifo == q->settings.fifo ? to : NULL;
}

static int
move(struct store_tx *tx, const struct lsqs_queue *from, const struct lsqs_queue *to, const struct lsqs_letter *m)
{
    sqlite3_stmt *w = store_prepare(tx, "UPDATE sqs_message SET box = ?, visible_at = ?, source = ? WHERE id = ?");
    if (w) {
        store_bind_int(w, 1, to->box);
        store_bind_int(w, 2, store_now_ms(tx));
        store_bind_text(w, 3, slice_of_string(from->arn));
        store_bind_int(w, 4, m->id);
    }
    return store_run(tx, w);
}

int
lsqs_bury(struct store_tx *tx, struct lsqs_queue *from, struct lsqs_queue *to, const struct lsqs_letter *m)
{
    int64_t now_ms = store_now_ms(tx);
    int code = lsqs_touch(from->sqs, tx, to);
    if (code == 0)
        code = to->settings.fifo ? lsqs_fifo_adopt(tx, to, m->id, m->uuid, slice_of_string(from->arn))
                                 : move(tx, from, to, m);
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

/* ---- whose dead letters ------------------------------------------------------------------------------------------ */

bool
lsqs_check_list_sources(struct lsqs_call *c)
{
    const struct lsqs_list_sources *r = c->request;
    return lsqs_check_page(r->token, &r->max, &c->error) && lsqs_make_url_base(c);
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names behind `after` of the queues whose dead letters go to q, in order; NULL: no memory. */
static const char **
find_sources(struct lsqs_call *c, const char *after, size_t *ret_n)
{
    const struct local_sqs *s = c->sqs;
    const char **names = arena_alloc(&c->call->arena, (s->n_queues + 1) * sizeof *names);
    size_t n = 0;
    for (size_t i = 0; names && i < s->n_places; i++)
        for (const struct lsqs_queue *q = s->table[i]; q; q = q->next)
            if (q->settings.dead_letter_arn && strcmp(q->settings.dead_letter_arn, c->queue->arn) == 0 &&
                strcmp(q->name, after) > 0)
                names[n++] = q->name;
    if (n > 0)
        qsort(names, n, sizeof *names, compare_names);
    *ret_n = n;
    return names;
}

static int
list_sources(struct store_tx *tx, struct lsqs_call *c, const char *after)
{
    const struct lsqs_list_sources *r = c->request;
    struct lsqs_urls_result *result = c->result;
    size_t most = r->max.given ? (size_t)r->max.value : LSQS_MAX_LIST, n = 0, all = 0;
    const char **names = find_sources(c, after, &all);
    struct slice *urls = arena_alloc(&c->call->arena, most * sizeof *urls);
    bool ok = names && urls;
    for (; ok && n < all && n < most; n++) {
        urls[n] = lsqs_url_of(c, slice_of_string(names[n]));
        ok = urls[n].p != NULL;
    }
    result->urls = (struct lsqs_list){.items = urls, .n = n};
    if (ok && n < all && r->max.given) {
        struct buf token = BUF_INIT;
        digest_base64_encode(&token, names[n - 1], strlen(names[n - 1]));
        result->token = slice_of_string(arena_strndup(&c->call->arena, token.data, token.len));
        ok = result->token.p != NULL;
        buf_clean_up(&token);
    }
    return ok ? 0 : store_fail(tx, ERR_NO_MEMORY, "out of memory");
}

int
lsqs_run_list_sources(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_list_sources *r = c->request;
    struct buf after = BUF_INIT;
    int code = 0;
    if (lsqs_read_page_token(r->token, &after, &c->error))
        code = list_sources(tx, c, after.len > 0 ? after.data : "");
    buf_clean_up(&after);
    return code;
}
