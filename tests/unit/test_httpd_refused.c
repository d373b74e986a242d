/* The HTTP server: what it refuses, and what it bounds. */
#include "httpd/httpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/raw_http.h"

static void
a_body_beyond_the_limit_is_answered_413(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT, big = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.max_body_bytes = 100000});
    for (int i = 0; i < 100001; i++)
        buf_add_char(&big, 'x');

    int fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    raw_http_say_bytes(fd, big.data, 100000);
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 200);
    close(fd);

    fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n");
    raw_http_say_bytes(fd, big.data, 100001);
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 413);
    close(fd);

    fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n"); /* 100001 */
    raw_http_say_bytes(fd, big.data, 100001);
    raw_http_say(fd, "\r\n0\r\n\r\n");
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 413);
    close(fd);

    fd = raw_http_dial(httpd_port(h)); /* nobody reads a terabyte */
    raw_http_say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1099511627776\r\n\r\n");
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 413);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
    buf_clean_up(&big);
}

static void
what_is_no_http_is_refused_and_hurts_nobody(void **state)
{
    (void)state;
    static const char *const NONSENSE[] = {
        "\r\n\r\n\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: minus one\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nshort",
    };
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){0});
    for (size_t i = 0; i < sizeof NONSENSE / sizeof *NONSENSE; i++) {
        int fd = raw_http_dial(httpd_port(h));
        raw_http_say(fd, NONSENSE[i]);
        shutdown(fd, SHUT_WR);
        buf_reset(&heard);
        raw_http_hear_all(fd, &heard);
        assert_int_not_equal(raw_http_status(&heard), 200);
        close(fd);
    }
    struct buf big = BUF_INIT;
    buf_add_string(&big, "GET / HTTP/1.1\r\nHost: h\r\nX-Big: ");
    for (int i = 0; i < 200000; i++)
        buf_add_char(&big, 'x');
    buf_add_string(&big, "\r\n\r\n");
    int fd = raw_http_dial(httpd_port(h));
    raw_http_say_bytes(fd, big.data, big.len);
    buf_reset(&heard);
    raw_http_hear_all(fd, &heard);
    assert_int_not_equal(raw_http_status(&heard), 200);
    close(fd);
    raw_http_ask(h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_int_equal(raw_http_status(&heard), 200);
    httpd_destroy(h);
    buf_clean_up(&heard);
    buf_clean_up(&big);
}

/* Or what is left of it would be taken for the next request. */
static void
a_body_whose_length_is_said_twice_is_refused(void **state)
{
    (void)state;
    static const char *const HEADERS[] = {
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 3\r\n",
        "content-length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
    };
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){0});
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
        int fd = raw_http_dial(httpd_port(h));
        char request[300];
        snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n5\r\nhello\r\n0\r\n\r\n", HEADERS[i]);
        raw_http_say(fd, request);
        buf_reset(&heard);
        raw_http_hear_all(fd, &heard); /* up to the end of the stream, though we have not closed our side */
        assert_int_equal(raw_http_status(&heard), 400);
        close(fd);
    }
    raw_http_ask(h, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", &heard);
    assert_int_equal(raw_http_status(&heard), 200);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
a_client_that_drips_is_closed(void **state)
{
    (void)state;
    static const char *const BEGINNINGS[] = {
        "", "GET / HTTP/1.1\r\nHost: h\r\nX: ", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"};
    struct httpd *h = raw_http_serve((struct httpd_options){.idle_timeout_s = 1});
    struct pollfd p[3];
    for (size_t i = 0; i < 3; i++) {
        p[i] = (struct pollfd){.fd = raw_http_dial(httpd_port(h)), .events = POLLRDHUP};
        raw_http_say(p[i].fd, BEGINNINGS[i]);
    }
    int64_t began_ns = clock_monotonic_ns();
    for (size_t i = 0; i < 3; i++)
        while (poll(&p[i], 1, 50) == 0) {
            assert_true(clock_monotonic_ns() - began_ns < RAW_HTTP_WAIT_MS * INT64_C(1000000));
            for (size_t j = i; j < 3; j++)
                raw_http_say(p[j].fd, "x");
        }
    for (size_t i = 0; i < 3; i++)
        close(p[i].fd);
    httpd_destroy(h);
}

static void
a_bad_listen_address_is_named(void **state)
{
    (void)state;
    static const char *const BAD[] = {"",      "4566",         "127.0.0.1",       ":4566",        "127.0.0.1:",
                                      "::1:1", "127.0.0.1:x1", "127.0.0.1:65536", "[::1]",        "[]:1",
                                      "a:b:1", "127.0.0.1:-1", "no such host:0",  "127.0.0.1: 1", "127.0.0.1:1x"};
    struct httpd *h = NULL;
    struct err e;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct httpd_options o = {.listen = BAD[i], .handler = raw_http_echo};
        if (httpd_new(&o, &h, &e) != ERR_INVALID)
            fail_msg("\"%s\" was taken", BAD[i]);
        assert_null(h);
        assert_non_null(strstr(e.text, BAD[i]));
    }
    h = raw_http_serve((struct httpd_options){0});
    struct httpd *second = NULL;
    struct httpd_options o = {.listen = httpd_url(h) + strlen("http://"), .handler = raw_http_echo};
    assert_int_equal(httpd_new(&o, &second, &e), ERR_IO);
    assert_non_null(strstr(e.text, o.listen));
    assert_non_null(strstr(e.text, "in use"));
    httpd_destroy(h);
}

static void
connections_beyond_the_limit_wait_their_turn(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.max_connections = 2});
    int a = raw_http_dial(httpd_port(h)), b = raw_http_dial(httpd_port(h)), c = raw_http_dial(httpd_port(h));
    raw_http_say(a, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_http_say(b, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_http_hear_answer(a, false, &heard);
    raw_http_hear_answer(b, false, &heard);
    raw_http_say(c, "GET /c HTTP/1.1\r\nHost: h\r\n\r\n");
    struct pollfd p = {.fd = c, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 100), 0);
    close(a);
    raw_http_hear_answer(c, false, &heard);
    assert_int_equal(raw_http_status(&heard), 200);
    close(b);
    close(c);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_beyond_the_limit_is_answered_413),
        cmocka_unit_test(what_is_no_http_is_refused_and_hurts_nobody),
        cmocka_unit_test(a_body_whose_length_is_said_twice_is_refused),
        cmocka_unit_test(a_client_that_drips_is_closed),
        cmocka_unit_test(a_bad_listen_address_is_named),
        cmocka_unit_test(connections_beyond_the_limit_wait_their_turn),
    };
    return cmocka_run_group_tests_name("httpd_refused", tests, NULL, NULL);
}
