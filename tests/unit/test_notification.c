#include "event/notification.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/shared.h"
#include "lib/skip.h"

#define SNS(more)                                                                                                      \
    "{\"Type\":\"Notification\",\"MessageId\":\"sns-1\",\"TopicArn\":\"arn:aws:sns:us-east-1:1:t\"," more "}"

static struct json
parsed(const char *text)
{
    struct json v;
    struct err e;
    if (json_parse(slice_of_string(text), &v, &e) != 0)
        fail_msg("%s: %s", e.text, text);
    return v;
}

static void
assert_raw(struct json v, const char *text)
{
    assert_non_null(v.text.p);
    if (!slice_equals_string(json_raw(v), text))
        fail_msg("%.*s is not %s", SLICE_ARG(v.text), text);
}

/* ---- SNS ---- */

static void
a_notification_of_sns_is_read(void **state)
{
    (void)state;
    struct event_sns s;
    assert_true(event_sns_read(parsed(SNS("\"Subject\":\"hi\",\"Message\":\"{\\\"a\\\":1}\",\"Timestamp\":\"2026\","
                                          "\"MessageAttributes\":{\"n\":{\"Type\":\"Number\",\"Value\":\"1\"}}")),
                               &s));
    assert_raw(s.message_id, "sns-1");
    assert_raw(s.topic_arn, "arn:aws:sns:us-east-1:1:t");
    assert_raw(s.subject, "hi");
    assert_raw(s.message, "{\\\"a\\\":1}");
    assert_raw(s.timestamp, "2026");
    assert_int_equal(s.attributes.type, JSON_OBJECT);

    assert_true(event_sns_read(parsed(SNS("\"Message\":\"\",\"Subject\":null,\"MessageAttributes\":[]")), &s));
    assert_null(s.subject.text.p);
    assert_null(s.timestamp.text.p);
    assert_null(s.attributes.text.p);
    assert_raw(s.message, "");
}

static void
what_is_no_notification_of_sns_is_left_alone(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{}",
        "[]",
        "\"Notification\"",
        SNS("\"message\":\"x\""),
        SNS("\"Message\":{\"a\":1}"),
        SNS("\"Message\":\"x\",\"Type\":\"SubscriptionConfirmation\""),
        SNS("\"Message\":\"x\",\"Type\":1"),
        SNS("\"Message\":\"x\",\"TopicArn\":null"),
        "{\"Type\":\"Notification\",\"Message\":\"x\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct event_sns s = {.message = {.text = SLICE("untouched")}};
        if (event_sns_read(parsed(bodies[i]), &s))
            fail_msg("taken for a notification: %s", bodies[i]);
        assert_true(slice_equals_string(s.message.text, "untouched"));
    }
}

/* ---- S3 ---- */

#define RECORD                                                                                                         \
    "{\"eventSource\":\"aws:s3\",\"awsRegion\":\"eu-west-1\",\"eventTime\":\"1970-01-01T00:00:00.123Z\","              \
    "\"eventName\":\"ObjectCreated:Put\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"a+b%2Fc\","         \
    "\"size\":12,\"eTag\":\"e\",\"versionId\":\"v\",\"sequencer\":\"00\"}}}"

static void
records_of_s3_are_read(void **state)
{
    (void)state;
    struct json records;
    struct event_s3_record r;
    assert_int_equal(event_s3_read(parsed("{\"Records\":[" RECORD "," RECORD "]}"), &records), EVENT_S3_RECORDS);
    assert_int_equal(json_count(records), 2);
    event_s3_record_read(parsed(RECORD), &r);
    assert_raw(r.event_name, "ObjectCreated:Put");
    assert_raw(r.event_time, "1970-01-01T00:00:00.123Z");
    assert_raw(r.region, "eu-west-1");
    assert_raw(r.bucket, "b");
    assert_raw(r.key, "a+b%2Fc");
    assert_raw(r.etag, "e");
    assert_raw(r.version_id, "v");
    assert_raw(r.sequencer, "00");
    assert_true(slice_equals_string(r.size.text, "12"));
}

static void
a_record_need_not_have_every_field(void **state)
{
    (void)state;
    struct event_s3_record r;
    static const char *const records[] = {"{}", "{\"s3\":1}", "{\"s3\":{\"object\":[],\"bucket\":null}}",
                                          "{\"eventName\":7,\"s3\":{\"object\":{\"key\":1,\"size\":\"1\"}}}"};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        memset(&r, 0xff, sizeof r);
        event_s3_record_read(parsed(records[i]), &r);
        assert_null(r.event_name.text.p);
        assert_null(r.bucket.text.p);
        assert_null(r.key.text.p);
        assert_null(r.size.text.p);
    }
}

static void
what_is_no_notification_of_s3_is_left_alone(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}",
                                         "[]",
                                         "7",
                                         "{\"Records\":[]}",
                                         "{\"Records\":{}}",
                                         "{\"Records\":[1]}",
                                         "{\"Records\":[{\"eventSource\":\"aws:sqs\"}]}",
                                         "{\"Records\":[" RECORD ",{}]}",
                                         "{\"Event\":\"s3:TestEvent\"}",
                                         "{\"Event\":7,\"Service\":\"Amazon S3\"}"};
    struct json records = {.text = SLICE("untouched")};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (event_s3_read(parsed(bodies[i]), &records) != EVENT_S3_NONE)
            fail_msg("taken for a notification: %s", bodies[i]);
    assert_true(slice_equals_string(records.text, "untouched"));
}

static void
the_test_event_of_s3_is_known(void **state)
{
    (void)state;
    struct json records;
    assert_int_equal(event_s3_read(parsed("{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",\"Time\":"
                                          "\"2014-10-13T15:57:02.089Z\",\"Bucket\":\"b\"}"),
                                   &records),
                     EVENT_S3_TEST);
}

static void
keys_are_decoded_as_forms_are(void **state)
{
    (void)state;
    static const struct {
        const char *encoded, *key;
    } keys[] = {{"", ""},
                {"plain/key.txt", "plain/key.txt"},
                {"a+b%2Bc%20d", "a b+c d"},
                {"%C3%bc", "\xc3\xbc"},
                {"100%", "100%"},
                {"%2", "%2"},
                {"%zz%4", "%zz%4"},
                {"%%41", "%A"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[40];
        snprintf(text, sizeof text, "%s", keys[i].encoded);
        size_t n = event_s3_key_decode(text, strlen(text));
        text[n] = '\0';
        assert_string_equal(text, keys[i].key);
    }
}

/* ---- real ones ---- */

/* The Detail of the sample of this name; the caller cleans it up. */
static struct buf
sample(const char *name)
{
    struct buf all = BUF_INIT, detail = BUF_INIT;
    if (!shared_read("data/events/aws-samples.ndjson", &all))
        skip_because("data/events/aws-samples.ndjson is not there");
    for (struct slice rest = buf_slice(&all); rest.n > 0;) {
        struct json line, value;
        if (json_parse_first(rest, &line, &rest, NULL) != 0)
            break;
        if (json_get(line, "DetailType", &value) && json_equals_string(value, slice_of_string(name)) &&
            json_get(line, "Detail", &value))
            assert_int_equal(json_decode(value, &detail, NULL), 0);
    }
    buf_clean_up(&all);
    if (!detail.data)
        fail_msg("no sample is called %s", name);
    return detail;
}

static void
notifications_of_sns_as_queues_got_them_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {"snsSqsEvent", "snsSqsFifoEvent"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf text = sample(names[i]), body = BUF_INIT;
        struct json records, first, value;
        struct event_sns s;
        assert_true(json_get(parsed(text.data), "Records", &records));
        struct json_iter it = json_iter(records);
        assert_true(json_next(&it));
        first = it.value;
        assert_true(json_get(first, "body", &value));
        assert_int_equal(json_decode(value, &body, NULL), 0);
        assert_true(event_sns_read(parsed(body.data), &s));
        assert_true(json_starts_with(s.topic_arn, SLICE("arn:aws:sns:")));
        assert_int_equal(json_raw(s.message_id).n, 36);
        buf_clean_up(&text);
        buf_clean_up(&body);
    }
}

static void
notifications_of_s3_as_they_were_sent_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {"s3Event", "s3EventDecodedKey", "s3EventDeleteObject", "s3EventGlacier"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf text = sample(names[i]);
        struct json records;
        struct event_s3_record r;
        assert_int_equal(event_s3_read(parsed(text.data), &records), EVENT_S3_RECORDS);
        struct json_iter it = json_iter(records);
        assert_true(json_next(&it));
        event_s3_record_read(it.value, &r);
        assert_true(json_starts_with(r.event_name, SLICE("Object")));
        assert_non_null(r.bucket.text.p);
        assert_non_null(r.key.text.p);
        assert_non_null(r.sequencer.text.p);
        buf_clean_up(&text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notification_of_sns_is_read),
        cmocka_unit_test(what_is_no_notification_of_sns_is_left_alone),
        cmocka_unit_test(records_of_s3_are_read),
        cmocka_unit_test(a_record_need_not_have_every_field),
        cmocka_unit_test(what_is_no_notification_of_s3_is_left_alone),
        cmocka_unit_test(the_test_event_of_s3_is_known),
        cmocka_unit_test(keys_are_decoded_as_forms_are),
        cmocka_unit_test(notifications_of_sns_as_queues_got_them_are_read),
        cmocka_unit_test(notifications_of_s3_as_they_were_sent_are_read),
    };
    return cmocka_run_group_tests_name("notification", tests, NULL, NULL);
}
