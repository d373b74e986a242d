/* One pattern against an event by trying every choice of values, field by field as their paths sort. Slow, and bounded:
 * for the few events that a walk over their tree cannot decide (ruleset_impl.h, ways). */
#include "event/ruleset_impl.h"

/* Elements chosen at the same time, calls within calls. */
#define MAX_CHOICES 512
#define MAX_CALLS   1000

struct choice {
    const char *array, *element; /* where they start */
};

struct search {
    const struct pattern_rule *rule;
    struct json event;
    struct choice choices[MAX_CHOICES];
    size_t n_choices, calls;
    uint64_t steps; /* left */
    bool absents;   /* a field of the rule may be missing */
};

/* NO_MORE: nor will any other value of this field do. */
enum answer { NO, NO_MORE, YES, GIVE_UP };

/* What a walk is looking for: values at a field, to go on from (or, absence, to know of). */
struct goal {
    size_t field, choices; /* choices: how many there were before the walk */
    bool absence;
    struct slice path; /* of it, what is still to come */
    bool here;         /* nothing is to come */
};

static enum answer next_field(struct search *s, size_t field);
static enum answer walk(struct search *s, struct json value, struct goal g);

/* A value that added no choice is as good as any other: when it does not lead on, nothing does. (Unless something has
 * to be missing, which a choice can help to.) */
static enum answer
at_value(struct search *s, struct json value, struct goal g)
{
    if (!g.here)
        return NO;
    if (g.absence)
        return YES;
    if (!pattern_field_matches(s->rule->fields[g.field], value))
        return NO;
    enum answer answer = next_field(s, g.field + 1);
    return answer == NO && s->n_choices == g.choices && !s->absents ? NO_MORE : answer;
}

static enum answer
walk_element(struct search *s, struct json array, struct json element, struct goal g)
{
    size_t i = 0, n = s->n_choices;
    if (element.type != JSON_OBJECT && element.type != JSON_ARRAY)
        return at_value(s, element, g);
    while (i < n && s->choices[i].array != array.text.p)
        i++;
    if (i < n && s->choices[i].element != element.text.p)
        return NO;
    if (i == n) {
        if (n == MAX_CHOICES)
            return GIVE_UP;
        s->choices[s->n_choices++] = (struct choice){array.text.p, element.text.p};
    }
    enum answer answer = walk(s, element, g);
    s->n_choices = n;
    return answer;
}

static enum answer
walk_container(struct search *s, struct json value, struct goal g)
{
    for (struct json_iter it = json_iter(value); json_next(&it);) {
        struct goal below = g;
        enum answer answer = NO;
        if (value.type == JSON_ARRAY)
            answer = walk_element(s, value, it.value, g);
        else if (pattern_follow(it.key, &below.path, &below.here))
            answer = walk(s, it.value, below);
        if (answer != NO)
            return answer;
    }
    return NO;
}

static enum answer
walk(struct search *s, struct json value, struct goal g)
{
    uint64_t cost = value.text.n / 16 + 1;
    if (s->steps < cost || s->calls == MAX_CALLS)
        return GIVE_UP;
    s->steps -= cost;
    s->calls++;
    enum answer answer =
        value.type == JSON_OBJECT || value.type == JSON_ARRAY ? walk_container(s, value, g) : at_value(s, value, g);
    s->calls--;
    return answer;
}

static enum answer
next_field(struct search *s, size_t field)
{
    if (field == s->rule->n_fields)
        return YES;
    const struct pattern_field *f = s->rule->fields[field];
    struct goal g = {.field = field, .choices = s->n_choices, .path = f->path};
    if (f->absent) {
        g.absence = true;
        enum answer there = walk(s, s->event, g);
        if (there != YES)
            return there == NO ? next_field(s, field + 1) : GIVE_UP;
        g.absence = false;
    }
    enum answer answer = walk(s, s->event, g);
    return answer == NO_MORE ? NO : answer;
}

static enum answer
search_rule(struct search *s, const struct pattern_rule *rule)
{
    s->rule = rule;
    s->n_choices = 0;
    s->absents = false;
    for (size_t i = 0; i < rule->n_fields; i++)
        s->absents = s->absents || rule->fields[i]->absent;
    return next_field(s, 0);
}

bool
ruleset_search(const struct pattern *p, struct json event, uint64_t *steps, bool *ret_gave_up)
{
    uint64_t most = ruleset_search_steps(event);
    struct search s = {.event = event, .steps = *steps < most ? *steps : most};
    uint64_t given = s.steps;
    bool matches = false, gave_up = false;
    for (size_t i = 0; i < p->n_rules && !matches; i++) {
        enum answer answer = search_rule(&s, &p->rules[i]);
        matches = answer == YES;
        gave_up |= answer == GIVE_UP;
    }
    *steps -= given - s.steps;
    *ret_gave_up |= gave_up && !matches;
    return matches;
}

bool
ruleset_search_rule(const struct pattern_rule *rule, struct json event, uint64_t *steps)
{
    uint64_t most = ruleset_search_steps(event);
    struct search s = {.event = event, .steps = *steps < most ? *steps : most};
    uint64_t given = s.steps;
    bool matches = search_rule(&s, rule) == YES;
    *steps -= given - s.steps;
    return matches;
}
