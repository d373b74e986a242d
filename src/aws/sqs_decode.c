#include "aws/sqs_decode.h"

#include <limits.h>

#include "aws/answer.h"
#include "aws/sqs_md5.h"

void
sqs_decode_init(struct sqs_decoded *d)
{
    d->tree = NULL;
    arena_init(&d->arena, 0);
}

void
sqs_decode_clean_up(struct sqs_decoded *d)
{
    cJSON_Delete(d->tree);
    d->tree = NULL;
    arena_clean_up(&d->arena);
}

static int
needed_string(const cJSON *object, const char *name, struct slice *ret, struct err *e)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!value || cJSON_IsNull(value))
        return err_set(e, ERR_PROTOCOL, "a message has no %s", name);
    return answer_string(object, name, ret, e);
}

/* An empty one names nothing: two messages would be taken for one. */
static int
needed_text(const cJSON *object, const char *name, struct slice *ret, struct err *e)
{
    int rc = needed_string(object, name, ret, e);
    return rc == 0 && ret->n == 0 ? err_set(e, ERR_PROTOCOL, "a message has no %s", name) : rc;
}

static int
decode_system_attributes(const cJSON *message, struct sqs_message *m, struct err *e)
{
    const cJSON *attributes;
    int64_t receive_count = 1;
    int rc = answer_object(message, "Attributes", &attributes, e);
    if (rc == 0)
        rc = answer_number(attributes, "ApproximateReceiveCount", &receive_count, e);
    if (rc == 0)
        rc = answer_number(attributes, "SentTimestamp", &m->sent_at_ms, e);
    if (rc == 0)
        rc = answer_string(attributes, "MessageGroupId", &m->group, e);
    if (rc == 0)
        rc = answer_string(attributes, "MessageDeduplicationId", &m->dedup_id, e);
    if (rc == 0)
        rc = answer_string(attributes, "SequenceNumber", &m->sequence_number, e);
    if (rc == 0)
        rc = answer_string(attributes, "DeadLetterQueueSourceArn", &m->dead_letter_source_arn, e);
    if (rc == 0)
        rc = answer_string(attributes, "AWSTraceHeader", &m->trace_header, e);
    m->receive_count = receive_count > UINT_MAX ? UINT_MAX : (unsigned)receive_count;
    return rc;
}

static int
decode_binary(struct sqs_decoded *d, struct slice *value, struct err *e)
{
    struct buf bytes = BUF_INIT;
    char *copy = NULL;
    int rc = 0;
    if (!digest_base64_decode(&bytes, *value))
        rc = buf_failed(&bytes) ? err_no_memory(e) : err_set(e, ERR_PROTOCOL, "BinaryValue is no base64");
    else if (!(copy = arena_strndup(&d->arena, bytes.len ? bytes.data : "", bytes.len)))
        rc = err_no_memory(e);
    else
        *value = slice_of(copy, bytes.len);
    buf_clean_up(&bytes);
    return rc;
}

static int
decode_attribute(struct sqs_decoded *d, const cJSON *item, struct sqs_attribute *a, struct err *e)
{
    if (!cJSON_IsObject(item))
        return err_set(e, ERR_PROTOCOL, "a message attribute is no object");
    a->name = slice_of_string(item->string);
    int rc = answer_string(item, "DataType", &a->type, e);
    if (rc != 0)
        return rc;
    if (!slice_starts_with(a->type, SLICE("Binary")))
        return answer_string(item, "StringValue", &a->value, e);
    rc = answer_string(item, "BinaryValue", &a->value, e);
    return rc == 0 ? decode_binary(d, &a->value, e) : rc;
}

static int
decode_attributes(struct sqs_decoded *d, const cJSON *message, struct sqs_message *m, struct err *e)
{
    const cJSON *map, *item;
    int rc = answer_object(message, "MessageAttributes", &map, e);
    if (rc != 0 || !map || !map->child)
        return rc;
    struct sqs_attribute *attributes = arena_alloc(&d->arena, (size_t)cJSON_GetArraySize(map) * sizeof *attributes);
    if (!attributes)
        return err_no_memory(e);
    cJSON_ArrayForEach(item, map)
    {
        rc = decode_attribute(d, item, &attributes[m->n_attributes], e);
        if (rc != 0)
            return rc;
        m->n_attributes++;
    }
    m->attributes = attributes;
    return 0;
}

static int
check_body(struct sqs_decoded *d, const cJSON *message, struct sqs_message *m, bool *ret_sound, struct err *e)
{
    char md5[DIGEST_MD5_HEX];
    int rc = answer_string(message, "MD5OfBody", &m->md5_of_body, e);
    if (rc != 0)
        return rc;
    digest_md5_hex(m->body.p, m->body.n, md5);
    if (m->md5_of_body.n == 0) {
        m->md5_of_body = slice_of(arena_strndup(&d->arena, md5, sizeof md5 - 1), sizeof md5 - 1);
        if (!m->md5_of_body.p)
            return err_no_memory(e);
    }
    *ret_sound = slice_equals_string(m->md5_of_body, md5);
    return 0;
}

/* SQS gives this MD5 for the attributes it returned, and none when it returned none. */
static int
check_attributes(const cJSON *message, const struct sqs_message *m, bool *ret_sound, struct err *e)
{
    struct slice given;
    char md5[DIGEST_MD5_HEX] = "";
    int rc = answer_string(message, "MD5OfMessageAttributes", &given, e);
    if (rc != 0)
        return rc;
    if (given.n > 0 && m->n_attributes > 0 && sqs_md5_attributes(m->attributes, m->n_attributes, md5) != 0)
        return err_no_memory(e);
    *ret_sound = given.n == 0 || slice_equals_string(given, md5);
    return 0;
}

static int
decode_message(struct sqs_decoded *d, const cJSON *item, struct sqs_message *m, bool *ret_sound, struct err *e)
{
    bool body_sound = false, attributes_sound = false;
    *m = (struct sqs_message){0};
    if (!cJSON_IsObject(item))
        return err_set(e, ERR_PROTOCOL, "a message is no object");
    int rc = needed_text(item, "MessageId", &m->id, e);
    if (rc == 0)
        rc = needed_text(item, "ReceiptHandle", &m->receipt_handle, e);
    if (rc == 0)
        rc = needed_string(item, "Body", &m->body, e);
    if (rc == 0)
        rc = decode_system_attributes(item, m, e);
    if (rc == 0)
        rc = decode_attributes(d, item, m, e);
    if (rc == 0)
        rc = check_body(d, item, m, &body_sound, e);
    if (rc == 0)
        rc = check_attributes(item, m, &attributes_sound, e);
    *ret_sound = body_sound && attributes_sound;
    return rc;
}

int
sqs_decode_receive(struct sqs_decoded *d, struct slice answer, size_t max_messages, struct sqs_received *ret,
                   struct err *e)
{
    struct sqs_received received = {0};
    const cJSON *list, *item;
    int rc = answer_parse(answer, &d->tree, e);
    if (rc == 0)
        rc = answer_array(d->tree, "Messages", &list, e);
    if (rc != 0)
        return rc;
    size_t n = list ? (size_t)cJSON_GetArraySize(list) : 0;
    if (n > max_messages)
        return err_set(e, ERR_PROTOCOL, "%zu messages came where %zu were asked for", n, max_messages);
    struct sqs_message *messages = arena_alloc(&d->arena, n * sizeof *messages);
    if (!messages)
        return err_no_memory(e);
    cJSON_ArrayForEach(item, list)
    {
        bool sound = false;
        rc = decode_message(d, item, &messages[received.n_messages], &sound, e);
        if (rc != 0)
            return rc;
        if (sound)
            received.n_messages++;
        else
            received.corrupt++;
    }
    received.messages = messages;
    *ret = received;
    return 0;
}
