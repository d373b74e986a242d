/* What handlers see through the extensions event and attributes. */
#include "worker/host_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/shared.h"
#include "lib/sim.h"
#include "lib/skip.h"
#include "worker/screen.h"

#define EVENT(detail_type, resources)                                                                                  \
    "{\"version\":\"0\",\"id\":\"id-1\",\"detail-type\":\"" detail_type "\",\"source\":\"shop\","                      \
    "\"account\":\"000000000000\",\"time\":\"2026-11-20T06:00:01Z\",\"region\":\"us-east-1\","                         \
    "\"resources\":[" resources "],\"detail\":{\"n\": 9007199254740993}}"
#define RECORD(key)                                                                                                    \
    "{\"eventSource\":\"aws:s3\",\"awsRegion\":\"eu-west-1\",\"eventTime\":\"1970-01-01T00:00:00.123Z\","              \
    "\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"" key "\","         \
    "\"size\":12,\"eTag\":\"e\"}}}"

static const struct handler_event_extension *const event = &host_event_extension;
static const struct handler_attributes_extension *const attributes = &host_attributes_extension;

/* A call of one message, as pool.c makes them. */
struct fixture {
    struct metrics metrics;
    struct world world;
    struct call_shared shared;
    struct handler_call call;
    struct message *message;
};

static struct fixture *
setup(const char *body, enum conf_unwrap unwrap)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    f.world.metrics = f.shared.metrics = &f.metrics;
    f.world.random = 1;
    f.shared.plugin = "test";
    struct sqs_message r = sim_sqs_message("m-1", "handle", body, 1);
    f.message = message_new(&r, "orders", 5, 7);
    assert_non_null(f.message);
    struct screen screen;
    screen_init(&screen, &f.world, &(struct screen_options){.unwrap = unwrap});
    assert_true(screen_message(&screen, f.message));
    f.call.shared = &f.shared;
    f.call.thread = pthread_self();
    f.call.messages = &f.message;
    f.call.count = 1;
    arena_init(&f.call.arena, 0);
    atomic_store(&f.call.running, true);
    return &f;
}

static void
teardown(struct fixture *f)
{
    arena_clean_up(&f->call.arena);
    message_release(f->message);
}

static void
assert_slice(struct handler_slice s, const char *text)
{
    if (!s.p || !slice_equals_string(slice_of(s.p, s.n), text))
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.n, s.p ? s.p : "", text);
}

static void
assert_nothing(struct handler_slice s)
{
    assert_null(s.p);
    assert_int_equal(s.n, 0);
}

static bool
is_inside(struct handler_slice s, struct slice body)
{
    return s.p >= body.p && s.p + s.n <= body.p + body.n;
}

static void
an_event_is_shown_as_slices_of_the_body(void **state)
{
    (void)state;
    struct fixture *f = setup(EVENT("Paid", "\"arn:aws:x\""), CONF_UNWRAP_NONE);
    assert_int_equal(event->kind(&f->call, 0), HANDLER_BODY_EVENT);
    const struct handler_event *e = event->event(&f->call, 0);
    assert_non_null(e);
    assert_int_equal(e->size, sizeof *e);
    assert_slice(e->id, "id-1");
    assert_slice(e->source, "shop");
    assert_slice(e->detail_type, "Paid");
    assert_slice(e->account, "000000000000");
    assert_slice(e->region, "us-east-1");
    assert_slice(e->time, "2026-11-20T06:00:01Z");
    assert_true(e->time_ms == INT64_C(1795154401000));
    assert_slice(e->detail, "{\"n\": 9007199254740993}");
    assert_int_equal(e->resource_count, 1);
    assert_slice(e->resources[0], "arn:aws:x");
    assert_nothing(e->replay_job);
    assert_nothing(e->original_id);
    assert_nothing(e->replay_name);
    const struct handler_slice texts[] = {e->id, e->source, e->detail_type, e->detail, e->resources[0]};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(is_inside(texts[i], f->message->body));
    assert_ptr_equal(event->event(&f->call, 0), e);
    assert_null(event->sns(&f->call, 0));
    assert_null(event->s3(&f->call, 0, 0));
    assert_true(event->received(&f->call, 0).p == f->message->body.p);
    teardown(f);
}

static void
texts_with_escapes_are_shown_as_meant(void **state)
{
    (void)state;
    struct fixture *f = setup(EVENT("P\\u00e4id \\\"x\\\"", "\"lone \\ud800!\""), CONF_UNWRAP_NONE);
    const struct handler_event *e = event->event(&f->call, 0);
    assert_slice(e->detail_type, "P\xc3\xa4id \"x\"");
    assert_slice(e->resources[0], "lone \xef\xbf\xbd!");
    teardown(f);
}

static void
a_replayed_event_tells_its_job_and_its_first_id(void **state)
{
    (void)state;
    struct slice id;
    struct fixture *f =
        setup(EVENT("Paid", "\"arn:a\",\"urn:fanout:replay:july\",\"urn:fanout:event:id-0\""), CONF_UNWRAP_NONE);
    const struct handler_event *e = event->event(&f->call, 0);
    assert_slice(e->replay_job, "july");
    assert_slice(e->original_id, "id-0");
    assert_true(screen_event_id(f->message, &id));
    assert_true(slice_equals_string(id, "id-0"));
    teardown(f);
}

static void
a_time_that_is_none_is_told_as_such(void **state)
{
    (void)state;
    struct fixture *f = setup("{\"id\":\"1\",\"detail-type\":\"\",\"source\":\"\",\"account\":\"\",\"time\":\"noon\","
                              "\"region\":\"\",\"resources\":[],\"detail\":1}",
                              CONF_UNWRAP_NONE);
    const struct handler_event *e = event->event(&f->call, 0);
    assert_true(e->time_ms == HANDLER_NO_TIME);
    assert_slice(e->time, "noon");
    assert_int_equal(e->resource_count, 0);
    teardown(f);
}

static void
a_body_that_is_no_event_has_none(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "text", "{}", "[1]", "{\"id\":\"x\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct slice id;
        struct fixture *f = setup(bodies[i], CONF_UNWRAP_AUTO);
        assert_int_equal(event->kind(&f->call, 0), HANDLER_BODY_OTHER);
        assert_null(event->event(&f->call, 0));
        assert_null(event->sns(&f->call, 0));
        assert_null(event->s3(&f->call, 0, 0));
        assert_false(screen_event_id(f->message, &id));
        assert_string_equal(f->message->view.body, bodies[i]);
        teardown(f);
    }
}

#define NOTIFICATION(message)                                                                                          \
    "{\"Type\":\"Notification\",\"MessageId\":\"sns-1\",\"TopicArn\":\"arn:aws:sns:us-east-1:1:t\","                   \
    "\"Subject\":\"a \\\"b\\\"\",\"Message\":\"" message "\",\"Timestamp\":\"2026\","                                  \
    "\"MessageAttributes\":{\"n\":{\"Type\":\"Number\",\"Value\":\"1\"}}}"
#define INNER                                                                                                          \
    "{\\\"id\\\":\\\"id-2\\\",\\\"detail-type\\\":\\\"t\\\",\\\"source\\\":\\\"s\\\",\\\"account\\\":\\\"1\\\","       \
    "\\\"time\\\":\\\"2026-11-20T06:00:01Z\\\",\\\"region\\\":\\\"r\\\",\\\"resources\\\":[],\\\"detail\\\":{}}"

static void
an_event_inside_a_notification_is_the_body_and_the_notification_is_there_too(void **state)
{
    (void)state;
    struct slice id;
    struct fixture *f = setup(NOTIFICATION(INNER), CONF_UNWRAP_SNS);
    assert_memory_equal(f->message->view.body, "{\"id\":\"id-2\",", 13);
    assert_int_equal(f->message->view.body[f->message->view.body_len], '\0');
    assert_int_equal(strlen(f->message->view.body), f->message->view.body_len);
    assert_slice(event->event(&f->call, 0)->id, "id-2");
    const struct handler_sns *s = event->sns(&f->call, 0);
    assert_non_null(s);
    assert_slice(s->topic_arn, "arn:aws:sns:us-east-1:1:t");
    assert_slice(s->message_id, "sns-1");
    assert_slice(s->subject, "a \"b\"");
    assert_slice(s->timestamp, "2026");
    assert_slice(s->attributes, "{\"n\":{\"Type\":\"Number\",\"Value\":\"1\"}}");
    assert_slice(event->received(&f->call, 0), NOTIFICATION(INNER));
    assert_true(screen_event_id(f->message, &id));
    assert_true(slice_equals_string(id, "id-2"));
    assert_int_equal(atomic_load(&f->metrics.unwrapped), 1);
    teardown(f);
}

static void
what_came_by_sns_and_is_no_event_goes_by_the_id_sns_gave_it(void **state)
{
    (void)state;
    struct slice id;
    struct fixture *f = setup(NOTIFICATION("hello\\n\\u0000!"), CONF_UNWRAP_AUTO);
    assert_int_equal(f->message->view.body_len, 8);
    assert_memory_equal(f->message->view.body, "hello\n\0!", 9);
    assert_true(screen_event_id(f->message, &id));
    assert_true(slice_equals_string(id, "sns-1"));
    teardown(f);
}

static void
a_notification_stays_whole_when_nobody_asked_or_nothing_can_be_made_of_it(void **state)
{
    (void)state;
    struct fixture *f = setup(NOTIFICATION(INNER), CONF_UNWRAP_NONE);
    assert_null(f->message->content); /* nothing was looked at */
    assert_string_equal(f->message->view.body, NOTIFICATION(INNER));
    assert_null(event->sns(&f->call, 0));
    assert_int_equal(event->kind(&f->call, 0), HANDLER_BODY_OTHER);
    teardown(f);
    f = setup(NOTIFICATION("\\udc00"), CONF_UNWRAP_SNS);
    assert_string_equal(f->message->view.body, NOTIFICATION("\\udc00"));
    assert_null(event->sns(&f->call, 0));
    teardown(f);
}

static void
records_of_s3_are_shown_with_their_keys_decoded(void **state)
{
    (void)state;
    struct fixture *f = setup("{\"Records\":[" RECORD("a+b%2F\\u0063") "," RECORD("plain") "]}", CONF_UNWRAP_NONE);
    assert_int_equal(event->kind(&f->call, 0), HANDLER_BODY_S3);
    const struct handler_s3_record *r = event->s3(&f->call, 0, 0);
    assert_non_null(r);
    assert_slice(r->event_name, "ObjectCreated:Put");
    assert_slice(r->bucket, "b");
    assert_slice(r->key, "a b/c");
    assert_slice(r->encoded_key, "a+b%2Fc");
    assert_true(r->object_size == 12);
    assert_slice(r->etag, "e");
    assert_nothing(r->version_id);
    assert_slice(r->record, RECORD("a+b%2F\\u0063"));
    r = event->s3(&f->call, 0, 1);
    assert_slice(r->key, "plain");
    assert_true(r->key.p == r->encoded_key.p && is_inside(r->key, f->message->body));
    assert_null(event->s3(&f->call, 0, 2));
    assert_null(event->event(&f->call, 0));
    teardown(f);
}

static void
the_test_event_of_s3_is_told_apart(void **state)
{
    (void)state;
    struct fixture *f = setup("{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\"}", CONF_UNWRAP_AUTO);
    assert_int_equal(event->kind(&f->call, 0), HANDLER_BODY_S3_TEST);
    assert_null(event->s3(&f->call, 0, 0));
    teardown(f);
}

static void
a_call_that_is_not_the_threads_own_sees_nothing_and_is_counted(void **state)
{
    (void)state;
    uint32_t n = 7;
    struct fixture *f = setup(EVENT("Paid", ""), CONF_UNWRAP_NONE);
    assert_null(event->event(&f->call, 1));
    assert_null(attributes->system(&f->call, UINT32_MAX));
    assert_int_equal(atomic_load(&f->metrics.violations), 2);
    atomic_store(&f->call.running, false);
    assert_int_equal(event->kind(&f->call, 0), HANDLER_E_INDEX);
    assert_null(event->event(&f->call, 0));
    assert_null(event->sns(&f->call, 0));
    assert_null(event->s3(&f->call, 0, 0));
    assert_nothing(event->received(&f->call, 0));
    assert_null(attributes->message(&f->call, 0, &n));
    assert_int_equal(n, 0);
    assert_null(attributes->find(&f->call, 0, "x"));
    assert_null(attributes->system(&f->call, 0));
    assert_int_equal(atomic_load(&f->metrics.violations), 10);
    assert_null(f->call.views);
    teardown(f);
}

static void
views_end_with_their_call(void **state)
{
    (void)state;
    struct fixture *f = setup(EVENT("Paid", ""), CONF_UNWRAP_NONE);
    assert_null(f->call.views); /* nothing is made before it is asked for */
    assert_non_null(event->event(&f->call, 0));
    host_forget_views(&f->call);
    assert_null(f->call.views);
    assert_non_null(event->event(&f->call, 0));
    teardown(f);
}

/* ---- real ones ---- */

static void
check_sample(struct slice name, const char *detail)
{
    static const struct {
        struct slice name;
        int32_t kind;
    } kinds[] = {{SLICE("s3Event"), HANDLER_BODY_S3},
                 {SLICE("s3EventDecodedKey"), HANDLER_BODY_S3},
                 {SLICE("s3EventDeleteObject"), HANDLER_BODY_S3},
                 {SLICE("s3EventGlacier"), HANDLER_BODY_S3},
                 {SLICE("eventBridgeEvent"), HANDLER_BODY_EVENT},
                 {SLICE("s3EventBridgeNotificationObjectCreatedEvent"), HANDLER_BODY_EVENT},
                 {SLICE("s3EventBridgeNotificationObjectDeletedEvent"), HANDLER_BODY_EVENT}};
    struct buf wrapped = BUF_INIT;
    buf_add_string(&wrapped, "{\"Type\":\"Notification\",\"MessageId\":\"m\",\"TopicArn\":\"t\",\"Message\":");
    json_write_string(&wrapped, slice_of_string(detail));
    buf_add_string(&wrapped, "}");
    struct fixture *f = setup(wrapped.data, CONF_UNWRAP_AUTO);
    if (strcmp(f->message->view.body, detail) != 0)
        fail_msg("%.*s is not what it was", SLICE_ARG(name));
    int32_t kind = event->kind(&f->call, 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (slice_equals(kinds[i].name, name) && kind != kinds[i].kind)
            fail_msg("%.*s is of kind %d", SLICE_ARG(name), kind);
    assert_true((event->event(&f->call, 0) != NULL) == (kind == HANDLER_BODY_EVENT));
    assert_true((event->s3(&f->call, 0, 0) != NULL) == (kind == HANDLER_BODY_S3));
    teardown(f);
    buf_clean_up(&wrapped);
}

static void
what_aws_sends_comes_out_of_a_notification_as_it_went_in(void **state)
{
    (void)state;
    struct buf all = BUF_INIT, name = BUF_INIT, detail = BUF_INIT;
    if (!shared_read("data/events/aws-samples.ndjson", &all))
        skip_because("data/events/aws-samples.ndjson is not there");
    struct json line, value;
    size_t n = 0;
    for (struct slice rest = buf_slice(&all); json_parse_first(rest, &line, &rest, NULL) == 0; n++) {
        buf_reset(&name);
        buf_reset(&detail);
        assert_true(json_get(line, "DetailType", &value) && json_decode(value, &name, NULL) == 0);
        assert_true(json_get(line, "Detail", &value) && json_decode(value, &detail, NULL) == 0);
        check_sample(buf_slice(&name), detail.data);
    }
    assert_int_equal(n, 104);
    buf_clean_up(&all);
    buf_clean_up(&name);
    buf_clean_up(&detail);
}

/* ---- attributes ---- */

static struct fixture *
setup_attributes(const struct sqs_message *r)
{
    struct fixture *f = setup("x", CONF_UNWRAP_NONE);
    message_release(f->message);
    f->message = message_new(r, "orders", 5, 7);
    assert_non_null(f->message);
    return f;
}

static void
message_attributes_are_shown_with_their_types(void **state)
{
    (void)state;
    static const struct sqs_attribute given[] = {
        {.name = SLICE("kind"), .type = SLICE("String"), .value = SLICE("order")},
        {.name = SLICE("n"), .type = SLICE("Number.int"), .value = SLICE("12")},
        {.name = SLICE("raw"), .type = SLICE("Binary"), .value = {"\0\1\2", 3}},
    };
    uint32_t n;
    struct sqs_message r = sim_sqs_message("id", "handle", "body", 1);
    r.attributes = given;
    r.n_attributes = 3;
    struct fixture *f = setup_attributes(&r);
    const struct handler_attribute *a = attributes->message(&f->call, 0, &n);
    assert_int_equal(n, 3);
    assert_slice(a[0].name, "kind");
    assert_slice(a[1].type, "Number.int");
    assert_slice(a[1].value, "12");
    assert_int_equal(a[2].value.n, 3);
    assert_memory_equal(a[2].value.p, "\0\1\2", 3);
    assert_true(is_inside(a[2].value, f->message->attributes));
    assert_ptr_equal(attributes->message(&f->call, 0, &n), a);
    assert_ptr_equal(attributes->find(&f->call, 0, "raw"), &a[2]);
    assert_null(attributes->find(&f->call, 0, "ra"));
    assert_null(attributes->find(&f->call, 0, NULL));
    teardown(f);
}

static void
any_number_of_message_attributes_is_shown(void **state)
{
    (void)state;
    struct sqs_attribute given[25];
    char names[25][8];
    uint32_t n;
    for (size_t i = 0; i < 25; i++) {
        snprintf(names[i], sizeof names[i], "a%zu", i);
        given[i] = (struct sqs_attribute){
            .name = slice_of_string(names[i]), .type = SLICE("String"), .value = slice_of_string(names[i])};
    }
    struct sqs_message r = sim_sqs_message("id", "handle", "body", 1);
    r.attributes = given;
    r.n_attributes = 25;
    struct fixture *f = setup_attributes(&r);
    assert_non_null(attributes->message(&f->call, 0, &n));
    assert_int_equal(n, 25);
    assert_slice(attributes->find(&f->call, 0, "a24")->value, "a24");
    teardown(f);

    r.n_attributes = 0;
    f = setup_attributes(&r);
    assert_null(attributes->message(&f->call, 0, &n));
    assert_int_equal(n, 0);
    teardown(f);
}

static void
system_attributes_are_shown_as_far_as_they_came(void **state)
{
    (void)state;
    struct sqs_message r = sim_sqs_message("id", "handle", "body", 1);
    r.sent_at_ms = 1000;
    r.first_received_at_ms = 2000;
    r.group = SLICE("g");
    r.dedup_id = SLICE("d");
    r.sequence_number = SLICE("18870259");
    r.sender_id = SLICE("AIDA");
    r.trace_header = SLICE("Root=1");
    r.dead_letter_source_arn = SLICE("arn:aws:sqs:x");
    struct fixture *f = setup_attributes(&r);
    const struct handler_system_attributes *s = attributes->system(&f->call, 0);
    assert_int_equal(s->size, sizeof *s);
    assert_true(s->sent_at_ms == 1000 && s->first_received_at_ms == 2000);
    assert_slice(s->group, "g");
    assert_slice(s->deduplication_id, "d");
    assert_slice(s->sequence_number, "18870259");
    assert_slice(s->sender_id, "AIDA");
    assert_slice(s->trace_header, "Root=1");
    assert_slice(s->dead_letter_source, "arn:aws:sqs:x");
    assert_ptr_equal(attributes->system(&f->call, 0), s);
    teardown(f);

    r = sim_sqs_message("id", "handle", "body", 1);
    f = setup_attributes(&r);
    s = attributes->system(&f->call, 0);
    assert_true(s->first_received_at_ms == HANDLER_NO_TIME);
    assert_nothing(s->group);
    assert_nothing(s->trace_header);
    assert_nothing(s->sender_id);
    assert_int_equal(f->message->system.n, 0);
    teardown(f);
}

/* ---- what open looks up ---- */

static void
what_open_looked_up_is_known(void **state)
{
    (void)state;
    const struct plugin *some = (const struct plugin *)"";
    host_set_opening(some);
    assert_ptr_equal(host_table.extension(HANDLER_EVENT_EXTENSION), &host_event_extension);
    assert_null(host_table.extension("fanout.nothing.v1"));
    assert_null(host_table.extension(NULL));
    host_set_opening(NULL);
    assert_true(host_opened_with(HANDLER_EVENT_EXTENSION));
    assert_false(host_opened_with(HANDLER_ATTRIBUTES_EXTENSION));
    assert_ptr_equal(host_table.extension(HANDLER_ATTRIBUTES_EXTENSION), &host_attributes_extension);
    assert_false(host_opened_with(HANDLER_ATTRIBUTES_EXTENSION)); /* too late: receives were decided upon */
    host_set_opening(some);
    assert_non_null(host_table.extension(HANDLER_ATTRIBUTES_EXTENSION));
    host_set_opening(NULL);
    assert_true(host_opened_with(HANDLER_ATTRIBUTES_EXTENSION));
    assert_false(host_opened_with(HANDLER_EVENT_EXTENSION));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_shown_as_slices_of_the_body),
        cmocka_unit_test(texts_with_escapes_are_shown_as_meant),
        cmocka_unit_test(a_replayed_event_tells_its_job_and_its_first_id),
        cmocka_unit_test(a_time_that_is_none_is_told_as_such),
        cmocka_unit_test(a_body_that_is_no_event_has_none),
        cmocka_unit_test(an_event_inside_a_notification_is_the_body_and_the_notification_is_there_too),
        cmocka_unit_test(what_came_by_sns_and_is_no_event_goes_by_the_id_sns_gave_it),
        cmocka_unit_test(a_notification_stays_whole_when_nobody_asked_or_nothing_can_be_made_of_it),
        cmocka_unit_test(records_of_s3_are_shown_with_their_keys_decoded),
        cmocka_unit_test(the_test_event_of_s3_is_told_apart),
        cmocka_unit_test(a_call_that_is_not_the_threads_own_sees_nothing_and_is_counted),
        cmocka_unit_test(views_end_with_their_call),
        cmocka_unit_test(what_aws_sends_comes_out_of_a_notification_as_it_went_in),
        cmocka_unit_test(message_attributes_are_shown_with_their_types),
        cmocka_unit_test(any_number_of_message_attributes_is_shown),
        cmocka_unit_test(system_attributes_are_shown_as_far_as_they_came),
        cmocka_unit_test(what_open_looked_up_is_known),
    };
    return cmocka_run_group_tests_name("worker_view", tests, NULL, NULL);
}
