/* The real fanout-worker and fanoutd before the real fanout-local: what is filtered out, unwrapped and undecodable, and
 * what handlers see of messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "lib/dead_letters.h"
#include "lib/local_queue.h"
#include "lib/lone_worker.h"
#include "lib/tmp.h"

#define SOON_MS 20000

#define EVENT(source)                                                                                                  \
    "{\"version\":\"0\",\"id\":\"id-1\",\"detail-type\":\"Paid\",\"source\":\"" source "\",\"account\":\"1\","         \
    "\"time\":\"2026-11-20T06:00:01Z\",\"region\":\"r\",\"resources\":[],\"detail\":{\"n\": 9007199254740993}}"
#define S3_EVENT                                                                                                       \
    "{\"Records\":[{\"eventSource\":\"aws:s3\",\"eventTime\":\"1970-01-01T00:00:00.123Z\","                            \
    "\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"photos\"},"                                    \
    "\"object\":{\"key\":\"2026/cat+one.jpg\",\"size\":12}}}]}"

static struct local_queue queue, dead;
static const char *dir;

/* ---- the queue ---- */

/* Its clock runs, and is moved where only time is waited for. */
static int
start_server(void **state)
{
    int rc = local_fixture_start_with_clock(state);
    atomic_store(&local_fixture.clock->frozen_at_ms, 0);
    return rc;
}

static int
make_queues(void **state)
{
    char attributes[400], arn[DEAD_LETTERS_ARN];
    (void)state;
    dir = tmp_new();
    local_queue_make(&dead, "{}");
    snprintf(attributes, sizeof attributes,
             "{\"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":\\\"%s\\\",\\\"maxReceiveCount\\\":1000}\"}",
             dead_letters_arn(dead.url, arn));
    local_queue_make(&queue, attributes);
    return 0;
}

static int
drop_queues(void **state)
{
    (void)state;
    local_queue_drop(&queue);
    local_queue_drop(&dead);
    tmp_remove(dir);
    return 0;
}

/* more: further members of the request, "" or ", ...". */
static void
send_body(const char *body, const char *more)
{
    struct buf request = BUF_INIT;
    buf_add_format(&request, "{\"QueueUrl\": \"%s\", \"MessageBody\": ", queue.url);
    json_write_string(&request, slice_of_string(body));
    buf_add_format(&request, "%s}", more);
    assert_false(buf_failed(&request));
    if (aws_call_sqs_body(&queue.call, "SendMessage", buf_slice(&request)) != 200)
        fail_msg("SendMessage: %d %s: %s", queue.call.status, queue.call.error, queue.call.message);
    buf_clean_up(&request);
}

/* What SNS makes of it. */
static void
send_by_sns(const char *message)
{
    struct buf body = BUF_INIT;
    buf_add_string(&body, "{\n  \"Type\" : \"Notification\",\n  \"MessageId\" : \"sns-1\",\n"
                          "  \"TopicArn\" : \"arn:aws:sns:us-east-1:1:t\",\n  \"Message\" : ");
    json_write_string(&body, slice_of_string(message));
    buf_add_string(&body, ",\n  \"Timestamp\" : \"2026-11-20T06:00:01.000Z\"\n}");
    send_body(body.data, "");
    buf_clean_up(&body);
}

/* Asked at once: a message that is left to others would slip through two questions. */
static bool
is_queue_empty(void *context)
{
    struct local_queue *q = context;
    local_queue_ok(q, "GetQueueAttributes", ", \"AttributeNames\": [\"All\"]");
    return strcmp(local_queue_text(q, "Attributes.ApproximateNumberOfMessages"), "0") == 0 &&
           strcmp(local_queue_text(q, "Attributes.ApproximateNumberOfMessagesNotVisible"), "0") == 0;
}

static void
await_empty(void)
{
    if (!proc_wait_until(is_queue_empty, &queue, SOON_MS))
        fail_msg("messages are left in the queue");
}

/* ---- workers ---- */

/* settings of the consumer, options of the plugin. */
static void
start_worker(struct lone_worker *w, const char *plugin, const char *settings, const char *options)
{
    struct buf conf = BUF_INIT;
    struct ipc_message m;
    buf_add_format(&conf,
                   "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
                   "consumers = ( { name = \"orders\"; queue = \"%s\"; plugin = \"%s\"; wait_time_s = 1; threads = 2;\n"
                   "  %s options = { %s }; } );\n",
                   local_fixture.url, queue.url, plugin, settings, options);
    assert_false(buf_failed(&conf));
    lone_worker_start(w, conf.data, 2, 1000, tmp_path(dir, "log"), NULL);
    buf_clean_up(&conf);
    if (!lone_worker_wait(w, IPC_READY, &m, SOON_MS)) {
        char *log = tmp_read(tmp_path(dir, "log"), NULL);
        fail_msg("the worker does not get ready: %s", log ? log : "");
    }
}

/* summary, which writes into "seen". */
static void
start_summary(struct lone_worker *w, const char *settings, const char *options)
{
    char all[300];
    snprintf(all, sizeof all, "path = \"%s\"; %s", tmp_path(dir, "seen"), options);
    start_worker(w, "summary", settings, all);
}

static void
end_worker(struct lone_worker *w)
{
    struct ipc_message m;
    bool drained = false;
    assert_int_equal(ipc_send(w->channel_fd, IPC_DRAIN, 10000, NULL, NULL), 0);
    for (int i = 0; i < 5 && !drained; i++) { /* the long poll that is outstanding, or one that is begun meanwhile */
        local_server_pass(&local_fixture, 1000);
        drained = lone_worker_wait(w, IPC_DRAINED, &m, 100);
    }
    assert_true(drained || lone_worker_wait(w, IPC_DRAINED, &m, SOON_MS));
    assert_int_equal(lone_worker_end(w, SOON_MS), 0);
    assert_int_equal(atomic_load(&w->metrics->in_flight), 0);
}

#define COUNT(w, counter) ((long)atomic_load(&(w)->metrics->counter))

/* What the handlers wrote; the caller frees. */
static char *
seen(void)
{
    char *text = tmp_read(tmp_path(dir, "seen"), NULL);
    return text ? text : strdup("");
}

static size_t
count_lines(const char *text)
{
    size_t n = 0;
    char *all = seen();
    for (const char *at = strstr(all, text); at; at = strstr(at + 1, text))
        n++;
    free(all);
    return n;
}

static void
assert_seen(const char *line)
{
    char *all = seen();
    if (!strstr(all, line))
        fail_msg("\"%s\" is not in: %s", line, all);
    free(all);
}

/* ---- filter ---- */

#define SHOP_ALONE "filter = \"{\\\"source\\\":[\\\"shop\\\"]}\"; "

static void
what_the_filter_keeps_out_is_deleted_and_counted(void **state)
{
    struct lone_worker w;
    (void)state;
    for (int i = 0; i < 30; i++)
        send_body(i % 3 == 0 ? EVENT("shop") : EVENT("other"), "");
    start_summary(&w, SHOP_ALONE, "");
    await_empty();
    end_worker(&w);
    assert_int_equal(count_lines("source=shop "), 10);
    assert_int_equal(count_lines("\n"), 10);
    assert_int_equal(COUNT(&w, filtered), 20);
    assert_int_equal(COUNT(&w, handled), 10);
    assert_int_equal(COUNT(&w, deleted), 30);
    local_queue_assert_counts(&dead, 0, 0, 0);
    lone_worker_clean_up(&w);
}

static void
what_the_filter_keeps_out_can_be_left_to_another_consumer(void **state)
{
    struct lone_worker shop, others;
    (void)state;
    for (int i = 0; i < 6; i++)
        send_body(i % 2 == 0 ? EVENT("shop") : EVENT("other"), "");
    start_summary(&shop, SHOP_ALONE "on_mismatch = \"leave\"; batch = { size = 2; };", "");
    start_summary(&others,
                  "filter = \"{\\\"source\\\":[{\\\"anything-but\\\":\\\"shop\\\"}]}\"; on_mismatch = \"leave\"; "
                  "batch = { size = 2; };",
                  "");
    await_empty();
    end_worker(&shop);
    end_worker(&others);
    assert_int_equal(count_lines("source=shop "), 3);
    assert_int_equal(count_lines("source=other "), 3);
    assert_int_equal(COUNT(&shop, handled), 3);
    assert_int_equal(COUNT(&others, handled), 3);
    assert_int_equal(COUNT(&shop, filtered) + COUNT(&others, filtered), 0);
    assert_true(COUNT(&shop, filtered_left) + COUNT(&others, filtered_left) > 0);
    local_queue_assert_counts(&dead, 0, 0, 0);
    lone_worker_clean_up(&shop);
    lone_worker_clean_up(&others);
}

/* The one dead letter. */
static void
assert_dead_letter(const char *body, const char *reason)
{
    assert_int_equal(local_queue_receive(&dead, ", \"WaitTimeSeconds\": 5, \"MessageAttributeNames\": [\"All\"]"), 1);
    assert_string_equal(local_queue_text(&dead, "Messages.0.Body"), body);
    struct json value;
    char text[1100];
    size_t n;
    assert_true(aws_call_at(&dead.call, "Messages.0.MessageAttributes", &value));
    assert_true(json_get_path(value, &value, "fanout.reason", "StringValue", NULL));
    assert_true(json_decode_into(value, text, sizeof text, &n));
    text[n] = '\0';
    if (!strstr(text, reason))
        fail_msg("\"%s\" is not in: %s", reason, text);
    local_queue_settle(&dead, "DeleteMessage", local_queue_text(&dead, "Messages.0.ReceiptHandle"), "");
}

static void
what_the_filter_keeps_out_can_be_a_dead_letter(void **state)
{
    struct lone_worker w;
    (void)state;
    send_body(EVENT("shop"), "");
    send_body(EVENT("other"), ", \"MessageAttributes\": {\"colour\": {\"DataType\": \"String\", \"StringValue\": "
                              "\"blue\"}}");
    start_summary(&w,
                  "filter = \"{\\\"$$or\\\":[{\\\"source\\\":[\\\"shop\\\"]},{\\\"account\\\":[\\\"2\\\"]}]}\"; "
                  "on_mismatch = \"dead_letter\";",
                  "");
    await_empty();
    end_worker(&w);
    assert_int_equal(count_lines("\n"), 1);
    assert_int_equal(COUNT(&w, filtered_dead), 1);
    assert_int_equal(COUNT(&w, handled), 1);
    assert_dead_letter(EVENT("other"), "does not match the consumer's filter");
    lone_worker_clean_up(&w);
}

/* ---- bodies ---- */

static void
an_undecodable_body_reaches_no_handler_and_is_a_dead_letter_as_it_came(void **state)
{
    struct lone_worker w;
    static const char NOT_JSON[] = "no { json";
    (void)state;
    send_body(NOT_JSON, "");
    send_body(EVENT("shop"), "");
    start_summary(&w, "envelope = \"eventbridge\";", "");
    await_empty();
    end_worker(&w);
    assert_int_equal(count_lines("\n"), 1);
    assert_seen("event 2026-11-20T06:00:01Z source=shop type=Paid id=id-1 bytes=23\n");
    assert_int_equal(COUNT(&w, undecodable), 1);
    assert_dead_letter(NOT_JSON, "undecodable body: event envelope: JSON, line 1, column 1");
    lone_worker_clean_up(&w);
}

static void
a_dead_letter_keeps_the_notification_it_came_in(void **state)
{
    struct lone_worker w;
    (void)state;
    send_by_sns("plain text");
    start_summary(&w, "unwrap = \"sns\"; envelope = \"eventbridge\";", "");
    await_empty();
    end_worker(&w);
    assert_dead_letter("{\n  \"Type\" : \"Notification\",\n  \"MessageId\" : \"sns-1\",\n"
                       "  \"TopicArn\" : \"arn:aws:sns:us-east-1:1:t\",\n  \"Message\" : \"plain text\",\n"
                       "  \"Timestamp\" : \"2026-11-20T06:00:01.000Z\"\n}",
                       "undecodable body: event envelope: ");
    lone_worker_clean_up(&w);
}

static void
handlers_see_what_came_by_sns_and_from_s3(void **state)
{
    struct lone_worker w;
    (void)state;
    send_by_sns(EVENT("shop"));
    send_by_sns(S3_EVENT);
    send_body(EVENT("raw"), "");
    send_body(S3_EVENT, "");
    send_body("{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",\"Bucket\":\"photos\"}", "");
    start_summary(&w, "unwrap = \"auto\"; envelope = \"eventbridge\";", "");
    await_empty();
    end_worker(&w);
    assert_seen("event 2026-11-20T06:00:01Z source=shop type=Paid id=id-1 bytes=23 topic=arn:aws:sns:us-east-1:1:t\n");
    assert_seen("event 2026-11-20T06:00:01Z source=raw type=Paid id=id-1 bytes=23\n");
    assert_seen("s3 1970-01-01T00:00:00.123Z name=ObjectCreated:Put bucket=photos key=2026/cat one.jpg bytes=12\n");
    assert_seen("s3 1970-01-01T00:00:00.123Z name=ObjectCreated:Put bucket=photos key=2026/cat one.jpg bytes=12 "
                "topic=arn:aws:sns:us-east-1:1:t\n");
    assert_seen("s3-test\n");
    assert_int_equal(count_lines("\n"), 5);
    assert_int_equal(COUNT(&w, unwrapped), 2);
    local_queue_assert_counts(&dead, 0, 0, 0);
    lone_worker_clean_up(&w);
}

static void
jsonl_writes_details_and_rejects_what_has_none(void **state)
{
    struct lone_worker w;
    char options[300];
    (void)state;
    send_body(EVENT("shop"), "");
    send_body("{\"no\":\"event\"}", "");
    send_body(EVENT("other"), "");
    snprintf(options, sizeof options, "path = \"%s\"; write = \"detail\";", tmp_path(dir, "seen"));
    start_worker(&w, "jsonl", "", options);
    await_empty();
    end_worker(&w);
    char *all = seen();
    assert_string_equal(all, "{\"n\": 9007199254740993}\n{\"n\": 9007199254740993}\n");
    free(all);
    assert_int_equal(COUNT(&w, rejected), 1);
    assert_int_equal(COUNT(&w, violations), 0);
    assert_dead_letter("{\"no\":\"event\"}", "the body is no EventBridge event");
    lone_worker_clean_up(&w);
}

static void
handlers_see_attributes_that_they_asked_for(void **state)
{
    struct lone_worker w;
    static const char ATTRIBUTES[] =
        ", \"MessageAttributes\": {\"colour\": {\"DataType\": \"String\", \"StringValue\": \"blue\"}, "
        "\"raw\": {\"DataType\": \"Binary\", \"BinaryValue\": \"eHl6\"}}";
    (void)state;
    send_body(EVENT("shop"), ATTRIBUTES);
    start_summary(&w, "", "attributes = true;");
    await_empty();
    end_worker(&w);
    assert_seen(" id=id-1 bytes=23 @");
    assert_seen(" @colour=blue");
    assert_seen(" @raw=xyz");
    assert_seen(" sender=");
    lone_worker_clean_up(&w);
}

/* ---- configuration ---- */

static void
assert_refused(const char *settings, const char *queue_name, const char *const *says)
{
    const char *conf =
        tmp_write(dir, "x.conf", "consumers = ( { name = \"x\"; queue = \"%s\"; plugin = \"summary\"; %s } );\n",
                  queue_name, settings);
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanoutd"), "-c", conf, "--check", NULL},
                                (const char *[]){"AWS_REGION=us-east-1", NULL});
    assert_int_equal(proc_wait_exit(p, SOON_MS), 2);
    for (; *says; says++)
        if (!strstr(proc_stderr(p), *says))
            fail_msg("\"%s\" is not in: %s", *says, proc_stderr(p));
    proc_destroy(p);
}

static void
a_bad_filter_is_refused_with_its_place_and_what_is_wrong(void **state)
{
    (void)state;
    assert_refused("filter = \"{\\\"source\\\": \\\"shop\\\"}\";", "q",
                   (const char *[]){"consumer \"x\": filter: ", "Event pattern is not valid. Reason: ",
                                    "\"source\" must be an object or an array", "[line: 1, column: 12]", NULL});
    assert_refused("filter = \"{\\\"source\\\": [{\\\"numeric\\\": []}]}\";", "q",
                   (const char *[]){"consumer \"x\": filter: ", NULL});
    assert_refused("filter = \"not json\";", "q", (const char *[]){"consumer \"x\": filter: ", "Reason: ", NULL});
    assert_refused(SHOP_ALONE "on_mismatch = \"leave\";", "orders.fifo",
                   (const char *[]){"on_mismatch = leave on a FIFO queue", NULL});
}

int
main(void)
{
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "test", 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_queues, drop_queues)
    const struct CMUnitTest tests[] = {
        TEST(what_the_filter_keeps_out_is_deleted_and_counted),
        TEST(what_the_filter_keeps_out_can_be_left_to_another_consumer),
        TEST(what_the_filter_keeps_out_can_be_a_dead_letter),
        TEST(an_undecodable_body_reaches_no_handler_and_is_a_dead_letter_as_it_came),
        TEST(a_dead_letter_keeps_the_notification_it_came_in),
        TEST(handlers_see_what_came_by_sns_and_from_s3),
        TEST(jsonl_writes_details_and_rejects_what_has_none),
        TEST(handlers_see_attributes_that_they_asked_for),
        TEST(a_bad_filter_is_refused_with_its_place_and_what_is_wrong),
    };
    return cmocka_run_group_tests_name("screen", tests, start_server, local_fixture_stop);
}
