#include "lib/rounds.h"
#include "lib/seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t KEPT[] = {1, 42};

/* "7 20 21 " */
static const char *
all(struct seeds *s)
{
    static char text[200];
    size_t n = 0;
    uint64_t seed;
    text[0] = '\0';
    while (n < sizeof text - 30 && seeds_next(s, &seed))
        n += (size_t)snprintf(text + n, sizeof text - n, "%llu ", (unsigned long long)seed);
    return text;
}

static const char *
seeds_of(const char *list)
{
    struct seeds s;
    setenv("FANOUT_SEEDS", list, 1);
    seeds_init(&s, KEPT, 2);
    unsetenv("FANOUT_SEEDS");
    return all(&s);
}

static int
forget_environment(void **state)
{
    (void)state;
    unsetenv("FANOUT_SEEDS");
    unsetenv("FANOUT_SOAK_S");
    unsetenv("FANOUT_EVENTS");
    return 0;
}

static void
the_kept_ones_run_when_nothing_else_is_asked_for(void **state)
{
    struct seeds s;
    (void)state;
    seeds_init(&s, KEPT, 2);
    assert_string_equal(all(&s), "1 42 ");
    assert_string_equal(seeds_of(""), "1 42 ");
}

static void
of_the_kept_ones_two_run_under_a_sanitizer(void **state)
{
    static const uint64_t MANY[] = {3, 1, 4};
    struct seeds s;
    (void)state;
    seeds_init(&s, MANY, 3);
    assert_string_equal(all(&s), rounds_are_all() ? "3 1 4 " : "3 1 ");
    setenv("FANOUT_EVENTS", "100", 1);
    assert_true(rounds_are_all());
    assert_int_equal(rounds_of(100), 100);
    seeds_init(&s, MANY, 3);
    unsetenv("FANOUT_EVENTS");
    assert_string_equal(all(&s), "3 1 4 ");
}

static void
a_list_of_seeds_and_ranges_runs_instead(void **state)
{
    (void)state;
    assert_string_equal(seeds_of("7"), "7 ");
    assert_string_equal(seeds_of(" 7 20-22, 9-9 0 18446744073709551614"), "7 20 21 22 9 0 18446744073709551614 ");
}

static int
exit_code_with(const char *name, const char *value)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct seeds s;
        setenv(name, value, 1);
        seeds_init(&s, KEPT, 2);
        seeds_events(1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
what_makes_no_sense_is_refused_before_anything_runs(void **state)
{
    (void)state;
    assert_int_equal(exit_code_with("FANOUT_SEEDS", "1 2x"), 2);
    assert_int_equal(exit_code_with("FANOUT_SEEDS", "1 9-3"), 2);
    assert_int_equal(exit_code_with("FANOUT_SEEDS", "1 3-"), 2);
    assert_int_equal(exit_code_with("FANOUT_SEEDS", "-3"), 2);
    assert_int_equal(exit_code_with("FANOUT_SOAK_S", "long"), 2);
    assert_int_equal(exit_code_with("FANOUT_EVENTS", "0"), 2);
    assert_int_equal(exit_code_with("FANOUT_EVENTS", "100"), 0);
}

static void
a_soak_draws_new_seeds_until_its_time_is_over(void **state)
{
    struct seeds s;
    uint64_t a, b;
    (void)state;
    setenv("FANOUT_SOAK_S", "600", 1);
    seeds_init(&s, KEPT, 2);
    unsetenv("FANOUT_SOAK_S");
    assert_true(seeds_next(&s, &a));
    assert_true(seeds_next(&s, &b));
    assert_true(a != b);
    s.until_ms = 1;
    assert_false(seeds_next(&s, &a));
}

static void
the_same_seed_draws_the_same_numbers_below_the_bound(void **state)
{
    (void)state;
    uint64_t a = 5, b = 5, c = 6;
    unsigned differing = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = seeds_draw(&a, 10);
        assert_true(x < 10);
        assert_int_equal(x, seeds_draw(&b, 10));
        differing += x != seeds_draw(&c, 10);
    }
    assert_true(differing > 800);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kept_ones_run_when_nothing_else_is_asked_for),
        cmocka_unit_test(of_the_kept_ones_two_run_under_a_sanitizer),
        cmocka_unit_test(a_list_of_seeds_and_ranges_runs_instead),
        cmocka_unit_test(what_makes_no_sense_is_refused_before_anything_runs),
        cmocka_unit_test(a_soak_draws_new_seeds_until_its_time_is_over),
        cmocka_unit_test(the_same_seed_draws_the_same_numbers_below_the_bound),
    };
    return cmocka_run_group_tests_name("seeds", tests, forget_environment, NULL);
}
