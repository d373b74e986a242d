#include "httpd/probe.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/slice.h"
#include "httpd/httpd_impl.h"

#define MAX_BYTES  ((size_t)64 << 10)
#define TIMEOUT_MS 5000 /* of httpd_probe_main: below the 10 s of the images' HEALTHCHECK */

static int
failed_at(struct err *e, const char *what, const char *listen, int timeout_ms)
{
    if (errno == EAGAIN || errno == EINPROGRESS)
        return err_set(e, ERR_TIMEOUT, "%s: no %s within %d ms", listen, what, timeout_ms);
    if (errno == ECONNREFUSED)
        return err_set(e, ERR_UNAVAILABLE, "%s: nobody listens there", listen);
    return err_set_errno(e, errno, "%s: no %s", listen, what);
}

/* receive_ms 0: no limit. */
static int
open_connection(const char *listen, int timeout_ms, int receive_ms, int *ret_fd, struct err *e)
{
    char host[256], port[8];
    int code = httpd_split_listen(listen, host, sizeof host, port, sizeof port, e);
    if (code)
        return code;
    if (atoi(port) == 0)
        return err_set(e, ERR_INVALID, "listen address \"%s\": port 0 is any port; give a number to be asked on",
                       listen);
    const char *name = strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(host, "::") == 0 ? "::1" : host;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    int failed = getaddrinfo(name, port, &hints, &found);
    if (failed)
        return err_set(e, ERR_INVALID, "listen address \"%s\": %s", listen, gai_strerror(failed));
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000L};
    struct timeval receive = {.tv_sec = receive_ms / 1000, .tv_usec = receive_ms % 1000 * 1000L};
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive) != 0 ||
        connect(fd, found->ai_addr, found->ai_addrlen) != 0)
        code = failed_at(e, "connection", listen, timeout_ms);
    freeaddrinfo(found);
    if (code && fd >= 0)
        close(fd);
    if (!code)
        *ret_fd = fd;
    return code;
}

static int
exchange(int fd, const char *listen, struct slice request, int timeout_ms, struct buf *answer, struct err *e)
{
    ssize_t n = send(fd, request.p, request.n, MSG_NOSIGNAL);
    bool sent = n == (ssize_t)request.n;
    while (sent && answer->len < MAX_BYTES &&
           (n = recv(fd, answer->data + answer->len, MAX_BYTES - answer->len, 0)) > 0)
        answer->len += (size_t)n;
    return !sent || n < 0 ? failed_at(e, "answer", listen, timeout_ms) : 0;
}

static int
parse(const char *listen, struct slice answer, int *ret_status, struct slice *ret_body, struct err *e)
{
    static const char START[] = "HTTP/1.1 ";
    const char *end = answer.n > 0 ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;
    if (!end || answer.n < sizeof START + 3 || memcmp(answer.p, START, sizeof START - 1) != 0)
        return err_set(e, ERR_PROTOCOL, "%s: what answers there speaks no HTTP", listen);
    *ret_status = atoi(answer.p + sizeof START - 1);
    *ret_body = slice_of(end + 4, (size_t)(answer.p + answer.n - end - 4));
    return 0;
}

static int
ask(const char *listen, const struct buf *request, int timeout_ms, int receive_ms, int *ret_status,
    struct buf *ret_body, struct err *e)
{
    struct buf answer = BUF_INIT;
    struct slice body;
    int fd = -1;
    int code = buf_failed(request) ? err_no_memory(e) : open_connection(listen, timeout_ms, receive_ms, &fd, e);
    if (code)
        return code;
    code = buf_reserve(&answer, MAX_BYTES) ? exchange(fd, listen, buf_slice(request), timeout_ms, &answer, e)
                                           : err_no_memory(e);
    close(fd);
    if (!code)
        code = parse(listen, buf_slice(&answer), ret_status, &body, e);
    if (!code)
        buf_add_slice(ret_body, body);
    buf_clean_up(&answer);
    return code;
}

int
httpd_probe(const char *listen, const char *path, int timeout_ms, int *ret_status, struct buf *ret_body, struct err *e)
{
    struct buf request = BUF_INIT;
    buf_add_format(&request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, listen);
    int code = ask(listen, &request, timeout_ms, timeout_ms, ret_status, ret_body, e);
    buf_clean_up(&request);
    return code;
}

int
httpd_post(const char *listen, const char *path, const char *token, struct slice body, int *ret_status,
           struct buf *ret_body, struct err *e)
{
    struct buf request = BUF_INIT;
    buf_add_format(&request, "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n", path,
                   listen, body.n);
    if (*token)
        buf_add_format(&request, "Authorization: Bearer %s\r\n", token);
    buf_add_string(&request, "\r\n");
    buf_add_slice(&request, body);
    int code = ask(listen, &request, TIMEOUT_MS, 0, ret_status, ret_body, e);
    buf_wipe(&request);
    return code;
}

int
httpd_probe_main(const char *program, const char *listen, const char *path)
{
    struct err e;
    struct buf body = BUF_INIT;
    int status = 0;
    if (httpd_probe(listen, path, TIMEOUT_MS, &status, &body, &e) != 0)
        fprintf(stderr, "%s: unhealthy: %s\n", program, e.text);
    else
        fwrite(body.data, 1, body.len, stdout);
    buf_clean_up(&body);
    return status == 200 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
