/* publish_outlet: the calls that publishing makes, as a table that a test can put a simulation behind.
 *
 * As queue.h has it: done is called once, later, from the loop, never before the call returned; a call that returns an
 * error never calls done; what is handed in is borrowed until the call returns. Engine thread only. */
#ifndef FANOUT_WORKER_PUBLISH_OUTLET_H
#define FANOUT_WORKER_PUBLISH_OUTLET_H

#include <stddef.h>

#include "aws/events.h"
#include "aws/sqs.h"
#include "base/err.h"

struct publish_outlet;

struct publish_outlet_ops {
    /* n <= EVENTS_BATCH_MAX. */
    int (*put)(struct publish_outlet *o, const struct events_entry *entries, size_t n, events_put_fn *done,
               void *context, struct err *e);

    int (*find)(struct publish_outlet *o, const char *queue, sqs_queue_fn *done, void *context, struct err *e);

    /* n <= SQS_BATCH_MAX. */
    int (*send)(struct publish_outlet *o, const char *url, const struct sqs_send *entries, size_t n, sqs_batch_fn *done,
                void *context, struct err *e);
};

struct publish_outlet {
    const struct publish_outlet_ops *ops;
};

/* The real one; both clients are borrowed. */
struct publish_aws {
    struct publish_outlet outlet;
    struct aws_client *events, *sqs;
};
void publish_aws_init(struct publish_aws *p, struct aws_client *events, struct aws_client *sqs);

#endif
