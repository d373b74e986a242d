/* s3_call: one signed S3 request on a connection of its own, for tests that say every byte of it themselves.
 *
 *     struct s3_answer a;
 *     s3_call(url, &(struct s3_request){.method = "PUT", .path = "/bucket/key", .body = SLICE("hello")}, &a);
 *     assert_int_equal(a.status, 200);
 *     s3_answer_clean_up(&a);
 *
 * It shares the signature (aws/sigv4) with the programs, and nothing else. A connection that breaks gives status 0. */
#ifndef FANOUT_TESTS_LIB_S3_CALL_H
#define FANOUT_TESTS_LIB_S3_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

#define S3_REQUEST_HEADERS_MAX 200

struct s3_request {
    const char *method, *path; /* percent-encoded, as sent */
    const char *query;         /* the same; NULL: none */
    const char *host;          /* the Host header; NULL: the URL's */
    const char *const
        *headers; /* pairs of name and value that end with NULL, sent in this order; x-amz-* are signed; NULL: none */
    const char *unsigned_header; /* "x-amz-meta-a: 1", sent but not signed; NULL: none */
    const char *payload;         /* x-amz-content-sha256; NULL: the digest of the body */

    /* Not 0: the body goes out in chunks of so many bytes, each with its signature; payload says which form. */
    size_t chunk_bytes;
    const char *trailer;      /* "x-amz-checksum-crc32:AAAA", which is signed as well; NULL: none */
    unsigned wrong_signature; /* the signature of that chunk, counted from 1 (the trailer's is the last), is wrong */
    const char *key, *secret; /* NULL: "test" */
    struct slice body;
};

struct s3_answer {
    int status;
    struct slice head, body;
    struct buf bytes;
};

void s3_call(const char *url, const struct s3_request *request, struct s3_answer *ret_answer);
void s3_answer_clean_up(struct s3_answer *a);

/* A header's value, name without case; empty: it has none. */
struct slice s3_answer_header(const struct s3_answer *a, const char *name);

/* The text of the first element of that name in the body ("" when there is none), as it is written. */
const char *s3_answer_text(const struct s3_answer *a, const char *element, char *out, size_t size);

/* How often text occurs in the body. */
size_t s3_answer_count(const struct s3_answer *a, const char *text);

#endif
