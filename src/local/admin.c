#include "local/local_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

/* The admin API, for tests and for the person at the machine. No signatures, so it is for loopback alone, and not for a
 * browser's pages (they send Origin):
 *
 *     GET  /_fanout/health     {"status": "ok"}, once the store's writer has turned; 503 while starting or stopping
 *     GET  /_fanout/stats      requests by operation, the store's figures, each service's own
 *     GET, POST, DELETE /_fanout/faults     faults.h
 *     POST /_fanout/reset      forgets faults, figures and all that is stored, and provisions again */

static void
answer(struct httpd_request *r, int status, struct slice json)
{
    httpd_answer(r, &(struct httpd_answer){.status = status, .content_type = "application/json", .body = json});
}

static void
answer_error(struct httpd_request *r, int status, const char *text)
{
    struct buf out = BUF_INIT;
    buf_add_string(&out, "{\"error\":");
    json_write_string(&out, slice_of_string(text));
    buf_add_string(&out, "}\n");
    answer(r, status, buf_slice(&out));
    buf_clean_up(&out);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

/* A request that needs the writer. */
struct admin_job {
    struct store_job job;
    struct local *local;
    struct httpd_request *http;
    struct buf out;
};

static void
add_counters(struct local *l, struct buf *out)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < LOCAL_MAX_COUNTERS && l->counters[i].n > 0; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        json_write_string(out, slice_of_string(l->counters[i].name));
        buf_add_format(out, ":%llu", (unsigned long long)l->counters[i].n);
    }
    pthread_mutex_unlock(&l->lock);
}

static int
run_stats(struct store_tx *tx, struct store_job *job)
{
    struct admin_job *j = (struct admin_job *)job;
    struct local *l = j->local;
    struct store_stats stats;
    store_get_stats(l->store, &stats);
    buf_reset(&j->out);
    buf_add_format(&j->out, "{\"version\":\"%s\",\"uptime_ms\":%lld,\"requests\":{", FANOUT_VERSION,
                   (long long)(clock_monotonic_ms() - l->started_at_ms));
    add_counters(l, &j->out);
    buf_add_format(&j->out, "},\"store\":{\"turns\":%llu,\"jobs\":%llu,\"rollbacks\":%llu}",
                   (unsigned long long)stats.turns, (unsigned long long)stats.jobs,
                   (unsigned long long)stats.rollbacks);
    for (size_t i = 0; i < l->n_services; i++) {
        if (!l->services[i].describe)
            continue;
        buf_add_format(&j->out, ",\"%s\":", l->services[i].name);
        l->services[i].describe(l->services[i].context, tx, &j->out);
    }
    buf_add_string(&j->out, "}\n");
    return 0;
}

static void
finish_stats(struct store_job *job, const struct err *error)
{
    struct admin_job *j = (struct admin_job *)job;
    if (error || buf_failed(&j->out))
        answer_error(j->http, 503, error ? error->text : "out of memory");
    else
        answer(j->http, 200, buf_slice(&j->out));
    buf_clean_up(&j->out);
    free(j);
}

static void
serve_stats(struct local *l, struct httpd_request *r)
{
    struct admin_job *j = calloc(1, sizeof *j);
    if (!j) {
        answer_error(r, 503, "out of memory");
        return;
    }
    *j = (struct admin_job){.job = {.run = run_stats, .finish = finish_stats}, .local = l, .http = r};
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
    struct admin_job *j = (struct admin_job *)job;
    if (error)
        answer_error(j->http, 503, error->text);
    else
        answer(j->http, 200, SLICE("{\"status\":\"ok\"}\n"));
    free(j);
}

static void
serve_health(struct local *l, struct httpd_request *r)
{
    struct admin_job *j = atomic_load(&l->serving) ? calloc(1, sizeof *j) : NULL;
    if (!j) {
        answer(r, 503, SLICE("{\"status\":\"starting\"}\n"));
        return;
    }
    *j = (struct admin_job){.job = {.run = run_health, .finish = finish_health}, .local = l, .http = r};
    store_submit(l->store, &j->job);
}

/* ---- reset ------------------------------------------------------------------------------------------------------- */

static int
run_reset(struct store_tx *tx, void *context)
{
    struct local *l = context;
    for (size_t i = 0; i < l->n_services; i++) {
        int code = l->services[i].reset ? l->services[i].reset(l->services[i].context, tx) : 0;
        if (code < 0)
            return code;
    }
    return 0;
}

static void
serve_reset(struct local *l, struct httpd_request *r)
{
    struct err e;
    local_faults_clear(l->faults);
    pthread_mutex_lock(&l->lock);
    memset(l->counters, 0, sizeof l->counters);
    l->n_counters = 0;
    pthread_mutex_unlock(&l->lock);
    int code = store_call(l->store, run_reset, l, &e);
    if (!code && l->provision)
        code = l->provision(l, l->provision_context, &e);
    if (code)
        answer_error(r, 500, e.text);
    else
        answer(r, 200, SLICE("{}\n"));
    log_write(code ? LOG_ERROR : LOG_INFO, "reset");
}

/* ---- faults and the rest ----------------------------------------------------------------------------------------- */

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
            answer_error(r, 400, e.text);
        else
            answer(r, 200, SLICE("{}\n"));
    } else if (slice_equals(httpd_method(r), SLICE("DELETE"))) {
        local_faults_clear(l->faults);
        answer(r, 200, SLICE("{}\n"));
    } else {
        local_faults_describe(l->faults, &out);
        answer(r, 200, buf_slice(&out));
    }
    buf_clean_up(&out);
}

static const struct {
    const char *path, *methods;
    void (*serve)(struct local *l, struct httpd_request *r);
} PAGES[] = {
    {"/_fanout/health", " GET ", serve_health},
    {"/_fanout/stats", " GET ", serve_stats},
    {"/_fanout/faults", " GET POST DELETE ", serve_faults},
    {"/_fanout/reset", " POST ", serve_reset},
};

void
local_admin_serve(struct local *l, struct httpd_request *r)
{
    char method[24];
    snprintf(method, sizeof method, " %.*s ", (int)(httpd_method(r).n < 20 ? httpd_method(r).n : 20),
             httpd_method(r).p);
    if (!httpd_peer_is_loopback(r) || httpd_header(r, "origin").n > 0) {
        answer_error(r, 403, "/_fanout/ is for programs on this machine alone");
        return;
    }
    for (size_t i = 0; i < sizeof PAGES / sizeof *PAGES; i++) {
        if (!slice_equals_string(httpd_path(r), PAGES[i].path))
            continue;
        if (strstr(PAGES[i].methods, method))
            PAGES[i].serve(l, r);
        else
            answer_error(r, 405, "this method is not for this path");
        return;
    }
    answer_error(r, 404, "there are /_fanout/health, /_fanout/stats, /_fanout/faults and /_fanout/reset");
}
