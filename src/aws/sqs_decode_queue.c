/* sqs_decode_queue: where a queue is and how it is set up. */
#include "aws/sqs_decode.h"

#include <limits.h>

#include "aws/answer.h"

static int
int_number(const cJSON *object, const char *name, int *ret, struct err *e)
{
    int64_t n = *ret;
    int rc = answer_number(object, name, &n, e);
    if (rc == 0)
        *ret = n > INT_MAX ? INT_MAX : (int)n;
    return rc;
}

static const struct sqs_queue UNKNOWN_QUEUE = {.visibility_timeout_s = -1, .max_receive_count = -1};

int
sqs_decode_queue_url(struct sqs_decoded *d, struct slice answer, struct sqs_queue *ret, struct err *e)
{
    struct sqs_queue q = UNKNOWN_QUEUE;
    int rc = answer_parse(answer, &d->tree, e);
    if (rc == 0)
        rc = answer_string(d->tree, "QueueUrl", &q.url, e);
    if (rc == 0 && q.url.n == 0)
        rc = err_set(e, ERR_PROTOCOL, "there is no QueueUrl");
    if (rc == 0)
        *ret = q;
    return rc;
}

/* {"deadLetterTargetArn":"arn:...","maxReceiveCount":"10"}, the count as a string or a number. */
static int
decode_redrive_policy(struct sqs_decoded *d, const cJSON *attributes, struct sqs_queue *q, struct err *e)
{
    struct slice text, arn;
    cJSON *policy = NULL;
    int rc = answer_string(attributes, "RedrivePolicy", &text, e);
    if (rc != 0 || text.n == 0)
        return rc;
    rc = answer_parse(text, &policy, e);
    if (rc != 0)
        return err_set(e, ERR_PROTOCOL, "RedrivePolicy is no JSON object");
    const cJSON *count = cJSON_GetObjectItemCaseSensitive(policy, "maxReceiveCount");
    rc = answer_string(policy, "deadLetterTargetArn", &arn, e);
    if (rc == 0 && cJSON_IsNumber(count) && count->valuedouble >= 1 && count->valuedouble <= INT_MAX)
        q->max_receive_count = (int)count->valuedouble;
    else if (rc == 0)
        rc = int_number(policy, "maxReceiveCount", &q->max_receive_count, e);
    if (rc == 0 && arn.n > 0) {
        q->dead_letter_arn = slice_of(arena_strdup_slice(&d->arena, arn), arn.n);
        rc = q->dead_letter_arn.p ? 0 : err_no_memory(e);
    }
    cJSON_Delete(policy);
    return rc;
}

int
sqs_decode_queue_attributes(struct sqs_decoded *d, struct slice answer, struct sqs_queue *ret, struct err *e)
{
    struct sqs_queue q = UNKNOWN_QUEUE;
    const cJSON *attributes;
    struct slice fifo;
    int rc = answer_parse(answer, &d->tree, e);
    if (rc == 0)
        rc = answer_object(d->tree, "Attributes", &attributes, e);
    if (rc == 0)
        rc = int_number(attributes, "VisibilityTimeout", &q.visibility_timeout_s, e);
    if (rc == 0)
        rc = answer_number(attributes, "ApproximateNumberOfMessages", &q.messages, e);
    if (rc == 0)
        rc = answer_number(attributes, "ApproximateNumberOfMessagesNotVisible", &q.in_flight, e);
    if (rc == 0)
        rc = answer_number(attributes, "ApproximateNumberOfMessagesDelayed", &q.delayed, e);
    if (rc == 0)
        rc = answer_string(attributes, "FifoQueue", &fifo, e);
    if (rc == 0)
        rc = answer_string(attributes, "QueueArn", &q.arn, e);
    if (rc == 0)
        rc = decode_redrive_policy(d, attributes, &q, e);
    if (rc != 0)
        return rc;
    q.fifo = slice_equals_string(fifo, "true");
    *ret = q;
    return 0;
}
