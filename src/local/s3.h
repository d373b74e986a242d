/* s3: Amazon S3 as its clients see it, over the store: buckets, objects, listings.
 *
 * PutObject, GetObject, HeadObject, DeleteObject, ListObjectsV2, CreateBucket, DeleteBucket, HeadBucket, ListBuckets,
 * GetBucketLocation; path style (/BUCKET/KEY) and virtual-host style (BUCKET.HOST/KEY); ranges and conditions; uploads
 * plain, in chunks, signed chunk by chunk and with trailers, their checksums verified and kept (FACTS.md, 3). Anything
 * else is refused as NotImplemented: multipart uploads, copies, versions, listings of version 1, the configuration of
 * buckets. */
#ifndef FANOUT_LOCAL_S3_H
#define FANOUT_LOCAL_S3_H

#include "base/err.h"
#include "base/slice.h"
#include "local/local.h"
#include "local/store.h"

struct local_s3;

/* Adds itself to the server and its store. It claims every request that no other service claims: add it last. */
int local_s3_new(struct local *l, struct local_s3 **ret_s3, struct err *e);
void local_s3_destroy(struct local_s3 *s); /* after local_stop; NULL is fine */

/* ---- for other services, inside their transactions --------------------------------------------------------------- */

/* Makes the bucket unless it is there. ERR_INVALID: no bucket can be called so; another error: the store's. */
int local_s3_ensure_bucket(struct local_s3 *s, struct store_tx *tx, struct slice bucket, struct err *e);

/* Writes an object, replacing one of that key. ERR_NOT_FOUND: no such bucket (nothing written, the transaction goes
 * on); another error: the store's. */
int local_s3_store(struct local_s3 *s, struct store_tx *tx, struct slice bucket, struct slice key, struct slice body,
                   const char *content_type);

#endif
