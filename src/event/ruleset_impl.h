/* ruleset_impl: what many patterns are compiled into, for the ruleset_*.c files and pattern.c alone.
 *
 * **Nodes.** The paths of all fields are one tree of names: "detail.state" is the node `state` below the node `detail`,
 * whether a pattern nested the two or joined them by a dot. An event is read once, its values are looked up at the
 * nodes they belong to, and all others are only checked for syntax.
 *
 * **Parts.** What a rule wants at and below a node is a part of it: at the node of a field the entries it may be
 * satisfied by (a leaf), higher up the parts below that must all be satisfied (a join). Equal parts of different rules
 * are one part, and what has a single part below is that part. So a part is satisfied or not, for all rules at once.
 * When something was found to be satisfied, the joins that it is the `trigger` of are looked at: each join has one
 * trigger, the part that is satisfied least often, as far as can be told from what it tests.
 *
 * **Scopes.** Fields that are not in different elements of the same array may be combined freely: they are in the same
 * scope. Each element of an array that more than one field of a rule is in is a scope of its own; only what is whole at
 * the array's node gets out of it. What was found in the open scopes is a stack of items.
 *
 * **Levels.** The node at depth d has two: 2d for what includes its own value, 2d+1 for what is below it. A join has
 * the level at which its parts come together; an item can take part in joins above its own level, which for what got
 * out of an array is the array's, and for all else is where it was found.
 *
 * **Absence.** {"exists": false} is judged, as AWS's library does it, against the elements chosen by the fields that
 * sort before it: in one element of an array when one of those is in there, and otherwise in all of them. So the rank
 * of the first field that was found goes with every item, and a part gets out of an array only when what has to be
 * missing and sorts before that is missing in all its elements. A part that nothing was found for is satisfied when all
 * of its fields may be missing and are.
 *
 * **Ways.** An event can spell the way to an array in two ways, as in {"a":[...],"a.b":1} or {"a":[...],"a":[...]}.
 * Then the parts at that node may be satisfied by several of them together, and the rules concerned are matched by
 * search (ruleset_search.c). */
#ifndef FANOUT_EVENT_RULESET_IMPL_H
#define FANOUT_EVENT_RULESET_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "event/pattern_rule.h"
#include "event/pattern_text.h"
#include "event/ruleset.h"

#define RULESET_NONE UINT32_MAX

/* A run of one of the set's lists. */
struct ruleset_run {
    uint32_t first, n;
};

/* What one value is tested for, and what follows. */
struct ruleset_test {
    struct slice text; /* suffixes: backwards */
    uint32_t link;     /* prefixes, suffixes: the longest other one that this one starts with, or RULESET_NONE;
                          wildcards: index of the first piece */
    uint32_t n_pieces;
    struct ruleset_run targets; /* leaves; with RULESET_EXCLUDES: anything-buts that do not hold then */
};
#define RULESET_EXCLUDES UINT32_C(0x80000000)

/* Ranges of one kind at one node sorted by low, and the highest high of each subtree of the search tree that halving
 * the list makes. */
struct ruleset_range {
    pattern_key low, high, highest;
};

/* Tests of one node, by kind; ranges[i] belongs to the i-th test of PATTERN_NUMBER, PATTERN_IPV4 and so on. */
struct ruleset_index {
    struct ruleset_run kinds[PATTERN_N_KINDS];
    struct ruleset_run buts; /* of set->buts: anything-buts */
    uint32_t ranges;         /* of set->ranges: where those of the first range test are */
    uint32_t first_range;    /* index of that test */
    uint32_t longest_folded; /* bytes of the longest text that is compared in lower case */
};

struct ruleset_node {
    struct slice name;
    uint32_t parent;
    struct ruleset_run children; /* of set->children, sorted */
    uint32_t index;              /* of set->indexes; RULESET_NONE: no field */
    uint32_t absence;            /* item that says "there is a value here"; RULESET_NONE: nobody asks */
    uint32_t rank;               /* of the field's path among all, as pattern_compare_paths sorts */
    uint16_t depth;
    bool choice;  /* a rule has two fields or more at or below it: elements of arrays here are scopes */
    bool absents; /* a field at or below it may be missing */
};

struct ruleset_part {
    uint32_t node;               /* leaves: where */
    int32_t level;               /* of a join, or 2 * depth + 1 of a leaf */
    int32_t top;                 /* lowest level of a join it is a part of; -1: it is a rule */
    int32_t bottom;              /* highest level of a join it is a part of; -1: it is a rule and no more */
    struct ruleset_run parts;    /* of set->links: a join's */
    struct ruleset_run triggers; /* of set->links: joins to look at when this was found */
    struct ruleset_run absents;  /* of set->absents: fields that may be missing, sorted by rank */
    struct ruleset_run rules;    /* of set->links: patterns that match when this is found in the outermost scope */
    bool nullable;               /* all of its fields may be missing */
};

struct ruleset_absent {
    uint32_t item, rank;
};

struct event_rules {
    struct arena arena; /* everything, this struct and patterns excepted */
    struct pattern **patterns;
    size_t n_patterns;
    struct ruleset_node *nodes; /* the first one is the root */
    uint32_t n_nodes;
    uint32_t *children;
    struct ruleset_index *indexes;
    uint32_t n_indexes;
    struct ruleset_test *tests;
    struct ruleset_range *ranges;
    struct slice *pieces;
    uint32_t *buts; /* the leaf that each anything-but satisfies */
    uint32_t n_buts;
    uint32_t *targets;
    struct ruleset_part *parts;
    uint32_t n_parts, n_items; /* items: parts, and behind them absences */
    uint32_t *links;
    struct ruleset_absent *absents;
    struct ruleset_run nullable; /* of links: parts that are rules and may be satisfied by nothing */
    uint32_t n_levels;
    uint32_t longest_folded;
};

/* Something found. */
struct ruleset_item {
    uint32_t id, hidden; /* hidden: where[id] as it was before */
    int32_t level;
    uint32_t rank; /* of the first field that it was found by */
};

/* Beside the number of a scope, times four: the node was entered more than once in it; by an array of choices. */
#define RULESET_AGAIN 1
#define RULESET_ARRAY 2

/* What matching writes to: one thread's. Everything lies in one piece of memory, laid out by ruleset_scratch_init. */
struct event_scratch {
    struct ruleset_item *items;
    uint32_t n_items, room;
    uint32_t *where;   /* by id: the newest item's index + 1, or 0 */
    uint64_t *entered; /* by node: the scope it was entered in last, and RULESET_AGAIN, RULESET_ARRAY */
    uint64_t n_scopes;
    uint32_t *candidates;     /* by level: first join to look at, + 1 */
    uint32_t *next_candidate; /* by part: the next one at that level, + 1; RULESET_NONE is the last */
    uint64_t *levels;         /* bit set: there are candidates */
    uint64_t *hits;           /* bit set: the pattern matches */
    bool gave_up;             /* ... or would: a search for one that is not set was given up */
    uint32_t *excluded;       /* by anything-but: the value that it does not hold for */
    uint32_t value;           /* counts values */
    char *lower;
    struct pattern_buffers *buffers;
};

/* ruleset_build.c */
int ruleset_build(struct event_rules *set, struct err *e);

/* ruleset_index.c: fills in set->indexes and all that they point to, from the entries of each leaf. */
struct ruleset_leaf {
    const struct pattern_field *field;
    uint32_t node;
};
int ruleset_build_indexes(struct event_rules *set, const struct ruleset_leaf *leaves, uint32_t n_leaves, struct err *e);

/* One event on its way through a set. */
struct ruleset_matcher {
    const struct event_rules *set;
    struct event_scratch *s;
    uint32_t base; /* of the items of the innermost scope */
    uint64_t scope;
    bool search_all;      /* there was no room for all that was found, or too many collisions */
    uint32_t collided[8]; /* nodes that the event has two ways to */
    uint32_t n_collided;
};

/* ruleset_joins.c. Something was found in the innermost scope. */
void ruleset_found(struct ruleset_matcher *m, uint32_t id, int32_t level, uint32_t rank);

static inline bool
ruleset_is_found(const struct ruleset_matcher *m, uint32_t id)
{
    return m->s->where[id] > m->base;
}

/* Whether all fields of the part may be missing and are. */
bool ruleset_is_absent(const struct ruleset_matcher *m, const struct ruleset_part *part);

/* Finds all joins of the innermost scope at the level and below, the deepest first. */
void ruleset_conclude(struct ruleset_matcher *m, int32_t level);

/* Takes the items from n on off the stack. They can be read until others are found. */
void ruleset_forget(struct event_scratch *s, uint32_t n);

/* ruleset_value.c: finds each leaf of the node that the value satisfies. */
void ruleset_look_up(struct ruleset_matcher *m, const struct ruleset_node *node, struct json value);

/* ruleset_match.c. Sets s->hits. 0, or why the text is refused (as event_parse). */
int ruleset_match(const struct event_rules *set, struct event_scratch *s, struct slice event, struct err *e);

/* ruleset_search.c: one pattern, or one rule of it, against an event by trying everything within bounds: so many steps,
 * one for each value that is looked at and for each 16 bytes of it, for a pattern, and no more than *steps, which what
 * was used is taken from. Given up, it has not matched; ruleset_search sets *ret_gave_up then, and leaves it alone
 * otherwise. */
static inline uint64_t
ruleset_search_steps(struct json event)
{
    return 100000 + 4 * (uint64_t)event.text.n;
}
#define RULESET_SEARCH_PATTERNS 8 /* how many patterns may use all of that with one event */
bool ruleset_search(const struct pattern *p, struct json event, uint64_t *steps, bool *ret_gave_up);
bool ruleset_search_rule(const struct pattern_rule *rule, struct json event, uint64_t *steps);

/* ruleset.c: bytes of scratch that a set takes, and making one of so much zeroed memory. */
size_t ruleset_scratch_bytes(const struct event_rules *set);
void ruleset_scratch_init(const struct event_rules *set, void *memory, struct event_scratch *ret_scratch);

#endif
