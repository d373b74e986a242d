/* envelope: the JSON object that EventBridge wraps around an event.
 *
 *     {"version":"0","id":"…","detail-type":"…","source":"…","account":"…","time":"2026-11-20T06:00:00Z","region":"…",
 *      "resources":["…"],"detail":{…}}
 *
 * That is what a rule sends to its queue, what the capture function stores under raw-events/, and what a replay reads
 * from there. Nothing here converts or allocates: a field is the text it was written as, and `detail` goes from the
 * producer to the handler byte for byte, numbers, escapes and white space included. */
#ifndef FANOUT_EVENT_ENVELOPE_H
#define FANOUT_EVENT_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/slice.h"

/* A replayed event says so in `resources`: the job that replayed it (the capture function and later replays skip events
 * with this mark) and the id it had first, since PutEvents gives it a new one (consumers deduplicate on it). */
#define EVENT_REPLAY_MARK "urn:fanout:replay:"
#define EVENT_ID_MARK     "urn:fanout:event:"

/* A parsed envelope. Everything points into the text that was parsed. The strings are JSON_STRINGs: json_raw gives the
 * text between the quotes, json_decode the text that is meant, json_is_plain says that both are the same (which is the
 * rule for all but detail_type). */
struct event_envelope {
    struct json event; /* the whole object */
    struct json id;
    struct json detail_type;
    struct json source;
    struct json account;
    struct json time;
    struct json region;
    struct json replay_name; /* set in events that an EventBridge archive replayed; otherwise text.p is NULL */
    struct json resources;   /* JSON_ARRAY of JSON_STRINGs */
    struct json detail;      /* any value; AWS itself only delivers objects */
};

/* Reads an envelope; event is what json_parse gave. Fields it does not know are no concern of it; of a field given
 * twice the last one counts. ERR_INVALID names the field that is missing or of the wrong type. */
int event_envelope_read(struct json event, struct event_envelope *ret_envelope, struct err *e);

/* json_parse and event_envelope_read. ERR_LIMIT: nested deeper than JSON_MAX_DEPTH. */
int event_envelope_parse(struct slice text, struct event_envelope *ret_envelope, struct err *e);

/* The event's time in ms since 1970. ERR_INVALID when it is no ISO 8601 time. */
int event_envelope_time_ms(const struct event_envelope *v, int64_t *ret_wall_ms, struct err *e);

/* Whether resources holds EVENT_REPLAY_MARK with anything behind it. */
bool event_envelope_is_replay(const struct event_envelope *v);

/* The id behind the first EVENT_ID_MARK in resources; false when there is none, it is empty, or it is written with
 * escapes (ids are UUIDs; nothing of ours or of AWS's writes them so). */
bool event_envelope_original_id(const struct event_envelope *v, struct slice *ret_id);

/* What an envelope is written from. All texts are UTF-8 as meant (not escaped), detail excepted. */
struct event_fields {
    struct slice id;
    struct slice detail_type;
    struct slice source;
    struct slice account;
    int64_t time_ms; /* since 1970; written in seconds, as EventBridge does */
    struct slice region;
    struct slice replay_name; /* left out when it is empty */
    const struct slice *resources;
    size_t n_resources;
    struct slice detail; /* JSON that json_parse accepts; written byte for byte */
};

/* Appends the envelope as EventBridge delivers it: compact (detail apart), version first, detail last. */
void event_envelope_write(struct buf *out, const struct event_fields *f);

#endif
