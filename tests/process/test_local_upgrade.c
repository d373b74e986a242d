/* What an earlier fanout-local kept is there in this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "lib/local.h"
#include "lib/tmp.h"

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
assert_text(struct aws_call *c, const char *path, const char *expected)
{
    char text[200];
    assert_true(aws_call_text(c, path, text, sizeof text));
    assert_string_equal(text, expected);
}

static void
change(const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(tmp_path(server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
}

/* The tables of messages as they were first, with the bodies apart and no times of a message never received. */
static const char FIRST_VERSION[] =
    "BEGIN; ALTER TABLE sqs_message RENAME TO now; DROP INDEX sqs_message_due;"
    "CREATE TABLE sqs_message (id INTEGER PRIMARY KEY, box INTEGER NOT NULL, visible_at INTEGER NOT NULL,"
    " sent_at INTEGER NOT NULL, receives INTEGER NOT NULL, received_at INTEGER, first_received_at INTEGER,"
    " uuid BLOB NOT NULL, source TEXT);"
    "CREATE INDEX sqs_message_due ON sqs_message (box, visible_at, sent_at, receives);"
    "CREATE TABLE sqs_payload (id INTEGER PRIMARY KEY, md5 BLOB NOT NULL, body TEXT NOT NULL, attributes BLOB,"
    " trace TEXT, group_id TEXT);"
    "INSERT INTO sqs_message SELECT id, box, visible_at, sent_at, receives, iif(receives > 0, received_at, NULL),"
    " iif(receives > 0, first_received_at, NULL), uuid, source FROM now;"
    "INSERT INTO sqs_payload SELECT id, md5, body, attributes, trace, group_id FROM now;"
    "ALTER TABLE sqs_queue DROP COLUMN content_dedup; ALTER TABLE sqs_queue DROP COLUMN group_scope;"
    "ALTER TABLE sqs_queue DROP COLUMN group_limit; DROP TABLE sqs_dedup; DROP TABLE sqs_attempt;"
    "DROP TABLE now; DROP TABLE sqs_move; UPDATE service SET version = 1 WHERE name = 'sqs'; COMMIT";

static void
messages_of_the_first_version_are_kept(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], held[200], members[300];
    local_server_queue(&server, "old", "{}", url, sizeof url);
    aws_call_init(&c, server.url);
    ok(&c, "SendMessage", url, ", \"MessageBody\": \"held\"");
    ok(&c, "ReceiveMessage", url, "");
    assert_true(aws_call_text(&c, "Messages.0.ReceiptHandle", held, sizeof held));
    ok(&c, "SendMessage", url,
       ", \"MessageBody\": \"body\", \"MessageGroupId\": \"g\", \"MessageAttributes\": {\"colour\": {\"DataType\":"
       " \"String\", \"StringValue\": \"red\"}}, \"MessageSystemAttributes\": {\"AWSTraceHeader\": {\"DataType\":"
       " \"String\", \"StringValue\": \"Root=1\"}}");
    aws_call_clean_up(&c);
    local_server_stop(&server);
    change(FIRST_VERSION);
    local_server_restart(&server);

    aws_call_init(&c, server.url);
    snprintf(members, sizeof members, ", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 3600", held);
    ok(&c, "ChangeMessageVisibility", url, members);
    ok(&c, "ReceiveMessage", url,
       ", \"MaxNumberOfMessages\": 10, \"MessageAttributeNames\": [\"All\"], \"AttributeNames\": [\"All\"]");
    assert_int_equal(aws_call_count(&c, "Messages"), 1);
    assert_text(&c, "Messages.0.Body", "body");
    assert_text(&c, "Messages.0.MD5OfBody", "841a2d689ad86bd1611447453c22c6fc");
    assert_text(&c, "Messages.0.MessageAttributes.colour.StringValue", "red");
    assert_text(&c, "Messages.0.Attributes.AWSTraceHeader", "Root=1");
    assert_text(&c, "Messages.0.Attributes.MessageGroupId", "g");
    assert_text(&c, "Messages.0.Attributes.ApproximateReceiveCount", "1");
    snprintf(members, sizeof members, ", \"ReceiptHandle\": \"%s\"", held);
    ok(&c, "DeleteMessage", url, members);
    ok(&c, "GetQueueAttributes", url, ", \"AttributeNames\": [\"All\"]");
    assert_text(&c, "Attributes.ApproximateNumberOfMessages", "0");
    assert_text(&c, "Attributes.ApproximateNumberOfMessagesNotVisible", "1");
    aws_call_clean_up(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_the_first_version_are_kept),
    };
    return cmocka_run_group_tests_name("local_upgrade", tests, start, stop);
}
