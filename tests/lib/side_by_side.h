/* side_by_side: the tests of one program at once, each in a process of its own, for tests that spend their time
 * waiting for time-outs which no clock of ours moves.
 *
 * What each writes is shown when all have ended, one after the other, as if they had run so. The group's set-up and
 * end run in each process, around its test. */
#ifndef FANOUT_TESTS_LIB_SIDE_BY_SIDE_H
#define FANOUT_TESTS_LIB_SIDE_BY_SIDE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* In place of cmocka_run_group_tests_name, before there are threads; to be returned from main. */
int side_by_side_run(const char *group, const struct CMUnitTest *tests, size_t n, CMFixtureFunction set_up,
                     CMFixtureFunction tear_down);

#endif
