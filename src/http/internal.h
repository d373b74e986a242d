/* internal: what http.c (the loop), call.c (one request's way), handle.c (what libcurl is told of it), outcome.c (what
 * became of it) and known.c (addresses for when the resolver fails) share. Nobody else includes it.
 *
 * A call is PENDING from http_submit until the next turn hands it to curl, ACTIVE until curl has finished it, and
 * DELIVERING while its callback runs; then it waits in the pool for the next request, its easy handle and its
 * connection's settings kept, because making and resetting handles costs more than sending a small request. */
#ifndef FANOUT_HTTP_INTERNAL_H
#define FANOUT_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "http/http.h"

#define HTTP_MAX_HEADER_BYTES (256u << 10) /* of all the headers of an answer */

enum call_state { CALL_POOLED, CALL_PENDING, CALL_ACTIVE, CALL_CANCELLED, CALL_DELIVERING };

TAILQ_HEAD(call_list, http_call);

/* Where a host was reached last. */
#define HTTP_KNOWN 8
struct http_known {
    char key[280]; /* "host:port"; "": a free place */
    char address[64];
    int64_t until_ms; /* so long the address is used without asking a resolver */
    bool planted;     /* libcurl was told of it */
    char text[400];   /* what it was told last, */
    struct curl_slist line;
};

struct http_engine {
    CURLM *multi;
    struct timers timers;
    struct call_list pending, active, pool;
    size_t n_pooled;
    CURLSH *share;    /* TLS sessions; one thread, so no locks */
    char *user_agent; /* the header's line: libcurl would write one of its own option twice for each request */
    char *ca_file, *ca_option;
    int64_t ca_keep_s;
    size_t max_connections;  /* idle ones to keep */
    size_t connection_limit; /* what libcurl was told: idle and in use */
    int64_t connect_timeout_ms, max_connection_age_s, dns_keep_s;
    bool proxied; /* by the environment: an address that was reached may be the proxy's */
    struct http_known known[HTTP_KNOWN];
    bool resolver_failed;         /* ever: there may be something to tell libcurl of them */
    int watched;                  /* a descriptor that ends a wait when it becomes readable; -1: none */
    bool running;                 /* inside http_engine_run */
    bool inside_curl;             /* inside curl_multi_perform: the multi handle must not be changed */
    bool any_cancelled;           /* ... and so calls cancelled meanwhile wait to be taken out of it */
    bool any_paused;              /* calls whose turn was over before their bytes were */
    bool undelivered;             /* calls that are over wait for the next turn */
    int64_t turn_ns, turn_cpu_ns; /* the present turn began at; turn_ns 0: there is none */
    int64_t looked_ms,
        looked_before_ms; /* sockets were looked at last in a turn that began at; and in the one before */
    struct http_stats stats;
};

struct http_call {
    TAILQ_ENTRY(http_call) link;
    struct http_engine *engine;
    enum call_state state;
    CURL *easy;
    struct timer timer; /* the deadline, or the next look at whether bytes still move */

    http_done_fn *done;
    int (*on_data)(void *context, struct slice piece);
    void *context;

    /* What the easy handle is set to, so that it is set again only when it changes. */
    char *url;
    CURLU *parsed_url;
    char method[8];
    bool has_body;

    struct curl_slist *headers; /* nodes, pointing into header_text */
    size_t headers_capacity;
    struct buf header_text; /* may hold a session token: wiped */
    struct slice request_body;
    size_t request_body_sent;

    int64_t submitted_at_ms, deadline_ms, timeout_ms;
    int64_t stall_timeout_ms, moved_at_ms;
    uint64_t moved; /* bytes in both directions at moved_at_ms */

    struct buf body;
    size_t max_response_bytes;
    size_t header_bytes;
    int64_t answered_ms; /* the answer began to come, at the latest; 0: it did not yet */
    bool paused;
    bool resent;          /* by us, after a kept connection had ended */
    bool header_complete; /* the blank line was seen */
    int gave_up;          /* why a callback of ours stopped curl: an err code, or 0 */
    char text[CURL_ERROR_SIZE];
};

/* http.c */
bool http_engine_turn_is_over(const struct http_engine *g);
void http_engine_make_room(struct http_engine *g);
void http_engine_recycle(struct http_engine *g, struct http_call *c);

/* handle.c */
struct http_call *http_call_new(struct http_engine *g);
void http_call_free(struct http_call *c); /* in no list, not in curl */
int http_handle_set(struct http_call *c, const struct http_request *request, struct err *e); /* all but its times */

/* call.c */
void http_call_start(struct http_call *c);                   /* PENDING → ACTIVE, or finished with an error */
void http_call_finish(struct http_call *c, CURLcode result); /* calls done, recycles */

/* known.c: before a call goes to curl; when it comes back from there, with what libcurl says; when our own time-out
 * ends it. */
void http_known_apply(struct http_call *c);
void http_known_note(struct http_call *c, CURLcode result);
void http_known_note_timeout(struct http_call *c);

/* outcome.c */
struct http_traffic {
    uint64_t sent, received; /* bytes so far */
};
struct http_traffic http_outcome_traffic(const struct http_call *c);
void http_outcome_of(const struct http_call *c, CURLcode result, struct http_response *ret);
void http_outcome_timeout(const struct http_call *c, const char *what, int64_t ms, struct http_response *ret);

#endif
