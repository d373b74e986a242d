/* FIFO queues of fanout-local at random, beside a model of them (lib/fifo_model.h) that is asked the same: every answer
 * is compared, and the counts after each. Kills and full disks are among the operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fifo_model.h"
#include "lib/local.h"
#include "lib/seeds.h"

static const uint64_t KEPT_SEEDS[] = {1, 2};

#define EVENTS      350
#define GROUPS      5
#define IDS         40
#define HANDLES     256
#define MESSAGES    4000
#define HANDLE_TEXT 64

struct handle {
    int queue;
    int64_t place, receives;
    char text[HANDLE_TEXT];
};

struct run {
    struct fifo_model *model;
    struct aws_call call;
    uint64_t random;
    char url[FIFO_MODEL_QUEUES][200], arn[100];
    int64_t purged_at_ms[FIFO_MODEL_QUEUES];
    struct handle handles[HANDLES];
    size_t n_handles; /* given out; the last HANDLES are kept */
    char id[MESSAGES][40];
    char sequence[MESSAGES][24]; /* of the send */
    size_t event;
    const char *doing;
};

static uint64_t
draw(struct run *r, uint64_t below)
{
    return seeds_draw(&r->random, below);
}

#define assert_that(r, condition, ...)                                                                                 \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            print_error("event %zu, %s: ", (r)->event, (r)->doing);                                                    \
            fail_msg(__VA_ARGS__);                                                                                     \
        }                                                                                                              \
    } while (0)

static void
ok(struct run *r, const char *operation, int queue, const char *members)
{
    aws_call_sqs(&r->call, operation, "{\"QueueUrl\": \"%s\"%s}", r->url[queue], members);
    assert_that(r, r->call.status == 200, "%s{%s}: %s: %s", operation, members, r->call.error, r->call.message);
}

/* A text of the last answer; "%zu" in the path is i. The last eight live. */
static const char *
text_at(struct run *r, const char *path, size_t i)
{
    static char out[8][300];
    static int turn;
    char whole[100] = "", *at = out[turn++ % 8];
    const char *mark = strstr(path, "%zu");
    if (mark)
        snprintf(whole, sizeof whole, "%.*s%zu%s", (int)(mark - path), path, i, mark + 3);
    if (!aws_call_text(&r->call, mark ? whole : path, at, sizeof *out))
        *at = '\0';
    return at;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

struct entry {
    char group[16], id[80], body[16];
};

static struct entry
draw_entry(struct run *r)
{
    struct entry e;
    snprintf(e.group, sizeof e.group, "g%d", (int)draw(r, GROUPS));
    snprintf(e.body, sizeof e.body, "b%d", (int)draw(r, IDS));
    snprintf(e.id, sizeof e.id, "i%d", (int)draw(r, IDS));
    return e;
}

static void
check_sent(struct run *r, const struct entry *e, const char *id, const char *sequence)
{
    int message = fifo_model_send(r->model, 0, e->group, e->id);
    assert_that(r, message < MESSAGES && strlen(id) == 36 && strlen(sequence) == 20, "\"%s\" \"%s\"", id, sequence);
    if (!r->id[message][0]) {
        snprintf(r->id[message], sizeof r->id[message], "%s", id);
        snprintf(r->sequence[message], sizeof r->sequence[message], "%s", sequence);
        assert_that(r, message == 1 || strcmp(r->sequence[message - 1], sequence) < 0, "%s after %s", sequence,
                    r->sequence[message - 1]);
    }
    assert_that(r, strcmp(r->id[message], id) == 0, "%s in %s: not message %d again", e->id, e->group, message);
    assert_that(r, strcmp(r->sequence[message], sequence) == 0, "another sequence number");
}

static void
send_one(struct run *r)
{
    char members[300];
    struct entry e = draw_entry(r);
    r->doing = "send";
    snprintf(members, sizeof members,
             ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\", \"MessageDeduplicationId\": \"%s\"", e.body,
             e.group, e.id);
    ok(r, "SendMessage", 0, members);
    check_sent(r, &e, text_at(r, "MessageId", 0), text_at(r, "SequenceNumber", 0));
}

static void
send_batch(struct run *r)
{
    char members[2000] = ", \"Entries\": [";
    struct entry e[10];
    size_t n = 1 + draw(r, 10);
    r->doing = "send a batch";
    for (size_t i = 0; i < n; i++) {
        e[i] = draw_entry(r);
        snprintf(members + strlen(members), sizeof members - strlen(members),
                 "%s{\"Id\": \"%zu\", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\", \"MessageDeduplicationId\":"
                 " \"%s\"}",
                 i ? ", " : "", i, e[i].body, e[i].group, e[i].id);
    }
    strcat(members, "]");
    ok(r, "SendMessageBatch", 0, members);
    for (size_t i = 0; i < n; i++)
        check_sent(r, &e[i], text_at(r, "Successful.%zu.MessageId", i), text_at(r, "Successful.%zu.SequenceNumber", i));
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static void
check_received(struct run *r, int queue, size_t i, const struct fifo_model_message *m)
{
    const char *handle = text_at(r, "Messages.%zu.ReceiptHandle", i);
    assert_that(r, strcmp(text_at(r, "Messages.%zu.MessageId", i), r->id[m->message]) == 0, "[%zu] is not message %d",
                i, m->message);
    assert_that(r, atoll(text_at(r, "Messages.%zu.Attributes.ApproximateReceiveCount", i)) == m->receives,
                "[%zu]: receive %s, not %lld", i, text_at(r, "Messages.%zu.Attributes.ApproximateReceiveCount", i),
                (long long)m->receives);
    assert_that(r, atoll(text_at(r, "Messages.%zu.Attributes.SentTimestamp", i)) == m->sent_at_ms, "[%zu]: sent at", i);
    assert_that(
        r, atoll(text_at(r, "Messages.%zu.Attributes.ApproximateFirstReceiveTimestamp", i)) == m->first_received_at_ms,
        "[%zu]: first received at", i);
    assert_that(r, strcmp(text_at(r, "Messages.%zu.Attributes.MessageGroupId", i), m->group) == 0, "[%zu]: group", i);
    assert_that(r,
                strcmp(text_at(r, "Messages.%zu.Attributes.MessageDeduplicationId", i),
                       m->dead_letter ? r->id[m->message] : m->dedup_id) == 0,
                "[%zu]: deduplication id", i);
    int order = strcmp(text_at(r, "Messages.%zu.Attributes.SequenceNumber", i), r->sequence[m->message]);
    assert_that(r, m->dead_letter ? order > 0 : order == 0, "[%zu]: sequence number", i);
    for (size_t j = 0; j < HANDLES && j < r->n_handles; j++) {
        const struct handle *h = &r->handles[j];
        if (h->place == m->place && h->receives == m->receives) {
            assert_that(r, strcmp(h->text, handle) == 0, "[%zu]: another handle", i);
            return;
        }
    }
    struct handle *h = &r->handles[r->n_handles++ % HANDLES];
    *h = (struct handle){.queue = queue, .place = m->place, .receives = m->receives};
    snprintf(h->text, sizeof h->text, "%s", handle);
}

static void
receive(struct run *r)
{
    struct fifo_model_message came[10];
    char members[300], attempt[16];
    int queue = draw(r, 8) == 0;
    size_t max = 1 + draw(r, 10);
    int64_t visibility_s = draw(r, 3) ? -1 : (int64_t)draw(r, 90);
    bool has_attempt = draw(r, 3) == 0;
    r->doing = "receive";
    snprintf(attempt, sizeof attempt, "a%d", (int)draw(r, 4));
    snprintf(members, sizeof members, ", \"AttributeNames\": [\"All\"], \"MaxNumberOfMessages\": %zu", max);
    if (visibility_s >= 0)
        snprintf(members + strlen(members), sizeof members - strlen(members), ", \"VisibilityTimeout\": %lld",
                 (long long)visibility_s);
    if (has_attempt)
        snprintf(members + strlen(members), sizeof members - strlen(members), ", \"ReceiveRequestAttemptId\": \"%s\"",
                 attempt);
    ok(r, "ReceiveMessage", queue, members);
    size_t n = fifo_model_receive(r->model, queue, max, visibility_s, has_attempt ? attempt : NULL, came);
    size_t got = aws_call_count(&r->call, "Messages");
    for (size_t i = 0; i < got && i < n; i++)
        check_received(r, queue, i, &came[i]);
    assert_that(r, got == n, "%zu messages, not %zu", got, n);
}

/* ---- settling ---------------------------------------------------------------------------------------------------- */

static void
check_settled(struct run *r, enum fifo_model_answer expected, const char *code, const char *message)
{
    static const char *const WORDS[] = {"", "The receipt handle has expired", "Message does not exist",
                                        "beyond the limit [43200 seconds]"};
    assert_that(r, (expected == FIFO_MODEL_OK) == (*code == '\0') && strstr(message, WORDS[expected]),
                "\"%s: %s\", not \"%s\"", code, message, WORDS[expected]);
}

/* Deletes, or changes visibility; by one call or by a batch. */
static void
settle(struct run *r)
{
    char members[2000] = "";
    bool deletes = draw(r, 5) < 3, batch = draw(r, 2);
    size_t n = batch ? 1 + draw(r, 5) : 1, kept = r->n_handles < HANDLES ? r->n_handles : HANDLES;
    const struct handle *h[5] = {0};
    int64_t visibility_s[5] = {0};
    int queue = -1;
    size_t m = 0;
    r->doing = deletes ? "delete" : "change";
    for (size_t i = 0; i < n && kept > 0; i++) {
        /* mostly a recent one */
        size_t back = draw(r, 4) ? draw(r, kept < 12 ? kept : 12) : draw(r, kept);
        const struct handle *one = &r->handles[(r->n_handles - 1 - back) % HANDLES];
        bool again = queue >= 0 && one->queue != queue;
        if (again)
            continue;
        queue = one->queue;
        visibility_s[m] = draw(r, 3) == 0 ? 0 : draw(r, 12) ? (int64_t)draw(r, 100) : 43200;
        h[m++] = one;
    }
    if (m == 0)
        return;
    for (size_t i = 0; i < m; i++)
        snprintf(members + strlen(members), sizeof members - strlen(members),
                 batch ? "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": %lld}"
                       : "%s%.0zu\"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": %lld",
                 i || !batch ? ", " : ", \"Entries\": [", batch ? i : 0, h[i]->text, (long long)visibility_s[i]);
    if (batch)
        strcat(members, "]");
    aws_call_sqs(&r->call,
                 deletes ? (batch ? "DeleteMessageBatch" : "DeleteMessage")
                         : (batch ? "ChangeMessageVisibilityBatch" : "ChangeMessageVisibility"),
                 "{\"QueueUrl\": \"%s\"%s}", r->url[queue], members);
    size_t failed = 0;
    for (size_t i = 0; i < m; i++) {
        enum fifo_model_answer expected =
            deletes ? fifo_model_delete(r->model, queue, h[i]->place, h[i]->receives)
                    : fifo_model_change(r->model, queue, h[i]->place, h[i]->receives, visibility_s[i]);
        if (!batch) {
            check_settled(r, expected, r->call.status == 200 ? "" : r->call.error, r->call.message);
            continue;
        }
        bool fails = (size_t)atol(text_at(r, "Failed.%zu.Id", failed)) == i && *text_at(r, "Failed.%zu.Id", failed);
        check_settled(r, expected, fails ? text_at(r, "Failed.%zu.Code", failed) : "",
                      fails ? text_at(r, "Failed.%zu.Message", failed) : "");
        failed += fails;
    }
    assert_that(r, !batch || aws_call_count(&r->call, "Failed") == failed, "%zu failed", failed);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void
write_settings(struct run *r, int queue, const struct fifo_model_settings *t, char *out, size_t size)
{
    snprintf(out, size,
             "{\"VisibilityTimeout\": \"%lld\", \"DelaySeconds\": \"%lld\", \"MessageRetentionPeriod\": \"%lld\","
             " \"DeduplicationScope\": \"%s\"",
             (long long)t->visibility_s, (long long)t->delay_s, (long long)t->retention_s,
             t->group_scope ? "messageGroup" : "queue");
    if (queue == 0 && t->max_receives)
        snprintf(out + strlen(out), size - strlen(out),
                 ", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\":\\\"%s\\\",\\\"maxReceiveCount\\\":%lld}\"",
                 r->arn, (long long)t->max_receives);
    else
        snprintf(out + strlen(out), size - strlen(out), ", \"RedrivePolicy\": \"\"");
}

static void
change_settings(struct run *r)
{
    char attributes[600], members[700];
    struct fifo_model_settings t = *fifo_model_settings_of(r->model, 0);
    r->doing = "set";
    switch (draw(r, 4)) {
    case 0:
        t.delay_s = draw(r, 2) ? 0 : (int64_t)draw(r, 20);
        break;
    case 1:
        t.group_scope = !t.group_scope;
        break;
    case 2:
        t.max_receives = draw(r, 2) ? 0 : 1 + (int64_t)draw(r, 4);
        break;
    default:
        t.visibility_s = (int64_t)draw(r, 60);
    }
    write_settings(r, 0, &t, attributes, sizeof attributes);
    snprintf(members, sizeof members, ", \"Attributes\": %s}", attributes);
    ok(r, "SetQueueAttributes", 0, members);
    fifo_model_set(r->model, 0, &t);
}

static void
purge(struct run *r)
{
    int queue = (int)draw(r, 2);
    r->doing = "purge";
    if (fifo_model_now_ms(r->model) - r->purged_at_ms[queue] < 60000)
        return;
    ok(r, "PurgeQueue", queue, "");
    fifo_model_purge(r->model, queue);
    r->purged_at_ms[queue] = fifo_model_now_ms(r->model);
}

static void
find_urls(struct run *r)
{
    static const char *const NAMES[] = {"q.fifo", "dead.fifo"};
    for (int q = 0; q < FIFO_MODEL_QUEUES; q++)
        snprintf(r->url[q], sizeof r->url[q], "%s/000000000000/%s", local_fixture.url, NAMES[q]);
}

static void
kill_server(struct run *r)
{
    r->doing = "kill";
    aws_call_clean_up(&r->call);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&r->call, local_fixture.url);
    find_urls(r);
    fifo_model_restart(r->model);
}

/* Nothing of what a full disk undid is left, neither in the tables nor in memory; and an id that was not sent can be.
 */
static void
fill_disk(struct run *r)
{
    char members[800], attributes[600];
    struct entry e = draw_entry(r);
    r->doing = "fill the disk";
    snprintf(e.id, sizeof e.id, "full-%zu", r->event);
    local_server_fill_disk(&local_fixture);
    aws_call_sqs(&r->call, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10}", r->url[0]);
    assert_that(r, r->call.status >= 500 || aws_call_count(&r->call, "Messages") == 0, "received %d", r->call.status);
    snprintf(members, sizeof members,
             ", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\", \"MessageDeduplicationId\": \"%s\"", e.body,
             e.group, e.id);
    aws_call_sqs(&r->call, "SendMessage", "{\"QueueUrl\": \"%s\"%s}", r->url[0], members);
    assert_that(r, r->call.status >= 500, "sent: %d", r->call.status);
    if (r->n_handles > 0) {
        const struct handle *h = &r->handles[(r->n_handles - 1) % HANDLES];
        aws_call_sqs(&r->call, "DeleteMessage", "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\"}", r->url[h->queue],
                     h->text);
    }
    write_settings(r, 0, fifo_model_settings_of(r->model, 0), attributes, sizeof attributes);
    aws_call_sqs(&r->call, "SetQueueAttributes", "{\"QueueUrl\": \"%s\", \"Attributes\": %s}}", r->url[0], attributes);
    assert_that(r, r->call.status >= 500, "set: %d", r->call.status); /* reads all the queues again */
    local_server_make_room(&local_fixture);
    fifo_model_restart(r->model);
    ok(r, "SendMessage", 0, members);
    check_sent(r, &e, text_at(r, "MessageId", 0), text_at(r, "SequenceNumber", 0));
}

static void
check_counts(struct run *r)
{
    for (int q = 0; q < FIFO_MODEL_QUEUES; q++) {
        long visible, in_flight, delayed;
        ok(r, "GetQueueAttributes", q, ", \"AttributeNames\": [\"All\"]");
        fifo_model_count(r->model, q, &visible, &in_flight, &delayed);
        assert_that(r,
                    atol(text_at(r, "Attributes.ApproximateNumberOfMessages", 0)) == visible &&
                        atol(text_at(r, "Attributes.ApproximateNumberOfMessagesNotVisible", 0)) == in_flight &&
                        atol(text_at(r, "Attributes.ApproximateNumberOfMessagesDelayed", 0)) == delayed,
                    "queue %d: %s, %s, %s, not %ld, %ld, %ld", q,
                    text_at(r, "Attributes.ApproximateNumberOfMessages", 0),
                    text_at(r, "Attributes.ApproximateNumberOfMessagesNotVisible", 0),
                    text_at(r, "Attributes.ApproximateNumberOfMessagesDelayed", 0), visible, in_flight, delayed);
    }
}

static void
pass(struct run *r)
{
    uint64_t kind = draw(r, 20);
    int64_t ms = kind == 0 ? (int64_t)draw(r, 400000) : kind < 8 ? (int64_t)draw(r, 30) * 1000 : (int64_t)draw(r, 3000);
    r->doing = "pass";
    local_server_pass(&local_fixture, ms);
    fifo_model_pass(r->model, ms);
}

static void
step(struct run *r)
{
    uint64_t n = draw(r, 1000);
    if (n < 150)
        pass(r);
    else if (n < 300)
        send_one(r);
    else if (n < 400)
        send_batch(r);
    else if (n < 700)
        receive(r);
    else if (n < 960)
        settle(r);
    else if (n < 980)
        change_settings(r);
    else if (n < 986)
        purge(r);
    else if (n < 990)
        kill_server(r);
    else if (n < 996)
        fill_disk(r);
    check_counts(r);
}

static void
run(uint64_t seed, size_t events)
{
    struct run *r = calloc(1, sizeof *r);
    struct fifo_model_settings t[FIFO_MODEL_QUEUES] = {{.visibility_s = 30, .retention_s = 345600},
                                                       {.visibility_s = 30, .retention_s = 345600}};
    char attributes[600];
    assert_non_null(r);
    local_fixture_start_with_clock(NULL);
    aws_call_init(&r->call, local_fixture.url);
    find_urls(r);
    r->random = seed;
    r->doing = "start";
    r->model = fifo_model_new(clock_wall_ms(), t);
    snprintf(r->arn, sizeof r->arn, "arn:aws:sqs:us-east-1:000000000000:dead.fifo");
    for (int q = FIFO_MODEL_QUEUES - 1; q >= 0; q--) {
        if (q == 0) {
            t[0].retention_s = draw(r, 2) ? 600 : 345600;
            t[0].max_receives = draw(r, 2) ? 3 : 0;
        }
        write_settings(r, q, &t[q], attributes, sizeof attributes);
        char *redrive = strstr(attributes, ", \"RedrivePolicy\": \"\"");
        if (redrive)
            *redrive = '\0';
        aws_call_sqs(&r->call, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": %s, \"FifoQueue\": \"true\"}}",
                     strrchr(r->url[q], '/') + 1, attributes);
        assert_that(r, r->call.status == 200, "%s", r->call.message);
        fifo_model_set(r->model, q, &t[q]);
    }
    for (r->event = 0; r->event < events && r->event < MESSAGES / 2; r->event++)
        step(r);
    aws_call_clean_up(&r->call);
    fifo_model_destroy(r->model);
    free(r);
    local_fixture_stop(NULL);
}

static void
fifo_queues_answer_as_the_model_does(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run(seed, seeds_events(EVENTS));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fifo_queues_answer_as_the_model_does)};
    return cmocka_run_group_tests_name("local/sqs FIFO and its model", tests, NULL, NULL);
}
