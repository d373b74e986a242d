/* aws_call: signed calls to fanout-local over one kept-alive socket, for tests and benches.
 *
 * A client apart from src/http and src/aws's, so that a mistake of theirs cannot hide one of the server's; it shares
 * the signature (aws/sigv4) alone. What fails here (no connection, no answer that is HTTP) is the caller's to see:
 * status 0. Not thread-safe: one caller a struct.
 *
 *     struct aws_call c;
 *     aws_call_init(&c, url);
 *     aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%s\"}", url, body);
 *     assert_int_equal(c.status, 200);
 *     aws_call_text(&c, "MessageId", id, sizeof id);
 *     aws_call_clean_up(&c); */
#ifndef FANOUT_TESTS_LIB_AWS_CALL_H
#define FANOUT_TESTS_LIB_AWS_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/sigv4.h"
#include "base/buf.h"
#include "base/json.h"

struct aws_call {
    char host[128]; /* "127.0.0.1:40123" */
    int fd;         /* -1: not connected */
    int timeout_ms; /* of an answer; 30,000 */

    /* How the next calls are signed. */
    const char *access_key_id, *secret_access_key, *region;
    const char *session_token; /* NULL: none */
    int64_t skew_ms;           /* added to the time of signing */
    bool unsigned_too;         /* send no Authorization at all */

    const char *plain_host;   /* the Host of aws_call_plain; NULL: host */
    const char *plain_header; /* "Origin: http://a", sent with aws_call_plain; NULL: none */

    struct sigv4_key key;
    struct buf request, answer;

    /* Of the last call. */
    int status;        /* 0: no answer */
    struct slice body; /* until the next call */
    struct json json;  /* of the body; JSON_NULL when it is none */
    char error[160];   /* x-amzn-query-error, up to the ';'; else the __type behind its '#'; "" */
    char message[600]; /* "message" of an error */
};

void aws_call_init(struct aws_call *c, const char *url);
void aws_call_clean_up(struct aws_call *c);

/* A call of SQS's JSON protocol; the body is a printf format. Returns the status. */
int aws_call_sqs(struct aws_call *c, const char *operation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int aws_call_sqs_body(struct aws_call *c, const char *operation, struct slice body);

/* A request of any service and any protocol. */
struct aws_call_request {
    const char *service, *method;
    const char *path;   /* escaped; begins with '/' */
    struct slice query; /* escaped */
    const char *type;   /* Content-Type; NULL: none */
    const char *target; /* X-Amz-Target; NULL: none */
    bool presigned;     /* in its query, for a minute */
    struct slice body;
};

/* Sends a request without waiting for its answer, which aws_call_finish then reads. False: the connection broke. */
bool aws_call_send(struct aws_call *c, const struct aws_call_request *request);
bool aws_call_begin(struct aws_call *c, const char *service, const char *target, struct slice body);
int aws_call_finish(struct aws_call *c);

/* An unsigned request of any method, for the admin path. */
int aws_call_plain(struct aws_call *c, const char *method, const char *path, const char *body);

/* A header of the last answer; empty: it has none. */
struct slice aws_call_header(const struct aws_call *c, const char *name);

/* The text at a path of the answer ("Messages.0.Body"), decoded; false (and "" in out) when there is no such. */
bool aws_call_text(const struct aws_call *c, const char *path, char *out, size_t size);
bool aws_call_at(const struct aws_call *c, const char *path, struct json *ret);
size_t aws_call_count(const struct aws_call *c, const char *path); /* members of the array or map there; 0: none */

#endif
