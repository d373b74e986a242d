/* The tags and the permissions of fanout-local's queues, which nothing here asks for but those who set them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"

/* An operation that must be refused so; message NULL: in whatever words. */
static void
refused(struct local_queue *q, const char *operation, const char *members, const char *code, const char *message)
{
    local_queue_call(q, operation, members);
    if (strcmp(q->call.error, code) != 0 || (message && strcmp(q->call.message, message) != 0))
        fail_msg("%s{%s}: %s: %s, not %s: %s", operation, members, q->call.error, q->call.message, code,
                 message ? message : "");
}

static void
assert_tags(struct local_queue *q, const char *expected)
{
    struct json tags;
    local_queue_ok(q, "ListQueueTags", "");
    if (!aws_call_at(&q->call, "Tags", &tags))
        tags.text = SLICE("");
    if (!slice_equals_string(tags.text, expected))
        fail_msg("%.*s, not %s", SLICE_ARG(tags.text), expected);
}

/* ---- tags -------------------------------------------------------------------------------------------------------- */

static void
tags_are_set_changed_and_taken_away(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    assert_tags(&q, "");
    local_queue_ok(&q, "TagQueue",
                   ", \"Tags\": {\"team\": \"a b\", \"Cost_Center:x/y=+-@.\": \"\", \"\u00e9\": \"\u00fc\"}");
    assert_tags(&q, "{\"team\":\"a b\",\"Cost_Center:x/y=+-@.\":\"\",\"\u00e9\":\"\u00fc\"}");
    local_queue_ok(&q, "TagQueue", ", \"Tags\": {\"more\": \"1\", \"team\": \"c\"}");
    assert_tags(&q, "{\"team\":\"c\",\"Cost_Center:x/y=+-@.\":\"\",\"\u00e9\":\"\u00fc\",\"more\":\"1\"}");
    local_queue_ok(&q, "UntagQueue", ", \"TagKeys\": [\"Cost_Center:x/y=+-@.\", \"never\", \"\u00e9\"]");
    assert_tags(&q, "{\"team\":\"c\",\"more\":\"1\"}");
    local_queue_ok(&q, "UntagQueue", ", \"TagKeys\": [\"more\", \"team\", \"team\"]");
    assert_tags(&q, "");
    local_queue_drop(&q);
}

static void
a_queue_is_made_with_tags(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200];
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(
        aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"tagged\", \"tags\": {\"a\": \"1\", \"b\": \"\"}}"), 200);
    assert_true(aws_call_text(&c, "QueueUrl", url, sizeof url));
    assert_int_equal(aws_call_sqs(&c, "ListQueueTags", "{\"QueueUrl\": \"%s\"}", url), 200);
    assert_true(slice_equals(c.body, SLICE("{\"Tags\":{\"a\":\"1\",\"b\":\"\"}}")));
    assert_int_equal(aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"tagged-2\", \"tags\": {\"aws:a\": \"1\"}}"),
                     400);
    assert_int_equal(aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"tagged-2\"}"), 400);
    aws_call_clean_up(&c);
}

static void
tags_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct local_queue q;
    struct buf members = BUF_INIT;
    static const struct {
        const char *operation, *members, *code, *message;
    } CASES[] = {
        {"TagQueue", "", "MissingParameter", "The request must contain the parameter Tags."},
        {"TagQueue", ", \"Tags\": {}", "MissingParameter", "The request must contain the parameter Tags."},
        {"TagQueue", ", \"Tags\": {\"\": \"x\"}", "InvalidParameterValue",
         "Tag keys must be between 1 and 128 characters in length."},
        {"TagQueue", ", \"Tags\": {\"aWs:x\": \"x\"}", "InvalidParameterValue", NULL},
        {"TagQueue", ", \"Tags\": {\"a\\u0000\": \"x\"}", "InvalidParameterValue", NULL},
        {"TagQueue", ", \"Tags\": {\"a*\": \"x\"}", "InvalidParameterValue", NULL},
        {"TagQueue", ", \"Tags\": {\"a\": \"x\\n\"}", "InvalidParameterValue", NULL},
        {"TagQueue", ", \"Tags\": {\"good\": \"x\", \"a\": \"<\"}", "InvalidParameterValue", NULL},
        {"UntagQueue", "", "MissingParameter", "The request must contain the parameter TagKeys."},
        {"UntagQueue", ", \"TagKeys\": []", "InvalidParameterValue",
         "Tag keys must be between 1 and 128 characters in length."},
        {"UntagQueue", ", \"TagKeys\": [\"a\", \"\"]", "InvalidParameterValue",
         "Tag keys must be between 1 and 128 characters in length."},
    };
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        refused(&q, CASES[i].operation, CASES[i].members, CASES[i].code, CASES[i].message);
    assert_tags(&q, "");
    /* Characters are counted, not bytes. */
    static const struct {
        int key, value;
        bool ok;
    } LENGTHS[] = {{128, 256, true}, {129, 1, false}, {1, 257, false}};
    for (size_t i = 0; i < 3; i++) {
        buf_reset(&members);
        buf_add_string(&members, ", \"Tags\": {\"");
        for (int n = 0; n < LENGTHS[i].key; n++)
            buf_add_string(&members, "\u00e9");
        buf_add_string(&members, "\": \"");
        for (int n = 0; n < LENGTHS[i].value; n++)
            buf_add_string(&members, "\u00e9");
        buf_add_string(&members, "\"}");
        assert_int_equal(local_queue_call(&q, "TagQueue", members.data), LENGTHS[i].ok ? 200 : 400);
    }
    buf_clean_up(&members);
    local_queue_drop(&q);
}

static void
a_queue_has_fifty_tags_at_most(void **state)
{
    (void)state;
    struct local_queue q;
    char members[80], message[80];
    local_queue_make(&q, "{}");
    for (int i = 0; i < 50; i++) {
        snprintf(members, sizeof members, ", \"Tags\": {\"k%d\": \"v\"}", i);
        local_queue_ok(&q, "TagQueue", members);
    }
    snprintf(message, sizeof message, "Too many tags added for queue %s.", strrchr(q.url, '/') + 1);
    refused(&q, "TagQueue", ", \"Tags\": {\"k50\": \"v\"}", "InvalidParameterValue", message);
    local_queue_ok(&q, "TagQueue", ", \"Tags\": {\"k49\": \"w\"}");
    local_queue_ok(&q, "UntagQueue", ", \"TagKeys\": [\"k0\"]");
    local_queue_ok(&q, "TagQueue", ", \"Tags\": {\"k50\": \"v\"}");
    refused(&q, "TagQueue", ", \"Tags\": {\"k0\": \"v\"}", "InvalidParameterValue", message);
    local_queue_drop(&q);
}

/* ---- permissions ------------------------------------------------------------------------------------------------- */

static const char *
policy(struct local_queue *q)
{
    local_queue_ok(q, "GetQueueAttributes", ", \"AttributeNames\": [\"Policy\"]");
    return local_queue_text(q, "Attributes.Policy");
}

#define STATEMENT_OF(label, principal, action)                                                                         \
    "{\"Sid\":\"" label "\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":" principal "},\"Action\":" action             \
    ",\"Resource\":\"%s\"}"

static void
a_permission_is_a_statement_of_the_policy(void **state)
{
    (void)state;
    struct local_queue q;
    char arn[100], expected[1000];
    local_queue_make(&q, "{}");
    snprintf(arn, sizeof arn, "arn:aws:sqs:us-east-1:000000000000:%s", strrchr(q.url, '/') + 1);
    local_queue_ok(&q, "AddPermission",
                   ", \"Label\": \"one\", \"AWSAccountIds\": [\"111111111111\"], \"Actions\": [\"SendMessage\"]");
    snprintf(expected, sizeof expected,
             "{\"Version\":\"2008-10-17\",\"Id\":\"%s/SQSDefaultPolicy\",\"Statement\":[" STATEMENT_OF(
                 "one", "\"arn:aws:iam::111111111111:root\"", "\"SQS:SendMessage\"") "]}",
             arn, arn);
    assert_string_equal(policy(&q), expected);
    refused(&q, "AddPermission", ", \"Label\": \"one\", \"AWSAccountIds\": [\"222222222222\"], \"Actions\": [\"*\"]",
            "InvalidParameterValue", "Value one for parameter Label is invalid. Reason: Already exists.");
    local_queue_ok(&q, "AddPermission",
                   ", \"Label\": \"t-_2\", \"AWSAccountIds\": [\"111111111111\", \"222222222222\"], \"Actions\": "
                   "[\"*\", \"PurgeQueue\"]");
    snprintf(expected, sizeof expected,
             "{\"Version\":\"2008-10-17\",\"Id\":\"%s/SQSDefaultPolicy\",\"Statement\":[" STATEMENT_OF(
                 "one", "\"arn:aws:iam::111111111111:root\"",
                 "\"SQS:SendMessage\"") "," STATEMENT_OF("t-_2",
                                                         "[\"arn:aws:iam::111111111111:root\",\"arn:aws:iam::"
                                                         "222222222222:root\"]",
                                                         "[\"SQS:*\",\"SQS:PurgeQueue\"]") "]}",
             arn, arn, arn);
    assert_string_equal(policy(&q), expected);
    local_queue_ok(&q, "RemovePermission", ", \"Label\": \"one\"");
    assert_null(strstr(policy(&q), "\"one\""));
    refused(&q, "RemovePermission", ", \"Label\": \"one\"", "InvalidParameterValue",
            "Value one for parameter Label is invalid. Reason: can't find label.");
    local_queue_ok(&q, "RemovePermission", ", \"Label\": \"t-_2\"");
    assert_string_equal(policy(&q), "(no Attributes.Policy)");
    local_queue_drop(&q);
}

static void
a_policy_of_ones_own_keeps_its_bytes(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    local_queue_ok(&q, "SetQueueAttributes",
                   ", \"Attributes\": {\"Policy\": \"{\\\"Statement\\\": {\\\"Sid\\\": \\\"mine\\\", \\\"n\\\": "
                   "1.10}, \\\"Version\\\":\\\"2012-10-17\\\"}\"}");
    local_queue_ok(&q, "AddPermission",
                   ", \"Label\": \"more\", \"AWSAccountIds\": [\"111111111111\"], \"Actions\": [\"GetQueueUrl\"]");
    const char *begins = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"mine\",\"n\":1.10},{\"Sid\":\"more\",";
    if (strncmp(policy(&q), begins, strlen(begins)) != 0)
        fail_msg("%s", policy(&q));
    refused(&q, "AddPermission",
            ", \"Label\": \"mine\", \"AWSAccountIds\": [\"111111111111\"], \"Actions\": [\"GetQueueUrl\"]",
            "InvalidParameterValue", "Value mine for parameter Label is invalid. Reason: Already exists.");
    local_queue_ok(&q, "RemovePermission", ", \"Label\": \"more\"");
    assert_string_equal(policy(&q), "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"mine\",\"n\":1.10}]}");
    local_queue_drop(&q);
}

static void
permissions_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct local_queue q;
#define WHO   ", \"AWSAccountIds\": [\"111111111111\"]"
#define WHAT  ", \"Actions\": [\"SendMessage\"]"
#define LABEL ", \"Label\": \"l\""
#define ONCE  "\"SendMessage\""
    static const struct {
        const char *members, *code, *message;
    } CASES[] = {
        {WHO WHAT, "MissingParameter", "The request must contain the parameter Label."},
        {", \"Label\": \"\"" WHO WHAT, "InvalidParameterValue", NULL},
        {", \"Label\": \"a b\"" WHO WHAT, "InvalidParameterValue", NULL},
        {", \"Label\": \"123456789012345678901234567890123456789012345678901234567890123456789012345678901\"" WHO WHAT,
         "InvalidParameterValue", NULL},
        {LABEL WHAT, "MissingParameter", "The request must contain the parameter AWSAccountIds."},
        {LABEL ", \"AWSAccountIds\": []" WHAT, "InvalidParameterValue",
         "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify."},
        {LABEL ", \"AWSAccountIds\": [\"111111111111\", \"1\"]" WHAT, "InvalidParameterValue",
         "Value [1] for parameter PrincipalId is invalid. Reason: Unable to verify."},
        {LABEL ", \"AWSAccountIds\": [\"arn:aws:x\"]" WHAT, "InvalidParameterValue",
         "Value [arn:aws:x] for parameter PrincipalId is invalid. Reason: Unable to verify."},
        {LABEL WHO, "MissingParameter", "The request must contain the parameter Actions."},
        {LABEL WHO ", \"Actions\": [\"RemovePermission\"]", "InvalidParameterValue",
         "Value SQS:RemovePermission for parameter ActionName is invalid. Reason: Only the queue owner is allowed to "
         "invoke this action."},
        {LABEL WHO ", \"Actions\": [\"sendMessage\"]", "InvalidParameterValue",
         "Value SQS:sendMessage for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL for "
         "a list of valid actions."},
        {LABEL WHO ", \"Actions\": [" ONCE ", " ONCE ", " ONCE ", " ONCE ", " ONCE ", " ONCE ", " ONCE ", " ONCE "]",
         "OverLimit", "8 Actions were found, maximum allowed is 7."},
    };
    local_queue_make(&q, "{}");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        refused(&q, "AddPermission", CASES[i].members, CASES[i].code, CASES[i].message);
    refused(&q, "RemovePermission", "", "MissingParameter", "The request must contain the parameter Label.");
    assert_string_equal(policy(&q), "(no Attributes.Policy)");
    for (int i = 0; i < 20; i++) {
        char members[200];
        snprintf(members, sizeof members, ", \"Label\": \"l%d\"" WHO WHAT, i);
        local_queue_ok(&q, "AddPermission", members);
    }
    refused(&q, "AddPermission", LABEL WHO WHAT, "OverLimit", "21 Statements were found, maximum allowed is 20.");
    assert_int_equal(q.call.status, 403);
    local_queue_drop(&q);
}

static void
a_policy_has_fifty_accounts_a_statement_and_8192_bytes_at_most(void **state)
{
    (void)state;
    struct local_queue q;
    struct buf members = BUF_INIT;
    local_queue_make(&q, "{}");
    for (int n = 51; n >= 50; n--)
        for (char label = 'a'; label < 'f'; label++) {
            bool fits = n == 50 && label < 'e';
            buf_reset(&members);
            buf_add_format(&members, ", \"Label\": \"%c\"" WHAT ", \"AWSAccountIds\": [\"111111111111\"", label);
            for (int i = 1; i < n; i++)
                buf_add_string(&members, ", \"111111111111\"");
            buf_add_char(&members, ']');
            if (fits)
                local_queue_ok(&q, "AddPermission", members.data);
            else
                refused(&q, "AddPermission", members.data, "OverLimit",
                        n == 51 ? "51 Principals were found, maximum allowed is 50." : NULL);
        }
    assert_non_null(strstr(q.call.message, "maximum allowed is 8192."));
    buf_clean_up(&members);
    local_queue_drop(&q);
}

static void
a_permission_changes_when_the_queue_was_last_modified(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    long made_at = local_queue_attribute(&q, "LastModifiedTimestamp");
    local_server_pass(&local_fixture, 5000);
    local_queue_ok(&q, "TagQueue", ", \"Tags\": {\"a\": \"b\"}");
    assert_int_equal(local_queue_attribute(&q, "LastModifiedTimestamp"), made_at);
    local_queue_ok(&q, "AddPermission", LABEL WHO WHAT);
    assert_int_equal(local_queue_attribute(&q, "LastModifiedTimestamp"), made_at + 5);
    local_queue_drop(&q);
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

static void
tags_and_permissions_outlive_a_kill(void **state)
{
    (void)state;
    struct local_server s;
    struct aws_call c;
    char url[200], text[1000];
    local_server_start(&s, false);
    local_server_queue(&s, "kept", "{}", url, sizeof url);
    aws_call_init(&c, s.url);
    assert_int_equal(aws_call_sqs(&c, "TagQueue", "{\"QueueUrl\": \"%s\", \"Tags\": {\"a\": \"1\"}}", url), 200);
    assert_int_equal(aws_call_sqs(&c, "AddPermission",
                                  "{\"QueueUrl\": \"%s\", \"Label\": \"kept-label\", \"AWSAccountIds\": "
                                  "[\"111111111111\"], \"Actions\": [\"SendMessage\"]}",
                                  url),
                     200);
    aws_call_clean_up(&c);
    local_server_kill(&s);
    local_server_restart(&s);
    aws_call_init(&c, s.url);
    assert_int_equal(aws_call_sqs(&c, "ListQueueTags", "{\"QueueUrl\": \"%s\"}", url), 200);
    assert_true(slice_equals(c.body, SLICE("{\"Tags\":{\"a\":\"1\"}}")));
    assert_int_equal(
        aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"Policy\"]}", url), 200);
    assert_true(aws_call_text(&c, "Attributes.Policy", text, sizeof text));
    assert_non_null(strstr(text, "kept-label"));
    aws_call_clean_up(&c);
    local_server_stop(&s);
    local_server_clean_up(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_set_changed_and_taken_away),
        cmocka_unit_test(a_queue_is_made_with_tags),
        cmocka_unit_test(tags_that_cannot_be_are_refused),
        cmocka_unit_test(a_queue_has_fifty_tags_at_most),
        cmocka_unit_test(a_permission_is_a_statement_of_the_policy),
        cmocka_unit_test(a_policy_of_ones_own_keeps_its_bytes),
        cmocka_unit_test(permissions_that_cannot_be_are_refused),
        cmocka_unit_test(a_policy_has_fifty_accounts_a_statement_and_8192_bytes_at_most),
        cmocka_unit_test(a_permission_changes_when_the_queue_was_last_modified),
        cmocka_unit_test(tags_and_permissions_outlive_a_kill),
    };
    return cmocka_run_group_tests(tests, local_fixture_start_with_clock, local_fixture_stop);
}
