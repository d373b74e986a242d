/* A consumer whose policy needs a dead-letter queue that its queue does not have, as the person on call meets it: with
 * the real fanoutd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/flow.h"
#include "lib/tmp.h"

#define REFUSED "nothing is received: there is no dead-letter queue"
#define POLICY  "retry = { max_attempts = 3; };"

/* "": none. */
static void
set_redrive_policy(struct flow *f, const char *policy)
{
    assert_int_equal(aws_call_sqs(&f->call, "SetQueueAttributes",
                                  "{\"QueueUrl\": \"%s\", \"Attributes\": {\"RedrivePolicy\": \"%s\"}}", f->queue,
                                  policy),
                     200);
}

static bool
is_said_on_readyz(void *context)
{
    struct flow *f = context;
    struct aws_call c;
    char url[150];
    snprintf(url, sizeof url, "http://%s", f->s->admin);
    aws_call_init(&c, url);
    aws_call_plain(&c, "GET", "/readyz", "");
    bool said = c.status == 200 && memmem(c.body.p, c.body.n, "t/0 ready, dead-letter queue: retry.max_attempts", 48);
    aws_call_clean_up(&c);
    return said;
}

static void
it_waits_says_what_to_do_and_goes_on_with_the_same_worker(void **state)
{
    struct flow *f = *state;
    set_redrive_policy(f, "");
    flow_start_fleet(f, POLICY);
    const char *line = proc_wait_line(f->s->fleet, REFUSED, FLOW_SOON_MS);
    assert_non_null(line);
    assert_non_null(strstr(line, "give the queue a RedrivePolicy, or set dead_letter.queue"));
    assert_true(proc_wait_until(is_said_on_readyz, f, FLOW_SOON_MS));
    assert_int_equal((int)flow_metric(f, "fanout_worker_healthy"), 0);
    pid_t worker = system_worker(f->s);
    flow_send(f, 5);
    assert_int_equal(flow_visible(f), 5);
    set_redrive_policy(f, "{\\\"deadLetterTargetArn\\\": \\\"arn:aws:sqs:us-east-1:000000000000:" SYSTEM_DLQ "\\\", "
                          "\\\"maxReceiveCount\\\": 10}");
    flow_assert_goes_on(f);
    assert_int_equal(system_worker(f->s), worker);
    assert_int_equal(proc_count_lines(f->s->fleet, "msg=\"worker ready\""), 1);
    system_stop_fleet(f->s);
}

static void
a_reload_to_it_leaves_the_old_worker_at_work(void **state)
{
    struct flow *f = *state;
    set_redrive_policy(f, "");
    flow_start_fleet(f, "");
    flow_assert_goes_on(f);
    pid_t worker = system_worker(f->s);
    tmp_write(f->dir, "fanoutd.conf", "admin = { listen = \"127.0.0.1:0\"; };\n%s\n", flow_consumers(f, POLICY, ""));
    proc_signal(f->s->fleet, SIGHUP);
    assert_non_null(proc_wait_line(f->s->fleet, REFUSED, FLOW_SOON_MS));
    flow_assert_goes_on(f);
    assert_int_equal(kill(worker, 0), 0);
    assert_int_equal(proc_count_lines(f->s->fleet, "successor takes over"), 0);

    tmp_write(f->dir, "fanoutd.conf", "admin = { listen = \"127.0.0.1:0\"; };\n%s\n", flow_consumers(f, "", ""));
    proc_signal(f->s->fleet, SIGHUP); /* the person on call takes it back */
    assert_non_null(proc_wait_line(f->s->fleet, "successor takes over", FLOW_SOON_MS));
    flow_assert_goes_on(f);
    system_stop_fleet(f->s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_waits_says_what_to_do_and_goes_on_with_the_same_worker, flow_set_up,
                                        flow_tear_down),
        cmocka_unit_test_setup_teardown(a_reload_to_it_leaves_the_old_worker_at_work, flow_set_up, flow_tear_down),
    };
    return cmocka_run_group_tests_name("policy_refused", tests, NULL, NULL);
}
