/* pattern_tree: what a pattern is compiled into; shared by pattern.c and pattern_compile.c alone.
 *
 * A tree of names: the path "detail.state" is the node `state` below the node `detail`, whether the pattern nested the
 * two or joined them by a dot. A node with `values` is a field of the pattern; it may have nodes below it as well.
 * Fields are numbered in the order of a walk over the tree, so that those at and below a node are the run [first,
 * last). */
#ifndef FANOUT_EVENT_PATTERN_TREE_H
#define FANOUT_EVENT_PATTERN_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/arena.h"
#include "base/slice.h"

/* A field takes at least eight bytes of text ("a":[1],). */
#define PATTERN_MAX_FIELDS 512

/* What a field may be. All lists are sorted, slices byte by byte; texts are decoded. */
struct pattern_values {
    struct slice *strings;
    size_t n_strings;
    struct slice *prefixes; /* none of them starts with another one */
    size_t n_prefixes;
    double *numbers; /* finite */
    size_t n_numbers;
    struct slice *huge; /* numbers too large for a double, as written */
    size_t n_huge;
    bool null, yes, no;
};

struct pattern_node {
    struct slice name;
    const struct pattern_values *values; /* NULL: no field */
    struct pattern_node **children;      /* sorted by pattern_compare_names */
    size_t n_children;
    unsigned first, last;
    struct pattern_node *next, *below; /* while compiling: sibling, first child */
};

struct event_pattern {
    struct arena arena; /* everything, this struct excepted */
    struct pattern_node root;
};

/* Shorter ones first: cheap, and any order will do. */
static inline int
pattern_compare_names(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return a.n == 0 ? 0 : memcmp(a.p, b.p, a.n);
}

static inline int
pattern_compare_bytes(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

#endif
