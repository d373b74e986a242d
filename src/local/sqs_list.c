#include "local/sqs_impl.h"

bool
lsqs_check_page(struct slice token, const struct lsqs_int *max, struct lsqs_error *e)
{
    if (max->given && (max->value < 1 || max->value > LSQS_MAX_LIST))
        return lsqs_fail(
            e, LSQS_INVALID_VALUE,
            "Value %lld for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and "
            "1000.",
            (long long)max->value);
    return !token.p || max->given || lsqs_fail_missing(e, "MaxResults");
}

bool
lsqs_check_list_queues(struct lsqs_call *c)
{
    const struct lsqs_list_queues *r = c->request;
    return lsqs_check_page(r->token, &r->max, &c->error);
}

bool
lsqs_read_page_token(struct slice token, struct buf *ret_name, struct lsqs_error *e)
{
    return token.n == 0 || (digest_base64_decode(ret_name, token) && lsqs_is_name(buf_slice(ret_name))) ||
           lsqs_fail(e, LSQS_INVALID_VALUE, "Invalid or expired next token.");
}

static int
list_from(struct store_tx *tx, struct lsqs_call *c, struct slice after)
{
    const struct lsqs_list_queues *r = c->request;
    struct lsqs_urls_result *result = c->result;
    size_t most = r->max.given ? (size_t)r->max.value : LSQS_MAX_LIST, n = 0;
    struct slice *urls = arena_alloc(&c->call->arena, most * sizeof *urls);
    struct buf token = BUF_INIT;
    sqlite3_stmt *q = store_prepare(tx, "SELECT name FROM sqs_queue WHERE name > ?1 AND substr(name, 1, ?3) = ?2"
                                        " ORDER BY name LIMIT ?4");
    if (q) {
        store_bind_text(q, 1, after);
        store_bind_text(q, 2, r->prefix);
        store_bind_int(q, 3, (int64_t)r->prefix.n);
        store_bind_int(q, 4, (int64_t)most + 1);
    }
    int code;
    bool more = false;
    while ((code = store_step(tx, q)) > 0) {
        struct slice name = store_column(q, 0);
        if (n == most) {
            more = true;
            continue;
        }
        if (urls)
            urls[n++] = lsqs_url_of(c, name);
        if (n == most)
            digest_base64_encode(&token, name.p, name.n);
        if (!urls || !urls[n - 1].p)
            lsqs_fail(&c->error, LSQS_INTERNAL, "out of memory");
    }
    result->urls = (struct lsqs_list){.items = urls, .n = n};
    if (more && r->max.given)
        result->token = slice_of_string(arena_strndup(&c->call->arena, token.data, token.len));
    buf_clean_up(&token);
    return code;
}

int
lsqs_run_list_queues(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_list_queues *r = c->request;
    struct buf after = BUF_INIT;
    int code = lsqs_read_page_token(r->token, &after, &c->error) ? list_from(tx, c, buf_slice(&after)) : 0;
    buf_clean_up(&after);
    return code;
}
