/* internal: what aws.c (the client), call.c (one call and its attempts) and request.c (what is sent) share. Nobody else
 * includes it. */
#ifndef FANOUT_AWS_INTERNAL_H
#define FANOUT_AWS_INTERNAL_H

#include <sys/queue.h>

#include "aws/aws.h"
#include "aws/endpoint.h"
#include "aws/retry.h"
#include "aws/sigv4.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"

TAILQ_HEAD(aws_call_list, aws_call);

struct aws_client {
    struct http_engine *engine;
    struct creds_provider *credentials;
    enum aws_service service;
    struct endpoint endpoint;
    const char *host, *path_prefix; /* of endpoint.url; path_prefix: "" or "/..." */
    size_t scheme_n, host_n;        /* bytes of "https://" and of host[:port] */
    char host_header[300];          /* host[:port], without a port that goes without saying */
    char root_url[520];             /* of path "/", which is where most calls go */
    unsigned max_attempts;

    struct sigv4_key key;
    struct retry_bucket bucket;
    int64_t clock_offset_ms;
    struct buf authorization; /* scratch of the attempt that is being sent */
    struct aws_call_list calls, pool;
    size_t n_pooled;
    struct aws_stats stats;
};

enum call_state {
    CALL_NEW,
    CALL_ASKING,  /* for credentials */
    CALL_SENT,    /* an attempt is with the engine */
    CALL_WAITING, /* for the next attempt */
    CALL_ENDING,  /* failed; to be told when the timer fires */
    CALL_DELIVERING
};

struct aws_call {
    TAILQ_ENTRY(aws_call) link;
    struct aws_client *client;
    enum call_state state;
    bool abandoned;  /* cancelled while asking: the answer frees it */
    bool submitting; /* aws_submit has not returned */
    bool unstarted;  /* ... and will say that there was no memory */
    struct timer timer;
    struct arena arena; /* what the request needs, until the call is over */
    aws_done_fn *done;
    void *context;

    const char *operation, *method, *url, *host, *path, *query;
    struct http_header *headers; /* the caller's, then room for ours */
    size_t n_headers;
    struct sigv4_header *to_sign;
    struct slice body;
    char payload_hash[DIGEST_SHA256_HEX];
    char date[CLOCK_ISO8601_BYTES]; /* the present attempt was signed at */
    int64_t timeout_ms, stall_timeout_ms;
    size_t max_response_bytes;
    int (*on_data)(void *context, struct slice piece);
    void (*drop)(void *context);
    bool data_came; /* on_data was called: the call cannot start over */
    bool long_poll;

    struct http_call *http;
    struct creds *creds;     /* of the present attempt */
    struct creds *refused;   /* those the service refused, while others are asked for */
    int64_t clock_offset_ms; /* the present attempt was signed with */
    unsigned attempts, max_attempts, last_cost;
    bool clock_corrected, creds_renewed, maybe_executed;
    struct aws_error error; /* of the last attempt */
};

/* call.c */
struct aws_call *aws_call_take_pooled(struct aws_client *c); /* NULL: none */
void aws_call_free(struct aws_call *q);                      /* in no list, nothing of it under way */

/* request.c */
int aws_call_prepare(struct aws_call *q, const struct aws_request *request, struct err *e);

/* Signs the present attempt with q->creds, now: *ret_n_headers of q->headers are to be sent. */
int aws_call_sign(struct aws_call *q, size_t *ret_n_headers, struct err *e);

#endif
