/* FIFO queues of fanout-local's SQS: order and groups, deduplication, handles, receives that are asked for again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lib/local_queue.h"
#include "lib/queue_take.h"

#define FIFO    "\"FifoQueue\": \"true\""
#define ALL     ", \"AttributeNames\": [\"All\"]"
#define MOST    ", \"MaxNumberOfMessages\": 10"
#define EXPIRED "Reason: The receipt handle has expired."

/* Sends a message whose body is its deduplication id, too. */
static void
send_to(struct local_queue *q, const char *group, const char *id)
{
    char members[300];
    snprintf(members, sizeof members,
             ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\", \"MessageDeduplicationId\": \"%s\"", id, group,
             id);
    local_queue_ok(q, "SendMessage", members);
}

/* Sends so many to a group: "a1", "a2"... */
static void
send_many(struct local_queue *q, const char *group, int n)
{
    for (int i = 1; i <= n; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s%d", group, i);
        send_to(q, group, id);
    }
}

/* The bodies of the last receive, with spaces between. */
static const char *
bodies(struct local_queue *q)
{
    static char out[1000];
    size_t n = aws_call_count(&q->call, "Messages"), at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && at < sizeof out - 100; i++) {
        char path[40], body[64];
        snprintf(path, sizeof path, "Messages.%zu.Body", i);
        aws_call_text(&q->call, path, body, sizeof body);
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%s", i ? " " : "", body);
    }
    return out;
}

static void
assert_receives(struct local_queue *q, const char *members, const char *expected)
{
    local_queue_receive(q, members);
    if (strcmp(bodies(q), expected) != 0)
        fail_msg("received \"%s\", not \"%s\"", bodies(q), expected);
}

/* The handle of the nth message of the last receive; the last eight live. */
static const char *
handle_of(struct local_queue *q, size_t n)
{
    static char out[8][100];
    static int turn;
    char path[40], *at = out[turn++ % 8];
    snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", n);
    assert_true(aws_call_text(&q->call, path, at, sizeof *out));
    return at;
}

static void
settle_ok(struct local_queue *q, const char *operation, const char *handle, const char *members)
{
    local_queue_settle(q, operation, handle, members);
    if (q->call.status != 200)
        fail_msg("%s: %s", operation, q->call.message);
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void
a_queue_is_fifo_by_its_name_and_its_attribute_or_by_neither(void **state)
{
    (void)state;
    static const struct {
        const char *name, *attributes, *code, *message;
    } CASES[] = {
        {"plain.fifo", "{}", "InvalidParameterValue", "Can only include alphanumeric characters"},
        {"plain", "{" FIFO "}", "InvalidParameterValue", "must end with .fifo suffix and be 1 to 80 in length"},
        {".fifo", "{" FIFO "}", "InvalidParameterValue", "must end with .fifo suffix"},
        {"a.b.fifo", "{" FIFO "}", "InvalidParameterValue", "must end with .fifo suffix"},
        {"plain", "{\"FifoQueue\": \"false\"}", "InvalidAttributeName", "Unknown Attribute FifoQueue."},
        {"a.fifo", "{" FIFO ", \"DeduplicationScope\": \"other\"}", "InvalidAttributeValue",
         "Invalid value for the parameter DeduplicationScope."},
        {"a.fifo", "{" FIFO ", \"ContentBasedDeduplication\": \"yes\"}", "InvalidAttributeValue",
         "Invalid value for the parameter ContentBasedDeduplication."},
        {"a.fifo", "{" FIFO ", \"FifoThroughputLimit\": \"perMessageGroupId\"}", "InvalidAttributeValue",
         "allowed only when the value for DeduplicationScope is messageGroup"},
        {"plain", "{\"ContentBasedDeduplication\": \"true\"}", "InvalidAttributeName",
         "Unknown Attribute ContentBasedDeduplication."},
        {"plain", "{\"FifoThroughputLimit\": \"perQueue\"}", "InvalidAttributeName",
         "You can specify the FifoThroughputLimit only when FifoQueue is set to true."},
    };
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": %s}", CASES[i].name,
                     CASES[i].attributes);
        if (strcmp(c.error, CASES[i].code) != 0 || !strstr(c.message, CASES[i].message))
            fail_msg("%s %s: %s: %s", CASES[i].name, CASES[i].attributes, c.error, c.message);
    }
    char name[81 + 1];
    memset(name, 'x', sizeof name);
    memcpy(name + 75, ".fifo", 6);
    aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": {" FIFO "}}", name);
    assert_int_equal(c.status, 200);
    aws_call_clean_up(&c);
}

static void
fifo_attributes_are_shown_on_fifo_queues_and_may_change_but_for_the_type(void **state)
{
    (void)state;
    struct local_queue q, plain;
    local_queue_make(&q, "{" FIFO "}");
    local_queue_make(&plain, "{}");
    local_queue_ok(&plain, "GetQueueAttributes", ALL);
    size_t of_plain = aws_call_count(&plain.call, "Attributes");
    local_queue_ok(&q, "GetQueueAttributes", ALL);
    assert_int_equal(aws_call_count(&q.call, "Attributes"), of_plain + 4);
    assert_string_equal(local_queue_text(&q, "Attributes.FifoQueue"), "true");
    assert_string_equal(local_queue_text(&q, "Attributes.ContentBasedDeduplication"), "false");
    assert_string_equal(local_queue_text(&q, "Attributes.DeduplicationScope"), "queue");
    assert_string_equal(local_queue_text(&q, "Attributes.FifoThroughputLimit"), "perQueue");

    local_queue_ok(&q, "SetQueueAttributes",
                   ", \"Attributes\": {" FIFO ", \"ContentBasedDeduplication\": \"true\", \"FifoThroughputLimit\":"
                   " \"perMessageGroupId\", \"DeduplicationScope\": \"messageGroup\"}");
    local_queue_ok(&q, "GetQueueAttributes", ALL);
    assert_string_equal(local_queue_text(&q, "Attributes.ContentBasedDeduplication"), "true");
    assert_string_equal(local_queue_text(&q, "Attributes.DeduplicationScope"), "messageGroup");
    assert_string_equal(local_queue_text(&q, "Attributes.FifoThroughputLimit"), "perMessageGroupId");
    local_queue_call(&q, "SetQueueAttributes", ", \"Attributes\": {\"DeduplicationScope\": \"queue\"}");
    assert_string_equal(q.call.error, "InvalidAttributeValue");

    local_queue_call(&q, "SetQueueAttributes", ", \"Attributes\": {\"FifoQueue\": \"false\"}");
    assert_string_equal(q.call.error, "InvalidAttributeValue");
    assert_string_equal(q.call.message,
                        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.");
    local_queue_call(&plain, "SetQueueAttributes", ", \"Attributes\": {\"FifoQueue\": \"true\"}");
    assert_string_equal(plain.call.message, "Unknown Attribute FifoQueue.");

    aws_call_sqs(&plain.call, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": {" FIFO "}}",
                 strrchr(q.url, '/') + 1);
    assert_int_equal(plain.call.status, 200); /* only what was given is compared */
    aws_call_sqs(&plain.call, "CreateQueue",
                 "{\"QueueName\": \"%s\", \"Attributes\": {" FIFO ", \"ContentBasedDeduplication\": \"false\"}}",
                 strrchr(q.url, '/') + 1);
    assert_string_equal(plain.call.error, "QueueAlreadyExists");
    assert_non_null(strstr(plain.call.message, "attribute ContentBasedDeduplication"));
    local_queue_drop(&q);
    local_queue_drop(&plain);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

#define NO_DEDUP                                                                                                       \
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"

static void
a_send_must_name_its_group_and_what_tells_it_apart(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *members, *code, *message;
    } CASES[] = {
        {"SendMessage", ", \"MessageBody\": \"x\"", "MissingParameter",
         "The request must contain the parameter MessageGroupId."},
        {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\"", "InvalidParameterValue", NO_DEDUP},
        {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"\", \"MessageDeduplicationId\": \"d\"",
         "InvalidParameterValue",
         "Value  for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and "
         "punctuation characters. 1 to 128 in length."},
        {"SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"a b\"",
         "InvalidParameterValue",
         "Value a b for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only include "
         "alphanumeric and punctuation characters. 1 to 128 in length."},
        {"SendMessage",
         ", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"d\", \"DelaySeconds\": 2",
         "InvalidParameterValue",
         "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for "
         "this queue type."},
        {"SendMessageBatch",
         ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\","
         " \"MessageDeduplicationId\": \"d\"}, {\"Id\": \"2\", \"MessageBody\": \"x\"}]",
         "InvalidParameterValue", "The request must contain the parameter MessageGroupId."},
        {"SendMessageBatch",
         ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\","
         " \"MessageDeduplicationId\": \"d\"}, {\"Id\": \"2\", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\"}]",
         "InvalidParameterValue", NO_DEDUP},
    };
    struct local_queue q, plain;
    local_queue_make(&q, "{" FIFO "}");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        local_queue_call(&q, CASES[i].operation, CASES[i].members);
        assert_string_equal(q.call.error, CASES[i].code);
        assert_string_equal(q.call.message, CASES[i].message);
    }
    local_queue_assert_counts(&q, 0, 0, 0);
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"d\","
                   " \"DelaySeconds\": 0");
    local_queue_ok(&q, "SendMessageBatch",
                   ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\","
                   " \"MessageDeduplicationId\": \"e\", \"DelaySeconds\": 3}, {\"Id\": \"2\", \"MessageBody\": \"x\","
                   " \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"f\"}]");
    assert_int_equal(aws_call_count(&q.call, "Successful"), 1);
    assert_string_equal(local_queue_text(&q, "Failed.0.Code"), "InvalidParameterValue");
    local_queue_assert_counts(&q, 2, 0, 0);

    local_queue_make(&plain, "{}");
    local_queue_call(&plain, "SendMessage", ", \"MessageBody\": \"x\", \"MessageDeduplicationId\": \"d\"");
    assert_string_equal(plain.call.error, "InvalidParameterValue");
    local_queue_drop(&q);
    local_queue_drop(&plain);
}

static void
sequence_numbers_rise_and_come_with_the_message(void **state)
{
    (void)state;
    struct local_queue q;
    char before[32] = "";
    local_queue_make(&q, "{" FIFO "}");
    for (int i = 0; i < 12; i++) {
        char group[8], id[8];
        snprintf(group, sizeof group, "g%d", i % 2);
        snprintf(id, sizeof id, "id%d", i);
        send_to(&q, group, id);
        const char *number = local_queue_text(&q, "SequenceNumber");
        assert_int_equal(strlen(number), 20);
        assert_int_equal(strspn(number, "0123456789"), 20);
        assert_true(strcmp(number, before) > 0);
        snprintf(before, sizeof before, "%s", number);
    }
    local_queue_ok(&q, "SendMessageBatch",
                   ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\","
                   " \"MessageDeduplicationId\": \"last\"}]");
    const char *number = local_queue_text(&q, "Successful.0.SequenceNumber");
    assert_true(strcmp(number, before) > 0);
    assert_int_equal(local_queue_receive(&q, MOST), 10);
    assert_int_equal(local_queue_receive(&q, MOST ALL), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.SequenceNumber"), number);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.MessageGroupId"), "g");
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.MessageDeduplicationId"), "last");
    local_queue_drop(&q);
}

/* ---- deduplication ----------------------------------------------------------------------------------------------- */

static void
a_message_is_sent_once_in_five_minutes_even_when_it_was_deleted(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_to(&q, "a", "x");
    const char *id = local_queue_text(&q, "MessageId"), *number = local_queue_text(&q, "SequenceNumber");
    local_server_pass(&local_fixture, 1000);
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"another\", \"MessageGroupId\": \"b\", \"MessageDeduplicationId\": \"x\"");
    char md5[DIGEST_MD5_HEX];
    digest_md5_hex("another", 7, md5);
    assert_string_equal(local_queue_text(&q, "MessageId"), id);
    assert_string_equal(local_queue_text(&q, "SequenceNumber"), number);
    assert_string_equal(local_queue_text(&q, "MD5OfMessageBody"), md5); /* of what was sent, which clients check */
    local_queue_assert_counts(&q, 1, 0, 0);
    local_queue_receive(&q, MOST);
    assert_string_equal(bodies(&q), "x");
    settle_ok(&q, "DeleteMessage", handle_of(&q, 0), "");
    local_server_pass(&local_fixture, 298999);
    send_to(&q, "a", "x");
    local_queue_assert_counts(&q, 0, 0, 0);
    local_server_pass(&local_fixture, 1); /* five minutes after the first */
    send_to(&q, "a", "x");
    assert_string_not_equal(local_queue_text(&q, "MessageId"), id);
    local_queue_assert_counts(&q, 1, 0, 0);
    local_queue_ok(&q, "SendMessageBatch",
                   ", \"Entries\": [{\"Id\": \"1\", \"MessageBody\": \"1\", \"MessageGroupId\": \"g\","
                   " \"MessageDeduplicationId\": \"y\"}, {\"Id\": \"2\", \"MessageBody\": \"2\", \"MessageGroupId\":"
                   " \"h\", \"MessageDeduplicationId\": \"y\"}]");
    assert_string_equal(local_queue_text(&q, "Successful.0.MessageId"), local_queue_text(&q, "Successful.1.MessageId"));
    local_queue_assert_counts(&q, 2, 0, 0);
    local_queue_drop(&q);
}

static void
content_is_told_by_the_body_alone(void **state)
{
    (void)state;
    struct local_queue q;
    char sha256[DIGEST_SHA256_HEX];
    local_queue_make(&q, "{" FIFO ", \"ContentBasedDeduplication\": \"true\"}");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"same\", \"MessageGroupId\": \"a\"");
    local_queue_ok(
        &q, "SendMessage",
        ", \"MessageBody\": \"same\", \"MessageGroupId\": \"b\", \"MessageAttributes\": {\"n\": {\"DataType\":"
        " \"String\", \"StringValue\": \"v\"}}");
    local_queue_assert_counts(&q, 1, 0, 0);
    local_queue_ok(&q, "SendMessage",
                   ", \"MessageBody\": \"same\", \"MessageGroupId\": \"a\", \"MessageDeduplicationId\": \"other\"");
    local_queue_assert_counts(&q, 2, 0, 0); /* an id that is given comes before the body */
    local_queue_receive(&q, ALL);
    digest_sha256_hex("same", 4, sha256);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.MessageDeduplicationId"), sha256);
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"else\", \"MessageGroupId\": \"a\"");
    local_queue_assert_counts(&q, 2, 1, 0);
    local_queue_drop(&q);
}

static void
in_the_scope_of_groups_each_group_has_ids_of_its_own(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_to(&q, "a", "x");
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"DeduplicationScope\": \"messageGroup\"}");
    send_to(&q, "a", "x"); /* known from before */
    local_queue_assert_counts(&q, 1, 0, 0);
    send_to(&q, "b", "x");
    send_to(&q, "b", "x");
    send_to(&q, "c", "x");
    local_queue_assert_counts(&q, 3, 0, 0);
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"DeduplicationScope\": \"queue\"}");
    send_to(&q, "d", "x");
    send_to(&q, "b", "x");
    local_queue_assert_counts(&q, 3, 0, 0);
    local_queue_drop(&q);
}

static void
a_purged_or_new_queue_knows_nothing_that_was_sent(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 3);
    local_queue_receive(&q, "");
    local_queue_ok(&q, "PurgeQueue", "");
    local_queue_assert_counts(&q, 0, 0, 0);
    assert_receives(&q, MOST, "");
    send_many(&q, "a", 3);
    assert_receives(&q, MOST, "a1 a2 a3");
    local_queue_drop(&q);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void
a_receive_takes_all_it_can_of_a_group_and_then_of_the_next(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_to(&q, "a", "a1");
    send_to(&q, "b", "b1");
    send_to(&q, "a", "a2");
    send_to(&q, "c", "c1");
    send_to(&q, "b", "b2");
    send_to(&q, "a", "a3");
    assert_receives(&q, ", \"MaxNumberOfMessages\": 4", "a1 a2 a3 b1");
    assert_receives(&q, MOST, "c1"); /* b2 waits for b1 */
    assert_receives(&q, MOST, "");
    local_queue_assert_counts(&q, 1, 5, 0);
    local_server_pass(&local_fixture, 30000);
    assert_receives(&q, MOST, "a1 a2 a3 b1 b2 c1");
    local_queue_drop(&q);
}

static void
a_group_is_blocked_while_an_earlier_message_is_in_flight(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 5);
    assert_receives(&q, ", \"MaxNumberOfMessages\": 3", "a1 a2 a3");
    const char *h1 = handle_of(&q, 0), *h2 = handle_of(&q, 1), *h3 = handle_of(&q, 2);
    assert_receives(&q, MOST, "");
    settle_ok(&q, "DeleteMessage", h2, ""); /* out of the middle */
    assert_receives(&q, MOST, "");
    settle_ok(&q, "ChangeMessageVisibility", h1, ", \"VisibilityTimeout\": 0");
    assert_receives(&q, MOST, "a1"); /* up to the one that is still in flight */
    h1 = handle_of(&q, 0);
    settle_ok(&q, "ChangeMessageVisibility", h3, ", \"VisibilityTimeout\": 0");
    assert_receives(&q, MOST, ""); /* a1 comes before it */
    settle_ok(&q, "DeleteMessage", h1, "");
    assert_receives(&q, MOST, "a3 a4 a5");
    local_queue_drop(&q);
}

static void
deleting_all_in_flight_frees_the_group(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 4);
    assert_receives(&q, ", \"MaxNumberOfMessages\": 2", "a1 a2");
    const char *h1 = handle_of(&q, 0), *h2 = handle_of(&q, 1);
    settle_ok(&q, "DeleteMessage", h1, "");
    assert_receives(&q, MOST, "");
    settle_ok(&q, "DeleteMessage", h2, "");
    assert_receives(&q, MOST, "a3 a4");
    local_queue_drop(&q);
}

static void
an_extended_message_blocks_what_comes_behind_it(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 4);
    assert_receives(&q, ", \"MaxNumberOfMessages\": 3", "a1 a2 a3");
    settle_ok(&q, "ChangeMessageVisibility", handle_of(&q, 1), ", \"VisibilityTimeout\": 60");
    local_server_pass(&local_fixture, 30000);
    assert_receives(&q, MOST, "a1");
    local_server_pass(&local_fixture, 30000);
    assert_receives(&q, MOST, "a1 a2 a3 a4");
    local_queue_drop(&q);
}

static void
the_queues_delay_holds_a_group_and_a_change_of_it_counts_for_those_that_wait(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO ", \"DelaySeconds\": \"10\"}");
    send_many(&q, "a", 1);
    local_server_pass(&local_fixture, 5000);
    send_to(&q, "a", "a2");
    local_queue_assert_counts(&q, 0, 0, 2);
    local_server_pass(&local_fixture, 5000);
    assert_receives(&q, MOST, "a1");
    settle_ok(&q, "DeleteMessage", handle_of(&q, 0), "");
    assert_receives(&q, MOST, "");
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"DelaySeconds\": \"20\"}");
    local_server_pass(&local_fixture, 14999);
    local_queue_assert_counts(&q, 0, 0, 1);
    assert_receives(&q, MOST, "");
    local_server_pass(&local_fixture, 1);
    assert_receives(&q, MOST, "a2");
    send_to(&q, "b", "b1");
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"DelaySeconds\": \"0\"}");
    local_queue_assert_counts(&q, 1, 1, 0);
    assert_receives(&q, MOST, "b1");
    local_queue_drop(&q);
}

static void
what_is_too_old_goes_without_blocking_its_group(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO ", \"MessageRetentionPeriod\": \"60\", \"VisibilityTimeout\": \"1000\"}");
    send_many(&q, "a", 2);
    local_server_pass(&local_fixture, 40000);
    send_to(&q, "a", "a3");
    assert_receives(&q, "", "a1");
    local_server_pass(&local_fixture, 20000);
    assert_receives(&q, MOST, "a3");
    local_queue_assert_counts(&q, 0, 1, 0);
    local_queue_drop(&q);
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

static void
a_poll_wakes_the_instant_its_group_is_freed(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting;
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 3);
    assert_receives(&q, ", \"MaxNumberOfMessages\": 2", "a1 a2");
    const char *h1 = handle_of(&q, 0), *h2 = handle_of(&q, 1);
    local_queue_begin_wait(&q, &waiting, 20, 1);
    settle_ok(&q, "DeleteMessage", h1, "");
    assert_false(local_queue_is_answered(&waiting));
    settle_ok(&q, "DeleteMessage", h2, "");
    assert_int_equal(local_queue_end_wait(&waiting), 1);

    send_many(&q, "b", 2);
    assert_receives(&q, "", "b1");
    h1 = handle_of(&q, 0);
    local_queue_begin_wait(&q, &waiting, 20, 1);
    settle_ok(&q, "ChangeMessageVisibility", h1, ", \"VisibilityTimeout\": 0");
    assert_int_equal(local_queue_end_wait(&waiting), 2);

    send_many(&q, "c", 2);
    assert_receives(&q, ", \"VisibilityTimeout\": 5", "c1");
    local_queue_begin_wait(&q, &waiting, 20, 1);
    local_server_pass(&local_fixture, 4999);
    assert_false(local_queue_is_answered(&waiting));
    local_server_pass(&local_fixture, 1);
    assert_int_equal(local_queue_end_wait(&waiting), 2);

    local_queue_begin_wait(&q, &waiting, 20, 1);
    send_to(&q, "c", "c3"); /* its group is blocked */
    send_to(&q, "d", "d1");
    assert_int_equal(local_queue_end_wait(&waiting), 1);
    local_queue_drop(&q);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static void
an_expired_handle_is_refused_and_an_extended_one_is_not(void **state)
{
    (void)state;
    struct local_queue q;
    char batch[600];
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 2);
    assert_receives(&q, MOST, "a1 a2");
    const char *h1 = handle_of(&q, 0), *h2 = handle_of(&q, 1);
    settle_ok(&q, "ChangeMessageVisibility", h1, ", \"VisibilityTimeout\": 100");
    local_server_pass(&local_fixture, 30000);

    static const char *const OPERATIONS[] = {"DeleteMessage", "ChangeMessageVisibility"};
    for (size_t i = 0; i < 2; i++) {
        char message[300];
        local_queue_settle(&q, OPERATIONS[i], h2, ", \"VisibilityTimeout\": 10");
        snprintf(message, sizeof message, "Value %s for parameter ReceiptHandle is invalid. " EXPIRED, h2);
        assert_string_equal(q.call.error, "InvalidParameterValue");
        assert_string_equal(q.call.message, message);
        snprintf(batch, sizeof batch,
                 ", \"Entries\": [{\"Id\": \"1\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 50},"
                 " {\"Id\": \"2\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 50}]",
                 h2, h1);
        local_queue_ok(&q, i ? "DeleteMessageBatch" : "ChangeMessageVisibilityBatch", batch);
        assert_string_equal(local_queue_text(&q, "Successful.0.Id"), "2");
        assert_string_equal(local_queue_text(&q, "Failed.0.Id"), "1");
        assert_string_equal(local_queue_text(&q, "Failed.0.Code"), "ReceiptHandleIsInvalid");
        assert_string_equal(local_queue_text(&q, "Failed.0.Message"), "The receipt handle has expired");
        struct json fault;
        assert_true(aws_call_at(&q.call, "Failed.0.SenderFault", &fault) && json_bool(fault));
    }
    local_queue_assert_counts(&q, 1, 0, 0);
    settle_ok(&q, "DeleteMessage", h1, ""); /* again, of one that is gone */
    assert_receives(&q, MOST, "a2");
    h1 = handle_of(&q, 0);
    local_queue_settle(&q, "DeleteMessage", h2, ""); /* of the receive before */
    assert_non_null(strstr(q.call.message, EXPIRED));
    settle_ok(&q, "DeleteMessage", h1, "");
    local_queue_settle(&q, "ChangeMessageVisibility", h2, ", \"VisibilityTimeout\": 10");
    assert_non_null(
        strstr(q.call.message, "Message does not exist or is not available for visibility timeout change."));
    local_queue_drop(&q);
}

/* ---- receives asked for again ------------------------------------------------------------------------------------ */

#define ATTEMPT(id) ", \"ReceiveRequestAttemptId\": \"" id "\""

static void
a_receive_asked_for_again_brings_the_same_handles_and_begins_the_timeout_anew(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO "}");
    send_many(&q, "a", 3);
    send_many(&q, "b", 1);
    assert_receives(&q, ", \"MaxNumberOfMessages\": 2" ATTEMPT("one"), "a1 a2");
    const char *h1 = handle_of(&q, 0), *h2 = handle_of(&q, 1);
    local_server_pass(&local_fixture, 20000);
    assert_receives(&q, ATTEMPT("one") ALL, "a1 a2");
    assert_string_equal(handle_of(&q, 0), h1);
    assert_string_equal(handle_of(&q, 1), h2);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.ApproximateReceiveCount"), "1");
    assert_receives(&q, MOST ATTEMPT("two"), "b1");
    local_server_pass(&local_fixture, 20000);
    local_queue_assert_counts(&q, 1, 3, 0);
    settle_ok(&q, "DeleteMessage", h1, "");
    assert_receives(&q, MOST ATTEMPT("one"), ""); /* one was deleted: a receive like any other */
    local_server_pass(&local_fixture, 10000);
    assert_receives(&q, MOST ATTEMPT("two"), "a2 a3 b1"); /* and b1 had come back */
    settle_ok(&q, "ChangeMessageVisibility", handle_of(&q, 2), ", \"VisibilityTimeout\": 100");
    assert_receives(&q, MOST ATTEMPT("two"), "");
    local_queue_drop(&q);
}

static void
an_attempt_is_known_for_five_minutes(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{" FIFO ", \"VisibilityTimeout\": \"1000\"}");
    send_many(&q, "a", 1);
    assert_receives(&q, ATTEMPT("x"), "a1");
    local_server_pass(&local_fixture, 299999);
    assert_receives(&q, ATTEMPT("x"), "a1");
    local_server_pass(&local_fixture, 1);
    assert_receives(&q, ATTEMPT("x"), "");
    local_queue_call(&q, "ReceiveMessage", ATTEMPT("a b"));
    assert_string_equal(q.call.error, "InvalidParameterValue");
    local_queue_drop(&q);
}

/* ---- dead letters ------------------------------------------------------------------------------------------------ */

static void
a_dead_letter_keeps_its_group_and_gets_its_message_id_for_a_deduplication_id(void **state)
{
    (void)state;
    struct local_queue q, dead;
    struct aws_call waiting;
    char attributes[400], id[64], sent[32], number[32];
    local_queue_make(&dead, "{" FIFO ", \"VisibilityTimeout\": \"0\"}");
    snprintf(attributes, sizeof attributes,
             "{" FIFO ", \"VisibilityTimeout\": \"10\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":"
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":\\\"1\\\"}\"}",
             strrchr(dead.url, '/') + 1);
    local_queue_make(&q, attributes);
    send_many(&q, "a", 3);
    assert_receives(&q, ", \"MaxNumberOfMessages\": 2" ALL, "a1 a2");
    snprintf(id, sizeof id, "%s", local_queue_text(&q, "Messages.1.MessageId"));
    snprintf(sent, sizeof sent, "%s", local_queue_text(&q, "Messages.1.Attributes.SentTimestamp"));
    snprintf(number, sizeof number, "%s", local_queue_text(&q, "Messages.1.Attributes.SequenceNumber"));
    local_server_pass(&local_fixture, 10000);
    local_queue_begin_wait(&dead, &waiting, 20, 1);
    assert_receives(&q, MOST, "a3"); /* the others go, and block it no more */
    assert_int_equal(local_queue_end_wait(&waiting), 2);
    local_queue_assert_counts(&q, 0, 1, 0);
    assert_receives(&dead, MOST ALL, "a1 a2");
    assert_string_equal(local_queue_text(&dead, "Messages.1.MessageId"), id);
    assert_string_equal(local_queue_text(&dead, "Messages.1.Attributes.MessageDeduplicationId"), id);
    assert_string_equal(local_queue_text(&dead, "Messages.1.Attributes.MessageGroupId"), "a");
    assert_int_equal(atoll(local_queue_text(&dead, "Messages.1.Attributes.SentTimestamp")), atoll(sent) + 10000);
    assert_true(strcmp(local_queue_text(&dead, "Messages.1.Attributes.SequenceNumber"), number) > 0);
    assert_int_equal(atoi(local_queue_text(&dead, "Messages.1.Attributes.ApproximateReceiveCount")), 3);
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

/* A message move task takes dead letters back in their order, to groups that a poll waits for. */
static void
dead_letters_are_moved_back_in_order(void **state)
{
    (void)state;
    struct local_queue q, dead;
    struct aws_call waiting;
    char attributes[400];
    local_queue_make(&dead, "{" FIFO "}");
    snprintf(attributes, sizeof attributes,
             "{" FIFO ", \"VisibilityTimeout\": \"10\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":"
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":\\\"1\\\"}\"}",
             strrchr(dead.url, '/') + 1);
    local_queue_make(&q, attributes);
    send_many(&q, "a", 3);
    send_many(&q, "b", 2);
    assert_receives(&q, MOST, "a1 a2 a3 b1 b2");
    local_server_pass(&local_fixture, 10000);
    local_queue_begin_wait(&q, &waiting, 20, 1);
    local_queue_assert_counts(&dead, 5, 0, 0);
    aws_call_sqs(&dead.call, "StartMessageMoveTask", "{\"SourceArn\": \"arn:aws:sqs:us-east-1:000000000000:%s\"}",
                 strrchr(dead.url, '/') + 1);
    assert_int_equal(dead.call.status, 200);
    assert_int_equal(local_queue_end_wait(&waiting), 5);
    local_queue_assert_counts(&dead, 0, 0, 0);
    local_queue_assert_counts(&q, 0, 5, 0);
    local_queue_ok(&q, "SetQueueAttributes", ", \"Attributes\": {\"RedrivePolicy\": \"\"}");
    local_server_pass(&local_fixture, 10000);
    assert_receives(&q, MOST ALL, "a1 a2 a3 b1 b2");
    assert_string_equal(local_queue_text(&q, "Messages.4.Attributes.ApproximateReceiveCount"), "2");
    assert_string_equal(local_queue_text(&q, "Messages.4.Attributes.MessageGroupId"), "b");
    local_queue_drop(&q);
    local_queue_drop(&dead);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_is_fifo_by_its_name_and_its_attribute_or_by_neither),
        cmocka_unit_test(fifo_attributes_are_shown_on_fifo_queues_and_may_change_but_for_the_type),
        cmocka_unit_test(a_send_must_name_its_group_and_what_tells_it_apart),
        cmocka_unit_test(sequence_numbers_rise_and_come_with_the_message),
        cmocka_unit_test(a_message_is_sent_once_in_five_minutes_even_when_it_was_deleted),
        cmocka_unit_test(content_is_told_by_the_body_alone),
        cmocka_unit_test(in_the_scope_of_groups_each_group_has_ids_of_its_own),
        cmocka_unit_test(a_purged_or_new_queue_knows_nothing_that_was_sent),
        cmocka_unit_test(a_receive_takes_all_it_can_of_a_group_and_then_of_the_next),
        cmocka_unit_test(a_group_is_blocked_while_an_earlier_message_is_in_flight),
        cmocka_unit_test(deleting_all_in_flight_frees_the_group),
        cmocka_unit_test(an_extended_message_blocks_what_comes_behind_it),
        cmocka_unit_test(the_queues_delay_holds_a_group_and_a_change_of_it_counts_for_those_that_wait),
        cmocka_unit_test(what_is_too_old_goes_without_blocking_its_group),
        cmocka_unit_test(a_poll_wakes_the_instant_its_group_is_freed),
        cmocka_unit_test(an_expired_handle_is_refused_and_an_extended_one_is_not),
        cmocka_unit_test(a_receive_asked_for_again_brings_the_same_handles_and_begins_the_timeout_anew),
        cmocka_unit_test(an_attempt_is_known_for_five_minutes),
        cmocka_unit_test(a_dead_letter_keeps_its_group_and_gets_its_message_id_for_a_deduplication_id),
        cmocka_unit_test(dead_letters_are_moved_back_in_order),
    };
    return cmocka_run_group_tests_name("local/sqs FIFO", tests, local_fixture_start_with_clock, local_fixture_stop);
}
