/* http_calls: HTTP calls of a test's own engine to its stub_server, for the tests of src/http.
 *
 * One engine a test (HTTP_TEST), one thread. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_HTTP_CALLS_H
#define FANOUT_TESTS_LIB_HTTP_CALLS_H

#include "http/http.h"
#include "lib/stub_server.h"

#define HTTP_PATIENCE_MS 20000

/* The present test's; a test may destroy it and put another one here. */
extern struct http_engine *http_calls_engine;

#define HTTP_TEST(test) cmocka_unit_test_setup_teardown(test, http_calls_make_engine, http_calls_destroy_engine)
int http_calls_make_engine(void **state);
int http_calls_destroy_engine(void **state);

/* The servers of these tests are on loopback. In main. */
void http_calls_unset_proxies(void);

/* What a callback saw, copied. The test frees body. */
struct http_seen {
    int calls, status;
    struct err error;
    bool done, request_sent, truncated;
    char *body;
    size_t body_n;
    char header[200];
    const char *wanted_header; /* to be copied to header; NULL: none */
};

/* The callback: context is a struct http_seen. */
void http_calls_note(void *context, const struct http_response *r);

/* Without a method: GET; without a time-out: HTTP_PATIENCE_MS; without a context: o. */
struct http_call *http_calls_submit(const struct http_request *q, struct http_seen *o);
void http_calls_run_until(const bool *done);

/* One call to its end. */
void http_calls_make(const struct http_request *q, struct http_seen *o);

/* Handlers of a stub_server: "hello" with headers; context as the whole answer, after which the connection is closed;
 * nothing at all. */
stub_handler http_answer_hello, http_answer_text, http_answer_nothing;

#endif
