/* What is JSON and what is not, and what is said of what is not. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "lib/parsed.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))
#define TEXT(literal) SLICE(literal)

static const struct slice VALID[] = {
    TEXT("{}"),
    TEXT("[]"),
    TEXT("\"\""),
    TEXT("0"),
    TEXT("-0"),
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT(" \t\r\n[ \t\r\n] \t\r\n"),
    TEXT("[1,2,3]"),
    TEXT("[[],{},[[]],{\"a\":{}}]"),
    TEXT("{\"\":0}"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("{ \"a\" : [ 1 , null ] , \"b\" : \"c\" }"),
    TEXT("9007199254740993"),
    TEXT("123456789012345678901234567890"),
    TEXT("1.10"),
    TEXT("1e400"),
    TEXT("-1E-400"),
    TEXT("1e+5"),
    TEXT("0.0000000000000000000000000000001"),
    TEXT("0e0"),
    TEXT("1.5e300"),
    TEXT("\"a\\u0000b\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD834\\uDD1E\""),
    TEXT("\"\\ud800\""), /* lone surrogates are json_decode's business */
    TEXT("\"\\udc00x\""),
    TEXT("\"\x7f\""),
    TEXT("\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\""),
    TEXT("\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\""),
    TEXT("\"\xe2\x80\xa8 \xe2\x80\xa9 \xef\xbb\xbf\""),
    TEXT("[\"12345678\",\"1234567\",\"123456\",\"12345\"]"),
};

static const struct slice INVALID[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("\n\n"),
    TEXT("{"),
    TEXT("}"),
    TEXT("["),
    TEXT("]"),
    TEXT("[1"),
    TEXT("[1,"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[,]"),
    TEXT("[1,,2]"),
    TEXT("[1 2]"),
    TEXT("[1}"),
    TEXT("{\"a\":1]"),
    TEXT("{\"a\"}"),
    TEXT("{\"a\":}"),
    TEXT("{\"a\":1,}"),
    TEXT("{,\"a\":1}"),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\"::1}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\":1;\"b\":2}"),
    TEXT("{a:1}"),
    TEXT("{'a':1}"),
    TEXT("{1:1}"),
    TEXT("{null:1}"),
    TEXT("{[]:1}"),
    TEXT("{\"a\":1}}"),
    TEXT("{\"a\":1} x"),
    TEXT("{} {}"),
    TEXT("[] 1"),
    TEXT("1 2"),
    TEXT("null null"),
    TEXT("\"a\"\"b\""),
    TEXT("00"),
    TEXT("01"),
    TEXT("-01"),
    TEXT("-"),
    TEXT("--1"),
    TEXT("+1"),
    TEXT("- 1"),
    TEXT("1."),
    TEXT("-1."),
    TEXT("1.e1"),
    TEXT(".5"),
    TEXT("-.5"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("1e-"),
    TEXT("1E.5"),
    TEXT("1e1.5"),
    TEXT("1.2.3"),
    TEXT("0x1F"),
    TEXT("1_000"),
    TEXT("1f"),
    TEXT("12a"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("-Infinity"),
    TEXT("inf"),
    TEXT("t"),
    TEXT("tru"),
    TEXT("True"),
    TEXT("truex"),
    TEXT("nul"),
    TEXT("nulll"),
    TEXT("fals"),
    TEXT("undefined"),
    TEXT("[nan]"),
    TEXT("\""),
    TEXT("\"a"),
    TEXT("\"a\\"),
    TEXT("\"a\\\""),
    TEXT("\"\\x00\""),
    TEXT("\"\\a\""),
    TEXT("\"\\'\""),
    TEXT("\"\\U0041\""),
    TEXT("\"\\u\""),
    TEXT("\"\\u1\""),
    TEXT("\"\\u12\""),
    TEXT("\"\\u123\""),
    TEXT("\"\\u123g\""),
    TEXT("\"\\u 123\""),
    TEXT("\"\\u-123\""),
    TEXT("\"\\u123"),
    TEXT("\"\\ud834\\u\""),
    TEXT("'a'"),
    TEXT("\"\n\""),
    TEXT("\"\t\""),
    TEXT("\"a\0b\""),
    TEXT("\"1234567\x1f\""),
    TEXT("\"12345678\x01\""),
    TEXT("{}\0"),
    TEXT("\0"),
    TEXT("[1]\x0b"),
    TEXT("\x0c[1]"),
    TEXT("\xc2\xa0[1]"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("\xff\xfe{\0}\0"),
    TEXT("// comment\n1"),
    TEXT("/* comment */ 1"),
    TEXT("[1] # comment"),
    TEXT("[1/**/,2]"),
    TEXT("*"),
    TEXT("<null>"),
    TEXT("[\xe9]"),
    TEXT("{\"\xe9\":1}"),
};

static void
accepts_what_rfc_8259_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(VALID); i++) {
        char *copy;
        struct json v;
        struct err e = {0};
        if (parsed_copy(VALID[i], &copy, &v, &e) != 0)
            fail_msg("refused %.*s: %s", SLICE_ARG(VALID[i]), e.text);
        free(copy);
    }
}

static void
refuses_everything_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(INVALID); i++)
        if (parsed_code(INVALID[i]) != ERR_INVALID)
            fail_msg("accepted no. %zu: %.*s", i, SLICE_ARG(INVALID[i]));
}

/* By definition instead of by table: decode the bits, then ask whether the shortest encoding of the result is these
 * bytes and whether it is a character. */
static bool
is_utf8_by_definition(const unsigned char *s, size_t n)
{
    static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    static const unsigned LEAD_BITS[] = {0, 0, 0xc0, 0xe0, 0xf0}, LEAD_MASK[] = {0, 0, 0xe0, 0xf0, 0xf8};
    if ((s[0] & LEAD_MASK[n]) != LEAD_BITS[n])
        return false;
    uint32_t c = s[0] & ~LEAD_MASK[n] & 0xff;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return false;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c >= LEAST[n] && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
}

static void
checks_utf8_exactly(void **state)
{
    (void)state;
    static const unsigned char EDGES[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    unsigned char s[6] = "\"";
    struct json v;
    size_t accepted = 0;
    for (unsigned lead = 0x80; lead < 0x100; lead++) {
        s[1] = (unsigned char)lead;
        s[2] = '"';
        assert_int_equal(json_parse(slice_of((char *)s, 3), &v, NULL), ERR_INVALID);
        for (unsigned second = 0; second < 0x100; second++) {
            if (second == '"' || second == '\\')
                continue;
            s[2] = (unsigned char)second;
            s[3] = '"';
            if ((json_parse(slice_of((char *)s, 4), &v, NULL) == 0) != is_utf8_by_definition(s + 1, 2))
                fail_msg("%02x %02x", lead, second);
            for (size_t i = 0; i < N_ELEMENTS(EDGES); i++) {
                s[3] = EDGES[i];
                s[4] = '"';
                bool ok = json_parse(slice_of((char *)s, 5), &v, NULL) == 0;
                bool shorter = is_utf8_by_definition(s + 1, 2) && EDGES[i] == 0x7f;
                accepted += ok;
                if (ok != (shorter || is_utf8_by_definition(s + 1, 3)))
                    fail_msg("%02x %02x %02x", lead, second, EDGES[i]);
                for (size_t k = 0; k < N_ELEMENTS(EDGES); k++) {
                    unsigned char t[] = {'"', s[1], s[2], s[3], EDGES[k], '"'};
                    ok = json_parse(slice_of((char *)t, 6), &v, NULL) == 0;
                    shorter = (is_utf8_by_definition(t + 1, 3) && EDGES[k] == 0x7f) ||
                              (is_utf8_by_definition(t + 1, 2) && t[3] == 0x7f && t[4] == 0x7f);
                    if (ok != (shorter || is_utf8_by_definition(t + 1, 4)))
                        fail_msg("%02x %02x %02x %02x", t[1], t[2], t[3], t[4]);
                }
            }
        }
    }
    assert_true(accepted > 500);
}

static void
nests_512_levels_and_no_more(void **state)
{
    (void)state;
    char text[2 * (JSON_MAX_DEPTH + 1)];
    for (size_t depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parsed_code(slice_of(text, 2 * depth)), depth <= JSON_MAX_DEPTH ? 0 : ERR_LIMIT);
    }
    struct buf b = BUF_INIT;
    struct err e;
    struct json v;
    for (int i = 0; i < 200000; i++)
        buf_add_string(&b, "{\"a\":[");
    assert_int_equal(json_parse(buf_slice(&b), &v, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "deeper than 512"));
    buf_clean_up(&b);
}

static void
objects_and_arrays_close_in_the_order_they_opened(void **state)
{
    (void)state;
    char open[JSON_MAX_DEPTH + 1];
    struct buf b = BUF_INIT;
    uint64_t random = 42;
    for (size_t wrong = 0; wrong <= JSON_MAX_DEPTH; wrong++) { /* the last round closes everything rightly */
        buf_reset(&b);
        for (size_t i = 0; i < JSON_MAX_DEPTH; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            open[i] = random >> 63 ? '{' : '[';
            buf_add_string(&b, open[i] == '[' ? "[" : i + 1 < JSON_MAX_DEPTH ? "{\"k\":" : "{");
        }
        for (size_t i = JSON_MAX_DEPTH; i-- > 0;)
            buf_add_char(&b, (open[i] == '{') != (i == wrong) ? '}' : ']');
        assert_int_equal(parsed_code(buf_slice(&b)), wrong < JSON_MAX_DEPTH ? ERR_INVALID : 0);
    }
    buf_clean_up(&b);
}

static void
errors_name_line_column_offset_and_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } CASES[] = {
        {"", "JSON, line 1, column 1 (byte offset 0): expected a value, found the end of the text"},
        {"{\n  \"a\": 1,\n  \"b\" 2\n}",
         "JSON, line 3, column 7 (byte offset 18): expected ':' after the key, found '2'"},
        {"{\"\xc3\xa9\xe2\x82\xac\": x}", "JSON, line 1, column 8 (byte offset 10): expected a value, found 'x'"},
        {"[1, 02]", "JSON, line 1, column 6 (byte offset 5): expected no digit after a leading zero, found '2'"},
        {"[1 \x01]", "JSON, line 1, column 4 (byte offset 3): expected ',' or ']', found byte 0x01"},
        {"{\"a\":1", "JSON, line 1, column 7 (byte offset 6): expected ',' or '}', found the end of the text"},
        {"{} {}", "JSON, line 1, column 4 (byte offset 3): expected nothing behind the value, found '{'"},
        {"\"a\nb\"", "JSON, line 1, column 3 (byte offset 2): expected no control character in a string (it must be "
                     "escaped), found byte 0x0a"},
        {"\"\xc0\x80\"", "JSON, line 1, column 2 (byte offset 1): expected valid UTF-8, found byte 0xc0"},
        {"\xef\xbb\xbf{}",
         "JSON, line 1, column 1 (byte offset 0): expected a value, found a byte order mark (save the "
         "text without one)"},
    };
    for (size_t i = 0; i < N_ELEMENTS(CASES); i++) {
        struct json v;
        struct err e = {0};
        assert_int_equal(json_parse(slice_of_string(CASES[i].text), &v, &e), ERR_INVALID);
        assert_string_equal(e.text, CASES[i].error);
        assert_int_equal(e.code, ERR_INVALID);
    }
}

static void
a_failed_parse_leaves_the_result_alone(void **state)
{
    (void)state;
    struct json v = {.text = SLICE("kept"), .type = JSON_ARRAY};
    struct slice rest = SLICE("kept");
    assert_int_equal(json_parse(SLICE("[1] 2"), &v, NULL), ERR_INVALID);
    assert_int_equal(json_parse_first(SLICE("[1"), &v, &rest, NULL), ERR_INVALID);
    assert_true(slice_equals(v.text, SLICE("kept")) && v.type == JSON_ARRAY && slice_equals(rest, SLICE("kept")));
    assert_int_equal(json_parse((struct slice){0}, &v, NULL), ERR_INVALID);
    assert_int_equal(json_parse_first((struct slice){0}, &v, &rest, NULL), ERR_NOT_FOUND);
}

static void
concatenated_values_come_one_by_one(void **state)
{
    (void)state;
    static const char *const EXPECTED[] = {"{\"a\":1}", "[2]", "\"x\"", "\"y\"", "null", "-1.5e3", "{}", "{}"};
    struct slice rest = SLICE(" {\"a\":1}\n[2]\"x\"\"y\"\r\n null\n-1.5e3{}{}\n");
    struct json v;
    struct err e = {0};
    for (size_t i = 0; i < N_ELEMENTS(EXPECTED); i++) {
        assert_int_equal(json_parse_first(rest, &v, &rest, &e), 0);
        assert_string_equal(parsed_text(v), EXPECTED[i]);
    }
    assert_int_equal(json_parse_first(rest, &v, &rest, &e), ERR_NOT_FOUND);

    assert_int_equal(json_parse_first(SLICE("truefalse"), &v, &rest, &e), ERR_INVALID);
    assert_int_equal(json_parse_first(SLICE("1-2"), &v, &rest, &e), ERR_INVALID);
    assert_int_equal(json_parse_first(SLICE("{}x"), &v, &rest, &e), 0);
    assert_int_equal(json_parse_first(rest, &v, &rest, &e), ERR_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc_8259_allows),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(checks_utf8_exactly),
        cmocka_unit_test(nests_512_levels_and_no_more),
        cmocka_unit_test(objects_and_arrays_close_in_the_order_they_opened),
        cmocka_unit_test(errors_name_line_column_offset_and_what_was_expected),
        cmocka_unit_test(a_failed_parse_leaves_the_result_alone),
        cmocka_unit_test(concatenated_values_come_one_by_one),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
