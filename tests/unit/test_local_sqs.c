/* The parts of local/sqs that are functions of their arguments. */
#include "local/sqs_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local/sqs_dead_letters.h"
#include "local/sqs_shape.h"

static void
assert_slice(struct slice s, const char *expected)
{
    if (!slice_equals_string(s, expected))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), expected);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static void
a_handle_is_read_as_it_was_written_with_the_same_key_alone(void **state)
{
    (void)state;
    const uint8_t key[16] = "0123456789abcde", other[16] = "0123456789abcdf";
    struct lsqs_handle h = {.queue = INT64_MAX, .message = 1234567890123, .receive = UINT32_MAX, .uuid = {1, 2, 3, 4}},
                       read;
    char text[LSQS_HANDLE_TEXT];
    lsqs_write_handle(key, &h, text);
    assert_memory_equal(text, "AQEB", 4);
    assert_true(lsqs_read_handle(key, slice_of_string(text), &read));
    assert_true(read.queue == h.queue && read.message == h.message && read.receive == h.receive);
    assert_memory_equal(read.uuid, h.uuid, 4);
    assert_false(lsqs_read_handle(other, slice_of_string(text), &read));
    for (size_t i = 0; i < strlen(text); i++) {
        char was = text[i];
        assert_false(lsqs_read_handle(key, slice_of(text, i), &read));
        text[i] = was == 'x' ? 'y' : 'x';
        assert_false(lsqs_read_handle(key, slice_of_string(text), &read));
        text[i] = '\xff';
        assert_false(lsqs_read_handle(key, slice_of_string(text), &read));
        text[i] = was;
    }
    assert_false(lsqs_read_handle(key, (struct slice){0}, &read));
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static void
ten_attributes_are_packed_and_eleven_refused(void **state)
{
    (void)state;
    struct lsqs_attribute a[11];
    struct lsqs_list list = {.items = a, .n = 10}, back = {0};
    struct slice all = SLICE("All"), packed, md5 = {0}, names[11];
    struct lsqs_list wanted = {.items = &all, .n = 1};
    char name[11][8];
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    for (int i = 0; i < 11; i++) {
        snprintf(name[i], sizeof name[i], "n%d", 10 - i);
        names[i] = slice_of_string(name[i]);
        a[i] = (struct lsqs_attribute){.name = names[i], .data_type = SLICE("String"), .string_value = SLICE("v")};
    }
    assert_true(lsqs_pack_attributes(&list, &arena, &packed, &e));
    assert_true(lsqs_unpack_attributes(packed, &wanted, &arena, &back, &md5));
    assert_int_equal(back.n, 10);
    assert_int_equal(md5.n, 32);
    const struct lsqs_attribute *sorted = back.items;
    assert_slice(sorted[0].name, "n1");
    assert_slice(sorted[1].name, "n10"); /* by bytes, not by numbers */
    assert_slice(sorted[9].name, "n9");
    list.n = 11;
    assert_false(lsqs_pack_attributes(&list, &arena, &packed, &e));
    assert_int_equal(e.kind, LSQS_INVALID_VALUE);
    arena_clean_up(&arena);
}

static void
types_and_values_must_fit(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *text, *binary;
        bool ok;
    } CASES[] = {
        {"a", "String", "v", NULL, true},        {"a", "String.custom", "v", NULL, true},
        {"a", "Stringy", "v", NULL, false},      {"a", "Number", "-1.5e10", NULL, true},
        {"a", "Number.int", "7", NULL, true},    {"a", "Number", "7 ", NULL, false},
        {"a", "Number", " 7", NULL, false},      {"a", "Number", "0x10", NULL, false},
        {"a", "Number", "nan", NULL, false},     {"a", "Number", "inf", NULL, false},
        {"a", "Binary", NULL, "\x01", true},     {"a", "Binary", "text", NULL, false},
        {"a", "String", NULL, "\x01", false},    {"a", "", "v", NULL, false},
        {"", "String", "v", NULL, false},        {".a", "String", "v", NULL, false},
        {"a.", "String", "v", NULL, false},      {"a.b_c-1", "String", "v", NULL, true},
        {"a b", "String", "v", NULL, false},     {"amazon.x", "String", "v", NULL, false},
        {"Amazonia", "String", "v", NULL, true}, {"a", "String", "v\x01", NULL, false},
        {"a", "String", "both", "both", false},
    };
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct lsqs_attribute a = {.name = slice_of_string(CASES[i].name),
                                   .data_type = slice_of_string(CASES[i].type),
                                   .string_value = slice_of_string(CASES[i].text),
                                   .binary_value = slice_of_string(CASES[i].binary)};
        struct lsqs_list list = {.items = &a, .n = 1};
        struct slice packed;
        struct lsqs_error e = {.kind = LSQS_OK};
        if (lsqs_pack_attributes(&list, &arena, &packed, &e) != CASES[i].ok)
            fail_msg("%s %s %s: %s", CASES[i].name, CASES[i].type, CASES[i].text, e.message);
    }
    arena_clean_up(&arena);
}

/* Every byte and every place: the search by words must find what a search by bytes finds. */
static void
forbidden_characters_are_found_wherever_they_are(void **state)
{
    (void)state;
    struct arena arena;
    char body[40];
    arena_init(&arena, 0);
    for (size_t at = 0; at < 24; at++)
        for (int c = 1; c < 0x80; c++) {
            struct lsqs_error e = {.kind = LSQS_OK};
            memset(body, 'x', 24);
            body[at] = (char)c;
            struct lsqs_send m = {.body = slice_of(body, 24)};
            bool allowed = c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
            assert_int_equal(lsqs_prepare_send(&m, &arena, &e), allowed);
        }
    for (size_t at = 0; at < 20; at++) {
        static const struct {
            const char *text;
            bool ok;
        } LONG[] = {{"\xef\xbf\xbd", true}, {"\xef\xbf\xbe", false}, {"\xef\xbf\xbf", false}, {"\xef\xbb\xbf", true}};
        for (size_t i = 0; i < 4; i++) {
            struct lsqs_error e = {.kind = LSQS_OK};
            memset(body, 'x', 24);
            memcpy(body + at, LONG[i].text, 3);
            struct lsqs_send m = {.body = slice_of(body, 24)};
            assert_int_equal(lsqs_prepare_send(&m, &arena, &e), LONG[i].ok);
        }
    }
    arena_clean_up(&arena);
}

static void
a_messages_length_is_its_body_and_all_of_its_attributes(void **state)
{
    (void)state;
    struct lsqs_attribute a[2] = {
        {.name = SLICE("name"), .data_type = SLICE("Number.x"), .string_value = SLICE("123")},
        {.name = SLICE("b"), .data_type = SLICE("Binary"), .binary_value = SLICE("\x00\x01")}};
    struct lsqs_send m = {.body = SLICE("12345"), .attributes = {.items = a, .n = 2}};
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    assert_true(lsqs_prepare_send(&m, &arena, &e));
    assert_int_equal(m.bytes, 5 + (4 + 8 + 3) + (1 + 6 + 2));
    arena_clean_up(&arena);
}

/* ---- the codec --------------------------------------------------------------------------------------------------- */

static void
a_request_is_decoded_by_its_shape(void **state)
{
    (void)state;
    struct lsqs_send_one r = {0};
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    struct slice body =
        SLICE("{\"Unknown\": [{\"a\": 1}], \"DelaySeconds\": 5.9, \"MessageBody\": \"a\\u0000b\\n\", \"QueueUrl\":"
              " \"u\", \"MessageGroupId\": null, \"MessageAttributes\": {\"n\\u0041\": {\"DataType\": \"Binary\","
              " \"BinaryValue\": \"AAE=\", \"Other\": {}}}, \"DelaySeconds\": 7}");
    if (!lsqs_json_decode(body, &LSQS_SHAPE_SEND, &r, &arena, &e))
        fail_msg("%s", e.message);
    assert_slice(r.queue_url, "u");
    assert_int_equal(r.entry.body.n, 4);
    assert_memory_equal(r.entry.body.p, "a\0b\n", 4);
    assert_true(r.entry.delay_s.given && r.entry.delay_s.value == 7);
    assert_null(r.entry.group_id.p);
    assert_int_equal(r.entry.attributes.n, 1);
    const struct lsqs_attribute *a = r.entry.attributes.items;
    assert_slice(a->name, "nA");
    assert_int_equal(a->binary_value.n, 2);
    assert_null(a->string_value.p);
    arena_clean_up(&arena);
}

/* A list that is there twice once was written beyond its end. */
static void
of_members_with_the_same_name_the_last_counts(void **state)
{
    (void)state;
    struct lsqs_receive r = {0};
    struct lsqs_error e;
    struct arena arena;
    arena_init(&arena, 0);
    struct slice body =
        SLICE("{\"AttributeNames\": [\"a\"], \"QueueUrl\": \"first\", \"AttributeNames\": [\"b\", \"c\", \"d\","
              "\"e\", \"f\", \"g\", \"h\", \"i\", \"j\", \"k\", \"l\", \"m\"], \"QueueUrl\": \"second\"}");
    assert_true(lsqs_json_decode(body, &LSQS_SHAPE_RECEIVE, &r, &arena, &e));
    assert_slice(r.queue_url, "second");
    assert_int_equal(r.attribute_names.n, 12);
    assert_slice(((struct slice *)r.attribute_names.items)[0], "b");
    assert_slice(((struct slice *)r.attribute_names.items)[11], "m");
    arena_clean_up(&arena);
}

static void
a_result_is_encoded_without_what_is_not_given(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    lsqs_json_encode(&LSQS_SHAPE_MESSAGES, &(struct lsqs_messages_result){0}, &out);
    assert_string_equal(out.data, "{}");
    buf_reset(&out);
    lsqs_json_encode(&LSQS_SHAPE_DELETED_BATCH, &(struct lsqs_batch_result){0}, &out);
    assert_string_equal(out.data, "{\"Successful\":[]}");
    struct local_sqs_attribute attribute = {SLICE("SenderId"), SLICE("a\"b")};
    struct lsqs_attribute user = {.name = SLICE("x"), .data_type = SLICE("Binary"), .binary_value = SLICE("\x00\x01")};
    struct lsqs_message m = {.message_id = SLICE("id"),
                             .body = SLICE("\n"),
                             .attributes = {.items = &attribute, .n = 1},
                             .message_attributes = {.items = &user, .n = 1}};
    struct lsqs_messages_result r = {.messages = {.items = &m, .n = 1}};
    buf_reset(&out);
    lsqs_json_encode(&LSQS_SHAPE_MESSAGES, &r, &out);
    assert_string_equal(
        out.data, "{\"Messages\":[{\"MessageId\":\"id\",\"Body\":\"\\n\",\"Attributes\":{\"SenderId\":\"a\\\"b\"},"
                  "\"MessageAttributes\":{\"x\":{\"BinaryValue\":\"AAE=\",\"DataType\":\"Binary\"}}}]}");
    buf_clean_up(&out);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

#define ARN "arn:aws:sqs:us-east-1:000000000000:dead"

static void
a_redrive_policy_is_read_with_its_count_as_number_or_text(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        int64_t count; /* 0: refused */
    } CASES[] = {
        {"{\"deadLetterTargetArn\":\"" ARN "\",\"maxReceiveCount\":3}", 3},
        {"{\"maxReceiveCount\":\"1000\",\"deadLetterTargetArn\":\"" ARN "\"}", 1000},
        {"{\"deadLetterTargetArn\":\"" ARN "\",\"maxReceiveCount\":0}", 0},
        {"{\"deadLetterTargetArn\":\"" ARN "\",\"maxReceiveCount\":1001}", 0},
        {"{\"deadLetterTargetArn\":\"" ARN "\",\"maxReceiveCount\":\"x\"}", 0},
        {"{\"deadLetterTargetArn\":\"" ARN "\"}", 0},
        {"{\"maxReceiveCount\":3}", 0},
        {"{\"deadLetterTargetArn\":5,\"maxReceiveCount\":3}", 0},
        {"[]", 0},
        {"nonsense", 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct lsqs_settings t;
        struct lsqs_error e = {.kind = LSQS_OK};
        lsqs_settings_init(&t);
        t.redrive_policy = strdup(CASES[i].policy);
        bool ok = lsqs_settings_read_redrive(&t, &e);
        if (ok != (CASES[i].count > 0))
            fail_msg("%s: %s", CASES[i].policy, e.message);
        if (ok) {
            assert_int_equal(t.max_receives, CASES[i].count);
            assert_string_equal(t.dead_letter_arn, ARN);
        }
        lsqs_settings_clean_up(&t);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_is_read_as_it_was_written_with_the_same_key_alone),
        cmocka_unit_test(ten_attributes_are_packed_and_eleven_refused),
        cmocka_unit_test(types_and_values_must_fit),
        cmocka_unit_test(forbidden_characters_are_found_wherever_they_are),
        cmocka_unit_test(a_messages_length_is_its_body_and_all_of_its_attributes),
        cmocka_unit_test(a_request_is_decoded_by_its_shape),
        cmocka_unit_test(of_members_with_the_same_name_the_last_counts),
        cmocka_unit_test(a_result_is_encoded_without_what_is_not_given),
        cmocka_unit_test(a_redrive_policy_is_read_with_its_count_as_number_or_text),
    };
    return cmocka_run_group_tests_name("local/sqs parts", tests, NULL, NULL);
}
