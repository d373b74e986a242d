/* The judge of the kill tests: that it acquits what is right, and convicts each kind of wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/total_queue.h"

static struct slice
id_of(int n)
{
    static char ids[4][40];
    static unsigned next;
    char *id = ids[next++ % 4];
    snprintf(id, sizeof ids[0], "00000000-0000-4000-8000-%012d", n);
    return slice_of_string(id);
}

static int
make_judge(void **state)
{
    *state = total_queue_new();
    return 0;
}

static int
end_judge(void **state)
{
    total_queue_destroy(*state);
    return 0;
}

/* Events FIRST to END - 1, each with its own number for an id, through the whole system. */
static void
pass(struct total_queue *q, int first, int end)
{
    for (int i = first; i < end; i++) {
        unsigned try = total_queue_send(q, (size_t)i);
        total_queue_acknowledge(q, (size_t)i, try, id_of(i));
        total_queue_handle(q, (size_t)i, try, id_of(i));
        total_queue_capture(q, id_of(i));
    }
}

static struct total_queue_sets
judge(struct total_queue *q, const char *names)
{
    struct total_queue_sets s;
    struct buf text = BUF_INIT;
    total_queue_judge(q, &s, &text);
    if (names && !strstr(text.data ? text.data : "", names))
        fail_msg("\"%s\" is not among the names: %s", names, text.data ? text.data : "none");
    if (!names && text.len > 0)
        fail_msg("named although all is well: %s", text.data);
    buf_clean_up(&text);
    return s;
}

#define ASSERT_SETS(s, l, u, d, r)                                                                                     \
    do {                                                                                                               \
        assert_int_equal((s).lost, l);                                                                                 \
        assert_int_equal((s).unexpected, u);                                                                           \
        assert_int_equal((s).duplicated, d);                                                                           \
        assert_int_equal((s).recovered, r);                                                                            \
    } while (0)

static void
what_came_out_once_and_was_captured_once_is_in_no_set(void **state)
{
    pass(*state, 0, 3000);
    struct total_queue_sets s = judge(*state, NULL);
    ASSERT_SETS(s, 0, 0, 0, 0);
    assert_int_equal(s.tries, 3000);
    assert_int_equal(s.acknowledged, 3000);
    assert_int_equal(s.handled, 3000);
    assert_int_equal(s.uncaptured + s.captured_again + s.stray, 0);
    assert_int_equal(total_queue_handled(*state), 3000);
    assert_int_equal(total_queue_missing(*state), 0);
}

static void
acknowledged_and_never_handled_is_lost(void **state)
{
    pass(*state, 0, 10);
    total_queue_acknowledge(*state, 10, total_queue_send(*state, 10), id_of(10));
    total_queue_capture(*state, id_of(10));
    assert_int_equal(total_queue_missing(*state), 1);
    ASSERT_SETS(judge(*state, "lost: event 10, try 1, id 00000000-0000-4000-8000-000000000010\n"), 1, 0, 0, 0);
}

/* A later try of the same event does not make up for one that was acknowledged. */
static void
another_try_does_not_stand_in_for_a_lost_one(void **state)
{
    total_queue_acknowledge(*state, 0, total_queue_send(*state, 0), id_of(1));
    total_queue_capture(*state, id_of(1));
    unsigned second = total_queue_send(*state, 0);
    assert_int_equal(second, 2);
    total_queue_acknowledge(*state, 0, second, id_of(2));
    total_queue_handle(*state, 0, second, id_of(2));
    total_queue_capture(*state, id_of(2));
    ASSERT_SETS(judge(*state, "lost: event 0, try 1"), 1, 0, 0, 0);
}

static void
handled_before_the_acknowledgement_is_seen_is_not_lost(void **state)
{
    unsigned try = total_queue_send(*state, 0);
    total_queue_handle(*state, 0, try, id_of(7));
    total_queue_acknowledge(*state, 0, try, id_of(7));
    total_queue_capture(*state, id_of(7));
    ASSERT_SETS(judge(*state, NULL), 0, 0, 0, 0);
}

static void
handled_and_never_sent_is_unexpected(void **state)
{
    pass(*state, 0, 10);
    total_queue_handle(*state, 3, 2, id_of(100));      /* no second try */
    total_queue_handle(*state, 100000, 1, id_of(101)); /* no such event */
    total_queue_handle_detail(*state, SLICE("{\"seq\":\"x\"}"), id_of(102));
    for (int i = 100; i <= 102; i++)
        total_queue_capture(*state, id_of(i));
    ASSERT_SETS(judge(*state, "unexpected: event 3, try 2"), 0, 3, 0, 0);
}

static void
handled_after_a_refusal_is_unexpected(void **state)
{
    unsigned try = total_queue_send(*state, 0);
    total_queue_refuse(*state, 0, try);
    total_queue_handle(*state, 0, try, id_of(1));
    total_queue_capture(*state, id_of(1));
    ASSERT_SETS(judge(*state, "unexpected: event 0, try 1, refused"), 0, 1, 0, 0);
}

/* One entry, sent once, is one event. */
static void
one_try_that_comes_out_under_two_ids_is_unexpected(void **state)
{
    pass(*state, 0, 1);
    total_queue_handle(*state, 0, 1, id_of(1));
    total_queue_capture(*state, id_of(1));
    ASSERT_SETS(judge(*state, "unexpected: event 0, try 1"), 0, 1, 0, 0);
}

static void
an_id_other_than_the_acknowledged_one_is_unexpected_and_the_acknowledged_one_lost(void **state)
{
    unsigned try = total_queue_send(*state, 0);
    total_queue_acknowledge(*state, 0, try, id_of(1));
    total_queue_handle(*state, 0, try, id_of(2));
    total_queue_capture(*state, id_of(1));
    total_queue_capture(*state, id_of(2));
    ASSERT_SETS(judge(*state, "lost: event 0"), 1, 1, 0, 0);
}

static void
handled_again_is_duplicated_as_often_as_that(void **state)
{
    pass(*state, 0, 10);
    for (int i = 0; i < 3; i++)
        total_queue_handle(*state, 4, 1, id_of(4));
    total_queue_handle_detail(*state, SLICE("{\"seq\":5,\"try\":1}"), id_of(5));
    ASSERT_SETS(judge(*state, "handled 4 times"), 0, 0, 4, 0);
}

static void
an_unanswered_try_is_recovered_when_it_comes_out_and_in_no_set_when_it_does_not(void **state)
{
    unsigned first = total_queue_send(*state, 0);
    total_queue_send(*state, 1);
    total_queue_handle(*state, 0, first, id_of(1));
    total_queue_capture(*state, id_of(1));
    assert_int_equal(total_queue_missing(*state), 0);
    ASSERT_SETS(judge(*state, NULL), 0, 0, 0, 1);
}

static void
what_raw_events_has_too_little_twice_or_too_much_is_counted(void **state)
{
    struct total_queue_sets s;
    pass(*state, 0, 10);
    total_queue_capture(*state, id_of(3));
    total_queue_capture(*state, id_of(50));
    unsigned try = total_queue_send(*state, 20);
    total_queue_acknowledge(*state, 20, try, id_of(20));
    total_queue_handle(*state, 20, try, id_of(20));
    s = judge(*state, "uncaptured: id 00000000-0000-4000-8000-000000000020\n");
    assert_int_equal(s.uncaptured, 1);
    assert_int_equal(s.captured_again, 1);
    assert_int_equal(s.stray, 1);
    ASSERT_SETS(s, 0, 0, 0, 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_judge, end_judge)
    const struct CMUnitTest tests[] = {
        TEST(what_came_out_once_and_was_captured_once_is_in_no_set),
        TEST(acknowledged_and_never_handled_is_lost),
        TEST(another_try_does_not_stand_in_for_a_lost_one),
        TEST(handled_before_the_acknowledgement_is_seen_is_not_lost),
        TEST(handled_and_never_sent_is_unexpected),
        TEST(handled_after_a_refusal_is_unexpected),
        TEST(one_try_that_comes_out_under_two_ids_is_unexpected),
        TEST(an_id_other_than_the_acknowledged_one_is_unexpected_and_the_acknowledged_one_lost),
        TEST(handled_again_is_duplicated_as_often_as_that),
        TEST(an_unanswered_try_is_recovered_when_it_comes_out_and_in_no_set_when_it_does_not),
        TEST(what_raw_events_has_too_little_twice_or_too_much_is_counted),
    };
    return cmocka_run_group_tests_name("total_queue", tests, NULL, NULL);
}
