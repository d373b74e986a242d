#include "lib/raw_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
raw_http_dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void
raw_http_say_bytes(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* the server may close on what it refuses; what it answered is read afterwards */
        p += sent;
        n -= (size_t)sent;
    }
}

void
raw_http_say(int fd, const char *text)
{
    raw_http_say_bytes(fd, text, strlen(text));
}

bool
raw_http_hear_more(int fd, struct buf *heard)
{
    char piece[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, RAW_HTTP_WAIT_MS), 1);
    ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n > 0)
        buf_add(heard, piece, (size_t)n);
    return n > 0;
}

void
raw_http_hear_all(int fd, struct buf *heard)
{
    buf_add_string(heard, "");
    while (raw_http_hear_more(fd, heard))
        ;
}

void
raw_http_hear_answer(int fd, bool head, struct buf *heard)
{
    const char *end;
    buf_reset(heard);
    while (!heard->data || !(end = strstr(heard->data, "\r\n\r\n")))
        assert_true(raw_http_hear_more(fd, heard));
    size_t header_n = (size_t)(end - heard->data) + 4;
    const char *length = strcasestr(heard->data, "\r\nContent-Length:");
    size_t body_n = length && length < end && !head ? strtoul(length + 17, NULL, 10) : 0;
    while (heard->len < header_n + body_n)
        assert_true(raw_http_hear_more(fd, heard));
    assert_int_equal(heard->len, header_n + body_n);
}

int
raw_http_status(const struct buf *heard)
{
    return heard->len > 12 ? atoi(heard->data + 9) : 0;
}

const char *
raw_http_body(const struct buf *heard)
{
    const char *end = heard->data ? strstr(heard->data, "\r\n\r\n") : NULL;
    return end ? end + 4 : "";
}

void
raw_http_ask(struct httpd *h, const char *request, struct buf *heard)
{
    int fd = raw_http_dial(httpd_port(h));
    raw_http_say(fd, request);
    raw_http_hear_answer(fd, strncmp(request, "HEAD", 4) == 0, heard);
    close(fd);
}

void
raw_http_echo(void *context, struct httpd_request *r)
{
    (void)context;
    struct buf text = BUF_INIT;
    buf_add_format(&text, "%.*s|%.*s|%.*s|%.*s", SLICE_ARG(httpd_method(r)), SLICE_ARG(httpd_path(r)),
                   SLICE_ARG(httpd_query(r)), SLICE_ARG(httpd_body(r)));
    for (size_t i = 0; i < httpd_header_count(r); i++) {
        struct slice name, value;
        httpd_header_at(r, i, &name, &value);
        buf_add_format(&text, "|%.*s=%.*s", SLICE_ARG(name), SLICE_ARG(value));
    }
    struct httpd_header_out headers[] = {{"X-Loopback", httpd_peer_is_loopback(r) ? "yes" : "no"}};
    httpd_answer(
        r,
        &(struct httpd_answer){
            .status = 200, .content_type = "text/plain", .headers = headers, .n_headers = 1, .body = buf_slice(&text)});
    buf_clean_up(&text);
}

struct httpd *
raw_http_serve(struct httpd_options o)
{
    struct httpd *h = NULL;
    struct err e = {0};
    o.listen = o.listen ? o.listen : "127.0.0.1:0";
    o.handler = o.handler ? o.handler : raw_http_echo;
    if (httpd_new(&o, &h, &e) != 0)
        fail_msg("%s", e.text);
    return h;
}
