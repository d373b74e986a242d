/* What is found in a parsed text: members, elements, strings, integers. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/parsed.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

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
        assert_string_equal(parsed_text(it.key), KEYS[n]);
        assert_string_equal(parsed_text(it.value), VALUES[n]);
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
    assert_string_equal(parsed_text(v), "3");
    assert_true(json_get_path(parsed("{\"a\":{\"x\":1},\"a\":{\"x\":2}}"), &v, "a", "x", NULL));
    assert_string_equal(parsed_text(v), "2");
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
    assert_string_equal(parsed_text(v), "4");
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
    assert_string_equal(parsed_text(json_walk_take(&w)), "1");
    json_walk_leave(&w);
    assert_true(json_walk_element(&w));
    assert_int_equal(json_walk_type(&w), JSON_OBJECT);
    json_walk_enter(&w);
    assert_true(json_walk_member(&w, &key));
    assert_string_equal(parsed_text(key), "\"a\"");
    json_walk_enter(&w);
    json_walk_leave(&w);
    assert_true(json_walk_member(&w, &key));
    assert_string_equal(parsed_text(key), "\"c\"");
    json_walk_leave(&w);
    assert_true(json_walk_element(&w));
    assert_string_equal(parsed_text(json_walk_take(&w)), "3");
    assert_false(json_walk_element(&w));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iteration_shows_members_and_elements_in_written_order),
        cmocka_unit_test(empty_containers_and_scalars_have_nothing_to_iterate),
        cmocka_unit_test(of_duplicate_keys_the_last_one_counts),
        cmocka_unit_test(members_are_found_by_their_decoded_name),
        cmocka_unit_test(strings_decode_to_utf8),
        cmocka_unit_test(a_string_starts_with_each_of_its_beginnings_and_nothing_else),
        cmocka_unit_test(strings_sort_by_their_characters),
        cmocka_unit_test(half_a_surrogate_pair_is_no_text),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(a_walk_can_leave_a_container_early),
    };
    return cmocka_run_group_tests_name("json_value", tests, NULL, NULL);
}
