/* order.c by itself: whose turn it is, in cases that a whole engine comes to only now and then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sim.h"
#include "worker/batch.h"
#include "worker/order.h"

static struct timers timers;
static struct slice group;
static struct order order;
static struct batch out, another; /* handed out; and being filled */

static int
set_up(void **state)
{
    struct err e;
    (void)state;
    group = SLICE("g");
    timers_init(&timers);
    assert_int_equal(order_init(&order, true, false, 100, &timers, &e), 0);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    order_clean_up(&order);
    timers_clean_up(&timers);
    return 0;
}

static struct message *
make(const char *id, const char *sequence)
{
    struct sqs_message r = sim_sqs_message(id, "handle", "{}", 1);
    r.group = group;
    r.sequence_number = slice_of_string(sequence);
    struct message *m = message_new(&r, "q.fifo", 0, 0);
    assert_non_null(m);
    return m;
}

static bool
arrive(struct message *m)
{
    if (!order_arrive(&order, m))
        return false;
    m->state = MESSAGE_KEPT;
    return true;
}

/* The one whose turn it is; NULL: nobody's. */
static struct message *
pass(void)
{
    struct message *m;
    if (order_next(&order, NULL, 1000, &m) != ORDER_STEP_PASS)
        return NULL;
    m->state = MESSAGE_QUEUED;
    return m;
}

/* m goes into a batch that is handed out. */
static void
hand_out(struct message *m)
{
    assert_true(order_may_join(&order, m, NULL));
    order_join(&order, m, NULL);
    m->batch = &out;
}

static void
settle(struct message *m, enum message_state state)
{
    m->state = state;
    order_settling(&order, m, false);
}

static void
drop(struct message *m)
{
    order_leave(&order, m);
    m->batch = NULL;
    message_release(m);
}

static void
a_message_that_comes_late_stands_before_those_that_were_sent_after_it(void **state)
{
    (void)state;
    struct message *third = make("c", "340282366920938463463374607431768211455"), *second = make("b", "10"),
                   *first = make("a", "00000000000000000009");
    assert_true(arrive(third) && arrive(second) && arrive(first));
    struct message *const turns[] = {first, second, third};
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(pass(), turns[i]);
        assert_null(pass());
        hand_out(turns[i]);
        assert_null(pass());
        assert_int_equal(order_decide(&order, turns[i]), ORDER_GO_ON);
        settle(turns[i], MESSAGE_DONE);
    }
    for (size_t i = 0; i < 3; i++)
        drop(turns[i]);
}

static void
one_that_comes_late_waits_for_what_is_being_handled_and_that_is_handled_again_after_it(void **state)
{
    (void)state;
    struct message *second = make("b", "2"), *first = make("a", "1");
    assert_true(arrive(second));
    assert_ptr_equal(pass(), second);
    hand_out(second);
    assert_true(arrive(first));
    assert_null(pass());
    assert_int_equal(order_decide(&order, second), ORDER_DROP);
    second->batch = NULL;
    order_again(&order, second, true);
    assert_true(arrive(second));
    assert_ptr_equal(pass(), first);
    hand_out(first);
    settle(first, MESSAGE_DONE);
    assert_ptr_equal(pass(), second);
    drop(first);
    drop(second);
}

static void
what_comes_behind_one_that_is_being_given_back_is_given_back(void **state)
{
    (void)state;
    struct message *first = make("a", "1"), *second = make("b", "2");
    assert_true(arrive(first));
    assert_ptr_equal(pass(), first);
    settle(first, MESSAGE_RETRY);
    assert_false(arrive(second));
    drop(first);
    drop(second);
}

/* Both are in hand, and the first one's lease is over while it is being handled. */
static void
lose_the_first_of_two(struct message **ret_first, struct message **ret_second)
{
    struct message *first = make("a", "1"), *second = make("b", "2");
    assert_true(arrive(first) && arrive(second));
    assert_ptr_equal(pass(), first);
    hand_out(first);
    atomic_store(&first->lost, true);
    order_lost(&order, first);
    *ret_first = first;
    *ret_second = second;
}

static void
one_that_is_received_again_keeps_those_behind_it(void **state)
{
    (void)state;
    struct message *first, *second, *m;
    lose_the_first_of_two(&first, &second);
    assert_true(second->order.given_back);
    atomic_store(&first->lost, false);
    order_received_again(&order, first);
    assert_int_equal(order_next(&order, NULL, 1000, &m), ORDER_STEP_NONE);
    assert_int_equal(order_decide(&order, first), ORDER_GO_ON);
    settle(first, MESSAGE_DONE);
    assert_ptr_equal(pass(), second);
    drop(first);
    drop(second);
}

static void
those_behind_a_lost_one_are_given_back(void **state)
{
    (void)state;
    struct message *first, *second, *m;
    lose_the_first_of_two(&first, &second);
    order_received_again(&order, second); /* the first one was not */
    assert_int_equal(order_next(&order, NULL, 1000, &m), ORDER_STEP_GIVE_BACK);
    assert_ptr_equal(m, second);
    drop(second);
    drop(first);
}

static void
a_run_goes_into_one_batch_and_who_comes_too_late_for_it_waits_at_the_door(void **state)
{
    (void)state;
    struct message *first = make("a", "1"), *second = make("b", "2"), *m;
    assert_true(arrive(first) && arrive(second));
    assert_ptr_equal(pass(), first);
    assert_true(order_may_join(&order, first, &another));
    order_join(&order, first, &another);
    first->batch = &another;
    assert_int_equal(order_next(&order, &another, 1000, &m), ORDER_STEP_PASS);
    assert_ptr_equal(m, second);
    assert_false(order_may_join(&order, second, NULL)); /* it was handed out meanwhile */
    second->state = MESSAGE_KEPT;
    assert_null(pass());
    assert_int_equal(order_decide(&order, first), ORDER_GO_ON);
    settle(first, MESSAGE_DONE);
    assert_ptr_equal(pass(), second);
    drop(first);
    drop(second);
}

static void
a_group_is_forgotten_with_its_last_message(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct message *m = make("a", "1"), *none;
        assert_true(arrive(m));
        drop(m);
        assert_int_equal(order_next(&order, NULL, 1000, &none), ORDER_STEP_NONE);
        assert_int_equal(order.n_groups, 0);
    }
}

/* The messages of one batch that is being filled. */
static void
join(struct message *m)
{
    assert_true(order_may_join(&order, m, &another));
    order_join(&order, m, &another);
    m->batch = &another;
}

static void
leave_again(struct message *m)
{
    m->batch = NULL;
    order_stay_out(&order, m);
}

static void
assert_run(struct message *const *run, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(run[i]->order.follower, i + 1 < n ? run[i + 1] : NULL);
        assert_int_equal(run[i]->order.follows, i > 0);
    }
}

static void
a_run_is_linked_in_the_groups_order_in_whatever_order_it_joins(void **state)
{
    (void)state;
    static const unsigned char ORDERS[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t k = 0; k < sizeof ORDERS / sizeof *ORDERS; k++) {
        struct message *m[3] = {NULL};
        static const char *const SEQUENCES[] = {"1", "2", "3"};
        for (size_t i = 0; i < 3; i++) {
            size_t which = ORDERS[k][i];
            m[which] = make(SEQUENCES[which], SEQUENCES[which]);
            assert_true(arrive(m[which]));
            join(m[which]);
        }
        assert_run(m, 3);
        leave_again(m[ORDERS[k][2]]); /* no memory for it */
        struct message *rest[2];
        size_t n = 0;
        for (size_t i = 0; i < 3; i++)
            if (i != ORDERS[k][2])
                rest[n++] = m[i];
        assert_run(rest, 2);
        for (size_t i = 0; i < 3; i++)
            drop(m[i]);
    }
}

static void
groups_with_long_ids_are_told_apart(void **state)
{
    (void)state;
    char text[1000];
    struct message *m[3];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < 3; i++) { /* the first and the last are of one group */
        text[sizeof text - 1] = i == 1 ? 'y' : 'x';
        group = slice_of(text, sizeof text);
        m[i] = make("a", "1");
        assert_true(arrive(m[i]));
    }
    assert_int_equal(order.n_groups, 2);
    assert_ptr_equal(m[0]->order.group, m[2]->order.group);
    for (size_t i = 0; i < 3; i++)
        drop(m[i]);
}

static void
as_many_groups_as_messages_come_and_go_within_a_turn(void **state)
{
    (void)state;
    struct message *m[1000], *none;
    char id[20];
    for (size_t i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "g-%zu", i);
        group = slice_of_string(id);
        m[i] = make(id, "1");
        if (i >= 100)
            drop(m[i - 100]);
        assert_true(arrive(m[i]));
    }
    for (size_t i = 900; i < 1000; i++)
        drop(m[i]);
    assert_int_equal(order_next(&order, NULL, 1000, &none), ORDER_STEP_NONE);
    assert_int_equal(order.n_groups, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_that_comes_late_stands_before_those_that_were_sent_after_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            one_that_comes_late_waits_for_what_is_being_handled_and_that_is_handled_again_after_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_behind_one_that_is_being_given_back_is_given_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_received_again_keeps_those_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_behind_a_lost_one_are_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_goes_into_one_batch_and_who_comes_too_late_for_it_waits_at_the_door,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_is_linked_in_the_groups_order_in_whatever_order_it_joins, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(groups_with_long_ids_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_groups_as_messages_come_and_go_within_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_group_is_forgotten_with_its_last_message, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("worker_turns", tests, NULL, NULL);
}
