#include "worker/publish_outlet.h"

static int
put(struct publish_outlet *o, const struct events_entry *entries, size_t n, events_put_fn *done, void *context,
    struct err *e)
{
    return events_put(((struct publish_aws *)o)->events, entries, n, done, context, NULL, e);
}

static int
find(struct publish_outlet *o, const char *queue, sqs_queue_fn *done, void *context, struct err *e)
{
    return sqs_get_queue_url(((struct publish_aws *)o)->sqs, queue, done, context, NULL, e);
}

static int
send(struct publish_outlet *o, const char *url, const struct sqs_send *entries, size_t n, sqs_batch_fn *done,
     void *context, struct err *e)
{
    return sqs_send_batch(((struct publish_aws *)o)->sqs, url, entries, n, done, context, NULL, e);
}

static const struct publish_outlet_ops OPS = {.put = put, .find = find, .send = send};

void
publish_aws_init(struct publish_aws *p, struct aws_client *events, struct aws_client *sqs)
{
    *p = (struct publish_aws){.outlet = {.ops = &OPS}, .events = events, .sqs = sqs};
}
