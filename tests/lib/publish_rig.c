#include "lib/publish_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct publish_rig rig;

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

void
publish_rig_let_fail(enum sim_outlet_call call, struct sim_fault fault, unsigned times)
{
    rig.failure.call = call;
    rig.failure.fault = fault;
    rig.failure.times = times;
}

static struct handler_slice
text(const char *s)
{
    return (struct handler_slice){s, strlen(s)};
}

void
publish_rig_publish(struct message *m)
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

void
publish_rig_handle(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    publish_rig_publish(m);
    m->verdict.kind = s->handled == 1 && rig.verdict ? rig.verdict : HANDLER_DONE;
    m->verdict.delay_ms = rig.delay_ms;
    if (m->verdict.kind == HANDLER_REJECT)
        m->verdict.reason = message_copy_reason("no good");
}

void
publish_rig_begin_on(uint64_t seed, struct engine_options *o,
                     void (*init)(struct bench *b, uint64_t seed, const struct engine_options *options))
{
    rig = (struct publish_rig){
        .desk = {.bus = "", .queue = "", .max_bytes = 64 << 20}, .bus = "orders", .pieces = 1, .delay_ms = -1};
    o->outlet = &rig.out.outlet;
    sim_outlet_init(&rig.out, &rig.bench.sim);
    rig.out.hook = inject;
    init(&rig.bench, seed, o);
    rig.bench.decide = publish_rig_handle;
}

void
publish_rig_begin_with(uint64_t seed, struct engine_options *o)
{
    publish_rig_begin_on(seed, o, bench_init);
}

void
publish_rig_begin(uint64_t seed)
{
    struct engine_options o = bench_defaults();
    publish_rig_begin_with(seed, &o);
}

void
publish_rig_end(void)
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

void
publish_rig_assert_nothing_lost(void)
{
    for (size_t i = 0; i < rig.bench.sim.n_messages; i++) {
        const struct sim_message *m = &rig.bench.sim.messages[i];
        if (!m->deleted || m->dead_letters > 0 || rig.looked_at[i])
            continue;
        rig.looked_at[i] = true;
        assert_int_equal(sim_outlet_pieces(&rig.out, m->id), expected_pieces());
    }
}

void
publish_rig_run(int64_t ms)
{
    int64_t until_ms = sim_now_ms() + ms;
    while (!bench_all_deleted(&rig.bench) && sim_now_ms() < until_ms) {
        bench_run(&rig.bench, 1);
        publish_rig_assert_nothing_lost();
    }
    assert_true(bench_all_deleted(&rig.bench));
    for (size_t i = 0; i < rig.bench.sim.n_messages; i++)
        assert_true(sim_outlet_pieces(&rig.out, rig.bench.sim.messages[i].id) <= expected_pieces());
}

void
publish_rig_assert_one_copy(void)
{
    for (size_t i = 0; i < rig.bench.sim.n_messages; i++)
        assert_int_equal(sim_outlet_copies(&rig.out, rig.bench.sim.messages[i].id), expected_pieces());
}
