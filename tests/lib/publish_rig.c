#include "lib/publish_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct publish_rig publishing;

static void
inject(void *context, enum sim_outlet_call call, int entry, const char *payload, struct sim_fault *fault)
{
    (void)context;
    if (publishing.failure.times == 0 || call != publishing.failure.call ||
        (entry >= 0) != publishing.failure.fault.entry ||
        (publishing.failure.text && !strstr(payload, publishing.failure.text)))
        return;
    if (publishing.failure.times != UINT32_MAX)
        publishing.failure.times--;
    *fault = publishing.failure.fault;
}

void
publish_rig_let_fail(enum sim_outlet_call call, struct sim_fault fault, unsigned times)
{
    publishing.failure.call = call;
    publishing.failure.fault = fault;
    publishing.failure.times = times;
}

static struct handler_slice
text(const char *s)
{
    return (struct handler_slice){s, strlen(s)};
}

void
publish_rig_publish(struct message *m)
{
    char *payload = malloc(publishing.detail_bytes + 200);
    struct err e;
    assert_non_null(payload);
    for (size_t i = 0; i < publishing.pieces; i++) {
        int n = snprintf(payload, 200, "{\"of\":\"%s\",\"n\":%zu,\"x\":\"", m->view.id, i);
        memset(payload + n, 'x', publishing.detail_bytes);
        memcpy(payload + n + publishing.detail_bytes, "\"}", 3);
        const struct handler_new_event event = {.size = sizeof event,
                                                .bus = text(publishing.bus ? publishing.bus : ""),
                                                .source = HANDLER_TEXT("shop"),
                                                .detail_type = HANDLER_TEXT("Paid"),
                                                .detail = text(payload)};
        const struct handler_new_message message = {.size = sizeof message,
                                                    .queue = text(publishing.queue ? publishing.queue : ""),
                                                    .group = text(!publishing.groups ? ""
                                                                  : i % 2            ? "odd"
                                                                                     : "even"),
                                                    .body = text(payload)};
        if (publishing.bus)
            assert_int_equal(publish_list_add_event(&publishing.desk, m, &event, &e), 0);
        if (publishing.queue)
            assert_int_equal(publish_list_add_message(&publishing.desk, m, &message, &e), 0);
    }
    free(payload);
}

void
publish_rig_handle(struct bench *b, struct message *m, struct sim_message *s)
{
    (void)b;
    publish_rig_publish(m);
    m->verdict.kind = s->handled == 1 && publishing.verdict ? publishing.verdict : HANDLER_DONE;
    m->verdict.delay_ms = publishing.delay_ms;
    if (m->verdict.kind == HANDLER_REJECT)
        m->verdict.reason = message_copy_reason("no good");
}

void
publish_rig_begin_on(uint64_t seed, struct engine_options *o,
                     void (*init)(struct bench *b, uint64_t seed, const struct engine_options *options))
{
    publishing = (struct publish_rig){
        .desk = {.bus = "", .queue = "", .max_bytes = 64 << 20}, .bus = "orders", .pieces = 1, .delay_ms = -1};
    o->outlet = &publishing.out.outlet;
    sim_outlet_init(&publishing.out, &publishing.bench.sim);
    publishing.out.hook = inject;
    init(&publishing.bench, seed, o);
    publishing.bench.decide = publish_rig_handle;
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
    bench_clean_up(&publishing.bench);
    sim_outlet_clean_up(&publishing.out);
    assert_int_equal(atomic_load(&publishing.desk.bytes), 0);
}

static size_t
expected_pieces(void)
{
    return publishing.pieces * ((publishing.bus != NULL) + (publishing.queue != NULL));
}

void
publish_rig_assert_nothing_lost(void)
{
    for (size_t i = 0; i < publishing.bench.sim.n_messages; i++) {
        const struct sim_message *m = &publishing.bench.sim.messages[i];
        if (!m->deleted || m->dead_letters > 0 || publishing.looked_at[i])
            continue;
        publishing.looked_at[i] = true;
        assert_int_equal(sim_outlet_pieces(&publishing.out, m->id), expected_pieces());
    }
}

void
publish_rig_run(int64_t ms)
{
    int64_t until_ms = sim_now_ms() + ms;
    while (!bench_all_deleted(&publishing.bench) && sim_now_ms() < until_ms) {
        bench_run(&publishing.bench, 1);
        publish_rig_assert_nothing_lost();
    }
    assert_true(bench_all_deleted(&publishing.bench));
    for (size_t i = 0; i < publishing.bench.sim.n_messages; i++)
        assert_true(sim_outlet_pieces(&publishing.out, publishing.bench.sim.messages[i].id) <= expected_pieces());
}

void
publish_rig_assert_one_copy(void)
{
    for (size_t i = 0; i < publishing.bench.sim.n_messages; i++)
        assert_int_equal(sim_outlet_copies(&publishing.out, publishing.bench.sim.messages[i].id), expected_pieces());
}
