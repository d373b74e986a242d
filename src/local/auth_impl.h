/* auth_impl: what the files of local/auth share: auth_read.c (what a request says of its signature) and auth.c (whether
 * that is right). */
#ifndef FANOUT_LOCAL_AUTH_IMPL_H
#define FANOUT_LOCAL_AUTH_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sigv4.h"
#include "base/buf.h"
#include "base/digest.h"
#include "local/auth.h"
#include "local/auth_refusal.h"

#define AUTH_SIGNED_HEADERS_MAX 256 /* two kilobytes of S3 metadata are many */

struct local_auth {
    struct local_keys *keys;
    char *region;
    bool no_auth;
};

/* What is being verified, and the answer in the making. */
struct local_auth_check {
    struct local_auth *auth;
    const struct httpd_request *r;
    const char *service;
    struct local_key *key; /* whose signature it should be */
    enum local_auth_dialect dialect;
    bool presigned;
    struct buf authorization; /* the header, or the same made from the query */
    struct buf query;         /* what was signed of it */
    struct sigv4_authorization_parts parts;
    struct slice date; /* "20261120T060000Z" */
    int64_t expires_s; /* presigned */
    struct sigv4_header headers[AUTH_SIGNED_HEADERS_MAX];
    size_t n_headers;
    char body_hash[DIGEST_SHA256_HEX];
    struct slice payload_hash;
    struct local_auth_result *ret;
};

/* These return false, for the steps of a check to return. The second says it in AWS's own words, which say nothing of
 * the request. */
bool local_auth_refuse(struct local_auth_check *c, enum local_auth_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool local_auth_refuse_plainly(struct local_auth_check *c, enum local_auth_reason reason);

/* c->parts, date, query; of a presigned URL expires_s. */
bool local_auth_read(struct local_auth_check *c);

/* The headers that it says are signed, each with its value. */
bool local_auth_collect_headers(struct local_auth_check *c);

#endif
