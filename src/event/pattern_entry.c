/* An entry of a field's array: a literal, or an operator. What is wrong with one is said in the words, and noticed in
 * the order, of AWS's Java library (JsonRuleCompiler), which reads it token by token. */
#include <string.h>

#include "event/pattern_case.h"
#include "event/pattern_rule.h"

#define ONLY_ONE_KEY "Only one key allowed in match expression"
#define TOO_MANY     PATTERN_TOO_MANY

/* Moves behind the value of a one-member object, which must end there. */
static int
expect_end(const struct pattern_parser *c, struct json_iter *it, const char *otherwise)
{
    return json_next(it) ? pattern_refuse(c, it->key.text.p, "%s", otherwise) : 0;
}

static int
one_test(const struct pattern_parser *c, struct pattern_entry *entry, struct pattern_test test)
{
    struct pattern_test *copy = arena_alloc(&c->pattern->arena, sizeof *copy);
    if (!copy)
        return err_no_memory(c->e);
    *copy = test;
    entry->tests = copy;
    entry->n_tests = 1;
    return 0;
}

/* Texts that are compared without case become tests of one of two kinds. */
static int
fold(const struct pattern_parser *c, struct pattern_test *test)
{
    if (test->kind < PATTERN_EQUALS_FOLDED || test->kind > PATTERN_SUFFIX_FOLDED)
        return 0;
    if (!pattern_case_is_ascii(test->text)) {
        test->kind += PATTERN_EQUALS_ANY_CASE - PATTERN_EQUALS_FOLDED;
        return 0;
    }
    char *lower = arena_alloc(&c->pattern->arena, test->text.n);
    if (!lower)
        return err_no_memory(c->e);
    for (size_t i = 0; i < test->text.n; i++)
        lower[i] = pattern_case_lower_ascii(test->text.p[i]);
    test->text.p = lower;
    return 0;
}

/* A test of a string; value is one. */
static int
parse_text(const struct pattern_parser *c, enum pattern_kind kind, struct json value, struct pattern_test *ret_test)
{
    struct pattern_test test = {.kind = kind};
    size_t at;
    int rc = pattern_decode(c, value, &test.text);
    if (rc != 0)
        return rc;
    const char *fault = kind == PATTERN_WILDCARD ? pattern_check_wildcard(test.text, &at) : NULL;
    if (fault)
        return pattern_refuse(c, value.text.p, "%s at pos %zu", fault, at);
    rc = fold(c, &test);
    if (rc == 0)
        *ret_test = test;
    return rc;
}

/* ---- {"prefix": ...} and {"suffix": ...} ---- */

static int
parse_affix(struct pattern_parser *c, struct json_iter *outer, struct pattern_entry *entry)
{
    bool prefix = pattern_is(outer->key, "prefix");
    const char *name = prefix ? "prefix" : "suffix";
    struct json value = outer->value;
    enum pattern_kind kind = prefix ? PATTERN_PREFIX : PATTERN_SUFFIX;
    struct pattern_test test;
    if (value.type == JSON_OBJECT) {
        struct json_iter it = json_iter(value);
        if (!json_next(&it))
            return pattern_refuse(c, value.text.p, "%s expression name not found", prefix ? "Prefix" : "Suffix");
        if (!pattern_is(it.key, "equals-ignore-case"))
            return pattern_refuse(c, it.key.text.p, "Unsupported %s pattern: %.*s", name, PATTERN_ARG(it.key));
        if (it.value.type != JSON_STRING)
            return pattern_refuse(c, it.value.text.p, "equals-ignore-case match pattern must be a string");
        kind = prefix ? PATTERN_PREFIX_FOLDED : PATTERN_SUFFIX_FOLDED;
        value = it.value;
        int rc = expect_end(c, &it, ONLY_ONE_KEY);
        if (rc != 0)
            return rc;
    }
    if (value.type != JSON_STRING)
        return pattern_refuse(c, value.text.p, "%s match pattern must be a string", name);
    int rc = parse_text(c, kind, value, &test);
    if (rc == 0)
        rc = expect_end(c, outer, ONLY_ONE_KEY);
    return rc == 0 ? one_test(c, entry, test) : rc;
}

/* ---- {"numeric": [...]} ---- */

static int
parse_numeric(struct pattern_parser *c, struct json_iter *outer, struct pattern_entry *entry)
{
    struct pattern_test test;
    if (outer->value.type != JSON_ARRAY)
        return pattern_refuse(c, outer->value.text.p, "Value of numeric must be an array.");
    int rc = pattern_parse_numeric(c, outer->value, &test);
    if (rc == 0)
        rc = expect_end(c, outer, TOO_MANY);
    return rc == 0 ? one_test(c, entry, test) : rc;
}

/* ---- {"anything-but": ...} ---- */

static const char NOT_THERE[] = "Inside anything but list, start|null|boolean is not supported.";

/* One value of a plain anything-but. */
static int
parse_excluded(const struct pattern_parser *c, struct json value, struct pattern_test *ret_test)
{
    uint64_t key;
    if (value.type == JSON_STRING)
        return parse_text(c, PATTERN_EQUALS, value, ret_test);
    if (value.type != JSON_NUMBER)
        return pattern_refuse(c, value.text.p, "%s", NOT_THERE);
    int rc = pattern_parse_number(c, value, &key);
    if (rc == 0)
        *ret_test = pattern_number_from(key, key);
    return rc;
}

/* One value of an anything-but with an operator inside. */
static int
parse_excluded_by(const struct pattern_parser *c, enum pattern_kind kind, struct json value,
                  struct pattern_test *ret_test)
{
    if (value.type != JSON_STRING)
        return pattern_refuse(c, value.text.p, "%s",
                              kind == PATTERN_EQUALS_FOLDED ? "Inside anything-but/equals-ignore-case list, "
                                                              "number|start|null|boolean is not supported."
                              : kind == PATTERN_WILDCARD    ? "wildcard match pattern must be a string"
                                                            : "prefix/suffix match pattern must be a string");
    if ((kind == PATTERN_PREFIX || kind == PATTERN_SUFFIX) && json_raw(value).n == 0)
        return pattern_refuse(c, value.text.p, "Null prefix/suffix not allowed");
    return parse_text(c, kind, value, ret_test);
}

static int
parse_excluded_values(struct pattern_parser *c, enum pattern_kind kind, struct json value, struct pattern_entry *entry)
{
    struct json_iter it = json_iter(value);
    bool list = value.type == JSON_ARRAY, numbers = false, strings = false;
    if (!list && value.type != JSON_STRING && value.type != JSON_NUMBER)
        return pattern_refuse(c, value.text.p, "Value of anything-but must be an array or single string/number value.");
    entry->but = true;
    entry->tests = arena_alloc(&c->pattern->arena, (list ? json_count(value) : 1) * sizeof *entry->tests);
    if (!entry->tests)
        return err_no_memory(c->e);
    while (list ? json_next(&it) : entry->n_tests == 0) {
        struct json one = list ? it.value : value;
        struct pattern_test *test = &entry->tests[entry->n_tests];
        int rc = kind == PATTERN_EQUALS ? parse_excluded(c, one, test) : parse_excluded_by(c, kind, one, test);
        if (rc != 0)
            return rc;
        numbers = numbers || one.type == JSON_NUMBER;
        strings = strings || one.type == JSON_STRING;
        entry->n_tests++;
    }
    if (numbers == strings && kind == PATTERN_EQUALS)
        return pattern_refuse(c, value.text.p,
                              "Inside anything but list, either all values are number or string, mixed type is not "
                              "supported");
    return entry->n_tests > 0 ? 0 : pattern_refuse(c, value.text.p, "Empty arrays are not allowed");
}

static int
parse_anything_but(struct pattern_parser *c, struct json_iter *outer, struct pattern_entry *entry)
{
    enum pattern_kind kind = PATTERN_EQUALS;
    struct json value = outer->value;
    struct json_iter it = json_iter(value);
    int rc;
    if (value.type == JSON_OBJECT) {
        if (!json_next(&it))
            return pattern_refuse(c, value.text.p, "Anything-But expression name not found");
        kind = pattern_is(it.key, "equals-ignore-case") ? PATTERN_EQUALS_FOLDED
               : pattern_is(it.key, "prefix")           ? PATTERN_PREFIX
               : pattern_is(it.key, "suffix")           ? PATTERN_SUFFIX
               : pattern_is(it.key, "wildcard")         ? PATTERN_WILDCARD
                                                        : PATTERN_N_KINDS;
        if (kind == PATTERN_N_KINDS)
            return pattern_refuse(c, it.key.text.p, "Unsupported anything-but pattern: %.*s", PATTERN_ARG(it.key));
        value = it.value;
    }
    rc = parse_excluded_values(c, kind, value, entry);
    if (rc == 0 && kind != PATTERN_EQUALS)
        rc = expect_end(c, &it, TOO_MANY);
    return rc == 0 ? expect_end(c, outer, TOO_MANY) : rc;
}

/* ---- the others ---- */

static int
parse_exists(struct pattern_parser *c, struct json_iter *it, struct pattern_entry *entry)
{
    if (it->value.type != JSON_BOOL)
        return pattern_refuse(c, it->value.text.p, "exists match pattern must be either true or false.");
    entry->absent = !json_bool(it->value);
    int rc = expect_end(c, it, ONLY_ONE_KEY);
    if (rc != 0 || entry->absent)
        return rc;
    return one_test(c, entry, (struct pattern_test){.kind = PATTERN_EXISTS});
}

static int
parse_cidr(struct pattern_parser *c, struct json_iter *it, struct pattern_entry *entry)
{
    struct pattern_test test;
    struct slice text, address;
    if (it->value.type != JSON_STRING)
        return pattern_refuse(c, it->value.text.p, "prefix match pattern must be a string");
    int rc = pattern_decode(c, it->value, &text);
    if (rc != 0)
        return rc;
    const char *fault = pattern_parse_cidr(text, &test, &address);
    if (fault) {
        c->is_final = true; /* AWS's library throws what its second reading, without $or, does not catch */
        return pattern_refuse(c, it->value.text.p, "%s%.*s", fault, pattern_shown_bytes(address),
                              address.p ? address.p : "");
    }
    rc = expect_end(c, it, ONLY_ONE_KEY);
    return rc == 0 ? one_test(c, entry, test) : rc;
}

static int
parse_whole_text(struct pattern_parser *c, struct json_iter *it, enum pattern_kind kind, const char *name,
                 struct pattern_entry *entry)
{
    struct pattern_test test;
    if (it->value.type != JSON_STRING)
        return pattern_refuse(c, it->value.text.p, "%s match pattern must be a string", name);
    int rc = parse_text(c, kind, it->value, &test);
    if (rc == 0)
        rc = expect_end(c, it, ONLY_ONE_KEY);
    return rc == 0 ? one_test(c, entry, test) : rc;
}

static int
parse_expression(struct pattern_parser *c, struct json expression, struct pattern_entry *entry)
{
    struct json_iter it = json_iter(expression);
    if (!json_next(&it))
        return pattern_refuse(c, expression.text.p, "Match expression name not found");
    if (pattern_is(it.key, "exactly"))
        return parse_whole_text(c, &it, PATTERN_EQUALS, "exact", entry);
    if (pattern_is(it.key, "prefix") || pattern_is(it.key, "suffix"))
        return parse_affix(c, &it, entry);
    if (pattern_is(it.key, "numeric"))
        return parse_numeric(c, &it, entry);
    if (pattern_is(it.key, "anything-but"))
        return parse_anything_but(c, &it, entry);
    if (pattern_is(it.key, "exists"))
        return parse_exists(c, &it, entry);
    if (pattern_is(it.key, "cidr"))
        return parse_cidr(c, &it, entry);
    if (pattern_is(it.key, "equals-ignore-case"))
        return parse_whole_text(c, &it, PATTERN_EQUALS_FOLDED, "equals-ignore-case", entry);
    if (pattern_is(it.key, "wildcard"))
        return parse_whole_text(c, &it, PATTERN_WILDCARD, "wildcard", entry);
    return pattern_refuse(c, it.key.text.p, "Unrecognized match type %.*s", PATTERN_ARG(it.key));
}

static int
parse_literal_text(struct pattern_parser *c, struct json value, struct pattern_entry *entry)
{
    struct pattern_test test = {.kind = PATTERN_EQUALS};
    pattern_key address;
    int rc = parse_text(c, PATTERN_EQUALS, value, &test);
    if (rc != 0)
        return rc;
    enum pattern_kind kind = pattern_address(test.text, &address);
    if (kind != PATTERN_N_KINDS)
        test = (struct pattern_test){.kind = kind, .low = address, .high = address};
    return one_test(c, entry, test);
}

static int
parse_literal_number(struct pattern_parser *c, struct json value, struct pattern_entry *entry)
{
    uint64_t key;
    if (pattern_number_key(value.text, &key))
        return one_test(c, entry, pattern_number_from(key, key));
    char *text = arena_strndup(&c->pattern->arena, value.text.p, value.text.n);
    if (!text)
        return err_no_memory(c->e);
    return one_test(c, entry, (struct pattern_test){.kind = PATTERN_NUMBER_TEXT, .text = slice_of(text, value.text.n)});
}

int
pattern_parse_entry(struct pattern_parser *c, struct json entry, struct pattern_entry *ret_entry)
{
    *ret_entry = (struct pattern_entry){.tests = NULL};
    switch (entry.type) {
    case JSON_STRING:
        return parse_literal_text(c, entry, ret_entry);
    case JSON_NUMBER:
        return parse_literal_number(c, entry, ret_entry);
    case JSON_BOOL:
        return one_test(c, ret_entry, (struct pattern_test){.kind = json_bool(entry) ? PATTERN_TRUE : PATTERN_FALSE});
    case JSON_NULL:
        return one_test(c, ret_entry, (struct pattern_test){.kind = PATTERN_NULL});
    case JSON_OBJECT:
        return parse_expression(c, entry, ret_entry);
    default:
        return pattern_refuse(c, entry.text.p, "Match value must be String, number, true, false, or null");
    }
}
