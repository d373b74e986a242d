/* What a request looks like on the wire, and which are none. */
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
a_request_goes_out_as_it_was_given(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    char url[200], head[400];
    snprintf(url, sizeof url, "%s/a/../b//c%%2F?x=1&y=%%20", stub_server_url(s));
    struct http_header headers[] = {
        {"X-Amz-Target", "AmazonSQS.ReceiveMessage"}, {"X-Empty", ""}, {"Host", "q.example"}};
    struct http_seen o = {0};
    http_calls_make(
        &(struct http_request){.method = "POST", .url = url, .headers = headers, .n_headers = 3, .body = SLICE("{}")},
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
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    static const struct {
        const char *method, *body, *length;
    } cases[] = {{"GET", "", ""},    {"POST", "", "0"},   {"PUT", "", "0"},    {"DELETE", "", ""},   {"HEAD", "", ""},
                 {"GET", "", ""},    {"POST", "ab", "2"}, {"PUT", "abc", "3"}, {"DELETE", "a", "1"}, {"GET", "xy", "2"},
                 {"POST", "a", "1"}, {"HEAD", "", ""},    {"PUT", "q", "1"},   {"GET", "", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_seen o = {0};
        char value[32], first[32];
        /* A HEAD's answer has no body though it has a length; the stub sends one, so that connection must go. */
        http_calls_make(&(struct http_request){.method = cases[i].method,
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
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    size_t n = 3 << 20;
    char *body = malloc(n), value[32];
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    struct http_seen o = {0};
    http_calls_make(&(struct http_request){.method = "PUT", .url = stub_server_url(s), .body = slice_of(body, n)}, &o);
    assert_int_equal(o.status, 200);
    assert_string_equal(stub_server_request_header(s, 0, "expect", value, sizeof value), "");
    assert_memory_equal(strstr(stub_server_request(s, 0), "\r\n\r\n") + 4, body, n);
    struct http_stats st;
    http_engine_stats(http_calls_engine, &st);
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
        assert_int_equal(http_submit(http_calls_engine, &q, http_calls_note, NULL, &e), ERR_INVALID);
    }
    struct err e = {0};
    struct http_request q = {.method = "BREW", .url = "http://127.0.0.1:1/", .timeout_ms = 1000};
    assert_int_equal(http_submit(http_calls_engine, &q, http_calls_note, NULL, &e), ERR_INVALID);
    q = (struct http_request){.method = "GET", .url = "http://127.0.0.1:1/"};
    assert_int_equal(http_submit(http_calls_engine, &q, http_calls_note, NULL, &e), ERR_INVALID);
    struct http_stats st;
    http_engine_stats(http_calls_engine, &st);
    assert_int_equal(st.in_flight, 0);
}

static void
urls_that_are_none_are_invalid(void **state)
{
    (void)state;
    static const char *const urls[] = {"ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/", "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct http_seen o = {0};
        http_calls_make(&(struct http_request){.url = urls[i]}, &o);
        assert_int_equal(o.error.code, ERR_INVALID);
        assert_false(o.request_sent);
        free(o.body);
    }
}

static void
the_proxy_of_the_environment_is_used(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    struct http_seen o = {0};
    setenv("http_proxy", stub_server_url(s), 1);
    http_calls_make(&(struct http_request){.url = "http://sqs.example.invalid/x"}, &o);
    unsetenv("http_proxy");
    assert_int_equal(o.status, 200);
    static const char line[] = "GET http://sqs.example.invalid/x HTTP/1.1\r\n";
    assert_memory_equal(stub_server_request(s, 0), line, sizeof line - 1);
    free(o.body);
    stub_server_stop(s);
}

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

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_request_goes_out_as_it_was_given),
        HTTP_TEST(every_method_has_the_right_shape),
        HTTP_TEST(a_large_body_goes_out_whole_and_without_expect),
        HTTP_TEST(headers_that_would_split_a_request_are_refused),
        HTTP_TEST(urls_that_are_none_are_invalid),
        HTTP_TEST(the_proxy_of_the_environment_is_used),
        cmocka_unit_test(escapes_go_both_ways),
    };
    return cmocka_run_group_tests_name("http_request", tests, NULL, NULL);
}
