/* Message move tasks of fanout-local's SQS outlive a kill, and a transaction that is undone, and each message is in
 * exactly one queue all the while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/move_flow.h"
#include "lib/tmp.h"

#define TEN      ", \"MaxNumberOfMessages\": 10"
#define AWAIT_MS 10000

/* The calls go to the server that was started again. */
static void
reconnect(struct move_flow *f)
{
    struct local_queue *queues[] = {&f->q, &f->dead, &f->other};
    for (size_t i = 0; i < 3; i++) {
        aws_call_clean_up(&queues[i]->call);
        aws_call_init(&queues[i]->call, local_fixture.url);
    }
}

/* Counts each message "m-I" that q holds, and deletes it. */
static int
take_all(struct local_queue *q, int *seen)
{
    char path[60], settle[300];
    int total = 0;
    for (size_t n; (n = local_queue_receive(q, TEN ", \"VisibilityTimeout\": 30")) > 0; total += (int)n) {
        struct buf members = BUF_INIT;
        buf_add_string(&members, ", \"Entries\": [");
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            seen[atoi(local_queue_text(q, path) + 2)]++;
            snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
            snprintf(settle, sizeof settle, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"}", i ? "," : "", i,
                     local_queue_text(q, path));
            buf_add_string(&members, settle);
        }
        buf_add_char(&members, ']');
        local_queue_ok(q, "DeleteMessageBatch", members.data);
        buf_clean_up(&members);
    }
    return total;
}

static void
assert_each_once(const int *seen, int n)
{
    for (int i = 0; i < n; i++)
        if (seen[i] != 1)
            fail_msg("m-%d is there %d times", i, seen[i]);
}

static void
a_killed_server_goes_on_with_its_tasks_at_their_rate(void **state)
{
    (void)state;
    struct move_flow f;
    int seen[40] = {0};
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", 40);
    move_flow_start_to_other(&f, ", \"MaxNumberOfMessagesPerSecond\": 2");
    local_server_pass(&local_fixture, 5000);
    move_flow_assert(&f, "RUNNING", 11, 40);
    local_server_kill(&local_fixture);
    local_server_pass(&local_fixture, 7000); /* nothing is made up for */
    local_server_restart(&local_fixture);
    reconnect(&f);
    move_flow_assert(&f, "RUNNING", 12, 40);
    assert_string_equal(local_queue_text(&f.dead, "Results.0.TaskHandle"), f.handle);
    local_queue_assert_counts(&f.dead, 28, 0, 0);
    local_queue_assert_counts(&f.other, 12, 0, 0);
    local_server_pass(&local_fixture, 499);
    move_flow_assert(&f, "RUNNING", 12, 40);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    reconnect(&f);
    move_flow_assert(&f, "RUNNING", 12, 40);
    local_server_pass(&local_fixture, 1);
    move_flow_assert(&f, "RUNNING", 13, 40);
    assert_int_equal(move_flow_cancel(&f), 200);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    reconnect(&f);
    local_server_pass(&local_fixture, 1);
    move_flow_assert(&f, "CANCELLED", 13, 40);
    local_queue_assert_counts(&f.dead, 27, 0, 0);
    assert_int_equal(take_all(&f.dead, seen) + take_all(&f.other, seen), 40);
    assert_each_once(seen, 40);
    move_flow_end(&f);
}

static bool
is_idle(void *flow)
{
    struct move_flow *f = flow;
    const char *const arns[] = {f->dead_arn, f->other_arn};
    bool idle = true;
    for (size_t i = 0; i < 2; i++) {
        dead_letters_call(&f->dead.call, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", arns[i]);
        idle = idle && strcmp(local_queue_text(&f->dead, "Results.0.Status"), "RUNNING") != 0;
    }
    return idle;
}

#define KILLED 2000
#define KILLS  4

/* Without a rate, killed as soon as it has moved some, and before it has answered. */
static void
each_message_is_in_one_queue_whenever_the_server_is_killed(void **state)
{
    (void)state;
    struct move_flow f;
    static int seen[KILLED];
    move_flow_begin(&f);
    dead_letters_bury(&f.q, "m", KILLED);
    for (int i = 0; i < KILLS; i++) {
        char body[500];
        bool forth = i % 2 == 0; /* to and fro */
        snprintf(body, sizeof body, "{\"SourceArn\": \"%s\", \"DestinationArn\": \"%s\"}",
                 forth ? f.dead_arn : f.other_arn, forth ? f.other_arn : f.dead_arn);
        assert_true(aws_call_begin(&f.q.call, "sqs", "AmazonSQS.StartMessageMoveTask", slice_of_string(body)));
        if (i < 2)
            assert_int_equal(aws_call_finish(&f.q.call), 200);
        local_server_kill(&local_fixture);
        local_server_restart(&local_fixture);
        reconnect(&f);
        if (i == 0) {
            char attributes[300]; /* the other queue may be emptied, too */
            snprintf(attributes, sizeof attributes,
                     ", \"Attributes\": {\"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":\\\"%s\\\","
                     "\\\"maxReceiveCount\\\":1}\"}",
                     f.other_arn);
            local_queue_ok(&f.q, "SetQueueAttributes", attributes);
        }
    }
    assert_true(proc_wait_until(is_idle, &f, AWAIT_MS));
    assert_int_equal(take_all(&f.dead, seen) + take_all(&f.other, seen), KILLED);
    assert_each_once(seen, KILLED);
    move_flow_end(&f);
}

static void
change_database(const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    local_server_stop(&local_fixture);
    assert_int_equal(sqlite3_open(tmp_path(local_fixture.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    local_server_restart(&local_fixture);
}

/* The task's third step cannot be written: what it moved is where it was, counts and calls are as if it had not been,
 * and it is done once it can be. */
static void
fail_and_go_on(struct move_flow *f)
{
    struct local_queue beside;
    int seen[6] = {0};
    dead_letters_bury(&f->q, "m", 6);
    change_database("CREATE TRIGGER stop BEFORE UPDATE ON sqs_move WHEN NEW.moved >= 3 BEGIN"
                    " SELECT RAISE(ABORT, 'not three'); END");
    reconnect(f);
    local_queue_make(&beside, "{}");
    move_flow_start_to_other(f, ", \"MaxNumberOfMessagesPerSecond\": 1");
    local_server_pass(&local_fixture, 1000);
    assert_int_equal(move_flow_moved(f), 2);
    for (int i = 0; i < 5; i++) {
        local_server_pass(&local_fixture, 1000);
        local_queue_send(&beside, "m");
        assert_int_equal(move_flow_moved(f), 2);
        local_queue_assert_counts(&f->dead, 4, 0, 0);
        local_queue_assert_counts(&f->other, 2, 0, 0);
        local_queue_assert_counts(&beside, i + 1, 0, 0);
    }
    local_queue_drop(&beside);
    change_database("DROP TRIGGER stop");
    reconnect(f);
    assert_int_equal(move_flow_moved(f), 3);
    local_server_pass(&local_fixture, 3000);
    move_flow_assert(f, "COMPLETED", 6, 6);
    local_queue_assert_counts(&f->dead, 0, 0, 0);
    local_queue_assert_counts(&f->other, 6, 0, 0);
    assert_int_equal(take_all(&f->other, seen), 6);
    assert_each_once(seen, 6);
    move_flow_end(f);
}

static void
a_step_that_fails_is_undone_and_done_again(void **state)
{
    (void)state;
    struct move_flow f;
    move_flow_begin(&f);
    fail_and_go_on(&f);
    move_flow_begin_fifo(&f);
    fail_and_go_on(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_server_goes_on_with_its_tasks_at_their_rate),
        cmocka_unit_test(each_message_is_in_one_queue_whenever_the_server_is_killed),
        cmocka_unit_test(a_step_that_fails_is_undone_and_done_again),
    };
    return cmocka_run_group_tests_name("local/sqs move tasks kept", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
