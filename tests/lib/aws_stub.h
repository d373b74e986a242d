/* aws_stub: a client of one service, talking to a stub_server that answers what a test tells it to. For the tests of
 * the typed calls: what they send, and what they make of answers. Failures of the machinery itself abort. */
#ifndef FANOUT_TESTS_AWS_STUB_H
#define FANOUT_TESTS_AWS_STUB_H

#include <stdbool.h>

#include "aws/aws.h"
#include "lib/stub_server.h"

struct aws_stub;

/* Credentials AKIDEXAMPLE, region eu-north-1; calls are tried once. */
struct aws_stub *aws_stub_start(enum aws_service service);
void aws_stub_stop(struct aws_stub *s);

struct aws_client *aws_stub_client(struct aws_stub *s);
struct http_engine *aws_stub_engine(struct aws_stub *s);
struct stub_server *aws_stub_server(struct aws_stub *s);

/* What every request gets from here on; all three are borrowed until the next answer or the end. headers: lines that
 * end in \r\n, or "". status 0: body is the whole answer as it goes over the wire. */
void aws_stub_answer(struct aws_stub *s, int status, const char *headers, const char *body);

/* Turns the client's loop until *done, or aborts after 20 s. */
void aws_stub_run(struct aws_stub *s, const bool *done);

/* Request i: its first line, one of its headers ("" when it has none), its body. In static memory, until the next. */
const char *aws_stub_line(struct aws_stub *s, size_t i);
const char *aws_stub_header(struct aws_stub *s, size_t i, const char *name);
const char *aws_stub_body(struct aws_stub *s, size_t i);

#endif
