/* ruleset_builder: a set while it is built, for ruleset_build.c and ruleset_parts.c alone. */
#ifndef FANOUT_EVENT_RULESET_BUILDER_H
#define FANOUT_EVENT_RULESET_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "event/ruleset_impl.h"
#include "event/ruleset_list.h"

/* A field of the rule at hand. */
struct ruleset_member {
    const struct pattern_field *field;
    uint32_t leaf, node;
    uint32_t depth;
    uint32_t common; /* depth of the last node that this one's and the next one's way have in common */
};

struct ruleset_pair {
    uint32_t of, to;
};

struct ruleset_builder {
    struct event_rules *set;
    struct list nodes, parts, links, leaves, members, stack, triggers, hits;
    struct list_names children; /* (parent, name) to node */
    struct list_names known;    /* what a part is made of to the part */
    struct buf key;
    uint32_t max_depth;
};

static inline struct ruleset_node *
ruleset_node_at(struct ruleset_builder *b, uint32_t i)
{
    return (struct ruleset_node *)b->nodes.items + i;
}

static inline struct ruleset_part *
ruleset_part_at(struct ruleset_builder *b, uint32_t i)
{
    return (struct ruleset_part *)b->parts.items + i;
}

/* The leaf that a field at a node is; RULESET_NONE: no memory. */
uint32_t ruleset_leaf_of(struct ruleset_builder *b, const struct pattern_field *field, uint32_t node);

/* The part that the members from..to of the rule are; RULESET_NONE: no memory. */
uint32_t ruleset_part_of(struct ruleset_builder *b, uint32_t from, uint32_t to);

/* The trigger of a join: of those that something must be found for the one that is satisfied least often; all of them
 * when it may be that nothing is found for some. False: no memory. */
bool ruleset_choose_triggers(struct ruleset_builder *b, uint32_t join);

#endif
