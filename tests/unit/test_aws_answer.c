/* Answers as streams, answers of no use, and calls that end before theirs. */
#include "aws/aws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/aws_script.h"

static void
garbage_in_error_answers_leaves_the_status(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 400, .body = "{\"__type\":"}, {.status = 404, .body = "<html>\xff\xfe</html>"},
               {.status = 418, .body = "\x01\x02"}, {.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"});
    static const char *const codes[] = {"400", "404", "418", "302"};
    static const int meanings[] = {ERR_INVALID, ERR_NOT_FOUND, ERR_INVALID, ERR_PROTOCOL};
    for (int i = 0; i < 4; i++) {
        struct aws_seen o = aws_script_call(AWS_SIMPLE);
        assert_true(o.failed);
        assert_int_equal(o.attempts, 1);
        assert_string_equal(o.error.code, codes[i]);
        assert_int_equal(o.error.err.code, meanings[i]);
    }
}

static void
an_answer_over_the_limit_fails_without_a_retry(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 200, .body = "0123456789"});
    struct aws_seen o = aws_script_call(&(struct aws_request){.max_response_bytes = 9});
    assert_true(o.failed);
    assert_int_equal(o.attempts, 1);
    assert_string_equal(o.error.code, "limit");
    assert_true(o.error.maybe_executed);
}

struct stream {
    struct aws_seen o; /* first: it is the context of aws_script_note() */
    char text[100];
};

static int
take_piece(void *context, struct slice piece)
{
    struct stream *s = context;
    strncat(s->text, piece.p, piece.n);
    return 0;
}

static void
a_stream_is_retried_only_while_no_piece_of_it_was_handed_on(void **state)
{
    (void)state;
    struct err e;
    AWS_SCRIPT(AWS_S3, {.status = 503, .body = "<Error><Code>SlowDown</Code></Error>"},
               {.status = 200, .body = "whole"}, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"});
    struct aws_request rq = {.operation = "GetObject", .method = "GET", .path = "/b/k", .on_data = take_piece};
    struct stream s = {0}, t = {0};
    assert_int_equal(aws_submit(aws_script.client, &rq, aws_script_note, &s, NULL, &e), 0);
    aws_script_run(&s.o);
    assert_false(s.o.failed);
    assert_int_equal(s.o.attempts, 2);
    assert_string_equal(s.text, "whole");
    assert_string_equal(s.o.body, "");
    assert_int_equal(aws_submit(aws_script.client, &rq, aws_script_note, &t, NULL, &e), 0);
    aws_script_run(&t.o);
    assert_true(t.o.failed);
    assert_int_equal(t.o.attempts, 1);
    assert_string_equal(t.o.error.code, "truncated");
    assert_string_equal(t.text, "half");
}

static void
count_drop(void *context)
{
    ((struct aws_seen *)context)->status++;
}

static void
a_context_is_dropped_once_when_its_call_ends_without_its_callback(void **state)
{
    (void)state;
    struct err e;
    struct aws_request rq = {.body = SLICE("{}"), .drop = count_drop};
    struct aws_seen cancelled = {0}, destroyed = {0}, done = {0}, refused = {0};
    AWS_SCRIPT(AWS_SQS, {.status = 204});
    aws_cancel(aws_script_submit(&rq, &cancelled));
    assert_int_equal(cancelled.status, 1);
    aws_script_submit(&rq, &done);
    aws_script_run(&done);
    assert_int_equal(done.status, 204);
    aws_script_submit(&rq, &destroyed);
    struct aws_request bad = rq;
    bad.operation = "X";
    bad.path = "no-slash";
    assert_int_equal(aws_submit(aws_script.client, &bad, aws_script_note, &refused, NULL, &e), ERR_INVALID);
    aws_client_destroy(aws_script.client);
    aws_script.client = NULL;
    assert_int_equal(destroyed.status, 1);
    assert_int_equal(refused.status, 0);
    assert_int_equal(cancelled.calls + destroyed.calls + refused.calls, 0);
}

static void
a_call_can_be_cancelled_at_any_time(void **state)
{
    (void)state;
    struct err e;
    AWS_SCRIPT(AWS_SQS, {.status = 503, .headers = "x-amz-retry-after: 5000\r\n"});
    struct aws_seen fresh = {0}, waiting = {0}, own = {0};
    aws_cancel(aws_script_submit(AWS_SIMPLE, &fresh));
    struct aws_call *c = aws_script_submit(AWS_SIMPLE, &waiting);
    struct http_stats st;
    do {
        assert_int_equal(http_engine_run(aws_script.engine, 10, &e), 0);
        http_engine_stats(aws_script.engine, &st);
    } while (st.in_flight > 0);
    assert_false(waiting.done);
    aws_cancel(c);
    atomic_fetch_add(&aws_script.clock->offset_ms, 60000);
    assert_int_equal(http_engine_run(aws_script.engine, 10, &e), 0);
    assert_int_equal(fresh.calls + waiting.calls, 0);
    own.self = aws_script_submit(&(struct aws_request){.max_attempts = 1}, &own);
    aws_script_run(&own);
    assert_int_equal(own.calls, 1);
}

int
main(void)
{
    aws_script_prepare();
    const struct CMUnitTest tests[] = {
        AWS_SCRIPT_TEST(garbage_in_error_answers_leaves_the_status),
        AWS_SCRIPT_TEST(an_answer_over_the_limit_fails_without_a_retry),
        AWS_SCRIPT_TEST(a_stream_is_retried_only_while_no_piece_of_it_was_handed_on),
        AWS_SCRIPT_TEST(a_context_is_dropped_once_when_its_call_ends_without_its_callback),
        AWS_SCRIPT_TEST(a_call_can_be_cancelled_at_any_time),
    };
    return cmocka_run_group_tests_name("aws_answer", tests, NULL, NULL);
}
