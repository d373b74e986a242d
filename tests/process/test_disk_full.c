/* fanout-local on a disk that is really full (a small file system of the test's own): 503, nothing that was
 * acknowledged is lost, nothing that was refused is there, and it goes on by itself when there is room. What a failed
 * write undoes in memory is test_local_server.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/local.h"
#include "lib/namespace.h"
#include "lib/s3_call.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define DISK_MB    16
#define FILLER_MB  8
#define BODY_BYTES 50000
#define MOST       1000
#define SOON_MS    20000
#define A_FEW      10

static const char *why_not; /* there is no namespace */

struct world {
    const char *folder; /* the disk */
    struct local_server server;
    struct aws_call call;
    char queue[200];
    unsigned sent;
    bool acknowledged[MOST], made[A_FEW];
};

static void
reconnect(struct world *w)
{
    aws_call_clean_up(&w->call);
    aws_call_init(&w->call, w->server.url);
}

static int
set_up(void **state)
{
    *state = NULL;
    if (why_not)
        return 0;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->folder = tmp_new();
    namespace_mount_memory(w->folder, DISK_MB);
    local_server_start_in(&w->server, w->folder);
    local_server_queue(&w->server, "q", "{\"VisibilityTimeout\": \"43200\"}", w->queue, sizeof w->queue);
    reconnect(w);
    struct s3_answer a;
    s3_call(w->server.url, &(struct s3_request){.method = "PUT", .path = "/bucket"}, &a);
    assert_int_equal(a.status, 200);
    s3_answer_clean_up(&a);
    *state = w;
    return 0;
}

static int
tear_down(void **state)
{
    struct world *w = *state;
    if (!w)
        return 0;
    aws_call_clean_up(&w->call);
    local_server_stop(&w->server);
    namespace_unmount(w->folder);
    tmp_remove(w->folder);
    free(w);
    return 0;
}

static struct world *
world_of(void **state)
{
    if (why_not)
        skip_because("%s", why_not);
    return *state;
}

/* ---- the disk ---- */

static void
take_space(struct world *w, const char *name, size_t bytes)
{
    static const char piece[4096];
    int fd = open(tmp_path(w->folder, name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (ssize_t n = 1; bytes > 0 && n > 0; bytes -= n > 0 ? (size_t)n : 0)
        n = write(fd, piece, bytes < sizeof piece ? bytes : sizeof piece);
    close(fd);
}

static void
give_space(struct world *w, const char *name)
{
    assert_int_equal(unlink(tmp_path(w->folder, name)), 0);
}

/* ---- messages ---- */

/* The next message; its status. */
static int
send_one(struct world *w)
{
    static char body[BODY_BYTES + 1];
    assert_true(w->sent < MOST);
    memset(body, 'x', BODY_BYTES);
    body[snprintf(body, sizeof body, "%u", w->sent)] = ' ';
    int status =
        aws_call_sqs(&w->call, "SendMessage", "{\"QueueUrl\": \"%s\", \"MessageBody\": \"%s\"}", w->queue, body);
    w->acknowledged[w->sent++] = status == 200;
    return status;
}

static void
assert_unavailable(const struct world *w)
{
    if (w->call.status != 503 || strcmp(w->call.error, "ServiceUnavailable") != 0)
        fail_msg("%d %s: %s", w->call.status, w->call.error, w->call.message);
}

/* Sends until nothing more fits: SQLite still finds room in its files for a while after the disk has none. */
static void
fill_disk(struct world *w)
{
    take_space(w, "filler", (size_t)FILLER_MB << 20);
    while (send_one(w) == 200)
        ;
    assert_unavailable(w);
    take_space(w, "rest", SIZE_MAX);
    for (unsigned refused = 0; refused < A_FEW;)
        refused = send_one(w) == 200 ? 0 : refused + 1;
    assert_unavailable(w);
}

static bool
one_is_taken(void *context)
{
    return send_one(context) == 200;
}

static unsigned
acknowledged(const struct world *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->sent; i++)
        n += w->acknowledged[i];
    return n;
}

/* All that was acknowledged, once, and nothing else. */
static void
assert_nothing_is_lost(struct world *w)
{
    unsigned seen[MOST] = {0};
    for (size_t n = 1; n > 0;) {
        assert_int_equal(
            aws_call_sqs(&w->call, "ReceiveMessage", "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 10}", w->queue),
            200);
        n = aws_call_count(&w->call, "Messages");
        for (size_t i = 0; i < n; i++) {
            static char body[BODY_BYTES + 100];
            char path[40];
            snprintf(path, sizeof path, "Messages.%zu.Body", i);
            assert_true(aws_call_text(&w->call, path, body, sizeof body));
            unsigned long which = strtoul(body, NULL, 10);
            assert_true(which < w->sent && strlen(body) == BODY_BYTES);
            seen[which]++;
        }
    }
    for (unsigned i = 0; i < w->sent; i++)
        if (seen[i] != w->acknowledged[i])
            fail_msg("message %u: %s, received %u times", i, w->acknowledged[i] ? "acknowledged" : "refused", seen[i]);
}

/* ---- tests ---- */

/* Small things may find room yet; then they are there, or else it is 503 as well. */
static void
make_queues(struct world *w)
{
    for (unsigned i = 0; i < A_FEW; i++) {
        aws_call_sqs(&w->call, "CreateQueue", "{\"QueueName\": \"other-%u\"}", i);
        w->made[i] = w->call.status == 200;
        if (!w->made[i])
            assert_unavailable(w);
    }
}

static void
assert_queues_are_as_answered(struct world *w)
{
    for (unsigned i = 0; i < A_FEW; i++) {
        aws_call_sqs(&w->call, "GetQueueUrl", "{\"QueueName\": \"other-%u\"}", i);
        assert_int_equal(w->call.status, w->made[i] ? 200 : 400);
    }
}

static void
assert_objects_are_refused(struct world *w)
{
    static char body[10 * BODY_BYTES];
    struct s3_answer a;
    for (unsigned i = 0; i < A_FEW; i++) {
        s3_call(w->server.url,
                &(struct s3_request){.method = "PUT", .path = "/bucket/key", .body = slice_of(body, sizeof body)}, &a);
        assert_int_equal(a.status, 503);
        s3_answer_clean_up(&a);
    }
    s3_call(w->server.url, &(struct s3_request){.method = "GET", .path = "/bucket/key"}, &a);
    assert_int_equal(a.status, 404);
    s3_answer_clean_up(&a);
}

static void
a_full_disk_is_503_until_there_is_room_and_loses_nothing(void **state)
{
    struct world *w = world_of(state);
    fill_disk(w);
    assert_true(acknowledged(w) > A_FEW);
    make_queues(w);
    assert_objects_are_refused(w);
    give_space(w, "rest");
    give_space(w, "filler");
    assert_true(proc_wait_until(one_is_taken, w, SOON_MS)); /* by itself */
    for (int i = 0; i < A_FEW; i++)
        assert_int_equal(send_one(w), 200);
    assert_queues_are_as_answered(w);
    assert_nothing_is_lost(w);
}

static struct proc *
start_another(const char *data)
{
    return proc_spawn((const char *[]){proc_path("bin/fanout-local"), "--listen", "127.0.0.1:0", "--data", data,
                                       "--no-provision", NULL},
                      NULL);
}

/* There may be room in its files for what a start writes, or it ends. */
static void
restart_in_vain(struct world *w)
{
    local_server_kill(&w->server);
    struct proc *p = start_another(w->folder);
    if (proc_wait_line(p, "READY ", SOON_MS)) {
        proc_signal(p, SIGKILL);
        assert_int_equal(proc_wait_exit(p, SOON_MS), -SIGKILL);
    } else {
        assert_int_equal(proc_wait_exit(p, SOON_MS), 1);
        assert_non_null(strstr(proc_stderr(p), "disk is full"));
    }
    proc_destroy(p);
}

static void
what_was_acknowledged_outlives_kills_on_a_full_disk(void **state)
{
    struct world *w = world_of(state);
    fill_disk(w);
    make_queues(w);
    restart_in_vain(w);
    give_space(w, "rest");
    give_space(w, "filler");
    local_server_restart(&w->server);
    snprintf(w->queue, sizeof w->queue, "%s/000000000000/q", w->server.url);
    reconnect(w);
    assert_queues_are_as_answered(w);
    assert_nothing_is_lost(w);
}

static void
a_first_start_on_a_full_disk_is_refused_with_the_reason(void **state)
{
    struct world *w = world_of(state);
    const char *data = tmp_path(w->folder, "other");
    assert_int_equal(mkdir(data, 0700), 0);
    take_space(w, "filler", SIZE_MAX);
    struct proc *p = start_another(data);
    assert_int_equal(proc_wait_exit(p, SOON_MS), 1);
    assert_non_null(strstr(proc_stderr(p), "No space left on device"));
    assert_non_null(strstr(proc_stderr(p), data));
    proc_destroy(p);
    give_space(w, "filler");
    p = start_another(data);
    assert_non_null(proc_wait_line(p, "READY ", SOON_MS));
    proc_signal(p, SIGTERM);
    assert_int_equal(proc_wait_exit(p, SOON_MS), 0);
    proc_destroy(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    why_not = namespace_enter(false);
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_is_503_until_there_is_room_and_loses_nothing),
        TEST(what_was_acknowledged_outlives_kills_on_a_full_disk),
        TEST(a_first_start_on_a_full_disk_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests_name("disk_full", tests, NULL, NULL);
}
