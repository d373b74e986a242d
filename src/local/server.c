#include "local/local_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define MAX_BODY_BYTES  ((size_t)128 << 20) /* an S3 object in one PUT */
#define MAX_CONNECTIONS 4000
#define HTTP_THREADS    2

/* ---- life -------------------------------------------------------------------------------------------------------- */

int
local_new(const struct local_options *o, struct local **ret_local, struct err *e)
{
    struct local *l = calloc(1, sizeof *l);
    if (!l)
        return err_no_memory(e);
    pthread_mutex_init(&l->lock, NULL);
    l->started_at_ms = clock_monotonic_ms();
    l->listen = strdup(o->listen);
    l->account = strdup(o->account);
    l->region = strdup(o->region);
    l->admin_token = o->admin_token ? strdup(o->admin_token) : NULL;
    l->put_events_bytes = o->put_events_bytes;
    bool copied = l->listen && l->account && l->region && (l->admin_token || !o->admin_token);
    int code = copied ? 0 : err_no_memory(e);
    struct store_options store = {.directory = o->data, .check = o->check, .salvage = o->salvage};
    struct local_auth_options auth = {.access_key_id = o->access_key_id,
                                      .secret_access_key = o->secret_access_key,
                                      .session_token = o->session_token,
                                      .credentials = o->credentials,
                                      .region = o->region,
                                      .no_auth = o->no_auth};
    if (!code)
        code = local_auth_new(&auth, &l->auth, e);
    if (!code)
        code = local_faults_new(&l->faults, e);
    if (!code)
        code = local_figures_new(&l->figures, e);
    if (!code)
        code = local_requests_new(&l->requests, e);
    if (!code)
        code = store_open(&store, &l->store, e);
    if (!code)
        code = local_delays_new(l, &l->delays, e);
    if (code)
        local_destroy(l);
    else
        *ret_local = l;
    return code;
}

int
local_add_service(struct local *l, const struct local_service *service, struct err *e)
{
    if (l->n_services == LOCAL_MAX_SERVICES)
        return err_set(e, ERR_LIMIT, "no more than %d services", LOCAL_MAX_SERVICES);
    l->services[l->n_services++] = *service;
    return 0;
}

int
local_start(struct local *l, struct err *e)
{
    struct httpd_options http = {.listen = l->listen,
                                 .handler = local_handle,
                                 .context = l,
                                 .threads = HTTP_THREADS,
                                 .max_body_bytes = MAX_BODY_BYTES,
                                 .max_connections = MAX_CONNECTIONS};
    int code = store_start(l->store, e);
    if (!code)
        code = httpd_new(&http, &l->httpd, e);
    if (!code)
        store_tell_url(l->store, httpd_url(l->httpd));
    return code;
}

int
local_provision_with(struct local *l, local_provision_fn *provision, void *context, struct err *e)
{
    l->provision = provision;
    l->provision_context = context;
    return provision(l, context, e);
}

void
local_serve(struct local *l)
{
    atomic_store(&l->serving, true);
}

void
local_reload(struct local *l)
{
    struct err e;
    size_t n = 0;
    if (local_auth_reload(l->auth, &n, &e) != 0)
        log_write(LOG_ERROR, "the credentials were not read again; those of before stay", LOG_ERR(&e));
    else
        log_write(LOG_INFO, "the credentials were read again", LOG_INT("pairs", n));
}

void
local_stop(struct local *l)
{
    atomic_store(&l->serving, false);
    store_stop(l->store);
    httpd_destroy(l->httpd);
    l->httpd = NULL;
}

void
local_destroy(struct local *l)
{
    if (!l)
        return;
    if (l->store)
        local_stop(l);
    store_destroy(l->store);
    local_delays_destroy(l->delays);
    local_requests_destroy(l->requests);
    local_figures_destroy(l->figures);
    local_faults_destroy(l->faults);
    local_auth_destroy(l->auth);
    pthread_mutex_destroy(&l->lock);
    free(l->listen);
    free(l->account);
    free(l->region);
    if (l->admin_token)
        explicit_bzero(l->admin_token, strlen(l->admin_token));
    free(l->admin_token);
    free(l);
}

const char *
local_url(const struct local *l)
{
    return httpd_url(l->httpd);
}

const char *
local_account(const struct local *l)
{
    return l->account;
}

const char *
local_region(const struct local *l)
{
    return l->region;
}

size_t
local_put_events_bytes(const struct local *l)
{
    return l->put_events_bytes;
}

struct store *
local_store(const struct local *l)
{
    return l->store;
}
