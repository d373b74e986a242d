#include "local/sqs_fifo.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 64

struct group;

/* A message of the window. */
struct member {
    int64_t id, visible_at_ms;
    struct group *group;
    struct member *before, *after; /* in the group */
    struct member *next;           /* of the same hash */
};

struct group {
    struct member *first, *last;
    size_t place;             /* in the heap, from 1; 0: it is being looked through, or set aside */
    struct group *next;       /* of the same hash */
    struct group *next_aside; /* of those set aside */
    uint64_t hash;
    size_t n;
    char name[];
};

/* A group's place in the heap, with what its first message is compared by: comparing touches nothing else. */
struct place {
    int64_t visible_at_ms, id;
    struct group *group;
};

struct lsqs_fifo {
    struct member **members; /* by id */
    size_t n_members, n_member_places;
    struct group **groups; /* by name */
    size_t n_groups, n_group_places;
    struct place *heap; /* by the first message: visible for the longest, then sent first; [0] is unused */
    size_t heap_n, heap_room;
    int64_t last_id; /* no message of the window comes behind it */
    bool complete;   /* none of the queue does */

    /* Between lsqs_fifo_begin and lsqs_fifo_end. */
    struct group *current, *aside;
    struct member *at; /* the next one of current */
};

bool
lsqs_is_fifo_name(struct slice name)
{
    return name.n > 5 && memcmp(name.p + name.n - 5, ".fifo", 5) == 0;
}

/* ---- the heap ---------------------------------------------------------------------------------------------------- */

static bool
is_before(const struct place *x, const struct place *y)
{
    return x->visible_at_ms != y->visible_at_ms ? x->visible_at_ms < y->visible_at_ms : x->id < y->id;
}

static void
put_at(struct lsqs_fifo *f, const struct place *p, size_t place)
{
    f->heap[place] = *p;
    p->group->place = place;
}

/* Moves a group to where it belongs from a place that is free, or its own. */
static void
sift(struct lsqs_fifo *f, struct group *g, size_t place)
{
    const struct place p = {g->first->visible_at_ms, g->first->id, g};
    while (place > 1 && is_before(&p, &f->heap[place / 2])) {
        put_at(f, &f->heap[place / 2], place);
        place /= 2;
    }
    for (size_t child; (child = 2 * place) <= f->heap_n; place = child) {
        if (child < f->heap_n && is_before(&f->heap[child + 1], &f->heap[child]))
            child++;
        if (!is_before(&f->heap[child], &p))
            break;
        put_at(f, &f->heap[child], place);
    }
    put_at(f, &p, place);
}

/* There is room for every group. */
static void
push(struct lsqs_fifo *f, struct group *g)
{
    sift(f, g, ++f->heap_n);
}

static void
pull(struct lsqs_fifo *f, struct group *g)
{
    size_t place = g->place;
    struct group *last = f->heap[f->heap_n--].group;
    g->place = 0;
    if (last != g)
        sift(f, last, place);
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

static size_t
member_place(const struct lsqs_fifo *f, int64_t id)
{
    return (size_t)((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (f->n_member_places - 1);
}

static struct member *
find_member(const struct lsqs_fifo *f, int64_t id)
{
    struct member *m = f->n_member_places ? f->members[member_place(f, id)] : NULL;
    while (m && m->id != id)
        m = m->next;
    return m;
}

static bool
grow_members(struct lsqs_fifo *f)
{
    if (f->n_members < f->n_member_places)
        return true;
    struct lsqs_fifo larger = {.n_member_places = f->n_member_places ? 2 * f->n_member_places : FIRST_PLACES};
    if (!(larger.members = calloc(larger.n_member_places, sizeof(struct member *))))
        return false;
    for (size_t i = 0; i < f->n_member_places; i++)
        for (struct member *m = f->members[i], *next; m; m = next) {
            struct member **place = &larger.members[member_place(&larger, m->id)];
            next = m->next;
            m->next = *place;
            *place = m;
        }
    free(f->members);
    f->members = larger.members;
    f->n_member_places = larger.n_member_places;
    return true;
}

static uint64_t
hash_of(struct slice name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

static bool
grow_groups(struct lsqs_fifo *f)
{
    if (f->n_groups < f->n_group_places)
        return true;
    size_t n = f->n_group_places ? 2 * f->n_group_places : FIRST_PLACES;
    struct group **groups = calloc(n, sizeof(struct group *));
    if (!groups)
        return false;
    for (size_t i = 0; i < f->n_group_places; i++)
        for (struct group *g = f->groups[i], *next; g; g = next) {
            next = g->next;
            g->next = groups[g->hash & (n - 1)];
            groups[g->hash & (n - 1)] = g;
        }
    free(f->groups);
    f->groups = groups;
    f->n_group_places = n;
    return true;
}

static bool
grow_heap(struct lsqs_fifo *f)
{
    if (f->n_groups + 2 <= f->heap_room)
        return true;
    size_t room = f->heap_room ? 2 * f->heap_room : FIRST_PLACES;
    struct place *heap = realloc(f->heap, room * sizeof *heap);
    if (!heap)
        return false;
    f->heap = heap;
    f->heap_room = room;
    return true;
}

/* The group of that name, made when there is none; NULL: no memory. */
static struct group *
get_group(struct lsqs_fifo *f, struct slice name)
{
    if (!name.p)
        name = SLICE("");
    uint64_t hash = hash_of(name);
    struct group *g = f->n_group_places ? f->groups[hash & (f->n_group_places - 1)] : NULL;
    while (g && (g->hash != hash || g->n != name.n || memcmp(g->name, name.p, name.n) != 0))
        g = g->next;
    if (g)
        return g;
    if (!grow_groups(f) || !grow_heap(f) || !(g = malloc(sizeof *g + name.n)))
        return NULL;
    struct group **place = &f->groups[hash & (f->n_group_places - 1)];
    *g = (struct group){.hash = hash, .n = name.n, .next = *place};
    memcpy(g->name, name.p, name.n);
    *place = g;
    f->n_groups++;
    return g;
}

/* It has no message left, and is not in the heap. */
static void
free_group(struct lsqs_fifo *f, struct group *g)
{
    struct group **at = &f->groups[g->hash & (f->n_group_places - 1)];
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    f->n_groups--;
    free(g);
}

static bool
add_member(struct lsqs_fifo *f, int64_t id, int64_t visible_at_ms, struct slice group_id)
{
    struct group *g;
    struct member *m;
    if (!grow_members(f) || !(m = malloc(sizeof *m)))
        return false;
    if (!(g = get_group(f, group_id))) {
        free(m);
        return false;
    }
    struct member **place = &f->members[member_place(f, id)];
    *m = (struct member){.id = id, .visible_at_ms = visible_at_ms, .group = g, .before = g->last, .next = *place};
    *place = m;
    f->n_members++;
    f->last_id = id;
    if (g->last)
        g->last->after = m;
    else
        g->first = m;
    g->last = m;
    if (g->first == m)
        push(f, g);
    return true;
}

static void
remove_member(struct lsqs_fifo *f, struct member *m)
{
    struct group *g = m->group;
    struct member **at = &f->members[member_place(f, m->id)];
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    f->n_members--;
    *(m->before ? &m->before->after : &g->first) = m->after;
    *(m->after ? &m->after->before : &g->last) = m->before;
    free(m);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void
lsqs_fifo_drop(struct lsqs_queue *q)
{
    struct lsqs_fifo *f = q->groups;
    if (!f)
        return;
    for (size_t i = 0; i < f->n_member_places; i++)
        for (struct member *m = f->members[i], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    for (size_t i = 0; i < f->n_group_places; i++)
        for (struct group *g = f->groups[i], *next; g; g = next) {
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
        if (!add_member(f, sqlite3_column_int64(r, 0), visible_at_ms, store_column(r, 1))) {
            store_reset(r);
            return store_fail(tx, ERR_NO_MEMORY, "out of memory");
        }
    }
    f->complete = n < wanted;
    return code;
}

static void
change_member(struct lsqs_fifo *f, struct member *m, int64_t visible_at_ms)
{
    m->visible_at_ms = visible_at_ms;
    if (m == m->group->first && m->group->place)
        sift(f, m->group, m->group->place);
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
        struct member *m = find_member(q->groups, sqlite3_column_int64(r, 0));
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
    if (!f->complete || f->n_members >= LSQS_FIFO_WINDOW)
        f->complete = false;
    else if (add_member(f, id, visible_at_ms, group_id))
        wake(q);
    else
        lsqs_fifo_drop(q);
}

void
lsqs_fifo_removed(struct lsqs_queue *q, int64_t id)
{
    struct lsqs_fifo *f = q->groups;
    struct member *m = f ? find_member(f, id) : NULL;
    if (!m)
        return;
    struct group *g = m->group;
    bool first = g->first == m;
    remove_member(f, m);
    if (g->place && !g->first) {
        pull(f, g);
        free_group(f, g);
    } else if (g->place && first) {
        sift(f, g, g->place);
    }
    wake(q);
    if (!f->complete)
        lsqs_expect(q, 0); /* another one has come into the window */
}

void
lsqs_fifo_changed(struct lsqs_queue *q, int64_t id, int64_t visible_at_ms)
{
    struct member *m = q->groups ? find_member(q->groups, id) : NULL;
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
    struct group *g = f->current;
    f->current = NULL;
    f->at = NULL;
    if (g && g->first) {
        g->next_aside = f->aside;
        f->aside = g;
    } else if (g) {
        free_group(f, g);
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
        pull(f, f->current);
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
    for (struct group *g = f->aside, *next; g; g = next) {
        next = g->next_aside;
        push(f, g);
    }
    f->aside = NULL;
    wake(q);
}
