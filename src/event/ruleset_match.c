/* One event against a set: one walk over its text, which is checked on the way. ruleset_impl.h says how it is thought.
 */
#include <string.h>

#include "base/json_read.h"
#include "event/ruleset_impl.h"
#include "event/ruleset_list.h"

/* ---- names ---- */

static uint32_t
child_of(const struct event_rules *set, const struct ruleset_node *node, struct slice name)
{
    const uint32_t *children = set->children + node->children.first;
    if (node->children.n <= 4) {
        for (uint32_t i = 0; i < node->children.n; i++)
            if (slice_equals(set->nodes[children[i]].name, name))
                return children[i];
        return RULESET_NONE;
    }
    for (size_t n = node->children.n; n > 0;) {
        size_t half = n / 2;
        int order = ruleset_compare_names(name, set->nodes[children[half]].name);
        if (order == 0)
            return children[half];
        if (order > 0) {
            children += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return RULESET_NONE;
}

static uint32_t
follow(const struct event_rules *set, const struct ruleset_node *node, struct slice names)
{
    const char *dot = memchr(names.p, '.', names.n);
    if (!dot)
        return child_of(set, node, names);
    for (;;) {
        size_t n = dot ? (size_t)(dot - names.p) : names.n;
        uint32_t child = child_of(set, node, slice_of(names.p, n));
        if (child == RULESET_NONE || !dot)
            return child;
        node = &set->nodes[child];
        names = slice_of(dot + 1, names.n - n - 1);
        dot = names.n > 0 ? memchr(names.p, '.', names.n) : NULL;
    }
}

static void
collide(struct ruleset_matcher *m, uint32_t node)
{
    if (m->n_collided == sizeof m->collided / sizeof *m->collided)
        m->search_all = true;
    else
        m->collided[m->n_collided++] = node;
}

/* Notes that the node was come to; the elements of an array there, and anything else, are two ways to it. */
static void
enter(struct ruleset_matcher *m, uint32_t node, bool array)
{
    uint64_t *entered = &m->s->entered[node], was = *entered;
    if (was / 4 != m->scope)
        *entered = m->scope * 4 | (array ? RULESET_ARRAY : 0);
    else if (array) {
        *entered |= RULESET_ARRAY;
        if (was & RULESET_AGAIN)
            collide(m, node);
    } else {
        *entered |= RULESET_AGAIN;
        if (was & RULESET_ARRAY)
            collide(m, node);
    }
}

static uint32_t
follow_key(struct ruleset_matcher *m, uint32_t node, struct json key)
{
    struct slice names = json_raw(key);
    if (!json_is_plain(key)) {
        char *out = m->s->buffers->head; /* no value is being looked at */
        if (!json_decode_into(key, out, sizeof m->s->buffers->head, &names.n))
            return RULESET_NONE;
        names.p = out;
    }
    uint32_t child = follow(m->set, &m->set->nodes[node], names);
    if (child != RULESET_NONE)
        for (uint32_t i = child; i != node; i = m->set->nodes[i].parent)
            if (m->set->nodes[i].choice)
                enter(m, i, false);
    return child;
}

/* ---- the walk ---- */

static void visit(struct ruleset_matcher *m, struct json_reader *r, uint32_t node);

static void
visit_members(struct ruleset_matcher *m, struct json_reader *r, uint32_t node)
{
    struct json key;
    json_read_enter(r);
    while (json_read_member(r, &key)) {
        uint32_t child = follow_key(m, node, key);
        if (child == RULESET_NONE)
            json_read_take(r);
        else
            visit(m, r, child);
    }
}

/* Ends the scope of an array's element: what is whole at the array's node is found in the scope around it. */
static void
leave_element(struct ruleset_matcher *m, uint32_t node, uint32_t outer_base)
{
    struct event_scratch *s = m->s;
    uint32_t from = m->base, to = s->n_items;
    int32_t depth = m->set->nodes[node].depth;
    ruleset_forget(s, from);
    m->base = outer_base;
    for (uint32_t i = from; i < to; i++) {
        struct ruleset_item item = s->items[i];
        if (item.id < m->set->n_parts) {
            const struct ruleset_part *part = &m->set->parts[item.id];
            bool own = part->parts.n == 0 && part->node == node;
            int32_t level = own ? 2 * depth : 2 * depth + 1;
            item.level = level < item.level ? level : item.level;
            if (part->top >= item.level)
                continue;
        }
        ruleset_found(m, item.id, item.level, item.rank);
    }
}

/* Ends an array: what was found by a field behind one that has to be missing counts only if that is missing in all of
 * the array. */
static void
leave_array(struct ruleset_matcher *m, uint32_t outer_base)
{
    struct event_scratch *s = m->s;
    uint32_t from = m->base, to = s->n_items;
    for (uint32_t i = from; i < to; i++) {
        struct ruleset_item *item = &s->items[i];
        if (item->id >= m->set->n_parts)
            continue;
        const struct ruleset_run run = m->set->parts[item->id].absents;
        for (uint32_t k = 0; k < run.n && m->set->absents[run.first + k].rank < item->rank; k++)
            if (ruleset_is_found(m, m->set->absents[run.first + k].item))
                item->level = -1;
    }
    ruleset_forget(s, from);
    m->base = outer_base;
    for (uint32_t i = from; i < to; i++) {
        struct ruleset_item item = s->items[i];
        if (item.level >= 0)
            ruleset_found(m, item.id, item.level, item.rank);
    }
}

/* An array whose elements are scopes. Scalars directly in it are no choice: they are found around it. */
static void
visit_choices(struct ruleset_matcher *m, struct json_reader *r, uint32_t node)
{
    const struct ruleset_node *n = &m->set->nodes[node];
    uint32_t outer_base = m->base, array_base;
    uint64_t outer_scope = m->scope, *entered = &m->s->entered[node], outer_entered;
    bool chosen = false;
    if (n->absents)
        m->base = m->s->n_items;
    array_base = m->base;
    while (json_read_element(r)) {
        enum json_type type = json_read_type(r);
        if (type != JSON_OBJECT && type != JSON_ARRAY) {
            visit(m, r, node);
            continue;
        }
        if (!chosen)
            enter(m, node, true);
        chosen = true;
        outer_entered = *entered;
        m->base = m->s->n_items;
        m->scope = ++m->s->n_scopes;
        visit(m, r, node); /* which may be an array at this node as well */
        ruleset_conclude(m, 2 * n->depth);
        leave_element(m, node, array_base);
        m->scope = outer_scope;
        *entered = outer_entered;
    }
    if (n->absents)
        leave_array(m, outer_base);
}

static void
visit_array(struct ruleset_matcher *m, struct json_reader *r, uint32_t node)
{
    const struct ruleset_node *n = &m->set->nodes[node];
    json_read_enter(r);
    if (n->choice && n->children.n > 0) {
        visit_choices(m, r, node);
        return;
    }
    while (json_read_element(r))
        visit(m, r, node);
}

/* The value in front of r, which is one of the node's. */
static void
visit(struct ruleset_matcher *m, struct json_reader *r, uint32_t node)
{
    const struct ruleset_node *n = &m->set->nodes[node];
    switch (json_read_type(r)) {
    case JSON_OBJECT:
        if (n->children.n > 0)
            visit_members(m, r, node);
        else
            json_read_take(r);
        break;
    case JSON_ARRAY:
        visit_array(m, r, node);
        break;
    default: {
        struct json value = json_read_take(r);
        if (n->index != RULESET_NONE && !json_read_has_failed(r))
            ruleset_look_up(m, n, value);
    }
    }
}

/* ---- the whole ---- */

static void
note_hits(struct ruleset_matcher *m, uint32_t part)
{
    const struct ruleset_run run = m->set->parts[part].rules;
    for (uint32_t i = 0; i < run.n; i++) {
        uint32_t pattern = m->set->links[run.first + i];
        m->s->hits[pattern / 64] |= UINT64_C(1) << pattern % 64;
    }
}

/* The dotted path of a node, written to the end of out. */
static struct slice
path_of(const struct event_rules *set, uint32_t node, char *out, size_t size)
{
    size_t at = size;
    for (; node != 0; node = set->nodes[node].parent) {
        struct slice name = set->nodes[node].name;
        if (at < size)
            out[--at] = '.';
        at -= name.n;
        memcpy(out + at, name.p, name.n);
    }
    return slice_of(out + at, size - at);
}

static bool
has_choice_below(const struct pattern *p, struct slice path)
{
    for (size_t r = 0; r < p->n_rules; r++) {
        size_t below = 0;
        for (size_t i = 0; i < p->rules[r].n_fields; i++) {
            struct slice field = p->rules[r].fields[i]->path;
            below += slice_starts_with(field, path) && (field.n == path.n || field.p[path.n] == '.');
        }
        if (below > 1)
            return true;
    }
    return false;
}

/* Where an event spells the way to an array in two ways. */
static void
search(struct ruleset_matcher *m, struct json event)
{
    const struct event_rules *set = m->set;
    char *out = m->s->buffers->tail;
    uint64_t steps = RULESET_SEARCH_PATTERNS * ruleset_search_steps(event);
    for (uint32_t i = 0; i < set->n_patterns; i++) {
        bool concerned = m->search_all;
        for (uint32_t k = 0; k < m->n_collided && !concerned; k++)
            concerned =
                has_choice_below(set->patterns[i], path_of(set, m->collided[k], out, sizeof m->s->buffers->tail));
        if (!concerned)
            continue;
        m->s->hits[i / 64] &= ~(UINT64_C(1) << i % 64);
        if (ruleset_search(set->patterns[i], event, &steps, &m->s->gave_up))
            m->s->hits[i / 64] |= UINT64_C(1) << i % 64;
    }
}

int
ruleset_match(const struct event_rules *set, struct event_scratch *s, struct slice event, struct err *e)
{
    struct ruleset_matcher m = {.set = set, .s = s, .scope = ++s->n_scopes};
    struct json_reader r = json_reader(event);
    const char *start = r.at;
    s->gave_up = false;
    bool object = json_read_type(&r) == JSON_OBJECT;
    if (object)
        visit_members(&m, &r, 0);
    else
        json_read_take(&r);
    const char *after = r.at;
    int rc = json_read_end(&r, e);
    if (rc != 0)
        rc = err_prefix(e, rc, "Event is not valid. Reason");
    else if (!object)
        rc = err_set(e, ERR_INVALID, "Event is not valid. Reason: It is not a JSON object");
    if (rc == 0) {
        ruleset_conclude(&m, 0);
        memset(s->hits, 0, (set->n_patterns + 63) / 64 * sizeof *s->hits);
        for (uint32_t i = 0; i < s->n_items; i++)
            if (s->items[i].id < set->n_parts)
                note_hits(&m, s->items[i].id);
        for (uint32_t i = 0; i < set->nullable.n; i++) {
            uint32_t part = set->links[set->nullable.first + i];
            if (!ruleset_is_found(&m, part) && ruleset_is_absent(&m, &set->parts[part]))
                note_hits(&m, part);
        }
    }
    ruleset_forget(s, 0);
    if (rc == 0 && (m.n_collided > 0 || m.search_all))
        search(&m, (struct json){.text = slice_of(start, (size_t)(after - start)), .type = JSON_OBJECT});
    return rc;
}
