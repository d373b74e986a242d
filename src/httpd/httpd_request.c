#include "httpd/httpd_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"

/* A body that is too long is read to its end so that the client, still sending, gets to see the 413; but no further
 * than this beyond the limit. */
#define DISCARD_BYTES ((size_t)8 << 20)

/* Bytes set aside for a body before any of it has come, whatever its Content-Length claims. */
#define TRUSTED_BYTES ((size_t)256 << 10)

/* ---- what came in ------------------------------------------------------------------------------------------------ */

static void
split_target(struct httpd_request *r)
{
    const char *p = r->target;
    if (*p != '/' && (strncasecmp(p, "http://", 7) == 0 || strncasecmp(p, "https://", 8) == 0)) {
        p = strchr(p, ':') + 3;
        p += strcspn(p, "/?");
    }
    const char *question = strchr(p, '?');
    size_t path_n = question ? (size_t)(question - p) : strlen(p);
    r->path = path_n > 0 ? slice_of(p, path_n) : SLICE("/");
    r->query = slice_of_string(question ? question + 1 : "");
}

void *
httpd_request_begin(void *h, const char *uri, struct MHD_Connection *connection)
{
    size_t uri_n = strlen(uri);
    struct httpd_request *r = calloc(1, sizeof *r + uri_n + 1);
    if (!r)
        return NULL;
    r->httpd = h;
    r->connection = connection;
    buf_init(&r->body);
    memcpy(r->target, uri, uri_n + 1);
    split_target(r);
    httpd_connection_waits(h, connection, true);
    return r;
}

static enum MHD_Result
collect_header(void *request, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value,
               size_t value_n)
{
    (void)kind;
    struct httpd_request *r = request;
    if (r->n_headers == r->max_headers)
        return MHD_NO;
    r->headers[r->n_headers++] =
        (struct httpd_field){.name = slice_of(name, name_n), .value = slice_of(value, value_n)};
    return MHD_YES;
}

static bool
collect_headers(struct httpd_request *r)
{
    int n = MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, NULL, NULL);
    if (n <= 0)
        return true;
    r->headers = calloc((size_t)n, sizeof *r->headers);
    if (!r->headers)
        return false;
    r->max_headers = (size_t)n;
    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, collect_header, r);
    return true;
}

/* httpd_destroy waits for those that are answered and not yet gone. */
static void
count_unsent(struct httpd_request *r)
{
    pthread_mutex_lock(&r->httpd->lock);
    r->httpd->unsent++;
    r->is_unsent = true;
    pthread_mutex_unlock(&r->httpd->lock);
}

/* Has the reply made that was left for this thread to make, libmicrohttpd's. */
static void
answer_late(struct httpd_request *r)
{
    httpd_late_fn *late = r->late;
    if (!late)
        return;
    r->late = NULL;
    atomic_store(&r->stage, HTTPD_ANSWERING);
    late(r->late_context);
    assert(atomic_load(&r->stage) == HTTPD_SETTLED);
}

/* Hands the settled reply to libmicrohttpd, on its thread. */
static enum MHD_Result
send_reply(struct httpd_request *r)
{
    answer_late(r);
    struct MHD_Response *reply = r->reply;
    r->reply = NULL;
    if (!reply)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)r->status, reply);
    MHD_destroy_response(reply);
    return result;
}

static enum MHD_Result
send_plain(struct httpd_request *r, int status, const char *text)
{
    r->status = status;
    r->reply = httpd_reply_plain(text);
    count_unsent(r);
    atomic_store(&r->stage, HTTPD_SETTLED);
    return send_reply(r);
}

static enum MHD_Result
send_too_long(struct httpd_request *r)
{
    return send_plain(r, 413, "The request body is larger than this server accepts.\n");
}

/* A Content-Length, which libmicrohttpd has already checked to be a number. */
static uint64_t
read_length(struct slice text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        n = n > UINT64_MAX / 16 ? n : n * 10 + (uint64_t)(text.p[i] - '0');
    return n;
}

/* How long the body is, 0 when that is not said. False: it is said twice, or in a way that is not ours (RFC 9112, 6.3);
 * whoever else reads such a request may take another part of it for the body. */
static bool
read_framing(const struct httpd_request *r, uint64_t *ret_bytes)
{
    static const char LENGTH[] = "content-length", ENCODING[] = "transfer-encoding", CHUNKED[] = "chunked";
    size_t said = 0;
    *ret_bytes = 0;
    for (size_t i = 0; i < r->n_headers; i++) {
        struct slice name = r->headers[i].name, value = r->headers[i].value;
        if (name.n == sizeof LENGTH - 1 && strncasecmp(name.p, LENGTH, name.n) == 0) {
            *ret_bytes = read_length(value);
            said++;
        } else if (name.n == sizeof ENCODING - 1 && strncasecmp(name.p, ENCODING, name.n) == 0) {
            if (value.n != sizeof CHUNKED - 1 || strncasecmp(value.p, CHUNKED, value.n) != 0)
                return false;
            said++;
        }
    }
    return said <= 1;
}

static enum MHD_Result
announce(struct httpd_request *r, const char *method)
{
    r->announced = true;
    r->method = slice_of_string(method);
    if (!collect_headers(r))
        return MHD_NO;
    uint64_t n;
    if (!read_framing(r, &n))
        return send_plain(r, 400, "The length of the request's body must be said once: Content-Length or chunked.\n");
    size_t limit = r->httpd->max_body_bytes;
    if (n > limit && (n > limit + DISCARD_BYTES || httpd_header(r, "expect").n > 0))
        return send_too_long(r);
    r->too_long = n > limit;
    if (!r->too_long && n > 0 && !buf_reserve(&r->body, n < TRUSTED_BYTES ? (size_t)n : TRUSTED_BYTES))
        return MHD_NO;
    return MHD_YES;
}

static enum MHD_Result
collect_body(struct httpd_request *r, const char *data, size_t n)
{
    if (!r->too_long && n <= r->httpd->max_body_bytes - r->body.len) {
        buf_add(&r->body, data, n);
        return buf_failed(&r->body) ? MHD_NO : MHD_YES;
    }
    r->too_long = true;
    buf_clean_up(&r->body);
    r->discarded_bytes += n;
    return r->discarded_bytes <= r->httpd->max_body_bytes + DISCARD_BYTES ? MHD_YES : MHD_NO;
}

/* ---- parking ----------------------------------------------------------------------------------------------------- */

static void
list_parked(struct httpd_request *r)
{
    struct httpd *h = r->httpd;
    pthread_mutex_lock(&h->lock);
    r->next = h->parked;
    r->link = &h->parked;
    if (r->next)
        r->next->link = &r->next;
    h->parked = r;
    pthread_mutex_unlock(&h->lock);
}

static void
unlist_parked(struct httpd_request *r)
{
    struct httpd *h = r->httpd;
    pthread_mutex_lock(&h->lock);
    if (r->link) {
        *r->link = r->next;
        if (r->next)
            r->next->link = r->link;
        r->link = NULL;
    }
    pthread_mutex_unlock(&h->lock);
}

/* r may be freed by libmicrohttpd's thread from the moment its stage is settled, unless it was parked: then it waits
 * for the resume. */
static void
settle(struct httpd_request *r, struct MHD_Response *reply, int status)
{
    struct MHD_Connection *connection = r->connection;
    r->reply = reply;
    r->status = status;
    if (atomic_load(&r->stage) == HTTPD_ANSWERING) { /* whose thread has counted it, and goes on by itself */
        atomic_store(&r->stage, HTTPD_SETTLED);
        return;
    }
    count_unsent(r);
    enum httpd_stage was = atomic_exchange(&r->stage, HTTPD_SETTLED);
    assert(was == HTTPD_HANDLING || was == HTTPD_PARKED || was == HTTPD_REFUSING);
    if (was != HTTPD_HANDLING)
        MHD_resume_connection(connection);
}

/* Answers a parked request in its owner's place while the server stops; false when that is done already. */
static bool
refuse_parked(struct httpd_request *r)
{
    enum httpd_stage was = HTTPD_PARKED;
    if (!atomic_compare_exchange_strong(&r->stage, &was, HTTPD_REFUSING))
        return false;
    settle(r, httpd_reply_plain("The server is shutting down.\n"), 503);
    return true;
}

void
httpd_request_answer_parked(struct httpd *h)
{
    struct httpd_request *r;
    do {
        pthread_mutex_lock(&h->lock);
        for (r = h->parked; r && atomic_load(&r->stage) != HTTPD_PARKED;)
            r = r->next;
        pthread_mutex_unlock(&h->lock);
    } while (r && refuse_parked(r));
}

/* Runs the handler. An answer that is there when it returns is sent at once; otherwise the connection is suspended
 * first and declared parked then, so that whoever answers finds it suspended. */
static enum MHD_Result
handle(struct httpd_request *r)
{
    struct httpd *h = r->httpd;
    if (atomic_load(&h->stopping))
        return send_plain(r, 503, "The server is shutting down.\n");
    httpd_connection_waits(h, r->connection, false);
    atomic_store(&r->stage, HTTPD_HANDLING);
    h->handler(h->context, r);
    if (atomic_load(&r->stage) == HTTPD_SETTLED)
        return send_reply(r);
    MHD_suspend_connection(r->connection);
    list_parked(r);
    enum httpd_stage was = HTTPD_HANDLING;
    if (!atomic_compare_exchange_strong(&r->stage, &was, HTTPD_PARKED))
        MHD_resume_connection(r->connection);
    else if (atomic_load(&h->stopping))
        refuse_parked(r);
    return MHD_YES;
}

enum MHD_Result
httpd_request_progress(void *h, struct MHD_Connection *connection, const char *url, const char *method,
                       const char *version, const char *data, size_t *data_n, void **request)
{
    (void)h, (void)connection, (void)url, (void)version;
    struct httpd_request *r = *request;
    if (!r)
        return MHD_NO;
    if (!r->announced)
        return announce(r, method);
    if (*data_n > 0) {
        size_t n = *data_n;
        *data_n = 0;
        return collect_body(r, data, n);
    }
    switch (atomic_load(&r->stage)) {
    case HTTPD_COLLECTING:
        return r->too_long ? send_too_long(r) : handle(r);
    case HTTPD_SETTLED:
        unlist_parked(r);
        return send_reply(r);
    default:
        assert(!"a suspended connection ran");
        return MHD_NO;
    }
}

void
httpd_request_complete(void *h_, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode why)
{
    (void)why;
    struct httpd *h = h_;
    struct httpd_request *r = *request;
    *request = NULL;
    if (!r)
        return;
    answer_late(r); /* whoever would have answered must hear of the end */
    unlist_parked(r);
    if (r->is_unsent) {
        pthread_mutex_lock(&h->lock);
        h->unsent--;
        if (atomic_load(&h->stopping)) /* nobody else waits for that */
            pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
    }
    httpd_connection_waits(h, connection, true);
    if (r->reply)
        MHD_destroy_response(r->reply);
    buf_clean_up(&r->body);
    free(r->headers);
    free(r);
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

void
httpd_answer(struct httpd_request *r, const struct httpd_answer *answer)
{
    settle(r, httpd_reply_build(r, answer), answer->status);
}

void
httpd_answer_later(struct httpd_request *r, httpd_late_fn *answer, void *context)
{
    r->late = answer;
    r->late_context = context;
    settle(r, NULL, 0);
}

void
httpd_drop(struct httpd_request *r)
{
    settle(r, NULL, 0);
}
