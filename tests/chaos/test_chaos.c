/* The whole fleet in a storm: server faults of every kind, kills and restarts, and handlers that are done, fail,
 * reject, dawdle and break their contract; at the end every message has become what it should have.
 *
 * `make chaos SEEDS="1 2 3" MESSAGES=50000`, or FANOUT_SEEDS and FANOUT_EVENTS (lib/seeds.h). A seed that fails belongs
 * into KEPT_SEEDS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/chaos_run.h"
#include "lib/chaos_storm.h"
#include "lib/seeds.h"

#define MESSAGES   2000 /* of a run, unless told otherwise */
#define FAILED_MAX 10   /* runs; then a soak has found enough */

static const uint64_t KEPT_SEEDS[] = {1, 2, 3, 7, 22};

struct chaos_test {
    struct chaos_coverage coverage;
    uint64_t seed;
    size_t messages;
    struct chaos_run run;
    bool passed;
};

static int
clean_up(void **state)
{
    struct chaos_test *t = *state;
    chaos_run_clean_up(&t->run, !t->passed);
    return 0;
}

static void
every_message_becomes_what_it_should(void **state)
{
    struct chaos_test *t = *state;
    struct buf findings = BUF_INIT, sums = BUF_INIT;
    t->passed = false;
    chaos_run_begin(&t->run, t->seed, t->messages);
    chaos_coverage_add(&t->coverage, &t->run.plan);
    chaos_plan_describe(&t->run.plan, &sums);
    print_message("seed %llu: %s\n", (unsigned long long)t->seed, sums.data);
    buf_reset(&sums);
    chaos_run_fill(&t->run);
    chaos_run_start_fleet(&t->run);
    chaos_storm(&t->run);
    size_t found = chaos_run_finish(&t->run, &findings, &sums);
    print_message("seed %llu: %s; %u killed, %u fleets, %u reloads, %lld s of its clock\n", (unsigned long long)t->seed,
                  sums.data, t->run.kills, 1 + t->run.restarts, t->run.reloads,
                  (long long)chaos_run_clock_ms(&t->run) / 1000);
    if (found > 0)
        fputs(findings.data, stdout); /* longer than what cmocka prints at a time */
    buf_clean_up(&sums);
    buf_clean_up(&findings);
    if (found > 0)
        fail_msg("%zu wrong; again with: make chaos SEEDS=%llu MESSAGES=%zu", found, (unsigned long long)t->seed,
                 t->messages);
    t->passed = true;
}

int
main(void)
{
    struct seeds seeds;
    struct chaos_test test = {.messages = seeds_events(MESSAGES)};
    int failed = 0;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (failed < FAILED_MAX && seeds_next(&seeds, &test.seed)) {
        char name[100];
        snprintf(name, sizeof name, "every_message_becomes_what_it_should, seed %llu", (unsigned long long)test.seed);
        const struct CMUnitTest tests[] = {{name, every_message_becomes_what_it_should, NULL, clean_up, &test}};
        failed += cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
    }
    if (test.coverage.runs > 1) {
        struct buf met = BUF_INIT;
        chaos_coverage_describe(&test.coverage, &met);
        print_message("%s", met.data);
        buf_clean_up(&met);
    }
    return failed > 0;
}
