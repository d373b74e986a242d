/* What fanout-local's SQS refuses, in AWS's words: calls, entries of a batch, messages that are too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"

static void
an_entry_fails_alone(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"MaximumMessageSize\": \"1024\"}");
    struct buf members = BUF_INIT;
    buf_add_string(&members, ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"fine\"},"
                             "{\"Id\": \"chars\", \"MessageBody\": \"x\\u0000y\"},"
                             "{\"Id\": \"delay\", \"MessageBody\": \"x\", \"DelaySeconds\": 901},"
                             "{\"Id\": \"attr\", \"MessageBody\": \"x\", \"MessageAttributes\": {\"n\": {\"DataType\":"
                             " \"Number\", \"StringValue\": \"one\"}}}, {\"Id\": \"long\", \"MessageBody\": \"");
    for (int i = 0; i < 1025; i++)
        buf_add_char(&members, 'x');
    buf_add_string(&members, "\"}, {\"Id\": \"z\", \"MessageBody\": \"fine, too\"}]");
    local_queue_ok(&q, "SendMessageBatch", members.data);
    assert_int_equal(aws_call_count(&q.call, "Successful"), 2);
    assert_int_equal(aws_call_count(&q.call, "Failed"), 4);
    assert_string_equal(local_queue_text(&q, "Successful.0.Id"), "a");
    assert_string_equal(local_queue_text(&q, "Successful.1.Id"), "z");
    assert_string_equal(local_queue_text(&q, "Failed.0.Code"), "InvalidMessageContents");
    assert_string_equal(local_queue_text(&q, "Failed.0.SenderFault"), "true");
    assert_string_equal(local_queue_text(&q, "Failed.1.Code"), "InvalidParameterValue");
    assert_string_equal(local_queue_text(&q, "Failed.3.Id"), "long");
    assert_string_equal(local_queue_text(&q, "Failed.3.Message"),
                        "One or more parameters cannot be validated. Reason: Message must be "
                        "shorter than 1024 bytes.");
    local_queue_assert_counts(&q, 2, 0, 0);

    assert_int_equal(local_queue_receive(&q, ", \"MaxNumberOfMessages\": 10"), 2);
    char a[100], b[100];
    snprintf(a, sizeof a, "%s", local_queue_text(&q, "Messages.0.ReceiptHandle"));
    snprintf(b, sizeof b, "%s", local_queue_text(&q, "Messages.1.ReceiptHandle"));
    buf_reset(&members);
    buf_add_format(&members,
                   ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 60},"
                   "{\"Id\": \"2\", \"ReceiptHandle\": \"x\", \"VisibilityTimeout\": 60},"
                   "{\"Id\": \"3\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 43201},"
                   "{\"Id\": \"4\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 0}]",
                   a, b, b);
    local_queue_ok(&q, "ChangeMessageVisibilityBatch", members.data);
    assert_int_equal(aws_call_count(&q.call, "Successful"), 2);
    assert_string_equal(local_queue_text(&q, "Failed.0.Code"), "ReceiptHandleIsInvalid");
    assert_string_equal(local_queue_text(&q, "Failed.1.Code"), "InvalidParameterValue");
    local_queue_assert_counts(&q, 1, 1, 0);
    buf_reset(&members);
    buf_add_format(
        &members,
        ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"%s\"}, {\"Id\": \"2\", \"ReceiptHandle\": \"x\"},"
        "{\"Id\": \"3\", \"ReceiptHandle\": \"%s\"}, {\"Id\": \"4\", \"ReceiptHandle\": \"%s\"}]",
        a, b, a);
    local_queue_ok(&q, "DeleteMessageBatch", members.data);
    assert_int_equal(aws_call_count(&q.call, "Successful"), 3);
    assert_int_equal(aws_call_count(&q.call, "Failed"), 1);
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_ok(&q, "DeleteMessageBatch", ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"x\"}]");
    assert_int_equal(aws_call_count(&q.call, "Successful"), 0);
    buf_clean_up(&members);
    local_queue_drop(&q);
}

static void
a_batch_as_a_whole_is_bounded(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    struct buf members = BUF_INIT;
    for (int too_long = 0; too_long < 2; too_long++) {
        buf_reset(&members);
        buf_add_string(&members, ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"");
        for (int i = 0; i < 1048576 / 2; i++)
            buf_add_char(&members, 'x');
        buf_add_string(&members, "\"}, {\"Id\": \"b\", \"MessageBody\": \"");
        for (int i = 0; i < 1048576 / 2 - 8 + too_long; i++)
            buf_add_char(&members, 'x');
        buf_add_string(&members,
                       "\", \"MessageAttributes\": {\"n\": {\"DataType\": \"String\", \"StringValue\": \"v\"}}}]");
        local_queue_call(&q, "SendMessageBatch", members.data);
        assert_int_equal(q.call.status, too_long ? 400 : 200);
    }
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.BatchRequestTooLong");
    assert_string_equal(q.call.message,
                        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.");
    buf_clean_up(&members);
    local_queue_drop(&q);
}

/* Texts as AWS was recorded to give them (FACTS.md, section 1), or worded by us where nobody has recorded any. */
static const struct {
    const char *operation, *members; /* besides QueueUrl */
    int status;
    const char *code, *message;
} REFUSED[] = {
    {"ReceiveMessage", ", \"MaxNumberOfMessages\": 11", 400, "InvalidParameterValue",
     "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."},
    {"ReceiveMessage", ", \"MaxNumberOfMessages\": 0", 400, "InvalidParameterValue",
     "Value 0 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."},
    {"ReceiveMessage", ", \"WaitTimeSeconds\": 21", 400, "InvalidParameterValue",
     "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."},
    {"ReceiveMessage", ", \"WaitTimeSeconds\": -1", 400, "InvalidParameterValue",
     "Value -1 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."},
    {"ReceiveMessage", ", \"VisibilityTimeout\": 43201", 400, "InvalidParameterValue", NULL},
    {"ReceiveMessage", ", \"AttributeNames\": [\"No\"]", 400, "InvalidAttributeName", "Unknown Attribute No."},
    {"ReceiveMessage", ", \"MaxNumberOfMessages\": \"ten\"", 400, "MalformedInput",
     "STRING_VALUE can not be converted to an Integer"},
    {"ReceiveMessage", ", \"AttributeNames\": \"All\"", 400, "MalformedInput", NULL},
    {"ReceiveMessage", ", \"AttributeNames\": [1]", 400, "MalformedInput", NULL},
    {"SendMessage", "", 400, "MissingParameter", "The request must contain the parameter MessageBody."},
    {"SendMessage", ", \"MessageBody\": \"\"", 400, "MissingParameter",
     "The request must contain the parameter MessageBody."},
    {"SendMessage", ", \"MessageBody\": null", 400, "MissingParameter", NULL},
    {"SendMessage", ", \"MessageBody\": 5", 400, "MalformedInput", "NUMBER_VALUE can not be converted to a String"},
    {"SendMessage", ", \"MessageBody\": true", 400, "MalformedInput", "TRUE_VALUE can not be converted to a String"},
    {"SendMessage", ", \"MessageBody\": [\"x\"]", 400, "MalformedInput", "Start of list found where not expected"},
    {"SendMessage", ", \"MessageBody\": {}", 400, "MalformedInput",
     "Start of structure or map found where not expected."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageAttributes\": \"x\"", 400, "MalformedInput",
     "Expected map or null"},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a\": 1}", 400, "MalformedInput",
     "Expected null"},
    {"SendMessageBatch", ", \"Entries\": 1", 400, "MalformedInput", "Expected list or null"},
    {"SendMessage", ", \"MessageBody\": \"a\\u0007b\"", 400, "InvalidMessageContents",
     "Invalid binary character '#x7' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | "
     "[#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]."},
    {"SendMessage", ", \"MessageBody\": \"a\\u0000b\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"a\\u001f\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"\\uffff\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"01234567\\ufffe\"", 400, "InvalidMessageContents", NULL},
    {"SendMessage", ", \"MessageBody\": \"\\ud800\"", 400, "MalformedInput", NULL},
    {"SendMessage", ", \"MessageBody\": \"x\", \"DelaySeconds\": 901", 400, "InvalidParameterValue",
     "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"group 123\"", 400, "InvalidParameterValue",
     "Value group 123 for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric "
     "and "
     "punctuation characters. 1 to 128 in length."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"\"", 400, "InvalidParameterValue",
     "Value  for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and "
     "punctuation characters. 1 to 128 in length."},
    {"SendMessage", ", \"MessageBody\": \"x\", \"MessageDeduplicationId\": \"d\"", 400, "InvalidParameterValue",
     "Value d for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that is not valid "
     "for "
     "this queue type."},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"ErrorDetails\": {\"DataType\": \"String\", \"StringValue\": "
     "\"\"}}",
     400, "InvalidParameterValue",
     "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a\": {\"DataType\": \"Binary\", \"BinaryValue\": \"?\"}}",
     400, "MalformedInput", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageSystemAttributes\": {\"Other\": {\"DataType\": \"String\", \"StringValue\": "
     "\"1\"}}",
     400, "InvalidParameterValue", NULL},
    {"SendMessage",
     ", \"MessageBody\": \"x\", \"MessageAttributes\": {\"a\": {\"DataType\": \"String\", \"StringValue\": \"1\"},"
     " \"a\": {\"DataType\": \"String\", \"StringValue\": \"2\"}}",
     400, "InvalidParameterValue", "Message (user) attribute 'a' is there twice."},
    {"SendMessageBatch", "", 400, "AWS.SimpleQueueService.EmptyBatchRequest",
     "There should be at least one SendMessageBatchRequestEntry in the request."},
    {"SendMessageBatch", ", \"Entries\": []", 400, "AWS.SimpleQueueService.EmptyBatchRequest", NULL},
    {"SendMessageBatch",
     ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"x\"}, {\"Id\": \"a\", \"MessageBody\": \"x\"}]", 400,
     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id a repeated."},
    {"SendMessageBatch", ", \"Entries\": [{\"Id\": \"a b\", \"MessageBody\": \"x\"}]", 400,
     "AWS.SimpleQueueService.InvalidBatchEntryId",
     "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters "
     "long."},
    {"SendMessageBatch", ", \"Entries\": [{\"MessageBody\": \"x\"}]", 400, "MissingParameter", NULL},
    {"DeleteMessageBatch",
     ", \"Entries\": [{\"Id\": \"1\"}, {\"Id\": \"2\"}, {\"Id\": \"3\"}, {\"Id\": \"4\"}, {\"Id\": \"5\"}, {\"Id\": "
     "\"6\"},"
     "{\"Id\": \"7\"}, {\"Id\": \"8\"}, {\"Id\": \"9\"}, {\"Id\": \"10\"}, {\"Id\": \"11\"}]",
     400, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
     "Maximum number of entries per request are 10. You have sent 11."},
    {"DeleteMessage", "", 400, "MissingParameter", "The request must contain the parameter ReceiptHandle."},
    {"ChangeMessageVisibility", ", \"ReceiptHandle\": \"x\"", 400, "MissingParameter",
     "The request must contain the parameter VisibilityTimeout."},
    {"ChangeMessageVisibility", ", \"ReceiptHandle\": \"x\", \"VisibilityTimeout\": -1", 400, "InvalidParameterValue",
     "Value -1 for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and "
     "43200."},
    {"ChangeMessageVisibility", ", \"ReceiptHandle\": \"\", \"VisibilityTimeout\": 1", 400, "MissingParameter",
     "The request must contain the parameter ReceiptHandle."},
    {"GetQueueAttributes", ", \"AttributeNames\": [\"All\", \"Nothing\"]", 400, "InvalidAttributeName",
     "Unknown Attribute Nothing."},
    {"SetQueueAttributes", "", 400, "MissingParameter", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"FifoQueue\": \"true\"}", 400, "InvalidAttributeName",
     "Unknown Attribute FifoQueue."},
    {"SetQueueAttributes", ", \"Attributes\": {\"QueueArn\": \"x\"}", 400, "InvalidAttributeName",
     "Unknown Attribute QueueArn."},
    {"SetQueueAttributes", ", \"Attributes\": {\"DeduplicationScope\": \"queue\"}", 400, "InvalidAttributeName",
     "You can specify the DeduplicationScope only when FifoQueue is set to true."},
    {"SetQueueAttributes", ", \"Attributes\": {\"VisibilityTimeout\": \"43201\"}", 400, "InvalidAttributeValue",
     "Invalid value for the parameter VisibilityTimeout."},
    {"SetQueueAttributes", ", \"Attributes\": {\"VisibilityTimeout\": \"5s\"}", 400, "InvalidAttributeValue", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"MaximumMessageSize\": \"1023\"}", 400, "InvalidAttributeValue", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"Policy\": \"no json\"}", 400, "InvalidAttributeValue", NULL},
    {"SetQueueAttributes", ", \"Attributes\": {\"RedrivePolicy\": \"{}\"}", 400, "InvalidParameterValue", NULL},
    {"SetQueueAttributes",
     ", \"Attributes\": {\"RedrivePolicy\": "
     "\"{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:us-east-1:000000000000:none\\\","
     "\\\"maxReceiveCount\\\":3}\"}",
     400, "InvalidParameterValue", NULL},
    {"NoSuchOperation", "", 400, "UnknownOperationException", NULL},
};

static void
what_is_wrong_is_refused_in_awss_words(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        local_queue_call(&q, REFUSED[i].operation, REFUSED[i].members);
        if (q.call.status != REFUSED[i].status || strcmp(q.call.error, REFUSED[i].code) != 0 ||
            (REFUSED[i].message && strcmp(q.call.message, REFUSED[i].message) != 0))
            fail_msg("%s{%s}: %d %s: %s", REFUSED[i].operation, REFUSED[i].members, q.call.status, q.call.error,
                     q.call.message);
        struct slice error = aws_call_header(&q.call, "x-amzn-query-error");
        assert_true(error.n > 7 && memcmp(error.p + error.n - 7, ";Sender", 7) == 0);
    }
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_drop(&q);
}

static void
what_an_entry_lacks_fails_it_alone(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *members, *message;
    } LACKING[] = {
        {"SendMessageBatch", ", \"Entries\": [{\"Id\": \"a\", \"MessageBody\": \"x\"}, {\"Id\": \"b\"}]",
         "The request must contain the parameter SendMessageBatchRequestEntry.2.MessageBody."},
        {"SendMessageBatch", ", \"Entries\": [{\"Id\": \"b\", \"MessageBody\": \"\"}]",
         "The request must contain the parameter SendMessageBatchRequestEntry.1.MessageBody."},
        {"DeleteMessageBatch", ", \"Entries\": [{\"Id\": \"b\"}]",
         "The request must contain the parameter ReceiptHandle."},
        {"DeleteMessageBatch", ", \"Entries\": [{\"Id\": \"b\", \"ReceiptHandle\": \"\"}]",
         "The request must contain the parameter ReceiptHandle."},
        {"ChangeMessageVisibilityBatch", ", \"Entries\": [{\"Id\": \"b\", \"VisibilityTimeout\": 1}]",
         "The request must contain the parameter ReceiptHandle."},
        {"ChangeMessageVisibilityBatch", ", \"Entries\": [{\"Id\": \"b\", \"ReceiptHandle\": \"x\"}]",
         "The request must contain the parameter ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout."},
    };
    struct local_queue q;
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof LACKING / sizeof *LACKING; i++) {
        local_queue_ok(&q, LACKING[i].operation, LACKING[i].members);
        assert_int_equal(aws_call_count(&q.call, "Failed"), 1);
        assert_string_equal(local_queue_text(&q, "Failed.0.Id"), "b");
        assert_string_equal(local_queue_text(&q, "Failed.0.Code"), "MissingParameter");
        assert_string_equal(local_queue_text(&q, "Failed.0.SenderFault"), "true");
        assert_string_equal(local_queue_text(&q, "Failed.0.Message"), LACKING[i].message);
    }
    local_queue_assert_counts(&q, 1, 0, 0);
    local_queue_drop(&q);
}

/* sqs_error.c says in which order. */
static void
what_is_wrong_in_many_ways_is_refused_for_the_first(void **state)
{
    (void)state;
    static const struct {
        bool is_unsigned;
        const char *request, *code;
    } ORDER[] = {
        {true, "nonsense", "MissingAuthenticationToken"},
        {false, "{\"QueueUrl\": \"x\", \"MaxNumberOfMessages\": true, \"WaitTimeSeconds\": []}", "MalformedInput"},
        {false, "{\"MaxNumberOfMessages\": 11}", "MissingParameter"},
        {false, "{\"QueueUrl\": \"/\", \"MaxNumberOfMessages\": 11}", "InvalidAddress"},
        {false, "{\"QueueUrl\": \"/111111111111/none\", \"MaxNumberOfMessages\": 11}",
         "AWS.SimpleQueueService.NonExistentQueue"},
        {false, "{\"QueueUrl\": \"/000000000000/none\", \"MaxNumberOfMessages\": 11}", "InvalidParameterValue"},
        {false, "{\"QueueUrl\": \"/000000000000/none\", \"MaxNumberOfMessages\": 1}",
         "AWS.SimpleQueueService.NonExistentQueue"},
    };
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    for (size_t i = 0; i < sizeof ORDER / sizeof *ORDER; i++) {
        c.unsigned_too = ORDER[i].is_unsigned;
        aws_call_sqs_body(&c, "ReceiveMessage", slice_of_string(ORDER[i].request));
        assert_string_equal(c.error, ORDER[i].code);
    }
    aws_call_clean_up(&c);
}

static void
a_text_that_is_quoted_in_part_ends_in_a_character(void **state)
{
    (void)state;
    struct local_queue q;
    struct buf members = BUF_INIT;
    local_queue_make(&q, "{}");
    for (int shift = 0; shift < 3; shift++) {
        buf_reset(&members);
        buf_add_string(&members, ", \"MessageBody\": \"x\", \"MessageGroupId\": \"");
        for (int i = 0; i < shift; i++)
            buf_add_char(&members, 'x');
        for (int i = 0; i < 300; i++)
            buf_add_string(&members, "\xe2\x82\xac");
        buf_add_char(&members, '"');
        local_queue_call(&q, "SendMessage", members.data);
        assert_int_equal(q.call.status, 400);
        assert_null(strstr(q.call.message, "\xef\xbf\xbd"));
        assert_non_null(strstr(q.call.message, "\xe2\x82\xac for parameter MessageGroupId is invalid."));
    }
    buf_clean_up(&members);
    local_queue_drop(&q);
}

static void
requests_that_are_no_json_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "{", "[]", "null", "5", "{\"QueueUrl\": }", "{\"QueueUrl\": \"\xff\"}", "x"};
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        aws_call_sqs_body(&c, "ReceiveMessage", slice_of_string(BAD[i]));
        assert_int_equal(c.status, 400);
        assert_string_equal(c.error, "MalformedInput");
    }
    struct buf deep = BUF_INIT;
    for (int i = 0; i < 100000; i++)
        buf_add_char(&deep, '[');
    aws_call_sqs_body(&c, "ReceiveMessage", buf_slice(&deep));
    assert_int_equal(c.status, 400);
    buf_reset(&deep);
    buf_add_string(&deep, "{\"AttributeNames\": [\"a\"");
    for (int i = 0; i < 100000; i++)
        buf_add_string(&deep, ",\"a\"");
    buf_add_string(&deep, "]}");
    aws_call_sqs_body(&c, "ReceiveMessage", buf_slice(&deep));
    assert_int_equal(c.status, 400);
    buf_clean_up(&deep);
    aws_call_clean_up(&c);
}

static void
a_message_is_as_long_as_the_limit_and_no_longer(void **state)
{
    (void)state;
    struct local_queue q;
    struct buf members = BUF_INIT;
    local_queue_make(&q, "{}");
    for (int longer = 0; longer < 2; longer++) {
        buf_reset(&members);
        buf_add_string(&members, ", \"MessageBody\": \"");
        for (int i = 0; i < 1048576 + longer; i++)
            buf_add_char(&members, 'x');
        buf_add_char(&members, '"');
        local_queue_call(&q, "SendMessage", members.data);
        assert_int_equal(q.call.status, longer ? 400 : 200);
    }
    assert_string_equal(q.call.message,
                        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.");
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"MaximumMessageSize\": \"1024\"}");
    buf_truncate(&members, strlen(", \"MessageBody\": \"") + 1025);
    buf_add_char(&members, '"');
    local_queue_call(&q, "SendMessage", members.data);
    assert_string_equal(q.call.message,
                        "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.");
    buf_clean_up(&members);
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_fails_alone),
        cmocka_unit_test(a_batch_as_a_whole_is_bounded),
        cmocka_unit_test(what_is_wrong_is_refused_in_awss_words),
        cmocka_unit_test(what_an_entry_lacks_fails_it_alone),
        cmocka_unit_test(what_is_wrong_in_many_ways_is_refused_for_the_first),
        cmocka_unit_test(a_text_that_is_quoted_in_part_ends_in_a_character),
        cmocka_unit_test(requests_that_are_no_json_are_refused),
        cmocka_unit_test(a_message_is_as_long_as_the_limit_and_no_longer),
    };
    return cmocka_run_group_tests_name("local/sqs refused", tests, local_fixture_start_with_clock, local_fixture_stop);
}
