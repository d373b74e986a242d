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

#include "lib/seeds.h"

#define CALLS_PER_DANGER 60
#define KILL_WAIT_MS     3 /* a call is under way for less, before the server is killed */

/* ---- telling ----------------------------------------------------------------------------------------------------- */

char *
queue_run_line(struct queue_run *r)
{
    return r->told[r->n_steps % QUEUE_RUN_STEPS_TOLD];
}

void
queue_run_tell(struct queue_run *r, const char *format, ...)
{
    char *line = queue_run_line(r);
    size_t n = strlen(line);
    va_list ap;
    va_start(ap, format);
    vsnprintf(line + n, sizeof *r->told - n, format, ap);
    va_end(ap);
}

void
queue_run_give_up(struct queue_run *r, const char *why)
{
    struct buf worlds = BUF_INIT;
    size_t first = r->n_steps < QUEUE_RUN_STEPS_TOLD ? 0 : r->n_steps - QUEUE_RUN_STEPS_TOLD + 1;
    print_error("seed %llu, step %zu: %s\n", (unsigned long long)r->seed, r->n_steps, why);
    for (size_t i = first; i <= r->n_steps; i++)
        print_error("  %4zu %s\n", i, r->told[i % QUEUE_RUN_STEPS_TOLD]);
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

uint64_t
queue_run_draw(struct queue_run *r, uint64_t below)
{
    return seeds_draw(&r->random, below);
}

int64_t
queue_run_pick(struct queue_run *r, const int64_t *values, size_t n)
{
    return values[queue_run_draw(r, n)];
}

/* ---- calling ----------------------------------------------------------------------------------------------------- */

void
queue_run_hang_up(struct queue_run *r)
{
    for (; r->n_waiters > 0; r->n_waiters--)
        aws_call_clean_up(&r->waiters[r->n_waiters - 1].call);
}

void
queue_run_restart(struct queue_run *r)
{
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    r->restarted = true;
    queue_run_hang_up(r);
}

static void begin(struct queue_run *r, const char *operation, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void
begin(struct queue_run *r, const char *operation, const char *format, va_list ap)
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
        queue_run_give_up(r, "the server cannot be reached");
    buf_clean_up(&body);
}

static int
answer_dying(struct queue_run *r)
{
    struct pollfd p = {.fd = r->call.fd, .events = POLLIN};
    poll(&p, 1, (int)queue_run_draw(r, KILL_WAIT_MS));
    queue_run_restart(r);
    aws_call_finish(&r->call);
    queue_run_tell(r, " [kill -9%s]", r->call.status == 0 ? ", no answer" : "");
    return r->call.status;
}

enum queue_run_outcome
queue_run_ask(struct queue_run *r, int dangers, const char *operation, const char *format, ...)
{
    va_list ap;
    if (r->n_waiters > 0 || (dangers && queue_run_draw(r, CALLS_PER_DANGER) > 0))
        dangers = QUEUE_RUN_SAFE;
    if (dangers == (QUEUE_RUN_FULL_DISK | QUEUE_RUN_KILL))
        dangers = queue_run_draw(r, 2) ? QUEUE_RUN_FULL_DISK : QUEUE_RUN_KILL;
    if (dangers == QUEUE_RUN_FULL_DISK)
        local_server_fill_disk(&local_fixture);
    va_start(ap, format);
    begin(r, operation, format, ap);
    va_end(ap);
    if (dangers == QUEUE_RUN_KILL)
        return answer_dying(r) == 0 ? QUEUE_RUN_LOST : QUEUE_RUN_ANSWERED;
    if (aws_call_finish(&r->call) == 0)
        queue_run_give_up(r, "the server did not answer");
    if (dangers != QUEUE_RUN_FULL_DISK)
        return QUEUE_RUN_ANSWERED;
    local_server_make_room(&local_fixture);
    queue_run_tell(r, " [full disk: %d]", r->call.status);
    return r->call.status >= 500 ? QUEUE_RUN_UNDONE : QUEUE_RUN_ANSWERED;
}

void
queue_run_expect_status(struct queue_run *r, int expected)
{
    char why[900];
    if (r->call.status == expected)
        return;
    snprintf(why, sizeof why, "%d %s: %s", r->call.status, r->call.error, r->call.message);
    queue_run_give_up(r, why);
}

void
queue_run_expect_error(struct queue_run *r, const char *error, const char *words)
{
    char why[1000];
    if (strcmp(r->call.error, error) == 0 && strstr(r->call.message, words))
        return;
    snprintf(why, sizeof why, "not %s \"%s\", but %d %s: %s", error, words, r->call.status, r->call.error,
             r->call.message);
    queue_run_give_up(r, why);
}

long
queue_run_number_at(struct queue_run *r, const char *path)
{
    char text[64];
    if (!aws_call_text(&r->call, path, text, sizeof text))
        queue_run_give_up(r, path);
    return atol(text);
}

void
queue_run_look(struct queue_run *r)
{
    r->looked = true;
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++) {
        struct queue_model_counts *seen = &r->seen[q];
        *seen = (struct queue_model_counts){.exists = false};
        queue_run_ask(r, QUEUE_RUN_SAFE, "GetQueueAttributes", "{\"QueueUrl\": \"%s\", \"AttributeNames\": [\"All\"]}",
                      r->urls[q]);
        if (r->call.status == 400) {
            queue_run_expect_error(r, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.");
            continue;
        }
        queue_run_expect_status(r, 200);
        seen->exists = true;
        seen->visible = queue_run_number_at(r, "Attributes.ApproximateNumberOfMessages");
        seen->in_flight = queue_run_number_at(r, "Attributes.ApproximateNumberOfMessagesNotVisible");
        seen->delayed = queue_run_number_at(r, "Attributes.ApproximateNumberOfMessagesDelayed");
    }
}

const struct queue_model_counts *
queue_run_seen(struct queue_run *r)
{
    if (r->n_waiters > 0)
        return NULL;
    queue_run_look(r);
    return r->seen;
}

void
queue_run_expect(struct queue_run *r, bool ok)
{
    if (!ok)
        queue_run_give_up(r, "no state that is possible explains this");
}
