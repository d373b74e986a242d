#include "local/admin_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/json.h"

/* The admin API, for tests and for the person at the machine; the README shows its use.
 *
 *     GET  /_fanout/                        this list
 *     GET  /_fanout/health                  {"status": "ok"}, once the store's writer has turned; 503 while starting or
 *                                           stopping
 *     GET  /_fanout/stats                   by operation: calls, errors, how long they took; the store's and the
 *                                           process's figures; every queue's counts
 *     GET, DELETE /_fanout/requests         requests.h
 *     GET, POST, DELETE /_fanout/faults     faults.h
 *     POST /_fanout/reset                   forgets faults, figures and all that is stored, and provisions again;
 *                                           ?service=s3: what that service stores; ?queue=NAME: what is in that queue
 *     POST /_fanout/backup                  {"path": "/absolute/empty/file"}: a copy of the database (admin_backup.c)
 *
 * Who may ask: with a token set, whoever brings it ("Authorization: Bearer TOKEN"), from anywhere; otherwise programs
 * on this machine alone. A browser's pages may not: they send Origin, or (names can be made to point at loopback) a
 * Host that is neither an address nor localhost. Health alone needs no token on this machine. */

void
local_admin_answer(struct httpd_request *r, int status, struct slice json)
{
    httpd_answer(r, &(struct httpd_answer){.status = status, .content_type = "application/json", .body = json});
}

void
local_admin_answer_error(struct httpd_request *r, int status, const char *text)
{
    struct buf out = BUF_INIT;
    buf_add_string(&out, "{\"error\":");
    json_write_string(&out, slice_of_string(text));
    buf_add_string(&out, "}\n");
    local_admin_answer(r, status, buf_slice(&out));
    buf_clean_up(&out);
}

void
local_admin_submit(struct local *l, struct httpd_request *r, int (*run)(struct store_tx *tx, struct store_job *job),
                   void (*finish)(struct store_job *job, const struct err *error))
{
    struct local_admin_job *j = calloc(1, sizeof *j);
    if (!j) {
        local_admin_answer_error(r, 503, "out of memory");
        return;
    }
    *j = (struct local_admin_job){.job = {.run = run, .finish = finish}, .local = l, .http = r};
    store_submit(l->store, &j->job);
}

/* ---- health ------------------------------------------------------------------------------------------------------ */

static int
run_health(struct store_tx *tx, struct store_job *job)
{
    (void)tx, (void)job;
    return 0;
}

static void
finish_health(struct store_job *job, const struct err *error)
{
    struct local_admin_job *j = (struct local_admin_job *)job;
    if (error)
        local_admin_answer_error(j->http, 503, error->text);
    else
        local_admin_answer(j->http, 200, SLICE("{\"status\":\"ok\"}\n"));
    free(j);
}

static void
serve_health(struct local *l, struct httpd_request *r)
{
    if (atomic_load(&l->serving))
        local_admin_submit(l, r, run_health, finish_health);
    else
        local_admin_answer(r, 503, SLICE("{\"status\":\"starting\"}\n"));
}

/* ---- faults, requests -------------------------------------------------------------------------------------------- */

static bool
has_action(void *local, struct slice service, struct slice operation)
{
    const struct local *l = local;
    for (size_t i = 0; i < l->n_services; i++)
        if (slice_equals_string(service, l->services[i].name))
            return operation.n == 0 || l->services[i].has_operation(operation);
    return false;
}

static void
serve_faults(struct local *l, struct httpd_request *r)
{
    struct err e;
    struct buf out = BUF_INIT;
    if (slice_equals(httpd_method(r), SLICE("POST"))) {
        if (local_faults_add(l->faults, httpd_body(r), has_action, l, &e) != 0)
            local_admin_answer_error(r, 400, e.text);
        else
            local_admin_answer(r, 200, SLICE("{}\n"));
    } else if (slice_equals(httpd_method(r), SLICE("DELETE"))) {
        local_faults_clear(l->faults);
        local_admin_answer(r, 200, SLICE("{}\n"));
    } else {
        local_faults_describe(l->faults, &out);
        local_admin_answer(r, 200, buf_slice(&out));
    }
    buf_clean_up(&out);
}

static void
serve_requests(struct local *l, struct httpd_request *r)
{
    struct err e;
    struct buf out = BUF_INIT;
    if (slice_equals(httpd_method(r), SLICE("DELETE"))) {
        local_requests_clear(l->requests);
        local_admin_answer(r, 200, SLICE("{}\n"));
    } else if (local_requests_describe(l->requests, httpd_query(r), &out, &e) != 0) {
        local_admin_answer_error(r, 400, e.text);
    } else if (buf_failed(&out)) {
        local_admin_answer_error(r, 503, "out of memory");
    } else {
        local_admin_answer(r, 200, buf_slice(&out));
    }
    buf_clean_up(&out);
}

/* ---- who may ask ------------------------------------------------------------------------------------------------- */

static bool
has_token(const struct local *l, const struct httpd_request *r)
{
    const struct slice prefix = SLICE("Bearer ");
    struct slice sent = httpd_header(r, "authorization");
    uint8_t of_sent[DIGEST_SHA256_BYTES], of_ours[DIGEST_SHA256_BYTES];
    if (!slice_starts_with(sent, prefix))
        return false;
    digest_sha256(sent.p + prefix.n, sent.n - prefix.n, of_sent);
    digest_sha256(l->admin_token, strlen(l->admin_token), of_ours);
    return digest_equal(of_sent, of_ours, sizeof of_ours);
}

/* No name but localhost: an address, with a port or without. */
static bool
is_by_address(struct slice host)
{
    const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
    bool bracketed = host.n > 0 && host.p[0] == '[';
    if (colon && (!bracketed || colon[-1] == ']'))
        host.n = (size_t)(colon - host.p);
    if (slice_equals(host, SLICE("localhost")))
        return true;
    for (size_t i = 0; i < host.n; i++)
        if (!memchr(bracketed ? "[]:.0123456789abcdefABCDEF" : ".0123456789", host.p[i], bracketed ? 26 : 11))
            return false;
    return true;
}

/* 0: yes. Otherwise the status of the refusal, and its text. */
static int
refusal(const struct local *l, const struct httpd_request *r, const char **ret_text)
{
    bool here = httpd_peer_is_loopback(r) && httpd_header(r, "origin").n == 0 && is_by_address(httpd_header(r, "host"));
    if (here && (!l->admin_token || slice_equals(httpd_path(r), SLICE("/_fanout/health"))))
        return 0;
    if (!l->admin_token) {
        *ret_text = "/_fanout/ is for programs on this machine alone, unless fanout-local has an --admin-token-file";
        return 403;
    }
    *ret_text = "/_fanout/ wants the header \"Authorization: Bearer TOKEN\"";
    return has_token(l, r) ? 0 : 401;
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static void serve_list(struct local *l, struct httpd_request *r);

static const struct {
    const char *path, *methods, *what;
    void (*serve)(struct local *l, struct httpd_request *r);
} PAGES[] = {
    {"/_fanout/", " GET ", "this list", serve_list},
    {"/_fanout/health", " GET ", "whether requests are answered", serve_health},
    {"/_fanout/stats", " GET ", "calls, errors and times by operation; queues, store, process", local_admin_stats},
    {"/_fanout/requests", " GET DELETE ",
     "the last requests: ?service= operation= resource= status= error= key= after= limit=", serve_requests},
    {"/_fanout/faults", " GET POST DELETE ", "what shall go wrong on purpose", serve_faults},
    {"/_fanout/reset", " POST ", "forget everything; ?service= or ?queue= less", local_admin_reset},
    {"/_fanout/backup", " POST ", "copy the database (fanout-local backup FILE)", local_admin_backup},
};
#define N_PAGES (sizeof PAGES / sizeof *PAGES)

static void
serve_list(struct local *l, struct httpd_request *r)
{
    struct buf out = BUF_INIT;
    (void)l;
    buf_add_string(&out, "{\"version\":\"" FANOUT_VERSION "\",\"pages\":[");
    for (size_t i = 0; i < N_PAGES; i++)
        buf_add_format(&out, "%s{\"path\":\"%s\",\"methods\":\"%.*s\",\"what\":\"%s\"}", i > 0 ? "," : "",
                       PAGES[i].path, (int)strlen(PAGES[i].methods) - 2, PAGES[i].methods + 1, PAGES[i].what);
    buf_add_string(&out, "]}\n");
    local_admin_answer(r, 200, buf_slice(&out));
    buf_clean_up(&out);
}

static bool
is_path(struct slice path, const char *page)
{
    return slice_equals_string(path, page) || (slice_equals(path, SLICE("/_fanout")) && !page[strlen("/_fanout/")]);
}

void
local_admin_serve(struct local *l, struct httpd_request *r)
{
    char method[24];
    const char *text;
    int status = refusal(l, r, &text);
    snprintf(method, sizeof method, " %.*s ", (int)(httpd_method(r).n < 20 ? httpd_method(r).n : 20),
             httpd_method(r).p);
    if (status) {
        local_admin_answer_error(r, status, text);
        return;
    }
    for (size_t i = 0; i < N_PAGES; i++) {
        if (!is_path(httpd_path(r), PAGES[i].path))
            continue;
        if (strstr(PAGES[i].methods, method))
            PAGES[i].serve(l, r);
        else
            local_admin_answer_error(r, 405, "this method is not for this path");
        return;
    }
    local_admin_answer_error(r, 404, "there is no such page; GET /_fanout/ lists those there are");
}
