/* Sets of patterns and what matching with one takes. */
#include "event/ruleset.h"

#include <stdlib.h>
#include <string.h>

#include "event/pattern.h"
#include "event/ruleset_impl.h"

static void
clean_up(struct event_rules *r)
{
    free(r->nodes);
    free(r->children);
    free(r->indexes);
    free(r->tests);
    free(r->ranges);
    free(r->pieces);
    free(r->buts);
    free(r->targets);
    free(r->parts);
    free(r->links);
    free(r->absents);
    for (size_t i = 0; i < r->n_patterns; i++)
        pattern_destroy(r->patterns[i]);
    free(r->patterns);
    arena_clean_up(&r->arena);
}

void
event_rules_destroy(struct event_rules *r)
{
    if (!r)
        return;
    clean_up(r);
    free(r);
}

int
event_rules_compile(const struct slice *patterns, size_t n, struct event_rules **ret_rules, size_t *ret_bad,
                    struct err *e)
{
    struct event_rules *r = calloc(1, sizeof *r);
    size_t bad = n;
    int rc = 0;
    if (r) {
        arena_init(&r->arena, 0);
        r->patterns = calloc(n + 1, sizeof(struct pattern *));
    }
    if (!r || !r->patterns)
        rc = err_no_memory(e);
    for (; rc == 0 && r->n_patterns < n; r->n_patterns++) {
        rc = pattern_parse(patterns[r->n_patterns], &r->patterns[r->n_patterns], e);
        if (rc != 0) {
            bad = rc == ERR_NO_MEMORY ? n : r->n_patterns;
            break;
        }
    }
    if (rc == 0)
        rc = ruleset_build(r, e);
    if (rc != 0) {
        event_rules_destroy(r);
        if (ret_bad)
            *ret_bad = bad;
        return rc;
    }
    *ret_rules = r;
    return 0;
}

size_t
event_rules_count(const struct event_rules *r)
{
    return r->n_patterns;
}

/* ---- scratch ---- */

/* Lays out the parts of a scratch one behind the other; with memory NULL only counts. Largest alignment first. */
static size_t
lay_out(const struct event_rules *r, char *memory, struct event_scratch *s)
{
    size_t at = 0;
    uint32_t room = 2 * r->n_items + 64;
#define PLACE(field, n)                                                                                                \
    do {                                                                                                               \
        if (memory)                                                                                                    \
            s->field = (void *)(memory + at);                                                                          \
        at += (n) * sizeof *s->field;                                                                                  \
        at = (at + 7) & ~(size_t)7;                                                                                    \
    } while (0)
    PLACE(entered, r->n_nodes);
    PLACE(levels, r->n_levels / 64 + 1);
    PLACE(hits, (r->n_patterns + 63) / 64 + 1);
    PLACE(where, r->n_items + 1);
    PLACE(candidates, r->n_levels + 1);
    PLACE(next_candidate, r->n_parts + 1);
    PLACE(excluded, r->n_buts + 1);
    PLACE(items, room);
    PLACE(lower, r->longest_folded + 1);
    PLACE(buffers, 1);
#undef PLACE
    s->room = room;
    return at;
}

size_t
ruleset_scratch_bytes(const struct event_rules *set)
{
    struct event_scratch s;
    return lay_out(set, NULL, &s);
}

void
ruleset_scratch_init(const struct event_rules *set, void *memory, struct event_scratch *ret_scratch)
{
    *ret_scratch = (struct event_scratch){.n_items = 0};
    lay_out(set, memory, ret_scratch);
}

int
event_scratch_new(const struct event_rules *r, struct event_scratch **ret_scratch, struct err *e)
{
    size_t header = (sizeof(struct event_scratch) + 15) & ~(size_t)15;
    struct event_scratch *s = calloc(1, header + ruleset_scratch_bytes(r));
    if (!s)
        return err_no_memory(e);
    ruleset_scratch_init(r, (char *)s + header, s);
    *ret_scratch = s;
    return 0;
}

void
event_scratch_destroy(struct event_scratch *s)
{
    free(s);
}

/* ---- matching ---- */

int
event_rules_match_text(const struct event_rules *r, struct event_scratch *s, struct slice event, uint32_t *ret_indexes,
                       size_t *ret_n, struct err *e)
{
    size_t n = 0;
    int rc = ruleset_match(r, s, event, e);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < (r->n_patterns + 63) / 64; i++)
        for (uint64_t bits = s->hits[i]; bits; bits &= bits - 1)
            ret_indexes[n++] = i * 64 + (uint32_t)__builtin_ctzll(bits);
    *ret_n = n;
    return 0;
}

size_t
event_rules_match(const struct event_rules *r, struct event_scratch *s, struct json event, uint32_t *ret_indexes)
{
    size_t n = 0;
    return event_rules_match_text(r, s, event.text, ret_indexes, &n, NULL) == 0 ? n : 0;
}
