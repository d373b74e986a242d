/* SQS's limit on messages in flight, and what long polls see of queues that are full, purged or given one message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/local_queue.h"
#include "lib/tmp.h"

#define WAIT_MS       20000
#define MAX_IN_FLIGHT 120000

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
    local_queue_send_many(&q, 20, "m", "");
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

/* ---- the machine's time ------------------------------------------------------------------------------------------ */

#define MOMENT_MS 1500 /* for a machine that has much else to do */

/* The next message of that body, and how long after `from_ms` it came. */
static int64_t
await(struct local_queue *q, const char *body, int64_t from_ms)
{
    local_queue_ok(q, "ReceiveMessage", ", \"WaitTimeSeconds\": 20, \"AttributeNames\": [\"All\"]");
    int64_t passed_ms = clock_monotonic_ms() - from_ms;
    assert_string_equal(local_queue_text(q, "Messages.0.Body"), body);
    return passed_ms;
}

static void
a_poll_ends_a_moment_after_a_timeout_or_a_delay(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"1\"}");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"invisible\"");
    int64_t from_ms = clock_monotonic_ms();
    local_queue_ok(&q, "ReceiveMessage", "");
    int64_t passed_ms = await(&q, "invisible", from_ms);
    assert_in_range(passed_ms, 999, 1000 + MOMENT_MS);
    local_queue_ok(&q, "PurgeQueue", "");
    from_ms = clock_monotonic_ms();
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"delayed\", \"DelaySeconds\": 1");
    passed_ms = await(&q, "delayed", from_ms);
    assert_in_range(passed_ms, 999, 1000 + MOMENT_MS);
    int64_t sent_ms = atoll(local_queue_text(&q, "Messages.0.Attributes.SentTimestamp"));
    int64_t received_ms = atoll(local_queue_text(&q, "Messages.0.Attributes.ApproximateFirstReceiveTimestamp"));
    assert_in_range(received_ms - sent_ms, 1000, 1000 + MOMENT_MS); /* in the server's time */
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_120000_messages_are_in_flight),
        cmocka_unit_test(one_message_wakes_one_of_many_polls),
        cmocka_unit_test(a_purge_leaves_those_that_wait_waiting),
        cmocka_unit_test(a_poll_ends_a_moment_after_a_timeout_or_a_delay),
    };
    return cmocka_run_group_tests_name("local/sqs limits", tests, local_fixture_start, local_fixture_stop);
}
