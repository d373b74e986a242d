/* What deduplication knows when one worker follows another, with the real fanoutd. HUP with other options: the
 * successor works by them, what was remembered where goes on to be remembered there alone, and options that cannot be
 * had leave the old worker at work. kill -9: the next worker knows what was done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/flow.h"
#include "lib/tmp.h"

/* So many messages with the body "x", and how often a handler has had such a one by the time the queue is empty. */
static unsigned
handled_after(struct flow *f, unsigned messages)
{
    for (unsigned i = 0; i < messages; i++)
        assert_int_equal(
            aws_call_sqs(&f->call, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"x\"}", f->queue), 200);
    assert_true(proc_wait_until(flow_is_empty, f, FLOW_SOON_MS));
    return flow_handled(f);
}

/* The consumer's deduplication by a file of that name; "": none. */
static const char *
dedup(struct flow *f, const char *store, const char *file, char out[300])
{
    int n = snprintf(out, 300, "dedup = { store = \"%s\"; key = \"body\"; ", store);
    if (*file)
        n += snprintf(out + n, 300 - (size_t)n, "path = \"%s/%s\"; ", f->dir, file);
    snprintf(out + n, 300 - (size_t)n, "};");
    return out;
}

static void
reload(struct flow *f, const char *settings, const char *until)
{
    tmp_write(f->dir, "fanoutd.conf", "admin = { listen = \"127.0.0.1:0\"; };\n%s\n", flow_consumers(f, settings, ""));
    proc_signal(f->s->fleet, SIGHUP);
    const char *line = proc_wait_line(f->s->fleet, until, FLOW_SOON_MS);
    assert_non_null(line);
}

struct takeovers {
    struct proc *fleet;
    size_t n;
};

static bool
are_over(void *context)
{
    const struct takeovers *t = context;
    return proc_count_lines(t->fleet, " msg=draining ") == t->n;
}

/* The successor works, and the worker before it takes nothing more. */
static void
take_over(struct flow *f, const char *settings)
{
    struct takeovers t = {.fleet = f->s->fleet, .n = proc_count_lines(f->s->fleet, " msg=draining ") + 1};
    reload(f, settings, "msg=\"new configuration in use\"");
    assert_true(proc_wait_until(are_over, &t, FLOW_SOON_MS));
}

static void
each_store_remembers_its_own_and_none_is_asked_that_is_not_configured(void **state)
{
    struct flow *f = *state;
    char settings[300];
    flow_start_fleet(f, "");
    assert_int_equal(handled_after(f, 2), 2);
    take_over(f, dedup(f, "sqlite", "one", settings));
    assert_int_equal(handled_after(f, 2), 3); /* begins to remember */
    take_over(f, dedup(f, "sqlite", "one", settings));
    assert_int_equal(handled_after(f, 1), 3); /* over a reload */
    take_over(f, dedup(f, "sqlite", "two", settings));
    assert_int_equal(handled_after(f, 2), 4); /* another file knows nothing */
    take_over(f, dedup(f, "memory", "", settings));
    assert_int_equal(handled_after(f, 2), 5);
    take_over(f, dedup(f, "memory", "", settings));
    assert_int_equal(handled_after(f, 1), 6); /* memory is one worker's, and ends with it */
    take_over(f, dedup(f, "sqlite", "one", settings));
    assert_int_equal(handled_after(f, 1), 6);
    take_over(f, "");
    assert_int_equal(handled_after(f, 2), 8);
}

static void
what_cannot_be_had_is_named_and_the_old_worker_goes_on_as_before(void **state)
{
    struct flow *f = *state;
    char settings[300];
    flow_start_fleet(f, dedup(f, "sqlite", "one", settings));
    assert_int_equal(handled_after(f, 1), 1);
    pid_t worker = system_worker(f->s);
    reload(f, dedup(f, "sqlite", "no-folder/two", settings),
           "msg=\"new configuration refused, the old worker goes on\"");
    assert_int_equal(proc_count_lines(f->s->fleet, "no-folder/two (dedup.path): unable to open database file"), 1);
    assert_int_equal(handled_after(f, 2), 1);
    reload(f, "dedup = { store = \"sqlite\"; };", "dedup.path");
    assert_non_null(proc_wait_line(f->s->fleet, "configuration not reloaded, the old one stays in use", FLOW_SOON_MS));
    assert_int_equal(handled_after(f, 2), 1);
    assert_int_equal(system_worker(f->s), worker);
    take_over(f, dedup(f, "sqlite", "two", settings));
    assert_int_equal(handled_after(f, 2), 2);
}

static bool
a_delete_has_come(void *flow)
{
    return admin_struck(((struct flow *)flow)->s->url, 0) > 0;
}

static bool
another_works(void *worker)
{
    const struct takeovers *t = worker;
    return proc_count_lines(t->fleet, "msg=\"worker ready\"") == t->n;
}

/* Its delete was never answered; the supervisor starts another worker at once, which gets the message again. */
static void
what_a_killed_worker_had_done_and_not_seen_deleted_is_not_handled_by_the_next_one(void **state)
{
    struct flow *f = *state;
    char settings[300];
    dedup(f, "sqlite", "one", settings);
    strcat(settings, " visibility_timeout_s = 2;");
    admin_set_fault(f->s->url, "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"drop_before\", \"count\": 0}");
    flow_start_fleet(f, settings);
    flow_send(f, 1);
    assert_true(proc_wait_until(a_delete_has_come, f, FLOW_SOON_MS));
    assert_int_equal(kill(system_worker(f->s), SIGKILL), 0);
    struct takeovers t = {.fleet = f->s->fleet, .n = 2};
    assert_true(proc_wait_until(another_works, &t, FLOW_SOON_MS));
    admin_clear_faults(f->s->url);
    assert_true(proc_wait_until(flow_is_empty, f, FLOW_SOON_MS));
    assert_int_equal(flow_handled(f), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_store_remembers_its_own_and_none_is_asked_that_is_not_configured,
                                        flow_set_up, flow_tear_down),
        cmocka_unit_test_setup_teardown(
            what_a_killed_worker_had_done_and_not_seen_deleted_is_not_handled_by_the_next_one, flow_set_up,
            flow_tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_had_is_named_and_the_old_worker_goes_on_as_before, flow_set_up,
                                        flow_tear_down),
    };
    return cmocka_run_group_tests_name("reload_dedup", tests, NULL, NULL);
}
