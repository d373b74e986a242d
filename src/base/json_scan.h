/* json_scan: bytes of JSON text, for the json_*.c files alone. */
#ifndef FANOUT_BASE_JSON_SCAN_H
#define FANOUT_BASE_JSON_SCAN_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/json.h"

/* What a byte is, outside strings. */
enum json_class { C_OTHER = 0, C_SPACE, C_QUOTE, C_OPEN, C_CLOSE };
static const uint8_t JSON_CLASS[256] = {
    [' '] = C_SPACE, ['\t'] = C_SPACE, ['\n'] = C_SPACE, ['\r'] = C_SPACE, ['"'] = C_QUOTE,
    ['{'] = C_OPEN,  ['['] = C_OPEN,   ['}'] = C_CLOSE,  [']'] = C_CLOSE,
};

/* Type of the value that starts with a byte, plus one; 0: no value starts so. */
#define JSON_IS(type) ((type) + 1)
static const uint8_t JSON_STARTS[256] = {
    ['{'] = JSON_IS(JSON_OBJECT), ['['] = JSON_IS(JSON_ARRAY),          ['"'] = JSON_IS(JSON_STRING),
    ['-'] = JSON_IS(JSON_NUMBER), ['0' ... '9'] = JSON_IS(JSON_NUMBER), ['t'] = JSON_IS(JSON_BOOL),
    ['f'] = JSON_IS(JSON_BOOL),   ['n'] = JSON_IS(JSON_NULL),
};

/* What a backslash and this byte mean; 0: \u, or no escape. */
static const char JSON_ESCAPE[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t',
};

static inline bool
json_is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline const char *
json_skip_space(const char *p, const char *end)
{
    while (p < end && JSON_CLASS[(unsigned char)*p] == C_SPACE)
        p++;
    return p;
}

/* Eight bytes at a time, the first one lowest: results have bit 7 of a byte set where that byte of w is what is looked
 * for. The lowest byte marked is right; marks above it may be wrong (a subtraction's borrow). */
#define JSON_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t
json_load(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return le64toh(w);
}

static inline uint64_t
json_mark_equal(uint64_t w, unsigned char c)
{
    uint64_t x = w ^ JSON_EACH(c);
    return (x - JSON_EACH(1)) & ~x & JSON_EACH(0x80);
}

/* Where and why a text is refused. */
struct json_fault {
    const char *at;
    const char *expected;
    int code;
};

static inline const char *
json_refuse(struct json_fault *f, const char *at, const char *expected)
{
    *f = (struct json_fault){.at = at, .expected = expected, .code = ERR_INVALID};
    return NULL;
}

/* Of the JSON_STEP bytes at p, how many from the first on are plain ASCII text of a string: no quote, no backslash, no
 * control character, no byte of a longer UTF-8 sequence. Most of what a worker reads and writes passes here. */
#ifdef __SSE2__
#define JSON_STEP ((ptrdiff_t)sizeof(__m128i))

static inline size_t
json_plain_bytes(const char *p)
{
    __m128i text = _mm_loadu_si128((const __m128i *)p);
    __m128i marks = _mm_cmplt_epi8(text, _mm_set1_epi8(0x20)); /* as signed numbers: all from 0x80 on, too */
    marks = _mm_or_si128(marks, _mm_cmpeq_epi8(text, _mm_set1_epi8('"')));
    marks = _mm_or_si128(marks, _mm_cmpeq_epi8(text, _mm_set1_epi8('\\')));
    return (size_t)__builtin_ctz((unsigned)_mm_movemask_epi8(marks) | 1u << JSON_STEP);
}
#else
#define JSON_STEP ((ptrdiff_t)sizeof(uint64_t))

static inline size_t
json_plain_bytes(const char *p)
{
    uint64_t w = json_load(p);
    uint64_t marks =
        json_mark_equal(w, '"') | json_mark_equal(w, '\\') | (((w - JSON_EACH(0x20)) | w) & JSON_EACH(0x80));
    return marks ? (size_t)__builtin_ctzll(marks) >> 3 : sizeof w;
}
#endif

/* json.c: each returns what is behind the thing at p, or NULL when it is refused. */
const char *json_check_value(const char *p, const char *end, size_t open, struct json_fault *f); /* inside so many */
const char *json_check_string(const char *p, const char *end, struct json_fault *f);    /* p is behind the quote */
const char *json_check_character(const char *p, const char *end, struct json_fault *f); /* one that is no quote */
int json_report(const struct json_fault *f, struct slice text, struct err *e);

/* json_text.c: the escape at *p (its backslash) as UTF-8; moves *p behind it. Returns the bytes written, 0 for a lone
 * surrogate. */
size_t json_decode_escape(const char **p, const char *end, char out[4]);

static inline enum json_type
json_type_at(const char *p)
{
    return (enum json_type)(JSON_STARTS[(unsigned char)*p] - 1);
}

static inline struct json
json_value_from(const char *start, const char *end)
{
    return (struct json){.text = slice_of(start, (size_t)(end - start)), .type = json_type_at(start)};
}

#endif
