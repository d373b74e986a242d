/* The store of fanout-local: jobs in turns. What it leaves on the disk is in test_local_store_disk.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/tmp.h"
#include "lib/words.h"

static struct clock_page *the_clock;

static void
what_is_finished_is_there_after_a_restart(void **state)
{
    (void)state;
    struct words w;
    const char *folder = tmp_new();
    words_start(&w, folder);
    struct word_job a = WORD_JOB(&w, .word = "one"), b = WORD_JOB(&w, .word = "two");
    store_submit(w.store, &a.job);
    store_submit(w.store, &b.job);
    assert_int_equal(words_wait(&a), 0);
    assert_int_equal(words_wait(&b), 0);
    store_destroy(w.store);
    words_start(&w, folder);
    assert_int_equal(w.count_loaded, 2);
    store_destroy(w.store);
}

static void
jobs_that_wait_share_one_turn_and_run_in_order(void **state)
{
    (void)state;
    struct words w;
    struct words_holder h;
    words_start(&w, NULL);
    struct word_job jobs[100];
    char text[100][16];
    words_hold_writer(&h, &w);
    struct store_stats before, after;
    store_get_stats(w.store, &before);
    for (int i = 0; i < 100; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        jobs[i] = (struct word_job)WORD_JOB(&w, .word = text[i]);
        store_submit(w.store, &jobs[i].job);
    }
    words_release_writer(&h);
    for (int i = 0; i < 100; i++)
        assert_int_equal(words_wait(&jobs[i]), 0);
    store_get_stats(w.store, &after);
    assert_int_equal(after.turns - before.turns, 1);
    assert_int_equal(words_count(&w), 100);
    store_destroy(w.store);
}

static void
a_job_that_fails_leaves_nothing_and_harms_no_other(void **state)
{
    (void)state;
    struct words w;
    struct words_holder h;
    words_start(&w, NULL);
    struct word_job good = WORD_JOB(&w, .word = "good"), twice = WORD_JOB(&w, .word = "x", .second = "x"),
                    told = WORD_JOB(&w, .word = "y", .fails = true), last = WORD_JOB(&w, .word = "last");
    words_hold_writer(&h, &w);
    store_submit(w.store, &good.job);
    store_submit(w.store, &twice.job);
    store_submit(w.store, &told.job);
    store_submit(w.store, &last.job);
    words_release_writer(&h);
    assert_int_equal(words_wait(&good), 0);
    assert_int_equal(words_wait(&twice), ERR_IO);
    assert_int_equal(words_wait(&told), ERR_INVALID);
    assert_int_equal(words_wait(&last), 0);
    assert_int_equal(words_count(&w), 2);
    assert_int_equal(good.runs, 2);
    store_destroy(w.store);
}

static int
limit_pages(struct store_tx *tx, void *context)
{
    return store_exec(tx, *(bool *)context ? "PRAGMA max_page_count = 1" : "PRAGMA max_page_count = 1000000");
}

static void
a_full_disk_fails_what_writes_until_there_is_room(void **state)
{
    (void)state;
    struct words w;
    const char *folder = tmp_new();
    words_start(&w, folder);
    bool full = true;
    char *big = calloc(1, 100001);
    memset(big, 'b', 100000);
    assert_int_equal(store_call(w.store, limit_pages, &full, NULL), 0);
    struct word_job a = WORD_JOB(&w, .word = "small", .second = big);
    store_submit(w.store, &a.job);
    assert_int_equal(words_wait(&a), ERR_UNAVAILABLE);
    assert_int_equal(words_count(&w), 0);
    full = false;
    assert_int_equal(store_call(w.store, limit_pages, &full, NULL), 0);
    struct word_job b = WORD_JOB(&w, .word = "small", .second = big);
    store_submit(w.store, &b.job);
    assert_int_equal(words_wait(&b), 0);
    assert_int_equal(words_count(&w), 2);
    store_destroy(w.store);
    free(big);
}

static void
a_parked_job_is_finished_when_it_is_due(void **state)
{
    (void)state;
    struct words w;
    words_start(&w, NULL);
    atomic_store(&the_clock->frozen_at_ms, clock_wall_ms());
    struct word_job a = WORD_JOB(&w, .parks = true), b = WORD_JOB(&w, .word = "meanwhile");
    store_submit(w.store, &a.job);
    store_submit(w.store, &b.job);
    words_wait(&b);
    assert_false(words_is_over(&a));
    struct words_holder h;
    words_hold_writer(&h, &w);
    w.due_ms = clock_wall_ms() + 60000;
    words_release_writer(&h);
    assert_int_equal(words_count(&w), 1);
    assert_false(words_is_over(&a));
    atomic_fetch_add(&the_clock->offset_ms, 61000); /* the store's clock may stand some ms beside the wall's */
    assert_int_equal(words_wait(&a), 0);
    atomic_store(&the_clock->frozen_at_ms, 0);
    store_destroy(w.store);
}

static void
parked_jobs_survive_the_failure_of_the_turn_that_completes_them(void **state)
{
    (void)state;
    struct words w;
    struct words_holder h;
    words_start(&w, NULL);
    struct word_job parked = WORD_JOB(&w, .parks = true), bad = WORD_JOB(&w, .word = "x", .second = "x");
    store_submit(w.store, &parked.job);
    words_hold_writer(&h, &w);
    w.due_ms = INT64_MIN; /* the next turn completes it */
    w.turn_fails = true;  /* and is undone */
    words_release_writer(&h);
    store_submit(w.store, &bad.job);
    assert_int_equal(words_wait(&bad), ERR_IO);
    assert_false(words_is_over(&parked));
    words_hold_writer(&h, &w);
    w.turn_fails = false;
    words_release_writer(&h);
    assert_int_equal(words_wait(&parked), 0); /* a turn that failed is tried again by itself */
    store_destroy(w.store);
}

static void
stopping_finishes_what_was_submitted_and_what_is_parked_and_refuses_more(void **state)
{
    (void)state;
    struct words w;
    struct words_holder h;
    words_start(&w, NULL);
    struct word_job parked = WORD_JOB(&w, .parks = true), last = WORD_JOB(&w, .word = "last"),
                    late = WORD_JOB(&w, .word = "late");
    store_submit(w.store, &parked.job);
    words_hold_writer(&h, &w);
    store_submit(w.store, &last.job);
    words_release_writer(&h);
    store_stop(w.store);
    assert_true(words_is_over(&last) && words_is_over(&parked));
    assert_int_equal(last.outcome, 0);
    store_submit(w.store, &late.job);
    assert_true(words_is_over(&late));
    assert_int_equal(late.outcome, ERR_CANCELLED);
    store_destroy(w.store);
}

static int
read_times(struct store_tx *tx, void *context)
{
    int64_t *times = context;
    times[0] = store_now_ms(tx);
    times[1] = store_wall_ms(tx, times[0]);
    return 0;
}

static void
time_never_goes_back_and_is_shown_as_the_wall_clock_has_it(void **state)
{
    (void)state;
    struct words w;
    int64_t a[2], b[2], c[2];
    words_start(&w, NULL);
    store_call(w.store, read_times, a, NULL);
    atomic_store(&the_clock->wall_skew_ms, -3600000);
    store_call(w.store, read_times, b, NULL);
    assert_in_range(b[0] - a[0], 0, 30000);
    assert_in_range(a[1] - b[1], 3600000 - 30000, 3600000);
    atomic_fetch_add(&the_clock->offset_ms, -86400000);
    store_call(w.store, read_times, c, NULL);
    assert_in_range(c[0] - b[0], 0, 30000);
    atomic_fetch_add(&the_clock->offset_ms, 86400000);
    atomic_store(&the_clock->wall_skew_ms, 0);
    store_destroy(w.store);
}

int
main(void)
{
    struct err e;
    char path[512];
    snprintf(path, sizeof path, "%s/clock", tmp_new());
    if (clock_page_create(path, &the_clock, &e) != 0)
        return 1;
    setenv("FANOUT_TEST_CLOCK", path, 1);
    if (clock_init(&e) != 0)
        return 1;

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_finished_is_there_after_a_restart),
        cmocka_unit_test(jobs_that_wait_share_one_turn_and_run_in_order),
        cmocka_unit_test(a_job_that_fails_leaves_nothing_and_harms_no_other),
        cmocka_unit_test(a_full_disk_fails_what_writes_until_there_is_room),
        cmocka_unit_test(a_parked_job_is_finished_when_it_is_due),
        cmocka_unit_test(parked_jobs_survive_the_failure_of_the_turn_that_completes_them),
        cmocka_unit_test(stopping_finishes_what_was_submitted_and_what_is_parked_and_refuses_more),
        cmocka_unit_test(time_never_goes_back_and_is_shown_as_the_wall_clock_has_it),
    };
    return cmocka_run_group_tests_name("local/store", tests, NULL, NULL);
}
