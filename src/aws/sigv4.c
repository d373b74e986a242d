#include "aws/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define DAY_BYTES     8
#define PRESIGN_MAX_S 604800

void
sigv4_key_clean_up(struct sigv4_key *key)
{
    explicit_bzero(key, sizeof *key);
}

static bool
name_equals(struct slice a, struct slice b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

#define NAME(literal)                                                                                                  \
    {                                                                                                                  \
        .p = (literal), .n = sizeof(literal) - 1                                                                       \
    }

bool
sigv4_header_is_signed(struct slice name)
{
    static const struct slice changed[] = {NAME("authorization"),
                                           NAME("connection"),
                                           NAME("expect"),
                                           NAME("keep-alive"),
                                           NAME("proxy-connection"),
                                           NAME("proxy-authorization"),
                                           NAME("te"),
                                           NAME("trailer"),
                                           NAME("transfer-encoding"),
                                           NAME("upgrade"),
                                           NAME("user-agent"),
                                           NAME("x-amzn-trace-id")};
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++)
        if (name_equals(name, changed[i]))
            return false;
    return true;
}

/* ---- the key --------------------------------------------------------------------------------------------------- */

/* What is on the stack when a key is made; wiped when it is done. */
struct derivation {
    uint8_t seed[256]; /* "AWS4" and the secret; longer ones go to the heap */
    uint8_t a[DIGEST_SHA256_BYTES], b[DIGEST_SHA256_BYTES];
};

static int
derive(const struct sigv4_scope *scope, struct slice secret, const char *day, uint8_t ret_key[DIGEST_SHA256_BYTES])
{
    static const uint8_t prefix[] = {'A', 'W', 'S', '4'};
    struct derivation d;
    size_t n = sizeof prefix + secret.n;
    uint8_t *seed = n <= sizeof d.seed ? d.seed : malloc(n);
    if (!seed)
        return ERR_NO_MEMORY;
    memcpy(seed, prefix, sizeof prefix);
    if (secret.n > 0)
        memcpy(seed + sizeof prefix, secret.p, secret.n);
    digest_hmac_sha256(seed, n, day, DAY_BYTES, d.a);
    digest_hmac_sha256(d.a, sizeof d.a, scope->region.p, scope->region.n, d.b);
    digest_hmac_sha256(d.b, sizeof d.b, scope->service.p, scope->service.n, d.a);
    digest_hmac_sha256(d.a, sizeof d.a, "aws4_request", 12, ret_key);
    if (seed != d.seed) {
        explicit_bzero(seed, n);
        free(seed);
    }
    explicit_bzero(&d, sizeof d);
    return 0;
}

/* All that a key is derived from, each part behind its length. Returns how long it is; 0: too long. */
static size_t
write_origin(const struct sigv4_scope *scope, struct slice secret, const char *day, uint8_t out[SIGV4_ORIGIN_BYTES])
{
    const struct slice parts[] = {slice_of(day, DAY_BYTES), scope->region, scope->service, secret};
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].n >= SIGV4_ORIGIN_BYTES - n) {
            explicit_bzero(out, n);
            return 0;
        }
        out[n++] = (uint8_t)parts[i].n;
        if (parts[i].n > 0)
            memcpy(out + n, parts[i].p, parts[i].n);
        n += parts[i].n;
    }
    return n;
}

/* Makes key the one of this scope and secret, by deriving it only when it is not that already. */
static int
provide_key(struct sigv4_key *key, const struct sigv4_scope *scope, struct slice secret, const char *day)
{
    uint8_t origin[SIGV4_ORIGIN_BYTES];
    size_t n = write_origin(scope, secret, day, origin);
    int rc = 0;
    if (n == 0 || memcmp(origin, key->origin, n) != 0) {
        sigv4_key_clean_up(key);
        rc = derive(scope, secret, day, key->key);
        if (rc == 0)
            memcpy(key->origin, origin, n);
    }
    explicit_bzero(origin, n);
    return rc;
}

/* time: clock_format_basic of scope->wall_ms. */
static int
write_signature(const struct sigv4_scope *scope, const char *time, struct slice secret, struct slice string_to_sign,
                struct sigv4_key *key, char out[65])
{
    struct sigv4_key once;
    uint8_t signature[DIGEST_SHA256_BYTES];
    if (!key)
        memset(&once, 0, sizeof once);
    struct sigv4_key *used = key ? key : &once;
    int rc = provide_key(used, scope, secret, time);
    out[0] = '\0';
    if (rc == 0) {
        digest_hmac_sha256(used->key, sizeof used->key, string_to_sign.p, string_to_sign.n, signature);
        digest_hex(signature, sizeof signature, out);
    }
    if (!key)
        sigv4_key_clean_up(&once);
    return rc;
}

int
sigv4_signature(const struct sigv4_scope *scope, struct slice secret_access_key, struct slice string_to_sign,
                struct sigv4_key *key, char out[65])
{
    char time[CLOCK_ISO8601_BYTES];
    clock_format_basic(scope->wall_ms, time);
    return write_signature(scope, time, secret_access_key, string_to_sign, key, out);
}

/* ---- signing --------------------------------------------------------------------------------------------------- */

/* "20150830/us-east-1/sqs/aws4_request" */
static void
add_credential_scope(struct buf *out, const struct sigv4_scope *scope, const char *time)
{
    buf_add(out, time, DAY_BYTES);
    buf_add_char(out, '/');
    buf_add_slice(out, scope->region);
    buf_add_char(out, '/');
    buf_add_slice(out, scope->service);
    buf_add_string(out, "/aws4_request");
}

static void
add_string_to_sign(const struct sigv4_scope *scope, const char *time, struct slice canonical_request, struct buf *out)
{
    char hash[DIGEST_SHA256_HEX];
    digest_sha256_hex(canonical_request.p, canonical_request.n, hash);
    buf_add_string(out, ALGORITHM "\n");
    buf_add_string(out, time);
    buf_add_char(out, '\n');
    add_credential_scope(out, scope, time);
    buf_add_char(out, '\n');
    buf_add(out, hash, sizeof hash - 1);
}

void
sigv4_string_to_sign(const struct sigv4_scope *scope, struct slice canonical_request, struct buf *out)
{
    char time[CLOCK_ISO8601_BYTES];
    clock_format_basic(scope->wall_ms, time);
    add_string_to_sign(scope, time, canonical_request, out);
}

/* The signature of a request; signed_headers gets the list of names. */
static int
sign(const struct sigv4_request *request, const struct sigv4_scope *scope, const char *time, struct slice secret,
     struct sigv4_key *key, struct buf *signed_headers, char ret_signature[65], struct err *e)
{
    struct buf text = BUF_INIT;
    buf_reserve(&text, 1000);
    int rc = sigv4_canonical_request(request, scope, &text, signed_headers, e);
    if (rc == 0) {
        size_t start = text.len;
        add_string_to_sign(scope, time, buf_slice(&text), &text);
        rc = buf_failed(&text) ? err_no_memory(e) : 0;
        if (rc == 0 && write_signature(scope, time, secret, slice_of(text.data + start, text.len - start), key,
                                       ret_signature) != 0)
            rc = err_no_memory(e);
    }
    buf_clean_up(&text);
    return rc;
}

static const struct sigv4_header *
find_header(const struct sigv4_request *request, struct slice name)
{
    for (size_t i = 0; i < request->n_headers; i++)
        if (name_equals(request->headers[i].name, name))
            return &request->headers[i];
    return NULL;
}

/* What would be refused for certain is not signed. */
static int
check_headers(const struct sigv4_request *request, const struct sigv4_credentials *credentials, const char *time,
              struct err *e)
{
    const struct sigv4_header *date = find_header(request, SLICE("x-amz-date"));
    if (!date || !slice_equals_string(date->value, time))
        return err_set(e, ERR_INVALID, "cannot sign: the header x-amz-date must be there and be %s", time);
    if (credentials->session_token.n > 0 && !find_header(request, SLICE("x-amz-security-token")))
        return err_set(e, ERR_INVALID, "cannot sign: these credentials need the header x-amz-security-token");
    return 0;
}

int
sigv4_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope,
                    const struct sigv4_credentials *credentials, struct sigv4_key *key, struct buf *out, struct err *e)
{
    char time[CLOCK_ISO8601_BYTES], signature[65];
    size_t start = out->len;
    clock_format_basic(scope->wall_ms, time);
    int rc = check_headers(request, credentials, time, e);
    if (rc != 0)
        return rc;
    buf_reserve(out, 300 + credentials->access_key_id.n);
    buf_add_string(out, ALGORITHM " Credential=");
    buf_add_slice(out, credentials->access_key_id);
    buf_add_char(out, '/');
    add_credential_scope(out, scope, time);
    buf_add_string(out, ", SignedHeaders=");
    rc = sign(request, scope, time, credentials->secret_access_key, key, out, signature, e);
    if (rc == 0) {
        buf_add_string(out, ", Signature=");
        buf_add_string(out, signature);
        rc = buf_failed(out) ? err_no_memory(e) : 0;
    }
    if (rc != 0)
        buf_truncate(out, start);
    return rc;
}

static void
add_parameter(struct buf *query, const char *name, struct slice value)
{
    if (query->len > 0)
        buf_add_char(query, '&');
    buf_add_string(query, name);
    buf_add_char(query, '=');
    sigv4_encode(query, value);
}

/* The query that is signed: the request's own, then ours. */
static int
add_presigned_query(struct buf *query, const struct sigv4_request *request, const struct sigv4_scope *scope,
                    const struct sigv4_credentials *credentials, int64_t expires_s, bool token_after, struct err *e)
{
    char time[CLOCK_ISO8601_BYTES], expires[32];
    struct buf text = BUF_INIT, names = BUF_INIT;
    clock_format_basic(scope->wall_ms, time);
    int rc = sigv4_canonical_request(request, scope, &text, &names, e); /* for the names alone */
    if (rc != 0)
        goto cleanup;
    buf_add_slice(query, request->query);
    add_parameter(query, "X-Amz-Algorithm", SLICE(ALGORITHM));
    buf_reset(&text);
    buf_add_slice(&text, credentials->access_key_id);
    buf_add_char(&text, '/');
    add_credential_scope(&text, scope, time);
    add_parameter(query, "X-Amz-Credential", buf_slice(&text));
    add_parameter(query, "X-Amz-Date", slice_of_string(time));
    add_parameter(query, "X-Amz-SignedHeaders", buf_slice(&names));
    snprintf(expires, sizeof expires, "%lld", (long long)expires_s);
    add_parameter(query, "X-Amz-Expires", slice_of_string(expires));
    if (credentials->session_token.n > 0 && !token_after)
        add_parameter(query, "X-Amz-Security-Token", credentials->session_token);
    if (buf_failed(&text) || buf_failed(query))
        rc = err_no_memory(e);

cleanup:
    buf_clean_up(&text);
    buf_clean_up(&names);
    return rc;
}

int
sigv4_presign(const struct sigv4_request *request, const struct sigv4_scope *scope,
              const struct sigv4_credentials *credentials, int64_t expires_s, bool token_after, struct buf *out,
              struct err *e)
{
    struct buf query = BUF_INIT;
    struct sigv4_request presigned = *request;
    char time[CLOCK_ISO8601_BYTES], signature[65];
    if (expires_s < 1 || expires_s > PRESIGN_MAX_S)
        return err_set(e, ERR_INVALID, "cannot presign for %lld seconds: 1 to %d are allowed", (long long)expires_s,
                       PRESIGN_MAX_S);
    int rc = add_presigned_query(&query, request, scope, credentials, expires_s, token_after, e);
    if (rc != 0)
        goto cleanup;
    presigned.query = buf_slice(&query);
    clock_format_basic(scope->wall_ms, time);
    rc = sign(&presigned, scope, time, credentials->secret_access_key, NULL, NULL, signature, e);
    if (rc != 0)
        goto cleanup;
    if (credentials->session_token.n > 0 && token_after)
        add_parameter(&query, "X-Amz-Security-Token", credentials->session_token);
    add_parameter(&query, "X-Amz-Signature", slice_of_string(signature));
    size_t start = out->len;
    buf_add_slice(out, buf_slice(&query));
    if (buf_failed(&query) || buf_failed(out)) {
        buf_truncate(out, start);
        rc = err_no_memory(e);
    }

cleanup:
    buf_clean_up(&query);
    return rc;
}
