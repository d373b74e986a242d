#include "aws/s3.h"

#include <stdlib.h>

#include "aws/answer.h"
#include "aws/s3_decode.h"
#include "base/clock.h"

#define KEY_MAX          1024
#define LIST_MAX         1000
#define LIST_BYTES_MAX   ((size_t)16 << 20) /* 1,000 keys of 1,024 bytes, each byte escaped, make some 4 MiB */
#define STALL_TIMEOUT_MS 15000
#define SLOWEST_BYTES_MS 50 /* an upload may be as slow as 50 KB/s */
#define GET_TIMEOUT_MS   600000
#define PUT_TIMEOUT_MS   15000
#define LIST_TIMEOUT_MS  30000

/* A call on its way. */
struct call {
    const char *operation;
    union {
        s3_object_fn *object;
        s3_list_fn *list;
    } done;
    void *context;
    int (*on_data)(void *context, struct slice piece);
};

static struct call *
new_call(const char *operation, void *context)
{
    struct call *call = malloc(sizeof *call);
    if (call)
        *call = (struct call){.operation = operation, .context = context};
    return call;
}

/* ---- where an object is ---------------------------------------------------------------------------------------- */

struct address {
    struct buf host_prefix; /* "bucket.", or nothing */
    struct buf path;
};

static void
address_clean_up(struct address *a)
{
    buf_clean_up(&a->host_prefix);
    buf_clean_up(&a->path);
}

static bool
consists_of(const char *text, const char *allowed)
{
    return text[strspn(text, allowed)] == '\0';
}

/* Old buckets of us-east-1 may have upper-case letters and underscores; they, and those with a dot, whose host no
 * certificate of AWS covers, go by path. */
static int
address_init(struct address *a, const struct aws_client *c, const char *operation, const char *bucket, const char *key,
             struct err *e)
{
    static const char in_host[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    static const char in_path[] = "abcdefghijklmnopqrstuvwxyz0123456789-._ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = bucket ? strlen(bucket) : 0;
    *a = (struct address){BUF_INIT, BUF_INIT};
    if (n < 3 || n > 255 || !consists_of(bucket, in_path) || bucket[0] == '.')
        return err_set(e, ERR_INVALID, "%s: '%.80s' is no bucket name", operation, bucket ? bucket : "");
    if (key && (!*key || strlen(key) > KEY_MAX))
        return err_set(e, ERR_INVALID, "%s: a key has 1 to %d bytes, this one %zu", operation, KEY_MAX, strlen(key));
    buf_add_char(&a->path, '/');
    if (aws_client_is_custom(c) || n > 63 || !consists_of(bucket, in_host)) {
        buf_add(&a->path, bucket, n);
        if (key)
            buf_add_char(&a->path, '/');
    } else {
        buf_add_format(&a->host_prefix, "%s.", bucket);
    }
    if (key)
        http_encode(&a->path, slice_of_string(key), true);
    if (buf_failed(&a->path) || buf_failed(&a->host_prefix)) {
        address_clean_up(a);
        return err_no_memory(e);
    }
    return 0;
}

/* Takes call. */
static int
submit(struct aws_client *c, struct call *call, const struct address *a, struct aws_request *request, aws_done_fn *done,
       struct aws_call **ret_call, struct err *e)
{
    request->operation = call->operation;
    request->host_prefix = a->host_prefix.len > 0 ? a->host_prefix.data : NULL;
    request->path = a->path.data;
    request->stall_timeout_ms = STALL_TIMEOUT_MS;
    request->drop = free;
    int rc = aws_submit(c, request, done, call, ret_call, e);
    if (rc != 0)
        free(call);
    return rc;
}

/* ---- objects --------------------------------------------------------------------------------------------------- */

static void
read_headers(const struct http_response *http, struct s3_object *o)
{
    struct slice etag = http_response_header(http, "etag");
    struct slice modified = http_response_header(http, "last-modified");
    answer_copy(o->etag, sizeof o->etag, etag);
    answer_parse_number(http_response_header(http, "content-length"), &o->size);
    if (modified.n > 0)
        clock_parse_http_date(modified.p, modified.n, &o->modified_at_ms, NULL);
    o->content_type = http_response_header(http, "content-type");
    o->content_encoding = http_response_header(http, "content-encoding");
}

static void
object_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct s3_object o = {.error = response->error};
    if (!response->error) {
        o.body = response->body;
        o.size = (int64_t)response->body.n;
        if (response->http)
            read_headers(response->http, &o);
    }
    call->done.object(call->context, &o);
    free(call);
}

static int
hand_on(void *context, struct slice piece)
{
    struct call *call = context;
    return call->on_data(call->context, piece);
}

int
s3_put(struct aws_client *c, const struct s3_put_options *options, s3_object_fn *done, void *context,
       struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "PutObject";
    struct http_header headers[3] = {
        {.name = "content-type", .value = options->content_type ? options->content_type : "application/octet-stream"}};
    struct aws_request request = {
        .method = "PUT", .headers = headers, .n_headers = 1, .body = options->body, .body_borrowed = true};
    struct address address;
    int rc = address_init(&address, c, operation, options->bucket, options->key ? options->key : "", e);
    if (rc != 0)
        return rc;
    if (options->if_match)
        headers[request.n_headers++] = (struct http_header){.name = "if-match", .value = options->if_match};
    if (options->if_none_match)
        headers[request.n_headers++] = (struct http_header){.name = "if-none-match", .value = options->if_none_match};
    request.timeout_ms = PUT_TIMEOUT_MS + (int64_t)(options->body.n / SLOWEST_BYTES_MS);
    struct call *call = new_call(operation, context);
    if (call) {
        call->done.object = done;
        rc = submit(c, call, &address, &request, object_done, ret_call, e);
    } else {
        rc = err_no_memory(e);
    }
    address_clean_up(&address);
    return rc;
}

/* GetObject and HeadObject. */
static int
read_object(struct aws_client *c, const char *operation, const char *bucket, const char *key,
            struct aws_request *request, int (*on_data)(void *context, struct slice piece), s3_object_fn *done,
            void *context, struct aws_call **ret_call, struct err *e)
{
    struct address address;
    int rc = address_init(&address, c, operation, bucket, key ? key : "", e);
    if (rc != 0)
        return rc;
    struct call *call = new_call(operation, context);
    if (call) {
        call->done.object = done;
        call->on_data = on_data;
        request->on_data = on_data ? hand_on : NULL;
        rc = submit(c, call, &address, request, object_done, ret_call, e);
    } else {
        rc = err_no_memory(e);
    }
    address_clean_up(&address);
    return rc;
}

int
s3_get(struct aws_client *c, const char *bucket, const char *key, size_t max_bytes,
       int (*on_data)(void *context, struct slice piece), s3_object_fn *done, void *context, struct aws_call **ret_call,
       struct err *e)
{
    struct aws_request request = {.method = "GET", .timeout_ms = GET_TIMEOUT_MS, .max_response_bytes = max_bytes};
    return read_object(c, "GetObject", bucket, key, &request, on_data, done, context, ret_call, e);
}

int
s3_head(struct aws_client *c, const char *bucket, const char *key, s3_object_fn *done, void *context,
        struct aws_call **ret_call, struct err *e)
{
    struct aws_request request = {.method = "HEAD"};
    return read_object(c, "HeadObject", bucket, key, &request, NULL, done, context, ret_call, e);
}

/* ---- listings -------------------------------------------------------------------------------------------------- */

static void
list_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct s3_listing listing = {.error = response->error};
    struct aws_error garbled;
    struct arena arena;
    struct err e;
    arena_init(&arena, 0);
    if (!response->error && s3_decode_list(response->body, &arena, &listing, &e) != 0) {
        answer_garbled(call->operation, response, &e, &garbled);
        listing = (struct s3_listing){.error = &garbled};
    }
    call->done.list(call->context, &listing);
    arena_clean_up(&arena);
    free(call);
}

static void
add_parameter(struct buf *query, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    buf_add_string(query, name);
    http_encode(query, slice_of_string(value), false);
}

int
s3_list(struct aws_client *c, const struct s3_list_options *options, s3_list_fn *done, void *context,
        struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "ListObjectsV2";
    struct address address;
    struct buf query = BUF_INIT;
    struct call *call = NULL;
    if (options->max_keys > LIST_MAX)
        return err_set(e, ERR_INVALID, "%s: %u keys, at most %d are given at once", operation, options->max_keys,
                       LIST_MAX);
    int rc = address_init(&address, c, operation, options->bucket, NULL, e);
    if (rc != 0)
        return rc;
    buf_add_string(&query, "list-type=2&encoding-type=url");
    if (options->max_keys > 0)
        buf_add_format(&query, "&max-keys=%u", options->max_keys);
    add_parameter(&query, "&prefix=", options->prefix);
    add_parameter(&query, "&delimiter=", options->delimiter);
    add_parameter(&query, "&start-after=", options->start_after);
    add_parameter(&query, "&continuation-token=", options->continuation_token);
    struct aws_request request = {
        .method = "GET", .query = query.data, .timeout_ms = LIST_TIMEOUT_MS, .max_response_bytes = LIST_BYTES_MAX};
    if (!buf_failed(&query))
        call = new_call(operation, context);
    if (call) {
        call->done.list = done;
        rc = submit(c, call, &address, &request, list_done, ret_call, e);
    } else {
        rc = err_no_memory(e);
    }
    buf_clean_up(&query);
    address_clean_up(&address);
    return rc;
}
