/* What each entry of a pattern takes: every operator against values at its edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event/pattern.h"

/* entry, and a value for the field a: matches? */
static void
assert_answer(const char *entry, const char *value, bool expected)
{
    struct event_pattern *p = NULL;
    struct err e = {0};
    struct buf pattern = BUF_INIT, event = BUF_INIT;
    bool yes = !expected;
    buf_add_format(&pattern, "{\"a\":[%s]}", entry);
    buf_add_format(&event, "{\"a\":%s}", value);
    if (event_pattern_compile(buf_slice(&pattern), &p, &e) != 0 ||
        event_pattern_match_text(p, buf_slice(&event), &yes, &e) != 0)
        fail_msg("%s on %s: %s", entry, value, e.text);
    if (yes != expected)
        fail_msg("%s %s %s", entry, expected ? "should take" : "should not take", value);
    event_pattern_destroy(p);
    buf_clean_up(&pattern);
    buf_clean_up(&event);
}

/* Lists of values, ended by NULL. */
static void
assert_takes(const char *entry, const char *const *yes, const char *const *no)
{
    for (; *yes; yes++)
        assert_answer(entry, *yes, true);
    for (; *no; no++)
        assert_answer(entry, *no, false);
}
#define TAKES(entry, yes, no) assert_takes(entry, (const char *const[])yes, (const char *const[])no)
#define LIST(...)                                                                                                      \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static void
texts_are_compared_at_their_ends(void **state)
{
    (void)state;
    TAKES("{\"suffix\":\".png\"}", LIST("\".png\"", "\"a.png\"", "\"\\u002epng\"", "[1,\"x.png\"]"),
          LIST("\"png\"", "\"a.PNG\"", "\".png \"", "1", "null", "{}"));
    TAKES("{\"suffix\":\"\"}", LIST("\"\"", "\"x\""), LIST("1", "true", "null"));
    TAKES("{\"suffix\":\"c\"},{\"suffix\":\"bc\"},{\"suffix\":\"abc\"},{\"suffix\":\"xbc\"}",
          LIST("\"abc\"", "\"bc\"", "\"c\"", "\"qxbc\""), LIST("\"ab\"", "\"cb\"", "\"\""));
    TAKES("{\"prefix\":\"a\"},{\"prefix\":\"ab\"},{\"prefix\":\"b\"},{\"prefix\":\"abd\"}",
          LIST("\"a\"", "\"ac\"", "\"abc\"", "\"abd\"", "\"b\""), LIST("\"\"", "\"c\"", "\"A\""));
    TAKES("{\"exactly\":\"10.0.0.1\"}", LIST("\"10.0.0.1\""), LIST("\"10.0.0.01\"", "10"));
}

static void
case_is_what_javas_characters_have(void **state)
{
    (void)state;
    TAKES("{\"equals-ignore-case\":\"AbC-1\"}", LIST("\"abc-1\"", "\"ABC-1\"", "\"a\\u0042c-1\""),
          LIST("\"abc-\"", "\"abc-11\"", "1", "null"));
    TAKES("{\"equals-ignore-case\":\"\"}", LIST("\"\""), LIST("\"x\"", "null"));
    TAKES("{\"prefix\":{\"equals-ignore-case\":\"Ab\"}}", LIST("\"aB\"", "\"ABx\""), LIST("\"a\"", "\"xab\""));
    TAKES("{\"suffix\":{\"equals-ignore-case\":\".PnG\"}}", LIST("\"x.png\"", "\".PNG\""),
          LIST("\"png\"", "\".pngx\""));
    TAKES("{\"equals-ignore-case\":\"stra\\u00dfe\"}", LIST("\"STRASSE\"", "\"stra\\u00dfe\"", "\"StraSSe\""),
          LIST("\"strasse\"", "\"straSse\"", "\"STRA\\u1e9eE\""));
    TAKES("{\"equals-ignore-case\":\"\\u03c3\"}", LIST("\"\\u03c3\"", "\"\\u03a3\""), LIST("\"\\u03c2\"", "\"s\""));
    TAKES("{\"equals-ignore-case\":\"k\"}", LIST("\"k\"", "\"K\""), LIST("\"\\u212a\""));
    TAKES("{\"equals-ignore-case\":\"\\u212a\"}", LIST("\"k\"", "\"\\u212a\""), LIST("\"K\""));
    TAKES("{\"equals-ignore-case\":\"\\u0131\"}", LIST("\"\\u0131\"", "\"I\""), LIST("\"i\"", "\"\\u0130\""));
    TAKES("{\"equals-ignore-case\":\"\\u0130\"}", LIST("\"\\u0130\"", "\"i\\u0307\""), LIST("\"i\"", "\"I\""));
    TAKES("{\"equals-ignore-case\":\"\\u2c65\"}", LIST("\"\\u2c65\"", "\"\\u023a\""), LIST("\"a\""));
    TAKES("{\"equals-ignore-case\":\"\\u03b0\"}", LIST("\"\\u03b0\"", "\"\\u03a5\\u0308\\u0301\""),
          LIST("\"\\u03c5\\u0308\\u0301\""));
    TAKES("{\"prefix\":{\"equals-ignore-case\":\"\\u00e9t\"}}", LIST("\"\\u00c9T\"", "\"\\u00e9ta\""),
          LIST("\"et\"", "\"\\u00e9\""));
    TAKES("{\"suffix\":{\"equals-ignore-case\":\"\\u0448\\ufb01\"}}", LIST("\"x\\u0428FI\"", "\"\\u0448\\ufb01\""),
          LIST("\"\\u0448fi\"", "\"FI\""));
    TAKES("{\"equals-ignore-case\":\"\\ud83d\\ude00\"}", LIST("\"\\ud83d\\ude00\""), LIST("\"??\"", "\"\\ud83d\""));
    TAKES("{\"equals-ignore-case\":\"\\ud801\\udc00\"}", LIST("\"\\ud801\\udc00\""), LIST("\"\\ud801\\udc28\""));
}

static void
stars_stand_for_any_run(void **state)
{
    (void)state;
    TAKES("{\"wildcard\":\"*\"}", LIST("\"\"", "\"x\"", "\"a/b\""), LIST("1", "null", "[]", "{\"x\":\"y\"}"));
    TAKES("{\"wildcard\":\"\"}", LIST("\"\""), LIST("\"x\""));
    TAKES("{\"wildcard\":\"abc\"}", LIST("\"abc\""), LIST("\"abcd\"", "\"ab\""));
    TAKES("{\"wildcard\":\"a*a\"}", LIST("\"aa\"", "\"aba\"", "\"aaa\""), LIST("\"a\"", "\"ab\"", "\"baa\""));
    TAKES("{\"wildcard\":\"*ab*ab*\"}", LIST("\"abab\"", "\"xabyabz\""), LIST("\"ab\"", "\"aab\"", "\"abba\""));
    TAKES("{\"wildcard\":\"ab*bc\"}", LIST("\"abbc\"", "\"abxbc\""), LIST("\"abc\"", "\"abcb\""));
    TAKES("{\"wildcard\":\"a\\\\*b*\"}", LIST("\"a*b\"", "\"a*bc\""), LIST("\"axb\"", "\"ab\""));
    TAKES("{\"wildcard\":\"a\\\\\\\\*\"}", LIST("\"a\\\\\"", "\"a\\\\x\""), LIST("\"a\"", "\"ax\""));
    TAKES("{\"wildcard\":\"*\\u20ac*\"}", LIST("\"x\\u20acy\"", "\"\xe2\x82\xac\""), LIST("\"x\""));
}

static void
numbers_are_ranges_of_doubles(void **state)
{
    (void)state;
    TAKES("{\"numeric\":[\"=\",3.018e2]}", LIST("301.8", "3018e-1", "301.80", "[0,301.8]"),
          LIST("301.80001", "\"301.8\""));
    TAKES("{\"numeric\":[\">\",0,\"<=\",5]}", LIST("5", "0.5", "5.0", "1e-300", "4.9e-324"),
          LIST("0", "-0.0", "5.000000000000001", "-1", "true"));
    TAKES("{\"numeric\":[\">=\",-1.5]}", LIST("-1.5", "0", "1.7976931348623157e308"), LIST("-1.5000001", "1e400"));
    TAKES("{\"numeric\":[\"<\",0]}", LIST("-1", "-4.9e-324"), LIST("0", "-0", "-1e400", "1"));
    TAKES("{\"numeric\":[\"<=\",0]}", LIST("-0", "0e5", "0.000"), LIST("1"));
    TAKES("{\"numeric\":[\"=\",0]},{\"numeric\":[\">\",10,\"<\",20]},{\"numeric\":[\">\",15,\"<\",16]},15.25,30",
          LIST("0", "11", "15.25", "15.5", "19", "30"), LIST("10", "20", "5", "31"));
}

static void
a_number_that_is_no_double_is_its_text(void **state)
{
    (void)state;
    TAKES("9007199254740993", LIST("9007199254740993"),
          LIST("9007199254740992", "9007199254740993.0", "\"9007199254740993\""));
    TAKES("9007199254740992", LIST("9007199254740992", "9007199254740992.0", "9.007199254740992e15"),
          LIST("9007199254740993"));
    TAKES("0.1", LIST("0.1", "0.10", "1e-1"), LIST("0.10000000000000001", "0.1000000000000000055511151231257827"));
    TAKES("27.807807921694092", LIST("27.807807921694092"), LIST("27.80780792169409"));
    TAKES("123456789012345678", LIST("123456789012345678"), LIST("123456789012345680"));
    TAKES("1e400", LIST("1e400"), LIST("1E400", "1e401"));
    TAKES("1e22", LIST("1e22", "10000000000000000000000"), LIST("10000000000000000000001"));
    TAKES("5e-324", LIST("5e-324"), LIST("4.9e-324"));
    TAKES("4.9e-324", LIST("4.9e-324", "49e-325"), LIST("5e-324", "0"));
    TAKES("1e-400", LIST("1e-400"), LIST("0", "1e-401"));
    TAKES("{\"anything-but\":[1,0.5]}", LIST("2", "1e400", "9007199254740993", "\"1\"", "null", "false"),
          LIST("1", "1.0", "5e-1"));
}

static void
addresses_are_what_java_reads(void **state)
{
    (void)state;
    TAKES("{\"cidr\":\"10.0.1.200/24\"}",
          LIST("\"10.0.1.0\"", "\"10.0.1.255\"", "\"010.00.1.7\"", "\"::ffff:a00:1ff\""),
          LIST("\"10.0.2.0\"", "\"10.0.0.255\"", "\"10.0.1\"", "\"10.0.1.256\"", "\" 10.0.1.1\"", "\"::ffff:10.0.1.1\"",
               "10"));
    TAKES("{\"cidr\":\"0.0.0.0/0\"}", LIST("\"255.255.255.255\"", "\"0.0.0.0\""), LIST("\"::\"", "\"::1\"", "\"x\""));
    TAKES("{\"cidr\":\"::/0\"}", LIST("\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\"", "\"::\""),
          LIST("\"1.2.3.4\"", "\"::ffff:1:2\"", "\":\"", "\":::\""));
    TAKES("{\"cidr\":\"2001:db8:1234:1a00::/56\"}",
          LIST("\"2001:DB8:1234:1a00::\"", "\"2001:0db8:1234:1aff:1:2:3:4\"", "\"2001:db8:1234:1a42::5\""),
          LIST("\"2001:db8:1234:1b00::\"", "\"2001:db8:1234:1a00\"", "\"2001:db8:1234:1a00::%eth0\"",
               "\"[2001:db8::]\""));
    TAKES("{\"cidr\":\"10.0.0.0/8/\"}", LIST("\"10.9.9.9\""), LIST("\"11.0.0.0\""));
    TAKES("{\"cidr\":\"10.0.0.0/+8\"}", LIST("\"10.9.9.9\""), LIST("\"11.0.0.0\""));
    TAKES("\"1:2:3:4:5:6:7::\"", LIST("\"1:2:3:4:5:6:7:0\"", "\"0001:2:3:4:5:6:7::\""),
          LIST("\"1:2:3:4:5:6:7\"", "\"::1:2:3:4:5:6:7\""));
    TAKES("\"10.0.0.1\"", LIST("\"10.0.0.1\"", "\"10.00.0.1\"", "\"::ffff:a00:1\""), LIST("\"10.0.0.2\""));
    TAKES("\"::1\"", LIST("\"0:0:0:0:0:0:0:1\"", "\"::0001\""), LIST("\"::2\"", "\"1::\""));
    TAKES("\"1.2.3\",\"a:b\",\"1.2.3.4.5\",\"::1::\",\"12345::\"",
          LIST("\"1.2.3\"", "\"a:b\"", "\"1.2.3.4.5\"", "\"::1::\"", "\"12345::\""), LIST("\"1.2.03\"", "\"A:b\""));
}

static void
anything_but_wants_a_value_that_is_none_of_them(void **state)
{
    (void)state;
    TAKES("{\"anything-but\":\"x\"}", LIST("\"y\"", "\"X\"", "1", "null", "false", "[\"x\",\"y\"]"),
          LIST("\"x\"", "[]", "{}", "[\"x\"]"));
    TAKES("{\"anything-but\":[\"x\",\"10.0.0.1\"]}", LIST("\"y\"", "\"10.0.0.01\""), LIST("\"x\"", "\"10.0.0.1\""));
    TAKES("{\"anything-but\":{\"prefix\":[\"a\",\"bc\"]}}", LIST("\"b\"", "\"\"", "5"), LIST("\"ab\"", "\"bcd\""));
    TAKES("{\"anything-but\":{\"suffix\":\"a\"}}", LIST("\"ab\"", "true"), LIST("\"a\"", "\"ba\""));
    TAKES("{\"anything-but\":{\"equals-ignore-case\":[\"a\",\"\\u00e4\"]}}", LIST("\"b\"", "\"ab\""),
          LIST("\"A\"", "\"\\u00c4\""));
    TAKES("{\"anything-but\":{\"wildcard\":[\"*/x/*\",\"y*\"]}}", LIST("\"x\"", "\"zy\""), LIST("\"a/x/b\"", "\"yy\""));
    /* alternatives: one has to hold, each by itself */
    TAKES("{\"anything-but\":\"x\"},{\"anything-but\":\"y\"}", LIST("\"x\"", "\"y\"", "\"z\""), LIST("[]"));
    TAKES("{\"anything-but\":[\"x\",\"y\"]},\"y\"", LIST("\"y\"", "\"z\""), LIST("\"x\""));
}

static void
exists_is_about_leaves(void **state)
{
    (void)state;
    TAKES("{\"exists\":true}", LIST("null", "\"\"", "0", "[null]", "[[[1]]]"),
          LIST("{}", "[]", "{\"b\":1}", "[[],{}]"));
    TAKES("{\"exists\":false}", LIST("{}", "[]", "{\"b\":1}", "[[],{\"a\":1}]"),
          LIST("null", "\"\"", "[null]", "[[[1]]]"));
    TAKES("{\"exists\":false},\"x\"", LIST("\"x\"", "{}", "[\"y\",\"x\"]"), LIST("\"y\"", "[\"y\"]", "null"));
}

/* Longer than what is decoded at once, with an escape so that it has to be decoded. */
static void
strings_of_a_megabyte_are_compared_at_both_ends(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    for (int escapes = 0; escapes < 2; escapes++) {
        buf_reset(&b);
        buf_add_string(&b, "\"START");
        for (int i = 0; i < 30000; i++)
            buf_add_string(&b, escapes ? "\\u0061\\\\bcdefghijklmnopqrstuvwxyz\\ud834"
                                       : "a\\\\bcdefghijklmnopqrstuvwxyz0123456789");
        buf_add_string(&b, "MIDDLE");
        for (int i = 0; i < 2000; i++)
            buf_add_string(&b, "\\ud834\\udd1e\\u20ac");
        buf_add_string(&b, "END\"");
        static const char *const YES[] = {
            "{\"prefix\":\"STARTa\\\\b\"}",
            "{\"suffix\":\"\\u20ac\\ud834\\udd1e\\u20acEND\"}",
            "{\"prefix\":{\"equals-ignore-case\":\"start\"}}",
            "{\"suffix\":{\"equals-ignore-case\":\"end\"}}",
            "{\"suffix\":{\"equals-ignore-case\":\"\\u20acend\"}}",
            "{\"wildcard\":\"*MIDDLE*\"}",
            "{\"wildcard\":\"START*MIDD*LE*\\u20acEND\"},\"x\"",
            "{\"wildcard\":\"S*MIDDLE\\ud834\\udd1e\\u20ac*END\"}",
            "{\"anything-but\":\"x\"}",
            "{\"exists\":true}",
        };
        static const char *const NO[] = {
            "\"START\"",
            "{\"suffix\":\"MIDDLE\"}",
            "{\"equals-ignore-case\":\"START\"}",
            "{\"wildcard\":\"*MIDDLE\"}",
            "{\"wildcard\":\"*MIDDLE*START*\"}",
            "{\"wildcard\":\"*MIDDLE*MIDDLE*\"}",
            "{\"wildcard\":\"*END*END\"}",
            "{\"anything-but\":{\"wildcard\":\"*MIDDLE*\"}}",
            "{\"cidr\":\"10.0.0.0/8\"}",
        };
        for (size_t i = 0; i < sizeof YES / sizeof *YES; i++)
            assert_answer(YES[i], b.data, true);
        for (size_t i = 0; i < sizeof NO / sizeof *NO; i++)
            assert_answer(NO[i], b.data, false);
    }
    buf_clean_up(&b);
}

/* A piece may lie across the end of what was decoded at once, wherever that is. */
static void
wildcards_find_pieces_across_the_seams_of_long_strings(void **state)
{
    (void)state;
    for (size_t before = 12280; before < 12300; before++) {
        struct buf b = BUF_INIT;
        buf_add_string(&b, "\"\\u0061");
        for (size_t i = 0; i < before; i++)
            buf_add_char(&b, 'x');
        buf_add_string(&b, "needle");
        for (size_t i = 0; i < 30000; i++)
            buf_add_char(&b, 'y');
        buf_add_char(&b, '"');
        assert_answer("{\"wildcard\":\"a*xneedley*\"}", b.data, true);
        assert_answer("{\"wildcard\":\"a*needle*needle*\"}", b.data, false);
        buf_clean_up(&b);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_compared_at_their_ends),
        cmocka_unit_test(case_is_what_javas_characters_have),
        cmocka_unit_test(stars_stand_for_any_run),
        cmocka_unit_test(numbers_are_ranges_of_doubles),
        cmocka_unit_test(a_number_that_is_no_double_is_its_text),
        cmocka_unit_test(addresses_are_what_java_reads),
        cmocka_unit_test(anything_but_wants_a_value_that_is_none_of_them),
        cmocka_unit_test(exists_is_about_leaves),
        cmocka_unit_test(strings_of_a_megabyte_are_compared_at_both_ends),
        cmocka_unit_test(wildcards_find_pieces_across_the_seams_of_long_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
