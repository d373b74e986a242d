#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))
#define TEXT(literal) SLICE(literal)

/* Parses a copy that ends where the text ends, so that a sanitizer sees any read behind it. The value points into
 * *ret_copy, which the caller frees. */
static int
parse_copy(struct slice text, char **ret_copy, struct json *ret_value, struct err *e)
{
    char *copy = malloc(text.n ? text.n : 1);
    assert_non_null(copy);
    if (text.n > 0)
        memcpy(copy, text.p, text.n);
    *ret_copy = copy;
    return json_parse(slice_of(copy, text.n), ret_value, e);
}

static int
parses(struct slice text)
{
    char *copy;
    struct json v;
    struct err e;
    int rc = parse_copy(text, &copy, &v, &e);
    free(copy);
    return rc;
}

static struct json
parsed(const char *text)
{
    struct json v;
    struct err e = {0};
    if (json_parse(slice_of_string(text), &v, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return v;
}

static const char *
text_of(struct json v)
{
    static char text[4][200];
    static int next;
    char *t = text[next++ % 4];
    snprintf(t, sizeof text[0], "%.*s", SLICE_ARG(v.text));
    return t;
}

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
        if (parse_copy(VALID[i], &copy, &v, &e) != 0)
            fail_msg("refused %.*s: %s", SLICE_ARG(VALID[i]), e.text);
        free(copy);
    }
}

static void
refuses_everything_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(INVALID); i++)
        if (parses(INVALID[i]) != ERR_INVALID)
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
every_character_survives_decoding_and_writing(void **state)
{
    (void)state;
    struct buf written = BUF_INIT, decoded = BUF_INIT;
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 31) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        char utf8[4];
        size_t n = utf8_encode(c, utf8);
        assert_int_equal(utf8_length(utf8, utf8 + n), n);
        for (int way = 0; way < 2; way++) {
            struct json v;
            buf_reset(&written);
            buf_reset(&decoded);
            if (way == 0)
                json_write_string(&written, slice_of(utf8, n));
            else if (c < 0x10000)
                buf_add_format(&written, "\"\\u%04x\"", c);
            else
                buf_add_format(&written, "\"\\u%04X\\u%04X\"", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
            assert_int_equal(json_parse(buf_slice(&written), &v, NULL), 0);
            assert_int_equal(json_decode(v, &decoded, NULL), 0);
            assert_true(slice_equals(buf_slice(&decoded), slice_of(utf8, n)));
            assert_true(json_equals_string(v, slice_of(utf8, n)));
        }
    }
    buf_clean_up(&written);
    buf_clean_up(&decoded);
}

static void
nests_512_levels_and_no_more(void **state)
{
    (void)state;
    char text[2 * (JSON_MAX_DEPTH + 1)];
    for (size_t depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parses(slice_of(text, 2 * depth)), depth <= JSON_MAX_DEPTH ? 0 : ERR_LIMIT);
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
        assert_int_equal(parses(buf_slice(&b)), wrong < JSON_MAX_DEPTH ? ERR_INVALID : 0);
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
        assert_string_equal(text_of(v), EXPECTED[i]);
    }
    assert_int_equal(json_parse_first(rest, &v, &rest, &e), ERR_NOT_FOUND);

    assert_int_equal(json_parse_first(SLICE("truefalse"), &v, &rest, &e), ERR_INVALID);
    assert_int_equal(json_parse_first(SLICE("1-2"), &v, &rest, &e), ERR_INVALID);
    assert_int_equal(json_parse_first(SLICE("{}x"), &v, &rest, &e), 0);
    assert_int_equal(json_parse_first(rest, &v, &rest, &e), ERR_INVALID);
}

static void
iteration_shows_members_and_elements_in_written_order(void **state)
{
    (void)state;
    static const char *const KEYS[] = {"\"b\"", "\"a\"", "\"b\"", "\"\\u0061\"", "\"\""};
    static const char *const VALUES[] = {"[ 1 , [2,\"]\"] ]", "\"}\\\"\"", "-1.5e+3", "{ }", "false"};
    struct json v =
        parsed(" { \"b\" : [ 1 , [2,\"]\"] ] ,\n\"a\":\"}\\\"\",\"b\":-1.5e+3 , \"\\u0061\" : { }, \"\":false } ");
    size_t n = 0;
    for (struct json_iter it = json_iter(v); json_next(&it); n++) {
        assert_int_equal(it.index, n);
        assert_int_equal(it.key.type, JSON_STRING);
        assert_string_equal(text_of(it.key), KEYS[n]);
        assert_string_equal(text_of(it.value), VALUES[n]);
    }
    assert_int_equal(n, 5);
    assert_int_equal(json_count(v), 5);

    static const enum json_type TYPES[] = {JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT};
    n = 0;
    struct json_iter it = json_iter(parsed("[null,true,0,\"\",[],{}]"));
    while (json_next(&it)) {
        assert_int_equal(it.index, n);
        assert_int_equal(it.value.type, TYPES[n++]);
    }
    assert_int_equal(n, 6);
    assert_false(json_next(&it));
}

static void
empty_containers_and_scalars_have_nothing_to_iterate(void **state)
{
    (void)state;
    static const char *const EMPTY[] = {"{}", "[]", "{ }", "[\n]", "null", "true", "12", "\"[1]\""};
    for (size_t i = 0; i < N_ELEMENTS(EMPTY); i++) {
        struct json_iter it = json_iter(parsed(EMPTY[i]));
        assert_false(json_next(&it));
        assert_false(json_next(&it));
        assert_int_equal(json_count(parsed(EMPTY[i])), 0);
    }
}

static void
of_duplicate_keys_the_last_one_counts(void **state)
{
    (void)state;
    struct json v;
    assert_true(json_get(parsed("{\"a\":1,\"b\":2,\"\\u0061\":3}"), "a", &v));
    assert_string_equal(text_of(v), "3");
    assert_true(json_get_path(parsed("{\"a\":{\"x\":1},\"a\":{\"x\":2}}"), &v, "a", "x", NULL));
    assert_string_equal(text_of(v), "2");
    assert_false(json_get_path(parsed("{\"a\":{\"x\":1},\"a\":{}}"), &v, "a", "x", NULL));
}

static void
members_are_found_by_their_decoded_name(void **state)
{
    (void)state;
    struct json o =
        parsed("{\"detail-type\":\"x\",\"a\\/b\":1,\"\\u00e9\":2,\"\":3,\"\\ud834\\udd1e\":4,\"\\ud834\":5}");
    struct json v = parsed("0");
    assert_true(json_get(o, "a/b", &v) && slice_equals_string(v.text, "1"));
    assert_true(json_get(o, "\xc3\xa9", &v) && slice_equals_string(v.text, "2"));
    assert_true(json_get(o, "", &v) && slice_equals_string(v.text, "3"));
    assert_true(json_get(o, "\xf0\x9d\x84\x9e", &v) && slice_equals_string(v.text, "4"));
    assert_false(json_get(o, "\xed\xa0\xb4", &v));
    assert_false(json_get(o, "detail", &v));
    assert_false(json_get(o, "detail-type2", &v));
    assert_false(json_get(parsed("[\"a\",1]"), "a", &v));
    assert_false(json_get_path(parsed("{\"a\":[{\"b\":1}]}"), &v, "a", "b", NULL));
    assert_string_equal(text_of(v), "4");
}

static void
strings_decode_to_utf8(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    struct json v = parsed("\"\\\"\\\\\\/\\b\\f\\n\\r\\ta\\u0000b\\u20AC\\uD834\\uDD1E\xc3\xa9\"");
    static const char EXPECTED[] = "\"\\/\b\f\n\r\ta\0b\xe2\x82\xac\xf0\x9d\x84\x9e\xc3\xa9";
    buf_add_string(&b, "kept:");
    assert_int_equal(json_decode(v, &b, NULL), 0);
    assert_int_equal(b.len, 5 + sizeof EXPECTED - 1);
    assert_memory_equal(b.data + 5, EXPECTED, sizeof EXPECTED - 1);
    assert_true(json_equals_string(v, SLICE(EXPECTED)));
    assert_false(json_equals_string(v, slice_of(EXPECTED, sizeof EXPECTED - 2)));
    assert_false(json_is_plain(v));
    assert_true(json_is_plain(parsed("\"caf\xc3\xa9\"")));
    assert_true(slice_equals(json_raw(parsed("\"a\\nb\"")), SLICE("a\\nb")));
    assert_true(json_equals_string(parsed("\"\""), (struct slice){0}));
    buf_clean_up(&b);
}

static void
a_string_starts_with_each_of_its_beginnings_and_nothing_else(void **state)
{
    (void)state;
    static const char DECODED[] = "ab\"\xc3\xa9\0\xf0\x9d\x84\x9ez";
    static const char *const WRITTEN[] = {"\"ab\\\"\xc3\xa9\\u0000\xf0\x9d\x84\x9ez\"",
                                          "\"\\u0061b\\u0022\\u00e9\\u0000\\ud834\\udd1ez\""};
    for (size_t i = 0; i < N_ELEMENTS(WRITTEN); i++) {
        struct json v = parsed(WRITTEN[i]);
        for (size_t n = 0; n < sizeof DECODED; n++) {
            char other[sizeof DECODED + 1];
            memcpy(other, DECODED, sizeof DECODED);
            assert_true(json_starts_with(v, slice_of(other, n)) == (n < sizeof DECODED));
            assert_true(json_equals_string(v, slice_of(other, n)) == (n == sizeof DECODED - 1));
            if (n > 0) {
                other[n - 1] ^= 1;
                assert_false(json_starts_with(v, slice_of(other, n)));
            }
        }
        assert_false(json_starts_with(v, slice_of(DECODED, sizeof DECODED)));

        char out[sizeof DECODED - 1];
        size_t n = 0;
        assert_true(json_decode_into(v, out, sizeof out, &n));
        assert_int_equal(n, sizeof out);
        assert_memory_equal(out, DECODED, n);
        for (size_t size = 0; size < sizeof out; size++)
            assert_false(json_decode_into(v, out, size, &n));
    }
    assert_true(json_starts_with(parsed("\"\""), SLICE("")));
    assert_true(json_starts_with(parsed("\"x\\ud834\""), SLICE("x")));
    assert_false(json_starts_with(parsed("\"x\\ud834\""), SLICE("x\xed")));
    char out[8];
    size_t n;
    assert_false(json_decode_into(parsed("\"x\\ud834\""), out, sizeof out, &n));
}

static void
strings_sort_by_their_characters(void **state)
{
    (void)state;
    static const char *const SORTED[] = {
        "", "\n", "A", "Z", "a", "aa", "ab", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xef\xbf\xbf", "\xf0\x9d\x84\x9e"};
    static const char *const WRITTEN[] = {"\"\"",        "\"\\n\"",          "\"\\u0041\"",  "\"Z\"",
                                          "\"\\u0061\"", "\"a\\u0061\"",     "\"\\u0061b\"", "\"\x7f\"",
                                          "\"\\u00e9\"", "\"\xe2\x82\xac\"", "\"\\uffff\"",  "\"\\ud834\\udd1e\""};
    for (int i = 0; i < (int)N_ELEMENTS(WRITTEN); i++) {
        for (int k = 0; k < (int)N_ELEMENTS(SORTED); k++) {
            int order = json_compare_string(parsed(WRITTEN[i]), slice_of_string(SORTED[k]));
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
    assert_true(json_compare_string(parsed("\"\\ud834\""), SLICE("\xed\x9f\xbf")) > 0);
    assert_true(json_compare_string(parsed("\"\\ud834\""), SLICE("\xee\x80\x80")) < 0);
    assert_true(json_compare_string(parsed("\"a\""), slice_of(NULL, 0)) > 0); /* nothing, which may be nowhere */
    assert_true(json_compare_string(parsed("\"\""), slice_of(NULL, 0)) == 0);
    assert_false(json_equals_string(parsed("\"a\""), slice_of(NULL, 0)));
    assert_true(json_equals_string(parsed("\"\""), slice_of(NULL, 0)));
    assert_true(json_starts_with(parsed("\"\\u0061\""), slice_of(NULL, 0)));
}

static void
half_a_surrogate_pair_is_no_text(void **state)
{
    (void)state;
    static const char *const LONE[] = {"\"x\\ud834\"",        "\"x\\udd1e\"",         "\"x\\ud834\\ud834\"",
                                       "\"x\\ud834y\"",       "\"x\\ud834\\n\"",      "\"x\\udd1e\\ud834\"",
                                       "\"x\\ud834\\u0041\"", "\"x\\uD834\\\\udd1e\""};
    struct buf b = BUF_INIT;
    struct err e;
    buf_add_string(&b, "kept");
    for (size_t i = 0; i < N_ELEMENTS(LONE); i++) {
        assert_int_equal(json_decode(parsed(LONE[i]), &b, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "surrogate"));
        assert_string_equal(b.data, "kept");
        assert_false(json_equals_string(parsed(LONE[i]), SLICE("x\xed\xa0\xb4")));
    }
    buf_clean_up(&b);
}

static void
integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } EXACT[] = {
        {"0", 0},
        {"-0", 0},
        {"7", 7},
        {"-7", -7},
        {"9007199254740993", INT64_C(9007199254740993)},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    static const char *const NONE[] = {
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "1.0",
        "1e3",
        "1E0",
        "\"1\"",
        "null",
        "[1]",
    };
    int64_t v = 0;
    for (size_t i = 0; i < N_ELEMENTS(EXACT); i++) {
        assert_true(json_int64(parsed(EXACT[i].text), &v));
        assert_true(v == EXACT[i].value);
    }
    v = 4711;
    for (size_t i = 0; i < N_ELEMENTS(NONE); i++)
        assert_false(json_int64(parsed(NONE[i]), &v));
    assert_true(v == 4711);
    assert_true(json_bool(parsed("true")));
    assert_false(json_bool(parsed("false")));
}

static uint64_t
next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

static uint64_t
bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static void
assert_same_as_strtod(const char *text)
{
    if (bits(json_double(parsed(text))) != bits(strtod(text, NULL)))
        fail_msg("%s: %.17g, not %.17g", text, json_double(parsed(text)), strtod(text, NULL));
}

static void
doubles_are_the_nearest_ones(void **state)
{
    (void)state;
    static const char *const EDGES[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e5",
        "0e999999999999999999999",
        "1",
        "300.0",
        "3e2",
        "0.1",
        "1.10",
        "9007199254740993",
        "9007199254740992.9999999999999999999999999999999",
        "1e22",
        "1e23",
        "123456789012345678e22",
        "8.5e-17",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e308",
        "1e309",
        "-1e309",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0.000000000000000000000000000000000000000000000000000000000000000000000000001e75",
        "100000000000000000000000000000000000000000000000000000000000000000000000000e-75",
    };
    for (size_t i = 0; i < N_ELEMENTS(EDGES); i++)
        assert_same_as_strtod(EDGES[i]);
    assert_true(isinf(json_double(parsed("1e400"))));

    uint64_t random = 4711;
    char text[64];
    for (int i = 0; i < 50000; i++) {
        uint64_t u = next_random(&random);
        double d;
        memcpy(&d, &u, sizeof d);
        if (!isfinite(d))
            continue;
        snprintf(text, sizeof text, i % 2 ? "%.17g" : "%.15e", d);
        assert_same_as_strtod(text);
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(next_random(&random) >> (u & 63)),
                 (unsigned long long)next_random(&random), (int)(u % 60) - 30);
        assert_same_as_strtod(text);
    }
}

static void
numbers_of_any_length_are_rounded_rightly(void **state)
{
    (void)state;
    /* 1 + 2^-53 lies halfway between 1 and its upper neighbour, so what decides is whether anything follows. */
    static const char HALFWAY[] = "1.00000000000000011102230246251565404236316680908203125";
    struct buf b = BUF_INIT;
    for (size_t zeros = 0; zeros < 3000; zeros += 97) {
        for (int more = 0; more < 2; more++) {
            buf_reset(&b);
            buf_add_string(&b, HALFWAY);
            for (size_t i = 0; i < zeros; i++)
                buf_add_char(&b, '0');
            buf_add_string(&b, more ? "1" : "0");
            assert_true(json_double(parsed(b.data)) == (more ? nextafter(1, 2) : 1));
            assert_same_as_strtod(b.data);
        }
    }
    for (size_t digits = 1; digits < 2000; digits += 61) {
        buf_reset(&b);
        buf_add_char(&b, '-');
        for (size_t i = 0; i < digits; i++)
            buf_add_char(&b, (char)('1' + i % 9));
        buf_add_format(&b, "e-%zu", digits + 3);
        assert_same_as_strtod(b.data);
        buf_reset(&b);
        buf_add_string(&b, "0.");
        for (size_t i = 0; i < digits; i++)
            buf_add_char(&b, '0');
        buf_add_format(&b, "12345678901234567890e%zu", digits);
        assert_same_as_strtod(b.data);
    }
    buf_clean_up(&b);
}

static void
written_strings_escape_what_must_be(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    json_write_string(&b, SLICE("a\"\\/\b\f\n\r\t\0\x1f\x7f\xc3\xa9\xf0\x9d\x84\x9e"));
    assert_string_equal(b.data, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\xc3\xa9\xf0\x9d\x84\x9e\"");
    buf_reset(&b);
    json_write_string(&b, SLICE("a\xff"
                                "b\xe2\x82"
                                "c\xed\xa0\x80\xf0"));
    assert_string_equal(b.data, "\"a\xef\xbf\xbd"
                                "b\xef\xbf\xbd\xef\xbf\xbd"
                                "c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_reset(&b);
    json_write_string(&b, (struct slice){0});
    assert_string_equal(b.data, "\"\"");
    buf_clean_up(&b);
}

static void
any_bytes_are_written_as_a_valid_string(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    uint64_t random = 99;
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        size_t n = next_random(&random) % sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(next_random(&random) >> (round % 2 ? 56 : 50));
        buf_reset(&b);
        json_write_string(&b, slice_of(bytes, n));
        assert_int_equal(parses(buf_slice(&b)), 0);
    }
    buf_clean_up(&b);
}

static void
compact_writing_drops_white_space_outside_strings_only(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    json_write_compact(
        &b, parsed("\t{ \"a b\" :\r\n[ 1.10 , 1e400,9007199254740993 ] , \"\\\" \\\\\" : \" \\u0000 \" }\n"));
    assert_string_equal(b.data, "{\"a b\":[1.10,1e400,9007199254740993],\"\\\" \\\\\":\" \\u0000 \"}");
    buf_clean_up(&b);
}

/* Writes a random valid text twice: with random white space, and without any. */
static void
generate_space(uint64_t *random, struct buf *spaced)
{
    for (uint64_t n = next_random(random) % 6; n > 3; n--)
        buf_add_char(spaced, " \t\r\n"[next_random(random) % 4]);
}

static void
generate_both(struct buf *spaced, struct buf *compact, const char *s)
{
    buf_add_string(spaced, s);
    buf_add_string(compact, s);
}

static void
generate_string(uint64_t *random, struct buf *spaced, struct buf *compact)
{
    static const char *const PIECES[] = {
        "\\\"",
        "\\\\",
        "\\/",
        "\\b",
        "\\n",
        "\\u0000",
        "\\ud83d\\ude00",
        "\\uDEAD",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "abc",
        "0",
        "\xf0\x9d\x84\x9e",
        "\x7f",
        "true",
        "a longer run of text",
    };
    generate_both(spaced, compact, "\"");
    for (uint64_t n = next_random(random) % 8; n > 0; n--)
        generate_both(spaced, compact, PIECES[next_random(random) % N_ELEMENTS(PIECES)]);
    generate_both(spaced, compact, "\"");
}

static void
generate_value(uint64_t *random, unsigned depth, struct buf *spaced, struct buf *compact)
{
    static const char *const SCALARS[] = {
        "null", "true", "false", "0", "-0", "1.10", "1e400", "9007199254740993", "-12.50E-03", "1e+9", "123",
    };
    uint64_t kind = next_random(random) % (depth > 6 ? 4 : 10);
    if (kind < 2) {
        generate_both(spaced, compact, SCALARS[next_random(random) % N_ELEMENTS(SCALARS)]);
        return;
    }
    if (kind < 4) {
        generate_string(random, spaced, compact);
        return;
    }
    bool object = kind < 8;
    generate_both(spaced, compact, object ? "{" : "[");
    generate_space(random, spaced);
    for (uint64_t n = next_random(random) % 5, i = 0; i < n; i++) {
        if (i > 0)
            generate_both(spaced, compact, ",");
        generate_space(random, spaced);
        if (object) {
            generate_string(random, spaced, compact);
            generate_space(random, spaced);
            generate_both(spaced, compact, ":");
            generate_space(random, spaced);
        }
        generate_value(random, depth + 1, spaced, compact);
        generate_space(random, spaced);
    }
    generate_both(spaced, compact, object ? "}" : "]");
}

/* Takes a value apart by iterating, and puts it together again. */
static void
rebuild_by_iteration(struct json v, struct buf *out)
{
    if (v.type != JSON_OBJECT && v.type != JSON_ARRAY) {
        buf_add_slice(out, v.text);
        return;
    }
    buf_add_char(out, v.type == JSON_OBJECT ? '{' : '[');
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        if (it.index > 0)
            buf_add_char(out, ',');
        if (v.type == JSON_OBJECT) {
            buf_add_slice(out, it.key.text);
            buf_add_char(out, ':');
        }
        rebuild_by_iteration(it.value, out);
    }
    buf_add_char(out, v.type == JSON_OBJECT ? '}' : ']');
}

static void
rebuild_by_walk(struct json_walk *w, struct buf *out)
{
    enum json_type type = json_walk_type(w);
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        buf_add_slice(out, json_walk_take(w).text);
        return;
    }
    struct json key;
    bool first = true;
    json_walk_enter(w);
    buf_add_char(out, type == JSON_OBJECT ? '{' : '[');
    while (type == JSON_OBJECT ? json_walk_member(w, &key) : json_walk_element(w)) {
        if (!first)
            buf_add_char(out, ',');
        first = false;
        if (type == JSON_OBJECT) {
            buf_add_slice(out, key.text);
            buf_add_char(out, ':');
        }
        rebuild_by_walk(w, out);
    }
    buf_add_char(out, type == JSON_OBJECT ? '}' : ']');
}

static void
generated_texts_parse_and_come_out_byte_for_byte(void **state)
{
    (void)state;
    struct buf spaced = BUF_INIT, compact = BUF_INIT, out = BUF_INIT;
    size_t objects = 0, bytes = 0;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
        buf_reset(&spaced);
        buf_reset(&compact);
        generate_space(&random, &spaced);
        generate_value(&random, 0, &spaced, &compact);
        generate_space(&random, &spaced);
        bytes += spaced.len;

        char *copy;
        struct json v;
        struct err e = {0};
        if (parse_copy(buf_slice(&spaced), &copy, &v, &e) != 0)
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, e.text, spaced.data);
        objects += v.type == JSON_OBJECT;
        for (int way = 0; way < 3; way++) {
            buf_reset(&out);
            struct json_walk w = json_walk(v);
            if (way == 0)
                json_write_compact(&out, v);
            else if (way == 1)
                rebuild_by_iteration(v, &out);
            else
                rebuild_by_walk(&w, &out);
            if (!slice_equals(buf_slice(&out), buf_slice(&compact)))
                fail_msg("seed %llu, way %d: %s", (unsigned long long)seed, way, compact.data);
        }
        free(copy);
        assert_int_equal(json_parse(buf_slice(&compact), &v, NULL), 0);
        buf_reset(&out);
        json_write_compact(&out, v);
        assert_true(slice_equals(buf_slice(&out), buf_slice(&compact)));
    }
    assert_true(objects > 5000 && bytes > 1000000);
    buf_clean_up(&spaced);
    buf_clean_up(&compact);
    buf_clean_up(&out);
}

static void
no_truncation_of_an_object_or_array_is_accepted(void **state)
{
    (void)state;
    struct buf spaced = BUF_INIT, compact = BUF_INIT;
    size_t tried = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
        buf_reset(&spaced);
        buf_reset(&compact);
        generate_value(&random, 0, &spaced, &compact);
        if (spaced.data[0] != '{' && spaced.data[0] != '[')
            continue;
        for (size_t n = 0; n < spaced.len && n < 2000; n += n < 200 ? 1 : 13, tried++)
            if (parses(slice_of(spaced.data, n)) != ERR_INVALID)
                fail_msg("seed %llu cut at %zu: %s", (unsigned long long)seed, n, spaced.data);
    }
    assert_true(tried > 20000);
    buf_clean_up(&spaced);
    buf_clean_up(&compact);
}

static void
damaged_texts_are_refused_or_still_sound(void **state)
{
    (void)state;
    struct buf spaced = BUF_INIT, compact = BUF_INIT, out = BUF_INIT;
    uint64_t random = 2026;
    size_t refused = 0, accepted = 0;
    for (int round = 0; round < 50000; round++) {
        buf_reset(&spaced);
        buf_reset(&compact);
        buf_reset(&out);
        generate_value(&random, 2, &spaced, &compact);
        spaced.data[next_random(&random) % spaced.len] = (char)next_random(&random);
        char *copy;
        struct json v;
        if (parse_copy(buf_slice(&spaced), &copy, &v, NULL) == 0) {
            accepted++;
            rebuild_by_iteration(v, &out);
            assert_int_equal(parses(buf_slice(&out)), 0);
        } else {
            refused++;
        }
        free(copy);
    }
    assert_true(refused > 1000 && accepted > 1000);
    buf_clean_up(&spaced);
    buf_clean_up(&compact);
    buf_clean_up(&out);
}

static void
a_walk_can_leave_a_container_early(void **state)
{
    (void)state;
    struct json key, v = parsed("[ [1,[2],\"]\"] , {\"a\":{\"b\":[1]},\"c\":2} , 3 ]");
    struct json_walk w = json_walk(v);
    json_walk_enter(&w);
    assert_true(json_walk_element(&w));
    json_walk_enter(&w);
    assert_true(json_walk_element(&w));
    assert_string_equal(text_of(json_walk_take(&w)), "1");
    json_walk_leave(&w);
    assert_true(json_walk_element(&w));
    assert_int_equal(json_walk_type(&w), JSON_OBJECT);
    json_walk_enter(&w);
    assert_true(json_walk_member(&w, &key));
    assert_string_equal(text_of(key), "\"a\"");
    json_walk_enter(&w);
    json_walk_leave(&w);
    assert_true(json_walk_member(&w, &key));
    assert_string_equal(text_of(key), "\"c\"");
    json_walk_leave(&w);
    assert_true(json_walk_element(&w));
    assert_string_equal(text_of(json_walk_take(&w)), "3");
    assert_false(json_walk_element(&w));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc_8259_allows),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(checks_utf8_exactly),
        cmocka_unit_test(every_character_survives_decoding_and_writing),
        cmocka_unit_test(nests_512_levels_and_no_more),
        cmocka_unit_test(objects_and_arrays_close_in_the_order_they_opened),
        cmocka_unit_test(errors_name_line_column_offset_and_what_was_expected),
        cmocka_unit_test(a_failed_parse_leaves_the_result_alone),
        cmocka_unit_test(concatenated_values_come_one_by_one),
        cmocka_unit_test(iteration_shows_members_and_elements_in_written_order),
        cmocka_unit_test(empty_containers_and_scalars_have_nothing_to_iterate),
        cmocka_unit_test(of_duplicate_keys_the_last_one_counts),
        cmocka_unit_test(members_are_found_by_their_decoded_name),
        cmocka_unit_test(strings_decode_to_utf8),
        cmocka_unit_test(a_string_starts_with_each_of_its_beginnings_and_nothing_else),
        cmocka_unit_test(strings_sort_by_their_characters),
        cmocka_unit_test(half_a_surrogate_pair_is_no_text),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(doubles_are_the_nearest_ones),
        cmocka_unit_test(numbers_of_any_length_are_rounded_rightly),
        cmocka_unit_test(written_strings_escape_what_must_be),
        cmocka_unit_test(any_bytes_are_written_as_a_valid_string),
        cmocka_unit_test(compact_writing_drops_white_space_outside_strings_only),
        cmocka_unit_test(generated_texts_parse_and_come_out_byte_for_byte),
        cmocka_unit_test(no_truncation_of_an_object_or_array_is_accepted),
        cmocka_unit_test(damaged_texts_are_refused_or_still_sound),
        cmocka_unit_test(a_walk_can_leave_a_container_early),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
