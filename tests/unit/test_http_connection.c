/* Connections: kept, ended by the peer, refused, silent. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/http_calls.h"

static void
connections_are_kept_and_used_again(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    for (int i = 0; i < 50; i++) {
        struct http_seen o = {0};
        http_calls_make(&(struct http_request){.method = i % 2 ? "POST" : "GET", .url = stub_server_url(s)}, &o);
        assert_int_equal(o.status, 200);
        free(o.body);
    }
    assert_int_equal(stub_server_requests(s), 50);
    assert_int_equal(stub_server_connections(s), 1);
    struct http_stats st;
    http_engine_stats(http_calls_engine, &st);
    assert_int_equal(st.calls, 50);
    assert_int_equal(st.connections, 1);
    assert_int_equal(st.in_flight, 0);
    assert_true(st.bytes_received > 50 * 40 && st.bytes_sent > 50 * 40);
    stub_server_stop(s);
}

static void
hold_the_held(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    http_answer_hello(context, rq, a);
    a->hold = slice_equals_string(rq->target, "/held");
}

static void
many_long_polls_do_not_push_kept_connections_out(void **state)
{
    (void)state;
    enum { HELD = 100, OTHERS = 20 };
    struct stub_server *s = stub_server_start(hold_the_held, NULL);
    static struct http_seen held[HELD];
    struct err e;
    char url[100];
    snprintf(url, sizeof url, "%s/held", stub_server_url(s));
    memset(held, 0, sizeof held);
    for (int i = 0; i < HELD; i++)
        http_calls_submit(&(struct http_request){.url = url}, &held[i]);
    while (stub_server_requests(s) < HELD)
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    for (int i = 0; i < OTHERS; i++) {
        struct http_seen o = {0};
        http_calls_make(&(struct http_request){.url = stub_server_url(s)}, &o);
        assert_int_equal(o.status, 200);
        free(o.body);
    }
    assert_int_equal(stub_server_connections(s), HELD + 1);
    stub_server_stop(s);
}

static void
close_after_each(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    http_answer_hello(context, rq, a);
    a->then = STUB_CLOSE;
}

static void
a_kept_connection_that_was_closed_meanwhile_does_no_harm(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(close_after_each, NULL);
    for (int i = 0; i < 20; i++) {
        struct http_seen o = {0};
        http_calls_make(&(struct http_request){.method = "POST", .url = stub_server_url(s), .body = SLICE("x")}, &o);
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
        http_answer_hello(context, rq, a);
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
            struct http_seen o = {0};
            http_calls_make(&(struct http_request){.method = "POST", .url = stub_server_url(s), .body = SLICE("x")},
                            &o);
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
    struct stub_server *s = stub_server_start(http_answer_nothing, NULL);
    struct http_seen o = {0};
    int64_t began_ms = clock_monotonic_ms();
    http_calls_make(&(struct http_request){.url = stub_server_url(s), .timeout_ms = 50}, &o);
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
    struct http_seen o = {0};
    http_calls_make(&(struct http_request){.url = stub_server_url(s), .stall_timeout_ms = 40}, &o);
    assert_int_equal(o.error.code, ERR_TIMEOUT);
    assert_non_null(strstr(o.error.text, "no byte"));
    free(o.body);
    stub_server_stop(s);
}

static void
an_unreachable_port_is_unavailable_and_nothing_was_sent(void **state)
{
    (void)state;
    char url[64];
    int fd, port = stub_server_refusing_port(&fd);
    snprintf(url, sizeof url, "http://u:secret@127.0.0.1:%d/x?token=secret", port);
    struct http_seen o = {0};
    http_calls_make(&(struct http_request){.url = url}, &o);
    assert_int_equal(o.error.code, ERR_UNAVAILABLE);
    assert_true(o.error.retryable);
    assert_false(o.request_sent);
    assert_false(o.truncated);
    assert_null(strstr(o.error.text, "secret"));
    assert_non_null(strstr(o.error.text, "127.0.0.1"));
    free(o.body);
    close(fd);
}

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        HTTP_TEST(connections_are_kept_and_used_again),
        HTTP_TEST(many_long_polls_do_not_push_kept_connections_out),
        HTTP_TEST(a_kept_connection_that_was_closed_meanwhile_does_no_harm),
        HTTP_TEST(a_kept_connection_that_ends_time_and_again_does_no_harm),
        HTTP_TEST(no_answer_in_time_is_a_timeout_and_the_request_was_sent),
        HTTP_TEST(an_answer_that_stands_still_is_given_up),
        HTTP_TEST(an_unreachable_port_is_unavailable_and_nothing_was_sent),
    };
    return cmocka_run_group_tests_name("http_connection", tests, NULL, NULL);
}
