/* What an earlier fanout-local kept is there in this one. */
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

/* How to come from version n + 2 of SQS's tables to version n + 1: what a migration has done is undone. Who appends a
 * migration appends here. */
static const char *const DOWN[] = {
    /* 2 to 1: the bodies apart, and no times of a message never received */
    "ALTER TABLE sqs_message RENAME TO now; DROP INDEX sqs_message_due;"
    "CREATE TABLE sqs_message (id INTEGER PRIMARY KEY, box INTEGER NOT NULL, visible_at INTEGER NOT NULL,"
    " sent_at INTEGER NOT NULL, receives INTEGER NOT NULL, received_at INTEGER, first_received_at INTEGER,"
    " uuid BLOB NOT NULL, source TEXT);"
    "CREATE INDEX sqs_message_due ON sqs_message (box, visible_at, sent_at, receives);"
    "CREATE TABLE sqs_payload (id INTEGER PRIMARY KEY, md5 BLOB NOT NULL, body TEXT NOT NULL, attributes BLOB,"
    " trace TEXT, group_id TEXT);"
    "INSERT INTO sqs_message SELECT id, box, visible_at, sent_at, receives, iif(receives > 0, received_at, NULL),"
    " iif(receives > 0, first_received_at, NULL), uuid, source FROM now;"
    "INSERT INTO sqs_payload SELECT id, md5, body, attributes, trace, group_id FROM now;"
    "DROP TABLE now",
    /* 3 to 2: no message move tasks */
    "DROP TABLE sqs_move",
    /* 4 to 3: no FIFO queues */
    "DROP INDEX sqs_message_fifo; ALTER TABLE sqs_message DROP COLUMN dedup_id;"
    "ALTER TABLE sqs_queue DROP COLUMN content_dedup; ALTER TABLE sqs_queue DROP COLUMN group_scope;"
    "ALTER TABLE sqs_queue DROP COLUMN group_limit; DROP TABLE sqs_dedup; DROP TABLE sqs_attempt",
    /* 5 to 4: no names of senders */
    "ALTER TABLE sqs_message DROP COLUMN sender",
};
#define NEWEST (sizeof DOWN / sizeof *DOWN + 1)

static int
note_number(void *number, int n, char **values, char **names)
{
    (void)n, (void)names;
    *(size_t *)number = strtoul(values[0], NULL, 10);
    return 0;
}

/* Makes the database of the server, which has ended, one of an earlier version. */
static void
go_back_to(size_t version)
{
    sqlite3 *db;
    size_t now = 0;
    char *why = NULL, sql[100];
    assert_int_equal(sqlite3_open(tmp_path(server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    sqlite3_exec(db, "SELECT version FROM service WHERE name = 'sqs'; BEGIN", note_number, &now, NULL);
    if (now != NEWEST)
        fail_msg("the server's version is %zu, that of this test %zu: append to DOWN", now, NEWEST);
    for (size_t n = NEWEST; n > version; n--)
        if (sqlite3_exec(db, DOWN[n - 2], NULL, NULL, &why) != SQLITE_OK)
            fail_msg("%zu to %zu: %s", n, n - 1, why);
    snprintf(sql, sizeof sql, "UPDATE service SET version = %zu WHERE name = 'sqs'; COMMIT", version);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void
keeps_messages_of(size_t version)
{
    struct aws_call c;
    char url[200], held[200], members[300];
    char name[20];
    snprintf(name, sizeof name, "old-%zu", version);
    local_server_queue(&server, name, "{}", url, sizeof url);
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
    go_back_to(version);
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

static void
messages_of_every_version_are_kept(void **state)
{
    (void)state;
    for (size_t version = NEWEST; version > 0; version--)
        keeps_messages_of(version);
}

static void
a_newer_version_is_refused(void **state)
{
    (void)state;
    sqlite3 *db;
    local_server_stop(&server);
    assert_int_equal(sqlite3_open(tmp_path(server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    sqlite3_exec(db, "UPDATE service SET version = version + 1 WHERE name = 'sqs'", NULL, NULL, NULL);
    sqlite3_close(db);
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data",
                                                 server.folder, "--no-provision", NULL},
                                NULL);
    assert_int_equal(proc_wait_exit(p, 20000), 1);
    assert_non_null(strstr(proc_stderr(p), "was written by a newer fanout-local"));
    proc_destroy(p);
    assert_int_equal(sqlite3_open(tmp_path(server.folder, "fanout-local.sqlite3"), &db), SQLITE_OK);
    sqlite3_exec(db, "UPDATE service SET version = version - 1 WHERE name = 'sqs'", NULL, NULL, NULL);
    sqlite3_close(db);
    local_server_restart(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_every_version_are_kept),
        cmocka_unit_test(a_newer_version_is_refused),
    };
    return cmocka_run_group_tests_name("local_upgrade", tests, start, stop);
}
