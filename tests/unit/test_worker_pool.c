/* Handler threads, and what a plugin may and may not do on them. The plugins here are tables of this program's own
 * functions. */
#include "worker/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "lib/sim.h"
#include "worker/call.h"
#include "worker/publish_list.h"

#define MOST 64

/* A pool, its plugin and what came back. One at a time: the plugin's functions find it here. */
static struct rig {
    struct plugin plugin;
    struct ledger *ledger;
    struct metrics *metrics;
    struct pool *pool;
    struct publish_desk *desk; /* NULL: nothing can be published */
    struct timers timers;
    struct batcher batcher;
    struct batch *gathered;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    unsigned wakes;
    bool gate_open; /* what a handler can wait for */
    unsigned inside;

    struct message *settled[MOST]; /* in the order in which they came */
    size_t n_settled, returned, extends;

    /* the plugin */
    int32_t answers[MOST]; /* of handle: for the message whose body is "0", "1", ...; of handle_batch: the first */
    void (*in_call)(struct handler_call *call, uint32_t count);
    int32_t results[MOST]; /* noted by in_call */
    struct handler_call *stale;
    _Atomic bool handled[MOST];
} rig;

static const struct handler_host *const host = &host_table;

/* ---- the plugin ---- */

static size_t
number_of(const struct handler_message *m)
{
    size_t n = strtoul(m->body, NULL, 10);
    return n < MOST ? n : MOST - 1;
}

static int32_t
handle(void *plugin, void *thread, struct handler_call *call, const struct handler_message *m)
{
    (void)plugin;
    (void)thread;
    rig.handled[number_of(m)] = true;
    if (rig.in_call)
        rig.in_call(call, 1);
    return rig.answers[number_of(m)];
}

static int32_t
handle_batch(void *plugin, void *thread, struct handler_call *call, const struct handler_batch *batch)
{
    (void)plugin;
    (void)thread;
    for (uint32_t i = 0; i < batch->count; i++)
        rig.handled[number_of(batch->messages[i])] = true;
    if (rig.in_call)
        rig.in_call(call, batch->count);
    return rig.answers[0];
}

static void
wait_at_the_gate(struct handler_call *call, uint32_t count)
{
    (void)call;
    (void)count;
    pthread_mutex_lock(&rig.lock);
    rig.inside++;
    pthread_cond_broadcast(&rig.changed);
    while (!rig.gate_open)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
}

static void
wait_for_handlers_inside(unsigned n)
{
    pthread_mutex_lock(&rig.lock);
    while (rig.inside < n)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
}

static void
open_the_gate(void)
{
    pthread_mutex_lock(&rig.lock);
    rig.gate_open = true;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

/* ---- the rig ---- */

static void
wake(void *context)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    rig.wakes++;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

static void
gather(void *context, struct batch *b, int64_t now_ms)
{
    (void)context;
    (void)now_ms;
    rig.gathered = b;
}

static int
try_begin(size_t threads, struct err *e)
{
    const struct pool_options options = {.plugin = &rig.plugin,
                                         .threads = threads,
                                         .queue_batches = 16,
                                         .ledger = rig.ledger,
                                         .desk = rig.desk,
                                         .wake = wake};
    return pool_new(&options, &rig.pool, e);
}

static void
begin_with(const struct handler *table)
{
    struct err e;
    int fd;
    memset(&rig, 0, sizeof rig);
    rig.plugin.table = *table;
    pthread_mutex_init(&rig.lock, NULL);
    pthread_cond_init(&rig.changed, NULL);
    const struct ledger_options ledger = {.records = MOST, .threads = 4};
    assert_int_equal(ledger_create(&ledger, &fd, &rig.ledger, &e), 0);
    close(fd);
    ledger_reset(rig.ledger);
    rig.metrics = ledger_metrics(rig.ledger);
    timers_init(&rig.timers);
    batcher_init(&rig.batcher, &rig.timers, MOST, 0, gather, NULL);
}

static void
begin(const struct handler *table, size_t threads)
{
    struct err e;
    begin_with(table);
    assert_int_equal(try_begin(threads, &e), 0);
}

static const struct handler EACH = {.size = sizeof(struct handler), .name = "each", .version = "1", .handle = handle};
static const struct handler TOGETHER = {
    .size = sizeof(struct handler), .name = "together", .version = "1", .handle_batch = handle_batch};

/* A batch of n messages with bodies "0", "1", ... and a minute of lease. */
static struct batch *
make_batch(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char id[32], body[32];
        snprintf(id, sizeof id, "id-%zu", i);
        snprintf(body, sizeof body, "%zu", i);
        struct sqs_message r = sim_sqs_message(id, "handle", body, 1);
        struct message *m = message_new(&r, "orders", 0, 0);
        atomic_store(&m->lease_ms, clock_monotonic_ms() + 60000);
        assert_int_equal(batcher_add(&rig.batcher, m, 0), 0);
    }
    batcher_end_receive(&rig.batcher, 0);
    return rig.gathered;
}

/* What the engine does with its inbox, until so many batches have come back. */
static void
collect(size_t returned)
{
    while (rig.returned < returned) {
        struct inbox_node *next;
        pthread_mutex_lock(&rig.lock);
        unsigned wakes = rig.wakes;
        pthread_mutex_unlock(&rig.lock);
        for (struct inbox_node *n = inbox_take(pool_inbox(rig.pool)); n; n = next) {
            next = n->next;
            if (n->kind == INBOX_SETTLED) {
                rig.settled[rig.n_settled++] = message_of_settled(n);
            } else if (n->kind == INBOX_EXTEND) {
                atomic_store(&batch_of_extend(n)->extend_queued, false);
                rig.extends++;
            } else {
                rig.returned++;
            }
        }
        pthread_mutex_lock(&rig.lock);
        while (rig.returned < returned && rig.wakes == wakes)
            pthread_cond_wait(&rig.changed, &rig.lock);
        pthread_mutex_unlock(&rig.lock);
    }
}

/* Runs one batch of n messages through the plugin. */
static struct batch *
run(size_t n)
{
    struct batch *b = make_batch(n);
    pool_submit(rig.pool, b);
    pool_wake(rig.pool);
    collect(1);
    return b;
}

static void
end(struct batch *b)
{
    assert_true(pool_stop(rig.pool, -1));
    if (rig.stale) /* a thread of the plugin's, until the plugin was closed */
        assert_int_equal(host->settle(rig.stale, 0, HANDLER_DONE, 0, NULL), HANDLER_E_INDEX);
    pool_destroy(rig.pool);
    if (b)
        batcher_recycle(&rig.batcher, b);
    batcher_clean_up(&rig.batcher);
    timers_clean_up(&rig.timers);
    ledger_close(rig.ledger);
    pthread_cond_destroy(&rig.changed);
    pthread_mutex_destroy(&rig.lock);
}

static long
violations(void)
{
    return (long)atomic_load(&rig.metrics->violations);
}

/* ---- verdicts ---- */

static void
each_message_gets_the_verdict_its_call_returned(void **state)
{
    (void)state;
    begin(&EACH, 1);
    const int32_t answers[] = {HANDLER_DONE, HANDLER_RETRY, HANDLER_REJECT};
    memcpy(rig.answers, answers, sizeof answers);
    struct batch *b = run(3);
    assert_int_equal(rig.n_settled, 3); /* one by one, not with the batch */
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(rig.settled[i], b->messages[i]);
        assert_int_equal(b->messages[i]->verdict.kind, answers[i]);
        assert_int_equal(b->messages[i]->verdict.delay_ms, -1);
    }
    assert_int_equal(violations(), 0);
    assert_int_equal(atomic_load(&rig.metrics->handled), 3);
    assert_int_equal(atomic_load(&rig.metrics->batches), 3);
    end(b);
}

static void
what_a_batch_call_returns_goes_to_what_it_did_not_settle(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.answers[0] = HANDLER_DONE;
    struct batch *b = run(3);
    assert_int_equal(rig.n_settled, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_DONE);
    assert_int_equal(atomic_load(&rig.metrics->handled), 3);
    assert_int_equal(atomic_load(&rig.metrics->batches), 1);
    end(b);
}

static void
settle_some(struct handler_call *call, uint32_t count)
{
    rig.results[0] = host->settle(call, 1, HANDLER_DONE, 0, NULL);
    rig.results[1] = host->settle(call, 2, HANDLER_RETRY, 5000, "not\nyet");
    rig.results[2] = host->settle(call, count - 1, HANDLER_REJECT, 0, "never");
    rig.results[3] = host->settle(call, 3, HANDLER_RETRY, INT64_MAX, NULL);
}

static void
messages_can_be_settled_one_by_one_while_the_call_goes_on(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.answers[0] = HANDLER_RETRY;
    rig.in_call = settle_some;
    struct batch *b = run(5);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(rig.results[i], HANDLER_OK);
    assert_int_equal(rig.n_settled, 4);
    assert_ptr_equal(rig.settled[0], b->messages[1]);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[2]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[2]->verdict.delay_ms, 5000);
    assert_string_equal(b->messages[2]->verdict.reason, "not yet");
    assert_int_equal(b->messages[3]->verdict.delay_ms, 43200000);
    assert_int_equal(b->messages[4]->verdict.kind, HANDLER_REJECT);
    assert_string_equal(b->messages[4]->verdict.reason, "never");
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY); /* by the return value */
    assert_int_equal(violations(), 0);
    end(b);
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
    begin(&EACH, 1);
    rig.in_call = settle_with_a_reason;
    rig.answers[0] = HANDLER_DONE;
    rig.answers[1] = HANDLER_UNSET; /* "as I said" */
    struct batch *b = run(2);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_REJECT);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_REJECT);
    assert_string_equal(b->messages[1]->verdict.reason, "because");
    assert_int_equal(rig.n_settled, 2);
    assert_int_equal(violations(), 0);
    end(b);
}

/* ---- breaches of the contract ---- */

static void
a_return_value_that_is_no_verdict_means_retry(void **state)
{
    (void)state;
    begin(&EACH, 1);
    const int32_t answers[] = {0, -1, 5, 100, INT32_MAX, HANDLER_DONE};
    memcpy(rig.answers, answers, sizeof answers);
    struct batch *b = run(6);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[5]->verdict.kind, HANDLER_DONE);
    assert_int_equal(violations(), 5);
    end(b);

    begin(&TOGETHER, 1);
    rig.answers[0] = 77;
    b = run(3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(violations(), 1);
    end(b);
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
    begin(&TOGETHER, 1);
    rig.in_call = settle_the_first;
    rig.answers[0] = HANDLER_UNSET;
    struct batch *b = run(3);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[2]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(violations(), 2);
    end(b);
}

static void
settle_wrongly(struct handler_call *call, uint32_t count)
{
    rig.results[0] = host->settle(call, count, HANDLER_DONE, 0, NULL);
    rig.results[1] = host->settle(call, UINT32_MAX, HANDLER_DONE, 0, NULL);
    rig.results[2] = host->settle(call, 0, HANDLER_UNSET, 0, NULL);
    rig.results[3] = host->settle(call, 0, 100, 0, NULL);
    rig.results[4] = host->settle(call, 0, HANDLER_RETRY, 0, NULL);
    rig.results[5] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
}

static void
a_wrong_settle_is_refused_counted_and_never_makes_a_message_done(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.in_call = settle_wrongly;
    rig.answers[0] = HANDLER_RETRY;
    struct batch *b = run(2);
    const int32_t expected[] = {HANDLER_E_INDEX,   HANDLER_E_INDEX, HANDLER_E_VERDICT,
                                HANDLER_E_VERDICT, HANDLER_OK,      HANDLER_E_SETTLED};
    assert_memory_equal(rig.results, expected, sizeof expected);
    assert_int_equal(violations(), 5);
    assert_int_equal(rig.n_settled, 1);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_RETRY);
    end(b);
}

static void *
settle_from_elsewhere(void *call)
{
    rig.results[0] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
    rig.results[1] = (int32_t)host->remaining_ms(call);
    rig.results[2] = host->extend(call, 1000);
    return NULL;
}

static void
start_a_thread(struct handler_call *call, uint32_t count)
{
    pthread_t t;
    (void)count;
    pthread_create(&t, NULL, settle_from_elsewhere, call);
    pthread_join(t, NULL);
    rig.stale = call;
}

static void
a_call_belongs_to_its_thread_and_ends_when_it_returns(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.in_call = start_a_thread;
    rig.answers[0] = HANDLER_RETRY;
    struct batch *b = run(1);
    assert_int_equal(rig.results[0], HANDLER_E_INDEX);
    assert_int_equal(rig.results[1], 0);
    assert_int_equal(rig.results[2], HANDLER_E_LOST);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
    assert_int_equal(host->settle(rig.stale, 0, HANDLER_DONE, 0, NULL), HANDLER_E_INDEX);
    assert_int_equal(violations(), 4);
    assert_int_equal(rig.n_settled, 0);
    end(b);
}

static void
pass_null(struct handler_call *call, uint32_t count)
{
    (void)call;
    (void)count;
    rig.results[0] = host->settle(NULL, 0, HANDLER_DONE, 0, NULL);
    rig.results[1] = (int32_t)host->remaining_ms(NULL);
    rig.results[2] = host->extend(NULL, 1000);
    rig.results[3] = host->stopping(NULL);
    rig.results[4] = host->option(NULL) != NULL || host->extension(NULL) != NULL;
    host->log(NULL, HANDLER_LOG_INFO, NULL);
    host->log(call, HANDLER_LOG_INFO, NULL);
}

static void
null_in_place_of_a_call_is_refused_and_counted(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.in_call = pass_null;
    rig.answers[0] = HANDLER_RETRY;
    struct batch *b = run(1);
    const int32_t expected[] = {HANDLER_E_INDEX, 0, HANDLER_E_LOST, 0, 0};
    assert_memory_equal(rig.results, expected, sizeof expected);
    assert_int_equal(violations(), 4);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_RETRY);
    pass_null(NULL, 0); /* on a thread that is no handler's nobody can be blamed */
    assert_int_equal(violations(), 4);
    end(b);
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
    rig.results[0] = publish_for(call, 0);
    rig.results[1] = publish_for(call, count);
    rig.results[2] = publish_for(NULL, 0);
    host->settle(call, 0, HANDLER_DONE, 0, NULL);
    rig.results[3] = publish_for(call, 0);
    atomic_store(&call->messages[1]->lost, true);
    rig.results[4] = publish_for(call, 1);
    rig.results[5] = p->event(call, 2, &nothing);
    rig.results[6] = p->message(call, 2, NULL);
}

static void
what_is_published_belongs_to_a_message_that_is_not_settled(void **state)
{
    (void)state;
    struct publish_desk desk = {.bus = "orders", .queue = "invoices", .max_bytes = 1 << 20};
    begin_with(&TOGETHER);
    rig.desk = &desk;
    struct err e;
    assert_int_equal(try_begin(1, &e), 0);
    rig.in_call = publish_rightly_and_wrongly;
    rig.answers[0] = HANDLER_DONE;
    struct batch *b = run(3);
    const int32_t expected[] = {HANDLER_OK,     HANDLER_E_INDEX,   HANDLER_E_INDEX,  HANDLER_E_SETTLED,
                                HANDLER_E_LOST, HANDLER_E_INVALID, HANDLER_E_INVALID};
    assert_memory_equal(rig.results, expected, sizeof expected);
    assert_int_equal(violations(), 6);
    assert_int_equal(atomic_load(&rig.metrics->publish_rejected), 2);
    assert_int_equal(b->messages[0]->publish->count, 2);
    assert_null(b->messages[1]->publish);
    end(b);
    assert_int_equal(atomic_load(&desk.bytes), 0);
}

static void
publish_for_the_first(struct handler_call *call, uint32_t count)
{
    (void)count;
    rig.results[0] = publish_for(call, 0);
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
        begin_with(&EACH);
        rig.desk = &desk;
        struct err e;
        assert_int_equal(try_begin(1, &e), 0);
        rig.in_call = by_settle ? publish_and_settle : publish_for_the_first;
        for (size_t k = 0; k < 4; k++)
            rig.answers[k] = HANDLER_DONE;
        struct batch *b = make_batch(4);
        b->messages[0]->order.follower = b->messages[1];
        b->messages[1]->order.follower = b->messages[3];
        b->messages[0]->order.alone = b->messages[1]->order.alone = skip;
        pool_submit(rig.pool, b);
        pool_wake(rig.pool);
        collect(1);
        const bool handled[] = {true, skip, true, skip};
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(rig.handled[k], handled[k]);
            assert_int_equal(b->messages[k]->verdict.kind, handled[k] ? HANDLER_DONE : VERDICT_BEHIND);
        }
        assert_int_equal(violations(), 0);
        end(b);
        assert_int_equal(atomic_load(&desk.bytes), 0);
    }
}

static void
without_a_configured_target_nothing_is_published(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.in_call = publish_for_the_first;
    rig.answers[0] = HANDLER_RETRY;
    struct batch *b = run(1);
    assert_int_equal(rig.results[0], HANDLER_E_TARGET);
    assert_int_equal(violations(), 0);
    end(b);
}

/* ---- leases ---- */

static void
lose_the_first(struct handler_call *call, uint32_t count)
{
    (void)count;
    rig.results[0] = (int32_t)host->remaining_ms(call);
    atomic_store(&call->messages[0]->lost, true);
    rig.results[1] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
    rig.results[2] = host->settle(call, 0, HANDLER_DONE, 0, NULL);
    rig.results[3] = (int32_t)host->remaining_ms(call);
    rig.results[4] = host->extend(call, 1000);
}

static void
a_lost_message_is_nobodys_to_decide_about(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.in_call = lose_the_first;
    rig.answers[0] = HANDLER_DONE;
    struct batch *b = run(2);
    assert_in_range(rig.results[0], 50000, 60000);
    assert_int_equal(rig.results[1], HANDLER_E_LOST);
    assert_int_equal(rig.results[2], HANDLER_E_LOST);
    assert_int_equal(rig.results[3], 0);
    assert_int_equal(rig.results[4], HANDLER_E_LOST);
    assert_int_equal(b->messages[0]->verdict.kind, VERDICT_LOST); /* the returned DONE is not for it */
    assert_int_equal(b->messages[1]->verdict.kind, HANDLER_DONE);
    assert_int_equal(violations(), 0);
    end(b);
}

static void
ask_for_more(struct handler_call *call, uint32_t count)
{
    (void)count;
    host->settle(call, 0, HANDLER_DONE, 0, NULL);
    rig.results[0] = host->extend(call, 90000);
    rig.results[1] = host->extend(call, 100000);
}

static void
asking_for_more_time_reaches_the_engine(void **state)
{
    (void)state;
    begin(&TOGETHER, 1);
    rig.in_call = ask_for_more;
    rig.answers[0] = HANDLER_DONE;
    int64_t now_ms = clock_monotonic_ms();
    struct batch *b = run(2);
    assert_int_equal(rig.results[0], HANDLER_OK);
    assert_int_equal(rig.results[1], HANDLER_OK);
    assert_in_range(rig.extends, 1, 2);
    assert_int_equal(atomic_load(&b->messages[0]->asked_until_ms), 0); /* it was settled */
    assert_true(atomic_load(&b->messages[1]->asked_until_ms) >= now_ms + 100000);
    end(b);
}

static void
what_was_lost_while_it_waited_is_not_started(void **state)
{
    (void)state;
    const struct handler *const tables[] = {&EACH, &TOGETHER};
    for (size_t k = 0; k < 2; k++) {
        begin(tables[k], 1);
        for (size_t i = 0; i < 4; i++)
            rig.answers[i] = HANDLER_DONE;
        struct batch *b = make_batch(4);
        atomic_store(&b->messages[1]->lost, true);
        atomic_store(&b->messages[2]->lease_ms, clock_monotonic_ms() - 1);
        pool_submit(rig.pool, b);
        pool_wake(rig.pool);
        collect(1);
        const bool handled[] = {true, false, false, true};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(rig.handled[i], handled[i]);
            assert_int_equal(b->messages[i]->verdict.kind, handled[i] ? HANDLER_DONE : VERDICT_LOST);
        }
        end(b);
    }
}

/* ---- stopping ---- */

static void
ask_whether_to_stop(struct handler_call *call, uint32_t count)
{
    rig.results[0] = host->stopping(call);
    wait_at_the_gate(call, count);
    rig.results[1] = host->stopping(call);
}

static void
stopping_is_told_and_begins_nothing_more(void **state)
{
    (void)state;
    begin(&EACH, 1);
    rig.in_call = ask_whether_to_stop;
    rig.answers[0] = HANDLER_DONE;
    struct batch *b = make_batch(3);
    pool_submit(rig.pool, b);
    pool_wake(rig.pool);
    wait_for_handlers_inside(1);
    pool_set_stopping(rig.pool);
    open_the_gate();
    collect(1);
    assert_int_equal(rig.results[0], 0);
    assert_int_equal(rig.results[1], 1);
    assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DONE);
    assert_int_equal(b->messages[1]->verdict.kind, VERDICT_GIVE_BACK);
    assert_int_equal(b->messages[2]->verdict.kind, VERDICT_GIVE_BACK);
    assert_false(rig.handled[1]);
    end(b);
}

static void
while_held_nothing_is_begun_but_trials(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool trial = i >= 2;
        begin(i % 2 ? &TOGETHER : &EACH, 1);
        rig.answers[0] = rig.answers[1] = HANDLER_DONE;
        pool_set_held(rig.pool, true);
        struct batch *b = make_batch(2);
        b->trial = trial;
        pool_submit(rig.pool, b);
        pool_wake(rig.pool);
        collect(1);
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(b->messages[k]->verdict.kind, trial ? HANDLER_DONE : VERDICT_HELD);
            assert_int_equal(rig.handled[k], trial);
        }
        end(b);
    }
}

static void
settle_as_down(struct handler_call *call, uint32_t count)
{
    (void)count;
    rig.results[0] = host->settle(call, 0, HANDLER_DOWN, -1, "no database");
}

static void
behind_one_that_says_down_nothing_of_its_batch_is_begun(void **state)
{
    (void)state;
    for (int by_settle = 0; by_settle < 2; by_settle++) {
        begin(&EACH, 1);
        rig.answers[0] = HANDLER_DOWN;
        rig.in_call = by_settle ? settle_as_down : NULL;
        struct batch *b = run(3);
        assert_int_equal(b->messages[0]->verdict.kind, HANDLER_DOWN);
        if (by_settle)
            assert_string_equal(b->messages[0]->verdict.reason, "no database");
        assert_int_equal(b->messages[1]->verdict.kind, VERDICT_HELD);
        assert_int_equal(b->messages[2]->verdict.kind, VERDICT_HELD);
        assert_int_equal(violations(), 0);
        end(b);
    }
    begin(&TOGETHER, 1);
    rig.answers[0] = HANDLER_DOWN;
    rig.in_call = NULL;
    struct batch *b = run(3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(b->messages[i]->verdict.kind, HANDLER_DOWN);
    end(b);
}

static void
a_batch_that_waits_can_be_taken_back(void **state)
{
    (void)state;
    begin(&EACH, 1);
    rig.in_call = wait_at_the_gate;
    struct batch *first = make_batch(1);
    pool_submit(rig.pool, first);
    pool_wake(rig.pool);
    wait_for_handlers_inside(1);
    struct batch *second = make_batch(1);
    pool_submit(rig.pool, second);
    pool_wake(rig.pool);
    assert_ptr_equal(pool_take_back(rig.pool), second);
    assert_null(pool_take_back(rig.pool));
    batcher_recycle(&rig.batcher, second);
    open_the_gate();
    collect(1);
    end(first);
}

static void
a_handler_that_does_not_return_does_not_hold_up_the_stop(void **state)
{
    (void)state;
    begin(&EACH, 2);
    rig.in_call = wait_at_the_gate;
    struct batch *b = make_batch(1);
    pool_submit(rig.pool, b);
    pool_wake(rig.pool);
    wait_for_handlers_inside(1);
    assert_false(pool_stop(rig.pool, 10));
    open_the_gate();
    collect(1);
    end(b);
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
    struct handler table = EACH;
    table.thread_open = count_thread_open;
    table.thread_close = count_thread_close;
    opened = closed = 0;
    begin(&table, 4);
    assert_int_equal(opened, 4);
    end(NULL);
    assert_int_equal(closed, 4);
}

static void
a_thread_that_refuses_to_open_stops_the_start(void **state)
{
    (void)state;
    struct handler table = EACH;
    struct err e;
    table.thread_open = count_thread_open;
    table.thread_close = count_thread_close;
    opened = closed = 0;
    refuse_from = 3;
    begin_with(&table);
    assert_int_equal(try_begin(4, &e), ERR_DENIED);
    assert_string_equal(e.text, "plugin each: thread_open refused to start (it returned 42)");
    assert_int_equal(closed, 2);
    refuse_from = INT32_MAX;
    assert_int_equal(try_begin(1, &e), 0);
    end(NULL);
}

static void
many_threads_share_the_batches(void **state)
{
    (void)state;
    begin(&EACH, 4);
    rig.in_call = wait_at_the_gate;
    struct batch *batches[4];
    for (size_t i = 0; i < 4; i++) {
        batches[i] = make_batch(1);
        pool_submit(rig.pool, batches[i]);
        pool_wake(rig.pool);
    }
    wait_for_handlers_inside(4); /* all four at once */
    open_the_gate();
    collect(4);
    for (size_t i = 1; i < 4; i++)
        batcher_recycle(&rig.batcher, batches[i]);
    end(batches[0]);
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
    struct handler table = EACH;
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
    struct handler table = EACH;
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
        cmocka_unit_test(stopping_is_told_and_begins_nothing_more),
        cmocka_unit_test(while_held_nothing_is_begun_but_trials),
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
