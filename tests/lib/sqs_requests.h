/* sqs_requests: a good request of every operation of SQS's, to be spoilt by tests, and a server they are good for.
 *
 *     static struct sqs_requests r;
 *     if (!sqs_requests_start(&r))
 *         skip_because("../shared/data/sqs.errors.json is missing");
 *     for (size_t i = 0; i < N_SQS_REQUESTS; i++) {
 *         sqs_requests_take(&r, &SQS_REQUESTS[i]);
 *         assert_int_equal(sqs_requests_ask(&r), 200);
 *         ... r.tree is changed ...
 *         sqs_requests_ask(&r); // 200, or an error in r.error
 *     }
 *     sqs_requests_stop(&r); */
#ifndef FANOUT_TESTS_LIB_SQS_REQUESTS_H
#define FANOUT_TESTS_LIB_SQS_REQUESTS_H

#include <cjson/cJSON.h>

#include "lib/local.h"
#include "lib/sqs_call.h"

/* With every member but those that exclude each other. */
struct sqs_request {
    const char *operation, *text;
    const char *before, *before_text; /* what makes it good again, once it was done; it may fail */
    int pause_s;                      /* before that, and after it */
};

extern const struct sqs_request SQS_REQUESTS[];
extern const size_t N_SQS_REQUESTS;

/* Is it good in itself, but not for what is there? */
bool sqs_request_is_refused(const struct sqs_request *request);

/* Is it good in itself, but not for what is there? */
bool sqs_request_is_refused(const struct sqs_request *request);

struct sqs_requests {
    struct local_server server;
    struct aws_call aws;
    enum sqs_protocol protocol;
    const struct sqs_request *request;
    cJSON *tree;            /* the request as it is now */
    struct sqs_error error; /* of the last call */
    size_t n_calls, n_refused;

    cJSON *errors; /* private */
    char kept_handle[100], deleted_handle[100];
    bool is_spent; /* the last request was done */
};

/* Starts a server on a clock of its own, with its queues. False: what AWS's errors are is not known (../shared). */
bool sqs_requests_start(struct sqs_requests *r);
void sqs_requests_stop(struct sqs_requests *r);

/* Makes it the request, as it is. */
void sqs_requests_take(struct sqs_requests *r, const struct sqs_request *request);

/* Sends r->tree in r->protocol and returns the status. The test fails unless it is 200 or one of AWS's errors, whole.
 */
int sqs_requests_ask(struct sqs_requests *r);

/* Was an entry of the batch refused that was last answered? */
bool sqs_requests_has_failed_entry(const struct sqs_requests *r);

#endif
