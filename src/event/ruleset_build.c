/* From the rules of many patterns to nodes and parts (ruleset_impl.h says what those are). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "event/ruleset_impl.h"
#include "event/ruleset_list.h"

/* A field of the rule at hand. */
struct member {
    const struct pattern_field *field;
    uint32_t leaf, node;
    uint32_t depth;
    uint32_t common; /* depth of the last node that this one's and the next one's way have in common */
};

struct pair {
    uint32_t of, to;
};

struct builder {
    struct event_rules *set;
    struct list nodes, parts, links, leaves, members, stack, triggers, hits;
    struct list_names children; /* (parent, name) to node */
    struct list_names known;    /* what a part is made of to the part */
    struct buf key;
    uint32_t max_depth;
};

static struct ruleset_node *
node_at(struct builder *b, uint32_t i)
{
    return (struct ruleset_node *)b->nodes.items + i;
}

static struct ruleset_part *
part_at(struct builder *b, uint32_t i)
{
    return (struct ruleset_part *)b->parts.items + i;
}

/* ---- nodes ---- */

static uint32_t
add_node(struct builder *b, uint32_t parent, struct slice name)
{
    struct ruleset_node node = {.name = name,
                                .parent = parent,
                                .index = RULESET_NONE,
                                .absence = RULESET_NONE,
                                .depth = (uint16_t)(b->nodes.n > 0 ? node_at(b, parent)->depth + 1 : 0)};
    if (node.depth > b->max_depth)
        b->max_depth = node.depth;
    return list_add(&b->nodes, &node, sizeof node);
}

static uint32_t
node_of_path(struct builder *b, struct slice path)
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

static void
flatten_children(struct builder *b)
{
    struct event_rules *set = b->set;
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
        uint32_t k = run->first + run->n++;
        for (; k > run->first && ruleset_compare_names(set->nodes[set->children[k - 1]].name, set->nodes[i].name) > 0;
             k--)
            set->children[k] = set->children[k - 1];
        set->children[k] = i;
    }
}

/* ---- parts ---- */

static unsigned
weigh(const struct pattern_entry *entry)
{
    static const unsigned WEIGHTS[PATTERN_N_KINDS] = {
        [PATTERN_PREFIX] = 8,        [PATTERN_SUFFIX] = 8,          [PATTERN_PREFIX_FOLDED] = 8,
        [PATTERN_SUFFIX_FOLDED] = 8, [PATTERN_PREFIX_ANY_CASE] = 8, [PATTERN_SUFFIX_ANY_CASE] = 8,
        [PATTERN_WILDCARD] = 8,      [PATTERN_TRUE] = 16,           [PATTERN_FALSE] = 16,
        [PATTERN_NULL] = 16,         [PATTERN_EXISTS] = 256,
    };
    if (entry->absent || entry->but)
        return 256;
    const struct pattern_test *test = &entry->tests[0];
    if (test->kind >= PATTERN_NUMBER && test->kind <= PATTERN_IPV6)
        return test->low == test->high ? 1 : 32;
    return WEIGHTS[test->kind] ? WEIGHTS[test->kind] : 1;
}

/* How often a part is expected to be satisfied, compared with others: a guess. */
static unsigned
weigh_part(struct builder *b, uint32_t part)
{
    const struct ruleset_part *p = part_at(b, part);
    unsigned weight = 0;
    if (p->parts.n == 0) {
        const struct pattern_field *field =
            ((struct ruleset_leaf *)b->leaves.items)[part_at(b, part)->rules.first].field;
        for (size_t i = 0; i < field->n_entries; i++)
            weight += weigh(&field->entries[i]);
        return weight;
    }
    for (uint32_t i = 0; i < p->parts.n; i++) {
        unsigned w = weigh_part(b, ((uint32_t *)b->links.items)[p->parts.first + i]);
        weight = i == 0 || w < weight ? w : weight;
    }
    return weight;
}

static void
describe(struct builder *b, const struct pattern_field *field)
{
    for (size_t i = 0; i < field->n_entries; i++) {
        const struct pattern_entry *entry = &field->entries[i];
        char flags = (char)(entry->but | entry->absent << 1);
        buf_add_char(&b->key, flags);
        buf_add(&b->key, &entry->n_tests, sizeof entry->n_tests);
        for (size_t k = 0; k < entry->n_tests; k++) {
            const struct pattern_test *test = &entry->tests[k];
            buf_add(&b->key, &test->kind, sizeof test->kind);
            buf_add(&b->key, &test->low, sizeof test->low);
            buf_add(&b->key, &test->high, sizeof test->high);
            buf_add(&b->key, &test->text.n, sizeof test->text.n);
            buf_add_slice(&b->key, test->text);
        }
    }
}

static uint32_t
leaf_of(struct builder *b, const struct pattern_field *field, uint32_t node)
{
    buf_reset(&b->key);
    buf_add_char(&b->key, 'f');
    buf_add(&b->key, &node, sizeof node);
    describe(b, field);
    uint32_t *leaf = list_name(&b->known, buf_slice(&b->key));
    if (!leaf || buf_failed(&b->key))
        return RULESET_NONE;
    if (*leaf != LIST_NEW)
        return *leaf;
    struct ruleset_leaf entry = {.field = field, .node = node};
    struct ruleset_part part = {.node = node,
                                .level = 2 * node_at(b, node)->depth + 1,
                                .top = INT32_MAX,
                                .rules.first = b->leaves.n, /* until all parts are known */
                                .nullable = field->absent};
    *leaf = list_add(&b->parts, &part, sizeof part);
    if (list_add(&b->leaves, &entry, sizeof entry) == RULESET_NONE)
        *leaf = RULESET_NONE;
    return *leaf;
}

static uint32_t
join_of(struct builder *b, int32_t level, const uint32_t *parts, uint32_t n)
{
    buf_reset(&b->key);
    buf_add_char(&b->key, 'j');
    buf_add(&b->key, &level, sizeof level);
    buf_add(&b->key, parts, n * sizeof *parts);
    uint32_t *join = list_name(&b->known, buf_slice(&b->key));
    if (!join || buf_failed(&b->key))
        return RULESET_NONE;
    if (*join != LIST_NEW)
        return *join;
    struct ruleset_part part = {
        .node = RULESET_NONE, .level = level, .top = INT32_MAX, .parts = {b->links.n, n}, .nullable = true};
    for (uint32_t i = 0; i < n; i++) {
        struct ruleset_part *p = part_at(b, parts[i]);
        part.nullable = part.nullable && p->nullable;
        if (level < p->top)
            p->top = level;
        if (list_add(&b->links, &parts[i], sizeof parts[i]) == RULESET_NONE)
            return *join = RULESET_NONE;
    }
    return *join = list_add(&b->parts, &part, sizeof part);
}

/* The trigger of a join: of those that something must be found for the one that is satisfied least often; all of them
 * when it may be that nothing is found for some. */
static bool
choose_triggers(struct builder *b, uint32_t join)
{
    const struct ruleset_part *p = part_at(b, join);
    uint32_t best = RULESET_NONE;
    unsigned lightest = 0;
    for (uint32_t i = 0; i < p->parts.n; i++) {
        uint32_t part = ((uint32_t *)b->links.items)[p->parts.first + i];
        if (p->nullable) {
            if (list_add(&b->triggers, &(struct pair){part, join}, sizeof(struct pair)) == RULESET_NONE)
                return false;
        } else if (!part_at(b, part)->nullable) {
            unsigned weight = weigh_part(b, part);
            if (best == RULESET_NONE || weight < lightest) {
                best = part;
                lightest = weight;
            }
        }
    }
    return p->nullable || list_add(&b->triggers, &(struct pair){best, join}, sizeof(struct pair)) != RULESET_NONE;
}

/* The part that the members from..to of the rule are. */
static uint32_t
part_of(struct builder *b, uint32_t from, uint32_t to)
{
    const struct member *m = b->members.items;
    if (to - from == 1)
        return m[from].leaf;
    uint32_t depth = m[from].common, base = b->stack.n, start = from, own = RULESET_NONE;
    for (uint32_t i = from; i + 1 < to; i++)
        depth = m[i].common < depth ? m[i].common : depth;
    if (m[from].depth == depth) {
        own = m[from].leaf;
        start++;
    }
    for (uint32_t i = start; i < to; i++) {
        if (i + 1 < to && m[i].common > depth)
            continue;
        uint32_t part = part_of(b, start, i + 1);
        if (part == RULESET_NONE || list_add(&b->stack, &part, sizeof part) == RULESET_NONE)
            return RULESET_NONE;
        start = i + 1;
    }
    uint32_t *below = (uint32_t *)b->stack.items + base, n = b->stack.n - base;
    uint32_t part = n == 1 ? below[0] : join_of(b, (int32_t)(2 * depth + 1), below, n);
    b->stack.n = base;
    if (own == RULESET_NONE || part == RULESET_NONE)
        return part;
    return join_of(b, (int32_t)(2 * depth), (uint32_t[]){own, part}, 2);
}

/* ---- rules ---- */

/* Names in front of what starts with them, and all that is below a node in a row. */
static int
compare_members(const void *a, const void *b)
{
    struct slice x = ((const struct member *)a)->field->path, y = ((const struct member *)b)->field->path;
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
mark_choices(struct builder *b, uint32_t node, uint32_t depth)
{
    while (node_at(b, node)->depth > depth)
        node = node_at(b, node)->parent;
    for (; !node_at(b, node)->choice; node = node_at(b, node)->parent)
        node_at(b, node)->choice = true;
}

static bool
add_rule(struct builder *b, const struct pattern_rule *rule, uint32_t pattern)
{
    b->members.n = 0;
    for (size_t i = 0; i < rule->n_fields; i++) {
        struct member m = {.field = rule->fields[i], .node = node_of_path(b, rule->fields[i]->path)};
        m.leaf = m.node == RULESET_NONE ? RULESET_NONE : leaf_of(b, m.field, m.node);
        if (m.leaf == RULESET_NONE)
            return false;
        m.depth = node_at(b, m.node)->depth;
        if (list_add(&b->members, &m, sizeof m) == RULESET_NONE)
            return false;
    }
    struct member *m = b->members.items;
    qsort(m, b->members.n, sizeof *m, compare_members);
    for (uint32_t i = 0; i + 1 < b->members.n; i++) {
        m[i].common = common_depth(m[i].field->path, m[i + 1].field->path);
        mark_choices(b, m[i].node, m[i].common);
    }
    uint32_t part = part_of(b, 0, b->members.n);
    if (part == RULESET_NONE || list_add(&b->hits, &(struct pair){part, pattern}, sizeof(struct pair)) == RULESET_NONE)
        return false;
    part_at(b, part)->top = -1;
    return true;
}

/* ---- the end ---- */

/* Groups pairs by what they are of into runs of links. */
static bool
group(struct builder *b, struct list *pairs, size_t offset)
{
    const struct pair *p = pairs->items;
    uint32_t first = b->links.n;
    for (uint32_t i = 0; i < pairs->n; i++) {
        ((struct ruleset_run *)((char *)part_at(b, p[i].of) + offset))->n++;
        if (list_add(&b->links, &p[i].to, sizeof p[i].to) == RULESET_NONE)
            return false;
    }
    for (uint32_t i = 0; i < b->parts.n; i++) {
        struct ruleset_run *run = (struct ruleset_run *)((char *)part_at(b, i) + offset);
        run->first = first;
        first += run->n;
        run->n = 0;
    }
    for (uint32_t i = 0; i < pairs->n; i++) {
        struct ruleset_run *run = (struct ruleset_run *)((char *)part_at(b, p[i].of) + offset);
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
collect_absents(struct builder *b, struct list *absents, uint32_t part)
{
    struct ruleset_part *p = part_at(b, part);
    p->absents.first = absents->n;
    if (p->parts.n == 0 && p->nullable) {
        const struct ruleset_node *node = node_at(b, p->node);
        struct ruleset_absent absent = {.item = node->absence, .rank = node->rank};
        if (list_add(absents, &absent, sizeof absent) == RULESET_NONE)
            return false;
    }
    for (uint32_t i = 0; i < p->parts.n; i++) {
        struct ruleset_run run = part_at(b, ((uint32_t *)b->links.items)[p->parts.first + i])->absents;
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
rank_nodes(struct builder *b)
{
    struct ruleset_leaf *sorted = malloc((b->leaves.n + 1) * sizeof *sorted);
    if (!sorted)
        return false;
    if (b->leaves.n > 0)
        memcpy(sorted, b->leaves.items, b->leaves.n * sizeof *sorted);
    qsort(sorted, b->leaves.n, sizeof *sorted, compare_leaves);
    b->set->n_items = b->parts.n;
    for (uint32_t i = 0; i < b->leaves.n; i++) {
        struct ruleset_node *node = node_at(b, sorted[i].node);
        node->rank = i;
        if (!sorted[i].field->absent || node->absence != RULESET_NONE)
            continue;
        node->absence = b->set->n_items++;
        for (; !node->absents; node = node_at(b, node->parent))
            node->absents = true;
    }
    /* Leaves of one node follow each other; the last one's rank is the node's. */
    free(sorted);
    return true;
}

static bool
collect(struct builder *b, struct list *absents)
{
    struct event_rules *set = b->set;
    if (!rank_nodes(b))
        return false;
    for (uint32_t i = 0; i < b->parts.n; i++)
        if (!collect_absents(b, absents, i) || (part_at(b, i)->parts.n > 0 && !choose_triggers(b, i)))
            return false;
    for (uint32_t i = 0; i < b->parts.n; i++)
        part_at(b, i)->rules = (struct ruleset_run){0, 0};
    if (!group(b, &b->triggers, offsetof(struct ruleset_part, triggers)) ||
        !group(b, &b->hits, offsetof(struct ruleset_part, rules)))
        return false;
    set->nullable.first = b->links.n;
    for (uint32_t i = 0; i < b->parts.n; i++)
        if (part_at(b, i)->nullable && part_at(b, i)->rules.n > 0 && list_add(&b->links, &i, sizeof i) == RULESET_NONE)
            return false;
    set->nullable.n = b->links.n - set->nullable.first;
    set->children = malloc((b->nodes.n + 1) * sizeof *set->children);
    return set->children != NULL;
}

int
ruleset_build(struct event_rules *set, struct err *e)
{
    struct builder b = {.set = set};
    struct list absents = {0};
    bool done = add_node(&b, 0, SLICE("")) != RULESET_NONE;
    if (done)
        node_at(&b, 0)->choice = node_at(&b, 0)->absents = true; /* where climbing ends */
    for (size_t i = 0; done && i < set->n_patterns; i++)
        for (size_t k = 0; done && k < set->patterns[i]->n_rules; k++)
            done = add_rule(&b, &set->patterns[i]->rules[k], (uint32_t)i);
    done = done && collect(&b, &absents);
    set->nodes = b.nodes.items;
    set->n_nodes = b.nodes.n;
    set->parts = b.parts.items;
    set->n_parts = b.parts.n;
    set->links = b.links.items;
    set->absents = absents.items;
    set->n_levels = 2 * b.max_depth + 2;
    int rc = done ? 0 : err_no_memory(e);
    if (rc == 0) {
        flatten_children(&b);
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
