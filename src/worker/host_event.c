/* The extension "fanout.event.v1" (fanout/handler.h): handler threads. */
#include "base/clock.h"
#include "worker/host_view.h"

/* ---- EventBridge ---- */

static int64_t
time_of(const struct event_envelope *v)
{
    int64_t ms;
    struct err e;
    return event_envelope_time_ms(v, &ms, &e) == 0 ? ms : HANDLER_NO_TIME;
}

static struct handler_slice
behind_mark(const struct handler_event *e, struct slice mark)
{
    for (uint32_t i = 0; i < e->resource_count; i++) {
        struct slice text = slice_of(e->resources[i].p, e->resources[i].n);
        if (slice_starts_with(text, mark) && text.n > mark.n)
            return host_slice(slice_of(text.p + mark.n, text.n - mark.n));
    }
    return host_slice(slice_of(NULL, 0));
}

static bool
read_resources(struct host_view *v, struct json resources, struct handler_event *e)
{
    size_t n = json_count(resources);
    struct handler_slice *texts = n > 0 ? host_view_alloc(v, n * sizeof *texts) : NULL;
    if (!texts)
        return n == 0;
    for (struct json_iter it = json_iter(resources); json_next(&it);)
        texts[it.index] = host_view_text(v, it.value);
    e->resources = texts;
    e->resource_count = (uint32_t)n;
    return true;
}

static struct handler_event *
read_event(struct host_view *v, const struct event_envelope *from)
{
    v->failed = false;
    struct handler_event *e = host_view_alloc(v, sizeof *e);
    if (!e || !read_resources(v, from->resources, e))
        return NULL;
    e->size = sizeof *e;
    e->id = host_view_text(v, from->id);
    e->source = host_view_text(v, from->source);
    e->detail_type = host_view_text(v, from->detail_type);
    e->account = host_view_text(v, from->account);
    e->region = host_view_text(v, from->region);
    e->time = host_view_text(v, from->time);
    e->time_ms = time_of(from);
    e->detail = host_slice(from->detail.text);
    e->replay_name = host_view_text(v, from->replay_name);
    e->replay_job = behind_mark(e, SLICE(EVENT_REPLAY_MARK));
    e->original_id = behind_mark(e, SLICE(EVENT_ID_MARK));
    return v->failed ? NULL : e;
}

static int32_t
event_kind(struct handler_call *call, uint32_t index)
{
    if (!host_message(call, index))
        return HANDLER_E_INDEX;
    struct host_view *v = host_view_of(call, index);
    const struct content *c = v ? host_view_content(v) : NULL;
    return c ? c->kind : HANDLER_E_LIMIT;
}

static const struct handler_event *
event_event(struct handler_call *call, uint32_t index)
{
    struct host_view *v = host_view_of(call, index);
    const struct content *c = v ? host_view_content(v) : NULL;
    if (c && c->kind == HANDLER_BODY_EVENT && !v->event)
        v->event = read_event(v, &c->event);
    return v ? v->event : NULL;
}

/* ---- SNS ---- */

static struct handler_sns *
read_sns(struct host_view *v, const struct event_sns *from)
{
    v->failed = false;
    struct handler_sns *s = host_view_alloc(v, sizeof *s);
    if (!s)
        return NULL;
    s->size = sizeof *s;
    s->topic_arn = host_view_text(v, from->topic_arn);
    s->message_id = host_view_text(v, from->message_id);
    s->subject = host_view_text(v, from->subject);
    s->timestamp = host_view_text(v, from->timestamp);
    s->attributes = host_slice(from->attributes.text);
    return v->failed ? NULL : s;
}

static const struct handler_sns *
event_sns(struct handler_call *call, uint32_t index)
{
    struct host_view *v = host_view_of(call, index);
    const struct content *c = v ? host_view_content(v) : NULL;
    if (c && c->unwrapped && !v->sns)
        v->sns = read_sns(v, &c->sns);
    return v ? v->sns : NULL;
}

/* ---- S3 ---- */

static struct handler_slice
decode_key(struct host_view *v, struct handler_slice encoded)
{
    if (encoded.n == 0 || (!memchr(encoded.p, '%', encoded.n) && !memchr(encoded.p, '+', encoded.n)))
        return encoded;
    char *text = host_view_alloc(v, encoded.n);
    if (!text)
        return host_slice(slice_of(NULL, 0));
    memcpy(text, encoded.p, encoded.n);
    return host_slice(slice_of(text, event_s3_key_decode(text, encoded.n)));
}

static void
read_record(struct host_view *v, struct json json, struct handler_s3_record *r)
{
    struct event_s3_record from;
    event_s3_record_read(json, &from);
    r->size = sizeof *r;
    r->event_name = host_view_text(v, from.event_name);
    r->event_time = host_view_text(v, from.event_time);
    r->region = host_view_text(v, from.region);
    r->bucket = host_view_text(v, from.bucket);
    r->encoded_key = host_view_text(v, from.key);
    r->key = decode_key(v, r->encoded_key);
    if (!from.size.text.p || !json_int64(from.size, &r->object_size))
        r->object_size = -1;
    r->etag = host_view_text(v, from.etag);
    r->version_id = host_view_text(v, from.version_id);
    r->sequencer = host_view_text(v, from.sequencer);
    r->record = host_slice(json.text);
}

static void
read_records(struct host_view *v, struct json records)
{
    size_t n = json_count(records);
    v->failed = false;
    struct handler_s3_record *read = host_view_alloc(v, n * sizeof *read);
    if (!read)
        return;
    for (struct json_iter it = json_iter(records); json_next(&it);)
        read_record(v, it.value, &read[it.index]);
    if (v->failed)
        return;
    v->records = read;
    v->n_records = (uint32_t)n;
}

static const struct handler_s3_record *
event_s3(struct handler_call *call, uint32_t index, uint32_t record)
{
    struct host_view *v = host_view_of(call, index);
    const struct content *c = v ? host_view_content(v) : NULL;
    if (c && c->kind == HANDLER_BODY_S3 && !v->records)
        read_records(v, c->records);
    return v && record < v->n_records ? &v->records[record] : NULL;
}

/* ---- all of them ---- */

static struct handler_slice
event_received(struct handler_call *call, uint32_t index)
{
    const struct message *m = host_message(call, index);
    return host_slice(m ? m->body : slice_of(NULL, 0));
}

const struct handler_event_extension host_event_extension = {.size = sizeof(struct handler_event_extension),
                                                             .kind = event_kind,
                                                             .event = event_event,
                                                             .sns = event_sns,
                                                             .s3 = event_s3,
                                                             .received = event_received};
