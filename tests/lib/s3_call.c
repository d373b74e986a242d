#include "lib/s3_call.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"

#define TIMEOUT_S 20

/* ---- headers ------------------------------------------------------------------------------------------------------
 */

static bool
is_signed(const char *name)
{
    return strncasecmp(name, "x-amz-", 6) == 0 || strcasecmp(name, "host") == 0;
}

struct headers {
    struct sigv4_header all[S3_REQUEST_HEADERS_MAX + 8], to_sign[S3_REQUEST_HEADERS_MAX + 8];
    size_t n, n_to_sign;
};

static void
add(struct headers *h, const char *name, const char *value)
{
    if (h->n == S3_REQUEST_HEADERS_MAX + 8)
        abort();
    struct sigv4_header header = {slice_of_string(name), slice_of_string(value)};
    h->all[h->n++] = header;
    if (is_signed(name))
        h->to_sign[h->n_to_sign++] = header;
}

/* ---- signed chunks ----------------------------------------------------------------------------------------------- */

struct chunks {
    const struct s3_request *request;
    struct sigv4_scope scope;
    char date[CLOCK_ISO8601_BYTES], previous[65];
    unsigned n;
    struct buf *out;
};

/* The signature of a chunk or trailer, which the next one is chained to. What is sent may be a wrong one. */
static void
next_signature(struct chunks *c, const char *algorithm, const char *middle, struct slice data, char sent[65])
{
    struct buf text = BUF_INIT;
    char digest[DIGEST_SHA256_HEX];
    digest_sha256_hex(data.p, data.n, digest);
    buf_add_format(&text, "%s\n%s\n%.8s/us-east-1/s3/aws4_request\n%s\n%s%s", algorithm, c->date, c->date, c->previous,
                   middle, digest);
    if (sigv4_signature(&c->scope, SLICE("test"), buf_slice(&text), NULL, c->previous) != 0)
        abort();
    memcpy(sent, c->previous, sizeof c->previous);
    if (++c->n == c->request->wrong_signature)
        sent[0] = sent[0] == '0' ? '1' : '0';
    buf_clean_up(&text);
}

static void
add_chunk(struct chunks *c, struct slice data)
{
    static const char NOTHING[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    char signature[65];
    next_signature(c, "AWS4-HMAC-SHA256-PAYLOAD", NOTHING, data, signature);
    buf_add_format(c->out, "%zx;chunk-signature=%s\r\n", data.n, signature);
    buf_add_slice(c->out, data);
    if (data.n > 0)
        buf_add_string(c->out, "\r\n");
}

static void
add_trailer(struct chunks *c)
{
    struct buf line = BUF_INIT;
    char signature[65];
    buf_add_format(&line, "%s\n", c->request->trailer);
    next_signature(c, "AWS4-HMAC-SHA256-TRAILER", "", buf_slice(&line), signature);
    buf_add_format(c->out, "%s\r\nx-amz-trailer-signature:%s\r\n", c->request->trailer, signature);
    buf_clean_up(&line);
}

static void
write_chunks(const struct s3_request *r, int64_t now_ms, const char *seed, struct buf *out)
{
    struct chunks c = {.request = r, .out = out};
    c.scope = (struct sigv4_scope){.region = SLICE("us-east-1"), .service = SLICE("s3"), .wall_ms = now_ms};
    clock_format_basic(now_ms, c.date);
    memcpy(c.previous, seed, 64);
    for (size_t at = 0; at < r->body.n; at += r->chunk_bytes) {
        size_t left = r->body.n - at;
        add_chunk(&c, slice_of(r->body.p + at, left < r->chunk_bytes ? left : r->chunk_bytes));
    }
    add_chunk(&c, slice_of("", 0));
    if (r->trailer)
        add_trailer(&c);
    buf_add_string(out, "\r\n");
}

/* ---- the request --------------------------------------------------------------------------------------------------
 */

static void
write_request(const struct s3_request *r, const struct headers *h, const char *payload, int64_t now_ms, struct buf *out)
{
    const struct sigv4_request request = {
        .method = slice_of_string(r->method),
        .path = slice_of_string(r->path),
        .query = slice_of_string(r->query ? r->query : ""),
        .headers = h->to_sign,
        .n_headers = h->n_to_sign,
        .payload_hash = slice_of_string(payload),
    };
    const struct sigv4_scope scope = {.region = SLICE("us-east-1"), .service = SLICE("s3"), .wall_ms = now_ms};
    const struct sigv4_credentials credentials = {.access_key_id = slice_of_string(r->key ? r->key : "test"),
                                                  .secret_access_key = slice_of_string(r->secret ? r->secret : "test")};
    struct buf authorization = BUF_INIT;
    if (sigv4_authorization(&request, &scope, &credentials, NULL, &authorization, NULL) != 0)
        abort();
    struct buf body = BUF_INIT;
    if (r->chunk_bytes > 0)
        write_chunks(r, now_ms, authorization.data + authorization.len - 64, &body);
    else
        buf_add_slice(&body, r->body);
    buf_add_format(out, "%s %s%s%s HTTP/1.1\r\n", r->method, r->path, r->query ? "?" : "", r->query ? r->query : "");
    for (size_t i = 0; i < h->n; i++)
        buf_add_format(out, "%.*s: %.*s\r\n", SLICE_ARG(h->all[i].name), SLICE_ARG(h->all[i].value));
    buf_add_format(out, "Authorization: %s\r\nConnection: close\r\n", authorization.data);
    if (r->unsigned_header)
        buf_add_format(out, "%s\r\n", r->unsigned_header);
    if (body.len > 0 || strcmp(r->method, "PUT") == 0)
        buf_add_format(out, "Content-Length: %zu\r\n", body.len);
    buf_add_string(out, "\r\n");
    buf_add_slice(out, buf_slice(&body));
    buf_clean_up(&body);
    buf_clean_up(&authorization);
}

static void
compose(const struct s3_request *r, const char *host, struct buf *out)
{
    char date[CLOCK_ISO8601_BYTES], digest[DIGEST_SHA256_HEX];
    struct headers h = {.n = 0};
    int64_t now_ms = clock_wall_ms();
    clock_format_basic(now_ms, date);
    digest_sha256_hex(r->body.p, r->body.n, digest);
    const char *payload = r->payload ? r->payload : digest;
    add(&h, "Host", r->host ? r->host : host);
    add(&h, "x-amz-date", date);
    add(&h, "x-amz-content-sha256", payload);
    for (const char *const *pair = r->headers; pair && pair[0]; pair += 2)
        add(&h, pair[0], pair[1]);
    write_request(r, &h, payload, now_ms, out);
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static int
connect_to(const char *host)
{
    char address[64];
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *colon = strrchr(host, ':');
    struct timeval patience = {.tv_sec = TIMEOUT_S};
    snprintf(address, sizeof address, "%.*s", (int)(colon - host), host);
    to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends what there is, reads to the end. */
static void
exchange(int fd, const struct buf *request, struct buf *answer)
{
    ssize_t n;
    for (size_t sent = 0; sent < request->len; sent += (size_t)n)
        if ((n = send(fd, request->data + sent, request->len - sent, MSG_NOSIGNAL)) <= 0)
            break; /* an answer may be there all the same */
    while (buf_reserve(answer, 65536) && (n = recv(fd, answer->data + answer->len, 65536, 0)) > 0)
        answer->len += (size_t)n;
    if (answer->data)
        answer->data[answer->len] = '\0';
}

void
s3_call(const char *url, const struct s3_request *r, struct s3_answer *ret)
{
    struct buf request = BUF_INIT;
    const char *host = url + strlen("http://");
    *ret = (struct s3_answer){.status = 0};
    compose(r, host, &request);
    int fd = connect_to(host);
    if (fd >= 0) {
        exchange(fd, &request, &ret->bytes);
        close(fd);
    }
    buf_clean_up(&request);
    const char *end = ret->bytes.len > 0 ? strstr(ret->bytes.data, "\r\n\r\n") : NULL;
    if (!end)
        return;
    size_t head = (size_t)(end - ret->bytes.data) + 4;
    ret->status = (int)strtol(ret->bytes.data + strlen("HTTP/1.1 "), NULL, 10);
    ret->head = slice_of(ret->bytes.data, head);
    ret->body = slice_of(ret->bytes.data + head, ret->bytes.len - head);
}

void
s3_answer_clean_up(struct s3_answer *a)
{
    buf_clean_up(&a->bytes);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

struct slice
s3_answer_header(const struct s3_answer *a, const char *name)
{
    size_t n = strlen(name);
    const char *end = a->head.p + a->head.n - 2;
    for (const char *line = a->head.n ? strstr(a->head.p, "\r\n") + 2 : end; a->head.n && line < end;) {
        const char *stop = strstr(line, "\r\n");
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1;
            value += strspn(value, " ");
            return slice_of(value, (size_t)(stop - value));
        }
        line = stop + 2;
    }
    return slice_of(NULL, 0);
}

const char *
s3_answer_text(const struct s3_answer *a, const char *element, char *out, size_t size)
{
    char open[64], close[64];
    snprintf(open, sizeof open, "<%s>", element);
    snprintf(close, sizeof close, "</%s>", element);
    const char *from = a->body.n ? strstr(a->body.p, open) : NULL;
    const char *to = from ? strstr(from, close) : NULL;
    out[0] = '\0';
    if (to)
        snprintf(out, size, "%.*s", (int)(to - from - (ptrdiff_t)strlen(open)), from + strlen(open));
    return out;
}

size_t
s3_answer_count(const struct s3_answer *a, const char *text)
{
    size_t n = 0;
    for (const char *at = a->body.n ? a->body.p : NULL; at && (at = strstr(at, text)); at += strlen(text))
        n++;
    return n;
}
