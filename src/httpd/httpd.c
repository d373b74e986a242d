#include "httpd/httpd_impl.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define NS_PER_S          INT64_C(1000000000)
#define FLUSH_NS          NS_PER_S
#define CONNECTION_BYTES  ((size_t)32 << 10) /* request line and headers must fit; bodies are read in pieces of it */
#define FIRST_PIECE_BYTES ((size_t)16 << 10)

/* ---- listening --------------------------------------------------------------------------------------------------- */

int
httpd_split_listen(const char *text, char *host, size_t host_size, char *port, size_t port_size, struct err *e)
{
    const char *colon = strrchr(text, ':');
    const char *begin = text, *end = colon;
    if (colon && text[0] == '[' && colon > text && colon[-1] == ']') {
        begin++;
        end--;
    } else if (colon && memchr(text, ':', (size_t)(colon - text))) {
        colon = NULL; /* an IPv6 address without its brackets */
    }
    if (!colon || begin >= end || (size_t)(end - begin) >= host_size || !colon[1] || strlen(colon + 1) >= port_size ||
        colon[1 + strspn(colon + 1, "0123456789")] != '\0' || atol(colon + 1) > 65535)
        return err_set(e, ERR_INVALID, "listen address \"%s\": expected HOST:PORT or [IPV6]:PORT, port 0 to 65535",
                       text);
    snprintf(host, host_size, "%.*s", (int)(end - begin), begin);
    snprintf(port, port_size, "%s", colon + 1);
    return 0;
}

static int
open_listener(const struct addrinfo *at, const char *text, int *ret_fd, struct err *e)
{
    int on = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(e, errno, "cannot listen on %s", text);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int code = err_set_errno(e, errno, "cannot listen on %s", text);
        close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

static int
name_port(struct httpd *h, int fd, const char *host, struct err *e)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } bound = {.in6 = {.sin6_family = AF_UNSPEC}};
    socklen_t n = sizeof bound;
    if (getsockname(fd, &bound.any, &n) != 0)
        return err_set_errno(e, errno, "cannot learn the port of the listening socket");
    h->port = ntohs(bound.any.sa_family == AF_INET6 ? bound.in6.sin6_port : bound.in.sin_port);
    bool v6 = strchr(host, ':') != NULL;
    if (asprintf(&h->url, "http://%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", h->port) < 0) {
        h->url = NULL;
        return err_no_memory(e);
    }
    return 0;
}

static int
listen_on(struct httpd *h, const char *text, int *ret_fd, struct err *e)
{
    char host[256], port[8];
    int code = httpd_split_listen(text, host, sizeof host, port, sizeof port, e);
    if (code)
        return code;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return err_set(e, ERR_INVALID, "listen address \"%s\": %s", text, gai_strerror(failed));
    int fd = -1;
    code = open_listener(found, text, &fd, e);
    freeaddrinfo(found);
    if (!code && (code = name_port(h, fd, host, e)))
        close(fd);
    if (!code)
        *ret_fd = fd;
    return code;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* listen_fd -1: its connections come by MHD_add_connection. */
static int
start_daemon(struct httpd *h, int listen_fd, struct err *e)
{
    unsigned flags = MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK |
                     (h->external_loop ? MHD_USE_EPOLL : MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET);
    unsigned idle_timeout_s = (unsigned)(h->idle_timeout_ns / NS_PER_S);
    /* the keeper counts by itself, and never behind libmicrohttpd, which would turn away whom it has just accepted */
    unsigned most = h->external_loop ? h->max_connections : h->max_connections * 2 + 100;
    struct MHD_OptionItem more[] = {
        {listen_fd < 0 ? MHD_OPTION_END : MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, httpd_request_progress, h, MHD_OPTION_URI_LOG_CALLBACK, httpd_request_begin, h,
        MHD_OPTION_NOTIFY_COMPLETED, httpd_request_complete, h, MHD_OPTION_NOTIFY_CONNECTION, httpd_on_connection, h,
        MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_CONNECTION_TIMEOUT, idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_CONNECTION_MEMORY_INCREMENT, FIRST_PIECE_BYTES,
        MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (!daemon)
        return err_set(e, ERR_IO, "libmicrohttpd did not start on %s (out of memory, threads or descriptors?)", h->url);
    h->daemons[h->n_daemons++] = daemon;
    return 0;
}

static int
start_threads(struct httpd *h, unsigned threads, struct err *e)
{
    int code = 0;
    for (unsigned i = 0; i < threads && i < HTTPD_MAX_THREADS && code == 0; i++)
        code = start_daemon(h, -1, e);
    return code ? code : httpd_keeper_start(h, e);
}

int
httpd_new(const struct httpd_options *o, struct httpd **ret_httpd, struct err *e)
{
    struct httpd *h = calloc(1, sizeof *h);
    if (!h)
        return err_no_memory(e);
    h->listen_fd = h->wake_fd = -1;
    h->handler = o->handler;
    h->context = o->context;
    h->external_loop = o->external_loop;
    h->max_body_bytes = o->max_body_bytes ? o->max_body_bytes : (size_t)1 << 20;
    h->max_connections = o->max_connections ? o->max_connections : 1000;
    h->idle_timeout_ns = (int64_t)(o->idle_timeout_s ? o->idle_timeout_s : 120) * NS_PER_S;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&h->lock, NULL);

    int code = listen_on(h, o->listen, &h->listen_fd, e);
    if (!code)
        code = o->external_loop ? start_daemon(h, h->listen_fd, e) : start_threads(h, o->threads ? o->threads : 1, e);
    if (code) {
        httpd_destroy(h);
        return code;
    }
    *ret_httpd = h;
    return 0;
}

/* Gives settled answers a moment to leave. */
static void
flush(struct httpd *h)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FLUSH_NS / NS_PER_S;
    pthread_mutex_lock(&h->lock);
    while (h->unsent > 0) {
        if (h->external_loop) {
            struct timespec now;
            pthread_mutex_unlock(&h->lock);
            MHD_run_wait(h->daemons[0], 50);
            clock_gettime(CLOCK_MONOTONIC, &now);
            pthread_mutex_lock(&h->lock);
            if (now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec))
                break;
        } else if (pthread_cond_timedwait(&h->changed, &h->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    pthread_mutex_unlock(&h->lock);
}

void
httpd_destroy(struct httpd *h)
{
    if (!h)
        return;
    atomic_store(&h->stopping, true);
    httpd_keeper_stop(h);
    if (h->external_loop && h->n_daemons > 0)
        MHD_quiesce_daemon(h->daemons[0]);
    if (h->listen_fd >= 0)
        close(h->listen_fd); /* refuses connections */
    if (h->n_daemons > 0) {
        httpd_request_answer_parked(h);
        flush(h);
    }
    for (unsigned i = 0; i < h->n_daemons; i++)
        MHD_stop_daemon(h->daemons[i]);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    free(h->url);
    free(h);
}

const char *
httpd_url(const struct httpd *h)
{
    return h->url;
}

uint16_t
httpd_port(const struct httpd *h)
{
    return h->port;
}

/* ---- the caller's loop ------------------------------------------------------------------------------------------- */

int
httpd_fd(const struct httpd *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemons[0], MHD_DAEMON_INFO_EPOLL_FD);
    return info ? info->epoll_fd : -1;
}

int64_t
httpd_wait_ms(const struct httpd *h)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    bool waits = MHD_get_timeout(h->daemons[0], &wait_ms) == MHD_YES;
    if (!h->connections)
        return waits ? (int64_t)wait_ms : -1;
    return waits && wait_ms < 1000 ? (int64_t)wait_ms : 1000;
}

void
httpd_run(struct httpd *h)
{
    httpd_close_overdue(h);
    MHD_run(h->daemons[0]);
}
