/* What the README shows, as it stands there: its first handler compiles, runs, and prints the README's event; its
 * credentials are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/proc.h"
#include "lib/skip.h"
#include "lib/system.h"
#include "lib/tmp.h"

/* What is between two texts of the README, without them; the caller frees. */
static char *
between(const char *start, const char *end)
{
    char *readme = tmp_read("README.md", NULL);
    assert_non_null(readme);
    char *from = strstr(readme, start);
    assert_non_null(from);
    from += strlen(start);
    char *to = strstr(from, end);
    assert_non_null(to);
    char *text = strndup(from, (size_t)(to - from));
    free(readme);
    assert_non_null(text);
    return text;
}

static void
the_first_handler_prints_the_event_at_once(void **state)
{
    (void)state;
    if (system("command -v cc make >/dev/null") != 0)
        skip_because("no make or no C compiler");
    const char *dir = tmp_new();
    char command[1000];
    char *source = between("```c\n", "```");
    char *event = between("    echo '", "' |\n      fanoutctl send");
    const char *hello_c = tmp_write(dir, "hello.c", "%s", source);
    snprintf(command, sizeof command,
             "mk=$PWD/plugins/plugin.mk; cd %s && env -u MAKEFLAGS -u MFLAGS CFLAGS='-O1 -Wall -Wextra -Werror' "
             "make -f $mk hello.so",
             dir);
    assert_non_null(hello_c);
    struct proc *p = proc_spawn((const char *[]){"/bin/sh", "-c", command, NULL}, NULL);
    assert_int_equal(proc_wait_exit(p, 60000), 0);
    proc_destroy(p);

    struct system *s = system_start(dir);
    char consumers[600];
    snprintf(consumers, sizeof consumers,
             "consumers = ( { name = \"hello\"; queue = \"durable-fanout-queue\"; plugin = \"%s/hello.so\"; "
             "wait_time_s = 1; } );",
             dir);
    system_start_fleet(s, consumers);
    struct proc_options send = {
        .argv = (const char *[]){proc_path("bin/fanoutctl"), "send", NULL}, .env = s->env, .in = event};
    p = proc_start(&send);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    proc_destroy(p);
    /* Standard output is a pipe here, as it is in a container. */
    assert_non_null(proc_wait_line(s->fleet, "\"detail\":{\"user_id\": 123, \"action\": \"signup\"}}", 20000));
    system_stop_fleet(s);
    system_stop(s);
    free(source);
    free(event);
    tmp_remove(dir);
}

static void
the_credentials_are_taken(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    char *indented = between("aws/credentials`:\n\n", "\nWith a file `test` is gone"), *to = indented;
    for (const char *from = indented; *from;) {
        from += strspn(from, " ");
        size_t n = strcspn(from, "\n");
        n += from[n] == '\n';
        memmove(to, from, n);
        to += n;
        from += n;
    }
    *to = '\0';
    const char *file = tmp_write(dir, "credentials", "%s", indented);
    struct proc *p = proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--memory", "--no-provision",
                                                 "--listen", "127.0.0.1:0", "--credentials", file, NULL},
                                NULL);
    if (!proc_wait_line(p, "READY ", 20000))
        fail_msg("fanout-local does not start with the credentials of the README");
    proc_destroy(p);
    free(indented);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_handler_prints_the_event_at_once),
        cmocka_unit_test(the_credentials_are_taken),
    };
    return cmocka_run_group_tests_name("readme", tests, NULL, NULL);
}
