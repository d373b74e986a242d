#include "lib/order_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct bench order_bench;

void
order_bench_start(const struct engine_options *options, bool each)
{
    bench_init_fifo(&order_bench, 1, options);
    order_bench.each = each;
    if (each)
        order_witness_be_strict(order_bench.order);
}

void
order_bench_put(int group, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sim_put_in_group(&order_bench.sim, group, "{}");
}

struct sim_message *
order_bench_message(int group, size_t place)
{
    for (size_t i = 0; i < order_bench.sim.n_messages; i++)
        if (order_bench.sim.messages[i].group == group && order_bench.sim.messages[i].place == place)
            return &order_bench.sim.messages[i];
    fail();
    return NULL;
}

/* ---- what handlers decide ---- */

static int fails_group; /* whose first message fails */
static unsigned fails_times;
static int64_t fails_delay_ms;
static int32_t fails_with;

static void
first_fails(struct bench *bench, struct message *m, struct sim_message *s)
{
    (void)bench;
    bool fails = s->group == fails_group && s->place == 0 && s->handled <= fails_times;
    m->verdict.kind = fails ? fails_with : HANDLER_DONE;
    m->verdict.delay_ms = fails ? fails_delay_ms : -1;
    if (fails)
        m->verdict.reason = message_copy_reason("no good");
}

void
order_bench_let_first_fail(int group, unsigned times, int32_t with, int64_t delay_ms)
{
    fails_group = group;
    fails_times = times;
    fails_with = with;
    fails_delay_ms = delay_ms;
    order_bench.decide = first_fails;
}

size_t
order_bench_deleted_in(int group)
{
    size_t n = 0;
    for (size_t i = 0; i < order_bench.sim.n_messages; i++)
        n += order_bench.sim.messages[i].group == group && order_bench.sim.messages[i].deleted;
    return n;
}
