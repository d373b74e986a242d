/* Message move tasks of fanout-local's SQS at random: messages die, tasks bring them back at drawn rates, are
 * cancelled, and the server is killed, while a model, which does not know how the server does it, says how many
 * messages each queue has and what ListMessageMoveTasks shows, at every millisecond that is looked at. In the end each
 * message is there once.
 *
 * Even seeds have FIFO queues, of one group. A seed that fails belongs into KEPT_SEEDS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dead_letters.h"
#include "lib/seeds.h"

#define STEPS    120
#define MESSAGES STEPS
#define AT_ONCE  10 /* messages of one receive */

static const uint64_t KEPT_SEEDS[] = {1, 2};

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* Two queues have the first dead-letter queue, one has the second, and another queue takes what is sent there. */
enum place { FIRST, SECOND, THIRD, OTHER, DEAD, DEADER, GONE, PLACES = GONE };

static const enum place DEAD_LETTERS_OF[] = {DEAD, DEAD, DEADER};

struct message {
    enum place place, origin;
    int64_t visible_at, sent_at; /* by which, and then by the number of receives and the order, they are moved */
    int receives;
    int order;
};

struct task {
    const char *status;             /* NULL: there never was one */
    enum place source, destination; /* GONE: back to the origin */
    int64_t rate, next_at, paced_from, paced;
    int moved, to_move, number;
};

struct model {
    bool fifo;
    struct message messages[MESSAGES];
    int n, next_order;
    int64_t now;
    struct task tasks[2]; /* the newest of each source */
    int last_task, n_tasks;
};

static int
count(const struct model *m, enum place place)
{
    int n = 0;
    for (int i = 0; i < m->n; i++)
        n += m->messages[i].place == place;
    return n;
}

static bool
is_before(const struct model *m, const struct message *a, const struct message *b)
{
    if (m->fifo)
        return a->order < b->order;
    if (a->visible_at != b->visible_at)
        return a->visible_at < b->visible_at;
    if (a->sent_at != b->sent_at)
        return a->sent_at < b->sent_at;
    return a->receives != b->receives ? a->receives < b->receives : a->order < b->order;
}

static struct message *
first_of(struct model *m, enum place place)
{
    struct message *first = NULL;
    for (int i = 0; i < m->n; i++)
        if (m->messages[i].place == place && (!first || is_before(m, &m->messages[i], first)))
            first = &m->messages[i];
    return first;
}

static bool
is_active(const struct task *t)
{
    return t->status && (strcmp(t->status, "RUNNING") == 0 || strcmp(t->status, "CANCELLING") == 0);
}

static void
run_task(struct model *m, struct task *t)
{
    if (strcmp(t->status, "CANCELLING") == 0) {
        t->status = "CANCELLED";
        return;
    }
    int64_t may = t->rate == 0 ? INT64_MAX : (m->now - t->paced_from) * t->rate / 1000 + 1 - t->paced;
    struct message *message;
    while (may-- > 0 && t->moved < t->to_move && (message = first_of(m, t->source))) {
        enum place to = t->destination == GONE ? message->origin : t->destination;
        *message = (struct message){
            .place = to, .origin = message->origin, .visible_at = m->now, .sent_at = m->now, .order = m->next_order++};
        t->moved++;
        t->paced++;
    }
    if (t->rate > 0)
        t->next_at = t->paced_from + (t->paced * 1000 + t->rate - 1) / t->rate;
    if (t->moved == t->to_move || !first_of(m, t->source))
        t->status = "COMPLETED";
}

/* Tasks take turns. */
static void
run_tasks(struct model *m)
{
    for (;;) {
        struct task *next = NULL;
        for (int i = 0; i < 2; i++) {
            struct task *t = &m->tasks[i];
            if (!is_active(t) || t->next_at > m->now)
                continue;
            bool behind = t->number > m->last_task, next_behind = next && next->number > m->last_task;
            if (!next || behind > next_behind || (behind == next_behind && t->number < next->number))
                next = t;
        }
        if (!next)
            return;
        m->last_task = next->number;
        run_task(m, next);
    }
}

static void
start_again(struct model *m)
{
    m->last_task = 0;
    for (int i = 0; i < 2; i++)
        if (is_active(&m->tasks[i]) && m->tasks[i].next_at < m->now) {
            m->tasks[i].next_at = m->tasks[i].paced_from = m->now;
            m->tasks[i].paced = 0;
        }
    run_tasks(m);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

struct run {
    struct model m;
    struct local_queue queues[PLACES];
    char arns[PLACES][DEAD_LETTERS_ARN];
    uint64_t random;
};

static void
begin(struct run *r, uint64_t seed)
{
    *r = (struct run){.random = seed, .m = {.fifo = seed % 2 == 0}};
    const char *more = r->m.fifo ? ", \"FifoQueue\": \"true\"" : "";
    char attributes[100];
    snprintf(attributes, sizeof attributes, "{\"VisibilityTimeout\": \"0\"%s}", more);
    for (int i = PLACES - 1; i >= 0; i--) {
        if (i < OTHER)
            dead_letters_make(&r->queues[i], &r->queues[DEAD_LETTERS_OF[i]], 1, more);
        else
            local_queue_make(&r->queues[i], attributes);
        dead_letters_arn(r->queues[i].url, r->arns[i]);
    }
}

static int
draw(struct run *r, int below)
{
    return (int)seeds_draw(&r->random, (uint64_t)below);
}

/* Deletes all that a queue has, and counts each body; a receipt handle lives for 30 s that do not pass. */
static void
empty(struct run *r, enum place place, int *seen)
{
    struct local_queue *q = &r->queues[place];
    for (size_t n; (n = local_queue_receive(q, ", \"MaxNumberOfMessages\": 10, \"VisibilityTimeout\": 30")) > 0;) {
        struct buf members = BUF_INIT;
        char path[60];
        buf_add_string(&members, ", \"Entries\": [");
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            seen[atoi(local_queue_text(q, path))]++;
            snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
            buf_add_format(&members, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"}", i ? "," : "", i,
                           local_queue_text(q, path));
        }
        buf_add_char(&members, ']');
        local_queue_ok(q, "DeleteMessageBatch", members.data);
        buf_clean_up(&members);
    }
    for (int i = 0; i < r->m.n; i++)
        if (r->m.messages[i].place == place)
            r->m.messages[i].place = GONE;
}

/* A new message, and all that are in that queue, are received and then moved to its dead letters. */
static void
bury(struct run *r, enum place place)
{
    struct model *m = &r->m;
    struct local_queue *q = &r->queues[place];
    struct message *message;
    char members[200];
    if (count(m, place) >= AT_ONCE)
        return;
    snprintf(members, sizeof members, ", \"MessageBody\": \"%d\"%s", m->n,
             m->fifo ? ", \"MessageGroupId\": \"g\", \"MessageDeduplicationId\": \"" : "");
    if (m->fifo)
        snprintf(members + strlen(members), sizeof members - strlen(members), "%d\"", m->n);
    local_queue_ok(q, "SendMessage", members);
    m->messages[m->n++] = (struct message){
        .place = place, .origin = place, .visible_at = m->now, .sent_at = m->now, .order = m->next_order++};
    int n = count(m, place);
    assert_int_equal(local_queue_receive(q, ", \"MaxNumberOfMessages\": 10"), n);
    assert_int_equal(local_queue_receive(q, ", \"MaxNumberOfMessages\": 10"), 0);
    while ((message = first_of(m, place))) {
        message->place = DEAD_LETTERS_OF[place];
        message->visible_at = m->now;
        message->receives = 1;
        if (m->fifo) /* it is its queue's last */
            message->order = m->next_order++;
    }
}

static void
start(struct run *r, int source)
{
    static const int64_t RATES[] = {0, 1, 2, 3, 7, 50, 500};
    struct model *m = &r->m;
    struct aws_call *c = &r->queues[OTHER].call;
    struct task *t = &m->tasks[source];
    bool active = is_active(t);
    struct task new = {.status = "RUNNING",
                       .source = source ? DEADER : DEAD,
                       .destination = draw(r, 2) ? OTHER : GONE,
                       .rate = RATES[draw(r, sizeof RATES / sizeof *RATES)],
                       .next_at = m->now,
                       .paced_from = m->now};
    char rate[60] = "", destination[200] = "";
    if (new.rate > 0)
        snprintf(rate, sizeof rate, ", \"MaxNumberOfMessagesPerSecond\": %lld", (long long)new.rate);
    if (new.destination == OTHER)
        snprintf(destination, sizeof destination, ", \"DestinationArn\": \"%s\"", r->arns[OTHER]);
    dead_letters_call(c, "StartMessageMoveTask", "\"SourceArn\": \"%s\"%s%s", r->arns[new.source], destination, rate);
    assert_int_equal(c->status, active ? 400 : 200);
    if (active)
        return;
    new.to_move = count(m, new.source);
    new.number = ++m->n_tasks;
    *t = new;
    run_tasks(m);
}

static void
cancel(struct run *r, int source)
{
    struct task *t = &r->m.tasks[source];
    struct aws_call *c = &r->queues[OTHER].call;
    char handle[400];
    dead_letters_call(c, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", r->arns[source ? DEADER : DEAD]);
    if (!t->status || strcmp(t->status, "RUNNING") != 0)
        return;
    assert_true(aws_call_text(c, "Results.0.TaskHandle", handle, sizeof handle));
    assert_int_equal(dead_letters_call(c, "CancelMessageMoveTask", "\"TaskHandle\": \"%s\"", handle), 200);
    t->status = "CANCELLING";
    t->next_at = r->m.now + 1;
}

static void
pass(struct run *r)
{
    int ms = draw(r, 3) ? draw(r, 1500) : draw(r, 10);
    r->m.now += ms;
    local_server_pass(&local_fixture, ms);
}

static void
restart(struct run *r)
{
    local_server_kill(&local_fixture);
    if (draw(r, 2))
        pass(r);
    local_server_restart(&local_fixture);
    for (int i = 0; i < PLACES; i++) {
        aws_call_clean_up(&r->queues[i].call);
        aws_call_init(&r->queues[i].call, local_fixture.url);
    }
    start_again(&r->m);
}

static void
compare(struct run *r)
{
    struct aws_call *c = &r->queues[OTHER].call;
    for (int i = 0; i < 2; i++) {
        const struct task *t = &r->m.tasks[i];
        char status[30], moved[30], to_move[30];
        for (int j = 0; j < 2; j++) /* what is due is done behind the first call */
            dead_letters_call(c, "ListMessageMoveTasks", "\"SourceArn\": \"%s\"", r->arns[i ? DEADER : DEAD]);
        assert_int_equal(aws_call_count(c, "Results"), t->status != NULL);
        if (!t->status)
            continue;
        aws_call_text(c, "Results.0.Status", status, sizeof status);
        aws_call_text(c, "Results.0.ApproximateNumberOfMessagesMoved", moved, sizeof moved);
        aws_call_text(c, "Results.0.ApproximateNumberOfMessagesToMove", to_move, sizeof to_move);
        if (strcmp(status, t->status) != 0 || atoi(moved) != t->moved || atoi(to_move) != t->to_move)
            fail_msg("task %d: %s %s of %s, not %s %d of %d", t->number, status, moved, to_move, t->status, t->moved,
                     t->to_move);
    }
    for (int i = 0; i < PLACES; i++)
        local_queue_assert_counts(&r->queues[i], count(&r->m, (enum place)i), 0, 0);
}

static void
step(struct run *r)
{
    static int ignored[MESSAGES];
    int what = draw(r, 100);
    if (what < 45)
        bury(r, (enum place)draw(r, OTHER));
    else if (what < 75)
        pass(r);
    else if (what < 88)
        start(r, draw(r, 2));
    else if (what < 92)
        cancel(r, draw(r, 2));
    else if (what < 96)
        empty(r, (enum place)draw(r, DEAD), ignored);
    else
        restart(r);
    run_tasks(&r->m);
    compare(r);
}

static void
tasks_do_what_a_model_of_them_does(void **state)
{
    (void)state;
    static struct run r;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        int seen[MESSAGES] = {0};
        bool left[MESSAGES] = {false};
        begin(&r, seed);
        for (int i = 0; i < STEPS; i++)
            step(&r);
        for (int i = 0; i < r.m.n; i++)
            left[i] = r.m.messages[i].place != GONE;
        local_server_pass(&local_fixture, 1000 * MESSAGES);
        r.m.now += 1000 * MESSAGES;
        run_tasks(&r.m);
        compare(&r);
        for (int i = 0; i < PLACES; i++)
            empty(&r, (enum place)i, seen);
        for (int i = 0; i < r.m.n; i++)
            if (seen[i] != left[i])
                fail_msg("message %d is there %d times", i, seen[i]);
        for (int i = 0; i < PLACES; i++)
            local_queue_drop(&r.queues[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_do_what_a_model_of_them_does),
    };
    return cmocka_run_group_tests_name("local/sqs move tasks at random", tests, local_fixture_start_with_clock,
                                       local_fixture_stop);
}
