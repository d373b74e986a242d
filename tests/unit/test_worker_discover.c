/* The dead-letter queue: whose it is, and what becomes of a worker that needs one where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

static void
reject_all(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_REJECT;
}

static struct engine_options
needing(const char *dead_letters)
{
    struct engine_options o = bench_defaults();
    o.needs_dead_letters = "retry.max_attempts";
    o.dead_letters = dead_letters;
    return o;
}

static void
a_queue_without_a_dead_letter_queue_that_is_needed_is_not_received_from(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = needing("");
    bench_init(&b, 1, &o);
    b.sim.has_dead_letters = false;
    bench_put(&b, 10);
    bench_run(&b, HOUR);
    assert_int_equal(b.sim.calls[SIM_RECEIVE], 0);
    assert_int_equal(b.health, IPC_HEALTH_DEAD_LETTERS);
    assert_string_equal(b.health_text,
                        "retry.max_attempts needs a dead-letter queue: give the queue a RedrivePolicy, or "
                        "set dead_letter.qu"); /* the bench keeps no more */
    assert_int_equal(b.health_changes, 1);
    assert_in_range(b.sim.calls[SIM_FIND] + b.sim.calls[SIM_DESCRIBE], 100, 1200);
    bench_clean_up(&b);
}

static void
it_is_as_soon_as_it_has_one(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = needing("");
    bench_init(&b, 1, &o);
    b.sim.has_dead_letters = false;
    b.decide = reject_all;
    bench_put(&b, 10);
    bench_run(&b, HOUR);
    b.sim.has_dead_letters = true;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.health, IPC_HEALTH_OK);
    assert_int_equal(BENCH_COUNT(&b, dead_lettered), 10);
    bench_clean_up(&b);
}

static void
a_worker_that_waits_for_one_ends_at_once_when_it_is_told_to(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = needing("");
    bench_init(&b, 1, &o);
    b.sim.has_dead_letters = false;
    bench_run(&b, MINUTE);
    engine_drain(b.engine, sim_now_ms() + MINUTE, sim_now_ms());
    assert_true(bench_is_over(&b));
    bench_clean_up(&b);
}

static void
where_none_is_needed_the_queue_is_received_from_without(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.has_dead_letters = false;
    bench_put(&b, 10);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.queue.max_receive_count, 0);
    bench_clean_up(&b);
}

static void
one_that_a_queue_gets_later_is_found_when_there_is_a_dead_letter(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.has_dead_letters = false;
    b.decide = reject_all;
    bench_put(&b, 10);
    bench_run(&b, 30 * MINUTE);
    assert_int_equal(BENCH_COUNT(&b, deleted), 0);
    assert_in_range(b.sim.calls[SIM_DESCRIBE], 20, 31);
    b.sim.has_dead_letters = true;
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    assert_int_equal(BENCH_COUNT(&b, dead_lettered), 10);
    unsigned calls = b.sim.calls[SIM_DESCRIBE];
    bench_put(&b, 10);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.calls[SIM_DESCRIBE], calls);
    bench_clean_up(&b);
}

static void
always_retry(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_RETRY;
}

static void
another_max_receive_count_is_learnt_from_the_first_message_that_it_would_have_spared(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.max_receive_count = 2;
    b.decide = always_retry;
    bench_run(&b, 2 * MINUTE);
    b.sim.max_receive_count = 5;
    bench_put(&b, 1);
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    assert_int_equal(b.sim.messages[0].handled, 2);
    bench_put(&b, 1);
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    assert_int_equal(b.sim.messages[1].handled, 5);
    bench_clean_up(&b);
}

/* While the worker runs: what needs one is not received any more, and what is in hand ends well. */
static void
one_that_is_taken_away_is_missed_as_if_there_never_was_one(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = needing("");
    bench_init(&b, 1, &o);
    b.sim.max_receive_count = 1;
    b.decide = always_retry;
    bench_run(&b, 2 * MINUTE);
    b.sim.has_dead_letters = false;
    bench_put(&b, 1);
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_DEAD_LETTERS);
    assert_int_equal(bench_in_hand(&b), 0);
    unsigned receives = b.sim.calls[SIM_RECEIVE];
    bench_run(&b, HOUR);
    assert_int_equal(b.sim.calls[SIM_RECEIVE], receives);
    b.sim.has_dead_letters = true;
    bench_run(&b, MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_OK);
    assert_true(b.sim.calls[SIM_RECEIVE] > receives);
    bench_clean_up(&b);
}

static void
the_configured_dead_letter_queue_takes_the_place_of_the_queues_own(void **state)
{
    (void)state;
    const char *const given[] = {"morgue", "http://sim/morgue"};
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        struct engine_options o = needing(given[i]);
        bench_init(&b, 1, &o);
        b.sim.has_dead_letters = i == 0; /* without a RedrivePolicy, too */
        b.decide = reject_all;
        bench_put(&b, 3);
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        assert_string_equal(b.sim.queue.dead_letter_url, "http://sim/morgue");
        assert_int_equal(b.sim.calls[SIM_FIND], 2 - i);
        assert_int_equal(BENCH_COUNT(&b, dead_lettered), 3);
        bench_clean_up(&b);
    }
}

static void
a_queue_is_not_its_own_dead_letter_queue(void **state)
{
    (void)state;
    const char *const given[] = {"orders", "http://sim/orders"};
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        struct engine_options o = needing(given[i]);
        o.queue = given[1 - i];
        bench_init(&b, 1, &o);
        bench_put(&b, 3);
        bench_run(&b, HOUR);
        assert_int_equal(b.sim.calls[SIM_RECEIVE], 0);
        assert_int_equal(b.health, IPC_HEALTH_DEAD_LETTERS);
        bench_clean_up(&b);
    }
}

/* The queue itself is found, its dead-letter queue is not. */
static void
no_such_dead_letters(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    struct bench *b = context;
    if (call != SIM_FIND || entry >= 0 || !b->sim.queue.url)
        return;
    fault->call = true;
    fault->code = "AccessDenied";
}

static void
one_that_cannot_be_found_is_none(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct bench b;
        struct engine_options o = needing(i == 0 ? "" : "morgue");
        o.queue = "http://sim/orders";
        bench_init(&b, 1, &o);
        b.sim.hook = no_such_dead_letters;
        b.sim.context = &b;
        bench_put(&b, 3);
        bench_run(&b, HOUR);
        assert_int_equal(b.sim.calls[SIM_RECEIVE], 0);
        assert_int_equal(b.health, IPC_HEALTH_DEAD_LETTERS);
        b.sim.hook = NULL;
        assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
        assert_int_equal(b.health, IPC_HEALTH_OK);
        bench_clean_up(&b);
    }
}

static void
describing_is_denied(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call != SIM_DESCRIBE || entry >= 0)
        return;
    fault->call = true;
    fault->code = "AccessDenied";
}

static void
one_given_by_its_url_needs_no_permission_to_read_about_queues(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = needing("http://sim/morgue");
    bench_init(&b, 1, &o);
    b.sim.hook = describing_is_denied;
    b.decide = reject_all;
    bench_put(&b, 3);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(BENCH_COUNT(&b, dead_lettered), 3);
    bench_clean_up(&b);
}

static void
the_queues_own_is_not_known_without_it(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = needing("");
    bench_init(&b, 1, &o);
    b.sim.hook = describing_is_denied;
    bench_run(&b, HOUR);
    assert_int_equal(b.sim.calls[SIM_RECEIVE], 0);
    assert_int_equal(b.health, IPC_HEALTH_DEAD_LETTERS);
    assert_non_null(strstr(b.health_text, "allow sqs:GetQueueAttributes"));
    bench_clean_up(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_without_a_dead_letter_queue_that_is_needed_is_not_received_from),
        cmocka_unit_test(it_is_as_soon_as_it_has_one),
        cmocka_unit_test(a_worker_that_waits_for_one_ends_at_once_when_it_is_told_to),
        cmocka_unit_test(where_none_is_needed_the_queue_is_received_from_without),
        cmocka_unit_test(one_that_a_queue_gets_later_is_found_when_there_is_a_dead_letter),
        cmocka_unit_test(another_max_receive_count_is_learnt_from_the_first_message_that_it_would_have_spared),
        cmocka_unit_test(one_that_is_taken_away_is_missed_as_if_there_never_was_one),
        cmocka_unit_test(the_configured_dead_letter_queue_takes_the_place_of_the_queues_own),
        cmocka_unit_test(a_queue_is_not_its_own_dead_letter_queue),
        cmocka_unit_test(one_that_cannot_be_found_is_none),
        cmocka_unit_test(one_given_by_its_url_needs_no_permission_to_read_about_queues),
        cmocka_unit_test(the_queues_own_is_not_known_without_it),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("worker_discover", tests, NULL, NULL);
}
