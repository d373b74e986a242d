/* local_impl: the server's own parts, shared by server.c (its life), call.c (a request's way), admin.c and its like
 * (/_fanout/), and delays.c. */
#ifndef FANOUT_LOCAL_IMPL_H
#define FANOUT_LOCAL_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "local/auth.h"
#include "local/faults.h"
#include "local/figures.h"
#include "local/local.h"
#include "local/requests.h"
#include "local/store.h"

#define LOCAL_MAX_SERVICES 8

struct local {
    char *listen, *account, *region, *admin_token;
    size_t put_events_bytes;
    struct store *store;
    struct local_auth *auth;
    struct local_faults *faults;
    struct local_figures *figures;
    struct local_requests *requests;
    struct local_delays *delays;
    struct httpd *httpd;
    struct local_service services[LOCAL_MAX_SERVICES];
    size_t n_services;
    int64_t started_at_ms; /* monotonic */
    atomic_bool serving;
    local_provision_fn *provision;
    void *provision_context;

    /* Guards what follows. */
    pthread_mutex_t lock;
    uint8_t random[1024]; /* for request ids: one call of the kernel pays for many; random_left of it are unused */
    size_t random_left;
};

/* call.c: whatever is asked for. context: the struct local. */
void local_handle(void *context, struct httpd_request *r);

/* admin.c: answers a request under /_fanout/. */
void local_admin_serve(struct local *l, struct httpd_request *r);

/* delays.c: calls that wait before they are served, by the store's clock. */
int local_delays_new(struct local *l, struct local_delays **ret_delays, struct err *e);
void local_delays_destroy(struct local_delays *d);
void local_delays_add(struct local_delays *d, struct local_call *call, int64_t delay_ms);

#endif
