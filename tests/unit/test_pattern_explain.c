/* Why an event does not match: a line for each field that failed, and nothing when none did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "event/pattern.h"

static void
assert_explained(const char *pattern, const char *event, const char *expected)
{
    struct event_pattern *p = NULL;
    struct buf out = BUF_INIT;
    struct err e = {0};
    struct json v;
    if (event_pattern_compile(slice_of_string(pattern), &p, &e) != 0)
        fail_msg("%s: %s", pattern, e.text);
    assert_int_equal(json_parse(slice_of_string(event), &v, &e), 0);
    assert_int_equal(event_pattern_explain(p, v, &out, &e), 0);
    assert_string_equal(out.len > 0 ? out.data : "", expected);
    assert_true(event_pattern_match(p, v) == (out.len == 0));
    event_pattern_destroy(p);
    buf_clean_up(&out);
}

static void
what_matches_needs_no_words(void **state)
{
    (void)state;
    assert_explained("{\"a\":[1],\"b\":[{\"exists\":false}]}", "{\"a\":1}", "");
    assert_explained("{\"$or\":[{\"a\":[1]},{\"b\":[1]}]}", "{\"b\":1}", "");
}

static void
a_line_names_the_field_what_it_wanted_and_what_there_is(void **state)
{
    (void)state;
    assert_explained("{\"source\":[\"a\",{\"prefix\": \"pa\"}],\"detail\":{\"who\":{\"id\":[7]},\"ok\":[1]}}",
                     "{\"source\":\"open\",\"detail\":{\"ok\":1,\"who\":{}}}",
                     "detail.who.id: wanted 7; missing\n"
                     "source: wanted \"a\" or {\"prefix\":\"pa\"}; the event has \"open\"\n");
    assert_explained("{\"a\":[1]}", "{\"a\":[2,3,4,5,6,7,8]}", "a: wanted 1; the event has 2, 3, 4, 5, 6 and 2 more\n");
    assert_explained("{\"a\":[{\"exists\":false}]}", "{\"a\":[[null]]}",
                     "a: wanted {\"exists\":false}; the event has null\n");
    assert_explained("{\"a\":[{\"exists\":true}]}", "{\"a\":{\"b\":1}}",
                     "a: wanted {\"exists\":true}; the event has an object there, which is no value\n");
    assert_explained("{\"a\":{\"b\":[1]}}", "{\"a\":[{\"b\":[]}]}",
                     "a.b: wanted 1; the event has an empty array there, which is no value\n");
    assert_explained("{\"a\":{\"b\":[1]}}", "{\"a.b\":2,\"a\":{\"b\":3}}", "a.b: wanted 1; the event has 2, 3\n");
    assert_explained("{\"a\":[1]}", "[1]", "the event is not a JSON object\n");
}

static void
fields_that_match_in_different_elements_are_told_of_each_other(void **state)
{
    (void)state;
    assert_explained("{\"item\":{\"id\":[1],\"n\":[2]},\"x\":[1]}",
                     "{\"item\":[{\"id\":1,\"n\":0},{\"id\":0,\"n\":2}],\"x\":1}",
                     "item.n: wanted 2; the event has 0, 2, but not together with item.id: no element of an array has "
                     "both\n");
}

static void
every_combination_of_or_is_told(void **state)
{
    (void)state;
    assert_explained("{\"$or\":[{\"a\":[1]},{\"b\":[{\"numeric\":[\">\",3]}]}],\"c\":[\"x\"]}",
                     "{\"a\":2,\"b\":3,\"c\":\"x\"}",
                     "combination 1 of 2:\n"
                     "  a: wanted 1; the event has 2\n"
                     "combination 2 of 2:\n"
                     "  b: wanted {\"numeric\":[\">\",3]}; the event has 3\n");
}

static void
long_values_are_cut_between_characters(void **state)
{
    (void)state;
    struct buf event = BUF_INIT, expected = BUF_INIT;
    buf_add_string(&event, "{\"a\":\"");
    buf_add_string(&expected, "a: wanted 1; the event has \"");
    for (int i = 0; i < 60; i++)
        buf_add_string(&event, "\xe2\x82\xac");
    for (int i = 0; i < 26; i++) /* 1 + 78 of 80 bytes */
        buf_add_string(&expected, "\xe2\x82\xac");
    buf_add_string(&event, "\"}");
    buf_add_string(&expected, "...\n");
    assert_explained("{\"a\":[1]}", event.data, expected.data);
    buf_clean_up(&event);
    buf_clean_up(&expected);
}

static double
cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 512 combinations, and every field of them somewhere in 30,000 elements: to say all of it took minutes. */
static void
what_would_take_too_long_is_left_out(void **state)
{
    (void)state;
    struct buf pattern = BUF_INIT, event = BUF_INIT, out = BUF_INIT;
    struct event_pattern *p;
    struct json parsed;
    struct err e;
    buf_add_char(&pattern, '{');
    for (int member = 0; member < 3; member++) {
        buf_add_format(&pattern, "%s\"%c\":{\"$or\":[", member ? "," : "", "abc"[member]);
        for (int i = 0; i < 8; i++)
            buf_add_format(&pattern, "%s{\"k%d\":[1],\"l%d\":[1]}", i ? "," : "", i, i);
        buf_add_string(&pattern, "]}");
    }
    buf_add_char(&pattern, '}');
    for (int i = 0; i < 30000; i++)
        buf_add_format(&event, "%s{\"%c%d\":1}", i == 0 ? "{\"a\":[" : ",", "kl"[i % 2], i / 2 % 8);
    buf_add_string(&event, "]}");
    assert_int_equal(event_pattern_compile(buf_slice(&pattern), &p, &e), 0);
    assert_int_equal(event_parse(buf_slice(&event), &parsed, &e), 0);
    double before = cpu_s();
    assert_int_equal(event_pattern_explain(p, parsed, &out, &e), 0);
    print_message("%.1f s: ...%s", cpu_s() - before, out.data + (out.len > 80 ? out.len - 80 : 0));
    assert_true(cpu_s() - before < 20);
    assert_non_null(strstr(out.data, "combination 1 of 512:\n  a.l0: wanted 1; the event has 1"));
    assert_non_null(strstr(out.data, " more of 512 combinations: the event is too large to tell\n"));
    event_pattern_destroy(p);
    buf_clean_up(&pattern);
    buf_clean_up(&event);
    buf_clean_up(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches_needs_no_words),
        cmocka_unit_test(a_line_names_the_field_what_it_wanted_and_what_there_is),
        cmocka_unit_test(fields_that_match_in_different_elements_are_told_of_each_other),
        cmocka_unit_test(every_combination_of_or_is_told),
        cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(what_would_take_too_long_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
