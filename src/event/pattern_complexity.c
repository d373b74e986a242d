/* How much choice the wildcards of one field leave while a text is read: the most beginnings of them (up to and with
 * any of their characters or stars) that one text can match at once. AWS refuses a pattern where that is too much
 * (MachineComplexityEvaluator of its Java library; its bound is not published, see PATTERN_MAX_COMPLEXITY).
 *
 * The quotes around a text count as characters, since AWS's library has them in its machines.
 *
 * A beginning is a place. Reading a byte leads from a set of places to the next set; this walks over all sets that any
 * text can lead to, as long as they stay below the bound. */
#include <stdlib.h>
#include <string.h>

#include "event/pattern.h"
#include "event/pattern_rule.h"

/* Sets to look at before a pattern is called too complex as well: patterns that people write have some hundreds. */
#define MAX_SETS 20000
#define NO_PLACE UINT16_MAX

/* Behind a character or a star of a wildcard. Those of one anything-but share their common beginnings. */
struct place {
    uint16_t first_child, next_sibling; /* places one character further */
    unsigned char byte;
    bool star;
};

struct set {
    uint16_t places[PATTERN_MAX_COMPLEXITY]; /* ascending; n of them */
    uint16_t n;
};

struct evaluator {
    struct place *places;
    size_t n_places;
    struct set *sets;
    size_t n_sets;
    uint32_t *table; /* index of a set + 1, by hash */
};

#define TABLE_SIZE 65536

static uint16_t
child_of(struct evaluator *v, uint16_t parent, unsigned char byte, bool star)
{
    uint16_t *link = &v->places[parent].first_child;
    for (; *link != NO_PLACE; link = &v->places[*link].next_sibling)
        if (v->places[*link].star == star && v->places[*link].byte == byte)
            return *link;
    uint16_t place = (uint16_t)v->n_places++;
    v->places[place] = (struct place){NO_PLACE, NO_PLACE, byte, star};
    *link = place;
    return place;
}

static void
add_wildcard(struct evaluator *v, uint16_t root, struct slice text)
{
    root = child_of(v, root, '"', false);
    for (size_t i = 0; i < text.n; i++) {
        bool star = text.p[i] == '*';
        i += text.p[i] == '\\';
        root = child_of(v, root, star ? 0 : (unsigned char)text.p[i], star);
    }
    child_of(v, root, '"', false);
}

/* Adds a place, and the stars that may stand for nothing behind it. False: too many. */
static bool
include(const struct evaluator *v, struct set *s, uint16_t place)
{
    uint16_t i = 0;
    while (i < s->n && s->places[i] < place)
        i++;
    if (i == s->n || s->places[i] != place) {
        if (s->n == PATTERN_MAX_COMPLEXITY)
            return false;
        memmove(&s->places[i + 1], &s->places[i], (s->n - i) * sizeof *s->places);
        s->places[i] = place;
        s->n++;
    }
    for (uint16_t c = v->places[place].first_child; c != NO_PLACE; c = v->places[c].next_sibling)
        if (v->places[c].star && !include(v, s, c))
            return false;
    return true;
}

/* What reading the byte leads to; byte < 0: one that no wildcard names. */
static bool
advance(const struct evaluator *v, const struct set *from, int byte, struct set *to)
{
    to->n = 0;
    for (uint16_t i = 0; i < from->n; i++) {
        const struct place *p = &v->places[from->places[i]];
        if (p->star && !include(v, to, from->places[i]))
            return false;
        for (uint16_t c = p->first_child; c != NO_PLACE; c = v->places[c].next_sibling)
            if (!v->places[c].star && v->places[c].byte == byte && !include(v, to, c))
                return false;
    }
    return true;
}

/* Remembers a set that was not met before. False: there are too many. */
static bool
remember(struct evaluator *v, const struct set *s)
{
    uint32_t hash = 2166136261U;
    for (uint16_t i = 0; i < s->n; i++)
        hash = (hash ^ s->places[i]) * 16777619U;
    hash ^= hash >> 15;
    for (;; hash++) {
        uint32_t *slot = &v->table[hash % TABLE_SIZE];
        if (*slot == 0) {
            if (v->n_sets == MAX_SETS)
                return false;
            v->sets[v->n_sets] = *s;
            *slot = (uint32_t)++v->n_sets;
            return true;
        }
        const struct set *other = &v->sets[*slot - 1];
        if (other->n == s->n && memcmp(other->places, s->places, s->n * sizeof *s->places) == 0)
            return true;
    }
}

static bool
is_simple(struct evaluator *v, const uint16_t *roots, size_t n_roots)
{
    struct set s = {.n = 0}, next;
    for (size_t i = 0; i < n_roots; i++) /* every text starts with the quote that every wildcard starts with */
        if (!include(v, &s, v->places[roots[i]].first_child))
            return false;
    bool simple = remember(v, &s);
    for (size_t i = 0; simple && i < v->n_sets; i++) {
        s = v->sets[i];
        simple = advance(v, &s, -1, &next) && remember(v, &next);
        for (uint16_t k = 0; k < s.n; k++)
            for (uint16_t c = v->places[s.places[k]].first_child; simple && c != NO_PLACE;
                 c = v->places[c].next_sibling)
                if (!v->places[c].star)
                    simple = advance(v, &s, v->places[c].byte, &next) && remember(v, &next);
    }
    return simple;
}

/* ---- which wildcards meet ---- */

static bool
has_wildcard(const struct pattern_entry *entry)
{
    return entry->n_tests > 0 && entry->tests[0].kind == PATTERN_WILDCARD;
}

static bool
same_wildcards(const struct pattern_entry *a, const struct pattern_entry *b)
{
    if (a->n_tests != b->n_tests || a->but != b->but)
        return false;
    for (size_t i = 0; i < a->n_tests; i++)
        if (!slice_equals(a->tests[i].text, b->tests[i].text))
            return false;
    return true;
}

/* All entries with wildcards that any of the rules has at this path, each once. entries has room. */
static size_t
gather(const struct pattern *p, struct slice path, const struct pattern_entry **entries)
{
    size_t n = 0;
    for (size_t r = 0; r < p->n_rules; r++) {
        for (size_t f = 0; f < p->rules[r].n_fields; f++) {
            struct pattern_field *field = p->rules[r].fields[f];
            if (field->weighed || !slice_equals(field->path, path))
                continue;
            field->weighed = true;
            for (size_t i = 0; i < field->n_entries; i++) {
                size_t k = 0;
                while (k < n && !same_wildcards(entries[k], &field->entries[i]))
                    k++;
                if (k == n && has_wildcard(&field->entries[i]))
                    entries[n++] = &field->entries[i];
            }
        }
    }
    return n;
}

static bool
field_is_simple(struct evaluator *v, const struct pattern_entry *const *entries, size_t n, uint16_t *roots)
{
    v->n_places = 0;
    v->n_sets = 0;
    memset(v->table, 0, TABLE_SIZE * sizeof *v->table);
    for (size_t i = 0; i < n; i++) {
        roots[i] = (uint16_t)v->n_places++;
        v->places[roots[i]] = (struct place){NO_PLACE, NO_PLACE, 0, false};
        for (size_t k = 0; k < entries[i]->n_tests; k++)
            add_wildcard(v, roots[i], entries[i]->tests[k].text);
    }
    return is_simple(v, roots, n);
}

int
pattern_check_complexity(const struct pattern *p, bool *ret_too_complex, struct err *e)
{
    const size_t room = EVENT_PATTERN_MAX_BYTES; /* more than a pattern can have of anything */
    struct evaluator v = {0};
    const struct pattern_entry **entries = NULL;
    uint16_t *roots = NULL;
    int rc = 0;
    *ret_too_complex = false;
    for (size_t r = 0; r < p->n_rules && !*ret_too_complex; r++) {
        for (size_t f = 0; f < p->rules[r].n_fields && !*ret_too_complex; f++) {
            const struct pattern_field *field = p->rules[r].fields[f];
            bool any = false;
            for (size_t i = 0; i < field->n_entries && !field->weighed; i++)
                any = any || has_wildcard(&field->entries[i]);
            if (!any)
                continue;
            if (!entries) {
                entries = malloc(room * sizeof *entries);
                roots = malloc(room * sizeof *roots);
                v.places = malloc(2 * room * sizeof *v.places);
                v.sets = malloc(MAX_SETS * sizeof *v.sets);
                v.table = malloc(TABLE_SIZE * sizeof *v.table);
            }
            if (!entries || !roots || !v.places || !v.sets || !v.table) {
                rc = err_no_memory(e);
                goto out;
            }
            size_t n = gather(p, field->path, entries);
            *ret_too_complex = !field_is_simple(&v, entries, n, roots);
        }
    }
out:
    free(entries);
    free(roots);
    free(v.places);
    free(v.sets);
    free(v.table);
    return rc;
}
