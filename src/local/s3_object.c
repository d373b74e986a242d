/* Writing and deleting objects. */
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "local/s3_impl.h"

/* ---- what is stored beside the bytes ------------------------------------------------------------------------------
 */

/* Headers that come back as they were sent; x-amz-meta-* as well. */
static bool
is_system_header(struct slice name)
{
    static const char *const KEPT[] = {"cache-control", "content-disposition", "content-encoding", "content-language",
                                       "expires"};
    for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++)
        if (name.n == strlen(KEPT[i]) && strncasecmp(name.p, KEPT[i], name.n) == 0)
            return true;
    return false;
}

static bool
is_metadata(struct slice name)
{
    size_t prefix = strlen(S3_META_PREFIX);
    return name.n > prefix && strncasecmp(name.p, S3_META_PREFIX, prefix) == 0;
}

/* "aws-chunked" is how the bytes came, not what they are. */
static struct slice
without_chunked(struct slice value)
{
    static const struct slice CHUNKED = {"aws-chunked", 11};
    if (!slice_starts_with(value, CHUNKED))
        return value;
    value = slice_of(value.p + CHUNKED.n, value.n - CHUNKED.n);
    while (value.n > 0 && (value.p[0] == ',' || value.p[0] == ' '))
        value = slice_of(value.p + 1, value.n - 1);
    return value;
}

/* "name: value\n", the name in lower case. */
static void
add_header(struct buf *out, struct slice name, struct slice value)
{
    for (size_t i = 0; i < name.n; i++)
        buf_add_char(out, (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 32 : name.p[i]));
    buf_add_string(out, ": ");
    buf_add_slice(out, value);
    buf_add_char(out, '\n');
}

/* The lines of all headers to keep, the checksum's included. False: the answer is set. */
static bool
gather_headers(struct s3_call *c, const struct s3_upload *upload, struct buf *out)
{
    size_t metadata = 0, system = 0;
    for (size_t i = 0; i < httpd_header_count(c->call->http); i++) {
        struct slice name, value;
        httpd_header_at(c->call->http, i, &name, &value);
        bool meta = is_metadata(name);
        if (!meta && !is_system_header(name))
            continue;
        value = meta ? value : without_chunked(value);
        if (!meta && value.n == 0)
            continue;
        *(meta ? &metadata : &system) += name.n + value.n - (meta ? strlen(S3_META_PREFIX) : 0);
        add_header(out, name, value);
    }
    if (metadata > S3_META_MAX || system > S3_SYSTEM_MAX) {
        local_s3_refuse(c, 400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size");
        return false;
    }
    if (upload->checksum.n > 0) {
        buf_add_string(out, S3_CHECKSUM_PREFIX);
        add_header(out, upload->checksum_name, upload->checksum);
    }
    return true;
}

/* ---- PutObject --------------------------------------------------------------------------------------------------- */

struct put {
    struct s3_upload upload;
    struct slice headers, content_type, if_match, if_none_match;
    char etag[DIGEST_MD5_HEX + 2];
};

static void
make_etag(struct slice body, char out[DIGEST_MD5_HEX + 2])
{
    out[0] = '"';
    digest_md5_hex(body.p, body.n, out + 1);
    memcpy(out + DIGEST_MD5_HEX, "\"", 2);
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
        store_bind_int(q, 4, (int64_t)put->upload.body.n);
        store_bind_int(q, 5, store_now_ms(tx));
        store_bind_text(q, 6, put->content_type);
        store_bind_text(q, 7, put->headers);
        store_bind_blob(q, 8, put->upload.body);
    }
    return store_run(tx, q);
}

int
local_s3_store(struct local_s3 *s, struct store_tx *tx, struct slice bucket, struct slice key, struct slice body,
               const char *content_type)
{
    struct put put = {.upload = {.body = body}, .content_type = slice_of_string(content_type)};
    int64_t id;
    (void)s;
    int rc = local_s3_find_bucket(tx, bucket, &id);
    if (rc != 0)
        return rc;
    make_etag(body, put.etag);
    return write_object(tx, id, key, &put);
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
    bool match = there && local_s3_same_etag(put->if_match, store_column(q, 0));
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
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? local_s3_refuse_no_bucket(c) : rc;
    rc = check_conditions(tx, c, bucket, put);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    local_s3_header(c, "ETag", put->etag);
    if (put->upload.checksum.n > 0) {
        local_s3_header(c,
                        arena_format(&c->call->arena, S3_CHECKSUM_PREFIX "%.*s", SLICE_ARG(put->upload.checksum_name)),
                        put->upload.checksum.p);
        local_s3_header(c, "x-amz-checksum-type", "FULL_OBJECT");
    }
    return write_object(tx, bucket, c->key, put);
}

/* False: the answer is set. */
static bool
read_put(struct s3_call *c, struct put *put)
{
    struct buf headers = BUF_INIT;
    if (!local_s3_upload(c, &put->upload))
        return false;
    put->if_match = httpd_header(c->call->http, "If-Match");
    put->if_none_match = httpd_header(c->call->http, "If-None-Match");
    put->content_type = httpd_header(c->call->http, "Content-Type");
    if (put->content_type.n == 0)
        put->content_type = SLICE("binary/octet-stream");
    if (put->if_none_match.n > 0 && !slice_equals_string(put->if_none_match, "*")) {
        local_s3_refuse(c, 501, "NotImplemented", "If-None-Match takes \"*\" alone on a write.");
        return false;
    }
    bool ok = gather_headers(c, &put->upload, &headers);
    char *kept = ok && !buf_failed(&headers)
                     ? arena_strndup(&c->call->arena, headers.data ? headers.data : "", headers.len)
                     : NULL;
    if (kept)
        put->headers = slice_of(kept, headers.len);
    else if (ok)
        local_s3_refuse_no_memory(c);
    buf_clean_up(&headers);
    return kept != NULL;
}

static void
put_object(struct s3_call *c)
{
    struct put *put = arena_zalloc(&c->call->arena, sizeof *put);
    if (!put)
        local_s3_refuse_no_memory(c);
    if (!put || !read_put(c, put)) {
        local_s3_finish(c);
        return;
    }
    make_etag(put->upload.body, put->etag);
    c->request = put;
    local_s3_run(c, put_work);
}

/* ---- DeleteObject ------------------------------------------------------------------------------------------------ */

static int
delete_work(struct store_tx *tx, struct s3_call *c)
{
    int64_t bucket;
    int rc = local_s3_find_bucket(tx, c->bucket, &bucket);
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
    {"PutObject", put_object}, {"DeleteObject", delete_object}, {NULL, NULL}};
