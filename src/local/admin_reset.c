#include "local/admin_impl.h"

#include "base/log.h"
#include "local/auth_query.h"

/* What is to be forgotten: all, one service's, or what is in one queue. */
struct wish {
    struct local *local;
    struct buf service, queue;
    bool found;
};

static int
run(struct store_tx *tx, void *context)
{
    struct wish *w = context;
    const struct local *l = w->local;
    w->found = w->service.len == 0 && w->queue.len == 0;
    for (size_t i = 0; i < l->n_services; i++) {
        const struct local_service *s = &l->services[i];
        int code = 0;
        if (w->service.len > 0 && !slice_equals_string(buf_slice(&w->service), s->name))
            continue;
        if (w->queue.len == 0) {
            w->found = true;
            code = s->reset ? s->reset(s->context, tx) : 0;
        } else if (s->empty) {
            code = s->empty(s->context, tx, buf_slice(&w->queue));
            w->found |= code == 0;
        }
        if (code < 0)
            return code;
    }
    return 0;
}

static bool
read_wish(struct httpd_request *r, struct wish *w)
{
    struct slice value, query = httpd_query(r);
    bool known = query.n == 0;
    if (local_auth_query_get(query, "service", &value)) {
        local_auth_query_decode(value, &w->service);
        known = w->service.len > 0;
    }
    if (local_auth_query_get(query, "queue", &value)) {
        local_auth_query_decode(value, &w->queue);
        known = w->queue.len > 0;
    }
    return known && !buf_failed(&w->service) && !buf_failed(&w->queue);
}

static void
forget_all_else(struct local *l)
{
    local_faults_clear(l->faults);
    local_figures_clear(l->figures);
    local_requests_clear(l->requests);
}

void
local_admin_reset(struct local *l, struct httpd_request *r)
{
    struct err e;
    struct wish w = {.local = l};
    if (!atomic_load(&l->serving)) {
        local_admin_answer_error(r, 503, "the server is starting or shutting down");
        return;
    }
    if (!read_wish(r, &w)) {
        local_admin_answer_error(r, 400,
                                 "there are POST /_fanout/reset, and the same with ?service=NAME or ?queue=NAME");
    } else {
        bool all = w.service.len == 0 && w.queue.len == 0;
        if (all)
            forget_all_else(l);
        int code = store_call(l->store, run, &w, &e);
        if (!code && w.found && w.queue.len == 0 && l->provision)
            code = l->provision(l, l->provision_context, &e);
        if (code)
            local_admin_answer_error(r, 500, e.text);
        else if (!w.found)
            local_admin_answer_error(r, 404, w.queue.len ? "there is no such queue" : "there is no such service");
        else
            local_admin_answer(r, 200, SLICE("{}\n"));
        log_write(code ? LOG_ERROR : LOG_INFO, "reset", LOG_SLICE("service", buf_slice(&w.service)),
                  LOG_SLICE("queue", buf_slice(&w.queue)));
    }
    buf_clean_up(&w.service);
    buf_clean_up(&w.queue);
}
