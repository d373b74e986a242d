#include "local/sqs_fifo.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local/sqs_dead_letters.h"
#include "local/sqs_move.h"

#define MAX_NAME 80

/* ---- names ------------------------------------------------------------------------------------------------------- */

bool
lsqs_is_name(struct slice name)
{
    bool ok = name.n >= 1 && name.n <= MAX_NAME;
    size_t n = lsqs_is_fifo_name(name) ? name.n - 5 : name.n;
    for (size_t i = 0; ok && i < n; i++)
        ok = isalnum((unsigned char)name.p[i]) || name.p[i] == '-' || name.p[i] == '_';
    return ok;
}

/* A name ends in .fifo when FifoQueue is true, and only then. */
static bool
check_name(struct slice name, const struct local_sqs_attribute *attributes, size_t n, struct lsqs_error *e)
{
    bool fifo = false;
    for (size_t i = 0; i < n; i++)
        if (slice_equals(attributes[i].name, SLICE("FifoQueue")))
            fifo = slice_equals(attributes[i].value, SLICE("true"));
    if (fifo)
        return (lsqs_is_name(name) && lsqs_is_fifo_name(name)) ||
               lsqs_fail(e, LSQS_INVALID_VALUE,
                         "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                         "must end with .fifo suffix and be 1 to 80 in length.");
    return (lsqs_is_name(name) && !lsqs_is_fifo_name(name)) ||
           lsqs_fail(e, LSQS_INVALID_VALUE,
                     "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length");
}

static bool
check_name_given(struct slice name, struct lsqs_error *e)
{
    return name.n > 0 || lsqs_fail(e, LSQS_INVALID_VALUE,
                                   "Value for parameter QueueName is invalid. Reason: Must specify a queue name.");
}

struct slice
lsqs_url_of(struct lsqs_call *c, struct slice name)
{
    char *url = arena_format(&c->call->arena, "%.*s%.*s", SLICE_ARG(c->url_base), SLICE_ARG(name));
    return slice_of_string(url);
}

static int
no_memory(struct lsqs_call *c)
{
    lsqs_fail(&c->error, LSQS_INTERNAL, "out of memory");
    return 0;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

bool
lsqs_check_create_queue(struct lsqs_call *c)
{
    const struct lsqs_create_queue *r = c->request;
    return check_name_given(r->name, &c->error) &&
           check_name(r->name, r->attributes.items, r->attributes.n, &c->error) &&
           lsqs_check_tags(&r->tags, &c->error) && lsqs_count_tags(&r->tags, r->name, &c->error);
}

/* Is the name free again? Forgets the deletions that are long past. */
static int
find_deleted(struct store_tx *tx, struct slice name, bool *ret_deleted)
{
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_deleted WHERE deleted_at <= ?");
    if (w)
        store_bind_int(w, 1, store_now_ms(tx) - LSQS_DELETED_MS);
    int code = store_run(tx, w);
    if (code < 0)
        return code;
    sqlite3_stmt *r = store_prepare(tx, "SELECT 1 FROM sqs_deleted WHERE name = ?");
    if (r)
        store_bind_text(r, 1, name);
    code = store_step(tx, r);
    *ret_deleted = code > 0;
    store_reset(r);
    return code < 0 ? code : 0;
}

/* Applies attributes to a copy of the settings of the queue of that name, so that a refusal leaves them alone. */
static bool
apply_all(struct local_sqs *s, struct slice name, const struct lsqs_settings *from, const struct local_sqs_attribute *a,
          size_t n, struct lsqs_settings *to, struct lsqs_error *e)
{
    bool ok = true, redrive = false;
    if (!lsqs_settings_check_given(a, n, e))
        return false;
    if (!lsqs_settings_copy(from, to))
        return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    for (size_t i = 0; i < n && ok; i++) {
        ok = lsqs_settings_apply(to, &a[i], e);
        redrive |= slice_equals(a[i].name, SLICE("RedrivePolicy"));
    }
    ok = ok && lsqs_settings_check(to, e) && (!redrive || lsqs_check_dead_letter_queue(s, name, to, e));
    if (!ok)
        lsqs_settings_clean_up(to);
    return ok;
}

static int
make_queue(struct local_sqs *s, struct store_tx *tx, struct slice name, struct lsqs_settings *settings, char *tags,
           struct lsqs_queue **ret_queue)
{
    struct lsqs_queue *q = lsqs_new_queue(s, name);
    if (!q || !lsqs_enter_queue(s, q)) {
        lsqs_free_queue(q);
        free(tags);
        lsqs_settings_clean_up(settings);
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    }
    lsqs_restructure(s, tx);
    q->settings = *settings;
    q->tags = tags;
    q->id = s->next_queue_id++;
    q->box = s->next_box++;
    q->created_at_ms = q->modified_at_ms = q->counts.counted_at_ms = store_now_ms(tx);
    *ret_queue = q;
    return lsqs_save_queue(tx, q);
}

/* A queue of that name is there: it must be what was asked for. */
static void
compare_with_existing(struct lsqs_call *c, struct lsqs_queue *q)
{
    const struct lsqs_create_queue *r = c->request;
    const struct local_sqs_attribute *a = r->attributes.items;
    struct lsqs_settings wanted;
    if (!apply_all(c->sqs, r->name, &q->settings, a, r->attributes.n, &wanted, &c->error))
        return;
    for (size_t i = 0; i < r->attributes.n && c->error.kind == LSQS_OK; i++)
        if (!lsqs_settings_agree(&wanted, &q->settings, a[i].name))
            lsqs_fail(&c->error, LSQS_QUEUE_EXISTS,
                      "A queue already exists with the same name and a different value for attribute %.*s",
                      SLICE_ARG(a[i].name));
    lsqs_settings_clean_up(&wanted);
}

static int
make_as_asked(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_create_queue *r = c->request;
    struct lsqs_settings defaults, settings;
    struct lsqs_queue *q;
    bool deleted;
    int code = find_deleted(tx, r->name, &deleted);
    if (code < 0)
        return code;
    lsqs_settings_init(&defaults);
    defaults.fifo = lsqs_is_fifo_name(r->name);
    if (deleted)
        lsqs_fail(&c->error, LSQS_QUEUE_DELETED_RECENTLY,
                  "You must wait 60 seconds after deleting a queue before you can create another with the same name.");
    if (deleted || !apply_all(c->sqs, r->name, &defaults, r->attributes.items, r->attributes.n, &settings, &c->error))
        return 0;
    char *tags;
    if (!lsqs_tags_text(&r->tags, &tags)) {
        lsqs_settings_clean_up(&settings);
        return store_fail(tx, ERR_NO_MEMORY, "out of memory");
    }
    return make_queue(c->sqs, tx, r->name, &settings, tags, &q);
}

int
lsqs_run_create_queue(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_create_queue *r = c->request;
    struct lsqs_url_result *result = c->result;
    struct lsqs_queue *q = lsqs_find_queue(c->sqs, r->name);
    int code = q ? 0 : make_as_asked(tx, c);
    if (q)
        compare_with_existing(c, q);
    if (code < 0 || c->error.kind != LSQS_OK)
        return code;
    result->url = lsqs_url_of(c, r->name);
    return result->url.p ? 0 : no_memory(c);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

bool
lsqs_check_get_url(struct lsqs_call *c)
{
    const struct lsqs_get_url *r = c->request;
    return check_name_given(r->name, &c->error);
}

int
lsqs_run_get_url(struct store_tx *tx, struct lsqs_call *c)
{
    (void)tx;
    const struct lsqs_get_url *r = c->request;
    struct lsqs_url_result *result = c->result;
    struct lsqs_queue *q = lsqs_find_queue(c->sqs, r->name);
    if (!q || (r->owner.p && !slice_equals_string(r->owner, local_account(c->sqs->local)))) {
        lsqs_fail(&c->error, LSQS_NO_SUCH_QUEUE, "The specified queue does not exist.");
        return 0;
    }
    result->url = lsqs_url_of(c, r->name);
    return result->url.p ? 0 : no_memory(c);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

bool
lsqs_check_set_attributes(struct lsqs_call *c)
{
    const struct lsqs_set_attributes *r = c->request;
    return r->attributes.n > 0 ? true : lsqs_fail_missing(&c->error, "Attribute.Name");
}

static int
change_settings(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q, struct lsqs_settings *settings)
{
    int64_t old_delay_s = q->settings.delay_s;
    int code = lsqs_touch(s, tx, q);
    if (code == 0)
        code = lsqs_expire(tx, q); /* what is too old by now does not come back with a longer retention */
    lsqs_restructure(s, tx);
    lsqs_settings_clean_up(&q->settings);
    q->settings = *settings;
    q->modified_at_ms = store_now_ms(tx);
    q->swept_at_ms = 0;
    lsqs_set_expiry(q);
    if (code == 0)
        code = lsqs_fifo_change_delay(tx, q, old_delay_s);
    return code < 0 ? code : lsqs_save_queue(tx, q);
}

int
lsqs_run_set_attributes(struct store_tx *tx, struct lsqs_call *c)
{
    const struct lsqs_set_attributes *r = c->request;
    struct lsqs_settings settings;
    if (!apply_all(c->sqs, slice_of_string(c->queue->name), &c->queue->settings, r->attributes.items, r->attributes.n,
                   &settings, &c->error))
        return 0;
    return change_settings(c->sqs, tx, c->queue, &settings);
}

/* ---- emptying and deleting --------------------------------------------------------------------------------------- */

static void
forget_messages(struct lsqs_queue *q, int64_t now_ms)
{
    q->counts = (struct lsqs_counts){.oldest_at_ms = INT64_MAX, .counted_at_ms = now_ms};
    lsqs_fifo_drop(q);
    lsqs_expect(q, 0); /* without groups a send tells nobody who waits; who looks again makes them */
    lsqs_set_expiry(q);
}

/* Everything in it is gone, what is in flight included. */
static int
empty(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q)
{
    int64_t box = q->box;
    lsqs_restructure(s, tx);
    q->box = s->next_box++;
    forget_messages(q, store_now_ms(tx));
    int code = lsqs_save_queue(tx, q);
    return code ? code : lsqs_discard_box(s, tx, box);
}

int
lsqs_run_purge_queue(struct store_tx *tx, struct lsqs_call *c)
{
    struct lsqs_queue *q = c->queue;
    int64_t now_ms = store_now_ms(tx);
    if (q->purged_at_ms && now_ms - q->purged_at_ms < LSQS_PURGE_INTERVAL_MS) {
        lsqs_fail(&c->error, LSQS_PURGE_IN_PROGRESS, "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
                  q->name);
        return 0;
    }
    lsqs_restructure(c->sqs, tx);
    q->purged_at_ms = now_ms;
    return empty(c->sqs, tx, q);
}

/* Without the pause that PurgeQueue asks for. */
int
lsqs_empty(void *sqs, struct store_tx *tx, struct slice name)
{
    struct lsqs_queue *q = lsqs_find_queue(sqs, name);
    return q ? empty(sqs, tx, q) : 1;
}

/* The last id that a queue got is not given again after a start, though its queue may be gone: handles hold it. */
static int
keep_last_id(struct local_sqs *s, struct store_tx *tx)
{
    sqlite3_stmt *w = store_prepare(tx, "REPLACE INTO sqs_meta (name, value) VALUES ('last_queue', ?)");
    if (w)
        store_bind_int(w, 1, s->next_queue_id - 1);
    return store_run(tx, w);
}

static int
delete_queue(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q)
{
    sqlite3_stmt *w = store_prepare(tx, "DELETE FROM sqs_queue WHERE id = ?");
    if (w)
        store_bind_int(w, 1, q->id);
    lsqs_restructure(s, tx);
    int code = store_run(tx, w);
    if (code == 0)
        code = keep_last_id(s, tx);
    if (code == 0)
        code = lsqs_forget_moves(tx, q);
    if (code == 0)
        code = lsqs_discard_box(s, tx, q->box);
    if (code < 0)
        return code;
    lsqs_dismiss_waiting(s, tx, q);
    lsqs_leave_queue(s, q);
    if (s->touched_in == store_serial(tx))
        s->touched_in = 0; /* the list may hold q; everything is read again should this be undone */
    lsqs_free_queue(q);
    return 0;
}

int
lsqs_run_delete_queue(struct store_tx *tx, struct lsqs_call *c)
{
    sqlite3_stmt *w = store_prepare(tx, "REPLACE INTO sqs_deleted (name, deleted_at) VALUES (?, ?)");
    if (w) {
        store_bind_text(w, 1, slice_of_string(c->queue->name));
        store_bind_int(w, 2, store_now_ms(tx));
    }
    int code = store_run(tx, w);
    return code ? code : delete_queue(c->sqs, tx, c->queue);
}

/* ---- for other services ------------------------------------------------------------------------------------------ */

int
local_sqs_ensure_queue(struct local_sqs *s, struct store_tx *tx, struct slice name,
                       const struct local_sqs_attribute *attributes, size_t n_attributes, struct err *e)
{
    struct lsqs_error refused = {.kind = LSQS_OK};
    struct lsqs_settings settings, defaults;
    struct lsqs_queue *q = lsqs_find_queue(s, name);
    lsqs_settings_init(&defaults);
    defaults.fifo = lsqs_is_fifo_name(name);
    if (!check_name(name, attributes, n_attributes, &refused) ||
        !apply_all(s, name, q ? &q->settings : &defaults, attributes, n_attributes, &settings, &refused))
        return err_set(e, ERR_INVALID, "queue \"%.*s\": %s", (int)(name.n < 100 ? name.n : 100), name.p,
                       refused.message);
    return q ? change_settings(s, tx, q, &settings) : make_queue(s, tx, name, &settings, NULL, &q);
}

bool
local_sqs_has_queue(struct local_sqs *s, struct slice queue_arn)
{
    return lsqs_find_queue_by_arn(s, queue_arn) != NULL;
}

/* Forgets every queue, and the names that were deleted. */
int
lsqs_reset(void *sqs, struct store_tx *tx)
{
    struct local_sqs *s = sqs;
    int code = 0;
    for (size_t i = 0; i < s->n_places && code == 0; i++)
        while (s->table[i] && code == 0)
            code = delete_queue(s, tx, s->table[i]);
    return code ? code : store_exec(tx, "DELETE FROM sqs_deleted");
}
