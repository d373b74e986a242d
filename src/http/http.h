/* http: many HTTP requests in flight from one thread, over one curl_multi handle.
 *
 * Every program's HTTP client, and its event loop: http_engine_run moves bytes, calls the callbacks of what completed,
 * and fires due timers. One thread owns an engine and everything submitted to it; only http_engine_wakeup may be called
 * from elsewhere. The engine keeps connections open and reuses them, speaks HTTP/1.1, honours the proxy variables of
 * the environment (which are there from the start), follows no redirects, keeps no cookies, decodes no compression,
 * never sends Expect, and gives every handle CURLOPT_QUICK_EXIT, so that an unanswering resolver cannot block the loop.
 * The program ignores SIGPIPE.
 *
 * TLS is 1.2 or later, and a certificate is verified always: its chain up to an authority of ca_file (of the system's
 * store when there is none; never both), its dates, its host. Nothing switches that off. A connection that has to be
 * opened again resumes its TLS session. The trusted certificates are read again when they are older than ca_keep_s and
 * a connection is opened; parsing the system's takes milliseconds, and each connection of its own would wait for it.
 *
 * A resolver that fails or does not answer costs the call that asked it, and no more: for a minute then, and minute by
 * minute until it answers again, a host is sought where it was reached last. (Not behind a proxy of the environment,
 * which may be what was reached.)
 *
 * Time-outs of a call are timers of the loop and so follow base/clock (a test clock included); only the time allowed
 * for connecting is libcurl's own and real. When an answer and a time-out are due in one turn, the answer wins.
 *
 * A request on a kept connection that the peer closes without a byte of answer is sent again by libcurl on another
 * connection (RFC 9112, 9.3.1), unseen here: what must not happen twice needs an idempotency token anyway. */
#ifndef FANOUT_HTTP_H
#define FANOUT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/timers.h"

struct http_engine;
struct http_call;

struct http_engine_options {
    const char *user_agent;       /* NULL: "fanoutd/VERSION" */
    const char *ca_file;          /* NULL or "": the system's */
    const char *ca_option;        /* what a person sets ca_file by, for messages; NULL: "ca_file" */
    int64_t ca_keep_s;            /* 0: 300 */
    size_t max_connections;       /* idle ones kept; 0: 64 */
    int64_t connect_timeout_ms;   /* 0: 3,000 */
    int64_t max_connection_age_s; /* a connection older than this is not reused; 0: 300 */
    int64_t dns_keep_s;           /* connections opened within this share an answer of the resolver; 0: 5, as AWS
                                     advises; negative: none do */
};

int http_engine_new(const struct http_engine_options *options, struct http_engine **ret_engine, struct err *e);

/* Calls in flight are cancelled without their callbacks being called. */
void http_engine_destroy(struct http_engine *g);

/* One turn of the loop: waits at most wait_ms (negative: for ever; capped by the next timer and the test clock) for
 * bytes, a timer or a wake-up. Callbacks run inside; they may submit and cancel any call, but not run or destroy the
 * engine. ERR_IO when curl itself fails, which is never expected. */
int http_engine_run(struct http_engine *g, int64_t wait_ms, struct err *e);

/* From here on, bytes (or the end) to be read from fd end a wait too; -1: of none. */
void http_engine_watch(struct http_engine *g, int fd);

/* Runs until *done, or until timeout_ms (negative: for ever) is over: ERR_TIMEOUT. For programs without a loop. */
int http_engine_run_until(struct http_engine *g, const bool *done, int64_t timeout_ms, struct err *e);

/* Ends the current or next wait. Any thread. */
void http_engine_wakeup(struct http_engine *g);

/* The loop's timers; their callbacks run in http_engine_run. */
struct timers *http_engine_timers(struct http_engine *g);

struct http_header {
    const char *name;
    const char *value;
};

/* What to send. http_submit copies everything except body, which is borrowed until the call is over. A Host header
 * among the headers replaces the one made from the URL. A call that is cancelled is over: its body may go at once. */
struct http_request {
    const char *method; /* "GET", "HEAD", "POST", "PUT", "DELETE" */
    const char *url;    /* sent as it is: path and query are not normalised */
    const struct http_header *headers;
    size_t n_headers;
    struct slice body;
    int64_t timeout_ms;        /* for the whole call, > 0 */
    int64_t stall_timeout_ms;  /* no byte for so long (up to a quarter longer): given up; 0: timeout_ms alone */
    size_t max_response_bytes; /* a longer body is ERR_LIMIT; 0: 64 MiB of what is collected */

    /* Called with each piece of the body of a 2xx answer as it comes, instead of collecting it; NULL: collect. Return
     * non-zero to give up (ERR_CANCELLED). The bodies of other answers are collected. */
    int (*on_data)(void *context, struct slice piece);
    void *context;
};

/* What came back. Valid during the callback. */
struct http_response {
    int status;        /* 0 when error.code is set: there is no complete answer */
    struct err error;  /* ERR_UNAVAILABLE: could not resolve or connect, TLS handshake broken off, reset,
                          truncated; ERR_TIMEOUT; ERR_DENIED: TLS verification failed; ERR_LIMIT: body or
                          headers too long; ERR_PROTOCOL: no HTTP; ERR_INVALID: not a URL for us;
                          ERR_CANCELLED: on_data gave up; ERR_NO_MEMORY */
    bool truncated;    /* with ERR_UNAVAILABLE: some of an answer had come */
    bool request_sent; /* some of the request left this host: it may have been executed */
    struct slice body;
    int64_t elapsed_ms;
    int64_t age_ms; /* since the answer began to come; 0 when none did. Found after a standstill of this process
                       (a turn that was more than 1.5 s late): since the turn before, as it may have lain there */
    const struct http_call *call;
};

/* The value of a header of the answer (last one wins, name without case), or an empty slice. In the callback only. */
struct slice http_response_header(const struct http_response *r, const char *name);

typedef void http_done_fn(void *context, const struct http_response *response);

/* Starts a call; done is called exactly once from a later http_engine_run, unless the call is cancelled. *ret_call (may
 * be NULL) is valid until done returns. ERR_INVALID: a method, time-out or header that cannot be sent. */
int http_submit(struct http_engine *g, const struct http_request *request, http_done_fn *done,
                struct http_call **ret_call, struct err *e);

/* Ends a call without its callback. Inside the call's own done it does nothing. */
void http_cancel(struct http_call *call);

/* Counters since the engine was made. */
struct http_stats {
    uint64_t calls, connections, bytes_sent, bytes_received;
    size_t in_flight;
    /* From the end of one wait to the beginning of the next, what the program does between its calls of http_engine_run
     * included; and the most CPU time the thread spent in one: what is longer by the clock alone did not run. */
    int64_t longest_turn_ms, longest_turn_cpu_ms;
};
void http_engine_stats(const struct http_engine *g, struct http_stats *ret_stats);

/* Percent-encodes all but RFC 3986's unreserved characters (and '/' when keep_slash). */
void http_encode(struct buf *out, struct slice text, bool keep_slash);

/* Decodes %XX (and '+' as a space when plus). False for a broken escape. */
bool http_decode(struct buf *out, struct slice text, bool plus);

#endif
