#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "local/local_impl.h"

#define ARENA_BYTES 16384

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

void
local_note_error(struct local_call *call, const char *code)
{
    snprintf(call->error, sizeof call->error, "%s", code);
}

const char *
local_principal(const struct local_call *call)
{
    return call->key && call->key->name[0] ? call->key->name : call->local->account;
}

/* The call is over: before the client hears of it, so that it finds what it asked for in the figures. */
static void
note(const struct local_call *call, int status, size_t bytes_out)
{
    struct local *l = call->local;
    int64_t duration_us = (clock_monotonic_ns() - call->began_ns) / 1000;
    const struct local_request r = {.service = call->service->name,
                                    .id = call->request_id,
                                    .error = call->error,
                                    .key = call->key ? call->key->name : "",
                                    .operation = call->operation,
                                    .resource = call->resource,
                                    .at_ms = call->at_ms,
                                    .duration_us = duration_us,
                                    .status = status,
                                    .bytes_in = httpd_body(call->http).n,
                                    .bytes_out = bytes_out};
    local_figures_note(l->figures, r.service, r.operation, status, duration_us);
    local_requests_note(l->requests, &r);
}

static void
end(struct local_call *call)
{
    local_key_release(call->key);
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
    bool dropped = call->drop_answer || !headers; /* no memory: half an answer would be worse than none */
    note(call, dropped ? 0 : answer->status, dropped ? 0 : answer->body.n);
    if (dropped)
        httpd_drop(http);
    else
        httpd_answer(http, &with_id);
    end(call);
}

static void
drop(struct local_call *call)
{
    note(call, 0, 0);
    httpd_drop(call->http);
    end(call);
}

int
local_sign(const struct local_call *call, struct slice text, char out[65])
{
    return local_auth_sign(call->local->auth, call->key, call->service->name, call->signed_at_ms, text, out);
}

void
local_answer_failure(struct local_call *call, const struct err *error)
{
    bool later = error->code == ERR_UNAVAILABLE || error->code == ERR_CANCELLED;
    call->service->refuse(call, later ? 503 : 500, later ? "ServiceUnavailable" : "InternalFailure",
                          later ? "The server cannot store anything at the moment. Try again later."
                                : "The server met an error of its own. Its log says which.");
}

bool
local_fails_entry(const struct local_call *call, size_t i)
{
    return call->partial && i % call->partial->every == 0;
}

static const struct local_fault *
keep_fault(struct local_call *call, const struct local_fault *fault)
{
    struct local_fault *kept = arena_alloc(&call->arena, sizeof *kept);
    if (kept)
        *kept = *fault;
    return kept;
}

/* Does what a drawn fault asks for before the call is served; false when that was the end of it. */
static bool
suffer(struct local_call *call, const struct local_fault *fault)
{
    switch (fault->kind) {
    case LOCAL_FAULT_ERROR:
        local_note_error(call, fault->code);
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
    case LOCAL_FAULT_PARTIAL:
        call->partial = keep_fault(call, fault); /* no memory: this one is spared */
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
    call->key = auth.key;
    call->payload_hash = auth.payload_hash;
    call->signed_at_ms = auth.signed_at_ms;
    memcpy(call->signature, auth.signature, sizeof call->signature);
    if (auth.status) {
        log_write(LOG_DEBUG, "refused", LOG_STR("service", service->name), LOG_SLICE("operation", call->operation),
                  LOG_STR("code", auth.code), LOG_STR("reason", auth.message));
        local_note_error(call, auth.code);
        service->refuse(call, auth.status, auth.code, auth.message);
        return;
    }
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

/* Signed, it is a key in a bucket that the host names. */
static bool
is_admins(const struct httpd_request *r)
{
    struct slice path = httpd_path(r);
    return (slice_starts_with(path, SLICE("/_fanout/")) || slice_equals(path, SLICE("/_fanout"))) &&
           !slice_starts_with(httpd_header(r, "authorization"), SLICE("AWS"));
}

void
local_handle(void *context, struct httpd_request *r)
{
    struct local *l = context;
    if (is_admins(r)) {
        local_admin_serve(l, r);
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
    call->began_ns = clock_monotonic_ns();
    call->at_ms = clock_wall_ms();
    arena_init(&call->arena, ARENA_BYTES);
    make_request_id(l, call->request_id);
    call->operation = service->operation(service->context, r);
    if (atomic_load(&l->serving))
        admit(call);
    else
        service->refuse(call, 503, "ServiceUnavailable", "The server is starting or shutting down. Try again later.");
}
