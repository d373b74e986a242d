#include "lib/aws_call.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"

void
aws_call_init(struct aws_call *c, const char *url)
{
    *c = (struct aws_call){
        .fd = -1, .timeout_ms = 30000, .access_key_id = "test", .secret_access_key = "test", .region = "us-east-1"};
    snprintf(c->host, sizeof c->host, "%s", strncmp(url, "http://", 7) == 0 ? url + 7 : url);
}

static void
hang_up(struct aws_call *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void
aws_call_clean_up(struct aws_call *c)
{
    hang_up(c);
    sigv4_key_clean_up(&c->key);
    buf_clean_up(&c->request);
    buf_clean_up(&c->answer);
}

static bool
connect_to(struct aws_call *c)
{
    char host[128];
    int on = 1;
    if (c->fd >= 0)
        return true;
    snprintf(host, sizeof host, "%s", c->host);
    char *colon = strrchr(host, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0"))};
    if (colon)
        *colon = '\0';
    inet_pton(AF_INET, host, &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0)
        return true;
    hang_up(c);
    return false;
}

static bool
send_all(struct aws_call *c)
{
    size_t sent = 0;
    while (sent < c->request.len) {
        ssize_t n = send(c->fd, c->request.data + sent, c->request.len - sent, MSG_NOSIGNAL);
        if (n <= 0) {
            hang_up(c);
            return false;
        }
        sent += (size_t)n;
    }
    return true;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

#define PRESIGNED_S 60

/* What is signed of a request: these headers, which are sent, too. */
struct to_sign {
    struct sigv4_header headers[5];
    struct sigv4_request request;
    struct sigv4_scope scope;
    char date[CLOCK_ISO8601_BYTES], hash[DIGEST_SHA256_HEX];
};

static void
add_header(struct to_sign *t, const char *name, const char *value)
{
    if (value)
        t->headers[t->request.n_headers++] = (struct sigv4_header){slice_of_string(name), slice_of_string(value)};
}

static void
collect(const struct aws_call *c, const struct aws_call_request *r, struct to_sign *t)
{
    int64_t at_ms = clock_wall_ms() + c->skew_ms;
    clock_format_basic(at_ms, t->date);
    digest_sha256_hex(r->body.p, r->body.n, t->hash);
    t->request = (struct sigv4_request){.method = slice_of_string(r->method),
                                        .path = slice_of_string(r->path),
                                        .query = r->query,
                                        .headers = t->headers,
                                        .payload_hash = slice_of_string(t->hash)};
    t->scope = (struct sigv4_scope){.region = slice_of_string(c->region),
                                    .service = slice_of_string(r->service),
                                    .wall_ms = at_ms,
                                    .normalize_path = true,
                                    .encode_path_twice = true};
    add_header(t, "content-type", r->type);
    add_header(t, "host", c->host);
    add_header(t, "x-amz-date", r->presigned ? NULL : t->date);
    add_header(t, "x-amz-target", r->target);
    add_header(t, "x-amz-security-token", r->presigned ? NULL : c->session_token);
}

bool
aws_call_send(struct aws_call *c, const struct aws_call_request *r)
{
    struct to_sign t = {0};
    struct buf authorization = BUF_INIT, query = BUF_INIT;
    struct sigv4_credentials keys = {.access_key_id = slice_of_string(c->access_key_id),
                                     .secret_access_key = slice_of_string(c->secret_access_key),
                                     .session_token = slice_of_string(c->session_token)};
    c->status = 0;
    if (!connect_to(c))
        return false;
    collect(c, r, &t);
    if (r->presigned)
        sigv4_presign(&t.request, &t.scope, &keys, PRESIGNED_S, false, &query, NULL);
    else if (!c->unsigned_too)
        sigv4_authorization(&t.request, &t.scope, &keys, &c->key, &authorization, NULL);
    struct slice sent_query = r->presigned ? buf_slice(&query) : r->query;
    buf_reset(&c->request);
    buf_add_format(&c->request, "%s %s%s", r->method, r->path, sent_query.n > 0 ? "?" : "");
    buf_add_slice(&c->request, sent_query);
    buf_add_string(&c->request, " HTTP/1.1\r\n");
    for (size_t i = 0; i < t.request.n_headers; i++)
        buf_add_format(&c->request, "%.*s: %.*s\r\n", SLICE_ARG(t.headers[i].name), SLICE_ARG(t.headers[i].value));
    if (authorization.len > 0)
        buf_add_format(&c->request, "Authorization: %s\r\n", authorization.data);
    buf_add_format(&c->request, "Content-Length: %zu\r\n\r\n", r->body.n);
    buf_add_slice(&c->request, r->body);
    buf_clean_up(&authorization);
    buf_clean_up(&query);
    return send_all(c);
}

bool
aws_call_begin(struct aws_call *c, const char *service, const char *target, struct slice body)
{
    const struct aws_call_request r = {.service = service,
                                       .method = "POST",
                                       .path = "/",
                                       .type = strcmp(service, "sqs") == 0 ? "application/x-amz-json-1.0"
                                                                           : "application/x-amz-json-1.1",
                                       .target = target,
                                       .body = body};
    return aws_call_send(c, &r);
}

int
aws_call_sqs_body(struct aws_call *c, const char *operation, struct slice body)
{
    char target[128];
    snprintf(target, sizeof target, "AmazonSQS.%s", operation);
    return aws_call_begin(c, "sqs", target, body) ? aws_call_finish(c) : 0;
}

int
aws_call_sqs(struct aws_call *c, const char *operation, const char *format, ...)
{
    struct buf body = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&body, format, ap);
    va_end(ap);
    int status = aws_call_sqs_body(c, operation, buf_slice(&body));
    buf_clean_up(&body);
    return status;
}

int
aws_call_plain(struct aws_call *c, const char *method, const char *path, const char *body)
{
    c->status = 0;
    if (!connect_to(c))
        return 0;
    buf_reset(&c->request);
    buf_add_format(&c->request, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path,
                   c->plain_host ? c->plain_host : c->host);
    if (c->plain_header)
        buf_add_format(&c->request, "%s\r\n", c->plain_header);
    buf_add_format(&c->request, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    return send_all(c) ? aws_call_finish(c) : 0;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static bool
read_more(struct aws_call *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (!buf_reserve(&c->answer, 65536) || poll(&p, 1, c->timeout_ms) != 1)
        return false;
    ssize_t n = recv(c->fd, c->answer.data + c->answer.len, 65536, 0);
    if (n <= 0)
        return false;
    c->answer.len += (size_t)n;
    c->answer.data[c->answer.len] = '\0';
    return true;
}

struct slice
aws_call_header(const struct aws_call *c, const char *name)
{
    size_t name_n = strlen(name);
    const char *end = c->answer.data ? strstr(c->answer.data, "\r\n\r\n") : NULL;
    for (const char *p = end ? strstr(c->answer.data, "\r\n") : NULL; p && p < end; p = strstr(p + 2, "\r\n")) {
        const char *line = p + 2;
        if (strncasecmp(line, name, name_n) != 0 || line[name_n] != ':')
            continue;
        line += name_n + 1;
        line += strspn(line, " ");
        return slice_of(line, (size_t)(strstr(line, "\r\n") - line));
    }
    return (struct slice){0};
}

static void
read_error(struct aws_call *c)
{
    struct slice query = aws_call_header(c, "x-amzn-query-error");
    char type[160];
    aws_call_text(c, "message", c->message, sizeof c->message);
    if (query.n > 0) {
        snprintf(c->error, sizeof c->error, "%.*s", (int)strcspn(query.p, ";\r"), query.p);
    } else if (aws_call_text(c, "__type", type, sizeof type)) {
        const char *name = strchr(type, '#') ? strchr(type, '#') + 1 : type;
        snprintf(c->error, sizeof c->error, "%s", name);
    }
}

int
aws_call_finish(struct aws_call *c)
{
    const char *end = NULL;
    buf_reset(&c->answer);
    c->status = 0;
    c->error[0] = c->message[0] = '\0';
    c->body = (struct slice){0};
    c->json = (struct json){.type = JSON_NULL};
    while (!c->answer.data || c->answer.len == 0 || !(end = strstr(c->answer.data, "\r\n\r\n")))
        if (!read_more(c)) {
            hang_up(c);
            return 0;
        }
    size_t header_n = (size_t)(end - c->answer.data) + 4;
    struct slice length = aws_call_header(c, "content-length"), closes = aws_call_header(c, "connection");
    size_t body_n = length.n ? strtoul(length.p, NULL, 10) : 0;
    while (c->answer.len < header_n + body_n)
        if (!read_more(c)) {
            hang_up(c);
            return 0;
        }
    c->status = atoi(c->answer.data + 9);
    c->body = slice_of(c->answer.data + header_n, body_n);
    if (body_n > 0 && json_parse(c->body, &c->json, NULL) != 0)
        c->json = (struct json){.type = JSON_NULL};
    if (c->status >= 400)
        read_error(c);
    if (closes.n == 5 && strncasecmp(closes.p, "close", 5) == 0)
        hang_up(c);
    return c->status;
}

bool
aws_call_at(const struct aws_call *c, const char *path, struct json *ret)
{
    struct json at = c->json;
    char name[128];
    while (*path) {
        size_t n = strcspn(path, ".");
        bool found = false;
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        for (struct json_iter it = json_iter(at); !found && json_next(&it);)
            if (at.type == JSON_OBJECT ? json_equals_string(it.key, slice_of_string(name))
                                       : it.index == strtoul(name, NULL, 10)) {
                at = it.value;
                found = true;
                break;
            }
        if (!found)
            return false;
        path += n + (path[n] == '.');
    }
    *ret = at;
    return true;
}

bool
aws_call_text(const struct aws_call *c, const char *path, char *out, size_t size)
{
    struct json v;
    size_t n = 0;
    out[0] = '\0';
    if (!aws_call_at(c, path, &v))
        return false;
    if (v.type != JSON_STRING) {
        snprintf(out, size, "%.*s", SLICE_ARG(v.text));
        return true;
    }
    if (!json_decode_into(v, out, size - 1, &n))
        return false;
    out[n] = '\0';
    return true;
}

size_t
aws_call_count(const struct aws_call *c, const char *path)
{
    struct json v;
    return aws_call_at(c, path, &v) ? json_count(v) : 0;
}
