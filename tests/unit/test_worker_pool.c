/* Handler threads: their start and end, batches that wait for them, and what is not begun. */
#include "worker/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "lib/pool_rig.h"
#include "worker/call.h"

static const struct handler_host *const host = &host_table;

/* ---- stopping ---- */

static void
ask_whether_to_stop(struct handler_call *call, uint32_t count)
{
    pool_rig.results[0] = host->stopping(call);
    pool_rig_wait_at_the_gate(call, count);
    pool_rig.results[1] = host->stopping(call);
}

static void
stopping_is_told_and_begins_nothing_more(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 1);
    pool_rig.in_call = ask_whether_to_stop;
    pool_rig.answers[0] = HANDLER_DONE;
    struct batch *b = pool_rig_make_batch(3);
    pool_submit(pool_rig.pool, b);
    pool_wake(pool_rig.pool);
    pool_rig_wait_for_handlers_inside(1);
    pool_set_stopping(pool_rig.pool);
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    assert_int_equal(pool_rig.results[0], 0);
    assert_int_equal(pool_rig.results[1], 1);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[1]->verdict.kind, VERDICT_GIVE_BACK);
    assert_int_equal(b->messages[2]->verdict.kind, VERDICT_GIVE_BACK);
    assert_false(pool_rig.handled[1]);
    pool_rig_end(b);
}

static void
while_held_nothing_is_begun_but_trials(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool trial = i >= 2;
        pool_rig_begin(i % 2 ? &POOL_RIG_TOGETHER : &POOL_RIG_EACH, 1);
        pool_rig.answers[0] = pool_rig.answers[1] = HANDLER_DONE;
        pool_set_held(pool_rig.pool, true);
        struct batch *b = pool_rig_make_batch(2);
        b->trial = trial;
        pool_submit(pool_rig.pool, b);
        pool_wake(pool_rig.pool);
        pool_rig_collect(1);
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(b->messages[k]->verdict.kind, trial ? HANDLER_DONE : VERDICT_HELD);
            assert_int_equal(pool_rig.handled[k], trial);
        }
        pool_rig_end(b);
    }
}

static void
what_is_not_sure_of_its_event_any_more_is_not_begun(void **state)
{
    (void)state;
    for (int together = 0; together < 2; together++) {
        pool_rig_begin(together ? &POOL_RIG_TOGETHER : &POOL_RIG_EACH, 1);
        for (int i = 0; i < 3; i++)
            pool_rig.answers[i] = HANDLER_DONE;
        struct batch *b = pool_rig_make_batch(3);
        atomic_store(&b->messages[0]->event_until_ms, clock_monotonic_ms() + 60000);
        atomic_store(&b->messages[1]->event_until_ms, clock_monotonic_ms());
        pool_submit(pool_rig.pool, b);
        pool_wake(pool_rig.pool);
        pool_rig_collect(1);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(b->messages[i]->verdict.kind, i == 1 ? VERDICT_UNSURE : HANDLER_DONE);
        assert_int_equal(b->messages[1]->begun_ms, 0);
        pool_rig_end(b);
    }
}

static void
settle_as_down(struct handler_call *call, uint32_t count)
{
    (void)count;
    pool_rig.results[0] = host->settle(call, 0, HANDLER_DOWN, -1, "no database");
}

static void
behind_one_that_says_down_nothing_of_its_batch_is_begun(void **state)
{
    (void)state;
    for (int by_settle = 0; by_settle < 2; by_settle++) {
        pool_rig_begin(&POOL_RIG_EACH, 1);
        pool_rig.answers[0] = HANDLER_DOWN;
        pool_rig.in_call = by_settle ? settle_as_down : NULL;
        struct batch *b = pool_rig_run(3);
        assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DOWN);
        if (by_settle)
            assert_string_equal(b->messages[0]->verdict.reason, "no database");
        assert_int_equal(b->messages[1]->verdict.kind, VERDICT_HELD);
        assert_int_equal(b->messages[2]->verdict.kind, VERDICT_HELD);
        assert_int_equal(pool_rig_violations(), 0);
        pool_rig_end(b);
    }
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.answers[0] = HANDLER_DOWN;
    pool_rig.in_call = NULL;
    struct batch *b = pool_rig_run(3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_DOWN);
    pool_rig_end(b);
}

static void
a_batch_that_waits_can_be_taken_back(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 1);
    pool_rig.in_call = pool_rig_wait_at_the_gate;
    struct batch *first = pool_rig_make_batch(1);
    pool_submit(pool_rig.pool, first);
    pool_wake(pool_rig.pool);
    pool_rig_wait_for_handlers_inside(1);
    struct batch *second = pool_rig_make_batch(1);
    pool_submit(pool_rig.pool, second);
    pool_wake(pool_rig.pool);
    assert_ptr_equal(pool_take_back(pool_rig.pool), second);
    assert_null(pool_take_back(pool_rig.pool));
    batcher_recycle(&pool_rig.batcher, second);
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    pool_rig_end(first);
}

static void
a_handler_that_does_not_return_does_not_hold_up_the_stop(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 2);
    pool_rig.in_call = pool_rig_wait_at_the_gate;
    struct batch *b = pool_rig_make_batch(1);
    pool_submit(pool_rig.pool, b);
    pool_wake(pool_rig.pool);
    pool_rig_wait_for_handlers_inside(1);
    assert_false(pool_stop(pool_rig.pool, 10));
    pool_rig_open_the_gate();
    pool_rig_collect(1);
    pool_rig_end(b);
}

/* ---- threads ---- */

static unsigned opened, closed;
static int32_t refuse_from = INT32_MAX;

static int32_t
count_thread_open(void *plugin, void **thread)
{
    (void)plugin;
    *thread = &opened;
    return (int32_t)__atomic_add_fetch(&opened, 1, __ATOMIC_RELAXED) >= refuse_from ? 42 : 0;
}

static void
count_thread_close(void *plugin, void *thread)
{
    (void)plugin;
    assert_ptr_equal(thread, &opened);
    __atomic_add_fetch(&closed, 1, __ATOMIC_RELAXED);
}

static void
every_thread_is_opened_and_closed(void **state)
{
    (void)state;
    struct handler table = POOL_RIG_EACH;
    table.thread_open = count_thread_open;
    table.thread_close = count_thread_close;
    opened = closed = 0;
    pool_rig_begin(&table, 4);
    assert_int_equal(opened, 4);
    pool_rig_end(NULL);
    assert_int_equal(closed, 4);
}

static void
a_thread_that_refuses_to_open_stops_the_start(void **state)
{
    (void)state;
    struct handler table = POOL_RIG_EACH;
    struct err e;
    table.thread_open = count_thread_open;
    table.thread_close = count_thread_close;
    opened = closed = 0;
    refuse_from = 3;
    pool_rig_begin_with(&table);
    assert_int_equal(pool_rig_try_begin(4, &e), ERR_DENIED);
    assert_string_equal(e.text, "plugin each: thread_open refused to start (it returned 42)");
    assert_int_equal(closed, 2);
    refuse_from = INT32_MAX;
    assert_int_equal(pool_rig_try_begin(1, &e), 0);
    pool_rig_end(NULL);
}

static void
many_threads_share_the_batches(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 4);
    pool_rig.in_call = pool_rig_wait_at_the_gate;
    struct batch *batches[4];
    for (size_t i = 0; i < 4; i++) {
        batches[i] = pool_rig_make_batch(1);
        pool_submit(pool_rig.pool, batches[i]);
        pool_wake(pool_rig.pool);
    }
    pool_rig_wait_for_handlers_inside(4); /* all four at once */
    pool_rig_open_the_gate();
    pool_rig_collect(4);
    for (size_t i = 1; i < 4; i++)
        batcher_recycle(&pool_rig.batcher, batches[i]);
    pool_rig_end(batches[0]);
}

static int32_t
remember_options(const struct handler_host *h, void **plugin)
{
    *plugin = (void *)h->option("word");
    return h->option("no-such") ? 1 : 0;
}

static void
options_answer_inside_open_only(void **state)
{
    (void)state;
    static const struct handler_option OPTIONS[] = {{"word", "string", "default", "A word."}, {0}};
    struct handler table = POOL_RIG_EACH;
    void *plugin_state;
    struct err e;
    table.options = OPTIONS;
    table.open = remember_options;
    struct plugin p = {.table = table};
    assert_int_equal(plugin_set_options(&p, NULL, 0, &e), 0);
    assert_int_equal(pool_open_plugin(&p, &plugin_state, &e), 0);
    assert_string_equal(plugin_state, "default");
    assert_null(host->option("word"));
    assert_null(host->extension("anything/1"));
    free(p.values[0]);
    free(p.values);
}

static int32_t
refuse_to_open(const struct handler_host *h, void **plugin)
{
    (void)h;
    (void)plugin;
    return -7;
}

static void
a_plugin_that_refuses_to_open_is_named(void **state)
{
    (void)state;
    struct handler table = POOL_RIG_EACH;
    void *plugin_state;
    struct err e;
    table.open = refuse_to_open;
    struct plugin p = {.table = table};
    assert_int_equal(pool_open_plugin(&p, &plugin_state, &e), ERR_DENIED);
    assert_string_equal(e.text, "plugin each: open refused to start (it returned -7)");
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_is_told_and_begins_nothing_more),
        cmocka_unit_test(while_held_nothing_is_begun_but_trials),
        cmocka_unit_test(what_is_not_sure_of_its_event_any_more_is_not_begun),
        cmocka_unit_test(behind_one_that_says_down_nothing_of_its_batch_is_begun),
        cmocka_unit_test(a_batch_that_waits_can_be_taken_back),
        cmocka_unit_test(a_handler_that_does_not_return_does_not_hold_up_the_stop),
        cmocka_unit_test(every_thread_is_opened_and_closed),
        cmocka_unit_test(a_thread_that_refuses_to_open_stops_the_start),
        cmocka_unit_test(many_threads_share_the_batches),
        cmocka_unit_test(options_answer_inside_open_only),
        cmocka_unit_test(a_plugin_that_refuses_to_open_is_named),
    };
    return cmocka_run_group_tests_name("worker_pool", tests, NULL, NULL);
}
