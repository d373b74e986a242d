/* sigv4: AWS Signature Version 4, for signing requests and for verifying them.
 *
 * Written by hand over OpenSSL's HMAC, because libcurl's own signer (7.88) neither canonicalises the query nor encodes
 * the path (FACTS.md, 7). Pure: no clock, no I/O, no globals. The client signs with it and fanout-local verifies with
 * it; the test suite is AWS's own (aws-c-auth). */
#ifndef FANOUT_AWS_SIGV4_H
#define FANOUT_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct sigv4_header {
    struct slice name;  /* any case */
    struct slice value; /* untrimmed; may hold folded lines */
};

struct sigv4_credentials {
    struct slice access_key_id;
    struct slice secret_access_key;
    struct slice session_token; /* empty: none */
};

/* A request as it goes over the wire. */
struct sigv4_request {
    struct slice method;
    struct slice path;                  /* as sent, percent-encoded, without the query; empty means "/" */
    struct slice query;                 /* as sent, without '?' */
    const struct sigv4_header *headers; /* exactly those that are signed, in the order sent; must include host. The
                                           caller leaves out those of which sigv4_header_is_signed is false. */
    size_t n_headers;
    struct slice payload_hash; /* lower-case hex SHA-256, or "UNSIGNED-PAYLOAD", "STREAMING-..." */
};

struct sigv4_scope {
    struct slice region;    /* "us-east-1" */
    struct slice service;   /* "sqs" */
    int64_t wall_ms;        /* time of signing */
    bool normalize_path;    /* remove dot segments and double slashes (not for S3) */
    bool encode_path_twice; /* encode the encoded path again (not for S3) */
};

#define SIGV4_ORIGIN_BYTES 224 /* for longer ones no key is kept: no real region, service and secret are that long */

/* The derived key of a day, region, service and secret: kept between calls so that four HMACs are saved each time.
 * Zero it to begin; wipe it with sigv4_key_clean_up. Owned by one thread. */
struct sigv4_key {
    uint8_t key[32];
    uint8_t origin[SIGV4_ORIGIN_BYTES]; /* what key was derived from; all zero: none */
};
void sigv4_key_clean_up(struct sigv4_key *key);

/* False for the headers that proxies and clients change on the way (FACTS.md, 4), and for authorization itself. */
bool sigv4_header_is_signed(struct slice name);

/* Percent-encodes all but RFC 3986's unreserved characters, as the canonical query does. */
void sigv4_encode(struct buf *out, struct slice text);

/* The intermediate texts, for tests and for error messages that show what was signed. All functions here append to
 * their bufs and leave them as they were on failure. signed_headers ("host;x-amz-date") may be NULL. ERR_INVALID: no
 * host header. Whatever else is odd in path or query has a canonical form: what looks like an escape and is none is
 * text ("%zz" is %25zz), a key without '=' gets one, empty parameters are passed over, '+' is a plus and no space. */
int sigv4_canonical_request(const struct sigv4_request *request, const struct sigv4_scope *scope, struct buf *out,
                            struct buf *signed_headers, struct err *e);
void sigv4_string_to_sign(const struct sigv4_scope *scope, struct slice canonical_request, struct buf *out);

/* Signs with headers: writes the value of the Authorization header. The request's headers must hold host and x-amz-date
 * (clock_format_basic of scope->wall_ms), and x-amz-security-token when there is a session token: ERR_INVALID if not.
 * key: the cache, or NULL. */
int sigv4_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope,
                        const struct sigv4_credentials *credentials, struct sigv4_key *key, struct buf *out,
                        struct err *e);

/* Signs with the query (a presigned URL): writes the whole query string, X-Amz-Signature last. The session token is
 * signed unless token_after, which appends it unsigned. ERR_INVALID: expires_s is not 1 to 604,800 (a week). */
int sigv4_presign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                  const struct sigv4_credentials *credentials, int64_t expires_s, bool token_after, struct buf *out,
                  struct err *e);

/* The signature alone, 64 hex digits and a NUL; what verifying compares. key: the cache, or NULL. Returns 0, or
 * ERR_NO_MEMORY with "" in out, which equals no signature. */
int sigv4_signature(const struct sigv4_scope *scope, struct slice secret_access_key, struct slice string_to_sign,
                    struct sigv4_key *key, char out[65]);

/* An Authorization header taken apart (slices into it): ERR_INVALID when it is no AWS4-HMAC-SHA256 header, or any part
 * is missing, unknown, there twice or malformed. Everything in it is the client's word: date may differ from the
 * request's x-amz-date. */
struct sigv4_authorization_parts {
    struct slice access_key_id, date, region, service; /* of Credential=AKID/20261120/us-east-1/sqs/aws4_request */
    struct slice signed_headers;                       /* "host;x-amz-date" */
    struct slice signature;
};
int sigv4_parse_authorization(struct slice header, struct sigv4_authorization_parts *ret_parts, struct err *e);

#endif
