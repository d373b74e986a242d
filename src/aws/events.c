#include "aws/events.h"

#include <stdlib.h>

#include "aws/answer.h"
#include "aws/events_message.h"

#define OPERATION  "PutEvents"
#define TIMEOUT_MS 30000

/* A call on its way. */
struct call {
    struct buf body; /* the request's */
    events_put_fn *done;
    void *context;
    size_t n;
};

static void
destroy(void *p)
{
    struct call *call = p;
    buf_clean_up(&call->body);
    free(call);
}

static void
put_done(void *context, const struct aws_response *response)
{
    struct call *call = context;
    struct events_result results[EVENTS_BATCH_MAX];
    struct events_put_result result = {.error = response->error};
    struct aws_error garbled;
    struct err e;
    if (!response->error) {
        if (events_message_decode(response->body, call->n, results, &result.failed, &e) == 0) {
            result.results = results;
            result.n = call->n;
        } else {
            answer_garbled(OPERATION, response, &e, &garbled);
            result.error = &garbled;
        }
    }
    call->done(call->context, &result);
    destroy(call);
}

int
events_put(struct aws_client *c, const struct events_entry *entries, size_t n, events_put_fn *done, void *context,
           struct aws_call **ret_call, struct err *e)
{
    if (n < 1 || n > EVENTS_BATCH_MAX)
        return err_set(e, ERR_INVALID, OPERATION ": %zu entries, 1 to %d are allowed", n, EVENTS_BATCH_MAX);
    struct call *call = malloc(sizeof *call);
    if (!call)
        return err_no_memory(e);
    *call = (struct call){.done = done, .context = context, .n = n};
    events_message_encode(&call->body, entries, n);
    const struct aws_request request = {.operation = OPERATION,
                                        .body = buf_slice(&call->body),
                                        .body_borrowed = true,
                                        .timeout_ms = TIMEOUT_MS,
                                        .drop = destroy};
    int rc = buf_failed(&call->body) ? err_no_memory(e) : aws_submit(c, &request, put_done, call, ret_call, e);
    if (rc != 0)
        destroy(call);
    return rc;
}
