#include "lib/queue_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>

#define ANSWER_MS 20000

/* ---- what came ----------------------------------------------------------------------------------------------------
 */

static int64_t
attribute(struct queue_run *r, const struct aws_call *c, size_t i, const char *name)
{
    char path[80], text[64];
    snprintf(path, sizeof path, "Messages.%zu.Attributes.%s", i, name);
    if (!aws_call_text(c, path, text, sizeof text))
        queue_run_give_up(r, path);
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
read_received(struct queue_run *r, const struct aws_call *c, int queue, size_t i, struct queue_model_received *ret)
{
    char text[200], expected[40] = "", source[120];
    text_at(c, i, "Body", text, sizeof text);
    *ret =
        (struct queue_model_received){.message = atoi(text),
                                      .source = -1,
                                      .receives = attribute(r, c, i, "ApproximateReceiveCount"),
                                      .sent_at_ms = attribute(r, c, i, "SentTimestamp"),
                                      .first_received_at_ms = attribute(r, c, i, "ApproximateFirstReceiveTimestamp")};
    queue_run_tell(r, " m%d(%lld)", ret->message, (long long)ret->receives);
    text_at(c, i, "Attributes.DeadLetterQueueSourceArn", source, sizeof source);
    for (int q = 0; *source && q < QUEUE_MODEL_QUEUES; q++)
        if (strcmp(strrchr(source, ':') + 1, strrchr(r->urls[q], '/') + 1) == 0)
            ret->source = q;
    text_at(c, i, "MessageId", text, sizeof text);
    if (!*r->ids[ret->message % QUEUE_RUN_IDS]) /* its send was not answered */
        snprintf(r->ids[ret->message % QUEUE_RUN_IDS], sizeof *r->ids, "%.39s", text);
    if (strcmp(text, r->ids[ret->message % QUEUE_RUN_IDS]) != 0)
        queue_run_give_up(r, "the message has another id than when it was sent");
    if (ret->message % 3 == 0)
        snprintf(expected, sizeof expected, "group-%d", ret->message % 5);
    text_at(c, i, "Attributes.MessageGroupId", text, sizeof text);
    if (strcmp(text, expected) != 0)
        queue_run_give_up(r, "the message has another group than when it was sent");
    struct queue_run_handle *h = &r->handles[r->n_handles++ % QUEUE_RUN_HANDLES];
    h->is = (struct queue_model_handle){.queue = queue,
                                        .message = ret->message,
                                        .receive = ret->receives,
                                        .life = queue_model_life_of(r->model, queue)};
    text_at(c, i, "ReceiptHandle", h->text, sizeof h->text);
}

static void
read_all_received(struct queue_run *r, const struct aws_call *c, struct queue_model_receive *m)
{
    m->n = aws_call_count(c, "Messages");
    if (m->n > 10)
        queue_run_give_up(r, "more than ten messages");
    for (size_t i = 0; i < m->n; i++)
        read_received(r, c, m->queue, i, &m->came[i]);
}

static void
write_receive(struct queue_run *r, const struct queue_model_receive *m, int64_t wait_s, struct buf *out)
{
    buf_add_format(out, "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"], \"MaxNumberOfMessages\": %zu",
                   r->urls[m->queue], m->max);
    queue_run_tell(r, "%c: receive %zu", 'A' + m->queue, m->max);
    if (m->visibility_s >= 0) {
        buf_add_format(out, ", \"VisibilityTimeout\": %lld", (long long)m->visibility_s);
        queue_run_tell(r, " for %lld s", (long long)m->visibility_s);
    }
    if (wait_s >= 0) {
        buf_add_format(out, ", \"WaitTimeSeconds\": %lld", (long long)wait_s);
        queue_run_tell(r, ", waiting %lld s", (long long)wait_s);
    }
    buf_add_char(out, '}');
}

void
queue_run_receive(struct queue_run *r, int queue)
{
    bool may_be_lost = queue_run_draw(r, 3) == 0;
    struct queue_model_receive m = {.queue = queue,
                                    .max = may_be_lost ? 1 : 1 + queue_run_draw(r, 10),
                                    .visibility_s = QUEUE_RUN_PICK(r, -1, -1, -1, 0, 1, 7, 43200)};
    struct buf request = BUF_INIT;
    write_receive(r, &m, -1, &request);
    queue_run_tell(r, ":");
    enum queue_run_outcome outcome =
        queue_run_ask(r, may_be_lost ? QUEUE_RUN_FULL_DISK | QUEUE_RUN_KILL : QUEUE_RUN_FULL_DISK, "ReceiveMessage",
                      "%s", request.data);
    buf_clean_up(&request);
    if (outcome == QUEUE_RUN_UNDONE)
        return;
    m.lost = outcome == QUEUE_RUN_LOST;
    if (!m.lost) {
        queue_run_expect_status(r, 200);
        read_all_received(r, &r->call, &m);
    }
    queue_run_expect(r, queue_model_receive(r->model, &m, queue_run_seen(r)));
}

/* ---- long polls -------------------------------------------------------------------------------------------------- */

static long
waiting_at(const struct queue_run *r, int queue)
{
    long n = 0;
    for (size_t i = 0; i < r->n_waiters; i++)
        n += r->waiters[i].is.queue == queue;
    return n;
}

void
queue_run_receive_waiting(struct queue_run *r, int queue)
{
    struct queue_run_waiter *w = &r->waiters[r->n_waiters];
    int64_t wait_s = QUEUE_RUN_PICK(r, 1, 5, 20);
    size_t least, most;
    struct buf request = BUF_INIT;
    queue_model_count(r->model, queue, &least, &most);
    if (r->n_waiters == QUEUE_RUN_WAITERS || (least == 0) != (most == 0)) /* nobody knows whether it will */
        return;
    *w = (struct queue_run_waiter){
        .is = {.queue = queue, .max = 1 + queue_run_draw(r, 10), .visibility_s = QUEUE_RUN_PICK(r, -1, -1, 0, 1, 7)},
        .deadline_ms = clock_wall_ms() + wait_s * 1000};
    write_receive(r, &w->is, wait_s, &request);
    aws_call_init(&w->call, local_fixture.url);
    if (!aws_call_begin(&w->call, "sqs", "AmazonSQS.ReceiveMessage", buf_slice(&request)))
        queue_run_give_up(r, "the server cannot be reached");
    buf_clean_up(&request);
    if (most == 0) {
        queue_run_expect(r, queue_model_receive(r->model, &w->is, NULL)); /* dead letters go now */
        r->n_waiters++;
        local_server_await_waiting(&local_fixture, r->urls[queue], waiting_at(r, queue));
        return;
    }
    if (aws_call_finish(&w->call) != 200)
        queue_run_give_up(r, "a long poll for what is there was not answered");
    queue_run_tell(r, ":");
    read_all_received(r, &w->call, &w->is);
    queue_run_expect(r, queue_model_receive(r->model, &w->is, NULL));
    aws_call_clean_up(&w->call);
}

/* Waits until so many of those who wait have an answer. */
static void
await_answers(struct queue_run *r, long n, struct pollfd *fds)
{
    for (size_t i = 0; i < r->n_waiters; i++)
        fds[i] = (struct pollfd){.fd = r->waiters[i].call.fd, .events = POLLIN};
    for (int64_t until_ms = clock_monotonic_ns() / 1000000 + ANSWER_MS;;) {
        long there = poll(fds, r->n_waiters, n > 0 ? 10 : 0);
        if (there == n)
            return;
        if (there > n || clock_monotonic_ns() / 1000000 > until_ms)
            queue_run_give_up(r, "not as many long polls are answered as have stopped waiting");
    }
}

/* Reads an answer that is there. */
static void
read_waiter(struct queue_run *r, struct queue_run_waiter *w, bool queue_is_gone)
{
    aws_call_finish(&w->call);
    queue_run_tell(r, " | %c's poll:", 'A' + w->is.queue);
    if (queue_is_gone ? strcmp(w->call.error, "AWS.SimpleQueueService.NonExistentQueue") != 0 : w->call.status != 200)
        queue_run_give_up(r, w->call.message);
    read_all_received(r, &w->call, &w->is);
    aws_call_clean_up(&w->call);
}

void
queue_run_serve(struct queue_run *r)
{
    struct pollfd fds[QUEUE_RUN_WAITERS];
    bool answered[QUEUE_RUN_WAITERS] = {false};
    size_t n = 0;
    long left = 0;
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        local_server_waiting(&local_fixture, r->urls[q]); /* a turn serves them after its calls: after this one */
        long waiting = local_server_waiting(&local_fixture, r->urls[q]);
        left += waiting > 0 ? waiting : 0;
    }
    await_answers(r, (long)r->n_waiters - left, fds);
    for (size_t i = 0; i < r->n_waiters; i++) {
        struct queue_run_waiter *w = &r->waiters[i];
        answered[i] = fds[i].revents != 0;
        if (answered[i])
            read_waiter(r, w, !queue_model_exists(r->model, w->is.queue));
        if (answered[i] && queue_model_exists(r->model, w->is.queue) && w->is.n == 0 &&
            w->deadline_ms > clock_wall_ms())
            queue_run_give_up(r, "a long poll ended too early");
        if (!answered[i] && w->deadline_ms <= clock_wall_ms())
            queue_run_give_up(r, "a long poll waits too long");
    }
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        for (size_t i = 0; i < r->n_waiters; i++) {
            struct queue_run_waiter *w = &r->waiters[i];
            w->is.early = q > 0 && answered[i] && waiting_at(r, 0) > 0; /* before dead letters came over */
            if (w->is.queue == q && queue_model_exists(r->model, q))
                queue_run_expect(r, queue_model_receive(r->model, &w->is, NULL));
        }
    for (size_t i = 0; i < r->n_waiters; i++)
        if (!answered[i])
            r->waiters[n++] = r->waiters[i];
    r->n_waiters = n;
}
