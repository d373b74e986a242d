/* From the rules of many patterns to nodes and parts (ruleset_impl.h says what those are). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "event/ruleset_builder.h"

/* ---- nodes ---- */

static uint32_t
add_node(struct ruleset_builder *b, uint32_t parent, struct slice name)
{
    struct ruleset_node node = {.name = name,
                                .parent = parent,
                                .index = RULESET_NONE,
                                .absence = RULESET_NONE,
                                .depth = (uint16_t)(b->nodes.n > 0 ? ruleset_node_at(b, parent)->depth + 1 : 0)};
    if (node.depth > b->max_depth)
        b->max_depth = node.depth;
    return list_add(&b->nodes, &node, sizeof node);
}

static uint32_t
node_of_path(struct ruleset_builder *b, struct slice path)
{
    uint32_t node = 0;
    for (;;) {
        const char *dot = path.n > 0 ? memchr(path.p, '.', path.n) : NULL;
        struct slice name = slice_of(path.p, dot ? (size_t)(dot - path.p) : path.n);
        buf_reset(&b->key);
        buf_add(&b->key, &node, sizeof node);
        buf_add_slice(&b->key, name);
        uint32_t *child = list_name(&b->children, buf_slice(&b->key));
        if (!child || buf_failed(&b->key))
            return RULESET_NONE;
        if (*child == LIST_NEW)
            *child = add_node(b, node, name);
        if (*child == RULESET_NONE || !dot)
            return *child;
        node = *child;
        path = slice_of(dot + 1, path.n - name.n - 1);
    }
}

static int
compare_children(const void *a, const void *b, void *set)
{
    const struct ruleset_node *nodes = ((const struct event_rules *)set)->nodes;
    return ruleset_compare_names(nodes[*(const uint32_t *)a].name, nodes[*(const uint32_t *)b].name);
}

static void
flatten_children(struct event_rules *set)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < set->n_nodes; i++)
        set->nodes[set->nodes[i].parent].children.n++;
    for (uint32_t i = 0; i < set->n_nodes; i++) {
        set->nodes[i].children.first = at;
        at += set->nodes[i].children.n;
        set->nodes[i].children.n = 0;
    }
    for (uint32_t i = 1; i < set->n_nodes; i++) {
        struct ruleset_run *run = &set->nodes[set->nodes[i].parent].children;
        set->children[run->first + run->n++] = i;
    }
    for (uint32_t i = 0; i < set->n_nodes; i++) {
        const struct ruleset_run *run = &set->nodes[i].children;
        qsort_r(set->children + run->first, run->n, sizeof *set->children, compare_children, set);
    }
}

/* ---- rules ---- */

/* Names in front of what starts with them, and all that is below a node in a row. */
static int
compare_members(const void *a, const void *b)
{
    struct slice x = ((const struct ruleset_member *)a)->field->path,
                 y = ((const struct ruleset_member *)b)->field->path;
    size_t n = x.n < y.n ? x.n : y.n, i = 0;
    while (i < n && x.p[i] == y.p[i])
        i++;
    if (i == n)
        return (x.n > y.n) - (x.n < y.n);
    if (x.p[i] == '.' || y.p[i] == '.')
        return x.p[i] == '.' ? -1 : 1;
    return (unsigned char)x.p[i] < (unsigned char)y.p[i] ? -1 : 1;
}

static uint32_t
common_depth(struct slice x, struct slice y)
{
    uint32_t depth = 0;
    size_t n = x.n < y.n ? x.n : y.n, i = 0;
    for (; i < n && x.p[i] == y.p[i]; i++)
        depth += x.p[i] == '.';
    return depth + (i == n && (i == x.n || x.p[i] == '.') && (i == y.n || y.p[i] == '.'));
}

static void
mark_choices(struct ruleset_builder *b, uint32_t node, uint32_t depth)
{
    while (ruleset_node_at(b, node)->depth > depth)
        node = ruleset_node_at(b, node)->parent;
    for (; !ruleset_node_at(b, node)->choice; node = ruleset_node_at(b, node)->parent)
        ruleset_node_at(b, node)->choice = true;
}

static bool
add_rule(struct ruleset_builder *b, const struct pattern_rule *rule, uint32_t pattern)
{
    b->members.n = 0;
    for (size_t i = 0; i < rule->n_fields; i++) {
        struct ruleset_member m = {.field = rule->fields[i], .node = node_of_path(b, rule->fields[i]->path)};
        m.leaf = m.node == RULESET_NONE ? RULESET_NONE : ruleset_leaf_of(b, m.field, m.node);
        if (m.leaf == RULESET_NONE)
            return false;
        m.depth = ruleset_node_at(b, m.node)->depth;
        if (list_add(&b->members, &m, sizeof m) == RULESET_NONE)
            return false;
    }
    struct ruleset_member *m = b->members.items;
    qsort(m, b->members.n, sizeof *m, compare_members);
    for (uint32_t i = 0; i + 1 < b->members.n; i++) {
        m[i].common = common_depth(m[i].field->path, m[i + 1].field->path);
        mark_choices(b, m[i].node, m[i].common);
    }
    uint32_t part = ruleset_part_of(b, 0, b->members.n);
    if (part == RULESET_NONE ||
        list_add(&b->hits, &(struct ruleset_pair){part, pattern}, sizeof(struct ruleset_pair)) == RULESET_NONE)
        return false;
    ruleset_part_at(b, part)->top = -1;
    return true;
}

/* ---- the end ---- */

/* Groups pairs by what they are of into runs of links. */
static bool
group(struct ruleset_builder *b, struct list *pairs, size_t offset)
{
    const struct ruleset_pair *p = pairs->items;
    uint32_t first = b->links.n;
    for (uint32_t i = 0; i < pairs->n; i++) {
        ((struct ruleset_run *)((char *)ruleset_part_at(b, p[i].of) + offset))->n++;
        if (list_add(&b->links, &p[i].to, sizeof p[i].to) == RULESET_NONE)
            return false;
    }
    for (uint32_t i = 0; i < b->parts.n; i++) {
        struct ruleset_run *run = (struct ruleset_run *)((char *)ruleset_part_at(b, i) + offset);
        run->first = first;
        first += run->n;
        run->n = 0;
    }
    for (uint32_t i = 0; i < pairs->n; i++) {
        struct ruleset_run *run = (struct ruleset_run *)((char *)ruleset_part_at(b, p[i].of) + offset);
        ((uint32_t *)b->links.items)[run->first + run->n++] = p[i].to;
    }
    return true;
}

static int
compare_absents(const void *a, const void *b)
{
    const struct ruleset_absent *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* A join comes after its parts in the list, so theirs are known. */
static bool
collect_absents(struct ruleset_builder *b, struct list *absents, uint32_t part)
{
    struct ruleset_part *p = ruleset_part_at(b, part);
    p->absents.first = absents->n;
    if (p->parts.n == 0 && p->nullable) {
        const struct ruleset_node *node = ruleset_node_at(b, p->node);
        struct ruleset_absent absent = {.item = node->absence, .rank = node->rank};
        if (list_add(absents, &absent, sizeof absent) == RULESET_NONE)
            return false;
    }
    for (uint32_t i = 0; i < p->parts.n; i++) {
        struct ruleset_run run = ruleset_part_at(b, ((uint32_t *)b->links.items)[p->parts.first + i])->absents;
        assert(run.n == 0 || absents->items);
        for (uint32_t k = 0; k < run.n; k++) {
            struct ruleset_absent absent = ((struct ruleset_absent *)absents->items)[run.first + k];
            if (list_add(absents, &absent, sizeof absent) == RULESET_NONE)
                return false;
        }
    }
    p->absents.n = absents->n - p->absents.first;
    if (p->absents.n > 1)
        qsort((struct ruleset_absent *)absents->items + p->absents.first, p->absents.n, sizeof(struct ruleset_absent),
              compare_absents);
    return true;
}

static int
compare_leaves(const void *a, const void *b)
{
    return pattern_compare_paths(((const struct ruleset_leaf *)a)->field->path,
                                 ((const struct ruleset_leaf *)b)->field->path);
}

/* Ranks, and the items that say that there is a value. */
static bool
rank_nodes(struct ruleset_builder *b)
{
    struct ruleset_leaf *sorted = malloc((b->leaves.n + 1) * sizeof *sorted);
    if (!sorted)
        return false;
    if (b->leaves.n > 0)
        memcpy(sorted, b->leaves.items, b->leaves.n * sizeof *sorted);
    qsort(sorted, b->leaves.n, sizeof *sorted, compare_leaves);
    b->set->n_items = b->parts.n;
    for (uint32_t i = 0; i < b->leaves.n; i++) {
        struct ruleset_node *node = ruleset_node_at(b, sorted[i].node);
        node->rank = i;
        if (!sorted[i].field->absent || node->absence != RULESET_NONE)
            continue;
        node->absence = b->set->n_items++;
        for (; !node->absents; node = ruleset_node_at(b, node->parent))
            node->absents = true;
    }
    /* Leaves of one node follow each other; the last one's rank is the node's. */
    free(sorted);
    return true;
}

static bool
collect(struct ruleset_builder *b, struct list *absents)
{
    struct event_rules *set = b->set;
    if (!rank_nodes(b))
        return false;
    for (uint32_t i = 0; i < b->parts.n; i++)
        if (!collect_absents(b, absents, i) || (ruleset_part_at(b, i)->parts.n > 0 && !ruleset_choose_triggers(b, i)))
            return false;
    for (uint32_t i = 0; i < b->parts.n; i++)
        ruleset_part_at(b, i)->rules = (struct ruleset_run){0, 0};
    if (!group(b, &b->triggers, offsetof(struct ruleset_part, triggers)) ||
        !group(b, &b->hits, offsetof(struct ruleset_part, rules)))
        return false;
    set->nullable.first = b->links.n;
    for (uint32_t i = 0; i < b->parts.n; i++)
        if (ruleset_part_at(b, i)->nullable && ruleset_part_at(b, i)->rules.n > 0 &&
            list_add(&b->links, &i, sizeof i) == RULESET_NONE)
            return false;
    set->nullable.n = b->links.n - set->nullable.first;
    set->children = malloc((b->nodes.n + 1) * sizeof *set->children);
    return set->children != NULL;
}

int
ruleset_build(struct event_rules *set, struct err *e)
{
    struct ruleset_builder b = {.set = set};
    struct list absents = {0};
    bool done = add_node(&b, 0, SLICE("")) != RULESET_NONE;
    if (done)
        ruleset_node_at(&b, 0)->choice = ruleset_node_at(&b, 0)->absents = true; /* where climbing ends */
    for (size_t i = 0; done && i < set->n_patterns; i++)
        for (size_t k = 0; done && k < set->patterns[i]->n_rules; k++)
            done = add_rule(&b, &set->patterns[i]->rules[k], (uint32_t)i);
    done = done && collect(&b, &absents);
    set->n_nodes = b.nodes.n;
    set->n_parts = b.parts.n;
    set->n_levels = 2 * b.max_depth + 2;
    set->nodes = list_take(&b.nodes);
    set->parts = list_take(&b.parts);
    set->links = list_take(&b.links);
    set->absents = list_take(&absents);
    int rc = done && set->nodes && set->parts && set->links && set->absents ? 0 : err_no_memory(e);
    if (rc == 0) {
        flatten_children(set);
        rc = ruleset_build_indexes(set, b.leaves.items, b.leaves.n, e);
    }
    list_free(&b.leaves);
    list_free(&b.members);
    list_free(&b.stack);
    list_free(&b.triggers);
    list_free(&b.hits);
    list_names_free(&b.children);
    list_names_free(&b.known);
    buf_clean_up(&b.key);
    return rc;
}
