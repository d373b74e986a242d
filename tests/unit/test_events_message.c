#include "aws/events_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
assert_encoded(const struct events_entry *entries, size_t n, const char *expected)
{
    struct buf text = BUF_INIT;
    events_message_encode(&text, entries, n);
    assert_false(buf_failed(&text));
    assert_string_equal(text.data, expected);
    buf_clean_up(&text);
}

static void
a_detail_travels_byte_for_byte_as_a_string(void **state)
{
    (void)state;
    const struct events_entry entry = {
        .source = SLICE("buffer.source"),
        .detail_type = SLICE("BufferedEvent"),
        .detail = SLICE("{\"n\": 9007199254740993, \"d\":1.10,\"e\":1e400,\"z\":\"a\\u0000b\",\"u\":\"\xc3\xa9\"}"),
        .bus = SLICE("durable-event-bus")};
    assert_encoded(&entry, 1,
                   "{\"Entries\":[{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\",\"Detail\":"
                   "\"{\\\"n\\\": 9007199254740993, \\\"d\\\":1.10,\\\"e\\\":1e400,\\\"z\\\":\\\"a\\\\u0000b\\\","
                   "\\\"u\\\":\\\"\xc3\xa9\\\"}\",\"EventBusName\":\"durable-event-bus\"}]}");
}

static void
what_an_entry_has_is_sent_and_nothing_else(void **state)
{
    (void)state;
    const struct slice resources[] = {SLICE("urn:fanout:replay:j"), SLICE("urn:fanout:event:\"e\"")};
    const struct events_entry entries[] = {{.source = SLICE("s"), .detail_type = SLICE("t"), .detail = SLICE("{}")},
                                           {.source = SLICE("s"),
                                            .detail_type = SLICE("t"),
                                            .detail = SLICE("{}"),
                                            .resources = resources,
                                            .n_resources = 2,
                                            .time_ms = INT64_C(1795154400000),
                                            .trace_header = SLICE("Root=1")}};
    assert_encoded(entries, 2,
                   "{\"Entries\":[{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\"},"
                   "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{}\",\"Time\":1795154400,\"Resources\":["
                   "\"urn:fanout:replay:j\",\"urn:fanout:event:\\\"e\\\"\"],\"TraceHeader\":\"Root=1\"}]}");
}

static void
a_time_keeps_its_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{INT64_C(1795154400007), "1795154400.007"},
                 {1, "0.001"},
                 {-1, "-0.001"},
                 {-1000, "-1"},
                 {-1500, "-1.500"},
                 {-999, "-0.999"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct events_entry entry = {.detail = SLICE("{}"), .time_ms = cases[i].ms};
        struct buf expected = BUF_INIT;
        buf_add_format(&expected, "{\"Entries\":[{\"Source\":\"\",\"DetailType\":\"\",\"Detail\":\"{}\",\"Time\":%s}]}",
                       cases[i].text);
        assert_encoded(&entry, 1, expected.data);
        buf_clean_up(&expected);
    }
}

/* EventBridge User Guide, "Calculating PutEvents event entry size". */
static void
an_entry_is_counted_as_aws_counts_it(void **state)
{
    (void)state;
    const struct slice resources[] = {SLICE("12345"), SLICE("\xc3\xa9")};
    struct events_entry entry = {.source = SLICE("abc"),
                                 .detail_type = SLICE("de"),
                                 .detail = SLICE("{}"),
                                 .bus = SLICE("not counted"),
                                 .resources = resources,
                                 .n_resources = 2};
    assert_int_equal(events_entry_bytes(&entry), 3 + 2 + 2 + 5 + 2);
    entry.time_ms = 1;
    assert_int_equal(events_entry_bytes(&entry), 3 + 2 + 2 + 5 + 2 + 14);
}

static void
results_belong_to_their_entries(void **state)
{
    (void)state;
    struct events_result r[5];
    size_t failed;
    assert_int_equal(
        events_message_decode(SLICE("{\"FailedEntryCount\":9,\"Entries\":[{\"EventId\":\"e0\"},"
                                    "{\"ErrorCode\":\"ThrottlingException\",\"ErrorMessage\":\"slow down\"},"
                                    "{\"ErrorCode\":\"MalformedDetail\",\"ErrorMessage\":\"Detail is malformed.\"},"
                                    "{\"ErrorCode\":\"InternalFailure\",\"EventId\":null},{}],\"More\":1}"),
                              5, r, &failed, NULL),
        0);
    assert_int_equal(failed, 4);
    assert_string_equal(r[0].event_id, "e0");
    assert_string_equal(r[0].code, "");
    assert_string_equal(r[1].event_id, "");
    assert_string_equal(r[1].code, "ThrottlingException");
    assert_string_equal(r[1].message, "slow down");
    assert_true(r[1].retryable);
    assert_false(r[2].retryable);
    assert_true(r[3].retryable);
    assert_string_equal(r[4].code, "missing");
    assert_true(r[4].retryable);
}

static void
an_answer_that_makes_no_sense_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *says;
    } cases[] = {
        {"", "no JSON object"},
        {"OK", "no JSON object"},
        {"{}", "0 entries for the 2 sent"},
        {"{\"Entries\":[{\"EventId\":\"a\"}]}", "1 entries for the 2 sent"},
        {"{\"Entries\":[{},{},{}]}", "3 entries for the 2 sent"},
        {"{\"Entries\":{}}", "Entries is no array"},
        {"{\"Entries\":[{},7]}", "an entry is no object"},
        {"{\"Entries\":[{\"EventId\":5},{}]}", "EventId is no string"},
        {"{\"Entries\":[{\"ErrorCode\":[]},{}]}", "ErrorCode is no string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct events_result r[2];
        size_t failed = 77;
        struct err e;
        assert_int_equal(events_message_decode(slice_of_string(cases[i].answer), 2, r, &failed, &e), ERR_PROTOCOL);
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].answer, e.text, cases[i].says);
        assert_int_equal(failed, 77);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detail_travels_byte_for_byte_as_a_string),
        cmocka_unit_test(what_an_entry_has_is_sent_and_nothing_else),
        cmocka_unit_test(a_time_keeps_its_milliseconds),
        cmocka_unit_test(an_entry_is_counted_as_aws_counts_it),
        cmocka_unit_test(results_belong_to_their_entries),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_named),
    };
    return cmocka_run_group_tests_name("events_message", tests, NULL, NULL);
}
