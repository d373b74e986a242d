#include "local/sqs_fifo.h"

#include <stdlib.h>
#include <string.h>

#include "local/sqs_fifo_groups.h"

bool
lsqs_is_fifo_name(struct slice name)
{
    return name.n > 5 && memcmp(name.p + name.n - 5, ".fifo", 5) == 0;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void
lsqs_fifo_drop(struct lsqs_queue *q)
{
    struct lsqs_fifo *f = q->groups;
    if (!f)
        return;
    for (size_t i = 0; i < f->n_member_places; i++)
        for (struct lsqs_fifo_member *m = f->members[i], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    for (size_t i = 0; i < f->n_group_places; i++)
        for (struct lsqs_fifo_group *g = f->groups[i], *next; g; g = next) {
            next = g->next;
            free(g);
        }
    free(f->members);
    free(f->groups);
    free(f->heap);
    free(f);
    q->groups = NULL;
}

/* Reads what comes behind the window's last message, until it is full. Messages are not looked at themselves, but for
 * their delays: those that are visible have been so for ever in the first reading, and from now on later. */
static int
read_on(struct store_tx *tx, struct lsqs_queue *q)
{
    struct lsqs_fifo *f = q->groups;
    int64_t wanted = LSQS_FIFO_WINDOW - (int64_t)f->n_members, since_ms = f->last_id ? store_now_ms(tx) : 0, n = 0;
    bool from_index = f->last_id == 0 || q->counts.delayed == 0;
    sqlite3_stmt *r =
        from_index ? store_prepare(tx, "SELECT id, group_id FROM sqs_message INDEXED BY sqs_message_fifo"
                                       " WHERE box = ? AND id > ? AND dedup_id IS NOT NULL ORDER BY id LIMIT ?")
                   : store_prepare(tx, "SELECT id, group_id, visible_at FROM sqs_message INDEXED BY sqs_message_fifo"
                                       " WHERE box = ? AND id > ? AND dedup_id IS NOT NULL ORDER BY id LIMIT ?");
    int code;
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, f->last_id);
        store_bind_int(r, 3, wanted);
    }
    for (; (code = store_step(tx, r)) > 0; n++) {
        int64_t visible_at_ms = from_index ? since_ms : sqlite3_column_int64(r, 2);
        if (!lsqs_groups_add(f, sqlite3_column_int64(r, 0), visible_at_ms, store_column(r, 1))) {
            store_reset(r);
            return store_fail(tx, ERR_NO_MEMORY, "out of memory");
        }
    }
    f->complete = n < wanted;
    return code;
}

static void
change_member(struct lsqs_fifo *f, struct lsqs_fifo_member *m, int64_t visible_at_ms)
{
    m->visible_at_ms = visible_at_ms;
    if (m == m->group->first && m->group->place)
        lsqs_groups_sift(f, m->group, m->group->place);
}

static int
read_invisible(struct store_tx *tx, struct lsqs_queue *q)
{
    sqlite3_stmt *r =
        store_prepare(tx, "SELECT id, visible_at FROM sqs_message INDEXED BY sqs_message_due WHERE box = ?"
                          " AND visible_at > ?");
    int code;
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, store_now_ms(tx));
    }
    while ((code = store_step(tx, r)) > 0) {
        struct lsqs_fifo_member *m = lsqs_groups_find(q->groups, sqlite3_column_int64(r, 0));
        if (m)
            change_member(q->groups, m, sqlite3_column_int64(r, 1));
    }
    return code;
}

int
lsqs_fifo_look(struct store_tx *tx, struct lsqs_queue *q)
{
    int code = 0;
    if (!q->groups) {
        if (!(q->groups = calloc(1, sizeof *q->groups)))
            return store_fail(tx, ERR_NO_MEMORY, "out of memory");
        code = read_on(tx, q);
        if (code == 0)
            code = read_invisible(tx, q);
    } else if (!q->groups->complete && q->groups->n_members < LSQS_FIFO_WINDOW) {
        code = read_on(tx, q);
    }
    if (code < 0)
        lsqs_fifo_drop(q);
    return code;
}

/* ---- changes ----------------------------------------------------------------------------------------------------- */

static void
wake(struct lsqs_queue *q)
{
    const struct lsqs_fifo *f = q->groups;
    if (f->heap_n > 0)
        lsqs_expect(q, f->heap[1].visible_at_ms);
}

void
lsqs_fifo_added(struct lsqs_queue *q, int64_t id, int64_t visible_at_ms, struct slice group_id)
{
    struct lsqs_fifo *f = q->groups;
    if (!f)
        return;
    if (!f->complete || f->n_members >= LSQS_FIFO_WINDOW) {
        f->complete = false;
    } else if (lsqs_groups_add(f, id, visible_at_ms, group_id)) {
        wake(q);
    } else {
        lsqs_fifo_drop(q);
        lsqs_expect(q, 0);
    }
}

void
lsqs_fifo_removed(struct lsqs_queue *q, int64_t id)
{
    struct lsqs_fifo *f = q->groups;
    struct lsqs_fifo_member *m = f ? lsqs_groups_find(f, id) : NULL;
    if (!m)
        return;
    struct lsqs_fifo_group *g = m->group;
    bool first = g->first == m;
    lsqs_groups_remove(f, m);
    if (g->place && !g->first) {
        lsqs_groups_pull(f, g);
        lsqs_groups_free(f, g);
    } else if (g->place && first) {
        lsqs_groups_sift(f, g, g->place);
    }
    wake(q);
    if (!f->complete)
        lsqs_expect(q, 0); /* another one has come into the window */
}

void
lsqs_fifo_changed(struct lsqs_queue *q, int64_t id, int64_t visible_at_ms)
{
    struct lsqs_fifo_member *m = q->groups ? lsqs_groups_find(q->groups, id) : NULL;
    if (!m)
        return;
    change_member(q->groups, m, visible_at_ms);
    wake(q);
}

int
lsqs_fifo_find_next_visible(struct store_tx *tx, struct lsqs_queue *q, int64_t *ret_ms)
{
    int code = lsqs_fifo_look(tx, q);
    if (code < 0)
        return code;
    const struct lsqs_fifo *f = q->groups;
    *ret_ms = f->heap_n > 0 ? f->heap[1].visible_at_ms : INT64_MAX;
    if (q->counts.in_flight < LSQS_MAX_IN_FLIGHT || *ret_ms > store_now_ms(tx))
        return 0;
    /* too many are in flight: one of them must come back */
    sqlite3_stmt *r = store_prepare(tx, "SELECT min(visible_at) FROM sqs_message WHERE box = ? AND visible_at > ?");
    if (r) {
        store_bind_int(r, 1, q->box);
        store_bind_int(r, 2, store_now_ms(tx));
    }
    code = store_step(tx, r);
    if (code <= 0)
        return code;
    *ret_ms = sqlite3_column_type(r, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(r, 0);
    store_reset(r);
    return 0;
}

/* ---- looking through the groups ---------------------------------------------------------------------------------- */

void
lsqs_fifo_begin(struct lsqs_queue *q)
{
    struct lsqs_fifo *f = q->groups;
    f->current = f->aside = NULL;
    f->at = NULL;
}

/* The current group was looked through: it must not come again, whether or not its first message is visible. */
static void
set_aside(struct lsqs_fifo *f)
{
    struct lsqs_fifo_group *g = f->current;
    f->current = NULL;
    f->at = NULL;
    if (g && g->first) {
        g->next_aside = f->aside;
        f->aside = g;
    } else if (g) {
        lsqs_groups_free(f, g);
    }
}

bool
lsqs_fifo_next(struct lsqs_queue *q, int64_t now_ms, int64_t *ret_id)
{
    struct lsqs_fifo *f = q->groups;
    if (!f->at || f->at->visible_at_ms > now_ms) {
        set_aside(f);
        if (f->heap_n == 0 || f->heap[1].visible_at_ms > now_ms)
            return false;
        f->current = f->heap[1].group;
        f->at = f->current->first;
        lsqs_groups_pull(f, f->current);
    }
    *ret_id = f->at->id;
    f->at = f->at->after;
    return true;
}

void
lsqs_fifo_end(struct lsqs_queue *q)
{
    struct lsqs_fifo *f = q->groups;
    set_aside(f);
    for (struct lsqs_fifo_group *g = f->aside, *next; g; g = next) {
        next = g->next_aside;
        lsqs_groups_push(f, g);
    }
    f->aside = NULL;
    wake(q);
}
