#include "lib/order_witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is known of a message. */
enum { BEGUN = 1, ENDED = 2, EXCUSED = 4 };

struct witnessed_group {
    unsigned char *known;
    size_t n, capacity; /* places below n are known of */
    size_t all_begun;   /* those below have been begun, or are excused */
    size_t all_ended;   /* those below have ended, or are excused */
    size_t after_last;  /* the last that has ended, and one */
    size_t ended;
};

struct order_witness {
    struct witnessed_group *groups;
    size_t n_groups;
    size_t ended;
    bool strict;
    char text[200];
};

struct order_witness *
order_witness_new(void)
{
    struct order_witness *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    return w;
}

void
order_witness_destroy(struct order_witness *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_groups; i++)
        free(w->groups[i].known);
    free(w->groups);
    free(w);
}

void
order_witness_be_strict(struct order_witness *w)
{
    w->strict = true;
}

static struct witnessed_group *
group_of(struct order_witness *w, size_t group)
{
    if (group >= w->n_groups) {
        w->groups = realloc(w->groups, (group + 1) * sizeof *w->groups);
        if (!w->groups)
            abort();
        memset(w->groups + w->n_groups, 0, (group + 1 - w->n_groups) * sizeof *w->groups);
        w->n_groups = group + 1;
    }
    return &w->groups[group];
}

static unsigned char *
known_of(struct witnessed_group *g, size_t place)
{
    if (place >= g->capacity) {
        size_t capacity = place < 32 ? 64 : 2 * place;
        g->known = realloc(g->known, capacity);
        if (!g->known)
            abort();
        memset(g->known + g->capacity, 0, capacity - g->capacity);
        g->capacity = capacity;
    }
    if (place >= g->n)
        g->n = place + 1;
    return &g->known[place];
}

static void
go_on(struct witnessed_group *g)
{
    while (g->all_begun < g->n && g->known[g->all_begun] & (BEGUN | ENDED | EXCUSED))
        g->all_begun++;
    while (g->all_ended < g->n && g->known[g->all_ended] & (ENDED | EXCUSED))
        g->all_ended++;
}

void
order_witness_excuse(struct order_witness *w, size_t group, size_t place)
{
    struct witnessed_group *g = group_of(w, group);
    *known_of(g, place) |= EXCUSED;
    go_on(g);
}

const char *
order_witness_begins(struct order_witness *w, size_t group, size_t place)
{
    struct witnessed_group *g = group_of(w, group);
    unsigned char *known = known_of(g, place);
    if (*known & EXCUSED)
        return NULL;
    const char *wrong = NULL;
    size_t other = 0;
    if (!(*known & BEGUN) && place > g->all_begun) {
        wrong = "before one sent earlier, which was never begun:";
        other = g->all_begun;
    } else if (place + 1 < g->after_last) {
        wrong = "after one sent later had ended:";
        other = g->after_last - 1;
    } else if (w->strict && place > g->all_ended) {
        wrong = "before one sent earlier had ended:";
        other = g->all_ended;
    }
    *known |= BEGUN;
    go_on(g);
    if (!wrong)
        return NULL;
    snprintf(w->text, sizeof w->text, "message %zu of group %zu is handled %s %zu", place, group, wrong, other);
    return w->text;
}

void
order_witness_ends(struct order_witness *w, size_t group, size_t place)
{
    struct witnessed_group *g = group_of(w, group);
    unsigned char *known = known_of(g, place);
    g->ended += !(*known & ENDED);
    w->ended += !(*known & ENDED);
    *known |= ENDED;
    if (!(*known & EXCUSED) && place >= g->after_last)
        g->after_last = place + 1;
    go_on(g);
}

size_t
order_witness_ended(const struct order_witness *w, size_t group)
{
    return group < w->n_groups ? w->groups[group].ended : 0;
}

size_t
order_witness_all_ended(const struct order_witness *w)
{
    return w->ended;
}
