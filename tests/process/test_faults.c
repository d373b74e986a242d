/* The real fanoutd and fanout-worker against an SQS that fails: what is sent again, and what is not (the faults
 * themselves, one by one, are test_fault_matrix.c's). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/faulty_fleet.h"
#include "lib/stub_server.h"

#define PACED_MS 400 /* three failed polls in a row are at least so long apart: two pauses of 200 ms or more */

static int
set_up(void **state)
{
    struct faulty_fleet *f = malloc(sizeof *f);
    assert_non_null(f);
    faulty_fleet_init(f);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    faulty_fleet_clean_up(*state);
    free(*state);
    return 0;
}

static bool
nothing_is_left(void *context)
{
    return faulty_sqs_left(context) == 0;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void
deletes_that_fail_are_sent_again_and_nothing_is_handled_again(void **state)
{
    struct faulty_fleet *f = *state;
    struct faulty_queue queues[] = {
        {.name = "lost", .settings = "threads = 2;", .kind = FAULTY_DELETE_LOST, .faults = 1},
        {.name = "partly", .settings = "threads = 2;", .kind = FAULTY_DELETE_PARTLY},
        {.name = "failing", .settings = "threads = 2;", .kind = FAULTY_DELETE_FAILING}};
    faulty_fleet_serve(f, queues, COUNT(queues), 0);
    faulty_fleet_start(f, faulty_sqs_url(f->sqs), queues, COUNT(queues));
    assert_true(proc_wait_until(nothing_is_left, f->sqs, FAULTY_SOON_MS));
    faulty_fleet_end(f);
    for (size_t i = 0; i < COUNT(queues); i++)
        faulty_fleet_assert_handled_once(f, &queues[i]);
    assert_int_equal(queues[0].failed, 1);
    assert_true(queues[2].mended_ms - queues[2].failed_ms >= PACED_MS);
    for (unsigned i = 0; i < FAULTY_MESSAGES; i++) {
        assert_int_equal(queues[1].delete_entries[i], i % 2 == 0 ? 2 : 1); /* no more than what failed */
        assert_int_equal(queues[1].deleted[i], 1);
    }
}

static void
what_arrives_damaged_is_not_handled_until_it_comes_whole(void **state)
{
    struct faulty_fleet *f = *state;
    struct faulty_queue q = {.name = "md5", .settings = "threads = 2;", .kind = FAULTY_MD5};
    faulty_fleet_serve(f, &q, 1, 0);
    faulty_fleet_start(f, faulty_sqs_url(f->sqs), &q, 1);
    assert_non_null(proc_wait_line(f->fleet, "their MD5 does not match", FAULTY_SOON_MS));
    assert_true(proc_wait_until(nothing_is_left, f->sqs, FAULTY_SOON_MS));
    faulty_fleet_end(f);
    faulty_fleet_assert_handled_once(f, &q);
    for (unsigned i = 0; i < FAULTY_MESSAGES; i++)
        assert_int_equal(q.received[i], 2);
}

static void
a_queue_that_refuses_connections_at_the_start_is_waited_for(void **state)
{
    struct faulty_fleet *f = *state;
    struct faulty_queue q = {.name = "late", .settings = "threads = 2;"};
    int fd, port = stub_server_refusing_port(&fd);
    char url[60];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    faulty_fleet_start(f, url, &q, 1);
    assert_non_null(proc_wait_line(f->fleet, "the queue cannot be reached yet", FAULTY_SOON_MS));
    close(fd);
    faulty_fleet_serve(f, &q, 1, port);
    assert_true(proc_wait_until(nothing_is_left, f->sqs, FAULTY_SOON_MS));
    assert_int_equal(proc_count_lines(f->fleet, "worker started"), 1); /* an outage is no restart loop */
    faulty_fleet_end(f);
    faulty_fleet_assert_handled_once(f, &q);
}

static void
an_outage_does_not_hold_up_the_end(void **state)
{
    struct faulty_fleet *f = *state;
    struct faulty_queue queues[] = {
        {.name = "gone", .settings = "threads = 2;", .kind = FAULTY_ERROR, .faults = 1000000},
        {.name = "silent", .settings = "threads = 2;", .kind = FAULTY_RESET, .faults = 1000000}};
    faulty_fleet_serve(f, queues, COUNT(queues), 0);
    faulty_fleet_start(f, faulty_sqs_url(f->sqs), queues, COUNT(queues));
    assert_non_null(proc_wait_line(f->fleet, "receive failed", FAULTY_SOON_MS));
    faulty_fleet_end(f);
    assert_in_range(queues[0].failed + queues[1].failed, 1, 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(deletes_that_fail_are_sent_again_and_nothing_is_handled_again),
        TEST(what_arrives_damaged_is_not_handled_until_it_comes_whole),
        TEST(a_queue_that_refuses_connections_at_the_start_is_waited_for),
        TEST(an_outage_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
