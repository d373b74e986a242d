/* events: the EventBridge of fanout-local: buses, rules, targets, PutEvents.
 *
 * An event is matched against the rules of its bus and delivered to their targets in the transaction of the PutEvents
 * call itself: when the caller reads an event id, every copy of the event is durable. Two kinds of target exist here: a
 * queue, and the capture function, which writes the event as an object. A target that is neither, or that has gone, or
 * whose input cannot be made of the event (events_input.h), sends the event to its dead-letter queue with the
 * attributes AWS gives it (FACTS.md, 2). There is nothing to be retried: a RetryPolicy is kept and shown.
 *
 * An event may be as large as a message; its envelope is larger. One that no queue takes for that reason, its
 * dead-letter queue included, is captured and not delivered, and the log says so.
 *
 * Rules come from the template and from PutRule and its kin (events_rules.c, events_targets.c), and a change counts
 * from the next PutEvents on. AWS's words and limits, but for what this server has not: schedules, targets that are no
 * queues, permissions (a RoleArn is kept and shown), tags (checked, and kept nowhere: nothing here reads them), and the
 * quotas of a region (300 rules a bus).
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

/* ---- for provisioning: in a transaction ---------------------------------------------------------------------------
 * The rules of a template are kept as CloudFormation keeps a stack's: a rule is made when the template first names it,
 * made anew when the template says something else of it than the last time, and deleted when the template no longer
 * names it. In between it is left alone: what calls made of it (disabled it, changed it, deleted it) stays, and the log
 * says so. Rules that calls made are nobody's but the callers'. A reset forgets all of that.
 *
 * Names are taken as they come. A rule's bus is given by its name or ARN; empty: the default bus. */

int local_events_put_bus(struct local_events *s, struct store_tx *tx, struct slice bus);

struct local_events_target {
    struct slice id, arn;
    struct slice dead_letter_arn; /* empty: none */
    struct slice capture_bucket;  /* not empty: the capture function, writing there */
    struct slice settings;        /* Input, InputPath, InputTransformer, SqsParameters: a JSON object; empty: none */
};

struct local_events_rule {
    struct slice bus, name, pattern;
    bool enabled;
    const struct local_events_target *targets;
    size_t n_targets;
};

/* Before the first rule of a template, and after the last. */
int local_events_begin_rules(struct local_events *s, struct store_tx *tx);
int local_events_end_rules(struct local_events *s, struct store_tx *tx);

/* ERR_INVALID, ERR_LIMIT: the pattern, with AWS's text, or a target; ERR_NOT_FOUND: there is no such bus; the text
 * begins with the rule's property that is at fault. Nothing was written then, and the transaction goes on. */
int local_events_provide_rule(struct local_events *s, struct store_tx *tx, const struct local_events_rule *rule,
                              struct err *e);

#endif
