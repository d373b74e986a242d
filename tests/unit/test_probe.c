#include "httpd/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/stub_server.h"

static void
answer(void *context, const struct stub_request *r, struct stub_answer *a)
{
    (void)context;
    if (slice_equals_string(r->target, "/silent")) {
        a->then = STUB_HANG;
    } else if (slice_equals_string(r->target, "/nonsense")) {
        buf_add_string(&a->bytes, "220 mail.example.org ESMTP\r\n\r\n");
        a->then = STUB_CLOSE;
    } else if (slice_equals_string(r->target, "/nothing")) {
        a->then = STUB_RESET;
    } else if (slice_equals_string(r->target, "/long")) {
        buf_add_string(&a->bytes, "HTTP/1.1 200 OK\r\n\r\n");
        for (int i = 0; i < 20000; i++)
            buf_add_string(&a->bytes, "0123456789");
        a->then = STUB_CLOSE;
    } else {
        stub_answer_http(a, slice_equals_string(r->target, "/good") ? 200 : 503, "", "as it is\n");
        a->then = STUB_CLOSE;
    }
}

static int
start(void **state)
{
    *state = stub_server_start(answer, NULL);
    return 0;
}

static int
stop(void **state)
{
    stub_server_stop(*state);
    return 0;
}

static int
probe_at(struct stub_server *s, const char *host, const char *path, int timeout_ms, int *status, struct buf *body,
         struct err *e)
{
    char listen[64];
    snprintf(listen, sizeof listen, "%s:%d", host, stub_server_port(s));
    return httpd_probe(listen, path, timeout_ms, status, body, e);
}

static void
a_page_is_its_status_and_its_body(void **state)
{
    static const struct {
        const char *host, *path;
        int status;
    } cases[] = {
        {"127.0.0.1", "/good", 200},
        {"127.0.0.1", "/bad", 503},
        {"0.0.0.0", "/good", 200},
        {"localhost", "/good", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf body = BUF_INIT;
        int status = 0;
        assert_int_equal(probe_at(*state, cases[i].host, cases[i].path, 10000, &status, &body, NULL), 0);
        assert_int_equal(status, cases[i].status);
        assert_true(slice_equals_string(buf_slice(&body), "as it is\n"));
        buf_clean_up(&body);
    }
}

static void
a_body_is_cut_at_64_kib(void **state)
{
    struct buf body = BUF_INIT;
    int status = 0;
    assert_int_equal(probe_at(*state, "127.0.0.1", "/long", 10000, &status, &body, NULL), 0);
    assert_int_equal(status, 200);
    assert_true(body.len > 65000 && body.len <= 65536);
    buf_clean_up(&body);
}

static void
whoever_answers_nothing_or_nonsense_is_named(void **state)
{
    static const struct {
        const char *path;
        int code;
        const char *text;
    } cases[] = {
        {"/silent", ERR_TIMEOUT, "no answer within 50 ms"},
        {"/nonsense", ERR_PROTOCOL, "speaks no HTTP"},
        {"/nothing", ERR_IO, "no answer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf body = BUF_INIT;
        struct err e;
        int status = -1;
        assert_int_equal(probe_at(*state, "127.0.0.1", cases[i].path, i == 0 ? 50 : 10000, &status, &body, &e),
                         cases[i].code);
        assert_non_null(strstr(e.text, cases[i].text));
        assert_int_equal(status, -1);
        assert_int_equal(body.len, 0);
    }
}

static void
addresses_that_cannot_be_asked_are_refused(void **state)
{
    static const char *const bad[] = {"", "4566", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", "[::1]:0"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf body = BUF_INIT;
        struct err e;
        int status;
        assert_int_equal(httpd_probe(bad[i], "/", 1000, &status, &body, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, bad[i]));
    }
}

static void
a_port_where_nobody_listens_is_unavailable(void **state)
{
    struct buf body = BUF_INIT;
    struct err e;
    int status;
    (void)state;
    assert_int_equal(httpd_probe("127.0.0.1:1", "/", 10000, &status, &body, &e), ERR_UNAVAILABLE);
    assert_non_null(strstr(e.text, "127.0.0.1:1: nobody listens there"));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_page_is_its_status_and_its_body),
        TEST(a_body_is_cut_at_64_kib),
        TEST(whoever_answers_nothing_or_nonsense_is_named),
        cmocka_unit_test(addresses_that_cannot_be_asked_are_refused),
        cmocka_unit_test(a_port_where_nobody_listens_is_unavailable),
    };
    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
