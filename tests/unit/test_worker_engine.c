/* The engine as a whole under what operators and queues do to it: missing permissions, leases that are refused, drains
 * with several receives outstanding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib/bench.h"
#include "worker/engine_impl.h"

#define MINUTE INT64_C(60000)

static bool
is_numbered_below(const char *id, unsigned limit)
{
    unsigned n;
    return sscanf(id, "m-%u", &n) == 1 && n < limit;
}

/* ---- permissions ---- */

static void
deny_dead_letters(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_SEND_DEAD && entry < 0) {
        fault->call = true;
        fault->code = "AccessDenied";
    }
}

static void
reject_the_first_hundred(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    m->verdict.kind = is_numbered_below(s->id, 100) ? HANDLER_REJECT : HANDLER_DONE;
}

/* The dead-letter queue was deleted, and the RedrivePolicy names another one since. */
static void
first_dead_letter_queue_is_gone(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const struct bench *b = context;
    if (call == SIM_SEND_DEAD && entry < 0 && strcmp(b->sim.queue.dead_letter_url, "http://sim/orders-dlq") == 0) {
        fault->call = true;
        fault->code = "AWS.SimpleQueueService.NonExistentQueue";
    }
}

static void
dead_letters_find_the_queue_that_took_the_place_of_a_deleted_one(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 3, NULL);
    b.reject = 1000;
    bench_run(&b, 2 * MINUTE);
    b.sim.dead_letter_arn = "arn:aws:sqs:us-east-1:000000000000:morgue";
    b.sim.hook = first_dead_letter_queue_is_gone;
    b.sim.context = &b;
    bench_put(&b, 30);
    assert_true(bench_run_until(&b, bench_all_deleted, 3 * MINUTE));
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(b.sim.messages[i].dead_letters, 1);
        assert_int_equal(b.sim.messages[i].handled, 1);
        assert_int_equal(b.sim.messages[i].receives, 1);
    }
    assert_string_equal(b.sim.queue.dead_letter_url, "http://sim/morgue");
    bench_clean_up(&b);
}

/* ... and none since: they are held for as long as it takes to learn that, then they are retried. */
static void
dead_letters_whose_queue_is_gone_for_good_go_back_without_a_storm(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 3, NULL);
    b.reject = 1000;
    bench_run(&b, 2 * MINUTE);
    b.sim.hook = first_dead_letter_queue_is_gone;
    b.sim.context = &b;
    bench_put(&b, 30);
    bench_run(&b, MINUTE);
    b.sim.has_dead_letters = false;
    bench_run(&b, 10 * MINUTE);
    assert_null(b.sim.queue.dead_letter_url);
    assert_in_range(b.sim.calls[SIM_SEND_DEAD], 2, 100);
    for (size_t i = 0; i < 30; i++)
        assert_false(b.sim.messages[i].deleted);
    bench_clean_up(&b);
}

static void
dead_letters_that_may_not_be_sent_do_not_fill_the_worker_for_hours(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.hook = deny_dead_letters;
    b.decide = reject_the_first_hundred;
    bench_put(&b, 100);
    bench_run(&b, MINUTE);
    bench_put(&b, 100);
    bench_run(&b, 10 * MINUTE);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(b.sim.messages[i].deleted, i >= 100);
    assert_in_range(b.sim.calls[SIM_SEND_DEAD], 10, 1500);
    bench_clean_up(&b);
}

static void
reject_all(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_REJECT;
}

/* After the queue's own attributes were read. */
static void
refuse_certificates(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const struct bench *b = context;
    if (call == SIM_FIND && entry < 0 && b->sim.calls[SIM_DESCRIBE] > 0) {
        fault->call = true;
        fault->code = "tls";
    }
}

static void
a_dead_letter_queue_is_asked_for_again_until_there_is_an_answer(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.hook = refuse_certificates;
    b.sim.context = &b;
    b.decide = reject_all;
    bench_put(&b, 1);
    bench_run(&b, 5 * MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_QUEUE);
    assert_in_range(b.sim.calls[SIM_FIND], 10, 100);
    assert_int_equal(b.sim.messages[0].receives, 0);
    b.sim.hook = NULL;
    bench_run(&b, MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_OK);
    assert_int_equal(b.sim.messages[0].dead_letters, 1);
    bench_clean_up(&b);
}

static void
dead_letters_go_to_no_queue_of_another_account(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool ours;
    } found[] = {{"https://sqs.eu-west-1.amazonaws.com/111111111111/orders-dlq", true},
                 {"http://127.0.0.1:4566/111111111111/orders-dlq", true},
                 {"http://localhost:9324/queue/orders-dlq", true}, /* some emulators' URLs tell no account */
                 {"https://sqs.eu-west-1.amazonaws.com/222222222222/orders-dlq", false}};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        struct bench b;
        bench_init(&b, 1, NULL);
        b.sim.dead_letter_arn = "arn:aws:sqs:eu-west-1:111111111111:orders-dlq";
        b.sim.dead_letter_url = found[i].url;
        b.decide = reject_all;
        bench_put(&b, 1);
        bench_run(&b, 10 * MINUTE);
        assert_int_equal(b.sim.messages[0].dead_letters, found[i].ours);
        assert_int_equal(b.sim.messages[0].deleted, found[i].ours);
        bench_clean_up(&b);
    }
}

static void
deny_deletes(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const bool *denied = context;
    if (call == SIM_DELETE && entry < 0 && *denied) {
        fault->call = true;
        fault->code = "AccessDenied";
    }
}

/* What cannot be deleted is held under lease, so that nobody handles it again, up to the in-flight cap and no further;
 * and it is said. */
static void
deletes_that_are_denied_fill_the_cap_and_no_more_and_are_said(void **state)
{
    (void)state;
    struct bench b;
    bool denied = true;
    bench_init(&b, 1, NULL);
    b.sim.hook = deny_deletes;
    b.sim.context = &denied;
    bench_put(&b, 1000);
    bench_run(&b, MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_PERMISSION);
    assert_string_equal(b.health_text, "sqs:DeleteMessage is denied");
    assert_int_equal(bench_in_hand(&b), b.cap);
    unsigned receives = b.sim.calls[SIM_RECEIVE], deletes = b.sim.calls[SIM_DELETE];
    bench_run(&b, 3 * 60 * MINUTE);
    assert_int_equal(b.sim.calls[SIM_RECEIVE], receives);
    assert_in_range(b.sim.calls[SIM_DELETE] - deletes, 3 * 180, 12 * 180); /* a few a minute */
    assert_int_equal(b.most_in_hand, b.cap);
    unsigned handled = 0;
    for (size_t i = 0; i < 1000; i++)
        handled += b.sim.messages[i].handled;
    assert_int_equal(handled, b.cap);

    denied = false;
    assert_true(bench_run_until(&b, bench_all_deleted, 5 * MINUTE));
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(b.sim.messages[i].handled, 1);
    bench_run(&b, 1000);
    assert_int_equal(b.health, IPC_HEALTH_OK);
    assert_int_equal(b.health_changes, 3); /* reached, denied, allowed */
    bench_clean_up(&b);
}

static void
deny_receives(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_RECEIVE && entry < 0) {
        fault->call = true;
        fault->code = "AccessDenied";
    }
}

static void
a_receive_that_is_denied_lacks_a_permission_not_credentials(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.hook = deny_receives;
    bench_run(&b, 30 * MINUTE);
    assert_int_equal(b.health, IPC_HEALTH_PERMISSION);
    assert_in_range(b.sim.calls[SIM_RECEIVE], 30, 200);
    bench_clean_up(&b);
}

static void
health_that_was_not_heard_is_told_again(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.health = IPC_HEALTH_CREDENTIALS;
    b.deaf_to_health = 5;
    bench_run(&b, 4000);
    assert_int_equal(b.deaf_to_health, 1); /* tried once a second, not each turn */
    bench_run(&b, 2000);
    assert_int_equal(b.health, IPC_HEALTH_OK);
    assert_int_equal(b.health_changes, 1);
    bench_clean_up(&b);
}

/* ---- leases ---- */

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    (void)context;
    if (call == SIM_VISIBILITY && entry >= 0)
        fault->entry = fault->sender_fault = true;
}

static int64_t
second_message_takes_long(struct bench *b, const struct message *m)
{
    (void)m;
    return b->threads[0].at == 1 ? 25000 : 1;
}

static void
a_delete_after_the_lease_was_refused_is_late_and_remembered(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.threads = 1;
    bench_init(&b, 1, &o);
    b.sim.hook = refuse_extensions;
    b.takes = second_message_takes_long;
    bench_put(&b, 2);
    bench_run(&b, 28000); /* the lease that was refused would have lasted for 30 s */
    assert_int_equal(b.sim.messages[0].done + b.sim.messages[1].done, 1);
    assert_int_equal(BENCH_COUNT(&b, deleted_late), 1);
    assert_int_equal(BENCH_COUNT(&b, deleted), 0);
    bench_clean_up(&b);
}

static void
refuse_extensions_and_all_but_one_receive(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    struct bench *b = context;
    refuse_extensions(NULL, call, entry, fault);
    fault->call = call == SIM_RECEIVE && entry < 0 && b->sim.calls[SIM_RECEIVE] > 1;
}

/* The call began in time; what deleted was its third attempt. */
static void
a_delete_whose_last_attempt_left_after_the_lease_is_late(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, NULL);
    b.sim.hook = refuse_extensions_and_all_but_one_receive;
    b.sim.context = &b;
    b.sim.retried_ms[SIM_DELETE] = 32000; /* longer than the visibility timeout */
    bench_put(&b, 1);
    bench_run(&b, 35000);
    assert_int_equal(b.sim.messages[0].deleted, true);
    assert_int_equal(BENCH_COUNT(&b, deleted_late), 1);
    assert_int_equal(BENCH_COUNT(&b, deleted), 0);
    bench_clean_up(&b);
}

static int64_t
takes_20_s(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 20000;
}

static void
leases_count_from_when_an_answer_began_to_come(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    bench_init(&b, 1, &o);
    b.sim.visibility_s = 30;
    b.sim.transfer_ms = 25000; /* ten large messages on a slow line */
    b.takes = takes_20_s;
    bench_put(&b, 4);
    assert_true(bench_run_until(&b, bench_all_deleted, 2 * MINUTE));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(b.sim.messages[i].receives, 1);
        assert_int_equal(b.sim.messages[i].handled, 1);
    }
    assert_int_equal(BENCH_COUNT(&b, lost), 0);
    bench_clean_up(&b);
}

static void
fail_visibility(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const bool *failing = context;
    fault->call = call == SIM_VISIBILITY && entry < 0 && *failing;
}

static void
retry_in_twelve_hours(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    (void)s;
    m->verdict.kind = HANDLER_RETRY;
    m->verdict.delay_ms = 12 * 60 * MINUTE;
}

static void
the_longest_delay_is_set_even_if_that_fails_for_a_while(void **state)
{
    (void)state;
    struct bench b;
    bool failing = true;
    bench_init(&b, 1, NULL);
    b.sim.visibility_s = 120;
    b.sim.hook = fail_visibility;
    b.sim.context = &failing;
    b.decide = retry_in_twelve_hours;
    bench_put(&b, 1);
    bench_run(&b, 30000);
    failing = false;
    bench_run(&b, 11 * 60 * MINUTE);
    assert_int_equal(b.sim.messages[0].handled, 1);
    assert_int_equal(bench_in_hand(&b), 0);
    bench_clean_up(&b);
}

/* ---- drains ---- */

static int64_t
the_first_hundred_are_quick(struct bench *b, const struct message *m)
{
    (void)b;
    return is_numbered_below(m->view.id, 100) ? 1 : 5000;
}

static bool
many_receives_wait(struct bench *b)
{
    return b->sim.receiving >= 4 && bench_in_hand(b) == 0;
}

static void
what_a_drain_gives_back_does_not_bounce_through_its_own_receives(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    o.batch_size = 1;
    o.prefetch = 16;
    bench_init(&b, 1, &o);
    b.takes = the_first_hundred_are_quick;
    bench_put(&b, 100);
    assert_true(bench_run_until(&b, many_receives_wait, MINUTE));
    bench_put(&b, 8); /* half of them wait for a thread */
    bench_run(&b, 200);
    assert_int_equal(bench_in_hand(&b), 8);
    assert_true(b.sim.receiving >= 3);
    b.stopping = true;
    engine_drain(b.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 25001));
    for (size_t i = 100; i < 108; i++) {
        assert_in_range(b.sim.messages[i].receives, 1, 2);
        assert_true(b.sim.messages[i].deleted || b.sim.messages[i].visible_at_ms <= sim_now_ms());
    }
    assert_true(bench_ledger_is_empty(&b));
    bench_clean_up(&b);
}

static void
fail_deletes(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    const bool *failing = context;
    if (call == SIM_DELETE && entry >= 0 && *failing)
        fault->entry = true;
    if (call == SIM_VISIBILITY && entry < 0 && *failing)
        fault->call = true;
}

static void
a_drain_tries_at_once_what_waits_for_its_backoff(void **state)
{
    (void)state;
    struct bench b;
    struct engine_options o = bench_defaults();
    bool failing = true;
    o.wait_time_s = 1;
    bench_init(&b, 1, &o);
    b.sim.visibility_s = 600;
    b.sim.hook = fail_deletes;
    b.sim.context = &failing;
    bench_put(&b, 40);
    bench_run(&b, 3 * MINUTE); /* the backoffs have grown to some 20 s */
    assert_int_equal(bench_in_hand(&b), 40);
    failing = false;
    engine_drain(b.engine, sim_now_ms() + 3000, sim_now_ms());
    assert_true(bench_run_until(&b, bench_is_over, 2500));
    assert_true(bench_all_deleted(&b));
    bench_clean_up(&b);
}

/* ---- answers out of their order ---- */

static void
deliver(struct bench *b, const char *handle, unsigned receive_count)
{
    const struct sqs_message r = sim_sqs_message("m-0", handle, "x", receive_count);
    const struct poll_options *o = &b->engine->poll.options;
    o->received(o->context, &r, 1, sim_now_ms(), sim_now_ms());
}

static int64_t
takes_a_minute(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return MINUTE;
}

/* Two receives brought the message, and the answer of the second one arrives first. */
static void
an_answer_that_was_overtaken_does_not_bring_its_old_handle_back(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 5, NULL);
    b.takes = takes_a_minute;
    bench_run(&b, 100);
    sim_put(&b.sim, "x");
    b.sim.messages[0].visible_at_ms = INT64_MAX; /* what the queue hands out is told below */
    deliver(&b, "m-0/2", 2);
    deliver(&b, "m-0/1", 1);
    const struct message *m = b.engine->in_hand.oldest;
    assert_true(slice_equals(m->receipt_handle, SLICE("m-0/2")));
    assert_int_equal(m->receive_count, 2);
    deliver(&b, "m-0/3", 3);
    assert_true(slice_equals(m->receipt_handle, SLICE("m-0/3")));
    assert_int_equal(attempts_of(&b.engine->attempts, m->hash, m->receive_count, 0), 1);
    bench_clean_up(&b);
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_was_overtaken_does_not_bring_its_old_handle_back),
        cmocka_unit_test(dead_letters_find_the_queue_that_took_the_place_of_a_deleted_one),
        cmocka_unit_test(dead_letters_whose_queue_is_gone_for_good_go_back_without_a_storm),
        cmocka_unit_test(dead_letters_that_may_not_be_sent_do_not_fill_the_worker_for_hours),
        cmocka_unit_test(a_dead_letter_queue_is_asked_for_again_until_there_is_an_answer),
        cmocka_unit_test(dead_letters_go_to_no_queue_of_another_account),
        cmocka_unit_test(deletes_that_are_denied_fill_the_cap_and_no_more_and_are_said),
        cmocka_unit_test(a_receive_that_is_denied_lacks_a_permission_not_credentials),
        cmocka_unit_test(health_that_was_not_heard_is_told_again),
        cmocka_unit_test(a_delete_after_the_lease_was_refused_is_late_and_remembered),
        cmocka_unit_test(a_delete_whose_last_attempt_left_after_the_lease_is_late),
        cmocka_unit_test(leases_count_from_when_an_answer_began_to_come),
        cmocka_unit_test(the_longest_delay_is_set_even_if_that_fails_for_a_while),
        cmocka_unit_test(what_a_drain_gives_back_does_not_bounce_through_its_own_receives),
        cmocka_unit_test(a_drain_tries_at_once_what_waits_for_its_backoff),
    };
    return cmocka_run_group_tests_name("worker_engine", tests, NULL, NULL);
}
