#include "event/notification.h"

#include "event/fields.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- SNS ---- */

struct sns_fields {
    struct json type;
    struct event_sns sns;
};
static const struct event_field SNS[] = {
    {EVENT_FIELD("Type", struct sns_fields, type), .type = JSON_STRING},
    {EVENT_FIELD("MessageId", struct sns_fields, sns.message_id), .type = JSON_STRING},
    {EVENT_FIELD("TopicArn", struct sns_fields, sns.topic_arn), .type = JSON_STRING},
    {EVENT_FIELD("Message", struct sns_fields, sns.message), .type = JSON_STRING},
    {EVENT_FIELD("Timestamp", struct sns_fields, sns.timestamp), .type = JSON_STRING, .optional = true},
    {EVENT_FIELD("Subject", struct sns_fields, sns.subject), .any_type = true, .optional = true},
    {EVENT_FIELD("MessageAttributes", struct sns_fields, sns.attributes), .any_type = true, .optional = true},
};

/* A field that may be null, or of a type nobody expects: then it is not there. */
static void
forget_unless(struct json *value, enum json_type type)
{
    if (value->text.p && value->type != type)
        *value = (struct json){.text = {NULL, 0}};
}

bool
event_sns_read(struct json body, struct event_sns *ret_sns)
{
    struct sns_fields f = {.type = {.text = {NULL, 0}}};
    event_fields_read(body, SNS, COUNT(SNS), &f);
    if (event_fields_wrong(SNS, COUNT(SNS), &f) || !json_equals_string(f.type, SLICE("Notification")))
        return false;
    forget_unless(&f.sns.subject, JSON_STRING);
    forget_unless(&f.sns.attributes, JSON_OBJECT);
    *ret_sns = f.sns;
    return true;
}

/* ---- S3 ---- */

struct s3_fields {
    struct json records, service, event;
};
static const struct event_field S3[] = {
    {EVENT_FIELD("Records", struct s3_fields, records), .type = JSON_ARRAY},
    {EVENT_FIELD("Service", struct s3_fields, service), .type = JSON_STRING},
    {EVENT_FIELD("Event", struct s3_fields, event), .type = JSON_STRING},
};

static bool
is_s3_record(struct json record)
{
    struct json source;
    return record.type == JSON_OBJECT && json_get(record, "eventSource", &source) && source.type == JSON_STRING &&
           json_equals_string(source, SLICE("aws:s3"));
}

enum event_s3_kind
event_s3_read(struct json body, struct json *ret_records)
{
    struct s3_fields f = {.records = {.text = {NULL, 0}}};
    event_fields_read(body, S3, COUNT(S3), &f);
    if (f.event.text.p && f.event.type == JSON_STRING && json_equals_string(f.event, SLICE("s3:TestEvent")) &&
        f.service.text.p && f.service.type == JSON_STRING && json_equals_string(f.service, SLICE("Amazon S3")))
        return EVENT_S3_TEST;
    if (!f.records.text.p || f.records.type != JSON_ARRAY)
        return EVENT_S3_NONE;
    size_t n = 0;
    for (struct json_iter it = json_iter(f.records); json_next(&it); n++)
        if (!is_s3_record(it.value))
            return EVENT_S3_NONE;
    if (n == 0)
        return EVENT_S3_NONE;
    *ret_records = f.records;
    return EVENT_S3_RECORDS;
}

static const struct event_field RECORD[] = {
    {EVENT_FIELD("eventName", struct event_s3_record, event_name), .type = JSON_STRING},
    {EVENT_FIELD("eventTime", struct event_s3_record, event_time), .type = JSON_STRING},
    {EVENT_FIELD("awsRegion", struct event_s3_record, region), .type = JSON_STRING},
};
static const struct event_field BUCKET[] = {
    {EVENT_FIELD("name", struct event_s3_record, bucket), .type = JSON_STRING},
};
static const struct event_field OBJECT[] = {
    {EVENT_FIELD("key", struct event_s3_record, key), .type = JSON_STRING},
    {EVENT_FIELD("eTag", struct event_s3_record, etag), .type = JSON_STRING},
    {EVENT_FIELD("versionId", struct event_s3_record, version_id), .type = JSON_STRING},
    {EVENT_FIELD("sequencer", struct event_s3_record, sequencer), .type = JSON_STRING},
    {EVENT_FIELD("size", struct event_s3_record, size), .type = JSON_NUMBER},
};

static void
read_well_typed(struct json object, const struct event_field *fields, size_t n, struct event_s3_record *r)
{
    event_fields_read(object, fields, n, r);
    for (const struct event_field *f = fields; f < fields + n; f++)
        forget_unless((struct json *)((char *)r + f->offset), f->type);
}

void
event_s3_record_read(struct json record, struct event_s3_record *ret_record)
{
    struct json s3, part;
    *ret_record = (struct event_s3_record){.size = {.text = {NULL, 0}}};
    read_well_typed(record, RECORD, COUNT(RECORD), ret_record);
    if (!json_get(record, "s3", &s3))
        return;
    if (json_get(s3, "bucket", &part))
        read_well_typed(part, BUCKET, COUNT(BUCKET), ret_record);
    if (json_get(s3, "object", &part))
        read_well_typed(part, OBJECT, COUNT(OBJECT), ret_record);
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

size_t
event_s3_key_decode(char *text, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        int high = text[i] == '%' && n - i > 2 ? hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0) {
            text[out++] = (char)(high << 4 | low);
            i += 2;
        } else {
            text[out++] = text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}
