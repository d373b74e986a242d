/* sqs_decode: reads SQS's JSON answers into the results of sqs.h.
 *
 * Apart from sqs.c so that it can be tested and fuzzed without a connection. Pure: no I/O. Unknown members are passed
 * over, missing ones have the defaults of sqs.h; an answer that is no JSON object, or in which something needed is
 * missing or of the wrong type, is ERR_PROTOCOL, with the thing named in the text. */
#ifndef FANOUT_AWS_SQS_DECODE_H
#define FANOUT_AWS_SQS_DECODE_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "aws/sqs.h"
#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/slice.h"

/* What a decoded answer lives in: results point into it until sqs_decode_clean_up, and into the answer. One answer
 * each. */
struct sqs_decoded {
    cJSON *tree;
    struct arena arena;
};
void sqs_decode_init(struct sqs_decoded *d);
void sqs_decode_clean_up(struct sqs_decoded *d);

/* ReceiveMessage. A message whose body or attributes do not match their MD5 is left out and counted, and so is one in
 * which something needed is missing or of the wrong type; one without MD5OfBody is taken, and md5_of_body is what it
 * should have been. More than max_messages is ERR_PROTOCOL. */
int sqs_decode_receive(struct sqs_decoded *d, struct slice answer, size_t max_messages, struct sqs_received *ret,
                       struct err *e);

/* The MD5s that the answer to a send must confirm; "" is not compared. */
struct sqs_decode_sent {
    char body[DIGEST_MD5_HEX], attributes[DIGEST_MD5_HEX];
};

/* The batch calls: entry i has the id "i". An entry that is in neither list is not ok, with code "missing"; one that is
 * in both is not ok; unknown ids are passed over; of a repeated id the first failure counts. sent (NULL: not a send)
 * has n elements: an entry whose MD5s differ is not ok, with code "checksum": what arrived is not what was sent. */
int sqs_decode_batch(struct sqs_decoded *d, struct slice answer, size_t n, const struct sqs_decode_sent *sent,
                     struct sqs_batch_result *ret, struct err *e);

/* SendMessage, as a batch of one. */
int sqs_decode_send(struct sqs_decoded *d, struct slice answer, const struct sqs_decode_sent *sent,
                    struct sqs_batch_result *ret, struct err *e);

int sqs_decode_queue_url(struct sqs_decoded *d, struct slice answer, struct sqs_queue *ret, struct err *e);
int sqs_decode_queue_attributes(struct sqs_decoded *d, struct slice answer, struct sqs_queue *ret, struct err *e);

#endif
