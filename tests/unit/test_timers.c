#include "base/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* A timer that notes its firing, and may do something to others then. */
struct probe {
    struct timer timer;
    struct timers *timers;
    int fired;
    int64_t order;         /* of all firings, from 1 */
    int64_t again_at_ms;   /* not 0: sets itself again, to this */
    struct probe *cancels; /* not NULL */
    struct probe *sets;    /* not NULL: to sets_at_ms */
    int64_t sets_at_ms;
};

static int64_t firings;

static void
note(struct timer *t, int64_t now_ms)
{
    struct probe *p = (struct probe *)((char *)t - offsetof(struct probe, timer));
    assert_true(t->due_ms <= now_ms);
    assert_false(timer_is_set(t));
    p->fired++;
    p->order = ++firings;
    if (p->cancels)
        timers_cancel(p->timers, &p->cancels->timer);
    if (p->sets)
        assert_int_equal(timers_set(p->timers, &p->sets->timer, p->sets_at_ms), 0);
    if (p->again_at_ms)
        assert_int_equal(timers_set(p->timers, t, p->again_at_ms), 0);
}

static struct probe
probe(struct timers *ts)
{
    return (struct probe){.timer.fire = note, .timers = ts};
}

static void
timers_fire_when_due_earliest_first(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct timers ts;
    static struct probe probes[COUNT];
    timers_init(&ts);
    srand(1);
    for (int i = 0; i < COUNT; i++) {
        probes[i] = probe(&ts);
        assert_int_equal(timers_set(&ts, &probes[i].timer, rand() % 1000), 0);
    }
    assert_true(timers_run(&ts, 499) > 0);
    timers_run(&ts, 998);
    timers_run(&ts, 999);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(probes[i].fired, 1);
        for (int k = 0; k < COUNT; k++)
            if (probes[i].timer.due_ms < probes[k].timer.due_ms)
                assert_true(probes[i].order < probes[k].order);
    }
    assert_int_equal(timers_run(&ts, INT64_MAX), 0);
    timers_clean_up(&ts);
}

static void
the_next_wait_is_that_of_the_earliest(void **state)
{
    (void)state;
    struct timers ts;
    timers_init(&ts);
    struct probe a = probe(&ts), b = probe(&ts);
    assert_int_equal(timers_next_ms(&ts, 0), -1);
    timers_set(&ts, &a.timer, 100);
    timers_set(&ts, &b.timer, 50);
    assert_int_equal(timers_next_ms(&ts, 10), 40);
    assert_int_equal(timers_next_ms(&ts, 50), 0);
    assert_int_equal(timers_next_ms(&ts, 70), 0);
    timers_cancel(&ts, &b.timer);
    assert_int_equal(timers_next_ms(&ts, 70), 30);
    timers_cancel(&ts, &a.timer);
    assert_int_equal(timers_next_ms(&ts, 70), -1);
    timers_clean_up(&ts);
}

static void
setting_again_moves_a_timer_and_cancelling_twice_is_nothing(void **state)
{
    (void)state;
    struct timers ts;
    timers_init(&ts);
    struct probe a = probe(&ts), b = probe(&ts);
    timers_set(&ts, &a.timer, 100);
    timers_set(&ts, &b.timer, 200);
    timers_set(&ts, &a.timer, 300);
    assert_int_equal(ts.count, 2);
    assert_int_equal(timers_run(&ts, 200), 1);
    assert_int_equal(b.fired, 1);
    timers_set(&ts, &a.timer, 50);
    timers_cancel(&ts, &a.timer);
    timers_cancel(&ts, &a.timer);
    assert_false(timer_is_set(&a.timer));
    assert_int_equal(timers_run(&ts, 1000), 0);
    timers_clean_up(&ts);
}

static void
a_timer_set_to_now_by_a_callback_fires_in_the_next_run(void **state)
{
    (void)state;
    struct timers ts;
    timers_init(&ts);
    struct probe a = probe(&ts), late = probe(&ts);
    a.again_at_ms = 5;
    timers_set(&ts, &a.timer, 10);
    timers_set(&ts, &late.timer, 90);
    assert_int_equal(timers_run(&ts, 100), 2); /* the one that comes back does not hide the other */
    assert_int_equal(a.fired, 1);
    assert_int_equal(late.fired, 1);
    assert_int_equal(timers_next_ms(&ts, 100), 0);
    a.again_at_ms = 0;
    assert_int_equal(timers_run(&ts, 100), 1); /* the same millisecond: a frozen clock */
    assert_int_equal(a.fired, 2);
    timers_clean_up(&ts);
}

static void
a_callback_may_cancel_or_move_what_is_due_with_it(void **state)
{
    (void)state;
    struct timers ts;
    timers_init(&ts);
    struct probe first = probe(&ts), cancelled = probe(&ts), moved = probe(&ts), last = probe(&ts);
    timers_set(&ts, &first.timer, 1);
    timers_set(&ts, &cancelled.timer, 2);
    timers_set(&ts, &moved.timer, 3);
    timers_set(&ts, &last.timer, 4);
    first.cancels = &cancelled;
    first.sets = &moved;
    first.sets_at_ms = 50;
    assert_int_equal(timers_run(&ts, 10), 2);
    assert_int_equal(cancelled.fired, 0);
    assert_false(timer_is_set(&cancelled.timer));
    assert_int_equal(moved.fired, 0);
    assert_int_equal(last.fired, 1);
    assert_int_equal(timers_next_ms(&ts, 10), 40);
    assert_int_equal(timers_run(&ts, 50), 1);
    assert_int_equal(moved.fired, 1);
    timers_clean_up(&ts);
}

static void
free_owner(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    free(t);
}

static void
a_callback_may_free_its_owner(void **state)
{
    (void)state;
    struct timers ts;
    timers_init(&ts);
    for (int i = 0; i < 40; i++) {
        struct timer *t = malloc(sizeof *t);
        assert_non_null(t);
        *t = (struct timer){.fire = free_owner};
        timers_set(&ts, t, i % 3);
    }
    assert_int_equal(timers_run(&ts, 10), 40);
    timers_clean_up(&ts);
}

static void
set_many(struct timer *t, int64_t now_ms)
{
    struct probe *p = (struct probe *)((char *)t - offsetof(struct probe, timer));
    for (int i = 1; i <= 100; i++) {
        p[i] = probe(p->timers);
        assert_int_equal(timers_set(p->timers, &p[i].timer, now_ms + i), 0);
    }
    /* p[101] was due in this run and still is, although the tables have grown under it */
    assert_true(timer_is_set(&p[101].timer));
    assert_int_equal(timers_set(p->timers, &p[101].timer, now_ms + 500), 0);
}

static void
a_callback_may_set_more_timers_than_there_was_room_for(void **state)
{
    (void)state;
    struct timers ts;
    static struct probe probes[102];
    timers_init(&ts);
    probes[0] = probe(&ts);
    probes[0].timer.fire = set_many;
    probes[101] = probe(&ts);
    timers_set(&ts, &probes[0].timer, 1);
    timers_set(&ts, &probes[101].timer, 2);
    assert_int_equal(timers_run(&ts, 10), 1);
    assert_int_equal(ts.count, 101);
    assert_int_equal(timers_run(&ts, 110), 100);
    assert_int_equal(timers_run(&ts, 510), 1);
    timers_clean_up(&ts);
}

/* Against a model that looks at every timer: a thousand random operations, many times over. */
static void
any_series_of_operations_agrees_with_a_simple_model(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct timers ts;
        struct probe probes[COUNT];
        int64_t model[COUNT]; /* due; -1: not set */
        int64_t now_ms = 0;
        timers_init(&ts);
        srand(seed);
        for (int i = 0; i < COUNT; i++) {
            probes[i] = probe(&ts);
            model[i] = -1;
        }
        for (int step = 0; step < 1000; step++) {
            int i = rand() % COUNT, what = rand() % 10;
            if (what < 6) {
                model[i] = now_ms + rand() % 100;
                assert_int_equal(timers_set(&ts, &probes[i].timer, model[i]), 0);
            } else if (what < 8) {
                model[i] = -1;
                timers_cancel(&ts, &probes[i].timer);
            } else {
                size_t expected = 0;
                now_ms += rand() % 30;
                for (int k = 0; k < COUNT; k++) {
                    if (model[k] >= 0 && model[k] <= now_ms) {
                        expected++;
                        model[k] = -1;
                    }
                }
                assert_int_equal(timers_run(&ts, now_ms), expected);
            }
            int64_t earliest = -1;
            for (int k = 0; k < COUNT; k++) {
                assert_int_equal(timer_is_set(&probes[k].timer), model[k] >= 0);
                if (model[k] >= 0 && (earliest < 0 || model[k] < earliest))
                    earliest = model[k];
            }
            int64_t next_ms = earliest < 0 ? -1 : earliest > now_ms ? earliest - now_ms : 0;
            assert_int_equal(timers_next_ms(&ts, now_ms), next_ms);
        }
        timers_clean_up(&ts);
    }
}

static void
a_reserved_timer_has_its_place_whatever_the_others_take(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct timers ts;
    static struct probe probes[MANY];
    timers_init(&ts);
    struct probe kept = probe(&ts), again = probe(&ts);
    assert_int_equal(timers_reserve(&ts, &kept.timer), 0);
    assert_int_equal(timers_reserve(&ts, &kept.timer), 0); /* it has one already */
    assert_int_equal(timers_set(&ts, &again.timer, 5), 0);
    assert_int_equal(timers_reserve(&ts, &again.timer), 0); /* the one it is in */
    for (int i = 0; i < MANY; i++) {
        probes[i] = probe(&ts);
        assert_int_equal(timers_set(&ts, &probes[i].timer, 10), 0);
        assert_int_equal(ts.claimed, i + 3);
        assert_true(ts.capacity >= ts.claimed);
    }
    again.again_at_ms = 10; /* set again while the run has all the others to fire */
    again.sets = &kept;
    again.sets_at_ms = 10;
    assert_int_equal(timers_run(&ts, 10), MANY + 1);
    assert_int_equal(ts.claimed, 2);
    again.again_at_ms = 0;
    again.sets = NULL;
    assert_int_equal(timers_run(&ts, 10), 2);
    timers_cancel(&ts, &kept.timer);
    assert_int_equal(kept.fired, 1);
    assert_int_equal(ts.claimed, 2);
    timers_clean_up(&ts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_when_due_earliest_first),
        cmocka_unit_test(the_next_wait_is_that_of_the_earliest),
        cmocka_unit_test(setting_again_moves_a_timer_and_cancelling_twice_is_nothing),
        cmocka_unit_test(a_timer_set_to_now_by_a_callback_fires_in_the_next_run),
        cmocka_unit_test(a_callback_may_cancel_or_move_what_is_due_with_it),
        cmocka_unit_test(a_callback_may_free_its_owner),
        cmocka_unit_test(a_callback_may_set_more_timers_than_there_was_room_for),
        cmocka_unit_test(any_series_of_operations_agrees_with_a_simple_model),
        cmocka_unit_test(a_reserved_timer_has_its_place_whatever_the_others_take),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
