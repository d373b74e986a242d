/* Order within the groups of a FIFO queue when leases, answers or messages are lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/order_bench.h"

#define MINUTE INT64_C(60000)

/* ---- leases ---- */

static bool refuse;

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_VISIBILITY && entry < 0 && refuse)
        fault->call = true;
}

static int64_t
takes_a_minute_at_first(struct bench *bench, const struct message *m)
{
    const struct sim_message *s = sim_find(&bench->sim, m->view.id);
    return s->handled == 0 && s->place == 0 && s->receives == 1 ? MINUTE : 10;
}

static void
what_stands_behind_a_lost_message_is_not_handled_before_it(void **state)
{
    (void)state;
    order_bench_start(NULL, true);
    refuse = true;
    order_bench.sim.hook = refuse_extensions;
    order_bench.takes = takes_a_minute_at_first;
    order_bench_put(0, 10);
    order_bench_put(1, 1);
    bench_run(&order_bench, 40000);
    assert_true(BENCH_COUNT(&order_bench, lost) > 0);
    refuse = false;
    bench_run(&order_bench, 10 * MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 10);
    bench_clean_up(&order_bench);
}

/* It fails twice; its lease is lost in the pause after the first time. */
static void
one_lost_in_its_pause_has_failed_once(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.retry.max_attempts = 3;
    order_bench_start(&o, true);
    order_bench.sim.has_dead_letters = true;
    refuse = true;
    order_bench.sim.hook = refuse_extensions;
    order_bench_put(0, 1);
    order_bench_let_first_fail(0, 2, HANDLER_RETRY, 30000);
    bench_run(&order_bench, 31000);
    assert_int_equal(BENCH_COUNT(&order_bench, lost), 1);
    refuse = false;
    bench_run(&order_bench, 5 * MINUTE);
    assert_int_equal(order_bench_message(0, 0)->handled, 3);
    assert_int_equal(order_bench_message(0, 0)->dead_letters, 0);
    assert_int_equal(order_bench_deleted_in(0), 1);
    bench_clean_up(&order_bench);
}

/* ---- answers that are lost ---- */

static unsigned answers_lost;

static void
lose_the_first_answer(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry < 0 && answers_lost == 0) {
        answers_lost++;
        fault->call = fault->executed = true;
    }
}

static void
after_a_lost_answer_the_same_messages_come_at_once(void **state)
{
    (void)state;
    bench_init_fifo(&order_bench, 1, NULL);
    answers_lost = 0;
    order_bench.sim.hook = lose_the_first_answer;
    order_bench.sim.visibility_s = 600;
    order_bench_put(0, 5);
    bench_run(&order_bench, 5000);
    assert_int_equal(answers_lost, 1);
    assert_int_equal(order_bench.sim.attempts_repeated, 1);
    assert_int_equal(order_bench_deleted_in(0), 5);
    assert_int_equal(order_bench_message(0, 0)->receives, 1);
    bench_clean_up(&order_bench);
}

static void
lose_all_answers(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry < 0)
        fault->call = fault->executed = true;
}

static void
an_attempt_is_forgotten_before_its_id_has_expired_at_the_queue(void **state)
{
    (void)state;
    bench_init_fifo(&order_bench, 1, NULL);
    order_bench.sim.hook = lose_all_answers;
    order_bench.sim.visibility_s = 60;
    order_bench_put(0, 5);
    bench_run(&order_bench, 6 * MINUTE);
    assert_true(order_bench.sim.attempts_repeated > 0);
    assert_int_equal(order_bench_message(0, 0)->receives, 2); /* under a second id, once the first was too old */
    order_bench.sim.hook = NULL;
    bench_run(&order_bench, 3 * MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 5);
    bench_clean_up(&order_bench);
}

static unsigned damaged;

static void
damage_the_second_message(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry == 1 && damaged > 0) {
        damaged--;
        fault->entry = true;
    }
}

static void
what_came_with_a_damaged_message_is_not_handled_before_it(void **state)
{
    (void)state;
    for (unsigned times = 1; times <= 3; times++) {
        order_bench_start(NULL, true);
        order_bench.sim.hook = damage_the_second_message;
        damaged = times;
        order_bench_put(0, 5);
        bench_run(&order_bench, times == 1 ? 5000 : 2 * MINUTE); /* damaged twice: after its visibility timeout */
        assert_int_equal(order_bench_deleted_in(0), 5);
        bench_clean_up(&order_bench);
    }
}

static int64_t garbled_at_ms;
static bool groupless;

/* Message 1 of group 0 arrives garbled, each time. (The hook is asked right after it was marked as received.) */
static void
garble_one(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call != SIM_RECEIVE || entry < 0 || garbled_at_ms == sim_now_ms() ||
        order_bench_message(0, 1)->received_at_ms != sim_now_ms())
        return;
    garbled_at_ms = sim_now_ms();
    fault->entry = true;
    fault->groupless = groupless;
}

static void
start_with_one_garbled(int groups)
{
    garbled_at_ms = -1;
    order_bench_start(NULL, true);
    order_bench.sim.hook = garble_one;
    order_bench.sim.redrives = true;
    order_bench.sim.max_receive_count = 5;
    order_bench_put(0, 3);
    for (int group = 1; group < groups; group++)
        order_bench_put(group, 1);
}

static void
a_message_that_is_always_garbled_holds_its_own_group_alone(void **state)
{
    (void)state;
    groupless = false;
    start_with_one_garbled(5);
    bench_run(&order_bench, 60 * MINUTE);
    for (int group = 1; group < 5; group++) {
        assert_int_equal(order_bench_message(group, 0)->handled, 1);
        assert_int_equal(order_bench_message(group, 0)->receives, 1);
    }
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_true(order_bench_message(0, 1)->moved);
    assert_int_equal(order_bench_message(0, 1)->handled, 0);
    bench_clean_up(&order_bench);
}

/* Whatever stands behind it may be of its group, and what stands before it is not held up. */
static void
of_an_answer_with_a_garbled_message_without_group_what_stands_before_it_is_handled(void **state)
{
    (void)state;
    groupless = true;
    start_with_one_garbled(1);
    bench_run(&order_bench, 20000);
    assert_true(garbled_at_ms >= 0);
    assert_int_equal(order_bench_message(0, 0)->handled, 1);
    assert_int_equal(order_bench_message(0, 0)->receives, 1);
    assert_int_equal(order_bench_message(0, 2)->receives, 1);
    assert_int_equal(order_bench_message(0, 2)->handled, 0);
    order_bench.sim.hook = NULL;
    bench_run(&order_bench, MINUTE);
    assert_int_equal(order_bench_deleted_in(0), 3);
    bench_clean_up(&order_bench);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_behind_a_lost_message_is_not_handled_before_it),
        cmocka_unit_test(one_lost_in_its_pause_has_failed_once),
        cmocka_unit_test(after_a_lost_answer_the_same_messages_come_at_once),
        cmocka_unit_test(an_attempt_is_forgotten_before_its_id_has_expired_at_the_queue),
        cmocka_unit_test(what_came_with_a_damaged_message_is_not_handled_before_it),
        cmocka_unit_test(a_message_that_is_always_garbled_holds_its_own_group_alone),
        cmocka_unit_test(of_an_answer_with_a_garbled_message_without_group_what_stands_before_it_is_handled),
    };
    return cmocka_run_group_tests_name("worker_order_lost", tests, NULL, NULL);
}
