/* Fair queues of fanout-local: standard queues whose messages have a MessageGroupId. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/local_queue.h"

static void
a_group_is_accepted_and_returned_without_a_sequence_number(void **state)
{
    (void)state;
    struct local_queue q;
    local_queue_make(&q, "{}");
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"m\", \"MessageGroupId\": \"tenant-1\"");
    assert_string_equal(local_queue_text(&q, "SequenceNumber"), "(no SequenceNumber)");
    local_queue_send_many(&q, 2, "m", ", \"MessageGroupId\": \"tenant-2\"");
    assert_string_equal(local_queue_text(&q, "Successful.0.SequenceNumber"), "(no Successful.0.SequenceNumber)");
    assert_int_equal(local_queue_receive(&q, ", \"AttributeNames\": [\"All\"]"), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.MessageGroupId"), "tenant-1");
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.SequenceNumber"),
                        "(no Messages.0.Attributes.SequenceNumber)");
    assert_int_equal(local_queue_receive(&q, ", \"AttributeNames\": [\"MessageGroupId\"]"), 1);
    assert_string_equal(local_queue_text(&q, "Messages.0.Attributes.MessageGroupId"), "tenant-2");
    assert_int_equal(aws_call_count(&q.call, "Messages.0.Attributes"), 1);
    struct buf longest = BUF_INIT;
    buf_add_string(&longest, ", \"MessageBody\": \"m\", \"MessageGroupId\": \"");
    for (int i = 0; i < 128; i++)
        buf_add_char(&longest, (char)('a' + i % 26));
    buf_add_string(&longest, "\"");
    local_queue_ok(&q, "SendMessage", longest.data);
    buf_truncate(&longest, longest.len - 1);
    buf_add_string(&longest, "x\"");
    static const char *const BAD[] = {", \"MessageBody\": \"m\", \"MessageGroupId\": \"\"",
                                      ", \"MessageBody\": \"m\", \"MessageGroupId\": \"a b\"",
                                      ", \"MessageBody\": \"m\", \"MessageGroupId\": \"\\u00e9\"", NULL};
    for (size_t i = 0; i < 4; i++) {
        local_queue_call(&q, "SendMessage", BAD[i] ? BAD[i] : longest.data);
        assert_int_equal(q.call.status, 400);
        assert_string_equal(q.call.error, "InvalidParameterValue");
    }
    buf_clean_up(&longest);
    local_queue_drop(&q);
}

/* Receives up to max and counts those whose body is `body`. */
static int
receive_of(struct local_queue *q, int max, const char *body, size_t *ret_all)
{
    char members[60], path[40];
    int n = 0;
    snprintf(members, sizeof members, ", \"MaxNumberOfMessages\": %d", max);
    *ret_all = local_queue_receive(q, members);
    for (size_t i = 0; i < *ret_all; i++) {
        snprintf(path, sizeof path, "Messages.%zu.Body", i);
        n += strcmp(local_queue_text(q, path), body) == 0;
    }
    return n;
}

static void
take_until_noisy(struct local_queue *q)
{
    size_t all;
    for (int i = 0; i < 4; i++)
        assert_int_equal(receive_of(q, 10, "noisy", &all), 10);
}

static void
quiet_tenants_are_served_before_the_backlog_of_a_noisy_one(void **state)
{
    (void)state;
    struct local_queue q;
    size_t all;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"43200\"}");
    local_queue_send_many(&q, 3000, "noisy", ", \"MessageGroupId\": \"A\"");
    take_until_noisy(&q);
    local_server_pass(&local_fixture, 10);
    local_queue_send_many(&q, 4, "quiet", ", \"MessageGroupId\": \"B\"");
    local_queue_send_many(&q, 3, "quiet", ""); /* without a group: each its own */
    /* a backlog is passed over a part at a time: the quiet ones come within a few receives, not behind 3,000 */
    int quiet = 0;
    for (int i = 0; i < 10 && quiet < 7; i++)
        quiet += receive_of(&q, 10, "quiet", &all);
    assert_int_equal(quiet, 7);
    local_queue_send_many(&q, 2, "quiet", ", \"MessageGroupId\": \"C\"");
    assert_int_equal(receive_of(&q, 10, "quiet", &all), 2); /* now at once, */
    assert_int_equal(all, 10);                              /* and nobody is kept from the rest */
    assert_int_equal(receive_of(&q, 10, "noisy", &all), 10);
    local_queue_drop(&q);
}

static void
few_in_flight_make_nobody_noisy(void **state)
{
    (void)state;
    struct local_queue q;
    size_t all;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"43200\"}");
    local_queue_send_many(&q, 60, "first", ", \"MessageGroupId\": \"A\"");
    assert_int_equal(receive_of(&q, 10, "first", &all), 10);
    assert_int_equal(receive_of(&q, 10, "first", &all), 10);
    local_queue_send_many(&q, 5, "second", ", \"MessageGroupId\": \"B\"");
    assert_int_equal(receive_of(&q, 9, "first", &all), 9); /* 29 in flight: in their order */
    assert_int_equal(receive_of(&q, 10, "second", &all), 0);
    assert_int_equal(receive_of(&q, 10, "second", &all), 5);
    local_queue_drop(&q);
}

static void
a_noisy_tenant_is_quiet_again_without_sends_or_without_a_backlog(void **state)
{
    (void)state;
    struct local_queue q;
    size_t all;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"43200\"}");
    local_queue_send_many(&q, 100, "noisy", ", \"MessageGroupId\": \"A\"");
    take_until_noisy(&q);
    for (int i = 0; i < 6; i++)
        assert_int_equal(receive_of(&q, 10, "noisy", &all), 10);
    assert_int_equal(receive_of(&q, 10, "noisy", &all), 0); /* its backlog is gone, and what was in flight then */
    local_queue_ok(&q, "PurgeQueue", "");
    local_queue_send_many(&q, 1, "noisy", ", \"MessageGroupId\": \"A\"");
    local_queue_send_many(&q, 1, "quiet", ", \"MessageGroupId\": \"B\"");
    assert_int_equal(receive_of(&q, 1, "quiet", &all), 0);
    local_queue_drop(&q);

    local_queue_make(&q, "{\"VisibilityTimeout\": \"200\"}");
    local_queue_send_many(&q, 200, "noisy", ", \"MessageGroupId\": \"A\"");
    take_until_noisy(&q);
    local_server_pass(&local_fixture, 1);
    local_queue_send_many(&q, 1, "quiet", ", \"MessageGroupId\": \"B\"");
    assert_int_equal(receive_of(&q, 1, "quiet", &all), 1);
    local_server_pass(&local_fixture, 300000); /* and what was in flight is visible again, behind the rest */
    local_queue_send_many(&q, 1, "quiet", ", \"MessageGroupId\": \"C\"");
    assert_int_equal(receive_of(&q, 1, "noisy", &all), 1);
    local_queue_drop(&q);
}

static void
fairness_is_found_again_after_a_kill(void **state)
{
    (void)state;
    struct local_queue q;
    size_t all;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"43200\"}");
    local_queue_send_many(&q, 200, "noisy", ", \"MessageGroupId\": \"A\"");
    take_until_noisy(&q);
    local_queue_send_many(&q, 2, "quiet", ", \"MessageGroupId\": \"B\"");
    aws_call_clean_up(&q.call);
    local_server_kill(&local_fixture);
    local_server_restart(&local_fixture);
    aws_call_init(&q.call, local_fixture.url);
    int quiet = 0;
    for (int i = 0; i < 5 && quiet < 2; i++)
        quiet += receive_of(&q, 10, "quiet", &all);
    assert_int_equal(quiet, 2);
    local_queue_drop(&q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_accepted_and_returned_without_a_sequence_number),
        cmocka_unit_test(quiet_tenants_are_served_before_the_backlog_of_a_noisy_one),
        cmocka_unit_test(few_in_flight_make_nobody_noisy),
        cmocka_unit_test(a_noisy_tenant_is_quiet_again_without_sends_or_without_a_backlog),
        cmocka_unit_test(fairness_is_found_again_after_a_kill),
    };
    return cmocka_run_group_tests_name("local/sqs fair", tests, local_fixture_start_with_clock, local_fixture_stop);
}
