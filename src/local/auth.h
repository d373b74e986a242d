/* auth: is a request signed by one of the key pairs (keys.h), and if not, what does AWS say?
 *
 * Signature version 4 in the Authorization header or in the query (a presigned URL), with the session token of a pair
 * that has one; at most 15 minutes old or early (EventBridge: 5). Each protocol has its own words
 * for the same refusal, so the answer comes ready with status and code for the service asked for. Any thread. */
#ifndef FANOUT_LOCAL_AUTH_H
#define FANOUT_LOCAL_AUTH_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "httpd/httpd.h"
#include "local/keys.h"

struct local_auth;

struct local_auth_options {
    const char *access_key_id, *secret_access_key, *session_token; /* as in struct local_keys_options */
    const char *credentials;                                       /* file; NULL: none */
    const char *region;
    bool no_auth; /* everybody is let in, unsigned or not; the pairs above are for nothing */
};

int local_auth_new(const struct local_auth_options *options, struct local_auth **ret_auth, struct err *e);
void local_auth_destroy(struct local_auth *a); /* wipes the secrets; NULL is fine */

/* Reads the file of key pairs again, and says how many pairs there are. On failure those of before stay. */
int local_auth_reload(struct local_auth *a, size_t *ret_n, struct err *e);

struct local_auth_result {
    struct local_key *key;     /* whose access key id it names; a reference, the caller's to release; NULL: nobody's */
    struct slice payload_hash; /* x-amz-content-sha256 as signed; found right when it is a digest; empty: none sent */
    int64_t signed_at_ms;      /* since 1970 */
    char signature[65];
    int status; /* 0: the request is ours to serve; otherwise the refusal: */
    const char *code;
    char message[320];
};

/* service: "sqs", "events" or "s3", as the credential's scope must say. */
void local_auth_verify(struct local_auth *a, const struct httpd_request *r, const char *service,
                       struct local_auth_result *ret);

/* Signs text by the pair's key of that day, as requests to service are signed: 64 hex digits and a NUL. ERR_NO_MEMORY.
 */
int local_auth_sign(struct local_auth *a, struct local_key *key, const char *service, int64_t at_ms, struct slice text,
                    char out[65]);

#endif
