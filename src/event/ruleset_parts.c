/* Parts: what rules want at and below a node, each once (ruleset_impl.h says what they are). */
#include "event/ruleset_builder.h"

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
weigh_part(struct ruleset_builder *b, uint32_t part)
{
    const struct ruleset_part *p = ruleset_part_at(b, part);
    unsigned weight = 0;
    if (p->parts.n == 0) {
        const struct pattern_field *field =
            ((struct ruleset_leaf *)b->leaves.items)[ruleset_part_at(b, part)->rules.first].field;
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
describe(struct ruleset_builder *b, const struct pattern_field *field)
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

uint32_t
ruleset_leaf_of(struct ruleset_builder *b, const struct pattern_field *field, uint32_t node)
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
                                .level = 2 * ruleset_node_at(b, node)->depth + 1,
                                .top = INT32_MAX,
                                .bottom = -1,
                                .rules.first = b->leaves.n, /* until all parts are known */
                                .nullable = field->absent};
    *leaf = list_add(&b->parts, &part, sizeof part);
    if (list_add(&b->leaves, &entry, sizeof entry) == RULESET_NONE)
        *leaf = RULESET_NONE;
    return *leaf;
}

static uint32_t
join_of(struct ruleset_builder *b, int32_t level, const uint32_t *parts, uint32_t n)
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
    struct ruleset_part part = {.node = RULESET_NONE,
                                .level = level,
                                .top = INT32_MAX,
                                .bottom = -1,
                                .parts = {b->links.n, n},
                                .nullable = true};
    for (uint32_t i = 0; i < n; i++) {
        struct ruleset_part *p = ruleset_part_at(b, parts[i]);
        part.nullable = part.nullable && p->nullable;
        if (level < p->top)
            p->top = level;
        if (level > p->bottom)
            p->bottom = level;
        if (list_add(&b->links, &parts[i], sizeof parts[i]) == RULESET_NONE)
            return *join = RULESET_NONE;
    }
    return *join = list_add(&b->parts, &part, sizeof part);
}

bool
ruleset_choose_triggers(struct ruleset_builder *b, uint32_t join)
{
    const struct ruleset_part *p = ruleset_part_at(b, join);
    uint32_t best = RULESET_NONE;
    unsigned lightest = 0;
    for (uint32_t i = 0; i < p->parts.n; i++) {
        uint32_t part = ((uint32_t *)b->links.items)[p->parts.first + i];
        if (p->nullable) {
            if (list_add(&b->triggers, &(struct ruleset_pair){part, join}, sizeof(struct ruleset_pair)) == RULESET_NONE)
                return false;
        } else if (!ruleset_part_at(b, part)->nullable) {
            unsigned weight = weigh_part(b, part);
            if (best == RULESET_NONE || weight < lightest) {
                best = part;
                lightest = weight;
            }
        }
    }
    return p->nullable ||
           list_add(&b->triggers, &(struct ruleset_pair){best, join}, sizeof(struct ruleset_pair)) != RULESET_NONE;
}

uint32_t
ruleset_part_of(struct ruleset_builder *b, uint32_t from, uint32_t to)
{
    const struct ruleset_member *m = b->members.items;
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
        uint32_t part = ruleset_part_of(b, start, i + 1);
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
