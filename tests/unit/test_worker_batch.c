/* When messages become a batch. */
#include "worker/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/sim.h"

struct seen {
    struct timers timers;
    struct batcher batcher;
    size_t n, sizes[64];
    int64_t last_ms;
};

static void
submit(void *context, struct batch *b, int64_t now_ms)
{
    struct seen *s = context;
    s->sizes[s->n++] = b->count;
    s->last_ms = now_ms;
    batcher_recycle(&s->batcher, b);
}

static void
begin(struct seen *s, size_t size, int64_t window_ms)
{
    *s = (struct seen){0};
    timers_init(&s->timers);
    batcher_init(&s->batcher, &s->timers, size, window_ms, submit, s);
}

static void
end(struct seen *s)
{
    batcher_clean_up(&s->batcher);
    timers_clean_up(&s->timers);
}

/* A receive of n messages. */
static void
receive(struct seen *s, size_t n, int64_t now_ms)
{
    for (size_t i = 0; i < n; i++) {
        struct sqs_message r = sim_sqs_message("id", "handle", "body", 1);
        assert_int_equal(batcher_add(&s->batcher, message_new(&r, "orders", 0, 0), now_ms), 0);
    }
    batcher_end_receive(&s->batcher, now_ms);
}

static void
without_a_window_each_receive_is_handed_over(void **state)
{
    (void)state;
    struct seen s;
    begin(&s, 10, 0);
    receive(&s, 3, 0);
    receive(&s, 10, 0);
    receive(&s, 0, 0);
    receive(&s, 1, 0);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.sizes[0], 3);
    assert_int_equal(s.sizes[1], 10);
    assert_int_equal(s.sizes[2], 1);
    end(&s);
}

static void
no_batch_is_larger_than_the_size(void **state)
{
    (void)state;
    struct seen s;
    begin(&s, 4, 0);
    receive(&s, 10, 0);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.sizes[0], 4);
    assert_int_equal(s.sizes[1], 4);
    assert_int_equal(s.sizes[2], 2);
    end(&s);
}

static void
with_a_window_receives_are_merged_until_the_batch_is_full(void **state)
{
    (void)state;
    struct seen s;
    begin(&s, 25, 200);
    receive(&s, 10, 1000);
    receive(&s, 10, 1010);
    assert_int_equal(s.n, 0);
    receive(&s, 10, 1020);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.sizes[0], 25);
    end(&s);
}

static void
the_window_counts_from_the_first_message(void **state)
{
    (void)state;
    struct seen s;
    begin(&s, 25, 200);
    receive(&s, 1, 1000);
    receive(&s, 1, 1150);
    timers_run(&s.timers, 1199);
    assert_int_equal(s.n, 0);
    timers_run(&s.timers, 1200);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.sizes[0], 2);
    assert_int_equal(s.last_ms, 1200);
    timers_run(&s.timers, 5000);
    assert_int_equal(s.n, 1);
    receive(&s, 1, 5000); /* a window of its own */
    timers_run(&s.timers, 5199);
    assert_int_equal(s.n, 1);
    timers_run(&s.timers, 5200);
    assert_int_equal(s.n, 2);
    end(&s);
}

static void
a_batch_may_hold_ten_thousand(void **state)
{
    (void)state;
    struct seen s;
    begin(&s, 10000, 1000);
    for (int i = 0; i < 1000; i++)
        receive(&s, 10, i % 500);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.sizes[0], 10000);
    end(&s);
}

static void
the_open_batch_can_be_taken_for_a_drain(void **state)
{
    (void)state;
    struct seen s;
    begin(&s, 10, 200);
    assert_null(batcher_take_open(&s.batcher));
    receive(&s, 3, 0);
    struct batch *b = batcher_take_open(&s.batcher);
    assert_int_equal(b->count, 3);
    assert_int_equal(s.batcher.out, 1);
    batcher_recycle(&s.batcher, b);
    assert_int_equal(s.batcher.out, 0);
    timers_run(&s.timers, 1000);
    assert_int_equal(s.n, 0);
    end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_window_each_receive_is_handed_over),
        cmocka_unit_test(no_batch_is_larger_than_the_size),
        cmocka_unit_test(with_a_window_receives_are_merged_until_the_batch_is_full),
        cmocka_unit_test(the_window_counts_from_the_first_message),
        cmocka_unit_test(a_batch_may_hold_ten_thousand),
        cmocka_unit_test(the_open_batch_can_be_taken_for_a_drain),
    };
    return cmocka_run_group_tests_name("worker_batch", tests, NULL, NULL);
}
