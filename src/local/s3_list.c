/* ListObjectsV2. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "local/s3_impl.h"

#define KEYS_MAX 1000

struct list {
    struct slice prefix, delimiter, start_after, token;
    struct slice after; /* keys and prefixes up to this one are over; empty: from the beginning */
    int64_t max_keys;
    bool encode, fetch_owner, has_token, has_start_after;
};

/* ---- the request ------------------------------------------------------------------------------------------------- */

/* A token is where the page before ended, in base64. False: the answer is set. */
static bool
read_token(struct s3_call *c, struct list *l)
{
    struct buf text = BUF_INIT;
    bool valid = l->token.n > 0 && digest_base64_decode(&text, l->token);
    char *copy = valid && !buf_failed(&text) ? arena_strndup(&c->call->arena, text.data, text.len) : NULL;
    if (copy)
        l->after = slice_of(copy, text.len);
    else if (valid)
        local_s3_refuse_no_memory(c);
    else
        local_s3_refuse(c, 400, "InvalidArgument", "The continuation token provided is incorrect");
    buf_clean_up(&text);
    return copy != NULL;
}

/* False: the answer is set. */
static bool
read_request(struct s3_call *c, struct list *l)
{
    struct slice value;
    l->max_keys = KEYS_MAX;
    (void)local_s3_query(c, "prefix", &l->prefix);
    (void)local_s3_query(c, "delimiter", &l->delimiter);
    l->has_start_after = local_s3_query(c, "start-after", &l->start_after);
    l->has_token = local_s3_query(c, "continuation-token", &l->token);
    l->fetch_owner = local_s3_query(c, "fetch-owner", &value) && slice_equals_string(value, "true");
    if (local_s3_query(c, "list-type", &value) && !slice_equals_string(value, "2")) {
        local_s3_refuse(c, 400, "InvalidArgument", "Invalid List Type specified in Request");
        return false;
    }
    if (local_s3_query(c, "encoding-type", &value)) {
        l->encode = slice_equals_string(value, "url");
        if (!l->encode) {
            local_s3_refuse(c, 400, "InvalidArgument", "Invalid Encoding Method specified in Request");
            return false;
        }
    }
    if (local_s3_query(c, "max-keys", &value)) {
        char *end;
        l->max_keys = strtoll(value.p, &end, 10); /* a decoded value has a NUL behind it */
        if (value.n == 0 || *end || l->max_keys < 0 || l->max_keys > INT32_MAX) {
            local_s3_refuse(c, 400, "InvalidArgument", "Provided max-keys not an integer or within integer range");
            return false;
        }
        if (l->max_keys > KEYS_MAX)
            l->max_keys = KEYS_MAX;
    }
    l->after = l->start_after;
    return !l->has_token || read_token(c, l);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

/* As S3 does under encoding-type=url: everything but unreserved characters and '/'. */
static void
write_key(struct buf *out, const struct list *l, struct slice key)
{
    if (!l->encode) {
        local_s3_xml_text(out, key);
        return;
    }
    for (const char *at = key.p, *end = key.p + key.n; at < end; at++) {
        unsigned char ch = (unsigned char)*at;
        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || memchr("-._~/*", ch, 6))
            buf_add_char(out, *at);
        else
            buf_add_format(out, "%%%02X", ch);
    }
}

static void
write_element(struct buf *out, const struct list *l, const char *name, struct slice value)
{
    buf_add_format(out, "<%s>", name);
    write_key(out, l, value);
    buf_add_format(out, "</%s>", name);
}

/* "CRC32" of an object whose kept headers have "x-amz-checksum-crc32: ..."; nothing of one that has none. */
static void
write_checksum(struct buf *out, struct slice headers)
{
    const size_t mark = strlen(S3_CHECKSUM_PREFIX);
    const char *at = headers.n > 0 ? memmem(headers.p, headers.n, S3_CHECKSUM_PREFIX, mark) : NULL;
    while (at && at != headers.p && at[-1] != '\n')
        at = memmem(at + 1, (size_t)(headers.p + headers.n - at - 1), S3_CHECKSUM_PREFIX, mark);
    if (!at)
        return;
    buf_add_string(out, "<ChecksumAlgorithm>");
    for (at += mark; at < headers.p + headers.n && *at != ':'; at++)
        buf_add_char(out, (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at));
    buf_add_string(out, "</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>");
}

static void
write_object(struct s3_call *c, const struct list *l, struct store_tx *tx, sqlite3_stmt *q)
{
    char modified[CLOCK_ISO8601_BYTES];
    clock_format_ms(store_wall_ms(tx, sqlite3_column_int64(q, 3)), modified);
    buf_add_string(&c->body, "<Contents>");
    write_element(&c->body, l, "Key", store_column(q, 0));
    buf_add_format(&c->body, "<LastModified>%s</LastModified><ETag>", modified);
    local_s3_xml_text(&c->body, store_column(q, 1));
    buf_add_string(&c->body, "</ETag>");
    write_checksum(&c->body, store_column(q, 4));
    buf_add_format(&c->body, "<Size>%lld</Size>", (long long)sqlite3_column_int64(q, 2));
    if (l->fetch_owner)
        buf_add_format(&c->body, "<Owner><ID>%s</ID></Owner>", local_account(c->s3->local));
    buf_add_string(&c->body, "<StorageClass>STANDARD</StorageClass></Contents>");
}

/* The common prefix a key falls under: up to and with the first delimiter behind the prefix; n 0: none. */
static struct slice
common_prefix(const struct list *l, struct slice key)
{
    if (l->delimiter.n == 0)
        return slice_of(NULL, 0);
    const char *hit = memmem(key.p + l->prefix.n, key.n - l->prefix.n, l->delimiter.p, l->delimiter.n);
    return hit ? slice_of(key.p, (size_t)(hit - key.p) + l->delimiter.n) : slice_of(NULL, 0);
}

static sqlite3_stmt *
keys_after(struct store_tx *tx, int64_t bucket, struct slice from, bool inclusive)
{
    sqlite3_stmt *q = inclusive ? store_prepare(tx, "SELECT key, etag, size, modified_ms, headers FROM s3_objects"
                                                    " WHERE bucket = ?1 AND key >= ?2 ORDER BY key")
                                : store_prepare(tx, "SELECT key, etag, size, modified_ms, headers FROM s3_objects"
                                                    " WHERE bucket = ?1 AND key > ?2 ORDER BY key");
    if (q) {
        store_bind_int(q, 1, bucket);
        store_bind_text(q, 2, from);
    }
    return q;
}

/* The first text behind all that begin with prefix: its last byte that is not 0xff plus one. */
static void
successor(struct buf *out, struct slice prefix)
{
    buf_reset(out);
    buf_add_slice(out, prefix);
    while (out->len > 0 && (unsigned char)out->data[out->len - 1] == 0xff)
        buf_truncate(out, out->len - 1);
    if (out->len > 0)
        out->data[out->len - 1]++;
}

struct page {
    int64_t count;
    struct buf last;     /* the last key or prefix on the page */
    struct buf prefixes; /* the CommonPrefixes elements */
    bool truncated;
};

static int
compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

/* Writes a key (group empty) or a common prefix. */
static void
add_to_page(struct store_tx *tx, struct s3_call *c, const struct list *l, sqlite3_stmt *q, struct slice group,
            struct page *page)
{
    page->count++;
    buf_reset(&page->last);
    buf_add_slice(&page->last, group.n > 0 ? group : store_column(q, 0));
    if (group.n > 0) {
        buf_add_string(&page->prefixes, "<CommonPrefixes>");
        write_element(&page->prefixes, l, "Prefix", group);
        buf_add_string(&page->prefixes, "</CommonPrefixes>");
    } else {
        write_object(c, l, tx, q);
    }
}

static int
fill(struct store_tx *tx, struct s3_call *c, const struct list *l, int64_t bucket, struct page *page)
{
    bool from_prefix = compare(l->after, l->prefix) < 0 || l->after.n == 0;
    struct buf from = BUF_INIT;
    sqlite3_stmt *q = keys_after(tx, bucket, from_prefix ? l->prefix : l->after, from_prefix);
    int rc;
    while ((rc = store_step(tx, q)) == 1) {
        struct slice key = store_column(q, 0), group;
        if (!key.p || !slice_starts_with(key, l->prefix))
            break;
        group = common_prefix(l, key);
        /* The page before, or start-after, ended inside this group: it is over. */
        bool over = group.n > 0 && slice_starts_with(l->after, group);
        if (!over && page->count == l->max_keys) {
            page->truncated = true;
            break;
        }
        if (!over)
            add_to_page(tx, c, l, q, group, page);
        if (group.n == 0)
            continue;
        successor(&from, group); /* leap over the group instead of reading it */
        if (from.len == 0)
            break;
        store_reset(q);
        q = keys_after(tx, bucket, buf_slice(&from), true);
    }
    if (rc == 1)
        store_reset(q);
    if (rc >= 0 && (buf_failed(&from) || buf_failed(&page->last)))
        rc = store_fail(tx, ERR_NO_MEMORY, "out of memory");
    buf_clean_up(&from);
    return rc < 0 ? rc : 0;
}

static int
list_work(struct store_tx *tx, struct s3_call *c)
{
    const struct list *l = c->request;
    struct page page = {0};
    struct buf *out = &c->body;
    int64_t bucket;
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    buf_add_string(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>");
    local_s3_xml_text(out, c->bucket);
    buf_add_string(out, "</Name>");
    write_element(out, l, "Prefix", l->prefix);
    if (l->delimiter.n > 0)
        write_element(out, l, "Delimiter", l->delimiter);
    if (l->has_start_after)
        write_element(out, l, "StartAfter", l->start_after);
    if (l->has_token) {
        buf_add_string(out, "<ContinuationToken>");
        local_s3_xml_text(out, l->token);
        buf_add_string(out, "</ContinuationToken>");
    }
    if (l->encode)
        buf_add_string(out, "<EncodingType>url</EncodingType>");
    buf_add_format(out, "<MaxKeys>%lld</MaxKeys>", (long long)l->max_keys);
    if (l->max_keys > 0)
        rc = fill(tx, c, l, bucket, &page);
    buf_add_slice(out, buf_slice(&page.prefixes));
    buf_add_format(out, "<KeyCount>%lld</KeyCount><IsTruncated>%s</IsTruncated>", (long long)page.count,
                   page.truncated ? "true" : "false");
    if (page.truncated) {
        buf_add_string(out, "<NextContinuationToken>");
        digest_base64_encode(out, page.last.data, page.last.len);
        buf_add_string(out, "</NextContinuationToken>");
    }
    buf_add_string(out, "</ListBucketResult>");
    buf_clean_up(&page.last);
    buf_clean_up(&page.prefixes);
    return rc;
}

static void
list_objects(struct s3_call *c)
{
    struct list *l = arena_zalloc(&c->call->arena, sizeof *l);
    if (!l)
        local_s3_refuse_no_memory(c);
    c->request = l;
    if (l && read_request(c, l))
        local_s3_run(c, list_work);
    else
        local_s3_finish(c);
}

const struct s3_operation S3_LIST_OPERATIONS[] = {{"ListObjectsV2", list_objects}, {NULL, NULL}};
