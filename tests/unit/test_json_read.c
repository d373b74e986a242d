#include "base/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

/* Reads the value in front and writes it without white space; strings are decoded and written again. */
static void
rewrite(struct json_reader *r, char *room, struct buf *out)
{
    enum json_type type = json_read_type(r);
    struct json key;
    if (type == JSON_STRING) {
        struct slice text;
        bool means = json_read_text(r, room, &text);
        buf_add_string(out, means ? "" : "<half>");
        json_write_string(out, text);
        return;
    }
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        buf_add_slice(out, json_read_take(r).text);
        return;
    }
    json_read_enter(r);
    buf_add_char(out, type == JSON_OBJECT ? '{' : '[');
    while (type == JSON_OBJECT ? json_read_member(r, &key) : json_read_element(r)) {
        if (type == JSON_OBJECT)
            buf_add_slice(out, key.text);
        rewrite(r, room, out);
        buf_add_char(out, ',');
    }
    buf_add_char(out, '}');
}

static void
rewrite_checked(struct json v, struct buf *out)
{
    if (v.type == JSON_STRING) {
        struct buf text = BUF_INIT;
        bool means = json_decode(v, &text, NULL) == 0;
        buf_add_string(out, means ? "" : "<half>");
        json_write_string(out, buf_slice(&text));
        buf_clean_up(&text);
        return;
    }
    if (v.type != JSON_OBJECT && v.type != JSON_ARRAY) {
        buf_add_slice(out, v.text);
        return;
    }
    buf_add_char(out, v.type == JSON_OBJECT ? '{' : '[');
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        if (v.type == JSON_OBJECT)
            buf_add_slice(out, it.key.text);
        rewrite_checked(it.value, out);
        buf_add_char(out, ',');
    }
    buf_add_char(out, '}');
}

/* The reader must say of a text what json_parse says, and give the same. True: it is valid. The text and the room for
 * decoding are blocks of exactly that size, so that a byte too far is seen by the sanitizers. */
static bool
agrees(struct slice text)
{
    char *copy = malloc(text.n > 0 ? text.n : 1), *room = malloc(text.n > 0 ? text.n : 1);
    struct buf read = BUF_INIT, checked = BUF_INIT;
    struct err e = {0}, expected = {0};
    struct json v;
    if (text.n > 0)
        memcpy(copy, text.p, text.n);
    int parsed = json_parse(slice_of(copy, text.n), &v, &expected);
    struct json_reader r = json_reader(slice_of(copy, text.n));
    rewrite(&r, room, &read);
    int rc = json_read_end(&r, &e);
    if (rc != parsed || strcmp(e.text, expected.text) != 0)
        fail_msg("%.*s: \"%s\" where json_parse says \"%s\"", SLICE_ARG(text), e.text, expected.text);
    if (parsed == 0) {
        rewrite_checked(v, &checked);
        assert_true(slice_equals(buf_slice(&read), buf_slice(&checked)));
    }
    buf_clean_up(&read);
    buf_clean_up(&checked);
    free(room);
    free(copy);
    return parsed == 0;
}

static void
what_is_valid_is_read_as_json_parse_reads_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",
        " true ",
        "\"\"",
        "\"plain text of more than eight bytes\"",
        "\"\\u0000\\ud83d\\ude00 \\\"quoted\\\" \\/ \\b\\f\\n\\r\\t\"",
        "\"half \\ud83d of a pair\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\x7f and the rest\"",
        "{}",
        "[ ]",
        "[1,[2,[]],{}]",
        "{ \"a\" : [ 1.10 , 1e400 ] , \"a\" : { \"\\u0061\" : null } }",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(agrees(slice_of_string(texts[i])));
}

static void
what_is_broken_is_refused_in_json_parses_words(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",          " \n ",       "{",           "[",           "[1",         "[1,",      "[1,]",
        "[,1]",      "{\"a\"",     "{\"a\":",     "{\"a\":1",    "{\"a\":1,}", "{,}",      "{1:2}",
        "{\"a\" 1}", "{\"a\":1]",  "[1}",         "[1 2]",       "\"",         "\"abc",    "\"abcdefgh",
        "\"a\\",     "\"\\x\"",    "\"\\u12\"",   "\"\\u12g4\"", "\"\x01\"",   "\"\xff\"", "\"\xc3\"",
        "nul",       "nullnull",   "1 2",         "[] []",       "01",         "1.",       "\xef\xbb\xbf{}",
        "]",         "[\"a\\\"b]", "{\"a\":tru}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(agrees(slice_of_string(texts[i])));
}

static void
too_deep_a_value_is_refused_when_it_is_taken(void **state)
{
    (void)state;
    struct buf deep = BUF_INIT;
    struct err e = {0};
    for (int i = 0; i <= JSON_MAX_DEPTH; i++)
        buf_add_char(&deep, '[');
    struct json_reader r = json_reader(buf_slice(&deep));
    assert_int_equal(json_read_take(&r).text.n, 0);
    assert_int_equal(json_read_type(&r), JSON_NULL);
    assert_int_equal(json_read_end(&r, &e), ERR_LIMIT);
    buf_clean_up(&deep);
}

/* As json_parse counts: what was entered, and what is inside of a value that is taken. */
static void
depth_counts_from_the_start_of_the_text(void **state)
{
    (void)state;
    for (int entered = 0; entered < JSON_MAX_DEPTH; entered += 73) {
        for (int deep = JSON_MAX_DEPTH; deep <= JSON_MAX_DEPTH + 1; deep++) {
            struct buf text = BUF_INIT;
            struct json v;
            struct err e = {0};
            for (int i = 0; i < deep; i++)
                buf_add_char(&text, '[');
            for (int i = 0; i < deep; i++)
                buf_add_char(&text, ']');
            struct json_reader r = json_reader(buf_slice(&text));
            for (int i = 0; i < entered; i++) {
                json_read_enter(&r);
                json_read_element(&r);
            }
            json_read_take(&r);
            for (int i = 0; i < entered; i++)
                json_read_element(&r);
            int rc = json_read_end(&r, &e);
            assert_int_equal(rc, deep > JSON_MAX_DEPTH ? ERR_LIMIT : 0);
            assert_int_equal(rc, json_parse(buf_slice(&text), &v, NULL));
            buf_clean_up(&text);
        }
    }
    struct buf text = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        buf_add_char(&text, '[');
    struct json_reader r = json_reader(buf_slice(&text));
    int entered = 0;
    for (; entered < 100000 && !json_read_has_failed(&r); entered++) {
        json_read_enter(&r);
        json_read_element(&r);
    }
    assert_int_equal(entered, JSON_MAX_DEPTH + 1);
    assert_int_equal(json_read_end(&r, NULL), ERR_LIMIT);
    buf_clean_up(&text);
}

static void
after_a_fault_there_is_nothing_more(void **state)
{
    (void)state;
    char room[64];
    struct slice text;
    struct json key;
    struct err e = {0};
    struct json_reader r = json_reader(SLICE("{\"a\":[tru],\"b\":\"c\"}"));
    json_read_enter(&r);
    assert_true(json_read_member(&r, &key));
    json_read_enter(&r);
    assert_true(json_read_element(&r));
    json_read_take(&r);
    assert_false(json_read_element(&r));
    assert_false(json_read_member(&r, &key));
    assert_false(json_read_text(&r, room, &text));
    assert_int_equal(text.n, 0);
    assert_int_equal(json_read_type(&r), JSON_NULL);
    json_read_enter(&r);
    assert_int_equal(json_read_end(&r, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "column 7"));
}

static void
a_text_without_escapes_is_not_copied(void **state)
{
    (void)state;
    char room[64];
    struct slice text, whole = SLICE("[\"in place\",\"c\\u006fpied\"]");
    struct json_reader r = json_reader(whole);
    json_read_enter(&r);
    assert_true(json_read_element(&r));
    assert_true(json_read_text(&r, room, &text));
    assert_ptr_equal(text.p, whole.p + 2);
    assert_true(json_read_element(&r));
    assert_true(json_read_text(&r, room, &text));
    assert_ptr_equal(text.p, room);
    assert_true(slice_equals_string(text, "copied"));
    assert_false(json_read_element(&r));
    assert_int_equal(json_read_end(&r, NULL), 0);
}

static uint64_t
next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Pieces in any order: most are broken, many nearly right. */
static void
random_texts_are_judged_alike(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":",
        "\"b\\n\"",
        "\"\\ud800\"",
        "1",
        "-0.5",
        "\\\"",
        "\\",
        "\\u0",
        "true",
        "null",
        "\xc3\xa9",
        "\xff",
        " ",
        "\n",
        "text text text",
        "[1]",
        "{\"k\":",
        "\"v\"}",
    };
    uint64_t random = 20261121;
    size_t valid = 0;
    for (int round = 0; round < 200000; round++) {
        char text[256] = "";
        size_t n = 0;
        for (uint64_t k = next_random(&random) % 9; k > 0; k--)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s",
                                  pieces[next_random(&random) % (sizeof pieces / sizeof *pieces)]);
        valid += agrees(slice_of(text, n));
    }
    assert_true(valid > 2000);
}

/* Every escape and character at every distance from the ends of the eight bytes that are looked at together, and every
 * truncation. */
static void
strings_are_read_alike_at_every_alignment(void **state)
{
    (void)state;
    static const char *const items[] = {"\\\"", "\\u00e9", "\\ud83d\\ude00", "\xe2\x82\xac", "\\q", "\x02", "\""};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        for (int before = 0; before < 18; before++) {
            for (int after = 0; after < 18; after++) {
                char text[96];
                int n = snprintf(text, sizeof text, "\"%.*s%s%.*s\"", before, "abcdefghijklmnopqr", items[i], after,
                                 "ABCDEFGHIJKLMNOPQR");
                for (int cut = 0; cut <= n; cut += before % 3 == 0 ? 1 : n)
                    agrees(slice_of(text, (size_t)(n - cut)));
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_valid_is_read_as_json_parse_reads_it),
        cmocka_unit_test(what_is_broken_is_refused_in_json_parses_words),
        cmocka_unit_test(too_deep_a_value_is_refused_when_it_is_taken),
        cmocka_unit_test(depth_counts_from_the_start_of_the_text),
        cmocka_unit_test(after_a_fault_there_is_nothing_more),
        cmocka_unit_test(a_text_without_escapes_is_not_copied),
        cmocka_unit_test(random_texts_are_judged_alike),
        cmocka_unit_test(strings_are_read_alike_at_every_alignment),
    };
    return cmocka_run_group_tests_name("json_read", tests, NULL, NULL);
}
