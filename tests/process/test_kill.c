/* kill -9 at drawn moments of a run: of the server, of a worker, of the supervisor, of all at once. Nothing that was
 * acknowledged is lost, nothing comes out that nobody put in, what is handled twice is no more than what was in hand
 * at the kills, and what was confirmed deleted stays deleted.
 *
 * FANOUT_SEEDS and FANOUT_SOAK_S say which seeds (lib/seeds.h), FANOUT_EVENTS how long the runs are; there is a kill
 * for each 2,000 events, at least three. A seed that fails belongs into KEPT_SEEDS. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "ctl/tally.h"
#include "event/envelope.h"
#include "lib/aws_call.h"
#include "lib/kill_run.h"
#include "lib/seeds.h"

#define EVENTS          1500 /* in `make test` */
#define EVENTS_PER_KILL 2000
#define KILLS_MIN       3
#define KILLS_MAX       100
#define FAILED_MAX      10 /* tests; then a soak has found enough */
#define BATCH_MAX       10 /* messages of one receive or delete */

static const uint64_t KEPT_SEEDS[] = {1, 2};

struct kill_test {
    uint64_t seed;
    size_t events;
    struct kill_run run;
    bool passed;
};

static int
begin(void **state)
{
    struct kill_test *t = *state;
    t->passed = false;
    return 0;
}

static int
clean_up(void **state)
{
    struct kill_test *t = *state;
    kill_run_clean_up(&t->run, !t->passed);
    return 0;
}

static int
compare(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* After how many handled events to kill, in rising order. */
static size_t
draw_points(struct kill_test *t, size_t points[KILLS_MAX])
{
    size_t n = t->events / EVENTS_PER_KILL;
    n = n < KILLS_MIN ? KILLS_MIN : n > KILLS_MAX ? KILLS_MAX : n;
    for (size_t i = 0; i < n; i++)
        points[i] = seeds_draw(&t->run.random, t->events);
    qsort(points, n, sizeof *points, compare);
    return n;
}

/* ---- the judgement ----------------------------------------------------------------------------------------------- */

static void
print_sets(const struct kill_test *t, const struct total_queue_sets *s, size_t duplicates_max, size_t recovered_max)
{
    print_message("seed %llu: %zu events, killed: %u servers, %u workers, %u supervisors; %zu tries, acknowledged %zu, "
                  "handled %zu; lost %zu, unexpected %zu, duplicated %zu of at most %zu, recovered %zu of at most %zu; "
                  "uncaptured %zu, captured again %zu, stray %zu\n",
                  (unsigned long long)t->seed, t->events, t->run.servers, t->run.workers, t->run.supervisors, s->tries,
                  s->acknowledged, s->handled, s->lost, s->unexpected, s->duplicated, duplicates_max, s->recovered,
                  recovered_max, s->uncaptured, s->captured_again, s->stray);
}

/* A worker that lives through a server's death keeps its leases and repeats its deletes; one whose supervisor died
 * settles what it has. So only a worker's own death makes duplicates: of what it had in hand, handled or not, with its
 * delete under way or not. And only a server's death leaves calls without an answer: one of each thread of the feeder.
 */
static void
judge(struct kill_test *t, size_t in_hand_max)
{
    struct total_queue_sets s;
    struct buf names = BUF_INIT;
    size_t duplicates_max = in_hand_max, recovered_max = (size_t)t->run.servers * FEEDER_IN_FLIGHT_MAX;
    total_queue_judge(t->run.judge, &s, &names);
    print_sets(t, &s, duplicates_max, recovered_max);
    fputs(names.data ? names.data : "", stdout);
    if (s.lost > 0 || s.unexpected > 0 || s.duplicated > duplicates_max || s.recovered > recovered_max ||
        s.uncaptured > 0 || s.captured_again > 0 || s.stray > 0)
        fail_msg("seed %llu: see the sets above", (unsigned long long)t->seed);
    assert_int_equal(s.acknowledged, t->events);
    assert_int_equal(s.handled, s.acknowledged + s.recovered);
    buf_clean_up(&names);
    t->passed = true;
}

static void
run_with(struct kill_test *t, void (*kill_them)(struct kill_run *))
{
    size_t points[KILLS_MAX] = {0};
    kill_run_begin(&t->run, t->seed, t->events);
    size_t n = draw_points(t, points);
    kill_run_start(&t->run);
    for (size_t i = 0; i < n; i++) {
        kill_run_reach(&t->run, points[i]);
        kill_them(&t->run);
    }
    kill_run_finish(&t->run);
    kill_run_check_queues(&t->run);
    assert_true(t->run.servers + t->run.workers + t->run.supervisors >= n);
    judge(t, (size_t)t->run.workers * KILL_RUN_IN_HAND_MAX);
}

/* ---- four kinds -------------------------------------------------------------------------------------------------- */

static void
kills_of_the_server_lose_nothing_and_duplicate_nothing(void **state)
{
    run_with(*state, kill_run_kill_server);
}

static void
kills_of_a_worker_lose_nothing_and_duplicate_what_it_had_in_hand_at_most(void **state)
{
    run_with(*state, kill_run_kill_worker);
}

static void
kills_of_the_supervisor_leave_no_orphan_and_duplicate_nothing(void **state)
{
    run_with(*state, kill_run_kill_supervisor);
}

static void
kills_of_all_at_once_lose_nothing_and_duplicate_what_was_in_hand_at_most(void **state)
{
    run_with(*state, kill_run_kill_all);
}

/* ---- what was deleted -------------------------------------------------------------------------------------------- */

/* The test is the consumer here, because a worker would hide a message that comes back after its delete. */
struct consumer {
    struct kill_run *run;
    struct aws_call call;
    char url[300];
    struct tally deleted; /* ids of messages whose delete was confirmed, as handled */
    char ids[BATCH_MAX][64], handles[BATCH_MAX][700];
    size_t n;
};

static void
connect_to(struct consumer *c)
{
    aws_call_clean_up(&c->call);
    aws_call_init(&c->call, c->run->system->url);
}

static void
receive(struct consumer *c)
{
    char path[80], body[1000];
    aws_call_sqs(&c->call, "ReceiveMessage",
                 "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": %d, \"WaitTimeSeconds\": %d}", c->url, BATCH_MAX,
                 feeder_is_done(c->run->feeder) ? 0 : 1);
    assert_int_equal(c->call.status, 200);
    c->n = aws_call_count(&c->call, "Messages");
    for (size_t i = 0; i < c->n; i++) {
        struct event_envelope v;
        snprintf(path, sizeof path, "Messages.%zu.MessageId", i);
        assert_true(aws_call_text(&c->call, path, c->ids[i], sizeof c->ids[i]));
        snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
        assert_true(aws_call_text(&c->call, path, c->handles[i], sizeof c->handles[i]));
        snprintf(path, sizeof path, "Messages.%zu.Body", i);
        assert_true(aws_call_text(&c->call, path, body, sizeof body));
        if (tally_find(&c->deleted, slice_of_string(c->ids[i])))
            fail_msg("message %s came back after its delete had been confirmed: %s", c->ids[i], body);
        assert_int_equal(event_envelope_parse(slice_of_string(body), &v, NULL), 0);
        total_queue_handle_detail(c->run->judge, v.detail.text, json_raw(v.id));
    }
    feeder_allow(c->run->feeder, total_queue_handled(c->run->judge) + BATCH_MAX * 50);
}

static void
send_delete(struct consumer *c)
{
    struct buf body = BUF_INIT;
    buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"Entries\": [", c->url);
    for (size_t i = 0; i < c->n; i++)
        buf_add_format(&body, "%s{\"Id\": \"%zu\", \"ReceiptHandle\": \"%s\"}", i > 0 ? ", " : "", i, c->handles[i]);
    buf_add_string(&body, "]}");
    assert_true(aws_call_begin(&c->call, "sqs", "AmazonSQS.DeleteMessageBatch", buf_slice(&body)));
    buf_clean_up(&body);
}

/* Returns how many were confirmed; without an answer that is none. */
static size_t
read_confirmations(struct consumer *c)
{
    if (aws_call_finish(&c->call) != 200)
        return 0;
    size_t n = aws_call_count(&c->call, "Successful");
    for (size_t i = 0; i < n; i++) {
        char path[80], id[20];
        snprintf(path, sizeof path, "Successful.%zu.Id", i);
        assert_true(aws_call_text(&c->call, path, id, sizeof id));
        size_t k = strtoul(id, NULL, 10);
        assert_true(k < c->n);
        assert_int_equal(tally_note(&c->deleted, TALLY_HANDLED, slice_of_string(c->ids[k])), 0);
    }
    return n;
}

/* While the delete is under way, or as soon as it is confirmed. Everything that is in flight then comes back. */
static void
kill_server_in_a_delete(struct consumer *c)
{
    struct kill_run *r = c->run;
    size_t confirmed;
    send_delete(c);
    if (seeds_draw(&r->random, 2) == 0) {
        usleep((useconds_t)seeds_draw(&r->random, 3000));
        proc_signal(r->system->local, SIGKILL);
        confirmed = read_confirmations(c);
    } else {
        confirmed = read_confirmations(c);
        proc_signal(r->system->local, SIGKILL);
    }
    print_message("killed after %zu of %zu confirmations\n", confirmed, c->n);
    system_kill_local(r->system);
    r->servers++;
    kill_run_pass_visibility(r);
    kill_run_restart_server(r);
    connect_to(c);
}

static void
a_confirmed_delete_outlives_kills_of_the_server(void **state)
{
    struct kill_test *t = *state;
    size_t points[KILLS_MAX] = {0}, killed = 0;
    struct consumer c = {.run = &t->run};
    kill_run_begin(&t->run, t->seed, t->events);
    size_t n = draw_points(t, points);
    connect_to(&c);
    tally_init(&c.deleted);
    aws_call_sqs(&c.call, "GetQueueUrl", "{\"QueueName\": \"" SYSTEM_QUEUE "\"}");
    assert_true(aws_call_text(&c.call, "QueueUrl", c.url, sizeof c.url));
    t->run.feeder = feeder_start(t->run.system->url, t->run.judge, t->events);
    do {
        receive(&c);
        if (c.n == 0)
            continue;
        if (killed < n && total_queue_handled(t->run.judge) > points[killed]) {
            kill_server_in_a_delete(&c);
            killed++;
        } else {
            send_delete(&c);
            assert_int_equal(read_confirmations(&c), c.n);
        }
    } while (c.n > 0 || !feeder_is_done(t->run.feeder));
    assert_int_equal(killed, n);
    kill_run_kill_server(&t->run);
    connect_to(&c);
    kill_run_pass_visibility(&t->run);
    receive(&c);
    assert_int_equal(c.n, 0);
    kill_run_check_queues(&t->run);
    tally_clean_up(&c.deleted);
    aws_call_clean_up(&c.call);
    judge(t, n * BATCH_MAX);
}

/* ---- all of them, for each seed ---------------------------------------------------------------------------------- */

int
main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } KINDS[] = {
#define KIND(f) {#f, f}
        KIND(kills_of_the_server_lose_nothing_and_duplicate_nothing),
        KIND(kills_of_a_worker_lose_nothing_and_duplicate_what_it_had_in_hand_at_most),
        KIND(kills_of_the_supervisor_leave_no_orphan_and_duplicate_nothing),
        KIND(kills_of_all_at_once_lose_nothing_and_duplicate_what_was_in_hand_at_most),
        KIND(a_confirmed_delete_outlives_kills_of_the_server),
    };
    enum { N = sizeof KINDS / sizeof *KINDS };
    struct seeds seeds;
    struct kill_test test = {.events = seeds_events(EVENTS)};
    struct CMUnitTest tests[N];
    char names[N][150];
    int failed = 0;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (failed < FAILED_MAX && seeds_next(&seeds, &test.seed)) {
        for (size_t i = 0; i < N; i++) {
            snprintf(names[i], sizeof names[i], "%s, seed %llu", KINDS[i].name, (unsigned long long)test.seed);
            tests[i] = (struct CMUnitTest){names[i], KINDS[i].run, begin, clean_up, &test};
        }
        failed += cmocka_run_group_tests_name("kill", tests, NULL, NULL);
    }
    return failed > 0;
}
