#include "lib/aws_stub.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct aws_stub {
    struct http_engine *engine;
    struct creds_provider *credentials;
    struct aws_client *client;
    struct stub_server *server;
    pthread_mutex_t lock; /* guards what follows */
    int status;
    const char *headers, *body;
};

static void
must(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "aws_stub: %s\n", e->text);
    abort();
}

static void
answer(void *context, const struct stub_request *request, struct stub_answer *a)
{
    struct aws_stub *s = context;
    (void)request;
    pthread_mutex_lock(&s->lock);
    if (s->status > 0)
        stub_answer_http(a, s->status, s->headers, s->body);
    else
        buf_add_string(&a->bytes, s->body);
    pthread_mutex_unlock(&s->lock);
}

struct aws_stub *
aws_stub_start(enum aws_service service)
{
    struct err e = {.text = "out of memory"};
    struct aws_stub *s = calloc(1, sizeof *s);
    must(s ? 0 : -1, &e);
    pthread_mutex_init(&s->lock, NULL);
    aws_stub_answer(s, 200, "", "{}");
    s->server = stub_server_start(answer, s);
    must(http_engine_new(&(struct http_engine_options){0}, &s->engine, &e), &e);
    must(creds_static_new("AKIDEXAMPLE", "secret", NULL, &s->credentials, &e), &e);
    struct aws_client_options options = {.engine = s->engine,
                                         .credentials = s->credentials,
                                         .service = service,
                                         .region = "eu-north-1",
                                         .endpoint_url = stub_server_url(s->server),
                                         .max_attempts = 1};
    must(aws_client_new(&options, &s->client, &e), &e);
    return s;
}

void
aws_stub_stop(struct aws_stub *s)
{
    aws_client_destroy(s->client);
    creds_provider_destroy(s->credentials);
    http_engine_destroy(s->engine);
    stub_server_stop(s->server);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct aws_client *
aws_stub_client(struct aws_stub *s)
{
    return s->client;
}

struct http_engine *
aws_stub_engine(struct aws_stub *s)
{
    return s->engine;
}

struct stub_server *
aws_stub_server(struct aws_stub *s)
{
    return s->server;
}

void
aws_stub_answer(struct aws_stub *s, int status, const char *headers, const char *body)
{
    pthread_mutex_lock(&s->lock);
    s->status = status;
    s->headers = headers;
    s->body = body;
    pthread_mutex_unlock(&s->lock);
}

void
aws_stub_run(struct aws_stub *s, const bool *done)
{
    struct err e;
    must(http_engine_run_until(s->engine, done, 20000, &e), &e);
}

const char *
aws_stub_line(struct aws_stub *s, size_t i)
{
    static char line[4096];
    const char *request = stub_server_request(s->server, i);
    snprintf(line, sizeof line, "%.*s", request ? (int)strcspn(request, "\r\n") : 0, request ? request : "");
    return line;
}

const char *
aws_stub_header(struct aws_stub *s, size_t i, const char *name)
{
    static char value[4096];
    return stub_server_request_header(s->server, i, name, value, sizeof value);
}

const char *
aws_stub_body(struct aws_stub *s, size_t i)
{
    const char *request = stub_server_request(s->server, i);
    const char *end = request ? strstr(request, "\r\n\r\n") : NULL;
    return end ? end + 4 : "";
}
