/* The configurations of chaos runs (lib/chaos_plan.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/chaos_plan.h"

static void
every_value_is_met_in_twenty_seeds(void **state)
{
    (void)state;
    for (uint64_t first = 1; first < 400; first++) {
        struct chaos_coverage c = {0};
        for (uint64_t seed = first; seed < first + 20; seed++) {
            struct chaos_plan p;
            chaos_plan_draw(&p, seed);
            chaos_coverage_add(&c, &p);
        }
        for (unsigned q = 0; q < ACCOUNT_QUEUES; q++)
            for (unsigned o = 0; o < CHAOS_OPTIONS; o++)
                for (unsigned v = 0; v < chaos_plan_values(q, o); v++)
                    if (c.met[q][o][v] == 0 &&
                        !(q == ACCOUNT_FIFO && o == CHAOS_ON_MISMATCH && v == CHAOS_MISMATCH_LEAVE))
                        fail_msg("queue %u, option %u: value %u is not met from seed %llu on", q, o, v,
                                 (unsigned long long)first);
    }
}

static void
a_seed_has_one_plan_and_what_fanoutd_refuses_is_in_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 1000; seed++) {
        struct chaos_plan p, again;
        chaos_plan_draw(&p, seed);
        chaos_plan_draw(&again, seed);
        assert_memory_equal(&p, &again, sizeof p);
        assert_int_equal(p.choice[0][CHAOS_ON_FAILURE], CHAOS_STOP_GROUP);
        assert_int_not_equal(p.choice[ACCOUNT_FIFO][CHAOS_ON_MISMATCH], CHAOS_MISMATCH_LEAVE);
        if (p.choice[ACCOUNT_FIFO][CHAOS_THEN] == CHAOS_LEAVE_TO_QUEUE)
            assert_int_equal(p.choice[ACCOUNT_FIFO][CHAOS_ON_FAILURE], CHAOS_SKIP);
    }
}

static void
the_list_says_what_was_met_and_how_often(void **state)
{
    (void)state;
    struct chaos_coverage c = {0};
    struct buf out = BUF_INIT;
    struct chaos_plan p = {0};
    chaos_coverage_add(&c, &p);
    p.choice[0][CHAOS_DEDUP] = CHAOS_DEDUP_SQLITE;
    chaos_coverage_add(&c, &p);
    chaos_coverage_describe(&c, &out);
    assert_non_null(strstr(out.data, "seeds: of 2 runs, standard dedup: none 1 memory 0 sqlite 1\n"));
    assert_non_null(strstr(out.data, "seeds: of 2 runs, fifo dedup: none 2 memory 0 sqlite 0\n"));
    assert_null(strstr(out.data, "standard fifo.on_failure"));
    buf_clean_up(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_met_in_twenty_seeds),
        cmocka_unit_test(a_seed_has_one_plan_and_what_fanoutd_refuses_is_in_none),
        cmocka_unit_test(the_list_says_what_was_met_and_how_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
