/* Arrays: which fields may match together, what is missing where, and events that spell the way to an array twice.
 * Chosen cases, each for a rule of the language (test_pattern_random.c has as many as you like). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "event/pattern.h"

struct answer {
    const char *pattern, *event;
    bool matches;
};

static void
assert_answers(const struct answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct event_pattern *p = NULL;
        struct err e = {0};
        bool matches = false;
        if (event_pattern_compile(slice_of_string(answers[i].pattern), &p, &e) != 0 ||
            event_pattern_match_text(p, slice_of_string(answers[i].event), &matches, &e) != 0)
            fail_msg("%s on %s: %s", answers[i].pattern, answers[i].event, e.text);
        if (matches != answers[i].matches)
            fail_msg("%s %s %s", answers[i].pattern, answers[i].matches ? "should match" : "should not match",
                     answers[i].event);
        event_pattern_destroy(p);
    }
}
#define ASSERT_ANSWERS(answers) assert_answers(answers, sizeof(answers) / sizeof *(answers))

/* In the element that fields before it (by path) matched in; in all elements otherwise. */
static void
what_is_missing_is_missed_where_the_fields_before_it_matched(void **state)
{
    (void)state;
    const char *after = "{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}]}}";
    const char *before = "{\"a\":{\"b\":[{\"exists\":false}],\"c\":[1]}}";
    const struct answer ANSWERS[] = {
        {after, "{\"a\":[{\"b\":1},{\"c\":2}]}", true},
        {after, "{\"a\":[{\"b\":1,\"c\":2},{\"b\":1}]}", true},
        {after, "{\"a\":[{\"b\":1,\"c\":2},{\"b\":0}]}", false},
        {after, "{\"a\":[{\"b\":1},[{\"c\":2}]],\"x\":1}", true},
        {before, "{\"a\":[{\"c\":1},{\"b\":2}]}", false},
        {before, "{\"a\":[{\"c\":1},{\"d\":2}]}", true},
        {before, "{\"a\":[{\"c\":1},{\"b\":[]}]}", true},
        {before, "{\"a\":[[{\"c\":1}],[{\"b\":2}]]}", false},
        /* "b-" sorts before "b.c", whatever the tree says */
        {"{\"a\":{\"b-\":[{\"exists\":false}],\"b\":{\"c\":[1]}}}", "{\"a\":[{\"b\":{\"c\":1}},{\"b-\":1}]}", false},
        {"{\"a\":{\"b0\":[{\"exists\":false}],\"b\":{\"c\":[1]}}}", "{\"a\":[{\"b\":{\"c\":1}},{\"b0\":1}]}", true},
        /* U+10000 sorts before U+E000, as UTF-16 */
        {"{\"a\":{\"\\ud800\\udc00\":[{\"exists\":false}],\"\\ue000\":[1]}}",
         "{\"a\":[{\"\\ue000\":1},{\"\\ud800\\udc00\":1}]}", false},
        {"{\"a\":{\"\\ud800\\udc00\":[1],\"\\ue000\":[{\"exists\":false}]}}",
         "{\"a\":[{\"\\ue000\":1},{\"\\ud800\\udc00\":1}]}", true},
        /* either there and 1, or missing */
        {"{\"a\":{\"b\":[1,{\"exists\":false}],\"c\":[2]}}", "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3}]}", true},
        {"{\"a\":{\"b\":[1,{\"exists\":false}],\"c\":[2]}}", "{\"a\":[{\"c\":2},{\"b\":3}]}", false},
        {"{\"a\":{\"b\":[1,{\"exists\":false}],\"c\":[2,{\"exists\":false}]}}", "{\"a\":[{\"b\":1},{\"c\":3}]}", true},
        {"{\"a\":{\"b\":[1,{\"exists\":false}],\"c\":[2,{\"exists\":false}]}}", "{\"a\":[{\"b\":3},{\"c\":2}]}", false},
        {"{\"a\":{\"b\":[1,{\"exists\":false}],\"c\":[2,{\"exists\":false}]}}", "{\"x\":1}", true},
        /* arrays inside of what was chosen are looked at as a whole */
        {"{\"a\":{\"b\":[1],\"c\":{\"d\":[{\"exists\":false}]}}}", "{\"a\":[{\"b\":1,\"c\":[{},{\"d\":1}]}]}", false},
        {"{\"a\":{\"c\":{\"d\":[1],\"e\":[{\"exists\":false}]},\"f\":[2]}}",
         "{\"a\":[{\"c\":[{\"d\":1},{\"e\":1}],\"f\":2},{\"c\":{\"e\":1}}]}", true},
    };
    ASSERT_ANSWERS(ANSWERS);
}

static void
scalars_of_an_array_belong_to_no_element(void **state)
{
    (void)state;
    const char *both = "{\"a\":[1],\"a.b\":[2],\"a.c\":[3]}";
    static const char none[] = "{\"a\":[{\"exists\":false}],\"a.b\":[2]}";
    const struct answer ANSWERS[] = {
        {both, "{\"a\":[{\"b\":2,\"c\":3},1]}", true},
        {both, "{\"a\":[1,{\"b\":2},{\"c\":3}]}", false},
        {both, "{\"a\":[[1,{\"b\":2,\"c\":3}]]}", true},
        {both, "{\"a\":[[1],[{\"b\":2,\"c\":3}]]}", false},
        {both, "{\"a\":[1,[{\"b\":2,\"c\":3}]]}", true},
        {none, "{\"a\":[{\"b\":2}]}", true},
        {none, "{\"a\":[{\"b\":2},0]}", false},
        {none, "{\"a\":[{\"b\":2},[[0]]]}", false},
        {"{\"a\":[5],\"a.c\":[{\"exists\":false}]}", "{\"a\":[5,[5],{\"c\":1}]}", true},
        {"{\"a\":[5],\"a.c\":[{\"exists\":false}]}", "{\"a\":[5,{\"c\":1}]}", false},
    };
    ASSERT_ANSWERS(ANSWERS);
}

/* Each written array is one of its own. */
static void
fields_match_by_two_ways_to_the_same_node(void **state)
{
    (void)state;
    const char *two = "{\"a\":{\"b\":[1],\"c\":[2]}}", *three = "{\"a\":{\"b\":[1],\"c\":[2],\"d\":[3]}}";
    const struct answer ANSWERS[] = {
        {two, "{\"a\":[{\"b\":1}],\"a\":[{\"c\":2}]}", true},
        {two, "{\"a\":[{\"b\":1}],\"a\":{\"c\":2}}", true},
        {two, "{\"a\":{\"c\":2},\"a\":[{\"b\":1}]}", true},
        {two, "{\"a\":[{\"b\":1}],\"a.c\":2}", true},
        {two, "{\"a.c\":[2],\"a\":[[{\"b\":1}]]}", true},
        {two, "{\"a\":[{\"b\":1},{\"c\":2}],\"a\":[{\"b\":0}]}", false},
        {three, "{\"a\":[{\"b\":1},{\"c\":2}],\"a\":{\"d\":3}}", false},
        {three, "{\"a\":[{\"b\":1},{\"c\":2}],\"a\":[{\"b\":1,\"d\":3},{\"c\":2,\"d\":3}]}", true},
        {three, "{\"a\":[{\"b\":1},{\"c\":2}],\"a\":[{\"b\":1},{\"c\":2}],\"a.d\":3}", true},
        {"{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}]}}", "{\"a\":[{\"b\":1}],\"a\":{\"c\":2}}", false},
        {"{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}]}}", "{\"a\":[{\"b\":1},{\"c\":2}],\"a\":{\"d\":2}}", true},
        /* objects are not a choice, so this is no question of ways */
        {three, "{\"a\":{\"b\":1},\"a\":{\"c\":2},\"a.d\":3}", true},
        {"{\"x\":{\"a.b\":[1],\"a.c\":[2]}}", "{\"x\":[{\"a.b\":1},{\"a.b\":1,\"a.c\":2}]}", true},
        {"{\"x\":{\"a.b\":[1],\"a.c\":[2]}}", "{\"x\":[{\"a.b\":1},{\"a.c\":2}]}", false},
    };
    ASSERT_ANSWERS(ANSWERS);
}

/* More items at once than the scratch of so small a pattern has room for. */
static void
arrays_in_arrays_without_end_are_answered(void **state)
{
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        struct buf event = BUF_INIT;
        buf_add_string(&event, "{\"a\":");
        for (int i = 0; i < 500; i++)
            buf_add_string(&event, "[0,{\"c\":1},");
        buf_add_string(&event, missing ? "{\"d\":1}" : "{\"b\":1}");
        for (int i = 0; i < 500; i++)
            buf_add_char(&event, ']');
        buf_add_char(&event, '}');
        const struct answer ANSWERS[] = {
            {"{\"a\":{\"b\":[{\"exists\":false}],\"c\":[1]}}", event.data, missing},
            {"{\"a\":{\"c\":[1],\"d\":[{\"exists\":false}]}}", event.data, true},
            {"{\"a\":[0],\"a.c\":[1],\"a.d\":[{\"exists\":false}]}", event.data, true},
            {"{\"a\":{\"c\":[1],\"d\":[1]}}", event.data, false},
        };
        ASSERT_ANSWERS(ANSWERS);
        buf_clean_up(&event);
    }
}

static void
alternatives_are_whole_conjunctions(void **state)
{
    (void)state;
    const char *p = "{\"a\":{\"x\":[1],\"$or\":[{\"b\":[2],\"x\":[3]},{\"c\":[4]}]},\"$or\":[{\"d\":[5]},{\"e\":{\"$"
                    "or\":[{\"f\":[6]},{\"g\":[7]}]}}]}";
    const struct answer ANSWERS[] = {
        {p, "{\"a\":{\"x\":3,\"b\":2},\"d\":5}", true}, /* the later x counts */
        {p, "{\"a\":{\"x\":1,\"b\":2},\"d\":5}", false},
        {p, "{\"a\":{\"x\":1,\"c\":4},\"e\":{\"g\":7}}", true},
        {p, "{\"a\":[{\"x\":1},{\"c\":4}],\"d\":5}", false},
        {p, "{\"a\":[{\"x\":1,\"c\":4}],\"e\":[{\"f\":0},{\"f\":6}]}", true},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[1]}],\"a\":[2]}", "{\"a\":2}", true},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[1]}],\"a\":[2]}", "{\"a\":1}", false},
        {"{\"$or\":[{\"prefix\":\"x\"},{\"suffix\":\"y\"}]}", "{\"$or\":\"xy\"}", true},
    };
    ASSERT_ANSWERS(ANSWERS);
}

/* "a" five times, each an array of n elements that have one of the fields; the last element of the last one has it as
 * wanted. */
static enum event_answer
ask_in_many_ways(const char *pattern, int n)
{
    struct event_pattern *p = NULL;
    struct json event;
    struct err e;
    struct buf text = BUF_INIT;
    buf_add_string(&text, "{\"x\":1");
    for (const char *field = "bcdez"; *field; field++) {
        buf_add_string(&text, ",\"a\":[");
        for (int i = 0; i < n; i++)
            buf_add_format(&text, "%s{\"%c\":%d}", i ? "," : "", *field, *field == 'b' && i < n - 1 ? 7 : 1);
        buf_add_string(&text, "]");
    }
    buf_add_string(&text, "}");
    assert_int_equal(event_pattern_compile(slice_of_string(pattern), &p, &e), 0);
    assert_int_equal(event_parse(buf_slice(&text), &event, &e), 0);
    enum event_answer answer = event_pattern_ask(p, event);
    assert_int_equal(event_pattern_match(p, event), answer == EVENT_MATCH);
    event_pattern_destroy(p);
    buf_clean_up(&text);
    return answer;
}

static void
a_search_that_is_given_up_is_told_from_no_match(void **state)
{
    (void)state;
    const char *one = "{\"a\":{\"b\":[1],\"c\":[1],\"d\":[1],\"e\":[1],\"z\":[1]}}";
    const char *none = "{\"a\":{\"b\":[1,7],\"c\":[1],\"d\":[1],\"e\":[1],\"z\":[2]}}";
    assert_int_equal(ask_in_many_ways(one, 3), EVENT_MATCH);
    assert_int_equal(ask_in_many_ways(none, 3), EVENT_NO_MATCH);
    assert_int_equal(ask_in_many_ways(none, 40), EVENT_UNDECIDED);
#define UNDECIDED "{\"a\":{\"b\":[7],\"c\":[1],\"d\":[1],\"e\":[1],\"z\":[2]}}"
    assert_int_equal(ask_in_many_ways("{\"$or\":[{\"x\":[1],\"a\":{\"b\":[1],\"c\":[1]}}," UNDECIDED "]}", 40),
                     EVENT_MATCH);
    assert_int_equal(ask_in_many_ways("{\"$or\":[{\"x\":[2]}," UNDECIDED "]}", 40), EVENT_UNDECIDED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_missed_where_the_fields_before_it_matched),
        cmocka_unit_test(scalars_of_an_array_belong_to_no_element),
        cmocka_unit_test(fields_match_by_two_ways_to_the_same_node),
        cmocka_unit_test(arrays_in_arrays_without_end_are_answered),
        cmocka_unit_test(a_search_that_is_given_up_is_told_from_no_match),
        cmocka_unit_test(alternatives_are_whole_conjunctions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
