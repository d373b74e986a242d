/* SQS's limit on messages in flight, and what long polls see of queues that are full, purged or given one message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"
#include "lib/tmp.h"

#define WAIT_MS       20000
#define MAX_IN_FLIGHT 120000

static void
send_ten(struct local_queue *q)
{
    char members[1000] = ", \"Entries\": [";
    for (int i = 0; i < 10; i++)
        snprintf(members + strlen(members), sizeof members - strlen(members),
                 "%s{\"Id\": \"%d\", \"MessageBody\": \"m\"}", i ? "," : "", i);
    strcat(members, "]");
    local_queue_ok(q, "SendMessageBatch", members);
}

/* ---- in flight --------------------------------------------------------------------------------------------------- */

/* Writes n messages that were received, and stay invisible for hours, into the tables of a server that is not running:
 * it would take a minute to receive so many. */
static void
fill(const char *queue, int n)
{
    sqlite3 *db;
    char sql[1000], *why = NULL;
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO sqs_message (id, box, visible_at, sent_at, receives, received_at, first_received_at, uuid,"
             " md5, body)"
             " SELECT 1000000 + i, q.box, m.sent_at + 40000000, m.sent_at, 1, m.sent_at, m.sent_at, randomblob(16),"
             " zeroblob(16), 'm'"
             " FROM n, sqs_queue AS q, (SELECT max(sent_at) AS sent_at FROM sqs_message) AS m WHERE q.name = '%s'",
             n, queue);
    assert_int_equal(sqlite3_open(tmp_path(local_fixture.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
}

static void
no_more_than_120000_messages_are_in_flight(void **state)
{
    (void)state;
    struct local_queue q;
    char handle[200];
    local_queue_make(&q, "{\"VisibilityTimeout\": \"43200\"}");
    send_ten(&q);
    send_ten(&q);
    aws_call_clean_up(&q.call);
    local_server_stop(&local_fixture);
    fill(strrchr(q.url, '/') + 1, MAX_IN_FLIGHT - 5);
    local_server_restart(&local_fixture);

    aws_call_init(&q.call, local_fixture.url);
    local_queue_ok(&q, "ReceiveMessage", ", \"MaxNumberOfMessages\": 10");
    assert_int_equal(aws_call_count(&q.call, "Messages"), 5);
    assert_true(aws_call_text(&q.call, "Messages.0.ReceiptHandle", handle, sizeof handle));
    assert_int_equal(local_queue_attribute(&q, "ApproximateNumberOfMessagesNotVisible"), MAX_IN_FLIGHT);
    static const char *const WAITS[] = {"0", "20"};
    for (size_t i = 0; i < 2; i++) {
        aws_call_sqs(&q.call, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": %s}", q.url, WAITS[i]);
        assert_int_equal(q.call.status, 403);
        assert_string_equal(q.call.error, "OverLimit");
    }
    local_queue_settle(&q, "DeleteMessage", handle, "");
    assert_int_equal(q.call.status, 200);
    local_queue_ok(&q, "ReceiveMessage", ", \"MaxNumberOfMessages\": 10");
    assert_int_equal(aws_call_count(&q.call, "Messages"), 1);
    assert_int_equal(local_queue_attribute(&q, "ApproximateNumberOfMessages"), 14);
    local_queue_drop(&q);
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

#define POLLS 50

struct polls {
    const char *url;
    struct aws_call calls[POLLS];
};

static void
begin(struct polls *p)
{
    char body[300];
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": 20, \"MaxNumberOfMessages\": 10}", p->url);
    for (size_t i = 0; i < POLLS; i++) {
        aws_call_init(&p->calls[i], local_fixture.url);
        assert_true(aws_call_begin(&p->calls[i], "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    }
    local_server_await_waiting(&local_fixture, p->url, POLLS);
}

/* The calls that have an answer. */
static size_t
answered(struct polls *p)
{
    struct pollfd fds[POLLS];
    for (size_t i = 0; i < POLLS; i++)
        fds[i] = (struct pollfd){.fd = p->calls[i].fd, .events = POLLIN};
    int n = poll(fds, POLLS, WAIT_MS);
    assert_true(n > 0);
    return (size_t)n;
}

static size_t
finish(struct polls *p)
{
    size_t messages = 0;
    for (size_t i = 0; i < POLLS; i++) {
        assert_int_equal(aws_call_finish(&p->calls[i]), 200);
        messages += aws_call_count(&p->calls[i], "Messages");
        aws_call_clean_up(&p->calls[i]);
    }
    return messages;
}

static void
one_message_wakes_one_of_many_polls(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    struct polls polls = {.url = q.url};
    begin(&polls);
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\"");
    assert_int_equal(answered(&polls), 1);
    assert_int_equal(local_server_waiting(&local_fixture, q.url), POLLS - 1);
    for (size_t i = 1; i < POLLS; i++)
        local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\"");
    assert_int_equal(finish(&polls), POLLS);
    local_queue_drop(&q);
}

static void
a_purge_leaves_those_that_wait_waiting(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    struct polls polls = {.url = q.url};
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\", \"DelaySeconds\": 1");
    begin(&polls);
    local_queue_ok(&q, "PurgeQueue", "");
    assert_int_equal(local_server_waiting(&local_fixture, q.url), POLLS);
    for (size_t i = 0; i < POLLS; i++)
        local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"later\"");
    assert_int_equal(finish(&polls), POLLS);
    assert_int_equal(local_queue_attribute(&q, "ApproximateNumberOfMessagesDelayed"), 0);
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_120000_messages_are_in_flight),
        cmocka_unit_test(one_message_wakes_one_of_many_polls),
        cmocka_unit_test(a_purge_leaves_those_that_wait_waiting),
    };
    return cmocka_run_group_tests_name("local/sqs limits", tests, local_fixture_start, local_fixture_stop);
}
