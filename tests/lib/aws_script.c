#include "lib/aws_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/sigv4.h"
#include "base/digest.h"
#include "lib/http_calls.h"

struct aws_script aws_script;
static const struct aws_step *_Atomic script;
static size_t n_steps;

void
aws_script_prepare(void)
{
    char path[] = "/tmp/aws_script.XXXXXX";
    struct err e;
    static const char *const unset[] = {"AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS",
                                        "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_EVENTBRIDGE"};
    http_calls_unset_proxies();
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        unsetenv(unset[i]);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    close(mkstemp(path));
    setenv("FANOUT_TEST_CLOCK", path, 1);
    if (clock_page_create(path, &aws_script.clock, &e) != 0 || clock_init(&e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    unlink(path);
}

int
aws_script_set_up(void **state)
{
    (void)state;
    struct err e;
    atomic_store(&aws_script.clock->wall_skew_ms, 0);
    atomic_store(&aws_script.clock->offset_ms, 0);
    atomic_store(&aws_script.clock->frozen_at_ms, INT64_C(1795154400000)); /* 2026-11-20T06:00:00Z */
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &aws_script.engine, &e), 0);
    assert_int_equal(creds_static_new("AKIDEXAMPLE", AWS_SECRET, NULL, &aws_script.credentials, &e), 0);
    return 0;
}

int
aws_script_tear_down(void **state)
{
    (void)state;
    aws_client_destroy(aws_script.client);
    http_engine_destroy(aws_script.engine);
    creds_provider_destroy(aws_script.credentials);
    stub_server_stop(aws_script.server);
    aws_script.client = NULL;
    aws_script.engine = NULL;
    aws_script.credentials = NULL;
    aws_script.server = NULL;
    return 0;
}

static void
answer_by_script(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context;
    const struct aws_step *s = &script[rq->index < n_steps ? rq->index : n_steps - 1];
    if (s->status)
        stub_answer_http(a, s->status, s->headers ? s->headers : "", s->body ? s->body : "");
    else
        buf_add_string(&a->bytes, s->raw ? s->raw : "");
    a->then = s->reset ? STUB_RESET : s->hang ? STUB_HANG : s->status ? STUB_KEEP : STUB_CLOSE;
}

void
aws_script_connect(enum aws_service service, const char *path_of_endpoint)
{
    char url[128];
    struct err e = {0};
    snprintf(url, sizeof url, "%s%s", stub_server_url(aws_script.server), path_of_endpoint);
    struct aws_client_options o = {.engine = aws_script.engine,
                                   .credentials = aws_script.credentials,
                                   .service = service,
                                   .region = "eu-north-1",
                                   .endpoint_url = url};
    if (aws_client_new(&o, &aws_script.client, &e) != 0)
        fail_msg("%s", e.text);
}

void
aws_script_go_on_with(const struct aws_step *step)
{
    script = step;
    n_steps = 1;
}

void
aws_script_start(const struct aws_step *steps, size_t n, enum aws_service service)
{
    script = steps;
    n_steps = n;
    aws_script.server = stub_server_start(answer_by_script, NULL);
    aws_script_connect(service, "");
}

void
aws_script_note(void *context, const struct aws_response *r)
{
    struct aws_seen *o = context;
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

void
aws_script_run(struct aws_seen *o)
{
    struct err e;
    for (int turns = 0; !o->done; turns++) {
        struct http_stats st;
        assert_int_equal(http_engine_run(aws_script.engine, 10, &e), 0);
        http_engine_stats(aws_script.engine, &st);
        int64_t wait_ms = timers_next_ms(http_engine_timers(aws_script.engine), clock_monotonic_ms());
        if (!o->done && st.in_flight == 0 && wait_ms > 0) {
            assert_true(o->n_waits < 10);
            o->waits[o->n_waits++] = wait_ms;
            atomic_fetch_add(&aws_script.clock->offset_ms, wait_ms);
        }
        if (turns > 5000)
            fail_msg("the call does not end");
    }
}

struct aws_call *
aws_script_submit(const struct aws_request *rq, struct aws_seen *o)
{
    struct err e = {0};
    struct aws_call *call;
    struct aws_request with = *rq;
    with.operation = with.operation ? with.operation : "ReceiveMessage";
    if (aws_submit(aws_script.client, &with, aws_script_note, o, &call, &e) != 0)
        fail_msg("%s", e.text);
    assert_false(o->done);
    return call;
}

struct aws_seen
aws_script_call(const struct aws_request *rq)
{
    struct aws_seen o = {0};
    aws_script_submit(rq, &o);
    aws_script_run(&o);
    assert_int_equal(o.calls, 1);
    return o;
}

void
aws_script_assert_header(size_t i, const char *name, const char *expected)
{
    char value[800];
    assert_string_equal(stub_server_request_header(aws_script.server, i, name, value, sizeof value), expected);
}

void
aws_script_assert_signature(size_t i, const char *service, const char *secret)
{
    char authorization[600], hash[DIGEST_SHA256_HEX], value[8][800], date[40], expected[65];
    struct sigv4_header headers[8];
    struct sigv4_authorization_parts parts;
    struct err e;
    const char *text = stub_server_request(aws_script.server, i);
    const char *body = strstr(text, "\r\n\r\n") + 4;
    stub_server_request_header(aws_script.server, i, "authorization", authorization, sizeof authorization);
    assert_int_equal(sigv4_parse_authorization(slice_of_string(authorization), &parts, &e), 0);
    size_t n = 0;
    char names[300];
    snprintf(names, sizeof names, "%.*s", SLICE_ARG(parts.signed_headers));
    for (char *name = strtok(names, ";"); name; name = strtok(NULL, ";"), n++) {
        assert_true(n < 8);
        stub_server_request_header(aws_script.server, i, name, value[n], sizeof value[n]);
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
    stub_server_request_header(aws_script.server, i, "x-amz-date", date, sizeof date);
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
