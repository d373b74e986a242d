/* What is written is JSON, and reads as what it was. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "lib/parsed.h"
#include "lib/xorshift.h"

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
        size_t n = xorshift_next(&random) % sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(xorshift_next(&random) >> (round % 2 ? 56 : 50));
        buf_reset(&b);
        json_write_string(&b, slice_of(bytes, n));
        assert_int_equal(parsed_code(buf_slice(&b)), 0);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_survives_decoding_and_writing),
        cmocka_unit_test(written_strings_escape_what_must_be),
        cmocka_unit_test(any_bytes_are_written_as_a_valid_string),
        cmocka_unit_test(compact_writing_drops_white_space_outside_strings_only),
    };
    return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
