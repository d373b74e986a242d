/* fuzz_events_rules: what callers say of rules and targets. The first byte chooses the operation whose shape the rest
 * is checked against; with the highest bit set the rest is a target, and behind a line end the event it gets.
 *
 * What a shape accepts it accepts again when it was written out, and writes the same again; what a target makes of an
 * event is JSON. */
#include "fuzz/fuzz.h"
#include "local/events_input.h"
#include "local/events_requests.h"

/* Whether the shape has nothing against it. */
static bool
is_good(const struct events_shape *shape, struct json value)
{
    struct events_violations v = {0};
    struct buf text = BUF_INIT;
    local_events_check_shape(&v, shape, value);
    bool good = local_events_is_valid(&v);
    if (!good)
        local_events_write_violations(&v, &text);
    check(good == (text.len == 0) && !v.no_memory);
    buf_clean_up(&text);
    local_events_violations_clean_up(&v);
    return good;
}

static void
take_request(const struct events_shape *shape, struct slice text)
{
    struct buf written = BUF_INIT, again = BUF_INIT;
    struct json value, back;
    if (json_parse(text, &value, NULL) == 0 && is_good(shape, value)) {
        local_events_write_known(&written, shape, value);
        check(json_parse(buf_slice(&written), &back, NULL) == 0 && is_good(shape, back));
        local_events_write_known(&again, shape, back);
        check(slice_equals(buf_slice(&written), buf_slice(&again)));
    }
    buf_clean_up(&written);
    buf_clean_up(&again);
}

static void
take_target(struct slice text, struct json event)
{
    struct json target, made_of_it;
    struct events_input input;
    struct arena arena;
    struct buf made = BUF_INIT;
    struct err e = {0};
    struct slice got = {0};
    const struct events_input_subject subject = {
        .rule_arn = SLICE("arn"), .rule_name = SLICE("rule"), .event = event, .ingested_at_ms = INT64_C(1763618400000)};
    arena_init(&arena, 0);
    if (json_parse(text, &target, NULL) == 0 && is_good(&EVENTS_TARGET, target)) {
        int rc = local_events_input_compile(target, SLICE("id"), &arena, &input, &e);
        check(rc == 0 || (rc == ERR_INVALID && e.text[0]));
        if (rc == 0) {
            rc = local_events_input_apply(&input, &subject, &made, &got, &e);
            check(rc == 0 || ((rc == ERR_INVALID || rc == ERR_LIMIT) && e.text[0]));
            check(rc != 0 || json_parse(got, &made_of_it, NULL) == 0);
        }
    }
    buf_clean_up(&made);
    arena_clean_up(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct events_shape *const SHAPES[] = {
        &EVENTS_TEST_EVENT_PATTERN, &EVENTS_PUT_RULE,    &EVENTS_NAMED_RULE,     &EVENTS_DELETE_RULE,
        &EVENTS_LIST_RULES,         &EVENTS_PUT_TARGETS, &EVENTS_REMOVE_TARGETS, &EVENTS_LIST_TARGETS,
    };
    struct json event;
    if (size == 0)
        return 0;
    struct slice rest = slice_of((const char *)data + 1, size - 1);
    if (data[0] < 0x80) {
        take_request(SHAPES[data[0] % (sizeof SHAPES / sizeof *SHAPES)], rest);
        return 0;
    }
    const char *end = rest.n > 0 ? memchr(rest.p, '\n', rest.n) : NULL;
    if (end && json_parse(slice_of(end + 1, (size_t)(rest.p + rest.n - end - 1)), &event, NULL) == 0)
        take_target(slice_of(rest.p, (size_t)(end - rest.p)), event);
    return 0;
}
