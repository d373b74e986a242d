/* A slow message, and those that were received with it, with the real worker and the real queue: other handler threads
 * take them over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/scripted.h"
#include "lib/tmp.h"

#define FIFO ", \"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\""

static void
send_to_group(struct scripted *s, const char *group, const char *body)
{
    assert_int_equal(aws_call_sqs(&s->queue.call, "SendMessage",
                                  "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%s\", \"MessageGroupId\": \"%s\"}",
                                  s->queue.url, body, group),
                     200);
}

/* The handler wrote the one line before the other. */
static void
assert_before(struct scripted *s, const char *first, const char *second)
{
    char *all = tmp_read(s->record, NULL);
    assert_non_null(all);
    const char *a = strstr(all, first), *b = strstr(all, second);
    if (!a || !b || a > b)
        fail_msg("\"%s\" is not before \"%s\" in:\n%s", first, second, all);
    free(all);
}

static void
what_was_received_with_a_slow_message_begins_and_ends_meanwhile(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a wait return:1", "b return:1", "c return:1", "d return:1");
    scripted_start(&s, "script_each", "threads = 4;");
    scripted_await_recorded(&s, "a waits", 1);
    scripted_await_queue(&s.queue, 0, 1);
    for (size_t i = 0; i < 3; i++)
        scripted_await_recorded(&s, (const char *[]){"b end", "c end", "d end"}[i], 1);
    assert_int_equal(scripted_recorded(&s, "a end"), 0);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(scripted_recorded(&s, " begin "), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, handled), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    scripted_drop(&s);
}

static void
a_group_waits_for_its_slow_message_and_another_group_does_not(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, FIFO);
    send_to_group(&s, "a", "a1 wait return:1");
    send_to_group(&s, "b", "b1 return:1");
    send_to_group(&s, "a", "a2 return:1");
    send_to_group(&s, "b", "b2 return:1");
    scripted_start(&s, "script_each", "threads = 4;");
    scripted_await_recorded(&s, "a1 waits", 1);
    scripted_await_recorded(&s, "b2 end", 1);
    scripted_await_queue(&s.queue, 0, 2);
    assert_before(&s, "b1 end", "b2 begin");
    assert_int_equal(scripted_recorded(&s, "a2 begin"), 0);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_before(&s, "a1 end", "a2 begin");
    assert_int_equal(scripted_recorded(&s, " begin "), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 4);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    scripted_drop(&s);
}

static void
a_failure_beside_a_slow_message_is_tried_again_meanwhile_and_its_group_goes_on(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, FIFO);
    send_to_group(&s, "a", "a1 wait return:1");
    send_to_group(&s, "b", "b1 always return:2");
    send_to_group(&s, "b", "b2 return:1");
    send_to_group(&s, "c", "c1 retry:100");
    send_to_group(&s, "c", "c2 return:1");
    scripted_start(&s, "script_each",
                   "threads = 4; retry = { base_ms = 1; cap_ms = 1; max_attempts = 2; then = \"dead_letter\"; };");
    scripted_await_recorded(&s, "a1 waits", 1);
    scripted_await_recorded(&s, "b2 end", 1);
    scripted_await_recorded(&s, "c2 end", 1);
    assert_int_equal(scripted_recorded(&s, "b1 begin"), 2);
    assert_int_equal(scripted_recorded(&s, "c1 begin"), 2);
    assert_int_equal(scripted_recorded(&s, "a1 end"), 0);
    scripted_await_queue(&s.queue, 0, 1);
    scripted_await_queue(&s.dead, 2, 0);
    scripted_open_gate(&s, 1);
    scripted_await_queue(&s.queue, 0, 0);
    assert_int_equal(scripted_drain(&s), 0);
    assert_int_equal(SCRIPTED_COUNT(&s, deleted), 5);
    assert_int_equal(SCRIPTED_COUNT(&s, violations), 0);
    scripted_drop(&s);
}

static void
a_drain_gives_back_what_nobody_began_while_a_slow_message_is_waited_for(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    SCRIPTED_SEND(&s, "a wait return:1", "b wait return:1", "c return:1", "d return:1");
    scripted_start(&s, "script_each", "threads = 2;");
    scripted_await_recorded(&s, "waits", 2);
    scripted_begin_drain(&s, 20000);
    scripted_await_logged(&s, "draining", 1);
    scripted_open_gate(&s, 1);
    scripted_pass(&s, 1000, 1000); /* the long poll's end */
    scripted_await_queue(&s.queue, 2, 1);
    scripted_open_gate(&s, 1);
    assert_int_equal(scripted_end_drain(&s, 20000), 0);
    scripted_await_queue(&s.queue, 2, 0);
    assert_int_equal(scripted_recorded(&s, " begin "), 2);
    scripted_drop(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_received_with_a_slow_message_begins_and_ends_meanwhile),
        cmocka_unit_test(a_group_waits_for_its_slow_message_and_another_group_does_not),
        cmocka_unit_test(a_failure_beside_a_slow_message_is_tried_again_meanwhile_and_its_group_goes_on),
        cmocka_unit_test(a_drain_gives_back_what_nobody_began_while_a_slow_message_is_waited_for),
    };
    return cmocka_run_group_tests_name("worker_share", tests, local_fixture_start_with_clock, local_fixture_stop);
}
