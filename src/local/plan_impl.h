/* plan_impl: what the files of local/plan share: plan.c (what each type of resource becomes) and plan_properties.c (how
 * their properties are read). */
#ifndef FANOUT_LOCAL_PLAN_IMPL_H
#define FANOUT_LOCAL_PLAN_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "local/plan.h"

#define PLAN_NOTES_MAX 200

struct plan_capture {
    const char *function;
    struct slice bucket;
};

struct planner {
    struct local_plan public; /* first: what the caller holds */
    struct arena arena;
    struct local_plan_step *steps;
    struct local_plan_note *notes;
    size_t n_steps, n_notes;
    struct plan_capture *captures;
    size_t n_captures;
};

/* An object of the template in the planner's hands. */
struct plan_subject {
    struct planner *planner;
    const struct template_resource *resource; /* it, or what it is part of */
    const char *path;                         /* "Resources.Rule.Properties.Targets[0]" */
    struct json object;
};

/* ERR_INVALID: "PATH.KEY: TEXT". */
int plan_fault(const struct plan_subject *s, const char *key, struct err *e, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds a note about the resource, or about a property of it. */
int plan_note(const struct plan_subject *s, bool warning, const char *text, struct err *e);
int plan_note_key(const struct plan_subject *s, struct slice key, const char *text, struct err *e);

/* A property; null is what the template reader makes of AWS::NoValue: it is not there. */
bool plan_get(struct json object, const char *key, struct json *ret_value);

/* Names the properties that are in neither list. */
int plan_note_unknown(const struct plan_subject *s, const char *const *known, const char *const *harmless,
                      struct err *e);

/* Moves the text of a buf into the arena and ends the buf. */
int plan_keep(struct planner *p, struct buf *text, struct slice *ret, struct err *e);

/* A property as text, whatever form the template gives it: SQS's attributes are strings where CloudFormation has
 * numbers, and policies are JSON in a string there and objects here. */
int plan_as_text(const struct plan_subject *s, const char *key, struct json value, struct slice *ret, struct err *e);

/* A string; when there is none, *ret stays, or it is a fault if it is needed. */
int plan_get_string(const struct plan_subject *s, const char *key, bool needed, struct slice *ret, struct err *e);

#endif
