#include "lib/wiretap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define LINES_MAX   256 /* connections */
#define PIECE_BYTES 65536
#define UNREAD_NS   INT64_C(1000000000) /* a client that was not given a core may have it unread for so long */

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "wiretap: %s: %s\n", #condition, strerror(errno));                                         \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A client's connection and its own to the server. */
struct line {
    int client, server;               /* server -1: not yet */
    struct buf in, out;               /* a request, an answer, as far as they have come */
    bool asked;                       /* a request is at the server */
    int64_t answered_ns;              /* when the last answer went to the client */
    struct wiretap_exchange exchange; /* its slices point into in and out */
};

struct wiretap {
    int listen_fd, stop_fd;
    struct sockaddr_in server;
    char url[64];
    wiretap_fn *listener;
    void *context;
    pthread_t thread;
    _Atomic int64_t heard_ns;
    uint64_t exchanges;
    struct line *lines[LINES_MAX];
    size_t n;
};

static bool
send_all(int fd, struct slice s)
{
    while (s.n > 0) {
        ssize_t sent = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        s = slice_of(s.p + sent, s.n - (size_t)sent);
    }
    return true;
}

static void
tell(struct wiretap *w, enum wiretap_moment moment, struct line *l)
{
    atomic_store(&w->heard_ns, clock_monotonic_ns());
    w->listener(w->context, moment, &l->exchange);
}

/* ---- HTTP -------------------------------------------------------------------------------------------------------- */

/* A header's value in the head of a message; empty: it has none. */
static struct slice
header(struct slice head, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = head.p, *end = head.p + head.n; p && p < end;) {
        const char *stop = memchr(p, '\r', (size_t)(end - p));
        stop = stop ? stop : end;
        if ((size_t)(stop - p) > n && strncasecmp(p, name, n) == 0 && p[n] == ':') {
            p += n + 1;
            while (p < stop && *p == ' ')
                p++;
            return slice_of(p, (size_t)(stop - p));
        }
        p = stop + 2;
    }
    return slice_of(NULL, 0);
}

/* Whether a whole message has come; its head and body. */
static bool
is_whole(const struct buf *b, struct slice *ret_head, struct slice *ret_body)
{
    const char *end = b->len > 0 ? memmem(b->data, b->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return false;
    size_t head = (size_t)(end - b->data) + 4;
    *ret_head = slice_of(b->data, head);
    struct slice length = header(*ret_head, "Content-Length");
    size_t body = length.n > 0 ? strtoul(length.p, NULL, 10) : 0;
    if (b->len < head + body)
        return false;
    *ret_body = slice_of(b->data + head, body);
    return true;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static bool
connect_to_server(struct wiretap *w, struct line *l)
{
    l->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(l->server >= 0);
    setsockopt(l->server, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return connect(l->server, (struct sockaddr *)&w->server, sizeof w->server) == 0;
}

/* False: the line is to end. */
static bool
pass_request(struct wiretap *w, struct line *l)
{
    struct slice head, body;
    if (l->asked || !is_whole(&l->in, &head, &body))
        return true;
    struct slice target = header(head, "X-Amz-Target");
    const char *dot = target.n > 0 ? memchr(target.p, '.', target.n) : NULL;
    l->exchange = (struct wiretap_exchange){.number = ++w->exchanges, .request = body};
    if (dot)
        l->exchange.operation = slice_of(dot + 1, (size_t)(target.p + target.n - dot - 1));
    l->asked = true;
    tell(w, WIRETAP_ASKED, l);
    return (l->server >= 0 || connect_to_server(w, l)) && send_all(l->server, buf_slice(&l->in));
}

static bool
pass_answer(struct wiretap *w, struct line *l)
{
    struct slice head, body;
    if (!l->asked || !is_whole(&l->out, &head, &body))
        return true;
    l->exchange.status = head.n > 12 ? atoi(head.p + 9) : 0;
    l->exchange.answer = body;
    l->asked = false;
    tell(w, WIRETAP_ANSWERED, l);
    l->answered_ns = clock_monotonic_ns();
    bool closes = slice_equals_string(header(head, "Connection"), "close");
    bool ok = send_all(l->client, buf_slice(&l->out));
    buf_reset(&l->in);
    buf_reset(&l->out);
    return ok && !closes;
}

static bool
take_in(int fd, struct buf *b)
{
    static char piece[PIECE_BYTES];
    ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0)
        return false;
    buf_add(b, piece, (size_t)n);
    CHECK(!buf_failed(b));
    return true;
}

/* An answer that went to a client just before it was gone may not have been read. */
static void
end_line(struct wiretap *w, size_t i)
{
    struct line *l = w->lines[i];
    bool unread = l->answered_ns > clock_monotonic_ns() - UNREAD_NS;
    l->exchange.status = 0;
    l->exchange.answer = slice_of(NULL, 0);
    if (l->asked || unread)
        tell(w, WIRETAP_BROKEN, l);
    close(l->client);
    if (l->server >= 0)
        close(l->server);
    buf_clean_up(&l->in);
    buf_clean_up(&l->out);
    free(l);
    w->lines[i] = w->lines[--w->n];
}

static void
begin_line(struct wiretap *w)
{
    int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct line *l = calloc(1, sizeof *l);
    CHECK(l && w->n < LINES_MAX);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    l->client = fd;
    l->server = -1;
    w->lines[w->n++] = l;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* A client that has gone is gone before what it does next: all that has come is looked at before anything is passed on.
 */
static void
take_all(struct wiretap *w, const struct pollfd *fds, size_t n)
{
    for (size_t i = n; i-- > 0;) { /* from the end: a line that ends is replaced by the last one */
        struct line *l = w->lines[i];
        if ((fds[2 * i].revents && !take_in(l->client, &l->in)) ||
            (fds[2 * i + 1].revents && !take_in(l->server, &l->out)))
            end_line(w, i);
    }
}

static void
pass_all(struct wiretap *w)
{
    for (size_t i = w->n; i-- > 0;)
        if (!pass_answer(w, w->lines[i]) || !pass_request(w, w->lines[i]))
            end_line(w, i);
}

static void *
run(void *argument)
{
    struct wiretap *w = argument;
    struct pollfd fds[2 + 2 * LINES_MAX];
    for (;;) {
        size_t n = w->n;
        fds[0] = (struct pollfd){.fd = w->stop_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = w->listen_fd, .events = POLLIN};
        for (size_t i = 0; i < n; i++) {
            fds[2 + 2 * i] = (struct pollfd){.fd = w->lines[i]->client, .events = POLLIN};
            fds[3 + 2 * i] = (struct pollfd){.fd = w->lines[i]->server, .events = POLLIN};
        }
        if (poll(fds, 2 + 2 * n, -1) < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        if (fds[0].revents)
            return NULL;
        take_all(w, fds + 2, n);
        pass_all(w);
        if (fds[1].revents)
            begin_line(w);
    }
}

struct wiretap *
wiretap_start(const char *url, wiretap_fn *listener, void *context)
{
    struct wiretap *w = calloc(1, sizeof *w);
    const char *port = strrchr(url, ':');
    CHECK(w && port);
    w->listener = listener;
    w->context = context;
    w->server = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port + 1)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    w->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    w->stop_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(w->listen_fd >= 0 && w->stop_fd >= 0);
    CHECK(bind(w->listen_fd, (struct sockaddr *)&a, size) == 0 && listen(w->listen_fd, 128) == 0);
    CHECK(getsockname(w->listen_fd, (struct sockaddr *)&a, &size) == 0);
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
    return w;
}

void
wiretap_stop(struct wiretap *w)
{
    if (!w)
        return;
    CHECK(eventfd_write(w->stop_fd, 1) == 0);
    pthread_join(w->thread, NULL);
    while (w->n > 0)
        end_line(w, w->n - 1);
    close(w->listen_fd);
    close(w->stop_fd);
    free(w);
}

const char *
wiretap_url(const struct wiretap *w)
{
    return w->url;
}

int64_t
wiretap_heard_ns(const struct wiretap *w)
{
    return atomic_load(&w->heard_ns);
}
