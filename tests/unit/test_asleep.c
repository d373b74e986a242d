/* Whether a process does anything (lib/asleep.h). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/asleep.h"
#include "lib/proc.h"

#define SOON_MS 10000

static bool
is_asleep(void *context)
{
    return asleep(*(pid_t *)context);
}

static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void
one_that_waits_is_asleep_and_wakes_with_what_it_waits_for(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;
        volatile bool go_on = read(fds[0], &byte, 1) == 1;
        while (go_on)
            ;
        _exit(0);
    }
    assert_true(proc_wait_until(is_asleep, &pid, SOON_MS));
    assert_int_equal(write(fds[1], "", 1), 1);
    for (int i = 0; i < 1000; i++)
        assert_false(asleep(pid));
    end(pid);
    close(fds[0]);
    close(fds[1]);
}

static void
one_that_is_gone_is_asleep(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(0);
    assert_true(proc_wait_until(is_asleep, &pid, SOON_MS));
    end(pid);
    assert_true(asleep(pid));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_waits_is_asleep_and_wakes_with_what_it_waits_for),
        cmocka_unit_test(one_that_is_gone_is_asleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
