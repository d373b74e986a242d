/* queue: the calls a worker makes to its SQS queue, as a table that a test can put a simulation behind.
 *
 * Asynchronous: done is called once, later, from the loop, never before the call returned. A call that returns an error
 * never calls done. What is handed in is borrowed until the call returns. queue_aws_new makes the real one. Engine
 * thread only. */
#ifndef FANOUT_WORKER_QUEUE_H
#define FANOUT_WORKER_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "aws/sqs.h"
#include "base/err.h"
#include "base/slice.h"

struct queue;

struct queue_ops {
    int (*find)(struct queue *q, const char *name, sqs_queue_fn *done, void *context, struct err *e);
    int (*describe)(struct queue *q, const char *url, sqs_queue_fn *done, void *context, struct err *e);

    /* From the queue at q->url. *ret_call can be handed to cancel until done was called. */
    int (*receive)(struct queue *q, const struct sqs_receive_options *options, sqs_receive_fn *done, void *context,
                   struct aws_call **ret_call, struct err *e);
    void (*cancel)(struct queue *q, struct aws_call *call);

    /* n <= SQS_BATCH_MAX. */
    int (*delete_batch)(struct queue *q, const struct slice *receipt_handles, size_t n, sqs_batch_fn *done,
                        void *context, struct err *e);
    int (*change_visibility)(struct queue *q, const struct sqs_visibility *entries, size_t n, sqs_batch_fn *done,
                             void *context, struct err *e);

    /* To the queue at q->dead_letter_url. */
    int (*send_dead)(struct queue *q, const struct sqs_send *entries, size_t n, sqs_batch_fn *done, void *context,
                     struct err *e);

    /* Ends all calls without their done. */
    void (*destroy)(struct queue *q);
};

struct queue {
    const struct queue_ops *ops;
    char *url;                  /* NULL until it is known (discover.h) */
    char *dead_letter_url;      /* NULL: none */
    uint32_t max_receive_count; /* of its RedrivePolicy; 0: none that we know of */
};

/* Takes client: its calls end with the queue. */
int queue_aws_new(struct aws_client *client, struct queue **ret_queue, struct err *e);

#endif
