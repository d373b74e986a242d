#include "aws/sqs_encode.h"

#include "base/digest.h"
#include "base/json.h"

/* {"QueueUrl":"..." */
static void
begin(struct buf *out, const char *queue_url)
{
    buf_add_string(out, "{\"QueueUrl\":");
    json_write_string(out, slice_of_string(queue_url));
}

static void
add_string_member(struct buf *out, const char *key, struct slice value)
{
    buf_add_string(out, key);
    json_write_string(out, value);
}

static void
add_int_member(struct buf *out, const char *key, int64_t value)
{
    buf_add_string(out, key);
    buf_add_int(out, value);
}

/* {"Id":"i" of entry i, with a comma in front of all but the first */
static void
begin_entry(struct buf *out, size_t i)
{
    buf_add_string(out, i > 0 ? ",{\"Id\":\"" : "{\"Id\":\"");
    buf_add_int(out, (int64_t)i);
    buf_add_char(out, '"');
}

void
sqs_encode_receive(struct buf *out, const struct sqs_receive_options *options)
{
    buf_reserve(out, 300);
    begin(out, options->queue_url);
    add_int_member(out, ",\"MaxNumberOfMessages\":", options->max_messages);
    add_int_member(out, ",\"WaitTimeSeconds\":", options->wait_time_s);
    if (options->visibility_timeout_s >= 0)
        add_int_member(out, ",\"VisibilityTimeout\":", options->visibility_timeout_s);
    if (options->attempt_id)
        add_string_member(out, ",\"ReceiveRequestAttemptId\":", slice_of_string(options->attempt_id));
    buf_add_string(out, options->all_attributes ? ",\"MessageSystemAttributeNames\":[\"All\"]"
                                                : ",\"MessageSystemAttributeNames\":[\"ApproximateReceiveCount\","
                                                  "\"SentTimestamp\",\"ApproximateFirstReceiveTimestamp\","
                                                  "\"MessageGroupId\",\"SequenceNumber\",\"AWSTraceHeader\"]");
    buf_add_string(out, ",\"MessageAttributeNames\":[\"All\"]}");
}

void
sqs_encode_delete_batch(struct buf *out, const char *queue_url, const struct slice *receipt_handles, size_t n)
{
    buf_reserve(out, 200 + n * 300);
    begin(out, queue_url);
    buf_add_string(out, ",\"Entries\":[");
    for (size_t i = 0; i < n; i++) {
        begin_entry(out, i);
        add_string_member(out, ",\"ReceiptHandle\":", receipt_handles[i]);
        buf_add_char(out, '}');
    }
    buf_add_string(out, "]}");
}

void
sqs_encode_change_visibility_batch(struct buf *out, const char *queue_url, const struct sqs_visibility *entries,
                                   size_t n)
{
    buf_reserve(out, 200 + n * 330);
    begin(out, queue_url);
    buf_add_string(out, ",\"Entries\":[");
    for (size_t i = 0; i < n; i++) {
        begin_entry(out, i);
        add_string_member(out, ",\"ReceiptHandle\":", entries[i].receipt_handle);
        add_int_member(out, ",\"VisibilityTimeout\":", entries[i].timeout_s);
        buf_add_char(out, '}');
    }
    buf_add_string(out, "]}");
}

static void
add_attribute(struct buf *out, const struct sqs_attribute *a)
{
    json_write_string(out, a->name);
    add_string_member(out, ":{\"DataType\":", a->type);
    if (slice_starts_with(a->type, SLICE("Binary"))) {
        buf_add_string(out, ",\"BinaryValue\":\"");
        digest_base64_encode(out, a->value.p, a->value.n);
        buf_add_string(out, "\"}");
    } else {
        add_string_member(out, ",\"StringValue\":", a->value);
        buf_add_char(out, '}');
    }
}

/* The members that SendMessage and the entries of SendMessageBatch share, each with a comma in front. */
static void
add_message(struct buf *out, const struct sqs_send *m)
{
    buf_reserve(out, m->body.n + m->body.n / 8 + 200);
    add_string_member(out, ",\"MessageBody\":", m->body);
    if (m->n_attributes > 0)
        buf_add_string(out, ",\"MessageAttributes\":{");
    for (size_t i = 0; i < m->n_attributes; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        add_attribute(out, &m->attributes[i]);
    }
    if (m->n_attributes > 0)
        buf_add_char(out, '}');
    if (m->trace_header.n > 0) {
        add_string_member(out,
                          ",\"MessageSystemAttributes\":{\"AWSTraceHeader\":{\"DataType\":\"String\",\"StringValue\":",
                          m->trace_header);
        buf_add_string(out, "}}");
    }
    if (m->group.n > 0)
        add_string_member(out, ",\"MessageGroupId\":", m->group);
    if (m->dedup_id.n > 0)
        add_string_member(out, ",\"MessageDeduplicationId\":", m->dedup_id);
    if (m->delay_s >= 0)
        add_int_member(out, ",\"DelaySeconds\":", m->delay_s);
}

void
sqs_encode_send_batch(struct buf *out, const char *queue_url, const struct sqs_send *entries, size_t n)
{
    begin(out, queue_url);
    buf_add_string(out, ",\"Entries\":[");
    for (size_t i = 0; i < n; i++) {
        begin_entry(out, i);
        add_message(out, &entries[i]);
        buf_add_char(out, '}');
    }
    buf_add_string(out, "]}");
}

void
sqs_encode_send(struct buf *out, const char *queue_url, const struct sqs_send *message)
{
    begin(out, queue_url);
    add_message(out, message);
    buf_add_char(out, '}');
}

void
sqs_encode_get_queue_url(struct buf *out, const char *name)
{
    add_string_member(out, "{\"QueueName\":", slice_of_string(name));
    buf_add_char(out, '}');
}

void
sqs_encode_get_queue_attributes(struct buf *out, const char *queue_url)
{
    begin(out, queue_url);
    buf_add_string(out, ",\"AttributeNames\":[\"All\"]}");
}
