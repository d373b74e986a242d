/* fanout-local between listening and serving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "lib/query_call.h"
#include "local/local.h"
#include "local/sqs.h"

static void
who_comes_too_early_is_told_so_in_the_protocol_spoken(void **state)
{
    (void)state;
    const struct local_options options = {.listen = "127.0.0.1:0",
                                          .account = "000000000000",
                                          .region = "us-east-1",
                                          .access_key_id = "test",
                                          .secret_access_key = "test"};
    struct local *l;
    struct local_sqs *sqs;
    struct query_call q;
    struct err e;
    assert_int_equal(local_new(&options, &l, &e), 0);
    assert_int_equal(local_sqs_new(l, &sqs, &e), 0);
    assert_int_equal(local_start(l, &e), 0);
    query_call_init(&q, local_url(l));
    assert_int_equal(query_call_get(&q, "/", "Action=ListQueues"), 503);
    assert_string_equal(query_call_error(&q), "ServiceUnavailable");
    assert_string_equal(query_call_text(&q, "Error.Type"), "Receiver");
    assert_int_equal(aws_call_sqs(&q.call, "ListQueues", "{}"), 503);
    assert_string_equal(q.call.error, "ServiceUnavailable");
    assert_string_equal(q.call.message, "The server is starting or shutting down. Try again later.");
    local_serve(l);
    assert_int_equal(query_call_get(&q, "/", "Action=ListQueues"), 200);
    query_call_clean_up(&q);
    local_stop(l);
    local_sqs_destroy(sqs);
    local_destroy(l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_too_early_is_told_so_in_the_protocol_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
