#include "aws/sqs.h"

#include <stdlib.h>
#include <string.h>

#include "aws/answer.h"
#include "aws/sqs_decode.h"
#include "aws/sqs_encode.h"
#include "aws/sqs_md5.h"
#include "base/utf8.h"

#define WAIT_MAX_S      20
#define DELAY_MAX_S     900
#define POLL_MARGIN_MS  10000
#define POLL_LONGEST_MS 120000 /* of an answer on its way: ten messages of 1 MiB at 0.7 Mbit/s */
#define SEND_TIMEOUT_MS 30000

/* A call on its way. */
struct call {
    const char *operation;
    struct buf body; /* the request's */
    union {
        sqs_receive_fn *receive;
        sqs_batch_fn *batch;
        sqs_queue_fn *queue;
    } done;
    void *context;
    size_t n;                                   /* messages or entries asked for */
    struct sqs_decode_sent sent[SQS_BATCH_MAX]; /* sends only */
};

static void
destroy(void *p)
{
    struct call *call = p;
    buf_clean_up(&call->body);
    free(call);
}

static struct call *
new_call(const char *operation, size_t n, void *context)
{
    struct call *call = malloc(sizeof *call);
    if (call)
        *call = (struct call){.operation = operation, .n = n, .context = context};
    return call;
}

/* Takes call, whose body is written. */
static int
submit(struct aws_client *c, struct call *call, struct aws_request *request, aws_done_fn *done,
       struct aws_call **ret_call, struct err *e)
{
    request->operation = call->operation;
    request->body = buf_slice(&call->body);
    request->body_borrowed = true;
    request->drop = destroy;
    int rc = buf_failed(&call->body) ? err_no_memory(e) : aws_submit(c, request, done, call, ret_call, e);
    if (rc != 0)
        destroy(call);
    return rc;
}

static int
check_queue(const char *operation, const char *queue_url, struct err *e)
{
    return queue_url && *queue_url ? 0 : err_set(e, ERR_INVALID, "%s: the queue's URL is empty", operation);
}

static int
check_entries(const char *operation, const char *queue_url, size_t n, struct err *e)
{
    if (n < 1 || n > SQS_BATCH_MAX)
        return err_set(e, ERR_INVALID, "%s: %zu entries, 1 to %d are allowed", operation, n, SQS_BATCH_MAX);
    return check_queue(operation, queue_url, e);
}

/* ---- receive --------------------------------------------------------------------------------------------------- */

static void
receive_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct sqs_received received = {.error = response->error};
    struct aws_error garbled;
    struct sqs_decoded d;
    struct err e;
    sqs_decode_init(&d);
    if (!response->error && sqs_decode_receive(&d, response->body, call->n, &received, &e) != 0) {
        answer_garbled(call->operation, response, &e, &garbled);
        received = (struct sqs_received){.error = &garbled};
    }
    received.age_ms = response->http ? response->http->age_ms : 0;
    call->done.receive(call->context, &received);
    sqs_decode_clean_up(&d);
    destroy(call);
}

int
sqs_receive(struct aws_client *c, const struct sqs_receive_options *options, sqs_receive_fn *done, void *context,
            struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "ReceiveMessage";
    int rc = check_queue(operation, options->queue_url, e);
    if (rc != 0)
        return rc;
    if (options->max_messages < 1 || options->max_messages > SQS_BATCH_MAX || options->wait_time_s > WAIT_MAX_S ||
        options->visibility_timeout_s > SQS_VISIBILITY_MAX_S)
        return err_set(e, ERR_INVALID,
                       "%s: %u messages, a wait of %u s and a visibility timeout of %d s: 1 to %d, at most %d s and at "
                       "most %d s are allowed",
                       operation, options->max_messages, options->wait_time_s, options->visibility_timeout_s,
                       SQS_BATCH_MAX, WAIT_MAX_S, SQS_VISIBILITY_MAX_S);
    struct call *call = new_call(operation, options->max_messages, context);
    if (!call)
        return err_no_memory(e);
    call->done.receive = done;
    sqs_encode_receive(&call->body, options);
    /* What is given up on its way stays invisible for its visibility timeout, a receive count the poorer: as long as
     * bytes come it is waited for. */
    int64_t wait_ms = options->wait_time_s * INT64_C(1000);
    bool given = options->timeout_ms > 0;
    struct aws_request request = {.timeout_ms = given ? options->timeout_ms : wait_ms + POLL_LONGEST_MS,
                                  .stall_timeout_ms = given ? 0 : wait_ms + POLL_MARGIN_MS,
                                  .long_poll = options->wait_time_s > 0};
    return submit(c, call, &request, receive_done, ret_call, e);
}

/* ---- batches --------------------------------------------------------------------------------------------------- */

static void
finish_batch(struct call *call, const struct aws_response *response, int rc, const struct err *e,
             struct sqs_batch_result *result)
{
    struct aws_error garbled;
    if (response->error) {
        *result = (struct sqs_batch_result){.error = response->error};
    } else if (rc != 0) {
        answer_garbled(call->operation, response, e, &garbled);
        *result = (struct sqs_batch_result){.error = &garbled};
    }
    result->elapsed_ms = response->http ? response->http->elapsed_ms : 0;
    call->done.batch(call->context, result);
    destroy(call);
}

static void
batch_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct sqs_batch_result result;
    struct sqs_decoded d;
    struct err e = {0};
    int rc = 0;
    sqs_decode_init(&d);
    if (!response->error)
        rc = sqs_decode_batch(&d, response->body, call->n, call->sent, &result, &e);
    finish_batch(call, response, rc, &e, &result);
    sqs_decode_clean_up(&d);
}

static void
send_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct sqs_batch_result result;
    struct sqs_decoded d;
    struct err e = {0};
    int rc = 0;
    sqs_decode_init(&d);
    if (!response->error)
        rc = sqs_decode_send(&d, response->body, call->sent, &result, &e);
    finish_batch(call, response, rc, &e, &result);
    sqs_decode_clean_up(&d);
}

int
sqs_delete_batch(struct aws_client *c, const char *queue_url, const struct slice *receipt_handles, size_t n,
                 sqs_batch_fn *done, void *context, struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "DeleteMessageBatch";
    int rc = check_entries(operation, queue_url, n, e);
    if (rc != 0)
        return rc;
    struct call *call = new_call(operation, n, context);
    if (!call)
        return err_no_memory(e);
    call->done.batch = done;
    sqs_encode_delete_batch(&call->body, queue_url, receipt_handles, n);
    return submit(c, call, &(struct aws_request){0}, batch_done, ret_call, e);
}

int
sqs_change_visibility_batch(struct aws_client *c, const char *queue_url, const struct sqs_visibility *entries, size_t n,
                            sqs_batch_fn *done, void *context, struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "ChangeMessageVisibilityBatch";
    int rc = check_entries(operation, queue_url, n, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (entries[i].timeout_s > SQS_VISIBILITY_MAX_S)
            rc = err_set(e, ERR_INVALID, "%s: a visibility timeout of %u s, at most %d s is allowed", operation,
                         entries[i].timeout_s, SQS_VISIBILITY_MAX_S);
    if (rc != 0)
        return rc;
    struct call *call = new_call(operation, n, context);
    if (!call)
        return err_no_memory(e);
    call->done.batch = done;
    sqs_encode_change_visibility_batch(&call->body, queue_url, entries, n);
    return submit(c, call, &(struct aws_request){0}, batch_done, ret_call, e);
}

static int
check_message(const char *operation, const struct sqs_send *m, struct err *e)
{
    return m->delay_s <= DELAY_MAX_S ? 0
                                     : err_set(e, ERR_INVALID, "%s: a delay of %d s, at most %d s is allowed",
                                               operation, m->delay_s, DELAY_MAX_S);
}

static bool
is_utf8(struct slice text)
{
    const char *p = text.p, *end = p + text.n;
    while (p < end) {
        uint64_t eight;
        if (end - p >= (ptrdiff_t)sizeof eight) {
            memcpy(&eight, p, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) { /* ASCII, as most is */
                p += sizeof eight;
                continue;
            }
        }
        size_t n = utf8_length(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

static bool
are_utf8(const struct sqs_attribute *attributes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_utf8(attributes[i].name) || !is_utf8(attributes[i].type) ||
            (!slice_starts_with(attributes[i].type, SLICE("Binary")) && !is_utf8(attributes[i].value)))
            return false;
    return true;
}

/* Notes what SQS's answer must confirm. What is no UTF-8 is sent with replacements (as JSON has it), so that its MD5
 * would differ at every try: that is not compared. */
static int
note_digests(const struct sqs_send *m, struct sqs_decode_sent *sent, struct err *e)
{
    if (is_utf8(m->body))
        digest_md5_hex(m->body.p, m->body.n, sent->body);
    if (m->n_attributes > 0 && are_utf8(m->attributes, m->n_attributes) &&
        sqs_md5_attributes(m->attributes, m->n_attributes, sent->attributes) != 0)
        return err_no_memory(e);
    return 0;
}

int
sqs_send_batch(struct aws_client *c, const char *queue_url, const struct sqs_send *entries, size_t n,
               sqs_batch_fn *done, void *context, struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "SendMessageBatch";
    int rc = check_entries(operation, queue_url, n, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = check_message(operation, &entries[i], e);
    if (rc != 0)
        return rc;
    struct call *call = new_call(operation, n, context);
    if (!call)
        return err_no_memory(e);
    call->done.batch = done;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = note_digests(&entries[i], &call->sent[i], e);
    if (rc != 0) {
        destroy(call);
        return rc;
    }
    sqs_encode_send_batch(&call->body, queue_url, entries, n);
    return submit(c, call, &(struct aws_request){.timeout_ms = SEND_TIMEOUT_MS}, batch_done, ret_call, e);
}

int
sqs_send(struct aws_client *c, const char *queue_url, const struct sqs_send *message, sqs_batch_fn *done, void *context,
         struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "SendMessage";
    int rc = check_queue(operation, queue_url, e);
    if (rc == 0)
        rc = check_message(operation, message, e);
    if (rc != 0)
        return rc;
    struct call *call = new_call(operation, 1, context);
    if (!call)
        return err_no_memory(e);
    call->done.batch = done;
    rc = note_digests(message, &call->sent[0], e);
    if (rc != 0) {
        destroy(call);
        return rc;
    }
    sqs_encode_send(&call->body, queue_url, message);
    return submit(c, call, &(struct aws_request){.timeout_ms = SEND_TIMEOUT_MS}, send_done, ret_call, e);
}

/* ---- queues ---------------------------------------------------------------------------------------------------- */

typedef int decode_queue_fn(struct sqs_decoded *d, struct slice answer, struct sqs_queue *ret, struct err *e);

static void
finish_queue(struct call *call, const struct aws_response *response, decode_queue_fn *decode)
{
    struct sqs_queue queue = {.error = response->error};
    struct aws_error garbled;
    struct sqs_decoded d;
    struct err e;
    sqs_decode_init(&d);
    if (!response->error && decode(&d, response->body, &queue, &e) != 0) {
        answer_garbled(call->operation, response, &e, &garbled);
        queue = (struct sqs_queue){.error = &garbled};
    }
    call->done.queue(call->context, &queue);
    sqs_decode_clean_up(&d);
    destroy(call);
}

static void
queue_url_done(void *context, const struct aws_response *response)
{
    finish_queue(context, response, sqs_decode_queue_url);
}

static void
queue_attributes_done(void *context, const struct aws_response *response)
{
    finish_queue(context, response, sqs_decode_queue_attributes);
}

int
sqs_get_queue_url(struct aws_client *c, const char *name, sqs_queue_fn *done, void *context, struct aws_call **ret_call,
                  struct err *e)
{
    static const char operation[] = "GetQueueUrl";
    if (!name || !*name)
        return err_set(e, ERR_INVALID, "%s: the queue's name is empty", operation);
    struct call *call = new_call(operation, 0, context);
    if (!call)
        return err_no_memory(e);
    call->done.queue = done;
    sqs_encode_get_queue_url(&call->body, name);
    return submit(c, call, &(struct aws_request){0}, queue_url_done, ret_call, e);
}

int
sqs_get_queue_attributes(struct aws_client *c, const char *queue_url, sqs_queue_fn *done, void *context,
                         struct aws_call **ret_call, struct err *e)
{
    static const char operation[] = "GetQueueAttributes";
    int rc = check_queue(operation, queue_url, e);
    if (rc != 0)
        return rc;
    struct call *call = new_call(operation, 0, context);
    if (!call)
        return err_no_memory(e);
    call->done.queue = done;
    sqs_encode_get_queue_attributes(&call->body, queue_url);
    return submit(c, call, &(struct aws_request){0}, queue_attributes_done, ret_call, e);
}
