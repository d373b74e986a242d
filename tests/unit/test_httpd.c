/* The HTTP server: what it makes of requests, and its answers. */
#include "httpd/httpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/raw_http.h"
#include "lib/skip.h"

static struct clock_page *the_clock;

static void
path_query_and_headers_are_as_sent(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){0});
    raw_http_ask(
        h, "GET /a%2Fb//c/../d%20e?x=%41&y&x=+ HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: two  words\r\nX-A: 2\r\n\r\n",
        &heard);
    assert_int_equal(raw_http_status(&heard), 200);
    assert_string_equal(raw_http_body(&heard), "GET|/a%2Fb//c/../d%20e|x=%41&y&x=+||Host=h|X-A=1|x-b=two  words|X-A=2");
    assert_non_null(strstr(heard.data, "X-Loopback: yes"));
    raw_http_ask(h, "GET http://host:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_string_equal(raw_http_body(&heard), "GET|/p|q||Host=h");
    raw_http_ask(h, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_string_equal(raw_http_body(&heard), "OPTIONS|*|||Host=h");
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
bodies_come_whole_by_length_and_chunked_and_in_pieces(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){0});
    raw_http_ask(h, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", &heard);
    assert_string_equal(raw_http_body(&heard), "POST|/||hello|Host=h|Content-Length=5");
    raw_http_ask(h,
                 "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                 &heard);
    assert_string_equal(raw_http_body(&heard), "PUT|/||hello|Host=h|Transfer-Encoding=chunked");
    int fd = raw_http_dial(httpd_port(h));
    const char *request = "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (const char *p = request; *p; p++)
        raw_http_say_bytes(fd, p, 1);
    raw_http_hear_answer(fd, false, &heard);
    assert_string_equal(raw_http_body(&heard), "POST|/slow||hello|Host=h|Content-Length=5");
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
a_connection_carries_many_requests_without_delay(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT, body = BUF_INIT, request = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){0});
    int fd = raw_http_dial(httpd_port(h));
    for (int i = 0; i < 3000; i++)
        buf_add_char(&body, 'b');
    int64_t began_ns = clock_monotonic_ns();
    for (int i = 0; i < 100; i++) {
        buf_reset(&request);
        buf_add_format(&request, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", i, body.len,
                       body.data);
        raw_http_say_bytes(fd, request.data, request.len);
        raw_http_hear_answer(fd, false, &heard);
        assert_int_equal(atoi(raw_http_body(&heard) + 6), i);
    }
    /* a delayed acknowledgement would cost 40 ms each time */
    assert_true(clock_monotonic_ns() - began_ns < INT64_C(100) * 20 * 1000000);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
    buf_clean_up(&body);
    buf_clean_up(&request);
}

static void
pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){0});
    int fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    raw_http_hear_all(fd, &heard);
    const char *first = strstr(heard.data, "GET|/1|"), *second = strstr(heard.data, "GET|/2|");
    assert_true(first && second && first < second);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
answer_length(void *context, struct httpd_request *r)
{
    (void)context;
    httpd_answer(r, &(struct httpd_answer){.status = 200, .body = SLICE("abc"), .content_length = 5000000000});
}

static void
head_claims_a_length_and_sends_no_body(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = answer_length});
    int fd = raw_http_dial(httpd_port(h));
    for (int i = 0; i < 2; i++) {
        raw_http_say(fd, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        raw_http_hear_answer(fd, true, &heard);
        assert_non_null(strstr(heard.data, "Content-Length: 5000000000\r\n"));
    }
    raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_http_hear_answer(fd, false, &heard);
    assert_string_equal(raw_http_body(&heard), "abc");
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
every_answer_is_dated_by_our_clock(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.max_body_bytes = 4});
    atomic_store(&the_clock->frozen_at_ms, INT64_C(784111777000));
    raw_http_ask(h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_non_null(strstr(heard.data, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    raw_http_ask(h, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", &heard);
    assert_int_equal(raw_http_status(&heard), 413);
    assert_non_null(strstr(heard.data, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    atomic_store(&the_clock->frozen_at_ms, 0);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
expect_100_continue_is_answered_before_the_body(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.max_body_bytes = 10});
    int fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 100);
    raw_http_say(fd, "hello");
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 200);
    close(fd);

    fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 413);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
split_header(void *context, struct httpd_request *r)
{
    (void)context;
    struct httpd_header_out headers[] = {{"X-Good", "yes"}, {"X-Bad", "a\r\nX-Injected: b"}};
    httpd_answer(r, &(struct httpd_answer){.status = 200, .headers = headers, .n_headers = 2});
}

static void
a_header_with_a_line_break_is_left_out(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = split_header});
    raw_http_ask(h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_non_null(strstr(heard.data, "X-Good: yes"));
    assert_null(strstr(heard.data, "X-Injected"));
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
ipv6_is_served(void **state)
{
    (void)state;
    struct httpd *h = NULL;
    struct err e;
    struct httpd_options o = {.listen = "[::1]:0", .handler = raw_http_echo};
    if (httpd_new(&o, &h, &e) != 0)
        skip_because("no IPv6 on this machine");
    assert_memory_equal(httpd_url(h), "http://[::1]:", 13);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(httpd_port(h)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct buf heard = BUF_INIT;
    raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_http_hear_answer(fd, false, &heard);
    assert_non_null(strstr(heard.data, "X-Loopback: yes"));
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

int
main(void)
{
    struct err e;
    char path[] = "/tmp/test_httpd.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || clock_page_create(path, &the_clock, &e) != 0)
        return 1;
    close(fd);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    if (clock_init(&e) != 0)
        return 1;
    unlink(path);

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_query_and_headers_are_as_sent),
        cmocka_unit_test(bodies_come_whole_by_length_and_chunked_and_in_pieces),
        cmocka_unit_test(a_connection_carries_many_requests_without_delay),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(head_claims_a_length_and_sends_no_body),
        cmocka_unit_test(every_answer_is_dated_by_our_clock),
        cmocka_unit_test(expect_100_continue_is_answered_before_the_body),
        cmocka_unit_test(a_header_with_a_line_break_is_left_out),
        cmocka_unit_test(ipv6_is_served),
    };
    return cmocka_run_group_tests_name("httpd", tests, NULL, NULL);
}
