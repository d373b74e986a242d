#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/admin.h"
#include "lib/local.h"
#include "lib/query_call.h"

static void
expect(const struct aws_call *c, int status, const char *code)
{
    if (c->status != status || strcmp(c->error, code) != 0)
        fail_msg("%d %s: %s; expected %d %s", c->status, c->error, c->message, status, code);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void
set_fault(const char *rule)
{
    admin_set_fault(local_fixture.url, rule);
}

static long
visible(struct aws_call *c, const char *url)
{
    char text[20];
    aws_call_sqs(c, "GetQueueAttributes",
                 "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"ApproximateNumberOfMessages\"]}", url);
    assert_true(aws_call_text(c, "Attributes.ApproximateNumberOfMessages", text, sizeof text));
    return atol(text);
}

static void
faults_strike_as_they_are_told(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200];
    local_server_queue(&local_fixture, "faults", "{}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);

    set_fault(
        "{\"action\": \"sqs:SendMessage\", \"kind\": \"error\", \"status\": 503, \"code\": \"Busy\", \"count\": 2}");
    assert_int_equal(aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", url), 200);
    for (int i = 0; i < 2; i++) {
        aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", url);
        expect(&c, 503, "Busy");
    }
    assert_int_equal(visible(&c, url), 0);
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"1\"}", url), 200);

    set_fault("{\"action\": \"sqs:*\", \"kind\": \"drop_before\"}");
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", url), 0);
    assert_int_equal(visible(&c, url), 1);
    set_fault("{\"action\": \"sqs:SendMessage\", \"kind\": \"drop_after\"}");
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"2\"}", url), 0);
    assert_int_equal(visible(&c, url), 2);
    set_fault("{\"action\": \"*\", \"kind\": \"duplicate\"}");
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"3\"}", url), 200);
    assert_int_equal(visible(&c, url), 4);
    set_fault("{\"action\": \"sqs:ReceiveMessage\", \"kind\": \"duplicate\"}");
    aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10}", url);
    assert_int_equal(aws_call_count(&c, "Messages"), 4);
    aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10}", url);
    assert_int_equal(aws_call_count(&c, "Messages"), 4);

    set_fault("{\"action\": \"sqs:SendMessage\", \"kind\": \"delay\", \"delay_ms\": 60000}");
    char body[300];
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"MessageBody\": \"late\"}", url);
    struct aws_call late;
    aws_call_init(&late, local_fixture.url);
    assert_true(aws_call_begin(&late, "sqs", "AmazonSQS.SendMessage", slice_of_string(body)));
    late.timeout_ms = 100;
    assert_int_equal(aws_call_finish(&late), 0);
    aws_call_clean_up(&late); /* it has gone, and its message is not there */
    assert_int_equal(visible(&c, url), 0);
    assert_int_equal(admin_ask(&c, "GET", "/faults", ""), 200);
    assert_int_equal(aws_call_count(&c, "rules"), 6);
    local_server_pass(&local_fixture, 60000);
    aws_call_clean_up(&c);
}

static void
a_delayed_call_is_served_when_its_time_has_come(void **state)
{
    (void)state;
    struct aws_call c, late;
    char url[200], body[300];
    local_server_queue(&local_fixture, "late", "{}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);
    aws_call_init(&late, local_fixture.url);
    set_fault("{\"action\": \"sqs:SendMessage\", \"kind\": \"delay\", \"delay_ms\": 60000}");
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"MessageBody\": \"late\"}", url);
    assert_true(aws_call_begin(&late, "sqs", "AmazonSQS.SendMessage", slice_of_string(body)));
    while (admin_struck(local_fixture.url, 0) != 1)
        ;
    assert_int_equal(visible(&c, url), 0);
    local_server_pass(&local_fixture, 60000);
    assert_int_equal(aws_call_finish(&late), 200);
    assert_int_equal(visible(&c, url), 1);
    aws_call_clean_up(&late);
    aws_call_clean_up(&c);
}

static void
send_ten(struct aws_call *c, const char *url)
{
    struct buf entries = BUF_INIT;
    for (int i = 0; i < 10; i++)
        buf_add_format(&entries, "%s{\"Id\": \"%d\", \"MessageBody\": \"%d\"}", i > 0 ? ", " : "", i, i);
    assert_int_equal(
        aws_call_sqs(c, "SendMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}", url, entries.data), 200);
    buf_clean_up(&entries);
}

static void
expect_failed(struct aws_call *c, size_t i, const char *id, const char *code, bool sender)
{
    char path[60], text[100];
    struct json fault;
    snprintf(path, sizeof path, "Failed.%zu.Id", i);
    assert_true(aws_call_text(c, path, text, sizeof text));
    assert_string_equal(text, id);
    snprintf(path, sizeof path, "Failed.%zu.Code", i);
    assert_true(aws_call_text(c, path, text, sizeof text));
    assert_string_equal(text, code);
    snprintf(path, sizeof path, "Failed.%zu.SenderFault", i);
    assert_true(aws_call_at(c, path, &fault));
    assert_int_equal(fault.type, JSON_BOOL);
    assert_int_equal(json_bool(fault), sender);
}

static void
a_partial_fault_fails_entries_of_sqs_batches_and_the_others_are_executed(void **state)
{
    (void)state;
    struct aws_call c;
    struct buf entries = BUF_INIT;
    char url[200];
    local_server_queue(&local_fixture, "partial", "{}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);
    set_fault("{\"action\": \"sqs:SendMessageBatch\", \"kind\": \"partial\", \"every\": 4, \"code\": \"KmsThrottled\", "
              "\"message\": \"a \\\"word\\\"\", \"status\": 400}");
    send_ten(&c, url);
    assert_int_equal(aws_call_count(&c, "Successful"), 7);
    assert_int_equal(aws_call_count(&c, "Failed"), 3);
    expect_failed(&c, 0, "0", "KMS.ThrottlingException", true);
    expect_failed(&c, 1, "4", "KMS.ThrottlingException", true);
    expect_failed(&c, 2, "8", "KMS.ThrottlingException", true);
    assert_int_equal(visible(&c, url), 7);
    send_ten(&c, url); /* it struck once */
    assert_int_equal(aws_call_count(&c, "Failed"), 0);

    aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10}", url);
    size_t n = aws_call_count(&c, "Messages");
    assert_in_range(n, 1, 10);
    for (size_t i = 0; i < n; i++) {
        char path[60], handle[1100];
        snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
        assert_true(aws_call_text(&c, path, handle, sizeof handle));
        buf_add_format(&entries, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 0}",
                       i > 0 ? ", " : "", i, handle);
    }
    static const char *const OPERATIONS[] = {"ChangeMessageVisibilityBatch", "DeleteMessageBatch"};
    for (size_t i = 0; i < 2; i++) {
        char rule[200];
        snprintf(rule, sizeof rule, "{\"action\": \"sqs:%s\", \"kind\": \"partial\", \"code\": \"InternalError\"}",
                 OPERATIONS[i]);
        set_fault(rule);
        assert_int_equal(
            aws_call_sqs(&c, OPERATIONS[i], "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}", url, entries.data), 200);
        assert_int_equal(aws_call_count(&c, "Failed"), (n + 1) / 2);
        assert_int_equal(aws_call_count(&c, "Successful"), n / 2);
        expect_failed(&c, 0, "0", "InternalError", false);
    }
    assert_int_equal(visible(&c, url), 17 - (long)n); /* what was made visible again was deleted after that */
    buf_clean_up(&entries);
    aws_call_clean_up(&c);
}

static void
a_partial_fault_fails_entries_of_put_events(void **state)
{
    (void)state;
    struct aws_call c;
    char text[100];
    aws_call_init(&c, local_fixture.url);
    set_fault("{\"action\": \"events:PutEvents\", \"kind\": \"partial\", \"code\": \"ThrottlingException\", "
              "\"message\": \"a \\\"word\\\"\"}");
    for (int i = 0; i < 2; i++) {
        assert_true(
            aws_call_begin(&c, "events", "AWSEvents.PutEvents",
                           SLICE("{\"Entries\": [{\"Source\": \"a\", \"DetailType\": \"b\", \"Detail\": \"{}\"}, "
                                 "{\"Source\": \"a\", \"DetailType\": \"b\", \"Detail\": \"{}\"}, "
                                 "{\"Source\": \"a\", \"DetailType\": \"b\", \"Detail\": \"{}\"}]}")));
        assert_int_equal(aws_call_finish(&c), 200);
        assert_true(aws_call_text(&c, "Entries.1.EventId", text, sizeof text));
        assert_int_equal(aws_call_text(&c, "Entries.0.EventId", text, sizeof text), i == 1); /* it struck once */
        if (i == 1)
            continue;
        assert_true(aws_call_text(&c, "Entries.0.ErrorCode", text, sizeof text));
        assert_string_equal(text, "ThrottlingException");
        assert_true(aws_call_text(&c, "Entries.2.ErrorMessage", text, sizeof text));
        assert_string_equal(text, "a \"word\"");
    }
    aws_call_clean_up(&c);
}

/* Which of n ListQueues are struck by a rule of half of them. */
static uint64_t
pattern_of(const char *seed)
{
    struct aws_call c;
    char rule[200];
    uint64_t struck = 0;
    aws_call_init(&c, local_fixture.url);
    admin_clear_faults(local_fixture.url);
    snprintf(rule, sizeof rule,
             "{\"action\": \"sqs:ListQueues\", \"kind\": \"error\", \"count\": 0, \"percent\": 50, \"seed\": %s}",
             seed);
    set_fault(rule);
    for (int i = 0; i < 60; i++)
        struck = struck << 1 | (aws_call_sqs(&c, "ListQueues", "{}") != 200);
    aws_call_clean_up(&c);
    return struck;
}

static void
the_same_seed_strikes_the_same_requests(void **state)
{
    (void)state;
    uint64_t a = pattern_of("7"), b = pattern_of("8");
    assert_true(a == pattern_of("7"));
    assert_true(a != b);
    assert_in_range(__builtin_popcountll(a), 15, 45);
}

static void
a_rule_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"",
                                      "x",
                                      "[]",
                                      "{}",
                                      "{\"action\": \"sqs:X\"}",
                                      "{\"action\": \"sqs:X\", \"kind\": \"explode\"}",
                                      "{\"action\": \"X\", \"kind\": \"error\"}",
                                      "{\"action\": \"sqs:SendMesage\", \"kind\": \"error\"}",
                                      "{\"action\": \"sqss:SendMessage\", \"kind\": \"error\"}",
                                      "{\"action\": \"sqs:\", \"kind\": \"error\"}",
                                      "{\"action\": \"*:*\", \"kind\": \"error\"}",
                                      "{\"action\": \"s3:PutEvents\", \"kind\": \"error\"}",
                                      "{\"action\": \"sqs:X\", \"kind\": \"error\", \"status\": 200}",
                                      "{\"action\": \"sqs:X\", \"kind\": \"error\", \"percent\": 101}",
                                      "{\"action\": \"sqs:X\", \"kind\": \"error\", \"often\": 1}",
                                      "{\"action\": \"sqs:X\", \"kind\": \"error\", \"seed\": 0}",
                                      "{\"action\": \"sqs:X\", \"kind\": \"delay\", \"delay_ms\": 600001}",
                                      "{\"action\": \"sqs:SendMessage\", \"kind\": \"partial\"}",
                                      "{\"action\": \"sqs:*\", \"kind\": \"partial\"}",
                                      "{\"action\": \"events:PutEvents\", \"kind\": \"partial\", \"every\": 0}"};
    struct aws_call c;
    char text[300];
    aws_call_init(&c, local_fixture.url);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_int_equal(admin_ask(&c, "POST", "/faults", BAD[i]), 400);
        assert_true(aws_call_text(&c, "error", text, sizeof text));
    }
    assert_int_equal(admin_ask(&c, "GET", "/faults", ""), 200);
    assert_int_equal(aws_call_count(&c, "rules"), 0);
    assert_true(admin_is_healthy(local_fixture.url));
    aws_call_clean_up(&c);
}

static void
a_reset_forgets_everything(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200];
    local_server_queue(&local_fixture, "forgotten", "{}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);
    aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", url);
    set_fault("{\"action\": \"sqs:*\", \"kind\": \"error\", \"count\": 0}");
    admin_reset(local_fixture.url);
    aws_call_sqs(&c, "ListQueues", "{}");
    assert_int_equal(c.status, 200);
    assert_int_equal(aws_call_count(&c, "QueueUrls"), 0);
    local_server_queue(&local_fixture, "forgotten", "{}", url, sizeof url);
    assert_int_equal(visible(&c, url), 0);
    aws_call_clean_up(&c);
}

/* ---- what is durable --------------------------------------------------------------------------------------------- */

#define SENDERS  6
#define PER_LOAD 3000

struct load {
    char url[200];
    atomic_int next, acknowledged;
    atomic_bool sent[PER_LOAD];     /* SendMessageBatch was answered 200 */
    atomic_bool deleting[PER_LOAD]; /* a delete was sent */
    atomic_bool deleted[PER_LOAD];  /* and answered 200 */
};

static void
send_batch(struct load *l, struct aws_call *c)
{
    int from = atomic_fetch_add(&l->next, 10);
    struct buf body = BUF_INIT;
    if (from + 10 > PER_LOAD)
        return;
    buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"Entries\": [", l->url);
    for (int i = 0; i < 10; i++)
        buf_add_format(&body, "%s{\"Id\": \"%d\", \"MessageBody\": \"%d\"}", i ? "," : "", i, from + i);
    buf_add_string(&body, "]}");
    if (aws_call_sqs_body(c, "SendMessageBatch", buf_slice(&body)) == 200) {
        for (int i = 0; i < 10; i++)
            atomic_store(&l->sent[from + i], true);
        atomic_fetch_add(&l->acknowledged, 10);
    }
    buf_clean_up(&body);
}

static void
delete_one(struct load *l, struct aws_call *c)
{
    char body[20], handle[100];
    if (aws_call_sqs(c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", l->url) != 200 ||
        !aws_call_text(c, "Messages.0.Body", body, sizeof body) ||
        !aws_call_text(c, "Messages.0.ReceiptHandle", handle, sizeof handle))
        return;
    atomic_store(&l->deleting[atoi(body)], true);
    if (aws_call_sqs(c, "DeleteMessage", "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\"}", l->url, handle) == 200)
        atomic_store(&l->deleted[atoi(body)], true);
}

static void *
run_load(void *context)
{
    struct load *l = context;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    c.timeout_ms = 10000;
    do {
        send_batch(l, &c);
        delete_one(l, &c);
    } while (c.status != 0 && atomic_load(&l->next) < PER_LOAD);
    aws_call_clean_up(&c);
    return NULL;
}

static bool
enough_acknowledged(void *context)
{
    return atomic_load(&((struct load *)context)->acknowledged) >= PER_LOAD / 3;
}

static void
collect(struct load *l, int seen[PER_LOAD])
{
    struct aws_call c;
    struct json messages, body;
    size_t n;
    aws_call_init(&c, local_fixture.url);
    do {
        assert_int_equal(
            aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10}", l->url), 200);
        n = aws_call_count(&c, "Messages");
        if (aws_call_at(&c, "Messages", &messages))
            for (struct json_iter it = json_iter(messages); json_next(&it);)
                if (json_get(it.value, "Body", &body))
                    seen[atoi(json_raw(body).p)]++;
    } while (n > 0);
    aws_call_clean_up(&c);
}

/* 1,000 s after the kill, everything is visible again. */
static void
what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    static struct load l;
    static int seen[PER_LOAD];
    pthread_t threads[SENDERS];
    memset(&l, 0, sizeof l);
    memset(seen, 0, sizeof seen);
    local_server_queue(&local_fixture, "durable", "{\"VisibilityTimeout\": \"1000\"}", l.url, sizeof l.url);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_load, &l), 0);
    assert_true(proc_wait_until(enough_acknowledged, &l, 60000));
    local_server_kill(&local_fixture);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    local_server_restart(&local_fixture);
    local_server_pass(&local_fixture, 1000000);
    collect(&l, seen);
    for (int i = 0; i < PER_LOAD; i++) {
        if (atomic_load(&l.sent[i]) && !atomic_load(&l.deleting[i]))
            assert_int_equal(seen[i], 1);
        if (atomic_load(&l.deleted[i]))
            assert_int_equal(seen[i], 0);
        assert_in_range(seen[i], 0, 1);
    }
}

static void
a_restart_keeps_visibility_counts_and_handles(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], handle[100], count[20];
    local_server_queue(&local_fixture, "kept", "{\"VisibilityTimeout\": \"100\"}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);
    for (int i = 0; i < 3; i++)
        aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%d\", \"DelaySeconds\": %d}", url, i,
                     i == 2 ? 900 : 0);
    aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", url);
    assert_true(aws_call_text(&c, "Messages.0.ReceiptHandle", handle, sizeof handle));
    aws_call_clean_up(&c);
    local_server_stop(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&c, local_fixture.url);
    aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}", url);
    static const char *const COUNTS[] = {"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
                                         "ApproximateNumberOfMessagesDelayed"};
    for (int i = 0; i < 3; i++) {
        char path[80];
        snprintf(path, sizeof path, "Attributes.%s", COUNTS[i]);
        assert_true(aws_call_text(&c, path, count, sizeof count));
        assert_string_equal(count, "1");
    }
    assert_int_equal(aws_call_sqs(&c, "ChangeMessageVisibility",
                                  "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": 0}", url,
                                  handle),
                     200);
    aws_call_sqs(&c, "ReceiveMessage",
                 "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"], \"MaxNumberOfMessages\": 10}", url);
    assert_int_equal(aws_call_count(&c, "Messages"), 2);
    assert_true(aws_call_text(&c, "Messages.1.Attributes.ApproximateReceiveCount", count, sizeof count));
    assert_string_equal(count, "2");
    aws_call_clean_up(&c);
}

static void
expect_unavailable(const struct aws_call *c)
{
    if (c->status != 503 && c->status != 500)
        fail_msg("%d %s: %s", c->status, c->error, c->message);
}

static void
a_full_disk_is_503_until_there_is_room(void **state)
{
    (void)state;
    struct aws_call c;
    struct query_call q;
    char url[200];
    struct buf body = BUF_INIT;
    local_server_queue(&local_fixture, "full", "{}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);
    buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"MessageBody\": \"", url);
    for (int i = 0; i < 200000; i++)
        buf_add_char(&body, 'x');
    buf_add_string(&body, "\"}");
    local_server_fill_disk(&local_fixture);
    for (int i = 0; i < 3; i++) {
        aws_call_sqs_body(&c, "SendMessage", buf_slice(&body));
        expect_unavailable(&c);
    }
    query_call_init(&q, local_fixture.url);
    query_call_post(&q, strstr(url, "/000000000000/"), "Action=PurgeQueue");
    expect_unavailable(&q.call);
    assert_string_equal(query_call_text(&q, "Error.Type"), "Receiver");
    query_call_clean_up(&q);
    local_server_make_room(&local_fixture);
    assert_int_equal(aws_call_sqs_body(&c, "SendMessage", buf_slice(&body)), 200);
    assert_int_equal(visible(&c, url), 1);
    buf_clean_up(&body);
    aws_call_clean_up(&c);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(visible(&c, url), 1);
    aws_call_clean_up(&c);
}

static void
what_a_full_disk_undid_is_undone_in_memory_too(void **state)
{
    (void)state;
    struct aws_call c, waiting;
    char a[200], b[200], body[300], text[100];
    local_server_queue(&local_fixture, "a", "{}", a, sizeof a);
    local_server_queue(&local_fixture, "b", "{}", b, sizeof b);
    aws_call_init(&c, local_fixture.url);
    aws_call_init(&waiting, local_fixture.url);
    for (int i = 0; i < 3; i++)
        assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", a), 200);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": 20}", b);
    assert_true(aws_call_begin(&waiting, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    local_server_await_waiting(&local_fixture, b, 1);
    assert_int_equal(aws_call_sqs(&c, "TagQueue", "{\"QueueUrl\": \"%s\", \"Tags\": {\"tag\": \"kept\"}}", a), 200);

    local_server_fill_disk(&local_fixture);
    static const char *const CALLS[][2] = {
        {"CreateQueue", ", \"QueueName\": \"c\""},
        {"DeleteQueue", ""},
        {"PurgeQueue", ""},
        {"SetQueueAttributes", ", \"Attributes\": {\"DelaySeconds\": \"9\"}"},
        {"SendMessage", ", \"MessageBody\": \"x\""},
        {"TagQueue", ", \"Tags\": {\"tag\": \"changed\"}"},
        {"UntagQueue", ", \"TagKeys\": [\"tag\"]"},
    };
    for (size_t i = 0; i < 2 * sizeof CALLS / sizeof *CALLS; i++) {
        aws_call_sqs(&c, CALLS[i / 2][0], "{\"QueueUrl\": \"%s\"%s}", i % 2 ? a : b, CALLS[i / 2][1]);
        expect_unavailable(&c);
    }
    aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s\"}", a);
    expect_unavailable(&c);
    local_server_make_room(&local_fixture);

    assert_int_equal(visible(&c, a), 3);
    assert_int_equal(visible(&c, b), 0);
    aws_call_sqs(&c, "GetQueueUrl", "{\"QueueName\": \"c\"}");
    expect(&c, 400, "AWS.SimpleQueueService.NonExistentQueue");
    aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"DelaySeconds\"]}", a);
    assert_true(aws_call_text(&c, "Attributes.DelaySeconds", text, sizeof text));
    assert_string_equal(text, "0");
    aws_call_sqs(&c, "ListQueueTags", "{\"QueueUrl\": \"%s\"}", a);
    assert_true(aws_call_text(&c, "Tags.tag", text, sizeof text));
    assert_string_equal(text, "kept");
    local_server_fill_disk(&local_fixture); /* for itself: what comes after it would undo it as well */
    aws_call_sqs(
        &c, "AddPermission",
        "{\"QueueUrl\": \"%s\", \"Label\": \"l\", \"AWSAccountIds\": [\"111111111111\"], \"Actions\": [\"*\"]}", a);
    expect_unavailable(&c);
    local_server_make_room(&local_fixture);
    aws_call_sqs(&c, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"Policy\"]}", a);
    assert_false(aws_call_text(&c, "Attributes.Policy", text, sizeof text));
    assert_int_equal(local_server_waiting(&local_fixture, b), 1);
    assert_int_equal(aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"to who waits\"}", b),
                     200);
    assert_int_equal(aws_call_finish(&waiting), 200);
    assert_true(aws_call_text(&waiting, "Messages.0.Body", text, sizeof text));
    assert_string_equal(text, "to who waits");
    assert_int_equal(aws_call_sqs(&c, "PurgeQueue", "{\"QueueUrl\": \"%s\"}", a), 200);
    assert_int_equal(visible(&c, a), 0);
    aws_call_clean_up(&waiting);
    aws_call_clean_up(&c);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static void
term_answers_who_waits_and_ends_well(void **state)
{
    (void)state;
    struct aws_call c;
    char url[200], body[300];
    local_server_queue(&local_fixture, "waiting", "{}", url, sizeof url);
    aws_call_init(&c, local_fixture.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\", \"WaitTimeSeconds\": 20}", url);
    assert_true(aws_call_begin(&c, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    local_server_await_waiting(&local_fixture, url, 1);
    local_server_stop(&local_fixture);
    assert_int_equal(aws_call_finish(&c), 200);
    assert_int_equal(aws_call_count(&c, "Messages"), 0);
    aws_call_clean_up(&c);
}

static int
run(const char *const arguments[], char *out, size_t size)
{
    const char *argv[16] = {proc_path("bin/fanout-local")};
    for (size_t i = 0; i < 14 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    struct proc *p = proc_spawn(argv, NULL);
    int status = proc_wait_exit(p, 20000);
    snprintf(out, size, "%s%s", proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    return status;
}

static void
a_command_line_that_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[6];
        int status;
        const char *says;
    } LINES[] = {
        {{"--no-such-option", NULL}, 2, "--no-such-option"},
        {{"--listen", NULL}, 2, "--listen"},
        {{"stray", NULL}, 2, "stray"},
        {{"--data", "x", "--memory", NULL}, 2, "exclude each other"},
        {{"--memory", "--account", "12", NULL}, 2, "12 digits"},
        {{"--memory", "--region", "Here", NULL}, 2, "us-east-1"},
        {{"--memory", "--put-events-bytes", "1000", NULL}, 2, "1024 to 16777216"},
        {{"--memory", "--put-events-bytes", "1e6", NULL}, 2, "1024 to 16777216"},
        {{"--memory", "--log-level", "loud", NULL}, 2, "warn"},
        {{"--memory", "--parameter", "x", NULL}, 2, "NAME=VALUE"},
        {{"--memory", "--access-key", "", NULL}, 2, "--access-key"},
        {{"--memory", "--no-provision", "--listen", "nowhere", NULL}, 2, "HOST:PORT"},
        {{"--memory", "--template", "/no/such/file", NULL}, 2, "/no/such/file"},
        {{"--version", NULL}, 0, "fanout-local "},
        {{"--help", NULL}, 0, "--listen"},
    };
    char out[8192];
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        int status = run(LINES[i].arguments, out, sizeof out);
        if (status != LINES[i].status || !strstr(out, LINES[i].says))
            fail_msg("%s: %d %s", LINES[i].arguments[0], status, out);
        assert_true(status == 0 || !strstr(out, "READY"));
    }
}

static void
a_second_server_on_the_same_data_is_refused(void **state)
{
    (void)state;
    char out[8192], pid[40];
    const char *const again[] = {"--data", local_fixture.folder, "--no-provision", "--listen", "127.0.0.1:0", NULL};
    assert_int_equal(run(again, out, sizeof out), 1);
    snprintf(pid, sizeof pid, "process %d", (int)proc_pid(local_fixture.process));
    assert_non_null(strstr(out, pid));
    const char *const other[] = {"--memory", "--no-provision", "--listen", local_fixture.url + strlen("http://"), NULL};
    assert_int_equal(run(other, out, sizeof out), 1);
    assert_non_null(strstr(out, "in use"));
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    assert_int_equal(aws_call_sqs(&c, "ListQueues", "{}"), 200);
    aws_call_clean_up(&c);
}

static void
in_memory_it_leaves_nothing_behind(void **state)
{
    (void)state;
    struct proc *p =
        proc_start(&(struct proc_options){.argv = (const char *[]){proc_path("bin/fanout-local"), "--memory",
                                                                   "--no-provision", "--listen", "127.0.0.1:0", NULL},
                                          .cwd = local_fixture.folder});
    const char *line = proc_wait_line(p, "READY ", 20000);
    assert_non_null(line);
    struct aws_call c;
    char url[64];
    snprintf(url, sizeof url, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
    aws_call_init(&c, url);
    assert_int_equal(aws_call_sqs(&c, "CreateQueue", "{\"QueueName\": \"m\"}"), 200);
    aws_call_clean_up(&c);
    proc_signal(p, SIGINT);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    assert_string_equal(proc_stdout(p) + strlen("READY ") + strlen(url), "\n"); /* that one line alone */
    proc_destroy(p);
}

/* What fanout-local --health says of the server at url; its exit status. */
static int
health(const char *url, const char *says)
{
    struct proc *p = proc_spawn(
        (const char *[]){proc_path("bin/fanout-local"), "--health", "--listen", url + strlen("http://"), NULL}, NULL);
    int code = proc_wait_exit(p, 20000);
    if (!strstr(proc_stdout(p), says) && !strstr(proc_stderr(p), says))
        fail_msg("--health does not say \"%s\": %s%s", says, proc_stdout(p), proc_stderr(p));
    proc_destroy(p);
    return code;
}

static void
health_is_good_while_requests_are_answered(void **state)
{
    (void)state;
    assert_int_equal(health(local_fixture.url, "{\"status\":\"ok\"}\n"), 0);
    proc_signal(local_fixture.process, SIGSTOP);
    assert_int_equal(health(local_fixture.url, "no answer within 5000 ms"), 1);
    proc_signal(local_fixture.process, SIGCONT);
    assert_int_equal(health(local_fixture.url, "ok"), 0);
    local_server_kill(&local_fixture);
    assert_int_equal(health(local_fixture.url, "nobody listens there"), 1);
}

int
main(void)
{
#define WITH_CLOCK(test) cmocka_unit_test_setup_teardown(test, local_fixture_start_with_clock, local_fixture_stop)
#define PLAIN(test)      cmocka_unit_test_setup_teardown(test, local_fixture_start, local_fixture_stop)
    const struct CMUnitTest tests[] = {
        PLAIN(the_same_seed_strikes_the_same_requests),
        PLAIN(a_rule_that_makes_no_sense_is_refused),
        PLAIN(a_reset_forgets_everything),
        PLAIN(a_full_disk_is_503_until_there_is_room),
        PLAIN(what_a_full_disk_undid_is_undone_in_memory_too),
        PLAIN(term_answers_who_waits_and_ends_well),
        cmocka_unit_test(a_command_line_that_cannot_be_is_refused),
        PLAIN(a_second_server_on_the_same_data_is_refused),
        PLAIN(health_is_good_while_requests_are_answered),
        PLAIN(in_memory_it_leaves_nothing_behind),
        WITH_CLOCK(faults_strike_as_they_are_told),
        WITH_CLOCK(a_partial_fault_fails_entries_of_sqs_batches_and_the_others_are_executed),
        WITH_CLOCK(a_partial_fault_fails_entries_of_put_events),
        WITH_CLOCK(a_delayed_call_is_served_when_its_time_has_come),
        WITH_CLOCK(what_was_acknowledged_survives_kill_9),
        WITH_CLOCK(a_restart_keeps_visibility_counts_and_handles),
    };
    return cmocka_run_group_tests_name("local/server", tests, NULL, NULL);
}
