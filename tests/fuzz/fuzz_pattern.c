/* fuzz_pattern: a pattern, a newline, and the event (or envelope) it is matched against. Where the naive matcher of the
 * tests has an opinion, on whether the pattern is valid and on whether the event matches, it is the same. */
#include "event/pattern.h"

#include "fuzz/fuzz.h"

#include "event/envelope.h"
#include "lib/naive_pattern.h"

#define NAIVE_BYTES 600

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

/* What the witness does not judge. */
static bool
is_our_limit(const struct err *e)
{
    return e->code == ERR_LIMIT || strstr(e->text, "too complex");
}

/* rc and e are what compiling gave. */
static void
ask_witness(struct slice pattern, int rc, const struct err *e, const struct event_pattern *p, const struct json *event)
{
    struct naive_pattern *witness;
    char why[100];
    if (pattern.n > NAIVE_BYTES || (rc != 0 && is_our_limit(e)))
        return;
    enum naive_answer valid = naive_pattern_compile(pattern, &witness, why, sizeof why);
    if (valid != NAIVE_UNSURE)
        check((rc == 0) == (valid == NAIVE_YES));
    if (valid == NAIVE_YES && event && event->text.n <= NAIVE_BYTES) {
        enum naive_answer answer = naive_pattern_match(witness, *event);
        if (answer != NAIVE_UNSURE)
            check(event_pattern_match(p, *event) == (answer == NAIVE_YES));
    }
    naive_pattern_destroy(witness);
}

/* Nothing is said to have failed exactly when the event matches. */
static void
explain(const struct event_pattern *p, struct json event, bool yes)
{
    struct buf said = BUF_INIT;
    check(event_pattern_explain(p, event, &said, NULL) == 0);
    check((said.len == 0) == yes && (yes || said.data[said.len - 1] == '\n'));
    buf_clean_up(&said);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *newline = size > 0 ? memchr(text, '\n', size) : NULL;
    struct slice pattern = slice_of(text, newline ? (size_t)(newline - text) : size);
    struct slice rest = newline ? slice_of(newline + 1, size - pattern.n - 1) : SLICE("{}");
    struct event_pattern *p = NULL;
    struct json event;
    struct err e;
    bool valid_event = json_parse(rest, &event, NULL) == 0;
    if (valid_event)
        read_envelope(event);
    int rc = event_pattern_compile(pattern, &p, &e);
    ask_witness(pattern, rc, &e, p, valid_event ? &event : NULL);
    if (rc != 0) {
        check((e.code == ERR_INVALID || e.code == ERR_LIMIT) && e.text[0]);
        return 0;
    }
    compile_compact(pattern, valid_event ? &event : NULL, p);
    if (valid_event) {
        bool yes = event_pattern_match(p, event);
        check(event.type == JSON_OBJECT || !yes);
        check(event_pattern_match(p, event) == yes);
        explain(p, event, yes);
    }
    event_pattern_destroy(p);
    return 0;
}
