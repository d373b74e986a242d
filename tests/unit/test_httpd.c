#include "httpd/httpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "lib/skip.h"

#define WAIT_MS 10000 /* for what must happen; never slept through */

static struct clock_page *the_clock;

/* ---- a raw client ------------------------------------------------------------------------------------------------ */

static int
dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void
say_bytes(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* the server may close on what it refuses; what it answered is read afterwards */
        p += sent;
        n -= (size_t)sent;
    }
}

static void
say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* Appends what comes within WAIT_MS; false at the end of the stream. */
static bool
hear_more(int fd, struct buf *heard)
{
    char piece[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n > 0)
        buf_add(heard, piece, (size_t)n);
    return n > 0;
}

static void
hear_all(int fd, struct buf *heard)
{
    buf_add_string(heard, "");
    while (hear_more(fd, heard))
        ;
}

/* Hears one answer with Content-Length (bodiless for HEAD); heard is cut to it. */
static void
hear_answer(int fd, bool head, struct buf *heard)
{
    const char *end;
    buf_reset(heard);
    while (!heard->data || !(end = strstr(heard->data, "\r\n\r\n")))
        assert_true(hear_more(fd, heard));
    size_t header_n = (size_t)(end - heard->data) + 4;
    const char *length = strcasestr(heard->data, "\r\nContent-Length:");
    size_t body_n = length && length < end && !head ? strtoul(length + 17, NULL, 10) : 0;
    while (heard->len < header_n + body_n)
        assert_true(hear_more(fd, heard));
    assert_int_equal(heard->len, header_n + body_n);
}

static int
status_of(const struct buf *heard)
{
    return heard->len > 12 ? atoi(heard->data + 9) : 0;
}

static const char *
body_of(const struct buf *heard)
{
    const char *end = heard->data ? strstr(heard->data, "\r\n\r\n") : NULL;
    return end ? end + 4 : "";
}

/* One request, one answer, on a connection of its own. */
static void
ask(struct httpd *h, const char *request, struct buf *heard)
{
    int fd = dial(httpd_port(h));
    say(fd, request);
    hear_answer(fd, strncmp(request, "HEAD", 4) == 0, heard);
    close(fd);
}

/* ---- a server ---------------------------------------------------------------------------------------------------- */

/* Answers with what it understood. */
static void
echo(void *context, struct httpd_request *r)
{
    (void)context;
    struct buf text = BUF_INIT;
    buf_add_format(&text, "%.*s|%.*s|%.*s|%.*s", SLICE_ARG(httpd_method(r)), SLICE_ARG(httpd_path(r)),
                   SLICE_ARG(httpd_query(r)), SLICE_ARG(httpd_body(r)));
    for (size_t i = 0; i < httpd_header_count(r); i++) {
        struct slice name, value;
        httpd_header_at(r, i, &name, &value);
        buf_add_format(&text, "|%.*s=%.*s", SLICE_ARG(name), SLICE_ARG(value));
    }
    struct httpd_header_out headers[] = {{"X-Loopback", httpd_peer_is_loopback(r) ? "yes" : "no"}};
    httpd_answer(
        r,
        &(struct httpd_answer){
            .status = 200, .content_type = "text/plain", .headers = headers, .n_headers = 1, .body = buf_slice(&text)});
    buf_clean_up(&text);
}

static struct httpd *
start(struct httpd_options o)
{
    struct httpd *h = NULL;
    struct err e = {0};
    o.listen = o.listen ? o.listen : "127.0.0.1:0";
    o.handler = o.handler ? o.handler : echo;
    if (httpd_new(&o, &h, &e) != 0)
        fail_msg("%s", e.text);
    return h;
}

/* A place where requests wait for the test's own thread. */
struct parking {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct httpd_request *requests[64];
    size_t n;
};

#define PARKING_INIT                                                                                                   \
    {                                                                                                                  \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                                         \
    }

static void
park(void *context, struct httpd_request *r)
{
    struct parking *p = context;
    pthread_mutex_lock(&p->lock);
    p->requests[p->n++] = r;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void
wait_for_parked(struct parking *p, size_t n)
{
    pthread_mutex_lock(&p->lock);
    while (p->n < n)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void
answer_text(struct httpd_request *r, const char *text)
{
    httpd_answer(r, &(struct httpd_answer){.status = 200, .body = slice_of_string(text)});
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void
path_query_and_headers_are_as_sent(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){0});
    ask(h, "GET /a%2Fb//c/../d%20e?x=%41&y&x=+ HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: two  words\r\nX-A: 2\r\n\r\n",
        &heard);
    assert_int_equal(status_of(&heard), 200);
    assert_string_equal(body_of(&heard), "GET|/a%2Fb//c/../d%20e|x=%41&y&x=+||Host=h|X-A=1|x-b=two  words|X-A=2");
    assert_non_null(strstr(heard.data, "X-Loopback: yes"));
    ask(h, "GET http://host:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_string_equal(body_of(&heard), "GET|/p|q||Host=h");
    ask(h, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_string_equal(body_of(&heard), "OPTIONS|*|||Host=h");
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
bodies_come_whole_by_length_and_chunked_and_in_pieces(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){0});
    ask(h, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", &heard);
    assert_string_equal(body_of(&heard), "POST|/||hello|Host=h|Content-Length=5");
    ask(h, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        &heard);
    assert_string_equal(body_of(&heard), "PUT|/||hello|Host=h|Transfer-Encoding=chunked");
    int fd = dial(httpd_port(h));
    const char *request = "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (const char *p = request; *p; p++)
        say_bytes(fd, p, 1);
    hear_answer(fd, false, &heard);
    assert_string_equal(body_of(&heard), "POST|/slow||hello|Host=h|Content-Length=5");
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
a_connection_carries_many_requests_without_delay(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT, body = BUF_INIT, request = BUF_INIT;
    struct httpd *h = start((struct httpd_options){0});
    int fd = dial(httpd_port(h));
    for (int i = 0; i < 3000; i++)
        buf_add_char(&body, 'b');
    int64_t began_ns = clock_monotonic_ns();
    for (int i = 0; i < 100; i++) {
        buf_reset(&request);
        buf_add_format(&request, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", i, body.len,
                       body.data);
        say_bytes(fd, request.data, request.len);
        hear_answer(fd, false, &heard);
        assert_int_equal(atoi(body_of(&heard) + 6), i);
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
    struct httpd *h = start((struct httpd_options){0});
    int fd = dial(httpd_port(h));
    say(fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    hear_all(fd, &heard);
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
    struct httpd *h = start((struct httpd_options){.handler = answer_length});
    int fd = dial(httpd_port(h));
    for (int i = 0; i < 2; i++) {
        say(fd, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        hear_answer(fd, true, &heard);
        assert_non_null(strstr(heard.data, "Content-Length: 5000000000\r\n"));
    }
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    hear_answer(fd, false, &heard);
    assert_string_equal(body_of(&heard), "abc");
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
every_answer_is_dated_by_our_clock(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.max_body_bytes = 4});
    atomic_store(&the_clock->frozen_at_ms, INT64_C(784111777000));
    ask(h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_non_null(strstr(heard.data, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    ask(h, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", &heard);
    assert_int_equal(status_of(&heard), 413);
    assert_non_null(strstr(heard.data, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    atomic_store(&the_clock->frozen_at_ms, 0);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
a_body_beyond_the_limit_is_answered_413(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT, big = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.max_body_bytes = 100000});
    for (int i = 0; i < 100001; i++)
        buf_add_char(&big, 'x');

    int fd = dial(httpd_port(h));
    say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    say_bytes(fd, big.data, 100000);
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 200);
    close(fd);

    fd = dial(httpd_port(h));
    say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n");
    say_bytes(fd, big.data, 100001);
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 413);
    close(fd);

    fd = dial(httpd_port(h));
    say(fd, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n"); /* 100001 */
    say_bytes(fd, big.data, 100001);
    say(fd, "\r\n0\r\n\r\n");
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 413);
    close(fd);

    fd = dial(httpd_port(h)); /* nobody reads a terabyte */
    say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1099511627776\r\n\r\n");
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 413);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
    buf_clean_up(&big);
}

static void
expect_100_continue_is_answered_before_the_body(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.max_body_bytes = 10});
    int fd = dial(httpd_port(h));
    say(fd, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 100);
    say(fd, "hello");
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 200);
    close(fd);

    fd = dial(httpd_port(h));
    say(fd, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 413);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
parked_requests_are_answered_from_another_thread_in_any_order(void **state)
{
    (void)state;
    enum { N = 40 };
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p, .threads = 2});
    int fds[N];
    for (int i = 0; i < N; i++) {
        char request[64];
        fds[i] = dial(httpd_port(h));
        snprintf(request, sizeof request, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        say(fds[i], request);
    }
    wait_for_parked(&p, N);
    for (int i = N - 1; i >= 0; i--) {
        char text[16];
        snprintf(text, sizeof text, "%.*s", SLICE_ARG(httpd_path(p.requests[i])));
        answer_text(p.requests[i], text);
    }
    for (int i = 0; i < N; i++) {
        hear_answer(fds[i], false, &heard);
        assert_int_equal(atoi(body_of(&heard) + 1), i);
        close(fds[i]);
    }
    httpd_destroy(h);
    buf_clean_up(&heard);
}

/* Answers while the server's thread is still on its way from the handler to suspending the connection. */
static void *
answer_as_they_come(void *context)
{
    struct parking *p = context;
    for (size_t i = 0; i < 2000; i++) {
        pthread_mutex_lock(&p->lock);
        while (p->n == 0)
            pthread_cond_wait(&p->changed, &p->lock);
        struct httpd_request *r = p->requests[--p->n];
        pthread_mutex_unlock(&p->lock);
        answer_text(r, "now");
    }
    return NULL;
}

static void
an_answer_that_races_the_parking_is_not_lost(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    pthread_t thread;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p});
    assert_int_equal(pthread_create(&thread, NULL, answer_as_they_come, &p), 0);
    int fd = dial(httpd_port(h));
    for (int i = 0; i < 2000; i++) {
        say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        hear_answer(fd, false, &heard);
        assert_string_equal(body_of(&heard), "now");
    }
    pthread_join(thread, NULL);
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
answer_with_thread(void *request)
{
    char text[30];
    snprintf(text, sizeof text, "thread %d", (int)gettid());
    answer_text(request, text);
}

static void
drop_late(void *request)
{
    httpd_drop(request);
}

static void
say_thread(void *context, struct httpd_request *r)
{
    (void)context;
    answer_with_thread(r);
}

static void
threads_share_the_connections_evenly(void **state)
{
    (void)state;
    enum { N = 10 };
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.handler = say_thread, .threads = 2});
    int fds[N], threads[N], of_the_first = 0;
    for (int i = 0; i < N; i++) {
        fds[i] = dial(httpd_port(h));
        say(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        hear_answer(fds[i], false, &heard);
        assert_int_equal(sscanf(body_of(&heard), "thread %d", &threads[i]), 1);
        of_the_first += threads[i] == threads[0];
    }
    assert_int_equal(of_the_first, N / 2);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
an_answer_for_later_is_made_on_the_thread_that_sends(void **state)
{
    (void)state;
    enum { N = 20 };
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p});
    int fds[N], thread, first = 0;
    for (int i = 0; i < N; i++) {
        fds[i] = dial(httpd_port(h));
        say(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        wait_for_parked(&p, (size_t)i + 1);
    }
    for (int i = 0; i < N; i++)
        httpd_answer_later(p.requests[i], i == N - 1 ? drop_late : answer_with_thread, p.requests[i]);
    for (int i = 0; i < N - 1; i++) {
        hear_answer(fds[i], false, &heard);
        assert_int_equal(sscanf(body_of(&heard), "thread %d", &thread), 1);
        assert_true(thread != gettid());
        first = first ? first : thread;
        assert_int_equal(thread, first);
    }
    buf_reset(&heard);
    hear_all(fds[N - 1], &heard);
    assert_int_equal(heard.len, 0);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
answer_it_later(void *context, struct httpd_request *r)
{
    (void)context;
    httpd_answer_later(r, answer_with_thread, r);
}

static void
a_handler_itself_may_leave_its_answer_for_later(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.handler = answer_it_later});
    int fd = dial(httpd_port(h));
    for (int i = 0; i < 3; i++) {
        say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        hear_answer(fd, false, &heard);
        assert_int_equal(status_of(&heard), 200);
    }
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

struct asked {
    struct httpd_request *request;
    atomic_int *n;
};

static void
count_and_answer(void *context)
{
    struct asked *a = context;
    atomic_fetch_add(a->n, 1);
    answer_text(a->request, "too late");
}

/* The peers have gone, and the server ends: what was promised is asked for all the same, or it would never be freed. */
static void
every_answer_for_later_is_asked_for(void **state)
{
    (void)state;
    enum { N = 20 };
    struct parking p = PARKING_INIT;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p, .threads = 2});
    struct asked asked[N];
    atomic_int n = 0;
    for (int i = 0; i < N; i++) {
        int fd = dial(httpd_port(h));
        say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        wait_for_parked(&p, (size_t)i + 1);
        struct linger now = {.l_onoff = 1};
        if (i % 2 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* a reset */
        close(fd);
    }
    for (int i = 0; i < N; i++) {
        asked[i] = (struct asked){.request = p.requests[i], .n = &n};
        httpd_answer_later(p.requests[i], count_and_answer, &asked[i]);
    }
    httpd_destroy(h);
    assert_int_equal(atomic_load(&n), N);
}

static void
a_parked_request_knows_that_its_peer_has_gone(void **state)
{
    (void)state;
    struct parking p = PARKING_INIT;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p});
    int fd = dial(httpd_port(h));
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for_parked(&p, 1);
    assert_false(httpd_peer_gone(p.requests[0]));
    close(fd);
    int64_t began_ns = clock_monotonic_ns();
    while (!httpd_peer_gone(p.requests[0]) && clock_monotonic_ns() - began_ns < WAIT_MS * INT64_C(1000000))
        ;
    assert_true(httpd_peer_gone(p.requests[0]));
    answer_text(p.requests[0], "to nobody");
    httpd_destroy(h);
}

static void
drop(void *context, struct httpd_request *r)
{
    (void)context;
    httpd_drop(r);
}

static void
a_dropped_request_gets_the_end_of_the_stream_and_nothing_else(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *at_once = start((struct httpd_options){.handler = drop});
    struct httpd *later = start((struct httpd_options){.handler = park, .context = &p});
    int a = dial(httpd_port(at_once)), b = dial(httpd_port(later));
    say(a, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    say(b, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for_parked(&p, 1);
    httpd_drop(p.requests[0]);
    hear_all(a, &heard);
    hear_all(b, &heard);
    assert_int_equal(heard.len, 0);
    close(a);
    close(b);
    httpd_destroy(at_once);
    httpd_destroy(later);
    buf_clean_up(&heard);
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
    struct httpd *h = start((struct httpd_options){0});
    for (size_t i = 0; i < sizeof NONSENSE / sizeof *NONSENSE; i++) {
        int fd = dial(httpd_port(h));
        say(fd, NONSENSE[i]);
        shutdown(fd, SHUT_WR);
        buf_reset(&heard);
        hear_all(fd, &heard);
        assert_int_not_equal(status_of(&heard), 200);
        close(fd);
    }
    struct buf big = BUF_INIT;
    buf_add_string(&big, "GET / HTTP/1.1\r\nHost: h\r\nX-Big: ");
    for (int i = 0; i < 200000; i++)
        buf_add_char(&big, 'x');
    buf_add_string(&big, "\r\n\r\n");
    int fd = dial(httpd_port(h));
    say_bytes(fd, big.data, big.len);
    buf_reset(&heard);
    hear_all(fd, &heard);
    assert_int_not_equal(status_of(&heard), 200);
    close(fd);
    ask(h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_int_equal(status_of(&heard), 200);
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
    struct httpd *h = start((struct httpd_options){0});
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
        int fd = dial(httpd_port(h));
        char request[300];
        snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n5\r\nhello\r\n0\r\n\r\n", HEADERS[i]);
        say(fd, request);
        buf_reset(&heard);
        hear_all(fd, &heard); /* up to the end of the stream, though we have not closed our side */
        assert_int_equal(status_of(&heard), 400);
        close(fd);
    }
    ask(h, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", &heard);
    assert_int_equal(status_of(&heard), 200);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
a_client_that_drips_is_closed(void **state)
{
    (void)state;
    static const char *const BEGINNINGS[] = {
        "", "GET / HTTP/1.1\r\nHost: h\r\nX: ", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"};
    struct httpd *h = start((struct httpd_options){.idle_timeout_s = 1});
    struct pollfd p[3];
    for (size_t i = 0; i < 3; i++) {
        p[i] = (struct pollfd){.fd = dial(httpd_port(h)), .events = POLLRDHUP};
        say(p[i].fd, BEGINNINGS[i]);
    }
    int64_t began_ns = clock_monotonic_ns();
    for (size_t i = 0; i < 3; i++)
        while (poll(&p[i], 1, 50) == 0) {
            assert_true(clock_monotonic_ns() - began_ns < WAIT_MS * INT64_C(1000000));
            for (size_t j = i; j < 3; j++)
                say(p[j].fd, "x");
        }
    for (size_t i = 0; i < 3; i++)
        close(p[i].fd);
    httpd_destroy(h);
}

static void
a_parked_request_outlives_the_idle_timeout(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p, .idle_timeout_s = 1});
    int fd = dial(httpd_port(h)), idle = dial(httpd_port(h));
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for_parked(&p, 1);
    hear_all(idle, &heard); /* a bystander that was closed for its idleness shows that the time is over */
    assert_false(httpd_peer_gone(p.requests[0]));
    answer_text(p.requests[0], "late");
    hear_answer(fd, false, &heard);
    assert_string_equal(body_of(&heard), "late");
    close(fd);
    close(idle);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
destroying_answers_parked_requests_503(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *h = start((struct httpd_options){.handler = park, .context = &p, .threads = 2});
    int fds[10], idle = dial(httpd_port(h));
    for (int i = 0; i < 10; i++) {
        fds[i] = dial(httpd_port(h));
        say(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    wait_for_parked(&p, 10);
    uint16_t port = httpd_port(h);
    httpd_destroy(h);
    for (int i = 0; i < 10; i++) {
        buf_reset(&heard);
        hear_all(fds[i], &heard);
        assert_int_equal(status_of(&heard), 503);
        close(fds[i]);
    }
    buf_reset(&heard);
    hear_all(idle, &heard);
    assert_int_equal(heard.len, 0);
    close(idle);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
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
    struct httpd *h = start((struct httpd_options){.handler = split_header});
    ask(h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &heard);
    assert_non_null(strstr(heard.data, "X-Good: yes"));
    assert_null(strstr(heard.data, "X-Injected"));
    httpd_destroy(h);
    buf_clean_up(&heard);
}

/* Runs the server's part of an external loop until fd has something for us. */
static void
drive_until_readable(struct httpd *h, int fd)
{
    for (;;) {
        int64_t wait_ms = httpd_wait_ms(h);
        struct pollfd p[2] = {{.fd = httpd_fd(h), .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        assert_true(poll(p, 2, wait_ms < 0 || wait_ms > WAIT_MS ? WAIT_MS : (int)wait_ms) > 0 || wait_ms >= 0);
        httpd_run(h);
        if (p[1].revents)
            return;
    }
}

static void
the_callers_loop_can_drive_it(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.external_loop = true, .idle_timeout_s = 1});
    int fd = dial(httpd_port(h));
    for (int i = 0; i < 20; i++) {
        say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        drive_until_readable(h, fd);
        hear_answer(fd, false, &heard);
        assert_string_equal(body_of(&heard), "POST|/x||hello|Host=h|Content-Length=5");
    }
    say(fd, "GET / HTT");
    drive_until_readable(h, fd); /* closed, for it never ends */
    close(fd);
    httpd_destroy(h);

    struct parking p = PARKING_INIT;
    h = start((struct httpd_options){.external_loop = true, .handler = park, .context = &p});
    fd = dial(httpd_port(h));
    say(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    while (p.n == 0)
        httpd_run(h);
    answer_text(p.requests[0], "later");
    drive_until_readable(h, fd);
    hear_answer(fd, false, &heard);
    assert_string_equal(body_of(&heard), "later");
    say(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    while (p.n == 1)
        httpd_run(h);
    httpd_destroy(h);
    hear_answer(fd, false, &heard);
    assert_int_equal(status_of(&heard), 503);
    close(fd);
    buf_clean_up(&heard);
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
        struct httpd_options o = {.listen = BAD[i], .handler = echo};
        if (httpd_new(&o, &h, &e) != ERR_INVALID)
            fail_msg("\"%s\" was taken", BAD[i]);
        assert_null(h);
        assert_non_null(strstr(e.text, BAD[i]));
    }
    h = start((struct httpd_options){0});
    struct httpd *second = NULL;
    struct httpd_options o = {.listen = httpd_url(h) + strlen("http://"), .handler = echo};
    assert_int_equal(httpd_new(&o, &second, &e), ERR_IO);
    assert_non_null(strstr(e.text, o.listen));
    assert_non_null(strstr(e.text, "in use"));
    httpd_destroy(h);
}

static void
ipv6_is_served(void **state)
{
    (void)state;
    struct httpd *h = NULL;
    struct err e;
    struct httpd_options o = {.listen = "[::1]:0", .handler = echo};
    if (httpd_new(&o, &h, &e) != 0)
        skip_because("no IPv6 on this machine");
    assert_memory_equal(httpd_url(h), "http://[::1]:", 13);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(httpd_port(h)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct buf heard = BUF_INIT;
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    hear_answer(fd, false, &heard);
    assert_non_null(strstr(heard.data, "X-Loopback: yes"));
    close(fd);
    httpd_destroy(h);
    buf_clean_up(&heard);
}

static void
connections_beyond_the_limit_wait_their_turn(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct httpd *h = start((struct httpd_options){.max_connections = 2});
    int a = dial(httpd_port(h)), b = dial(httpd_port(h)), c = dial(httpd_port(h));
    say(a, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    say(b, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    hear_answer(a, false, &heard);
    hear_answer(b, false, &heard);
    say(c, "GET /c HTTP/1.1\r\nHost: h\r\n\r\n");
    struct pollfd p = {.fd = c, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 100), 0);
    close(a);
    hear_answer(c, false, &heard);
    assert_int_equal(status_of(&heard), 200);
    close(b);
    close(c);
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
        cmocka_unit_test(a_body_beyond_the_limit_is_answered_413),
        cmocka_unit_test(expect_100_continue_is_answered_before_the_body),
        cmocka_unit_test(parked_requests_are_answered_from_another_thread_in_any_order),
        cmocka_unit_test(an_answer_that_races_the_parking_is_not_lost),
        cmocka_unit_test(threads_share_the_connections_evenly),
        cmocka_unit_test(an_answer_for_later_is_made_on_the_thread_that_sends),
        cmocka_unit_test(a_handler_itself_may_leave_its_answer_for_later),
        cmocka_unit_test(every_answer_for_later_is_asked_for),
        cmocka_unit_test(a_parked_request_knows_that_its_peer_has_gone),
        cmocka_unit_test(a_dropped_request_gets_the_end_of_the_stream_and_nothing_else),
        cmocka_unit_test(what_is_no_http_is_refused_and_hurts_nobody),
        cmocka_unit_test(a_body_whose_length_is_said_twice_is_refused),
        cmocka_unit_test(a_client_that_drips_is_closed),
        cmocka_unit_test(a_parked_request_outlives_the_idle_timeout),
        cmocka_unit_test(destroying_answers_parked_requests_503),
        cmocka_unit_test(a_header_with_a_line_break_is_left_out),
        cmocka_unit_test(the_callers_loop_can_drive_it),
        cmocka_unit_test(a_bad_listen_address_is_named),
        cmocka_unit_test(ipv6_is_served),
        cmocka_unit_test(connections_beyond_the_limit_wait_their_turn),
    };
    return cmocka_run_group_tests_name("httpd", tests, NULL, NULL);
}
