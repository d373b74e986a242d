/* requests: the last thousand requests, for who wants to know what a consumer really asked for.
 *
 *     GET /_fanout/requests      {"last": 17, "forgotten": 0, "requests": [{"number": 17,
 *                                 "time": "2026-11-20T06:00:00.123Z", "id": "…", "service": "sqs",
 *                                 "operation": "SendMessage", "resource": "orders", "status": 200, "error": "",
 *                                 "key": "worker", "duration_us": 412, "bytes_in": 203, "bytes_out": 118}]}
 *     DELETE /_fanout/requests   forgets them
 *
 * oldest first. status 0: the connection was closed without an answer. key: the name of the key pair, "" for the
 * command line's. Neither bodies nor headers are kept. Parameters, all of which must fit:
 *
 *     service, operation, resource, error, key    as they are shown
 *     status     200, or 4xx for all of 400 to 499
 *     after      those with a greater number: what came since an answer whose "last" was that
 *     limit      the newest so many (1 to 1000)
 *
 * Any thread. */
#ifndef FANOUT_LOCAL_REQUESTS_H
#define FANOUT_LOCAL_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define LOCAL_REQUESTS_MAX 1000

struct local_requests;

/* A request that is over. What is too long for its place is cut. */
struct local_request {
    const char *service, *id, *error, *key;
    struct slice operation, resource;
    int64_t at_ms; /* when it came, since 1970 */
    int64_t duration_us;
    int status;
    size_t bytes_in, bytes_out; /* of the bodies */
};

int local_requests_new(struct local_requests **ret_requests, struct err *e);
void local_requests_destroy(struct local_requests *q); /* NULL is fine */

void local_requests_note(struct local_requests *q, const struct local_request *r);
void local_requests_clear(struct local_requests *q); /* numbers go on */

/* query: of the URL. ERR_INVALID names the parameter. */
int local_requests_describe(struct local_requests *q, struct slice query, struct buf *out, struct err *e);

#endif
