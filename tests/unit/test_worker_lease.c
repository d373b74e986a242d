/* Leases: kept alive while a message is in hand, and what happens when that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

static int64_t
takes_so_long(struct bench *b, const struct message *m)
{
    (void)m;
    return *(const int64_t *)b->context;
}

/* Handlers take *ms for each message. */
static void
begin(struct bench *b, const struct engine_options *o, int64_t *ms)
{
    bench_init(b, 1, o);
    b->takes = takes_so_long;
    b->context = ms;
}

static void
a_slow_handler_keeps_its_messages(void **state)
{
    (void)state;
    const int visibilities_s[] = {2, 10, 30, 600};
    for (size_t i = 0; i < 4; i++) {
        struct bench b;
        int64_t ms = 10 * MINUTE;
        begin(&b, NULL, &ms);
        b.sim.visibility_s = visibilities_s[i];
        bench_put(&b, 3);
        assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(b.sim.messages[k].receives, 1);
        assert_int_equal(BENCH_COUNT(&b, lost), 0);
        bench_clean_up(&b);
    }
}

static void
extensions_go_out_at_half_the_visibility_timeout_ten_a_call(void **state)
{
    (void)state;
    struct bench b;
    int64_t ms = HOUR;
    begin(&b, NULL, &ms);
    bench_put(&b, 40);
    bench_run(&b, 10 * MINUTE);
    /* 40 messages, every 15 s for 10 minutes: 4 calls each time */
    assert_in_range(b.sim.calls[SIM_VISIBILITY], 140, 190);
    assert_in_range(b.sim.entries[SIM_VISIBILITY], 1500, 1720);
    assert_int_equal(BENCH_COUNT(&b, extended), b.sim.entries[SIM_VISIBILITY]);
    bench_clean_up(&b);
}

static void
queued_messages_are_extended_too(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = 5 * MINUTE;
    o.batch_size = 1;
    begin(&b, &o, &ms);
    bench_put(&b, 8); /* four are handled, four wait for five minutes */
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    for (size_t k = 0; k < 8; k++)
        assert_int_equal(b.sim.messages[k].receives, 1);
    bench_clean_up(&b);
}

static void
a_batch_that_waits_for_its_window_is_extended_too(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 100;
    o.batch_window_ms = 60000;
    bench_init(&b, 1, &o);
    b.sim.visibility_s = 5;
    bench_put(&b, 30);
    assert_true(bench_run_until(&b, bench_all_deleted, 10 * MINUTE));
    assert_int_equal(b.largest_batch, 30);
    assert_int_equal(b.batches, 1);
    bench_clean_up(&b);
}

static void
no_visibility(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_VISIBILITY && entry < 0)
        fault->call = true;
}

static void
a_lease_that_cannot_be_extended_is_lost_and_its_message_comes_back(void **state)
{
    (void)state;
    struct bench b;
    int64_t ms = 2 * MINUTE;
    begin(&b, NULL, &ms);
    b.sim.hook = no_visibility;
    bench_put(&b, 1);
    bench_run(&b, 40000);
    assert_int_equal(BENCH_COUNT(&b, lost), 1);
    assert_true(b.sim.calls[SIM_VISIBILITY] >= 3); /* tried more than once in the 15 s that were left */
    assert_true(b.sim.calls[SIM_VISIBILITY] < 60);
    bench_clean_up(&b);
}

static void
an_extension_that_its_whole_call_is_refused_for_costs_no_other_message_its_lease(void **state)
{
    (void)state;
    struct bench b;
    int64_t ms = 5 * MINUTE;
    begin(&b, NULL, &ms);
    b.sim.poisoned_call = SIM_VISIBILITY;
    b.sim.poison = "m-3";
    bench_put(&b, 40);
    bench_run(&b, 4 * MINUTE);
    for (size_t i = 0; i < 40; i++)
        if (i != 3)
            assert_int_equal(b.sim.messages[i].receives, 1);
    assert_true(b.sim.messages[3].receives > 1);
    bench_clean_up(&b);
}

static int64_t
second_takes_a_minute(struct bench *b, const struct message *m)
{
    (void)m;
    return b->threads[0].at == 1 ? MINUTE : 1000;
}

static void
done_after_the_lease_was_over_is_deleted_late_and_counted_apart(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.threads = 1;
    o.batch_size = 2;
    o.prefetch = 0;
    bench_init(&b, 1, &o);
    b.takes = second_takes_a_minute;
    b.sim.hook = no_visibility;
    bench_put(&b, 2);
    bench_run(&b, 59000);
    assert_int_equal(BENCH_COUNT(&b, lost), 2);
    bench_run(&b, 3000); /* the batch returns: one is done, the other was told that it is lost */
    assert_int_equal(b.sim.messages[0].done + b.sim.messages[1].done, 1);
    assert_int_equal(b.sim.messages[0].deleted, b.sim.messages[0].done);
    assert_int_equal(b.sim.messages[1].deleted, b.sim.messages[1].done);
    assert_int_equal(BENCH_COUNT(&b, deleted), 0);
    assert_int_equal(BENCH_COUNT(&b, deleted_late), 1);
    bench_clean_up(&b);
}

static void
a_lost_message_that_comes_back_to_the_same_worker_is_its_own_again(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = MINUTE;
    o.batch_size = 1;
    begin(&b, &o, &ms);
    b.sim.hook = no_visibility;
    bench_put(&b, 1);
    bench_run(&b, 29500);
    assert_int_equal(BENCH_COUNT(&b, lost), 1);
    b.sim.hook = NULL;
    assert_true(bench_run_until(&b, bench_all_deleted, 2 * MINUTE));
    bench_run(&b, 1000);
    assert_int_equal(b.sim.messages[0].receives, 2);
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(BENCH_COUNT(&b, deleted), 1);
    bench_clean_up(&b);
}

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_VISIBILITY && entry == 0) {
        fault->entry = fault->sender_fault = true;
        fault->code = "InvalidParameterValue";
    }
}

static void
a_refused_extension_loses_that_message_alone(void **state)
{
    (void)state;
    struct bench b;
    int64_t ms = 60000;
    begin(&b, NULL, &ms);
    bench_put(&b, 10);
    b.sim.hook = refuse_extensions;
    while (b.sim.calls[SIM_VISIBILITY] == 0)
        bench_run(&b, 100);
    b.sim.hook = NULL;
    bench_run(&b, 1000);
    assert_int_equal(BENCH_COUNT(&b, lost), 1);
    assert_int_equal(BENCH_COUNT(&b, extended), 9);
    bench_clean_up(&b);
}

static void
fail_one_entry(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    unsigned *times = context;
    if (call == SIM_VISIBILITY && entry == 0 && *times > 0) {
        --*times;
        fault->entry = true;
    }
}

static void
an_extension_that_failed_for_no_fault_of_ours_is_tried_again(void **state)
{
    (void)state;
    struct bench b;
    int64_t ms = 60000;
    unsigned times = 3;
    begin(&b, NULL, &ms);
    b.sim.hook = fail_one_entry;
    b.sim.context = &times;
    bench_put(&b, 1);
    bench_run(&b, 30000);
    assert_int_equal(times, 0);
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    assert_int_equal(BENCH_COUNT(&b, extend_errors), 3);
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    assert_int_equal(b.sim.messages[0].receives, 1);
    bench_clean_up(&b);
}

static void
nothing_is_extended_past_twelve_hours_from_the_receive(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = 30 * HOUR;
    o.visibility_timeout_s = 600;
    begin(&b, &o, &ms);
    bench_put(&b, 1);
    bench_run(&b, 11 * HOUR + 59 * MINUTE);
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    assert_int_equal(b.sim.messages[0].receives, 1);
    int64_t visible_at_ms = b.sim.messages[0].visible_at_ms;
    atomic_store(&b.threads[0].batch->messages[0]->asked_until_ms, sim_now_ms() + HOUR);
    inbox_push(&b.inbox, &b.threads[0].batch->extend);
    bench_run(&b, 1000);
    assert_int_equal(b.sim.messages[0].visible_at_ms, visible_at_ms); /* and nothing is given away trying */
    bench_run(&b, 6 * MINUTE);
    assert_int_equal(BENCH_COUNT(&b, lost), 1);
    assert_int_equal(BENCH_COUNT(&b, extend_errors), 0);
    bench_clean_up(&b);
}

static void
retries_after_eleven_hours(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_RETRY;
    m->verdict.delay_ms = 11 * HOUR;
}

static void
no_message_is_held_for_its_handler_past_lease_max_s(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = HOUR;
    o.threads = 1;
    o.batch_size = 1;
    o.lease_max_s = 100;
    begin(&b, &o, &ms);
    bench_put(&b, 2); /* one is handled, one waits */
    bench_run(&b, 98000);
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    int64_t now_ms = sim_now_ms();
    struct message *m = b.threads[0].batch->messages[0];
    assert_in_range(sim_find(&b.sim, m->view.id)->visible_at_ms - now_ms, 0, 2500);
    assert_int_equal(sim_find(&b.sim, m->view.id)->receives, 1);
    assert_in_range(message_lease_left_ms(m, now_ms), 1, 2500); /* what its handler is told */
    atomic_store(&m->asked_until_ms, now_ms + HOUR);
    inbox_push(&b.inbox, &b.threads[0].batch->extend);
    bench_run(&b, 500);
    assert_true(message_lease_left_ms(m, now_ms) <= 2500); /* not by asking for it, either */
    b.stopping = true;
    engine_drain(b.engine, sim_now_ms() + 10000, sim_now_ms()); /* so that it is not received again */
    bench_run(&b, 3000);
    assert_int_equal(message_lease_left_ms(m, sim_now_ms()), 0);
    assert_int_equal(BENCH_COUNT(&b, lost), BENCH_COUNT(&b, held_too_long));
    assert_int_equal(BENCH_COUNT(&b, held_too_long), 1); /* not the one that waits */
    assert_int_equal(BENCH_COUNT(&b, extend_errors), 0);
    bench_clean_up(&b);
}

static int64_t
first_hangs(struct bench *b, const struct message *m)
{
    return m == b->threads[0].batch->messages[0] && b->threads[0].at == 0 ? *(const int64_t *)b->context : 1000;
}

static void
what_is_queued_behind_one_that_hangs_is_not_held_for_too_long(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = 10 * MINUTE;
    o.threads = 1;
    o.prefetch = 0;
    o.batch_size = 6;
    o.batch_window_ms = 5000;
    o.lease_max_s = 60;
    bench_init(&b, 1, &o);
    b.each = true;
    b.early = 1000; /* as a plugin with handle: each verdict at once */
    b.takes = first_hangs;
    b.context = &ms;
    bench_put(&b, 6);
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    assert_true(BENCH_COUNT(&b, held_too_long) > 0);
    assert_int_equal(BENCH_COUNT(&b, lost), BENCH_COUNT(&b, held_too_long));
    size_t again = 0;
    for (size_t k = 0; k < 6; k++) {
        assert_int_equal(b.sim.messages[k].handled, 1);
        again += b.sim.messages[k].receives > 1;
    }
    assert_int_equal(again, 1); /* the one that hangs */
    bench_clean_up(&b);
}

static int64_t
each_takes_half_a_minute(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 30000;
}

static void
lease_max_s_counts_from_the_begin_of_each_call_in_a_batch(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.lease_max_s = 60;
    bench_init(&b, 1, &o);
    b.each = true;
    b.early = 1000; /* as a plugin with handle: each verdict at once */
    b.takes = each_takes_half_a_minute;
    bench_put(&b, 10);
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    for (size_t k = 0; k < 10; k++)
        assert_int_equal(b.sim.messages[k].receives, 1);
    bench_clean_up(&b);
}

static int64_t
second_hangs(struct bench *b, const struct message *m)
{
    (void)m;
    return b->threads[0].at == 1 ? HOUR : *(const int64_t *)b->context;
}

static void
one_that_began_between_two_extensions_ends_with_its_lease_max_s(void **state)
{
    (void)state;
    for (int64_t ms = 1000; ms <= 120000; ms += 1700) {
        struct bench b;
        struct engine_options o = bench_defaults();
        o.threads = 1;
        o.prefetch = 0;
        o.batch_size = 2;
        o.batch_window_ms = 5000;
        o.lease_max_s = 45;
        bench_init(&b, 1, &o);
        b.each = true;
        b.early = 1000; /* as a plugin with handle: each verdict at once */
        b.takes = second_hangs;
        b.context = &ms;
        bench_put(&b, 2);
        while (!b.threads[0].batch || b.threads[0].at == 0)
            bench_run(&b, 10); /* the first is lost when it takes long */
        int64_t began_ms = sim_now_ms();
        struct message *m = b.threads[0].batch->messages[1];
        long lost = BENCH_COUNT(&b, lost);
        while (BENCH_COUNT(&b, lost) == lost) {
            bench_run(&b, 100);
            if (BENCH_COUNT(&b, lost) == lost) /* or it is here again */
                assert_true(message_lease_left_ms(m, sim_now_ms()) <= began_ms + 45000 - sim_now_ms());
        }
        assert_in_range(sim_now_ms() - began_ms, 42000, 45200);
        bench_clean_up(&b);
    }
}

static void
fails_the_first_time(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    m->verdict.kind = s->handled > 1 ? HANDLER_DONE : HANDLER_RETRY;
    m->verdict.delay_ms = 20000;
}

static void
a_message_that_is_tried_again_here_has_all_of_lease_max_s_again(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = 41000;
    o.lease_max_s = 45;
    bench_init_fifo(&b, 1, &o);
    b.decide = fails_the_first_time;
    b.takes = takes_so_long;
    b.context = &ms;
    sim_put_in_group(&b.sim, 0, "x");
    assert_true(bench_run_until(&b, bench_all_deleted, HOUR));
    assert_int_equal(BENCH_COUNT(&b, retried_here), 1);
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    assert_int_equal(b.sim.messages[0].receives, 1);
    bench_clean_up(&b);
}

static void
fail_deletes(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_DELETE && entry >= 0)
        fault->entry = true;
}

static void
what_is_decided_is_held_past_lease_max_s_until_that_is_confirmed(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = 20000;
    o.lease_max_s = 40;
    begin(&b, &o, &ms);
    b.sim.hook = fail_deletes;
    bench_put(&b, 1);
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    assert_int_equal(BENCH_COUNT(&b, delete_failed), 0);
    b.sim.hook = NULL;
    assert_true(bench_run_until(&b, bench_all_deleted, MINUTE));
    assert_int_equal(b.sim.messages[0].receives, 1);
    assert_int_equal(BENCH_COUNT(&b, deleted), 1);
    bench_clean_up(&b);
}

static void
a_delay_past_twelve_hours_is_cut_to_what_the_queue_accepts(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = 10 * HOUR;
    o.visibility_timeout_s = 600;
    bench_init(&b, 1, &o);
    b.decide = retries_after_eleven_hours;
    b.takes = takes_so_long;
    b.context = &ms;
    bench_put(&b, 1);
    while (b.sim.messages[0].handled == 0 || bench_in_hand(&b) > 0)
        bench_run(&b, 1000);
    assert_in_range(b.sim.last_timeout_s, 2 * 3600 - 60 - 1200, 2 * 3600);
    assert_true(b.sim.messages[0].visible_at_ms > sim_now_ms() + HOUR);
    bench_clean_up(&b);
}

static void
a_handlers_wish_for_a_longer_lease_is_asked_of_the_queue_at_once(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = HOUR;
    o.batch_size = 1;
    begin(&b, &o, &ms);
    bench_put(&b, 1);
    while (!b.threads[0].batch)
        bench_run(&b, 10);
    struct batch *batch = b.threads[0].batch;
    atomic_store(&batch->messages[0]->asked_until_ms, sim_now_ms() + 20 * MINUTE);
    inbox_push(&b.inbox, &batch->extend);
    bench_run(&b, 1000);
    assert_in_range(b.sim.last_timeout_s, 1190, 1201);
    unsigned calls = b.sim.calls[SIM_VISIBILITY];
    bench_run(&b, 19 * MINUTE);
    assert_int_equal(b.sim.calls[SIM_VISIBILITY], calls); /* nothing shortens it */
    assert_true(bench_run_until(&b, bench_all_deleted, 2 * HOUR));
    assert_int_equal(b.sim.messages[0].receives, 1);
    bench_clean_up(&b);
}

static void
after_its_lease_was_lost_a_queued_message_is_not_started(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    int64_t ms = MINUTE;
    o.threads = 4;
    o.batch_size = 2;
    begin(&b, &o, &ms);
    b.sim.hook = no_visibility;
    bench_put(&b, 16);
    bench_run(&b, 90000);
    unsigned handled = 0;
    for (size_t i = 0; i < 16; i++)
        handled += b.sim.messages[i].handled;
    assert_int_equal(handled, 0); /* every handling of this test begins after the lease is over */
    bench_clean_up(&b);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_handler_keeps_its_messages),
        cmocka_unit_test(extensions_go_out_at_half_the_visibility_timeout_ten_a_call),
        cmocka_unit_test(queued_messages_are_extended_too),
        cmocka_unit_test(a_batch_that_waits_for_its_window_is_extended_too),
        cmocka_unit_test(an_extension_that_its_whole_call_is_refused_for_costs_no_other_message_its_lease),
        cmocka_unit_test(a_lease_that_cannot_be_extended_is_lost_and_its_message_comes_back),
        cmocka_unit_test(done_after_the_lease_was_over_is_deleted_late_and_counted_apart),
        cmocka_unit_test(a_lost_message_that_comes_back_to_the_same_worker_is_its_own_again),
        cmocka_unit_test(a_refused_extension_loses_that_message_alone),
        cmocka_unit_test(an_extension_that_failed_for_no_fault_of_ours_is_tried_again),
        cmocka_unit_test(nothing_is_extended_past_twelve_hours_from_the_receive),
        cmocka_unit_test(no_message_is_held_for_its_handler_past_lease_max_s),
        cmocka_unit_test(what_is_queued_behind_one_that_hangs_is_not_held_for_too_long),
        cmocka_unit_test(lease_max_s_counts_from_the_begin_of_each_call_in_a_batch),
        cmocka_unit_test(one_that_began_between_two_extensions_ends_with_its_lease_max_s),
        cmocka_unit_test(a_message_that_is_tried_again_here_has_all_of_lease_max_s_again),
        cmocka_unit_test(what_is_decided_is_held_past_lease_max_s_until_that_is_confirmed),
        cmocka_unit_test(a_delay_past_twelve_hours_is_cut_to_what_the_queue_accepts),
        cmocka_unit_test(a_handlers_wish_for_a_longer_lease_is_asked_of_the_queue_at_once),
        cmocka_unit_test(after_its_lease_was_lost_a_queued_message_is_not_started),
    };
    return cmocka_run_group_tests_name("worker_lease", tests, NULL, NULL);
}
