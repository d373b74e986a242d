/* The real fanoutd and fanout-worker against an SQS that fails: what is sent again, and what is not (the faults
 * themselves, one by one, are test_fault_matrix.c's). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "lib/faulty_sqs.h"
#include "lib/proc.h"
#include "lib/tmp.h"

#define SOON_MS  90000 /* the backoffs of an outage, on a machine under load */
#define PACED_MS 400   /* three failed polls in a row are at least so long apart: two pauses of 200 ms or more */

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

/* A consumer for each queue; what its handler did is in DIR/NAME. */
static void
start_fleet(struct world *w, const char *endpoint, const struct faulty_queue *queues, size_t n)
{
    struct buf text = BUF_INIT;
    char variable[100];
    for (size_t i = 0; i < n; i++)
        buf_add_format(&text,
                       "%s{ name = \"%s\"; queue = \"%s\"; plugin = \"flaky\"; threads = 2;\n"
                       "   options = { record = \"%s/%s\"; }; }",
                       i > 0 ? ",\n  " : "consumers = ( ", queues[i].name, queues[i].name, w->dir, queues[i].name);
    const char *conf = tmp_write(w->dir, "fanoutd.conf", "%s );\n", text.data);
    buf_clean_up(&text);
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL=%s", endpoint);
    const char *env[] = {"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1", variable, NULL};
    const char *argv[] = {proc_path("bin/fanoutd"), "-c", conf, NULL};
    w->fleet = proc_spawn(argv, env);
    assert_non_null(proc_wait_line(w->fleet, "msg=ready consumers=", SOON_MS));
}

/* Afterwards the queues are the test's own again. */
static void
end_fleet(struct world *w)
{
    proc_signal(w->fleet, SIGTERM);
    assert_int_equal(proc_wait_exit(w->fleet, SOON_MS), 0);
    faulty_sqs_stop(w->sqs);
    w->sqs = NULL;
}

static bool
nothing_is_left(void *context)
{
    return faulty_sqs_left(context) == 0;
}

static size_t
count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Each message once. */
static void
assert_handled_once(const struct world *w, const struct faulty_queue *q)
{
    char *text = tmp_read(tmp_path(w->dir, q->name), NULL);
    assert_non_null(text);
    for (unsigned i = 0; i < FAULTY_MESSAGES; i++) {
        char line[100];
        snprintf(line, sizeof line, "%s-%u ", q->name, i);
        if (!strstr(text, line))
            fail_msg("%s was not handled", line);
    }
    if (count_lines(text) != FAULTY_MESSAGES)
        fail_msg("%s: not each message was handled once:\n%s", q->name, text);
    free(text);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void
deletes_that_fail_are_sent_again_and_nothing_is_handled_again(void **state)
{
    struct world *w = *state;
    struct faulty_queue queues[] = {{.name = "lost", .kind = FAULTY_DELETE_LOST, .faults = 1},
                                    {.name = "partly", .kind = FAULTY_DELETE_PARTLY},
                                    {.name = "failing", .kind = FAULTY_DELETE_FAILING}};
    w->sqs = faulty_sqs_start(queues, COUNT(queues), 0);
    start_fleet(w, faulty_sqs_url(w->sqs), queues, COUNT(queues));
    assert_true(proc_wait_until(nothing_is_left, w->sqs, SOON_MS));
    end_fleet(w);
    for (size_t i = 0; i < COUNT(queues); i++)
        assert_handled_once(w, &queues[i]);
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
    struct faulty_queue q = {.name = "md5", .kind = FAULTY_MD5};
    w->sqs = faulty_sqs_start(&q, 1, 0);
    start_fleet(w, faulty_sqs_url(w->sqs), &q, 1);
    assert_non_null(proc_wait_line(w->fleet, "their MD5 does not match", SOON_MS));
    assert_true(proc_wait_until(nothing_is_left, w->sqs, SOON_MS));
    end_fleet(w);
    assert_handled_once(w, &q);
    for (unsigned i = 0; i < FAULTY_MESSAGES; i++)
        assert_int_equal(q.received[i], 2);
}

/* A port nobody listens on, kept from others by the socket. */
static int
refusing_port(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*ret_fd >= 0 && bind(*ret_fd, (struct sockaddr *)&address, size) == 0 &&
                getsockname(*ret_fd, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.sin_port);
}

static void
a_queue_that_refuses_connections_at_the_start_is_waited_for(void **state)
{
    struct world *w = *state;
    struct faulty_queue q = {.name = "late"};
    int fd, port = refusing_port(&fd);
    char url[60];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    start_fleet(w, url, &q, 1);
    assert_non_null(proc_wait_line(w->fleet, "the queue cannot be reached yet", SOON_MS));
    close(fd);
    w->sqs = faulty_sqs_start(&q, 1, port);
    assert_true(proc_wait_until(nothing_is_left, w->sqs, SOON_MS));
    assert_int_equal(proc_count_lines(w->fleet, "worker started"), 1); /* an outage is no restart loop */
    end_fleet(w);
    assert_handled_once(w, &q);
}

static void
an_outage_does_not_hold_up_the_end(void **state)
{
    struct world *w = *state;
    struct faulty_queue queues[] = {{.name = "gone", .kind = FAULTY_ERROR, .faults = 1000000},
                                    {.name = "silent", .kind = FAULTY_RESET, .faults = 1000000}};
    w->sqs = faulty_sqs_start(queues, COUNT(queues), 0);
    start_fleet(w, faulty_sqs_url(w->sqs), queues, COUNT(queues));
    assert_non_null(proc_wait_line(w->fleet, "receive failed", SOON_MS));
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
