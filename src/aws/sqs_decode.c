#include "aws/sqs_decode.h"

#include <limits.h>
#include <stddef.h>

#include "aws/answer.h"
#include "aws/sqs_md5.h"
#include "base/json_read.h"

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
meaningless(const char *name, struct err *e)
{
    return err_set(e, ERR_PROTOCOL, "%s holds half of a surrogate pair", name);
}

int
sqs_decode_text(struct sqs_decoded *d, struct json string, const char *name, struct slice *ret, struct err *e)
{
    struct slice raw = json_raw(string);
    size_t n = raw.n;
    if (!json_is_plain(string)) {
        char *text = arena_alloc(&d->arena, raw.n);
        if (!text)
            return err_no_memory(e);
        if (!json_decode_into(string, text, raw.n, &n))
            return meaningless(name, e);
        raw.p = text;
    }
    *ret = slice_of(raw.p, n);
    return 0;
}

/* ---- ReceiveMessage -------------------------------------------------------------------------------------------------
 *
 * Read in one pass, not into a cJSON tree: of all a worker does for a message, building and freeing that tree was the
 * most expensive thing. */

struct source {
    struct json_reader reader;
    struct sqs_decoded *d;
    char *room; /* for the meaning of strings: as large as what is left of the answer */
};

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

/* The value in front, which must be a string or null. */
static int
read_text(struct source *s, const char *name, struct slice *ret, struct err *e)
{
    *ret = slice_of(NULL, 0);
    enum json_type type = json_read_type(&s->reader);
    if (type == JSON_NULL) {
        json_read_take(&s->reader);
        return 0;
    }
    if (type != JSON_STRING)
        return err_set(e, ERR_PROTOCOL, "%s is no string", name);
    if (!json_read_text(&s->reader, s->room, ret))
        return json_read_has_failed(&s->reader) ? 0 : meaningless(name, e);
    if (ret->p == s->room)
        s->room += ret->n;
    return 0;
}

/* Takes the value of the member called key into the field of that name. 1: there is none of that name (the value is
 * then still to be taken). */
static int
take_field(struct source *s, struct json key, const struct field *fields, size_t n, void *out, struct err *e)
{
    const struct field *f = fields, *end = fields + n;
    while (f < end && !is_called(key, f->name, f->name_n))
        f++;
    if (f == end)
        return 1;
    return read_text(s, f->name, (struct slice *)((char *)out + f->offset), e);
}

/* Enters an object or an array, or takes null; 1: there is something to go over. */
static int
enter(struct source *s, enum json_type type, const char *what, struct err *e)
{
    enum json_type found = json_read_type(&s->reader);
    if (found == JSON_NULL) {
        json_read_take(&s->reader);
        return 0;
    }
    if (found != type)
        return err_set(e, ERR_PROTOCOL, "%s is no %s", what, type == JSON_ARRAY ? "array" : "object");
    json_read_enter(&s->reader);
    return 1;
}

static int
read_fields(struct source *s, const struct field *fields, size_t n, void *out, struct err *e)
{
    struct json key;
    while (json_read_member(&s->reader, &key)) {
        int rc = take_field(s, key, fields, n, out, e);
        if (rc < 0)
            return rc;
        if (rc > 0)
            json_read_take(&s->reader);
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

/* A message attribute's value; its name is known. */
static int
read_attribute(struct source *s, struct sqs_attribute *a, struct err *e)
{
    struct attribute_text text = {0};
    if (json_read_type(&s->reader) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "a message attribute is no object");
    json_read_enter(&s->reader);
    int rc = read_fields(s, ATTRIBUTE, COUNT(ATTRIBUTE), &text, e);
    a->type = text.type;
    a->value = text.string;
    if (rc != 0 || !slice_starts_with(a->type, SLICE("Binary")))
        return rc;
    a->value = text.binary;
    return decode_binary(s->d, &a->value, e);
}

static int
read_attributes(struct source *s, struct sqs_message *m, struct err *e)
{
    struct sqs_attribute *attributes = NULL;
    size_t capacity = 0, n = 0;
    struct json key;
    int rc = enter(s, JSON_OBJECT, "MessageAttributes", e);
    if (rc != 1)
        return rc;
    while (json_read_member(&s->reader, &key)) {
        if (n == capacity) {
            capacity = capacity ? capacity * 2 : 10; /* as many as SQS allows */
            struct sqs_attribute *more = arena_zalloc(&s->d->arena, capacity * sizeof *more);
            if (!more)
                return err_no_memory(e);
            if (n > 0)
                memcpy(more, attributes, n * sizeof *more);
            attributes = more;
        }
        rc = sqs_decode_text(s->d, key, "a message attribute's name", &attributes[n].name, e);
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
read_message(struct source *s, struct incoming *in, struct err *e)
{
    struct json key;
    if (json_read_type(&s->reader) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "a message is no object");
    json_read_enter(&s->reader);
    while (json_read_member(&s->reader, &key)) {
        int rc = take_field(s, key, MESSAGE, COUNT(MESSAGE), in, e);
        if (rc == 1 && json_equals_string(key, SLICE("Attributes"))) {
            rc = enter(s, JSON_OBJECT, "Attributes", e);
            if (rc == 1)
                rc = read_fields(s, SYSTEM_ATTRIBUTES, COUNT(SYSTEM_ATTRIBUTES), in, e);
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

static int
decode_message(struct source *s, struct incoming *in, bool *ret_sound, struct err *e)
{
    bool body_sound = false, attributes_sound = false;
    int rc = read_message(s, in, e);
    if (rc != 0 || json_read_has_failed(&s->reader))
        return rc;
    rc = check_complete(in, e);
    if (rc == 0)
        rc = check_body(s->d, &in->m, &body_sound, e);
    if (rc == 0)
        rc = check_attributes(in, &attributes_sound, e);
    *ret_sound = body_sound && attributes_sound;
    return rc;
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

static int
decode_messages(struct source *s, size_t max_messages, struct sqs_received *received, struct err *e)
{
    struct sqs_message *messages = arena_alloc(&s->d->arena, max_messages * sizeof *messages);
    if (!messages)
        return err_no_memory(e);
    *received = (struct sqs_received){.messages = messages, .garbled_as = ""};
    int rc = enter(s, JSON_ARRAY, "Messages", e);
    if (rc != 1)
        return rc;
    for (size_t n = 0; json_read_element(&s->reader); n++) {
        bool sound = false;
        if (n == max_messages)
            return err_set(e, ERR_PROTOCOL, "more messages came than the %zu that were asked for", max_messages);
        struct incoming in = {0};
        struct json_reader before = s->reader;
        struct err why;
        rc = decode_message(s, &in, &sound, &why);
        if (rc == ERR_PROTOCOL) { /* wherever in it that was noticed */
            note_garbled(&s->d->arena, received, &in, &why);
            s->reader = before;
            json_read_take(&s->reader);
        } else if (rc != 0) {
            return err_no_memory(e);
        } else if (sound) {
            messages[received->n_messages++] = in.m;
        } else {
            received->corrupt++;
        }
    }
    return 0;
}

static int
decode_answer(struct source *s, size_t max_messages, struct sqs_received *received, struct err *e)
{
    struct json key;
    if (json_read_type(&s->reader) != JSON_OBJECT) {
        json_read_take(&s->reader);
        return err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
    }
    json_read_enter(&s->reader);
    while (json_read_member(&s->reader, &key)) {
        int rc = 0;
        if (json_equals_string(key, SLICE("Messages")))
            rc = decode_messages(s, max_messages, received, e);
        else
            json_read_take(&s->reader);
        if (rc != 0)
            return rc;
    }
    return json_read_end(&s->reader, NULL) == 0 ? 0 : err_set(e, ERR_PROTOCOL, "the answer is no JSON object");
}

int
sqs_decode_receive(struct sqs_decoded *d, struct slice answer, size_t max_messages, struct sqs_received *ret,
                   struct err *e)
{
    struct sqs_received received = {.garbled_as = ""};
    struct source s = {.reader = json_reader(answer), .d = d, .room = arena_alloc(&d->arena, answer.n)};
    if (!s.room)
        return err_no_memory(e);
    int rc = decode_answer(&s, max_messages, &received, e);
    if (rc == 0)
        *ret = received;
    return rc;
}
