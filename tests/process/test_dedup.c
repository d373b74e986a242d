/* What was handled is not handled again, with the real fanout-worker and fanout-local: deletes that fail, answers that
 * are lost, messages that come twice; and events that come again, through a store that several workers share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/admin.h"
#include "lib/dedup_scene.h"
#include "lib/scripted.h"
#include "lib/tmp.h"

#define SEND 20
#define CAP  8 /* messages in flight: dedup_scene_start */

#define LEASES_MS 5000 /* after so long none of a worker that is gone holds anything */

/* ---- messages whose delete failed ---- */

static void
send_many(struct dedup_scene *s, unsigned n, unsigned different)
{
    char id[20];
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof id, "event-%u.", i % different);
        dedup_scene_send(s, id);
    }
}

static void
assert_each_handled_once(struct dedup_scene *s, unsigned events)
{
    char id[20];
    for (unsigned i = 0; i < events; i++) {
        snprintf(id, sizeof id, "event-%u.", i);
        if (dedup_scene_recorded(s, id) != 1)
            fail_msg("%s was handled %zu times", id, dedup_scene_recorded(s, id));
    }
}

/* Neither deletes nor extensions go through: the leases run out, the messages come back, and are deleted at last. */
static void
a_message_that_comes_back_because_its_delete_failed_is_deleted_and_not_handled(void **state)
{
    struct dedup_scene *s = *state;
    s->hurries = true;
    dedup_scene_fault(s, "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"count\": 0}");
    dedup_scene_fault(s, "{\"action\": \"sqs:ChangeMessageVisibilityBatch\", \"kind\": \"error\", \"count\": 0}");
    dedup_scene_start(s, 0, "", "");
    send_many(s, SEND, SEND);
    DEDUP_SCENE_AWAIT(s, 0, delete_failed, SEND);
    dedup_scene_fault(s, NULL);
    dedup_scene_await_empty(s);
    assert_each_handled_once(s, SEND);
    assert_in_range(DEDUP_SCENE_COUNT(s, 0, redelivered), SEND, 10000);
    dedup_scene_drain(s, 0);
}

static void
a_delete_whose_answer_was_lost_is_sent_again_and_nothing_is_handled_again(void **state)
{
    struct dedup_scene *s = *state;
    dedup_scene_fault(s, "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"drop_after\", \"count\": 8}");
    dedup_scene_start(s, 0, "", "");
    send_many(s, SEND, SEND);
    dedup_scene_await_empty(s);
    dedup_scene_drain(s, 0);
    assert_each_handled_once(s, SEND);
}

/* ---- messages that are delivered again while they are in hand, or have just been handled ---- */

#define EACH_RECEIVE "{\"action\": \"sqs:ReceiveMessage\", \"kind\": \"duplicate\", \"count\": 0}"
#define DELETES_FAIL                                                                                                   \
    "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"status\": 500, \"code\": \"InternalError\", "     \
    "\"count\": 0}"
#define DELETES_LOST "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"drop_after\", \"count\": 1}"

static int
forget_faults(void **state)
{
    (void)state;
    admin_clear_faults(local_fixture.url);
    return 0;
}

static void
assert_no_delete_refused(void)
{
    assert_true(admin_count_requests(local_fixture.url, "operation=DeleteMessageBatch&status=200") > 0);
    assert_int_equal(admin_count_requests(local_fixture.url, "operation=DeleteMessageBatch&status=4xx"), 0);
}

/* They are not handled twice, and no two entries of a delete are alike, which would have the whole call refused. */
static void
come_again_and_again(const char *fault_of_deletes)
{
    struct scripted s;
    scripted_make(&s, "");
    admin_set_fault(local_fixture.url, EACH_RECEIVE);
    if (fault_of_deletes)
        admin_set_fault(local_fixture.url, fault_of_deletes);
    SCRIPTED_SEND(&s, "a wait done", "b done", "c done", "d done", "e done", "f done", "g done", "h done", "i done",
                  "j done");
    SCRIPTED_SEND(&s, "k done", "l done", "m done", "n done", "o done", "p done", "q done", "r done", "s done",
                  "t done");
    scripted_start(&s, "script", "");
    scripted_await_recorded(&s, "a begin ", 1);
    SCRIPTED_AWAIT_COUNT(&s, polls, 4); /* they came with most of these */
    scripted_open_gate(&s, 1);
    SCRIPTED_AWAIT_COUNT(&s, deleted, SEND);
    scripted_await_queue(&s.queue, 0, 0);
    assert_no_delete_refused();
    assert_int_equal(scripted_recorded(&s, " begin "), SEND);
    assert_in_range(SCRIPTED_COUNT(&s, received), SEND + 1, 10000);
    if (!fault_of_deletes) {
        assert_int_equal(SCRIPTED_COUNT(&s, delete_errors), 0);
        assert_int_equal(SCRIPTED_COUNT(&s, delete_failed), 0);
    }
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

static void
messages_that_come_again_and_again_fail_no_batch_of_deletes(void **state)
{
    (void)state;
    come_again_and_again(NULL);
}

static void
nor_do_they_when_the_answer_to_a_delete_is_lost(void **state)
{
    (void)state;
    come_again_and_again(DELETES_LOST);
}

static void
what_is_delivered_again_before_its_delete_succeeds_is_not_handled_again(void **state)
{
    (void)state;
    struct scripted s;
    scripted_make(&s, "");
    admin_set_fault(local_fixture.url, EACH_RECEIVE);
    admin_set_fault(local_fixture.url, DELETES_FAIL);
    SCRIPTED_SEND(&s, "a done", "b done", "c done");
    scripted_start(&s, "script", "");
    SCRIPTED_AWAIT_COUNT(&s, redelivered, 6); /* each more than once */
    assert_int_equal(scripted_recorded(&s, " begin "), 3);
    admin_clear_faults(local_fixture.url);
    SCRIPTED_AWAIT_COUNT(&s, deleted, 3);
    scripted_await_queue(&s.queue, 0, 0);
    assert_no_delete_refused();
    assert_int_equal(scripted_recorded(&s, " begin "), 3);
    assert_int_equal(scripted_drain(&s), 0);
    scripted_drop(&s);
}

/* ---- events, with an SQLite file ---- */

static const char *
sqlite_settings(struct dedup_scene *s, const char *more)
{
    static char text[400];
    snprintf(text, sizeof text, "dedup = { store = \"sqlite\"; path = \"%s/dedup.sqlite\"; %s };", s->dir, more);
    return text;
}

static void
two_workers_of_a_host_handle_each_event_once(void **state)
{
    struct dedup_scene *s = *state;
    for (unsigned i = 0; i < 2; i++)
        dedup_scene_start(s, i, sqlite_settings(s, ""), "delay_ms = 100;");
    send_many(s, 60, 12);
    dedup_scene_await_empty(s);
    assert_each_handled_once(s, 12);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 0, duplicates) + DEDUP_SCENE_COUNT(s, 1, duplicates), 48);
    for (unsigned i = 0; i < 2; i++)
        dedup_scene_drain(s, i);
}

struct rows {
    const char *path, *where;
    int64_t n;
};

static bool
file_has_rows(void *rows)
{
    struct rows *r = rows;
    sqlite3 *db;
    sqlite3_stmt *q = NULL;
    char sql[100];
    int64_t n = -1;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM events WHERE %s", r->where);
    if (sqlite3_open_v2(r->path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n == r->n;
}

static void
await_rows(struct dedup_scene *s, const char *where, int64_t n)
{
    struct rows r = {.path = tmp_path(s->dir, "dedup.sqlite"), .where = where, .n = n};
    if (!proc_wait_until(file_has_rows, &r, DEDUP_SCENE_SOON_MS))
        fail_msg("there are not %lld records with %s", (long long)n, where);
}

static void
an_event_whose_worker_was_killed_is_handled_by_the_next_one(void **state)
{
    struct dedup_scene *s = *state;
    dedup_scene_start(s, 0, sqlite_settings(s, ""), "delay_ms = 60000;");
    dedup_scene_send(s, "event-0.");
    await_rows(s, "completed = 0", 1);
    dedup_scene_await_handler(s, 0);
    dedup_scene_kill(s, 0);
    dedup_scene_pass(s, LEASES_MS);
    dedup_scene_send(s, "event-0.");
    dedup_scene_start(s, 1, sqlite_settings(s, ""), "");
    dedup_scene_await_empty(s);
    assert_each_handled_once(s, 1);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 1, duplicates), 1);
    await_rows(s, "completed = 1", 1);
    dedup_scene_drain(s, 1);
}

/* What only the worker knew, that its delete was never confirmed, is lost with it; the file knows that it was handled.
 */
static void
a_message_that_was_handled_but_not_deleted_by_a_worker_that_died_is_not_handled_again(void **state)
{
    struct dedup_scene *s = *state;
    dedup_scene_fault(s, "{\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"count\": 0}");
    dedup_scene_start(s, 0, sqlite_settings(s, ""), "");
    send_many(s, CAP, CAP);
    await_rows(s, "completed = 1", CAP);
    dedup_scene_kill(s, 0);
    dedup_scene_pass(s, LEASES_MS);
    dedup_scene_fault(s, NULL);
    dedup_scene_start(s, 1, sqlite_settings(s, ""), "");
    dedup_scene_await_empty(s);
    assert_each_handled_once(s, CAP);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 1, duplicates), CAP);
    dedup_scene_drain(s, 1);
}

static bool
a_delete_has_come(void *scene)
{
    return admin_struck(((struct dedup_scene *)scene)->system->url, 0) > 0;
}

/* The worker dies while its delete is on the way: it was never executed, was executed and not answered, or comes too
 * late. */
static void
a_worker_killed_between_done_and_the_confirmed_delete_leaves_nothing_to_be_handled_again(void **state)
{
    struct dedup_scene *s = *state;
    static const char *const FAULTS[] = {"\"kind\": \"drop_before\"", "\"kind\": \"drop_after\"",
                                         "\"kind\": \"delay\", \"delay_ms\": 1500"};
    dedup_scene_start(s, 0, sqlite_settings(s, ""), "");
    for (unsigned i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) {
        char rule[200], id[20];
        snprintf(rule, sizeof rule, "{\"action\": \"sqs:DeleteMessageBatch\", \"count\": 0, %s}", FAULTS[i]);
        snprintf(id, sizeof id, "event-%u.", i);
        dedup_scene_fault(s, rule);
        dedup_scene_send(s, id);
        await_rows(s, "completed = 1", i + 1);
        assert_true(proc_wait_until(a_delete_has_come, s, DEDUP_SCENE_SOON_MS));
        dedup_scene_kill(s, 0);
        dedup_scene_fault(s, NULL);
        dedup_scene_start(s, 0, sqlite_settings(s, ""), "");
        dedup_scene_pass(s, 3000); /* its lease */
        dedup_scene_await_empty(s);
        assert_int_equal(dedup_scene_recorded(s, id), 1);
        dedup_scene_send(s, id); /* the same event in another message */
        DEDUP_SCENE_AWAIT(s, 0, duplicates, 1);
        dedup_scene_await_empty(s);
        assert_int_equal(dedup_scene_recorded(s, id), 1);
    }
    dedup_scene_drain(s, 0);
}

static void
after_the_window_an_event_is_handled_again(void **state)
{
    struct dedup_scene *s = *state;
    dedup_scene_start(s, 0, sqlite_settings(s, "window_s = 3600;"), "");
    for (unsigned i = 0; i < 2; i++) {
        dedup_scene_send(s, "event-0.");
        DEDUP_SCENE_AWAIT(s, 0, deleted, i + 1);
    }
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 1);
    dedup_scene_pass(s, 3601 * 1000);
    dedup_scene_send(s, "event-0.");
    DEDUP_SCENE_AWAIT(s, 0, deleted, 3);
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 2);
    dedup_scene_drain(s, 0);
}

static void
a_store_that_cannot_be_reached_holds_messages_and_is_a_state_of_health(void **state)
{
    struct dedup_scene *s = *state;
    struct ipc_message m = {0};
    dedup_scene_start(
        s, 0, "dedup = { store = \"dynamodb\"; table = \"events\"; endpoint_url = \"http://127.0.0.1:1\"; };", "");
    dedup_scene_send(s, "event-0.");
    do
        assert_true(lone_worker_wait(&s->workers[0], IPC_HEALTH, &m, DEDUP_SCENE_SOON_MS));
    while (m.number == IPC_HEALTH_OK);
    assert_int_equal(m.number, IPC_HEALTH_DEDUP);
    assert_non_null(strstr(m.text, "dedup.table \"events\""));
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 0);
    dedup_scene_drain(s, 0);
    dedup_scene_start(s, 0, "", "");
    dedup_scene_await_empty(s);
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 1);
    dedup_scene_drain(s, 0);
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, dedup_scene_set_up_with_clock, dedup_scene_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCENE(a_message_that_comes_back_because_its_delete_failed_is_deleted_and_not_handled),
        IN_SCENE(a_delete_whose_answer_was_lost_is_sent_again_and_nothing_is_handled_again),
        /* On the machine's clock, on which nobody wakes up without a reason. */
        cmocka_unit_test_setup_teardown(two_workers_of_a_host_handle_each_event_once, dedup_scene_set_up,
                                        dedup_scene_tear_down),
        IN_SCENE(an_event_whose_worker_was_killed_is_handled_by_the_next_one),
        IN_SCENE(a_message_that_was_handled_but_not_deleted_by_a_worker_that_died_is_not_handled_again),
        IN_SCENE(a_worker_killed_between_done_and_the_confirmed_delete_leaves_nothing_to_be_handled_again),
        IN_SCENE(after_the_window_an_event_is_handled_again),
        IN_SCENE(a_store_that_cannot_be_reached_holds_messages_and_is_a_state_of_health),
    };
    const struct CMUnitTest again[] = {
        cmocka_unit_test_teardown(messages_that_come_again_and_again_fail_no_batch_of_deletes, forget_faults),
        cmocka_unit_test_teardown(nor_do_they_when_the_answer_to_a_delete_is_lost, forget_faults),
        cmocka_unit_test_teardown(what_is_delivered_again_before_its_delete_succeeds_is_not_handled_again,
                                  forget_faults),
    };
    int failed = cmocka_run_group_tests_name("dedup", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("redelivery", again, local_fixture_start_with_clock, local_fixture_stop);
    return failed != 0;
}
