/* What is uploaded to the S3 of fanout-local is what was meant: checksums, signed bodies, aws-chunked. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/s3_server.h"

#define TRAILER       "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define HELLO_CHUNKED "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" HELLO_CRC32 "\r\n\r\n"

/* ---- checksums --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *hello, *other;
} CHECKSUMS[] = {
    {"x-amz-checksum-crc32", HELLO_CRC32, "AAAAAA=="},
    {"x-amz-checksum-crc32c", "mnG7TA==", "AAAAAA=="},
    {"x-amz-checksum-crc64nvme", "M3eFcAZSQlc=", "AAAAAAAAAAA="},
    {"x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
    {"x-amz-checksum-sha256",
     "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
    {"Content-MD5", "XUFAKrxLKna5cZ2REBfFkg==", "AAAAAAAAAAAAAAAAAAAAAA=="},
};

static void
a_right_checksum_is_taken_and_a_wrong_one_stores_nothing(void **state)
{
    (void)state;
    s3_server_path("");
    for (size_t i = 0; i < sizeof CHECKSUMS / sizeof *CHECKSUMS; i++) {
        s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                                       .headers = HEADERS(CHECKSUMS[i].name, CHECKSUMS[i].other)),
                               400, "BadDigest");
        s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k")), 404, "NoSuchKey");
        assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                                                .headers = HEADERS(CHECKSUMS[i].name, CHECKSUMS[i].hello))),
                         200);
        assert_int_equal(s3_server_call(REQUEST(.method = "DELETE", .path = s3_server_path("/k"))), 204);
    }
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .headers = HEADERS("Content-MD5", "hello")), 400,
        "InvalidDigest");
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .headers = HEADERS("x-amz-checksum-xxhash3", "AAAA")),
        501, "NotImplemented");
}

static void
an_object_s_checksum_comes_back_where_it_is_asked_for(void **state)
{
    (void)state;
    struct s3_answer a;
    s3_server_path("");
    s3_call(s3_server_url,
            REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                    .headers = HEADERS("X-Amz-Checksum-CRC32", HELLO_CRC32)),
            &a);
    s3_server_assert_header(&a, "x-amz-checksum-crc32", HELLO_CRC32);
    s3_server_assert_header(&a, "x-amz-checksum-type", "FULL_OBJECT");
    s3_answer_clean_up(&a);
    s3_call(
        s3_server_url,
        REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("x-amz-checksum-mode", "ENABLED")),
        &a);
    s3_server_assert_header(&a, "x-amz-checksum-crc32", HELLO_CRC32);
    s3_server_assert_header(&a, "x-amz-checksum-type", "FULL_OBJECT");
    s3_answer_clean_up(&a);
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = s3_server_path("/k")), &a);
    s3_server_assert_header(&a, "x-amz-checksum-crc32", "");
    s3_answer_clean_up(&a);
    s3_call(s3_server_url,
            REQUEST(.method = "GET", .path = s3_server_path("/k"),
                    .headers = HEADERS("x-amz-checksum-mode", "ENABLED", "Range", "bytes=0-1")),
            &a);
    assert_int_equal(a.status, 206);
    s3_server_assert_header(&a, "x-amz-checksum-crc32", ""); /* it is not that of a part */
    s3_answer_clean_up(&a);
}

static void
a_body_that_is_not_the_signed_one_is_refused(void **state)
{
    (void)state;
    s3_server_path("");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                                   .payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                           400, "XAmzContentSHA256Mismatch");
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                                            .payload = "UNSIGNED-PAYLOAD")),
                     200);
    s3_server_assert_body("/k", SLICE("hello"));
}

/* ---- aws-chunked ------------------------------------------------------------------------------------------------- */

static void
an_upload_in_chunks_is_stored_without_its_framing(void **state)
{
    (void)state;
    struct s3_answer a;
    s3_server_path("");
    assert_int_equal(
        s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = TRAILER,
                               .body = SLICE(HELLO_CHUNKED),
                               .headers = HEADERS("x-amz-decoded-content-length", "5", "x-amz-trailer",
                                                  "x-amz-checksum-crc32", "Content-Encoding", "aws-chunked"))),
        200);
    s3_call(
        s3_server_url,
        REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("x-amz-checksum-mode", "ENABLED")),
        &a);
    assert_int_equal(a.body.n, 5);
    assert_memory_equal(a.body.p, "hello", 5);
    s3_server_assert_header(&a, "ETag", HELLO_MD5);
    s3_server_assert_header(&a, "Content-Encoding", "");
    s3_server_assert_header(&a, "x-amz-checksum-crc32", HELLO_CRC32);
    s3_answer_clean_up(&a);
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/z"), .payload = TRAILER,
                                            .body = SLICE("5\r\nhello\r\n0\r\n\r\n"),
                                            .headers = HEADERS("x-amz-decoded-content-length", "5", "Content-Encoding",
                                                               "aws-chunked,gzip"))),
                     200);
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = s3_server_path("/z")), &a);
    s3_server_assert_header(&a, "Content-Encoding", "gzip");
    s3_answer_clean_up(&a);
}

static void
assert_chunked(struct slice body, const char *length, int status, const char *code)
{
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = TRAILER, .body = body,
                                   .headers = HEADERS("x-amz-decoded-content-length", length)),
                           status, code);
}

static void
a_broken_upload_in_chunks_stores_nothing(void **state)
{
    (void)state;
    s3_server_path("");
    assert_chunked(SLICE("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), "5", 400, "BadDigest");
    assert_chunked(SLICE("5\r\nhello\r\n0\r\nx-amz-checksum-crc32\r\n\r\n"), "5", 400, "MalformedTrailerError");
    assert_chunked(SLICE("5\r\nhello\r\n"), "5", 400, "IncompleteBody");
    assert_chunked(SLICE("5\r\nhel"), "5", 400, "IncompleteBody");
    assert_chunked(SLICE("hello"), "5", 400, "IncompleteBody");
    assert_chunked(SLICE(HELLO_CHUNKED), "4", 400, "IncompleteBody");
    assert_chunked(SLICE(HELLO_CHUNKED), "5x", 400, "InvalidArgument");
    assert_chunked(SLICE(HELLO_CHUNKED), "99999999999999999999999999", 400, "InvalidArgument");
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = TRAILER, .body = SLICE(HELLO_CHUNKED)), 411,
        "MissingContentLength");
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k")), 404, "NoSuchKey");
}

#define SIGNED         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define SIGNED_TRAILER "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

static void
an_upload_signed_chunk_by_chunk_is_stored(void **state)
{
    (void)state;
    s3_server_path("");
    for (size_t chunk = 1; chunk <= 6; chunk++) {
        assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = SIGNED,
                                                .body = SLICE("hello"), .chunk_bytes = chunk,
                                                .headers = HEADERS("x-amz-decoded-content-length", "5"))),
                         200);
        s3_server_assert_body("/k", SLICE("hello"));
        assert_int_equal(s3_server_call(REQUEST(.method = "DELETE", .path = s3_server_path("/k"))), 204);
        assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/k"),
                                                .payload = SIGNED_TRAILER, .body = SLICE("hello"), .chunk_bytes = chunk,
                                                .trailer = "x-amz-checksum-crc32:" HELLO_CRC32,
                                                .headers = HEADERS("x-amz-decoded-content-length", "5"))),
                         200);
        s3_server_assert_body("/k", SLICE("hello"));
    }
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/none"), .payload = SIGNED,
                                            .chunk_bytes = 1, .headers = HEADERS("x-amz-decoded-content-length", "0"))),
                     200);
    s3_server_assert_body("/none", SLICE(""));
}

static void
a_chunk_or_trailer_with_a_wrong_signature_stores_nothing(void **state)
{
    (void)state;
    s3_server_path("");
    for (unsigned wrong = 1; wrong <= 4; wrong++) /* two chunks, the last and empty one, the trailer */
        s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = SIGNED_TRAILER,
                                       .body = SLICE("hello"), .chunk_bytes = 3,
                                       .trailer = "x-amz-checksum-crc32:" HELLO_CRC32, .wrong_signature = wrong,
                                       .headers = HEADERS("x-amz-decoded-content-length", "5")),
                               403, "SignatureDoesNotMatch");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = SIGNED,
                                   .body = SLICE(HELLO_CHUNKED),
                                   .headers = HEADERS("x-amz-decoded-content-length", "5")),
                           403, "SignatureDoesNotMatch");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .payload = SIGNED_TRAILER,
                                   .body = SLICE("hello"), .chunk_bytes = 5,
                                   .headers = HEADERS("x-amz-decoded-content-length", "5")),
                           403, "SignatureDoesNotMatch"); /* no trailer at all */
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"),
                                   .payload = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", .body = SLICE(HELLO_CHUNKED)),
                           501, "NotImplemented");
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k")), 404, "NoSuchKey");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_checksum_is_taken_and_a_wrong_one_stores_nothing),
        cmocka_unit_test(an_object_s_checksum_comes_back_where_it_is_asked_for),
        cmocka_unit_test(a_body_that_is_not_the_signed_one_is_refused),
        cmocka_unit_test(an_upload_in_chunks_is_stored_without_its_framing),
        cmocka_unit_test(a_broken_upload_in_chunks_stores_nothing),
        cmocka_unit_test(an_upload_signed_chunk_by_chunk_is_stored),
        cmocka_unit_test(a_chunk_or_trailer_with_a_wrong_signature_stores_nothing),
    };
    return cmocka_run_group_tests_name("local_s3_checked", tests, s3_server_start, s3_server_stop);
}
