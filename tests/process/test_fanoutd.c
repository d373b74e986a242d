/* The real fanoutd's command line, and what it is linked with; a worker that obeys the test answers its checks
 * (tests/lib/fake_fleet.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fake_fleet.h"
#include "lib/skip.h"
#include "lib/tmp.h"

/* ---- the command line ---- */

static int
run_fanoutd(struct fake_fleet *w, const char *const argv[])
{
    proc_destroy(w->p);
    w->p = proc_spawn(argv, NULL);
    return proc_wait_exit(w->p, 2 * FAKE_SOON_MS);
}

#define FANOUTD(...) run_fanoutd(w, (const char *const[]){fake_fleet_program(), __VA_ARGS__, NULL})

static void
check_says_valid_or_every_problem(void **state)
{
    struct fake_fleet *w = *state;
    char expected[PATH_MAX + 60];
    fake_fleet_configure(w, "", FAKE_MODES("good", "good"));
    assert_int_equal(FANOUTD("-c", w->conf, "--check"), 0);
    snprintf(expected, sizeof expected, "%s: configuration is valid\n", w->conf);
    assert_string_equal(proc_stdout(w->p), expected);

    w->conf = tmp_write(w->dir, "bad.conf",
                        "colour = 1;\nconsumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\";\n"
                        "threads = 0; processes = \"many\"; } );\n");
    assert_int_equal(FANOUTD("--check", "--config", w->conf), 2);
    assert_int_equal(proc_count_lines(w->p, "bad.conf:1: "), 1);
    assert_int_equal(proc_count_lines(w->p, "bad.conf:3: "), 2);
    assert_int_equal(proc_count_lines(w->p, "3 problems"), 1);
    assert_string_equal(proc_stdout(w->p), "");
    assert_int_equal(FANOUTD("-c", w->conf), 2);
    assert_int_equal(proc_count_lines(w->p, "3 problems"), 1);
}

static void
check_asks_each_consumers_worker_about_its_plugin(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_configure(w, "", FAKE_MODES("refuse", "good", "segv", "exit0"));
    assert_int_equal(FANOUTD("-c", w->conf, "--check"), 2);
    assert_int_equal(proc_count_lines(w->p, "fake: the plugin is no good"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c0: its worker would not start"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c1:"), 0);
    assert_int_equal(proc_count_lines(w->p, "consumer c2: loading its plugin ended in SIG"), 1);
    assert_int_equal(proc_count_lines(w->p, "consumer c3: the check failed with status 77"), 1);
    assert_int_equal(proc_count_lines(w->p, "3 of 4 consumers would not start"), 1);
    assert_int_equal(proc_count_lines(w->p, "descriptors 0 1 2 5, no others"), 4);
}

#define WITH_DEDUP_FILE                                                                                                \
    "consumers = ( { name = \"c0\"; queue = \"q\"; plugin = \"fake\"; options = { mode = \"good\"; };\n"               \
    "  dedup = { store = \"sqlite\"; path = \"%s/%s\"; }; } );\n"

static void
check_looks_for_the_folders_of_deduplication_files(void **state)
{
    struct fake_fleet *w = *state;
    w->conf = tmp_write(w->dir, "there.conf", WITH_DEDUP_FILE, w->dir, "dedup.db");
    assert_int_equal(FANOUTD("-c", w->conf, "--check"), 0);
    w->conf = tmp_write(w->dir, "missing.conf", WITH_DEDUP_FILE, w->dir, "missing/dedup.db");
    assert_int_equal(FANOUTD("-c", w->conf, "--check"), 2);
    assert_int_equal(proc_count_lines(w->p, "consumer c0: dedup.path: cannot write "), 1);
    assert_int_equal(proc_count_lines(w->p, "No such file or directory"), 1);
}

static void
a_check_ends_with_whoever_asked_for_it(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_configure(w, "", FAKE_MODES("hang"));
    w->p = proc_spawn((const char *[]){fake_fleet_program(), "-c", w->conf, "--check", NULL}, NULL);
    fake_fleet_expect(w, "blocked 0, ignored, no others");
    proc_signal(w->p, SIGTERM);
    fake_fleet_expect_end(w, -SIGTERM); /* its worker's output has ended, too */
}

static void
print_config_prints_what_it_would_use_in_its_own_syntax(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_configure(w, "drain_timeout_s = 11;", FAKE_MODES("good"));
    assert_int_equal(FANOUTD("-c", w->conf, "--print-config"), 0);
    const char *printed = tmp_write(w->dir, "printed.conf", "%s", proc_stdout(w->p));
    assert_int_equal(proc_count_lines(w->p, "drain_timeout_s = 11"), 1);
    assert_int_equal(FANOUTD("-c", printed, "--check"), 0);
}

static void
wrong_arguments_are_refused_with_a_way_out(void **state)
{
    struct fake_fleet *w = *state;
    assert_int_equal(FANOUTD("--version"), 0);
    assert_string_equal(proc_stdout(w->p), "fanoutd " FANOUT_VERSION "\n");
    assert_int_equal(FANOUTD("--help"), 0);
    assert_int_equal(proc_count_lines(w->p, "--print-config"), 2);
    assert_int_equal(run_fanoutd(w, (const char *const[]){fake_fleet_program(), NULL}), 2);
    assert_int_equal(proc_count_lines(w->p, "fanoutd -c FILE"), 1);
    assert_int_equal(FANOUTD("some.conf"), 2);
    assert_int_equal(proc_count_lines(w->p, "what is 'some.conf'?"), 1);
    assert_int_equal(FANOUTD("--colour"), 2);
    assert_int_equal(FANOUTD("-c", tmp_path(w->dir, "missing.conf")), 2);
    assert_int_equal(proc_count_lines(w->p, "missing.conf: No such file"), 1);
}

static void
a_missing_worker_program_is_named(void **state)
{
    struct fake_fleet *w = *state;
    fake_fleet_configure(w, "", FAKE_MODES("good"));
    mkdir(tmp_path(w->dir, "bin"), 0755);
    const char *alone = tmp_path(w->dir, "bin/fanoutd");
    fake_fleet_copy_program(fake_fleet_program(), alone);
    assert_int_equal(run_fanoutd(w, (const char *const[]){alone, "-c", w->conf, NULL}), 1);
    assert_int_equal(proc_count_lines(w->p, tmp_path(w->dir, "libexec/fanoutd/fanout-worker")), 1);
}

static void
it_links_neither_curl_nor_openssl_nor_sqlite(void **state)
{
    struct fake_fleet *w = *state;
    w->p = proc_spawn((const char *[]){"readelf", "-d", fake_fleet_program(), NULL}, NULL);
    if (proc_wait_exit(w->p, FAKE_SOON_MS) != 0)
        skip_because("there is no readelf");
    assert_int_equal(proc_count_lines(w->p, "NEEDED"), proc_count_lines(w->p, "Shared library"));
    assert_true(proc_count_lines(w->p, "NEEDED") >= 2);
    assert_int_equal(proc_count_lines(w->p, "libcurl"), 0);
    assert_int_equal(proc_count_lines(w->p, "libcrypto"), 0);
    assert_int_equal(proc_count_lines(w->p, "libssl"), 0);
    assert_int_equal(proc_count_lines(w->p, "libsqlite"), 0);
}

int
main(int argc, char **argv)
{
    if (fake_worker_is_meant(argv))
        return fake_worker_main(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, fake_fleet_set_up, fake_fleet_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(check_says_valid_or_every_problem),
        TEST(check_asks_each_consumers_worker_about_its_plugin),
        TEST(check_looks_for_the_folders_of_deduplication_files),
        TEST(a_check_ends_with_whoever_asked_for_it),
        TEST(print_config_prints_what_it_would_use_in_its_own_syntax),
        TEST(wrong_arguments_are_refused_with_a_way_out),
        TEST(a_missing_worker_program_is_named),
        TEST(it_links_neither_curl_nor_openssl_nor_sqlite),
    };
    return cmocka_run_group_tests_name("fanoutd", tests, fake_fleet_build, NULL);
}
