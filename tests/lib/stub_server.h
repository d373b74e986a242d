/* stub_server: an HTTP server that does what a test tells it to.
 *
 * One thread, any number of connections on 127.0.0.1 with a port the kernel picks. For every complete request the
 * test's handler fills in an answer: bytes that go out as they are, and what then becomes of the connection. So answers
 * may be cut, broken, held back or missing. Requests and connections are counted, and every request is kept as it
 * came. Failures of the machinery itself (no socket, no memory) abort. */
#ifndef FANOUT_TESTS_STUB_SERVER_H
#define FANOUT_TESTS_STUB_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

struct stub_server;

struct stub_request {
    size_t index;      /* of all this server received, from 0 */
    struct slice head; /* request line and headers, with their line ends */
    struct slice method, target, body;
};

struct stub_answer {
    struct buf bytes;
    enum {
        STUB_KEEP,  /* the connection is kept */
        STUB_CLOSE, /* closed in order */
        STUB_RESET, /* closed with a RST */
        STUB_HANG   /* kept open and silent */
    } then;
    bool hold; /* sent only when stub_server_release is called */
};

/* Runs in the server's thread, one request at a time: no cmocka assertions in it. */
typedef void stub_handler(void *context, const struct stub_request *request, struct stub_answer *answer);

struct stub_server *stub_server_start(stub_handler *handler, void *context);
struct stub_server *stub_server_start_at(int port, stub_handler *handler, void *context); /* 0: any */
void stub_server_stop(struct stub_server *s);

/* A port nobody listens on, kept from others by the socket in *ret_fd; closed, it is free for stub_server_start_at. */
int stub_server_refusing_port(int *ret_fd);

const char *stub_server_url(const struct stub_server *s); /* "http://127.0.0.1:40123" */
int stub_server_port(const struct stub_server *s);

/* Lets the answers held back go, now and from here on. */
void stub_server_release(struct stub_server *s);

size_t stub_server_requests(struct stub_server *s);
size_t stub_server_connections(struct stub_server *s);

/* Blocks until n requests have come in (the thread has handled them), or aborts after 20 s. */
void stub_server_wait_requests(struct stub_server *s, size_t n);

/* Request number i as it came, head and body, NUL-terminated; valid until the server is stopped. NULL: not come yet. */
const char *stub_server_request(struct stub_server *s, size_t i);

/* The value of a header of that request ("" when it has none), in out. */
const char *stub_server_request_header(struct stub_server *s, size_t i, const char *name, char *out, size_t out_bytes);

/* A whole answer with its Content-Length. headers: lines that end in \r\n, or "". */
void stub_answer_http(struct stub_answer *a, int status, const char *headers, const char *body);

#endif
