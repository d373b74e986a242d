/* fanout-local to clients that know nothing of it: the AWS CLI and boto3, unmodified.
 *
 * They are looked for in the environment (FANOUT_AWS, FANOUT_PYTHON), then in the virtual environment that
 * `make interop-tools` makes beside the build; where they are missing, the tests are skipped with that reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define RUN_MS 60000
#define ENTRY                                                                                                          \
    "[{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\",\"EventBusName\":\"" SYSTEM_BUS "\","             \
    "\"Detail\":\"{\\\"user_id\\\": 123, \\\"action\\\": \\\"signup\\\"}\"}]"

static const char *
find_tool(const char *variable, const char *name)
{
    static char path[4096];
    const char *given = getenv(variable);
    if (given && *given)
        return given;
    snprintf(path, sizeof path, "%s/%s", proc_path("../interop/bin"), name);
    return access(path, X_OK) == 0 ? path : NULL;
}

static void
boto3_publishes_lists_sends_receives_deletes_and_is_refused(void **state)
{
    (void)state;
    const char *python = find_tool("FANOUT_PYTHON", "python");
    if (!python)
        skip_because("there is no boto3 (make interop-tools)");
    const char *dir = tmp_new();
    struct system *s = system_start(dir);
    struct proc *p;
    const char *argv[] = {python, "tests/interop/boto3_client.py", NULL};
    int code = system_run(s, argv, RUN_MS, &p);
    if (code != 0)
        fail_msg("exit code %d: %s", code, proc_stderr(p));
    print_message("%s", proc_stdout(p));
    proc_destroy(p);
    system_stop(s);
    tmp_remove(dir);
}

/* Runs the CLI and returns what it printed (both streams); fails the test unless it does well (or, refused, does not).
 * The endpoint is an argument because version 1 of the CLI looks past AWS_ENDPOINT_URL for SQS in us-east-1. */
static const char *
aws(struct system *s, bool refused, const char *const arguments[])
{
    static char output[20000];
    const char *argv[20] = {find_tool("FANOUT_AWS", "aws"), "--endpoint-url", s->url};
    struct proc *p;
    for (size_t i = 0; arguments[i]; i++)
        argv[i + 3] = arguments[i];
    int got = system_run(s, argv, RUN_MS, &p);
    snprintf(output, sizeof output, "%s%s", proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    if ((got != 0) != refused)
        fail_msg("aws %s %s ended with %d: %s", arguments[0], arguments[1], got, output);
    return output;
}
#define AWS(s, ...)         aws(s, false, (const char *const[]){__VA_ARGS__, NULL})
#define AWS_REFUSED(s, ...) aws(s, true, (const char *const[]){__VA_ARGS__, NULL})

/* The value of the first "name": "value" in what the CLI printed. */
static const char *
value_of(const char *output, const char *name, char *out, size_t capacity)
{
    char pattern[100];
    snprintf(pattern, sizeof pattern, "\"%s\": \"", name);
    const char *at = strstr(output, pattern);
    if (!at)
        fail_msg("no %s in: %s", name, output);
    at += strlen(pattern);
    snprintf(out, capacity, "%.*s", (int)strcspn(at, "\""), at);
    return out;
}

static void
assert_says(const char *output, const char *text)
{
    if (!strstr(output, text))
        fail_msg("\"%s\" is not in: %s", text, output);
}

static void
the_aws_cli_publishes_lists_sends_receives_and_deletes(void **state)
{
    (void)state;
    if (!find_tool("FANOUT_AWS", "aws"))
        skip_because("there is no AWS CLI (make interop-tools)");
    const char *dir = tmp_new();
    struct system *s = system_start(dir);
    char id[100], url[300], handle[2000];
    value_of(AWS(s, "events", "put-events", "--entries", ENTRY), "EventId", id, sizeof id);
    assert_says(AWS(s, "s3", "ls", "s3://" SYSTEM_BUCKET "/raw-events/"), id);
    assert_says(AWS(s, "s3api", "list-objects-v2", "--bucket", SYSTEM_BUCKET, "--prefix", "raw-events/"), id);

    value_of(AWS(s, "sqs", "get-queue-url", "--queue-name", SYSTEM_QUEUE), "QueueUrl", url, sizeof url);
    const char *received = AWS(s, "sqs", "receive-message", "--queue-url", url);
    assert_says(received, id);
    value_of(received, "ReceiptHandle", handle, sizeof handle);
    AWS(s, "sqs", "delete-message", "--queue-url", url, "--receipt-handle", handle);

    AWS(s, "sqs", "send-message", "--queue-url", url, "--message-body", "from the CLI");
    received = AWS(s, "sqs", "receive-message", "--queue-url", url);
    assert_says(received, "from the CLI");
    value_of(received, "ReceiptHandle", handle, sizeof handle);
    AWS(s, "sqs", "delete-message", "--queue-url", url, "--receipt-handle", handle);
    assert_says(AWS(s, "sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All"),
                "\"ApproximateNumberOfMessages\": \"0\"");

    const char *file = tmp_write(dir, "up.txt", "up and down\n");
    const char *copy = tmp_path(dir, "down.txt");
    AWS(s, "s3", "cp", file, "s3://" SYSTEM_BUCKET "/files/up.txt");
    AWS(s, "s3", "cp", "s3://" SYSTEM_BUCKET "/files/up.txt", copy);
    char *text = tmp_read(copy, NULL);
    assert_non_null(text);
    assert_string_equal(text, "up and down\n");
    free(text);
    system_stop(s);
    tmp_remove(dir);
}

static void
the_aws_cli_with_a_wrong_secret_is_refused(void **state)
{
    (void)state;
    if (!find_tool("FANOUT_AWS", "aws"))
        skip_because("there is no AWS CLI (make interop-tools)");
    const char *dir = tmp_new();
    struct system *s = system_start(dir);
    char endpoint[200];
    snprintf(endpoint, sizeof endpoint, "AWS_ENDPOINT_URL=%s", s->url);
    const char *const wrong[] = {"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=wrong",
                                 "AWS_DEFAULT_REGION=us-east-1", endpoint, NULL};
    s->env = wrong;
    assert_says(AWS_REFUSED(s, "events", "put-events", "--entries", ENTRY), "InvalidSignatureException");
    assert_says(AWS_REFUSED(s, "s3api", "list-buckets"), "SignatureDoesNotMatch");
    assert_says(AWS_REFUSED(s, "sqs", "list-queues"), "ignature");
    system_stop(s);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boto3_publishes_lists_sends_receives_deletes_and_is_refused),
        cmocka_unit_test(the_aws_cli_publishes_lists_sends_receives_and_deletes),
        cmocka_unit_test(the_aws_cli_with_a_wrong_secret_is_refused),
    };
    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
