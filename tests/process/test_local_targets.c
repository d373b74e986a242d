/* The operations of fanout-local's EventBridge on targets: what they keep, what they refuse, and that events go where
 * they say, as they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/queue_take.h"
#include "lib/rules.h"

/* ---- targets ----------------------------------------------------------------------------------------------------- */

static void
targets_are_listed_as_they_were_put(void **state)
{
    (void)state;
    static const char FULL[] = "{\"Id\":\"a\",\"Arn\":\"" QUEUE(
        "q") "\",\"RoleArn\":\"arn:aws:iam::1:role/x\","
             "\"InputTransformer\":{\"InputPathsMap\":{\"x\":\"$.detail.x\"},\"InputTemplate\":\"{\\\"x\\\":<x>}\"},"
             "\"SqsParameters\":{\"MessageGroupId\":\"g\"},\"DeadLetterConfig\":{\"Arn\":\"" QUEUE(
                 "dead") "\"},"
                         "\"RetryPolicy\":{\"MaximumRetryAttempts\":0,\"MaximumEventAgeInSeconds\":60}}";
    struct json shown;
    char token[100];
    rules_put("r");
    rules_assert_done(
        "PutTargets",
        "{\"Rule\":\"r\",\"Targets\":[%s,{\"Id\":\"b\",\"Arn\":\"" QUEUE("q") "\",\"Unknown\":1,\"Input\":null}]}",
        FULL);
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"r\",\"Limit\":1}");
    assert_true(aws_call_at(&rules_aws, "Targets.0", &shown));
    assert_int_equal(shown.text.n, strlen(FULL));
    assert_memory_equal(shown.text.p, FULL, shown.text.n);
    assert_true(aws_call_text(&rules_aws, "NextToken", token, sizeof token));
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"r\",\"Limit\":1,\"NextToken\":\"%s\"}", token);
    assert_true(aws_call_at(&rules_aws, "Targets.0", &shown));
    assert_true(slice_equals_string(shown.text, "{\"Id\":\"b\",\"Arn\":\"" QUEUE("q") "\"}"));
    rules_assert_text("NextToken", "");
    rules_put_target("r", "a", "other", ""); /* replaced, not added to */
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"r\"}");
    assert_int_equal(aws_call_count(&rules_aws, "Targets"), 2);
    assert_true(aws_call_at(&rules_aws, "Targets.0", &shown));
    assert_true(slice_equals_string(shown.text, "{\"Id\":\"a\",\"Arn\":\"" QUEUE("other") "\"}"));
    rules_drop("r");
}

static void
a_rule_has_five_targets_at_most(void **state)
{
    (void)state;
    static const char LIMIT[] = "The requested resource exceeds the maximum number allowed.";
#define T(id) "{\"Id\":\"" id "\",\"Arn\":\"" QUEUE("q") "\"}"
    rules_put("r");
    rules_assert_refused(
        "LimitExceededException", LIMIT, "PutTargets",
        "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("2") "," T("3") "," T("4") "," T("5") "," T("6") "]}");
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"r\"}");
    assert_int_equal(aws_call_count(&rules_aws, "Targets"), 0);
    rules_assert_done("PutTargets",
                      "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("2") "," T("3") "," T("4") "," T("5") "]}");
    rules_assert_done("PutTargets", "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("5") "," T("5") "]}");
    rules_assert_refused("LimitExceededException", LIMIT, "PutTargets",
                         "{\"Rule\":\"r\",\"Targets\":[" T("1") "," T("6") "]}");
    rules_put_event("orders", "{}");
    for (int i = 0; i < 5; i++)
        rules_assert_takes("q", NULL);
    rules_assert_empty("q");
    rules_drop("r");
#undef T
}

static void
a_target_that_is_not_there_cannot_be_removed(void **state)
{
    (void)state;
    rules_put("r");
    rules_put_target("r", "1", "q", "");
    rules_assert_done("RemoveTargets", "{\"Rule\":\"r\",\"Ids\":[\"0\",\"1\",\"1\"]}");
    rules_assert_text("FailedEntryCount", "2");
    rules_assert_text("FailedEntries.0.TargetId", "0");
    rules_assert_text("FailedEntries.0.ErrorCode", "ResourceNotFoundException");
    rules_assert_text("FailedEntries.0.ErrorMessage", "Rule 'r' does not have a target with the Id '0'.");
    rules_assert_text("FailedEntries.1.TargetId", "1");
    rules_drop("r");
}

static void
what_a_target_may_not_be_is_refused_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *target, *message;
    } CASES[] = {
        {"\"Arn\":\"q\"", "Parameter q is not valid. Reason: Provided Arn is not in correct format."},
        {"\"Arn\":\"arn:aws:lambda:us-east-1:1:function:f\"",
         "Parameter Arn of target bad is not supported by fanout-local: targets are SQS queues here, which "
         "arn:aws:lambda:us-east-1:1:function:f is not."},
        {"\"Arn\":\"" QUEUE("q.fifo") "\"", "Parameter(s) SqsParameters must be specified for target: bad."},
        {"\"Arn\":\"" QUEUE("q") "\",\"KinesisParameters\":{\"PartitionKeyPath\":\"$.id\"}",
         "Parameter KinesisParameters is not valid for target bad: it is an SQS queue."},
        {"\"Arn\":\"" QUEUE("q") "\",\"DeadLetterConfig\":{\"Arn\":\"" QUEUE("d.fifo") "\"}",
         "Parameter DeadLetterConfig.Arn of target bad is not valid. Reason: it is not the ARN of a standard SQS "
         "queue."},
        {"\"Arn\":\"" QUEUE("q") "\",\"Input\":\"{}\",\"InputPath\":\"$\"",
         "Only one of Input, InputPath, or InputTransformer must be provided for target bad."},
        {"\"Arn\":\"" QUEUE("q") "\",\"InputPath\":\"$\",\"InputTransformer\":{\"InputTemplate\":\"1\"}",
         "Only one of Input, InputPath, or InputTransformer must be provided for target bad."},
        {"\"Arn\":\"" QUEUE("q") "\",\"InputPath\":\"detail\"",
         "Parameter InputPath of target bad is not valid. Reason: detail: a path begins with $"},
        {"\"Arn\":\"" QUEUE("q") "\",\"InputTransformer\":{\"InputTemplate\":\"{\\\"a\\\":<notdefinedkey>}\"}",
         "InputTemplate for target bad contains invalid placeholder notdefinedkey."},
    };
    rules_put("r");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        rules_assert_refused(
            "ValidationException", CASES[i].message, "PutTargets",
            "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"good\",\"Arn\":\"" QUEUE("q") "\"},{\"Id\":\"bad\",%s}]}",
            CASES[i].target);
    rules_call("PutTargets",
               "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"bad\",\"Arn\":\"" QUEUE("q") "\",\"Input\":\"{'a'}\"}]}");
    assert_int_equal(rules_aws.status, 400);
    assert_non_null(strstr(rules_aws.message, "JSON syntax error in input for target bad: "));
    rules_assert_done("ListTargetsByRule", "{\"Rule\":\"r\"}");
    assert_int_equal(aws_call_count(&rules_aws, "Targets"), 0);
    rules_drop("r");
}

/* The names that AWS was recorded to refuse. */
static void
ids_are_refused_in_the_recorded_words(void **state)
{
    (void)state;
    rules_assert_refused("ValidationException",
                         "1 validation error detected: Value '!@#$@!#$' at 'targets.1.member.id' failed to satisfy "
                         "constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
                         "PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"!@#$@!#$\",\"Arn\":\"a\"}]}");
    rules_assert_refused(
        "ValidationException",
        "1 validation error detected: Value "
        "'0000000000000000000000000000000000000000000000000000000000000000x' at 'targets.1.member.id' failed "
        "to satisfy constraint: Member must have length less than or equal to 64",
        "PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"%064dx\",\"Arn\":\"a\"}]}", 0);
}

/* ---- what targets get ---------------------------------------------------------------------------------------------
 */

static void
each_target_gets_what_it_asks_for(void **state)
{
    (void)state;
    rules_put("r");
    rules_put_target("r", "1", "q",
                     ",\"InputTransformer\":{\"InputPathsMap\":{\"n\":\"$.detail.n\"},"
                     "\"InputTemplate\":\"{\\\"n\\\":<n>,\\\"rule\\\":\\\"<aws.events.rule-name>\\\"}\"}");
    rules_put_target("r", "2", "other", ",\"InputPath\":\"$.detail.n\"");
    rules_put_event("orders", "{\"n\": 9007199254740993}");
    rules_assert_takes("q", "{\"n\":9007199254740993,\"rule\":\"r\"}");
    rules_assert_takes("other", "9007199254740993");
    rules_put_target("r", "1", "q", ",\"Input\":\"{\\\"said\\\": \\\"hello\\\"}\"");
    rules_put_target("r", "2", "other", "");
    rules_put_event("orders", "{\"n\":1}");
    rules_assert_takes("q", "{\"said\": \"hello\"}");
    rules_assert_takes("other", NULL);
    rules_drop("r");
}

static void
a_message_group_goes_along(void **state)
{
    (void)state;
    struct aws_call reply;
    char group[100];
    rules_put("r");
    rules_put_target("r", "1", "q", ",\"SqsParameters\":{\"MessageGroupId\":\"tenant-7\"}");
    rules_put_event("orders", "{}");
    assert_true(queue_take(rules_server.url, "q", &reply));
    assert_true(aws_call_text(&reply, "Messages.0.Attributes.MessageGroupId", group, sizeof group));
    assert_string_equal(group, "tenant-7");
    aws_call_clean_up(&reply);
    rules_drop("r");
}

/* A FIFO queue tells events apart by what is sent of them; without ContentBasedDeduplication it takes none. */
static void
a_fifo_queue_takes_events_in_order_and_once(void **state)
{
    (void)state;
    static const char members[] = ",\"InputPath\":\"$.detail.n\",\"SqsParameters\":{\"MessageGroupId\":\"g\"},"
                                  "\"DeadLetterConfig\":{\"Arn\":\"" QUEUE("dead") "\"}";
    char url[200];
    local_server_queue(&rules_server, "q.fifo", "{\"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\"}",
                       url, sizeof url);
    local_server_queue(&rules_server, "given.fifo", "{\"FifoQueue\": \"true\"}", url, sizeof url);
    rules_put("r");
    rules_put_target("r", "1", "q.fifo", members);
    rules_put_target("r", "2", "given.fifo", members);
    for (int i = 0; i < 4; i++)
        rules_put_event("orders", i % 2 ? "{\"n\":2}" : "{\"n\":1}");
    rules_assert_takes("q.fifo", "1");
    rules_assert_takes("q.fifo", "2");
    rules_assert_empty("q.fifo");
    rules_assert_empty("given.fifo");
    for (int i = 0; i < 4; i++) {
        struct aws_call reply;
        char code[64];
        assert_true(queue_take(rules_server.url, "dead", &reply));
        aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_CODE.StringValue", code, sizeof code);
        assert_string_equal(code, "SDK_CLIENT_ERROR");
        aws_call_clean_up(&reply);
    }
    rules_drop("r");
}

static void
what_gives_no_input_is_a_dead_letter(void **state)
{
    (void)state;
    struct aws_call reply;
    char text[400];
    rules_put("r");
    rules_put_target("r", "1", "q",
                     ",\"InputPath\":\"$.detail.n\",\"DeadLetterConfig\":{\"Arn\":\"" QUEUE("dead") "\"}");
    rules_put_event("orders", "{\"m\":1}");
    rules_assert_empty("q");
    assert_true(queue_take(rules_server.url, "dead", &reply));
    assert_true(aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_CODE.StringValue", text, sizeof text));
    assert_string_equal(text, "INVALID_JSON");
    assert_true(aws_call_text(&reply, "Messages.0.MessageAttributes.ERROR_MESSAGE.StringValue", text, sizeof text));
    assert_string_equal(text, "The event has nothing at the target's InputPath $.detail.n.");
    assert_true(aws_call_text(&reply, "Messages.0.Body", text, sizeof text));
    assert_non_null(strstr(text, "\"detail\":{\"m\":1}}")); /* the event, not what was to be made of it */
    aws_call_clean_up(&reply);
    rules_drop("r");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_listed_as_they_were_put),
        cmocka_unit_test(a_rule_has_five_targets_at_most),
        cmocka_unit_test(a_target_that_is_not_there_cannot_be_removed),
        cmocka_unit_test(what_a_target_may_not_be_is_refused_as_a_whole),
        cmocka_unit_test(ids_are_refused_in_the_recorded_words),
        cmocka_unit_test(each_target_gets_what_it_asks_for),
        cmocka_unit_test(a_fifo_queue_takes_events_in_order_and_once),
        cmocka_unit_test(a_message_group_goes_along),
        cmocka_unit_test(what_gives_no_input_is_a_dead_letter),
    };
    return cmocka_run_group_tests_name("local_targets", tests, rules_start, rules_stop);
}
