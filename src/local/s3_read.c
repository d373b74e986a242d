/* Reading objects. */
#include <string.h>

#include "base/clock.h"
#include "local/s3_impl.h"

/* What a condition or a header is about. Slices are good until the statement is left. */
struct found {
    struct slice etag, content_type, headers;
    int64_t size, modified_at;
};

/* ---- conditions and ranges --------------------------------------------------------------------------------------- */

bool
local_s3_same_etag(struct slice given, struct slice etag)
{
    return slice_equals(given, etag) || (etag.n > 2 && slice_equals(given, slice_of(etag.p + 1, etag.n - 2)));
}

/* Modified after the time a header names? Whole seconds, as Last-Modified tells them; false for what is no date. */
static bool
is_modified_since(const struct found *f, struct slice date, bool *ret_modified)
{
    int64_t at;
    if (date.n == 0 || clock_parse_http_date(date.p, date.n, &at, NULL) != 0)
        return false;
    *ret_modified = f->modified_at / 1000 > at / 1000;
    return true;
}

/* RFC 9110, 13.2.2. 0, or the status: 304 or 412. */
static int
conditions(const struct httpd_request *r, const struct found *f)
{
    struct slice if_match = httpd_header(r, "If-Match"), if_none_match = httpd_header(r, "If-None-Match");
    bool modified;
    if (if_match.n > 0) {
        if (!local_s3_same_etag(if_match, f->etag) && !slice_equals_string(if_match, "*"))
            return 412;
    } else if (is_modified_since(f, httpd_header(r, "If-Unmodified-Since"), &modified) && modified) {
        return 412;
    }
    if (if_none_match.n > 0)
        return local_s3_same_etag(if_none_match, f->etag) || slice_equals_string(if_none_match, "*") ? 304 : 0;
    return is_modified_since(f, httpd_header(r, "If-Modified-Since"), &modified) && !modified ? 304 : 0;
}

/* False: the answer is set (304, 412, 416). */
static bool
check_request(struct s3_call *c, const struct found *f, int64_t *ret_first, int64_t *ret_n)
{
    struct slice range = httpd_header(c->call->http, "Range");
    int status = conditions(c->call->http, f);
    if (status == 412)
        local_s3_refuse(c, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    if (status == 304)
        local_s3_refuse(c, 304, "NotModified", "Not Modified");
    if (status != 0)
        return false;
    *ret_first = 0;
    *ret_n = f->size;
    int rc = range.n > 0 ? local_s3_range(range, f->size, ret_first, ret_n) : ERR_INVALID;
    if (rc == ERR_NOT_FOUND) {
        local_s3_refuse(c, 416, "InvalidRange", "The requested range is not satisfiable");
        local_s3_header(c, "Content-Range", arena_format(&c->call->arena, "bytes */%lld", (long long)f->size));
        return false;
    }
    if (rc == 0) {
        c->status = 206;
        local_s3_header(c, "Content-Range",
                        arena_format(&c->call->arena, "bytes %lld-%lld/%lld", (long long)*ret_first,
                                     (long long)(*ret_first + *ret_n - 1), (long long)f->size));
    }
    return true;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

/* The headers kept by PutObject; a checksum only where it is asked for and is that of what is sent. */
static void
give_back_headers(struct s3_call *c, struct slice headers)
{
    struct arena *a = &c->call->arena;
    bool checksums =
        c->status == 200 && slice_equals_string(httpd_header(c->call->http, "x-amz-checksum-mode"), "ENABLED");
    for (const char *at = headers.p, *stop = headers.p + headers.n; at < stop;) {
        const char *end = memchr(at, '\n', (size_t)(stop - at)), *colon = memchr(at, ':', (size_t)(stop - at));
        if (!end || !colon || end - colon < 2)
            return;
        bool checksum = slice_starts_with(slice_of(at, (size_t)(end - at)), SLICE(S3_CHECKSUM_PREFIX));
        if (!checksum || checksums) {
            const char *name = arena_strndup(a, at, (size_t)(colon - at));
            local_s3_header(c, name ? name : "", name ? arena_strndup(a, colon + 2, (size_t)(end - colon - 2)) : NULL);
        }
        if (checksum && checksums)
            local_s3_header(c, "x-amz-checksum-type", "FULL_OBJECT");
        at = end + 1;
    }
}

static int
copy_body(struct store_tx *tx, struct s3_call *c, int64_t id, int64_t first, int64_t n)
{
    sqlite3_stmt *q = store_prepare(tx, "SELECT body FROM s3_objects WHERE id = ?1");
    if (q)
        store_bind_int(q, 1, id);
    int rc = store_step(tx, q);
    if (rc != 1)
        return rc < 0 ? rc : store_fail(tx, ERR_CORRUPT, "object %lld has gone", (long long)id);
    struct slice body = store_column(q, 0);
    if (body.n < (size_t)(first + n))
        rc = store_fail(tx, ERR_CORRUPT, "object %lld is shorter than its size says", (long long)id);
    else
        buf_add(&c->body, body.p + first, (size_t)n);
    store_reset(q);
    return rc < 0 ? rc : 0;
}

/* Answers about the object q stands on. Returns whether bytes [*ret_first, + *ret_n) are to follow. */
static bool
describe(struct store_tx *tx, struct s3_call *c, sqlite3_stmt *q, int64_t *ret_first, int64_t *ret_n)
{
    struct arena *a = &c->call->arena;
    const struct found f = {
        .etag = store_column(q, 1),
        .size = sqlite3_column_int64(q, 2),
        .modified_at = store_wall_ms(tx, sqlite3_column_int64(q, 3)),
        .content_type = store_column(q, 4),
        .headers = store_column(q, 5),
    };
    char modified[HTTPD_DATE_BYTES];
    httpd_format_date(f.modified_at, modified);
    local_s3_header(c, "ETag", arena_strdup_slice(a, f.etag));
    local_s3_header(c, "Last-Modified", arena_strdup(a, modified));
    local_s3_header(c, "Accept-Ranges", "bytes");
    if (!check_request(c, &f, ret_first, ret_n))
        return false;
    give_back_headers(c, f.headers);
    c->content_type = arena_strdup_slice(a, f.content_type);
    c->content_length = *ret_n;
    c->no_memory |= c->content_type == NULL;
    return !slice_equals_string(httpd_method(c->call->http), "HEAD");
}

static int
read_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t bucket, first, n;
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    sqlite3_stmt *q = store_prepare(tx, "SELECT id, etag, size, modified_ms, content_type, headers FROM s3_objects"
                                        " WHERE bucket = ?1 AND key = ?2");
    if (q) {
        store_bind_int(q, 1, bucket);
        store_bind_text(q, 2, c->key);
    }
    rc = store_step(tx, q);
    if (rc <= 0)
        return rc < 0 ? rc : local_s3_refuse(c, 404, "NoSuchKey", "The specified key does not exist.");
    int64_t id = sqlite3_column_int64(q, 0);
    bool wanted = describe(tx, c, q, &first, &n);
    store_reset(q);
    return wanted ? copy_body(tx, c, id, first, n) : 0;
}

static void
read_object(struct s3_call *c)
{
    local_s3_run(c, read_work);
}

const struct s3_operation S3_READ_OPERATIONS[] = {
    {"GetObject", read_object}, {"HeadObject", read_object}, {NULL, NULL}};
