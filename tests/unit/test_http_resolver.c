/* A resolver that does not answer, or no more: whom that holds up, and what goes on without it. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/http_calls.h"

/* A resolver in place of the C library's (libcurl calls it from threads of its own, which may come late: each test has
 * a name of its own). The address of the present name is the stub server's. */
#define DOMAIN ".resolved.example"
static char resolver_name[60];
static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_progress = PTHREAD_COND_INITIALIZER;
static unsigned resolver_asked, resolver_left; /* in all */
static unsigned asked_by_name;                 /* for the present name */
static enum { ANSWERS, FAILS, IS_SILENT } resolver;

int __attribute__((visibility("default")))
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!strstr(host, DOMAIN))
        return real(host, service, hints, ret);
    pthread_mutex_lock(&resolver_lock);
    resolver_asked++;
    asked_by_name += strcmp(host, resolver_name) == 0;
    pthread_cond_broadcast(&resolver_progress);
    while (resolver == IS_SILENT)
        pthread_cond_wait(&resolver_progress, &resolver_lock);
    bool fails = resolver == FAILS;
    resolver_left++;
    pthread_cond_broadcast(&resolver_progress);
    pthread_mutex_unlock(&resolver_lock);
    return fails ? EAI_AGAIN : real("127.0.0.1", service, hints, ret);
}

static void
resolver_from_here_on(int what)
{
    pthread_mutex_lock(&resolver_lock);
    resolver = what;
    pthread_cond_broadcast(&resolver_progress);
    pthread_mutex_unlock(&resolver_lock);
}

/* Another name, for which it answers. */
static void
begin_name(void)
{
    static unsigned n;
    resolver_from_here_on(ANSWERS);
    pthread_mutex_lock(&resolver_lock);
    snprintf(resolver_name, sizeof resolver_name, "host-%u" DOMAIN, ++n);
    asked_by_name = 0;
    pthread_mutex_unlock(&resolver_lock);
}

/* Waits until it was asked for the name so often; returns how often it was. */
static unsigned
await_asked(unsigned n)
{
    pthread_mutex_lock(&resolver_lock);
    while (asked_by_name < n)
        pthread_cond_wait(&resolver_progress, &resolver_lock);
    unsigned asked = asked_by_name;
    pthread_mutex_unlock(&resolver_lock);
    return asked;
}

/* No thread is left that waits. */
static void
end_silence(void)
{
    resolver_from_here_on(FAILS);
    pthread_mutex_lock(&resolver_lock);
    while (resolver_left < resolver_asked)
        pthread_cond_wait(&resolver_progress, &resolver_lock);
    pthread_mutex_unlock(&resolver_lock);
}

static void
a_resolver_that_does_not_answer_holds_nobody_up(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    struct http_seen hanging = {0}, cancelled = {0}, other = {0};
    struct err e;
    char urls[3][80];
    begin_name();
    resolver_from_here_on(IS_SILENT);
    for (int i = 0; i < 3; i++)
        snprintf(urls[i], sizeof urls[i], "http://%s/%d", resolver_name, i);
    http_calls_submit(&(struct http_request){.url = urls[0], .timeout_ms = 200}, &hanging);
    struct http_call *c = http_calls_submit(&(struct http_request){.url = urls[1]}, &cancelled);
    http_calls_make(&(struct http_request){.url = stub_server_url(s)}, &other);
    assert_int_equal(other.status, 200);
    http_calls_run_until(&hanging.done);
    assert_int_equal(hanging.error.code, ERR_TIMEOUT);
    assert_false(hanging.request_sent);
    int64_t began_ms = clock_monotonic_ms();
    http_cancel(c);
    http_calls_submit(&(struct http_request){.url = urls[2]}, &cancelled);
    assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    http_engine_destroy(http_calls_engine);
    assert_true(clock_monotonic_ms() - began_ms < HTTP_PATIENCE_MS / 4);
    assert_int_equal(cancelled.calls, 0);
    assert_int_equal(http_engine_new(&(struct http_engine_options){0}, &http_calls_engine, &e), 0);

    assert_true(await_asked(1) > 0);
    end_silence();
    free(hanging.body);
    free(other.body);
    stub_server_stop(s);
}

static void
hello_and_close(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    (void)context, (void)rq;
    stub_answer_http(a, 200, "Connection: close\r\n", "hello");
    a->then = STUB_CLOSE;
}

/* A call to the name, over a connection of its own. Returns its status; 0: it could not be made. */
static int
call_by_name(int port, int64_t timeout_ms)
{
    char url[100];
    struct http_seen o = {0};
    snprintf(url, sizeof url, "http://%s:%d/", resolver_name, port);
    http_calls_make(&(struct http_request){.url = url, .timeout_ms = timeout_ms}, &o);
    free(o.body);
    return o.status;
}

static void
keep_no_answers(void)
{
    struct err e;
    http_engine_destroy(http_calls_engine);
    assert_int_equal(http_engine_new(&(struct http_engine_options){.dns_keep_s = -1}, &http_calls_engine, &e), 0);
}

static void
a_host_is_sought_where_it_was_last_while_the_resolver_fails(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(hello_and_close, NULL);
    static const struct {
        int kind;
        int64_t timeout_ms;
    } ways[] = {{FAILS, 0}, {IS_SILENT, 200}};
    for (int i = 0; i < 2; i++) {
        keep_no_answers();
        begin_name();
        assert_int_equal(call_by_name(stub_server_port(s), 0), 200);
        assert_int_equal(call_by_name(stub_server_port(s), 0), 200);
        assert_int_equal(await_asked(2), 2);
        resolver_from_here_on(ways[i].kind);
        assert_int_equal(call_by_name(stub_server_port(s), ways[i].timeout_ms), 0);
        assert_int_equal(await_asked(3), 3); /* in vain */
        for (int k = 0; k < 5; k++)
            assert_int_equal(call_by_name(stub_server_port(s), 0), 200);
        assert_int_equal(await_asked(3), 3);
        end_silence();
    }
    stub_server_stop(s);
}

/* Each second request is the end of its connection. */
static void
hello_once(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    unsigned *requests = context;
    if (++*requests % 2 == 0)
        a->then = STUB_CLOSE;
    else
        http_answer_hello(NULL, rq, a);
}

/* libcurl sends it again by itself, and waits for the resolver in vain. */
static void
a_kept_connection_that_ends_in_silence_costs_one_wait(void **state)
{
    (void)state;
    unsigned requests = 0;
    struct stub_server *s = stub_server_start(hello_once, &requests);
    struct err e;
    int port = stub_server_port(s);
    http_engine_destroy(http_calls_engine);
    const struct http_engine_options options = {.dns_keep_s = -1, .connect_timeout_ms = 200};
    assert_int_equal(http_engine_new(&options, &http_calls_engine, &e), 0);
    begin_name();
    assert_int_equal(call_by_name(port, 0), 200);
    resolver_from_here_on(IS_SILENT);
    assert_int_equal(call_by_name(port, 0), 0);
    assert_int_equal(call_by_name(port, 0), 200);
    assert_int_equal(await_asked(2), 2);
    end_silence();
    stub_server_stop(s);
}

static void
a_host_that_is_no_longer_where_it_was_is_looked_up_again(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(hello_and_close, NULL);
    int port = stub_server_port(s);
    keep_no_answers();
    begin_name();
    assert_int_equal(call_by_name(port, 0), 200);
    resolver_from_here_on(FAILS);
    assert_int_equal(call_by_name(port, 0), 0);
    assert_int_equal(call_by_name(port, 0), 200);
    stub_server_stop(s);
    assert_int_equal(call_by_name(port, 0), 0); /* refused */
    assert_int_equal(await_asked(2), 2);
    s = stub_server_start_at(port, hello_and_close, NULL);
    resolver_from_here_on(ANSWERS);
    assert_int_equal(call_by_name(port, 0), 200);
    assert_int_equal(await_asked(3), 3);
    stub_server_stop(s);
}

static void
a_host_that_was_never_reached_is_not_made_up(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(hello_and_close, NULL);
    keep_no_answers();
    begin_name();
    resolver_from_here_on(FAILS);
    for (int i = 0; i < 3; i++)
        assert_int_equal(call_by_name(stub_server_port(s), 0), 0);
    resolver_from_here_on(ANSWERS);
    assert_int_equal(call_by_name(stub_server_port(s), 0), 200);
    stub_server_stop(s);
}

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_resolver_that_does_not_answer_holds_nobody_up),
        HTTP_TEST(a_host_is_sought_where_it_was_last_while_the_resolver_fails),
        HTTP_TEST(a_kept_connection_that_ends_in_silence_costs_one_wait),
        HTTP_TEST(a_host_that_is_no_longer_where_it_was_is_looked_up_again),
        HTTP_TEST(a_host_that_was_never_reached_is_not_made_up),
    };
    return cmocka_run_group_tests_name("http_resolver", tests, NULL, NULL);
}
