#include "lib/naive_values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

bool
naive_spend(struct naive_effort *effort)
{
    if (effort->left > 0) {
        effort->left--;
        return true;
    }
    effort->unsure = true;
    return false;
}

/* ---- numbers ---- */

/* A decimal number as its digits, none of them a zero at either end: 0.d1d2d3... times ten to the exponent. */
struct decimal {
    bool negative;
    char digits[1100];
    size_t n;
    long exponent;
};

static bool
read_decimal(const char *text, struct decimal *d)
{
    bool behind_point = false;
    memset(d, 0, sizeof *d);
    d->negative = *text == '-';
    for (text += d->negative; *text && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            behind_point = true;
            continue;
        }
        if (*text == '0' && d->n == 0) {
            d->exponent -= behind_point;
            continue;
        }
        if (d->n == sizeof d->digits)
            return false;
        d->digits[d->n++] = *text;
        d->exponent += !behind_point;
    }
    if (*text) {
        if (strlen(text + 1) > 10)
            return false;
        d->exponent += strtol(text + 1, NULL, 10);
    }
    while (d->n > 0 && d->digits[d->n - 1] == '0')
        d->n--;
    return true;
}

static bool
same_decimal(const struct decimal *a, const struct decimal *b)
{
    if (a->n == 0 || b->n == 0)
        return a->n == b->n;
    return a->negative == b->negative && a->exponent == b->exponent && a->n == b->n &&
           memcmp(a->digits, b->digits, a->n) == 0;
}

bool
naive_number(struct slice text, double *ret, struct naive_effort *effort)
{
    char written[1200], shortest[40];
    struct decimal exact, short_one;
    if (text.n >= sizeof written) {
        effort->unsure = true;
        return false;
    }
    memcpy(written, text.p, text.n);
    written[text.n] = '\0';
    if (!read_decimal(written, &exact)) {
        effort->unsure = true;
        return false;
    }
    *ret = strtod(written, NULL);
    if (!isfinite(*ret))
        return false;
    for (int digits = 2; digits <= 17; digits++) {
        snprintf(shortest, sizeof shortest, "%.*e", digits - 1, *ret);
        if (strtod(shortest, NULL) == *ret)
            break;
    }
    return read_decimal(shortest, &short_one) && same_decimal(&exact, &short_one);
}

/* ---- addresses ---- */

static int
digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool
looks_like_v4(struct slice text)
{
    int dots = 0;
    bool digits = false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.' && digits) {
            dots++;
            digits = false;
        } else if (text.p[i] >= '0' && text.p[i] <= '9') {
            digits = true;
        } else {
            return false;
        }
    }
    return dots == 3 && digits;
}

static bool
looks_like_v6(struct slice text)
{
    bool colon = false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != ':' && digit_of(text.p[i]) < 0)
            return false;
        colon = colon || text.p[i] == ':';
    }
    return colon;
}

static bool
read_v4(struct slice text, struct naive_ip *ret)
{
    unsigned value = 0;
    ret->n = 0;
    if (text.n > 15)
        return false;
    for (size_t i = 0; i <= text.n; i++) {
        if (i == text.n || text.p[i] == '.') {
            ret->bytes[ret->n++] = (unsigned char)value;
            value = 0;
        } else {
            value = value * 10 + (unsigned)(text.p[i] - '0');
        }
        if (value > 255)
            return false;
    }
    return true;
}

static bool
read_v6(struct slice text, struct naive_ip *ret)
{
    unsigned char head[16] = {0}, tail[16] = {0};
    size_t n_head = 0, n_tail = 0, i = 0;
    bool gap = false;
    while (i < text.n) {
        if (text.p[i] == ':') {
            bool gap_here = i + 1 < text.n && text.p[i + 1] == ':';
            if (gap_here && gap)
                return false;
            if (!gap_here && (i == 0 || i + 1 == text.n))
                return false;
            gap = gap || gap_here;
            i += 1 + gap_here;
            if (gap_here && i < text.n && text.p[i] == ':')
                return false;
            continue;
        }
        unsigned value = 0;
        for (; i < text.n && text.p[i] != ':'; i++)
            if ((value = value * 16 + (unsigned)digit_of(text.p[i])) > 0xffff)
                return false;
        if (n_head + n_tail == 16)
            return false;
        unsigned char *part = gap ? tail + n_tail : head + n_head;
        part[0] = (unsigned char)(value >> 8);
        part[1] = (unsigned char)value;
        *(gap ? &n_tail : &n_head) += 2;
    }
    if (gap ? n_head + n_tail == 16 : n_head != 16)
        return false;
    memset(ret->bytes, 0, 16);
    memcpy(ret->bytes, head, n_head);
    memcpy(ret->bytes + 16 - n_tail, tail, n_tail);
    ret->n = 16;
    if (memcmp(ret->bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) {
        memmove(ret->bytes, ret->bytes + 12, 4);
        ret->n = 4;
    }
    return true;
}

enum naive_ip_kind
naive_ip(struct slice text, struct naive_ip *ret)
{
    if (looks_like_v4(text))
        return read_v4(text, ret) ? NAIVE_IP : NAIVE_IP_INVALID;
    if (looks_like_v6(text))
        return read_v6(text, ret) ? NAIVE_IP : NAIVE_IP_INVALID;
    return NAIVE_IP_NONE;
}

bool
naive_ip_within(const struct naive_ip *net, unsigned bits, const struct naive_ip *ip)
{
    if (net->n != ip->n)
        return false;
    for (unsigned i = 0; i < bits; i++)
        if ((net->bytes[i / 8] ^ ip->bytes[i / 8]) & 0x80 >> i % 8)
            return false;
    return true;
}

/* ---- strings ---- */

static struct slice
behind(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.n - n);
}

bool
naive_wildcard(struct slice pattern, struct slice text, struct naive_effort *effort)
{
    if (!naive_spend(effort))
        return false;
    if (pattern.n == 0)
        return text.n == 0;
    if (pattern.p[0] == '*') {
        for (size_t taken = 0; taken <= text.n; taken++)
            if (naive_wildcard(behind(pattern, 1), behind(text, taken), effort))
                return true;
        return false;
    }
    size_t escaped = pattern.p[0] == '\\';
    return text.n > 0 && text.p[0] == pattern.p[escaped] &&
           naive_wildcard(behind(pattern, escaped + 1), behind(text, 1), effort);
}

static uint32_t
code_point(struct slice text, size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)text.p;
    *ret_n = utf8_length(text.p, text.p + text.n);
    switch (*ret_n) {
    case 2:
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    case 3:
        return (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    case 4:
        return (p[0] & 0x7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    default:
        *ret_n = 1;
        return p[0];
    }
}

/* The letters that the witness knows, beyond ASCII and the regular ones below. */
static const struct {
    const char *letter, *lower, *upper;
} LETTERS[] = {
    {"\xc3\x9f", "\xc3\x9f", "SS"},       /* sharp s */
    {"\xc2\xb5", "\xc2\xb5", "\xce\x9c"}, /* micro, whose upper form is the Greek Mu */
    {"\xc3\xbf", "\xc3\xbf", "\xc5\xb8"}, /* y with diaeresis: its upper form is not in Latin-1 */
    {"\xc5\xb8", "\xc3\xbf", "\xc5\xb8"},
    {"\xc4\xb0", "i\xcc\x87", "\xc4\xb0"},    /* I with a dot */
    {"\xc4\xb1", "\xc4\xb1", "I"},            /* i without */
    {"\xe2\x84\xaa", "k", "\xe2\x84\xaa"},    /* Kelvin */
    {"\xc8\xba", "\xe2\xb1\xa5", "\xc8\xba"}, /* A with stroke: two bytes and three */
    {"\xe2\xb1\xa5", "\xe2\xb1\xa5", "\xc8\xba"},
    {"\xc7\x85", "\xc7\x86", "\xc7\x84"}, /* Dz with caron, title case: neither of its forms is itself */
    {"\xce\xb0", "\xce\xb0", "\xce\xa5\xcc\x88\xcc\x81"}, /* upsilon with dialytika and tonos */
    {"\xcf\x82", "\xcf\x82", "\xce\xa3"},                 /* final sigma */
};

/* Whether all of the block has no cases: punctuation, CJK, Hiragana, Hangul, private use, and what one UTF-16 unit
 * cannot hold. */
static bool
has_no_case(uint32_t c)
{
    return (c >= 0xa1 && c <= 0xbf && c != 0xaa && c != 0xb5 && c != 0xba) || c == 0xd7 || c == 0xf7 ||
           (c >= 0x2010 && c <= 0x205e) || (c >= 0x20a0 && c <= 0x20bf) || (c >= 0x3041 && c <= 0x3096) ||
           (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xe000 && c <= 0xf8ff) ||
           c >= 0x10000 || c == 0xfffd;
}

/* Its lower (or upper) form. Buffer holds four bytes. */
static struct slice
form_of(struct slice letter, uint32_t c, bool upper, char *buffer, struct naive_effort *effort)
{
    for (size_t i = 0; i < sizeof LETTERS / sizeof *LETTERS; i++)
        if (slice_equals_string(letter, LETTERS[i].letter))
            return slice_of_string(upper ? LETTERS[i].upper : LETTERS[i].lower);
    bool is_lower = (c >= 'a' && c <= 'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3c9);
    bool is_upper =
        (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2);
    if (!is_lower && !is_upper && c >= 0x80 && !has_no_case(c))
        effort->unsure = true;
    if (is_lower && upper)
        c -= 32;
    else if (is_upper && !upper)
        c += 32;
    return slice_of(buffer, utf8_encode(c, buffer));
}

/* Whether text (all of it when whole, a beginning of it otherwise) is a form of pattern. */
static bool
folds_to(struct slice pattern, struct slice text, bool whole, struct naive_effort *effort)
{
    size_t n;
    if (!naive_spend(effort))
        return false;
    if (pattern.n == 0)
        return !whole || text.n == 0;
    uint32_t c = code_point(pattern, &n);
    for (int upper = 0; upper < 2; upper++) {
        char buffer[4];
        struct slice form = form_of(slice_of(pattern.p, n), c, upper, buffer, effort);
        if (slice_starts_with(text, form) && folds_to(behind(pattern, n), behind(text, form.n), whole, effort))
            return true;
    }
    return false;
}

bool
naive_folded_equals(struct slice pattern, struct slice text, struct naive_effort *effort)
{
    return folds_to(pattern, text, true, effort);
}

bool
naive_folded_starts(struct slice pattern, struct slice text, struct naive_effort *effort)
{
    return folds_to(pattern, text, false, effort);
}

bool
naive_folded_ends(struct slice pattern, struct slice text, struct naive_effort *effort)
{
    for (size_t i = 0; i <= text.n; i++)
        if (folds_to(pattern, behind(text, i), true, effort))
            return true;
    return false;
}

/* One UTF-16 unit, or the first one of two with the rest behind it for comparing. */
static uint32_t
units_of(uint32_t c)
{
    return c < 0x10000 ? c << 16 : (0xd800 + (c - 0x10000) / 1024) << 16 | (0xdc00 + (c - 0x10000) % 1024);
}

int
naive_compare_paths(struct slice a, struct slice b)
{
    while (a.n > 0 && b.n > 0) {
        size_t n_a, n_b;
        uint32_t x = units_of(code_point(a, &n_a)), y = units_of(code_point(b, &n_b));
        if (x != y)
            return x < y ? -1 : 1;
        a = behind(a, n_a);
        b = behind(b, n_b);
    }
    return (a.n > 0) - (b.n > 0);
}
