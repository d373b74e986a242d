/* What a call to a service sends, and that it is signed. */
#include "aws/aws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/aws_script.h"

static void
an_sqs_call_goes_out_signed_as_json_1_0(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 200, .headers = "x-extra: yes\r\n", .body = "{\"Messages\":[]}"});
    struct aws_seen o =
        aws_script_call(&(struct aws_request){.operation = "ReceiveMessage", .body = SLICE("{\"QueueUrl\":\"q\"}")});
    assert_false(o.failed);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.attempts, 1);
    assert_string_equal(o.body, "{\"Messages\":[]}");
    assert_string_equal(o.header, "yes");
    const char *text = stub_server_request(aws_script.server, 0);
    assert_memory_equal(text, "POST / HTTP/1.1\r\n", 17);
    assert_string_equal(strstr(text, "\r\n\r\n") + 4, "{\"QueueUrl\":\"q\"}");
    aws_script_assert_header(0, "content-type", "application/x-amz-json-1.0");
    aws_script_assert_header(0, "x-amz-target", "AmazonSQS.ReceiveMessage");
    aws_script_assert_header(0, "x-amzn-query-mode", "true");
    aws_script_assert_header(0, "x-amz-date", "20261120T060000Z");
    aws_script_assert_header(0, "x-amz-content-sha256", "");
    aws_script_assert_header(0, "x-amz-security-token", "");
    aws_script_assert_header(0, "expect", "");
    aws_script_assert_header(0, "host", strchr(stub_server_url(aws_script.server), '1'));
    char value[600];
    stub_server_request_header(aws_script.server, 0, "authorization", value, sizeof value);
    static const char begins[] =
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-north-1/sqs/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-target;x-amzn-query-mode, Signature=";
    assert_memory_equal(value, begins, sizeof begins - 1);
    aws_script_assert_signature(0, "sqs", AWS_SECRET);
}

static void
an_eventbridge_call_goes_out_signed_as_json_1_1(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_EVENTBRIDGE, {.status = 200, .body = "{}"});
    struct aws_seen o = aws_script_call(&(struct aws_request){.operation = "PutEvents", .body = SLICE("{}")});
    assert_false(o.failed);
    aws_script_assert_header(0, "content-type", "application/x-amz-json-1.1");
    aws_script_assert_header(0, "x-amz-target", "AWSEvents.PutEvents");
    aws_script_assert_header(0, "x-amzn-query-mode", "");
    aws_script_assert_signature(0, "events", AWS_SECRET);
}

static void
an_s3_call_carries_the_hash_of_its_body_and_its_path_as_given(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_S3, {.status = 200});
    struct http_header extra[] = {{"Content-Type", "application/json"}, {"If-None-Match", "*"}};
    struct aws_seen o = aws_script_call(&(struct aws_request){.operation = "PutObject",
                                                              .method = "PUT",
                                                              .path = "/bucket/a%20b/..%2Fc//d",
                                                              .query = "x-id=PutObject&a=",
                                                              .headers = extra,
                                                              .n_headers = 2,
                                                              .body = SLICE("abc")});
    assert_false(o.failed);
    static const char line[] = "PUT /bucket/a%20b/..%2Fc//d?x-id=PutObject&a= HTTP/1.1\r\n";
    assert_memory_equal(stub_server_request(aws_script.server, 0), line, sizeof line - 1);
    aws_script_assert_header(0, "x-amz-content-sha256",
                             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    aws_script_assert_header(0, "content-type", "application/json");
    aws_script_assert_header(0, "if-none-match", "*");
    aws_script_assert_header(0, "x-amz-target", "");
    aws_script_assert_signature(0, "s3", AWS_SECRET);
}

static void
a_session_token_is_sent_and_signed(void **state)
{
    (void)state;
    struct err e;
    creds_provider_destroy(aws_script.credentials);
    assert_int_equal(creds_static_new("ASIA", AWS_SECRET, "token/with+signs==", &aws_script.credentials, &e), 0);
    AWS_SCRIPT(AWS_SQS, {.status = 200, .body = "{}"});
    assert_false(aws_script_call(AWS_SIMPLE).failed);
    aws_script_assert_header(0, "x-amz-security-token", "token/with+signs==");
    char value[600];
    stub_server_request_header(aws_script.server, 0, "authorization", value, sizeof value);
    assert_non_null(strstr(value, ";x-amz-security-token;"));
    aws_script_assert_signature(0, "sqs", AWS_SECRET);
}

static void
an_endpoint_with_a_path_and_a_host_prefix_are_sent_and_signed(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_S3, {.status = 200});
    aws_client_destroy(aws_script.client);
    aws_script_connect(AWS_S3, "/base/");
    assert_false(
        aws_script_call(&(struct aws_request){.operation = "GetObject", .method = "GET", .path = "/k"}).failed);
    assert_memory_equal(stub_server_request(aws_script.server, 0), "GET /base/k HTTP/1.1\r\n", 22);
    aws_script_assert_signature(0, "s3", AWS_SECRET);
    assert_false(aws_script_call(&(struct aws_request){.operation = "GetObject", .method = "GET"}).failed);
    assert_memory_equal(stub_server_request(aws_script.server, 1), "GET /base/ HTTP/1.1\r\n", 21);
    /* 1270.0.1 is 127.0.0.1 to nobody; but "" + "127.0.0.1" is all a prefix can be tested with without DNS */
    aws_client_destroy(aws_script.client);
    char url[64];
    struct err e;
    snprintf(url, sizeof url, "http://.0.0.1:%d", stub_server_port(aws_script.server));
    struct aws_client_options options = {.engine = aws_script.engine,
                                         .credentials = aws_script.credentials,
                                         .service = AWS_S3,
                                         .region = "eu-north-1",
                                         .endpoint_url = url};
    assert_int_equal(aws_client_new(&options, &aws_script.client, &e), 0);
    assert_false(aws_script_call(&(struct aws_request){
                                     .operation = "GetObject", .method = "GET", .host_prefix = "127", .path = "/k"})
                     .failed);
    aws_script_assert_header(2, "host", strchr(stub_server_url(aws_script.server), '1'));
    aws_script_assert_signature(2, "s3", AWS_SECRET);
}

static void
a_body_that_is_not_borrowed_may_change_after_the_submit(void **state)
{
    (void)state;
    char body[] = "{\"a\":1}", kept[] = "{\"b\":2}";
    AWS_SCRIPT(AWS_SQS, {.status = 500}, {.status = 200, .body = "{}"});
    struct aws_seen o = {0}, p = {0};
    aws_script_submit(&(struct aws_request){.body = slice_of_string(body)}, &o);
    memset(body, 'x', sizeof body - 1);
    aws_script_run(&o);
    assert_false(o.failed);
    assert_string_equal(strstr(stub_server_request(aws_script.server, 0), "\r\n\r\n") + 4, "{\"a\":1}");
    assert_string_equal(strstr(stub_server_request(aws_script.server, 1), "\r\n\r\n") + 4, "{\"a\":1}");
    aws_script_submit(&(struct aws_request){.body = slice_of_string(kept), .body_borrowed = true}, &p);
    aws_script_run(&p);
    assert_string_equal(strstr(stub_server_request(aws_script.server, 2), "\r\n\r\n") + 4, kept);
}

static void
requests_that_make_no_sense_are_refused_at_once(void **state)
{
    (void)state;
    struct err e;
    AWS_SCRIPT(AWS_S3, {.status = 200});
    assert_int_equal(aws_submit(aws_script.client, &(struct aws_request){.operation = "GetObject", .path = "k"},
                                aws_script_note, NULL, NULL, &e),
                     ERR_INVALID);
    struct aws_seen o = aws_script_call(&(struct aws_request){
        .operation = "GetObject", .headers = &(struct http_header){"X", "a\r\nb"}, .n_headers = 1});
    assert_true(o.failed);
    assert_string_equal(o.error.code, "internal");
    assert_int_equal(o.error.err.code, ERR_INVALID);
}

int
main(void)
{
    aws_script_prepare();
    const struct CMUnitTest tests[] = {
        AWS_SCRIPT_TEST(an_sqs_call_goes_out_signed_as_json_1_0),
        AWS_SCRIPT_TEST(an_eventbridge_call_goes_out_signed_as_json_1_1),
        AWS_SCRIPT_TEST(an_s3_call_carries_the_hash_of_its_body_and_its_path_as_given),
        AWS_SCRIPT_TEST(a_session_token_is_sent_and_signed),
        AWS_SCRIPT_TEST(an_endpoint_with_a_path_and_a_host_prefix_are_sent_and_signed),
        AWS_SCRIPT_TEST(a_body_that_is_not_borrowed_may_change_after_the_submit),
        AWS_SCRIPT_TEST(requests_that_make_no_sense_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("aws_request", tests, NULL, NULL);
}
