#include "aws/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/digest.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MARK         "what the search finds"
#define SECRET       "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HEADER(n, v)                                                                                                   \
    {                                                                                                                  \
        .name = SLICE(n), .value = SLICE(v)                                                                            \
    }
#define DAY_MS INT64_C(86400000)
#define NOW_MS INT64_C(1795154400000) /* 2026-11-20T06:00:00Z */

static const struct sigv4_credentials CREDENTIALS = {.access_key_id = SLICE("AKIDEXAMPLE"),
                                                     .secret_access_key = SLICE(SECRET)};
static const struct sigv4_scope SQS = {.region = SLICE("eu-west-1"),
                                       .service = SLICE("sqs"),
                                       .wall_ms = NOW_MS,
                                       .normalize_path = true,
                                       .encode_path_twice = true};
static const struct sigv4_scope S3 = {.region = SLICE("eu-west-1"), .service = SLICE("s3"), .wall_ms = NOW_MS};
static const struct sigv4_header HOST[] = {HEADER("host", "h")};

/* The n-th line (from 0) of the canonical request of path, query and headers. */
static void
assert_canonical_line(int n, const struct sigv4_request *request, const struct sigv4_scope *scope, const char *expected)
{
    struct buf text = BUF_INIT;
    assert_int_equal(sigv4_canonical_request(request, scope, &text, NULL, NULL), 0);
    char *line = text.data;
    for (int i = 0; i < n; i++)
        line = strchr(line, '\n') + 1;
    *strchr(line, '\n') = '\0';
    assert_string_equal(line, expected);
    buf_clean_up(&text);
}

static void
assert_path(const char *path, const struct sigv4_scope *scope, const char *expected)
{
    struct sigv4_request request = {.method = SLICE("GET"),
                                    .path = slice_of_string(path),
                                    .headers = HOST,
                                    .n_headers = 1,
                                    .payload_hash = SLICE(EMPTY_SHA256)};
    assert_canonical_line(1, &request, scope, expected);
}

static void
assert_query(const char *query, const char *expected)
{
    struct sigv4_request request = {.method = SLICE("GET"),
                                    .query = slice_of_string(query),
                                    .headers = HOST,
                                    .n_headers = 1,
                                    .payload_hash = SLICE(EMPTY_SHA256)};
    assert_canonical_line(2, &request, &SQS, expected);
    assert_canonical_line(2, &request, &S3, expected);
}

static void
assert_header_block(const struct sigv4_header *headers, size_t n, const char *lines, const char *names)
{
    struct sigv4_request request = {
        .method = SLICE("GET"), .headers = headers, .n_headers = n, .payload_hash = SLICE(EMPTY_SHA256)};
    struct buf text = BUF_INIT, signed_headers = BUF_INIT, expected = BUF_INIT;
    assert_int_equal(sigv4_canonical_request(&request, &SQS, &text, &signed_headers, NULL), 0);
    buf_add_format(&expected, "GET\n/\n\n%s\n%s\n" EMPTY_SHA256, lines, names);
    assert_string_equal(text.data, expected.data);
    assert_string_equal(signed_headers.data, names);
    buf_clean_up(&text);
    buf_clean_up(&signed_headers);
    buf_clean_up(&expected);
}

static void
an_encoded_path_is_encoded_again(void **state)
{
    (void)state;
    assert_path("/a%20b/%E1%88%B4/x%2Fy", &SQS, "/a%2520b/%25E1%2588%25B4/x%252Fy");
    assert_path("/queue/with space", &SQS, "/queue/with%20space");
    assert_path("/a%zz%", &SQS, "/a%25zz%25");
}

static void
dot_segments_and_double_slashes_go(void **state)
{
    (void)state;
    assert_path("", &SQS, "/");
    assert_path("/", &SQS, "/");
    assert_path("/a/./b/../../c", &SQS, "/c");
    assert_path("/../../..", &SQS, "/");
    assert_path("/../a/", &SQS, "/a/");
    assert_path("//a///b//", &SQS, "/a/b/");
    assert_path("/a/..b/...", &SQS, "/a/..b/...");
    assert_path("/a%2Fb/..", &SQS, "/");
}

static void
s3_paths_are_encoded_once_and_kept_as_they_are(void **state)
{
    (void)state;
    assert_path("", &S3, "/");
    assert_path("/raw-events/a%20b%2B%C3%A9.json", &S3, "/raw-events/a%20b%2B%C3%A9.json");
    assert_path("/b/../c//./d", &S3, "/b/../c//./d");
    assert_path("/x%2fy/z", &S3, "/x%2Fy/z");
    assert_path("/%7e%41(1)", &S3, "/~A%281%29");
    assert_path("/100%/%zz", &S3, "/100%25/%25zz");
}

static void
queries_are_sorted_as_encoded_by_name_then_value(void **state)
{
    (void)state;
    assert_query("", "");
    assert_query("b=1&a=2", "a=2&b=1");
    assert_query("a=2&a=10&a=1", "a=1&a=10&a=2");
    assert_query("a-b=1&a=2&a=&ab=3", "a=&a=2&a-b=1&ab=3");
    assert_query("a.b=1&a=x", "a=x&a.b=1");
    assert_query("Z=1&a=1&%41=0", "A=0&Z=1&a=1");
    assert_query("%E1%88%B4=v&z=1", "%E1%88%B4=v&z=1");
    assert_query("~=1&%7D=2", "%7D=2&~=1");
}

static void
queries_have_one_spelling(void **state)
{
    (void)state;
    assert_query("lifecycle", "lifecycle=");
    assert_query("acl&versionId=3", "acl=&versionId=3");
    assert_query("&&a=1&&b&", "a=1&b=");
    assert_query("=v", "=v");
    assert_query("a=b=c", "a=b%3Dc");
    assert_query("a=x%20y", "a=x%20y");
    assert_query("a=x y", "a=x%20y");
    assert_query("a=1+1", "a=1%2B1");
    assert_query("a=1%2b1", "a=1%2B1");
    assert_query("prefix=raw-events/2026", "prefix=raw-events%2F2026");
    assert_query("a=%zz%4", "a=%25zz%254");
}

static void
header_values_are_trimmed_folded_and_joined(void **state)
{
    (void)state;
    const struct sigv4_header headers[] = {
        HEADER("X-Amz-Z", "  spaces \t inside\t\tand around  "),
        HEADER("Host", "example.com"),
        HEADER("x-amz-a", "first"),
        HEADER("x-amz-empty", " \t "),
        HEADER("X-AMZ-A", " second  one "),
        HEADER("x-amz-fold", "one\r\n two\n\t\tthree"),
    };
    assert_header_block(headers, 6,
                        "host:example.com\n"
                        "x-amz-a:first,second one\n"
                        "x-amz-empty:\n"
                        "x-amz-fold:one two three\n"
                        "x-amz-z:spaces inside and around\n",
                        "host;x-amz-a;x-amz-empty;x-amz-fold;x-amz-z");
}

static void
more_headers_and_parameters_than_fit_the_stack_are_sorted_too(void **state)
{
    (void)state;
    enum { N = 500 };
    static char names[N][8];
    struct sigv4_header headers[N + 1];
    struct buf lines = BUF_INIT, list = BUF_INIT, query = BUF_INIT, sorted = BUF_INIT;
    headers[N] = HOST[0];
    buf_add_string(&lines, "host:h\n");
    buf_add_string(&list, "host");
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "x%04d", i);
        headers[(i * 7) % N] = (struct sigv4_header){.name = slice_of_string(names[i]), .value = SLICE("v")};
        buf_add_format(&lines, "%s:v\n", names[i]);
        buf_add_format(&list, ";%s", names[i]);
        buf_add_format(&sorted, "%s%s=", i ? "&" : "", names[i]);
    }
    for (int i = N; i-- > 0;)
        buf_add_format(&query, "%s&", names[i]);
    assert_header_block(headers, N + 1, lines.data, list.data);
    assert_query(query.data, sorted.data);
    buf_clean_up(&lines);
    buf_clean_up(&list);
    buf_clean_up(&query);
    buf_clean_up(&sorted);
}

static void
a_request_without_host_is_refused_and_leaves_no_trace(void **state)
{
    (void)state;
    struct sigv4_header date = HEADER("x-amz-date", "20261120T060000Z");
    struct sigv4_request request = {.method = SLICE("GET"), .headers = &date, .n_headers = 1};
    struct buf text = BUF_INIT, names = BUF_INIT;
    struct sigv4_key key = {{0}, {0}};
    struct err e;
    buf_add_string(&text, "before");
    assert_int_equal(sigv4_canonical_request(&request, &SQS, &text, &names, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "host"));
    assert_int_equal(sigv4_authorization(&request, &SQS, &CREDENTIALS, &key, &text, &e), ERR_INVALID);
    assert_int_equal(sigv4_presign(&request, &SQS, &CREDENTIALS, 60, false, &text, &e), ERR_INVALID);
    assert_string_equal(text.data, "before");
    assert_int_equal(names.len, 0);
    buf_clean_up(&text);
    buf_clean_up(&names);
}

static void
what_would_be_refused_for_certain_is_not_signed(void **state)
{
    (void)state;
    struct sigv4_header headers[] = {HEADER("host", "h"), HEADER("X-Amz-Date", "20261120T060001Z")};
    struct sigv4_request request = {.method = SLICE("GET"), .headers = headers, .n_headers = 2};
    struct sigv4_credentials temporary = CREDENTIALS;
    struct buf out = BUF_INIT;
    struct err e;
    assert_int_equal(sigv4_authorization(&request, &SQS, &CREDENTIALS, NULL, &out, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "20261120T060000Z"));
    headers[1].value = SLICE("20261120T060000Z");
    assert_int_equal(sigv4_authorization(&request, &SQS, &CREDENTIALS, NULL, &out, &e), 0);
    buf_reset(&out);
    temporary.session_token = SLICE("token");
    assert_int_equal(sigv4_authorization(&request, &SQS, &temporary, NULL, &out, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "x-amz-security-token"));
    assert_null(strstr(e.text, "=token"));
    assert_int_equal(out.len, 0);
    buf_clean_up(&out);
}

static void
assert_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope,
                     const struct sigv4_credentials *credentials, const char *expected)
{
    struct buf out = BUF_INIT;
    assert_int_equal(sigv4_authorization(request, scope, credentials, NULL, &out, NULL), 0);
    assert_string_equal(out.data, expected);
    buf_clean_up(&out);
}

/* The next three were signed by botocore 1.44.5. */
static void
an_encoded_path_is_signed_as_botocore_does(void **state)
{
    (void)state;
    const struct sigv4_header headers[] = {HEADER("X-Amz-Target", "AWSEvents.PutEvents"),
                                           HEADER("Host", "events.eu-west-1.amazonaws.com"),
                                           HEADER("X-Amz-Date", "20261120T060000Z")};
    const struct sigv4_request request = {
        .method = SLICE("POST"),
        .path = SLICE("/a%20b/%E1%88%B4/x%2Fy"),
        .headers = headers,
        .n_headers = 3,
        .payload_hash = SLICE("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")};
    struct sigv4_scope scope = SQS;
    scope.service = SLICE("events");
    assert_authorization(&request, &scope, &CREDENTIALS,
                         "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-west-1/events/aws4_request, "
                         "SignedHeaders=host;x-amz-date;x-amz-target, "
                         "Signature=60be2068cbc043cc8a00dad5ec18a444c964dc5ca65e453128014c50f9564ac9");
}

static void
an_s3_request_is_signed_as_botocore_does(void **state)
{
    (void)state;
    const struct sigv4_header headers[] = {HEADER("host", "bucket.s3.eu-west-1.amazonaws.com"),
                                           HEADER("x-amz-content-sha256", EMPTY_SHA256),
                                           HEADER("x-amz-date", "20261120T060000Z")};
    const struct sigv4_request request = {.method = SLICE("GET"),
                                          .path = SLICE("/raw-events/2026-11-20T06%3A00%3A00Z-a%20b%2B%C3%A9.json"),
                                          .query = SLICE("x-id=GetObject&a-b=2&a=1&a=0&k"),
                                          .headers = headers,
                                          .n_headers = 3,
                                          .payload_hash = SLICE(EMPTY_SHA256)};
    assert_authorization(&request, &S3, &CREDENTIALS,
                         "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-west-1/s3/aws4_request, "
                         "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                         "Signature=8e25c64a8a17db25b8eece07b712af4c9d4365e6fc98381ce0810b2eecc7588f");
}

static void
a_session_token_is_signed_as_botocore_does(void **state)
{
    (void)state;
    char hash[DIGEST_SHA256_HEX];
    digest_sha256_hex("{\"QueueUrl\":\"q\"}", 16, hash);
    const struct sigv4_header headers[] = {
        HEADER("host", "sqs.eu-west-1.amazonaws.com"), HEADER("x-amz-target", "AmazonSQS.ReceiveMessage"),
        HEADER("content-type", "application/x-amz-json-1.0"), HEADER("x-amz-date", "20261120T060000Z"),
        HEADER("x-amz-security-token", "tok/en+==")};
    const struct sigv4_request request = {.method = SLICE("POST"),
                                          .path = SLICE("/"),
                                          .headers = headers,
                                          .n_headers = 5,
                                          .payload_hash = slice_of_string(hash)};
    struct sigv4_credentials credentials = CREDENTIALS;
    credentials.session_token = SLICE("tok/en+==");
    assert_authorization(&request, &SQS, &credentials,
                         "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-west-1/sqs/aws4_request, "
                         "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
                         "Signature=ee061cec46f8f64aee75da1e33d7cd793a021c0baf0f75b196ae48a509afc35f");
}

/* The example of the S3 API Reference, "Authenticating Requests: Using Query Parameters". */
static void
the_presigned_url_of_the_s3_documentation_comes_out(void **state)
{
    (void)state;
    const struct sigv4_header host = HEADER("host", "examplebucket.s3.amazonaws.com");
    const struct sigv4_request request = {.method = SLICE("GET"),
                                          .path = SLICE("/test.txt"),
                                          .headers = &host,
                                          .n_headers = 1,
                                          .payload_hash = SLICE("UNSIGNED-PAYLOAD")};
    const struct sigv4_scope scope = {
        .region = SLICE("us-east-1"), .service = SLICE("s3"), .wall_ms = INT64_C(1369353600000)};
    const struct sigv4_credentials credentials = {.access_key_id = SLICE("AKIAIOSFODNN7EXAMPLE"),
                                                  .secret_access_key =
                                                      SLICE("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")};
    struct buf query = BUF_INIT;
    assert_int_equal(sigv4_presign(&request, &scope, &credentials, 86400, false, &query, NULL), 0);
    assert_string_equal(query.data,
                        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
                        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-SignedHeaders=host&"
                        "X-Amz-Expires=86400&X-Amz-Signature="
                        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_clean_up(&query);
}

static void
a_presigned_token_is_signed_or_added_after(void **state)
{
    (void)state;
    const struct sigv4_request request = {.method = SLICE("GET"),
                                          .path = SLICE("/"),
                                          .query = SLICE("z=1"),
                                          .headers = HOST,
                                          .n_headers = 1,
                                          .payload_hash = SLICE("UNSIGNED-PAYLOAD")};
    struct sigv4_credentials credentials = CREDENTIALS;
    struct buf none = BUF_INIT, signed_ = BUF_INIT, after = BUF_INIT, out_of_range = BUF_INIT;
    assert_int_equal(sigv4_presign(&request, &S3, &credentials, 1, false, &none, NULL), 0);
    credentials.session_token = SLICE("to/ken");
    assert_int_equal(sigv4_presign(&request, &S3, &credentials, 1, false, &signed_, NULL), 0);
    assert_int_equal(sigv4_presign(&request, &S3, &credentials, 1, true, &after, NULL), 0);
    assert_non_null(strstr(none.data, "z=1&X-Amz-Algorithm="));
    assert_null(strstr(none.data, "Token"));
    assert_non_null(strstr(signed_.data, "&X-Amz-Security-Token=to%2Fken&X-Amz-Signature="));
    assert_non_null(strstr(after.data, "&X-Amz-Security-Token=to%2Fken&X-Amz-Signature="));
    const char *bare = strstr(none.data, "Signature="), *unsigned_token = strstr(after.data, "Signature=");
    assert_string_equal(bare, unsigned_token);
    assert_string_not_equal(bare, strstr(signed_.data, "Signature="));
    assert_int_equal(sigv4_presign(&request, &S3, &credentials, 0, true, &out_of_range, NULL), ERR_INVALID);
    assert_int_equal(sigv4_presign(&request, &S3, &credentials, 604801, true, &out_of_range, NULL), ERR_INVALID);
    assert_int_equal(sigv4_presign(&request, &S3, &credentials, 604800, true, &out_of_range, NULL), 0);
    buf_clean_up(&none);
    buf_clean_up(&signed_);
    buf_clean_up(&after);
    buf_clean_up(&out_of_range);
}

static void
headers_that_change_on_the_way_are_not_signed(void **state)
{
    (void)state;
    static const char *const unsigned_[] = {"User-Agent",        "connection",      "Expect",
                                            "TRANSFER-ENCODING", "X-Amzn-Trace-Id", "te",
                                            "Trailer",           "upgrade",         "Authorization"};
    static const char *const signed_[] = {"host", "X-Amz-Date", "content-type", "range", "user-agents", "t", ""};
    for (size_t i = 0; i < sizeof unsigned_ / sizeof *unsigned_; i++)
        assert_false(sigv4_header_is_signed(slice_of_string(unsigned_[i])));
    for (size_t i = 0; i < sizeof signed_ / sizeof *signed_; i++)
        assert_true(sigv4_header_is_signed(slice_of_string(signed_[i])));
}

static void
assert_cached_equals_fresh(const struct sigv4_scope *scope, struct slice secret, struct sigv4_key *key,
                           const char *other_signature)
{
    char cached[65], fresh[65];
    assert_int_equal(sigv4_signature(scope, secret, SLICE("text"), NULL, fresh), 0);
    assert_int_equal(sigv4_signature(scope, secret, SLICE("text"), key, cached), 0);
    assert_string_equal(cached, fresh);
    assert_string_not_equal(cached, other_signature);
    assert_int_equal(sigv4_signature(scope, secret, SLICE("text"), key, cached), 0);
    assert_string_equal(cached, fresh);
}

static void
a_kept_key_follows_day_region_service_and_secret(void **state)
{
    (void)state;
    struct sigv4_key key = {{0}, {0}};
    struct sigv4_scope scope = SQS;
    struct slice secret = SLICE(SECRET);
    char first[65];
    assert_int_equal(sigv4_signature(&scope, secret, SLICE("text"), NULL, first), 0);
    assert_cached_equals_fresh(&scope, secret, &key, "");
    scope.wall_ms += DAY_MS;
    assert_cached_equals_fresh(&scope, secret, &key, first);
    scope = SQS;
    scope.region = SLICE("eu-west-2");
    assert_cached_equals_fresh(&scope, secret, &key, first);
    scope = SQS;
    scope.service = SLICE("events");
    assert_cached_equals_fresh(&scope, secret, &key, first);
    scope = SQS;
    assert_cached_equals_fresh(&scope, SLICE(SECRET "2"), &key, first);
    scope.region = SLICE("eu-west-1s"); /* the same letters, cut elsewhere */
    scope.service = SLICE("qs");
    assert_cached_equals_fresh(&scope, secret, &key, first);
}

static void
a_key_of_another_time_of_the_same_day_is_used_again(void **state)
{
    (void)state;
    struct sigv4_key key = {{0}, {0}}, before;
    struct sigv4_scope scope = SQS;
    char signature[65];
    sigv4_signature(&scope, SLICE(SECRET), SLICE("text"), &key, signature);
    before = key;
    scope.wall_ms += 3600 * 1000;
    memset(key.key, 'k', sizeof key.key); /* shows whether it is derived again */
    sigv4_signature(&scope, SLICE(SECRET), SLICE("text"), &key, signature);
    assert_int_equal(key.key[0], 'k');
    scope.wall_ms += DAY_MS;
    sigv4_signature(&scope, SLICE(SECRET), SLICE("text"), &key, signature);
    scope.wall_ms -= DAY_MS;
    sigv4_signature(&scope, SLICE(SECRET), SLICE("text"), &key, signature);
    assert_memory_equal(key.key, before.key, sizeof key.key);
}

static void
secrets_of_any_length_sign(void **state)
{
    (void)state;
    char secret[3000], first[65], second[65];
    memset(secret, 's', sizeof secret);
    static const size_t lengths[] = {0, 1, 60, 64, 252, 253, 255, 256, 400, 3000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct sigv4_key key = {{0}, {0}};
        struct buf derived = BUF_INIT;
        uint8_t a[32], b[32];
        char expected[65];
        buf_add_string(&derived, "AWS4");
        buf_add(&derived, secret, lengths[i]);
        digest_hmac_sha256(derived.data, derived.len, "20261120", 8, a);
        digest_hmac_sha256(a, 32, "eu-west-1", 9, b);
        digest_hmac_sha256(b, 32, "sqs", 3, a);
        digest_hmac_sha256(a, 32, "aws4_request", 12, b);
        digest_hmac_sha256(b, 32, "text", 4, a);
        digest_hex(a, 32, expected);
        assert_int_equal(sigv4_signature(&SQS, slice_of(secret, lengths[i]), SLICE("text"), &key, first), 0);
        assert_int_equal(sigv4_signature(&SQS, slice_of(secret, lengths[i]), SLICE("text"), &key, second), 0);
        assert_string_equal(first, expected);
        assert_string_equal(second, expected);
        buf_clean_up(&derived);
    }
}

/* Further down the stack than what comes after it reaches. */
static void __attribute__((noinline)) leave_marks(void)
{
    char marks[256 << 10];
    for (size_t i = 0; i < sizeof marks; i++)
        ((volatile char *)marks)[i] = MARK[i % (sizeof MARK - 1)];
}

static void *
sign_and_clean_up(void *secret)
{
    leave_marks();
    const struct sigv4_header headers[] = {HEADER("host", "h"), HEADER("x-amz-date", "20261120T060000Z")};
    const struct sigv4_request request = {.method = SLICE("GET"), .headers = headers, .n_headers = 2};
    struct sigv4_credentials credentials = CREDENTIALS;
    struct sigv4_key key = {{0}, {0}};
    struct buf out = BUF_INIT;
    credentials.secret_access_key = slice_of_string(secret);
    int rc = sigv4_authorization(&request, &SQS, &credentials, &key, &out, NULL);
    rc |= sigv4_presign(&request, &SQS, &credentials, 60, false, &out, NULL);
    sigv4_key_clean_up(&key);
    buf_clean_up(&out);
    return rc == 0 ? secret : NULL;
}

/* Runs the signing on a stack that can be searched afterwards. */
static void
no_secret_or_key_stays_on_the_stack(void **state)
{
    (void)state;
    enum { STACK_BYTES = 4 << 20 };
    char secret[] = SECRET;
    struct sigv4_key key = {{0}, {0}};
    char signature[65];
    sigv4_signature(&SQS, SLICE(SECRET), SLICE("text"), &key, signature);
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stack != MAP_FAILED);
    pthread_attr_t attributes;
    pthread_t thread;
    void *signed_ = NULL;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, sign_and_clean_up, secret), 0);
    assert_int_equal(pthread_join(thread, &signed_), 0);
    assert_ptr_equal(signed_, secret);
    assert_null(memmem(stack, STACK_BYTES, SECRET, sizeof SECRET - 1));
    assert_null(memmem(stack, STACK_BYTES, key.key, sizeof key.key));
    assert_non_null(memmem(stack, STACK_BYTES, MARK, sizeof MARK - 1)); /* the search finds what is there */
    pthread_attr_destroy(&attributes);
    munmap(stack, STACK_BYTES);

    static const struct sigv4_key zero = {{0}, {0}};
    sigv4_key_clean_up(&key);
    assert_memory_equal(&key, &zero, sizeof key);
}

static void
an_authorization_header_is_taken_apart(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "AWS4-HMAC-SHA256 Credential=AK/ID/20261120/us-east-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, "
        "Signature=" EMPTY_SHA256,
        "AWS4-HMAC-SHA256 Credential=AK/ID/20261120/us-east-1/sqs/aws4_request,SignedHeaders=host;x-amz-date,"
        "Signature=" EMPTY_SHA256,
        "  AWS4-HMAC-SHA256\t Signature=" EMPTY_SHA256 " ,  SignedHeaders=host;x-amz-date ,\t"
        "Credential=AK/ID/20261120/us-east-1/sqs/aws4_request ",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct sigv4_authorization_parts parts;
        assert_int_equal(sigv4_parse_authorization(slice_of_string(headers[i]), &parts, NULL), 0);
        assert_true(slice_equals_string(parts.access_key_id, "AK/ID"));
        assert_true(slice_equals_string(parts.date, "20261120"));
        assert_true(slice_equals_string(parts.region, "us-east-1"));
        assert_true(slice_equals_string(parts.service, "sqs"));
        assert_true(slice_equals_string(parts.signed_headers, "host;x-amz-date"));
        assert_true(slice_equals_string(parts.signature, EMPTY_SHA256));
    }
}

#define C "Credential=A/20261120/r/s/aws4_request"
#define H "SignedHeaders=host"
#define S "Signature=" EMPTY_SHA256

static void
malformed_authorization_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"", "does not begin with AWS4-HMAC-SHA256"},
        {"AWS4-HMAC-SHA256", "does not begin with"},
        {"AWS4-HMAC-SHA256" C "," H "," S, "does not begin with"},
        {"AWS AKID:c2ln", "does not begin with"},
        {"Bearer x", "does not begin with"},
        {"AWS4-ECDSA-P256-SHA256 " C "," H "," S, "does not begin with"},
        {"aws4-hmac-sha256 " C "," H "," S, "does not begin with"},
        {"AWS4-HMAC-SHA256 ", "does not begin with"},
        {"AWS4-HMAC-SHA256 " C "," H, "lacks Signature"},
        {"AWS4-HMAC-SHA256 " C "," S, "lacks SignedHeaders"},
        {"AWS4-HMAC-SHA256 " H "," S, "lacks Credential"},
        {"AWS4-HMAC-SHA256 " C "," H "," S "," C, "a second 'Credential'"},
        {"AWS4-HMAC-SHA256 " C "," H "," S ",X=1", "an unknown part 'X'"},
        {"AWS4-HMAC-SHA256 " C "," H "," S ", ,", "not NAME=VALUE"},
        {"AWS4-HMAC-SHA256 " C " " H " " S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=20261120/r/s/aws4_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=/20261120/r/s/aws4_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=A/2026112/r/s/aws4_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=A/2026112x/r/s/aws4_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=A/20261120//s/aws4_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=A/20261120/r//aws4_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 Credential=A/20261120/r/s/aws5_request," H "," S, "aws4_request"},
        {"AWS4-HMAC-SHA256 " C ",SignedHeaders=," S, "SignedHeaders"},
        {"AWS4-HMAC-SHA256 " C ",SignedHeaders=;host," S, "SignedHeaders"},
        {"AWS4-HMAC-SHA256 " C ",SignedHeaders=host;," S, "SignedHeaders"},
        {"AWS4-HMAC-SHA256 " C ",SignedHeaders=a;;b," S, "SignedHeaders"},
        {"AWS4-HMAC-SHA256 " C ",SignedHeaders=Host," S, "SignedHeaders"},
        {"AWS4-HMAC-SHA256 " C ",SignedHeaders=ho st," S, "SignedHeaders"},
        {"AWS4-HMAC-SHA256 " C "," H ",Signature=", "Signature"},
        {"AWS4-HMAC-SHA256 " C "," H ",Signature=0" EMPTY_SHA256, "Signature"},
        {"AWS4-HMAC-SHA256 " C "," H ",Signature=E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "Signature"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_authorization_parts parts = {.region = SLICE("untouched")};
        struct err e;
        if (sigv4_parse_authorization(slice_of_string(cases[i].header), &parts, &e) != ERR_INVALID)
            fail_msg("accepted: %s", cases[i].header);
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].header, e.text, cases[i].says);
        assert_true(slice_equals_string(parts.region, "untouched"));
    }
    struct sigv4_authorization_parts unused;
    assert_int_equal(sigv4_parse_authorization(slice_of(NULL, 0), &unused, NULL), ERR_INVALID);
    struct slice nul = SLICE("AWS4-HMAC-SHA256 " C ",SignedHeaders=ho\0st," S);
    assert_int_equal(sigv4_parse_authorization(nul, &unused, NULL), ERR_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoded_path_is_encoded_again),
        cmocka_unit_test(dot_segments_and_double_slashes_go),
        cmocka_unit_test(s3_paths_are_encoded_once_and_kept_as_they_are),
        cmocka_unit_test(queries_are_sorted_as_encoded_by_name_then_value),
        cmocka_unit_test(queries_have_one_spelling),
        cmocka_unit_test(header_values_are_trimmed_folded_and_joined),
        cmocka_unit_test(more_headers_and_parameters_than_fit_the_stack_are_sorted_too),
        cmocka_unit_test(a_request_without_host_is_refused_and_leaves_no_trace),
        cmocka_unit_test(what_would_be_refused_for_certain_is_not_signed),
        cmocka_unit_test(an_encoded_path_is_signed_as_botocore_does),
        cmocka_unit_test(an_s3_request_is_signed_as_botocore_does),
        cmocka_unit_test(a_session_token_is_signed_as_botocore_does),
        cmocka_unit_test(the_presigned_url_of_the_s3_documentation_comes_out),
        cmocka_unit_test(a_presigned_token_is_signed_or_added_after),
        cmocka_unit_test(headers_that_change_on_the_way_are_not_signed),
        cmocka_unit_test(a_kept_key_follows_day_region_service_and_secret),
        cmocka_unit_test(a_key_of_another_time_of_the_same_day_is_used_again),
        cmocka_unit_test(secrets_of_any_length_sign),
        cmocka_unit_test(no_secret_or_key_stays_on_the_stack),
        cmocka_unit_test(an_authorization_header_is_taken_apart),
        cmocka_unit_test(malformed_authorization_headers_are_refused),
    };
    return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
