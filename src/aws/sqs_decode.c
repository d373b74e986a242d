#include "aws/sqs_decode.h"

#include <limits.h>
#include <stddef.h>

#include "aws/answer.h"
#include "aws/sqs_md5.h"
#include "aws/sqs_read.h"

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

/* ---- ReceiveMessage ------------------------------------------------------------------------------------------- */

/* A message and what is known of it besides. */
struct incoming {
    struct sqs_message m;
    struct slice md5_of_attributes, receive_count, sent_at, first_received_at;
    bool garbled, damaged; /* damaged: garbled, or not as it was sent */
};

/* All that came, of at most max: of one that is garbled only the group, if it can be told. */
struct arriving {
    struct incoming *messages;
    size_t n, max;
};

static const struct sqs_field MESSAGE[] = {
    SQS_FIELD("MessageId", struct incoming, m.id),
    SQS_FIELD("ReceiptHandle", struct incoming, m.receipt_handle),
    SQS_FIELD("Body", struct incoming, m.body),
    SQS_FIELD("MD5OfBody", struct incoming, m.md5_of_body),
    SQS_FIELD("MD5OfMessageAttributes", struct incoming, md5_of_attributes),
};
static const struct sqs_field SYSTEM_ATTRIBUTES[] = {
    SQS_FIELD("ApproximateReceiveCount", struct incoming, receive_count),
    SQS_FIELD("SentTimestamp", struct incoming, sent_at),
    SQS_FIELD("MessageGroupId", struct incoming, m.group),
    SQS_FIELD("MessageDeduplicationId", struct incoming, m.dedup_id),
    SQS_FIELD("SequenceNumber", struct incoming, m.sequence_number),
    SQS_FIELD("DeadLetterQueueSourceArn", struct incoming, m.dead_letter_source_arn),
    SQS_FIELD("AWSTraceHeader", struct incoming, m.trace_header),
    SQS_FIELD("SenderId", struct incoming, m.sender_id),
    SQS_FIELD("ApproximateFirstReceiveTimestamp", struct incoming, first_received_at),
};

struct attribute_text {
    struct slice type, string, binary;
};
static const struct sqs_field ATTRIBUTE[] = {
    SQS_FIELD("DataType", struct attribute_text, type),
    SQS_FIELD("StringValue", struct attribute_text, string),
    SQS_FIELD("BinaryValue", struct attribute_text, binary),
};

static int
decode_binary(struct arena *arena, struct slice *value, struct err *e)
{
    struct buf bytes = BUF_INIT;
    char *copy = NULL;
    int rc = 0;
    if (!digest_base64_decode(&bytes, *value))
        rc = buf_failed(&bytes) ? err_no_memory(e) : err_set(e, ERR_PROTOCOL, "BinaryValue is no base64");
    else if (!(copy = arena_strndup(arena, bytes.len ? bytes.data : "", bytes.len)))
        rc = err_no_memory(e);
    else
        *value = slice_of(copy, bytes.len);
    buf_clean_up(&bytes);
    return rc;
}

/* A message attribute's value; its name is known. */
static int
read_attribute(struct sqs_source *s, struct sqs_attribute *a, struct err *e)
{
    struct attribute_text text = {0};
    if (json_read_type(&s->reader) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "a message attribute is no object");
    json_read_enter(&s->reader);
    int rc = sqs_read_fields(s, SQS_FIELDS(ATTRIBUTE), &text, e);
    a->type = text.type;
    a->value = text.string;
    if (rc != 0 || !slice_starts_with(a->type, SLICE("Binary")))
        return rc;
    a->value = text.binary;
    return decode_binary(s->arena, &a->value, e);
}

static int
read_attributes(struct sqs_source *s, struct sqs_message *m, struct err *e)
{
    struct sqs_attribute *attributes = NULL;
    size_t capacity = 0, n = 0;
    struct json key;
    int rc = sqs_read_enter(s, JSON_OBJECT, "MessageAttributes", e);
    if (rc != 1)
        return rc;
    while (json_read_member(&s->reader, &key)) {
        if (n == capacity) {
            capacity = capacity ? capacity * 2 : 10; /* as many as SQS allows */
            struct sqs_attribute *more = arena_zalloc(s->arena, capacity * sizeof *more);
            if (!more)
                return err_no_memory(e);
            if (n > 0)
                memcpy(more, attributes, n * sizeof *more);
            attributes = more;
        }
        rc = sqs_read_key(s, key, "a message attribute's name", &attributes[n].name, e);
        if (rc == 0)
            rc = read_attribute(s, &attributes[n], e);
        if (rc != 0)
            return rc;
        n++;
    }
    m->attributes = attributes;
    m->n_attributes = n;
    return 0;
}

static int
number_of(struct slice text, const char *name, int64_t *ret, struct err *e)
{
    if (text.n > 0 && !answer_parse_number(text, ret))
        return err_set(e, ERR_PROTOCOL, "%s is no number", name);
    return 0;
}

/* An empty id or handle names nothing: two messages would be taken for one. */
static int
check_complete(struct incoming *in, struct err *e)
{
    int64_t receive_count = 1;
    const char *missing = in->m.id.n == 0               ? "MessageId"
                          : in->m.receipt_handle.n == 0 ? "ReceiptHandle"
                          : !in->m.body.p               ? "Body"
                                                        : NULL;
    if (missing)
        return err_set(e, ERR_PROTOCOL, "a message has no %s", missing);
    int rc = number_of(in->receive_count, "ApproximateReceiveCount", &receive_count, e);
    if (rc == 0)
        rc = number_of(in->sent_at, "SentTimestamp", &in->m.sent_at_ms, e);
    if (rc == 0)
        rc = number_of(in->first_received_at, "ApproximateFirstReceiveTimestamp", &in->m.first_received_at_ms, e);
    in->m.receive_count = receive_count > UINT_MAX ? UINT_MAX : (unsigned)receive_count;
    return rc;
}

/* SQS gives this MD5 for the attributes it returned, and none when it returned none. */
static int
check_attributes(const struct incoming *in, bool *ret_sound, struct err *e)
{
    char md5[DIGEST_MD5_HEX] = "";
    const struct sqs_message *m = &in->m;
    if (in->md5_of_attributes.n > 0 && m->n_attributes > 0 &&
        sqs_md5_attributes(m->attributes, m->n_attributes, md5) != 0)
        return err_no_memory(e);
    *ret_sound = in->md5_of_attributes.n == 0 || slice_equals_string(in->md5_of_attributes, md5);
    return 0;
}

static int
read_message(struct sqs_source *s, struct incoming *in, struct err *e)
{
    struct json key;
    if (json_read_type(&s->reader) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "a message is no object");
    json_read_enter(&s->reader);
    while (json_read_member(&s->reader, &key)) {
        int rc = sqs_read_field(s, key, SQS_FIELDS(MESSAGE), in, e);
        if (rc == 1 && json_equals_string(key, SLICE("Attributes"))) {
            rc = sqs_read_enter(s, JSON_OBJECT, "Attributes", e);
            if (rc == 1)
                rc = sqs_read_fields(s, SQS_FIELDS(SYSTEM_ATTRIBUTES), in, e);
        } else if (rc == 1 && json_equals_string(key, SLICE("MessageAttributes"))) {
            rc = read_attributes(s, &in->m, e);
        } else if (rc == 1) {
            json_read_take(&s->reader);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The first of them is put into words. */
static void
note_garbled(struct arena *arena, struct sqs_received *received, const struct incoming *in, const struct err *why)
{
    if (received->garbled++ > 0)
        return;
    const char *text = in->m.id.n > 0 ? arena_format(arena, "message %.*s: %s", SLICE_ARG(in->m.id), why->text)
                                      : arena_strdup(arena, why->text);
    received->garbled_as = text ? text : "";
}

/* Empty: nobody can tell. */
static struct slice
group_of_garbled(struct arena *arena, struct json message)
{
    struct json group;
    size_t n;
    if (!json_get_path(message, &group, "Attributes", "MessageGroupId", NULL) || group.type != JSON_STRING)
        return slice_of(NULL, 0);
    size_t size = json_raw(group).n;
    char *text = arena_alloc(arena, size);
    return text && json_decode_into(group, text, size, &n) ? slice_of(text, n) : slice_of(NULL, 0);
}

static int
read_messages(struct sqs_source *s, struct arriving *a, struct sqs_received *received, struct err *e)
{
    a->n = received->garbled = 0; /* of two lists the last one counts */
    int rc = sqs_read_enter(s, JSON_ARRAY, "Messages", e);
    if (rc != 1)
        return rc;
    for (size_t n = 0; json_read_element(&s->reader); n++) {
        if (n == a->max)
            return err_set(e, ERR_PROTOCOL, "more messages came than the %zu that were asked for", a->max);
        struct incoming *in = &a->messages[a->n++];
        struct json_reader before = s->reader;
        struct err why;
        *in = (struct incoming){0};
        rc = read_message(s, in, &why);
        if (rc == 0 && !json_read_has_failed(&s->reader))
            rc = check_complete(in, &why);
        if (rc == ERR_PROTOCOL) { /* wherever in it that was noticed */
            note_garbled(s->arena, received, in, &why);
            s->reader = before;
            struct slice group = group_of_garbled(s->arena, json_read_take(&s->reader));
            *in = (struct incoming){.m.group = group, .garbled = true, .damaged = true};
        } else if (rc != 0) {
            return err_no_memory(e);
        }
    }
    return 0;
}

/* A group that nobody can tell may be any. */
static bool
is_behind_damaged(const struct incoming *first, const struct incoming *in)
{
    for (const struct incoming *d = first; d < in; d++)
        if (d->damaged && (d->m.group.n == 0 || in->m.group.n == 0 || slice_equals(d->m.group, in->m.group)))
            return true;
    return false;
}

/* Passes on what is as it was sent, and counts the rest. */
static int
verify_messages(struct arena *arena, const struct arriving *a, struct sqs_received *received, struct err *e)
{
    struct sqs_message *messages = arena_alloc(arena, a->n * sizeof *messages);
    char(*hex)[DIGEST_MD5_HEX] = arena_alloc(arena, a->n * sizeof *hex);
    if (!messages || !hex)
        return err_no_memory(e);
    received->messages = messages;
    for (size_t i = 0; i < a->n; i++) {
        struct incoming *in = &a->messages[i];
        bool sound = true;
        if (in->garbled)
            continue;
        int rc = check_attributes(in, &sound, e);
        if (rc != 0)
            return rc;
        digest_md5_hex(in->m.body.p, in->m.body.n, hex[i]);
        if (!sound || (in->m.md5_of_body.n > 0 && !slice_equals_string(in->m.md5_of_body, hex[i]))) {
            received->corrupt++;
            in->damaged = true;
            continue;
        }
        struct sqs_message *m = &messages[received->n_messages++];
        *m = in->m;
        m->md5_of_body = slice_of(hex[i], sizeof hex[i] - 1);
        m->behind_damaged = is_behind_damaged(a->messages, in);
    }
    return 0;
}

int
sqs_decode_receive(struct sqs_decoded *d, struct slice answer, size_t max_messages, struct sqs_received *ret,
                   struct err *e)
{
    struct sqs_received received = {.garbled_as = ""};
    struct arriving a = {.max = max_messages};
    struct sqs_source s;
    struct json key;
    int rc = sqs_read_begin(&s, &d->arena, answer, e);
    if (rc == 0 && !(a.messages = arena_alloc(&d->arena, max_messages * sizeof *a.messages)))
        rc = err_no_memory(e);
    while (rc == 0 && json_read_member(&s.reader, &key)) {
        if (json_equals_string(key, SLICE("Messages")))
            rc = read_messages(&s, &a, &received, e);
        else
            json_read_take(&s.reader);
    }
    if (rc == 0)
        rc = sqs_read_end(&s, e);
    if (rc == 0)
        rc = verify_messages(&d->arena, &a, &received, e);
    if (rc == 0)
        *ret = received;
    return rc;
}
