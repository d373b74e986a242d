#include "event/envelope.h"

#include "base/clock.h"
#include "event/fields.h"

#define OF(text, member) EVENT_FIELD(text, struct event_envelope, member)
static const struct event_field FIELDS[] = {
    {OF("id", id), .type = JSON_STRING},
    {OF("detail-type", detail_type), .type = JSON_STRING},
    {OF("source", source), .type = JSON_STRING},
    {OF("account", account), .type = JSON_STRING},
    {OF("time", time), .type = JSON_STRING},
    {OF("region", region), .type = JSON_STRING},
    {OF("resources", resources), .type = JSON_ARRAY},
    {OF("detail", detail), .any_type = true},
    {OF("replay-name", replay_name), .type = JSON_STRING, .optional = true},
};
#define N_FIELDS (sizeof FIELDS / sizeof *FIELDS)

static const char *
type_name(enum json_type type)
{
    static const char *const NAMES[] = {
        [JSON_NULL] = "null",       [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };
    return NAMES[type];
}

static int
check_fields(const struct event_envelope *v, struct err *e)
{
    const struct event_field *wrong = event_fields_wrong(FIELDS, N_FIELDS, v);
    if (wrong && !event_field_of(wrong, v)->text.p)
        return err_set(e, ERR_INVALID, "event envelope: \"%s\" is missing", wrong->name.p);
    if (wrong)
        return err_set(e, ERR_INVALID, "event envelope: \"%s\" must be %s, not %s", wrong->name.p,
                       type_name(wrong->type), type_name(event_field_of(wrong, v)->type));
    for (struct json_iter it = json_iter(v->resources); json_next(&it);)
        if (it.value.type != JSON_STRING)
            return err_set(e, ERR_INVALID, "event envelope: \"resources\" must hold strings, but no. %zu is %s",
                           it.index + 1, type_name(it.value.type));
    return 0;
}

int
event_envelope_read(struct json event, struct event_envelope *ret_envelope, struct err *e)
{
    struct event_envelope v = {.event = event};
    if (event.type != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "event envelope: must be an object, not %s", type_name(event.type));
    event_fields_read(event, FIELDS, N_FIELDS, &v);
    int rc = check_fields(&v, e);
    if (rc == 0)
        *ret_envelope = v;
    return rc;
}

int
event_envelope_parse(struct slice text, struct event_envelope *ret_envelope, struct err *e)
{
    struct json event;
    int rc = json_parse(text, &event, e);
    if (rc != 0)
        return err_prefix(e, rc, "event envelope");
    return event_envelope_read(event, ret_envelope, e);
}

int
event_envelope_time_ms(const struct event_envelope *v, int64_t *ret_wall_ms, struct err *e)
{
    char text[64];
    size_t n;
    if (!json_decode_into(v->time, text, sizeof text, &n))
        return err_set(e, ERR_INVALID, "event envelope: \"time\" is no ISO 8601 time");
    int rc = clock_parse_iso8601(text, n, ret_wall_ms, e);
    return rc == 0 ? 0 : err_prefix(e, rc, "event envelope: \"time\"");
}

bool
event_envelope_is_replay(const struct event_envelope *v)
{
    for (struct json_iter it = json_iter(v->resources); json_next(&it);)
        if (json_starts_with(it.value, SLICE(EVENT_REPLAY_MARK)) &&
            !json_equals_string(it.value, SLICE(EVENT_REPLAY_MARK)))
            return true;
    return false;
}

bool
event_envelope_original_id(const struct event_envelope *v, struct slice *ret_id)
{
    const struct slice mark = SLICE(EVENT_ID_MARK);
    for (struct json_iter it = json_iter(v->resources); json_next(&it);) {
        struct slice raw = json_raw(it.value);
        if (slice_starts_with(raw, mark) && raw.n > mark.n && json_is_plain(it.value)) {
            *ret_id = slice_of(raw.p + mark.n, raw.n - mark.n);
            return true;
        }
    }
    return false;
}

static void
write_member(struct buf *out, const char *key, struct slice text)
{
    buf_add_string(out, key);
    json_write_string(out, text);
}

void
event_envelope_write(struct buf *out, const struct event_fields *f)
{
    char time[CLOCK_ISO8601_BYTES];
    clock_format_seconds(f->time_ms, time);
    buf_reserve(out, f->detail.n + 400);
    buf_add_string(out, "{\"version\":\"0\"");
    write_member(out, ",\"id\":", f->id);
    write_member(out, ",\"detail-type\":", f->detail_type);
    write_member(out, ",\"source\":", f->source);
    write_member(out, ",\"account\":", f->account);
    write_member(out, ",\"time\":", slice_of_string(time));
    write_member(out, ",\"region\":", f->region);
    if (f->replay_name.n > 0)
        write_member(out, ",\"replay-name\":", f->replay_name);
    buf_add_string(out, ",\"resources\":[");
    for (size_t i = 0; i < f->n_resources; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        json_write_string(out, f->resources[i]);
    }
    buf_add_string(out, "],\"detail\":");
    buf_add_slice(out, f->detail);
    buf_add_char(out, '}');
}
