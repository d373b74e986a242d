#include "ctl/entry.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

static int
keep(struct entry *entry, const struct buf *text, struct slice *ret, struct err *e)
{
    char *copy = buf_failed(text) ? NULL : arena_strndup(&entry->arena, text->data, text->len);
    if (!copy)
        return err_no_memory(e);
    *ret = slice_of(copy, text->len);
    return 0;
}

static int
read_string(struct entry *entry, const char *name, struct json value, struct slice *ret, struct err *e)
{
    if (value.type != JSON_STRING)
        return err_set(e, ERR_INVALID, "%s must be a string", name);
    struct buf text = BUF_INIT;
    int rc = json_decode(value, &text, e);
    if (rc == 0)
        rc = keep(entry, &text, ret, e);
    else
        err_prefix(e, rc, "%s", name);
    buf_clean_up(&text);
    return rc;
}

static int
read_detail(struct entry *entry, struct json value, struct err *e)
{
    if (value.type == JSON_OBJECT) {
        struct buf text = BUF_INIT;
        buf_add_slice(&text, value.text);
        int rc = keep(entry, &text, &entry->event.detail, e);
        buf_clean_up(&text);
        return rc;
    }
    int rc = read_string(entry, "Detail", value, &entry->event.detail, e);
    if (rc != 0)
        return rc;
    struct json detail;
    if ((rc = json_parse(entry->event.detail, &detail, e)) != 0)
        return err_prefix(e, rc, "Detail is no JSON");
    if (detail.type != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "Detail must hold a JSON object");
    return 0;
}

static int
read_resources(struct entry *entry, struct json value, struct err *e)
{
    if (value.type != JSON_ARRAY)
        return err_set(e, ERR_INVALID, "Resources must be an array of strings");
    struct slice *resources = arena_alloc(&entry->arena, json_count(value) * sizeof *resources);
    if (!resources)
        return err_no_memory(e);
    for (struct json_iter it = json_iter(value); json_next(&it);) {
        if (it.value.type != JSON_STRING)
            return err_set(e, ERR_INVALID, "Resources must be an array of strings");
        int rc = read_string(entry, "Resources", it.value, &resources[it.index], e);
        if (rc != 0)
            return rc;
    }
    entry->event.resources = resources;
    entry->event.n_resources = json_count(value);
    return 0;
}

/* What both forms of Time can say: 0 would mean none, and a bus keeps the year in four digits. */
static int
check_time(int64_t time_ms, struct err *e)
{
    if (time_ms > 0 && time_ms < INT64_C(253402300800000))
        return 0;
    return err_set(e, ERR_INVALID, "Time is out of range: after 1970-01-01T00:00:00Z, before the year 10000");
}

static int
read_time(struct entry *entry, struct json value, struct err *e)
{
    if (value.type == JSON_NUMBER) {
        double seconds = json_double(value);
        entry->event.time_ms = seconds > 0 && seconds < 1e15 ? (int64_t)(seconds * 1000) : 0;
        return check_time(entry->event.time_ms, e);
    }
    if (value.type != JSON_STRING)
        return err_set(e, ERR_INVALID, "Time must be a string (ISO 8601) or seconds since 1970");
    struct slice raw = json_raw(value);
    int rc = clock_parse_iso8601(raw.p, raw.n, &entry->event.time_ms, e);
    return rc == 0 ? check_time(entry->event.time_ms, e) : err_prefix(e, rc, "Time");
}

static int
read_member(struct entry *entry, struct json key, struct json value, struct err *e)
{
    struct events_entry *event = &entry->event;
    if (json_equals_string(key, SLICE("Source")))
        return read_string(entry, "Source", value, &event->source, e);
    if (json_equals_string(key, SLICE("DetailType")))
        return read_string(entry, "DetailType", value, &event->detail_type, e);
    if (json_equals_string(key, SLICE("EventBusName")))
        return read_string(entry, "EventBusName", value, &event->bus, e);
    if (json_equals_string(key, SLICE("TraceHeader")))
        return read_string(entry, "TraceHeader", value, &event->trace_header, e);
    if (json_equals_string(key, SLICE("Detail")))
        return read_detail(entry, value, e);
    if (json_equals_string(key, SLICE("Resources")))
        return read_resources(entry, value, e);
    if (json_equals_string(key, SLICE("Time")))
        return read_time(entry, value, e);
    return err_set(
        e, ERR_INVALID,
        "unknown member %.*s: a PutEvents entry has Source, DetailType, Detail, EventBusName, Resources, Time, "
        "TraceHeader",
        SLICE_ARG(key.text));
}

static int
check(const struct entry *entry, struct err *e)
{
    const struct events_entry *event = &entry->event;
    if (event->source.n == 0)
        return err_set(e, ERR_INVALID, "Source is missing");
    if (event->detail_type.n == 0)
        return err_set(e, ERR_INVALID, "DetailType is missing");
    if (event->detail.n == 0)
        return err_set(e, ERR_INVALID, "Detail is missing");
    if (events_entry_bytes(event) > EVENTS_BYTES_MAX)
        return err_set(e, ERR_INVALID, "the entry has %zu bytes; EventBridge takes at most %d",
                       events_entry_bytes(event), EVENTS_BYTES_MAX);
    return 0;
}

int
entry_parse(struct slice text, size_t line, const char *default_bus, struct entry **ret_entry, struct err *e)
{
    struct json object;
    int rc = json_parse(text, &object, e);
    if (rc != 0)
        return rc;
    if (object.type != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "a PutEvents entry is a JSON object");
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return err_no_memory(e);
    arena_init(&entry->arena, 1024);
    entry->line = line;
    for (struct json_iter it = json_iter(object); rc == 0 && json_next(&it);)
        rc = read_member(entry, it.key, it.value, e);
    if (rc == 0)
        rc = check(entry, e);
    if (rc == 0 && entry->event.bus.n == 0 && default_bus) {
        char *bus = arena_strdup(&entry->arena, default_bus);
        if (bus)
            entry->event.bus = slice_of_string(bus);
        else
            rc = err_no_memory(e);
    }
    if (rc != 0) {
        entry_destroy(entry);
        return rc;
    }
    *ret_entry = entry;
    return 0;
}

void
entry_destroy(struct entry *entry)
{
    if (!entry)
        return;
    arena_clean_up(&entry->arena);
    free(entry);
}
