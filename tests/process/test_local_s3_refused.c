/* What the S3 of fanout-local refuses, faults that are told in its words, and kills. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/aws_call.h"
#include "lib/s3_server.h"
#include "lib/tmp.h"

static void
a_wrong_secret_is_refused(void **state)
{
    (void)state;
    s3_server_path("");
    s3_server_put("/k", SLICE("hello"));
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k"), .secret = "wrong"), 403,
                           "SignatureDoesNotMatch");
    s3_server_assert_error(REQUEST(.method = "DELETE", .path = s3_server_path("/k"), .secret = "wrong"), 403,
                           "SignatureDoesNotMatch");
    s3_server_assert_body("/k", SLICE("hello"));
}

static void
a_header_of_s3_s_that_is_not_signed_is_refused(void **state)
{
    (void)state;
    s3_server_path("");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                                   .unsigned_header = "X-Amz-Meta-Colour: red"),
                           403, "AccessDenied");
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k")), 404, "NoSuchKey");
    struct s3_answer a;
    s3_call(s3_server_url,
            REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello"),
                    .unsigned_header = "X-Amazing: yes"),
            &a);
    assert_int_equal(a.status, 200);
    s3_answer_clean_up(&a);
}

/* What aws-cli 1 and boto3 presign with by default, and AWS takes for no bucket made after June 2020. */
static void
signature_version_2_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const TARGETS[] = {
        "/bucket/key?AWSAccessKeyId=test&Signature=uAnK95Z19g3NKclSu%2FYDyScvNzw%3D&Expires=4102444800",
        "/bucket/key?Expires=4102444800&Signature=x&AWSAccessKeyId=test",
    };
    struct aws_call c;
    aws_call_init(&c, s3_server_url);
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
        assert_int_equal(aws_call_plain(&c, "GET", TARGETS[i], ""), 400);
        assert_non_null(memmem(c.body.p, c.body.n, "<Code>InvalidRequest</Code>", 27));
        assert_non_null(memmem(c.body.p, c.body.n, "Please use AWS4-HMAC-SHA256.", 28));
    }
    aws_call_clean_up(&c);
}

static void
set_fault(const char *json)
{
    admin_set_fault(s3_server_url, json);
}

static void
a_fault_is_told_in_s3_s_words(void **state)
{
    (void)state;
    struct s3_answer a;
    s3_server_path("");
    set_fault("{\"action\":\"s3:PutObject\",\"kind\":\"error\",\"status\":503,\"code\":\"SlowDown\"}");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello")), 503,
                           "SlowDown");
    s3_server_assert_error(REQUEST(.method = "GET", .path = s3_server_path("/k")), 404, "NoSuchKey");
    set_fault("{\"action\":\"s3:PutObject\",\"kind\":\"error\"}");
    s3_server_assert_error(REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello")), 500,
                           "InternalError");
    set_fault("{\"action\":\"s3:PutObject\",\"kind\":\"drop_after\"}");
    s3_call(s3_server_url, REQUEST(.method = "PUT", .path = s3_server_path("/k"), .body = SLICE("hello")), &a);
    assert_int_equal(a.status, 0);
    s3_answer_clean_up(&a);
    s3_server_assert_body("/k", SLICE("hello"));
    set_fault("{\"action\":\"s3:GetObject\",\"kind\":\"drop_before\"}");
    s3_call(s3_server_url, REQUEST(.method = "GET", .path = s3_server_path("/k")), &a);
    assert_int_equal(a.status, 0);
    s3_answer_clean_up(&a);
    s3_server_assert_body("/k", SLICE("hello"));
}

static void
an_object_survives_kill_9_right_after_the_answer(void **state)
{
    (void)state;
    const char *dir = tmp_new();
    struct proc *of_the_others = s3_server;
    char url_of_the_others[sizeof s3_server_url];
    memcpy(url_of_the_others, s3_server_url, sizeof s3_server_url);
    const char *argv[] = {
        proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data", dir, "--no-provision", NULL};
    s3_server_spawn(argv);
    s3_server_path("");
    s3_server_put("/k", SLICE("hello"));
    proc_signal(s3_server, SIGKILL);
    assert_int_equal(proc_wait_exit(s3_server, 20000), -SIGKILL);
    proc_destroy(s3_server);
    s3_server_spawn(argv);
    s3_server_assert_body("/k", SLICE("hello"));
    s3_server_stop(NULL);
    s3_server = of_the_others;
    memcpy(s3_server_url, url_of_the_others, sizeof s3_server_url);
    tmp_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_secret_is_refused),
        cmocka_unit_test(a_header_of_s3_s_that_is_not_signed_is_refused),
        cmocka_unit_test(signature_version_2_is_refused_by_name),
        cmocka_unit_test(a_fault_is_told_in_s3_s_words),
        cmocka_unit_test(an_object_survives_kill_9_right_after_the_answer),
    };
    return cmocka_run_group_tests_name("local_s3_refused", tests, s3_server_start, s3_server_stop);
}
