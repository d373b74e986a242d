#include "base/json_read.h"

#include <assert.h>
#include <string.h>

#include "base/json_scan.h"

struct json_reader
json_reader(struct slice text)
{
    if (text.n == 0)
        text = SLICE(""); /* its p may be NULL */
    const char *end = text.p + text.n;
    return (struct json_reader){.text = text, .at = json_skip_space(text.p, end), .end = end};
}

static void
fail(struct json_reader *r, const struct json_fault *f)
{
    r->fault_at = f->at;
    r->expected = f->expected;
    r->fault_code = f->code;
    r->at = NULL;
}

static void
refuse(struct json_reader *r, const char *at, const char *expected)
{
    struct json_fault f;
    json_refuse(&f, at, expected);
    fail(r, &f);
}

enum json_type
json_read_type(struct json_reader *r)
{
    if (!r->at)
        return JSON_NULL;
    if (r->at == r->end || !JSON_STARTS[(unsigned char)*r->at]) {
        refuse(r, r->at, "a value");
        return JSON_NULL;
    }
    return json_type_at(r->at);
}

struct json
json_read_take(struct json_reader *r)
{
    const struct json nothing = {.text = SLICE(""), .type = JSON_NULL};
    if (!r->at)
        return nothing;
    struct json_fault f;
    const char *start = r->at, *after = json_check_value(start, r->end, r->open, &f);
    if (!after) {
        fail(r, &f);
        return nothing;
    }
    r->at = after;
    r->first = false;
    return json_value_from(start, after);
}

/* ---- strings ---- */

/* Checks and copies up to the closing quote. Returns what is behind it, or NULL when refused; *ret_n is the length
 * written, or SIZE_MAX when there is half of a surrogate pair. Writes up to a step more than it takes, never past
 * out plus what is left of the text. */
static const char *
copy_text(const char *p, const char *end, char *out, size_t *ret_n, struct json_fault *f)
{
    size_t n = 0;
    bool meaningless = false;
    for (;;) {
        while (end - p >= JSON_STEP) {
            size_t plain = json_plain_bytes(p);
            memcpy(out + n, p, JSON_STEP);
            p += plain;
            n += plain;
            if (plain < JSON_STEP)
                break;
        }
        if (p == end)
            return json_refuse(f, p, "'\"' at the end of the string");
        unsigned char c = (unsigned char)*p;
        if (c == '"')
            break;
        if (c >= 0x20 && c < 0x80 && c != '\\') { /* of the last step of the text */
            out[n++] = *p++;
            continue;
        }
        if (c == '\\' && end - p >= 2 && JSON_ESCAPE[(unsigned char)p[1]]) {
            out[n++] = JSON_ESCAPE[(unsigned char)p[1]];
            p += 2;
            continue;
        }
        const char *after = json_check_character(p, end, f);
        if (!after)
            return NULL;
        if (c != '\\') {
            while (p < after)
                out[n++] = *p++;
            continue;
        }
        char utf8[4];
        size_t more = json_decode_escape(&p, end, utf8);
        meaningless = meaningless || more == 0;
        for (size_t i = 0; i < more; i++)
            out[n + i] = utf8[i];
        n += more;
    }
    *ret_n = meaningless ? SIZE_MAX : n;
    return p + 1;
}

bool
json_read_text(struct json_reader *r, char *out, struct slice *ret_text)
{
    *ret_text = slice_of("", 0);
    if (!r->at)
        return false;
    assert(*r->at == '"');
    const char *start = r->at + 1, *p = start;
    size_t step = JSON_STEP, plain, n = 0;
    while (step == JSON_STEP && r->end - p >= JSON_STEP)
        p += step = json_plain_bytes(p);
    plain = (size_t)(p - start);
    if (p < r->end && *p == '"') {
        *ret_text = slice_of(start, plain);
        r->at = p + 1;
        r->first = false;
        return true;
    }
    struct json_fault f;
    memcpy(out, start, plain);
    p = copy_text(p, r->end, out + plain, &n, &f);
    if (!p) {
        fail(r, &f);
        return false;
    }
    r->at = p;
    r->first = false;
    if (n != SIZE_MAX)
        *ret_text = slice_of(out, plain + n);
    return n != SIZE_MAX;
}

/* ---- containers ---- */

void
json_read_enter(struct json_reader *r)
{
    if (!r->at)
        return;
    assert(JSON_CLASS[(unsigned char)*r->at] == C_OPEN);
    if (r->open == JSON_MAX_DEPTH) {
        fail(r, &(struct json_fault){.at = r->at, .code = ERR_LIMIT});
        return;
    }
    r->at++;
    r->open++;
    r->first = true;
}

/* To the next item of a container that ends with close; false: there is none. */
static bool
next(struct json_reader *r, char close)
{
    if (!r->at)
        return false;
    const char *p = json_skip_space(r->at, r->end);
    if (p < r->end && *p == close) {
        r->at = p + 1;
        r->open--;
        r->first = false;
        return false;
    }
    if (!r->first) {
        if (p == r->end || *p != ',') {
            refuse(r, p, close == '}' ? "',' or '}'" : "',' or ']'");
            return false;
        }
        p = json_skip_space(p + 1, r->end);
    } else if (p == r->end && close == ']') {
        refuse(r, p, "a value or ']'");
        return false;
    }
    r->at = p;
    return true;
}

bool
json_read_element(struct json_reader *r)
{
    return next(r, ']');
}

bool
json_read_member(struct json_reader *r, struct json *ret_key)
{
    if (!next(r, '}'))
        return false;
    struct json_fault f;
    const char *key = r->at, *p;
    if (key == r->end || *key != '"') {
        refuse(r, key, "a key in double quotes");
        return false;
    }
    if (!(p = json_check_string(key + 1, r->end, &f))) {
        fail(r, &f);
        return false;
    }
    *ret_key = json_value_from(key, p);
    p = json_skip_space(p, r->end);
    if (p == r->end || *p != ':') {
        refuse(r, p, "':' after the key");
        return false;
    }
    r->at = json_skip_space(p + 1, r->end);
    return true;
}

int
json_read_end(struct json_reader *r, struct err *e)
{
    if (r->at) {
        assert(r->open == 0);
        const char *p = json_skip_space(r->at, r->end), *start = json_skip_space(r->text.p, r->end);
        if (p == r->end && p > start)
            return 0;
        refuse(r, p, p == start ? "a value" : "nothing behind the value");
    }
    const struct json_fault f = {.at = r->fault_at, .expected = r->expected, .code = r->fault_code};
    return json_report(&f, r->text, e);
}
