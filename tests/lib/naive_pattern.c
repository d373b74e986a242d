#include "lib/naive_pattern.h"

#include <stdlib.h>
#include <string.h>

#include "lib/naive_parse.h"

#define EFFORT 2000000

static int
compare_fields(const void *a, const void *b)
{
    return naive_compare_paths(((const struct naive_field *)a)->path, ((const struct naive_field *)b)->path);
}

enum naive_answer
naive_pattern_compile(struct slice text, struct naive_pattern **ret_pattern, char *why, size_t size)
{
    struct json value;
    struct naive_pattern *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    arena_init(&p->arena, 0);
    *ret_pattern = NULL;
    enum naive_answer answer = NAIVE_NO;
    if (size > 0)
        why[0] = '\0';
    if (json_parse(text, &value, NULL) == 0)
        answer = naive_parse(&p->arena, value, &p->rules, why, size);
    if (answer != NAIVE_YES) {
        naive_pattern_destroy(p);
        return answer;
    }
    for (size_t i = 0; i < p->rules.n; i++)
        qsort(p->rules.list[i].fields, p->rules.list[i].n, sizeof *p->rules.list[i].fields, compare_fields);
    *ret_pattern = p;
    return NAIVE_YES;
}

void
naive_pattern_destroy(struct naive_pattern *p)
{
    if (!p)
        return;
    arena_clean_up(&p->arena);
    free(p);
}

size_t
naive_pattern_alternatives(const struct naive_pattern *p)
{
    return p->rules.n;
}

/* ---- the event as its leaves ---- */

/* An array that a leaf lies in, and the element. Scalars that are elements themselves are not in that array. */
struct place {
    unsigned array, element;
    const struct place *outer;
};

struct leaf {
    struct slice path;
    enum json_type type;
    struct slice text; /* strings decoded, others as written */
    const struct place *place;
};

struct flat {
    struct arena arena;
    struct leaf *leaves;
    size_t n, room;
    unsigned arrays;
    bool lone; /* no pattern holds half of a surrogate pair, so nothing equals it */
};

static void
flatten(struct flat *f, struct json v, struct slice path, bool at_top, const struct place *place)
{
    if (v.type == JSON_OBJECT) {
        for (struct json_iter it = json_iter(v); json_next(&it);)
            flatten(f, it.value, naive_join(&f->arena, path, naive_decode(&f->arena, it.key, &f->lone), at_top), false,
                    place);
    } else if (v.type == JSON_ARRAY) {
        unsigned array = f->arrays++;
        for (struct json_iter it = json_iter(v); json_next(&it);) {
            struct place *inside = naive_more(&f->arena, NULL, 0, sizeof *inside);
            *inside = (struct place){.array = array, .element = (unsigned)it.index, .outer = place};
            bool container = it.value.type == JSON_OBJECT || it.value.type == JSON_ARRAY;
            flatten(f, it.value, path, false, container ? inside : place);
        }
    } else {
        if (f->n == f->room) {
            f->room = f->room ? 2 * f->room : 64;
            f->leaves = realloc(f->leaves, f->room * sizeof *f->leaves);
            if (!f->leaves)
                abort();
        }
        struct slice text = v.type == JSON_STRING ? naive_decode(&f->arena, v, &f->lone) : v.text;
        f->leaves[f->n++] = (struct leaf){.path = path, .type = v.type, .text = text, .place = place};
    }
}

/* ---- one leaf against one entry ---- */

static bool entry_takes(const struct naive_entry *e, const struct leaf *leaf, struct naive_effort *effort);

static bool
string_is_taken(const struct naive_entry *e, struct slice s, struct naive_effort *effort)
{
    struct naive_ip ip;
    switch (e->kind) {
    case KIND_STRING:
        return slice_equals(s, e->text);
    case KIND_PREFIX:
        return slice_starts_with(s, e->text);
    case KIND_SUFFIX:
        return s.n >= e->text.n && slice_equals(slice_of(s.p + (s.n - e->text.n), e->text.n), e->text);
    case KIND_FOLDED:
        return naive_folded_equals(e->text, s, effort);
    case KIND_FOLDED_PREFIX:
        return naive_folded_starts(e->text, s, effort);
    case KIND_FOLDED_SUFFIX:
        return naive_folded_ends(e->text, s, effort);
    case KIND_WILDCARD:
        return naive_wildcard(e->text, s, effort);
    case KIND_NET:
        return naive_ip(s, &ip) == NAIVE_IP && naive_ip_within(&e->net, e->bits, &ip);
    default:
        return false;
    }
}

static bool
number_is_taken(const struct naive_entry *e, struct slice text, struct naive_effort *effort)
{
    double value;
    bool comparable = naive_number(text, &value, effort);
    if (e->kind == KIND_NUMBER)
        return comparable && e->comparable ? value == e->number : slice_equals(text, e->text);
    if (e->kind != KIND_RANGE || !comparable)
        return false;
    if (e->has_low && (e->low_open ? value <= e->low : value < e->low))
        return false;
    return !e->has_high || (e->high_open ? value < e->high : value <= e->high);
}

static bool
entry_takes(const struct naive_entry *e, const struct leaf *leaf, struct naive_effort *effort)
{
    if (e->kind == KIND_PRESENT)
        return true;
    if (e->kind == KIND_NONE_OF) {
        for (size_t i = 0; i < e->n_inner; i++)
            if (entry_takes(&e->inner[i], leaf, effort))
                return false;
        return true;
    }
    if (leaf->type == JSON_STRING)
        return string_is_taken(e, leaf->text, effort);
    if (leaf->type == JSON_NUMBER)
        return number_is_taken(e, leaf->text, effort);
    return e->kind == KIND_WORD && slice_equals(e->text, leaf->text);
}

/* ---- a sub-rule ---- */

/* The leaves that were chosen, latest first. */
struct chosen {
    const struct leaf *leaf;
    const struct chosen *before;
};

static bool
agrees(const struct chosen *chosen, const struct leaf *leaf)
{
    for (; chosen; chosen = chosen->before)
        for (const struct place *a = chosen->leaf->place; a; a = a->outer)
            for (const struct place *b = leaf->place; b; b = b->outer)
                if (a->array == b->array && a->element != b->element)
                    return false;
    return true;
}

static bool
try_field(const struct naive_rule *rule, size_t at, const struct flat *event, const struct chosen *chosen,
          struct naive_effort *effort)
{
    if (at == rule->n)
        return true;
    const struct naive_field *field = &rule->fields[at];
    bool there = false;
    for (size_t i = 0; i < event->n; i++) {
        const struct leaf *leaf = &event->leaves[i];
        if (!naive_spend(effort))
            return false;
        if (!slice_equals(leaf->path, field->path) || !agrees(chosen, leaf))
            continue;
        there = true;
        const struct chosen with = {.leaf = leaf, .before = chosen};
        for (size_t k = 0; k < field->n_entries; k++)
            if (field->entries[k].kind != KIND_ABSENT && entry_takes(&field->entries[k], leaf, effort)) {
                if (try_field(rule, at + 1, event, &with, effort))
                    return true;
                break;
            }
    }
    for (size_t k = 0; k < field->n_entries; k++)
        if (field->entries[k].kind == KIND_ABSENT && !there)
            return try_field(rule, at + 1, event, chosen, effort);
    return false;
}

enum naive_answer
naive_pattern_match(const struct naive_pattern *p, struct json event)
{
    struct flat flat = {.n = 0};
    struct naive_effort effort = {.left = EFFORT};
    bool yes = false;
    if (event.type != JSON_OBJECT)
        return NAIVE_NO;
    arena_init(&flat.arena, 0);
    flatten(&flat, event, SLICE(""), true, NULL);
    for (size_t i = 0; i < p->rules.n && !yes; i++)
        yes = try_field(&p->rules.list[i], 0, &flat, NULL, &effort);
    free(flat.leaves);
    arena_clean_up(&flat.arena);
    return effort.unsure ? NAIVE_UNSURE : yes ? NAIVE_YES : NAIVE_NO;
}
