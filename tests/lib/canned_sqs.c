#include "lib/canned_sqs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            perror(#condition);                                                                                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct connection {
    int fd;
    struct buf in;
};

struct canned_sqs {
    pthread_t thread;
    int listen_fd, epoll_fd, stop_fd;
    char url[64];
    uint64_t messages;
    struct buf body; /* as a JSON string */
    char md5[DIGEST_MD5_HEX];
    struct buf out, json;
    _Atomic uint64_t sent, deleted, requests;
};

static void
add(int epoll_fd, int fd, void *data)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = data};
    CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0);
}

/* ---- answers ---- */

static size_t
count(struct slice text, const char *needle)
{
    size_t n = 0;
    for (const char *p = memmem(text.p, text.n, needle, strlen(needle)); p;
         p = memmem(p + 1, text.n - (size_t)(p + 1 - text.p), needle, strlen(needle)))
        n++;
    return n;
}

static void
receive(struct canned_sqs *s, struct slice body)
{
    const char *max = memmem(body.p, body.n, "\"MaxNumberOfMessages\":", 22);
    uint64_t n = max ? strtoul(max + 22, NULL, 10) : 1;
    uint64_t left = s->messages - atomic_load(&s->sent);
    n = n < left ? n : left;
    if (n == 0) {
        buf_add_string(&s->json, "{}");
        return;
    }
    buf_add_string(&s->json, "{\"Messages\":[");
    for (uint64_t i = 0; i < n; i++) {
        unsigned long long number = atomic_fetch_add(&s->sent, 1);
        buf_add_format(
            &s->json,
            "%s{\"MessageId\":\"00000000-0000-4000-8000-%012llx\",\"ReceiptHandle\":\"AQEBwJnKyrHigUMZj6rYigCgx"
            "lfaGuVp3ltc2Ptfh2TlYPG1VhdDOiMqSSxGPeQv8kHyMsdHI3hxJDlsNlm2gGqsc2mJFwCOEJSo3UzwGvGJvzq4tEWqBUq3r"
            "vaQZN4mVMNAPcUiETg7vVKSnN9OfX8TZsmKdHiB6qQTSxB3YbKmDR0mSkaGjlYcsMuYpLm8lXqnGm5FfPzX0S6pDm%012llx"
            "\",\"MD5OfBody\":\"%s\",\"Attributes\":{\"ApproximateReceiveCount\":\"1\",\"SentTimestamp\":"
            "\"1763700000000\"},\"Body\":",
            i > 0 ? "," : "", number, number, s->md5);
        buf_add_slice(&s->json, buf_slice(&s->body));
        buf_add_char(&s->json, '}');
    }
    buf_add_string(&s->json, "]}");
}

static void
batch(struct canned_sqs *s, struct slice body, _Atomic uint64_t *counter)
{
    size_t n = count(body, "\"Id\":");
    buf_add_string(&s->json, "{\"Successful\":[");
    for (size_t i = 0; i < n; i++)
        buf_add_format(&s->json, "%s{\"Id\":\"%zu\"}", i > 0 ? "," : "", i);
    buf_add_string(&s->json, "]}");
    if (counter)
        atomic_fetch_add(counter, n);
}

static void
answer(struct canned_sqs *s, struct slice head, struct slice body)
{
    buf_reset(&s->json);
    atomic_fetch_add(&s->requests, 1);
    if (memmem(head.p, head.n, "AmazonSQS.ReceiveMessage", 24))
        receive(s, body);
    else if (memmem(head.p, head.n, "AmazonSQS.DeleteMessageBatch", 28))
        batch(s, body, &s->deleted);
    else if (memmem(head.p, head.n, "AmazonSQS.ChangeMessageVisibilityBatch", 38))
        batch(s, body, NULL);
    else if (memmem(head.p, head.n, "AmazonSQS.GetQueueUrl", 21))
        buf_add_format(&s->json, "{\"QueueUrl\":\"%s/000000000000/bench\"}", s->url);
    else
        buf_add_string(&s->json, "{\"Attributes\":{\"VisibilityTimeout\":\"30\"}}");
    buf_reset(&s->out);
    buf_add_format(&s->out,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n"
                   "x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n\r\n",
                   s->json.len);
    buf_add_slice(&s->out, buf_slice(&s->json));
    CHECK(!buf_failed(&s->out));
}

/* ---- connections ---- */

static bool
write_all(int fd, struct slice s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = slice_of(s.p + n, s.n - (size_t)n);
    }
    return true;
}

/* Answers every complete request; false: the connection is over. */
static bool
serve(struct canned_sqs *s, struct connection *c)
{
    for (;;) {
        if (c->in.len == 0)
            return true;
        const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
        if (!end)
            return true;
        size_t head = (size_t)(end + 4 - c->in.data);
        const char *length = strcasestr(c->in.data, "\r\ncontent-length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (c->in.len < head + body)
            return true;
        answer(s, slice_of(c->in.data, head), slice_of(c->in.data + head, body));
        buf_consume(&c->in, head + body);
        if (!write_all(c->fd, buf_slice(&s->out)))
            return false;
    }
}

static bool
readable(struct canned_sqs *s, struct connection *c)
{
    if (!buf_reserve(&c->in, 65536))
        return false;
    ssize_t n = recv(c->fd, c->in.data + c->in.len, 65535, 0);
    if (n <= 0)
        return false;
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    return serve(s, c);
}

static void
drop(struct connection *c)
{
    close(c->fd);
    buf_clean_up(&c->in);
    free(c);
}

static void *
run(void *argument)
{
    struct canned_sqs *s = argument;
    struct epoll_event events[64];
    for (;;) {
        int n = epoll_wait(s->epoll_fd, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &s->stop_fd)
                return NULL;
            if (events[i].data.ptr == &s->listen_fd) {
                struct connection *c = calloc(1, sizeof *c);
                int one = 1;
                CHECK(c && (c->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
                setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                add(s->epoll_fd, c->fd, c);
            } else if (!readable(s, events[i].data.ptr)) {
                drop(events[i].data.ptr);
            }
        }
    }
}

/* ---- life ---- */

static void
make_body(struct canned_sqs *s, size_t bytes)
{
    struct buf text = BUF_INIT;
    buf_add_string(&text,
                   "{\"version\":\"0\",\"id\":\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\",\"detail-type\":"
                   "\"BufferedEvent\",\"source\":\"buffer.source\",\"account\":\"000000000000\",\"time\":"
                   "\"2026-11-20T06:00:00Z\",\"region\":\"us-east-1\",\"resources\":[],\"detail\":{\"user_id\":123,"
                   "\"action\":\"signup\",\"note\":\"");
    while (text.len + 3 < bytes)
        buf_add_char(&text, (char)('a' + text.len % 26));
    buf_add_string(&text, "\"}}");
    digest_md5_hex(text.data, text.len, s->md5);
    json_write_string(&s->body, buf_slice(&text));
    CHECK(!buf_failed(&text) && !buf_failed(&s->body));
    buf_clean_up(&text);
}

struct canned_sqs *
canned_sqs_start(uint64_t messages, size_t body_bytes)
{
    struct canned_sqs *s = calloc(1, sizeof *s);
    CHECK(s);
    s->messages = messages;
    make_body(s, body_bytes);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    CHECK(s->listen_fd >= 0 && bind(s->listen_fd, (struct sockaddr *)&a, sizeof a) == 0 &&
          listen(s->listen_fd, 256) == 0 && getsockname(s->listen_fd, (struct sockaddr *)&a, &n) == 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    CHECK((s->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    CHECK((s->stop_fd = eventfd(0, EFD_CLOEXEC)) >= 0);
    add(s->epoll_fd, s->listen_fd, &s->listen_fd);
    add(s->epoll_fd, s->stop_fd, &s->stop_fd);
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

void
canned_sqs_stop(struct canned_sqs *s)
{
    uint64_t one = 1;
    CHECK(write(s->stop_fd, &one, sizeof one) == sizeof one);
    pthread_join(s->thread, NULL);
    close(s->listen_fd);
    close(s->epoll_fd);
    close(s->stop_fd);
    buf_clean_up(&s->body);
    buf_clean_up(&s->out);
    buf_clean_up(&s->json);
    free(s); /* connections go with the process */
}

const char *
canned_sqs_url(const struct canned_sqs *s)
{
    return s->url;
}

uint64_t
canned_sqs_left(const struct canned_sqs *s)
{
    return s->messages - atomic_load(&s->deleted);
}

uint64_t
canned_sqs_requests(const struct canned_sqs *s)
{
    return atomic_load(&s->requests);
}
