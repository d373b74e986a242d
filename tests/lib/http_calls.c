#include "lib/http_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct http_engine *http_calls_engine;

int
http_calls_make_engine(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &http_calls_engine, &e), 0);
    return 0;
}

int
http_calls_destroy_engine(void **state)
{
    (void)state;
    http_engine_destroy(http_calls_engine);
    http_calls_engine = NULL;
    return 0;
}

void
http_calls_unset_proxies(void)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        unsetenv(proxies[i]);
}

void
http_calls_note(void *context, const struct http_response *r)
{
    struct http_seen *o = context;
    o->done = true;
    o->calls++;
    o->status = r->status;
    o->error = r->error;
    o->request_sent = r->request_sent;
    o->truncated = r->truncated;
    free(o->body);
    o->body = malloc(r->body.n + 1);
    memcpy(o->body, r->body.n ? r->body.p : "", r->body.n);
    o->body[o->body_n = r->body.n] = '\0';
    if (o->wanted_header)
        snprintf(o->header, sizeof o->header, "%.*s", SLICE_ARG(http_response_header(r, o->wanted_header)));
}

struct http_call *
http_calls_submit(const struct http_request *q, struct http_seen *o)
{
    struct http_request with = *q;
    struct http_call *call = NULL;
    struct err e = {0};
    with.context = with.context ? with.context : o;
    with.method = with.method ? with.method : "GET";
    with.timeout_ms = with.timeout_ms ? with.timeout_ms : HTTP_PATIENCE_MS;
    if (http_submit(http_calls_engine, &with, http_calls_note, &call, &e) != 0)
        fail_msg("%s", e.text);
    return call;
}

void
http_calls_run_until(const bool *done)
{
    struct err e = {0};
    if (http_engine_run_until(http_calls_engine, done, HTTP_PATIENCE_MS, &e) != 0)
        fail_msg("%s", e.text);
}

void
http_calls_make(const struct http_request *q, struct http_seen *o)
{
    o->done = false;
    http_calls_submit(q, o);
    assert_false(o->done);
    http_calls_run_until(&o->done);
}

void
http_answer_hello(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    stub_answer_http(a, 200, "X-One: 1\r\nx-one: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "hello");
}

void
http_answer_text(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)rq;
    buf_add_string(&a->bytes, context);
    a->then = STUB_CLOSE;
}

void
http_answer_nothing(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    a->then = STUB_HANG;
}
