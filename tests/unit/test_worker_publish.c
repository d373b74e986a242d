/* What handlers publish, from the verdict to its confirmation: the engine on a simulated queue, bus and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bench.h"
#include "lib/seeds.h"
#include "lib/sim_outlet.h"
#include "worker/publish.h"
#include "worker/publish_list.h"

#define MINUTE INT64_C(60000)

/* One at a time. */
static struct rig {
    struct bench bench;
    struct sim_outlet out;
    struct publish_desk desk;
    const char *bus, *queue; /* where each message's pieces go; NULL: nowhere */
    size_t pieces;           /* of each message, to each of the two */
    size_t detail_bytes;     /* more of it */
    int32_t verdict;         /* of the first delivery; 0: done */
    int64_t delay_ms;        /* that goes with any verdict */
    bool groups;             /* FIFO: pieces alternate between two groups */
    bool looked_at[1000];    /* messages, once they were deleted */

    /* faults: for payloads with this text (NULL: all), of this kind, so often */
    struct {
        enum sim_outlet_call call;
        const char *text;
        struct sim_fault fault;
        unsigned times;
    } failure;
} rig;

static void
inject(void *context, enum sim_outlet_call call, int entry, const char *payload, struct sim_fault *fault)
{
    (void)context;
    if (rig.failure.times == 0 || call != rig.failure.call || (entry >= 0) != rig.failure.fault.entry ||
        (rig.failure.text && !strstr(payload, rig.failure.text)))
        return;
    if (rig.failure.times != UINT32_MAX)
        rig.failure.times--;
    *fault = rig.failure.fault;
}

static struct handler_slice
text(const char *s)
{
    return (struct handler_slice){s, strlen(s)};
}

/* Pieces are told apart by "n": 0, 1, ... and their message. */
static void
publish_pieces(struct message *m)
{
    char *payload = malloc(rig.detail_bytes + 200);
    struct err e;
    assert_non_null(payload);
    for (size_t i = 0; i < rig.pieces; i++) {
        int n = snprintf(payload, 200, "{\"of\":\"%s\",\"n\":%zu,\"x\":\"", m->view.id, i);
        memset(payload + n, 'x', rig.detail_bytes);
        memcpy(payload + n + rig.detail_bytes, "\"}", 3);
        const struct handler_new_event event = {.size = sizeof event,
                                                .bus = text(rig.bus ? rig.bus : ""),
                                                .source = HANDLER_TEXT("shop"),
                                                .detail_type = HANDLER_TEXT("Paid"),
                                                .detail = text(payload)};
        const struct handler_new_message message = {.size = sizeof message,
                                                    .queue = text(rig.queue ? rig.queue : ""),
                                                    .group = text(!rig.groups ? ""
                                                                  : i % 2     ? "odd"
                                                                              : "even"),
                                                    .body = text(payload)};
        if (rig.bus)
            assert_int_equal(publish_list_add_event(&rig.desk, m, &event, &e), 0);
        if (rig.queue)
            assert_int_equal(publish_list_add_message(&rig.desk, m, &message, &e), 0);
    }
    free(payload);
}

static void
handle(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    publish_pieces(m);
    m->verdict.kind = s->handled == 1 && rig.verdict ? rig.verdict : HANDLER_DONE;
    m->verdict.delay_ms = rig.delay_ms;
    if (m->verdict.kind == HANDLER_REJECT)
        m->verdict.reason = message_copy_reason("no good");
}

static void
begin_on(uint64_t seed, struct engine_options *o,
         void (*init)(struct bench *b, uint64_t seed, const struct engine_options *options))
{
    rig = (struct rig){
        .desk = {.bus = "", .queue = "", .max_bytes = 64 << 20}, .bus = "orders", .pieces = 1, .delay_ms = -1};
    o->outlet = &rig.out.outlet;
    sim_outlet_init(&rig.out, &rig.bench.sim);
    rig.out.hook = inject;
    init(&rig.bench, seed, o);
    rig.bench.decide = handle;
}

static void
begin_with(uint64_t seed, struct engine_options *o)
{
    begin_on(seed, o, bench_init);
}

static void
begin(uint64_t seed)
{
    struct engine_options o = bench_defaults();
    begin_with(seed, &o);
}

static void
end(void)
{
    bench_clean_up(&rig.bench);
    sim_outlet_clean_up(&rig.out);
    assert_int_equal(atomic_load(&rig.desk.bytes), 0);
}

static size_t
expected_pieces(void)
{
    return rig.pieces * ((rig.bus != NULL) + (rig.queue != NULL));
}

/* Nothing is deleted before all of its pieces arrived, and none arrives that no handler published. */
static void
assert_nothing_lost(void)
{
    for (size_t i = 0; i < rig.bench.sim.n_messages; i++) {
        const struct sim_message *m = &rig.bench.sim.messages[i];
        if (!m->deleted || m->dead_letters > 0 || rig.looked_at[i])
            continue;
        rig.looked_at[i] = true;
        assert_int_equal(sim_outlet_pieces(&rig.out, m->id), expected_pieces());
    }
}

/* Until all is deleted, looking after each step. */
static void
run_to_the_end(int64_t ms)
{
    int64_t until_ms = sim_now_ms() + ms;
    while (!bench_all_deleted(&rig.bench) && sim_now_ms() < until_ms) {
        bench_run(&rig.bench, 1);
        assert_nothing_lost();
    }
    assert_true(bench_all_deleted(&rig.bench));
    for (size_t i = 0; i < rig.bench.sim.n_messages; i++)
        assert_true(sim_outlet_pieces(&rig.out, rig.bench.sim.messages[i].id) <= expected_pieces());
}

static void
assert_one_copy_of_each(void)
{
    for (size_t i = 0; i < rig.bench.sim.n_messages; i++)
        assert_int_equal(sim_outlet_copies(&rig.out, rig.bench.sim.messages[i].id), expected_pieces());
}

/* ---- the way it should go ---- */

static void
a_message_is_deleted_when_all_its_pieces_are_confirmed(void **state)
{
    (void)state;
    begin(1);
    rig.queue = "invoices";
    rig.pieces = 3;
    bench_put(&rig.bench, 30);
    run_to_the_end(MINUTE);
    assert_one_copy_of_each();
    assert_int_equal(BENCH_COUNT(&rig.bench, published), 180);
    assert_int_equal(BENCH_COUNT(&rig.bench, done), 30);
    assert_int_equal(BENCH_COUNT(&rig.bench, publish_dropped), 0);
    assert_int_equal(rig.out.calls[SIM_FIND_TARGET], 1);
    end();
}

static void
pieces_go_out_ten_a_call(void **state)
{
    (void)state;
    begin(1);
    rig.pieces = 10;
    bench_put(&rig.bench, 100);
    run_to_the_end(MINUTE);
    assert_int_equal(rig.out.largest_call, 10);
    assert_in_range(rig.out.calls[SIM_PUT], 100, 110);
    end();
}

static void
a_lone_piece_waits_a_few_milliseconds(void **state)
{
    (void)state;
    begin(1);
    rig.bench.sim.latency_ms = 0;
    bench_run(&rig.bench, 1000);
    bench_put(&rig.bench, 1);
    int64_t start_ms = sim_now_ms();
    run_to_the_end(MINUTE);
    assert_in_range(sim_now_ms() - start_ms, 0, 50 + 40); /* the simulated long poll looks every 50 ms */
    end();
}

static void
a_call_is_no_larger_than_aws_allows(void **state)
{
    (void)state;
    begin(1);
    rig.queue = "invoices";
    rig.detail_bytes = 300000;
    bench_put(&rig.bench, 20);
    run_to_the_end(MINUTE);
    assert_in_range(rig.out.largest_bytes, 900000, 1048576);
    assert_int_equal(rig.out.largest_call, 3);
    end();
}

static void
an_early_done_is_published_while_its_batch_still_runs(void **state)
{
    (void)state;
    begin(1);
    rig.bench.early = 1000;
    rig.bench.longest_ms = 2000;
    bench_put(&rig.bench, 10);
    bool early = false;
    while (!bench_all_deleted(&rig.bench)) {
        bench_run(&rig.bench, 10);
        early |= rig.out.n_published > 0 && rig.bench.threads[0].batch;
        assert_nothing_lost();
    }
    assert_true(early);
    end();
}

static void
what_is_not_done_publishes_nothing(void **state)
{
    (void)state;
    const int32_t verdicts[] = {HANDLER_RETRY, HANDLER_REJECT};
    for (size_t i = 0; i < 2; i++) {
        begin(1);
        rig.verdict = verdicts[i];
        rig.pieces = 2;
        bench_put(&rig.bench, 5);
        run_to_the_end(5 * MINUTE);
        assert_int_equal(BENCH_COUNT(&rig.bench, publish_dropped), 10);
        if (verdicts[i] == HANDLER_RETRY)
            assert_one_copy_of_each();
        else
            assert_int_equal(rig.out.n_published, 0);
        end();
    }
}

static void
note_decision(void *context, struct message *m, int64_t now_ms)
{
    (void)m;
    (void)now_ms;
    *(bool *)context = true;
}

static void
the_trace_header_goes_along(void **state)
{
    (void)state;
    struct sqs_message received = sim_sqs_message("m-7", "handle", "{}", 1);
    received.trace_header = SLICE("Root=1-67891233-abcdef012345678912345678");
    struct publish p;
    bool decided = false;
    begin(1);
    rig.queue = "invoices";
    struct message *m = message_new(&received, "orders", 0, 0);
    assert_non_null(m);
    publish_init(&p, &rig.bench.sim.world,
                 &(struct publish_options){.outlet = &rig.out.outlet, .decided = note_decision, .context = &decided});
    publish_pieces(m);
    m->verdict.kind = HANDLER_DONE;
    publish_start(&p, m, sim_now_ms());
    sim_run(&rig.bench.sim, 1000);
    assert_true(decided);
    assert_int_equal(rig.out.n_published, 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(rig.out.published[i].trace, "Root=1-67891233-abcdef012345678912345678");
    message_release(m);
    publish_clean_up(&p);
    end();
}

/* ---- failures ---- */

static void
failed_pieces_alone_are_sent_again(void **state)
{
    (void)state;
    begin(1);
    rig.pieces = 5;
    rig.failure.call = SIM_PUT;
    rig.failure.text = "\"n\":3";
    rig.failure.fault = (struct sim_fault){.entry = true, .code = "ThrottlingException"};
    rig.failure.times = 3;
    bench_put(&rig.bench, 1);
    run_to_the_end(5 * MINUTE);
    assert_one_copy_of_each();
    assert_int_equal(BENCH_COUNT(&rig.bench, publish_errors), 3);
    assert_int_equal(rig.bench.sim.messages[0].handled, 1);
    end();
}

static void
a_lost_answer_sends_the_same_piece_twice_with_the_same_id(void **state)
{
    (void)state;
    begin(1);
    rig.queue = "invoices";
    rig.failure.call = SIM_PUT;
    rig.failure.fault = (struct sim_fault){.call = true, .executed = true};
    rig.failure.times = 1;
    bench_put(&rig.bench, 1);
    run_to_the_end(5 * MINUTE);
    assert_int_equal(sim_outlet_copies(&rig.out, "m-0"), 3);
    assert_int_equal(sim_outlet_pieces(&rig.out, "m-0"), 2);
    assert_int_equal(rig.bench.sim.messages[0].handled, 1);
    end();
}

static void
a_piece_refused_for_good_turns_done_into_a_retry(void **state)
{
    (void)state;
    begin(1);
    rig.pieces = 3;
    rig.failure.call = SIM_PUT;
    rig.failure.text = "\"n\":1";
    rig.failure.fault = (struct sim_fault){.entry = true, .sender_fault = true, .code = "MalformedDetail"};
    rig.failure.times = 1;
    bench_put(&rig.bench, 1);
    run_to_the_end(5 * MINUTE);
    assert_int_equal(rig.bench.sim.messages[0].handled, 2);
    assert_int_equal(BENCH_COUNT(&rig.bench, retried), 1);
    assert_int_equal(BENCH_COUNT(&rig.bench, done), 1);
    assert_int_equal(BENCH_COUNT(&rig.bench, publish_failed), 1);
    end();
}

/* Each time done, with this delay, and each time refused. */
static unsigned
handled_in_ten_minutes(int64_t delay_ms)
{
    struct engine_options o = bench_defaults();
    o.breaker.failure_percent = 50;
    o.breaker.min_calls = 3;
    begin_with(1, &o);
    rig.bench.sim.max_receive_count = 1000;
    rig.delay_ms = delay_ms;
    rig.failure.call = SIM_PUT;
    rig.failure.fault = (struct sim_fault){.entry = true, .sender_fault = true, .code = "InvalidArgument"};
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 1);
    bench_run(&rig.bench, 10 * MINUTE);
    unsigned n = rig.bench.sim.messages[0].handled;
    end();
    return n;
}

static void
a_refused_publish_backs_off_whatever_delay_came_with_done(void **state)
{
    (void)state;
    unsigned slow = handled_in_ten_minutes(-1), fast = handled_in_ten_minutes(0);
    assert_in_range(fast, 1, 2 * slow);
}

static void
a_call_refused_as_invalid_costs_the_piece_at_fault_alone(void **state)
{
    (void)state;
    begin(1);
    bench_put(&rig.bench, 1);
    rig.pieces = 9;
    rig.failure.call = SIM_PUT;
    rig.failure.fault = (struct sim_fault){.call = true, .code = "ValidationException"};
    rig.failure.times = 1;
    run_to_the_end(5 * MINUTE);
    assert_one_copy_of_each();
    assert_int_equal(rig.out.calls[SIM_PUT], 10);
    assert_int_equal(rig.bench.sim.messages[0].handled, 1);
    end();
}

static void
an_outage_costs_a_few_calls_a_minute_and_no_receive(void **state)
{
    (void)state;
    begin(1);
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 500);
    bench_run(&rig.bench, MINUTE);
    unsigned calls = rig.out.calls[SIM_PUT];
    bench_run(&rig.bench, 30 * MINUTE);
    assert_in_range(rig.out.calls[SIM_PUT] - calls, 30, 300);
    assert_int_equal(bench_in_hand(&rig.bench), engine_cap(rig.bench.engine)); /* under lease, and no more is taken */
    for (size_t i = 0; i < 500; i++) {
        assert_true(rig.bench.sim.messages[i].receives <= 1);
        assert_false(rig.bench.sim.messages[i].deleted);
    }
    rig.failure.times = 0;
    assert_true(bench_run_until(&rig.bench, bench_all_deleted, MINUTE));
    assert_one_copy_of_each();
    end();
}

static void
a_missing_permission_holds_messages_and_is_told(void **state)
{
    (void)state;
    begin(1);
    rig.failure.call = SIM_PUT;
    rig.failure.fault = (struct sim_fault){.call = true, .code = "AccessDenied"};
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 3);
    bench_run(&rig.bench, MINUTE);
    assert_int_equal(rig.bench.health, IPC_HEALTH_PERMISSION);
    assert_string_equal(rig.bench.health_text, "events:PutEvents is denied");
    assert_int_equal(bench_in_hand(&rig.bench), 3);
    rig.failure.times = 0;
    run_to_the_end(MINUTE);
    bench_run(&rig.bench, 1000);
    assert_int_equal(rig.bench.health, IPC_HEALTH_OK);
    assert_one_copy_of_each();
    end();
}

static void
one_target_that_fails_holds_up_no_other(void **state)
{
    (void)state;
    begin(1);
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 1);
    bench_run(&rig.bench, 1000);
    rig.bus = NULL;
    rig.queue = "invoices";
    bench_put(&rig.bench, 1);
    bench_run(&rig.bench, 1000);
    assert_false(rig.bench.sim.messages[0].deleted);
    assert_true(rig.bench.sim.messages[1].deleted);
    end();
}

/* ---- queues ---- */

static void
a_queue_that_is_not_there_makes_retries_and_no_storm(void **state)
{
    (void)state;
    begin(1);
    rig.bus = NULL;
    rig.queue = "gone";
    rig.bench.sim.has_dead_letters = false;
    rig.failure.call = SIM_FIND_TARGET;
    rig.failure.fault = (struct sim_fault){.call = true, .code = "NonExistentQueue"};
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 200);
    bench_run(&rig.bench, 10 * MINUTE);
    assert_true(BENCH_COUNT(&rig.bench, retried) > 100);
    assert_in_range(rig.out.calls[SIM_FIND_TARGET], 10, 300);
    assert_int_equal(BENCH_COUNT(&rig.bench, deleted), 0);
    rig.failure.times = 0;
    assert_true(bench_run_until(&rig.bench, bench_all_deleted, 30 * MINUTE));
    assert_one_copy_of_each();
    end();
}

static void
a_queue_that_was_made_again_is_looked_up_again(void **state)
{
    (void)state;
    begin(1);
    rig.bus = NULL;
    rig.queue = "invoices";
    bench_put(&rig.bench, 1);
    run_to_the_end(MINUTE);
    rig.failure.call = SIM_SEND;
    rig.failure.fault = (struct sim_fault){.call = true, .code = "NonExistentQueue"};
    rig.failure.times = 1;
    bench_put(&rig.bench, 1);
    run_to_the_end(5 * MINUTE);
    assert_int_equal(rig.out.calls[SIM_FIND_TARGET], 2);
    assert_int_equal(rig.bench.sim.messages[1].handled, 2);
    end();
}

/* Of the first copies of each message's pieces, those of a group are in order. */
static void
assert_groups_in_order(void)
{
    for (size_t i = 0; i < rig.out.n_published; i++)
        for (size_t k = i + 1; k < rig.out.n_published; k++) {
            const struct sim_published *a = &rig.out.published[i], *b = &rig.out.published[k];
            bool seen = false;
            for (size_t n = 0; n < k; n++)
                seen |= strcmp(rig.out.published[n].dedup_id, b->dedup_id) == 0; /* what FIFO queues leave out */
            if (!seen && strcmp(a->message, b->message) == 0 && strcmp(a->group, b->group) == 0)
                assert_true(atoi(strchr(a->cause, ':') + 1) < atoi(strchr(b->cause, ':') + 1));
        }
}

static void
a_fifo_queue_gets_each_group_in_order_whatever_fails(void **state)
{
    (void)state;
    begin(3);
    rig.bus = NULL;
    rig.queue = "invoices.fifo";
    rig.pieces = 8;
    rig.groups = true;
    rig.out.fail_calls = 100;
    rig.out.lose_answers = 100;
    rig.out.fail_entries = 200;
    bench_put(&rig.bench, 10);
    run_to_the_end(60 * MINUTE);
    assert_groups_in_order();
    for (size_t i = 0; i < rig.out.n_published; i++)
        assert_string_equal(rig.out.published[i].dedup_id, rig.out.published[i].cause);
    end();
}

/* ---- leases and ends ---- */

static int64_t
takes_36_s(struct bench *b, const struct message *m)
{
    (void)b;
    (void)m;
    return 36000;
}

static void
what_was_done_is_held_past_lease_max_until_it_is_published(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.lease_max_s = 40;
    begin_with(1, &o);
    rig.bench.takes = takes_36_s;
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 1);
    bench_run(&rig.bench, 2 * MINUTE);
    assert_int_equal(bench_in_hand(&rig.bench), 1);
    rig.failure.times = 0;
    run_to_the_end(MINUTE);
    assert_int_equal(rig.bench.sim.messages[0].handled, 1);
    assert_int_equal(BENCH_COUNT(&rig.bench, lost), 0);
    assert_one_copy_of_each();
    end();
}

/* Refused long after lease.max_s, when the bus answers at last. */
static void
a_refused_publish_pauses_with_all_of_lease_max_again(void **state)
{
    (void)state;
    for (int fifo = 0; fifo < 2; fifo++) {
        struct engine_options o = bench_defaults();
        o.lease_max_s = 40;
        o.retry.base_ms = o.retry.cap_ms = 25000;
        begin_on(1, &o, fifo ? bench_init_fifo : bench_init);
        rig.bench.takes = takes_36_s;
        rig.bench.early = fifo ? 1000 : 0;
        rig.failure.call = SIM_PUT;
        rig.failure.fault.call = true;
        rig.failure.times = UINT32_MAX;
        if (fifo)
            sim_put_in_group(&rig.bench.sim, 0, "{}");
        else
            bench_put(&rig.bench, 1);
        bench_run(&rig.bench, 2 * MINUTE);
        rig.failure.fault = (struct sim_fault){.entry = true, .sender_fault = true, .code = "MalformedDetail"};
        rig.failure.times = 1;
        run_to_the_end(5 * MINUTE);
        assert_int_equal(rig.bench.sim.messages[0].handled, 2);
        assert_int_equal(rig.bench.sim.messages[0].receives, fifo ? 1 : 2);
        assert_int_equal(BENCH_COUNT(&rig.bench, lost), 0);
        assert_one_copy_of_each();
        end();
    }
}

static void
first_publishes(struct bench *b, struct message *m, struct sim_message *s)
{
    if (s->place == 0)
        handle(b, m, s);
    m->verdict.kind = HANDLER_DONE;
}

/* Both are done; the second waits for the first, whose event cannot be published yet. */
static void
what_is_done_behind_one_that_publishes_is_held_past_lease_max(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    o.lease_max_s = 80;
    begin_on(1, &o, bench_init_fifo);
    rig.bench.takes = takes_36_s;
    rig.bench.decide = first_publishes;
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    for (int i = 0; i < 2; i++)
        sim_put_in_group(&rig.bench.sim, 0, "{}");
    bench_run(&rig.bench, 5 * MINUTE);
    assert_int_equal(bench_in_hand(&rig.bench), 2);
    rig.failure.times = 0;
    assert_true(bench_run_until(&rig.bench, bench_all_deleted, MINUTE));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rig.bench.sim.messages[i].handled, 1);
    assert_int_equal(BENCH_COUNT(&rig.bench, lost), 0);
    assert_int_equal(BENCH_COUNT(&rig.bench, deleted_late), 0);
    end();
}

static void
refuse_extensions(void *context, enum sim_call call, int entry, struct sim_fault *fault)
{
    if (call == SIM_VISIBILITY && entry >= 0 && *(bool *)context) {
        fault->entry = fault->sender_fault = true;
        fault->code = "InvalidParameterValue";
    }
}

static void
a_lease_lost_meanwhile_deletes_nothing_and_publishes_again(void **state)
{
    (void)state;
    bool refuses = true;
    begin(1);
    rig.queue = "invoices";
    rig.bench.sim.hook = refuse_extensions;
    rig.bench.sim.context = &refuses;
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 2);
    bench_run(&rig.bench, 29000);
    assert_int_equal(bench_in_hand(&rig.bench), 0);
    assert_int_equal(BENCH_COUNT(&rig.bench, lost), 2);
    assert_int_equal(BENCH_COUNT(&rig.bench, publish_dropped), 2);
    assert_int_equal(rig.bench.sim.calls[SIM_DELETE], 0);
    assert_int_equal(atomic_load(&rig.desk.bytes), 0);
    refuses = false;
    rig.failure.times = 0;
    run_to_the_end(MINUTE);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rig.bench.sim.messages[i].handled, 2);
    end();
}

static void
lose_then_handle(struct bench *b, struct message *m, struct sim_message *s)
{
    handle(b, m, s);
    if (s->handled == 1) /* between this verdict and the engine's look at it */
        atomic_store(&m->lost, true);
}

static void
a_done_that_comes_too_late_is_neither_deleted_nor_published(void **state)
{
    (void)state;
    begin(1);
    rig.bench.decide = lose_then_handle;
    bench_put(&rig.bench, 1);
    bench_run(&rig.bench, 5000);
    assert_int_equal(rig.bench.sim.messages[0].handled, 1);
    assert_int_equal(rig.out.n_published, 0);
    assert_int_equal(rig.bench.sim.calls[SIM_DELETE], 0);
    run_to_the_end(MINUTE);
    assert_int_equal(rig.bench.sim.messages[0].handled, 2);
    assert_one_copy_of_each();
    end();
}

static void
a_drain_waits_for_confirmations(void **state)
{
    (void)state;
    begin(1);
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 5);
    bench_run(&rig.bench, 5000);
    engine_drain(rig.bench.engine, sim_now_ms() + 60000, sim_now_ms());
    bench_run(&rig.bench, 25000);
    assert_false(bench_is_over(&rig.bench));
    rig.failure.times = 0;
    assert_true(bench_run_until(&rig.bench, bench_is_over, 30000));
    assert_int_equal(bench_in_hand(&rig.bench), 0);
    for (size_t i = 0; i < 5; i++)
        assert_true(rig.bench.sim.messages[i].deleted);
    assert_one_copy_of_each();
    end();
}

static void
what_a_drain_cannot_confirm_is_given_back_before_its_deadline(void **state)
{
    (void)state;
    begin(1);
    rig.failure.call = SIM_PUT;
    rig.failure.fault.call = true;
    rig.failure.times = UINT32_MAX;
    bench_put(&rig.bench, 5);
    bench_run(&rig.bench, 5000);
    engine_drain(rig.bench.engine, sim_now_ms() + 25000, sim_now_ms());
    assert_true(bench_run_until(&rig.bench, bench_is_over, 24900));
    assert_int_equal(bench_in_hand(&rig.bench), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_false(rig.bench.sim.messages[i].deleted);
        assert_true(rig.bench.sim.messages[i].visible_at_ms <= sim_now_ms());
    }
    end();
}

static void
targets_that_are_used_no_more_are_not_kept(void **state)
{
    (void)state;
    char name[40];
    begin(1);
    rig.bus = NULL;
    rig.queue = name;
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "reply-%d", i);
        bench_put(&rig.bench, 1);
        run_to_the_end(MINUTE);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "http://sim/reply-%d", i);
        assert_string_equal(rig.out.published[i].target, name);
    }
    end();
}

static char sequence[20];

static void
handle_in_turn(struct bench *b, struct message *m, struct sim_message *s)
{
    size_t n = strlen(sequence);
    snprintf(sequence + n, sizeof sequence - n, "%zu", s->place);
    if (s->place == 0)
        handle(b, m, s);
    m->verdict.kind = HANDLER_DONE;
}

static void
with_handle_what_follows_a_refused_publish_is_not_begun(void **state)
{
    (void)state;
    struct engine_options o = bench_defaults();
    begin_on(1, &o, bench_init_fifo);
    rig.failure.call = SIM_PUT;
    rig.failure.fault = (struct sim_fault){.entry = true, .sender_fault = true, .code = "MalformedDetail"};
    rig.failure.times = 2;
    rig.bench.decide = handle_in_turn;
    rig.bench.each = true;
    rig.bench.early = 1000; /* each verdict goes to the engine at once */
    sequence[0] = '\0';
    for (int i = 0; i < 3; i++)
        sim_put_in_group(&rig.bench.sim, 0, "{}");
    assert_true(bench_run_until(&rig.bench, bench_all_deleted, 5 * MINUTE));
    assert_string_equal(sequence, "00012");
    end();
}

/* ---- all of it ---- */

static void
nothing_is_lost_whatever_fails(void **state)
{
    (void)state;
    static const uint64_t KEPT_SEEDS[] = {1, 2};
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        begin(seed);
        rig.queue = seed % 2 ? "invoices.fifo" : "invoices";
        rig.pieces = 1 + seed % 3;
        rig.bench.early = 300;
        rig.bench.longest_ms = 50;
        rig.bench.sim.fail_calls = rig.bench.sim.lose_answers = rig.bench.sim.fail_entries = 20;
        rig.out.fail_calls = rig.out.lose_answers = rig.out.fail_entries = 100;
        bench_put(&rig.bench, 150);
        run_to_the_end(120 * MINUTE);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_deleted_when_all_its_pieces_are_confirmed),
        cmocka_unit_test(pieces_go_out_ten_a_call),
        cmocka_unit_test(a_lone_piece_waits_a_few_milliseconds),
        cmocka_unit_test(a_call_is_no_larger_than_aws_allows),
        cmocka_unit_test(an_early_done_is_published_while_its_batch_still_runs),
        cmocka_unit_test(what_is_not_done_publishes_nothing),
        cmocka_unit_test(the_trace_header_goes_along),
        cmocka_unit_test(failed_pieces_alone_are_sent_again),
        cmocka_unit_test(a_lost_answer_sends_the_same_piece_twice_with_the_same_id),
        cmocka_unit_test(a_piece_refused_for_good_turns_done_into_a_retry),
        cmocka_unit_test(a_refused_publish_backs_off_whatever_delay_came_with_done),
        cmocka_unit_test(a_call_refused_as_invalid_costs_the_piece_at_fault_alone),
        cmocka_unit_test(an_outage_costs_a_few_calls_a_minute_and_no_receive),
        cmocka_unit_test(a_missing_permission_holds_messages_and_is_told),
        cmocka_unit_test(one_target_that_fails_holds_up_no_other),
        cmocka_unit_test(a_queue_that_is_not_there_makes_retries_and_no_storm),
        cmocka_unit_test(a_queue_that_was_made_again_is_looked_up_again),
        cmocka_unit_test(a_fifo_queue_gets_each_group_in_order_whatever_fails),
        cmocka_unit_test(what_was_done_is_held_past_lease_max_until_it_is_published),
        cmocka_unit_test(a_refused_publish_pauses_with_all_of_lease_max_again),
        cmocka_unit_test(what_is_done_behind_one_that_publishes_is_held_past_lease_max),
        cmocka_unit_test(a_lease_lost_meanwhile_deletes_nothing_and_publishes_again),
        cmocka_unit_test(a_done_that_comes_too_late_is_neither_deleted_nor_published),
        cmocka_unit_test(a_drain_waits_for_confirmations),
        cmocka_unit_test(what_a_drain_cannot_confirm_is_given_back_before_its_deadline),
        cmocka_unit_test(targets_that_are_used_no_more_are_not_kept),
        cmocka_unit_test(with_handle_what_follows_a_refused_publish_is_not_begun),
        cmocka_unit_test(nothing_is_lost_whatever_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
