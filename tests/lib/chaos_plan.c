#include "lib/chaos_plan.h"

#include <stdlib.h>
#include <string.h>

#include "lib/seeds.h"

static const char *const QUEUES[ACCOUNT_QUEUES] = {"standard", "fifo"};

/* What a value is called, and the settings it makes. */
struct value {
    const char *name, *settings;
    unsigned number; /* of a rate, of lease.max_s */
};

static const struct option {
    const char *name;
    struct value values[CHAOS_VALUES_MAX];
} OPTIONS[CHAOS_OPTIONS] = {
    [CHAOS_SHAPE] = {"shape", {{.name = "4x10+1"}, {.name = "8x1+2"}, {.name = "2x25+0,window"}, {.name = "3x10+2"}}},
    [CHAOS_DEDUP] = {"dedup",
                     {{"none", "", 0}, {"memory", "dedup = { store = \"memory\"; };", 0}, {"sqlite", NULL, 0}}},
    [CHAOS_UNWRAP] = {"unwrap", {{"none", "", 0}, {"sns", "unwrap = \"sns\";", 0}, {"auto", "unwrap = \"auto\";", 0}}},
    [CHAOS_ON_MISMATCH] = {"on_mismatch",
                           {{"delete", "", 0},
                            {"leave", "on_mismatch = \"leave\";", 0},
                            {"dead_letter", "on_mismatch = \"dead_letter\";", 0}}},
    [CHAOS_PUBLISH] = {"publish",
                       {{"none", "", 0},
                        {"bus", "publish = { bus = \"default\"; };", 0},
                        {"queue", "publish = { queue = \"chaos-events\"; };", 0}}},
    [CHAOS_ON_FAILURE] = {"fifo.on_failure",
                          {{"stop_group", "", 0}, {"skip", "fifo = { on_failure = \"skip\"; };", 0}}},
    [CHAOS_THEN] = {"retry.then", {{"dead_letter", "", 0}, {"leave_to_queue", " then = \"leave_to_queue\";", 0}}},
    [CHAOS_RATE] = {"rate.max_per_s",
                    {{"0", "", 0},
                     {"300", "rate = { max_per_s = 300; };", 300},
                     {"1000", "rate = { max_per_s = 1000; };", 1000}}},
    [CHAOS_LEASE_MAX] = {"lease.max_s", {{"0", "", 0}, {"40", "lease = { max_s = 40; };", 40}}},
    [CHAOS_BREAKER] = {"breaker.failure_percent",
                       {{"0", "", 0}, {"40", " failure_percent = 40; window_s = 2; min_calls = 20;", 40}}},
};

static const struct shape {
    unsigned threads, batch, prefetch, window_ms;
} SHAPES[] = {{4, 10, 1, 0}, {8, 1, 2, 0}, {2, 25, 0, 300}, {3, 10, 2, 0}};

static unsigned
values_of(const struct option *o)
{
    unsigned n = 0;
    while (n < CHAOS_VALUES_MAX && o->values[n].name)
        n++;
    return n;
}

unsigned
chaos_plan_values(unsigned queue, enum chaos_option option)
{
    return queue != ACCOUNT_FIFO && option == CHAOS_ON_FAILURE ? 1 : values_of(&OPTIONS[option]);
}

/* src/config/check.c says why; but for the breaker: where what fails for ever is left to the queue, in the end there is
 * nothing else to try it with, and it stays open for hours. */
static bool
is_refused(const unsigned choice[CHAOS_OPTIONS], unsigned queue, enum chaos_option option)
{
    if (option == CHAOS_BREAKER && choice[CHAOS_THEN] == CHAOS_LEAVE_TO_QUEUE)
        return true;
    if (queue != ACCOUNT_FIFO)
        return option == CHAOS_ON_FAILURE;
    return (option == CHAOS_ON_MISMATCH && choice[option] == CHAOS_MISMATCH_LEAVE) ||
           (option == CHAOS_THEN && choice[CHAOS_ON_FAILURE] != CHAOS_SKIP);
}

/* Of as many seeds in a row as there are values, counted from a multiple, each value has one. */
void
chaos_plan_draw(struct chaos_plan *p, uint64_t seed)
{
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        for (unsigned o = 0; o < CHAOS_OPTIONS; o++) {
            unsigned n = values_of(&OPTIONS[o]);
            uint64_t random = (seed / n * CHAOS_OPTIONS + o) * ACCOUNT_QUEUES + q;
            p->choice[q][o] = (unsigned)((seed % n + seeds_draw(&random, n)) % n);
            if (is_refused(p->choice[q], q, o))
                p->choice[q][o] = 0;
        }
}

static const struct value *
value_of(const struct chaos_plan *p, unsigned queue, enum chaos_option option)
{
    return &OPTIONS[option].values[p->choice[queue][option]];
}

void
chaos_plan_describe(const struct chaos_plan *p, struct buf *out)
{
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++) {
        buf_add_format(out, "%s%s:", q > 0 ? "; " : "", QUEUES[q]);
        for (unsigned o = 0; o < CHAOS_OPTIONS; o++)
            if (chaos_plan_values(q, o) > 1)
                buf_add_format(out, "%s %s %s", o > 0 ? "," : "", OPTIONS[o].name, value_of(p, q, o)->name);
    }
}

void
chaos_plan_configure(const struct chaos_plan *p, unsigned queue, const char *done_path, struct buf *out)
{
    static const enum chaos_option PLAIN[] = {CHAOS_UNWRAP,     CHAOS_ON_MISMATCH, CHAOS_PUBLISH,
                                              CHAOS_ON_FAILURE, CHAOS_RATE,        CHAOS_LEASE_MAX};
    const struct shape *s = &SHAPES[p->choice[queue][CHAOS_SHAPE]];
    buf_add_format(out,
                   "    threads = %u; prefetch = %u; batch = { size = %u; window_ms = %u; }; wait_time_s = %d;\n"
                   "    retry = { base_ms = 500; cap_ms = 20000; max_attempts = %d;%s };\n"
                   "    breaker = { pause_ms = 1000; pause_cap_ms = 5000;%s };\n   ",
                   s->threads, s->prefetch, s->batch, s->window_ms, CHAOS_WAIT_S, CHAOS_MAX_ATTEMPTS,
                   value_of(p, queue, CHAOS_THEN)->settings, value_of(p, queue, CHAOS_BREAKER)->settings);
    for (size_t i = 0; i < sizeof PLAIN / sizeof *PLAIN; i++)
        buf_add_format(out, " %s", value_of(p, queue, PLAIN[i])->settings);
    if (p->choice[queue][CHAOS_DEDUP] == CHAOS_DEDUP_SQLITE)
        buf_add_format(out, " dedup = { store = \"sqlite\"; path = \"%s-%s.db\"; };", done_path, QUEUES[queue]);
    else
        buf_add_format(out, " %s", value_of(p, queue, CHAOS_DEDUP)->settings);
    buf_add_char(out, '\n');
}

size_t
chaos_plan_cap(const struct chaos_plan *p, unsigned queue)
{
    const struct shape *s = &SHAPES[p->choice[queue][CHAOS_SHAPE]];
    return (size_t)s->threads * s->batch * (1 + s->prefetch);
}

unsigned
chaos_plan_rate(const struct chaos_plan *p, unsigned queue)
{
    return value_of(p, queue, CHAOS_RATE)->number;
}

unsigned
chaos_plan_lease_s(const struct chaos_plan *p, unsigned queue)
{
    return value_of(p, queue, CHAOS_LEASE_MAX)->number;
}

/* ---- coverage ---------------------------------------------------------------------------------------------------- */

void
chaos_coverage_add(struct chaos_coverage *c, const struct chaos_plan *p)
{
    c->runs++;
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        for (unsigned o = 0; o < CHAOS_OPTIONS; o++)
            c->met[q][o][p->choice[q][o]]++;
}

void
chaos_coverage_describe(const struct chaos_coverage *c, struct buf *out)
{
    for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
        for (unsigned o = 0; o < CHAOS_OPTIONS; o++) {
            unsigned n = values_of(&OPTIONS[o]);
            if (chaos_plan_values(q, o) == 1)
                continue;
            buf_add_format(out, "seeds: of %zu runs, %s %s:", c->runs, QUEUES[q], OPTIONS[o].name);
            for (unsigned v = 0; v < n; v++)
                buf_add_format(out, " %s %zu", OPTIONS[o].values[v].name, c->met[q][o][v]);
            buf_add_char(out, '\n');
        }
}
