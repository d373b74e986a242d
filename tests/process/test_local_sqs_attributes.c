/* Message attributes and system attributes of fanout-local's SQS: what they may be, how they count, what a receive
 * returns of them, and their MD5s. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/local_queue.h"

/* A request's members with one message (or system) attribute, of which what comes is JSON. */
static void
send_with(struct local_queue *q, bool system, const char *name, const char *value)
{
    char *members;
    assert_true(asprintf(&members, ", \"MessageBody\": \"x\", \"Message%sAttributes\": {\"%s\": %s}",
                         system ? "System" : "", name, value) > 0);
    local_queue_call(q, "SendMessage", members);
    free(members);
}

static void
assert_refused(struct local_queue *q, const char *name, const char *value, const char *message)
{
    if (q->call.status != 400 || strcmp(q->call.error, "InvalidParameterValue") != 0 ||
        strcmp(q->call.message, message) != 0)
        fail_msg("%.60s: %s: %d %s: %s", name, value, q->call.status, q->call.error, q->call.message);
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *value, *message;
} REFUSED[] = {
    {"", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "The request must contain non-empty message (user) attribute names."},
    {"AWS.x", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved for internal "
     "use."},
    {"aMaZoN.x", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved for internal "
     "use."},
    {".x", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "Message (user) attribute name must not begin with character '.'."},
    {"x.", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "Message (user) attribute name must not end with character '.'."},
    {"x..y", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "Message (user) attribute name must not have successive '.' characters."},
    {"x y", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
     "Message (user) attribute name 'x y' can only contain upper and lower case letters, digits, periods, hyphens and "
     "underscores."},
    {"a", "{}", "The message (user) attribute 'a' must contain a non-empty message attribute value."},
    {"a", "{\"StringValue\": \"v\"}",
     "The message (user) attribute 'a' must contain a non-empty message attribute type."},
    {"a", "{\"DataType\": \"\", \"StringValue\": \"v\"}",
     "The message (user) attribute 'a' must contain a non-empty message attribute type."},
    {"a", "{\"DataType\": \"Boolean\", \"StringValue\": \"v\"}",
     "The type of message (user) attribute 'a' is invalid. You must use only the following supported type prefixes: "
     "Binary, Number, String."},
    {"a", "{\"DataType\": \"string\", \"StringValue\": \"v\"}",
     "The type of message (user) attribute 'a' is invalid. You must use only the following supported type prefixes: "
     "Binary, Number, String."},
    {"a", "{\"DataType\": \"String\"}",
     "Message (user) attribute 'a' must contain a non-empty value of type 'String'."},
    {"a", "{\"DataType\": \"Binary\", \"BinaryValue\": \"\"}",
     "Message (user) attribute 'a' must contain a non-empty value of type 'Binary'."},
    {"a", "{\"DataType\": \"Number.int\", \"StringValue\": \"\"}",
     "Message (user) attribute 'a' must contain a non-empty value of type 'Number.int'."},
    {"a", "{\"DataType\": \"String\", \"BinaryValue\": \"AAEC\"}",
     "Message (user) attribute 'a' with type 'String' must use field 'String'."},
    {"a", "{\"DataType\": \"Binary\", \"StringValue\": \"v\"}",
     "Message (user) attribute 'a' with type 'Binary' must use field 'Binary'."},
    {"a", "{\"DataType\": \"String\", \"StringValue\": \"v\", \"BinaryValue\": \"AAEC\"}",
     "Message (user) attribute 'a' must have a single value."},
    {"a", "{\"DataType\": \"String\", \"StringValue\": \"x\\u0001\"}",
     "Invalid binary character '#x1' was found in the value of a message attribute, the set of allowed characters is "
     "#x9 "
     "| #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]."},
    {"a", "{\"DataType\": \"String.\\u0001\", \"StringValue\": \"x\"}",
     "Invalid binary character '#x1' was found in the type of a message attribute, the set of allowed characters is "
     "#x9 "
     "| #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]."},
};

static void
names_types_and_values_have_rules(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        send_with(&q, false, REFUSED[i].name, REFUSED[i].value);
        assert_refused(&q, REFUSED[i].name, REFUSED[i].value, REFUSED[i].message);
    }
    static const char *const NAMES[] = {"a", "a.b-c_d.9", "AWS", "Amazonas", "9", "_", "\xc3\xa4", "awsome.x"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        send_with(&q, false, NAMES[i], "{\"DataType\": \"String.custom\", \"StringValue\": \"v\"}");
        assert_int_equal(q.call.status, 200);
    }
    send_with(&q, false, "a", "{\"DataType\": \"StringList\", \"StringListValues\": [\"v\"]}");
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.UnsupportedOperation");
    assert_string_equal(q.call.message, "Message attribute list values in SendMessage operation are not supported.");
    send_with(&q, false, "a", "{\"DataType\": \"String\", \"StringValue\": \"v\", \"StringListValues\": []}");
    assert_int_equal(q.call.status, 200);
    local_queue_drop(&q);
}

static void
names_and_types_have_256_bytes_at_most(void **state)
{
    (void)state;
    struct local_queue q;
    char name[258], value[400];
    local_queue_make(&q, "{}");
    for (int longer = 0; longer < 2; longer++) {
        memset(name, 'n', sizeof name);
        name[256 + longer] = '\0';
        send_with(&q, false, name, "{\"DataType\": \"String\", \"StringValue\": \"v\"}");
        if (longer)
            assert_refused(&q, name, "", "Message (user) attribute name must be shorter than 256 bytes.");
        else
            assert_int_equal(q.call.status, 200);
        memcpy(name, "String.", 7);
        snprintf(value, sizeof value, "{\"DataType\": \"%s\", \"StringValue\": \"v\"}", name);
        send_with(&q, false, "a", value);
        if (longer)
            assert_refused(&q, "a", value, "Message (user) attribute type must be shorter than 256 bytes.");
        else
            assert_int_equal(q.call.status, 200);
    }
    local_queue_drop(&q);
}

static void
numbers_are_decimal_and_bounded(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"0",
                                       "-1",
                                       "+1",
                                       "1.5",
                                       ".5",
                                       "5.",
                                       "00012",
                                       "1e5",
                                       "1E-5",
                                       "-1.5e+10",
                                       "1234567890123456789012",
                                       "99999999999999999999999999999999999999",
                                       "100000000000000000000000000000000000000000",
                                       "0.00000000000000000000000000000000000000000000001",
                                       "1e126",
                                       "1e-128",
                                       "0e999999",
                                       "230.000000000000000001"};
    static const char *const BAD[] = {"one",
                                      "1f",
                                      "0x10",
                                      "1e",
                                      "e5",
                                      ".",
                                      "-",
                                      "1.2.3",
                                      "NaN",
                                      "inf",
                                      "1 ",
                                      " 1",
                                      "1,5",
                                      "--1",
                                      "1e1.5",
                                      "1e127",
                                      "1e-129",
                                      "1e99999999999999",
                                      "999999999999999999999999999999999999999",
                                      "1_000",
                                      "\xd9\xa1"};
    struct local_queue q;
    char value[200];
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        snprintf(value, sizeof value, "{\"DataType\": \"Number.x\", \"StringValue\": \"%s\"}", GOOD[i]);
        send_with(&q, false, "n", value);
        if (q.call.status != 200)
            fail_msg("%s: %s", GOOD[i], q.call.message);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        snprintf(value, sizeof value, "{\"DataType\": \"Number\", \"StringValue\": \"%s\"}", BAD[i]);
        send_with(&q, false, "n", value);
        assert_refused(&q, "n", BAD[i], "Can't cast the value of message (user) attribute 'n' to a number.");
    }
    local_queue_drop(&q);
}

static void
ten_attributes_are_allowed(void **state)
{
    (void)state;
    struct local_queue q;
    struct buf members = BUF_INIT;
    local_queue_make(&q, "{}");
    buf_add_string(&members, ", \"MessageBody\": \"x\", \"MessageAttributes\": {");
    for (int i = 0; i < 11; i++) {
        buf_add_format(&members, "%s\"a%d\": {\"DataType\": \"String\", \"StringValue\": \"v\"}", i ? "," : "", i);
        if (i < 9)
            continue;
        size_t n = members.len;
        buf_add_char(&members, '}');
        local_queue_call(&q, "SendMessage", members.data);
        assert_int_equal(q.call.status, i == 9 ? 200 : 400);
        buf_truncate(&members, n);
    }
    assert_string_equal(q.call.message, "Number of message attributes [11] exceeds the allowed maximum [10].");
    buf_clean_up(&members);
    local_queue_drop(&q);
}

static void
the_trace_header_is_the_only_system_attribute(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *message;
    } BAD[] = {
        {"Hello", "{\"DataType\": \"String\", \"StringValue\": \"v\"}",
         "Message system attribute name 'Hello' is invalid."},
        {"AWSTraceHeader", "{\"DataType\": \"String\", \"StringValue\": \"\"}",
         "Message system attribute 'AWSTraceHeader' must contain a non-empty value of type 'String'."},
        {"AWSTraceHeader", "{\"DataType\": \"Boolean\", \"StringValue\": \"v\"}",
         "The type of message system attribute 'AWSTraceHeader' is invalid. You must use only the following supported "
         "type prefixes: Binary, Number, String."},
        {"AWSTraceHeader", "{\"DataType\": \"Number\", \"StringValue\": \"1\"}",
         "The type of message system attribute 'AWSTraceHeader' is invalid. You must use only the following supported "
         "type: String."},
        {"AWSTraceHeader", "{}",
         "The message system attribute 'AWSTraceHeader' must contain a non-empty message attribute value."},
    };
    struct local_queue q;
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        send_with(&q, true, BAD[i].name, BAD[i].value);
        assert_refused(&q, BAD[i].name, BAD[i].value, BAD[i].message);
    }
    send_with(&q, true, "AWSTraceHeader", "{\"DataType\": \"String\", \"StringValue\": \"some-trace-id\"}");
    assert_string_equal(local_queue_text(&q, "MD5OfMessageSystemAttributes"), "fdce4f2818803f2f73becc09a54792c0");
    assert_string_equal(local_queue_text(&q, "MD5OfMessageAttributes"), "(no MD5OfMessageAttributes)");
    assert_int_equal(local_queue_receive(&q, ", \"MessageSystemAttributeNames\": [\"AWSTraceHeader\"],"
                                             " \"MessageAttributeNames\": [\"All\"]"),
                     1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.AWSTraceHeader"), "some-trace-id");
    assert_int_equal(aws_call_count(&q.call, "Messages.0.MessageAttributes"), 0);
    local_queue_drop(&q);
}

/* ---- size -------------------------------------------------------------------------------------------------------- */

/* A body of n bytes beside an attribute of 3 + 10 + 5 bytes, and a trace header that costs nothing. */
static int
send_sized(struct local_queue *q, bool batch, size_t n)
{
    struct buf members = BUF_INIT;
    buf_add_string(&members, batch ? ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"" : ", \"MessageBody\": \"");
    for (size_t i = 0; i < n / 2; i++)
        buf_add_string(&members, "\xc3\xa4"); /* bytes count, not characters */
    buf_add_string(&members, n % 2 ? "x" : "");
    buf_add_string(&members, "\", \"MessageAttributes\": {\"abc\": {\"DataType\": \"Number.int\", \"StringValue\": "
                             "\"12345\"}}, \"MessageSystemAttributes\": {\"AWSTraceHeader\": {\"DataType\": \"String\","
                             " \"StringValue\": \"Root=1-5759e988-bd862e3fe1be46a994272793\"}}");
    buf_add_string(&members, batch ? "}]" : "");
    local_queue_call(q, batch ? "SendMessageBatch" : "SendMessage", members.data);
    buf_clean_up(&members);
    return q->call.status;
}

static void
names_types_and_values_count_and_system_attributes_do_not(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"MaximumMessageSize\": \"1024\"}");
    assert_int_equal(send_sized(&q, false, 1024 - 18), 200);
    assert_int_equal(send_sized(&q, false, 1024 - 17), 400);
    assert_int_equal(send_sized(&q, true, 1024 - 18), 200);
    assert_int_equal(aws_call_count(&q.call, "Failed"), 0);
    assert_int_equal(send_sized(&q, true, 1024 - 17), 200);
    assert_int_equal(aws_call_count(&q.call, "Failed"), 1);
    local_queue_drop(&q);
    local_queue_make(&q, "{}");
    assert_int_equal(send_sized(&q, false, 1048576 - 18), 200);
    assert_int_equal(send_sized(&q, false, 1048576 - 17), 400);
    assert_string_equal(q.call.error, "InvalidParameterValue");
    assert_int_equal(send_sized(&q, true, 1048576 - 18), 200);
    assert_int_equal(send_sized(&q, true, 1048576 - 17), 400);
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.BatchRequestTooLong");
    local_queue_drop(&q);
}

static void
what_is_refused_in_a_batch_counts_in_its_size(void **state)
{
    (void)state;
    struct local_queue q;
    struct buf members = BUF_INIT;
    local_queue_make(&q, "{}");
    buf_add_string(&members, ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"fine\"}, {\"Id\": \"2\","
                             " \"DelaySeconds\": -1, \"MessageBody\": \"");
    for (size_t i = 0; i < 1048576 - 3; i++)
        buf_add_char(&members, 'x');
    buf_add_string(&members, "\"}]");
    local_queue_call(&q, "SendMessageBatch", members.data);
    assert_string_equal(q.call.message,
                        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.");
    buf_clean_up(&members);
    local_queue_drop(&q);
}

/* ---- what comes back --------------------------------------------------------------------------------------------- */

static void
names_prefixes_and_all_are_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *names;
        size_t n;
        const char *md5; /* as an SDK computes it of those that come back */
    } ASKED[] = {
        {"[\"All\"]", 4, "*"},
        {"[\".*\"]", 4, "*"},
        {"[\"*\"]", 4, "*"},
        {"[\"Dummy.*\"]", 3, "c5c0d2c6f195fcbc91083c5465d8955f"},
        {"[\"Dummy1Name\", \"Dummy1Name\", \"nothing\"]", 1, "*"},
        {"[\"Dummy.*\", \"OtherName\"]", 4, "*"},
        {"[\"dummy.*\"]", 0, NULL},
        {"[\"Dummy\"]", 0, NULL},
        {"[\"all\"]", 0, NULL},
        {"[\"\"]", 0, NULL},
        {"[]", 0, NULL},
        {"null", 0, NULL},
    };
    struct local_queue q;
    char members[200], all[40] = "";
    local_queue_make(&q, "{\"VisibilityTimeout\": \"0\"}");
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"message from SDK\", \"MessageAttributes\": {"
                   "\"OtherName\": {\"DataType\": \"String\", \"StringValue\": \"other value\"},"
                   "\"Dummy2Name\": {\"DataType\": \"String\", \"StringValue\": \"dummy 2 value\"},"
                   "\"Dummy3Name\": {\"DataType\": \"Binary\", \"BinaryValue\": \"ZHVtbXkgMiB2YWx1ZQ==\"},"
                   "\"Dummy1Name\": {\"DataType\": \"String\", \"StringValue\": \"dummy 1 value\"}}");
    snprintf(all, sizeof all, "%s", local_queue_text(&q, "MD5OfMessageAttributes"));
    for (size_t i = 0; i < sizeof ASKED / sizeof *ASKED; i++) {
        snprintf(members, sizeof members, ", \"MessageAttributeNames\": %s", ASKED[i].names);
        assert_int_equal(local_queue_receive(&q, members), 1);
        if (aws_call_count(&q.call, "Messages.0.MessageAttributes") != ASKED[i].n)
            fail_msg("%s: %zu", ASKED[i].names, aws_call_count(&q.call, "Messages.0.MessageAttributes"));
        const char *md5 = local_queue_text(&q, "Messages.0.MD5OfMessageAttributes");
        if (ASKED[i].n == 4)
            assert_string_equal(md5, all);
        else if (!ASKED[i].md5)
            assert_string_equal(md5, "(no Messages.0.MD5OfMessageAttributes)");
        else if (*ASKED[i].md5 != '*')
            assert_string_equal(md5, ASKED[i].md5);
    }
    assert_string_equal(local_queue_text(&q, "Messages.0.MD5OfBody"), "6d05602485318fa52030abb234e75682");
    local_queue_drop(&q);
}

/* The sums that clients of AWS's compute. */
static void
sums_are_those_that_sdks_check(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"Test Message\", \"MessageAttributes\": {\"UserId\": {\"DataType\": "
                   "\"Number.bigint\", \"StringValue\": \"1234567890123456789012\"}}");
    assert_string_equal(local_queue_text(&q, "MD5OfMessageAttributes"), "797ab158d73dcb5242dedc4412c8e855");
    assert_string_equal(local_queue_text(&q, "MD5OfMessageBody"), "d1d4180b7e411c4be86b00fb2ee103eb");
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"some message\", \"MessageAttributes\": {\"data2\": {\"DataType\": \"Number\","
                   " \"StringValue\": \"2\"}, \"data1\": {\"DataType\": \"Number\", \"StringValue\": \"1\"}}");
    assert_string_equal(local_queue_text(&q, "MD5OfMessageAttributes"), "b53b5acf24e7fd9567705bd8027b1c76");
    assert_string_equal(local_queue_text(&q, "MD5OfMessageBody"), "df49b60423903e095b80d9b4a92eb065");
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_types_and_values_have_rules),
        cmocka_unit_test(names_and_types_have_256_bytes_at_most),
        cmocka_unit_test(numbers_are_decimal_and_bounded),
        cmocka_unit_test(ten_attributes_are_allowed),
        cmocka_unit_test(the_trace_header_is_the_only_system_attribute),
        cmocka_unit_test(names_types_and_values_count_and_system_attributes_do_not),
        cmocka_unit_test(what_is_refused_in_a_batch_counts_in_its_size),
        cmocka_unit_test(names_prefixes_and_all_are_asked_for),
        cmocka_unit_test(sums_are_those_that_sdks_check),
    };
    return cmocka_run_group_tests_name("local/sqs attributes", tests, local_fixture_start, local_fixture_stop);
}
