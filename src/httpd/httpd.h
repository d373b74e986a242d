/* httpd: an HTTP/1.1 server over libmicrohttpd, wrapped once.
 *
 * The handler gets a complete request (body collected, bounded) and answers it now or later, from any thread, exactly
 * once: that is how fanout-local parks a long poll. Two ways to run it: with threads of its own (poll mode: the epoll
 * mode of 0.9.75 stalls when exactly 128 sockets are ready at once), which share the connections evenly, or driven from
 * the caller's epoll loop, for the supervisor, whose handler answers at once.
 *
 * Every answer carries a Date header of base/clock's wall time: clients correct their own clocks by it, and a test
 * moves both. What is no HTTP is answered 400 and closed without a word to the handler; so is a request, or a pause
 * between two, that is not over within idle_timeout_s (closed without an answer), however slowly its bytes drip. */
#ifndef FANOUT_HTTPD_H
#define FANOUT_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct httpd;
struct httpd_request;

typedef void httpd_handler_fn(void *context, struct httpd_request *request);

struct httpd_options {
    const char *listen; /* "127.0.0.1:0", "[::1]:8080"; port 0 picks one */
    httpd_handler_fn *handler;
    void *context;
    bool external_loop;       /* true: no thread; poll httpd_fd and call httpd_run */
    unsigned threads;         /* internal threads, 8 at most; 0: 1 */
    size_t max_body_bytes;    /* a longer one is answered 413 by us; 0: 1 MiB */
    unsigned max_connections; /* 0: 1,000 */
    unsigned idle_timeout_s;  /* 0: 120 */
};

int httpd_new(const struct httpd_options *options, struct httpd **ret_httpd, struct err *e);

/* Stops accepting, answers parked requests with 503, gives answers up to a second to leave, closes. From here on no
 * other thread may touch a request; none may be inside httpd_answer. h may be NULL. */
void httpd_destroy(struct httpd *h);

const char *httpd_url(const struct httpd *h); /* "http://127.0.0.1:40123": the host as it was given */
uint16_t httpd_port(const struct httpd *h);

/* external_loop only. */
int httpd_fd(const struct httpd *h);
int64_t httpd_wait_ms(const struct httpd *h); /* poll no longer than this; -1: no limit */
void httpd_run(struct httpd *h);

/* The request: slices live until it is answered. An absolute-form target ("GET http://host/path") gives its path. */
struct slice httpd_method(const struct httpd_request *r);
struct slice httpd_path(const struct httpd_request *r);  /* as sent, without query, not decoded */
struct slice httpd_query(const struct httpd_request *r); /* as sent, without '?' */
struct slice httpd_body(const struct httpd_request *r);
struct slice httpd_header(const struct httpd_request *r, const char *name); /* empty when absent; without case */
size_t httpd_header_count(const struct httpd_request *r);
void httpd_header_at(const struct httpd_request *r, size_t i, struct slice *ret_name, struct slice *ret_value);
bool httpd_peer_is_loopback(const struct httpd_request *r);

/* True once the peer has closed its side: a parked request nobody waits for any more. Any thread. */
bool httpd_peer_gone(struct httpd_request *r);

struct httpd_header_out {
    const char *name, *value;
};

struct httpd_answer {
    int status;
    const char *content_type; /* NULL: none */
    const struct httpd_header_out *headers;
    size_t n_headers;
    struct slice body;      /* copied */
    int64_t content_length; /* for HEAD: what to claim; 0: the body's */
};

/* Answers and ends the request; r is invalid afterwards. A header that HTTP cannot carry (a line break in it) is left
 * out; Date is added unless given. With no memory for the answer the connection is closed instead. Any thread. */
void httpd_answer(struct httpd_request *r, const struct httpd_answer *answer);

/* Has answer called once, soon, on the thread that sends, and there it must answer (or drop) the request before it
 * returns: for a thread that has better to do than to put answers together. Of many such requests in a row the first
 * wakes the sender, which then finds all of them. Any thread. */
typedef void httpd_late_fn(void *context);
void httpd_answer_later(struct httpd_request *r, httpd_late_fn *answer, void *context);

/* Closes the connection without an answer (an injected fault). Any thread. */
void httpd_drop(struct httpd_request *r);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7), as in Date and Last-Modified. */
#define HTTPD_DATE_BYTES 30
void httpd_format_date(int64_t wall_ms, char out[HTTPD_DATE_BYTES]);

#endif
