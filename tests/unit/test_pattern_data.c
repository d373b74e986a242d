/* Every case of the reference data: answers recorded against AWS, and the pairs of AWS's own matcher's tests. src/event
 * and the naive matcher (lib/naive_pattern.h) must each give the recorded answer, so that the witness of the random
 * tests is itself witnessed. */
#include "event/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/naive_pattern.h"
#include "lib/shared.h"
#include "lib/skip.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

enum outcome { MATCH, NO_MATCH, REFUSED, OUTCOMES };

static const char *const OUTCOME_NAMES[] = {"match", "no match", "refused"};

static const char *const OPERATORS[] = {"\"exactly\"",
                                        "\"prefix\"",
                                        "\"suffix\"",
                                        "\"equals-ignore-case\"",
                                        "\"wildcard\"",
                                        "\"cidr\"",
                                        "\"exists\"",
                                        "\"anything-but\"",
                                        "\"numeric\"",
                                        "\"$or\"",
                                        ""};

struct counts {
    unsigned of[N_ELEMENTS(OPERATORS)][OUTCOMES], all[OUTCOMES], wrong;
};

static void
count(struct counts *c, const char *pattern, enum outcome outcome)
{
    bool any = false;
    c->all[outcome]++;
    for (size_t i = 0; i + 1 < N_ELEMENTS(OPERATORS); i++)
        if (strstr(pattern, OPERATORS[i])) {
            c->of[i][outcome]++;
            any = true;
        }
    if (!any)
        c->of[N_ELEMENTS(OPERATORS) - 1][outcome]++;
}

static void
print_counts(const struct counts *c)
{
    print_message("%-22s %8s %8s %8s\n", "patterns with", OUTCOME_NAMES[0], OUTCOME_NAMES[1], OUTCOME_NAMES[2]);
    for (size_t i = 0; i < N_ELEMENTS(OPERATORS); i++)
        print_message("%-22s %8u %8u %8u\n", *OPERATORS[i] ? OPERATORS[i] : "literals alone", c->of[i][MATCH],
                      c->of[i][NO_MATCH], c->of[i][REFUSED]);
    print_message("%-22s %8u %8u %8u\n", "all", c->all[MATCH], c->all[NO_MATCH], c->all[REFUSED]);
}

/* An answer, and for what is refused the reason, without the place behind it. */
struct answer {
    enum outcome outcome;
    char reason[600];
};

static void
ask_engine(struct slice pattern, struct slice event, struct answer *ret)
{
    struct event_pattern *p;
    struct json value;
    struct err e;
    ret->reason[0] = '\0';
    if (event_pattern_compile(pattern, &p, &e) != 0) {
        ret->outcome = REFUSED;
        snprintf(ret->reason, sizeof ret->reason, "%s", e.text);
        char *place = strstr(ret->reason, " at [line: ");
        if (place)
            *place = '\0';
        return;
    }
    if (json_parse(event, &value, &e) != 0)
        fail_msg("%.*s: %s", SLICE_ARG(event), e.text);
    ret->outcome = event_pattern_match(p, value) ? MATCH : NO_MATCH;
    event_pattern_destroy(p);
}

static void
ask_witness(struct slice pattern, struct slice event, struct answer *ret)
{
    struct naive_pattern *p;
    struct json value;
    char why[500];
    ret->outcome = REFUSED;
    switch (naive_pattern_compile(pattern, &p, why, sizeof why)) {
    case NAIVE_NO:
        snprintf(ret->reason, sizeof ret->reason, "Event pattern is not valid. Reason: %s", why);
        return;
    case NAIVE_UNSURE:
        fail_msg("the witness is unsure of %.*s", SLICE_ARG(pattern));
        return;
    case NAIVE_YES:
        break;
    }
    if (json_parse(event, &value, NULL) != 0)
        fail_msg("%.*s is no JSON", SLICE_ARG(event));
    enum naive_answer answer = naive_pattern_match(p, value);
    assert_true(answer != NAIVE_UNSURE);
    ret->outcome = answer == NAIVE_YES ? MATCH : NO_MATCH;
    naive_pattern_destroy(p);
}

static void
expect(struct counts *c, const char *who, const char *name, struct slice pattern, const struct answer *is,
       enum outcome outcome, const char *reason)
{
    if (is->outcome == outcome && (outcome != REFUSED || strcmp(is->reason, reason) == 0))
        return;
    print_message("%s, %.*s\n    should be: %s %s\n    %s: %s %s\n", name, SLICE_ARG(pattern), OUTCOME_NAMES[outcome],
                  reason, who, OUTCOME_NAMES[is->outcome], is->reason);
    c->wrong++;
}

static char *
text_of(struct json object, const char *key)
{
    struct buf text = BUF_INIT;
    struct json value;
    if (json_get(object, key, &value) && (value.type != JSON_STRING || json_decode(value, &text, NULL) != 0))
        buf_add_slice(&text, value.text);
    char *s = buf_take(&text);
    assert_non_null(s);
    return s;
}

static enum outcome
outcome_of(const char *text)
{
    return strcmp(text, "match") == 0 ? MATCH : strcmp(text, "error") == 0 ? REFUSED : NO_MATCH;
}

typedef void ask_function(struct slice pattern, struct slice event, struct answer *ret);

/* What the witness is not asked to judge (lib/naive_pattern.h). */
static bool
is_about_complexity(const char *reason)
{
    return strstr(reason, "Rule is too complex") != NULL;
}

static void
run_cases(ask_function *ask, const char *who, bool judges_complexity)
{
    struct buf file = BUF_INIT;
    struct json all, cases;
    struct counts counts = {.wrong = 0};
    if (!shared_read("data/event-patterns/cases.json", &file))
        skip_because("no data/event-patterns beside the repository");
    assert_int_equal(json_parse(buf_slice(&file), &all, NULL), 0);
    assert_true(json_get(all, "cases", &cases));
    for (struct json_iter it = json_iter(cases); json_next(&it);) {
        char *name = text_of(it.value, "name"), *pattern = text_of(it.value, "pattern"),
             *event = text_of(it.value, "event"), *wanted = text_of(it.value, "expect"),
             *reason = text_of(it.value, "error_message");
        struct answer answer;
        if (judges_complexity || !is_about_complexity(reason)) {
            ask(slice_of_string(pattern), slice_of_string(event), &answer);
            expect(&counts, who, name, slice_of_string(pattern), &answer, outcome_of(wanted), reason);
            count(&counts, pattern, outcome_of(wanted));
        }
        free(name);
        free(pattern);
        free(event);
        free(wanted);
        free(reason);
    }
    buf_clean_up(&file);
    print_counts(&counts);
    assert_int_equal(counts.wrong, 0);
    assert_true(counts.all[MATCH] >= 38 && counts.all[NO_MATCH] >= 30 && counts.all[REFUSED] >= 23);
}

/* As the event's detail, as the data's description says. */
static void
wrap(struct buf *out, const char *detail)
{
    buf_add_format(out, "{\"source\":\"x\",\"detail\":%s}", detail);
}

static void
wrap_pattern(struct buf *out, const char *pattern)
{
    buf_add_format(out, "{\"detail\":%s}", pattern);
}

static void
run_pairs(ask_function *ask, const char *who)
{
    struct buf file = BUF_INIT;
    struct json all;
    struct counts counts = {.wrong = 0};
    if (!shared_read("data/event-patterns/ruler-unit-pairs.json", &file))
        skip_because("no data/event-patterns beside the repository");
    assert_int_equal(json_parse(buf_slice(&file), &all, NULL), 0);
    for (struct json_iter it = json_iter(all); json_next(&it);) {
        char *name = text_of(it.value, "name"), *pattern = text_of(it.value, "pattern_text"),
             *event = text_of(it.value, "event_text"), *wanted = text_of(it.value, "expected");
        struct buf wrapped = BUF_INIT, envelope = BUF_INIT;
        struct answer bare, inside;
        wrap_pattern(&wrapped, pattern);
        wrap(&envelope, event);
        ask(slice_of_string(pattern), slice_of_string(event), &bare);
        ask(buf_slice(&wrapped), buf_slice(&envelope), &inside);
        expect(&counts, who, name, slice_of_string(pattern), &bare, outcome_of(wanted), "");
        expect(&counts, who, name, buf_slice(&wrapped), &inside, outcome_of(wanted), "");
        count(&counts, pattern, outcome_of(wanted));
        buf_clean_up(&wrapped);
        buf_clean_up(&envelope);
        free(name);
        free(pattern);
        free(event);
        free(wanted);
    }
    buf_clean_up(&file);
    print_counts(&counts);
    assert_int_equal(counts.wrong, 0);
    assert_true(counts.all[MATCH] >= 234 && counts.all[NO_MATCH] >= 1057);
}

static void
patterns_are_answered_as_aws_answered_them(void **state)
{
    (void)state;
    run_cases(ask_engine, "src/event", true);
}

static void
pairs_of_awss_matcher_are_answered_as_it_does(void **state)
{
    (void)state;
    run_pairs(ask_engine, "src/event");
}

static void
the_witness_answers_as_aws_answered(void **state)
{
    (void)state;
    run_cases(ask_witness, "the witness", false);
}

static void
the_witness_answers_as_awss_matcher_does(void **state)
{
    (void)state;
    run_pairs(ask_witness, "the witness");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_witness_answers_as_aws_answered),
        cmocka_unit_test(the_witness_answers_as_awss_matcher_does),
        cmocka_unit_test(patterns_are_answered_as_aws_answered_them),
        cmocka_unit_test(pairs_of_awss_matcher_are_answered_as_it_does),
    };
    return cmocka_run_group_tests_name("pattern_data", tests, NULL, NULL);
}
