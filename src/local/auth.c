#include "local/auth.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/sigv4.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "local/auth_query.h"

#define MAX_SIGNED_HEADERS 256 /* two kilobytes of S3 metadata are many */
#define SKEW_MS            (5 * 60 * INT64_C(1000))
#define SKEW_S3_MS         (15 * 60 * INT64_C(1000))
#define PRESIGNED_MAX_S    604800

/* ---- what AWS says ----------------------------------------------------------------------------------------------- */

enum dialect { DIALECT_SQS, DIALECT_JSON, DIALECT_S3, N_DIALECTS };

enum reason {
    MISSING,
    MALFORMED,
    OLD_VERSION,
    NOT_ALL_SIGNED,
    UNKNOWN_KEY,
    WRONG_SIGNATURE,
    WRONG_TIME,
    WRONG_SCOPE,
    PRESIGNED_EXPIRED,
    WRONG_PAYLOAD,
    NO_PAYLOAD_HASH,
    NO_MEMORY,
};

static const struct {
    int status;
    const char *code;
} REFUSALS[][N_DIALECTS] = {
    [MISSING] = {{403, "MissingAuthenticationToken"},
                 {400, "MissingAuthenticationTokenException"},
                 {403, "AccessDenied"}},
    [MALFORMED] = {{400, "IncompleteSignature"},
                   {400, "IncompleteSignatureException"},
                   {400, "AuthorizationHeaderMalformed"}},
    [OLD_VERSION] = {{400, "IncompleteSignature"}, {400, "IncompleteSignatureException"}, {400, "InvalidRequest"}},
    [NOT_ALL_SIGNED] = {{403, "SignatureDoesNotMatch"}, {400, "InvalidSignatureException"}, {403, "AccessDenied"}},
    [UNKNOWN_KEY] = {{403, "InvalidClientTokenId"}, {400, "UnrecognizedClientException"}, {403, "InvalidAccessKeyId"}},
    [WRONG_SIGNATURE] = {{403, "SignatureDoesNotMatch"},
                         {400, "InvalidSignatureException"},
                         {403, "SignatureDoesNotMatch"}},
    [WRONG_TIME] = {{403, "SignatureDoesNotMatch"}, {400, "InvalidSignatureException"}, {403, "RequestTimeTooSkewed"}},
    [WRONG_SCOPE] = {{403, "SignatureDoesNotMatch"},
                     {400, "InvalidSignatureException"},
                     {400, "AuthorizationHeaderMalformed"}},
    [PRESIGNED_EXPIRED] = {{403, "SignatureDoesNotMatch"}, {400, "InvalidSignatureException"}, {403, "AccessDenied"}},
    [WRONG_PAYLOAD] = {{403, "SignatureDoesNotMatch"},
                       {400, "InvalidSignatureException"},
                       {400, "XAmzContentSHA256Mismatch"}},
    [NO_PAYLOAD_HASH] = {{403, "SignatureDoesNotMatch"}, {400, "InvalidSignatureException"}, {400, "InvalidRequest"}},
    [NO_MEMORY] = {{500, "InternalFailure"}, {500, "InternalFailure"}, {500, "InternalError"}},
};

static const char MISMATCH[] =
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details.";
static const char MISMATCH_S3[] = "The request signature we calculated does not match the signature you provided. "
                                  "Check your key and signing method.";

/* ---- state ------------------------------------------------------------------------------------------------------- */

struct local_auth {
    char *access_key_id, *secret_access_key, *region;
    pthread_mutex_t lock;
    struct sigv4_key keys[N_DIALECTS]; /* of the day, by service; guarded by lock, and copied out to be used */
};

int
local_auth_new(const struct local_auth_options *o, struct local_auth **ret_auth, struct err *e)
{
    struct local_auth *a = calloc(1, sizeof *a);
    if (!a)
        return err_no_memory(e);
    pthread_mutex_init(&a->lock, NULL);
    a->access_key_id = strdup(o->access_key_id);
    a->secret_access_key = strdup(o->secret_access_key);
    a->region = strdup(o->region);
    if (!a->access_key_id || !a->secret_access_key || !a->region) {
        local_auth_destroy(a);
        return err_no_memory(e);
    }
    *ret_auth = a;
    return 0;
}

void
local_auth_destroy(struct local_auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < N_DIALECTS; i++)
        sigv4_key_clean_up(&a->keys[i]);
    if (a->secret_access_key)
        explicit_bzero(a->secret_access_key, strlen(a->secret_access_key));
    free(a->secret_access_key);
    free(a->access_key_id);
    free(a->region);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

/* What is being verified, and the answer in the making. */
struct check {
    struct local_auth *auth;
    const struct httpd_request *r;
    const char *service;
    enum dialect dialect;
    bool presigned;
    struct buf authorization; /* the header, or the same made from the query */
    struct buf query;         /* what was signed of it */
    struct sigv4_authorization_parts parts;
    struct slice date; /* "20261120T060000Z" */
    int64_t expires_s; /* presigned */
    struct sigv4_header headers[MAX_SIGNED_HEADERS];
    size_t n_headers;
    char body_hash[DIGEST_SHA256_HEX];
    struct slice payload_hash;
    struct local_auth_result *ret;
};

static bool refuse(struct check *c, enum reason reason, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Returns false, for the steps below to return. */
static bool
refuse(struct check *c, enum reason reason, const char *format, ...)
{
    va_list ap;
    c->ret->status = REFUSALS[reason][c->dialect].status;
    c->ret->code = REFUSALS[reason][c->dialect].code;
    va_start(ap, format);
    vsnprintf(c->ret->message, sizeof c->ret->message, format, ap);
    va_end(ap);
    return false;
}

static bool
read_presigned(struct check *c, struct slice query)
{
    struct slice algorithm, credential, signed_headers, signature, expires;
    if (!local_auth_query_get(query, "X-Amz-Algorithm", &algorithm) ||
        !local_auth_query_get(query, "X-Amz-Credential", &credential) ||
        !local_auth_query_get(query, "X-Amz-SignedHeaders", &signed_headers) ||
        !local_auth_query_get(query, "X-Amz-Signature", &signature) ||
        !local_auth_query_get(query, "X-Amz-Date", &c->date) || !local_auth_query_get(query, "X-Amz-Expires", &expires))
        return refuse(c, MALFORMED,
                      "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                      "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.");
    c->presigned = true;
    for (size_t i = 0; i < expires.n && expires.p[i] >= '0' && expires.p[i] <= '9' && c->expires_s <= PRESIGNED_MAX_S;
         i++)
        c->expires_s = c->expires_s * 10 + (expires.p[i] - '0');
    if (c->expires_s < 1 || c->expires_s > PRESIGNED_MAX_S)
        return refuse(c, MALFORMED, "X-Amz-Expires must be between 1 and 604800 seconds");
    local_auth_query_decode(algorithm, &c->authorization);
    buf_add_string(&c->authorization, " Credential=");
    local_auth_query_decode(credential, &c->authorization);
    buf_add_string(&c->authorization, ", SignedHeaders=");
    local_auth_query_decode(signed_headers, &c->authorization);
    buf_add_string(&c->authorization, ", Signature=");
    local_auth_query_decode(signature, &c->authorization);
    local_auth_query_without_signature(query, &c->query);
    return true;
}

/* Signature version 2, in a header or a presigned URL. */
static bool
is_old_version(const struct httpd_request *r)
{
    struct slice ignored;
    return slice_starts_with(httpd_header(r, "authorization"), SLICE("AWS ")) ||
           local_auth_query_get(httpd_query(r), "AWSAccessKeyId", &ignored);
}

static bool
read_authorization(struct check *c)
{
    struct err e;
    struct slice header = httpd_header(c->r, "authorization"), ignored;
    if (is_old_version(c->r)) {
        return refuse(c, OLD_VERSION,
                      "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
    } else if (header.n > 0) {
        buf_add_slice(&c->authorization, header);
        buf_add_slice(&c->query, httpd_query(c->r));
        c->date = httpd_header(c->r, "x-amz-date");
    } else if (!local_auth_query_get(httpd_query(c->r), "X-Amz-Algorithm", &ignored)) {
        return refuse(c, MISSING, c->dialect == DIALECT_S3 ? "Access Denied" : "Missing Authentication Token");
    } else if (!read_presigned(c, httpd_query(c->r))) {
        return false;
    }
    if (buf_failed(&c->authorization) || buf_failed(&c->query))
        return refuse(c, NO_MEMORY, "out of memory");
    if (sigv4_parse_authorization(buf_slice(&c->authorization), &c->parts, &e) != 0)
        return refuse(c, MALFORMED, "%s", e.text);
    return true;
}

static bool
check_key(struct check *c)
{
    if (slice_equals_string(c->parts.access_key_id, c->auth->access_key_id))
        return true;
    return refuse(c, UNKNOWN_KEY,
                  c->dialect == DIALECT_S3 ? "The AWS Access Key Id you provided does not exist in our records."
                                           : "The security token included in the request is invalid.");
}

static bool
check_scope(struct check *c)
{
    const struct sigv4_authorization_parts *p = &c->parts;
    if (!slice_equals_string(p->region, c->auth->region))
        return c->dialect == DIALECT_S3
                   ? refuse(c, WRONG_SCOPE,
                            "The authorization header is malformed; the region '%.*s' is wrong; expecting '%s'",
                            SLICE_ARG(p->region), c->auth->region)
                   : refuse(c, WRONG_SCOPE, "Credential should be scoped to a valid region. (this server's is %s)",
                            c->auth->region);
    if (!slice_equals_string(p->service, c->service))
        return c->dialect == DIALECT_S3
                   ? refuse(
                         c, WRONG_SCOPE,
                         "The authorization header is malformed; incorrect service \"%.*s\". This endpoint belongs to "
                         "\"%s\".",
                         SLICE_ARG(p->service), c->service)
                   : refuse(c, WRONG_SCOPE, "Credential should be scoped to correct service: '%s'.", c->service);
    return true;
}

/* "20261120T060000Z" as "2026-11-20T06:00:00Z", of which out has the rest. */
static void
spell_out(const char *basic, char out[21])
{
    static const uint8_t from[] = {0, 2, 4, 6, 9, 11, 13}, to[] = {0, 2, 5, 8, 11, 14, 17};
    for (size_t i = 0; i < sizeof from; i++)
        memcpy(out + to[i], basic + from[i], 2);
    out[19] = basic[15];
}

/* "20261120T060000Z"; checks that it is the credential's day, too. */
static bool
check_time(struct check *c, int64_t *ret_signed_at)
{
    char now[CLOCK_ISO8601_BYTES], edge[CLOCK_ISO8601_BYTES], iso[21] = "YYYY-MM-DDThh:mm:ssZ";
    int64_t signed_at, now_ms = clock_wall_ms(), skew_ms = c->dialect == DIALECT_S3 ? SKEW_S3_MS : SKEW_MS;
    const char *d = c->date.p;
    if (c->date.n != 16 || (spell_out(d, iso), d[8] != 'T') || clock_parse_iso8601(iso, 20, &signed_at, NULL) != 0)
        return refuse(c, MALFORMED,
                      "Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
                      "http://en.wikipedia.org/wiki/ISO_8601",
                      (int)(c->date.n < 40 ? c->date.n : 40), c->date.p ? c->date.p : "");
    if (memcmp(d, c->parts.date.p, 8) != 0)
        return refuse(c, WRONG_SIGNATURE,
                      "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                      "'%.*s' != '%.8s', from '%.*s'.",
                      SLICE_ARG(c->parts.date), d, SLICE_ARG(c->date));
    *ret_signed_at = signed_at;
    clock_format_basic(now_ms, now);
    int64_t lives_ms = c->presigned ? c->expires_s * 1000 : skew_ms;
    if (signed_at >= now_ms - lives_ms && signed_at <= now_ms + skew_ms)
        return true;
    bool late = signed_at < now_ms;
    if (c->presigned && late)
        return refuse(c, PRESIGNED_EXPIRED, c->dialect == DIALECT_S3 ? "Request has expired" : "Signature expired");
    if (c->dialect == DIALECT_S3)
        return refuse(c, WRONG_TIME, "The difference between the request time and the current time is too large.");
    clock_format_basic(late ? now_ms - skew_ms : now_ms + skew_ms, edge);
    return late ? refuse(c, WRONG_TIME, "Signature expired: %.*s is now earlier than %s (%s - 5 min.)",
                         SLICE_ARG(c->date), edge, now)
                : refuse(c, WRONG_TIME, "Signature not yet current: %.*s is still later than %s (%s + 5 min.)",
                         SLICE_ARG(c->date), edge, now);
}

static bool
add_header_named(struct check *c, struct slice name)
{
    bool found = false;
    for (size_t i = 0; i < httpd_header_count(c->r); i++) {
        struct sigv4_header h;
        httpd_header_at(c->r, i, &h.name, &h.value);
        if (h.name.n != name.n || strncasecmp(h.name.p, name.p, name.n) != 0)
            continue;
        found = true;
        if (c->n_headers == MAX_SIGNED_HEADERS)
            return refuse(c, MALFORMED, "more than %d headers are signed", MAX_SIGNED_HEADERS);
        c->headers[c->n_headers++] = h;
    }
    return found || refuse(c, WRONG_SIGNATURE, "The signed header '%.*s' is not in the request.",
                           (int)(name.n < 80 ? name.n : 80), name.p);
}

static bool
collect_signed_headers(struct check *c)
{
    struct slice rest = c->parts.signed_headers;
    bool has_host = false;
    while (rest.n > 0) {
        const char *end = memchr(rest.p, ';', rest.n);
        struct slice name = slice_of(rest.p, end ? (size_t)(end - rest.p) : rest.n);
        rest = slice_of(rest.p + name.n + (end != NULL), rest.n - name.n - (end != NULL));
        has_host |= slice_equals(name, SLICE("host"));
        if (!add_header_named(c, name))
            return false;
    }
    return has_host ||
           refuse(c, MALFORMED, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
}

static bool
is_named(struct slice list, struct slice name)
{
    while (list.n > 0) {
        const char *end = memchr(list.p, ';', list.n);
        size_t n = end ? (size_t)(end - list.p) : list.n;
        if (n == name.n && strncasecmp(list.p, name.p, n) == 0)
            return true;
        list = slice_of(list.p + n + (end != NULL), list.n - n - (end != NULL));
    }
    return false;
}

/* S3 takes no header of its own on trust: each x-amz-* has to be signed. */
static bool
check_all_signed(struct check *c)
{
    const struct slice prefix = SLICE("x-amz-");
    for (size_t i = 0; c->dialect == DIALECT_S3 && i < httpd_header_count(c->r); i++) {
        struct slice name, value;
        httpd_header_at(c->r, i, &name, &value);
        if (name.n > prefix.n && strncasecmp(name.p, prefix.p, prefix.n) == 0 &&
            !is_named(c->parts.signed_headers, name))
            return refuse(c, NOT_ALL_SIGNED, "There were headers present in the request which were not signed: %.*s",
                          (int)(name.n < 80 ? name.n : 80), name.p);
    }
    return true;
}

static bool
is_digest(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isxdigit((unsigned char)s.p[i]))
            return false;
    return s.n == DIGEST_SHA256_HEX - 1;
}

/* Which text stands for the payload in what was signed, and is the payload that one? */
static bool
check_payload(struct check *c)
{
    struct slice sent = httpd_header(c->r, "x-amz-content-sha256"), body = httpd_body(c->r);
    bool s3 = c->dialect == DIALECT_S3;
    if (s3 && sent.n == 0 && c->presigned)
        sent = SLICE("UNSIGNED-PAYLOAD");
    if (s3 && sent.n == 0)
        return refuse(c, NO_PAYLOAD_HASH, "Missing required header for this request: x-amz-content-sha256");
    c->ret->payload_hash = sent;
    c->payload_hash = sent;
    if (s3 && !is_digest(sent))
        return true;
    digest_sha256_hex(body.p, body.n, c->body_hash);
    struct slice computed = slice_of(c->body_hash, DIGEST_SHA256_HEX - 1);
    if (s3 && (sent.n != computed.n || strncasecmp(sent.p, computed.p, computed.n) != 0))
        return refuse(c, WRONG_PAYLOAD, "The provided 'x-amz-content-sha256' header does not match what was computed.");
    if (!s3)
        c->payload_hash = computed;
    return true;
}

static enum dialect
dialect_of(const char *service)
{
    return strcmp(service, "s3") == 0 ? DIALECT_S3 : strcmp(service, "sqs") == 0 ? DIALECT_SQS : DIALECT_JSON;
}

/* By the key that is kept from the request before, if it is still the day's. */
static int
sign(struct local_auth *a, enum dialect dialect, const struct sigv4_scope *scope, struct slice text, char out[65])
{
    struct sigv4_key key;
    pthread_mutex_lock(&a->lock);
    key = a->keys[dialect];
    pthread_mutex_unlock(&a->lock);
    int code = sigv4_signature(scope, slice_of_string(a->secret_access_key), text, &key, out);
    pthread_mutex_lock(&a->lock);
    a->keys[dialect] = key;
    pthread_mutex_unlock(&a->lock);
    sigv4_key_clean_up(&key);
    return code;
}

int
local_auth_sign(struct local_auth *a, const char *service, int64_t at_ms, struct slice text, char out[65])
{
    const struct sigv4_scope scope = {
        .region = slice_of_string(a->region), .service = slice_of_string(service), .wall_ms = at_ms};
    return sign(a, dialect_of(service), &scope, text, out);
}

static int
sign_again(struct check *c, int64_t signed_at, char out[65])
{
    bool s3 = c->dialect == DIALECT_S3;
    struct sigv4_request request = {.method = httpd_method(c->r),
                                    .path = httpd_path(c->r),
                                    .query = buf_slice(&c->query),
                                    .headers = c->headers,
                                    .n_headers = c->n_headers,
                                    .payload_hash = c->payload_hash};
    struct sigv4_scope scope = {.region = c->parts.region,
                                .service = c->parts.service,
                                .wall_ms = signed_at,
                                .normalize_path = !s3,
                                .encode_path_twice = !s3};
    struct buf text = BUF_INIT, to_sign = BUF_INIT;
    int code = sigv4_canonical_request(&request, &scope, &text, NULL, NULL);
    if (code == 0) {
        sigv4_string_to_sign(&scope, buf_slice(&text), &to_sign);
        code = buf_failed(&to_sign) ? ERR_NO_MEMORY : sign(c->auth, c->dialect, &scope, buf_slice(&to_sign), out);
    }
    buf_clean_up(&text);
    buf_clean_up(&to_sign);
    return code;
}

static bool
check_signature(struct check *c, int64_t signed_at)
{
    if (sign_again(c, signed_at, c->ret->signature) != 0)
        return refuse(c, NO_MEMORY, "out of memory");
    c->ret->signed_at_ms = signed_at;
    if (c->parts.signature.n == 64 && digest_equal(c->ret->signature, c->parts.signature.p, 64))
        return true;
    return refuse(c, WRONG_SIGNATURE, "%s", c->dialect == DIALECT_S3 ? MISMATCH_S3 : MISMATCH);
}

void
local_auth_verify(struct local_auth *a, const struct httpd_request *r, const char *service,
                  struct local_auth_result *ret)
{
    struct check c = {.auth = a, .r = r, .service = service, .dialect = dialect_of(service), .ret = ret};
    int64_t signed_at = 0;
    *ret = (struct local_auth_result){0};
    (void)(read_authorization(&c) && check_key(&c) && check_scope(&c) && check_time(&c, &signed_at) &&
           collect_signed_headers(&c) && check_all_signed(&c) && check_payload(&c) && check_signature(&c, signed_at));
    buf_clean_up(&c.authorization);
    buf_clean_up(&c.query);
}
