/* fuzz_auth: fanout-local's door. The input is a service's initial (s, e, 3; S, E, 4 with a session
 * token), then lines: method, path, query, headers;
 * behind an empty line the body. Or a k, and the text of a file of key pairs: it is refused with its line, or each pair
 * of it is whole, and found.
 *
 * As it came it is never let in, for nobody guesses a signature. Signed by us it is, as a header and as a presigned URL
 * say; and with one bit of it flipped it is not, unless what is signed is still the same. */
#include "local/auth.h"

#include "fuzz/fuzz.h"

#include <strings.h>

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"
#include "httpd/httpd_impl.h"

#define HEADERS_MAX 24

/* A request as httpd has it. */
struct asked {
    struct httpd_field headers[HEADERS_MAX + 8];
    struct httpd_request r;
};

static void
copy(struct asked *to, const struct asked *from)
{
    *to = *from;
    to->r.headers = to->headers;
}

static void
set_body(struct asked *a, struct slice body)
{
    a->r.body = (struct buf){.data = (char *)(uintptr_t)body.p, .len = body.n};
}

static void
add_header(struct asked *a, struct slice name, struct slice value)
{
    a->headers[a->r.n_headers++] = (struct httpd_field){.name = name, .value = value};
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
read_request(struct slice rest, struct asked *a)
{
    struct httpd_request *r = &a->r;
    *r = (struct httpd_request){.headers = a->headers};
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
            add_header(a, name, colon ? slice_of(colon + 1, line.n - name.n - 1) : SLICE(""));
    }
    set_body(a, rest);
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
keep_signable_headers(struct asked *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->r.n_headers; i++)
        if (!is_ours(a->headers[i].name))
            a->headers[n++] = a->headers[i];
    a->r.n_headers = n;
    add_header(a, SLICE("Host"), SLICE("localhost:4566"));
}

/* What is signed of a; room has a place for each header. */
static struct sigv4_request
to_sign(const struct asked *a, struct slice payload, bool all_headers, struct sigv4_header *room)
{
    size_t n = 0;
    for (size_t i = 0; i < a->r.n_headers; i++)
        if (all_headers || sigv4_header_is_signed(a->headers[i].name))
            room[n++] = (struct sigv4_header){.name = a->headers[i].name, .value = a->headers[i].value};
    return (struct sigv4_request){.method = a->r.method,
                                  .path = a->r.path,
                                  .query = a->r.query,
                                  .headers = room,
                                  .n_headers = n,
                                  .payload_hash = payload};
}

/* Of all headers but Authorization; empty when it cannot be signed. */
static void
canonical(const struct signing *s, const struct asked *a, struct slice payload, struct buf *out)
{
    struct sigv4_header room[HEADERS_MAX + 8];
    const struct sigv4_request q = to_sign(a, payload, false, room);
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
is_let_in(const struct signing *s, const struct asked *a)
{
    struct local_auth_result result;
    local_auth_verify(s->auth, &a->r, s->service, &result);
    check((result.status == 0) == (result.code == NULL));
    check(result.status != 0 || result.key);
    local_key_release(result.key);
    return result.status == 0;
}

/* a's headers end with Authorization, which ends with the signature. */
static void
try_a_flipped_bit(const struct signing *s, const struct asked *a, struct slice payload, size_t at)
{
    struct asked other;
    struct buf room = BUF_INIT, before = BUF_INIT, after = BUF_INIT;
    size_t last = a->r.n_headers - 1;
    copy(&other, a);
    struct slice *parts[] = {&other.r.method, &other.r.path, &other.r.query, &other.headers[at % last].value};
    if (flip(parts[at % 4], at / 4, &room)) {
        canonical(s, a, payload, &before);
        canonical(s, &other, payload, &after);
        if (!slice_equals(buf_slice(&before), buf_slice(&after)))
            check(!is_let_in(s, &other));
    }
    copy(&other, a);
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

static bool
has_header(const struct asked *a, const char *name)
{
    for (size_t i = 0; i < a->r.n_headers; i++)
        if (a->headers[i].name.n == strlen(name) && strncasecmp(a->headers[i].name.p, name, strlen(name)) == 0)
            return true;
    return false;
}

/* a is signed. */
static void
try_other_headers_and_bodies(const struct signing *s, const struct asked *a, size_t at)
{
    struct asked other;
    struct buf room = BUF_INIT;
    struct slice body = httpd_body(&a->r);
    if (flip(&body, at, &room)) {
        copy(&other, a);
        set_body(&other, body);
        check(!is_let_in(s, &other));
    }
    copy(&other, a); /* a signed header is not there */
    other.headers[at % (a->r.n_headers - 1)] = other.headers[a->r.n_headers - 1];
    other.r.n_headers--;
    check(!is_let_in(s, &other));
    copy(&other, a); /* S3 takes none of its own that was not signed */
    add_header(&other, SLICE("x-amz-acl"), SLICE("public-read"));
    if (!has_header(a, "x-amz-acl")) /* else it would change the value of a signed one */
        check(is_let_in(s, &other) == !s->s3);
    buf_clean_up(&room);
}

static void
sign_with_header(const struct signing *s, const struct asked *from, size_t at)
{
    struct asked a;
    struct sigv4_header room[HEADERS_MAX + 8];
    struct buf authorization = BUF_INIT;
    char date[CLOCK_ISO8601_BYTES], hash[DIGEST_SHA256_HEX];
    copy(&a, from);
    keep_signable_headers(&a);
    clock_format_basic(s->scope.wall_ms, date);
    struct slice body = httpd_body(&a.r);
    digest_sha256_hex(body.p, body.n, hash);
    add_header(&a, SLICE("x-amz-date"), slice_of_string(date));
    if (s->s3)
        add_header(&a, SLICE("x-amz-content-sha256"), slice_of_string(hash));
    if (s->credentials.session_token.n > 0)
        add_header(&a, SLICE("x-amz-security-token"), s->credentials.session_token);
    const struct sigv4_request q = to_sign(&a, slice_of_string(hash), true, room);
    if (sigv4_authorization(&q, &s->scope, &s->credentials, NULL, &authorization, NULL) == 0) {
        add_header(&a, SLICE("Authorization"), buf_slice(&authorization));
        check(is_let_in(s, &a));
        try_a_flipped_bit(s, &a, slice_of_string(hash), at);
        try_other_headers_and_bodies(s, &a, at);
    }
    buf_clean_up(&authorization);
}

static void
sign_with_query(const struct signing *s, const struct asked *from, size_t at)
{
    struct asked a, other;
    struct sigv4_header room[HEADERS_MAX + 8];
    struct buf query = BUF_INIT;
    copy(&a, from);
    keep_signable_headers(&a);
    const struct sigv4_request q = to_sign(&a, SLICE("UNSIGNED-PAYLOAD"), true, room);
    if (sigv4_presign(&q, &s->scope, &s->credentials, 60, false, &query, NULL) == 0) {
        a.r.query = buf_slice(&query);
        check(is_let_in(s, &a));
        struct buf flipped = BUF_INIT;
        copy(&other, &a);
        if (at % 2 && flip(&other.r.method, at, &flipped))
            check(!is_let_in(s, &other));
        buf_clean_up(&flipped);
    }
    buf_clean_up(&query);
}

/* ---- a file of key pairs ---- */

static void
try_keys(struct slice text)
{
    struct local_key **keys = NULL;
    struct err e = {0};
    size_t n = 0;
    int code = local_keys_parse("f", text, &keys, &n, &e);
    check(code == 0 || (code == ERR_INVALID && strncmp(e.text, "f:", 2) == 0 && !keys));
    check(code != 0 || n > 0);
    for (size_t i = 0; i < n; i++) {
        check(keys[i]->name[0] && keys[i]->access_key_id[0] && keys[i]->secret[0]);
        check(memmem(text.p, text.n, keys[i]->secret, strlen(keys[i]->secret)));
        for (size_t k = 0; k < i; k++)
            check(strcmp(keys[i]->access_key_id, keys[k]->access_key_id) != 0 &&
                  strcmp(keys[i]->name, keys[k]->name) != 0);
        const char *token = keys[i]->token;
        check(local_key_check_token(keys[i], slice_of_string(token), INT64_MIN) == LOCAL_TOKEN_RIGHT);
        check(local_key_check_token(keys[i], SLICE("\x01"), INT64_MIN) == LOCAL_TOKEN_WRONG);
        check((local_key_check_token(keys[i], SLICE(""), INT64_MIN) == LOCAL_TOKEN_MISSING) == (token != NULL));
    }
    for (size_t i = 0; i < n; i++)
        local_key_release(keys[i]);
    free(keys);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct local_auth *plain, *tokened;
    static const struct local_auth_options options = {
        .access_key_id = "AKIDEXAMPLE", .secret_access_key = "a secret", .region = "us-east-1"};
    struct local_auth_options with_token = options;
    struct asked a;
    with_token.session_token = "a/token+of==";
    if (!plain && (local_auth_new(&options, &plain, NULL) != 0 || local_auth_new(&with_token, &tokened, NULL) != 0))
        abort();
    if (size == 0)
        return 0;
    if (data[0] == 'k') {
        try_keys(slice_of((const char *)data + 1, size - 1));
        return 0;
    }
    bool has_token = data[0] == 'S' || data[0] == 'E' || data[0] == '4', s3 = data[0] == '3' || data[0] == '4';
    const char *service = s3 ? "s3" : (data[0] | 0x20) == 'e' ? "events" : "sqs";
    struct signing s = {.auth = has_token ? tokened : plain, .service = service, .s3 = s3};
    s.scope = (struct sigv4_scope){.region = slice_of_string(options.region),
                                   .service = slice_of_string(service),
                                   .wall_ms = clock_wall_ms() / 1000 * 1000,
                                   .normalize_path = !s.s3,
                                   .encode_path_twice = !s.s3};
    s.credentials =
        (struct sigv4_credentials){.access_key_id = slice_of_string(options.access_key_id),
                                   .secret_access_key = slice_of_string(options.secret_access_key),
                                   .session_token = slice_of_string(has_token ? with_token.session_token : NULL)};
    read_request(slice_of((const char *)data + 1, size - 1), &a);
    check(!is_let_in(&s, &a));
    bool looks_signed =
        (a.r.query.n > 0 && (memmem(a.r.query.p, a.r.query.n, "AWSAccessKeyId", 14) ||
                             memmem(a.r.query.p, a.r.query.n, "X-Amz-", 6) || memchr(a.r.query.p, '%', a.r.query.n)));
    size_t at = 0;
    for (size_t i = 0; i < size; i++)
        at = at * 31 + data[i];
    at %= 1000000;
    if (looks_signed)
        return 0;
    sign_with_header(&s, &a, at);
    if (s.s3)
        sign_with_query(&s, &a, at);
    return 0;
}
