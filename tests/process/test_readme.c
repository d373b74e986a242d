/* What the README shows, as it stands there: its first handler compiles, runs, and prints the README's event; its
 * handler of events sees what its filter lets pass; its handler that publishes does; its credentials are taken, its
 * retry policies are right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/admin.h"
#include "lib/conf_text.h"
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

/* Builds DIR/NAME.so of the C that follows this text in the README. */
static void
build_handler(const char *dir, const char *name, const char *after)
{
    char command[1000], file[40];
    char *source = between(after, "```");
    snprintf(file, sizeof file, "%s.c", name);
    assert_non_null(tmp_write(dir, file, "%s", source));
    snprintf(command, sizeof command,
             "mk=$PWD/plugins/plugin.mk; cd %s && env -u MAKEFLAGS -u MFLAGS CFLAGS='-O1 -Wall -Wextra -Werror' "
             "make -f $mk %s.so",
             dir, name);
    struct proc *p = proc_spawn((const char *[]){"/bin/sh", "-c", command, NULL}, NULL);
    assert_int_equal(proc_wait_exit(p, 60000), 0);
    proc_destroy(p);
    free(source);
}

static void
the_first_handler_prints_the_event_at_once(void **state)
{
    (void)state;
    if (system("command -v cc make >/dev/null") != 0)
        skip_because("no make or no C compiler");
    const char *dir = tmp_new();
    char *event = between("    echo '", "' |\n      fanoutctl send");
    build_handler(dir, "hello", "```c\n");

    struct system *s = system_start(dir);
    char consumers[600];
    snprintf(consumers, sizeof consumers,
             "consumers = ( { name = \"hello\"; queue = \"durable-fanout-queue\"; plugin = \"%s/hello.so\"; "
             "wait_time_s = 1; } );",
             dir);
    system_start_fleet(s, consumers);
    struct proc_options send = {
        .argv = (const char *[]){proc_path("bin/fanoutctl"), "send", NULL}, .env = s->env, .in = event};
    struct proc *p = proc_start(&send);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    proc_destroy(p);
    /* Standard output is a pipe here, as it is in a container. */
    assert_non_null(proc_wait_line(s->fleet, "\"detail\":{\"user_id\": 123, \"action\": \"signup\"}}", 20000));
    system_stop_fleet(s);
    system_stop(s);
    free(event);
    tmp_remove(dir);
}

static void
the_handler_of_events_prints_what_its_filter_lets_pass(void **state)
{
    (void)state;
    if (system("command -v cc make >/dev/null") != 0)
        skip_because("no make or no C compiler");
    const char *dir = tmp_new();
    build_handler(dir, "paid", "knows nothing of JSON:\n\n```c\n");
    char *settings = between("plugin = \"./paid.so\";", ");\n\n- **`unwrap`**");
    struct system *s = system_start(dir);
    char consumers[1000];
    snprintf(consumers, sizeof consumers,
             "consumers = ( { name = \"paid\"; queue = \"durable-fanout-queue\"; plugin = \"%s/paid.so\"; "
             "wait_time_s = 1; %s );",
             dir, settings);
    system_start_fleet(s, consumers);
    struct proc_options send = {
        .argv = (const char *[]){proc_path("bin/fanoutctl"), "send", NULL},
        .env = s->env,
        .in = "{\"Source\":\"buffer.source\",\"DetailType\":\"Paid\",\"Detail\":{\"total\": 99}}\n"
              "{\"Source\":\"buffer.source\",\"DetailType\":\"Paid\",\"Detail\":{\"total\": 100.10}}\n"};
    struct proc *p = proc_start(&send);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    proc_destroy(p);
    assert_non_null(proc_wait_line(s->fleet, "Paid: {\"total\": 100.10}", 20000));
    assert_int_equal(proc_count_lines(s->fleet, "Paid: "), 1);
    system_stop_fleet(s);
    system_stop(s);
    free(settings);
    tmp_remove(dir);
}

struct requests {
    const char *url;
    size_t put; /* PutEvents calls that went well */
};

static bool
as_many_were_put(void *context)
{
    const struct requests *r = context;
    return admin_count_requests(r->url, "operation=PutEvents&status=200") == r->put &&
           admin_queue_figure(r->url, SYSTEM_QUEUE, "in_flight") == 0 &&
           admin_queue_figure(r->url, SYSTEM_QUEUE, "visible") == 0;
}

static void
the_handler_that_publishes_does(void **state)
{
    (void)state;
    if (system("command -v cc make >/dev/null") != 0)
        skip_because("no make or no C compiler");
    const char *dir = tmp_new();
    build_handler(dir, "invoice", "AWS has confirmed the event:\n\n```c\n");
    char *settings = between("plugin = \"./invoice.so\";", ");\n\n- **Off");
    struct system *s = system_start(dir);
    char consumers[1000];
    snprintf(consumers, sizeof consumers,
             "consumers = ( { name = \"invoice\"; queue = \"durable-fanout-queue\"; plugin = \"%s/invoice.so\"; "
             "wait_time_s = 1; %s );",
             dir, settings);
    system_start_fleet(s, consumers);
    struct proc_options send = {.argv = (const char *[]){proc_path("bin/fanoutctl"), "send", NULL},
                                .env = s->env,
                                .in = "{\"Source\":\"buffer.source\",\"DetailType\":\"Paid\",\"Detail\":{}}\n"};
    struct proc *p = proc_start(&send);
    assert_int_equal(proc_wait_exit(p, 20000), 0);
    proc_destroy(p);
    struct requests requests = {.url = s->url, .put = 2}; /* the sender's, and the handler's */
    assert_true(proc_wait_until(as_many_were_put, &requests, 20000));
    system_stop_fleet(s);
    system_stop(s);
    free(settings);
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

static void
the_retry_policies_are_right(void **state)
{
    (void)state;
    char *shown = between("with the message's attempts:\n\n", "\nSQS counts delays");
    size_t n = 0;
    for (char *at = strstr(shown, "retry = {"), *next; at; at = next, n++) {
        char text[1000];
        next = strstr(at + 1, "retry = {");
        snprintf(text, sizeof text, "consumers = ( { name = \"a\"; queue = \"q\"; plugin = \"p\";\n%.*s\n} );",
                 next ? (int)(next - at) : (int)strlen(at), at);
        conf_destroy(conf_text_read(text));
    }
    assert_int_equal(n, 3);
    free(shown);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_handler_prints_the_event_at_once),
        cmocka_unit_test(the_handler_of_events_prints_what_its_filter_lets_pass),
        cmocka_unit_test(the_handler_that_publishes_does),
        cmocka_unit_test(the_credentials_are_taken),
        cmocka_unit_test(the_retry_policies_are_right),
    };
    return cmocka_run_group_tests_name("readme", tests, NULL, NULL);
}
