/* What PutEvents of fanout-local takes, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/event_bus.h"
#include "lib/queue_take.h"
#include "lib/s3_call.h"

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void
each_entry_fails_by_itself(void **state)
{
    (void)state;
    assert_int_equal(
        event_bus_put("{\"DetailType\":\"d\",\"Detail\":\"{}\"},"
                      "{\"Source\":\"\",\"DetailType\":\"d\",\"Detail\":\"{}\"},"
                      "{\"Source\":\"s\",\"Detail\":\"{}\"},"
                      "{\"Source\":\"s\",\"DetailType\":\"d\"},"
                      "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"{\"},"
                      "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"[]\"},"
                      "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"{} {}\"},"
                      "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":\"{},\\\"x\\\":{}\"},"
                      "{\"Source\":\"s\",\"DetailType\":\"d\",\"Detail\":null},"
                      "{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"sent\\\"}\","
                      "\"EventBusName\":\"bus\"}"),
        200);
    event_bus_assert_count_failed("9");
    event_bus_assert_failed(0, "InvalidArgument",
                            "Parameter Source is not valid. Reason: Source is a required argument.");
    event_bus_assert_failed(1, "InvalidArgument",
                            "Parameter Source is not valid. Reason: Source is a required argument.");
    event_bus_assert_failed(2, "InvalidArgument",
                            "Parameter DetailType is not valid. Reason: DetailType is a required argument.");
    event_bus_assert_failed(3, "InvalidArgument",
                            "Parameter Detail is not valid. Reason: Detail is a required argument.");
    for (int i = 4; i <= 7; i++)
        event_bus_assert_failed(i, "MalformedDetail", "Detail is malformed.");
    event_bus_assert_failed(8, "InvalidArgument",
                            "Parameter Detail is not valid. Reason: Detail is a required argument.");
    event_bus_assert_takes_id("literal", event_bus_event_id(9));
    queue_assert_empty(event_bus_url, "literal");
}

/* A detail of objects in each other: depth of them. */
static char *
nested_detail(size_t depth)
{
    struct buf text = BUF_INIT;
    for (size_t i = 1; i < depth; i++)
        buf_add_string(&text, "{\\\"a\\\":");
    buf_add_string(&text, "{}");
    for (size_t i = 1; i < depth; i++)
        buf_add_char(&text, '}');
    return buf_take(&text);
}

static void
a_detail_nests_as_deep_as_its_envelope_can_be_read(void **state)
{
    (void)state;
    static const char FORMAT[] =
        "{\"Source\":\"captured\",\"DetailType\":\"d\",\"Detail\":\"%s\",\"EventBusName\":\"bus\"}";
    for (size_t depth = JSON_MAX_DEPTH - 2; depth <= JSON_MAX_DEPTH + 2; depth++) {
        char *detail = nested_detail(depth);
        assert_int_equal(event_bus_put(FORMAT, detail), 200);
        free(detail);
        if (depth < JSON_MAX_DEPTH) {
            event_bus_assert_takes_id("captured", event_bus_event_id(0));
        } else {
            event_bus_assert_failed(0, "MalformedDetail", "Detail is malformed.");
            queue_assert_empty(event_bus_url, "captured");
        }
    }
}

static void
what_is_no_put_events_call_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const char MANY[] = "1 validation error detected: Value '[11 entries]' at 'entries' failed to satisfy "
                               "constraint: Member must have length less than or equal to 10";
    struct buf body = BUF_INIT;
    event_bus_assert_refused("", "SerializationException", "");
    event_bus_assert_refused("[]", "SerializationException", "");
    event_bus_assert_refused("{\"Entries\":[}", "SerializationException", "");
    event_bus_assert_refused("{}", "ValidationException", "1 validation error detected: Value null at 'entries'");
    event_bus_assert_refused("{\"Entries\":null}", "ValidationException",
                             "1 validation error detected: Value null at 'entries'");
    event_bus_assert_refused("{\"Entries\":[]}", "ValidationException", "1 validation error detected");
    event_bus_assert_refused("{\"Entries\":{}}", "SerializationException", "Entries is no list");
    event_bus_assert_refused("{\"Entries\":[1]}", "SerializationException", "an entry is no object");
    event_bus_assert_refused("{\"Entries\":[{\"Source\":1}]}", "SerializationException", "");
    event_bus_assert_refused("{\"Entries\":[{\"Source\":\"\\ud83d\"}]}", "SerializationException", "");
    event_bus_assert_refused("{\"Entries\":[{\"Time\":\"2025-11-20T06:00:00Z\"}]}", "SerializationException",
                             "Time is no timestamp");
    event_bus_assert_refused("{\"Entries\":[{\"Time\":-1}]}", "SerializationException", "Time is no timestamp");
    event_bus_assert_refused("{\"Entries\":[{\"Time\":1e400}]}", "SerializationException", "Time is no timestamp");
    event_bus_assert_refused("{\"Entries\":[{\"Resources\":\"x\"}]}", "SerializationException", "Resources is no list");
    event_bus_assert_refused("{\"Entries\":[{\"Resources\":[1]}]}", "SerializationException",
                             "Resources holds something");
    buf_add_string(&body, "{\"Entries\":[");
    for (int i = 0; i < 11; i++)
        buf_add_format(&body,
                       "%s{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\","
                       "\"EventBusName\":\"bus\"}",
                       i > 0 ? "," : "");
    buf_add_string(&body, "]}");
    event_bus_assert_refused(body.data, "ValidationException", MANY);
    queue_assert_empty(event_bus_url, "literal");
    buf_clean_up(&body);
}

/* What the model of the service bounds; the words are those recorded of other calls with such members. */
static void
what_the_model_forbids_is_refused_as_a_whole(void **state)
{
    (void)state;
#define REGEX                                                                                                          \
    "failed to satisfy constraint: Member must satisfy regular expression pattern: "                                   \
    "(arn:aws[\\w-]*:events:[a-z]+-[a-z]+-[\\w-]+:[0-9]{12}:event-bus\\/)?[\\.\\-_A-Za-z0-9]+"
    static const char *const BAD_BUSES[] = {"my bus",
                                            "a/b",
                                            "arn:aws:events:us-east-1:12:event-bus/bus",
                                            "arn:aws:events:local:000000000000:event-bus/bus",
                                            "arn:aws:events:us-east-1:000000000000:event-bus/",
                                            "arn:aws:sqs:us-east-1:000000000000:bus"};
    static const char *const GOOD_BUSES[] = {"bus", "B.u-s_1", "arn:aws:events:us-east-1:000000000000:event-bus/bus",
                                             "arn:aws-cn:events:cn-north-1:000000000000:event-bus/bus",
                                             "arn:aws-us-gov:events:us-gov-west-1:000000000000:event-bus/bus"};
    char body[5000], expected[1000], resource[2060];
    for (size_t i = 0; i < sizeof BAD_BUSES / sizeof *BAD_BUSES; i++) {
        snprintf(body, sizeof body, "{\"Entries\":[{},{\"EventBusName\":\"%s\"}]}", BAD_BUSES[i]);
        snprintf(expected, sizeof expected,
                 "1 validation error detected: Value '%s' at 'entries.2.member.eventBusName' " REGEX, BAD_BUSES[i]);
        event_bus_assert_refused(body, "ValidationException", expected);
    }
    for (size_t i = 0; i < sizeof GOOD_BUSES / sizeof *GOOD_BUSES; i++) {
        snprintf(body, sizeof body,
                 "{\"Source\":\"nobody.s\",\"DetailType\":\"d\",\"Detail\":\"{}\","
                 "\"EventBusName\":\"%s\"}",
                 GOOD_BUSES[i]);
        assert_int_equal(event_bus_put("%s", body), 200);
    }
    event_bus_assert_refused(
        "{\"Entries\":[{\"EventBusName\":\"\"}]}", "ValidationException",
        "2 validation errors detected: Value '' at 'entries.1.member.eventBusName' " REGEX
        "; Value '' at 'entries.1.member.eventBusName' failed to satisfy constraint: Member must have "
        "length greater than or equal to 1");
    memset(resource, 'r', 2049);
    resource[2049] = '\0';
    snprintf(body, sizeof body, "{\"Entries\":[{\"Resources\":[\"a\",\"%s\"]}]}", resource);
    event_bus_assert_refused(body, "ValidationException", "1 validation error detected: Value 'rrr");
    assert_non_null(strstr(event_bus_aws.message,
                           "' at 'entries.1.member.resources.2.member' failed to satisfy constraint: "
                           "Member must have length less than or equal to 2048"));
    event_bus_assert_refused(
        "{\"Entries\":[{\"TraceHeader\":\"\"}]}", "ValidationException",
        "1 validation error detected: Value '' at 'entries.1.member.traceHeader' failed to satisfy "
        "constraint: Member must have length greater than or equal to 1");
#undef REGEX
}

static void
of_a_member_given_twice_the_last_counts(void **state)
{
    (void)state;
    assert_int_equal(event_bus_put("{\"Source\":\"x\",\"Source\":\"captured\",\"DetailType\":\"d\",\"Detail\":\"{}\","
                                   "\"Resources\":[\"a\",\"b\",\"c\"],\"Resources\":[\"d\"],\"EventBusName\":\"bus\"}"),
                     200);
    char *body = queue_take_body(event_bus_url, "captured");
    assert_non_null(strstr(body, "\"resources\":[\"d\"]"));
    free(body);
}

/* Two entries whose sizes, as AWS counts them, add up to bytes: 14 for the Time and what the texts have. */
static int
put_of_size(size_t bytes)
{
    struct buf body = BUF_INIT;
    size_t fixed = 2 * (strlen("x") + strlen("d") + strlen("{\"f\":\"\"}")) + 14 + strlen("\xc3\xa9");
    buf_add_string(&body, "{\"Entries\":[{\"Source\":\"x\",\"DetailType\":\"d\",\"Detail\":\"{\\\"f\\\":\\\"\\\"}\","
                          "\"Time\":1763618400,\"Resources\":[\"\\u00e9\"]},{\"Source\":\"x\",\"DetailType\":\"d\","
                          "\"Detail\":\"{\\\"f\\\":\\\"");
    for (size_t i = fixed; i < bytes; i++)
        buf_add_char(&body, 'f');
    buf_add_string(&body, "\\\"}\"}]}");
    int status = event_bus_put_body(buf_slice(&body));
    buf_clean_up(&body);
    return status;
}

static void
a_call_may_be_a_mebibyte_large(void **state)
{
    (void)state;
    assert_int_equal(put_of_size(1048576), 200);
    event_bus_assert_count_failed("0");
    assert_int_equal(put_of_size(1048577), 400);
    assert_string_equal(event_bus_aws.error, "ValidationException");
    assert_string_equal(event_bus_aws.message, "Total size of the entries in the request is over the limit.");
}

static void
a_call_may_be_made_as_small_as_it_was(void **state)
{
    (void)state;
    event_bus_stop(state);
    event_bus_start_with("--put-events-bytes", "262144");
    assert_int_equal(put_of_size(262144), 200);
    assert_int_equal(put_of_size(262145), 400);
    assert_string_equal(event_bus_aws.message, "Total size of the entries in the request is over the limit.");
    event_bus_stop(state);
    event_bus_start_again();
}

static void
an_event_too_large_for_any_queue_is_captured(void **state)
{
    (void)state;
    size_t n = 1048576 - strlen("captured") - strlen("d") - strlen("{\"f\":\"\"}") - 14;
    char *filling = malloc(n + 1), path[200];
    struct s3_answer a;
    assert_non_null(filling);
    memset(filling, 'f', n);
    filling[n] = '\0';
    assert_int_equal(event_bus_put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,"
                                   "\"Detail\":\"{\\\"f\\\":\\\"%s\\\"}\",\"EventBusName\":\"bus\"}",
                                   filling),
                     200);
    event_bus_assert_count_failed("0");
    queue_assert_empty(event_bus_url, "captured");
    snprintf(path, sizeof path, "/archive/raw-events/2025-11-20T06:00:00Z-%s.json", event_bus_event_id(0));
    s3_call(event_bus_url, &(struct s3_request){.method = "GET", .path = path}, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(memmem(a.body.p, a.body.n, filling, n));
    s3_answer_clean_up(&a);
    free(filling);
}

static void
another_operation_and_a_wrong_secret_are_refused(void **state)
{
    (void)state;
    assert_true(aws_call_begin(&event_bus_aws, "events", "AWSEvents.CreateArchive", SLICE("{}")));
    assert_int_equal(aws_call_finish(&event_bus_aws), 400);
    assert_string_equal(event_bus_aws.error, "UnknownOperationException");
    event_bus_aws.secret_access_key = "wrong";
    assert_int_equal(
        event_bus_put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"), 400);
    assert_string_equal(event_bus_aws.error, "InvalidSignatureException");
    event_bus_aws.secret_access_key = "test";
    queue_assert_empty(event_bus_url, "literal");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_entry_fails_by_itself),
        cmocka_unit_test(a_detail_nests_as_deep_as_its_envelope_can_be_read),
        cmocka_unit_test(what_is_no_put_events_call_is_refused_as_a_whole),
        cmocka_unit_test(what_the_model_forbids_is_refused_as_a_whole),
        cmocka_unit_test(of_a_member_given_twice_the_last_counts),
        cmocka_unit_test(a_call_may_be_a_mebibyte_large),
        cmocka_unit_test(another_operation_and_a_wrong_secret_are_refused),
        /* the line that the test before waits for is not written twice in ten seconds */
        cmocka_unit_test(an_event_too_large_for_any_queue_is_captured),
        cmocka_unit_test(a_call_may_be_made_as_small_as_it_was),
    };
    return cmocka_run_group_tests_name("local_events_refused", tests, event_bus_start, event_bus_stop);
}
