/* From a pattern's text to its rules, or AWS's words about what is wrong with it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/pattern.h"
#include "event/pattern_rule.h"

#undef pattern_refuse
int
pattern_refuse(const struct pattern_parser *c, const char *at, const char *format, ...)
{
    char reason[300];
    size_t line, column;
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);
    json_locate(c->text, at, &line, &column);
    return err_set(c->e, ERR_INVALID, "Event pattern is not valid. Reason: %s at [line: %zu, column: %zu]", reason,
                   line, column);
}
#define pattern_refuse(...) err_negative(pattern_refuse(__VA_ARGS__))

int
pattern_shown_bytes(struct slice text)
{
    size_t n = text.n < 100 ? text.n : 100;
    while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
        n--;
    return (int)n;
}

int
pattern_decode(const struct pattern_parser *c, struct json string, struct slice *ret_text)
{
    size_t n = json_raw(string).n;
    char *text = arena_alloc(&c->pattern->arena, n);
    if (!text)
        return err_no_memory(c->e);
    if (!json_decode_into(string, text, n, &n))
        return pattern_refuse(c, string.text.p, "\"%.*s\" holds half of a surrogate pair", PATTERN_ARG(string));
    *ret_text = slice_of(text, n);
    return 0;
}

/* In UTF-8, UTF-16's order differs where surrogates, that is four-byte sequences, meet U+E000 to U+FFFF. */
static int
utf16_rank(unsigned char byte)
{
    return byte >= 0xf0 ? byte - 0x10 + 0x0d : byte >= 0xee ? byte + 0x20 : byte;
}

int
pattern_compare_paths(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n, i = 0;
    while (i < n && a.p[i] == b.p[i])
        i++;
    if (i == n)
        return (a.n > b.n) - (a.n < b.n);
    return utf16_rank((unsigned char)a.p[i]) < utf16_rank((unsigned char)b.p[i]) ? -1 : 1;
}

/* ---- rules: the alternatives that $or makes ---- */

struct rules {
    struct pattern_rule *list;
    size_t n, room;
};

static bool
make_room(struct arena *arena, void *list, size_t *room, size_t n, size_t size)
{
    if (n < *room)
        return true;
    size_t more = *room ? *room * 2 : 4;
    void *new_list = arena_alloc(arena, more * size), *old;
    if (!new_list)
        return false;
    memcpy(&old, list, sizeof old);
    if (n > 0)
        memcpy(new_list, old, n * size);
    memcpy(list, &new_list, sizeof old);
    *room = more;
    return true;
}

/* Whether $or made too much of the pattern, up to what stands here. */
static int
check_bounds(const struct pattern_parser *c, const struct rules *rules, struct json here)
{
    size_t in_all = 0, line, column;
    for (size_t i = 0; i < rules->n; i++)
        in_all += rules->list[i].n_fields;
    if (rules->n <= PATTERN_MAX_RULES && in_all <= PATTERN_MAX_RULE_FIELDS)
        return 0;
    json_locate(c->text, here.text.p, &line, &column);
    return err_set(c->e, ERR_LIMIT,
                   "Event pattern is not valid. Reason: $or makes more than %d combinations, or %d fields in all of "
                   "them at [line: %zu, column: %zu]",
                   PATTERN_MAX_RULES, PATTERN_MAX_RULE_FIELDS, line, column);
}

static int
add_rule(const struct pattern_parser *c, struct rules *rules, const struct pattern_rule *copy_of)
{
    struct arena *arena = &c->pattern->arena;
    struct pattern_rule rule = {0};
    if (copy_of && copy_of->n_fields > 0) {
        rule.n_fields = rule.room = copy_of->n_fields;
        rule.fields = arena_alloc(arena, rule.room * sizeof *rule.fields);
        if (!rule.fields)
            return err_no_memory(c->e);
        memcpy(rule.fields, copy_of->fields, rule.n_fields * sizeof *rule.fields);
    }
    if (!make_room(arena, &rules->list, &rules->room, rules->n, sizeof *rules->list))
        return err_no_memory(c->e);
    rules->list[rules->n++] = rule;
    return 0;
}

/* Puts the field into the rule, in its place; of a path given twice the later one counts. */
static int
put_field(const struct pattern_parser *c, struct pattern_rule *rule, struct pattern_field *field)
{
    size_t low = 0;
    for (size_t n = rule->n_fields; n > 0;) {
        size_t half = n / 2;
        int order = pattern_compare_paths(field->path, rule->fields[low + half]->path);
        if (order == 0) {
            rule->fields[low + half] = field;
            return 0;
        }
        if (order > 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    if (!make_room(&c->pattern->arena, &rule->fields, &rule->room, rule->n_fields, sizeof(struct pattern_field *)))
        return err_no_memory(c->e);
    memmove(&rule->fields[low + 1], &rule->fields[low], (rule->n_fields - low) * sizeof(struct pattern_field *));
    rule->fields[low] = field;
    rule->n_fields++;
    return 0;
}

/* ---- fields ---- */

static int
parse_field(struct pattern_parser *c, struct rules *rules, struct slice path, struct json array)
{
    size_t room = json_count(array);
    struct arena *arena = &c->pattern->arena;
    struct pattern_field *field = arena_zalloc(arena, sizeof *field);
    if (!field || !(field->entries = arena_alloc(arena, room * sizeof *field->entries)) ||
        !(field->written.p = arena_strndup(arena, array.text.p, array.text.n)))
        return err_no_memory(c->e);
    field->path = path;
    field->written.n = array.text.n;
    for (struct json_iter it = json_iter(array); json_next(&it); field->n_entries++) {
        struct pattern_entry *entry = &field->entries[field->n_entries];
        int rc = pattern_parse_entry(c, it.value, entry);
        if (rc != 0)
            return rc;
        field->absent = field->absent || entry->absent;
    }
    if (room == 0)
        return pattern_refuse(c, array.text.p, "Empty arrays are not allowed");
    int rc = rules->n == 0 ? add_rule(c, rules, NULL) : 0;
    for (size_t i = 0; rc == 0 && i < rules->n; i++)
        rc = put_field(c, &rules->list[i], field);
    return rc == 0 ? check_bounds(c, rules, array) : rc;
}

static int
join(const struct pattern_parser *c, struct slice path, bool is_root, struct json key, struct slice *ret_path)
{
    struct slice name;
    int rc = pattern_decode(c, key, &name);
    if (rc != 0)
        return rc;
    if (is_root) {
        *ret_path = name;
        return 0;
    }
    char *text = arena_alloc(&c->pattern->arena, path.n + 1 + name.n);
    if (!text)
        return err_no_memory(c->e);
    memcpy(text, path.p, path.n);
    text[path.n] = '.';
    memcpy(text + path.n + 1, name.p, name.n);
    *ret_path = slice_of(text, path.n + 1 + name.n);
    return 0;
}

/* Names that no field inside $or may have (Constants of AWS's library). */
static bool
is_reserved(struct json name)
{
    static const char *const RESERVED[] = {
        "exactly",
        "equals-ignore-case",
        "prefix",
        "suffix",
        "anything-but",
        "exists",
        "wildcard",
        "numeric",
        "cidr",
        "html",
        "=",
        "<",
        "<=",
        ">",
        ">=",
        "regex",
        "not-wildcard",
        "in-date-range",
        "not-equals-ignore-case",
        "date-after",
        "date-on-or-after",
        "date-before",
        "date-on-or-before",
        "ip-address-in-range",
        "ip-address-not-in-range",
    };
    for (size_t i = 0; i < sizeof RESERVED / sizeof *RESERVED; i++)
        if (json_equals_string(name, slice_of_string(RESERVED[i])))
            return true;
    return false;
}

struct place {
    struct slice path;
    bool is_root, in_or;
};

static int parse_object(struct pattern_parser *c, struct rules *rules, struct place place, struct json object);

/* Each object of the array goes on with the rules so far, and all of what they become are the rules from here on. */
static int
parse_or(struct pattern_parser *c, struct rules *rules, struct place place, struct json array)
{
    struct rules before = *rules;
    size_t objects = 0;
    *rules = (struct rules){0};
    place.in_or = true;
    if (array.type != JSON_ARRAY)
        return pattern_refuse(c, array.text.p, "It must be an Array followed with $or.");
    for (struct json_iter it = json_iter(array); json_next(&it); objects++) {
        struct rules branch = {0};
        int rc = before.n == 0 ? add_rule(c, &branch, NULL) : 0;
        if (it.value.type != JSON_OBJECT)
            return pattern_refuse(c, it.value.text.p, "Only JSON object is allowed in array of $or relationship.");
        for (size_t i = 0; rc == 0 && i < before.n; i++)
            rc = add_rule(c, &branch, &before.list[i]);
        if (rc == 0)
            rc = parse_object(c, &branch, place, it.value);
        for (size_t i = 0; rc == 0 && i < branch.n; i++) {
            if (!make_room(&c->pattern->arena, &rules->list, &rules->room, rules->n, sizeof *rules->list))
                rc = err_no_memory(c->e);
            else
                rules->list[rules->n++] = branch.list[i];
        }
        if (rc == 0)
            rc = check_bounds(c, rules, it.value);
        if (rc != 0)
            return rc;
    }
    return objects >= 2 ? 0
                        : pattern_refuse(c, array.text.p, "There must have at least 2 Objects in $or relationship.");
}

static int
parse_member(struct pattern_parser *c, struct rules *rules, struct place place, struct json key, struct json value)
{
    struct place below = {.in_or = place.in_or};
    if (c->with_or && json_equals_string(key, SLICE("$or")))
        return parse_or(c, rules, place, value);
    if (place.in_or && is_reserved(key))
        return pattern_refuse(c, key.text.p, "%.*s is Ruler reserved fieldName which cannot be used inside $or.",
                              PATTERN_ARG(key));
    int rc = join(c, place.path, place.is_root, key, &below.path);
    if (rc != 0)
        return rc;
    if (value.type == JSON_OBJECT)
        return parse_object(c, rules, below, value);
    if (value.type == JSON_ARRAY)
        return parse_field(c, rules, below.path, value);
    return pattern_refuse(c, value.text.p, "\"%.*s\" must be an object or an array", PATTERN_ARG(key));
}

static int
parse_object(struct pattern_parser *c, struct rules *rules, struct place place, struct json object)
{
    bool empty = true;
    for (struct json_iter it = json_iter(object); json_next(&it); empty = false) {
        int rc = parse_member(c, rules, place, it.key, it.value);
        if (rc != 0)
            return rc;
    }
    return empty ? pattern_refuse(c, object.text.p, "Empty objects are not allowed") : 0;
}

/* ---- the whole ---- */

void
pattern_destroy(struct pattern *p)
{
    if (!p)
        return;
    arena_clean_up(&p->arena);
    free(p);
}

static int
check_complexity(const struct pattern_parser *c, struct json root)
{
    bool too_complex;
    int rc = pattern_check_complexity(c->pattern, &too_complex, c->e);
    if (rc == 0 && too_complex)
        rc = pattern_refuse(c, root.text.p,
                            "Rule is too complex - try using fewer wildcard characters or fewer repeating character "
                            "sequences after a wildcard character");
    return rc;
}

static int
read_once(struct pattern_parser *c, struct json root)
{
    struct rules rules = {0};
    c->pattern = calloc(1, sizeof *c->pattern);
    if (!c->pattern)
        return err_no_memory(c->e);
    arena_init(&c->pattern->arena, 1024);
    int rc = parse_object(c, &rules, (struct place){.is_root = true}, root);
    c->pattern->rules = rules.list;
    c->pattern->n_rules = rules.n;
    if (rc == 0) {
        rc = check_complexity(c, root);
        c->is_final = true;
    }
    if (rc != 0) {
        pattern_destroy(c->pattern);
        c->pattern = NULL;
    }
    return rc;
}

/* As AWS's library adds a rule to a machine: what cannot be read with $or as an operator is read again with $or as a
 * name like any other, and it is that reading's fault that is told. */
int
pattern_parse(struct slice text, struct pattern **ret_pattern, struct err *e)
{
    struct pattern_parser c = {.text = text, .with_or = true, .e = e};
    struct json root;
    if (text.n > EVENT_PATTERN_MAX_BYTES)
        return err_set(e, ERR_LIMIT, "Event pattern is not valid. Reason: It is %zu bytes long, longer than %d", text.n,
                       EVENT_PATTERN_MAX_BYTES);
    int rc = json_parse(text, &root, e);
    if (rc != 0)
        return err_prefix(e, rc, "Event pattern is not valid. Reason");
    if (root.type != JSON_OBJECT)
        return pattern_refuse(&c, root.text.p, "Filter is not an object");
    rc = read_once(&c, root);
    if (rc == ERR_INVALID && !c.is_final) {
        c.with_or = false;
        rc = read_once(&c, root);
    }
    if (rc == 0)
        *ret_pattern = c.pattern;
    return rc;
}
