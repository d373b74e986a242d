#include "event/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/rounds.h"
#include "lib/shared.h"
#include "lib/skip.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

static struct event_pattern *
compiled(struct slice text)
{
    struct event_pattern *p = NULL;
    struct err e = {0};
    if (event_pattern_compile(text, &p, &e) != 0)
        fail_msg("%.*s: %s", SLICE_ARG(text), e.text);
    return p;
}

static struct json
parsed(struct slice text)
{
    struct json v;
    struct err e = {0};
    if (json_parse(text, &v, &e) != 0)
        fail_msg("%.*s: %s", SLICE_ARG(text), e.text);
    return v;
}

static bool
matches(const char *pattern, const char *event)
{
    struct event_pattern *p = compiled(slice_of_string(pattern));
    bool yes = event_pattern_match(p, parsed(slice_of_string(event)));
    event_pattern_destroy(p);
    return yes;
}

static void
assert_matches(const char *pattern, const char *event)
{
    if (!matches(pattern, event))
        fail_msg("%s should match %s", pattern, event);
}

static void
assert_no_match(const char *pattern, const char *event)
{
    if (matches(pattern, event))
        fail_msg("%s should not match %s", pattern, event);
}

static void
every_field_must_match_and_others_do_not_matter(void **state)
{
    (void)state;
    const char *p = "{\"source\":[\"orders\"],\"detail\":{\"state\":[\"paid\"],\"who\":{\"id\":[7]}}}";
    assert_matches(p, "{\"source\":\"orders\",\"detail\":{\"state\":\"paid\",\"who\":{\"id\":7}}}");
    assert_matches(p,
                   "{\"x\":[{}],\"detail\":{\"who\":{\"y\":\"z\",\"id\":7},\"state\":\"paid\"},\"source\":\"orders\"}");
    assert_no_match(p, "{\"source\":\"orders\",\"detail\":{\"state\":\"paid\",\"who\":{\"id\":8}}}");
    assert_no_match(p, "{\"source\":\"orders\",\"detail\":{\"state\":\"paid\"}}");
    assert_no_match(p, "{\"source\":\"other\",\"detail\":{\"state\":\"paid\",\"who\":{\"id\":7}}}");
    assert_no_match(p, "{\"detail\":{\"state\":\"paid\",\"who\":{\"id\":7}}}");
    assert_no_match(p, "{\"source\":\"orders\",\"state\":\"paid\",\"who\":{\"id\":7}}");
    assert_no_match(p, "{}");
}

static void
any_entry_of_a_field_is_enough(void **state)
{
    (void)state;
    const char *p = "{\"a\":[\"x\",1,true,null,{\"prefix\":\"pre\"},\"zz\",{\"prefix\":\"b\"},-2.5]}";
    static const char *const YES[] = {"\"x\"",      "1",     "true",   "null",   "\"pre\"",
                                      "\"prefix\"", "\"b\"", "\"bc\"", "\"zz\"", "-25e-1"};
    static const char *const NO[] = {"\"y\"", "\"1\"",    "2",  "false", "\"pr\"",    "\"Pre\"",
                                     "\"\"",  "\"null\"", "[]", "{}",    "{\"x\":1}", "2.5"};
    char event[100];
    for (size_t i = 0; i < N_ELEMENTS(YES); i++) {
        snprintf(event, sizeof event, "{\"a\":%s}", YES[i]);
        assert_matches(p, event);
    }
    for (size_t i = 0; i < N_ELEMENTS(NO); i++) {
        snprintf(event, sizeof event, "{\"a\":%s}", NO[i]);
        assert_no_match(p, event);
    }
}

static void
strings_are_compared_as_the_text_they_mean(void **state)
{
    (void)state;
    assert_matches("{\"caf\\u00e9\":[\"\\u20ac \\ud834\\udd1e\"]}",
                   "{\"caf\xc3\xa9\":\"\xe2\x82\xac \xf0\x9d\x84\x9e\"}");
    assert_matches("{\"caf\xc3\xa9\":[\"\xe2\x82\xac \xf0\x9d\x84\x9e\"]}",
                   "{\"c\\u0061f\\u00E9\":\"\\u20AC \\uD834\\uDD1E\"}");
    assert_matches("{\"a\":[{\"prefix\":\"x\\/\"}]}", "{\"a\":\"\\u0078/y\"}");
    assert_matches("{\"a\":[\"x\\u0000y\"]}", "{\"a\":\"x\\u0000y\"}");
    assert_no_match("{\"a\":[\"x\"]}", "{\"a\":\"x\\u0000\"}");
    assert_no_match("{\"a\":[\"x\"]}", "{\"a\":\"X\"}");
    assert_no_match("{\"a\":[\"x\"]}", "{\"A\":\"x\"}");
    assert_no_match("{\"a\":[\"\xef\xbf\xbd\"]}", "{\"a\":\"\\ud834\"}");
    assert_matches("{\"a\":[{\"prefix\":\"x\"}]}", "{\"a\":\"x\\ud834\"}");
    assert_matches("{\"\":[\"\"]}", "{\"\":\"\"}");
    assert_matches("{\"a\":[{\"prefix\":\"\"}]}", "{\"a\":\"\"}");
}

static void
numbers_are_compared_as_doubles(void **state)
{
    (void)state;
    assert_matches("{\"n\":[300]}", "{\"n\":300.0}");
    assert_matches("{\"n\":[3e2]}", "{\"n\":300}");
    assert_matches("{\"n\":[0]}", "{\"n\":-0.0}");
    assert_matches("{\"n\":[5,1.10,9]}", "{\"n\":1.1}");
    assert_matches("{\"n\":[1e400]}", "{\"n\":1e400}");
    assert_no_match("{\"n\":[1e400]}", "{\"n\":1e500}");
    assert_no_match("{\"n\":[1e400]}", "{\"n\":-1e400}");
    assert_no_match("{\"n\":[300]}", "{\"n\":300.0000001}");
    assert_no_match("{\"n\":[300]}", "{\"n\":\"300\"}");
    assert_no_match("{\"n\":[\"300\"]}", "{\"n\":300}");
    assert_no_match("{\"n\":[1]}", "{\"n\":true}");
}

static void
null_is_a_value_and_not_an_absence(void **state)
{
    (void)state;
    assert_matches("{\"a\":[null]}", "{\"a\":null}");
    assert_no_match("{\"a\":[null]}", "{}");
    assert_no_match("{\"a\":[null]}", "{\"a\":[]}");
    assert_no_match("{\"a\":[null]}", "{\"a\":{}}");
    assert_matches("{\"a\":[null]}", "{\"a\":[1,null]}");
}

static void
dots_join_names_in_patterns_and_events(void **state)
{
    (void)state;
    assert_matches("{\"a\":{\"b\":[1]}}", "{\"a.b\":1}");
    assert_matches("{\"a.b\":[1]}", "{\"a\":{\"b\":1}}");
    assert_matches("{\"a.b\":{\"c\":[1]}}", "{\"a\":{\"b.c\":1}}");
    assert_matches("{\"a.b\":[1],\"a\":{\"c\":[2]}}", "{\"a\":{\"b\":1},\"a.c\":2}");
    assert_matches("{\"a\":[1],\"a.b\":[2]}", "{\"a\":1,\"a.b\":2}");
    assert_matches("{\"a\":{\"\":[1]}}", "{\"a.\":1}");
    assert_matches("{\"a\":{\"b\":[1]}}", "{\"a\\u002eb\":1}");
    assert_no_match("{\"a.b\":{\"b\":[1]}}", "{\"a\":{\"b\":1}}");
    assert_no_match("{\"a\":{\"b\":[1]}}", "{\"ab\":1}");
    assert_no_match("{\"a\":[1]}", "{\"a.\":1}");
}

static void
of_a_field_given_twice_the_patterns_last_and_any_of_the_event_count(void **state)
{
    (void)state;
    assert_matches("{\"a\":[1],\"a\":[2]}", "{\"a\":2}");
    assert_no_match("{\"a\":[1],\"a\":[2]}", "{\"a\":1}");
    assert_no_match("{\"a\":{\"b\":[1]},\"a.b\":[2]}", "{\"a\":{\"b\":1}}");
    assert_matches("{\"a\":[1]}", "{\"a\":1,\"a\":2}");
    assert_matches("{\"a\":[1]}", "{\"a\":2,\"a\":1}");
}

static void
arrays_stand_for_their_elements(void **state)
{
    (void)state;
    assert_matches("{\"a\":[1]}", "{\"a\":[3,2,1]}");
    assert_matches("{\"a\":[1]}", "{\"a\":[[3],[[2,1]]]}");
    assert_matches("{\"a\":{\"b\":[1]}}", "{\"a\":[{\"b\":3},7,{\"b\":[2,1]}]}");
    assert_matches("{\"a\":{\"b\":[1]}}", "{\"a\":[[{\"b\":1}]]}");
    assert_matches("{\"a\":[1],\"b\":[2]}", "{\"a\":[0,1],\"b\":[2,3]}");
    assert_no_match("{\"a\":[1]}", "{\"a\":[]}");
    assert_no_match("{\"a\":[1]}", "{\"a\":[[],[{\"a\":1}]]}");
    assert_no_match("{\"a\":{\"b\":[1]}}", "{\"a\":[\"b\",1]}");
}

static void
two_fields_do_not_match_in_different_elements_of_one_array(void **state)
{
    (void)state;
    const char *p = "{\"item\":{\"id\":[1],\"n\":[2]}}";
    assert_no_match(p, "{\"item\":[{\"id\":1,\"n\":0},{\"id\":0,\"n\":2}]}");
    assert_no_match(p, "{\"item\":[{\"id\":1},{\"n\":2}]}");
    assert_matches(p, "{\"item\":[{\"id\":1,\"n\":0},{\"n\":2,\"id\":1}]}");
    assert_matches(p, "{\"item\":[{\"id\":[0,1],\"n\":[2,0]}]}");
    assert_no_match(p, "{\"item\":[[{\"id\":1}],[{\"n\":2}]]}");
    assert_no_match(p, "{\"item\":[[{\"id\":1},{\"n\":2}]]}");
    assert_matches(p, "{\"item\":[{\"id\":1}],\"item.n\":2}");

    const char *deep = "{\"a\":{\"x\":[1],\"b\":{\"c\":[1],\"d\":[1]}}}";
    assert_matches(deep, "{\"a\":[{\"x\":0,\"b\":[{\"c\":1,\"d\":1}]},{\"x\":1,\"b\":[{\"c\":1},{\"c\":1,\"d\":1}]}]}");
    assert_no_match(deep, "{\"a\":[{\"x\":0,\"b\":[{\"c\":1,\"d\":1}]},{\"x\":1,\"b\":[{\"c\":1},{\"d\":1}]}]}");
    /* scalars belong to no element */
    assert_matches("{\"a\":[1],\"a.b\":[2]}", "{\"a\":[1,{\"b\":2}]}");
    /* missing not in all elements, which the first x asks for, but in the one that the other x is in */
    const char *missing = "{\"a\":{\"x\":[1],\"y\":[{\"exists\":false}]}}";
    assert_matches(missing, "{\"a.x\":1,\"a\":[{\"x\":1},{\"y\":5}]}");
    assert_no_match(missing, "{\"a.x\":1,\"a\":[{\"x\":2},{\"y\":5}]}");
}

static void
what_is_no_object_matches_nothing(void **state)
{
    (void)state;
    static const char *const EVENTS[] = {"[]", "[{\"a\":1}]", "1", "\"a\"", "null", "true"};
    for (size_t i = 0; i < N_ELEMENTS(EVENTS); i++)
        assert_no_match("{\"a\":[1]}", EVENTS[i]);
}

#define NOT_VALID "Event pattern is not valid. Reason: "

static void
invalid_patterns_are_refused_in_aws_words_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *error;
    } CASES[] = {
        {"[]", NOT_VALID "Filter is not an object at [line: 1, column: 1]"},
        {"\"a\"", NOT_VALID "Filter is not an object at [line: 1, column: 1]"},
        {"{}", NOT_VALID "Empty objects are not allowed at [line: 1, column: 1]"},
        {"{\"a\":{}}", NOT_VALID "Empty objects are not allowed at [line: 1, column: 6]"},
        {"{\"a\":[]}", NOT_VALID "Empty arrays are not allowed at [line: 1, column: 6]"},
        {"{\n \"a\" : \"b\"}", NOT_VALID "\"a\" must be an object or an array at [line: 2, column: 8]"},
        {"{\"a\":1}", NOT_VALID "\"a\" must be an object or an array at [line: 1, column: 6]"},
        {"{\"a\":[1,[2]]}",
         NOT_VALID "Match value must be String, number, true, false, or null at [line: 1, column: 9]"},
        {"{\"a\":[{}]}", NOT_VALID "Match expression name not found at [line: 1, column: 7]"},
        {"{\"a\":[{\"prefixed\":\"x\"}]}", NOT_VALID "Unrecognized match type prefixed at [line: 1, column: 8]"},
        {"{\"a\":[{\"Prefix\":\"x\"}]}", NOT_VALID "Unrecognized match type Prefix at [line: 1, column: 8]"},
        {"{\"a\":[{\"prefix\":1}]}", NOT_VALID "prefix match pattern must be a string at [line: 1, column: 17]"},
        {"{\"a\":[{\"prefix\":[\"x\"]}]}", NOT_VALID "prefix match pattern must be a string at [line: 1, column: 17]"},
        {"{\"a\":[{\"prefix\":\"x\",\"suffix\":\"y\"}]}",
         NOT_VALID "Only one key allowed in match expression at [line: 1, column: 21]"},
        {"{\"a\":[\"\\ud834\"]}", NOT_VALID "\"\\ud834\" holds half of a surrogate pair at [line: 1, column: 7]"},
        {"{\"\\udd1e\":[1]}", NOT_VALID "\"\\udd1e\" holds half of a surrogate pair at [line: 1, column: 2]"},
        {"{\"a\":[1]",
         NOT_VALID "JSON, line 1, column 9 (byte offset 8): expected ',' or '}', found the end of the text"},
        {"", NOT_VALID "JSON, line 1, column 1 (byte offset 0): expected a value, found the end of the text"},
        {"{\"$or\":[{\"a\":[1]}]}", NOT_VALID "Unrecognized match type a at [line: 1, column: 10]"},
    };
    for (size_t i = 0; i < N_ELEMENTS(CASES); i++) {
        struct event_pattern *p = NULL;
        struct err e = {0};
        assert_int_equal(event_pattern_compile(slice_of_string(CASES[i].pattern), &p, &e), ERR_INVALID);
        assert_string_equal(e.text, CASES[i].error);
        assert_null(p);
    }
}

static void
or_is_a_name_like_any_other_where_it_cannot_be_the_operator(void **state)
{
    (void)state;
    assert_matches("{\"$or\":[1,2]}", "{\"$or\":2}");
    assert_matches("{\"$or\":{\"a\":[1]}}", "{\"$or\":{\"a\":1}}");
    assert_matches("{\"$or\":[{\"prefix\":\"x\"},{\"prefix\":\"y\"}]}", "{\"$or\":\"yes\"}");
}

static void
patterns_longer_than_4096_bytes_are_refused(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    struct event_pattern *p = NULL;
    struct err e;
    for (size_t n = EVENT_PATTERN_MAX_BYTES; n <= EVENT_PATTERN_MAX_BYTES + 1; n++) {
        buf_reset(&b);
        buf_add_string(&b, "{\"a\":[\"");
        while (b.len < n - 4)
            buf_add_char(&b, 'x');
        buf_add_string(&b, "\"]}");
        while (b.len < n)
            buf_add_char(&b, ' ');
        int rc = event_pattern_compile(buf_slice(&b), &p, &e);
        assert_int_equal(rc, n <= EVENT_PATTERN_MAX_BYTES ? 0 : ERR_LIMIT);
        event_pattern_destroy(p);
        p = NULL;
    }
    assert_string_equal(e.text, NOT_VALID "It is 4097 bytes long, longer than 4096");
    event_pattern_destroy(NULL);
    buf_clean_up(&b);
}

static void
the_most_fields_and_the_deepest_pattern_work(void **state)
{
    (void)state;
    struct buf pattern = BUF_INIT, event = BUF_INIT;
    /* 400 fields of two-letter names, the last one wrong in the second event */
    for (int wrong = 0; wrong < 2; wrong++) {
        buf_reset(&pattern);
        buf_reset(&event);
        for (int i = 0; i < 400; i++) {
            buf_add_format(&pattern, "%c\"%c%c\":[%d]", i ? ',' : '{', 'a' + i / 26, 'a' + i % 26, i % 10);
            buf_add_format(&event, "%c\"%c%c\":%d", i ? ',' : '{', 'a' + i / 26, 'a' + i % 26,
                           (i + (wrong && i == 399)) % 10);
        }
        buf_add_char(&pattern, '}');
        buf_add_char(&event, '}');
        assert_true(matches(pattern.data, event.data) == !wrong);
    }
    buf_reset(&pattern);
    buf_reset(&event);
    for (int i = 0; i < 500; i++)
        buf_add_string(&pattern, "{\"a\":");
    buf_add_string(&pattern, "[1]");
    for (int i = 0; i < 500; i++)
        buf_add_char(&pattern, '}');
    buf_add_string(&event, "{\"");
    for (int i = 0; i < 499; i++)
        buf_add_string(&event, "a.");
    buf_add_string(&event, "a\":1}");
    assert_matches(pattern.data, event.data);
    assert_matches(pattern.data, pattern.data); /* a field's array is an event's array as well */
    buf_clean_up(&pattern);
    buf_clean_up(&event);
}

static void
every_literal_and_prefix_of_a_long_list_is_found(void **state)
{
    (void)state;
    struct buf pattern = BUF_INIT;
    char event[100];
    buf_add_string(&pattern, "{\"a\":[{\"prefix\":\"p\"},{\"prefix\":\"pp\"}");
    for (int i = 0; i < 60; i++)
        buf_add_format(&pattern, ",\"s%d\",%d,{\"prefix\":\"q%dx\"},\"k\xc3\xa9%d\"", i * 7 % 60, i * 11 % 60,
                       i * 13 % 60, i);
    buf_add_string(&pattern, "]}");
    struct event_pattern *p = compiled(buf_slice(&pattern));
    static const char *const AROUND[][2] = {{"\"s", "\""}, {"", ""}, {"\"q", "xyz\""}, {"\"\\u006b\\u00e9", "\""}};
    for (int i = 0; i < 70; i++) {
        for (size_t k = 0; k < N_ELEMENTS(AROUND); k++) {
            snprintf(event, sizeof event, "{\"a\":%s%d%s}", AROUND[k][0], i, AROUND[k][1]);
            assert_true(event_pattern_match(p, parsed(slice_of_string(event))) == (i < 60));
        }
        snprintf(event, sizeof event, "{\"a\":\"q%d\"}", i);
        assert_false(event_pattern_match(p, parsed(slice_of_string(event))));
    }
    assert_true(event_pattern_match(p, parsed(SLICE("{\"a\":\"pq\"}"))));
    assert_true(event_pattern_match(p, parsed(SLICE("{\"a\":\"ppp\"}"))));
    event_pattern_destroy(p);
    buf_clean_up(&pattern);
}

/* Would not end if the walk went over nested parts again, or tried elements in combination. */
static void
hostile_events_cost_no_more_than_their_size(void **state)
{
    (void)state;
    struct buf pattern = BUF_INIT, event = BUF_INIT;
    for (int i = 0; i < 300; i++)
        buf_add_string(&pattern, "{\"a\":");
    buf_add_string(&pattern, "{\"b\":[1],\"c\":[2],\"d\":[3]}");
    for (int i = 0; i < 300; i++)
        buf_add_char(&pattern, '}');
    struct event_pattern *p = compiled(buf_slice(&pattern));

    for (int i = 0; i < 300; i++)
        buf_add_string(&event, "{\"a\":");
    buf_add_string(&event, "[");
    while (event.len < 1 << 20)
        buf_add_string(&event, "{\"b\":[1,1],\"c\":2},{\"c\":2,\"d\":[[3]]},{\"b\":1,\"d\":3},");
    buf_add_string(&event, "0]");
    for (int i = 0; i < 300; i++)
        buf_add_char(&event, '}');
    int64_t start_ns = clock_monotonic_ns();
    assert_false(event_pattern_match(p, parsed(buf_slice(&event))));
    int64_t took_ms = (clock_monotonic_ns() - start_ns) / 1000000;
    assert_true(took_ms < 2000); /* some 5 ms; 300 times the size would be far beyond, even under a sanitizer */

    buf_reset(&event);
    buf_add_string(&event, "{\"a\":");
    for (int i = 0; i < 255; i++)
        buf_add_string(&event, "[{\"a\":");
    buf_add_string(&event, "1");
    for (int i = 0; i < 255; i++)
        buf_add_string(&event, "}]");
    buf_add_string(&event, "}");
    assert_false(event_pattern_match(p, parsed(buf_slice(&event))));
    event_pattern_destroy(p);
    buf_clean_up(&pattern);
    buf_clean_up(&event);
}

/* ---- against a slow and obvious matcher ---- */

/* An event as AWS describes it: one entry per scalar, with its path and the array elements it is inside of. */
struct flat {
    char path[64];
    char value[8];
    struct {
        int array, index;
    } inside[16];
    int n_inside;
};
struct flattener {
    struct flat fields[2000];
    int n_fields, n_arrays;
    struct flat at;
};

static void
flatten(struct flattener *f, struct json value)
{
    struct flat saved = f->at;
    struct json_iter it = json_iter(value);
    if (value.type == JSON_OBJECT) {
        while (json_next(&it)) {
            snprintf(f->at.path, sizeof f->at.path, "%.40s%s%.*s", saved.path, *saved.path ? "." : "",
                     SLICE_ARG(json_raw(it.key)));
            flatten(f, it.value);
        }
    } else if (value.type == JSON_ARRAY) {
        int array = f->n_arrays++;
        while (json_next(&it)) {
            f->at.inside[saved.n_inside].array = array;
            f->at.inside[saved.n_inside].index = (int)it.index;
            bool inside = it.value.type == JSON_OBJECT || it.value.type == JSON_ARRAY;
            f->at.n_inside = saved.n_inside + inside;
            flatten(f, it.value);
        }
    } else {
        assert_true(f->n_fields < (int)N_ELEMENTS(f->fields));
        snprintf(f->at.value, sizeof f->at.value, "%.*s", SLICE_ARG(value.text));
        f->fields[f->n_fields++] = f->at;
    }
    f->at = saved;
}

/* A pattern whose every field has one literal, flattened the same way, against the event: try everything. */
static bool
try_fields(const struct flattener *pattern, int next, const struct flattener *event, const struct flat **chosen)
{
    if (next == pattern->n_fields)
        return true;
    for (int i = 0; i < event->n_fields; i++) {
        const struct flat *f = &event->fields[i], *wanted = &pattern->fields[next];
        if (strcmp(f->path, wanted->path) != 0 || strcmp(f->value, wanted->value) != 0)
            continue;
        bool consistent = true;
        for (int k = 0; k < next; k++)
            for (int x = 0; x < f->n_inside; x++)
                for (int y = 0; y < chosen[k]->n_inside; y++)
                    if (f->inside[x].array == chosen[k]->inside[y].array &&
                        f->inside[x].index != chosen[k]->inside[y].index)
                        consistent = false;
        chosen[next] = f;
        if (consistent && try_fields(pattern, next + 1, event, chosen))
            return true;
    }
    return false;
}

static uint64_t
next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (x * UINT64_C(0x2545F4914F6CDD1D)) >> 33;
}

/* Objects name each key at most once. dots: some keys are dot-joined, so that paths may be spelt in two ways. */
static void
generate(uint64_t *random, struct buf *out, int depth, bool pattern, bool dots)
{
    static const char *const DOTTED[] = {"a.b", "b.c", "a.b.c"};
    bool first = true;
    buf_add_char(out, '{');
    for (int k = 0; k < 6; k++) {
        if (k < 3 ? next_random(random) % 4 < (pattern ? 2 : 1) : !dots || next_random(random) % 4 > !pattern)
            continue;
        char plain[2] = {(char)('a' + k), 0};
        buf_add_format(out, "%s\"%s\":", first ? "" : ",", k < 3 ? plain : DOTTED[k - 3]);
        first = false;
        uint64_t kind = next_random(random) % 10;
        if (depth < 3 && kind < 4) {
            generate(random, out, depth + 1, pattern, dots);
        } else if (pattern) {
            buf_add_format(out, "[%d]", (int)(next_random(random) % 2));
        } else if (depth < 3 && kind < 8) {
            buf_add_char(out, '[');
            for (uint64_t n = next_random(random) % 4, i = 0; i < n; i++) {
                if (i > 0)
                    buf_add_char(out, ',');
                if (depth == 2 || next_random(random) % 4 == 0) {
                    buf_add_format(out, "%d", (int)(next_random(random) % 2));
                } else if (next_random(random) % 5 == 0) {
                    buf_add_char(out, '[');
                    generate(random, out, depth + 1, pattern, dots);
                    buf_add_char(out, ']');
                } else {
                    generate(random, out, depth + 1, pattern, dots);
                }
            }
            buf_add_char(out, ']');
        } else {
            buf_add_format(out, "%d", (int)(next_random(random) % 2));
        }
    }
    if (first)
        buf_add_string(out, pattern ? "\"c\":[1]" : "\"c\":1");
    buf_add_char(out, '}');
}

static void
agrees_with_a_matcher_that_tries_everything(void **state)
{
    (void)state;
    static struct flattener pattern, event;
    const struct flat *chosen[400];
    struct buf p_text = BUF_INIT, e_text = BUF_INIT;
    int tried[2] = {0}, yes[2] = {0};
    const size_t n = rounds_of(30000);
    for (uint64_t seed = 1; seed <= n; seed++) {
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
        bool dots = seed % 4 == 0;
        buf_reset(&p_text);
        buf_reset(&e_text);
        generate(&random, &p_text, 1 + (int)(seed % 3), true, dots);
        generate(&random, &e_text, seed % 2, false, dots);
        pattern.n_fields = pattern.n_arrays = event.n_fields = event.n_arrays = 0;
        flatten(&pattern, parsed(buf_slice(&p_text)));
        flatten(&event, parsed(buf_slice(&e_text)));
        if (dots) { /* a field given twice has its own test */
            bool twice = false;
            for (int i = 0; i < pattern.n_fields; i++)
                for (int k = 0; k < i; k++)
                    twice |= strcmp(pattern.fields[i].path, pattern.fields[k].path) == 0;
            if (twice)
                continue;
        }
        bool expected = try_fields(&pattern, 0, &event, chosen);
        struct event_pattern *p = compiled(buf_slice(&p_text));
        bool got = event_pattern_match(p, parsed(buf_slice(&e_text)));
        event_pattern_destroy(p);
        tried[dots]++;
        yes[dots] += expected;
        if (got != expected)
            fail_msg("seed %llu: %s on %s should be %s", (unsigned long long)seed, p_text.data, e_text.data,
                     expected ? "a match" : "no match");
    }
    print_message("%d pairs, %d of them matches; with dot-joined names %d, %d\n", tried[0], yes[0], tried[1], yes[1]);
    assert_true((size_t)tried[0] > n * 2 / 3 && (size_t)yes[0] > n / 30);
    assert_true((size_t)tried[1] > n / 6 && (size_t)yes[1] > n / 150);
    buf_clean_up(&p_text);
    buf_clean_up(&e_text);
}

/* ---- cases recorded elsewhere ---- */

static struct json
member(struct json object, const char *name)
{
    struct json v = {.type = JSON_NULL};
    if (!json_get(object, name, &v))
        fail_msg("no %s in %.*s", name, SLICE_ARG(object.text));
    return v;
}

static void
cases_recorded_against_aws_give_its_answers(void **state)
{
    (void)state;
    struct buf file = BUF_INIT;
    if (!shared_read("data/event-patterns/cases.json", &file))
        skip_because("no data/event-patterns/cases.json beside the repository");
    struct json root = parsed(buf_slice(&file));
    int ran = 0;
    for (struct json_iter it = json_iter(member(root, "cases")); json_next(&it);) {
        struct json name = member(it.value, "name"), pattern = member(it.value, "pattern");
        struct json event = member(it.value, "event"), expect = member(it.value, "expect");
        struct event_pattern *p = NULL;
        struct err e = {0};
        if (event_pattern_compile(pattern.text, &p, &e) != 0) {
            struct buf text = BUF_INIT;
            if (!json_equals_string(expect, SLICE("error")))
                fail_msg("%.*s: %s", SLICE_ARG(name.text), e.text);
            assert_int_equal(json_decode(member(it.value, "error_message"), &text, NULL), 0);
            if (!slice_starts_with(slice_of_string(e.text), buf_slice(&text)))
                fail_msg("%.*s: %s", SLICE_ARG(name.text), e.text);
            buf_clean_up(&text);
        } else {
            bool yes = event_pattern_match(p, event);
            if (!json_equals_string(expect, yes ? SLICE("match") : SLICE("no-match")))
                fail_msg("%.*s: should be %.*s", SLICE_ARG(name.text), SLICE_ARG(expect.text));
            event_pattern_destroy(p);
        }
        ran++;
    }
    print_message("%d cases recorded against AWS ran\n", ran);
    assert_int_equal(ran, 98);
    buf_clean_up(&file);
}

static void
pairs_of_awss_own_matcher_give_its_answers(void **state)
{
    (void)state;
    struct buf file = BUF_INIT, pattern = BUF_INIT, event = BUF_INIT;
    if (!shared_read("data/event-patterns/ruler-unit-pairs.json", &file))
        skip_because("no data/event-patterns/ruler-unit-pairs.json beside the repository");
    struct json pairs = parsed(buf_slice(&file));
    int ran = 0;
    for (struct json_iter it = json_iter(pairs); json_next(&it);) {
        struct json name = member(it.value, "name"), expect = member(it.value, "expected"), v;
        struct event_pattern *p = NULL;
        struct err e = {0};
        buf_reset(&pattern);
        buf_reset(&event);
        assert_int_equal(json_decode(member(it.value, "pattern_text"), &pattern, NULL), 0);
        assert_int_equal(json_decode(member(it.value, "event_text"), &event, NULL), 0);
        if (event_pattern_compile(buf_slice(&pattern), &p, &e) != 0) {
            fail_msg("%.*s: %s", SLICE_ARG(name.text), e.text);
        }
        bool yes = json_parse(buf_slice(&event), &v, &e) == 0 && event_pattern_match(p, v);
        if (!json_equals_string(expect, yes ? SLICE("match") : SLICE("nomatch")))
            fail_msg("%.*s: %s on %s should be %.*s", SLICE_ARG(name.text), pattern.data, event.data,
                     SLICE_ARG(expect.text));
        event_pattern_destroy(p);
        ran++;
    }
    print_message("%d pairs of AWS's own matcher ran\n", ran);
    assert_int_equal(ran, 1291);
    buf_clean_up(&file);
    buf_clean_up(&pattern);
    buf_clean_up(&event);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_must_match_and_others_do_not_matter),
        cmocka_unit_test(any_entry_of_a_field_is_enough),
        cmocka_unit_test(strings_are_compared_as_the_text_they_mean),
        cmocka_unit_test(numbers_are_compared_as_doubles),
        cmocka_unit_test(null_is_a_value_and_not_an_absence),
        cmocka_unit_test(dots_join_names_in_patterns_and_events),
        cmocka_unit_test(of_a_field_given_twice_the_patterns_last_and_any_of_the_event_count),
        cmocka_unit_test(arrays_stand_for_their_elements),
        cmocka_unit_test(two_fields_do_not_match_in_different_elements_of_one_array),
        cmocka_unit_test(what_is_no_object_matches_nothing),
        cmocka_unit_test(invalid_patterns_are_refused_in_aws_words_with_the_place),
        cmocka_unit_test(or_is_a_name_like_any_other_where_it_cannot_be_the_operator),
        cmocka_unit_test(patterns_longer_than_4096_bytes_are_refused),
        cmocka_unit_test(the_most_fields_and_the_deepest_pattern_work),
        cmocka_unit_test(every_literal_and_prefix_of_a_long_list_is_found),
        cmocka_unit_test(hostile_events_cost_no_more_than_their_size),
        cmocka_unit_test(agrees_with_a_matcher_that_tries_everything),
        cmocka_unit_test(cases_recorded_against_aws_give_its_answers),
        cmocka_unit_test(pairs_of_awss_own_matcher_give_its_answers),
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
