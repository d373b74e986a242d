/* fake_fleet: the real fanoutd with workers that obey the test (fake_worker.h): copies of the test program itself,
 * where a copy of fanoutd looks for its worker.
 *
 *     int
 *     main(int argc, char **argv)
 *     {
 *         if (fake_worker_is_meant(argv))
 *             return fake_worker_main(argc, argv);
 *         ... cmocka_unit_test_setup_teardown(f, fake_fleet_set_up, fake_fleet_tear_down) ...
 *         return cmocka_run_group_tests_name("...", tests, fake_fleet_build, NULL);
 *     }
 *
 * One thread. What cannot be fails the test. */
#ifndef FANOUT_TESTS_LIB_FAKE_FLEET_H
#define FANOUT_TESTS_LIB_FAKE_FLEET_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "lib/fake_worker.h"
#include "lib/proc.h"

#define FAKE_SOON_MS 20000 /* nothing here takes a second; this is for a machine under load */

struct fake_fleet {
    const char *dir, *conf;
    struct proc *p;           /* fanoutd */
    struct clock_page *clock; /* NULL: real time */
    char clock_env[PATH_MAX + 40];
};

/* For cmocka: the programs, once; *state is a new struct fake_fleet of which nothing runs; its end. */
int fake_fleet_build(void **state);
int fake_fleet_set_up(void **state);
int fake_fleet_tear_down(void **state);

const char *fake_fleet_program(void); /* fanoutd */
void fake_fleet_copy_program(const char *from, const char *to);

/* Writes w->conf: one consumer for each mode, c0, c1, ...: "good 2" is of mode good and has two processes. */
#define FAKE_MODES(...) ((const char *const[]){__VA_ARGS__, NULL})
void fake_fleet_configure(struct fake_fleet *w, const char *top, const char *const modes[]);

/* Before the start. */
void fake_fleet_use_test_clock(struct fake_fleet *w);
void fake_fleet_advance(struct fake_fleet *w, int64_t ms);

void fake_fleet_start(struct fake_fleet *w);
void fake_fleet_run(struct fake_fleet *w, const char *top, const char *const modes[]); /* both, until it is ready */

/* Such a line, or n of them in all, among others; its end with this exit code. */
void fake_fleet_expect(struct fake_fleet *w, const char *line);
void fake_fleet_expect_count(struct fake_fleet *w, const char *line, size_t n);
void fake_fleet_expect_end(struct fake_fleet *w, int code);

/* Asks the admin listener: the status, and the whole answer in *ret_text (may be NULL) until the next call; 0: none. */
int fake_fleet_request(struct fake_fleet *w, const char *method, const char *path, char **ret_text);

pid_t fake_fleet_worker(struct fake_fleet *w); /* the first one that said its process id */

#endif
