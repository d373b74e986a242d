/* notification: what SNS and S3 put into a queue.
 *
 *     {"Type":"Notification","MessageId":"…","TopicArn":"arn:aws:sns:…","Subject":"…","Message":"…",
 *      "Timestamp":"2026-11-20T06:00:00.000Z",…,"MessageAttributes":{"NAME":{"Type":"String","Value":"…"}}}
 *
 * is an SNS notification (without raw message delivery; Amazon SNS developer guide, "Amazon SNS message formats"): its
 * Message is what was published, an EventBridge event, a notification of S3's or anything else, as a JSON string.
 *
 *     {"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{…},"object":{…}},…}]}
 *     {"Service":"Amazon S3","Event":"s3:TestEvent","Time":"…","Bucket":"…",…}
 *
 * are S3's (Amazon S3 user guide, "Event message structure"); the second is sent when notifications are configured.
 * Nothing here converts or allocates: a field is the text it was written as. */
#ifndef FANOUT_EVENT_NOTIFICATION_H
#define FANOUT_EVENT_NOTIFICATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

/* JSON_STRINGs, attributes apart; text.p is NULL where there is none. */
struct event_sns {
    struct json message, message_id, topic_arn;
    struct json subject, timestamp; /* may be missing */
    struct json attributes;         /* JSON_OBJECT; may be missing */
};

/* False: body, which json_parse gave, is no SNS notification (*ret_sns is untouched). */
bool event_sns_read(struct json body, struct event_sns *ret_sns);

enum event_s3_kind { EVENT_S3_NONE, EVENT_S3_TEST, EVENT_S3_RECORDS };

/* *ret_records: the array, of EVENT_S3_RECORDS alone; it has at least one record, and all are objects of S3's. */
enum event_s3_kind event_s3_read(struct json body, struct json *ret_records);

/* Of a record. JSON_STRINGs, size apart; text.p is NULL where there is none, or where it is of another type. */
struct event_s3_record {
    struct json event_name, event_time, region;
    struct json bucket;
    struct json key; /* URL-encoded, a space as '+' */
    struct json etag, version_id, sequencer;
    struct json size; /* JSON_NUMBER */
};
void event_s3_record_read(struct json record, struct event_s3_record *ret_record);

/* A key as the object is called: what is meant by text[0 .. n), which is URL-encoded, in place. Returns the bytes left;
 * a '%' without two hexadecimal digits behind it stays as it is. */
size_t event_s3_key_decode(char *text, size_t n);

#endif
