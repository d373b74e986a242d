/* The queues of fanout-local's SQS: made, found, listed, set, purged, deleted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"

static void
a_queue_is_made_once_and_found_by_any_url(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], again[200], expected[200];
    local_server_queue(&local_fixture, "made_once", "{\"DelaySeconds\": \"5\", \"Policy\": \"{}\"}", url, sizeof url);
    snprintf(expected, sizeof expected, "%s/000000000000/made_once", local_fixture.url);
    assert_string_equal(url, expected);
    local_server_queue(&local_fixture, "made_once", "{\"DelaySeconds\": \"5\"}", again, sizeof again);
    assert_string_equal(url, again);
    local_server_queue(&local_fixture, "made_once", "{}", again, sizeof again);
    aws_call_init(&c, local_fixture.url);
    aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"made_once\", \"Attributes\": {\"DelaySeconds\": \"6\"}}");
    assert_string_equal(c.error, "QueueAlreadyExists");
    assert_string_equal(c.message,
                        "A queue already exists with the same name and a different value for attribute DelaySeconds");
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"made_once\"}");
    assert_true(aws_call_text(&c, "QueueUrl", again, sizeof again));
    assert_string_equal(url, again);
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"made_once\", \"QueueOwnerAWSAccountId\": \"111111111111\"}");
    assert_string_equal(c.error, "AWS.SimpleQueueService.NonExistentQueue");
    static const char *const URLS[] = {"https://sqs.eu-west-1.amazonaws.com/000000000000/made_once",
                                       "http://localhost:4566/000000000000/made_once", "/000000000000/made_once",
                                       "made_once"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", URLS[i]), 200);
    static const struct {
        const char *url, *code;
    } BAD[] = {{"http://h/000000000000/none", "AWS.SimpleQueueService.NonExistentQueue"},
               {"http://h/111111111111/made_once", "AWS.SimpleQueueService.NonExistentQueue"},
               {"none", "AWS.SimpleQueueService.NonExistentQueue"},
               {"http://h/made_once", "AWS.SimpleQueueService.NonExistentQueue"},
               {"http://h", "AWS.SimpleQueueService.NonExistentQueue"},
               {"", "InvalidAddress"}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", BAD[i].url);
        assert_string_equal(c.error, BAD[i].code);
    }
    aws_call_sqs(&c, "ReceiveMessage", "{}");
    assert_string_equal(c.message, "The request must contain the parameter QueueUrl.");
    aws_call_clean_up(&c);
}

static void
names_and_kinds_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *request, *code;
    } BAD[] = {
        {"{}", "InvalidParameterValue"},
        {"{\"QueueName\": \"\"}", "InvalidParameterValue"},
        {"{\"QueueName\": \"a.b\"}", "InvalidParameterValue"},
        {"{\"QueueName\": \"a.fifo\"}", "InvalidParameterValue"},
        {"{\"QueueName\": \"123456789012345678901234567890123456789012345678901234567890123456789012345678901\"}",
         "InvalidParameterValue"},
        {"{\"QueueName\": \"a\", \"Attributes\": {\"ContentBasedDeduplication\": \"true\"}}", "InvalidAttributeName"},
    };
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        aws_call_sqs_body(&c, "CreateQueue", slice_of_string(BAD[i].request));
        assert_string_equal(c.error, BAD[i].code);
    }
    aws_call_clean_up(&c);
}

static void
queues_are_listed_by_prefix_and_by_page(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], token[200];
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "listed-%d", i);
        local_server_queue(&local_fixture, name, "{}", url, sizeof url);
    }
    aws_call_init(&c, local_fixture.url);
    aws_call_sqs(&c, "ListQueues", "{\"QueueNamePrefix\": \"listed-\"}");
    assert_int_equal(aws_call_count(&c, "QueueUrls"), 5);
    assert_false(aws_call_text(&c, "NextToken", token, sizeof token));
    aws_call_sqs(&c, "ListQueues", "{\"QueueNamePrefix\": \"listed-none\"}");
    assert_int_equal(aws_call_count(&c, ""), 0);
    token[0] = '\0';
    for (size_t pages = 0, seen = 0; seen < 5; pages++) {
        assert_true(pages < 3);
        if (*token)
            aws_call_sqs(&c, "ListQueues",
                         "{\"QueueNamePrefix\": \"listed-\", \"MaxResults\": 2, \"NextToken\": \"%s\"}", token);
        else
            aws_call_sqs(&c, "ListQueues", "{\"QueueNamePrefix\": \"listed-\", \"MaxResults\": 2}");
        seen += aws_call_count(&c, "QueueUrls");
        assert_int_equal(aws_call_text(&c, "NextToken", token, sizeof token), seen < 5);
    }
    aws_call_sqs(&c, "ListQueues", "{\"MaxResults\": 1001}");
    assert_string_equal(c.error, "InvalidParameterValue");
    aws_call_sqs(&c, "ListQueues", "{\"MaxResults\": 10, \"NextToken\": \"???\"}");
    assert_string_equal(c.error, "InvalidParameterValue");
    aws_call_clean_up(&c);
}

static void
attributes_are_set_and_shown(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    local_queue_ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(local_queue_text(&q, "Attributes.VisibilityTimeout"), "30");
    assert_string_equal(local_queue_text(&q, "Attributes.MaximumMessageSize"), "1048576");
    assert_string_equal(local_queue_text(&q, "Attributes.MessageRetentionPeriod"), "345600");
    assert_string_equal(local_queue_text(&q, "Attributes.SqsManagedSseEnabled"), "true");
    assert_int_equal(aws_call_count(&q.call, "Attributes"), 12);
    local_queue_ok(&q, "GetQueueAttributes", "");
    assert_int_equal(aws_call_count(&q.call, ""), 0);
    long modified = local_queue_attribute(&q, "LastModifiedTimestamp");
    local_server_pass(&local_fixture, 5000);
    local_queue_ok(&q, "SetQueueAttributes",
                   ", \"Attributes\": {\"VisibilityTimeout\": \"7\", \"Policy\": \"{\\\"a\\\": 1.10}\"}");
    local_queue_call(&q, "SetQueueAttributes",
                     ", \"Attributes\": {\"VisibilityTimeout\": \"8\", \"DelaySeconds\": \"901\"}");
    assert_int_equal(q.call.status, 400);
    assert_int_equal(local_queue_attribute(&q, "VisibilityTimeout"), 7); /* all or nothing */
    assert_int_equal(local_queue_attribute(&q, "LastModifiedTimestamp"), modified + 5);
    local_queue_ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"Policy\"]");
    assert_string_equal(local_queue_text(&q, "Attributes.Policy"), "{\"a\": 1.10}");
    local_queue_drop(&q);
}

static void
messages_are_encrypted_in_one_way_at_a_time(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"KmsMasterKeyId\": \"alias/aws/sqs\"}");
    local_queue_ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(local_queue_text(&q, "Attributes.KmsMasterKeyId"), "alias/aws/sqs");
    assert_string_equal(local_queue_text(&q, "Attributes.KmsDataKeyReusePeriodSeconds"), "300");
    assert_string_equal(local_queue_text(&q, "Attributes.SqsManagedSseEnabled"), "false");
    for (int order = 0; order < 2; order++) {
        local_queue_call(&q, "SetQueueAttributes",
                         order ? ", \"Attributes\": {\"SqsManagedSseEnabled\": \"true\", \"KmsMasterKeyId\": \"k\"}"
                               : ", \"Attributes\": {\"KmsMasterKeyId\": \"k\", \"SqsManagedSseEnabled\": \"true\"}");
        assert_int_equal(q.call.status, 400);
        assert_string_equal(q.call.message, "You can use one type of server-side encryption (SSE) at one time. You can "
                                            "either enable KMS SSE or SQS SSE.");
    }
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"SqsManagedSseEnabled\": \"true\"}");
    local_queue_ok(&q, "GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(local_queue_text(&q, "Attributes.KmsMasterKeyId"), "(no Attributes.KmsMasterKeyId)");
    assert_string_equal(local_queue_text(&q, "Attributes.SqsManagedSseEnabled"), "true");
    local_queue_ok(&q, "SetQueueAttributes",
                   ", \"Attributes\": {\"KmsMasterKeyId\": \"\", \"SqsManagedSseEnabled\": \"true\"}");
    local_queue_drop(&q);
}

static void
purging_and_deleting_have_their_cool_downs(void **state)
{
    (void)state;
    struct local_queue q;
    char message[100];
    local_queue_make(&q, "{}");
    for (int i = 0; i < 30; i++)
        local_queue_send(&q, "m");
    local_queue_receive(&q, "");
    const char *handle = local_queue_text(&q, "Messages.0.ReceiptHandle");
    local_queue_ok(&q, "PurgeQueue", "");
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_settle(&q, "DeleteMessage", handle, "");
    assert_int_equal(q.call.status, 200);
    local_queue_send(&q, "after");
    local_queue_call(&q, "PurgeQueue", "");
    assert_int_equal(q.call.status, 403);
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.PurgeQueueInProgress");
    snprintf(message, sizeof message, "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
             strrchr(q.url, '/') + 1);
    assert_string_equal(q.call.message, message);
    local_queue_assert_counts(&q, 1, 0, 0);
    local_server_pass(&local_fixture, 60000);
    local_queue_ok(&q, "PurgeQueue", "");
    local_queue_assert_counts(&q, 0, 0, 0);

    local_queue_ok(&q, "DeleteQueue", "");
    local_queue_call(&q, "DeleteQueue", "");
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.NonExistentQueue");
    assert_string_equal(q.call.message, "The specified queue does not exist.");
    aws_call_sqs(&q.call, "CreateQueue", "{\"QueueName\": \"%s\"}", strrchr(q.url, '/') + 1);
    assert_string_equal(q.call.error, "AWS.SimpleQueueService.QueueDeletedRecently");
    local_server_pass(&local_fixture, 60000);
    local_server_queue(&local_fixture, strrchr(q.url, '/') + 1, "{}", q.url, sizeof q.url);
    assert_int_equal(local_queue_receive(&q, ""), 0);
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_is_made_once_and_found_by_any_url),
        cmocka_unit_test(names_and_kinds_that_cannot_be_are_refused),
        cmocka_unit_test(queues_are_listed_by_prefix_and_by_page),
        cmocka_unit_test(attributes_are_set_and_shown),
        cmocka_unit_test(messages_are_encrypted_in_one_way_at_a_time),
        cmocka_unit_test(purging_and_deleting_have_their_cool_downs),
    };
    return cmocka_run_group_tests_name("local/sqs queue", tests, local_fixture_start_with_clock, local_fixture_stop);
}
