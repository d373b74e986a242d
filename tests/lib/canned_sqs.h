/* canned_sqs: an SQS endpoint that answers from memory, as fast as a thread can: for figures of clients alone.
 *
 * Hands out `messages` messages with different ids and the same body, ten at a time (fewer when fewer are asked for),
 * counts each one's first delete, and after the last message holds long polls as SQS does. Signatures are not looked
 * at. One thread on 127.0.0.1. Failures of the machinery abort. */
#ifndef FANOUT_TESTS_LIB_CANNED_SQS_H
#define FANOUT_TESTS_LIB_CANNED_SQS_H

#include <stddef.h>
#include <stdint.h>

struct canned_sqs;

/* The body of each message: an EventBridge envelope of about body_bytes. */
struct canned_sqs *canned_sqs_start(uint64_t messages, size_t body_bytes);
void canned_sqs_stop(struct canned_sqs *s);

/* From here on a receive that finds nothing is answered at once, and so are those that wait. */
void canned_sqs_release(struct canned_sqs *s);

const char *canned_sqs_url(const struct canned_sqs *s); /* "http://127.0.0.1:40123" */

uint64_t canned_sqs_left(const struct canned_sqs *s);            /* messages not yet deleted */
int64_t canned_sqs_first_receive_ns(const struct canned_sqs *s); /* when, by the monotonic clock; 0: none came yet */
uint64_t canned_sqs_requests(const struct canned_sqs *s);

#endif
