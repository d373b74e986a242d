#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "http/internal.h"

#define DEFAULT_MAX_RESPONSE_BYTES (64u << 20)
#define RESERVE_AT_ONCE_BYTES      (1u << 20)  /* believed of a Content-Length before the bytes have come */
#define COPIED_BODY_BYTES          (32u << 10) /* a longer body of a request is read where it lies */
#define RECEIVE_BYTES              (64L << 10) /* taken from a socket at once; 10 messages of 1 KB are a quarter of it */
#define KEEP_BYTES                 (256u << 10) /* a pooled call keeps buffers up to this size */

/* Headers that libcurl would add and nobody here wants; a name without a value takes one out. */
static struct curl_slist NO_ACCEPT = {.data = "Accept:"};
static struct curl_slist NO_EXPECT = {.data = "Expect:", .next = &NO_ACCEPT};
static struct curl_slist NO_CONTENT_TYPE = {.data = "Content-Type:", .next = &NO_EXPECT};

/* ---- what curl calls ----------------------------------------------------------------------------------------------
 */

static size_t
give_up(struct http_call *c, enum err_code code)
{
    c->gave_up = code;
    return CURL_WRITEFUNC_ERROR;
}

static size_t
take_header_line(char *p, size_t size, size_t n, void *context)
{
    struct http_call *c = context;
    n *= size;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        c->header_complete = false; /* an answer begins: the one after a 100 Continue, too */
    else if (n <= 2 && (*p == '\r' || *p == '\n'))
        c->header_complete = true;
    c->header_bytes += n;
    return c->header_bytes > HTTP_MAX_HEADER_BYTES ? give_up(c, ERR_LIMIT) : n;
}

/* Curl reads from each socket as long as there is something: bytes that come faster than they are taken in would make
 * one turn of all of them. */
static size_t
take_body(char *p, size_t size, size_t n, void *context)
{
    struct http_call *c = context;
    n *= size;
    if (c->state == CALL_CANCELLED)
        return give_up(c, ERR_CANCELLED);
    if (http_engine_turn_is_over(c->engine)) {
        c->paused = c->engine->any_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (c->on_data) {
        long status = 0;
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status / 100 == 2)
            return c->on_data(c->context, slice_of(p, n)) == 0 ? n : give_up(c, ERR_CANCELLED);
    }
    if (c->body.len == 0) {
        curl_off_t announced = -1;
        curl_easy_getinfo(c->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
        if (announced > 0 && (uint64_t)announced > c->max_response_bytes)
            return give_up(c, ERR_LIMIT);
        if (announced > 0)
            buf_reserve(&c->body, announced < RESERVE_AT_ONCE_BYTES ? (size_t)announced : RESERVE_AT_ONCE_BYTES);
    }
    if (n > c->max_response_bytes - c->body.len)
        return give_up(c, ERR_LIMIT);
    buf_add(&c->body, p, n);
    return buf_failed(&c->body) ? give_up(c, ERR_NO_MEMORY) : n;
}

/* A cancelled call's body may be gone while curl still has the call (http_cancel inside on_data). */
static size_t
give_body(char *out, size_t size, size_t n, void *context)
{
    struct http_call *c = context;
    if (c->state == CALL_CANCELLED)
        return CURL_READFUNC_ABORT;
    size_t left = c->request_body.n - c->request_body_sent;
    n = n * size < left ? n * size : left;
    memcpy(out, c->request_body.p + c->request_body_sent, n);
    c->request_body_sent += n;
    return n;
}

/* For a body that is sent again on another connection. */
static int
rewind_body(void *context, curl_off_t offset, int origin)
{
    struct http_call *c = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > c->request_body.n)
        return CURL_SEEKFUNC_FAIL;
    c->request_body_sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- making and freeing -------------------------------------------------------------------------------------------
 */

static void look_after(struct timer *t, int64_t now_ms);

/* libcurl asks both the file and the folder of certificates when it has both, and then keeps neither in memory: the
 * folder goes as soon as there is a file, ours or the one libcurl was built with. */
static CURLcode
set_trust(CURL *h, const struct http_engine *g)
{
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    CURLcode r = CURLE_OK;
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(h, CURLOPT_CA_CACHE_TIMEOUT, (long)g->ca_keep_s);
    if (*g->ca_file || (built->age >= CURLVERSION_SEVENTH && built->cainfo))
        r = curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
    if (r == CURLE_OK && *g->ca_file)
        r = curl_easy_setopt(h, CURLOPT_CAINFO, g->ca_file);
    if (r == CURLE_OK)
        r = curl_easy_setopt(h, CURLOPT_SHARE, g->share);
    return r;
}

static bool
environment_names_a_proxy(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return true;
    return false;
}

struct http_call *
http_call_new(struct http_engine *g)
{
    struct http_call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->engine = g;
    c->timer.fire = look_after;
    c->easy = curl_easy_init();
    if (!c->easy) {
        free(c);
        return NULL;
    }
    CURL *h = c->easy;
    curl_easy_setopt(h, CURLOPT_PRIVATE, c);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->text);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header_line);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(h, CURLOPT_READDATA, c);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, rewind_body);
    curl_easy_setopt(h, CURLOPT_SEEKDATA, c);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)g->connect_timeout_ms);
    curl_easy_setopt(h, CURLOPT_DNS_CACHE_TIMEOUT, (long)g->dns_keep_s);
    curl_easy_setopt(h, CURLOPT_MAXLIFETIME_CONN, (long)g->max_connection_age_s);
    CURLcode made = curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    if (made == CURLE_OK)
        made = curl_easy_setopt(h, CURLOPT_USERAGENT, g->user_agent);
    if (made == CURLE_OK && !environment_names_a_proxy())
        made = curl_easy_setopt(h, CURLOPT_NOPROXY, "*"); /* or curl asks the environment at each request */
    if (made == CURLE_OK)
        made = set_trust(h, g);
    if (made != CURLE_OK) {
        http_call_free(c);
        return NULL;
    }
    return c;
}

void
http_call_free(struct http_call *c)
{
    curl_easy_cleanup(c->easy);
    buf_wipe(&c->header_text);
    buf_clean_up(&c->body);
    free(c->headers);
    curl_url_cleanup(c->parsed_url);
    free(c->url);
    free(c);
}

/* ---- starting -----------------------------------------------------------------------------------------------------
 */

static int
set_headers(struct http_call *c, const struct http_request *q, struct err *e)
{
    size_t bytes = 0;
    for (size_t i = 0; i < q->n_headers; i++) {
        const struct http_header *h = &q->headers[i];
        if (!*h->name || strpbrk(h->name, ":; \t\r\n") || strpbrk(h->value, "\r\n"))
            return err_set(e, ERR_INVALID, "header \"%s\" holds a character that no header may hold", h->name);
        bytes += strlen(h->name) + strlen(h->value) + 3;
    }
    if (q->n_headers > c->headers_capacity) {
        struct curl_slist *more = realloc(c->headers, q->n_headers * sizeof *more);
        if (!more)
            return err_no_memory(e);
        c->headers = more;
        c->headers_capacity = q->n_headers;
    }
    buf_reset(&c->header_text);
    if (!buf_reserve(&c->header_text, bytes + 1)) /* at once: the nodes point into it */
        return err_no_memory(e);

    bool typed = false;
    for (size_t i = 0; i < q->n_headers; i++) {
        const struct http_header *h = &q->headers[i];
        c->headers[i].data = c->header_text.data + c->header_text.len;
        c->headers[i].next = &c->headers[i + 1];
        buf_add_string(&c->header_text, h->name);
        buf_add_string(&c->header_text, *h->value ? ": " : ";"); /* curl's way to send an empty one */
        buf_add(&c->header_text, h->value, strlen(h->value) + 1);
        typed = typed || strcasecmp(h->name, "content-type") == 0;
    }
    struct curl_slist *rest = typed ? &NO_EXPECT : &NO_CONTENT_TYPE;
    if (q->n_headers > 0)
        c->headers[q->n_headers - 1].next = rest;
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, q->n_headers > 0 ? c->headers : rest);
    return 0;
}

/* Setting the fields makes a POST of anything. */
static int
set_body(struct http_call *c, struct slice body, struct err *e)
{
    bool copied = body.n <= COPIED_BODY_BYTES;
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    CURLcode r = body.n == 0 ? curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, "")
                 : copied    ? curl_easy_setopt(c->easy, CURLOPT_COPYPOSTFIELDS, body.p)
                             : curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, NULL);
    return r == CURLE_OK ? 0 : err_no_memory(e);
}

/* Every body goes as a POST's, under the name of another method where need be: small ones then leave together with the
 * headers, in one write. */
static int
set_method(struct http_call *c, const struct http_request *q, struct err *e)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};
    bool has_body = q->body.n > 0;
    bool is_get = strcmp(q->method, "GET") == 0, is_head = strcmp(q->method, "HEAD") == 0;
    bool posts = !is_head && (has_body || (!is_get && strcmp(q->method, "DELETE") != 0));
    if (strcmp(c->method, q->method) != 0 || c->has_body != has_body) {
        size_t known = 0;
        while (known < sizeof methods / sizeof *methods && strcmp(methods[known], q->method) != 0)
            known++;
        if (known == sizeof methods / sizeof *methods)
            return err_set(e, ERR_INVALID, "%s is no HTTP method known here", q->method);
        *c->method = '\0';
        const char *implied = is_head ? "HEAD" : posts ? "POST" : "GET";
        const char *name = strcmp(q->method, implied) == 0 ? NULL : q->method;
        if (curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, name) != CURLE_OK)
            return err_no_memory(e);
        curl_easy_setopt(c->easy, CURLOPT_NOBODY, is_head ? 1L : 0L);
        if (!is_head)
            curl_easy_setopt(c->easy, posts ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
        snprintf(c->method, sizeof c->method, "%s", q->method);
        c->has_body = has_body;
    }
    c->request_body = q->body;
    c->request_body_sent = 0;
    return posts ? set_body(c, q->body, e) : 0;
}

/* Curl gets the URL taken apart, or it would do that, and write it again, for every request. */
static int
set_url(struct http_call *c, const char *url, struct err *e)
{
    if (c->url && strcmp(c->url, url) == 0)
        return 0;
    free(c->url);
    c->url = strdup(url);
    if (!c->url || (!c->parsed_url && !(c->parsed_url = curl_url())) ||
        curl_easy_setopt(c->easy, CURLOPT_URL, url) != CURLE_OK) {
        free(c->url);
        c->url = NULL;
        return err_no_memory(e);
    }
    CURLUcode parsed = curl_url_set(c->parsed_url, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS);
    curl_easy_setopt(c->easy, CURLOPT_CURLU,
                     parsed == CURLUE_OK ? c->parsed_url : NULL); /* NULL: it says what is wrong */
    return 0;
}

/* When to look at the call again: at its deadline, or four times within the time it may stand still. */
static int
set_timer(struct http_call *c, int64_t now_ms)
{
    int64_t due_ms = c->deadline_ms;
    if (c->stall_timeout_ms > 0) {
        int64_t look_ms = now_ms + (c->stall_timeout_ms + 3) / 4;
        due_ms = look_ms < due_ms ? look_ms : due_ms;
    }
    return timers_set(&c->engine->timers, &c->timer, due_ms);
}

static int
prepare(struct http_call *c, const struct http_request *q, struct err *e)
{
    if (q->timeout_ms <= 0)
        return err_set(e, ERR_INVALID, "a call needs a time-out above 0 ms");
    int r;
    if ((r = set_url(c, q->url, e)) < 0 || (r = set_method(c, q, e)) < 0 || (r = set_headers(c, q, e)) < 0)
        return r;
    c->on_data = q->on_data;
    c->context = q->context;
    c->max_response_bytes = q->max_response_bytes ? q->max_response_bytes : DEFAULT_MAX_RESPONSE_BYTES;
    c->submitted_at_ms = c->moved_at_ms = clock_monotonic_ms();
    c->timeout_ms = q->timeout_ms;
    c->deadline_ms = c->submitted_at_ms + q->timeout_ms;
    c->stall_timeout_ms = q->stall_timeout_ms;
    c->moved = 0;
    c->header_bytes = 0;
    c->header_complete = false;
    c->paused = c->resent = false;
    c->gave_up = 0;
    c->text[0] = '\0';
    buf_reset(&c->body);
    return set_timer(c, c->submitted_at_ms) < 0 ? err_no_memory(e) : 0;
}

int
http_submit(struct http_engine *g, const struct http_request *request, http_done_fn *done, struct http_call **ret_call,
            struct err *e)
{
    struct http_call *c = TAILQ_FIRST(&g->pool);
    if (c) {
        TAILQ_REMOVE(&g->pool, c, link);
        g->n_pooled--;
    } else if (!(c = http_call_new(g))) {
        return err_no_memory(e);
    }
    int r = prepare(c, request, e);
    if (r < 0) {
        http_engine_recycle(g, c);
        return r;
    }
    c->done = done;
    c->state = CALL_PENDING;
    TAILQ_INSERT_TAIL(&g->pending, c, link);
    g->stats.calls++;
    g->stats.in_flight++;
    if (ret_call)
        *ret_call = c;
    return 0;
}

void
http_call_start(struct http_call *c)
{
    struct http_engine *g = c->engine;
    http_engine_make_room(g);
    http_known_apply(c);
    if (curl_multi_add_handle(g->multi, c->easy) != CURLM_OK) {
        http_call_finish(c, CURLE_OUT_OF_MEMORY);
        return;
    }
    TAILQ_REMOVE(&g->pending, c, link);
    TAILQ_INSERT_TAIL(&g->active, c, link);
    c->state = CALL_ACTIVE;
}

/* ---- ending -------------------------------------------------------------------------------------------------------
 */

static void
count(struct http_call *c)
{
    struct http_stats *s = &c->engine->stats;
    struct http_traffic t = http_outcome_traffic(c);
    long connections = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
    s->bytes_sent += t.sent;
    s->bytes_received += t.received;
    s->connections += (uint64_t)connections;
}

static void
recycle(struct http_call *c)
{
    if (c->body.capacity > KEEP_BYTES)
        buf_clean_up(&c->body);
    http_engine_recycle(c->engine, c);
}

/* Takes the call out of curl and its list. */
static void
withdraw(struct http_call *c)
{
    struct http_engine *g = c->engine;
    timers_cancel(&g->timers, &c->timer);
    if (c->state == CALL_PENDING) {
        TAILQ_REMOVE(&g->pending, c, link);
    } else {
        count(c);
        curl_multi_remove_handle(g->multi, c->easy);
        TAILQ_REMOVE(&g->active, c, link);
    }
    g->stats.in_flight--;
}

static void
call_back(struct http_call *c, struct http_response *r)
{
    curl_off_t began_us = 0;
    r->elapsed_ms = clock_monotonic_ms() - c->submitted_at_ms;
    curl_easy_getinfo(c->easy, CURLINFO_STARTTRANSFER_TIME_T, &began_us);
    r->age_ms = began_us > 0 && r->elapsed_ms > began_us / 1000 ? r->elapsed_ms - began_us / 1000 : 0;
    r->call = c;
    withdraw(c);
    c->state = CALL_DELIVERING;
    c->done(c->context, r);
    recycle(c);
}

/* The peer ended a kept connection when the request came. libcurl sends it again by itself, but counts how often over
 * all the calls of a handle, and each sixth time it gives up (and counts anew). */
static bool
was_lost_on_kept_connection(const struct http_call *c, CURLcode result)
{
    long connections = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
    return (result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR || result == CURLE_GOT_NOTHING) &&
           connections == 0 && c->header_bytes == 0 && c->body.len == 0 && c->state == CALL_ACTIVE && !c->resent;
}

static bool
send_again(struct http_call *c)
{
    struct http_engine *g = c->engine;
    count(c);
    c->resent = true;
    c->request_body_sent = 0;
    c->moved = 0;
    c->text[0] = '\0';
    curl_multi_remove_handle(g->multi, c->easy);
    return curl_multi_add_handle(g->multi, c->easy) == CURLM_OK;
}

void
http_call_finish(struct http_call *c, CURLcode result)
{
    struct http_response r = {0};
    if (was_lost_on_kept_connection(c, result) && send_again(c))
        return;
    http_outcome_of(c, result, &r);
    http_known_note(c, result);
    call_back(c, &r);
}

static void
look_after(struct timer *t, int64_t now_ms)
{
    struct http_call *c = (struct http_call *)((char *)t - offsetof(struct http_call, timer));
    struct http_response r = {0};
    struct http_traffic traffic = http_outcome_traffic(c);
    if (traffic.sent + traffic.received != c->moved) {
        c->moved = traffic.sent + traffic.received;
        c->moved_at_ms = now_ms;
    }
    if (now_ms >= c->deadline_ms) {
        http_known_note_timeout(c);
        http_outcome_timeout(c, "no complete answer within", c->timeout_ms, &r);
    } else if (c->stall_timeout_ms > 0 && now_ms - c->moved_at_ms >= c->stall_timeout_ms) {
        http_outcome_timeout(c, "no byte came or went for", c->stall_timeout_ms, &r);
    } else if (set_timer(c, now_ms) < 0) {
        http_outcome_of(c, CURLE_OUT_OF_MEMORY, &r);
    } else {
        return;
    }
    call_back(c, &r);
}

void
http_cancel(struct http_call *c)
{
    assert(c->state != CALL_POOLED);
    if (c->state == CALL_DELIVERING)
        return;
    if (c->engine->inside_curl && c->state != CALL_PENDING) {
        c->state = CALL_CANCELLED;
        c->engine->any_cancelled = true;
        return;
    }
    withdraw(c);
    recycle(c);
}
