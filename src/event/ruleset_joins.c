/* What was found in an event so far, and the joins that follow from it (ruleset_impl.h, parts and scopes). */
#include "event/ruleset_impl.h"

/* ---- items ---- */

void
ruleset_found(struct ruleset_matcher *m, uint32_t id, int32_t level, uint32_t rank)
{
    struct event_scratch *s = m->s;
    uint32_t where = s->where[id];
    if (where > m->base) {
        struct ruleset_item *item = &s->items[where - 1];
        item->level = level > item->level ? level : item->level;
        item->rank = rank < item->rank ? rank : item->rank;
        return;
    }
    if (s->n_items == s->room) {
        m->search_all = true;
        return;
    }
    s->items[s->n_items] = (struct ruleset_item){.id = id, .hidden = where, .level = level, .rank = rank};
    s->where[id] = ++s->n_items;
}

void
ruleset_forget(struct event_scratch *s, uint32_t n)
{
    while (s->n_items > n) {
        s->n_items--;
        s->where[s->items[s->n_items].id] = s->items[s->n_items].hidden;
    }
}

/* ---- joins ---- */

bool
ruleset_is_absent(const struct ruleset_matcher *m, const struct ruleset_part *part)
{
    const struct ruleset_absent *absents = m->set->absents + part->absents.first;
    if (!part->nullable)
        return false;
    for (uint32_t i = 0; i < part->absents.n; i++)
        if (ruleset_is_found(m, absents[i].item))
            return false;
    return true;
}

/* Whether the join is found already: in this scope, or around it by an element before, and then good for all that it is
 * good for at all. (What may be missing has to be judged in each element.) */
static bool
is_known(const struct ruleset_matcher *m, uint32_t join)
{
    const struct ruleset_part *part = &m->set->parts[join];
    uint32_t where = m->s->where[join];
    return where > m->base || (where > 0 && part->absents.n == 0 && m->s->items[where - 1].level > part->bottom);
}

/* Notes the joins that this item is the trigger of, to be looked at when all that is below them is known. */
static void
trigger(struct ruleset_matcher *m, uint32_t id, int32_t level, int32_t floor)
{
    const struct event_rules *set = m->set;
    struct event_scratch *s = m->s;
    if (id >= set->n_parts)
        return;
    const uint32_t *joins = set->links + set->parts[id].triggers.first;
    for (uint32_t i = 0; i < set->parts[id].triggers.n; i++) {
        uint32_t join = joins[i];
        int32_t at = set->parts[join].level;
        if (at < floor || at >= level || s->next_candidate[join] != 0 || is_known(m, join))
            continue;
        s->next_candidate[join] = s->candidates[at] ? s->candidates[at] : RULESET_NONE;
        s->candidates[at] = join + 1;
        s->levels[at / 64] |= UINT64_C(1) << at % 64;
    }
}

static void
look_at(struct ruleset_matcher *m, uint32_t join, int32_t floor)
{
    const struct ruleset_part *q = &m->set->parts[join];
    const uint32_t *parts = m->set->links + q->parts.first;
    uint32_t rank = UINT32_MAX;
    for (uint32_t i = 0; i < q->parts.n; i++) {
        const struct ruleset_item *item =
            ruleset_is_found(m, parts[i]) ? &m->s->items[m->s->where[parts[i]] - 1] : NULL;
        if (item && item->level > q->level)
            rank = item->rank < rank ? item->rank : rank;
        else if (!ruleset_is_absent(m, &m->set->parts[parts[i]]))
            return;
    }
    ruleset_found(m, join, q->level, rank);
    trigger(m, join, q->level, floor);
}

void
ruleset_conclude(struct ruleset_matcher *m, int32_t floor)
{
    struct event_scratch *s = m->s;
    for (uint32_t i = m->base; i < s->n_items; i++)
        trigger(m, s->items[i].id, s->items[i].level, floor);
    for (int32_t word = (int32_t)((m->set->n_levels - 1) / 64); word >= floor / 64; word--) {
        while (s->levels[word]) {
            int bit = 63 - __builtin_clzll(s->levels[word]);
            int32_t level = word * 64 + bit;
            s->levels[word] &= ~(UINT64_C(1) << bit);
            while (s->candidates[level]) {
                uint32_t join = s->candidates[level] - 1, next = s->next_candidate[join];
                s->candidates[level] = next == RULESET_NONE ? 0 : next;
                s->next_candidate[join] = 0;
                look_at(m, join, floor);
            }
        }
    }
}
