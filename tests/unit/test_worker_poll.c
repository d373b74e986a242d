/* How often the worker asks its queue for messages, and for how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"

#define MINUTE INT64_C(60000)

static void
an_idle_consumer_polls_three_times_a_minute(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    bench_run(&b, 10 * MINUTE);
    assert_in_range(b.sim.calls[SIM_RECEIVE], 28, 32);
    assert_int_equal(b.sim.receiving, 1);
    bench_clean_up(&b);
}

static void
polls_multiply_while_they_come_back_full_and_calm_down_afterwards(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.takes = NULL;
    bench_put(&b, 2000);
    size_t most = 0;
    while (!bench_all_deleted(&b)) {
        bench_run(&b, 1);
        most = b.sim.receiving > most ? b.sim.receiving : most;
    }
    assert_in_range(most, 4, 8);
    bench_run(&b, 2 * MINUTE);
    unsigned calls = b.sim.calls[SIM_RECEIVE];
    bench_run(&b, 10 * MINUTE);
    assert_in_range(b.sim.calls[SIM_RECEIVE] - calls, 28, 32);
    bench_clean_up(&b);
}

static void
never_more_is_in_hand_than_handlers_can_start(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 3;
    bench_init(&b, 1, &o);
    b.longest_ms = 100000;
    bench_put(&b, 500);
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(engine_cap(b.engine), BENCH_THREADS * 3 * 2);
    assert_int_equal(b.most_in_hand, engine_cap(b.engine));
    bench_clean_up(&b);
}

static void
a_small_cap_is_not_filled_one_message_a_request(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    bench_init(&b, 1, &o);
    b.longest_ms = 2000;
    bench_put(&b, 400);
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    assert_true(b.sim.calls[SIM_RECEIVE] <= 400 / 2 + 30);
    bench_clean_up(&b);
}

static void
large_messages_are_asked_for_a_few_at_a_time(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.takes = NULL;
    char *body = malloc((1 << 20) + 1);
    memset(body, 'x', 1 << 20);
    body[1 << 20] = '\0';
    for (int i = 0; i < 50; i++)
        sim_put(&b.sim, body);
    free(body);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_true(BENCH_COUNT(&b, polls) - BENCH_COUNT(&b, empty_polls) >= 1 + 40 / 4); /* the first could not know */

    bench_put(&b, 200); /* small ones: soon ten at a time again */
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    long polls = BENCH_COUNT(&b, polls) - BENCH_COUNT(&b, empty_polls);
    bench_put(&b, 200);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_true(BENCH_COUNT(&b, polls) - BENCH_COUNT(&b, empty_polls) - polls <= 200 / 10 + 5);
    bench_clean_up(&b);
}

static int64_t
first_takes_an_hour(struct bench *b, const struct message *m)
{
    (void)b;
    return strcmp(m->view.id, "m-0") == 0 ? 60 * MINUTE : 1;
}

static bool
all_but_one_deleted(struct bench *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->sim.n_messages; i++)
        n += b->sim.messages[i].deleted;
    return n + 1 >= b->sim.n_messages;
}

static void
one_slow_message_does_not_stop_the_others(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    o.prefetch = 0;
    bench_init(&b, 1, &o);
    b.takes = first_takes_an_hour;
    bench_put(&b, 200);
    assert_true(bench_run_until(&b, all_but_one_deleted, MINUTE));
    bench_clean_up(&b);
}

static void
an_outage_costs_a_few_calls_a_minute_and_ends_by_itself(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    bench_run(&b, MINUTE);
    bench_put(&b, 100);
    b.sim.fail_calls = 1000;
    unsigned calls = b.sim.calls[SIM_RECEIVE];
    bench_run(&b, 30 * MINUTE);
    assert_in_range(b.sim.calls[SIM_RECEIVE] - calls, 30, 200);
    assert_int_equal(b.health, IPC_HEALTH_QUEUE);
    b.sim.fail_calls = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.health, IPC_HEALTH_OK);
    bench_clean_up(&b);
}

static void
every_poll_of_a_busy_worker_failing_is_one_failure(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.longest_ms = 50;
    bench_put(&b, 3000);
    bench_run(&b, 2000);
    b.sim.fail_calls = 1000;
    bench_run(&b, 1000);
    b.sim.fail_calls = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    bench_clean_up(&b);
}

static void
empty_answers_that_do_not_wait_make_no_hot_loop(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.wait_time_s = 0;
    bench_init(&b, 1, &o);
    bench_run(&b, 10 * MINUTE);
    assert_in_range(b.sim.calls[SIM_RECEIVE], 100, 1000);
    bench_put(&b, 100);
    assert_true(bench_run_until(&b, bench_all_deleted, 10000));
    bench_clean_up(&b);
}

static void
garble_the_first_of_each_answer(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    bool *over = context;
    fault->entry = call == SIM_RECEIVE && entry == 0 && !*over;
}

/* Left to the queue, whose visibility timeout brings it again; nothing but that spaces the receives out. */
static void
a_message_that_arrives_garbled_is_left_to_the_queue_and_the_others_are_handled(void **state)
{
    (void)state;
    struct bench b;
    bool over = false;
    bench_init(&b, 1, NULL);
    b.sim.hook = garble_the_first_of_each_answer;
    b.sim.context = &over;
    bench_put(&b, 5);
    bench_run(&b, 10 * 60000);
    assert_true(BENCH_COUNT(&b, garbled) >= 5);
    assert_int_equal(BENCH_COUNT(&b, deleted), 4); /* one is the first of its answer each time */
    assert_in_range(b.sim.calls[SIM_RECEIVE], 20, 120);
    over = true;
    assert_true(bench_run_until(&b, bench_all_deleted, 60000));
    assert_int_equal(BENCH_COUNT(&b, deleted), 5);
    bench_clean_up(&b);
}

static void
asks_for_the_visibility_timeout_it_counts_with(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.visibility_timeout_s = 7;
    bench_init(&b, 1, &o);
    b.longest_ms = 1;
    bench_run(&b, 1000);
    bench_put(&b, 1);
    int64_t put_ms = sim_now_ms();
    while (b.sim.messages[0].receives == 0)
        bench_run(&b, 1);
    assert_in_range(b.sim.messages[0].visible_at_ms, put_ms + 7000, put_ms + 7200);
    bench_clean_up(&b);
}

/* ---- what is known of the queue ---- */

static void
fail_describe(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const char *code = context;
    if (call == SIM_DESCRIBE && entry < 0) {
        fault->call = true;
        fault->code = code;
    }
}

static void
waits_for_a_queue_that_is_not_there_yet(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.fail_calls = 1000;
    bench_put(&b, 10);
    bench_run(&b, 10 * MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_QUEUE);
    assert_int_equal(b.sim.calls[SIM_RECEIVE], 0);
    assert_in_range(b.sim.calls[SIM_FIND] + b.sim.calls[SIM_DESCRIBE], 30, 200);
    b.sim.fail_calls = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.health, IPC_HEALTH_OK);
    bench_clean_up(&b);
}

static void
works_without_the_right_to_read_the_queues_attributes(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.hook = fail_describe;
    b.sim.context = "AccessDenied";
    bench_put(&b, 10);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_null(b.sim.queue.dead_letter_url);
    bench_clean_up(&b);
}

static void
no_queue_any_more(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (entry < 0 && (call == SIM_RECEIVE || call == SIM_FIND)) {
        fault->call = true;
        fault->code = "AWS.SimpleQueueService.NonExistentQueue";
    }
}

static void
a_queue_that_was_deleted_and_made_again_is_found_with_its_new_attributes(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    bench_run(&b, MINUTE);
    b.sim.hook = no_queue_any_more;
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_QUEUE);
    b.sim.hook = NULL;
    b.sim.visibility_s = 90;
    b.longest_ms = 1;
    bench_run(&b, MINUTE);
    bench_put(&b, 1);
    int64_t put_ms = sim_now_ms();
    while (b.sim.messages[0].receives == 0)
        bench_run(&b, 1);
    assert_in_range(b.sim.messages[0].visible_at_ms, put_ms + 90000, put_ms + 90200);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    bench_clean_up(&b);
}

static void
a_queue_may_be_given_by_its_url(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.queue = "http://sim/orders";
    bench_init(&b, 1, &o);
    bench_put(&b, 10);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.calls[SIM_FIND], 1); /* of the dead-letter queue */
    bench_clean_up(&b);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_consumer_polls_three_times_a_minute),
        cmocka_unit_test(polls_multiply_while_they_come_back_full_and_calm_down_afterwards),
        cmocka_unit_test(never_more_is_in_hand_than_handlers_can_start),
        cmocka_unit_test(a_small_cap_is_not_filled_one_message_a_request),
        cmocka_unit_test(large_messages_are_asked_for_a_few_at_a_time),
        cmocka_unit_test(one_slow_message_does_not_stop_the_others),
        cmocka_unit_test(an_outage_costs_a_few_calls_a_minute_and_ends_by_itself),
        cmocka_unit_test(every_poll_of_a_busy_worker_failing_is_one_failure),
        cmocka_unit_test(empty_answers_that_do_not_wait_make_no_hot_loop),
        cmocka_unit_test(a_message_that_arrives_garbled_is_left_to_the_queue_and_the_others_are_handled),
        cmocka_unit_test(asks_for_the_visibility_timeout_it_counts_with),
        cmocka_unit_test(waits_for_a_queue_that_is_not_there_yet),
        cmocka_unit_test(works_without_the_right_to_read_the_queues_attributes),
        cmocka_unit_test(a_queue_that_was_deleted_and_made_again_is_found_with_its_new_attributes),
        cmocka_unit_test(a_queue_may_be_given_by_its_url),
    };
    return cmocka_run_group_tests_name("worker_poll", tests, NULL, NULL);
}
