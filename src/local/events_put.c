#include "local/events_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "event/envelope.h"
#include "local/faults.h"

#define ENTRIES_MAX 10
#define TIME_BYTES  14 /* what a Time counts for, whatever its form */

#define RESOURCE_MAX 2048 /* by the model */
#define TRACE_MAX    500

/* One entry, decoded. Slices point into the call's arena. */
struct entry {
    struct slice source, detail_type, detail, bus, trace;
    struct slice *resources;
    size_t n_resources;
    int64_t time_ms;
    bool has_time;
    const char *code; /* not NULL: refused */
    const char *message;
    char id[UUID_TEXT_BYTES];
    struct json event; /* the envelope around it */
};

struct put_call {
    struct store_job job;
    struct local_events *events;
    struct local_call *call;
    struct entry entries[ENTRIES_MAX];
    size_t n;
    int64_t received_at_ms;
};

/* ---- reading the request ----------------------------------------------------------------------------------------- */

static bool
decode(struct put_call *c, struct json string, struct slice *ret)
{
    size_t size = json_raw(string).n + 1, n; /* escapes are longer than what they mean */
    char *out = string.type == JSON_STRING ? arena_alloc(&c->call->arena, size) : NULL;
    if (!out || !json_decode_into(string, out, size, &n))
        return false;
    *ret = slice_of(out, n);
    return true;
}

static const char *
read_resources(struct put_call *c, struct entry *entry, struct json list)
{
    if (list.type != JSON_ARRAY)
        return "Resources is no list";
    entry->n_resources = 0; /* of a member given twice the last one counts */
    entry->resources = arena_alloc(&c->call->arena, json_count(list) * sizeof *entry->resources);
    if (!entry->resources)
        return "out of memory";
    for (struct json_iter it = json_iter(list); json_next(&it);)
        if (!decode(c, it.value, &entry->resources[entry->n_resources++]))
            return "Resources holds something that is no string";
    return NULL;
}

/* What AWS's JSON protocol says of a member of the wrong type. */
static const char *
read_member(struct put_call *c, struct entry *entry, struct json key, struct json value)
{
    static const struct {
        const char *name;
        size_t offset;
    } STRINGS[] = {
        {"Source", offsetof(struct entry, source)},     {"DetailType", offsetof(struct entry, detail_type)},
        {"Detail", offsetof(struct entry, detail)},     {"EventBusName", offsetof(struct entry, bus)},
        {"TraceHeader", offsetof(struct entry, trace)},
    };
    if (value.type == JSON_NULL)
        return NULL;
    for (size_t i = 0; i < sizeof STRINGS / sizeof *STRINGS; i++)
        if (json_equals_string(key, slice_of_string(STRINGS[i].name)))
            return decode(c, value, (struct slice *)((char *)entry + STRINGS[i].offset))
                       ? NULL
                       : "a member of an entry that has to be a string is none";
    if (json_equals_string(key, SLICE("Time"))) {
        double seconds = value.type == JSON_NUMBER ? json_double(value) : NAN;
        if (!(seconds >= 0 && seconds < 253402300800.0))
            return "Time is no timestamp";
        entry->has_time = true;
        entry->time_ms = (int64_t)(seconds * 1000);
    } else if (json_equals_string(key, SLICE("Resources"))) {
        return read_resources(c, entry, value);
    }
    return NULL;
}

static size_t
bytes_of(const struct entry *entry)
{
    size_t n = entry->source.n + entry->detail_type.n + entry->detail.n + (entry->has_time ? TIME_BYTES : 0);
    for (size_t i = 0; i < entry->n_resources; i++)
        n += entry->resources[i].n;
    return n;
}

/* Returns false when the request was answered with an error. */
static bool
check_model(struct put_call *c)
{
    struct events_violations v = {0};
    for (size_t i = 0; i < c->n; i++) {
        const struct entry *e = &c->entries[i];
        local_events_check_bus(&v, e->bus, "entries.%zu.member.eventBusName", i + 1);
        local_events_check_length(&v, e->trace, 1, TRACE_MAX, "entries.%zu.member.traceHeader", i + 1);
        for (size_t k = 0; k < e->n_resources; k++)
            local_events_check_length(&v, e->resources[k], 0, RESOURCE_MAX, "entries.%zu.member.resources.%zu.member",
                                      i + 1, k + 1);
    }
    return local_events_take(&v, c->call);
}

/* Returns false when the request was answered with an error. */
static bool
read_request(struct put_call *c)
{
    struct json root, entries;
    struct err e = {0};
    if (json_parse(httpd_body(c->call->http), &root, &e) != 0 || root.type != JSON_OBJECT) {
        local_events_refuse(c->call, 400, "SerializationException", e.text[0] ? e.text : "the body is no JSON object");
        return false;
    }
    if (!json_get(root, "Entries", &entries) || entries.type == JSON_NULL) {
        local_events_refuse(
            c->call, 400, "ValidationException",
            "1 validation error detected: Value null at 'entries' failed to satisfy constraint: Member must "
            "not be null");
        return false;
    }
    size_t n = entries.type == JSON_ARRAY ? json_count(entries) : 0;
    if (n < 1 || n > ENTRIES_MAX) {
        char text[300];
        snprintf(
            text, sizeof text,
            "1 validation error detected: Value '[%zu entries]' at 'entries' failed to satisfy constraint: Member must "
            "have length %s",
            n, n < 1 ? "greater than or equal to 1" : "less than or equal to 10");
        local_events_refuse(c->call, 400, entries.type == JSON_ARRAY ? "ValidationException" : "SerializationException",
                            entries.type == JSON_ARRAY ? text : "Entries is no list");
        return false;
    }
    size_t bytes = 0;
    for (struct json_iter it = json_iter(entries); json_next(&it); c->n++) {
        const char *fault = it.value.type == JSON_OBJECT ? NULL : "an entry is no object";
        for (struct json_iter member = json_iter(it.value); !fault && json_next(&member);)
            fault = read_member(c, &c->entries[c->n], member.key, member.value);
        if (fault) {
            local_events_refuse(c->call, 400, "SerializationException", fault);
            return false;
        }
        bytes += bytes_of(&c->entries[c->n]);
    }
    if (bytes > local_put_events_bytes(c->events->local)) {
        local_events_refuse(c->call, 400, "ValidationException",
                            "Total size of the entries in the request is over the limit.");
        return false;
    }
    return check_model(c);
}

/* ---- one entry --------------------------------------------------------------------------------------------------- */

static void
refuse(struct entry *entry, const char *code, const char *message)
{
    entry->code = code;
    entry->message = message;
}

static void
check(const struct put_call *c, struct entry *entry)
{
    struct json detail;
    if (local_fails_entry(c->call, (size_t)(entry - c->entries)))
        refuse(entry, c->call->partial->code, c->call->partial->message);
    else if (entry->source.n == 0)
        refuse(entry, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument.");
    else if (entry->detail_type.n == 0)
        refuse(entry, "InvalidArgument",
               "Parameter DetailType is not valid. Reason: DetailType is a required argument.");
    else if (entry->detail.n == 0)
        refuse(entry, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument.");
    else if (json_parse(entry->detail, &detail, NULL) != 0 || detail.type != JSON_OBJECT)
        refuse(entry, "MalformedDetail", "Detail is malformed.");
}

static void
wrap(struct put_call *c, struct entry *entry)
{
    struct buf envelope = BUF_INIT;
    uuid_generate(entry->id);
    if (!entry->has_time)
        entry->time_ms = c->received_at_ms;
    const struct event_fields fields = {
        .id = slice_of_string(entry->id),
        .detail_type = entry->detail_type,
        .source = entry->source,
        .account = slice_of_string(local_account(c->events->local)),
        .time_ms = entry->time_ms,
        .region = slice_of_string(local_region(c->events->local)),
        .resources = entry->resources,
        .n_resources = entry->n_resources,
        .detail = entry->detail,
    };
    event_envelope_write(&envelope, &fields);
    char *copy = buf_failed(&envelope) ? NULL : arena_strndup(&c->call->arena, envelope.data, envelope.len);
    if (!copy)
        refuse(entry, "InternalFailure", "Out of memory.");
    else if (json_parse(slice_of(copy, envelope.len), &entry->event, NULL) != 0)
        refuse(entry, "MalformedDetail", "Detail is malformed."); /* one level deeper than JSON may nest here */
    buf_clean_up(&envelope);
}

/* ---- the job ----------------------------------------------------------------------------------------------------- */

/* An unknown bus swallows the event, with an id (FACTS.md, 2). */
static const struct events_bus *
find_bus(const struct local_events *s, const struct entry *entry)
{
    struct slice name = local_events_bus_name(entry->bus);
    const struct events_bus *bus = local_events_bus(s, name);
    if (!bus)
        log_write_limited(LOG_WARN, 10000, "an event for an event bus that does not exist: dropped, as AWS does",
                          LOG_SLICE("bus", name), LOG_STR("event", entry->id));
    return bus;
}

static int
run(struct store_tx *tx, struct store_job *job)
{
    struct put_call *c = (struct put_call *)job;
    int rc = c->events->stale ? local_events_load(c->events, tx) : 0;
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        const struct entry *entry = &c->entries[i];
        const struct events_bus *bus = entry->code ? NULL : find_bus(c->events, entry);
        if (!bus)
            continue;
        const struct events_event event = {
            .bus = bus,
            .id = slice_of_string(entry->id),
            .event = entry->event,
            .time_ms = entry->time_ms,
            .ingested_at_ms = c->received_at_ms,
        };
        rc = local_events_deliver(c->events, tx, &event);
        if (rc == 0 && c->call->duplicate)
            rc = local_events_deliver(c->events, tx, &event);
    }
    return rc;
}

static void
answer(void *call)
{
    struct put_call *c = call;
    struct buf body = BUF_INIT;
    size_t failed = 0;
    buf_add_string(&body, "{\"Entries\":[");
    for (size_t i = 0; i < c->n; i++) {
        const struct entry *entry = &c->entries[i];
        buf_add_string(&body, i > 0 ? "," : "");
        if (entry->code) {
            failed++;
            buf_add_string(&body, "{\"ErrorCode\":");
            json_write_string(&body, slice_of_string(entry->code));
            buf_add_string(&body, ",\"ErrorMessage\":");
            json_write_string(&body, slice_of_string(entry->message));
            buf_add_char(&body, '}');
        } else {
            buf_add_format(&body, "{\"EventId\":\"%s\"}", entry->id);
        }
    }
    buf_add_format(&body, "],\"FailedEntryCount\":%zu}", failed);
    const struct httpd_answer ok = {
        .status = 200,
        .content_type = "application/x-amz-json-1.1",
        .body = buf_slice(&body),
    };
    if (buf_failed(&body))
        local_events_refuse(c->call, 500, "InternalException", "Out of memory.");
    else
        local_answer(c->call, &ok);
    buf_clean_up(&body);
}

static void
finish(struct store_job *job, const struct err *error)
{
    struct put_call *c = (struct put_call *)job;
    if (error)
        local_answer_failure(c->call, error);
    else
        httpd_answer_later(c->call->http, answer, c);
}

void
local_events_put(struct local_events *s, struct local_call *call)
{
    struct put_call *c = arena_zalloc(&call->arena, sizeof *c);
    if (!c) {
        local_events_refuse(call, 500, "InternalException", "Out of memory.");
        return;
    }
    c->job = (struct store_job){.run = run, .finish = finish};
    c->events = s;
    c->call = call;
    if (!read_request(c))
        return;
    c->received_at_ms = clock_wall_ms();
    for (size_t i = 0; i < c->n; i++) {
        check(c, &c->entries[i]);
        if (!c->entries[i].code)
            wrap(c, &c->entries[i]);
    }
    store_submit(local_store(s->local), &c->job);
}
