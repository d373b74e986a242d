/* Handler threads that share the messages of a batch, because one of them is slow. */
#include "worker/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "lib/pool_rig.h"

/* In the order in which they were begun; pool_rig.lock. */
static size_t begun[POOL_RIG_MOST], n_begun;
static bool is_slow[POOL_RIG_MOST];
static int32_t remaining_ms[POOL_RIG_MOST];

/* Notes that it was begun; of a slow one: until the gate is open. */
static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    (void)plugin;
    (void)thread;
    size_t i = pool_rig_number_of(m);
    remaining_ms[i] = (int32_t)host_table.remaining_ms(call);
    pthread_mutex_lock(&pool_rig.lock);
    begun[n_begun++] = i;
    pool_rig.handled[i] = true;
    pthread_cond_broadcast(&pool_rig.changed);
    while (is_slow[i] && !pool_rig.gate_open)
        pthread_cond_wait(&pool_rig.changed, &pool_rig.lock);
    pthread_mutex_unlock(&pool_rig.lock);
    return pool_rig.answers[i];
}

static const struct handler NOTES = {.size = sizeof(struct handler), .name = "notes", .version = "1", .handle = handle};

/* With the message "0" slow, and all of them done in the end. */
static void
begin_with(const struct handler *table, size_t threads)
{
    pool_rig_begin(table, threads);
    n_begun = 0;
    memset(is_slow, 0, sizeof is_slow);
    is_slow[0] = true;
    for (size_t i = 0; i < POOL_RIG_MOST; i++)
        pool_rig.answers[i] = HANDLER_DONE;
}

static void
begin(size_t threads)
{
    begin_with(&NOTES, threads);
}

/* Until n messages have been begun. */
static void
await_begun(size_t n)
{
    pthread_mutex_lock(&pool_rig.lock);
    while (n_begun < n)
        pthread_cond_wait(&pool_rig.changed, &pool_rig.lock);
    pthread_mutex_unlock(&pool_rig.lock);
}

/* Until handler threads have woken the engine more often than so. */
static void
await_wake(unsigned wakes)
{
    pthread_mutex_lock(&pool_rig.lock);
    while (pool_rig.wakes <= wakes)
        pthread_cond_wait(&pool_rig.changed, &pool_rig.lock);
    pthread_mutex_unlock(&pool_rig.lock);
}

static unsigned
wakes(void)
{
    pthread_mutex_lock(&pool_rig.lock);
    unsigned n = pool_rig.wakes;
    pthread_mutex_unlock(&pool_rig.lock);
    return n;
}

static void
submit(struct batch *b)
{
    pool_submit(pool_rig.pool, b);
    pool_wake(pool_rig.pool);
}

static int64_t
look_in(int64_t ms)
{
    return pool_watch(pool_rig.pool, 1000, clock_monotonic_ms() + ms);
}

/* The engine finds, in a turn some time later, that what is begun is slow. */
static void
ask_for_help(void)
{
    look_in(SHARE_SLOW_MS);
}

/* Every step'th message from the first on is of one group, in that order. */
static void
chain(struct batch *b, size_t first, size_t step)
{
    for (size_t i = first; i + step < b->count; i += step) {
        b->messages[i]->order.follower = b->messages[i + step];
        b->messages[i + step]->order.follows = true;
    }
}

static size_t
place_of(size_t message)
{
    size_t place = 0;
    while (place < n_begun && begun[place] != message)
        place++;
    return place;
}

/* ---- who takes what ---- */

static void
an_idle_thread_handles_what_waits_behind_a_slow_message(void **state)
{
    (void)state;
    begin(2);
    struct batch *b = pool_rig_make_batch(10);
    submit(b);
    await_begun(1);
    ask_for_help();
    await_begun(10); /* the first has not ended */
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_int_equal(pool_rig.n_settled, 10);
    assert_int_equal(pool_rig.returned, 1);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_DONE);
    assert_int_equal(atomic_load(&pool_rig.metrics->handled), 10);
    assert_int_equal(atomic_load(&pool_rig.metrics->batches), 10);
    assert_int_equal(pool_rig_violations(), 0);
    pool_rig_end(b);
}

static void
several_threads_come_one_after_the_other_while_messages_are_slow(void **state)
{
    (void)state;
    begin(4);
    memset(is_slow, true, 4);
    struct batch *b = pool_rig_make_batch(10);
    submit(b);
    for (size_t i = 1; i < 4; i++) {
        await_begun(i);
        unsigned before = wakes();
        ask_for_help();
        await_wake(before); /* who comes says so */
    }
    await_begun(4);
    assert_int_equal(look_in(1000), 1000); /* asks for one more, whom nobody can send yet */
    assert_int_equal(n_begun, 4);
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_int_equal(n_begun, 10);
    assert_int_equal(pool_rig.n_settled, 10);
    pool_rig_end(b);
}

static void
groups_of_one_batch_run_side_by_side_each_in_its_order(void **state)
{
    (void)state;
    begin(2);
    struct batch *b = pool_rig_make_batch(10);
    chain(b, 0, 2);
    chain(b, 1, 2);
    submit(b);
    await_begun(1);
    ask_for_help();
    await_begun(6);
    for (size_t i = 1; i < 6; i++)
        assert_int_equal(begun[i], 2 * i - 1); /* of the slow one's group nothing else */
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    for (size_t i = 6; i < 10; i++)
        assert_int_equal(begun[i], 2 * (i - 5));
    pool_rig_end(b);
}

static void
what_came_late_and_stands_before_others_of_its_group_is_handled_before_them(void **state)
{
    (void)state;
    begin(2);
    is_slow[0] = false;
    struct batch *b = pool_rig_make_batch(3);
    b->messages[2]->order.follower = b->messages[0];
    b->messages[0]->order.follows = true;
    submit(b);
    pool_rig_collect(1);
    assert_int_equal(n_begun, 3);
    assert_true(place_of(2) < place_of(0));
    pool_rig_end(b);
}

static void
time_left_is_that_of_the_callers_own_message(void **state)
{
    (void)state;
    begin(2);
    struct batch *b = pool_rig_make_batch(3);
    atomic_store(&b->messages[0]->lease_ms, clock_monotonic_ms() + 1000000);
    atomic_store(&b->messages[1]->lease_ms, clock_monotonic_ms() + 3000000);
    atomic_store(&b->messages[2]->lease_ms, clock_monotonic_ms() + 2000000);
    submit(b);
    await_begun(1);
    ask_for_help();
    await_begun(3);
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_in_range(remaining_ms[0], 900000, 1000000);
    assert_in_range(remaining_ms[1], 2900000, 3000000);
    assert_in_range(remaining_ms[2], 1900000, 2000000);
    pool_rig_end(b);
}

/* ---- when help is asked for ---- */

static void
nobody_is_asked_while_it_goes_fast_nor_when_nothing_waits(void **state)
{
    (void)state;
    begin(2);
    assert_int_equal(look_in(0), 1000);
    struct batch *b = pool_rig_make_batch(2);
    submit(b);
    await_begun(1);
    assert_int_equal(pool_watch(pool_rig.pool, 1000, 0), SHARE_SLOW_MS);
    assert_int_equal(pool_watch(pool_rig.pool, 2, 0), 2);
    unsigned before = wakes();
    ask_for_help();
    await_wake(before);
    await_begun(2); /* the first still runs */
    assert_int_equal(look_in(1000), 1000);
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_int_equal(look_in(1000), 1000);
    pool_rig_end(b);
}

static void
what_cannot_be_shared_needs_no_looking_after(void **state)
{
    (void)state;
    static const struct {
        const struct handler *table;
        size_t threads, messages;
        bool one_group;
    } CASES[] = {{&NOTES, 1, 3, false}, {&NOTES, 2, 1, false}, {&NOTES, 2, 3, true}, {&POOL_RIG_TOGETHER, 2, 3, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        begin_with(CASES[i].table, CASES[i].threads);
        pool_rig.in_call = pool_rig_wait_at_the_gate;
        struct batch *b = pool_rig_make_batch(CASES[i].messages);
        if (CASES[i].one_group)
            chain(b, 0, 1);
        submit(b);
        if (CASES[i].table == &NOTES)
            await_begun(1);
        else
            pool_rig_wait_for_handlers_inside(1);
        assert_int_equal(look_in(1000), 1000);
        pool_rig_open_the_gate();
        pool_rig_collect(1);
        pool_rig_end(b);
    }
}

static void
help_is_asked_for_once_and_who_helped_goes_on_with_other_batches(void **state)
{
    (void)state;
    begin(2);
    struct batch *slow = pool_rig_make_batch(3);
    submit(slow);
    await_begun(1);
    ask_for_help();
    ask_for_help();
    await_begun(3);
    struct batch *next = pool_rig_make_batch(1);
    next->messages[0]->view.body = "7";
    submit(next);
    await_begun(4);
    assert_int_equal(begun[3], 7);
    pool_rig_open_the_gate();
    pool_rig_collect(2);
    batcher_recycle(&pool_rig.batcher, next);
    pool_rig_end(slow);
}

static void
two_slow_batches_are_helped_with_both(void **state)
{
    (void)state;
    begin(3);
    struct batch *b[2];
    for (size_t i = 0; i < 2; i++) {
        b[i] = pool_rig_make_batch(2);
        submit(b[i]);
        await_begun(i + 1);
    }
    unsigned before = wakes();
    ask_for_help();
    await_wake(before);
    await_begun(3);
    ask_for_help();
    await_begun(4); /* both first ones still run */
    assert_int_equal(begun[2], 1);
    assert_int_equal(begun[3], 1);
    pool_rig_open_the_gate();
    pool_rig_collect(2);
    batcher_recycle(&pool_rig.batcher, b[1]);
    pool_rig_end(b[0]);
}

/* ---- what is not begun ---- */

static void
a_call_for_help_is_no_batch_to_take_back(void **state)
{
    (void)state;
    begin(2);
    struct batch *b[3];
    for (size_t i = 0; i < 3; i++) {
        b[i] = pool_rig_make_batch(2);
        submit(b[i]);
        if (i < 2)
            await_begun(i + 1);
    }
    ask_for_help(); /* nobody is idle */
    assert_ptr_equal(pool_take_back(pool_rig.pool), b[2]);
    assert_null(pool_take_back(pool_rig.pool));
    ask_for_help(); /* that call was forgotten */
    assert_null(pool_take_back(pool_rig.pool));
    pool_set_stopping(pool_rig.pool);
    pool_rig_open_the_gate();
    pool_rig_collect(2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(b[i]->messages[1]->verdict.kind, VERDICT_GIVE_BACK);
    assert_int_equal(look_in(1000), 1000);
    for (size_t i = 1; i < 3; i++)
        batcher_recycle(&pool_rig.batcher, b[i]);
    pool_rig_end(b[0]);
}

static void
behind_one_that_says_down_no_thread_begins_anything_of_the_batch(void **state)
{
    (void)state;
    begin(2);
    pool_rig.answers[1] = HANDLER_DOWN;
    struct batch *b = pool_rig_make_batch(4);
    submit(b);
    await_begun(1);
    ask_for_help();
    await_begun(2);
    pool_rig_collect_settled(3); /* while the first one runs */
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_int_equal(n_begun, 2);
    const int32_t verdicts[] = {HANDLER_DONE, HANDLER_DOWN, VERDICT_HELD, VERDICT_HELD};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(b->messages[i]->verdict.kind, verdicts[i]);
    pool_rig_end(b);
}

static void
what_is_not_begun_any_more_comes_back_while_a_slow_one_runs(void **state)
{
    (void)state;
    begin(2);
    is_slow[1] = true;
    struct batch *b = pool_rig_make_batch(4);
    submit(b);
    await_begun(1);
    ask_for_help();
    await_begun(2);
    pool_set_stopping(pool_rig.pool);
    pthread_mutex_lock(&pool_rig.lock);
    is_slow[1] = false;
    pthread_cond_broadcast(&pool_rig.changed);
    pthread_mutex_unlock(&pool_rig.lock);
    pool_rig_collect_settled(3);
    assert_int_equal(pool_rig.returned, 0);
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(b->messages[i]->verdict.kind, VERDICT_GIVE_BACK);
        assert_true(message_await_let_go(b->messages[i]));
    }
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    pool_rig_end(b);
}

static int32_t
settles_and_goes_on(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    host_table.settle(call, 0, HANDLER_RETRY, 0, NULL);
    return handle(plugin, thread, call, m);
}

static void
what_was_settled_in_a_call_that_goes_on_comes_again_when_the_engine_waits_for_its_end(void **state)
{
    (void)state;
    static const struct handler SETTLES = {
        .size = sizeof(struct handler), .name = "settles", .version = "1", .handle = settles_and_goes_on};
    begin_with(&SETTLES, 2);
    struct batch *b = pool_rig_make_batch(2);
    submit(b);
    pool_rig_collect_settled(1);
    await_begun(1);
    assert_false(message_await_let_go(b->messages[0]));
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_int_equal(pool_rig.n_settled, 3);
    assert_ptr_equal(pool_rig.settled[1], b->messages[0]);
    assert_ptr_equal(pool_rig.settled[2], b->messages[1]);
    assert_true(message_await_let_go(b->messages[0]));
    assert_true(message_await_let_go(b->messages[1]));
    assert_int_equal(pool_rig_violations(), 0);
    pool_rig_end(b);
}

static void
a_batch_that_was_down_can_be_filled_again(void **state)
{
    (void)state;
    begin(2);
    is_slow[0] = false;
    pool_rig.answers[0] = HANDLER_DOWN;
    batcher_recycle(&pool_rig.batcher, pool_rig_run(2));
    pool_rig.returned = 0;
    pool_rig.answers[0] = HANDLER_DONE;
    struct batch *b = pool_rig_run(2);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_DONE);
    pool_rig_end(b);
}

/* The next moment handlers may not be held any more, and those behind would be handled before it. */
static void
behind_one_that_is_held_nothing_of_its_group_is_begun(void **state)
{
    (void)state;
    begin(2);
    pool_set_held(pool_rig.pool, true);
    struct batch *b = pool_rig_make_batch(3);
    chain(b, 0, 2);
    submit(b);
    pool_rig_collect(1);
    const int32_t verdicts[] = {VERDICT_HELD, VERDICT_HELD, VERDICT_BEHIND};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, verdicts[i]);
    pool_rig_end(b);
}

static void
behind_one_that_was_lost_nothing_of_its_group_is_begun_wherever_it_lies(void **state)
{
    (void)state;
    const struct handler *const tables[] = {&NOTES, &POOL_RIG_TOGETHER};
    for (size_t k = 0; k < 2; k++) {
        begin_with(tables[k], 2);
        is_slow[0] = false;
        struct batch *b = pool_rig_make_batch(3);
        b->messages[2]->order.follower = b->messages[0];
        b->messages[0]->order.follows = true;
        atomic_store(&b->messages[2]->lost, true);
        submit(b);
        pool_rig_collect(1);
        const int32_t verdicts[] = {VERDICT_BEHIND, HANDLER_DONE, VERDICT_LOST};
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(b->messages[i]->verdict.kind, verdicts[i]);
        assert_false(pool_rig.handled[0]);
        assert_int_equal(pool_rig_violations(), 0);
        pool_rig_end(b);
    }
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_thread_handles_what_waits_behind_a_slow_message),
        cmocka_unit_test(several_threads_come_one_after_the_other_while_messages_are_slow),
        cmocka_unit_test(groups_of_one_batch_run_side_by_side_each_in_its_order),
        cmocka_unit_test(what_came_late_and_stands_before_others_of_its_group_is_handled_before_them),
        cmocka_unit_test(time_left_is_that_of_the_callers_own_message),
        cmocka_unit_test(nobody_is_asked_while_it_goes_fast_nor_when_nothing_waits),
        cmocka_unit_test(what_cannot_be_shared_needs_no_looking_after),
        cmocka_unit_test(help_is_asked_for_once_and_who_helped_goes_on_with_other_batches),
        cmocka_unit_test(two_slow_batches_are_helped_with_both),
        cmocka_unit_test(a_call_for_help_is_no_batch_to_take_back),
        cmocka_unit_test(behind_one_that_says_down_no_thread_begins_anything_of_the_batch),
        cmocka_unit_test(what_is_not_begun_any_more_comes_back_while_a_slow_one_runs),
        cmocka_unit_test(what_was_settled_in_a_call_that_goes_on_comes_again_when_the_engine_waits_for_its_end),
        cmocka_unit_test(a_batch_that_was_down_can_be_filled_again),
        cmocka_unit_test(behind_one_that_is_held_nothing_of_its_group_is_begun),
        cmocka_unit_test(behind_one_that_was_lost_nothing_of_its_group_is_begun_wherever_it_lies),
    };
    return cmocka_run_group_tests_name("worker_share", tests, NULL, NULL);
}
