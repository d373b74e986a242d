/* s3_impl: what the files of local/s3 share.
 *
 *     s3.c          the service: which operation, which bucket and key
 *     s3_bucket.c   the calls about buckets          s3_list.c    ListObjectsV2
 *     s3_object.c   writing and deleting objects     s3_read.c    reading them
 *     s3_upload.c   the bytes of an upload and what is promised about them; s3_signed.c: signatures of chunks
 *     s3_answer.c   headers, errors, XML
 *     s3_chunked.c, s3_checksum.c, s3_range.c        formats, pure */
#ifndef FANOUT_LOCAL_S3_IMPL_H
#define FANOUT_LOCAL_S3_IMPL_H

#include <stdint.h>

#include "base/buf.h"
#include "local/s3.h"

#define S3_KEY_MAX    1024     /* bytes of a key */
#define S3_OBJECT_MAX 67108864 /* of an object: larger ones want multipart uploads, which are not here */
#define S3_META_MAX   2048     /* of user metadata, names and values (AWS's limit) */
#define S3_SYSTEM_MAX 8192     /* of the other headers that are kept */

#define S3_META_PREFIX     "x-amz-meta-"
#define S3_CHECKSUM_PREFIX "x-amz-checksum-"

struct local_s3 {
    struct local *local;
};

/* One call: what is asked for, and what will be answered. Lives in the arena of `call`. */
struct s3_call {
    struct store_job job;
    struct local_s3 *s3;
    struct local_call *call;
    int (*work)(struct store_tx *tx, struct s3_call *c); /* 0 (answered, also with an error), or the store's */
    struct slice bucket, key;                            /* decoded; key empty for calls on a bucket */
    const void *request;                                 /* the operation's own */
    /* the answer */
    int status;
    const char *code, *message; /* an error when code is set */
    struct httpd_header_out *headers;
    size_t n_headers, header_room;
    struct buf body;
    const char *content_type; /* NULL: application/xml */
    int64_t content_length;   /* of a HEAD */
    bool no_memory;           /* for a part of the answer */
};

struct s3_operation {
    const char *name;
    void (*begin)(struct s3_call *c); /* checks the request, then local_s3_run or local_s3_finish */
};

extern const struct s3_operation S3_BUCKET_OPERATIONS[], S3_OBJECT_OPERATIONS[], S3_READ_OPERATIONS[],
    S3_LIST_OPERATIONS[];

/* ---- s3.c -------------------------------------------------------------------------------------------------------- */

/* Runs work on the store's writer, then answers. */
void local_s3_run(struct s3_call *c, int (*work)(struct store_tx *tx, struct s3_call *c));

/* The decoded value of a query parameter in the call's arena; false when it is absent. A parameter without '=' is "".
 */
bool local_s3_query(struct s3_call *c, const char *name, struct slice *ret_value);

/* 0, ERR_NOT_FOUND, or the store's. */
int local_s3_find_bucket(struct store_tx *tx, struct slice bucket, int64_t *ret_id);

/* ---- s3_answer.c ------------------------------------------------------------------------------------------------- */

/* Sets the answer to an error; returns 0, so that work can `return local_s3_refuse(...)`. */
int local_s3_refuse(struct s3_call *c, int status, const char *code, const char *message);
int local_s3_refuse_no_bucket(struct s3_call *c);
int local_s3_refuse_no_memory(struct s3_call *c);

/* Adds a header to the answer. name and value must live as long as the call (its arena); value NULL says that there was
 * no memory for it. */
void local_s3_header(struct s3_call *c, const char *name, const char *value);

/* Answers now. */
void local_s3_finish(struct s3_call *c);

/* Answers any call with an error (struct local_service). */
void local_s3_refuse_call(struct local_call *call, int status, const char *code, const char *message);

/* Text with XML's characters escaped; control characters XML cannot hold become references, as S3 writes them. */
void local_s3_xml_text(struct buf *out, struct slice text);

/* ---- s3_upload.c ------------------------------------------------------------------------------------------------- */

/* The bytes of an upload. Slices point into the request or the call's arena. */
struct s3_upload {
    struct slice body;                    /* with its framing taken off */
    struct slice checksum_name, checksum; /* the one that came with it: "crc32" and its base64; empty: none */
};

/* Reads an upload and checks it against every promise that came with it. False: the answer is set. */
bool local_s3_upload(struct s3_call *c, struct s3_upload *ret_upload);

/* ---- s3_read.c --------------------------------------------------------------------------------------------------- */

/* Quotes around an ETag are optional in conditions. */
bool local_s3_same_etag(struct slice given, struct slice etag);

/* ---- s3_chunked.c ------------------------------------------------------------------------------------------------ */

/* Sees every chunk, the last and empty one included: what follows the ';' of its header, and its data. False ends it.
 */
typedef bool s3_chunk_fn(void *context, struct slice extension, struct slice data);

/* Takes the aws-chunked framing off: "HEX[;...]\r\nDATA\r\n ... 0\r\n[TRAILER: VALUE\r\n...]\r\n". Appends the data and
 * the trailer lines, each with "\n" behind it. each may be NULL. ERR_INVALID; ERR_DENIED: each said no; ERR_NO_MEMORY.
 */
int local_s3_unchunk(struct slice framed, s3_chunk_fn *each, void *context, struct buf *data, struct buf *trailers,
                     struct err *e);

/* ---- s3_signed.c ------------------------------------------------------------------------------------------------- */

struct s3_signer {
    struct local_call *call;
    char previous[65]; /* the signature before the next one */
};
void local_s3_signer_init(struct s3_signer *s, struct local_call *call);

/* Is the chunk signed as it must be? An s3_chunk_fn; the signer is its context. */
bool local_s3_signer_takes(void *signer, struct slice extension, struct slice data);

/* The same of the trailers ("name:value\n" each), behind the last chunk. */
bool local_s3_signer_takes_trailers(struct s3_signer *s, struct slice trailers);

/* What is signed. Pure. */
void local_s3_chunk_to_sign(struct buf *out, int64_t signed_at_ms, const char *region, const char *previous,
                            struct slice data);
void local_s3_trailers_to_sign(struct buf *out, int64_t signed_at_ms, const char *region, const char *previous,
                               struct slice trailers);

/* ---- s3_checksum.c ----------------------------------------------------------------------------------------------- */

/* Computes the checksum that a header "x-amz-checksum-NAME" carries (crc32, crc32c, crc64nvme, sha1, sha256), in
 * base64. False: no such algorithm here. */
bool local_s3_checksum(struct slice name, struct slice data, struct buf *base64);

/* ---- s3_range.c -------------------------------------------------------------------------------------------------- */

/* A Range header against an object of that size. 0: *ret_first and *ret_n are the bytes wanted; ERR_NOT_FOUND: not
 * satisfiable; ERR_INVALID: to be ignored (RFC 9110, 14.2; several ranges at once, as S3 ignores them). */
int local_s3_range(struct slice header, int64_t size, int64_t *ret_first, int64_t *ret_n);

#endif
