#include "local/sqs_impl.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define MAX_ATTRIBUTES 10
#define MAX_NAME_BYTES 256

struct slice
lsqs_hex(struct arena *arena, const uint8_t *p, size_t n)
{
    char *text = arena_alloc(arena, 2 * n + 1);
    if (!text)
        return (struct slice){0};
    digest_hex(p, n, text);
    return slice_of(text, 2 * n);
}

void
lsqs_format_uuid(const uint8_t bytes[16], char out[UUID_TEXT_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = DIGITS[bytes[i] >> 4];
        *out++ = DIGITS[bytes[i] & 15];
    }
    *out = '\0';
}

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

static bool
check_characters(struct slice s, const char *what, struct lsqs_error *e)
{
    int64_t c = forbidden_character(s);
    if (c < 0)
        return true;
    return lsqs_fail(
        e, LSQS_INVALID_CONTENTS,
        "Invalid binary character '#x%llX' was found in the %s, the set of allowed characters is #x9 | #xA | "
        "#xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]",
        (unsigned long long)c, what);
}

/* ---- message attributes: rules ----------------------------------------------------------------------------------- */

static bool
check_name(struct slice name, struct lsqs_error *e)
{
    if (name.n == 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Message (user) attribute name must be non-empty.");
    if (name.n > MAX_NAME_BYTES)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Length of message attribute name must be less than 256 bytes.");
    bool ok = name.p[0] != '.' && name.p[name.n - 1] != '.' && !memmem(name.p, name.n, "..", 2) &&
              !(name.n >= 4 && strncasecmp(name.p, "aws.", 4) == 0) &&
              !(name.n >= 7 && strncasecmp(name.p, "amazon.", 7) == 0);
    for (size_t i = 0; ok && i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        ok = isalnum(c) || c == '_' || c == '-' || c == '.' || c >= 0x80;
    }
    return ok || lsqs_fail(e, LSQS_INVALID_VALUE,
                           "Message (user) attribute name '%.*s' is invalid: it may hold letters, digits, underscores, "
                           "hyphens and single periods, and not begin or end with a period, nor begin with AWS. or "
                           "Amazon.",
                           SLICE_ARG(name));
}

/* "String", "Number" or "Binary", or one of them with a custom suffix ("Number.int"). */
static bool
is_of_type(struct slice data_type, const char *type)
{
    size_t n = strlen(type);
    return data_type.n >= n && memcmp(data_type.p, type, n) == 0 && (data_type.n == n || data_type.p[n] == '.');
}

static bool
is_number(struct slice s)
{
    char text[300], *end;
    if (s.n == 0 || s.n >= sizeof text || isspace((unsigned char)s.p[0]) || memchr(s.p, 'x', s.n) ||
        memchr(s.p, 'X', s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double v = strtod(text, &end);
    return end == text + s.n && !isnan(v) && !isinf(v);
}

static bool
check_attribute(const struct lsqs_attribute *a, struct lsqs_error *e)
{
    if (!check_name(a->name, e))
        return false;
    const char *name = a->name.p;
    int n = (int)a->name.n;
    if (a->string_list.given || a->binary_list.given)
        return lsqs_fail(e, LSQS_UNSUPPORTED,
                         "Message attribute list values in SendMessage operation are not supported.");
    if (a->data_type.n == 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "Message (user) attribute '%.*s' must contain a non-empty message attribute type.", n, name);
    if (a->data_type.n > MAX_NAME_BYTES)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Length of message attribute type must be less than 256 bytes.");
    bool string = is_of_type(a->data_type, "String"), number = is_of_type(a->data_type, "Number");
    if (!string && !number && !is_of_type(a->data_type, "Binary"))
        return lsqs_fail(
            e, LSQS_INVALID_VALUE,
            "The message attribute '%.*s' has an invalid message attribute type, the set of supported type "
            "prefixes is Binary, Number, and String.",
            n, name);
    struct slice value = string || number ? a->string_value : a->binary_value;
    struct slice other = string || number ? a->binary_value : a->string_value;
    if (value.n == 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE,
                         "Message (user) attribute '%.*s' must contain a non-empty value of type '%.*s'.", n, name,
                         SLICE_ARG(a->data_type));
    if (other.n > 0)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Message (user) attribute '%.*s' has multiple values.", n, name);
    if (number && !is_number(value))
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Can't cast the value of message (user) attribute '%.*s' to a number.",
                         n, name);
    return !string || check_characters(value, "message attribute value", e);
}

/* ---- message attributes: packing --------------------------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
    struct slice x = ((const struct lsqs_attribute *)a)->name, y = ((const struct lsqs_attribute *)b)->name;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static struct slice
value_of(const struct lsqs_attribute *a)
{
    return a->binary_value.p ? a->binary_value : a->string_value;
}

static char *
put(char *at, struct slice s)
{
    uint32_t n = __builtin_bswap32((uint32_t)s.n);
    memcpy(at, &n, 4);
    if (s.n > 0)
        memcpy(at + 4, s.p, s.n);
    return at + 4 + s.n;
}

static bool
pack(struct lsqs_attribute *a, size_t n, struct arena *arena, struct slice *ret)
{
    size_t size = 0;
    if (n > 1)
        qsort(a, n, sizeof *a, compare_names);
    for (size_t i = 0; i < n; i++)
        size += 13 + a[i].name.n + a[i].data_type.n + value_of(&a[i]).n;
    char *packed = arena_alloc(arena, size), *at = packed;
    if (!packed)
        return false;
    for (size_t i = 0; i < n; i++) {
        at = put(put(at, a[i].name), a[i].data_type);
        *at++ = a[i].binary_value.p ? 2 : 1;
        at = put(at, value_of(&a[i]));
    }
    *ret = slice_of(packed, size);
    return true;
}

bool
lsqs_pack_attributes(const struct lsqs_list *attributes, struct arena *arena, struct slice *ret_packed,
                     struct lsqs_error *e)
{
    struct lsqs_attribute *a = attributes->items;
    if (attributes->n > MAX_ATTRIBUTES)
        return lsqs_fail(e, LSQS_INVALID_VALUE, "Number of message attributes [%zu] exceeds the allowed maximum [%d].",
                         attributes->n, MAX_ATTRIBUTES);
    for (size_t i = 0; i < attributes->n; i++) {
        if (!check_attribute(&a[i], e))
            return false;
        if (is_of_type(a[i].data_type, "Binary"))
            a[i].string_value = (struct slice){0};
        else
            a[i].binary_value = (struct slice){0};
    }
    if (!pack(a, attributes->n, arena, ret_packed))
        return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    for (size_t i = 1; i < attributes->n; i++) /* sorted by now */
        if (slice_equals(a[i].name, a[i - 1].name))
            return lsqs_fail(e, LSQS_INVALID_VALUE, "Message (user) attribute '%.*s' is there twice.",
                             SLICE_ARG(a[i].name));
    return true;
}

static struct slice
take(struct slice *packed)
{
    uint32_t n;
    memcpy(&n, packed->p, 4);
    n = __builtin_bswap32(n);
    struct slice s = slice_of(packed->p + 4, n);
    *packed = slice_of(packed->p + 4 + n, packed->n - 4 - n);
    return s;
}

static bool
is_asked_for(struct slice name, const struct lsqs_list *names)
{
    const struct slice *asked = names->items;
    for (size_t i = 0; i < names->n; i++) {
        struct slice s = asked[i];
        if (slice_equals(s, SLICE("All")) || slice_equals(s, SLICE(".*")) || slice_equals(s, SLICE("*")) ||
            slice_equals(s, name))
            return true;
        if (s.n > 2 && memcmp(s.p + s.n - 2, ".*", 2) == 0 && slice_starts_with(name, slice_of(s.p, s.n - 2)))
            return true;
    }
    return false;
}

bool
lsqs_unpack_attributes(struct slice packed, const struct lsqs_list *names, struct arena *arena,
                       struct lsqs_list *ret_attributes, struct slice *ret_md5)
{
    struct lsqs_attribute kept[MAX_ATTRIBUTES];
    uint8_t md5[DIGEST_MD5_BYTES];
    size_t n = 0;
    while (packed.n > 0 && n < MAX_ATTRIBUTES) {
        struct lsqs_attribute a = {.name = take(&packed)};
        a.data_type = take(&packed);
        bool binary = *packed.p == 2;
        packed = slice_of(packed.p + 1, packed.n - 1);
        struct slice value = take(&packed);
        if (!is_asked_for(a.name, names))
            continue;
        if (binary)
            a.binary_value = value;
        else
            a.string_value = value;
        kept[n++] = a;
    }
    if (n == 0)
        return true;
    struct slice again;
    struct lsqs_attribute *items = arena_alloc(arena, n * sizeof *items);
    if (!items || !pack(kept, n, arena, &again))
        return false;
    digest_md5(again.p, again.n, md5);
    *ret_md5 = lsqs_hex(arena, md5, sizeof md5);
    /* what is handed out points into the new packing, which lives as long as the arena */
    for (size_t i = 0; i < n; i++) {
        items[i] = (struct lsqs_attribute){.name = take(&again)};
        items[i].data_type = take(&again);
        bool binary = *again.p == 2;
        again = slice_of(again.p + 1, again.n - 1);
        *(binary ? &items[i].binary_value : &items[i].string_value) = take(&again);
    }
    *ret_attributes = (struct lsqs_list){.items = items, .n = n, .given = true};
    return ret_md5->p != NULL;
}

/* ---- an entry ---------------------------------------------------------------------------------------------------- */

/* 1 to 128 letters, digits and punctuation. */
static bool
check_token(struct slice s, const char *parameter, struct lsqs_error *e)
{
    bool ok = s.n >= 1 && s.n <= 128;
    for (size_t i = 0; ok && i < s.n; i++)
        ok = s.p[i] > ' ' && s.p[i] < 0x7f;
    return ok || lsqs_fail(e, LSQS_INVALID_VALUE,
                           "Value %.*s for parameter %s is invalid. Reason: %s can only include alphanumeric and "
                           "punctuation characters. 1 to 128 in length.",
                           (int)(s.n < 200 ? s.n : 200), s.p, parameter, parameter);
}

/* Of the system attributes there is one to be sent, AWSTraceHeader; its MD5 is made as that of message attributes. */
static bool
prepare_system_attributes(struct lsqs_send *m, struct arena *arena, struct lsqs_error *e)
{
    struct lsqs_attribute *a = m->system_attributes.items;
    uint8_t md5[DIGEST_MD5_BYTES];
    struct slice packed;
    for (size_t i = 0; i < m->system_attributes.n; i++) {
        if (!slice_equals(a[i].name, SLICE("AWSTraceHeader")))
            return lsqs_fail(e, LSQS_INVALID_VALUE, "Message system attribute name '%.*s' is invalid.",
                             (int)(a[i].name.n < 100 ? a[i].name.n : 100), a[i].name.p);
        if (!slice_equals(a[i].data_type, SLICE("String")) || a[i].string_value.n == 0)
            return lsqs_fail(
                e, LSQS_INVALID_VALUE,
                "Message system attribute 'AWSTraceHeader' must contain a non-empty value of type 'String'.");
        m->trace = a[i].string_value;
    }
    if (m->system_attributes.n == 0)
        return true;
    if (!check_characters(m->trace, "message system attribute value", e))
        return false;
    a[0].binary_value = (struct slice){0};
    if (!pack(a, 1, arena, &packed))
        return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    digest_md5(packed.p, packed.n, md5);
    m->md5_system_hex = lsqs_hex(arena, md5, sizeof md5);
    return true;
}

bool
lsqs_prepare_send(struct lsqs_send *m, struct arena *arena, struct lsqs_error *e)
{
    uint8_t md5[DIGEST_MD5_BYTES];
    if (!check_characters(m->body, "message body", e))
        return false;
    if (m->delay_s.given && (m->delay_s.value < 0 || m->delay_s.value > 900))
        return lsqs_fail(
            e, LSQS_INVALID_VALUE,
            "Value %lld for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
            (long long)m->delay_s.value);
    if (m->group_id.p && !check_token(m->group_id, "MessageGroupId", e))
        return false;
    if (m->deduplication_id.p && !check_token(m->deduplication_id, "MessageDeduplicationId", e))
        return false;
    m->bytes = m->body.n;
    if (m->attributes.n > 0) {
        if (!lsqs_pack_attributes(&m->attributes, arena, &m->packed, e))
            return false;
        m->bytes += m->packed.n - 13 * m->attributes.n;
        digest_md5(m->packed.p, m->packed.n, md5);
        m->md5_attributes_hex = lsqs_hex(arena, md5, sizeof md5);
    }
    if (!prepare_system_attributes(m, arena, e))
        return false;
    digest_md5(m->body.p, m->body.n, m->md5);
    m->md5_hex = lsqs_hex(arena, m->md5, sizeof m->md5);
    return true;
}
