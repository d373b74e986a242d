/* What a chaos run puts into its queues, and what it finds in their dead-letter queues. */
#include "lib/chaos_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/aws_call.h"
#include "lib/seeds.h"

#define GROUPS 100
#define ROUND  (10 * ACCOUNT_QUEUES) /* messages sent at a time */

#define TWINS_AWAY 20 /* at most so many messages of the queue lie between twins */

struct message {
    const char *what;
    enum account_fate fate;
    unsigned times, queue;
    uint32_t group;
    uint32_t event; /* the number of the message whose event it has: its own, or its twin's */
    unsigned pieces;
    bool notifies; /* an undecodable one that is a notification of S3's */
    bool wrapped;  /* in an SNS notification */
};

/* Of so many messages each a stretch is bad: half of those that would be done fail first. */
#define STRETCH_EVERY 3000
#define STRETCH       120

/* What becomes of those that the filter keeps away. */
static enum account_fate
mismatch(const struct chaos_run *r, unsigned queue)
{
    static const enum account_fate FATES[] = {[CHAOS_MISMATCH_DELETE] = ACCOUNT_FILTERED,
                                              [CHAOS_MISMATCH_LEAVE] = ACCOUNT_LEFT,
                                              [CHAOS_MISMATCH_DEAD_LETTER] = ACCOUNT_MISMATCHED};
    return FATES[r->plan.choice[queue][CHAOS_ON_MISMATCH]];
}

/* What is the number's alone, whatever was drawn before. */
static struct message
draw_message(const struct chaos_run *r, uint32_t n)
{
    static const struct {
        unsigned below; /* of a thousand */
        const char *what;
        enum account_fate fate;
    } KINDS[] = {{60, "retry", ACCOUNT_DONE},         {75, "violate", ACCOUNT_DONE},
                 {100, "reject", ACCOUNT_REJECTED},   {104, "fail", ACCOUNT_FAILED},
                 {105, "slow", ACCOUNT_DONE},         {106, "dawdle", ACCOUNT_DONE},
                 {130, "filtered", ACCOUNT_FILTERED}, {140, "undecodable", ACCOUNT_UNDECODABLE},
                 {160, "twin", ACCOUNT_DONE},         {161, "down", ACCOUNT_DONE},
                 {1000, "done", ACCOUNT_DONE}};
    uint64_t random = (r->seed << 32) + n, kind = seeds_draw(&random, 1000), times = 1 + seeds_draw(&random, 3),
             group = seeds_draw(&random, GROUPS), away = ACCOUNT_QUEUES * (1 + seeds_draw(&random, TWINS_AWAY));
    uint64_t wrap = seeds_draw(&random, 2), pieces = seeds_draw(&random, 5 * ACCOUNT_PIECES),
             bad = seeds_draw(&random, 2);
    unsigned queue = n % ACCOUNT_QUEUES;
    const unsigned *choice = r->plan.choice[queue];
    size_t k = 0;
    if (kind >= 161 && bad && n % STRETCH_EVERY < STRETCH)
        kind = 0;
    while (kind >= KINDS[k].below)
        k++;
    struct message m = {
        .what = KINDS[k].what,
        .fate = KINDS[k].fate,
        .times = k == 0 ? (unsigned)times : 1,
        .queue = queue,
        .group = queue == ACCOUNT_FIFO ? (uint32_t)group : ACCOUNT_NO_GROUP,
        .event = n,
        .wrapped = choice[CHAOS_UNWRAP] != CHAOS_UNWRAP_NONE && wrap,
        .pieces = pieces < ACCOUNT_PIECES && choice[CHAOS_PUBLISH] != CHAOS_PUBLISH_NONE ? (unsigned)pieces + 1 : 0};
    m.notifies = m.fate == ACCOUNT_UNDECODABLE && times == 1;
    if (m.fate == ACCOUNT_FILTERED || (m.notifies && choice[CHAOS_UNWRAP] == CHAOS_UNWRAP_AUTO))
        m.fate = mismatch(r, queue);
    if (strcmp(m.what, "twin") == 0 && n >= away)
        m.event = n - (uint32_t)away;
    return m;
}

static struct message
put_message(struct chaos_run *r, uint32_t n)
{
    struct message m = draw_message(r, n);
    account_put(r->account, n, m.fate, m.queue, m.group);
    account_put_pieces(r->account, n, m.pieces);
    bool twin = m.event != n && strcmp(draw_message(r, m.event).what, "done") == 0 && !r->twinned[m.event];
    if (twin) {
        r->twinned[m.event] = true;
        account_put_twin(r->account, n, m.event);
    } else {
        m.event = n;
    }
    return m;
}

static void
add_event(struct buf *out, uint32_t n, const struct message *m)
{
    bool undecodable = strcmp(m->what, "undecodable") == 0;
    if (m->notifies)
        buf_add_string(out, "{\"Records\":[{\"eventVersion\":\"2.1\",\"eventSource\":\"aws:s3\",\"eventName\":"
                            "\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"k\"}},"
                            "\"responseElements\":");
    if (!undecodable)
        buf_add_format(out,
                       "{\"version\":\"0\",\"id\":\"00000000-0000-4000-8000-%012u\",\"detail-type\":\"%s\","
                       "\"source\":\"tests.chaos\",\"account\":\"000000000000\",\"time\":\"2026-01-01T00:00:00Z\","
                       "\"region\":\"us-east-1\",\"resources\":[],\"detail\":",
                       m->event, strcmp(m->what, "filtered") == 0 ? "unwanted" : "wanted");
    buf_add_format(out, "{\"n\":%u,\"do\":\"%s\",\"times\":%u,\"pieces\":%u}", n, m->what, m->times, m->pieces);
    buf_add_string(out, m->notifies ? "}]}" : undecodable ? "" : "}");
}

/* As SNS writes it (its guide, "HTTP/HTTPS notification JSON format"). */
static void
add_body(struct buf *out, uint32_t n, const struct message *m)
{
    struct buf event = BUF_INIT;
    add_event(&event, n, m);
    if (m->wrapped) {
        buf_add_format(out,
                       "{\"Type\":\"Notification\",\"MessageId\":\"00000000-0000-4000-9000-%012u\",\"TopicArn\":"
                       "\"arn:aws:sns:us-east-1:000000000000:chaos\",\"Message\":",
                       n);
        json_write_string(out, buf_slice(&event));
        buf_add_string(out, ",\"Timestamp\":\"2026-01-01T00:00:00.000Z\",\"SignatureVersion\":\"1\"}");
    } else {
        buf_add_slice(out, buf_slice(&event));
    }
    buf_clean_up(&event);
}

static void
add_entry(struct buf *out, uint32_t n, const struct message *m)
{
    struct buf body = BUF_INIT;
    add_body(&body, n, m);
    buf_add_format(out, "%s{\"Id\": \"%u\", \"MessageBody\": ", out->data[out->len - 1] == '[' ? "" : ", ", n);
    json_write_string(out, buf_slice(&body));
    buf_add_string(out, ", \"MessageAttributes\": {\"colour\": {\"DataType\": \"String\", \"StringValue\": \"blue\"}}");
    if (m->group != ACCOUNT_NO_GROUP)
        buf_add_format(out, ", \"MessageGroupId\": \"g%u\", \"MessageDeduplicationId\": \"%u\"", m->group, n);
    buf_add_char(out, '}');
    buf_clean_up(&body);
}

/* Those of a queue from first on: one call, so that a group's order is that of its numbers. */
static void
begin_batch(struct chaos_run *r, struct aws_call *c, uint32_t first, uint32_t end)
{
    struct buf body = BUF_INIT;
    buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"Entries\": [", r->urls[first % ACCOUNT_QUEUES]);
    for (uint32_t n = first; n < end; n += ACCOUNT_QUEUES) {
        struct message m = put_message(r, n);
        add_entry(&body, n, &m);
    }
    buf_add_string(&body, "]}");
    assert_true(aws_call_begin(c, "sqs", "AmazonSQS.SendMessageBatch", buf_slice(&body)));
    buf_clean_up(&body);
}

void
chaos_run_fill(struct chaos_run *r)
{
    struct aws_call calls[ACCOUNT_QUEUES];
    uint32_t total = (uint32_t)r->messages;
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        aws_call_init(&calls[q], r->system->url);
    for (uint32_t n = 0; n < total; n += ROUND) {
        uint32_t end = total - n > ROUND ? n + ROUND : total;
        for (unsigned q = 0; q < ACCOUNT_QUEUES && n + q < end; q++)
            begin_batch(r, &calls[q], n + q, end);
        for (unsigned q = 0; q < ACCOUNT_QUEUES && n + q < end; q++) {
            assert_int_equal(aws_call_finish(&calls[q]), 200);
            assert_int_equal(aws_call_count(&calls[q], "Failed"), 0);
        }
    }
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        aws_call_clean_up(&calls[q]);
}

/* ---- what lies in the other queues ------------------------------------------------------------------------------- */

/* "n":5, or \"n\":5 where a string of JSON has it. */
static bool
number_in(const char *body, const char *name, uint32_t *ret)
{
    static const char *const ESCAPES[] = {"", "\\"};
    for (size_t i = 0; i < sizeof ESCAPES / sizeof *ESCAPES; i++) {
        char text[20];
        int n = snprintf(text, sizeof text, "%s\"%s%s\":", ESCAPES[i], name, ESCAPES[i]);
        const char *at = strstr(body, text);
        if (!at)
            continue;
        *ret = (uint32_t)strtoul(at + n, NULL, 10);
        return true;
    }
    return false;
}

static void
read_letter(struct chaos_run *r, unsigned queue, struct aws_call *c, size_t i)
{
    char path[120], body[1000], reason[ACCOUNT_REASON], colour[20];
    struct account_letter l = {.queue = queue};
    snprintf(path, sizeof path, "Messages.%zu.Body", i);
    assert_true(aws_call_text(c, path, body, sizeof body));
    l.has_n = number_in(body, "n", &l.n);
    struct json attributes, value; /* "fanout.reason" is no path */
    snprintf(path, sizeof path, "Messages.%zu.MessageAttributes", i);
    if (aws_call_at(c, path, &attributes) && json_get_path(attributes, &value, "fanout.reason", "StringValue", NULL)) {
        size_t length = 0;
        if (json_decode_into(value, reason, sizeof reason - 1, &length)) {
            reason[length] = '\0';
            l.reason = reason;
        }
    }
    snprintf(path, sizeof path, "Messages.%zu.MessageAttributes.colour.StringValue", i);
    l.keeps_attribute = aws_call_text(c, path, colour, sizeof colour) && strcmp(colour, "blue") == 0;
    account_letter(r->account, &l);
}

static void
read_piece(struct chaos_run *r, unsigned queue, struct aws_call *c, size_t i)
{
    char path[120], body[2000];
    uint32_t n = 0, piece = 0;
    (void)queue;
    snprintf(path, sizeof path, "Messages.%zu.Body", i);
    assert_true(aws_call_text(c, path, body, sizeof body));
    assert_true(number_in(body, "n", &n));
    assert_true(number_in(body, "piece", &piece));
    account_piece(r->account, n, piece);
}

/* Until it is empty. */
static void
read_queue(struct chaos_run *r, const char *url, unsigned queue,
           void (*read)(struct chaos_run *r, unsigned queue, struct aws_call *c, size_t i))
{
    struct aws_call c, deleter;
    size_t n;
    aws_call_init(&c, r->system->url);
    aws_call_init(&deleter, r->system->url);
    do {
        aws_call_sqs(&c, "ReceiveMessage",
                     "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10, \"MessageAttributeNames\": [\"All\"]}", url);
        assert_int_equal(c.status, 200);
        n = aws_call_count(&c, "Messages");
        struct buf entries = BUF_INIT;
        for (size_t i = 0; i < n; i++) {
            char path[60], handle[800];
            read(r, queue, &c, i);
            snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
            assert_true(aws_call_text(&c, path, handle, sizeof handle));
            buf_add_format(&entries, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"}", i > 0 ? ", " : "", i, handle);
        }
        if (n > 0)
            assert_int_equal(aws_call_sqs(&deleter, "DeleteMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}",
                                          url, entries.data),
                             200);
        buf_clean_up(&entries);
    } while (n > 0);
    aws_call_clean_up(&c);
    aws_call_clean_up(&deleter);
}

void
chaos_run_read_letters(struct chaos_run *r)
{
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        read_queue(r, r->dead_urls[q], q, read_letter);
}

void
chaos_run_read_pieces(struct chaos_run *r)
{
    read_queue(r, r->events_url, 0, read_piece);
}
