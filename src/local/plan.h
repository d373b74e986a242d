/* plan: what a CloudFormation template asks of this server.
 *
 * Buses, buckets, queues and rules become steps, in an order in which each step finds what it refers to. What needs
 * nothing here (roles, permissions: nobody is refused for them) is accepted in silence; what has no counterpart here is
 * left out and named in a note, because a person must know what the local system does not do that AWS would. Pure:
 * local/provision carries the plan out. */
#ifndef FANOUT_LOCAL_PLAN_H
#define FANOUT_LOCAL_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "local/events.h"
#include "local/sqs.h"
#include "local/template.h"

/* AWS's limit on the targets of a rule. */
#define LOCAL_PLAN_TARGETS_MAX 5

enum local_plan_kind { LOCAL_PLAN_BUS, LOCAL_PLAN_BUCKET, LOCAL_PLAN_QUEUE, LOCAL_PLAN_RULE };

struct local_plan_step {
    enum local_plan_kind kind;
    const char *id; /* logical id, for errors */
    struct slice name;
    /* a queue */
    struct local_sqs_attribute *attributes;
    size_t n_attributes;
    /* a rule */
    struct slice bus; /* as the template names it: name, ARN, or empty */
    struct slice pattern;
    bool enabled;
    struct local_events_target *targets;
    size_t n_targets;
};

/* Something that is not done. */
struct local_plan_note {
    bool warning;     /* a person should know; otherwise for developers */
    const char *path; /* "Resources.Table.Type" */
    const char *text;
};

struct local_plan {
    const struct local_plan_step *steps;
    size_t n_steps;
    const struct local_plan_note *notes;
    size_t n_notes;
};

/* A function that has the environment variable BUCKET and whose inline code mentions "raw-events/" is the capture
 * function: its rules' targets capture into that bucket. ERR_INVALID names the path of the fault; ERR_NO_MEMORY. The
 * template must outlive the plan. */
int local_plan_make(const struct template *t, struct local_plan **ret_plan, struct err *e);
void local_plan_destroy(struct local_plan *p); /* NULL is fine */

#endif
