/* events_input: what a target gets of an event, when that is not the event itself.
 *
 *     Input             a text of its own, whatever the event says
 *     InputPath         the part of the event at a path: "$.detail.order"
 *     InputTransformer  a template with variables, which paths fill from the event
 *
 * A path is "$" and steps: ".name" (up to the next step) and "[0]"; wildcards and AWS's other notations are refused
 * when the target is put. What comes out is JSON, and the event's parts are in it byte for byte. In a template a
 * variable that stands outside of a string is its value as JSON, "" when the event has none; one inside a string is its
 * text: objects and lists without their quotes, nothing when there is none. What gives no JSON (a template that is bare
 * text) is not delivered, nor is a list inside a string of a template that is an object: AWS delivers neither
 * (FACTS.md, 2). Nor is a path delivered that the event does not have; what AWS does then is not known.
 *
 * Predefined variables: aws.events.rule-arn, aws.events.rule-name, aws.events.event.ingestion-time, aws.events.event
 * (without its detail, and with the detail type as "detailType"), aws.events.event.json. Pure. */
#ifndef FANOUT_LOCAL_EVENTS_INPUT_H
#define FANOUT_LOCAL_EVENTS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* No message is larger, so nothing that is made for one may be. */
#define EVENTS_INPUT_MAX_BYTES ((size_t)1 << 20)

enum events_input_kind { EVENTS_INPUT_EVENT, EVENTS_INPUT_TEXT, EVENTS_INPUT_PATH, EVENTS_INPUT_TEMPLATE };

/* All zero: the event itself. Lives as long as the arena it was compiled into. */
struct events_input {
    enum events_input_kind kind;
    struct slice text; /* of Input; otherwise as written, for messages */
    const struct events_path *path;
    const struct events_piece *pieces; /* of a template */
    size_t n_pieces;
    bool is_structure; /* the template is an object or a list */
};

/* Compiles the Input, InputPath or InputTransformer of a target of a checked request (EVENTS_TARGET). ERR_INVALID: what
 * is wrong, in AWS's words where they are known, with the target's id; ERR_NO_MEMORY. */
int local_events_input_compile(struct json target, struct slice id, struct arena *arena, struct events_input *ret_input,
                               struct err *e);

struct events_input_subject {
    struct slice rule_arn, rule_name;
    struct json event;
    int64_t ingested_at_ms;
};

/* *ret_text is what the target gets: a part of the event, the input's own text, or what was made in `made`, which is
 * empty before. ERR_INVALID: there is nothing that could be delivered, for this event. ERR_LIMIT: larger than
 * EVENTS_INPUT_MAX_BYTES. ERR_NO_MEMORY. */
int local_events_input_apply(const struct events_input *input, const struct events_input_subject *subject,
                             struct buf *made, struct slice *ret_text, struct err *e);

#endif
