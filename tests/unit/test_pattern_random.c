/* src/event against the naive matcher (lib/naive_pattern.h), which knows nothing of it: pairs that are hard to get
 * right, and random ones. */
#include "event/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event/ruleset.h"
#include "lib/naive_pattern.h"
#include "lib/pattern_gen.h"
#include "lib/seeds.h"

/* Each seed that ever found a difference. */
static const uint64_t KEPT_SEEDS[] = {1, 2};

#define PAIRS_OF_EVENT 5
#define IN_A_SET       200

struct run {
    struct pattern_gen gen;
    uint64_t seed;
    struct buf event_text;
    struct json event;
    struct buf texts[IN_A_SET]; /* of patterns that compile, for a rule set */
    struct event_pattern *patterns[IN_A_SET];
    size_t n;
    unsigned match, no_match, refused, unsure, alternatives;
};

#define FAIL(r, pattern, ...)                                                                                          \
    do {                                                                                                               \
        print_message("seed %llu\npattern %s\nevent   %s\n", (unsigned long long)(r)->seed, pattern,                   \
                      (r)->event_text.data);                                                                           \
        fail_msg(__VA_ARGS__);                                                                                         \
    } while (0)

static void
next_event(struct run *r)
{
    struct err e;
    buf_reset(&r->event_text);
    pattern_gen_event(&r->gen, &r->event_text);
    if (json_parse(buf_slice(&r->event_text), &r->event, &e) != 0)
        fail_msg("%s: %s", r->event_text.data, e.text);
}

/* Why src/event refuses what the witness cannot judge. */
static bool
is_our_limit(const struct err *e)
{
    return e->code == ERR_LIMIT || strstr(e->text, "too complex") != NULL;
}

static void
compare_reasons(struct run *r, const char *pattern, const struct err *e, const char *why)
{
    static const char FRONT[] = "Event pattern is not valid. Reason: ";
    size_t n = strlen(why);
    if (strstr(pattern, "$or")) /* of two readings of the pattern either's reason will do */
        return;
    if (strncmp(e->text, FRONT, sizeof FRONT - 1) != 0 || strncmp(e->text + sizeof FRONT - 1, why, n) != 0 ||
        !strchr(" ", e->text[sizeof FRONT - 1 + n]))
        FAIL(r, pattern, "src/event says: %s\nthe witness: %s", e->text, why);
}

/* Nothing is said to have failed exactly when the event matches. */
static void
compare_explanation(struct run *r, const char *text, const struct event_pattern *p, bool yes)
{
    struct buf said = BUF_INIT;
    struct err e;
    if (event_pattern_explain(p, r->event, &said, &e) != 0)
        FAIL(r, text, "explain: %s", e.text);
    if ((said.len == 0) != yes)
        FAIL(r, text, "match says %s, explain: %s", yes ? "yes" : "no", said.data);
    if (said.len > 0)
        assert_int_equal(said.data[said.len - 1], '\n');
    buf_clean_up(&said);
}

/* Returns the compiled pattern, or NULL when it is refused. */
static struct event_pattern *
compare(struct run *r, const struct buf *text)
{
    struct event_pattern *p = NULL;
    struct naive_pattern *witness;
    struct err e = {0};
    char why[500];
    int rc = event_pattern_compile(buf_slice(text), &p, &e);
    enum naive_answer valid = naive_pattern_compile(buf_slice(text), &witness, why, sizeof why);
    if (valid == NAIVE_UNSURE || (rc != 0 && is_our_limit(&e))) {
        r->unsure++;
        naive_pattern_destroy(witness);
        return p;
    }
    if ((rc == 0) != (valid == NAIVE_YES))
        FAIL(r, text->data, "src/event: %s\nthe witness: %s", rc == 0 ? "valid" : e.text, witness ? "valid" : why);
    if (rc != 0) {
        compare_reasons(r, text->data, &e, why);
        r->refused++;
        return NULL;
    }
    bool yes = event_pattern_match(p, r->event), from_text = !yes;
    enum naive_answer answer = naive_pattern_match(witness, r->event);
    if (answer == NAIVE_UNSURE)
        r->unsure++;
    else if (yes != (answer == NAIVE_YES))
        FAIL(r, text->data, "src/event: %s, the witness: %s", yes ? "match" : "no match", yes ? "no match" : "match");
    if (event_pattern_match_text(p, buf_slice(&r->event_text), &from_text, &e) != 0 || from_text != yes)
        FAIL(r, text->data, "match_text is not match");
    compare_explanation(r, text->data, p, yes);
    *(yes ? &r->match : &r->no_match) += 1;
    r->alternatives += naive_pattern_alternatives(witness) > 1;
    naive_pattern_destroy(witness);
    return p;
}

/* The patterns together, against n events: as each alone. */
static void
compare_set(struct run *r, size_t events)
{
    struct slice texts[IN_A_SET];
    uint32_t hits[IN_A_SET];
    struct event_rules *rules;
    struct event_scratch *scratch;
    struct err e;
    size_t bad;
    for (size_t i = 0; i < r->n; i++)
        texts[i] = buf_slice(&r->texts[i]);
    if (event_rules_compile(texts, r->n, &rules, &bad, &e) != 0)
        FAIL(r, bad < r->n ? texts[bad].p : "", "alone it compiles, in a set: %s", e.text);
    assert_int_equal(event_rules_count(rules), r->n);
    if (event_scratch_new(rules, &scratch, &e) != 0)
        fail_msg("%s", e.text);
    while (events-- > 0) {
        size_t n = event_rules_match(rules, scratch, r->event, hits), at = 0, n_text = 0;
        for (size_t i = 0; i < r->n; i++) {
            bool alone = event_pattern_match(r->patterns[i], r->event), together = at < n && hits[at] == i;
            if (alone != together)
                FAIL(r, texts[i].p, "alone: %s, in a set of %zu: not so", alone ? "match" : "no match", r->n);
            at += together;
        }
        assert_int_equal(at, n);
        assert_int_equal(event_rules_match_text(rules, scratch, buf_slice(&r->event_text), hits, &n_text, &e), 0);
        assert_int_equal(n_text, n);
        next_event(r);
    }
    event_scratch_destroy(scratch);
    event_rules_destroy(rules);
}

static void
forget_patterns(struct run *r)
{
    for (size_t i = 0; i < r->n; i++) {
        event_pattern_destroy(r->patterns[i]);
        buf_clean_up(&r->texts[i]);
    }
    r->n = 0;
}

static void
run_seed(uint64_t seed, size_t pairs)
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->seed = seed;
    pattern_gen_init(&r->gen, seed);
    size_t in_a_set = 1;
    for (size_t i = 0; i < pairs; i++) {
        struct buf text = BUF_INIT;
        if (i % PAIRS_OF_EVENT == 0)
            next_event(r);
        if (seeds_draw(&r->gen.random, 100) < 10)
            pattern_gen_invalid(&r->gen, &text);
        else
            pattern_gen_pattern(&r->gen, &text);
        struct event_pattern *p = compare(r, &text);
        if (!p) {
            buf_clean_up(&text);
            continue;
        }
        r->texts[r->n] = text;
        r->patterns[r->n++] = p;
        if (r->n == in_a_set) {
            compare_set(r, 5);
            forget_patterns(r);
            in_a_set = 1 + (size_t)seeds_draw(&r->gen.random, seeds_draw(&r->gen.random, 4) == 0 ? IN_A_SET : 10);
        }
    }
    compare_set(r, 1);
    forget_patterns(r);
    print_message(
        "%zu pairs: %u match, %u do not, %u patterns refused, %u with alternatives, %u the witness is unsure of\n",
        pairs, r->match, r->no_match, r->refused, r->alternatives, r->unsure);
    if (pairs >= 1000) {
        assert_true(r->match > pairs / 4 && r->no_match > pairs / 4);
        assert_true(r->refused > pairs / 20 && r->alternatives > pairs / 20 && r->unsure < pairs / 50);
    }
    buf_clean_up(&r->event_text);
    free(r);
}

static const struct {
    const char *pattern, *event;
    bool match;
} HARD[] = {
    /* An absence is judged by the elements that fields before it, in the order of their paths, have chosen. */
    {"{\"a\":{\"b\":[{\"exists\":false}],\"c\":[1]}}", "{\"a\":[{\"b\":1},{\"c\":1}]}", false},
    {"{\"a\":{\"c\":[{\"exists\":false}],\"b\":[1]}}", "{\"a\":[{\"b\":1},{\"c\":1}]}", true},
    {"{\"a\":{\"c\":[{\"exists\":false}],\"b\":[1]}}", "{\"a\":[{\"b\":1,\"c\":1},{\"c\":1}]}", false},
    {"{\"a\":{\"c\":[{\"exists\":false}],\"b\":[1]}}", "{\"a\":[{\"b\":1,\"c\":1},{\"b\":1}]}", true},
    {"{\"a\":{\"b\":[1],\"c\":{\"d\":[{\"exists\":false}]}}}", "{\"a\":[{\"b\":1,\"c\":[{},{\"d\":1}]},{\"b\":2}]}",
     false},
    {"{\"a\":{\"b\":[1],\"c\":{\"d\":[{\"exists\":false}]}}}", "{\"a\":[{\"b\":1,\"c\":[{}]},{\"c\":[{\"d\":1}]}]}",
     true},
    {"{\"a\":{\"b\":[{\"exists\":false},2],\"c\":[1]}}", "{\"a\":[{\"b\":2},{\"c\":1}]}", false},
    {"{\"a\":{\"b\":[{\"exists\":false},2],\"c\":[1]}}", "{\"a\":[{\"b\":2,\"c\":1},{\"c\":2}]}", true},
    {"{\"a\":[{\"exists\":false}],\"a.b\":[1]}", "{\"a\":[{\"b\":1}]}", true},
    {"{\"a\":[{\"exists\":false}],\"a.b\":[1]}", "{\"a\":[{\"b\":1},null]}", false},
    /* The order is that of whole paths ("-" sorts before the dot), and of UTF-16 units. */
    {"{\"x\":{\"a-\":[{\"exists\":false}],\"a\":{\"z\":[1]}}}", "{\"x\":[{\"a-\":1},{\"a\":{\"z\":1}}]}", false},
    {"{\"x\":{\"a-\":[1],\"a\":{\"z\":[{\"exists\":false}]}}}", "{\"x\":[{\"a-\":1},{\"a\":{\"z\":1}}]}", true},
    {"{\"x\":{\"\\ue000\":[{\"exists\":false}],\"\\ud83d\\ude00\":[1]}}",
     "{\"x\":[{\"\\ue000\":1},{\"\\ud83d\\ude00\":1}]}", true},
    /* Scalars lie in no element of their own array, containers do. */
    {"{\"a\":[1],\"a.b\":[2]}", "{\"a\":[1,{\"b\":2}]}", true},
    {"{\"a\":[1],\"a.b\":[2]}", "{\"a\":[[1],{\"b\":2}]}", false},
    {"{\"a\":[1],\"a.b\":[2]}", "{\"a\":[[1,{\"b\":2}]]}", true},
    /* Each array that is written is one of its own. */
    {"{\"a\":{\"b\":[1],\"c\":[1]}}", "{\"a\":[{\"b\":1}],\"a\":[{},{\"c\":1}]}", true},
    {"{\"a\":{\"b\":[1],\"c\":[1]}}", "{\"a\":[{\"b\":1},{\"c\":1}],\"a\":[{\"b\":0}]}", false},
    {"{\"a\":{\"b\":[1],\"c\":[1]}}", "{\"a\":[{\"b\":1}],\"a.c\":[0,1]}", true},
    {"{\"a\":{\"b\":{\"c\":[1],\"d\":[1]},\"e\":[1]}}",
     "{\"a\":[{\"b\":{\"c\":1}},{\"b.d\":1,\"e\":1}],\"a.b\":[{\"d\":1,\"c\":1}]}", true},
    {"{\"a\":{\"b\":{\"c\":[1],\"d\":[1]},\"e\":[1]}}", "{\"a\":[{\"b\":{\"c\":1}},{\"b.d\":1,\"e\":1}]}", false},
    /* The best choice is not the first. */
    {"{\"a\":{\"b\":[1],\"c\":[1],\"d\":[1]},\"e\":[1]}",
     "{\"a\":[{\"b\":1,\"c\":1},{\"b\":1,\"d\":1},{\"b\":1,\"c\":1,\"d\":1}],\"e\":[0,1]}", true},
    {"{\"a\":{\"b\":[1],\"c\":{\"d\":[1],\"e\":[1]}}}",
     "{\"a\":[{\"b\":1,\"c\":[{\"d\":1},{\"e\":1}]},{\"b\":0,\"c\":[{\"d\":1,\"e\":1}]},{\"b\":1,\"c\":[{},{\"d\":1,"
     "\"e\":1}]}]}",
     true},
    /* Numbers are doubles when the double is the number that was written, else they are text. */
    {"{\"a\":[9007199254740993]}", "{\"a\":9007199254740992}", false},
    {"{\"a\":[9007199254740993]}", "{\"a\":9007199254740993}", true},
    {"{\"a\":[9007199254740992]}", "{\"a\":9007199254740992.0}", true},
    {"{\"a\":[{\"numeric\":[\">\",0]}]}", "{\"a\":9007199254740993}", false},
    {"{\"a\":[{\"numeric\":[\">\",0]}]}", "{\"a\":1e400}", false},
    {"{\"a\":[{\"anything-but\":[1]}]}", "{\"a\":1e400}", true},
    {"{\"a\":[{\"numeric\":[\"=\",0.3]}]}", "{\"a\":0.30000000000000004}", false},
    {"{\"a\":[{\"numeric\":[\"=\",0]}]}", "{\"a\":-0.0}", true},
    {"{\"a\":[0.1]}", "{\"a\":0.10000000000000001}", false},
    {"{\"a\":[1e400]}", "{\"a\":1E400}", false},
    /* A later field replaces an earlier one, in all alternatives that there are by then. */
    {"{\"a\":[1],\"$or\":[{\"a\":[2]},{\"b\":[3]}]}", "{\"a\":2}", true},
    {"{\"a\":[1],\"$or\":[{\"a\":[2]},{\"b\":[3]}]}", "{\"a\":2,\"b\":3}", true},
    {"{\"a\":[1],\"$or\":[{\"a\":[2]},{\"b\":[3]}]}", "{\"a\":3,\"b\":3}", false},
    {"{\"$or\":[{\"a\":[2]},{\"b\":[3]}],\"a\":[1]}", "{\"a\":2}", false},
    {"{\"$or\":[{\"a\":[2]},{\"b\":[3]}],\"a\":[1]}", "{\"a\":1}", true},
    {"{\"$or\":[{\"prefix\":\"x\"},{\"suffix\":\"y\"}]}", "{\"$or\":\"zy\"}", true},
    {"{\"$or\":[{\"a\":[1]},{\"b\":[1]}],\"c\":{\"$or\":{\"d\":[1]}}}", NULL, false},
    /* One address in several spellings; three bytes of four are no address. */
    {"{\"a\":[\"::1\"]}", "{\"a\":\"0:0:0::0001\"}", true},
    {"{\"a\":[\"10.0.0.1\"]}", "{\"a\":\"::ffff:a00:1\"}", true},
    {"{\"a\":[{\"cidr\":\"10.0.0.0/8\"}]}", "{\"a\":\"10.0.1\"}", false},
    {"{\"a\":[{\"exactly\":\"::1\"}]}", "{\"a\":\"0::1\"}", false},
    {"{\"a\":[{\"anything-but\":\"::1\"}]}", "{\"a\":\"0::1\"}", true},
    /* Letters whose other case is longer or shorter, or is not a single letter. */
    {"{\"a\":[{\"equals-ignore-case\":\"stra\\u00dfe\"}]}", "{\"a\":\"STRASSE\"}", true},
    {"{\"a\":[{\"equals-ignore-case\":\"stra\\u00dfe\"}]}", "{\"a\":\"strasse\"}", false},
    {"{\"a\":[{\"equals-ignore-case\":\"STRASSE\"}]}", "{\"a\":\"stra\\u00dfe\"}", false},
    {"{\"a\":[{\"equals-ignore-case\":\"\\u212a\"}]}", "{\"a\":\"k\"}", true},
    {"{\"a\":[{\"equals-ignore-case\":\"k\"}]}", "{\"a\":\"\\u212a\"}", false},
    {"{\"a\":[{\"suffix\":{\"equals-ignore-case\":\"\\u023a\"}}]}", "{\"a\":\"x\\u2c65\"}", true},
};

static void
pairs_that_are_hard_to_get_right_are_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof HARD / sizeof *HARD; i++) {
        struct event_pattern *p;
        struct naive_pattern *witness;
        struct json event;
        struct err e;
        char why[200];
        struct slice text = slice_of_string(HARD[i].pattern);
        int rc = event_pattern_compile(text, &p, &e);
        enum naive_answer valid = naive_pattern_compile(text, &witness, why, sizeof why);
        if (!HARD[i].event) {
            assert_int_equal(valid, NAIVE_NO);
            assert_int_equal(rc, ERR_INVALID);
            continue;
        }
        if (rc != 0 || valid != NAIVE_YES)
            fail_msg("%s: %s%s", HARD[i].pattern, rc != 0 ? e.text : "", valid != NAIVE_YES ? why : "");
        assert_int_equal(event_parse(slice_of_string(HARD[i].event), &event, &e), 0);
        if (naive_pattern_match(witness, event) != (HARD[i].match ? NAIVE_YES : NAIVE_NO))
            fail_msg("the witness: %s\n%s", HARD[i].pattern, HARD[i].event);
        if (event_pattern_match(p, event) != HARD[i].match)
            fail_msg("%s should %smatch\n%s", HARD[i].pattern, HARD[i].match ? "" : "not ", HARD[i].event);
        event_pattern_destroy(p);
        naive_pattern_destroy(witness);
    }
}

static void
patterns_answer_as_the_naive_matcher_does_alone_and_in_sets(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed, 5 * seeds_events(4000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_that_are_hard_to_get_right_are_right),
        cmocka_unit_test(patterns_answer_as_the_naive_matcher_does_alone_and_in_sets),
    };
    return cmocka_run_group_tests_name("pattern_random", tests, NULL, NULL);
}
