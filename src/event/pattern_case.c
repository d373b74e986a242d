/* Comparing without regard to case. */
#include "event/pattern_case.h"

#include <stdint.h>

#include "base/utf8.h"
#include "event/pattern_case_table.h"

bool
pattern_case_is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80)
            return false;
    return true;
}

/* The code point of the UTF-8 sequence at p, n bytes long. */
static uint32_t
code_point(const char *p, size_t n)
{
    unsigned char first = (unsigned char)p[0];
    uint32_t c = n == 1 ? first : first & (0x7fU >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

static size_t
copy(const char *utf8, char out[8])
{
    size_t n = strlen(utf8);
    memcpy(out, utf8, n);
    return n;
}

/* A mapping of one character, 1 to 6 bytes. */
static size_t
map(uint32_t c, const struct case_run *runs, size_t n_runs, const struct case_special *specials, size_t n_specials,
    char out[8])
{
    for (size_t i = 0; i < n_specials; i++)
        if (specials[i].character == c)
            return copy(specials[i].utf8, out);
    size_t low = 0;
    for (size_t n = n_runs; n > 0;) { /* the last run that starts up to c */
        size_t half = n / 2;
        if (runs[low + half].first <= c) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    if (low > 0 && c <= runs[low - 1].last && (c - runs[low - 1].first) % runs[low - 1].step == 0)
        c = (uint32_t)((int32_t)c + runs[low - 1].delta);
    return utf8_encode(c, out);
}

#define N(a) (sizeof(a) / sizeof *(a))

static size_t
lower(uint32_t c, char out[8])
{
    if (c >= 0x80)
        return map(c, LOWER, N(LOWER), LOWER_SPECIAL, N(LOWER_SPECIAL), out);
    out[0] = pattern_case_lower_ascii((char)c);
    return 1;
}

static size_t
upper(uint32_t c, char out[8])
{
    if (c >= 0x80)
        return map(c, UPPER, N(UPPER), UPPER_SPECIAL, N(UPPER_SPECIAL), out);
    out[0] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    return 1;
}

/* How many bytes at the start (or, backwards, at the end) of text the character stands for; 0: none. The two cases of a
 * character never start or end alike, so there is no choice. */
static size_t
take(struct slice text, bool backwards, const char *p, size_t n)
{
    uint32_t c = code_point(p, n);
    for (int i = 0; i < 2; i++) {
        char form[8];
        size_t m = i == 0 ? lower(c, form) : upper(c, form);
        if (m <= text.n && memcmp(backwards ? text.p + text.n - m : text.p, form, m) == 0)
            return m;
    }
    return 0;
}

/* Takes the whole pattern from the start of *text. */
static bool
take_front(struct slice *text, struct slice pattern)
{
    const char *p = pattern.p, *end = pattern.p + pattern.n;
    while (p < end) {
        size_t n = utf8_length(p, end), m = take(*text, false, p, n);
        if (m == 0)
            return false;
        *text = slice_of(text->p + m, text->n - m);
        p += n;
    }
    return true;
}

bool
pattern_case_equals(struct slice text, struct slice pattern)
{
    return take_front(&text, pattern) && text.n == 0;
}

bool
pattern_case_starts_with(struct slice text, struct slice pattern)
{
    return take_front(&text, pattern);
}

bool
pattern_case_ends_with(struct slice text, struct slice pattern)
{
    const char *end = pattern.p + pattern.n;
    while (end > pattern.p) {
        const char *p = end - 1;
        while (((unsigned char)*p & 0xc0) == 0x80)
            p--;
        size_t m = take(text, true, p, (size_t)(end - p));
        if (m == 0)
            return false;
        text.n -= m;
        end = p;
    }
    return true;
}
