/* sqs: the Amazon SQS calls a consumer needs, over JSON 1.0.
 *
 * Each call is asynchronous: the callback gets either an error or a result, both valid during the callback. MD5s of
 * bodies are verified: a message whose MD5 does not match is left out of the result and counted in `corrupt`, as if it
 * had not been received; one that makes no sense (no receipt handle, a receive count that is no number) costs itself
 * alone, too, and is counted in `garbled`. Engine thread only. */
#ifndef FANOUT_AWS_SQS_H
#define FANOUT_AWS_SQS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/slice.h"

#define SQS_BATCH_MAX         10
#define SQS_VISIBILITY_MAX_S  43200
#define SQS_MESSAGE_BYTES_MAX 1048576 /* of a message, and of all of a batch, attributes included */

struct sqs_attribute {              /* a message attribute, or a system attribute with type "" */
    struct slice name, type, value; /* value: raw bytes of Binary, text otherwise */
};

struct sqs_message {
    struct slice id, receipt_handle, body;
    struct slice md5_of_body;                      /* hex */
    unsigned receive_count;                        /* ApproximateReceiveCount; 1 when absent */
    int64_t sent_at_ms;                            /* SentTimestamp; 0 when absent */
    struct slice group, dedup_id, sequence_number; /* as all slices from here on: empty when absent */
    struct slice dead_letter_source_arn;
    struct slice trace_header; /* AWSTraceHeader */
    struct slice sender_id;
    int64_t first_received_at_ms;           /* ApproximateFirstReceiveTimestamp; 0 when absent */
    const struct sqs_attribute *attributes; /* message attributes */
    size_t n_attributes;
    bool behind_damaged; /* one that was left out stood before it in the answer, of its group as far as one can tell */
};

struct sqs_receive_options {
    const char *queue_url;
    unsigned max_messages;    /* 1..10 */
    unsigned wait_time_s;     /* 0..20 */
    int visibility_timeout_s; /* negative: the queue's own */
    const char *attempt_id;   /* ReceiveRequestAttemptId; NULL: none */
    bool all_attributes; /* all system attributes; otherwise receive_count, sent_at_ms, first_received_at_ms, group and
                          trace_header */
    int64_t timeout_ms;  /* 0: wait_time_s + 10 s without a byte, + 120 s in all */
};
struct sqs_received {
    const struct aws_error *error; /* NULL: success */
    const struct sqs_message *messages;
    size_t n_messages;
    size_t corrupt;         /* messages left out because of their MD5 */
    size_t garbled;         /* ... because they make no sense */
    const char *garbled_as; /* what is wrong with the first of those, and its id if it has one; "" for want of memory */
    int64_t age_ms; /* since the answer began to come: their visibility timeouts count from then, at the latest */
};
typedef void sqs_receive_fn(void *context, const struct sqs_received *r);
int sqs_receive(struct aws_client *c, const struct sqs_receive_options *options, sqs_receive_fn *done, void *context,
                struct aws_call **ret_call, struct err *e);

/* One entry's outcome in a batch call; results[i] belongs to entry i. */
struct sqs_result {
    bool ok;
    bool sender_fault;
    char code[96]; /* "" when ok; "missing" when the answer did not mention the entry */
    char message[160];
    char message_id[128]; /* sends only */
};
struct sqs_batch_result {
    const struct aws_error *error; /* the whole call failed; results is NULL */
    const struct sqs_result *results;
    size_t n;
    int64_t elapsed_ms; /* since the attempt that was answered left; those before it failed */
};
typedef void sqs_batch_fn(void *context, const struct sqs_batch_result *r);

/* n <= SQS_BATCH_MAX; entry ids are the positions. */
int sqs_delete_batch(struct aws_client *c, const char *queue_url, const struct slice *receipt_handles, size_t n,
                     sqs_batch_fn *done, void *context, struct aws_call **ret_call, struct err *e);

struct sqs_visibility {
    struct slice receipt_handle;
    unsigned timeout_s;
};
int sqs_change_visibility_batch(struct aws_client *c, const char *queue_url, const struct sqs_visibility *entries,
                                size_t n, sqs_batch_fn *done, void *context, struct aws_call **ret_call, struct err *e);

/* What is no UTF-8 in body and attributes arrives as U+FFFD. A message whose MD5 comes back different is not ok, with
 * code "checksum": it is in the queue, damaged. */
struct sqs_send {
    struct slice body;
    const struct sqs_attribute *attributes;
    size_t n_attributes;
    struct slice group, dedup_id; /* empty: none */
    struct slice trace_header;    /* AWSTraceHeader, a system attribute; empty: none */
    int delay_s;                  /* negative: the queue's own */
};
int sqs_send_batch(struct aws_client *c, const char *queue_url, const struct sqs_send *entries, size_t n,
                   sqs_batch_fn *done, void *context, struct aws_call **ret_call, struct err *e);
/* SendMessage: the result has one entry. */
int sqs_send(struct aws_client *c, const char *queue_url, const struct sqs_send *message, sqs_batch_fn *done,
             void *context, struct aws_call **ret_call, struct err *e);

struct sqs_queue {
    const struct aws_error *error;
    struct slice url;             /* sqs_get_queue_url */
    int visibility_timeout_s;     /* the rest: sqs_get_queue_attributes; -1 when absent */
    int max_receive_count;        /* of the RedrivePolicy; -1: none */
    struct slice dead_letter_arn; /* empty: none */
    int64_t messages, in_flight, delayed;
    bool fifo;
    struct slice arn;
};
typedef void sqs_queue_fn(void *context, const struct sqs_queue *q);
int sqs_get_queue_url(struct aws_client *c, const char *name, sqs_queue_fn *done, void *context,
                      struct aws_call **ret_call, struct err *e);
int sqs_get_queue_attributes(struct aws_client *c, const char *queue_url, sqs_queue_fn *done, void *context,
                             struct aws_call **ret_call, struct err *e);

#endif
