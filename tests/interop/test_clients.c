/* aws-cli and boto3, unmodified, against fanout-local.
 *
 * The tools are those that FANOUT_AWS and FANOUT_PYTHON name, else those of build/interop (`make interop-tools`, which
 * needs a package index); without them the tests are skipped. boto3's part is in boto.py beside this file. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define TOOL_MS    120000 /* python starts slowly on a busy machine */
#define BUCKET_URL "s3://durable-event-buffer-000000000000-us-east-1"
#define README_EVENT                                                                                                   \
    "[{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\","                                                 \
    "\"Detail\":\"{\\\"user_id\\\": 123, \\\"action\\\": \\\"signup\\\"}\",\"EventBusName\":\"durable-event-bus\"}]"

struct fixture {
    const char *dir;
    struct proc *server;
    char url[100];
    char env[6][200];
    char aws[600], python[600]; /* "": not there */
    struct proc *run;           /* the last tool */
};

/* ---- tools ------------------------------------------------------------------------------------------------------- */

static void
find_tool(const char *variable, const char *relative, char *out, size_t size)
{
    const char *given = getenv(variable);
    snprintf(out, size, "%s", given && *given ? given : proc_path(relative));
    if (access(out, X_OK) != 0)
        *out = '\0';
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = tmp_new();
    find_tool("FANOUT_AWS", "../interop/python/bin/aws", f->aws, sizeof f->aws);
    find_tool("FANOUT_PYTHON", "../interop/python/bin/python", f->python, sizeof f->python);
    f->server = proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data",
                                            tmp_path(f->dir, "data"), NULL},
                           NULL);
    const char *line = proc_wait_line(f->server, "READY ", 20000);
    assert_non_null(line);
    snprintf(f->url, sizeof f->url, "%s", strstr(line, "http://"));
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    proc_destroy(f->run);
    proc_signal(f->server, SIGTERM);
    assert_int_equal(proc_wait_exit(f->server, 20000), 0);
    proc_destroy(f->server);
    tmp_remove(f->dir);
    free(f);
    return 0;
}

#define NEED(tool)                                                                                                     \
    do {                                                                                                               \
        if (!*f->tool)                                                                                                 \
            skip_because("no " #tool " in build/interop (build/interop/python.log says why), and none that "           \
                         "FANOUT_AWS or FANOUT_PYTHON names");                                                         \
    } while (0)

/* Runs a tool in the test's folder, with nothing of the person's own configuration. Returns its exit code. */
static int
run(struct fixture *f, const char *secret, const char *const *argv)
{
    char home[300], endpoint[200], key[100];
    snprintf(home, sizeof home, "HOME=%s", f->dir);
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=%s", f->url);
    snprintf(key, sizeof key, "AWS_SECRET_ACCESS_KEY=%s", secret);
    const char *env[] = {home,
                         endpoint,
                         key,
                         "AWS_ACCESS_KEY_ID=test",
                         "AWS_DEFAULT_REGION=us-east-1",
                         "AWS_EC2_METADATA_DISABLED=true",
                         "AWS_PAGER=",
                         "NO_PROXY=127.0.0.1,localhost",
                         "PYTHONDONTWRITEBYTECODE=1",
                         "AWS_REGION",
                         "AWS_PROFILE",
                         "AWS_SESSION_TOKEN",
                         "AWS_CONFIG_FILE",
                         "AWS_SHARED_CREDENTIALS_FILE",
                         NULL};
    proc_destroy(f->run);
    f->run = proc_start(&(struct proc_options){.argv = argv, .env = env, .cwd = f->dir});
    return proc_wait_exit(f->run, TOOL_MS);
}

#define AWS(...) ((const char *const[]){f->aws, __VA_ARGS__, NULL})

/* Runs aws-cli, which must succeed, and returns what it printed. */
static const char *
aws(struct fixture *f, const char *const *argv)
{
    int code = run(f, "test", argv);
    if (code != 0)
        fail_msg("%s %s: exit code %d: %s", argv[1], argv[2], code, proc_stderr(f->run));
    return proc_stdout(f->run);
}

static void
boto(struct fixture *f, const char *function)
{
    char script[4200], folder[4000];
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(script, sizeof script, "%s/tests/interop/boto.py", folder);
    int code = run(f, "test", (const char *const[]){f->python, script, function, NULL});
    if (code != 0)
        fail_msg("%s: exit code %d: %s", function, code, proc_stderr(f->run));
}

/* ---- aws-cli ----------------------------------------------------------------------------------------------------- */

static void
aws_cli_puts_the_readme_s_event_and_finds_it_in_the_archive(void **state)
{
    struct fixture *f = *state;
    char key[200], id[64], object[400];
    NEED(aws);
    const char *out = aws(f, AWS("events", "put-events", "--entries", README_EVENT, "--query",
                                 "[FailedEntryCount,Entries[0].EventId]", "--output", "text"));
    assert_int_equal(sscanf(out, "0 %63s", id), 1);
    out = aws(f, AWS("s3", "ls", BUCKET_URL "/raw-events/"));
    assert_int_equal(proc_count_lines(f->run, ".json"), 1);
    const char *name = strstr(out, "20"), *end = strstr(out, ".json");
    while (strchr(name, ' ') && strchr(name, ' ') < end)
        name = strchr(name, ' ') + 1;
    snprintf(key, sizeof key, "%.*s.json", (int)(end - name), name);
    assert_non_null(strstr(key, id));
    snprintf(object, sizeof object, BUCKET_URL "/raw-events/%s", key);
    out = aws(f, AWS("s3", "cp", object, "-"));
    assert_non_null(strstr(out, "\"source\":\"buffer.source\""));
    assert_non_null(strstr(out, "\"detail\":{\"user_id\": 123, \"action\": \"signup\"}}"));
}

/* The commands of the README. */
static void
aws_cli_puts_a_rule_and_a_target(void **state)
{
    struct fixture *f = *state;
    char queue[300];
    NEED(aws);
    snprintf(queue, sizeof queue, "%s/000000000000/durable-fanout-queue", f->url);
    aws(f, AWS("events", "put-rule", "--name", "paid", "--event-pattern",
               "{\"source\":[\"orders\"],\"detail\":{\"state\":[\"paid\"]}}"));
    aws(f, AWS("events", "put-targets", "--rule", "paid", "--targets",
               "Id=1,Arn=arn:aws:sqs:us-east-1:000000000000:durable-fanout-queue,InputPath=$.detail"));
    aws(f, AWS("events", "put-events", "--entries",
               "[{\"Source\":\"orders\",\"DetailType\":\"d\",\"Detail\":\"{\\\"state\\\":\\\"paid\\\"}\"}]"));
    const char *out = aws(f, AWS("--endpoint-url", f->url, "sqs", "receive-message", "--queue-url", queue, "--query",
                                 "Messages[0].Body", "--output", "text"));
    assert_string_equal(out, "{\"state\":\"paid\"}\n");
}

static void
aws_cli_sends_receives_and_deletes_a_message(void **state)
{
    struct fixture *f = *state;
    char queue[300], handle[1000];
    NEED(aws);
    snprintf(queue, sizeof queue, "%s/000000000000/durable-fanout-queue", f->url);
    /* aws-cli 1 asks queue.amazonaws.com for sqs unless it is told otherwise on its command line. */
    aws(f, AWS("--endpoint-url", f->url, "sqs", "send-message", "--queue-url", queue, "--message-body", "hello"));
    const char *out = aws(f, AWS("--endpoint-url", f->url, "sqs", "receive-message", "--queue-url", queue, "--query",
                                 "Messages[0].[Body,ReceiptHandle]", "--output", "text"));
    assert_int_equal(sscanf(out, "hello %999s", handle), 1);
    aws(f, AWS("--endpoint-url", f->url, "sqs", "delete-message", "--queue-url", queue, "--receipt-handle", handle));
    out = aws(f, AWS("--endpoint-url", f->url, "sqs", "get-queue-attributes", "--queue-url", queue, "--attribute-names",
                     "All", "--query", "Attributes.[ApproximateNumberOfMessages,ApproximateNumberOfMessagesNotVisible]",
                     "--output", "text"));
    assert_string_equal(out, "0\t0\n");
}

static void
aws_cli_copies_files_both_ways(void **state)
{
    struct fixture *f = *state;
    NEED(aws);
    tmp_write(f->dir, "up.txt", "hello world\n");
    aws(f, AWS("s3", "mb", "s3://files"));
    aws(f, AWS("s3", "cp", "up.txt", "s3://files/dir/up.txt", "--metadata", "colour=green"));
    aws(f, AWS("s3", "cp", "s3://files/dir/up.txt", "down.txt"));
    char *down = tmp_read(tmp_path(f->dir, "down.txt"), NULL);
    assert_string_equal(down, "hello world\n");
    free(down);
    const char *out = aws(f, AWS("s3api", "head-object", "--bucket", "files", "--key", "dir/up.txt", "--query",
                                 "[ContentLength,ContentType,Metadata.colour]", "--output", "text"));
    assert_string_equal(out, "12\ttext/plain\tgreen\n");
    aws(f, AWS("s3api", "get-object", "--bucket", "files", "--key", "dir/up.txt", "--range", "bytes=6-10", "part"));
    char *part = tmp_read(tmp_path(f->dir, "part"), NULL);
    assert_string_equal(part, "world");
    free(part);
    out = aws(f, AWS("s3api", "list-objects-v2", "--bucket", "files", "--delimiter", "/", "--query",
                     "CommonPrefixes[].Prefix", "--output", "text"));
    assert_string_equal(out, "dir/\n");
    aws(f, AWS("s3", "rm", "--recursive", "s3://files"));
    aws(f, AWS("s3", "rb", "s3://files"));
    assert_int_not_equal(run(f, "test", AWS("s3", "ls", "s3://files")), 0);
    assert_non_null(strstr(proc_stderr(f->run), "NoSuchBucket"));
}

static void
aws_cli_is_refused_with_a_wrong_secret(void **state)
{
    struct fixture *f = *state;
    NEED(aws);
    assert_int_not_equal(run(f, "wrong", AWS("s3", "ls")), 0);
    assert_non_null(strstr(proc_stderr(f->run), "SignatureDoesNotMatch"));
    assert_int_not_equal(run(f, "wrong", AWS("events", "put-events", "--entries", README_EVENT)), 0);
    assert_non_null(strstr(proc_stderr(f->run), "InvalidSignatureException"));
    assert_int_not_equal(run(f, "wrong", AWS("--endpoint-url", f->url, "sqs", "list-queues")), 0);
    assert_non_null(strstr(proc_stderr(f->run), "SignatureDoesNotMatch"));
}

/* ---- boto3 ------------------------------------------------------------------------------------------------------- */

#define BOTO(function)                                                                                                 \
    static void boto3_##function(void **state)                                                                         \
    {                                                                                                                  \
        struct fixture *f = *state;                                                                                    \
        NEED(python);                                                                                                  \
        boto(f, #function);                                                                                            \
    }                                                                                                                  \
    static void boto3_##function(void **state)

BOTO(the_readme_s_event);
BOTO(put_events_names_what_fails);
BOTO(rules_are_put_used_and_deleted);
BOTO(a_message_is_sent_received_and_deleted);
BOTO(objects_go_both_ways);
BOTO(a_paginator_sees_every_key_once);
BOTO(a_presigned_url_needs_no_credentials);
BOTO(a_wrong_secret_is_refused);

int
main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(aws_cli_puts_the_readme_s_event_and_finds_it_in_the_archive),
        TEST(aws_cli_puts_a_rule_and_a_target),
        TEST(aws_cli_sends_receives_and_deletes_a_message),
        TEST(aws_cli_copies_files_both_ways),
        TEST(aws_cli_is_refused_with_a_wrong_secret),
        TEST(boto3_the_readme_s_event),
        TEST(boto3_put_events_names_what_fails),
        TEST(boto3_rules_are_put_used_and_deleted),
        TEST(boto3_a_message_is_sent_received_and_deleted),
        TEST(boto3_objects_go_both_ways),
        TEST(boto3_a_paginator_sees_every_key_once),
        TEST(boto3_a_presigned_url_needs_no_credentials),
        TEST(boto3_a_wrong_secret_is_refused),
    };
    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
