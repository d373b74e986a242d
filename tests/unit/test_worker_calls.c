/* What a plugin may and may not do in a call, and what becomes of its messages then (pool_calls.c, host.c). */
#include <pthread.h>
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
#include "worker/publish_list.h"

static const struct handler_host *const host = &host_table;

/* ---- verdicts ---- */

static void
each_message_gets_the_verdict_its_call_returned(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 1);
    const int32_t answers[] = {HANDLER_DONE, HANDLER_RETRY, HANDLER_REJECT};
    memcpy(pool_rig.answers, answers, sizeof answers);
    struct batch *b = pool_rig_run(3);
    assert_int_equal(pool_rig.n_settled, 3); /* one by one, not with the batch */
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(pool_rig.settled[i], b->messages[i]);
        assert_int_equal(b->messages[i]->verdict.kind, answers[i]);
        assert_int_equal(b->messages[i]->verdict.delay_ms, -1);
    }
    assert_int_equal(pool_rig_violations(), 0);
    assert_int_equal(atomic_load(&pool_rig.metrics->handled), 3);
    assert_int_equal(atomic_load(&pool_rig.metrics->batches), 3);
    pool_rig_end(b);
}

static void
what_a_batch_call_returns_goes_to_what_it_did_not_settle(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.answers[0] = HANDLER_DONE;
    struct batch *b = pool_rig_run(3);
    assert_int_equal(pool_rig.n_settled, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_DONE);
    assert_int_equal(atomic_load(&pool_rig.metrics->handled), 3);
    assert_int_equal(atomic_load(&pool_rig.metrics->batches), 1);
    pool_rig_end(b);
}

static void
settle_some(struct handler_call *call, uint32_t count)
{
    pool_rig.results[0] = host->settle(call, 1, HANDLER_DONE, 0, NULL);
    pool_rig.results[1] = host->settle(call, 2, HANDLER_RETRY, 5000, "not\nyet");
    pool_rig.results[2] = host->settle(call, count - 1, HANDLER_REJECT, 0, "never");
    pool_rig.results[3] = host->settle(call, 3, HANDLER_RETRY, INT64_MAX, NULL);
}

static void
messages_can_be_settled_one_by_one_while_the_call_goes_on(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.answers[0] = HANDLER_RETRY;
    pool_rig.in_call = settle_some;
    struct batch *b = pool_rig_run(5);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pool_rig.results[i], HANDLER_OK);
    assert_int_equal(pool_rig.n_settled, 4);
    assert_ptr_equal(pool_rig.settled[0], b->messages[1]);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[2]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[2]->verdict.delay_ms, 5000);
    assert_string_equal(b->messages[2]->verdict.reason, "not yet");
    assert_int_equal(b->messages[3]->verdict.delay_ms, 43200000);
    assert_int_equal(b->messages[4]->verdict.kind, HANDLER_REJECT);
    assert_string_equal(b->messages[4]->verdict.reason, "never");
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY); /* by the return value */
    assert_int_equal(pool_rig_violations(), 0);
    pool_rig_end(b);
}

static void
settle_with_a_reason(struct handler_call *call, uint32_t count)
{
    (void)count;
    host->settle(call, 0, HANDLER_REJECT, 0, "because");
}

static void
in_handle_a_settled_verdict_stands_against_the_returned_one(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 1);
    pool_rig.in_call = settle_with_a_reason;
    pool_rig.answers[0] = HANDLER_DONE;
    pool_rig.answers[1] = HANDLER_UNSET; /* "as I said" */
    struct batch *b = pool_rig_run(2);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_REJECT);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_REJECT);
    assert_string_equal(b->messages[1]->verdict.reason, "because");
    assert_int_equal(pool_rig.n_settled, 2);
    assert_int_equal(pool_rig_violations(), 0);
    pool_rig_end(b);
}

/* ---- breaches of the contract ---- */

static void
a_return_value_that_is_no_verdict_means_retry(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_EACH, 1);
    const int32_t answers[] = {0, -1, 5, 100, INT32_MAX, HANDLER_DONE};
    memcpy(pool_rig.answers, answers, sizeof answers);
    struct batch *b = pool_rig_run(6);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[5]->verdict.kind, HANDLER_DONE);
    assert_int_equal(pool_rig_violations(), 5);
    pool_rig_end(b);

    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.answers[0] = 77;
    b = pool_rig_run(3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(pool_rig_violations(), 1);
    pool_rig_end(b);
}

static void
settle_the_first(struct handler_call *call, uint32_t count)
{
    (void)count;
    host->settle(call, 0, HANDLER_DONE, 0, NULL);
}

static void
a_message_that_was_forgotten_is_retried(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = settle_the_first;
    pool_rig.answers[0] = HANDLER_UNSET;
    struct batch *b = pool_rig_run(3);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[2]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(pool_rig_violations(), 2);
    pool_rig_end(b);
}

static void
settle_wrongly(struct handler_call *call, uint32_t count)
{
    pool_rig.results[0] = host->settle(call, count, HANDLER_DONE, 0, NULL);
    pool_rig.results[1] = host->settle(call, UINT32_MAX, HANDLER_DONE, 0, NULL);
    pool_rig.results[2] = host->settle(call, 0, HANDLER_UNSET, 0, NULL);
    pool_rig.results[3] = host->settle(call, 0, 100, 0, NULL);
    pool_rig.results[4] = host->settle(call, 0, HANDLER_RETRY, 0, NULL);
    pool_rig.results[5] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
}

static void
a_wrong_settle_is_refused_counted_and_never_makes_a_message_done(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = settle_wrongly;
    pool_rig.answers[0] = HANDLER_RETRY;
    struct batch *b = pool_rig_run(2);
    const int32_t expected[] = {HANDLER_E_INDEX,   HANDLER_E_INDEX, HANDLER_E_VERDICT,
                                HANDLER_E_VERDICT, HANDLER_OK,      HANDLER_E_SETTLED};
    assert_memory_equal(pool_rig.results, expected, sizeof expected);
    assert_int_equal(pool_rig_violations(), 5);
    assert_int_equal(pool_rig.n_settled, 1);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_RETRY);
    pool_rig_end(b);
}

static void *
settle_from_elsewhere(void *call)
{
    pool_rig.results[0] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
    pool_rig.results[1] = (int32_t)host->remaining_ms(call);
    pool_rig.results[2] = host->extend(call, 1000);
    return NULL;
}

static void
start_a_thread(struct handler_call *call, uint32_t count)
{
    pthread_t t;
    (void)count;
    pthread_create(&t, NULL, settle_from_elsewhere, call);
    pthread_join(t, NULL);
    pool_rig.stale = call;
}

static void
a_call_belongs_to_its_thread_and_ends_when_it_returns(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = start_a_thread;
    pool_rig.answers[0] = HANDLER_RETRY;
    struct batch *b = pool_rig_run(1);
    assert_int_equal(pool_rig.results[0], HANDLER_E_INDEX);
    assert_int_equal(pool_rig.results[1], 0);
    assert_int_equal(pool_rig.results[2], HANDLER_E_LOST);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(host->settle(pool_rig.stale, 0, HANDLER_DONE, 0, NULL), HANDLER_E_INDEX);
    assert_int_equal(pool_rig_violations(), 4);
    assert_int_equal(pool_rig.n_settled, 0);
    pool_rig_end(b);
}

static void
pass_null(struct handler_call *call, uint32_t count)
{
    (void)call;
    (void)count;
    pool_rig.results[0] = host->settle(NULL, 0, HANDLER_DONE, 0, NULL);
    pool_rig.results[1] = (int32_t)host->remaining_ms(NULL);
    pool_rig.results[2] = host->extend(NULL, 1000);
    pool_rig.results[3] = host->stopping(NULL);
    pool_rig.results[4] = host->option(NULL) != NULL || host->extension(NULL) != NULL;
    host->log(NULL, HANDLER_LOG_INFO, NULL);
    host->log(call, HANDLER_LOG_INFO, NULL);
}

static void
null_in_place_of_a_call_is_refused_and_counted(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = pass_null;
    pool_rig.answers[0] = HANDLER_RETRY;
    struct batch *b = pool_rig_run(1);
    const int32_t expected[] = {HANDLER_E_INDEX, 0, HANDLER_E_LOST, 0, 0};
    assert_memory_equal(pool_rig.results, expected, sizeof expected);
    assert_int_equal(pool_rig_violations(), 4);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
    pass_null(NULL, 0); /* on a thread that is no handler's nobody can be blamed */
    assert_int_equal(pool_rig_violations(), 4);
    pool_rig_end(b);
}

/* ---- publishing ---- */

static int32_t
publish_for(struct handler_call *call, uint32_t index)
{
    const struct handler_publish_extension *p = host->extension(HANDLER_PUBLISH_EXTENSION);
    const struct handler_new_event event = {.size = sizeof event,
                                            .source = HANDLER_TEXT("shop"),
                                            .detail_type = HANDLER_TEXT("Paid"),
                                            .detail = HANDLER_TEXT("{}")};
    const struct handler_new_message message = {.size = sizeof message, .body = HANDLER_TEXT("x")};
    int32_t rc = p->event(call, index, &event);
    assert_int_equal(p->message(call, index, &message), rc);
    return rc;
}

static void
publish_rightly_and_wrongly(struct handler_call *call, uint32_t count)
{
    const struct handler_publish_extension *p = host->extension(HANDLER_PUBLISH_EXTENSION);
    const struct handler_new_event nothing = {.size = sizeof nothing};
    pool_rig.results[0] = publish_for(call, 0);
    pool_rig.results[1] = publish_for(call, count);
    pool_rig.results[2] = publish_for(NULL, 0);
    host->settle(call, 0, HANDLER_DONE, 0, NULL);
    pool_rig.results[3] = publish_for(call, 0);
    atomic_store(&call->messages[1]->lost, true);
    pool_rig.results[4] = publish_for(call, 1);
    pool_rig.results[5] = p->event(call, 2, &nothing);
    pool_rig.results[6] = p->message(call, 2, NULL);
}

static void
what_is_published_belongs_to_a_message_that_is_not_settled(void **state)
{
    (void)state;
    struct publish_desk desk = {.bus = "orders", .queue = "invoices", .max_bytes = 1 << 20};
    pool_rig_begin_with(&POOL_RIG_TOGETHER);
    pool_rig.desk = &desk;
    struct err e;
    assert_int_equal(pool_rig_try_begin(1, &e), 0);
    pool_rig.in_call = publish_rightly_and_wrongly;
    pool_rig.answers[0] = HANDLER_DONE;
    struct batch *b = pool_rig_run(3);
    const int32_t expected[] = {HANDLER_OK,     HANDLER_E_INDEX,   HANDLER_E_INDEX,  HANDLER_E_SETTLED,
                                HANDLER_E_LOST, HANDLER_E_INVALID, HANDLER_E_INVALID};
    assert_memory_equal(pool_rig.results, expected, sizeof expected);
    assert_int_equal(pool_rig_violations(), 6);
    assert_int_equal(atomic_load(&pool_rig.metrics->publish_rejected), 2);
    assert_int_equal(b->messages[0]->publish->count, 2);
    assert_null(b->messages[1]->publish);
    pool_rig_end(b);
    assert_int_equal(atomic_load(&desk.bytes), 0);
}

static void
publish_for_the_first(struct handler_call *call, uint32_t count)
{
    (void)count;
    pool_rig.results[0] = publish_for(call, 0);
}

static void
publish_and_settle(struct handler_call *call, uint32_t count)
{
    publish_for_the_first(call, count);
    host->settle(call, 0, HANDLER_DONE, 0, NULL);
}

/* What AWS refuses of it would come back behind them. */
static void
behind_one_that_published_nothing_of_its_group_is_begun(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool by_settle = i % 2, skip = i >= 2;
        struct publish_desk desk = {.bus = "orders", .queue = "invoices", .max_bytes = 1 << 20};
        pool_rig_begin_with(&POOL_RIG_EACH);
        pool_rig.desk = &desk;
        struct err e;
        assert_int_equal(pool_rig_try_begin(1, &e), 0);
        pool_rig.in_call = by_settle ? publish_and_settle : publish_for_the_first;
        for (size_t k = 0; k < 4; k++)
            pool_rig.answers[k] = HANDLER_DONE;
        struct batch *b = pool_rig_make_batch(4);
        b->messages[0]->order.follower = b->messages[1];
        b->messages[1]->order.follower = b->messages[3];
        b->messages[1]->order.follows = b->messages[3]->order.follows = true;
        b->messages[0]->order.alone = b->messages[1]->order.alone = skip;
        pool_submit(pool_rig.pool, b);
        pool_wake(pool_rig.pool);
        pool_rig_collect(1);
        const bool handled[] = {true, skip, true, skip};
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(pool_rig.handled[k], handled[k]);
            assert_int_equal(b->messages[k]->verdict.kind, handled[k] ? HANDLER_DONE : VERDICT_BEHIND);
        }
        assert_int_equal(pool_rig_violations(), 0);
        pool_rig_end(b);
        assert_int_equal(atomic_load(&desk.bytes), 0);
    }
}

static void
without_a_configured_target_nothing_is_published(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = publish_for_the_first;
    pool_rig.answers[0] = HANDLER_RETRY;
    struct batch *b = pool_rig_run(1);
    assert_int_equal(pool_rig.results[0], HANDLER_E_TARGET);
    assert_int_equal(pool_rig_violations(), 0);
    pool_rig_end(b);
}

/* ---- leases ---- */

static void
lose_the_first(struct handler_call *call, uint32_t count)
{
    (void)count;
    pool_rig.results[0] = (int32_t)host->remaining_ms(call);
    atomic_store(&call->messages[0]->lost, true);
    pool_rig.results[1] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
    pool_rig.results[2] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
    pool_rig.results[3] = (int32_t)host->remaining_ms(call);
    pool_rig.results[4] = host->extend(call, 1000);
}

static void
a_lost_message_is_nobodys_to_decide_about(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = lose_the_first;
    pool_rig.answers[0] = HANDLER_DONE;
    struct batch *b = pool_rig_run(2);
    assert_in_range(pool_rig.results[0], 50000, 60000);
    assert_int_equal(pool_rig.results[1], HANDLER_E_LOST);
    assert_int_equal(pool_rig.results[2], HANDLER_E_LOST);
    assert_int_equal(pool_rig.results[3], 0);
    assert_int_equal(pool_rig.results[4], HANDLER_E_LOST);
    assert_int_equal(b->messages[0]->verdict.kind, VERDICT_LOST); /* the returned DONE is not for it */
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_DONE);
    assert_int_equal(pool_rig_violations(), 0);
    pool_rig_end(b);
}

static void
ask_for_more(struct handler_call *call, uint32_t count)
{
    (void)count;
    host->settle(call, 0, HANDLER_DONE, 0, NULL);
    pool_rig.results[0] = host->extend(call, 90000);
    pool_rig.results[1] = host->extend(call, 100000);
}

static void
asking_for_more_time_reaches_the_engine(void **state)
{
    (void)state;
    pool_rig_begin(&POOL_RIG_TOGETHER, 1);
    pool_rig.in_call = ask_for_more;
    pool_rig.answers[0] = HANDLER_DONE;
    int64_t now_ms = clock_monotonic_ms();
    struct batch *b = pool_rig_run(2);
    assert_int_equal(pool_rig.results[0], HANDLER_OK);
    assert_int_equal(pool_rig.results[1], HANDLER_OK);
    assert_in_range(pool_rig.extends, 1, 2);
    assert_int_equal(atomic_load(&b->messages[0]->asked_until_ms), 0); /* it was settled */
    assert_true(atomic_load(&b->messages[1]->asked_until_ms) >= now_ms + 100000);
    pool_rig_end(b);
}

static void
what_was_lost_while_it_waited_is_not_started(void **state)
{
    (void)state;
    const struct handler *const tables[] = {&POOL_RIG_EACH, &POOL_RIG_TOGETHER};
    for (size_t k = 0; k < 2; k++) {
        pool_rig_begin(tables[k], 1);
        for (size_t i = 0; i < 4; i++)
            pool_rig.answers[i] = HANDLER_DONE;
        struct batch *b = pool_rig_make_batch(4);
        atomic_store(&b->messages[1]->lost, true);
        atomic_store(&b->messages[2]->lease_ms, clock_monotonic_ms() - 1);
        pool_submit(pool_rig.pool, b);
        pool_wake(pool_rig.pool);
        pool_rig_collect(1);
        const bool handled[] = {true, false, false, true};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(pool_rig.handled[i], handled[i]);
            assert_int_equal(b->messages[i]->verdict.kind, handled[i] ? HANDLER_DONE : VERDICT_LOST);
        }
        pool_rig_end(b);
    }
}

int
main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_gets_the_verdict_its_call_returned),
        cmocka_unit_test(what_a_batch_call_returns_goes_to_what_it_did_not_settle),
        cmocka_unit_test(messages_can_be_settled_one_by_one_while_the_call_goes_on),
        cmocka_unit_test(in_handle_a_settled_verdict_stands_against_the_returned_one),
        cmocka_unit_test(a_return_value_that_is_no_verdict_means_retry),
        cmocka_unit_test(a_message_that_was_forgotten_is_retried),
        cmocka_unit_test(a_wrong_settle_is_refused_counted_and_never_makes_a_message_done),
        cmocka_unit_test(a_call_belongs_to_its_thread_and_ends_when_it_returns),
        cmocka_unit_test(null_in_place_of_a_call_is_refused_and_counted),
        cmocka_unit_test(what_is_published_belongs_to_a_message_that_is_not_settled),
        cmocka_unit_test(behind_one_that_published_nothing_of_its_group_is_begun),
        cmocka_unit_test(without_a_configured_target_nothing_is_published),
        cmocka_unit_test(a_lost_message_is_nobodys_to_decide_about),
        cmocka_unit_test(asking_for_more_time_reaches_the_engine),
        cmocka_unit_test(what_was_lost_while_it_waited_is_not_started),
    };
    return cmocka_run_group_tests_name("worker_calls", tests, NULL, NULL);
}
