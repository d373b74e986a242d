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

#include "lib/queue_run.h"
#include "lib/seeds.h"

#define STEPS 500 /* in `make test` */

static const uint64_t KEPT_SEEDS[] = {1, 224};

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static struct queue_model_settings
draw_settings(struct queue_run *r, int queue)
{
    struct queue_model_settings s = {.visibility_s = QUEUE_RUN_PICK(r, 0, 1, 5, 30, 30, 300, 43200),
                                     .delay_s = QUEUE_RUN_PICK(r, 0, 0, 0, 1, 5, 900),
                                     .retention_s = QUEUE_RUN_PICK(r, 60, 3600, 86400, 345600, 345600, 345600),
                                     .dead_letters = 1};
    if (queue == 0)
        s.max_receives = QUEUE_RUN_PICK(r, 0, 1, 2, 2, 3);
    return s;
}

static void
write_settings(struct queue_run *r, const struct queue_model_settings *s, char *out, size_t size)
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
    queue_run_tell(r, " visibility %lld s, delay %lld s, retention %lld s, %lld receives", (long long)s->visibility_s,
                   (long long)s->delay_s, (long long)s->retention_s, (long long)s->max_receives);
}

static void
create(struct queue_run *r, int queue)
{
    struct queue_model_settings s = draw_settings(r, queue);
    char attributes[500];
    if (!queue_model_exists(r->model, 1))
        s.max_receives = 0; /* its dead-letter queue must be there */
    queue_run_tell(r, "%c: create", 'A' + queue);
    write_settings(r, &s, attributes, sizeof attributes);
    if (queue_run_ask(r, QUEUE_RUN_FULL_DISK, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": %s}",
                      strrchr(r->urls[queue], '/') + 1, attributes) == QUEUE_RUN_UNDONE)
        return;
    if (queue_model_may_create(r->model, queue) == QUEUE_MODEL_REFUSED) {
        queue_run_tell(r, ": refused");
        queue_run_expect_error(
            r, "AWS.SimpleQueueService.QueueDeletedRecently",
            "You must wait 60 seconds after deleting a queue before you can create another with the same "
            "name.");
        return;
    }
    queue_run_expect_status(r, 200);
    queue_model_create(r->model, queue, &s);
}

static void
set(struct queue_run *r, int queue)
{
    struct queue_model_settings s = draw_settings(r, queue);
    char attributes[500];
    if (!queue_model_exists(r->model, 1))
        s.max_receives = 0;
    queue_run_tell(r, "%c: set", 'A' + queue);
    write_settings(r, &s, attributes, sizeof attributes);
    if (queue_run_ask(r, QUEUE_RUN_FULL_DISK, "SetQueueAttributes", "{\"QueueUrl\": \"%s\", \"Attributes\": %s}",
                      r->urls[queue], attributes) == QUEUE_RUN_UNDONE)
        return;
    queue_run_expect_status(r, 200);
    queue_model_set(r->model, queue, &s);
}

static void
purge(struct queue_run *r, int queue)
{
    char words[200];
    queue_run_tell(r, "%c: purge", 'A' + queue);
    if (queue_run_ask(r, QUEUE_RUN_FULL_DISK, "PurgeQueue", "{\"QueueUrl\": \"%s\"}", r->urls[queue]) ==
        QUEUE_RUN_UNDONE)
        return;
    if (queue_model_may_purge(r->model, queue) == QUEUE_MODEL_REFUSED) {
        queue_run_tell(r, ": refused");
        snprintf(words, sizeof words, "Only one PurgeQueue operation on %s is allowed every 60 seconds.",
                 strrchr(r->urls[queue], '/') + 1);
        queue_run_expect_error(r, "AWS.SimpleQueueService.PurgeQueueInProgress", words);
        queue_run_expect_status(r, 403);
        return;
    }
    queue_run_expect_status(r, 200);
    queue_model_purge(r->model, queue);
}

static void
delete_queue(struct queue_run *r, int queue)
{
    queue_run_tell(r, "%c: delete the queue", 'A' + queue);
    if (queue_run_ask(r, QUEUE_RUN_FULL_DISK, "DeleteQueue", "{\"QueueUrl\": \"%s\"}", r->urls[queue]) ==
        QUEUE_RUN_UNDONE)
        return;
    queue_run_expect_status(r, 200);
    queue_model_delete_queue(r->model, queue);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* A message's body is its number. */
static void
remember_id(struct queue_run *r, int message, const char *path)
{
    if (!aws_call_text(&r->call, path, r->ids[message % QUEUE_RUN_IDS], sizeof *r->ids))
        queue_run_give_up(r, "no MessageId");
}

static void
write_entry(struct queue_run *r, int message, int64_t delay_s, struct buf *out)
{
    buf_add_format(out, "\"MessageBody\": \"%d\"", message);
    if (delay_s >= 0)
        buf_add_format(out, ", \"DelaySeconds\": %lld", (long long)delay_s);
    if (message % 3 == 0)
        buf_add_format(out, ", \"MessageGroupId\": \"group-%d\"", message % 5);
    queue_run_tell(r, " m%d", message);
    if (delay_s >= 0)
        queue_run_tell(r, " (delay %lld s)", (long long)delay_s);
}

static void
send_one(struct queue_run *r, int queue)
{
    struct buf entry = BUF_INIT;
    int64_t delay_s = QUEUE_RUN_PICK(r, -1, -1, -1, 0, 1, 2, 900);
    int message = ++r->n_messages;
    queue_run_tell(r, "%c: send", 'A' + queue);
    write_entry(r, message, delay_s, &entry);
    enum queue_run_outcome outcome = queue_run_ask(r, QUEUE_RUN_FULL_DISK | QUEUE_RUN_KILL, "SendMessage",
                                                   "{\"QueueUrl\": \"%s\", %s}", r->urls[queue], entry.data);
    buf_clean_up(&entry);
    *r->ids[message % QUEUE_RUN_IDS] = '\0';
    if (outcome == QUEUE_RUN_UNDONE)
        return;
    if (outcome == QUEUE_RUN_ANSWERED) {
        queue_run_expect_status(r, 200);
        remember_id(r, message, "MessageId");
    }
    queue_run_expect(r,
                     queue_model_send(r->model, queue, message, delay_s, outcome == QUEUE_RUN_LOST, queue_run_seen(r)));
}

static void
send_some(struct queue_run *r, int queue)
{
    struct buf entries = BUF_INIT;
    int64_t delays_s[10];
    int first = r->n_messages + 1;
    size_t n = 1 + queue_run_draw(r, 6);
    while (!queue_model_has_room(r->model, n))
        n--;
    queue_run_tell(r, "%c: send a batch", 'A' + queue);
    for (size_t i = 0; i < n; i++) {
        delays_s[i] = QUEUE_RUN_PICK(r, -1, -1, 0, 1);
        buf_add_format(&entries, "%s{\"Id\": \"%zu\", ", i ? ", " : "", i);
        write_entry(r, ++r->n_messages, delays_s[i], &entries);
        buf_add_char(&entries, '}');
    }
    enum queue_run_outcome outcome =
        queue_run_ask(r, QUEUE_RUN_FULL_DISK, "SendMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}",
                      r->urls[queue], entries.data);
    buf_clean_up(&entries);
    if (outcome == QUEUE_RUN_UNDONE)
        return;
    queue_run_expect_status(r, 200);
    if (aws_call_count(&r->call, "Successful") != n)
        queue_run_give_up(r, "not all entries were sent");
    for (size_t i = 0; i < n; i++) {
        char path[64];
        snprintf(path, sizeof path, "Successful.%zu.MessageId", i);
        remember_id(r, first + (int)i, path);
    }
    for (size_t i = 0; i < n; i++)
        queue_run_expect(r, queue_model_send(r->model, queue, first + (int)i, delays_s[i], false,
                                             i + 1 < n ? NULL : queue_run_seen(r)));
}

/* ---- settling ---------------------------------------------------------------------------------------------------- */

static enum queue_model_answer
answer_of(struct queue_run *r, const char *code, const char *message)
{
    if (strcmp(code, "ReceiptHandleIsInvalid") == 0 && strstr(message, "is not valid for this queue"))
        return QUEUE_MODEL_BAD_HANDLE;
    if (strcmp(code, "InvalidParameterValue") == 0 &&
        strstr(message, "Reason: Message does not exist or is not available for visibility timeout change."))
        return QUEUE_MODEL_GONE;
    if (strcmp(code, "InvalidParameterValue") == 0 &&
        strstr(message, "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"))
        return QUEUE_MODEL_TOO_LONG;
    queue_run_expect_status(r, 200);
    queue_run_give_up(r, message);
    return QUEUE_MODEL_OK;
}

static const struct queue_run_handle *
draw_handle(struct queue_run *r)
{
    size_t n = r->n_handles < QUEUE_RUN_HANDLES ? r->n_handles : QUEUE_RUN_HANDLES;
    size_t back =
        queue_run_draw(r, 3) ? queue_run_draw(r, n < 8 ? n : 8) : queue_run_draw(r, n); /* mostly of the newest */
    return &r->handles[(r->n_handles - 1 - back) % QUEUE_RUN_HANDLES];
}

static int64_t
draw_visibility(struct queue_run *r, bool deletes)
{
    return deletes ? -1 : QUEUE_RUN_PICK(r, 0, 0, 1, 5, 30, 30, 300, 43199, 43200);
}

static void
settle_one(struct queue_run *r, bool deletes)
{
    const struct queue_run_handle *h = draw_handle(r);
    struct queue_model_settle s = {.handle = h->is, .visibility_s = draw_visibility(r, deletes)};
    s.queue = queue_run_draw(r, 20) ? h->is.queue : !h->is.queue;
    if (!queue_model_exists(r->model, s.queue))
        return;
    queue_run_tell(r, "%c: %s m%d by %c's handle (%lld)", 'A' + s.queue, deletes ? "delete" : "change", h->is.message,
                   'A' + h->is.queue, (long long)h->is.receive);
    enum queue_run_outcome outcome;
    if (deletes) {
        outcome = queue_run_ask(r, QUEUE_RUN_FULL_DISK | QUEUE_RUN_KILL, "DeleteMessage",
                                "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\"}", r->urls[s.queue], h->text);
    } else {
        queue_run_tell(r, " to %lld s", (long long)s.visibility_s);
        outcome = queue_run_ask(r, QUEUE_RUN_FULL_DISK | QUEUE_RUN_KILL, "ChangeMessageVisibility",
                                "{\"QueueUrl\": \"%s\", \"ReceiptHandle\": \"%s\", \"VisibilityTimeout\": %lld}",
                                r->urls[s.queue], h->text, (long long)s.visibility_s);
    }
    if (outcome == QUEUE_RUN_UNDONE)
        return;
    s.lost = outcome == QUEUE_RUN_LOST;
    s.answer = r->call.status == 200 || s.lost ? QUEUE_MODEL_OK : answer_of(r, r->call.error, r->call.message);
    queue_run_tell(r, ": %d", r->call.status);
    queue_run_expect(r, queue_model_settle(r->model, &s, queue_run_seen(r)));
}

/* The answer of the entry whose id is i. */
static enum queue_model_answer
entry_answer(struct queue_run *r, int i)
{
    char path[64], code[80], message[600];
    size_t n = aws_call_count(&r->call, "Failed");
    for (size_t at = 0; at < n; at++) {
        snprintf(path, sizeof path, "Failed.%zu.Id", at);
        if (queue_run_number_at(r, path) != i)
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
settle_some(struct queue_run *r, bool deletes)
{
    struct queue_model_settle s[5];
    struct buf entries = BUF_INIT;
    const int queue = draw_handle(r)->is.queue;
    size_t n = 1 + queue_run_draw(r, 5);
    if (!queue_model_exists(r->model, queue))
        return;
    queue_run_tell(r, "%c: %s a batch:", 'A' + queue, deletes ? "delete" : "change");
    for (size_t i = 0; i < n; i++) {
        const struct queue_run_handle *h = draw_handle(r);
        s[i] =
            (struct queue_model_settle){.queue = queue, .handle = h->is, .visibility_s = draw_visibility(r, deletes)};
        buf_add_format(&entries, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"", i ? ", " : "", i, h->text);
        if (!deletes)
            buf_add_format(&entries, ", \"VisibilityTimeout\": %lld", (long long)s[i].visibility_s);
        buf_add_char(&entries, '}');
        queue_run_tell(r, " m%d by %c's (%lld)", h->is.message, 'A' + h->is.queue, (long long)h->is.receive);
        if (!deletes)
            queue_run_tell(r, " to %lld s", (long long)s[i].visibility_s);
    }
    enum queue_run_outcome outcome =
        queue_run_ask(r, QUEUE_RUN_FULL_DISK, deletes ? "DeleteMessageBatch" : "ChangeMessageVisibilityBatch",
                      "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}", r->urls[queue], entries.data);
    buf_clean_up(&entries);
    if (outcome == QUEUE_RUN_UNDONE)
        return;
    queue_run_expect_status(r, 200);
    if (aws_call_count(&r->call, "Successful") + aws_call_count(&r->call, "Failed") != n)
        queue_run_give_up(r, "not every entry was answered");
    for (size_t i = 0; i < n; i++) {
        s[i].answer = entry_answer(r, (int)i);
        queue_run_tell(r, " %s", s[i].answer == QUEUE_MODEL_OK ? "ok" : "no");
    }
    for (size_t i = 0; i < n; i++)
        queue_run_expect(r, queue_model_settle(r->model, &s[i], i + 1 < n ? NULL : queue_run_seen(r)));
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

/* Lets time pass: by chance, or to the instant at which something is due, or to the one before it. */
static void
pass(struct queue_run *r)
{
    int64_t next_ms = queue_model_next_ms(r->model), now_ms = clock_wall_ms();
    int64_t ms = QUEUE_RUN_PICK(r, 1, 999, 1000, 5000, 30000, 60000, 900000, 3600000);
    if (next_ms != INT64_MAX && queue_run_draw(r, 4))
        ms = next_ms - now_ms - (int64_t)queue_run_draw(r, 2);
    queue_run_tell(r, "%lld ms pass", (long long)ms);
    local_server_pass(&local_fixture, ms);
    queue_model_pass(r->model, ms);
}

static void
step(struct queue_run *r)
{
    int queue = queue_run_draw(r, 3) == 0;
    uint64_t what = queue_run_draw(r, 200);
    r->looked = false;
    queue_run_tell(r, "%10.3f s  ", (double)(clock_wall_ms() - r->began_ms) / 1000);
    if (r->n_waiters == 0 &&
        queue_run_draw(r, 4) == 0) { /* the server has not looked at its queues when the operation comes */
        pass(r);
        queue_run_tell(r, ", ");
    }
    if (what < 2) {
        queue_run_tell(r, "kill -9");
        queue_run_restart(r);
    } else if (!queue_model_exists(r->model, queue)) {
        if (queue_run_draw(r, 2))
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
            (queue_run_draw(r, 3) ? send_one : send_some)(r, queue);
    } else if (what < 90) {
        queue_run_receive_waiting(r, queue);
    } else if (what < 152 || r->n_handles == 0) {
        queue_run_receive(r, queue);
    } else if (what < 190) {
        settle_one(r, queue_run_draw(r, 2));
    } else {
        settle_some(r, queue_run_draw(r, 2));
    }
    if (r->n_waiters > 0) {
        queue_run_serve(r);
        r->looked = false;
    }
    if (!r->looked)
        queue_run_look(r);
    queue_run_tell(r, "  | A %ld %ld %ld | B %ld %ld %ld", r->seen[0].visible, r->seen[0].in_flight, r->seen[0].delayed,
                   r->seen[1].visible, r->seen[1].in_flight, r->seen[1].delayed);
    queue_run_expect(r, queue_model_look(r->model, r->seen));
}

static void
run_seed(uint64_t seed)
{
    struct queue_run *r = calloc(1, sizeof *r);
    size_t n_steps = seeds_events(STEPS);
    assert_non_null(r);
    r->seed = r->random = seed;
    r->began_ms = clock_wall_ms();
    r->model = queue_model_new(r->began_ms);
    aws_call_init(&r->call, local_fixture.url);
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        snprintf(r->urls[q], sizeof r->urls[q], "/000000000000/%c-%llu", 'A' + q, (unsigned long long)seed);
    for (; r->n_steps < n_steps; r->n_steps++) {
        *queue_run_line(r) = '\0';
        step(r);
    }
    for (int q = 0; q < QUEUE_MODEL_QUEUES; q++)
        if (queue_model_exists(r->model, q))
            queue_run_ask(r, QUEUE_RUN_SAFE, "DeleteQueue", "{\"QueueUrl\": \"%s\"}", r->urls[q]);
    queue_run_hang_up(r);
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
