#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/stub_server.h"

#define PATIENCE_MS 20000

static struct http_engine *engine;

static int
make_engine(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &engine, &e), 0);
    return 0;
}

static int
destroy_engine(void **state)
{
    (void)state;
    http_engine_destroy(engine);
    engine = NULL;
    return 0;
}

/* What a callback saw, copied. */
struct outcome {
    int calls, status;
    struct err error;
    bool done, request_sent, truncated;
    char *body;
    size_t body_n;
    char header[200];
    const char *wanted_header;
};

static void
note(void *context, const struct http_response *r)
{
    struct outcome *o = context;
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

static struct http_call *
submit(const struct http_request *q, struct outcome *o)
{
    struct http_request with = *q;
    struct http_call *call = NULL;
    struct err e = {0};
    with.context = with.context ? with.context : o;
    with.method = with.method ? with.method : "GET";
    with.timeout_ms = with.timeout_ms ? with.timeout_ms : PATIENCE_MS;
    if (http_submit(engine, &with, note, &call, &e) != 0)
        fail_msg("%s", e.text);
    return call;
}

static void
run_until(const bool *done)
{
    struct err e = {0};
    if (http_engine_run_until(engine, done, PATIENCE_MS, &e) != 0)
        fail_msg("%s", e.text);
}

/* One call to its end. The caller frees o->body. */
static void
call(const struct http_request *q, struct outcome *o)
{
    o->done = false;
    submit(q, o);
    assert_false(o->done);
    run_until(&o->done);
}

/* ---- handlers -----------------------------------------------------------------------------------------------------
 */

static void
answer_hello(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    stub_answer_http(a, 200, "X-One: 1\r\nx-one: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "hello");
}

static void
answer_text(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)rq;
    buf_add_string(&a->bytes, context);
    a->then = STUB_CLOSE;
}

static void
answer_nothing(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    a->then = STUB_HANG;
}

static void
answer_held(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context;
    char body[32];
    snprintf(body, sizeof body, "%.*s", SLICE_ARG(rq->target));
    stub_answer_http(a, 200, "", body);
    a->hold = true;
}

/* ---- what goes out ------------------------------------------------------------------------------------------------
 */

static void
a_request_goes_out_as_it_was_given(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    char url[200], head[400];
    snprintf(url, sizeof url, "%s/a/../b//c%%2F?x=1&y=%%20", stub_server_url(s));
    struct http_header headers[] = {
        {"X-Amz-Target", "AmazonSQS.ReceiveMessage"}, {"X-Empty", ""}, {"Host", "q.example"}};
    struct outcome o = {0};
    call(&(struct http_request){.method = "POST", .url = url, .headers = headers, .n_headers = 3, .body = SLICE("{}")},
         &o);
    assert_int_equal(o.status, 200);
    assert_true(o.request_sent);
    assert_string_equal(o.body, "hello");
    snprintf(head, sizeof head,
             "POST /a/../b//c%%2F?x=1&y=%%20 HTTP/1.1\r\nUser-Agent: fanoutd/%s\r\nX-Amz-Target: "
             "AmazonSQS.ReceiveMessage\r\n"
             "X-Empty:\r\nHost: q.example\r\nContent-Length: 2\r\n\r\n{}",
             FANOUT_VERSION);
    /* libcurl puts a Host of ours first */
    const char *seen = stub_server_request(s, 0);
    for (const char *line = head; *line; line = strchr(line, '\n') + 1) {
        char one[200];
        snprintf(one, sizeof one, "%.*s",
                 (int)(strchr(line, '\n') ? strchr(line, '\n') - line + 1 : (long)strlen(line)), line);
        if (!strstr(seen, one))
            fail_msg("no %s in %s", one, seen);
        if (!strchr(line, '\n'))
            break;
    }
    assert_int_equal(strlen(seen), strlen(head));
    free(o.body);
    stub_server_stop(s);
}

static void
every_method_has_the_right_shape(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    static const struct {
        const char *method, *body, *length;
    } cases[] = {{"GET", "", ""},    {"POST", "", "0"},   {"PUT", "", "0"},    {"DELETE", "", ""},   {"HEAD", "", ""},
                 {"GET", "", ""},    {"POST", "ab", "2"}, {"PUT", "abc", "3"}, {"DELETE", "a", "1"}, {"GET", "xy", "2"},
                 {"POST", "a", "1"}, {"HEAD", "", ""},    {"PUT", "q", "1"},   {"GET", "", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o = {0};
        char value[32], first[32];
        /* A HEAD's answer has no body though it has a length; the stub sends one, so that connection must go. */
        call(&(struct http_request){.method = cases[i].method,
                                    .url = stub_server_url(s),
                                    .body = slice_of_string(cases[i].body)},
             &o);
        assert_int_equal(o.status, 200);
        assert_string_equal(o.body, strcmp(cases[i].method, "HEAD") == 0 ? "" : "hello");
        const char *text = stub_server_request(s, i);
        snprintf(first, sizeof first, "%s / HTTP/1.1\r\n", cases[i].method);
        if (strncmp(text, first, strlen(first)) != 0)
            fail_msg("request %zu is no %s: %s", i, cases[i].method, text);
        assert_string_equal(stub_server_request_header(s, i, "content-length", value, sizeof value), cases[i].length);
        assert_string_equal(stub_server_request_header(s, i, "content-type", value, sizeof value), "");
        assert_string_equal(stub_server_request_header(s, i, "transfer-encoding", value, sizeof value), "");
        assert_string_equal(strstr(text, "\r\n\r\n") + 4, cases[i].body);
        free(o.body);
    }
    stub_server_stop(s);
}

static void
a_large_body_goes_out_whole_and_without_expect(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    size_t n = 3 << 20;
    char *body = malloc(n), value[32];
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    struct outcome o = {0};
    call(&(struct http_request){.method = "PUT", .url = stub_server_url(s), .body = slice_of(body, n)}, &o);
    assert_int_equal(o.status, 200);
    assert_string_equal(stub_server_request_header(s, 0, "expect", value, sizeof value), "");
    assert_memory_equal(strstr(stub_server_request(s, 0), "\r\n\r\n") + 4, body, n);
    struct http_stats st;
    http_engine_stats(engine, &st);
    assert_in_range(st.bytes_sent, n, n + 1000);
    free(o.body);
    free(body);
    stub_server_stop(s);
}

static void
headers_that_would_split_a_request_are_refused(void **state)
{
    (void)state;
    static const struct http_header bad[] = {{"X", "a\r\nY: b"}, {"X\r\nY", "b"}, {"", "b"},
                                             {"X:", "b"},        {"X Y", "b"},    {"X", "a\nb"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct http_request q = {
            .method = "GET", .url = "http://127.0.0.1:1/", .headers = &bad[i], .n_headers = 1, .timeout_ms = 1000};
        assert_int_equal(http_submit(engine, &q, note, NULL, &e), ERR_INVALID);
    }
    struct err e = {0};
    struct http_request q = {.method = "BREW", .url = "http://127.0.0.1:1/", .timeout_ms = 1000};
    assert_int_equal(http_submit(engine, &q, note, NULL, &e), ERR_INVALID);
    q = (struct http_request){.method = "GET", .url = "http://127.0.0.1:1/"};
    assert_int_equal(http_submit(engine, &q, note, NULL, &e), ERR_INVALID);
    struct http_stats st;
    http_engine_stats(engine, &st);
    assert_int_equal(st.in_flight, 0);
}

/* ---- what comes back ----------------------------------------------------------------------------------------------
 */

static void
the_last_of_equal_headers_is_found_without_regard_to_case(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    static const char *const wanted[][2] = {
        {"X-ONE", "2"}, {"date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"absent", ""}, {"content-length", "5"}};
    for (size_t i = 0; i < 4; i++) {
        struct outcome o = {.wanted_header = wanted[i][0]};
        call(&(struct http_request){.url = stub_server_url(s)}, &o);
        assert_string_equal(o.header, wanted[i][1]);
        free(o.body);
    }
    stub_server_stop(s);
}

static void
chunked_and_interim_answers_are_understood(void **state)
{
    (void)state;
    struct stub_server *s =
        stub_server_start(answer_text, "HTTP/1.1 100 Continue\r\nX-One: interim\r\n\r\nHTTP/1.1 200 OK\r\nX-One: "
                                       "final\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       "5\r\nhello\r\n6\r\n world\r\n0\r\nX-One: trailer\r\n\r\n");
    struct outcome o = {.wanted_header = "x-one"};
    call(&(struct http_request){.url = stub_server_url(s)}, &o);
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body, "hello world");
    assert_string_equal(o.header, "final");
    free(o.body);
    stub_server_stop(s);
}

static void
redirects_and_compression_are_handed_on_untouched(void **state)
{
    (void)state;
    struct stub_server *s =
        stub_server_start(answer_text, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: "
                                       "a=b\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
    struct outcome o = {.wanted_header = "location"};
    call(&(struct http_request){.url = stub_server_url(s)}, &o);
    assert_int_equal(o.status, 302);
    assert_string_equal(o.body, "abc");
    assert_string_equal(o.header, "http://127.0.0.1:1/");
    char value[32];
    call(&(struct http_request){.url = stub_server_url(s)}, &o);
    assert_string_equal(stub_server_request_header(s, 1, "cookie", value, sizeof value), "");
    assert_string_equal(stub_server_request_header(s, 1, "accept-encoding", value, sizeof value), "");
    free(o.body);
    stub_server_stop(s);
}

static int
collect(void *context, struct slice piece)
{
    struct outcome *o = context;
    o->body = realloc(o->body, o->body_n + piece.n + 1);
    memcpy(o->body + o->body_n, piece.p, piece.n);
    o->body[o->body_n += piece.n] = '\0';
    return 0;
}

static void
note_status_only(void *context, const struct http_response *r)
{
    struct outcome *o = context;
    o->done = true;
    o->calls++;
    o->status = r->status;
    o->error = r->error;
    snprintf(o->header, sizeof o->header, "%.*s", SLICE_ARG(r->body));
}

static void
pieces_of_success_are_streamed_and_errors_are_collected(void **state)
{
    (void)state;
    struct err e;
    struct stub_server *s = stub_server_start(answer_text, "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello");
    struct outcome o = {0};
    struct http_request q = {
        .method = "GET", .url = stub_server_url(s), .timeout_ms = PATIENCE_MS, .on_data = collect, .context = &o};
    assert_int_equal(http_submit(engine, &q, note_status_only, NULL, &e), 0);
    run_until(&o.done);
    assert_int_equal(o.status, 206);
    assert_string_equal(o.body, "hello");
    assert_string_equal(o.header, "");
    free(o.body);
    stub_server_stop(s);

    s = stub_server_start(answer_text, "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone");
    o = (struct outcome){0};
    q.url = stub_server_url(s);
    assert_int_equal(http_submit(engine, &q, note_status_only, NULL, &e), 0);
    run_until(&o.done);
    assert_int_equal(o.status, 404);
    assert_null(o.body);
    assert_string_equal(o.header, "gone");
    stub_server_stop(s);
}

static int
refuse(void *context, struct slice piece)
{
    (void)context, (void)piece;
    return -1;
}

static void
a_reader_may_give_up(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    struct outcome o = {0};
    call(&(struct http_request){.url = stub_server_url(s), .on_data = refuse, .context = &o}, &o);
    assert_int_equal(o.error.code, ERR_CANCELLED);
    assert_int_equal(o.status, 0);
    free(o.body);
    stub_server_stop(s);
}

/* ---- limits and broken answers ------------------------------------------------------------------------------------
 */

static void
a_body_over_the_limit_is_refused_announced_or_not(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello world",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct stub_server *s = stub_server_start(answer_text, (void *)answers[i]);
        struct outcome o = {0};
        call(&(struct http_request){.url = stub_server_url(s), .max_response_bytes = 10}, &o);
        assert_int_equal(o.error.code, ERR_LIMIT);
        assert_int_equal(o.status, 0);
        assert_false(o.error.retryable);
        assert_non_null(strstr(o.error.text, "longer than 10 bytes"));
        if (i != 1) {
            call(&(struct http_request){.url = stub_server_url(s), .max_response_bytes = 11}, &o);
            assert_int_equal(o.status, 200);
            assert_string_equal(o.body, "hello world");
        }
        free(o.body);
        stub_server_stop(s);
    }
}

static void
answer_endless_headers(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    buf_add_string(&a->bytes, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000; i++)
        buf_add_format(&a->bytes, "X-Header-%d: abcdefghijklmnopqrstuvwxyz\r\n", i);
    a->then = STUB_HANG;
}

static void
endless_headers_are_refused(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_endless_headers, NULL);
    struct outcome o = {0};
    call(&(struct http_request){.url = stub_server_url(s)}, &o);
    assert_int_not_equal(o.error.code, 0);
    assert_int_not_equal(o.error.code, ERR_TIMEOUT);
    free(o.body);
    stub_server_stop(s);
}

static void
what_is_no_http_is_a_protocol_error(void **state)
{
    (void)state;
    static const char *const answers[] = {"220 smtp.example ESMTP\r\n", "HTTP/1.1 7 Odd\r\nContent-Length: 0\r\n\r\n",
                                          "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct stub_server *s = stub_server_start(answer_text, (void *)answers[i]);
        struct outcome o = {0};
        call(&(struct http_request){.url = stub_server_url(s)}, &o);
        assert_int_equal(o.error.code, ERR_PROTOCOL);
        assert_int_equal(o.status, 0);
        free(o.body);
        stub_server_stop(s);
    }
}

struct cut {
    const char *bytes;
    bool reset;
};

static void
answer_cut(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    const struct cut *cut = context;
    buf_add(&a->bytes, cut->bytes, rq->index); /* one byte more each time */
    a->then = cut->reset ? STUB_RESET : STUB_CLOSE;
}

static void
an_answer_cut_anywhere_is_never_taken_for_whole(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        for (int reset = 0; reset < 2; reset++) {
            struct cut cut = {.bytes = answers[i], .reset = reset};
            struct stub_server *s = stub_server_start(answer_cut, &cut);
            for (size_t n = 0; n < strlen(answers[i]); n++) {
                struct outcome o = {0};
                call(&(struct http_request){.url = stub_server_url(s)}, &o);
                /* Nothing but the line end behind the last chunk is missing: that is whole enough for libcurl. */
                bool whole = o.status == 200 && o.body && strcmp(o.body, "hello world") == 0;
                if (whole && i == 1 && n + 2 >= strlen(answers[i])) {
                    free(o.body);
                    continue;
                }
                if (o.error.code != ERR_UNAVAILABLE || o.status != 0 || !o.error.retryable || !o.request_sent)
                    fail_msg("answer %zu cut at %zu (%s): status %d, code %d, sent %d: %s", i, n,
                             reset ? "reset" : "closed", o.status, o.error.code, o.request_sent, o.error.text);
                free(o.body);
            }
            stub_server_stop(s);
        }
}

/* ---- time and place -----------------------------------------------------------------------------------------------
 */

static void
connections_are_kept_and_used_again(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    for (int i = 0; i < 50; i++) {
        struct outcome o = {0};
        call(&(struct http_request){.method = i % 2 ? "POST" : "GET", .url = stub_server_url(s)}, &o);
        assert_int_equal(o.status, 200);
        free(o.body);
    }
    assert_int_equal(stub_server_requests(s), 50);
    assert_int_equal(stub_server_connections(s), 1);
    struct http_stats st;
    http_engine_stats(engine, &st);
    assert_int_equal(st.calls, 50);
    assert_int_equal(st.connections, 1);
    assert_int_equal(st.in_flight, 0);
    assert_true(st.bytes_received > 50 * 40 && st.bytes_sent > 50 * 40);
    stub_server_stop(s);
}

static void
hold_the_held(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    answer_hello(context, rq, a);
    a->hold = slice_equals_string(rq->target, "/held");
}

static void
many_long_polls_do_not_push_kept_connections_out(void **state)
{
    (void)state;
    enum { HELD = 100, OTHERS = 20 };
    struct stub_server *s = stub_server_start(hold_the_held, NULL);
    static struct outcome held[HELD];
    struct err e;
    char url[100];
    snprintf(url, sizeof url, "%s/held", stub_server_url(s));
    memset(held, 0, sizeof held);
    for (int i = 0; i < HELD; i++)
        submit(&(struct http_request){.url = url}, &held[i]);
    while (stub_server_requests(s) < HELD)
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
    for (int i = 0; i < OTHERS; i++) {
        struct outcome o = {0};
        call(&(struct http_request){.url = stub_server_url(s)}, &o);
        assert_int_equal(o.status, 200);
        free(o.body);
    }
    assert_int_equal(stub_server_connections(s), HELD + 1);
    stub_server_stop(s);
}

static void
close_after_each(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    answer_hello(context, rq, a);
    a->then = STUB_CLOSE;
}

static void
a_kept_connection_that_was_closed_meanwhile_does_no_harm(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(close_after_each, NULL);
    for (int i = 0; i < 20; i++) {
        struct outcome o = {0};
        call(&(struct http_request){.method = "POST", .url = stub_server_url(s), .body = SLICE("x")}, &o);
        assert_int_equal(o.status, 200);
        free(o.body);
    }
    stub_server_stop(s);
}

/* Each second request is not answered. */
static void
answer_or_reset(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    if (rq->index % 2 == 0)
        answer_hello(context, rq, a);
    else
        a->then = *(const bool *)context ? STUB_RESET : STUB_CLOSE;
}

static void
a_kept_connection_that_ends_time_and_again_does_no_harm(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        bool how = reset;
        struct stub_server *s = stub_server_start(answer_or_reset, &how);
        for (size_t i = 0; i < 30; i++) { /* after the first one each finds its connection ended, and opens another */
            struct outcome o = {0};
            call(&(struct http_request){.method = "POST", .url = stub_server_url(s), .body = SLICE("x")}, &o);
            if (o.status != 200)
                fail_msg("call %zu: %s", i, o.error.text);
            free(o.body);
        }
        assert_int_equal(stub_server_requests(s), 59);
        assert_memory_equal(strstr(stub_server_request(s, 58), "\r\n\r\n"), "\r\n\r\nx", 6);
        stub_server_stop(s);
    }
}

static void
no_answer_in_time_is_a_timeout_and_the_request_was_sent(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_nothing, NULL);
    struct outcome o = {0};
    int64_t began_ms = clock_monotonic_ms();
    call(&(struct http_request){.url = stub_server_url(s), .timeout_ms = 50}, &o);
    assert_int_equal(o.error.code, ERR_TIMEOUT);
    assert_true(o.error.retryable);
    assert_true(o.request_sent);
    assert_int_equal(o.status, 0);
    assert_true(clock_monotonic_ms() - began_ms >= 50);
    assert_non_null(strstr(o.error.text, "within 50 ms"));
    free(o.body);
    stub_server_stop(s);
}

static void
answer_half_and_hang(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    buf_add_string(&a->bytes, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
    a->then = STUB_HANG;
}

static void
an_answer_that_stands_still_is_given_up(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_half_and_hang, NULL);
    struct outcome o = {0};
    call(&(struct http_request){.url = stub_server_url(s), .stall_timeout_ms = 40}, &o);
    assert_int_equal(o.error.code, ERR_TIMEOUT);
    assert_non_null(strstr(o.error.text, "no byte"));
    free(o.body);
    stub_server_stop(s);
}

/* A port that nobody listens on: bound, and never listened to. */
static int
closed_port(int *ret_fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&a, n), 0);
    getsockname(*ret_fd, (struct sockaddr *)&a, &n);
    return ntohs(a.sin_port);
}

static void
an_unreachable_port_is_unavailable_and_nothing_was_sent(void **state)
{
    (void)state;
    char url[64];
    int fd, port = closed_port(&fd);
    snprintf(url, sizeof url, "http://u:secret@127.0.0.1:%d/x?token=secret", port);
    struct outcome o = {0};
    call(&(struct http_request){.url = url}, &o);
    assert_int_equal(o.error.code, ERR_UNAVAILABLE);
    assert_true(o.error.retryable);
    assert_false(o.request_sent);
    assert_false(o.truncated);
    assert_null(strstr(o.error.text, "secret"));
    assert_non_null(strstr(o.error.text, "127.0.0.1"));
    free(o.body);
    close(fd);
}

static void
urls_that_are_none_are_invalid(void **state)
{
    (void)state;
    static const char *const urls[] = {"ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/", "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct outcome o = {0};
        call(&(struct http_request){.url = urls[i]}, &o);
        assert_int_equal(o.error.code, ERR_INVALID);
        assert_false(o.request_sent);
        free(o.body);
    }
}

static void *
wake_engine(void *context)
{
    http_engine_wakeup(context);
    return NULL;
}

static void
a_wakeup_from_another_thread_ends_the_wait(void **state)
{
    (void)state;
    struct err e;
    pthread_t t;
    int64_t began_ms = clock_monotonic_ms();
    assert_int_equal(pthread_create(&t, NULL, wake_engine, engine), 0);
    assert_int_equal(http_engine_run(engine, PATIENCE_MS, &e), 0);
    pthread_join(t, NULL);
    assert_true(clock_monotonic_ms() - began_ms < PATIENCE_MS / 2);
}

struct clocked {
    struct timer timer;
    bool fired;
};

static void
fire(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    ((struct clocked *)t)->fired = true;
}

static void
timers_of_the_loop_fire_while_it_runs(void **state)
{
    (void)state;
    struct clocked c = {.timer.fire = fire};
    assert_int_equal(timers_set(http_engine_timers(engine), &c.timer, clock_monotonic_ms() + 20), 0);
    run_until(&c.fired);
}

static void
run_until_gives_up_after_its_time(void **state)
{
    (void)state;
    struct err e;
    bool never = false;
    assert_int_equal(http_engine_run_until(engine, &never, 20, &e), ERR_TIMEOUT);
}

/* A resolver that does not answer, in place of the C library's (libcurl calls it from a thread of its own). */
static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_progress = PTHREAD_COND_INITIALIZER;
static int resolver_asked, resolver_left;
static bool resolver_answers;

int __attribute__((visibility("default")))
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    if (strcmp(host, "hang.example") != 0) {
        int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        return real(host, service, hints, ret);
    }
    pthread_mutex_lock(&resolver_lock);
    resolver_asked++;
    pthread_cond_broadcast(&resolver_progress);
    while (!resolver_answers)
        pthread_cond_wait(&resolver_progress, &resolver_lock);
    resolver_left++;
    pthread_cond_broadcast(&resolver_progress);
    pthread_mutex_unlock(&resolver_lock);
    return EAI_FAIL;
}

static void
a_resolver_that_does_not_answer_holds_nobody_up(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    struct outcome hanging = {0}, cancelled = {0}, other = {0};
    struct err e;
    submit(&(struct http_request){.url = "http://hang.example/", .timeout_ms = 200}, &hanging);
    struct http_call *c = submit(&(struct http_request){.url = "http://hang.example/2"}, &cancelled);
    call(&(struct http_request){.url = stub_server_url(s)}, &other);
    assert_int_equal(other.status, 200);
    run_until(&hanging.done);
    assert_int_equal(hanging.error.code, ERR_TIMEOUT);
    assert_false(hanging.request_sent);
    int64_t began_ms = clock_monotonic_ms();
    http_cancel(c);
    submit(&(struct http_request){.url = "http://hang.example/3"}, &cancelled);
    assert_int_equal(http_engine_run(engine, 10, &e), 0);
    http_engine_destroy(engine);
    assert_true(clock_monotonic_ms() - began_ms < PATIENCE_MS / 4);
    assert_int_equal(cancelled.calls, 0);
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &engine, &e), 0);

    pthread_mutex_lock(&resolver_lock);
    assert_true(resolver_asked > 0);
    resolver_answers = true;
    pthread_cond_broadcast(&resolver_progress);
    while (resolver_left < resolver_asked)
        pthread_cond_wait(&resolver_progress, &resolver_lock);
    pthread_mutex_unlock(&resolver_lock);
    free(hanging.body);
    free(other.body);
    stub_server_stop(s);
}

static void
the_proxy_of_the_environment_is_used(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    struct outcome o = {0};
    setenv("http_proxy", stub_server_url(s), 1);
    call(&(struct http_request){.url = "http://sqs.example.invalid/x"}, &o);
    unsetenv("http_proxy");
    assert_int_equal(o.status, 200);
    static const char line[] = "GET http://sqs.example.invalid/x HTTP/1.1\r\n";
    assert_memory_equal(stub_server_request(s, 0), line, sizeof line - 1);
    free(o.body);
    stub_server_stop(s);
}

/* ---- many, and cancelled ------------------------------------------------------------------------------------------
 */

static void
two_hundred_calls_are_in_flight_at_once(void **state)
{
    (void)state;
    enum { N = 200 };
    struct stub_server *s = stub_server_start(answer_held, NULL);
    static struct outcome o[N];
    struct err e;
    memset(o, 0, sizeof o);
    for (int i = 0; i < N; i++) {
        char url[100];
        snprintf(url, sizeof url, "%s/%d", stub_server_url(s), i);
        submit(&(struct http_request){.url = url}, &o[i]);
    }
    while (stub_server_requests(s) < N)
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
    struct http_stats st;
    http_engine_stats(engine, &st);
    assert_int_equal(st.in_flight, N);
    for (int i = 0; i < N; i++)
        assert_false(o[i].done);
    stub_server_release(s);
    for (int i = 0; i < N; i++) {
        char path[16];
        run_until(&o[i].done);
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
    struct outcome unsent = {0}, sent = {0}, other = {0};
    struct err e;
    http_cancel(submit(&(struct http_request){.url = stub_server_url(s)}, &unsent));
    struct http_call *flying = submit(&(struct http_request){.url = stub_server_url(s)}, &sent);
    while (stub_server_requests(s) < 1)
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
    http_cancel(flying);
    stub_server_release(s);
    call(&(struct http_request){.url = stub_server_url(s)}, &other);
    assert_int_equal(other.status, 200);
    assert_int_equal(unsent.calls + sent.calls, 0);
    struct http_stats st;
    http_engine_stats(engine, &st);
    assert_int_equal(st.in_flight, 0);
    free(other.body);
    stub_server_stop(s);
}

/* Callbacks that change what is in flight. */
struct meddler {
    struct http_call *self, *other;
    const char *url;
    bool in_data;
    struct outcome mine, others, next;
};

static void
meddle(struct meddler *m)
{
    struct err e;
    struct http_request q = {.method = "GET", .url = m->url, .timeout_ms = PATIENCE_MS, .context = &m->next};
    http_cancel(m->other);
    assert_int_equal(http_submit(engine, &q, note, NULL, &e), 0);
    http_cancel(m->self);
}

static void
meddle_when_done(void *context, const struct http_response *r)
{
    struct meddler *m = context;
    note(&m->mine, r);
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
        answer_hello(context, rq, a);
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
        m.other = submit(&(struct http_request){.url = silent}, &m.others);
        while (stub_server_requests(s) < 1)
            assert_int_equal(http_engine_run(engine, 10, &e), 0);
        struct http_request q = {.method = "GET",
                                 .url = m.url,
                                 .timeout_ms = PATIENCE_MS,
                                 .context = &m,
                                 .on_data = in_data ? meddle_with_data : NULL};
        assert_int_equal(http_submit(engine, &q, meddle_when_done, &m.self, &e), 0);
        run_until(&m.next.done);
        assert_int_equal(m.next.status, 200);
        assert_int_equal(m.mine.calls, in_data ? 0 : 1); /* cancelled in the midst of its data: no more callbacks */
        assert_int_equal(m.others.calls, 0);
        struct http_stats st;
        http_engine_stats(engine, &st);
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
        struct outcome uploaded = {0};
        struct http_request get = {
            .method = "GET", .url = stub_server_url(s), .timeout_ms = PATIENCE_MS, .context = it, .on_data = interrupt};
        struct http_request put = {
            .method = "PUT", .url = silent, .timeout_ms = PATIENCE_MS, .body = slice_of(it->body, UPLOAD_BYTES)};
        struct err e;
        bool started = i % 2;
        if (started) { /* under way for a while, or of the same turn */
            it->upload = submit(&put, &uploaded);
            for (int turn = 0; turn < 3; turn++)
                assert_int_equal(http_engine_run(engine, 1, &e), 0);
        }
        assert_int_equal(http_submit(engine, &get, was_answered, NULL, &e), 0);
        if (!started)
            it->upload = submit(&put, &uploaded);
        while (it->body)
            assert_int_equal(http_engine_run(engine, 10, &e), 0);
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
        assert_int_equal(uploaded.calls, 0);
    }
    struct http_stats st;
    do {
        struct err e;
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
        http_engine_stats(engine, &st);
    } while (st.in_flight > 0);
    stub_server_stop(s);
}

static void
destroying_the_engine_ends_its_calls_without_callbacks(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_nothing, NULL);
    struct outcome a = {0}, b = {0};
    struct err e;
    submit(&(struct http_request){.url = stub_server_url(s)}, &a);
    while (stub_server_requests(s) < 1)
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
    submit(&(struct http_request){.url = stub_server_url(s)}, &b);
    http_engine_destroy(engine);
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &engine, &e), 0);
    assert_int_equal(a.calls + b.calls, 0);
    stub_server_stop(s);
}

/* ---- escapes ------------------------------------------------------------------------------------------------------
 */

static void
escapes_go_both_ways(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    http_encode(&out, SLICE("a/b c~-._%\xc3\xa9+"), false);
    assert_string_equal(out.data, "a%2Fb%20c~-._%25%C3%A9%2B");
    buf_reset(&out);
    http_encode(&out, SLICE("a/b c"), true);
    assert_string_equal(out.data, "a/b%20c");
    buf_reset(&out);
    assert_true(http_decode(&out, SLICE("a%2fb%20c+%C3%A9"), false));
    assert_string_equal(out.data, "a/b c+\xc3\xa9");
    buf_reset(&out);
    assert_true(http_decode(&out, SLICE("a+b"), true));
    assert_string_equal(out.data, "a b");
    static const char *const broken[] = {"%", "%4", "a%zz", "%4g", "abc%"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_false(http_decode(&out, slice_of_string(broken[i]), false));
    buf_clean_up(&out);
}

struct times {
    bool done;
    int64_t elapsed_ms, age_ms;
};

static void
note_times(void *context, const struct http_response *r)
{
    struct times *t = context;
    assert_int_equal(r->status, 200);
    *t = (struct times){.done = true, .elapsed_ms = r->elapsed_ms, .age_ms = r->age_ms};
}

static void
answer_hello_later(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    answer_hello(context, rq, a);
    a->hold = true;
}

static void
the_age_of_an_answer_counts_from_its_first_byte(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello_later, NULL);
    struct times t = {0};
    struct err e;
    const struct http_request q = {.method = "POST",
                                   .url = stub_server_url(s),
                                   .body = SLICE("{\"WaitTimeSeconds\":20}"),
                                   .timeout_ms = PATIENCE_MS,
                                   .context = &t};
    struct http_call *c;
    assert_int_equal(http_submit(engine, &q, note_times, &c, &e), 0);
    while (stub_server_requests(s) == 0)
        assert_int_equal(http_engine_run(engine, 10, &e), 0);
    assert_int_equal(http_engine_run_until(engine, &t.done, 500, &e), ERR_TIMEOUT); /* the server waits */
    stub_server_release(s);
    run_until(&t.done);
    assert_true(t.elapsed_ms >= 500);
    assert_in_range(t.age_ms, 0, t.elapsed_ms - 400);
    stub_server_stop(s);
}

/* Longer than a turn may begin callbacks. */
static void
take_long(void *context, const struct http_response *r)
{
    int64_t until_ns = clock_monotonic_ns() + 100000000;
    assert_int_equal(r->status, 200);
    while (clock_monotonic_ns() < until_ns)
        ;
    --*(int *)context;
}

#define PIECES_BYTES   (1 << 18) /* 16 pieces */
#define PIECE_MS       10
#define MOST_IN_A_TURN 8 /* one of each of four calls, and what 20 ms are enough for */

static void
answer_much(void *context, const struct stub_request *r, struct stub_answer *a)
{
    (void)context;
    (void)r;
    buf_add_format(&a->bytes, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", PIECES_BYTES);
    for (int i = 0; i < PIECES_BYTES; i++)
        buf_add_char(&a->bytes, (char)('a' + i % 23));
}

struct slow_reader {
    size_t got, most; /* after most bytes it wants no more */
    bool sound, done;
    int error;
    unsigned *pieces; /* of all readers */
};

static int
read_slowly(void *context, struct slice piece)
{
    struct slow_reader *r = context;
    nanosleep(&(struct timespec){.tv_nsec = PIECE_MS * 1000000}, NULL);
    ++*r->pieces;
    for (size_t i = 0; i < piece.n; i++)
        r->sound = r->sound && piece.p[i] == (char)('a' + (r->got + i) % 23);
    r->got += piece.n;
    return r->got <= r->most ? 0 : -1;
}

static void
note_end(void *context, const struct http_response *response)
{
    struct slow_reader *r = context;
    r->error = response->error.code;
    r->done = true;
}

static void
bytes_that_come_faster_than_they_are_taken_in_do_not_make_one_long_turn(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_much, NULL);
    struct slow_reader readers[4];
    unsigned pieces = 0;
    struct err e;
    for (int i = 0; i < 4; i++) {
        readers[i] =
            (struct slow_reader){.most = i == 2 ? PIECES_BYTES / 2 : PIECES_BYTES, .sound = true, .pieces = &pieces};
        const struct http_request q = {.method = "GET",
                                       .url = stub_server_url(s),
                                       .timeout_ms = PATIENCE_MS,
                                       .on_data = read_slowly,
                                       .context = &readers[i]};
        assert_int_equal(http_submit(engine, &q, note_end, NULL, &e), 0);
    }
    while (!(readers[0].done && readers[1].done && readers[2].done && readers[3].done)) {
        unsigned before = pieces;
        assert_int_equal(http_engine_run(engine, PATIENCE_MS, &e), 0);
        assert_in_range(pieces - before, 0, MOST_IN_A_TURN);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(readers[i].sound);
        assert_int_equal(readers[i].error, i == 2 ? ERR_CANCELLED : 0);
        if (i != 2)
            assert_int_equal(readers[i].got, PIECES_BYTES);
    }
    stub_server_stop(s);
}

static void
work_long(void *context, const struct http_response *r)
{
    assert_int_equal(r->status, 200);
    for (clock_t end = clock() + CLOCKS_PER_SEC / 10; clock() < end;) /* CPU time, not the clock's */
        ;
    *(bool *)context = true;
}

static void
the_cpu_time_of_a_turn_is_told(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    struct http_stats stats;
    struct err e;
    bool done = false;
    const struct http_request q = {
        .method = "GET", .url = stub_server_url(s), .timeout_ms = PATIENCE_MS, .context = &done};
    struct http_call *c;
    assert_int_equal(http_submit(engine, &q, work_long, &c, &e), 0);
    run_until(&done);
    assert_int_equal(http_engine_run(engine, 0, &e), 0); /* which ends the turn before */
    http_engine_stats(engine, &stats);
    assert_in_range(stats.longest_turn_cpu_ms, 80, 200);
    assert_true(stats.longest_turn_ms >= stats.longest_turn_cpu_ms);
    stub_server_stop(s);
}

static void
many_answers_at_once_do_not_make_one_long_turn(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello, NULL);
    struct http_stats stats;
    struct err e;
    int left = 8;
    for (int i = 0; i < 8; i++) {
        const struct http_request q = {
            .method = "GET", .url = stub_server_url(s), .timeout_ms = PATIENCE_MS, .context = &left};
        struct http_call *c;
        assert_int_equal(http_submit(engine, &q, take_long, &c, &e), 0);
    }
    while (left > 0) { /* during the first callback the other answers come in */
        int before = left;
        assert_int_equal(http_engine_run(engine, PATIENCE_MS, &e), 0);
        assert_in_range(before - left, 0, 1);
    }
    http_engine_stats(engine, &stats);
    assert_true(stats.longest_turn_ms >= 100);
    stub_server_stop(s);
}

int
main(void)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        unsetenv(proxies[i]); /* the servers of these tests are on loopback */
#define with_engine(test) cmocka_unit_test_setup_teardown(test, make_engine, destroy_engine)
    const struct CMUnitTest tests[] = {
        with_engine(a_request_goes_out_as_it_was_given),
        with_engine(every_method_has_the_right_shape),
        with_engine(a_large_body_goes_out_whole_and_without_expect),
        with_engine(headers_that_would_split_a_request_are_refused),
        with_engine(the_last_of_equal_headers_is_found_without_regard_to_case),
        with_engine(chunked_and_interim_answers_are_understood),
        with_engine(redirects_and_compression_are_handed_on_untouched),
        with_engine(pieces_of_success_are_streamed_and_errors_are_collected),
        with_engine(a_reader_may_give_up),
        with_engine(a_body_over_the_limit_is_refused_announced_or_not),
        with_engine(endless_headers_are_refused),
        with_engine(what_is_no_http_is_a_protocol_error),
        with_engine(an_answer_cut_anywhere_is_never_taken_for_whole),
        with_engine(connections_are_kept_and_used_again),
        with_engine(many_long_polls_do_not_push_kept_connections_out),
        with_engine(a_kept_connection_that_was_closed_meanwhile_does_no_harm),
        with_engine(a_kept_connection_that_ends_time_and_again_does_no_harm),
        with_engine(no_answer_in_time_is_a_timeout_and_the_request_was_sent),
        with_engine(an_answer_that_stands_still_is_given_up),
        with_engine(an_unreachable_port_is_unavailable_and_nothing_was_sent),
        with_engine(urls_that_are_none_are_invalid),
        with_engine(a_wakeup_from_another_thread_ends_the_wait),
        with_engine(timers_of_the_loop_fire_while_it_runs),
        with_engine(run_until_gives_up_after_its_time),
        with_engine(a_resolver_that_does_not_answer_holds_nobody_up),
        with_engine(the_proxy_of_the_environment_is_used),
        with_engine(two_hundred_calls_are_in_flight_at_once),
        with_engine(a_cancelled_call_is_never_heard_of_again),
        with_engine(callbacks_may_submit_and_cancel_any_call),
        with_engine(an_upload_cancelled_from_anothers_data_reads_its_body_no_more),
        with_engine(destroying_the_engine_ends_its_calls_without_callbacks),
        with_engine(the_age_of_an_answer_counts_from_its_first_byte),
        with_engine(bytes_that_come_faster_than_they_are_taken_in_do_not_make_one_long_turn),
        with_engine(the_cpu_time_of_a_turn_is_told),
        with_engine(many_answers_at_once_do_not_make_one_long_turn),
        cmocka_unit_test(escapes_go_both_ways),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
