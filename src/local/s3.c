#include "local/s3_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "local/percent.h"

static const char *const MIGRATIONS[] = {
    "CREATE TABLE s3_buckets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL);"
    "CREATE TABLE s3_objects (id INTEGER PRIMARY KEY, bucket INTEGER NOT NULL REFERENCES s3_buckets, key TEXT NOT NULL,"
    " etag TEXT NOT NULL, size INTEGER NOT NULL, modified_ms INTEGER NOT NULL, content_type TEXT NOT NULL,"
    " headers TEXT NOT NULL, body BLOB NOT NULL);"
    "CREATE UNIQUE INDEX s3_objects_by_key ON s3_objects (bucket, key);",
};

/* ---- addressing -------------------------------------------------------------------------------------------------- */

static struct slice
without_port(struct slice host)
{
    for (size_t i = host.n; i > 0 && host.p[i - 1] != ']'; i--)
        if (host.p[i - 1] == ':')
            return slice_of(host.p, i - 1);
    return host;
}

/* "BUCKET.localhost", "BUCKET.s3.amazonaws.com", "BUCKET.s3.REGION.amazonaws.com": the bucket, or nothing. */
static struct slice
bucket_in_host(const struct httpd_request *r)
{
    struct slice host = without_port(httpd_header(r, "Host"));
    static const char LOCAL[] = ".localhost", AWS[] = ".amazonaws.com", S3[] = ".s3.";
    if (host.n > sizeof LOCAL - 1 && memcmp(host.p + host.n - (sizeof LOCAL - 1), LOCAL, sizeof LOCAL - 1) == 0) {
        struct slice bucket = slice_of(host.p, host.n - (sizeof LOCAL - 1));
        const char *s3 = memmem(bucket.p, bucket.n, ".s3", 3);
        return s3 && s3 + 3 == bucket.p + bucket.n ? slice_of(bucket.p, bucket.n - 3)
               : slice_equals_string(bucket, "s3") ? slice_of(NULL, 0)
                                                   : bucket;
    }
    if (host.n > sizeof AWS - 1 && memcmp(host.p + host.n - (sizeof AWS - 1), AWS, sizeof AWS - 1) == 0) {
        const char *s3 = memmem(host.p, host.n, S3, sizeof S3 - 1);
        if (s3)
            return slice_of(host.p, (size_t)(s3 - host.p));
    }
    return slice_of(NULL, 0);
}

static struct slice
raw_path(const struct httpd_request *r, struct slice *ret_bucket)
{
    struct slice path = httpd_path(r), bucket = bucket_in_host(r);
    if (path.n > 0 && path.p[0] == '/')
        path = slice_of(path.p + 1, path.n - 1);
    if (bucket.n > 0) {
        *ret_bucket = bucket;
        return path;
    }
    const char *slash = path.n ? memchr(path.p, '/', path.n) : NULL;
    size_t n = slash ? (size_t)(slash - path.p) : path.n;
    *ret_bucket = slice_of(path.p, n);
    return slash ? slice_of(slash + 1, path.n - n - 1) : slice_of(NULL, 0);
}

/* Percent-decodes into the arena; plus: '+' is a space. A broken escape stays as it is. p NULL: no memory. */
static struct slice
decoded(struct arena *a, struct slice text, bool plus)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;
    if (!out)
        return slice_of(NULL, 0);
    for (size_t i = 0; i < text.n; i++) {
        int c = percent_decode(text.p + i, text.p + text.n);
        out[n++] = c >= 0 ? (char)c : plus && text.p[i] == '+' ? ' ' : text.p[i];
        i += c >= 0 ? 2 : 0;
    }
    out[n] = '\0';
    return slice_of(out, n);
}

/* The parameter's raw value; false when it is absent. */
static bool
raw_query(const struct httpd_request *r, const char *name, struct slice *ret_value)
{
    struct slice query = httpd_query(r);
    size_t name_n = strlen(name);
    while (query.n > 0) {
        const char *end = memchr(query.p, '&', query.n);
        size_t n = end ? (size_t)(end - query.p) : query.n;
        if (n >= name_n && memcmp(query.p, name, name_n) == 0 && (n == name_n || query.p[name_n] == '=')) {
            *ret_value = n == name_n ? SLICE("") : slice_of(query.p + name_n + 1, n - name_n - 1);
            return true;
        }
        size_t step = end ? n + 1 : n;
        query = slice_of(query.p + step, query.n - step);
    }
    return false;
}

bool
local_s3_query(struct s3_call *c, const char *name, struct slice *ret_value)
{
    struct slice raw;
    if (!raw_query(c->call->http, name, &raw))
        return false;
    *ret_value = decoded(&c->call->arena, raw, true);
    return true;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static bool
claims(void *context, const struct httpd_request *r)
{
    (void)context;
    return httpd_header(r, "X-Amz-Target").n == 0; /* all other services here name their operation in it */
}

/* Parts of S3 that have a query parameter of their own and are not here. */
static bool
asks_for_more(const struct httpd_request *r)
{
    static const char *const PARTS[] = {
        "acl",
        "accelerate",
        "analytics",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    };
    struct slice value;
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        if (raw_query(r, PARTS[i], &value))
            return true;
    return httpd_header(r, "x-amz-copy-source").n > 0;
}

enum level { SERVICE, BUCKET, OBJECT };

/* The first that fits is it. */
static const struct {
    enum level level;
    const char *method, *parameter; /* NULL: whatever the parameters are */
    const char *operation;
} REQUESTS[] = {
    {OBJECT, "GET", NULL, "GetObject"},
    {OBJECT, "HEAD", NULL, "HeadObject"},
    {OBJECT, "PUT", NULL, "PutObject"},
    {OBJECT, "DELETE", NULL, "DeleteObject"},
    {BUCKET, "GET", "location", "GetBucketLocation"},
    {BUCKET, "GET", "list-type", "ListObjectsV2"},
    {BUCKET, "HEAD", NULL, "HeadBucket"},
    {BUCKET, "PUT", NULL, "CreateBucket"},
    {BUCKET, "DELETE", NULL, "DeleteBucket"},
    {SERVICE, "GET", NULL, "ListBuckets"},
};

static struct slice
operation(void *context, const struct httpd_request *r)
{
    (void)context;
    struct slice bucket, key = raw_path(r, &bucket), method = httpd_method(r), value;
    enum level level = key.n > 0 ? OBJECT : bucket.n > 0 ? BUCKET : SERVICE;
    if (asks_for_more(r))
        return slice_of(NULL, 0);
    for (size_t i = 0; i < sizeof REQUESTS / sizeof *REQUESTS; i++)
        if (REQUESTS[i].level == level && slice_equals_string(method, REQUESTS[i].method) &&
            (!REQUESTS[i].parameter || raw_query(r, REQUESTS[i].parameter, &value)))
            return slice_of_string(REQUESTS[i].operation);
    return slice_of(NULL, 0);
}

static const struct s3_operation *
find_operation(struct slice name)
{
    const struct s3_operation *const tables[] = {S3_BUCKET_OPERATIONS, S3_OBJECT_OPERATIONS, S3_READ_OPERATIONS,
                                                 S3_LIST_OPERATIONS};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct s3_operation *o = tables[i]; o->name; o++)
            if (slice_equals_string(name, o->name))
                return o;
    return NULL;
}

static bool
has_operation(struct slice name)
{
    return find_operation(name) != NULL;
}

static bool
is_utf8(struct slice text)
{
    const char *end = text.p + text.n;
    size_t n;
    for (const char *at = text.p; at < end; at += n)
        if ((n = utf8_length(at, end)) == 0)
            return false;
    return true;
}

/* False: the answer is set. */
static bool
read_address(struct s3_call *c)
{
    struct slice raw_bucket, raw_key = raw_path(c->call->http, &raw_bucket);
    struct slice bucket = decoded(&c->call->arena, raw_bucket, false), key = decoded(&c->call->arena, raw_key, false);
    if (!bucket.p || !key.p) {
        local_s3_refuse_no_memory(c);
        return false;
    }
    if (!is_utf8(bucket) || !is_utf8(key)) {
        local_s3_refuse(c, 400, "InvalidURI", "Couldn't parse the specified URI.");
        return false;
    }
    if (key.n > S3_KEY_MAX) {
        local_s3_refuse(c, 400, "KeyTooLongError", "Your key is too long");
        return false;
    }
    c->bucket = bucket;
    c->key = key;
    c->call->resource = bucket;
    if (key.n > 0)
        c->call->resource =
            slice_of_string(arena_format(&c->call->arena, "%.*s/%.*s", SLICE_ARG(bucket), SLICE_ARG(key)));
    return true;
}

static void
serve(void *context, struct local_call *call)
{
    const struct s3_operation *o = find_operation(call->operation);
    struct s3_call *c = arena_zalloc(&call->arena, sizeof *c);
    if (!c) {
        local_s3_refuse_call(call, 500, "InternalError", "Out of memory.");
        return;
    }
    c->s3 = context;
    c->call = call;
    if (!o)
        local_s3_refuse(c, 501, "NotImplemented",
                        "fanout-local does not know this request of S3: multipart uploads, copies, versions, "
                        "ListObjects of version 1 and the configuration of buckets are not there.");
    if (o && read_address(c))
        o->begin(c);
    else
        local_s3_finish(c);
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

static int
run(struct store_tx *tx, struct store_job *job)
{
    struct s3_call *c = (struct s3_call *)job;
    c->status = 200;
    c->code = c->message = c->content_type = NULL;
    c->n_headers = 0;
    c->content_length = 0;
    c->no_memory = false;
    buf_reset(&c->body);
    return c->work(tx, c);
}

static void
finish(struct store_job *job, const struct err *error)
{
    struct s3_call *c = (struct s3_call *)job;
    if (error) {
        buf_clean_up(&c->body);
        local_answer_failure(c->call, error);
    } else {
        local_s3_finish(c);
    }
}

void
local_s3_run(struct s3_call *c, int (*work)(struct store_tx *tx, struct s3_call *c))
{
    c->work = work;
    c->job = (struct store_job){.run = run, .finish = finish};
    store_submit(local_store(c->s3->local), &c->job);
}

int
local_s3_find_bucket(struct store_tx *tx, struct slice bucket, int64_t *ret_id)
{
    sqlite3_stmt *q = store_prepare(tx, "SELECT id FROM s3_buckets WHERE name = ?1");
    if (q)
        store_bind_text(q, 1, bucket);
    int rc = store_step(tx, q);
    if (rc != 1)
        return rc == 0 ? ERR_NOT_FOUND : rc;
    *ret_id = sqlite3_column_int64(q, 0);
    store_reset(q);
    return 0;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* Forgets every bucket. */
static int
reset(void *context, struct store_tx *tx)
{
    (void)context;
    return store_exec(tx, "DELETE FROM s3_objects; DELETE FROM s3_buckets");
}

int
local_s3_new(struct local *l, struct local_s3 **ret_s3, struct err *e)
{
    struct local_s3 *s = calloc(1, sizeof *s);
    if (!s)
        return err_no_memory(e);
    s->local = l;
    const struct store_service tables = {
        .name = "s3",
        .context = s,
        .migrations = MIGRATIONS,
        .n_migrations = sizeof MIGRATIONS / sizeof *MIGRATIONS,
    };
    const struct local_service service = {
        .name = "s3",
        .request_id_header = "x-amz-request-id",
        .context = s,
        .claims = claims,
        .operation = operation,
        .has_operation = has_operation,
        .serve = serve,
        .refuse = local_s3_refuse_call,
        .reset = reset,
    };
    int rc = store_add_service(local_store(l), &tables, e);
    if (rc == 0)
        rc = local_add_service(l, &service, e);
    if (rc != 0) {
        local_s3_destroy(s);
        return rc;
    }
    *ret_s3 = s;
    return 0;
}

void
local_s3_destroy(struct local_s3 *s)
{
    free(s);
}
