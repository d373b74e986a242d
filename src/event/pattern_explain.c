/* Why an event does not match: for people, one line a field. */
#include <stdlib.h>

#include "event/ruleset_impl.h"

#define MOST_VALUES 5
#define LONGEST     80 /* bytes of a value */

/* Searches of one explanation cost as much as so many of the event at most. */
#define MOST_SEARCHES 8

struct telling {
    struct buf *out;
    struct json event;
    const char *indent;
    uint64_t steps; /* left */
};

/* What the event has at a path. */
struct there {
    struct buf values; /* the first few */
    size_t n;
    bool object, empty_array;
};

static void
add_cut(struct buf *out, struct slice text)
{
    size_t n = text.n;
    if (n > LONGEST) {
        n = LONGEST;
        while (((unsigned char)text.p[n] & 0xc0) == 0x80)
            n--;
    }
    buf_add(out, text.p, n);
    if (n < text.n)
        buf_add_string(out, "...");
}

static void
look(struct there *t, struct json value, struct slice path, bool here)
{
    struct json_iter it = json_iter(value);
    size_t n = 0;
    if (value.type != JSON_OBJECT && value.type != JSON_ARRAY) {
        if (here && t->n++ < MOST_VALUES) {
            buf_add_string(&t->values, t->n > 1 ? ", " : "");
            add_cut(&t->values, value.text);
        }
        return;
    }
    t->object = t->object || (here && value.type == JSON_OBJECT);
    for (; json_next(&it); n++) {
        struct slice rest = path;
        bool at = here;
        if (value.type == JSON_ARRAY || pattern_follow(it.key, &rest, &at))
            look(t, it.value, rest, at);
    }
    t->empty_array = t->empty_array || (here && value.type == JSON_ARRAY && n == 0);
}

static void
say_wanted(struct buf *out, const struct pattern_field *field)
{
    struct json array = {.text = field->written, .type = JSON_ARRAY};
    struct buf entry = BUF_INIT;
    buf_add_slice(out, field->path);
    buf_add_string(out, ": wanted ");
    for (struct json_iter it = json_iter(array); json_next(&it);) {
        buf_reset(&entry);
        json_write_compact(&entry, it.value);
        buf_add_string(out, it.index > 0 ? " or " : "");
        if (!buf_failed(&entry))
            add_cut(out, buf_slice(&entry));
    }
    if (buf_failed(&entry))
        out->failed = true;
    buf_clean_up(&entry);
}

static void
say_there(struct buf *out, const struct there *t)
{
    if (t->n > 0) {
        buf_add_string(out, "; the event has ");
        buf_add_slice(out, buf_slice(&t->values));
        if (t->n > MOST_VALUES)
            buf_add_format(out, " and %zu more", t->n - MOST_VALUES);
    } else if (t->object || t->empty_array) {
        buf_add_format(out, "; the event has an %s there, which is no value", t->object ? "object" : "empty array");
    } else {
        buf_add_string(out, "; missing");
    }
}

/* Which of the fields that were satisfied keep this one from being so. */
static void
say_with(struct telling *t, const struct pattern_rule *kept, struct pattern_field *field)
{
    struct buf *out = t->out;
    const char *between = "";
    buf_add_string(out, ", but not together with ");
    for (size_t i = 0; i < kept->n_fields; i++) {
        struct pattern_field *both[] = {kept->fields[i], field};
        struct pattern_rule rule = {.fields = both, .n_fields = 2};
        if (ruleset_search_rule(&rule, t->event, &t->steps))
            continue;
        buf_add_format(out, "%s%.*s", between, SLICE_ARG(kept->fields[i]->path));
        between = ", ";
    }
    if (!*between)
        buf_add_string(out, "all of the fields before it");
    buf_add_string(out, ": no element of an array has both");
}

/* kept: the fields before that can be satisfied together, with room for this one. */
static void
explain_field(struct telling *t, struct pattern_rule *kept, struct pattern_field *field)
{
    kept->fields[kept->n_fields++] = field;
    if (ruleset_search_rule(kept, t->event, &t->steps))
        return;
    kept->n_fields--;
    struct pattern_rule alone = {.fields = &field, .n_fields = 1};
    struct there there = {.values = BUF_INIT};
    look(&there, t->event, field->path, false);
    buf_add_string(t->out, t->indent);
    say_wanted(t->out, field);
    say_there(t->out, &there);
    if (kept->n_fields > 0 && ruleset_search_rule(&alone, t->event, &t->steps))
        say_with(t, kept, field);
    buf_add_char(t->out, '\n');
    if (buf_failed(&there.values))
        t->out->failed = true;
    buf_clean_up(&there.values);
}

int
pattern_explain(const struct pattern *p, struct json event, struct buf *out)
{
    size_t most = 0;
    if (event.type != JSON_OBJECT) {
        buf_add_string(out, "the event is not a JSON object\n");
        return 0;
    }
    for (size_t i = 0; i < p->n_rules; i++)
        most = p->rules[i].n_fields > most ? p->rules[i].n_fields : most;
    struct pattern_rule kept = {.fields = malloc((most + 1) * sizeof(struct pattern_field *))};
    if (!kept.fields)
        return ERR_NO_MEMORY;
    struct telling t = {.out = out, .event = event, .indent = p->n_rules > 1 ? "  " : ""};
    t.steps = MOST_SEARCHES * ruleset_search_steps(event);
    uint64_t least = event.text.n; /* more than one look at the event takes */
    for (size_t i = 0; i < p->n_rules && t.steps > least; i++) {
        const struct pattern_rule *rule = &p->rules[i];
        size_t before = out->len;
        kept.n_fields = 0;
        if (p->n_rules > 1)
            buf_add_format(out, "combination %zu of %zu:\n", i + 1, p->n_rules);
        for (size_t k = 0; k < rule->n_fields; k++)
            explain_field(&t, &kept, rule->fields[k]);
        if (t.steps <= least) { /* then what was told last may be wrong */
            buf_truncate(out, before);
            buf_add_format(out, "%zu more of %zu combinations: the event is too large to tell\n", p->n_rules - i,
                           p->n_rules);
        } else if (kept.n_fields == rule->n_fields) { /* the search knows more than the match, which had less time */
            buf_add_string(out, "  the event is too large to tell\n");
        }
    }
    free(kept.fields);
    return 0;
}
