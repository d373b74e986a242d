/* The engine as a loop: what ends its waits, and that no turn of it is long. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "lib/http_calls.h"

static void *
wake_engine(void *context)
{
    http_engine_wakeup(context);
    return NULL;
}

static void
a_wakeup_from_another_thread_ends_the_wait(void **state)
{
    (void)state;
    struct err e;
    pthread_t t;
    int64_t began_ms = clock_monotonic_ms();
    assert_int_equal(pthread_create(&t, NULL, wake_engine, http_calls_engine), 0);
    assert_int_equal(http_engine_run(http_calls_engine, HTTP_PATIENCE_MS, &e), 0);
    pthread_join(t, NULL);
    assert_true(clock_monotonic_ms() - began_ms < HTTP_PATIENCE_MS / 2);
}

struct clocked {
    struct timer timer;
    bool fired;
};

static void
fire(struct timer *t, int64_t now_ms)
{
    (void)now_ms;
    ((struct clocked *)t)->fired = true;
}

static void
timers_of_the_loop_fire_while_it_runs(void **state)
{
    (void)state;
    struct clocked c = {.timer.fire = fire};
    assert_int_equal(timers_set(http_engine_timers(http_calls_engine), &c.timer, clock_monotonic_ms() + 20), 0);
    http_calls_run_until(&c.fired);
}

static void
run_until_gives_up_after_its_time(void **state)
{
    (void)state;
    struct err e;
    bool never = false;
    assert_int_equal(http_engine_run_until(http_calls_engine, &never, 20, &e), ERR_TIMEOUT);
}

#define STANDSTILL_MS 3000 /* of the loop: longer than any wait of its own */

struct times {
    bool done;
    int64_t elapsed_ms, age_ms;
};

static void
note_times(void *context, const struct http_response *r)
{
    struct times *t = context;
    assert_int_equal(r->status, 200);
    *t = (struct times){.done = true, .elapsed_ms = r->elapsed_ms, .age_ms = r->age_ms};
}

static void
answer_hello_later(void *context, const struct stub_request *rq, struct stub_answer *a)
{
    http_answer_hello(context, rq, a);
    a->hold = true;
}

static void
the_age_of_an_answer_counts_from_its_first_byte(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello_later, NULL);
    struct times t = {0};
    struct err e;
    const struct http_request q = {.method = "POST",
                                   .url = stub_server_url(s),
                                   .body = SLICE("{\"WaitTimeSeconds\":20}"),
                                   .timeout_ms = HTTP_PATIENCE_MS,
                                   .context = &t};
    struct http_call *c;
    assert_int_equal(http_submit(http_calls_engine, &q, note_times, &c, &e), 0);
    while (stub_server_requests(s) == 0)
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    assert_int_equal(http_engine_run_until(http_calls_engine, &t.done, 500, &e), ERR_TIMEOUT); /* the server waits */
    stub_server_release(s);
    http_calls_run_until(&t.done);
    assert_true(t.elapsed_ms >= 500);
    assert_in_range(t.age_ms, 0, t.elapsed_ms - 400);
    stub_server_stop(s);
}

/* Whoever stood still (stopped, frozen, starved) finds an answer that may have been there all the time. */
static void
the_age_of_an_answer_that_waited_for_a_loop_that_stood_still_counts_from_the_last_look(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_hello_later, NULL);
    struct times t = {0};
    struct err e;
    const struct http_request q = {.method = "POST",
                                   .url = stub_server_url(s),
                                   .body = SLICE("{\"WaitTimeSeconds\":20}"),
                                   .timeout_ms = HTTP_PATIENCE_MS,
                                   .context = &t};
    struct http_call *c;
    assert_int_equal(http_submit(http_calls_engine, &q, note_times, &c, &e), 0);
    while (stub_server_requests(s) == 0)
        assert_int_equal(http_engine_run(http_calls_engine, 10, &e), 0);
    assert_int_equal(http_engine_run_until(http_calls_engine, &t.done, 500, &e), ERR_TIMEOUT);
    stub_server_release(s);
    nanosleep(&(struct timespec){.tv_sec = STANDSTILL_MS / 1000}, NULL);
    http_calls_run_until(&t.done);
    assert_in_range(t.age_ms, STANDSTILL_MS, t.elapsed_ms - 400);
    stub_server_stop(s);
}

/* Longer than a turn may begin callbacks. */
static void
take_long(void *context, const struct http_response *r)
{
    int64_t until_ns = clock_monotonic_ns() + 100000000;
    assert_int_equal(r->status, 200);
    while (clock_monotonic_ns() < until_ns)
        ;
    --*(int *)context;
}

#define PIECES_BYTES   (1 << 18) /* 16 pieces */
#define PIECE_MS       10
#define MOST_IN_A_TURN 8 /* one of each of four calls, and what 20 ms are enough for */

static void
answer_much(void *context, const struct stub_request *r, struct stub_answer *a)
{
    (void)context;
    (void)r;
    buf_add_format(&a->bytes, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", PIECES_BYTES);
    for (int i = 0; i < PIECES_BYTES; i++)
        buf_add_char(&a->bytes, (char)('a' + i % 23));
}

struct slow_reader {
    size_t got, most; /* after most bytes it wants no more */
    bool sound, done;
    int error;
    unsigned *pieces; /* of all readers */
};

static int
read_slowly(void *context, struct slice piece)
{
    struct slow_reader *r = context;
    nanosleep(&(struct timespec){.tv_nsec = PIECE_MS * 1000000}, NULL);
    ++*r->pieces;
    for (size_t i = 0; i < piece.n; i++)
        r->sound = r->sound && piece.p[i] == (char)('a' + (r->got + i) % 23);
    r->got += piece.n;
    return r->got <= r->most ? 0 : -1;
}

static void
note_end(void *context, const struct http_response *response)
{
    struct slow_reader *r = context;
    r->error = response->error.code;
    r->done = true;
}

static void
bytes_that_come_faster_than_they_are_taken_in_do_not_make_one_long_turn(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(answer_much, NULL);
    struct slow_reader readers[4];
    unsigned pieces = 0;
    struct err e;
    for (int i = 0; i < 4; i++) {
        readers[i] =
            (struct slow_reader){.most = i == 2 ? PIECES_BYTES / 2 : PIECES_BYTES, .sound = true, .pieces = &pieces};
        const struct http_request q = {.method = "GET",
                                       .url = stub_server_url(s),
                                       .timeout_ms = HTTP_PATIENCE_MS,
                                       .on_data = read_slowly,
                                       .context = &readers[i]};
        assert_int_equal(http_submit(http_calls_engine, &q, note_end, NULL, &e), 0);
    }
    while (!(readers[0].done && readers[1].done && readers[2].done && readers[3].done)) {
        unsigned before = pieces;
        assert_int_equal(http_engine_run(http_calls_engine, HTTP_PATIENCE_MS, &e), 0);
        assert_in_range(pieces - before, 0, MOST_IN_A_TURN);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(readers[i].sound);
        assert_int_equal(readers[i].error, i == 2 ? ERR_CANCELLED : 0);
        if (i != 2)
            assert_int_equal(readers[i].got, PIECES_BYTES);
    }
    stub_server_stop(s);
}

static void
work_long(void *context, const struct http_response *r)
{
    assert_int_equal(r->status, 200);
    for (clock_t end = clock() + CLOCKS_PER_SEC / 10; clock() < end;) /* CPU time, not the clock's */
        ;
    *(bool *)context = true;
}

static void
the_cpu_time_of_a_turn_is_told(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    struct http_stats stats;
    struct err e;
    bool done = false;
    const struct http_request q = {
        .method = "GET", .url = stub_server_url(s), .timeout_ms = HTTP_PATIENCE_MS, .context = &done};
    struct http_call *c;
    assert_int_equal(http_submit(http_calls_engine, &q, work_long, &c, &e), 0);
    http_calls_run_until(&done);
    assert_int_equal(http_engine_run(http_calls_engine, 0, &e), 0); /* which ends the turn before */
    http_engine_stats(http_calls_engine, &stats);
    assert_in_range(stats.longest_turn_cpu_ms, 80, 200);
    assert_true(stats.longest_turn_ms >= stats.longest_turn_cpu_ms);
    stub_server_stop(s);
}

static void
many_answers_at_once_do_not_make_one_long_turn(void **state)
{
    (void)state;
    struct stub_server *s = stub_server_start(http_answer_hello, NULL);
    struct http_stats stats;
    struct err e;
    int left = 8;
    for (int i = 0; i < 8; i++) {
        const struct http_request q = {
            .method = "GET", .url = stub_server_url(s), .timeout_ms = HTTP_PATIENCE_MS, .context = &left};
        struct http_call *c;
        assert_int_equal(http_submit(http_calls_engine, &q, take_long, &c, &e), 0);
    }
    while (left > 0) { /* during the first callback the other answers come in */
        int before = left;
        assert_int_equal(http_engine_run(http_calls_engine, HTTP_PATIENCE_MS, &e), 0);
        assert_in_range(before - left, 0, 1);
    }
    http_engine_stats(http_calls_engine, &stats);
    assert_true(stats.longest_turn_ms >= 100);
    stub_server_stop(s);
}

int
main(void)
{
    http_calls_unset_proxies();
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_wakeup_from_another_thread_ends_the_wait),
        HTTP_TEST(timers_of_the_loop_fire_while_it_runs),
        HTTP_TEST(run_until_gives_up_after_its_time),
        HTTP_TEST(the_age_of_an_answer_counts_from_its_first_byte),
        HTTP_TEST(the_age_of_an_answer_that_waited_for_a_loop_that_stood_still_counts_from_the_last_look),
        HTTP_TEST(bytes_that_come_faster_than_they_are_taken_in_do_not_make_one_long_turn),
        HTTP_TEST(the_cpu_time_of_a_turn_is_told),
        HTTP_TEST(many_answers_at_once_do_not_make_one_long_turn),
    };
    return cmocka_run_group_tests_name("http_turn", tests, NULL, NULL);
}
