/* httpd_impl: what httpd.c (the server's life), httpd_connections.c (its connections' lives), httpd_request.c (one
 * request's life), httpd_reply.c (what its answer is made of), httpd_read.c (what handlers see of it) and probe.c
 * share. */
#ifndef FANOUT_HTTPD_IMPL_H
#define FANOUT_HTTPD_IMPL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "httpd/httpd.h"

struct httpd_connection;

#define HTTPD_MAX_THREADS 8

struct httpd {
    struct MHD_Daemon *daemons[HTTPD_MAX_THREADS]; /* one per thread */
    unsigned n_daemons;
    int listen_fd;
    httpd_handler_fn *handler;
    void *context;
    char *url;
    uint16_t port;
    bool external_loop;
    size_t max_body_bytes;
    unsigned max_connections;
    int64_t idle_timeout_ns;
    atomic_bool stopping; /* the handler is not called any more */

    pthread_t keeper; /* accepts, and closes what drips; internal threads only */
    bool keeper_runs;
    int wake_fd;              /* an eventfd: the keeper looks whether it shall stop */
    unsigned next_daemon;     /* the keeper's: who gets the next connection */
    atomic_int n_connections; /* accepted by the keeper and not closed */
    int64_t kept_at_ns;       /* when httpd_close_overdue last looked */

    /* Guards all below. Taken for moments only; libmicrohttpd is never called under it. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* stopping, or unsent went down while stopping */
    struct httpd_connection *connections;
    struct httpd_request *parked;
    unsigned unsent; /* answered, not yet sent */
};

/* "HOST:PORT" or "[HOST]:PORT" into its parts; host gets no brackets. */
int httpd_split_listen(const char *text, char *host, size_t host_size, char *port, size_t port_size, struct err *e);

/* Where a request is between libmicrohttpd's thread and whoever answers it. */
enum httpd_stage {
    HTTPD_COLLECTING, /* bytes still come in */
    HTTPD_HANDLING,   /* inside the handler */
    HTTPD_PARKED,     /* the handler returned without an answer; libmicrohttpd has it suspended */
    HTTPD_REFUSING,   /* parked, and about to be answered by httpd_destroy */
    HTTPD_SETTLED,    /* reply (or, if that is NULL, the wish to drop) is there, or who makes it */
    HTTPD_ANSWERING,  /* inside the function of httpd_answer_later, on libmicrohttpd's thread */
};

/* A header as it came. */
struct httpd_field {
    struct slice name, value;
};

/* One request, from its headers to its answer. */
struct httpd_request {
    struct httpd *httpd;
    struct MHD_Connection *connection;
    struct MHD_Response *reply;
    int status;
    httpd_late_fn *late; /* makes the reply, with late_context */
    void *late_context;
    _Atomic(enum httpd_stage) stage;
    bool announced; /* the headers are there */
    bool too_long;
    bool is_unsent; /* counted in httpd->unsent */
    struct slice method, path, query;
    struct buf body;
    size_t discarded_bytes;
    struct httpd_field *headers;
    size_t n_headers, max_headers;
    struct httpd_request *next, **link; /* among the parked; link is NULL when it is not */
    char target[];                      /* as sent */
};

/* libmicrohttpd's callbacks for one request. */
void *httpd_request_begin(void *h, const char *uri, struct MHD_Connection *connection);
enum MHD_Result httpd_request_progress(void *h, struct MHD_Connection *connection, const char *url, const char *method,
                                       const char *version, const char *data, size_t *data_n, void **request);
void httpd_request_complete(void *h, struct MHD_Connection *connection, void **request,
                            enum MHD_RequestTerminationCode why);

/* The answer of a handler, or one that is a line of ours, of static text, and ends the connection. NULL: no memory. */
struct MHD_Response *httpd_reply_build(const struct httpd_request *r, const struct httpd_answer *answer);
struct MHD_Response *httpd_reply_plain(const char *text);

/* Answers everything that is parked with 503. */
void httpd_request_answer_parked(struct httpd *h);

/* libmicrohttpd's callback when a connection comes or goes. */
void httpd_on_connection(void *h, struct MHD_Connection *connection, void **socket_context,
                         enum MHD_ConnectionNotificationCode what);

/* The keeper's thread. */
int httpd_keeper_start(struct httpd *h, struct err *e);
void httpd_keeper_stop(struct httpd *h); /* if it runs; stopping is set */

/* Once a second, however often it is called: ends the connections whose clients take too long. */
void httpd_close_overdue(struct httpd *h);

/* The connection waits for its client (false: for our answer), from now on. */
void httpd_connection_waits(struct httpd *h, struct MHD_Connection *connection, bool waits);

#endif
