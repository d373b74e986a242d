/* events: the EventBridge of fanout-local: buses, rules, targets, PutEvents.
 *
 * An event is matched against the rules of its bus and delivered to their targets in the transaction of the PutEvents
 * call itself: when the caller reads an event id, every copy of the event is durable. Two kinds of target exist here: a
 * queue, and the capture function, which writes the event as an object. A target that is neither, or that has gone,
 * sends the event to its dead-letter queue with the attributes AWS gives it (FACTS.md, 2).
 *
 * An event may be as large as a message; its envelope is larger. One that no queue takes for that reason, its
 * dead-letter queue included, is captured and not delivered, and the log says so.
 *
 * Rules, buses and targets live in tables (events_*) and, compiled, in memory that belongs to the store's writer. */
#ifndef FANOUT_LOCAL_EVENTS_H
#define FANOUT_LOCAL_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "local/local.h"
#include "local/s3.h"
#include "local/sqs.h"
#include "local/store.h"

struct local_events;

/* Adds itself to the server and its store; delivers to queues of sqs and, captured, to buckets of s3 (both borrowed).
 */
int local_events_new(struct local *l, struct local_sqs *sqs, struct local_s3 *s3, struct local_events **ret_events,
                     struct err *e);
void local_events_destroy(struct local_events *s); /* after local_stop; NULL is fine */

/* ---- for provisioning: in a transaction; what is there already is replaced ---------------------------------------
 * Names are taken as they come. A rule's bus is given by its name or ARN; empty: the default bus. */

/* Removes every rule. Provisioning makes the template's anew, so that one that was renamed there, or left out, does not
 * go on delivering beside the others. */
int local_events_clear_rules(struct local_events *s, struct store_tx *tx);

int local_events_put_bus(struct local_events *s, struct store_tx *tx, struct slice bus);

/* ERR_INVALID, ERR_LIMIT: the pattern, with AWS's text; ERR_NOT_FOUND: there is no such bus. Nothing was written then,
 * and the transaction goes on. */
int local_events_put_rule(struct local_events *s, struct store_tx *tx, struct slice bus, struct slice rule,
                          struct slice pattern, bool enabled, struct err *e);

struct local_events_target {
    struct slice id, arn;
    struct slice dead_letter_arn; /* empty: none */
    struct slice capture_bucket;  /* not empty: the capture function, writing there */
};

/* Makes these all of the rule's targets. */
int local_events_put_targets(struct local_events *s, struct store_tx *tx, struct slice bus, struct slice rule,
                             const struct local_events_target *targets, size_t n);

#endif
