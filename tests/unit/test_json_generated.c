/* Texts drawn at random, whole, cut and damaged. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/parsed.h"
#include "lib/rounds.h"
#include "lib/xorshift.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

/* Writes a random valid text twice: with random white space, and without any. */
static void
generate_space(uint64_t *random, struct buf *spaced)
{
    for (uint64_t n = xorshift_next(random) % 6; n > 3; n--)
        buf_add_char(spaced, " \t\r\n"[xorshift_next(random) % 4]);
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
    for (uint64_t n = xorshift_next(random) % 8; n > 0; n--)
        generate_both(spaced, compact, PIECES[xorshift_next(random) % N_ELEMENTS(PIECES)]);
    generate_both(spaced, compact, "\"");
}

static void
generate_value(uint64_t *random, unsigned depth, struct buf *spaced, struct buf *compact)
{
    static const char *const SCALARS[] = {
        "null", "true", "false", "0", "-0", "1.10", "1e400", "9007199254740993", "-12.50E-03", "1e+9", "123",
    };
    uint64_t kind = xorshift_next(random) % (depth > 6 ? 4 : 10);
    if (kind < 2) {
        generate_both(spaced, compact, SCALARS[xorshift_next(random) % N_ELEMENTS(SCALARS)]);
        return;
    }
    if (kind < 4) {
        generate_string(random, spaced, compact);
        return;
    }
    bool object = kind < 8;
    generate_both(spaced, compact, object ? "{" : "[");
    generate_space(random, spaced);
    for (uint64_t n = xorshift_next(random) % 5, i = 0; i < n; i++) {
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
    size_t objects = 0, bytes = 0, n = rounds_of(20000);
    for (uint64_t seed = 1; seed <= n; seed++) {
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
        if (parsed_copy(buf_slice(&spaced), &copy, &v, &e) != 0)
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
    assert_true(objects > n / 4 && bytes > n * 50);
    buf_clean_up(&spaced);
    buf_clean_up(&compact);
    buf_clean_up(&out);
}

static void
no_truncation_of_an_object_or_array_is_accepted(void **state)
{
    (void)state;
    struct buf spaced = BUF_INIT, compact = BUF_INIT;
    size_t tried = 0, texts = rounds_of(1000);
    for (uint64_t seed = 1; seed <= texts; seed++) {
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15);
        buf_reset(&spaced);
        buf_reset(&compact);
        generate_value(&random, 0, &spaced, &compact);
        if (spaced.data[0] != '{' && spaced.data[0] != '[')
            continue;
        for (size_t n = 0; n < spaced.len && n < 2000; n += n < 200 ? 1 : 13, tried++)
            if (parsed_code(slice_of(spaced.data, n)) != ERR_INVALID)
                fail_msg("seed %llu cut at %zu: %s", (unsigned long long)seed, n, spaced.data);
    }
    assert_true(tried > texts * 20);
    buf_clean_up(&spaced);
    buf_clean_up(&compact);
}

static void
damaged_texts_are_refused_or_still_sound(void **state)
{
    (void)state;
    struct buf spaced = BUF_INIT, compact = BUF_INIT, out = BUF_INIT;
    uint64_t random = 2026;
    size_t refused = 0, accepted = 0, rounds = rounds_of(50000);
    for (size_t round = 0; round < rounds; round++) {
        buf_reset(&spaced);
        buf_reset(&compact);
        buf_reset(&out);
        generate_value(&random, 2, &spaced, &compact);
        spaced.data[xorshift_next(&random) % spaced.len] = (char)xorshift_next(&random);
        char *copy;
        struct json v;
        if (parsed_copy(buf_slice(&spaced), &copy, &v, NULL) == 0) {
            accepted++;
            rebuild_by_iteration(v, &out);
            assert_int_equal(parsed_code(buf_slice(&out)), 0);
        } else {
            refused++;
        }
        free(copy);
    }
    assert_true(refused > rounds / 50 && accepted > rounds / 50);
    buf_clean_up(&spaced);
    buf_clean_up(&compact);
    buf_clean_up(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_texts_parse_and_come_out_byte_for_byte),
        cmocka_unit_test(no_truncation_of_an_object_or_array_is_accepted),
        cmocka_unit_test(damaged_texts_are_refused_or_still_sound),
    };
    return cmocka_run_group_tests_name("json_generated", tests, NULL, NULL);
}
