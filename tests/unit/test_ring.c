#include "base/ring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static struct ring *
make(size_t capacity)
{
    struct ring *r = NULL;
    assert_int_equal(ring_new(capacity, &r, NULL), 0);
    return r;
}

static void
items_come_out_in_the_order_they_went_in(void **state)
{
    (void)state;
    static int items[100];
    struct ring *r = make(7);
    int in = 0, out = 0;
    while (out < 100) {
        for (int burst = in % 5 + 1; burst > 0 && in < 100 && ring_push(r, &items[in]); burst--)
            in++;
        for (int burst = out % 3 + 1; burst > 0 && out < in; burst--)
            assert_ptr_equal(ring_pop(r, 0), &items[out++]);
        assert_int_equal(ring_count(r), in - out);
    }
    assert_null(ring_pop(r, 0));
    ring_destroy(r);
}

static void
what_is_pushed_first_is_handed_out_before_all_that_waits(void **state)
{
    (void)state;
    static int items[4];
    struct ring *r = make(3);
    for (int round = 0; round < 7; round++) { /* wherever it begins */
        assert_true(ring_push(r, &items[1]));
        assert_true(ring_push(r, &items[2]));
        assert_true(ring_push_first(r, &items[0]));
        assert_false(ring_push_first(r, &items[3]));
        for (int i = 0; i < 3; i++)
            assert_ptr_equal(ring_pop(r, 0), &items[i]);
        assert_true(ring_push_first(r, &items[0]));
        assert_ptr_equal(ring_pop(r, 0), &items[0]);
        assert_null(ring_pop(r, 0));
        assert_true(ring_push(r, &items[0]));
        assert_ptr_equal(ring_pop(r, 0), &items[0]);
    }
    ring_close(r);
    assert_false(ring_push_first(r, &items[0]));
    ring_destroy(r);
}

static void
a_full_ring_refuses(void **state)
{
    (void)state;
    int item;
    struct ring *r = make(3);
    for (int i = 0; i < 3; i++)
        assert_true(ring_push(r, &item));
    assert_false(ring_push(r, &item));
    assert_int_equal(ring_count(r), 3);
    ring_pop(r, 0);
    assert_true(ring_push(r, &item));
    ring_destroy(r);
}

static void
a_capacity_without_memory_is_an_error(void **state)
{
    (void)state;
    struct ring *r = NULL;
    struct err e = {0};
    assert_int_equal(ring_new(SIZE_MAX, &r, &e), ERR_NO_MEMORY);
    assert_int_equal(ring_new(SIZE_MAX / 8, &r, &e), ERR_NO_MEMORY);
    assert_null(r);
    ring_destroy(NULL);
}

static void
closing_hands_out_the_rest_and_then_nothing(void **state)
{
    (void)state;
    int first, second;
    struct ring *r = make(5);
    ring_push(r, &first);
    ring_push(r, &second);
    assert_false(ring_is_closed(r));
    ring_close(r);
    assert_true(ring_is_closed(r));
    assert_false(ring_push(r, &first));
    assert_ptr_equal(ring_pop(r, -1), &first);
    assert_ptr_equal(ring_pop(r, -1), &second);
    assert_null(ring_pop(r, -1));
    assert_null(ring_pop(r, 0));
    ring_close(r);
    ring_destroy(r);
}

static void
an_empty_ring_is_waited_for_as_long_as_asked(void **state)
{
    (void)state;
    struct ring *r = make(5);
    int64_t started_ns = clock_monotonic_ns();
    assert_null(ring_pop(r, 30));
    assert_true(clock_monotonic_ns() - started_ns >= 29000000);
    ring_destroy(r);
}

static void *
pop_for_ever(void *r)
{
    return ring_pop(r, -1);
}

static void *
pop_for_an_hour(void *r)
{
    return ring_pop(r, 3600000);
}

static void
a_push_wakes_a_waiter(void **state)
{
    (void)state;
    int items[2];
    void *got[2];
    pthread_t threads[2];
    struct ring *r = make(5);
    pthread_create(&threads[0], NULL, pop_for_ever, r);
    pthread_create(&threads[1], NULL, pop_for_an_hour, r);
    assert_true(ring_push(r, &items[0]));
    assert_true(ring_push(r, &items[1]));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &got[i]);
    assert_true((got[0] == &items[0] && got[1] == &items[1]) || (got[0] == &items[1] && got[1] == &items[0]));
    ring_destroy(r);
}

static void
closing_wakes_every_waiter(void **state)
{
    (void)state;
    pthread_t threads[6];
    struct ring *r = make(5);
    for (int i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, i % 2 ? pop_for_ever : pop_for_an_hour, r);
    ring_close(r);
    for (int i = 0; i < 6; i++) {
        void *got;
        pthread_join(threads[i], &got);
        assert_null(got);
    }
    ring_destroy(r);
}

enum { AT_ONCE = 8 };
struct meeting {
    struct ring *ring;
    pthread_barrier_t all_here;
};

static void *
pop_and_meet(void *arg)
{
    struct meeting *m = arg;
    void *got = ring_pop(m->ring, -1);
    pthread_barrier_wait(&m->all_here);
    return got;
}

/* Each thread keeps its item until every thread has one: a wake-up that is not handed on would leave them there. */
static void
meet(bool put_then_wake)
{
    int items[AT_ONCE];
    for (int round = 0; round < 50; round++) {
        struct meeting m = {.ring = make(AT_ONCE)};
        pthread_t threads[AT_ONCE];
        pthread_barrier_init(&m.all_here, NULL, AT_ONCE);
        for (int i = 0; i < AT_ONCE; i++)
            pthread_create(&threads[i], NULL, pop_and_meet, &m);
        for (int i = 0; i < AT_ONCE; i++) {
            if (i == round % AT_ONCE)
                sched_yield();
            assert_true(put_then_wake ? ring_put(m.ring, &items[i]) : ring_push(m.ring, &items[i]));
        }
        if (put_then_wake)
            ring_wake(m.ring);
        for (int i = 0; i < AT_ONCE; i++) {
            void *got;
            pthread_join(threads[i], &got);
            assert_non_null(got);
        }
        pthread_barrier_destroy(&m.all_here);
        ring_destroy(m.ring);
    }
}

static void
a_burst_reaches_as_many_waiters_as_it_has_items(void **state)
{
    (void)state;
    meet(false);
}

static void
one_wake_is_enough_for_all_that_was_put(void **state)
{
    (void)state;
    meet(true);
}

/* Each producer sends its numbers in order; each consumer must see each producer's in order, and all arrive once. */
enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 5000 };
struct traffic {
    struct ring *ring;
    uint32_t numbers[PRODUCERS][EACH];
    _Atomic int seen[PRODUCERS][EACH];
    _Atomic int producer, out_of_order;
};

static void *
produce(void *arg)
{
    struct traffic *t = arg;
    int me = t->producer++;
    for (uint32_t i = 0; i < EACH; i++) {
        t->numbers[me][i] = (uint32_t)me << 16 | i;
        while (!ring_push(t->ring, &t->numbers[me][i]))
            sched_yield();
    }
    return NULL;
}

static void *
consume(void *arg)
{
    struct traffic *t = arg;
    int64_t last[PRODUCERS] = {-1, -1, -1};
    for (uint32_t *item; (item = ring_pop(t->ring, -1));) {
        uint32_t producer = *item >> 16, i = *item & 0xffff;
        t->out_of_order += (int64_t)i <= last[producer];
        last[producer] = i;
        t->seen[producer][i]++;
    }
    return NULL;
}

static void
many_threads_lose_and_repeat_nothing(void **state)
{
    (void)state;
    static struct traffic t;
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    t.ring = make(16);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_create(&consumers[i], NULL, consume, &t);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&producers[i], NULL, produce, &t);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    ring_close(t.ring);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    for (int p = 0; p < PRODUCERS; p++)
        for (int i = 0; i < EACH; i++)
            assert_int_equal(t.seen[p][i], 1);
    assert_int_equal(t.out_of_order, 0);
    ring_destroy(t.ring);
}

/* Last: the process keeps its test clock. */
static void
a_test_clock_ends_a_wait_and_so_does_real_time_while_it_stands(void **state)
{
    (void)state;
    char path[] = "/tmp/fanout-ring-XXXXXX";
    struct clock_page *page = NULL;
    pthread_t thread;
    void *got;
    close(mkstemp(path));
    assert_int_equal(clock_page_create(path, &page, NULL), 0);
    setenv("FANOUT_TEST_CLOCK", path, 1);
    assert_int_equal(clock_init(NULL), 0);
    unlink(path);
    page->frozen_at_ms = clock_wall_ms();

    struct ring *r = make(5);
    int64_t started_ns = clock_monotonic_ns();
    assert_null(ring_pop(r, 30));
    assert_true(clock_monotonic_ns() - started_ns >= 29000000);

    /* However late the thread begins to wait, the clock moves on an hour after that. */
    pthread_create(&thread, NULL, pop_for_an_hour, r);
    do
        page->offset_ms += 3600000;
    while (sched_yield(), pthread_tryjoin_np(thread, &got) != 0);
    assert_null(got);

    int item;
    pthread_create(&thread, NULL, pop_for_ever, r);
    assert_true(ring_push(r, &item));
    pthread_join(thread, &got);
    assert_ptr_equal(got, &item);
    ring_destroy(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_they_went_in),
        cmocka_unit_test(what_is_pushed_first_is_handed_out_before_all_that_waits),
        cmocka_unit_test(a_full_ring_refuses),
        cmocka_unit_test(a_capacity_without_memory_is_an_error),
        cmocka_unit_test(closing_hands_out_the_rest_and_then_nothing),
        cmocka_unit_test(an_empty_ring_is_waited_for_as_long_as_asked),
        cmocka_unit_test(a_push_wakes_a_waiter),
        cmocka_unit_test(closing_wakes_every_waiter),
        cmocka_unit_test(a_burst_reaches_as_many_waiters_as_it_has_items),
        cmocka_unit_test(one_wake_is_enough_for_all_that_was_put),
        cmocka_unit_test(many_threads_lose_and_repeat_nothing),
        cmocka_unit_test(a_test_clock_ends_a_wait_and_so_does_real_time_while_it_stands),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
