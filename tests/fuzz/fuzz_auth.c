/* fuzz_auth: fanout-local's door. The input is a service's initial (s, e, 3), then lines: method, path, query, headers;
 * behind an empty line the body.
 *
 * As it came it is never let in, for nobody guesses a signature. Signed by us it is, as a header and as a presigned URL
 * say; and with one bit of it flipped it is not, unless what is signed is still the same. */
#include "local/auth.h"

#include "fuzz/fuzz.h"

#include <strings.h>

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"

#define HEADERS_MAX 24

/* In place of httpd's own. */
struct httpd_request {
    struct slice method, path, query, body;
    struct sigv4_header headers[HEADERS_MAX + 8];
    size_t n_headers;
};

struct slice
httpd_method(const struct httpd_request *r)
{
    return r->method;
}

struct slice
httpd_path(const struct httpd_request *r)
{
    return r->path;
}

struct slice
httpd_query(const struct httpd_request *r)
{
    return r->query;
}

struct slice
httpd_body(const struct httpd_request *r)
{
    return r->body;
}

struct slice
httpd_header(const struct httpd_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (r->headers[i].name.n == strlen(name) && strncasecmp(r->headers[i].name.p, name, strlen(name)) == 0)
            return r->headers[i].value;
    return slice_of(NULL, 0);
}

size_t
httpd_header_count(const struct httpd_request *r)
{
    return r->n_headers;
}

void
httpd_header_at(const struct httpd_request *r, size_t i, struct slice *ret_name, struct slice *ret_value)
{
    *ret_name = r->headers[i].name;
    *ret_value = r->headers[i].value;
}

static void
add_header(struct httpd_request *r, struct slice name, struct slice value)
{
    r->headers[r->n_headers++] = (struct sigv4_header){.name = name, .value = value};
}

static bool
is_token(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return name.n > 0;
}

static void
read_request(struct slice rest, struct httpd_request *r)
{
    *r = (struct httpd_request){.n_headers = 0};
    r->method = take_line(&rest);
    r->path = take_line(&rest);
    r->query = take_line(&rest);
    const char *mark = r->path.n ? memchr(r->path.p, '?', r->path.n) : NULL;
    if (mark)
        r->path.n = (size_t)(mark - r->path.p);
    while (rest.n > 0 && r->n_headers < HEADERS_MAX) {
        struct slice line = take_line(&rest);
        const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
        if (line.n == 0)
            break;
        struct slice name = slice_of(line.p, colon ? (size_t)(colon - line.p) : line.n);
        if (is_token(name))
            add_header(r, name, colon ? slice_of(colon + 1, line.n - name.n - 1) : SLICE(""));
    }
    r->body = rest;
}

/* ---- signing ---- */

struct signing {
    struct local_auth *auth;
    const char *service;
    bool s3;
    struct sigv4_scope scope;
    struct sigv4_credentials credentials;
};

static bool
is_ours(struct slice name)
{
    static const char *const ours[] = {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (name.n == strlen(ours[i]) && strncasecmp(name.p, ours[i], name.n) == 0)
            return true;
    return !sigv4_header_is_signed(name);
}

static void
keep_signable_headers(struct httpd_request *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_headers; i++)
        if (!is_ours(r->headers[i].name))
            r->headers[n++] = r->headers[i];
    r->n_headers = n;
    add_header(r, SLICE("Host"), SLICE("localhost:4566"));
}

/* What is signed, of all headers but Authorization; empty when it cannot be. */
static void
canonical(const struct signing *s, const struct httpd_request *r, struct slice payload, struct buf *out)
{
    struct httpd_request copy = *r;
    size_t n = 0;
    for (size_t i = 0; i < copy.n_headers; i++)
        if (sigv4_header_is_signed(copy.headers[i].name))
            copy.headers[n++] = copy.headers[i];
    const struct sigv4_request q = {.method = copy.method,
                                    .path = copy.path,
                                    .query = copy.query,
                                    .headers = copy.headers,
                                    .n_headers = n,
                                    .payload_hash = payload};
    buf_reset(out);
    (void)sigv4_canonical_request(&q, &s->scope, out, NULL, NULL);
}

/* Flips the bit that `at` names in one part of the request; false: that part is empty. */
static bool
flip(struct slice *part, size_t at, struct buf *room)
{
    buf_reset(room);
    buf_add_slice(room, *part);
    if (part->n == 0 || buf_failed(room))
        return false;
    room->data[(at / 8) % part->n] = (char)(room->data[(at / 8) % part->n] ^ (1 << (at % 8)));
    *part = buf_slice(room);
    return true;
}

static bool
is_let_in(const struct signing *s, const struct httpd_request *r)
{
    struct local_auth_result result;
    local_auth_verify(s->auth, r, s->service, &result);
    check((result.status == 0) == (result.code == NULL));
    return result.status == 0;
}

/* r->headers ends with Authorization, which ends with the signature. */
static void
try_a_flipped_bit(const struct signing *s, const struct httpd_request *r, struct slice payload, size_t at)
{
    struct httpd_request other = *r;
    struct buf room = BUF_INIT, before = BUF_INIT, after = BUF_INIT;
    size_t last = other.n_headers - 1;
    struct slice *parts[] = {&other.method, &other.path, &other.query, &other.headers[at % last].value};
    if (flip(parts[at % 4], at / 4, &room)) {
        canonical(s, r, payload, &before);
        canonical(s, &other, payload, &after);
        if (!slice_equals(buf_slice(&before), buf_slice(&after)))
            check(!is_let_in(s, &other));
    }
    other = *r;
    buf_reset(&room);
    buf_add_slice(&room, other.headers[last].value);
    check(room.len > 64);
    room.data[room.len - 1 - at / 8 % 64] = (char)(room.data[room.len - 1 - at / 8 % 64] ^ (1 << (at % 8)));
    other.headers[last].value = buf_slice(&room);
    check(!is_let_in(s, &other));
    buf_clean_up(&room);
    buf_clean_up(&before);
    buf_clean_up(&after);
}

static void
sign_with_header(const struct signing *s, const struct httpd_request *from, size_t at)
{
    struct httpd_request r = *from, other;
    struct buf authorization = BUF_INIT, body = BUF_INIT;
    char date[CLOCK_ISO8601_BYTES], hash[DIGEST_SHA256_HEX];
    keep_signable_headers(&r);
    clock_format_basic(s->scope.wall_ms, date);
    digest_sha256_hex(r.body.p, r.body.n, hash);
    add_header(&r, SLICE("x-amz-date"), slice_of_string(date));
    if (s->s3)
        add_header(&r, SLICE("x-amz-content-sha256"), slice_of_string(hash));
    const struct sigv4_request q = {.method = r.method,
                                    .path = r.path,
                                    .query = r.query,
                                    .headers = r.headers,
                                    .n_headers = r.n_headers,
                                    .payload_hash = slice_of_string(hash)};
    if (sigv4_authorization(&q, &s->scope, &s->credentials, NULL, &authorization, NULL) == 0) {
        add_header(&r, SLICE("Authorization"), buf_slice(&authorization));
        check(is_let_in(s, &r));
        try_a_flipped_bit(s, &r, slice_of_string(hash), at);
        other = r;
        if (flip(&other.body, at, &body))
            check(!is_let_in(s, &other));
        other = r; /* a signed header is not there */
        other.headers[at % (r.n_headers - 1)] = other.headers[r.n_headers - 1];
        other.n_headers--;
        check(!is_let_in(s, &other));
        other = r; /* S3 takes none of its own that was not signed */
        add_header(&other, SLICE("x-amz-acl"), SLICE("public-read"));
        if (httpd_header(&r, "x-amz-acl").n == 0)
            check(is_let_in(s, &other) == !s->s3);
    }
    buf_clean_up(&authorization);
    buf_clean_up(&body);
}

static void
sign_with_query(const struct signing *s, const struct httpd_request *from, size_t at)
{
    struct httpd_request r = *from;
    struct buf query = BUF_INIT;
    const struct slice payload = SLICE("UNSIGNED-PAYLOAD");
    keep_signable_headers(&r);
    const struct sigv4_request q = {.method = r.method,
                                    .path = r.path,
                                    .query = r.query,
                                    .headers = r.headers,
                                    .n_headers = r.n_headers,
                                    .payload_hash = payload};
    if (sigv4_presign(&q, &s->scope, &s->credentials, 60, false, &query, NULL) == 0) {
        r.query = buf_slice(&query);
        check(is_let_in(s, &r));
        struct httpd_request other = r;
        struct buf room = BUF_INIT;
        if (at % 2 && flip(&other.method, at, &room))
            check(!is_let_in(s, &other));
        buf_clean_up(&room);
    }
    buf_clean_up(&query);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct local_auth *auth;
    static const struct local_auth_options options = {
        .access_key_id = "AKIDEXAMPLE", .secret_access_key = "a secret", .region = "us-east-1"};
    struct httpd_request r;
    if (!auth && local_auth_new(&options, &auth, NULL) != 0)
        abort();
    if (size == 0)
        return 0;
    const char *service = data[0] == '3' ? "s3" : data[0] == 'e' ? "events" : "sqs";
    struct signing s = {.auth = auth, .service = service, .s3 = data[0] == '3'};
    s.scope = (struct sigv4_scope){.region = slice_of_string(options.region),
                                   .service = slice_of_string(service),
                                   .wall_ms = clock_wall_ms() / 1000 * 1000,
                                   .normalize_path = !s.s3,
                                   .encode_path_twice = !s.s3};
    s.credentials = (struct sigv4_credentials){.access_key_id = slice_of_string(options.access_key_id),
                                               .secret_access_key = slice_of_string(options.secret_access_key)};
    read_request(slice_of((const char *)data + 1, size - 1), &r);
    check(!is_let_in(&s, &r));
    bool looks_signed =
        (r.query.n > 0 && (memmem(r.query.p, r.query.n, "AWSAccessKeyId", 14) ||
                           memmem(r.query.p, r.query.n, "X-Amz-", 6) || memchr(r.query.p, '%', r.query.n)));
    size_t at = 0;
    for (size_t i = 0; i < size; i++)
        at = at * 31 + data[i];
    at %= 1000000;
    if (looks_signed)
        return 0;
    sign_with_header(&s, &r, at);
    if (s.s3)
        sign_with_query(&s, &r, at);
    return 0;
}
