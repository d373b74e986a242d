/* What is wrong with a pattern, in AWS's words (those of its Java library) and with the place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "event/pattern.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))
#define NOT_VALID     "Event pattern is not valid. Reason: "

struct refusal {
    const char *pattern, *reason;
    int column; /* of line 1 */
};

static void
assert_refused(const struct refusal *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct event_pattern *p = NULL;
        struct err e = {0};
        char expected[500];
        snprintf(expected, sizeof expected, NOT_VALID "%s at [line: 1, column: %d]", cases[i].reason, cases[i].column);
        if (event_pattern_compile(slice_of_string(cases[i].pattern), &p, &e) != ERR_INVALID ||
            strcmp(e.text, expected) != 0)
            fail_msg("%s: %s", cases[i].pattern, p ? "is taken" : e.text);
        assert_null(p);
    }
}

#define ONE_KEY  "Only one key allowed in match expression"
#define TOO_MANY "Too many elements in numeric expression"

static void
text_operators_are_refused_in_aws_words(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"{\"a\":[{\"exactly\":1}]}", "exact match pattern must be a string", 18},
        {"{\"a\":[{\"prefix\":1}]}", "prefix match pattern must be a string", 17},
        {"{\"a\":[{\"prefix\":{}}]}", "Prefix expression name not found", 17},
        {"{\"a\":[{\"prefix\":{\"suffix\":\"x\"}}]}", "Unsupported prefix pattern: suffix", 18},
        {"{\"a\":[{\"prefix\":{\"equals-ignore-case\":1}}]}", "equals-ignore-case match pattern must be a string", 39},
        {"{\"a\":[{\"prefix\":{\"equals-ignore-case\":\"x\",\"b\":1}}]}", ONE_KEY, 43},
        {"{\"a\":[{\"prefix\":{\"equals-ignore-case\":\"x\"},\"b\":1}]}", ONE_KEY, 44},
        {"{\"a\":[{\"suffix\":[\"x\"]}]}", "suffix match pattern must be a string", 17},
        {"{\"a\":[{\"suffix\":{}}]}", "Suffix expression name not found", 17},
        {"{\"a\":[{\"suffix\":{\"prefix\":\"x\"}}]}", "Unsupported suffix pattern: prefix", 18},
        {"{\"a\":[{\"equals-ignore-case\":null}]}", "equals-ignore-case match pattern must be a string", 29},
        {"{\"a\":[{\"equals-ignore-case\":\"x\",\"b\":1}]}", ONE_KEY, 33},
        {"{\"a\":[{\"wildcard\":7}]}", "wildcard match pattern must be a string", 19},
        {"{\"a\":[{\"wildcard\":\"ab**c\"}]}", "Consecutive wildcard characters at pos 3", 19},
        {"{\"a\":[{\"wildcard\":\"a\\\\b\"}]}", "Invalid escape character at pos 2", 19},
        {"{\"a\":[{\"wildcard\":\"a\\\\\"}]}", "Invalid escape character at pos 2", 19},
        {"{\"a\":[{\"wildcard\":\"a\",\"b\":1}]}", ONE_KEY, 23},
        {"{\"a\":[{\"exists\":\"true\"}]}", "exists match pattern must be either true or false.", 17},
        {"{\"a\":[{\"exists\":true,\"b\":1}]}", ONE_KEY, 22},
        {"{\"a\":[{\"exists\":false,\"b\":1}]}", ONE_KEY, 23},
    };
    assert_refused(CASES, N_ELEMENTS(CASES));
}

/* Of a long text 100 bytes are told, or fewer, so that no character is cut in two. */
static void
what_is_quoted_of_a_pattern_is_whole_characters(void **state)
{
    (void)state;
#define TEN_E   "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
#define FORTY_E TEN_E TEN_E TEN_E TEN_E
#define NINE_E  "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
    static const struct refusal CASES[] = {
        {"{\"a\":[{\"" FORTY_E FORTY_E "\":1}]}", "Unrecognized match type " FORTY_E TEN_E, 8},
        {"{\"a\":[{\"a" FORTY_E FORTY_E "\":1}]}", "Unrecognized match type a" FORTY_E NINE_E, 8},
        {"{\"a\":[{\"cidr\":\"a" FORTY_E FORTY_E "/8\"}]}", "Nonstandard IP address: a" FORTY_E NINE_E, 15},
    };
    assert_refused(CASES, N_ELEMENTS(CASES));
}

static void
numeric_is_refused_in_aws_words(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"{\"a\":[{\"numeric\":5}]}", "Value of numeric must be an array.", 18},
        {"{\"a\":[{\"numeric\":[]}]}", "Invalid member in numeric match: ]", 18},
        {"{\"a\":[{\"numeric\":[5]}]}", "Invalid member in numeric match: 5", 19},
        {"{\"a\":[{\"numeric\":[[5]]}]}", "Invalid member in numeric match: [", 19},
        {"{\"a\":[{\"numeric\":[\"<>\",5]}]}", "Unrecognized numeric range operator: <>", 19},
        {"{\"a\":[{\"numeric\":[\"=\"]}]}", "Value of equals must be numeric", 19},
        {"{\"a\":[{\"numeric\":[\"=\",\"5\"]}]}", "Value of equals must be numeric", 19},
        {"{\"a\":[{\"numeric\":[\"=\",5,6]}]}", TOO_MANY, 25},
        {"{\"a\":[{\"numeric\":[\">=\",null]}]}", "Value of >= must be numeric", 19},
        {"{\"a\":[{\"numeric\":[\">\"]}]}", "Value of > must be numeric", 19},
        {"{\"a\":[{\"numeric\":[\"<=\",true]}]}", "Value of <= must be numeric", 19},
        {"{\"a\":[{\"numeric\":[\"<\",{}]}]}", "Value of < must be numeric", 19},
        {"{\"a\":[{\"numeric\":[\"<\",5,\">\",1]}]}", TOO_MANY, 25},
        {"{\"a\":[{\"numeric\":[\">\",0,5]}]}", "Bad value in numeric range: 5", 25},
        {"{\"a\":[{\"numeric\":[\">\",0,\">\",5]}]}", "Bad numeric range operator: >", 25},
        {"{\"a\":[{\"numeric\":[\">\",0,\"<\"]}]}", "Value of < must be numeric", 25},
        {"{\"a\":[{\"numeric\":[\">\",0,\"<=\",\"5\"]}]}", "Value of <= must be numeric", 25},
        {"{\"a\":[{\"numeric\":[\">\",0,\"<\",5,6]}]}", "Too many terms in numeric range expression", 31},
        {"{\"a\":[{\"numeric\":[\">\",5,\"<\",5]}]}", "Bottom must be less than top", 29},
        {"{\"a\":[{\"numeric\":[\">\",6,\"<\",5]}]}", "Bottom must be less than top", 29},
        {"{\"a\":[{\"numeric\":[\"=\",1e400]}]}", "Cannot compare number : 1e400", 23},
        {"{\"a\":[{\"numeric\":[\"<\",9007199254740993]}]}", "Cannot compare number : 9007199254740993", 23},
        {"{\"a\":[{\"numeric\":[\"=\",5],\"b\":1}]}", TOO_MANY, 26},
    };
    assert_refused(CASES, N_ELEMENTS(CASES));
}

static void
cidr_is_refused_in_aws_words(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"{\"a\":[{\"cidr\":1}]}", "prefix match pattern must be a string", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0\"}]}", "Malformed CIDR, one '/' required", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/\"}]}", "Malformed CIDR, one '/' required", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/8/8\"}]}", "Malformed CIDR, one '/' required", 15},
        {"{\"a\":[{\"cidr\":\"\"}]}", "Malformed CIDR, one '/' required", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/x\"}]}", "Malformed CIDR, mask bits must be an integer", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/9999999999\"}]}", "Malformed CIDR, mask bits must be an integer", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/-1\"}]}", "Malformed CIDR, mask bits must not be negative", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/32\"}]}", "IPv4 mask bits must be < 32", 15},
        {"{\"a\":[{\"cidr\":\"2001:db8::/128\"}]}", "IPv6 mask bits must be < 128", 15},
        {"{\"a\":[{\"cidr\":\"xx.11.xx/8\"}]}", "Nonstandard IP address: xx.11.xx", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0/8\"}]}", "Nonstandard IP address: 10.0.0", 15},
        {"{\"a\":[{\"cidr\":\"/8\"}]}", "Nonstandard IP address: ", 15},
        {"{\"a\":[{\"cidr\":\"256.0.0.0/8\"}]}", "Invalid IP address: 256.0.0.0", 15},
        {"{\"a\":[{\"cidr\":\"1:2:3/8\"}]}", "Invalid IP address: 1:2:3", 15},
        {"{\"a\":[{\"cidr\":\"10.0.0.0/8\",\"b\":1}]}", ONE_KEY, 28},
        /* not told of the reading without $or, as others are */
        {"{\"$or\":[{\"a\":[{\"cidr\":\"x\"}]},{\"b\":[1]}]}", "Malformed CIDR, one '/' required", 23},
    };
    assert_refused(CASES, N_ELEMENTS(CASES));
}

static void
anything_but_is_refused_in_aws_words(void **state)
{
    (void)state;
#define LIST  "Inside anything but list, start|null|boolean is not supported."
#define MIXED "Inside anything but list, either all values are number or string, mixed type is not supported"
#define VALUE "Value of anything-but must be an array or single string/number value."
    static const struct refusal CASES[] = {
        {"{\"a\":[{\"anything-but\":null}]}", VALUE, 23},
        {"{\"a\":[{\"anything-but\":true}]}", VALUE, 23},
        {"{\"a\":[{\"anything-but\":{}}]}", "Anything-But expression name not found", 23},
        {"{\"a\":[{\"anything-but\":{\"numeric\":[\"=\",1]}}]}", "Unsupported anything-but pattern: numeric", 24},
        {"{\"a\":[{\"anything-but\":[]}]}", MIXED, 23},
        {"{\"a\":[{\"anything-but\":[\"x\",1]}]}", MIXED, 23},
        {"{\"a\":[{\"anything-but\":[\"x\",null]}]}", LIST, 28},
        {"{\"a\":[{\"anything-but\":[[\"x\"]]}]}", LIST, 24},
        {"{\"a\":[{\"anything-but\":1e400}]}", "Cannot compare number : 1e400", 23},
        {"{\"a\":[{\"anything-but\":\"x\",\"b\":1}]}", TOO_MANY, 27},
        {"{\"a\":[{\"anything-but\":{\"prefix\":{\"equals-ignore-case\":\"x\"}}}]}", VALUE, 33},
        {"{\"a\":[{\"anything-but\":{\"prefix\":\"\"}}]}", "Null prefix/suffix not allowed", 33},
        {"{\"a\":[{\"anything-but\":{\"suffix\":[\"x\",\"\"]}}]}", "Null prefix/suffix not allowed", 38},
        {"{\"a\":[{\"anything-but\":{\"prefix\":1}}]}", "prefix/suffix match pattern must be a string", 33},
        {"{\"a\":[{\"anything-but\":{\"suffix\":[]}}]}", "Empty arrays are not allowed", 33},
        {"{\"a\":[{\"anything-but\":{\"equals-ignore-case\":[\"x\",1]}}]}",
         "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.", 50},
        {"{\"a\":[{\"anything-but\":{\"wildcard\":[1]}}]}", "wildcard match pattern must be a string", 36},
        {"{\"a\":[{\"anything-but\":{\"wildcard\":\"**\"}}]}", "Consecutive wildcard characters at pos 1", 35},
        {"{\"a\":[{\"anything-but\":{\"prefix\":\"x\",\"b\":1}}]}", TOO_MANY, 37},
        {"{\"a\":[{\"anything-but\":{\"prefix\":\"x\"},\"b\":1}]}", TOO_MANY, 38},
    };
    assert_refused(CASES, N_ELEMENTS(CASES));
}

/* AWS's library reads a pattern whose $or it cannot take a second time with $or as a name, and tells that fault. */
static void
what_cannot_be_an_or_is_told_as_the_name_it_then_is(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"{\"$or\":[{\"a\":[1]}]}", "Unrecognized match type a", 10},
        {"{\"$or\":[{\"a\":[1]},{\"b\":[{\"prefix\":1}]}]}", "Unrecognized match type a", 10},
        {"{\"$or\":1}", "\"$or\" must be an object or an array", 8},
        {"{\"$or\":[{\"a\":[1]},{\"cidr\":[1]}]}", "Unrecognized match type a", 10},
        {"{\"b\":{},\"$or\":[{\"a\":[1]},{\"b\":[1]}]}", "Empty objects are not allowed", 6},
    };
    assert_refused(CASES, N_ELEMENTS(CASES));
}

static int
compile(const char *pattern, struct err *e)
{
    struct event_pattern *p = NULL;
    int rc = event_pattern_compile(slice_of_string(pattern), &p, e);
    event_pattern_destroy(p);
    return rc;
}

static void
wildcards_are_refused_where_aws_refuses_them(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*:*:*:*:*:event-bus/*\"}]}", &e), ERR_INVALID);
    assert_string_equal(e.text,
                        NOT_VALID "Rule is too complex - try using fewer wildcard characters or fewer repeating "
                                  "character sequences after a wildcard character at [line: 1, column: 1]");
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*:*:*:*:event-bus/*\"}]}", &e), 0);
    /* three such stacks were accepted by AWS, a fourth was one too many */
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*:stack/A/*\"},{\"wildcard\":\"*:stack/B/*\"},"
                             "{\"wildcard\":\"*:stack/C/*\"}]}",
                             &e),
                     0);
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*:stack/A/*\"},{\"wildcard\":\"*:stack/B/*\"},"
                             "{\"wildcard\":\"*:stack/C/*\"},{\"wildcard\":\"*:stack/D/*\"}]}",
                             &e),
                     ERR_INVALID);
    /* where this library draws the line: ten beginnings, from "*" to "*aaaaaaaaa" */
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*aaaaaaaaa\"}]}", &e), 0);
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*aaaaaaaaaa\"}]}", &e), ERR_INVALID);
    /* of one anything-but common beginnings count once; of alternatives at the same path all count */
    assert_int_equal(
        compile("{\"a\":[{\"anything-but\":{\"wildcard\":[\"*:st/A/*\",\"*:st/B/*\",\"*:st/C/*\",\"*:st/D/*\"]}}]}",
                &e),
        0);
    assert_int_equal(
        compile("{\"$or\":[{\"a\":[{\"wildcard\":\"*x*x*x*\"}]},{\"a\":[{\"wildcard\":\"*x*x*y*\"}]}]}", &e),
        ERR_INVALID);
    assert_int_equal(compile("{\"a\":[{\"wildcard\":\"*x*x*x*\"}],\"b\":[{\"wildcard\":\"*x*x*y*\"}]}", &e), 0);
}

/* Would take for ever if all the sets of beginnings were looked at. */
static void
the_complexity_of_any_wildcards_is_soon_known(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    struct err e;
    for (int kind = 0; kind < 3; kind++) {
        buf_reset(&b);
        buf_add_string(&b, "{\"a\":[");
        for (int i = 0; b.len < 3000; i++) {
            if (kind == 0)
                buf_add_format(&b, "%s{\"wildcard\":\"%c%d*\"}", i ? "," : "", 'a' + i % 26, i);
            else if (kind == 1)
                buf_add_format(&b, "%s{\"anything-but\":{\"wildcard\":\"*%d*%d\"}}", i ? "," : "", i, i * 7 % 10);
            else
                buf_add_format(&b, "%s{\"wildcard\":\"a*%0900d\"}", i ? "," : "", i);
        }
        buf_add_string(&b, "]}");
        int rc = compile(b.data, &e);
        assert_int_equal(rc, ERR_INVALID);
        assert_non_null(strstr(e.text, "Rule is too complex"));
    }
    buf_clean_up(&b);
}

/* A pattern of so many objects, each with a $or of two. */
static int
compile_ors(int ors, bool everywhere_the_same, struct err *e)
{
    struct buf b = BUF_INIT;
    for (int i = 0; i < ors; i++)
        buf_add_format(&b, "%c\"%c\":{\"$or\":[{\"x\":[1]},{\"%c\":[2]}]}", i ? ',' : '{',
                       'a' + (everywhere_the_same ? 0 : i), everywhere_the_same ? 'x' : 'y');
    buf_add_char(&b, '}');
    int rc = compile(b.data, e);
    buf_clean_up(&b);
    return rc;
}

static void
or_is_bounded(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(compile_ors(8, false, &e), 0);         /* 256 combinations of 8 fields */
    assert_int_equal(compile_ors(9, false, &e), ERR_LIMIT); /* 512 of 9: more than 4096 */
    assert_non_null(strstr(e.text, "$or makes more than 1000 combinations, or 4096 fields in all of them at [line: 1"));
    assert_int_equal(compile_ors(9, true, &e), 0); /* 512 of one */
    assert_int_equal(compile_ors(10, true, &e), ERR_LIMIT);
}

static void
events_that_are_none_are_refused_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *event, *error;
        int code;
    } CASES[] = {
        {"",
         "Event is not valid. Reason: JSON, line 1, column 1 (byte offset 0): expected a value, found the end of the "
         "text",
         ERR_INVALID},
        {"[{\"a\":1}]", "Event is not valid. Reason: It is not a JSON object", ERR_INVALID},
        {"\"a\"", "Event is not valid. Reason: It is not a JSON object", ERR_INVALID},
        {"{\"a\":1",
         "Event is not valid. Reason: JSON, line 1, column 7 (byte offset 6): expected ',' or '}', found the "
         "end of the text",
         ERR_INVALID},
        {"{\"a\":1}x",
         "Event is not valid. Reason: JSON, line 1, column 8 (byte offset 7): expected nothing behind the "
         "value, found 'x'",
         ERR_INVALID},
        {"{\"b\":[1,]}",
         "Event is not valid. Reason: JSON, line 1, column 9 (byte offset 8): expected a value, found ']'",
         ERR_INVALID},
        {"{\"a\":[1,]}",
         "Event is not valid. Reason: JSON, line 1, column 9 (byte offset 8): expected a value, found ']'",
         ERR_INVALID},
    };
    struct event_pattern *p = NULL;
    assert_int_equal(event_pattern_compile(SLICE("{\"a\":[1]}"), &p, NULL), 0);
    for (size_t i = 0; i < N_ELEMENTS(CASES); i++) {
        struct slice text = slice_of_string(CASES[i].event);
        struct err e = {0};
        struct json v;
        bool matches = true;
        assert_int_equal(event_pattern_match_text(p, text, &matches, &e), CASES[i].code);
        assert_string_equal(e.text, CASES[i].error);
        assert_true(matches);
        assert_int_equal(event_parse(text, &v, &e), CASES[i].code);
        assert_string_equal(e.text, CASES[i].error);
    }
    event_pattern_destroy(p);
}

/* Whether a pattern looks there or not. */
static void
events_nested_too_deep_are_refused(void **state)
{
    (void)state;
    static const char *const PATTERNS[] = {"{\"a\":[1]}", "{\"a\":{\"b\":[1],\"c\":[2]}}", "{\"b\":[1]}",
                                           "{\"a\":[1],\"a.a\":[{\"exists\":false}]}"};
    static const char *const OPEN[] = {"[", "{\"a\":", "[[{\"a\":"}, *const CLOSE[] = {"]", "}", "}]]"};
    static const int EACH[] = {1, 1, 3};
    for (size_t i = 0; i < N_ELEMENTS(PATTERNS) * N_ELEMENTS(OPEN); i++) {
        struct event_pattern *p = NULL;
        size_t kind = i % N_ELEMENTS(OPEN);
        assert_int_equal(event_pattern_compile(slice_of_string(PATTERNS[i / N_ELEMENTS(OPEN)]), &p, NULL), 0);
        for (int deep = 500; deep <= 200000; deep = deep < 530 ? deep + 1 : deep * 20) {
            struct buf event = BUF_INIT;
            struct err e = {0};
            struct json v;
            bool matches = false;
            buf_add_string(&event, "{\"a\":");
            for (int k = 1; k < deep; k += EACH[kind])
                buf_add_string(&event, OPEN[kind]);
            buf_add_char(&event, '1');
            for (int k = 1; k < deep; k += EACH[kind])
                buf_add_string(&event, CLOSE[kind]);
            buf_add_char(&event, '}');
            int rc = event_pattern_match_text(p, buf_slice(&event), &matches, &e);
            assert_int_equal(rc, event_parse(buf_slice(&event), &v, NULL));
            assert_int_equal(rc, deep <= 510 ? 0 : deep > 514 ? ERR_LIMIT : rc);
            if (rc != 0)
                assert_non_null(strstr(e.text, "nested deeper than 512 levels"));
            buf_clean_up(&event);
        }
        event_pattern_destroy(p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_operators_are_refused_in_aws_words),
        cmocka_unit_test(what_is_quoted_of_a_pattern_is_whole_characters),
        cmocka_unit_test(numeric_is_refused_in_aws_words),
        cmocka_unit_test(cidr_is_refused_in_aws_words),
        cmocka_unit_test(anything_but_is_refused_in_aws_words),
        cmocka_unit_test(what_cannot_be_an_or_is_told_as_the_name_it_then_is),
        cmocka_unit_test(wildcards_are_refused_where_aws_refuses_them),
        cmocka_unit_test(the_complexity_of_any_wildcards_is_soon_known),
        cmocka_unit_test(or_is_bounded),
        cmocka_unit_test(events_that_are_none_are_refused_with_the_place),
        cmocka_unit_test(events_nested_too_deep_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
