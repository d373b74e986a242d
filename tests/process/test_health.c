/* fanoutd --health with the real worker: its engine's beat, and an AWS that is away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/system.h"
#include "lib/tmp.h"

static const char CONSUMERS[] = "log = { level = \"debug\"; };\n"
                                "consumers = ( { name = \"x\"; queue = \"" SYSTEM_QUEUE "\"; plugin = \"jsonl\";\n"
                                "                wait_time_s = 1; options = { path = \"/dev/null\"; }; } );";

struct world {
    const char *dir;
    struct clock_page *clock;
    struct system *system;
};

static int
start(void **state)
{
    static char env[PATH_MAX + 40];
    struct world *w = calloc(1, sizeof *w);
    w->dir = tmp_new();
    const char *path = tmp_path(w->dir, "clock");
    assert_int_equal(clock_page_create(path, &w->clock, NULL), 0);
    snprintf(env, sizeof env, "%s", path);
    setenv("FANOUT_TEST_CLOCK", env, 1);
    w->system = system_start(w->dir);
    system_start_fleet(w->system, CONSUMERS);
    *state = w;
    return 0;
}

static int
stop(void **state)
{
    struct world *w = *state;
    system_stop(w->system);
    unsetenv("FANOUT_TEST_CLOCK");
    tmp_remove(w->dir);
    free(w);
    return 0;
}

static int
health(struct world *w)
{
    const char *conf = tmp_write(w->dir, "health.conf", "admin = { listen = \"%s\"; };\n%s\n",
                                 w->system->admin + strlen("http://"), CONSUMERS);
    return system_run(w->system, (const char *[]){proc_path("bin/fanoutd"), "--health", "-c", conf, NULL}, 20000, NULL);
}

static bool
is_healthy(void *world)
{
    return health(world) == 0;
}

/* SIGSTOP reaches the threads one by one, after kill has returned. */
static bool
stands_still(void *worker)
{
    char folder[64], path[400], state;
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)*(pid_t *)worker);
    DIR *d = opendir(folder);
    bool all = d != NULL;
    for (struct dirent *t; all && (t = readdir(d));) {
        if (*t->d_name == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/stat", folder, t->d_name);
        FILE *f = fopen(path, "re");
        all = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'T';
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return all;
}

static void
a_worker_that_stands_still_is_unhealthy_until_it_goes_on(void **state)
{
    struct world *w = *state;
    pid_t worker = system_worker(w->system);
    assert_true(worker > 0);
    assert_int_equal(health(w), 0);
    assert_int_equal(kill(worker, SIGSTOP), 0);
    assert_true(proc_wait_until(stands_still, &worker, 20000));
    atomic_fetch_add(&w->clock->offset_ms, 11000);
    assert_int_equal(health(w), 1);
    assert_int_equal(kill(worker, SIGCONT), 0);
    assert_true(proc_wait_until(is_healthy, w, 20000));
}

static void
an_aws_that_is_away_makes_nobody_unhealthy(void **state)
{
    struct world *w = *state;
    system_kill_local(w->system);
    assert_non_null(proc_wait_line(w->system->fleet, "health=queue", 30000));
    assert_int_equal(health(w), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_worker_that_stands_still_is_unhealthy_until_it_goes_on),
        TEST(an_aws_that_is_away_makes_nobody_unhealthy),
    };
    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
