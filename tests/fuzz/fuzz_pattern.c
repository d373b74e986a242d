/* fuzz_pattern: a pattern, a newline, and the event (or envelope) it is matched against. */
#include "event/pattern.h"

#include <stdlib.h>

#include "event/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

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
    if (valid_event) {
        bool yes = event_pattern_match(p, event);
        check(event.type == JSON_OBJECT || !yes);
        check(event_pattern_match(p, event) == yes);
    }
    event_pattern_destroy(p);
    return 0;
}
