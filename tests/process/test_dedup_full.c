/* A deduplication file on a disk that is really full (a small file system of the test's own): messages wait for it
 * under lease, which is said once; what could not be noted is counted; and the worker goes on by itself when there is
 * room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/dedup_scene.h"
#include "lib/namespace.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define DISK_MB 1
#define BEFORE  3
#define HELD    4

#define LEASE_MS 20000 /* start */

static const char *why_not; /* there is no namespace */
static const char *disk;

static int
set_up(void **state)
{
    *state = NULL;
    if (why_not)
        return 0;
    disk = tmp_new();
    namespace_mount_memory(disk, DISK_MB);
    return dedup_scene_set_up_with_clock(state);
}

static int
tear_down(void **state)
{
    if (!*state)
        return 0;
    dedup_scene_tear_down(state);
    namespace_unmount(disk);
    tmp_remove(disk);
    return 0;
}

static struct dedup_scene *
scene_of(void **state)
{
    if (why_not)
        skip_because("%s", why_not);
    return *state;
}

static void
fill_disk(void)
{
    static const char piece[4096];
    int fd = open(tmp_path(disk, "filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, piece, sizeof piece) > 0)
        ;
    close(fd);
}

static void
make_room(void)
{
    assert_int_equal(unlink(tmp_path(disk, "filler")), 0);
}

static void
start(struct dedup_scene *s, const char *options)
{
    char settings[200];
    snprintf(settings, sizeof settings,
             "visibility_timeout_s = 20; dedup = { store = \"sqlite\"; path = \"%s/dedup.sqlite\"; };", disk);
    dedup_scene_start(s, 0, settings, options);
}

static void
send_events(struct dedup_scene *s, const char *name, unsigned n)
{
    char id[40];
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof id, "%s-%u.", name, i);
        dedup_scene_send(s, id);
    }
}

static size_t
logged(struct dedup_scene *s, const char *text)
{
    size_t n = 0;
    char *log = tmp_read(tmp_path(s->dir, "log-0"), NULL);
    for (const char *at = log; at && (at = strstr(at, text)); at++)
        n++;
    free(log);
    return n;
}

static void
await_health(struct dedup_scene *s, enum ipc_health health, struct ipc_message *m)
{
    do
        assert_true(lone_worker_wait(&s->workers[0], IPC_HEALTH, m, DEDUP_SCENE_SOON_MS));
    while (m->number != (int64_t)health);
}

struct goal {
    struct dedup_scene *s;
    _Atomic uint64_t *counter;
    uint64_t n;
    unsigned long extended; /* when the clock had passed for so long */
    int64_t passed_ms;
};

/* Lets half a second of the clock pass each time it is asked, but never a lease before it was extended. */
static bool
is_reached(void *context)
{
    struct goal *g = context;
    unsigned long extended = DEDUP_SCENE_COUNT(g->s, 0, extended);
    if (extended != g->extended)
        g->passed_ms = 0;
    g->extended = extended;
    if (g->passed_ms < LEASE_MS * 3 / 4) {
        dedup_scene_pass(g->s, 500);
        g->passed_ms += 500;
    }
    return atomic_load(g->counter) >= g->n;
}

#define PASS_UNTIL(s, name, at_least)                                                                                  \
    assert_true(proc_wait_until(is_reached,                                                                            \
                                &(struct goal){.s = (s), .counter = &(s)->workers[0].metrics->name, .n = at_least},    \
                                DEDUP_SCENE_SOON_MS))

static void
messages_wait_for_a_full_disk_under_lease_which_is_one_error_and_go_on_when_there_is_room(void **state)
{
    struct dedup_scene *s = scene_of(state);
    struct ipc_message m = {0};
    start(s, "");
    send_events(s, "before", BEFORE);
    DEDUP_SCENE_AWAIT(s, 0, deleted, BEFORE);

    fill_disk();
    send_events(s, "held", HELD);
    await_health(s, IPC_HEALTH_DEDUP, &m);
    assert_non_null(strstr(m.text, "disk is full"));
    PASS_UNTIL(s, dedup_errors, 3);    /* it is asked again, by one at a time */
    PASS_UNTIL(s, extended, 2 * HELD); /* and is held meanwhile */
    assert_int_equal(dedup_scene_recorded(s, "held-"), 0);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 0, received), BEFORE + HELD);
    assert_int_equal(logged(s, " ERROR "), 1);
    assert_int_equal(logged(s, "disk is full; make room"), logged(s, "deduplication store failed"));

    make_room();
    PASS_UNTIL(s, deleted, BEFORE + HELD);
    await_health(s, IPC_HEALTH_OK, &m);
    dedup_scene_await_empty(s);
    assert_int_equal(dedup_scene_recorded(s, "held-"), HELD);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 0, received), BEFORE + HELD);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 0, lost), 0);
    send_events(s, "before", BEFORE); /* all of it is still known */
    send_events(s, "held", HELD);
    PASS_UNTIL(s, duplicates, BEFORE + HELD);
    assert_int_equal(dedup_scene_recorded(s, "-"), dedup_scene_recorded(s, " DONE 1 "));
    assert_int_equal(dedup_scene_recorded(s, " DONE 1 "), BEFORE + HELD);
    assert_int_equal(logged(s, " ERROR "), 1);
    dedup_scene_drain(s, 0);
}

static void
what_was_handled_and_could_not_be_noted_is_deleted_counted_and_named(void **state)
{
    struct dedup_scene *s = scene_of(state);
    start(s, "delay_ms = 500;");
    send_events(s, "event", 1);
    dedup_scene_await_handler(s, 0);
    fill_disk();
    DEDUP_SCENE_AWAIT(s, 0, deleted, 1);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 0, dedup_uncompleted), 1);
    assert_int_equal(logged(s, "handled, but its event could not be noted"), 1);
    dedup_scene_await_empty(s);

    send_events(s, "event", 1); /* as was said: the same event is handled again, but not while the disk is full */
    PASS_UNTIL(s, extended, 2);
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 1);
    make_room();
    PASS_UNTIL(s, deleted, 2);
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 2);
    send_events(s, "event", 1);
    PASS_UNTIL(s, duplicates, 1);
    dedup_scene_await_empty(s);
    assert_int_equal(dedup_scene_recorded(s, "event-0."), 2);
    assert_int_equal(DEDUP_SCENE_COUNT(s, 0, dedup_uncompleted), 1);
    dedup_scene_drain(s, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    why_not = namespace_enter(false);
    const struct CMUnitTest tests[] = {
        TEST(messages_wait_for_a_full_disk_under_lease_which_is_one_error_and_go_on_when_there_is_room),
        TEST(what_was_handled_and_could_not_be_noted_is_deleted_counted_and_named),
    };
    return cmocka_run_group_tests_name("dedup_full", tests, NULL, NULL);
}
