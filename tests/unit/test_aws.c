#include "aws/aws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "aws/error.h"
#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"
#include "lib/stub_server.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/* Time stands still in these tests, so that waits are exact: they are read off the loop's timers and passed at once. */
static struct clock_page *page;

/* What the server answers, request by request; the last one for all that follow. */
struct step {
    const char *headers, *body;
    const char *raw;
    int status; /* 0: raw */
    bool reset, hang;
};

static struct http_engine *engine;
static struct creds_provider *credentials;
static struct stub_server *server;
static struct aws_client *client;
static const struct step *_Atomic script;
static size_t n_steps;

static void
answer_by_script(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context;
    const struct step *s = &script[rq->index < n_steps ? rq->index : n_steps - 1];
    if (s->status)
        stub_answer_http(a, s->status, s->headers ? s->headers : "", s->body ? s->body : "");
    else
        buf_add_string(&a->bytes, s->raw ? s->raw : "");
    a->then = s->reset ? STUB_RESET : s->hang ? STUB_HANG : s->status ? STUB_KEEP : STUB_CLOSE;
}

static void
start_client(enum aws_service service, const char *path_of_endpoint)
{
    char url[128];
    struct err e = {0};
    snprintf(url, sizeof url, "%s%s", stub_server_url(server), path_of_endpoint);
    struct aws_client_options o = {
        .engine = engine, .credentials = credentials, .service = service, .region = "eu-north-1", .endpoint_url = url};
    if (aws_client_new(&o, &client, &e) != 0)
        fail_msg("%s", e.text);
}

static void
start(const struct step *steps, size_t n, enum aws_service service)
{
    script = steps;
    n_steps = n;
    server = stub_server_start(answer_by_script, NULL);
    start_client(service, "");
}
#define start_script(service, ...)                                                                                     \
    static const struct step steps_[] = {__VA_ARGS__};                                                                 \
    start(steps_, sizeof steps_ / sizeof *steps_, service)

static int
set_up(void **state)
{
    (void)state;
    struct err e;
    atomic_store(&page->wall_skew_ms, 0);
    atomic_store(&page->offset_ms, 0);
    atomic_store(&page->frozen_at_ms, INT64_C(1795154400000)); /* 2026-11-20T06:00:00Z */
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &engine, &e), 0);
    assert_int_equal(creds_static_new("AKIDEXAMPLE", SECRET, NULL, &credentials, &e), 0);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    aws_client_destroy(client);
    http_engine_destroy(engine);
    creds_provider_destroy(credentials);
    stub_server_stop(server);
    client = NULL;
    engine = NULL;
    credentials = NULL;
    server = NULL;
    return 0;
}

/* How a call ended, and how long it waited on the way. */
struct outcome {
    bool done, failed;
    int calls, status;
    struct aws_error error;
    unsigned attempts;
    char body[300], header[100];
    int64_t waits[10];
    size_t n_waits;
    struct aws_call *self; /* cancelled in its own callback */
};

static void
note(void *context, const struct aws_response *r)
{
    struct outcome *o = context;
    o->done = true;
    o->calls++;
    o->status = r->status;
    o->attempts = r->attempts;
    o->failed = r->error != NULL;
    if (r->error)
        o->error = *r->error;
    snprintf(o->body, sizeof o->body, "%.*s", SLICE_ARG(r->body));
    if (r->http)
        snprintf(o->header, sizeof o->header, "%.*s", SLICE_ARG(http_response_header(r->http, "x-extra")));
    if (o->self)
        aws_cancel(o->self);
}

/* Runs the loop until the call is over, passing over each wait at once. */
static void
run(struct outcome *o)
{
    struct err e;
    for (int turns = 0; !o->done; turns++) {
        struct http_stats st;
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
        http_engine_stats(engine, &st);
        int64_t wait_ms = timers_next_ms(http_engine_timers(engine), clock_monotonic_ms());
        if (!o->done && st.in_flight == 0 && wait_ms > 0) {
            assert_true(o->n_waits < 10);
            o->waits[o->n_waits++] = wait_ms;
            atomic_fetch_add(&page->offset_ms, wait_ms);
        }
        if (turns > 5000)
            fail_msg("the call does not end");
    }
}

static struct aws_call *
submit(const struct aws_request *rq, struct outcome *o)
{
    struct err e = {0};
    struct aws_call *call;
    struct aws_request with = *rq;
    with.operation = with.operation ? with.operation : "ReceiveMessage";
    if (aws_submit(client, &with, note, o, &call, &e) != 0)
        fail_msg("%s", e.text);
    assert_false(o->done);
    return call;
}

static struct outcome
call(const struct aws_request *rq)
{
    struct outcome o = {0};
    submit(rq, &o);
    run(&o);
    assert_int_equal(o.calls, 1);
    return o;
}

#define SIMPLE                                                                                                         \
    &(struct aws_request)                                                                                              \
    {                                                                                                                  \
        .body = SLICE("{}")                                                                                            \
    }

/* ---- what is sent -------------------------------------------------------------------------------------------------
 */

/* Signs request i anew, from what came over the wire, and compares. */
static void
assert_signature(size_t i, const char *service, const char *secret)
{
    char authorization[600], hash[DIGEST_SHA256_HEX], value[8][800], date[40], expected[65];
    struct sigv4_header headers[8];
    struct sigv4_authorization_parts parts;
    struct err e;
    const char *text = stub_server_request(server, i);
    const char *body = strstr(text, "\r\n\r\n") + 4;
    stub_server_request_header(server, i, "authorization", authorization, sizeof authorization);
    assert_int_equal(sigv4_parse_authorization(slice_of_string(authorization), &parts, &e), 0);
    size_t n = 0;
    char names[300];
    snprintf(names, sizeof names, "%.*s", SLICE_ARG(parts.signed_headers));
    for (char *name = strtok(names, ";"); name; name = strtok(NULL, ";"), n++) {
        assert_true(n < 8);
        stub_server_request_header(server, i, name, value[n], sizeof value[n]);
        headers[n] = (struct sigv4_header){.name = slice_of_string(name), .value = slice_of_string(value[n])};
    }
    const char *target = strchr(text, ' ') + 1;
    size_t target_n = strcspn(target, " "), path_n = strcspn(target, " ?");
    digest_sha256_hex(body, strlen(body), hash);
    struct sigv4_request rq = {
        .method = slice_of(text, strcspn(text, " ")),
        .path = slice_of(target, path_n),
        .query = slice_of(target + path_n + (path_n < target_n), target_n - path_n - (path_n < target_n)),
        .headers = headers,
        .n_headers = n,
        .payload_hash = slice_of_string(hash)};
    int64_t wall_ms;
    stub_server_request_header(server, i, "x-amz-date", date, sizeof date);
    char iso[40];
    snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", date, date + 4, date + 6, date + 9, date + 11,
             date + 13);
    assert_int_equal(clock_parse_iso8601(iso, strlen(iso), &wall_ms, &e), 0);
    bool s3 = strcmp(service, "s3") == 0;
    struct sigv4_scope scope = {.region = SLICE("eu-north-1"),
                                .service = slice_of_string(service),
                                .wall_ms = wall_ms,
                                .normalize_path = !s3,
                                .encode_path_twice = !s3};
    struct buf canonical = BUF_INIT, to_sign = BUF_INIT;
    struct sigv4_key key = {0};
    assert_int_equal(sigv4_canonical_request(&rq, &scope, &canonical, NULL, &e), 0);
    sigv4_string_to_sign(&scope, buf_slice(&canonical), &to_sign);
    sigv4_signature(&scope, slice_of_string(secret), buf_slice(&to_sign), &key, expected);
    char found[80];
    snprintf(found, sizeof found, "%.*s", SLICE_ARG(parts.signature));
    assert_string_equal(found, expected);
    buf_clean_up(&canonical);
    buf_clean_up(&to_sign);
}

static void
assert_header(size_t i, const char *name, const char *expected)
{
    char value[800];
    assert_string_equal(stub_server_request_header(server, i, name, value, sizeof value), expected);
}

static void
an_sqs_call_goes_out_signed_as_json_1_0(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 200, .headers = "x-extra: yes\r\n", .body = "{\"Messages\":[]}"});
    struct outcome o =
        call(&(struct aws_request){.operation = "ReceiveMessage", .body = SLICE("{\"QueueUrl\":\"q\"}")});
    assert_false(o.failed);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.attempts, 1);
    assert_string_equal(o.body, "{\"Messages\":[]}");
    assert_string_equal(o.header, "yes");
    const char *text = stub_server_request(server, 0);
    assert_memory_equal(text, "POST / HTTP/1.1\r\n", 17);
    assert_string_equal(strstr(text, "\r\n\r\n") + 4, "{\"QueueUrl\":\"q\"}");
    assert_header(0, "content-type", "application/x-amz-json-1.0");
    assert_header(0, "x-amz-target", "AmazonSQS.ReceiveMessage");
    assert_header(0, "x-amzn-query-mode", "true");
    assert_header(0, "x-amz-date", "20261120T060000Z");
    assert_header(0, "x-amz-content-sha256", "");
    assert_header(0, "x-amz-security-token", "");
    assert_header(0, "expect", "");
    assert_header(0, "host", strchr(stub_server_url(server), '1'));
    char value[600];
    stub_server_request_header(server, 0, "authorization", value, sizeof value);
    static const char begins[] =
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-north-1/sqs/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-target;x-amzn-query-mode, Signature=";
    assert_memory_equal(value, begins, sizeof begins - 1);
    assert_signature(0, "sqs", SECRET);
}

static void
an_eventbridge_call_goes_out_signed_as_json_1_1(void **state)
{
    (void)state;
    start_script(AWS_EVENTBRIDGE, {.status = 200, .body = "{}"});
    struct outcome o = call(&(struct aws_request){.operation = "PutEvents", .body = SLICE("{}")});
    assert_false(o.failed);
    assert_header(0, "content-type", "application/x-amz-json-1.1");
    assert_header(0, "x-amz-target", "AWSEvents.PutEvents");
    assert_header(0, "x-amzn-query-mode", "");
    assert_signature(0, "events", SECRET);
}

static void
an_s3_call_carries_the_hash_of_its_body_and_its_path_as_given(void **state)
{
    (void)state;
    start_script(AWS_S3, {.status = 200});
    struct http_header extra[] = {{"Content-Type", "application/json"}, {"If-None-Match", "*"}};
    struct outcome o = call(&(struct aws_request){.operation = "PutObject",
                                                  .method = "PUT",
                                                  .path = "/bucket/a%20b/..%2Fc//d",
                                                  .query = "x-id=PutObject&a=",
                                                  .headers = extra,
                                                  .n_headers = 2,
                                                  .body = SLICE("abc")});
    assert_false(o.failed);
    static const char line[] = "PUT /bucket/a%20b/..%2Fc//d?x-id=PutObject&a= HTTP/1.1\r\n";
    assert_memory_equal(stub_server_request(server, 0), line, sizeof line - 1);
    assert_header(0, "x-amz-content-sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_header(0, "content-type", "application/json");
    assert_header(0, "if-none-match", "*");
    assert_header(0, "x-amz-target", "");
    assert_signature(0, "s3", SECRET);
}

static void
a_session_token_is_sent_and_signed(void **state)
{
    (void)state;
    struct err e;
    creds_provider_destroy(credentials);
    assert_int_equal(creds_static_new("ASIA", SECRET, "token/with+signs==", &credentials, &e), 0);
    start_script(AWS_SQS, {.status = 200, .body = "{}"});
    assert_false(call(SIMPLE).failed);
    assert_header(0, "x-amz-security-token", "token/with+signs==");
    char value[600];
    stub_server_request_header(server, 0, "authorization", value, sizeof value);
    assert_non_null(strstr(value, ";x-amz-security-token;"));
    assert_signature(0, "sqs", SECRET);
}

static void
an_endpoint_with_a_path_and_a_host_prefix_are_sent_and_signed(void **state)
{
    (void)state;
    start_script(AWS_S3, {.status = 200});
    aws_client_destroy(client);
    start_client(AWS_S3, "/base/");
    assert_false(call(&(struct aws_request){.operation = "GetObject", .method = "GET", .path = "/k"}).failed);
    assert_memory_equal(stub_server_request(server, 0), "GET /base/k HTTP/1.1\r\n", 22);
    assert_signature(0, "s3", SECRET);
    assert_false(call(&(struct aws_request){.operation = "GetObject", .method = "GET"}).failed);
    assert_memory_equal(stub_server_request(server, 1), "GET /base/ HTTP/1.1\r\n", 21);
    /* 1270.0.1 is 127.0.0.1 to nobody; but "" + "127.0.0.1" is all a prefix can be tested with without DNS */
    aws_client_destroy(client);
    char url[64];
    struct err e;
    snprintf(url, sizeof url, "http://.0.0.1:%d", stub_server_port(server));
    struct aws_client_options options = {
        .engine = engine, .credentials = credentials, .service = AWS_S3, .region = "eu-north-1", .endpoint_url = url};
    assert_int_equal(aws_client_new(&options, &client, &e), 0);
    assert_false(
        call(&(struct aws_request){.operation = "GetObject", .method = "GET", .host_prefix = "127", .path = "/k"})
            .failed);
    assert_header(2, "host", strchr(stub_server_url(server), '1'));
    assert_signature(2, "s3", SECRET);
}

static void
a_body_that_is_not_borrowed_may_change_after_the_submit(void **state)
{
    (void)state;
    char body[] = "{\"a\":1}", kept[] = "{\"b\":2}";
    start_script(AWS_SQS, {.status = 500}, {.status = 200, .body = "{}"});
    struct outcome o = {0}, p = {0};
    submit(&(struct aws_request){.body = slice_of_string(body)}, &o);
    memset(body, 'x', sizeof body - 1);
    run(&o);
    assert_false(o.failed);
    assert_string_equal(strstr(stub_server_request(server, 0), "\r\n\r\n") + 4, "{\"a\":1}");
    assert_string_equal(strstr(stub_server_request(server, 1), "\r\n\r\n") + 4, "{\"a\":1}");
    submit(&(struct aws_request){.body = slice_of_string(kept), .body_borrowed = true}, &p);
    run(&p);
    assert_string_equal(strstr(stub_server_request(server, 2), "\r\n\r\n") + 4, kept);
}

/* ---- retries ------------------------------------------------------------------------------------------------------
 */

static void
a_transient_failure_is_retried_with_short_waits_up_to_three_attempts(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 503, .headers = "x-amzn-RequestId: r-1\r\n"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.attempts, 3);
    assert_int_equal(stub_server_requests(server), 3);
    assert_in_range(o.n_waits, 0, 2);
    for (size_t i = 0; i < o.n_waits; i++)
        assert_in_range(o.waits[i], 0, 100);
    assert_int_equal(o.error.err.code, ERR_UNAVAILABLE);
    assert_true(o.error.err.retryable);
    assert_string_equal(o.error.code, "503");
    assert_string_equal(o.error.request_id, "r-1");
    assert_true(o.error.maybe_executed);
    struct aws_stats st;
    aws_client_stats(client, &st);
    assert_int_equal(st.calls, 1);
    assert_int_equal(st.attempts, 3);
    assert_int_equal(st.retries, 2);
    assert_int_equal(st.failed, 1);
}

static void
each_attempt_is_signed_anew(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 500, .headers = "x-amz-retry-after: 3000\r\n"}, {.status = 200, .body = "{}"});
    struct outcome o = call(SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 2);
    assert_header(0, "x-amz-date", "20261120T060000Z");
    assert_header(1, "x-amz-date", "20261120T060003Z");
    assert_signature(0, "sqs", SECRET);
    assert_signature(1, "sqs", SECRET);
}

static void
throttling_is_retried_though_its_status_is_403(void **state)
{
    (void)state;
    start_script(AWS_SQS,
                 {.status = 403,
                  .headers = "x-amzn-query-error: RequestThrottled;Sender\r\n",
                  .body = "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\"}"},
                 {.status = 200, .body = "{}"});
    struct outcome o = call(SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 2);
    assert_in_range(o.n_waits, 0, 1);
    if (o.n_waits)
        assert_in_range(o.waits[0], 1, 1000);
    struct aws_stats st;
    aws_client_stats(client, &st);
    assert_int_equal(st.throttled, 1);
}

static void
a_refusal_is_not_retried_and_was_not_executed(void **state)
{
    (void)state;
    start_script(
        AWS_SQS,
        {.status = 400,
         .headers = "x-amzn-RequestId: r-2\r\nx-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
         .body = "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"The specified queue does not "
                 "exist.\"}"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(stub_server_requests(server), 1);
    assert_int_equal(o.error.err.code, ERR_NOT_FOUND);
    assert_false(o.error.err.retryable);
    assert_false(o.error.maybe_executed);
    assert_string_equal(o.error.code, "AWS.SimpleQueueService.NonExistentQueue");
    assert_string_equal(o.error.err.text,
                        "ReceiveMessage: AWS.SimpleQueueService.NonExistentQueue: The specified queue "
                        "does not exist. (HTTP 400, request r-2)");
}

static void
the_services_wish_for_a_wait_is_honoured_within_five_seconds(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 503, .headers = "x-amz-retry-after: 4000\r\n"},
                 {.status = 503, .headers = "x-amz-retry-after: 999999999999\r\n"}, {.status = 200, .body = "{}"},
                 {.status = 503, .headers = "x-amz-retry-after: soon\r\n"}, {.status = 200, .body = "{}"});
    struct outcome o = call(SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.n_waits, 2);
    assert_int_equal(o.waits[0], 4000);
    assert_in_range(o.waits[1], 5000, 5100);
    o = call(SIMPLE);
    assert_false(o.failed);
    assert_true(o.n_waits == 0 || o.waits[0] <= 50);
}

static void
max_attempts_of_the_request_goes_before_the_clients(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 500});
    assert_int_equal(call(&(struct aws_request){.max_attempts = 1}).attempts, 1);
    assert_int_equal(call(&(struct aws_request){.max_attempts = 5}).attempts, 5);
}

static void
no_answer_is_retried_and_may_have_been_executed(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Mess"}, {.raw = "", .reset = true},
                 {.status = 200, .body = "{}"}, {.raw = "HTTP/1.1 200"});
    struct outcome o = call(SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 3);
    o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.attempts, 3);
    assert_int_equal(o.error.err.code, ERR_UNAVAILABLE);
    assert_true(o.error.err.retryable);
    assert_true(o.error.maybe_executed);
    assert_int_equal(o.error.status, 0);
}

static void
a_cut_answer_is_called_truncated(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Mess"});
    struct outcome o = call(&(struct aws_request){.max_attempts = 1});
    assert_string_equal(o.error.code, "truncated");
    assert_true(o.error.maybe_executed);
}

static void
an_earlier_attempt_of_unknown_outcome_is_remembered(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"},
                 {.status = 400, .body = "{\"__type\":\"x#Nope\"}"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_string_equal(o.error.code, "Nope");
    assert_true(o.error.maybe_executed);
}

static void
what_never_left_was_not_executed(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 200});
    stub_server_stop(server); /* its port is closed from here on */
    server = NULL;
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.attempts, 3);
    assert_string_equal(o.error.code, "connection");
    assert_false(o.error.maybe_executed);
    assert_true(o.error.err.retryable);
}

static void
no_answer_in_time_is_a_timeout(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\n", .hang = true});
    struct outcome o = {0};
    struct err e;
    submit(&(struct aws_request){.timeout_ms = 20000, .max_attempts = 1}, &o);
    while (stub_server_requests(server) < 1)
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
    assert_false(o.done);
    atomic_fetch_add(&page->offset_ms, 20000);
    run(&o);
    assert_string_equal(o.error.code, "timeout");
    assert_int_equal(o.error.err.code, ERR_TIMEOUT);
    assert_true(o.error.maybe_executed);
}

/* The bucket holds 500: 35 retries at 14 each. */
static void
drain_bucket(void)
{
    for (int i = 0; i < 17; i++)
        assert_int_equal(call(SIMPLE).attempts, 3);
    assert_int_equal(call(SIMPLE).attempts, 2);
}

static void
an_empty_bucket_ends_retries(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 500});
    drain_bucket();
    struct outcome o = call(SIMPLE);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(o.n_waits, 0);
}

static void
successes_fill_the_bucket_again(void **state)
{
    (void)state;
    static const struct step fail[] = {{.status = 500}}, succeed[] = {{.status = 200, .body = "{}"}};
    start(fail, 1, AWS_SQS);
    drain_bucket(); /* 10 are left */
    script = succeed;
    for (int i = 0; i < 4; i++)
        assert_false(call(SIMPLE).failed);
    script = fail;
    assert_int_equal(call(SIMPLE).attempts, 2);
}

static void
a_long_poll_waits_before_it_fails_for_want_of_tokens(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 500, .headers = "x-amz-retry-after: 2000\r\n"});
    drain_bucket();
    struct outcome o = call(&(struct aws_request){.long_poll = true});
    assert_int_equal(o.attempts, 1);
    assert_int_equal(o.n_waits, 1);
    assert_int_equal(o.waits[0], 2000);
    assert_string_equal(o.error.code, "500");
}

/* ---- clock and credentials ----------------------------------------------------------------------------------------
 */

static void
a_wrong_clock_is_corrected_once_and_stays_so(void **state)
{
    (void)state;
    /* The server's clock is an hour ahead. */
    start_script(AWS_SQS,
                 {.status = 403,
                  .headers = "Date: Fri, 20 Nov 2026 07:00:00 GMT\r\n",
                  .body = "{\"__type\":\"x#InvalidSignatureException\",\"message\":\"Signature expired\"}"},
                 {.status = 200, .body = "{}"});
    struct outcome o = call(SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 1); /* a correction is no attempt */
    assert_int_equal(o.n_waits, 0);
    assert_header(0, "x-amz-date", "20261120T060000Z");
    assert_header(1, "x-amz-date", "20261120T070000Z");
    assert_false(call(SIMPLE).failed);
    assert_header(2, "x-amz-date", "20261120T070000Z");
    struct aws_stats st;
    aws_client_stats(client, &st);
    assert_int_equal(st.clock_corrections, 1);
    assert_int_equal(st.clock_offset_ms, 3600000);
}

static void
a_clock_that_is_ahead_is_corrected_but_not_by_less_than_is_tolerated(void **state)
{
    (void)state;
    start_script(AWS_SQS,
                 {.status = 403,
                  .headers = "Date: Fri, 20 Nov 2026 05:58:00 GMT\r\n",
                  .body = "{\"__type\":\"x#SignatureDoesNotMatch\"}"},
                 {.status = 403,
                  .headers = "Date: Fri, 20 Nov 2026 05:00:00 GMT\r\n",
                  .body = "{\"__type\":\"x#RequestInTheFuture\"}"},
                 {.status = 200, .body = "{}"});
    assert_true(call(SIMPLE).failed);
    assert_int_equal(stub_server_requests(server), 1);
    assert_false(call(SIMPLE).failed);
    assert_header(2, "x-amz-date", "20261120T050000Z");
}

static void
a_clock_that_stays_wrong_is_corrected_no_second_time(void **state)
{
    (void)state;
    start_script(AWS_SQS,
                 {.status = 403,
                  .headers = "Date: Fri, 20 Nov 2026 07:00:00 GMT\r\n",
                  .body = "{\"__type\":\"x#RequestTimeTooSkewed\"}"},
                 {.status = 403,
                  .headers = "Date: Fri, 20 Nov 2026 09:00:00 GMT\r\n",
                  .body = "{\"__type\":\"x#RequestTimeTooSkewed\"}"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(server), 2);
    assert_string_equal(o.error.code, "RequestTimeTooSkewed");
}

static void
a_wrong_signature_at_the_right_time_is_no_matter_of_the_clock(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 403,
                           .headers = "Date: Fri, 20 Nov 2026 06:00:30 GMT\r\n",
                           .body = "{\"__type\":\"x#SignatureDoesNotMatch\"}"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(server), 1);
    assert_int_equal(o.error.err.code, ERR_DENIED);
}

/* A source that changes its mind when its answer is refused, and may answer later. */
struct turning {
    struct creds_provider base;
    struct creds *now, *next;
    int invalidations;
    bool later, endless;
    creds_done_fn *done;
    void *context;
};

static void
turning_get(struct creds_provider *p, creds_done_fn *done, void *context)
{
    struct turning *t = (struct turning *)p;
    if (t->later) {
        t->done = done;
        t->context = context;
    } else {
        done(context, t->now, NULL);
    }
}

static void
turning_invalidate(struct creds_provider *p, const struct creds *refused)
{
    struct turning *t = (struct turning *)p;
    t->invalidations++;
    if (refused == t->now && t->next) {
        struct creds *old = t->now;
        t->now = t->next;
        t->next = NULL;
        creds_release(old);
        if (t->endless)
            t->next = creds_new("NEWER", SECRET, NULL, "test", 0);
    }
}

static void
turning_destroy(struct creds_provider *p)
{
    struct turning *t = (struct turning *)p;
    creds_release(t->now);
    creds_release(t->next);
    free(t);
}

static struct turning *
use_turning_credentials(bool with_next)
{
    struct turning *t = calloc(1, sizeof *t);
    t->base = (struct creds_provider){"turning", turning_get, turning_invalidate, turning_destroy};
    t->now = creds_new("OLD", SECRET, "old-token", "test", 0);
    t->next = with_next ? creds_new("NEW", SECRET, "new-token", "test", 0) : NULL;
    creds_provider_destroy(credentials);
    credentials = &t->base;
    return t;
}

static void
refused_credentials_are_renewed_and_tried_once(void **state)
{
    (void)state;
    struct turning *t = use_turning_credentials(true);
    start_script(AWS_SQS, {.status = 403, .body = "{\"__type\":\"x#ExpiredTokenException\"}"},
                 {.status = 200, .body = "{}"});
    struct outcome o = call(SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(t->invalidations, 1);
    assert_header(0, "x-amz-security-token", "old-token");
    assert_header(1, "x-amz-security-token", "new-token");
    assert_signature(1, "sqs", SECRET);
}

static void
a_source_that_always_has_others_is_asked_but_once_more(void **state)
{
    (void)state;
    struct turning *t = use_turning_credentials(true);
    t->endless = true;
    start_script(AWS_SQS, {.status = 403, .body = "{\"__type\":\"x#ExpiredToken\"}"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(server), 2);
    assert_int_equal(t->invalidations, 1);
    assert_string_equal(o.error.code, "ExpiredToken");
}

static void
credentials_that_stay_the_same_are_not_tried_again(void **state)
{
    (void)state;
    use_turning_credentials(false);
    start_script(AWS_SQS, {.status = 403, .body = "{\"__type\":\"x#UnrecognizedClientException\"}"});
    struct outcome o = call(SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(server), 1);
    assert_string_equal(o.error.code, "UnrecognizedClientException");
    assert_int_equal(o.error.err.code, ERR_DENIED);
    assert_false(o.error.err.retryable);
}

static void
without_credentials_a_call_fails_in_a_later_turn(void **state)
{
    (void)state;
    struct err e;
    creds_provider_destroy(credentials);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(creds_env_new(&credentials, &e), 0);
    start_script(AWS_SQS, {.status = 200});
    struct outcome o = call(SIMPLE); /* submit() asserts that nothing happened at once */
    assert_true(o.failed);
    assert_string_equal(o.error.code, "credentials");
    assert_int_equal(o.error.err.code, ERR_DENIED);
    assert_non_null(strstr(o.error.err.text, "ReceiveMessage: AWS_ACCESS_KEY_ID"));
    assert_int_equal(stub_server_requests(server), 0);
}

static void
credentials_may_come_later_and_calls_be_cancelled_meanwhile(void **state)
{
    (void)state;
    struct turning *t = use_turning_credentials(false);
    t->later = true;
    start_script(AWS_SQS, {.status = 200, .body = "{}"});
    struct outcome o = {0}, never = {0};
    submit(SIMPLE, &o);
    t->done(t->context, t->now, NULL);
    run(&o);
    assert_false(o.failed);

    aws_cancel(submit(SIMPLE, &never));
    t->done(t->context, t->now, NULL);
    submit(SIMPLE, &never);
    aws_client_destroy(client);
    client = NULL;
    t->done(t->context, t->now, NULL);
    assert_int_equal(never.calls, 0);
}

/* ---- bodies, streams, cancelling ----------------------------------------------------------------------------------
 */

static void
garbage_in_error_answers_leaves_the_status(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 400, .body = "{\"__type\":"}, {.status = 404, .body = "<html>\xff\xfe</html>"},
                 {.status = 418, .body = "\x01\x02"}, {.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"});
    static const char *const codes[] = {"400", "404", "418", "302"};
    static const int meanings[] = {ERR_INVALID, ERR_NOT_FOUND, ERR_INVALID, ERR_PROTOCOL};
    for (int i = 0; i < 4; i++) {
        struct outcome o = call(SIMPLE);
        assert_true(o.failed);
        assert_int_equal(o.attempts, 1);
        assert_string_equal(o.error.code, codes[i]);
        assert_int_equal(o.error.err.code, meanings[i]);
    }
}

static void
an_answer_over_the_limit_fails_without_a_retry(void **state)
{
    (void)state;
    start_script(AWS_SQS, {.status = 200, .body = "0123456789"});
    struct outcome o = call(&(struct aws_request){.max_response_bytes = 9});
    assert_true(o.failed);
    assert_int_equal(o.attempts, 1);
    assert_string_equal(o.error.code, "limit");
    assert_true(o.error.maybe_executed);
}

struct stream {
    struct outcome o; /* first: it is the context of note() */
    char text[100];
};

static int
take_piece(void *context, struct slice piece)
{
    struct stream *s = context;
    strncat(s->text, piece.p, piece.n);
    return 0;
}

static void
a_stream_is_retried_only_while_no_piece_of_it_was_handed_on(void **state)
{
    (void)state;
    struct err e;
    start_script(AWS_S3, {.status = 503, .body = "<Error><Code>SlowDown</Code></Error>"},
                 {.status = 200, .body = "whole"}, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"});
    struct aws_request rq = {.operation = "GetObject", .method = "GET", .path = "/b/k", .on_data = take_piece};
    struct stream s = {0}, t = {0};
    assert_int_equal(aws_submit(client, &rq, note, &s, NULL, &e), 0);
    run(&s.o);
    assert_false(s.o.failed);
    assert_int_equal(s.o.attempts, 2);
    assert_string_equal(s.text, "whole");
    assert_string_equal(s.o.body, "");
    assert_int_equal(aws_submit(client, &rq, note, &t, NULL, &e), 0);
    run(&t.o);
    assert_true(t.o.failed);
    assert_int_equal(t.o.attempts, 1);
    assert_string_equal(t.o.error.code, "truncated");
    assert_string_equal(t.text, "half");
}

static void
count_drop(void *context)
{
    ((struct outcome *)context)->status++;
}

static void
a_context_is_dropped_once_when_its_call_ends_without_its_callback(void **state)
{
    (void)state;
    struct err e;
    struct aws_request rq = {.body = SLICE("{}"), .drop = count_drop};
    struct outcome cancelled = {0}, destroyed = {0}, done = {0}, refused = {0};
    start_script(AWS_SQS, {.status = 204});
    aws_cancel(submit(&rq, &cancelled));
    assert_int_equal(cancelled.status, 1);
    submit(&rq, &done);
    run(&done);
    assert_int_equal(done.status, 204);
    submit(&rq, &destroyed);
    struct aws_request bad = rq;
    bad.operation = "X";
    bad.path = "no-slash";
    assert_int_equal(aws_submit(client, &bad, note, &refused, NULL, &e), ERR_INVALID);
    aws_client_destroy(client);
    client = NULL;
    assert_int_equal(destroyed.status, 1);
    assert_int_equal(refused.status, 0);
    assert_int_equal(cancelled.calls + destroyed.calls + refused.calls, 0);
}

static void
a_call_can_be_cancelled_at_any_time(void **state)
{
    (void)state;
    struct err e;
    start_script(AWS_SQS, {.status = 503, .headers = "x-amz-retry-after: 5000\r\n"});
    struct outcome fresh = {0}, waiting = {0}, own = {0};
    aws_cancel(submit(SIMPLE, &fresh));
    struct aws_call *c = submit(SIMPLE, &waiting);
    struct http_stats st;
    do {
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
        http_engine_stats(engine, &st);
    } while (st.in_flight > 0);
    assert_false(waiting.done);
    aws_cancel(c);
    atomic_fetch_add(&page->offset_ms, 60000);
    assert_int_equal(http_engine_run(engine, 10, &e), 0);
    assert_int_equal(fresh.calls + waiting.calls, 0);
    own.self = submit(&(struct aws_request){.max_attempts = 1}, &own);
    run(&own);
    assert_int_equal(own.calls, 1);
}

static void
requests_that_make_no_sense_are_refused_at_once(void **state)
{
    (void)state;
    struct err e;
    start_script(AWS_S3, {.status = 200});
    assert_int_equal(
        aws_submit(client, &(struct aws_request){.operation = "GetObject", .path = "k"}, note, NULL, NULL, &e),
        ERR_INVALID);
    struct outcome o = call(&(struct aws_request){
        .operation = "GetObject", .headers = &(struct http_header){"X", "a\r\nb"}, .n_headers = 1});
    assert_true(o.failed);
    assert_string_equal(o.error.code, "internal");
    assert_int_equal(o.error.err.code, ERR_INVALID);
}

int
main(void)
{
    char path[] = "/tmp/test_aws.XXXXXX";
    struct err e;
    static const char *const unset[] = {"http_proxy",          "https_proxy",
                                        "all_proxy",           "HTTPS_PROXY",
                                        "ALL_PROXY",           "AWS_PROFILE",
                                        "AWS_ENDPOINT_URL",    "AWS_ENDPOINT_URL_SQS",
                                        "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_EVENTBRIDGE"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        unsetenv(unset[i]);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    close(mkstemp(path));
    setenv("FANOUT_TEST_CLOCK", path, 1);
    if (clock_page_create(path, &page, &e) != 0 || clock_init(&e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    unlink(path);
#define with_client(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_client(an_sqs_call_goes_out_signed_as_json_1_0),
        with_client(an_eventbridge_call_goes_out_signed_as_json_1_1),
        with_client(an_s3_call_carries_the_hash_of_its_body_and_its_path_as_given),
        with_client(a_session_token_is_sent_and_signed),
        with_client(an_endpoint_with_a_path_and_a_host_prefix_are_sent_and_signed),
        with_client(a_body_that_is_not_borrowed_may_change_after_the_submit),
        with_client(a_transient_failure_is_retried_with_short_waits_up_to_three_attempts),
        with_client(each_attempt_is_signed_anew),
        with_client(throttling_is_retried_though_its_status_is_403),
        with_client(a_refusal_is_not_retried_and_was_not_executed),
        with_client(the_services_wish_for_a_wait_is_honoured_within_five_seconds),
        with_client(max_attempts_of_the_request_goes_before_the_clients),
        with_client(no_answer_is_retried_and_may_have_been_executed),
        with_client(a_cut_answer_is_called_truncated),
        with_client(an_earlier_attempt_of_unknown_outcome_is_remembered),
        with_client(what_never_left_was_not_executed),
        with_client(no_answer_in_time_is_a_timeout),
        with_client(an_empty_bucket_ends_retries),
        with_client(successes_fill_the_bucket_again),
        with_client(a_long_poll_waits_before_it_fails_for_want_of_tokens),
        with_client(a_wrong_clock_is_corrected_once_and_stays_so),
        with_client(a_clock_that_is_ahead_is_corrected_but_not_by_less_than_is_tolerated),
        with_client(a_clock_that_stays_wrong_is_corrected_no_second_time),
        with_client(a_wrong_signature_at_the_right_time_is_no_matter_of_the_clock),
        with_client(refused_credentials_are_renewed_and_tried_once),
        with_client(a_source_that_always_has_others_is_asked_but_once_more),
        with_client(credentials_that_stay_the_same_are_not_tried_again),
        with_client(without_credentials_a_call_fails_in_a_later_turn),
        with_client(credentials_may_come_later_and_calls_be_cancelled_meanwhile),
        with_client(garbage_in_error_answers_leaves_the_status),
        with_client(an_answer_over_the_limit_fails_without_a_retry),
        with_client(a_stream_is_retried_only_while_no_piece_of_it_was_handed_on),
        with_client(a_context_is_dropped_once_when_its_call_ends_without_its_callback),
        with_client(a_call_can_be_cancelled_at_any_time),
        with_client(requests_that_make_no_sense_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("aws", tests, NULL, NULL);
}
