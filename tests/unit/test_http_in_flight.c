/* Many calls in flight, and calls that are cancelled: by whom they like, whenever they like. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_calls.h"

static void
answer_held(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context;
    char body[32];
    snprintf(body, sizeof body, "%.*s", SLICE_ARG(rq->target));
    stub_answer_http(a, 200, "", body);
    a->hold = true;
}

static void
two_hundred_calls_are_in_flight_at_once(void **state)
{
    (void)state;
    enum { N = 200 };
    struct stub_server *s = stub_server_start(answer_held, NULL);
    static struct http_seen o[N];
    struct err e;
    memset(o, 0, sizeof o);
    for (int i = 0; i < N; i++) {
        char url[100];
        snprintf(url, sizeof url, "%s/%d", stub_server_url(s), i);
        http_calls_submit(&(struct http_request){.url = url}, &o[i]);
    }
    while (stub_server_requests(s) < N)
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    struct http_stats st;
    http_engine_stats(http_calls_engine, &st);
    assert_int_equal(st.in_flight, N);
    for (int i = 0; i < N; i++)
        assert_false(o[i].done);
    stub_server_release(s);
    for (int i = 0; i < N; i++) {
        char path[16];
        http_calls_run_until(&o[i].done);
        snprintf(path, sizeof path, "/%d", i);
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].status, 200);
        assert_string_equal(o[i].body, path);
        free(o[i].body);
    }
    stub_server_stop(s);
}

static void
a_cancelled_call_is_never_heard_of_again(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_held, NULL);
    struct http_seen unsent = {0}, sent = {0}, other = {0};
    struct err e;
    http_cancel(http_calls_submit(&(struct http_request){.url = stub_server_url(s)}, &unsent));
    struct http_call *flying = http_calls_submit(&(struct http_request){.url = stub_server_url(s)}, &sent);
    while (stub_server_requests(s) < 1)
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    http_cancel(flying);
    stub_server_release(s);
    http_calls_make(&(struct http_request){.url = stub_server_url(s)}, &other);
    assert_int_equal(other.status, 200);
    assert_int_equal(unsent.calls + sent.calls, 0);
    struct http_stats st;
    http_engine_stats(http_calls_engine, &st);
    assert_int_equal(st.in_flight, 0);
    free(other.body);
    stub_server_stop(s);
}

/* Callbacks that change what is in flight. */
struct meddler {
    struct http_call *self, *other;
    const char *url;
    bool in_data;
    struct http_seen mine, others, next;
};

static void
meddle(struct meddler *m)
{
    struct err e;
    struct http_request q = {.method = "GET", .url = m->url, .timeout_ms = HTTP_PATIENCE_MS, .context = &m->next};
    http_cancel(m->other);
    assert_int_equal(http_submit(http_calls_engine, &q, http_calls_note, NULL, &e), 0);
    http_cancel(m->self);
}

static void
meddle_when_done(void *context, const struct http_response *r)
{
    struct meddler *m = context;
    http_calls_note(&m->mine, r);
    if (!m->in_data)
        meddle(m);
}

static int
meddle_with_data(void *context, struct slice piece)
{
    (void)piece;
    meddle(context);
    return 0;
}

static void
first_answered_second_silent(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    if (slice_equals_string(rq->target, "/silent"))
        a->then = STUB_HANG;
    else
        http_answer_hello(context, rq, a);
}

static void
callbacks_may_submit_and_cancel_any_call(void **state)
{
    (void)state;
    for (int in_data = 0; in_data < 2; in_data++) {
        struct stub_server *s = stub_server_start(first_answered_second_silent, NULL);
        char silent[100];
        struct err e;
        struct meddler m = {.url = stub_server_url(s), .in_data = in_data};
        snprintf(silent, sizeof silent, "%s/silent", stub_server_url(s));
        m.other = http_calls_submit(&(struct http_request){.url = silent}, &m.others);
        while (stub_server_requests(s) < 1)
            assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
        struct http_request q = {.method = "GET",
                                 .url = m.url,
                                 .timeout_ms = HTTP_PATIENCE_MS,
                                 .context = &m,
                                 .on_data = in_data ? meddle_with_data : NULL};
        assert_int_equal(http_submit(http_calls_engine, &q, meddle_when_done, &m.self, &e), 0);
        http_calls_run_until(&m.next.done);
        assert_int_equal(m.next.status, 200);
        assert_int_equal(m.mine.calls, in_data ? 0 : 1); /* cancelled in the midst of its data: no more callbacks */
        assert_int_equal(m.others.calls, 0);
        struct http_stats st;
        http_engine_stats(http_calls_engine, &st);
        assert_int_equal(st.in_flight, 0);
        free(m.mine.body);
        free(m.next.body);
        stub_server_stop(s);
    }
}

#define UPLOAD_BYTES ((size_t)8 << 20)

/* Cancels an upload that is on its way, and frees its body as the contract allows. */
struct interrupter {
    struct http_call *upload;
    char *body;
};

static int
interrupt(void *context, struct slice piece)
{
    struct interrupter *i = context;
    (void)piece;
    if (!i->body)
        return 0;
    http_cancel(i->upload);
    memset(i->body, 'x', UPLOAD_BYTES);
    free(i->body);
    i->body = NULL;
    return 0;
}

static void
was_answered(void *context, const struct http_response *r)
{
    const struct interrupter *i = context;
    assert_int_equal(r->status, 200);
    assert_null(i->body);
}

static void
an_upload_cancelled_from_anothers_data_reads_its_body_no_more(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(first_answered_second_silent, NULL);
    char silent[100];
    snprintf(silent, sizeof silent, "%s/silent", stub_server_url(s));
    struct interrupter its[20];
    for (int i = 0; i < 20; i++) {
        struct interrupter *it = &its[i];
        *it = (struct interrupter){.body = calloc(1, UPLOAD_BYTES)};
        struct http_seen uploaded = {0};
        struct http_request get = {.method = "GET",
                                   .url = stub_server_url(s),
                                   .timeout_ms = HTTP_PATIENCE_MS,
                                   .context = it,
                                   .on_data = interrupt};
        struct http_request put = {
            .method = "PUT", .url = silent, .timeout_ms = HTTP_PATIENCE_MS, .body = slice_of(it->body, UPLOAD_BYTES)};
        struct err e;
        bool started = i % 2;
        if (started) { /* under way for a while, or of the same turn */
            it->upload = http_calls_submit(&put, &uploaded);
            for (int turn = 0; turn < 3; turn++)
                assert_int_equal(http_engine_run(http_calls_engine, 1, &e), 0);
        }
        assert_int_equal(http_submit(http_calls_engine, &get, was_answered, NULL, &e), 0);
        if (!started)
            it->upload = http_calls_submit(&put, &uploaded);
        while (it->body)
            assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
        assert_int_equal(uploaded.calls, 0);
    }
    struct http_stats st;
    do {
        struct err e;
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
        http_engine_stats(http_calls_engine, &st);
    } while (st.in_flight > 0);
    stub_server_stop(s);
}

static void
destroying_the_engine_ends_its_calls_without_callbacks(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_nothing, NULL);
    struct http_seen a = {0}, b = {0};
    struct err e;
    http_calls_submit(&(struct http_request){.url = stub_server_url(s)}, &a);
    while (stub_server_requests(s) < 1)
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    http_calls_submit(&(struct http_request){.url = stub_server_url(s)}, &b);
    http_engine_destroy(http_calls_engine);
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &http_calls_engine, &e), 0);
    assert_int_equal(a.calls + b.calls, 0);
    stub_server_stop(s);
}

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        HTTP_TEST(two_hundred_calls_are_in_flight_at_once),
        HTTP_TEST(a_cancelled_call_is_never_heard_of_again),
        HTTP_TEST(callbacks_may_submit_and_cancel_any_call),
        HTTP_TEST(an_upload_cancelled_from_anothers_data_reads_its_body_no_more),
        HTTP_TEST(destroying_the_engine_ends_its_calls_without_callbacks),
    };
    return cmocka_run_group_tests_name("http_in_flight", tests, NULL, NULL);
}
