/* What FIFO queues of fanout-local keep over a kill, and what they do with very many messages, which are put into the
 * tables directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/local.h"
#include "lib/tmp.h"

#define URL  "http://any/000000000000/q.fifo"
#define MOST ", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": 1000"

static struct aws_call call;

static void
ok(const char *operation, const char *members)
{
    if (aws_call_sqs(&call, operation, "{\"QueueUrl\": \"" URL "\"%s}", members) != 200)
        fail_msg("%s{%s}: %d %s: %s", operation, members, call.status, call.error, call.message);
}

static void
send_to(const char *group, const char *id)
{
    char members[300];
    snprintf(members, sizeof members,
             ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\", \"MessageDeduplicationId\": \"%s\"", id, group,
             id);
    ok("SendMessage", members);
}

static const char *
text(const char *path)
{
    static char out[4][300];
    static int turn;
    char *at = out[turn++ % 4];
    if (!aws_call_text(&call, path, at, sizeof *out))
        snprintf(at, sizeof *out, "(no %s)", path);
    return at;
}

static void
assert_receives(const char *members, const char *expected)
{
    char bodies[400] = "";
    ok("ReceiveMessage", members);
    for (size_t i = 0, n = aws_call_count(&call, "Messages"); i < n; i++) {
        char path[40];
        snprintf(path, sizeof path, "Messages.%zu.Body", i);
        snprintf(bodies + strlen(bodies), sizeof bodies - strlen(bodies), "%s%s", i ? " " : "", text(path));
    }
    assert_string_equal(bodies, expected);
}

static void
kill_and_restart(void)
{
    aws_call_clean_up(&call);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&call, local_fixture.url);
}

/* A queue that is empty and new. */
static int
make_queue(void **state)
{
    (void)state;
    aws_call_init(&call, local_fixture.url);
    aws_call_sqs(
        &call, "CreateQueue",
        "{\"QueueName\": \"q.fifo\", \"Attributes\": {\"FifoQueue\": \"true\", \"VisibilityTimeout\": \"30\"}}");
    return call.status == 200 ? 0 : -1;
}

static int
drop_queue(void **state)
{
    (void)state;
    ok("DeleteQueue", "");
    aws_call_clean_up(&call);
    local_server_pass(&local_fixture, 60000);
    return 0;
}

/* Changes the tables while no server has them: ?1 is the last message, ?2 is n. */
static void
change(const char *sql, int64_t n)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    aws_call_clean_up(&call);
    local_server_stop(&local_fixture);
    assert_int_equal(sqlite3_open(tmp_path(local_fixture.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT max(id) FROM sqs_message", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t last = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_bind_int64(q, 1, last);
    sqlite3_bind_int64(q, 2, n);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
    sqlite3_close(db);
    local_server_restart(&local_fixture);
    aws_call_init(&call, local_fixture.url);
}

/* ---- kills ------------------------------------------------------------------------------------------------------- */

static void
a_kill_keeps_order_groups_and_what_was_sent(void **state)
{
    (void)state;
    char id[40], number[24];
    send_to("a", "a1");
    snprintf(id, sizeof id, "%s", text("MessageId"));
    snprintf(number, sizeof number, "%s", text("SequenceNumber"));
    send_to("a", "a2");
    send_to("b", "b1");
    send_to("a", "a3");
    assert_receives(", \"MaxNumberOfMessages\": 2", "a1 a2");
    kill_and_restart();
    send_to("c", "a1");
    assert_string_equal(text("MessageId"), id);
    assert_string_equal(text("SequenceNumber"), number);
    assert_receives(", \"MaxNumberOfMessages\": 10", "b1"); /* a is blocked */
    kill_and_restart();
    local_server_pass(&local_fixture, 30000);
    assert_receives(", \"MaxNumberOfMessages\": 10", "a1 a2 a3 b1");
    ok("PurgeQueue", "");
    local_server_pass(&local_fixture, 270000);
    kill_and_restart();
    send_to("a", "a1");
    assert_string_not_equal(text("MessageId"), id);
    assert_true(strcmp(text("SequenceNumber"), number) > 0);
}

/* Though nothing that was sent is left, neither in the queue nor of what five minutes remember. */
static void
sequence_numbers_go_on_after_a_kill(void **state)
{
    (void)state;
    char number[24] = "";
    for (int i = 0; i < 3; i++) {
        send_to("a", "x");
        assert_true(strcmp(text("SequenceNumber"), number) > 0);
        snprintf(number, sizeof number, "%s", text("SequenceNumber"));
        assert_receives(MOST, "x");
        char members[200];
        snprintf(members, sizeof members, ", \"ReceiptHandle\": \"%s\"", text("Messages.0.ReceiptHandle"));
        ok("DeleteMessage", members);
        local_server_pass(&local_fixture, 400000);
        ok("GetQueueAttributes", "");
        kill_and_restart();
    }
}

static void
a_receive_is_asked_for_again_after_a_kill(void **state)
{
    (void)state;
    char handle[100];
    send_to("a", "a1");
    assert_receives(", \"ReceiveRequestAttemptId\": \"x\"", "a1");
    snprintf(handle, sizeof handle, "%s", text("Messages.0.ReceiptHandle"));
    kill_and_restart();
    assert_receives(", \"ReceiveRequestAttemptId\": \"x\"", "a1");
    assert_string_equal(text("Messages.0.ReceiptHandle"), handle);
}

/* ---- many messages ----------------------------------------------------------------------------------------------- */

/* As many messages as ?2 like the last one, with these times and receive counts, in this group. */
#define MANY(times, group)                                                                                             \
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) INSERT INTO sqs_message (id, box,"  \
    " visible_at, sent_at, receives, received_at, first_received_at, uuid, md5, group_id, body, dedup_id) SELECT"      \
    " m.id + i, m.box, " times ", m.uuid, m.md5, " group ", m.body, 'd' || i FROM n, sqs_message AS m WHERE m.id = ?1"

/* A group whose messages fill the window hides what comes behind it; the window moves as they are deleted. */
static void
the_first_120000_messages_are_looked_at(void **state)
{
    (void)state;
    char members[200];
    send_to("a", "a");
    change(MANY("m.visible_at, m.sent_at, 0, m.sent_at, m.sent_at", "'a'"), 119999);
    send_to("b", "b");
    send_to("c", "c");
    assert_receives(", \"VisibilityTimeout\": 1000", "a");
    snprintf(members, sizeof members, ", \"ReceiptHandle\": \"%s\"", text("Messages.0.ReceiptHandle"));
    assert_receives(MOST, ""); /* a is blocked, and b stands behind the window */
    ok("DeleteMessage", members);
    assert_receives(MOST, "a a a a a a a a a a");
    snprintf(members, sizeof members, ", \"ReceiptHandle\": \"%s\"", text("Messages.0.ReceiptHandle"));
    assert_receives(MOST, "b");
    assert_receives(MOST, "");
    ok("DeleteMessage", members);
    assert_receives(MOST, "c");
    ok("GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(text("Attributes.ApproximateNumberOfMessages"), "119989");
    assert_string_equal(text("Attributes.ApproximateNumberOfMessagesNotVisible"), "11");
}

/* A receive with 120,000 in flight brings nothing, and is no error; a long poll wakes when one of them is back. */
static void
no_more_than_120000_are_in_flight(void **state)
{
    (void)state;
    struct aws_call waiting;
    send_to("first", "x");
    assert_receives(", \"VisibilityTimeout\": 10", "x");
    change(MANY("m.visible_at + 100000, m.sent_at, 1, m.sent_at, m.sent_at", "'g' || i"), 119999);
    send_to("free", "y");
    assert_receives(MOST, "");
    ok("GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    assert_string_equal(text("Attributes.ApproximateNumberOfMessagesNotVisible"), "120000");
    assert_string_equal(text("Attributes.ApproximateNumberOfMessages"), "1");
    aws_call_init(&waiting, local_fixture.url);
    assert_true(
        aws_call_begin(&waiting, "sqs", "AmazonSQS.ReceiveMessage",
                       SLICE("{\"QueueUrl\": \"" URL "\", \"WaitTimeSeconds\": 20, \"MaxNumberOfMessages\": 10}")));
    local_server_await_waiting(&local_fixture, URL, 1);
    local_server_pass(&local_fixture, 10000);
    assert_int_equal(aws_call_finish(&waiting), 200);
    assert_int_equal(aws_call_count(&waiting, "Messages"), 1);
    aws_call_clean_up(&waiting);
    assert_receives(MOST, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_kill_keeps_order_groups_and_what_was_sent, make_queue, drop_queue),
        cmocka_unit_test_setup_teardown(sequence_numbers_go_on_after_a_kill, make_queue, drop_queue),
        cmocka_unit_test_setup_teardown(a_receive_is_asked_for_again_after_a_kill, make_queue, drop_queue),
        cmocka_unit_test_setup_teardown(the_first_120000_messages_are_looked_at, make_queue, drop_queue),
        cmocka_unit_test_setup_teardown(no_more_than_120000_are_in_flight, make_queue, drop_queue),
    };
    return cmocka_run_group_tests_name("local/sqs FIFO, kept", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
