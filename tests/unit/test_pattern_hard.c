/* Pairs of patterns and events that are hard to get right, with the answers that follow from what AWS says of patterns
 * and from how its public matcher works: src/event and the naive matcher (lib/naive_pattern.h) must each give them. */
#include "event/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/naive_pattern.h"

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
    {"{\"a\":[{\"equals-ignore-case\":\"@AZ[`az{\"}]}", "{\"a\":\"@az[`AZ{\"}", true},
    {"{\"a\":[{\"equals-ignore-case\":\"@\"}]}", "{\"a\":\"`\"}", false},
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_that_are_hard_to_get_right_are_right),
    };
    return cmocka_run_group_tests_name("pattern_hard", tests, NULL, NULL);
}
