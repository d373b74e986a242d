/* Order within the groups of a FIFO queue, with the real worker and the real queue, on the test clock: handlers that
 * fail, receives whose answer is lost, deletes and visibility changes that fail, and a worker that is replaced midway.
 * In `make soak` 100 groups of 1,000 messages (FANOUT_EVENTS=20000 or more), otherwise a few of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/admin.h"
#include "lib/order_witness.h"
#include "lib/scripted.h"
#include "lib/seeds.h"
#include "lib/tmp.h"

static const uint64_t KEPT_SEEDS[] = {1, 2};

#define FIFO                                                                                                           \
    ", \"FifoQueue\": \"true\", \"VisibilityTimeout\": \"10\", \"FifoThroughputLimit\": \"perMessageGroupId\", "       \
    "\"DeduplicationScope\": \"messageGroup\""

struct work {
    size_t groups, in_group, rejects;
    uint64_t random;
};

static int
forget_faults(void **state)
{
    (void)state;
    admin_clear_faults(local_fixture.url);
    return 0;
}

/* ---- the messages ---- */

static void
send_place(struct scripted *s, struct work *w, size_t place)
{
    for (size_t g = 0; g < w->groups;) {
        struct buf entries = BUF_INIT;
        size_t n = 0;
        for (; n < 10 && g < w->groups; n++, g++) {
            unsigned failures = seeds_draw(&w->random, 12) == 0 ? 1 + (unsigned)seeds_draw(&w->random, 3) : 0;
            bool rejected = seeds_draw(&w->random, 50) == 0;
            w->rejects += rejected;
            buf_add_format(&entries,
                           "%s{\"Id\": \"%zu\", \"MessageBody\": \"%zu %zu %u %s\", \"MessageGroupId\": \"g-%zu\", "
                           "\"MessageDeduplicationId\": \"%zu-%zu\"}",
                           n > 0 ? ", " : "", n, g, place, failures, rejected ? "reject" : "done", g, g, place);
        }
        assert_int_equal(aws_call_sqs(&s->queue.call, "SendMessageBatch", "{\"QueueUrl\": \"%s\", \"Entries\": [%s]}",
                                      s->queue.url, entries.data),
                         200);
        assert_int_equal(aws_call_count(&s->queue.call, "Successful"), n);
        buf_clean_up(&entries);
    }
}

static void
set_faults(uint64_t seed)
{
    static const char *const RULES[] = {
        "\"action\": \"sqs:ReceiveMessage\", \"kind\": \"drop_after\", \"percent\": 5",
        "\"action\": \"sqs:ReceiveMessage\", \"kind\": \"drop_before\", \"percent\": 2",
        "\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"error\", \"status\": 503, \"percent\": 5",
        "\"action\": \"sqs:DeleteMessageBatch\", \"kind\": \"drop_after\", \"percent\": 5",
        "\"action\": \"sqs:ChangeMessageVisibilityBatch\", \"kind\": \"error\", \"status\": 500, \"percent\": 5",
        "\"action\": \"sqs:SendMessageBatch\", \"kind\": \"drop_after\", \"percent\": 10",
    };
    char rule[300];
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        snprintf(rule, sizeof rule, "{%s, \"count\": 1000000, \"seed\": %llu}", RULES[i],
                 (unsigned long long)(seed * 10 + i));
        admin_set_fault(local_fixture.url, rule);
    }
}

/* ---- what was done with them ---- */

static void
judge_order(struct scripted *s, const struct work *w, bool each)
{
    struct order_witness *witness = order_witness_new();
    if (each)
        order_witness_be_strict(witness);
    char *all = tmp_read(s->record, NULL), *rest = all;
    assert_non_null(all);
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        size_t group, place;
        char what[20];
        assert_int_equal(sscanf(line, "%zu %zu %19s", &group, &place, what), 3);
        const char *wrong = NULL;
        if (strcmp(what, "begins") == 0)
            wrong = order_witness_begins(witness, group, place);
        else if (strcmp(what, "done") == 0 || strcmp(what, "reject") == 0)
            order_witness_ends(witness, group, place);
        else if (strcmp(what, "overlaps") == 0)
            wrong = "its group is inside two calls";
        if (wrong)
            fail_msg("%s: %s", line, wrong);
    }
    free(all);
    for (size_t g = 0; g < w->groups; g++)
        assert_int_equal(order_witness_ended(witness, g), w->in_group);
    order_witness_destroy(witness);
}

/* Until so many messages, or fewer, are left in the queue. */
static void
run_down_to(struct scripted *s, long left)
{
    long now = LONG_MAX, before = LONG_MAX;
    for (int idle = 0; now > left && idle < 2000; idle = now < before ? 0 : idle + 1) {
        before = now;
        scripted_pass(s, 1000, 1000);
        now = local_queue_attribute(&s->queue, "ApproximateNumberOfMessages") +
              local_queue_attribute(&s->queue, "ApproximateNumberOfMessagesNotVisible");
    }
    if (now > left) {
        char *log = tmp_read(s->log, NULL);
        fail_msg("%ld messages are left; the log:\n%s", now, log ? log : "");
    }
}

static void
replace_worker(struct scripted *s, const char *plugin, const char *settings)
{
    scripted_drain(s);
    lone_worker_clean_up(&s->worker);
    scripted_start(s, plugin, settings);
}

static void
run_seed(uint64_t seed)
{
    struct scripted s;
    bool large = seeds_events(0) >= 20000, each = seed % 2;
    struct work w = {.groups = large ? 100 : 20, .in_group = large ? 1000 : 12, .random = seed};
    const char *plugin = each ? "ordered_each" : "ordered";
    const char *settings = seed / 2 % 2
                               ? "threads = 4; batch = { size = 10; }; retry = { base_ms = 100; cap_ms = 4000; };"
                               : "threads = 3; batch = { size = 4; }; retry = { base_ms = 2000; cap_ms = 20000; };";
    scripted_make(&s, FIFO);
    for (size_t i = 0; i < w.in_group; i++)
        send_place(&s, &w, i);
    set_faults(seed);
    scripted_start(&s, plugin, settings);
    run_down_to(&s, (long)(w.groups * w.in_group / 2));
    replace_worker(&s, plugin, settings);
    run_down_to(&s, 0);
    assert_true(SCRIPTED_COUNT(&s, retried_here) > 0);
    admin_clear_faults(local_fixture.url);
    scripted_drain(&s);
    judge_order(&s, &w, each);
    scripted_await_queue(&s.dead, (long)w.rejects, 0);
    scripted_drop(&s);
}

static void
order_is_kept_through_failures_lost_answers_and_a_new_worker(void **state)
{
    (void)state;
    struct seeds seeds;
    uint64_t seed;
    seeds_init(&seeds, KEPT_SEEDS, sizeof KEPT_SEEDS / sizeof *KEPT_SEEDS);
    while (seeds_next(&seeds, &seed))
        run_seed(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(order_is_kept_through_failures_lost_answers_and_a_new_worker, forget_faults),
    };
    return cmocka_run_group_tests_name("worker_fifo", tests, local_fixture_start_with_clock, local_fixture_stop);
}
