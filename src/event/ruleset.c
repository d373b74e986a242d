/* Many patterns against one event. */
#include "event/ruleset.h"

#include <stdlib.h>

#include "event/pattern.h"

struct event_rules {
    size_t n;
    struct event_pattern *patterns[];
};

struct event_scratch {
    const struct event_rules *rules;
};

int
event_rules_compile(const struct slice *patterns, size_t n, struct event_rules **ret_rules, size_t *ret_bad,
                    struct err *e)
{
    struct event_rules *r = calloc(1, sizeof *r + n * sizeof *r->patterns);
    if (ret_bad)
        *ret_bad = n;
    if (!r)
        return err_no_memory(e);
    for (; r->n < n; r->n++) {
        int rc = event_pattern_compile(patterns[r->n], &r->patterns[r->n], e);
        if (rc != 0) {
            if (ret_bad && rc != ERR_NO_MEMORY)
                *ret_bad = r->n;
            event_rules_destroy(r);
            return rc;
        }
    }
    *ret_rules = r;
    return 0;
}

void
event_rules_destroy(struct event_rules *r)
{
    for (size_t i = 0; r && i < r->n; i++)
        event_pattern_destroy(r->patterns[i]);
    free(r);
}

size_t
event_rules_count(const struct event_rules *r)
{
    return r->n;
}

int
event_scratch_new(const struct event_rules *r, struct event_scratch **ret_scratch, struct err *e)
{
    struct event_scratch *s = malloc(sizeof *s);
    if (!s)
        return err_no_memory(e);
    s->rules = r;
    *ret_scratch = s;
    return 0;
}

void
event_scratch_destroy(struct event_scratch *s)
{
    free(s);
}

size_t
event_rules_match(const struct event_rules *r, struct event_scratch *s, struct json event, uint32_t *ret_indexes)
{
    size_t hits = 0;
    (void)s;
    for (size_t i = 0; i < r->n; i++)
        if (event_pattern_match(r->patterns[i], event))
            ret_indexes[hits++] = (uint32_t)i;
    return hits;
}

int
event_rules_match_text(const struct event_rules *r, struct event_scratch *s, struct slice event, uint32_t *ret_indexes,
                       size_t *ret_n, struct err *e)
{
    struct json value;
    int rc = event_parse(event, &value, e);
    if (rc == 0)
        *ret_n = event_rules_match(r, s, value, ret_indexes);
    return rc;
}
