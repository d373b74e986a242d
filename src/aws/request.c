#include <string.h>

#include "aws/internal.h"
#include "base/clock.h"

#define DEFAULT_TIMEOUT_MS 10000
#define OWN_HEADERS        8 /* at most, besides the caller's */

static void
add_header(struct aws_call *q, size_t *n, const char *name, const char *value)
{
    q->headers[(*n)++] = (struct http_header){.name = name, .value = value};
}

/* The URL, Host header, path and query as they are sent and signed. */
static int
place(struct aws_call *q, const struct aws_request *request, struct err *e)
{
    struct aws_client *c = q->client;
    struct arena *a = &q->arena;
    const char *prefix = request->host_prefix ? request->host_prefix : "";
    const char *path = request->path ? request->path : "/", *query = request->query ? request->query : "";
    if (*path != '/')
        return err_set(e, ERR_INVALID, "%s: the path \"%s\" does not begin with a slash", request->operation, path);
    q->query = arena_strdup(a, query);
    q->path = *c->path_prefix ? arena_format(a, "%s%s", c->path_prefix, path) : arena_strdup(a, path);
    q->host = *prefix ? arena_format(a, "%s%s", prefix, c->host_header) : c->host_header;
    if (!*prefix && !*query && strcmp(path, "/") == 0)
        q->url = c->root_url;
    else
        q->url = arena_format(a, "%.*s%s%.*s%s%s%s%s", (int)c->scheme_n, c->endpoint.url, prefix, (int)c->host_n,
                              c->host, c->path_prefix, path, *query ? "?" : "", query);
    return q->query && q->path && q->host && q->url ? 0 : err_no_memory(e);
}

static const char *
target_of(struct aws_call *q, const char *interface)
{
    char *target = arena_alloc(&q->arena, strlen(interface) + 1 + strlen(q->operation) + 1);
    if (target)
        stpcpy(stpcpy(stpcpy(target, interface), "."), q->operation);
    return target;
}

/* The headers that are the same in every attempt; behind them stays room for the others. */
static int
prepare_headers(struct aws_call *q, const struct aws_request *request, struct err *e)
{
    struct arena *a = &q->arena;
    q->headers = arena_alloc(a, (request->n_headers + OWN_HEADERS) * sizeof *q->headers);
    q->to_sign = arena_alloc(a, (request->n_headers + OWN_HEADERS) * sizeof *q->to_sign);
    if (!q->headers || !q->to_sign)
        return err_no_memory(e);
    const char *target = "";
    size_t n = 0;
    add_header(q, &n, "Host", q->host);
    switch (q->client->service) {
    case AWS_SQS:
        add_header(q, &n, "Content-Type", "application/x-amz-json-1.0");
        add_header(q, &n, "X-Amz-Target", target = target_of(q, "AmazonSQS"));
        add_header(q, &n, "X-Amzn-Query-Mode", "true");
        break;
    case AWS_EVENTBRIDGE:
        add_header(q, &n, "Content-Type", "application/x-amz-json-1.1");
        add_header(q, &n, "X-Amz-Target", target = target_of(q, "AWSEvents"));
        break;
    case AWS_DYNAMODB:
        add_header(q, &n, "Content-Type", "application/x-amz-json-1.0");
        add_header(q, &n, "X-Amz-Target", target = target_of(q, "DynamoDB_20120810"));
        break;
    case AWS_STS:
        add_header(q, &n, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
        break;
    case AWS_S3:
        add_header(q, &n, "X-Amz-Content-Sha256", q->payload_hash);
        break;
    }
    if (!target)
        return err_no_memory(e);
    for (size_t i = 0; i < request->n_headers; i++) {
        const char *name = arena_strdup(a, request->headers[i].name);
        const char *value = arena_strdup(a, request->headers[i].value);
        if (!name || !value)
            return err_no_memory(e);
        add_header(q, &n, name, value);
    }
    q->n_headers = n;
    return 0;
}

int
aws_call_prepare(struct aws_call *q, const struct aws_request *request, struct err *e)
{
    struct arena *a = &q->arena;
    q->operation = arena_strdup(a, request->operation);
    q->method = arena_strdup(a, request->method ? request->method : "POST");
    q->body = request->body;
    if (!request->body_borrowed && request->body.n > 0)
        q->body.p = arena_strndup(a, request->body.p, request->body.n);
    if (!q->operation || !q->method || (q->body.n > 0 && !q->body.p))
        return err_no_memory(e);
    digest_sha256_hex(q->body.p, q->body.n, q->payload_hash);
    q->timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
    q->stall_timeout_ms = request->stall_timeout_ms;
    q->max_attempts = request->max_attempts ? request->max_attempts : q->client->max_attempts;
    q->max_response_bytes = request->max_response_bytes;
    q->on_data = request->on_data;
    q->drop = request->drop;
    q->long_poll = request->long_poll;
    int r = place(q, request, e);
    return r < 0 ? r : prepare_headers(q, request, e);
}

int
aws_call_sign(struct aws_call *q, size_t *ret_n_headers, struct err *e)
{
    struct aws_client *c = q->client;
    q->clock_offset_ms = c->clock_offset_ms;
    int64_t wall_ms = clock_wall_ms() + q->clock_offset_ms;
    clock_format_basic(wall_ms, q->date);

    size_t n = q->n_headers;
    add_header(q, &n, "X-Amz-Date", q->date);
    if (q->creds->session_token)
        add_header(q, &n, "X-Amz-Security-Token", q->creds->session_token);
    size_t n_signed = 0;
    for (size_t i = 0; i < n; i++) {
        struct slice name = slice_of_string(q->headers[i].name);
        if (sigv4_header_is_signed(name))
            q->to_sign[n_signed++] = (struct sigv4_header){.name = name, .value = slice_of_string(q->headers[i].value)};
    }
    bool is_s3 = c->service == AWS_S3;
    struct sigv4_request signed_request = {.method = slice_of_string(q->method),
                                           .path = slice_of_string(q->path),
                                           .query = slice_of_string(q->query),
                                           .headers = q->to_sign,
                                           .n_headers = n_signed,
                                           .payload_hash = slice_of(q->payload_hash, DIGEST_SHA256_HEX - 1)};
    struct sigv4_scope scope = {.region = slice_of_string(c->endpoint.region),
                                .service = slice_of_string(c->endpoint.signing_name),
                                .wall_ms = wall_ms,
                                .normalize_path = !is_s3,
                                .encode_path_twice = !is_s3};
    struct sigv4_credentials credentials = {.access_key_id = slice_of_string(q->creds->access_key_id),
                                            .secret_access_key = slice_of_string(q->creds->secret_access_key),
                                            .session_token = slice_of_string(q->creds->session_token)};
    buf_reset(&c->authorization);
    int r = sigv4_authorization(&signed_request, &scope, &credentials, &c->key, &c->authorization, e);
    if (r < 0)
        return r;
    if (buf_failed(&c->authorization))
        return err_no_memory(e);
    add_header(q, &n, "Authorization", c->authorization.data);
    *ret_n_headers = n;
    return 0;
}
