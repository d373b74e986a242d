/* Matching: one walk over the event, guided by the pattern's tree. */
#include "event/pattern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "event/pattern_tree.h"

void
event_pattern_destroy(struct event_pattern *p)
{
    if (!p)
        return;
    arena_clean_up(&p->arena);
    free(p);
}

/* ---- one value against one field ---- */

/* How many of the slices sort before or with the string; whether one of them is it. */
static size_t
count_up_to(const struct slice *sorted, size_t n, struct json string, bool *ret_equal)
{
    size_t low = 0;
    while (n > 0) {
        size_t half = n / 2;
        int order = json_compare_string(string, sorted[low + half]);
        if (order == 0) {
            *ret_equal = true;
            return low + half + 1;
        }
        if (order > 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    *ret_equal = false;
    return low;
}

static bool
string_matches(const struct pattern_values *v, struct json string)
{
    bool equal;
    count_up_to(v->strings, v->n_strings, string, &equal);
    if (equal || v->n_prefixes == 0)
        return equal;
    /* What sorts between a beginning of the string and the string starts with that beginning as well, and no prefix
     * starts with another one: so only the last one up to the string can be its beginning. */
    size_t n = count_up_to(v->prefixes, v->n_prefixes, string, &equal);
    return n > 0 && json_starts_with(string, v->prefixes[n - 1]);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int
compare_slices(const void *a, const void *b)
{
    return pattern_compare_bytes(*(const struct slice *)a, *(const struct slice *)b);
}

static bool
number_matches(const struct pattern_values *v, struct json number)
{
    if (v->n_numbers == 0 && v->n_huge == 0)
        return false;
    double d = json_double(number);
    if (isinf(d))
        return v->n_huge > 0 && bsearch(&number.text, v->huge, v->n_huge, sizeof *v->huge, compare_slices);
    return v->n_numbers > 0 && bsearch(&d, v->numbers, v->n_numbers, sizeof *v->numbers, compare_doubles);
}

static bool
value_matches(const struct pattern_values *v, struct json value)
{
    switch (value.type) {
    case JSON_STRING:
        return string_matches(v, value);
    case JSON_NUMBER:
        return number_matches(v, value);
    case JSON_BOOL:
        return json_bool(value) ? v->yes : v->no;
    case JSON_NULL:
        return v->null;
    default:
        return false;
    }
}

/* ---- names ---- */

static const struct pattern_node *
child_of(const struct pattern_node *node, struct slice name)
{
    size_t low = 0, n = node->n_children;
    while (n > 0) {
        size_t half = n / 2;
        int order = pattern_compare_names(name, node->children[low + half]->name);
        if (order == 0)
            return node->children[low + half];
        if (order > 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return NULL;
}

static const struct pattern_node *
follow(const struct pattern_node *node, struct slice names)
{
    for (;;) {
        const char *dot = memchr(names.p, '.', names.n);
        size_t n = dot ? (size_t)(dot - names.p) : names.n;
        node = child_of(node, slice_of(names.p, n));
        if (!node || !dot)
            return node;
        names = slice_of(dot + 1, names.n - n - 1);
    }
}

/* Apart and not inlined, so that its buffer is not in every frame of the walk. A name that does not fit is in no
 * pattern. */
static __attribute__((noinline)) const struct pattern_node *
follow_escaped(const struct pattern_node *node, struct json key)
{
    char names[EVENT_PATTERN_MAX_BYTES];
    size_t n;
    return json_decode_into(key, names, sizeof names, &n) ? follow(node, slice_of(names, n)) : NULL;
}

static inline const struct pattern_node *
follow_key(const struct pattern_node *node, struct json key)
{
    return json_is_plain(key) ? follow(node, json_raw(key)) : follow_escaped(node, key);
}

/* ---- the walk ---- */

/* Fields that were found to match. */
struct found {
    uint64_t bits[PATTERN_MAX_FIELDS / 64];
};

static inline void
mark(struct found *f, unsigned field)
{
    f->bits[field / 64] |= UINT64_C(1) << field % 64;
}

/* Of the fields at and below node: how many are in a or in b. */
static unsigned
count_found(const struct pattern_node *node, const struct found *a, const struct found *b)
{
    unsigned count = 0;
    for (unsigned i = node->first / 64; i <= (node->last - 1) / 64; i++) {
        uint64_t wanted = UINT64_MAX;
        if (i == node->first / 64)
            wanted &= UINT64_MAX << node->first % 64;
        if (i == (node->last - 1) / 64)
            wanted &= UINT64_MAX >> (63 - (node->last - 1) % 64);
        count += (unsigned)__builtin_popcountll((a->bits[i] | b->bits[i]) & wanted);
    }
    return count;
}

static inline bool
all_found(const struct pattern_node *node, const struct found *f)
{
    return count_found(node, f, f) == node->last - node->first;
}

static void find(struct json_walk *w, const struct pattern_node *node, struct found *found);

/* One field only: any element will do. */
static void
find_one_in_array(struct json_walk *w, const struct pattern_node *node, struct found *found)
{
    json_walk_enter(w);
    while (json_walk_element(w)) {
        find(w, node, found);
        if (all_found(node, found)) {
            json_walk_leave(w);
            return;
        }
    }
}

/* Several fields: the array is a choice. What its objects and arrays match counts for one of them only, the first that
 * completes what is wanted of this array, or else the one that has most of it. (That one need not be the best choice
 * when the event spells the way to these fields in two ways, say "a":[...] and "a.b":...; the answer can then be no
 * where another choice would give yes, never the reverse.) Scalars need no choice: only the field that the array itself
 * stands for sees them. */
static void
find_in_array(struct json_walk *w, const struct pattern_node *node, struct found *found)
{
    struct found best = {{0}};
    unsigned most = 0;
    bool complete = all_found(node, found);
    json_walk_enter(w);
    while (json_walk_element(w)) {
        enum json_type type = json_walk_type(w);
        if (type != JSON_ARRAY && type != JSON_OBJECT) {
            find(w, node, found);
        } else if (complete) {
            json_walk_take(w);
        } else {
            struct found one = {{0}};
            find(w, node, &one);
            unsigned count = count_found(node, &one, &one);
            complete = count_found(node, &one, found) == node->last - node->first;
            if (complete || count > most) {
                best = one;
                most = count;
            }
        }
    }
    for (size_t i = 0; i < sizeof best.bits / sizeof *best.bits; i++)
        found->bits[i] |= best.bits[i];
}

/* Takes the value that w stands in front of and marks the fields at and below node that match in it. */
static void
find(struct json_walk *w, const struct pattern_node *node, struct found *found)
{
    struct json key;
    switch (json_walk_type(w)) {
    case JSON_OBJECT:
        if (node->n_children == 0) {
            json_walk_take(w);
            break;
        }
        json_walk_enter(w);
        while (json_walk_member(w, &key)) {
            const struct pattern_node *child = follow_key(node, key);
            if (child)
                find(w, child, found);
            else
                json_walk_take(w);
        }
        break;
    case JSON_ARRAY:
        if (node->last - node->first == 1)
            find_one_in_array(w, node, found);
        else
            find_in_array(w, node, found);
        break;
    default: {
        struct json value = json_walk_take(w);
        if (node->values && value_matches(node->values, value))
            mark(found, node->first);
        break;
    }
    }
}

bool
event_pattern_match(const struct event_pattern *p, struct json event)
{
    if (event.type != JSON_OBJECT)
        return false;
    struct found found = {{0}};
    struct json key;
    struct json_walk w = json_walk(event);
    json_walk_enter(&w);
    while (json_walk_member(&w, &key)) {
        const struct pattern_node *child = follow_key(&p->root, key);
        if (!child) {
            json_walk_take(&w);
            continue;
        }
        find(&w, child, &found);
        if (all_found(&p->root, &found))
            return true;
    }
    return false;
}

int
event_parse(struct slice text, struct json *ret_event, struct err *e)
{
    struct json value;
    int rc = json_parse(text, &value, e);
    if (rc != 0)
        return err_prefix(e, rc, "Event is not valid. Reason");
    if (value.type != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "Event is not valid. Reason: It is not a JSON object");
    *ret_event = value;
    return 0;
}

int
event_pattern_match_text(const struct event_pattern *p, struct slice event, bool *ret_matches, struct err *e)
{
    struct json value;
    int rc = event_parse(event, &value, e);
    if (rc == 0)
        *ret_matches = event_pattern_match(p, value);
    return rc;
}

int
event_pattern_explain(const struct event_pattern *p, struct json event, struct buf *out, struct err *e)
{
    if (!event_pattern_match(p, event))
        buf_add_string(out, "the event does not match\n");
    return buf_failed(out) ? err_no_memory(e) : 0;
}
