/* One value against one entry, the plain way. */
#include "event/pattern_case.h"
#include "event/pattern_rule.h"
#include "event/pattern_text.h"

static bool
ends_with(struct slice text, struct slice suffix)
{
    return text.n >= suffix.n && slice_equals(slice_of(text.p + text.n - suffix.n, suffix.n), suffix);
}

static bool
wildcard_matches(const struct pattern_text *t, struct slice wildcard)
{
    char text[EVENT_PATTERN_MAX_BYTES];
    struct slice pieces[PATTERN_MAX_PIECES];
    return pattern_text_matches_wildcard(t, pieces, pattern_split_wildcard(wildcard, text, pieces));
}

static bool
string_matches(const struct pattern_test *test, struct json string)
{
    struct pattern_buffers buffers;
    struct pattern_text t = pattern_text(string, &buffers);
    pattern_key address;
    switch (test->kind) {
    case PATTERN_EQUALS:
        return pattern_text_equals(&t, test->text);
    case PATTERN_PREFIX:
        return slice_starts_with(t.head, test->text);
    case PATTERN_SUFFIX:
        return ends_with(t.tail, test->text);
    case PATTERN_EQUALS_FOLDED:
    case PATTERN_EQUALS_ANY_CASE:
        return t.whole && pattern_case_equals(t.head, test->text);
    case PATTERN_PREFIX_FOLDED:
    case PATTERN_PREFIX_ANY_CASE:
        return pattern_case_starts_with(t.head, test->text);
    case PATTERN_SUFFIX_FOLDED:
    case PATTERN_SUFFIX_ANY_CASE:
        return pattern_case_ends_with(t.tail, test->text);
    case PATTERN_WILDCARD:
        return wildcard_matches(&t, test->text);
    case PATTERN_IPV4:
    case PATTERN_IPV6:
        return t.whole && pattern_address(t.head, &address) == test->kind && address >= test->low &&
               address <= test->high;
    default:
        return false;
    }
}

static bool
test_matches(const struct pattern_test *test, struct json value)
{
    uint64_t key;
    if (test->kind == PATTERN_EXISTS)
        return true;
    switch (value.type) {
    case JSON_STRING:
        return string_matches(test, value);
    case JSON_NUMBER:
        if (test->kind == PATTERN_NUMBER)
            return pattern_number_key(value.text, &key) && key >= test->low && key <= test->high;
        return test->kind == PATTERN_NUMBER_TEXT && slice_equals(value.text, test->text);
    case JSON_BOOL:
        return test->kind == (json_bool(value) ? PATTERN_TRUE : PATTERN_FALSE);
    default:
        return test->kind == PATTERN_NULL;
    }
}

bool
pattern_entry_matches(const struct pattern_entry *entry, struct json value)
{
    for (size_t i = 0; i < entry->n_tests; i++)
        if (test_matches(&entry->tests[i], value))
            return !entry->but;
    return entry->but;
}

bool
pattern_field_matches(const struct pattern_field *field, struct json value)
{
    for (size_t i = 0; i < field->n_entries; i++)
        if (!field->entries[i].absent && pattern_entry_matches(&field->entries[i], value))
            return true;
    return false;
}

bool
pattern_follow(struct json key, struct slice *path, bool *here)
{
    if (*here)
        return false;
    if (json_equals_string(key, *path))
        return *here = true;
    for (size_t i = 0; i < path->n; i++) {
        if (path->p[i] == '.' && json_equals_string(key, slice_of(path->p, i))) {
            *path = slice_of(path->p + i + 1, path->n - i - 1);
            return true;
        }
    }
    return false;
}
