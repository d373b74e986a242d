/* Handlers that crash, with the real binaries: what fanoutd says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/aws_call.h"
#include "lib/proc.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define LIMIT_MS 30000

static struct system *
start_fleet(const char *dir, const char *options)
{
    char consumers[1000];
    struct system *s = system_start(dir);
    snprintf(consumers, sizeof consumers,
             "consumers = ( { name = \"t\"; queue = \"%s\"; plugin = \"%s\"; threads = 3; options = { %s }; } );",
             SYSTEM_QUEUE, proc_path("tests/plugins/crash.so"), options);
    system_start_fleet(s, consumers);
    return s;
}

static void
send_body(struct system *s, const char *body)
{
    struct aws_call c;
    aws_call_init(&c, s->url);
    aws_call_sqs(&c, "SendMessage", "{\"QueueUrl\": \"%s/000000000000/%s\", \"MessageBody\": \"%s\"}", s->url,
                 SYSTEM_QUEUE, body);
    assert_int_equal(c.status, 200);
    aws_call_clean_up(&c);
}

static void
assert_says(struct system *s, const char *body, const char *const words[])
{
    send_body(s, body);
    const char *line = proc_wait_line(s->fleet, "msg=\"worker crashed\"", LIMIT_MS);
    assert_non_null(line);
    for (size_t i = 0; words[i]; i++)
        if (!strstr(line, words[i]))
            fail_msg("after %s: no %s in: %s", body, words[i], line);
}

static void
a_crash_is_logged_with_signal_thread_plugin_and_function(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct system *s = start_fleet(dir, "");
    assert_says(s, "a segv",
                (const char *const[]){"consumer=t", "by=SIGSEGV", "handler_thread=", "address=0x0",
                                      "where=\"poison_segv+0x", "(crash.so+0x", "plugin=\"crash 1\"", NULL});
    const char *line = proc_wait_line(s->fleet, "msg=\"its calls, innermost first\"", LIMIT_MS);
    assert_non_null(line);
    assert_non_null(strstr(line, "backtrace=\"poison_segv+0x"));
    assert_non_null(strstr(line, ", handle+0x"));
    assert_non_null(strstr(line, " (fanout-worker+0x"));
    system_stop(s);
    tmp_remove(dir);
}

static void
an_abort_a_stack_that_ran_over_and_an_exit_are_told_apart(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct system *s = start_fleet(dir, "");
    assert_says(s, "a abort", (const char *const[]){"by=SIGABRT", "where=\"poison_abort+0x", NULL});
    assert_says(s, "b overflow", (const char *const[]){"by=SIGSEGV", "where=\"poison_overflow+0x", NULL});
    assert_says(s, "c exit:0", (const char *const[]){"by=\"status 0\"", "handler_thread=-1", "where=unknown", NULL});
    system_stop(s);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_is_logged_with_signal_thread_plugin_and_function),
        cmocka_unit_test(an_abort_a_stack_that_ran_over_and_an_exit_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
