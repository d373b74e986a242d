/* aws: one signed, retried call to an AWS service.
 *
 * The part that all services share: where the service is (endpoint.h), who we are (creds.h), the signature (sigv4.h),
 * what to do when it fails (retry.h). A struct aws_client is one service in one region; the files sqs, s3, events and
 * dynamodb put typed calls on top. Engine thread only. */
#ifndef FANOUT_AWS_H
#define FANOUT_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/creds.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/http.h"

enum aws_service { AWS_SQS, AWS_S3, AWS_EVENTBRIDGE, AWS_STS, AWS_DYNAMODB };

struct aws_client;

struct aws_client_options {
    struct http_engine *engine;         /* borrowed */
    struct creds_provider *credentials; /* borrowed */
    enum aws_service service;
    const char *region;       /* NULL or "": AWS_REGION, AWS_DEFAULT_REGION, the profile's; or an error */
    const char *profile;      /* NULL or "": AWS_PROFILE, else "default" */
    const char *endpoint_url; /* NULL or "": AWS_ENDPOINT_URL_SERVICE, AWS_ENDPOINT_URL, the profile's
                                 endpoint_url, else AWS's own */
    unsigned max_attempts;    /* 0: 3 */
};

int aws_client_new(const struct aws_client_options *options, struct aws_client **ret_client, struct err *e);

/* Calls in progress end without their callbacks. Before the engine and the credentials are destroyed; not from a
 * callback of one of its calls. */
void aws_client_destroy(struct aws_client *c);

const char *aws_client_region(const struct aws_client *c);
const char *aws_client_endpoint(const struct aws_client *c); /* "http://127.0.0.1:4566", no slash at the end */
bool aws_client_is_custom(const struct aws_client *c);       /* the endpoint is not AWS's own: S3 goes by path */

/* Why a call failed. code is AWS's own ("AWS.SimpleQueueService.NonExistentQueue", "ThrottlingException"), the status
 * ("404") when the answer held none, or one of ours in lower case when there was no answer, or none that makes sense:
 * "connection", "timeout", "tls", "truncated", "limit", "protocol", "cancelled", "garbled", "credentials",
 * "internal". */
struct aws_error {
    struct err err; /* err.code, retryable, a line with code, message, status and request id */
    char code[128];
    char message[256];
    char request_id[80];
    int status; /* 0: no answer */
    bool throttled;
    bool maybe_executed; /* an attempt left and its outcome is unknown: no complete answer, or a 5xx that is no
                            throttling */
};

/* True when the service knows who we are and does not let us: what is missing is a permission (an IAM or queue policy),
 * not other credentials. */
bool aws_error_is_missing_permission(const struct aws_error *e);

struct aws_call;

struct aws_request {
    const char *operation;             /* "ReceiveMessage": for errors and the JSON protocols' target */
    const char *method;                /* NULL: "POST" */
    const char *host_prefix;           /* put before the endpoint's host: "bucket."; NULL: none */
    const char *path;                  /* percent-encoded; NULL: "/" */
    const char *query;                 /* percent-encoded, without '?'; NULL: none */
    const struct http_header *headers; /* besides those the client adds: host, x-amz-date, x-amz-security-token,
                                          authorization; JSON services: content-type, x-amz-target and SQS's
                                          x-amzn-query-mode; S3: x-amz-content-sha256 */
    size_t n_headers;
    struct slice body;        /* taken over as a copy unless body_borrowed */
    bool body_borrowed;       /* body stays valid until the call is over: not copied */
    int64_t timeout_ms;       /* of one attempt; 0: 10,000 */
    int64_t stall_timeout_ms; /* as http_request's, of one attempt; 0: timeout_ms alone */
    unsigned max_attempts;    /* 0: the client's; 1: never retried here */
    bool long_poll;           /* an empty retry bucket sleeps the backoff before failing (FACTS.md, 6) */
    size_t max_response_bytes;
    int (*on_data)(void *context, struct slice piece); /* as http_request's; with the context of aws_submit.
                                                          Once it was called, nothing is retried */
    void (*drop)(void *context); /* frees the context of aws_submit when the call ends without done: aws_cancel
                                    (before it returns, also inside on_data) and aws_client_destroy. NULL:
                                    nothing to free. Not called when aws_submit fails */
};

struct aws_response {
    const struct aws_error *error; /* NULL: a 2xx answer */
    int status;
    struct slice body;
    unsigned attempts;
    const struct http_response *http; /* of the last attempt, for headers; NULL when there is none at hand */
};
typedef void aws_done_fn(void *context, const struct aws_response *response);

/* Signs, sends, retries; done is called once from http_engine_run (never before aws_submit returns), unless cancelled.
 * *ret_call (may be NULL) is valid until done returns; cancelling inside done does nothing. Fails only for a request
 * that makes no sense and for want of memory.
 *
 * Not counted as attempts, and at most once each in a call: trying again with a corrected clock after a skew error, and
 * with new credentials after the old ones were refused. */
int aws_submit(struct aws_client *c, const struct aws_request *request, aws_done_fn *done, void *context,
               struct aws_call **ret_call, struct err *e);
void aws_cancel(struct aws_call *call);

/* Counters of a client. */
struct aws_stats {
    uint64_t calls, attempts, retries, throttled, failed, clock_corrections;
    int64_t clock_offset_ms; /* what is added to our clock when signing, after a skew error */
};
void aws_client_stats(const struct aws_client *c, struct aws_stats *ret_stats);

#endif
