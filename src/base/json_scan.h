/* json_scan: bytes of JSON text, for json.c, json_walk.c and json_text.c alone. */
#ifndef FANOUT_BASE_JSON_SCAN_H
#define FANOUT_BASE_JSON_SCAN_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
