/* One value against all that the rules want of its field. */
#include <string.h>

#include "event/pattern_case.h"
#include "event/ruleset_impl.h"
#include "event/ruleset_list.h"

struct look {
    struct ruleset_matcher *m;
    const struct event_rules *set;
    const struct ruleset_index *index;
    const struct ruleset_node *node;
};

static void
satisfied(const struct look *l, uint32_t leaf)
{
    ruleset_found(l->m, leaf, 2 * l->node->depth + 1, l->node->rank);
}

static void
hit(const struct look *l, const struct ruleset_test *test)
{
    const uint32_t *targets = l->set->targets + test->targets.first;
    for (uint32_t i = 0; i < test->targets.n; i++) {
        if (targets[i] & RULESET_EXCLUDES)
            l->m->s->excluded[targets[i] & ~RULESET_EXCLUDES] = l->m->s->value;
        else
            satisfied(l, targets[i]);
    }
}

/* true, false, null, anything: the kind's only test. */
static void
hit_kind(const struct look *l, enum pattern_kind kind)
{
    if (l->index->kinds[kind].n > 0)
        hit(l, &l->set->tests[l->index->kinds[kind].first]);
}

static void
look_up_equal(const struct look *l, enum pattern_kind kind, struct slice text)
{
    const struct ruleset_test *tests = l->set->tests + l->index->kinds[kind].first;
    for (size_t n = l->index->kinds[kind].n; n > 0;) {
        size_t half = n / 2;
        int order = ruleset_compare_names(text, tests[half].text);
        if (order == 0) {
            hit(l, &tests[half]);
            return;
        }
        if (order > 0) {
            tests += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
}

/* Where a text stands to a prefix (backwards: to a suffix, which is kept backwards): 0 when it starts with it. */
static int
compare_start(struct slice text, struct slice prefix, bool backwards)
{
    if (!backwards) {
        size_t n = text.n < prefix.n ? text.n : prefix.n;
        int order = n == 0 ? 0 : memcmp(text.p, prefix.p, n);
        return order != 0 ? order : text.n < prefix.n ? -1 : 0;
    }
    for (size_t i = 0; i < prefix.n; i++) {
        if (i == text.n)
            return -1;
        unsigned char a = (unsigned char)text.p[text.n - 1 - i], b = (unsigned char)prefix.p[i];
        if (a != b)
            return a < b ? -1 : 1;
    }
    return 0;
}

/* All of the prefixes that the text starts with start each other. What sorts last among those up to the text starts
 * with them all, be it one of them or not. */
static void
look_up_prefixes(const struct look *l, enum pattern_kind kind, struct slice text)
{
    bool backwards = kind == PATTERN_SUFFIX || kind == PATTERN_SUFFIX_FOLDED;
    const struct ruleset_test *tests = l->set->tests;
    uint32_t low = l->index->kinds[kind].first, first = low;
    for (uint32_t n = l->index->kinds[kind].n; n > 0;) {
        uint32_t half = n / 2;
        if (compare_start(text, tests[low + half].text, backwards) >= 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    if (low == first)
        return;
    for (uint32_t i = low - 1; i != RULESET_NONE; i = tests[i].link)
        if (compare_start(text, tests[i].text, backwards) == 0)
            hit(l, &tests[i]);
}

static void
look_up_folded(const struct look *l, const struct pattern_text *t)
{
    const struct ruleset_run *kinds = l->index->kinds;
    char *lower = l->m->s->lower;
    size_t longest = l->index->longest_folded, n = t->head.n < longest ? t->head.n : longest;
    if (kinds[PATTERN_EQUALS_FOLDED].n + kinds[PATTERN_PREFIX_FOLDED].n > 0) {
        for (size_t i = 0; i < n; i++)
            lower[i] = pattern_case_lower_ascii(t->head.p[i]);
        if (t->n == n)
            look_up_equal(l, PATTERN_EQUALS_FOLDED, slice_of(lower, n));
        if (kinds[PATTERN_PREFIX_FOLDED].n > 0)
            look_up_prefixes(l, PATTERN_PREFIX_FOLDED, slice_of(lower, n));
    }
    if (kinds[PATTERN_SUFFIX_FOLDED].n > 0) {
        n = t->tail.n < longest ? t->tail.n : longest;
        for (size_t i = 0; i < n; i++)
            lower[i] = pattern_case_lower_ascii(t->tail.p[t->tail.n - n + i]);
        look_up_prefixes(l, PATTERN_SUFFIX_FOLDED, slice_of(lower, n));
    }
}

/* What has no order to search by is tried one by one: texts with other letters than ASCII's, without case. */
static void
try_any_case(const struct look *l, const struct pattern_text *t)
{
    for (int kind = PATTERN_EQUALS_ANY_CASE; kind <= PATTERN_SUFFIX_ANY_CASE; kind++) {
        const struct ruleset_test *tests = l->set->tests + l->index->kinds[kind].first;
        for (uint32_t i = 0; i < l->index->kinds[kind].n; i++)
            if (kind == PATTERN_EQUALS_ANY_CASE   ? t->whole && pattern_case_equals(t->head, tests[i].text)
                : kind == PATTERN_PREFIX_ANY_CASE ? pattern_case_starts_with(t->head, tests[i].text)
                                                  : pattern_case_ends_with(t->tail, tests[i].text))
                hit(l, &tests[i]);
    }
}

static void
try_wildcards(const struct look *l, const struct pattern_text *t)
{
    const struct ruleset_test *tests = l->set->tests + l->index->kinds[PATTERN_WILDCARD].first;
    for (uint32_t i = 0; i < l->index->kinds[PATTERN_WILDCARD].n; i++)
        if (pattern_text_matches_wildcard(t, l->set->pieces + tests[i].link, tests[i].n_pieces))
            hit(l, &tests[i]);
}

/* Of the ranges sorted by low, those that the key is in: none where even the highest high is lower. */
static void
search_ranges(const struct look *l, const struct ruleset_range *ranges, const struct ruleset_test *tests, size_t n,
              pattern_key key)
{
    while (n > 0 && ranges[n / 2].highest >= key) {
        size_t half = n / 2;
        search_ranges(l, ranges, tests, half, key);
        if (key < ranges[half].low)
            return;
        if (key <= ranges[half].high)
            hit(l, &tests[half]);
        ranges += half + 1;
        tests += half + 1;
        n -= half + 1;
    }
}

static void
look_up_key(const struct look *l, enum pattern_kind kind, pattern_key key)
{
    struct ruleset_run run = l->index->kinds[kind];
    if (run.n > 0)
        search_ranges(l, l->set->ranges + l->index->ranges + run.first - l->index->first_range,
                      l->set->tests + run.first, run.n, key);
}

static void
look_up_string(const struct look *l, struct json string)
{
    const struct ruleset_run *kinds = l->index->kinds;
    struct pattern_text t = pattern_text(string, l->m->s->buffers);
    pattern_key address;
    if (kinds[PATTERN_EQUALS].n > 0 && t.whole)
        look_up_equal(l, PATTERN_EQUALS, t.head);
    if (kinds[PATTERN_PREFIX].n > 0)
        look_up_prefixes(l, PATTERN_PREFIX, t.head);
    if (kinds[PATTERN_SUFFIX].n > 0)
        look_up_prefixes(l, PATTERN_SUFFIX, t.tail);
    if (kinds[PATTERN_EQUALS_FOLDED].n + kinds[PATTERN_PREFIX_FOLDED].n + kinds[PATTERN_SUFFIX_FOLDED].n > 0)
        look_up_folded(l, &t);
    if (kinds[PATTERN_EQUALS_ANY_CASE].n + kinds[PATTERN_PREFIX_ANY_CASE].n + kinds[PATTERN_SUFFIX_ANY_CASE].n > 0)
        try_any_case(l, &t);
    if (kinds[PATTERN_WILDCARD].n > 0)
        try_wildcards(l, &t);
    if (kinds[PATTERN_IPV4].n + kinds[PATTERN_IPV6].n > 0 && t.whole) {
        enum pattern_kind kind = pattern_address(t.head, &address);
        if (kind != PATTERN_N_KINDS)
            look_up_key(l, kind, address);
    }
}

static void
look_up_number(const struct look *l, struct json number)
{
    uint64_t key;
    if (l->index->kinds[PATTERN_NUMBER].n > 0 && pattern_number_key(number.text, &key))
        look_up_key(l, PATTERN_NUMBER, key);
    if (l->index->kinds[PATTERN_NUMBER_TEXT].n > 0)
        look_up_equal(l, PATTERN_NUMBER_TEXT, number.text);
}

void
ruleset_look_up(struct ruleset_matcher *m, const struct ruleset_node *node, struct json value)
{
    struct look l = {.m = m, .set = m->set, .index = &m->set->indexes[node->index], .node = node};
    struct event_scratch *s = m->s;
    if (++s->value == 0) { /* after 2^32 values all that was noted is about others again */
        memset(s->excluded, 0, m->set->n_buts * sizeof *s->excluded);
        s->value = 1;
    }
    hit_kind(&l, PATTERN_EXISTS);
    if (value.type == JSON_STRING)
        look_up_string(&l, value);
    else if (value.type == JSON_NUMBER)
        look_up_number(&l, value);
    else
        hit_kind(&l, value.type == JSON_NULL ? PATTERN_NULL : json_bool(value) ? PATTERN_TRUE : PATTERN_FALSE);
    for (uint32_t i = 0; i < l.index->buts.n; i++)
        if (s->excluded[l.index->buts.first + i] != s->value)
            satisfied(&l, m->set->buts[l.index->buts.first + i]);
    if (node->absence != RULESET_NONE)
        ruleset_found(m, node->absence, 2 * node->depth + 1, node->rank);
}
