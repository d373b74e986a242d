#include "local/sqs_fair.h"
#include "local/sqs_fifo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local/sqs_dead_letters.h"
#include "local/sqs_move.h"

#define FIRST_PLACES 256

/* ---- the table of queues ----------------------------------------------------------------------------------------- */

static size_t
place_of(const struct local_sqs *s, struct slice name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * UINT64_C(1099511628211);
    return (size_t)hash & (s->n_places - 1);
}

struct lsqs_queue *
lsqs_find_queue(struct local_sqs *s, struct slice name)
{
    struct lsqs_queue *q = s->n_places ? s->table[place_of(s, name)] : NULL;
    while (q && !slice_equals_string(name, q->name))
        q = q->next;
    return q;
}

struct lsqs_queue *
lsqs_find_queue_by_arn(struct local_sqs *s, struct slice arn)
{
    const char *colon = arn.n > 0 ? memrchr(arn.p, ':', arn.n) : NULL;
    if (!colon)
        return NULL;
    struct lsqs_queue *q = lsqs_find_queue(s, slice_of(colon + 1, (size_t)(arn.p + arn.n - colon - 1)));
    return q && slice_equals_string(arn, q->arn) ? q : NULL;
}

static bool
make_places(struct local_sqs *s)
{
    if (s->n_queues < s->n_places)
        return true;
    struct local_sqs larger = {.n_places = s->n_places ? s->n_places * 2 : FIRST_PLACES};
    larger.table = calloc(larger.n_places, sizeof *larger.table);
    if (!larger.table)
        return false;
    for (size_t i = 0; i < s->n_places; i++)
        for (struct lsqs_queue *q = s->table[i], *next; q; q = next) {
            next = q->next;
            struct lsqs_queue **place = &larger.table[place_of(&larger, slice_of_string(q->name))];
            q->next = *place;
            *place = q;
        }
    free(s->table);
    s->table = larger.table;
    s->n_places = larger.n_places;
    return true;
}

bool
lsqs_enter_queue(struct local_sqs *s, struct lsqs_queue *q)
{
    if (!make_places(s))
        return false;
    struct lsqs_queue **place = &s->table[place_of(s, slice_of_string(q->name))];
    q->next = *place;
    *place = q;
    s->n_queues++;
    return true;
}

void
lsqs_leave_queue(struct local_sqs *s, struct lsqs_queue *q)
{
    struct lsqs_queue **at = &s->table[place_of(s, slice_of_string(q->name))];
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    s->n_queues--;
}

struct lsqs_queue *
lsqs_new_queue(struct local_sqs *s, struct slice name)
{
    struct lsqs_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->sqs = s;
    q->waiting_end = &q->waiting;
    q->counts.oldest_at_ms = INT64_MAX;
    q->expiry.fire = lsqs_fire_expiry;
    q->wake.fire = lsqs_fire_wake;
    lsqs_settings_init(&q->settings);
    q->settings.fifo = lsqs_is_fifo_name(name);
    q->name = strndup(name.p, name.n);
    if (!q->name ||
        asprintf(&q->arn, "arn:aws:sqs:%s:%s:%s", local_region(s->local), local_account(s->local), q->name) < 0) {
        free(q->name);
        free(q);
        return NULL;
    }
    return q;
}

void
lsqs_free_queue(struct lsqs_queue *q)
{
    if (!q)
        return;
    timers_cancel(&q->sqs->timers, &q->expiry);
    timers_cancel(&q->sqs->timers, &q->wake);
    lsqs_fifo_drop(q);
    lsqs_settings_clean_up(&q->settings);
    lsqs_fair_destroy(q->fair);
    free(q->tags);
    free(q->arn);
    free(q->name);
    free(q);
}

void
lsqs_state_clear(struct local_sqs *s)
{
    for (size_t i = 0; i < s->n_places; i++)
        for (struct lsqs_queue *q = s->table[i], *next; q; q = next) {
            next = q->next;
            lsqs_free_queue(q);
        }
    free(s->table);
    s->table = NULL;
    s->n_places = s->n_queues = 0;
    s->touched = NULL;
}

/* ---- reading it from the tables ---------------------------------------------------------------------------------- */

static bool
column_text(sqlite3_stmt *r, int at, char **out)
{
    struct slice s = store_column(r, at);
    *out = s.p ? strndup(s.p, s.n) : NULL;
    return !s.p || *out;
}

#define N_NUMBERS 14 /* columns */

static bool
read_queue(struct local_sqs *s, sqlite3_stmt *r)
{
    struct lsqs_queue *q = lsqs_new_queue(s, store_column(r, 1));
    if (!q)
        return false;
    struct lsqs_settings *t = &q->settings;
    int64_t *const numbers[] = {&q->box,          &q->created_at_ms, &q->modified_at_ms, &q->purged_at_ms,
                                &t->visibility_s, &t->max_bytes,     &t->retention_s,    &t->delay_s,
                                &t->wait_s,       &t->kms_reuse_s,   &t->managed_sse,    &t->content_dedup,
                                &t->group_scope,  &t->group_limit};
    q->id = sqlite3_column_int64(r, 0);
    for (int i = 0; i < N_NUMBERS; i++)
        *numbers[i] = sqlite3_column_int64(r, 2 + i);
    if (column_text(r, 2 + N_NUMBERS, &t->policy) && column_text(r, 3 + N_NUMBERS, &t->redrive_policy) &&
        column_text(r, 4 + N_NUMBERS, &t->redrive_allow_policy) && column_text(r, 5 + N_NUMBERS, &t->kms_key) &&
        column_text(r, 6 + N_NUMBERS, &q->tags) && lsqs_settings_read_redrive(t, NULL) && lsqs_enter_queue(s, q))
        return true;
    lsqs_free_queue(q);
    return false;
}

static int
read_queues(struct local_sqs *s, struct store_tx *tx)
{
    sqlite3_stmt *r = store_prepare(
        tx, "SELECT id, name, box, created_at, modified_at, purged_at, visibility_s, max_bytes, retention_s, delay_s,"
            " wait_s, kms_reuse_s, managed_sse, content_dedup, group_scope, group_limit, policy, redrive_policy,"
            " redrive_allow_policy, kms_key, tags FROM sqs_queue");
    int code;
    while ((code = store_step(tx, r)) > 0)
        if (!read_queue(s, r)) {
            store_reset(r);
            return store_fail(tx, ERR_NO_MEMORY, "out of memory, or a queue's row makes no sense");
        }
    return code;
}

/* What is in flight or delayed: few of many, and together in the index. */
static int
count_invisible(struct store_tx *tx, struct lsqs_queue *q)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT sum(receives > 0), sum(receives = 0) FROM sqs_message"
                                        " WHERE box = ? AND visible_at > ?");
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, q->counts.counted_at_ms);
    }
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    q->counts.in_flight = sqlite3_column_int64(r, 0);
    q->counts.delayed = sqlite3_column_int64(r, 1);
    store_reset(r);
    return 0;
}

static int
read_counts(struct local_sqs *s, struct store_tx *tx)
{
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT q.name, c.total, c.oldest FROM (SELECT box, count(*) AS total, min(sent_at) AS oldest"
                          " FROM sqs_message GROUP BY box) AS c JOIN sqs_queue AS q ON q.box = c.box");
    int code, counted;
    while ((code = store_step(tx, r)) > 0) {
        struct lsqs_queue *q = lsqs_find_queue(s, store_column(r, 0));
        q->counts = (struct lsqs_counts){.total = sqlite3_column_int64(r, 1),
                                         .oldest_at_ms = sqlite3_column_int64(r, 2),
                                         .counted_at_ms = store_now_ms(tx)};
        if ((counted = count_invisible(tx, q)) < 0) {
            store_reset(r);
            return counted;
        }
        lsqs_set_expiry(q);
    }
    return code;
}

static int
read_figures(struct local_sqs *s, struct store_tx *tx)
{
    sqlite3_stmt *r = store_prepare(tx, "SELECT max(coalesce((SELECT max(id) FROM sqs_message), 0),"
                                        " coalesce((SELECT max(id) FROM sqs_dedup), 0)),"
                                        " max(coalesce((SELECT max(box) FROM sqs_queue), 0),"
                                        " coalesce((SELECT max(box) FROM sqs_garbage), 0)),"
                                        " (SELECT count(*) FROM sqs_garbage),"
                                        " (SELECT value FROM sqs_meta WHERE name = 'handle_key'),"
                                        " max(coalesce((SELECT max(id) FROM sqs_queue), 0),"
                                        " coalesce((SELECT value FROM sqs_meta WHERE name = 'last_queue'), 0))");
    int code = store_step(tx, r);
    if (code < 0)
        return code;
    int64_t message = sqlite3_column_int64(r, 0), box = sqlite3_column_int64(r, 1), queue = sqlite3_column_int64(r, 4);
    /* after a rollback the numbers go on: what was given out is not given out again */
    s->next_message_id = s->next_message_id > message ? s->next_message_id : message + 1;
    s->next_box = s->next_box > box ? s->next_box : box + 1;
    s->next_queue_id = s->next_queue_id > queue ? s->next_queue_id : queue + 1;
    s->has_garbage = sqlite3_column_int64(r, 2) > 0;
    struct slice key = store_column(r, 3);
    bool has_key = key.p && key.n == sizeof s->handle_key;
    if (has_key)
        memcpy(s->handle_key, key.p, key.n);
    store_reset(r);
    if (has_key)
        return 0;
    uuid_random_bytes(s->handle_key, sizeof s->handle_key);
    sqlite3_stmt *w = store_prepare(tx, "REPLACE INTO sqs_meta (name, value) VALUES ('handle_key', ?)");
    if (w)
        store_bind_blob(w, 1, slice_of((const char *)s->handle_key, sizeof s->handle_key));
    return store_run(tx, w);
}

/* So that what was visible stays visible, though the wall clock was set back before this start. */
static int
go_on_in_time(struct store_tx *tx)
{
    sqlite3_stmt *r = store_prepare(
        tx,
        "SELECT max(coalesce((SELECT sent_at FROM sqs_message ORDER BY id DESC LIMIT 1), 0),"
        " coalesce((SELECT max(purged_at) FROM sqs_queue), 0), coalesce((SELECT max(created_at) FROM sqs_queue), 0))");
    int code = store_step(tx, r);
    if (code <= 0)
        return code;
    store_raise_now(tx, sqlite3_column_int64(r, 0));
    store_reset(r);
    return 0;
}

int
lsqs_state_load(void *sqs, struct store_tx *tx)
{
    struct local_sqs *s = sqs;
    bool first = s->next_queue_id == 0;
    int code = first ? go_on_in_time(tx) : 0;
    if (code == 0)
        code = read_queues(s, tx);
    if (code == 0)
        code = read_counts(s, tx);
    if (code == 0)
        code = read_figures(s, tx);
    return code == 0 && first ? lsqs_resume_moves(s, tx) : code;
}

/* ---- transactions ------------------------------------------------------------------------------------------------ */

void
lsqs_restructure(struct local_sqs *s, struct store_tx *tx)
{
    s->restructured_in = store_serial(tx);
}

/* Takes the receives that wait off their queues; they come back by lsqs_wait_again. */
static struct store_job *
take_waiting(struct local_sqs *s)
{
    struct store_job *all = NULL, **end = &all;
    for (size_t i = 0; i < s->n_places; i++)
        for (struct lsqs_queue *q = s->table[i]; q; q = q->next) {
            *end = q->waiting;
            if (q->waiting)
                end = q->waiting_end;
            q->waiting = NULL;
            q->waiting_end = &q->waiting;
        }
    return all;
}

static int
read_all_again(struct local_sqs *s, struct store_tx *tx)
{
    struct store_job *waiting = take_waiting(s), *next;
    lsqs_state_clear(s);
    int code = lsqs_state_load(s, tx);
    for (; waiting && code == 0; waiting = next) {
        struct lsqs_call *c = (struct lsqs_call *)waiting;
        struct lsqs_queue *q = lsqs_find_queue(s, c->queue_name);
        next = waiting->next;
        if (q && q->id == c->waits_for)
            code = lsqs_wait(s, tx, q, c);
        else
            c->waits_for = 0; /* it came in the transaction that was undone, with its queue, and runs again */
    }
    return code;
}

int
lsqs_state_rollback(void *sqs, struct store_tx *tx)
{
    struct local_sqs *s = sqs;
    s->moves_due_ms = INT64_MIN; /* to be looked at */
    lsqs_dedup_rollback(s, tx);
    if (s->restructured_in == store_serial(tx))
        return read_all_again(s, tx);
    if (s->touched_in != store_serial(tx))
        return 0;
    for (struct lsqs_queue *q = s->touched; q; q = q->next_touched) {
        q->counts = q->counts_before;
        q->touched_in = 0;
        lsqs_fair_look_again(q);
        lsqs_fifo_drop(q);
        lsqs_set_expiry(q);
        lsqs_expect(q, store_now_ms(tx));
    }
    s->touched = NULL;
    s->has_garbage = true; /* to be looked at, in case clearing it up was undone */
    return 0;
}

/* Invisible messages whose time has come since the counts were made are in flight, or delayed, no more. */
static int
count_up_to(struct store_tx *tx, struct lsqs_queue *q, int64_t now_ms)
{
    struct lsqs_counts *c = &q->counts;
    if (c->in_flight == 0 && c->delayed == 0)
        return 0;
    sqlite3_stmt *r = store_prepare(tx, "SELECT receives FROM sqs_message WHERE box = ? AND visible_at > ?"
                                        " AND visible_at <= ?");
    int code;
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, c->counted_at_ms);
        store_bind_int(r, 3, now_ms);
    }
    while ((code = store_step(tx, r)) > 0)
        *(sqlite3_column_int64(r, 0) > 0 ? &c->in_flight : &c->delayed) -= 1;
    return code;
}

int
lsqs_touch(struct local_sqs *s, struct store_tx *tx, struct lsqs_queue *q)
{
    uint64_t serial = store_serial(tx);
    if (q->touched_in == serial)
        return 0;
    if (s->touched_in != serial) {
        s->touched_in = serial;
        s->touched = NULL;
    }
    q->touched_in = serial;
    q->counts_before = q->counts;
    q->next_touched = s->touched;
    s->touched = q;
    int code = count_up_to(tx, q, store_now_ms(tx));
    q->counts.counted_at_ms = store_now_ms(tx);
    return code;
}
