/* What a request says of its signature: whose it is, when it was made, and what it covers. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "local/auth_impl.h"
#include "local/auth_query.h"

#define PRESIGNED_MAX_S 604800

bool
local_auth_refuse(struct local_auth_check *c, enum local_auth_reason reason, const char *format, ...)
{
    const struct local_auth_words words = local_auth_words(reason, c->dialect);
    va_list ap;
    c->ret->status = words.status;
    c->ret->code = words.code;
    va_start(ap, format);
    vsnprintf(c->ret->message, sizeof c->ret->message, format, ap);
    va_end(ap);
    return false;
}

bool
local_auth_refuse_plainly(struct local_auth_check *c, enum local_auth_reason reason)
{
    return local_auth_refuse(c, reason, "%s", local_auth_words(reason, c->dialect).text);
}

static bool
read_presigned(struct local_auth_check *c, struct slice query)
{
    struct slice algorithm, credential, signed_headers, signature, expires;
    if (!local_auth_query_get(query, "X-Amz-Algorithm", &algorithm) ||
        !local_auth_query_get(query, "X-Amz-Credential", &credential) ||
        !local_auth_query_get(query, "X-Amz-SignedHeaders", &signed_headers) ||
        !local_auth_query_get(query, "X-Amz-Signature", &signature) ||
        !local_auth_query_get(query, "X-Amz-Date", &c->date) || !local_auth_query_get(query, "X-Amz-Expires", &expires))
        return local_auth_refuse(
            c, LOCAL_AUTH_MALFORMED,
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.");
    c->presigned = true;
    for (size_t i = 0; i < expires.n && expires.p[i] >= '0' && expires.p[i] <= '9' && c->expires_s <= PRESIGNED_MAX_S;
         i++)
        c->expires_s = c->expires_s * 10 + (expires.p[i] - '0');
    if (c->expires_s < 1 || c->expires_s > PRESIGNED_MAX_S)
        return local_auth_refuse(c, LOCAL_AUTH_MALFORMED, "X-Amz-Expires must be between 1 and 604800 seconds");
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

bool
local_auth_read(struct local_auth_check *c)
{
    struct err e;
    struct slice header = httpd_header(c->r, "authorization"), ignored;
    if (is_old_version(c->r)) {
        return local_auth_refuse_plainly(c, LOCAL_AUTH_OLD_VERSION);
    } else if (header.n > 0) {
        buf_add_slice(&c->authorization, header);
        buf_add_slice(&c->query, httpd_query(c->r));
        c->date = httpd_header(c->r, "x-amz-date");
    } else if (!local_auth_query_get(httpd_query(c->r), "X-Amz-Algorithm", &ignored)) {
        return local_auth_refuse_plainly(c, LOCAL_AUTH_MISSING);
    } else if (!read_presigned(c, httpd_query(c->r))) {
        return false;
    }
    if (buf_failed(&c->authorization) || buf_failed(&c->query))
        return local_auth_refuse_plainly(c, LOCAL_AUTH_NO_MEMORY);
    if (sigv4_parse_authorization(buf_slice(&c->authorization), &c->parts, &e) != 0)
        return local_auth_refuse(c, LOCAL_AUTH_MALFORMED, "%s", e.text);
    return true;
}

static bool
add_header_named(struct local_auth_check *c, struct slice name)
{
    bool found = false;
    for (size_t i = 0; i < httpd_header_count(c->r); i++) {
        struct sigv4_header h;
        httpd_header_at(c->r, i, &h.name, &h.value);
        if (h.name.n != name.n || strncasecmp(h.name.p, name.p, name.n) != 0)
            continue;
        found = true;
        if (c->n_headers == AUTH_SIGNED_HEADERS_MAX)
            return local_auth_refuse(c, LOCAL_AUTH_MALFORMED, "more than %d headers are signed",
                                     AUTH_SIGNED_HEADERS_MAX);
        c->headers[c->n_headers++] = h;
    }
    return found || local_auth_refuse(c, LOCAL_AUTH_WRONG_SIGNATURE, "The signed header '%.*s' is not in the request.",
                                      (int)(name.n < 80 ? name.n : 80), name.p);
}

bool
local_auth_collect_headers(struct local_auth_check *c)
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
    return has_host || local_auth_refuse(c, LOCAL_AUTH_MALFORMED,
                                         "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
}
