/* What strings and numbers mean, and writing: the parts of json.h that look inside a scalar. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

/* ---- strings ---- */

struct slice
json_raw(struct json string)
{
    return slice_of(string.text.p + 1, string.text.n - 2);
}

bool
json_is_plain(struct json string)
{
    return !memchr(string.text.p, '\\', string.text.n);
}

static uint32_t
hex4(const char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return v;
}

size_t
json_decode_escape(const char **p, const char *end, char out[4])
{
    const char *s = *p;
    *p = s + 2;
    if (s[1] != 'u') {
        out[0] = JSON_ESCAPE[(unsigned char)s[1]];
        return 1;
    }
    uint32_t c = hex4(s + 2);
    *p = s + 6;
    if (c < 0xd800 || c > 0xdfff)
        return utf8_encode(c, out);
    if (c > 0xdbff || end - s < 12 || s[6] != '\\' || s[7] != 'u')
        return 0;
    uint32_t low = hex4(s + 8);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *p = s + 12;
    return utf8_encode(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), out);
}

/* Writes the meant text of raw to out, which has room for size bytes, and returns how many it took. What stops it, a
 * lone surrogate or the end of the room, is left in *ret_stop; NULL: nothing did. */
static size_t
decode_raw(struct slice raw, char *out, size_t size, const char **ret_stop)
{
    const char *p = raw.p, *end = raw.p + raw.n;
    size_t n = 0;
    *ret_stop = NULL;
    while (p < end) {
        /* Eight at a time: runs between escapes are short where JSON holds JSON. What was copied too much is
         * overwritten. */
        while (end - p >= 8 && size - n >= 8) {
            uint64_t escapes = json_mark_equal(json_load(p), '\\');
            size_t plain = escapes ? (size_t)__builtin_ctzll(escapes) / 8 : 8;
            memcpy(out + n, p, 8);
            p += plain;
            n += plain;
            if (escapes)
                break;
        }
        if (p == end)
            break;
        const char *at = p, *run = p;
        char utf8[4];
        size_t more = 1;
        if (*p == '\\') {
            run = utf8;
            more = json_decode_escape(&p, end, utf8);
        } else {
            p++;
        }
        if (more == 0 || more > size - n) {
            *ret_stop = at;
            return n;
        }
        for (size_t i = 0; i < more; i++)
            out[n + i] = run[i];
        n += more;
    }
    return n;
}

int
json_decode(struct json string, struct buf *out, struct err *e)
{
    struct slice raw = json_raw(string);
    const char *stop;
    if (!buf_reserve(out, raw.n)) /* the text never is longer than it was written */
        return err_no_memory(e);
    size_t n = decode_raw(raw, out->data + out->len, raw.n, &stop);
    if (stop) {
        buf_truncate(out, out->len);
        return err_set(e, ERR_INVALID,
                       "JSON string: \\u%.4s at byte %zu of it is half of a surrogate pair, no character", stop + 2,
                       (size_t)(stop - raw.p));
    }
    out->len += n;
    out->data[out->len] = '\0';
    return 0;
}

bool
json_decode_into(struct json string, char *out, size_t size, size_t *ret_n)
{
    const char *stop;
    size_t n = decode_raw(json_raw(string), out, size, &stop);
    if (!stop)
        *ret_n = n;
    return !stop;
}

size_t
json_decode_some(const char **p, const char *end, char *out, size_t size)
{
    size_t n = 0;
    while (*p < end) {
        const char *stop, *after;
        char utf8[4];
        n += decode_raw(slice_of(*p, (size_t)(end - *p)), out + n, size - n, &stop);
        *p = after = stop ? stop : end;
        if (!stop || *stop != '\\' || json_decode_escape(&after, end, utf8) > 0 || size - n < 3)
            break;
        n += utf8_encode(hex4(stop + 2), out + n);
        *p = after;
    }
    return n;
}

/* Compares the decoded string with text: all of it, or (prefix) as far as text goes. */
static bool
compare(struct json string, struct slice text, bool prefix)
{
    struct slice raw = json_raw(string);
    if (raw.n < text.n)
        return false;
    const char *p = raw.p, *end = raw.p + raw.n;
    while (p < end && !(prefix && text.n == 0)) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        size_t n = (size_t)((escape ? escape : end) - p);
        if (prefix && n > text.n)
            n = text.n;
        if (n > text.n || (n > 0 && memcmp(p, text.p, n) != 0))
            return false;
        if (n > 0)
            text = slice_of(text.p + n, text.n - n);
        if (!escape || (prefix && text.n == 0))
            break;
        char utf8[4];
        p = escape;
        n = json_decode_escape(&p, end, utf8);
        if (prefix && n > text.n) /* text may end inside a character */
            n = text.n;
        if (n == 0 || n > text.n || memcmp(utf8, text.p, n) != 0)
            return false;
        text = slice_of(text.p + n, text.n - n);
    }
    return text.n == 0;
}

bool
json_equals_string(struct json string, struct slice decoded)
{
    struct slice raw = json_raw(string);
    if (raw.n != decoded.n) /* an escape is longer than what it means */
        return compare(string, decoded, false);
    return slice_equals(raw, decoded) && json_is_plain(string);
}

bool
json_starts_with(struct json string, struct slice decoded)
{
    return compare(string, decoded, true);
}

int
json_compare_string(struct json string, struct slice decoded)
{
    struct slice raw = json_raw(string);
    const char *p = raw.p, *end = raw.p + raw.n;
    while (p < end) {
        if (decoded.n == 0)
            return 1;
        const char *escape = memchr(p, '\\', (size_t)(end - p)), *run = p;
        size_t n = (size_t)((escape ? escape : end) - p);
        char utf8[4];
        p += n;
        if (n == 0) {
            run = utf8;
            n = json_decode_escape(&p, end, utf8);
            if (n == 0) /* half of a pair: sorts where its number would, equal to no text */
                n = utf8_encode(hex4(escape + 2), utf8);
        }
        int order = memcmp(run, decoded.p, n < decoded.n ? n : decoded.n);
        if (order != 0 || n > decoded.n)
            return order != 0 ? order : 1;
        decoded = slice_of(decoded.p + n, decoded.n - n);
    }
    return decoded.n == 0 ? 0 : -1;
}

/* ---- numbers ---- */

bool
json_bool(struct json boolean)
{
    return boolean.text.p[0] == 't';
}

bool
json_int64(struct json number, int64_t *ret)
{
    if (number.type != JSON_NUMBER)
        return false;
    const char *p = number.text.p, *end = p + number.text.n;
    bool negative = *p == '-';
    int64_t v = 0; /* kept negative: INT64_MIN has no positive twin */
    for (p += negative; p < end; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, v, &v))
        return false;
    *ret = v;
    return true;
}

/* A double has at most 767 significant digits halfway between two neighbours; whatever follows the 800th can only say
 * "a bit more", which one more digit says as well. */
#define DIGITS 800

double
json_double(struct json number)
{
    static const double TEN_TO[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = number.text.p, *end = p + number.text.n;
    bool negative = *p == '-', in_fraction = false, sticky = false;
    char digits[1 + DIGITS + 1 + 32] = "-"; /* sign, digits, sticky digit, exponent */
    size_t n = 0;
    uint64_t mantissa = 0;
    int64_t exponent = 0; /* value = digits * 10^exponent */
    for (p += negative; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            in_fraction = true;
        } else if (n == DIGITS) {
            sticky |= *p != '0';
            exponent += !in_fraction;
        } else {
            exponent -= in_fraction;
            if (n == 0 && *p == '0')
                continue;
            digits[1 + n++] = *p;
            if (n < 20)
                mantissa = mantissa * 10 + (uint64_t)(*p - '0');
        }
    }
    if (n == 0)
        return negative ? -0.0 : 0.0;
    if (p < end) {
        p++;
        bool below = *p == '-';
        int64_t written = 0;
        for (p += *p == '-' || *p == '+'; p < end; p++)
            if (written < INT64_C(1000000000000000))
                written = written * 10 + (*p - '0');
        exponent += below ? -written : written;
    }
    /* Both are exact as doubles, so that the one operation rounds correctly (W. D. Clinger, 1990). */
    if (n < 20 && mantissa <= UINT64_C(1) << 53 && exponent >= -22 && exponent <= 22) {
        double v = (double)mantissa;
        v = exponent < 0 ? v / TEN_TO[-exponent] : v * TEN_TO[exponent];
        return negative ? -v : v;
    }
    if (sticky) {
        digits[1 + n++] = '1';
        exponent--;
    }
    if (exponent > 100000 || exponent < -100000)
        exponent = exponent > 0 ? 100000 : -100000;
    snprintf(digits + 1 + n, sizeof digits - 1 - n, "e%d", (int)exponent); /* no decimal point: any locale's strtod */
    double v = strtod(digits + 1, NULL);
    return negative ? -v : v;
}

/* ---- writing ---- */

/* Writes what stands for the first character of p..end, and says how many bytes of it that was; at has room for 6. */
static size_t
write_character(const char *p, const char *end, char **at)
{
    static const char letters[0x20] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    static const char digits[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : utf8_length(p, end), written;
    if (n == 0) {
        memcpy(*at, "\xef\xbf\xbd", written = 3);
    } else if (c >= 0x20 && c != '"' && c != '\\') {
        memcpy(*at, p, written = n);
    } else if (c >= 0x20 || letters[c]) {
        memcpy(*at, (char[]){'\\', c >= 0x20 ? (char)c : letters[c]}, written = 2);
    } else {
        memcpy(*at, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, written = 6);
    }
    *at += written;
    return n > 0 ? n : 1;
}

/* Every message body passes here, so it is gathered in pieces (appending each character to a buf costs five times
 * more), a step at a time. */
void
json_write_string(struct buf *out, struct slice text)
{
    char piece[1024], *at = piece;
    if (text.n == 0)
        text = SLICE(""); /* its p may be NULL */
    const char *p = text.p, *end = p + text.n;
    *at++ = '"';
    while (p < end) {
        if (at > piece + sizeof piece - JSON_STEP - 7) { /* a step, the six of an escape, the quote */
            buf_add(out, piece, (size_t)(at - piece));
            at = piece;
        }
        if (end - p >= JSON_STEP) {
            size_t n = json_plain_bytes(p);
            memcpy(at, p, JSON_STEP); /* what is behind the n is overwritten */
            at += n;
            p += n;
            if (n == JSON_STEP)
                continue;
        }
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c >= 0x80) {
            p += write_character(p, end, &at);
        } else {
            *at = '\\';
            at += c == '"' || c == '\\';
            *at++ = *p++;
        }
    }
    *at++ = '"';
    buf_add(out, piece, (size_t)(at - piece));
}

void
json_write_compact(struct buf *out, struct json value)
{
    const char *p = value.text.p, *end = p + value.text.n, *run = p;
    bool in_string = false;
    buf_reserve(out, value.text.n);
    for (; p < end; p++) {
        if (*p == '"') {
            in_string = !in_string;
        } else if (in_string) {
            p += *p == '\\';
        } else if (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') {
            buf_add(out, run, (size_t)(p - run));
            run = p + 1;
        }
    }
    buf_add(out, run, (size_t)(p - run));
}
