/* The HTTP server: answers that are made later, on whatever thread, and a loop that is the caller's. */
#include "httpd/httpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/raw_http.h"

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

static void
parked_requests_are_answered_from_another_thread_in_any_order(void **state)
{
    (void)state;
    enum { N = 40 };
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p, .threads = 2});
    int fds[N];
    for (int i = 0; i < N; i++) {
        char request[64];
        fds[i] = raw_http_dial(httpd_port(h));
        snprintf(request, sizeof request, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        raw_http_say(fds[i], request);
    }
    wait_for_parked(&p, N);
    for (int i = N - 1; i >= 0; i--) {
        char text[16];
        snprintf(text, sizeof text, "%.*s", SLICE_ARG(httpd_path(p.requests[i])));
        answer_text(p.requests[i], text);
    }
    for (int i = 0; i < N; i++) {
        raw_http_hear_answer(fds[i], false, &heard);
        assert_int_equal(atoi(raw_http_body(&heard) + 1), i);
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p});
    assert_int_equal(pthread_create(&thread, NULL, answer_as_they_come, &p), 0);
    int fd = raw_http_dial(httpd_port(h));
    for (int i = 0; i < 2000; i++) {
        raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        raw_http_hear_answer(fd, false, &heard);
        assert_string_equal(raw_http_body(&heard), "now");
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = say_thread, .threads = 2});
    int fds[N], threads[N], of_the_first = 0;
    for (int i = 0; i < N; i++) {
        fds[i] = raw_http_dial(httpd_port(h));
        raw_http_say(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        raw_http_hear_answer(fds[i], false, &heard);
        assert_int_equal(sscanf(raw_http_body(&heard), "thread %d", &threads[i]), 1);
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p});
    int fds[N], thread, first = 0;
    for (int i = 0; i < N; i++) {
        fds[i] = raw_http_dial(httpd_port(h));
        raw_http_say(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        wait_for_parked(&p, (size_t)i + 1);
    }
    for (int i = 0; i < N; i++)
        httpd_answer_later(p.requests[i], i == N - 1 ? drop_late : answer_with_thread, p.requests[i]);
    for (int i = 0; i < N - 1; i++) {
        raw_http_hear_answer(fds[i], false, &heard);
        assert_int_equal(sscanf(raw_http_body(&heard), "thread %d", &thread), 1);
        assert_true(thread != gettid());
        first = first ? first : thread;
        assert_int_equal(thread, first);
    }
    buf_reset(&heard);
    raw_http_hear_all(fds[N - 1], &heard);
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = answer_it_later});
    int fd = raw_http_dial(httpd_port(h));
    for (int i = 0; i < 3; i++) {
        raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        raw_http_hear_answer(fd, false, &heard);
        assert_int_equal(raw_http_status(&heard), 200);
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p, .threads = 2});
    struct asked asked[N];
    atomic_int n = 0;
    for (int i = 0; i < N; i++) {
        int fd = raw_http_dial(httpd_port(h));
        raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p});
    int fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for_parked(&p, 1);
    assert_false(httpd_peer_gone(p.requests[0]));
    close(fd);
    int64_t began_ns = clock_monotonic_ns();
    while (!httpd_peer_gone(p.requests[0]) && clock_monotonic_ns() - began_ns < RAW_HTTP_WAIT_MS * INT64_C(1000000))
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
    struct httpd *at_once = raw_http_serve((struct httpd_options){.handler = drop});
    struct httpd *later = raw_http_serve((struct httpd_options){.handler = park, .context = &p});
    int a = raw_http_dial(httpd_port(at_once)), b = raw_http_dial(httpd_port(later));
    raw_http_say(a, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_http_say(b, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for_parked(&p, 1);
    httpd_drop(p.requests[0]);
    raw_http_hear_all(a, &heard);
    raw_http_hear_all(b, &heard);
    assert_int_equal(heard.len, 0);
    close(a);
    close(b);
    httpd_destroy(at_once);
    httpd_destroy(later);
    buf_clean_up(&heard);
}

static void
a_parked_request_outlives_the_idle_timeout(void **state)
{
    (void)state;
    struct buf heard = BUF_INIT;
    struct parking p = PARKING_INIT;
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p, .idle_timeout_s = 1});
    int fd = raw_http_dial(httpd_port(h)), idle = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for_parked(&p, 1);
    raw_http_hear_all(idle, &heard); /* a bystander that was closed for its idleness shows that the time is over */
    assert_false(httpd_peer_gone(p.requests[0]));
    answer_text(p.requests[0], "late");
    raw_http_hear_answer(fd, false, &heard);
    assert_string_equal(raw_http_body(&heard), "late");
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
    struct httpd *h = raw_http_serve((struct httpd_options){.handler = park, .context = &p, .threads = 2});
    int fds[10], idle = raw_http_dial(httpd_port(h));
    for (int i = 0; i < 10; i++) {
        fds[i] = raw_http_dial(httpd_port(h));
        raw_http_say(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    wait_for_parked(&p, 10);
    uint16_t port = httpd_port(h);
    httpd_destroy(h);
    for (int i = 0; i < 10; i++) {
        buf_reset(&heard);
        raw_http_hear_all(fds[i], &heard);
        assert_int_equal(raw_http_status(&heard), 503);
        close(fds[i]);
    }
    buf_reset(&heard);
    raw_http_hear_all(idle, &heard);
    assert_int_equal(heard.len, 0);
    close(idle);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    buf_clean_up(&heard);
}

/* Runs the server's part of an external loop until fd has something for us. */
static void
drive_until_readable(struct httpd *h, int fd)
{
    for (;;) {
        int64_t wait_ms = httpd_wait_ms(h);
        struct pollfd p[2] = {{.fd = httpd_fd(h), .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        assert_true(poll(p, 2, wait_ms < 0 || wait_ms > RAW_HTTP_WAIT_MS ? RAW_HTTP_WAIT_MS : (int)wait_ms) > 0 ||
                    wait_ms >= 0);
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
    struct httpd *h = raw_http_serve((struct httpd_options){.external_loop = true, .idle_timeout_s = 1});
    int fd = raw_http_dial(httpd_port(h));
    for (int i = 0; i < 20; i++) {
        raw_http_say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        drive_until_readable(h, fd);
        raw_http_hear_answer(fd, false, &heard);
        assert_string_equal(raw_http_body(&heard), "POST|/x||hello|Host=h|Content-Length=5");
    }
    raw_http_say(fd, "GET / HTT");
    drive_until_readable(h, fd); /* closed, for it never ends */
    close(fd);
    httpd_destroy(h);

    struct parking p = PARKING_INIT;
    h = raw_http_serve((struct httpd_options){.external_loop = true, .handler = park, .context = &p});
    fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    while (p.n == 0)
        httpd_run(h);
    answer_text(p.requests[0], "later");
    drive_until_readable(h, fd);
    raw_http_hear_answer(fd, false, &heard);
    assert_string_equal(raw_http_body(&heard), "later");
    raw_http_say(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    while (p.n == 1)
        httpd_run(h);
    httpd_destroy(h);
    raw_http_hear_answer(fd, false, &heard);
    assert_int_equal(raw_http_status(&heard), 503);
    close(fd);
    buf_clean_up(&heard);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parked_requests_are_answered_from_another_thread_in_any_order),
        cmocka_unit_test(an_answer_that_races_the_parking_is_not_lost),
        cmocka_unit_test(threads_share_the_connections_evenly),
        cmocka_unit_test(an_answer_for_later_is_made_on_the_thread_that_sends),
        cmocka_unit_test(a_handler_itself_may_leave_its_answer_for_later),
        cmocka_unit_test(every_answer_for_later_is_asked_for),
        cmocka_unit_test(a_parked_request_knows_that_its_peer_has_gone),
        cmocka_unit_test(a_dropped_request_gets_the_end_of_the_stream_and_nothing_else),
        cmocka_unit_test(a_parked_request_outlives_the_idle_timeout),
        cmocka_unit_test(destroying_answers_parked_requests_503),
        cmocka_unit_test(the_callers_loop_can_drive_it),
    };
    return cmocka_run_group_tests_name("httpd_later", tests, NULL, NULL);
}
