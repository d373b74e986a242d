#include "aws/sqs_decode.h"

#include <limits.h>
#include <stddef.h>

#include "aws/answer.h"
#include "aws/sqs_md5.h"
#include "base/json.h"

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

/* ---- ReceiveMessage -------------------------------------------------------------------------------------------------
 *
 * Read in one walk, not into a cJSON tree: of all a worker does for a message, building and freeing that tree was the
 * most expensive thing. */

/* A message and what is known of it besides. */
struct incoming {
    struct sqs_message m;
    struct slice md5_of_attributes, receive_count, sent_at;
};

/* A member that is a string, and where in struct incoming (or struct attribute_text) it goes. */
struct field {
    const char *name;
    size_t name_n, offset;
};
#define FIELD(name, type, member)                                                                                      \
    {                                                                                                                  \
        name, sizeof name - 1, offsetof(type, member)                                                                  \
    }
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct field MESSAGE[] = {
    FIELD("MessageId", struct incoming, m.id),
    FIELD("ReceiptHandle", struct incoming, m.receipt_handle),
    FIELD("Body", struct incoming, m.body),
    FIELD("MD5OfBody", struct incoming, m.md5_of_body),
    FIELD("MD5OfMessageAttributes", struct incoming, md5_of_attributes),
};
static const struct field SYSTEM_ATTRIBUTES[] = {
    FIELD("ApproximateReceiveCount", struct incoming, receive_count),
    FIELD("SentTimestamp", struct incoming, sent_at),
    FIELD("MessageGroupId", struct incoming, m.group),
    FIELD("MessageDeduplicationId", struct incoming, m.dedup_id),
    FIELD("SequenceNumber", struct incoming, m.sequence_number),
    FIELD("DeadLetterQueueSourceArn", struct incoming, m.dead_letter_source_arn),
    FIELD("AWSTraceHeader", struct incoming, m.trace_header),
};

struct attribute_text {
    struct slice type, string, binary;
};
static const struct field ATTRIBUTE[] = {
    FIELD("DataType", struct attribute_text, type),
    FIELD("StringValue", struct attribute_text, string),
    FIELD("BinaryValue", struct attribute_text, binary),
};

static bool
is_called(struct json key, const char *name, size_t n)
{
    struct slice raw = json_raw(key);
    return raw.n == n ? memcmp(raw.p, name, n) == 0 : raw.n > n && json_equals_string(key, slice_of(name, n));
}

/* A string's text: where it was written, or decoded in the arena when it holds escapes. */
static int
text_of(struct sqs_decoded *d, struct json string, const char *name, struct slice *ret, struct err *e)
{
    struct slice raw = json_raw(string);
    if (json_is_plain(string)) {
        *ret = raw;
        return 0;
    }
    size_t n;
    char *text = arena_alloc(&d->arena, raw.n);
    if (!text)
        return err_no_memory(e);
    if (!json_decode_into(string, text, raw.n, &n))
        return err_set(e, ERR_PROTOCOL, "%s holds half of a surrogate pair", name);
    *ret = slice_of(text, n);
    return 0;
}

/* Takes the value of the member called key into the field of that name. 1: there is none of that name (the value is
 * then still to be taken). */
static int
take_field(struct sqs_decoded *d, struct json_walk *w, struct json key, const struct field *fields, size_t n, void *out,
           struct err *e)
{
    const struct field *f = fields, *end = fields + n;
    while (f < end && !is_called(key, f->name, f->name_n))
        f++;
    if (f == end)
        return 1;
    struct slice *to = (struct slice *)((char *)out + f->offset);
    struct json value = json_walk_take(w);
    *to = slice_of(NULL, 0);
    if (value.type == JSON_NULL)
        return 0;
    if (value.type != JSON_STRING)
        return err_set(e, ERR_PROTOCOL, "%s is no string", f->name);
    return text_of(d, value, f->name, to, e);
}

/* Enters an object, or takes null; 1: there is something to walk over. */
static int
enter(struct json_walk *w, enum json_type type, const char *what, struct err *e)
{
    if (json_walk_type(w) == JSON_NULL) {
        json_walk_take(w);
        return 0;
    }
    if (json_walk_type(w) != type)
        return err_set(e, ERR_PROTOCOL, "%s is no %s", what, type == JSON_ARRAY ? "array" : "object");
    json_walk_enter(w);
    return 1;
}

static int
walk_fields(struct sqs_decoded *d, struct json_walk *w, const struct field *fields, size_t n, void *out, struct err *e)
{
    struct json key;
    while (json_walk_member(w, &key)) {
        int rc = take_field(d, w, key, fields, n, out, e);
        if (rc < 0)
            return rc;
        if (rc > 0)
            json_walk_take(w);
    }
    return 0;
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
decode_attribute(struct sqs_decoded *d, const struct json_iter *it, struct sqs_attribute *a, struct err *e)
{
    struct attribute_text text = {0};
    struct json_walk w = json_walk(it->value);
    if (it->value.type != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "a message attribute is no object");
    json_walk_enter(&w);
    int rc = walk_fields(d, &w, ATTRIBUTE, COUNT(ATTRIBUTE), &text, e);
    if (rc == 0)
        rc = text_of(d, it->key, "a message attribute's name", &a->name, e);
    a->type = text.type;
    a->value = text.string;
    if (rc != 0 || !slice_starts_with(a->type, SLICE("Binary")))
        return rc;
    a->value = text.binary;
    return decode_binary(d, &a->value, e);
}

static int
decode_attributes(struct sqs_decoded *d, struct json map, struct sqs_message *m, struct err *e)
{
    m->n_attributes = 0;
    m->attributes = NULL;
    if (map.type == JSON_NULL)
        return 0;
    if (map.type != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "MessageAttributes is no object");
    size_t n = json_count(map);
    struct sqs_attribute *attributes = n > 0 ? arena_zalloc(&d->arena, n * sizeof *attributes) : NULL;
    if (n > 0 && !attributes)
        return err_no_memory(e);
    for (struct json_iter it = json_iter(map); json_next(&it);) {
        int rc = decode_attribute(d, &it, &attributes[it.index], e);
        if (rc != 0)
            return rc;
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
    in->m.receive_count = receive_count > UINT_MAX ? UINT_MAX : (unsigned)receive_count;
    return rc;
}

static int
check_body(struct sqs_decoded *d, struct sqs_message *m, bool *ret_sound, struct err *e)
{
    char md5[DIGEST_MD5_HEX];
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
walk_message(struct sqs_decoded *d, struct json_walk *w, struct incoming *in, struct err *e)
{
    struct json key;
    if (json_walk_type(w) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "a message is no object");
    json_walk_enter(w);
    while (json_walk_member(w, &key)) {
        int rc = take_field(d, w, key, MESSAGE, COUNT(MESSAGE), in, e);
        if (rc == 1 && json_equals_string(key, SLICE("Attributes"))) {
            rc = enter(w, JSON_OBJECT, "Attributes", e);
            if (rc == 1)
                rc = walk_fields(d, w, SYSTEM_ATTRIBUTES, COUNT(SYSTEM_ATTRIBUTES), in, e);
        } else if (rc == 1 && json_equals_string(key, SLICE("MessageAttributes"))) {
            rc = decode_attributes(d, json_walk_take(w), &in->m, e);
        } else if (rc == 1) {
            json_walk_take(w);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int
decode_message(struct sqs_decoded *d, struct json_walk *w, struct sqs_message *m, bool *ret_sound, struct err *e)
{
    struct incoming in = {0};
    bool body_sound = false, attributes_sound = false;
    int rc = walk_message(d, w, &in, e);
    if (rc == 0)
        rc = check_complete(&in, e);
    if (rc == 0)
        rc = check_body(d, &in.m, &body_sound, e);
    if (rc == 0)
        rc = check_attributes(&in, &attributes_sound, e);
    *m = in.m;
    *ret_sound = body_sound && attributes_sound;
    return rc;
}

static int
decode_messages(struct sqs_decoded *d, struct json_walk *w, size_t max_messages, struct sqs_received *received,
                struct err *e)
{
    struct sqs_message *messages = arena_alloc(&d->arena, max_messages * sizeof *messages);
    if (!messages)
        return err_no_memory(e);
    *received = (struct sqs_received){.messages = messages};
    int rc = enter(w, JSON_ARRAY, "Messages", e);
    if (rc != 1)
        return rc;
    for (size_t n = 0; json_walk_element(w); n++) {
        bool sound = false;
        if (n == max_messages) {
            for (bool more = true; more; more = json_walk_element(w), n++)
                json_walk_take(w);
            return err_set(e, ERR_PROTOCOL, "%zu messages came where %zu were asked for", n, max_messages);
        }
        rc = decode_message(d, w, &messages[received->n_messages], &sound, e);
        if (rc != 0)
            return rc;
        if (sound)
            received->n_messages++;
        else
            received->corrupt++;
    }
    return 0;
}

int
sqs_decode_receive(struct sqs_decoded *d, struct slice answer, size_t max_messages, struct sqs_received *ret,
                   struct err *e)
{
    struct sqs_received received = {0};
    struct json object, key;
    if (json_parse(answer, &object, NULL) != 0 || object.type != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
    struct json_walk w = json_walk(object);
    json_walk_enter(&w);
    while (json_walk_member(&w, &key)) {
        if (!json_equals_string(key, SLICE("Messages"))) {
            json_walk_take(&w);
            continue;
        }
        int rc = decode_messages(d, &w, max_messages, &received, e);
        if (rc != 0)
            return rc;
    }
    *ret = received;
    return 0;
}
