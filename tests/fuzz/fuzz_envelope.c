/* fuzz_envelope: any bytes as an event in its envelope. What is read is written again with the same fields, `detail`
 * byte for byte. */
#include "event/envelope.h"

#include "fuzz/fuzz.h"

#define RESOURCES_MAX 20

static void
check_inside(struct json part, struct slice whole)
{
    check(part.text.p >= whole.p && part.text.p + part.text.n <= whole.p + whole.n);
}

/* False: a string that has no UTF-8 form. */
static bool
decode(struct json string, struct buf *out, struct slice *ret)
{
    size_t from = out->len;
    if (json_decode(string, out, NULL) != 0)
        return false;
    *ret = slice_of(out->data ? out->data + from : "", out->len - from);
    return true;
}

static void
write_again(const struct event_envelope *v)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct slice resources[RESOURCES_MAX];
    struct event_fields f = {.resources = resources, .detail = v->detail.text};
    struct event_envelope again;
    struct err e;
    bool all = buf_reserve(&text, 6 * v->event.text.n + 1) && event_envelope_time_ms(v, &f.time_ms, NULL) == 0 &&
               decode(v->id, &text, &f.id) && decode(v->detail_type, &text, &f.detail_type) &&
               decode(v->source, &text, &f.source) && decode(v->account, &text, &f.account) &&
               decode(v->region, &text, &f.region) &&
               (!v->replay_name.text.p || decode(v->replay_name, &text, &f.replay_name));
    for (struct json_iter it = json_iter(v->resources); all && json_next(&it);)
        all = f.n_resources < RESOURCES_MAX && decode(it.value, &text, &resources[f.n_resources++]);
    if (all) {
        size_t n = 0;
        int64_t at_ms;
        event_envelope_write(&out, &f);
        check(event_envelope_parse(buf_slice(&out), &again, &e) == 0);
        check(json_equals_string(again.id, f.id) && json_equals_string(again.source, f.source) &&
              json_equals_string(again.detail_type, f.detail_type) && json_equals_string(again.account, f.account) &&
              json_equals_string(again.region, f.region));
        check(slice_equals(again.detail.text, v->detail.text));
        check((again.replay_name.text.p != NULL) == (f.replay_name.n > 0));
        check(event_envelope_is_replay(&again) == event_envelope_is_replay(v));
        for (struct json_iter it = json_iter(again.resources); json_next(&it); n++)
            check(n < f.n_resources && json_equals_string(it.value, resources[n]));
        check(n == f.n_resources);
        check(event_envelope_time_ms(&again, &at_ms, NULL) == 0);
        check(at_ms <= f.time_ms && f.time_ms - at_ms < 1000 && at_ms % 1000 == 0);
    }
    buf_clean_up(&text);
    buf_clean_up(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size), id;
    struct event_envelope v;
    struct err e;
    int rc = event_envelope_parse(text, &v, &e);
    if (rc != 0) {
        check((rc == ERR_INVALID || rc == ERR_LIMIT) && e.text[0] && !strchr(e.text, '\n'));
        return 0;
    }
    const struct json parts[] = {v.id, v.detail_type, v.source, v.account, v.time, v.region, v.resources, v.detail};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        check_inside(parts[i], text);
    if (event_envelope_original_id(&v, &id))
        check(id.n > 0 && id.p > v.resources.text.p && id.p + id.n < v.resources.text.p + v.resources.text.n);
    write_again(&v);
    return 0;
}
