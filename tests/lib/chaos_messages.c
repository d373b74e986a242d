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
};

/* What is the number's alone, whatever was drawn before. */
static struct message
draw_message(const struct chaos_run *r, uint32_t n)
{
    static const struct {
        unsigned below; /* of a thousand */
        const char *what;
        enum account_fate fate;
    } KINDS[] = {{60, "retry", ACCOUNT_DONE},
                 {75, "violate", ACCOUNT_DONE},
                 {100, "reject", ACCOUNT_REJECTED},
                 {104, "fail", ACCOUNT_FAILED},
                 {106, "slow", ACCOUNT_DONE},
                 {130, "filtered", ACCOUNT_FILTERED},
                 {140, "undecodable", ACCOUNT_UNDECODABLE},
                 {160, "twin", ACCOUNT_DONE},
                 {161, "down", ACCOUNT_DONE},
                 {1000, "done", ACCOUNT_DONE}};
    uint64_t random = (r->seed << 32) + n, kind = seeds_draw(&random, 1000), times = 1 + seeds_draw(&random, 3),
             group = seeds_draw(&random, GROUPS), away = ACCOUNT_QUEUES * (1 + seeds_draw(&random, TWINS_AWAY));
    size_t k = 0;
    while (kind >= KINDS[k].below)
        k++;
    struct message m = {.what = KINDS[k].what,
                        .fate = KINDS[k].fate,
                        .times = k == 0 ? (unsigned)times : 1,
                        .queue = n % ACCOUNT_QUEUES,
                        .group = n % ACCOUNT_QUEUES == ACCOUNT_FIFO ? (uint32_t)group : ACCOUNT_NO_GROUP,
                        .event = n};
    if (strcmp(m.what, "twin") == 0 && n >= away)
        m.event = n - (uint32_t)away;
    return m;
}

static struct message
put_message(struct chaos_run *r, uint32_t n)
{
    struct message m = draw_message(r, n);
    account_put(r->account, n, m.fate, m.queue, m.group);
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
add_body(struct buf *out, uint32_t n, const struct message *m)
{
    if (m->fate != ACCOUNT_UNDECODABLE)
        buf_add_format(out,
                       "{\"version\":\"0\",\"id\":\"00000000-0000-4000-8000-%012u\",\"detail-type\":\"%s\","
                       "\"source\":\"tests.chaos\",\"account\":\"000000000000\",\"time\":\"2026-01-01T00:00:00Z\","
                       "\"region\":\"us-east-1\",\"resources\":[],\"detail\":",
                       m->event, m->fate == ACCOUNT_FILTERED ? "unwanted" : "wanted");
    buf_add_format(out, "{\"n\":%u,\"do\":\"%s\",\"times\":%u}", n, m->what, m->times);
    if (m->fate != ACCOUNT_UNDECODABLE)
        buf_add_char(out, '}');
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

/* ---- dead letters ------------------------------------------------------------------------------------------------ */

static void
read_letter(struct chaos_run *r, unsigned queue, struct aws_call *c, size_t i)
{
    char path[120], body[1000], reason[ACCOUNT_REASON], colour[20];
    struct account_letter l = {.queue = queue};
    snprintf(path, sizeof path, "Messages.%zu.Body", i);
    assert_true(aws_call_text(c, path, body, sizeof body));
    const char *n = strstr(body, "\"n\":");
    l.has_n = n != NULL;
    l.n = n ? (uint32_t)strtoul(n + 4, NULL, 10) : 0;
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
read_letters(struct chaos_run *r, unsigned queue)
{
    struct aws_call c, deleter;
    size_t n;
    aws_call_init(&c, r->system->url);
    aws_call_init(&deleter, r->system->url);
    do {
        aws_call_sqs(&c, "ReceiveMessage",
                     "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10, \"MessageAttributeNames\": [\"All\"]}",
                     r->dead_urls[queue]);
        assert_int_equal(c.status, 200);
        n = aws_call_count(&c, "Messages");
        struct buf entries = BUF_INIT;
        for (size_t i = 0; i < n; i++) {
            char path[60], handle[800];
            read_letter(r, queue, &c, i);
            snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
            assert_true(aws_call_text(&c, path, handle, sizeof handle));
            buf_add_format(&entries, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"}", i > 0 ? ", " : "", i, handle);
        }
        if (n > 0)
            assert_int_equal(aws_call_sqs(&deleter, "DeleteMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}",
                                          r->dead_urls[queue], entries.data),
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
        read_letters(r, q);
}
