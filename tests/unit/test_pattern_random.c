/* Random patterns and events: src/event against the naive matcher (lib/naive_pattern.h), which knows nothing of it. */
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
#include "lib/pattern_gen_parts.h"
#include "lib/rounds.h"
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

static void
patterns_answer_as_the_naive_matcher_does_alone_and_in_sets(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed, rounds_of(5 * seeds_events(4000)));
}

/* ---- strings longer than what src/event decodes at once ---- */

#define LONG_STRINGS 200

static void
add_some(struct run *r, struct buf *out, const struct buf *text, size_t from, size_t n)
{
    for (size_t i = from; i < from + n && i < text->len; i++)
        buf_add_char(out, seeds_draw(&r->gen.random, 200) == 0 ? 'x' : text->data[i]);
}

/* Pieces of the text, in its order, with stars between them: mostly around the places where a decoder may stop. */
static void
write_long_wildcard(struct run *r, struct buf *out, const struct buf *text)
{
    size_t at = 0, pieces = 1 + (size_t)seeds_draw(&r->gen.random, 3);
    bool from_start = seeds_draw(&r->gen.random, 2) == 0, to_end = seeds_draw(&r->gen.random, 2) == 0;
    if (from_start)
        add_some(r, out, text, 0, 1 + (size_t)seeds_draw(&r->gen.random, 6));
    for (size_t i = 0; i < pieces; i++) {
        at += (size_t)seeds_draw(&r->gen.random, seeds_draw(&r->gen.random, 2) ? 20000 : 20);
        if (seeds_draw(&r->gen.random, 3) == 0)
            at = (at / 4096 + 1) * 4096 - (size_t)seeds_draw(&r->gen.random, 8);
        if (at + 8 >= text->len)
            break;
        buf_add_char(out, '*');
        size_t n = 1 + (size_t)seeds_draw(&r->gen.random, 8);
        add_some(r, out, text, at, n);
        at += n;
    }
    buf_add_char(out, '*');
    if (to_end)
        add_some(r, out, text, text->len - 3, 3);
}

static void
write_long_pattern(struct run *r, struct buf *out, const struct buf *text)
{
    static const char *const FRONT[] = {"{\"wildcard\":",
                                        "{\"wildcard\":",
                                        "{\"wildcard\":",
                                        "{\"prefix\":",
                                        "{\"suffix\":",
                                        "{\"suffix\":{\"equals-ignore-case\":",
                                        "{\"anything-but\":{\"suffix\":",
                                        "{\"anything-but\":{\"wildcard\":"};
    struct buf piece = BUF_INIT;
    size_t kind = (size_t)seeds_draw(&r->gen.random, 8), n = 1 + (size_t)seeds_draw(&r->gen.random, 30);
    if (kind < 3 || kind == 7)
        write_long_wildcard(r, &piece, text);
    else
        add_some(r, &piece, text, kind == 3 ? 0 : text->len - n, n);
    buf_add_format(out, "{\"a\":[%s", FRONT[kind]);
    pattern_gen_string(&r->gen, out, piece.data, piece.len);
    buf_add_string(out, kind < 5 ? "}]}" : "}}]}");
    buf_clean_up(&piece);
}

static void
long_strings_match_as_short_ones_do(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        struct run *r = calloc(1, sizeof *r);
        assert_non_null(r);
        r->seed = seed;
        pattern_gen_init(&r->gen, seed);
        const unsigned n_strings = (unsigned)rounds_of(LONG_STRINGS);
        for (unsigned i = 0; i < n_strings; i++) {
            struct buf text = BUF_INIT, pattern = BUF_INIT;
            size_t n = 10000 + (size_t)seeds_draw(&r->gen.random, 40000),
                   letters = seeds_draw(&r->gen.random, 2) ? 4 : 26;
            while (text.len < n)
                buf_add_char(&text, (char)('a' + seeds_draw(&r->gen.random, letters)));
            buf_reset(&r->event_text);
            buf_add_string(&r->event_text, "{\"a\":");
            pattern_gen_string(&r->gen, &r->event_text, text.data, text.len);
            buf_add_string(&r->event_text, "}");
            assert_int_equal(json_parse(buf_slice(&r->event_text), &r->event, NULL), 0);
            for (unsigned k = 0; k < 5; k++) {
                write_long_pattern(r, &pattern, &text);
                event_pattern_destroy(compare(r, &pattern));
                buf_reset(&pattern);
            }
            buf_clean_up(&text);
            buf_clean_up(&pattern);
        }
        print_message("%u match, %u do not, the witness is unsure of %u\n", r->match, r->no_match, r->unsure);
        assert_true(r->match > n_strings && r->no_match > n_strings && r->unsure < n_strings);
        buf_clean_up(&r->event_text);
        free(r);
    }
}

/* ---- many names given twice ---- */

#define TWICE 400

static void
write_elements(struct run *r, struct buf *out)
{
    size_t n = (size_t)seeds_draw(&r->gen.random, 3);
    buf_add_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_add_string(out, i > 0 ? ",{" : "{");
        if (seeds_draw(&r->gen.random, 2))
            buf_add_format(out, "\"a\":%u,", (unsigned)seeds_draw(&r->gen.random, 3));
        if (seeds_draw(&r->gen.random, 2))
            buf_add_format(out, "\"b\":%u,", (unsigned)seeds_draw(&r->gen.random, 3));
        buf_add_string(out, "\"x\":0}");
    }
    buf_add_char(out, ']');
}

static void
names_given_twice_match_by_either(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        struct run *r = calloc(1, sizeof *r);
        assert_non_null(r);
        r->seed = seed;
        pattern_gen_init(&r->gen, seed);
        const unsigned n_twice = (unsigned)rounds_of(TWICE);
        for (unsigned i = 0; i < n_twice; i++) {
            struct buf pattern = BUF_INIT;
            unsigned names = 1 + (unsigned)seeds_draw(&r->gen.random, 14);
            buf_reset(&r->event_text);
            buf_add_string(&r->event_text, "{\"y\":0");
            for (unsigned k = 0; k < 2 * names; k++) {
                buf_add_format(&r->event_text, ",\"n%u\":", k % names);
                write_elements(r, &r->event_text);
            }
            buf_add_string(&r->event_text, "}");
            assert_int_equal(json_parse(buf_slice(&r->event_text), &r->event, NULL), 0);
            for (unsigned k = 0; k < 10; k++) {
                buf_add_string(&pattern, "{\"y\":[0]");
                for (unsigned f = 0; f < 2; f++)
                    buf_add_format(&pattern, ",\"n%u\":{\"a\":[%u,%u],\"b\":[%u,{\"exists\":%s}]}",
                                   (unsigned)seeds_draw(&r->gen.random, names), (unsigned)seeds_draw(&r->gen.random, 3),
                                   (unsigned)seeds_draw(&r->gen.random, 3), (unsigned)seeds_draw(&r->gen.random, 3),
                                   seeds_draw(&r->gen.random, 3) ? "false" : "true");
                buf_add_char(&pattern, '}');
                event_pattern_destroy(compare(r, &pattern));
                buf_reset(&pattern);
            }
            buf_clean_up(&pattern);
        }
        print_message("%u match, %u do not, the witness is unsure of %u\n", r->match, r->no_match, r->unsure);
        assert_true(r->match > n_twice && r->no_match > n_twice && r->unsure == 0);
        buf_clean_up(&r->event_text);
        free(r);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_answer_as_the_naive_matcher_does_alone_and_in_sets),
        cmocka_unit_test(long_strings_match_as_short_ones_do),
        cmocka_unit_test(names_given_twice_match_by_either),
    };
    return cmocka_run_group_tests_name("pattern_random", tests, NULL, NULL);
}
