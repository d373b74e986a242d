#include "local/sqs_fifo_groups.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 64

/* ---- the heap ---------------------------------------------------------------------------------------------------- */

static bool
is_before(const struct lsqs_fifo_place *x, const struct lsqs_fifo_place *y)
{
    return x->visible_at_ms != y->visible_at_ms ? x->visible_at_ms < y->visible_at_ms : x->id < y->id;
}

static void
put_at(struct lsqs_fifo *f, const struct lsqs_fifo_place *p, size_t place)
{
    f->heap[place] = *p;
    p->group->place = place;
}

/* Moves a group to where it belongs from a place that is free, or its own. */
void
lsqs_groups_sift(struct lsqs_fifo *f, struct lsqs_fifo_group *g, size_t place)
{
    const struct lsqs_fifo_place p = {g->first->visible_at_ms, g->first->id, g};
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
void
lsqs_groups_push(struct lsqs_fifo *f, struct lsqs_fifo_group *g)
{
    lsqs_groups_sift(f, g, ++f->heap_n);
}

void
lsqs_groups_pull(struct lsqs_fifo *f, struct lsqs_fifo_group *g)
{
    size_t place = g->place;
    struct lsqs_fifo_group *last = f->heap[f->heap_n--].group;
    g->place = 0;
    if (last != g)
        lsqs_groups_sift(f, last, place);
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

static size_t
member_place(const struct lsqs_fifo *f, int64_t id)
{
    return (size_t)((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (f->n_member_places - 1);
}

struct lsqs_fifo_member *
lsqs_groups_find(const struct lsqs_fifo *f, int64_t id)
{
    struct lsqs_fifo_member *m = f->n_member_places ? f->members[member_place(f, id)] : NULL;
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
    if (!(larger.members = calloc(larger.n_member_places, sizeof(struct lsqs_fifo_member *))))
        return false;
    for (size_t i = 0; i < f->n_member_places; i++)
        for (struct lsqs_fifo_member *m = f->members[i], *next; m; m = next) {
            struct lsqs_fifo_member **place = &larger.members[member_place(&larger, m->id)];
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
    struct lsqs_fifo_group **groups = calloc(n, sizeof(struct lsqs_fifo_group *));
    if (!groups)
        return false;
    for (size_t i = 0; i < f->n_group_places; i++)
        for (struct lsqs_fifo_group *g = f->groups[i], *next; g; g = next) {
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
    struct lsqs_fifo_place *heap = realloc(f->heap, room * sizeof *heap);
    if (!heap)
        return false;
    f->heap = heap;
    f->heap_room = room;
    return true;
}

/* The group of that name, made when there is none; NULL: no memory. */
static struct lsqs_fifo_group *
get_group(struct lsqs_fifo *f, struct slice name)
{
    if (!name.p)
        name = SLICE("");
    uint64_t hash = hash_of(name);
    struct lsqs_fifo_group *g = f->n_group_places ? f->groups[hash & (f->n_group_places - 1)] : NULL;
    while (g && (g->hash != hash || g->n != name.n || memcmp(g->name, name.p, name.n) != 0))
        g = g->next;
    if (g)
        return g;
    if (!grow_groups(f) || !grow_heap(f) || !(g = malloc(sizeof *g + name.n)))
        return NULL;
    struct lsqs_fifo_group **place = &f->groups[hash & (f->n_group_places - 1)];
    *g = (struct lsqs_fifo_group){.hash = hash, .n = name.n, .next = *place};
    memcpy(g->name, name.p, name.n);
    *place = g;
    f->n_groups++;
    return g;
}

/* It has no message left, and is not in the heap. */
void
lsqs_groups_free(struct lsqs_fifo *f, struct lsqs_fifo_group *g)
{
    struct lsqs_fifo_group **at = &f->groups[g->hash & (f->n_group_places - 1)];
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    f->n_groups--;
    free(g);
}

bool
lsqs_groups_add(struct lsqs_fifo *f, int64_t id, int64_t visible_at_ms, struct slice group_id)
{
    struct lsqs_fifo_group *g;
    struct lsqs_fifo_member *m;
    if (!grow_members(f) || !(m = malloc(sizeof *m)))
        return false;
    if (!(g = get_group(f, group_id))) {
        free(m);
        return false;
    }
    struct lsqs_fifo_member **place = &f->members[member_place(f, id)];
    *m = (struct lsqs_fifo_member){
        .id = id, .visible_at_ms = visible_at_ms, .group = g, .before = g->last, .next = *place};
    *place = m;
    f->n_members++;
    f->last_id = id;
    if (g->last)
        g->last->after = m;
    else
        g->first = m;
    g->last = m;
    if (g->first == m)
        lsqs_groups_push(f, g);
    return true;
}

void
lsqs_groups_remove(struct lsqs_fifo *f, struct lsqs_fifo_member *m)
{
    struct lsqs_fifo_group *g = m->group;
    struct lsqs_fifo_member **at = &f->members[member_place(f, m->id)];
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    f->n_members--;
    *(m->before ? &m->before->after : &g->first) = m->after;
    *(m->after ? &m->after->before : &g->last) = m->before;
    free(m);
}
