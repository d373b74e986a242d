#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/metrics_text.h"
#include "lib/prometheus.h"

/* ---- counting and reading ---- */

static void
a_value_is_counted_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    struct metrics m = {0};
    const uint64_t *bounds = metrics_table[METRIC_start_wait].bounds;
    const uint32_t n = metrics_table[METRIC_start_wait].n_bounds;
    for (uint32_t i = 0; i < n; i++) {
        METRICS_OBSERVE(&m, start_wait, (int64_t)bounds[i]);     /* a bound is within its bucket */
        METRICS_OBSERVE(&m, start_wait, (int64_t)bounds[i] + 1); /* and what is above it in the next */
    }
    METRICS_OBSERVE(&m, start_wait, INT64_MAX);
    struct metrics_reading r = {0};
    metrics_read(&m, METRIC_start_wait, &r);
    uint64_t count = 0;
    for (uint32_t i = 0; i <= n; i++)
        count += r.bucket[i];
    assert_int_equal(count, 2 * n + 1);
    assert_int_equal(r.bucket[n], 2);
    assert_true(r.bucket[0] >= 1);
}

static void
a_value_below_zero_counts_as_zero(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct metrics_reading r = {0};
    METRICS_OBSERVE(&m, message_age, -5000);
    metrics_read(&m, METRIC_message_age, &r);
    assert_int_equal(r.bucket[0], 1);
    assert_int_equal(r.value, 0);
}

static void
bounds_rise_and_leave_room_for_one_more_bucket(void **state)
{
    (void)state;
    for (int id = 0; id < METRICS; id++) {
        const struct metrics_description *d = &metrics_table[id];
        if (d->kind != METRICS_HISTOGRAM)
            continue;
        assert_in_range(d->n_bounds, 1, METRICS_BOUNDS);
        for (uint32_t i = 0; i < d->n_bounds; i++)
            assert_true(d->bounds[i] < d->bounds[i + 1]);
        assert_true(d->bounds[d->n_bounds] == UINT64_MAX);
    }
}

static void
figures_of_several_workers_add_up(void **state)
{
    (void)state;
    struct metrics first = {0}, second = {0}, sum = {0};
    METRICS_COUNT(&first, received, 3);
    METRICS_COUNT(&second, received, 4);
    METRICS_COUNT(&second, log_dropped, 1); /* the last counter */
    METRICS_OBSERVE_N(&first, in_hand, 7, 10);
    METRICS_OBSERVE(&second, in_hand, 8);
    metrics_add(&sum, &first);
    struct metrics_reading received = {0}, dropped = {0}, in_hand = {0};
    metrics_read(&sum, METRIC_received, &received);
    metrics_read(&second, METRIC_received, &received);
    assert_int_equal(received.value, 7);
    metrics_add(&sum, &second);
    metrics_read(&sum, METRIC_log_dropped, &dropped);
    assert_int_equal(dropped.value, 1);
    metrics_read(&sum, METRIC_in_hand, &in_hand);
    assert_int_equal(in_hand.value, 78);
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        count += in_hand.bucket[i];
    assert_int_equal(count, 11);
}

static void
a_run_is_as_if_each_of_its_values_had_been_observed(void **state)
{
    (void)state;
    struct metrics one = {0}, other = {0};
    struct metrics_run run = METRICS_RUN(&other, start_wait);
    static const int64_t values[] = {0, 1, 1, -5, 3, 3, 40000, 999999999, 999999999, 2, 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        METRICS_OBSERVE(&one, start_wait, values[i]);
        metrics_run_add(&run, values[i]);
    }
    metrics_run_end(&run);
    metrics_run_end(&run); /* nothing more */
    struct metrics_reading expected = {0}, is = {0};
    metrics_read(&one, METRIC_start_wait, &expected);
    metrics_read(&other, METRIC_start_wait, &is);
    assert_memory_equal(&is, &expected, sizeof is);
}

static void *
observe_a_lot(void *metrics)
{
    struct metrics *m = metrics;
    for (int i = 0; i < 100000; i++)
        METRICS_OBSERVE(m, batch_messages, i % 20000);
    return NULL;
}

static void
nothing_is_missed_when_threads_count_together(void **state)
{
    (void)state;
    static struct metrics m;
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, observe_a_lot, &m), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    struct metrics_reading r = {0};
    metrics_read(&m, METRIC_batch_messages, &r);
    assert_int_equal(r.value, UINT64_C(4) * 5 * 19999 * 20000 / 2);
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BOUNDS; i++)
        count += r.bucket[i];
    assert_int_equal(count, 400000);
}

static void
gauges_are_shown_in_seconds_and_as_ages(void **state)
{
    (void)state;
    struct metrics m = {0};
    assert_true(metrics_gauge(&m, METRIC_engine_beat_ms, 5000, 9000) == 0); /* none yet */
    METRICS_SET(&m, engine_beat_ms, 4000);
    METRICS_SET(&m, oldest_sent_at_ms, 1500);
    METRICS_SET(&m, longest_turn_ms, 12);
    METRICS_SET(&m, in_flight, 42);
    assert_true(metrics_gauge(&m, METRIC_engine_beat_ms, 5000, 9000) == 1);
    assert_true(metrics_gauge(&m, METRIC_oldest_sent_at_ms, 5000, 9000) == 7.5);
    assert_true(metrics_gauge(&m, METRIC_longest_turn_ms, 5000, 9000) == 0.012);
    assert_true(metrics_gauge(&m, METRIC_in_flight, 5000, 9000) == 42);
}

/* ---- as text ---- */

static void
no_two_have_one_name_and_each_has_help(void **state)
{
    (void)state;
    for (int a = 0; a < METRICS; a++) {
        assert_true(metrics_table[a].help && metrics_table[a].help[0]);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(metrics_table[a].name, metrics_table[b].name);
    }
}

static void
a_histogram_is_written_as_prometheus_wants_it(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct metrics_reading r = {0};
    struct buf out = BUF_INIT;
    const struct metrics_label labels[] = {{"consumer", "orders"}};
    METRICS_OBSERVE(&m, handler_call, 90);                /* us */
    METRICS_OBSERVE(&m, handler_call, 2500000);           /* 2.5 s */
    METRICS_OBSERVE(&m, handler_call, INT64_C(10) << 30); /* past all bounds */
    metrics_read(&m, METRIC_handler_call, &r);
    metrics_text_family(&out, METRIC_handler_call);
    metrics_text_histogram(&out, METRIC_handler_call, labels, 1, &r);
    assert_string_equal(out.data, "# HELP fanout_handler_call_seconds how long a handler call took\n"
                                  "# TYPE fanout_handler_call_seconds histogram\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"1e-05\"} 0\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.0001\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.0005\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.001\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.005\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.01\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.025\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.05\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.1\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.25\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"0.5\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"1\"} 1\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"5\"} 2\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"30\"} 2\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"120\"} 2\n"
                                  "fanout_handler_call_seconds_bucket{consumer=\"orders\",le=\"+Inf\"} 3\n"
                                  "fanout_handler_call_seconds_sum{consumer=\"orders\"} 10739.91833\n"
                                  "fanout_handler_call_seconds_count{consumer=\"orders\"} 3\n");
    buf_clean_up(&out);
}

static void
labels_are_escaped(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    const struct metrics_label labels[] = {{"version", "a\\b\"c\nd"}};
    metrics_text_count(&out, METRIC_build_info, labels, 1, 1);
    metrics_text_value(&out, METRIC_uptime, NULL, 0, 1.5);
    assert_string_equal(out.data, "fanout_build_info{version=\"a\\\\b\\\"c\\nd\"} 1\nfanout_uptime_seconds 1.5\n");
    buf_clean_up(&out);
}

static void
everything_is_clean_by_a_strict_reader(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    const struct metrics_label labels[] = {{"consumer", "a\"}\n"}, {"slot", "0"}};
    struct metrics m = {0};
    METRICS_OBSERVE(&m, delete_call, 4);
    for (int id = 0; id < METRICS; id++) {
        struct metrics_reading r = {0};
        metrics_text_family(&out, (enum metrics_id)id);
        if (metrics_table[id].kind != METRICS_HISTOGRAM) {
            metrics_text_value(&out, (enum metrics_id)id, labels, 2, 1);
            continue;
        }
        metrics_read(&m, (enum metrics_id)id, &r);
        metrics_text_histogram(&out, (enum metrics_id)id, labels, 2, &r);
    }
    char why[400];
    if (!prometheus_check(out.data, why, sizeof why))
        fail_msg("%s", why);
    double value;
    assert_true(prometheus_value(out.data, "fanout_delete_seconds_sum{consumer=\"a\\\"}\\n\",slot=\"0\"}", &value));
    assert_true(value == 0.004);
    buf_clean_up(&out);
}

static void
the_strict_reader_refuses_what_is_not_clean(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x_total 1\n",                                                     /* no HELP, no TYPE */
        "# HELP x_total y\nx_total 1\n",                                   /* no TYPE */
        "# HELP x y\n# TYPE x counter\nx 1\n",                             /* not _total */
        "# HELP x_total y\n# TYPE x_total gauge\nx_total 1\n",             /* _total */
        "# HELP x_ms y\n# TYPE x_ms gauge\nx_ms 1\n",                      /* unit */
        "# HELP x y\n# TYPE x gauge\nx 1\nx 2\n",                          /* twice */
        "# HELP x y\n# TYPE x gauge\nx{a=\"b} 2\n",                        /* a label without an end */
        "# HELP x y\n# TYPE x gauge\nx{a=\"\\b\"} 2\n",                    /* escape */
        "# HELP x y\n# TYPE x gauge\nx y\n",                               /* no number */
        "# HELP x y\n# TYPE x gauge\nx 1",                                 /* no newline */
        "# HELP x y\n# TYPE x gauge\n# HELP x y\n# TYPE x gauge\nx 1\n",   /* a family twice */
        "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 1\n", /* no +Inf */
        "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 1\n",
        "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 2\n",
        "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 1\nx_count 1\n",
    };
    char why[400];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (prometheus_check(bad[i], why, sizeof why))
            fail_msg("taken for clean: %s", bad[i]);
    assert_true(prometheus_check("# HELP x y\n# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 1\n"
                                 "x_sum 1\nx_count 1\n",
                                 why, sizeof why));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_counted_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(a_value_below_zero_counts_as_zero),
        cmocka_unit_test(bounds_rise_and_leave_room_for_one_more_bucket),
        cmocka_unit_test(figures_of_several_workers_add_up),
        cmocka_unit_test(a_run_is_as_if_each_of_its_values_had_been_observed),
        cmocka_unit_test(nothing_is_missed_when_threads_count_together),
        cmocka_unit_test(gauges_are_shown_in_seconds_and_as_ages),
        cmocka_unit_test(no_two_have_one_name_and_each_has_help),
        cmocka_unit_test(a_histogram_is_written_as_prometheus_wants_it),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(everything_is_clean_by_a_strict_reader),
        cmocka_unit_test(the_strict_reader_refuses_what_is_not_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
