/* A clock that is wrong and credentials that are refused: corrected, renewed, and tried once more. */
#include "aws/aws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/aws_script.h"

static void
a_wrong_clock_is_corrected_once_and_stays_so(void **state)
{
    (void)state;
    /* The server's clock is an hour ahead. */
    AWS_SCRIPT(AWS_SQS,
               {.status = 403,
                .headers = "Date: Fri, 20 Nov 2026 07:00:00 GMT\r\n",
                .body = "{\"__type\":\"x#InvalidSignatureException\",\"message\":\"Signature expired\"}"},
               {.status = 200, .body = "{}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 1); /* a correction is no attempt */
    assert_int_equal(o.n_waits, 0);
    aws_script_assert_header(0, "x-amz-date", "20261120T060000Z");
    aws_script_assert_header(1, "x-amz-date", "20261120T070000Z");
    assert_false(aws_script_call(AWS_SIMPLE).failed);
    aws_script_assert_header(2, "x-amz-date", "20261120T070000Z");
    struct aws_stats st;
    aws_client_stats(aws_script.client, &st);
    assert_int_equal(st.clock_corrections, 1);
    assert_int_equal(st.clock_offset_ms, 3600000);
}

static void
a_clock_that_is_ahead_is_corrected_but_not_by_less_than_is_tolerated(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS,
               {.status = 403,
                .headers = "Date: Fri, 20 Nov 2026 05:58:00 GMT\r\n",
                .body = "{\"__type\":\"x#SignatureDoesNotMatch\"}"},
               {.status = 403,
                .headers = "Date: Fri, 20 Nov 2026 05:00:00 GMT\r\n",
                .body = "{\"__type\":\"x#RequestInTheFuture\"}"},
               {.status = 200, .body = "{}"});
    assert_true(aws_script_call(AWS_SIMPLE).failed);
    assert_int_equal(stub_server_requests(aws_script.server), 1);
    assert_false(aws_script_call(AWS_SIMPLE).failed);
    aws_script_assert_header(2, "x-amz-date", "20261120T050000Z");
}

static void
a_clock_that_stays_wrong_is_corrected_no_second_time(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS,
               {.status = 403,
                .headers = "Date: Fri, 20 Nov 2026 07:00:00 GMT\r\n",
                .body = "{\"__type\":\"x#RequestTimeTooSkewed\"}"},
               {.status = 403,
                .headers = "Date: Fri, 20 Nov 2026 09:00:00 GMT\r\n",
                .body = "{\"__type\":\"x#RequestTimeTooSkewed\"}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(aws_script.server), 2);
    assert_string_equal(o.error.code, "RequestTimeTooSkewed");
}

static void
a_wrong_signature_at_the_right_time_is_no_matter_of_the_clock(void **state)
{
    (void)state;
    AWS_SCRIPT(AWS_SQS, {.status = 403,
                         .headers = "Date: Fri, 20 Nov 2026 06:00:30 GMT\r\n",
                         .body = "{\"__type\":\"x#SignatureDoesNotMatch\"}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(aws_script.server), 1);
    assert_int_equal(o.error.err.code, ERR_DENIED);
}

/* A source that changes its mind when its answer is refused, and may answer later. */
struct turning {
    struct creds_provider base;
    struct creds *now, *next;
    int invalidations;
    bool later, endless;
    creds_done_fn *done;
    void *context;
};

static void
turning_get(struct creds_provider *p, creds_done_fn *done, void *context)
{
    struct turning *t = (struct turning *)p;
    if (t->later) {
        t->done = done;
        t->context = context;
    } else {
        done(context, t->now, NULL);
    }
}

static void
turning_invalidate(struct creds_provider *p, const struct creds *refused)
{
    struct turning *t = (struct turning *)p;
    t->invalidations++;
    if (refused == t->now && t->next) {
        struct creds *old = t->now;
        t->now = t->next;
        t->next = NULL;
        creds_release(old);
        if (t->endless)
            t->next = creds_new("NEWER", AWS_SECRET, NULL, "test", 0);
    }
}

static void
turning_destroy(struct creds_provider *p)
{
    struct turning *t = (struct turning *)p;
    creds_release(t->now);
    creds_release(t->next);
    free(t);
}

static struct turning *
use_turning_credentials(bool with_next)
{
    struct turning *t = calloc(1, sizeof *t);
    t->base = (struct creds_provider){"turning", turning_get, turning_invalidate, turning_destroy};
    t->now = creds_new("OLD", AWS_SECRET, "old-token", "test", 0);
    t->next = with_next ? creds_new("NEW", AWS_SECRET, "new-token", "test", 0) : NULL;
    creds_provider_destroy(aws_script.credentials);
    aws_script.credentials = &t->base;
    return t;
}

static void
refused_credentials_are_renewed_and_tried_once(void **state)
{
    (void)state;
    struct turning *t = use_turning_credentials(true);
    AWS_SCRIPT(AWS_SQS, {.status = 403, .body = "{\"__type\":\"x#ExpiredTokenException\"}"},
               {.status = 200, .body = "{}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_false(o.failed);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(t->invalidations, 1);
    aws_script_assert_header(0, "x-amz-security-token", "old-token");
    aws_script_assert_header(1, "x-amz-security-token", "new-token");
    aws_script_assert_signature(1, "sqs", AWS_SECRET);
}

static void
a_source_that_always_has_others_is_asked_but_once_more(void **state)
{
    (void)state;
    struct turning *t = use_turning_credentials(true);
    t->endless = true;
    AWS_SCRIPT(AWS_SQS, {.status = 403, .body = "{\"__type\":\"x#ExpiredToken\"}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(aws_script.server), 2);
    assert_int_equal(t->invalidations, 1);
    assert_string_equal(o.error.code, "ExpiredToken");
}

static void
credentials_that_stay_the_same_are_not_tried_again(void **state)
{
    (void)state;
    use_turning_credentials(false);
    AWS_SCRIPT(AWS_SQS, {.status = 403, .body = "{\"__type\":\"x#UnrecognizedClientException\"}"});
    struct aws_seen o = aws_script_call(AWS_SIMPLE);
    assert_true(o.failed);
    assert_int_equal(stub_server_requests(aws_script.server), 1);
    assert_string_equal(o.error.code, "UnrecognizedClientException");
    assert_int_equal(o.error.err.code, ERR_DENIED);
    assert_false(o.error.err.retryable);
}

static void
without_credentials_a_call_fails_in_a_later_turn(void **state)
{
    (void)state;
    struct err e;
    creds_provider_destroy(aws_script.credentials);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(creds_env_new(&aws_script.credentials, &e), 0);
    AWS_SCRIPT(AWS_SQS, {.status = 200});
    struct aws_seen o = aws_script_call(AWS_SIMPLE); /* aws_script_submit() asserts that nothing happened at once */
    assert_true(o.failed);
    assert_string_equal(o.error.code, "credentials");
    assert_int_equal(o.error.err.code, ERR_DENIED);
    assert_non_null(strstr(o.error.err.text, "ReceiveMessage: AWS_ACCESS_KEY_ID"));
    assert_int_equal(stub_server_requests(aws_script.server), 0);
}

static void
credentials_may_come_later_and_calls_be_cancelled_meanwhile(void **state)
{
    (void)state;
    struct turning *t = use_turning_credentials(false);
    t->later = true;
    AWS_SCRIPT(AWS_SQS, {.status = 200, .body = "{}"});
    struct aws_seen o = {0}, never = {0};
    aws_script_submit(AWS_SIMPLE, &o);
    t->done(t->context, t->now, NULL);
    aws_script_run(&o);
    assert_false(o.failed);

    aws_cancel(aws_script_submit(AWS_SIMPLE, &never));
    t->done(t->context, t->now, NULL);
    aws_script_submit(AWS_SIMPLE, &never);
    aws_client_destroy(aws_script.client);
    aws_script.client = NULL;
    t->done(t->context, t->now, NULL);
    assert_int_equal(never.calls, 0);
}

int
main(void)
{
    aws_script_prepare();
    const struct CMUnitTest tests[] = {
        AWS_SCRIPT_TEST(a_wrong_clock_is_corrected_once_and_stays_so),
        AWS_SCRIPT_TEST(a_clock_that_is_ahead_is_corrected_but_not_by_less_than_is_tolerated),
        AWS_SCRIPT_TEST(a_clock_that_stays_wrong_is_corrected_no_second_time),
        AWS_SCRIPT_TEST(a_wrong_signature_at_the_right_time_is_no_matter_of_the_clock),
        AWS_SCRIPT_TEST(refused_credentials_are_renewed_and_tried_once),
        AWS_SCRIPT_TEST(a_source_that_always_has_others_is_asked_but_once_more),
        AWS_SCRIPT_TEST(credentials_that_stay_the_same_are_not_tried_again),
        AWS_SCRIPT_TEST(without_credentials_a_call_fails_in_a_later_turn),
        AWS_SCRIPT_TEST(credentials_may_come_later_and_calls_be_cancelled_meanwhile),
    };
    return cmocka_run_group_tests_name("aws_renewal", tests, NULL, NULL);
}
