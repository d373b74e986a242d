#include "aws/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/aws_stub.h"

static struct aws_stub *stub;

static int
set_up(void **state)
{
    (void)state;
    stub = aws_stub_start(AWS_EVENTBRIDGE);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    aws_stub_stop(stub);
    return 0;
}

struct got {
    bool done, failed;
    char code[128];
    size_t n, failures;
    struct events_result results[EVENTS_BATCH_MAX];
};

static void
put(void *context, const struct events_put_result *r)
{
    struct got *g = context;
    g->done = true;
    g->failed = r->error != NULL;
    if (r->error)
        snprintf(g->code, sizeof g->code, "%s", r->error->code);
    g->n = r->n;
    g->failures = r->failed;
    assert_true(r->error ? !r->results : r->results != NULL);
    if (r->results)
        memcpy(g->results, r->results, r->n * sizeof *r->results);
}

static const struct events_entry ENTRIES[] = {{.source = SLICE("buffer.source"),
                                               .detail_type = SLICE("BufferedEvent"),
                                               .detail = SLICE("{\"user_id\": 123, \"action\": \"signup\"}"),
                                               .bus = SLICE("durable-event-bus")},
                                              {.source = SLICE("s"), .detail_type = SLICE("t"), .detail = SLICE("{")}};

static void
events_are_put_and_answered_one_by_one(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "",
                    "{\"FailedEntryCount\":1,\"Entries\":[{\"EventId\":\"11710aed-b79e-4468-a20b-bb3c0c3b4860\"},"
                    "{\"ErrorCode\":\"MalformedDetail\",\"ErrorMessage\":\"Detail is malformed.\"}]}");
    assert_int_equal(events_put(aws_stub_client(stub), ENTRIES, 2, put, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_false(g.failed);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.failures, 1);
    assert_string_equal(g.results[0].event_id, "11710aed-b79e-4468-a20b-bb3c0c3b4860");
    assert_string_equal(g.results[1].code, "MalformedDetail");
    assert_string_equal(aws_stub_line(stub, 0), "POST / HTTP/1.1");
    assert_string_equal(aws_stub_header(stub, 0, "x-amz-target"), "AWSEvents.PutEvents");
    assert_string_equal(aws_stub_header(stub, 0, "content-type"), "application/x-amz-json-1.1");
    assert_non_null(strstr(aws_stub_header(stub, 0, "authorization"), "/eu-north-1/events/aws4_request"));
    assert_string_equal(aws_stub_body(stub, 0),
                        "{\"Entries\":[{\"Source\":\"buffer.source\",\"DetailType\":\"BufferedEvent\",\"Detail\":"
                        "\"{\\\"user_id\\\": 123, \\\"action\\\": \\\"signup\\\"}\","
                        "\"EventBusName\":\"durable-event-bus\"},"
                        "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":\"{\"}]}");
}

static void
a_call_that_fails_as_a_whole_has_no_results(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 400, "",
                    "{\"__type\":\"ValidationException\",\"message\":\"Total size of the entries in the request is "
                    "over the limit.\"}");
    assert_int_equal(events_put(aws_stub_client(stub), ENTRIES, 1, put, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_string_equal(g.code, "ValidationException");
    assert_int_equal(g.n, 0);
}

static void
an_answer_with_too_few_entries_is_garbled(void **state)
{
    (void)state;
    struct got g = {0};
    aws_stub_answer(stub, 200, "", "{\"FailedEntryCount\":0,\"Entries\":[{\"EventId\":\"a\"}]}");
    assert_int_equal(events_put(aws_stub_client(stub), ENTRIES, 2, put, &g, NULL, NULL), 0);
    aws_stub_run(stub, &g.done);
    assert_true(g.failed);
    assert_string_equal(g.code, "garbled");
}

static void
no_events_or_more_than_ten_are_not_sent(void **state)
{
    (void)state;
    struct events_entry many[11] = {ENTRIES[0]};
    struct err e;
    assert_int_equal(events_put(aws_stub_client(stub), many, 0, put, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(events_put(aws_stub_client(stub), many, 11, put, NULL, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "11 entries, 1 to 10"));
}

/* A leak here shows under the address sanitizer. */
static void
a_cancelled_put_frees_what_it_had(void **state)
{
    (void)state;
    struct aws_call *call = NULL;
    struct got g = {0};
    assert_int_equal(events_put(aws_stub_client(stub), ENTRIES, 2, put, &g, &call, NULL), 0);
    aws_cancel(call);
    assert_int_equal(events_put(aws_stub_client(stub), ENTRIES, 2, put, &g, NULL, NULL), 0);
    assert_false(g.done);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_are_put_and_answered_one_by_one),    TEST(a_call_that_fails_as_a_whole_has_no_results),
        TEST(an_answer_with_too_few_entries_is_garbled), TEST(no_events_or_more_than_ten_are_not_sent),
        TEST(a_cancelled_put_frees_what_it_had),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
