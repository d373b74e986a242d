#include "local/auth_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "local/auth_query.h"

/* ---- state ------------------------------------------------------------------------------------------------------- */

int
local_auth_new(const struct local_auth_options *o, struct local_auth **ret_auth, struct err *e)
{
    const struct local_keys_options keys = {.access_key_id = o->access_key_id,
                                            .secret = o->secret_access_key,
                                            .token = o->session_token,
                                            .file = o->credentials};
    struct local_auth *a = calloc(1, sizeof *a);
    if (!a)
        return err_no_memory(e);
    a->no_auth = o->no_auth;
    a->region = strdup(o->region);
    int code = !a->region ? err_no_memory(e) : o->no_auth ? 0 : local_keys_new(&keys, &a->keys, e);
    if (code)
        local_auth_destroy(a);
    else
        *ret_auth = a;
    return code;
}

void
local_auth_destroy(struct local_auth *a)
{
    if (!a)
        return;
    local_keys_destroy(a->keys);
    free(a->region);
    free(a);
}

int
local_auth_reload(struct local_auth *a, size_t *ret_n, struct err *e)
{
    *ret_n = 0;
    int code = a->keys ? local_keys_reload(a->keys, e) : 0;
    *ret_n = a->keys ? local_keys_count(a->keys) : 0;
    return code;
}

/* ---- is it right? ------------------------------------------------------------------------------------------------ */

/* Of the header, or of a presigned URL. Room is for the URL's, decoded. */
static struct slice
session_token(const struct local_auth_check *c, struct buf *room)
{
    struct slice raw, sent = httpd_header(c->r, "x-amz-security-token");
    if (sent.n > 0 || !c->presigned || !local_auth_query_get(httpd_query(c->r), "X-Amz-Security-Token", &raw))
        return sent;
    local_auth_query_decode(raw, room);
    return buf_slice(room);
}

static bool
check_key(struct local_auth_check *c)
{
    static const enum local_auth_reason REASONS[] = {[LOCAL_TOKEN_MISSING] = LOCAL_AUTH_NO_TOKEN,
                                                     [LOCAL_TOKEN_WRONG] = LOCAL_AUTH_WRONG_TOKEN,
                                                     [LOCAL_TOKEN_EXPIRED] = LOCAL_AUTH_EXPIRED_TOKEN};
    struct buf room = BUF_INIT;
    c->key = local_keys_find(c->auth->keys, c->parts.access_key_id);
    if (!c->key)
        return local_auth_refuse_plainly(c, LOCAL_AUTH_UNKNOWN_KEY);
    enum local_token token = local_key_check_token(c->key, session_token(c, &room), clock_wall_ms());
    bool failed = buf_failed(&room);
    buf_wipe(&room);
    if (failed)
        return local_auth_refuse_plainly(c, LOCAL_AUTH_NO_MEMORY);
    return token == LOCAL_TOKEN_RIGHT || local_auth_refuse_plainly(c, REASONS[token]);
}

static bool
check_scope(struct local_auth_check *c)
{
    const struct sigv4_authorization_parts *p = &c->parts;
    if (!slice_equals_string(p->region, c->auth->region))
        return c->dialect == LOCAL_AUTH_S3
                   ? local_auth_refuse(
                         c, LOCAL_AUTH_WRONG_SCOPE,
                         "The authorization header is malformed; the region '%.*s' is wrong; expecting '%s'",
                         SLICE_ARG(p->region), c->auth->region)
                   : local_auth_refuse(c, LOCAL_AUTH_WRONG_SCOPE,
                                       "Credential should be scoped to a valid region. (this server's is %s)",
                                       c->auth->region);
    if (!slice_equals_string(p->service, c->service))
        return c->dialect == LOCAL_AUTH_S3
                   ? local_auth_refuse(
                         c, LOCAL_AUTH_WRONG_SCOPE,
                         "The authorization header is malformed; incorrect service \"%.*s\". This endpoint belongs to "
                         "\"%s\".",
                         SLICE_ARG(p->service), c->service)
                   : local_auth_refuse(c, LOCAL_AUTH_WRONG_SCOPE,
                                       "Credential should be scoped to correct service: '%s'.", c->service);
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

/* How far the clocks of client and server may be apart. SQS says "- 15 min." (aws-sdk-go#487, aioboto3#326), most
 * others
 * "- 5 min.". */
static int64_t
skew_ms(const struct local_auth_check *c)
{
    return (c->dialect == LOCAL_AUTH_JSON ? 5 : 15) * INT64_C(60000);
}

/* S3's presigned URLs live as long as they say. On SQS every URL lives 15 minutes, whatever it says
 * (aws-sdk-ruby#2498): here it is the shorter of the two, so that a client that needs more finds out. */
static int64_t
lifetime_ms(const struct local_auth_check *c)
{
    int64_t says_ms = c->expires_s * 1000, skew = skew_ms(c);
    return !c->presigned ? skew : c->dialect == LOCAL_AUTH_S3 || says_ms < skew ? says_ms : skew;
}

static bool
refuse_time(struct local_auth_check *c, bool late, int64_t now_ms)
{
    char now[CLOCK_ISO8601_BYTES], edge[CLOCK_ISO8601_BYTES];
    int64_t by_ms = late ? lifetime_ms(c) : skew_ms(c);
    bool minutes = by_ms % 60000 == 0;
    long long by = (long long)(minutes ? by_ms / 60000 : by_ms / 1000);
    enum local_auth_reason reason = c->presigned && late ? LOCAL_AUTH_PRESIGNED_EXPIRED : LOCAL_AUTH_WRONG_TIME;
    if (c->dialect == LOCAL_AUTH_S3)
        return local_auth_refuse_plainly(c, reason);
    clock_format_basic(now_ms, now);
    clock_format_basic(late ? now_ms - by_ms : now_ms + by_ms, edge);
    return late ? local_auth_refuse(c, reason, "Signature expired: %.*s is now earlier than %s (%s - %lld %s.)",
                                    SLICE_ARG(c->date), edge, now, by, minutes ? "min" : "sec")
                : local_auth_refuse(c, reason, "Signature not yet current: %.*s is still later than %s (%s + %lld %s.)",
                                    SLICE_ARG(c->date), edge, now, by, minutes ? "min" : "sec");
}

/* "20261120T060000Z"; checks that it is the credential's day, too. */
static bool
check_time(struct local_auth_check *c, int64_t *ret_signed_at)
{
    char iso[21] = "YYYY-MM-DDThh:mm:ssZ";
    int64_t signed_at, now_ms = clock_wall_ms();
    const char *d = c->date.p;
    if (c->date.n != 16 || (spell_out(d, iso), d[8] != 'T') || clock_parse_iso8601(iso, 20, &signed_at, NULL) != 0)
        return local_auth_refuse(c, LOCAL_AUTH_MALFORMED,
                                 "Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
                                 "http://en.wikipedia.org/wiki/ISO_8601",
                                 (int)(c->date.n < 40 ? c->date.n : 40), c->date.p ? c->date.p : "");
    if (memcmp(d, c->parts.date.p, 8) != 0)
        return local_auth_refuse(
            c, LOCAL_AUTH_WRONG_SIGNATURE,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            "'%.*s' != '%.8s', from '%.*s'.",
            SLICE_ARG(c->parts.date), d, SLICE_ARG(c->date));
    *ret_signed_at = signed_at;
    if (signed_at >= now_ms - lifetime_ms(c) && signed_at <= now_ms + skew_ms(c))
        return true;
    return refuse_time(c, signed_at < now_ms, now_ms);
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
check_all_signed(struct local_auth_check *c)
{
    const struct slice prefix = SLICE("x-amz-");
    for (size_t i = 0; c->dialect == LOCAL_AUTH_S3 && i < httpd_header_count(c->r); i++) {
        struct slice name, value;
        httpd_header_at(c->r, i, &name, &value);
        if (name.n > prefix.n && strncasecmp(name.p, prefix.p, prefix.n) == 0 &&
            !is_named(c->parts.signed_headers, name))
            return local_auth_refuse(c, LOCAL_AUTH_NOT_ALL_SIGNED,
                                     "There were headers present in the request which were not signed: %.*s",
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
check_payload(struct local_auth_check *c)
{
    struct slice sent = httpd_header(c->r, "x-amz-content-sha256"), body = httpd_body(c->r);
    bool s3 = c->dialect == LOCAL_AUTH_S3;
    if (s3 && sent.n == 0 && c->presigned)
        sent = SLICE("UNSIGNED-PAYLOAD");
    if (s3 && sent.n == 0)
        return local_auth_refuse_plainly(c, LOCAL_AUTH_NO_PAYLOAD_HASH);
    c->ret->payload_hash = sent;
    c->payload_hash = sent;
    if (s3 && !is_digest(sent))
        return true;
    digest_sha256_hex(body.p, body.n, c->body_hash);
    struct slice computed = slice_of(c->body_hash, DIGEST_SHA256_HEX - 1);
    if (s3 && (sent.n != computed.n || strncasecmp(sent.p, computed.p, computed.n) != 0))
        return local_auth_refuse_plainly(c, LOCAL_AUTH_WRONG_PAYLOAD);
    if (!s3)
        c->payload_hash = computed;
    return true;
}

static enum local_auth_dialect
dialect_of(const char *service)
{
    return strcmp(service, "s3") == 0 ? LOCAL_AUTH_S3 : strcmp(service, "sqs") == 0 ? LOCAL_AUTH_SQS : LOCAL_AUTH_JSON;
}

int
local_auth_sign(struct local_auth *a, struct local_key *key, const char *service, int64_t at_ms, struct slice text,
                char out[65])
{
    const struct sigv4_scope scope = {
        .region = slice_of_string(a->region), .service = slice_of_string(service), .wall_ms = at_ms};
    return local_key_sign(key, dialect_of(service), &scope, text, out);
}

static int
sign_again(struct local_auth_check *c, int64_t signed_at, char out[65])
{
    bool s3 = c->dialect == LOCAL_AUTH_S3;
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
        code =
            buf_failed(&to_sign) ? ERR_NO_MEMORY : local_key_sign(c->key, c->dialect, &scope, buf_slice(&to_sign), out);
    }
    buf_clean_up(&text);
    buf_clean_up(&to_sign);
    return code;
}

static bool
check_signature(struct local_auth_check *c, int64_t signed_at)
{
    if (sign_again(c, signed_at, c->ret->signature) != 0)
        return local_auth_refuse_plainly(c, LOCAL_AUTH_NO_MEMORY);
    c->ret->signed_at_ms = signed_at;
    if (c->parts.signature.n == 64 && digest_equal(c->ret->signature, c->parts.signature.p, 64))
        return true;
    return local_auth_refuse_plainly(c, LOCAL_AUTH_WRONG_SIGNATURE);
}

/* What the services look at, as the client says it. */
static void
take_on_trust(struct local_auth_check *c)
{
    struct err e;
    struct local_auth_result *ret = c->ret;
    ret->payload_hash = httpd_header(c->r, "x-amz-content-sha256");
    ret->signed_at_ms = clock_wall_ms();
    if (c->dialect == LOCAL_AUTH_S3 && ret->payload_hash.n == 0)
        ret->payload_hash = SLICE("UNSIGNED-PAYLOAD");
    if (sigv4_parse_authorization(httpd_header(c->r, "authorization"), &c->parts, &e) == 0 &&
        c->parts.signature.n == 64)
        memcpy(ret->signature, c->parts.signature.p, 64);
}

void
local_auth_verify(struct local_auth *a, const struct httpd_request *r, const char *service,
                  struct local_auth_result *ret)
{
    struct local_auth_check c = {.auth = a, .r = r, .service = service, .dialect = dialect_of(service), .ret = ret};
    int64_t signed_at = 0;
    *ret = (struct local_auth_result){0};
    if (a->no_auth) {
        take_on_trust(&c);
        return;
    }
    (void)(local_auth_read(&c) && check_key(&c) && check_scope(&c) && check_time(&c, &signed_at) &&
           local_auth_collect_headers(&c) && check_all_signed(&c) && check_payload(&c) &&
           check_signature(&c, signed_at));
    ret->key = c.key;
    buf_clean_up(&c.authorization);
    buf_clean_up(&c.query);
}
