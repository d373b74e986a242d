/* Handlers that publish, with the real binaries: two relays in a chain, bus -> rule -> queue -> handler -> bus -> rule
 * -> queue -> handler -> queue, while fanout-local fails on purpose and processes are killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "event/envelope.h"
#include "lib/admin.h"
#include "lib/aws_call.h"
#include "lib/proc.h"
#include "lib/system.h"
#include "lib/tmp.h"

#define SOON_MS 60000
#define EVENTS  60
#define QUEUES  "/000000000000/"

/* What arrived at the end of the chain. */
struct arrived {
    unsigned copies[EVENTS];
    unsigned strangers; /* nobody published them */
};

static struct world {
    const char *dir;
    struct system *s;
    struct clock_page
        *clock; /* of all programs: runs, and is moved where only time is waited for; NULL: the machine's */
    struct aws_call call;
    char ids[EVENTS][64]; /* of the events that were put, by their number */
    unsigned put;
} world;

/* ---- the server ---- */

static void
connect_again(void)
{
    aws_call_clean_up(&world.call);
    aws_call_init(&world.call, world.s->url);
}

__attribute__((format(printf, 2, 3))) static void
events(const char *operation, const char *format, ...)
{
    char target[100];
    struct buf body = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_add_format_va(&body, format, ap);
    va_end(ap);
    snprintf(target, sizeof target, "AWSEvents.%s", operation);
    assert_true(aws_call_begin(&world.call, "events", target, buf_slice(&body)));
    if (aws_call_finish(&world.call) != 200)
        fail_msg("%s: %d %s: %s", operation, world.call.status, world.call.error, world.call.message);
    buf_clean_up(&body);
}

static void
make_queue(const char *name, const char *attributes)
{
    assert_int_equal(
        aws_call_sqs(&world.call, "CreateQueue", "{\"QueueName\": \"%s\", \"Attributes\": {%s}}", name, attributes),
        200);
}

static void
set_visibility(int s)
{
    static const char *const QUEUE_NAMES[] = {"first", "second"};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(aws_call_sqs(&world.call, "SetQueueAttributes",
                                      "{\"QueueUrl\": \"%s" QUEUES "%s\", \"Attributes\": "
                                      "{\"VisibilityTimeout\": \"%d\"}}",
                                      world.s->url, QUEUE_NAMES[i], s),
                         200);
}

/* Events of that source, on the template's bus, go to that queue. */
static void
make_rule(const char *source, const char *queue)
{
    events("PutRule",
           "{\"Name\":\"to-%s\",\"EventBusName\":\"" SYSTEM_BUS
           "\",\"EventPattern\":\"{\\\"source\\\":[\\\"%s\\\"]}\"}",
           queue, source);
    events("PutTargets",
           "{\"Rule\":\"to-%s\",\"EventBusName\":\"" SYSTEM_BUS
           "\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"arn:aws:sqs:us-east-1:000000000000:%s\"}]}",
           queue, queue);
}

static int
make(bool with_clock)
{
    world = (struct world){.dir = tmp_new()};
    if (with_clock) {
        const char *page = tmp_path(world.dir, "clock");
        assert_int_equal(clock_page_create(page, &world.clock, NULL), 0);
        setenv("FANOUT_TEST_CLOCK", page, 1);
    }
    world.s = system_start(world.dir);
    connect_again();
    make_queue("first", "");
    make_queue("second", "");
    make_queue("last", "");
    make_queue("last.fifo", "\"FifoQueue\": \"true\"");
    make_rule("one", "first");
    make_rule("two", "second");
    return 0;
}

static int
make_world(void **state)
{
    (void)state;
    return make(true);
}

/* Nobody wakes up there without a reason. */
static int
make_world_on_the_machines_clock(void **state)
{
    (void)state;
    return make(false);
}

static int
end_world(void **state)
{
    (void)state;
    aws_call_clean_up(&world.call);
    system_stop(world.s);
    unsetenv("FANOUT_TEST_CLOCK");
    tmp_remove(world.dir);
    return 0;
}

/* Numbers that no parser of doubles keeps go along. */
static void
put_events(unsigned n)
{
    for (; n > 0; n--, world.put++) {
        events("PutEvents",
               "{\"Entries\":[{\"Source\":\"one\",\"DetailType\":\"Paid\",\"EventBusName\":\"" SYSTEM_BUS
               "\",\"Detail\":\"{\\\"n\\\": %u, \\\"x\\\": 9007199254740993.10}\"}]}",
               world.put);
        aws_call_text(&world.call, "Entries.0.EventId", world.ids[world.put], sizeof world.ids[0]);
    }
}

static bool
is_empty(const char *queue)
{
    return admin_queue_is_empty(world.s->url, queue);
}

static bool
all_is_through(void *context)
{
    (void)context;
    return is_empty("first") && is_empty("second");
}

static void
pass(int64_t ms)
{
    if (world.clock)
        atomic_fetch_add(&world.clock->offset_ms, ms);
}

/* ---- the fleet ---- */

/* The chain; `last` is its end. */
static void
start_chain(const char *last)
{
    char text[1500];
    snprintf(text, sizeof text,
             "consumers = (\n"
             "  { name = \"a\"; queue = \"first\"; plugin = \"relay\"; wait_time_s = 1; retry = { cap_ms = 1000; };\n"
             "    publish = { bus = \"" SYSTEM_BUS "\"; }; options = { source = \"two\"; }; },\n"
             "  { name = \"b\"; queue = \"second\"; plugin = \"relay\"; wait_time_s = 1; retry = { cap_ms = 1000; };\n"
             "    publish = { queue = \"%s\"; }; options = { queue = \"%s\"; }; } );",
             last, last);
    system_start_fleet(world.s, text);
}

static bool
has_ended(void *context)
{
    (void)context;
    return !proc_is_running(world.s->fleet);
}

/* Ends the fleet, which has been told to: the long polls that are outstanding end with the time they have, or those
 * that were begun meanwhile. */
static void
end_fleet(void)
{
    for (int i = 0; i < 5 && !proc_wait_until(has_ended, NULL, 100); i++)
        pass(1000);
    assert_int_equal(proc_wait_exit(world.s->fleet, SOON_MS), 0);
    proc_destroy(world.s->fleet);
    world.s->fleet = NULL;
}

static void
stop_fleet(void)
{
    proc_signal(world.s->fleet, SIGTERM);
    end_fleet();
}

/* ---- what arrived ---- */

static void
assert_marks(const struct event_envelope *v, unsigned n)
{
    char correlation[100];
    unsigned causes = 0, correlations = 0;
    snprintf(correlation, sizeof correlation, "urn:fanout:correlation:%s", world.ids[n]);
    for (struct json_iter it = json_iter(v->resources); json_next(&it);) {
        causes += json_starts_with(it.value, SLICE("urn:fanout:cause:"));
        correlations += json_equals_string(it.value, slice_of_string(correlation));
    }
    assert_int_equal(causes, 1);
    assert_int_equal(correlations, 1);
}

static void
note_arrival(struct arrived *a, size_t i)
{
    char path[60], body[2000], expected[100];
    struct event_envelope v;
    struct json number;
    int64_t n;
    struct err e;
    snprintf(path, sizeof path, "Messages.%zu.Body", i);
    assert_true(aws_call_text(&world.call, path, body, sizeof body));
    assert_int_equal(event_envelope_parse(slice_of_string(body), &v, &e), 0);
    if (!json_get(v.detail, "n", &number) || !json_int64(number, &n) || n < 0 || n >= world.put ||
        !json_equals_string(v.source, SLICE("two")) || !json_equals_string(v.detail_type, SLICE("Paid"))) {
        a->strangers++;
        return;
    }
    a->copies[n]++;
    snprintf(expected, sizeof expected, "{\"n\": %u, \"x\": 9007199254740993.10}", (unsigned)n);
    assert_true(slice_equals_string(v.detail.text, expected));
    assert_marks(&v, (unsigned)n);
}

/* Takes all messages out of the last queue. */
static struct arrived
take_all(const char *queue)
{
    struct arrived a = {{0}, 0};
    for (;;) {
        assert_int_equal(aws_call_sqs(&world.call, "ReceiveMessage",
                                      "{\"QueueUrl\": \"%s" QUEUES "%s\", \"MaxNumberOfMessages\": 10, "
                                      "\"MessageAttributeNames\": [\"All\"], \"WaitTimeSeconds\": 0}",
                                      world.s->url, queue),
                         200);
        size_t n = aws_call_count(&world.call, "Messages");
        if (n == 0)
            return a;
        char handles[10][1100];
        for (size_t i = 0; i < n; i++) {
            char path[60];
            snprintf(path, sizeof path, "Messages.%zu.ReceiptHandle", i);
            assert_true(aws_call_text(&world.call, path, handles[i], sizeof handles[i]));
            note_arrival(&a, i);
        }
        for (size_t i = 0; i < n; i++)
            assert_int_equal(aws_call_sqs(&world.call, "DeleteMessage",
                                          "{\"QueueUrl\": \"%s" QUEUES "%s\", \"ReceiptHandle\": \"%s\"}", world.s->url,
                                          queue, handles[i]),
                             200);
    }
}

/* All that was put, and nothing else; once each, if so. */
static void
assert_arrived(const char *queue, bool once)
{
    struct arrived a = take_all(queue);
    assert_int_equal(a.strangers, 0);
    for (unsigned i = 0; i < world.put; i++) {
        if (a.copies[i] == 0 || (once && a.copies[i] > 1))
            fail_msg("event %u arrived %u times", i, a.copies[i]);
    }
}

/* Pauses before tries again are over sooner, as long as no lease (30 s) is in danger even if nothing is done meanwhile.
 */
static void
hasten(void)
{
    for (int i = 0; i < 200 && !proc_wait_until(all_is_through, NULL, 10); i++)
        pass(50);
}

static void
await_all(void)
{
    if (!proc_wait_until(all_is_through, NULL, SOON_MS)) {
        proc_print(world.s->fleet);
        fail_msg("not all went through");
    }
}

static void
await_and_stop(void)
{
    await_all();
    stop_fleet();
    assert_true(all_is_through(NULL));
}

/* ---- tests ---- */

static void
an_event_goes_through_two_handlers_as_it_was_written(void **state)
{
    (void)state;
    put_events(20);
    start_chain("last");
    await_and_stop();
    assert_arrived("last", true);
}

static void
assert_attribute(const char *name, const char *expected)
{
    struct json attributes, attribute, value;
    assert_true(aws_call_at(&world.call, "Messages.0.MessageAttributes", &attributes));
    assert_true(json_get(attributes, name, &attribute));
    assert_true(json_get(attribute, "StringValue", &value));
    assert_true(json_starts_with(value, slice_of_string(expected)));
}

static void
attributes_correlation_and_trace_header_go_on(void **state)
{
    (void)state;
    char id[60], cause[80], trace[60];
    assert_int_equal(aws_call_sqs(&world.call, "SendMessage",
                                  "{\"QueueUrl\": \"%s" QUEUES
                                  "second\", \"MessageBody\": \"no event\", \"MessageAttributes\": {"
                                  "\"colour\": {\"DataType\": \"String\", \"StringValue\": \"blue\"},"
                                  "\"fanout.correlation\": {\"DataType\": \"String\", \"StringValue\": \"c-1\"}},"
                                  "\"MessageSystemAttributes\": {\"AWSTraceHeader\": {\"DataType\": \"String\", "
                                  "\"StringValue\": \"Root=1-5\"}}}",
                                  world.s->url),
                     200);
    aws_call_text(&world.call, "MessageId", id, sizeof id);
    start_chain("last");
    await_and_stop();
    assert_int_equal(aws_call_sqs(&world.call, "ReceiveMessage",
                                  "{\"QueueUrl\": \"%s" QUEUES "last\", \"MessageAttributeNames\": [\"All\"], "
                                  "\"MessageSystemAttributeNames\": [\"All\"]}",
                                  world.s->url),
                     200);
    assert_attribute("colour", "blue");
    assert_attribute("fanout.correlation", "c-1");
    snprintf(cause, sizeof cause, "%s:0:", id);
    assert_attribute("fanout.cause", cause);
    assert_true(aws_call_text(&world.call, "Messages.0.Attributes.AWSTraceHeader", trace, sizeof trace));
    assert_string_equal(trace, "Root=1-5");
}

static void
what_throttles_drops_and_fails_loses_nothing(void **state)
{
    (void)state;
    static const char *const FAULTS[] = {
        ("{\"action\": \"events:PutEvents\", \"kind\": \"error\", \"code\": \"ThrottlingException\", \"count\": 0,"
         " \"status\": 400, \"percent\": 20, \"seed\": 1}"),
        "{\"action\": \"events:PutEvents\", \"kind\": \"drop_after\", \"count\": 0, \"percent\": 20, \"seed\": 2}",
        "{\"action\": \"events:PutEvents\", \"kind\": \"drop_before\", \"count\": 0, \"percent\": 20, \"seed\": 3}",
        "{\"action\": \"sqs:SendMessageBatch\", \"kind\": \"error\", \"count\": 0, \"percent\": 20, \"seed\": 4}",
        "{\"action\": \"sqs:SendMessageBatch\", \"kind\": \"drop_after\", \"count\": 0, \"percent\": 20, \"seed\": 5}",
        "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"count\": 0, \"percent\": 20, \"seed\": 6}"};
    put_events(EVENTS);
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++)
        admin_set_fault(world.s->url, FAULTS[i]);
    start_chain("last");
    hasten();
    await_all();
    admin_clear_faults(world.s->url);
    await_and_stop();
    assert_arrived("last", false);
}

/* Of each call the first entry and each second one behind it fail: some go well, and there are always some that do not.
 */
static bool
some_are_left_and_fail(void *context)
{
    (void)context;
    return admin_queue_figure(world.s->url, "first", "visible") == 0 &&
           admin_queue_figure(world.s->url, "first", "in_flight") < 20 && admin_struck(world.s->url, 1) >= 8;
}

static void
entries_that_fail_alone_are_sent_again_alone_and_their_messages_wait(void **state)
{
    (void)state;
    put_events(20);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"partial\", \"count\": 2}");
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"partial\", \"count\": 0, "
                                  "\"code\": \"ThrottlingException\"}");
    start_chain("last");
    assert_true(proc_wait_until(some_are_left_and_fail, NULL, SOON_MS));
    assert_int_equal(admin_struck(world.s->url, 0), 2);
    assert_in_range(admin_queue_figure(world.s->url, "first", "in_flight"), 1, 19);
    assert_int_equal(proc_count_lines(world.s->fleet, " ERROR "), 0);
    admin_clear_faults(world.s->url);
    await_all();
    assert_arrived("last", true); /* what was confirmed beside them was not sent again */
}

static void
an_entry_that_is_refused_for_good_has_its_message_alone_handled_again(void **state)
{
    (void)state;
    put_events(10);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"partial\", \"every\": 10, "
                                  "\"code\": \"NotAuthorizedForSourceException\"}");
    start_chain("last");
    await_all();
    assert_int_equal(admin_struck(world.s->url, 0), 1);
    assert_arrived("last", true);
}

static void
a_fifo_queue_leaves_out_what_was_sent_twice(void **state)
{
    (void)state;
    put_events(20);
    admin_set_fault(world.s->url, "{\"action\": \"sqs:SendMessageBatch\", \"kind\": \"drop_after\", \"count\": 3}");
    start_chain("last.fifo");
    await_and_stop();
    assert_int_equal(admin_struck(world.s->url, 0), 3);
    assert_arrived("last.fifo", true);
}

static bool
is_being_published(void *context)
{
    (void)context;
    return admin_struck(world.s->url, 0) == 1; /* by what is delayed, as soon as it has come */
}

static bool
is_extended(void *extensions)
{
    return admin_figure(world.s->url, "operations.sqs:ChangeMessageVisibilityBatch.calls") >= *(int64_t *)extensions;
}

static void
a_bus_that_hangs_costs_nothing_but_time(void **state)
{
    (void)state;
    set_visibility(20);
    put_events(5);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"delay\", \"delay_ms\": 24000}");
    start_chain("last"); /* for longer than the visibility timeout: leases are extended meanwhile */
    assert_true(proc_wait_until(is_being_published, NULL, SOON_MS));
    for (int64_t n = 1; n <= 2; n++) {
        pass(11000);
        assert_true(proc_wait_until(is_extended, &n, SOON_MS));
        assert_false(is_empty("first"));
    }
    pass(2000);
    await_and_stop();
    assert_arrived("last", true);
}

static bool
three_are_in_hand(void *context)
{
    (void)context;
    return admin_queue_figure(world.s->url, "first", "in_flight") == 3 &&
           admin_queue_figure(world.s->url, "first", "visible") == 0;
}

static void
a_missing_permission_is_named_and_holds_what_waits(void **state)
{
    (void)state;
    put_events(3);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"error\", \"status\": 400, "
                                  "\"code\": \"AccessDeniedException\", \"count\": 0}");
    start_chain("last");
    assert_non_null(proc_wait_line(world.s->fleet, "permission=events:PutEvents", SOON_MS));
    assert_true(proc_wait_until(three_are_in_hand, NULL, SOON_MS));
    admin_clear_faults(world.s->url);
    await_and_stop();
    assert_arrived("last", true);
}

static void
a_drain_waits_for_what_is_being_published(void **state)
{
    (void)state;
    put_events(5);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"delay\", \"delay_ms\": 10000}");
    start_chain("last");
    assert_true(proc_wait_until(is_being_published, NULL, SOON_MS));
    proc_signal(world.s->fleet, SIGTERM);
    for (int i = 0; i < 2; i++) /* workers */
        assert_non_null(proc_wait_line(world.s->fleet, "msg=stopping", SOON_MS));
    assert_false(is_empty("first"));
    pass(10000);
    end_fleet();
    assert_true(is_empty("first"));
    admin_clear_faults(world.s->url);
    start_chain("last");
    await_and_stop();
    assert_arrived("last", true);
}

/* One relay of events from the first queue; publish: what it has of that. Waits for the line. */
static void
reload_relay(const char *publish, const char *line)
{
    tmp_write(world.dir, "fanoutd.conf",
              "consumers = ( { name = \"a\"; queue = \"first\"; plugin = \"relay\"; wait_time_s = 1; %s\n"
              "               retry = { base_ms = 500; cap_ms = 500; }; options = { source = \"two\"; }; } );",
              publish);
    proc_signal(world.s->fleet, SIGHUP);
    assert_non_null(proc_wait_line(world.s->fleet, line, SOON_MS));
}

struct expected_arrivals {
    const char *queue;
    int64_t n;
};

static bool
have_arrived(void *context)
{
    const struct expected_arrivals *e = context;
    return is_empty("first") && admin_queue_figure(world.s->url, e->queue, "visible") == e->n;
}

static void
await_arrivals(const char *queue, int64_t n)
{
    struct expected_arrivals e = {queue, n};
    if (!proc_wait_until(have_arrived, &e, SOON_MS)) {
        proc_print(world.s->fleet);
        fail_msg("%d messages in %s; %d expected", (int)admin_queue_figure(world.s->url, queue, "visible"), queue,
                 (int)n);
    }
}

/* What the old worker has begun it ends on the old bus; the successor publishes on the new one; without any, messages
 * wait to be tried again; and a configuration that is wrong changes nothing. */
static void
a_reload_moves_to_another_bus_and_loses_and_doubles_nothing(void **state)
{
    (void)state;
    events("PutRule",
           "{\"Name\":\"to-last\",\"EventPattern\":\"{\\\"source\\\":[\\\"two\\\"]}\"}"); /* of bus default */
    events("PutTargets", "{\"Rule\":\"to-last\",\"Targets\":[{\"Id\":\"1\","
                         "\"Arn\":\"arn:aws:sqs:us-east-1:000000000000:last\"}]}");
    put_events(5);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"delay\", \"delay_ms\": 1000}");
    system_start_fleet(world.s,
                       "consumers = ( { name = \"a\"; queue = \"first\"; plugin = \"relay\"; wait_time_s = 1;\n"
                       "  publish = { bus = \"" SYSTEM_BUS "\"; }; options = { source = \"two\"; }; } );");
    assert_true(proc_wait_until(is_being_published, NULL, SOON_MS));
    reload_relay("publish = { bus = \"default\"; };", "msg=\"new configuration in use\"");
    await_arrivals("second", 5);
    put_events(5);
    await_arrivals("last", 5);
    reload_relay("", "msg=\"new configuration in use\"");
    put_events(1);
    assert_non_null(proc_wait_line(world.s->fleet, "publishing is off: the consumer has neither", SOON_MS));
    assert_false(is_empty("first"));
    reload_relay("publish = { bus = \"default\"; };", "msg=\"new configuration in use\"");
    await_arrivals("last", 6);
    reload_relay("publish = { bus = \"default\"; buffer_mb = 1; };",
                 "configuration not reloaded, the old one stays in use");
    put_events(1);
    await_arrivals("last", 7);
    assert_int_equal(admin_queue_figure(world.s->url, "second", "visible"), 5);
}

static void
kills_lose_nothing(void **state)
{
    (void)state;
    set_visibility(2);
    put_events(EVENTS);
    admin_set_fault(world.s->url, "{\"action\": \"events:PutEvents\", \"kind\": \"delay\", \"delay_ms\": 300, "
                                  "\"count\": 0, \"percent\": 50}");
    start_chain("last");
    for (int i = 0; i < 2; i++) {
        pid_t worker = system_worker(world.s);
        if (worker > 0)
            kill(worker, SIGKILL);
        system_kill_local(world.s);
        system_restart_local(world.s);
        connect_again();
    }
    await_and_stop();
    assert_arrived("last", false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_goes_through_two_handlers_as_it_was_written,
                                        make_world_on_the_machines_clock, end_world),
        cmocka_unit_test_setup_teardown(attributes_correlation_and_trace_header_go_on, make_world, end_world),
        cmocka_unit_test_setup_teardown(what_throttles_drops_and_fails_loses_nothing, make_world, end_world),
        cmocka_unit_test_setup_teardown(entries_that_fail_alone_are_sent_again_alone_and_their_messages_wait,
                                        make_world, end_world),
        cmocka_unit_test_setup_teardown(an_entry_that_is_refused_for_good_has_its_message_alone_handled_again,
                                        make_world, end_world),
        cmocka_unit_test_setup_teardown(a_fifo_queue_leaves_out_what_was_sent_twice, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_bus_that_hangs_costs_nothing_but_time, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_missing_permission_is_named_and_holds_what_waits, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_drain_waits_for_what_is_being_published, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_reload_moves_to_another_bus_and_loses_and_doubles_nothing, make_world,
                                        end_world),
        cmocka_unit_test_setup_teardown(kills_lose_nothing, make_world, end_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
