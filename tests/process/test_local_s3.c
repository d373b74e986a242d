/* The S3 of fanout-local, byte by byte over a socket. Listings are in test_local_s3_list.c. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/admin.h"
#include "lib/aws_call.h"
#include "lib/proc.h"
#include "lib/s3_call.h"
#include "lib/tmp.h"

#define HELLO_MD5     "\"5d41402abc4b2a76b9719d911017c592\""
#define HELLO_CRC32   "NhCmhg=="
#define HEADERS(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define REQUEST(...)  (&(struct s3_request){__VA_ARGS__})
#define TRAILER       "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define HELLO_CHUNKED "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" HELLO_CRC32 "\r\n\r\n"

static struct proc *server;
static char url[100];
static unsigned n_buckets;

static void
start(const char *const *argv)
{
    server = proc_spawn(argv, NULL);
    const char *line = proc_wait_line(server, "READY ", 20000);
    assert_non_null(line);
    snprintf(url, sizeof url, "%s", strstr(line, "http://"));
}

static int
start_server(void **state)
{
    (void)state;
    start(
        (const char *[]){proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--memory", "--no-provision", NULL});
    return 0;
}

static int
stop_server(void **state)
{
    (void)state;
    proc_signal(server, SIGTERM);
    assert_int_equal(proc_wait_exit(server, 20000), 0);
    proc_destroy(server);
    server = NULL;
    return 0;
}

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

static int
call(const struct s3_request *r)
{
    struct s3_answer a;
    s3_call(url, r, &a);
    int status = a.status;
    s3_answer_clean_up(&a);
    return status;
}

/* A path in a bucket of the test's own, which is made for suffix "". */
static const char *
path(const char *suffix)
{
    static char text[2000];
    if (!*suffix)
        n_buckets++;
    snprintf(text, sizeof text, "/bucket-%u%s", n_buckets, suffix);
    if (!*suffix)
        assert_int_equal(call(REQUEST(.method = "PUT", .path = text)), 200);
    return text;
}

static void
put(const char *suffix, struct slice body)
{
    assert_int_equal(call(REQUEST(.method = "PUT", .path = path(suffix), .body = body)), 200);
}

static void
assert_body(const char *suffix, struct slice body)
{
    struct s3_answer a;
    s3_call(url, REQUEST(.method = "GET", .path = path(suffix)), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, body.n);
    assert_memory_equal(a.body.p, body.p, body.n);
    s3_answer_clean_up(&a);
}

static void
assert_error(const struct s3_request *r, int status, const char *code)
{
    struct s3_answer a;
    char text[100];
    s3_call(url, r, &a);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), code);
    assert_int_equal(a.status, status);
    s3_answer_clean_up(&a);
}

static void
assert_header(const struct s3_answer *a, const char *name, const char *value)
{
    char text[3000];
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(s3_answer_header(a, name)));
    assert_string_equal(text, value);
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static void
an_object_comes_back_as_it_was_put(void **state)
{
    (void)state;
    struct s3_answer a;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    path("");
    put("/all", slice_of(bytes, sizeof bytes));
    assert_body("/all", slice_of(bytes, sizeof bytes));
    put("/all", SLICE("hello"));
    assert_body("/all", SLICE("hello"));
    put("/none", SLICE(""));
    s3_call(url, REQUEST(.method = "GET", .path = path("/none")), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 0);
    assert_header(&a, "Content-Length", "0");
    s3_answer_clean_up(&a);
}

static void
what_an_object_is_comes_in_headers(void **state)
{
    (void)state;
    struct s3_answer a;
    path("");
    s3_call(
        url,
        REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"),
                .headers = HEADERS("Content-Type", "text/plain", "x-amz-meta-Colour", "green", "x-amz-meta-empty", "",
                                   "Cache-Control", "no-store", "Content-Encoding", "identity", "X-Unknown", "1")),
        &a);
    assert_int_equal(a.status, 200);
    assert_header(&a, "ETag", HELLO_MD5);
    assert_int_equal(a.body.n, 0);
    s3_answer_clean_up(&a);
    static const char *const METHODS[] = {"GET", "HEAD"};
    for (size_t i = 0; i < 2; i++) {
        s3_call(url, REQUEST(.method = METHODS[i], .path = path("/k")), &a);
        assert_int_equal(a.status, 200);
        assert_header(&a, "ETag", HELLO_MD5);
        assert_header(&a, "Content-Length", "5");
        assert_header(&a, "Content-Type", "text/plain");
        assert_header(&a, "x-amz-meta-colour", "green");
        assert_header(&a, "Cache-Control", "no-store");
        assert_header(&a, "Content-Encoding", "identity");
        assert_header(&a, "Accept-Ranges", "bytes");
        assert_header(&a, "X-Unknown", "");
        assert_int_equal(s3_answer_header(&a, "Last-Modified").n, strlen("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_int_equal(s3_answer_header(&a, "x-amz-request-id").n, 36);
        assert_int_equal(a.body.n, i == 0 ? 5 : 0);
        s3_answer_clean_up(&a);
    }
    put("/k", SLICE("x")); /* all of it is replaced */
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/k")), &a);
    assert_header(&a, "Content-Type", "binary/octet-stream");
    assert_header(&a, "x-amz-meta-colour", "");
    assert_header(&a, "Cache-Control", "");
    s3_answer_clean_up(&a);
}

/* n headers of metadata that count 10 bytes each: name "m000".."m999" and a value of six. */
static int
put_metadata(int n)
{
    static char names[S3_REQUEST_HEADERS_MAX][32];
    const char *headers[2 * S3_REQUEST_HEADERS_MAX + 1];
    assert_true(n <= S3_REQUEST_HEADERS_MAX);
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "x-amz-meta-m%03d", i);
        headers[2 * i] = names[i];
        headers[2 * i + 1] = "abcdef";
    }
    headers[2 * n] = NULL;
    return call(REQUEST(.method = "PUT", .path = path("/k"), .headers = headers));
}

static void
two_kilobytes_of_metadata_come_back_and_more_is_refused(void **state)
{
    (void)state;
    struct s3_answer a;
    path("");
    assert_int_equal(put_metadata(150), 200);
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/k")), &a);
    assert_header(&a, "x-amz-meta-m000", "abcdef");
    assert_header(&a, "x-amz-meta-m149", "abcdef");
    s3_answer_clean_up(&a);
    char value[2048];
    memset(value, 'v', sizeof value);
    value[2047] = '\0'; /* with its name of one byte that makes 2,048 */
    assert_int_equal(call(REQUEST(.method = "PUT", .path = path("/l"), .headers = HEADERS("x-amz-meta-n", value))),
                     200);
    assert_error(REQUEST(.method = "PUT", .path = path("/l"), .headers = HEADERS("x-amz-meta-no", value)), 400,
                 "MetadataTooLarge");
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/l")), &a);
    assert_header(&a, "x-amz-meta-n", value);
    s3_answer_clean_up(&a);
}

static void
keys_are_any_text(void **state)
{
    (void)state;
    static const char *const PATHS[] = {"/a%20b",
                                        "/a+b",
                                        "/a%2Bb",
                                        "/%25",
                                        "/a%3Fb%23c",
                                        "/%C3%A9/%E2%82%AC",
                                        "/dir/",
                                        "//double",
                                        "/.",
                                        "/..",
                                        "/a/../b",
                                        "/%00",
                                        "/raw-events/2026-11-20T06:00:00Z-1.json"};
    static const size_t N = sizeof PATHS / sizeof *PATHS;
    path("");
    for (size_t i = 0; i < N; i++)
        put(PATHS[i], slice_of_string(PATHS[i]));
    for (size_t i = 0; i < N; i++)
        if (strcmp(PATHS[i], "/a+b") != 0) /* which is the same key as /a%2Bb: in a path a plus is a plus */
            assert_body(PATHS[i], slice_of_string(PATHS[i]));
    assert_body("/a+b", SLICE("/a%2Bb"));
}

static void
a_key_ends_at_1024_bytes_and_is_utf_8(void **state)
{
    (void)state;
    char key[1100];
    path("");
    memset(key, 'k', sizeof key);
    key[0] = '/';
    key[1025] = '\0';
    put(key, SLICE("hello"));
    assert_body(key, SLICE("hello"));
    key[1025] = 'k';
    key[1026] = '\0';
    assert_error(REQUEST(.method = "PUT", .path = path(key)), 400, "KeyTooLongError");
    assert_error(REQUEST(.method = "PUT", .path = path("/%FF")), 400, "InvalidURI");
    assert_error(REQUEST(.method = "PUT", .path = path("/%C3")), 400, "InvalidURI");
}

static void
what_is_not_there_is_named(void **state)
{
    (void)state;
    struct s3_answer a;
    char text[200];
    path("");
    s3_call(url, REQUEST(.method = "GET", .path = path("/no%20%26%20where")), &a);
    assert_int_equal(a.status, 404);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), "NoSuchKey");
    assert_string_equal(s3_answer_text(&a, "Key", text, sizeof text), "no &amp; where");
    s3_answer_text(&a, "RequestId", text, sizeof text);
    assert_header(&a, "x-amz-request-id", text);
    assert_header(&a, "Content-Type", "application/xml");
    s3_answer_clean_up(&a);
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/nowhere")), &a);
    assert_int_equal(a.status, 404);
    assert_int_equal(a.body.n, 0);
    s3_answer_clean_up(&a);
    static const char *const METHODS[] = {"GET", "PUT", "DELETE"};
    for (size_t i = 0; i < 3; i++)
        assert_error(REQUEST(.method = METHODS[i], .path = "/no-such-bucket/k"), 404, "NoSuchBucket");
    assert_error(REQUEST(.method = "GET", .path = "/no-such-bucket", .query = "list-type=2"), 404, "NoSuchBucket");
    assert_error(REQUEST(.method = "GET", .path = "/no-such-bucket", .query = "location"), 404, "NoSuchBucket");
    assert_error(REQUEST(.method = "DELETE", .path = "/no-such-bucket"), 404, "NoSuchBucket");
    assert_int_equal(call(REQUEST(.method = "HEAD", .path = "/no-such-bucket")), 404);
}

static void
a_delete_removes_and_may_be_repeated(void **state)
{
    (void)state;
    path("");
    put("/k", SLICE("hello"));
    put("/k2", SLICE("hello"));
    assert_int_equal(call(REQUEST(.method = "DELETE", .path = path("/k"))), 204);
    assert_error(REQUEST(.method = "GET", .path = path("/k")), 404, "NoSuchKey");
    assert_int_equal(call(REQUEST(.method = "DELETE", .path = path("/k"))), 204);
    assert_body("/k2", SLICE("hello"));
}

/* ---- conditions and ranges --------------------------------------------------------------------------------------- */

static int
put_if(const char *suffix, const char *condition, const char *value)
{
    return call(
        REQUEST(.method = "PUT", .path = path(suffix), .body = SLICE("new"), .headers = HEADERS(condition, value)));
}

static void
a_write_can_depend_on_what_is_there(void **state)
{
    (void)state;
    path("");
    assert_int_equal(put_if("/k", "If-None-Match", "*"), 200);
    put("/k", SLICE("hello"));
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .headers = HEADERS("If-None-Match", "*")), 412,
                 "PreconditionFailed");
    assert_body("/k", SLICE("hello"));
    assert_int_equal(put_if("/k", "If-Match", "\"0123\""), 412);
    assert_body("/k", SLICE("hello"));
    assert_int_equal(put_if("/k", "If-Match", HELLO_MD5), 200);
    assert_body("/k", SLICE("new"));
    assert_int_equal(put_if("/k", "If-Match", "22af645d1859cb5ca6da0c484f1f37ea"), 200); /* without its quotes */
    assert_error(REQUEST(.method = "PUT", .path = path("/nowhere"), .headers = HEADERS("If-Match", HELLO_MD5)), 404,
                 "NoSuchKey");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .headers = HEADERS("If-None-Match", HELLO_MD5)), 501,
                 "NotImplemented");
}

static int
get_if(const char *condition, const char *value)
{
    return call(REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS(condition, value)));
}

static void
a_read_can_depend_on_what_is_there(void **state)
{
    (void)state;
    static const char PAST[] = "Sun, 06 Nov 1994 08:49:37 GMT", FUTURE[] = "Fri, 31 Dec 9999 23:59:59 GMT";
    struct s3_answer a;
    char modified[64];
    path("");
    put("/k", SLICE("hello"));
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/k")), &a);
    snprintf(modified, sizeof modified, "%.*s", SLICE_ARG(s3_answer_header(&a, "Last-Modified")));
    s3_answer_clean_up(&a);
    assert_int_equal(get_if("If-Match", HELLO_MD5), 200);
    assert_int_equal(get_if("If-Match", "*"), 200);
    assert_int_equal(get_if("If-Match", "\"0123\""), 412);
    assert_int_equal(get_if("If-None-Match", HELLO_MD5), 304);
    assert_int_equal(get_if("If-None-Match", "*"), 304);
    assert_int_equal(get_if("If-None-Match", "\"0123\""), 200);
    assert_int_equal(get_if("If-Modified-Since", modified), 304);
    assert_int_equal(get_if("If-Modified-Since", FUTURE), 304);
    assert_int_equal(get_if("If-Modified-Since", PAST), 200);
    assert_int_equal(get_if("If-Modified-Since", "yesterday"), 200);
    assert_int_equal(get_if("If-Unmodified-Since", PAST), 412);
    assert_int_equal(get_if("If-Unmodified-Since", modified), 200);
    s3_call(url, REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("If-None-Match", HELLO_MD5)), &a);
    assert_header(&a, "ETag", HELLO_MD5);
    assert_int_equal(a.body.n, 0);
    s3_answer_clean_up(&a);
}

static void
assert_part(const char *range, const char *content_range, const char *body)
{
    struct s3_answer a;
    s3_call(url, REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("Range", range)), &a);
    assert_int_equal(a.status, 206);
    assert_header(&a, "Content-Range", content_range);
    assert_int_equal(a.body.n, strlen(body));
    assert_memory_equal(a.body.p, body, a.body.n);
    s3_answer_clean_up(&a);
}

static void
a_range_gives_a_part(void **state)
{
    (void)state;
    struct s3_answer a;
    path("");
    put("/k", SLICE("0123456789"));
    assert_part("bytes=2-4", "bytes 2-4/10", "234");
    assert_part("bytes=7-", "bytes 7-9/10", "789");
    assert_part("bytes=-3", "bytes 7-9/10", "789");
    assert_part("bytes=8-100", "bytes 8-9/10", "89");
    s3_call(url, REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("Range", "bytes=10-")), &a);
    assert_int_equal(a.status, 416);
    assert_header(&a, "Content-Range", "bytes */10");
    s3_answer_clean_up(&a);
    assert_error(REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("Range", "bytes=10-")), 416,
                 "InvalidRange");
    s3_call(url, REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("Range", "bytes=0-1,3-4")), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 10);
    s3_answer_clean_up(&a);
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/k"), .headers = HEADERS("Range", "bytes=2-4")), &a);
    assert_int_equal(a.status, 206);
    assert_header(&a, "Content-Length", "3");
    s3_answer_clean_up(&a);
}

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
    path("");
    for (size_t i = 0; i < sizeof CHECKSUMS / sizeof *CHECKSUMS; i++) {
        assert_error(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"),
                             .headers = HEADERS(CHECKSUMS[i].name, CHECKSUMS[i].other)),
                     400, "BadDigest");
        assert_error(REQUEST(.method = "GET", .path = path("/k")), 404, "NoSuchKey");
        assert_int_equal(call(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"),
                                      .headers = HEADERS(CHECKSUMS[i].name, CHECKSUMS[i].hello))),
                         200);
        assert_int_equal(call(REQUEST(.method = "DELETE", .path = path("/k"))), 204);
    }
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .headers = HEADERS("Content-MD5", "hello")), 400,
                 "InvalidDigest");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .headers = HEADERS("x-amz-checksum-xxhash3", "AAAA")),
                 501, "NotImplemented");
}

static void
an_object_s_checksum_comes_back_where_it_is_asked_for(void **state)
{
    (void)state;
    struct s3_answer a;
    path("");
    s3_call(url,
            REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"),
                    .headers = HEADERS("X-Amz-Checksum-CRC32", HELLO_CRC32)),
            &a);
    assert_header(&a, "x-amz-checksum-crc32", HELLO_CRC32);
    assert_header(&a, "x-amz-checksum-type", "FULL_OBJECT");
    s3_answer_clean_up(&a);
    s3_call(url, REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("x-amz-checksum-mode", "ENABLED")),
            &a);
    assert_header(&a, "x-amz-checksum-crc32", HELLO_CRC32);
    assert_header(&a, "x-amz-checksum-type", "FULL_OBJECT");
    s3_answer_clean_up(&a);
    s3_call(url, REQUEST(.method = "GET", .path = path("/k")), &a);
    assert_header(&a, "x-amz-checksum-crc32", "");
    s3_answer_clean_up(&a);
    s3_call(url,
            REQUEST(.method = "GET", .path = path("/k"),
                    .headers = HEADERS("x-amz-checksum-mode", "ENABLED", "Range", "bytes=0-1")),
            &a);
    assert_int_equal(a.status, 206);
    assert_header(&a, "x-amz-checksum-crc32", ""); /* it is not that of a part */
    s3_answer_clean_up(&a);
}

static void
a_body_that_is_not_the_signed_one_is_refused(void **state)
{
    (void)state;
    path("");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"),
                         .payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                 400, "XAmzContentSHA256Mismatch");
    assert_int_equal(
        call(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"), .payload = "UNSIGNED-PAYLOAD")), 200);
    assert_body("/k", SLICE("hello"));
}

/* ---- aws-chunked ------------------------------------------------------------------------------------------------- */

static void
an_upload_in_chunks_is_stored_without_its_framing(void **state)
{
    (void)state;
    struct s3_answer a;
    path("");
    assert_int_equal(call(REQUEST(.method = "PUT", .path = path("/k"), .payload = TRAILER, .body = SLICE(HELLO_CHUNKED),
                                  .headers = HEADERS("x-amz-decoded-content-length", "5", "x-amz-trailer",
                                                     "x-amz-checksum-crc32", "Content-Encoding", "aws-chunked"))),
                     200);
    s3_call(url, REQUEST(.method = "GET", .path = path("/k"), .headers = HEADERS("x-amz-checksum-mode", "ENABLED")),
            &a);
    assert_int_equal(a.body.n, 5);
    assert_memory_equal(a.body.p, "hello", 5);
    assert_header(&a, "ETag", HELLO_MD5);
    assert_header(&a, "Content-Encoding", "");
    assert_header(&a, "x-amz-checksum-crc32", HELLO_CRC32);
    s3_answer_clean_up(&a);
    assert_int_equal(
        call(REQUEST(.method = "PUT", .path = path("/z"), .payload = TRAILER, .body = SLICE("5\r\nhello\r\n0\r\n\r\n"),
                     .headers = HEADERS("x-amz-decoded-content-length", "5", "Content-Encoding", "aws-chunked,gzip"))),
        200);
    s3_call(url, REQUEST(.method = "HEAD", .path = path("/z")), &a);
    assert_header(&a, "Content-Encoding", "gzip");
    s3_answer_clean_up(&a);
}

static void
assert_chunked(struct slice body, const char *length, int status, const char *code)
{
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .payload = TRAILER, .body = body,
                         .headers = HEADERS("x-amz-decoded-content-length", length)),
                 status, code);
}

static void
a_broken_upload_in_chunks_stores_nothing(void **state)
{
    (void)state;
    path("");
    assert_chunked(SLICE("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), "5", 400, "BadDigest");
    assert_chunked(SLICE("5\r\nhello\r\n0\r\nx-amz-checksum-crc32\r\n\r\n"), "5", 400, "MalformedTrailerError");
    assert_chunked(SLICE("5\r\nhello\r\n"), "5", 400, "IncompleteBody");
    assert_chunked(SLICE("5\r\nhel"), "5", 400, "IncompleteBody");
    assert_chunked(SLICE("hello"), "5", 400, "IncompleteBody");
    assert_chunked(SLICE(HELLO_CHUNKED), "4", 400, "IncompleteBody");
    assert_chunked(SLICE(HELLO_CHUNKED), "5x", 400, "InvalidArgument");
    assert_chunked(SLICE(HELLO_CHUNKED), "99999999999999999999999999", 400, "InvalidArgument");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .payload = TRAILER, .body = SLICE(HELLO_CHUNKED)), 411,
                 "MissingContentLength");
    assert_error(REQUEST(.method = "GET", .path = path("/k")), 404, "NoSuchKey");
}

#define SIGNED         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define SIGNED_TRAILER "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

static void
an_upload_signed_chunk_by_chunk_is_stored(void **state)
{
    (void)state;
    path("");
    for (size_t chunk = 1; chunk <= 6; chunk++) {
        assert_int_equal(call(REQUEST(.method = "PUT", .path = path("/k"), .payload = SIGNED, .body = SLICE("hello"),
                                      .chunk_bytes = chunk, .headers = HEADERS("x-amz-decoded-content-length", "5"))),
                         200);
        assert_body("/k", SLICE("hello"));
        assert_int_equal(call(REQUEST(.method = "DELETE", .path = path("/k"))), 204);
        assert_int_equal(
            call(REQUEST(.method = "PUT", .path = path("/k"), .payload = SIGNED_TRAILER, .body = SLICE("hello"),
                         .chunk_bytes = chunk, .trailer = "x-amz-checksum-crc32:" HELLO_CRC32,
                         .headers = HEADERS("x-amz-decoded-content-length", "5"))),
            200);
        assert_body("/k", SLICE("hello"));
    }
    assert_int_equal(call(REQUEST(.method = "PUT", .path = path("/none"), .payload = SIGNED, .chunk_bytes = 1,
                                  .headers = HEADERS("x-amz-decoded-content-length", "0"))),
                     200);
    assert_body("/none", SLICE(""));
}

static void
a_chunk_or_trailer_with_a_wrong_signature_stores_nothing(void **state)
{
    (void)state;
    path("");
    for (unsigned wrong = 1; wrong <= 4; wrong++) /* two chunks, the last and empty one, the trailer */
        assert_error(REQUEST(.method = "PUT", .path = path("/k"), .payload = SIGNED_TRAILER, .body = SLICE("hello"),
                             .chunk_bytes = 3, .trailer = "x-amz-checksum-crc32:" HELLO_CRC32, .wrong_signature = wrong,
                             .headers = HEADERS("x-amz-decoded-content-length", "5")),
                     403, "SignatureDoesNotMatch");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .payload = SIGNED, .body = SLICE(HELLO_CHUNKED),
                         .headers = HEADERS("x-amz-decoded-content-length", "5")),
                 403, "SignatureDoesNotMatch");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .payload = SIGNED_TRAILER, .body = SLICE("hello"),
                         .chunk_bytes = 5, .headers = HEADERS("x-amz-decoded-content-length", "5")),
                 403, "SignatureDoesNotMatch"); /* no trailer at all */
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .payload = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
                         .body = SLICE(HELLO_CHUNKED)),
                 501, "NotImplemented");
    assert_error(REQUEST(.method = "GET", .path = path("/k")), 404, "NoSuchKey");
}

/* ---- buckets and addresses --------------------------------------------------------------------------------------- */

static void
a_bucket_has_one_of_aws_s_names(void **state)
{
    (void)state;
    static const char *const GOOD[] = {
        "/abc",           "/a.b-c.9",        "/192.168.5",
        "/192.168.5.4.1", "/192.168.5.1234", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const BAD[] = {"/ab",
                                      "/Abc",
                                      "/-abc",
                                      "/abc-",
                                      "/.abc",
                                      "/a..b",
                                      "/a_b",
                                      "/a%20b",
                                      "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                      "/192.168.5.4",
                                      "/xn--abc",
                                      "/sthree-abc",
                                      "/amzn-s3-demo-abc",
                                      "/abc-s3alias",
                                      "/abc--ol-s3",
                                      "/abc.mrap",
                                      "/abc--x-s3",
                                      "/abc--table-s3"};
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        assert_int_equal(call(REQUEST(.method = "PUT", .path = GOOD[i])), 200);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_error(REQUEST(.method = "PUT", .path = BAD[i]), 400, "InvalidBucketName");
}

static void
buckets_are_made_found_listed_and_removed_when_empty(void **state)
{
    (void)state;
    struct s3_answer a;
    char text[200];
    path("");
    put("/k", SLICE("hello"));
    s3_call(url, REQUEST(.method = "GET", .path = "/"), &a);
    assert_int_equal(a.status, 200);
    snprintf(text, sizeof text, "<Name>bucket-%u</Name>", n_buckets);
    assert_int_equal(s3_answer_count(&a, text), 1);
    s3_answer_clean_up(&a);
    char bucket[64];
    snprintf(bucket, sizeof bucket, "/bucket-%u", n_buckets);
    s3_call(url, REQUEST(.method = "HEAD", .path = bucket), &a);
    assert_int_equal(a.status, 200);
    assert_header(&a, "x-amz-bucket-region", "us-east-1");
    s3_answer_clean_up(&a);
    s3_call(url, REQUEST(.method = "GET", .path = bucket, .query = "location"), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(s3_answer_count(&a, "<LocationConstraint"), 1);
    s3_answer_clean_up(&a);
    assert_int_equal(call(REQUEST(.method = "PUT", .path = bucket)), 200); /* again: us-east-1 says yes */
    assert_error(REQUEST(.method = "DELETE", .path = bucket), 409, "BucketNotEmpty");
    assert_int_equal(call(REQUEST(.method = "DELETE", .path = path("/k"))), 204);
    assert_int_equal(call(REQUEST(.method = "DELETE", .path = bucket)), 204);
    assert_error(REQUEST(.method = "DELETE", .path = bucket), 404, "NoSuchBucket");
}

static void
a_bucket_may_be_in_the_host_s_name(void **state)
{
    (void)state;
    struct s3_answer a;
    char host[100];
    path("");
    put("/dir/k", SLICE("hello"));
    static const char *const HOSTS[] = {"bucket-%u.localhost:%s", "bucket-%u.s3.localhost:%s",
                                        "bucket-%u.s3.us-east-1.amazonaws.com", "bucket-%u.s3.amazonaws.com:%s"};
    for (size_t i = 0; i < sizeof HOSTS / sizeof *HOSTS; i++) {
        char format[100];
        snprintf(format, sizeof format, "%s", HOSTS[i]);
        char *port = strstr(format, ":%s");
        if (port)
            snprintf(port, sizeof format - (size_t)(port - format), "%s", strrchr(url, ':'));
        const char *dot = strchr(format, '.');
        snprintf(host, sizeof host, "bucket-%u%s", n_buckets, dot);
        s3_call(url, REQUEST(.method = "GET", .path = "/dir/k", .host = host), &a);
        assert_int_equal(a.status, 200);
        assert_memory_equal(a.body.p, "hello", 5);
        s3_answer_clean_up(&a);
        s3_call(url, REQUEST(.method = "GET", .path = "/", .query = "list-type=2", .host = host), &a);
        assert_int_equal(s3_answer_count(&a, "<Key>dir/k</Key>"), 1);
        s3_answer_clean_up(&a);
    }
}

static void
a_key_may_begin_like_the_admin_path(void **state)
{
    (void)state;
    char host[100];
    path("");
    snprintf(host, sizeof host, "bucket-%u.localhost", n_buckets);
    assert_int_equal(call(REQUEST(.method = "PUT", .path = "/_fanout/health", .host = host, .body = SLICE("hello"))),
                     200);
    assert_body("/_fanout/health", SLICE("hello"));
}

static void
what_is_not_implemented_says_so(void **state)
{
    (void)state;
    path("");
    put("/k", SLICE("hello"));
    assert_error(REQUEST(.method = "POST", .path = path("/k"), .query = "uploads"), 501, "NotImplemented");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .query = "partNumber=1&uploadId=x"), 501,
                 "NotImplemented");
    assert_error(REQUEST(.method = "GET", .path = path("/k"), .query = "versionId=1"), 501, "NotImplemented");
    assert_error(REQUEST(.method = "GET", .path = path("/k"), .query = "tagging"), 501, "NotImplemented");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .headers = HEADERS("x-amz-copy-source", "/a/b")), 501,
                 "NotImplemented");
    char bucket[64];
    snprintf(bucket, sizeof bucket, "/bucket-%u", n_buckets);
    assert_error(REQUEST(.method = "GET", .path = bucket), 501, "NotImplemented");
    assert_error(REQUEST(.method = "POST", .path = bucket, .query = "delete"), 501, "NotImplemented");
    assert_body("/k", SLICE("hello"));
}

static void
a_wrong_secret_is_refused(void **state)
{
    (void)state;
    path("");
    put("/k", SLICE("hello"));
    assert_error(REQUEST(.method = "GET", .path = path("/k"), .secret = "wrong"), 403, "SignatureDoesNotMatch");
    assert_error(REQUEST(.method = "DELETE", .path = path("/k"), .secret = "wrong"), 403, "SignatureDoesNotMatch");
    assert_body("/k", SLICE("hello"));
}

static void
a_header_of_s3_s_that_is_not_signed_is_refused(void **state)
{
    (void)state;
    path("");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"),
                         .unsigned_header = "X-Amz-Meta-Colour: red"),
                 403, "AccessDenied");
    assert_error(REQUEST(.method = "GET", .path = path("/k")), 404, "NoSuchKey");
    struct s3_answer a;
    s3_call(url,
            REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello"), .unsigned_header = "X-Amazing: yes"),
            &a);
    assert_int_equal(a.status, 200);
    s3_answer_clean_up(&a);
}

/* What aws-cli 1 and boto3 presign with by default, and AWS takes for no bucket made after June 2020. */
static void
signature_version_2_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const TARGETS[] = {
        "/bucket/key?AWSAccessKeyId=test&Signature=uAnK95Z19g3NKclSu%2FYDyScvNzw%3D&Expires=4102444800",
        "/bucket/key?Expires=4102444800&Signature=x&AWSAccessKeyId=test",
    };
    struct aws_call c;
    aws_call_init(&c, url);
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
        assert_int_equal(aws_call_plain(&c, "GET", TARGETS[i], ""), 400);
        assert_non_null(memmem(c.body.p, c.body.n, "<Code>InvalidRequest</Code>", 27));
        assert_non_null(memmem(c.body.p, c.body.n, "Please use AWS4-HMAC-SHA256.", 28));
    }
    aws_call_clean_up(&c);
}

static void
set_fault(const char *json)
{
    admin_set_fault(url, json);
}

static void
a_fault_is_told_in_s3_s_words(void **state)
{
    (void)state;
    struct s3_answer a;
    path("");
    set_fault("{\"action\":\"s3:PutObject\",\"kind\":\"error\",\"status\":503,\"code\":\"SlowDown\"}");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello")), 503, "SlowDown");
    assert_error(REQUEST(.method = "GET", .path = path("/k")), 404, "NoSuchKey");
    set_fault("{\"action\":\"s3:PutObject\",\"kind\":\"error\"}");
    assert_error(REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello")), 500, "InternalError");
    set_fault("{\"action\":\"s3:PutObject\",\"kind\":\"drop_after\"}");
    s3_call(url, REQUEST(.method = "PUT", .path = path("/k"), .body = SLICE("hello")), &a);
    assert_int_equal(a.status, 0);
    s3_answer_clean_up(&a);
    assert_body("/k", SLICE("hello"));
    set_fault("{\"action\":\"s3:GetObject\",\"kind\":\"drop_before\"}");
    s3_call(url, REQUEST(.method = "GET", .path = path("/k")), &a);
    assert_int_equal(a.status, 0);
    s3_answer_clean_up(&a);
    assert_body("/k", SLICE("hello"));
}

static void
an_object_survives_kill_9_right_after_the_answer(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct proc *of_the_others = server;
    char url_of_the_others[sizeof url];
    memcpy(url_of_the_others, url, sizeof url);
    const char *argv[] = {
        proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data", dir, "--no-provision", NULL};
    start(argv);
    path("");
    put("/k", SLICE("hello"));
    proc_signal(server, SIGKILL);
    assert_int_equal(proc_wait_exit(server, 20000), -SIGKILL);
    proc_destroy(server);
    start(argv);
    assert_body("/k", SLICE("hello"));
    stop_server(NULL);
    server = of_the_others;
    memcpy(url, url_of_the_others, sizeof url);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_comes_back_as_it_was_put),
        cmocka_unit_test(what_an_object_is_comes_in_headers),
        cmocka_unit_test(two_kilobytes_of_metadata_come_back_and_more_is_refused),
        cmocka_unit_test(keys_are_any_text),
        cmocka_unit_test(a_key_ends_at_1024_bytes_and_is_utf_8),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(a_delete_removes_and_may_be_repeated),
        cmocka_unit_test(a_write_can_depend_on_what_is_there),
        cmocka_unit_test(a_read_can_depend_on_what_is_there),
        cmocka_unit_test(a_range_gives_a_part),
        cmocka_unit_test(a_right_checksum_is_taken_and_a_wrong_one_stores_nothing),
        cmocka_unit_test(an_object_s_checksum_comes_back_where_it_is_asked_for),
        cmocka_unit_test(a_body_that_is_not_the_signed_one_is_refused),
        cmocka_unit_test(an_upload_in_chunks_is_stored_without_its_framing),
        cmocka_unit_test(a_broken_upload_in_chunks_stores_nothing),
        cmocka_unit_test(an_upload_signed_chunk_by_chunk_is_stored),
        cmocka_unit_test(a_chunk_or_trailer_with_a_wrong_signature_stores_nothing),
        cmocka_unit_test(a_bucket_has_one_of_aws_s_names),
        cmocka_unit_test(buckets_are_made_found_listed_and_removed_when_empty),
        cmocka_unit_test(a_bucket_may_be_in_the_host_s_name),
        cmocka_unit_test(a_key_may_begin_like_the_admin_path),
        cmocka_unit_test(what_is_not_implemented_says_so),
        cmocka_unit_test(a_wrong_secret_is_refused),
        cmocka_unit_test(a_header_of_s3_s_that_is_not_signed_is_refused),
        cmocka_unit_test(signature_version_2_is_refused_by_name),
        cmocka_unit_test(a_fault_is_told_in_s3_s_words),
        cmocka_unit_test(an_object_survives_kill_9_right_after_the_answer),
    };
    return cmocka_run_group_tests_name("local_s3", tests, start_server, stop_server);
}
