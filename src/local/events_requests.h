/* events_requests: the shape of each request, as the service's model has it (all but PutEvents'). */
#ifndef FANOUT_LOCAL_EVENTS_REQUESTS_H
#define FANOUT_LOCAL_EVENTS_REQUESTS_H

#include "local/events_shape.h"

extern const struct events_shape EVENTS_TEST_EVENT_PATTERN, EVENTS_PUT_RULE, EVENTS_NAMED_RULE, EVENTS_DELETE_RULE,
    EVENTS_LIST_RULES, EVENTS_PUT_TARGETS, EVENTS_REMOVE_TARGETS, EVENTS_LIST_TARGETS;

/* One target of PutTargets, or of a rule in a template, whose properties have the same names. */
extern const struct events_shape EVENTS_TARGET;

#endif
