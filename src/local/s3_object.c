/* The calls about one object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/digest.h"
#include "local/s3_impl.h"

/* ---- what is stored beside the bytes ------------------------------------------------------------------------------
 */

/* Headers that come back as they were sent; x-amz-meta-* as well. */
static bool
is_kept(struct slice name)
{
    static const char *const KEPT[] = {"cache-control", "content-disposition", "content-encoding", "content-language",
                                       "expires"};
    for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++)
        if (name.n == strlen(KEPT[i]) && strncasecmp(name.p, KEPT[i], name.n) == 0)
            return true;
    return name.n > 11 && strncasecmp(name.p, "x-amz-meta-", 11) == 0;
}

/* "aws-chunked" is how the bytes came, not what they are. */
static struct slice
without_chunked(struct slice value)
{
    static const char CHUNKED[] = "aws-chunked";
    if (slice_starts_with(value, slice_of_string(CHUNKED))) {
        value = slice_of(value.p + sizeof CHUNKED - 1, value.n - (sizeof CHUNKED - 1));
        while (value.n > 0 && (value.p[0] == ',' || value.p[0] == ' '))
            value = slice_of(value.p + 1, value.n - 1);
    }
    return value;
}

/* "name: value\n" for each header to keep, names in lower case. False: the answer is set. */
static bool
gather_headers(struct s3_call *c, struct buf *out)
{
    for (size_t i = 0; i < httpd_header_count(c->call->http); i++) {
        struct slice name, value;
        httpd_header_at(c->call->http, i, &name, &value);
        if (!is_kept(name))
            continue;
        value = without_chunked(value);
        if (value.n == 0 || memchr(value.p, '\n', value.n))
            continue;
        for (size_t k = 0; k < name.n; k++)
            buf_add_char(out, (char)(name.p[k] >= 'A' && name.p[k] <= 'Z' ? name.p[k] | 32 : name.p[k]));
        buf_add_string(out, ": ");
        buf_add_slice(out, value);
        buf_add_char(out, '\n');
    }
    if (out->len > S3_META_MAX) {
        local_s3_refuse(c, 400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size");
        return false;
    }
    return true;
}

static void
give_back_headers(struct s3_call *c, struct slice headers)
{
    while (headers.n > 0) {
        const char *end = memchr(headers.p, '\n', headers.n), *colon = memchr(headers.p, ':', headers.n);
        if (!end || !colon || colon > end)
            return;
        char *name = arena_strndup(&c->call->arena, headers.p, (size_t)(colon - headers.p));
        if (name)
            local_s3_header(c, name, "%.*s", (int)(end - colon - 2), colon + 2);
        headers = slice_of(end + 1, headers.n - (size_t)(end + 1 - headers.p));
    }
}

/* ---- PutObject --------------------------------------------------------------------------------------------------- */

struct put {
    struct slice body, headers, content_type, if_match, if_none_match;
    char etag[DIGEST_MD5_HEX + 2];
};

static void
make_etag(struct slice body, char out[DIGEST_MD5_HEX + 2])
{
    out[0] = '"';
    digest_md5_hex(body.p, body.n, out + 1);
    strcpy(out + DIGEST_MD5_HEX, "\"");
}

static int
write_object(struct store_tx *tx, int64_t bucket, struct slice key, const struct put *put)
{
    sqlite3_stmt *q =
        store_prepare(tx, "INSERT INTO s3_objects (bucket, key, etag, size, modified_ms, content_type,"
                          " headers, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                          " ON CONFLICT (bucket, key) DO UPDATE SET etag = ?3, size = ?4, modified_ms = ?5,"
                          " content_type = ?6, headers = ?7, body = ?8");
    if (q) {
        store_bind_int(q, 1, bucket);
        store_bind_text(q, 2, key);
        store_bind_text(q, 3, slice_of_string(put->etag));
        store_bind_int(q, 4, (int64_t)put->body.n);
        store_bind_int(q, 5, store_now_ms(tx));
        store_bind_text(q, 6, put->content_type);
        store_bind_text(q, 7, put->headers);
        store_bind_blob(q, 8, put->body);
    }
    return store_run(tx, q);
}

int
local_s3_store(struct local_s3 *s, struct store_tx *tx, struct slice bucket, struct slice key, struct slice body,
               const char *content_type)
{
    struct put put = {.body = body, .content_type = slice_of_string(content_type)};
    int64_t id;
    (void)s;
    int rc = local_s3_find_bucket(tx, bucket, &id, NULL);
    if (rc != 0)
        return rc;
    make_etag(body, put.etag);
    return write_object(tx, id, key, &put);
}

/* Quotes around an ETag are optional in conditions. */
static bool
same_etag(struct slice given, struct slice etag)
{
    return slice_equals(given, etag) || (etag.n > 2 && slice_equals(given, slice_of(etag.p + 1, etag.n - 2)));
}

/* 0: go on; 1: refused, the answer is set; or the store's. */
static int
check_conditions(struct store_tx *tx, struct s3_call *c, int64_t bucket, const struct put *put)
{
    if (put->if_match.n == 0 && put->if_none_match.n == 0)
        return 0;
    sqlite3_stmt *q = store_prepare(tx, "SELECT etag FROM s3_objects WHERE bucket = ?1 AND key = ?2");
    if (q) {
        store_bind_int(q, 1, bucket);
        store_bind_text(q, 2, c->key);
    }
    int rc = store_step(tx, q);
    if (rc < 0)
        return rc;
    bool there = rc == 1;
    bool match = there && same_etag(put->if_match, store_column(q, 0));
    if (there)
        store_reset(q);
    if (put->if_match.n > 0 && !there) {
        local_s3_refuse(c, 404, "NoSuchKey", "The specified key does not exist.");
        return 1;
    }
    if ((put->if_match.n > 0 && !match) || (put->if_none_match.n > 0 && there)) {
        local_s3_refuse(c, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
        return 1;
    }
    return 0;
}

static int
put_work(struct store_tx *tx, struct s3_call *c)
{
    const struct put *put = c->request;
    int64_t bucket;
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket, NULL);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    rc = check_conditions(tx, c, bucket, put);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    local_s3_header(c, "ETag", "%s", put->etag);
    return write_object(tx, bucket, c->key, put);
}

static void
put_object(struct s3_call *c)
{
    struct put *put = arena_zalloc(&c->call->arena, sizeof *put);
    struct buf headers = BUF_INIT;
    bool ok = put != NULL && local_s3_upload(c, &put->body) && gather_headers(c, &headers);
    char *kept = ok && !buf_failed(&headers)
                     ? arena_strndup(&c->call->arena, headers.data ? headers.data : "", headers.len)
                     : NULL;
    if (ok) {
        put->if_match = httpd_header(c->call->http, "If-Match");
        put->if_none_match = httpd_header(c->call->http, "If-None-Match");
        put->content_type = httpd_header(c->call->http, "Content-Type");
        if (put->content_type.n == 0)
            put->content_type = SLICE("binary/octet-stream");
        if (put->if_none_match.n > 0 && !slice_equals_string(put->if_none_match, "*")) {
            local_s3_refuse(c, 501, "NotImplemented", "If-None-Match takes \"*\" alone on a write.");
            ok = false;
        }
    } else if (!c->code) {
        local_s3_refuse(c, 500, "InternalError", "Out of memory.");
    }
    if (ok && !kept) {
        local_s3_refuse(c, 500, "InternalError", "Out of memory.");
        ok = false;
    }
    if (ok) {
        put->headers = slice_of(kept, headers.len);
        make_etag(put->body, put->etag);
        c->request = put;
        local_s3_run(c, put_work);
    } else {
        local_s3_finish(c);
    }
    buf_clean_up(&headers);
}

/* ---- GetObject, HeadObject --------------------------------------------------------------------------------------- */

static bool
read_number(const char **at, const char *end, int64_t *ret)
{
    int64_t v = 0;
    const char *start = *at;
    while (*at < end && **at >= '0' && **at <= '9' && v < INT64_MAX / 10 - 1)
        v = v * 10 + (*(*at)++ - '0');
    *ret = v;
    return *at > start;
}

int
local_s3_range(struct slice header, int64_t size, int64_t *ret_first, int64_t *ret_n)
{
    int64_t first, last;
    if (!slice_starts_with(header, SLICE("bytes=")))
        return ERR_INVALID;
    const char *at = header.p + 6, *end = header.p + header.n;
    if (at < end && *at == '-') {
        at++;
        if (!read_number(&at, end, &last) || at != end)
            return ERR_INVALID;
        first = last < size ? size - last : 0;
        if (last == 0 || size == 0)
            return ERR_NOT_FOUND;
        last = size - 1;
    } else {
        if (!read_number(&at, end, &first) || at == end || *at++ != '-')
            return ERR_INVALID;
        if (!read_number(&at, end, &last))
            last = INT64_MAX;
        if (at != end || last < first)
            return ERR_INVALID;
        if (first >= size)
            return ERR_NOT_FOUND;
        if (last >= size)
            last = size - 1;
    }
    *ret_first = first;
    *ret_n = last - first + 1;
    return 0;
}

/* False: the answer is set (304, 412, 416). */
static bool
check_read(struct s3_call *c, struct slice etag, int64_t size, int64_t *ret_first, int64_t *ret_n)
{
    struct slice if_match = httpd_header(c->call->http, "If-Match"), range = httpd_header(c->call->http, "Range");
    struct slice if_none_match = httpd_header(c->call->http, "If-None-Match");
    *ret_first = 0;
    *ret_n = size;
    if (if_match.n > 0 && !same_etag(if_match, etag) && !slice_equals_string(if_match, "*")) {
        local_s3_refuse(c, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
        return false;
    }
    if (if_none_match.n > 0 && (same_etag(if_none_match, etag) || slice_equals_string(if_none_match, "*"))) {
        local_s3_refuse(c, 304, "NotModified", "Not Modified");
        return false;
    }
    if (range.n == 0)
        return true;
    int rc = local_s3_range(range, size, ret_first, ret_n);
    if (rc == ERR_NOT_FOUND) {
        local_s3_refuse(c, 416, "InvalidRange", "The requested range is not satisfiable");
        local_s3_header(c, "Content-Range", "bytes */%lld", (long long)size);
        return false;
    }
    if (rc == 0) {
        c->status = 206;
        local_s3_header(c, "Content-Range", "bytes %lld-%lld/%lld", (long long)*ret_first,
                        (long long)(*ret_first + *ret_n - 1), (long long)size);
    }
    return true;
}

static int
read_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t bucket, first, n;
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket, NULL);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    sqlite3_stmt *q = store_prepare(tx, "SELECT etag, size, modified_ms, content_type, headers, body FROM s3_objects"
                                        " WHERE bucket = ?1 AND key = ?2");
    if (q) {
        store_bind_int(q, 1, bucket);
        store_bind_text(q, 2, c->key);
    }
    if ((rc = store_step(tx, q)) < 0)
        return rc;
    if (rc == 0)
        return local_s3_refuse(c, 404, "NoSuchKey", "The specified key does not exist.");
    struct slice etag = store_column(q, 0);
    char modified[40];
    time_t seconds = (time_t)(store_wall_ms(tx, sqlite3_column_int64(q, 2)) / 1000);
    struct tm parts;
    strftime(modified, sizeof modified, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &parts));
    local_s3_header(c, "ETag", "%.*s", SLICE_ARG(etag));
    local_s3_header(c, "Last-Modified", "%s", modified);
    local_s3_header(c, "Accept-Ranges", "bytes");
    if (check_read(c, etag, sqlite3_column_int64(q, 1), &first, &n)) {
        give_back_headers(c, store_column(q, 4));
        c->content_type = arena_strdup_slice(&c->call->arena, store_column(q, 3));
        c->content_length = n;
        if (!slice_equals_string(httpd_method(c->call->http), "HEAD"))
            buf_add(&c->body, store_column(q, 5).p + first, (size_t)n);
    }
    store_reset(q);
    return 0;
}

static void
read_object(struct s3_call *c)
{
    local_s3_run(c, read_work);
}

/* ---- DeleteObject ------------------------------------------------------------------------------------------------ */

static int
delete_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t bucket;
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket, NULL);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    sqlite3_stmt *q = store_prepare(tx, "DELETE FROM s3_objects WHERE bucket = ?1 AND key = ?2");
    if (q) {
        store_bind_int(q, 1, bucket);
        store_bind_text(q, 2, c->key);
    }
    c->status = 204;
    return store_run(tx, q);
}

static void
delete_object(struct s3_call *c)
{
    local_s3_run(c, delete_work);
}

const struct s3_operation S3_OBJECT_OPERATIONS[] = {
    {"PutObject", put_object},
    {"GetObject", read_object},
    {"HeadObject", read_object},
    {"DeleteObject", delete_object},
    {NULL, NULL},
};
