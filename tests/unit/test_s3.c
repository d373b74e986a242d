#include "aws/s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/digest.h"
#include "lib/aws_stub.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct aws_stub *stub;

static int
set_up(void **state)
{
    (void)state;
    stub = aws_stub_start(AWS_S3);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    aws_stub_stop(stub);
    return 0;
}

struct got {
    bool done, failed;
    int status;
    struct err err;
    char code[128], text[600];
    char body[200], etag[160], type[100], encoding[40];
    int64_t size, modified_at_ms;
    size_t n_entries, n_prefixes;
    char key[100], prefix[100], token[100];
    struct buf pieces;
    int give_up;
};

static void
note_error(struct got *g, const struct aws_error *error)
{
    g->done = true;
    g->failed = error != NULL;
    if (!error)
        return;
    g->status = error->status;
    g->err = error->err;
    snprintf(g->code, sizeof g->code, "%s", error->code);
    snprintf(g->text, sizeof g->text, "%s", error->err.text);
}

static void
got_object(void *context, const struct s3_object *o)
{
    struct got *g = context;
    note_error(g, o->error);
    snprintf(g->body, sizeof g->body, "%.*s", SLICE_ARG(o->body));
    snprintf(g->etag, sizeof g->etag, "%s", o->etag);
    snprintf(g->type, sizeof g->type, "%.*s", SLICE_ARG(o->content_type));
    snprintf(g->encoding, sizeof g->encoding, "%.*s", SLICE_ARG(o->content_encoding));
    g->size = o->size;
    g->modified_at_ms = o->modified_at_ms;
}

static void
got_listing(void *context, const struct s3_listing *l)
{
    struct got *g = context;
    note_error(g, l->error);
    g->n_entries = l->n_entries;
    g->n_prefixes = l->n_prefixes;
    if (l->n_entries > 0)
        snprintf(g->key, sizeof g->key, "%.*s", SLICE_ARG(l->entries[0].key));
    if (l->n_prefixes > 0)
        snprintf(g->prefix, sizeof g->prefix, "%.*s", SLICE_ARG(l->prefixes[0]));
    snprintf(g->token, sizeof g->token, "%.*s", SLICE_ARG(l->next_token));
}

static int
take_piece(void *context, struct slice piece)
{
    struct got *g = context;
    buf_add_slice(&g->pieces, piece);
    return g->give_up;
}

static void
an_object_is_put_by_path_and_signed_with_its_digest(void **state)
{
    (void)state;
    struct got g = {0};
    char hash[DIGEST_SHA256_HEX];
    digest_sha256_hex("{\"a\":1}", 7, hash);
    aws_stub_answer(stub, 200, "ETag: \"9bb58f26192e4ba00f01e2e7b136bbd8\"\r\n", "");
    const struct s3_put_options options = {.bucket = "durable-event-buffer-000000000000-us-east-1",
                                           .key = "raw-events/2026-11-20T06:00:00Z-a b+\xc3\xa9/../x.json",
                                           .body = SLICE("{\"a\":1}"),
                                           .content_type = "application/json"};
    assert_int_equal(s3_put(aws_stub_client(stub), &options, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_false(g.failed);
    assert_string_equal(g.etag, "\"9bb58f26192e4ba00f01e2e7b136bbd8\"");
    assert_string_equal(aws_stub_line(stub, 0),
                        "PUT /durable-event-buffer-000000000000-us-east-1/"
                        "raw-events/2026-11-20T06%3A00%3A00Z-a%20b%2B%C3%A9/../x.json HTTP/1.1");
    assert_string_equal(aws_stub_body(stub, 0), "{\"a\":1}");
    assert_string_equal(aws_stub_header(stub, 0, "x-amz-content-sha256"), hash);
    assert_string_equal(aws_stub_header(stub, 0, "content-type"), "application/json");
    assert_string_equal(aws_stub_header(stub, 0, "if-match"), "");
    assert_string_equal(aws_stub_header(stub, 0, "if-none-match"), "");
    assert_string_equal(aws_stub_header(stub, 0, "expect"), "");
    assert_non_null(strstr(aws_stub_header(stub, 0, "authorization"), "/eu-north-1/s3/aws4_request"));
}

static void
conditions_are_sent_and_signed(void **state)
{
    (void)state;
    struct got g = {0};
    struct s3_put_options options = {.bucket = "bucket", .key = "k", .if_none_match = "*"};
    aws_stub_answer(stub, 412, "",
                    "<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified "
                    "did not hold</Message><Condition>If-None-Match</Condition></Error>");
    assert_int_equal(s3_put(aws_stub_client(stub), &options, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_string_equal(g.code, "PreconditionFailed");
    assert_int_equal(g.err.code, ERR_EXISTS);
    assert_string_equal(aws_stub_header(stub, 0, "if-none-match"), "*");
    assert_string_equal(aws_stub_header(stub, 0, "content-length"), "0");
    assert_string_equal(aws_stub_header(stub, 0, "content-type"), "application/octet-stream");
    assert_non_null(strstr(aws_stub_header(stub, 0, "authorization"), ";if-none-match;"));
    options.if_none_match = NULL;
    options.if_match = "\"9bb58f26192e4ba00f01e2e7b136bbd8\"";
    g.done = false;
    assert_int_equal(s3_put(aws_stub_client(stub), &options, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_string_equal(aws_stub_header(stub, 1, "if-match"), "\"9bb58f26192e4ba00f01e2e7b136bbd8\"");
}

#define OBJECT_HEADERS                                                                                                 \
    "ETag: \"e\"\r\nLast-Modified: Fri, 20 Nov 2026 06:00:00 GMT\r\nContent-Type: application/json\r\n"                \
    "Content-Encoding: gzip\r\n"

static void
an_object_is_read_whole(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, OBJECT_HEADERS, "hello");
    assert_int_equal(s3_get(aws_stub_client(stub), "bucket", "a/b", 0, NULL, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_string_equal(g.body, "hello"); /* as it came: nothing unpacks it on the way */
    assert_string_equal(g.etag, "\"e\"");
    assert_string_equal(g.type, "application/json");
    assert_string_equal(g.encoding, "gzip");
    assert_int_equal(g.size, 5);
    assert_int_equal(g.modified_at_ms, INT64_C(1795154400000));
    assert_string_equal(aws_stub_line(stub, 0), "GET /bucket/a/b HTTP/1.1");
    assert_string_equal(aws_stub_header(stub, 0, "x-amz-content-sha256"), EMPTY_SHA256);
}

static void
an_object_is_read_in_pieces(void **state)
{
    (void)state;
    struct got g = {0};
    char *body = malloc(200001);
    memset(body, 'x', 200000);
    body[200000] = '\0';
    aws_stub_answer(stub, 200, "", body);
    assert_int_equal(s3_get(aws_stub_client(stub), "bucket", "k", 0, take_piece, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_false(g.failed);
    assert_string_equal(g.pieces.data, body);
    assert_string_equal(g.body, "");
    assert_int_equal(g.size, 200000);
    g.done = false;
    g.give_up = 1;
    assert_int_equal(s3_get(aws_stub_client(stub), "bucket", "k", 0, take_piece, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_string_equal(g.code, "cancelled");
    buf_clean_up(&g.pieces);
    free(body);
}

static void
an_object_larger_than_allowed_is_an_error(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "", "0123456789");
    assert_int_equal(s3_get(aws_stub_client(stub), "bucket", "k", 9, NULL, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_int_equal(g.err.code, ERR_LIMIT);
}

static void
a_missing_object_is_not_found(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 404, "x-amz-request-id: R1\r\n",
                    "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>The specified key does not "
                    "exist.</Message><Key>k</Key></Error>");
    assert_int_equal(s3_get(aws_stub_client(stub), "bucket", "k", 0, take_piece, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_string_equal(g.code, "NoSuchKey");
    assert_int_equal(g.err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(g.text, "R1"));
    assert_int_equal(g.pieces.len, 0); /* an error's text is no piece of the object */
    g.done = false;
    aws_stub_answer(stub, 0, "", "HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\n");
    assert_int_equal(s3_head(aws_stub_client(stub), "bucket", "k", got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_string_equal(g.code, "404");
    assert_int_equal(g.err.code, ERR_NOT_FOUND);
}

static void
a_head_tells_size_and_time(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 0, "", "HTTP/1.1 200 OK\r\n" OBJECT_HEADERS "Content-Length: 5000000000\r\n\r\n");
    assert_int_equal(s3_head(aws_stub_client(stub), "bucket", "k", got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_false(g.failed);
    assert_int_equal(g.size, INT64_C(5000000000));
    assert_int_equal(g.modified_at_ms, INT64_C(1795154400000));
    assert_string_equal(g.etag, "\"e\"");
    assert_string_equal(aws_stub_line(stub, 0), "HEAD /bucket/k HTTP/1.1");
}

static void
a_listing_is_asked_for_encoded(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "",
                    "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                    "<NextContinuationToken>n/x=</NextContinuationToken><Contents><Key>raw-events/a%2Bb+c</Key>"
                    "<Size>3</Size></Contents><CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes>"
                    "</ListBucketResult>");
    const struct s3_list_options options = {.bucket = "bucket",
                                            .prefix = "raw-events/a+b",
                                            .start_after = "raw-events/a b",
                                            .delimiter = "/",
                                            .continuation_token = "t/+=",
                                            .max_keys = 7};
    assert_int_equal(s3_list(aws_stub_client(stub), &options, got_listing, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_false(g.failed);
    assert_int_equal(g.n_entries, 1);
    assert_string_equal(g.key, "raw-events/a+b c");
    assert_string_equal(g.prefix, "p/");
    assert_string_equal(g.token, "n/x=");
    assert_string_equal(aws_stub_line(stub, 0),
                        "GET /bucket?list-type=2&encoding-type=url&max-keys=7&prefix=raw-events%2Fa%2Bb&delimiter=%2F"
                        "&start-after=raw-events%2Fa%20b&continuation-token=t%2F%2B%3D HTTP/1.1");
    g = (struct got){0};
    assert_int_equal(s3_list(aws_stub_client(stub), &(struct s3_list_options){.bucket = "bucket", .prefix = ""},
                             got_listing, &g, NULL, NULL),
                     0);
    aws_stub_run(stub, &g.done);
    assert_string_equal(aws_stub_line(stub, 1), "GET /bucket?list-type=2&encoding-type=url HTTP/1.1");
}

static void
a_listing_that_makes_no_sense_is_garbled(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "", "<html><body>Welcome</body></html>");
    assert_int_equal(
        s3_list(aws_stub_client(stub), &(struct s3_list_options){.bucket = "bucket"}, got_listing, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_string_equal(g.code, "garbled");
    assert_non_null(strstr(g.text, "no ListBucketResult"));
}

static void
names_that_s3_would_refuse_are_not_sent(void **state)
{
    (void)state;
    struct aws_client *c = aws_stub_client(stub);
    static const char *const buckets[] = {NULL, "", "ab", "a/b", "a b", "..", ".ab", "bucket\r\n", "b?c", "b%41c"};
    char key[1030];
    struct err e;
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++) {
        assert_int_equal(s3_head(c, buckets[i], "k", got_object, NULL, NULL, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "is no bucket name"));
    }
    memset(key, 'k', sizeof key);
    key[1025] = '\0';
    assert_int_equal(s3_head(c, "bucket", key, got_object, NULL, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "1025"));
    assert_int_equal(s3_head(c, "bucket", "", got_object, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(s3_get(c, "bucket", NULL, 0, NULL, got_object, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(s3_put(c, &(struct s3_put_options){.bucket = "bucket"}, got_object, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(
        s3_list(c, &(struct s3_list_options){.bucket = "bucket", .max_keys = 1001}, got_listing, NULL, NULL, &e),
        ERR_INVALID);
    assert_int_equal(stub_server_requests(aws_stub_server(stub)), 0);
}

static void
no_header_can_be_smuggled_in(void **state)
{
    (void)state;
    struct got g = {0};
    const struct s3_put_options options = {.bucket = "bucket", .key = "k", .content_type = "a\r\nx-amz-acl: public"};
    assert_int_equal(s3_put(aws_stub_client(stub), &options, got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_int_equal(g.err.code, ERR_INVALID);
    assert_int_equal(stub_server_requests(aws_stub_server(stub)), 0);
}

/* Asks AWS itself for bucket/a/k through the stub as a proxy, which shows the host that is asked for. */
static void
assert_host(size_t asked, const char *bucket, const char *host, const char *url)
{
    struct creds_provider *credentials;
    struct aws_client *c;
    struct got g = {0};
    char line[200];
    assert_int_equal(creds_static_new("AKIDEXAMPLE", "secret", NULL, &credentials, NULL), 0);
    const struct aws_client_options options = {.engine = aws_stub_engine(stub),
                                               .credentials = credentials,
                                               .service = AWS_S3,
                                               .region = "eu-north-1",
                                               .max_attempts = 1};
    assert_int_equal(aws_client_new(&options, &c, NULL), 0);
    assert_int_equal(s3_head(c, bucket, "a/k", got_object, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    snprintf(line, sizeof line, "CONNECT %s:443 HTTP/1.1", host);
    assert_string_equal(aws_stub_line(stub, asked), line);
    if (!strstr(g.text, url))
        fail_msg("%s is not in: %s", url, g.text);
    aws_client_destroy(c);
    creds_provider_destroy(credentials);
}

static void
aws_is_asked_by_host_unless_the_bucket_forbids_it(void **state)
{
    (void)state;
    setenv("https_proxy", stub_server_url(aws_stub_server(stub)), 1);
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
    aws_stub_answer(stub, 403, "", "");
    assert_host(0, "bucket-1", "bucket-1.s3.eu-north-1.amazonaws.com",
                "https://bucket-1.s3.eu-north-1.amazonaws.com/a/k");
    assert_host(1, "bucket.dot", "s3.eu-north-1.amazonaws.com", "https://s3.eu-north-1.amazonaws.com/bucket.dot/a/k");
    assert_host(2, "Bucket_1", "s3.eu-north-1.amazonaws.com", "https://s3.eu-north-1.amazonaws.com/Bucket_1/a/k");
    unsetenv("https_proxy");
}

/* A leak here shows under the address sanitizer. */
static void
a_cancelled_call_frees_what_it_had(void **state)
{
    (void)state;
    struct aws_client *c = aws_stub_client(stub);
    struct aws_call *call = NULL;
    struct got g = {0};
    assert_int_equal(s3_get(c, "bucket", "k", 0, take_piece, got_object, &g, &call, NULL), 0);
    aws_cancel(call);
    assert_int_equal(s3_list(c, &(struct s3_list_options){.bucket = "bucket"}, got_listing, &g, NULL, NULL), 0);
    assert_false(g.done);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_put_by_path_and_signed_with_its_digest),
        TEST(conditions_are_sent_and_signed),
        TEST(an_object_is_read_whole),
        TEST(an_object_is_read_in_pieces),
        TEST(an_object_larger_than_allowed_is_an_error),
        TEST(a_missing_object_is_not_found),
        TEST(a_head_tells_size_and_time),
        TEST(a_listing_is_asked_for_encoded),
        TEST(a_listing_that_makes_no_sense_is_garbled),
        TEST(names_that_s3_would_refuse_are_not_sent),
        TEST(no_header_can_be_smuggled_in),
        TEST(aws_is_asked_by_host_unless_the_bucket_forbids_it),
        TEST(a_cancelled_call_frees_what_it_had),
    };
    return cmocka_run_group_tests_name("s3", tests, NULL, NULL);
}
