#include "local/local_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define MAX_BODY_BYTES  ((size_t)128 << 20) /* an S3 object in one PUT */
#define MAX_CONNECTIONS 4000
#define HTTP_THREADS    2
#define ARENA_BYTES     16384

/* ---- the way of a call ------------------------------------------------------------------------------------------- */

static void
make_request_id(struct local *l, char out[UUID_TEXT_BYTES])
{
    uint8_t random[16];
    pthread_mutex_lock(&l->lock);
    if (l->random_left == 0) {
        uuid_random_bytes(l->random, sizeof l->random);
        l->random_left = sizeof l->random;
    }
    l->random_left -= sizeof random;
    memcpy(random, l->random + l->random_left, sizeof random);
    pthread_mutex_unlock(&l->lock);
    uuid_from_random(random, out);
}

static bool
is_of(const struct local_counter *c, const struct local_service *service, struct slice operation)
{
    size_t n = strlen(service->name);
    return strncmp(c->name, service->name, n) == 0 && c->name[n] == ':' &&
           slice_equals_string(operation, c->name + n + 1);
}

static void
count(struct local *l, const struct local_service *service, struct slice operation)
{
    operation.n = operation.n < 40 ? operation.n : 40;
    pthread_mutex_lock(&l->lock);
    size_t i = 0;
    while (i < l->n_counters && !is_of(&l->counters[i], service, operation))
        i++;
    if (i == LOCAL_MAX_COUNTERS - 1) {
        snprintf(l->counters[i].name, sizeof l->counters[i].name, "other");
    } else if (i == l->n_counters) {
        snprintf(l->counters[i].name, sizeof l->counters[i].name, "%s:%.*s", service->name, (int)operation.n,
                 operation.n ? operation.p : "");
        l->n_counters++;
    }
    l->counters[i].n++;
    pthread_mutex_unlock(&l->lock);
}

static void
end(struct local_call *call)
{
    arena_clean_up(&call->arena);
    free(call);
}

void
local_answer(struct local_call *call, const struct httpd_answer *answer)
{
    struct httpd_answer with_id = *answer;
    struct httpd_request *http = call->http;
    struct httpd_header_out *headers = arena_alloc(&call->arena, (answer->n_headers + 1) * sizeof *headers);
    if (headers && answer->n_headers > 0)
        memcpy(headers, answer->headers, answer->n_headers * sizeof *headers);
    if (headers)
        headers[answer->n_headers] = (struct httpd_header_out){call->service->request_id_header, call->request_id};
    with_id.headers = headers;
    with_id.n_headers = answer->n_headers + 1;
    if (call->drop_answer || !headers) /* no memory: half an answer would be worse than none */
        httpd_drop(http);
    else
        httpd_answer(http, &with_id);
    end(call);
}

static void
drop(struct local_call *call)
{
    httpd_drop(call->http);
    end(call);
}

int
local_sign(const struct local_call *call, struct slice text, char out[65])
{
    return local_auth_sign(call->local->auth, call->service->name, call->signed_at_ms, text, out);
}

void
local_answer_failure(struct local_call *call, const struct err *error)
{
    bool later = error->code == ERR_UNAVAILABLE || error->code == ERR_CANCELLED;
    call->service->refuse(call, later ? 503 : 500, later ? "ServiceUnavailable" : "InternalFailure",
                          later ? "The server cannot store anything at the moment. Try again later."
                                : "The server met an error of its own. Its log says which.");
}

/* Does what a drawn fault asks for before the call is served; false when that was the end of it. */
static bool
suffer(struct local_call *call, const struct local_fault *fault)
{
    switch (fault->kind) {
    case LOCAL_FAULT_ERROR:
        call->service->refuse(call, fault->status, fault->code, fault->message);
        return false;
    case LOCAL_FAULT_DELAY:
        local_delays_add(call->local->delays, call, fault->delay_ms);
        return false;
    case LOCAL_FAULT_DROP_BEFORE:
        drop(call);
        return false;
    case LOCAL_FAULT_DROP_AFTER:
        call->drop_answer = true;
        return true;
    case LOCAL_FAULT_DUPLICATE:
        call->duplicate = true;
        return true;
    }
    return true;
}

static void
admit(struct local_call *call)
{
    struct local *l = call->local;
    struct local_auth_result auth;
    struct local_fault fault;
    const struct local_service *service = call->service;
    local_auth_verify(l->auth, call->http, service->name, &auth);
    call->payload_hash = auth.payload_hash;
    call->signed_at_ms = auth.signed_at_ms;
    memcpy(call->signature, auth.signature, sizeof call->signature);
    if (auth.status) {
        log_write(LOG_DEBUG, "refused", LOG_STR("service", service->name), LOG_SLICE("operation", call->operation),
                  LOG_STR("code", auth.code), LOG_STR("reason", auth.message));
        service->refuse(call, auth.status, auth.code, auth.message);
        return;
    }
    count(l, service, call->operation);
    if (!local_faults_draw(l->faults, service->name, call->operation, &fault) || suffer(call, &fault))
        service->serve(service->context, call);
}

static const struct local_service *
claimant(struct local *l, const struct httpd_request *r)
{
    for (size_t i = 0; i < l->n_services; i++)
        if (l->services[i].claims(l->services[i].context, r))
            return &l->services[i];
    return NULL;
}

static void
answer_plain(struct httpd_request *r, int status, const char *text)
{
    httpd_answer(r,
                 &(struct httpd_answer){.status = status, .content_type = "text/plain", .body = slice_of_string(text)});
}

static void
handle(void *context, struct httpd_request *r)
{
    struct local *l = context;
    bool is_signed = httpd_header(r, "authorization").n > 0; /* then it is a key in a bucket that the host names */
    if (slice_starts_with(httpd_path(r), SLICE("/_fanout/")) && !is_signed) {
        local_admin_serve(l, r);
        return;
    }
    if (!atomic_load(&l->serving)) {
        answer_plain(r, 503, "The server is starting or shutting down.\n");
        return;
    }
    const struct local_service *service = claimant(l, r);
    struct local_call *call = service ? calloc(1, sizeof *call) : NULL;
    if (!call) {
        answer_plain(r, service ? 503 : 404, service ? "Out of memory.\n" : "No service answers this.\n");
        return;
    }
    call->local = l;
    call->service = service;
    call->http = r;
    arena_init(&call->arena, ARENA_BYTES);
    make_request_id(l, call->request_id);
    call->operation = service->operation(service->context, r);
    admit(call);
}

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
    l->put_events_bytes = o->put_events_bytes;
    int code = l->listen && l->account && l->region ? 0 : err_no_memory(e);
    struct store_options store = {.directory = o->data};
    struct local_auth_options auth = {
        .access_key_id = o->access_key_id, .secret_access_key = o->secret_access_key, .region = o->region};
    if (!code)
        code = local_auth_new(&auth, &l->auth, e);
    if (!code)
        code = local_faults_new(&l->faults, e);
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
                                 .handler = handle,
                                 .context = l,
                                 .threads = HTTP_THREADS,
                                 .max_body_bytes = MAX_BODY_BYTES,
                                 .max_connections = MAX_CONNECTIONS};
    int code = store_start(l->store, e);
    return code ? code : httpd_new(&http, &l->httpd, e);
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
    local_faults_destroy(l->faults);
    local_auth_destroy(l->auth);
    pthread_mutex_destroy(&l->lock);
    free(l->listen);
    free(l->account);
    free(l->region);
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
