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

#include "lib/local.h"
#include "lib/tmp.h"

#define WAIT_MS       20000
#define MAX_IN_FLIGHT 120000

static struct local_server server;

static int
start(void **state)
{
    (void)state;
    local_server_start(&server, false);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    local_server_clean_up(&server);
    return 0;
}

static void
ok(struct aws_call *c, const char *operation, const char *url, const char *members)
{
    if (aws_call_sqs(c, operation, "{\"QueueUrl\": \"%s\"%s}", url, members) != 200)
        fail_msg("%s{%s}: %d %s: %s", operation, members, c->status, c->error, c->message);
}

static void
send_ten(struct aws_call *c, const char *url)
{
    char members[1000] = ", \"Entries\": [";
    for (int i = 0; i < 10; i++)
        snprintf(members + strlen(members), sizeof members - strlen(members),
                 "%s{\"Id\": \"%d\", \"MessageBody\": \"m\"}", i ? "," : "", i);
    strcat(members, "]");
    ok(c, "SendMessageBatch", url, members);
}

static long
attribute(struct aws_call *c, const char *url, const char *name)
{
    char members[128], path[128];
    char text[32];
    long n = -1;
    snprintf(members, sizeof members, ", \"AttributeNames\": [\"%s\"]", name);
    snprintf(path, sizeof path, "Attributes.%s", name);
    ok(c, "GetQueueAttributes", url, members);
    assert_true(aws_call_text(c, path, text, sizeof text));
    assert_int_equal(sscanf(text, "%ld", &n), 1);
    return n;
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
             " INSERT INTO sqs_message (id, box, visible_at, sent_at, receives, received_at, first_received_at, uuid)"
             " SELECT 1000000 + i, q.box, m.sent_at + 40000000, m.sent_at, 1, m.sent_at, m.sent_at, randomblob(16)"
             " FROM n, sqs_queue AS q, (SELECT max(sent_at) AS sent_at FROM sqs_message) AS m WHERE q.name = '%s';"
             "INSERT INTO sqs_payload (id, md5, body) SELECT id, zeroblob(16), 'm' FROM sqs_message WHERE id > 1000000",
             n, queue);
    assert_int_equal(sqlite3_open(tmp_path(server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
}

static void
no_more_than_120000_messages_are_in_flight(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], handle[200], members[300];
    local_server_queue(&server, "full", "{\"VisibilityTimeout\": \"43200\"}", url, sizeof url);
    aws_call_init(&c, server.url);
    send_ten(&c, url);
    send_ten(&c, url);
    aws_call_clean_up(&c);
    local_server_stop(&server);
    fill("full", MAX_IN_FLIGHT - 5);
    local_server_restart(&server);

    aws_call_init(&c, server.url);
    ok(&c, "ReceiveMessage", url, ", \"MaxNumberOfMessages\": 10");
    assert_int_equal(aws_call_count(&c, "Messages"), 5);
    assert_true(aws_call_text(&c, "Messages.0.ReceiptHandle", handle, sizeof handle));
    assert_int_equal(attribute(&c, url, "ApproximateNumberOfMessagesNotVisible"), MAX_IN_FLIGHT);
    static const char *const WAITS[] = {"0", "20"};
    for (size_t i = 0; i < 2; i++) {
        aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": %s}", url, WAITS[i]);
        assert_int_equal(c.status, 403);
        assert_string_equal(c.error, "OverLimit");
    }
    snprintf(members, sizeof members, ", \"ReceiptHandle\": \"%s\"", handle);
    ok(&c, "DeleteMessage", url, members);
    ok(&c, "ReceiveMessage", url, ", \"MaxNumberOfMessages\": 10");
    assert_int_equal(aws_call_count(&c, "Messages"), 1);
    assert_int_equal(attribute(&c, url, "ApproximateNumberOfMessages"), 14);
    aws_call_clean_up(&c);
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

#define POLLS 50

struct polls {
    const char *url;
    struct aws_call calls[POLLS];
    size_t waiting; /* by the server's own count */
};

static bool
all_wait(void *context)
{
    struct polls *p = context;
    struct aws_call c;
    struct json queues, name, waiting;
    int64_t n = -1;
    aws_call_init(&c, server.url);
    aws_call_plain(&c, "GET", "/_fanout/stats", "");
    if (aws_call_at(&c, "sqs.queues", &queues))
        for (struct json_iter it = json_iter(queues); json_next(&it);)
            if (json_get(it.value, "name", &name) && json_get(it.value, "waiting", &waiting) &&
                json_equals_string(name, slice_of_string(strrchr(p->url, '/') + 1)))
                json_int64(waiting, &n);
    aws_call_clean_up(&c);
    return n == (int64_t)p->waiting;
}

static void
begin(struct polls *p)
{
    char body[300];
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": 20, \"MaxNumberOfMessages\": 10}", p->url);
    for (size_t i = 0; i < POLLS; i++) {
        aws_call_init(&p->calls[i], server.url);
        assert_true(aws_call_begin(&p->calls[i], "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    }
    p->waiting = POLLS;
    assert_true(proc_wait_until(all_wait, p, WAIT_MS));
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
    struct aws_call c;
    char url[200];
    local_server_queue(&server, "crowd", "{}", url, sizeof url);
    struct polls polls = {.url = url};
    aws_call_init(&c, server.url);
    begin(&polls);
    ok(&c, "SendMessage", url, ", \"MessageBody\": \"m\"");
    assert_int_equal(answered(&polls), 1);
    polls.waiting = POLLS - 1;
    assert_true(all_wait(&polls));
    for (size_t i = 1; i < POLLS; i++)
        ok(&c, "SendMessage", url, ", \"MessageBody\": \"m\"");
    assert_int_equal(finish(&polls), POLLS);
    aws_call_clean_up(&c);
}

static void
a_purge_leaves_those_that_wait_waiting(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200];
    local_server_queue(&server, "purged", "{}", url, sizeof url);
    struct polls polls = {.url = url};
    aws_call_init(&c, server.url);
    ok(&c, "SendMessage", url, ", \"MessageBody\": \"m\", \"DelaySeconds\": 1");
    begin(&polls);
    ok(&c, "PurgeQueue", url, "");
    assert_true(all_wait(&polls));
    for (size_t i = 0; i < POLLS; i++)
        ok(&c, "SendMessage", url, ", \"MessageBody\": \"later\"");
    assert_int_equal(finish(&polls), POLLS);
    assert_int_equal(attribute(&c, url, "ApproximateNumberOfMessagesDelayed"), 0);
    aws_call_clean_up(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_120000_messages_are_in_flight),
        cmocka_unit_test(one_message_wakes_one_of_many_polls),
        cmocka_unit_test(a_purge_leaves_those_that_wait_waiting),
    };
    return cmocka_run_group_tests_name("local/sqs limits", tests, start, stop);
}
