#include "event/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/shared.h"
#include "lib/skip.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof *(a))

#define WHOLE                                                                                                          \
    "{\"version\":\"0\",\"id\":\"7bf73129-1428-4cd3-a780-95db273d1602\",\"detail-type\":\"BufferedEvent\","            \
    "\"source\":\"buffer.source\",\"account\":\"000000000000\",\"time\":\"2026-11-20T06:00:00Z\","                     \
    "\"region\":\"us-east-1\",\"resources\":[\"arn:aws:x\"],\"detail\":{\"user_id\": 123}}"

static void
assert_text(struct json v, const char *text)
{
    if (!slice_equals_string(v.text, text))
        fail_msg("%.*s is not %s", SLICE_ARG(v.text), text);
}

static struct event_envelope
parsed(struct slice text)
{
    struct event_envelope v;
    struct err e = {0};
    if (event_envelope_parse(text, &v, &e) != 0)
        fail_msg("%s: %.*s", e.text, SLICE_ARG(text));
    return v;
}

/* The envelope WHOLE with other resources. */
static struct event_envelope
with_resources(const char *resources)
{
    static char text[1000];
    snprintf(text, sizeof text,
             "{\"id\":\"a\",\"detail-type\":\"b\",\"source\":\"c\",\"account\":\"d\",\"time\":\"e\",\"region\":\"f\","
             "\"resources\":%s,\"detail\":{}}",
             resources);
    return parsed(slice_of_string(text));
}

static void
every_field_is_the_text_it_was_written_as(void **state)
{
    (void)state;
    struct event_envelope v = parsed(SLICE(WHOLE));
    assert_text(v.event, WHOLE);
    assert_text(v.id, "\"7bf73129-1428-4cd3-a780-95db273d1602\"");
    assert_text(v.detail_type, "\"BufferedEvent\"");
    assert_text(v.source, "\"buffer.source\"");
    assert_text(v.account, "\"000000000000\"");
    assert_text(v.time, "\"2026-11-20T06:00:00Z\"");
    assert_text(v.region, "\"us-east-1\"");
    assert_text(v.resources, "[\"arn:aws:x\"]");
    assert_text(v.detail, "{\"user_id\": 123}");
    assert_null(v.replay_name.text.p);

    struct slice raw = json_raw(v.source);
    assert_true(slice_equals(raw, SLICE("buffer.source")) && json_is_plain(v.source));
}

static void
order_white_space_escapes_and_unknown_fields_do_not_matter(void **state)
{
    (void)state;
    struct event_envelope v = parsed(
        SLICE("\n{ \"det\\u0061il\" : [1.10, \"a\\u0000b\"] , \"resources\":[ ], "
              "\"replay-name\":\"nightly\",\"x\":{\"id\":1},"
              "\"region\":\"r\",\"time\":\"t\",\"account\":\"\",\"source\":\"s\\/1\",\"detail-type\":\"\\\"q\\\"\","
              "\"id\":\"first\",\"id\":\"last\"}"));
    assert_text(v.detail, "[1.10, \"a\\u0000b\"]");
    assert_text(v.id, "\"last\"");
    assert_text(v.replay_name, "\"nightly\"");
    struct buf b = BUF_INIT;
    assert_int_equal(json_decode(v.detail_type, &b, NULL), 0);
    assert_string_equal(b.data, "\"q\"");
    buf_clean_up(&b);
}

static void
what_is_missing_or_of_the_wrong_type_is_named(void **state)
{
    (void)state;
    static const char *const REQUIRED[] = {"id",   "detail-type", "source",    "account",
                                           "time", "region",      "resources", "detail"};
    for (size_t i = 0; i < N_ELEMENTS(REQUIRED); i++) {
        for (int null = 0; null < 2; null++) {
            struct event_envelope v = {.id.type = JSON_BOOL};
            struct err e = {0};
            struct buf b = BUF_INIT;
            char expected[200];
            for (size_t k = 0; k < N_ELEMENTS(REQUIRED); k++) {
                const char *value = k == 6 ? "[]" : k == 7 ? "{}" : "\"x\"";
                if (k == i && !null)
                    continue;
                buf_add_format(&b, "%c\"%s\":%s", b.len ? ',' : '{', REQUIRED[k], k == i ? "null" : value);
            }
            buf_add_char(&b, '}');
            int rc = event_envelope_parse(buf_slice(&b), &v, &e);
            if (i == 7 && null) {
                assert_int_equal(rc, 0);
            } else {
                snprintf(expected, sizeof expected,
                         !null    ? "event envelope: \"%s\" is missing"
                         : i == 6 ? "event envelope: \"%s\" must be an array, not null"
                                  : "event envelope: \"%s\" must be a string, not null",
                         REQUIRED[i]);
                assert_int_equal(rc, ERR_INVALID);
                assert_string_equal(e.text, expected);
                assert_true(v.id.type == JSON_BOOL && !v.event.text.p);
            }
            buf_clean_up(&b);
        }
    }
}

static void
anything_but_an_envelope_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
        int code;
    } CASES[] = {
        {"", "event envelope: JSON, line 1, column 1 (byte offset 0): expected a value, found the end of the text",
         ERR_INVALID},
        {"{\"id\":1",
         "event envelope: JSON, line 1, column 8 (byte offset 7): expected ',' or '}', found the end of the text",
         ERR_INVALID},
        {"[]", "event envelope: must be an object, not an array", ERR_INVALID},
        {"\"text\"", "event envelope: must be an object, not a string", ERR_INVALID},
        {"{}", "event envelope: \"id\" is missing", ERR_INVALID},
    };
    struct event_envelope v;
    struct err e;
    for (size_t i = 0; i < N_ELEMENTS(CASES); i++) {
        assert_int_equal(event_envelope_parse(slice_of_string(CASES[i].text), &v, &e), CASES[i].code);
        assert_string_equal(e.text, CASES[i].error);
    }
    struct buf deep = BUF_INIT;
    for (int i = 0; i < 600; i++)
        buf_add_string(&deep, "{\"id\":");
    assert_int_equal(event_envelope_parse(buf_slice(&deep), &v, &e), ERR_LIMIT);
    buf_clean_up(&deep);
}

static void
resources_must_be_strings(void **state)
{
    (void)state;
    struct event_envelope v;
    struct err e;
    assert_int_equal(event_envelope_parse(
                         SLICE("{\"id\":\"a\",\"detail-type\":\"b\",\"source\":\"c\",\"account\":\"d\",\"time\":\"e\","
                               "\"region\":\"f\",\"resources\":[\"x\",{}],\"detail\":{}}"),
                         &v, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "event envelope: \"resources\" must hold strings, but no. 2 is an object");
}

static void
a_written_envelope_is_compact_and_in_eventbridges_order(void **state)
{
    (void)state;
    static const struct slice RESOURCES[] = {SLICE("arn:aws:x"), SLICE("a\"b")};
    struct event_fields f = {
        .id = SLICE("7bf73129-1428-4cd3-a780-95db273d1602"),
        .detail_type = SLICE("line\nbreak caf\xc3\xa9"),
        .source = SLICE("buffer.source"),
        .account = SLICE("000000000000"),
        .time_ms = INT64_C(1795154400999),
        .region = SLICE("us-east-1"),
        .detail = SLICE("{}"),
    };
    struct buf b = BUF_INIT;
    event_envelope_write(&b, &f);
    assert_string_equal(b.data,
                        "{\"version\":\"0\",\"id\":\"7bf73129-1428-4cd3-a780-95db273d1602\",\"detail-type\":"
                        "\"line\\nbreak caf\xc3\xa9\",\"source\":\"buffer.source\",\"account\":\"000000000000\","
                        "\"time\":\"2026-11-20T06:00:00Z\",\"region\":\"us-east-1\",\"resources\":[],\"detail\":{}}");
    f.replay_name = SLICE("nightly");
    f.resources = RESOURCES;
    f.n_resources = 2;
    buf_reset(&b);
    event_envelope_write(&b, &f);
    assert_non_null(
        strstr(b.data, ",\"region\":\"us-east-1\",\"replay-name\":\"nightly\",\"resources\":[\"arn:aws:x\",\"a\\\"b\"],"
                       "\"detail\":{}}"));
    struct event_envelope v = parsed(buf_slice(&b));
    int64_t at_ms = 0;
    assert_int_equal(event_envelope_time_ms(&v, &at_ms, NULL), 0);
    assert_true(at_ms == INT64_C(1795154400000));
    buf_clean_up(&b);
}

static void
detail_goes_through_byte_for_byte(void **state)
{
    (void)state;
    static const char *const DETAILS[] = {
        "{\"n\":9007199254740993}",
        "{\"n\":1.10}",
        "{\"n\":1e400}",
        "{\"s\":\"a\\u0000b\"}",
        "{ \"white\" :\n\t[ 1 , 2 ] }",
        "{\"dup\":1,\"dup\":2,\"\\u00e9\\/\":\"\\ud834\"}",
        "{\"caf\xc3\xa9\":\"\xf0\x9d\x84\x9e\"}",
        "{}",
    };
    for (size_t i = 0; i < N_ELEMENTS(DETAILS); i++) {
        struct buf b = BUF_INIT;
        event_envelope_write(&b, &(struct event_fields){.id = SLICE("a"), .detail = slice_of_string(DETAILS[i])});
        assert_text(parsed(buf_slice(&b)).detail, DETAILS[i]);
        buf_clean_up(&b);
    }
}

static void
real_events_go_through_byte_for_byte(void **state)
{
    (void)state;
    struct buf file = BUF_INIT, detail = BUF_INIT, envelope = BUF_INIT;
    if (!shared_read("data/events/aws-samples.ndjson", &file))
        skip_because("no data/events/aws-samples.ndjson beside the repository");
    struct slice rest = buf_slice(&file);
    struct json entry, value;
    int n = 0;
    for (; json_parse_first(rest, &entry, &rest, NULL) == 0; n++) {
        buf_reset(&detail);
        buf_reset(&envelope);
        assert_true(json_get(entry, "Detail", &value));
        assert_int_equal(json_decode(value, &detail, NULL), 0);
        assert_true(json_get(entry, "DetailType", &value));
        event_envelope_write(
            &envelope,
            &(struct event_fields){.id = SLICE("a"), .detail_type = json_raw(value), .detail = buf_slice(&detail)});
        assert_true(slice_equals(parsed(buf_slice(&envelope)).detail.text, buf_slice(&detail)));
    }
    assert_true(n > 0 && rest.n < 2);
    buf_clean_up(&file);
    buf_clean_up(&detail);
    buf_clean_up(&envelope);
}

static void
a_time_that_is_none_is_named(void **state)
{
    (void)state;
    int64_t at_ms = 42;
    struct err e;
    struct event_envelope v = with_resources("[]");
    assert_int_equal(event_envelope_time_ms(&v, &at_ms, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "event envelope: \"time\""));
    assert_true(at_ms == 42);
}

static void
a_replay_mark_counts_only_with_a_job_behind_it(void **state)
{
    (void)state;
    static const struct {
        const char *resources;
        bool replay;
    } CASES[] = {
        {"[]", false},
        {"[\"arn:aws:x\",\"urn:fanout:event:1\"]", false},
        {"[\"arn:aws:x\",\"urn:fanout:replay:nightly\"]", true},
        {"[\"urn:fanout:replay\\u003anightly\"]", true},
        {"[\"urn:fanout:replay:\"]", false},
        {"[\"xurn:fanout:replay:nightly\"]", false},
    };
    for (size_t i = 0; i < N_ELEMENTS(CASES); i++) {
        struct event_envelope v = with_resources(CASES[i].resources);
        assert_true(event_envelope_is_replay(&v) == CASES[i].replay);
    }
}

static void
the_original_id_is_what_follows_the_first_id_mark(void **state)
{
    (void)state;
    static const struct {
        const char *resources, *id;
    } CASES[] = {
        {"[]", NULL},
        {"[\"arn:aws:x\",\"urn:fanout:replay:j\"]", NULL},
        {"[\"urn:fanout:event:\"]", NULL},
        {"[\"urn:fanout:event:\\u0061\"]", NULL},
        {"[\"urn:fanout:replay:j\",\"urn:fanout:event:7bf73129-1428\"]", "7bf73129-1428"},
        {"[\"urn:fanout:event:\",\"urn:fanout:event:1\",\"urn:fanout:event:2\"]", "1"},
    };
    for (size_t i = 0; i < N_ELEMENTS(CASES); i++) {
        struct event_envelope v = with_resources(CASES[i].resources);
        struct slice id = SLICE("kept");
        assert_true(event_envelope_original_id(&v, &id) == (CASES[i].id != NULL));
        assert_true(slice_equals_string(id, CASES[i].id ? CASES[i].id : "kept"));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_the_text_it_was_written_as),
        cmocka_unit_test(order_white_space_escapes_and_unknown_fields_do_not_matter),
        cmocka_unit_test(what_is_missing_or_of_the_wrong_type_is_named),
        cmocka_unit_test(anything_but_an_envelope_is_refused),
        cmocka_unit_test(resources_must_be_strings),
        cmocka_unit_test(a_written_envelope_is_compact_and_in_eventbridges_order),
        cmocka_unit_test(detail_goes_through_byte_for_byte),
        cmocka_unit_test(real_events_go_through_byte_for_byte),
        cmocka_unit_test(a_time_that_is_none_is_named),
        cmocka_unit_test(a_replay_mark_counts_only_with_a_job_behind_it),
        cmocka_unit_test(the_original_id_is_what_follows_the_first_id_mark),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
