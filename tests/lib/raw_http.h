/* raw_http: both ends of HTTP for tests of src/httpd: a server of it that says what it understood, and a client that
 * sends what it is told, be it HTTP or not, and shows what came back.
 *
 * What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_RAW_HTTP_H
#define FANOUT_TESTS_LIB_RAW_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "httpd/httpd.h"

#define RAW_HTTP_WAIT_MS 10000 /* for what must happen; never slept through */

/* ---- the client ---- */

int raw_http_dial(uint16_t port);
void raw_http_say(int fd, const char *text);
void raw_http_say_bytes(int fd, const char *p, size_t n);

/* Appends what comes within RAW_HTTP_WAIT_MS; false at the end of the stream. All until then. */
bool raw_http_hear_more(int fd, struct buf *heard);
void raw_http_hear_all(int fd, struct buf *heard);

/* Hears one answer with Content-Length (bodiless for HEAD); heard is cut to it. */
void raw_http_hear_answer(int fd, bool head, struct buf *heard);
int raw_http_status(const struct buf *heard);
const char *raw_http_body(const struct buf *heard);

/* One request, one answer, on a connection of its own. */
void raw_http_ask(struct httpd *h, const char *request, struct buf *heard);

/* ---- the server ---- */

/* On a port of its own and with raw_http_echo, unless o says otherwise. */
struct httpd *raw_http_serve(struct httpd_options o);

/* "METHOD|PATH|QUERY|BODY|name=value|...". */
void raw_http_echo(void *context, struct httpd_request *r);

#endif
