/* Failures: how long they wait, how many there may be, what follows, and which receives are no attempts. */
#include "worker/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"
#include "lib/conf_text.h"
#include "worker/dedup_store.h"
#include "worker/engine_impl.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* ---- delays ---- */

/* The policy of a consumer with these members of its group retry. */
static struct retry_policy
policy_of(const char *retry)
{
    char text[400];
    struct retry_policy p;
    snprintf(text, sizeof text, "consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\"; retry = { %s }; } );",
             retry);
    struct conf *c = conf_text_read(text);
    retry_read_policy(&c->consumers[0], &p);
    conf_destroy(c);
    return p;
}

static void
ceilings_grow_as_the_policy_says(void **state)
{
    (void)state;
    const struct {
        const char *retry;
        int64_t ceilings_ms[8]; /* after the first failure, the second, ... */
    } cases[] = {
        {"", {1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000}},
        {"base_ms = 3; cap_ms = 40;", {3, 6, 12, 24, 40, 40, 40, 40}},
        {"base_ms = 7; cap_ms = 7;", {7, 7, 7, 7, 7, 7, 7, 7}},
        {"policy = \"linear\";", {1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000}},
        {"policy = \"linear\"; base_ms = 3; cap_ms = 10;", {3, 6, 9, 10, 10, 10, 10, 10}},
        {"policy = \"list\"; delays_ms = \"500, 60000,1\";", {500, 60000, 1, 1, 1, 1, 1, 1}},
        {"policy = \"list\"; delays_ms = \"43200000\";",
         {43200000, 43200000, 43200000, 43200000, 43200000, 43200000, 43200000, 43200000}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct retry_policy p = policy_of(cases[i].retry);
        for (uint32_t n = 1; n <= 8; n++)
            assert_int_equal(retry_ceiling_ms(&p, n), cases[i].ceilings_ms[n - 1]);
        assert_int_equal(retry_ceiling_ms(&p, 0), cases[i].ceilings_ms[0]);
    }
}

static void
no_attempt_is_too_high_for_a_ceiling(void **state)
{
    (void)state;
    const char *const policies[] = {"base_ms = 1; cap_ms = 43200000;",
                                    "policy = \"linear\"; base_ms = 1; cap_ms = 43200000;"};
    for (size_t i = 0; i < 2; i++) {
        struct retry_policy p = policy_of(policies[i]);
        int64_t before_ms = 0;
        for (uint64_t n = 1; n <= UINT32_MAX; n += n < 100 ? 1 : n) {
            int64_t ceiling_ms = retry_ceiling_ms(&p, (uint32_t)n);
            assert_in_range(ceiling_ms, before_ms, 43200000);
            before_ms = ceiling_ms;
        }
        assert_int_equal(retry_ceiling_ms(&p, UINT32_MAX), 43200000);
    }
}

static void
delays_are_drawn_evenly_below_the_ceiling(void **state)
{
    (void)state;
    const char *const policies[] = {"base_ms = 400;", "policy = \"linear\"; base_ms = 400;",
                                    "policy = \"list\"; delays_ms = \"400\";"};
    for (size_t i = 0; i < 3; i++) {
        struct retry_policy p = policy_of(policies[i]);
        uint64_t random = 7;
        unsigned quarters[4] = {0};
        for (int n = 0; n < 40000; n++) {
            int64_t delay_ms = retry_delay_ms(&p, 1, -1, &random);
            assert_in_range(delay_ms, 1, 400);
            quarters[(delay_ms - 1) / 100]++;
        }
        for (size_t q = 0; q < 4; q++)
            assert_in_range(quarters[q], 9500, 10500);
    }
}

static void
the_handlers_own_delay_wins(void **state)
{
    (void)state;
    struct retry_policy p = policy_of("");
    uint64_t random = 7;
    assert_int_equal(retry_delay_ms(&p, 1, 0, &random), 0);
    assert_int_equal(retry_delay_ms(&p, 1, 1, &random), 1);
    assert_int_equal(retry_delay_ms(&p, 1, 43200000, &random), 43200000);
    assert_int_equal(retry_delay_ms(&p, 9, 1000, &random), 1000);
    assert_int_equal(retry_delay_ms(&p, 9, 5000, &random), 5000);
}

static void
no_delay_at_all_is_granted_once(void **state)
{
    (void)state;
    struct retry_policy p = policy_of("");
    uint64_t random = 7;
    assert_int_equal(retry_delay_ms(&p, 1, 0, &random), 0);
    for (uint32_t attempts = 2; attempts < 10; attempts++)
        for (int64_t asked_ms = 0; asked_ms < RETRY_SOONEST_MS; asked_ms += 333)
            assert_int_equal(retry_delay_ms(&p, attempts, asked_ms, &random), RETRY_SOONEST_MS);
}

static void
lists_of_delays_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    int64_t ms[CONF_DELAYS_MAX];
    assert_int_equal(conf_read_delays("1", ms), 1);
    assert_int_equal(conf_read_delays(" 10 ,\t20,\n30 ", ms), 3);
    assert_int_equal(ms[0], 10);
    assert_int_equal(ms[2], 30);
    const char *const wrong[] = {"",    " ",  ",",   "1,",  ",1",  "1,,2",     "1 2",
                                 "0",   "-1", "+1",  "1.5", "1s",  "43200001", "99999999999999999999",
                                 "0x1", "a",  "1;2", "1,a", "1, 0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (conf_read_delays(wrong[i], ms) != 0)
            fail_msg("\"%s\" was read as delays", wrong[i]);
    char text[3 * (CONF_DELAYS_MAX + 1)] = "1";
    for (size_t n = 1; n < CONF_DELAYS_MAX; n++)
        strcat(text, ",1");
    assert_int_equal(conf_read_delays(text, ms), CONF_DELAYS_MAX);
    strcat(text, ",1");
    assert_int_equal(conf_read_delays(text, ms), 0);
}

/* ---- when it is enough ---- */

static void
it_is_enough_at_the_policys_attempts_or_at_the_queues_receives(void **state)
{
    (void)state;
    struct retry_policy p = {.max_attempts = 3};
    assert_int_equal(retry_judge(&p, 2, 9, 10), RETRY_AGAIN);
    assert_int_equal(retry_judge(&p, 3, 3, 10), RETRY_NO_ATTEMPTS);
    assert_int_equal(retry_judge(&p, 4, 10, 10), RETRY_NO_ATTEMPTS);
    assert_int_equal(retry_judge(&p, 1, 10, 10), RETRY_NO_RECEIVES);
    assert_int_equal(retry_judge(&p, 1, 11, 10), RETRY_NO_RECEIVES);
    assert_int_equal(retry_judge(&p, 2, 1000, 0), RETRY_AGAIN); /* no RedrivePolicy */
    p.max_attempts = 0;
    assert_int_equal(retry_judge(&p, 1000, 9, 10), RETRY_AGAIN);
    assert_int_equal(retry_judge(&p, 1000, 1000, 0), RETRY_AGAIN);
    p = (struct retry_policy){.max_attempts = 3, .leave = true};
    assert_int_equal(retry_judge(&p, 2, 2, 10), RETRY_AGAIN);
    assert_int_equal(retry_judge(&p, 3, 3, 10), RETRY_LEAVE);
    assert_int_equal(retry_judge(&p, 1, 10, 10), RETRY_LEAVE);
}

/* ---- attempts ---- */

static void
receives_that_were_no_attempts_are_taken_off(void **state)
{
    (void)state;
    struct attempts a;
    struct err e;
    assert_int_equal(attempts_init(&a, 100, &e), 0);
    assert_int_equal(attempts_of(&a, 1, 5, 0), 5);
    attempts_note_unused(&a, 1);
    attempts_note_unused(&a, 1);
    assert_int_equal(attempts_of(&a, 1, 5, 0), 3);
    assert_int_equal(attempts_of(&a, 1, 5, 4), 7);
    assert_int_equal(attempts_of(&a, 1, 1, 0), 1); /* at least this one */
    assert_int_equal(attempts_of(&a, 2, 5, 0), 5);
    attempts_note_failed_here(&a, 1, 6); /* in a receive before this one */
    assert_int_equal(attempts_of(&a, 1, 5, 4), 13);
    attempts_note_failed_here(&a, 1, UINT32_MAX);
    assert_int_equal(attempts_of(&a, 1, 5, 0), 3 + UINT16_MAX); /* counted no further */
    attempts_forget(&a, 1);
    attempts_forget(&a, 1);
    assert_int_equal(attempts_of(&a, 1, 5, 0), 5);
    assert_int_equal(a.count, 0);
    attempts_clean_up(&a);
}

static void
what_is_left_to_the_queue_is_said_once(void **state)
{
    (void)state;
    struct attempts a;
    struct err e;
    assert_int_equal(attempts_init(&a, 100, &e), 0);
    assert_false(attempts_note_left(&a, 7));
    assert_true(attempts_note_left(&a, 7));
    assert_false(attempts_note_left(&a, 8));
    assert_int_equal(attempts_of(&a, 7, 5, 0), 5);
    attempts_clean_up(&a);
}

static void
a_full_table_forgets_what_was_noted_longest_ago(void **state)
{
    (void)state;
    struct attempts a;
    struct err e;
    assert_int_equal(attempts_init(&a, 1000, &e), 0);
    for (uint64_t i = 1; i <= 100000; i++) {
        attempts_note_unused(&a, i * UINT64_C(0x9e3779b97f4a7c15) >> 3);
        attempts_note_unused(&a, 42); /* often, so never the oldest */
        assert_true(a.count <= 1024);
    }
    assert_int_equal(attempts_of(&a, 42, 70000, 0), 70000 - UINT16_MAX); /* counted no further */
    unsigned known = 0;
    for (uint64_t i = 100000 - 499; i <= 100000; i++)
        known += attempts_of(&a, i * UINT64_C(0x9e3779b97f4a7c15) >> 3, 9, 0) == 8;
    assert_in_range(known, 480, 500);
    attempts_clean_up(&a);
}

/* ---- in the engine ---- */

static void
always_retry(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)s;
    m->verdict.kind = HANDLER_RETRY;
    m->verdict.delay_ms = b->context ? *(const int64_t *)b->context : -1;
    m->verdict.reason = message_copy_reason("the disk is full");
}

static struct engine_options
with_attempts(uint32_t max_attempts, bool leave)
{
    struct engine_options o = bench_defaults();
    o.retry.max_attempts = max_attempts;
    o.retry.leave = leave;
    return o;
}

static void
a_message_that_failed_often_enough_is_a_dead_letter_with_its_last_reason(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(3, false);
    bench_init(&b, 1, &o);
    b.decide = always_retry;
    bench_put(&b, 5);
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    for (size_t i = 0; i < 5; i++) {
        const struct sim_message *m = &b.sim.messages[i];
        assert_int_equal(m->handled, 3);
        assert_int_equal(m->receives, 3);
        assert_int_equal(m->dead_letters, 1);
        assert_string_equal(m->dead_kind, "attempts");
        assert_string_equal(m->dead_attempts, "3");
        assert_true(strncmp(m->dead_reason, "failed 3 times, as often as retry.max_attempts allows", 50) == 0);
    }
    assert_int_equal(BENCH_COUNT(&b, exhausted), 5);
    assert_int_equal(BENCH_COUNT(&b, retried), 10);
    assert_int_equal(BENCH_COUNT(&b, rejected), 0);
    assert_int_equal(BENCH_COUNT(&b, dead_lettered), 5);
    bench_clean_up(&b);
}

static void
the_last_receive_that_the_queue_allows_ends_in_a_dead_letter_with_its_reason(void **state)
{
    (void)state;
    for (int max = 1; max <= 4; max++) {
        struct bench b;
        bench_init(&b, (uint64_t)max, NULL);
        b.sim.max_receive_count = max;
        b.sim.redrives = true;
        b.decide = always_retry;
        bench_put(&b, 20);
        assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
        for (size_t i = 0; i < 20; i++) {
            const struct sim_message *m = &b.sim.messages[i];
            assert_false(m->moved);
            assert_int_equal(m->handled, max);
            assert_string_equal(m->dead_kind, "receives");
        }
        bench_clean_up(&b);
    }
}

static void
what_is_left_to_the_queue_is_retried_until_the_queue_takes_it(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(3, true);
    bench_init(&b, 1, &o);
    b.sim.redrives = true;
    b.decide = always_retry;
    bench_put(&b, 5);
    assert_true(bench_run_until(&b, bench_all_deleted, 2 * HOUR));
    for (size_t i = 0; i < 5; i++) {
        assert_true(b.sim.messages[i].moved);
        assert_int_equal(b.sim.messages[i].handled, 10);
        assert_int_equal(b.sim.messages[i].dead_letters, 0);
    }
    assert_int_equal(b.sim.calls[SIM_DELETE], 0);
    assert_int_equal(BENCH_COUNT(&b, exhausted), 5);
    assert_int_equal(BENCH_COUNT(&b, left_to_queue), 5 * 8); /* the third failure to the tenth */
    assert_int_equal(BENCH_COUNT(&b, retried), 50);
    bench_clean_up(&b);
}

/* Tried again under its lease it would never be received so often. */
static void
what_is_left_to_a_fifo_queue_is_taken_by_it_too(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(2, true);
    o.retry.base_ms = o.retry.cap_ms = 1000; /* short enough to be waited for here */
    bench_init_fifo(&b, 1, &o);
    b.sim.redrives = true;
    b.sim.max_receive_count = 4;
    b.decide = always_retry;
    sim_put_in_group(&b.sim, 0, "body");
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    assert_true(b.sim.messages[0].moved);
    assert_int_equal(b.sim.messages[0].dead_letters, 0);
    bench_clean_up(&b);
}

static void
without_a_dead_letter_queue_nothing_is_deleted_however_often_it_fails(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(2, false);
    bench_init(&b, 1, &o);
    b.sim.has_dead_letters = false;
    b.decide = always_retry;
    bench_put(&b, 3);
    bench_run(&b, DAY);
    for (size_t i = 0; i < 3; i++) {
        assert_false(b.sim.messages[i].deleted);
        assert_true(b.sim.messages[i].handled > 100);
    }
    assert_int_equal(b.sim.calls[SIM_DELETE], 0);
    bench_clean_up(&b);
}

/* Delay 0 over and over is no hot loop: what one message costs is bounded. */
static void
a_handler_that_always_wants_its_message_at_once_costs_a_few_requests_a_second(void **state)
{
    (void)state;
    int64_t delay_ms = 0;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.has_dead_letters = false;
    b.decide = always_retry;
    b.context = &delay_ms;
    bench_put(&b, 1);
    bench_run(&b, 2000);
    assert_true(b.sim.messages[0].handled >= 2); /* the first time it is at once */
    unsigned receives = b.sim.calls[SIM_RECEIVE], changes = b.sim.calls[SIM_VISIBILITY];
    unsigned handled = b.sim.messages[0].handled;
    bench_run(&b, 10 * MINUTE);
    assert_in_range(b.sim.messages[0].handled - handled, 500, 600);
    assert_true(b.sim.calls[SIM_RECEIVE] - receives <= 1300);
    assert_true(b.sim.calls[SIM_VISIBILITY] - changes <= 600);

    bench_put(&b, 99); /* and a hundred of them share requests */
    bench_run(&b, 5000);
    receives = b.sim.calls[SIM_RECEIVE];
    changes = b.sim.calls[SIM_VISIBILITY];
    bench_run(&b, MINUTE);
    assert_true(b.sim.calls[SIM_RECEIVE] - receives <= 60 * 60);
    assert_true(b.sim.calls[SIM_VISIBILITY] - changes <= 60 * 100);
    bench_clean_up(&b);
}

static int64_t
takes_twenty_seconds(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 20000;
}

static int64_t
takes_longer_than_its_lease(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 31000;
}

static void
no_extension(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const bool *outage = context;
    fault->call |= *outage && call == SIM_VISIBILITY && entry < 0;
}

/* An outage in which leases end before the handlers do, or before they begin. */
static void
losing_a_message_that_no_handler_saw_is_no_attempt(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(2, false);
    bool outage = true;
    o.batch_size = 1;
    o.prefetch = 4;
    bench_init(&b, 1, &o);
    b.sim.max_receive_count = 1000;
    b.sim.hook = no_extension;
    b.sim.context = &outage;
    b.decide = always_retry;
    b.takes = takes_longer_than_its_lease;
    bench_put(&b, 20);
    bench_run(&b, 10 * MINUTE);
    outage = false;
    b.takes = NULL;
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    unsigned most = 0;
    for (size_t i = 0; i < 20; i++) {
        const struct sim_message *m = &b.sim.messages[i];
        if (m->handled < 2 || strtoul(m->dead_attempts, NULL, 10) != m->handled)
            fail_msg("%s: \"%s\" attempts, handled %u times, received %u times", m->id, m->dead_attempts, m->handled,
                     m->receives);
        most = m->receives - m->handled > most ? m->receives - m->handled : most;
    }
    assert_true(most >= 3); /* or nothing was tested */
    bench_clean_up(&b);
}

static void
a_message_received_twice_and_handled_once_has_one_attempt(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(2, false);
    bench_init(&b, 1, &o);
    b.sim.duplicates = 1000;
    b.decide = always_retry;
    b.takes = takes_twenty_seconds;
    bench_put(&b, 1);
    while (b.sim.messages[0].receives < 3)
        bench_run(&b, 1);
    b.sim.duplicates = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    assert_int_equal(b.sim.messages[0].handled, 2);
    assert_string_equal(b.sim.messages[0].dead_attempts, "2");
    bench_clean_up(&b);
}

/* The table has room for what will come again. */
static void
what_is_deleted_unhandled_is_not_remembered(void **state)
{
    (void)state;
    struct bench b;
    struct err e;
    struct engine_options o = bench_defaults();
    assert_int_equal(dedup_memory_new(1000, &o.dedup.store, &e), 0);
    o.dedup.window_ms = HOUR;
    o.dedup.by_body = true;
    bench_init(&b, 1, &o);
    bench_put(&b, 100); /* of one body */
    bench_run(&b, MINUTE);
    assert_true(bench_all_deleted(&b));
    assert_true(BENCH_COUNT(&b, duplicates) > 0);
    assert_int_equal(b.engine->attempts.count, 0);
    bench_clean_up(&b);
}

/* A handler that is told to stop breaks off with a retry: that is not its message's fault. */
static void
a_failure_during_the_drain_is_given_back_however_often_it_failed(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = with_attempts(1, false);
    bench_init(&b, 1, &o);
    b.decide = always_retry;
    b.takes = takes_twenty_seconds;
    bench_put(&b, 1);
    while (!b.threads[0].batch)
        bench_run(&b, 1);
    engine_drain(b.engine, sim_now_ms() + MINUTE, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, MINUTE));
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(b.sim.messages[0].dead_letters, 0);
    assert_false(b.sim.messages[0].deleted);
    bench_clean_up(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ceilings_grow_as_the_policy_says),
        cmocka_unit_test(no_attempt_is_too_high_for_a_ceiling),
        cmocka_unit_test(delays_are_drawn_evenly_below_the_ceiling),
        cmocka_unit_test(the_handlers_own_delay_wins),
        cmocka_unit_test(no_delay_at_all_is_granted_once),
        cmocka_unit_test(lists_of_delays_are_read_whole_or_not_at_all),
        cmocka_unit_test(it_is_enough_at_the_policys_attempts_or_at_the_queues_receives),
        cmocka_unit_test(receives_that_were_no_attempts_are_taken_off),
        cmocka_unit_test(what_is_left_to_the_queue_is_said_once),
        cmocka_unit_test(a_full_table_forgets_what_was_noted_longest_ago),
        cmocka_unit_test(a_message_that_failed_often_enough_is_a_dead_letter_with_its_last_reason),
        cmocka_unit_test(the_last_receive_that_the_queue_allows_ends_in_a_dead_letter_with_its_reason),
        cmocka_unit_test(what_is_left_to_the_queue_is_retried_until_the_queue_takes_it),
        cmocka_unit_test(what_is_left_to_a_fifo_queue_is_taken_by_it_too),
        cmocka_unit_test(without_a_dead_letter_queue_nothing_is_deleted_however_often_it_fails),
        cmocka_unit_test(a_handler_that_always_wants_its_message_at_once_costs_a_few_requests_a_second),
        cmocka_unit_test(losing_a_message_that_no_handler_saw_is_no_attempt),
        cmocka_unit_test(a_message_received_twice_and_handled_once_has_one_attempt),
        cmocka_unit_test(what_is_deleted_unhandled_is_not_remembered),
        cmocka_unit_test(a_failure_during_the_drain_is_given_back_however_often_it_failed),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("worker_retry", tests, NULL, NULL);
}
