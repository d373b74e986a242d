/* The EventBridge of fanout-local: what its rules deliver of events, byte for byte, and what becomes of what cannot be
 * delivered. What PutEvents refuses is in test_local_events_refused.c. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/admin.h"
#include "lib/event_bus.h"
#include "lib/queue_take.h"

#define ARN(queue) "arn:aws:sqs:us-east-1:000000000000:" queue

/* ---- what comes out ---------------------------------------------------------------------------------------------- */

static void
an_event_comes_out_in_aws_s_envelope_and_is_captured_as_it_came_out(void **state)
{
    (void)state;
    char expected[1000];
    assert_int_equal(
        event_bus_put("{\"Source\":\"captured.it\",\"DetailType\":\"a \\\"b\\\" \\u00e9\",\"Time\":1763618400.75,"
                      "\"Resources\":[\"arn:x\",\"say \\\"y\\\"\"],\"Detail\":\"{\\\"k\\\": 1}\","
                      "\"EventBusName\":\"bus\"}"),
        200);
    event_bus_assert_count_failed("0");
    snprintf(expected, sizeof expected,
             "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":\"a \\\"b\\\" \xc3\xa9\",\"source\":\"captured.it\","
             "\"account\":\"000000000000\",\"time\":\"2025-11-20T06:00:00Z\",\"region\":\"us-east-1\","
             "\"resources\":[\"arn:x\",\"say \\\"y\\\"\"],\"detail\":{\"k\": 1}}",
             event_bus_event_id(0));
    char *body = queue_take_body(event_bus_url, "captured");
    assert_string_equal(body, expected);
    event_bus_assert_object("2025-11-20T06:00:00Z", event_bus_event_id(0), expected);
    queue_assert_empty(event_bus_url, "captured");
    free(body);
}

static void
details_come_out_byte_for_byte(void **state)
{
    (void)state;
    static const char *const DETAILS[] = {
        "{\"n\": 9007199254740993}",
        "{\"price\":1.10,\"zero\":-0.0,\"big\":1e400,\"small\":1E-400}",
        "{\"nul\":\"a\\u0000b\",\"slash\":\"\\/\",\"pair\":\"\\ud83d\\ude00\",\"lone\":\"\\ud83d\"}",
        "{\"raw\":\"\xf0\x9f\x98\x80 \xc3\xa9 \x7f\"}",
        " { \"white\" :\t[ 1 , 2,3 ]\r\n, \"a\":1, \"a\":2 } ",
        "{}",
    };
    for (size_t i = 0; i < sizeof DETAILS / sizeof *DETAILS; i++) {
        struct buf quoted = BUF_INIT, expected = BUF_INIT;
        json_write_string(&quoted, slice_of_string(DETAILS[i]));
        assert_int_equal(
            event_bus_put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":%s,"
                          "\"EventBusName\":\"bus\"}",
                          quoted.data),
            200);
        event_bus_assert_count_failed("0");
        buf_add_format(&expected,
                       "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":\"d\",\"source\":\"captured\","
                       "\"account\":\"000000000000\",\"time\":\"2025-11-20T06:00:00Z\",\"region\":\"us-east-1\","
                       "\"resources\":[],\"detail\":%s}",
                       event_bus_event_id(0), DETAILS[i]);
        char *body = queue_take_body(event_bus_url, "captured");
        assert_string_equal(body, expected.data);
        event_bus_assert_object("2025-11-20T06:00:00Z", event_bus_event_id(0), expected.data);
        free(body);
        buf_clean_up(&quoted);
        buf_clean_up(&expected);
    }
}

static void
an_event_without_a_time_has_the_present_one(void **state)
{
    (void)state;
    int64_t before = clock_wall_ms() / 1000 * 1000, at;
    assert_int_equal(
        event_bus_put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
        200);
    int64_t after = clock_wall_ms();
    char *body = queue_take_body(event_bus_url, "captured"), *time = strstr(body, "\"time\":\"");
    assert_non_null(time);
    assert_int_equal(clock_parse_iso8601(time + 8, strlen("2025-11-20T06:00:00Z"), &at, NULL), 0);
    assert_in_range(at, before, after);
    free(body);
}

static void
rules_choose_by_literal_and_by_prefix(void **state)
{
    (void)state;
    assert_int_equal(
        event_bus_put("{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\","
                      "\"EventBusName\":\"bus\"},"
                      "{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"lost\\\"}\","
                      "\"EventBusName\":\"bus\"},"
                      "{\"Source\":\"order\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\","
                      "\"EventBusName\":\"bus\"},"
                      "{\"Source\":\"x\",\"DetailType\":\"Ordered\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"},"
                      "{\"Source\":\"x\",\"DetailType\":\"order\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"},"
                      "{\"Source\":\"disabled\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
        200);
    event_bus_assert_count_failed("0");
    event_bus_assert_takes_id("literal", event_bus_event_id(0));
    queue_assert_empty(event_bus_url, "literal");
    event_bus_assert_takes_id("prefix", event_bus_event_id(3));
    queue_assert_empty(event_bus_url, "prefix");
}

static void
every_target_of_every_rule_gets_the_same_event(void **state)
{
    (void)state;
    assert_int_equal(
        event_bus_put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"), 200);
    char *literal = queue_take_body(event_bus_url, "literal"), *prefix = queue_take_body(event_bus_url, "prefix"),
         *captured = queue_take_body(event_bus_url, "captured");
    assert_string_equal(literal, prefix);
    assert_string_equal(literal, captured);
    free(literal);
    free(prefix);
    free(captured);
}

static void
a_bus_is_known_by_its_arn_too(void **state)
{
    (void)state;
    assert_int_equal(event_bus_put("{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\","
                                   "\"EventBusName\":\"arn:aws:events:us-east-1:000000000000:event-bus/bus\"}"),
                     200);
    event_bus_assert_takes_id("literal", event_bus_event_id(0));
    event_bus_assert_takes_id("prefix", event_bus_event_id(0));
    event_bus_assert_takes_id("captured", event_bus_event_id(0));
}

static void
an_event_for_an_unknown_bus_gets_an_id_and_goes_nowhere(void **state)
{
    (void)state;
    assert_int_equal(
        event_bus_put(
            "{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"no-such-bus\"},"
            "{\"Source\":\"for.two\",\"DetailType\":\"d\",\"Detail\":\"{}\"}"), /* the default bus: no rules */
        200);
    event_bus_assert_count_failed("0");
    assert_int_equal(strlen(event_bus_event_id(0)), 36);
    assert_int_equal(strlen(event_bus_event_id(1)), 36);
    queue_assert_empty(event_bus_url, "literal");
    assert_non_null(proc_wait_line(event_bus_server, "bus=no-such-bus", 10000));
}

static void
a_replayed_event_is_delivered_and_not_captured_again(void **state)
{
    (void)state;
    assert_int_equal(
        event_bus_put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                      "\"Resources\":[\"urn:fanout:event:1\",\"urn:fanout:replay:job\"],\"EventBusName\":\"bus\"},"
                      "{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                      "\"Resources\":[\"urn:fanout:event:1\"],\"EventBusName\":\"bus\"}"),
        200);
    char *first = queue_take_body(event_bus_url, "captured"), *second = queue_take_body(event_bus_url, "captured");
    bool in_order = strstr(first, event_bus_event_id(0)) != NULL;
    assert_non_null(strstr(in_order ? first : second, "[\"urn:fanout:event:1\",\"urn:fanout:replay:job\"]"));
    event_bus_assert_object("2025-11-20T06:00:00Z", event_bus_event_id(0), NULL);
    event_bus_assert_object("2025-11-20T06:00:00Z", event_bus_event_id(1), in_order ? second : first);
    free(first);
    free(second);
}

/* ---- what cannot be delivered ------------------------------------------------------------------------------------ */

static void
assert_attribute(const struct aws_call *reply, const char *name, const char *value)
{
    char path[100], text[300];
    snprintf(path, sizeof path, "Messages.0.MessageAttributes.%s.StringValue", name);
    aws_call_text(reply, path, text, sizeof text);
    assert_string_equal(text, value);
    snprintf(path, sizeof path, "Messages.0.MessageAttributes.%s.DataType", name);
    aws_call_text(reply, path, text, sizeof text);
    assert_string_equal(text, *value ? "String" : "");
}

static void
assert_buried(const char *source, const char *rule, const char *target, const char *code)
{
    struct aws_call reply;
    char arn[200], body[1000];
    assert_int_equal(event_bus_put("{\"Source\":\"%s\",\"DetailType\":\"d\",\"Detail\":\"{\\\"f\\\":\\\"%01000d\\\"}\","
                                   "\"EventBusName\":\"bus\"}",
                                   source, 0),
                     200);
    event_bus_assert_count_failed("0");
    if (!queue_take(event_bus_url, "dead", &reply))
        fail_msg("no dead letter for %s", source);
    aws_call_text(&reply, "Messages.0.Body", body, sizeof body); /* cut; its beginning is enough */
    snprintf(arn, sizeof arn, "arn:aws:events:us-east-1:000000000000:rule/bus/%s", rule);
    assert_attribute(&reply, "RULE_ARN", arn);
    assert_attribute(&reply, "TARGET_ARN", target);
    assert_attribute(&reply, "ERROR_CODE", code);
    assert_attribute(&reply, "RETRY_ATTEMPTS", "0");
    assert_attribute(&reply, "EXHAUSTED_RETRY_CONDITION", "");
    char message[300];
    assert_true(
        aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_MESSAGE.StringValue", message, sizeof message));
    assert_true(strlen(message) > 10);
    struct json whole;
    assert_true(aws_call_at(&reply, "Messages.0.Body", &whole));
    assert_true(json_starts_with(whole, SLICE("{\"version\":\"0\",\"id\":\"")));
    aws_call_clean_up(&reply);
    queue_assert_empty(event_bus_url, "dead");
}

static void
what_no_target_takes_becomes_a_dead_letter_that_says_why(void **state)
{
    (void)state;
    assert_buried("for.a.gone.queue", "RGone", ARN("gone"), "NO_RESOURCE");
    assert_buried("for.a.function", "RFunction", "arn:aws:lambda:us-east-1:000000000000:function:other", "NO_RESOURCE");
    assert_buried("for.a.gone.bucket", "RDoomed", "arn:aws:lambda:us-east-1:000000000000:function:capture-doomed",
                  "NO_RESOURCE");
    assert_buried("for.a.small.queue", "RSmall", ARN("small"), "SDK_CLIENT_ERROR");
    queue_assert_empty(event_bus_url, "small");
}

static void
without_a_dead_letter_queue_it_is_dropped_and_logged(void **state)
{
    (void)state;
    assert_int_equal(
        event_bus_put("{\"Source\":\"for.nobody\",\"DetailType\":\"d\",\"Detail\":\"{}\",\"EventBusName\":\"bus\"}"),
        200);
    event_bus_assert_count_failed("0");
    assert_non_null(proc_wait_line(event_bus_server, "rule=RNobody", 10000));
    queue_assert_empty(event_bus_url, "dead");
}

/* ---- faults and crashes ------------------------------------------------------------------------------------------ */

static void
a_duplicate_fault_delivers_twice_and_captures_once(void **state)
{
    (void)state;
    admin_set_fault(event_bus_url, "{\"action\":\"events:PutEvents\",\"kind\":\"duplicate\"}");
    assert_int_equal(
        event_bus_put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                      "\"EventBusName\":\"bus\"}"),
        200);
    char *body = queue_take_body(event_bus_url, "captured"), *again = queue_take_body(event_bus_url, "captured");
    assert_string_equal(body, again);
    queue_assert_empty(event_bus_url, "captured");
    event_bus_assert_object("2025-11-20T06:00:00Z", event_bus_event_id(0), body);
    free(body);
    free(again);
}

static void
kill_9_right_after_the_answer_loses_neither_message_nor_object(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        assert_int_equal(
            event_bus_put("{\"Source\":\"captured\",\"DetailType\":\"d\",\"Time\":1763618400,\"Detail\":\"{}\","
                          "\"EventBusName\":\"bus\"}"),
            200);
        proc_signal(event_bus_server, SIGKILL);
        char id[64];
        snprintf(id, sizeof id, "%s", event_bus_event_id(0));
        assert_int_equal(proc_wait_exit(event_bus_server, 20000), -SIGKILL);
        proc_destroy(event_bus_server);
        aws_call_clean_up(&event_bus_aws);
        event_bus_start_again();
        char *body = queue_take_body(event_bus_url, "captured");
        assert_non_null(strstr(body, id));
        event_bus_assert_object("2025-11-20T06:00:00Z", id, body);
        queue_assert_empty(event_bus_url, "captured");
        free(body);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_out_in_aws_s_envelope_and_is_captured_as_it_came_out),
        cmocka_unit_test(details_come_out_byte_for_byte),
        cmocka_unit_test(an_event_without_a_time_has_the_present_one),
        cmocka_unit_test(rules_choose_by_literal_and_by_prefix),
        cmocka_unit_test(every_target_of_every_rule_gets_the_same_event),
        cmocka_unit_test(a_bus_is_known_by_its_arn_too),
        cmocka_unit_test(an_event_for_an_unknown_bus_gets_an_id_and_goes_nowhere),
        cmocka_unit_test(a_replayed_event_is_delivered_and_not_captured_again),
        cmocka_unit_test(what_no_target_takes_becomes_a_dead_letter_that_says_why),
        cmocka_unit_test(without_a_dead_letter_queue_it_is_dropped_and_logged),
        cmocka_unit_test(a_duplicate_fault_delivers_twice_and_captures_once),
        cmocka_unit_test(kill_9_right_after_the_answer_loses_neither_message_nor_object),
    };
    return cmocka_run_group_tests_name("local_events", tests, event_bus_start, event_bus_stop);
}
