/* What becomes of each verdict, and of each breach of the handler contract, with the real worker and the real queue
 * (partial batch failure, as Lambda's ReportBatchItemFailures, and stricter). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/scripted.h"

static void
an_early_done_is_deleted_while_its_batch_still_runs(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a done", "b wait done");
    scripted_start(&s, "script", "");
    scripted_await_recorded(&s, "b waits", 1);
    scripted_await_queue(&s.queue, 0, 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, batches), 0); /* the call, of both, has not returned */
    assert_int_equal(scripted_recorded(&s, "b end"), 0);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, batches), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 2);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    scripted_drop(&s);
}

static void
verdicts_by_settle_and_by_the_return_value_are_mixed_in_one_batch(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a done", "b retry:600000", "c reject:broken", "d return:1", "e");
    scripted_start(&s, "script", "");
    scripted_await_queue(&s.queue, 0, 1); /* b, for ten minutes */
    scripted_await_queue(&s.dead, 1, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, batches), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, done), 3);
    assert_int_equal(SCRIPTED_COUNT(&s, retried), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, dead_lettered), 1);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    assert_int_equal(local_queue_receive(&s.dead, ", \"MessageAttributeNames\": [\"All\"]"), 1);
    assert_string_equal(local_queue_text(&s.dead, "Messages.0.Body"), "c reject:broken");
    scripted_drop(&s);
}

/* As above, a batch that fails as a whole after some of it was settled: those verdicts stand. */
static void
a_batch_that_returns_retry_keeps_what_was_settled_before(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a done", "b return:2", "c", "d done");
    scripted_start(&s, "script", "threads = 1; retry = { base_ms = 1; cap_ms = 1; };");
    SCRIPTED_AWAIT_COUNT(&s, retried, 2);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 2);
    scripted_pass(&s, 3000, 1000);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_recorded(&s, "b again 0") + scripted_recorded(&s, "c again 0"), 2);
    assert_int_equal(scripted_recorded(&s, " again "), 2);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    scripted_drop(&s);
}

static uint64_t
values_of(const struct scripted *s, enum metrics_id id, uint64_t *ret_sum)
{
    struct metrics_reading r = {0};
    uint64_t n = 0;
    metrics_read(s->worker.metrics, id, &r);
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        n += r.bucket[i];
    *ret_sum = r.value;
    return n;
}

static void
assert_histograms(const char *plugin, uint64_t calls)
{
    struct scripted s;
    uint64_t sum;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a done", "b done", "c retry:600000", "d wait done");
    scripted_pass(&s, 7000, 1000);
    scripted_start(&s, plugin, "");
    scripted_await_recorded(&s, "d waits", 1);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 1);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(values_of(&s, METRIC_handler_call, &sum), calls);
    assert_int_equal(values_of(&s, METRIC_batch_messages, &sum), calls);
    assert_int_equal(sum, 4);
    assert_int_equal(values_of(&s, METRIC_start_wait, &sum), 4);
    assert_int_equal(values_of(&s, METRIC_in_hand, &sum), 4);
    assert_int_equal(values_of(&s, METRIC_delete_call, &sum), 3);
    assert_int_equal(values_of(&s, METRIC_message_age, &sum), 4);
    assert_in_range(sum, 4 * 7000, 4 * 60000);
    scripted_drop(&s);
}

static void
each_call_message_and_delete_is_a_value_of_its_histogram(void **state)
{
    (void)state;
    assert_histograms("script", 1);
    assert_histograms("script_each", 4);
}

/* ---- breaches ---- */

static const struct breach {
    const char *commands, *logged, *recorded;
    unsigned gates;
} breaches[] = {
    {"index return:2", "an index that the call does not have", " index -1", 0},
    {"retry:0 done", "settle for a message that was settled before; the first verdict stands", " done -2", 0},
    {"verdict return:2", "settle with a verdict that does not exist", " verdict -3", 0},
    {"thread return:2", "a host function was called with a call that is over, another thread's or NULL", " thread -1",
     0},
    {"null return:2", "a host function was called with a call that is over, another thread's or NULL", " null -1", 0},
    {"late return:2", "a host function was called with a call that is over, another thread's or NULL", " late -1", 1},
    {"return:77", "the handler returned a value that is no verdict; what it did not settle is retried", " end 0", 0},
    {"", "the handler returned without a verdict for some messages; they are retried", " end 0", 0},
};

static const char *const plugins[] = {"script", "script_each"};

/* Three messages, one a call. */
static void
commit(const struct breach *b, const char *plugin)
{
    struct scripted s;
    char bodies[3][64];
    for (int i = 0; i < 3; i++)
        snprintf(bodies[i], sizeof bodies[i], "m%d%s%s", i, *b->commands ? " " : "", b->commands);
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, bodies[0], bodies[1], bodies[2]);
    scripted_start(&s, plugin, "threads = 1; batch = { size = 1; }; retry = { base_ms = 1; cap_ms = 1; };");
    SCRIPTED_AWAIT_COUNT(&s, retried, 3);
    scripted_open_gate(&s, 3 * b->gates);
    scripted_await_recorded(&s, b->recorded, 3);
    SCRIPTED_AWAIT_COUNT(&s, violations, 3);
    long early = SCRIPTED_COUNT(&s, deleted) - (long)scripted_recorded(&s, " again 0");
    if (early > 0)
        fail_msg("\"%s\" with %s deleted %ld messages", b->commands, plugin, early);
    scripted_pass(&s, 3000, 1000); /* they come back, and are done */
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_recorded(&s, " again 0"), 3);
    assert_int_equal(SCRIPTED_COUNT(&s, received), 6);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 3);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 3);
    if (scripted_logged(&s, "breaks the handler contract") != 1 || scripted_logged(&s, b->logged) != 1)
        fail_msg("\"%s\" with %s: %zu lines, %zu of them \"%s\"", b->commands, plugin,
                 scripted_logged(&s, "breaks the handler contract"), scripted_logged(&s, b->logged), b->logged);
    scripted_drop(&s);
}

static void
no_breach_of_the_contract_deletes_anything_each_is_counted_and_its_kind_logged_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof breaches / sizeof *breaches; i++)
        commit(&breaches[i], plugins[i % 2]);
    for (size_t i = 0; i < sizeof breaches / sizeof *breaches; i++)
        commit(&breaches[i], plugins[(i + 1) % 2]);
}

static void
each_kind_of_breach_is_logged_apart(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a index verdict thread done done", "b index return:77");
    scripted_start(&s, "script_each", "");
    SCRIPTED_AWAIT_COUNT(&s, violations, 6);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_logged(&s, "breaks the handler contract"), 5);
    assert_int_equal(scripted_logged(&s, "plugin=script-each"), 5);
    assert_int_equal(scripted_recorded(&s, "a done 0"), 1);
    assert_int_equal(scripted_recorded(&s, "a done -2"), 1);
    scripted_drop(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_early_done_is_deleted_while_its_batch_still_runs),
        cmocka_unit_test(verdicts_by_settle_and_by_the_return_value_are_mixed_in_one_batch),
        cmocka_unit_test(a_batch_that_returns_retry_keeps_what_was_settled_before),
        cmocka_unit_test(each_call_message_and_delete_is_a_value_of_its_histogram),
        cmocka_unit_test(no_breach_of_the_contract_deletes_anything_each_is_counted_and_its_kind_logged_once),
        cmocka_unit_test(each_kind_of_breach_is_logged_apart),
    };
    return cmocka_run_group_tests_name("worker_verdicts", tests, local_fixture_start_with_clock, local_fixture_stop);
}
