/* {"numeric": [...]}: a comparison with a number, or a range; faults in AWS's words (pattern_entry.c). */
#include "event/pattern_rule.h"

int
pattern_parse_number(const struct pattern_parser *c, struct json value, uint64_t *ret_key)
{
    if (pattern_number_key(value.text, ret_key))
        return 0;
    return pattern_refuse(c, value.text.p, "Cannot compare number : %.*s",
                          (int)(value.text.n > 100 ? 100 : value.text.n), value.text.p);
}

/* What Jackson calls the text of a token: brackets stand for themselves. */
#define TOKEN_ARG(v)                                                                                                   \
    (int)((v).type == JSON_ARRAY || (v).type == JSON_OBJECT ? 1 : (v).type == JSON_STRING ? 0 : (v).text.n), (v).text.p

static int
parse_range_end(const struct pattern_parser *c, struct json_iter *it, uint64_t low, bool low_open,
                struct pattern_test *ret_test)
{
    uint64_t high;
    if (it->value.type != JSON_STRING)
        return pattern_refuse(c, it->value.text.p, "Bad value in numeric range: %.*s", TOKEN_ARG(it->value));
    bool open = pattern_is(it->value, "<");
    struct json operator= it->value;
    if (!open && !pattern_is(operator, "<="))
        return pattern_refuse(c, operator.text.p, "Bad numeric range operator: %.*s", PATTERN_ARG(operator));
    if (!json_next(it) || it->value.type != JSON_NUMBER)
        return pattern_refuse(c, operator.text.p, "Value of %.*s must be numeric", PATTERN_ARG(operator));
    struct json number = it->value;
    if (json_next(it))
        return pattern_refuse(c, it->value.text.p, "Too many terms in numeric range expression");
    int rc = pattern_parse_number(c, number, &high);
    if (rc != 0)
        return rc;
    if (low >= high)
        return pattern_refuse(c, number.text.p, "Bottom must be less than top");
    *ret_test = pattern_number_from(low + low_open, high - open);
    return 0;
}

int
pattern_parse_numeric(const struct pattern_parser *c, struct json array, struct pattern_test *ret_test)
{
    static const char *const OPERATORS[] = {"=", ">", ">=", "<", "<="};
    struct json_iter it = json_iter(array);
    uint64_t lowest, highest, key;
    size_t i = 0;
    if (!json_next(&it))
        return pattern_refuse(c, array.text.p, "Invalid member in numeric match: ]");
    if (it.value.type != JSON_STRING)
        return pattern_refuse(c, it.value.text.p, "Invalid member in numeric match: %.*s", TOKEN_ARG(it.value));
    struct json operator= it.value;
    while (i < 5 && !pattern_is(operator, OPERATORS[i]))
        i++;
    if (i == 5)
        return pattern_refuse(c, operator.text.p, "Unrecognized numeric range operator: %.*s", PATTERN_ARG(operator));
    if (!json_next(&it) || it.value.type != JSON_NUMBER)
        return pattern_refuse(c, operator.text.p, "Value of %s must be numeric", i == 0 ? "equals" : OPERATORS[i]);
    struct json number = it.value;
    bool more = json_next(&it);
    if (more && OPERATORS[i][0] != '>')
        return pattern_refuse(c, it.value.text.p, PATTERN_TOO_MANY);
    int rc = pattern_parse_number(c, number, &key);
    if (rc != 0)
        return rc;
    pattern_number_key(SLICE("-1.7976931348623157e308"), &lowest);
    pattern_number_key(SLICE("1.7976931348623157e308"), &highest);
    if (OPERATORS[i][0] == '>') {
        bool open = OPERATORS[i][1] == '\0';
        if (!more) {
            *ret_test = pattern_number_from(key + open, highest);
            return 0;
        }
        return parse_range_end(c, &it, key, open, ret_test);
    }
    bool open = OPERATORS[i][0] == '<' && OPERATORS[i][1] == '\0';
    *ret_test = i == 0 ? pattern_number_from(key, key) : pattern_number_from(lowest, key - open);
    return 0;
}
