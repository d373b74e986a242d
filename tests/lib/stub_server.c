#include "lib/stub_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
    int fd;
    struct buf in;
    struct stub_answer answer;
    bool answering; /* answer is on its way, or held */
    size_t sent;
    bool silent; /* hanging: nothing is read or written any more */
};

struct stub_server {
    stub_handler *handler;
    void *context;
    int listener, wake;
    int port;
    char url[64];
    pthread_t thread;
    struct connection *connections;
    size_t n, capacity;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t progress;
    bool stopping, released;
    char **requests;
    size_t n_requests, n_accepted;
};

static void
need(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "stub_server: %s: %s\n", what, strerror(errno));
    abort();
}

/* ---- one connection -----------------------------------------------------------------------------------------------
 */

static void
drop(struct stub_server *s, size_t i, bool reset)
{
    struct connection *c = &s->connections[i];
    if (reset) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    close(c->fd);
    buf_clean_up(&c->in);
    buf_clean_up(&c->answer.bytes);
    s->connections[i] = s->connections[--s->n];
}

static struct slice
header_of(struct slice head, const char *name)
{
    size_t n = strlen(name);
    const char *end = head.p + head.n;
    for (const char *line = head.p; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        if ((size_t)(next - line) > n && line[n] == ':' && strncasecmp(line, name, n) == 0) {
            const char *p = line + n + 1, *q = next;
            while (p < q && *p == ' ')
                p++;
            while (q > p && (q[-1] == '\r' || q[-1] == '\n'))
                q--;
            return slice_of(p, (size_t)(q - p));
        }
        line = next;
    }
    return slice_of(NULL, 0);
}

static struct slice
word(struct slice *rest)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\r')
        n++;
    struct slice w = slice_of(rest->p, n);
    size_t skip = n < rest->n ? n + 1 : n;
    *rest = slice_of(rest->p + skip, rest->n - skip);
    return w;
}

/* Hands a complete request to the handler; false when there is none yet. */
static bool
serve(struct stub_server *s, struct connection *c)
{
    if (c->answering || c->silent || c->in.len == 0)
        return false;
    const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
    if (!end)
        return false;
    struct stub_request rq = {.head = slice_of(c->in.data, (size_t)(end - c->in.data) + 4)};
    struct slice length = header_of(rq.head, "content-length");
    size_t n = length.n ? strtoul(length.p, NULL, 10) : 0;
    if (c->in.len < rq.head.n + n)
        return false;
    struct slice rest = rq.head;
    rq.method = word(&rest);
    rq.target = word(&rest);
    rq.body = slice_of(c->in.data + rq.head.n, n);

    pthread_mutex_lock(&s->lock);
    rq.index = s->n_requests;
    s->requests = realloc(s->requests, (s->n_requests + 1) * sizeof *s->requests);
    need(s->requests, "no memory");
    s->requests[s->n_requests] = strndup(c->in.data, rq.head.n + n);
    pthread_mutex_unlock(&s->lock);

    c->answer = (struct stub_answer){.then = STUB_KEEP};
    s->handler(s->context, &rq, &c->answer);
    need(!buf_failed(&c->answer.bytes), "no memory");
    c->answering = true;
    c->sent = 0;
    buf_consume(&c->in, rq.head.n + n);

    pthread_mutex_lock(&s->lock);
    s->n_requests++;
    pthread_cond_broadcast(&s->progress);
    pthread_mutex_unlock(&s->lock);
    return true;
}

enum outcome { GOES_ON, GONE };

static enum outcome
write_answer(struct stub_server *s, size_t i, bool released)
{
    struct connection *c = &s->connections[i];
    if (!c->answering || c->silent || (c->answer.hold && !released))
        return GOES_ON;
    while (c->sent < c->answer.bytes.len) {
        ssize_t n = send(c->fd, c->answer.bytes.data + c->sent, c->answer.bytes.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return GOES_ON;
        if (n < 0) {
            drop(s, i, false);
            return GONE;
        }
        c->sent += (size_t)n;
    }
    buf_clean_up(&c->answer.bytes);
    c->answering = false;
    switch (c->answer.then) {
    case STUB_CLOSE:
    case STUB_RESET:
        drop(s, i, c->answer.then == STUB_RESET);
        return GONE;
    case STUB_HANG:
        c->silent = true;
        return GOES_ON;
    case STUB_KEEP:
        break;
    }
    return GOES_ON;
}

static enum outcome
read_request(struct stub_server *s, size_t i)
{
    struct connection *c = &s->connections[i];
    char piece[65536];
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    if (n < 0 && errno == EAGAIN)
        return GOES_ON;
    if (n <= 0) {
        drop(s, i, false);
        return GONE;
    }
    buf_add(&c->in, piece, (size_t)n);
    return GOES_ON;
}

/* ---- the thread ---------------------------------------------------------------------------------------------------
 */

static void
accept_all(struct stub_server *s)
{
    int fd;
    while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (s->n == s->capacity) {
            s->capacity = s->capacity ? s->capacity * 2 : 16;
            s->connections = realloc(s->connections, s->capacity * sizeof *s->connections);
            need(s->connections, "no memory");
        }
        s->connections[s->n++] = (struct connection){.fd = fd};
        pthread_mutex_lock(&s->lock);
        s->n_accepted++;
        pthread_mutex_unlock(&s->lock);
    }
}

static void *
run(void *argument)
{
    struct stub_server *s = argument;
    struct pollfd *fds = NULL;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        bool stopping = s->stopping, released = s->released;
        pthread_mutex_unlock(&s->lock);
        if (stopping)
            break;
        for (size_t i = s->n; i-- > 0;)
            while (write_answer(s, i, released) == GOES_ON && serve(s, &s->connections[i]))
                ;
        free(fds);
        fds = malloc((s->n + 2) * sizeof *fds);
        need(fds, "no memory");
        fds[0] = (struct pollfd){.fd = s->listener, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = s->wake, .events = POLLIN};
        for (size_t i = 0; i < s->n; i++) {
            struct connection *c = &s->connections[i];
            bool writing = c->answering && !c->silent && (!c->answer.hold || released);
            fds[2 + i] = (struct pollfd){.fd = c->fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0))};
        }
        size_t n = s->n;
        need(poll(fds, n + 2, -1) >= 0 || errno == EINTR, "poll");
        if (fds[1].revents) {
            uint64_t count;
            need(read(s->wake, &count, sizeof count) == sizeof count, "eventfd");
        }
        for (size_t i = n; i-- > 0;) /* from the end: drop() moves the last one into the gap */
            if (fds[2 + i].revents & (POLLIN | POLLHUP | POLLERR))
                read_request(s, i);
        if (fds[0].revents)
            accept_all(s);
    }
    free(fds);
    return NULL;
}

/* ---- for the test -------------------------------------------------------------------------------------------------
 */

struct stub_server *
stub_server_start(stub_handler *handler, void *context)
{
    return stub_server_start_at(0, handler, context);
}

int
stub_server_refusing_port(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(*ret_fd >= 0 && bind(*ret_fd, (struct sockaddr *)&address, size) == 0 &&
             getsockname(*ret_fd, (struct sockaddr *)&address, &size) == 0,
         "a port");
    return ntohs(address.sin_port);
}

struct stub_server *
stub_server_start_at(int port, stub_handler *handler, void *context)
{
    struct stub_server *s = calloc(1, sizeof *s);
    need(s, "no memory");
    s->handler = handler;
    s->context = context;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->progress, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    need(s->listener >= 0 && bind(s->listener, (struct sockaddr *)&address, size) == 0 &&
             listen(s->listener, 1024) == 0 && getsockname(s->listener, (struct sockaddr *)&address, &size) == 0,
         "listening");
    s->port = ntohs(address.sin_port);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", s->port);
    s->wake = eventfd(0, EFD_CLOEXEC);
    need(s->wake >= 0, "eventfd");
    need(pthread_create(&s->thread, NULL, run, s) == 0, "thread");
    return s;
}

static void
wake(struct stub_server *s)
{
    uint64_t one = 1;
    need(write(s->wake, &one, sizeof one) == sizeof one, "eventfd");
}

void
stub_server_stop(struct stub_server *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    pthread_join(s->thread, NULL);
    while (s->n > 0)
        drop(s, s->n - 1, false);
    for (size_t i = 0; i < s->n_requests; i++)
        free(s->requests[i]);
    free(s->requests);
    free(s->connections);
    close(s->listener);
    close(s->wake);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->progress);
    free(s);
}

const char *
stub_server_url(const struct stub_server *s)
{
    return s->url;
}

int
stub_server_port(const struct stub_server *s)
{
    return s->port;
}

void
stub_server_release(struct stub_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->released = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
}

size_t
stub_server_requests(struct stub_server *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->n_requests;
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t
stub_server_connections(struct stub_server *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->n_accepted;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void
stub_server_wait_requests(struct stub_server *s, size_t n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&s->lock);
    while (s->n_requests < n)
        if (pthread_cond_timedwait(&s->progress, &s->lock, &until) == ETIMEDOUT) {
            fprintf(stderr, "stub_server: %zu requests came in 20 s where %zu were awaited\n", s->n_requests, n);
            abort();
        }
    pthread_mutex_unlock(&s->lock);
}

const char *
stub_server_request(struct stub_server *s, size_t i)
{
    pthread_mutex_lock(&s->lock);
    const char *text = i < s->n_requests ? s->requests[i] : NULL;
    pthread_mutex_unlock(&s->lock);
    return text;
}

const char *
stub_server_request_header(struct stub_server *s, size_t i, const char *name, char *out, size_t out_bytes)
{
    const char *text = stub_server_request(s, i);
    const char *end = text ? strstr(text, "\r\n\r\n") : NULL;
    struct slice value = end ? header_of(slice_of(text, (size_t)(end - text) + 2), name) : slice_of(NULL, 0);
    snprintf(out, out_bytes, "%.*s", SLICE_ARG(value));
    return out;
}

void
stub_answer_http(struct stub_answer *a, int status, const char *headers, const char *body)
{
    buf_add_format(&a->bytes, "HTTP/1.1 %d Status\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body),
                   body);
}
