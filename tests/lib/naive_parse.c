#include "lib/naive_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void *
naive_more(struct arena *arena, const void *list, size_t n, size_t size)
{
    char *longer = arena_alloc(arena, (n + 1) * size);
    if (!longer)
        abort();
    if (n > 0)
        memcpy(longer, list, n * size);
    memset(longer + n * size, 0, size);
    return longer;
}

struct slice
naive_join(struct arena *arena, struct slice path, struct slice name, bool first)
{
    if (first)
        return name;
    char *joined = arena_alloc(arena, path.n + 1 + name.n);
    if (!joined)
        abort();
    memcpy(joined, path.p ? path.p : "", path.n);
    joined[path.n] = '.';
    memcpy(joined + path.n + 1, name.p, name.n);
    return slice_of(joined, path.n + 1 + name.n);
}

/* \u and four digits, which the scanner has seen to. */
static uint32_t
read_unit(const char *p)
{
    char digits[5] = {p[2], p[3], p[4], p[5], '\0'};
    return (uint32_t)strtoul(digits, NULL, 16);
}

struct slice
naive_decode(struct arena *arena, struct json string, bool *ret_lone)
{
    static const char escaped[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    struct slice raw = json_raw(string);
    char *text = arena_alloc(arena, raw.n);
    size_t n = 0;
    if (!text)
        abort();
    for (const char *p = raw.p, *end = raw.p + raw.n; p < end;) {
        if (*p != '\\') {
            text[n++] = *p++;
        } else if (p[1] != 'u') {
            text[n++] = meant[strchr(escaped, p[1]) - escaped];
            p += 2;
        } else {
            uint32_t c = read_unit(p), low = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? read_unit(p + 6) : 0;
            if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + (c - 0xd800) * 1024 + (low - 0xdc00);
                p += 6;
            }
            p += 6;
            if (c >= 0xd800 && c < 0xe000) {
                text[n++] = '\xff';
                *ret_lone = true;
            } else {
                n += utf8_encode(c, text + n);
            }
        }
    }
    return slice_of(text, n);
}

static void
put(struct naive_parser *p, struct naive_rule *rule, const struct naive_field *field)
{
    for (size_t i = 0; i < rule->n; i++)
        if (slice_equals(rule->fields[i].path, field->path)) {
            rule->fields[i] = *field;
            return;
        }
    rule->fields = naive_more(p->arena, rule->fields, rule->n, sizeof *rule->fields);
    rule->fields[rule->n++] = *field;
}

static struct naive_rules
copy_rules(struct naive_parser *p, const struct naive_rules *from)
{
    struct naive_rules to = {.n = from->n};
    for (size_t i = 0; i < from->n; i++) {
        to.list = naive_more(p->arena, to.list, i, sizeof *to.list);
        for (size_t k = 0; k < from->list[i].n; k++)
            put(p, &to.list[i], &from->list[i].fields[k]);
    }
    return to;
}

static void
add_rule(struct naive_parser *p, struct naive_rules *rules, struct naive_rule rule)
{
    rules->list = naive_more(p->arena, rules->list, rules->n, sizeof *rules->list);
    rules->list[rules->n++] = rule;
}

static bool
parse_field(struct naive_parser *p, struct naive_rules *rules, struct slice path, struct json list)
{
    struct naive_field field = {.path = path};
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        field.entries = naive_more(p->arena, field.entries, field.n_entries, sizeof *field.entries);
        if (!naive_parse_entry(p, it.value, &field.entries[field.n_entries++]))
            return false;
    }
    if (field.n_entries == 0)
        return naive_refuse(p, "Empty arrays are not allowed");
    if (rules->n == 0)
        add_rule(p, rules, (struct naive_rule){.n = 0});
    for (size_t i = 0; i < rules->n; i++)
        put(p, &rules->list[i], &field);
    return true;
}

static bool parse_object(struct naive_parser *p, struct naive_rules *rules, struct slice path, bool at_top, bool in_or,
                         struct json object);

static bool
parse_or(struct naive_parser *p, struct naive_rules *rules, struct slice path, bool at_top, struct json list)
{
    struct naive_rules before = *rules;
    size_t n = 0;
    *rules = (struct naive_rules){.n = 0};
    if (list.type != JSON_ARRAY)
        return naive_refuse(p, "It must be an Array followed with $or.");
    for (struct json_iter it = json_iter(list); json_next(&it); n++) {
        struct naive_rules branch = copy_rules(p, &before);
        if (it.value.type != JSON_OBJECT)
            return naive_refuse(p, "Only JSON object is allowed in array of $or relationship.");
        if (branch.n == 0)
            add_rule(p, &branch, (struct naive_rule){.n = 0});
        if (!parse_object(p, &branch, path, at_top, true, it.value))
            return false;
        for (size_t i = 0; i < branch.n; i++)
            add_rule(p, rules, branch.list[i]);
        if (rules->n > 3000) { /* the arena copies a list for each one that is added */
            p->unsure = true;
            return naive_refuse(p, "too much for the witness");
        }
    }
    return n < 2 ? naive_refuse(p, "There must have at least 2 Objects in $or relationship.") : true;
}

static const char *const RESERVED[] = {"exactly",
                                       "equals-ignore-case",
                                       "prefix",
                                       "suffix",
                                       "anything-but",
                                       "exists",
                                       "wildcard",
                                       "numeric",
                                       "cidr",
                                       "=",
                                       "<",
                                       "<=",
                                       ">",
                                       ">=",
                                       "regex",
                                       "not-wildcard",
                                       "not-equals-ignore-case",
                                       "date-after",
                                       "date-on-or-after",
                                       "date-before",
                                       "date-on-or-before",
                                       "in-date-range",
                                       "ip-address-in-range",
                                       "ip-address-not-in-range"};

static bool
parse_object(struct naive_parser *p, struct naive_rules *rules, struct slice path, bool at_top, bool in_or,
             struct json object)
{
    struct json_iter it = json_iter(object);
    if (json_count(object) == 0)
        return naive_refuse(p, "Empty objects are not allowed");
    while (json_next(&it)) {
        if (p->knows_or && json_equals_string(it.key, SLICE("$or"))) {
            if (!parse_or(p, rules, path, at_top, it.value))
                return false;
            continue;
        }
        for (size_t i = 0; in_or && i < sizeof RESERVED / sizeof *RESERVED; i++)
            if (json_equals_string(it.key, slice_of_string(RESERVED[i])))
                return naive_refuse(p, "%s is Ruler reserved fieldName which cannot be used inside $or.", RESERVED[i]);
        struct slice name = naive_string(p, it.key), below = naive_join(p->arena, path, name, at_top);
        if (it.value.type == JSON_OBJECT) {
            if (!parse_object(p, rules, below, false, in_or, it.value))
                return false;
        } else if (it.value.type == JSON_ARRAY) {
            if (!parse_field(p, rules, below, it.value))
                return false;
        } else {
            return naive_refuse(p, "\"%.*s\" must be an object or an array", SLICE_ARG(name));
        }
    }
    return true;
}

enum naive_answer
naive_parse(struct arena *arena, struct json pattern, struct naive_rules *ret_rules, char *why, size_t size)
{
    struct naive_parser p = {.arena = arena, .knows_or = true, .why = why, .size = size};
    bool valid;
    for (;; p.knows_or = false) {
        *ret_rules = (struct naive_rules){.n = 0};
        if (pattern.type != JSON_OBJECT)
            valid = naive_refuse(&p, "Filter is not an object");
        else
            valid = parse_object(&p, ret_rules, SLICE(""), true, false, pattern);
        if (valid || p.final || !p.knows_or)
            break;
    }
    return p.unsure ? NAIVE_UNSURE : valid ? NAIVE_YES : NAIVE_NO;
}
