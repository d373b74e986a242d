/* What the values of a node are tested for, sorted so that one look finds all that a value satisfies. */
#include <stdlib.h>
#include <string.h>

#include "event/ruleset_impl.h"
#include "event/ruleset_list.h"

struct reference {
    struct ruleset_test test;
    struct pattern_test of;
    uint32_t node, target;
};

struct indexer {
    struct event_rules *set;
    struct list references, buts, tests, targets, ranges, pieces, indexes;
};

static bool
is_range(enum pattern_kind kind)
{
    return kind == PATTERN_NUMBER || kind == PATTERN_IPV4 || kind == PATTERN_IPV6;
}

static bool
is_prefix(enum pattern_kind kind)
{
    return kind == PATTERN_PREFIX || kind == PATTERN_SUFFIX || kind == PATTERN_PREFIX_FOLDED ||
           kind == PATTERN_SUFFIX_FOLDED;
}

static int
compare_texts(enum pattern_kind kind, struct slice a, struct slice b)
{
    if (!is_prefix(kind))
        return ruleset_compare_names(a, b);
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int
compare_keys(pattern_key a, pattern_key b)
{
    return (a > b) - (a < b);
}

/* By node, kind, and what is tested for. */
static int
compare_tests(const struct reference *x, const struct reference *y)
{
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->of.kind != y->of.kind)
        return x->of.kind < y->of.kind ? -1 : 1;
    if (!is_range(x->of.kind))
        return compare_texts(x->of.kind, x->test.text, y->test.text);
    int order = compare_keys(x->of.low, y->of.low);
    return order != 0 ? order : compare_keys(x->of.high, y->of.high);
}

static int
compare_references(const void *a, const void *b)
{
    const struct reference *x = a, *y = b;
    int order = compare_tests(x, y);
    return order != 0 ? order : (x->target > y->target) - (x->target < y->target);
}

/* ---- gathering ---- */

static bool
refer(struct indexer *x, uint32_t node, const struct pattern_test *test, uint32_t target)
{
    struct reference r = {.of = *test, .node = node, .target = target};
    r.test.text = test->text;
    if (test->kind == PATTERN_SUFFIX || test->kind == PATTERN_SUFFIX_FOLDED) {
        char *backwards = arena_alloc(&x->set->arena, test->text.n);
        if (!backwards)
            return false;
        for (size_t i = 0; i < test->text.n; i++)
            backwards[i] = test->text.p[test->text.n - 1 - i];
        r.test.text.p = backwards;
    }
    return list_add(&x->references, &r, sizeof r) != UINT32_MAX;
}

/* One leaf at its node; leaves are the first parts that refer to their node, so its number is found there. */
static bool
refer_leaf(struct indexer *x, const struct ruleset_leaf *leaf, uint32_t part)
{
    for (size_t i = 0; i < leaf->field->n_entries; i++) {
        const struct pattern_entry *entry = &leaf->field->entries[i];
        uint32_t target = part;
        if (entry->but) {
            struct reference but = {.node = leaf->node, .target = part};
            uint32_t n = list_add(&x->buts, &but, sizeof but);
            if (n == UINT32_MAX)
                return false;
            target = n | RULESET_EXCLUDES;
        }
        for (size_t k = 0; k < entry->n_tests; k++)
            if (!refer(x, leaf->node, &entry->tests[k], target))
                return false;
    }
    return true;
}

/* ---- building ---- */

static struct ruleset_index *
index_of(struct indexer *x, uint32_t node)
{
    struct ruleset_node *n = &x->set->nodes[node];
    if (n->index == RULESET_NONE) {
        struct ruleset_index empty = {.first_range = RULESET_NONE};
        n->index = list_add(&x->indexes, &empty, sizeof empty);
    }
    return n->index == RULESET_NONE ? NULL : (struct ruleset_index *)x->indexes.items + n->index;
}

static bool
split(struct indexer *x, struct ruleset_test *test)
{
    char *text = arena_alloc(&x->set->arena, test->text.n);
    struct slice pieces[PATTERN_MAX_PIECES];
    if (!text)
        return false;
    test->n_pieces = (uint32_t)pattern_split_wildcard(test->text, text, pieces);
    test->link = x->pieces.n;
    for (uint32_t i = 0; i < test->n_pieces; i++)
        if (list_add(&x->pieces, &pieces[i], sizeof pieces[i]) == UINT32_MAX)
            return false;
    return true;
}

/* The longest other prefix that the last test starts with; those that start so too are between the two. */
static void
link_prefix(struct indexer *x, const struct ruleset_index *index, enum pattern_kind kind)
{
    struct ruleset_test *tests = x->tests.items, *last = &tests[x->tests.n - 1];
    uint32_t other = index->kinds[kind].n > 1 ? x->tests.n - 2 : RULESET_NONE;
    while (other != RULESET_NONE && !slice_starts_with(last->text, tests[other].text))
        other = tests[other].link;
    last->link = other;
}

static bool
add_test(struct indexer *x, const struct reference *r)
{
    struct ruleset_index *index = index_of(x, r->node);
    struct ruleset_test test = r->test;
    enum pattern_kind kind = r->of.kind;
    test.link = RULESET_NONE;
    test.targets.first = x->targets.n;
    if (!index || (kind == PATTERN_WILDCARD && !split(x, &test)))
        return false;
    uint32_t at = list_add(&x->tests, &test, sizeof test);
    if (at == UINT32_MAX)
        return false;
    if (index->kinds[kind].n++ == 0)
        index->kinds[kind].first = at;
    if (is_prefix(kind))
        link_prefix(x, index, kind);
    if (kind >= PATTERN_EQUALS_FOLDED && kind <= PATTERN_SUFFIX_FOLDED && test.text.n > index->longest_folded)
        index->longest_folded = (uint32_t)test.text.n;
    if (index->longest_folded > x->set->longest_folded)
        x->set->longest_folded = index->longest_folded;
    if (!is_range(kind))
        return true;
    if (index->first_range == RULESET_NONE) {
        index->first_range = at;
        index->ranges = x->ranges.n;
    }
    struct ruleset_range range = {.low = r->of.low, .high = r->of.high};
    return list_add(&x->ranges, &range, sizeof range) != UINT32_MAX;
}

static bool
add_tests(struct indexer *x)
{
    const struct reference *r = x->references.items;
    for (uint32_t i = 0; i < x->references.n; i++) {
        if ((i == 0 || compare_tests(&r[i - 1], &r[i]) != 0) && !add_test(x, &r[i]))
            return false;
        struct ruleset_run *targets = &((struct ruleset_test *)x->tests.items)[x->tests.n - 1].targets;
        if (targets->n > 0 && ((uint32_t *)x->targets.items)[x->targets.n - 1] == r[i].target)
            continue;
        targets->n++;
        if (list_add(&x->targets, &r[i].target, sizeof r[i].target) == UINT32_MAX)
            return false;
    }
    return true;
}

/* Numbers each node's anything-buts in a row; they were found in the order of the leaves. */
static bool
add_buts(struct indexer *x)
{
    const struct reference *buts = x->buts.items;
    uint32_t n = x->buts.n, at = 0;
    uint32_t *number = malloc((n + 1) * sizeof *number);
    struct event_rules *set = x->set;
    set->buts = malloc((n + 1) * sizeof *set->buts);
    bool done = number && set->buts;
    for (uint32_t i = 0; done && i < n; i++) {
        struct ruleset_index *index = index_of(x, buts[i].node);
        done = index != NULL;
        if (done)
            index->buts.n++;
    }
    for (uint32_t i = 0; done && i < x->indexes.n; i++) {
        struct ruleset_index *index = (struct ruleset_index *)x->indexes.items + i;
        index->buts.first = at;
        at += index->buts.n;
        index->buts.n = 0;
    }
    for (uint32_t i = 0; done && i < n; i++) {
        struct ruleset_index *index = index_of(x, buts[i].node);
        number[i] = index->buts.first + index->buts.n++;
        set->buts[number[i]] = buts[i].target;
    }
    for (uint32_t i = 0; done && i < x->references.n; i++) {
        struct reference *r = (struct reference *)x->references.items + i;
        if (r->target & RULESET_EXCLUDES)
            r->target = number[r->target & ~RULESET_EXCLUDES] | RULESET_EXCLUDES;
    }
    set->n_buts = n;
    free(number);
    return done;
}

static pattern_key
find_highest(struct ruleset_range *ranges, size_t n)
{
    if (n == 0)
        return 0;
    struct ruleset_range *middle = &ranges[n / 2];
    pattern_key left = find_highest(ranges, n / 2), right = find_highest(middle + 1, n - n / 2 - 1);
    middle->highest = middle->high > left ? middle->high : left;
    if (right > middle->highest)
        middle->highest = right;
    return middle->highest;
}

static void
finish_ranges(struct event_rules *set)
{
    static const enum pattern_kind KINDS[] = {PATTERN_NUMBER, PATTERN_IPV4, PATTERN_IPV6};
    for (uint32_t i = 0; i < set->n_indexes; i++) {
        const struct ruleset_index *index = &set->indexes[i];
        for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
            struct ruleset_run run = index->kinds[KINDS[k]];
            if (run.n > 0)
                find_highest(&set->ranges[index->ranges + run.first - index->first_range], run.n);
        }
    }
}

int
ruleset_build_indexes(struct event_rules *set, const struct ruleset_leaf *leaves, uint32_t n_leaves, struct err *e)
{
    struct indexer x = {.set = set};
    bool done = true;
    uint32_t leaf = 0;
    for (uint32_t part = 0; done && part < set->n_parts; part++)
        if (set->parts[part].parts.n == 0) /* leaves are listed in the order of their parts */
            done = refer_leaf(&x, &leaves[leaf++], part);
    done = done && leaf == n_leaves && add_buts(&x);
    if (done && x.references.n > 1)
        qsort(x.references.items, x.references.n, sizeof(struct reference), compare_references);
    done = done && add_tests(&x);
    /* A field that only may be missing has no tests, and still has to be looked at. */
    for (uint32_t i = 0; done && i < set->n_nodes; i++)
        done = set->nodes[i].absence == RULESET_NONE || index_of(&x, i) != NULL;
    set->n_indexes = x.indexes.n;
    set->indexes = list_take(&x.indexes);
    set->tests = list_take(&x.tests);
    set->targets = list_take(&x.targets);
    set->ranges = list_take(&x.ranges);
    set->pieces = list_take(&x.pieces);
    done = done && set->indexes && set->tests && set->targets && set->ranges && set->pieces;
    list_free(&x.references);
    list_free(&x.buts);
    if (!done)
        return err_no_memory(e);
    finish_ranges(set);
    return 0;
}
