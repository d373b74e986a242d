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
#include "lib/tmp.h"

#define PACED_MS 400 /* three failed polls in a row are at least so long apart: two pauses of 200 ms or more */

struct world {
    const char *dir;
    struct faulty_sqs *sqs;
    struct proc *fleet;
};

static int
make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->dir = tmp_new();
    *state = w;
    return 0;
}

static int
end_world(void **state)
{
    struct world *w = *state;
    proc_destroy(w->fleet);
    faulty_sqs_stop(w->sqs);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

/* Afterwards the queues are the test's own again. */
static void
end_fleet(struct world *w)
{
    faulty_fleet_end(w->fleet);
    faulty_sqs_stop(w->sqs);
    w->sqs = NULL;
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
    struct world *w = *state;
    struct faulty_queue queues[] = {
        {.name = "lost", .settings = "threads = 2;", .kind = FAULTY_DELETE_LOST, .faults = 1},
        {.name = "partly", .settings = "threads = 2;", .kind = FAULTY_DELETE_PARTLY},
        {.name = "failing", .settings = "threads = 2;", .kind = FAULTY_DELETE_FAILING}};
    w->sqs = faulty_sqs_start(queues, COUNT(queues), 0);
    w->fleet = faulty_fleet_start(w->dir, faulty_sqs_url(w->sqs), queues, COUNT(queues));
    assert_true(proc_wait_until(nothing_is_left, w->sqs, FAULTY_SOON_MS));
    end_fleet(w);
    for (size_t i = 0; i < COUNT(queues); i++)
        faulty_fleet_assert_handled_once(w->dir, &queues[i]);
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
    struct world *w = *state;
    struct faulty_queue q = {.name = "md5", .settings = "threads = 2;", .kind = FAULTY_MD5};
    w->sqs = faulty_sqs_start(&q, 1, 0);
    w->fleet = faulty_fleet_start(w->dir, faulty_sqs_url(w->sqs), &q, 1);
    assert_non_null(proc_wait_line(w->fleet, "their MD5 does not match", FAULTY_SOON_MS));
    assert_true(proc_wait_until(nothing_is_left, w->sqs, FAULTY_SOON_MS));
    end_fleet(w);
    faulty_fleet_assert_handled_once(w->dir, &q);
    for (unsigned i = 0; i < FAULTY_MESSAGES; i++)
        assert_int_equal(q.received[i], 2);
}

static void
a_queue_that_refuses_connections_at_the_start_is_waited_for(void **state)
{
    struct world *w = *state;
    struct faulty_queue q = {.name = "late", .settings = "threads = 2;"};
    int fd, port = stub_server_refusing_port(&fd);
    char url[60];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    w->fleet = faulty_fleet_start(w->dir, url, &q, 1);
    assert_non_null(proc_wait_line(w->fleet, "the queue cannot be reached yet", FAULTY_SOON_MS));
    close(fd);
    w->sqs = faulty_sqs_start(&q, 1, port);
    assert_true(proc_wait_until(nothing_is_left, w->sqs, FAULTY_SOON_MS));
    assert_int_equal(proc_count_lines(w->fleet, "worker started"), 1); /* an outage is no restart loop */
    end_fleet(w);
    faulty_fleet_assert_handled_once(w->dir, &q);
}

static void
an_outage_does_not_hold_up_the_end(void **state)
{
    struct world *w = *state;
    struct faulty_queue queues[] = {
        {.name = "gone", .settings = "threads = 2;", .kind = FAULTY_ERROR, .faults = 1000000},
        {.name = "silent", .settings = "threads = 2;", .kind = FAULTY_RESET, .faults = 1000000}};
    w->sqs = faulty_sqs_start(queues, COUNT(queues), 0);
    w->fleet = faulty_fleet_start(w->dir, faulty_sqs_url(w->sqs), queues, COUNT(queues));
    assert_non_null(proc_wait_line(w->fleet, "receive failed", FAULTY_SOON_MS));
    end_fleet(w);
    assert_in_range(queues[0].failed + queues[1].failed, 1, 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

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
