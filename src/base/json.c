/* Checking a text. Finding the way in one that was checked is json_walk.c, taking one apart while it is checked
 * json_read.c; strings, numbers and writing are json_text.c. */
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/utf8.h"

static inline bool
is_hex(char c)
{
    return json_is_digit(c) || (unsigned char)((c | 0x20) - 'a') < 6;
}

/* The first byte from p on that is not plain ASCII text of a string: a quote, a backslash, a control character, or the
 * first of a longer UTF-8 sequence; end when there is none. */
static inline const char *
skip_plain(const char *p, const char *end)
{
    while (end - p >= JSON_STEP) {
        size_t plain = json_plain_bytes(p);
        p += plain;
        if (plain < JSON_STEP)
            return p;
    }
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            break;
    }
    return p;
}

/* An escape, or a UTF-8 sequence of several bytes. */
const char *
json_check_character(const char *p, const char *end, struct json_fault *f)
{
    unsigned char c = (unsigned char)*p;
    if (c == '\\') {
        if (end - p < 2)
            return json_refuse(f, end, "the rest of an escape");
        if (JSON_ESCAPE[(unsigned char)p[1]])
            return p + 2;
        if (p[1] != 'u')
            return json_refuse(f, p + 1, "one of \"\\/bfnrtu after the backslash");
        p += 2;
        for (int i = 0; i < 4; i++, p++)
            if (p == end || !is_hex(*p))
                return json_refuse(f, p, "four hexadecimal digits after \\u");
        return p;
    }
    if (c < 0x20)
        return json_refuse(f, p, "no control character in a string (it must be escaped)");
    size_t n = utf8_length(p, end);
    return n > 0 ? p + n : json_refuse(f, p, "valid UTF-8");
}

const char *
json_check_string(const char *p, const char *end, struct json_fault *f)
{
    for (;;) {
        p = skip_plain(p, end);
        if (p == end)
            return json_refuse(f, p, "'\"' at the end of the string");
        if (*p == '"')
            return p + 1;
        if (*p == '\\' && end - p > 1 && JSON_ESCAPE[(unsigned char)p[1]])
            p += 2;
        else if (!(p = json_check_character(p, end, f)))
            return NULL;
    }
}

static const char *
check_digits(const char *p, const char *end, struct json_fault *f)
{
    if (p == end || !json_is_digit(*p))
        return json_refuse(f, p, "a digit");
    while (p < end && json_is_digit(*p))
        p++;
    return p;
}

/* p is at the first byte of the number. */
static const char *
check_number(const char *p, const char *end, struct json_fault *f)
{
    if (*p == '-')
        p++;
    if (p < end && *p == '0') {
        p++;
        if (p < end && json_is_digit(*p))
            return json_refuse(f, p, "no digit after a leading zero");
    } else if (!(p = check_digits(p, end, f))) {
        return NULL;
    }
    if (p < end && *p == '.' && !(p = check_digits(p + 1, end, f)))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        return check_digits(p, end, f);
    }
    return p;
}

static const char *
check_literal(const char *p, const char *end, struct json_fault *f)
{
    struct slice word = *p == 't' ? SLICE("true") : *p == 'f' ? SLICE("false") : SLICE("null");
    if (!slice_starts_with(slice_of(p, (size_t)(end - p)), word))
        return json_refuse(f, p, "a value (a word can only be true, false or null)");
    return p + word.n;
}

/* A number or a word must not run into another one: 1true, nullnull. */
static inline bool
ends_well(const char *p, const char *end)
{
    return p == end || !(json_is_digit(*p) || (unsigned char)((*p | 0x20) - 'a') < 26 || *p == '+' || *p == '-' ||
                         *p == '.' || *p == '_');
}

const char *
json_check_value(const char *p, const char *end, size_t open, struct json_fault *f)
{
    uint64_t objects[JSON_MAX_DEPTH / 64] = {0}; /* bit d: the container at depth d is an object */
    size_t depth = 0;
    bool in_object = false;

value:
    p = json_skip_space(p, end);
    if (p == end)
        return json_refuse(f, p, "a value");
    switch (JSON_STARTS[(unsigned char)*p]) {
    case JSON_IS(JSON_STRING):
        if (!(p = json_check_string(p + 1, end, f)))
            return NULL;
        break;
    case JSON_IS(JSON_NUMBER):
        if (!(p = check_number(p, end, f)))
            return NULL;
        if (!ends_well(p, end))
            return json_refuse(f, p, "the end of the number");
        break;
    case JSON_IS(JSON_BOOL):
    case JSON_IS(JSON_NULL):
        if (!(p = check_literal(p, end, f)))
            return NULL;
        if (!ends_well(p, end))
            return json_refuse(f, p, "the end of the word");
        break;
    case JSON_IS(JSON_OBJECT):
    case JSON_IS(JSON_ARRAY):
        if (open + depth == JSON_MAX_DEPTH) {
            *f = (struct json_fault){.at = p, .code = ERR_LIMIT};
            return NULL;
        }
        in_object = *p == '{';
        if (in_object)
            objects[depth / 64] |= UINT64_C(1) << depth % 64;
        else
            objects[depth / 64] &= ~(UINT64_C(1) << depth % 64);
        depth++;
        p = json_skip_space(p + 1, end);
        if (p < end && *p == (in_object ? '}' : ']'))
            goto close;
        if (in_object)
            goto key;
        if (p == end)
            return json_refuse(f, p, "a value or ']'");
        goto value;
    default:
        return json_refuse(f, p, "a value");
    }

after:
    if (depth == 0)
        return p;
    p = json_skip_space(p, end);
    if (p < end && *p == ',') {
        p = json_skip_space(p + 1, end);
        if (in_object)
            goto key;
        goto value;
    }
    if (p == end || *p != (in_object ? '}' : ']'))
        return json_refuse(f, p, in_object ? "',' or '}'" : "',' or ']'");

close:
    p++;
    depth--;
    if (depth > 0)
        in_object = objects[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
    goto after;

key:
    if (p == end || *p != '"')
        return json_refuse(f, p, "a key in double quotes");
    if (!(p = json_check_string(p + 1, end, f)))
        return NULL;
    p = json_skip_space(p, end);
    if (p == end || *p != ':')
        return json_refuse(f, p, "':' after the key");
    p++;
    goto value;
}

void
json_locate(struct slice text, const char *at, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1, column = 1;
    for (const char *p = text.p; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

int
json_report(const struct json_fault *f, struct slice text, struct err *e)
{
    size_t line, column;
    json_locate(text, f->at, &line, &column);
    size_t offset = (size_t)(f->at - text.p);
    char found[24] = "the end of the text";
    if (offset < text.n) {
        unsigned char c = (unsigned char)*f->at;
        snprintf(found, sizeof found, c > 0x20 && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
    }
    if (f->code == ERR_LIMIT)
        return err_set(e, ERR_LIMIT, "JSON, line %zu, column %zu (byte offset %zu): nested deeper than %d levels", line,
                       column, offset, JSON_MAX_DEPTH);
    if (offset == 0 && text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        return err_set(e, ERR_INVALID,
                       "JSON, line 1, column 1 (byte offset 0): expected a value, found a byte order mark "
                       "(save the text without one)");
    return err_set(e, ERR_INVALID, "JSON, line %zu, column %zu (byte offset %zu): expected %s, found %s", line, column,
                   offset, f->expected, found);
}

/* The first value of text and what is behind it. NULL when refused. */
static const char *
first_value(struct slice text, struct json *ret_value, struct json_fault *f)
{
    const char *end = text.p + text.n, *start = json_skip_space(text.p, end);
    const char *after = json_check_value(start, end, 0, f);
    if (after)
        *ret_value = json_value_from(start, after);
    return after;
}

int
json_parse(struct slice text, struct json *ret_value, struct err *e)
{
    struct json_fault f;
    struct json value;
    if (text.n == 0)
        text = SLICE(""); /* its p may be NULL */
    const char *end = text.p + text.n;
    const char *after = first_value(text, &value, &f);
    if (after) {
        after = json_skip_space(after, end);
        if (after == end) {
            *ret_value = value;
            return 0;
        }
        json_refuse(&f, after, "nothing behind the value");
    }
    return json_report(&f, text, e);
}

int
json_parse_first(struct slice text, struct json *ret_value, struct slice *ret_rest, struct err *e)
{
    struct json_fault f;
    struct json value;
    if (text.n == 0)
        text = SLICE(""); /* its p may be NULL */
    const char *end = text.p + text.n;
    if (json_skip_space(text.p, end) == end)
        return err_set(e, ERR_NOT_FOUND, "JSON: no value, only white space");
    const char *after = first_value(text, &value, &f);
    if (!after)
        return json_report(&f, text, e);
    *ret_value = value;
    *ret_rest = slice_of(after, (size_t)(end - after));
    return 0;
}
