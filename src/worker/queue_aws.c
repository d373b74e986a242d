#include "worker/queue.h"

#include <stdlib.h>

struct queue_aws {
    struct queue queue;
    struct aws_client *client;
};

static struct aws_client *
client_of(struct queue *q)
{
    return ((struct queue_aws *)q)->client;
}

static int
find(struct queue *q, const char *name, sqs_queue_fn *done, void *context, struct err *e)
{
    return sqs_get_queue_url(client_of(q), name, done, context, NULL, e);
}

static int
describe(struct queue *q, const char *url, sqs_queue_fn *done, void *context, struct err *e)
{
    return sqs_get_queue_attributes(client_of(q), url, done, context, NULL, e);
}

static int
receive(struct queue *q, const struct sqs_receive_options *options, sqs_receive_fn *done, void *context,
        struct aws_call **ret_call, struct err *e)
{
    struct sqs_receive_options o = *options;
    o.queue_url = q->url;
    return sqs_receive(client_of(q), &o, done, context, ret_call, e);
}

static void
cancel(struct queue *q, struct aws_call *call)
{
    (void)q;
    aws_cancel(call);
}

static int
delete_batch(struct queue *q, const struct slice *receipt_handles, size_t n, sqs_batch_fn *done, void *context,
             struct err *e)
{
    return sqs_delete_batch(client_of(q), q->url, receipt_handles, n, done, context, NULL, e);
}

static int
change_visibility(struct queue *q, const struct sqs_visibility *entries, size_t n, sqs_batch_fn *done, void *context,
                  struct err *e)
{
    return sqs_change_visibility_batch(client_of(q), q->url, entries, n, done, context, NULL, e);
}

static int
send_dead(struct queue *q, const struct sqs_send *entries, size_t n, sqs_batch_fn *done, void *context, struct err *e)
{
    return sqs_send_batch(client_of(q), q->dead_letter_url, entries, n, done, context, NULL, e);
}

static void
destroy(struct queue *q)
{
    aws_client_destroy(client_of(q));
    free(q->url);
    free(q->dead_letter_url);
    free(q);
}

static const struct queue_ops OPS = {.find = find,
                                     .describe = describe,
                                     .receive = receive,
                                     .cancel = cancel,
                                     .delete_batch = delete_batch,
                                     .change_visibility = change_visibility,
                                     .send_dead = send_dead,
                                     .destroy = destroy};

int
queue_aws_new(struct aws_client *client, struct queue **ret_queue, struct err *e)
{
    struct queue_aws *q = calloc(1, sizeof *q);
    if (!q)
        return err_no_memory(e);
    q->queue.ops = &OPS;
    q->client = client;
    *ret_queue = &q->queue;
    return 0;
}
