/* Long polls of fanout-local's SQS, one after the other and many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/local_queue.h"

static void
a_long_poll_ends_the_instant_something_is_due(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting;
    local_queue_make(&q, "{\"VisibilityTimeout\": \"7\"}");

    local_queue_begin_wait(&q, &waiting, 20, 1);
    assert_false(local_queue_is_answered(&waiting));
    local_queue_send(&q, "sent");
    assert_int_equal(local_queue_end_wait(&waiting), 1);

    local_queue_begin_wait(&q, &waiting, 20, 1);
    local_server_pass(&local_fixture, 6999);
    assert_int_equal(local_server_waiting(&local_fixture, q.url), 1);
    local_server_pass(&local_fixture, 1); /* it is visible again */
    assert_int_equal(local_queue_end_wait(&waiting), 1);

    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"delayed\", \"DelaySeconds\": 3");
    local_queue_begin_wait(&q, &waiting, 20, 1);
    local_server_pass(&local_fixture, 3000);
    assert_int_equal(local_queue_end_wait(&waiting), 1);

    local_queue_begin_wait(&q, &waiting, 2, 1);
    local_server_pass(&local_fixture, 1999);
    assert_int_equal(local_server_waiting(&local_fixture, q.url), 1);
    local_server_pass(&local_fixture, 1); /* it has waited long enough */
    assert_int_equal(local_queue_end_wait(&waiting), 0);

    local_server_pass(&local_fixture, 2000);
    assert_int_equal(local_queue_receive(&q, ""), 1);
    const char *handle = local_queue_text(&q, "Messages.0.ReceiptHandle");
    local_queue_begin_wait(&q, &waiting, 20, 1);
    local_queue_settle(&q, "ChangeMessageVisibility", handle, ", \"VisibilityTimeout\": 0");
    assert_int_equal(local_queue_end_wait(&waiting), 1);
    local_queue_drop(&q);
}

static void
long_polls_are_served_first_come_first_served(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting[5];
    local_queue_make(&q, "{}");
    for (int i = 0; i < 5; i++)
        local_queue_begin_wait(&q, &waiting[i], 20, i + 1);
    for (int i = 0; i < 5; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        local_queue_send(&q, body);
        assert_int_equal(aws_call_finish(&waiting[i]), 200);
        assert_true(aws_call_text(&waiting[i], "Messages.0.Body", body + 8, 8));
        assert_int_equal(atoi(body + 8), i);
        aws_call_clean_up(&waiting[i]);
    }
    local_queue_drop(&q);
}

static void
the_queues_own_wait_is_kept(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting;
    char body[300];
    local_queue_make(&q, "{\"ReceiveMessageWaitTimeSeconds\": \"5\"}");
    aws_call_init(&waiting, local_fixture.url);
    snprintf(body, sizeof body, "{\"QueueUrl\": \"%s\"}", q.url);
    assert_true(aws_call_begin(&waiting, "sqs", "AmazonSQS.ReceiveMessage", slice_of_string(body)));
    local_server_await_waiting(&local_fixture, q.url, 1);
    assert_int_equal(local_queue_receive(&q, ", \"WaitTimeSeconds\": 0"), 0);
    local_server_pass(&local_fixture, 5000);
    assert_int_equal(local_queue_end_wait(&waiting), 0);
    local_queue_drop(&q);
}

static void
whoever_has_hung_up_gets_no_message(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call gone, waiting;
    local_queue_make(&q, "{}");
    local_queue_begin_wait(&q, &gone, 20, 1);
    local_queue_begin_wait(&q, &waiting, 20, 2);
    aws_call_clean_up(&gone);
    local_queue_send(&q, "for who is there");
    assert_int_equal(local_queue_end_wait(&waiting), 1);
    local_queue_drop(&q);
}

static void
a_deleted_queue_ends_its_long_polls(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call waiting;
    local_queue_make(&q, "{}");
    local_queue_begin_wait(&q, &waiting, 20, 1);
    local_queue_drop(&q);
    assert_int_equal(aws_call_finish(&waiting), 400);
    assert_string_equal(waiting.error, "AWS.SimpleQueueService.NonExistentQueue");
    aws_call_clean_up(&waiting);
}

#define CROWD    8
#define MESSAGES 2000

struct crowd {
    char url[200];
    pthread_mutex_t lock;
    unsigned char seen[MESSAGES];
    int n_seen, sent, doubles;
};

static void *
send_some(void *context)
{
    struct crowd *crowd = context;
    struct aws_call c;
    aws_call_init(&c, local_fixture.url);
    for (;;) {
        struct buf body = BUF_INIT;
        pthread_mutex_lock(&crowd->lock);
        int from = crowd->sent;
        crowd->sent += 10;
        pthread_mutex_unlock(&crowd->lock);
        if (from >= MESSAGES)
            break;
        buf_add_format(&body, "{\"QueueUrl\": \"%s\", \"Entries\": [", crowd->url);
        for (int i = 0; i < 10; i++)
            buf_add_format(&body, "%s{\"Id\": \"%d\", \"MessageBody\": \"%d\"}", i ? "," : "", i, from + i);
        buf_add_string(&body, "]}");
        aws_call_sqs_body(&c, "SendMessageBatch", buf_slice(&body));
        buf_clean_up(&body);
    }
    aws_call_clean_up(&c);
    return NULL;
}

static void *
receive_some(void *context)
{
    struct crowd *crowd = context;
    struct aws_call c;
    bool over = false;
    aws_call_init(&c, local_fixture.url);
    while (!over && aws_call_sqs(&c, "ReceiveMessage",
                                 "{\"QueueUrl\": \"%s\", \"MaxNumberOfMessages\": 7, \"WaitTimeSeconds\": 20}",
                                 crowd->url) == 200) {
        struct json messages, body;
        pthread_mutex_lock(&crowd->lock);
        if (aws_call_at(&c, "Messages", &messages))
            for (struct json_iter it = json_iter(messages); json_next(&it);)
                if (json_get(it.value, "Body", &body)) {
                    int i = atoi(json_raw(body).p);
                    crowd->doubles += crowd->seen[i];
                    crowd->n_seen += !crowd->seen[i];
                    crowd->seen[i] = 1;
                }
        over = crowd->n_seen >= MESSAGES;
        pthread_mutex_unlock(&crowd->lock);
    }
    aws_call_clean_up(&c);
    return NULL;
}

static bool
all_seen(void *context)
{
    struct crowd *crowd = context;
    pthread_mutex_lock(&crowd->lock);
    bool all = crowd->n_seen == MESSAGES;
    pthread_mutex_unlock(&crowd->lock);
    return all;
}

static void
each_message_goes_to_one_of_many_receivers(void **state)
{
    (void)state;
    struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[2 * CROWD];
    local_server_queue(&local_fixture, "crowd", "{\"VisibilityTimeout\": \"43200\"}", crowd.url, sizeof crowd.url);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, receive_some, &crowd), 0);
        assert_int_equal(pthread_create(&threads[CROWD + i], NULL, send_some, &crowd), 0);
    }
    assert_true(proc_wait_until(all_seen, &crowd, 60000));
    local_server_pass(&local_fixture, 20000); /* who waits still need not */
    for (int i = 0; i < 2 * CROWD; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.doubles, 0);
    struct local_queue q;
    aws_call_init(&q.call, local_fixture.url);
    snprintf(q.url, sizeof q.url, "%s", crowd.url);
    local_queue_assert_counts(&q, 0, MESSAGES, 0);
    local_server_pass(&local_fixture, INT64_C(43200) * 1000);
    local_queue_assert_counts(&q, MESSAGES, 0, 0);
    local_queue_drop(&q);
}

/* Emptied by PurgeQueue, or by who looks after the server. */
static void
wait_while_emptied(const char *attributes, const char *entry, bool purge)
{
    struct local_queue q;
    struct aws_call waiting, admin;
    char page[200];
    local_queue_make(&q, attributes);
    snprintf(page, sizeof page, "/reset?queue=%s", strrchr(q.url, '/') + 1);
    local_queue_ok(&q, "SendMessage", entry);
    assert_int_equal(local_queue_receive(&q, ""), 1);
    local_queue_begin_wait(&q, &waiting, 20, 1);
    aws_call_init(&admin, local_fixture.url);
    if (purge)
        local_queue_ok(&q, "PurgeQueue", "");
    else
        assert_int_equal(admin_ask(&admin, "POST", page, ""), 200);
    aws_call_clean_up(&admin);
    assert_int_equal(local_server_waiting(&local_fixture, q.url), 1);
    local_queue_ok(&q, "SendMessage", entry);
    assert_int_equal(local_queue_end_wait(&waiting), 1);
    local_queue_drop(&q);
}

static void
a_long_poll_gets_what_is_sent_after_its_queue_was_emptied(void **state)
{
    (void)state;
    static const char FIFO[] = "{\"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\"}";
    for (int purge = 0; purge < 2; purge++) {
        wait_while_emptied("{}", ", \"MessageBody\": \"x\"", purge);
        wait_while_emptied(FIFO, ", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\"", purge);
    }
}

static void
what_was_visible_is_so_after_a_restart_with_the_clock_set_back(void **state)
{
    (void)state;
    struct local_queue q;
    struct aws_call c;
    char name[100];
    local_queue_make(&q, "{\"FifoQueue\": \"true\", \"ContentBasedDeduplication\": \"true\"}");
    snprintf(name, sizeof name, "%s", strrchr(q.url, '/') + 1);
    local_queue_ok(&q, "SendMessage", ", \"MessageBody\": \"x\", \"MessageGroupId\": \"g\"");
    aws_call_clean_up(&q.call);
    local_server_stop(&local_fixture);
    atomic_fetch_sub(&local_fixture.clock->wall_skew_ms, 3600000);
    local_server_restart(&local_fixture);
    aws_call_init(&c, local_fixture.url);
    aws_call_sqs(&c, "ReceiveMessage", "{\"QueueUrl\": \"%s/000000000000/%s\"}", local_fixture.url, name);
    atomic_store(&local_fixture.clock->wall_skew_ms, 0);
    assert_int_equal(c.status, 200);
    assert_int_equal(aws_call_count(&c, "Messages"), 1);
    aws_call_clean_up(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_poll_ends_the_instant_something_is_due),
        cmocka_unit_test(long_polls_are_served_first_come_first_served),
        cmocka_unit_test(the_queues_own_wait_is_kept),
        cmocka_unit_test(whoever_has_hung_up_gets_no_message),
        cmocka_unit_test(a_deleted_queue_ends_its_long_polls),
        cmocka_unit_test(a_long_poll_gets_what_is_sent_after_its_queue_was_emptied),
        cmocka_unit_test(what_was_visible_is_so_after_a_restart_with_the_clock_set_back),
        cmocka_unit_test(each_message_goes_to_one_of_many_receivers),
    };
    return cmocka_run_group_tests_name("local/sqs wait", tests, local_fixture_start_with_clock, local_fixture_stop);
}
