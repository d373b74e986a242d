/* The real fanout-worker before the real fanout-local, on a clock that the test moves: what it does while what its
 * handlers depend on is down, how many messages it takes, seen from outside, and that an empty queue costs it nothing.
 *
 * What the engine decides is tests/unit/test_worker_pressure.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "lib/admin.h"
#include "lib/local_queue.h"
#include "lib/lone_worker.h"
#include "lib/seeds.h"
#include "lib/skip.h"
#include "lib/tmp.h"

#define SOON_MS 20000
#define HOUR_MS 3600000

static const uint64_t KEPT_SEEDS[] = {1, 2};

static struct local_queue queue;
static struct lone_worker worker;
static const char *dir;

/* ---- the world ---- */

static void
make_world(const char *attributes)
{
    dir = tmp_new();
    worker = (struct lone_worker){.channel_fd = -1};
    admin_reset(local_fixture.url);
    local_queue_make(&queue, attributes);
}

static void
start_worker(const char *settings, const char *options)
{
    struct buf conf = BUF_INIT;
    struct ipc_message m;
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "test", 1);
    unsetenv("AWS_SESSION_TOKEN");
    buf_add_format(&conf,
                   "log = { level = \"info\"; file = \"%s/log\"; };\n"
                   "aws = { region = \"us-east-1\"; endpoint_url = \"%s\"; };\n"
                   "consumers = ( { name = \"orders\"; queue = \"%s\"; plugin = \"flaky\"; %s\n"
                   "  options = { record = \"%s/record\"; down_file = \"%s/down\"; %s }; } );\n",
                   dir, local_fixture.url, queue.url, settings, dir, dir, options);
    assert_false(buf_failed(&conf));
    lone_worker_start(&worker, conf.data, 8, 4000, NULL, NULL);
    buf_clean_up(&conf);
    assert_true(lone_worker_wait(&worker, IPC_READY, &m, SOON_MS));
}

static bool
has_turned(void *since_ms)
{
    return METRICS_GET(worker.metrics, engine_beat_ms) >= *(int64_t *)since_ms;
}

/* Moves the clock. The worker's engine has seen that when this returns; the server looks each 10 ms at the latest. */
static void
pass(int64_t ms)
{
    local_server_pass(&local_fixture, ms);
    int64_t now_ms = clock_monotonic_ms();
    assert_true(proc_wait_until(has_turned, &now_ms, SOON_MS));
    poll(NULL, 0, 10);
}

static void
end_worker(void)
{
    struct err e;
    assert_int_equal(ipc_send(worker.channel_fd, IPC_DRAIN, 3 * HOUR_MS, NULL, &e), 0);
    struct ipc_message m;
    for (int i = 0; i < 1000 && !lone_worker_wait(&worker, IPC_DRAINED, &m, 20); i++)
        pass(1000); /* the long poll that is outstanding */
    assert_int_equal(lone_worker_end(&worker, SOON_MS), 0);
    lone_worker_clean_up(&worker);
}

static int
end_world(void **state)
{
    (void)state;
    if (worker.pid > 0) {
        kill(worker.pid, SIGKILL);
        lone_worker_end(&worker, SOON_MS);
        lone_worker_clean_up(&worker);
    }
    local_queue_drop(&queue);
    tmp_remove(dir);
    return 0;
}

static void
set_down(bool down)
{
    const char *path = tmp_path(dir, "down");
    if (down)
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    else
        unlink(path);
}

static unsigned
recorded(const char *text)
{
    unsigned n = 0;
    char *record = tmp_read(tmp_path(dir, "record"), NULL);
    for (const char *at = record ? strstr(record, text) : NULL; at; at = strstr(at + 1, text))
        n++;
    free(record);
    return n;
}

static bool
is_open(void *context)
{
    (void)context;
    return METRICS_GET(worker.metrics, breaker_state) == 2 && METRICS_GET(worker.metrics, held) > 0;
}

static long
counted(const char *operation)
{
    char path[80];
    snprintf(path, sizeof path, "operations.sqs:%s.calls", operation);
    int64_t n = admin_figure(local_fixture.url, path);
    return n < 0 ? 0 : (long)n;
}

/* ---- what handlers depend on is down ---- */

#define MESSAGES 1000
#define STEP_MS  15000

static void
an_hour_of_what_is_down_burns_no_receive_and_ends_within_a_pause(void **state)
{
    (void)state;
    struct ipc_message m;
    make_world("{\"VisibilityTimeout\": \"1800\"}"); /* an extension has sixty steps' time to be answered */
    local_queue_send_many(&queue, MESSAGES, "{}", "");
    set_down(true);
    start_worker("threads = 4;", "");
    for (int i = 0; i < 1000 && !is_open(NULL); i++)
        pass(10);
    assert_true(is_open(NULL));
    do
        assert_true(lone_worker_wait(&worker, IPC_HEALTH, &m, SOON_MS));
    while (m.number != IPC_HEALTH_HANDLER);
    assert_string_equal(m.text, "the breaker is open: the file of option down_file is there");
    for (int64_t ms = 0; ms < HOUR_MS; ms += STEP_MS)
        pass(STEP_MS);
    long held = (long)METRICS_GET(worker.metrics, in_flight);
    assert_in_range(held, 10, 80);
    assert_true(counted("ReceiveMessage") <= 20 + 4 * 10); /* a try may bring one more, until hands are full */
    assert_in_range(counted("ChangeMessageVisibilityBatch"), 2, 5 * 9); /* ten a call, each quarter of an hour */
    assert_in_range(recorded(" DOWN 1\n"), 40, 150);
    local_queue_assert_counts(&queue, MESSAGES - held, held, 0);

    set_down(false);
    int64_t waited_ms = 0;
    for (; recorded(" DONE ") == 0 && waited_ms < 10 * 60000; waited_ms += 1000)
        pass(1000);
    assert_in_range(waited_ms, 0, 62000);
    for (int i = 0; i < 600 && METRICS_GET(worker.metrics, deleted) < MESSAGES; i++)
        pass(50);
    assert_int_equal(METRICS_GET(worker.metrics, deleted), MESSAGES);
    assert_int_equal(recorded(" DONE 1\n"), MESSAGES);
    assert_int_equal(recorded(" DONE"), MESSAGES);
    assert_int_equal(METRICS_GET(worker.metrics, lost), 0);
    assert_int_equal(METRICS_GET(worker.metrics, given_back), 0);
    assert_int_equal(METRICS_GET(worker.metrics, retried), 0);
    local_queue_assert_counts(&queue, 0, 0, 0);
    do
        assert_true(lone_worker_wait(&worker, IPC_HEALTH, &m, SOON_MS));
    while (m.number != IPC_HEALTH_OK);
    end_worker();
    char *log = tmp_read(tmp_path(dir, "log"), NULL);
    assert_non_null(strstr(log, "breaker opens"));
    assert_non_null(strstr(log, "breaker closes"));
    free(log);
}

static void
failures_past_the_percentage_stop_the_polls(void **state)
{
    (void)state;
    make_world("{\"VisibilityTimeout\": \"120\"}");
    local_queue_send_many(&queue, 300, "{}", "");
    start_worker("threads = 4; breaker = { failure_percent = 50; min_calls = 10; }; retry = { base_ms = 60000; };",
                 "fail_percent = 100; fail_first_receives = 1;");
    for (int i = 0; i < 1000 && METRICS_GET(worker.metrics, breaker_state) != 2; i++)
        pass(10);
    assert_int_equal(METRICS_GET(worker.metrics, breaker_state), 2);
    for (int i = 0; i < 20; i++)
        pass(100); /* less than the shortest pause */
    long receives = counted("ReceiveMessage");
    assert_true(recorded(" RETRY 1\n") < 80);
    for (int i = 0; i < 4; i++)
        pass(100);
    assert_int_equal(counted("ReceiveMessage"), receives);
    end_worker();
}

/* ---- the rate ---- */

/* 20 a second, and 20 that may come at once: what handlers have had after so many steps of a tenth of a second. */
static void
handlers_get_what_the_rate_allows_and_no_more_is_received(void **state)
{
    (void)state;
    make_world("{}");
    local_queue_send_many(&queue, 120, "{}", "");
    start_worker("threads = 4; rate = { max_per_s = 20; };", "");
    unsigned handled = 0, steps = 0;
    for (; handled < 120 && steps < 300; steps++) {
        handled = recorded(" DONE 1\n");
        assert_true(handled <= 20 + 2 * steps);
        assert_true(METRICS_GET(worker.metrics, received) <= 40 + 2 * steps);
        pass(100);
    }
    assert_int_equal(handled, 120);
    print_message("120 messages in %u tenths of a second\n", steps);
    assert_true(counted("ReceiveMessage") <= 40); /* not one by one */
    end_worker();
}

/* ---- the cap, from outside ---- */

/* Whatever is in flight for the queue is this worker's: it never gives back with a delay here. */
static void
witness_cap(uint64_t *random, const char *attributes)
{
    unsigned threads = 1 + (unsigned)seeds_draw(random, 8), batch = 1 + (unsigned)seeds_draw(random, 25),
             prefetch = (unsigned)seeds_draw(random, 3), cap = threads * batch * (1 + prefetch);
    char settings[500], options[100];
    snprintf(settings, sizeof settings,
             "threads = %u; prefetch = %u; batch = { size = %u; window_ms = %u; }; visibility_timeout_s = %u;\n"
             "rate = { max_per_s = %u; }; breaker = { pause_ms = 300; pause_cap_ms = 2000; };",
             threads, prefetch, batch, seeds_draw(random, 2) ? 0 : (unsigned)seeds_draw(random, 300),
             10 + (unsigned)seeds_draw(random, 30), seeds_draw(random, 2) ? 0 : 50 + (unsigned)seeds_draw(random, 400));
    snprintf(options, sizeof options, "delay_ms = %u;", seeds_draw(random, 2) ? 0 : (unsigned)seeds_draw(random, 3));
    make_world(attributes);
    const bool fifo = strstr(attributes, "Fifo");
    for (int i = 0; i < 200; i += 10) {
        char members[100] = "", body[20];
        snprintf(body, sizeof body, "%d", i / 10);
        for (int group = 0; group < 10; group++) {
            if (fifo)
                snprintf(members, sizeof members, ", \"MessageGroupId\": \"g-%d\"", group);
            local_queue_send_many(&queue, 1, body, members);
        }
    }
    start_worker(settings, options);
    long most = 0;
    for (int i = 0; i < 3000 && METRICS_GET(worker.metrics, deleted) < 200; i++) {
        if (seeds_draw(random, 8) == 0)
            set_down(seeds_draw(random, 3) == 0);
        pass((int64_t)seeds_draw(random, 500));
        long in_flight = local_queue_attribute(&queue, "ApproximateNumberOfMessagesNotVisible");
        most = in_flight > most ? in_flight : most;
        if (in_flight > (long)cap)
            fail_msg("%ld in flight, the cap is %u: %s", in_flight, cap, settings);
    }
    print_message("at most %ld of %u in flight\n", most, cap);
    assert_int_equal(METRICS_GET(worker.metrics, deleted), 200);
    set_down(false);
    end_worker();
    end_world(NULL);
}

static void
no_more_is_in_flight_than_the_cap_in_any_configuration(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed)) {
        witness_cap(&seed, "{}");
        witness_cap(&seed, "{\"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\", "
                           "\"DeduplicationScope\": \"messageGroup\", \"FifoThroughputLimit\": \"perMessageGroupId\"}");
    }
    make_world("{}"); /* for the test's end */
}

/* ---- an empty queue ---- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static long
resident_kb(void)
{
    char path[40];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)worker.pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*s %ld", &pages), 1);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* The next poll has been answered. The server hears of the new time when it is asked for something, and not only when
 * it looks, each 10 ms. */
static void
await_poll(struct aws_call *admin, uint64_t polls)
{
    for (int i = 0; METRICS_GET(worker.metrics, polls) == polls; i++) {
        assert_true(i < SOON_MS);
        assert_int_equal(admin_ask(admin, "GET", "/health", ""), 200);
        sched_yield();
    }
}

static void
await_waiting(struct aws_call *admin, const char *name)
{
    for (int i = 0; admin_ask_queue_figure(admin, name, "waiting") != 1; i++) {
        assert_true(i < SOON_MS);
        sched_yield();
    }
}
#endif

#define IDLE_POLLS       (24 * POLLS_OF_AN_HOUR)
#define POLLS_OF_AN_HOUR (60 * 3)
#define GROWTH_KB        128

static void
an_empty_queue_is_polled_three_times_a_minute_and_memory_does_not_grow_in_24_hours(void **state)
{
    (void)state;
    make_world("{}");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip_because("the sanitizers' own memory grows");
#else
    struct aws_call admin;
    long hour_kb = 0;
    aws_call_init(&admin, local_fixture.url);
    start_worker("", "");
    int64_t began_ms = clock_monotonic_ms();
    for (uint64_t i = 0; i < IDLE_POLLS; i++) {
        await_waiting(&admin, strrchr(queue.url, '/') + 1);
        local_server_pass(&local_fixture, 20000);
        await_poll(&admin, i);
        if (i + 1 == POLLS_OF_AN_HOUR)
            hour_kb = resident_kb();
    }
    long day_kb = resident_kb();
    assert_true(clock_monotonic_ms() - began_ms >= INT64_C(24) * HOUR_MS);
    assert_in_range(counted("ReceiveMessage"), IDLE_POLLS, IDLE_POLLS + 5);
    assert_int_equal(METRICS_GET(worker.metrics, empty_polls), IDLE_POLLS);
    print_message("%ld KiB after an hour, %ld KiB after a day\n", hour_kb, day_kb);
    assert_true(day_kb <= hour_kb + GROWTH_KB);
    aws_call_clean_up(&admin);
    end_worker();
#endif
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_hour_of_what_is_down_burns_no_receive_and_ends_within_a_pause, end_world),
        cmocka_unit_test_teardown(failures_past_the_percentage_stop_the_polls, end_world),
        cmocka_unit_test_teardown(handlers_get_what_the_rate_allows_and_no_more_is_received, end_world),
        cmocka_unit_test_teardown(no_more_is_in_flight_than_the_cap_in_any_configuration, end_world),
        cmocka_unit_test_teardown(an_empty_queue_is_polled_three_times_a_minute_and_memory_does_not_grow_in_24_hours,
                                  end_world),
    };
    return cmocka_run_group_tests_name("pressure", tests, local_fixture_start_with_clock, local_fixture_stop);
}
