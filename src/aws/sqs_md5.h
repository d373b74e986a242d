/* sqs_md5: the checksum SQS gives for a message's attributes (MD5OfMessageAttributes).
 *
 * SQS Developer Guide, "Calculating the MD5 message digest for message attributes": sorted by name, each name, data
 * type and value with its length (32 bits, big-endian) in front, and between type and value one byte for how the value
 * travels: 1 for String and Number, 2 for Binary, custom suffixes ("String.orders") notwithstanding. Any thread. */
#ifndef FANOUT_AWS_SQS_MD5_H
#define FANOUT_AWS_SQS_MD5_H

#include <stddef.h>

#include "aws/sqs.h"
#include "base/digest.h"

/* In any order, n >= 1. Returns 0 or ERR_NO_MEMORY. */
int sqs_md5_attributes(const struct sqs_attribute *attributes, size_t n, char out[DIGEST_MD5_HEX]);

#endif
