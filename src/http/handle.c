/* What a call tells libcurl, and what libcurl asks of it. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "http/internal.h"

#define RESERVE_AT_ONCE_BYTES (1u << 20)  /* believed of a Content-Length before the bytes have come */
#define COPIED_BODY_BYTES     (32u << 10) /* a longer body of a request is read where it lies */
#define STANDSTILL_MS         1500        /* longer than a loop with something to do waits for once */
#define RECEIVE_BYTES         (64L << 10) /* taken from a socket at once; 10 messages of 1 KB are a quarter of it */

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

/* It came now, or, if we stood still, at any time since the turn before looked for it. */
static int64_t
answer_began_ms(const struct http_call *c)
{
    int64_t now_ms = clock_monotonic_ms(), looked_ms = c->engine->looked_before_ms;
    int64_t since_ms = looked_ms > c->submitted_at_ms ? looked_ms : c->submitted_at_ms;
    return now_ms - since_ms > STANDSTILL_MS ? since_ms : now_ms;
}

static size_t
take_header_line(char *p, size_t size, size_t n, void *context)
{
    struct http_call *c = context;
    n *= size;
    if (c->answered_ms == 0)
        c->answered_ms = answer_began_ms(c);
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

/* ---- what a request needs -----------------------------------------------------------------------------------------
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
    if (q->n_headers + 1 > c->headers_capacity) {
        struct curl_slist *more = realloc(c->headers, (q->n_headers + 1) * sizeof *more);
        if (!more)
            return err_no_memory(e);
        c->headers = more;
        c->headers_capacity = q->n_headers + 1;
    }
    buf_reset(&c->header_text);
    if (!buf_reserve(&c->header_text, bytes + 1)) /* at once: the nodes point into it */
        return err_no_memory(e);

    bool typed = false;
    struct curl_slist *last = c->headers;
    *last = (struct curl_slist){.data = c->engine->user_agent};
    for (size_t i = 0; i < q->n_headers; i++) {
        const struct http_header *h = &q->headers[i];
        last = last->next = &c->headers[i + 1];
        last->data = c->header_text.data + c->header_text.len;
        buf_add_string(&c->header_text, h->name);
        buf_add_string(&c->header_text, *h->value ? ": " : ";"); /* curl's way to send an empty one */
        buf_add(&c->header_text, h->value, strlen(h->value) + 1);
        typed = typed || strcasecmp(h->name, "content-type") == 0;
    }
    last->next = typed ? &NO_EXPECT : &NO_CONTENT_TYPE;
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
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

int
http_handle_set(struct http_call *c, const struct http_request *q, struct err *e)
{
    int r = set_url(c, q->url, e);
    if (r == 0)
        r = set_method(c, q, e);
    return r == 0 ? set_headers(c, q, e) : r;
}
