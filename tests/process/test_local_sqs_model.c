/* Standard queues of fanout-local's against a model of them (lib/queue_model.h): random operations on two queues, one
 * of which may be the other's dead-letter queue, with long polls that wait meanwhile, on a clock that the test moves,
 * with kill -9 of the server between operations and in the middle of them, and with a disk that is full for a moment.
 * Every answer must be one the model allows, and after every step the counts of both queues must be those of a state
 * that all answers so far allow.
 *
 * FANOUT_SEEDS and FANOUT_SOAK_S say which seeds (lib/seeds.h), FANOUT_EVENTS how many steps a run has. A seed that
 * fails belongs into KEPT_SEEDS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>

#include "lib/local.h"
#include "lib/queue_model.h"
#include "lib/seeds.h"

#define STEPS            500 /* in `make test` */
#define STEPS_TOLD       40
#define HANDLES          64
#define CALLS_PER_DANGER 60
#define KILL_WAIT_MS     3 /* a call is under way for less, before the server is killed */
#define IDS              256
#define WAITERS          5
#define ANSWER_MS        20000

static const uint64_t KEPT_SEEDS[] = {1, 224};

struct handle {
    struct queue_model_handle is;
    char text[100];
};

/* A long poll that waits. */
struct waiter {
    struct aws_call call;
    struct queue_model_receive is;
    int64_t deadline_ms;
};

struct run {
    uint64_t seed, random;
    struct aws_call call;
    struct queue_model *model;
    struct queue_model_counts seen[QUEUE_MODEL_QUEUES];
    char urls[QUEUE_MODEL_QUEUES][64]; /* paths: the port changes */
    struct handle handles[HANDLES];    /* the newest ones, in a ring */
    size_t n_handles;
    struct waiter waiters[WAITERS]; /* as they came */
    size_t n_waiters;
    int n_messages;
    char ids[IDS][40]; /* of message n at n % IDS */
    int64_t began_ms;
    char told[STEPS_TOLD][600]; /* the last steps, in a ring */
    size_t n_steps;
    bool looked; /* in this step */
    bool restarted;
};

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static char *
line_of(struct run *r)
{
    return r->told[r->n_steps % STEPS_TOLD];
}

static void tell(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void
tell(struct run *r, const char *format, ...)
{
    char *line = line_of(r);
    size_t n = strlen(line);
    va_list ap;
    va_start(ap, format);
    vsnprintf(line + n, sizeof *r->told - n, format, ap);
    va_end(ap);
}

static void
give_up(struct run *r, const char *why)
{
    struct buf worlds = BUF_INIT;
    size_t first = r->n_steps < STEPS_TOLD ? 0 : r->n_steps - STEPS_TOLD + 1;
    print_error("seed %llu, step %zu: %s\n", (unsigned long long)r->seed, r->n_steps, why);
    for (size_t i = first; i <= r->n_steps; i++)
        print_error("  %4zu %s\n", i, r->told[i % STEPS_TOLD]);
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        if (r->seen[q].exists)
            print_error("  queue %c has %ld visible, %ld in flight, %ld delayed\n", 'A' + q, r->seen[q].visible,
                        r->seen[q].in_flight, r->seen[q].delayed);
    queue_model_tell(r->model, &worlds);
    print_error("%s", worlds.data ? worlds.data : "");
    buf_clean_up(&worlds);
    fail_msg("seed %llu, step %zu: %s", (unsigned long long)r->seed, r->n_steps, why);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static uint64_t
draw(struct run *r, uint64_t below)
{
    return seeds_draw(&r->random, below);
}

static int64_t
pick(struct run *r, const int64_t *values, size_t n)
{
    return values[draw(r, n)];
}
#define PICK(r, ...) pick(r, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static struct queue_model_settings
draw_settings(struct run *r, int queue)
{
    struct queue_model_settings s = {.visibility_s = PICK(r, 0, 1, 5, 30, 30, 300, 43200),
                                     .delay_s = PICK(r, 0, 0, 0, 1, 5, 900),
                                     .retention_s = PICK(r, 60, 3600, 86400, 345600, 345600, 345600),
                                     .dead_letters = 1};
    if (queue == 0)
        s.max_receives = PICK(r, 0, 1, 2, 2, 3);
    return s;
}

/* ---- calling ----------------------------------------------------------------------------------------------------- */

static void
hang_up(struct run *r)
{
    for (; r->n_waiters > 0; r->n_waiters--)
        aws_call_clean_up(&r->waiters[r->n_waiters - 1].call);
}

/* Kills the server, whatever it is doing, and starts it again: on another port, for the next call to find. */
static void
restart(struct run *r)
{
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    r->restarted = true;
    hang_up(r);
}

static void begin(struct run *r, const char *operation, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void
begin(struct run *r, const char *operation, const char *format, va_list ap)
{
    struct buf body = BUF_INIT;
    char target[64];
    if (r->restarted) {
        aws_call_clean_up(&r->call);
        aws_call_init(&r->call, local_fixture.url);
        r->restarted = false;
    }
    buf_add_format_va(&body, format, ap);
    snprintf(target, sizeof target, "AmazonSQS.%s", operation);
    if (!aws_call_begin(&r->call, "sqs", target, buf_slice(&body)))
        give_up(r, "the server cannot be reached");
    buf_clean_up(&body);
}

/* What may befall a call, if nobody waits, who might have got something of it. */
enum { SAFE = 0, FULL_DISK = 1, KILL = 2 };

enum outcome {
    ANSWERED,
    LOST,   /* the server was killed in the middle of it, and nobody knows */
    UNDONE, /* the disk was full: a refusal, and everything is as it was */
};

static int
answer_dying(struct run *r)
{
    struct pollfd p = {.fd = r->call.fd, .events = POLLIN};
    poll(&p, 1, (int)draw(r, KILL_WAIT_MS));
    restart(r);
    aws_call_finish(&r->call);
    tell(r, " [kill -9%s]", r->call.status == 0 ? ", no answer" : "");
    return r->call.status;
}

/* Makes a call. */
static enum outcome ask(struct run *r, int dangers, const char *operation, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static enum outcome
ask(struct run *r, int dangers, const char *operation, const char *format, ...)
{
    va_list ap;
    if (r->n_waiters > 0 || (dangers && draw(r, CALLS_PER_DANGER) > 0))
        dangers = SAFE;
    if (dangers == (FULL_DISK | KILL))
        dangers = draw(r, 2) ? FULL_DISK : KILL;
    if (dangers == FULL_DISK)
        local_server_fill_disk(&local_fixture);
    va_start(ap, format);
    begin(r, operation, format, ap);
    va_end(ap);
    if (dangers == KILL)
        return answer_dying(r) == 0 ? LOST : ANSWERED;
    if (aws_call_finish(&r->call) == 0)
        give_up(r, "the server did not answer");
    if (dangers != FULL_DISK)
        return ANSWERED;
    local_server_make_room(&local_fixture);
    tell(r, " [full disk: %d]", r->call.status);
    return r->call.status >= 500 ? UNDONE : ANSWERED;
}

static void
expect_status(struct run *r, int expected)
{
    char why[900];
    if (r->call.status == expected)
        return;
    snprintf(why, sizeof why, "%d %s: %s", r->call.status, r->call.error, r->call.message);
    give_up(r, why);
}

static void
expect_error(struct run *r, const char *error, const char *words)
{
    char why[1000];
    if (strcmp(r->call.error, error) == 0 && strstr(r->call.message, words))
        return;
    snprintf(why, sizeof why, "not %s \"%s\", but %d %s: %s", error, words, r->call.status, r->call.error,
             r->call.message);
    give_up(r, why);
}

static long
number_at(struct run *r, const char *path)
{
    char text[64];
    if (!aws_call_text(&r->call, path, text, sizeof text))
        give_up(r, path);
    return atol(text);
}

/* Asks for the counts of both queues. */
static void
look(struct run *r)
{
    r->looked = true;
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        struct queue_model_counts *seen = &r->seen[q];
        *seen = (struct queue_model_counts){.exists = false};
        ask(r, SAFE, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}", r->urls[q]);
        if (r->call.status == 400) {
            expect_error(r, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.");
            continue;
        }
        expect_status(r, 200);
        seen->exists = true;
        seen->visible = number_at(r, "Attributes.ApproximateNumberOfMessages");
        seen->in_flight = number_at(r, "Attributes.ApproximateNumberOfMessagesNotVisible");
        seen->delayed = number_at(r, "Attributes.ApproximateNumberOfMessagesDelayed");
    }
}

/* The counts to judge a step by; NULL while somebody waits, who may have got something in the meantime: serve judges.
 */
static const struct queue_model_counts *
seen(struct run *r)
{
    if (r->n_waiters > 0)
        return NULL;
    look(r);
    return r->seen;
}

static void
expect(struct run *r, bool ok)
{
    if (!ok)
        give_up(r, "no state that is possible explains this");
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void
write_settings(struct run *r, const struct queue_model_settings *s, char *out, size_t size)
{
    char redrive[200] = "";
    if (s->max_receives > 0)
        snprintf(redrive, sizeof redrive,
                 "{\\\"deadLetterTargetArn\\\":\\\"arn:aws:sqs:us-east-1:000000000000:%s\\\",\\\"maxReceiveCount\\\":"
                 "%lld}",
                 strrchr(r->urls[s->dead_letters], '/') + 1, (long long)s->max_receives);
    snprintf(out, size,
             "{\"VisibilityTimeout\": \"%lld\", \"DelaySeconds\": \"%lld\", \"MessageRetentionPeriod\": \"%lld\","
             " \"RedrivePolicy\": \"%s\"}",
             (long long)s->visibility_s, (long long)s->delay_s, (long long)s->retention_s, redrive);
    tell(r, " visibility %lld s, delay %lld s, retention %lld s, %lld receives", (long long)s->visibility_s,
         (long long)s->delay_s, (long long)s->retention_s, (long long)s->max_receives);
}

static void
create(struct run *r, int queue)
{
    struct queue_model_settings s = draw_settings(r, queue);
    char attributes[500];
    if (!queue_model_exists(r->model, 1))
        s.max_receives = 0; /* its dead-letter queue must be there */
    tell(r, "%c: create", 'A' + queue);
    write_settings(r, &s, attributes, sizeof attributes);
    if (ask(r, FULL_DISK, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": %s}",
            strrchr(r->urls[queue], '/') + 1, attributes) == UNDONE)
        return;
    if (queue_model_may_create(r->model, queue) == QUEUE_MODEL_REFUSED) {
        tell(r, ": refused");
        expect_error(r, "AWS.SimpleQueueService.QueueDeletedRecently",
                     "You must wait 60 seconds after deleting a queue before you can create another with the same "
                     "name.");
        return;
    }
    expect_status(r, 200);
    queue_model_create(r->model, queue, &s);
}

static void
set(struct run *r, int queue)
{
    struct queue_model_settings s = draw_settings(r, queue);
    char attributes[500];
    if (!queue_model_exists(r->model, 1))
        s.max_receives = 0;
    tell(r, "%c: set", 'A' + queue);
    write_settings(r, &s, attributes, sizeof attributes);
    if (ask(r, FULL_DISK, "SetQueueAttributes", "{\"QueueUrl\": \"%s\", \"Attributes\": %s}", r->urls[queue],
            attributes) == UNDONE)
        return;
    expect_status(r, 200);
    queue_model_set(r->model, queue, &s);
}

static void
purge(struct run *r, int queue)
{
    char words[200];
    tell(r, "%c: purge", 'A' + queue);
    if (ask(r, FULL_DISK, "PurgeQueue", "{\"QueueUrl\": \"%s\"}", r->urls[queue]) == UNDONE)
        return;
    if (queue_model_may_purge(r->model, queue) == QUEUE_MODEL_REFUSED) {
        tell(r, ": refused");
        snprintf(words, sizeof words, "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
                 strrchr(r->urls[queue], '/') + 1);
        expect_error(r, "AWS.SimpleQueueService.PurgeQueueInProgress", words);
        expect_status(r, 403);
        return;
    }
    expect_status(r, 200);
    queue_model_purge(r->model, queue);
}

static void
delete_queue(struct run *r, int queue)
{
    tell(r, "%c: delete the queue", 'A' + queue);
    if (ask(r, FULL_DISK, "DeleteQueue", "{\"QueueUrl\": \"%s\"}", r->urls[queue]) == UNDONE)
        return;
    expect_status(r, 200);
    queue_model_delete_queue(r->model, queue);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* A message's body is its number. */
static void
remember_id(struct run *r, int message, const char *path)
{
    if (!aws_call_text(&r->call, path, r->ids[message % IDS], sizeof *r->ids))
        give_up(r, "no MessageId");
}

static void
write_entry(struct run *r, int message, int64_t delay_s, struct buf *out)
{
    buf_add_format(out, "\"MessageBody\": \"%d\"", message);
    if (delay_s >= 0)
        buf_add_format(out, ", \"DelaySeconds\": %lld", (long long)delay_s);
    if (message % 3 == 0)
        buf_add_format(out, ", \"MessageGroupId\": \"group-%d\"", message % 5);
    tell(r, " m%d", message);
    if (delay_s >= 0)
        tell(r, " (delay %lld s)", (long long)delay_s);
}

static void
send_one(struct run *r, int queue)
{
    struct buf entry = BUF_INIT;
    int64_t delay_s = PICK(r, -1, -1, -1, 0, 1, 2, 900);
    int message = ++r->n_messages;
    tell(r, "%c: send", 'A' + queue);
    write_entry(r, message, delay_s, &entry);
    enum outcome outcome =
        ask(r, FULL_DISK | KILL, "SendMessage", "{\"QueueUrl\": \"%s\", %s}", r->urls[queue], entry.data);
    buf_clean_up(&entry);
    *r->ids[message % IDS] = '\0';
    if (outcome == UNDONE)
        return;
    if (outcome == ANSWERED) {
        expect_status(r, 200);
        remember_id(r, message, "MessageId");
    }
    expect(r, queue_model_send(r->model, queue, message, delay_s, outcome == LOST, seen(r)));
}

static void
send_some(struct run *r, int queue)
{
    struct buf entries = BUF_INIT;
    int64_t delays_s[10];
    int first = r->n_messages + 1;
    size_t n = 1 + draw(r, 6);
    while (!queue_model_has_room(r->model, n))
        n--;
    tell(r, "%c: send a batch", 'A' + queue);
    for (size_t i = 0; i < n; i++) {
        delays_s[i] = PICK(r, -1, -1, 0, 1);
        buf_add_format(&entries, "%s{\"Id\": \"%zu\", ", i ? ", " : "", i);
        write_entry(r, ++r->n_messages, delays_s[i], &entries);
        buf_add_char(&entries, '}');
    }
    enum outcome outcome = ask(r, FULL_DISK, "SendMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}",
                               r->urls[queue], entries.data);
    buf_clean_up(&entries);
    if (outcome == UNDONE)
        return;
    expect_status(r, 200);
    if (aws_call_count(&r->call, "Successful") != n)
        give_up(r, "not all entries were sent");
    for (size_t i = 0; i < n; i++) {
        char path[64];
        snprintf(path, sizeof path, "Successful.%zu.MessageId", i);
        remember_id(r, first + (int)i, path);
    }
    for (size_t i = 0; i < n; i++)
        expect(r, queue_model_send(r->model, queue, first + (int)i, delays_s[i], false, i + 1 < n ? NULL : seen(r)));
}

static int64_t
attribute(struct run *r, const struct aws_call *c, size_t i, const char *name)
{
    char path[80], text[64];
    snprintf(path, sizeof path, "Messages.%zu.Attributes.%s", i, name);
    if (!aws_call_text(c, path, text, sizeof text))
        give_up(r, path);
    return atoll(text);
}

static void
text_at(const struct aws_call *c, size_t i, const char *name, char *out, size_t size)
{
    char path[80];
    snprintf(path, sizeof path, "Messages.%zu.%s", i, name);
    aws_call_text(c, path, out, size);
}

static void
read_received(struct run *r, const struct aws_call *c, int queue, size_t i, struct queue_model_received *ret)
{
    char text[200], expected[40] = "", source[120];
    text_at(c, i, "Body", text, sizeof text);
    *ret =
        (struct queue_model_received){.message = atoi(text),
                                      .source = -1,
                                      .receives = attribute(r, c, i, "ApproximateReceiveCount"),
                                      .sent_at_ms = attribute(r, c, i, "SentTimestamp"),
                                      .first_received_at_ms = attribute(r, c, i, "ApproximateFirstReceiveTimestamp")};
    tell(r, " m%d(%lld)", ret->message, (long long)ret->receives);
    text_at(c, i, "Attributes.DeadLetterQueueSourceArn", source, sizeof source);
    for (int q = 0; *source && q < QUEUE_MODEL_QUEUES; q++)
        if (strcmp(strrchr(source, ':') + 1, strrchr(r->urls[q], '/') + 1) == 0)
            ret->source = q;
    text_at(c, i, "MessageId", text, sizeof text);
    if (!*r->ids[ret->message % IDS]) /* its send was not answered */
        snprintf(r->ids[ret->message % IDS], sizeof *r->ids, "%.39s", text);
    if (strcmp(text, r->ids[ret->message % IDS]) != 0)
        give_up(r, "the message has another id than when it was sent");
    if (ret->message % 3 == 0)
        snprintf(expected, sizeof expected, "group-%d", ret->message % 5);
    text_at(c, i, "Attributes.MessageGroupId", text, sizeof text);
    if (strcmp(text, expected) != 0)
        give_up(r, "the message has another group than when it was sent");
    struct handle *h = &r->handles[r->n_handles++ % HANDLES];
    h->is = (struct queue_model_handle){.queue = queue,
                                        .message = ret->message,
                                        .receive = ret->receives,
                                        .life = queue_model_life_of(r->model, queue)};
    text_at(c, i, "ReceiptHandle", h->text, sizeof h->text);
}

static void
read_all_received(struct run *r, const struct aws_call *c, struct queue_model_receive *m)
{
    m->n = aws_call_count(c, "Messages");
    if (m->n > 10)
        give_up(r, "more than ten messages");
    for (size_t i = 0; i < m->n; i++)
        read_received(r, c, m->queue, i, &m->came[i]);
}

static void
write_receive(struct run *r, const struct queue_model_receive *m, int64_t wait_s, struct buf *out)
{
    buf_add_format(out, "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"], \"MaxNumberOfMessages\": %zu",
                   r->urls[m->queue], m->max);
    tell(r, "%c: receive %zu", 'A' + m->queue, m->max);
    if (m->visibility_s >= 0) {
        buf_add_format(out, ", \"VisibilityTimeout\": %lld", (long long)m->visibility_s);
        tell(r, " for %lld s", (long long)m->visibility_s);
    }
    if (wait_s >= 0) {
        buf_add_format(out, ", \"WaitTimeSeconds\": %lld", (long long)wait_s);
        tell(r, ", waiting %lld s", (long long)wait_s);
    }
    buf_add_char(out, '}');
}

static void
receive(struct run *r, int queue)
{
    bool may_be_lost = draw(r, 3) == 0;
    struct queue_model_receive m = {
        .queue = queue, .max = may_be_lost ? 1 : 1 + draw(r, 10), .visibility_s = PICK(r, -1, -1, -1, 0, 1, 7, 43200)};
    struct buf request = BUF_INIT;
    write_receive(r, &m, -1, &request);
    tell(r, ":");
    enum outcome outcome = ask(r, may_be_lost ? FULL_DISK | KILL : FULL_DISK, "ReceiveMessage", "%s", request.data);
    buf_clean_up(&request);
    if (outcome == UNDONE)
        return;
    m.lost = outcome == LOST;
    if (!m.lost) {
        expect_status(r, 200);
        read_all_received(r, &r->call, &m);
    }
    expect(r, queue_model_receive(r->model, &m, seen(r)));
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

static long
waiting_at(const struct run *r, int queue)
{
    long n = 0;
    for (size_t i = 0; i < r->n_waiters; i++)
        n += r->waiters[i].is.queue == queue;
    return n;
}

/* A receive that waits, unless there is something for it at once. */
static void
receive_waiting(struct run *r, int queue)
{
    struct waiter *w = &r->waiters[r->n_waiters];
    int64_t wait_s = PICK(r, 1, 5, 20);
    size_t least, most;
    struct buf request = BUF_INIT;
    queue_model_count(r->model, queue, &least, &most);
    if (r->n_waiters == WAITERS || (least == 0) != (most == 0)) /* nobody knows whether it will */
        return;
    *w = (struct waiter){.is = {.queue = queue, .max = 1 + draw(r, 10), .visibility_s = PICK(r, -1, -1, 0, 1, 7)},
                         .deadline_ms = clock_wall_ms() + wait_s * 1000};
    write_receive(r, &w->is, wait_s, &request);
    aws_call_init(&w->call, local_fixture.url);
    if (!aws_call_begin(&w->call, "sqs", "AmazonSQS.ReceiveMessage", buf_slice(&request)))
        give_up(r, "the server cannot be reached");
    buf_clean_up(&request);
    if (most == 0) {
        expect(r, queue_model_receive(r->model, &w->is, NULL)); /* dead letters go now */
        r->n_waiters++;
        local_server_await_waiting(&local_fixture, r->urls[queue], waiting_at(r, queue));
        return;
    }
    if (aws_call_finish(&w->call) != 200)
        give_up(r, "a long poll for what is there was not answered");
    tell(r, ":");
    read_all_received(r, &w->call, &w->is);
    expect(r, queue_model_receive(r->model, &w->is, NULL));
    aws_call_clean_up(&w->call);
}

/* Waits until so many of those who wait have an answer. */
static void
await_answers(struct run *r, long n, struct pollfd *fds)
{
    for (size_t i = 0; i < r->n_waiters; i++)
        fds[i] = (struct pollfd){.fd = r->waiters[i].call.fd, .events = POLLIN};
    for (int64_t until_ms = clock_monotonic_ns() / 1000000 + ANSWER_MS;;) {
        long there = poll(fds, r->n_waiters, n > 0 ? 10 : 0);
        if (there == n)
            return;
        if (there > n || clock_monotonic_ns() / 1000000 > until_ms)
            give_up(r, "not as many long polls are answered as have stopped waiting");
    }
}

/* Reads an answer that is there. */
static void
read_waiter(struct run *r, struct waiter *w, bool queue_is_gone)
{
    aws_call_finish(&w->call);
    tell(r, " | %c's poll:", 'A' + w->is.queue);
    if (queue_is_gone ? strcmp(w->call.error, "AWS.SimpleQueueService.NonExistentQueue") != 0 : w->call.status != 200)
        give_up(r, w->call.message);
    read_all_received(r, &w->call, &w->is);
    aws_call_clean_up(&w->call);
}

/* Sees what came to those who wait. A server's turn serves them after its calls; the first question makes sure that
 * there was one at this time, the second sees what it left. */
static void
serve(struct run *r)
{
    struct pollfd fds[WAITERS];
    bool answered[WAITERS] = {false};
    size_t n = 0;
    long left = 0;
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        local_server_waiting(&local_fixture, r->urls[q]);
        long waiting = local_server_waiting(&local_fixture, r->urls[q]);
        left += waiting > 0 ? waiting : 0;
    }
    await_answers(r, (long)r->n_waiters - left, fds);
    for (size_t i = 0; i < r->n_waiters; i++) {
        struct waiter *w = &r->waiters[i];
        answered[i] = fds[i].revents != 0;
        if (answered[i])
            read_waiter(r, w, !queue_model_exists(r->model, w->is.queue));
        if (answered[i] && queue_model_exists(r->model, w->is.queue) && w->is.n == 0 &&
            w->deadline_ms > clock_wall_ms())
            give_up(r, "a long poll ended too early");
        if (!answered[i] && w->deadline_ms <= clock_wall_ms())
            give_up(r, "a long poll waits too long");
    }
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        for (size_t i = 0; i < r->n_waiters; i++) {
            struct waiter *w = &r->waiters[i];
            w->is.early = q > 0 && answered[i] && waiting_at(r, 0) > 0; /* before dead letters came over */
            if (w->is.queue == q && queue_model_exists(r->model, q))
                expect(r, queue_model_receive(r->model, &w->is, NULL));
        }
    for (size_t i = 0; i < r->n_waiters; i++)
        if (!answered[i])
            r->waiters[n++] = r->waiters[i];
    r->n_waiters = n;
}

/* ---- settling ---------------------------------------------------------------------------------------------------- */

static enum queue_model_answer
answer_of(struct run *r, const char *code, const char *message)
{
    if (strcmp(code, "ReceiptHandleIsInvalid") == 0 && strstr(message, "is not valid for this queue"))
        return QUEUE_MODEL_BAD_HANDLE;
    if (strcmp(code, "InvalidParameterValue") == 0 &&
        strstr(message, "Reason: Message does not exist or is not available for visibility timeout change."))
        return QUEUE_MODEL_GONE;
    if (strcmp(code, "InvalidParameterValue") == 0 &&
        strstr(message, "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"))
        return QUEUE_MODEL_TOO_LONG;
    expect_status(r, 200);
    give_up(r, message);
    return QUEUE_MODEL_OK;
}

static const struct handle *
draw_handle(struct run *r)
{
    size_t n = r->n_handles < HANDLES ? r->n_handles : HANDLES;
    size_t back = draw(r, 3) ? draw(r, n < 8 ? n : 8) : draw(r, n); /* mostly of the newest */
    return &r->handles[(r->n_handles - 1 - back) % HANDLES];
}

static int64_t
draw_visibility(struct run *r, bool deletes)
{
    return deletes ? -1 : PICK(r, 0, 0, 1, 5, 30, 30, 300, 43199, 43200);
}

static void
settle_one(struct run *r, bool deletes)
{
    const struct handle *h = draw_handle(r);
    struct queue_model_settle s = {.handle = h->is, .visibility_s = draw_visibility(r, deletes)};
    s.queue = draw(r, 20) ? h->is.queue : !h->is.queue;
    if (!queue_model_exists(r->model, s.queue))
        return;
    tell(r, "%c: %s m%d by %c's handle (%lld)", 'A' + s.queue, deletes ? "delete" : "change", h->is.message,
         'A' + h->is.queue, (long long)h->is.receive);
    enum outcome outcome;
    if (deletes) {
        outcome = ask(r, FULL_DISK | KILL, "DeleteMessage", "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\"}",
                      r->urls[s.queue], h->text);
    } else {
        tell(r, " to %lld s", (long long)s.visibility_s);
        outcome = ask(r, FULL_DISK | KILL, "ChangeMessageVisibility",
                      "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": %lld}",
                      r->urls[s.queue], h->text, (long long)s.visibility_s);
    }
    if (outcome == UNDONE)
        return;
    s.lost = outcome == LOST;
    s.answer = r->call.status == 200 || s.lost ? QUEUE_MODEL_OK : answer_of(r, r->call.error, r->call.message);
    tell(r, ": %d", r->call.status);
    expect(r, queue_model_settle(r->model, &s, seen(r)));
}

/* The answer of the entry whose id is i. */
static enum queue_model_answer
entry_answer(struct run *r, int i)
{
    char path[64], code[80], message[600];
    size_t n = aws_call_count(&r->call, "Failed");
    for (size_t at = 0; at < n; at++) {
        snprintf(path, sizeof path, "Failed.%zu.Id", at);
        if (number_at(r, path) != i)
            continue;
        snprintf(path, sizeof path, "Failed.%zu.Code", at);
        aws_call_text(&r->call, path, code, sizeof code);
        snprintf(path, sizeof path, "Failed.%zu.Message", at);
        aws_call_text(&r->call, path, message, sizeof message);
        return answer_of(r, code, message);
    }
    return QUEUE_MODEL_OK;
}

static void
settle_some(struct run *r, bool deletes)
{
    struct queue_model_settle s[5];
    struct buf entries = BUF_INIT;
    const int queue = draw_handle(r)->is.queue;
    size_t n = 1 + draw(r, 5);
    if (!queue_model_exists(r->model, queue))
        return;
    tell(r, "%c: %s a batch:", 'A' + queue, deletes ? "delete" : "change");
    for (size_t i = 0; i < n; i++) {
        const struct handle *h = draw_handle(r);
        s[i] =
            (struct queue_model_settle){.queue = queue, .handle = h->is, .visibility_s = draw_visibility(r, deletes)};
        buf_add_format(&entries, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"", i ? ", " : "", i, h->text);
        if (!deletes)
            buf_add_format(&entries, ", \"VisibilityTimeout\": %lld", (long long)s[i].visibility_s);
        buf_add_char(&entries, '}');
        tell(r, " m%d by %c's (%lld)", h->is.message, 'A' + h->is.queue, (long long)h->is.receive);
        if (!deletes)
            tell(r, " to %lld s", (long long)s[i].visibility_s);
    }
    enum outcome outcome = ask(r, FULL_DISK, deletes ? "DeleteMessageBatch" : "ChangeMessageVisibilityBatch",
                               "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}", r->urls[queue], entries.data);
    buf_clean_up(&entries);
    if (outcome == UNDONE)
        return;
    expect_status(r, 200);
    if (aws_call_count(&r->call, "Successful") + aws_call_count(&r->call, "Failed") != n)
        give_up(r, "not every entry was answered");
    for (size_t i = 0; i < n; i++) {
        s[i].answer = entry_answer(r, (int)i);
        tell(r, " %s", s[i].answer == QUEUE_MODEL_OK ? "ok" : "no");
    }
    for (size_t i = 0; i < n; i++)
        expect(r, queue_model_settle(r->model, &s[i], i + 1 < n ? NULL : seen(r)));
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

/* Lets time pass: by chance, or to the instant at which something is due, or to the one before it. */
static void
pass(struct run *r)
{
    int64_t next_ms = queue_model_next_ms(r->model), now_ms = clock_wall_ms();
    int64_t ms = PICK(r, 1, 999, 1000, 5000, 30000, 60000, 900000, 3600000);
    if (next_ms != INT64_MAX && draw(r, 4))
        ms = next_ms - now_ms - (int64_t)draw(r, 2);
    tell(r, "%lld ms pass", (long long)ms);
    local_server_pass(&local_fixture, ms);
    queue_model_pass(r->model, ms);
}

static void
step(struct run *r)
{
    int queue = draw(r, 3) == 0;
    uint64_t what = draw(r, 200);
    r->looked = false;
    tell(r, "%10.3f s  ", (double)(clock_wall_ms() - r->began_ms) / 1000);
    if (r->n_waiters == 0 && draw(r, 4) == 0) { /* the server has not looked at its queues when the operation comes */
        pass(r);
        tell(r, ", ");
    }
    if (what < 2) {
        tell(r, "kill -9");
        restart(r);
    } else if (!queue_model_exists(r->model, queue)) {
        if (draw(r, 2))
            pass(r);
        else
            create(r, queue);
    } else if (what < 30) {
        pass(r);
    } else if (what < 34) {
        purge(r, queue);
    } else if (what < 36) {
        delete_queue(r, queue);
    } else if (what < 44) {
        set(r, queue);
    } else if (what < 76 || (what < 130 && r->n_handles == 0)) {
        if (queue_model_has_room(r->model, 1))
            (draw(r, 3) ? send_one : send_some)(r, queue);
    } else if (what < 90) {
        receive_waiting(r, queue);
    } else if (what < 152 || r->n_handles == 0) {
        receive(r, queue);
    } else if (what < 190) {
        settle_one(r, draw(r, 2));
    } else {
        settle_some(r, draw(r, 2));
    }
    if (r->n_waiters > 0) {
        serve(r);
        r->looked = false;
    }
    if (!r->looked)
        look(r);
    tell(r, "  | A %ld %ld %ld | B %ld %ld %ld", r->seen[0].visible, r->seen[0].in_flight, r->seen[0].delayed,
         r->seen[1].visible, r->seen[1].in_flight, r->seen[1].delayed);
    expect(r, queue_model_look(r->model, r->seen));
}

static void
run_seed(uint64_t seed)
{
    struct run *r = calloc(1, sizeof *r);
    size_t n_steps = seeds_events(STEPS);
    assert_non_null(r);
    r->seed = r->random = seed;
    r->began_ms = clock_wall_ms();
    r->model = queue_model_new(r->began_ms);
    aws_call_init(&r->call, local_fixture.url);
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        snprintf(r->urls[q], sizeof r->urls[q], "/000000000000/%c-%llu", 'A' + q, (unsigned long long)seed);
    for (; r->n_steps < n_steps; r->n_steps++) {
        *line_of(r) = '\0';
        step(r);
    }
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        if (queue_model_exists(r->model, q))
            ask(r, SAFE, "DeleteQueue", "{\"QueueUrl\": \"%s\"}", r->urls[q]);
    hang_up(r);
    aws_call_clean_up(&r->call);
    queue_model_destroy(r->model);
    free(r);
}

static void
whatever_is_asked_of_two_queues_a_slow_model_of_them_allows_every_answer(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_asked_of_two_queues_a_slow_model_of_them_allows_every_answer),
    };
    return cmocka_run_group_tests_name("local/sqs model", tests, local_fixture_start_with_clock, local_fixture_stop);
}
