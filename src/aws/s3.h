/* s3: the Amazon S3 calls that archives and journals need. Path-style addressing with a custom endpoint, virtual-host
 * style with AWS's own unless the bucket's name has a dot. Engine thread only. */
#ifndef FANOUT_AWS_S3_H
#define FANOUT_AWS_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "base/slice.h"

struct s3_object {
    const struct aws_error *error; /* NULL: success */
    struct slice body;             /* s3_get without on_data */
    char etag[160];                /* with its quotes */
    int64_t size;                  /* Content-Length */
    int64_t modified_at_ms;
    struct slice content_type, content_encoding;
};
typedef void s3_object_fn(void *context, const struct s3_object *o);

struct s3_put_options {
    const char *bucket, *key;             /* key: not encoded */
    struct slice body;                    /* borrowed until the call is over */
    const char *content_type;             /* NULL: application/octet-stream */
    const char *if_match, *if_none_match; /* NULL: unconditional */
};
int s3_put(struct aws_client *c, const struct s3_put_options *options, s3_object_fn *done, void *context,
           struct aws_call **ret_call, struct err *e);

/* on_data (may be NULL: collect up to max_bytes, 0: 64 MiB) gets the pieces of the body. */
int s3_get(struct aws_client *c, const char *bucket, const char *key, size_t max_bytes,
           int (*on_data)(void *context, struct slice piece), s3_object_fn *done, void *context,
           struct aws_call **ret_call, struct err *e);
int s3_head(struct aws_client *c, const char *bucket, const char *key, s3_object_fn *done, void *context,
            struct aws_call **ret_call, struct err *e);

struct s3_entry {
    struct slice key; /* decoded */
    struct slice etag;
    int64_t size, modified_at_ms;
};
struct s3_list_options {
    const char *bucket, *prefix, *start_after, *delimiter, *continuation_token; /* NULL: none, but bucket */
    unsigned max_keys;                                                          /* 0: 1000 */
};
struct s3_listing {
    const struct aws_error *error;
    const struct s3_entry *entries;
    size_t n_entries;
    const struct slice *prefixes; /* CommonPrefixes */
    size_t n_prefixes;
    bool truncated;
    struct slice next_token; /* empty when not truncated */
};
typedef void s3_list_fn(void *context, const struct s3_listing *l);
int s3_list(struct aws_client *c, const struct s3_list_options *options, s3_list_fn *done, void *context,
            struct aws_call **ret_call, struct err *e);

#endif
