/* s3_decode: reads S3's XML answers, over expat. Apart from s3.c so that it can be tested and fuzzed. Pure: no I/O. */
#ifndef FANOUT_AWS_S3_DECODE_H
#define FANOUT_AWS_S3_DECODE_H

#include "aws/s3.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* ListObjectsV2. Everything in *ret lives in the arena. Keys, prefixes come out decoded when the answer says that it
 * encoded them (EncodingType), as they are otherwise. Unknown elements are passed over. ERR_PROTOCOL, with the thing
 * named: no well-formed XML, a document type (nobody needs one, and entities in it can grow without bound), another
 * root element, nesting past 16, a key that is missing or badly encoded, a size or time that is none, a truncated
 * listing that does not say how to go on. */
int s3_decode_list(struct slice xml, struct arena *arena, struct s3_listing *ret, struct err *e);

#endif
