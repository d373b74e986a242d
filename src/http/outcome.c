#include <openssl/x509_vfy.h>

#include "http/internal.h"

static bool
request_was_sent(const struct http_call *c)
{
    long bytes = 0;
    curl_off_t since_us = 0;
    if (c->state == CALL_PENDING)
        return false;
    /* REQUEST_SIZE counts a CONNECT to a proxy, too; PRETRANSFER is set when the turn of the request itself comes. */
    curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &bytes);
    curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &since_us);
    return bytes > 0 && since_us > 0;
}

struct http_traffic
http_outcome_traffic(const struct http_call *c)
{
    long request = 0, header = 0;
    curl_off_t up = 0, down = 0;
    if (c->state == CALL_PENDING)
        return (struct http_traffic){0};
    curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &request);
    curl_easy_getinfo(c->easy, CURLINFO_HEADER_SIZE, &header);
    curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(c->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    /* A body that left together with the headers is in both counts. */
    uint64_t sent = (uint64_t)request + (up > request ? (uint64_t)up : 0);
    return (struct http_traffic){.sent = sent, .received = (uint64_t)header + (uint64_t)down};
}

static enum err_code
code_of(const struct http_call *c, CURLcode result, bool sent)
{
    switch (result) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* only connecting is timed by curl */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_PROXY:
    case CURLE_AGAIN:
        return ERR_UNAVAILABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CIPHER:
        return ERR_DENIED;
    case CURLE_WRITE_ERROR:
        return c->gave_up ? (enum err_code)c->gave_up : ERR_NO_MEMORY;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NO_MEMORY;
    case CURLE_URL_MALFORMAT:
        return ERR_INVALID;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL; but also an answer that is not HTTP/1 */
        return sent ? ERR_PROTOCOL : ERR_INVALID;
    default:
        return sent ? ERR_PROTOCOL : ERR_UNAVAILABLE;
    }
}

/* The URL as it may stand in a log: without user, password and query. */
static struct slice
shown_url(const char *url)
{
    size_t n = strcspn(url, "?#");
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t authority = strcspn(host, "/?#");
    for (size_t i = authority; i > 0; i--)
        if (host[i - 1] == '@')
            return slice_of(host + i, n - (size_t)(host + i - url));
    return slice_of(url, n < 200 ? n : 200);
}

static bool
is_unknown_authority(long verdict)
{
    return verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT || verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE || verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN || verdict == X509_V_ERR_CERT_SIGNATURE_FAILURE;
}

/* What a person can do about a certificate whose authority is known. */
static const char *
remedy_for(long verdict)
{
    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "it has to be renewed at the server, unless it is this machine's clock that is wrong";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "it is for later, unless it is this machine's clock that is wrong";
    case X509_V_OK: /* no fault in the chain, so it is the host */
    case X509_V_ERR_UNSPECIFIED:
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "the URL has to name a host that the certificate was made for";
    default:
        return "another certificate is needed at the server";
    }
}

/* curl's own text is of the first thing that went wrong in a call, which may be the end of a kept connection. */
static void
explain_refusal(const struct http_call *c, struct err *e)
{
    struct slice url = shown_url(c->url);
    const char *what = strncmp(c->text, "SSL: ", 5) == 0 ? c->text + 5 : "the certificate is not for this host";
    long verdict = X509_V_OK;
    curl_easy_getinfo(c->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
    if (verdict != X509_V_OK && verdict != X509_V_ERR_UNSPECIFIED)
        what = X509_verify_cert_error_string(verdict);
    if (is_unknown_authority(verdict))
        err_set(e, ERR_DENIED,
                "%s %.*s: refused the server's certificate: %s; no authority trusted here has signed it: %s can name a "
                "PEM file with the certificate of the one that did, and the server has to send those in between",
                c->method, SLICE_ARG(url), what, c->engine->ca_option);
    else
        err_set(e, ERR_DENIED, "%s %.*s: refused the server's certificate: %s; %s", c->method, SLICE_ARG(url), what,
                remedy_for(verdict));
}

static void
explain_tls(const struct http_call *c, CURLcode result, struct err *e)
{
    struct slice url = shown_url(c->url);
    const char *file = c->engine->ca_file;
    if (result == CURLE_PEER_FAILED_VERIFICATION)
        explain_refusal(c, e);
    else if (result == CURLE_SSL_CACERT_BADFILE)
        err_set(e, ERR_DENIED, "%s %.*s: no certificates to trust can be read from %s; %s has to name a PEM file",
                c->method, SLICE_ARG(url), *file ? file : "the system's store", c->engine->ca_option);
    else
        err_set(e, ERR_DENIED, "%s %.*s: %s", c->method, SLICE_ARG(url),
                *c->text ? c->text : curl_easy_strerror(result));
}

static void
explain(const struct http_call *c, CURLcode result, struct http_response *r)
{
    enum err_code code = code_of(c, result, r->request_sent);
    struct slice url = shown_url(c->url);
    if (code == ERR_LIMIT && c->header_bytes > HTTP_MAX_HEADER_BYTES)
        err_set(&r->error, code, "%s %.*s: the headers of the answer are longer than %u bytes", c->method,
                SLICE_ARG(url), HTTP_MAX_HEADER_BYTES);
    else if (code == ERR_LIMIT)
        err_set(&r->error, code, "%s %.*s: the answer is longer than %zu bytes", c->method, SLICE_ARG(url),
                c->max_response_bytes);
    else if (code == ERR_CANCELLED)
        err_set(&r->error, code, "%s %.*s: given up by its reader", c->method, SLICE_ARG(url));
    else if (code == ERR_NO_MEMORY)
        err_no_memory(&r->error);
    else if (code == ERR_DENIED)
        explain_tls(c, result, &r->error);
    else
        err_set(&r->error, code, "%s %.*s: %s", c->method, SLICE_ARG(url),
                *c->text ? c->text : curl_easy_strerror(result));
    r->truncated = code == ERR_UNAVAILABLE && (c->header_bytes > 0 || c->body.len > 0);
}

/* Curl calls an answer that ends in the midst of its headers complete, and takes any number for a status. */
static void
check(const struct http_call *c, struct http_response *r)
{
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    struct slice url = shown_url(c->url);
    if (!c->header_complete) {
        err_set(&r->error, ERR_UNAVAILABLE, "%s %.*s: the connection ended in the headers of the answer", c->method,
                SLICE_ARG(url));
        r->truncated = true;
    } else if (status < 200 || status > 599) {
        err_set(&r->error, ERR_PROTOCOL, "%s %.*s: %ld is no status of an answer", c->method, SLICE_ARG(url), status);
    } else {
        r->status = (int)status;
        r->body = buf_slice(&c->body);
    }
}

void
http_outcome_of(const struct http_call *c, CURLcode result, struct http_response *ret)
{
    ret->request_sent = request_was_sent(c);
    if (result == CURLE_OK)
        check(c, ret);
    else
        explain(c, result, ret);
}

void
http_outcome_timeout(const struct http_call *c, const char *what, int64_t ms, struct http_response *ret)
{
    struct slice url = shown_url(c->url);
    ret->request_sent = request_was_sent(c);
    err_set(&ret->error, ERR_TIMEOUT, "%s %.*s: %s %lld ms", c->method, SLICE_ARG(url), what, (long long)ms);
}

struct slice
http_response_header(const struct http_response *r, const char *name)
{
    struct curl_header *h;
    if (!r->call || curl_easy_header(r->call->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return slice_of(NULL, 0);
    if (h->amount > 1 && curl_easy_header(r->call->easy, name, h->amount - 1, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return slice_of(NULL, 0);
    return slice_of_string(h->value);
}
