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
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            perror(#condition);                                                                                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define HANDLE_START  "AQEB"
#define NUMBER_DIGITS 12

struct connection {
    int fd;
    struct buf in;
    int64_t held_until_ms; /* a long poll with nothing to bring; 0: none */
    struct connection *next, **link;
};

struct canned_sqs {
    pthread_t thread;
    int listen_fd, epoll_fd, wake_fd;
    atomic_bool stopping, released;
    char url[64];
    uint64_t messages;
    struct buf message; /* one of an answer's messages, its number still to be written at the two places */
    size_t id_at, handle_at;
    bool *is_deleted; /* by number */
    struct connection *connections;
    struct buf out, json;
    _Atomic uint64_t sent, deleted, requests;
    _Atomic int64_t first_receive_ns;
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

static uint64_t
number_after(struct slice body, const char *key, uint64_t otherwise)
{
    const char *at = memmem(body.p, body.n, key, strlen(key));
    return at ? strtoull(at + strlen(key), NULL, 10) : otherwise;
}

static void
write_number(char *at, uint64_t number)
{
    for (int i = NUMBER_DIGITS - 1; i >= 0; i--, number >>= 4)
        at[i] = "0123456789abcdef"[number & 15];
}

/* False: a long poll that has to wait. */
static bool
receive(struct canned_sqs *s, struct connection *c, struct slice body)
{
    if (atomic_load(&s->first_receive_ns) == 0)
        atomic_store(&s->first_receive_ns, clock_monotonic_ns());
    uint64_t n = number_after(body, "\"MaxNumberOfMessages\":", 1);
    uint64_t left = s->messages - atomic_load(&s->sent);
    uint64_t wait_s = number_after(body, "\"WaitTimeSeconds\":", 0);
    n = n < left ? n : left;
    if (n == 0 && wait_s > 0 && !atomic_load(&s->released)) {
        c->held_until_ms = clock_monotonic_ms() + (int64_t)wait_s * 1000;
        return false;
    }
    buf_add_string(&s->json, n > 0 ? "{\"Messages\":[" : "{");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = atomic_fetch_add(&s->sent, 1);
        if (i > 0)
            buf_add_char(&s->json, ',');
        size_t at = s->json.len;
        buf_add_slice(&s->json, buf_slice(&s->message));
        CHECK(!buf_failed(&s->json));
        write_number(s->json.data + at + s->id_at, number);
        write_number(s->json.data + at + s->handle_at, number);
    }
    buf_add_string(&s->json, n > 0 ? "]}" : "}");
    return true;
}

/* A message counts as deleted once, however often it is. */
static void
note_deletes(struct canned_sqs *s, struct slice body)
{
    const char *end = body.p + body.n;
    for (const char *p = body.p; (p = memmem(p, (size_t)(end - p), HANDLE_START, strlen(HANDLE_START)));) {
        p += strlen(HANDLE_START);
        uint64_t number = strtoull(p, NULL, 16);
        CHECK(number < s->messages);
        if (!s->is_deleted[number])
            atomic_fetch_add(&s->deleted, 1);
        s->is_deleted[number] = true;
    }
}

static void
batch(struct canned_sqs *s, struct slice body)
{
    size_t n = count(body, "\"Id\":");
    buf_add_string(&s->json, "{\"Successful\":[");
    for (size_t i = 0; i < n; i++)
        buf_add_format(&s->json, "%s{\"Id\":\"%zu\"}", i > 0 ? "," : "", i);
    buf_add_string(&s->json, "]}");
}

/* Puts s->json on the wire. */
static void
finish(struct canned_sqs *s)
{
    buf_reset(&s->out);
    buf_add_format(&s->out,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n"
                   "x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n\r\n",
                   s->json.len);
    buf_add_slice(&s->out, buf_slice(&s->json));
    CHECK(!buf_failed(&s->out));
}

/* False: not now. */
static bool
answer(struct canned_sqs *s, struct connection *c, struct slice head, struct slice body)
{
    buf_reset(&s->json);
    atomic_fetch_add(&s->requests, 1);
    if (memmem(head.p, head.n, "AmazonSQS.ReceiveMessage", 24)) {
        if (!receive(s, c, body))
            return false;
    } else if (memmem(head.p, head.n, "AmazonSQS.DeleteMessageBatch", 28)) {
        note_deletes(s, body);
        batch(s, body);
    } else if (memmem(head.p, head.n, "AmazonSQS.ChangeMessageVisibilityBatch", 38)) {
        batch(s, body);
    } else if (memmem(head.p, head.n, "AmazonSQS.GetQueueUrl", 21)) {
        buf_add_format(&s->json, "{\"QueueUrl\":\"%s/000000000000/bench\"}", s->url);
    } else {
        buf_add_string(&s->json, "{\"Attributes\":{\"VisibilityTimeout\":\"30\"}}");
    }
    finish(s);
    return true;
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
        bool answered = answer(s, c, slice_of(c->in.data, head), slice_of(c->in.data + head, body));
        buf_consume(&c->in, head + body);
        if (answered && !write_all(c->fd, buf_slice(&s->out)))
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
accept_one(struct canned_sqs *s)
{
    struct connection *c = calloc(1, sizeof *c);
    int one = 1;
    CHECK(c && (c->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    add(s->epoll_fd, c->fd, c);
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
}

static void
drop(struct connection *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    close(c->fd);
    buf_clean_up(&c->in);
    free(c);
}

/* Answers the long polls that are over. Returns how long the next one has to wait, -1: there is none. */
static int
end_polls(struct canned_sqs *s)
{
    int64_t now_ms = clock_monotonic_ms(), next_ms = -1;
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (c->held_until_ms == 0)
            continue;
        int64_t left_ms = atomic_load(&s->released) ? 0 : c->held_until_ms - now_ms;
        if (left_ms > 0) {
            next_ms = next_ms < 0 || left_ms < next_ms ? left_ms : next_ms;
            continue;
        }
        c->held_until_ms = 0;
        buf_reset(&s->json);
        buf_add_string(&s->json, "{}");
        finish(s);
        if (!write_all(c->fd, buf_slice(&s->out)))
            drop(c);
    }
    return (int)next_ms;
}

static void
wake_up(struct canned_sqs *s)
{
    uint64_t n;
    CHECK(read(s->wake_fd, &n, sizeof n) == sizeof n);
}

static void *
run(void *argument)
{
    struct canned_sqs *s = argument;
    struct epoll_event events[64];
    while (!atomic_load(&s->stopping)) {
        int n = epoll_wait(s->epoll_fd, events, 64, end_polls(s));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &s->wake_fd)
                wake_up(s);
            else if (events[i].data.ptr == &s->listen_fd)
                accept_one(s);
            else if (!readable(s, events[i].data.ptr))
                drop(events[i].data.ptr);
        }
    }
    return NULL;
}

/* ---- life ---- */

static void
make_message(struct canned_sqs *s, size_t body_bytes)
{
    struct buf body = BUF_INIT, *m = &s->message;
    char md5[DIGEST_MD5_HEX];
    buf_add_string(&body,
                   "{\"version\":\"0\",\"id\":\"6a7e8feb-b491-4cf7-a9f1-bf3703467718\",\"detail-type\":"
                   "\"BufferedEvent\",\"source\":\"buffer.source\",\"account\":\"000000000000\",\"time\":"
                   "\"2026-11-20T06:00:00Z\",\"region\":\"us-east-1\",\"resources\":[],\"detail\":{\"user_id\":123,"
                   "\"action\":\"signup\",\"note\":\"");
    while (body.len + 3 < body_bytes)
        buf_add_char(&body, (char)('a' + body.len % 26));
    buf_add_string(&body, "\"}}");
    digest_md5_hex(body.data, body.len, md5);

    buf_add_string(m, "{\"MessageId\":\"00000000-0000-4000-8000-");
    s->id_at = m->len;
    buf_add_string(m, "000000000000\",\"ReceiptHandle\":\"" HANDLE_START);
    s->handle_at = m->len;
    buf_add_string(m, "000000000000-nJKyrHigUMZj6rYigCgxlfaGuVp3ltc2Ptfh2TlYPG1VhdDOiMqSSxGPeQv8kHyMsdHI3hxJDlsNlm2g"
                      "Gqsc2mJFwCOEJSo3UzwGvGJvzq4tEWqBUq3rvaQZN4mVMNAPcUiETg7vVKSnN9OfX8TZsmKdHiB6qQTSxB3YbKmDR0mSk"
                      "\",\"MD5OfBody\":\"");
    buf_add_string(m, md5);
    buf_add_string(m, "\",\"Attributes\":{\"ApproximateReceiveCount\":\"1\",\"SentTimestamp\":\"1763700000000\"},"
                      "\"Body\":");
    json_write_string(m, buf_slice(&body));
    buf_add_char(m, '}');
    CHECK(!buf_failed(&body) && !buf_failed(m));
    buf_clean_up(&body);
}

struct canned_sqs *
canned_sqs_start(uint64_t messages, size_t body_bytes)
{
    struct canned_sqs *s = calloc(1, sizeof *s);
    CHECK(s && (s->is_deleted = calloc(messages + 1, sizeof *s->is_deleted)));
    s->messages = messages;
    make_message(s, body_bytes);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    CHECK(s->listen_fd >= 0 && bind(s->listen_fd, (struct sockaddr *)&a, sizeof a) == 0 &&
          listen(s->listen_fd, 256) == 0 && getsockname(s->listen_fd, (struct sockaddr *)&a, &n) == 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    CHECK((s->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    CHECK((s->wake_fd = eventfd(0, EFD_CLOEXEC)) >= 0);
    add(s->epoll_fd, s->listen_fd, &s->listen_fd);
    add(s->epoll_fd, s->wake_fd, &s->wake_fd);
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

static void
wake(struct canned_sqs *s, atomic_bool *flag)
{
    uint64_t one = 1;
    atomic_store(flag, true);
    CHECK(write(s->wake_fd, &one, sizeof one) == sizeof one);
}

void
canned_sqs_release(struct canned_sqs *s)
{
    wake(s, &s->released);
}

void
canned_sqs_stop(struct canned_sqs *s)
{
    wake(s, &s->stopping);
    pthread_join(s->thread, NULL);
    close(s->listen_fd);
    close(s->epoll_fd);
    close(s->wake_fd);
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        drop(c);
    }
    buf_clean_up(&s->message);
    buf_clean_up(&s->out);
    buf_clean_up(&s->json);
    free(s->is_deleted);
    free(s);
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

int64_t
canned_sqs_first_receive_ns(const struct canned_sqs *s)
{
    return atomic_load(&s->first_receive_ns);
}

uint64_t
canned_sqs_requests(const struct canned_sqs *s)
{
    return atomic_load(&s->requests);
}
