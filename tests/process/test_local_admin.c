/* fanout-local's admin API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/local.h"
#include "lib/s3_call.h"
#include "lib/tmp.h"

static struct aws_call c;

static int
start(void **state)
{
    (void)state;
    local_server_start(&local_fixture, false);
    aws_call_init(&c, local_fixture.url);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    aws_call_clean_up(&c);
    local_server_clean_up(&local_fixture);
    return 0;
}

static int
begin(void **state)
{
    (void)state;
    admin_reset(local_fixture.url);
    return 0;
}

static void
assert_text(const char *path, const char *expected)
{
    char text[300];
    if (!aws_call_text(&c, path, text, sizeof text) || strcmp(text, expected) != 0)
        fail_msg("%s is \"%s\", not \"%s\"", path, text, expected);
}

static long
number(const char *path)
{
    char text[40];
    assert_true(aws_call_text(&c, path, text, sizeof text));
    return atol(text);
}

static void
send_message(const char *url)
{
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"a secret body\"}", url),
                     200);
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static void
every_page_that_is_listed_is_there(void **state)
{
    (void)state;
    static const char *const LISTS[] = {"", "/"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(admin_ask(&c, "GET", LISTS[i], ""), 200);
        assert_int_equal(aws_call_count(&c, "pages"), 7);
    }
    for (size_t i = 0; i < 7; i++) {
        char path[60], page[60], methods[40];
        assert_int_equal(admin_ask(&c, "GET", "/", ""), 200);
        snprintf(path, sizeof path, "pages.%zu.path", i);
        assert_true(aws_call_text(&c, path, page, sizeof page));
        snprintf(path, sizeof path, "pages.%zu.methods", i);
        assert_true(aws_call_text(&c, path, methods, sizeof methods));
        aws_call_plain(&c, "GET", page, "");
        assert_int_equal(c.status, strstr(methods, "GET") ? 200 : 405);
        assert_int_equal(aws_call_plain(&c, "PATCH", page, ""), 405);
    }
    assert_int_equal(admin_ask(&c, "GET", "/nothing", ""), 404);
    assert_true(admin_is_healthy(local_fixture.url));
}

static void
pages_of_a_browser_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int status;
    } HEADERS[] = {
        {"Origin: http://127.0.0.1:1", 403},   {"Host: evil.example:4566", 403},
        {"Host: 127.0.0.1.evil.example", 403}, {"Host: localhost", 200},
        {"Host: localhost:4566", 200},         {"Host: [::1]:4566", 200},
        {"Host: 0.0.0.0:4566", 200},           {"Host: localhost.evil.test", 403},
    };
    struct aws_call raw;
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
        aws_call_init(&raw, local_fixture.url);
        bool is_host = strncmp(HEADERS[i].header, "Host: ", 6) == 0;
        raw.plain_header = is_host ? NULL : HEADERS[i].header;
        raw.plain_host = is_host ? HEADERS[i].header + 6 : NULL;
        assert_int_equal(admin_ask(&raw, "GET", "/stats", ""), HEADERS[i].status);
        assert_int_equal(admin_ask(&raw, "GET", "/health", ""), HEADERS[i].status);
        aws_call_clean_up(&raw);
    }
}

static void
with_a_token_only_who_brings_it_may_ask(void **state)
{
    (void)state;
    struct local_server guarded;
    struct aws_call a;
    const char *file = tmp_write(tmp_new(), "token", "a-token-of-tests\n");
    const char *const options[] = {"--admin-token-file", file, NULL};
    local_server_start_with(&guarded, options);
    aws_call_init(&a, guarded.url);
    assert_int_equal(admin_ask(&a, "GET", "/stats", ""), 401);
    assert_int_equal(admin_ask(&a, "POST", "/reset", ""), 401);
    assert_int_equal(admin_ask(&a, "GET", "/health", ""), 200);
    a.plain_header = "Authorization: Bearer a-token-of-test";
    assert_int_equal(admin_ask(&a, "GET", "/stats", ""), 401);
    a.plain_header = "Authorization: Bearer a-token-of-tests";
    assert_int_equal(admin_ask(&a, "GET", "/stats", ""), 200);
    a.plain_host = "from.elsewhere:80";
    assert_int_equal(admin_ask(&a, "GET", "/stats", ""), 200);
    aws_call_clean_up(&a);
    local_server_clean_up(&guarded);

    char out[1000];
    tmp_write(guarded.folder = tmp_new(), "short", "short\n");
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--memory", "--admin-token-file",
                                                 tmp_path(guarded.folder, "short"), NULL},
                                NULL);
    assert_int_equal(proc_wait_exit(p, 20000), 2);
    snprintf(out, sizeof out, "%s", proc_stderr(p));
    assert_non_null(strstr(out, "a token of 8 to 256 characters"));
    proc_destroy(p);
    tmp_remove(guarded.folder);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

static void
calls_errors_and_times_are_counted_by_operation(void **state)
{
    (void)state;
    char url[200];
    local_server_queue(&local_fixture, "q", "{}", url, sizeof url);
    for (int i = 0; i < 5; i++)
        send_message(url);
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s-not\", \"MessageBody\": \"x\"}", url), 400);
    assert_int_equal(admin_ask(&c, "GET", "/stats", ""), 200);
    assert_int_equal(number("requests.sqs:SendMessage"), 6);
    assert_int_equal(number("operations.sqs:SendMessage.calls"), 6);
    assert_int_equal(number("operations.sqs:SendMessage.errors"), 1);
    long p50 = number("operations.sqs:SendMessage.p50_us"), p99 = number("operations.sqs:SendMessage.p99_us");
    assert_in_range(p50, 1, p99);
    assert_in_range(p99, p50, number("operations.sqs:SendMessage.max_us"));
    assert_true(number("store.commits") >= 6 && number("store.turns") >= number("store.commits"));
    assert_in_range(number("process.rss_bytes"), 1 << 20, 1 << 30);
    assert_int_equal(number("process.pid"), proc_pid(local_fixture.process));
    assert_int_equal(admin_queue_figure(local_fixture.url, "q", "visible"), 5);
    assert_int_equal(admin_figure(local_fixture.url, "operations.sqs:CreateQueue.calls"), 1);
}

/* ---- the last requests ------------------------------------------------------------------------------------------- */

static void
a_request_is_remembered_without_its_body(void **state)
{
    (void)state;
    char url[200];
    local_server_queue(&local_fixture, "q", "{}", url, sizeof url);
    send_message(url);
    assert_int_equal(admin_ask(&c, "GET", "/requests?operation=SendMessage", ""), 200);
    assert_int_equal(aws_call_count(&c, "requests"), 1);
    assert_text("requests.0.service", "sqs");
    assert_text("requests.0.operation", "SendMessage");
    assert_text("requests.0.resource", "q");
    assert_text("requests.0.status", "200");
    assert_text("requests.0.error", "");
    assert_text("requests.0.key", "");
    assert_true(number("requests.0.duration_us") > 0);
    assert_true(number("requests.0.bytes_in") > 20 && number("requests.0.bytes_out") > 20);
    assert_null(memmem(c.body.p, c.body.n, "a secret body", 13));
    assert_null(memmem(c.body.p, c.body.n, "Signature", 9));
}

static void
requests_are_found_by_what_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        size_t n;
    } QUERIES[] = {
        {"", 6},
        {"service=sqs", 4},
        {"service=s3", 1},
        {"service=events", 1},
        {"operation=SendMessage", 3},
        {"operation=SendMessage&status=200", 1},
        {"status=4xx", 4},
        {"status=403", 1},
        {"status=2xx", 2},
        {"error=SignatureDoesNotMatch", 1},
        {"error=AWS.SimpleQueueService.NonExistentQueue", 1},
        {"resource=q", 2},
        {"resource=bucket%2Fa%20key", 1},
        {"key=nobody", 0},
        {"limit=2", 2},
        {"limit=0", 0},
        {"limit=2&operation=CreateQueue", 1},
    };
    static const char *const BAD[] = {"colour=red", "limit=1001", "limit=x", "status=9xx", "status=", "after=-1"};
    char url[200], query[80];
    struct s3_answer a;
    local_server_queue(&local_fixture, "q", "{}", url, sizeof url);
    send_message(url);
    aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s-not\", \"MessageBody\": \"x\"}", url);
    c.secret_access_key = "wrong";
    sigv4_key_clean_up(&c.key);
    aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", url);
    c.secret_access_key = "test";
    sigv4_key_clean_up(&c.key);
    assert_true(aws_call_begin(&c, "events", "AWSEvents.DescribeRule", SLICE("{\"Name\":\"rule\"}")));
    aws_call_finish(&c);
    s3_call(local_fixture.url, &(struct s3_request){.method = "GET", .path = "/bucket/a%20key"}, &a);
    assert_int_equal(a.status, 404);
    s3_answer_clean_up(&a);
    for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++) {
        size_t n = admin_count_requests(local_fixture.url, QUERIES[i].query);
        if (n != QUERIES[i].n)
            fail_msg("%s: %zu", QUERIES[i].query, n);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        snprintf(query, sizeof query, "/requests?%s", BAD[i]);
        assert_int_equal(admin_ask(&c, "GET", query, ""), 400);
    }
    assert_int_equal(admin_count_requests(local_fixture.url, "resource=rule"), 1);
    assert_int_equal(admin_ask(&c, "GET", "/requests", ""), 200);
    long last = number("last");
    send_message(url);
    snprintf(query, sizeof query, "after=%ld", last);
    assert_int_equal(admin_count_requests(local_fixture.url, query), 1);
    assert_int_equal(admin_ask(&c, "DELETE", "/requests", ""), 200);
    assert_int_equal(admin_count_requests(local_fixture.url, ""), 0);
}

static void
the_last_thousand_are_remembered(void **state)
{
    (void)state;
    assert_int_equal(admin_ask(&c, "GET", "/requests", ""), 200);
    long before = number("last");
    for (int i = 0; i < 1010; i++)
        assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    assert_int_equal(admin_ask(&c, "GET", "/requests", ""), 200);
    assert_int_equal(number("last"), before + 1010);
    assert_int_equal(number("forgotten"), before + 10);
    assert_int_equal(aws_call_count(&c, "requests"), 1000);
    assert_int_equal(number("requests.0.number"), before + 11);
    assert_int_equal(number("requests.999.number"), before + 1010);
}

static void
a_dropped_connection_is_remembered_with_status_0(void **state)
{
    (void)state;
    admin_set_fault(local_fixture.url, "{\"action\": \"sqs:ListQueues\", \"kind\": \"drop_before\"}");
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 0);
    assert_int_equal(admin_count_requests(local_fixture.url, "status=0"), 1);
    admin_set_fault(local_fixture.url, "{\"action\": \"sqs:ListQueues\", \"kind\": \"error\", \"code\": \"Busy\"}");
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 500);
    assert_int_equal(admin_count_requests(local_fixture.url, "error=Busy&status=5xx"), 1);
}

/* ---- reset ------------------------------------------------------------------------------------------------------- */

static void
a_queue_alone_is_emptied_and_stays(void **state)
{
    (void)state;
    char a[200], b[200];
    local_server_queue(&local_fixture, "a", "{\"DelaySeconds\": \"0\", \"VisibilityTimeout\": \"77\"}", a, sizeof a);
    local_server_queue(&local_fixture, "b", "{}", b, sizeof b);
    for (int i = 0; i < 3; i++) {
        send_message(a);
        send_message(b);
    }
    assert_int_equal(aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", a), 200);
    for (int i = 0; i < 2; i++) { /* no pause is asked for, as PurgeQueue does */
        admin_empty_queue(local_fixture.url, "a");
        assert_int_equal(admin_queue_figure(local_fixture.url, "a", "visible"), 0);
        assert_int_equal(admin_queue_figure(local_fixture.url, "a", "in_flight"), 0);
        send_message(a);
    }
    assert_int_equal(admin_queue_figure(local_fixture.url, "b", "visible"), 3);
    aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"VisibilityTimeout\"]}", a);
    assert_text("Attributes.VisibilityTimeout", "77");
    assert_int_equal(aws_call_sqs(&c, "PurgeQueue", "{\"QueueUrl\": \"%s\"}", a), 200);
    assert_int_equal(admin_ask(&c, "POST", "/reset?queue=none", ""), 404);
    assert_int_equal(admin_ask(&c, "POST", "/reset?queue=", ""), 400);
    assert_int_equal(admin_ask(&c, "POST", "/reset?everything", ""), 400);
}

static void
one_service_alone_is_reset(void **state)
{
    (void)state;
    char url[200];
    local_server_queue(&local_fixture, "q", "{}", url, sizeof url);
    const struct aws_call_request put = {
        .service = "events",
        .method = "POST",
        .path = "/",
        .type = "application/x-amz-json-1.1",
        .target = "AWSEvents.PutRule",
        .body = SLICE("{\"Name\":\"r\",\"EventPattern\":\"{\\\"source\\\":[\\\"a\\\"]}\"}")};
    assert_true(aws_call_send(&c, &put));
    assert_int_equal(aws_call_finish(&c), 200);
    assert_int_equal(admin_ask(&c, "POST", "/reset?service=sqs", ""), 200);
    aws_call_sqs(&c, "ListQueues", "{}");
    assert_int_equal(aws_call_count(&c, "QueueUrls"), 0);
    assert_true(aws_call_begin(&c, "events", "AWSEvents.ListRules", SLICE("{}")));
    aws_call_finish(&c);
    assert_int_equal(aws_call_count(&c, "Rules"), 1);
    assert_int_equal(admin_ask(&c, "POST", "/reset?service=events", ""), 200);
    assert_true(aws_call_begin(&c, "events", "AWSEvents.ListRules", SLICE("{}")));
    aws_call_finish(&c);
    assert_int_equal(aws_call_count(&c, "Rules"), 0);
    assert_int_equal(admin_ask(&c, "POST", "/reset?service=ec2", ""), 404);
}

int
main(void)
{
#define TEST(test) cmocka_unit_test_setup(test, begin)
    const struct CMUnitTest tests[] = {
        TEST(every_page_that_is_listed_is_there),       TEST(pages_of_a_browser_are_refused),
        TEST(with_a_token_only_who_brings_it_may_ask),  TEST(calls_errors_and_times_are_counted_by_operation),
        TEST(a_request_is_remembered_without_its_body), TEST(requests_are_found_by_what_is_asked_for),
        TEST(the_last_thousand_are_remembered),         TEST(a_dropped_connection_is_remembered_with_status_0),
        TEST(a_queue_alone_is_emptied_and_stays),       TEST(one_service_alone_is_reset),
    };
    return cmocka_run_group_tests_name("local/admin", tests, start, stop);
}
