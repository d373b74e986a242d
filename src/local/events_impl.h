/* events_impl: what the files of local/events share: events.c (tables and what is compiled from them), events_put.c
 * (the PutEvents call), events_model.c (what the model forbids), events_deliver.c (one event to its targets). */
#ifndef FANOUT_LOCAL_EVENTS_IMPL_H
#define FANOUT_LOCAL_EVENTS_IMPL_H

#include "base/arena.h"
#include "base/json.h"
#include "event/pattern.h"
#include "local/events.h"

struct events_target {
    struct slice id, arn, dead_letter_arn, capture_bucket;
};

struct events_rule {
    struct slice bus, name, arn;
    struct event_pattern *pattern;
    struct events_target *targets;
    size_t n_targets;
};

struct local_events {
    struct local *local;
    struct local_sqs *sqs;
    struct local_s3 *s3;
    /* What the tables hold, compiled: the store's writer thread alone. */
    struct arena arena;
    struct slice *buses;
    size_t n_buses;
    struct events_rule *rules; /* the enabled ones */
    size_t n_rules;
};

/* An event on its way: the bus by name, and the envelope, whose text is what its targets get. */
struct events_event {
    struct slice bus, id;
    struct json event;
    int64_t time_ms;
};

/* Delivers to every target of every rule that matches. 0, or the code of a failed store_ call. */
int local_events_deliver(struct local_events *s, struct store_tx *tx, const struct events_event *event);

/* A bus as callers name it (a name, an ARN, or nothing: the default one) by its name. */
struct slice local_events_bus_name(struct slice bus);

bool local_events_has_bus(const struct local_events *s, struct slice bus);

/* Serves a PutEvents call. */
void local_events_put(struct local_events *s, struct local_call *call);

/* What is wrong with a request by the constraints of the service's model, in AWS's words. All zero is nothing. */
struct events_violations {
    struct buf text;
    size_t n;
};

/* Notes a value that is too short or too long, or no name or ARN of a bus; one that is not given (p NULL) is neither.
 * path is a printf format: "entries.%zu.member.eventBusName". */
void local_events_check_length(struct events_violations *v, struct slice value, size_t min, size_t max,
                               const char *path, ...) __attribute__((format(printf, 5, 6)));
void local_events_check_bus(struct events_violations *v, struct slice bus, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends v. False when there was something: then the call is answered with a ValidationException that lists it. */
bool local_events_take(struct events_violations *v, struct local_call *call);

/* Answers with an error as JSON 1.1 services do: {"__type":"CODE","message":"..."}. */
void local_events_refuse(struct local_call *call, int status, const char *code, const char *message);

#endif
