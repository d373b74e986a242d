/* What becomes of a message once its handler has spoken: deletes, retries, dead letters, and their failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"

#define MINUTE INT64_C(60000)

/* A failure for the calls of one kind. */
struct failure {
    enum sim_call call;
    bool whole, lost_answer, entry, sender_fault, invalid;
    unsigned times; /* how often */
};

static void
inject(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    struct failure *f = context;
    if (f->times == 0 || call != f->call || (entry < 0) != (f->whole || f->lost_answer))
        return;
    f->times--;
    fault->call = f->whole || f->lost_answer;
    fault->executed = f->lost_answer;
    fault->entry = f->entry;
    fault->sender_fault = f->sender_fault;
    if (f->invalid)
        fault->code = "InvalidParameterValue";
    if (f->sender_fault)
        fault->code = "ReceiptHandleIsInvalid";
}

static void
inject_into(struct bench *b, struct failure *f)
{
    b->sim.hook = inject;
    b->sim.context = f;
}

/* A queue with messages "m-0" to "m-39", of which "m-3" has any call of this kind refused that it is part of. */
#define POISONED 40
#define POISON   3

static void
init_poisoned(struct bench *b, enum sim_call call)
{
    bench_init(b, 1, NULL);
    b->sim.poisoned_call = call;
    b->sim.poison = "m-3";
    bench_put(b, POISONED);
}

/* ---- deletes ---- */

static void
deletes_go_out_ten_at_a_time(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    bench_put(&b, 400);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(BENCH_COUNT(&b, deleted), 400);
    assert_true(b.sim.calls[SIM_DELETE] <= 60);
    bench_clean_up(&b);
}

static void
a_lone_delete_waits_a_few_milliseconds_at_most(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.latency_ms = 0;
    bench_run(&b, 1000);
    bench_put(&b, 1);
    int64_t start_ms = sim_now_ms();
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_in_range(sim_now_ms() - start_ms, 0, 50 + 20); /* the simulated long poll looks every 50 ms */
    bench_clean_up(&b);
}

static void
an_early_verdict_is_carried_out_while_the_batch_still_runs(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.early = 1000;
    b.longest_ms = 2000;
    bench_put(&b, 10);
    bool deleted_early = false;
    while (!bench_all_deleted(&b)) {
        bench_run(&b, 100);
        for (size_t i = 0; i < 10; i++)
            deleted_early |= b.sim.messages[i].deleted && b.threads[0].batch;
    }
    assert_true(deleted_early);
    bench_clean_up(&b);
}

static void
a_failed_delete_is_tried_again_and_the_message_not_handled_again(void **state)
{
    (void)state;
    const struct failure kinds[] = {{.call = SIM_DELETE, .whole = true, .times = 3},
                                    {.call = SIM_DELETE, .lost_answer = true, .times = 3},
                                    {.call = SIM_DELETE, .entry = true, .times = 3}};
    for (size_t k = 0; k < 3; k++) {
        struct bench b;
        struct failure f = kinds[k];
        bench_init(&b, 1, NULL);
        inject_into(&b, &f);
        bench_put(&b, 1);
        bench_run(&b, 3 * MINUTE);
        assert_true(b.sim.messages[0].deleted);
        assert_int_equal(f.times, 0);
        assert_int_equal(b.sim.messages[0].handled, 1);
        assert_int_equal(b.sim.messages[0].receives, 1);
        assert_int_equal(BENCH_COUNT(&b, deleted), 1);
        assert_int_equal(BENCH_COUNT(&b, delete_errors), 3);
        assert_int_equal(bench_in_hand(&b), 0);
        bench_clean_up(&b);
    }
}

static void
an_outage_of_deletes_costs_a_few_calls_a_minute(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_DELETE, .whole = true, .times = UINT32_MAX};
    bench_init(&b, 1, NULL);
    inject_into(&b, &f);
    bench_put(&b, 1000);
    bench_run(&b, MINUTE);
    unsigned calls = b.sim.calls[SIM_DELETE];
    bench_run(&b, 30 * MINUTE);
    assert_in_range(b.sim.calls[SIM_DELETE] - calls, 30, 300);
    assert_int_equal(bench_in_hand(&b), engine_cap(b.engine)); /* held under lease, and no more is taken */
    for (size_t i = 0; i < 1000; i++)
        assert_true(b.sim.messages[i].receives <= 1);
    f.times = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(b.sim.messages[i].handled, 1);
    bench_clean_up(&b);
}

static void
a_refused_delete_is_given_up_and_its_message_deleted_when_it_comes_back(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_DELETE, .entry = true, .sender_fault = true, .times = 1};
    bench_init(&b, 1, NULL);
    inject_into(&b, &f);
    bench_put(&b, 1);
    bench_run(&b, 10000);
    assert_false(b.sim.messages[0].deleted);
    assert_int_equal(bench_in_hand(&b), 0);
    assert_int_equal(BENCH_COUNT(&b, delete_failed), 1);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    bench_run(&b, 1000);
    assert_int_equal(b.sim.messages[0].receives, 2);
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(BENCH_COUNT(&b, redelivered), 1);
    assert_int_equal(BENCH_COUNT(&b, deleted), 1);
    bench_clean_up(&b);
}

static void
a_delete_that_its_whole_call_is_refused_for_holds_up_no_other(void **state)
{
    (void)state;
    struct bench b;
    init_poisoned(&b, SIM_DELETE);
    bench_run(&b, 10000);
    for (size_t i = 0; i < POISONED; i++)
        assert_int_equal(b.sim.messages[i].deleted, i != POISON);
    assert_int_equal(bench_in_hand(&b), 0);
    assert_int_equal(BENCH_COUNT(&b, delete_failed), 1);
    assert_in_range(b.sim.calls[SIM_DELETE], 10, 30);
    unsigned calls = b.sim.calls[SIM_DELETE];
    bench_run(&b, 10 * MINUTE); /* it comes back every 30 s, and is not handled again */
    assert_in_range(b.sim.calls[SIM_DELETE] - calls, 10, 25);
    b.sim.poison = NULL;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    for (size_t i = 0; i < POISONED; i++)
        assert_int_equal(b.sim.messages[i].handled, 1);
    bench_clean_up(&b);
}

/* Not one entry's fault. */
static void
deletes_that_are_all_refused_as_invalid_cost_a_few_calls_a_minute(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_DELETE, .whole = true, .invalid = true, .times = UINT32_MAX};
    bench_init(&b, 1, NULL);
    inject_into(&b, &f);
    bench_put(&b, 1000);
    bench_run(&b, MINUTE);
    unsigned calls = b.sim.calls[SIM_DELETE];
    bench_run(&b, 30 * MINUTE);
    assert_in_range(b.sim.calls[SIM_DELETE] - calls, 30, 300);
    f.times = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(b.sim.messages[i].handled, 1);
    bench_clean_up(&b);
}

/* ---- retries ---- */

static void
retry_once(struct bench *b, struct message *m, struct sim_message *s)
{
    m->verdict.kind = s->handled == 1 ? HANDLER_RETRY : HANDLER_DONE;
    m->verdict.delay_ms = *(const int64_t *)b->context;
}

static void
a_retry_comes_back_after_the_handlers_delay(void **state)
{
    (void)state;
    const int64_t delays_ms[] = {0, 1, 1500, 90000};
    const int64_t seconds[] = {0, 1, 2, 90};
    for (size_t i = 0; i < 4; i++) {
        struct bench b;
        bench_init(&b, 1, NULL);
        b.decide = retry_once;
        b.context = (void *)&delays_ms[i];
        bench_put(&b, 1);
        while (b.sim.calls[SIM_VISIBILITY] == 0)
            bench_run(&b, 1);
        bench_run(&b, 20);
        assert_int_equal(b.sim.last_timeout_s, seconds[i]);
        assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
        assert_int_equal(b.sim.messages[0].receives, 2);
        assert_int_equal(BENCH_COUNT(&b, retried), 1);
        bench_clean_up(&b);
    }
}

static void
always_retry(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)s;
    m->verdict.kind = HANDLER_RETRY;
    unsigned *largest = b->context;
    if (m->receive_count <= 10 && b->sim.last_timeout_s > largest[m->receive_count - 1])
        largest[m->receive_count - 1] = b->sim.last_timeout_s;
}

static void
without_a_delay_retries_back_off_exponentially_up_to_the_cap(void **state)
{
    (void)state;
    unsigned before[10] = {0}; /* the largest delay that led to the n-th receive */
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct bench b;
        bench_init(&b, seed, NULL);
        b.decide = always_retry;
        b.context = before;
        bench_put(&b, 1);
        bench_run(&b, 20 * MINUTE);
        bench_clean_up(&b);
    }
    assert_int_equal(before[1], 1);
    assert_int_equal(before[2], 2);
    assert_in_range(before[3], 3, 4);
    assert_in_range(before[4], 6, 8);
    assert_in_range(before[5], 12, 16);
    assert_in_range(before[8], 50, 60);
    assert_in_range(before[9], 50, 60);
}

static int64_t
until_the_extension(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 14505; /* lease 29 s, refreshed at 14 s: the verdict comes while the extension is under way */
}

static void
a_heartbeat_under_way_does_not_overwrite_the_delay(void **state)
{
    (void)state;
    int64_t delay_ms = 120000;
    for (int64_t latency_ms = 1; latency_ms < 4000; latency_ms = latency_ms * 2 + 1) {
        struct bench b;
        bench_init(&b, (uint64_t)latency_ms, NULL);
        b.sim.latency_ms = latency_ms;
        b.decide = retry_once;
        b.takes = until_the_extension;
        b.context = &delay_ms;
        bench_put(&b, 1);
        while (b.sim.messages[0].handled == 0 || bench_in_hand(&b) > 0)
            bench_run(&b, 1);
        int64_t left_ms = b.sim.messages[0].visible_at_ms - sim_now_ms();
        assert_in_range(left_ms, 120000 - 2 * latency_ms - 10, 120000);
        bench_clean_up(&b);
    }
}

static void
a_retry_whose_delay_cannot_be_set_comes_back_with_its_lease(void **state)
{
    (void)state;
    struct bench b;
    int64_t delay_ms = 600000;
    struct failure f = {.call = SIM_VISIBILITY, .whole = true, .times = UINT32_MAX};
    bench_init(&b, 1, NULL);
    b.decide = retry_once;
    b.context = &delay_ms;
    inject_into(&b, &f);
    bench_put(&b, 1);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.messages[0].handled, 2);
    assert_true(b.sim.calls[SIM_VISIBILITY] < 30);
    bench_clean_up(&b);
}

static void
a_delay_that_its_whole_call_is_refused_for_holds_up_no_other(void **state)
{
    (void)state;
    int64_t delay_ms = 600000;
    struct bench b;
    init_poisoned(&b, SIM_VISIBILITY);
    b.decide = retry_once;
    b.context = &delay_ms;
    bench_run(&b, 10000);
    for (size_t i = 0; i < POISONED; i++) {
        int64_t left_ms = b.sim.messages[i].visible_at_ms - sim_now_ms();
        assert_in_range(left_ms, i == POISON ? 0 : 580000, i == POISON ? 30000 : 600000);
    }
    assert_int_equal(bench_in_hand(&b), 0);
    assert_true(bench_run_until(&b, bench_all_deleted, 15 * MINUTE));
    bench_clean_up(&b);
}

/* ---- dead letters ---- */

static void
reject(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)s;
    m->verdict.kind = HANDLER_REJECT;
    m->verdict.reason = message_copy_reason(b->context);
}

static void
a_rejected_message_is_a_dead_letter_with_its_reason_before_it_is_deleted(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_SEND_DEAD, .whole = true, .times = 3};
    bench_init(&b, 1, NULL);
    inject_into(&b, &f);
    b.decide = reject;
    struct failure *hook = b.sim.context;
    bench_put(&b, 1);
    b.context = "no such user";
    while (hook->times > 0) {
        bench_run(&b, 10);
        assert_false(b.sim.messages[0].deleted);
    }
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    assert_int_equal(b.sim.messages[0].dead_letters, 1);
    assert_string_equal(b.sim.messages[0].dead_reason, "no such user");
    assert_int_equal(b.sim.messages[0].handled, 1);
    bench_run(&b, 1000);
    assert_int_equal(BENCH_COUNT(&b, dead_lettered), 1);
    assert_int_equal(BENCH_COUNT(&b, rejected), 1);
    bench_clean_up(&b);
}

static void
without_a_dead_letter_queue_a_rejected_message_is_retried(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.has_dead_letters = false;
    b.decide = reject;
    bench_put(&b, 1);
    bench_run(&b, 10 * MINUTE);
    assert_false(b.sim.messages[0].deleted);
    assert_in_range(b.sim.messages[0].handled, 5, 60);
    bench_clean_up(&b);
}

static void
a_dead_letter_that_is_refused_stays_in_its_queue(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_SEND_DEAD, .entry = true, .sender_fault = true, .times = UINT32_MAX};
    bench_init(&b, 1, NULL);
    inject_into(&b, &f);
    b.decide = reject;
    bench_put(&b, 1);
    bench_run(&b, 10 * MINUTE);
    assert_false(b.sim.messages[0].deleted);
    assert_in_range(b.sim.messages[0].handled, 5, 60);
    bench_clean_up(&b);
}

static void
a_dead_letter_that_is_refused_is_sent_again_with_less_about_it(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_SEND_DEAD, .entry = true, .sender_fault = true, .times = 2};
    bench_init(&b, 1, NULL);
    inject_into(&b, &f);
    b.decide = reject;
    b.context = "no such user";
    bench_put(&b, 1);
    assert_true(bench_run_until(&b, bench_all_deleted, 1000));
    assert_int_equal(b.sim.messages[0].dead_letters, 1);
    assert_string_equal(b.sim.messages[0].dead_reason, "");
    assert_int_equal(b.sim.calls[SIM_SEND_DEAD], 3);
    assert_int_equal(b.sim.messages[0].handled, 1);
    bench_clean_up(&b);
}

static void
a_dead_letter_that_its_whole_call_is_refused_for_holds_up_no_other(void **state)
{
    (void)state;
    struct bench b;
    init_poisoned(&b, SIM_SEND_DEAD);
    b.decide = reject;
    bench_run(&b, 10000);
    for (size_t i = 0; i < POISONED; i++) {
        assert_int_equal(b.sim.messages[i].dead_letters, i != POISON);
        assert_int_equal(b.sim.messages[i].deleted, i != POISON);
        if (i != POISON)
            assert_int_equal(b.sim.messages[i].handled, 1);
    }
    bench_clean_up(&b);
}

static unsigned extended_before_send;

static void
note_extension(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    struct bench *b = context;
    (void)fault;
    if (call == SIM_SEND_DEAD && entry < 0)
        extended_before_send = b->sim.last_timeout_s;
}

static void
a_move_starts_only_with_half_a_minute_of_lease(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.visibility_s = 10;
    b.sim.hook = note_extension;
    b.sim.context = &b;
    b.decide = reject;
    bench_put(&b, 1);
    extended_before_send = 0;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_true(extended_before_send >= 30);
    bench_clean_up(&b);
}

static void
a_move_whose_lease_cannot_be_extended_leaves_the_message_to_its_queue(void **state)
{
    (void)state;
    struct bench b;
    struct failure f = {.call = SIM_VISIBILITY, .entry = true, .sender_fault = true, .times = 1};
    bench_init(&b, 1, NULL);
    b.sim.visibility_s = 10;
    inject_into(&b, &f);
    b.decide = reject;
    bench_put(&b, 1);
    bench_run(&b, 5000);
    assert_int_equal(b.sim.calls[SIM_SEND_DEAD], 0);
    assert_int_equal(BENCH_COUNT(&b, lost), 1);
    assert_int_equal(bench_in_hand(&b), 0);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.messages[0].handled, 2);
    assert_int_equal(b.sim.messages[0].dead_letters, 1);
    bench_clean_up(&b);
}

/* ---- redeliveries ---- */

static void
a_message_received_again_while_in_hand_is_handled_once_and_deleted_by_its_newest_handle(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.longest_ms = 3000;
    b.sim.duplicates = 200;
    bench_put(&b, 100);
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    unsigned receives = 0;
    for (size_t i = 0; i < 100; i++)
        receives += b.sim.messages[i].receives;
    assert_true(receives > 110);
    bench_run(&b, 5000);
    assert_int_equal(bench_in_hand(&b), 0);
    bench_clean_up(&b);
}

/* One message whose call of this kind is on its way when the queue delivers it a second time. */
static void
deliver_again_during(struct bench *b, enum sim_call call)
{
    b->sim.latency_ms = 0;
    b->sim.extra_ms[call] = 300;
    bench_run(b, 1000);
    struct sim_message *m = sim_put(&b->sim, "x");
    while (b->sim.calls[call] == 0)
        bench_run(b, 1);
    b->sim.duplicates = 1000;
    while (m->receives == 1)
        bench_run(b, 1);
    b->sim.duplicates = 0;
    b->sim.extra_ms[call] = 0;
    assert_int_equal(m->receives, 2);
    assert_false(m->deleted);
}

static void
a_delete_by_an_older_handle_is_sent_again_with_the_newer_one(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    deliver_again_during(&b, SIM_DELETE);
    bench_run(&b, 20000);
    assert_true(b.sim.messages[0].deleted);
    assert_int_equal(b.sim.calls[SIM_DELETE], 2);
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(BENCH_COUNT(&b, redelivered), 1);
    bench_clean_up(&b);
}

static void
a_delay_set_by_an_older_handle_is_set_again_with_the_newer_one(void **state)
{
    (void)state;
    int64_t delay_ms = 600000;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.decide = retry_once;
    b.context = &delay_ms;
    deliver_again_during(&b, SIM_VISIBILITY);
    bench_run(&b, 120000);
    assert_int_equal(b.sim.messages[0].receives, 2);
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_true(bench_run_until(&b, bench_all_deleted, 15 * MINUTE));
    bench_clean_up(&b);
}

static void
a_message_delivered_again_after_its_delete_was_confirmed_is_not_handled_again(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    bench_put(&b, 1);
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    sim_undelete(&b.sim, 0);
    bench_run(&b, 2 * MINUTE);
    assert_true(b.sim.messages[0].deleted);
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(BENCH_COUNT(&b, redelivered), 1);
    bench_clean_up(&b);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deletes_go_out_ten_at_a_time),
        cmocka_unit_test(a_lone_delete_waits_a_few_milliseconds_at_most),
        cmocka_unit_test(an_early_verdict_is_carried_out_while_the_batch_still_runs),
        cmocka_unit_test(a_failed_delete_is_tried_again_and_the_message_not_handled_again),
        cmocka_unit_test(an_outage_of_deletes_costs_a_few_calls_a_minute),
        cmocka_unit_test(a_refused_delete_is_given_up_and_its_message_deleted_when_it_comes_back),
        cmocka_unit_test(a_delete_that_its_whole_call_is_refused_for_holds_up_no_other),
        cmocka_unit_test(deletes_that_are_all_refused_as_invalid_cost_a_few_calls_a_minute),
        cmocka_unit_test(a_retry_comes_back_after_the_handlers_delay),
        cmocka_unit_test(without_a_delay_retries_back_off_exponentially_up_to_the_cap),
        cmocka_unit_test(a_heartbeat_under_way_does_not_overwrite_the_delay),
        cmocka_unit_test(a_retry_whose_delay_cannot_be_set_comes_back_with_its_lease),
        cmocka_unit_test(a_delay_that_its_whole_call_is_refused_for_holds_up_no_other),
        cmocka_unit_test(a_rejected_message_is_a_dead_letter_with_its_reason_before_it_is_deleted),
        cmocka_unit_test(without_a_dead_letter_queue_a_rejected_message_is_retried),
        cmocka_unit_test(a_dead_letter_that_is_refused_stays_in_its_queue),
        cmocka_unit_test(a_dead_letter_that_is_refused_is_sent_again_with_less_about_it),
        cmocka_unit_test(a_dead_letter_that_its_whole_call_is_refused_for_holds_up_no_other),
        cmocka_unit_test(a_move_starts_only_with_half_a_minute_of_lease),
        cmocka_unit_test(a_move_whose_lease_cannot_be_extended_leaves_the_message_to_its_queue),
        cmocka_unit_test(a_delete_by_an_older_handle_is_sent_again_with_the_newer_one),
        cmocka_unit_test(a_delay_set_by_an_older_handle_is_set_again_with_the_newer_one),
        cmocka_unit_test(a_message_delivered_again_after_its_delete_was_confirmed_is_not_handled_again),
        cmocka_unit_test(a_message_received_again_while_in_hand_is_handled_once_and_deleted_by_its_newest_handle),
    };
    return cmocka_run_group_tests_name("worker_settle", tests, NULL, NULL);
}
