#include "ctl/publisher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "lib/stub_server.h"

/* A bus that answers entry by entry: Detail {"fail":N} fails N times with a code that may be retried, {"bad":true} for
 * good, anything else gets an id. A call that holds {"poison":true} is refused whole. */
struct bus {
    size_t calls, entries, largest;
    size_t refuse_calls; /* so many calls are answered 500 first */
    int failures_left;
    int poison_status; /* of calls that are refused whole */
};

static void
answer_put(void *context, const struct stub_request *request, struct stub_answer *answer)
{
    struct bus *bus = context;
    struct json root, entries, detail;
    struct buf body = BUF_INIT;
    bus->calls++;
    if (bus->refuse_calls > 0) {
        bus->refuse_calls--;
        stub_answer_http(answer, 500, "", "{\"__type\":\"InternalException\"}");
        return;
    }
    if (json_parse(request->body, &root, NULL) != 0 || !json_get(root, "Entries", &entries))
        abort();
    size_t n = json_count(entries), failed = 0;
    bus->largest = n > bus->largest ? n : bus->largest;
    if (memmem(entries.text.p, entries.text.n, "poison", 6)) {
        stub_answer_http(answer, bus->poison_status, "", "{\"__type\":\"ValidationException\"}");
        return;
    }
    buf_add_string(&body, "{\"Entries\":[");
    for (struct json_iter it = json_iter(entries); json_next(&it); bus->entries++) {
        struct buf text = BUF_INIT;
        (void)json_get(it.value, "Detail", &detail);
        (void)json_decode(detail, &text, NULL);
        buf_add_string(&body, it.index > 0 ? "," : "");
        if (strstr(text.data, "fail") && bus->failures_left > 0) {
            bus->failures_left--;
            failed++;
            buf_add_string(&body, "{\"ErrorCode\":\"InternalFailure\",\"ErrorMessage\":\"later\"}");
        } else if (strstr(text.data, "bad")) {
            failed++;
            buf_add_string(&body, "{\"ErrorCode\":\"MalformedDetail\",\"ErrorMessage\":\"never\"}");
        } else {
            buf_add_format(&body, "{\"EventId\":\"id-%zu\"}", bus->entries);
        }
        buf_clean_up(&text);
    }
    buf_add_format(&body, "],\"FailedEntryCount\":%zu}", failed);
    stub_answer_http(answer, 200, "", body.data);
    buf_clean_up(&body);
}

struct publisher_test {
    struct bus bus;
    struct stub_server *server;
    struct http_engine *engine;
    struct creds_provider *credentials;
    struct aws_client *client;
    struct publisher *publisher;
    size_t published, failed;
    char code[64];
};

static void
on_published(void *context, const struct entry *entry, const char *event_id)
{
    struct publisher_test *t = context;
    assert_true(entry->line > 0 && event_id[0] != '\0');
    t->published++;
}

static void
on_failed(void *context, const struct entry *entry, const char *code, const char *message)
{
    struct publisher_test *t = context;
    (void)entry;
    (void)message;
    t->failed++;
    snprintf(t->code, sizeof t->code, "%s", code);
}

static int
set_up(void **state)
{
    struct publisher_test *t = calloc(1, sizeof *t);
    struct http_engine_options engine_options = {0};
    if (!t)
        return -1;
    t->server = stub_server_start(answer_put, &t->bus);
    if (http_engine_new(&engine_options, &t->engine, NULL) != 0 ||
        creds_static_new("a", "b", NULL, &t->credentials, NULL) != 0)
        return -1;
    const struct aws_client_options client_options = {
        .engine = t->engine,
        .credentials = t->credentials,
        .service = AWS_EVENTBRIDGE,
        .region = "us-east-1",
        .endpoint_url = stub_server_url(t->server),
        .max_attempts = 1,
    };
    if (aws_client_new(&client_options, &t->client, NULL) != 0)
        return -1;
    const struct publisher_options options = {
        .client = t->client,
        .timers = http_engine_timers(t->engine),
        .calls = 2,
        .max_attempts = 3,
        .on_published = on_published,
        .on_failed = on_failed,
        .context = t,
    };
    *state = t;
    return publisher_new(&options, &t->publisher, NULL);
}

static int
tear_down(void **state)
{
    struct publisher_test *t = *state;
    publisher_destroy(t->publisher);
    aws_client_destroy(t->client);
    creds_provider_destroy(t->credentials);
    http_engine_destroy(t->engine);
    stub_server_stop(t->server);
    free(t);
    return 0;
}

static void
add(struct publisher_test *t, const char *detail)
{
    char line[300];
    struct entry *entry = NULL;
    snprintf(line, sizeof line, "{\"Source\":\"s\",\"DetailType\":\"t\",\"Detail\":%s}", detail);
    assert_int_equal(entry_parse(slice_of_string(line), 1, "bus", &entry, NULL), 0);
    publisher_add(t->publisher, &entry);
    assert_null(entry);
}

static void
run_until_over(struct publisher_test *t)
{
    publisher_flush(t->publisher);
    while (publisher_pending(t->publisher) > 0)
        assert_int_equal(http_engine_run(t->engine, 1000, NULL), 0);
}

static void
entries_go_out_in_batches_of_ten(void **state)
{
    struct publisher_test *t = *state;
    for (int i = 0; i < 35; i++)
        add(t, "{}");
    run_until_over(t);
    assert_int_equal(t->published, 35);
    assert_int_equal(t->failed, 0);
    assert_int_equal(t->bus.calls, 4);
    assert_int_equal(t->bus.largest, 10);
}

static void
only_what_failed_is_sent_again(void **state)
{
    struct publisher_test *t = *state;
    t->bus.failures_left = 2;
    add(t, "{\"fail\":1}");
    for (int i = 0; i < 4; i++)
        add(t, "{}");
    run_until_over(t);
    assert_int_equal(t->published, 5);
    assert_int_equal(t->bus.entries, 5 + 1 + 1);
}

static void
an_entry_refused_for_good_is_not_sent_again(void **state)
{
    struct publisher_test *t = *state;
    add(t, "{\"bad\":true}");
    add(t, "{}");
    run_until_over(t);
    assert_int_equal(t->published, 1);
    assert_int_equal(t->failed, 1);
    assert_string_equal(t->code, "MalformedDetail");
    assert_int_equal(t->bus.entries, 2);
}

static void
an_entry_that_keeps_failing_is_given_up(void **state)
{
    struct publisher_test *t = *state;
    t->bus.failures_left = 100;
    add(t, "{\"fail\":1}");
    run_until_over(t);
    assert_int_equal(t->failed, 1);
    assert_string_equal(t->code, "InternalFailure");
    assert_int_equal(t->bus.entries, 3);
}

static void
a_call_that_failed_whole_is_sent_again(void **state)
{
    struct publisher_test *t = *state;
    t->bus.refuse_calls = 2;
    for (int i = 0; i < 3; i++)
        add(t, "{}");
    run_until_over(t);
    assert_int_equal(t->published, 3);
    assert_int_equal(t->bus.calls, 3);
}

static void
one_entry_that_the_service_refuses_a_call_for_takes_no_other_along(void **state)
{
    struct publisher_test *t = *state;
    t->bus.poison_status = 400;
    for (int i = 0; i < 25; i++)
        add(t, i == 3 ? "{\"poison\":true}" : "{}");
    run_until_over(t);
    assert_int_equal(t->published, 24);
    assert_int_equal(t->failed, 1);
    assert_string_equal(t->code, "ValidationException");
    assert_int_equal(t->bus.calls, 3 + 10);
}

static void
a_call_refused_for_its_sender_is_not_tried_entry_by_entry(void **state)
{
    struct publisher_test *t = *state;
    t->bus.poison_status = 403;
    for (int i = 0; i < 10; i++)
        add(t, "{\"poison\":true}");
    run_until_over(t);
    assert_int_equal(t->failed, 10);
    assert_int_equal(t->bus.calls, 1);
}

static void
destroying_it_in_the_middle_frees_everything(void **state)
{
    struct publisher_test *t = *state;
    for (int i = 0; i < 45; i++)
        add(t, "{}");
    assert_true(publisher_pending(t->publisher) == 45);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_go_out_in_batches_of_ten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_failed_is_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_entry_refused_for_good_is_not_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_entry_that_keeps_failing_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_call_that_failed_whole_is_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_entry_that_the_service_refuses_a_call_for_takes_no_other_along, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_call_refused_for_its_sender_is_not_tried_entry_by_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(destroying_it_in_the_middle_frees_everything, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("publisher", tests, NULL, NULL);
}
