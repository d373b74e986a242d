#include "local/sqs_attribute.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_NAME_BYTES 256 /* of a name, and of a type */
#define MAX_DIGITS     38
#define MAX_EXPONENT   128

/* ---- characters -------------------------------------------------------------------------------------------------- */

/* Does the word hold a byte below 0x20, or one of 0xef, with which U+FFFE and U+FFFF begin? May say so of other words.
 */
static bool
is_suspicious(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    uint64_t ef = w ^ (ones * 0xef);
    return (((w - ones * 0x20) & ~w) | ((ef - ones) & ~ef)) & high;
}

/* The first character of well-formed UTF-8 that XML 1.0 does not have, which AWS refuses; -1: there is none. */
static int64_t
forbidden_character(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    while (p < end) {
        uint64_t w;
        if (end - p >= 8) {
            memcpy(&w, p, 8);
            if (!is_suspicious(w)) {
                p += 8;
                continue;
            }
        }
        if (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r')
            return *p;
        if (*p == 0xef && end - p >= 3 && p[1] == 0xbf && p[2] >= 0xbe)
            return p[2] == 0xbe ? 0xfffe : 0xffff;
        p++;
    }
    return -1;
}

bool
lsqs_check_characters(struct slice s, enum lsqs_error_kind kind, const char *what, struct lsqs_error *e)
{
    int64_t c = forbidden_character(s);
    if (c < 0)
        return true;
    return lsqs_fail(e, kind,
                     "Invalid binary character '#x%llX' was found in the %s, the set of allowed characters is #x9 | "
                     "#xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF].",
                     (unsigned long long)c, what);
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

/* What a check of attributes is about: the texts differ in one word. */
struct subject {
    const struct lsqs_attribute *a;
    const char *kind; /* "(user)" or "system" */
    struct lsqs_error *e;
};

#define MAX_SHOWN 256
#define SHOWN(s)  (int)((s).n < MAX_SHOWN ? (s).n : MAX_SHOWN), (s).p

#define REFUSE(s, ...) lsqs_fail((s)->e, LSQS_INVALID_VALUE, __VA_ARGS__)

static bool
begins_with(struct slice s, const char *lower_case)
{
    size_t n = strlen(lower_case);
    return s.n >= n && strncasecmp(s.p, lower_case, n) == 0;
}

static bool
check_name(const struct subject *s)
{
    struct slice name = s->a->name;
    if (name.n == 0)
        return REFUSE(s, "The request must contain non-empty message %s attribute names.", s->kind);
    if (name.n > MAX_NAME_BYTES)
        return REFUSE(s, "Message %s attribute name must be shorter than %d bytes.", s->kind, MAX_NAME_BYTES);
    if (begins_with(name, "aws.") || begins_with(name, "amazon."))
        return REFUSE(s, "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are "
                         "reserved for internal use.");
    if (name.p[0] == '.')
        return REFUSE(s, "Message %s attribute name must not begin with character '.'.", s->kind);
    if (name.p[name.n - 1] == '.')
        return REFUSE(s, "Message %s attribute name must not end with character '.'.", s->kind);
    if (memmem(name.p, name.n, "..", 2))
        return REFUSE(s, "Message %s attribute name must not have successive '.' characters.", s->kind);
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (!isalnum(c) && c != '_' && c != '-' && c != '.' && c < 0x80)
            return REFUSE(s,
                          "Message %s attribute name '%.*s' can only contain upper and lower case letters, digits, "
                          "periods, hyphens and underscores.",
                          s->kind, SHOWN(name));
    }
    return lsqs_check_characters(name, LSQS_INVALID_VALUE, "name of a message attribute", s->e);
}

bool
lsqs_is_of_type(struct slice data_type, const char *type)
{
    size_t n = strlen(type);
    return data_type.p && data_type.n >= n && memcmp(data_type.p, type, n) == 0 &&
           (data_type.n == n || data_type.p[n] == '.');
}

static const char *
skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* The decimal exponent of its first digit that is not 0, and how many digits there are from that one to the last such.
 * p to end are digits with one point at most. */
static void
measure(const char *p, const char *end, long *ret_exponent, long *ret_digits)
{
    const char *point = memchr(p, '.', (size_t)(end - p)), *first = NULL, *last = NULL;
    if (!point)
        point = end;
    for (const char *q = p; q < end; q++)
        if (*q != '.' && *q != '0') {
            first = first ? first : q;
            last = q;
        }
    *ret_exponent = first ? (long)(point - first) - (first < point) : 0;
    *ret_digits = first ? (long)(last - first) + 1 - (first < point && last > point) : 0;
}

/* A decimal number of at most 38 digits, from 10^-128 up to below 10^127 (what the developer guide says a Number may
 * be). Infinity, hexadecimal and white space are none. */
static bool
is_number(struct slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    long exponent = 0, first_exponent, digits;
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    const char *begin = p, *whole = skip_digits(p, end), *after = whole;
    if (after < end && *after == '.')
        after = skip_digits(after + 1, end);
    if (after == begin || (after == begin + 1 && *begin == '.'))
        return false;
    measure(begin, after, &first_exponent, &digits);
    if (after < end && (*after == 'e' || *after == 'E')) {
        char text[8];
        const char *q = after + 1, *from = q;
        if (q < end && (*q == '-' || *q == '+'))
            q++;
        if (q == end || skip_digits(q, end) != end || (size_t)(end - from) >= sizeof text)
            return false;
        memcpy(text, from, (size_t)(end - from));
        text[end - from] = '\0';
        exponent = strtol(text, NULL, 10);
    } else if (after != end) {
        return false;
    }
    exponent += first_exponent;
    return digits == 0 || (digits <= MAX_DIGITS && exponent >= -MAX_EXPONENT && exponent < MAX_EXPONENT - 1);
}

static bool
check_value(const struct subject *s)
{
    const struct lsqs_attribute *a = s->a;
    bool binary = lsqs_is_of_type(a->data_type, "Binary"), number = lsqs_is_of_type(a->data_type, "Number");
    struct slice value = binary ? a->binary_value : a->string_value;
    struct slice other = binary ? a->string_value : a->binary_value;
    if (value.n > 0 && other.n > 0)
        return REFUSE(s, "Message %s attribute '%.*s' must have a single value.", s->kind, SHOWN(a->name));
    if (other.n > 0)
        return REFUSE(s, "Message %s attribute '%.*s' with type '%.*s' must use field '%s'.", s->kind, SHOWN(a->name),
                      SHOWN(a->data_type), binary ? "Binary" : "String");
    if (value.n == 0)
        return REFUSE(s, "Message %s attribute '%.*s' must contain a non-empty value of type '%.*s'.", s->kind,
                      SHOWN(a->name), SHOWN(a->data_type));
    if (number && !is_number(value))
        return REFUSE(s, "Can't cast the value of message %s attribute '%.*s' to a number.", s->kind, SHOWN(a->name));
    return binary || number || lsqs_check_characters(value, LSQS_INVALID_VALUE, "value of a message attribute", s->e);
}

bool
lsqs_check_attribute(const struct lsqs_attribute *a, const char *kind, struct lsqs_error *e)
{
    struct subject s = {.a = a, .kind = kind, .e = e};
    if (!check_name(&s))
        return false;
    if (a->string_list.n > 0 || a->binary_list.n > 0)
        return lsqs_fail(e, LSQS_UNSUPPORTED,
                         "Message attribute list values in SendMessage operation are not supported.");
    if (!a->data_type.p && !a->string_value.p && !a->binary_value.p)
        return REFUSE(&s, "The message %s attribute '%.*s' must contain a non-empty message attribute value.", kind,
                      SHOWN(a->name));
    if (a->data_type.n == 0)
        return REFUSE(&s, "The message %s attribute '%.*s' must contain a non-empty message attribute type.", kind,
                      SHOWN(a->name));
    if (a->data_type.n > MAX_NAME_BYTES)
        return REFUSE(&s, "Message %s attribute type must be shorter than %d bytes.", kind, MAX_NAME_BYTES);
    if (!lsqs_is_of_type(a->data_type, "String") && !lsqs_is_of_type(a->data_type, "Number") &&
        !lsqs_is_of_type(a->data_type, "Binary"))
        return REFUSE(&s,
                      "The type of message %s attribute '%.*s' is invalid. You must use only the following supported "
                      "type prefixes: Binary, Number, String.",
                      kind, SHOWN(a->name));
    return lsqs_check_characters(a->data_type, LSQS_INVALID_VALUE, "type of a message attribute", e) && check_value(&s);
}
