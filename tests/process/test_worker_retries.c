/* What follows failures, with the real worker and the real queue: delays, attempts, dead letters, and the dead-letter
 * queue that is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/admin.h"
#include "lib/scripted.h"

static int
forget_faults(void **state)
{
    (void)state;
    admin_clear_faults(local_fixture.url);
    return 0;
}

/* ---- what dead letters carry ---- */

static void
take_dead_letter(struct scripted *s)
{
    assert_int_equal(local_queue_receive(&s->dead, ", \"MessageAttributeNames\": [\"All\"], "
                                                   "\"MessageSystemAttributeNames\": [\"All\"], "
                                                   "\"WaitTimeSeconds\": 5"),
                     1);
}

/* The text of an attribute of it, as JSON has it between its quotation marks; "": it has none. */
static const char *
attribute(struct scripted *s, const char *name)
{
    struct json attributes, one, value;
    static char out[4][2000];
    static int n;
    char *at = out[n++ % 4];
    *at = 0;
    if (aws_call_at(&s->dead.call, "Messages.0.MessageAttributes", &attributes) && json_get(attributes, name, &one) &&
        json_get(one, "StringValue", &value))
        snprintf(at, sizeof *out, "%.*s", SLICE_ARG(json_raw(value)));
    return at;
}

#define ASSERT_ATTRIBUTE(s, name, value) assert_string_equal(attribute(s, name), value)

static void
assert_time(struct scripted *s, const char *name)
{
    int64_t ms;
    struct err e;
    const char *text = attribute(s, name);
    assert_int_equal(strlen(text), 24);
    assert_int_equal(clock_parse_iso8601(text, 24, &ms, &e), 0);
    assert_in_range(ms, clock_wall_ms() - 120000, clock_wall_ms() + 1000);
}

/* All that there is besides the body, and the receipt for it. */
#define ALL_KINDS                                                                                                      \
    ", \"MessageBody\": \"a always retry\", \"MessageAttributes\": {"                                                  \
    "\"colour\": {\"DataType\": \"String.custom\", \"StringValue\": \"blue\"}, "                                       \
    "\"size\": {\"DataType\": \"Number\", \"StringValue\": \"1.10\"}, "                                                \
    "\"raw\": {\"DataType\": \"Binary\", \"BinaryValue\": \"AAEC/w==\"}}, "                                            \
    "\"MessageSystemAttributes\": {\"AWSTraceHeader\": {\"DataType\": \"String\", "                                    \
    "\"StringValue\": \"Root=1-5759e988-bd862e3fe1be46a994272793\"}}"

static void
assert_own_is_kept(struct scripted *s)
{
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.Body"), "a always retry");
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.MessageAttributes.colour.DataType"), "String.custom");
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.MessageAttributes.colour.StringValue"), "blue");
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.MessageAttributes.size.DataType"), "Number");
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.MessageAttributes.size.StringValue"), "1.10");
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.MessageAttributes.raw.BinaryValue"), "AAEC/w==");
    assert_string_equal(local_queue_text(&s->dead, "Messages.0.Attributes.AWSTraceHeader"),
                        "Root=1-5759e988-bd862e3fe1be46a994272793");
}

static void
attempts_that_are_used_up_end_in_a_dead_letter_that_says_so_and_keeps_everything(void **state)
{
    (void)state;
    struct scripted s;
    char host[256] = "", quoted[300];
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    scripted_make(&s, "");
    local_queue_ok(&s.queue, "SendMessage", ALL_KINDS);
    char *id = strdup(local_queue_text(&s.queue, "MessageId"));
    scripted_start(&s, "script", "retry = { base_ms = 1; cap_ms = 1; max_attempts = 2; };");
    SCRIPTED_AWAIT_COUNT(&s, retried, 1);
    scripted_pass(&s, 2000, 500);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 1);
    take_dead_letter(&s);
    assert_own_is_kept(&s);
    ASSERT_ATTRIBUTE(&s, "fanout.reason",
                     "failed 2 times, as often as retry.max_attempts allows; last: no reason given");
    ASSERT_ATTRIBUTE(&s, "fanout.reason-kind", "attempts");
    assert_string_equal(attribute(&s, "fanout.message-id"), id);
    ASSERT_ATTRIBUTE(&s, "fanout.attempts", "2");
    ASSERT_ATTRIBUTE(&s, "fanout.receive-count", "2");
    const char *all = attribute(&s, "fanout.dead-letter"); /* ten would be passed: the rest is in here */
    snprintf(quoted, sizeof quoted, "\\\"host\\\":\\\"%s\\\"", host);
    assert_non_null(strstr(all, quoted));
    assert_non_null(strstr(all, "\\\"consumer\\\":\\\"orders\\\",\\\"handler\\\":\\\"script"));
    assert_non_null(strstr(all, "\\\"first-received\\\":\\\"20"));
    assert_non_null(strstr(all, "\\\"last-failed\\\":\\\"20"));
    assert_int_equal(scripted_drain(&s), 0);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(SCRIPTED_COUNT(&s, exhausted), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, rejected), 0);
    scripted_drop(&s);
    free(id);
}

#define DEAD_LETTERS_LOST "{\"action\": \"sqs:SendMessageBatch\", \"kind\": \"drop_after\", \"count\": 2}"

static void
a_fifo_dead_letter_keeps_its_group_and_is_there_once_however_often_it_is_sent(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"FifoQueue\": \"true\"");
    local_queue_ok(&s.queue, "SendMessage",
                   ", \"MessageBody\": \"a reject:broken\", \"MessageGroupId\": \"g-7\", "
                   "\"MessageDeduplicationId\": \"d-1\"");
    char *id = strdup(local_queue_text(&s.queue, "MessageId"));
    admin_set_fault(local_fixture.url, DEAD_LETTERS_LOST);
    scripted_start(&s, "script", "");
    for (int i = 0; i < 100 && SCRIPTED_COUNT(&s, deleted) == 0; i++)
        scripted_pass(&s, 1000, 200); /* pauses between the tries */
    take_dead_letter(&s);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Attributes.MessageGroupId"), "g-7");
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Attributes.MessageDeduplicationId"), id);
    ASSERT_ATTRIBUTE(&s, "fanout.reason", "broken");
    ASSERT_ATTRIBUTE(&s, "fanout.reason-kind", "rejected");
    ASSERT_ATTRIBUTE(&s, "fanout.attempts", "1");
    ASSERT_ATTRIBUTE(&s, "fanout.consumer", "orders");
    assert_time(&s, "fanout.first-received");
    assert_time(&s, "fanout.last-failed");
    assert_int_equal(admin_struck(local_fixture.url, 0), 2);
    scripted_await_queue(&s.queue, 0, 0);
    scripted_await_queue(&s.dead, 0, 1);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
    free(id);
}

/* As AWS has it when the answer is lost: the letter is there, and is sent again. */
static void
a_fifo_dead_letter_with_attributes_is_complete_and_there_once_after_lost_answers(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"FifoQueue\": \"true\"");
    local_queue_ok(&s.queue, "SendMessage",
                   ALL_KINDS ", \"MessageGroupId\": \"g-7\", \"MessageDeduplicationId\": \"d-1\"");
    char *id = strdup(local_queue_text(&s.queue, "MessageId"));
    admin_set_fault(local_fixture.url, DEAD_LETTERS_LOST);
    scripted_start(&s, "script", "retry = { max_attempts = 1; };");
    for (int i = 0; i < 100 && SCRIPTED_COUNT(&s, deleted) == 0; i++)
        scripted_pass(&s, 1000, 200);
    assert_int_equal(admin_struck(local_fixture.url, 0), 2);
    take_dead_letter(&s);
    assert_own_is_kept(&s);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Attributes.MessageGroupId"), "g-7");
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Attributes.MessageDeduplicationId"), id);
    assert_string_equal(attribute(&s, "fanout.message-id"), id);
    ASSERT_ATTRIBUTE(&s, "fanout.reason-kind", "attempts");
    ASSERT_ATTRIBUTE(&s, "fanout.attempts", "1");
    ASSERT_ATTRIBUTE(&s, "fanout.receive-count", "1");
    assert_non_null(strstr(attribute(&s, "fanout.dead-letter"), "\\\"consumer\\\":\\\"orders\\\""));
    scripted_await_queue(&s.queue, 0, 0);
    scripted_await_queue(&s.dead, 0, 1); /* and no other */
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
    free(id);
}

static void
nothing_is_deleted_before_its_dead_letter_is_confirmed(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a reject:broken", "b reject:broken");
    admin_set_fault(local_fixture.url,
                    "{\"action\": \"sqs:SendMessageBatch\", \"kind\": \"error\", \"status\": 503, \"count\": 0}");
    scripted_start(&s, "script", "");
    SCRIPTED_AWAIT_COUNT(&s, rejected, 2);
    for (int i = 0; i < 100 && admin_struck(local_fixture.url, 0) < 3; i++)
        scripted_pass(&s, 1000, 200);
    assert_true(admin_struck(local_fixture.url, 0) >= 3);
    scripted_await_queue(&s.queue, 0, 2);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 0);
    admin_clear_faults(local_fixture.url);
    for (int i = 0; i < 100 && SCRIPTED_COUNT(&s, deleted) < 2; i++)
        scripted_pass(&s, 1000, 200);
    scripted_await_queue(&s.queue, 0, 0);
    scripted_await_queue(&s.dead, 2, 0);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

static void
what_is_no_event_or_does_not_match_is_a_dead_letter_of_its_kind(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *kind, *reason;
    } cases[] = {{"envelope = \"eventbridge\";", "undecodable", "undecodable body: "},
                 {"filter = \"{\\\"source\\\": [\\\"x\\\"]}\"; on_mismatch = \"dead_letter\";", "mismatch",
                  "does not match the consumer's filter"}};
    for (size_t i = 0; i < 2; i++) {
        struct scripted s;
        scripted_make(&s, "");
        SCRIPTED_SEND(&s, i == 0 ? "a done" : "{\\\"source\\\": \\\"y\\\"}");
        scripted_start(&s, "script", cases[i].settings);
        SCRIPTED_AWAIT_COUNT(&s, deleted, 1);
        take_dead_letter(&s);
        assert_string_equal(attribute(&s, "fanout.reason-kind"), cases[i].kind);
        assert_int_equal(strncmp(attribute(&s, "fanout.reason"), cases[i].reason, strlen(cases[i].reason)), 0);
        ASSERT_ATTRIBUTE(&s, "fanout.attempts", "0");
        ASSERT_ATTRIBUTE(&s, "fanout.receive-count", "1");
        assert_int_equal(SCRIPTED_COUNT(&s, rejected), 0);
        assert_int_equal(scripted_recorded(&s, "begin"), 0);
        assert_int_equal(scripted_drain(&s), 0);
        scripted_drop(&s);
    }
}

/* Room for the body alone, and then for a little more. */
static void
a_message_as_large_as_sqs_allows_is_moved_whole(void **state)
{
    (void)state;
    for (size_t room = 0; room <= 200; room += 200) {
        struct scripted s;
        struct buf request = BUF_INIT;
        scripted_make(&s, "");
        buf_add_format(&request, "{\"QueueUrl\": \"%s\", \"MessageBody\": \"a reject:", s.queue.url);
        for (size_t n = strlen("a reject:"); n < 1048576 - room; n++)
            buf_add_char(&request, 'x');
        buf_add_string(&request, "\"}");
        assert_int_equal(aws_call_sqs_body(&s.queue.call, "SendMessage", buf_slice(&request)), 200);
        buf_clean_up(&request);
        scripted_start(&s, "script", "");
        SCRIPTED_AWAIT_COUNT(&s, deleted, 1);
        take_dead_letter(&s);
        struct json body;
        assert_true(aws_call_at(&s.dead.call, "Messages.0.Body", &body));
        assert_int_equal(json_raw(body).n, 1048576 - room);
        assert_int_equal(aws_call_count(&s.dead.call, "Messages.0.MessageAttributes") > 0, room > 0);
        assert_string_equal(attribute(&s, "fanout.reason-kind"), room > 0 ? "rejected" : "");
        assert_int_equal(scripted_drain(&s), 0);
        scripted_drop(&s);
    }
}

/* A queue that was made when SQS allowed less, and one that a person gave less. */
static void
a_message_as_large_as_its_dead_letter_queue_allows_is_moved_whole(void **state)
{
    (void)state;
    static const struct {
        size_t limit, room;
        const char *kind;
    } cases[] = {{262144, 150, "rejected"}, {262144, 20, ""}, {2048, 20, ""}, {2048, 0, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scripted s;
        struct buf request = BUF_INIT;
        char limit[100];
        size_t size = cases[i].limit - cases[i].room;
        scripted_make(&s, "");
        snprintf(limit, sizeof limit, ", \"Attributes\": {\"MaximumMessageSize\": \"%zu\"}", cases[i].limit);
        local_queue_ok(&s.dead, "SetQueueAttributes", limit);
        buf_add_format(&request, "{\"QueueUrl\": \"%s\", \"MessageBody\": \"a reject:", s.queue.url);
        for (size_t n = strlen("a reject:"); n < size; n++)
            buf_add_char(&request, 'x');
        buf_add_string(&request, "\"}");
        assert_int_equal(aws_call_sqs_body(&s.queue.call, "SendMessage", buf_slice(&request)), 200);
        buf_clean_up(&request);
        scripted_start(&s, "script", "");
        SCRIPTED_AWAIT_COUNT(&s, deleted, 1);
        take_dead_letter(&s);
        struct json body;
        assert_true(aws_call_at(&s.dead.call, "Messages.0.Body", &body));
        assert_int_equal(json_raw(body).n, size);
        assert_string_equal(attribute(&s, "fanout.reason-kind"), cases[i].kind);
        assert_int_equal(scripted_recorded(&s, "begin"), 1);
        assert_int_equal(scripted_drain(&s), 0);
        scripted_drop(&s);
    }
}

static void
ten_attributes_of_a_message_are_all_kept(void **state)
{
    (void)state;
    struct scripted s;
    char members[1500];
    int n = snprintf(members, sizeof members, ", \"MessageBody\": \"a reject:broken\", \"MessageAttributes\": {");
    for (int i = 0; i < 10; i++)
        n += snprintf(members + n, sizeof members - (size_t)n,
                      "%s\"own-%d\": {\"DataType\": \"String\", \"StringValue\": \"%d\"}", i > 0 ? ", " : "", i, i);
    snprintf(members + n, sizeof members - (size_t)n, "}");
    scripted_make(&s, "");
    for (int i = 0; i < 5; i++)
        local_queue_ok(&s.queue, "SendMessage", members);
    scripted_start(&s, "script", "");
    SCRIPTED_AWAIT_COUNT(&s, deleted, 5);
    take_dead_letter(&s);
    assert_int_equal(aws_call_count(&s.dead.call, "Messages.0.MessageAttributes"), 10);
    ASSERT_ATTRIBUTE(&s, "own-0", "0");
    ASSERT_ATTRIBUTE(&s, "own-9", "9");
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_logged(&s, "reason=broken"), 5); /* of each: it is nowhere else */
    scripted_drop(&s);
}

/* ---- how often ---- */

/* How many requests for that the server had. */
static int64_t
asked(const char *operation)
{
    char path[100];
    snprintf(path, sizeof path, "operations.sqs:%s.calls", operation);
    int64_t n = admin_figure(local_fixture.url, path);
    return n < 0 ? 0 : n;
}

static void
set_redrive(struct scripted *s, int max_receive_count)
{
    char members[400];
    snprintf(members, sizeof members,
             ", \"Attributes\": {\"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\": "
             "\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\", \\\"maxReceiveCount\\\": %d}\"}",
             strrchr(s->dead.url, '/') + 1, max_receive_count);
    local_queue_ok(&s->queue, "SetQueueAttributes",
                   max_receive_count > 0 ? members : ", \"Attributes\": {\"RedrivePolicy\": \"\"}");
}

/* SQS would move it at the next receive, and say nothing. */
static void
the_last_receive_ends_in_a_dead_letter_with_its_reason(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    set_redrive(&s, 2);
    SCRIPTED_SEND(&s, "a always retry");
    scripted_start(&s, "script", "retry = { base_ms = 1; cap_ms = 1; };");
    for (int i = 0; i < 100 && SCRIPTED_COUNT(&s, deleted) == 0; i++)
        scripted_pass(&s, 1000, 200);
    take_dead_letter(&s);
    ASSERT_ATTRIBUTE(&s, "fanout.reason",
                     "failed at receive 2, the last that the queue's maxReceiveCount allows; last: no reason given");
    ASSERT_ATTRIBUTE(&s, "fanout.reason-kind", "receives");
    assert_int_equal(scripted_recorded(&s, "a begin"), 2);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_logged(&s, "maxReceiveCount leaves few receives"), 1);
    assert_int_equal(scripted_logged(&s, "at_least=3"), 1);
    scripted_drop(&s);
}

/* The second of a group is received with the first, and given back unhandled each time that one fails. */
static void
receives_without_a_handler_are_no_attempts(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"FifoQueue\": \"true\", \"VisibilityTimeout\": \"20\"");
    for (int i = 0; i < 2; i++) {
        char members[200];
        snprintf(members, sizeof members,
                 ", \"MessageBody\": \"%c always retry:30000\", \"MessageGroupId\": \"g\", "
                 "\"MessageDeduplicationId\": \"d-%d\"",
                 'a' + i, i);
        local_queue_ok(&s.queue, "SendMessage", members);
    }
    scripted_start(&s, "script_each", "threads = 1; retry = { max_attempts = 3; };");
    for (int i = 0; i < 400 && SCRIPTED_COUNT(&s, deleted) < 2; i++)
        scripted_pass(&s, 2000, 1000);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 2);
    assert_int_equal(scripted_recorded(&s, "a begin"), 3);
    assert_int_equal(scripted_recorded(&s, "b begin"), 3);
    take_dead_letter(&s);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Body"), "a always retry:30000");
    assert_string_equal(local_queue_text(&s.dead, "Messages.1.Body"), "(no Messages.1.Body)");
    local_queue_settle(&s.dead, "DeleteMessage", local_queue_text(&s.dead, "Messages.0.ReceiptHandle"), "");
    take_dead_letter(&s);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Body"), "b always retry:30000");
    ASSERT_ATTRIBUTE(&s, "fanout.attempts", "3");
    assert_true(atoi(attribute(&s, "fanout.receive-count")) > 3); /* or nothing was tested */
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

/* Each give-back would cost those behind it one of their receives, and the queue moves them silently after the last. */
static void
one_that_fails_leaves_those_behind_it_a_receive(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"FifoQueue\": \"true\", \"VisibilityTimeout\": \"20\"");
    set_redrive(&s, 4);
    static const char *const BODIES[] = {"a always retry:30000", "b done", "c done"};
    for (int i = 0; i < 3; i++) {
        char members[200];
        snprintf(members, sizeof members,
                 ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"d-%d\"",
                 BODIES[i], i);
        local_queue_ok(&s.queue, "SendMessage", members);
    }
    scripted_start(&s, "script_each", "threads = 2;");
    for (int i = 0; i < 400 && SCRIPTED_COUNT(&s, deleted) < 3; i++)
        scripted_pass(&s, 2000, 1000);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 3);
    assert_int_equal(scripted_recorded(&s, "a begin"), 4);
    assert_int_equal(scripted_recorded(&s, "a begin 3"), 2); /* the second of them under the same lease */
    assert_int_equal(scripted_recorded(&s, "b begin 3"), 1);
    assert_int_equal(scripted_recorded(&s, "c begin 3"), 1);
    take_dead_letter(&s);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Body"), BODIES[0]);
    ASSERT_ATTRIBUTE(&s, "fanout.attempts", "4");
    ASSERT_ATTRIBUTE(&s, "fanout.reason",
                     "failed 4 times, as often as the queue's maxReceiveCount allows; last: no reason given");
    assert_string_equal(local_queue_text(&s.dead, "Messages.1.Body"), "(no Messages.1.Body)");
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

static void
what_is_left_to_the_queue_is_moved_by_the_queue(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    set_redrive(&s, 4);
    SCRIPTED_SEND(&s, "a always retry");
    scripted_start(&s, "script", "retry = { base_ms = 1; cap_ms = 1; max_attempts = 2; then = \"leave_to_queue\"; };");
    for (int i = 0; i < 100 && local_queue_attribute(&s.dead, "ApproximateNumberOfMessages") == 0; i++)
        scripted_pass(&s, 1000, 200);
    take_dead_letter(&s);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Body"), "a always retry");
    assert_string_equal(attribute(&s, "fanout.reason"), "");
    assert_int_equal(scripted_recorded(&s, "a begin"), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, left_to_queue), 3);
    assert_int_equal(SCRIPTED_COUNT(&s, exhausted), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_logged(&s, "left to the queue"), 1);
    scripted_drop(&s);
}

/* Without a bound of its own, and without a policy of the queue's: for ever, but never in a hot loop. */
static void
a_handler_that_wants_its_message_at_once_over_and_over_gets_it_once_a_second(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    set_redrive(&s, 0);
    SCRIPTED_SEND(&s, "a always retry:0");
    scripted_start(&s, "script", "");
    scripted_await_recorded(&s, "a begin", 2); /* the first time it is at once */
    int64_t start_ms = clock_monotonic_ms(), receives = asked("ReceiveMessage");
    int64_t changes = asked("ChangeMessageVisibilityBatch");
    scripted_pass(&s, 30000, 250);
    int64_t passed_s = (clock_monotonic_ms() - start_ms) / 1000 + 1;
    assert_in_range(scripted_recorded(&s, "a begin"), 10, 2 + (size_t)passed_s + 1);
    assert_in_range(asked("ChangeMessageVisibilityBatch") - changes, 10, passed_s + 1);
    assert_in_range(asked("ReceiveMessage") - receives, 10, 3 * passed_s);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

/* ---- heartbeat and backoff ---- */

/* The extension of its lease is on its way, slowly, when the handler asks for two minutes. */
static void
an_extension_under_way_does_not_overwrite_the_delay(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, ", \"VisibilityTimeout\": \"20\"");
    SCRIPTED_SEND(&s, "a wait retry:120000");
    admin_set_fault(local_fixture.url, "{\"action\": \"sqs:ChangeMessageVisibilityBatch\", \"kind\": \"delay\", "
                                       "\"delay_ms\": 4000, \"count\": 1}");
    scripted_start(&s, "script", "");
    scripted_await_recorded(&s, "a waits", 1);
    for (int i = 0; i < 30 && admin_struck(local_fixture.url, 0) == 0; i++)
        scripted_pass(&s, 1000, 1000);
    assert_int_equal(admin_struck(local_fixture.url, 0), 1);
    scripted_open_gate(&s, 1);
    SCRIPTED_AWAIT_COUNT(&s, retried, 1);
    int64_t retried_ms = clock_monotonic_ms();
    for (int i = 0; i < 30 && METRICS_GET(s.worker.metrics, in_flight) > 0; i++)
        scripted_pass(&s, 1000, 500);
    assert_int_equal(METRICS_GET(s.worker.metrics, in_flight), 0);
    while (clock_monotonic_ms() - retried_ms < 110000) {
        assert_int_equal(local_queue_attribute(&s.queue, "ApproximateNumberOfMessages"), 0);
        assert_int_equal(scripted_recorded(&s, "a again"), 0);
        scripted_pass(&s, 5000, 5000);
    }
    for (int i = 0; i < 30 && scripted_recorded(&s, "a again") == 0; i++)
        scripted_pass(&s, 1000, 500);
    assert_in_range(clock_monotonic_ms() - retried_ms, 115000, 140000);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

/* ---- a dead-letter queue that is needed ---- */

static void
await_health(struct scripted *s, enum ipc_health health, struct ipc_message *m)
{
    do
        assert_true(lone_worker_wait(&s->worker, IPC_HEALTH, m, SCRIPTED_SOON_MS));
    while (m->number != (int64_t)health);
}

static void
a_worker_without_the_dead_letter_queue_it_needs_says_so_and_goes_on_once_there_is_one(void **state)
{
    (void)state;
    struct scripted s;
    struct ipc_message m;
    scripted_make(&s, "");
    set_redrive(&s, 0);
    SCRIPTED_SEND(&s, "a done");
    int64_t receives = asked("ReceiveMessage");
    scripted_start(&s, "script", "retry = { max_attempts = 5; };");
    await_health(&s, IPC_HEALTH_DEAD_LETTERS, &m);
    assert_string_equal(m.text,
                        "retry.max_attempts (unless retry.then is leave_to_queue) needs a dead-letter queue: give "
                        "the queue a RedrivePolicy, or set dead_letter.queue");
    scripted_pass(&s, 60000, 3000);
    assert_int_equal(asked("ReceiveMessage"), receives);
    set_redrive(&s, 10);
    for (int i = 0; i < 30 && SCRIPTED_COUNT(&s, deleted) == 0; i++)
        scripted_pass(&s, 1000, 500);
    await_health(&s, IPC_HEALTH_OK, &m);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 1);
    assert_int_equal(scripted_drain(&s), 0);
    assert_in_range(scripted_logged(&s, "nothing is received: there is no dead-letter queue"), 1, 10);
    scripted_drop(&s);
}

static void
the_configured_dead_letter_queue_is_used_by_name_and_by_url(void **state)
{
    (void)state;
    for (int by_url = 0; by_url < 2; by_url++) {
        struct scripted s;
        char settings[400];
        scripted_make(&s, "");
        set_redrive(&s, 0);
        SCRIPTED_SEND(&s, "a reject:broken");
        snprintf(settings, sizeof settings, "retry = { max_attempts = 5; }; dead_letter = { queue = \"%s\"; };",
                 by_url ? s.dead.url : strrchr(s.dead.url, '/') + 1);
        scripted_start(&s, "script", settings);
        SCRIPTED_AWAIT_COUNT(&s, deleted, 1);
        take_dead_letter(&s);
        ASSERT_ATTRIBUTE(&s, "fanout.reason", "broken");
        assert_int_equal(scripted_drain(&s), 0);
        scripted_drop(&s);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, forget_faults)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(attempts_that_are_used_up_end_in_a_dead_letter_that_says_so_and_keeps_everything),
        TEST(a_fifo_dead_letter_keeps_its_group_and_is_there_once_however_often_it_is_sent),
        TEST(a_fifo_dead_letter_with_attributes_is_complete_and_there_once_after_lost_answers),
        TEST(nothing_is_deleted_before_its_dead_letter_is_confirmed),
        TEST(what_is_no_event_or_does_not_match_is_a_dead_letter_of_its_kind),
        TEST(a_message_as_large_as_sqs_allows_is_moved_whole),
        TEST(a_message_as_large_as_its_dead_letter_queue_allows_is_moved_whole),
        TEST(ten_attributes_of_a_message_are_all_kept),
        TEST(receives_without_a_handler_are_no_attempts),
        TEST(one_that_fails_leaves_those_behind_it_a_receive),
        TEST(the_last_receive_ends_in_a_dead_letter_with_its_reason),
        TEST(what_is_left_to_the_queue_is_moved_by_the_queue),
        TEST(a_handler_that_wants_its_message_at_once_over_and_over_gets_it_once_a_second),
        TEST(an_extension_under_way_does_not_overwrite_the_delay),
        TEST(a_worker_without_the_dead_letter_queue_it_needs_says_so_and_goes_on_once_there_is_one),
        TEST(the_configured_dead_letter_queue_is_used_by_name_and_by_url),
    };
    return cmocka_run_group_tests_name("worker_retries", tests, local_fixture_start_with_clock, local_fixture_stop);
}
