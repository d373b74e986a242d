/* tap: a program that speaks TAP (testanything.org), each of its checks a cmocka test of its own.
 *
 *     1..2
 *     ok 1 - a_queue_is_made
 *     not ok 2 - a_queue_is_deleted
 *     # what was wrong
 *     ok 3 - a_queue_is_renamed # SKIP there is no such thing
 *
 * It runs to its end before cmocka hears of its tests; a check it announced and never came to has failed. */
#ifndef FANOUT_TESTS_LIB_TAP_H
#define FANOUT_TESTS_LIB_TAP_H

#include "lib/proc.h"

struct tap_program {
    const char *name;            /* of the group: "boto3" */
    struct proc_options options; /* argv, env, cwd */
    int timeout_ms;
    const char *missing; /* not NULL: the program cannot be run, because of that; its one test is skipped */
};

struct tap_run;

/* Starts it, or notes that it is missing; several may run at once. */
struct tap_run *tap_start(const struct tap_program *p);

/* Waits for its end, tells its checks to cmocka, frees; how many failed. */
int tap_finish(struct tap_run *r);

#endif
