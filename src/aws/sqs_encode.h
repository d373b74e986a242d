/* sqs_encode: writes the bodies of SQS's JSON requests, by hand, because it is done for every receive and delete.
 *
 * Apart from sqs.c so that tests can compare them byte for byte. Ranges are sqs.c's to check. A buf without memory
 * becomes failed. */
#ifndef FANOUT_AWS_SQS_ENCODE_H
#define FANOUT_AWS_SQS_ENCODE_H

#include <stddef.h>

#include "aws/sqs.h"
#include "base/buf.h"
#include "base/slice.h"

void sqs_encode_receive(struct buf *out, const struct sqs_receive_options *options);
void sqs_encode_delete_batch(struct buf *out, const char *queue_url, const struct slice *receipt_handles, size_t n);
void sqs_encode_change_visibility_batch(struct buf *out, const char *queue_url, const struct sqs_visibility *entries,
                                        size_t n);
void sqs_encode_send_batch(struct buf *out, const char *queue_url, const struct sqs_send *entries, size_t n);
void sqs_encode_send(struct buf *out, const char *queue_url, const struct sqs_send *message);
void sqs_encode_get_queue_url(struct buf *out, const char *name);
void sqs_encode_get_queue_attributes(struct buf *out, const char *queue_url);

#endif
