/* local: what fanout-local's parts know of each other.
 *
 * A request's way: httpd → server (whose service is it? is it signed? is a fault set on it?) → the service → the
 * store's writer → local_answer. A service is a table of functions (struct local_service); sqs, s3 and events are
 * three. The server names no service's insides and no service names another's, but for deliveries (events puts messages
 * into queues and objects into buckets, in its own transaction, through sqs.h and s3.h). */
#ifndef FANOUT_LOCAL_H
#define FANOUT_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "httpd/httpd.h"

struct local;
struct local_call;
struct local_fault;
struct local_key;
struct store;
struct store_tx;

/* One request in the hands of a service. The server makes it, local_answer and its like end it. Its owner (first the
 * HTTP thread inside serve, then whoever it was handed to) alone may touch it. */
struct local_call {
    struct local *local;
    const struct local_service *service;
    struct httpd_request *http;
    struct arena arena;     /* gone when the call ends */
    struct slice operation; /* "SendMessage"; what the fault rules name after "sqs:" */
    char request_id[UUID_TEXT_BYTES];
    int64_t at_ms, began_ns;   /* when it came: wall time, and clock_monotonic_ns */
    struct local_key *key;     /* the pair it was signed with; NULL: nobody's, and nobody asks (--no-auth) */
    struct slice resource;     /* what it is about (a queue's name, "bucket/key"), for the request log: the service sets
                                  it, to what lives as long as the call; empty: it did not get so far */
    char error[64];            /* the code it is refused with: local_note_error */
    struct slice payload_hash; /* x-amz-content-sha256 as it was signed: a digest that was found right,
                                  UNSIGNED-PAYLOAD or STREAMING-...; empty when there was none */
    int64_t signed_at_ms;      /* when the request says it was signed, and how */
    char signature[65];
    bool drop_answer;                  /* a fault: execute, then close the connection */
    bool duplicate;                    /* a fault: what this call sends or receives is delivered a second time */
    const struct local_fault *partial; /* a fault: of what entries it has, local_fails_entry says which fail */
};

struct local_service {
    const char *name;              /* in credential scopes and fault rules: "sqs" */
    const char *request_id_header; /* "x-amzn-RequestId" */
    void *context;                 /* of the service itself: call->service->context */

    /* Is this request this service's? Asked in the order of local_add_service. HTTP thread. */
    bool (*claims)(void *context, const struct httpd_request *r);

    /* What the request asks for ("SendMessage", "PutObject"), a slice of static text or of the request; empty when it
     * makes no sense (serve then says so in the service's words). HTTP thread. */
    struct slice (*operation)(void *context, const struct httpd_request *r);

    /* Is there an operation of that name? Any thread. */
    bool (*has_operation)(struct slice name);

    /* Answers the call, now or later, on any thread. Authenticated already. HTTP thread. */
    void (*serve)(void *context, struct local_call *call);

    /* Answers with an error in the service's protocol (and ends the call): how the server refuses what is not signed
     * and injects faults, in codes of the service's own. Any thread. */
    void (*refuse)(struct local_call *call, int status, const char *code, const char *message);

    /* Forgets what is in one resource, which stays, as it is named in local_call.resource (POST
     * /_fanout/reset?queue=NAME). In a job. 1: there is no such; otherwise what a job returns. NULL: it has none. */
    int (*empty)(void *context, struct store_tx *tx, struct slice resource);

    /* Forgets everything that is stored (POST /_fanout/reset), in a job. Returns what a job returns. */
    int (*reset)(void *context, struct store_tx *tx);

    /* Writes its figures as one JSON value (GET /_fanout/stats), in a job. NULL: it has none. */
    void (*describe)(void *context, struct store_tx *tx, struct buf *out);
};

/* The call is refused with this code: for the request log. Before local_answer; local_service.refuse does it, too. */
void local_note_error(struct local_call *call, const char *code);

/* Whether the i-th entry of the call, from 0, is to fail, as call->partial says, and not to be executed. */
bool local_fails_entry(const struct local_call *call, size_t i);

/* Who asks, as AWS would show the principal: the name of the key pair; the very text of
 * local_account for the command line's own. */
const char *local_principal(const struct local_call *call);

/* Ends the call with an answer; the request id is added. Any thread. */
void local_answer(struct local_call *call, const struct httpd_answer *answer);

/* Signs text by the key, day, region and service that the call was signed with (what the chunks of an upload carry): 64
 * hex digits and a NUL. ERR_NO_MEMORY. call->key is there. */
int local_sign(const struct local_call *call, struct slice text, char out[65]);

/* Ends the call because the store could not do its work: 503 ServiceUnavailable (a full disk, shutting down) or 500
 * InternalFailure, in the service's protocol. */
void local_answer_failure(struct local_call *call, const struct err *error);

/* ---- the server -------------------------------------------------------------------------------------------------- */

struct local_options {
    const char *listen;                                            /* "127.0.0.1:4566" */
    const char *data;                                              /* folder; NULL: in memory */
    bool check, salvage;                                           /* struct store_options */
    const char *access_key_id, *secret_access_key, *session_token; /* access_key_id NULL: credentials alone */
    const char *credentials;                                       /* file of key pairs (keys.h); NULL: none */
    bool no_auth;                                                  /* nobody needs a signature */
    const char *admin_token;                                       /* of /_fanout/; NULL: loopback needs none */
    const char *account, *region;
    size_t put_events_bytes; /* what the entries of one PutEvents call may add up to */
};

/* Opens the store. Then the services are made, which add themselves; then it is started. */
int local_new(const struct local_options *options, struct local **ret_local, struct err *e);

/* Before local_start. The struct is copied, what it points to is borrowed until local_stop. */
int local_add_service(struct local *l, const struct local_service *service, struct err *e);

/* Starts the store's writer and listens; every request is answered 503 until local_serve, so that the URL is known
 * while the server is provisioned. */
int local_start(struct local *l, struct err *e);
void local_serve(struct local *l);

/* What makes the server's first queues and buckets: called here (after local_start), and again after every reset. */
typedef int local_provision_fn(struct local *l, void *context, struct err *e);
int local_provision_with(struct local *l, local_provision_fn *provision, void *context, struct err *e);

/* Reads the file of key pairs again. What is wrong with it is logged, and the pairs of before stay. Any thread. */
void local_reload(struct local *l);

/* Refuses new requests, finishes what is running, answers what is parked, closes the store and the port. After it the
 * services may be destroyed, then the server. */
void local_stop(struct local *l);
void local_destroy(struct local *l); /* NULL is fine */

const char *local_url(const struct local *l);     /* "http://127.0.0.1:4566" */
const char *local_account(const struct local *l); /* "000000000000" */
const char *local_region(const struct local *l);  /* "us-east-1" */
size_t local_put_events_bytes(const struct local *l);
struct store *local_store(const struct local *l);

#endif
