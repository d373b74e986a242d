/* events_impl: what the files of local/events share: events.c (tables and what is compiled from them), events_put.c
 * (PutEvents), events_deliver.c (one event to its targets), events_call.c (a call of any other operation),
 * events_rules.c and events_targets.c (those operations), events_provision.c (what a template asks for). */
#ifndef FANOUT_LOCAL_EVENTS_IMPL_H
#define FANOUT_LOCAL_EVENTS_IMPL_H

#include "base/arena.h"
#include "base/json.h"
#include "event/pattern.h"
#include "event/ruleset.h"
#include "local/events.h"
#include "local/events_input.h"
#include "local/events_requests.h"
#include "local/events_shape.h"

struct events_target {
    struct slice id, arn, dead_letter_arn, capture_bucket, group_id;
    struct events_input input;
};

struct events_rule {
    struct slice bus, name, arn, pattern;
    struct events_target *targets;
    size_t n_targets;
};

struct events_bus {
    struct slice name;
    const struct events_rule *rules; /* the enabled ones */
    size_t n_rules;
    struct event_rules *patterns; /* of these rules, in their order */
    struct event_scratch *scratch;
    uint32_t *matched; /* room for the index of each */
};

struct local_events {
    struct local *local;
    struct local_sqs *sqs;
    struct local_s3 *s3;
    /* What the tables hold, compiled: the store's writer thread alone. */
    struct arena arena;
    struct events_bus *buses;
    size_t n_buses;
    struct events_rule *rules; /* of all buses, one bus after the other */
    size_t n_rules;
    bool stale; /* rules or targets were changed since: they are compiled again before the next event */
};

/* ---- what is kept in memory; writer thread ----------------------------------------------------------------------- */

/* Makes it of the tables again, when the buses were changed, or the rules and there is an event to be delivered. */
int local_events_load(struct local_events *s, struct store_tx *tx);

/* A statement whose first two bindings are a bus and a rule; NULL as store_prepare's. */
sqlite3_stmt *local_events_prepare(struct store_tx *tx, const char *sql, struct slice bus, struct slice rule);

/* A bus as callers name it (a name, an ARN, or nothing: the default one) by its name. */
struct slice local_events_bus_name(struct slice bus);

/* NULL: there is no such bus. */
const struct events_bus *local_events_bus(const struct local_events *s, struct slice name);

/* "arn:aws:events:REGION:ACCOUNT:rule/[BUS/]NAME", without the bus for the default one. NULL in p: no memory. */
struct slice local_events_rule_arn(const struct local_events *s, struct arena *arena, struct slice bus,
                                   struct slice rule);

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* An event on its way: its envelope's text is what its targets get. */
struct events_event {
    const struct events_bus *bus;
    struct slice id;
    struct json event;
    int64_t time_ms, ingested_at_ms;
};

/* Delivers to every target of every rule that matches. 0, or the code of a failed store_ call. */
int local_events_deliver(struct local_events *s, struct store_tx *tx, const struct events_event *event);

/* Serves a PutEvents call. */
void local_events_put(struct local_events *s, struct local_call *call);

/* ---- the other operations ---------------------------------------------------------------------------------------- */

/* A call of one of them. */
struct events_request {
    struct store_job job;
    const struct events_operation *operation;
    struct local_events *events;
    struct local_call *call;
    struct json body;  /* checked against the operation's shape */
    struct buf answer; /* the result; empty for operations without one */
    const char *code;  /* not NULL: refused */
    struct buf message;
};

struct events_operation {
    const char *name;
    const struct events_shape *shape;
    bool without_store; /* run is called with tx NULL, on the HTTP thread */

    /* Writes the answer, or refuses, and returns 0; otherwise the code of a failed store_ call. May run again
     * (store.h): the answer is empty then as well. */
    int (*run)(struct store_tx *tx, struct events_request *r);
};

/* Lists of them, which end with a NULL name. */
extern const struct events_operation EVENTS_RULE_OPERATIONS[], EVENTS_TARGET_OPERATIONS[];

const struct events_operation *local_events_find_operation(struct slice name); /* NULL: there is none */
void local_events_serve(struct local_events *s, struct local_call *call, const struct events_operation *operation);

/* Refuses the request with 400; returns 0, for run to return. */
int local_events_reject(struct events_request *r, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads a text of the request, or of a structure in it. A code of run's when there is no memory. */
int local_events_text(struct store_tx *tx, struct events_request *r, struct json object, const char *name,
                      struct slice *ret);

/* The bus that EventBusName names. 0, 1 (rejected: there is no such bus), or a code of run's. */
int local_events_find_bus(struct store_tx *tx, struct events_request *r, struct slice *ret_bus);

/* The rule that the member `name` names on that bus. 0, 1 (rejected: it does not exist), or a code of run's. */
int local_events_find_rule(struct store_tx *tx, struct events_request *r, const char *name, struct slice *ret_bus,
                           struct slice *ret_rule);

/* A page of a list: after which name it begins (NextToken; empty: at the first) and how many entries it may have. 0, 1
 * (rejected: a token that we never gave), or a code of run's. */
struct events_page {
    struct slice after;
    int64_t limit;
};
int local_events_read_page(struct store_tx *tx, struct events_request *r, struct events_page *ret_page);

/* Answers with a page of the rows of q, which has one row more than the page when there is another page, and the
 * entry's name in its first column: {"LIST":[...],"NextToken":"..."}. add appends the entry of a row; a code of run's.
 */
typedef int events_add_fn(struct store_tx *tx, struct events_request *r, sqlite3_stmt *q);
int local_events_write_page(struct store_tx *tx, struct events_request *r, const struct events_page *page,
                            sqlite3_stmt *q, const char *list, events_add_fn *add);

/* Appends `"NAME":"TEXT"`, with a comma in front unless it is the first; an empty text is left out. */
void local_events_add_text(struct buf *out, const char *name, struct slice text);

/* A call changed a rule or its targets: what is compiled is stale, and the next provisioning knows. */
int local_events_rule_changed(struct store_tx *tx, struct events_request *r, struct slice bus, struct slice rule);

/* Answers with an error as JSON 1.1 services do: {"__type":"CODE","message":"..."}. */
void local_events_refuse(struct local_call *call, int status, const char *code, const char *message);

/* Ends v. False when there was something: then the call is answered with a SerializationException or a
 * ValidationException that says what. */
bool local_events_take(struct events_violations *v, struct local_call *call);

/* ---- targets ------------------------------------------------------------------------------------------------------
 */

/* Compiles a checked target (EVENTS_TARGET) into arena. ERR_INVALID: what is wrong, in AWS's words where they are
 * known; ERR_NO_MEMORY. The capture bucket is the caller's to fill in. */
int local_events_compile_target(struct json target, struct arena *arena, struct events_target *ret_target,
                                struct err *e);

/* Writes a row of events_targets; one of the same id is replaced. target: JSON, as ListTargetsByRule is to show it. */
int local_events_write_target(struct store_tx *tx, struct slice bus, struct slice rule, struct slice id,
                              struct slice target, struct slice capture_bucket);

#endif
