/* Many patterns at once: the answers of each alone, whatever they have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "event/pattern.h"
#include "event/ruleset.h"

#define MOST 2000

struct set {
    struct event_rules *rules;
    struct event_scratch *scratch;
    size_t n;
};

static struct set
compiled(const struct slice *patterns, size_t n)
{
    struct set s = {.n = n};
    struct err e = {0};
    size_t bad = 0;
    if (event_rules_compile(patterns, n, &s.rules, &bad, &e) != 0)
        fail_msg("%zu: %s", bad, e.text);
    assert_int_equal(event_scratch_new(s.rules, &s.scratch, &e), 0);
    return s;
}

static void
clean_up(struct set *s)
{
    event_scratch_destroy(s->scratch);
    event_rules_destroy(s->rules);
}

/* Which match, as a text: "0 2 5". */
static void
assert_hits(struct set *s, const char *event, const char *expected)
{
    uint32_t indexes[MOST];
    struct err e = {0};
    char text[1000] = "";
    size_t n = 0, at = 0;
    if (event_rules_match_text(s->rules, s->scratch, slice_of_string(event), indexes, &n, &e) != 0)
        fail_msg("%s: %s", event, e.text);
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", i ? " " : "", indexes[i]);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: %s match, not %s", event, text, expected);
}

static void
every_pattern_that_matches_is_named_in_order(void **state)
{
    (void)state;
    static const struct slice PATTERNS[] = {
        SLICE("{\"source\":[\"a\"],\"detail\":{\"state\":[\"on\"]}}"),
        SLICE("{\"detail\":{\"state\":[\"on\",\"off\"]}}"),
        SLICE("{\"source\":[{\"prefix\":\"a\"}],\"detail\":{\"n\":[{\"numeric\":[\">\",5]}],\"state\":[\"on\"]}}"),
        SLICE("{\"source\":[{\"anything-but\":\"a\"}]}"),
        SLICE("{\"$or\":[{\"source\":[\"b\"]},{\"detail.state\":[\"on\"]}]}"),
        SLICE("{\"detail\":{\"gone\":[{\"exists\":false}]}}"),
        SLICE("{\"source\":[\"a\"],\"detail\":{\"state\":[\"on\"]}}"),
        SLICE("{\"detail\":{\"gone\":[{\"exists\":false}],\"n\":[7]}}"),
    };
    struct set s = compiled(PATTERNS, 8);
    assert_int_equal(event_rules_count(s.rules), 8);
    for (int again = 0; again < 2; again++) { /* nothing is left of the event before */
        assert_hits(&s, "{\"source\":\"a\",\"detail\":{\"state\":\"on\",\"n\":7}}", "0 1 2 4 5 6 7");
        assert_hits(&s, "{\"source\":\"b\",\"detail\":{\"state\":\"off\",\"gone\":null}}", "1 3 4");
        assert_hits(&s, "{\"source\":[\"a\",\"c\"],\"detail\":[{\"state\":\"on\"},{\"n\":7}]}", "0 1 3 4 5 6 7");
        assert_hits(&s, "{}", "5");
        assert_hits(&s, "{\"detail\":{\"gone\":[]}}", "5");
    }
    clean_up(&s);
}

static void
what_is_refused_is_named(void **state)
{
    (void)state;
    static const struct slice PATTERNS[] = {SLICE("{\"a\":[1]}"), SLICE("{\"a\":[]}"), SLICE("{}")};
    struct event_rules *rules = NULL;
    struct err e = {0};
    size_t bad = 99;
    assert_int_equal(event_rules_compile(PATTERNS, 3, &rules, &bad, &e), ERR_INVALID);
    assert_int_equal(bad, 1);
    assert_string_equal(e.text,
                        "Event pattern is not valid. Reason: Empty arrays are not allowed at [line: 1, column: 6]");
    assert_int_equal(event_rules_compile(PATTERNS, 3, &rules, NULL, &e), ERR_INVALID);
    assert_null(rules);
}

static void
no_patterns_match_nothing(void **state)
{
    (void)state;
    struct set s = compiled(NULL, 0);
    assert_int_equal(event_rules_count(s.rules), 0);
    assert_hits(&s, "{\"a\":1}", "");
    clean_up(&s);
    event_rules_destroy(NULL);
    event_scratch_destroy(NULL);
}

static void
events_that_are_none_match_nothing_and_leave_nothing_behind(void **state)
{
    (void)state;
    static const struct slice PATTERNS[] = {SLICE("{\"a\":{\"b\":[1],\"c\":[2]}}"),
                                            SLICE("{\"d\":[{\"exists\":false}]}")};
    static const char *const BROKEN[] = {"",
                                         "[]",
                                         "1",
                                         "{\"a\":{\"b\":1,\"c\":2}",
                                         "{\"a\":[{\"b\":1,\"c\":2},{\"b\":1",
                                         "{\"d\":1}}",
                                         "{\"a\":[[[{\"b\":1,"};
    struct set s = compiled(PATTERNS, 2);
    for (size_t i = 0; i < sizeof BROKEN / sizeof *BROKEN; i++) {
        uint32_t indexes[2];
        size_t n = 99;
        struct err e = {0};
        assert_int_equal(event_rules_match_text(s.rules, s.scratch, slice_of_string(BROKEN[i]), indexes, &n, &e),
                         ERR_INVALID);
        assert_true(e.text[0]);
        assert_int_equal(n, 99);
        assert_hits(&s, "{\"a\":[{\"b\":1},{\"c\":2}],\"d\":0}", "");
        assert_hits(&s, "{\"a\":[{\"b\":1},{\"c\":2,\"b\":1}]}", "0 1");
    }
    struct json one = {.text = SLICE("1"), .type = JSON_NUMBER};
    uint32_t indexes[2];
    assert_int_equal(event_rules_match(s.rules, s.scratch, one, indexes), 0);
    clean_up(&s);
}

static int
write_rule(char *out, size_t size, int i)
{
    switch (i % 5) {
    case 0:
        return snprintf(out, size, "{\"source\":[\"s%d\"],\"detail\":{\"k\":[\"v%d\"]}}", i, i);
    case 1:
        return snprintf(
            out, size,
            "{\"source\":[\"same\"],\"detail\":{\"p\":[{\"prefix\":\"p%d-\"}],\"n\":[{\"numeric\":[\">=\",%d]}]}}", i,
            i);
    case 2:
        return snprintf(out, size, "{\"source\":[\"same\"],\"detail\":{\"k%d\":[%d]}}", i, i);
    case 3:
        return snprintf(out, size,
                        "{\"detail\":{\"n\":[{\"numeric\":[\">\",%d,\"<\",%d.5]}],\"x\":[{\"exists\":false}]}}", i, i);
    default:
        return snprintf(out, size, "{\"detail\":{\"s\":[{\"suffix\":\"-%d\"}],\"k\":[{\"anything-but\":\"v%d\"}]}}", i,
                        i);
    }
}

/* Memory and time grow with the number of rules, not with its square. */
static void
many_rules_are_one_look(void **state)
{
    (void)state;
    enum { RULES = 20000 };
    struct slice *patterns = malloc(RULES * sizeof *patterns);
    char(*texts)[160] = malloc(RULES * sizeof *texts);
    uint32_t *indexes = malloc(RULES * sizeof *indexes);
    assert_true(patterns && texts && indexes);
    for (int i = 0; i < RULES; i++)
        patterns[i] = slice_of(texts[i], (size_t)write_rule(texts[i], sizeof *texts, i));
    struct set s = compiled(patterns, RULES);
    static const struct {
        const char *event;
        uint32_t expected[3], n;
    } CASES[] = {
        {"{\"source\":\"s500\",\"detail\":{\"k\":\"v500\"}}", {500}, 1},
        {"{\"source\":\"same\",\"detail\":{\"p\":\"p701-x\",\"n\":702.5,\"k702\":702}}", {701, 702}, 2},
        {"{\"source\":\"same\",\"detail\":{\"n\":903.25,\"x\":[]}}", {903}, 1},
        {"{\"source\":\"other\",\"detail\":{\"s\":\"x-9999\",\"k\":\"v9998\"}}", {9999}, 1},
        {"{\"source\":\"same\",\"detail\":{\"n\":903.25,\"x\":1}}", {0}, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        size_t n = 0;
        assert_int_equal(event_rules_match_text(s.rules, s.scratch, slice_of_string(CASES[i].event), indexes, &n, NULL),
                         0);
        assert_int_equal(n, CASES[i].n);
        assert_memory_equal(indexes, CASES[i].expected, n * sizeof *indexes);
    }
    clean_up(&s);
    free(indexes);
    free(patterns);
    free(texts);
}

struct thread {
    pthread_t id;
    const struct event_rules *rules;
    const struct event_pattern *pattern;
    int first;
    bool wrong;
};

static void *
match_often(void *arg)
{
    struct thread *t = arg;
    struct event_scratch *scratch;
    uint32_t indexes[100];
    t->wrong = event_scratch_new(t->rules, &scratch, NULL) != 0;
    for (int i = 0; i < 300 && !t->wrong; i++) {
        char event[100];
        size_t n = 0;
        bool yes = false;
        int k = (t->first + i) % 100;
        int len = snprintf(event, sizeof event, "{\"a\":[{\"b\":%d},{\"b\":\"x\",\"c\":\"\\u0063\"}]}", k);
        struct slice text = slice_of(event, (size_t)len);
        t->wrong = event_rules_match_text(t->rules, scratch, text, indexes, &n, NULL) != 0 || n != 1 ||
                   indexes[0] != (uint32_t)k || event_pattern_match_text(t->pattern, text, &yes, NULL) != 0 || !yes;
    }
    event_scratch_destroy(scratch);
    return NULL;
}

static void
threads_share_rules_and_patterns(void **state)
{
    (void)state;
    struct slice patterns[100];
    char texts[100][40];
    struct thread threads[4];
    struct event_pattern *p = NULL;
    for (int i = 0; i < 100; i++)
        patterns[i] = slice_of(texts[i], (size_t)snprintf(texts[i], sizeof *texts, "{\"a\":{\"b\":[%d]}}", i));
    struct set s = compiled(patterns, 100);
    assert_int_equal(event_pattern_compile(SLICE("{\"a\":{\"b\":[\"x\"],\"c\":[\"c\"]}}"), &p, NULL), 0);
    for (int i = 0; i < 4; i++) {
        threads[i] = (struct thread){.rules = s.rules, .pattern = p, .first = i * 25};
        assert_int_equal(pthread_create(&threads[i].id, NULL, match_often, &threads[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        assert_false(threads[i].wrong);
    }
    event_pattern_destroy(p);
    clean_up(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_that_matches_is_named_in_order),
        cmocka_unit_test(what_is_refused_is_named),
        cmocka_unit_test(no_patterns_match_nothing),
        cmocka_unit_test(events_that_are_none_match_nothing_and_leave_nothing_behind),
        cmocka_unit_test(many_rules_are_one_look),
        cmocka_unit_test(threads_share_rules_and_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
