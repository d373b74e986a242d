/* fuzz_pattern: a pattern, a newline, and the event (or envelope) it is matched against. */
#include "event/pattern.h"

#include "fuzz/fuzz.h"

#include "event/envelope.h"

static void
read_envelope(struct json event)
{
    struct event_envelope v;
    struct err e;
    struct slice id;
    int64_t at_ms;
    if (event_envelope_read(event, &v, &e) != 0) {
        check(e.code == ERR_INVALID && e.text[0]);
        return;
    }
    event_envelope_is_replay(&v);
    event_envelope_time_ms(&v, &at_ms, &e);
    if (event_envelope_original_id(&v, &id))
        check(id.n > 0 && id.p > v.resources.text.p);
}

/* Without white space pattern and event mean the same. */
static void
compile_compact(struct slice pattern, const struct json *event, const struct event_pattern *p)
{
    struct buf less = BUF_INIT, compact = BUF_INIT;
    struct event_pattern *same;
    struct json value;
    struct err e;
    check(json_parse(pattern, &value, NULL) == 0);
    json_write_compact(&less, value);
    check(event_pattern_compile(buf_slice(&less), &same, &e) == 0);
    if (event) {
        struct json other;
        json_write_compact(&compact, *event);
        check(json_parse(buf_slice(&compact), &other, NULL) == 0);
        check(event_pattern_match(same, other) == event_pattern_match(p, *event));
    }
    event_pattern_destroy(same);
    buf_clean_up(&less);
    buf_clean_up(&compact);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *newline = size > 0 ? memchr(text, '\n', size) : NULL;
    struct slice pattern = slice_of(text, newline ? (size_t)(newline - text) : size);
    struct slice rest = newline ? slice_of(newline + 1, size - pattern.n - 1) : SLICE("{}");
    struct event_pattern *p;
    struct json event;
    struct err e;
    bool valid_event = json_parse(rest, &event, NULL) == 0;
    if (valid_event)
        read_envelope(event);
    if (event_pattern_compile(pattern, &p, &e) != 0) {
        check((e.code == ERR_INVALID || e.code == ERR_LIMIT) && e.text[0]);
        return 0;
    }
    compile_compact(pattern, valid_event ? &event : NULL, p);
    if (valid_event) {
        bool yes = event_pattern_match(p, event);
        check(event.type == JSON_OBJECT || !yes);
        check(event_pattern_match(p, event) == yes);
    }
    event_pattern_destroy(p);
    return 0;
}
