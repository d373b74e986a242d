#include "local/sqs_impl.h"

#include <stdlib.h>
#include <string.h>

#include "local/sqs_attribute.h"

#define MAX_ATTRIBUTES 10

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
        if (!lsqs_check_attribute(&a[i], "(user)", e))
            return false;
        if (lsqs_is_of_type(a[i].data_type, "Binary"))
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

bool
lsqs_check_token(struct slice s, const char *parameter, struct lsqs_error *e)
{
    bool ok = s.n >= 1 && s.n <= LSQS_MAX_TOKEN;
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
        if (!lsqs_check_attribute(&a[i], "system", e))
            return false;
        if (!slice_equals(a[i].data_type, SLICE("String")))
            return lsqs_fail(e, LSQS_INVALID_VALUE,
                             "The type of message system attribute 'AWSTraceHeader' is invalid. You must use only the "
                             "following supported type: String.");
        if (i > 0)
            return lsqs_fail(e, LSQS_INVALID_VALUE, "Message system attribute 'AWSTraceHeader' is there twice.");
        m->trace = a[i].string_value;
    }
    if (m->system_attributes.n == 0)
        return true;
    a[0].binary_value = (struct slice){0};
    if (!pack(a, 1, arena, &packed))
        return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    digest_md5(packed.p, packed.n, md5);
    m->md5_system_hex = lsqs_hex(arena, md5, sizeof md5);
    return true;
}

/* The body and the message attributes (names, types, values); system attributes are free. */
static size_t
count_bytes(const struct lsqs_send *m)
{
    const struct lsqs_attribute *a = m->attributes.items;
    size_t n = m->body.n;
    for (size_t i = 0; i < m->attributes.n; i++)
        n += a[i].name.n + a[i].data_type.n + a[i].string_value.n + a[i].binary_value.n;
    return n;
}

bool
lsqs_prepare_send(struct lsqs_send *m, struct arena *arena, struct lsqs_error *e)
{
    uint8_t md5[DIGEST_MD5_BYTES];
    m->bytes = count_bytes(m); /* of a refused entry, too: it counts in its batch */
    if (!lsqs_check_characters(m->body, LSQS_INVALID_CONTENTS, "message body", e))
        return false;
    if (m->delay_s.given && (m->delay_s.value < 0 || m->delay_s.value > 900))
        return lsqs_fail(
            e, LSQS_INVALID_VALUE,
            "Value %lld for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
            (long long)m->delay_s.value);
    if (m->group_id.p && !lsqs_check_token(m->group_id, "MessageGroupId", e))
        return false;
    if (m->deduplication_id.p && !lsqs_check_token(m->deduplication_id, "MessageDeduplicationId", e))
        return false;
    if (m->attributes.n > 0) {
        if (!lsqs_pack_attributes(&m->attributes, arena, &m->packed, e))
            return false;
        digest_md5(m->packed.p, m->packed.n, md5);
        m->md5_attributes_hex = lsqs_hex(arena, md5, sizeof md5);
    }
    if (!prepare_system_attributes(m, arena, e))
        return false;
    if (m->group_id.p && !m->deduplication_id.p) {
        uint8_t sha256[DIGEST_SHA256_BYTES];
        digest_sha256(m->body.p, m->body.n, sha256);
        m->content_id = lsqs_hex(arena, sha256, sizeof sha256);
        if (!m->content_id.p)
            return lsqs_fail(e, LSQS_INTERNAL, "out of memory");
    }
    digest_md5(m->body.p, m->body.n, m->md5);
    m->md5_hex = lsqs_hex(arena, m->md5, sizeof m->md5);
    return true;
}
