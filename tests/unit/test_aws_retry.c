/* Which failures are tried again, how often, after which wait; what may have been executed. */
#include "aws/aws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/aws_script.h"

static void
a_transient_failure_is_retried_with_short_waits_up_to_three_attempts(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 503, .headers = "x-amzn-RequestId: r-1\r\n"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.attempts, 3);
    assert_int_equal(stub_server_requests(aws_script.server), 3);
    assert_in_range(o.n_waits, 0, 2);
    for (size_t i = 0; i < o.n_waits; i++)
        assert_in_range(o.waits[i], 0, 100);
    assert_int_equal(o.error.err.code, ERR_UNAVAILABLE);
    assert_true(o.error.err.retryable);
    assert_string_equal(o.error.code, "503");
    assert_string_equal(o.error.request_id, "r-1");
    assert_true(o.error.maybe_executed);
    struct aws_stats st;
    aws_client_stats(aws_script.client, &st);
    assert_int_equal(st.calls, 1);
    assert_int_equal(st.attempts, 3);
    assert_int_equal(st.retries, 2);
    assert_int_equal(st.failed, 1);
}

static void
each_attempt_is_signed_anew(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 500, .headers = "x-amz-retry-after: 3000\r\n"}, {.status = 200, .body = "{}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 2);
    aws_script_assert_header(0, "x-amz-date", "20261120T060000Z");
    aws_script_assert_header(1, "x-amz-date", "20261120T060003Z");
    aws_script_assert_signature(0, "sqs", AWS_SECRET);
    aws_script_assert_signature(1, "sqs", AWS_SECRET);
}

static void
throttling_is_retried_though_its_status_is_403(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS,
               {.status = 403,
                .headers = "x-amzn-query-error: RequestThrottled;Sender\r\n",
                .body = "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\"}"},
               {.status = 200, .body = "{}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 2);
    assert_in_range(o.n_waits, 0, 1);
    if (o.n_waits)
        assert_in_range(o.waits[0], 1, 1000);
    struct aws_stats st;
    aws_client_stats(aws_script.client, &st);
    assert_int_equal(st.throttled, 1);
}

static void
a_refusal_is_not_retried_and_was_not_executed(void **state)
{
    (void)state;
    AWS_SCRIPT(
        AWS_SQS,
        {.status = 400,
         .headers = "x-amzn-RequestId: r-2\r\nx-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
         .body = "{\"__type\":\"com.amazonaws.sqs#QueueDoesNotExist\",\"message\":\"The specified queue does not "
                 "exist.\"}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(stub_server_requests(aws_script.server), 1);
    assert_int_equal(o.error.err.code, ERR_NOT_FOUND);
    assert_false(o.error.err.retryable);
    assert_false(o.error.maybe_executed);
    assert_string_equal(o.error.code, "AWS.SimpleQueueService.NonExistentQueue");
    assert_string_equal(o.error.err.text,
                        "ReceiveMessage: AWS.SimpleQueueService.NonExistentQueue: The specified queue "
                        "does not exist. (HTTP 400, request r-2)");
}

static void
the_services_wish_for_a_wait_is_honoured_within_five_seconds(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 503, .headers = "x-amz-retry-after: 4000\r\n"},
               {.status = 503, .headers = "x-amz-retry-after: 999999999999\r\n"}, {.status = 200, .body = "{}"},
               {.status = 503, .headers = "x-amz-retry-after: soon\r\n"}, {.status = 200, .body = "{}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.n_waits, 2);
    assert_int_equal(o.waits[0], 4000);
    assert_in_range(o.waits[1], 5000, 5100);
    o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_true(o.n_waits == 0 || o.waits[0] <= 50);
}

static void
max_attempts_of_the_request_goes_before_the_clients(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 500});
    assert_int_equal(aws_script_call(&(struct aws_request){.max_attempts = 1}).attempts, 1);
    assert_int_equal(aws_script_call(&(struct aws_request){.max_attempts = 5}).attempts, 5);
}

static void
no_answer_is_retried_and_may_have_been_executed(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Mess"}, {.raw = "", .reset = true},
               {.status = 200, .body = "{}"}, {.raw = "HTTP/1.1 200"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 3);
    o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.attempts, 3);
    assert_int_equal(o.error.err.code, ERR_UNAVAILABLE);
    assert_true(o.error.err.retryable);
    assert_true(o.error.maybe_executed);
    assert_int_equal(o.error.status, 0);
}

static void
a_cut_answer_is_called_truncated(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Mess"});
    struct aws_seen o = aws_script_call(&(struct aws_request){.max_attempts = 1});
    assert_string_equal(o.error.code, "truncated");
    assert_true(o.error.maybe_executed);
}

static void
an_earlier_attempt_of_unknown_outcome_is_remembered(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"},
               {.status = 400, .body = "{\"__type\":\"x#Nope\"}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_string_equal(o.error.code, "Nope");
    assert_true(o.error.maybe_executed);
}

static void
what_never_left_was_not_executed(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 200});
    stub_server_stop(aws_script.server); /* its port is closed from here on */
    aws_script.server = NULL;
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(o.attempts, 3);
    assert_string_equal(o.error.code, "connection");
    assert_false(o.error.maybe_executed);
    assert_true(o.error.err.retryable);
}

static void
no_answer_in_time_is_a_timeout(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.raw = "HTTP/1.1 200 OK\r\n", .hang = true});
    struct aws_seen o = {0};
    struct err e;
    aws_script_submit(&(struct aws_request){.timeout_ms = 20000, .max_attempts = 1}, &o);
    while (stub_server_requests(aws_script.server) < 1)
        assert_int_equal(http_engine_run(aws_script.engine, 10, &e), 0);
    assert_false(o.done);
    atomic_fetch_add(&aws_script.clock->offset_ms, 20000);
    aws_script_run(&o);
    assert_string_equal(o.error.code, "timeout");
    assert_int_equal(o.error.err.code, ERR_TIMEOUT);
    assert_true(o.error.maybe_executed);
}

/* The bucket holds 500: 35 retries at 14 each. */
static void
drain_bucket(void)
{
    for (int i = 0; i < 17; i++)
        assert_int_equal(aws_script_call(AWS_SIMPLE).attempts, 3);
    assert_int_equal(aws_script_call(AWS_SIMPLE).attempts, 2);
}

static void
an_empty_bucket_ends_retries(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 500});
    drain_bucket();
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(o.n_waits, 0);
}

static void
successes_fill_the_bucket_again(void **state)
{
    (void)state;
    static const struct aws_step fail[] = {{.status = 500}}, succeed[] = {{.status = 200, .body = "{}"}};
    aws_script_start(fail, 1, AWS_SQS);
    drain_bucket(); /* 10 are left */
    aws_script_go_on_with(succeed);
    for (int i = 0; i < 4; i++)
        assert_false(aws_script_call(AWS_SIMPLE).failed);
    aws_script_go_on_with(fail);
    assert_int_equal(aws_script_call(AWS_SIMPLE).attempts, 2);
}

static void
a_long_poll_waits_before_it_fails_for_want_of_tokens(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 500, .headers = "x-amz-retry-after: 2000\r\n"});
    drain_bucket();
    struct aws_seen o = aws_script_call(&(struct aws_request){.long_poll = true});
    assert_int_equal(o.attempts, 1);
    assert_int_equal(o.n_waits, 1);
    assert_int_equal(o.waits[0], 2000);
    assert_string_equal(o.error.code, "500");
}

int
main(void)
{
    aws_script_prepare();
    const struct CMUnitTest tests[] = {
        AWS_SCRIPT_TEST(a_transient_failure_is_retried_with_short_waits_up_to_three_attempts),
        AWS_SCRIPT_TEST(each_attempt_is_signed_anew),
        AWS_SCRIPT_TEST(throttling_is_retried_though_its_status_is_403),
        AWS_SCRIPT_TEST(a_refusal_is_not_retried_and_was_not_executed),
        AWS_SCRIPT_TEST(the_services_wish_for_a_wait_is_honoured_within_five_seconds),
        AWS_SCRIPT_TEST(max_attempts_of_the_request_goes_before_the_clients),
        AWS_SCRIPT_TEST(no_answer_is_retried_and_may_have_been_executed),
        AWS_SCRIPT_TEST(a_cut_answer_is_called_truncated),
        AWS_SCRIPT_TEST(an_earlier_attempt_of_unknown_outcome_is_remembered),
        AWS_SCRIPT_TEST(what_never_left_was_not_executed),
        AWS_SCRIPT_TEST(no_answer_in_time_is_a_timeout),
        AWS_SCRIPT_TEST(an_empty_bucket_ends_retries),
        AWS_SCRIPT_TEST(successes_fill_the_bucket_again),
        AWS_SCRIPT_TEST(a_long_poll_waits_before_it_fails_for_want_of_tokens),
    };
    return cmocka_run_group_tests_name("aws_retry", tests, NULL, NULL);
}
