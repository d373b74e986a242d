/* The S3 of fanout-local, byte by byte over a socket: objects and buckets. Listings are in test_local_s3_list.c,
 * uploads in test_local_s3_checked.c, refusals and faults in test_local_s3_refused.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/s3_server.h"

/* ---- objects ----------------------------------------------------------------------------------------------------- */

static void
an_object_comes_back_as_it_was_put(void **state)
{
    (void)state;
    struct s3_answer a;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    s3_server_path("");
    s3_server_put("/all", slice_of(bytes, sizeof bytes));
    s3_server_assert_body("/all", slice_of(bytes, sizeof bytes));
    s3_server_put("/all", SLICE("hello"));
    s3_server_assert_body("/all", SLICE("hello"));
    s3_server_put("/none", SLICE(""));
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = s3_server_path("/none")), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 0);
    s3_server_assert_header(&a, "Content-Length", "0");
    s3_answer_clean_up(&a);
}

static void
what_an_object_is_comes_in_headers(void **state)
{
    (void)state;
    struct s3_answer a;
    s3_server_path("");
    s3_call(
        s3_server_url,
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                .headers = HEADERS("Content-Type", "text/plain", "x-amz-meta-Colour", "green", "x-amz-meta-empty", "",
                                   "Cache-Control", "no-store", "Content-Encoding", "identity", "X-Unknown", "1")),
        &a);
    assert_int_equal(a.status, 200);
    s3_server_assert_header(&a, "ETag", HELLO_MD5);
    assert_int_equal(a.body.n, 0);
    s3_answer_clean_up(&a);
    static const char *const METHODS[] = {"GET", "HEAD"};
    for (size_t i = 0; i < 2; i++) {
        s3_call(s3_server_url, REQUEST(.method = METHODS[i], .path = s3_server_path("/k")), &a);
        assert_int_equal(a.status, 200);
        s3_server_assert_header(&a, "ETag", HELLO_MD5);
        s3_server_assert_header(&a, "Content-Length", "5");
        s3_server_assert_header(&a, "Content-Type", "text/plain");
        s3_server_assert_header(&a, "x-amz-meta-colour", "green");
        s3_server_assert_header(&a, "Cache-Control", "no-store");
        s3_server_assert_header(&a, "Content-Encoding", "identity");
        s3_server_assert_header(&a, "Accept-Ranges", "bytes");
        s3_server_assert_header(&a, "X-Unknown", "");
        assert_int_equal(s3_answer_header(&a, "Last-Modified").n, strlen("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_int_equal(s3_answer_header(&a, "x-amz-request-id").n, 36);
        assert_int_equal(a.body.n, i == 0 ? 5 : 0);
        s3_answer_clean_up(&a);
    }
    s3_server_put("/k", SLICE("x")); /* all of it is replaced */
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = s3_server_path("/k")), &a);
    s3_server_assert_header(&a, "Content-Type", "binary/octet-stream");
    s3_server_assert_header(&a, "x-amz-meta-colour", "");
    s3_server_assert_header(&a, "Cache-Control", "");
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
    return s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .headers = headers));
}

static void
two_kilobytes_of_metadata_come_back_and_more_is_refused(void **state)
{
    (void)state;
    struct s3_answer a;
    s3_server_path("");
    assert_int_equal(put_metadata(150), 200);
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = s3_server_path("/k")), &a);
    s3_server_assert_header(&a, "x-amz-meta-m000", "abcdef");
    s3_server_assert_header(&a, "x-amz-meta-m149", "abcdef");
    s3_answer_clean_up(&a);
    char value[2048];
    memset(value, 'v', sizeof value);
    value[2047] = '\0'; /* with its name of one byte that makes 2,048 */
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path("/l"),
                                            .headers = HEADERS("x-amz-meta-n", value))),
                     200);
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/l"), .headers = HEADERS("x-amz-meta-no", value)), 400,
        "MetadataTooLarge");
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = s3_server_path("/l")), &a);
    s3_server_assert_header(&a, "x-amz-meta-n", value);
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
    s3_server_path("");
    for (size_t i = 0; i < N; i++)
        s3_server_put(PATHS[i], slice_of_string(PATHS[i]));
    for (size_t i = 0; i < N; i++)
        if (strcmp(PATHS[i], "/a+b") != 0) /* which is the same key as /a%2Bb: in a path a plus is a plus */
            s3_server_assert_body(PATHS[i], slice_of_string(PATHS[i]));
    s3_server_assert_body("/a+b", SLICE("/a%2Bb"));
}

static void
a_key_ends_at_1024_bytes_and_is_utf_8(void **state)
{
    (void)state;
    char key[1100];
    s3_server_path("");
    memset(key, 'k', sizeof key);
    key[0] = '/';
    key[1025] = '\0';
    s3_server_put(key, SLICE("hello"));
    s3_server_assert_body(key, SLICE("hello"));
    key[1025] = 'k';
    key[1026] = '\0';
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path(key)), 400, "KeyTooLongError");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/%FF")), 400, "InvalidURI");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/%C3")), 400, "InvalidURI");
}

static void
what_is_not_there_is_named(void **state)
{
    (void)state;
    struct s3_answer a;
    char text[200];
    s3_server_path("");
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = s3_server_path("/no%20%26%20where")), &a);
    assert_int_equal(a.status, 404);
    assert_string_equal(s3_answer_text(&a, "Code", text, sizeof text), "NoSuchKey");
    assert_string_equal(s3_answer_text(&a, "Key", text, sizeof text), "no &amp; where");
    s3_answer_text(&a, "RequestId", text, sizeof text);
    s3_server_assert_header(&a, "x-amz-request-id", text);
    s3_server_assert_header(&a, "Content-Type", "application/xml");
    s3_answer_clean_up(&a);
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = s3_server_path("/nowhere")), &a);
    assert_int_equal(a.status, 404);
    assert_int_equal(a.body.n, 0);
    s3_answer_clean_up(&a);
    static const char *const METHODS[] = {"GET", "PUT", "DELETE"};
    for (size_t i = 0; i < 3; i++)
        s3_server_assert_error(REQUEST(.method = METHODS[i], .path = "/no-such-bucket/k"), 404, "NoSuchBucket");
    s3_server_assert_error(REQUEST(.method = "GET", .path = "/no-such-bucket", .query = "list-type=2"), 404,
                           "NoSuchBucket");
    s3_server_assert_error(REQUEST(.method = "GET", .path = "/no-such-bucket", .query = "location"), 404,
                           "NoSuchBucket");
    s3_server_assert_error(REQUEST(.method = "DELETE", .path = "/no-such-bucket"), 404, "NoSuchBucket");
    assert_int_equal(s3_server_call(REQUEST(.method = "HEAD", .path = "/no-such-bucket")), 404);
}

static void
a_delete_removes_and_may_be_repeated(void **state)
{
    (void)state;
    s3_server_path("");
    s3_server_put("/k", SLICE("hello"));
    s3_server_put("/k2", SLICE("hello"));
    assert_int_equal(s3_server_call(REQUEST(.method = "DELETE", .path = s3_server_path("/k"))), 204);
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k")), 404, "NoSuchKey");
    assert_int_equal(s3_server_call(REQUEST(.method = "DELETE", .path = s3_server_path("/k"))), 204);
    s3_server_assert_body("/k2", SLICE("hello"));
}

/* ---- conditions and ranges --------------------------------------------------------------------------------------- */

static int
put_if(const char *suffix, const char *condition, const char *value)
{
    return s3_server_call(REQUEST(.method = "PUT", .path = s3_server_path(suffix), .body = SLICE("new"),
                                  .headers = HEADERS(condition, value)));
}

static void
a_write_can_depend_on_what_is_there(void **state)
{
    (void)state;
    s3_server_path("");
    assert_int_equal(put_if("/k", "If-None-Match", "*"), 200);
    s3_server_put("/k", SLICE("hello"));
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .headers = HEADERS("If-None-Match", "*")), 412,
        "PreconditionFailed");
    s3_server_assert_body("/k", SLICE("hello"));
    assert_int_equal(put_if("/k", "If-Match", "\"0123\""), 412);
    s3_server_assert_body("/k", SLICE("hello"));
    assert_int_equal(put_if("/k", "If-Match", HELLO_MD5), 200);
    s3_server_assert_body("/k", SLICE("new"));
    assert_int_equal(put_if("/k", "If-Match", "22af645d1859cb5ca6da0c484f1f37ea"), 200); /* without its quotes */
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/nowhere"), .headers = HEADERS("If-Match", HELLO_MD5)), 404,
        "NoSuchKey");
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .headers = HEADERS("If-None-Match", HELLO_MD5)), 501,
        "NotImplemented");
}

static int
get_if(const char *condition, const char *value)
{
    return s3_server_call(REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS(condition, value)));
}

static void
a_read_can_depend_on_what_is_there(void **state)
{
    (void)state;
    static const char PAST[] = "Sun, 06 Nov 1994 08:49:37 GMT", FUTURE[] = "Fri, 31 Dec 9999 23:59:59 GMT";
    struct s3_answer a;
    char modified[64];
    s3_server_path("");
    s3_server_put("/k", SLICE("hello"));
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = s3_server_path("/k")), &a);
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
    s3_call(s3_server_url,
            REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("If-None-Match", HELLO_MD5)), &a);
    s3_server_assert_header(&a, "ETag", HELLO_MD5);
    assert_int_equal(a.body.n, 0);
    s3_answer_clean_up(&a);
}

static void
assert_part(const char *range, const char *content_range, const char *body)
{
    struct s3_answer a;
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("Range", range)),
            &a);
    assert_int_equal(a.status, 206);
    s3_server_assert_header(&a, "Content-Range", content_range);
    assert_int_equal(a.body.n, strlen(body));
    assert_memory_equal(a.body.p, body, a.body.n);
    s3_answer_clean_up(&a);
}

static void
a_range_gives_a_part(void **state)
{
    (void)state;
    struct s3_answer a;
    s3_server_path("");
    s3_server_put("/k", SLICE("0123456789"));
    assert_part("bytes=2-4", "bytes 2-4/10", "234");
    assert_part("bytes=7-", "bytes 7-9/10", "789");
    assert_part("bytes=-3", "bytes 7-9/10", "789");
    assert_part("bytes=8-100", "bytes 8-9/10", "89");
    s3_call(s3_server_url,
            REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("Range", "bytes=10-")), &a);
    assert_int_equal(a.status, 416);
    s3_server_assert_header(&a, "Content-Range", "bytes */10");
    s3_answer_clean_up(&a);
    s3_server_assert_error(
        REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("Range", "bytes=10-")), 416,
        "InvalidRange");
    s3_call(s3_server_url,
            REQUEST(.method = "GET", .path = s3_server_path("/k"), .headers = HEADERS("Range", "bytes=0-1,3-4")), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 10);
    s3_answer_clean_up(&a);
    s3_call(s3_server_url,
            REQUEST(.method = "HEAD", .path = s3_server_path("/k"), .headers = HEADERS("Range", "bytes=2-4")), &a);
    assert_int_equal(a.status, 206);
    s3_server_assert_header(&a, "Content-Length", "3");
    s3_answer_clean_up(&a);
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
        assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = GOOD[i])), 200);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        s3_server_assert_error(REQUEST(.method = "PUT", .path = BAD[i]), 400, "InvalidBucketName");
}

static void
buckets_are_made_found_listed_and_removed_when_empty(void **state)
{
    (void)state;
    struct s3_answer a;
    char text[200];
    s3_server_path("");
    s3_server_put("/k", SLICE("hello"));
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = "/"), &a);
    assert_int_equal(a.status, 200);
    snprintf(text, sizeof text, "<Name>bucket-%u</Name>", s3_server_buckets);
    assert_int_equal(s3_answer_count(&a, text), 1);
    s3_answer_clean_up(&a);
    char bucket[64];
    snprintf(bucket, sizeof bucket, "/bucket-%u", s3_server_buckets);
    s3_call(s3_server_url, REQUEST(.method = "HEAD", .path = bucket), &a);
    assert_int_equal(a.status, 200);
    s3_server_assert_header(&a, "x-amz-bucket-region", "us-east-1");
    s3_answer_clean_up(&a);
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = bucket, .query = "location"), &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(s3_answer_count(&a, "<LocationConstraint"), 1);
    s3_answer_clean_up(&a);
    assert_int_equal(s3_server_call(REQUEST(.method = "PUT", .path = bucket)), 200); /* again: us-east-1 says yes */
    s3_server_assert_error(REQUEST(.method = "DELETE", .path = bucket), 409, "BucketNotEmpty");
    assert_int_equal(s3_server_call(REQUEST(.method = "DELETE", .path = s3_server_path("/k"))), 204);
    assert_int_equal(s3_server_call(REQUEST(.method = "DELETE", .path = bucket)), 204);
    s3_server_assert_error(REQUEST(.method = "DELETE", .path = bucket), 404, "NoSuchBucket");
}

static void
a_bucket_may_be_in_the_host_s_name(void **state)
{
    (void)state;
    struct s3_answer a;
    char host[100];
    s3_server_path("");
    s3_server_put("/dir/k", SLICE("hello"));
    static const char *const HOSTS[] = {"bucket-%u.localhost:%s", "bucket-%u.s3.localhost:%s",
                                        "bucket-%u.s3.us-east-1.amazonaws.com", "bucket-%u.s3.amazonaws.com:%s"};
    for (size_t i = 0; i < sizeof HOSTS / sizeof *HOSTS; i++) {
        char format[100];
        snprintf(format, sizeof format, "%s", HOSTS[i]);
        char *port = strstr(format, ":%s");
        if (port)
            snprintf(port, sizeof format - (size_t)(port - format), "%s", strrchr(s3_server_url, ':'));
        const char *dot = strchr(format, '.');
        snprintf(host, sizeof host, "bucket-%u%s", s3_server_buckets, dot);
        s3_call(s3_server_url, REQUEST(.method = "GET", .path = "/dir/k", .host = host), &a);
        assert_int_equal(a.status, 200);
        assert_memory_equal(a.body.p, "hello", 5);
        s3_answer_clean_up(&a);
        s3_call(s3_server_url, REQUEST(.method = "GET", .path = "/", .query = "list-type=2", .host = host), &a);
        assert_int_equal(s3_answer_count(&a, "<Key>dir/k</Key>"), 1);
        s3_answer_clean_up(&a);
    }
}

static void
a_key_may_begin_like_the_admin_path(void **state)
{
    (void)state;
    char host[100];
    s3_server_path("");
    snprintf(host, sizeof host, "bucket-%u.localhost", s3_server_buckets);
    assert_int_equal(
        s3_server_call(REQUEST(.method = "PUT", .path = "/_fanout/health", .host = host, .body = SLICE("hello"))), 200);
    s3_server_assert_body("/_fanout/health", SLICE("hello"));
}

static void
what_is_not_implemented_says_so(void **state)
{
    (void)state;
    s3_server_path("");
    s3_server_put("/k", SLICE("hello"));
    s3_server_assert_error(REQUEST(.method = "POST", .path = s3_server_path("/k"), .query = "uploads"), 501,
                           "NotImplemented");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .query = "partNumber=1&uploadId=x"),
                           501, "NotImplemented");
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k"), .query = "versionId=1"), 501,
                           "NotImplemented");
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k"), .query = "tagging"), 501,
                           "NotImplemented");
    s3_server_assert_error(
        REQUEST(.method = "PUT", .path = s3_server_path("/k"), .headers = HEADERS("x-amz-copy-source", "/a/b")), 501,
        "NotImplemented");
    char bucket[64];
    snprintf(bucket, sizeof bucket, "/bucket-%u", s3_server_buckets);
    s3_server_assert_error(REQUEST(.method = "GET", .path = bucket), 501, "NotImplemented");
    s3_server_assert_error(REQUEST(.method = "POST", .path = bucket, .query = "delete"), 501, "NotImplemented");
    s3_server_assert_body("/k", SLICE("hello"));
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
        cmocka_unit_test(a_bucket_has_one_of_aws_s_names),
        cmocka_unit_test(buckets_are_made_found_listed_and_removed_when_empty),
        cmocka_unit_test(a_bucket_may_be_in_the_host_s_name),
        cmocka_unit_test(a_key_may_begin_like_the_admin_path),
        cmocka_unit_test(what_is_not_implemented_says_so),
    };
    return cmocka_run_group_tests_name("local_s3", tests, s3_server_start, s3_server_stop);
}
