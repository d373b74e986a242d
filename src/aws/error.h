/* error: what an AWS service's error answer says, in all the forms they come in.
 *
 * JSON services: {"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"..."}, with the older code in the header
 * x-amzn-query-error ("AWS.SimpleQueueService.NonExistentQueue;Sender"), which wins, because that is the code people
 * know (FACTS.md, 1). S3 and the Query protocol: XML. HEAD and proxies: nothing but a status. Pure: no I/O. */
#ifndef FANOUT_AWS_ERROR_H
#define FANOUT_AWS_ERROR_H

#include "aws/aws.h"
#include "base/slice.h"
#include "http/http.h"

/* An answer, taken apart. */
struct aws_error_answer {
    int status;
    struct slice body;
    struct slice query_error; /* x-amzn-query-error; empty: none */
    struct slice error_type;  /* x-amzn-errortype; empty: none */
    struct slice request_id;  /* x-amzn-requestid or x-amz-request-id; empty: the body's, if it has one */
};

/* Fills *ret_error from an answer that is no success. Never fails: what makes no sense leaves code as the status
 * ("404"). Bytes of the answer that are no printable text come out as '?'. */
void aws_error_decode(const char *operation, const struct aws_error_answer *answer, struct aws_error *ret_error);

/* As above, from the answer itself; and from a call that got none (r->error.code is set). */
void aws_error_from_response(const char *operation, const struct http_response *r, struct aws_error *ret_error);

/* For a 2xx answer whose body makes no sense: ERR_PROTOCOL, code "garbled"; the call was executed. what says what is
 * wrong ("Messages is no array"). */
void aws_error_garbled(const char *operation, const struct http_response *r, const char *what,
                       struct aws_error *ret_error);

/* For a failure of ours (no credentials, no memory): code is one of our own, err is copied behind the operation. */
void aws_error_local(const char *operation, const char *code, const struct err *err, struct aws_error *ret_error);

#endif
