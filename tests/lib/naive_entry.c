#include "lib/naive_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
naive_refuse(struct naive_parser *p, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(p->why, p->size, format, ap);
    va_end(ap);
    return false;
}

static bool
is(struct json string, const char *word)
{
    return json_equals_string(string, slice_of_string(word));
}

/* ---- entries ---- */

static bool
only_key(struct naive_parser *p, struct json_iter *it, const char *else_refuse)
{
    return json_next(it) ? naive_refuse(p, "%s", else_refuse) : true;
}

#define ONE_KEY  "Only one key allowed in match expression"
#define TOO_MANY "Too many elements in numeric expression"

static bool
comparable(struct naive_parser *p, struct json number, double *ret)
{
    struct naive_effort effort = {.left = 1};
    bool yes = naive_number(number.text, ret, &effort);
    p->unsure = p->unsure || effort.unsure;
    return yes ? true : naive_refuse(p, "Cannot compare number : %.*s", SLICE_ARG(number.text));
}

/* What Java calls the text of a token. */
static struct slice
token_text(struct naive_parser *p, struct json v)
{
    if (v.type == JSON_STRING)
        return naive_string(p, v);
    return v.type == JSON_OBJECT ? SLICE("{") : v.type == JSON_ARRAY ? SLICE("[") : v.text;
}

/* "<=", 5: what may follow a lower bound. */
static bool
parse_high(struct naive_parser *p, struct json_iter *it, struct naive_entry *e, struct json *ret_number)
{
    if (it->value.type != JSON_STRING)
        return naive_refuse(p, "Bad value in numeric range: %.*s", SLICE_ARG(token_text(p, it->value)));
    struct slice word = naive_string(p, it->value);
    e->has_high = true;
    e->high_open = slice_equals_string(word, "<");
    if (!e->high_open && !slice_equals_string(word, "<="))
        return naive_refuse(p, "Bad numeric range operator: %.*s", SLICE_ARG(word));
    if (!json_next(it) || it->value.type != JSON_NUMBER)
        return naive_refuse(p, "Value of %.*s must be numeric", SLICE_ARG(word));
    *ret_number = it->value;
    return json_next(it) ? naive_refuse(p, "Too many terms in numeric range expression") : true;
}

/* ["=", 5], ["<", 5], [">", 0], [">", 0, "<=", 5] */
static bool
parse_numeric(struct naive_parser *p, struct json list, struct naive_entry *e)
{
    e->kind = KIND_RANGE;
    if (list.type != JSON_ARRAY)
        return naive_refuse(p, "Value of numeric must be an array.");
    struct json_iter it = json_iter(list);
    bool any = json_next(&it);
    if (!any || it.value.type != JSON_STRING)
        return naive_refuse(p, "Invalid member in numeric match: %.*s",
                            SLICE_ARG(any ? token_text(p, it.value) : SLICE("]")));
    struct slice word = naive_string(p, it.value);
    bool equal = slice_equals_string(word, "=");
    e->low_open = slice_equals_string(word, ">");
    e->high_open = slice_equals_string(word, "<");
    e->has_low = equal || e->low_open || slice_equals_string(word, ">=");
    e->has_high = equal || e->high_open || slice_equals_string(word, "<=");
    if (!e->has_low && !e->has_high)
        return naive_refuse(p, "Unrecognized numeric range operator: %.*s", SLICE_ARG(word));
    if (!json_next(&it) || it.value.type != JSON_NUMBER)
        return naive_refuse(p, "Value of %.*s must be numeric", SLICE_ARG(equal ? SLICE("equals") : word));
    struct json low = it.value, high = it.value;
    bool between = json_next(&it);
    if (between && e->has_high)
        return naive_refuse(p, TOO_MANY);
    if (between && !parse_high(p, &it, e, &high))
        return false;
    if (!comparable(p, low, &e->low) || !comparable(p, high, &e->high))
        return false;
    return between && e->low >= e->high ? naive_refuse(p, "Bottom must be less than top") : true;
}

/* As Java's Integer.parseInt. */
static bool
parse_int(struct slice text, long *ret)
{
    size_t i = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+');
    bool negative = i > 0 && text.p[0] == '-';
    if (i == text.n)
        return false;
    for (*ret = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *ret = *ret * 10 + (text.p[i] - '0');
        if (*ret > 2147483647L + negative)
            return false;
    }
    if (negative)
        *ret = -*ret;
    return true;
}

static bool
parse_cidr(struct naive_parser *p, struct json v, struct naive_entry *e)
{
    e->kind = KIND_NET;
    if (v.type != JSON_STRING)
        return naive_refuse(p, "prefix match pattern must be a string");
    p->final = true; /* AWS's code throws another kind of error from here */
    struct slice text = naive_string(p, v);
    while (text.n > 0 && text.p[text.n - 1] == '/') /* Java's split drops empty parts at the end */
        text.n--;
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    if (!slash || memchr(slash + 1, '/', text.n - (size_t)(slash + 1 - text.p)))
        return naive_refuse(p, "Malformed CIDR, one '/' required");
    struct slice address = slice_of(text.p, (size_t)(slash - text.p));
    long bits;
    if (!parse_int(slice_of(slash + 1, text.n - address.n - 1), &bits))
        return naive_refuse(p, "Malformed CIDR, mask bits must be an integer");
    if (bits < 0)
        return naive_refuse(p, "Malformed CIDR, mask bits must not be negative");
    switch (naive_ip(address, &e->net)) {
    case NAIVE_IP_NONE:
        return naive_refuse(p, "Nonstandard IP address: %.*s", SLICE_ARG(address));
    case NAIVE_IP_INVALID:
        return naive_refuse(p, "Invalid IP address: %.*s", SLICE_ARG(address));
    case NAIVE_IP:
        break;
    }
    if (e->net.n == 4 && bits > 31)
        return naive_refuse(p, "IPv4 mask bits must be < 32");
    if (bits > 127)
        return naive_refuse(p, "IPv6 mask bits must be < 128");
    e->bits = (unsigned)bits;
    p->final = false;
    return true;
}

static bool
check_wildcard(struct naive_parser *p, struct slice w)
{
    for (size_t i = 0; i < w.n; i++) {
        char next = '"';
        if (i + 1 < w.n)
            next = w.p[i + 1];
        if (w.p[i] == '*' && next == '*') /* AWS counts from a quote in front */
            return naive_refuse(p, "Consecutive wildcard characters at pos %zu", i + 1);
        if (w.p[i] == '\\' && next != '*' && next != '\\')
            return naive_refuse(p, "Invalid escape character at pos %zu", i + 1);
        i += w.p[i] == '\\';
    }
    return true;
}

/* ---- anything-but ---- */

static bool
parse_excluded(struct naive_parser *p, struct json v, enum naive_kind kind, bool listed, struct naive_entry *e)
{
    e->kind = kind;
    if (v.type == JSON_STRING) {
        e->text = naive_string(p, v);
        if ((kind == KIND_PREFIX || kind == KIND_SUFFIX) && e->text.n == 0)
            return naive_refuse(p, "Null prefix/suffix not allowed");
        return kind == KIND_WILDCARD ? check_wildcard(p, e->text) : true;
    }
    switch (kind) {
    case KIND_FOLDED:
        return naive_refuse(p,
                            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.");
    case KIND_WILDCARD:
        return naive_refuse(p, "wildcard match pattern must be a string");
    case KIND_PREFIX:
    case KIND_SUFFIX:
        return naive_refuse(p, "prefix/suffix match pattern must be a string");
    default:
        break;
    }
    if (v.type != JSON_NUMBER)
        return naive_refuse(p, "Inside anything but list, start|null|boolean is not supported.");
    e->kind = KIND_NUMBER;
    e->text = v.text;
    p->final = !listed;
    e->comparable = comparable(p, v, &e->number);
    p->final = p->final && !e->comparable;
    return e->comparable;
}

static bool
parse_anything_but(struct naive_parser *p, struct json v, struct naive_entry *e)
{
    enum naive_kind kind = KIND_STRING;
    struct json_iter inner = json_iter(v);
    bool nested = v.type == JSON_OBJECT;
    e->kind = KIND_NONE_OF;
    if (nested) {
        if (!json_next(&inner))
            return naive_refuse(p, "Anything-But expression name not found");
        if (is(inner.key, "equals-ignore-case"))
            kind = KIND_FOLDED;
        else if (is(inner.key, "prefix"))
            kind = KIND_PREFIX;
        else if (is(inner.key, "suffix"))
            kind = KIND_SUFFIX;
        else if (is(inner.key, "wildcard"))
            kind = KIND_WILDCARD;
        else
            return naive_refuse(p, "Unsupported anything-but pattern: %.*s", SLICE_ARG(naive_string(p, inner.key)));
        v = inner.value;
    }
    if (v.type != JSON_ARRAY && v.type != JSON_STRING && v.type != JSON_NUMBER)
        return naive_refuse(p, "Value of anything-but must be an array or single string/number value.");
    size_t numbers = 0;
    struct json_iter it = json_iter(v);
    for (bool single = v.type != JSON_ARRAY; single || (v.type == JSON_ARRAY && json_next(&it)); single = false) {
        e->inner = naive_more(p->arena, e->inner, e->n_inner, sizeof *e->inner);
        struct naive_entry *one = &e->inner[e->n_inner++];
        if (!parse_excluded(p, single ? v : it.value, kind, !single, one))
            return false;
        numbers += one->kind == KIND_NUMBER;
    }
    if (!nested && (e->n_inner == 0 || (numbers > 0 && numbers < e->n_inner)))
        return naive_refuse(
            p, "Inside anything but list, either all values are number or string, mixed type is not supported");
    p->unsure = p->unsure || e->n_inner == 0;
    return nested ? only_key(p, &inner, TOO_MANY) : true;
}

/* ---- match expressions ---- */

/* The string below a key, or below equals-ignore-case below it. */
static bool
parse_text(struct naive_parser *p, const char *name, const char *capital, enum naive_kind plain, enum naive_kind folded,
           struct json v, struct naive_entry *e)
{
    e->kind = plain;
    if (v.type == JSON_OBJECT && folded != plain) {
        struct json_iter it = json_iter(v);
        if (!json_next(&it))
            return naive_refuse(p, "%s expression name not found", capital);
        if (!is(it.key, "equals-ignore-case"))
            return naive_refuse(p, "Unsupported %s pattern: %.*s", name, SLICE_ARG(naive_string(p, it.key)));
        if (it.value.type != JSON_STRING)
            return naive_refuse(p, "equals-ignore-case match pattern must be a string");
        e->kind = folded;
        e->text = naive_string(p, it.value);
        return only_key(p, &it, ONE_KEY);
    }
    if (v.type != JSON_STRING)
        return naive_refuse(p, "%s match pattern must be a string", name);
    e->text = naive_string(p, v);
    return plain == KIND_WILDCARD ? check_wildcard(p, e->text) : true;
}

static bool
parse_expression(struct naive_parser *p, struct json object, struct naive_entry *e)
{
    struct json_iter it = json_iter(object);
    if (!json_next(&it))
        return naive_refuse(p, "Match expression name not found");
    struct json key = it.key, v = it.value;
    const char *else_refuse = ONE_KEY;
    bool ok;
    if (is(key, "exactly")) {
        ok = parse_text(p, "exact", "", KIND_STRING, KIND_STRING, v, e);
    } else if (is(key, "prefix")) {
        ok = parse_text(p, "prefix", "Prefix", KIND_PREFIX, KIND_FOLDED_PREFIX, v, e);
    } else if (is(key, "suffix")) {
        ok = parse_text(p, "suffix", "Suffix", KIND_SUFFIX, KIND_FOLDED_SUFFIX, v, e);
    } else if (is(key, "equals-ignore-case")) {
        ok = parse_text(p, "equals-ignore-case", "", KIND_FOLDED, KIND_FOLDED, v, e);
    } else if (is(key, "wildcard")) {
        ok = parse_text(p, "wildcard", "", KIND_WILDCARD, KIND_WILDCARD, v, e);
    } else if (is(key, "numeric")) {
        ok = parse_numeric(p, v, e);
        else_refuse = TOO_MANY;
    } else if (is(key, "anything-but")) {
        ok = parse_anything_but(p, v, e);
        else_refuse = TOO_MANY;
    } else if (is(key, "cidr")) {
        ok = parse_cidr(p, v, e);
    } else if (is(key, "exists")) {
        e->kind = v.type == JSON_BOOL && json_bool(v) ? KIND_PRESENT : KIND_ABSENT;
        ok = v.type == JSON_BOOL ? true : naive_refuse(p, "exists match pattern must be either true or false.");
    } else {
        return naive_refuse(p, "Unrecognized match type %.*s", SLICE_ARG(naive_string(p, key)));
    }
    return ok && only_key(p, &it, else_refuse);
}

bool
naive_parse_entry(struct naive_parser *p, struct json v, struct naive_entry *e)
{
    struct naive_effort effort = {.left = 1};
    e->text = v.text;
    switch (v.type) {
    case JSON_OBJECT:
        return parse_expression(p, v, e);
    case JSON_ARRAY:
        return naive_refuse(p, "Match value must be String, number, true, false, or null");
    case JSON_NUMBER:
        e->kind = KIND_NUMBER;
        e->comparable = naive_number(v.text, &e->number, &effort);
        p->unsure = p->unsure || effort.unsure;
        return true;
    case JSON_STRING:
        e->text = naive_string(p, v);
        e->kind = naive_ip(e->text, &e->net) == NAIVE_IP ? KIND_NET : KIND_STRING;
        e->bits = e->net.n == 4 ? 32 : 128;
        return true;
    default:
        e->kind = KIND_WORD;
        return true;
    }
}
